/* train.c - gradients of a forecasting network: one pass over rows of any kind, forwards and back. The
 * optimizer sees an ordinary trainer. */
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "forecast/inside.h"
#include "model/trainer.h"
#include <string.h>

struct xl_forecast_trainer {
    xlstm_trainer base; /* module, place, gradients, sums; no batch of its own */
    xl_forecast_network *net;
    int rows, tokens;
    xl_forecast_batch batch;
    unsigned char *marks; /* [rows] */
    int *no_padding;      /* [rows] */
    real *in, *target;    /* [rows * tokens, 2 P], [rows * tokens, P] */
    real *levels, *scale; /* [Q], [1] */
};

static xl_view rows_of(real *p, int rows, int cols) {
    return xl_rows(p, rows, cols);
}

/* Everything that a call does; the planner runs it with the null ops. */
static void pass(xl_forecast_trainer *tr, const xl_ops *op, real *grad, int backward) {
    xlstm_trainer *base = &tr->base;
    const struct xl_forecast_config *c = &tr->net->config;
    const xl_forecast_batch *b = &tr->batch;
    int heads = b->heads * b->wanted, exit = xl_forecast_exit(c);
    xl_call call = xl_forecast_call(tr->net, op, b);
    base->keep.used = base->temp.used = 0;
    call.keep = backward ? &base->keep : &base->temp;
    call.temp = &base->temp;
    call.train = backward;
    call.dw = grad;
    xl_view in = rows_of(tr->in, b->rows * b->tokens, xl_forecast_entry(c));
    xl_view head = xl_forecast_forward(tr->net, &call, &base->tape, b, in);
    xl_view dhead = backward ? xl_arena_view(&base->temp, heads, exit) : (xl_view){0};
    op->pinball(base->each, dhead, head, rows_of(tr->target, heads, c->patch_size), tr->levels, tr->scale);
    op->sum(base->sum, base->each, heads);
    if (backward)
        xl_forecast_backward(tr->net, &call, &base->tape, b, dhead);
}

static xlstm_status plan(xl_forecast_trainer *tr) {
    static real nothing[1];
    const xl_ops *op = xl_plan_begin(tr->base.place.op);
    xl_forecast_batch_fill(&tr->batch, tr->rows, tr->tokens, tr->tokens);
    pass(tr, op, nothing, 0);
    pass(tr, op, nothing, 1);
    op->fill(nothing, 1, 0);
    return xl_plan_end("training a forecast");
}

static int take_arena(xl_arena *a, xl_memory *memory) {
    *a = (xl_arena){.base = memory->take(memory, a->peak), .size = a->peak};
    return a->base != NULL;
}

static xlstm_status take_memory(xl_forecast_trainer *tr) {
    xlstm_trainer *base = &tr->base;
    xl_memory *memory = base->m->memory;
    const struct xl_forecast_config *c = &tr->net->config;
    uint64_t all = (uint64_t)tr->rows * tr->tokens, bytes = base->keep.peak + base->temp.peak;
    tr->marks = xl_alloc(tr->rows);
    tr->no_padding = xl_alloc(tr->rows * sizeof *tr->no_padding);
    tr->in = memory->take(memory, all * xl_forecast_entry(c) * sizeof(real));
    tr->target = memory->take(memory, all * c->patch_size * sizeof(real));
    tr->levels = memory->take(memory, (c->num_quantiles + 1) * sizeof(real));
    base->each = memory->take(memory, all * sizeof(real));
    base->sum = memory->take(memory, sizeof *base->sum);
    base->grad = memory->take(memory, base->m->params.size * sizeof(real));
    if (!tr->marks || !tr->no_padding || !tr->in || !tr->target || !tr->levels || !base->each || !base->sum ||
        !base->grad || !take_arena(&base->keep, memory) || !take_arena(&base->temp, memory))
        return xl_no_memory(bytes, "training a forecast");
    memset(tr->marks, 1, tr->rows);
    tr->scale = tr->levels + c->num_quantiles;
    xl_log(XLSTM_LOG_INFO, "forecast trainer: %d rows of %d tokens, %.1f MiB tape and temporary", tr->rows,
           tr->tokens, xl_mib(bytes));
    return XLSTM_OK;
}

static void put_levels(xl_forecast_trainer *tr) {
    const struct xl_forecast_config *c = &tr->net->config;
    xl_memory *memory = tr->base.m->memory;
    real levels[XL_FORECAST_MOST_QUANTILES];
    for (int q = 0; q < c->num_quantiles; q++)
        levels[q] = (real)c->quantiles[q];
    memory->put(memory, tr->levels, levels, c->num_quantiles * sizeof *levels);
}

static xlstm_status allocate(xl_forecast_trainer *tr) {
    xlstm_trainer *base = &tr->base;
    XL_TRY(xl_place_open(&base->place, base->m->memory, XL_PRODUCTS_REAL, "training a forecast"));
    XL_TRY(xl_stack_tape_create(&base->tape, base->m));
    XL_TRY(xl_forecast_batch_create(&tr->batch, base->m->memory, tr->rows, tr->tokens));
    XL_TRY(plan(tr));
    XL_TRY(take_memory(tr));
    xl_place_enter(&base->place);
    put_levels(tr);
    return xl_place_leave(&base->place, XLSTM_OK);
}

