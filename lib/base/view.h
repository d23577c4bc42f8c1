/* view.h - rows with a stride: a slice of columns is a view, so nothing is ever split or concatenated by
 * copying. A view knows the type of its elements, and only the functions here turn rows and columns into
 * addresses: on the CPU all elements are reals, on a device activations may be smaller. */
#ifndef XL_VIEW_H
#define XL_VIEW_H

#include "base/number.h"
#include <assert.h>

typedef struct {
    void *p; /* NULL: nothing is wanted, or memory is only being planned */
    xl_number type;
    int rows, cols;
    ptrdiff_t ld; /* elements from one row to the next */
} xl_view;

/* Reals that lie side by side. */
static inline xl_view xl_rows(real *p, int rows, int cols) {
    return (xl_view){p, XL_REAL, rows, cols, cols};
}

/* A caller's array that is only read. */
static inline xl_view xl_const_rows(const real *p, int rows, int cols) {
    return xl_rows((real *)(uintptr_t)p, rows, cols);
}

/* Rows of another width in the same place, side by side. */
static inline xl_view xl_rows_in(xl_view place, int rows, int cols) {
    return (xl_view){place.p, place.type, rows, cols, cols};
}

static inline void *xl_view_at(xl_view v, ptrdiff_t element) {
    return v.p ? (char *)v.p + element * (xl_number_types[v.type].bits / 8) : NULL;
}

static inline xl_view xl_some_rows(xl_view v, int from, int count) {
    return (xl_view){xl_view_at(v, from * v.ld), v.type, count, v.cols, v.ld};
}

static inline xl_view xl_cols(xl_view v, int from, int count) {
    return (xl_view){xl_view_at(v, from), v.type, v.rows, count, v.ld};
}

/* Row n of a view of reals. */
static inline real *xl_row(xl_view v, ptrdiff_t n) {
    assert(v.type == XL_REAL);
    return (real *)v.p + n * v.ld;
}

#endif
