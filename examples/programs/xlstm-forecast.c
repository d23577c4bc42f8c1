/* xlstm-forecast MODEL_DIR FILE.csv: quantiles of what comes next in the columns of a table, as a table, as
 * JSON and as a picture; and how good they would have been before, beside forecasts that cost nothing. */
#include "dataset.h"
#include "labels.h"
#include "measures.h"
#include "options.h"
#include "paths.h"
#include "picture.h"
#include "program.h"
#include <jansson.h>

typedef enum { FORM_CSV, FORM_JSON } output_form;

typedef struct {
    const char *model, *file, *separator, *output, *plot;
    dataset_columns columns;
    csv_header header;
    output_form form;
    xlstm_weights weights;
    option_numbers quantiles;
    int decimal_comma, horizon, roll, flip, backtest, season, threads, quiet;
} options;

static const char *const headers[] = {"auto", "yes", "no", NULL};
static const char *const output_forms[] = {"csv", "json", NULL};

enum { HORIZON = 24, MOST_ROWS = 4096, JOBS = 64, VALUES = 1 << 23 };

#define FIELD(field) OPTION_FIELD(options, field)
static const option rows[] = {
    {"MODEL_DIR", OPTION_ARGUMENT, FIELD(model), .help = "config.json and model.safetensors"},
    {"FILE.csv", OPTION_ARGUMENT, FIELD(file), .help = "the table; - is standard input"},
    {.help = "The table:"},
    {"target", 't', FIELD(columns.target), "LIST",
     .help = "columns to forecast together (default: all that are nothing else)"},
    {"past", 'p', FIELD(columns.past), "LIST", .help = "columns that help, known as far as the targets are"},
    {"future", 'f', FIELD(columns.future), "LIST",
     .help = "columns that help and are known over the horizon too"},
    {"time", 0, FIELD(columns.time), "NAME",
     .help = "labels of the rows (default: the first other column, if it is text)"},
    {"series", 's', FIELD(columns.series), "NAME",
     .help = "the file has many series; this says whose a row is"},
    {"header", 0, FIELD(header), "WHEN", .choices = headers, .initial = "auto",
     .help = "does the first line have names? Without, columns are called 1, 2, ..."},
    {"separator", 0, FIELD(separator), "C", .initial = ",", .help = "between cells, such as ';', or tab"},
    {"decimal-comma", 0, FIELD(decimal_comma), .help = "numbers are written 2,5"},
    {.help = "The forecast:"},
    {"horizon", 'n', FIELD(horizon), "N", RANGE(1, 1 << 20),
     .help = "steps (default: rows at the end of the file that have no target; where there are none, 24)"},
    {"quantiles", 'q', FIELD(quantiles), "LIST", RANGE(1e-6, 0.999999),
     .help = "levels, such as 0.05,0.5,0.95 (default: the model's own)"},
    {"roll", 0, FIELD(roll),
     .help = "go beyond the model's horizon from its own medians; bands are then too narrow"},
    {"flip", 0, FIELD(flip), .help = "average with the forecast of the negated series: twice the work"},
    {.help = "What comes out:"},
    {"output", 'o', FIELD(output), "FILE", .path = OPTION_WRITE, .help = "in place of standard output"},
    {"format", 0, FIELD(form), "NAME", .choices = output_forms, .initial = "csv", .help = "csv or json"},
    {"plot", 0, FIELD(plot), "FILE", .path = OPTION_WRITE,
     .help = "a picture, by gnuplot: .svg, .png, or .html, which needs no other file"},
    {.help = "How good is it?"},
    {"backtest", 'b', FIELD(backtest), "N", RANGE(1, 100000),
     .help = "forecast the last N horizons of the file from what was before each, and print MASE, WQL and "
             "coverage "
             "beside simple methods, in place of a forecast"},
    {"season", 0, FIELD(season), "N", RANGE(1, 1 << 20),
     .help = "steps of a season (default: guessed from the autocorrelation)"},
    {.help = "Running:"},
    {"weights", 0, FIELD(weights), "TYPE", .choices = weights_choices, .initial = "real",
     .help = "matrices as real, bf16 (half the memory) or int8 (a quarter)"},
    {"threads", 0, FIELD(threads), "N", RANGE(1, XLSTM_MAX_THREADS), .help = "threads (default: all)"},
    {"quiet", 0, FIELD(quiet), .help = "no progress"},
    {0}};

