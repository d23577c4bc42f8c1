/* bench.c - what a comparison does: every model of the list, its learning rate, every seed, a table. */
#include "bench.h"
#include <math.h>

enum { NOT_FINISHED = 3, SEARCH_SEED = 1 };

/* lm, xlstm@3:1, 2 -> lm-xlstm-3-1-s2 */
static void name_run(run_plan *p) {
    snprintf(p->name, sizeof p->name, "%s-%s-s%llu", p->t->kind->name, p->row->name,
             (unsigned long long)p->seed);
    for (char *c = p->name; *c; c++)
        if (*c == '@' || *c == ':' || *c == '/')
            *c = '-';
}

static void stopped(const run_plan *p) {
    printf("not finished: %s; %s\n", p->name,
           p->folder ? p->o->resume ? "the same command goes on" : "the same command with --resume goes on"
                     : "nothing is kept of it: with --out DIR it could have gone on");
    exit(NOT_FINISHED);
}

/* A search whose runs are as long as a run makes that of its seed. */
static int whole_search(const run_plan *p) {
    return p->o->p.search_steps >= p->steps;
}

/* A run of the search, at this rate: noted in p->searched and to be released with json_decref(). All have one
 * seed, whichever are compared: so seeds can be run apart, even at the same time, and what they give is what
 * one command for all of them gives. */
static json_t *search_at(const run_plan *p, float lr, const char *folder) {
    run_plan trial = *p;
    trial.seed = SEARCH_SEED;
    trial.lr = lr;
    trial.searched = NULL;
    trial.folder = folder;
    trial.trial = 1;
    if (!whole_search(p))
        trial.steps = p->o->p.search_steps;
    name_run(&trial);
    size_t n = strlen(trial.name);
    snprintf(trial.name + n, sizeof trial.name - n, "-lr%g", (double)lr);
    json_t *result = run_execute(&trial, NULL);
    if (!result)
        stopped(&trial);
    json_array_append_new(p->searched, json_pack("{s:f, s:I, s:O}", "learning_rate", (double)lr, "steps",
                                                 (json_int_t)trial.steps, "best_valid_loss",
                                                 result_at(result, "outcome.best_valid_loss")));
    return result;
}

static double valid_loss(const json_t *result) {
    if (json_is_integer(result_at(result, "outcome.diverged")))
        return INFINITY; /* whatever it came to before */
    double loss = result_number(result, "outcome.best_valid_loss");
    return isfinite(loss) ? loss : INFINITY;
}

/* The rate of the grid whose run has the lowest validation loss; all runs of the model have it. The search
 * begins in the middle and tries the rates beside what it has tried, on the side where the best one lies,
 * until it lies inside: a grid can reach far at little cost. Both neighbours of the middle are tried in any
 * case, since losses waver. @return the best run of the search; NULL: there was nothing to choose */
static json_t *choose_rate(run_plan *p) {
    const float *grid = p->o->p.grids[p->row->kind];
    int count = 0;
    while (grid[count] > 0)
        count++;
    int middle = count / 2, low = middle, high = middle, at = middle;
    p->lr = grid[at];
    if (count == 1)
        return NULL;
    char *folder = p->folder ? make_folder(p->folder, "search") : NULL;
    p->searched = json_array();
    json_t *best = search_at(p, grid[at], folder);
    for (;;) {
        int down = at == low || low == middle || isinf(valid_loss(best)), i;
        if (at == high && high + 1 < count)
            i = ++high;
        else if (down && low > 0)
            i = --low;
        else
            break;
        json_t *other = search_at(p, grid[i], folder);
        int better = valid_loss(other) < valid_loss(best);
        at = better ? i : at;
        json_decref(better ? best : other);
        best = better ? other : best;
    }
    p->lr = grid[at];
    free(folder);
    return best;
}

static void print_heading(const task *t, const options *o) {
    printf("%s\n%-16s", t->kind->measure, "model");
    for (int i = 0; i < result_columns(t->kind); i++)
        printf(" %9s", t->kind->columns[i].heading);
    printf(" %8s %7s %6s%s %8s %8s/s %9s\n", "core M", "off", "width", o->seeds > 1 ? " seed" : "", "rate",
           t->kind->counted, "seconds");
    flush_output();
}

