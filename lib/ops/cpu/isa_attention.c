/* Causal attention with a running softmax: one task per (stream, head) takes ROWS queries at a time past COLS
 * keys at a time, so that scores never leave the cache and none of them is kept for the backward pass. */
#include "ops/cpu/cpu.h"
#include "ops/cpu/vec.h"
#include <string.h>

enum { ROWS = XL_ATTENTION_ROWS, COLS = XL_ATTENTION_COLS, FEW = 4, ROPE_TOKENS = 32, ROPE_PAIRS = 128 };

typedef struct {
    xl_view y, q, k, v, dy, dq, dk, dv;
    float *lse, *scratch;
    size_t block; /* half a thread's scratch */
    xl_attention d;
    xl_seq seq;
    xl_state state;
} job;

static float *at(xl_view v, size_t n, int col) {
    return v.p + n * v.ld + col;
}

static float dot(const float *a, const float *b, int n) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static void axpy(float *y, float a, const float *x, int n) {
#pragma omp simd
    for (int i = 0; i < n; i++)
        y[i] += a * x[i];
}

static void times(float *y, float a, int n) {
#pragma omp simd
    for (int i = 0; i < n; i++)
        y[i] *= a;
}

static int length_of(const job *j, int b) {
    return j->seq.lengths ? j->seq.lengths[b] : j->seq.T;
}

static void clear_padding(const job *j, xl_view v, int b, int col, int width) {
    for (int t = length_of(j, b); t < j->seq.T; t++)
        memset(at(v, (size_t)b * (size_t)j->seq.T + (size_t)t, col), 0, (size_t)width * sizeof(float));
}

/* ---- rotary positions
 * ------------------------------------------------------------------------------------------- */

typedef struct {
    xl_view x;
    int H, sign, pieces; /* of a stream */
    xl_seq seq;
    xl_state state;
} rotation;

/* cos and sin of some pairs' angles, going from token to token by one rotation more. In double: a float at
 * position 100,000 has lost all digits after the second. */
typedef struct {
    double c[ROPE_PAIRS], s[ROPE_PAIRS], c_step[ROPE_PAIRS], s_step[ROPE_PAIRS];
} angles;

static void begin_angles(angles *a, double position, int sign, int first, int count, int dh) {
    for (int i = 0; i < count; i++) {
        double speed = sign * pow(10000.0, -2.0 * (first + i) / dh);
        a->c[i] = cos(position * speed);
        a->s[i] = sin(position * speed);
        a->c_step[i] = cos(speed);
        a->s_step[i] = sin(speed);
    }
}

static void rotate_token(angles *a, float *x, int H, int dh, int first, int count) {
    float c[ROPE_PAIRS], s[ROPE_PAIRS];
    for (int i = 0; i < count; i++) {
        double next = a->c[i] * a->c_step[i] - a->s[i] * a->s_step[i];
        c[i] = (float)a->c[i];
        s[i] = (float)a->s[i];
        a->s[i] = a->s[i] * a->c_step[i] + a->c[i] * a->s_step[i];
        a->c[i] = next;
    }
    for (int h = 0; h < H; h++) {
        float *low = x + h * dh + first, *high = low + dh / 2;
#pragma omp simd
        for (int i = 0; i < count; i++) {
            float l = low[i], u = high[i];
            low[i] = l * c[i] - u * s[i];
            high[i] = u * c[i] + l * s[i];
        }
    }
}

