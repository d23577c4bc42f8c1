/* A result of the benchmark programs: what is accepted has every number and text that tables and reports look
 * at, and is written and read again as the same; what is refused has a reason that fits its room. First byte
 * even: the rest is the file. Odd: the rest are edits (place, place, value) of a good one, so that they get
 * past the schema. */
#include "fuzz/fuzz.h"
#include "result.h"
#include <math.h>

/* With every field, as short as it can be. */
static const char good[] =
    "{\"schema\":2,\"command\":\"x\",\"setup\":{\"task\":\"nns\",\"preset\":\"p\",\"seed\":1,\"data\":{},"
    "\"model\":{\"name\":\"m\",\"width\":8,\"blocks\":[\"s\"],\"core_parameters\":9,\"embedding_parameters\":"
    "0},"
    "\"training\":{\"steps\":2,\"batch\":1,\"learning_rate\":0.1,\"search\":false}},"
    "\"learning_rate_search\":[],\"evaluations\":[{\"step\":1,\"tokens\":4,\"train_loss\":0.5,"
    "\"valid_loss\":null,\"seconds\":0.1}],\"first_losses\":[1,0.5,null],"
    "\"outcome\":{\"diverged\":null,\"best_step\":1,\"best_valid_loss\":0.5,\"train_tokens\":8,"
    "\"test\":{\"last\":1,\"length_2_16\":1,\"length_17_32\":1,\"length_33_48\":1,\"length_49_64\":1,\"all\":"
    "1,"
    "\"by_position\":[1,2]}},"
    "\"machine\":{\"cpu\":\"c\",\"threads\":1,\"library\":\"l\",\"commit\":\"c\",\"seconds\":1,"
    "\"tokens_per_second\":8,\"peak_memory_kib\":1}}";

static int number_or_null(const json_t *result, const char *path) {
    const json_t *at = result_at(result, path);
    return json_is_null(at) || (json_is_number(at) && !isnan(result_number(result, path)));
}

static void check_evaluations(const json_t *result) {
    const json_t *points = result_at(result, "evaluations"), *losses = result_at(result, "first_losses");
    MUST(json_is_array(points) && json_is_array(losses));
    for (size_t i = 0; i < json_array_size(points); i++)
        MUST(!isnan(result_number(json_array_get(points, i), "tokens")) &&
             number_or_null(json_array_get(points, i), "valid_loss"));
    for (size_t i = 0; i < json_array_size(losses); i++)
        MUST(number_or_null(json_array_get(losses, i), ""));
}

/* What the programs that read results look at. */
static void check_fields(const json_t *result) {
    const result_kind *kind = result_kind_find(result_text(result, "setup.task"));
    const json_t *test = result_at(result, "outcome.test");
    MUST(kind && json_is_string(result_at(result, "setup.model.name")));
    MUST(json_is_object(result_at(result, "setup.data")));
    MUST(!isnan(result_number(result, "setup.seed")));
    MUST(!isnan(result_number(result, "setup.training.learning_rate")));
    MUST(number_or_null(result, "outcome.best_valid_loss") && number_or_null(result, "outcome.diverged"));
    MUST(!isnan(result_number(result, "machine.seconds")));
    MUST(json_is_null(test) || json_is_object(test));
    for (int i = 0; i < result_columns(kind) && !json_is_null(test); i++)
        MUST(number_or_null(test, kind->columns[i].path));
    check_evaluations(result);
}

/* Numbers are written with as many digits as it takes. */
static void check_again(json_t *result, const char *path) {
    char why[RESULT_WHY];
    json_t *again;
    MUST(!json_dump_file(result, path, JSON_INDENT(1) | JSON_REAL_PRECISION(17)));
    MUST(result_read(&again, path, why) == RESULT_OK && !*why);
    MUST(json_equal(result, again));
    json_decref(again);
}

static void judge(const char *bytes, size_t size) {
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
        check_fields(result);
        check_again(result, path);
    }
    json_decref(result);
    json_decref(same);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char edited[sizeof good];
    size_t length = sizeof good - 1;
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
