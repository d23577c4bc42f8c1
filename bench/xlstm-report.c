/* xlstm-report: reads result files, one per run, and writes one HTML page that needs nothing else, and the
 * same tables in Markdown. What cannot be merged honestly is refused by name. */
#include "bench.h"
#include "plot.h"
#include <argp.h>
#include <dirent.h>
#include <math.h>
#include <sys/stat.h>

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
    file_result result[MAX_RUNS];
    int results;
    group groups[MAX_GROUPS];
    int count;
    json_t *speed;
} report;

/* ---- options ---- */

enum { OPT_MARKDOWN = 1000, OPT_SPEED };
static const struct argp_option argp_options[] = {
    {"out", 'o', "FILE", 0, "the page (default: report.html)", 0},
    {"markdown", OPT_MARKDOWN, "FILE", 0, "the tables in Markdown, too", 0},
    {"speed", OPT_SPEED, "FILE", 0, "what xlstm-speed --json wrote", 0},
    {0}};

static void add_file(report *r, const char *path);

static void add_folder(report *r, const char *dir) {
    struct dirent **names;
    int n = scandir(dir, &names, NULL, alphasort);
    if (n < 0)
        die("%s cannot be read (%s); give the folder that --out of the programs named", dir, strerror(errno));
    for (int i = 0; i < n; i++) {
        size_t length = strlen(names[i]->d_name);
        if (length > 5 && !strcmp(names[i]->d_name + length - 5, ".json")) {
            char *path = join(dir, names[i]->d_name, "");
            add_file(r, path);
            free(path);
        }
        free(names[i]);
    }
    free(names);
}

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    report *r = state->input;
    switch (key) {
    case 'o':
        r->out = arg;
        return 0;
    case OPT_MARKDOWN:
        r->markdown = arg;
        return 0;
    case OPT_SPEED:
        r->speed_path = arg;
        return 0;
    case ARGP_KEY_ARG:
        add_folder(r, arg);
        return 0;
    }
    return ARGP_ERR_UNKNOWN;
}

/* ---- reading and merging ---- */

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* TASK-...-sN.json: what the programs that train would write again, if it is damaged. */
static int has_result_name(const char *path) {
    const char *name = base_name(path);
    const char *seed = strrchr(name, '-');
    size_t task = strcspn(name, "-"), digits = seed && seed[1] == 's' ? strspn(seed + 2, "0123456789") : 0;
    const result_kind *kind;
    for (int i = 0; digits && !strcmp(seed + 2 + digits, ".json") && (kind = result_kind_at(i)); i++)
        if (strlen(kind->name) == task && !strncmp(kind->name, name, task) && seed > name + task)
            return 1;
    return 0;
}

/* The same file, though its names may differ, and though it may not be there yet. */
static int same_file(const char *a, const char *b) {
    char *where[2];
    const char *const path[] = {a, b};
    for (int i = 0; i < 2; i++) {
        char *folder = strcpy(need(strlen(path[i]) + 2), path[i]), *slash = strrchr(folder, '/');
        strcpy(slash ? slash + 1 : folder, ".");
        char *real = realpath(folder, NULL);
        where[i] = join(real ? real : folder, base_name(path[i]), "");
        free(real);
        free(folder);
    }
    int same = !strcmp(where[0], where[1]);
    struct stat x, y;
    same |=
        !stat(a, &x) && !stat(b, &y) && S_ISREG(x.st_mode) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
    free(where[0]);
    free(where[1]);
    return same;
}

/* Nothing that is read is written over. */
static void check_input(const report *r, const char *path) {
    if (same_file(path, r->out) || (r->markdown && same_file(path, r->markdown)))
        die("%s is among the files that the report is made of; give --out and --markdown another place",
            path);
}

static void add_file(report *r, const char *path) {
    char why[RESULT_WHY];
    json_t *j;
    check_input(r, path);
    for (int i = 0; i < r->results; i++)
        if (same_file(r->result[i].path, path))
            return; /* a folder that is named twice */
    result_status status = result_read(&j, path, why);
    if (status == RESULT_DAMAGED && !has_result_name(path)) {
        fprintf(stderr, "xlstm-report: %s is left out, and left alone: %s\n", path, why);
        return;
    }
    if (status == RESULT_FOREIGN) {
        fprintf(stderr, "xlstm-report: %s is left out: %s\n", path, why);
        return;
    }
    if (status == RESULT_DAMAGED) {
        result_set_aside(path, why);
        return;
    }
    if (status != RESULT_OK)
        die("%s: %s", path, why);
    if (r->results == MAX_RUNS)
        die("%s is one more than the %d results that a report can have", path, MAX_RUNS);
    r->result[r->results++] = (file_result){strcpy(need(strlen(path) + 1), path), j};
}

static group *group_of(report *r, const file_result *f) {
    const char *task = result_text(f->j, "setup.task"), *model = result_text(f->j, "setup.model.name");
    for (int i = 0; i < r->count; i++)
        if (!strcmp(r->groups[i].kind->name, task) && !strcmp(r->groups[i].model, model))
            return &r->groups[i];
    if (r->count == MAX_GROUPS)
        die("%s: there are more than %d models", f->path, MAX_GROUPS);
    r->groups[r->count] = (group){.kind = result_kind_find(task), .model = model};
    return &r->groups[r->count++];
}

/* Whether two setups of one task differ in the seed at most. */
static int same_but_seed(const json_t *a, const json_t *b, char says[RESULT_DIFFERENCE]) {
    static const char *const parts[] = {"preset", "model", "training"};
    for (int i = 0; i < 3; i++)
        if (!result_same(result_at(a, parts[i]), result_at(b, parts[i]), says))
            return 0;
    return 1;
}

