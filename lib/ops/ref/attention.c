#include "base/parallel.h"
#include "ops/ref/helpers.h"
#include <string.h>

static void rotate(real *x, int H, int dh, int j, real c, real s) {
    for (int h = 0; h < H; h++, x += dh) {
        real a = x[j], b = x[j + dh / 2];
        x[j] = a * c - b * s;
        x[j + dh / 2] = b * c + a * s;
    }
}

/* Angles in double: a float at position 100,000 has lost all digits after the second. */
void xl_ref_rope(xl_view x, int H, int sign, xl_seq seq, xl_state state) {
    int dh = x.cols / H;
    for (int b = 0; b < seq.B; b++) {
        double first = state.in ? (double)state.in[(size_t)b * state.stride] : 0;
        int length = length_of(seq, b);
        for (int j = 0; j < dh / 2; j++) {
            double speed = pow(10000.0, -2.0 * j / dh);
            for (int t = 0; t < length; t++) {
                double angle = sign * (first + t) * speed;
                rotate(row(x, (size_t)b * seq.T + t), H, dh, j, (real)cos(angle), (real)sin(angle));
            }
        }
        clear_from(x, seq, b, length);
    }
}

/* What one stream's queries can see: tokens of this call (time >= 0) and, before them, those in the state. */
typedef struct {
    xl_attention d;
    xl_view k, v;
    size_t first;                /* row of time 0 */
    const real *k_ring, *v_ring; /* may be NULL when visible == 0 */
    int64_t count;               /* position of time 0 */
    int visible;                 /* cached tokens that time 0 may see */
} memory;

static size_t ring_size(xl_attention d) {
    return (size_t)d.window * (size_t)d.H * (size_t)d.dh;
}

static size_t ring_row(const memory *m, int time) {
    return (size_t)((m->count + time) % m->d.window) * (size_t)m->d.H * (size_t)m->d.dh;
}

static const real *key_at(const memory *m, int time) {
    return time < 0 ? m->k_ring + ring_row(m, time) : row(m->k, m->first + time);
}

static const real *value_at(const memory *m, int time) {
    return time < 0 ? m->v_ring + ring_row(m, time) : row(m->v, m->first + time);
}

/* Softmax over the tokens from..t of one head in one pass: when a larger score turns up, what was summed so
 * far shrinks to the new scale. Returns the log-sum-exp. */
static real attend(real *y, const real *q, const memory *m, int from, int t, int head) {
    int dh = m->d.dh, at = head * dh;
    real top = -INFINITY, total = 0;
    clear(y, dh);
    for (int s = from; s <= t; s++) {
        real score = dot(q, key_at(m, s) + at, dh) / sqrt((real)dh);
        if (score > top) {
            real shrink = exp(top - score);
            total *= shrink;
            for (int i = 0; i < dh; i++)
                y[i] *= shrink;
            top = score;
        }
        real p = exp(score - top);
        total += p;
        axpy(y, p, value_at(m, s) + at, dh);
    }
    for (int i = 0; i < dh; i++)
        y[i] /= total;
    return top + log(total);
}

static int64_t count_of(real x, int64_t most) {
    if (!(x > 0))
        return 0;
    return x < (real)most ? (int64_t)x : most;
}

xl_ring xl_ring_of(const real *state, int window) {
    int64_t count = count_of(state[0], INT64_C(1) << 53);
    return (xl_ring){count, (int)count_of(state[1], window < count ? window : count)};
}

/* Brings the incoming state to where this call works on it: `out` if it is kept, `in` otherwise. */
static memory open_memory(xl_view k, xl_view v, xl_attention d, xl_seq seq, xl_state state, int b) {
    memory m = {d, k, v, (size_t)b * (size_t)seq.T, NULL, NULL, 0, 0};
    const real *in = state.in ? state.in + (size_t)b * state.stride : NULL;
    real *out = state.out ? state.out + (size_t)b * state.stride : NULL;
    if (in) {
        xl_ring ring = xl_ring_of(in, d.window);
        m.count = ring.count;
        m.visible = ring.visible;
        if (out && out != in)
            memcpy(out, in, (2 + 2 * ring_size(d)) * sizeof(real));
    }
    if (in || out) {
        m.k_ring = (out ? out : in) + 2;
        m.v_ring = m.k_ring + ring_size(d);
    }
    return m;
}

static void keep_token(real *out, const memory *m, int t) {
    int width = m->d.H * m->d.dh;
    real *k_row = out + 2 + ring_row(m, t);
    memcpy(k_row, row(m->k, m->first + t), width * sizeof(real));
    memcpy(k_row + ring_size(m->d), row(m->v, m->first + t), width * sizeof(real));
}

