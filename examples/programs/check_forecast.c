/* check_forecast.c - a case of a forecasting model holds calls a, b, c, ...: CALL.options [4] = horizon,
 * whether the context is padded, whether the mean with the negated series is taken, and whether trends are
 * forecast by their differences (-1: as the model says); CALL.N.target, .past and .future, the series;
 * CALL.forecast.N. A call may also hold its rows and every stage of the network, CALL.rows.NAME and
 * CALL.stage.NAME. */
#include "check_forecast.h"
#include "compare.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SERIES = 1024, MOST_ROWS = 4096 };

static const int in_double = sizeof(xlstm_real) == 8;

typedef struct {
    xlstm_tensors *file;
    xlstm_forecast_model *model;
    xlstm_forecaster *forecaster;
    double tolerance;
    const char *call; /* the one in hand */
    int count;        /* of its series */
    xlstm_series series[MOST_SERIES];
    xlstm_forecast forecasts[MOST_SERIES];
    int total, failed, wide;
} check;

static void fail(const char *what, const char *why) {
    fprintf(stderr, "xlstm-check: %s: %s\n", what, why);
}

static void *take(size_t count, size_t size) {
    void *p = calloc(count ? count : 1, size);
    if (!p) {
        fail("memory", "there is none left");
        exit(2);
    }
    return p;
}

static int has(const check *c, const char *name, xlstm_tensor *t) {
    return xlstm_tensors_find(c->file, name, t) == XLSTM_OK;
}

/* ---- comparison ---- */

static double noise_of(const check *c, const char *name) {
    char full[160];
    xlstm_tensor t;
    double noise = 0;
    snprintf(full, sizeof full, "noise.%.140s", name);
    if (!has(c, full, &t) || t.count != 1 || xlstm_tensor_doubles(&t, &noise))
        return 0;
    return isfinite(noise) ? noise : 0;
}

static double allowed(const check *c, const char *name, double largest) {
    double asked = (c->tolerance >= 0 ? c->tolerance : in_double ? 1e-9 : 1e-5) * largest;
    return in_double ? asked : fmax(asked, 4 * noise_of(c, name));
}

/* A tensor of the case, if it is there, with numbers of either kind. */
static void compare(check *c, const char *name, const xlstm_real *reals, const double *doubles,
                    size_t count) {
    xlstm_tensor t;
    comparison seen = {0};
    if (!has(c, name, &t))
        return;
    c->total++;
    if (t.count != count || t.dtype > XLSTM_BF16) {
        printf("%-*s  %10s  %10s  FAIL (of another shape)\n", c->wide, name, "-", "-");
        c->failed++;
        return;
    }
    double *reference = take(count, sizeof *reference);
    xlstm_tensor_doubles(&t, reference);
    for (size_t i = 0; i < count; i++)
        see(&seen, reals ? (double)reals[i] : doubles[i], reference[i]);
    int good = agrees(&seen, allowed(c, name, seen.size));
    printf("%-*s  %10.3e  %10.3e  %s\n", c->wide, name, seen.error,
           seen.size > 0 ? seen.error / seen.size : seen.error, good ? "pass" : "FAIL");
    c->failed += !good;
    free(reference);
}

static void see_stage(void *context, const char *name, int rows, int columns, const xlstm_real *reals,
                      const double *doubles) {
    check *c = context;
    char full[80];
    snprintf(full, sizeof full, "%.20s.%.50s", c->call, name);
    compare(c, full, reals, doubles, (size_t)rows * (size_t)columns);
}

/* ---- a call ---- */

/* CALL.N.NAME [rows, columns]; NULL where it is not there. */
static double *read_rows(const check *c, const char *name, int *rows, int *columns) {
    char full[80];
    xlstm_tensor t;
    *rows = *columns = 0;
    snprintf(full, sizeof full, "%s.%d.%s", c->call, c->count, name);
    if (!has(c, full, &t) || t.ndim != 2 || t.dtype > XLSTM_BF16 || t.shape[0] < 1 ||
        t.shape[0] > MOST_ROWS || t.shape[1] > 1 << 24)
        return NULL;
    double *numbers = take(t.count, sizeof *numbers);
    xlstm_tensor_doubles(&t, numbers);
    *rows = (int)t.shape[0];
    *columns = (int)t.shape[1];
    return numbers;
}

static int read_series(check *c) {
    for (c->count = 0; c->count < MOST_SERIES; c->count++) {
        xlstm_series *s = &c->series[c->count];
        int past;
        *s = (xlstm_series){.dtype = XLSTM_F64};
        s->target = read_rows(c, "target", &s->targets, &s->length);
        if (!s->target)
            break;
        s->past = read_rows(c, "past", &s->past_rows, &past);
        s->future = read_rows(c, "future", &s->future_rows, &s->future_length);
    }
    return c->count;
}

