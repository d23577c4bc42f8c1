/* A result of the benchmark programs: what is accepted is written and read again as the same, and makes a
 * page: all that the page looks at is there (or null, which pages know), and it does not say "nan". What is
 * refused has a reason that fits its room. The pages themselves say which fields there must be:
 * xlstm-report's files are compiled with the functions of this file for looking things up, so that a field
 * that is looked at and not asked for stops it.
 *
 * First byte even: the rest is the file. Odd: the rest are edits (place, place, value) of a good one, so that
 * they get past the schema. Before the first, every field of a good one of each task is left out or made
 * something else. */
#include "fuzz/fuzz.h"
#include "plot.h"
#include "report.h"
#include <ctype.h>

/* With every field, as short as it can be; then what each task has of its own. */
static const char good[] =
    "{\"schema\":2,\"command\":\"x\",\"setup\":{\"task\":\"nns\",\"preset\":\"p\",\"seed\":1,\"data\":{},"
    "\"model\":{\"name\":\"m\",\"width\":8,\"blocks\":[\"s\"],\"core_parameters\":9,"
    "\"core_off_target_percent\":0.5,\"embedding_parameters\":0},"
    "\"training\":{\"steps\":2,\"batch\":1,\"window\":8,\"learning_rate\":0.1,\"search\":false}},"
    "\"learning_rate_search\":[{\"learning_rate\":0.1}],\"evaluations\":[{\"step\":1,\"tokens\":4,"
    "\"train_loss\":0.5,\"valid_loss\":null,\"seconds\":0.1}],\"first_losses\":[1,0.5,null],"
    "\"outcome\":{\"diverged\":null,\"best_step\":1,\"best_valid_loss\":0.5,\"train_tokens\":8,"
    "\"test\":{\"last\":1,\"length_2_16\":1,\"length_17_32\":1,\"length_33_48\":1,\"length_49_64\":1,\"all\":"
    "1,"
    "\"by_position\":[1,2]}},"
    "\"machine\":{\"cpu\":\"c\",\"threads\":1,\"library\":\"l\",\"commit\":\"c\",\"seconds\":1,"
    "\"tokens_per_second\":8,\"peak_memory_kib\":1}}";
static const struct {
    const char *task, *name, *data, *test;
} tasks[] = {
    {"nns", "m", NULL, NULL},
    {"lm", "xlstm",
     "{\"train_tokens\":9,\"test_tokens\":9,\"tested_on\":9,\"vocabulary\":3,\"train_crc32\":7}",
     "{\"rare\":{\"perplexity\":2,\"tokens\":3},\"medium\":{\"perplexity\":null,\"tokens\":0},"
     "\"frequent\":{\"perplexity\":2,\"tokens\":3},\"overall\":{\"perplexity\":2,\"tokens\":6}}"},
    {"parity", "lstm", NULL,
     "{\"length_1_40\":50,\"length_41_80\":50,\"length_81_160\":50,\"length_161_256\":50,\"longer\":50,"
     "\"by_position\":[0.5,null]}"},
    {"mqar", "official@1:0", NULL, "{\"pairs_4\":9,\"pairs_8\":9,\"pairs_16\":9,\"pairs_32\":9,\"all\":9}"}};
static const char good_speed[] =
    "{\"schema\":1,\"task\":\"speed\",\"threads\":1,\"sgemm_flops\":1e9,\"read_bytes_per_second\":1e9,"
    "\"rows\":["
    "{\"model\":\"m\",\"by\":\"b\",\"measure\":\"train\",\"shape\":\"s\",\"weights\":\"real\",\"threads\":1,"
    "\"batch\":4,\"time\":8,\"tokens_per_second\":5,\"peak_bytes\":7},"
    "{\"model\":\"m\",\"by\":\"b\",\"measure\":\"train\",\"shape\":\"s\",\"weights\":\"real\",\"threads\":1,"
    "\"batch\":2,\"time\":16,\"tokens_per_second\":5,\"peak_bytes\":null}]}";

/* ---- what pages look at ---- */

/* These stand in the place of result_at(), result_number() and result_text() in xlstm-report's files: what is
 * looked at is there, or something on the way to it is null, as in a test that was not made; but for what
 * pages do without. */
json_t *looked_at(const json_t *result, const char *path);
double looked_up(const json_t *result, const char *path);
const char *looked_text(const json_t *result, const char *path);

static int is_optional(const char *path) {
    static const char *const optional[] = {"products",
                                           "carries_state",
                                           "setup.data.scored",
                                           "setup.model.differences",
                                           "setup.model.dropout",
                                           "setup.model.embedding_dropout",
                                           "setup.training.weight_decay"};
    for (size_t i = 0; i < sizeof optional / sizeof *optional; i++)
        if (!strcmp(path, optional[i]))
            return 1;
    return 0;
}