/* Runs of a task must have had the same data, and those of a model everything but the seed. */
static void check_merge(const report *r, const file_result *f) {
    char says[RESULT_DIFFERENCE];
    for (const file_result *g = r->result; g < f; g++) {
        const json_t *a = result_at(f->j, "setup"), *b = result_at(g->j, "setup");
        if (strcmp(result_text(a, "task"), result_text(b, "task")))
            continue;
        if (!result_same(result_at(a, "data"), result_at(b, "data"), says))
            die("%s had other data than %s%s (%s), so they cannot be merged; keep them in folders of their "
                "own",
                f->path, g->path,
                strcmp(result_text(a, "task"), "lm") ? "" : "; the corpus has changed between them", says);
        if (strcmp(result_text(a, "model.name"), result_text(b, "model.name")))
            continue;
        if (!same_but_seed(a, b, says))
            die("%s had other settings than %s (%s), so they cannot be merged; keep them in folders of their "
                "own",
                f->path, g->path, says);
        if (result_number(a, "seed") == result_number(b, "seed"))
            die("%s is the same run as %s; remove one", f->path, g->path);
    }
}

/* Ours, the official package behind; lstm-res ahead of lstm, with which its name begins. */
static int rank_of(const char *model) {
    static const char *const order[] = {"xlstm", "lstm-res", "lstm", "transformer", "official"};
    for (int i = 0; i < 5; i++)
        if (!strncmp(model, order[i], strlen(order[i])))
            return i;
    return 5;
}

static int compare_groups(const void *a, const void *b) {
    const group *x = a, *y = b;
    int by = rank_of(x->model) - rank_of(y->model);
    return by ? by : strcmp(x->model, y->model);
}

static int compare_seeds(const void *a, const void *b) {
    const file_result *const *x = a, *const *y = b;
    double d = result_number((*x)->j, "setup.seed") - result_number((*y)->j, "setup.seed");
    return (d > 0) - (d < 0);
}

static void merge(report *r) {
    for (int i = 0; i < r->results; i++) {
        check_merge(r, &r->result[i]);
        group *g = group_of(r, &r->result[i]);
        g->run[g->runs++] = &r->result[i];
    }
    qsort(r->groups, (size_t)r->count, sizeof *r->groups, compare_groups);
    for (int i = 0; i < r->count; i++)
        qsort(r->groups[i].run, (size_t)r->groups[i].runs, sizeof *r->groups[i].run, compare_seeds);
}

/* ---- numbers over seeds ---- */

typedef struct {
    double mean, spread; /* standard deviation of a sample; NaN for one seed */
    int count;
} statistic;

static statistic over_seeds(const group *g, const char *path) {
    statistic s = {0, 0, 0};
    for (int i = 0; i < g->runs; i++) {
        double x = result_number(g->run[i]->j, path);
        if (isnan(x))
            continue;
        double step = x - s.mean;
        s.count++;
        s.mean += step / s.count;
        s.spread += step * (x - s.mean);
    }
    s.spread = s.count > 1 ? sqrt(s.spread / (s.count - 1)) : NAN;
    if (!s.count)
        s.mean = NAN;
    return s;
}

enum { CELL = 64 };

/* No decimals where they say nothing (@param scale the figure that decides), no "-0.0", and a perplexity of
 * 1e256 as that and not in 256 digits. */
static void figure(char text[CELL / 2 - 2], double x, double scale, int digits) {
    digits = fabs(scale) >= 1000 ? 0 : digits;
    if (fabs(x) >= 1e7)
        snprintf(text, CELL / 2 - 2, "%.3g", x);
    else
        snprintf(text, CELL / 2 - 2, "%.*f", digits, fabs(x) < 0.5 * pow(10, -digits) ? 0 : x);
}

static void cell(char text[CELL], statistic s, int digits) {
    char mean[CELL / 2 - 2], spread[CELL / 2 - 2];
    figure(mean, s.mean, s.mean, digits);
    figure(spread, s.spread, s.mean, digits);
    if (isnan(s.mean))
        snprintf(text, CELL, "–");
    else if (isnan(s.spread))
        snprintf(text, CELL, "%s", mean);
    else
        snprintf(text, CELL, "%s ± %s", mean, spread);
}

/* ---- writing: one table is HTML in the page, and Markdown beside ---- */

typedef struct {
    FILE *html, *md;
    int columns, column; /* of the table; of the next cell in its row */
} writer;

static void escaped(FILE *f, const char *text) {
    for (; *text; text++)
        switch (*text) {
        case '<':
            fputs("&lt;", f);
            break;
        case '>':
            fputs("&gt;", f);
            break;
        case '&':
            fputs("&amp;", f);
            break;
        case '"':
            fputs("&quot;", f);
            break;
        default:
            fputc(*text, f);
        }
}

static void heading(const writer *w, const char *text) {
    fputs("<h2>", w->html);
    escaped(w->html, text);
    fputs("</h2>\n", w->html);
    fprintf(w->md, "\n## %s\n", text);
}

static void paragraph(const writer *w, const char *text) {
    fputs("<p>", w->html);
    escaped(w->html, text);
    fputs("</p>\n", w->html);
    fprintf(w->md, "\n%s\n", text);
}

static void table_begin(writer *w, const char *label) {
    w->columns = 0;
    fputs("<div class=\"wide\"><table aria-label=\"", w->html);
    escaped(w->html, label);
    fputs("\">\n<tr>", w->html);
    fputs("\n|", w->md);
}

static void table_head(writer *w, const char *text) {
    w->columns++;
    fputs("<th scope=\"col\">", w->html);
    escaped(w->html, text);
    fputs("</th>", w->html);
    fprintf(w->md, " %s |", text);
}

static void table_row(writer *w) {
    w->column = 0;
    fputs("\n<tr>", w->html);
    fputs("\n|", w->md);
}

static void table_headed(const writer *w) {
    fputs("\n|", w->md);
    for (int i = 0; i < w->columns; i++)
        fputs(i ? "---:|" : "---|", w->md);
}

