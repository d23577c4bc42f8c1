/* What recipes and layers say of themselves is true: models whose configurations have one normal form compute
 * the same, for every kind of block and every field of a configuration. */
#include "model/recipes.h"
#include "model/module.h"
#include "programs/compare.h"
#include "support/kinds.h"
#include "support/random.h"
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { T = 7, WIDE = 16 };

/* ---- every field, at some other values ---- */

/* 0: what only changes speed, files or first values */
static int is_computed(int field) {
#define COMPUTED_MODEL 1
#define COMPUTED_TOKENS 1
#define COMPUTED_VECTORS 1
#define COMPUTED_LAYERS 1
#define COMPUTED_LAYERS_STRICT 1
#define COMPUTED_NOBODY 0
    static const int computed[] = {
#define XLSTM_FIELD(type, name, initial, low, high, read_by, json) COMPUTED_##read_by,
#include "xlstm/config.def"
    };
    return computed[field];
}

static const char *name_of(int field) {
    static const char *const names[] = {
#define XLSTM_FIELD(type, name, initial, low, high, read_by, json) #name,
#include "xlstm/config.def"
    };
    return names[field];
}

enum { CHANGES = 5 };
static double other(double value, int how) {
    const double others[CHANGES] = {value + 1, value - 1, value / 2, 1e-5, 1e-2};
    return others[how];
}

static void change(xlstm_config *c, int field, int how) {
    switch (field) {
#define XLSTM_FIELD(type, name, initial, low, high, read_by, json)                                           \
    case XL_FIELD_##name: {                                                                                  \
        double value = other((double)c->name, how);                                                          \
        c->name = value < 0 ? c->name : (type)value;                                                         \
        break;                                                                                               \
    }
#include "xlstm/config.def"
    }
}

/* A flag is 0 or not. */
static int same(const xlstm_config *a, const xlstm_config *b) {
#define XLSTM_FLAG(name, initial, read_by)                                                                   \
    if (!a->name != !b->name)                                                                                \
        return 0;
#define XLSTM_FIELD(type, name, initial, low, high, read_by, json)                                           \
    if (a->name != b->name)                                                                                  \
        return 0;
#include "xlstm/config.def"
    return !memcmp(a->block_kind, b->block_kind, (size_t)a->num_blocks);
}

static int same_form(xlstm_config a, xlstm_config b) {
    xl_config_normalise(&a);
    xl_config_normalise(&b);
    return same(&a, &b);
}

/* ---- what a model computes ---- */

/* Of weights that are the same wherever their sizes are. */
static xlstm_status outputs(const xlstm_config *c, xlstm_real y[T * WIDE]) {
    xlstm_module *m;
    xlstm_session *s;
    int32_t tokens[T];
    xlstm_real vectors[T * WIDE];
    memset(y, 0, T * WIDE * sizeof *y);
    XL_TRY(xlstm_model_create(&m, c, 5));
    if (c->weights == XLSTM_WEIGHTS_REAL)
        jitter(m, 0.3, 6);
    fill_tokens(tokens, T, c->vocab_size ? c->vocab_size : 1, 7);
    fill_normal(vectors, T * WIDE, 1, 8);
    assert_int_equal(xlstm_session_create(&s, m, 1, T), XLSTM_OK);
    assert_true(xlstm_module_output_dim(m) <= WIDE && xlstm_module_input_dim(m) <= WIDE);
    assert_int_equal(c->vocab_size ? xlstm_session_tokens(s, tokens, T, y)
                                   : xlstm_session_vectors(s, vectors, T, y),
                     XLSTM_OK);
    xlstm_session_free(s);
    xlstm_module_free(m);
    return XLSTM_OK;
}

typedef struct {
    int equal, different; /* pairs of one normal form, and of two */
} tally;

static void compare(const xlstm_config *a, const xlstm_real *here, int field, int how, tally *seen) {
    xlstm_config b = *a;
    xlstm_real there[T * WIDE];
    change(&b, field, how);
    if (same(a, &b) || xlstm_config_check(&b) != XLSTM_OK)
        return;
    if (!same_form(*a, b)) {
        seen->different++;
        return;
    }
    seen->equal++;
    assert_int_equal(outputs(&b, there), XLSTM_OK);
    if (!same_numbers(here, there, T * WIDE))
        fail_msg("%s: models that differ in %s (change %d) have one normal form, and compute two things",
                 xlstm_block_kind_name((xlstm_block_kind)a->block_kind[0]), name_of(field), how);
}

static xlstm_config config_of(int kind, int ends) {
    xlstm_config c = small_config((xlstm_block_kind)(kind < XLSTM_BLOCK_KINDS ? kind : XLSTM_TRANSFORMER));
    if (kind == XLSTM_BLOCK_KINDS)
        c.block_kind[1] = XLSTM_MLSTM;
    if (ends) {
        c.vocab_size = 0;
        c.input_dim = 3;
        c.output_dim = 2;
    }
    return c;
}

