/* forecast.c - a call: series are checked one by one, packed into rows until the planned memory is full, and
 * brought through the network piece by piece. Rows are prepared and finished by all threads, each by one. */
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "base/structs.h"
#include "forecast/finish.h"
#include "xlstm/forecast.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { ROWS = 32, MOST_ROWS = 1 << 16, LONGEST = 1 << 28 };

struct xlstm_forecaster {
    const struct xl_forecast_config *c;
    xl_forecast_run *run;
    int rows, most_tokens; /* that memory is planned for */
    int threads;
    real *tokens;                  /* [rows, most_tokens, 2 P] */
    real *head;                    /* [rows, F / P, Q P] */
    double *window;                /* [threads, most_tokens P] */
    double *level, *negated;       /* [rows, Q, F] */
    xl_forecast_row *row;          /* [rows] */
    xl_forecast_frame *frame;      /* [rows] */
    xl_forecast_scaling *scaling;  /* [rows] */
    int *group, *padding;          /* [rows] */
    int *place;                    /* [rows], of a target row: which one among the targets */
    unsigned char *target, *known; /* [rows] */
    xlstm_forecast_stage *stage;   /* NULL: nobody watches */
    void *watcher;
    real *all; /* one block, of which the above are parts */
};

XL_GROWING(xlstm_forecast_options, sort, sort)

void xlstm_forecast_options_init_sized(xlstm_forecast_options *options, size_t size) {
    const xlstm_forecast_options o = {.horizon = 1, .pad_context = 1, .flip = -1, .difference = -1};
    xl_struct_init(options, size, &o, sizeof o);
}

/* ---- the model ---- */

void xlstm_forecast_model_free(xlstm_forecast_model *m) {
    xl_forecast_network_free(m);
}

int xlstm_forecast_model_context(const xlstm_forecast_model *m) {
    return m ? xl_forecast_network_config(m)->context_len : 0;
}

int xlstm_forecast_model_horizon(const xlstm_forecast_model *m) {
    return m ? xl_forecast_network_config(m)->future_len : 0;
}

int xlstm_forecast_model_quantiles(const xlstm_forecast_model *m, const double **levels) {
    if (m && levels)
        *levels = xl_forecast_network_config(m)->quantiles;
    return m ? xl_forecast_network_config(m)->num_quantiles : 0;
}

/* ---- memory ---- */

/* The next `count` elements of `size` bytes in the block; NULL while it is only measured. */
static void *part(const xlstm_forecaster *f, uint64_t *used, uint64_t count, size_t size) {
    void *at = f->all ? (char *)f->all + *used : NULL;
    *used += (count * size + 63) / 64 * 64;
    return at;
}

static uint64_t lay_out(xlstm_forecaster *f) {
    const struct xl_forecast_config *c = f->c;
    uint64_t used = 0, rows = (uint64_t)f->rows, columns = (uint64_t)f->most_tokens * (unsigned)c->patch_size;
    uint64_t levels = rows * (unsigned)c->num_quantiles * (unsigned)c->future_len;
    f->tokens = part(f, &used, rows * columns * 2, sizeof *f->tokens);
    f->head = part(f, &used, levels, sizeof *f->head);
    f->window = part(f, &used, (unsigned)f->threads * columns, sizeof *f->window);
    f->level = part(f, &used, levels, sizeof *f->level);
    f->negated = part(f, &used, levels, sizeof *f->negated);
    f->row = part(f, &used, rows, sizeof *f->row);
    f->frame = part(f, &used, rows, sizeof *f->frame);
    f->scaling = part(f, &used, rows, sizeof *f->scaling);
    f->group = part(f, &used, rows, sizeof *f->group);
    f->padding = part(f, &used, rows, sizeof *f->padding);
    f->place = part(f, &used, rows, sizeof *f->place);
    f->target = part(f, &used, rows, sizeof *f->target);
    f->known = part(f, &used, rows, sizeof *f->known);
    return used;
}

static int tokens_of(const struct xl_forecast_config *c, int history) {
    return (history + c->future_len + c->patch_size - 1) / c->patch_size;
}

