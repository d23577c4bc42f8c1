/* isa_rnn.c - sLSTM and LSTM. The recurrent matrix of a head is packed once per call, so that it streams into
 * registers and stays in the cache of its core; then the head goes through all tokens as one task, since
 * heads do not see each other. Where there are more threads than heads (an LSTM has one) there are tasks for
 * sets of streams, which do not see each other either, and for slices of a head's units, which meet after
 * every token. No sum is ever cut, so how many there are of either changes no result. */
#include "ops/cpu/block.h"
#include "ops/cpu/cpu.h"
#include "ops/cpu/lanes.h"
#include "ops/cpu/vec.h"
#include <assert.h>

static const xl_ops *own; /* the table these kernels are in */

/* Registers of a tile: ROWS x VECTORS sums, one row of a panel and one number; of more streams, twice the
 * rows and half the vectors, so that a panel is read once. */
#ifdef __AVX512F__
enum { VECTORS = 4, ROWS = 6 };
#elif defined(__AVX__)
enum { VECTORS = 2, ROWS = 6 };
#else
enum { VECTORS = 2, ROWS = 6 };
#endif
enum { MOST = 2 * ROWS };

enum {
    UNITS = 16,     /* slices are multiples of this, so that only the last one has lanes to fill up */
    FEW_TOKENS = 4, /* below, packing costs more than it brings */
    DR_ROWS = 64,   /* of a task's part of dR */
    DR_TOKENS = 96  /* of a part of its sum */
};

typedef struct {
    xl_view h, dh, gates;
    float *tape, *dR, *dbias;
    xl_matrix R; /* backward: of reals */
    const float *bias;
    xl_rnn d;
    xl_seq seq;
    xl_state state;
    int D;                    /* units of all heads */
    int sets, streams;        /* sets of streams, streams of a set (the last one may have fewer) */
    int slices, units;        /* slices of a head, units of a slice (so too) */
    float *working;           /* state */
    float *products, *panels; /* of all slices */
    float *shifted;           /* [N, D]: h of the token before */
    float *bias_sums;         /* [B, H, 4, dh]: backward: a stream's part of dbias */
} call;

/* Parts of the working state, all [B, D]: | c | n | m | h at even tokens | h at odd tokens |; in backward the
 * first two are the gradients of c and n. */
enum { CELL, NORMALISER, STABILISER, HIDDEN, PARTS = HIDDEN + 2 };

typedef struct {
    int first, end;        /* streams */
    int head, from, count; /* units `from` and on of a head */
    ptrdiff_t at;          /* the first one's number among all units */
    float *panels;         /* [product.ld / WIDTH, K, WIDTH]: the slice's part of the recurrent matrix */
    xl_view product;       /* [B, columns of a unit * count] */
} slice;

/* ---- layout ---- */

/* | working state | sums of dbias B x 4 D | products B x 4 D and what fills up a head's last lanes |
 * shifted N x D |, as a multiple of UNITS, so that panels are as well aligned as the scratch is. */
static uint64_t before_panels(xl_rnn d, xl_seq seq) {
    uint64_t B = seq.B, H = d.H, D = H * d.dh, used = B * (PARTS * D + 8 * D + H * UNITS + seq.T * D);
    return (used + UNITS - 1) / UNITS * UNITS;
}

static uint64_t rnn_scratch(xl_rnn d, xl_seq seq) {
    uint64_t dh = d.dh, units = d.H * (dh + UNITS); /* with what fills up lanes */
    return before_panels(d, seq) + (seq.T > 1 ? 4 * dh * units : 0);
}

static int parts_of(int n, int size) {
    return (n + size - 1) / size;
}

/* Cuts every head and all streams into so many, at most. */
static void cut(call *a, int sets, int slices) {
    int dh = a->d.dh;
    a->streams = parts_of(a->seq.B, sets);
    a->sets = parts_of(a->seq.B, a->streams);
    a->units = slices == 1 ? dh : parts_of(parts_of(dh, slices), UNITS) * UNITS;
    a->slices = parts_of(dh, a->units);
}

/* What a token costs the busiest thread, in multiplications. Each number of a panel is read once for all
 * streams of a set, which from beyond the first-level cache takes as long as READ multiplications. */