static const option_table table = {
    .doc =
        "Forecasts columns of a table with a pretrained model.\v"
        "Examples:\n"
        "  xlstm-forecast model sales.csv --target sold --horizon 28\n"
        "  xlstm-forecast model sales.csv -t sold -f price,holiday --plot sold.png\n"
        "  xlstm-forecast model shops.csv --series shop -t sold --backtest 10\n\n"
        "Rows stand in the order of time, one step apart. An empty cell, NA or NaN is a missing value. The "
        "forecast begins behind the last row that has a target; rows behind that one carry the future "
        "columns. Labels go on where their step is constant.",
    .rows = rows};

/* ---- what was read ---- */

typedef struct {
    const options *o;
    csv c;
    dataset d;
    char *text;
    xlstm_forecast_model *model;
    xlstm_forecaster *forecaster;
    int horizon;
    measure_levels levels;
    double started;
    int failed;
} run;

static char separator_of(const char *text) {
    if (!strcmp(text, "tab") || !strcmp(text, "\\t"))
        return '\t';
    if (strlen(text) != 1)
        die("--separator is \"%s\"; give one character, or tab", text);
    return *text;
}

static void read_table(run *r) {
    const options *o = r->o;
    size_t size;
    r->text = read_file(strcmp(o->file, "-") != 0 ? o->file : "/dev/stdin", &size);
    if (!r->text)
        die("%s cannot be read (%s)", o->file, strerror(errno));
    if (!csv_open(&r->c, r->text, size, separator_of(o->separator), o->decimal_comma, o->header))
        die("%s: %s", o->file, r->c.why);
    if (!dataset_read(&r->d, &r->c, &o->columns))
        die("%s: %s", o->file, r->d.why);
    if (r->d.columns > MOST_ROWS)
        die("%s: %d columns are to be forecast together; choose at most %d with --target", o->file,
            r->d.columns, MOST_ROWS);
}

/* "FILE: series A: " in sentences. */
static const char *name_of(const run *r, const dataset_series *s) {
    return r->d.whose < 0 ? r->o->file : s->id;
}

static void choose_horizon(run *r) {
    int behind = 0;
    for (int i = 0; i < r->d.count; i++) {
        const dataset_series *s = &r->d.series[i];
        int more = s->length ? s->rows - s->length : 0;
        behind = more > behind ? more : behind;
    }
    r->horizon = r->o->horizon ? r->o->horizon : behind ? behind : HORIZON;
}

/* Future covariates have to be there, and how far is known before any work. */
static void check_future(const run *r) {
    for (int i = 0; i < r->d.count && r->d.future && !r->o->backtest; i++) {
        const dataset_series *s = &r->d.series[i];
        if (s->rows - s->length < r->horizon)
            die("%s: %d rows follow the last target and the horizon is %d; give the future columns for all "
                "of it, or "
                "a shorter --horizon",
                name_of(r, s), s->rows - s->length, r->horizon);
    }
}

static void load(run *r) {
    const options *o = r->o;
    check(xlstm_forecast_model_load(&r->model, o->model, o->weights));
    r->levels.count = o->quantiles.count;
    r->levels.level = o->quantiles.of;
    if (!o->quantiles.count)
        r->levels.count = xlstm_forecast_model_quantiles(r->model, &r->levels.level);
    if (r->levels.count > MEASURES_QUANTILES)
        die("--quantiles has %d levels; give at most %d", r->levels.count, MEASURES_QUANTILES);
    for (int q = 1; q < r->levels.count; q++)
        if (r->levels.level[q] <= r->levels.level[q - 1])
            die("--quantiles: %g stands behind %g; let them rise", r->levels.level[q],
                r->levels.level[q - 1]);
    check(xlstm_forecaster_create(&r->forecaster, r->model, r->d.columns > 32 ? r->d.columns : 32));
}

/* ---- jobs: a series, as it was when it had `length` values ---- */

typedef struct {
    const dataset_series *s;
    int length;
    double *held; /* of the series' arrays and what comes out */
    double *target, *quantiles, *median;
} job;

