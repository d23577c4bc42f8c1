/* recurrence.c - the recurrences on a caller's arrays, which are the host's: checks, and room for what the
 * ops need. */
#include "base/arena.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "base/structs.h"
#include "model/module.h"
#include "xlstm/recurrence.h"
#include <string.h>

struct xlstm_recurrence {
    xlstm_recurrence_config config;
    xl_mlstm mlstm; /* one of the two */
    xl_rnn rnn;
    uint64_t state_size; /* until it is known to fit */
    int threads;         /* that there is scratch for */
    xl_place place;      /* on the host */
    void *memory;
    real *scratch;
    /* Of the last forward pass, for the backward pass: */
    int has_tape;
    xl_seq seq; /* its lengths and resets are these: */
    int32_t *lengths;
    uint8_t *resets;
    xl_mlstm_tape mlstm_tape;
    real *gates, *tape; /* the others; the gates are also where forward computes */
    real *state_in;     /* [B, state_size] */
    int has_state_in;
};

XL_GROWING(xlstm_recurrence_config, gradients, eps)
XL_GROWING(xlstm_span, state_out, state_out)

void xlstm_recurrence_config_init_sized(xlstm_recurrence_config *config, size_t size, xlstm_cell_kind kind) {
    xlstm_recurrence_config c = {
        .kind = kind, .batch = 1, .time = 64, .heads = 1, .head_size = 64, .chunk_size = 64, .gradients = 1};
    xl_struct_init(config, size, &c, sizeof c);
}

static int is_mlstm(const xlstm_recurrence *r) {
    return r->config.kind == XLSTM_CELL_MLSTM;
}

enum { WIDEST = 1 << 20 }; /* numbers of all heads together */

static xlstm_status check_config(const xlstm_recurrence_config *c) {
    if ((unsigned)c->kind >= XLSTM_CELL_KINDS)
        return xl_fail(XLSTM_E_CONFIG, "cell kind %d is unknown; use an xlstm_cell_kind", c->kind);
    XL_TRY(xl_check_range("batch", c->batch, 1, 1 << 30));
    int rows = (1 << 30) / c->batch;
    XL_TRY(xl_check_range("time", c->time, 1, rows));
    XL_TRY(xl_check_range("heads", c->heads, 1, rows < WIDEST ? rows : WIDEST));
    int width = WIDEST / c->heads;
    XL_TRY(xl_check_range("head_size", c->head_size, 1, width));
    XL_TRY(xl_check_range("key_size", c->key_size, 0, width));
    XL_TRY(xl_check_range("chunk_size", c->chunk_size, 1, 1024));
    return xl_check_range("eps", c->eps, 0, 1);
}

static xl_seq whole(const xlstm_recurrence_config *c) {
    return (xl_seq){.B = c->batch, .T = c->time};
}

/* Hands out the arena's memory, or measures it: one list says both how much there is and where it lies. */
static void lay_out(xlstm_recurrence *r, xl_arena *a) {
    const xlstm_recurrence_config *c = &r->config;
    xl_seq seq = whole(c);
    uint64_t B = c->batch, N = B * c->time, H = c->heads;
    uint64_t D = H * c->head_size;
    uint64_t chunks = ((uint64_t)c->time + c->chunk_size - 1) / c->chunk_size;
    const xl_ops *op = r->place.op;
    r->scratch =
        xl_arena_real(a, is_mlstm(r) ? op->mlstm_scratch(r->mlstm, seq) : op->rnn_scratch(r->rnn, seq));
    r->lengths = (int32_t *)(void *)xl_arena_real(a, B); /* a real is no smaller than what these hold */
    r->resets = (uint8_t *)xl_arena_real(a, N);
    if (!is_mlstm(r))
        r->gates = xl_arena_real(a, N * 4 * D);
    if (!c->gradients)
        return;
    if (is_mlstm(r)) {
        r->mlstm_tape.m = xl_arena_real(a, N * H);
        r->mlstm_tape.den = xl_arena_real(a, N * H);
        r->mlstm_tape.borders = xl_arena_real(a, B * chunks * r->state_size);
    } else {
        r->tape = xl_arena_real(a, N * 3 * D);
        r->state_in = xl_arena_real(a, B * r->state_size);
    }
}

static void set_sizes(xlstm_recurrence *r) {
    const xlstm_recurrence_config *c = &r->config;
    int dk = c->key_size ? c->key_size : c->head_size;
    r->mlstm = (xl_mlstm){.H = c->heads,
                          .dk = dk,
                          .dv = c->head_size,
                          .L = c->chunk_size,
                          .eps = (real)(c->eps > 0 ? c->eps : 1e-6)};
    r->rnn = (xl_rnn){.H = c->heads, .dh = c->head_size, .lstm = c->kind == XLSTM_CELL_LSTM};
    r->state_size = is_mlstm(r) ? c->heads * xl_mlstm_state(r->mlstm)
                                : (r->rnn.lstm ? 2u : 4u) * (size_t)(c->heads * c->head_size);
}

