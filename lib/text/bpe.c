/* From text to tokens: cut at added tokens, normalise, cut into words, and merge the bytes of each or look it
 * up; and from a token to its bytes. */
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
    xl_free(b->shown);
    xl_finder_free(&b->find[0]);
    xl_finder_free(&b->find[1]);
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

/* The word level's. */
static size_t next_word(xl_words words, const char *text, size_t bytes) {
    size_t at = 0, length;
    if (words == XL_WHOLE)
        return bytes;
    int kind = words == XL_AT_KINDS && xl_unicode_is_word_at(text, bytes, 0);
    while (at < bytes && xl_unicode_kind_at(text, bytes, at, &length) != XL_SPACE) {
        if (words == XL_AT_KINDS && xl_unicode_is_word_at(text, bytes, at) != kind)
            break;
        at += length;
    }
    return at;
}

static xlstm_status look_up(job *j, const char *word, size_t bytes) {
    int32_t id = xl_pieces_find(j->pieces, word, bytes);
    if (id < 0)
        id = j->b->unknown;
    if (id < 0)
        return xl_fail(XLSTM_E_NOT_FOUND,
                       "the word \"%.*s\" is not in the vocabulary, and neither is its unk_token",
                       (int)(bytes < 60 ? bytes : 60), word);
    xl_tokens_add(j->out, id);
    return XLSTM_OK;
}

static xlstm_status look_up_words(job *j, const char *text, size_t bytes) {
    while (bytes) {
        size_t space = j->b->words == XL_WHOLE ? 0 : xl_unicode_space_before(text, bytes);
        size_t n = next_word(j->b->words, text + space, bytes - space);
        if (n)
            XL_TRY(look_up(j, text + space, n));
        text += space + n;
        bytes -= space + n;
    }
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
    if (j->b->words != XL_BYTE_LEVEL)
        return look_up_words(j, text, bytes);
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

int32_t xl_bpe_find_added(const xl_bpe *b, const char *text, size_t bytes) {
    int32_t at = xl_pieces_find(&b->contents, text, bytes);
    return at < 0 ? -1 : b->added[at].id;
}

typedef xlstm_status section(job *j, const char *text, size_t bytes);

/* A text that is cut at added tokens. */
typedef struct {
    const char *text;
    size_t bytes;
    size_t taken;                 /* where what is not yet taken begins */
    size_t space_from, space_end; /* the white space that was measured last */
} cutting;

/* Inside white space that is known, many tokens may ask for its end. */
static size_t space_end(cutting *c, size_t at) {
    if (at < c->space_from || at > c->space_end) {
        c->space_from = at;
        c->space_end = at + xl_unicode_space_before(c->text + at, c->bytes - at);
    }
    return c->space_end;
}

static int is_inside_word(const cutting *c, size_t at, size_t end) {
    return xl_unicode_is_word_behind(c->text, at) || xl_unicode_is_word_at(c->text, c->bytes, end);
}

/* As in Hugging Face's package: a token takes white space along also where other tokens were found in it, and
 * what is behind the last of those goes on from there. One that strips what is before it, and of which
 * nothing is left by those before, is none. */
static xlstm_status take_token(job *j, cutting *c, const xl_added *a, size_t at, size_t end,
                               section *between) {
    size_t from = c->taken, last = a->rstrip ? space_end(c, end) : end;
    if (a->lstrip && last <= from)
        return XLSTM_OK;
    if (a->lstrip && at > from)
        at -= xl_unicode_space_behind(c->text + from, at - from);
    c->taken = last;
    if (at > from)
        XL_TRY(between(j, c->text + from, at - from));
    xl_tokens_add(j->out, a->id);
    return XLSTM_OK;
}

/* Tokens are found first, from left to right and none in another; the longest of those at one place. */
static xlstm_status cut_at(job *j, cutting *c, const xl_findings *found, section *between) {
    size_t next = 0;
    for (size_t i = found->count; i-- > 0;) {
        const xl_added *a = &j->b->added[found->at[i].meaning];
        size_t at = found->at[i].at;
        if (at < next)
            continue;
        next = at + a->length;
        if (!a->single_word || !is_inside_word(c, at, next))
            XL_TRY(take_token(j, c, a, at, next, between));
    }
    return c->taken < c->bytes ? between(j, c->text + c->taken, c->bytes - c->taken) : XLSTM_OK;
}

static xlstm_status cut(job *j, int normalized, section *between, const char *text, size_t bytes) {
    xl_findings found = {0};
    cutting c = {text, bytes, 0, 1, 0};
    xlstm_status status = xl_finder_look(&j->b->find[normalized], text, bytes, &found)
                              ? cut_at(j, &c, &found, between)
                              : xl_no_memory(bytes * sizeof *found.at, "the added tokens of a text");
    xl_free(found.at);
    return status;
}

/* ---- normal form ---- */

xlstm_status xl_bpe_normalise(const xl_bpe *b, xl_text *out, const char *text, size_t bytes) {
    xl_text now = {0};
    xlstm_status status = XLSTM_OK;
    for (int i = 0; i < b->normals && status == XLSTM_OK; i++) {
        xl_text next = {0};
        status = b->normal[i] == XL_NFC ? xl_unicode_compose(&next, text, bytes)
                                        : xl_unicode_lower(&next, text, bytes);
        xl_free(now.bytes);
        now = next;
        text = now.bytes;
        bytes = now.used;
    }
    if (status == XLSTM_OK)
        status = xl_text_add(out, text, bytes);
    xl_free(now.bytes);
    return status;
}

static xlstm_status encode_normalized(job *j, const char *text, size_t bytes) {
    if (!j->b->normals)
        return cut(j, 1, encode_section, text, bytes);
    xl_text normal = {0};
    xlstm_status status = xl_bpe_normalise(j->b, &normal, text, bytes);
    if (status == XLSTM_OK)
        status = cut(j, 1, encode_section, normal.bytes, normal.used);
    xl_free(normal.bytes);
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

void xl_bpe_piece(const xl_bpe *b, const xl_pieces *pieces, int32_t token, const char **text, size_t *bytes) {
    int32_t added = b->shown[token];
    const xl_pieces *from = added < 0 ? pieces : &b->contents;
    int32_t id = added < 0 ? token : added;
    size_t length = from->length[id], space = length && b->words != XL_BYTE_LEVEL; /* before it in memory */
    *text = xl_piece(from, id) - space;
    *bytes = length + space;
}
