/* train.c - one call of the trainer: copy the batch, run the stack, then head and loss a block of rows at a
 * time, so that the logits of a whole batch never exist. */
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "base/structs.h"
#include "model/trainer.h"
#include <string.h>

typedef enum { EVALUATE, TRAIN, FORWARD } mode;

XL_GROWING(xlstm_trainer_config, gradients, products)
XL_GROWING(xlstm_batch, outputs, token_loss)

void xlstm_trainer_config_init_sized(xlstm_trainer_config *config, size_t size) {
    xlstm_trainer_config c = {.batch = 1, .time = 64, .dropout = -1, .seed = 1, .gradients = 1};
    xl_struct_init(config, size, &c, sizeof c);
}

static int head_block(const xlstm_trainer *tr) {
    return xl_logit_rows(tr->config.batch * tr->config.time, tr->m->out);
}

static xl_call make_call(xlstm_trainer *tr, const xl_ops *op, mode how) {
    int train = how != EVALUATE;
    tr->keep.used = tr->temp.used = 0;
    xl_call c = {.op = op,
                 .seq = {.B = tr->config.batch,
                         .T = tr->T,
                         .lengths = tr->has_lengths ? tr->lengths : NULL,
                         .resets = tr->has_resets ? tr->resets : NULL},
                 .w = tr->m->w,
                 .packed = &tr->m->packed,
                 .dw = train ? tr->grad : NULL,
                 .keep = train ? &tr->keep : &tr->temp,
                 .temp = &tr->temp,
                 .train = train,
                 .dropout = train ? tr->dropout : 0,
                 .dropping = train && tr->dropping,
                 .seed = xl_hash(tr->config.seed, tr->calls)};
    if (tr->state[0]) {
        real *in = tr->state[tr->current], *out = tr->state[1] ? tr->state[1 - tr->current] : in;
        c.state = (xl_state){in, out, tr->m->state_size};
    }
    return c;
}

static const xl_ops *ops_of(const xlstm_trainer *tr) {
#ifndef XLSTM_DOUBLE
    if (tr->config.products == XLSTM_PRODUCTS_BF16)
        return xl_ops_bf16();
#endif
    (void)tr;
    return xl_ops_best();
}

static xl_input input_of(const xlstm_trainer *tr) {
    return (xl_input){tr->tokens, xl_rows(tr->vectors, tr->config.batch * tr->T, tr->m->in)};
}

/* Loss, and its gradient when dy.p, of some rows; y are the outputs. */
static void loss_rows(xlstm_trainer *tr, const xl_call *c, int from, xl_view y, xl_view dy, real scale) {
    if (tr->m->vocab) {
        c->op->xent(tr->each + from, dy, y, tr->targets + from, scale);
        return;
    }
    xl_view target = xl_some_rows(xl_rows(tr->outputs, c->seq.B * c->seq.T, tr->m->out), from, y.rows);
    c->op->mse(tr->each + from, dy, y, target, tr->has_weights ? tr->weights + from : NULL, scale);
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
    return (head_rows){.y = y, .dy = xl_head_is_capped(tr->m) ? xl_arena_view(c->temp, block, out) : y};
}

/* The first block, then the next; 0 after the last. dx: of all rows, or none. */
static int next_rows(head_rows *h, const xlstm_trainer *tr, const xl_call *c, xl_view dx) {
    h->from += h->x.rows;
    int left = xl_tokens(c) - h->from, block = head_block(tr), rows = left < block ? left : block;
    h->x = xl_some_rows(tr->trace.out, h->from, rows);
    h->dx = xl_some_rows(dx, h->from, rows);
    h->y = xl_some_rows(h->y, 0, rows);
    h->dy = xl_some_rows(h->dy, 0, rows);
    return rows > 0;
}

