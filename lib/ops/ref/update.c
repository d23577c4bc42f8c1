#include "ops/ref/helpers.h"

void xl_ref_adamw(real *w, const real *g, real *m, real *v, size_t count, xl_update s) {
    for (size_t i = 0; i < count; i++) {
        real gi = g[i] * s.gscale;
        m[i] = s.b1 * m[i] + (1 - s.b1) * gi;
        v[i] = s.b2 * v[i] + (1 - s.b2) * gi * gi;
        w[i] = w[i] * (1 - s.lr * s.decay) - s.lr * (m[i] / s.c1) / (sqrt(v[i] / s.c2) + s.eps);
    }
}

void xl_ref_sgd(real *w, const real *g, real *m, size_t count, xl_update s) {
    for (size_t i = 0; i < count; i++) {
        m[i] = s.momentum * m[i] + (g[i] * s.gscale + s.decay * w[i]);
        w[i] -= s.lr * m[i];
    }
}
