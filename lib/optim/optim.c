#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "base/structs.h"
#include "optim/optimizer.h"

static const char *const kind_names[XLSTM_OPTIMIZER_KINDS] = {"adamw", "sgd"};

const char *xl_optimizer_name(const xlstm_optimizer *o) {
    return o ? kind_names[o->config.kind] : "none";
}

XL_GROWING(xlstm_optimizer_config, clip, reserved)

void xlstm_optimizer_config_init_sized(xlstm_optimizer_config *config, size_t size,
                                       xlstm_optimizer_kind kind) {
    xlstm_optimizer_config c = {.kind = kind,
                                .beta1 = 0.9f,
                                .beta2 = 0.95f,
                                .eps = 1e-8f,
                                .momentum = 0.9f,
                                .weight_decay = kind == XLSTM_ADAMW ? 0.1f : 0,
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

static xlstm_status allocate(xlstm_optimizer *o) {
    size_t bytes = o->m->params.size * sizeof(real), count = (size_t)o->m->params.count;
    int two = o->config.kind == XLSTM_ADAMW;
    o->ranges = xl_alloc(count * sizeof *o->ranges);
    o->first = xl_alloc(bytes);
    o->second = two ? xl_alloc(bytes) : NULL;
    if (!o->ranges || !o->first || (two && !o->second))
        return xl_no_memory(2 * bytes, "the optimizer's moments");
    find_ranges(o);
    xl_log(XLSTM_LOG_INFO, "optimizer: %.1f MiB moments", xl_mib(two ? 2 * bytes : bytes));
    return XLSTM_OK;
}

static xlstm_status check(const xlstm_module *m, const xlstm_optimizer_config *c) {
    if (!m || (unsigned)c->kind >= XLSTM_OPTIMIZER_KINDS)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "an optimizer needs a module and an xlstm_optimizer_kind; got kind %d", (int)c->kind);
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
    if (!out)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "xlstm_optimizer_create: out is NULL; give the address of a pointer");
    *out = NULL;
    xlstm_optimizer_config own = {0};
    XL_TRY(take_xlstm_optimizer_config(&own, config));
    XL_TRY(check(module, config = &own));
    XL_TRY(xl_module_needs_reals(module, "xlstm_optimizer_create"));
    XL_TRY(xl_ops_ready());
    xlstm_optimizer *o = xl_alloc(sizeof *o);
    if (!o)
        return xl_no_memory(sizeof *o, "an optimizer");
    o->m = module;
    o->config = *config;
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
    xl_free(o->first);
    xl_free(o->second);
    xl_free(o->ranges);
    xl_free(o);
}

static void update(xlstm_optimizer *o, const real *grad, real lr, real gscale) {
    const xl_ops *op = xl_ops_best();
    const xlstm_optimizer_config *c = &o->config;
    double t = (double)++o->steps;
    xl_update u = {.lr = lr,
                   .b1 = (real)c->beta1,
                   .b2 = (real)c->beta2,
                   .eps = (real)c->eps,
                   .c1 = (real)(1 - pow((double)c->beta1, t)),
                   .c2 = (real)(1 - pow((double)c->beta2, t)),
                   .momentum = (real)c->momentum,
                   .gscale = gscale};
    for (int i = 0; i < o->range_count; i++) {
        size_t at = o->ranges[i].from, n = o->ranges[i].count;
        u.decay = o->ranges[i].decay ? (real)c->weight_decay : 0;
        if (c->kind == XLSTM_ADAMW)
            op->adamw(o->m->w + at, grad + at, o->first + at, o->second + at, n, u);
        else
            op->sgd(o->m->w + at, grad + at, o->first + at, n, u);
    }
}

/* The first parameter whose gradient is to blame. */
static const char *not_finite(const xlstm_optimizer *o, const real *grad) {
    for (int i = 0; i < o->m->params.count; i++) {
        const xl_param *p = &o->m->params.items[i];
        double sum = 0;
        xl_ops_best()->sumsq(&sum, grad + p->offset, p->count);
        if (!isfinite(sum))
            return p->name;
    }
    return "all parameters together";
}

/* *length: the gradient's. */
static xlstm_status check_gradient(const xlstm_optimizer *o, xlstm_trainer *trainer, double *length) {
    *length = xlstm_trainer_gradient_norm(trainer);
    if (trainer->bad_loss)
        return xl_fail(XLSTM_E_NUMERIC,
                       "the loss was not finite at update %lld; weights and moments are unchanged",
                       (long long)o->steps);
    if (!isfinite(*length))
        return xl_fail(XLSTM_E_NUMERIC,
                       "the gradient of %s is not finite at update %lld; weights and moments are unchanged",
                       not_finite(o, trainer->grad), (long long)o->steps);
    return XLSTM_OK;
}

xlstm_status xlstm_optimizer_step(xlstm_optimizer *o, xlstm_trainer *trainer, float learning_rate,
                                  double *norm) {
    if (!o || !trainer || !trainer->grad || trainer->m != o->m)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "an optimizer step needs a trainer of the same module, made with gradients");
    if (!(learning_rate >= 0 && isfinite(learning_rate)))
        return xl_fail(XLSTM_E_ARGUMENT, "learning rate %g must be finite and not negative",
                       (double)learning_rate);
    double length;
    xl_threads_now();
    xlstm_status status = check_gradient(o, trainer, &length);
    if (norm)
        *norm = length;
    XL_TRY(status);
    double clip = (double)o->config.clip;
    double scale = clip > 0 ? clip / (length + 1e-6) : 1; /* as PyTorch's clip_grad_norm_ */
    update(o, trainer->grad, (real)learning_rate, scale < 1 ? (real)scale : 1);
    xlstm_trainer_zero_gradients(trainer);
    return XLSTM_OK;
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
        return s->peak * (float)(step + 1) / (float)s->warmup_steps;
    double warmup = (double)s->warmup_steps, span = (double)s->total_steps - warmup; /* cannot wrap around */
    double at = span > 0 ? ((double)step - warmup) / span : 1;
    at = at > 1 ? 1 : at;
    double cosine = 0.5 * (1 + cos(3.141592653589793 * at));
    return s->peak * (float)((double)s->final_fraction + (1 - (double)s->final_fraction) * cosine);
}
