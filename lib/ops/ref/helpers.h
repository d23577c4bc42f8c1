/* helpers.h - what several files of the reference share: sums of products in the order in which they are
 * written down, and the sigmoid with its relatives in the forms that keep their digits. */
#ifndef XL_REF_HELPERS_H
#define XL_REF_HELPERS_H

#include "ops/ref/ref.h"

/* a . b */
static inline real dot(const real *a, const real *b, int n) {
    real sum = 0;
    for (int i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* sum + x . (row r of W), W of any type of number: a row is made real some numbers at a time. */
static inline real dot_row(real sum, const real *x, const xl_matrix *W, int r) {
    enum { SOME = 64 };
    real w[SOME];
    for (int c = 0; c < W->cols; c += SOME) {
        int count = W->cols - c < SOME ? W->cols - c : SOME;
        xl_number_types[W->type].unpack(w, xl_matrix_row(W, r), xl_matrix_scale(W, r), c, count);
        for (int i = 0; i < count; i++)
            sum += x[c + i] * w[i];
    }
    return sum;
}

/* y += a x */
static inline void axpy(real *y, real a, const real *x, int n) {
    for (int i = 0; i < n; i++)
        y[i] += a * x[i];
}

/* Zeros in all rows of v; in its padding alone: the op clear_padding. */
static inline void clear(xl_view v) {
    for (int n = 0; n < v.rows; n++)
        xl_ref_fill(xl_row(v, n), v.cols, 0);
}

/* sigm(x) = 1 / (1 + exp(-x)): exp takes nothing above 0, so nothing overflows, and where x is far to the
 * left the result is exp(x) with all its digits. 1 - sigm(x) is sigmoid(-x), which cancels nothing. */
static inline real sigmoid(real x) {
    real e = exp(-fabs(x));
    return (x >= 0 ? 1 : e) / (1 + e);
}

/* log sigm(x) = min(x, 0) - log(1 + exp(-|x|)): the logarithm of sigmoid(x) is -inf where that has
 * underflowed. */
static inline real log_sigmoid(real x) {
    return (x < 0 ? x : 0) - log1p(exp(-fabs(x)));
}

/* SiLU(x) = x sigm(x) and its derivative, s + x s (1 - s) with s = sigm(x). */
static inline real silu(real x) {
    return x * sigmoid(x);
}

static inline real silu_slope(real x) {
    real s = sigmoid(x);
    return s + x * s * (1 - s);
}

#endif
