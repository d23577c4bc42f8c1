/* Modules with matrices in a smaller type compute what a real module computes with the same, rounded,
 * numbers. */
#include "programs/compare.h"
#include "support/kinds.h"
#include "support/random.h"
#include <dirent.h>
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* Beyond the kinds of blocks: mLSTM and sLSTM blocks, and the same in the layout of the package's CUDA code.
 */
enum { B = 2, T = 9, V = 11, MIXED = XLSTM_BLOCK_KINDS, MIXED_CUDA };

static xlstm_module *make_model(int kind) {
    xlstm_config c = small_config(kind < XLSTM_BLOCK_KINDS ? (xlstm_block_kind)kind : XLSTM_MLSTM);
    xlstm_module *m;
    if (kind >= MIXED) {
        c.block_kind[1] = XLSTM_SLSTM;
        c.tie_weights = c.bias = 1;
        c.file_spelling = kind == MIXED_CUDA ? XLSTM_SPELL_CUDA : 0;
    }
    assert_int_equal(xlstm_model_create(&m, &c, 5), XLSTM_OK);
    jitter(m, 0.1, 6);
    return m;
}

/* A real module with the numbers that the other one holds. */
static xlstm_module *same_in_real(const xlstm_module *packed) {
    xlstm_config c = *xlstm_module_config(packed);
    xlstm_module *m;
    c.weights = XLSTM_WEIGHTS_REAL;
    assert_int_equal(xlstm_model_create(&m, &c, 0), XLSTM_OK);
    for (int i = 0; i < xlstm_module_parameter_count(m); i++) {
        xlstm_real *w = copy_parameter(packed, i);
        assert_int_equal(xlstm_module_write(m, i, w), XLSTM_OK);
        free(w);
    }
    return m;
}

static void run(const xlstm_module *m, int piece, xlstm_real *logits) {
    int32_t tokens[B * T];
    xlstm_session *s;
    fill_tokens(tokens, B * T, V, 3);
    assert_int_equal(xlstm_session_create(&s, m, B, piece), XLSTM_OK);
    assert_int_equal(xlstm_session_tokens(s, tokens, T, logits), XLSTM_OK);
    xlstm_session_free(s);
}

/* Relative to the largest logit. */
static double difference(const xlstm_real *a, const xlstm_real *b) {
    comparison c = compare_numbers(a, b, B * T * V);
    return c.size > 0 ? c.error / c.size : INFINITY;
}

static void test_same_numbers(void **state) {
    (void)state;
    static xlstm_real got[B * T * V], want[B * T * V];
    for (int kind = 0; kind <= MIXED; kind++)
        for (int w = XLSTM_WEIGHTS_BF16; w < XLSTM_WEIGHTS_KINDS; w++)
            for (int piece = 1; piece <= T; piece += T - 1) { /* step by step, and many rows at once */
                xlstm_module *real = make_model(kind), *packed;
                assert_int_equal(xlstm_module_quantize(&packed, real, (xlstm_weights)w), XLSTM_OK);
                assert_true(xlstm_module_bytes(packed) < xlstm_module_bytes(real));
                xlstm_module *rounded = same_in_real(packed);
                run(packed, piece, got);
                run(rounded, piece, want);
                if (!within(difference(got, want), 2e-5))
                    fail_msg("kind %d, weights %d, pieces of %d: off by %g", kind, w, piece,
                             difference(got, want));
                run(real, piece, want); /* and rounding changes something, but not much */
                double change = difference(got, want);
                if (!within(change, w == XLSTM_WEIGHTS_INT4 ? 1 : 0.1) || within(change, 1e-5))
                    fail_msg("kind %d, weights %d: rounding changed the logits by %g", kind, w, change);
                xlstm_module_free(real);
                xlstm_module_free(packed);
                xlstm_module_free(rounded);
            }
}

/* All matrices but those whose rows are shorter than a scale is worth. */
static int is_smaller(const char *name) {
    static const char *const kept[] = {"q_proj", "k_proj", "v_proj", "conv1d", "norm", "bias", "skip"};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (strstr(name, kept[i]))
            return 0;
    return 1;
}

/* Largest error of number k of a row: half a step, 2^-9 of it in bfloat16, 1/254 of its row's largest in
 * int8. In int4 the largest number of a group is 4.75 to 8.5 steps to the side of the lowest level, -8, so
 * that one as large on the other side may be 1.5 of 8.5 steps beyond the highest. */
