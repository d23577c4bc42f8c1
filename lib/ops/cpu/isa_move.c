/* isa_move.c - rows that are copied, added, cleared, dropped out or looked up: memory is what they wait for.
 */
#include "base/rng.h"
#include "ops/cpu/cpu.h"
#include "ops/cpu/pieces.h"
#include <string.h>

typedef struct {
    xl_view y, x;
} rows_job;

static void add_rows(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const rows_job *j = job;
    for (ptrdiff_t n = from; n < to; n++) {
        float *y = xl_row(j->y, n);
        const float *x = xl_row(j->x, n);
        for (int i = 0; i < j->y.cols; i++)
            y[i] += x[i];
    }
}

static void add(xl_view y, xl_view x) {
    by_rows(y, add_rows, &(rows_job){y, x});
}

static void copy_rows(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const rows_job *j = job;
    for (ptrdiff_t n = from; n < to; n++)
        memcpy(xl_row(j->y, n), xl_row(j->x, n), (size_t)j->y.cols * sizeof(float));
}

static void copy(xl_view y, xl_view x) {
    by_rows(y, copy_rows, &(rows_job){y, x});
}

typedef struct {
    float *p, value;
} fill_job;

static void fill_numbers(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const fill_job *j = job;
    for (ptrdiff_t i = from; i < to; i++)
        j->p[i] = j->value;
}

static void fill(float *p, size_t count, float value) {
    by_numbers(count, fill_numbers, &(fill_job){p, value});
}

typedef struct {
    xl_view v;
    int first; /* row of the batch that v begins with */
    xl_seq seq;
} padding_job;

static void clear_padding_rows(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const padding_job *j = job;
    for (ptrdiff_t n = from; n < to; n++) {
        int row = (int)n + j->first, b = row / j->seq.T, t = row % j->seq.T;
        if (t >= xl_length(j->seq, b))
            memset(xl_row(j->v, n), 0, (size_t)j->v.cols * sizeof(float));
    }
}

static void clear_padding(xl_view v, int from, xl_seq seq) {
    if (seq.lengths)
        by_rows(v, clear_padding_rows, &(padding_job){v, from, seq});
}

typedef struct {
    xl_view y, x;
    float p;
    uint64_t key;
} dropout_job;

static void dropout_rows(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const dropout_job *j = job;
    float scale = 1 / (1 - j->p);
    double p = (double)j->p;
    for (ptrdiff_t n = from; n < to; n++) {
        float *y = xl_row(j->y, n);
        const float *x = xl_row(j->x, n);
        uint64_t first = (uint64_t)n * (uint64_t)j->y.cols;
        for (int i = 0; i < j->y.cols; i++) {
            uint64_t hash = xl_hash(j->key, first + (uint64_t)i);
            y[i] = (double)(hash >> 11) * 0x1p-53 >= p ? x[i] * scale : 0;
        }
    }
}

static void dropout(xl_view y, xl_view x, float p, const uint64_t *seed, uint64_t site) {
    by_rows(y, dropout_rows, &(dropout_job){y, x, p, xl_hash(*seed, site)});
}

typedef struct {
    xl_view y;
    const int32_t *tokens;
    xl_matrix E;
} embed_job;

static void embed_rows(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const embed_job *j = job;
    const xl_number_type *type = &xl_number_types[j->E.type];
    for (ptrdiff_t n = from; n < to; n++) {
        int token = j->tokens[n];
        if (token >= 0)
            type->unpack(xl_row(j->y, n), xl_matrix_row(&j->E, token), xl_matrix_scale(&j->E, token), 0,
                         j->y.cols);
    }
}

static void embed(xl_view y, const int32_t *tokens, xl_matrix E) {
    by_rows(y, embed_rows, &(embed_job){y, tokens, E});
}

typedef struct {
    float *dE;
    xl_view dy;
    const int32_t *tokens;
} embed_dw_job;

static void embed_dw_columns(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const embed_dw_job *j = job;
    for (ptrdiff_t n = 0; n < j->dy.rows; n++) {
        if (j->tokens[n] < 0)
            continue;
        float *dE = j->dE + (ptrdiff_t)j->tokens[n] * j->dy.cols + from;
        const float *dy = xl_row(j->dy, n) + from;
        for (ptrdiff_t i = 0; i < to - from; i++)
            dE[i] += dy[i];
    }
}

static void embed_dw(float *dE, xl_view dy, const int32_t *tokens) {
    embed_dw_job j = {dE, dy, tokens};
    by_steps(dy.cols, is_small(dy) ? dy.cols : WIDE, embed_dw_columns, &j);
}

void XL_ISA_NAME(xl_install_move)(xl_ops *t) {
    t->add = add;
    t->copy = copy;
    t->fill = fill;
    t->clear_padding = clear_padding;
    t->dropout = dropout;
    t->embed = embed;
    t->embed_dw = embed_dw;
}
