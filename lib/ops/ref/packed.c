#include "ops/ref/helpers.h"

void xl_ref_linear_packed(xl_view y, xl_view x, xl_matrix W, const real *b) {
    for (int n = 0; n < y.rows; n++)
        for (int o = 0; o < y.cols; o++) {
            real sum = b ? b[o] : 0;
            for (int c = 0; c < x.cols; c++)
                sum += xl_element(&W, o, c) * row(x, n)[c];
            row(y, n)[o] = sum;
        }
}

void xl_ref_heads_packed(xl_view y, xl_view x, xl_matrix W, xl_heads s) {
    for (int j = 0; j < s.n; j++)
        xl_ref_linear_packed(xl_cols(y, j * s.ystep, s.out), xl_cols(x, j * s.in, s.in),
                             xl_matrix_rows(W, j * s.out, s.out), NULL);
}

void xl_ref_embed_packed(xl_view y, const int32_t *tokens, xl_matrix W) {
    for (int n = 0; n < y.rows; n++)
        for (int c = 0; c < y.cols; c++)
            row(y, n)[c] = xl_element(&W, (int)tokens[n], c);
}
