/* session.c - one inference timeline: pieces of the caller's tokens go through the stack, the state goes on,
 * and what comes out is delivered to the caller's arrays. */
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "base/structs.h"
#include "model/edge.h"
#include "model/feed.h"
#include "xlstm/session.h"
#include <limits.h>
#include <string.h>

struct xlstm_session {
    const xlstm_module *m;
    xl_place place;
    int B, max;  /* streams; tokens per piece */
    int threads; /* that memory is planned for */
    real *state; /* [B, state_size] */
    real *last;  /* [B, width], what the head is to read of each row's last token */
    xl_feed feed;
    xl_arena arena;
    xl_stack_tape tape;
};

XL_GROWING(xlstm_input, resets, resets)

static xl_call make_call(xlstm_session *s, const xl_ops *op, xl_seq seq) {
    s->arena.used = 0;
    return (xl_call){.op = op,
                     .seq = seq,
                     .w = s->m->w,
                     .packed = &s->m->packed,
                     .state = {s->state, s->state, (ptrdiff_t)s->m->state_size},
                     .keep = &s->arena,
                     .temp = &s->arena};
}

/* ---- pieces ---- */

/* The piece's outputs into rows b*time + from + t of `out`. */
static xlstm_status write_outputs(xlstm_session *s, const xl_call *c, const xl_given *in, real *out,
                                  int from) {
    int T = c->seq.T;
    if (T == in->time)
        return xl_edge_head(s->m, c, out, s->tape.out, 0);
    for (int b = 0; b < s->B; b++) {
        real *to = out + ((size_t)b * in->time + from) * s->m->out;
        XL_TRY(xl_edge_head(s->m, c, to, xl_some_rows(s->tape.out, b * T, T), 0));
    }
    return XLSTM_OK;
}

/* What the head will read of the rows whose last token is in the piece. */
static void keep_last(const xlstm_session *s, const xl_call *c) {
    xl_view x = s->tape.out;
    c->op->embed(xl_rows(s->last, s->B, s->m->width), s->feed.fed.last,
                 (xl_matrix){.type = x.type, .rows = x.rows, .cols = x.cols, .data = x.p});
}

/* The piece in hand through the stack. */
static xl_call run_piece(xlstm_session *s, const xl_ops *op) {
    xl_call c = make_call(s, op, xl_feed_seq(&s->feed));
    xl_stack_forward(s->m, &c, &s->tape, xl_feed_input(&s->feed));
    return c;
}

static xl_call last_call(xlstm_session *s, const xl_ops *op) {
    return make_call(s, op, (xl_seq){.B = s->B, .T = 1});
}

/* A dry run of everything that will be run. */
static xlstm_status plan(xlstm_session *s) {
    const xl_ops *op = xl_plan_begin(s->place.op);
    xl_call c = run_piece(s, op);
    xl_edge_head(s->m, &c, NULL, s->tape.out, 0);
    keep_last(s, &c);
    c = last_call(s, op);
    xl_edge_head(s->m, &c, NULL, xl_rows(s->last, s->B, s->m->width), 0);
    return xl_plan_end("a session");
}

/* kernels: those of the session that is copied; NULL: what is chosen now. */
static xlstm_status allocate(xlstm_session *s, const xl_ops *kernels) {
    const xlstm_module *m = s->m;
    xl_memory *memory = m->memory;
    XL_TRY(xl_place_open(&s->place, memory, XL_PRODUCTS_REAL, "a session"));
    s->place.op = kernels ? kernels : s->place.op;
    if (m->params.pack)
        XL_TRY(xl_place_rooms(&s->place, "a session"));
    XL_TRY(xl_stack_tape_create(&s->tape, m));
    XL_TRY(xl_feed_create(&s->feed, m, s->B, s->max, 0));
    XL_TRY(plan(s));
    uint64_t state = (uint64_t)s->B * m->state_size * sizeof(real);
    size_t work = s->arena.peak;
    s->state = memory->take(memory, state);
    s->last = memory->take(memory, (uint64_t)s->B * m->width * sizeof(real));
    s->arena = (xl_arena){.base = memory->take(memory, work), .size = work};
    if (!s->state || !s->last || !s->arena.base)
        return xl_memory_short(memory, state + work, "a session");
    xl_log(XLSTM_LOG_INFO,
           "session: %d streams, pieces of %d tokens, %.1f MiB state, %.1f MiB temporary; kernels %s, "
           "threads %d",
           s->B, s->max, xl_mib(state), xl_mib(work + s->place.room * xl_threads()), s->place.op->name,
           xl_threads());
    return XLSTM_OK;
}

static xlstm_status make(xlstm_session **out, const xlstm_module *module, int streams, int max_tokens,
                         const xl_ops *kernels) {
    xlstm_session *s = xl_alloc(sizeof *s);
    if (!s)
        return xl_no_memory(sizeof *s, "a session");
    s->m = module;
    s->B = streams;
    s->max = max_tokens;
    s->threads = xl_threads_now();
    xlstm_status status = allocate(s, kernels);
    if (status != XLSTM_OK)
        xlstm_session_free(s);
    else
        *out = s;
    return status;
}

xlstm_status xlstm_session_create(xlstm_session **out, const xlstm_module *module, int streams,
                                  int max_tokens) {
    XL_TRY(xl_check_out(out, "xlstm_session_create"));
    *out = NULL;
    if (max_tokens == 0)
        max_tokens = 64;
    if (!module || streams < 1 || max_tokens < 1 || streams > (1 << 30) / max_tokens)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "a session needs a module and positive sizes, whose product is 2^30 at most; got %d "
                       "streams of %d tokens at once",
                       streams, max_tokens);
    XL_TRY(xl_module_check_streams(module, streams));
    XL_TRY(xl_module_check_lent(module));
    return make(out, module, streams, max_tokens, NULL);
}

