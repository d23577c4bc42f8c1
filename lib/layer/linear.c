/* linear.c - the products of the forward pass, whatever type the matrix is kept in. A backward pass has no
 * need of this: a module with packed matrices is for inference only. */
#include "layer/layer.h"

xl_matrix xl_weight_matrix(const xl_call *c, size_t W, int rows, int cols) {
    return xl_packing_has(c->packed, W) ? xl_packing_find(c->packed, W, rows, cols)
                                        : xl_real_matrix(c->w + W, rows, cols);
}

void xl_linear(const xl_call *c, xl_view y, xl_view x, size_t W, size_t b) {
    const real *bias = xl_weight(c->w, b);
    for (int row = 0; row < y.cols;) { /* matrices that are one product may lie in several pieces */
        xl_matrix m = xl_weight_matrix(c, W + (size_t)row * x.cols, y.cols - row, x.cols);
        c->op->linear(xl_cols(y, row, m.rows), x, m, bias ? bias + row : NULL);
        row += m.rows;
    }
}