static xlstm_status allocate(xlstm_forecaster *f, xlstm_forecast_model *m) {
    uint64_t bytes = lay_out(f);
    f->all = xl_alloc(bytes);
    if (!f->all)
        return xl_no_memory(bytes, "a forecaster");
    lay_out(f);
    XL_TRY(xl_forecast_run_create(&f->run, m, f->rows, f->most_tokens));
    xl_log(XLSTM_LOG_INFO, "forecaster: %d rows of %d tokens, %.1f MiB beside the network's", f->rows,
           f->most_tokens, xl_mib((size_t)bytes));
    return XLSTM_OK;
}

xlstm_status xlstm_forecaster_create(xlstm_forecaster **out, xlstm_forecast_model *m, int rows) {
    XL_TRY(xl_check_out(out, "xlstm_forecaster_create"));
    *out = NULL;
    rows = rows == 0 ? ROWS : rows;
    if (!m || rows < 1 || rows > MOST_ROWS)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "a forecaster needs a model and 1 to %d rows at once, or 0 for %d; got %d", MOST_ROWS,
                       ROWS, rows);
    xlstm_forecaster *f = xl_alloc(sizeof *f);
    if (!f)
        return xl_no_memory(sizeof *f, "a forecaster");
    f->c = xl_forecast_network_config(m);
    f->rows = rows;
    f->most_tokens = tokens_of(f->c, f->c->context_len);
    f->threads = xl_threads_now();
    xlstm_status status = allocate(f, m);
    if (status != XLSTM_OK)
        xlstm_forecaster_free(f);
    else
        *out = f;
    return status;
}

void xlstm_forecaster_free(xlstm_forecaster *f) {
    if (!f)
        return;
    xl_forecast_run_free(f->run);
    xl_free(f->all);
    xl_free(f);
}

/* ---- what is asked for ---- */

/* A call, with all that its options leave open filled in. */
typedef struct {
    xlstm_forecast_options o;
    int history; /* columns of a window before the future; grows when it rolls out */
    double *fed; /* [target rows of a piece, H], what was appended to them; NULL where nothing is */
    int done;    /* steps of the horizon that are there already */
    int ahead;   /* and that come next */
    int negate;  /* of the two passes of a flip the second */
} call;

static xlstm_status check_quantiles(const xlstm_forecast_options *o) {
    if (!o->quantiles)
        return XLSTM_OK;
    if (o->quantile_count < 1)
        return xl_fail(XLSTM_E_ARGUMENT, "quantile_count is %d; give at least 1 level, or no array",
                       o->quantile_count);
    for (int q = 0; q < o->quantile_count; q++)
        if (!(o->quantiles[q] > 0 && o->quantiles[q] < 1))
            return xl_fail(XLSTM_E_ARGUMENT, "quantile %d is %g; a level lies between 0 and 1", q,
                           o->quantiles[q]);
    return XLSTM_OK;
}

static xlstm_status check_horizon(const struct xl_forecast_config *c, const xlstm_forecast_options *o) {
    if (o->horizon < 1 || o->horizon > LONGEST)
        return xl_fail(XLSTM_E_ARGUMENT, "horizon is %d; it must be 1 to %d", o->horizon, LONGEST);
    if (o->horizon > c->future_len && !o->roll)
        return xl_fail(
            XLSTM_E_ARGUMENT,
            "horizon is %d and the model forecasts %d steps; ask for no more, or set roll, which goes "
            "on from its medians",
            o->horizon, c->future_len);
    return XLSTM_OK;
}

static xlstm_status take_options(call *k, const struct xl_forecast_config *c,
                                 const xlstm_forecast_options *o) {
    XL_TRY(take_xlstm_forecast_options(&k->o, o));
    XL_TRY(check_quantiles(&k->o));
    XL_TRY(check_horizon(c, &k->o));
    k->o.flip = k->o.flip < 0 ? c->tta_sign_flip : k->o.flip;
    k->o.difference = k->o.difference < 0 ? c->tta_diff : k->o.difference;
    if (!k->o.quantiles) {
        k->o.quantiles = c->quantiles;
        k->o.quantile_count = c->num_quantiles;
    }
    if (k->o.flip && !xl_forecast_is_symmetric(c))
        return xl_fail(XLSTM_E_CONFIG,
                       "flip needs quantiles that lie around 0.5 in pairs, which this model's do "
                       "not; set flip to 0");
    return XLSTM_OK;
}

/* ---- a series ---- */

static int rows_of(const xlstm_series *s) {
    return s->targets + s->past_rows + s->future_rows;
}

