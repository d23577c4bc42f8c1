/* ops.h - the table of operations: what a backend must provide and all that layers may call. */
#ifndef XL_OPS_H
#define XL_OPS_H

#include "base/view.h"

/* Rows b*T + t of a view are stream b at time t. */
typedef struct {
    int B, T;
    const int32_t *lengths; /* [B] or NULL: tokens t >= lengths[b] are padding: ops with time in them do not
                               let them touch state, write zeros for their outputs and their gradients */
    const uint8_t *resets;  /* [B, T] or NULL: non-zero where a new sequence begins with a state of zero */
} xl_seq;

/* Row of token t of stream b; tokens of stream b that are not padding; whether a sequence begins at a token.
 */
static inline ptrdiff_t xl_token(xl_seq s, int b, int t) {
    return (ptrdiff_t)b * s.T + t;
}
static inline int xl_length(xl_seq s, int b) {
    return s.lengths ? s.lengths[b] : s.T;
}
static inline int xl_is_reset(xl_seq s, int b, int t) {
    return s.resets && s.resets[xl_token(s, b, t)];
}

/* Recurrent state of one layer: stream b at in + b*stride. All zero means "nothing seen yet".
 * in NULL: start at zero. out NULL: keep none. out may be in. Rows of length 0 copy in to out. */
typedef struct {
    const real *in;
    real *out;
    ptrdiff_t stride;
} xl_state;

static inline const real *xl_state_in(xl_state s, int b) { /* of stream b; NULL: zero */
    return s.in ? s.in + b * s.stride : NULL;
}
static inline real *xl_state_out(xl_state s, int b) { /* NULL: not kept */
    return s.out ? s.out + b * s.stride : NULL;
}

typedef struct {
    int n, in, out, ystep;
} xl_heads;

/* A matrix [rows, cols] of any type of number (base/number.h); `data` may be at any address. */
typedef struct {
    xl_number type;
    int rows, cols;
    const void *data;
    const float *scale; /* [rows, scales of a row]; NULL where the type has none */
} xl_matrix;

static inline size_t xl_matrix_row_bytes(const xl_matrix *m) {
    return xl_number_bytes(m->type, m->cols);
}
static inline size_t xl_matrix_bytes(const xl_matrix *m) { /* scales not counted */
    return xl_matrix_row_bytes(m) * m->rows;
}
static inline const void *xl_matrix_row(const xl_matrix *m, int row) {
    return (const char *)m->data + xl_matrix_row_bytes(m) * row;
}
static inline const float *xl_matrix_scale(const xl_matrix *m, int row) { /* of a row; NULL: none */
    return m->scale ? m->scale + (ptrdiff_t)row * xl_number_scales(m->type, m->cols) : NULL;
}
static inline xl_matrix xl_matrix_rows(xl_matrix m, int from, int rows) {
    const void *data = m.data ? xl_matrix_row(&m, from) : NULL; /* none while memory is planned */
    return (xl_matrix){m.type, rows, m.cols, data, xl_matrix_scale(&m, from)};
}
static inline xl_matrix xl_real_matrix(const real *data, int rows, int cols) {
    return (xl_matrix){XL_REAL, rows, cols, data, NULL};
}

typedef struct {
    int groups;
    int rms;      /* 1: no mean is taken away */
    int plus_one; /* 1: the stored weight is the weight minus one */
    real eps;
} xl_norm;

typedef enum { XL_GELU, XL_RELU, XL_RELU2, XL_SIGMOID, XL_SILU, XL_SELU, XL_TANH } xl_act;

/* Queries, keys and values of attention and of the mLSTM, or their gradients. */
typedef struct {
    xl_view q, k, v;
} xl_qkv;

/* Causal softmax attention; token t sees itself and the window-1 tokens before it (not across a reset).
 * q, k, v, y: [N, H*dh], q and k already rotated; scores q.k / sqrt(dh).
 * lse [N, H]: log-sum-exp of each row of scores, for backward; NULL in inference.
 * state per stream: [2 + 2*window*H*dh] = tokens seen (a position: resets do not restart it; exact up to 2^24
 * in float), cached tokens that the next one may see (a reset restarts this; at most window), then keys and
 * values of the last tokens as rings [window, H*dh]: the token at position p lies in row p % window.
 * Backward is for training without state. */
typedef struct {
    int H, dh, window;
} xl_attention;

static inline uint64_t xl_attention_state(xl_attention d) { /* one stream */
    return 2 + 2 * (uint64_t)d.window * d.H * d.dh;
}

/* Streams that see each other, at each token by itself: group g has members[first[g]] ..
 * members[first[g+1]-1], and each stream is in one group. The first open[g] of them (covariates) are seen by
 * all, and see only each other; the others (targets) see all. */
typedef struct {
    int count, largest; /* groups; members of the largest one */
    const int32_t *first, *open, *members;
} xl_groups;

/* mLSTM, chunkwise. q, k: [N, H*dk]; v, h: [N, H*dv]; i, f: [N, H] gate pre-activations.
 * Chunks end at every multiple of L and before every reset.
 * state per stream: [H, dk*dv + dk + 1]: C [dk, dv], n [dk], m [1].
 * Gradient of the state that came in is dropped (truncated back-propagation).
 * h depends on the stabiliser m only through eps, but reference gradients are exact, so that part is there
 * too. */
typedef struct {
    int H, dk, dv, L;
    real eps;
    int parallel; /* 1: without a state that comes in, m starts at -inf and not at 0, as the package's
                     parallel form has it; its own step differs from that by some eps */
} xl_mlstm;

/* The gates' pre-activations, or their gradients. */
typedef struct {
    xl_view i, f; /* [N, H] */
} xl_gates;