xlstm_status xl_forecast_trainer_create(xl_forecast_trainer **out, xl_forecast_network *net, int rows,
                                        int tokens) {
    *out = NULL;
    if (rows < 1 || tokens < 1 || rows > (1 << 24) / tokens)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "training on %d rows of %d tokens; give positive sizes, 2^24 together at most", rows,
                       tokens);
    XL_TRY(xl_module_needs_reals(net->m, "training a forecast"));
    xl_forecast_trainer *tr = xl_alloc(sizeof *tr);
    if (!tr)
        return xl_no_memory(sizeof *tr, "training a forecast");
    tr->net = net;
    tr->rows = rows;
    tr->tokens = tokens;
    tr->base.m = net->m;
    tr->base.config.gradients = 1;
    tr->base.threads = xl_threads_now();
    xlstm_status status = allocate(tr);
    if (status == XLSTM_OK)
        *out = tr;
    else
        xl_forecast_trainer_free(tr);
    return status;
}

void xl_forecast_trainer_free(xl_forecast_trainer *tr) {
    if (!tr)
        return;
    xl_memory *memory = tr->base.m->memory;
    void *const there[] = {tr->in,       tr->target,    tr->levels,         tr->base.each,
                           tr->base.sum, tr->base.grad, tr->base.keep.base, tr->base.temp.base};
    for (size_t i = 0; i < sizeof there / sizeof *there; i++)
        memory->give(memory, there[i]);
    xl_free(tr->marks);
    xl_free(tr->no_padding);
    xl_forecast_batch_free(&tr->batch, memory);
    xl_stack_tape_free(&tr->base.tape);
    xl_place_close(&tr->base.place);
    xl_free(tr);
}

struct xlstm_trainer *xl_forecast_trainer_base(xl_forecast_trainer *tr) {
    return &tr->base;
}

/* ---- calls ---- */

static int known_numbers(const struct xl_forecast_rows *r, const real *target, int patch) {
    int targets = 0, known = 0;
    for (int row = 0; row < r->rows; row++)
        targets += r->target[row] != 0;
    for (ptrdiff_t i = 0; i < (ptrdiff_t)targets * r->wanted_count * patch; i++)
        known += target[i] == target[i];
    return known;
}

/* Tokens of all rows from the first one on: what lies in front of a remembered state would get no gradient.
 */
static void put(xl_forecast_trainer *tr, const struct xl_forecast_rows *r, const real *tokens,
                const real *target, double count) {
    xl_memory *memory = tr->base.m->memory;
    const struct xl_forecast_config *c = &tr->net->config;
    const xl_forecast_batch *b = &tr->batch;
    real scale = (real)(count > 0 ? 1 / count : 0);
    xl_forecast_batch_put(&tr->batch, memory);
    xl_forecast_put_tokens(b, memory, tr->in, xl_forecast_entry(c), r, tokens);
    memory->put(memory, tr->target, target, (size_t)b->heads * b->wanted * c->patch_size * sizeof(real));
    memory->put(memory, tr->scale, &scale, sizeof scale);
}

static xlstm_status run(xl_forecast_trainer *tr, const xl_ops *op, int backward, double *sum) {
    xl_memory *memory = tr->base.m->memory;
    pass(tr, op, tr->base.grad, backward);
    return memory->get(memory, sum, tr->base.sum, sizeof *sum);
}

xlstm_status xl_forecast_trainer_run(xl_forecast_trainer *tr, const struct xl_forecast_rows *rows,
                                     const real *tokens, const real *target, int backward, double *loss,
                                     double *counted) {
    const struct xl_forecast_config *c = &tr->net->config;
    struct xl_forecast_rows whole = *rows;
    double sum = 0;
    XL_TRY(xl_threads_planned(tr->base.threads));
    XL_TRY(xl_forecast_rows_check(rows, tr->rows, tr->tokens));
    double count = (double)known_numbers(rows, target, c->patch_size) * c->num_quantiles;
    whole.padding = tr->no_padding;
    xl_forecast_batch_take(&tr->batch, &whole, tr->marks, 0);
    const xl_ops *op = xl_place_enter(&tr->base.place);
    put(tr, &whole, tokens, target, count);
    xlstm_status status = xl_place_leave(&tr->base.place, run(tr, op, backward, &sum));
    tr->base.bad_loss |= backward && (status != XLSTM_OK || !isfinite(sum));
    XL_TRY(status);
    if (loss)
        *loss = count > 0 ? sum / count : 0;
    if (counted)
        *counted = count;
    if (backward && !isfinite(sum))
        return xl_fail(XLSTM_E_NUMERIC,
                       "the loss of a forecast is not finite (%g); gradients are not to be used: zero them "
                       "before going on",
                       sum);
    return XLSTM_OK;
}