/* Row number v of a series in the order in which they are packed. */
static xl_forecast_row series_row(const xlstm_series *s, int v) {
    const void *from = s->target;
    int columns = s->length, at = v;
    if (v >= s->targets + s->past_rows) {
        from = s->future;
        columns = s->future_length;
        at = v - s->targets - s->past_rows;
    } else if (v >= s->targets) {
        from = s->past;
        at = v - s->targets;
    }
    size_t skipped = (size_t)at * (size_t)columns * (s->dtype == XLSTM_F64 ? sizeof(double) : sizeof(float));
    return (xl_forecast_row){.values = (const char *)from + skipped,
                             .is_double = s->dtype == XLSTM_F64,
                             .count = columns,
                             .sign = 1};
}

static const char *kind_of_row(const xlstm_series *s, int v) {
    return v < s->targets ? "target" : v < s->targets + s->past_rows ? "past covariate" : "future covariate";
}

static int number_of_row(const xlstm_series *s, int v) {
    return v < s->targets                  ? v
           : v < s->targets + s->past_rows ? v - s->targets
                                           : v - s->targets - s->past_rows;
}

/* Beyond a float a square could be beyond a double. *values: how many there are. */
static xlstm_status check_values(const xlstm_series *s, int v, int columns, int64_t *values) {
    const xl_forecast_row row = series_row(s, v);
    for (int t = 0; t < columns; t++) {
        double x = xl_forecast_value(&row, t);
        if (fabs(x) > (double)FLT_MAX)
            return xl_fail(
                XLSTM_E_NUMERIC,
                "value %d of %s %d is %g; give numbers that a float holds, and NaN where one is missing", t,
                kind_of_row(s, v), number_of_row(s, v), x);
        *values += !isnan(x);
    }
    return XLSTM_OK;
}

static xlstm_status check_sizes(const xlstm_series *s, int horizon, int most_rows) {
    if (s->dtype != XLSTM_F32 && s->dtype != XLSTM_F64)
        return xl_fail(XLSTM_E_ARGUMENT, "dtype is %d; a series is of XLSTM_F32 or XLSTM_F64", (int)s->dtype);
    if (s->length < 1 || s->length > LONGEST)
        return xl_fail(XLSTM_E_ARGUMENT, "length is %d; a series has 1 to %d values", s->length, LONGEST);
    if (s->targets < 1 || s->past_rows < 0 || s->future_rows < 0 || s->targets > most_rows ||
        s->past_rows > most_rows || s->future_rows > most_rows || rows_of(s) > most_rows)
        return xl_fail(
            XLSTM_E_ARGUMENT,
            "%d targets, %d past and %d future covariates; a series has at least one target, and no more "
            "than %d rows, for which this forecaster was made",
            s->targets, s->past_rows, s->future_rows, most_rows);
    if (!s->target || (s->past_rows && !s->past) || (s->future_rows && !s->future))
        return xl_fail(XLSTM_E_ARGUMENT,
                       "an array of a series is NULL; give one for each kind of rows it has");
    if (s->future_rows && (int64_t)s->future_length - s->length < horizon)
        return xl_fail(
            XLSTM_E_ARGUMENT,
            "future_length is %d; future covariates have values for the %d steps of the series and the "
            "%d of the horizon, NaN where one is not known",
            s->future_length, s->length, horizon);
    return XLSTM_OK;
}

static xlstm_status check_series(const xlstm_series *s, const call *k, int most_rows) {
    int64_t targets = 0, others = 0;
    XL_TRY(check_sizes(s, k->o.horizon, most_rows));
    for (int v = 0; v < rows_of(s); v++) {
        int future = v >= s->targets + s->past_rows;
        XL_TRY(check_values(s, v, future ? s->length + k->o.horizon : s->length,
                            v < s->targets ? &targets : &others));
    }
    if (!targets && !k->o.allow_empty)
        return xl_fail(XLSTM_E_NUMERIC,
                       "the series has no values, of %d all are missing; give at least one, or set "
                       "allow_empty",
                       s->length);
    return XLSTM_OK;
}

/* ---- a piece: the series that are computed at once ---- */

typedef struct {
    xlstm_forecaster *f;
    const call *k;
    const xlstm_series *series; /* [count], of which those that failed are passed over */
    xlstm_forecast *forecasts;
    int count, rows, targets;
    int tokens; /* of a window */
} piece;

