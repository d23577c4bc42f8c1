/* A loss or gradient that is not finite is said, with where it was, and changes neither weights, moments nor
 * state; a run that leaves the bad batch out goes on as if it had not been there. */
#include <math.h>
#include "support/training_run.h"

static char folder[64], before[96], after[96];
static const int kind = TEST_KINDS - 1; /* the model over vectors */

static void save(const training_run *r, const char *path) {
    assert_int_equal(xlstm_checkpoint_save(path, r->tr, r->opt, NULL, 0), XLSTM_OK);
}

static void expect(xlstm_status status, const char *because) {
    if (status != XLSTM_E_NUMERIC || !strstr(xlstm_last_error(), because))
        fail_msg("expected \"%s\", got %d \"%s\"", because, status, xlstm_last_error());
}

static xlstm_status bad_batch(training_run *r, double number, xlstm_loss *loss) {
    static xlstm_real x[RUN_B * RUN_T * 3], y[RUN_B * RUN_T * 2];
    xlstm_batch b = {.struct_size = sizeof b, .inputs = x, .outputs = y};
    memset(x, 0, sizeof x);
    memset(y, 0, sizeof y);
    y[(RUN_T + 2) * 2] = (xlstm_real)number;
    return xlstm_trainer_backward(r->tr, &b, loss);
}

static void test_loss(void **state) {
    (void)state;
    const double bad[] = {NAN, INFINITY, -INFINITY, 1e30}; /* the last one's square is not finite */
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        training_run r, without;
        xlstm_loss loss;
        run_open(&r, kind, XLSTM_ADAMW, 7);
        run_open(&without, kind, XLSTM_ADAMW, 7);
        for (int at = 0; at < 3; at++) {
            run_backward(&r, at);
            run_update(&r);
        }
        save(&r, before);
        expect(bad_batch(&r, bad[i], &loss), "training call 3, first at row 1, position 2");
        assert_false(isfinite(loss.sum) || isfinite(loss.mean));
        double norm = 0;
        expect(xlstm_optimizer_step(r.opt, r.tr, 0.1f, &norm), "loss was not finite at update 3");
        assert_int_equal(xlstm_optimizer_steps(r.opt), 3);
        xlstm_trainer_zero_gradients(r.tr);
        save(&r, after);
        assert_true(same_files(before, after));
        for (int at = 0; at < 5; at++) {
            run_backward(&without, at);
            run_update(&without);
        }
        for (int at = 3; at < 5; at++) {
            run_backward(&r, at);
            run_update(&r);
        }
        save(&r, before);
        save(&without, after);
        assert_true(same_files(before, after));
        run_close(&r);
        run_close(&without);
    }
}

static void set_gradients(const training_run *r, xlstm_real value) {
    xlstm_parameter p;
    for (int i = 0; i < xlstm_module_parameter_count(r->m); i++) {
        xlstm_module_parameter(r->m, i, &p);
        xlstm_real *g = malloc(p.count * sizeof *g);
        for (size_t k = 0; k < p.count; k++)
            g[k] = value;
        assert_int_equal(xlstm_trainer_write_gradients(r->tr, p.offset, p.count, g), XLSTM_OK);
        free(g);
    }
}

/* A loss that is infinite with gradients that are not: nothing but the mark holds the update back. */
static void test_mark(void **state) {
    (void)state;
    training_run r;
    run_open(&r, kind, XLSTM_SGD, 7);
    bad_batch(&r, INFINITY, NULL);
    set_gradients(&r, 0);
    expect(xlstm_optimizer_step(r.opt, r.tr, 0.1f, NULL), "loss was not finite at update 0");
    xlstm_trainer_zero_gradients(r.tr);
    assert_int_equal(xlstm_optimizer_step(r.opt, r.tr, 0.1f, NULL), XLSTM_OK);
    run_close(&r);
}

/* The mark goes with the gradients that it is about: through a checkpoint, and no further. */
static void test_mark_is_saved(void **state) {
    (void)state;
    training_run r, resumed;
    run_open(&r, kind, XLSTM_SGD, 7);
    run_open(&resumed, kind, XLSTM_SGD, 7);
    save(&r, before);
    bad_batch(&r, INFINITY, NULL);
    set_gradients(&r, 1);
    save(&r, after);
    assert_int_equal(xlstm_checkpoint_load(after, resumed.tr, resumed.opt, NULL, 0), XLSTM_OK);
    expect(xlstm_optimizer_step(resumed.opt, resumed.tr, 0.1f, NULL), "loss was not finite at update 0");
    save(&resumed, before);
    assert_true(same_files(before, after));
    xlstm_trainer_zero_gradients(resumed.tr);
    save(&resumed, before);
    assert_int_equal(xlstm_checkpoint_load(before, r.tr, r.opt, NULL, 0), XLSTM_OK);
    assert_int_equal(xlstm_optimizer_step(r.opt, r.tr, 0.1f, NULL), XLSTM_OK);
    run_close(&r);
    run_close(&resumed);
}

