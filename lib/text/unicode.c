/* Sound UTF-8 is taken for granted: texts are checked where they come in. The tables are utf8proc's. */
#include "text/unicode.h"
#include "base/mem.h"
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static xlstm_status make_room(xl_text *t, size_t more) {
    if (more <= t->room - t->used)
        return XLSTM_OK;
    size_t room = 2 * (t->used + more) + 64;
    char *bytes = xl_alloc(room);
    if (!bytes)
        return xl_no_memory(room, "a text");
    if (t->used)
        memcpy(bytes, t->bytes, t->used);
    xl_free(t->bytes);
    t->bytes = bytes;
    t->room = room;
    return XLSTM_OK;
}

xlstm_status xl_text_add(xl_text *t, const char *bytes, size_t count) {
    XL_TRY(make_room(t, count));
    if (count)
        memcpy(t->bytes + t->used, bytes, count);
    t->used += count;
    return XLSTM_OK;
}

/* The character at the place; its bytes, or less than 1 if there is no sound one. */
static utf8proc_ssize_t read_char(const char *text, size_t bytes, size_t at, utf8proc_int32_t *c) {
    return utf8proc_iterate((const utf8proc_uint8_t *)text + at, (utf8proc_ssize_t)(bytes - at), c);
}

static int is_ascii(char c) {
    return !((unsigned char)c & 0x80);
}

/* ---- kinds ---- */

static xl_kind kind_of(utf8proc_int32_t c) {
    utf8proc_category_t k = utf8proc_category(c);
    if (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO)
        return XL_LETTER;
    if (k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO)
        return XL_NUMBER;
    if ((c >= 9 && c <= 13) || c == 0x85 || (k >= UTF8PROC_CATEGORY_ZS && k <= UTF8PROC_CATEGORY_ZP))
        return XL_SPACE;
    return XL_OTHER;
}

xl_kind xl_unicode_kind_at(const char *text, size_t bytes, size_t at, size_t *length) {
    utf8proc_int32_t c;
    *length = 0;
    if (at >= bytes)
        return XL_END;
    *length = read_char(text, bytes, at, &c);
    return kind_of(c);
}

size_t xl_unicode_space_before(const char *text, size_t bytes) {
    size_t at = 0, length;
    while (xl_unicode_kind_at(text, bytes, at, &length) == XL_SPACE)
        at += length;
    return at;
}

/* Where the character before the place begins. */
static size_t before(const char *text, size_t at) {
    at--;
    while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80)
        at--;
    return at;
}

size_t xl_unicode_space_behind(const char *text, size_t bytes) {
    size_t end = bytes, length;
    while (end > 0) {
        size_t at = before(text, end);
        if (xl_unicode_kind_at(text, end, at, &length) != XL_SPACE)
            break;
        end = at;
    }
    return bytes - end;
}

/* Alphabetic are, beside letters and marks, the numbers that are letters, and letters in circles and squares.
 */
static int is_word(utf8proc_int32_t c) {
    utf8proc_category_t k = utf8proc_category(c);
    return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_NL) || k == UTF8PROC_CATEGORY_PC ||
           c == 0x200c || c == 0x200d || (c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) ||
           (c >= 0x1f150 && c <= 0x1f169) || (c >= 0x1f170 && c <= 0x1f189);
}

int xl_unicode_is_word_at(const char *text, size_t bytes, size_t at) {
    utf8proc_int32_t c;
    return at < bytes && read_char(text, bytes, at, &c) > 0 && is_word(c);
}

int xl_unicode_is_word_behind(const char *text, size_t at) {
    return at > 0 && xl_unicode_is_word_at(text, at, before(text, at));
}

/* ---- small letters ---- */

