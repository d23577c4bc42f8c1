/* report_speed.c - rows of xlstm-speed that differ in nothing but their length are one curve; what else they
 * differ in is in its name. */
#include "plot.h"
#include "report.h"
#include <sys/stat.h>

void read_speed(report *r) {
    char why[RESULT_WHY];
    json_error_t error;
    struct stat is;
    if (!stat(r->speed_path, &is) && S_ISDIR(is.st_mode))
        die("%s cannot be read (it is a folder); give the file that xlstm-speed --json wrote", r->speed_path);
    r->speed = json_load_file(r->speed_path, 0, &error);
    if (!r->speed || strcmp(result_text(r->speed, "task"), "speed") ||
        !json_is_array(result_at(r->speed, "rows")))
        die("%s is not what xlstm-speed --json writes%s%s", r->speed_path, r->speed ? "" : ": ",
            r->speed ? "" : error.text);
    if (result_number(r->speed, "schema") != SPEED_SCHEMA)
        die("%s is of another version of xlstm-speed; its schema must be %d: run xlstm-speed --json again",
            r->speed_path, SPEED_SCHEMA);
    if (!speed_has_all(r->speed, why))
        die("%s is damaged (%s); run xlstm-speed --json again", r->speed_path, why);
}

/* ---- rows and curves ---- */

static int is_row(const json_t *row, const char *measure) {
    return !strcmp(result_text(row, "measure"), measure) && !isnan(result_number(row, "tokens_per_second"));
}

/* Whether the drawn rows have more than one value of a field. */
static int varies(const json_t *rows, const char *field) {
    const json_t *first = NULL;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i), *at = result_at(row, field);
        if (!is_row(row, "train"))
            continue;
        if (first && !json_equal(first, at))
            return 1;
        first = at;
    }
    return 0;
}

enum { NAME = 96 };
static void row_name(char name[NAME], const json_t *rows, const json_t *row) {
    int n = snprintf(name, NAME, "%.30s %.12s %.12s", result_text(row, "model"), result_text(row, "by"),
                     result_text(row, "shape"));
    if (varies(rows, "weights"))
        n += snprintf(name + n, (size_t)(NAME - n), " %.8s", result_text(row, "weights"));
    if (varies(rows, "threads"))
        snprintf(name + n, (size_t)(NAME - n), ", threads %.0f", result_number(row, "threads"));
}

typedef struct {
    const json_t *rows, *found[64];
    int count;
} series_rows;

static int by_time(const void *a, const void *b) {
    double x = result_number(*(const json_t *const *)a, "time");
    double y = result_number(*(const json_t *const *)b, "time");
    return (x > y) - (x < y);
}

/* Rows of one name, shortest first. @param first where the name stands first; elsewhere nothing is found */
static series_rows rows_of(const json_t *rows, size_t first) {
    series_rows s = {.rows = rows};
    char name[NAME], its[NAME];
    if (!is_row(json_array_get(rows, first), "train")) /* of the same name, and not drawn */
        return s;
    row_name(name, rows, json_array_get(rows, first));
    for (size_t i = 0; i < json_array_size(rows) && s.count < 64; i++) {
        const json_t *row = json_array_get(rows, i);
        row_name(its, rows, row);
        if (!is_row(row, "train") || strcmp(name, its))
            continue;
        if (i < first)
            return (series_rows){0};
        s.found[s.count++] = row;
    }
    qsort(s.found, (size_t)s.count, sizeof *s.found, by_time);
    return s;
}

/* One length is no curve. */
static int is_curve(const series_rows *s) {
    return s->count && by_time(&s->found[0], &s->found[s->count - 1]) < 0;
}

/* Where lengths were measured, and nowhere else. */
static void write_ticks(const json_t *rows, FILE *f) {
    const char *comma = "";
    double least = INFINITY, most = 0;
    fputs("xtics (", f);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        series_rows s = rows_of(rows, i);
        for (int k = 0; is_curve(&s) && k < s.count; k++, comma = ", ") {
            double time = result_number(s.found[k], "time");
            least = fmin(least, time);
            most = fmax(most, time);
            fprintf(f, "%s%.0f", comma, time);
        }
    }
    fprintf(f, ") rotate by -45\nset logscale x\nset xrange [%g:%g]\nset yrange [0:*]\n", least / 1.2,
            most * 1.2);
    fputs("set format y \"%.0f\"", f);
}