static void pack_row(piece *p, int group, const xlstm_series *s, int v) {
    xlstm_forecaster *f = p->f;
    const struct xl_forecast_config *c = f->c;
    const call *k = p->k;
    int r = p->rows++, target = v < s->targets;
    f->row[r] = series_row(s, v);
    f->row[r].sign = k->negate ? -1 : 1;
    f->frame[r] = (xl_forecast_frame){.length = s->length + k->done,
                                      .horizon = v < s->targets + s->past_rows ? 0 : k->ahead,
                                      .tokens = p->tokens,
                                      .context = c->context_len,
                                      .ahead = c->future_len,
                                      .patch = c->patch_size};
    f->group[r] = group;
    f->target[r] = (unsigned char)target;
    f->place[r] = p->targets;
    if (target && k->fed) {
        f->row[r].fed = k->fed + (ptrdiff_t)p->targets * k->o.horizon;
        f->row[r].fed_count = k->done;
    }
    p->targets += target;
}

static void pack(piece *p) {
    p->rows = p->targets = 0;
    p->tokens = tokens_of(p->f->c, p->k->history);
    for (int i = 0; i < p->count; i++)
        for (int v = 0; p->forecasts[i].status == XLSTM_OK && v < rows_of(&p->series[i]); v++)
            pack_row(p, i, &p->series[i], v);
}

static void prepare_task(void *context, int r, int thread) {
    const piece *p = context;
    xlstm_forecaster *f = p->f;
    int P = f->c->patch_size;
    xl_forecast_scaling *s = &f->scaling[r];
    xl_forecast_prepare(s, f->tokens + (ptrdiff_t)r * p->tokens * 2 * P,
                        f->window + (ptrdiff_t)thread * f->most_tokens * P, &f->row[r], &f->frame[r],
                        f->target[r] && p->k->o.difference, f->c);
    f->known[r] = (unsigned char)(!f->target[r] && s->known);
    f->padding[r] = s->padding;
}

static int wanted_tokens(const piece *p) {
    return (p->k->ahead + p->f->c->patch_size - 1) / p->f->c->patch_size;
}

static double *levels_of(const piece *p, double *levels, int r) {
    return levels + (ptrdiff_t)p->f->place[r] * p->f->c->num_quantiles * p->k->ahead;
}

static void finish_task(void *context, int r, int thread) {
    const piece *p = context;
    const xlstm_forecaster *f = p->f;
    const struct xl_forecast_config *c = f->c;
    (void)thread;
    if (!f->target[r])
        return;
    ptrdiff_t said = (ptrdiff_t)wanted_tokens(p) * c->num_quantiles * c->patch_size;
    double *level = levels_of(p, p->k->negate ? f->negated : f->level, r);
    xl_forecast_levels(level, f->head + f->place[r] * said, p->k->ahead, &f->scaling[r], c);
    xl_forecast_calibrate(level, p->k->ahead, &f->scaling[r], c->num_quantiles);
    if (p->k->negate)
        xl_forecast_unflip(levels_of(p, f->level, r), level, p->k->ahead, c->num_quantiles);
}

/* ---- watching ---- */

void xlstm_forecaster_watch(xlstm_forecaster *f, xlstm_forecast_stage *stage, void *context) {
    if (!f)
        return;
    f->stage = stage;
    f->watcher = context;
}

static void show_scaling(const piece *p, double *room) {
    const xlstm_forecaster *f = p->f;
    for (int r = 0; r < p->rows; r++)
        room[r] = f->scaling[r].loc;
    f->stage(f->watcher, "rows.loc", p->rows, 1, NULL, room);
    for (int r = 0; r < p->rows; r++)
        room[r] = f->scaling[r].scale;
    f->stage(f->watcher, "rows.scale", p->rows, 1, NULL, room);
}

