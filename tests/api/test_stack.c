/* How much stack a thread needs that calls the library: every kind of block with weights of every type in a
 * session, and training, on threads with as little as the documentation promises (docs/concepts.md, "Memory
 * and log"). What libraries have of every thread's stack for themselves (thread-local storage; OpenBLAS' is
 * 60 KiB) is there before any call, and measured apart.
 *
 *     test_stack --measure     what each path needs, in KiB, of which an empty thread has the first
 *     test_stack --team        with OpenMP's threads, whose stacks OMP_STACKSIZE says
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "support/kinds.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0 /* else frames are larger, and the sanitizer's own are on the same stack */
#endif

enum { KIB = 1024, SESSION = 64, TRAINING = 128, LARGE = 1024 /* KiB */ };
enum { STREAMS = 2, TIME = 64, VOCAB = 2080, WIDTH = 64, BYTE = 0xa5 };

/* ---- what is done on such a thread ---- */

typedef struct {
    xlstm_module *module;
    xlstm_products products;
    int32_t tokens[STREAMS * TIME];
    xlstm_real out[STREAMS * TIME * VOCAB];
    char path[64], run[64]; /* of a model's folder and of a checkpoint */
    xlstm_status status;
    char trouble[512]; /* that thread's error */
} job;

static void note(job *j, xlstm_status status) {
    j->status = status;
    snprintf(j->trouble, sizeof j->trouble, "%s", xlstm_last_error());
}

static void *nothing(void *argument) {
    return argument;
}

static xlstm_status generate(const job *j) {
    xlstm_session *s = NULL;
    xlstm_sampler *sampler = NULL;
    xlstm_sampling how;
    xlstm_sampling_init(&how);
    const xlstm_generation generation = {
        .struct_size = sizeof generation, .prompt = j->tokens, .prompt_tokens = TIME, .max_tokens = 3};
    xlstm_status status = xlstm_session_create(&s, j->module, 1, TIME);
    if (status == XLSTM_OK)
        status = xlstm_sampler_create(&sampler, &how, VOCAB);
    if (status == XLSTM_OK)
        status = xlstm_generate(s, sampler, &generation, NULL);
    xlstm_sampler_free(sampler);
    xlstm_session_free(s);
    return status;
}

static xlstm_status move_state(xlstm_session *s) {
    xlstm_real *kept = calloc(xlstm_session_state_size(s), sizeof *kept);
    xlstm_status status = kept ? xlstm_session_get_state(s, 0, kept) : XLSTM_E_MEMORY;
    if (status == XLSTM_OK)
        status = xlstm_session_set_state(s, 1, kept);
    free(kept);
    return status;
}

static xlstm_status sessions(job *j) {
    static const int times[] = {TIME, 1, 7, 2};
    xlstm_session *s = NULL;
    xlstm_status status = xlstm_session_create(&s, j->module, STREAMS, TIME);
    for (int i = 0; status == XLSTM_OK && i < 4; i++)
        status = xlstm_session_tokens(s, j->tokens, times[i], j->out);
    if (status == XLSTM_OK)
        status = xlstm_session_prompt(s, j->tokens, TIME, j->out);
    if (status == XLSTM_OK)
        status = move_state(s);
    xlstm_session_free(s);
    return status == XLSTM_OK ? generate(j) : status;
}

static void *use(void *argument) {
    job *j = argument;
    note(j, sessions(j));
    return NULL;
}

static xlstm_status trainings(job *j) {
    xlstm_trainer_config c;
    xlstm_optimizer_config rule;
    xlstm_trainer *t = NULL;
    xlstm_optimizer *o = NULL;
    const xlstm_batch batch = {.struct_size = sizeof batch, .tokens = j->tokens, .targets = j->tokens};
    xlstm_trainer_config_init(&c);
    c.batch = STREAMS;
    c.time = TIME;
    c.products = j->products;
    xlstm_optimizer_config_init(&rule, XLSTM_ADAMW);
    xlstm_status status = xlstm_trainer_create(&t, j->module, &c);
    if (status == XLSTM_OK)
        status = xlstm_optimizer_create(&o, j->module, &rule);
    if (status == XLSTM_OK)
        status = xlstm_trainer_backward(t, &batch, NULL);
    if (status == XLSTM_OK)
        status = xlstm_optimizer_step(o, t, 0.001f, NULL);
    if (status == XLSTM_OK)
        status = xlstm_checkpoint_save(j->run, t, o, "x", 1);
    char user[1];
    if (status == XLSTM_OK)
        status = xlstm_checkpoint_load(j->run, t, o, user, 1);
    xlstm_optimizer_free(o);
    xlstm_trainer_free(t);
    return status;
}

static void *train(void *argument) {
    job *j = argument;
    note(j, trainings(j));
    return NULL;
}

