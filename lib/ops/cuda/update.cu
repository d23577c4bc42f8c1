/* update.cu - the optimizers' rules, a thread a number. Bound by memory: w, m, v in and out and g, over 4.3
 * TB/s. */
#include "ops/cuda/cuda.cuh"

void xl_cuda_clip(xl_now *now, const double *sumsq, real most) {
    xl_each_at(1, [=] __device__(size_t) {
        double scale = most > 0 ? (double)most / (sqrt(*sumsq) + 1e-6) : 1;
        now->scale = scale < 1 ? (real)scale : 1;
        now->go = isfinite(*sumsq) && *sumsq * (double)now->scale * (double)now->scale <= XL_MOST_SUMSQ;
    });
}

void xl_cuda_adamw(real *w, const real *g, real *m, real *v, size_t count, xl_update s, const xl_now *now) {
    xl_each_at(count, [=] __device__(size_t i) {
        if (!now->go)
            return;
        float gi = g[i] * now->scale;
        m[i] = s.b1 * m[i] + (1 - s.b1) * gi;
        v[i] = s.b2 * v[i] + (1 - s.b2) * gi * gi;
        w[i] =
            w[i] * (1 - now->rate * s.decay) - now->rate * (m[i] / now->c1) / (sqrtf(v[i] / now->c2) + s.eps);
    });
}

void xl_cuda_sgd(real *w, const real *g, real *m, size_t count, xl_update s, const xl_now *now) {
    xl_each_at(count, [=] __device__(size_t i) {
        if (!now->go)
            return;
        m[i] = s.momentum * m[i] + (g[i] * now->scale + s.decay * w[i]);
        w[i] -= now->rate * m[i];
    });
}
