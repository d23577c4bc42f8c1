/* feed.c - padding becomes token 0, an ignored target, zeros of weight 0: whatever a caller has there is
 * never looked at. */
#include "model/feed.h"
#include "base/error.h"
#include "base/mem.h"
#include <assert.h>
#include <string.h>

/* ---- the block ---- */

typedef struct {
    char *base;
    uint64_t used;
} cursor;

static void *part(cursor *c, uint64_t bytes) {
    void *p = c->base ? c->base + c->used : NULL;
    c->used += (bytes + 63) / 64 * 64;
    return p;
}

/* The parts of a piece of T tokens a row, from `base` on; *room: the bytes that they take. */
static xl_fed lay_out(const xl_feed *f, char *base, int T, uint64_t *room) {
    uint64_t B = f->B, N = B * T;
    int vectors = !f->m->vocab, losses = f->with_losses;
    cursor c = {base, 0};
    xl_fed fed = {.seed = part(&c, sizeof *fed.seed),
                  .scale = part(&c, sizeof *fed.scale),
                  .lengths = part(&c, B * sizeof *fed.lengths),
                  .last = part(&c, B * sizeof *fed.last)};
    fed.tokens = part(&c, vectors ? 0 : N * sizeof *fed.tokens);
    fed.targets = part(&c, vectors || !losses ? 0 : N * sizeof *fed.targets);
    fed.weights = part(&c, vectors && losses ? N * sizeof(real) : 0);
    fed.vectors = part(&c, vectors ? N * f->m->in * sizeof(real) : 0);
    fed.outputs = part(&c, vectors && losses ? N * f->m->out * sizeof(real) : 0);
    fed.resets = part(&c, N);
    *room = c.used;
    return fed;
}

xlstm_status xl_feed_create(xl_feed *f, const xlstm_module *m, int B, int max, int with_losses) {
    *f = (xl_feed){.m = m, .B = B, .max = max, .with_losses = with_losses};
    xl_memory *memory = m->memory;
    lay_out(f, NULL, max, &f->room);
    f->there = memory->take(memory, f->room);
    f->host = memory->is_host ? f->there : xl_alloc(f->room);
    if (!f->there || !f->host)
        return xl_memory_short(memory, f->room, "a batch");
    f->T = max;
    f->here = lay_out(f, f->host, max, &f->room);
    f->fed = lay_out(f, f->there, max, &f->room);
    return XLSTM_OK;
}

void xl_feed_free(xl_feed *f) {
    if (!f->m)
        return;
    if (f->host != f->there)
        xl_free(f->host);
    f->m->memory->give(f->m->memory, f->there);
    *f = (xl_feed){0};
}

/* ---- what a caller gives ---- */

int xl_feed_length(const xl_given *g, int b) {
    return g->lengths ? g->lengths[b] : g->time;
}

/* One position of one row, before the padding. */
static xlstm_status check_position(const xl_feed *f, const xl_given *g, int row, int t) {
    int V = f->m->vocab;
    size_t i = (size_t)row * g->time + t;
    if (V && (g->tokens[i] < 0 || g->tokens[i] >= V))
        return xl_fail(XLSTM_E_ARGUMENT, "row %d, position %d: token %d is not in 0 to %d", row, t,
                       g->tokens[i], V - 1);
    if (V && g->targets && g->targets[i] >= V)
        return xl_fail(
            XLSTM_E_ARGUMENT,
            "row %d, position %d: target %d is not in 0 to %d, nor negative, which is to ignore it", row, t,
            g->targets[i], V - 1);
    if (!V && g->weights && !(g->weights[i] >= 0 && isfinite(g->weights[i])))
        return xl_fail(XLSTM_E_ARGUMENT, "row %d, position %d: weight %g must be finite and not negative",
                       row, t, g->weights[i]);
    return XLSTM_OK;
}