/* What the heads of all tokens say, and of it what is asked for. level: [rows, Q, L P] */
static void show_levels(const piece *p, const real *head, double *level) {
    const xlstm_forecaster *f = p->f;
    int P = f->c->patch_size, Q = f->c->num_quantiles, all = p->tokens * P, ahead = p->k->ahead;
    double *window = level + (ptrdiff_t)p->rows * Q * all;
    for (int r = 0; r < p->rows; r++)
        xl_forecast_levels(level + (ptrdiff_t)r * Q * all, head + (ptrdiff_t)r * Q * all, all, &f->scaling[r],
                           f->c);
    f->stage(f->watcher, "stage.level", p->rows, Q * all, NULL, level);
    for (int i = 0; i < p->rows * Q; i++)
        memcpy(window + (ptrdiff_t)i * ahead, level + (ptrdiff_t)(i + 1) * all - f->c->future_len - P,
               ahead * sizeof *window);
    f->stage(f->watcher, "stage.window", p->rows, Q * ahead, NULL, window);
}

typedef struct {
    const piece *p;
    double *room; /* [rows, Q, L P + H] */
} watched;

static void show_stage(void *context, const char *name, int columns, const real *data) {
    const watched *w = context;
    const xlstm_forecaster *f = w->p->f;
    char full[48];
    snprintf(full, sizeof full, "stage.%.40s", name);
    f->stage(f->watcher, full, w->p->rows, w->p->tokens * columns, data, NULL);
    if (!strcmp(name, "head"))
        show_levels(w->p, data, w->room);
}

static xlstm_status watch_pass(const piece *p, const struct xl_forecast_rows *rows) {
    const xlstm_forecaster *f = p->f;
    uint64_t columns = (uint64_t)p->tokens * f->c->patch_size + p->k->ahead;
    uint64_t bytes = columns * p->rows * f->c->num_quantiles * sizeof(double);
    watched w = {p, xl_alloc(bytes)};
    if (!w.room)
        return xl_no_memory(bytes, "stages");
    show_scaling(p, w.room);
    xlstm_status status = xl_forecast_run_watch(f->run, rows, f->tokens, show_stage, &w);
    xl_free(w.room);
    return status;
}

/* All rows of the piece through the network: f->level or, negated too, the mean of both. */
static xlstm_status run_pass(piece *p) {
    xlstm_forecaster *f = p->f;
    const struct xl_forecast_config *c = f->c;
    pack(p);
    xl_parallel(p->rows, prepare_task, p);
    const struct xl_forecast_rows rows = {.rows = p->rows,
                                          .tokens = p->tokens,
                                          .group = f->group,
                                          .target = f->target,
                                          .known = f->known,
                                          .padding = f->padding,
                                          .wanted_first = p->tokens - c->future_len / c->patch_size - 1,
                                          .wanted_count = wanted_tokens(p)};
    if (f->stage && !p->k->negate)
        XL_TRY(watch_pass(p, &rows));
    XL_TRY(xl_forecast_network_run(f->run, &rows, f->tokens, f->head));
    xl_parallel(p->rows, finish_task, p);
    return XLSTM_OK;
}

/* ---- what comes out ---- */

static void deliver_number(void *to, xlstm_dtype dtype, size_t at, double x) {
    if (dtype == XLSTM_F64)
        ((double *)to)[at] = x;
    else
        ((float *)to)[at] = (float)x;
}

static void deliver_row(const piece *p, int i, int v, const double *level) {
    const call *k = p->k;
    const xlstm_forecast *out = &p->forecasts[i];
    xlstm_dtype dtype = p->series[i].dtype;
    for (int t = 0; t < k->ahead; t++) {
        size_t at = (size_t)v * k->o.horizon + k->done + t;
        if (out->median)
            deliver_number(out->median, dtype, at, xl_forecast_quantile(level, k->ahead, t, 0.5, p->f->c));
        for (int q = 0; out->quantiles && q < k->o.quantile_count; q++)
            deliver_number(out->quantiles, dtype,
                           ((size_t)v * k->o.quantile_count + q) * k->o.horizon + k->done + t,
                           xl_forecast_quantile(level, k->ahead, t, k->o.quantiles[q], p->f->c));
    }
}

/* What a rollout goes on from: a median, within what a series may hold. */
static double fed_back(double median) {
    return median > (double)FLT_MAX ? (double)FLT_MAX : median < -(double)FLT_MAX ? -(double)FLT_MAX : median;
}

