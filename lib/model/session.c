#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "base/structs.h"
#include "model/module.h"
#include "xlstm/session.h"
#include <string.h>

struct xlstm_session {
    const xlstm_module *m;
    int B, max;       /* streams; tokens per piece */
    int threads;      /* that memory is planned for */
    real *state;      /* [B, state_size] */
    int32_t *tokens;  /* [B * max], of one piece, with padding made harmless; as are */
    real *vectors;    /* [B * max, in] */
    int32_t *lengths; /* [B] */
    uint8_t *resets;  /* [B * max] */
    real *last;       /* [B, width], what the head is to read of each row's last token */
    xl_arena arena;
    xl_trace trace;
};

XL_GROWING(xlstm_input, resets, resets)

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
    uint64_t tokens = (uint64_t)s->B * (uint64_t)s->max;
    XL_TRY(xl_trace_create(&s->trace, m));
    xl_call plan = make_call(s, &xl_ops_null, s->max);
    xl_stack_forward(m, &plan, &s->trace, input_of(s, s->max));
    uint64_t state = (uint64_t)s->B * m->state_size * sizeof(real);
    size_t work = s->arena.peak;
    s->state = xl_alloc(state);
    s->tokens = xl_alloc(tokens * sizeof *s->tokens);
    s->lengths = xl_alloc((size_t)s->B * sizeof *s->lengths);
    s->resets = xl_alloc(tokens);
    s->last = xl_alloc((uint64_t)s->B * (uint64_t)m->width * sizeof(real));
    s->vectors = xl_alloc(tokens * (uint64_t)(m->in + 1) * sizeof(real));
    s->arena = (xl_arena){.base = xl_alloc(work), .size = work};
    if (!s->state || !s->tokens || !s->vectors || !s->lengths || !s->resets || !s->last || !s->arena.base)
        return xl_no_memory(state + work, "a session");
    xl_log(XLSTM_LOG_INFO,
           "session: %d streams, pieces of %d tokens, %.1f MiB state, %.1f MiB temporary; kernels %s, "
           "threads %d",
           s->B, s->max, xl_mib(state), xl_mib(work), xl_ops_bare(xl_ops_best())->name, xl_threads());
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
                       "a session needs a module and positive sizes, whose product is 2^30 at most; got %d "
                       "streams of %d tokens at once",
                       streams, max_tokens);
    XL_TRY(xl_check_streams(module, streams));
    XL_TRY(xl_ops_ready());
    xlstm_session *s = xl_alloc(sizeof *s);
    if (!s)
        return xl_no_memory(sizeof *s, "a session");
    s->m = module;
    s->B = streams;
    s->max = max_tokens;
    s->threads = xl_threads_now();
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
    xl_free(s->lengths);
    xl_free(s->resets);
    xl_free(s->last);
    xl_free(s->arena.base);
    xl_free(s);
}

/* Tokens of row b in this call, and of those the ones in a piece. */
static int length_of(const xlstm_input *in, int b) {
    return in->lengths ? in->lengths[b] : in->time;
}

static int length_in_piece(const xlstm_input *in, int b, int from, int T) {
    int left = length_of(in, b) - from;
    return left < 0 ? 0 : left < T ? left : T;
}

static int longest(const xlstm_session *s, const xlstm_input *in) {
    int most = 0;
    for (int b = 0; b < s->B; b++)
        most = length_of(in, b) > most ? length_of(in, b) : most;
    return most;
}

/* The piece's tokens or vectors of one row; padding becomes token 0 or zeros. */
static void gather_row(xlstm_session *s, const xlstm_input *in, int b, int from, int T) {
    size_t n = (size_t)s->m->in, row = (size_t)b * (size_t)in->time + (size_t)from,
           to = (size_t)b * (size_t)T;
    size_t length = (size_t)length_in_piece(in, b, from, T), rest = (size_t)T - length;
    if (s->m->vocab) {
        memcpy(s->tokens + to, in->tokens + row, length * sizeof *s->tokens);
        memset(s->tokens + to + length, 0, rest * sizeof *s->tokens);
    } else {
        memcpy(s->vectors + to * n, in->inputs + row * n, length * n * sizeof *s->vectors);
        memset(s->vectors + (to + length) * n, 0, rest * n * sizeof *s->vectors);
    }
    s->lengths[b] = (int32_t)length;
    if (in->resets)
        memcpy(s->resets + to, in->resets + row, (size_t)T);
}

/* The piece's outputs into rows b*time + from + t of `out`. */
static void write_outputs(xlstm_session *s, const xl_call *c, const xlstm_input *in, real *out, int from) {
    int T = c->seq.T, V = s->m->out;
    xl_view x = s->trace.out;
    if (T == in->time) {
        xl_head_forward(s->m, c, xl_rows(out, s->B * T, V), x);
        return;
    }
    for (int b = 0; b < s->B; b++) {
        real *to = out + ((size_t)b * (size_t)in->time + (size_t)from) * (size_t)V;
        xl_head_forward(s->m, c, xl_rows(to, T, V), xl_some_rows(x, b * T, T));
    }
}

/* What the head will read of the rows whose last token is in the piece. */
static void keep_last(xlstm_session *s, const xlstm_input *in, int from, int T) {
    xl_view x = s->trace.out;
    size_t width = (size_t)s->m->width;
    for (int b = 0; b < s->B; b++) {
        int at = length_of(in, b) - 1 - from;
        if (at >= 0 && at < T)
            memcpy(s->last + (size_t)b * width, x.p + (size_t)(b * T + at) * x.ld, width * sizeof(real));
    }
}

