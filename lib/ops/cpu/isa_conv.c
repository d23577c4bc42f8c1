/* isa_conv.c - the causal depthwise convolution with SiLU behind it. Channels have nothing to do with each
 * other: WIDE of them at a time, their taps turned so that each tap's lie side by side. */
#include "ops/cpu/cpu.h"
#include "ops/cpu/pieces.h"
#include "ops/cpu/vec.h"
#include <assert.h>
#include <string.h>

enum { ROWS = 64, MAX_TAPS = 64 }; /* rows of a tile; a configuration has no more taps */

/* Inlined with the number n of channels: the constant WIDE makes straight code of the loops over them. */
#define INLINE static inline __attribute__((always_inline))

typedef struct {
    xl_view x;
    const float *w, *b; /* [C, K] and [C] or NULL */
    int K;
    xl_seq seq;
    xl_state state; /* stream: | x[t-K+1] C | ... | x[t-1] C | */
} convolution;

typedef struct {
    _Alignas(64) float taps[MAX_TAPS][WIDE], bias[WIDE];
    int from;
} channels;

static void take_channels(channels *ch, const convolution *c, int from, int n) {
    ch->from = from;
    for (int i = 0; i < n; i++)
        ch->bias[i] = c->b ? c->b[from + i] : 0;
    for (int k = 0; k < c->K; k++) {
        const float *w = c->w + (ptrdiff_t)from * c->K + k;
        for (int i = 0; i < n; i++, w += c->K)
            ch->taps[k][i] = *w;
    }
}

/* Each tap's input at token t of stream b, or NULL where there is none. */
typedef struct {
    const float *x[MAX_TAPS];
} inputs;

static void find_inputs(inputs *in, const convolution *c, int b, int t) {
    const float *before = xl_state_in(c->state, b);
    int begun = 0; /* a new sequence, after what is looked at */
    for (int k = c->K - 1, s = t; k >= 0; k--, s--) {
        if (begun)
            in->x[k] = NULL;
        else if (s >= 0)
            in->x[k] = xl_row(c->x, xl_token(c->seq, b, s));
        else
            in->x[k] = before && s + c->K > 0 ? before + (ptrdiff_t)(s + c->K - 1) * c->x.cols : NULL;
        begun |= s >= 0 && xl_is_reset(c->seq, b, s);
    }
}

/* a = b + sum over taps of w x, the pre-activations of a token; its own tap is always there */
INLINE void conv_token(float *a, const convolution *c, const channels *ch, const inputs *in, int n) {
    const float *sum = ch->bias;
    for (int k = 0; k < c->K; k++) {
        const float *x = in->x[k];
        if (!x)
            continue;
        x += ch->from;
#pragma omp simd
        for (int i = 0; i < n; i++)
            a[i] = sum[i] + ch->taps[k][i] * x[i];
        sum = a;
    }
}

/* ---- forward ---- */

typedef struct {
    convolution c;
    xl_view y;
} conv_job;

INLINE void conv_row(const conv_job *j, const channels *ch, int row, int n) {
    float *y = xl_row(j->y, row) + ch->from;
    _Alignas(64) float a[WIDE];
    inputs in;
    int b = row / j->c.seq.T, t = row % j->c.seq.T;
    if (t >= xl_length(j->c.seq, b)) {
        memset(y, 0, (size_t)n * sizeof *y);
        return;
    }
    find_inputs(&in, &j->c, b, t);
    conv_token(a, &j->c, ch, &in, n);
#pragma omp simd
    for (int i = 0; i < n; i++)
        y[i] = a[i] * vec_sigmoid(a[i]);
}

INLINE void conv_tile(const conv_job *j, const channels *ch, int top, int n) {
    for (int row = top; row < j->y.rows && row < top + ROWS; row++)
        conv_row(j, ch, row, n);
}

/* Tiles of ROWS tokens and WIDE channels, from left to right and down. */
static void conv_tiles(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const conv_job *j = job;
    int across = (j->y.cols + WIDE - 1) / WIDE;
    assert(across > 0);
    for (int tile = (int)from; tile < to; tile++) {
        int left = tile % across * WIDE, top = tile / across * ROWS, n = j->y.cols - left;
        channels ch;
        take_channels(&ch, &j->c, left, n < WIDE ? n : WIDE);
        if (n >= WIDE)
            conv_tile(j, &ch, top, WIDE);
        else
            conv_tile(j, &ch, top, n);
    }
}

