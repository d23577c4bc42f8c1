/* A sentence is not lost for want of memory: every thread has room for one. What is too long for it is cut
 * where it matters least, in the middle of the file's name that it begins with, and what is in a name cannot
 * change the terminal that shows it. */
#include "base/error.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

enum { ROOM = 1024, LEAST = 80 }; /* bytes of a sentence, and of the name in it */
static _Thread_local char message[ROOM];

/* All of a text that has at most `room` bytes, else its ends. */
static size_t put_ends(char *to, size_t size, const char *text, size_t room) {
    static const char between[] = "...";
    size_t length = strlen(text), head = room / 3;
    size_t tail = length <= room ? 0 : room - head - (sizeof between - 1);
    int n = tail ? snprintf(to, size, "%.*s%s%s", (int)head, text, between, text + length - tail)
                 : snprintf(to, size, "%s", text);
    return (size_t)n < size ? (size_t)n : size - 1;
}

/* The same sentence, `length` bytes as a whole, with as much of its first text as there is room for. */
static void shorten(char *to, size_t size, int length, const char *format, va_list args) {
    const char *first = strchr(format, '%');
    if (!first || first[1] != 's')
        return;
    const char *text = va_arg(args, const char *);
    size_t rest = (size_t)length - strlen(text), used = (size_t)(first - format);
    if (used + LEAST >= size)
        return;
    memcpy(to, format, used);
    used += put_ends(to + used, size - used, text, rest + LEAST < size ? size - 1 - rest : LEAST);
    vsnprintf(to + used, size - used, first + 2, args);
}

/* Control characters and what is not UTF-8 become question marks. */
static void make_printable(char *text) {
    for (utf8proc_uint8_t *at = (utf8proc_uint8_t *)text; *at;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate(at, -1, &c);
        utf8proc_category_t kind = n > 0 ? utf8proc_category(c) : UTF8PROC_CATEGORY_CC;
        size_t bytes = n > 0 ? (size_t)n : 1;
        if (kind == UTF8PROC_CATEGORY_CC || kind == UTF8PROC_CATEGORY_ZL || kind == UTF8PROC_CATEGORY_ZP)
            memset(at, '?', bytes);
        at += bytes;
    }
}

void xl_sentence_of(char *to, size_t size, const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(to, size, format, args);
    if (length > 0 && (size_t)length >= size)
        shorten(to, size, length, format, again);
    va_end(again);
    make_printable(to);
}

void xl_sentence(char *to, size_t size, const char *format, ...) {
    va_list args;
    va_start(args, format);
    xl_sentence_of(to, size, format, args);
    va_end(args);
}

xlstm_status(xl_fail)(xlstm_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    xl_sentence_of(message, sizeof message, format, args);
    va_end(args);
    return status;
}

xlstm_status(xl_no_memory)(uint64_t bytes, const char *what) {
    return xl_fail(XLSTM_E_MEMORY, "no memory for %s (%.1f MiB needed); use a smaller model, batch or window",
                   what, bytes / 1048576.0);
}

xlstm_status(xl_fail_in)(const char *path, xlstm_status status) {
    char said[sizeof message];
    memcpy(said, message, sizeof said);
    return xl_fail(status, "%s: %s", path, said);
}

const char *xlstm_last_error(void) {
    return message;
}

const char *xlstm_status_name(xlstm_status status) {
    switch (status) {
#define XL_CASE(name, value, text)                                                                           \
    case XLSTM_##name:                                                                                       \
        return text;
        XLSTM_STATUS_LIST(XL_CASE)
#undef XL_CASE
    }
    return "unknown status";
}

const char *xlstm_version(void) {
    return XLSTM_VERSION_STRING;
}