/* Head and loss over all rows; with dx.p also their backward. */
static void head_and_loss(xlstm_trainer *tr, const xl_call *c, xl_view dx, real scale) {
    size_t mark = xl_arena_mark(c->temp);
    if (xl_head_is_matrix(tr->m)) {
        real *scratch =
            xl_arena_real(c->temp, xl_xent_linear_scratch(xl_tokens(c), tr->m->vocab, tr->m->width));
        c->op->xent_linear(tr->each, dx, dx.p ? c->dw + tr->m->head_w : NULL, tr->trace.out,
                           c->w + tr->m->head_w, tr->m->vocab, tr->targets, scale, scratch);
        xl_arena_release(c->temp, mark);
        return;
    }
    head_rows h = begin_rows(tr, c);
    while (next_rows(&h, tr, c, dx)) {
        xl_head_forward(tr->m, c, h.y, h.x);
        loss_rows(tr, c, h.from, h.y, dx.p ? h.dy : (xl_view){0}, scale);
        if (dx.p)
            xl_head_backward(tr->m, c, h.dx, h.x, h.y, h.dy);
    }
    xl_arena_release(c->temp, mark);
}

/* Forward, loss and (when training) backward over the batch in hand; the planner calls it with the null ops.
 */
static void run(xlstm_trainer *tr, const xl_call *c, mode how, real scale) {
    xl_stack_forward(tr->m, c, &tr->trace, input_of(tr));
    xl_view dx = how == TRAIN ? xl_arena_view(c->temp, xl_tokens(c), tr->m->width) : (xl_view){0};
    if (how != FORWARD)
        head_and_loss(tr, c, dx, scale);
    if (how == TRAIN)
        xl_stack_backward(tr->m, c, &tr->trace, input_of(tr), dx, (xl_view){0});
}

/* Zeros in the padding of some rows of outputs, or of their gradients. */
static void zero_padding(const xl_call *c, xl_view rows, int from) {
    int T = c->seq.T;
    for (int n = 0; c->seq.lengths && n < rows.rows; n++)
        if ((from + n) % T >= c->seq.lengths[(from + n) / T])
            c->op->fill(rows.p + (size_t)n * rows.ld, (size_t)rows.cols, 0);
}

/* Backward from given gradients of the outputs; the head's outputs are computed again where a soft cap needs
 * them. */
static void run_backward_from(xlstm_trainer *tr, const xl_call *c, const real *d_outputs, xl_view d_in) {
    xl_view dx = xl_arena_view(c->temp, xl_tokens(c), tr->m->width);
    xl_view given = xl_rows((real *)(uintptr_t)d_outputs, xl_tokens(c), tr->m->out);
    size_t mark = xl_arena_mark(c->temp);
    head_rows h = begin_rows(tr, c);
    while (next_rows(&h, tr, c, dx)) {
        if (xl_head_is_capped(tr->m))
            xl_head_forward(tr->m, c, h.y, h.x);
        c->op->copy(h.dy, xl_some_rows(given, h.from, h.dy.rows));
        zero_padding(c, h.dy, h.from);
        xl_head_backward(tr->m, c, h.dx, h.x, h.y, h.dy);
    }
    xl_arena_release(c->temp, mark);
    xl_stack_backward(tr->m, c, &tr->trace, input_of(tr), dx, d_in);
}

/* A dry run of everything that will be run, over the null backend. */
static void plan(xlstm_trainer *tr) {
    static real nothing[1];
    tr->T = tr->config.time;
    xl_call c = make_call(tr, &xl_ops_null, EVALUATE);
    run(tr, &c, EVALUATE, 0);
    if (!tr->config.gradients)
        return;
    c = make_call(tr, &xl_ops_null, TRAIN);
    c.dw = nothing;
    run(tr, &c, TRAIN, 0);
    c = make_call(tr, &xl_ops_null, FORWARD);
    c.dw = nothing;
    run(tr, &c, FORWARD, 0);
    run_backward_from(tr, &c, nothing, (xl_view){0});
}

