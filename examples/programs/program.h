/* program.h - what the programs here, the lessons beside them and bench/ share: how they begin, and how they
 * end when they cannot go on (one sentence and exit code 2), options that are numbers, whole files, the time.
 * Needs _GNU_SOURCE. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include "xlstm.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

__attribute__((format(printf, 1, 2), noreturn)) static inline void die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(2);
}

static inline void check(xlstm_status status) {
    if (status != XLSTM_OK)
        die("%s", xlstm_last_error());
}

/* An empty or half a file is no answer. reason: an errno, or 0 where it is long forgotten */
__attribute__((noreturn)) static inline void lose_output(int reason) {
    fprintf(stderr, "%s: standard output cannot be written%s%s%s\n", program_invocation_short_name,
            reason ? " (" : "", reason ? strerror(reason) : "", reason ? ")" : "");
    _exit(2); /* exit() would come back here */
}

/* What was printed goes out now, before work whose result nobody could see. */
static inline void flush_output(void) {
    if (fflush(stdout))
        lose_output(errno);
}

/* However a program ends, --help too: what it printed last is written only then. */
static inline void end_output(void) {
    int failed = ferror(stdout);
    errno = 0;
    if (fclose(stdout) || failed)
        lose_output(errno);
}

/* The first thing that a program does; read_options() does it for those with options. */
static inline void program_begin(void) {
    static int begun;
    if (begun++)
        return;
    /* The number of a stream that is closed would be the next file's, and what is printed would go there. */
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            _exit(2);
    signal(SIGXFSZ,
           SIG_IGN); /* a file that may not grow is a write that fails, and its beginning is removed */
    atexit(end_output);
}

static inline void *need(size_t bytes) {
    void *p = calloc(1, bytes ? bytes : 1);
    if (!p)
        die("no memory for %zu bytes; use a smaller model or batch", bytes);
    return p;
}

static inline double now(void) { /* seconds */
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The whole file and a zero byte behind it, to be freed; NULL with errno when it cannot be read. */
static inline char *read_file(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    size_t room = 1 << 16, got;
    char *text = need(room);
    *size = 0;
    while ((got = fread(text + *size, 1, room - *size - 1, f)) > 0)
        if ((*size += got) + 1 == room && !(text = realloc(text, room *= 2)))
            die("no memory for %s", path);
    text[*size] = 0;
    if (ferror(f)) {
        free(text);
        text = NULL;
    }
    int reason = errno;
    fclose(f);
    errno = reason;
    return text;
}

/* The text of an option as a number in a range. Sooner or later it becomes a float, so the bounds are
 * compared as floats, and what is 0 only then is refused. */
static inline double number_option(const char *name, const char *text, double low, double high) {
    char *end;
    double value = strtod(text, &end);
    float here = (float)value;
    if (end == text || *end || !isfinite(here) || !(here >= (float)low && here <= (float)high))
        die("--%s is \"%s\"; give a number from %g to %g", name, text, low, high);
    if (value != 0 && here == 0)
        die("--%s is \"%s\", which is 0 as a float; give 0 itself, or 1e-45 and more", name, text);
    return value;
}

#endif
