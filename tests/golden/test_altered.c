/* xlstm-check must fail when one weight or one reference value is altered, also to what is not finite, and
 * must not pass when it has compared nothing. argv: none; the program and the data are compiled in. */
#include "xlstm.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define CASE XLSTM_TEST_DATA "/mlstm_small/"

static char base[64];

static int setup(void **state) {
    (void)state;
    snprintf(base, sizeof base, "test_altered_%s.%ld", XLSTM_CHECK_NAME, (long)getpid());
    return 0;
}

static void make_dir(void) {
    char command[1024];
    snprintf(command, sizeof command, "mkdir -p %s && cp %s* %s/", base, CASE, base);
    assert_int_equal(system(command), 0);
}

static int teardown(void **state) {
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", base);
    return system(command);
}

static char said[256]; /* the last line of the last check */

static int check(const char *more) {
    char command[1024];
    snprintf(command, sizeof command, "%s %s %s/case.safetensors %s 2>&1", XLSTM_CHECK, base, base, more);
    FILE *out = popen(command, "r");
    assert_non_null(out);
    said[0] = 0;
    while (fgets(said, sizeof said, out))
        continue;
    int status = pclose(out);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* How many tensors failed. */
static int failures(void) {
    int pass, all;
    assert_int_equal(sscanf(said, "%d of %d tensors pass", &pass, &all), 2);
    return all - pass;
}

/* Adds to one number of one tensor of a file, or renames it. */
static void alter(const char *name, const char *tensor, size_t at, double by, const char *new_name) {
    char path[160];
    xlstm_tensors *file;
    xlstm_tensor t[128];
    int found = 0;
    snprintf(path, sizeof path, "%s/%s", base, name);
    assert_int_equal(xlstm_tensors_open(&file, path), XLSTM_OK);
    int n = xlstm_tensors_count(file);
    double *copy = NULL;
    assert_true(n <= 128);
    for (int i = 0; i < n; i++) {
        xlstm_tensors_get(file, i, &t[i]);
        if (strcmp(t[i].name, tensor))
            continue;
        copy = malloc(t[i].count * sizeof *copy);
        assert_non_null(copy);
        assert_int_equal(xlstm_tensor_doubles(&t[i], copy), XLSTM_OK);
        copy[at % t[i].count] += by;
        t[i].dtype = XLSTM_F64;
        t[i].data = copy;
        t[i].name = new_name ? new_name : t[i].name;
        found = 1;
    }
    assert_true(found);
    assert_int_equal(xlstm_tensors_write(path, t, n), XLSTM_OK);
    xlstm_tensors_close(file);
    free(copy);
}

static void fails(const char *file, const char *tensor, double by, const char *new_name, int expected) {
    make_dir();
    assert_int_equal(check(""), 0);
    alter(file, tensor, 5, by, new_name);
    assert_int_equal(check(""), expected);
}

static void test_altered(void **state) {
    (void)state;
    fails("weights.safetensors", "xlstm_block_stack.blocks.0.xlstm.q_proj.weight", 0.05, NULL, 1);
    fails("weights.safetensors", "lm_head.weight", 0.01, NULL, 1);
    fails("case.safetensors", "logits", 1e-3, NULL, 1);
    fails("case.safetensors", "step_logits", 1e-3, NULL, 1);
    fails("case.safetensors", "loss", 1e-3, NULL, 1);
    fails("case.safetensors", "grad.token_embedding.weight", 1e-3, NULL, 1);
    fails("case.safetensors", "loss", 0, "perplexity", 1);
    fails("weights.safetensors", "lm_head.weight", 0, "head", 2);
}

/* What it writes is a case that it passes. */
static void test_written(void **state) {
    char more[200];
    (void)state;
    make_dir();
    snprintf(more, sizeof more, "--write %s/out.safetensors", base);
    assert_int_equal(check(more), 0);
    /* in float the noise is allowed whatever the tolerance */
    assert_int_equal(check("--tolerance 1e-30"), sizeof(xlstm_real) == 8);
    assert_int_equal(check("--tolerance x"), 2);
    assert_int_equal(check("--bogus"), 2);
    char path[160];
    xlstm_tensors *file;
    xlstm_tensor t;
    snprintf(path, sizeof path, "%s/out.safetensors", base);
    assert_int_equal(xlstm_tensors_open(&file, path), XLSTM_OK);
    assert_int_equal(xlstm_tensors_find(file, "logits", &t), XLSTM_OK);
    assert_int_equal(xlstm_tensors_find(file, "grad.lm_head.weight", &t), XLSTM_OK);
    xlstm_tensors_close(file);
}

/* A case of these tensors alone: the inputs from case.safetensors, the others from `file`. */
static void make_case(const char *file, int count, const char *const *names) {
    char path[160];
    xlstm_tensors *in, *more;
    xlstm_tensor t[4];
    snprintf(path, sizeof path, "%s/%s", base, file);
    assert_int_equal(xlstm_tensors_open(&more, path), XLSTM_OK);
    snprintf(path, sizeof path, "%s/case.safetensors", base);
    assert_int_equal(xlstm_tensors_open(&in, path), XLSTM_OK);
    for (int i = 0; i < count; i++)
        assert_int_equal(xlstm_tensors_find(i ? more : in, names[i], &t[i]), XLSTM_OK);
    assert_int_equal(xlstm_tensors_write(path, t, count), XLSTM_OK);
    xlstm_tensors_close(in);
    xlstm_tensors_close(more);
}

/* One number that is not finite is wrong, and makes no other one right. */
static void test_not_finite(void **state) {
    static const double bad[] = {INFINITY, -INFINITY, NAN};
    static const char *const tensors[] = {"logits", "step_logits", "loss", "grad.lm_head.weight"};
    (void)state;
    for (int k = 0; k < 4; k++) {
        make_dir();
        alter("case.safetensors", tensors[k], 0, bad[k % 3], NULL);
        assert_int_equal(check(""), 1);
        assert_int_equal(failures(), 1);
        alter("case.safetensors", "grad.token_embedding.weight", 5, 1e-3, NULL);
        alter("case.safetensors", k ? "logits" : "step_logits", 5, 1e-3, NULL);
        assert_int_equal(check("--tolerance 1e-6"), 1);
        assert_int_equal(failures(), 3);
    }
    for (int i = 0; i < 3; i++) { /* nor does a noise that is not finite */
        make_dir();
        alter("case.safetensors", "noise.logits", 0, bad[i], NULL);
        alter("case.safetensors", "logits", 5, 1e-3, NULL);
        assert_int_equal(check(""), 1);
        assert_int_equal(failures(), 1);
    }
}

/* A model whose logits are infinite is the one that the same infinities are of, as long as the others are
 * right. */
static void test_same_infinity(void **state) {
    static const char *const names[] = {"tokens", "logits"};
    char more[200];
    (void)state;
    make_dir();
    alter("weights.safetensors", "lm_head.weight", 5, INFINITY, NULL);
    make_case("case.safetensors", 2, names);
    snprintf(more, sizeof more, "--write %s/out.safetensors", base);
    assert_int_equal(check(more), 1);
    make_case("out.safetensors", 2, names);
    assert_int_equal(check(""), 0);
    alter("case.safetensors", "logits", 5, 1, NULL);
    assert_int_equal(check("--tolerance 0.1"), 1);
}

static void test_nothing(void **state) {
    static const char *const names[] = {"tokens", "targets", "noise.logits"};
    (void)state;
    for (int count = 1; count <= 3; count++) {
        make_dir();
        make_case("case.safetensors", count, names);
        assert_int_equal(check(""), 2);
        assert_non_null(strstr(said, "nothing to compare"));
    }
}

static void test_tolerances(void **state) {
    static const char *const bad[] = {"inf", "nan", "-1", "0", "1e400", "INFINITY", "-inf", ""};
    char more[64];
    (void)state;
    make_dir();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(more, sizeof more, "--tolerance=%s", bad[i]);
        assert_int_equal(check(more), 2);
        assert_non_null(strstr(said, "give a number"));
    }
    assert_int_equal(check("--tolerance=1"), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_altered),    cmocka_unit_test(test_written),
        cmocka_unit_test(test_not_finite), cmocka_unit_test(test_same_infinity),
        cmocka_unit_test(test_nothing),    cmocka_unit_test(test_tolerances)};
    return cmocka_run_group_tests_name("altered cases", tests, setup, teardown);
}
