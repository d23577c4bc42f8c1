/* stack.c - the one loop over sublayers, forward and backward, and the head behind it. */
#include "base/error.h"
#include "base/mem.h"
#include "model/module.h"

xlstm_status xl_stack_tape_create(xl_stack_tape *t, const xlstm_module *m) {
    size_t n = m->subs, bytes = 0;
    for (int i = 0; i < m->subs; i++)
        bytes += (m->sub[i].layer->kind->saved_size + 63) / 64 * 64;
    *t = (xl_stack_tape){.x = xl_alloc(2 * n * sizeof(xl_view)), .saved = xl_alloc(n * sizeof(void *))};
    char *saved = xl_alloc(bytes);
    if (!t->x || !t->saved || !saved) {
        xl_free(saved);
        xl_free(t->saved);
        t->saved = NULL;
        xl_stack_tape_free(t);
        return xl_no_memory(bytes, "the bookkeeping of a run");
    }
    t->xn = t->x + n;
    for (int i = 0; i < m->subs; i++) {
        t->saved[i] = saved;
        saved += (m->sub[i].layer->kind->saved_size + 63) / 64 * 64;
    }
    return XLSTM_OK;
}

void xl_stack_tape_free(xl_stack_tape *t) {
    if (t->saved)
        xl_free(t->saved[0]);
    xl_free(t->saved);
    xl_free(t->x);
    *t = (xl_stack_tape){0};
}

/* Whose dropout: layers have four numbers each, from 4 on. */
enum { EMBEDDING = 1 };

static xl_view input_forward(const xlstm_module *m, const xl_call *c, xl_input in) {
    if (!m->is_model)
        return in.vectors;
    xl_view x = xl_arena_view(c->keep, xl_tokens(c), m->first);
    if (m->vocab)
        c->op->embed(x, in.tokens, xl_weight_matrix(c, m->embed, m->vocab, m->first));
    else
        xl_linear(c, x, in.vectors, m->in_w, m->in_b);
    if (m->config.embedding_dropout && c->dropout > 0)
        c->op->dropout(x, x, c->dropout, c->seed, EMBEDDING);
    return x;
}

/* In inference the stream needs only two buffers, taken before anything that is released. */
static xl_view stream_buffer(const xl_call *c, xl_view pair[2], int i, int cols) {
    if (c->train)
        return xl_arena_view(c->keep, xl_tokens(c), cols);
    return xl_rows_in(pair[i & 1], xl_tokens(c), cols);
}

static int widest(const xlstm_module *m, int from, int to) {
    int cols = 0;
    for (int i = from; i < to; i++) {
        int more = m->sub[i].layer->out > m->sub[i].layer->in ? m->sub[i].layer->out : m->sub[i].layer->in;
        cols = more > cols ? more : cols;
    }
    return cols;
}

/* The call of those rows that a sublayer is for. */
static xl_call call_of(const xl_sublayer *s, const xl_call *c) {
    xl_call own = *c;
    if (s->rows == XL_ROWS_GROUPED)
        own.seq.B = c->grouped;
    return own;
}

static xl_view rows_behind(xl_view v, int rows) {
    return xl_some_rows(v, rows, v.rows - rows);
}

static void sublayer_forward(const xl_sublayer *s, const xl_call *c, xl_stack_tape *t, int i, xl_view y,
                             xl_view x) {
    int N = xl_tokens(c);
    xl_view xn = x;
    if (s->has_norm) {
        xn = xl_arena_view(c->keep, N, s->layer->in);
        c->op->norm(xn, x, xl_weight(c->w, s->norm_w), xl_weight(c->w, s->norm_b), s->norm);
    }
    s->layer->kind->forward(s->layer, c, t->saved[i], y, xn);
    if (s->residual)
        c->op->add(y, x);
    t->xn[i] = xn;
}

xl_view xl_stack_run(const xlstm_module *m, const xl_call *c, xl_stack_tape *t, int from, int to, xl_view x) {
    xl_view pair[2] = {{0}, {0}};
    if (!c->train)
        for (int i = 0; i < 2; i++)
            pair[i] = xl_arena_view(c->keep, xl_tokens(c), widest(m, from, to));
    for (int i = from; i < to; i++) {
        const xl_sublayer *s = &m->sub[i];
        xl_call own = call_of(s, c);
        int rows = xl_tokens(&own);
        xl_view y = stream_buffer(c, pair, i, s->layer->out);
        size_t mark = xl_arena_mark(c->keep);
        if (rows < x.rows)
            c->op->copy(rows_behind(y, rows), rows_behind(x, rows));
        if (rows)
            sublayer_forward(s, &own, t, i, xl_some_rows(y, 0, rows), xl_some_rows(x, 0, rows));
        t->x[i] = x;
        x = y;
        if (!c->train)
            xl_arena_release(c->keep, mark);
    }
    return x;
}

void xl_stack_forward(const xlstm_module *m, const xl_call *c, xl_stack_tape *t, xl_input in) {
    t->top = t->out = xl_stack_run(m, c, t, 0, m->subs, input_forward(m, c, in));
    if (m->has_norm) {
        t->out = xl_arena_view(c->keep, xl_tokens(c), m->width);
        c->op->norm(t->out, t->top, c->w + m->norm_w, xl_weight(c->w, m->norm_b), m->norm);
    }
}

