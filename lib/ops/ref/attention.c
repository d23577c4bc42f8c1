/* attention.c - causal softmax attention over a window, with rotary positions: one score at a time, none
 * kept. docs/math/transformer.md
 *
 * state of a stream, D = H dh numbers to a row:
 *
 *     | tokens seen | of them visible | keys: window rows, position p in row p % window | values: the same |
 */
#include "ops/ref/helpers.h"
#include <string.h>

/* Rotary positions (arXiv 2104.09864): x [N, H dh], in place. Of each head the pair (x_j, x_{j+dh/2}) turns
 * by the angle of position p,
 *
 *     theta = p 10000^(-2j / dh)
 *     x_j <- x_j cos theta - x_{j+dh/2} sin theta        x_{j+dh/2} <- x_{j+dh/2} cos theta + x_j sin theta
 *
 * so that inner products depend on differences of positions. Backward is the rotation by -theta. */
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
        double first = state.in ? (double)*xl_state_in(state, b) : 0;
        for (int j = 0; j < dh / 2; j++) {
            double speed = pow(10000.0, -2.0 * j / dh);
            for (int t = 0; t < xl_length(seq, b); t++) {
                double angle = sign * (first + t) * speed;
                rotate(xl_row(x, xl_token(seq, b, t)), H, dh, j, (real)cos(angle), (real)sin(angle));
            }
        }
    }
    xl_ref_clear_padding(x, 0, seq);
}

/* ---- forward ---- */

/* What one stream's queries can see: tokens of this call (time >= 0) and, before them, those in the state. */
typedef struct {
    xl_attention d;
    xl_view k, v;           /* of this stream [T, D] */
    xl_view ring_k, ring_v; /* [window, D]; nowhere without a state, where visible is 0 */
    int64_t count;          /* position of time 0 */
    int visible;            /* cached tokens that time 0 may see */
} cache;

static ptrdiff_t ring_row(const cache *m, int time) {
    return (ptrdiff_t)((m->count + time) % m->d.window);
}

static const real *key_at(const cache *m, int time) {
    return time < 0 ? xl_row(m->ring_k, ring_row(m, time)) : xl_row(m->k, time);
}

static const real *value_at(const cache *m, int time) {
    return time < 0 ? xl_row(m->ring_v, ring_row(m, time)) : xl_row(m->v, time);
}

/* One head of one token t: q, y [dh], over the tokens from..t.
 *
 *     s_r = q . k_r / sqrt(dh)        p = softmax(s)        y = sum_r p_r v_r
 *
 * The softmax goes over scores once (arXiv 1805.02867): when a larger one turns up, what was summed so far
 * shrinks to the new scale. Returns lse = log sum_r exp(s_r), from which backward has p_r = exp(s_r - lse).
 */
static real attend(real *y, const real *q, const cache *m, int from, int t, int head) {
    int dh = m->d.dh, at = head * dh;
    real top = -INFINITY, total = 0;
    xl_ref_fill(y, dh, 0);
    for (int r = from; r <= t; r++) {
        real score = dot(q, key_at(m, r) + at, dh) / sqrt((real)dh);
        if (score > top) {
            real shrink = exp(top - score);
            total *= shrink;
            for (int i = 0; i < dh; i++)
                y[i] *= shrink;
            top = score;
        }
        real p = exp(score - (top > -INFINITY ? top : 0)); /* of -infinity alone all weights are 0 */
        total += p;
        axpy(y, p, value_at(m, r) + at, dh);
    }
    for (int i = 0; i < dh; i++)
        y[i] /= total;
    return top + log(total);
}

/* Brings the incoming state to where this call works on it: `out` if it is kept, `in` otherwise. */
static cache open_cache(xl_qkv in, xl_attention d, xl_seq seq, xl_state state, int b) {
    const real *old = xl_state_in(state, b);
    real *kept = xl_state_out(state, b);
    int D = d.H * d.dh;
    cache m = {d, xl_some_rows(in.k, b * seq.T, seq.T), xl_some_rows(in.v, b * seq.T, seq.T), {0}, {0}, 0, 0};
    if (old) {
        xl_ring ring = xl_ring_of(old, d.window);
        m.count = ring.count;
        m.visible = ring.visible;
        if (kept && kept != old)
            memcpy(kept, old, xl_attention_state(d) * sizeof(real));
    }
    if (old || kept) {
        xl_view rings = xl_const_rows((kept ? kept : old) + 2, 2 * d.window, D);
        m.ring_k = xl_some_rows(rings, 0, d.window);
        m.ring_v = xl_some_rows(rings, d.window, d.window);
    }
    return m;
}

