/* The process around the library: children of fork(), whatever the parent was doing; a system that gives no
 * more threads; the number of threads that OpenBLAS has for the program; and the caller's floating-point
 * mode. What a child computes is compared with its parent, bit for bit; an alarm ends one that hangs. */
#define _DEFAULT_SOURCE /* setgroups(), RLIMIT_NPROC */
#include "base/parallel.h"
#include "ops/ops.h"
#include "support/kinds.h"
#include "support/random.h"
#include <fenv.h>
#include <grp.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#ifdef __SSE2__
#include <xmmintrin.h>
#endif

extern int openblas_get_num_threads(void) __attribute__((weak));
extern void openblas_set_num_threads(int) __attribute__((weak));
extern int openblas_get_parallel(void) __attribute__((weak));
extern char *openblas_get_corename(void) __attribute__((weak));

enum { THREADS = 3, STREAMS = 2, TIME = 40, VOCAB = 50, LOGITS = STREAMS * TIME * VOCAB, SECONDS = 240 };

#if defined(__SANITIZE_THREAD__)
enum { OWN_THREADS = 1 }; /* the sanitizer has one */
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
enum { OWN_THREADS = 1 };
#else
enum { OWN_THREADS = 0 };
#endif
#else
enum { OWN_THREADS = 0 };
#endif

typedef struct {
    xlstm_real logits[LOGITS], after[LOGITS];
    double loss;
} numbers;

static int32_t tokens[STREAMS * TIME];
static xlstm_module *shared; /* made before any fork */

/* ---- what a process does with the library ---- */

static xlstm_status use(const xlstm_module *m, xlstm_real *logits) {
    xlstm_session *s = NULL;
    xlstm_status status = xlstm_session_create(&s, m, STREAMS, TIME);
    if (status == XLSTM_OK)
        status = xlstm_session_tokens(s, tokens, TIME, logits);
    xlstm_session_free(s);
    return status;
}

static xlstm_status train(xlstm_module *m, double *loss) {
    xlstm_trainer_config c;
    xlstm_optimizer_config rule;
    xlstm_trainer *t = NULL;
    xlstm_optimizer *o = NULL;
    const xlstm_batch batch = {.struct_size = sizeof batch, .tokens = tokens, .targets = tokens};
    xlstm_trainer_config_init(&c);
    c.batch = STREAMS;
    c.time = TIME;
    xlstm_optimizer_config_init(&rule, XLSTM_ADAMW);
    xlstm_status status = xlstm_trainer_create(&t, m, &c);
    if (status == XLSTM_OK)
        status = xlstm_optimizer_create(&o, m, &rule);
    for (int step = 0; status == XLSTM_OK && step < 2; step++) {
        xlstm_loss of_batch;
        status = xlstm_trainer_backward(t, &batch, &of_batch);
        *loss = of_batch.sum;
        if (status == XLSTM_OK)
            status = xlstm_optimizer_step(o, t, 0.01f, NULL);
    }
    xlstm_optimizer_free(o);
    xlstm_trainer_free(t);
    return status;
}

static xlstm_status make(xlstm_module **m) {
    xlstm_config c = small_config(XLSTM_MLSTM);
    c.vocab_size = VOCAB;
    c.embedding_dim = 128; /* so that products are BLAS', by several threads */
    return xlstm_model_create(m, &c, 3);
}

/* A model of its own, trained; and a session over what was there before. */
static int work(numbers *n) {
    xlstm_module *m = NULL;
    int failed = make(&m) || train(m, &n->loss) || use(m, n->after) || use(shared, n->logits);
    xlstm_module_free(m);
    return failed;
}

/* Some as large as a product that OpenBLAS would spread over its threads. */
static int set_up(void **state) {
    (void)state;
    for (int i = 0; i < STREAMS * TIME; i++)
        tokens[i] = i * 7 % VOCAB;
    return 0;
}

/* ---- children ---- */

static int ended_well(pid_t child) {
    int how = -1;
    if (child <= 0 || waitpid(child, &how, 0) != child)
        return 0;
    if (WIFSIGNALED(how))
        print_error("a child was ended by signal %d%s\n", WTERMSIG(how),
                    WTERMSIG(how) == SIGALRM ? ": it hung" : "");
    else if (WEXITSTATUS(how))
        print_error("a child ended with %d\n", WEXITSTATUS(how));
    return WIFEXITED(how) && WEXITSTATUS(how) == 0;
}

