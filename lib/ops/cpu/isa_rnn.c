/* sLSTM and LSTM. The recurrent matrix of a head is packed once per call, so that it streams into registers
 * and stays in the cache of its core; then the head goes through all tokens as one task, since heads do not
 * see each other. Where there are more threads than heads (an LSTM has one) a head is cut into slices of
 * units, which meet after every token. No sum is ever cut, so the number of slices changes no result. */
#include "base/half.h"
#include "ops/cpu/cpu.h"
#include "ops/cpu/vec.h"

/* Registers of a tile: ROWS x VECTORS sums, one row of a panel and one number. */
#ifdef __AVX512F__
enum { WIDTH = 16, VECTORS = 4, ROWS = 6 };
#elif defined(__AVX__)
enum { WIDTH = 8, VECTORS = 2, ROWS = 6 };
#else
enum { WIDTH = 4, VECTORS = 2, ROWS = 6 };
#endif
typedef float lanes __attribute__((vector_size(WIDTH * sizeof(float))));
typedef float lanes_anywhere __attribute__((vector_size(WIDTH * sizeof(float)), aligned(4)));

enum {
    UNITS = 16, /* slices are multiples of this, so that only the last one has lanes to fill up */
    WORTH =
        1 << 17, /* multiplications of a token; below, waiting for other slices costs more than they bring */
    FEW_TOKENS = 4 /* below, packing costs more than it brings */
};

typedef struct {
    xl_view h, dh;
    float *gates, *tape, *dR, *dbias;
    xl_matrix R; /* backward: of floats */
    const float *bias;
    xl_rnn d;
    xl_seq seq;
    xl_state state;
    int slices, units;        /* slices of a head, units of a slice (the last one may have fewer) */
    float *panels, *products; /* of all slices */
    float *s; /* forward [5, B, D]: c, n, m, h at even tokens, h at odd tokens; backward [2, B, D]: dc, dn */
    float *shifted; /* [N, D]: h of the token before */
} run;

enum { C, N, M, H };

typedef struct {
    int head, from, count; /* units `from` and on of a head */
    size_t at;             /* the first one's number among all units */
    float *panels;         /* [ld / WIDTH, K, WIDTH]: the slice's part of the recurrent matrix */
    float *product;        /* [B, ld]: what it gives */
    int ld;
} slice;

/* A unit is four columns of the product, its gates', or one backwards. */
static slice slice_of(const run *r, int index, int columns) {
    slice s = {.head = index / r->slices, .from = index % r->slices * r->units};
    s.count = r->d.dh - s.from < r->units ? r->d.dh - s.from : r->units;
    s.at = (size_t)(s.head * r->d.dh + s.from);
    s.ld = (columns * s.count + WIDTH - 1) / WIDTH * WIDTH;
    size_t filled = (size_t)(s.head * UNITS); /* lanes beyond the last unit of the heads before */
    s.panels = r->panels + 4 * (size_t)r->d.dh * (s.at + filled);
    s.product = r->products + (size_t)r->seq.B * (4 * s.at + filled);
    return s;
}

static run begin(run r, float *scratch) {
    int threads = xl_threads(), dh = r.d.dh;
    size_t D = (size_t)(r.d.H * dh), B = (size_t)r.seq.B;
    int sliced = r.seq.T >= FEW_TOKENS && r.d.H < threads && (double)B * 4 * dh * dh >= WORTH;
    int slices = sliced ? (threads + r.d.H - 1) / r.d.H : 1;
    r.units = slices == 1 ? dh : ((dh + slices - 1) / slices + UNITS - 1) / UNITS * UNITS;
    r.slices = (dh + r.units - 1) / r.units;
    r.s = scratch;
    r.products = r.s + 5 * B * D;
    r.shifted = r.products + B * (4 * D + (size_t)(r.d.H * UNITS));
    size_t used = (size_t)(r.shifted + B * (size_t)r.seq.T * D - scratch);
    r.panels = scratch + (used + UNITS - 1) / UNITS * UNITS; /* as well aligned as the scratch is */
    return r;
}

static int alive(const run *r, int b, int t) {
    return !r->seq.lengths || t < r->seq.lengths[b];
}