static xlstm_series prepare(const run *r, job *j, xlstm_forecast *out) {
    const dataset *d = &r->d;
    size_t T = (size_t)j->length, H = (size_t)r->horizon, targets = (size_t)d->targets;
    size_t future = (size_t)d->future * (T + H), said = targets * (size_t)r->levels.count * H;
    double *at = j->held =
        need((targets * T + (size_t)d->past * T + future + said + targets * H) * sizeof *at);
    xlstm_series s = {.dtype = XLSTM_F64,
                      .length = j->length,
                      .targets = d->targets,
                      .past_rows = d->past,
                      .future_rows = d->future,
                      .future_length = j->length + r->horizon};
    for (int v = 0; v < d->columns; v++) {
        int columns = v < d->targets + d->past ? j->length : j->length + r->horizon;
        if (v == d->targets + d->past)
            s.future = at;
        else if (v == d->targets)
            s.past = at;
        dataset_column(d, j->s, v, 0, columns, at);
        at += columns;
    }
    s.target = j->target = j->held;
    out->quantiles = j->quantiles = at;
    out->median = j->median = at + said;
    return s;
}

/* On a terminal: how far it is, and how long the rest will take if it goes on like this. */
static void show_progress(const run *r, int done, int all) {
    double took = now() - r->started;
    if (r->o->quiet || all <= JOBS || !isatty(STDERR_FILENO))
        return;
    if (done < all)
        fprintf(stderr, "\r%d of %d forecasts, %.0f s left ", done, all, took / done * (all - done));
    else
        fprintf(stderr, "\r%d forecasts in %.1f s          \n", all, took);
}

static void complain(run *r, const job *j, const xlstm_forecast *f) {
    r->failed++;
    if (r->d.count == 1)
        die("%s: %s", name_of(r, j->s), f->error);
    fprintf(stderr, "%s: series %s: %s\n", program_invocation_short_name, name_of(r, j->s), f->error);
}

typedef void job_done(run *r, const job *j, void *context);

static void run_jobs(run *r, job *jobs, int count, int done, int all, job_done *use, void *context) {
    xlstm_series series[JOBS];
    xlstm_forecast forecasts[JOBS] = {0};
    xlstm_forecast_options how;
    xlstm_forecast_options_init(&how);
    how.horizon = r->horizon;
    how.quantiles = r->levels.level;
    how.quantile_count = r->levels.count;
    how.roll = r->o->roll;
    how.flip = r->o->flip ? 1 : how.flip;
    for (int i = 0; i < count; i++)
        series[i] = prepare(r, &jobs[i], &forecasts[i]);
    xlstm_status status = xlstm_forecaster_run(r->forecaster, &how, series, count, forecasts);
    int told = 0;
    for (int i = 0; i < count; i++) {
        told += forecasts[i].status != XLSTM_OK;
        if (forecasts[i].status == XLSTM_OK && (status == XLSTM_OK || told))
            use(r, &jobs[i], context);
        else if (forecasts[i].status != XLSTM_OK)
            complain(r, &jobs[i], &forecasts[i]);
        free(jobs[i].held);
    }
    if (status != XLSTM_OK && !told)
        die("%s", xlstm_last_error());
    show_progress(r, done + count, all);
}

/* All of them, as many at once as have room. */
static void run_all(run *r, const job *jobs, int count, job_done *use, void *context) {
    job some[JOBS];
    r->started = now();
    for (int from = 0, n; from < count; from += n) {
        int64_t values = 0;
        for (n = 0; n < JOBS && from + n < count && (!n || values < VALUES); n++) {
            some[n] = jobs[from + n];
            values += (int64_t)(some[n].length + r->horizon) * r->d.columns;
        }
        run_jobs(r, some, n, from, count, use, context);
    }
}

/* ---- tables and JSON ---- */

/* What a panel shows, until it is drawn. */
typedef struct {
    char *title;
    char (*label)[LABEL_ROOM]; /* [count] */
    int count;
    double *numbers; /* history, quantiles, median */
} shown;

typedef struct {
    FILE *to;
    char *text;
    size_t size;
    json_t *json; /* the list of series */
    picture_panel panels[PICTURE_PANELS];
    shown shown[PICTURE_PANELS];
    int count, left_out;
} output;

static void put_number(const run *r, FILE *f, double x) {
    char text[40];
    snprintf(text, sizeof text, "%.8g", x);
    char *point = r->o->decimal_comma ? strchr(text, '.') : NULL;
    if (point)
        *point = ',';
    fputs(text, f);
}

static void put_text(const run *r, FILE *f, const char *text) {
    if (!strpbrk(text, "\"\r\n") && !strchr(text, r->c.separator)) {
        fputs(text, f);
        return;
    }
    fputc('"', f);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', f);
        fputc(*text, f);
    }
    fputc('"', f);
}

