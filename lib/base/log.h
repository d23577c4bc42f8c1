/* log.h - sentences for the user's callback. Only where something is created or opened: a running session or
 * trainer says nothing. */
#ifndef XL_LOG_H
#define XL_LOG_H

#include "xlstm/common.h"

void xl_log(xlstm_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline double xl_mib(size_t bytes) {
    return bytes / 1048576.0;
}

#endif
