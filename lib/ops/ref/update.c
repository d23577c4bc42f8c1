/* update.c - the optimizers' rules, number by number: w, g and moments are [count]. What changes from step to
 * step comes by address (xl_now); where now->go is 0 the gradient, or its square, is not finite and nothing
 * may change. */
#include "ops/ref/helpers.h"

/* Clipping by the norm (Pascanu et al., arXiv 1211.5063), with PyTorch's 1e-6:
 *
 *     scale = min(1, most / (sqrt(sum g^2) + 1e-6))
 *
 * A moment is a mean of g or of g^2, so it is finite if no g^2 is beyond a real. */
void xl_ref_clip(xl_now *now, const double *sumsq, real most) {
    double scale = most > 0 ? (double)most / (sqrt(*sumsq) + 1e-6) : 1;
    now->scale = scale < 1 ? (real)scale : 1;
    now->go = isfinite(*sumsq) && *sumsq * (double)now->scale * (double)now->scale <= XL_MOST_SUMSQ;
}

/* AdamW (arXiv 1711.05101): moments of g and g^2, the first steps' lack in them made good by c = 1 - b^t, and
 * a decay that does not go through them:
 *
 *     m = b1 m + (1 - b1) g        v = b2 v + (1 - b2) g^2
 *     w = w (1 - rate decay) - rate (m / c1) / (sqrt(v / c2) + eps) */
void xl_ref_adamw(real *w, const real *g, real *m, real *v, size_t count, xl_update s, const xl_now *now) {
    for (size_t i = 0; now->go && i < count; i++) {
        real gi = g[i] * now->scale;
        m[i] = s.b1 * m[i] + (1 - s.b1) * gi;
        v[i] = s.b2 * v[i] + (1 - s.b2) * gi * gi;
        w[i] =
            w[i] * (1 - now->rate * s.decay) - now->rate * (m[i] / now->c1) / (sqrt(v[i] / now->c2) + s.eps);
    }
}

/* Stochastic gradient descent with momentum, decay as a part of the gradient, as PyTorch's:
 *
 *     m = momentum m + (g + decay w)        w = w - rate m */
void xl_ref_sgd(real *w, const real *g, real *m, size_t count, xl_update s, const xl_now *now) {
    for (size_t i = 0; now->go && i < count; i++) {
        m[i] = s.momentum * m[i] + (g[i] * now->scale + s.decay * w[i]);
        w[i] -= now->rate * m[i];
    }
}
