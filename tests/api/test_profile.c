/* The profile counts the calls and the work of what ran while it was taken, changes no number, and is off
 * otherwise. */
#include "programs/compare.h"
#include "support/copies.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { B = 2, T = 5, D = 8, V = 11 };

static xlstm_profile_op sums_of(const char *name) {
    xlstm_profile_op op;
    for (int i = 0; i < xlstm_profile_count(); i++) {
        assert_int_equal(xlstm_profile_get(i, &op), XLSTM_OK);
        if (!strcmp(op.name, name))
            return op;
    }
    fail_msg("no op is called %s", name);
    return op;
}

static double all_calls(void) {
    xlstm_profile_op op;
    double calls = 0;
    for (int i = 0; i < xlstm_profile_count(); i++)
        if (!xlstm_profile_get(i, &op))
            calls += (double)op.calls;
    return calls;
}

static xlstm_module *make_model(xlstm_block_kind kind) {
    xlstm_config c;
    xlstm_module *m;
    xlstm_config_init(&c, kind);
    c.vocab_size = V;
    c.embedding_dim = D;
    c.num_blocks = 1;
    c.num_heads = 2;
    assert_int_equal(xlstm_model_create(&m, &c, 1), XLSTM_OK);
    return m;
}

static void forward(const xlstm_module *m, xlstm_real *logits) {
    static const int32_t tokens[B * T] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    xlstm_session *s;
    assert_int_equal(xlstm_session_create(&s, m, B, T), XLSTM_OK);
    assert_int_equal(xlstm_session_tokens(s, tokens, T, logits), XLSTM_OK);
    xlstm_session_free(s);
}

/* A plain LSTM: one product into the gates, one recurrence, one head. */
static void test_counts(void **state) {
    (void)state;
    xlstm_real want[B * T * V], got[B * T * V];
    xlstm_module *m = make_model(XLSTM_LSTM_PLAIN);
    forward(m, want);
    xlstm_profile_start();
    forward(m, got);
    forward(m, got);
    xlstm_profile_stop();
    assert_true(same_numbers(got, want, B * T * V));
    xlstm_profile_op linear = sums_of("linear"), rnn = sums_of("rnn"), embed = sums_of("embed");
    assert_int_equal(linear.calls, 4);
    assert_int_equal(rnn.calls, 2);
    assert_int_equal(sums_of("linear_dw").calls, 0);
    assert_true(linear.flops == 2.0 * (2.0 * B * T * D * 4 * D + 2.0 * B * T * D * V));
    assert_true(linear.bytes ==
                2.0 * sizeof(xlstm_real) * (B * T * (D + 4 * D) + 4 * D * D + B * T * (D + V) + D * V));
    assert_true(rnn.flops == 2.0 * (2.0 * B * T * 4 * D * D));
    assert_true(embed.bytes == 2.0 * 2 * sizeof(xlstm_real) * B * T * D);
    assert_true(linear.seconds > 0 && linear.seconds < 10);
    double before = all_calls();
    forward(m, got);
    assert_true(all_calls() == before); /* off */
    xlstm_profile_start();
    assert_true(all_calls() == 0);
    xlstm_profile_stop();
    xlstm_module_free(m);
}

/* Backward twice the products of forward, for every kind of block; a head with its loss is both. */
static void test_backward_is_twice(void **state) {
    (void)state;
    static const int32_t tokens[B * T] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    for (int kind = 0; kind < XLSTM_BLOCK_KINDS; kind++) {
        double head = 2.0 * B * T * D * V, forward = 0, backward = 0;
        xlstm_module *m = make_model((xlstm_block_kind)kind);
        xlstm_trainer_config tc;
        xlstm_trainer *tr;
        xlstm_batch b = {.struct_size = sizeof b, .tokens = tokens, .targets = tokens};
        xlstm_trainer_config_init(&tc);
        tc.batch = B;
        tc.time = T;
        assert_int_equal(xlstm_trainer_create(&tr, m, &tc), XLSTM_OK);
        xlstm_profile_start();
        assert_int_equal(xlstm_trainer_backward(tr, &b, NULL), XLSTM_OK);
        xlstm_profile_stop();
        for (int i = 0; i < xlstm_profile_count(); i++) {
            xlstm_profile_op op;
            xlstm_profile_get(i, &op);
            if (!strcmp(op.name, "xent_linear") && op.calls) {
                assert_true(op.flops == 3 * head);
                forward += head;
                backward += 2 * head;
                continue;
            }
            *(strstr(op.name, "_bwd") || strstr(op.name, "_d") ? &backward : &forward) += op.flops;
        }
        if (!(forward > 0 && is_near(backward / forward, 2, 1e-9)))
            fail_msg("%s: %g forward, %g backward", xlstm_block_kind_name((xlstm_block_kind)kind), forward,
                     backward);
        xlstm_trainer_free(tr);
        xlstm_module_free(m);
    }
}

enum { WIDE = 64, TOKENS = 64 };

static xlstm_real some_number(int i) {
    return (xlstm_real)((i * 7919) % 211) / 211 - (xlstm_real)0.5;
}

/* Gradients of a trainer with other products than the session that is called between its two passes. */
static xlstm_real *gradients_of(xlstm_module *m, int profiled) {
    static xlstm_real x[TOKENS * WIDE], y[TOKENS * WIDE];
    xlstm_trainer_config tc;
    xlstm_trainer *tr;
    xlstm_session *s;
    for (int i = 0; i < TOKENS * WIDE; i++)
        x[i] = some_number(i);
    xlstm_batch b = {.struct_size = sizeof b, .inputs = x};
    xlstm_trainer_config_init(&tc);
    tc.time = TOKENS;
    tc.products = XLSTM_PRODUCTS_BF16;
    assert_int_equal(xlstm_trainer_create(&tr, m, &tc), XLSTM_OK);
    assert_int_equal(xlstm_session_create(&s, m, 1, TOKENS), XLSTM_OK);
    if (profiled)
        xlstm_profile_start();
    assert_int_equal(xlstm_trainer_forward(tr, &b, NULL), XLSTM_OK);
    assert_int_equal(xlstm_session_vectors(s, x, TOKENS, y), XLSTM_OK);
    assert_int_equal(xlstm_trainer_backward_from(tr, x, NULL), XLSTM_OK);
    xlstm_profile_stop();
    xlstm_real *copy = copy_gradients(tr, m);
    xlstm_session_free(s);
    xlstm_trainer_free(tr);
    return copy;
}

static void test_changes_no_products(void **state) {
    (void)state;
    xlstm_cell_config c;
    xlstm_module *m;
    xlstm_cell_config_init(&c, XLSTM_CELL_MLSTM);
    c.input_size = c.hidden_size = WIDE;
    assert_int_equal(xlstm_cell_create(&m, &c, 3), XLSTM_OK);
    xlstm_real *without = gradients_of(m, 0), *with = gradients_of(m, 1);
    assert_true(same_numbers(with, without, xlstm_module_layout_size(m)));
    free(with);
    free(without);
    xlstm_module_free(m);
}

static void test_bad_arguments(void **state) {
    (void)state;
    xlstm_profile_op op;
    assert_int_equal(xlstm_profile_get(-1, &op), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_profile_get(xlstm_profile_count(), &op), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_profile_get(0, NULL), XLSTM_E_ARGUMENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts), cmocka_unit_test(test_backward_is_twice),
        cmocka_unit_test(test_changes_no_products), cmocka_unit_test(test_bad_arguments)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
