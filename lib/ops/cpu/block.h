/* block.h - blocks of views as the matrices of products: some tokens of one head, or scratch. Static inline
 * for the reason of vec.h. */
#ifndef XL_BLOCK_H
#define XL_BLOCK_H

#include "ops/cpu/cpu.h"
#include <string.h>

/* Rows from n on, columns from col on, of a view of reals that is there. */
static inline xl_view xl_block(xl_view v, ptrdiff_t n, int rows, int col, int cols) {
    return (xl_view){xl_row(v, n) + col, XL_REAL, rows, cols, v.ld};
}

/* C = alpha A B + beta C, on one thread. */
static inline void xl_product(xl_view C, xl_view A, xl_view B, float alpha, float beta) {
    xl_gemm(0, 0, C.rows, C.cols, A.cols, alpha, A.p, A.ld, B.p, B.ld, beta, C.p, C.ld);
}
/* C = alpha A B' + beta C */
static inline void xl_product_right(xl_view C, xl_view A, xl_view B, float alpha, float beta) {
    xl_gemm(0, 1, C.rows, C.cols, A.cols, alpha, A.p, A.ld, B.p, B.ld, beta, C.p, C.ld);
}
/* C = alpha A' B + beta C */
static inline void xl_product_left(xl_view C, xl_view A, xl_view B, float alpha, float beta) {
    xl_gemm(1, 0, C.rows, C.cols, A.rows, alpha, A.p, A.ld, B.p, B.ld, beta, C.p, C.ld);
}

/* Zeros from token `from` of stream b on in some columns of v. */
static inline void xl_clear_columns(xl_view v, xl_seq seq, int b, int from, int col, int cols) {
    for (int t = from; t < seq.T; t++)
        memset(xl_row(v, xl_token(seq, b, t)) + col, 0, cols * sizeof(float));
}

#endif