/* The last K-1 inputs of some streams. out may be in: a slot is overwritten after it has moved. */
static void conv_keep(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const convolution *c = job;
    int C = c->x.cols;
    for (int b = (int)from; b < to; b++) {
        float *out = xl_state_out(c->state, b);
        inputs in;
        find_inputs(&in, c, b, xl_length(c->seq, b) - 1);
        for (int k = 1; k < c->K; k++, out += C)
            for (int i = 0; i < C; i++)
                out[i] = in.x[k] ? in.x[k][i] : 0;
    }
}

static void conv(xl_view y, xl_view x, const float *w, const float *b, int K, xl_seq seq, xl_state state) {
    conv_job j = {{x, w, b, K, seq, state}, y};
    int tiles = (y.rows + ROWS - 1) / ROWS * ((y.cols + WIDE - 1) / WIDE);
    by_steps(tiles, is_small(y) ? tiles : 1, conv_tiles, &j);
    if (state.out)
        by_steps(seq.B, 1, conv_keep, &j.c);
}

/* ---- backward ---- */

typedef struct {
    convolution c;
    xl_view dx, dy;
    float *dw, *db;
    int add;
} conv_bwd_job;

typedef struct {
    _Alignas(64) float d[WIDE]; /* of the pre-activations of a token */
    float w[MAX_TAPS][WIDE], b[WIDE];
} conv_sums;

/* d = dy SiLU'(a) */
INLINE void conv_token_d(conv_sums *sums, const float *dy, int n) {
#pragma omp simd
    for (int i = 0; i < n; i++) {
        float a = sums->d[i], s = vec_sigmoid(a);
        sums->d[i] = dy[i] * (s + a * s * (1 - s));
        sums->b[i] += sums->d[i];
    }
}

/* For each tap: dw += d x, dx += d w, x being its input at token t. */
INLINE void conv_token_bwd(const conv_bwd_job *j, const channels *ch, conv_sums *sums, int b, int t, int n) {
    inputs in;
    find_inputs(&in, &j->c, b, t);
    conv_token(sums->d, &j->c, ch, &in, n);
    conv_token_d(sums, xl_row(j->dy, xl_token(j->c.seq, b, t)) + ch->from, n);
    for (int k = 0; k < j->c.K; k++) {
        int s = t - (j->c.K - 1 - k);
        const float *x = in.x[k];
        if (!x)
            continue;
        x += ch->from;
#pragma omp simd
        for (int i = 0; i < n; i++)
            sums->w[k][i] += sums->d[i] * x[i];
        if (s < 0)
            continue;
        float *dx = xl_row(j->dx, xl_token(j->c.seq, b, s)) + ch->from;
#pragma omp simd
        for (int i = 0; i < n; i++)
            dx[i] += sums->d[i] * ch->taps[k][i];
    }
}

INLINE void conv_batch_bwd(const conv_bwd_job *j, const channels *ch, conv_sums *sums, int n) {
    for (int b = 0; b < j->c.seq.B; b++)
        for (int t = 0; t < xl_length(j->c.seq, b); t++)
            conv_token_bwd(j, ch, sums, b, t, n);
}

/* Of the whole batch, in order of tokens. */
static void conv_bwd_columns(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const conv_bwd_job *j = job;
    channels ch;
    conv_sums sums = {.w = {{0}}};
    int K = j->c.K, n = (int)(to - from);
    take_channels(&ch, &j->c, (int)from, n);
    for (int row = 0; !j->add && row < j->dx.rows; row++)
        memset(xl_row(j->dx, row) + from, 0, (size_t)n * sizeof(float));
    if (n == WIDE)
        conv_batch_bwd(j, &ch, &sums, WIDE);
    else
        conv_batch_bwd(j, &ch, &sums, n);
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < K; k++)
            j->dw[(from + i) * K + k] += sums.w[k][i];
        if (j->db)
            j->db[from + i] += sums.b[i];
    }
}

static void conv_bwd(xl_view dx, float *dw, float *db, xl_view dy, xl_view x, const float *w, const float *b,
                     int K, xl_seq seq, xl_state state, int add) {
    by_columns(x, conv_bwd_columns, &(conv_bwd_job){{x, w, b, K, seq, state}, dx, dy, dw, db, add});
}

void XL_ISA_NAME(xl_install_conv)(xl_ops *t) {
    t->conv = conv;
    t->conv_bwd = conv_bwd;
}