static xlstm_status allocate(xlstm_recurrence *r) {
    const xlstm_recurrence_config *c = &r->config;
    xl_arena a = {0};
    set_sizes(r);
    r->threads = xl_threads_now();
    XL_TRY(xl_place_open(&r->place, &xl_memory_host, XL_PRODUCTS_REAL, "a recurrence"));
    double chunks =
        (double)c->time / c->chunk_size + 1; /* what is too much for any machine must not wrap around */
    if (c->batch * chunks * r->state_size > 0x1p50)
        return xl_no_memory(SIZE_MAX / 2, "a recurrence");
    lay_out(r, &a);
    if (!(r->memory = xl_alloc(a.peak)))
        return xl_no_memory(a.peak, "a recurrence");
    xl_log(XLSTM_LOG_INFO, "recurrence: %d x %d tokens, %.1f MiB; kernels %s, threads %d", c->batch, c->time,
           xl_mib(a.peak), r->place.op->name, r->threads);
    a = (xl_arena){.base = r->memory, .size = a.peak};
    lay_out(r, &a);
    return XLSTM_OK;
}

xlstm_status xlstm_recurrence_create(xlstm_recurrence **out, const xlstm_recurrence_config *config) {
    xlstm_recurrence_config c = {0};
    XL_TRY(xl_check_out(out, "xlstm_recurrence_create"));
    *out = NULL;
    XL_TRY(take_xlstm_recurrence_config(&c, config));
    XL_TRY(check_config(&c));
    xlstm_recurrence *r = xl_alloc(sizeof *r);
    if (!r)
        return xl_no_memory(sizeof *r, "a recurrence");
    r->config = c;
    xlstm_status status = allocate(r);
    if (status != XLSTM_OK)
        xlstm_recurrence_free(r);
    else
        *out = r;
    return status;
}

void xlstm_recurrence_free(xlstm_recurrence *r) {
    if (!r)
        return;
    xl_free(r->memory);
    xl_place_close(&r->place);
    xl_free(r);
}

size_t xlstm_recurrence_state_size(const xlstm_recurrence *r) {
    return r ? r->state_size : 0;
}

static xlstm_status check_cell(const xlstm_recurrence *r, int mlstm, const char *function) {
    if (!r || is_mlstm(r) != mlstm)
        return xl_fail(XLSTM_E_ARGUMENT, "%s: the recurrence is %s; make one of kind %s", function,
                       r ? "of another kind" : "NULL", mlstm ? "mLSTM" : "sLSTM or LSTM");
    return xl_threads_planned(r->threads);
}

static xlstm_status no_array(const char *function) {
    return xl_fail(XLSTM_E_ARGUMENT, "%s: an array is NULL; it needs them all", function);
}

/* Reads the span into *own, and its lengths and resets into the recurrence. A waiting backward pass is given
 * up. */
static xlstm_status take_span(xlstm_recurrence *r, xlstm_span *own, const xlstm_span *span) {
    *own = (xlstm_span){.struct_size = sizeof *own};
    if (span)
        XL_TRY(take_xlstm_span(own, span));
    if (own->time < 0 || own->time > r->config.time)
        return xl_fail(XLSTM_E_ARGUMENT, "the span has %d tokens; this recurrence takes 1 to %d", own->time,
                       r->config.time);
    xl_seq seq = whole(&r->config);
    if (own->time)
        seq.T = own->time;
    for (int b = 0; own->lengths && b < seq.B; b++)
        if (own->lengths[b] < 0 || own->lengths[b] > seq.T)
            return xl_fail(XLSTM_E_ARGUMENT, "length %d of row %d is not in 0 to %d", own->lengths[b], b,
                           seq.T);
    if (own->lengths)
        seq.lengths = memcpy(r->lengths, own->lengths, seq.B * sizeof *own->lengths);
    if (own->resets)
        seq.resets = memcpy(r->resets, own->resets, (size_t)seq.B * seq.T);
    r->seq = seq;
    r->has_tape = r->config.gradients;
    return XLSTM_OK;
}

/* A caller's array as rows of tokens. */
static xl_view rows(const xlstm_recurrence *r, const real *p, int cols) {
    return xl_const_rows(p, r->seq.B * r->seq.T, cols);
}

static xl_qkv qkv(const xlstm_recurrence *r, const real *q, const real *k, const real *v) {
    int K = r->mlstm.H * r->mlstm.dk;
    return (xl_qkv){rows(r, q, K), rows(r, k, K), rows(r, v, r->mlstm.H * r->mlstm.dv)};
}

static xl_gates gates_of(const xlstm_recurrence *r, const real *i, const real *f) {
    return (xl_gates){rows(r, i, r->mlstm.H), rows(r, f, r->mlstm.H)};
}

static xl_state state_of(const xlstm_recurrence *r, const real *in, real *out) {
    return (xl_state){in, out, (ptrdiff_t)r->state_size};
}

