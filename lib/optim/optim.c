/* optim.c - a step is the same ops every time: the gradient's length, what clips it, the update; what they
 * need to know of this step lies in tensor memory, and the host reads back once, when all is done. */
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "base/structs.h"
#include "optim/optimizer.h"

/* ---- rules ---- */

typedef struct xl_rule {
    const char *name;
    int moments;        /* 1 or 2 */
    float weight_decay; /* by default */
    void (*update)(const xl_ops *op, const xlstm_optimizer *o, const real *grad, xl_range range, xl_update s);
} rule;

static void adamw(const xl_ops *op, const xlstm_optimizer *o, const real *grad, xl_range r, xl_update s) {
    op->adamw(o->m->w + r.from, grad + r.from, o->first + r.from, o->second + r.from, r.count, s, o->now);
}

static void sgd(const xl_ops *op, const xlstm_optimizer *o, const real *grad, xl_range r, xl_update s) {
    op->sgd(o->m->w + r.from, grad + r.from, o->first + r.from, r.count, s, o->now);
}

static const rule rules[XLSTM_OPTIMIZER_KINDS] = {
    [XLSTM_ADAMW] = {"adamw", 2, 0.1f, adamw},
    [XLSTM_SGD] = {"sgd", 1, 0, sgd},
};

const char *xl_optimizer_name(const xlstm_optimizer *o) {
    return o ? o->rule->name : "none";
}

/* ---- making one ---- */

XL_GROWING(xlstm_optimizer_config, clip, reserved)

void xlstm_optimizer_config_init_sized(xlstm_optimizer_config *config, size_t size,
                                       xlstm_optimizer_kind kind) {
    xlstm_optimizer_config c = {.kind = kind,
                                .beta1 = 0.9f,
                                .beta2 = 0.95f,
                                .eps = 1e-8f,
                                .momentum = 0.9f,
                                .weight_decay =
                                    (unsigned)kind < XLSTM_OPTIMIZER_KINDS ? rules[kind].weight_decay : 0,
                                .clip = 1};
    xl_struct_init(config, size, &c, sizeof c);
}

static void find_ranges(xlstm_optimizer *o) {
    const xl_layout *p = &o->m->params;
    for (int i = 0; i < p->count; i++) {
        const xl_param *item = &p->items[i];
        xl_range *last = o->range_count ? &o->ranges[o->range_count - 1] : NULL;
        if (last && last->decay == item->decay)
            last->count =
                item->offset + item->count - last->from; /* the holes between hold zeros and stay so */
        else
            o->ranges[o->range_count++] = (xl_range){item->offset, item->count, item->decay};
    }
}

static void update(const xl_ops *op, const xlstm_optimizer *o, const real *grad) {
    const xlstm_optimizer_config *c = &o->config;
    xl_update s = {.b1 = c->beta1, .b2 = c->beta2, .eps = c->eps, .momentum = c->momentum};
    op->sumsq(o->sum, grad, o->m->params.size);
    op->clip(o->now, o->sum, c->clip);
    for (int i = 0; i < o->range_count; i++) {
        s.decay = o->ranges[i].decay ? c->weight_decay : 0;
        o->rule->update(op, o, grad, o->ranges[i], s);
    }
}

static xlstm_status allocate(xlstm_optimizer *o) {
    xl_memory *memory = o->m->memory;
    size_t bytes = o->m->params.size * sizeof(real), count = o->m->params.count;
    int two = o->rule->moments == 2;
    XL_TRY(xl_place_open(&o->place, memory, XL_PRODUCTS_REAL, "an optimizer"));
    o->ranges = xl_alloc(count * sizeof *o->ranges);
    o->first = memory->take(memory, bytes);
    o->second = two ? memory->take(memory, bytes) : NULL;
    o->sum = memory->take(memory, sizeof *o->sum);
    o->now = memory->take(memory, sizeof *o->now);
    if (!o->ranges || !o->first || (two && !o->second) || !o->sum || !o->now)
        return xl_no_memory(2 * bytes, "the optimizer's moments");
    find_ranges(o);
    const xl_ops *op = xl_plan_begin(o->place.op);
    update(op, o, o->first);
    op->fill(o->first, 1, 0);
    XL_TRY(xl_plan_end("an optimizer"));
    xl_log(XLSTM_LOG_INFO, "optimizer: %.1f MiB moments", xl_mib(two ? 2 * bytes : bytes));
    return XLSTM_OK;
}

static xlstm_status check(const xlstm_module *m, const xlstm_optimizer_config *c) {
    if (!m || (unsigned)c->kind >= XLSTM_OPTIMIZER_KINDS)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "an optimizer needs a module and an xlstm_optimizer_kind; got kind %d", c->kind);
    if (!(c->beta1 >= 0 && c->beta1 < 1 && c->beta2 >= 0 && c->beta2 < 1 && c->eps > 0 && c->momentum >= 0 &&
          c->momentum < 1 && c->weight_decay >= 0 && c->clip >= 0 && c->eps < HUGE_VALF &&
          c->weight_decay < HUGE_VALF))
        return xl_fail(XLSTM_E_CONFIG, "betas and momentum must be in [0, 1), eps above 0, weight_decay and "
                                       "clip not negative, eps and weight_decay finite");
    if (c->reserved)
        return xl_fail(XLSTM_E_ARGUMENT, "reserved is %d; this library knows no use of it: leave it 0",
                       c->reserved);
    return XLSTM_OK;
}