static void test_gradient(void **state) {
    (void)state;
    for (int optimizer = 0; optimizer < XLSTM_OPTIMIZER_KINDS; optimizer++) {
        training_run r;
        run_open(&r, kind, (xlstm_optimizer_kind)optimizer, 7);
        run_backward(&r, 0);
        run_update(&r);
        run_backward(&r, 1);
        save(&r, before);
        for (int i = 0; i < xlstm_module_parameter_count(r.m); i++) {
            xlstm_parameter p;
            char because[256];
            double norm = 0;
            xlstm_module_parameter(r.m, i, &p);
            size_t last = p.offset + p.count - 1;
            xlstm_real was, bad = (xlstm_real)(i % 2 ? NAN : -INFINITY);
            assert_int_equal(xlstm_trainer_read_gradients(r.tr, last, 1, &was), XLSTM_OK);
            assert_int_equal(xlstm_trainer_write_gradients(r.tr, last, 1, &bad), XLSTM_OK);
            snprintf(because, sizeof because, "the gradient of %s is not finite at update 1", p.name);
            expect(xlstm_optimizer_step(r.opt, r.tr, 0.1f, &norm), because);
            assert_false(isfinite(norm));
            assert_int_equal(xlstm_trainer_write_gradients(r.tr, last, 1, &was), XLSTM_OK);
        }
        save(&r, after);
        assert_true(same_files(before, after)); /* gradients too */
        run_close(&r);
    }
}

typedef struct {
    const char *what;
    xlstm_real gradient;
    float clip, rate, decay, eps; /* below 0: the default */
    const char *because;          /* NULL: nothing is wrong */
} extreme;

/* An update after a sound one: it is said and changes nothing, or everything is finite. */
static void try_extreme(int rule, const extreme *e) {
    training_run r;
    xlstm_optimizer_config oc;
    run_open(&r, kind, (xlstm_optimizer_kind)rule, 7);
    xlstm_optimizer_free(r.opt);
    xlstm_optimizer_config_init(&oc, (xlstm_optimizer_kind)rule);
    oc.clip = e->clip;
    oc.weight_decay = e->decay < 0 ? oc.weight_decay : e->decay;
    oc.eps = e->eps < 0 ? oc.eps : e->eps;
    assert_int_equal(xlstm_optimizer_create(&r.opt, r.m, &oc), XLSTM_OK);
    run_backward(&r, 0);
    assert_int_equal(xlstm_optimizer_step(r.opt, r.tr, 1e-33f, NULL), XLSTM_OK);
    set_gradients(&r, e->gradient);
    save(&r, before);
    double norm = NAN;
    xlstm_status status = xlstm_optimizer_step(r.opt, r.tr, e->rate, &norm);
    if (!!status != !!e->because)
        fail_msg("%s, rule %d: status %d \"%s\"", e->what, rule, status, xlstm_last_error());
    if (e->because) {
        expect(status, e->because);
        assert_int_equal(xlstm_optimizer_steps(r.opt), 1);
        save(&r, after);
        assert_true(same_files(before, after));
    }
    for (int i = 0; i < xlstm_module_parameter_count(r.m); i++) {
        xlstm_parameter p;
        xlstm_module_parameter(r.m, i, &p);
        xlstm_real *w = copy_parameter(r.m, i);
        for (size_t k = 0; k < p.count; k++)
            assert_true(isfinite(w[k]));
        free(w);
    }
    set_gradients(&r, (xlstm_real)0.1);
    assert_int_equal(xlstm_optimizer_step(r.opt, r.tr, 1e-33f, NULL), XLSTM_OK);
    run_close(&r);
}

/* Finite gradients, rates and decays whose squares or products are not. */
static void test_extremes(void **state) {
    (void)state;
    static const extreme all[] = {
        {"a square that is not finite", (xlstm_real)1e25, 0, 1e-2f, -1, -1, "too large at update 1"},
        {"just beyond", (xlstm_real)1.9e19, 0, 1e-2f, -1, -1, "too large at update 1"},
        {"a clip that is no clip", (xlstm_real)1e25, 1e30f, 1e-2f, -1, -1, "too large at update 1"},
        {"large", (xlstm_real)1e17, 0, 1e-2f, -1, -1, NULL},
        {"large, and clipped", (xlstm_real)1e25, 1, 1e-2f, -1, -1, NULL},
        {"decay beyond float", (xlstm_real)0.1, 1, 1e10f, 1e30f, -1,
         "would make weights or moments infinite"},
        {"rate and gradient", (xlstm_real)1e10, 0, 3e38f, -1, -1, "would make weights or moments infinite"},
        {"a strange rate", (xlstm_real)0.1, 1, 1e25f, 0, -1, NULL},
        {"a small eps", (xlstm_real)0.1, 0, 1e-3f, -1, 1e-40f, NULL},
    };
    for (int rule = 0; rule < XLSTM_OPTIMIZER_KINDS; rule++)
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            if (rule == XLSTM_SGD || !strstr(all[i].what, "rate and")) /* AdamW's step has no length */
                try_extreme(rule, &all[i]);
}

static void test_rate(void **state) {
    (void)state;
    training_run r;
    run_open(&r, kind, XLSTM_ADAMW, 7);
    run_backward(&r, 0);
    const float bad[] = {NAN, INFINITY, -1e-9f};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(xlstm_optimizer_step(r.opt, r.tr, bad[i], NULL), XLSTM_E_ARGUMENT);
    run_update(&r);
    run_close(&r);
}

int main(void) {
    make_folder(folder, "not_finite");
    snprintf(before, sizeof before, "%s/before", folder);
    snprintf(after, sizeof after, "%s/after", folder);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_loss),          cmocka_unit_test(test_mark),
                                       cmocka_unit_test(test_mark_is_saved), cmocka_unit_test(test_gradient),
                                       cmocka_unit_test(test_rate),          cmocka_unit_test(test_extremes)};
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(before);
    unlink(after);
    rmdir(folder);
    return failures;
}