xlstm_status xl_unicode_lower(xl_text *out, const char *text, size_t bytes) {
    static const char dotted[] = "i\xcc\x87"; /* the one whose small letter is two characters */
    XL_TRY(make_room(out, bytes + bytes / 2));
    for (size_t at = 0; at < bytes;) {
        utf8proc_int32_t c;
        utf8proc_uint8_t lower[4];
        at += read_char(text, bytes, at, &c);
        if (c == 0x130)
            XL_TRY(xl_text_add(out, dotted, sizeof dotted - 1));
        else
            XL_TRY(xl_text_add(out, (const char *)lower,
                               (size_t)utf8proc_encode_char(utf8proc_tolower(c), lower)));
    }
    return XLSTM_OK;
}

/* ---- the composed form ---- */

/* Characters taken apart, in keys that sort as Unicode orders accents: by class, then as they came.
 * (utf8proc's own ordering takes time in proportion to the square of a row of accents.) */
typedef struct {
    uint64_t *keys;
    utf8proc_int32_t *codes;
    size_t count;
} apart;

static uint64_t key_of(utf8proc_int32_t c, size_t at) {
    uint64_t order = utf8proc_get_property(c)->combining_class;
    return order << 56 | (uint64_t)at << 21 | c;
}

static int has_class(uint64_t key) {
    return key >> 56 != 0;
}

static int by_key(const void *a, const void *b) {
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static void order_accents(apart *a) {
    for (size_t i = 0; i < a->count;) {
        size_t from = i;
        while (i < a->count && has_class(a->keys[i]))
            i++;
        if (i - from > 1)
            qsort(a->keys + from, i - from, sizeof *a->keys, by_key);
        i += i == from;
    }
}

/* Counts the parts, and takes them if there is room. */
static size_t take_apart(apart *a, const char *text, size_t bytes) {
    enum { MOST = 32 }; /* parts of one character; Unicode has 4 */
    utf8proc_int32_t c, parts[MOST];
    size_t count = 0;
    for (size_t at = 0; at < bytes;) {
        at += read_char(text, bytes, at, &c);
        int last = 0;
        utf8proc_ssize_t n =
            utf8proc_decompose_char(c, parts, MOST, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, &last);
        for (utf8proc_ssize_t i = 0; i < n; i++, count++)
            if (a->keys)
                a->keys[count] = key_of(parts[i], count);
    }
    return count;
}

static xlstm_status put_together(apart *a, xl_text *out) {
    for (size_t i = 0; i < a->count; i++)
        a->codes[i] = (utf8proc_int32_t)(a->keys[i] & 0x1fffff);
    utf8proc_ssize_t n =
        utf8proc_normalize_utf32(a->codes, (utf8proc_ssize_t)a->count, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    XL_TRY(make_room(out, 4 * (size_t)n));
    for (utf8proc_ssize_t i = 0; i < n; i++)
        out->used += (size_t)utf8proc_encode_char(a->codes[i], (utf8proc_uint8_t *)out->bytes + out->used);
    return XLSTM_OK;
}

static xlstm_status compose_part(xl_text *out, const char *text, size_t bytes) {
    apart a = {0};
    a.count = take_apart(&a, text, bytes);
    a.keys = xl_alloc(a.count * sizeof *a.keys);
    a.codes = xl_alloc((a.count + 1) * sizeof *a.codes);
    xlstm_status status = XLSTM_OK;
    if (a.keys && a.codes) {
        take_apart(&a, text, bytes);
        order_accents(&a);
        status = put_together(&a, out);
    } else {
        status = xl_no_memory(a.count * sizeof *a.keys, "a text in its composed form");
    }
    xl_free(a.keys);
    xl_free(a.codes);
    return status;
}

/* ASCII is composed already, but its last character may take the accents that follow. */
xlstm_status xl_unicode_compose(xl_text *out, const char *text, size_t bytes) {
    for (size_t at = 0; at < bytes;) {
        size_t plain = at;
        while (plain < bytes && is_ascii(text[plain]))
            plain++;
        size_t from = plain < bytes && plain > at ? plain - 1 : plain, end = plain;
        while (end < bytes && !is_ascii(text[end]))
            end++;
        XL_TRY(xl_text_add(out, text + at, from - at));
        if (end > from)
            XL_TRY(compose_part(out, text + from, end - from));
        at = end;
    }
    return XLSTM_OK;
}