/* The first cell of a row says what the row is of. */
static void table_cell(writer *w, const char *text) {
    int head = w->column++ == 0;
    fputs(head ? "<th scope=\"row\">" : "<td>", w->html);
    escaped(w->html, text);
    fputs(head ? "</th>" : "</td>", w->html);
    fprintf(w->md, " %s |", text);
}

static void table_end(const writer *w) {
    fputs("\n</table></div>\n", w->html);
    fputs("\n", w->md);
}

/* ---- groups ---- */

static const group *first_of(const report *r, const result_kind *kind) {
    for (int i = 0; i < r->count; i++)
        if (r->groups[i].kind == kind)
            return &r->groups[i];
    return NULL;
}

static int is_official(const group *g) {
    return !strncmp(g->model, "official", 8);
}

/* ---- tables ---- */

static const struct {
    const char *model, *says;
    double perplexity[4];
} thesis[] = {{"lstm", "LSTM", {205115, 8215.5, 104.6, 2031.2}},
              {"official", "official xLSTM package", {57969, 706.3, 17.0, 327.2}},
              {"xlstm", "from-scratch xLSTM", {51352, 614.4, 17.8, 313.4}},
              {"transformer", "Transformer", {56597, 656.5, 18.3, 331.5}}};

static const group *find_group(const report *r, const char *task, const char *model) {
    for (int i = 0; i < r->count; i++)
        if (!strcmp(r->groups[i].kind->name, task) && !strcmp(r->groups[i].model, model))
            return &r->groups[i];
    return NULL;
}

/* Of the models whose name begins so (xlstm, xlstm@7:1, ...) the one that is best in validation. */
static const group *best_group(const report *r, const char *task, const char *begins) {
    const group *best = NULL;
    double least = INFINITY;
    size_t n = strlen(begins);
    for (int i = 0; i < r->count; i++) {
        const group *g = &r->groups[i];
        if (strcmp(g->kind->name, task) || strncmp(g->model, begins, n) ||
            (g->model[n] && g->model[n] != '@'))
            continue;
        double loss = over_seeds(g, "outcome.best_valid_loss").mean;
        if (!best || loss < least || (isnan(least) && !isnan(loss))) {
            best = g;
            least = loss;
        }
    }
    return best;
}

static int same_machine(const file_result *a, const file_result *b) {
    return !strcmp(result_text(a->j, "machine.cpu"), result_text(b->j, "machine.cpu")) &&
           result_number(a->j, "machine.threads") == result_number(b->j, "machine.threads");
}

static int one_machine(const group *g, const file_result *as) {
    for (int i = 0; i < g->runs; i++)
        if (!same_machine(as, g->run[i]))
            return 0;
    return 1;
}

/* Where the seconds and tokens per second are from. */
static void where_cell(const group *g, writer *w) {
    char text[128];
    double threads = result_number(g->run[0]->j, "machine.threads");
    snprintf(text, sizeof text, "%.80s, %.0f thread%s%s", result_text(g->run[0]->j, "machine.cpu"), threads,
             threads == 1 ? "" : "s", one_machine(g, g->run[0]) ? "" : "; and others");
    table_cell(w, text);
}

static int count_blocks(const group *g, const char *kind) {
    const json_t *blocks = result_at(g->run[0]->j, "setup.model.blocks");
    int n = 0;
    for (size_t i = 0; i < json_array_size(blocks); i++)
        n += !strcmp(result_text(json_array_get(blocks, i), ""), kind);
    return n;
}

/* A system of the thesis, and what of it is here: "LSTM" alone does not say that. */
static void system_cell(const char *says, const group *g, writer *w) {
    int m = g ? count_blocks(g, "mlstm") : 0, s = g ? count_blocks(g, "slstm") : 0;
    char here[64] = "", text[128];
    if (m && s)
        snprintf(here, sizeof here, "%d mLSTM and %d sLSTM blocks", m, s);
    else if (m || s)
        snprintf(here, sizeof here, "%d %s block%s", m + s, m ? "mLSTM" : "sLSTM", m + s > 1 ? "s" : "");
    else if (g && count_blocks(g, "lstm_plain"))
        snprintf(here, sizeof here, "a plain stack");
    snprintf(text, sizeof text, here[0] ? "%s (here %s)" : "%s", says, here);
    table_cell(w, text);
}

/* ---- what of the training differs between the rows of a table ---- */

/* What a result says of its training, in words; "" when it does not. */
static const char *training_words(const group *g, const char *field) {
    const json_t *at = result_at(result_at(g->run[0]->j, "setup.training"), field);
    if (json_is_boolean(at))
        return json_is_true(at) ? "state carried from window to window" : "each window by itself";
    return !json_is_string(at)                      ? ""
           : !strcmp(json_string_value(at), "real") ? "unrounded products"
                                                    : "products with operands in bf16";
}

static int differs(const report *r, const result_kind *kind, const char *field) {
    const char *first = NULL;
    for (int i = 0; i < r->count; i++)
        if (r->groups[i].kind == kind) {
            const char *words = training_words(&r->groups[i], field);
            if (first && strcmp(first, words))
                return 1;
            first = words;
        }
    return 0;
}

/* "WORDS: MODEL, MODEL", and which models those are is marked as said. */
static void add_models(const report *r, int i, const char *field, char said[MAX_GROUPS], FILE *f) {
    const char *words = training_words(&r->groups[i], field), *comma = "";
    fprintf(f, "%s: ", words[0] ? words : "not known");
    for (int k = i; k < r->count; k++)
        if (r->groups[k].kind == r->groups[i].kind && !strcmp(training_words(&r->groups[k], field), words)) {
            fprintf(f, "%s%s", comma, r->groups[k].model);
            comma = ", ";
            said[k] = 1;
        }
}

