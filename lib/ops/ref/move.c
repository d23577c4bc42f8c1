#include "ops/ref/helpers.h"
#include "base/rng.h"

void xl_ref_add(xl_view y, xl_view x) {
    for (int n = 0; n < y.rows; n++)
        axpy(row(y, n), 1, row(x, n), y.cols);
}

void xl_ref_copy(xl_view y, xl_view x) {
    for (int n = 0; n < y.rows; n++)
        for (int c = 0; c < y.cols; c++)
            row(y, n)[c] = row(x, n)[c];
}

void xl_ref_fill(real *p, size_t count, real value) {
    for (size_t i = 0; i < count; i++)
        p[i] = value;
}

/* An element stays when its uniform number, the 53 high bits of the hash over 2^53, is at least p. */
void xl_ref_dropout(xl_view y, xl_view x, real p, uint64_t key) {
    real scale = 1 / (1 - p);
    for (int n = 0; n < y.rows; n++)
        for (int c = 0; c < y.cols; c++) {
            uint64_t hash = xl_hash(key, (uint64_t)n * (uint64_t)y.cols + (uint64_t)c);
            int stays = (double)(hash >> 11) * 0x1p-53 >= (double)p;
            row(y, n)[c] = stays ? row(x, n)[c] * scale : 0;
        }
}

void xl_ref_embed(xl_view y, const int32_t *tokens, const real *E) {
    for (int n = 0; n < y.rows; n++)
        for (int c = 0; c < y.cols; c++)
            row(y, n)[c] = E[(size_t)tokens[n] * y.cols + c];
}

void xl_ref_embed_dw(real *dE, xl_view dy, const int32_t *tokens) {
    for (int n = 0; n < dy.rows; n++)
        axpy(dE + (size_t)tokens[n] * dy.cols, 1, row(dy, n), dy.cols);
}

void xl_ref_sum(double *sum, const real *x, size_t count) {
    for (size_t i = 0; i < count; i++)
        *sum += (double)x[i];
}

enum { PIECE = 1 << 16 };

/* In pieces, so that a backend with threads can add in the same order. */
void xl_ref_sumsq(double *sum, const real *g, size_t count) {
    for (size_t start = 0; start < count; start += PIECE) {
        size_t end = count - start < PIECE ? count : start + PIECE;
        double piece = 0;
        for (size_t i = start; i < end; i++)
            piece += (double)g[i] * (double)g[i];
        *sum += piece;
    }
}
