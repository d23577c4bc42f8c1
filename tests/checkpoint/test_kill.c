/* kill -9 at any moment: a program that trains and saves after every step is killed again and again. What was
 * saved stays, the checkpoint always loads, nothing piles up beside it, and in the end it is the one of a run
 * that was never killed. Started with arguments, this test is that program. */
#include "support/training_run.h"
#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

enum { STEPS = 100, KILLS = 25, FEWEST = 3, KIND = TEST_KINDS - 2 };

/* Large, so that writing takes a while. */
typedef struct {
    int64_t at;
    unsigned char rest[1000000];
} position;

static const char *self;
static char folder[64], killed[96], beside[96], straight[96];

/* ---- the program ---- */

/* Trains to the last step from wherever the checkpoint is, and says after each save what is saved. */
static int train(const char *path, int report) {
    static position p;
    training_run r;
    xlstm_set_threads(1 + (int)(getpid() % 2)); /* another number from life to life */
    run_open(&r, KIND, XLSTM_ADAMW, 7);
    xlstm_status status = xlstm_checkpoint_load(path, r.tr, r.opt, &p, sizeof p);
    if (status != XLSTM_OK && status != XLSTM_E_NOT_FOUND)
        return 2;
    while (p.at < STEPS) {
        run_backward(&r, (int)p.at++);
        run_update(&r);
        memset(p.rest, (int)p.at, sizeof p.rest);
        if (xlstm_checkpoint_save(path, r.tr, r.opt, &p, sizeof p))
            return 3;
        if (write(report, &p.at, sizeof p.at) != sizeof p.at)
            return 4;
    }
    run_close(&r);
    return 0;
}

/* ---- the test ---- */

static pid_t start(const char *path, int *report) {
    int ends[2];
    char fd[16];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        snprintf(fd, sizeof fd, "%d", ends[1]);
        execl(self, self, path, fd, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    *report = ends[0];
    return child;
}

static int finish(pid_t child, int report) {
    int how = 0;
    assert_int_equal(waitpid(child, &how, 0), child);
    close(report);
    return how;
}

static void run_to_the_end(const char *path) {
    int report;
    int64_t at;
    pid_t child = start(path, &report);
    while (read(report, &at, sizeof at) == sizeof at)
        ;
    int how = finish(child, report);
    if (!WIFEXITED(how) || WEXITSTATUS(how))
        fail_msg("the program ended with %x", (unsigned)how);
}

static void check_folder(void) {
    DIR *d = opendir(folder);
    int others = 0;
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d));)
        others +=
            e->d_name[0] != '.' && strcmp(e->d_name, "killed") && strcmp(e->d_name, "killed.xlstm-0.tmp");
    closedir(d);
    assert_int_equal(others, 0);
}

/* Some time passes: until so many bytes are written beside, but no longer than so many microseconds. */
static void wait_for(long bytes, long microseconds) {
    struct stat st;
    for (long waited = 0; waited < microseconds; waited += 10) {
        if (bytes && !stat(beside, &st) && st.st_size > bytes)
            return;
        nanosleep(&(struct timespec){0, 10000}, NULL);
    }
}

/* Starts the program and kills it after its first save: at any moment, or while it writes. Returns what it
 * last said to have saved. */
static int64_t live_and_be_killed(uint64_t number) {
    int report;
    int64_t at = 0;
    pid_t child = start(killed, &report);
    if (read(report, &at, sizeof at) == sizeof at) {
        if (number % 2)
            wait_for((long)(xl_hash(3, number) % sizeof(position)), 1000000);
        else
            wait_for(0, (long)(xl_hash(3, number) % 10000));
        kill(child, SIGKILL);
        while (read(report, &at, sizeof at) == sizeof at)
            ;
    }
    int how = finish(child, report);
    if (!(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL) && !(WIFEXITED(how) && !WEXITSTATUS(how)))
        fail_msg("the program ended with %x", (unsigned)how);
    return at;
}

/* What is saved is whole, and no older than what was said. */
static int64_t check_saved(training_run *r, int64_t said) {
    static position p;
    xlstm_status status = xlstm_checkpoint_load(killed, r->tr, r->opt, &p, sizeof p);
    if (status != XLSTM_OK)
        fail_msg("after a kill: %s", xlstm_last_error());
    if (p.at < said || p.at > said + 1 || xlstm_optimizer_steps(r->opt) != p.at)
        fail_msg("step %d was saved, the checkpoint has %d", (int)said, (int)p.at);
    assert_true(p.rest[0] == p.at && !memcmp(p.rest, p.rest + 1, sizeof p.rest - 1));
    check_folder();
    return p.at;
}

static void test_kill(void **state) {
    (void)state;
    training_run r;
    int kills = 0, saving = 0;
    time_t begun = time(NULL);
    run_open(&r, KIND, XLSTM_ADAMW, 8);
    for (int64_t at = 0; kills < KILLS && at < STEPS && (kills < FEWEST || time(NULL) < begun + 10);
         kills++) {
        int64_t said = live_and_be_killed((uint64_t)kills);
        saving += !access(beside, F_OK);
        at = check_saved(&r, said);
    }
    run_close(&r);
    print_message("%d kills, %d of them while it was saving\n", kills, saving);
    if (kills < FEWEST || (kills > 15 && !saving))
        fail_msg("the kills came at no interesting moments");
    run_to_the_end(killed);
    run_to_the_end(straight);
    assert_true(same_files(killed, straight));
    assert_int_equal(unlink(killed), 0);
    assert_int_equal(unlink(straight), 0);
    assert_int_equal(rmdir(folder), 0); /* nothing else is there */
}

int main(int argc, char **argv) {
    self = argv[0];
    if (argc == 3)
        return train(argv[1], atoi(argv[2]));
    make_folder(folder, "kill");
    snprintf(killed, sizeof killed, "%s/killed", folder);
    snprintf(beside, sizeof beside, "%s/killed.xlstm-0.tmp", folder);
    snprintf(straight, sizeof straight, "%s/straight", folder);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kill)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