static xlstm_status allocate_batch(xlstm_trainer *tr) {
    const xlstm_module *m = tr->m;
    uint64_t B = (uint64_t)tr->config.batch, N = B * (uint64_t)tr->config.time;
    uint64_t vectors = m->vocab ? 1 : N * (uint64_t)m->in, outputs = m->vocab ? 1 : N * (uint64_t)m->out;
    tr->tokens = xl_alloc(N * sizeof(int32_t));
    tr->targets = xl_alloc(N * sizeof(int32_t));
    tr->lengths = xl_alloc(B * sizeof(int32_t));
    tr->resets = xl_alloc(N);
    tr->vectors = xl_alloc(vectors * sizeof(real));
    tr->outputs = xl_alloc(outputs * sizeof(real));
    tr->weights = xl_alloc(N * sizeof(real));
    tr->each = xl_alloc(N * sizeof(real));
    if (!tr->tokens || !tr->targets || !tr->lengths || !tr->resets || !tr->vectors || !tr->outputs ||
        !tr->weights || !tr->each)
        return xl_no_memory((vectors + outputs + 4 * N) * sizeof(real), "a trainer's batch");
    return XLSTM_OK;
}

static xlstm_status allocate(xlstm_trainer *tr) {
    const xlstm_module *m = tr->m;
    XL_TRY(xl_trace_create(&tr->trace, m));
    XL_TRY(allocate_batch(tr)); /* first: the plan takes places in these arrays */
    plan(tr);
    uint64_t grad = tr->config.gradients ? (uint64_t)m->params.size * sizeof(real) : 0;
    uint64_t state = tr->config.carry_state ? (uint64_t)tr->config.batch * m->state_size * sizeof(real) : 0;
    size_t keep = tr->keep.peak, temp = tr->temp.peak;
    tr->keep = (xl_arena){.base = xl_alloc(keep), .size = keep};
    tr->temp = (xl_arena){.base = xl_alloc(temp), .size = temp};
    tr->grad = grad ? xl_alloc(grad) : NULL;
    tr->state[0] = state ? xl_alloc(state) : NULL;
    tr->state[1] = state && grad ? xl_alloc(state) : NULL;
    if (!tr->keep.base || !tr->temp.base || (grad && !tr->grad) || (state && !tr->state[0]) ||
        (state && grad && !tr->state[1]))
        return xl_no_memory(keep + temp + grad + 2 * state, "a trainer");
    xl_log(XLSTM_LOG_INFO,
           "trainer: %d x %d tokens, %.1f MiB tape, %.1f MiB temporary, %.1f MiB gradients, %.1f MiB state; "
           "kernels %s, threads %d",
           tr->config.batch, tr->config.time, xl_mib(keep), xl_mib(temp), xl_mib(grad),
           xl_mib(tr->state[1] ? 2 * state : state), xl_ops_bare(xl_ops_best())->name, xl_threads());
    return XLSTM_OK;
}

static xlstm_status check_config(const xlstm_module *m, const xlstm_trainer_config *c) {
    if (!m)
        return xl_fail(XLSTM_E_ARGUMENT, "a trainer needs a module; create or load one");
    if (c->batch < 1 || c->time < 1 || c->batch > (1 << 30) / c->time)
        return xl_fail(XLSTM_E_CONFIG, "batch %d and time %d must be positive and their product 2^30 at most",
                       c->batch, c->time);
    XL_TRY(xl_check_streams(m, c->batch));
    if (!(c->dropout < 1))
        return xl_fail(XLSTM_E_CONFIG, "dropout %g must be below 1 (negative: the model's own)",
                       (double)c->dropout);
    if ((unsigned)c->products > XLSTM_PRODUCTS_BF16)
        return xl_fail(XLSTM_E_CONFIG,
                       "products %d is unknown; use XLSTM_PRODUCTS_REAL or XLSTM_PRODUCTS_BF16",
                       (int)c->products);
#ifdef XLSTM_DOUBLE
    if (c->products != XLSTM_PRODUCTS_REAL)
        return xl_fail(XLSTM_E_CONFIG,
                       "the build with double numbers has no bfloat16 products; use XLSTM_PRODUCTS_REAL");
#endif
    if (c->carry_state && c->gradients && xl_module_has_attention(m))
        return xl_fail(XLSTM_E_CONFIG, "attention cannot be trained with carried state; set carry_state to 0 "
                                       "(evaluation, with gradients 0, may carry it)");
    return XLSTM_OK;
}