static int is_reset(const run *r, int b, int t) {
    return r->seq.resets && r->seq.resets[(size_t)b * (size_t)r->seq.T + (size_t)t];
}

static size_t token(const run *r, int b, int t) {
    return (size_t)b * (size_t)r->seq.T + (size_t)t;
}

/* Part k of the working state of stream b, at unit `at`. */
static float *part(const run *r, int k, int b, size_t at) {
    return r->s + ((size_t)k * (size_t)r->seq.B + (size_t)b) * (size_t)(r->d.H * r->d.dh) + at;
}

static inline float clipped(float x, float bound) { /* NaN stays NaN */
    return x > bound ? bound : x < -bound ? -bound : x;
}

/* ---- product
 * --------------------------------------------------------------------------------------------------- */

/* y[rows, vectors * WIDTH] = x[rows, K] times `vectors` panels. Both counts are constants where this is
 * inlined, and all sums then wait in registers. */
static inline __attribute__((always_inline)) void tile(float *y, size_t ldy, const float *x, size_t ldx,
                                                       const float *panels, int K, int rows, int vectors) {
    lanes sum[ROWS][VECTORS] = {{{0}}};
    for (int k = 0; k < K; k++) {
        lanes p[VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            p[v] = *(const lanes_anywhere *)(panels + (size_t)(v * K + k) * WIDTH);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                sum[i][v] += x[(size_t)i * ldx + (size_t)k] * p[v];
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            *(lanes_anywhere *)(y + (size_t)i * ldy + v * WIDTH) = sum[i][v];
}

#define TILE(rows)                                                                                           \
    case rows:                                                                                               \
        if (vectors == VECTORS)                                                                              \
            tile(y, ldy, x, ldx, panels, K, rows, VECTORS);                                                  \
        else                                                                                                 \
            tile(y, ldy, x, ldx, panels, K, rows, 1);                                                        \
        break;

static void any_tile(float *y, size_t ldy, const float *x, size_t ldx, const float *panels, int K, int rows,
                     int vectors) {
    switch (rows) {
        TILE(1)
        TILE(2)
        TILE(3)
        TILE(4)
        TILE(5)
        TILE(6)
    }
}

/* y[B, ld] = x[B, K] times all panels of a slice. */
static void multiply(const slice *s, const float *x, size_t ldx, int B, int K) {
    int parts = (B + ROWS - 1) / ROWS, rows = (B + parts - 1) / parts; /* all nearly of one height */
    for (int c = 0, vectors; c < s->ld; c += vectors * WIDTH) {
        vectors = s->ld - c >= VECTORS * WIDTH ? VECTORS : 1;
        for (int b = 0; b < B; b += rows)
            any_tile(s->product + (size_t)b * (size_t)s->ld + c, (size_t)s->ld, x + (size_t)b * ldx, ldx,
                     s->panels + (size_t)c * (size_t)K, K, B - b < rows ? B - b : rows, vectors);
    }
}

/* ---- forward
 * --------------------------------------------------------------------------------------------------- */

/* Column slot * count + e of a slice is row slot * dh + from + e of its head in R. */
static int row_of(const run *r, const slice *s, int column) {
    return (s->head * 4 + column / s->count) * r->d.dh + s->from + column % s->count;
}

/* A row as a column of panels. */
static void spread(float *to, const xl_matrix *R, int row) {
    const void *from = xl_matrix_at(R, row, 0);
    float scale = R->scale ? R->scale[row] : 1;
    for (int k = 0; R->type == XL_REAL && k < R->cols; k++)
        to[k * WIDTH] = ((const float *)from)[k];
    for (int k = 0; R->type == XL_BFLOAT16 && k < R->cols; k++)
        to[k * WIDTH] = xl_from_bf16(((const uint16_t *)from)[k]);
    for (int k = 0; R->type == XL_INT8 && k < R->cols; k++)
        to[k * WIDTH] = scale * ((const int8_t *)from)[k];
}

static void pack(void *context, int index, int thread) {
    const run *r = context;
    slice s = slice_of(r, index, 4);
    (void)thread;
    for (int c = 0; c < s.ld; c++) {
        float *to = s.panels + (size_t)(c / WIDTH * WIDTH) * (size_t)r->d.dh + c % WIDTH;
        if (c < 4 * s.count)
            spread(to, &r->R, row_of(r, &s, c));
        for (int k = 0; c >= 4 * s.count && k < r->d.dh; k++)
            to[k * WIDTH] = 0;
    }
}

static void slstm_units(float *g, float *h, float *c, float *n, float *m, float *tape, size_t D, int dh,
                        int count, float bound) {
    float *gi = g, *gf = g + dh, *gz = g + 2 * dh, *go = g + 3 * dh;
#pragma omp simd
    for (int e = 0; e < count; e++) {
        float u = vec_exp(-fabsf(gf[e])), slope = (gf[e] >= 0 ? u : 1) / (1 + u); /* sigmoid(-gf) */
        float before = n[e] == 0 ? -INFINITY : m[e];                              /* nothing seen yet */
        float logf = (gf[e] < 0 ? gf[e] : 0) - vec_log1p(u) + before;
        int forgets = logf > gi[e];
        float top = forgets ? logf : gi[e], smaller = vec_exp(-fabsf(logf - gi[e]));
        float larger = 1 + (top - top); /* exp(top - top): NaN where a gate is infinite */
        float i = forgets ? smaller : larger, f = forgets ? larger : smaller;
        float z = vec_tanh(gz[e]), o = vec_sigmoid(go[e]);
        c[e] = f * c[e] + i * z;
        n[e] = f * n[e] + i;
        m[e] = top;
        h[e] = clipped(o * c[e] / n[e], bound);
        gi[e] = i, gf[e] = f, gz[e] = z, go[e] = o;
        if (tape)
            tape[e] = slope, tape[D + (size_t)e] = c[e], tape[2 * D + (size_t)e] = n[e];
    }
}

static void lstm_units(float *g, float *h, float *c, float *tape, size_t D, int dh, int count, float bound) {
    float *gi = g, *gf = g + dh, *gz = g + 2 * dh, *go = g + 3 * dh;
#pragma omp simd
    for (int e = 0; e < count; e++) {
        float i = vec_sigmoid(gi[e]), f = vec_sigmoid(gf[e]), z = vec_tanh(gz[e]), o = vec_sigmoid(go[e]);
        c[e] = f * c[e] + i * z;
        float th = vec_tanh(c[e]);
        h[e] = clipped(o * th, bound);
        gi[e] = i, gf[e] = f, gz[e] = z, go[e] = o;
        if (tape)
            tape[e] = 0, tape[D + (size_t)e] = c[e], tape[2 * D + (size_t)e] = th;
    }
}

static void units(const run *r, const slice *s, int b, int t) {
    size_t D = (size_t)(r->d.H * r->d.dh), n = token(r, b, t), at = s->at;
    int dh = r->d.dh;
    float *g = r->gates + n * 4 * D + (size_t)(s->head * 4 * dh + s->from), *h = r->h.p + n * r->h.ld + at;
    float *tape = r->tape ? r->tape + n * 3 * D + at : NULL, bound = xl_rnn_bound(r->d.clip);
    for (int slot = 0; slot < 4; slot++) {
        const float *product = s->product + (size_t)b * (size_t)s->ld + slot * s->count;
        const float *bias = r->bias ? r->bias + (size_t)slot * D + at : NULL;
        float *pre = g + slot * dh;
#pragma omp simd
        for (int e = 0; e < s->count; e++)
            pre[e] += product[e] + (bias ? bias[e] : 0);
    }
    if (r->d.lstm)
        lstm_units(g, h, part(r, C, b, at), tape, D, dh, s->count, bound);
    else
        slstm_units(g, h, part(r, C, b, at), part(r, N, b, at), part(r, M, b, at), tape, D, dh, s->count,
                    bound);
    memcpy(part(r, H + (t + 1) % 2, b, at), h, (size_t)s->count * sizeof *h);
}

/* Padding: no output, and h waits in the other buffer too. */
static void pass_over(const run *r, const slice *s, int b, int t) {
    size_t size = (size_t)s->count * sizeof(float);
    memset(r->h.p + token(r, b, t) * r->h.ld + s->at, 0, size);
    memcpy(part(r, H + (t + 1) % 2, b, s->at), part(r, H + t % 2, b, s->at), size);
}

/* Before token t, if a new sequence begins there. */
static void clear_state(const run *r, const slice *s, int b, int t) {
    if (t >= r->seq.T || !alive(r, b, t) || !is_reset(r, b, t))
        return;
    const int parts[] = {C, N, M, H + t % 2};
    for (int k = 0; k < 4; k++)
        memset(part(r, parts[k], b, s->at), 0, (size_t)s->count * sizeof(float));
}

static void recur(const run *r, const slice *s, int t) {
    int B = r->seq.B, dh = r->d.dh, D = r->d.H * dh;
    xl_view h = {part(r, H + t % 2, 0, (size_t)(s->head * dh)), B, dh, (size_t)D};
    xl_view product = {s->product, B, 4 * dh, (size_t)s->ld};
    xl_matrix R = xl_matrix_rows(r->R, row_of(r, s, 0), 4 * dh); /* all of the head if it is not sliced */
    if (r->seq.T >= FEW_TOKENS)
        multiply(s, h.p, h.ld, B, dh);
    else if (R.type == XL_REAL) /* both cut what they multiply, unless heads are tasks already */
        xl_ops_cpu()->linear(product, h, R.data, NULL);
    else
        xl_ops_cpu()->linear_packed(product, h, R, NULL);
}

static void forward_token(void *context, int index, int t) {
    const run *r = context;
    slice s = slice_of(r, index, 4);
    recur(r, &s, t); /* rows of padding too, which nobody reads */
    for (int b = 0; b < r->seq.B; b++) {
        if (alive(r, b, t))
            units(r, &s, b, t);
        else
            pass_over(r, &s, b, t);
        clear_state(r, &s, b, t + 1);
    }
}

static void forward_head(void *context, int index, int thread) {
    (void)thread;
    for (int t = 0; t < ((const run *)context)->seq.T; t++)
        forward_token(context, index, t);
}

static void load_state(const run *r) {
    static const int parts[] = {H, C, N, M};
    size_t D = (size_t)(r->d.H * r->d.dh);
    slice all = {.count = (int)D};
    for (int b = 0; b < r->seq.B; b++) {
        for (size_t k = 0; k < (r->d.lstm ? 2 : 4); k++)
            if (r->state.in)
                memcpy(part(r, parts[k], b, 0), r->state.in + (size_t)b * r->state.stride + k * D,
                       D * sizeof(float));
            else
                memset(part(r, parts[k], b, 0), 0, D * sizeof(float));
        clear_state(r, &all, b, 0);
    }
}

static void store_state(const run *r) {
    const int parts[] = {H + r->seq.T % 2, C, N, M};
    size_t D = (size_t)(r->d.H * r->d.dh);
    for (int b = 0; b < r->seq.B; b++)
        for (size_t k = 0; k < (r->d.lstm ? 2 : 4); k++)
            memcpy(r->state.out + (size_t)b * r->state.stride + k * D, part(r, parts[k], b, 0),
                   D * sizeof(float));
}

static void all_tokens(run *r, xl_task *head, xl_step *token_of_slice) {
    if (r->slices == 1)
        xl_parallel(r->d.H, head, r);
    else
        xl_parallel_steps(r->d.H * r->slices, r->seq.T, token_of_slice, r);
}

static void rnn(xl_view h, float *gates, float *tape, xl_matrix R, const float *bias, xl_rnn d, xl_seq seq,
                xl_state state, float *scratch) {
    run r = begin(
        (run){.h = h, .gates = gates, .tape = tape, .R = R, .bias = bias, .d = d, .seq = seq, .state = state},
        scratch);
    load_state(&r);
    if (seq.T >= FEW_TOKENS)
        xl_parallel(d.H * r.slices, pack, &r);
    all_tokens(&r, forward_head, forward_token);
    if (state.out)
        store_state(&r);
}

/* ---- backward
 * -------------------------------------------------------------------------------------------------- */

/* Column e of a slice is column from + e of R. */
static void pack_bwd(void *context, int index, int thread) {
    const run *r = context;
    slice s = slice_of(r, index, 1);
    size_t dh = (size_t)r->d.dh;
    (void)thread;
    for (int c = 0; c < s.ld; c += WIDTH) {
        const float *from = (const float *)r->R.data + (size_t)s.head * 4 * dh * dh + (size_t)(s.from + c);
        float *to = s.panels + (size_t)c * 4 * dh;
        int there = s.count - c < WIDTH ? s.count - c : WIDTH;
        for (size_t k = 0; k < 4 * dh; k++)
            for (int l = 0; l < WIDTH; l++)
                to[k * WIDTH + (size_t)l] = l < there ? from[k * dh + (size_t)l] : 0;
    }
}

/* h is the clipped one, also where the slopes of n and o contain it, as in the package. */
static void slstm_units_bwd(float *g, const float *h, const float *tape, size_t D, int dh, int count,
                            const float *dy, const float *dhn, float *dc, float *dn, const float *c_old,
                            const float *n_old, float bound, float held) {
    float *gi = g, *gf = g + dh, *gz = g + 2 * dh, *go = g + 3 * dh;
#pragma omp simd
    for (int e = 0; e < count; e++) {
        float i = gi[e], f = gf[e], z = gz[e], o = go[e], slope = tape[e];
        float inv = 1 / tape[2 * D + (size_t)e], d = dy[e] + clipped(dhn[e], bound);
        float c0 = c_old ? c_old[e] : 0, n0 = n_old ? n_old[e] : 0, now = d * o * inv;
        float mean =
            fabsf(h[e]) < held ? tape[D + (size_t)e] * inv : h[e] / o; /* c / n, as far as h shows it */
        float dce = dc[e] + now, dne = dn[e] - now * mean;
        gi[e] = (now * (z - mean) + (dc[e] * z + dn[e])) * i; /* differences first: they can be small */
        gf[e] = (now * (c0 - mean * n0) + (dc[e] * c0 + dn[e] * n0)) * f * slope;
        gz[e] = dce * i * (1 - z * z);
        go[e] = d * h[e] * (1 - o);
        dc[e] = dce * f;
        dn[e] = dne * f;
    }
}

static void lstm_units_bwd(float *g, const float *tape, size_t D, int dh, int count, const float *dy,
                           const float *dhn, float *dc, const float *c_old, float bound) {
    float *gi = g, *gf = g + dh, *gz = g + 2 * dh, *go = g + 3 * dh;
#pragma omp simd
    for (int e = 0; e < count; e++) {
        float i = gi[e], f = gf[e], z = gz[e], o = go[e], th = tape[2 * D + (size_t)e];
        float d = dy[e] + clipped(dhn[e], bound);
        float dce = dc[e] + d * o * (1 - th * th);
        gi[e] = dce * z * i * (1 - i);
        gf[e] = dce * (c_old ? c_old[e] : 0) * f * (1 - f);
        gz[e] = dce * i * (1 - z * z);
        go[e] = d * th * o * (1 - o);
        dc[e] = dce * f;
    }
}

static void units_bwd(const run *r, const slice *s, int b, int t, const float *dhn) {
    size_t D = (size_t)(r->d.H * r->d.dh), n = token(r, b, t), at = s->at;
    float *g = r->gates + n * 4 * D + (size_t)(s->head * 4 * r->d.dh + s->from);
    const float *tape = r->tape + n * 3 * D + at, *dy = r->dh.p + n * r->dh.ld + at, *c_old = NULL,
                *n_old = NULL;
    const float bound = xl_rnn_bound(r->d.clip_bwd);
    if (!is_reset(r, b, t) && t > 0) {
        c_old = tape - 3 * D + D;
        n_old = tape - 3 * D + 2 * D;
    } else if (!is_reset(r, b, t) && r->state.in) {
        c_old = r->state.in + (size_t)b * r->state.stride + D + at;
        n_old = r->d.lstm ? NULL : c_old + D;
    }
    if (r->d.lstm)
        lstm_units_bwd(g, tape, D, r->d.dh, s->count, dy, dhn, part(r, C, b, at), c_old, bound);
    else
        slstm_units_bwd(g, r->h.p + n * r->h.ld + at, tape, D, r->d.dh, s->count, dy, dhn, part(r, C, b, at),
                        part(r, N, b, at), c_old, n_old, bound, xl_rnn_bound(r->d.clip));
    for (int slot = 0; r->dbias && slot < 4; slot++)
        for (int e = 0; e < s->count; e++)
            r->dbias[(size_t)slot * D + at + (size_t)e] += g[slot * r->d.dh + e];
}

/* Token T-1-step: from the gradient of the gates after it to that of its own. */
static void backward_token(void *context, int index, int step) {
    const run *r = context;
    slice s = slice_of(r, index, 1);
    int B = r->seq.B, T = r->seq.T, dh = r->d.dh, t = T - 1 - step;
    size_t D = (size_t)(r->d.H * dh), head = (size_t)(s.head * 4 * dh),
           size = (size_t)s.count * sizeof(float);
    if (step > 0 && !r->d.cut)
        multiply(&s, r->gates + (size_t)(t + 1) * 4 * D + head, (size_t)T * 4 * D, B, 4 * dh);
    for (int b = 0; b < B; b++) {
        float *dhn = s.product + (size_t)b * (size_t)s.ld,
              *g = r->gates + token(r, b, t) * 4 * D + head + s.from;
        int ends = step == 0 || is_reset(r, b, t + 1); /* nothing comes back from later */
        if (ends || r->d.cut)
            memset(dhn, 0, size);
        for (int k = C; ends && k <= N; k++)
            memset(part(r, k, b, s.at), 0, size);
        if (alive(r, b, t))
            units_bwd(r, &s, b, t, dhn);
        for (int slot = 0; !alive(r, b, t) && slot < 4; slot++)
            memset(g + slot * dh, 0, size);
    }
}

static void backward_head(void *context, int index, int thread) {
    (void)thread;
    for (int step = 0; step < ((const run *)context)->seq.T; step++)
        backward_token(context, index, step);
}

/* h of the token before, which the recurrent product saw: one matrix, so that dR is one product. */
static void shift(void *context, int b, int thread) {
    const run *r = context;
    size_t D = (size_t)(r->d.H * r->d.dh);
    (void)thread;
    for (int t = 0; t < r->seq.T; t++) {
        float *to = r->shifted + token(r, b, t) * D;
        const float *from = t > 0         ? r->h.p + token(r, b, t - 1) * r->h.ld
                            : r->state.in ? r->state.in + (size_t)b * r->state.stride
                                          : NULL;
        if (from && alive(r, b, t) && !is_reset(r, b, t))
            memcpy(to, from, D * sizeof *to);
        else
            memset(to, 0, D * sizeof *to);
    }
}

static void rnn_bwd(float *gates, float *dR, float *dbias, xl_view dh, xl_view h, const float *tape,
                    const float *R, xl_rnn d, xl_seq seq, xl_state state, float *scratch) {
    int rows = seq.B * seq.T, D = d.H * d.dh;
    run r = begin((run){.h = h,
                        .dh = dh,
                        .gates = gates,
                        .tape = (float *)(uintptr_t)tape,
                        .dR = dR,
                        .dbias = dbias,
                        .R = xl_real_matrix(R, 4 * D, d.dh),
                        .d = d,
                        .seq = seq,
                        .state = state},
                  scratch);
    if (seq.T > 1 && !d.cut)
        xl_parallel(d.H * r.slices, pack_bwd, &r);
    all_tokens(&r, backward_head, backward_token);
    xl_parallel(seq.B, shift, &r);
    xl_view before = xl_rows(r.shifted, rows, D), dg = xl_rows(gates, rows, 4 * D);
    if (d.H == 1) /* is cut into tiles; several heads are tasks */
        xl_ops_cpu()->linear_dw(dR, NULL, before, dg);
    else
        xl_ops_cpu()->heads_dw(dR, NULL, before, dg, (xl_heads){d.H, d.dh, 4 * d.dh, 4 * d.dh});
}

void XL_ISA_NAME(xl_install_rnn)(xl_ops *t) {
    t->rnn = rnn;
    t->rnn_bwd = rnn_bwd;
}