static void put_head(const run *r, FILE *f) {
    char c = r->c.separator;
    if (r->d.whose >= 0) {
        put_text(r, f, r->c.name[r->d.whose]);
        fputc(c, f);
    }
    put_text(r, f, r->d.time < 0 ? "step" : r->c.name[r->d.time]);
    fprintf(f, "%ctarget%cmedian", c, c);
    for (int q = 0; q < r->levels.count; q++) {
        fputc(c, f);
        put_number(r, f, r->levels.level[q]);
    }
    fputc('\n', f);
}

static labels labels_at(const run *r, const job *j) {
    return r->d.time < 0 ? (labels){.kind = LABEL_OTHER} : labels_of(j->s->label, j->s->rows);
}

/* Of the step after the last value; rows that are in the file have their own. */
static void label_ahead(const job *j, const labels *l, int t, char text[LABEL_ROOM]) {
    if (j->s->label && j->length + t < j->s->rows)
        snprintf(text, LABEL_ROOM, "%s", j->s->label[j->length + t]);
    else
        labels_next(l, j->length + t - j->s->rows + 1, text);
    if (l->kind == LABEL_OTHER && !(j->s->label && j->length + t < j->s->rows))
        snprintf(text, LABEL_ROOM, "+%d", t + 1);
}

static void put_table(const run *r, const job *j, FILE *f) {
    const labels l = labels_at(r, j);
    char c = r->c.separator, label[LABEL_ROOM];
    int H = r->horizon, Q = r->levels.count;
    for (int v = 0; v < r->d.targets; v++)
        for (int t = 0; t < H; t++) {
            if (r->d.whose >= 0) {
                put_text(r, f, j->s->id);
                fputc(c, f);
            }
            label_ahead(j, &l, t, label);
            put_text(r, f, label);
            fputc(c, f);
            put_text(r, f, r->d.name[v]);
            fputc(c, f);
            put_number(r, f, j->median[v * H + t]);
            for (int q = 0; q < Q; q++) {
                fputc(c, f);
                put_number(r, f, j->quantiles[((size_t)v * (size_t)Q + (size_t)q) * (size_t)H + (size_t)t]);
            }
            fputc('\n', f);
        }
}

static json_t *must(json_t *json) {
    if (!json)
        die("a name or label in the file is not UTF-8, which JSON has to be; use --format csv");
    return json;
}

static json_t *numbers_of(const double *x, int count) {
    json_t *list = must(json_array());
    for (int i = 0; i < count; i++)
        json_array_append_new(list, isfinite(x[i]) ? json_real(x[i]) : json_null());
    return list;
}

static json_t *json_target(const run *r, const job *j, int v) {
    int H = r->horizon, Q = r->levels.count;
    json_t *target = must(json_object()), *list = must(json_array());
    json_object_set_new(target, "name", must(json_string(r->d.name[v])));
    json_object_set_new(target, "median", numbers_of(j->median + (size_t)v * (size_t)H, H));
    for (int q = 0; q < Q; q++)
        json_array_append_new(list,
                              numbers_of(j->quantiles + ((size_t)v * (size_t)Q + (size_t)q) * (size_t)H, H));
    json_object_set_new(target, "quantiles", list);
    return target;
}

static json_t *json_series(const run *r, const job *j) {
    const labels l = labels_at(r, j);
    json_t *series = must(json_object()), *times = must(json_array()), *targets = must(json_array());
    char label[LABEL_ROOM];
    if (r->d.whose >= 0)
        json_object_set_new(series, "series", must(json_string(j->s->id)));
    for (int t = 0; t < r->horizon; t++) {
        label_ahead(j, &l, t, label);
        json_array_append_new(times, must(json_string(label)));
    }
    json_object_set_new(series, "time", times);
    for (int v = 0; v < r->d.targets; v++)
        json_array_append_new(targets, json_target(r, j, v));
    json_object_set_new(series, "targets", targets);
    return series;
}

static void put_json(const run *r, const output *out) {
    json_t *whole = must(json_object());
    json_object_set_new(whole, "horizon", json_integer(r->horizon));
    json_object_set_new(whole, "levels", numbers_of(r->levels.level, r->levels.count));
    json_object_set(whole, "forecasts", out->json);
    if (json_dumpf(whole, out->to, JSON_COMPACT | JSON_REAL_PRECISION(9)))
        die("no memory for the JSON of %zu forecasts", json_array_size(out->json));
    fputc('\n', out->to);
    json_decref(whole);
}

/* ---- pictures ---- */

static const char *shown_label(const void *context, int at) {
    const shown *p = context;
    return at >= 0 && at < p->count ? p->label[at] : "";
}

