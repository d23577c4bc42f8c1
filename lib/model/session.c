#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "model/module.h"
#include "xlstm/session.h"
#include <string.h>

struct xlstm_session {
    const xlstm_module *m;
    int B, max;      /* streams; tokens per piece */
    real *state;     /* [B, state_size] */
    int32_t *tokens; /* [B * max] */
    real *vectors;   /* [B * max, in] */
    xl_arena arena;
    xl_trace trace;
};

/* What one call wants: all outputs, the last token's, or none. */
typedef enum { ALL, LAST, NONE } wanted;

static xl_call make_call(xlstm_session *s, const xl_ops *op, int T) {
    s->arena.used = 0;
    return (xl_call){.op = op,
                     .seq = {.B = s->B, .T = T},
                     .w = s->m->w,
                     .packed = &s->m->packed,
                     .state = {s->state, s->state, s->m->state_size},
                     .keep = &s->arena,
                     .temp = &s->arena};
}

static xl_input input_of(const xlstm_session *s, int T) {
    return (xl_input){s->tokens, xl_rows(s->vectors, s->B * T, s->m->in)};
}

static xlstm_status allocate(xlstm_session *s) {
    const xlstm_module *m = s->m;
    size_t tokens = (size_t)s->B * (size_t)s->max;
    XL_TRY(xl_trace_create(&s->trace, m));
    xl_call plan = make_call(s, &xl_ops_null, s->max);
    xl_stack_forward(m, &plan, &s->trace, input_of(s, s->max));
    size_t state = (size_t)s->B * m->state_size * sizeof(real), work = s->arena.peak;
    s->state = xl_alloc(state);
    s->tokens = xl_alloc(tokens * sizeof *s->tokens);
    s->vectors = xl_alloc(tokens * (size_t)(m->in + 1) * sizeof(real));
    s->arena = (xl_arena){.base = xl_alloc(work), .size = work};
    if (!s->state || !s->tokens || !s->vectors || !s->arena.base)
        return xl_no_memory(state + work, "a session");
    xl_log(XLSTM_LOG_INFO,
           "session: %d streams, pieces of %d tokens, %.1f MiB state, %.1f MiB temporary; kernels %s, "
           "%d threads",
           s->B, s->max, xl_mib(state), xl_mib(work), xl_ops_best()->name, xl_threads());
    return XLSTM_OK;
}

xlstm_status xlstm_session_create(xlstm_session **out, const xlstm_module *module, int streams,
                                  int max_tokens) {
    if (!out)
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_session_create: out is NULL; give the address of a pointer");
    *out = NULL;
    if (max_tokens == 0)
        max_tokens = 64;
    if (!module || streams < 1 || max_tokens < 1 || streams > (1 << 30) / max_tokens)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "a session needs a module and positive sizes; got %d streams of %d tokens at once",
                       streams, max_tokens);
    XL_TRY(xl_check_streams(module, streams));
    XL_TRY(xl_ops_ready());
    xlstm_session *s = xl_alloc(sizeof *s);
    if (!s)
        return xl_no_memory(sizeof *s, "a session");
    s->m = module;
    s->B = streams;
    s->max = max_tokens;
    xlstm_status status = allocate(s);
    if (status != XLSTM_OK)
        xlstm_session_free(s);
    else
        *out = s;
    return status;
}

void xlstm_session_free(xlstm_session *s) {
    if (!s)
        return;
    xl_trace_free(&s->trace);
    xl_free(s->state);
    xl_free(s->tokens);
    xl_free(s->vectors);
    xl_free(s->arena.base);
    xl_free(s);
}

/* The piece's outputs into rows b*time + from + t of `out`. */
static void write_all(xlstm_session *s, const xl_call *c, real *out, int time, int from) {
    int T = c->seq.T, V = s->m->out;
    xl_view x = s->trace.out;
    if (T == time) {
        xl_head_forward(s->m, c, xl_rows(out, s->B * T, V), x);
        return;
    }
    for (int b = 0; b < s->B; b++) {
        real *to = out + ((size_t)b * (size_t)time + (size_t)from) * (size_t)V;
        xl_head_forward(s->m, c, xl_rows(to, T, V), (xl_view){x.p + (size_t)(b * T) * x.ld, T, x.cols, x.ld});
    }
}

static void write_last(xlstm_session *s, const xl_call *c, real *out) {
    size_t T = (size_t)c->seq.T;
    xl_view x = s->trace.out;
    xl_head_forward(s->m, c, xl_rows(out, s->B, s->m->out),
                    (xl_view){x.p + (T - 1) * x.ld, s->B, x.cols, T * x.ld});
}

static void run_piece(xlstm_session *s, int T, int time, int from, wanted want, real *out) {
    xl_call c = make_call(s, xl_ops_best(), T);
    xl_stack_forward(s->m, &c, &s->trace, input_of(s, T));
    if (want == ALL)
        write_all(s, &c, out, time, from);
    else if (want == LAST && from + T == time)
        write_last(s, &c, out);
}

