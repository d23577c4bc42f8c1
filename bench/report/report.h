/* report.h - what xlstm-report is made of: results merged into groups of runs, tables, plots. */
#ifndef REPORT_H
#define REPORT_H

#include "bench.h"
#include "paths.h"
#include <math.h>
#include <stdio.h>

#define TITLE "xLSTM compared" /* of the page and of its tables in Markdown */

enum { MAX_RUNS = 1024, MAX_GROUPS = 64 };

typedef struct {
    char *path;
    json_t *j;
} file_result;

/* The runs of one model on one task, seed after seed. */
typedef struct {
    const result_kind *kind;
    const char *model;
    const file_result *run[MAX_RUNS];
    int runs;
} group;

typedef struct {
    const char *out, *markdown, *speed_path;
    option_words folders;
    file_result result[MAX_RUNS];
    int results;
    group groups[MAX_GROUPS];
    int count;
    json_t *speed;
} report;

/* ---- reading and merging (report_merge.c): what cannot be merged honestly is refused by name ---- */

/* Every *.json of it. */
void add_folder(report *r, const char *dir);
/* Refuses what is to be read and would be written over. */
void check_input(const report *r, const char *path);
/* Results into groups, in the order in which tables have them. */
void merge(report *r);

const group *first_of(const report *r, const result_kind *kind);               /* or NULL */
const group *find_group(const report *r, const char *task, const char *model); /* or NULL */
/* Of the models whose name begins so (xlstm, xlstm@7:1, ...) the one that is best in validation, or NULL. */
const group *best_group(const report *r, const char *task, const char *begins);
int is_official(const group *g);

typedef struct {
    double mean, spread; /* standard deviation of a sample; NaN for one seed */
    int count;
} statistic;
/* Of a number of each result; NaN where none has it. */
statistic over_seeds(const group *g, const char *path);

/* ---- writing (report_write.c): one table is HTML in the page, and Markdown beside ---- */

typedef struct {
    FILE *html, *md;
    int columns, column; /* of the table; of the next cell in its row */
} writer;

enum { CELL = 64 };
/* Mean and spread for people. */
void cell(char text[CELL], statistic s, int digits);
void escaped(FILE *html, const char *text);
void heading(const writer *w, const char *text);
void paragraph(const writer *w, const char *text);
/* A table: its heads, table_headed(), then rows of cells. The first cell of a row says what the row is of. */
void table_begin(writer *w, const char *label);
void table_head(writer *w, const char *text);
void table_headed(const writer *w);
void table_row(writer *w);
void table_cell(writer *w, const char *text);
void table_end(const writer *w);

/* ---- the parts of the page ---- */

/* The thesis's figures beside these (report_tables.c). */
void headline(const report *r, writer *w);
/* A task's table, and under it what one has to know to read it; the task has results. */
void task_tables(const report *r, const result_kind *kind, writer *w);
/* Its plots (report_plots.c). */
void task_plots(const report *r, const result_kind *kind, FILE *html);
/* All of it (report_page.c). */
void write_page(const report *r, writer *w);
/* What xlstm-speed wrote (report_speed.c). */
void read_speed(report *r);
void speed_section(const report *r, writer *w);

#endif
