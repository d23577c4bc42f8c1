/* error.h - a status and, per thread, one sentence that says what was wrong, what was expected, and a hint.
 */
#ifndef XL_ERROR_H
#define XL_ERROR_H

#include "xlstm/common.h"
#include <stdarg.h>

/* Records the sentence and returns `status`, so that callers write: return xl_fail(XLSTM_E_ARGUMENT, ...). */
xlstm_status xl_fail(xlstm_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));
xlstm_status xl_no_memory(uint64_t bytes, const char *what);
/* Puts a file's name before the sentence that was recorded last, of one who knows no files. */
xlstm_status xl_fail_in(const char *path, xlstm_status status);

/* A sentence, or the beginning of one, in `size` bytes. Where it does not fit, a text at its very first %s,
 * the file's name as a rule, loses its middle. */
void xl_sentence(char *to, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
void xl_sentence_of(char *to, size_t size, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

#ifdef __clang_analyzer__ /* reads one file at a time, and must be told that a failure is never XLSTM_OK */
#define xl_fail(status, ...) ((xl_fail)(status, __VA_ARGS__), (status))
#define xl_no_memory(bytes, what) ((xl_no_memory)(bytes, what), XLSTM_E_MEMORY)
#define xl_fail_in(path, status) ((xl_fail_in)(path, status), (status))
#endif

/* What every creator asks first: is there an address for what it creates? */
static inline xlstm_status xl_check_out(const void *out, const char *function) {
    return out ? XLSTM_OK
               : xl_fail(XLSTM_E_ARGUMENT, "%s: out is NULL; give the address of a pointer", function);
}

#define XL_TRY(call)                                                                                         \
    do {                                                                                                     \
        xlstm_status xl_status_ = (call);                                                                    \
        if (xl_status_ != XLSTM_OK)                                                                          \
            return xl_status_;                                                                               \
    } while (0)

#endif