xlstm_status xlstm_mlstm_forward(xlstm_recurrence *r, const xlstm_span *span, const xlstm_mlstm_inputs *in,
                                 xlstm_real *h) {
    xlstm_span own;
    XL_TRY(check_cell(r, 1, "xlstm_mlstm_forward"));
    if (!in || !in->q || !in->k || !in->v || !in->i || !in->f || !h)
        return no_array("xlstm_mlstm_forward");
    XL_TRY(take_span(r, &own, span));
    const xl_ops *op = xl_place_enter(&r->place);
    op->mlstm(rows(r, h, r->mlstm.H * r->mlstm.dv), r->mlstm_tape, qkv(r, in->q, in->k, in->v),
              gates_of(r, in->i, in->f), r->mlstm, r->seq, state_of(r, own.state_in, own.state_out),
              r->scratch);
    return xl_place_leave(&r->place, XLSTM_OK);
}

/* Whether a forward pass waits; it does no longer. */
static xlstm_status use_tape(xlstm_recurrence *r, const char *function) {
    if (!r->has_tape)
        return xl_fail(XLSTM_E_ARGUMENT, "%s: no forward pass waits for it; %s", function,
                       r->config.gradients ? "call that first"
                                           : "the recurrence was made with gradients = 0");
    r->has_tape = 0;
    return XLSTM_OK;
}

xlstm_status xlstm_mlstm_backward(xlstm_recurrence *r, const xlstm_mlstm_inputs *in, const xlstm_real *h,
                                  const xlstm_real *d_h, const xlstm_mlstm_gradients *d) {
    XL_TRY(check_cell(r, 1, "xlstm_mlstm_backward"));
    if (!in || !in->q || !in->k || !in->v || !in->i || !in->f || !h || !d_h || !d || !d->q || !d->k ||
        !d->v || !d->i || !d->f)
        return no_array("xlstm_mlstm_backward");
    XL_TRY(use_tape(r, "xlstm_mlstm_backward"));
    int V = r->mlstm.H * r->mlstm.dv;
    const xl_ops *op = xl_place_enter(&r->place);
    /* (the borders hold the state that came in) */
    op->mlstm_bwd(qkv(r, d->q, d->k, d->v), gates_of(r, d->i, d->f), rows(r, d_h, V), rows(r, h, V),
                  r->mlstm_tape, qkv(r, in->q, in->k, in->v), gates_of(r, in->i, in->f), r->mlstm, r->seq,
                  (xl_state){0}, r->scratch);
    return xl_place_leave(&r->place, XLSTM_OK);
}

/* What the backward pass needs of the state that came in; the caller's array may be overwritten by then. */
static void keep_state_in(xlstm_recurrence *r, const real *state) {
    r->has_state_in = state != NULL;
    if (state && r->state_in)
        memcpy(r->state_in, state, (size_t)r->seq.B * r->state_size * sizeof *state);
}

xlstm_status xlstm_rnn_forward(xlstm_recurrence *r, const xlstm_span *span, const xlstm_real *gates,
                               const xlstm_real *R, xlstm_real *h) {
    xlstm_span own;
    XL_TRY(check_cell(r, 0, "xlstm_rnn_forward"));
    if (!gates || !R || !h)
        return no_array("xlstm_rnn_forward");
    XL_TRY(take_span(r, &own, span));
    int D = r->rnn.H * r->rnn.dh;
    xl_view own_gates = rows(r, r->gates, 4 * D);
    keep_state_in(r, own.state_in);
    const xl_ops *op = xl_place_enter(&r->place);
    op->copy(own_gates, rows(r, gates, 4 * D));
    op->rnn(rows(r, h, D), own_gates, r->tape, xl_real_matrix(R, 4 * D, r->rnn.dh), NULL, r->rnn, r->seq,
            state_of(r, own.state_in, own.state_out), r->scratch);
    return xl_place_leave(&r->place, XLSTM_OK);
}

xlstm_status xlstm_rnn_backward(xlstm_recurrence *r, const xlstm_real *R, const xlstm_real *h,
                                const xlstm_real *d_h, xlstm_real *d_gates, xlstm_real *d_R) {
    XL_TRY(check_cell(r, 0, "xlstm_rnn_backward"));
    if (!R || !h || !d_h || !d_gates || !d_R)
        return no_array("xlstm_rnn_backward");
    XL_TRY(use_tape(r, "xlstm_rnn_backward"));
    int D = r->rnn.H * r->rnn.dh;
    xl_view gates = rows(r, r->gates, 4 * D);
    const xl_ops *op = xl_place_enter(&r->place);
    op->rnn_bwd(gates, d_R, NULL, rows(r, d_h, D), rows(r, h, D), r->tape, R, r->rnn, r->seq,
                state_of(r, r->has_state_in ? r->state_in : NULL, NULL), r->scratch);
    op->copy(rows(r, d_gates, 4 * D), gates);
    return xl_place_leave(&r->place, XLSTM_OK);
}