static void rope_piece(void *context, int index, int thread) {
    const rotation *r = context;
    int b = index / r->pieces, from = index % r->pieces * ROPE_TOKENS, T = r->seq.T, dh = r->x.cols / r->H;
    int to = from + ROPE_TOKENS < T ? from + ROPE_TOKENS : T;
    int length = r->seq.lengths ? r->seq.lengths[b] : T, end = to < length ? to : length;
    double before = r->state.in ? (double)r->state.in[(size_t)b * r->state.stride] : 0;
    angles a;
    (void)thread;
    for (int first = 0; first < dh / 2 && from < end; first += ROPE_PAIRS) {
        int count = dh / 2 - first < ROPE_PAIRS ? dh / 2 - first : ROPE_PAIRS;
        begin_angles(&a, before + from, r->sign, first, count, dh);
        for (int t = from; t < end; t++)
            rotate_token(&a, at(r->x, (size_t)b * (size_t)T + (size_t)t, 0), r->H, dh, first, count);
    }
    for (int t = from > length ? from : length; t < to; t++)
        memset(at(r->x, (size_t)b * (size_t)T + (size_t)t, 0), 0, (size_t)r->x.cols * sizeof(float));
}

static void rope(xl_view x, int H, int sign, xl_seq seq, xl_state state) {
    rotation r = {x, H, sign, (seq.T + ROPE_TOKENS - 1) / ROPE_TOKENS, seq, state};
    xl_parallel(seq.B * r.pieces, rope_piece, &r);
}

/* ---- forward
 * --------------------------------------------------------------------------------------------------- */

/* Keys and values of one head that lie evenly spaced: tokens from .. to (below 0: from the state). */
typedef struct {
    const float *k, *v;
    size_t k_ld, v_ld;
    int from, to;
} span;

/* ROWS queries of one head, from token t0 on, and what is known of their softmax so far. */
typedef struct {
    const job *j;
    const float *q;
    float *y, *scores;
    int t0, rows, oldest; /* nothing before token `oldest` is visible */
    float top[ROWS], total[ROWS];
} queries;

static size_t ring_size(xl_attention d) {
    return (size_t)d.window * (size_t)d.H * (size_t)d.dh;
}

/* Up to three: the ring's older end, its younger end, this call. */
static int spans_of(span s[3], const job *j, int b, int head) {
    int count = 0, T = j->seq.T, col = head * j->d.dh;
    size_t n = (size_t)b * (size_t)T, width = (size_t)j->d.H * (size_t)j->d.dh;
    if (j->state.in) {
        const float *in = j->state.in + (size_t)b * j->state.stride, *k = in + 2 + col;
        int window = j->d.window;
        xl_ring ring = xl_ring_of(in, window);
        int place = (int)((ring.count - ring.visible) % window);
        for (int from = -ring.visible, to; from < 0; from = to, place = 0) {
            to = from + (window - place) < 0 ? from + (window - place) : 0;
            const float *first = k + (size_t)place * width;
            s[count++] = (span){first, first + ring_size(j->d), width, width, from, to};
        }
    }
    s[count++] = (span){at(j->k, n, col), at(j->v, n, col), j->k.ld, j->v.ld, 0, T};
    return count;
}

static int window_start(const queries *u, int t) {
    int from = t - u->j->d.window + 1;
    return from > u->oldest ? from : u->oldest;
}

/* The scores of query r with keys from .. to become weights relative to its largest score so far; to that all
 * of before shrinks. */
static void soften(queries *u, int r, int from, int to) {
    float *w = u->scores + r * COLS, total = 0;
    int t = u->t0 + r, low = window_start(u, t), high = t + 1;
    low = (low > from ? low : from) - from;
    high = (high < to ? high : to) - from;
    if (low >= high) {
        memset(w, 0, (size_t)(to - from) * sizeof *w);
        return;
    }
    float top = vec_largest(w + low, high - low);
    if (top > u->top[r]) {
        float shrink = vec_exp(u->top[r] - top);
        u->top[r] = top;
        u->total[r] *= shrink;
        times(u->y + (size_t)r * u->j->y.ld, shrink, u->j->d.dh);
    }
    top = u->top[r];
#pragma omp simd reduction(+ : total)
    for (int i = low; i < high; i++) {
        w[i] = vec_exp(w[i] - top);
        total += w[i];
    }
    u->total[r] += total;
    memset(w, 0, (size_t)low * sizeof *w);
    memset(w + high, 0, (size_t)(to - from - high) * sizeof *w);
}

