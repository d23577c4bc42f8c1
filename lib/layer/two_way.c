/* two_way.c - a cell that reads all rows forwards, and those of covariates that are known ahead backwards
 * too, with the same weights; both readings of a known row are combined by a matrix (TiRex-2, arXiv
 * 2607.01204). The known rows are the first streams, so that they are a view; their mirror is a list of rows
 * that embed gathers by, and embed_dw adds back by.
 *
 *     y = cell(x)        of known rows:  y = W [cell(x), mirror(cell(mirror(x)))] */
#include "layer/layer.h"
#include <stdio.h>
#include <string.h>

enum { CELL = 320, CELL_SAVED = 512 }; /* bytes that a cell's structs may have */

typedef union {
    xl_layer layer;
    char room[CELL];
} cell;

typedef union {
    void *aligned;
    char room[CELL_SAVED];
} cell_saved;

typedef struct {
    xl_layer base;
    cell cell;
    size_t combination;
} two_way;

typedef struct {
    cell_saved forward, mirrored;
    xl_view x;    /* [known*T, D] mirrored input */
    xl_view both; /* [known*T, 2*D] */
} two_way_saved;

static void declare(xl_layer *layer, const xl_layer_spec *s, xl_layout *p) {
    two_way *l = (two_way *)layer;
    xl_layer *inner = &l->cell.layer;
    assert(s->cell->size <= CELL && s->cell->saved_size <= CELL_SAVED);
    int D = s->in;
    l->combination =
        xl_param_add(p, "combination.weight", xl_init_small(2 * D), XL_MATRIX, XL_SHAPE2(D, 2 * D));
    *inner = *layer;
    inner->kind = s->cell;
    size_t end = strlen(p->prefix);
    snprintf(p->prefix + end, sizeof p->prefix - end, "fwd_cell.");
    s->cell->declare(inner, s, p);
    p->prefix[end] = 0;
    layer->state_size = inner->state_size;
}

/* The call of the known rows, which begins at the other end: without a state. */
static xl_call mirrored(const xl_call *c) {
    xl_call m = *c;
    m.seq.B = c->known;
    m.state = (xl_state){0};
    return m;
}

static xl_matrix as_matrix(xl_view v) {
    assert(v.ld == v.cols);
    return (xl_matrix){.type = v.type, .rows = v.rows, .cols = v.cols, .data = v.p};
}

static void forward(const xl_layer *layer, const xl_call *c, void *saved, xl_view y, xl_view x) {
    const two_way *l = (const two_way *)layer;
    const xl_layer *inner = &l->cell.layer;
    two_way_saved *s = saved;
    inner->kind->forward(inner, c, &s->forward, y, x);
    if (!c->known)
        return;
    xl_call m = mirrored(c);
    int N = xl_tokens(&m), D = layer->in;
    xl_view known = xl_some_rows(y, 0, N), back = xl_arena_view(c->keep, N, D);
    s->x = xl_arena_view(c->keep, N, D);
    s->both = xl_arena_view(c->keep, N, 2 * D);
    c->op->embed(s->x, c->reversed, as_matrix(xl_some_rows(x, 0, N)));
    inner->kind->forward(inner, &m, &s->mirrored, back, s->x);
    c->op->copy(xl_cols(s->both, 0, D), known);
    c->op->embed(xl_cols(s->both, D, D), c->reversed, as_matrix(back));
    xl_linear(c, known, s->both, l->combination, XL_NONE);
}

/* dy of the known rows becomes that of their forward reading; the gradient of the mirrored input in dback. */
static void mirrored_backward(const two_way *l, const xl_call *c, const two_way_saved *s, xl_view dback,
                              xl_view dy) {
    const xl_layer *inner = &l->cell.layer;
    xl_call m = mirrored(c);
    int N = xl_tokens(&m), D = inner->in;
    xl_view dboth = xl_arena_view(c->temp, N, 2 * D), d = xl_arena_view(c->temp, N, D);
    c->op->linear_dw(c->dw + l->combination, NULL, s->both, dy);
    c->op->linear_dx(dboth, dy, c->w + l->combination, 0);
    c->op->copy(dy, xl_cols(dboth, 0, D));
    c->op->fill(d.p, (size_t)N * D, 0);
    c->op->embed_dw(d.p, xl_cols(dboth, D, D), c->reversed);
    inner->kind->backward(inner, &m, &s->mirrored, dback, s->x, d);
}

static void backward(const xl_layer *layer, const xl_call *c, const void *saved, xl_view dx, xl_view x,
                     xl_view dy) {
    const two_way *l = (const two_way *)layer;
    const xl_layer *inner = &l->cell.layer;
    const two_way_saved *s = saved;
    int N = c->known * c->seq.T;
    if (!c->known) {
        inner->kind->backward(inner, c, &s->forward, dx, x, dy);
        return;
    }
    xl_view dback = xl_arena_view(c->temp, N, layer->in), d = xl_arena_view(c->temp, dy.rows, dy.cols);
    size_t mark = xl_arena_mark(c->temp);
    c->op->copy(d, dy); /* which the stack still needs */
    mirrored_backward(l, c, s, dback, xl_some_rows(d, 0, N));
    xl_arena_release(c->temp, mark);
    inner->kind->backward(inner, c, &s->forward, dx, x, d);
    c->op->embed_dw(dx.p, dback, c->reversed);
}

const xl_layer_kind xl_layer_two_way = {
    .name = "two_way",
    .size = sizeof(two_way),
    .saved_size = sizeof(two_way_saved),
    .declare = declare,
    .forward = forward,
    .backward = backward,
};
