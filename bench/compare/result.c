/* result.c - a result is read by lists of fields and believed only where it has them all; a damaged file is
 * set aside and nothing is deleted. Whatever a page looks at is in a list: tests/fuzz/fuzz_result.c makes
 * pages and holds them to it. */
#include "result.h"
#include "program.h"
#include <math.h>
#include <unistd.h>

/* ---- what each task's results hold ---- */

static const result_kind kinds[] = {
    {"lm",
     "language modelling",
     "test perplexity by how often the target occurs in train",
     "nats per token",
     "tokens",
     0,
     {{"rare.perplexity", "rare<100", 1},
      {"medium.perplexity", "100-999", 1},
      {"frequent.perplexity", ">=1000", 1},
      {"overall.perplexity", "overall", 1}}},
    {"nns",
     "nearest-neighbour search",
     "test mean squared error; constant predictor 0.08333, oracle 0; last position also by length",
     "mean squared error",
     "answers",
     0,
     {{"last", "last", 5},
      {"length_2_16", "2-16", 5},
      {"length_17_32", "17-32", 5},
      {"length_33_48", "33-48", 5},
      {"length_49_64", "49-64", 5},
      {"all", "all", 5}}},
    {"parity",
     "parity",
     "test accuracy in per cent by length; trained on lengths to 40; guessing 50",
     "nats per answer",
     "answers",
     1,
     {{"length_1_40", "1-40", 2},
      {"length_41_80", "41-80", 2},
      {"length_81_160", "81-160", 2},
      {"length_161_256", "161-256", 2},
      {"longer", "41-256", 2}}},
    {"mqar",
     "multi-query associative recall",
     "test accuracy in per cent by pairs to remember",
     "nats per answer",
     "answers",
     1,
     {{"pairs_4", "4", 2},
      {"pairs_8", "8", 2},
      {"pairs_16", "16", 2},
      {"pairs_32", "32", 2},
      {"all", "all", 2}}},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

const result_kind *result_kind_at(int index) {
    return index >= 0 && index < KINDS ? &kinds[index] : NULL;
}

const result_kind *result_kind_find(const char *task) {
    for (int i = 0; i < KINDS; i++)
        if (!strcmp(task, kinds[i].name))
            return &kinds[i];
    return NULL;
}

int result_columns(const result_kind *kind) {
    int n = 0;
    while (n < RESULT_COLUMNS && kind->columns[n].path)
        n++;
    return n;
}

/* ---- looking things up ---- */

json_t *result_at(const json_t *result, const char *path) {
    json_t *at = (json_t *)(uintptr_t)result;
    while (at && *path) {
        size_t n = strcspn(path, ".");
        at = json_object_getn(at, path, n);
        path += n + (path[n] == '.');
    }
    return at;
}

double result_number(const json_t *result, const char *path) {
    const json_t *at = result_at(result, path);
    return json_is_number(at) ? json_number_value(at) : NAN;
}

const char *result_text(const json_t *result, const char *path) {
    const char *text = json_string_value(result_at(result, path));
    return text ? text : "";
}

/* ---- reading ---- */

/* Types of fields: s text, i whole number, n number, N number or null, I whole number or null, o object, a
 * list, O object or null, b true or false. */
static int is_type(const json_t *j, char type) {
    switch (type) {
    case 's':
        return json_is_string(j);
    case 'i':
        return json_is_integer(j);
    case 'I':
        return json_is_integer(j) || json_is_null(j);
    case 'n':
        return json_is_number(j);
    case 'N':
        return json_is_number(j) || json_is_null(j);
    case 'o':
        return json_is_object(j);
    case 'O':
        return json_is_object(j) || json_is_null(j);
    case 'a':
        return json_is_array(j);
    default:
        return json_is_boolean(j);
    }
}

typedef struct {
    const char *path;
    char type;
} field;

static const field every_result[] = {
    {"command", 's'},
    {"setup", 'o'},
    {"setup.task", 's'},
    {"setup.preset", 's'},
    {"setup.seed", 'i'},
    {"setup.data", 'o'},
    {"setup.model", 'o'},
    {"setup.model.name", 's'},
    {"setup.model.width", 'i'},
    {"setup.model.blocks", 'a'},
    {"setup.model.core_parameters", 'i'},
    {"setup.model.core_off_target_percent", 'n'},
    {"setup.model.embedding_parameters", 'i'},
    {"setup.training", 'o'},
    {"setup.training.steps", 'i'},
    {"setup.training.batch", 'i'},
    {"setup.training.window", 'i'},
    {"setup.training.learning_rate", 'n'},
    {"setup.training.search", 'b'},
    {"learning_rate_search", 'a'},
    {"evaluations", 'a'},
    {"first_losses", 'a'},
    {"outcome", 'o'},
    {"outcome.diverged", 'I'},
    {"outcome.best_step", 'i'},
    {"outcome.best_valid_loss", 'N'},
    {"outcome.train_tokens", 'n'},
    {"outcome.test", 'O'},
    {"machine", 'o'},
    {"machine.cpu", 's'},
    {"machine.threads", 'i'},
    {"machine.library", 's'},
    {"machine.commit", 's'},
    {"machine.seconds", 'n'},
    {"machine.tokens_per_second", 'N'},
    {"machine.peak_memory_kib", 'i'},
};

static const field every_point[] = {
    {"step", 'i'}, {"tokens", 'n'}, {"train_loss", 'N'}, {"valid_loss", 'N'}, {"seconds", 'n'},
};

static const field every_search[] = {{"learning_rate", 'n'}};

/* What the results of one task have besides; a part that is null is not there to be asked. */
static const struct {
    const char *task, *part;
    field f;
} of_task[] = {
    {"lm", "setup.data", {"train_tokens", 'n'}},      {"lm", "setup.data", {"test_tokens", 'n'}},
    {"lm", "setup.data", {"tested_on", 'n'}},         {"lm", "setup.data", {"vocabulary", 'n'}},
    {"lm", "setup.data", {"train_crc32", 'n'}},       {"lm", "outcome.test", {"rare.tokens", 'n'}},
    {"lm", "outcome.test", {"medium.tokens", 'n'}},   {"lm", "outcome.test", {"frequent.tokens", 'n'}},
    {"lm", "outcome.test", {"overall.tokens", 'n'}},  {"nns", "outcome.test", {"by_position", 'a'}},
    {"parity", "outcome.test", {"by_position", 'a'}},
};

/* Of what xlstm-speed writes: without BLAS it has no product of matrices, and what was not run has no speed.
 */
static const field every_speed[] = {
    {"threads", 'i'}, {"read_bytes_per_second", 'n'}, {"sgemm_flops", 'N'}, {"rows", 'a'}};

static const field every_speed_row[] = {
    {"model", 's'},      {"by", 's'},      {"measure", 's'},
    {"shape", 's'},      {"weights", 's'}, {"threads", 'i'},
    {"batch", 'i'},      {"time", 'i'},    {"tokens_per_second", 'N'},
    {"peak_bytes", 'N'},
};

static int has_fields(const json_t *j, const field *fields, size_t count, char *why) {
    for (size_t i = 0; i < count; i++)
        if (!is_type(result_at(j, fields[i].path), fields[i].type)) {
            snprintf(why, RESULT_WHY, "\"%s\" is absent or of a wrong type", fields[i].path);
            return 0;
        }
    return 1;
}

#define HAS_FIELDS(j, list, why) has_fields(j, list, sizeof(list) / sizeof *(list), why)

static int all_have(const json_t *items, const field *fields, size_t count, char *why) {
    for (size_t i = 0; i < json_array_size(items); i++)
        if (!has_fields(json_array_get(items, i), fields, count, why))
            return 0;
    return 1;
}

#define ALL_HAVE(items, list, why) all_have(items, list, sizeof(list) / sizeof *(list), why)

static int has_fields_of_task(const json_t *j, const char *task, char *why) {
    for (size_t i = 0; i < sizeof of_task / sizeof *of_task; i++) {
        const json_t *part = result_at(j, of_task[i].part);
        if (!strcmp(of_task[i].task, task) && !json_is_null(part) && !has_fields(part, &of_task[i].f, 1, why))
            return 0;
    }
    return 1;
}

static int all_numbers(const json_t *list) {
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!is_type(json_array_get(list, i), 'N'))
            return 0;
    return 1;
}

