/* isa_attention.c - causal attention with a running softmax: one task per (stream, head) takes some queries
 * at a time past some keys at a time, so that scores never leave the cache and none of them is kept for the
 * backward pass. */
#include "ops/cpu/block.h"
#include "ops/cpu/cpu.h"
#include "ops/cpu/vec.h"

/* Scores are worked on in blocks of so many queries and keys. */
enum { QUERIES = 64, KEYS = 512, FEW = 4 };

typedef struct {
    xl_view y, dy;
    float *lse;
    xl_qkv in, din;
    xl_attention d;
    xl_seq seq;
    xl_state state;
    float *scratch;
} call;

/* ---- rotary positions ---- */

enum { ROPE_TOKENS = 32, ROPE_PAIRS = 128 };

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
    int first, count; /* pairs */
} angles;

static void begin_angles(angles *a, double position, int sign, int dh) {
    for (int i = 0; i < a->count; i++) {
        double speed = sign * pow(10000.0, -2.0 * (a->first + i) / dh);
        a->c[i] = cos(position * speed);
        a->s[i] = sin(position * speed);
        a->c_step[i] = cos(speed);
        a->s_step[i] = sin(speed);
    }
}

static void rotate_token(angles *a, float *x, int H, int dh) {
    float c[ROPE_PAIRS], s[ROPE_PAIRS];
    int count = a->count;
    for (int i = 0; i < count; i++) {
        double next = a->c[i] * a->c_step[i] - a->s[i] * a->s_step[i];
        c[i] = (float)a->c[i];
        s[i] = (float)a->s[i];
        a->s[i] = a->s[i] * a->c_step[i] + a->c[i] * a->s_step[i];
        a->c[i] = next;
    }
    for (int h = 0; h < H; h++) {
        float *low = x + h * dh + a->first, *high = low + dh / 2;
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
    int length = xl_length(r->seq, b), end = to < length ? to : length;
    const float *state = xl_state_in(r->state, b);
    double before = state ? state[0] : 0; /* tokens */
    angles a;
    (void)thread;
    for (a.first = 0; a.first < dh / 2 && from < end; a.first += ROPE_PAIRS) {
        a.count = dh / 2 - a.first < ROPE_PAIRS ? dh / 2 - a.first : ROPE_PAIRS;
        begin_angles(&a, before + from, r->sign, dh);
        for (int t = from; t < end; t++)
            rotate_token(&a, xl_row(r->x, xl_token(r->seq, b, t)), r->H, dh);
    }
    for (int t = from > length ? from : length; t < to; t++)
        memset(xl_row(r->x, xl_token(r->seq, b, t)), 0, r->x.cols * sizeof(float));
}

static void rope(xl_view x, int H, int sign, xl_seq seq, xl_state state) {
    rotation r = {x, H, sign, (seq.T + ROPE_TOKENS - 1) / ROPE_TOKENS, seq, state};
    xl_parallel(seq.B * r.pieces, rope_piece, &r);
}

/* ---- scratch ---- */

/* Of a thread: | scores QUERIES x KEYS | their gradients, or values KEYS x dh | , with fewer tokens fewer
 * queries. */
static uint64_t block_size(xl_seq seq) {
    uint64_t queries = seq.T < QUERIES ? seq.T : QUERIES;
    return queries * KEYS;
}

static uint64_t thread_scratch(xl_attention d, xl_seq seq) {
    uint64_t values = (uint64_t)KEYS * d.dh;
    return block_size(seq) + (values > block_size(seq) ? values : block_size(seq));
}

static uint64_t attention_scratch(xl_attention d, xl_seq seq) {
    return thread_scratch(d, seq) * xl_threads();
}

static float *scores_of(const call *a, int thread) {
    return a->scratch + thread * thread_scratch(a->d, a->seq);
}

/* ---- keys and values ---- */

/* Those of one head that lie evenly spaced: of tokens from .. to (below 0: from the state). */
typedef struct {
    xl_view k, v;
    int from, to;
    int finite; /* all values are; 0 also where nobody looked, for few queries */
} span;

/* Where one head finds its part of a stream's state, | tokens seen | visible | k window x D | v window x D |,
 * whose rows are rings. */
static xl_qkv rings_of(xl_attention d, const float *state, int head) {
    int D = d.H * d.dh;
    xl_view k = xl_const_rows(state + 2, d.window, D), v = {xl_row(k, d.window), XL_REAL, d.window, D, D};
    return (xl_qkv){.k = xl_block(k, 0, d.window, head * d.dh, d.dh),
                    .v = xl_block(v, 0, d.window, head * d.dh, d.dh)};
}

/* Up to three: the ring's older end, its younger end, this call. */
static int spans_of(span s[3], const call *a, int b, int head) {
    int count = 0, T = a->seq.T, dh = a->d.dh, window = a->d.window;
    ptrdiff_t n = xl_token(a->seq, b, 0);
    const float *state = xl_state_in(a->state, b);
    if (state) {
        xl_qkv rings = rings_of(a->d, state, head);
        xl_ring ring = xl_ring_of(state, window);
        int place = (int)((ring.count - ring.visible) % window);
        for (int from = -ring.visible, to; from < 0; from = to, place = 0) {
            to = from + (window - place) < 0 ? from + (window - place) : 0;
            s[count++] = (span){xl_block(rings.k, place, to - from, 0, dh),
                                xl_block(rings.v, place, to - from, 0, dh), from, to, 0};
        }
    }
    s[count++] =
        (span){xl_block(a->in.k, n, T, head * dh, dh), xl_block(a->in.v, n, T, head * dh, dh), 0, T, 0};
    for (int i = 0; i < count && T >= FEW; i++)
        s[i].finite = xl_all_below(s[i].v, INFINITY);
    return count;
}

/* ---- forward ---- */

/* Some queries of one head, from token t0 on, and what is known of their softmax so far. */
typedef struct {
    const call *a;
    xl_view q, y;
    float *scores;
    int t0, rows, oldest; /* nothing before token `oldest` is visible */
    float top[QUERIES], total[QUERIES];
} queries;

static void times(float *y, float a, int n) {
#pragma omp simd
    for (int i = 0; i < n; i++)
        y[i] *= a;
}

static float score_scale(xl_attention d) {
    return 1 / sqrtf(d.dh);
}

static int window_start(const queries *u, int t) {
    int from = t - u->a->d.window + 1;
    return from > u->oldest ? from : u->oldest;
}

/* Which of the keys from .. to query r sees: those from low on, up to high. */
typedef struct {
    int low, high;
} seen;

static seen seen_by(const queries *u, int r, int from, int to) {
    int t = u->t0 + r, low = window_start(u, t), high = t + 1 < to ? t + 1 : to;
    return (seen){(low > from ? low : from) - from, high - from};
}

/* [rows, keys]; which: 0 scores, 1 their gradients. */
static xl_view block_of(const queries *u, int which, int keys) {
    return (xl_view){u->scores + which * block_size(u->a->seq), XL_REAL, u->rows, keys, KEYS};
}

/* The softmax of query r goes on through keys from .. to: their scores become weights relative to its largest
 * score so far, to which all that came before is scaled down. */
static void softmax_row(queries *u, int r, int from, int to) {
    float *w = u->scores + r * KEYS, total = 0;
    const seen some = seen_by(u, r, from, to);
    const int low = some.low, high = some.high;
    if (low >= high) {
        memset(w, 0, (to - from) * sizeof *w);
        return;
    }
    float top = vec_largest(w + low, high - low);
    if (top > u->top[r]) {
        float shrink = vec_exp(u->top[r] - top);
        u->top[r] = top;
        u->total[r] *= shrink;
        times(xl_row(u->y, r), shrink, u->y.cols);
    }
    top = u->top[r] > -INFINITY ? u->top[r] : 0; /* of -infinity alone all weights are 0 */
#pragma omp simd reduction(+ : total)
    for (int i = low; i < high; i++) {
        w[i] = vec_exp(w[i] - top);
        total += w[i];
    }
    u->total[r] += total;
    memset(w, 0, low * sizeof *w);
    memset(w + high, 0, (to - from - high) * sizeof *w);
}

/* y += softmax(q k') v for few queries: a product would copy all keys to use them once. */
static void attend_few(queries *u, xl_view k, xl_view v, int from, int to) {
    int dh = u->a->d.dh;
    float scale = score_scale(u->a->d);
    for (int r = 0; r < u->rows; r++) {
        const float *q = xl_row(u->q, r), *key = k.p, *value = v.p;
        float *scores = u->scores + r * KEYS, *y = xl_row(u->y, r);
        for (int i = 0; i < to - from; i++, key += k.ld)
            scores[i] = scale * vec_dot(q, key, dh);
        softmax_row(u, r, from, to);
        seen some = seen_by(u, r, from, to);
        for (int i = 0; i < to - from; i++, value += v.ld)
            if (i >= some.low && i < some.high) /* 0 times a number that is not finite is NaN */
                vec_axpy(y, scores[i], value, dh);
    }
}

/* The values, zeros in the rows that are not finite; in the second block. */
static xl_view finite_values(const queries *u, xl_view v) {
    xl_view finite = xl_rows(u->scores + block_size(u->a->seq), v.rows, v.cols);
    for (int i = 0; i < v.rows; i++)
        if (xl_all_below(xl_some_rows(v, i, 1), INFINITY))
            memcpy(xl_row(finite, i), xl_row(v, i), v.cols * sizeof(float));
        else
            memset(xl_row(finite, i), 0, v.cols * sizeof(float));
    return finite;
}

/* y += weights times values of which some rows are not finite: those reach the queries that see them, and for
 * all others the product is the one without them. */
static void add_values(queries *u, xl_view v, int from, int to) {
    xl_product(u->y, block_of(u, 0, to - from), finite_values(u, v), 1, 1);
    for (int i = 0; i < to - from; i++) {
        if (xl_all_below(xl_some_rows(v, i, 1), INFINITY))
            continue;
        for (int r = 0; r < u->rows; r++)
            if (i >= seen_by(u, r, from, to).low && i < seen_by(u, r, from, to).high)
                vec_axpy(xl_row(u->y, r), u->scores[r * KEYS + i], xl_row(v, i), v.cols);
    }
}

/* All queries against keys from .. to of the span, at most KEYS. */
static void attend_block(queries *u, const span *s, int from, int to) {
    int dh = u->a->d.dh, keys = to - from;
    xl_view k = xl_block(s->k, from - s->from, keys, 0, dh), v = xl_block(s->v, from - s->from, keys, 0, dh);
    xl_view scores = block_of(u, 0, keys);
    if (u->rows < FEW) {
        attend_few(u, k, v, from, to);
        return;
    }
    xl_product_right(scores, u->q, k, score_scale(u->a->d), 0);
    for (int r = 0; r < u->rows; r++)
        softmax_row(u, r, from, to);
    if (s->finite)
        xl_product(u->y, scores, v, 1, 1);
    else
        add_values(u, v, from, to);
}

/* lse: [rows], H apart; NULL: not wanted. */
static void attend_queries(queries *u, const span *s, int spans, float *lse) {
    int dh = u->a->d.dh, first = window_start(u, u->t0), last = u->t0 + u->rows;
    for (int r = 0; r < u->rows; r++) {
        u->top[r] = -INFINITY;
        u->total[r] = 0;
        memset(xl_row(u->y, r), 0, dh * sizeof(float));
    }
    for (; spans > 0; s++, spans--) {
        int to = s->to < last ? s->to : last;
        for (int from = s->from > first ? s->from : first; from < to; from += KEYS)
            attend_block(u, s, from, from + KEYS < to ? from + KEYS : to);
    }
    for (int r = 0; r < u->rows; r++) {
        times(xl_row(u->y, r), 1 / u->total[r], dh);
        if (lse)
            lse[r * u->a->d.H] = u->top[r] + logf(u->total[r]);
    }
}

static void copy_rows(xl_view to, xl_view from) {
    for (int n = 0; n < to.rows; n++)
        memcpy(xl_row(to, n), xl_row(from, n), to.cols * sizeof(float));
}

/* This call's last tokens go into the rings of the state that goes out. */
static void store_head(const call *a, int b, int head) {
    int dh = a->d.dh, window = a->d.window, length = xl_length(a->seq, b);
    const float *in = xl_state_in(a->state, b);
    float *out = xl_state_out(a->state, b);
    int64_t count = in ? xl_ring_of(in, window).count : 0;
    xl_qkv rings = rings_of(a->d, out, head);
    if (in && in != out) {
        copy_rows(rings.k, rings_of(a->d, in, head).k);
        copy_rows(rings.v, rings_of(a->d, in, head).v);
    }
    for (int t = length > window ? length - window : 0; t < length; t++) {
        ptrdiff_t n = xl_token(a->seq, b, t);
        int place = (int)((count + t) % window);
        memcpy(xl_row(rings.k, place), xl_row(a->in.k, n) + head * dh, dh * sizeof(float));
        memcpy(xl_row(rings.v, place), xl_row(a->in.v, n) + head * dh, dh * sizeof(float));
    }
}

/* So many queries, from token t on, of stream b. */
static void open_queries(queries *u, int b, int head, int t, int rows) {
    const call *a = u->a;
    u->t0 = t;
    u->rows = rows < QUERIES ? rows : QUERIES;
    u->q = xl_block(a->in.q, xl_token(a->seq, b, t), u->rows, head * a->d.dh, a->d.dh);
    u->y = xl_block(a->y, xl_token(a->seq, b, t), u->rows, head * a->d.dh, a->d.dh);
}

static void attend_head(void *context, int index, int thread) {
    const call *a = context;
    int b = index / a->d.H, head = index % a->d.H, start = 0, end = 0, fresh = 0;
    span s[3];
    int spans = spans_of(s, a, b, head);
    queries u; /* not cleared: of one token, that would be half the work */
    u.a = a, u.scores = scores_of(a, thread), u.oldest = s[0].from;
    while (xl_next_piece(a->seq, b, 0, &start, &end, &fresh)) {
        if (fresh)
            u.oldest = start;
        for (int t = start; t < end; t += QUERIES) {
            open_queries(&u, b, head, t, end - t);
            attend_queries(&u, s, spans, a->lse ? a->lse + xl_token(a->seq, b, t) * a->d.H + head : NULL);
        }
    }
    xl_clear_columns(a->y, a->seq, b, end, head * a->d.dh, a->d.dh);
    if (a->lse)
        xl_clear_columns(xl_rows(a->lse, a->y.rows, a->d.H), a->seq, b, end, head, 1);
    if (a->state.out)
        store_head(a, b, head);
}

/* The two numbers in front of a stream's rings, which all its heads have read. */
static void count_tokens(const call *a, int b) {
    float *out = xl_state_out(a->state, b);
    const float *in = xl_state_in(a->state, b);
    xl_ring ring = in ? xl_ring_of(in, a->d.window) : (xl_ring){0, 0};
    int oldest = -ring.visible, start = 0, end = 0, fresh = 0;
    while (xl_next_piece(a->seq, b, 0, &start, &end, &fresh))
        oldest = fresh ? start : oldest;
    out[0] = ring.count + end;
    out[1] = end - oldest < a->d.window ? end - oldest : a->d.window;
}

static void attention(xl_view y, float *lse, xl_qkv in, xl_attention d, xl_seq seq, xl_state state,
                      float *scratch) {
    call a = {.y = y, .lse = lse, .in = in, .d = d, .seq = seq, .state = state, .scratch = scratch};
    xl_parallel(seq.B * d.H, attend_head, &a);
    for (int b = 0; b < seq.B && state.out; b++)
        count_tokens(&a, b);
}

/* ---- backward ---- */

/* With p the softmax, dp_s = dy.v_s and ds_s = p_s (dp_s - mean), mean = sum p dp = dy.y: the scores and dp
 * of query r with keys from .. to become p and ds / sqrt(dh). `mean` is in u->total. A query that sees hardly
 * more than one key has next to no gradient, and what cancels there does so to the last digit only if p sums
 * to 1 over these very scores and the mean is taken over these very dp: done where all keys that the query
 * sees are here. */
static void softmax_row_bwd(const queries *u, float *dp, int r, int from, int to, float lse) {
    float *p = u->scores + r * KEYS, scale = score_scale(u->a->d), mean = u->total[r], total = 0, sum = 0;
    int t = u->t0 + r, first = window_start(u, t), last = t + 1;
    int low = (first > from ? first : from) - from, high = (last < to ? last : to) - from;
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

/* All queries against keys from .. to, at most KEYS, of the same stream; `first`: dq is not begun yet. */
static void attend_block_bwd(queries *u, int b, int head, int from, int to, int first) {
    const call *a = u->a;
    int dh = a->d.dh, rows = u->rows, keys = to - from, col = head * dh;
    ptrdiff_t n = xl_token(a->seq, b, u->t0), s = xl_token(a->seq, b, from);
    xl_view p = block_of(u, 0, keys), dp = block_of(u, 1, keys), dy = xl_block(a->dy, n, rows, col, dh);
    xl_view k = xl_block(a->in.k, s, keys, col, dh), v = xl_block(a->in.v, s, keys, col, dh);
    xl_product_right(p, u->q, k, score_scale(a->d), 0);
    xl_product_right(dp, dy, v, 1, 0);
    for (int r = 0; r < rows; r++)
        softmax_row_bwd(u, xl_row(dp, r), r, from, to, a->lse[(n + r) * a->d.H + head]);
    xl_product_left(xl_block(a->din.v, s, keys, col, dh), p, dy, 1, 1);
    xl_product_left(xl_block(a->din.k, s, keys, col, dh), dp, u->q, 1, 1);
    xl_product(xl_block(a->din.q, n, rows, col, dh), dp, k, 1, first ? 0 : 1);
}

static void attend_queries_bwd(queries *u, int b, int head) {
    const call *a = u->a;
    int dh = a->d.dh, lowest = window_start(u, u->t0), last = u->t0 + u->rows;
    xl_view dy = xl_block(a->dy, xl_token(a->seq, b, u->t0), u->rows, head * dh, dh);
    for (int r = 0; r < u->rows; r++)
        u->total[r] = vec_dot(xl_row(dy, r), xl_row(u->y, r), dh);
    for (int from = lowest; from < last; from += KEYS)
        attend_block_bwd(u, b, head, from, from + KEYS < last ? from + KEYS : last, from == lowest);
}

static void attend_head_bwd(void *context, int index, int thread) {
    const call *a = context;
    int b = index / a->d.H, head = index % a->d.H, dh = a->d.dh, start = 0, end = 0, fresh = 0;
    queries u;
    u.a = a, u.scores = scores_of(a, thread);
    xl_clear_columns(a->din.k, a->seq, b, 0, head * dh, dh); /* later queries add to them */
    xl_clear_columns(a->din.v, a->seq, b, 0, head * dh, dh);
    while (xl_next_piece(a->seq, b, 0, &start, &end, &fresh))
        for (int t = u.oldest = start; t < end; t += QUERIES) {
            open_queries(&u, b, head, t, end - t);
            attend_queries_bwd(&u, b, head);
        }
    xl_clear_columns(a->din.q, a->seq, b, end, head * dh, dh);
}

static void attention_bwd(xl_qkv din, xl_view dy, xl_view y, const float *lse, xl_qkv in, xl_attention d,
                          xl_seq seq, float *scratch) {
    call a = {.y = y,
              .dy = dy,
              .lse = xl_const_rows(lse, y.rows, d.H).p,
              .in = in,
              .din = din,
              .d = d,
              .seq = seq,
              .scratch = scratch};
    xl_parallel(seq.B * d.H, attend_head_bwd, &a);
}

void XL_ISA_NAME(xl_install_attention)(xl_ops *t) {
    t->rope = rope;
    t->attention = attention;
    t->attention_bwd = attention_bwd;
    t->attention_scratch = attention_scratch;
}
