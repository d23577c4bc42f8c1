/* train.c - one call of the trainer: take the batch, run the stack, then head and loss a block of rows at a
 * time, so that the logits of a whole batch never exist. What changes from call to call is in the batch's
 * block, so the ops of a step are the same every time. */
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "base/structs.h"
#include "model/edge.h"
#include "model/trainer.h"
#include <string.h>

typedef enum { EVALUATE, TRAIN, FORWARD } mode;

XL_GROWING(xlstm_trainer_config, gradients, reserved)
XL_GROWING(xlstm_batch, outputs, token_loss)

void xlstm_trainer_config_init_sized(xlstm_trainer_config *config, size_t size) {
    xlstm_trainer_config c = {.batch = 1, .time = 64, .dropout = -1, .seed = 1, .gradients = 1};
    xl_struct_init(config, size, &c, sizeof c);
}

static int head_block(const xlstm_trainer *tr) {
    return xl_stack_head_rows(tr->m, tr->config.batch * tr->config.time);
}

static xl_call make_call(xlstm_trainer *tr, const xl_ops *op, mode how) {
    int train = how != EVALUATE;
    tr->keep.used = tr->temp.used = 0;
    xl_call c = {.op = op,
                 .seq = xl_feed_seq(&tr->feed),
                 .w = tr->m->w,
                 .packed = &tr->m->packed,
                 .dw = train ? tr->grad : NULL,
                 .keep = train ? &tr->keep : &tr->temp,
                 .temp = &tr->temp,
                 .train = train,
                 .dropout = train ? tr->dropout : 0,
                 .dropping = train && tr->dropping,
                 .seed = tr->feed.fed.seed};
    if (tr->state[0]) { /* with gradients there are two: backward reads what came in, and a refused call has
                           changed nothing */
        real *in = tr->state[tr->current], *out = tr->state[1] ? tr->state[1 - tr->current] : in;
        c.state = (xl_state){in, out, (ptrdiff_t)tr->m->state_size};
    }
    return c;
}

/* A block of rows on its way through the head. y and its gradient share a place, unless a cap's backward
 * reads y. */
typedef struct {
    int from;
    xl_view x, y, dx, dy;
} head_rows;

static head_rows begin_rows(const xlstm_trainer *tr, const xl_call *c) {
    int block = head_block(tr), out = tr->m->out;
    xl_view y = xl_arena_view(c->temp, block, out);
    return (head_rows){.y = y, .dy = xl_stack_head_is_capped(tr->m) ? xl_arena_view(c->temp, block, out) : y};
}

/* The first block, then the next; 0 after the last. dx: of all rows, or none. */
static int next_rows(head_rows *h, const xlstm_trainer *tr, const xl_call *c, xl_view dx) {
    h->from += h->x.rows;
    int left = xl_tokens(c) - h->from, block = head_block(tr), rows = left < block ? left : block;
    h->x = xl_some_rows(tr->tape.out, h->from, rows);
    h->dx = xl_some_rows(dx, h->from, rows);
    h->y = xl_some_rows(h->y, 0, rows);
    h->dy = xl_some_rows(h->dy, 0, rows);
    return rows > 0;
}

/* Head and loss over all rows; with dx.p also their backward. */
static void head_and_loss(xlstm_trainer *tr, const xl_call *c, xl_view dx) {
    size_t mark = xl_arena_mark(c->temp);
    if (xl_loss_takes_head(tr->loss) && xl_stack_head_is_matrix(tr->m)) {
        real *scratch =
            xl_arena_real(c->temp, c->op->xent_linear_scratch(xl_tokens(c), tr->m->vocab, tr->m->width));
        c->op->xent_linear(tr->each, dx, dx.p ? c->dw + tr->m->head_w : NULL, tr->tape.out,
                           c->w + tr->m->head_w, tr->m->vocab, tr->feed.fed.targets, tr->feed.fed.scale,
                           scratch);
        xl_arena_release(c->temp, mark);
        return;
    }
    head_rows h = begin_rows(tr, c);
    while (next_rows(&h, tr, c, dx)) {
        xl_stack_head_forward(tr->m, c, h.y, h.x);
        tr->loss->rows(c->op, &tr->feed, tr->each, dx.p ? h.dy : (xl_view){0}, h.y, h.from);
        if (dx.p)
            xl_stack_head_backward(tr->m, c, h.dx, h.x, h.y, h.dy);
    }
    xl_arena_release(c->temp, mark);
}

