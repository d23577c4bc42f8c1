/* xlstm-report: reads result files, one per run, and writes one HTML page that needs nothing else, and the
 * same tables in Markdown. */
#include "report.h"

#define FIELD(field) OPTION_FIELD(report, field)
static const option rows[] = {
    {"FOLDER", OPTION_ARGUMENT, FIELD(folders), .help = "every *.json of it is one run"},
    {"out", 'o', FIELD(out), "FILE", .initial = "report.html", .help = "the page"},
    {"markdown", 0, FIELD(markdown), "FILE", .help = "the tables in Markdown, too"},
    {"speed", 0, FIELD(speed_path), "FILE", .help = "what xlstm-speed --json wrote"},
    {0}};

static const option_table table = {
    .doc = "Merges results of xlstm-lm, xlstm-nns, xlstm-tasks and bench/peers/train.py into one page.\v"
           "The page needs no other file and no network.",
    .rows = rows};

/* ---- output: a file is written beside, and renamed when it is whole ---- */

typedef struct {
    const char *path;
    char *unfinished; /* NULL: nothing is to be written, or it is in its place */
    FILE *f;
} output;
static output page, tables;

static void remove_unfinished(void) {
    if (page.unfinished)
        remove(page.unfinished);
    if (tables.unfinished)
        remove(tables.unfinished);
}

static void open_output(output *o, const char *path) {
    o->path = path;
    o->f = open_beside(path, &o->unfinished);
}

static void put(output *o) {
    if (fflush(o->f) || fclose(o->f) || rename(o->unfinished, o->path))
        die("%s cannot be written (%s)", o->path, strerror(errno));
    free(o->unfinished);
    o->unfinished = NULL;
}

/* Before anything is written. */
static void check_outputs(const report *r) {
    if (r->markdown && same_file(r->out, r->markdown))
        die("--out and --markdown are the same file, %s; give two", r->out);
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
    atexit(remove_unfinished);
    open_output(&page, r->out);
    if (r->markdown)
        open_output(&tables, r->markdown);
    writer w = {.html = page.f, .md = r->markdown ? tables.f : fopen("/dev/null", "w")};
    if (!w.md)
        die("/dev/null cannot be opened (%s)", strerror(errno));
    write_page(r, &w);
    put(&page);
    if (r->markdown)
        put(&tables);
    else
        fclose(w.md);
    for (int i = 0; i < r->results; i++) {
        free(r->result[i].path);
        json_decref(r->result[i].j);
    }
    json_decref(r->speed);
    free(r);
    return 0;
}
