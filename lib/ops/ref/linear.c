#include "ops/ref/helpers.h"

void xl_ref_linear(xl_view y, xl_view x, const real *W, const real *b) {
    for (int n = 0; n < y.rows; n++)
        for (int o = 0; o < y.cols; o++)
            row(y, n)[o] = dot(row(x, n), W + (size_t)o * x.cols, x.cols) + (b ? b[o] : 0);
}

void xl_ref_linear_dx(xl_view dx, xl_view dy, const real *W, int add) {
    for (int n = 0; n < dx.rows; n++) {
        if (!add)
            clear(row(dx, n), dx.cols);
        for (int o = 0; o < dy.cols; o++)
            axpy(row(dx, n), row(dy, n)[o], W + (size_t)o * dx.cols, dx.cols);
    }
}

void xl_ref_linear_dw(real *dW, real *db, xl_view x, xl_view dy) {
    for (int n = 0; n < dy.rows; n++) {
        for (int o = 0; o < dy.cols; o++)
            axpy(dW + (size_t)o * x.cols, row(dy, n)[o], row(x, n), x.cols);
        if (db)
            axpy(db, 1, row(dy, n), dy.cols);
    }
}

/* Each block is a linear layer between slices of columns. */
static size_t block(xl_heads s, int j) {
    return (size_t)j * (size_t)s.out * (size_t)s.in;
}

void xl_ref_heads(xl_view y, xl_view x, const real *W, const real *b, xl_heads s) {
    for (int j = 0; j < s.n; j++)
        xl_ref_linear(xl_cols(y, j * s.ystep, s.out), xl_cols(x, j * s.in, s.in), W + block(s, j),
                      b ? b + j * s.out : NULL);
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