/* Forward, loss and (when training) backward over the batch in hand; the planner calls it with the null ops.
 */
static void run(xlstm_trainer *tr, const xl_call *c, mode how) {
    xl_stack_forward(tr->m, c, &tr->tape, xl_feed_input(&tr->feed));
    xl_view dx = how == TRAIN ? xl_arena_view(c->temp, xl_tokens(c), tr->m->width) : (xl_view){0};
    if (how != FORWARD) {
        head_and_loss(tr, c, dx);
        c->op->sum(tr->sum, tr->each, xl_tokens(c));
    }
    if (how == TRAIN)
        xl_stack_backward(tr->m, c, &tr->tape, xl_feed_input(&tr->feed), dx, (xl_view){0});
}

/* Backward from the caller's gradients of the outputs; the head's outputs are computed again where a soft cap
 * needs them. */
static xlstm_status run_backward_from(xlstm_trainer *tr, const xl_call *c, const real *d_outputs,
                                      real *d_inputs) {
    int N = xl_tokens(c), V = tr->m->out, vectors = !tr->m->vocab;
    xl_view dx = xl_arena_view(c->temp, N, tr->m->width), d_in = {0};
    size_t mark = xl_arena_mark(c->temp);
    head_rows h = begin_rows(tr, c);
    while (next_rows(&h, tr, c, dx)) {
        if (xl_stack_head_is_capped(tr->m))
            xl_stack_head_forward(tr->m, c, h.y, h.x);
        if (d_outputs)
            xl_edge_take(tr->m, c->op, h.dy, d_outputs + (size_t)h.from * V);
        c->op->clear_padding(h.dy, h.from, c->seq);
        xl_stack_head_backward(tr->m, c, h.dx, h.x, h.y, h.dy);
    }
    xl_arena_release(c->temp, mark);
    if (vectors && (d_inputs || !d_outputs)) /* without the latter memory is only planned */
        d_in = xl_edge_out(tr->m, c->temp, d_inputs, N, tr->m->in);
    xl_stack_backward(tr->m, c, &tr->tape, xl_feed_input(&tr->feed), dx, d_in);
    return d_inputs ? xl_edge_deliver(tr->m, d_inputs, d_in) : XLSTM_OK;
}

/* A dry run of everything that will be run, over the null backend. */
static xlstm_status plan(xlstm_trainer *tr) {
    static real nothing[1];
    const xl_ops *op = xl_plan_begin(tr->place.op);
    xl_call c = make_call(tr, op, EVALUATE);
    run(tr, &c, EVALUATE);
    if (tr->config.gradients) {
        c = make_call(tr, op, TRAIN);
        c.dw = nothing;
        run(tr, &c, TRAIN);
        c = make_call(tr, op, FORWARD);
        c.dw = nothing;
        run(tr, &c, FORWARD);
        xl_edge_head(tr->m, &c, NULL, tr->tape.out, 1);
        run_backward_from(tr, &c, NULL, NULL);
        op->fill(nothing, 1, 0);
        op->sumsq(tr->sum, nothing, 1);
    }
    return xl_plan_end("a trainer");
}

_Static_assert((int)XLSTM_PRODUCTS_BF16 == XL_PRODUCTS_BF16 && (int)XLSTM_PRODUCTS_REAL == XL_PRODUCTS_REAL,
               "one order");