xlstm_status xlstm_trainer_create(xlstm_trainer **out, xlstm_module *module,
                                  const xlstm_trainer_config *config) {
    if (!out)
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_trainer_create: out is NULL; give the address of a pointer");
    *out = NULL;
    xlstm_trainer_config own = {0};
    XL_TRY(take_xlstm_trainer_config(&own, config));
    XL_TRY(check_config(module, config = &own));
    XL_TRY(xl_ops_ready());
    if (config->gradients)
        XL_TRY(xl_module_needs_reals(module, "a trainer with gradients"));
    xlstm_trainer *tr = xl_alloc(sizeof *tr);
    if (!tr)
        return xl_no_memory(sizeof *tr, "a trainer");
    tr->m = module;
    tr->threads = xl_threads_now();
    tr->config = *config;
    tr->dropout = (real)(config->dropout < 0 ? module->config.dropout : config->dropout);
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
    void *owned[] = {tr->keep.base, tr->temp.base, tr->grad,    tr->state[0], tr->state[1],
                     tr->tokens,    tr->targets,   tr->lengths, tr->resets,   tr->vectors,
                     tr->outputs,   tr->weights,   tr->each};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        xl_free(owned[i]);
    xl_trace_free(&tr->trace);
    xl_free(tr);
}

/* One position of one row, before the padding. */
static xlstm_status check_position(const xlstm_trainer *tr, const xlstm_batch *b, int row, int t, int T) {
    int V = tr->m->vocab;
    size_t i = (size_t)row * (size_t)T + (size_t)t;
    if (V && (b->tokens[i] < 0 || b->tokens[i] >= V))
        return xl_fail(XLSTM_E_ARGUMENT, "row %d, position %d: token %d is not in 0 to %d", row, t,
                       (int)b->tokens[i], V - 1);
    if (V && b->targets && b->targets[i] >= V)
        return xl_fail(
            XLSTM_E_ARGUMENT,
            "row %d, position %d: target %d is not in 0 to %d, nor negative, which is to ignore it", row, t,
            (int)b->targets[i], V - 1);
    if (!V && b->weights && !(b->weights[i] >= 0 && isfinite(b->weights[i])))
        return xl_fail(XLSTM_E_ARGUMENT, "row %d, position %d: weight %g must be finite and not negative",
                       row, t, (double)b->weights[i]);
    return XLSTM_OK;
}

static xlstm_status check_rows(const xlstm_trainer *tr, const xlstm_batch *b, int T) {
    for (int row = 0; row < tr->config.batch; row++) {
        int length = b->lengths ? (int)b->lengths[row] : T;
        if (length < 0 || length > T)
            return xl_fail(XLSTM_E_ARGUMENT, "length %d of row %d is not in 0 to %d", length, row, T);
        for (int t = 0; t < length; t++)
            XL_TRY(check_position(tr, b, row, t, T));
    }
    return XLSTM_OK;
}

static xlstm_status check_batch(const xlstm_trainer *tr, const xlstm_batch *b, int with_targets) {
    if (!tr)
        return xl_fail(XLSTM_E_ARGUMENT, "a trainer call needs a trainer; create one");
    XL_TRY(xl_threads_planned(tr->threads));
    if (b->time < 0 || b->time > tr->config.time)
        return xl_fail(XLSTM_E_ARGUMENT, "the batch has %d tokens a row; this trainer takes 1 to %d", b->time,
                       tr->config.time);
    int V = tr->m->vocab;
    if (V ? !b->tokens : !b->inputs)
        return xl_fail(XLSTM_E_ARGUMENT, "the batch lacks %s, which this model reads",
                       V ? "tokens" : "inputs");
    if (with_targets && (V ? !b->targets : !b->outputs))
        return xl_fail(XLSTM_E_ARGUMENT,
                       "the batch lacks %s, which the loss is taken over; for a loss of "
                       "your own use xlstm_trainer_forward()",
                       V ? "targets" : "outputs");
    return check_rows(tr, b, b->time ? b->time : tr->config.time);
}

/* Tokens and targets of the rows' real part; padding becomes token 0 and an ignored target. */
static void copy_tokens(xlstm_trainer *tr, const xlstm_batch *b, size_t row, size_t length) {
    size_t T = (size_t)tr->T;
    for (size_t t = 0; t < T; t++) {
        size_t i = row * T + t;
        int real_one = t < length;
        tr->tokens[i] = real_one ? b->tokens[i] : 0;
        tr->targets[i] = real_one && b->targets ? b->targets[i] : -1;
    }
}