static void label_panel(const run *r, const job *j, int from, shown *p) {
    const labels l = labels_at(r, j);
    p->count = j->length - from + r->horizon;
    p->label = need((size_t)p->count * sizeof *p->label);
    for (int i = 0; i < p->count; i++) {
        int t = from + i;
        if (t >= j->length)
            label_ahead(j, &l, t - j->length, p->label[i]);
        else if (j->s->label)
            snprintf(p->label[i], LABEL_ROOM, "%s", j->s->label[t]);
        else
            snprintf(p->label[i], LABEL_ROOM, "%d", t + 1);
    }
}

static void add_panel(const run *r, const job *j, int v, output *out) {
    size_t H = (size_t)r->horizon, Q = (size_t)r->levels.count;
    int most = 4 * r->horizon > 60 ? 4 * r->horizon : 60, from = j->length > most ? j->length - most : 0;
    size_t history = (size_t)(j->length - from);
    shown *p = &out->shown[out->count];
    p->title = need(strlen(j->s->id) + strlen(r->d.name[v]) + 4);
    sprintf(p->title, "%s%s%s", j->s->id, *j->s->id ? ": " : "", r->d.name[v]);
    label_panel(r, j, from, p);
    p->numbers = need((history + Q * H + H) * sizeof *p->numbers);
    double *quantiles = p->numbers + history, *median = quantiles + Q * H;
    memcpy(p->numbers, j->target + (size_t)v * (size_t)j->length + from, history * sizeof *median);
    memcpy(quantiles, j->quantiles + (size_t)v * Q * H, Q * H * sizeof *median);
    memcpy(median, j->median + (size_t)v * H, H * sizeof *median);
    out->panels[out->count++] = (picture_panel){.title = p->title,
                                                .history = (int)history,
                                                .steps = r->horizon,
                                                .levels = r->levels.count,
                                                .value = p->numbers,
                                                .quantiles = quantiles,
                                                .median = median,
                                                .level = r->levels.level,
                                                .label = shown_label,
                                                .context = p};
}

static void drop_panels(output *out) {
    for (int i = 0; i < out->count; i++) {
        free(out->shown[i].title);
        free(out->shown[i].label);
        free(out->shown[i].numbers);
    }
}

static void draw(const run *r, const output *out) {
    char why[PICTURE_WHY];
    if (out->left_out && !r->o->quiet)
        fprintf(stderr, "%s: the picture shows the first %d of %d\n", program_invocation_short_name,
                out->count, out->count + out->left_out);
    if (!picture_write(r->o->plot, out->panels, out->count, why))
        die("--plot: %s", why);
}

/* ---- forecasts ---- */

static void use_forecast(run *r, const job *j, void *context) {
    output *out = context;
    if (r->o->form == FORM_JSON)
        json_array_append_new(out->json, json_series(r, j));
    else
        put_table(r, j, out->to);
    for (int v = 0; r->o->plot && v < r->d.targets; v++)
        if (out->count < PICTURE_PANELS)
            add_panel(r, j, v, out);
        else
            out->left_out++;
}

static void open_output(const run *r, output *out) {
    out->to = r->o->output ? open_memstream(&out->text, &out->size) : stdout;
    if (!out->to)
        die("no memory for the forecast");
    if (r->o->form == FORM_JSON)
        out->json = must(json_array());
    else
        put_head(r, out->to);
}

static void end_table(const run *r, output *out) {
    if (out->json)
        put_json(r, out);
    json_decref(out->json);
    if (!r->o->output)
        return;
    if (fclose(out->to))
        die("no memory for the forecast");
    check(xlstm_file_write(r->o->output, out->text, out->size));
    free(out->text);
}

static void forecast(run *r) {
    output out = {0};
    job *jobs = need((size_t)r->d.count * sizeof *jobs);
    for (int i = 0; i < r->d.count; i++)
        jobs[i] = (job){.s = &r->d.series[i],
                        .length = r->d.series[i].length ? r->d.series[i].length : r->d.series[i].rows};
    open_output(r, &out);
    run_all(r, jobs, r->d.count, use_forecast, &out);
    end_table(r, &out);
    if (out.count)
        draw(r, &out);
    drop_panels(&out);
    free(jobs);
}

/* ---- backtests ---- */

typedef struct {
    score model, simple[BASELINES];
    int windows, season, seasons_differ;
} backtest;

