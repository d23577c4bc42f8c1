/* xlstm-check MODEL_DIR CASE.safetensors: is a saved model the one whose reference values these are?
 *
 * Runs a model over the tokens (or inputs, for a model of vectors) of a reference case and compares every
 * tensor that the case holds (of a forecasting model see check_forecast.c): logits, step_logits (one token at
 * a time), loss and grad.NAME. A tensor noise.NAME says what error float32 alone makes on tensor NAME. What
 * is not finite equals nothing but the same infinity, and measures nothing: the allowance follows the largest
 * finite number. Exits 1 when anything differs or is unknown, 2 when the input cannot be used or says nothing
 * to compare. */
#include "check_forecast.h"
#include "compare.h"
#include "options.h"
#include "xlstm.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int in_double = sizeof(xlstm_real) == 8;

typedef struct {
    const char *model, *case_file, *write, *device;
    double tolerance; /* negative: the usual ones */
} options;

typedef struct {
    xlstm_module *module;
    xlstm_tensors *file;
    int batch, time, vocab;
    int width;                    /* of one input vector; 0: tokens */
    int32_t *tokens, *targets;    /* targets may be missing */
    xlstm_real *inputs, *outputs; /* in place of tokens and targets where vectors go in and out */
    xlstm_real *logits, *step_logits, *gradients;
    xlstm_real loss;
    double largest_gradient; /* of the reference */
    int is_float32;          /* the reference's logits are float32 numbers, whatever type stores them */
    xlstm_tensor *results;   /* what was computed, under the case's names */
    int count;
} check;

static int say(const char *what) {
    fprintf(stderr, "xlstm-check: %s: %s\n", what, xlstm_last_error());
    return 2;
}

static void *take(size_t count, size_t size) {
    void *p = calloc(count ? count : 1, size);
    if (!p) {
        fprintf(stderr, "xlstm-check: out of memory\n");
        exit(2);
    }
    return p;
}

static int starts_with(const char *s, const char *prefix) {
    return !strncmp(s, prefix, strlen(prefix));
}

/* ---- input ---- */

/* Tensor `name` [B, T] of integers as int32; NULL if it is not there or not such a tensor. */
static int32_t *read_tokens(const check *c, const char *name, int64_t limit) {
    xlstm_tensor t;
    if (xlstm_tensors_find(c->file, name, &t) || t.ndim != 2 || t.shape[0] != c->batch ||
        t.shape[1] != c->time)
        return NULL;
    int64_t *wide = take(t.count, sizeof *wide);
    int32_t *out = take(t.count, sizeof *out);
    int good = xlstm_tensor_int64s(&t, wide) == XLSTM_OK;
    for (size_t i = 0; good && i < t.count; i++) {
        good = wide[i] < limit && wide[i] >= (starts_with(name, "tokens") ? 0 : INT32_MIN);
        out[i] = (int32_t)wide[i];
    }
    free(wide);
    if (good)
        return out;
    free(out);
    return NULL;
}

/* Tensor `name` [B, T, width] of numbers; NULL if it is not there or not such a tensor. */
static xlstm_real *read_vectors(const check *c, const char *name, int width) {
    xlstm_tensor t;
    if (xlstm_tensors_find(c->file, name, &t) || t.ndim != 3 || t.shape[0] != c->batch ||
        t.shape[1] != c->time || t.shape[2] != width || t.dtype > XLSTM_BF16)
        return NULL;
    xlstm_real *out = take(t.count, sizeof *out);
    xlstm_tensor_reals(&t, out);
    return out;
}

static int read_shape(check *c) {
    xlstm_tensor t;
    const char *name = c->width ? "inputs" : "tokens";
    if (xlstm_tensors_find(c->file, name, &t))
        return say("the case");
    if (t.ndim != 2 + (c->width > 0) || t.shape[0] < 1 || t.shape[1] < 1 || t.shape[0] > 1 << 20 ||
        t.shape[1] > 1 << 24) {
        fprintf(stderr, "xlstm-check: %s must be [streams, time%s]\n", name, c->width ? ", width" : "");
        return 2;
    }
    c->batch = (int)t.shape[0];
    c->time = (int)t.shape[1];
    return 0;
}

static int read_case_vectors(check *c) {
    c->inputs = read_vectors(c, "inputs", c->width);
    c->outputs = read_vectors(c, "targets", c->vocab);
    xlstm_tensor t;
    if (c->inputs && (c->outputs || xlstm_tensors_find(c->file, "targets", &t)))
        return 0;
    fprintf(stderr, "xlstm-check: inputs and targets must be vectors of %d and %d numbers\n", c->width,
            c->vocab);
    return 2;
}

