/* Every backend that the machine has computes the same to rounding; others are refused, by name and in the
 * environment. */
#include "xlstm.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { B = 2, T = 9, V = 13 };

static xlstm_module *make_model(void) {
    xlstm_config c;
    xlstm_module *m;
    xlstm_config_init(&c, XLSTM_MLSTM);
    assert_int_equal(xlstm_config_mix(&c, "1:1"), XLSTM_OK);
    c.vocab_size = V;
    c.embedding_dim = 24;
    c.num_blocks = 2;
    assert_int_equal(xlstm_model_create(&m, &c, 1), XLSTM_OK);
    return m;
}

static void run(const xlstm_module *m, xlstm_real *logits) {
    static const int32_t tokens[B * T] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    xlstm_session *s;
    assert_int_equal(xlstm_session_create(&s, m, B, T), XLSTM_OK);
    assert_int_equal(xlstm_session_tokens(s, tokens, T, logits), XLSTM_OK);
    xlstm_session_free(s);
}

/* Before anything else: the variable is looked at once, by the first that needs it. */
static void test_environment(void **state) {
    (void)state;
    char *outer = getenv("XLSTM_BACKEND"), *kept = outer ? strdup(outer) : NULL;
    xlstm_module *m = make_model();
    xlstm_session *s;
    setenv("XLSTM_BACKEND", "abacus", 1);
    assert_int_equal(xlstm_session_create(&s, m, 1, 1), XLSTM_E_ARGUMENT);
    assert_null(s);
    assert_non_null(strstr(xlstm_last_error(), "\"abacus\""));
    assert_non_null(strstr(xlstm_last_error(), "ref"));
    setenv("XLSTM_BACKEND", "ref", 1);
    assert_int_equal(xlstm_session_create(&s, m, 1, 1), XLSTM_OK);
    assert_string_equal(xlstm_get_backend(), "ref");
    xlstm_session_free(s);
    xlstm_module_free(m);
    if (kept)
        setenv("XLSTM_BACKEND", kept, 1);
    else
        unsetenv("XLSTM_BACKEND");
    free(kept);
}

static void test_all_agree(void **state) {
    (void)state;
    xlstm_real want[B * T * V], got[B * T * V];
    const char *name;
    int there = 0, differ = 0;
    xlstm_module *m = make_model();
    assert_int_equal(xlstm_set_backend("ref"), XLSTM_OK);
    run(m, want);
    for (int i = 0; (name = xlstm_backend_name(i)); i++) {
        if (xlstm_set_backend(name) != XLSTM_OK) {
            assert_string_not_equal(name, "base");
            continue;
        }
        assert_string_equal(xlstm_get_backend(), name);
        run(m, got);
        for (int k = 0; k < B * T * V; k++)
            assert_true(fabs((double)got[k] - (double)want[k]) < 1e-5);
        differ += memcmp(got, want, sizeof got) != 0;
        there++;
    }
    assert_true(there >= 2 && differ >= 1); /* other kernels did run */
    assert_null(xlstm_backend_name(-1));
    assert_int_equal(xlstm_set_backend("avx1024"), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_set_backend(""), XLSTM_E_ARGUMENT);
    assert_string_equal(xlstm_get_backend(), "ref"); /* the last of the list */
    assert_int_equal(xlstm_set_backend(NULL), XLSTM_OK);
    assert_string_not_equal(xlstm_get_backend(), "ref");
    xlstm_module_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_environment), cmocka_unit_test(test_all_agree)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
