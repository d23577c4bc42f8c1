/* What a device demands of the library, on the closed memory: nobody but ops touches tensors, a device that
 * fails is told by the call in which it did, two devices and two threads do not disturb each other, and a
 * table that lacks an op refuses at creation what needs it. Further programs run there whole (see
 * CMakeLists.txt). */
#include "model/module.h"
#include "support/closed.h"
#include "support/kinds.h"
#include "xlstm.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define FOLDER                                                                                               \
    "/dev/shm/xlstm_closed_XXXXXX" /* files are synced again and again, which a disk takes its time for */

enum { B = 2, T = 7, V = 11, STEPS = 3 };

static xlstm_config config_of(xlstm_block_kind kind) {
    xlstm_config c;
    xlstm_config_init(&c, kind);
    c.vocab_size = V;
    c.num_blocks = 1; /* every time that the device is asked is a run of its own */
    c.embedding_dim = 16;
    c.num_heads = 2;
    c.context_length = T;
    return c;
}

static xlstm_batch batch_of(void) {
    static int32_t tokens[B * T], targets[B * T];
    static const int32_t lengths[B] = {T, 5};
    for (int i = 0; i < B * T; i++) {
        tokens[i] = i * 5 % V;
        targets[i] = i * 7 % V;
    }
    return (xlstm_batch){
        .struct_size = sizeof(xlstm_batch), .tokens = tokens, .targets = targets, .lengths = lengths};
}

/* Everything that is made and done with a model, into `sum`; stops at the first failure. */
#define DO(call)                                                                                             \
    if (status == XLSTM_OK)                                                                                  \
    status = (call)

static xlstm_status work(xlstm_block_kind kind, const char *folder, double *sum) {
    xlstm_config c = config_of(kind);
    xlstm_trainer_config how;
    xlstm_optimizer_config adamw;
    xlstm_batch batch = batch_of();
    xlstm_loss loss = {0};
    xlstm_module *m = NULL, *back = NULL;
    xlstm_trainer *trainer = NULL;
    xlstm_optimizer *optimizer = NULL;
    xlstm_session *session = NULL, *copy = NULL;
    xlstm_real logits[B * T * V], token_loss[B * T];
    char run[128];
    snprintf(run, sizeof run, "%s/run", folder);
    xlstm_trainer_config_init(&how);
    xlstm_optimizer_config_init(&adamw, XLSTM_ADAMW);
    how.batch = B, how.time = T, how.dropout = 0.1f;
    batch.token_loss = token_loss;
    *sum = 0;
    xlstm_status status = xlstm_model_create(&m, &c, 1);
    DO(xlstm_trainer_create(&trainer, m, &how));
    DO(xlstm_optimizer_create(&optimizer, m, &adamw));
    for (int step = 0; step < STEPS; step++) {
        double norm = 0;
        DO(xlstm_trainer_backward(trainer, &batch, &loss));
        DO(xlstm_optimizer_step(optimizer, trainer, 1e-2f, &norm));
        *sum += loss.sum + norm;
    }
    DO(xlstm_trainer_forward(trainer, &batch, logits));
    DO(xlstm_trainer_backward_from(trainer, logits, NULL));
    DO(xlstm_checkpoint_save(run, trainer, optimizer, NULL, 0));
    DO(xlstm_checkpoint_load(run, trainer, optimizer, NULL, 0));
    DO(xlstm_module_save(m, folder));
    DO(xlstm_module_load(&back, folder));
    DO(xlstm_session_create(&session, back, B, 3));
    DO(xlstm_session_tokens(session, batch.tokens, T, logits));
    DO(xlstm_session_fork(&copy, session));
    DO(xlstm_session_prompt(copy, batch.tokens, T, logits));
    DO(xlstm_session_reset(copy, -1));
    for (int i = 0; i < B * V; i++)
        *sum += (double)logits[i];
    xlstm_session_free(copy);
    xlstm_session_free(session);
    xlstm_optimizer_free(optimizer);
    xlstm_trainer_free(trainer);
    xlstm_module_free(back);
    xlstm_module_free(m);
    return status;
}

static void make_folder(char *name) {
    assert_non_null(mkdtemp(name));
}