static xlstm_status allocate(xlstm_trainer *tr) {
    const xlstm_module *m = tr->m;
    xl_memory *memory = m->memory;
    XL_TRY(xl_place_open(&tr->place, memory, (xl_products)tr->config.products, "a trainer"));
    if (m->params.pack || tr->config.products != XLSTM_PRODUCTS_REAL)
        XL_TRY(xl_place_rooms(&tr->place, "a trainer"));
    XL_TRY(xl_stack_tape_create(&tr->tape, m));
    XL_TRY(
        xl_feed_create(&tr->feed, m, tr->config.batch, tr->config.time, 1)); /* the plan takes places in it */
    XL_TRY(plan(tr));
    uint64_t grad = tr->config.gradients ? (uint64_t)m->params.size * sizeof(real) : 0;
    uint64_t state = tr->config.carry_state ? (uint64_t)tr->config.batch * m->state_size * sizeof(real) : 0;
    uint64_t each = (uint64_t)tr->config.batch * tr->config.time * sizeof(real);
    size_t keep = tr->keep.peak, temp = tr->temp.peak;
    tr->keep = (xl_arena){.base = memory->take(memory, keep), .size = keep};
    tr->temp = (xl_arena){.base = memory->take(memory, temp), .size = temp};
    tr->sum = memory->take(memory, sizeof *tr->sum);
    tr->each = memory->take(memory, each);
    tr->grad = grad ? memory->take(memory, grad) : NULL;
    tr->state[0] = state ? memory->take(memory, state) : NULL;
    tr->state[1] = state && grad ? memory->take(memory, state) : NULL;
    if (!tr->keep.base || !tr->temp.base || !tr->sum || !tr->each || (grad && !tr->grad) ||
        (state && !tr->state[0]) || (state && grad && !tr->state[1]))
        return xl_memory_short(memory, keep + temp + each + grad + 2 * state, "a trainer");
    xl_log(XLSTM_LOG_INFO,
           "trainer: %d x %d tokens, %.1f MiB tape, %.1f MiB temporary, %.1f MiB gradients, %.1f MiB state; "
           "kernels %s, threads %d",
           tr->config.batch, tr->config.time, xl_mib(keep),
           xl_mib(temp + tr->place.room * (uint64_t)xl_threads()), xl_mib(grad),
           xl_mib(tr->state[1] ? 2 * state : state), tr->place.op->name, xl_threads());
    return XLSTM_OK;
}

static xlstm_status check_config(const xlstm_module *m, const xlstm_trainer_config *c) {
    if (!m)
        return xl_fail(XLSTM_E_ARGUMENT, "a trainer needs a module; create or load one");
    if (c->batch < 1 || c->time < 1 || c->batch > (1 << 30) / c->time)
        return xl_fail(XLSTM_E_CONFIG, "batch %d and time %d must be positive and their product 2^30 at most",
                       c->batch, c->time);
    XL_TRY(xl_module_check_streams(m, c->batch));
    if (!(c->dropout < 1))
        return xl_fail(XLSTM_E_CONFIG, "dropout %g must be below 1 (negative: the model's own)", c->dropout);
    if ((unsigned)c->products > XLSTM_PRODUCTS_BF16)
        return xl_fail(XLSTM_E_CONFIG,
                       "products %d is unknown; use XLSTM_PRODUCTS_REAL or XLSTM_PRODUCTS_BF16", c->products);
    if (c->reserved)
        return xl_fail(XLSTM_E_ARGUMENT, "reserved is %d; this library knows no use of it: leave it 0",
                       c->reserved);
    if (c->carry_state && c->gradients && xl_module_has_attention(m))
        return xl_fail(XLSTM_E_CONFIG, "attention cannot be trained with carried state; set carry_state to 0 "
                                       "(evaluation, with gradients 0, may carry it)");
    return XLSTM_OK;
}