static double cost(const call *a, int threads) {
    enum { NEAR = 1 << 13, OWN = 1 << 17 }; /* numbers of a panel in a core's first and second cache */
    enum { READ = 4, READ_FAR = 12, UNIT = 256, MEETING = 1 << 15, EACH = 1600 };
    double numbers = 4.0 * a->d.dh * a->units, streams = a->streams;
    double read = numbers <= NEAR ? 1 : numbers <= OWN ? READ : READ_FAR;
    double task = numbers * (streams > read ? streams : read) + streams * a->units * UNIT;
    double meeting = a->slices > 1 ? MEETING + a->slices * EACH : 0;
    return (task + meeting) * parts_of(a->sets * a->d.H * a->slices, threads);
}

/* The cheapest cut. Slices wait for each other, so all of them must have a thread. */
static void choose_cut(call *a) {
    int threads = a->seq.T < FEW_TOKENS ? 1 : xl_threads(), H = a->d.H;
    call best = *a, next = *a;
    cut(&best, 1, 1);
    for (int sets = 1; sets <= threads && sets <= a->seq.B; sets++)
        for (int slices = 1; slices == 1 || (double)sets * H * slices <= threads; slices++) {
            cut(&next, sets, slices);
            if (cost(&next, threads) < cost(&best, threads))
                best = next;
        }
    *a = best;
}

static call begin(call a, float *scratch) {
    ptrdiff_t B = a.seq.B, D = a.D = a.d.H * a.d.dh;
    choose_cut(&a);
    a.working = scratch;
    a.bias_sums = a.working + PARTS * B * D;
    a.products = a.bias_sums + 4 * B * D;
    a.shifted = a.products + B * (4 * D + a.d.H * UNITS);
    a.panels = scratch + before_panels(a.d, a.seq);
    return a;
}

/* A unit is so many columns of the product: four, its gates', or one backwards. */
static slice slice_of(const call *a, int index, int columns) {
    slice s = {.head = index / a->slices % a->d.H, .from = index % a->slices * a->units};
    s.first = index / a->slices / a->d.H * a->streams;
    s.end = a->seq.B - s.first < a->streams ? a->seq.B : s.first + a->streams;
    s.count = a->d.dh - s.from < a->units ? a->d.dh - s.from : a->units;
    s.at = s.head * a->d.dh + s.from;
    ptrdiff_t fill = s.head * UNITS; /* of the heads before */
    int ld = (columns * s.count + WIDTH - 1) / WIDTH * WIDTH;
    s.panels = a->panels + 4 * a->d.dh * (s.at + fill);
    s.product =
        (xl_view){a->products + a->seq.B * (4 * s.at + fill), XL_REAL, a->seq.B, columns * s.count, ld};
    return s;
}

static int is_padding(const call *a, int b, int t) {
    return t >= xl_length(a->seq, b);
}

/* A part of stream b's working state, at unit `at`. */
static float *part_of(const call *a, int part, int b, ptrdiff_t at) {
    return a->working + ((ptrdiff_t)part * a->seq.B + b) * a->D + at;
}

static float *tape_of(const call *a, int b, int t, ptrdiff_t at) { /* | slope D | c D | n or tanh c D | */
    return a->tape ? a->tape + xl_token(a->seq, b, t) * 3 * a->D + at : NULL;
}

/* Gates of a slice's units: slots are dh apart. */
static float *gates_of(const call *a, const slice *s, int b, int t) {
    return xl_row(a->gates, xl_token(a->seq, b, t)) + s->head * 4 * a->d.dh + s->from;
}

/* ---- product ---- */

/* y[rows, vectors * WIDTH] = x[rows, K] times `vectors` panels. Both counts are constants where this is
 * inlined, and all sums then wait in registers. */
