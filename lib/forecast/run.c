/* run.c - calls of the network. Rows are taken together where they have about as many tokens to compute;
 * those that begin with padding go on from the state behind it, which is the same for all lone rows, and for
 * all in groups without a known covariate: their inputs there are zeros, and attention to equal rows gives
 * their values back. */
#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "forecast/inside.h"
#include <stdio.h>
#include <string.h>

enum { PADDED = 8, KINDS = 2 }; /* states behind padding that are remembered, of lone rows and of groups */

typedef struct {
    int tokens; /* of padding; 0: none is remembered here */
    long used;
    real *state;
} padded;

struct xl_forecast_run {
    xl_forecast_network *net;
    xl_place place;
    int rows, tokens, threads;
    xl_stack_tape tape;
    xl_arena arena;
    xl_forecast_batch batch, lead; /* the rows in hand; one row of padding */
    unsigned char *marks, *done;   /* [rows] */
    real *in;                      /* [rows * tokens, 2 P] */
    real *state;                   /* [rows, state_size] */
    padded padded[KINDS][PADDED];
    long calls;
    real *carried; /* the caller's; NULL: no stream */
};

/* ---- making one ---- */

static xl_call start_call(xl_forecast_run *run, const xl_ops *op, const xl_forecast_batch *b) {
    xl_call c = xl_forecast_call(run->net, op, b);
    run->arena.used = 0;
    c.keep = c.temp = &run->arena;
    return c;
}

static xl_view forward(xl_forecast_run *run, const xl_ops *op, xl_state state) {
    xl_call c = start_call(run, op, &run->batch);
    c.state = state;
    xl_view in = xl_rows(run->in, run->batch.rows * run->batch.tokens, xl_forecast_entry(&run->net->config));
    return xl_forecast_forward(run->net, &c, &run->tape, &run->batch, in);
}

static xlstm_status plan(xl_forecast_run *run) {
    const xl_ops *op = xl_plan_begin(run->place.op);
    xl_forecast_batch_fill(&run->batch, run->rows, run->tokens, run->tokens);
    forward(run, op, (xl_state){0});
    return xl_plan_end("a forecast");
}

static xlstm_status take_memory(xl_forecast_run *run) {
    const xlstm_module *m = run->net->m;
    xl_memory *memory = m->memory;
    uint64_t in = (uint64_t)run->rows * run->tokens * xl_forecast_entry(&run->net->config) * sizeof(real);
    uint64_t state = m->state_size * sizeof(real), states = state * (run->rows + KINDS * PADDED);
    run->marks = xl_alloc(2 * run->rows);
    run->in = memory->take(memory, in);
    run->state = memory->take(memory, states);
    run->arena.size = run->arena.peak;
    run->arena.base = memory->take(memory, run->arena.size);
    if (!run->marks || !run->in || !run->state || !run->arena.base)
        return xl_no_memory(in + states + run->arena.size, "a forecast");
    run->done = run->marks + run->rows;
    for (int i = 0; i < KINDS * PADDED; i++)
        run->padded[i / PADDED][i % PADDED].state = run->state + (run->rows + i) * m->state_size;
    xl_log(XLSTM_LOG_INFO, "forecast: %d rows of %d tokens, %.1f MiB states, %.1f MiB temporary; kernels %s",
           run->rows, run->tokens, xl_mib(states), xl_mib(in + run->arena.size), run->place.op->name);
    return XLSTM_OK;
}

static xlstm_status allocate(xl_forecast_run *run) {
    xl_memory *memory = run->net->m->memory;
    XL_TRY(xl_place_open(&run->place, memory, XL_PRODUCTS_REAL, "a forecast"));
    if (run->net->m->params.pack)
        XL_TRY(xl_place_rooms(&run->place, "a forecast"));
    XL_TRY(xl_stack_tape_create(&run->tape, run->net->m));
    XL_TRY(xl_forecast_batch_create(&run->batch, memory, run->rows, run->tokens));
    XL_TRY(xl_forecast_batch_create(&run->lead, memory, 1, run->tokens));
    XL_TRY(plan(run));
    return take_memory(run);
}