/* Lists of numbers are plotted, so that is what every list of a test holds. */
static int has_test(const json_t *test, const result_kind *kind, char *why) {
    const char *key;
    json_t *value;
    for (int i = 0; i < result_columns(kind); i++) {
        field f = {kind->columns[i].path, 'N'};
        if (!has_fields(test, &f, 1, why))
            return 0;
    }
    json_object_foreach((json_t *)(uintptr_t)test, key,
                        value) if (json_is_array(value) && !all_numbers(value)) {
        snprintf(why, RESULT_WHY, "\"outcome.test.%.100s\" holds something that is no number", key);
        return 0;
    }
    return 1;
}

/* What is there besides the fields of every result. */
static int has_rest(const json_t *j, const result_kind *kind, char *why) {
    const json_t *test = result_at(j, "outcome.test");
    if (!ALL_HAVE(result_at(j, "evaluations"), every_point, why) ||
        !ALL_HAVE(result_at(j, "learning_rate_search"), every_search, why) ||
        !has_fields_of_task(j, kind->name, why))
        return 0;
    if (!all_numbers(result_at(j, "first_losses"))) {
        snprintf(why, RESULT_WHY, "\"first_losses\" holds something that is no number");
        return 0;
    }
    return json_is_null(test) || has_test(test, kind, why);
}

