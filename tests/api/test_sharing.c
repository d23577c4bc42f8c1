/* Several threads at once: sessions that share one module, errors, files, and trainers of their own. What
 * each finds is compared with one thread alone, bit for bit; the build under ThreadSanitizer also sees what
 * nobody may touch. */
#include "base/parallel.h"
#include "programs/compare.h"
#include "support/kinds.h"
#include "support/random.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { THREADS = 4, STREAMS = 2, TIME = 20 };

typedef struct {
    int id;
    pthread_barrier_t *start;
    const xlstm_module *module;
    const char *path;
    xlstm_real *out; /* [STREAMS, TIME, output_dim]; NULL: what the work is has no outputs */
    double number;
    char trouble[128]; /* empty: all went well; CMocka cannot fail outside of its own thread */
} worker;

static int bad(worker *w, xlstm_status status, const char *what) {
    if (status != XLSTM_OK)
        snprintf(w->trouble, sizeof w->trouble, "%.20s: %.90s", what, xlstm_last_error());
    return status != XLSTM_OK;
}

/* Everybody begins at the same moment, so that what is made at first use is made by all of them. */
static void run_threads(worker w[THREADS], void *(*work)(void *)) {
    pthread_t threads[THREADS];
    pthread_barrier_t start;
    assert_int_equal(pthread_barrier_init(&start, NULL, THREADS), 0);
    for (int i = 0; i < THREADS; i++) {
        w[i].id = i;
        w[i].start = &start;
        assert_int_equal(pthread_create(&threads[i], NULL, work, &w[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    pthread_barrier_destroy(&start);
    for (int i = 0; i < THREADS; i++)
        assert_string_equal(w[i].trouble, "");
}

/* ---- the first use ---- */

/* What the library makes when it is first called, by all threads at once: the first test, or it is made
 * already. */
static void *first_use(void *argument) {
    worker *w = argument;
    xlstm_config c = small_config(XLSTM_MLSTM);
    xlstm_module *m = NULL;
    pthread_barrier_wait(w->start);
    if (w->id % 2 && bad(w, xlstm_set_backend("auto"), "backend"))
        return NULL;
    const char *name = xlstm_get_backend();
    if (!name)
        snprintf(w->trouble, sizeof w->trouble, "a backend without a name");
    else if (!bad(w, xlstm_model_create(&m, &c, 7), "model"))
        w->number = name[0] + xlstm_get_threads();
    xlstm_module_free(m);
    return NULL;
}

static void test_first_use_by_all(void **state) {
    worker w[THREADS] = {{0}};
    (void)state;
    run_threads(w, first_use);
    for (int i = 0; i < THREADS; i++)
        assert_true(w[i].number == w[0].number && w[i].number > 0);
}

/* ---- sessions over one module ---- */

static xlstm_status advance(xlstm_session *s, const worker *w, int from, int time) {
    const xlstm_module *m = w->module;
    size_t in = (size_t)xlstm_module_input_dim(m), out = (size_t)xlstm_module_output_dim(m), n = (size_t)time;
    int32_t tokens[STREAMS * TIME];
    xlstm_real *x = calloc(STREAMS * n * (in + 1), sizeof *x), *y = calloc(STREAMS * n * out, sizeof *y);
    uint64_t seed = (uint64_t)(w->id * 1000 + from);
    fill_normal(x, STREAMS * n * in, 1, seed);
    fill_tokens(tokens, STREAMS * n, 11, seed);
    xlstm_status status =
        in ? xlstm_session_vectors(s, x, time, y) : xlstm_session_tokens(s, tokens, time, y);
    for (size_t b = 0; b < STREAMS; b++)
        memcpy(w->out + (b * TIME + (size_t)from) * out, y + b * n * out, n * out * sizeof *y);
    free(x);
    free(y);
    return status;
}

/* In pieces of different lengths, with a fork in the middle. */
static void serve(worker *w) {
    xlstm_session *s = NULL, *fork = NULL;
    if (!bad(w, xlstm_session_create(&s, w->module, STREAMS, 8), "session") &&
        !bad(w, advance(s, w, 0, 11), "tokens") && !bad(w, advance(s, w, 11, 1), "token") &&
        !bad(w, xlstm_session_fork(&fork, s), "fork"))
        bad(w, advance(fork, w, 12, TIME - 12), "fork's tokens");
    xlstm_session_free(s);
    xlstm_session_free(fork);
}

static void *serve_thread(void *argument) {
    worker *w = argument;
    pthread_barrier_wait(w->start);
    serve(w);
    return NULL;
}

static void share(const xlstm_module *m, const char *name) {
    size_t count = STREAMS * TIME * (size_t)xlstm_module_output_dim(m);
    worker w[THREADS] = {{0}}, alone[THREADS] = {{0}};
    for (int i = 0; i < THREADS; i++) {
        w[i].module = alone[i].module = m;
        w[i].out = calloc(count, sizeof *w[i].out);
        alone[i].out = calloc(count, sizeof *alone[i].out);
    }
    run_threads(w, serve_thread);
    for (int i = 0; i < THREADS; i++) {
        alone[i].id = i;
        serve(&alone[i]);
        if (!same_numbers(w[i].out, alone[i].out, count))
            fail_msg("%s: thread %d differs from one thread alone", name, i);
        if (i > 0) /* threads have inputs of their own, or nothing was shown */
            assert_memory_not_equal(w[i].out, w[0].out, count * sizeof *w[i].out);
        free(alone[i].out);
    }
    for (int i = 0; i < THREADS; i++)
        free(w[i].out);
}

static void test_sessions_share_a_module(void **state) {
    (void)state;
    for (int kind = 0; kind < TEST_KINDS; kind++) {
        char name[64];
        xlstm_module *m;
        assert_int_equal(create_kind(&m, kind, name, 3), XLSTM_OK);
        jitter(m, 0.2, 4);
        share(m, name);
        xlstm_module_free(m);
    }
}

/* ---- errors ---- */

static void *fail_in_thread(void *argument) {
    worker *w = argument;
    char own[32];
    snprintf(own, sizeof own, "count %d ", -w->id - 1);
    pthread_barrier_wait(w->start);
    for (int i = 0; i < 200; i++)
        if (xlstm_set_threads(-w->id - 1) != XLSTM_E_ARGUMENT || !strstr(xlstm_last_error(), own))
            snprintf(w->trouble, sizeof w->trouble, "another thread's error: %.90s", xlstm_last_error());
    return NULL;
}

static void test_errors_belong_to_their_thread(void **state) {
    worker w[THREADS] = {{0}};
    (void)state;
    run_threads(w, fail_in_thread);
}

/* ---- files and trainers ---- */

static xlstm_module *token_model(void) {
    xlstm_config c = small_config(XLSTM_MLSTM);
    xlstm_module *m;
    c.mlstm_proj_factor = 2;
    c.block_kind[1] = XLSTM_SLSTM;
    assert_int_equal(xlstm_model_create(&m, &c, 5), XLSTM_OK);
    return m;
}

static void train(worker *w, xlstm_module *m) {
    xlstm_trainer_config how;
    xlstm_optimizer_config adamw;
    xlstm_trainer *trainer = NULL;
    xlstm_optimizer *optimizer = NULL;
    int32_t tokens[STREAMS * TIME];
    xlstm_loss loss = {0};
    xlstm_trainer_config_init(&how);
    xlstm_optimizer_config_init(&adamw, XLSTM_ADAMW);
    how.batch = STREAMS;
    how.time = TIME;
    fill_tokens(tokens, STREAMS * TIME, 11, 9);
    xlstm_batch batch = {.struct_size = sizeof batch, .tokens = tokens, .targets = tokens};
    int failed = bad(w, xlstm_trainer_create(&trainer, m, &how), "trainer") ||
                 bad(w, xlstm_optimizer_create(&optimizer, m, &adamw), "optimizer");
    for (int i = 0; !failed && i < 5; i++)
        failed = bad(w, xlstm_trainer_backward(trainer, &batch, &loss), "backward") ||
                 bad(w, xlstm_optimizer_step(optimizer, trainer, 1e-2f, NULL), "step");
    w->number = loss.sum;
    xlstm_trainer_free(trainer);
    xlstm_optimizer_free(optimizer);
}

/* The same files, a module each. */
static void load_and_train(worker *w) {
    xlstm_module *m = NULL;
    if (!bad(w, xlstm_module_load(&m, w->path), "load"))
        train(w, m);
    xlstm_module_free(m);
}

static void *training_thread(void *argument) {
    worker *w = argument;
    pthread_barrier_wait(w->start);
    load_and_train(w);
    return NULL;
}

static void test_loading_and_training_side_by_side(void **state) {
    char directory[] = "/tmp/xlstm_sharing_XXXXXX", file[64];
    worker w[THREADS] = {{0}}, alone = {0};
    (void)state;
    assert_non_null(mkdtemp(directory));
    xlstm_module *m = token_model();
    assert_int_equal(xlstm_module_save(m, directory), XLSTM_OK);
    for (int i = 0; i < THREADS; i++)
        w[i].path = directory;
    run_threads(w, training_thread);
    alone.path = directory;
    load_and_train(&alone);
    assert_string_equal(alone.trouble, "");
    for (int i = 0; i < THREADS; i++)
        assert_true(w[i].number == alone.number && alone.number > 0);
    xlstm_module_free(m);
    const char *const names[] = {"config.json", "weights.safetensors"};
    for (int i = 0; i < 2; i++) {
        snprintf(file, sizeof file, "%s/%s", directory, names[i]);
        unlink(file);
    }
    assert_int_equal(rmdir(directory), 0);
}

/* Modules and trainers of their own, and no file between them. */
static void *own_trainer_thread(void *argument) {
    worker *w = argument;
    xlstm_config c = small_config(w->id % 2 ? XLSTM_SLSTM : XLSTM_MLSTM);
    xlstm_module *m = NULL;
    if (w->start)
        pthread_barrier_wait(w->start);
    if (!bad(w, xlstm_model_create(&m, &c, 5), "model"))
        train(w, m);
    xlstm_module_free(m);
    return NULL;
}

static void test_trainers_over_modules_of_their_own(void **state) {
    worker w[THREADS] = {{0}};
    (void)state;
    run_threads(w, own_trainer_thread);
    for (int i = 0; i < THREADS; i++) {
        worker alone = {.id = i};
        own_trainer_thread(&alone);
        assert_string_equal(alone.trouble, "");
        assert_true(w[i].number == alone.number && alone.number > 0);
    }
}

/* ---- the number of threads ---- */

static void *more_threads(void *argument) {
    (void)argument;
    xlstm_set_threads(7);
    return NULL;
}

static void note_thread(void *context, int index, int thread) {
    int *above = context;
    (void)index;
    if (thread >= 2)
        *above = 1; /* all who write write the same */
}

/* Scratch is for as many threads as a call began with, whatever another thread sets meanwhile. */
static void test_a_call_keeps_its_threads(void **state) {
    (void)state;
    pthread_t other;
    int before = xlstm_get_threads(), above = 0;
    assert_int_equal(xlstm_set_threads(2), XLSTM_OK);
    assert_int_equal(xl_threads_planned(2), XLSTM_OK); /* a call begins */
    assert_int_equal(pthread_create(&other, NULL, more_threads, NULL), 0);
    assert_int_equal(pthread_join(other, NULL), 0);
    assert_int_equal(xlstm_get_threads(), 7);
    assert_int_equal(xl_threads(), 2);
    xl_parallel(1000, note_thread, &above);
    assert_int_equal(above, 0);
    assert_int_equal(xl_threads_planned(2), XLSTM_E_ARGUMENT); /* the next one */
    assert_int_equal(xl_threads_now(), 7);
    assert_int_equal(xlstm_set_threads(before), XLSTM_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_use_by_all),
        cmocka_unit_test(test_sessions_share_a_module),
        cmocka_unit_test(test_errors_belong_to_their_thread),
        cmocka_unit_test(test_loading_and_training_side_by_side),
        cmocka_unit_test(test_trainers_over_modules_of_their_own),
        cmocka_unit_test(test_a_call_keeps_its_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
