/* Parameters and gradients are copied in and out at their places in the layout, and nowhere else. */
#include "programs/compare.h"
#include "support/training_run.h"
#include <math.h>

/* Every kind with gradients of its first batch. */
static void every_run(void (*test)(training_run *r)) {
    for (int kind = 0; kind < TEST_KINDS; kind++) {
        training_run r;
        run_open(&r, kind, XLSTM_SGD, 7);
        run_backward(&r, 0);
        test(&r);
        run_close(&r);
    }
}

static xlstm_parameter parameter(const training_run *r, int index) {
    xlstm_parameter p;
    assert_int_equal(xlstm_module_parameter(r->m, index, &p), XLSTM_OK);
    return p;
}

/* Parameters follow one another in the layout, which ends with the last. */
static void layout(training_run *r) {
    size_t end = 0, numbers = 0;
    for (int i = 0; i < xlstm_module_parameter_count(r->m); i++) {
        xlstm_parameter p = parameter(r, i), found;
        assert_int_equal(xlstm_module_find(r->m, p.name, &found), XLSTM_OK);
        assert_true(p.index == i && found.index == i && p.offset >= end);
        end = p.offset + p.count;
        numbers += p.count;
    }
    assert_int_equal(xlstm_module_layout_size(r->m), end);
    assert_int_equal(xlstm_module_size(r->m), numbers);
}

/* One parameter after the other gets numbers of its own: at the end each has them, to the bit. */
static void weights(training_run *r) {
    int count = xlstm_module_parameter_count(r->m);
    for (int turn = 0; turn < 2; turn++)
        for (int i = 0; i < count; i++) {
            xlstm_parameter p = parameter(r, i);
            xlstm_real *w = copy_parameter(r->m, i), *mine = malloc(p.count * sizeof *mine);
            fill_normal(mine, p.count, 1, (uint64_t)i);
            if (turn) {
                assert_true(same_numbers(w, mine, p.count));
            } else {
                assert_memory_not_equal(w, mine, p.count * sizeof *w);
                assert_int_equal(xlstm_module_write(r->m, i, mine), XLSTM_OK);
            }
            free(w);
            free(mine);
        }
}

/* What is written is computed with: a model of such weights is the model that was made with them. */
static void test_written_weights(void **state) {
    (void)state;
    for (int kind = 0; kind < TEST_KINDS; kind++) {
        training_run a, b;
        run_open(&a, kind, XLSTM_SGD, 7);
        run_open(&b, kind, XLSTM_SGD, 7);
        assert_int_equal(xlstm_module_init(b.m, 8), XLSTM_OK);
        for (int i = 0; i < xlstm_module_parameter_count(a.m); i++) {
            xlstm_real *w = copy_parameter(a.m, i);
            assert_int_equal(xlstm_module_write(b.m, i, w), XLSTM_OK);
            free(w);
        }
        assert_true(run_backward(&a, 0) == run_backward(&b, 0));
        run_close(&a);
        run_close(&b);
    }
}

/* A parameter's gradients are those at its offset in the whole, which has zeros between parameters and has
 * the trainer's norm. */
static void reading(training_run *r) {
    xlstm_real *all = copy_gradients(r->tr, r->m);
    size_t at = 0;
    double sum = 0;
    for (int i = 0; i < xlstm_module_parameter_count(r->m); i++) {
        xlstm_parameter p = parameter(r, i);
        xlstm_real *g = malloc(p.count * sizeof *g);
        assert_int_equal(xlstm_trainer_read_gradients(r->tr, p.offset, p.count, g), XLSTM_OK);
        assert_true(same_numbers(g, all + p.offset, p.count));
        for (; at < p.offset; at++)
            assert_true(all[at] == 0);
        for (; at < p.offset + p.count; at++)
            sum += (double)all[at] * (double)all[at];
        free(g);
    }
    assert_true(sum > 0 && is_near(sqrt(sum) / xlstm_trainer_gradient_norm(r->tr), 1, 1e-6));
    free(all);
}

