/* ref.h - the reference backend, one function per op: plain loops in `real`, written to be read. */
#ifndef XL_REF_H
#define XL_REF_H

#include "base/half.h"
#include "ops/ops.h"
#include <assert.h>

#define OP(name, args, ...) void xl_ref_##name args;
#include "ops/ops.def"
#undef OP

/* One number of a matrix of any type. */
static inline real xl_element(const xl_matrix *W, int r, int c) {
    const void *at = xl_matrix_at(W, r, c);
    if (W->type == XL_REAL)
        return *(const real *)at;
    if (W->type == XL_BFLOAT16)
        return (real)xl_from_bf16(*(const uint16_t *)at);
    assert(W->scale); /* only matrices of reals and bfloat16 go without */
    return (real) * (const int8_t *)at * (real)W->scale[r];
}

#endif