/* A perplexity can have hundreds of digits. */
static void print_number(double x, int digits) {
    if (isnan(x))
        printf(" %9s", "-");
    else if (fabs(x) < 1e7)
        printf(" %9.*f", digits, x);
    else
        printf(" %9.3g", x);
}

static void print_row(const run_plan *p, const json_t *result) {
    printf("%-16s", p->row->name);
    for (int i = 0; i < result_columns(p->t->kind); i++) {
        char path[64];
        snprintf(path, sizeof path, "outcome.test.%s", p->t->kind->columns[i].path);
        print_number(result_number(result, path), p->t->kind->columns[i].digits);
    }
    printf(" %8.3f %+6.1f%% %6d", (double)p->row->core / 1e6, p->row->off_target,
           p->row->config.embedding_dim);
    if (p->o->seeds > 1)
        printf(" %4llu", (unsigned long long)p->seed);
    printf(" %8g %10.0f %9.1f", (double)p->lr, result_number(result, "machine.tokens_per_second"),
           result_number(result, "machine.seconds"));
    const json_t *diverged = result_at(result, "outcome.diverged");
    if (json_is_integer(diverged))
        printf("  diverged at step %lld", (long long)json_integer_value(diverged));
    puts("");
    fflush(stdout);
}

/* What the search has trained already is not trained again, unless its weights are wanted. */
static json_t *run_of_seed(const run_plan *p, json_t *searched) {
    if (!searched || !whole_search(p) || p->seed != SEARCH_SEED || p->o->save)
        return run_execute(p, NULL);
    json_object_set(searched, "learning_rate_search", p->searched);
    json_object_set_new(searched, "command", json_string(p->o->command));
    return run_execute(p, searched);
}

static run_plan plan_of(const options *o, task *t, const row_model *row, double deadline) {
    return (run_plan){
        .o = o, .t = t, .row = row, .steps = o->p.steps, .folder = o->out, .deadline = deadline};
}

static void check_model(const options *o, task *t, const row_model *row) {
    run_plan p = plan_of(o, t, row, INFINITY);
    for (int i = 0; i < o->seeds; i++) {
        p.seed = o->seed + (uint64_t)i;
        name_run(&p);
        run_check(&p);
    }
}

static void compare_model(const options *o, task *t, const row_model *row, double deadline) {
    run_plan p = plan_of(o, t, row, deadline);
    json_t *searched = choose_rate(&p);
    for (int i = 0; i < o->seeds; i++) {
        p.seed = o->seed + (uint64_t)i;
        name_run(&p);
        if (o->export) {
            run_export(&p);
            printf("%s/%s\n", o->export, p.name);
            continue;
        }
        json_t *result = run_of_seed(&p, searched);
        if (!result)
            stopped(&p);
        print_row(&p, result);
        json_decref(result);
    }
    json_decref(searched);
    json_decref(p.searched);
}

static void base_of(const options *o, const program *about, const task *t, xlstm_config *base) {
    about->config(o, t, base);
    if (o->p.recurrent_start) {
        base->slstm_recurrent_uniform = 1;
        base->slstm_bias_init = XLSTM_BIAS_SMALL;
    }
}

int bench_main(int argc, char **argv, const program *about) {
    options o;
    xlstm_config base;
    parse_options(&o, argc, argv, about);
    double deadline = o.limit_seconds < 0 ? INFINITY : now() + o.limit_seconds;
    base_of(&o, about, NULL, &base);
    check_models(&o, &base);
    task *t = about->open(&o);
    base_of(&o, about, t, &base);
    row_model *rows = need(MAX_MODELS * sizeof *rows);
    int count = make_models(&o, &base, rows);
    for (int i = 0; i < count; i++)
        check_model(&o, t, &rows[i]);
    if (o.out)
        free(make_folder(o.out, "."));
    if (o.save)
        free(make_folder(o.save, "."));
    if (o.export)
        free(make_folder(o.export, "."));
    else
        print_heading(t, &o);
    for (int i = 0; i < count; i++)
        compare_model(&o, t, &rows[i], deadline);
    free(rows);
    about->close(t);
    free(o.command);
    return 0;
}
