/* report_tables.c - a table tells means over seeds; what makes its rows less than comparable stands under it
 * in words. */
#include "compare.h"
#include "report.h"

/* ---- the thesis's figures, and cells ---- */

static const struct {
    const char *model, *says;
    double perplexity[4];
} thesis[] = {{"lstm", "LSTM", {205115, 8215.5, 104.6, 2031.2}},
              {"official", "official xLSTM package", {57969, 706.3, 17.0, 327.2}},
              {"xlstm", "from-scratch xLSTM", {51352, 614.4, 17.8, 313.4}},
              {"transformer", "Transformer", {56597, 656.5, 18.3, 331.5}}};

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

/* ---- the tables ---- */

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

void headline(const report *r, writer *w) {
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

/* ---- sentences under them ---- */

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
    if (!is_near(result_number(b, core) / result_number(a, core), 1, 0.03))
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
    double epochs = tokens / result_number(setup, "data.train_tokens");
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

void task_tables(const report *r, const result_kind *kind, writer *w) {
    task_table(r, kind, w);
    divergences(r, kind, w);
    other_machines(r, kind, w);
    unlike_training(r, kind, w);
    own_differences(r, kind, w);
    not_comparable(r, kind, w);
    if (result_at(first_of(r, kind)->run[0]->j, "setup.data.scored"))
        paragraph(w, "Only the last position of a sequence is trained and scored: all is last again.");
    if (!strcmp(kind->name, "lm")) {
        short_training(r, kind, w);
        bucket_sizes(r, kind, w);
    }
}