static int compute_in_child(const numbers *want, int more_generations);

static int as_child(const numbers *want, int more_generations) {
    static numbers got;
    alarm(SECONDS);
    if (work(&got)) {
        print_error("%s\n", xlstm_last_error());
        return 1;
    }
    if (memcmp(&got, want, sizeof got) != 0)
        return 2;
    if (xlstm_set_threads(THREADS) || use(shared, got.logits) || xlstm_get_threads() < 1)
        return 3;
    if (memcmp(got.logits, want->logits, sizeof got.logits) != 0)
        return 4;
    return more_generations && !compute_in_child(want, more_generations - 1) ? 5 : 0;
}

static int compute_in_child(const numbers *want, int more_generations) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(as_child(want, more_generations));
    return ended_well(child);
}

/* What it should be: computed by a child of a process that has not used the library yet. */
static numbers *expected(void) {
    static numbers n;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(SECONDS);
        int failed = xlstm_set_threads(1) || make(&shared) || work(&n);
        const char *from = (const char *)&n;
        for (size_t at = 0; !failed && at < sizeof n;) {
            ssize_t some = write(ends[1], from + at, sizeof n - at);
            failed = some <= 0;
            at += failed ? 0 : (size_t)some;
        }
        _exit(failed);
    }
    close(ends[1]);
    char *to = (char *)&n;
    size_t at = 0;
    for (ssize_t some; at < sizeof n && (some = read(ends[0], to + at, sizeof n - at)) > 0;)
        at += (size_t)some;
    close(ends[0]);
    assert_true(ended_well(child));
    assert_int_equal(at, sizeof n);
    return &n;
}

static atomic_int stop;

/* Calls without an end, on a thread of its own. */
static void *be_busy(void *trouble) {
    static xlstm_real logits[LOGITS];
    while (!atomic_load(&stop) && !*(int *)trouble)
        *(int *)trouble = use(shared, logits) != XLSTM_OK;
    return NULL;
}

/* Nothing but small products: they take the locks of a BLAS as often as can be. */
static void *multiply(void *unused) {
    static xlstm_real a[8 * 8], b[8 * 8], c[8 * 8];
    while (!atomic_load(&stop))
        xl_ops_best()->linear(xl_rows(c, 8, 8), xl_rows(a, 8, 8), xl_real_matrix(b, 8, 8), NULL);
    xl_ops_call_over();
    return unused;
}

static void test_children_compute(void **state) {
    static numbers own;
    (void)state;
    const numbers *want = expected();
    assert_int_equal(xlstm_set_threads(THREADS), XLSTM_OK);
    assert_int_equal(make(&shared), XLSTM_OK); /* the parent only made a model */
    assert_true(compute_in_child(want, 1));
    assert_int_equal(use(shared, own.logits), XLSTM_OK); /* used it */
    assert_true(compute_in_child(want, 0));
    assert_int_equal(work(&own), 0); /* trained one */
    assert_memory_equal(&own, want, sizeof own);
    assert_true(compute_in_child(want, 1));
    assert_int_equal(work(&own), 0); /* and goes on */
    assert_memory_equal(&own, want, sizeof own);
}

static int good_children(int count, const numbers *want, void *(*meanwhile)(void *), void *argument) {
    pthread_t other;
    int good = 0;
    atomic_store(&stop, 0);
    assert_int_equal(pthread_create(&other, NULL, meanwhile, argument), 0);
    for (int i = 0; i < count && good == i; i++)
        good += compute_in_child(want, 0);
    atomic_store(&stop, 1);
    assert_int_equal(pthread_join(other, NULL), 0);
    return good;
}

static void test_children_of_a_busy_parent(void **state) {
    enum { CHILDREN = 5, MANY = 60 };
    static numbers want;
    int trouble = 0;
    (void)state;
    assert_int_equal(work(&want), 0);
    assert_int_equal(good_children(CHILDREN, &want, be_busy, &trouble), CHILDREN);
    assert_int_equal(trouble, 0);
    if (openblas_get_num_threads) /* own loops have no locks */
        assert_int_equal(good_children(MANY, &want, multiply, NULL), MANY);
}

