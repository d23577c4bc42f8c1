/* real.h - the number type. The library is built twice from one source: with float, which users link,
 * and with double, in which gradients are checked to 1e-6. <tgmath.h> picks the right exp, sqrt, ... */
#ifndef XL_REAL_H
#define XL_REAL_H

#include "xlstm/common.h"
#include <stddef.h>
#include <stdint.h>
#include <tgmath.h>
#undef I /* <tgmath.h> brings <complex.h>; here I is an input or inner width */

typedef xlstm_real real;

/* Rows with a stride: a slice of columns is a view, so nothing is ever split or concatenated by copying. */
typedef struct {
    real *p;
    int rows, cols;
    size_t ld; /* reals from one row to the next */
} xl_view;

static inline xl_view xl_rows(real *p, int rows, int cols) {
    return (xl_view){p, rows, cols, (size_t)cols};
}

static inline xl_view xl_some_rows(xl_view v, int from, int count) {
    return (xl_view){v.p ? v.p + (size_t)from * v.ld : NULL, count, v.cols, v.ld};
}

static inline xl_view xl_cols(xl_view v, int from, int count) {
    return (xl_view){v.p ? v.p + from : NULL, v.rows, count, v.ld};
}

#endif
