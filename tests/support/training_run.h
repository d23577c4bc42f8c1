/* training_run.h - a module of any kind with its trainer and optimizer, and steps whose data follow from
 * their number. */
#ifndef TEST_TRAINING_RUN_H
#define TEST_TRAINING_RUN_H

#include "support/kinds.h"
#include "support/random.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

enum { RUN_B = 2, RUN_T = 6 };

typedef struct {
    xlstm_module *m;
    xlstm_trainer *tr;
    xlstm_optimizer *opt;
    char name[64];
} training_run;

/* State is carried where the kind can. */
static inline void run_open(training_run *r, int kind, xlstm_optimizer_kind optimizer, uint64_t seed) {
    xlstm_trainer_config tc;
    xlstm_optimizer_config oc;
    assert_int_equal(create_kind(&r->m, kind, r->name, seed), XLSTM_OK);
    xlstm_trainer_config_init(&tc);
    tc.batch = RUN_B;
    tc.time = RUN_T;
    tc.dropout = 0.2f;
    tc.seed = seed;
    tc.carry_state = 1;
    xlstm_status status = xlstm_trainer_create(&r->tr, r->m, &tc);
    if (status == XLSTM_E_CONFIG) {
        tc.carry_state = 0;
        status = xlstm_trainer_create(&r->tr, r->m, &tc);
    }
    assert_int_equal(status, XLSTM_OK);
    xlstm_optimizer_config_init(&oc, optimizer);
    assert_int_equal(xlstm_optimizer_create(&r->opt, r->m, &oc), XLSTM_OK);
}

static inline void run_close(training_run *r) {
    xlstm_optimizer_free(r->opt);
    xlstm_trainer_free(r->tr);
    xlstm_module_free(r->m);
}

/* Forward and backward of batch number `at`; returns the loss. */
static inline double run_backward(training_run *r, int at) {
    static xlstm_real x[RUN_B * RUN_T * 16], y[RUN_B * RUN_T * 16];
    static int32_t tokens[RUN_B * RUN_T], targets[RUN_B * RUN_T];
    xlstm_batch b = {
        .struct_size = sizeof b, .inputs = x, .outputs = y, .tokens = tokens, .targets = targets};
    size_t N = RUN_B * RUN_T, in = (size_t)xlstm_module_input_dim(r->m),
           out = (size_t)xlstm_module_output_dim(r->m);
    uint64_t seed = 100 + 2 * (uint64_t)at;
    xlstm_loss loss;
    if (in) {
        fill_normal(x, N * in, 1, seed);
        fill_normal(y, N * out, 1, seed + 1);
    } else {
        fill_tokens(tokens, N, (int)out, seed);
        fill_tokens(targets, N, (int)out, seed + 1);
    }
    assert_int_equal(xlstm_trainer_backward(r->tr, &b, &loss), XLSTM_OK);
    return loss.sum;
}

static inline void run_update(training_run *r) {
    assert_int_equal(xlstm_optimizer_step(r->opt, r->tr, 0.01f, NULL), XLSTM_OK);
}

/* A new folder for a test's files: in memory if there is such a place, since a test would wait for the disk
 * at each of its many saves. */
static inline void make_folder(char folder[64], const char *test) {
    const char *where = access("/dev/shm", W_OK) ? "." : "/dev/shm";
    snprintf(folder, 64, "%s/xlstm_%s.%ld", where, test, (long)getpid());
    if (mkdir(folder, 0777))
        fail_msg("%s cannot be made", folder);
}

/* A whole file, to be freed. */
static inline char *read_file(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("%s is not there", path);
    fseek(f, 0, SEEK_END);
    *size = (size_t)ftell(f);
    rewind(f);
    char *bytes = malloc(*size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *size, f), *size);
    fclose(f);
    return bytes;
}

static inline int same_files(const char *a, const char *b) {
    size_t m, n;
    char *x = read_file(a, &m), *y = read_file(b, &n);
    int same = m == n && !memcmp(x, y, n);
    free(x);
    free(y);
    return same;
}

#endif