xlstm_status xl_feed_check(const xl_feed *f, const xl_given *g, int most) {
    int V = f->m->vocab;
    if (g->time < 1 || g->time > most)
        return xl_fail(XLSTM_E_ARGUMENT, "there are %d tokens a row; give 1 to %d", g->time, most);
    if (V ? !g->tokens : !g->vectors)
        return xl_fail(XLSTM_E_ARGUMENT, "this module reads %s; give an array of them",
                       V ? "tokens" : "vectors");
    for (int b = 0; b < f->B; b++) {
        int length = xl_feed_length(g, b);
        if (length < 0 || length > g->time)
            return xl_fail(XLSTM_E_ARGUMENT, "length %d of row %d is not in 0 to %d", length, b, g->time);
        for (int t = 0; t < length; t++)
            XL_TRY(check_position(f, g, b, t));
    }
    return XLSTM_OK;
}

/* ---- rows of a piece ---- */

/* `count` elements of `size` bytes, `rest` zero ones behind them. */
static void copy_row(void *to, const void *from, size_t count, size_t rest, size_t size) {
    if (count && from)
        memcpy(to, from, count * size);
    memset((char *)to + (from ? count : 0) * size, 0, (rest + (from ? 0 : count)) * size);
}

/* What losses need: the padding has ignored targets and no weight. */
static void take_loss_row(xl_feed *f, const xl_given *g, size_t from, size_t to, size_t length) {
    size_t T = f->T, out = f->m->out;
    for (size_t t = 0; t < T && f->m->vocab; t++)
        f->here.targets[to + t] = t < length && g->targets ? g->targets[from + t] : -1;
    for (size_t t = 0; t < T && !f->m->vocab; t++)
        f->here.weights[to + t] = t >= length ? 0 : g->weights ? g->weights[from + t] : 1;
    if (!f->m->vocab)
        copy_row(f->here.outputs + to * out, g->outputs ? g->outputs + from * out : NULL, length, T - length,
                 out * sizeof(real));
}

static void take_row(xl_feed *f, const xl_given *g, int b, int first) {
    size_t T = f->T, in = f->m->in, to = b * T;
    size_t from = (size_t)b * g->time + first;
    int left = xl_feed_length(g, b) - first; /* of the row; not above 0 where it has ended */
    size_t length = left < 0 ? 0 : left < f->T ? (size_t)left : T;
    assert(f->here.lengths && f->here.last);
    f->here.lengths[b] = (int32_t)length;
    f->here.last[b] = left >= 1 && left <= f->T ? b * f->T + left - 1 : -1;
    if (f->m->vocab)
        copy_row(f->here.tokens + to, g->tokens + from, length, T - length, sizeof *g->tokens);
    else
        copy_row(f->here.vectors + to * in, g->vectors + from * in, length, T - length, in * sizeof(real));
    if (g->resets)
        memcpy(f->here.resets + to, g->resets + from, T);
    if (f->with_losses)
        take_loss_row(f, g, from, to, length);
}

void xl_feed_take(xl_feed *f, const xl_given *g, int from, int T) {
    f->T = T;
    f->here = lay_out(f, f->host, T, &f->room);
    f->fed = lay_out(f, f->there, T, &f->room);
    f->has_lengths = g->lengths != NULL;
    f->has_resets = g->resets != NULL;
    f->has_weights = g->lengths || g->weights;
    for (int b = 0; b < f->B; b++)
        take_row(f, g, b, from);
}

void xl_feed_put(xl_feed *f) {
    f->m->memory->put(f->m->memory, f->there, f->host, f->room);
}

xl_seq xl_feed_seq(const xl_feed *f) {
    return (xl_seq){.B = f->B,
                    .T = f->T,
                    .lengths = f->has_lengths ? f->fed.lengths : NULL,
                    .resets = f->has_resets ? f->fed.resets : NULL};
}

xl_input xl_feed_input(const xl_feed *f) {
    return (xl_input){f->fed.tokens, xl_rows(f->fed.vectors, f->B * f->T, f->m->in)};
}
