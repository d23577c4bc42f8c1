/* A module's fingerprint is made of the bytes that module.h says, and tells modules apart that make something
 * else of a state. */
#include "support/kinds.h"
#include "support/random.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static uint64_t print_of(const xlstm_module *m) {
    uint64_t print = 1;
    assert_int_equal(xlstm_module_fingerprint(m, &print), XLSTM_OK);
    return print;
}

static uint64_t print_of_config(const xlstm_config *c) {
    xlstm_module *m;
    assert_int_equal(xlstm_model_create(&m, c, 1), XLSTM_OK);
    uint64_t print = print_of(m);
    xlstm_module_free(m);
    return print;
}

/* ---- the bytes, once more and from the header alone ---- */

typedef struct {
    unsigned char bytes[1 << 16];
    size_t count;
} record;

static void add(record *r, const void *bytes, size_t count) {
    assert_true(r->count + count <= sizeof r->bytes);
    memcpy(r->bytes + r->count, bytes, count);
    r->count += count;
}

static void add_number(record *r, int64_t x) {
    for (int i = 0; i < 8; i++)
        add(r, &(unsigned char){(unsigned char)((uint64_t)x >> 8 * i)}, 1);
}

static void add_floats(record *r, const xlstm_real *x, size_t count) {
    for (size_t i = 0; i < count; i++) {
        float number = (float)x[i];
        uint32_t bits;
        memcpy(&bits, &number, sizeof bits);
        for (int k = 0; k < 4; k++)
            add(r, &(unsigned char){(unsigned char)(bits >> 8 * k)}, 1);
    }
}

static void add_parameter(record *r, const xlstm_module *m, int index) {
    xlstm_parameter p;
    assert_int_equal(xlstm_module_parameter(m, index, &p), XLSTM_OK);
    xlstm_real *x = copy_parameter(m, index);
    add(r, p.name, strlen(p.name) + 1);
    add_number(r, p.ndim);
    for (int i = 0; i < p.ndim; i++)
        add_number(r, p.shape[i]);
    for (size_t i = 0; p.count > 1024 && i < 16; i++)
        add_floats(r, x + (p.count - 64) * i / 15, 64);
    if (p.count <= 1024)
        add_floats(r, x, p.count);
    free(x);
}

static uint64_t fnv(const record *r) {
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < r->count; i++)
        hash = (hash ^ r->bytes[i]) * 1099511628211u;
    return hash;
}

static void test_cell(void **state) {
    (void)state;
    static record r;
    xlstm_cell_config c;
    xlstm_module *m;
    xlstm_cell_config_init(&c, XLSTM_CELL_LSTM);
    c.hidden_size = 24; /* the recurrent matrix has 2304 numbers */
    assert_int_equal(xlstm_cell_create(&m, &c, 7), XLSTM_OK);
    add(&r, "cell", 5);
    for (int i = 0; i < xlstm_module_parameter_count(m); i++)
        add_parameter(&r, m, i);
    assert_true(print_of(m) == fnv(&r));
    xlstm_module_free(m);
}

static void test_model(void **state) {
    (void)state;
    static record r;
    xlstm_config c;
    xlstm_module *m;
    const double eps = 1e-5; /* what 0 stands for */
    xlstm_config_init(&c, XLSTM_LSTM);
    c.vocab_size = 11;
    c.embedding_dim = 24;
    assert_int_equal(xlstm_model_create(&m, &c, 7), XLSTM_OK);
    add(&r, "model", 6);
    add(&r, "vocab_size", 11);
    add_number(&r, 11);
    add(&r, "embedding_dim", 14);
    add_number(&r, 24);
    add(&r, "norm_eps", 9);
    uint64_t bits;
    memcpy(&bits, &eps, sizeof bits);
    add_number(&r, (int64_t)bits);
    for (int i = 0; i < 2; i++)
        add(&r, "lstm", 5);
    for (int i = 0; i < xlstm_module_parameter_count(m); i++)
        add_parameter(&r, m, i);
    assert_true(print_of(m) == fnv(&r));
    xlstm_module_free(m);
}

/* ---- what differs, and what does not ---- */

static void test_kinds(void **state) {
    (void)state;
    uint64_t seen[2 * TEST_KINDS];
    for (int i = 0; i < 2 * TEST_KINDS; i++) {
        char name[64];
        xlstm_module *m, *again;
        assert_int_equal(create_kind(&m, i / 2, name, i % 2 ? 5 : 6), XLSTM_OK);
        assert_int_equal(create_kind(&again, i / 2, name, i % 2 ? 5 : 6), XLSTM_OK);
        seen[i] = print_of(m);
        assert_true(seen[i] == print_of(again));
        for (int k = 0; k < i; k++)
            if (seen[k] == seen[i])
                fail_msg("%s has the fingerprint of another module", name);
        xlstm_module_free(m);
        xlstm_module_free(again);
    }
}