static void copy_vectors(xlstm_trainer *tr, const xlstm_batch *b, size_t row, size_t length) {
    size_t T = (size_t)tr->T, in = (size_t)tr->m->in, out = (size_t)tr->m->out, at = row * T;
    memset(tr->vectors + at * in, 0, T * in * sizeof(real));
    memset(tr->outputs + at * out, 0, T * out * sizeof(real));
    memcpy(tr->vectors + at * in, b->inputs + at * in, length * in * sizeof(real));
    if (b->outputs)
        memcpy(tr->outputs + at * out, b->outputs + at * out, length * out * sizeof(real));
    for (size_t t = 0; t < T; t++)
        tr->weights[at + t] = t >= length ? 0 : b->weights ? b->weights[at + t] : 1;
}

/* Copies the batch; on failure nothing that was in hand is lost. */
static xlstm_status take(xlstm_trainer *tr, const xlstm_batch *b, int with_targets) {
    XL_TRY(check_batch(tr, b, with_targets));
    tr->has_tape = 0;
    tr->T = b->time ? b->time : tr->config.time;
    tr->has_lengths = b->lengths != NULL;
    tr->has_resets = b->resets != NULL;
    tr->has_weights = b->lengths || b->weights;
    for (size_t row = 0; row < (size_t)tr->config.batch; row++) {
        size_t length = (size_t)(b->lengths ? b->lengths[row] : tr->T);
        tr->lengths[row] = (int32_t)length;
        if (tr->m->vocab)
            copy_tokens(tr, b, row, length);
        else
            copy_vectors(tr, b, row, length);
    }
    if (b->resets)
        memcpy(tr->resets, b->resets, (size_t)tr->config.batch * (size_t)tr->T);
    return XLSTM_OK;
}

/* What the mean is taken over: tokens, or numbers times their weight. */
static double counted(const xlstm_trainer *tr) {
    size_t N = (size_t)tr->config.batch * (size_t)tr->T;
    double count = 0;
    for (size_t i = 0; i < N; i++)
        count += tr->m->vocab ? tr->targets[i] >= 0 : (double)tr->weights[i] * tr->m->out;
    return count;
}

static void state_moves_on(xlstm_trainer *tr) {
    if (tr->state[1])
        tr->current = 1 - tr->current;
}

/* Carried state and the count of calls stay where they were, so that the call may be left out of the run. */
static xlstm_status refuse_loss(xlstm_trainer *tr, double sum) {
    int i = 0, last = tr->config.batch * tr->T - 1;
    while (i < last && isfinite(tr->each[i]))
        i++;
    tr->bad_loss = 1;
    return xl_fail(
        XLSTM_E_NUMERIC,
        "the loss is not finite (%g) in training call %llu, first at row %d, position %d; gradients are "
        "not to be used: zero them before going on",
        sum, (unsigned long long)tr->calls, i / tr->T, i % tr->T);
}

