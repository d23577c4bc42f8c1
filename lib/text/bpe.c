/* From text to tokens: cut at added tokens, normalise, cut into words, merge the bytes of each. */
#include "text/bpe.h"
#include "base/mem.h"
#include "text/unicode.h"
#include <string.h>

void xl_bpe_free(xl_bpe *b) {
    if (!b)
        return;
    xl_free(b->merges);
    xl_pieces_free(&b->contents);
    xl_free(b->added);
    xl_free(b->before);
    xl_free(b->after);
    xl_free(b);
}

/* One call of encode. */
typedef struct {
    const xl_bpe *b;
    const xl_pieces *pieces;
    xl_merging merging;
    xl_tokens *out;
} job;

/* ---- words ---- */

static size_t contraction(const char *text, size_t bytes) {
    static const char *const endings[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    for (size_t i = 0; text[0] == '\'' && i < sizeof endings / sizeof *endings; i++) {
        size_t n = strlen(endings[i]);
        if (n <= bytes && !memcmp(text, endings[i], n))
            return n;
    }
    return 0;
}

/* White space up to the text's end, or all but the last character of it, or that one. */
static size_t space_run(const char *text, size_t bytes) {
    size_t at = 0, last = 0, length;
    xl_kind k;
    while ((k = xl_unicode_kind_at(text, bytes, at, &length)) == XL_SPACE) {
        last = at;
        at += length;
    }
    return k == XL_END || last == 0 ? at : last;
}

/* Length of the first word by the pattern of GPT-2:
 * 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static size_t first_word(const char *text, size_t bytes) {
    size_t n = contraction(text, bytes), length;
    if (n)
        return n;
    size_t at = text[0] == ' ';
    xl_kind kind = xl_unicode_kind_at(text, bytes, at, &length);
    if (kind == XL_SPACE || kind == XL_END)
        return space_run(text, bytes);
    while (xl_unicode_kind_at(text, bytes, at, &length) == kind)
        at += length;
    return at;
}

static xlstm_status encode_word(job *j, const char *word, size_t bytes) {
    int32_t whole = j->b->ignore_merges ? xl_pieces_find(j->pieces, word, bytes) : -1;
    if (whole < 0)
        return xl_bpe_merge(j->b, &j->merging, word, bytes, j->out);
    xl_tokens_add(j->out, whole);
    return XLSTM_OK;
}

static xlstm_status encode_words(job *j, const char *text, size_t bytes) {
    while (bytes) {
        size_t n = j->b->split ? first_word(text, bytes) : bytes;
        XL_TRY(encode_word(j, text, n));
        text += n;
        bytes -= n;
    }
    return XLSTM_OK;
}

/* A section between added tokens. */
static xlstm_status encode_section(job *j, const char *text, size_t bytes) {
    if (!bytes || !j->b->prefix_space || text[0] == ' ')
        return encode_words(j, text, bytes);
    xl_text spaced = {0};
    xlstm_status status = xl_text_add(&spaced, " ", 1);
    if (status == XLSTM_OK)
        status = xl_text_add(&spaced, text, bytes);
    if (status == XLSTM_OK)
        status = encode_words(j, spaced.bytes, spaced.used);
    xl_free(spaced.bytes);
    return status;
}

/* ---- added tokens ---- */

/* The longest added token of this kind that the text begins with, or NULL. */
static const xl_added *added_at(const xl_bpe *b, int normalized, const char *text, size_t bytes) {
    int first = (unsigned char)*text;
    for (int i = b->begins[first]; i < b->begins[first + 1]; i++) {
        const xl_added *a = &b->added[i];
        if (a->normalized == normalized && a->length <= bytes && !memcmp(a->text, text, a->length))
            return a;
    }
    return NULL;
}

int32_t xl_bpe_find_added(const xl_bpe *b, const char *text, size_t bytes) {
    for (int i = 0; i < b->contents.count; i++)
        if (b->added[i].length == bytes && !memcmp(b->added[i].text, text, bytes))
            return b->added[i].id;
    return -1;
}

typedef xlstm_status section(job *j, const char *text, size_t bytes);

/* White space that one token takes along belongs to no other, so the time stays linear. */
static xlstm_status cut(job *j, int normalized, section *between, const char *text, size_t bytes) {
    size_t from = 0;
    for (size_t i = 0; i < bytes;) {
        const xl_added *a = added_at(j->b, normalized, text + i, bytes - i);
        if (!a) {
            i++;
            continue;
        }
        size_t end = i - (a->lstrip ? xl_unicode_space_behind(text + from, i - from) : 0);
        if (end > from)
            XL_TRY(between(j, text + from, end - from));
        xl_tokens_add(j->out, a->id);
        i += a->length;
        i += a->rstrip ? xl_unicode_space_before(text + i, bytes - i) : 0;
        from = i;
    }
    return from < bytes ? between(j, text + from, bytes - from) : XLSTM_OK;
}

static xlstm_status encode_normalized(job *j, const char *text, size_t bytes) {
    if (!j->b->nfc)
        return cut(j, 1, encode_section, text, bytes);
    xl_text nfc = {0};
    xlstm_status status = xl_unicode_compose(&nfc, text, bytes);
    if (status == XLSTM_OK)
        status = cut(j, 1, encode_section, nfc.bytes, nfc.used);
    xl_free(nfc.bytes);
    return status;
}

xlstm_status xl_bpe_encode(const xl_bpe *b, const xl_pieces *pieces, const char *text, size_t bytes,
                           xl_tokens *out) {
    job j = {.b = b, .pieces = pieces, .out = out};
    if (bytes > INT32_MAX / 4) /* positions in a word are of 32 bits, and NFC may make it longer */
        return xl_fail(XLSTM_E_ARGUMENT, "a text of %zu bytes is too long for one call; cut it at line ends",
                       bytes);
    for (int i = 0; i < b->before_count; i++)
        xl_tokens_add(out, b->before[i]);
    xlstm_status status = cut(&j, 0, encode_normalized, text, bytes);
    for (int i = 0; i < b->after_count; i++)
        xl_tokens_add(out, b->after[i]);
    xl_bpe_merging_free(&j.merging);
    return status;
}