/* Any number of a small tensor, the last of a large one, and back. */
static void test_weights(void **state) {
    (void)state;
    xlstm_config c = small_config(XLSTM_MLSTM);
    xlstm_module *m;
    c.vocab_size = 300; /* of 12 numbers each */
    assert_int_equal(xlstm_model_create(&m, &c, 3), XLSTM_OK);
    const uint64_t before = print_of(m);
    for (int i = 0; i < xlstm_module_parameter_count(m); i++) {
        xlstm_parameter p;
        assert_int_equal(xlstm_module_parameter(m, i, &p), XLSTM_OK);
        xlstm_real *x = copy_parameter(m, i), kept = x[p.count - 1];
        x[p.count - 1] = kept + 1;
        assert_int_equal(xlstm_module_write(m, i, x), XLSTM_OK);
        assert_true(print_of(m) != before);
        x[p.count - 1] = kept;
        assert_int_equal(xlstm_module_write(m, i, x), XLSTM_OK);
        assert_true(print_of(m) == before);
        free(x);
    }
    xlstm_module_free(m);
}

static void test_config(void **state) {
    (void)state;
    xlstm_config c = small_config(XLSTM_MLSTM_LARGE), other = c;
    const uint64_t plain = print_of_config(&c);
    other.gate_soft_cap = 7;
    assert_true(print_of_config(&other) != plain);
    other = c;
    other.output_logit_soft_cap = 7;
    assert_true(print_of_config(&other) != plain);
    other = c;
    other.norm_eps = 1e-3;
    assert_true(print_of_config(&other) != plain);
    other.norm_eps = 1e-6; /* as 0 is read */
    assert_true(print_of_config(&other) == plain);
    other = c;
    other.chunk_size = 8;
    other.dropout = 0.5f;
    other.decay_embedding = other.embedding_dropout = 1;
    other.slstm_conv = 2; /* of blocks that it does not have */
    assert_true(print_of_config(&other) == plain);
}

/* A matrix is what its numbers are, whatever they are kept in. */
static void test_types(void **state) {
    (void)state;
    xlstm_config c = small_config(XLSTM_MLSTM), as_real;
    xlstm_module *m, *smaller, *same;
    c.vocab_size = 300;
    assert_int_equal(xlstm_model_create(&m, &c, 3), XLSTM_OK);
    for (int w = XLSTM_WEIGHTS_BF16; w < XLSTM_WEIGHTS_KINDS; w++) {
        assert_int_equal(xlstm_module_quantize(&smaller, m, (xlstm_weights)w), XLSTM_OK);
        as_real = *xlstm_module_config(smaller);
        as_real.weights = XLSTM_WEIGHTS_REAL;
        assert_int_equal(xlstm_model_create(&same, &as_real, 0), XLSTM_OK);
        for (int i = 0; i < xlstm_module_parameter_count(m); i++) {
            xlstm_real *x = copy_parameter(smaller, i);
            assert_int_equal(xlstm_module_write(same, i, x), XLSTM_OK);
            free(x);
        }
        assert_true(print_of(smaller) == print_of(same));
        assert_true(print_of(smaller) != print_of(m));
        xlstm_module_free(smaller);
        xlstm_module_free(same);
    }
    xlstm_module_free(m);
}

static void test_nan(void **state) {
    (void)state;
    char name[64];
    xlstm_module *m;
    assert_int_equal(create_kind(&m, 0, name, 1), XLSTM_OK);
    xlstm_real *x = copy_parameter(m, 0);
    x[0] = (xlstm_real)NAN;
    assert_int_equal(xlstm_module_write(m, 0, x), XLSTM_OK);
    uint64_t one = print_of(m);
    x[0] = -(xlstm_real)NAN;
    assert_int_equal(xlstm_module_write(m, 0, x), XLSTM_OK);
    assert_true(print_of(m) == one);
    free(x);
    xlstm_module_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cell),   cmocka_unit_test(test_model),
                                       cmocka_unit_test(test_kinds),  cmocka_unit_test(test_weights),
                                       cmocka_unit_test(test_config), cmocka_unit_test(test_types),
                                       cmocka_unit_test(test_nan)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
