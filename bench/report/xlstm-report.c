/* xlstm-report: reads result files, one per run, and writes one HTML page that needs nothing else, and the
 * same tables in Markdown. */
#include "report.h"

#define FIELD(field) OPTION_FIELD(report, field)
static const option rows[] = {
    {"FOLDER", OPTION_ARGUMENT, FIELD(folders), .help = "every *.json of it is one run"},
    {"out", 'o', FIELD(out), "FILE", .path = OPTION_WRITE, .own = "<title>" TITLE "</title>",
     .initial = "report.html", .help = "the page"},
    {"markdown", 0, FIELD(markdown), "FILE", .path = OPTION_WRITE, .own = "# " TITLE "\n",
     .help = "the tables in Markdown, too"},
    {"speed", 0, FIELD(speed_path), "FILE", .path = OPTION_READ, .help = "what xlstm-speed --json wrote"},
    {0}};

static const option_table table = {
    .doc = "Merges results of xlstm-lm, xlstm-nns, xlstm-tasks and bench/peers/train.py into one page.\v"
           "The page needs no other file and no network.",
    .rows = rows};

/* ---- output: made in memory, and written when it is whole ---- */

typedef struct {
    char *text;
    size_t size;
    FILE *f;
} output;

static void open_output(output *o) {
    o->f = open_memstream(&o->text, &o->size);
    if (!o->f)
        die("no memory for the page");
}

/* path: NULL, nowhere */
static void put(output *o, const char *path) {
    if (fclose(o->f))
        die("no memory for the page");
    if (path)
        check(xlstm_file_write(path, o->text, o->size));
    free(o->text);
}

/* Before anything is written. */
static void check_outputs(const report *r) {
    if (r->speed_path)
        check_input(r, r->speed_path);
}

int main(int argc, char **argv) {
    report *r = need(sizeof *r);
    read_options(r, &table, argc, argv);
    for (int i = 0; i < r->folders.count; i++)
        add_folder(r, r->folders.of[i]);
    if (!r->results)
        die("there are no results; give the folder that --out of the programs named");
    if (r->speed_path)
        read_speed(r);
    check_outputs(r);
    merge(r);
    output page, tables;
    open_output(&page);
    open_output(&tables);
    writer w = {.html = page.f, .md = tables.f};
    write_page(r, &w);
    put(&page, r->out);
    put(&tables, r->markdown);
    for (int i = 0; i < r->results; i++) {
        free(r->result[i].path);
        json_decref(r->result[i].j);
    }
    json_decref(r->speed);
    free(r);
    return 0;
}