static void use_backtest(run *r, const job *j, void *context) {
    backtest *b = context;
    int H = r->horizon, T = j->length;
    size_t said = (size_t)r->levels.count * (size_t)H;
    double *value = need((size_t)H * sizeof *value),
           *quantiles = need((said + (size_t)H) * sizeof *quantiles);
    for (int v = 0; v < r->d.targets; v++) {
        const double *history = j->target + (size_t)v * (size_t)T;
        int season = r->o->season ? r->o->season : season_guess(history, T);
        b->seasons_differ |= b->windows && season != b->season;
        b->season = season;
        b->windows++;
        dataset_column(&r->d, j->s, v, T, H, value);
        score_add(&b->model, history, T, season, value, H, j->quantiles + (size_t)v * said,
                  j->median + (size_t)v * (size_t)H, r->levels);
        for (int k = 0; k < BASELINES; k++) {
            baseline_forecast((baseline)k, history, T, season, H, r->levels, quantiles, quantiles + said);
            score_add(&b->simple[k], history, T, season, value, H, quantiles, quantiles + said, r->levels);
        }
    }
    free(value);
    free(quantiles);
}

/* NaN: there was nothing to measure by. */
static void print_measure(double x, int digits) {
    if (isfinite(x))
        printf(" %9.*f", digits, x);
    else
        printf(" %9s", "-");
}

static void print_score(const run *r, const char *name, const score *s) {
    printf("%-16s", name);
    print_measure(score_mase(s), 4);
    print_measure(score_wql(s, r->levels.count), 4);
    print_measure(score_coverage(s), 3);
    putchar('\n');
}

static void print_backtest(const run *r, const backtest *b) {
    double inside = r->levels.level[r->levels.count - 1] - r->levels.level[0];
    printf("%d forecasts of %d steps; ", b->windows, r->horizon);
    if (b->seasons_differ)
        printf("seasons guessed from the autocorrelation, the last %d\n", b->season);
    else
        printf("season %d%s\n", b->season, r->o->season ? "" : ", guessed from the autocorrelation");
    printf("%-16s %9s %9s %9s\n", "", "MASE", "WQL", "coverage");
    print_score(r, "model", &b->model);
    for (int k = 0; k < BASELINES; k++)
        print_score(r, baseline_names[k], &b->simple[k]);
    printf("(MASE and WQL: less is better; coverage should be %.3g)\n", inside);
}

/* The first origin has something before it. */
static void check_lengths(const run *r) {
    for (int i = 0; i < r->d.count; i++) {
        const dataset_series *s = &r->d.series[i];
        if (s->length - (int64_t)r->o->backtest * r->horizon < 2)
            die("%s: %d values are too few for %d horizons of %d steps and something before them; ask for "
                "less",
                name_of(r, s), s->length, r->o->backtest, r->horizon);
    }
}

static void run_backtest(run *r) {
    backtest b = {0};
    int N = r->o->backtest, count = 0;
    check_lengths(r);
    job *jobs = need((size_t)r->d.count * (size_t)N * sizeof *jobs);
    for (int i = 0; i < r->d.count; i++)
        for (int k = N; k >= 1; k--)
            jobs[count++] = (job){.s = &r->d.series[i], .length = r->d.series[i].length - k * r->horizon};
    run_all(r, jobs, count, use_backtest, &b);
    print_backtest(r, &b);
    free(jobs);
}

/* ---- the program ---- */

static void check_options(const options *o) {
    if (strcmp(o->file, "-") != 0)
        check_readable(o->file);
    if (o->plot && !picture_has_form(o->plot))
        die("--plot is \"%s\"; the name of a picture ends with .svg, .png or .html", o->plot);
    if (o->backtest && (o->plot || o->output))
        die("--backtest prints a table of measures; leave out --plot and --output");
    for (int i = 0; i < 2; i++) {
        const char *path = i ? o->plot : o->output;
        if (path && same_file(path, o->file))
            die("--%s would replace %s, which is read; give another name", i ? "plot" : "output", o->file);
    }
}

int main(int argc, char **argv) {
    options o = {0};
    run r = {.o = &o};
    read_options(&o, &table, argc, argv);
    check_options(&o);
    if (o.threads)
        check(xlstm_set_threads(o.threads));
    read_table(&r);
    choose_horizon(&r);
    check_future(&r);
    load(&r);
    if (o.backtest)
        run_backtest(&r);
    else
        forecast(&r);
    xlstm_forecaster_free(r.forecaster);
    xlstm_forecast_model_free(r.model);
    dataset_close(&r.d);
    csv_close(&r.c);
    free(r.text);
    return r.failed ? 2 : 0;
}