static void unlike_training(const report *r, const result_kind *kind, const writer *w) {
    static const char *const fields[] = {"products", "carries_state"};
    for (int n = 0; n < 2; n++) {
        char said[MAX_GROUPS] = {0}, *text = NULL;
        size_t size;
        if (!differs(r, kind, fields[n]))
            continue;
        FILE *f = open_memstream(&text, &size);
        fputs("Not trained alike: ", f);
        for (int i = 0, parts = 0; i < r->count; i++)
            if (r->groups[i].kind == kind && !said[i]) {
                fputs(parts++ ? "; " : "", f);
                add_models(r, i, fields[n], said, f);
            }
        fputs(".", f);
        fclose(f);
        paragraph(w, text);
        free(text);
    }
}

static const json_t *differences(const group *g) {
    return result_at(g->run[0]->j, "setup.model.differences");
}

/* Whether no group before it says the same. */
static int says_first(const report *r, const group *g) {
    for (const group *before = r->groups; before < g; before++)
        if (before->kind == g->kind && json_equal(differences(before), differences(g)))
            return 0;
    return 1;
}

/* What a result says of itself is unlike ours, once for all that say it. */
static void own_differences(const report *r, const result_kind *kind, const writer *w) {
    for (const group *g = r->groups; g < r->groups + r->count; g++) {
        char *text = NULL;
        size_t size;
        if (g->kind != kind || !json_array_size(differences(g)) || !says_first(r, g))
            continue;
        FILE *f = open_memstream(&text, &size);
        fputs(g->model, f);
        for (const group *k = g + 1; k < r->groups + r->count; k++)
            if (k->kind == kind && json_equal(differences(k), differences(g)))
                fprintf(f, ", %s", k->model);
        for (size_t i = 0; i < json_array_size(differences(g)); i++)
            fprintf(f, "%s%s", i ? "; " : ": ", result_text(json_array_get(differences(g), i), ""));
        fputs(".", f);
        fclose(f);
        paragraph(w, text);
        free(text);
    }
}

/* What models are ranked by comes first: on a phone the others are behind the edge. */
static const result_column *shown_column(const result_kind *kind, int i) {
    int n = result_columns(kind);
    return &kind->columns[(i + n - 1) % n];
}

static void machine_cells(const group *g, writer *w) {
    static const struct {
        const char *path;
        int digits;
        double per;
    } shown[] = {{"setup.model.width", 0, 1},
                 {"setup.model.core_parameters", 3, 1e6},
                 {"setup.model.core_off_target_percent", 1, 1},
                 {"setup.model.embedding_parameters", 3, 1e6},
                 {"outcome.train_tokens", 2, 1e6},
                 {"machine.tokens_per_second", 0, 1},
                 {"machine.seconds", 0, 1},
                 {"machine.peak_memory_kib", 0, 1024}};
    char text[64];
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        statistic s = over_seeds(g, shown[i].path);
        s.mean /= shown[i].per;
        s.spread = NAN;
        cell(text, s, shown[i].digits);
        table_cell(w, text);
    }
}

/* A rate at an end of what was tried says that a better one may be beyond. */
static void rate_cell(const group *g, writer *w) {
    double rate = result_number(g->run[0]->j, "setup.training.learning_rate"), least = INFINITY, most = 0;
    for (int n = 0; n < g->runs; n++) {
        const json_t *tried = result_at(g->run[n]->j, "learning_rate_search");
        for (size_t i = 0; i < json_array_size(tried); i++) {
            double its = result_number(json_array_get(tried, i), "learning_rate");
            least = its < least ? its : least;
            most = its > most ? its : most;
        }
    }
    char text[64];
    snprintf(text, sizeof text, "%g%s", rate,
             !(least < most) ? ""
             : rate >= most  ? " (highest tried)"
             : rate <= least ? " (lowest tried)"
                             : "");
    table_cell(w, text);
}

static int diverged_runs(const group *g) {
    int n = 0;
    for (int i = 0; i < g->runs; i++)
        n += json_is_integer(result_at(g->run[i]->j, "outcome.diverged"));
    return n;
}

/* The means are over those that were tested; one that diverged may be among them. */
static void seeds_cell(const group *g, writer *w) {
    char text[64], path[64], more[32] = "";
    snprintf(path, sizeof path, "outcome.test.%s", shown_column(g->kind, 0)->path);
    int tested = over_seeds(g, path).count;
    if (diverged_runs(g))
        snprintf(more, sizeof more, " (%d diverged)", diverged_runs(g));
    if (tested < g->runs)
        snprintf(text, sizeof text, "%d of %d%s", tested, g->runs, more);
    else
        snprintf(text, sizeof text, "%d%s", g->runs, more);
    table_cell(w, text);
}

static void headline_heads(const result_kind *lm, writer *w) {
    table_head(w, "system");
    for (int c = 0; c < 4; c++)
        for (int by = 0; by < 2; by++) {
            char text[64];
            snprintf(text, sizeof text, "%s, %s", shown_column(lm, c)->heading, by ? "here" : "thesis");
            table_head(w, text);
            if (c == 0 && by) /* of one seed or three: beside the figure that is read first */
                table_head(w, "seeds here");
        }
    table_headed(w);
}

/* @param g what of the system is here, or NULL */
static void headline_row(const result_kind *lm, size_t system, const group *g, writer *w) {
    char text[CELL], path[64];
    table_row(w);
    system_cell(thesis[system].says, g, w);
    for (int c = 0; c < 4; c++) {
        const result_column *column = shown_column(lm, c);
        cell(text, (statistic){thesis[system].perplexity[column - lm->columns], NAN, 1}, 1);
        table_cell(w, text);
        snprintf(text, sizeof text, "not run");
        snprintf(path, sizeof path, "outcome.test.%s", column->path);
        if (g)
            cell(text, over_seeds(g, path), 1);
        table_cell(w, text);
        if (c == 0 && g)
            seeds_cell(g, w);
        else if (c == 0)
            table_cell(w, "–");
    }
}

