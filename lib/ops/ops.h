/* ops.h - the table of operations: what a backend must provide and all that layers may call. */
#ifndef XL_OPS_H
#define XL_OPS_H

#include "base/real.h"

/* Rows b*T + t of a view are stream b at time t. */
typedef struct {
    int B, T;
    const int32_t *lengths; /* [B] or NULL: tokens t >= lengths[b] are padding: ops with time in them do not
                               let them touch state, write zeros for their outputs and their gradients */
    const uint8_t *resets;  /* [B, T] or NULL: non-zero where a new sequence begins with a state of zero */
} xl_seq;

/* Recurrent state of one layer: stream b at in + b*stride. All zero means "nothing seen yet".
 * in NULL: start at zero. out NULL: keep none. out may be in. Rows of length 0 copy in to out. */
typedef struct {
    const real *in;
    real *out;
    size_t stride;
} xl_state;

typedef struct {
    int n, in, out, ystep;
} xl_heads;

/* A matrix [rows, cols] of reals, or in a smaller type for inference; of that, `data` may be at any address.
 */
typedef enum { XL_REAL, XL_BFLOAT16, XL_INT8 } xl_number;
static inline size_t xl_number_size(xl_number type) { /* bytes */
    return type == XL_REAL ? sizeof(real) : type == XL_BFLOAT16 ? 2 : 1;
}
typedef struct {
    xl_number type;
    int rows, cols;
    const void *data;
    const float *scale; /* int8: [rows], what 1 stands for in each row */
} xl_matrix;

static inline size_t xl_matrix_bytes(const xl_matrix *m) { /* scales not counted */
    return xl_number_size(m->type) * (size_t)m->rows * (size_t)m->cols;
}
static inline const void *xl_matrix_at(const xl_matrix *m, int row, int col) {
    return (const char *)m->data + xl_number_size(m->type) * ((size_t)row * (size_t)m->cols + (size_t)col);
}
static inline xl_matrix xl_matrix_rows(xl_matrix m, int from, int rows) {
    const void *data = m.data ? xl_matrix_at(&m, from, 0) : NULL; /* none while memory is planned */
    return (xl_matrix){m.type, rows, m.cols, data, m.scale ? m.scale + from : NULL};
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

typedef enum { XL_GELU, XL_RELU, XL_RELU2, XL_SIGMOID, XL_SILU, XL_SELU } xl_act;

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

/* Scores are worked on in blocks of so many queries and keys. */
enum { XL_ATTENTION_ROWS = 64, XL_ATTENTION_COLS = 512 };

static inline uint64_t xl_attention_state(xl_attention d) { /* one stream */
    return 2 + 2 * (uint64_t)d.window * (uint64_t)(d.H * d.dh);
}

/* mLSTM, chunkwise. q, k: [N, H*dk]; v, h: [N, H*dv]; i, f: [N, H] gate pre-activations.
 * Chunks end at every multiple of L and before every reset.
 * For backward (all three or none; NULL in inference): m, den: [N, H], the stabiliser and the signed sum
 * q.n at each token; borders: [B, H, ceil(T/L), dk*dv + dk + 1], the state (C, n, m) before token 0, L, ...
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

static inline real xl_mlstm_start(xl_mlstm d, xl_state s) { /* m before the first token of a new sequence */
    return d.parallel && !s.in ? -(real)INFINITY : 0;
}

/* i and log f as they count. Where log f is lower all is forgotten anyway, but a chunk's sum of such numbers
 * would swallow the other gates, even in double; a stabiliser beyond would be rounded by so much, in float,
 * that what is relative to it overflows; and infinities have no difference. NaN stays NaN. */
static inline real xl_mlstm_held(real gate) {
    const real most = (real)1e7;
    return gate > most ? most : gate < -most ? -most : gate;
}

static inline uint64_t xl_mlstm_state(xl_mlstm d) { /* one head */
    return (uint64_t)d.dk * (uint64_t)d.dv + (uint64_t)d.dk + 1;
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
    real clip; /* h is held in +-clip before anyone sees it; backward takes that for the identity. 0: it is
                  not */
    real clip_bwd; /* the gradient through R h is held in +-clip_bwd, number by number. 0: it is not */
} xl_rnn;

/* The bounds of both clips; there is always one, so that kernels need no branch. */
static inline real xl_rnn_bound(real clip) {
    return clip > 0 ? clip : (real)INFINITY;
}