xlstm_status xl_forecast_run_create(xl_forecast_run **out, xl_forecast_network *net, int rows, int tokens) {
    *out = NULL;
    if (rows < 1 || tokens < 1 || rows > (1 << 26) / tokens)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "a forecast of %d rows of %d tokens; give positive sizes, 2^26 at most", rows, tokens);
    XL_TRY(xl_module_check_streams(net->m, rows));
    XL_TRY(xl_module_check_lent(net->m));
    xl_forecast_run *run = xl_alloc(sizeof *run);
    if (!run)
        return xl_no_memory(sizeof *run, "a forecast");
    run->net = net;
    run->rows = rows;
    run->tokens = tokens;
    run->threads = xl_threads_now();
    xlstm_status status = allocate(run);
    if (status == XLSTM_OK)
        *out = run;
    else
        xl_forecast_run_free(run);
    return status;
}

void xl_forecast_run_free(xl_forecast_run *run) {
    if (!run)
        return;
    xl_memory *memory = run->net->m->memory;
    memory->give(memory, run->in);
    memory->give(memory, run->state);
    memory->give(memory, run->arena.base);
    xl_free(run->marks);
    xl_forecast_batch_free(&run->batch, memory);
    xl_forecast_batch_free(&run->lead, memory);
    xl_stack_tape_free(&run->tape);
    xl_place_close(&run->place);
    xl_free(run);
}

void xl_forecast_run_carry(xl_forecast_run *run, real *state) {
    run->carried = state;
}

/* ---- padding ---- */

/* `tokens` tokens of zeros through all that has a state. */
static void run_padding(xl_forecast_run *run, const xl_ops *op, int grouped, int tokens, xl_state state) {
    const xl_forecast_network *net = run->net;
    xl_memory *memory = net->m->memory;
    xl_forecast_batch *b = &run->lead;
    int entry = xl_forecast_entry(&net->config);
    xl_forecast_batch_fill(b, 1, tokens, 1);
    b->known = 0;
    b->grouped = b->groups = grouped;
    b->lengths[0] = tokens;
    b->first[0] = b->members[0] = 0;
    b->first[1] = b->open[0] = 1;
    xl_forecast_batch_put(b, memory);
    memory->clear(memory, run->in, (size_t)tokens * entry * sizeof(real));
    xl_call c = start_call(run, op, b);
    c.state = state;
    xl_stack_run(net->m, &c, &run->tape, 0, net->last, xl_rows(run->in, tokens, entry));
}

/* The state behind so many tokens, or NULL; *oldest: the one that has not been used for longest. */
static padded *find_state(padded *of, int tokens, padded **oldest) {
    padded *found = NULL;
    *oldest = &of[0];
    for (padded *p = of; p < of + PADDED; p++) {
        if (p->tokens == tokens)
            found = p;
        if (p->used < (*oldest)->used)
            *oldest = p;
    }
    return found;
}

/* In steps that depend on `tokens` alone, not on what is remembered: so do the bits of the state. */
static const real *state_behind(xl_forecast_run *run, const xl_ops *op, int grouped, int tokens) {
    enum { STEP = 16 };
    int before = (tokens - 1) / STEP * STEP;
    padded *p, *found = find_state(run->padded[grouped], tokens, &p);
    if (!found) {
        const real *from = before ? state_behind(run, op, grouped, before) : NULL;
        find_state(run->padded[grouped], before, &p);
        run_padding(run, op, grouped, tokens - before,
                    (xl_state){from, p->state, (ptrdiff_t)run->net->m->state_size});
        p->tokens = tokens;
        found = p;
    }
    found->used = ++run->calls;
    return found->state;
}

/* Where stream s begins: behind padding, where the caller says, or anew. */
static void prepare_state(xl_forecast_run *run, const xl_ops *op, int s) {
    xl_memory *memory = run->net->m->memory;
    size_t size = run->net->m->state_size;
    real *own = run->state + s * size;
    const xl_forecast_batch *b = &run->batch;
    if (b->from[s])
        memory->copy(memory, own, state_behind(run, op, s < b->grouped, b->from[s]), size * sizeof(real));
    else if (run->carried)
        memory->put(memory, own, run->carried + b->order[s] * size, size * sizeof(real));
    else
        memory->clear(memory, own, size * sizeof(real));
}

/* Streams that all begin alike read one state. */
static int all_begin_alike(const xl_forecast_batch *b) {
    for (int s = 1; s < b->rows; s++)
        if (b->from[s] != b->from[0] || (s < b->grouped) != (b->grouped > 0))
            return 0;
    return 1;
}

