/* unicode.h - what tokenizers need of Unicode: kinds of characters, the composed form (NFC). */
#ifndef XL_UNICODE_H
#define XL_UNICODE_H

#include "base/error.h"

/* Bytes that grow. Begins as {0}; xl_free(bytes) ends it. */
typedef struct {
    char *bytes;
    size_t used, room;
} xl_text;
xlstm_status xl_text_add(xl_text *t, const char *bytes, size_t count);

/* All that follow take sound UTF-8. */

typedef enum { XL_LETTER, XL_NUMBER, XL_SPACE, XL_OTHER, XL_END } xl_kind;
/* What character is at the place (XL_END: behind the last one), and how many bytes it has. */
xl_kind xl_unicode_kind_at(const char *text, size_t bytes, size_t at, size_t *length);
/* The white space that the text begins with, and that it ends with, in bytes. */
size_t xl_unicode_space_before(const char *text, size_t bytes);
size_t xl_unicode_space_behind(const char *text, size_t bytes);
/* Letters, their marks, decimal digits, _ and what joins them: \w of regular expressions. */
int xl_unicode_is_word_at(const char *text, size_t bytes, size_t at);
/* The same of the character before the place. */
int xl_unicode_is_word_behind(const char *text, size_t at);
/* Adds the text in small letters, each for itself. */
xlstm_status xl_unicode_lower(xl_text *out, const char *text, size_t bytes);
/* Adds the text in its composed form. n log n in the longest row of accents. */
xlstm_status xl_unicode_compose(xl_text *out, const char *text, size_t bytes);

#endif