static int read_case(check *c) {
    xlstm_tensor t;
    c->vocab = xlstm_module_output_dim(c->module);
    c->width = xlstm_module_input_dim(c->module);
    if (read_shape(c))
        return 2;
    if (c->width)
        return read_case_vectors(c);
    c->tokens = read_tokens(c, "tokens", c->vocab);
    if (!c->tokens) {
        fprintf(stderr, "xlstm-check: tokens must be integers from 0 to %d\n", c->vocab - 1);
        return 2;
    }
    c->targets = read_tokens(c, "targets", c->vocab);
    if (!c->targets && xlstm_tensors_find(c->file, "targets", &t) == XLSTM_OK) {
        fprintf(stderr, "xlstm-check: targets must be integers below %d, shaped as the tokens\n", c->vocab);
        return 2;
    }
    return 0;
}

/* ---- what the library computes ---- */

static int has(const check *c, const char *prefix) {
    xlstm_tensor t;
    for (int i = 0; i < xlstm_tensors_count(c->file); i++)
        if (xlstm_tensors_get(c->file, i, &t) == XLSTM_OK && starts_with(t.name, prefix))
            return 1;
    return 0;
}

/* Token t of all streams. @param now room for one token or vector per stream */
static xlstm_status run_step(check *c, xlstm_session *s, int t, void *now, xlstm_real *logits) {
    size_t V = (size_t)c->vocab, size = c->width ? (size_t)c->width * sizeof(xlstm_real) : sizeof(int32_t);
    const char *from = c->width ? (const char *)c->inputs : (const char *)c->tokens;
    for (int b = 0; b < c->batch; b++)
        memcpy((char *)now + (size_t)b * size, from + ((size_t)b * (size_t)c->time + (size_t)t) * size, size);
    xlstm_status status =
        c->width ? xlstm_session_vectors(s, now, 1, logits) : xlstm_session_tokens(s, now, 1, logits);
    for (int b = 0; b < c->batch; b++)
        memcpy(c->step_logits + ((size_t)b * (size_t)c->time + (size_t)t) * V, logits + (size_t)b * V,
               V * sizeof *logits);
    return status;
}

static int run_steps(check *c) {
    xlstm_session *s;
    c->step_logits = take((size_t)c->batch * (size_t)c->time * (size_t)c->vocab, sizeof *c->step_logits);
    if (xlstm_session_create(&s, c->module, c->batch, 1))
        return say("a session");
    void *now = take((size_t)c->batch * (size_t)(c->width + 1), sizeof(xlstm_real));
    xlstm_real *logits = take((size_t)c->batch * (size_t)c->vocab, sizeof *logits);
    xlstm_status status = XLSTM_OK;
    for (int t = 0; t < c->time && !status; t++)
        status = run_step(c, s, t, now, logits);
    free(now);
    free(logits);
    xlstm_session_free(s);
    return status ? say("step_logits") : 0;
}

/* Copies the gradients, at the offsets of the parameters. */
static xlstm_status keep_gradients(check *c, const xlstm_trainer *trainer) {
    size_t count = xlstm_module_layout_size(c->module);
    c->gradients = take(count, sizeof *c->gradients);
    return xlstm_trainer_read_gradients(trainer, 0, count, c->gradients);
}

/* Logits come from the trainer's forward pass, which like the package's works on all tokens at once: a
 * session agrees with the package's step, whose stabiliser starts elsewhere (a difference of some eps, 1e-9).
 */
static xlstm_status train(check *c, xlstm_trainer *trainer, int logits, int gradients) {
    xlstm_batch batch = {.struct_size = sizeof batch,
                         .tokens = c->tokens,
                         .targets = c->targets,
                         .inputs = c->inputs,
                         .outputs = c->outputs};
    xlstm_loss loss;
    xlstm_status status = XLSTM_OK;
    if (logits) {
        c->logits = take((size_t)c->batch * (size_t)c->time * (size_t)c->vocab, sizeof *c->logits);
        status = xlstm_trainer_forward(trainer, &batch, c->logits);
    }
    if (status || !gradients)
        return status;
    status = xlstm_trainer_backward(trainer, &batch, &loss);
    if (status)
        return status;
    c->loss = (xlstm_real)loss.mean;
    return keep_gradients(c, trainer);
}

static int run_trainer(check *c, int logits, int gradients) {
    xlstm_trainer_config config;
    xlstm_trainer *trainer;
    xlstm_trainer_config_init(&config);
    config.batch = c->batch;
    config.time = c->time;
    config.dropout = 0;
    config.gradients = 1;
    if (xlstm_trainer_create(&trainer, c->module, &config))
        return say("a trainer");
    xlstm_status status = train(c, trainer, logits, gradients);
    xlstm_trainer_free(trainer);
    return status ? say("logits, loss and gradients") : 0;
}

