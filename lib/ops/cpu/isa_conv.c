/* isa_conv.c - the causal depthwise convolution with SiLU behind it. Channels have nothing to do with each
 * other: WIDE of them at a time, their taps turned so that each tap's lie side by side. */
#include "ops/cpu/cpu.h"
#include "ops/cpu/pieces.h"
#include "ops/cpu/vec.h"
#include <assert.h>
#include <string.h>

enum { ROWS = 64, MAX_TAPS = 64 }; /* rows of a tile; a configuration has no more taps */

typedef struct {
    xl_view x;
    const float *w, *b; /* [C, K] and [C] or NULL */
    int K;
    xl_seq seq;
    xl_state state; /* stream: | x[t-K+1] C | ... | x[t-1] C | */
} convolution;

typedef struct {
    int from, n;
    float taps[MAX_TAPS][WIDE];
} channels;

static void take_channels(channels *ch, const convolution *c, int from, int to) {
    ch->from = from, ch->n = to - from;
    for (int i = 0; i < ch->n; i++)
        for (int k = 0; k < c->K; k++)
            ch->taps[k][i] = c->w[(ptrdiff_t)(from + i) * c->K + k];
}

/* The input `back` tokens before token t of stream b, or NULL where there is none. */
static const float *past(const convolution *c, int b, int t, int back) {
    for (int s = t; c->seq.resets && s > t - back && s >= 0; s--)
        if (xl_is_reset(c->seq, b, s))
            return NULL;
    if (t - back >= 0)
        return xl_row(c->x, xl_token(c->seq, b, t - back));
    const float *before = xl_state_in(c->state, b);
    return before ? before + (ptrdiff_t)(c->K - 1 + t - back) * c->x.cols : NULL;
}

/* a = b + sum over taps of w x, the pre-activations of token t */
static void conv_token(float *a, const convolution *c, const channels *ch, int b, int t) {
    int n = ch->n;
    for (int i = 0; i < n; i++)
        a[i] = c->b ? c->b[ch->from + i] : 0;
    for (int k = 0; k < c->K; k++) {
        const float *x = past(c, b, t, c->K - 1 - k), *w = ch->taps[k];
        if (!x)
            continue;
        x += ch->from;
#pragma omp simd
        for (int i = 0; i < n; i++)
            a[i] += w[i] * x[i];
    }
}

/* ---- forward ---- */

typedef struct {
    convolution c;
    xl_view y;
} conv_job;

static void conv_row(const conv_job *j, const channels *ch, int row) {
    float *y = xl_row(j->y, row) + ch->from, a[WIDE];
    int b = row / j->c.seq.T, t = row % j->c.seq.T;
    if (t >= xl_length(j->c.seq, b)) {
        memset(y, 0, (size_t)ch->n * sizeof *y);
        return;
    }
    conv_token(a, &j->c, ch, b, t);
#pragma omp simd
    for (int i = 0; i < ch->n; i++)
        y[i] = a[i] * vec_sigmoid(a[i]);
}

/* Tiles of ROWS tokens and WIDE channels, from left to right and down. */
static void conv_tiles(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const conv_job *j = job;
    int across = (j->y.cols + WIDE - 1) / WIDE;
    assert(across > 0);
    for (int tile = (int)from; tile < to; tile++) {
        int left = tile % across * WIDE, right = left + WIDE, top = tile / across * ROWS;
        channels ch;
        take_channels(&ch, &j->c, left, right < j->y.cols ? right : j->y.cols);
        for (int row = top; row < j->y.rows && row < top + ROWS; row++)
            conv_row(j, &ch, row);
    }
}

/* The last K-1 inputs of some streams; out may be in: slot s is overwritten after what it is needed for has
 * moved. */
static void conv_keep(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const convolution *c = job;
    int C = c->x.cols, slots = c->K - 1;
    for (int b = (int)from; b < to; b++) {
        int length = xl_length(c->seq, b);
        const float *before = xl_state_in(c->state, b);
        float *out = xl_state_out(c->state, b);
        for (int s = 0; s < slots; s++, out += C) {
            const float *x = length > 0 ? past(c, b, length - 1, slots - 1 - s)
                             : before   ? before + (ptrdiff_t)s * C
                                        : NULL;
            for (int i = 0; i < C; i++)
                out[i] = x ? x[i] : 0;
        }
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
    float d[WIDE]; /* of the pre-activations of a token */
    float w[MAX_TAPS][WIDE], b[WIDE];
} conv_sums;

/* d = dy SiLU'(a) */
static void conv_token_d(const conv_bwd_job *j, const channels *ch, conv_sums *sums, int b, int t) {
    const float *dy = xl_row(j->dy, xl_token(j->c.seq, b, t)) + ch->from;
    float *d = sums->d, *bias = sums->b;
    conv_token(d, &j->c, ch, b, t);
#pragma omp simd
    for (int i = 0; i < ch->n; i++) {
        float s = vec_sigmoid(d[i]);
        d[i] = dy[i] * (s + d[i] * s * (1 - s));
        bias[i] += d[i];
    }
}

/* For each tap: dw += d x, dx += d w, x being its input of token t. */
static void conv_token_bwd(const conv_bwd_job *j, const channels *ch, conv_sums *sums, int b, int t) {
    const float *d = sums->d;
    int n = ch->n;
    for (int k = 0; k < j->c.K; k++) {
        int back = j->c.K - 1 - k;
        const float *x = past(&j->c, b, t, back), *w = ch->taps[k];
        float *dw = sums->w[k];
        if (!x)
            continue;
        x += ch->from;
#pragma omp simd
        for (int i = 0; i < n; i++)
            dw[i] += d[i] * x[i];
        if (t - back < 0)
            continue;
        float *dx = xl_row(j->dx, xl_token(j->c.seq, b, t - back)) + ch->from;
#pragma omp simd
        for (int i = 0; i < n; i++)
            dx[i] += d[i] * w[i];
    }
}

/* Of the whole batch, in order of tokens. */
static void conv_bwd_columns(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const conv_bwd_job *j = job;
    channels ch;
    conv_sums sums = {.w = {{0}}};
    int K = j->c.K;
    take_channels(&ch, &j->c, (int)from, (int)to);
    for (int row = 0; !j->add && row < j->dx.rows; row++)
        memset(xl_row(j->dx, row) + from, 0, (size_t)ch.n * sizeof(float));
    for (int b = 0; b < j->c.seq.B; b++)
        for (int t = 0; t < xl_length(j->c.seq, b); t++) {
            conv_token_d(j, &ch, &sums, b, t);
            conv_token_bwd(j, &ch, &sums, b, t);
        }
    for (int i = 0; i < ch.n; i++) {
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