/* The thesis's figures are of one text, whatever text these are of. */
static const double WIKITEXT_2 = 0xaa2052cd; /* crc32 of its train.txt */
static void corpus_of(const report *r, const result_kind *lm, const writer *w) {
    const group *first = first_of(r, lm);
    if (!first)
        return;
    const json_t *data = result_at(first->run[0]->j, "setup.data");
    char text[256];
    snprintf(
        text, sizeof text,
        "The text here: %.0f tokens for training, %.0f for the test, of which %.0f were used, %.0f different "
        "words. %s",
        result_number(data, "train_tokens"), result_number(data, "test_tokens"),
        result_number(data, "tested_on"), result_number(data, "vocabulary"),
        result_number(data, "train_crc32") == WIKITEXT_2
            ? "It is the thesis's, WikiText-2."
            : "It is not the thesis's, WikiText-2: figures here and there cannot be compared.");
    paragraph(w, text);
}

static void headline(const report *r, writer *w) {
    const result_kind *lm = result_kind_find("lm");
    heading(w, "Test perplexity on language modelling: the thesis's figures and these");
    table_begin(w, "Test perplexity, the thesis's and these");
    headline_heads(lm, w);
    for (size_t i = 0; i < sizeof thesis / sizeof *thesis; i++)
        headline_row(lm, i, best_group(r, "lm", thesis[i].model), w);
    table_end(w);
    paragraph(w,
              "The thesis trained models of other sizes, for other lengths of time, and its LSTM baselines "
              "did not learn (their score in nearest-neighbour search is the constant predictor's 1/12); "
              "its figures are for orientation. Of several mixes of blocks the one that is best in "
              "validation is shown. Buckets: how often the target occurs in the training text.");
    corpus_of(r, lm, w);
    if (differs(r, lm, "products") || differs(r, lm, "carries_state"))
        paragraph(w, "The models here were not all trained alike: what differs stands under the next table.");
}

static void model_row(const group *g, writer *w) {
    char text[64], path[64];
    table_row(w);
    table_cell(w, g->model);
    seeds_cell(g, w);
    for (int c = 0; c < result_columns(g->kind); c++) {
        const result_column *column = shown_column(g->kind, c);
        snprintf(path, sizeof path, "outcome.test.%s", column->path);
        cell(text, over_seeds(g, path), column->digits);
        table_cell(w, text);
    }
    rate_cell(g, w);
    machine_cells(g, w);
    where_cell(g, w);
}

static void task_table(const report *r, const result_kind *kind, writer *w) {
    char trained[32], speed[32];
    snprintf(trained, sizeof trained, "%s M", kind->counted);
    snprintf(speed, sizeof speed, "%s/s", kind->counted);
    const char *const more[] = {"learning rate", "width", "core M",  "core off, %", "embedding M",
                                trained,         speed,   "seconds", "peak MiB",    "on"};
    int official = 0;
    table_begin(w, kind->title);
    table_head(w, "model");
    table_head(w, "seeds");
    for (int c = 0; c < result_columns(kind); c++)
        table_head(w, shown_column(kind, c)->heading);
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        table_head(w, more[i]);
    table_headed(w);
    for (int i = 0; i < r->count; i++)
        if (r->groups[i].kind == kind) {
            model_row(&r->groups[i], w);
            official |= is_official(&r->groups[i]);
        }
    if (!official) {
        table_row(w);
        table_cell(w, "official");
        for (int c = 1; c < w->columns; c++)
            table_cell(w, c == 1 ? "not run" : "–");
    }
    table_end(w);
}

static void diverged_sentence(const group *g, const json_t *run, const writer *w) {
    const json_t *at = result_at(run, "outcome.diverged");
    char text[256];
    if (!json_is_integer(at))
        return;
    snprintf(text, sizeof text, "%.60s, seed %.0f diverged at step %lld; %s.", g->model,
             result_number(run, "setup.seed"), (long long)json_integer_value(at),
             json_is_object(result_at(run, "outcome.test")) ? "tested with its best weights before"
                                                            : "it has no test");
    paragraph(w, text);
}

static void divergences(const report *r, const result_kind *kind, const writer *w) {
    for (const group *g = r->groups; g < r->groups + r->count; g++)
        for (int n = 0; g->kind == kind && n < g->runs; n++)
            diverged_sentence(g, g->run[n]->j, w);
}

static void other_machines(const report *r, const result_kind *kind, const writer *w) {
    const group *first = first_of(r, kind);
    int other = 0;
    char text[256];
    for (int i = 0; i < r->count; i++)
        other |= r->groups[i].kind == kind && !one_machine(&r->groups[i], first->run[0]);
    snprintf(text, sizeof text,
             "Seconds, %s/s and memory are of different machines and loads, not for comparing models; a "
             "GPU's memory is not counted.",
             kind->counted);
    if (other)
        paragraph(w, text);
}

/* What of a size or of training differs first, in words; NULL: nothing. Products, carried state and what the
 * package says of itself have sentences of their own. */
static const char *unlike(const json_t *a, const json_t *b) {
    static const char *const fields[][2] = {
        {"setup.training.steps", "number of steps"},
        {"setup.training.batch", "batch size"},
        {"setup.training.window", "window"},
        {"setup.training.weight_decay", "weight decay"},
        {"setup.model.dropout", "dropout"},
        {"setup.model.embedding_dropout", "dropout behind the embedding"}};
    const char *core = "setup.model.core_parameters";
    if (!(fabs(result_number(b, core) / result_number(a, core) - 1) <= 0.03))
        return "core size";
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const json_t *x = result_at(a, fields[i][0]), *y = result_at(b, fields[i][0]);
        if (x && y && !json_equal(x, y))
            return fields[i][1];
    }
    return NULL;
}