static double allowed_error(int w, const xlstm_real *row, size_t k, size_t cols) {
    size_t first = k / 32 * 32, count = cols - first < 32 ? cols - first : 32;
    if (w == XLSTM_WEIGHTS_BF16)
        return fabs((double)row[k]) / 256;
    return w == XLSTM_WEIGHTS_INT8 ? compare_numbers(row, row, cols).size / 253
                                   : compare_numbers(row + first, row + first, count).size / 5.6;
}

static void test_rounding(void **state) {
    (void)state;
    xlstm_module *real = make_model(MIXED);
    for (int w = XLSTM_WEIGHTS_BF16; w < XLSTM_WEIGHTS_KINDS; w++) {
        xlstm_module *packed;
        assert_int_equal(xlstm_module_quantize(&packed, real, (xlstm_weights)w), XLSTM_OK);
        for (int i = 0; i < xlstm_module_parameter_count(real); i++) {
            xlstm_parameter p;
            xlstm_module_parameter(real, i, &p);
            xlstm_real *exact = copy_parameter(real, i), *values = copy_parameter(packed, i);
            int smaller = is_smaller(p.name);
            assert_int_equal(xlstm_module_write(packed, i, values), smaller ? XLSTM_E_ARGUMENT : XLSTM_OK);
            size_t cols = (size_t)p.shape[p.ndim - 1];
            for (size_t k = 0; k < p.count; k++) {
                const xlstm_real *row = exact + k / cols * cols;
                double allowed = smaller ? allowed_error(w, row, k % cols, cols) : 0;
                assert_true(is_near((double)values[k], (double)exact[k], allowed));
            }
            free(exact);
            free(values);
        }
        xlstm_module_free(packed);
    }
    xlstm_module_free(real);
}

static void remove_directory(const char *dir) {
    static const char *const names[] = {"config.json", "weights.safetensors", "model.safetensors"};
    char path[256];
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}

static void assert_same_weights(const xlstm_module *a, const xlstm_module *b) {
    for (int i = 0; i < xlstm_module_parameter_count(a); i++) {
        xlstm_parameter p;
        xlstm_module_parameter(a, i, &p);
        xlstm_real *x = copy_parameter(a, i), *y = copy_parameter(b, i);
        assert_true(same_numbers(x, y, p.count));
        free(x);
        free(y);
    }
}

/* What integers cannot hold: numbers that share a scale with one that is not finite become NaN, the smallest
 * there are become what is nearest, the largest stay finite, and all others are as they were. */
static void odd_numbers(xlstm_weights weights, int group) {
    const xlstm_real odd[] = {NAN, INFINITY, -INFINITY}, tiny = sizeof tiny == 8 ? 5e-324 : (xlstm_real)1e-45;
    const xlstm_real huge = (xlstm_real)3e38;
    xlstm_module *m = make_model(XLSTM_MLSTM), *packed;
    xlstm_parameter p;
    assert_int_equal(xlstm_module_find(m, "lm_head.weight", &p), XLSTM_OK);
    xlstm_real *w = copy_parameter(m, p.index);
    int cols = (int)(p.count / V);
    for (int r = 0; r < 3; r++)
        w[r * cols + 1] = odd[r];
    for (int c = 0; c < cols; c++)
        w[3 * cols + c] = (c % 2 ? -190 : 64) * tiny;
    for (int c = 0; c < cols; c++)
        w[4 * cols + c] = (c % 2 ? -1 : 1) * huge / (xlstm_real)(c + 1);
    assert_int_equal(xlstm_module_write(m, p.index, w), XLSTM_OK);
    assert_int_equal(xlstm_module_quantize(&packed, m, weights), XLSTM_OK);
    xlstm_real *got = copy_parameter(packed, p.index);
    for (int i = 0; i < (int)p.count; i++) {
        int row = i / cols, bad = row < 3 && i % cols / group == 0;
        double allowed = row == 4 ? (double)huge / 5 : weights == XLSTM_WEIGHTS_INT8 ? 0.01 : 0.1;
        assert_true(bad ? isnan(got[i]) : is_near((double)got[i], (double)w[i], allowed));
    }
    free(w);
    free(got);
    xlstm_module_free(packed);
    xlstm_module_free(m);
}