static int rows_of(const check *c) {
    int rows = 0;
    for (int i = 0; i < c->count; i++)
        rows += c->series[i].targets + c->series[i].past_rows + c->series[i].future_rows;
    return rows;
}

static void forget_series(check *c) {
    for (int i = 0; i < c->count; i++) {
        free((void *)(uintptr_t)c->series[i].target);
        free((void *)(uintptr_t)c->series[i].past);
        free((void *)(uintptr_t)c->series[i].future);
        free(c->forecasts[i].quantiles);
    }
}

/* Horizons beyond the model's are cut to it, as its package does. */
static int read_options(const check *c, xlstm_forecast_options *o) {
    char full[32];
    xlstm_tensor t;
    int64_t said[4];
    snprintf(full, sizeof full, "%s.options", c->call);
    if (!has(c, full, &t) || t.count != 4 || xlstm_tensor_int64s(&t, said) || said[0] < 1)
        return 0;
    xlstm_forecast_options_init(o);
    int most = xlstm_forecast_model_horizon(c->model);
    o->horizon = said[0] < most ? (int)said[0] : most;
    o->pad_context = said[1] != 0;
    o->flip = (int)said[2];
    o->difference = (int)said[3];
    o->allow_empty = 1;
    return 1;
}

static int run_call(check *c) {
    const double *levels;
    xlstm_forecast_options o;
    if (!read_options(c, &o) || !read_series(c)) {
        fail(c->call, "the case has no options, or no series, of this call");
        return 2;
    }
    int quantiles = xlstm_forecast_model_quantiles(c->model, &levels);
    for (int i = 0; i < c->count; i++)
        c->forecasts[i].quantiles =
            take((size_t)c->series[i].targets * (size_t)quantiles * (size_t)o.horizon, sizeof(double));
    if (xlstm_forecaster_create(&c->forecaster, c->model, rows_of(c))) {
        fail(c->call, xlstm_last_error());
        return 2;
    }
    xlstm_forecaster_watch(c->forecaster, see_stage, c);
    xlstm_status status = xlstm_forecaster_run(c->forecaster, &o, c->series, c->count, c->forecasts);
    if (status)
        fail(c->call, xlstm_last_error());
    for (int i = 0; i < c->count && !status; i++) {
        char full[80];
        snprintf(full, sizeof full, "%s.forecast.%d", c->call, i);
        compare(c, full, NULL, c->forecasts[i].quantiles,
                (size_t)c->series[i].targets * (size_t)quantiles * (size_t)o.horizon);
    }
    xlstm_forecaster_free(c->forecaster);
    forget_series(c);
    return status ? 2 : 0;
}

/* ---- all calls ---- */

static int is_compared(const char *name) {
    return strncmp(name, "noise.", 6) && (strstr(name, ".forecast.") || strstr(name, ".stage.") ||
                                          strstr(name, ".rows.loc") || strstr(name, ".rows.scale"));
}

/* What the case has and nobody computed. */
static void fail_unknown(check *c) {
    xlstm_tensor t;
    int known = 0;
    for (int i = 0; xlstm_tensors_get(c->file, i, &t) == XLSTM_OK; i++)
        known += is_compared(t.name);
    if (known == c->total)
        return;
    printf("%d tensors of the case are unknown, or belong to no call with options\n", known - c->total);
    c->failed += known - c->total;
    c->total = known;
}

static int run_calls(check *c) {
    char name[2] = "a", full[16];
    xlstm_tensor t;
    c->call = name;
    printf("%-*s  %10s  %10s\n", c->wide, "tensor", "absolute", "relative");
    for (; *name <= 'z'; ++*name) {
        snprintf(full, sizeof full, "%s.options", name);
        if (has(c, full, &t) && run_call(c))
            return 2;
    }
    if (!c->total) {
        fail("the case", "it has nothing to compare: no call with options, series and forecasts");
        return 2;
    }
    fail_unknown(c);
    printf("%d of %d tensors pass (%s)\n", c->total - c->failed, c->total, in_double ? "double" : "float");
    return c->failed ? 1 : 0;
}

int check_forecast(const char *model, const char *case_file, double tolerance) {
    check *c = take(1, sizeof *c);
    int result = 2;
    c->tolerance = tolerance;
    c->wide = (int)strlen("a.stage.variate.00");
    if (xlstm_forecast_model_load(&c->model, model, XLSTM_WEIGHTS_REAL) ||
        xlstm_tensors_open(&c->file, case_file))
        fail("the model or the case", xlstm_last_error());
    else
        result = run_calls(c);
    xlstm_tensors_close(c->file);
    xlstm_forecast_model_free(c->model);
    free(c);
    return result;
}