/* What one would otherwise take for granted: equal size and training. */
static void not_comparable(const report *r, const result_kind *kind, const writer *w) {
    const group *first = first_of(r, kind);
    char text[256];
    for (int i = 0; i < r->count; i++) {
        const group *g = &r->groups[i];
        const char *what = g->kind == kind ? unlike(first->run[0]->j, g->run[0]->j) : NULL;
        if (!what)
            continue;
        snprintf(text, sizeof text, "Not comparable: %.60s has another %s than %.60s.", g->model, what,
                 first->model);
        paragraph(w, text);
    }
}

static void short_training(const report *r, const result_kind *kind, const writer *w) {
    const json_t *setup = result_at(first_of(r, kind)->run[0]->j, "setup");
    double tokens = result_number(setup, "training.steps") * result_number(setup, "training.batch") *
                    result_number(setup, "training.window");
    double epochs = tokens / result_number(setup, "data.train_tokens"); /* NaN where there is no text */
    int few = 0;
    for (int i = 0; i < r->count; i++)
        few |= r->groups[i].kind == kind && r->groups[i].runs == 1;
    char text[256];
    if (!(epochs < 4))
        return;
    snprintf(text, sizeof text,
             "Short training, %.2f epochs of the text: these figures are from early training%s, and not what "
             "the models can reach.",
             epochs, few ? ", some from one seed" : "");
    paragraph(w, text);
}

static void bucket_sizes(const report *r, const result_kind *kind, const writer *w) {
    char text[256];
    const json_t *test = NULL;
    for (int i = 0; i < r->count; i++)
        for (int n = 0; r->groups[i].kind == kind && n < r->groups[i].runs && !json_is_object(test); n++)
            test = result_at(r->groups[i].run[n]->j, "outcome.test");
    if (!json_is_object(test))
        return; /* all have diverged */
    snprintf(text, sizeof text, "Targets in the buckets: %.0f rare, %.0f medium, %.0f frequent; %.0f in all.",
             result_number(test, "rare.tokens"), result_number(test, "medium.tokens"),
             result_number(test, "frequent.tokens"), result_number(test, "overall.tokens"));
    paragraph(w, text);
}

/* ---- plots ---- */

static int baseline(const group *g) { /* 0: none */
    static const char *const names[] = {"lstm", "lstm-res", "transformer"};
    for (int i = 0; i < 3; i++)
        if (!strcmp(g->model, names[i]))
            return i + 1;
    return 0;
}

/* A baseline looks the same in all tasks; mixes of xLSTM and those of the package take styles of their own,
 * in their order. */
static int style_of(const report *r, const group *of) {
    static const int styles[2][4] = {{0, 1, 7, 8}, {5, 6, 12, 13}};
    int n = 0;
    if (baseline(of))
        return 1 + baseline(of);
    for (const group *g = r->groups; g != of; g++)
        n += g->kind == of->kind && !baseline(g) && is_official(g) == is_official(of);
    return styles[is_official(of)][n % 4];
}

/* @param floor what is less stands there: an axis of logarithms has an end, and no zero */
static void add_evaluations(plot *p, const json_t *points, const char *label, int style, double floor) {
    plot_series(p, label, style);
    for (size_t i = 0; i < json_array_size(points); i++) {
        const json_t *at = json_array_get(points, i);
        double loss = result_number(at, "valid_loss");
        plot_point(p, result_number(at, "tokens") / 1e6, loss < floor ? floor : loss);
    }
}

/* A list of numbers over 1, 2, ... */
static void add_list(plot *p, const json_t *list, const char *label, int style) {
    plot_series(p, label, style);
    for (size_t i = 0; i < json_array_size(list); i++)
        plot_point(p, (double)(i + 1), result_number(json_array_get(list, i), ""));
}

static void learning_curves(const report *r, const result_kind *kind, FILE *html) {
    static const double learned = 1e-4; /* nats per answer; less is not worth the axis */
    char unit[64], title[64], trained[64];
    int several = 0;
    for (int i = 0; i < r->count; i++)
        several |= r->groups[i].kind == kind && r->groups[i].runs > 1;
    snprintf(unit, sizeof unit, kind->higher_is_better ? "%s (1e-4: or less)" : "%s", kind->loss);
    snprintf(title, sizeof title, "Learning curves: validation loss%s",
             several ? " (thin: other seeds)" : "");
    snprintf(trained, sizeof trained, "million %s trained on", kind->counted);
    plot *p = plot_begin(title, trained, unit, PLOT_LINES);
    for (int i = 0; i < r->count; i++) {
        const group *g = &r->groups[i];
        for (int n = 0; g->kind == kind && n < g->runs; n++)
            add_evaluations(p, result_at(g->run[n]->j, "evaluations"), n ? NULL : g->model, style_of(r, g),
                            kind->higher_is_better ? learned : 0);
    }
    plot_end(p, html,
             kind->higher_is_better     ? "logscale y\nset yrange [1e-4:*]"
             : strcmp(kind->name, "lm") ? "logscale y"
                                        : NULL);
}

static void bucket_bars(const report *r, const result_kind *kind, FILE *html) {
    plot *p = plot_begin(kind->higher_is_better ? "Test accuracy" : "Test perplexity by bucket", NULL,
                         kind->higher_is_better ? "per cent right" : "perplexity, log axis", PLOT_BARS);
    for (int c = 0; c < result_columns(kind); c++)
        plot_category(p, kind->columns[c].heading);
    for (int i = 0; i < r->count; i++) {
        const group *g = &r->groups[i];
        if (g->kind != kind)
            continue;
        plot_series(p, g->model, style_of(r, g));
        for (int c = 0; c < result_columns(kind); c++) {
            char path[64];
            snprintf(path, sizeof path, "outcome.test.%s", kind->columns[c].path);
            plot_point(p, c, over_seeds(g, path).mean);
        }
    }
    plot_end(p, html, kind->higher_is_better ? "yrange [0:105]" : "logscale y\nset yrange [1:*]");
}