int speed_has_all(const json_t *j, char why[RESULT_WHY]) {
    return HAS_FIELDS(j, every_speed, why) && ALL_HAVE(result_at(j, "rows"), every_speed_row, why);
}

static result_status check_result(const json_t *j, char *why) {
    const json_t *schema = result_at(j, "schema");
    if (!json_is_object(j) || !json_is_integer(schema)) {
        snprintf(why, RESULT_WHY, "it is no result: \"schema\" is absent");
        return RESULT_FOREIGN;
    }
    if (!strcmp(result_text(j, "task"), "speed")) {
        snprintf(why, RESULT_WHY, "it is what xlstm-speed wrote; give it with --speed");
        return RESULT_FOREIGN;
    }
    if (json_integer_value(schema) != RESULT_SCHEMA) {
        snprintf(why, RESULT_WHY,
                 "it has schema version %lld and these programs read version %d; move it away and run again",
                 (long long)json_integer_value(schema), RESULT_SCHEMA);
        return RESULT_OTHER_SCHEMA;
    }
    if (!HAS_FIELDS(j, every_result, why))
        return RESULT_DAMAGED;
    const result_kind *kind = result_kind_find(result_text(j, "setup.task"));
    if (!kind) {
        snprintf(why, RESULT_WHY, "task \"%.100s\" is unknown", result_text(j, "setup.task"));
        return RESULT_DAMAGED;
    }
    return has_rest(j, kind, why) ? RESULT_OK : RESULT_DAMAGED;
}

result_status result_parse(json_t **out, const char *text, size_t size, char why[RESULT_WHY]) {
    json_error_t error;
    json_t *j = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    *out = NULL;
    why[0] = 0;
    if (!j) {
        snprintf(why, RESULT_WHY, "it is no JSON: line %d: %s", error.line, error.text);
        return RESULT_DAMAGED;
    }
    result_status status = check_result(j, why);
    if (status == RESULT_OK)
        *out = j;
    else
        json_decref(j);
    return status;
}

result_status result_read(json_t **out, const char *path, char why[RESULT_WHY]) {
    size_t size;
    char *text = read_file(path, &size);
    *out = NULL;
    if (!text) {
        result_status status = errno == ENOENT ? RESULT_MISSING : RESULT_UNREADABLE;
        snprintf(why, RESULT_WHY, "it cannot be read (%s)", strerror(errno));
        return status;
    }
    result_status status = result_parse(out, text, size, why);
    free(text);
    return status;
}

/* ---- comparing ---- */