xlstm_status xlstm_trainer_create(xlstm_trainer **out, xlstm_module *module,
                                  const xlstm_trainer_config *config) {
    XL_TRY(xl_check_out(out, "xlstm_trainer_create"));
    *out = NULL;
    xlstm_trainer_config own = {0};
    XL_TRY(take_xlstm_trainer_config(&own, config));
    XL_TRY(check_config(module, config = &own));
    const xl_loss *loss = NULL;
    XL_TRY(xl_loss_of(&loss, module, config->loss));
    if (config->gradients)
        XL_TRY(xl_module_needs_reals(module, "a trainer with gradients"));
    XL_TRY(xl_module_check_lent(module));
    xlstm_trainer *tr = xl_alloc(sizeof *tr);
    if (!tr)
        return xl_no_memory(sizeof *tr, "a trainer");
    tr->m = module;
    tr->threads = xl_threads_now();
    tr->config = *config;
    tr->loss = loss;
    tr->dropout = config->dropout < 0 ? module->config.dropout : config->dropout;
    tr->dropping = tr->dropout > 0 || (config->dropout < 0 && module->config.ffn_dropout > 0);
    xlstm_status status = allocate(tr);
    if (status != XLSTM_OK)
        xlstm_trainer_free(tr);
    else
        *out = tr;
    return status;
}

void xlstm_trainer_free(xlstm_trainer *tr) {
    if (!tr)
        return;
    xl_memory *memory = tr->m->memory;
    void *owned[] = {tr->keep.base, tr->temp.base, tr->sum, tr->each, tr->grad, tr->state[0], tr->state[1]};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        memory->give(memory, owned[i]);
    xl_feed_free(&tr->feed);
    xl_stack_tape_free(&tr->tape);
    xl_place_close(&tr->place);
    xl_free(tr);
}

/* The batch becomes the piece in hand; on failure nothing that was in hand is lost. `loss`: NULL where there
 * is none to be taken. */
static xlstm_status take_batch(xlstm_trainer *tr, const xlstm_batch *b, const xl_loss *loss) {
    if (!tr)
        return xl_fail(XLSTM_E_ARGUMENT, "a trainer call needs a trainer; create one");
    XL_TRY(xl_threads_planned(tr->threads));
    xl_given given = {.time = b->time ? b->time : tr->config.time,
                      .tokens = b->tokens,
                      .vectors = b->inputs,
                      .lengths = b->lengths,
                      .resets = b->resets};
    if (loss) /* else: the caller's loss may have another idea of them */
        given.targets = b->targets, given.outputs = b->outputs, given.weights = b->weights;
    if (loss && !loss->has(&given))
        return xl_fail(XLSTM_E_ARGUMENT,
                       "the batch lacks %s, which the loss is taken over; for a loss of "
                       "your own use xlstm_trainer_forward()",
                       loss->needs);
    XL_TRY(xl_feed_check(&tr->feed, &given, tr->config.time));
    tr->has_tape = 0;
    xl_feed_take(&tr->feed, &given, 0, given.time);
    double count = tr->count = loss ? loss->counted(&tr->feed) : 0;
    *tr->feed.here.seed = xl_hash(tr->config.seed, tr->calls);
    *tr->feed.here.scale = count > 0 ? (real)(1 / count) : 0;
    return XLSTM_OK;
}

static void state_moves_on(xlstm_trainer *tr) {
    if (tr->state[1])
        tr->current = 1 - tr->current;
}

/* Where the first loss is that is not finite; carried state and the count of calls stay where they were, so
 * that the call may be left out of the run. */
