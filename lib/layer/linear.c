/* The products of the forward pass, whatever type the matrix is kept in. */
#include "layer/layer.h"

void xl_linear(const xl_call *c, xl_view y, xl_view x, size_t W, size_t b) {
    const real *bias = xl_weight(c->w, b);
    if (!(W & XL_PACKED)) {
        c->op->linear(y, x, c->w + W, bias);
        return;
    }
    for (int row = 0; row < y.cols;) { /* matrices that are one product may lie in several pieces */
        xl_matrix m = xl_packing_find(c->packed, W + (size_t)row * (size_t)x.cols, y.cols - row, x.cols);
        c->op->linear_packed(xl_cols(y, row, m.rows), x, m, bias ? bias + row : NULL);
        row += m.rows;
    }
}

xl_matrix xl_weight_matrix(const xl_call *c, size_t W, int rows, int cols) {
    return W & XL_PACKED ? xl_packing_find(c->packed, W, rows, cols) : xl_real_matrix(c->w + W, rows, cols);
}

void xl_heads_linear(const xl_call *c, xl_view y, xl_view x, size_t W, xl_heads s) {
    if (W & XL_PACKED)
        c->op->heads_packed(y, x, xl_packing_find(c->packed, W, s.n * s.out, s.in), s);
    else
        c->op->heads(y, x, c->w + W, NULL, s);
}

void xl_embed(const xl_call *c, xl_view y, const int32_t *tokens, size_t E) {
    if (E & XL_PACKED)
        c->op->embed_packed(y, tokens, xl_packing_find(c->packed, E, INT32_MAX, y.cols));
    else
        c->op->embed(y, tokens, c->w + E);
}
