/* Every backend that the machine has computes the same to rounding; others are refused, by name and in the
 * environment. */
#include "programs/compare.h"
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
    xlstm_module_free(m);
    m = make_model(); /* modules only lie there: who computes with them asks for kernels */
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
        comparison c = compare_numbers(got, want, B * T * V);
        if (!agrees(&c, 1e-5))
            fail_msg("%s: " APART, name, APART_OF(c));
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

static void tokens(xlstm_session *s, xlstm_real *logits) {
    static const int32_t text[B * T] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    assert_int_equal(xlstm_session_reset(s, -1), XLSTM_OK);
    assert_int_equal(xlstm_session_tokens(s, text, T, logits), XLSTM_OK);
}

static void step(xlstm_trainer *t, xlstm_optimizer *o, xlstm_loss *loss, double *norm) {
    static const int32_t text[B * T] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    xlstm_batch batch = {.struct_size = sizeof batch, .tokens = text, .targets = text};
    assert_int_equal(xlstm_trainer_zero_gradients(t), XLSTM_OK);
    assert_int_equal(xlstm_trainer_backward(t, &batch, loss), XLSTM_OK);
    assert_int_equal(xlstm_optimizer_step(o, t, 0, norm), XLSTM_OK);
}

/* Whatever is chosen later: the bits of those kernels, and no more scratch than these were planned for. */
static void test_objects_keep_their_kernels(void **state) {
    (void)state;
    xlstm_real want[B * T * V], got[B * T * V];
    const char *name;
    for (int i = 0; (name = xlstm_backend_name(i)); i++) {
        xlstm_module *m = make_model();
        xlstm_session *s;
        xlstm_trainer *t;
        xlstm_optimizer *o;
        xlstm_trainer_config how;
        xlstm_optimizer_config rule;
        xlstm_loss before, after;
        double norm_before, norm_after;
        xlstm_trainer_config_init(&how);
        xlstm_optimizer_config_init(&rule, XLSTM_ADAMW);
        how.batch = B, how.time = T;
        if (xlstm_set_backend(name) == XLSTM_OK) {
            assert_int_equal(xlstm_session_create(&s, m, B, T), XLSTM_OK);
            assert_int_equal(xlstm_trainer_create(&t, m, &how), XLSTM_OK);
            assert_int_equal(xlstm_optimizer_create(&o, m, &rule), XLSTM_OK);
            tokens(s, want);
            step(t, o, &before, &norm_before);
            const char *other;
            for (int k = 0; (other = xlstm_backend_name(k)); k++) {
                if (xlstm_set_backend(other) != XLSTM_OK)
                    continue;
                xlstm_session *copy;
                assert_int_equal(xlstm_session_fork(&copy, s), XLSTM_OK);
                tokens(s, got);
                step(t, o, &after, &norm_after);
                assert_true(same_numbers(got, want, B * T * V));
                tokens(copy, got);
                assert_true(same_numbers(got, want, B * T * V));
                xlstm_session_free(copy);
                assert_true(after.sum == before.sum && norm_after == norm_before);
            }
            xlstm_optimizer_free(o);
            xlstm_trainer_free(t);
            xlstm_session_free(s);
        }
        xlstm_module_free(m);
    }
    assert_int_equal(xlstm_set_backend(NULL), XLSTM_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_environment), cmocka_unit_test(test_all_agree),
                                       cmocka_unit_test(test_objects_keep_their_kernels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