/* xent_linear where there are many classes: each of XL_XENT_TASKS tasks has some of them and takes these in
 * so many pieces, of which what belongs to one stays in the cache. `rows` rows go through all of that before
 * the next; 0: there are few classes, and logits of some rows are made whole. */
enum { XL_XENT_TASKS = 32, XL_XENT_PANEL = 32, XL_XENT_ROWS = 256 /* of a sum of products */ };
typedef struct {
    int rows, width, pieces;
    int piece; /* classes of one, at most; as rows and width, a multiple of XL_XENT_PANEL */
} xl_xent_cut;
xl_xent_cut xl_xent_cut_of(int rows, int classes, int width);
/* Rows whose logits are made whole at a time. */
int xl_logit_rows(int rows, int classes);

typedef struct {
    real lr, b1, b2, eps, decay, c1, c2, momentum, gscale;
} xl_update;

typedef struct xl_ops {
    const char *name;
#define OP(name, args, ...) void(*name) args;
#include "ops/ops.def"
#undef OP
} xl_ops;

extern const xl_ops xl_ops_ref;  /* plain loops: the specification */
extern const xl_ops xl_ops_null; /* touches nothing: for planning */
#ifndef XLSTM_DOUBLE
const xl_ops *xl_ops_cpu(void);  /* the float kernels in use, for those that call others */
const xl_ops *xl_ops_bf16(void); /* what everything runs on, with large products in bfloat16 */
#endif
const xl_ops *xl_ops_best(void); /* by xlstm_set_backend(), else the best; traced while a profile is taken */
/* op itself, or its tracer while a profile is taken; of a thread's tracers, only the last one may be used. */
const xl_ops *xl_ops_traced(const xl_ops *op);
const xl_ops *xl_ops_bare(const xl_ops *op); /* what is to be kept from one call to another: no tracer */
xlstm_status xl_ops_ready(void); /* creators of what runs ask first: fails when XLSTM_BACKEND names none */

/* Reals of scratch that the ops may use: the same for every backend, for xl_threads() threads. */
uint64_t xl_attention_scratch(xl_attention d, xl_seq seq);
uint64_t xl_mlstm_scratch(xl_mlstm d, xl_seq seq);
uint64_t xl_rnn_scratch(xl_rnn d, xl_seq seq);
uint64_t xl_xent_linear_scratch(int rows, int classes, int width);

/* xent_linear by some rows after the other, with the other ops of a table. */
void xl_xent_linear_by_rows(const xl_ops *op, real *each, xl_view dx, real *dW, xl_view x, const real *W,
                            int classes, const int32_t *targets, real scale, real *scratch);

/* The two numbers in front of attention's keys and values in a state: tokens seen, and how many of them the
 * next may see. A state may come from outside (xlstm_session_set_state()), so no number in it leads out of
 * the ring: what cannot be a count, NaN too, is read as the nearest that can. */
typedef struct {
    int64_t count;
    int visible;
} xl_ring;
xl_ring xl_ring_of(const real *state, int window);

/* The pieces into which stream b's time is cut: calls with *start = *end = 0 first; returns 0 after the last.
 * `fresh`: the piece begins a new sequence, its incoming state is zero. L <= 0: cut at resets only. */
static inline int xl_next_piece(xl_seq s, int b, int L, int *start, int *end, int *fresh) {
    int length = s.lengths ? s.lengths[b] : s.T;
    *start = *end;
    if (*start >= length)
        return 0;
    const uint8_t *reset = s.resets ? s.resets + (size_t)b * (size_t)s.T : NULL;
    *fresh = reset && reset[*start];
    int stop = L > 0 ? (*start / L + 1) * L : length;
    if (stop > length)
        stop = length;
    for (*end = *start + 1; *end < stop && !(reset && reset[*end]);)
        ++*end;
    return 1;
}
/* The same from behind: where the piece that ends before `end` starts; L > 0. */
static inline int xl_piece_start(xl_seq s, int b, int L, int end, int *fresh) {
    const uint8_t *reset = s.resets ? s.resets + (size_t)b * (size_t)s.T : NULL;
    int start = end - 1;
    while (start % L && !(reset && reset[start]))
        start--;
    *fresh = reset && reset[start];
    return start;
}

#endif
