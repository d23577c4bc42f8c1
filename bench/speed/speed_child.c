/* speed_child.c - each measurement is a process of its own, spawned and not forked, whose peak memory is
 * therefore its own; what it cannot do is a row that says so, not the end of the program. */
#include "speed.h"
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <fcntl.h>

__attribute__((format(printf, 2, 3))) static void fail(child *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (!c->failure && vasprintf(&c->failure, format, args) < 0)
        die("no memory");
    va_end(args);
}

/* Spawning and not forking: a child inherits the peak memory of what it is forked from. */
static pid_t spawn(const char *program, const char *const argv[], int in, int out, int quiet) {
    extern char **environ;
    posix_spawn_file_actions_t actions;
    pid_t pid;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    if (quiet)
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    int reason = posix_spawnp(&pid, program, &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    errno = reason;
    return reason ? -1 : pid;
}

/* The next answer, or NULL and a failure. */
static json_t *answer(child *c) {
    char *line = NULL;
    size_t room = 0;
    json_t *j = NULL, *error;
    if (getline(&line, &room, c->from) > 0)
        j = json_loads(line, 0, NULL);
    free(line);
    if ((error = json_object_get(j, "error")))
        fail(c, "%s", json_string_value(error) ? json_string_value(error) : "it did not say why");
    else if (j)
        return j;
    json_decref(j);
    return NULL;
}

/* A child that is gone is noticed when it does not answer; a reader of this program's own output that is gone
 * still ends it. */
static void without_sigpipe(int (*send)(FILE *), FILE *to) {
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);
    send(to);
    signal(SIGPIPE, before);
}

static void send_request(child *c) {
    const request *r = &c->what;
    json_t *j = json_pack("{s:s,s:s,s:s,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:f,s:I}", "model", r->model, "measure",
                          r->measure, "weights", r->weights, "width", r->width, "blocks", r->blocks, "heads",
                          r->heads, "batch", r->batch, "time", r->time, "vocab", r->vocab, "threads",
                          r->threads, "seconds", r->seconds, "parameters", r->parameters);
    json_dumpf(j, c->to, 0);
    fputc('\n', c->to);
    without_sigpipe(fflush, c->to);
    json_decref(j);
}

void child_start(child *c, const char *program, const char *script) {
    const char *const own[] = {program_invocation_short_name, "--serve", NULL};
    const char *const other[] = {program, script, NULL};
    int in[2], out[2];
    char threads[16];
    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
        die("a pipe cannot be made (%s)", strerror(errno));
    snprintf(threads, sizeof threads, "%d", c->what.threads);
    setenv("OMP_NUM_THREADS", threads, 1);
    c->pid =
        spawn(program ? program : "/proc/self/exe", program ? other : own, in[0], out[1], program != NULL);
    if (c->pid < 0)
        fail(c, "%s cannot be started (%s)", program ? program : "this program", strerror(errno));
    close(in[0]);
    close(out[1]);
    c->to = fdopen(in[1], "w");
    c->from = fdopen(out[0], "r");
    if (!c->to || !c->from)
        die("no memory");
    if (c->failure)
        return;
    send_request(c);
    json_t *j = answer(c);
    c->parameters = json_number_value(json_object_get(j, "parameters"));
    c->flops = json_number_value(json_object_get(j, "flops"));
    c->bytes = json_number_value(json_object_get(j, "bytes"));
    c->profile = json_incref(json_object_get(j, "profile"));
    c->planned = json_number_value(json_object_get(j, "planned"));
    if (!j)
        child_end(c);
    json_decref(j);
}

void child_sample(child *c) {
    if (c->failure || !c->to || c->samples == MAX_REPEATS)
        return;
    fputs("go\n", c->to);
    without_sigpipe(fflush, c->to);
    json_t *j = answer(c);
    double seconds = json_number_value(json_object_get(j, "seconds"));
    if (seconds > 0)
        c->rates[c->samples++] = json_number_value(json_object_get(j, "units")) / seconds;
    else
        child_end(c);
    json_decref(j);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A process that ends before it is told to has failed. */
void child_end(child *c) {
    struct rusage usage;
    int status = 0, early = !c->samples;
    if (!c->to)
        return;
    without_sigpipe(fclose, c->to);
    c->to = NULL;
    if (c->pid > 0 && wait4(c->pid, &status, 0, &usage) == c->pid) {
        c->peak = 1024.0 * (double)usage.ru_maxrss;
        if (WIFSIGNALED(status))
            fail(c, "it was ended by signal %d%s", WTERMSIG(status),
                 WTERMSIG(status) == 9 ? " (no memory?)" : "");
        else if (WEXITSTATUS(status) || early)
            fail(c, "it ended with exit code %d", WEXITSTATUS(status));
    }
    fclose(c->from);
    qsort(c->rates, (size_t)c->samples, sizeof *c->rates, by_size);
}

double child_median(const child *c) {
    int n = c->samples;
    return c->failure || !n ? NAN : (c->rates[(n - 1) / 2] + c->rates[n / 2]) / 2;
}