static void test_normal_forms(void **state) {
    (void)state;
    for (int kind = 0; kind <= XLSTM_BLOCK_KINDS + 1; kind++) {
        const xlstm_config c = config_of(kind % (XLSTM_BLOCK_KINDS + 1), kind > XLSTM_BLOCK_KINDS);
        xlstm_real here[T * WIDE];
        tally seen = {0, 0};
        assert_int_equal(outputs(&c, here), XLSTM_OK);
        for (int field = 0; field < XL_FIELDS; field++)
            for (int how = 0; how < CHANGES && is_computed(field); how++)
                compare(&c, here, field, how, &seen);
        assert_in_range(seen.equal, 20, 1000); /* both happen, so the comparison says something */
        assert_in_range(seen.different, 20, 1000);
    }
}

/* A field counts where a layer reads it, whatever the block is called. */
static void test_fields_of_layers(void **state) {
    (void)state;
    for (int kind = 0; kind < XLSTM_BLOCK_KINDS; kind++) {
        const xl_recipe *r = xl_recipe_of(kind);
        uint64_t reads = 0;
        xlstm_config a = small_config((xlstm_block_kind)kind), b = a;
        for (int i = 0; i < xl_recipe_sublayers(r); i++)
            reads |= r->sublayers[i].layer->reads;
        b.mlstm_eps = 1e-2;
        assert_int_equal(same_form(a, b), !(reads & XL_READS(mlstm_eps)));
        b.mlstm_eps = 1e-6; /* what 0 stands for */
        assert_true(same_form(a, b));
    }
}

/* ---- as JSON ---- */

/* Every field of every kind, there and back; the type of matrices is no matter of the text. */
static void test_json(void **state) {
    (void)state;
    for (int kind = 0; kind <= XLSTM_BLOCK_KINDS; kind++)
        for (int field = 0; field < XL_FIELDS; field++)
            for (int how = 0; how < CHANGES && field != XL_FIELD_weights; how++) {
                xlstm_config c = config_of(kind, how % 2), back;
                char text[4096];
                size_t bytes;
                change(&c, field, how);
                if (xlstm_config_check(&c) != XLSTM_OK)
                    continue;
                assert_int_equal(xlstm_config_to_json(&c, text, sizeof text, &bytes), XLSTM_OK);
                assert_int_equal(strlen(text) + 1, bytes);
                assert_int_equal(xlstm_config_from_json(text, &back), XLSTM_OK);
                if (!same(&c, &back))
                    fail_msg("%s, %s (change %d): %s is another configuration",
                             xlstm_block_kind_name((xlstm_block_kind)kind), name_of(field), how, text);
            }
}

/* Whatever format a file has, it does not lose what the model computes. (Factors of xLSTM-7B may come back as
 * others that give the same widths.) */
static void test_files(void **state) {
    (void)state;
    char path[] = "/tmp/xlstm_kinds_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    for (int kind = 0; kind <= XLSTM_BLOCK_KINDS; kind++)
        for (int field = 0; field < XL_FIELDS; field++)
            for (int how = 0; how < CHANGES && field != XL_FIELD_weights; how++) {
                xlstm_config c = config_of(kind, 0), back;
                change(&c, field, how);
                if (xlstm_config_check(&c) != XLSTM_OK)
                    continue;
                assert_int_equal(xlstm_config_save(&c, path), XLSTM_OK);
                assert_int_equal(xlstm_config_load(path, &back), XLSTM_OK);
                back.qk_dim_factor = c.qk_dim_factor;
                back.v_dim_factor = c.v_dim_factor;
                if (!same_form(c, back))
                    fail_msg("%s, %s (change %d): lost in a file",
                             xlstm_block_kind_name((xlstm_block_kind)c.block_kind[0]), name_of(field), how);
            }
    unlink(path);
}

/* ---- recipes ---- */

/* Never all rows in silence where a recipe wants some. */
static void test_rows_are_refused(void **state) {
    (void)state;
    for (int kind = 0; kind < XLSTM_BLOCK_KINDS; kind++) {
        xl_recipe r = *xl_recipe_of(kind);
        assert_int_equal(xl_recipe_check(&r), XLSTM_OK);
        r.sublayers[xl_recipe_sublayers(&r) - 1].rows = XL_ROWS_GROUPED;
        assert_int_equal(xl_recipe_check(&r), XLSTM_E_CONFIG);
        assert_non_null(strstr(xlstm_last_error(), r.name));
        assert_non_null(strstr(xlstm_last_error(), "is for some rows of a batch only"));
    }
}

static void test_names(void **state) {
    (void)state;
    for (int a = 0; a < XLSTM_BLOCK_KINDS; a++) {
        assert_non_null(xlstm_block_kind_name((xlstm_block_kind)a));
        for (int b = 0; b < a; b++)
            assert_string_not_equal(xlstm_block_kind_name((xlstm_block_kind)a),
                                    xlstm_block_kind_name((xlstm_block_kind)b));
    }
    assert_null(xl_recipe_of(-1));
    assert_null(xl_recipe_of(XLSTM_BLOCK_KINDS));
}

/* ---- ranges ---- */