/* Written back doubled in pieces of 7 numbers: all are. */
static void writing(training_run *r) {
    size_t size = xlstm_module_layout_size(r->m);
    xlstm_real *before = copy_gradients(r->tr, r->m);
    for (size_t at = 0; at < size; at += 7) {
        size_t n = size - at < 7 ? size - at : 7;
        xlstm_real piece[7];
        for (size_t k = 0; k < n; k++)
            piece[k] = 2 * before[at + k];
        assert_int_equal(xlstm_trainer_write_gradients(r->tr, at, n, piece), XLSTM_OK);
    }
    xlstm_real *after = copy_gradients(r->tr, r->m);
    for (size_t k = 0; k < size; k++)
        assert_true(after[k] == 2 * before[k]);
    free(before);
    free(after);
}

/* No number of a gap is taken, and with it none of the call. */
static void gaps(training_run *r) {
    size_t end = 0, size = xlstm_module_layout_size(r->m);
    xlstm_real *before = copy_gradients(r->tr, r->m), *wrong = malloc(size * sizeof *wrong);
    for (int i = 0; i < xlstm_module_parameter_count(r->m); i++) {
        xlstm_parameter p = parameter(r, i);
        for (; end < p.offset; end++) {
            for (size_t k = 0; k < size; k++)
                wrong[k] = k == end ? (xlstm_real)1e-30 : 2 * before[k];
            assert_int_equal(xlstm_trainer_write_gradients(r->tr, 0, size, wrong), XLSTM_E_ARGUMENT);
            assert_non_null(strstr(xlstm_last_error(), "give 0"));
            assert_int_equal(xlstm_trainer_write_gradients(r->tr, end, 1, &wrong[end]), XLSTM_E_ARGUMENT);
        }
        end = p.offset + p.count;
    }
    xlstm_real *after = copy_gradients(r->tr, r->m);
    assert_true(same_numbers(after, before, size));
    free(before);
    free(after);
    free(wrong);
}

/* Two trainers, each with one row of a batch, and the mean of their gradients: that of one trainer with both
 * rows. */
static void test_all_reduce(void **state) {
    (void)state;
    enum { T = 6 };
    int32_t text[2 * T];
    xlstm_config c = small_config(XLSTM_MLSTM);
    xlstm_module *m;
    xlstm_trainer *tr[3];
    xlstm_real *g[3];
    assert_int_equal(xlstm_model_create(&m, &c, 7), XLSTM_OK);
    fill_tokens(text, 2 * T, c.vocab_size, 3);
    for (int i = 0; i < 3; i++) { /* the last one has both */
        xlstm_trainer_config tc;
        const int32_t *rows = text + i % 2 * T;
        xlstm_batch b = {.struct_size = sizeof b, .tokens = rows, .targets = rows};
        xlstm_trainer_config_init(&tc);
        tc.batch = 1 + i / 2;
        tc.time = T;
        assert_int_equal(xlstm_trainer_create(&tr[i], m, &tc), XLSTM_OK);
        assert_int_equal(xlstm_trainer_backward(tr[i], &b, NULL), XLSTM_OK);
        g[i] = copy_gradients(tr[i], m);
    }
    size_t size = xlstm_module_layout_size(m);
    for (size_t k = 0; k < size; k++)
        g[0][k] = (g[0][k] + g[1][k]) / 2;
    assert_int_equal(xlstm_trainer_write_gradients(tr[0], 0, size, g[0]), XLSTM_OK);
    double norm = xlstm_trainer_gradient_norm(tr[2]);
    assert_true(norm > 0 && is_near(xlstm_trainer_gradient_norm(tr[0]) / norm, 1, 1e-5));
    comparison halves = compare_numbers(g[0], g[2], size);
    assert_true(agrees(&halves, 1e-5 * norm));
    for (int i = 0; i < 3; i++) {
        xlstm_trainer_free(tr[i]);
        free(g[i]);
    }
    xlstm_module_free(m);
}

static void test_layout(void **state) {
    (void)state;
    every_run(layout);
}
static void test_weights(void **state) {
    (void)state;
    every_run(weights);
}
static void test_reading(void **state) {
    (void)state;
    every_run(reading);
}
static void test_writing(void **state) {
    (void)state;
    every_run(writing);
}
static void test_gaps(void **state) {
    (void)state;
    every_run(gaps);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_layout),          cmocka_unit_test(test_weights),
                                       cmocka_unit_test(test_written_weights), cmocka_unit_test(test_reading),
                                       cmocka_unit_test(test_writing),         cmocka_unit_test(test_gaps),
                                       cmocka_unit_test(test_all_reduce)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
