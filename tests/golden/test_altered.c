/* xlstm-check must fail when one weight or one reference value is altered. argv: none; the program and the
 * data are compiled in. */
#include "xlstm.h"
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

static int check(const char *more) {
    char command[1024];
    snprintf(command, sizeof command, "%s %s %s/case.safetensors %s >/dev/null 2>&1", XLSTM_CHECK, base, base,
             more);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Adds to one number of one tensor of a file of doubles, or renames it. */
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
        assert_int_equal(t[i].dtype, XLSTM_F64);
        copy = malloc(t[i].count * sizeof *copy);
        assert_non_null(copy);
        assert_int_equal(xlstm_tensor_doubles(&t[i], copy), XLSTM_OK);
        copy[at % t[i].count] += by;
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

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_altered), cmocka_unit_test(test_written)};
    return cmocka_run_group_tests_name("altered cases", tests, setup, teardown);
}
