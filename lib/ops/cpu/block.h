/* block.h - blocks of views as the matrices of products: some tokens of one head, or scratch. Static inline
 * for the reason of vec.h. */
#ifndef XL_BLOCK_H
#define XL_BLOCK_H

#include "ops/cpu/cpu.h"
#include "ops/cpu/vec.h"
#include <assert.h>
#include <string.h>

/* Rows from n on, columns from col on, of a view of reals that is there. */
static inline xl_view xl_block(xl_view v, ptrdiff_t n, int rows, int col, int cols) {
    return (xl_view){xl_row(v, n) + col, XL_REAL, rows, cols, v.ld};
}

/* C = alpha A B + beta C, on one thread. */
static inline void xl_product(xl_view C, xl_view A, xl_view B, float alpha, float beta) {
    XL_ISA_NAME(xl_multiply)(C, A, 0, B, 0, alpha, beta);
}
/* C = alpha A B' + beta C */
static inline void xl_product_right(xl_view C, xl_view A, xl_view B, float alpha, float beta) {
    XL_ISA_NAME(xl_multiply)(C, A, 0, B, 1, alpha, beta);
}
/* C = alpha A' B + beta C */
static inline void xl_product_left(xl_view C, xl_view A, xl_view B, float alpha, float beta) {
    XL_ISA_NAME(xl_multiply)(C, A, 1, B, 0, alpha, beta);
}

/* Whether the sizes of all numbers are below `bound`; with infinity, whether they are finite. Positive floats
 * are in the order of their bits: these are moved up so that the bound's reach the sign bit, and or-ed
 * together. */
static inline int xl_all_below(xl_view v, float bound) {
    typedef uint32_t words __attribute__((vector_size(4 * LANES)));
    const int whole = v.cols / LANES * LANES;
    const float *row = v.p;
    words over = {0}, bits;
    uint32_t up, one, rest = 0, lanes[LANES];
    assert(row);
    memcpy(&up, &bound, sizeof up);
    up = 0x80000000 - up;
    for (int n = 0; n < v.rows; n++, row += v.ld)
        for (int i = 0; i < whole; i += LANES) {
            memcpy(&bits, row + i, sizeof bits);
            over |= (bits & 0x7fffffff) + up;
        }
    row = v.p;
    for (int n = 0; n < v.rows && whole < v.cols; n++, row += v.ld)
        for (int i = whole; i < v.cols; i++) {
            memcpy(&one, row + i, sizeof one);
            rest |= (one & 0x7fffffff) + up;
        }
    memcpy(lanes, &over, sizeof lanes);
    for (int i = 0; i < LANES; i++)
        rest |= lanes[i];
    return rest >> 31 == 0;
}

/* Zeros from token `from` of stream b on in some columns of v. */
static inline void xl_clear_columns(xl_view v, xl_seq seq, int b, int from, int col, int cols) {
    for (int t = from; t < seq.T; t++)
        memset(xl_row(v, xl_token(seq, b, t)) + col, 0, cols * sizeof(float));
}

#endif
