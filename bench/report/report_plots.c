/* report_plots.c - the curves of a task are drawn from what its results hold, each model in one style in all
 * plots. */
#include "plot.h"
#include "report.h"

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

void task_plots(const report *r, const result_kind *kind, FILE *html) {
    learning_curves(r, kind, html);
    if (!strcmp(kind->name, "lm") || !strcmp(kind->name, "mqar"))
        bucket_bars(r, kind, html);
    if (!strcmp(kind->name, "nns") || !strcmp(kind->name, "parity"))
        by_position(r, kind, html);
    first_losses(r, kind, html);
}