static const json_t *or_null(const json_t *result, const char *path) {
    const json_t *at = result;
    for (const char *rest = path; at && !json_is_null(at) && *rest;) {
        size_t n = strcspn(rest, ".");
        at = json_object_getn(at, rest, n);
        rest += n + (rest[n] == '.');
    }
    return at;
}

static void must_be(int asked_for, const char *path) {
    if (asked_for)
        return;
    fprintf(stderr, "a page looks at \"%s\", which result.c did not ask for\n", path);
    abort();
}

json_t *looked_at(const json_t *result, const char *path) {
    must_be(or_null(result, path) || is_optional(path), path);
    return result_at(result, path);
}

double looked_up(const json_t *result, const char *path) {
    const json_t *at = or_null(result, path);
    must_be(json_is_null(at) || json_is_number(at), path);
    return result_number(result, path);
}

const char *looked_text(const json_t *result, const char *path) {
    must_be(or_null(result, path) != NULL, path);
    return result_text(result, path);
}

/* Plots are not drawn here; what they would say stands in the page. */
struct plot {
    char title[96], x[160], y[96];
};

plot *plot_begin(const char *title, const char *x, const char *y, plot_form form) {
    plot *p = calloc(1, sizeof *p);
    MUST(p && form <= PLOT_BARS);
    snprintf(p->title, sizeof p->title, "%s", title);
    snprintf(p->x, sizeof p->x, "%s", x ? x : "");
    snprintf(p->y, sizeof p->y, "%s", y);
    return p;
}
void plot_category(plot *p, const char *name) {
    MUST(p && name);
}
void plot_series(plot *p, const char *name, int style) {
    MUST(p && style >= 0);
    (void)name;
}
void plot_point(plot *p, double x, double y) {
    MUST(p && isfinite(x));
    (void)y;
}
void plot_end(plot *p, FILE *html, const char *set) {
    fprintf(html, "%s\n%s\n%s\n%s\n", p->title, p->x, p->y, set ? set : "");
    free(p);
}
void plot_drop(plot *p) {
    free(p);
}

static int has_word(const char *text, const char *word) {
    size_t n = strlen(word);
    for (const char *at = text; (at = strcasestr(at, word)); at++)
        if ((at == text || !isalpha((unsigned char)at[-1])) && !isalpha((unsigned char)at[n]))
            return 1;
    return 0;
}

/* A text in the file may say it, too. */
static void check_words(const char *page, const json_t *from) {
    char *text = json_dumps(from, JSON_ENCODE_ANY);
    MUST(text);
    for (int i = 0; i < 2; i++) {
        const char *word = i ? "inf" : "nan";
        MUST(strcasestr(text, word) || !has_word(page, word));
    }
    free(text);
}

/* The package's run beside ours, from the same weights; NULL: none. */
static json_t *official_of(json_t *result) {
    const char *name = result_text(result, "setup.model.name");
    char official[96];
    if (strncmp(name, "xlstm", 5) || strlen(name) > 80)
        return NULL;
    snprintf(official, sizeof official, "official%s", name + 5);
    json_t *copy = json_deep_copy(result), *as = json_string(official);
    MUST(copy && as && !json_object_set_new(result_at(copy, "setup.model"), "name", as));
    return copy;
}

/* @param result or @param speed may be NULL */
static void check_page(json_t *result, json_t *speed) {
    static report r;
    static char path[] = "a.json";
    json_t *official = official_of(result);
    char *text[2] = {NULL, NULL};
    size_t size[2];
    writer w = {.html = open_memstream(&text[0], &size[0]), .md = open_memstream(&text[1], &size[1])};
    MUST(w.html && w.md);
    r.count = r.results = 0;
    r.speed = speed;
    if (result)
        r.result[r.results++] = (file_result){path, result};
    if (official)
        r.result[r.results++] = (file_result){path, official};
    merge(&r);
    write_page(&r, &w);
    MUST(!fclose(w.html) && !fclose(w.md));
    for (int i = 0; i < 2; i++) {
        check_words(text[i], result ? result : speed);
        free(text[i]);
    }
    json_decref(official);
}

/* ---- one file ---- */

/* Numbers are written with as many digits as it takes. */
static void check_again(json_t *result, const char *path) {
    char why[RESULT_WHY];
    json_t *again;
    MUST(!json_dump_file(result, path, JSON_INDENT(1) | JSON_REAL_PRECISION(17)));
    MUST(result_read(&again, path, why) == RESULT_OK && !*why);
    MUST(json_equal(result, again));
    json_decref(again);
}

