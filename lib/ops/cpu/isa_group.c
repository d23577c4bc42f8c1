/* isa_group.c - attention over the streams of a group: a task takes a group at some tokens, so that what is
 * summed over members stays with it. Members are few and heads are wide, so rows are read where they lie. */
#include "ops/cpu/cpu.h"
#include "ops/cpu/pieces.h"
#include "ops/cpu/vec.h"
#include <string.h>

/* Scores are made for so many members at a time. */
enum { SOME = 256 };

typedef struct {
    xl_view y, dy;
    float *lse;
    xl_qkv in, din;
    int H;
    xl_seq seq;
    xl_groups g;
} call;

/* The members of a group at one token. */
typedef struct {
    const int32_t *member;
    int count, open, t;
} moment;

static moment moment_of(const call *c, int group, int t) {
    int first = c->g.first[group];
    return (moment){c->g.members + first, c->g.first[group + 1] - first, c->g.open[group], t};
}

static int has_token(const call *c, const moment *m, int a) {
    return m->t < xl_length(c->seq, m->member[a]);
}

static ptrdiff_t row_of(const call *c, const moment *m, int a) {
    return xl_token(c->seq, m->member[a], m->t);
}

static int seen_by(const moment *m, int a) {
    return a < m->open ? m->open : m->count;
}

/* Rows of the next members that have this token, SOME at most; *from: where to go on. */
static int some_rows(const call *c, const moment *m, int *from, int end, ptrdiff_t rows[SOME]) {
    int count = 0;
    for (; *from < end && count < SOME; ++*from)
        if (has_token(c, m, *from))
            rows[count++] = row_of(c, m, *from);
    return count;
}

/* ---- forward ---- */

/* What is summed so far of one head of one member. */
typedef struct {
    float *y; /* [dh] */
    float top, total;
} sum;

static void add_some(sum *s, const float *score, const xl_view *v, const ptrdiff_t *rows, int count, int dh) {
    float top = s->top;
    for (int i = 0; i < count; i++)
        top = score[i] > top ? score[i] : top;
    if (top > s->top) {
        float shrink = vec_exp(s->top - top);
        s->total *= shrink;
        for (int j = 0; j < dh; j++)
            s->y[j] *= shrink;
        s->top = top;
    }
    for (int i = 0; i < count; i++) {
        float p = vec_exp(score[i] - (top > -INFINITY ? top : 0));
        s->total += p;
        vec_axpy(s->y, p, xl_row(*v, rows[i]), dh);
    }
}

static void attend(const call *c, const moment *m, int a, int h) {
    int dh = c->y.cols / c->H, at = h * dh, end = seen_by(m, a);
    ptrdiff_t n = row_of(c, m, a), rows[SOME];
    xl_view k = xl_cols(c->in.k, at, dh), v = xl_cols(c->in.v, at, dh);
    sum s = {xl_row(c->y, n) + at, -INFINITY, 0};
    float score[SOME], scale = 1 / sqrtf((float)dh);
    memset(s.y, 0, dh * sizeof *s.y);
    for (int from = 0; from < end;) {
        int count = some_rows(c, m, &from, end, rows);
        for (int i = 0; i < count; i++)
            score[i] = vec_dot(xl_row(c->in.q, n) + at, xl_row(k, rows[i]), dh) * scale;
        add_some(&s, score, &v, rows, count, dh);
    }
    for (int j = 0; j < dh; j++)
        s.y[j] /= s.total;
    if (c->lse)
        c->lse[n * c->H + h] = s.top + logf(s.total);
}

static void attend_moment(const call *c, const moment *m) {
    for (int a = 0; a < m->count; a++)
        if (has_token(c, m, a)) {
            for (int h = 0; h < c->H; h++)
                attend(c, m, a, h);
        } else {
            memset(xl_row(c->y, row_of(c, m, a)), 0, c->y.cols * sizeof(float));
            if (c->lse)
                memset(c->lse + row_of(c, m, a) * c->H, 0, c->H * sizeof(float));
        }
}

/* ---- backward ---- */

static void clear_moment(const call *c, const moment *m) {
    size_t bytes = c->y.cols * sizeof(float);
    for (int a = 0; a < m->count; a++) {
        memset(xl_row(c->din.q, row_of(c, m, a)), 0, bytes);
        memset(xl_row(c->din.k, row_of(c, m, a)), 0, bytes);
        memset(xl_row(c->din.v, row_of(c, m, a)), 0, bytes);
    }
}

static void attend_bwd(const call *c, const moment *m, int a, int h) {
    int dh = c->y.cols / c->H, at = h * dh;
    ptrdiff_t n = row_of(c, m, a);
    const float *q = xl_row(c->in.q, n) + at, *dy = xl_row(c->dy, n) + at;
    float scale = 1 / sqrtf((float)dh), mean = vec_dot(dy, xl_row(c->y, n) + at, dh),
          lse = c->lse[n * c->H + h];
    for (int r = 0; r < seen_by(m, a); r++) {
        if (!has_token(c, m, r))
            continue;
        ptrdiff_t o = row_of(c, m, r);
        const float *k = xl_row(c->in.k, o) + at;
        float p = vec_exp(vec_dot(q, k, dh) * scale - lse);
        float ds = p * (vec_dot(dy, xl_row(c->in.v, o) + at, dh) - mean) * scale;
        vec_axpy(xl_row(c->din.v, o) + at, p, dy, dh);
        vec_axpy(xl_row(c->din.q, n) + at, ds, k, dh);
        vec_axpy(xl_row(c->din.k, o) + at, ds, q, dh);
    }
}

static void attend_moment_bwd(const call *c, const moment *m) {
    clear_moment(c, m);
    for (int a = 0; a < m->count; a++)
        for (int h = 0; has_token(c, m, a) && h < c->H; h++)
            attend_bwd(c, m, a, h);
}

/* ---- tasks ---- */

/* Moments from .. to - 1 of count * T, those of a group side by side. */
static void some_moments(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const call *c = job;
    for (ptrdiff_t i = from; i < to; i++) {
        moment m = moment_of(c, (int)(i / c->seq.T), (int)(i % c->seq.T));
        if (c->din.q.p)
            attend_moment_bwd(c, &m);
        else
            attend_moment(c, &m);
    }
}

static void run(const call *c) {
    ptrdiff_t step = PIECE / ((ptrdiff_t)c->g.largest * c->y.cols);
    by_steps((ptrdiff_t)c->g.count * c->seq.T, step < 1 ? 1 : step, some_moments, c);
}

static void group_attention(xl_view y, float *lse, xl_qkv in, int H, xl_seq seq, xl_groups g) {
    run(&(call){.y = y, .lse = lse, .in = in, .H = H, .seq = seq, .g = g});
}

static void group_attention_bwd(xl_qkv din, xl_view dy, xl_view y, const float *lse, xl_qkv in, int H,
                                xl_seq seq, xl_groups g) {
    run(&(call){y, dy, (float *)(uintptr_t)lse, in, din, H, seq, g});
}

void XL_ISA_NAME(xl_install_group)(xl_ops *t) {
    t->group_attention = group_attention;
    t->group_attention_bwd = group_attention_bwd;
}