static xlstm_status refuse_loss(xlstm_trainer *tr, double sum) {
    enum { SOME = 256 };
    xl_memory *memory = tr->m->memory;
    real each[SOME];
    int N = tr->config.batch * tr->feed.T, T = tr->feed.T, bad = N - 1;
    xlstm_status status = XLSTM_OK;
    tr->bad_loss = 1; /* whatever the device says now */
    xl_place_enter(&tr->place);
    for (int from = 0, count; from < bad && status == XLSTM_OK; from += count) {
        count = N - from < SOME ? N - from : SOME;
        status = memory->get(memory, each, tr->each + from, count * sizeof *each);
        for (int i = 0; i < count && from + i < bad; i++)
            bad = isfinite(each[i]) ? bad : from + i;
    }
    XL_TRY(xl_place_leave(&tr->place, status));
    return xl_fail(
        XLSTM_E_NUMERIC,
        "the loss is not finite (%g) in training call %llu, first at row %d, position %d; gradients are "
        "not to be used: zero them before going on",
        sum, (unsigned long long)tr->calls, bad / T, bad % T);
}

/* What a call found out is read once, at its end: the sum, and where they are wanted the losses of all
 * tokens. */
static xlstm_status compute_loss(xlstm_trainer *tr, const xl_ops *op, mode how, double *sum,
                                 real *token_loss) {
    xl_memory *memory = tr->m->memory;
    xl_feed_put(&tr->feed);
    xl_call c = make_call(tr, op, how);
    run(tr, &c, how);
    if (token_loss)
        XL_TRY(memory->get(memory, token_loss, tr->each, xl_tokens(&c) * sizeof(real)));
    return memory->get(memory, sum, tr->sum, sizeof *sum);
}

/* Where a device fails in a backward pass, gradients may be added in part: no update may use them. */
static xlstm_status half_done(xlstm_trainer *tr, int backward, xlstm_status status) {
    tr->bad_loss |= backward;
    return status;
}

static xlstm_status with_loss(xlstm_trainer *tr, const xlstm_batch *b, xlstm_loss *loss, mode how) {
    xlstm_batch own = {0};
    XL_TRY(take_xlstm_batch(&own, b));
    XL_TRY(take_batch(tr, &own, tr ? tr->loss : NULL));
    double count = tr->count, sum = 0;
    const xl_ops *op = xl_place_enter(&tr->place);
    xlstm_status status = xl_place_leave(&tr->place, compute_loss(tr, op, how, &sum, own.token_loss));
    if (status != XLSTM_OK)
        return half_done(tr, how == TRAIN, status);
    if (loss)
        *loss = (xlstm_loss){.mean = count > 0 ? sum / count : 0, .sum = sum, .count = count};
    if (how == TRAIN && !isfinite(sum))
        return refuse_loss(tr, sum);
    state_moves_on(tr);
    tr->calls += how == TRAIN;
    return XLSTM_OK;
}

xlstm_status xlstm_trainer_evaluate(xlstm_trainer *tr, const xlstm_batch *batch, xlstm_loss *loss) {
    return with_loss(tr, batch, loss, EVALUATE);
}

static xlstm_status need_gradients(const xlstm_trainer *tr) {
    if (tr && !tr->config.gradients)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "this trainer was made with gradients = 0; make one with gradients = 1");
    return XLSTM_OK;
}

xlstm_status xlstm_trainer_backward(xlstm_trainer *tr, const xlstm_batch *batch, xlstm_loss *loss) {
    XL_TRY(need_gradients(tr));
    return with_loss(tr, batch, loss, TRAIN);
}

static xlstm_status forward(xlstm_trainer *tr, const xl_ops *op, real *outputs) {
    xl_feed_put(&tr->feed);
    tr->call = make_call(tr, op, FORWARD);
    run(tr, &tr->call, FORWARD);
    return outputs ? xl_edge_head(tr->m, &tr->call, outputs, tr->tape.out, 1) : XLSTM_OK;
}

xlstm_status xlstm_trainer_forward(xlstm_trainer *tr, const xlstm_batch *batch, xlstm_real *outputs) {
    XL_TRY(need_gradients(tr));
    xlstm_batch own = {0};
    XL_TRY(take_xlstm_batch(&own, batch));
    XL_TRY(take_batch(tr, &own, NULL));
    const xl_ops *op = xl_place_enter(&tr->place);
    XL_TRY(xl_place_leave(&tr->place, forward(tr, op, outputs)));
    state_moves_on(tr);
    tr->calls++;
    tr->has_tape = 1;
    return XLSTM_OK;
}