static void test_odd_numbers(void **state) {
    (void)state;
    odd_numbers(XLSTM_WEIGHTS_INT8, INT_MAX);
    odd_numbers(XLSTM_WEIGHTS_INT4, 32);
}

/* A bfloat16 file is mapped, converted, or written again: always the same numbers. What a module borrows goes
 * with it: then no block of memory is in use, or another allocator would be refused. */
static void test_files(void **state) {
    (void)state;
    static xlstm_real want[B * T * V], got[B * T * V];
    static const int kinds[] = {XLSTM_MLSTM_LARGE, MIXED, MIXED_CUDA};
    for (int k = 0; k < 3; k++) {
        char dir[] = "/tmp/xlstm-quantize-XXXXXX";
        xlstm_module *real = make_model(kinds[k]), *packed, *loaded;
        assert_non_null(mkdtemp(dir));
        assert_int_equal(xlstm_module_quantize(&packed, real, XLSTM_WEIGHTS_BF16), XLSTM_OK);
        assert_int_equal(xlstm_module_save(packed, dir), XLSTM_OK);
        run(packed, T, want);
        assert_int_equal(xlstm_module_load_as(&loaded, dir, XLSTM_WEIGHTS_BF16), XLSTM_OK);
        assert_same_weights(packed, loaded);
        run(loaded, T, got); /* files do not tell the size of chunks, on which rounding depends */
        assert_true(within(difference(got, want), 2e-5));
        xlstm_module_free(loaded);
        assert_int_equal(xlstm_module_load(&loaded, dir), XLSTM_OK);
        assert_same_weights(packed, loaded);
        xlstm_module_free(loaded);
        for (int w = XLSTM_WEIGHTS_INT8; w < XLSTM_WEIGHTS_KINDS; w++) {
            assert_int_equal(xlstm_module_load_as(&loaded, dir, (xlstm_weights)w), XLSTM_OK);
            run(loaded, T, got);
            double change = difference(got, want);
            assert_true(within(change, w == XLSTM_WEIGHTS_INT8 ? 0.1 : 1) && !within(change, 0));
            assert_int_equal(xlstm_module_save(loaded, dir), XLSTM_E_ARGUMENT); /* no format has it */
            xlstm_module_free(loaded);
        }
        xlstm_module_free(packed);
        xlstm_module_free(real);
        remove_directory(dir);
        assert_int_equal(xlstm_set_allocator(NULL, NULL, NULL), XLSTM_OK);
    }
}

static void test_not_for_training(void **state) {
    (void)state;
    xlstm_module *real = make_model(0), *packed, *twice;
    xlstm_trainer *tr;
    xlstm_trainer_config tc;
    xlstm_loss loss;
    int32_t tokens[B * T];
    fill_tokens(tokens, B * T, V, 3);
    xlstm_batch batch = {.struct_size = sizeof batch, .tokens = tokens, .targets = tokens};
    xlstm_trainer_config_init(&tc);
    tc.batch = B;
    tc.time = T;
    assert_int_equal(xlstm_module_quantize(&packed, real, XLSTM_WEIGHTS_REAL), XLSTM_E_ARGUMENT);
    assert_null(packed);
    assert_int_equal(xlstm_module_quantize(&packed, real, XLSTM_WEIGHTS_BF16), XLSTM_OK);
    assert_int_equal(xlstm_module_quantize(&twice, packed, XLSTM_WEIGHTS_INT8), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_module_init(packed, 1), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_trainer_create(&tr, packed, &tc), XLSTM_E_ARGUMENT);
    assert_null(tr);
    tc.gradients = 0; /* but losses can be had */
    assert_int_equal(xlstm_trainer_create(&tr, packed, &tc), XLSTM_OK);
    assert_int_equal(xlstm_trainer_evaluate(tr, &batch, &loss), XLSTM_OK);
    assert_true(loss.mean > 1 && loss.mean < 5);
    xlstm_trainer_free(tr);
    xlstm_module_free(packed);
    xlstm_module_free(real);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_numbers), cmocka_unit_test(test_rounding),
                                       cmocka_unit_test(test_odd_numbers), cmocka_unit_test(test_files),
                                       cmocka_unit_test(test_not_for_training)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