static xl_state prepare_states(xl_forecast_run *run, const xl_ops *op) {
    const xl_forecast_batch *b = &run->batch;
    ptrdiff_t size = (ptrdiff_t)run->net->m->state_size;
    if (!run->carried && all_begin_alike(b))
        return (xl_state){b->from[0] ? state_behind(run, op, b->grouped > 0, b->from[0]) : NULL, NULL, 0};
    for (int s = 0; s < b->rows; s++)
        prepare_state(run, op, s);
    return (xl_state){run->state, run->carried ? run->state : NULL, size};
}

static xlstm_status bring_states(xl_forecast_run *run) {
    xl_memory *memory = run->net->m->memory;
    size_t size = run->net->m->state_size;
    for (int s = 0; s < run->batch.rows && run->carried; s++)
        XL_TRY(memory->get(memory, run->carried + run->batch.order[s] * size, run->state + s * size,
                           size * sizeof(real)));
    return XLSTM_OK;
}

/* ---- calls ---- */

/* The heads of the batch's targets, which are in the order of the rows, to their places among all. */
static xlstm_status bring_heads(xl_forecast_run *run, const struct xl_forecast_rows *r, xl_view made,
                                real *head) {
    xl_memory *memory = run->net->m->memory;
    size_t size = (size_t)r->wanted_count * made.cols;
    int targets = 0, at = 0;
    for (int g = 0, end; g < r->rows; g = end) {
        end = xl_forecast_group_end(r, g);
        for (int row = g; row < end; row++) {
            if (r->target[row] && run->marks[g])
                XL_TRY(memory->get(memory, head + targets * size, xl_row(made, at++ * r->wanted_count),
                                   size * sizeof(real)));
            targets += r->target[row] != 0;
        }
    }
    return XLSTM_OK;
}

/* Marks the groups of the next batch: the longest that is left, and what is not much shorter; 0: none is. */
static int mark_next(xl_forecast_run *run, const struct xl_forecast_rows *r) {
    int most = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int g = 0; g < r->rows; g = xl_forecast_group_end(r, g)) {
            int length = run->done[g] ? 0 : xl_forecast_group_length(r, g);
            if (pass)
                run->done[g] |= run->marks[g] = length > 0 && length >= most - most / 8 - 4;
            else
                most = length > most ? length : most;
        }
    return most;
}

static xlstm_status run_all(xl_forecast_run *run, const xl_ops *op, const struct xl_forecast_rows *r,
                            const real *tokens, real *head) {
    memset(run->done, 0, run->rows);
    while (mark_next(run, r)) {
        xl_forecast_batch_take(&run->batch, r, run->marks, 0);
        xl_state state = prepare_states(run, op);
        xl_forecast_batch_put(&run->batch, run->net->m->memory);
        xl_forecast_put_tokens(&run->batch, run->net->m->memory, run->in,
                               xl_forecast_entry(&run->net->config), r, tokens);
        XL_TRY(bring_heads(run, r, forward(run, op, state), head));
        XL_TRY(bring_states(run));
    }
    return XLSTM_OK;
}

xlstm_status xl_forecast_network_run(xl_forecast_run *run, const struct xl_forecast_rows *rows,
                                     const real *tokens, real *head) {
    XL_TRY(xl_threads_planned(run->threads));
    XL_TRY(xl_forecast_rows_check(rows, run->rows, run->tokens));
    const xl_ops *op = xl_place_enter(&run->place);
    return xl_place_leave(&run->place, run_all(run, op, rows, tokens, head));
}

/* ---- watching ---- */

/* A run that keeps all that it makes. */
typedef struct {
    xl_forecast_run *run;
    xl_forecast_stage *stage;
    void *context;
    real *rows, *sorted; /* on the host: as streams, and in the rows' order */
} watch;

static xl_view watched_forward(xl_forecast_run *run, const xl_ops *op) {
    xl_call c = start_call(run, op, &run->batch);
    c.train = 1;
    xl_view in = xl_rows(run->in, run->batch.rows * run->batch.tokens, xl_forecast_entry(&run->net->config));
    return xl_forecast_forward(run->net, &c, &run->tape, &run->batch, in);
}

