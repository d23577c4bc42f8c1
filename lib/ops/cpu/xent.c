/* xent.c - a head's product with the cross-entropy behind it, in parts: logits of some rows are whole, so
 * that products stay large, and their gradient takes their place. */
#include "ops/cpu/cpu.h"

static int rows_at_once(int rows, int classes) {
    enum { NUMBERS = 1 << 24, LEAST = 32 };
    int some = NUMBERS / classes < LEAST ? LEAST : NUMBERS / classes;
    return some < rows ? some : rows;
}

uint64_t xl_xent_linear_by_rows_scratch(int rows, int classes, int width) {
    (void)width;
    return (uint64_t)rows_at_once(rows, classes) * (uint64_t)classes;
}

void xl_xent_linear_by_rows(const xl_ops *op, float *each, xl_view dx, float *dW, xl_view x, const float *W,
                            int classes, const int32_t *targets, const float *scale, float *scratch) {
    int block = rows_at_once(x.rows, classes);
    xl_matrix head = xl_real_matrix(W, classes, x.cols);
    for (int from = 0; from < x.rows; from += block) {
        int rows = x.rows - from < block ? x.rows - from : block;
        xl_view some = xl_some_rows(x, from, rows), logits = xl_rows(scratch, rows, classes);
        op->linear(logits, some, head, NULL);
        op->xent(each ? each + from : NULL, dx.p ? logits : (xl_view){0}, logits, targets + from, scale);
        if (dx.p) {
            op->linear_dw(dW, NULL, some, logits);
            op->linear_dx(xl_some_rows(dx, from, rows), logits, W, 0);
        }
    }
}