/* All queries against keys from .. to of the span, at most COLS. */
static void attend_block(queries *u, const span *s, int from, int to) {
    const job *j = u->j;
    int dh = j->d.dh, n = to - from;
    float scale = 1 / sqrtf((float)dh);
    const float *k = s->k + (size_t)(from - s->from) * s->k_ld,
                *v = s->v + (size_t)(from - s->from) * s->v_ld;
    if (u->rows < FEW) { /* BLAS would copy all keys to use them once */
        for (int r = 0; r < u->rows; r++)
            for (int i = 0; i < n; i++)
                u->scores[r * COLS + i] =
                    scale * dot(u->q + (size_t)r * j->q.ld, k + (size_t)i * s->k_ld, dh);
    } else {
        xl_gemm(0, 1, u->rows, n, dh, scale, u->q, j->q.ld, k, s->k_ld, 0, u->scores, COLS);
    }
    for (int r = 0; r < u->rows; r++)
        soften(u, r, from, to);
    if (u->rows < FEW) {
        for (int r = 0; r < u->rows; r++)
            for (int i = 0; i < n; i++)
                axpy(u->y + (size_t)r * j->y.ld, u->scores[r * COLS + i], v + (size_t)i * s->v_ld, dh);
    } else {
        xl_gemm(0, 0, u->rows, dh, n, 1, u->scores, COLS, v, s->v_ld, 1, u->y, j->y.ld);
    }
}

static void attend_queries(queries *u, const span *s, int spans, float *lse) {
    int dh = u->j->d.dh, first = window_start(u, u->t0), last = u->t0 + u->rows;
    for (int r = 0; r < u->rows; r++) {
        u->top[r] = -INFINITY;
        u->total[r] = 0;
        memset(u->y + (size_t)r * u->j->y.ld, 0, (size_t)dh * sizeof(float));
    }
    for (; spans > 0; s++, spans--) {
        int to = s->to < last ? s->to : last;
        for (int from = s->from > first ? s->from : first; from < to; from += COLS)
            attend_block(u, s, from, from + COLS < to ? from + COLS : to);
    }
    for (int r = 0; r < u->rows; r++) {
        times(u->y + (size_t)r * u->j->y.ld, 1 / u->total[r], dh);
        if (lse)
            lse[r * u->j->d.H] = u->top[r] + logf(u->total[r]);
    }
}

/* This call's last tokens go into the ring of the state that goes out. */
static void keep_head(const job *j, int b, int head) {
    int dh = j->d.dh, col = head * dh, window = j->d.window, length = length_of(j, b);
    size_t width = (size_t)j->d.H * (size_t)dh, bytes = (size_t)dh * sizeof(float);
    size_t ring = ring_size(j->d), n = (size_t)b * (size_t)j->seq.T;
    float *out = j->state.out + (size_t)b * j->state.stride;
    const float *in = j->state.in ? j->state.in + (size_t)b * j->state.stride : NULL;
    int64_t count = in ? xl_ring_of(in, window).count : 0;
    for (size_t row = 0; in && in != out && row < 2 * (size_t)window; row++)
        memcpy(out + 2 + row * width + col, in + 2 + row * width + col, bytes);
    for (int t = length > window ? length - window : 0; t < length; t++) {
        float *k = out + 2 + (size_t)((count + t) % window) * width + col;
        memcpy(k, at(j->k, n + (size_t)t, col), bytes);
        memcpy(k + ring, at(j->v, n + (size_t)t, col), bytes);
    }
}

static size_t block_of(xl_attention d, xl_seq seq) {
    return xl_attention_scratch(d, seq) / (size_t)xl_threads() / 2;
}

static float *scratch_of(const job *j, int thread) {
    return j->scratch + (size_t)thread * 2 * j->block;
}