/* The gradient of the stream, `d`, goes from a sublayer's output to its input, dx. */
static void sublayer_backward(const xl_sublayer *s, const xl_call *c, const xl_stack_tape *t, int i,
                              xl_view dx, xl_view d) {
    int N = xl_tokens(c);
    size_t mark = xl_arena_mark(c->temp);
    xl_view dy = d, x = xl_some_rows(t->x[i], 0, N);
    if (s->residual && c->dropping) { /* layers may overwrite dy by its dropout; the stream still needs d */
        dy = xl_arena_view(c->temp, N, s->layer->out);
        c->op->copy(dy, d);
    }
    if (!s->has_norm) {
        s->layer->kind->backward(s->layer, c, t->saved[i], dx, x, dy);
        if (s->residual)
            c->op->add(dx, d);
    } else {
        xl_view dxn = xl_arena_view(c->temp, N, s->layer->in);
        s->layer->kind->backward(s->layer, c, t->saved[i], dxn, t->xn[i], dy);
        if (s->residual)
            c->op->copy(dx, d);
        c->op->norm_bwd(dx, xl_gradient(c->dw, s->norm_w), xl_gradient(c->dw, s->norm_b), dxn, x,
                        xl_weight(c->w, s->norm_w), s->norm, s->residual);
    }
    xl_arena_release(c->temp, mark);
}

xl_view xl_stack_run_back(const xlstm_module *m, const xl_call *c, const xl_stack_tape *t, int from, int to,
                          xl_view d) {
    xl_view pair[2];
    for (int i = 0; i < 2; i++)
        pair[i] = xl_arena_view(c->temp, xl_tokens(c), widest(m, from, to));
    for (int i = to - 1; i >= from; i--) {
        const xl_sublayer *s = &m->sub[i];
        xl_call own = call_of(s, c);
        int rows = xl_tokens(&own);
        xl_view dx = xl_rows_in(pair[i & 1], xl_tokens(c), s->layer->in);
        if (rows < d.rows)
            c->op->copy(rows_behind(dx, rows), rows_behind(d, rows));
        if (rows)
            sublayer_backward(s, &own, t, i, xl_some_rows(dx, 0, rows), xl_some_rows(d, 0, rows));
        d = dx;
    }
    return d;
}

static void input_backward(const xlstm_module *m, const xl_call *c, xl_input in, xl_view d, xl_view d_in) {
    if (!m->is_model) {
        if (d_in.p)
            c->op->copy(d_in, d);
        return;
    }
    if (m->config.embedding_dropout && c->dropout > 0)
        c->op->dropout(d, d, c->dropout, c->seed, EMBEDDING);
    if (m->vocab) {
        c->op->embed_dw(c->dw + m->embed, d, in.tokens);
        return;
    }
    c->op->linear_dw(c->dw + m->in_w, c->dw + m->in_b, in.vectors, d);
    if (d_in.p)
        c->op->linear_dx(d_in, d, c->w + m->in_w, 0);
}

void xl_stack_backward(const xlstm_module *m, const xl_call *c, const xl_stack_tape *t, xl_input in,
                       xl_view dout, xl_view d_in) {
    size_t start = xl_arena_mark(c->temp);
    xl_view d = dout;
    if (m->has_norm) {
        d = xl_arena_view(c->temp, xl_tokens(c), m->width);
        c->op->norm_bwd(d, c->dw + m->norm_w, xl_gradient(c->dw, m->norm_b), dout, t->top, c->w + m->norm_w,
                        m->norm, 0);
    }
    d = xl_stack_run_back(m, c, t, 0, m->subs, d);
    input_backward(m, c, in, d, d_in);
    xl_arena_release(c->temp, start);
}

int xl_stack_head_rows(const xlstm_module *m, int rows) {
    enum { NUMBERS = 1 << 24, LEAST = 32 };
    int some = NUMBERS / m->out < LEAST ? LEAST : NUMBERS / m->out;
    return some < rows ? some : rows;
}

int xl_stack_head_is_capped(const xlstm_module *m) {
    return m->is_model && m->config.output_logit_soft_cap > 0;
}

int xl_stack_head_is_matrix(const xlstm_module *m) {
    return m->is_model && m->vocab && m->head_b == XL_NONE && !xl_packing_has(&m->packed, m->head_w) &&
           !xl_stack_head_is_capped(m);
}

void xl_stack_head_forward(const xlstm_module *m, const xl_call *c, xl_view y, xl_view x) {
    if (!m->is_model) {
        c->op->copy(y, x);
        return;
    }
    xl_linear(c, y, x, m->head_w, m->head_b);
    if (xl_stack_head_is_capped(m))
        c->op->softcap(y, y, (real)m->config.output_logit_soft_cap);
}

void xl_stack_head_backward(const xlstm_module *m, const xl_call *c, xl_view dx, xl_view x, xl_view y,
                            xl_view dy) {
    if (!m->is_model) {
        c->op->copy(dx, dy);
        return;
    }
    if (xl_stack_head_is_capped(m))
        c->op->softcap_bwd(dy, dy, y, (real)m->config.output_logit_soft_cap);
    c->op->linear_dw(c->dw + m->head_w, xl_gradient(c->dw, m->head_b), x, dy);
    c->op->linear_dx(dx, dy, c->w + m->head_w, 0);
}