/* With --lengths a step has as many streams as fill the longest; the batch falls as rows grow. */
static void write_length_label(const json_t *rows, char label[NAME]) {
    double least = INFINITY, most = 0;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        series_rows s = rows_of(rows, i);
        for (int k = 0; is_curve(&s) && k < s.count; k++) {
            double step = result_number(s.found[k], "batch") * result_number(s.found[k], "time");
            least = fmin(least, step);
            most = fmax(most, step);
        }
    }
    if (least == most)
        snprintf(label, NAME, "length in tokens; batch × length is %.0f", most);
    else
        snprintf(label, NAME, "length in tokens; batch × length is %.0f to %.0f", least, most);
}

static void speed_against_length(const json_t *rows, const char *field, double per, const char *title,
                                 const char *unit, FILE *html) {
    char label[NAME], name[NAME], *set = NULL;
    int curves = 0;
    write_length_label(rows, label);
    plot *p = plot_begin(title, label, unit, PLOT_LINES);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        series_rows s = rows_of(rows, i);
        if (!is_curve(&s))
            continue;
        row_name(name, rows, s.found[0]);
        plot_series(p, name, curves++);
        for (int k = 0; k < s.count; k++)
            plot_point(p, result_number(s.found[k], "time"), result_number(s.found[k], field) / per);
    }
    size_t size;
    FILE *f = open_memstream(&set, &size);
    write_ticks(rows, f);
    fclose(f);
    if (curves)
        plot_end(p, html, set);
    else
        plot_drop(p);
    free(set);
}

/* ---- the section ---- */

static void speed_row(const json_t *row, writer *w) {
    static const char *const texts[] = {"model", "by", "measure", "shape", "weights"};
    /* Decoding is one stream, whatever the batch of the shape is. */
    int decode = !strcmp(result_text(row, "measure"), "decode");
    const double numbers[] = {result_number(row, "threads"), decode ? 1 : result_number(row, "batch"),
                              result_number(row, "time"), result_number(row, "tokens_per_second"),
                              result_number(row, "peak_bytes") / 1e6};
    char text[CELL];
    table_row(w);
    for (int k = 0; k < 5; k++)
        table_cell(w, result_text(row, texts[k]));
    for (int k = 0; k < 5; k++) {
        cell(text, (statistic){numbers[k], NAN, 1}, 0);
        table_cell(w, text);
    }
}

static void speed_machine(const report *r, const writer *w) {
    double threads = result_number(r->speed, "threads"), flops = result_number(r->speed, "sgemm_flops");
    char text[256], sgemm[64] = "";
    if (isfinite(flops))
        snprintf(sgemm, sizeof sgemm, "sgemm %.0f GFLOP/s, ", flops / 1e9);
    snprintf(text, sizeof text, "Medians on %.0f thread%s; %smemory read %.1f GB/s on this machine.", threads,
             threads == 1 ? "" : "s", sgemm, result_number(r->speed, "read_bytes_per_second") / 1e9);
    paragraph(w, text);
}

void speed_section(const report *r, writer *w) {
    static const char *const heads[] = {"model",   "by",    "measure", "shape",    "weights",
                                        "threads", "batch", "time",    "tokens/s", "peak MB"};
    const json_t *rows = result_at(r->speed, "rows");
    heading(w, "Speed and memory");
    speed_machine(r, w);
    table_begin(w, "Speed and memory");
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        table_head(w, heads[i]);
    table_headed(w);
    for (size_t i = 0; i < json_array_size(rows); i++)
        speed_row(json_array_get(rows, i), w);
    table_end(w);
    speed_against_length(rows, "tokens_per_second", 1, "Training speed against length", "tokens/s", w->html);
    speed_against_length(rows, "peak_bytes", 1e6, "Peak memory in training against length", "MB", w->html);
}
