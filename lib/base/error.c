/* A sentence is not lost for want of memory: every thread has room for one, and a longer one is cut. */
#include "base/error.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char message[512];

xlstm_status(xl_fail)(xlstm_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
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