static inline __attribute__((always_inline)) void tile(xl_view y, xl_view x, const float *panels, int rows,
                                                       int vectors) {
    lanes sum[MOST][VECTORS] = {{{0}}};
    ptrdiff_t K = x.cols;
    const float *from = x.p;
    for (ptrdiff_t k = 0; k < K; k++) {
        lanes p[VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            p[v] = *(const lanes_anywhere *)(panels + (v * K + k) * WIDTH);
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                sum[i][v] += from[i * x.ld + k] * p[v];
    }
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            *(lanes_anywhere *)(xl_row(y, i) + v * WIDTH) = sum[i][v];
}

#define TILE(rows)                                                                                           \
    case rows:                                                                                               \
        if (vectors == 1)                                                                                    \
            tile(y, x, panels, rows, 1);                                                                     \
        else if (rows > ROWS || vectors < VECTORS)                                                           \
            tile(y, x, panels, rows, VECTORS / 2);                                                           \
        else                                                                                                 \
            tile(y, x, panels, rows, VECTORS);                                                               \
        break;

static void any_tile(xl_view y, xl_view x, const float *panels, int vectors) {
    switch (x.rows) {
        TILE(1)
        TILE(2)
        TILE(3)
        TILE(4)
        TILE(5)
        TILE(6)
        TILE(7)
        TILE(8)
        TILE(9)
        TILE(10)
        TILE(11)
        TILE(12)
    }
}

/* The slice's product of x[its streams, K] and all its panels; from the last to the first if `back`: what
 * does not fit into a cache is then there in part the next time. */
static void multiply(const slice *s, xl_view x, int back) {
    int rows = parts_of(x.rows, parts_of(x.rows, MOST)); /* nearly of one height */
    int most = rows > ROWS ? VECTORS / 2 : VECTORS, all = parts_of(s->product.cols, WIDTH);
    int whole = all / most, tiles = whole + all % most;
    for (int i = 0; i < tiles; i++) {
        int j = back ? tiles - 1 - i : i, vectors = j < whole ? most : 1;
        int c = (j < whole ? j * most : whole * most + j - whole) * WIDTH;
        for (int b = 0; b < x.rows; b += rows) {
            int some = x.rows - b < rows ? x.rows - b : rows;
            any_tile(xl_block(s->product, s->first + b, some, c, vectors * WIDTH),
                     xl_block(x, b, some, 0, x.cols), s->panels + (ptrdiff_t)c * x.cols, vectors);
        }
    }
}

/* ---- units ---- */

/* Units of a slice at one token. Gates are pre-activations first, then what backward needs, then the
 * gradients of the pre-activations. */
typedef struct {
    int count;
    float *i, *f, *z, *o;
    float *h, *c, *n, *m;              /* backward: c and n are their gradients */
    float *slope, *kept_c, *kept_last; /* on tape, forward: all or none; slope of log f, c, n or tanh c */
    const float *dh, *dh_later;        /* from above; through R, from the next token */
    const float *c_before, *n_before;  /* of the token before, NULL: zero */
    float bound, bound_bwd;            /* of both clips */
} units;

static inline units units_of(const call *a, const slice *s, int b, int t) {
    float *gates = gates_of(a, s, b, t), *tape = tape_of(a, b, t, s->at);
    int dh = a->d.dh;
    return (units){.count = s->count,
                   .i = gates,
                   .f = gates + dh,
                   .z = gates + 2 * dh,
                   .o = gates + 3 * dh,
                   .h = xl_row(a->h, xl_token(a->seq, b, t)) + s->at,
                   .c = part_of(a, CELL, b, s->at),
                   .n = part_of(a, NORMALISER, b, s->at),
                   .m = part_of(a, STABILISER, b, s->at),
                   .slope = tape,
                   .kept_c = tape ? tape + a->D : NULL,
                   .kept_last = tape ? tape + 2 * a->D : NULL,
                   .bound = xl_rnn_bound(a->d.clip),
                   .bound_bwd = xl_rnn_bound(a->d.clip_bwd)};
}

static inline float clipped(float x, float bound) { /* NaN stays NaN */
    return x > bound ? bound : x < -bound ? -bound : x;
}

static void slstm_units(units u) {
    float *gi = u.i, *gf = u.f, *gz = u.z, *go = u.o, *h = u.h, *c = u.c, *n = u.n, *m = u.m;
    float bound = u.bound;
#pragma omp simd
    for (int e = 0; e < u.count; e++) {
        float v = vec_exp(-fabsf(gf[e])), slope = (gf[e] >= 0 ? v : 1) / (1 + v); /* sigmoid(-gf) */
        float before = n[e] == 0 ? -INFINITY : m[e];                              /* nothing seen yet */
        float logf = (gf[e] < 0 ? gf[e] : 0) - vec_log1p(v) + before;
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
        if (u.slope)
            u.slope[e] = slope, u.kept_c[e] = c[e], u.kept_last[e] = n[e];
    }
}

static void lstm_units(units u) {
    float *gi = u.i, *gf = u.f, *gz = u.z, *go = u.o, *h = u.h, *c = u.c, bound = u.bound;
#pragma omp simd
    for (int e = 0; e < u.count; e++) {
        float i = vec_sigmoid(gi[e]), f = vec_sigmoid(gf[e]), z = vec_tanh(gz[e]), o = vec_sigmoid(go[e]);
        c[e] = f * c[e] + i * z;
        float th = vec_tanh(c[e]);
        h[e] = clipped(o * th, bound);
        gi[e] = i, gf[e] = f, gz[e] = z, go[e] = o;
        if (u.slope)
            u.slope[e] = 0, u.kept_c[e] = c[e], u.kept_last[e] = th;
    }
}

/* h is the clipped one, also where the slopes of n and o contain it, as in the package. */
static void slstm_units_bwd(units u) {
    float *gi = u.i, *gf = u.f, *gz = u.z, *go = u.o, *dc = u.c, *dn = u.n, bound = u.bound;
    const float *h = u.h, *c = u.kept_c, *n = u.kept_last;
    assert(u.slope);
#pragma omp simd
    for (int e = 0; e < u.count; e++) {
        float i = gi[e], f = gf[e], z = gz[e], o = go[e], slope = u.slope[e];
        float inv = 1 / n[e], d = u.dh[e] + clipped(u.dh_later[e], u.bound_bwd);
        float c0 = u.c_before ? u.c_before[e] : 0, n0 = u.n_before ? u.n_before[e] : 0, now = d * o * inv;
        float mean = fabsf(h[e]) < bound ? c[e] * inv : h[e] / o; /* c / n, as far as h shows it */
        float dce = dc[e] + now, dne = dn[e] - now * mean;
        gi[e] = (now * (z - mean) + (dc[e] * z + dn[e])) * i; /* differences first: they can be small */
        gf[e] = (now * (c0 - mean * n0) + (dc[e] * c0 + dn[e] * n0)) * f * slope;
        gz[e] = dce * i * (1 - z * z);
        go[e] = d * h[e] * (1 - o);
        dc[e] = dce * f;
        dn[e] = dne * f;
    }
}

static void lstm_units_bwd(units u) {
    float *gi = u.i, *gf = u.f, *gz = u.z, *go = u.o, *dc = u.c;
    assert(u.kept_last);
#pragma omp simd
    for (int e = 0; e < u.count; e++) {
        float i = gi[e], f = gf[e], z = gz[e], o = go[e], th = u.kept_last[e];
        float d = u.dh[e] + clipped(u.dh_later[e], u.bound_bwd);
        float dce = dc[e] + d * o * (1 - th * th);
        gi[e] = dce * z * i * (1 - i);
        gf[e] = dce * (u.c_before ? u.c_before[e] : 0) * f * (1 - f);
        gz[e] = dce * i * (1 - z * z);
        go[e] = d * th * o * (1 - o);
        dc[e] = dce * f;
    }
}

/* ---- forward ---- */

/* Column slot * count + e of a slice is row slot * dh + from + e of its head in R. */
static int matrix_row(const call *a, const slice *s, int column) {
    return (s->head * 4 + column / s->count) * a->d.dh + s->from + column % s->count;
}

/* Rows of R, of whatever type, become columns of a panel: those of a slice's columns c and on. */
static void pack_panel(const call *a, const slice *s, int c) {
    enum { SOME = 64 };
    const xl_matrix *R = &a->R;
    const xl_number_type *type = &xl_number_types[R->type];
    float rows[WIDTH][SOME] = {{0}}, *to = s->panels + (ptrdiff_t)c * R->cols;
    for (int k = 0; k < R->cols; k += SOME) {
        int some = R->cols - k < SOME ? R->cols - k : SOME;
        for (int l = 0; l < WIDTH && c + l < s->product.cols; l++) {
            int row = matrix_row(a, s, c + l);
            type->unpack(rows[l], xl_matrix_row(R, row), xl_matrix_scale(R, row), k, some);
        }
        for (int i = 0; i < some; i++, to += WIDTH)
            for (int l = 0; l < WIDTH; l++)
                to[l] = rows[l][i];
    }
}

static void pack(void *context, int index, int thread) {
    slice s = slice_of(context, index, 4);
    (void)thread;
    for (int c = 0; c < s.product.ld; c += WIDTH)
        pack_panel(context, &s, c);
}

static void add_product(const call *a, const slice *s, int b, int t) {
    const float *product = xl_row(s->product, b);
    float *gates = gates_of(a, s, b, t);
    for (int slot = 0; slot < 4; slot++, product += s->count, gates += a->d.dh) {
        const float *bias = a->bias ? a->bias + slot * a->D + s->at : NULL;
#pragma omp simd
        for (int e = 0; e < s->count; e++)
            gates[e] += product[e] + (bias ? bias[e] : 0);
    }
}

static void forward_units(const call *a, const slice *s, int b, int t) {
    units u = units_of(a, s, b, t);
    add_product(a, s, b, t);
    if (a->d.lstm)
        lstm_units(u);
    else
        slstm_units(u);
    memcpy(part_of(a, HIDDEN + (t + 1) % 2, b, s->at), u.h, s->count * sizeof(float));
}

/* Padding: no output, and h waits in the other buffer too. */
static void keep_state(const call *a, const slice *s, int b, int t) {
    size_t size = s->count * sizeof(float);
    memset(xl_row(a->h, xl_token(a->seq, b, t)) + s->at, 0, size);
    memcpy(part_of(a, HIDDEN + (t + 1) % 2, b, s->at), part_of(a, HIDDEN + t % 2, b, s->at), size);
}

/* Before token t, if a new sequence begins there. */
static void clear_state(const call *a, int b, int t, ptrdiff_t at, int count) {
    if (is_padding(a, b, t) || !xl_is_reset(a->seq, b, t))
        return;
    const int parts[] = {CELL, NORMALISER, STABILISER, HIDDEN + t % 2};
    for (int k = 0; k < 4; k++)
        memset(part_of(a, parts[k], b, at), 0, count * sizeof(float));
}

/* What R h adds to the gates of all streams at token t. */
static void recurrent_product(const call *a, const slice *s, int t) {
    int dh = a->d.dh;
    xl_view h = {part_of(a, HIDDEN + t % 2, s->first, s->head * dh), XL_REAL, s->end - s->first, dh, a->D};
    if (a->seq.T >= FEW_TOKENS)
        multiply(s, h, t % 2);
    else /* is cut into tasks, unless heads are tasks already; no other cut is here */
        own->linear(s->product, h, xl_matrix_rows(a->R, matrix_row(a, s, 0), 4 * dh), NULL);
}

static void forward_token(void *context, int index, int t) {
    const call *a = context;
    slice s = slice_of(a, index, 4);
    recurrent_product(a, &s, t); /* rows of padding too, which nobody reads */
    for (int b = s.first; b < s.end; b++) {
        if (is_padding(a, b, t))
            keep_state(a, &s, b, t);
        else
            forward_units(a, &s, b, t);
        clear_state(a, b, t + 1, s.at, s.count);
    }
}

static void forward_head(void *context, int index, int thread) {
    const call *a = context;
    (void)thread;
    for (int t = 0; t < a->seq.T; t++)
        forward_token(context, index, t);
}

/* Parts of a state outside, | h D | c D | n D | m D |; an LSTM has the first two. */
static int parts_outside(const call *a) {
    return a->d.lstm ? 2 : 4;
}

static void load_state(const call *a) {
    static const int parts[] = {HIDDEN, CELL, NORMALISER, STABILISER};
    for (int b = 0; b < a->seq.B; b++) {
        const float *in = xl_state_in(a->state, b);
        for (int k = 0; k < parts_outside(a); k++)
            if (in)
                memcpy(part_of(a, parts[k], b, 0), in + k * a->D, a->D * sizeof(float));
            else
                memset(part_of(a, parts[k], b, 0), 0, a->D * sizeof(float));
        clear_state(a, b, 0, 0, a->D);
    }
}

static void store_state(const call *a) {
    const int parts[] = {HIDDEN + a->seq.T % 2, CELL, NORMALISER, STABILISER};
    for (int b = 0; b < a->seq.B; b++)
        for (int k = 0; k < parts_outside(a); k++)
            memcpy(xl_state_out(a->state, b) + k * a->D, part_of(a, parts[k], b, 0), a->D * sizeof(float));
}

static void all_tokens(call *a, xl_task *head, xl_step *token_of_slice) {
    if (a->slices == 1)
        xl_parallel(a->sets * a->d.H, head, a);
    else
        xl_parallel_steps(a->sets * a->d.H * a->slices, a->slices, a->seq.T, token_of_slice, a);
}

static void rnn(xl_view h, xl_view gates, float *tape, xl_matrix R, const float *bias, xl_rnn d, xl_seq seq,
                xl_state state, float *scratch) {
    call a = begin(
        (call){
            .h = h, .gates = gates, .tape = tape, .R = R, .bias = bias, .d = d, .seq = seq, .state = state},
        scratch);
    load_state(&a);
    if (seq.T >= FEW_TOKENS)
        xl_parallel(d.H * a.slices, pack, &a);
    all_tokens(&a, forward_head, forward_token);
    if (state.out)
        store_state(&a);
}

/* ---- backward ---- */

/* Column e of a slice is column from + e of R. */
static void pack_bwd(void *context, int index, int thread) {
    const call *a = context;
    slice s = slice_of(a, index, 1);
    int dh = a->d.dh;
    xl_view R = xl_const_rows(a->R.data, a->R.rows, dh);
    (void)thread;
    for (int c = 0; c < s.count; c += WIDTH) {
        float *to = s.panels + (ptrdiff_t)c * 4 * dh;
        int there = s.count - c < WIDTH ? s.count - c : WIDTH;
        for (int k = 0; k < 4 * dh; k++, to += WIDTH) {
            const float *from = xl_row(R, s.head * 4 * dh + k) + s.from + c;
            for (int l = 0; l < WIDTH; l++)
                to[l] = l < there ? from[l] : 0;
        }
    }
}

/* c and n of the token before, which the tape has, or the state that came in. */
static void find_before(const call *a, units *u, int b, int t, ptrdiff_t at) {
    if (xl_is_reset(a->seq, b, t))
        return;
    if (t > 0) {
        const float *tape = tape_of(a, b, t - 1, at);
        u->c_before = tape + a->D;
        u->n_before = tape + 2 * a->D; /* an LSTM has none, and does not look */
    } else if (a->state.in) {
        u->c_before = xl_state_in(a->state, b) + a->D + at;
        u->n_before = a->d.lstm ? NULL : u->c_before + a->D;
    }
}

/* A stream's own sums, so that no order of streams is in them. */
static float *bias_sums_of(const call *a, const slice *s, int b, int slot) {
    return a->bias_sums + 4 * ((ptrdiff_t)b * a->D + s->head * a->d.dh) + slot * a->d.dh + s->from;
}

static void add_to_bias_sums(const call *a, const slice *s, int b, const float *dgates) {
    for (int slot = 0; a->dbias && slot < 4; slot++, dgates += a->d.dh) {
        float *sums = bias_sums_of(a, s, b, slot);
#pragma omp simd
        for (int e = 0; e < s->count; e++)
            sums[e] += dgates[e];
    }
}

static void backward_units(const call *a, const slice *s, int b, int t) {
    units u = units_of(a, s, b, t);
    u.dh = xl_row(a->dh, xl_token(a->seq, b, t)) + s->at;
    u.dh_later = xl_row(s->product, b);
    find_before(a, &u, b, t, s->at);
    if (a->d.lstm)
        lstm_units_bwd(u);
    else
        slstm_units_bwd(u);
    add_to_bias_sums(a, s, b, u.i);
}

/* What comes to token t from later ones: through R, and as gradients of c and n. */
static void backward_state(const call *a, const slice *s, int b, int t) {
    size_t size = s->count * sizeof(float);
    int ends = t == a->seq.T - 1 || xl_is_reset(a->seq, b, t + 1); /* nothing comes back */
    if (ends || a->d.cut)
        memset(xl_row(s->product, b), 0, size);
    if (ends) {
        memset(part_of(a, CELL, b, s->at), 0, size);
        memset(part_of(a, NORMALISER, b, s->at), 0, size);
    }
}

/* h of the token before, which the recurrent product saw: one matrix, so that dR is one product. */
static void keep_before(const call *a, const slice *s, int b, int t) {
    ptrdiff_t n = xl_token(a->seq, b, t);
    float *to = a->shifted + n * a->D + s->at;
    const float *from = t > 0 ? xl_row(a->h, n - 1) : xl_state_in(a->state, b);
    if (from && !is_padding(a, b, t) && !xl_is_reset(a->seq, b, t))
        memcpy(to, from + s->at, s->count * sizeof *to);
    else
        memset(to, 0, s->count * sizeof *to);
}

/* What is there before the last token. */
static void begin_sums(const call *a, const slice *s) {
    for (int b = s->first; b < s->end; b++)
        for (int slot = 0; slot < 4; slot++)
            memset(bias_sums_of(a, s, b, slot), 0, s->count * sizeof(float));
}

/* Token T-1-step: from the gradient of the gates after it to that of its own. */
static void backward_token(void *context, int index, int step) {
    const call *a = context;
    slice s = slice_of(a, index, 1);
    int T = a->seq.T, dh = a->d.dh, t = T - 1 - step;
    if (step == 0)
        begin_sums(a, &s);
    else if (!a->d.cut) {
        float *later = xl_row(a->gates, xl_token(a->seq, s.first, t + 1)) + s.head * 4 * dh;
        multiply(&s, (xl_view){later, XL_REAL, s.end - s.first, 4 * dh, T * a->gates.ld}, t % 2);
    }
    for (int b = s.first; b < s.end; b++) {
        backward_state(a, &s, b, t);
        keep_before(a, &s, b, t);
        if (!is_padding(a, b, t))
            backward_units(a, &s, b, t);
        for (int slot = 0; is_padding(a, b, t) && slot < 4; slot++)
            memset(gates_of(a, &s, b, t) + slot * dh, 0, s.count * sizeof(float));
    }
}

static void backward_head(void *context, int index, int thread) {
    const call *a = context;
    (void)thread;
    for (int step = 0; step < a->seq.T; step++)
        backward_token(context, index, step);
}

/* Some rows of one head's dR, as one product over all tokens. Their columns of the gates are copied, some
 * tokens at a time: where they lie, they would take each other's place in the first-level cache. */
static void add_to_dR(const call *a, ptrdiff_t row, int rows, int head) {
    _Alignas(64) float dgates[DR_TOKENS * DR_ROWS];
    int dh = a->d.dh, N = a->h.rows;
    xl_view dR = xl_rows(a->dR + row * dh, rows, dh), before = xl_rows(a->shifted, N, a->D);
    for (int n = 0, some; n < N; n += some) {
        some = N - n < DR_TOKENS ? N - n : DR_TOKENS;
        for (int k = 0; k < some; k++)
            memcpy(dgates + k * rows, xl_row(a->gates, n + k) + row, rows * sizeof(float));
        xl_product_left(dR, xl_rows(dgates, some, rows), xl_block(before, n, some, head * dh, dh), 1, 1);
    }
}

static void gradients(void *context, int index, int thread) {
    const call *a = context;
    int dh = a->d.dh, each = parts_of(4 * dh, DR_ROWS), head = index / each, from = index % each * DR_ROWS;
    int rows = 4 * dh - from < DR_ROWS ? 4 * dh - from : DR_ROWS;
    ptrdiff_t first = (ptrdiff_t)head * 4 * dh;
    (void)thread;
    add_to_dR(a, first + from, rows, head);
    for (int r = from; a->dbias && r < from + rows; r++)
        for (int b = 0; b < a->seq.B; b++)
            a->dbias[r / dh * a->D + head * dh + r % dh] += a->bias_sums[4 * (ptrdiff_t)b * a->D + first + r];
}

static void rnn_bwd(xl_view gates, float *dR, float *dbias, xl_view dh, xl_view h, const float *tape,
                    const float *R, xl_rnn d, xl_seq seq, xl_state state, float *scratch) {
    int D = d.H * d.dh;
    call a = begin((call){.h = h,
                          .dh = dh,
                          .gates = gates,
                          .tape = xl_const_rows(tape, h.rows, 3 * D).p,
                          .dR = dR,
                          .dbias = dbias,
                          .R = xl_real_matrix(R, 4 * D, d.dh),
                          .d = d,
                          .seq = seq,
                          .state = state},
                   scratch);
    if (seq.T > 1 && !d.cut)
        xl_parallel(d.H * a.slices, pack_bwd, &a);
    all_tokens(&a, backward_head, backward_token);
    xl_parallel(d.H * parts_of(4 * d.dh, DR_ROWS), gradients, &a);
}

void XL_ISA_NAME(xl_install_rnn)(xl_ops *t) {
    own = t;
    t->rnn = rnn;
    t->rnn_bwd = rnn_bwd;
    t->rnn_scratch = rnn_scratch;
}