static void remove_folder(const char *name) {
    char command[200];
    snprintf(command, sizeof command, "rm -r '%s'", name);
    assert_int_equal(system(command), 0);
}

static double on_host(xlstm_block_kind kind) {
    char folder[] = FOLDER;
    double sum = 0;
    make_folder(folder);
    xl_memory_set_default(&xl_memory_host);
    assert_int_equal(work(kind, folder, &sum), XLSTM_OK);
    remove_folder(folder);
    return sum;
}

static void test_numbers(void **state) {
    (void)state;
    for (int kind = 0; kind < XLSTM_BLOCK_KINDS; kind++) {
        char folder[] = FOLDER;
        double want = on_host((xlstm_block_kind)kind), got = 0;
        make_folder(folder);
        xl_memory_set_default(closed_memory(0));
        if (work((xlstm_block_kind)kind, folder, &got) != XLSTM_OK)
            fail_msg("%s: %s", xlstm_block_kind_name((xlstm_block_kind)kind), xlstm_last_error());
        assert_true(got == want);
        remove_folder(folder);
    }
}

/* ---- touching ---- */

static int ends_by_signal(void (*touch)(const xlstm_module *, const xlstm_session *)) {
    xlstm_config c = config_of(XLSTM_MLSTM);
    xlstm_module *m;
    xlstm_session *s;
    xl_memory_set_default(closed_memory(0));
    assert_int_equal(xlstm_model_create(&m, &c, 1), XLSTM_OK);
    assert_int_equal(xlstm_session_create(&s, m, 1, 1), XLSTM_OK);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        fclose(stderr); /* what is expected need not be read */
        signal(SIGSEGV, SIG_DFL);
        touch(m, s);
        _exit(0);
    }
    int how = 0;
    assert_int_equal(waitpid(child, &how, 0), child);
    xlstm_session_free(s);
    xlstm_module_free(m);
    return WIFSIGNALED(how) && WTERMSIG(how) == SIGSEGV;
}

static void reads_a_weight(const xlstm_module *m, const xlstm_session *s) {
    volatile real x = m->w[0];
    (void)x, (void)s;
}

static void writes_a_weight(const xlstm_module *m, const xlstm_session *s) {
    (void)s;
    *(volatile real *)&m->w[m->params.size - 1] = 1;
}

static void touches_nothing(const xlstm_module *m, const xlstm_session *s) {
    (void)m, (void)s;
}

static void test_touch_is_caught(void **state) {
    (void)state;
    assert_true(ends_by_signal(reads_a_weight));
    assert_true(ends_by_signal(writes_a_weight));
    assert_false(ends_by_signal(touches_nothing));
}

/* ---- failing ---- */

static int count_files(const char *folder) {
    char command[200];
    int count = -1;
    snprintf(command, sizeof command, "ls -A '%s' | wc -l", folder);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%d", &count), 1);
    pclose(f);
    return count;
}

/* The n-th time that the device is asked it says that it failed: for every n the call says so too, and no
 * file is half written. */
static void test_every_failure_is_told(void **state) {
    (void)state;
    static const xlstm_block_kind kinds[] = {XLSTM_SLSTM,
                                             XLSTM_TRANSFORMER}; /* between them all ways in and out */
    for (int i = 0; i < 2; i++) {
        xlstm_block_kind kind = kinds[i];
        char folder[] = FOLDER;
        double want = on_host(kind), got;
        make_folder(folder);
        xl_memory_set_default(closed_memory(0));
        closed_fail_at(0);
        assert_int_equal(work(kind, folder, &got), XLSTM_OK);
        long asked = closed_asked(), told = 0;
        int files = count_files(folder);
        assert_true(asked > 20);
        for (long n = 1; n <= asked; n++) {
            closed_fail_at(n);
            xlstm_status status = work(kind, folder, &got);
            if (status != XLSTM_E_DEVICE)
                fail_msg("%s: asked for the %ld. time the device failed, and the call said %d",
                         xlstm_block_kind_name(kind), n, status);
            assert_non_null(strstr(xlstm_last_error(), "told to fail"));
            assert_int_equal(count_files(folder), files);
            told++;
        }
        closed_fail_at(0);
        assert_int_equal(told, asked);
        assert_int_equal(work(kind, folder, &got), XLSTM_OK);
        assert_true(got == want);
        remove_folder(folder);
    }
}