/* What forward leaves for backward: all three or none (NULL in inference). */
typedef struct {
    real *m, *den; /* [N, H], the stabiliser and the signed sum q.n at each token */
    real *borders; /* [B, H, ceil(T/L), dk*dv + dk + 1], the state (C, n, m) before token 0, L, ... */
} xl_mlstm_tape;

static inline real xl_mlstm_start(xl_mlstm d, xl_state s) { /* m before the first token of a new sequence */
    return d.parallel && !s.in ? -INFINITY : 0;
}

/* i and log f as they count. Where log f is lower all is forgotten anyway, but a chunk's sum of such numbers
 * would swallow the other gates, even in double; a stabiliser beyond would be rounded by so much, in float,
 * that what is relative to it overflows; and infinities have no difference. NaN stays NaN. */
static inline real xl_mlstm_clamp(real gate) {
    const real most = (real)1e7;
    return gate > most ? most : gate < -most ? -most : gate;
}

static inline uint64_t xl_mlstm_state(xl_mlstm d) { /* one head */
    return (uint64_t)d.dk * d.dv + d.dk + 1;
}

/* sLSTM and LSTM: h[N, H*dh]. gates [N, H, 4, dh] holds the input's part of the pre-activations in slots i,
 * f, z, o and is overwritten: forward with what backward needs, backward with the gradient of the
 * pre-activations.
 * R [H, 4*dh, dh] (rows in slot order; forward takes it in any type), bias [4, H, dh] or NULL, tape [N, 3,
 * H*dh] (NULL in inference). state per stream: [4, H*dh] = h, c, n, m for the sLSTM, [2, H*dh] = h, c for the
 * LSTM. dh is the gradient of h from above; it is only read. The gradient of the state that came in is
 * dropped. */
typedef struct {
    int H, dh;
    int lstm;  /* 1: plain LSTM gates: c = sigm(f) c + sigm(i) tanh(z), h = sigm(o) tanh(c) */
    int cut;   /* 1: no gradient through R h */
    real clip; /* h is clamped to +-clip before anyone sees it; backward takes that for the identity. 0: it is
                  not */
    real clip_bwd; /* the gradient through R h is clamped to +-clip_bwd, number by number. 0: it is not */
} xl_rnn;

/* The bounds of both clips; there is always one, so that kernels need no branch. */
static inline real xl_rnn_bound(real clip) {
    return clip > 0 ? clip : INFINITY;
}

enum { XL_SUM_PIECE = 1 << 16 };

/* An optimizer's rule: constants of a range of parameters. */
typedef struct {
    real b1, b2, eps, decay, momentum;
} xl_update;

/* No square of a gradient whose squares sum to more is sure to be finite. */
#define XL_MOST_SUMSQ ((double)XL_REAL_MAX)

/* What changes from step to step, in tensor memory. */
typedef struct {
    real rate;
    real c1, c2; /* 1 - b1^t, 1 - b2^t */
    real scale;  /* of the gradient, by the op clip; as is */
    int32_t go;  /* 0: the gradient, or its square, is not finite, and nothing may change */
} xl_now;

/* A backend: its kernels and their scratch. NULL: it has no such kernel, and what needs one is refused when
 * it is made. */
typedef struct xl_ops {
    const char *name;
#define OP(name, args, ...) void(*name) args;
#define SIZE(name, args, call) uint64_t(*name) args;
#include "ops/ops.def"
#undef OP
} xl_ops;

extern const xl_ops xl_ops_ref; /* plain loops: the specification */

const xl_ops *xl_ops_best(void); /* of the host: by xlstm_set_backend(), else the best */
/* The same with products in bfloat16; NULL where it has none. */
const xl_ops *xl_ops_best_bf16(void);
xlstm_status xl_ops_ready(void); /* creators of what runs ask first: fails when XLSTM_BACKEND names none */
void xl_ops_call_over(void);     /* kernels put back what they have set for the whole program */

/* The two numbers in front of attention's keys and values in a state: tokens seen, and how many of them the
 * next may see. A state may come from outside (xlstm_session_set_state()), so no number in it leads out of
 * the ring: what cannot be a count, NaN too, is read as the nearest that can. */
typedef struct {
    int64_t count;
    int visible;
} xl_ring;
static inline int64_t xl_count_of(real x, int64_t most) {
    if (!(x > 0))
        return 0;
    return x < most ? (int64_t)x : most;
}
static inline xl_ring xl_ring_of(const real *state, int window) {
    int64_t count = xl_count_of(state[0], INT64_C(1) << 53);
    return (xl_ring){count, (int)xl_count_of(state[1], window < count ? window : count)};
}

/* The pieces into which stream b's time is cut: calls with *start = *end = 0 first; returns 0 after the last.
 * `fresh`: the piece begins a new sequence, its incoming state is zero. L <= 0: cut at resets only. */
static inline int xl_next_piece(xl_seq s, int b, int L, int *start, int *end, int *fresh) {
    int length = xl_length(s, b);
    *start = *end;
    if (*start >= length)
        return 0;
    *fresh = xl_is_reset(s, b, *start);
    int stop = L > 0 ? (*start / L + 1) * L : length;
    if (stop > length)
        stop = length;
    for (*end = *start + 1; *end < stop && !xl_is_reset(s, b, *end);)
        ++*end;
    return 1;
}
/* The same from behind: where the piece that ends before `end` starts; L > 0. */
static inline int xl_piece_start(xl_seq s, int b, int L, int end, int *fresh) {
    int start = end - 1;
    while (start % L && !xl_is_reset(s, b, start))
        start--;
    *fresh = xl_is_reset(s, b, start);
    return start;
}

#endif