xlstm_status xlstm_optimizer_create(xlstm_optimizer **out, xlstm_module *module,
                                    const xlstm_optimizer_config *config) {
    XL_TRY(xl_check_out(out, "xlstm_optimizer_create"));
    *out = NULL;
    xlstm_optimizer_config own = {0};
    XL_TRY(take_xlstm_optimizer_config(&own, config));
    XL_TRY(check(module, config = &own));
    XL_TRY(xl_module_needs_reals(module, "xlstm_optimizer_create"));
    xlstm_optimizer *o = xl_alloc(sizeof *o);
    if (!o)
        return xl_no_memory(sizeof *o, "an optimizer");
    o->m = module;
    o->config = *config;
    o->rule = &rules[config->kind];
    xlstm_status status = allocate(o);
    if (status != XLSTM_OK)
        xlstm_optimizer_free(o);
    else
        *out = o;
    return status;
}

void xlstm_optimizer_free(xlstm_optimizer *o) {
    if (!o)
        return;
    xl_memory *memory = o->m->memory;
    memory->give(memory, o->first);
    memory->give(memory, o->second);
    memory->give(memory, o->sum);
    memory->give(memory, o->now);
    xl_free(o->ranges);
    xl_place_close(&o->place);
    xl_free(o);
}

/* ---- a step ---- */

/* The first parameter whose gradient is to blame. */
static xlstm_status refuse_gradient(const xlstm_optimizer *o, const xlstm_trainer *tr, const xl_ops *op) {
    const char *name = "all parameters together";
    double sum = 0;
    for (int i = 0; i < o->m->params.count && isfinite(sum); i++) {
        const xl_param *p = &o->m->params.items[i];
        XL_TRY(xl_trainer_sumsq(tr, op, p->offset, p->count, &sum));
        name = isfinite(sum) ? name : p->name;
    }
    return xl_fail(XLSTM_E_NUMERIC,
                   "the gradient of %s is not finite at update %lld; weights and moments are unchanged", name,
                   (long long)o->steps);
}

/* Weights and moments change unless the gradient or the loss is not finite; then the gradients are cleared.
 */
static xlstm_status step(xlstm_optimizer *o, xlstm_trainer *tr, const xl_ops *op, real rate, double *norm) {
    xl_memory *memory = o->m->memory;
    double t = o->steps + 1.0, sum = 0;
    xl_now now = {
        .rate = rate, .c1 = (real)(1 - pow(o->config.beta1, t)), .c2 = (real)(1 - pow(o->config.beta2, t))};
    if (tr->bad_loss) {
        XL_TRY(xl_trainer_sumsq(tr, op, 0, o->m->params.size, &sum));
        *norm = sqrt(sum);
        return xl_fail(
            XLSTM_E_NUMERIC,
            "the loss was not finite at update %lld, or the device failed; weights and moments are "
            "unchanged",
            (long long)o->steps);
    }
    memory->put(memory, o->now, &now, sizeof now);
    update(op, o, tr->grad);
    XL_TRY(memory->get(memory, &sum, o->sum, sizeof sum));
    *norm = sqrt(sum);
    if (!isfinite(sum))
        return refuse_gradient(o, tr, op);
    o->steps++;
    op->fill(tr->grad, o->m->params.size, 0);
    return XLSTM_OK;
}

xlstm_status xlstm_optimizer_step(xlstm_optimizer *o, xlstm_trainer *trainer, float learning_rate,
                                  double *norm) {
    double length = NAN;
    if (!o || !trainer || !trainer->grad || trainer->m != o->m)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "an optimizer step needs a trainer of the same module, made with gradients");
    if (!(learning_rate >= 0 && isfinite(learning_rate)))
        return xl_fail(XLSTM_E_ARGUMENT, "learning rate %g must be finite and not negative", learning_rate);
    xl_threads_now();
    const xl_ops *op = xl_place_enter(&o->place);
    xlstm_status status = xl_place_leave(&o->place, step(o, trainer, op, learning_rate, &length));
    if (norm)
        *norm = length;
    return status;
}

int64_t xlstm_optimizer_steps(const xlstm_optimizer *o) {
    return o ? o->steps : 0;
}

float xlstm_schedule_rate(const xlstm_schedule *s, int64_t step) {
    if (!s)
        return 0;
    if (s->kind == XLSTM_CONSTANT)
        return s->peak;
    step = step < 0 ? 0 : step;
    if (step < s->warmup_steps)
        return s->peak * (step + 1) / s->warmup_steps;
    double warmup = s->warmup_steps, span = s->total_steps - warmup; /* cannot wrap around */
    double at = span > 0 ? (step - warmup) / span : 1;
    at = at > 1 ? 1 : at;
    double cosine = 0.5 * (1 + cos(3.141592653589793 * at));
    return s->peak * (float)(s->final_fraction + (1 - (double)s->final_fraction) * cosine);
}