/* As read_speed() has it. */
static int judge_speed(const char *bytes, size_t size) {
    char why[RESULT_WHY];
    json_t *speed = json_loadb(bytes, size, 0, NULL);
    int accepted = speed && !strcmp(result_text(speed, "task"), "speed") && speed_has_all(speed, why);
    if (accepted)
        check_page(NULL, speed);
    json_decref(speed);
    return accepted;
}

/* Whether it is accepted. */
static int judge(const char *bytes, size_t size) {
    char why[RESULT_WHY], path[FUZZ_PATH];
    json_t *result, *same;
    memset(why, '?', sizeof why);
    fuzz_file(path, "a.json", bytes, size);
    result_status status = result_parse(&result, bytes, size, why);
    MUST(status == RESULT_OK || status == RESULT_DAMAGED || status == RESULT_FOREIGN ||
         status == RESULT_OTHER_SCHEMA);
    MUST(memchr(why, 0, sizeof why) && (status == RESULT_OK) == !*why);
    MUST((status == RESULT_OK) == (result != NULL));
    MUST(result_read(&same, path, why) == status && !result == !same);
    if (result) {
        check_page(result, NULL);
        check_again(result, path);
    }
    json_decref(result);
    json_decref(same);
    return status == RESULT_OK || (status == RESULT_FOREIGN && judge_speed(bytes, size));
}

/* ---- every field left out, or made something else ---- */

/* Member or item number *n, counted from `at` down, becomes `other`, or is left out. */
static int change_nth(json_t *at, int *n, json_t *other) {
    const char *key;
    void *next;
    json_t *value;
    json_object_foreach_safe(at, next, key, value) {
        if ((*n)-- == 0)
            return other ? !json_object_set(at, key, other) : !json_object_del(at, key);
        if (change_nth(value, n, other))
            return 1;
    }
    for (size_t i = 0; i < json_array_size(at); i++) {
        if ((*n)-- == 0)
            return other ? !json_array_set(at, i, other) : !json_array_remove(at, i);
        if (change_nth(json_array_get(at, i), n, other))
            return 1;
    }
    return 0;
}

static int judge_json(const json_t *j) {
    char *text = json_dumps(j, 0);
    MUST(text);
    int accepted = judge(text, strlen(text));
    free(text);
    return accepted;
}

static void change_each(const json_t *whole) {
    json_t *others[] = {NULL,          json_null(),  json_string("x"), json_integer(7),
                        json_object(), json_array(), json_true()};
    MUST(judge_json(whole));
    for (size_t k = 0; k < sizeof others / sizeof *others; k++) {
        int refused = 0, changed = 1;
        for (int n = 0; changed; n++) {
            int left = n;
            json_t *j = json_deep_copy(whole);
            changed = change_nth(j, &left, others[k]);
            refused += changed && !judge_json(j);
            json_decref(j);
        }
        MUST(refused > 10);
        json_decref(others[k]);
    }
}

static void change_all(void) {
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++) {
        json_t *whole = json_loads(good, 0, NULL), *setup = json_object_get(whole, "setup");
        MUST(setup && result_kind_at((int)i));
        json_object_set_new(setup, "task", json_string(tasks[i].task));
        json_object_set_new(json_object_get(setup, "model"), "name", json_string(tasks[i].name));
        if (tasks[i].data)
            json_object_set_new(setup, "data", json_loads(tasks[i].data, 0, NULL));
        if (tasks[i].test)
            json_object_set_new(json_object_get(whole, "outcome"), "test",
                                json_loads(tasks[i].test, 0, NULL));
        change_each(whole);
        json_decref(whole);
    }
    MUST(!result_kind_at(sizeof tasks / sizeof *tasks)); /* a new task has a line here */
    json_t *speed = json_loads(good_speed, 0, NULL);
    change_each(speed);
    json_decref(speed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static int begun;
    char edited[sizeof good];
    size_t length = sizeof good - 1;
    if (!begun++)
        change_all();
    if (!size)
        return 0;
    if (*data % 2 == 0) {
        judge((const char *)data + 1, size - 1);
        return 0;
    }
    memcpy(edited, good, sizeof good);
    for (size_t i = 1; i + 2 < size; i += 3) {
        size_t at = (size_t)data[i] << 8 | data[i + 1];
        if (at < sizeof good - 1)
            edited[at] = (char)data[i + 2];
        else
            length = at % sizeof good;
    }
    judge(edited, length);
    return 0;
}