xlstm_status xlstm_trainer_backward_from(xlstm_trainer *tr, const xlstm_real *d_outputs,
                                         xlstm_real *d_inputs) {
    if (!tr || !d_outputs)
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_trainer_backward_from needs a trainer and gradients");
    if (!tr->has_tape)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "no forward waits for its backward; call xlstm_trainer_forward() first");
    XL_TRY(xl_threads_planned(tr->threads));
    if (d_inputs && tr->m->vocab)
        return xl_fail(XLSTM_E_ARGUMENT, "tokens have no gradient; give d_inputs NULL");
    tr->has_tape = 0;
    tr->call.op = xl_place_enter(&tr->place);
    xlstm_status status = xl_place_leave(&tr->place, run_backward_from(tr, &tr->call, d_outputs, d_inputs));
    return half_done(tr, status != XLSTM_OK, status);
}

xlstm_status xlstm_trainer_zero_gradients(xlstm_trainer *tr) {
    if (!tr || !tr->grad)
        return XLSTM_OK;
    xl_threads_now();
    const xl_ops *op = xl_place_enter(&tr->place);
    op->fill(tr->grad, tr->m->params.size, 0);
    XL_TRY(xl_place_leave(&tr->place, XLSTM_OK));
    tr->bad_loss = 0;
    return XLSTM_OK;
}

static xlstm_status check_range(const xlstm_trainer *tr, size_t from, size_t count, const real *values,
                                const char *function) {
    if (!tr || !values)
        return xl_fail(XLSTM_E_ARGUMENT, "%s needs a trainer and an array of %zu numbers", function, count);
    XL_TRY(need_gradients(tr));
    size_t size = tr->m->params.size;
    if (from > size || count > size - from)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "%s: %zu numbers from number %zu on do not lie in the layout of %zu; see "
                       "xlstm_module_layout_size()",
                       function, count, from, size);
    return XLSTM_OK;
}

/* Norms, updates and moments run across the gaps between parameters and count on the zeros there. */
static xlstm_status check_gaps(const xl_layout *l, size_t from, size_t count, const real *values) {
    size_t at = from, end = from + count;
    for (int i = 0; i < l->count && at < end; i++) {
        const xl_param *p = &l->items[i];
        for (; at < p->offset && at < end; at++)
            if (values[at - from] != 0)
                return xl_fail(
                    XLSTM_E_ARGUMENT,
                    "xlstm_trainer_write_gradients: number %zu lies in the gap before \"%s\" and is "
                    "%g; give 0, as it is read",
                    at, p->name, values[at - from]);
        if (at < p->offset + p->count)
            at = p->offset + p->count;
    }
    return XLSTM_OK;
}

xlstm_status xlstm_trainer_read_gradients(const xlstm_trainer *tr, size_t from, size_t count,
                                          xlstm_real *out) {
    XL_TRY(check_range(tr, from, count, out, "xlstm_trainer_read_gradients"));
    xl_memory *memory = tr->m->memory;
    xl_place_enter(&tr->place);
    return xl_place_leave(&tr->place, memory->get(memory, out, tr->grad + from, count * sizeof *out));
}

xlstm_status xlstm_trainer_write_gradients(xlstm_trainer *tr, size_t from, size_t count,
                                           const xlstm_real *values) {
    XL_TRY(check_range(tr, from, count, values, "xlstm_trainer_write_gradients"));
    XL_TRY(check_gaps(&tr->m->params, from, count, values));
    xl_memory *memory = tr->m->memory;
    xl_place_enter(&tr->place);
    memory->put(memory, tr->grad + from, values, count * sizeof *values);
    return xl_place_leave(&tr->place, XLSTM_OK);
}

