/* report_merge.c - runs belong together when only their seeds differ; whatever else differs is named, and
 * merged with nothing. */
#include "report.h"
#include <dirent.h>

/* ---- reading ---- */

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

/* Nothing that is read is written over. */
void check_input(const report *r, const char *path) {
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

void add_folder(report *r, const char *dir) {
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

/* ---- merging ---- */

const group *find_group(const report *r, const char *task, const char *model) {
    for (int i = 0; i < r->count; i++)
        if (!strcmp(r->groups[i].kind->name, task) && !strcmp(r->groups[i].model, model))
            return &r->groups[i];
    return NULL;
}

static group *group_of(report *r, const file_result *f) {
    const char *task = result_text(f->j, "setup.task"), *model = result_text(f->j, "setup.model.name");
    const group *there = find_group(r, task, model);
    if (there)
        return &r->groups[there - r->groups];
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

void merge(report *r) {
    for (int i = 0; i < r->results; i++) {
        check_merge(r, &r->result[i]);
        group *g = group_of(r, &r->result[i]);
        g->run[g->runs++] = &r->result[i];
    }
    qsort(r->groups, (size_t)r->count, sizeof *r->groups, compare_groups);
    for (int i = 0; i < r->count; i++)
        qsort(r->groups[i].run, (size_t)r->groups[i].runs, sizeof *r->groups[i].run, compare_seeds);
}

/* ---- groups ---- */

const group *first_of(const report *r, const result_kind *kind) {
    for (int i = 0; i < r->count; i++)
        if (r->groups[i].kind == kind)
            return &r->groups[i];
    return NULL;
}

int is_official(const group *g) {
    return !strncmp(g->model, "official", 8);
}

statistic over_seeds(const group *g, const char *path) {
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

const group *best_group(const report *r, const char *task, const char *begins) {
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