/* ---- no more threads ---- */

static int warnings;

static void count_warnings(void *context, xlstm_log_level level, const char *sentence) {
    (void)context;
    warnings += level == XLSTM_LOG_WARNING && strstr(sentence, "gives no");
}

/* A user of whom nobody else is, and so many processes and threads of it at most. 77: that cannot be tried
 * here. */
static int with_limit(int most, int warned) {
    static numbers n;
    const struct rlimit limit = {(rlim_t)most, (rlim_t)most};
    alarm(SECONDS);
    if (geteuid() == 0 && (setgroups(0, NULL) || setgid(64321) || setuid(64321)))
        return 77;
    if (setrlimit(RLIMIT_NPROC, &limit))
        return 77;
    xlstm_set_log(count_warnings, NULL);
    xlstm_set_threads(8);
    if (make(&shared) || work(&n))
        return 1;
    return (warnings > 0) == warned && xlstm_get_threads() == 8 ? 0 : 2;
}

static void fits_limit(int most, int warned) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(with_limit(most, warned));
    int how = -1;
    assert_int_equal(waitpid(child, &how, 0), child);
    if (WIFEXITED(how) && WEXITSTATUS(how) == 77)
        skip();
    if (!WIFEXITED(how) || WEXITSTATUS(how))
        fail_msg("a limit of %d: ended by signal %d or with %d", most, WIFSIGNALED(how) ? WTERMSIG(how) : 0,
                 WIFEXITED(how) ? WEXITSTATUS(how) : 0);
}

/* The first of all tests: in a child of a process that has computed no limit would be met. */
static void test_no_more_threads(void **state) {
    (void)state;
#ifndef WITH_OPENMP
    skip();
#endif
    fits_limit(1, 1);
    if (geteuid() || OWN_THREADS) /* other processes of this user count too */
        return;
    fits_limit(4, 1);
    for (int i = 0; i < 10; i++)
        fits_limit(8, 0); /* just enough, if those that were tried are gone */
}

/* This program again, with a variable of the environment. 77: it cannot be started. */
static int with_variable(const char *what, const char *name, const char *value) {
    char *const again[] = {"test_process", (char *)(uintptr_t)what, NULL};
    alarm(SECONDS);
    setenv(name, value, 1);
    execv("/proc/self/exe", again);
    return 77;
}

static void with_variable_it_works(const char *what, const char *name, const char *value) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(with_variable(what, name, value));
    int how = -1;
    assert_int_equal(waitpid(child, &how, 0), child);
    if (WIFEXITED(how) && WEXITSTATUS(how) == 77)
        skip();
    if (!WIFEXITED(how) || WEXITSTATUS(how))
        fail_msg("%s=%s ends a program that uses the library", name, value);
}