xlstm_status xl_trainer_sumsq(const xlstm_trainer *tr, const xl_ops *op, size_t from, size_t count,
                              double *sum) {
    xl_memory *memory = tr->m->memory;
    op->sumsq(tr->sum, tr->grad + from, count);
    return memory->get(memory, sum, tr->sum, sizeof *sum);
}

double xlstm_trainer_gradient_norm(const xlstm_trainer *tr) {
    double sum = 0;
    xl_threads_now();
    if (!tr || !tr->grad)
        return 0;
    const xl_ops *op = xl_place_enter(&tr->place);
    xlstm_status status = xl_place_leave(&tr->place, xl_trainer_sumsq(tr, op, 0, tr->m->params.size, &sum));
    return status == XLSTM_OK ? sqrt(sum) : NAN;
}

xlstm_status xlstm_trainer_reset(xlstm_trainer *tr, int stream) {
    if (!tr)
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_trainer_reset: the trainer is NULL; create one");
    if (stream < -1 || stream >= tr->config.batch)
        return xl_fail(XLSTM_E_ARGUMENT, "stream %d does not exist; give 0 to batch - 1, or -1 for all",
                       stream);
    if (!tr->state[0])
        return XLSTM_OK;
    size_t n = tr->m->state_size, first = stream < 0 ? 0 : stream;
    size_t streams = stream < 0 ? tr->config.batch : 1;
    xl_place_enter(&tr->place);
    tr->m->memory->clear(tr->m->memory, tr->state[tr->current] + first * n, streams * n * sizeof(real));
    return xl_place_leave(&tr->place, XLSTM_OK);
}

size_t xlstm_trainer_state_size(const xlstm_trainer *tr) {
    return tr && tr->state[0] ? tr->m->state_size : 0;
}

static xlstm_status check_state(const xlstm_trainer *tr, int stream, const real *state) {
    if (!tr || !state || stream < 0 || stream >= tr->config.batch)
        return xl_fail(
            XLSTM_E_ARGUMENT,
            "a trainer's state needs a trainer, a stream from 0 to batch - 1, not %d, and room for "
            "xlstm_trainer_state_size() numbers",
            stream);
    if (!tr->state[0])
        return xl_fail(XLSTM_E_ARGUMENT, "this trainer carries no state; make one with carry_state = 1");
    return XLSTM_OK;
}

xlstm_status xlstm_trainer_get_state(const xlstm_trainer *tr, int stream, xlstm_real *state) {
    XL_TRY(check_state(tr, stream, state));
    size_t n = tr->m->state_size;
    const real *from = tr->state[tr->current] + stream * n;
    xl_place_enter(&tr->place);
    return xl_place_leave(&tr->place, tr->m->memory->get(tr->m->memory, state, from, n * sizeof *state));
}

xlstm_status xlstm_trainer_set_state(xlstm_trainer *tr, int stream, const xlstm_real *state) {
    XL_TRY(check_state(tr, stream, state));
    size_t n = tr->m->state_size;
    real *to = tr->state[tr->current] + stream * n;
    xl_place_enter(&tr->place);
    tr->m->memory->put(tr->m->memory, to, state, n * sizeof *state);
    return xl_place_leave(&tr->place, XLSTM_OK);
}

xlstm_trainer_memory xlstm_trainer_memory_of(const xlstm_trainer *tr) {
    if (!tr)
        return (xlstm_trainer_memory){0};
    size_t state = tr->config.batch * tr->m->state_size * sizeof(real);
    return (xlstm_trainer_memory){.tape = tr->keep.size,
                                  .temporary = tr->temp.size,
                                  .gradients = tr->grad ? tr->m->params.size * sizeof(real) : 0,
                                  .state = (tr->state[0] ? state : 0) + (tr->state[1] ? state : 0),
                                  .tape_used = tr->keep.peak,
                                  .temporary_used = tr->temp.peak};
}