static int is_input(const char *name) {
    return !strcmp(name, "tokens") || !strcmp(name, "inputs") || !strcmp(name, "targets") ||
           starts_with(name, "noise.");
}

static int compares_something(const check *c) {
    xlstm_tensor t;
    for (int i = 0; xlstm_tensors_get(c->file, i, &t) == XLSTM_OK; i++)
        if (!is_input(t.name))
            return 1;
    fprintf(stderr,
            "xlstm-check: the case has nothing to compare; expected logits, step_logits, loss or grad.NAME "
            "beside its inputs\n");
    return 0;
}

static int run(check *c) {
    if (!compares_something(c))
        return 2;
    int logits = has(c, "logits"), gradients = has(c, "loss") || has(c, "grad.");
    if (gradients && !c->targets && !c->outputs) {
        fprintf(stderr, "xlstm-check: the case has loss or gradients, but no targets\n");
        return 2;
    }
    if (has(c, "step_logits") && run_steps(c))
        return 2;
    return logits || gradients ? run_trainer(c, logits, gradients) : 0;
}

/* ---- comparison ---- */

/* Numbers under the case's name, in memory of their own; NULL: the tensor is unknown or has another shape. */
static xlstm_real *computed(const check *c, const xlstm_tensor *t) {
    size_t logits = (size_t)c->batch * (size_t)c->time * (size_t)c->vocab;
    const xlstm_real *from = !strcmp(t->name, "logits")        ? c->logits
                             : !strcmp(t->name, "step_logits") ? c->step_logits
                             : !strcmp(t->name, "loss")        ? &c->loss
                                                               : NULL;
    int is_logits = from && from != &c->loss;
    int shaped = is_logits ? t->ndim == 3 && t->shape[0] == c->batch && t->shape[1] == c->time : t->ndim <= 1;
    xlstm_real *out = take(t->count, sizeof *out);
    if (from && shaped && t->count == (is_logits ? logits : 1)) {
        memcpy(out, from, t->count * sizeof *out);
        return out;
    }
    xlstm_tensor like = *t;
    like.name += strlen("grad.");
    if (!from && c->gradients && starts_with(t->name, "grad.") &&
        xlstm_module_gather(c->module, &like, c->gradients, out) == XLSTM_OK)
        return out;
    free(out);
    return NULL;
}

static double *doubles(const xlstm_tensor *t) {
    double *out = take(t->count, sizeof *out);
    xlstm_tensor_doubles(t, out);
    return out;
}

static double noise_of(const check *c, const char *name) {
    char full[300];
    xlstm_tensor t;
    double noise = 0;
    snprintf(full, sizeof full, "noise.%.250s", name);
    if (xlstm_tensors_find(c->file, full, &t) || t.count != 1 || xlstm_tensor_doubles(&t, &noise))
        return 0;
    return isfinite(noise) ? noise : 0;
}

/* Hugging Face's model turns its norms' inputs and its logits to float32 even when it runs in double. */
static void find_precision(check *c) {
    xlstm_tensor t;
    if (xlstm_tensors_find(c->file, "logits", &t))
        return;
    double *x = doubles(&t);
    c->is_float32 = t.count > 0;
    for (size_t i = 0; i < t.count; i++)
        c->is_float32 &= x[i] == (double)(float)x[i];
    free(x);
}

/* The largest error that tensor `name` may have. The double build disregards the noise of float32, unless the
 * reference itself has it: noise is then one sample of the reference's own error, and some roundings of
 * float32 are the least that it can be. */
static double allowed(const check *c, const options *o, const char *name, double magnitude) {
    int gradient = starts_with(name, "grad.");
    double r = in_double ? (gradient ? 1e-7 : 1e-9) : gradient ? 1e-4 : 1e-5;
    int rough = !in_double || c->is_float32;
    double asked = (o->tolerance >= 0 ? o->tolerance : r) * magnitude,
           noise = rough ? 4 * noise_of(c, name) : 0;
    double roundings = in_double && c->is_float32 ? 4 * (double)FLT_EPSILON * magnitude : 0;
    double limit = fmax(asked, fmax(noise, roundings));
    return gradient ? fmax(limit, (rough ? 1e-6 : 1e-12) * c->largest_gradient) : limit;
}

static int compare(const check *c, const options *o, const xlstm_tensor *t, const xlstm_real *mine,
                   int width) {
    double *reference = doubles(t);
    comparison seen = {0};
    for (size_t i = 0; i < t->count; i++)
        see(&seen, (double)mine[i], reference[i]);
    int good = agrees(&seen, allowed(c, o, t->name, seen.size));
    printf("%-*s  %10.3e  %10.3e  %s\n", width, t->name, seen.error,
           seen.size > 0 ? seen.error / seen.size : seen.error, good ? "pass" : "FAIL");
    free(reference);
    return good;
}

