/* move.c - what moves numbers and adds them up: copies, dropout, rows of an embedding, sums over all. */
#include "base/rng.h"
#include "ops/ref/helpers.h"

/* y += x, y = x: [N, D] both. */
void xl_ref_add(xl_view y, xl_view x) {
    for (int n = 0; n < y.rows; n++)
        axpy(xl_row(y, n), 1, xl_row(x, n), y.cols);
}

void xl_ref_copy(xl_view y, xl_view x) {
    for (int n = 0; n < y.rows; n++)
        for (int c = 0; c < y.cols; c++)
            xl_row(y, n)[c] = xl_row(x, n)[c];
}

void xl_ref_fill(real *p, size_t count, real value) {
    for (size_t i = 0; i < count; i++)
        p[i] = value;
}

/* Row n of v is token `from` + n of the batch: of stream (from + n) / T, at time (from + n) % T. */
void xl_ref_clear_padding(xl_view v, int from, xl_seq seq) {
    for (int n = 0; n < v.rows; n++)
        if ((from + n) % seq.T >= xl_length(seq, (from + n) / seq.T))
            xl_ref_fill(xl_row(v, n), v.cols, 0);
}

/* Inverted dropout (Srivastava et al. 2014): y = x mask / (1 - p), so that the mean stays and inference needs
 * nothing. Being linear it is its own backward pass: dx = dy mask / (1 - p).
 * An element stays when its uniform number, the 53 high bits of a hash over 2^53, is at least p; the hash is
 * of seed, site and place alone, so the mask is computed again where it is needed and never stored. */
void xl_ref_dropout(xl_view y, xl_view x, real p, const uint64_t *seed, uint64_t site) {
    uint64_t key = xl_hash(*seed, site);
    real scale = 1 / (1 - p);
    for (int n = 0; n < y.rows; n++)
        for (int c = 0; c < y.cols; c++) {
            uint64_t hash = xl_hash(key, (uint64_t)n * (uint64_t)y.cols + (uint64_t)c);
            int stays = (double)(hash >> 11) * 0x1p-53 >= (double)p;
            xl_row(y, n)[c] = stays ? xl_row(x, n)[c] * scale : 0;
        }
}

/* y_n = E[token_n]: y [N, D], E [V, D] of any type of number. */
void xl_ref_embed(xl_view y, const int32_t *tokens, xl_matrix E) {
    for (int n = 0; n < y.rows; n++)
        if (tokens[n] >= 0)
            xl_number_types[E.type].unpack(xl_row(y, n), xl_matrix_row(&E, tokens[n]),
                                           xl_matrix_scale(&E, tokens[n]), 0, y.cols);
}

/* dE[v] += sum of dy_n over all n with token_n = v: a product with the one-hot matrix of the tokens, turned.
 */
void xl_ref_embed_dw(real *dE, xl_view dy, const int32_t *tokens) {
    xl_view de = xl_rows(dE, 0, dy.cols); /* nobody here knows how many rows it has */
    for (int n = 0; n < dy.rows; n++)
        if (tokens[n] >= 0)
            axpy(xl_row(de, tokens[n]), 1, xl_row(dy, n), dy.cols);
}

/* Sums of all x and of their squares: in double, since a float stops growing after 2^24 ones. In pieces, so
 * that a backend with threads can add in the same order:
 *
 *     (x_0 + ... + x_65535) + (x_65536 + ...) + ... */
static void sum_pieces(double *sum, const real *x, size_t count, int squares) {
    *sum = 0;
    for (size_t from = 0; from < count; from += XL_SUM_PIECE) {
        size_t to = count - from < XL_SUM_PIECE ? count : from + XL_SUM_PIECE;
        double piece = 0;
        for (size_t i = from; i < to; i++)
            piece += (double)x[i] * (squares ? (double)x[i] : 1);
        *sum += piece;
    }
}

void xl_ref_sum(double *sum, const real *x, size_t count) {
    sum_pieces(sum, x, count, 0);
}

void xl_ref_sumsq(double *sum, const real *x, size_t count) {
    sum_pieces(sum, x, count, 1);
}