/* A bound is what the field's type makes of it. */
static void test_bounds_of_floats(void **state) {
    (void)state;
    xlstm_config c = small_config(XLSTM_SLSTM);
    c.dropout = c.ffn_dropout = 0.99f; /* a little more than 0.99 */
    assert_int_equal(xlstm_config_check(&c), XLSTM_OK);
    c.dropout = 0.9900001f;
    assert_int_equal(xlstm_config_check(&c), XLSTM_E_CONFIG);
    assert_non_null(strstr(xlstm_last_error(), "; it must be 0 to 0.99"));
    c.dropout = 0;
    c.slstm_bias_init =
        (xlstm_bias_init)4; /* no model has it, also none without sLSTM: files have its name */
    memset(c.block_kind, XLSTM_MLSTM, sizeof c.block_kind);
    assert_int_equal(xlstm_config_check(&c), XLSTM_E_CONFIG);
    c = small_config(XLSTM_LSTM);
    c.mlstm_conv = -5; /* nothing reads it */
    c.mlstm_proj_factor = -1;
    assert_int_equal(xlstm_config_check(&c), XLSTM_OK);
    c = small_config(XLSTM_MLSTM);
    c.mlstm_proj_factor = 65;
    assert_int_equal(xlstm_config_check(&c), XLSTM_E_CONFIG);
    c.mlstm_inner = 24; /* of both, only files have the factor */
    assert_int_equal(xlstm_config_check(&c), XLSTM_OK);
}

/* ---- every real field, at the ends of numbers ---- */

static const double ends[] = {1e-46, -1e-46, 1e-320, 1e-44, 1e39, -1e39, 1e308, INFINITY, -INFINITY, NAN};
enum { ENDS = sizeof ends / sizeof *ends };

#define IS_REAL(type) _Generic((type)0, float : 1, double : 1, default : 0)

/* What a check lets pass is the same number as a float, within the bounds as the field's type has them. */
static void check_end(const xlstm_config *c, const char *name, double value, double low, double high,
                      int is_float) {
    if (xlstm_config_check(c))
        return;
    int in_range = is_float ? value >= (double)(float)low && value <= (double)(float)high
                            : value >= low && value <= high;
    if (!in_range || (value != 0 && (float)value == 0))
        fail_msg("%s: %g passed", name, value);
}

static void fields_at(xlstm_config start, double end, int *refused) {
    xlstm_config changed, *c = &changed;
    int field = 0, counts;
#define XLSTM_FIELD(type, name, initial, low, high, read_by, json)                                           \
    changed = start;                                                                                         \
    changed.name = (type)(IS_REAL(type) ? -1e30 : (double)start.name);                                       \
    counts = IS_REAL(type) && xlstm_config_check(c); /* some layer reads it */                               \
    changed.name = (type)(IS_REAL(type) ? end : (double)start.name);                                         \
    if (counts)                                                                                              \
        check_end(c, #name, (double)changed.name, low, high, sizeof(type) == sizeof(float));                 \
    refused[field++] += IS_REAL(type) && xlstm_config_check(c) == XLSTM_E_CONFIG;
#include "xlstm/config.def"
}

/* As a number in a file's JSON, where it is a double for every field. */
static void json_at(double end, const char *text, int *refused) {
    char json[256];
    xlstm_config c;
    int field = 0;
#define XLSTM_FIELD(type, name, initial, low, high, read_by, form)                                           \
    snprintf(json, sizeof json,                                                                              \
             "{\"model_type\": \"libxlstm\", \"blocks\": [\"slstm\"], \"vocab_size\": 10, \"" #name          \
             "\": %s}",                                                                                      \
             text);                                                                                          \
    if (IS_REAL(type) && !xlstm_config_from_json(json, &c))                                                  \
        fail_msg("%s at %s passed, and is %g", #name, text, (double)c.name);                                 \
    refused[field++] +=                                                                                      \
        IS_REAL(type) && !!strstr(xlstm_last_error(), isinf(end) ? "JSON is malformed" : #name);
#include "xlstm/config.def"
}

static void test_ends_of_numbers(void **state) {
    static const char *const texts[] = {"1e-46", "1e-320", "-1e-46", "1e39", "1e308", "-1e308", "1e400"};
    enum { TEXTS = sizeof texts / sizeof *texts };
    (void)state;
    const int real[] = {
#define XLSTM_FIELD(type, name, initial, low, high, read_by, json) IS_REAL(type),
#include "xlstm/config.def"
    };
    int seen[XL_FIELDS] = {0}, in_json[XL_FIELDS] = {0};
    for (int kind = 0; kind <= XLSTM_BLOCK_KINDS; kind++)
        for (int i = 0; i < ENDS; i++)
            fields_at(config_of(kind, 0), ends[i], seen);
    for (int i = 0; i < TEXTS; i++)
        json_at(strtod(texts[i], NULL), texts[i], in_json);
    for (int field = 0; field < XL_FIELDS; field++)
        if (real[field] && (seen[field] < 6 || in_json[field] != TEXTS))
            fail_msg("%s: refused %d times, in JSON %d times by its name", name_of(field), seen[field],
                     in_json[field]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_normal_forms),
        cmocka_unit_test(test_fields_of_layers),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_rows_are_refused),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_bounds_of_floats),
        cmocka_unit_test(test_ends_of_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