/* Rows stand as pack() left them. */
static void deliver(const piece *p) {
    const call *k = p->k;
    const xlstm_forecaster *f = p->f;
    for (int r = 0, v = 0; r < p->rows; r++) {
        v = r && f->group[r] == f->group[r - 1] ? v + 1 : 0;
        if (!f->target[r])
            continue;
        double *level = levels_of(p, f->level, r);
        if (k->o.sort)
            xl_forecast_sort(level, k->ahead, f->c->num_quantiles);
        deliver_row(p, f->group[r], v, level);
        for (int t = 0; k->fed && t < k->ahead; t++)
            k->fed[(ptrdiff_t)f->place[r] * k->o.horizon + k->done + t] =
                fed_back(xl_forecast_quantile(level, k->ahead, t, 0.5, f->c));
    }
}

/* The horizon of a piece, as many steps at a time as the model has. */
static xlstm_status run_piece(piece *p, call *k) {
    const struct xl_forecast_config *c = p->f->c;
    int history = k->history;
    xlstm_status status = XLSTM_OK;
    for (k->done = 0; status == XLSTM_OK && k->done < k->o.horizon; k->done += k->ahead) {
        int left = k->o.horizon - k->done;
        k->ahead = left < c->future_len ? left : c->future_len;
        k->history = history + k->done < c->context_len ? history + k->done : c->context_len;
        k->negate = 0;
        status = run_pass(p);
        k->negate = 1;
        if (status == XLSTM_OK && k->o.flip)
            status = run_pass(p);
        if (status == XLSTM_OK)
            deliver(p);
    }
    k->history = history;
    return status;
}

/* ---- a call ---- */

static void note(xlstm_forecast *to, xlstm_status status) {
    to->status = status;
    to->error[0] = 0;
    if (status != XLSTM_OK)
        strncat(to->error, xlstm_last_error(), sizeof to->error - 1);
}

/* How many series from the first on the rows suffice for. */
static int piece_of(const xlstm_forecaster *f, const xlstm_series *series, const xlstm_forecast *forecasts,
                    int count) {
    int rows = 0, i = 0;
    for (; i < count; i++) {
        rows += forecasts[i].status == XLSTM_OK ? rows_of(&series[i]) : 0;
        if (rows > f->rows)
            break;
    }
    return i;
}

static xlstm_status run_all(xlstm_forecaster *f, call *k, const xlstm_series *series, int count,
                            xlstm_forecast *forecasts) {
    for (int from = 0, n; from < count; from += n) {
        n = piece_of(f, series + from, forecasts + from, count - from);
        piece p = {.f = f, .k = k, .series = series + from, .forecasts = forecasts + from, .count = n};
        pack(&p);
        if (p.rows)
            XL_TRY(run_piece(&p, k));
    }
    return XLSTM_OK;
}

/* Columns that windows have before the future. */
static int longest(const struct xl_forecast_config *c, const call *k, const xlstm_series *series, int count,
                   const xlstm_forecast *forecasts) {
    int most = k->o.pad_context ? c->context_len : 1;
    for (int i = 0; i < count; i++)
        if (forecasts[i].status == XLSTM_OK && series[i].length > most)
            most = series[i].length;
    return most < c->context_len ? most : c->context_len;
}

static xlstm_status first_failure(const xlstm_forecast *forecasts, int count) {
    for (int i = 0; i < count; i++)
        if (forecasts[i].status != XLSTM_OK)
            return xl_fail(forecasts[i].status, "series %d: %s", i, forecasts[i].error);
    return XLSTM_OK;
}

xlstm_status xlstm_forecaster_run(xlstm_forecaster *f, const xlstm_forecast_options *options,
                                  const xlstm_series *series, int count, xlstm_forecast *forecasts) {
    call k = {0};
    if (!f || !series || !forecasts || count < 1)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "xlstm_forecaster_run needs a forecaster, series and as many forecasts; got %d series",
                       count);
    XL_TRY(take_options(&k, f->c, options));
    XL_TRY(xl_threads_planned(f->threads));
    if (k.o.horizon > f->c->future_len) {
        uint64_t bytes = (uint64_t)f->rows * (unsigned)k.o.horizon * sizeof *k.fed;
        k.fed = xl_alloc(bytes);
        if (!k.fed)
            return xl_no_memory(bytes, "medians that a forecast goes on from");
    }
    for (int i = 0; i < count; i++)
        note(&forecasts[i], check_series(&series[i], &k, f->rows));
    k.history = longest(f->c, &k, series, count, forecasts);
    xlstm_status status = run_all(f, &k, series, count, forecasts);
    xl_free(k.fed);
    return status != XLSTM_OK ? status : first_failure(forecasts, count);
}