static char *dump(const json_t *j) {
    return json_dumps(j, JSON_SORT_KEYS | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
}

static int same_text(const json_t *here, const json_t *there, const char *path, char *says) {
    char *a = dump(here), *b = dump(there);
    int same = a && b ? !strcmp(a, b) : a == b;
    if (!same && says)
        snprintf(says, RESULT_DIFFERENCE, "%.60s is %.40s there and %.40s here", path, b ? b : "absent",
                 a ? a : "absent");
    free(a);
    free(b);
    return same;
}

/* Until models were described by their whole configuration, six fields had other names, and others were not
 * there: those are taken to be as they are now. */
static int is_older(const json_t *model) {
    return json_object_get(model, "tied_embedding") != NULL;
}

static json_t *renewed(const json_t *older, const json_t *model) {
    static const char *const names[][2] = {
        {"heads", "num_heads"}, {"tied_embedding", "tie_weights"}, {"embedding_decays", "decay_embedding"}};
    static const char *const biases[] = {"powerlaw_blockdependent", "small_init", "standard", "zeros"};
    json_t *m = json_copy((json_t *)(uintptr_t)older);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        json_object_set(m, names[i][1], json_object_get(m, names[i][0]));
        json_object_del(m, names[i][0]);
    }
    json_object_set_new(m, "slstm_recurrent_uniform",
                        json_boolean(!strcmp(result_text(m, "slstm_recurrent_init"), "uniform")));
    json_object_del(m, "slstm_recurrent_init");
    json_int_t bias = json_integer_value(json_object_get(m, "slstm_bias_init"));
    json_object_set_new(m, "slstm_bias_init", json_string(biases[bias & 3]));
    json_object_update_missing(m, (json_t *)(uintptr_t)model);
    return m;
}

static int same_below(const json_t *here, const json_t *there, char path[128], char *says);

static int same_renewed(const json_t *here, const json_t *there, char path[128], char *says) {
    json_t *new = is_older(here) ? renewed(here, there) : renewed(there, here);
    int same = is_older(here) ? same_below(new, there, path, says) : same_below(here, new, path, says);
    json_decref(new);
    return same;
}

/* @param path of what is compared; it gets longer on the way down */
static int same_below(const json_t *here, const json_t *there, char path[128], char *says) {
    if (!json_is_object(here) || !json_is_object(there))
        return same_text(here, there, path, says);
    if (is_older(here) != is_older(there))
        return same_renewed(here, there, path, says);
    size_t n = strlen(path);
    const char *key;
    json_t *value, *both = json_copy((json_t *)(uintptr_t)there); /* keys of either */
    int same = !json_object_update(both, (json_t *)(uintptr_t)here);
    json_object_foreach(both, key, value) {
        snprintf(path + n, 128 - n, "%s%s", n ? "." : "", key);
        if (!same_below(json_object_get(here, key), json_object_get(there, key), path, says)) {
            same = 0;
            break;
        }
    }
    path[n] = 0;
    json_decref(both);
    return same;
}

int result_same(const json_t *here, const json_t *there, char says[RESULT_DIFFERENCE]) {
    char path[128] = "";
    return same_below(here, there, path, says);
}

/* ---- writing ---- */

char *join(const char *dir, const char *name, const char *ending) {
    char *path = need(strlen(dir) + strlen(name) + strlen(ending) + 2);
    sprintf(path, "%s/%s%s", dir, name, ending);
    return path;
}

json_t *number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *processor_name(void) {
    char line[256];
    json_t *name = NULL;
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && !name && fgets(line, sizeof line, f))
        if (!strncmp(line, "model name", 10) && strchr(line, ':')) {
            line[strcspn(line, "\n")] = 0;
            name = json_string(strchr(line, ':') + 2);
        }
    if (f)
        fclose(f);
    return name ? name : json_string("unknown");
}

void write_json(const char *path, json_t *root) {
    char *text = path ? json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) : NULL;
    if (path && !text)
        die("no memory for %s", path);
    size_t size = path ? strlen(text) : 0;
    if (path) {
        text[size] = '\n'; /* in the place of its end */
        check(xlstm_file_write(path, text, size + 1));
    }
    free(text);
    json_decref(root);
}

void result_set_aside(const char *path, const char *why) {
    char *aside = need(strlen(path) + 32);
    sprintf(aside, "%s.damaged", path);
    for (int i = 2; access(aside, F_OK) == 0; i++)
        sprintf(aside, "%s.damaged.%d", path, i);
    if (rename(path, aside))
        die("%s is damaged (%s) and cannot be renamed to %s (%s)", path, why, aside, strerror(errno));
    fprintf(stderr, "%s: %s is damaged (%s); it is kept as %s\n", program_invocation_short_name, path, why,
            aside);
    free(aside);
}