/* Stacks that no thread can have, and wishes that are none. */
static void test_variables_of_openmp(void **state) {
    static const struct {
        const char *name, *value;
    } cases[] = {
        {"OMP_STACKSIZE", "100000G"},   {"OMP_STACKSIZE", " 100000g "}, {"OMP_STACKSIZE", "90000000000"},
        {"OMP_STACKSIZE", "nonsense"},  {"OMP_STACKSIZE", "64M"},       {"OMP_NUM_THREADS", "0"},
#ifndef __clang__ /* LLVM's OpenMP makes room for as many as it takes these for, and ends the program itself \
                   */
        {"OMP_NUM_THREADS", "-3"},      {"OMP_NUM_THREADS", "several"},
#endif
        {"OMP_THREAD_LIMIT", "1"},      {"OMP_THREAD_LIMIT", "2"},      {"OMP_DYNAMIC", "true"},
        {"OMP_MAX_ACTIVE_LEVELS", "0"}, {"OMP_WAIT_POLICY", "passive"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        with_variable_it_works("--work", cases[i].name, cases[i].value);
}

/* ---- OpenBLAS' kernels and its own number of threads ---- */

static int is_about_openblas(const char *sentence) {
    return !strncmp(sentence, "OpenBLAS does not know", 22) && strstr(sentence, "OPENBLAS_CORETYPE");
}

static void count_old(void *context, xlstm_log_level level, const char *sentence) {
    *(int *)context += level == XLSTM_LOG_WARNING && is_about_openblas(sentence);
}

/* 0: it is told once that OpenBLAS' kernels are old, where products are by them. 77: nobody can say. */
static int be_warned(void) {
    static numbers n;
    int told = 0, expected = 0;
    if (!openblas_get_corename || strcmp(openblas_get_corename(), "Prescott"))
        return 77; /* it has the kernels of one processor alone */
#if defined(XL_PRODUCTS_BY_BLAS) && defined(__x86_64__)
    expected = !!__builtin_cpu_supports("avx2");
#endif
    xlstm_set_log(count_old, &told);
    for (int i = 0; i < 2; i++)
        if (work(&n))
            return 1;
    return told != expected;
}

static void test_openblas_is_old(void **state) {
    (void)state;
    with_variable_it_works("--be-warned", "OPENBLAS_CORETYPE", "Prescott");
}

static void holds(int count, const char *after) {
    if (openblas_get_num_threads() != count)
        fail_msg("OpenBLAS has %d threads after %s; it had %d", openblas_get_num_threads(), after, count);
}

static void products_hold(int count) {
    static float a[64 * 64], b[64 * 64], c[64 * 64];
    xl_view x = xl_rows(a, 64, 64), y = xl_rows(c, 64, 64);
    xl_ops_best()->linear(y, x, xl_real_matrix(b, 64, 64), NULL);
    holds(1, "a product in the middle of a call");
    xl_ops_call_over();
    holds(count, "the call");
}

static void calls_give_back(int count) {
    static numbers n;
    xlstm_session *s = NULL;
    assert_int_equal(xlstm_session_create(&s, shared, STREAMS, TIME), XLSTM_OK);
    holds(count, "creating a session");
    assert_int_equal(xlstm_session_tokens(s, tokens, TIME, n.logits), XLSTM_OK);
    holds(count, "a long call");
    assert_int_equal(xlstm_session_tokens(s, tokens, 1, n.logits), XLSTM_OK);
    holds(count, "a step");
    assert_int_equal(xlstm_session_prompt(s, tokens, TIME, n.logits), XLSTM_OK);
    holds(count, "a prompt");
    xlstm_session_free(s);
    assert_int_equal(work(&n), 0);
    holds(count, "training");
    products_hold(count);
}

static void test_openblas_keeps_its_number(void **state) {
    static numbers want;
    pthread_t other;
    int trouble = 0;
    (void)state;
    if (!openblas_get_num_threads || !openblas_set_num_threads || openblas_get_parallel() != 1)
        skip(); /* another BLAS, or one without a number of its own */
    assert_int_equal(work(&want), 0);
    for (int count = 3; count > 0; count--) { /* (1 must stay 1 too) */
        openblas_set_num_threads(count);
        calls_give_back(count);
    }
    openblas_set_num_threads(3);
    assert_true(compute_in_child(&want, 1));
    holds(3, "a fork");
    atomic_store(&stop, 0);
    assert_int_equal(pthread_create(&other, NULL, be_busy, &trouble), 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(use(shared, want.logits), XLSTM_OK);
    atomic_store(&stop, 1);
    assert_int_equal(pthread_join(other, NULL), 0);
    assert_int_equal(trouble, 0);
    holds(3, "calls of two threads");
}

/* ---- the caller's floating-point mode ---- */

enum { TASKS = 64 };

/* By what sums do, since a processor may have more than one such mode. */
static int rounding(void) {
    volatile float one = 1, tiny = 1e-20f;
    return one + tiny > 1 ? FE_UPWARD : one - tiny < 1 ? FE_DOWNWARD : FE_TONEAREST;
}

static void note_rounding(void *context, int index, int thread) {
    (void)thread;
    ((int *)context)[index] = rounding();
}

static void test_rounding_is_the_callers(void **state) {
    static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TONEAREST};
    (void)state;
    assert_int_equal(xlstm_set_threads(THREADS), XLSTM_OK);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        int seen[TASKS];
        assert_int_equal(fesetround(modes[i]), 0);
        xl_parallel(TASKS, note_rounding, seen);
        int after = rounding();
        fesetround(FE_TONEAREST);
        assert_int_equal(after, modes[i]);
        for (int k = 0; k < TASKS; k++)
            assert_int_equal(seen[k], modes[i]);
    }
}

#ifdef __SSE2__
enum { FLUSH = 0x8040 }; /* results to zero, and operands */

enum { INPUTS = 64, HIDDEN = 256, OUTPUTS = STREAMS * TIME * HIDDEN, RUNS = 4 };

/* Inputs whose products with weights are below the smallest normal number. */
static void run_cell(const xlstm_module *cell, unsigned mode, int threads, xlstm_real *out) {
    static xlstm_real inputs[STREAMS * TIME * INPUTS];
    xlstm_session *s = NULL;
    unsigned before = _mm_getcsr();
    for (int i = 0; i < STREAMS * TIME * INPUTS; i++)
        inputs[i] = (xlstm_real)1e-37 * (xlstm_real)(i % 7);
    xlstm_set_threads(threads);
    _mm_setcsr(before | mode);
    xlstm_status status = xlstm_session_create(&s, cell, STREAMS, TIME);
    if (status == XLSTM_OK)
        status = xlstm_session_vectors(s, inputs, TIME, out);
    _mm_setcsr(before);
    xlstm_session_free(s);
    assert_int_equal(status, XLSTM_OK);
}

typedef struct {
    const xlstm_module *cell;
    unsigned first;  /* the mode in which this thread's team begins */
    xlstm_real *out; /* [RUNS, OUTPUTS]: alone, by all; and both again with flushing */
} flushing;

static void *run_modes(void *argument) {
    const flushing *f = argument;
    run_cell(f->cell, f->first, THREADS, f->out);
    for (int i = 0; i < RUNS; i++)
        run_cell(f->cell, i / 2 ? FLUSH : 0, i % 2 ? THREADS : 1, f->out + i * OUTPUTS);
    return NULL;
}

static void clear_biases(xlstm_module *m) {
    for (int i = 0; i < xlstm_module_parameter_count(m); i++) {
        xlstm_parameter p;
        xlstm_module_parameter(m, i, &p);
        xlstm_real *zeros = calloc(p.count, sizeof *zeros);
        assert_non_null(zeros);
        if (strstr(p.name, "bias"))
            assert_int_equal(xlstm_module_write(m, i, zeros), XLSTM_OK);
        free(zeros);
    }
}

static void test_flushing_is_the_callers(void **state) {
    xlstm_cell_config c;
    xlstm_module *cell = NULL;
    (void)state;
    xlstm_cell_config_init(&c, XLSTM_CELL_LSTM);
    c.input_size = INPUTS;
    c.hidden_size = HIDDEN;
    c.num_heads = 1;
    assert_int_equal(xlstm_cell_create(&cell, &c, 5), XLSTM_OK);
    clear_biases(cell);
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        flushing f = {cell, i ? FLUSH : 0, calloc(RUNS * OUTPUTS, sizeof(xlstm_real))};
        assert_non_null(f.out);
        assert_int_equal(pthread_create(&thread, NULL, run_modes, &f), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        size_t bytes = OUTPUTS * sizeof *f.out;
        assert_memory_equal(f.out, f.out + OUTPUTS, bytes);
        assert_memory_equal(f.out + 2 * OUTPUTS, f.out + 3 * OUTPUTS, bytes);
        assert_memory_not_equal(f.out, f.out + 2 * OUTPUTS, bytes);
        free(f.out);
    }
    xlstm_module_free(cell);
}
#endif

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_more_threads),           cmocka_unit_test(test_variables_of_openmp),
        cmocka_unit_test(test_children_compute),          cmocka_unit_test(test_children_of_a_busy_parent),
        cmocka_unit_test(test_openblas_keeps_its_number), cmocka_unit_test(test_openblas_is_old),
        cmocka_unit_test(test_rounding_is_the_callers),
#ifdef __SSE2__
        cmocka_unit_test(test_flushing_is_the_callers),
#endif
    };
    if (argc > 1 && !strcmp(argv[1], "--work")) {
        static numbers n;
        set_up(NULL);
        if (!getenv("OMP_NUM_THREADS")) /* else: what OpenMP makes of that */
            xlstm_set_threads(THREADS);
        return make(&shared) || work(&n);
    }
    if (argc > 1 && !strcmp(argv[1], "--be-warned"))
        return set_up(NULL) || make(&shared) ? 1 : be_warned();
    int failed = cmocka_run_group_tests(tests, set_up, NULL);
    xlstm_module_free(shared);
    return failed;
}
