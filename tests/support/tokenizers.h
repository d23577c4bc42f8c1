/* tokenizers.h - a tokenizer that must load, and a text whose tokens are known. */
#ifndef TEST_TOKENIZERS_H
#define TEST_TOKENIZERS_H

#include "xlstm/common.h"
#include "xlstm/tokenizer.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static inline xlstm_tokenizer *load(const char *from) {
    xlstm_tokenizer *t;
    if (xlstm_tokenizer_load(&t, from) != XLSTM_OK)
        fail_msg("%s", xlstm_last_error());
    return t;
}

static inline void gives(const xlstm_tokenizer *t, const char *text, const int32_t *want, size_t count) {
    int32_t got[64];
    size_t n;
    if (xlstm_tokenizer_encode(t, text, strlen(text), got, sizeof got / sizeof *got, &n) != XLSTM_OK)
        fail_msg("%s", xlstm_last_error());
    assert_int_equal(n, count);
    assert_memory_equal(got, want, count * sizeof *want);
}

#endif