static void *save_and_load(void *argument) {
    job *j = argument;
    xlstm_module *again = NULL;
    xlstm_status status = xlstm_module_save(j->module, j->path);
    note(j, status == XLSTM_OK ? xlstm_module_load(&again, j->path) : status);
    xlstm_module_free(again);
    return NULL;
}

/* ---- how much of its stack it needs ---- */

static void run(void *(*work)(void *), void *argument, const pthread_attr_t *attributes) {
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, attributes, work, argument), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* In KiB: what is no longer as it was, from the far end on. */
static int need(void *(*work)(void *), void *argument) {
    size_t bytes = (size_t)LARGE * KIB, at = 0;
    pthread_attr_t attributes;
    char *stack = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(stack != MAP_FAILED);
    memset(stack, BYTE, bytes);
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstack(&attributes, stack, bytes), 0);
    run(work, argument, &attributes);
    pthread_attr_destroy(&attributes);
    while (at < bytes && (unsigned char)stack[at] == BYTE)
        at++;
    munmap(stack, bytes);
    return (int)((bytes - at + KIB - 1) / KIB);
}

/* A thread of so many KiB; where thread-local storage leaves less than a thread can begin with, that is
 * added.
 */
static void on_small_thread(void *(*work)(void *), void *argument, int kib) {
    pthread_attr_t attributes;
    pthread_t thread;
    int empty = need(nothing, NULL);
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstacksize(&attributes, (size_t)kib * KIB), 0);
    if (pthread_create(&thread, &attributes, nothing, NULL))
        assert_int_equal(pthread_attr_setstacksize(&attributes, (size_t)(kib + empty) * KIB), 0);
    else
        pthread_join(thread, NULL);
    run(work, argument, &attributes);
    pthread_attr_destroy(&attributes);
}

/* ---- every kind of block, with every type of weights ---- */

static int measuring;

static void check(job *j, void *(*work)(void *), int kib, const char *kind, const char *what) {
    if (measuring) {
        print_message("%-12s %-22s %4d\n", kind, what, need(work, j));
    } else {
        on_small_thread(work, j, kib);
    }
    if (j->status != XLSTM_OK)
        fail_msg("%s, %s: %s", kind, what, j->trouble);
}

static void check_sessions(job *j, const char *kind, xlstm_weights weights, const char *name) {
    xlstm_module *reals = j->module;
    char what[64];
    snprintf(what, sizeof what, "session, %s", name);
    if (weights != XLSTM_WEIGHTS_REAL)
        assert_int_equal(xlstm_module_quantize(&j->module, reals, weights), XLSTM_OK);
    check(j, use, SESSION, kind, what);
    if (weights != XLSTM_WEIGHTS_REAL)
        xlstm_module_free(j->module);
    j->module = reals;
}

static void check_kind(job *j, xlstm_block_kind kind, const char *folder) {
    const char *name = xlstm_block_kind_name(kind);
    snprintf(j->path, sizeof j->path, "%s/%s", folder, name);
    xlstm_config c = small_config(kind);
    c.embedding_dim = WIDTH;
    c.vocab_size = VOCAB;
    c.context_length = TIME;
    assert_int_equal(xlstm_model_create(&j->module, &c, 3), XLSTM_OK);
    check_sessions(j, name, XLSTM_WEIGHTS_REAL, "float");
    check_sessions(j, name, XLSTM_WEIGHTS_BF16, "bf16");
    check_sessions(j, name, XLSTM_WEIGHTS_INT8, "int8");
    check_sessions(j, name, XLSTM_WEIGHTS_INT4, "int4");
    j->products = XLSTM_PRODUCTS_REAL;
    check(j, train, TRAINING, name, "training");
    j->products = XLSTM_PRODUCTS_BF16;
    check(j, train, TRAINING, name, "training, bf16");
    check(j, save_and_load, TRAINING, name, "saving and loading");
    xlstm_module_free(j->module);
}

static void test_small_stacks(void **state) {
    static job j;
    char folder[] = "/tmp/xlstm-stack-XXXXXX";
    (void)state;
    if (SANITIZED || !strcmp(xlstm_get_backend(), "ref"))
        skip();
    assert_non_null(mkdtemp(folder));
    snprintf(j.run, sizeof j.run, "%s/run", folder);
    for (int i = 0; i < STREAMS * TIME; i++)
        j.tokens[i] = i * 7 % VOCAB;
    if (measuring)
        print_message("%-12s %-22s %4d\n", "", "nothing", need(nothing, NULL));
    for (int kind = 0; kind < XLSTM_BLOCK_KINDS; kind++)
        check_kind(&j, (xlstm_block_kind)kind, folder);
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    assert_int_equal(system(command), 0);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_small_stacks)};
    measuring = argc > 1 && !strcmp(argv[1], "--measure");
    xlstm_set_threads(argc > 1 && !strcmp(argv[1], "--team") ? 3 : 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