static xlstm_status with_loss(xlstm_trainer *tr, const xlstm_batch *b, xlstm_loss *loss, mode how) {
    xlstm_batch own = {0};
    XL_TRY(take_xlstm_batch(&own, b));
    XL_TRY(take(tr, b = &own, 1));
    double count = counted(tr), sum = 0;
    real scale = count > 0 ? (real)(1 / count) : 0;
    xl_call c = make_call(tr, ops_of(tr), how);
    run(tr, &c, how, scale);
    size_t N = (size_t)xl_tokens(&c);
    c.op->sum(&sum, tr->each, N);
    if (b->token_loss)
        memcpy(b->token_loss, tr->each, N * sizeof(real));
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

xlstm_status xlstm_trainer_forward(xlstm_trainer *tr, const xlstm_batch *batch, xlstm_real *outputs) {
    XL_TRY(need_gradients(tr));
    xlstm_batch own = {0};
    XL_TRY(take_xlstm_batch(&own, batch));
    own.targets = NULL; /* what only a loss needs: the caller's loss may have another idea of it */
    own.outputs = own.weights = NULL;
    XL_TRY(take(tr, &own, 0));
    tr->call = make_call(tr, ops_of(tr), FORWARD);
    run(tr, &tr->call, FORWARD, 0);
    state_moves_on(tr);
    tr->calls++;
    tr->has_tape = 1;
    if (outputs) {
        xl_view y = xl_rows(outputs, xl_tokens(&tr->call), tr->m->out);
        xl_head_forward(tr->m, &tr->call, y, tr->trace.out);
        zero_padding(&tr->call, y, 0);
    }
    tr->call.op = xl_ops_bare(tr->call.op); /* other calls may come before the backward pass */
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
    tr->call.op = xl_ops_traced(tr->call.op);
    xl_view d_in = d_inputs ? xl_rows(d_inputs, xl_tokens(&tr->call), tr->m->in) : (xl_view){0};
    run_backward_from(tr, &tr->call, d_outputs, d_in);
    return XLSTM_OK;
}

void xlstm_trainer_zero_gradients(xlstm_trainer *tr) {
    if (!tr || !tr->grad)
        return;
    xl_threads_now();
    xl_ops_best()->fill(tr->grad, tr->m->params.size, 0);
    tr->bad_loss = 0;
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
                    at, p->name, (double)values[at - from]);
        if (at < p->offset + p->count)
            at = p->offset + p->count;
    }
    return XLSTM_OK;
}

xlstm_status xlstm_trainer_read_gradients(const xlstm_trainer *tr, size_t from, size_t count,
                                          xlstm_real *out) {
    XL_TRY(check_range(tr, from, count, out, "xlstm_trainer_read_gradients"));
    memcpy(out, tr->grad + from, count * sizeof *out);
    return XLSTM_OK;
}

xlstm_status xlstm_trainer_write_gradients(xlstm_trainer *tr, size_t from, size_t count,
                                           const xlstm_real *values) {
    XL_TRY(check_range(tr, from, count, values, "xlstm_trainer_write_gradients"));
    XL_TRY(check_gaps(&tr->m->params, from, count, values));
    memcpy(tr->grad + from, values, count * sizeof *values);
    return XLSTM_OK;
}

double xlstm_trainer_gradient_norm(const xlstm_trainer *tr) {
    double sum = 0;
    xl_threads_now();
    if (tr && tr->grad)
        xl_ops_best()->sumsq(&sum, tr->grad, tr->m->params.size);
    return sqrt(sum);
}

xlstm_status xlstm_trainer_reset(xlstm_trainer *tr, int stream) {
    if (!tr)
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_trainer_reset: the trainer is NULL; create one");
    if (stream < -1 || stream >= tr->config.batch)
        return xl_fail(XLSTM_E_ARGUMENT, "stream %d does not exist; give 0 to batch - 1, or -1 for all",
                       stream);
    if (!tr->state[0])
        return XLSTM_OK;
    size_t n = tr->m->state_size, first = stream < 0 ? 0 : (size_t)stream;
    size_t streams = stream < 0 ? (size_t)tr->config.batch : 1;
    memset(tr->state[tr->current] + first * n, 0, streams * n * sizeof(real));
    return XLSTM_OK;
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
    memcpy(state, tr->state[tr->current] + (size_t)stream * n, n * sizeof *state);
    return XLSTM_OK;
}

xlstm_status xlstm_trainer_set_state(xlstm_trainer *tr, int stream, const xlstm_real *state) {
    XL_TRY(check_state(tr, stream, state));
    size_t n = tr->m->state_size;
    memcpy(tr->state[tr->current] + (size_t)stream * n, state, n * sizeof *state);
    return XLSTM_OK;
}

xlstm_trainer_memory xlstm_trainer_memory_of(const xlstm_trainer *tr) {
    if (!tr)
        return (xlstm_trainer_memory){0};
    size_t state = (size_t)tr->config.batch * tr->m->state_size * sizeof(real);
    return (xlstm_trainer_memory){.tape = tr->keep.size,
                                  .temporary = tr->temp.size,
                                  .gradients = tr->grad ? tr->m->params.size * sizeof(real) : 0,
                                  .state = (tr->state[0] ? state : 0) + (tr->state[1] ? state : 0),
                                  .tape_used = tr->keep.peak,
                                  .temporary_used = tr->temp.peak};
}
