/* program.h - how the programs of this folder end when they cannot go on: one sentence and exit code 2. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include "xlstm.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static inline void *need(size_t bytes) {
    void *p = calloc(1, bytes ? bytes : 1);
    if (!p)
        die("no memory for %zu bytes", bytes);
    return p;
}

/* The text of an option as a number in a range. */
static inline double number_option(const char *name, const char *text, double low, double high) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= low && value <= high))
        die("--%s is \"%s\"; give a number from %g to %g", name, text, low, high);
    return value;
}

static inline int count_option(const char *name, const char *text, int low, int high) {
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < low || value > high)
        die("--%s is \"%s\"; give a whole number from %d to %d", name, text, low, high);
    return (int)value;
}

static inline xlstm_weights weights_option(const char *text) {
    static const char *const names[] = {"real", "bf16", "int8"};
    for (int i = 0; i < 3; i++)
        if (!strcmp(text, names[i]))
            return (xlstm_weights)i;
    die("--weights is \"%s\"; use real, bf16 or int8", text);
}

#endif