/* ---- two threads ---- */

typedef struct {
    xl_memory *memory;
    xlstm_block_kind kind;
    double sum;
    xlstm_status status;
} job;

static void *run_job(void *context) {
    job *j = context;
    char folder[] = FOLDER;
    xl_memory_set_default(j->memory);
    if (!mkdtemp(folder))
        return NULL;
    for (int i = 0; i < 5 && j->status == XLSTM_OK; i++)
        j->status = work(j->kind, folder, &j->sum);
    char command[200];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command) ? NULL : context;
}

static void test_two_threads(void **state) {
    (void)state;
    double mlstm = on_host(XLSTM_MLSTM), slstm = on_host(XLSTM_SLSTM);
    for (int second = 0; second < 2; second++) { /* on one device, then on two */
        job jobs[2] = {{closed_memory(0), XLSTM_MLSTM, 0, XLSTM_OK},
                       {closed_memory(second), XLSTM_SLSTM, 0, XLSTM_OK}};
        pthread_t threads[2];
        for (int i = 0; i < 2; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, run_job, &jobs[i]), 0);
        for (int i = 0; i < 2; i++) {
            void *done = NULL;
            assert_int_equal(pthread_join(threads[i], &done), 0);
            assert_ptr_equal(done, &jobs[i]);
            assert_int_equal(jobs[i].status, XLSTM_OK);
        }
        assert_true(jobs[0].sum == mlstm && jobs[1].sum == slstm);
    }
}

/* ---- a table with a hole ---- */

static void test_lacking_op(void **state) {
    (void)state;
    xlstm_module *lstm, *transformer;
    xlstm_session *s;
    xlstm_trainer *t;
    xlstm_optimizer *o;
    xlstm_trainer_config how;
    xlstm_optimizer_config rule;
    xlstm_config a = config_of(XLSTM_MLSTM), b = config_of(XLSTM_TRANSFORMER);
    xlstm_trainer_config_init(&how);
    xl_memory_set_default(closed_memory(0));
    assert_int_equal(xlstm_model_create(&lstm, &a, 1), XLSTM_OK);
    assert_int_equal(xlstm_model_create(&transformer, &b, 1), XLSTM_OK);
    closed_lack("attention");
    assert_int_equal(xlstm_session_create(&s, transformer, 1, 1), XLSTM_E_CONFIG);
    assert_null(s);
    assert_non_null(strstr(xlstm_last_error(), "\"attention\""));
    assert_int_equal(xlstm_trainer_create(&t, transformer, &how), XLSTM_E_CONFIG);
    assert_int_equal(xlstm_session_create(&s, lstm, 1, 1), XLSTM_OK);
    xlstm_session_free(s);
    closed_lack("mlstm_bwd"); /* which only training needs */
    assert_int_equal(xlstm_session_create(&s, lstm, 1, 1), XLSTM_OK);
    xlstm_session_free(s);
    assert_int_equal(xlstm_trainer_create(&t, lstm, &how), XLSTM_E_CONFIG);
    assert_non_null(strstr(xlstm_last_error(), "\"mlstm_bwd\""));
    closed_lack("sgd");
    xlstm_optimizer_config_init(&rule, XLSTM_SGD);
    assert_int_equal(xlstm_optimizer_create(&o, lstm, &rule), XLSTM_E_CONFIG);
    xlstm_optimizer_config_init(&rule, XLSTM_ADAMW);
    assert_int_equal(xlstm_optimizer_create(&o, lstm, &rule), XLSTM_OK);
    xlstm_optimizer_free(o);
    closed_lack(NULL);
    assert_int_equal(xlstm_session_create(&s, transformer, 1, 1), XLSTM_OK);
    xlstm_session_free(s);
    xlstm_module_free(transformer);
    xlstm_module_free(lstm);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_numbers), cmocka_unit_test(test_touch_is_caught),
                                       cmocka_unit_test(test_every_failure_is_told),
                                       cmocka_unit_test(test_two_threads), cmocka_unit_test(test_lacking_op)};
    xlstm_set_threads(1); /* thousands of small calls, which is not what more are for */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