static void keep(check *c, const xlstm_tensor *t, xlstm_real *mine) {
    xlstm_tensor *r = &c->results[c->count++];
    *r = *t;
    r->dtype = in_double ? XLSTM_F64 : XLSTM_F32;
    r->data = mine;
}

static int name_width(const check *c) {
    size_t width = strlen("tensor");
    xlstm_tensor t;
    for (int i = 0; xlstm_tensors_get(c->file, i, &t) == XLSTM_OK; i++)
        if (!is_input(t.name) && strlen(t.name) > width)
            width = strlen(t.name);
    return (int)(width < 200 ? width : 200);
}

static void find_largest_gradient(check *c) {
    xlstm_tensor t;
    comparison all = {0};
    for (int i = 0; xlstm_tensors_get(c->file, i, &t) == XLSTM_OK; i++)
        if (starts_with(t.name, "grad.")) {
            double *x = doubles(&t);
            for (size_t k = 0; k < t.count; k++)
                see(&all, x[k], x[k]);
            free(x);
        }
    c->largest_gradient = all.size;
}

static int compare_all(check *c, const options *o) {
    int width = name_width(c), failed = 0, total = 0;
    xlstm_tensor t;
    find_largest_gradient(c);
    find_precision(c);
    c->results = take((size_t)xlstm_tensors_count(c->file), sizeof *c->results);
    printf("%-*s  %10s  %10s\n", width, "tensor", "absolute", "relative");
    for (int i = 0; xlstm_tensors_get(c->file, i, &t) == XLSTM_OK; i++) {
        if (is_input(t.name))
            continue;
        total++;
        xlstm_real *mine = computed(c, &t);
        if (!mine) {
            printf("%-*s  %10s  %10s  FAIL (unknown, or of another shape)\n", width, t.name, "-", "-");
            failed++;
            continue;
        }
        failed += !compare(c, o, &t, mine, width);
        keep(c, &t, mine);
    }
    if (in_double && c->is_float32)
        printf("the reference was computed with float32 in places: allowed is also its noise\n");
    printf("%d of %d tensors pass (%s)\n", total - failed, total, in_double ? "double" : "float");
    return failed ? 1 : 0;
}

/* ---- the program ---- */

#define FIELD(field) OPTION_FIELD(options, field)
static const option rows[] = {
    {"MODEL_DIR", OPTION_ARGUMENT, FIELD(model),
     .help = "config.json and weights in the format of the official package"},
    {"CASE.safetensors", OPTION_ARGUMENT, FIELD(case_file), .path = OPTION_READ,
     .help = "tokens, targets and the reference tensors"},
    {"device", 0, FIELD(device), "NAME", .help = "where to compute: cpu (default), cuda, cuda:N or auto"},
    {"tolerance", 0, FIELD(tolerance), "R", RANGE(1e-30, 1e30),
     .help = "allow errors up to R times a tensor's largest number"},
    {"write", 0, FIELD(write), "FILE", .path = OPTION_WRITE, .own = "\"kind\":\"xlstm-check\"",
     .help = "write what the library computed"},
    {0}};

static const option_table table = {.doc = "Compares a saved model with reference values: logits, "
                                          "step-by-step logits, loss and gradients, a line per "
                                          "tensor with its largest error.\v"
                                          "Exit code 0: all tensors pass; 1: one fails; 2: bad input, or "
                                          "nothing to compare.",
                                   .rows = rows};

static int run_case(check *c, const options *o) {
    if (o->device && xlstm_set_device(o->device))
        return say("the device");
    if (xlstm_module_load(&c->module, o->model))
        return say("the model");
    if (xlstm_tensors_open(&c->file, o->case_file))
        return say("the case");
    if (read_case(c) || run(c))
        return 2;
    int result = compare_all(c, o);
    const xlstm_metadata about = {"kind", "xlstm-check"};
    if (o->write && xlstm_tensors_write_with(o->write, c->results, c->count, &about, 1))
        return say("writing");
    return result;
}

int main(int argc, char **argv) {
    options o = {.tolerance = -1};
    check c = {0};
    read_options(&o, &table, argc, argv);
    if (xlstm_is_forecast_model(o.model))
        return check_forecast(o.model, o.case_file, o.tolerance);
    int result = run_case(&c, &o);
    for (int i = 0; i < c.count; i++)
        free((void *)(uintptr_t)c.results[i].data);
    free(c.results);
    free(c.tokens);
    free(c.targets);
    free(c.inputs);
    free(c.outputs);
    free(c.logits);
    free(c.step_logits);
    free(c.gradients);
    xlstm_tensors_close(c.file);
    xlstm_module_free(c.module);
    return result;
}