/* The first token that t sees when nothing before `oldest` is visible. */
static int window_start(xl_attention d, int oldest, int t) {
    int from = t - d.window + 1;
    return from > oldest ? from : oldest;
}

static void attend_stream(xl_view y, real *lse, xl_view q, const memory *m, xl_seq seq, int b, real *out) {
    int start = 0, end = 0, fresh = 0, oldest = -m->visible;
    while (xl_next_piece(seq, b, 0, &start, &end, &fresh)) {
        if (fresh)
            oldest = start;
        for (int t = start; t < end; t++) {
            /* the token that this one pushes out of the ring is just outside its window */
            if (out)
                keep_token(out, m, t);
            for (int h = 0; h < m->d.H; h++) {
                size_t n = m->first + t;
                real sum = attend(row(y, n) + h * m->d.dh, row(q, n) + h * m->d.dh, m,
                                  window_start(m->d, oldest, t), t, h);
                if (lse)
                    lse[n * m->d.H + h] = sum;
            }
        }
    }
    if (out) {
        int visible = end - oldest;
        out[0] = (real)(m->count + end);
        out[1] = (real)(visible < m->d.window ? visible : m->d.window);
    }
}

void xl_ref_attention(xl_view y, real *lse, xl_view q, xl_view k, xl_view v, xl_attention d, xl_seq seq,
                      xl_state state, real *scratch) {
    (void)scratch;
    for (int b = 0; b < seq.B; b++) {
        memory m = open_memory(k, v, d, seq, state, b);
        attend_stream(y, lse, q, &m, seq, b, state.out ? state.out + (size_t)b * state.stride : NULL);
        clear_from(y, seq, b, length_of(seq, b));
        for (int t = length_of(seq, b); t < seq.T && lse; t++)
            clear(lse + (m.first + t) * d.H, d.H);
    }
}

/* One head of token n over the tokens from..n: with p the softmax, dp_s = dy.v_s and
 * ds_s = p_s (dp_s - sum p dp), where the sum is dy.y. */
static void attend_bwd(xl_view dq, xl_view dk, xl_view dv, const real *dy, const real *y, real lse, xl_view q,
                       xl_view k, xl_view v, size_t from, size_t n) {
    int dh = q.cols;
    real scale = 1 / sqrt((real)dh), mean = dot(dy, y, dh);
    for (size_t s = from; s <= n; s++) {
        real p = exp(dot(row(q, n), row(k, s), dh) * scale - lse);
        real ds = p * (dot(dy, row(v, s), dh) - mean) * scale;
        axpy(row(dv, s), p, dy, dh);
        axpy(row(dq, n), ds, row(k, s), dh);
        axpy(row(dk, s), ds, row(q, n), dh);
    }
}

void xl_ref_attention_bwd(xl_view dq, xl_view dk, xl_view dv, xl_view dy, xl_view y, const real *lse,
                          xl_view q, xl_view k, xl_view v, xl_attention d, xl_seq seq, real *scratch) {
    (void)scratch;
    for (int b = 0; b < seq.B; b++) {
        size_t first = (size_t)b * (size_t)seq.T;
        clear_from(dq, seq, b, 0);
        clear_from(dk, seq, b, 0);
        clear_from(dv, seq, b, 0);
        int start = 0, end = 0, fresh = 0;
        while (xl_next_piece(seq, b, 0, &start, &end, &fresh))
            for (int t = start; t < end; t++)
                for (int h = 0; h < d.H; h++) {
                    size_t n = first + t, from = first + window_start(d, start, t);
                    int at = h * d.dh;
                    attend_bwd(xl_cols(dq, at, d.dh), xl_cols(dk, at, d.dh), xl_cols(dv, at, d.dh),
                               row(dy, n) + at, row(y, n) + at, lse[n * d.H + h], xl_cols(q, at, d.dh),
                               xl_cols(k, at, d.dh), xl_cols(v, at, d.dh), from, n);
                }
    }
}

/* Per thread a block of scores and one of their gradients. */
uint64_t xl_attention_scratch(xl_attention d, xl_seq seq) {
    uint64_t rows = seq.T < XL_ATTENTION_ROWS ? (uint64_t)seq.T : XL_ATTENTION_ROWS;
    (void)d;
    return (uint64_t)xl_threads() * 2 * rows * XL_ATTENTION_COLS;
}
