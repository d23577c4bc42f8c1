#include "base/half.h"
#include "ops/ref/helpers.h"

static real number(const xl_matrix *W, int r, int c) {
    size_t at = (size_t)r * (size_t)W->cols + (size_t)c;
    switch (W->type) {
    case XL_FLOAT:
        return (real)((const float *)W->data)[at];
    case XL_BFLOAT16:
        return (real)xl_from_bf16(((const uint16_t *)W->data)[at]);
    case XL_INT8:
        return (real)((const int8_t *)W->data)[at] * (real)W->scale[r];
    }
    return 0;
}

void xl_ref_linear_packed(xl_view y, xl_view x, xl_matrix W, const real *b) {
    for (int n = 0; n < y.rows; n++)
        for (int o = 0; o < y.cols; o++) {
            real sum = b ? b[o] : 0;
            for (int c = 0; c < x.cols; c++)
                sum += number(&W, o, c) * row(x, n)[c];
            row(y, n)[o] = sum;
        }
}

void xl_ref_embed_packed(xl_view y, const int32_t *tokens, xl_matrix W) {
    for (int n = 0; n < y.rows; n++)
        for (int c = 0; c < y.cols; c++)
            row(y, n)[c] = number(&W, (int)tokens[n], c);
}
