/* The listener is set before threads are (xlstm/common.h says so), and only read from then on. */
#include "base/log.h"
#include "base/error.h"
#include <stdarg.h>

static struct {
    xlstm_log_callback *callback; /* NULL: nobody listens */
    void *context;
} listener;

void xlstm_set_log(xlstm_log_callback *callback, void *context) {
    listener.callback = callback;
    listener.context = context;
}

void xl_log(xlstm_log_level level, const char *format, ...) {
    char sentence[1024];
    va_list args;
    if (!listener.callback)
        return;
    va_start(args, format);
    xl_sentence_of(sentence, sizeof sentence, format, args);
    va_end(args);
    listener.callback(listener.context, level, sentence);
}
