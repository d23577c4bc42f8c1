/* Rows of different lengths, and several sequences in one row, through the trainer: padding changes nothing,
 * and sequences that share a row count as if each had its own. */
#include "programs/compare.h"
#include "support/kinds.h"
#include "support/random.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { V = 11, T = 12, FIRST = 5 };

static const double tolerance = sizeof(xlstm_real) == 8 ? 1e-10 : 2e-4;

typedef struct {
    double loss;
    xlstm_real *gradients;
    size_t size;
} outcome;

/* The last of two calls, which goes on from the states that the first left, if `carry`. */
static outcome run(xlstm_module *m, int streams, const xlstm_batch *first, const xlstm_batch *last,
                   int carry) {
    xlstm_trainer_config tc;
    xlstm_trainer *tr;
    xlstm_loss loss;
    xlstm_trainer_config_init(&tc);
    tc.batch = streams;
    tc.time = T;
    tc.carry_state = carry;
    assert_int_equal(xlstm_trainer_create(&tr, m, &tc), XLSTM_OK);
    assert_int_equal(xlstm_trainer_backward(tr, first, &loss), XLSTM_OK);
    xlstm_trainer_zero_gradients(tr);
    assert_int_equal(xlstm_trainer_backward(tr, last, &loss), XLSTM_OK);
    outcome o = {loss.mean, copy_gradients(tr, m), xlstm_module_layout_size(m)};
    xlstm_trainer_free(tr);
    return o;
}

/* Losses, and gradients relative to the largest, are within `allowed`. */
static void same(outcome *a, outcome *b, double allowed, int kind) {
    comparison c = compare_numbers(a->gradients, b->gradients, a->size);
    if (!(c.size > 0 && agrees(&c, allowed * c.size)))
        fail_msg("%s: gradients: " APART, xlstm_block_kind_name((xlstm_block_kind)kind), APART_OF(c));
    if (!is_near(a->loss, b->loss, allowed * c.size))
        fail_msg("%s: the loss is %g and should be %g", xlstm_block_kind_name((xlstm_block_kind)kind),
                 a->loss, b->loss);
    free(a->gradients);
    free(b->gradients);
}

static xlstm_module *make_model(int kind) {
    xlstm_config c = small_config((xlstm_block_kind)kind);
    xlstm_module *m;
    assert_int_equal(xlstm_model_create(&m, &c, 5), XLSTM_OK);
    jitter(m, 0.1, 6);
    return m;
}

static xlstm_batch make_batch(const int32_t *tokens, const int32_t *targets) {
    return (xlstm_batch){.struct_size = sizeof(xlstm_batch), .tokens = tokens, .targets = targets};
}

/* Other tokens and targets behind the ends of the rows: the very same numbers. */
static void test_padding_is_not_seen(void **state) {
    (void)state;
    static const int32_t lengths[3] = {T, FIRST, 1};
    int32_t tokens[3 * T], targets[3 * T], others[3 * T], other_targets[3 * T];
    fill_tokens(tokens, 3 * T, V, 1);
    fill_tokens(targets, 3 * T, V, 2);
    fill_tokens(others, 3 * T, V, 3);
    fill_tokens(other_targets, 3 * T, V, 4);
    for (int b = 0; b < 3; b++)
        for (int t = 0; t < lengths[b]; t++) {
            others[b * T + t] = tokens[b * T + t];
            other_targets[b * T + t] = targets[b * T + t];
        }
    for (int kind = 0; kind < XLSTM_BLOCK_KINDS; kind++) {
        xlstm_module *m = make_model(kind);
        xlstm_batch a = make_batch(tokens, targets), b = make_batch(others, other_targets);
        a.lengths = b.lengths = lengths;
        int carry = kind != XLSTM_TRANSFORMER; /* attention trains without state */
        outcome x = run(m, 3, &a, &a, carry), y = run(m, 3, &b, &b, carry);
        same(&x, &y, 0, kind);
        xlstm_module_free(m);
    }
}

/* What a row of five tokens and padding leaves is what five tokens leave. */
static void test_padding_leaves_no_trace(void **state) {
    (void)state;
    static const int32_t length = FIRST;
    int32_t tokens[T], targets[T];
    fill_tokens(tokens, T, V, 1);
    fill_tokens(targets, T, V, 2);
    for (int kind = 0; kind < XLSTM_BLOCK_KINDS; kind++) {
        if (kind == XLSTM_TRANSFORMER)
            continue; /* trains without state */
        xlstm_module *m = make_model(kind);
        xlstm_batch padded = make_batch(tokens, targets), exact = padded, last = padded;
        padded.lengths = &length;
        exact.time = FIRST;
        outcome x = run(m, 1, &padded, &last, 1), y = run(m, 1, &exact, &last, 1);
        same(&x, &y, tolerance, kind);
        xlstm_module_free(m);
    }
}

/* Two sequences in one row with a reset between, or in two rows of their own lengths. */
static void test_packed_is_separate(void **state) {
    (void)state;
    static const int32_t lengths[2] = {FIRST, T - FIRST};
    unsigned char resets[T] = {0};
    int32_t tokens[T], targets[T], apart[2 * T] = {0}, apart_targets[2 * T] = {0};
    resets[FIRST] = 1;
    fill_tokens(tokens, T, V, 1);
    fill_tokens(targets, T, V, 2);
    memcpy(apart, tokens, FIRST * sizeof *tokens);
    memcpy(apart + T, tokens + FIRST, (T - FIRST) * sizeof *tokens);
    memcpy(apart_targets, targets, FIRST * sizeof *targets);
    memcpy(apart_targets + T, targets + FIRST, (T - FIRST) * sizeof *targets);
    for (int kind = 0; kind < XLSTM_BLOCK_KINDS; kind++) {
        xlstm_module *m = make_model(kind);
        xlstm_batch packed = make_batch(tokens, targets), rows = make_batch(apart, apart_targets);
        packed.resets = resets;
        rows.lengths = lengths;
        outcome x = run(m, 1, &packed, &packed, 0), y = run(m, 2, &rows, &rows, 0);
        same(&x, &y, tolerance, kind);
        xlstm_module_free(m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_padding_is_not_seen),
                                       cmocka_unit_test(test_padding_leaves_no_trace),
                                       cmocka_unit_test(test_packed_is_separate)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