/* Means over the seeds that were tested. @param times what one is shown as, 100 for per cent */
static void add_positions(plot *p, const group *g, int style, double times) {
    size_t length = 0;
    plot_series(p, g->model, style);
    for (int n = 0; n < g->runs; n++) {
        size_t its = json_array_size(result_at(g->run[n]->j, "outcome.test.by_position"));
        length = its > length ? its : length;
    }
    for (size_t t = 0; t < length; t++) {
        double sum = 0;
        int count = 0;
        for (int n = 0; n < g->runs; n++) {
            const json_t *list = result_at(g->run[n]->j, "outcome.test.by_position");
            double x = result_number(json_array_get(list, t), "");
            count += !isnan(x);
            sum += isnan(x) ? 0 : x;
        }
        plot_point(p, (double)(t + 1), count ? times * sum / count : NAN);
    }
}

/* The error falls by powers of ten; the accuracy stands against what was trained, and against guessing. */
static void by_position(const report *r, const result_kind *kind, FILE *html) {
    int accuracy = kind->higher_is_better;
    double trained = result_number(first_of(r, kind)->run[0]->j, "setup.training.window");
    char title[64] = "Test error by position", set[256] = "logscale y";
    if (accuracy) {
        snprintf(title, sizeof title, "Test accuracy by length (trained on up to %.0f)", trained);
        snprintf(set, sizeof set,
                 "yrange [0:105]\nset arrow from %.0f, graph 0 to %.0f, graph 1 nohead dt 3 lc rgb "
                 "\"#888888\"\nset arrow from graph 0, first 50 to graph 1, first 50 nohead dt 3 lc rgb "
                 "\"#888888\"",
                 trained, trained);
    }
    plot *p = plot_begin(title, accuracy ? "length" : "position in the sequence",
                         accuracy ? "per cent right" : "mean squared error, log axis", PLOT_LINES);
    for (int i = 0; i < r->count; i++)
        if (r->groups[i].kind == kind)
            add_positions(p, &r->groups[i], style_of(r, &r->groups[i]), accuracy ? 100 : 1);
    plot_end(p, html, set);
}

/* A run of the group with this seed, or NULL. */
static const json_t *with_seed(const group *g, double seed) {
    for (int n = 0; g && n < g->runs; n++)
        if (result_number(g->run[n]->j, "setup.seed") == seed)
            return g->run[n]->j;
    return NULL;
}

/* Our first losses beside the package's from the same weights over the same batches. */
static void first_losses(const report *r, const result_kind *kind, FILE *html) {
    plot *p = plot_begin("First losses, same weights and batches", "step", kind->loss, PLOT_LINES);
    int pairs = 0;
    for (int i = 0; i < r->count; i++) {
        const group *g = &r->groups[i];
        char ours[64];
        if (g->kind != kind || !is_official(g))
            continue;
        snprintf(ours, sizeof ours, "xlstm%.50s", g->model + 8);
        const group *mine = find_group(r, kind->name, ours);
        const json_t *same = with_seed(mine, result_number(g->run[0]->j, "setup.seed"));
        if (!same)
            continue;
        add_list(p, result_at(same, "first_losses"), ours, style_of(r, mine));
        add_list(p, result_at(g->run[0]->j, "first_losses"), g->model, style_of(r, g));
        pairs++;
    }
    if (pairs)
        plot_end(p, html, NULL);
    else
        plot_drop(p);
}

static void configurations(const report *r, const result_kind *kind, FILE *html) {
    fputs("<h3>Each run, and how to make it again</h3>\n", html);
    for (int i = 0; i < r->count; i++)
        for (int n = 0; r->groups[i].kind == kind && n < r->groups[i].runs; n++) {
            const json_t *j = r->groups[i].run[n]->j;
            fputs("<details><summary>", html);
            escaped(html, r->groups[i].model);
            fprintf(html, ", seed %.0f</summary>\n<pre>", result_number(j, "setup.seed"));
            escaped(html, result_text(j, "command"));
            static const char *const parts[] = {"setup", "learning_rate_search", "machine"};
            for (int k = 0; k < 3; k++) {
                char *text = json_dumps(result_at(j, parts[k]), JSON_INDENT(1) | JSON_REAL_PRECISION(6));
                fprintf(html, "\n\n%s: ", parts[k]);
                escaped(html, text);
                free(text);
            }
            fputs("</pre></details>\n", html);
        }
}

static void task_section(const report *r, const result_kind *kind, writer *w) {
    char text[128];
    const group *first = first_of(r, kind);
    if (!first)
        return;
    snprintf(text, sizeof text, "%c%s", kind->title[0] - 'a' + 'A', kind->title + 1);
    heading(w, text);
    paragraph(w, kind->measure);
    task_table(r, kind, w);
    divergences(r, kind, w);
    other_machines(r, kind, w);
    unlike_training(r, kind, w);
    own_differences(r, kind, w);
    not_comparable(r, kind, w);
    if (result_at(first->run[0]->j, "setup.data.scored"))
        paragraph(w, "Only the last position of a sequence is trained and scored: all is last again.");
    short_training(r, kind, w);
    if (!strcmp(kind->name, "lm"))
        bucket_sizes(r, kind, w);
    learning_curves(r, kind, w->html);
    if (!strcmp(kind->name, "lm") || !strcmp(kind->name, "mqar"))
        bucket_bars(r, kind, w->html);
    if (!strcmp(kind->name, "nns") || !strcmp(kind->name, "parity"))
        by_position(r, kind, w->html);
    first_losses(r, kind, w->html);
    configurations(r, kind, w->html);
}

