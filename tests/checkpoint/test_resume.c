/* A run that is stopped, saved, and goes on in fresh objects with another number of threads equals, bit for
 * bit, one that never stopped: losses, weights, moments, carried state. For every kind of module and
 * optimizer, also when gradients are being added up. */
#include "programs/compare.h"
#include "support/training_run.h"

enum { CALLS = 8 }; /* an update after every second */

static char folder[64], half[96], resumed[96], straight[96];

static void go_on(training_run *r, int from, int to, double losses[CALLS]) {
    for (int at = from; at < to; at++) {
        losses[at] = run_backward(r, at);
        if (at % 2)
            run_update(r);
    }
}

static void save(const training_run *r, const char *path, int at) {
    if (xlstm_checkpoint_save(path, r->tr, r->opt, &at, sizeof at))
        fail_msg("%s: %s", r->name, xlstm_last_error());
}

static void never_stop(int kind, xlstm_optimizer_kind optimizer, double losses[CALLS]) {
    training_run r;
    xlstm_set_threads(2);
    run_open(&r, kind, optimizer, 7);
    go_on(&r, 0, CALLS, losses);
    save(&r, straight, CALLS);
    run_close(&r);
}

/* Weights, moments, gradients and state of a run that went well. */
static int all_finite(const char *path) {
    xlstm_tensors *file;
    xlstm_tensor t;
    int bad = 0;
    assert_int_equal(xlstm_tensors_open(&file, path), XLSTM_OK);
    for (int i = 0; xlstm_tensors_get(file, i, &t) == XLSTM_OK; i++) {
        if (t.dtype > XLSTM_BF16)
            continue;
        double *x = malloc((t.count + 1) * sizeof *x);
        assert_int_equal(xlstm_tensor_doubles(&t, x), XLSTM_OK);
        for (size_t k = 0; k < t.count; k++)
            bad += !isfinite(x[k]);
        free(x);
    }
    xlstm_tensors_close(file);
    return !bad;
}

static void stop_and_resume(int kind, xlstm_optimizer_kind optimizer, int stop, double losses[CALLS]) {
    training_run r;
    int at = -1;
    xlstm_set_threads(2);
    run_open(&r, kind, optimizer, 7);
    go_on(&r, 0, stop, losses);
    save(&r, half, stop);
    run_close(&r);
    xlstm_set_threads(1 + stop % 2 * 2);
    run_open(&r, kind, optimizer, 8);
    run_backward(&r, 77); /* what loading has to clear away */
    if (xlstm_checkpoint_load(half, r.tr, r.opt, &at, sizeof at))
        fail_msg("%s: %s", r.name, xlstm_last_error());
    assert_int_equal(at, stop);
    assert_int_equal(xlstm_optimizer_steps(r.opt), stop / 2);
    go_on(&r, at, CALLS, losses);
    save(&r, resumed, CALLS);
    run_close(&r);
}

static void test_resume(void **state) {
    (void)state;
    for (int kind = 0; kind < TEST_KINDS; kind++)
        for (int optimizer = 0; optimizer < XLSTM_OPTIMIZER_KINDS; optimizer++)
            for (int stop = 4; stop < 6; stop++) {
                double a[CALLS] = {0}, b[CALLS] = {0};
                never_stop(kind, (xlstm_optimizer_kind)optimizer, a);
                stop_and_resume(kind, (xlstm_optimizer_kind)optimizer, stop, b);
                if (!same_numbers(a, b, CALLS) || !same_files(straight, resumed))
                    fail_msg("kind %d, optimizer %d: a run stopped after call %d went on differently", kind,
                             optimizer, stop);
                assert_true(all_finite(straight));
            }
}

int main(void) {
    make_folder(folder, "resume");
    snprintf(half, sizeof half, "%s/half", folder);
    snprintf(resumed, sizeof resumed, "%s/resumed", folder);
    snprintf(straight, sizeof straight, "%s/straight", folder);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_resume)};
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(half);
    unlink(resumed);
    unlink(straight);
    rmdir(folder);
    return failures;
}
