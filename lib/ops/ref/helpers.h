/* helpers.h - the few loops that every file of the reference backend needs. */
#ifndef XL_REF_HELPERS_H
#define XL_REF_HELPERS_H

#include "ops/ref/ref.h"

static inline real *row(xl_view v, size_t n) {
    return v.p + n * v.ld;
}

static inline real dot(const real *a, const real *b, int n) {
    real sum = 0;
    for (int i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* y += a x */
static inline void axpy(real *y, real a, const real *x, int n) {
    for (int i = 0; i < n; i++)
        y[i] += a * x[i];
}

static inline void clear(real *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        p[i] = 0;
}

static inline real sigmoid(real x) { /* nothing overflows, and the digits of small ones stay */
    real e = exp(-fabs(x));
    return (x >= 0 ? 1 : e) / (1 + e);
}

static inline real log_sigmoid(real x) {
    return (x < 0 ? x : 0) - log1p(exp(-fabs(x)));
}

static inline real silu(real x) {
    return x * sigmoid(x);
}

static inline real silu_slope(real x) {
    real s = sigmoid(x);
    return s + x * s * (1 - s);
}

/* Tokens of stream b that are not padding. */
static inline int length_of(xl_seq s, int b) {
    return s.lengths ? s.lengths[b] : s.T;
}

/* Zeros in the rows of v from token `from` of stream b on. */
static inline void clear_from(xl_view v, xl_seq s, int b, int from) {
    for (int t = from; t < s.T; t++)
        clear(row(v, (size_t)b * (size_t)s.T + (size_t)t), v.cols);
}

#endif
