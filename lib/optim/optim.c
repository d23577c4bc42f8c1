/* optim.c - a step is the same ops every time: the gradient's length, what clips it, the update; what they
 * need to know of this step lies in tensor memory, and the host reads back once, when all is done. */
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "base/structs.h"
#include "optim/optimizer.h"
#include <float.h>

/* ---- rules ---- */

typedef struct xl_rule {
    const char *name;
    int moments;        /* 1 or 2 */
    float weight_decay; /* by default */
    void (*update)(const xl_ops *op, xl_update_part p, xl_update s, const xl_now *now);
} rule;

static void adamw(const xl_ops *op, xl_update_part p, xl_update s, const xl_now *now) {
    op->adamw(p.w, p.g, p.first, p.second, p.count, s, now);
}

static void sgd(const xl_ops *op, xl_update_part p, xl_update s, const xl_now *now) {
    op->sgd(p.w, p.g, p.first, p.count, s, now);
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

static xl_update_part part_of(const xlstm_optimizer *o, const real *grad, size_t from, size_t count) {
    return (xl_update_part){o->m->w + from, grad + from, o->first + from, o->second ? o->second + from : NULL,
                            count};
}

static xl_update constants(const xlstm_optimizer *o, const xl_range *range) {
    const xlstm_optimizer_config *c = &o->config;
    return (xl_update){.b1 = c->beta1,
                       .b2 = c->beta2,
                       .eps = c->eps,
                       .momentum = c->momentum,
                       .decay = range->decay ? c->weight_decay : 0};
}

static void measure(const xl_ops *op, const xlstm_optimizer *o, const real *grad) {
    op->sumsq(o->sum, grad, o->m->params.size);
    op->clip(o->now, o->sum, o->config.clip);
}

static void update(const xl_ops *op, const xlstm_optimizer *o, const real *grad) {
    for (int i = 0; i < o->range_count; i++) {
        const xl_range *r = &o->ranges[i];
        o->rule->update(op, part_of(o, grad, r->from, r->count), constants(o, r), o->now);
    }
}

/* What an update would make of some numbers, in `trial`, | w | first | second |; *sum is finite if all are.
 */
static void try_part(const xl_ops *op, const xlstm_optimizer *o, xl_update_part p, xl_update s) {
    xl_memory *memory = o->m->memory;
    size_t bytes = p.count * sizeof(real);
    real *w = o->trial, *first = w + p.count, *second = p.second ? first + p.count : NULL;
    memory->copy(memory, w, p.w, bytes);
    memory->copy(memory, first, p.first, bytes);
    if (second)
        memory->copy(memory, second, p.second, bytes);
    o->rule->update(op, (xl_update_part){w, p.g, first, second, p.count}, s, o->now);
    op->sumsq(o->sum, w, (second ? 3 : 2) * p.count);
}

static xlstm_status allocate(xlstm_optimizer *o) {
    xl_memory *memory = o->m->memory;
    size_t bytes = o->m->params.size * sizeof(real), count = o->m->params.count;
    int two = o->rule->moments == 2;
    XL_TRY(xl_place_open(&o->place, memory, XL_PRODUCTS_REAL, "an optimizer"));
    o->ranges = xl_alloc(count * sizeof *o->ranges);
    o->first = memory->take(memory, bytes);
    o->second = two ? memory->take(memory, bytes) : NULL;
    o->at_once = o->m->params.size < XL_SUM_PIECE ? o->m->params.size : XL_SUM_PIECE;
    o->trial = memory->take(memory, 3 * o->at_once * sizeof(real));
    o->sum = memory->take(memory, sizeof *o->sum);
    o->now = memory->take(memory, sizeof *o->now);
    if (!o->ranges || !o->first || (two && !o->second) || !o->trial || !o->sum || !o->now)
        return xl_memory_short(memory, 2 * bytes, "the optimizer's moments");
    find_ranges(o);
    const xl_ops *op = xl_plan_begin(o->place.op);
    measure(op, o, o->first);
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
    memory->give(memory, o->trial);
    memory->give(memory, o->sum);
    memory->give(memory, o->now);
    xl_free(o->ranges);
    xl_place_close(&o->place);
    xl_free(o);
}

/* ---- a step ---- */

/* The first parameter whose gradient is not finite, or is beyond `most` squared; sum: of its squares. */
static xlstm_status find_gradient(const char **name, const xlstm_optimizer *o, const xlstm_trainer *tr,
                                  const xl_ops *op, double most) {
    double sum = 0;
    *name = "all parameters together";
    for (int i = 0; i < o->m->params.count && sum <= most; i++) {
        const xl_param *p = &o->m->params.items[i];
        XL_TRY(xl_trainer_sumsq(tr, op, p->offset, p->count, &sum));
        *name = sum <= most ? *name : p->name;
    }
    return XLSTM_OK;
}

static xlstm_status refuse_gradient(const xlstm_optimizer *o, const xlstm_trainer *tr, const xl_ops *op,
                                    double length) {
    const char *name = NULL;
    if (!isfinite(length)) {
        XL_TRY(find_gradient(&name, o, tr, op, DBL_MAX));
        return xl_fail(XLSTM_E_NUMERIC,
                       "the gradient of %s is not finite at update %lld; weights and moments are unchanged",
                       name, (long long)o->steps);
    }
    XL_TRY(find_gradient(&name, o, tr, op, XL_MOST_SUMSQ));
    return xl_fail(
        XLSTM_E_NUMERIC,
        "the gradient of %s is too large at update %lld: its length is %g, whose square is infinite; "
        "weights and moments are unchanged: clip it, or scale the loss down",
        name, (long long)o->steps, length);
}

/* Whether no update of this rate can make anything infinite that is finite: moments are at most as large as
 * the gradients were, a weight does not grow by its decay, and a step is too small to be seen in the largest
 * number. Nearly always; where it is not sure, the update is tried first. */
static int is_harmless(const xlstm_optimizer_config *c, double rate) {
    const double unseen = (double)XL_REAL_MAX * (double)XL_REAL_EPSILON / 4, most = sqrt(XL_MOST_SUMSQ);
    double length = c->clip > 0 && (double)c->clip < most ? (double)c->clip : most;
    double lasting = 1 - (double)c->momentum;
    return rate * (double)c->weight_decay <= lasting && rate * length / (double)c->eps / lasting < unseen;
}

static xlstm_status try_update(const xlstm_optimizer *o, const xl_ops *op, const real *grad, double rate) {
    xl_memory *memory = o->m->memory;
    for (int i = 0; i < o->range_count; i++) {
        const xl_range *r = &o->ranges[i];
        for (size_t done = 0, count; done < r->count; done += count) {
            double sum = 0;
            count = r->count - done < o->at_once ? r->count - done : o->at_once;
            try_part(op, o, part_of(o, grad, r->from + done, count), constants(o, r));
            XL_TRY(memory->get(memory, &sum, o->sum, sizeof sum));
            if (!isfinite(sum))
                return xl_fail(XLSTM_E_NUMERIC,
                               "update %lld would make weights or moments infinite at learning rate %g and "
                               "weight decay %g; they are unchanged: use smaller ones",
                               (long long)o->steps, rate, (double)o->config.weight_decay);
        }
    }
    return XLSTM_OK;
}

/* Weights and moments change unless the gradient or the loss is not finite, or they would not be; then the
 * gradients are cleared. */
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
    measure(op, o, tr->grad);
    if (!is_harmless(&o->config, rate)) {
        XL_TRY(try_update(o, op, tr->grad, rate));
        measure(op, o, tr->grad);
    }
    update(op, o, tr->grad);
    XL_TRY(memory->get(memory, &sum, o->sum, sizeof sum));
    XL_TRY(memory->get(memory, &now, o->now, sizeof now));
    *norm = sqrt(sum);
    if (!now.go)
        return refuse_gradient(o, tr, op, *norm);
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