static void attend_head(void *context, int index, int thread) {
    const job *j = context;
    int b = index / j->d.H, head = index % j->d.H, col = head * j->d.dh, start = 0, end = 0, fresh = 0;
    size_t n0 = (size_t)b * (size_t)j->seq.T;
    span s[3];
    int spans = spans_of(s, j, b, head);
    queries u = {.j = j, .scores = scratch_of(j, thread), .oldest = s[0].from};
    while (xl_next_piece(j->seq, b, 0, &start, &end, &fresh)) {
        if (fresh)
            u.oldest = start;
        for (u.t0 = start; u.t0 < end; u.t0 += ROWS) {
            size_t n = n0 + (size_t)u.t0;
            u.rows = end - u.t0 < ROWS ? end - u.t0 : ROWS;
            u.q = at(j->q, n, col);
            u.y = at(j->y, n, col);
            attend_queries(&u, s, spans, j->lse ? j->lse + n * (size_t)j->d.H + (size_t)head : NULL);
        }
    }
    clear_padding(j, j->y, b, col, j->d.dh);
    for (int t = length_of(j, b); t < j->seq.T && j->lse; t++)
        j->lse[(n0 + (size_t)t) * (size_t)j->d.H + (size_t)head] = 0;
    if (j->state.out)
        keep_head(j, b, head);
}

/* The two numbers in front of a stream's rings, which all its heads have read. */
static void count_tokens(const job *j, int b) {
    float *out = j->state.out + (size_t)b * j->state.stride;
    const float *in = j->state.in ? j->state.in + (size_t)b * j->state.stride : NULL;
    xl_ring ring = in ? xl_ring_of(in, j->d.window) : (xl_ring){0, 0};
    int oldest = -ring.visible, start = 0, end = 0, fresh = 0;
    while (xl_next_piece(j->seq, b, 0, &start, &end, &fresh))
        oldest = fresh ? start : oldest;
    out[0] = (float)(ring.count + end);
    out[1] = (float)(end - oldest < j->d.window ? end - oldest : j->d.window);
}

static void attention(xl_view y, float *lse, xl_view q, xl_view k, xl_view v, xl_attention d, xl_seq seq,
                      xl_state state, float *scratch) {
    job j = {
        .y = y, .lse = lse, .q = q, .k = k, .v = v, .d = d, .seq = seq, .state = state, .scratch = scratch};
    j.block = block_of(d, seq);
    xl_parallel(seq.B * d.H, attend_head, &j);
    for (int b = 0; b < seq.B && state.out; b++)
        count_tokens(&j, b);
}

/* ---- backward
 * -------------------------------------------------------------------------------------------------- */

/* With p the softmax, dp_s = dy.v_s and ds_s = p_s (dp_s - mean), mean = sum p dp = dy.y: the scores and dp
 * of query r with keys from .. to become p and ds / sqrt(dh). A query that sees hardly more than one key has
 * next to no gradient, and what cancels there does so to the last digit only if p sums to 1 over these very
 * scores and the mean is taken over these very dp: done where all keys that the query sees are here. */
static void harden(const queries *u, float *dp, int r, int from, int to, float lse, float mean) {
    float *p = u->scores + r * COLS, scale = 1 / sqrtf((float)u->j->d.dh), total = 0, sum = 0;
    int t = u->t0 + r, first = window_start(u, t), last = t + 1;
    int low = (first > from ? first : from) - from, high = (last < to ? last : to) - from;
    dp += r * COLS;
#pragma omp simd reduction(+ : total)
    for (int i = 0; i < to - from; i++) {
        float w = i >= low && i < high ? vec_exp(p[i] - lse) : 0;
        p[i] = w;
        total += w;
    }
    if (first >= from && last <= to) {
#pragma omp simd reduction(+ : sum)
        for (int i = low; i < high; i++) {
            p[i] /= total;
            sum += p[i] * dp[i];
        }
        mean = sum;
    }
#pragma omp simd
    for (int i = 0; i < to - from; i++)
        dp[i] = p[i] * (dp[i] - mean) * scale;
}