static xlstm_status show(const watch *w, const char *name, xl_view v, int in_order) {
    const xl_forecast_batch *b = &w->run->batch;
    xl_memory *memory = w->run->net->m->memory;
    size_t row = (size_t)b->tokens * v.cols;
    XL_TRY(memory->get(memory, w->rows, xl_row(v, 0), b->rows * row * sizeof(real)));
    for (int s = 0; s < b->rows; s++)
        memcpy(w->sorted + (in_order ? s : b->order[s]) * row, w->rows + s * row, row * sizeof(real));
    w->stage(w->context, name, v.cols, w->sorted);
    return XLSTM_OK;
}

static xlstm_status show_blocks(const watch *w) {
    const xl_forecast_run *run = w->run;
    int blocks = run->net->config.num_blocks;
    char name[32];
    for (int i = 0; i < blocks; i++) { /* a stage is what goes into the sublayer behind it */
        const xl_view *x = run->tape.x + 1 + 4 * i;
        snprintf(name, sizeof name, "time.%d", i);
        XL_TRY(show(w, name, x[2], 0));
        snprintf(name, sizeof name, "variate.%d", i);
        XL_TRY(show(w, name, x[4], i == blocks - 1));
    }
    return XLSTM_OK;
}

static xlstm_status watch_all(const watch *w, const xl_ops *op, const struct xl_forecast_rows *r,
                              const real *tokens) {
    xl_forecast_run *run = w->run;
    memset(run->marks, 1, run->rows);
    xl_forecast_batch_take(&run->batch, r, run->marks, 1);
    xl_forecast_batch_put(&run->batch, run->net->m->memory);
    xl_forecast_put_tokens(&run->batch, run->net->m->memory, run->in, xl_forecast_entry(&run->net->config), r,
                           tokens);
    xl_view head = watched_forward(run, op);
    int last = run->net->m->subs - 1;
    w->stage(w->context, "tokens", xl_forecast_entry(&run->net->config), tokens);
    XL_TRY(show(w, "embed", run->tape.x[1], 0));
    XL_TRY(show_blocks(w));
    XL_TRY(show(w, "norm", run->tape.xn[last], 1));
    return show(w, "head", head, 1);
}

static xlstm_status start_watch(watch *w, const struct xl_forecast_rows *r) {
    xl_forecast_run *run = w->run;
    xl_memory *memory = run->net->m->memory;
    int exit = xl_forecast_exit(&run->net->config), D = run->net->config.embedding_dim;
    uint64_t bytes = (uint64_t)r->rows * r->tokens * (exit > D ? exit : D) * sizeof(real);
    const xl_ops *op = xl_plan_begin(run->place.op);
    xl_forecast_batch_fill(&run->batch, run->rows, run->tokens, run->tokens);
    memory->give(memory, run->arena.base);
    run->arena = (xl_arena){0};
    watched_forward(run, op);
    XL_TRY(xl_plan_end("a forecast"));
    run->arena.size = run->arena.peak;
    run->arena.base = memory->take(memory, run->arena.size);
    w->rows = xl_alloc(bytes);
    w->sorted = xl_alloc(bytes);
    return run->arena.base && w->rows && w->sorted ? XLSTM_OK : xl_no_memory(run->arena.size, "a check");
}

xlstm_status xl_forecast_network_watch(xl_forecast_network *net, const struct xl_forecast_rows *rows,
                                       const real *tokens, xl_forecast_stage *stage, void *context) {
    watch w = {.stage = stage, .context = context};
    XL_TRY(xl_forecast_run_create(&w.run, net, rows->rows, rows->tokens));
    xlstm_status status = xl_forecast_rows_check(rows, rows->rows, rows->tokens);
    if (status == XLSTM_OK)
        status = start_watch(&w, rows);
    if (status == XLSTM_OK)
        status = xl_place_leave(&w.run->place, watch_all(&w, xl_place_enter(&w.run->place), rows, tokens));
    xl_free(w.rows);
    xl_free(w.sorted);
    xl_forecast_run_free(w.run);
    return status;
}

xlstm_status xl_forecast_run_watch(const xl_forecast_run *run, const struct xl_forecast_rows *rows,
                                   const real *tokens, xl_forecast_stage *stage, void *context) {
    return xl_forecast_network_watch(run->net, rows, tokens, stage, context);
}