/* ---- speed ---- */

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

static void speed_section(const report *r, writer *w) {
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

/* ---- the page ---- */

static const char page_head[] =
    "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<title>xLSTM compared</title>\n<style>\n"
    ":root { color-scheme: light dark; --ink: #222; --paper: #fff; --line: #ccc; --shade: #f3f3f3 }\n"
    "@media (prefers-color-scheme: dark) { :root { --ink: #ddd; --paper: #181818; --line: #555; --shade: "
    "#2a2a2a } }\n"
    "body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 62rem; color: "
    "var(--ink); background: var(--paper) }\n"
    "h1, h2, h3 { line-height: 1.2; margin: 2rem 0 .5rem }\n.wide { overflow-x: auto }\n"
    "table { border-collapse: collapse; font-size: .85rem; white-space: nowrap }\n"
    "th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid var(--line); "
    "font-variant-numeric: tabular-nums }\n"
    "[scope=col] { vertical-align: bottom; background: var(--shade); white-space: normal; min-width: 4em }\n"
    "[scope=row] { font-weight: normal; background: var(--paper); white-space: normal }\n"
    "th:first-child { text-align: left; position: sticky; left: 0; min-width: min(10em, 26vw) }\n"
    "figure { margin: 1rem 0; overflow-x: auto }\nsvg { width: 100%; height: auto; max-width: 34rem }\n"
    "@media (min-width: 60rem) { figure { display: inline-block; width: 49% } }\n"
    "details { margin: .25rem 0 }\nsummary { cursor: pointer }\n"
    "pre { font-size: .8rem; overflow-x: auto; background: var(--shade); padding: .5rem }\n"
    /* Paper does not scroll. */
    "@media print { @page { size: A4 landscape; margin: 10mm }\n"
    ":root { color-scheme: light; --ink: #000; --paper: #fff; --line: #ccc; --shade: #f3f3f3 }\n"
    "body { max-width: none } .wide, figure { overflow: visible }\n"
    "table { font-size: 6.5pt; white-space: normal }\n"
    "th, td { padding: .1rem .2rem; min-width: 0 !important; position: static !important }\n"
    "figure { display: inline-block; width: 48% }\n"
    ".wide, figure, tr { break-inside: avoid } }\n</style>\n";

static void write_page(const report *r, writer *w) {
    fputs(page_head, w->html);
    fputs("<h1>xLSTM compared</h1>\n", w->html);
    fputs("# xLSTM compared\n", w->md);
    paragraph(w,
              "Models whose core parameters are of equal size, trained on the same data, tested once with "
              "the weights that were best in validation. What else differs between them is said under each "
              "table. Figures over several seeds: mean ± standard deviation; one figure alone is of one "
              "seed.");
    paragraph(w,
              "Names: xlstm has mLSTM and sLSTM blocks, in the ratio behind an @ (xlstm@1:0 mLSTM only, "
              "xlstm@0:1 sLSTM only); lstm is a plain stack, lstm-res has LSTMs in residual pre-norm blocks; "
              "official is the Python package. core M: millions of parameters without embedding and head; "
              "core off: its difference from the size that all are matched to; last: at the last position "
              "of a sequence.");
    headline(r, w);
    const result_kind *kind;
    for (int i = 0; (kind = result_kind_at(i)); i++)
        task_section(r, kind, w);
    if (r->speed)
        speed_section(r, w);
    fprintf(w->html, "<p>Made by xlstm-report %s from %d result files.</p>\n</html>\n", xlstm_version(),
            r->results);
}

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
    char *name = beside(path);
    o->path = path;
    o->f = fopen(name, "w");
    if (!o->f)
        die("%s cannot be written (%s); give a path in a folder that exists", path, strerror(errno));
    o->unfinished = name;
}

static void put(output *o) {
    if (fflush(o->f) || fclose(o->f) || rename(o->unfinished, o->path))
        die("%s cannot be written (%s)", o->path, strerror(errno));
    free(o->unfinished);
    o->unfinished = NULL;
}

static void read_speed(report *r) {
    json_error_t error;
    r->speed = json_load_file(r->speed_path, 0, &error);
    if (!r->speed || strcmp(result_text(r->speed, "task"), "speed") ||
        !json_is_array(result_at(r->speed, "rows")))
        die("%s is not what xlstm-speed --json writes%s%s", r->speed_path, r->speed ? "" : ": ",
            r->speed ? "" : error.text);
    if (result_number(r->speed, "schema") != SPEED_SCHEMA)
        die("%s is of another version of xlstm-speed; its schema must be %d: run xlstm-speed --json again",
            r->speed_path, SPEED_SCHEMA);
    /* Without BLAS xlstm-speed writes null for its product of matrices. */
    static const char *const needed[] = {"threads", "read_bytes_per_second", "sgemm_flops"};
    for (int i = 0; i < 3; i++) {
        const json_t *at = result_at(r->speed, needed[i]);
        if (!json_is_number(at) && !(i == 2 && json_is_null(at)))
            die("%s is damaged (\"%s\" is absent or no number); run xlstm-speed --json again", r->speed_path,
                needed[i]);
    }
}

/* Before anything is written. */
static void check_outputs(const report *r) {
    if (r->markdown && same_file(r->out, r->markdown))
        die("--out and --markdown are the same file, %s; give two", r->out);
    if (r->speed_path)
        check_input(r, r->speed_path);
}

int main(int argc, char **argv) {
    static const struct argp argp = {
        argp_options,
        parse_option,
        "FOLDER...",
        "Merges results of xlstm-lm, xlstm-nns, xlstm-tasks and bench/peers/train.py into one page.\v"
        "Every *.json of the folders is one run. The page needs no other file and no network.",
        NULL,
        NULL,
        NULL};
    report *r = need(sizeof *r);
    r->out = "report.html";
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, r);
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