static void zero_padding(const xlstm_session *s, const xlstm_input *in, real *out) {
    size_t V = (size_t)s->m->out, T = (size_t)in->time;
    for (int b = 0; b < s->B; b++) {
        size_t length = (size_t)length_of(in, b);
        memset(out + ((size_t)b * T + length) * V, 0, (T - length) * V * sizeof *out);
    }
}

static void write_last(xlstm_session *s, const xlstm_input *in, real *last) {
    xl_call c = make_call(s, xl_ops_best(), 1);
    xl_head_forward(s->m, &c, xl_rows(last, s->B, s->m->out), xl_rows(s->last, s->B, s->m->width));
    for (int b = 0; b < s->B; b++)
        if (!length_of(in, b))
            memset(last + (size_t)b * (size_t)s->m->out, 0, (size_t)s->m->out * sizeof *last);
}

static void run(xlstm_session *s, const xlstm_input *in, real *outputs, real *last) {
    int end = longest(s, in);
    for (int from = 0, T; from < end; from += T) {
        T = end - from < s->max ? end - from : s->max;
        for (int b = 0; b < s->B; b++)
            gather_row(s, in, b, from, T);
        xl_call c = make_call(s, xl_ops_best(), T);
        c.seq.lengths = in->lengths ? s->lengths : NULL;
        c.seq.resets = in->resets ? s->resets : NULL;
        xl_stack_forward(s->m, &c, &s->trace, input_of(s, T));
        if (outputs)
            write_outputs(s, &c, in, outputs, from);
        if (last)
            keep_last(s, in, from, T);
    }
    if (outputs && in->lengths)
        zero_padding(s, in, outputs);
    if (last)
        write_last(s, in, last);
}

static xlstm_status check_tokens(const xlstm_session *s, const xlstm_input *in) {
    for (int b = 0; b < s->B; b++)
        for (int t = 0; t < length_of(in, b); t++) {
            int32_t token = in->tokens[(size_t)b * (size_t)in->time + (size_t)t];
            if (token < 0 || token >= s->m->vocab)
                return xl_fail(XLSTM_E_ARGUMENT, "token %d of row %d is %d; tokens must be 0 to %d", t, b,
                               (int)token, s->m->vocab - 1);
        }
    return XLSTM_OK;
}

static xlstm_status check_input(const xlstm_session *s, const xlstm_input *in) {
    if (in->time < 1)
        return xl_fail(XLSTM_E_ARGUMENT, "a session call needs time >= 1; got %d", in->time);
    if (s->m->vocab ? !in->tokens : !in->inputs)
        return xl_fail(XLSTM_E_ARGUMENT, "this module takes %s; give an array of them",
                       s->m->vocab ? "tokens" : "vectors");
    for (int b = 0; in->lengths && b < s->B; b++)
        if (in->lengths[b] < 0 || in->lengths[b] > in->time)
            return xl_fail(XLSTM_E_ARGUMENT, "length %d of row %d is not in 0 to %d", (int)in->lengths[b], b,
                           in->time);
    return s->m->vocab ? check_tokens(s, in) : XLSTM_OK;
}

xlstm_status xlstm_session_run(xlstm_session *s, const xlstm_input *input, xlstm_real *outputs,
                               xlstm_real *last) {
    xlstm_input in = {0};
    if (!s)
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_session_run: the session is NULL; create one");
    XL_TRY(xl_threads_planned(s->threads));
    XL_TRY(take_xlstm_input(&in, input));
    XL_TRY(check_input(s, &in));
    run(s, &in, outputs, last);
    return XLSTM_OK;
}

static xlstm_input tokens_of(const int32_t *tokens, int time) {
    return (xlstm_input){.struct_size = sizeof(xlstm_input), .time = time, .tokens = tokens};
}

xlstm_status xlstm_session_tokens(xlstm_session *s, const int32_t *tokens, int time, xlstm_real *logits) {
    xlstm_input in = tokens_of(tokens, time);
    return xlstm_session_run(s, &in, logits, NULL);
}

xlstm_status xlstm_session_prompt(xlstm_session *s, const int32_t *tokens, int time, xlstm_real *logits) {
    xlstm_input in = tokens_of(tokens, time);
    return xlstm_session_run(s, &in, NULL, logits);
}

xlstm_status xlstm_session_vectors(xlstm_session *s, const xlstm_real *inputs, int time,
                                   xlstm_real *outputs) {
    xlstm_input in = {.struct_size = sizeof in, .time = time, .inputs = inputs};
    return xlstm_session_run(s, &in, outputs, NULL);
}

void xl_session_shape(const xlstm_session *s, int *streams, int *outputs) {
    *streams = s->B;
    *outputs = s->m->out;
}

static xlstm_status check_stream(const xlstm_session *s, int stream) {
    if (!s)
        return xl_fail(XLSTM_E_ARGUMENT, "the session is NULL; create one");
    if (stream < 0 || stream >= s->B)
        return xl_fail(XLSTM_E_ARGUMENT, "stream %d does not exist; the session has 0 to %d", stream,
                       s->B - 1);
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
    if (out)
        *out = NULL;
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