static void gather(xlstm_session *s, const int32_t *tokens, const real *vectors, int time, int from, int T) {
    size_t n = (size_t)s->m->in, t = (size_t)T;
    for (size_t b = 0; b < (size_t)s->B; b++) {
        size_t row = b * (size_t)time + (size_t)from;
        if (tokens)
            memcpy(s->tokens + b * t, tokens + row, t * sizeof *tokens);
        else
            memcpy(s->vectors + b * t * n, vectors + row * n, t * n * sizeof *vectors);
    }
}

static void run(xlstm_session *s, const int32_t *tokens, const real *vectors, int time, wanted want,
                real *out) {
    for (int from = 0, T; from < time; from += T) {
        T = time - from < s->max ? time - from : s->max;
        gather(s, tokens, vectors, time, from, T);
        run_piece(s, T, time, from, want, out);
    }
}

static xlstm_status check_tokens(const xlstm_session *s, const int32_t *tokens, int time) {
    if (!s || !tokens || time < 1)
        return xl_fail(XLSTM_E_ARGUMENT, "a session call needs a session, tokens and time >= 1; got time %d",
                       time);
    if (!s->m->vocab)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "this module takes vectors of %d numbers; call xlstm_session_vectors()", s->m->in);
    for (size_t i = 0; i < (size_t)s->B * (size_t)time; i++)
        if (tokens[i] < 0 || tokens[i] >= s->m->vocab)
            return xl_fail(XLSTM_E_ARGUMENT, "token %zu is %d; tokens must be 0 to %d", i, (int)tokens[i],
                           s->m->vocab - 1);
    return XLSTM_OK;
}

xlstm_status xlstm_session_tokens(xlstm_session *s, const int32_t *tokens, int time, xlstm_real *logits) {
    XL_TRY(check_tokens(s, tokens, time));
    run(s, tokens, NULL, time, logits ? ALL : NONE, logits);
    return XLSTM_OK;
}

xlstm_status xlstm_session_prompt(xlstm_session *s, const int32_t *tokens, int time, xlstm_real *logits) {
    XL_TRY(check_tokens(s, tokens, time));
    run(s, tokens, NULL, time, logits ? LAST : NONE, logits);
    return XLSTM_OK;
}

xlstm_status xlstm_session_vectors(xlstm_session *s, const xlstm_real *inputs, int time,
                                   xlstm_real *outputs) {
    if (!s || !inputs || time < 1)
        return xl_fail(XLSTM_E_ARGUMENT, "a session call needs a session, inputs and time >= 1; got time %d",
                       time);
    if (s->m->vocab)
        return xl_fail(XLSTM_E_ARGUMENT, "this module takes tokens; call xlstm_session_tokens()");
    run(s, NULL, inputs, time, outputs ? ALL : NONE, outputs);
    return XLSTM_OK;
}

void xl_session_shape(const xlstm_session *s, int *streams, int *outputs) {
    *streams = s->B;
    *outputs = s->m->out;
}

static xlstm_status check_stream(const xlstm_session *s, int stream) {
    if (!s || stream < 0 || stream >= s->B)
        return xl_fail(XLSTM_E_ARGUMENT, "stream %d does not exist; the session has 0 to %d", stream,
                       s ? s->B - 1 : -1);
    return XLSTM_OK;
}

static real *stream_state(const xlstm_session *s, int stream) {
    return s->state + (size_t)stream * s->m->state_size;
}

xlstm_status xlstm_session_reset(xlstm_session *s, int stream) {
    if (s && stream == -1) {
        memset(s->state, 0, (size_t)s->B * s->m->state_size * sizeof(real));
        return XLSTM_OK;
    }
    XL_TRY(check_stream(s, stream));
    memset(stream_state(s, stream), 0, s->m->state_size * sizeof(real));
    return XLSTM_OK;
}

xlstm_status xlstm_session_fork(xlstm_session **out, const xlstm_session *s) {
    if (!out || !s)
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_session_fork needs an address for the copy and a session");
    XL_TRY(xlstm_session_create(out, s->m, s->B, s->max));
    memcpy((*out)->state, s->state, (size_t)s->B * s->m->state_size * sizeof(real));
    return XLSTM_OK;
}

size_t xlstm_session_state_size(const xlstm_session *s) {
    return s ? s->m->state_size : 0;
}

xlstm_status xlstm_session_get_state(const xlstm_session *s, int stream, xlstm_real *state) {
    XL_TRY(check_stream(s, stream));
    if (!state)
        return xl_fail(XLSTM_E_ARGUMENT, "state is NULL; give room for xlstm_session_state_size() numbers");
    memcpy(state, stream_state(s, stream), s->m->state_size * sizeof(real));
    return XLSTM_OK;
}

xlstm_status xlstm_session_set_state(xlstm_session *s, int stream, const xlstm_real *state) {
    XL_TRY(check_stream(s, stream));
    if (!state)
        return xl_fail(XLSTM_E_ARGUMENT, "state is NULL; give what xlstm_session_get_state() returned");
    memcpy(stream_state(s, stream), state, s->m->state_size * sizeof(real));
    return XLSTM_OK;
}