void xlstm_session_free(xlstm_session *s) {
    if (!s)
        return;
    xl_memory *memory = s->m->memory;
    xl_stack_tape_free(&s->tape);
    xl_feed_free(&s->feed);
    memory->give(memory, s->state);
    memory->give(memory, s->last);
    memory->give(memory, s->arena.base);
    xl_place_close(&s->place);
    xl_free(s);
}

/* ---- a call ---- */

static int longest(const xlstm_session *s, const xl_given *in) {
    int most = 0;
    for (int b = 0; b < s->B; b++)
        most = xl_feed_length(in, b) > most ? xl_feed_length(in, b) : most;
    return most;
}

/* Zeros where the caller's array has padding; pieces end where the longest row does. */
static void zero_padding(const xlstm_session *s, const xl_given *in, real *out) {
    size_t V = s->m->out, T = in->time;
    for (int b = 0; b < s->B; b++) {
        size_t length = xl_feed_length(in, b);
        memset(out + (b * T + length) * V, 0, (T - length) * V * sizeof *out);
    }
}

static xlstm_status write_last(xlstm_session *s, const xl_ops *op, const xl_given *in, real *last) {
    size_t V = s->m->out;
    xl_call c = last_call(s, op);
    XL_TRY(xl_edge_head(s->m, &c, last, xl_rows(s->last, s->B, s->m->width), 0));
    for (int b = 0; b < s->B; b++)
        if (!xl_feed_length(in, b))
            memset(last + b * V, 0, V * sizeof *last);
    return XLSTM_OK;
}

static xlstm_status run(xlstm_session *s, const xl_ops *op, const xl_given *in, real *outputs, real *last) {
    int end = longest(s, in);
    for (int from = 0, T; from < end; from += T) {
        T = end - from < s->max ? end - from : s->max;
        xl_feed_take(&s->feed, in, from, T);
        xl_feed_put(&s->feed);
        xl_call c = run_piece(s, op);
        if (last)
            keep_last(s, &c);
        if (outputs)
            XL_TRY(write_outputs(s, &c, in, outputs, from));
    }
    if (outputs && in->lengths)
        zero_padding(s, in, outputs);
    return last ? write_last(s, op, in, last) : XLSTM_OK;
}

xlstm_status xlstm_session_run(xlstm_session *s, const xlstm_input *input, xlstm_real *outputs,
                               xlstm_real *last) {
    xlstm_input in = {0};
    if (!s)
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_session_run: the session is NULL; create one");
    XL_TRY(xl_threads_planned(s->threads));
    XL_TRY(take_xlstm_input(&in, input));
    xl_given given = {.time = in.time,
                      .tokens = in.tokens,
                      .vectors = in.inputs,
                      .lengths = in.lengths,
                      .resets = in.resets};
    XL_TRY(xl_feed_check(&s->feed, &given, INT_MAX));
    const xl_ops *op = xl_place_enter(&s->place);
    return xl_place_leave(&s->place, run(s, op, &given, outputs, last));
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
    return s->state + stream * s->m->state_size;
}

static size_t state_bytes(const xlstm_session *s, int streams) {
    return (size_t)streams * s->m->state_size * sizeof(real);
}

xlstm_status xlstm_session_reset(xlstm_session *s, int stream) {
    int all = s && stream == -1;
    if (!all)
        XL_TRY(check_stream(s, stream));
    xl_memory *memory = s->m->memory;
    xl_place_enter(&s->place);
    memory->clear(memory, stream_state(s, all ? 0 : stream), state_bytes(s, all ? s->B : 1));
    return xl_place_leave(&s->place, XLSTM_OK);
}

static xlstm_status copy_states(xlstm_session *to, const xlstm_session *from) {
    xl_memory *memory = to->m->memory;
    xl_place_enter(&to->place);
    memory->copy(memory, to->state, from->state, state_bytes(from, from->B));
    return xl_place_leave(&to->place, XLSTM_OK);
}

xlstm_status xlstm_session_fork(xlstm_session **out, const xlstm_session *s) {
    if (out)
        *out = NULL;
    if (!out || !s)
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_session_fork needs an address for the copy and a session");
    XL_TRY(make(out, s->m, s->B, s->max, s->place.op));
    xlstm_status status = copy_states(*out, s);
    if (status != XLSTM_OK) {
        xlstm_session_free(*out);
        *out = NULL;
    }
    return status;
}

size_t xlstm_session_state_size(const xlstm_session *s) {
    return s ? s->m->state_size : 0;
}

xlstm_status xlstm_session_get_state(const xlstm_session *s, int stream, xlstm_real *state) {
    XL_TRY(check_stream(s, stream));
    if (!state)
        return xl_fail(XLSTM_E_ARGUMENT, "state is NULL; give room for xlstm_session_state_size() numbers");
    xl_memory *memory = s->m->memory;
    xl_place_enter(&s->place);
    return xl_place_leave(&s->place, memory->get(memory, state, stream_state(s, stream), state_bytes(s, 1)));
}

xlstm_status xlstm_session_set_state(xlstm_session *s, int stream, const xlstm_real *state) {
    XL_TRY(check_stream(s, stream));
    if (!state)
        return xl_fail(XLSTM_E_ARGUMENT, "state is NULL; give what xlstm_session_get_state() returned");
    xl_memory *memory = s->m->memory;
    xl_place_enter(&s->place);
    memory->put(memory, stream_state(s, stream), state, state_bytes(s, 1));
    return xl_place_leave(&s->place, XLSTM_OK);
}