/* The ring's row of a token is that of the token which it pushes out. */
static void keep_token(const cache *m, int t) {
    size_t bytes = m->k.cols * sizeof(real);
    memcpy(xl_row(m->ring_k, ring_row(m, t)), xl_row(m->k, t), bytes);
    memcpy(xl_row(m->ring_v, ring_row(m, t)), xl_row(m->v, t), bytes);
}

/* The first token that t sees when nothing before `oldest` is visible. */
static int window_start(xl_attention d, int oldest, int t) {
    int from = t - d.window + 1;
    return from > oldest ? from : oldest;
}

/* y, lse, q: of this stream, [T, D] and [T, H]; lse.p NULL: it is not wanted. */
static void attend_stream(xl_view y, xl_view lse, xl_view q, const cache *m, xl_seq seq, int b, real *out) {
    int start = 0, end = 0, fresh = 0, oldest = -m->visible;
    while (xl_next_piece(seq, b, 0, &start, &end, &fresh)) {
        if (fresh)
            oldest = start;
        for (int t = start; t < end; t++) {
            /* the token that this one pushes out of the ring is just outside its window */
            if (out)
                keep_token(m, t);
            for (int h = 0; h < m->d.H; h++) {
                real sum = attend(xl_row(y, t) + h * m->d.dh, xl_row(q, t) + h * m->d.dh, m,
                                  window_start(m->d, oldest, t), t, h);
                if (lse.p)
                    xl_row(lse, t)[h] = sum;
            }
        }
    }
    if (out) {
        int visible = end - oldest;
        out[0] = (real)(m->count + end);
        out[1] = (real)(visible < m->d.window ? visible : m->d.window);
    }
}

void xl_ref_attention(xl_view y, real *lse, xl_qkv in, xl_attention d, xl_seq seq, xl_state state,
                      real *scratch) {
    xl_view lses = xl_rows(lse, y.rows, d.H);
    (void)scratch;
    for (int b = 0; b < seq.B; b++) {
        cache m = open_cache(in, d, seq, state, b);
        int first = b * seq.T;
        attend_stream(xl_some_rows(y, first, seq.T), xl_some_rows(lses, first, seq.T),
                      xl_some_rows(in.q, first, seq.T), &m, seq, b, xl_state_out(state, b));
    }
    xl_ref_clear_padding(y, 0, seq);
    if (lse)
        xl_ref_clear_padding(lses, 0, seq);
}

/* ---- backward ---- */

/* One head of token n over the tokens from..n. The derivative of a softmax takes away a mean, which here is
 * one inner product, since sum_r p_r (dy . v_r) = dy . y:
 *
 *     dv_r += p_r dy
 *     ds_r = p_r (dy . v_r - dy . y)
 *     dq += ds_r k_r / sqrt(dh)        dk_r += ds_r q / sqrt(dh) */
static void attend_bwd(xl_qkv din, const real *dy, const real *y, real lse, xl_qkv in, ptrdiff_t from,
                       ptrdiff_t n) {
    int dh = in.q.cols;
    const real *q = xl_row(in.q, n);
    real scale = 1 / sqrt((real)dh), mean = dot(dy, y, dh);
    for (ptrdiff_t r = from; r <= n; r++) {
        const real *k = xl_row(in.k, r), *v = xl_row(in.v, r);
        real p = exp(dot(q, k, dh) * scale - lse);
        real ds = p * (dot(dy, v, dh) - mean) * scale;
        axpy(xl_row(din.v, r), p, dy, dh);
        axpy(xl_row(din.q, n), ds, k, dh);
        axpy(xl_row(din.k, r), ds, q, dh);
    }
}

static xl_qkv one_head(xl_qkv x, int head, int dh) {
    return (xl_qkv){xl_cols(x.q, head * dh, dh), xl_cols(x.k, head * dh, dh), xl_cols(x.v, head * dh, dh)};
}

void xl_ref_attention_bwd(xl_qkv din, xl_view dy, xl_view y, const real *lse, xl_qkv in, xl_attention d,
                          xl_seq seq, real *scratch) {
    (void)scratch;
    clear(din.q);
    clear(din.k);
    clear(din.v);
    for (int b = 0; b < seq.B; b++) {
        int start = 0, end = 0, fresh = 0;
        while (xl_next_piece(seq, b, 0, &start, &end, &fresh))
            for (int t = start; t < end; t++)
                for (int h = 0; h < d.H; h++) {
                    ptrdiff_t n = xl_token(seq, b, t), from = xl_token(seq, b, window_start(d, start, t));
                    int at = h * d.dh;
                    attend_bwd(one_head(din, h, d.dh), xl_row(dy, n) + at, xl_row(y, n) + at,
                               lse[n * d.H + h], one_head(in, h, d.dh), from, n);
                }
    }
}

/* Nothing is kept beside the sums themselves. */
uint64_t xl_ref_attention_scratch(xl_attention d, xl_seq seq) {
    (void)d, (void)seq;
    return 0;
}
