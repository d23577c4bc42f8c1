/* linear.c - products with a matrix of weights. A product is a sum over inputs in their order, and only then
 * the bias: every kernel is held against that. docs/math/blocks.md */
#include "ops/ref/helpers.h"

/* y = x W' + b. x [N, I], y [N, O], W [O, I], b [O] or NULL:
 *
 *     y_no = sum_i x_ni W_oi + b_o
 *
 * W may be of any type of number; gradients are of reals. */
void xl_ref_linear(xl_view y, xl_view x, xl_matrix W, const real *b) {
    for (int n = 0; n < y.rows; n++)
        for (int o = 0; o < y.cols; o++)
            xl_row(y, n)[o] = dot_row(0, xl_row(x, n), &W, o) + (b ? b[o] : 0);
}

/* y is linear in x, W and b, so each has the other as its gradient:
 *
 *     dx = dy W        dW += dy' x        db += sum over n of dy_n
 */
void xl_ref_linear_dx(xl_view dx, xl_view dy, const real *W, int add) {
    xl_view w = xl_const_rows(W, dy.cols, dx.cols);
    if (!add)
        clear(dx);
    for (int n = 0; n < dx.rows; n++)
        for (int o = 0; o < dy.cols; o++)
            axpy(xl_row(dx, n), xl_row(dy, n)[o], xl_row(w, o), dx.cols);
}

void xl_ref_linear_dw(real *dW, real *db, xl_view x, xl_view dy) {
    xl_view dw = xl_rows(dW, dy.cols, x.cols);
    for (int n = 0; n < dy.rows; n++) {
        for (int o = 0; o < dy.cols; o++)
            axpy(xl_row(dw, o), xl_row(dy, n)[o], xl_row(x, n), x.cols);
        if (db)
            axpy(db, 1, xl_row(dy, n), dy.cols);
    }
}

uint64_t xl_ref_linear_room(void) {
    return 0;
}

/* A block-diagonal matrix: each of n blocks is a linear layer between slices of columns.
 *
 *     W: | block 0: out x in | block 1 | ... | block n-1 |        b: | out | out | ... |
 *     x: block j reads columns j in ...        y: and writes columns j ystep ...
 *
 * ystep > out leaves room for what other matrices write: four of them make the sLSTM's [H, 4, dh]. */
static ptrdiff_t block(xl_heads s, int j) {
    return (ptrdiff_t)j * s.out * s.in;
}

void xl_ref_heads(xl_view y, xl_view x, xl_matrix W, const real *b, xl_heads s) {
    for (int j = 0; j < s.n; j++)
        xl_ref_linear(xl_cols(y, j * s.ystep, s.out), xl_cols(x, j * s.in, s.in),
                      xl_matrix_rows(W, j * s.out, s.out), b ? b + j * s.out : NULL);
}

void xl_ref_heads_dx(xl_view dx, xl_view dy, const real *W, xl_heads s, int add) {
    for (int j = 0; j < s.n; j++)
        xl_ref_linear_dx(xl_cols(dx, j * s.in, s.in), xl_cols(dy, j * s.ystep, s.out), W + block(s, j), add);
}

void xl_ref_heads_dw(real *dW, real *db, xl_view x, xl_view dy, xl_heads s) {
    for (int j = 0; j < s.n; j++)
        xl_ref_linear_dw(dW + block(s, j), db ? db + j * s.out : NULL, xl_cols(x, j * s.in, s.in),
                         xl_cols(dy, j * s.ystep, s.out));
}