/* ROWS queries at row n against keys from .. to, at most COLS, of the same stream, whose first row is n0. */
static void attend_block_bwd(queries *u, int col, int head, size_t n0, int from, int to, int first) {
    const job *j = u->j;
    int dh = j->d.dh, rows = u->rows, keys = to - from;
    size_t n = n0 + (size_t)u->t0, s = n0 + (size_t)from;
    float *dp = u->scores + j->block;
    xl_gemm(0, 1, rows, keys, dh, 1 / sqrtf((float)dh), u->q, j->q.ld, at(j->k, s, col), j->k.ld, 0,
            u->scores, COLS);
    xl_gemm(0, 1, rows, keys, dh, 1, at(j->dy, n, col), j->dy.ld, at(j->v, s, col), j->v.ld, 0, dp, COLS);
    for (int r = 0; r < rows; r++)
        harden(u, dp, r, from, to, j->lse[(n + (size_t)r) * (size_t)j->d.H + (size_t)head], u->total[r]);
    xl_gemm(1, 0, keys, dh, rows, 1, u->scores, COLS, at(j->dy, n, col), j->dy.ld, 1, at(j->dv, s, col),
            j->dv.ld);
    xl_gemm(1, 0, keys, dh, rows, 1, dp, COLS, u->q, j->q.ld, 1, at(j->dk, s, col), j->dk.ld);
    xl_gemm(0, 0, rows, dh, keys, 1, dp, COLS, at(j->k, s, col), j->k.ld, first ? 0 : 1, at(j->dq, n, col),
            j->dq.ld);
}

static void attend_head_bwd(void *context, int index, int thread) {
    const job *j = context;
    int dh = j->d.dh, b = index / j->d.H, head = index % j->d.H, col = head * dh, start = 0, end = 0,
        fresh = 0;
    size_t n0 = (size_t)b * (size_t)j->seq.T;
    queries u = {.j = j, .scores = scratch_of(j, thread)};
    for (int t = 0; t < j->seq.T; t++) {
        memset(at(j->dk, n0 + (size_t)t, col), 0, (size_t)dh * sizeof(float));
        memset(at(j->dv, n0 + (size_t)t, col), 0, (size_t)dh * sizeof(float));
    }
    while (xl_next_piece(j->seq, b, 0, &start, &end, &fresh))
        for (u.oldest = start, u.t0 = start; u.t0 < end; u.t0 += ROWS) {
            size_t n = n0 + (size_t)u.t0;
            u.rows = end - u.t0 < ROWS ? end - u.t0 : ROWS;
            u.q = at(j->q, n, col);
            for (int r = 0; r < u.rows; r++)
                u.total[r] = dot(at(j->dy, n + (size_t)r, col), at(j->y, n + (size_t)r, col), dh);
            int lowest = window_start(&u, u.t0), last = u.t0 + u.rows;
            for (int from = lowest; from < last; from += COLS)
                attend_block_bwd(&u, col, head, n0, from, from + COLS < last ? from + COLS : last,
                                 from == lowest);
        }
    clear_padding(j, j->dq, b, col, dh);
}

static void attention_bwd(xl_view dq, xl_view dk, xl_view dv, xl_view dy, xl_view y, const float *lse,
                          xl_view q, xl_view k, xl_view v, xl_attention d, xl_seq seq, float *scratch) {
    job j = {.y = y,
             .lse = (float *)(uintptr_t)lse,
             .q = q,
             .k = k,
             .v = v,
             .dy = dy,
             .dq = dq,
             .dk = dk,
             .dv = dv,
             .d = d,
             .seq = seq,
             .scratch = scratch,
             .block = block_of(d, seq)};
    xl_parallel(seq.B * d.H, attend_head_bwd, &j);
}

void XL_ISA_NAME(xl_install_attention)(xl_ops *t) {
    t->rope = rope;
    t->attention = attention;
    t->attention_bwd = attention_bwd;
}
