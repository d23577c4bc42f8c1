/* Byte-level BPE: a text is cut at added tokens, normalised, cut into words by GPT-2's pattern, and in each
 * word neighbours are merged, lowest rank first, from single bytes on. */
#include "base/mem.h"
#include "io/tokenizer.h"
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

void xl_bpe_free(xl_bpe *b) {
    xl_free(b->merges);
    xl_free(b->added);
    xl_free(b->before);
    xl_free(b->after);
    *b = (xl_bpe){0};
}

const xl_merge *xl_bpe_find(const xl_bpe *b, int32_t left, int32_t right) {
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t i = (size_t)((key * 0x9e3779b97f4a7c15u) >> 20) & b->mask;
    for (; b->merges[i].left >= 0; i = (i + 1) & b->mask)
        if (b->merges[i].left == left && b->merges[i].right == right)
            break;
    return &b->merges[i];
}

/* ---- merging one word ---- */

/* The word's tokens as a list linked by position, and the merges that are possible now as a heap. An entry of
 * the heap may be out of date; then its tokens are no longer those at its place. */
typedef struct {
    int32_t id, before, after; /* positions; -1: none */
} link;
typedef struct {
    int32_t rank, at, left, right;
} possible;
typedef struct {
    link *links;
    possible *heap;
    size_t room, count;
} merging;

static int sooner(possible a, possible b) {
    return a.rank < b.rank || (a.rank == b.rank && a.at < b.at);
}

static void push(merging *m, possible p) {
    size_t i = m->count++;
    for (; i > 0 && sooner(p, m->heap[(i - 1) / 2]); i = (i - 1) / 2)
        m->heap[i] = m->heap[(i - 1) / 2];
    m->heap[i] = p;
}

static possible pop(merging *m) {
    possible top = m->heap[0], last = m->heap[--m->count];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < m->count; i = child) {
        if (child + 1 < m->count && sooner(m->heap[child + 1], m->heap[child]))
            child++;
        if (!sooner(m->heap[child], last))
            break;
        m->heap[i] = m->heap[child];
    }
    m->heap[i] = last;
    return top;
}

/* Room for a word of n bytes: each merge takes one token away and makes two neighbours possible at most. */
static xlstm_status reserve(merging *m, size_t n) {
    if (n <= m->room)
        return XLSTM_OK;
    xl_free(m->links);
    xl_free(m->heap);
    m->room = 2 * n;
    m->links = xl_alloc(m->room * sizeof *m->links);
    m->heap = xl_alloc(3 * m->room * sizeof *m->heap);
    if (m->links && m->heap)
        return XLSTM_OK;
    m->room = 0;
    return xl_no_memory(n * sizeof *m->heap, "a word");
}

static void consider(const xl_bpe *b, merging *m, int32_t at) {
    if (at < 0 || m->links[at].after < 0)
        return;
    int32_t left = m->links[at].id, right = m->links[m->links[at].after].id;
    const xl_merge *found = xl_bpe_find(b, left, right);
    if (found->left >= 0)
        push(m, (possible){found->rank, at, left, right});
}

static void merge_all(const xl_bpe *b, merging *m) {
    while (m->count) {
        possible p = pop(m);
        link *left = &m->links[p.at];
        if (left->id != p.left || left->after < 0 || m->links[left->after].id != p.right)
            continue;
        link *right = &m->links[left->after];
        left->id = xl_bpe_find(b, p.left, p.right)->merged;
        right->id = -1;
        left->after = right->after;
        if (left->after >= 0)
            m->links[left->after].before = p.at;
        consider(b, m, left->before);
        consider(b, m, p.at);
    }
}

static xlstm_status encode_word(const xlstm_tokenizer *t, merging *m, const char *word, size_t n,
                                xl_tokens *out) {
    int32_t whole = t->bpe.ignore_merges ? xl_pieces_find(&t->pieces, word, n) : -1;
    if (whole >= 0) {
        xl_tokens_add(out, whole);
        return XLSTM_OK;
    }
    XL_TRY(reserve(m, n));
    m->count = 0;
    for (size_t i = 0; i < n; i++)
        m->links[i] =
            (link){t->bpe.byte[(unsigned char)word[i]], (int32_t)i - 1, i + 1 < n ? (int32_t)i + 1 : -1};
    for (size_t i = 0; i + 1 < n; i++)
        consider(&t->bpe, m, (int32_t)i);
    merge_all(&t->bpe, m);
    for (int32_t i = 0; i >= 0; i = m->links[i].after)
        xl_tokens_add(out, m->links[i].id);
    return XLSTM_OK;
}

/* ---- words ---- */

typedef enum { LETTER, NUMBER, SPACE, OTHER, END } category;

/* What character is at the place, and how many bytes it has. The text is known to be UTF-8. */
static category look(const char *text, size_t bytes, size_t at, size_t *length) {
    utf8proc_int32_t c;
    if (at >= bytes) {
        *length = 0;
        return END;
    }
    *length =
        (size_t)utf8proc_iterate((const utf8proc_uint8_t *)text + at, (utf8proc_ssize_t)(bytes - at), &c);
    utf8proc_category_t k = utf8proc_category(c);
    if (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO)
        return LETTER;
    if (k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO)
        return NUMBER;
    if ((c >= 9 && c <= 13) || c == 0x85 || (k >= UTF8PROC_CATEGORY_ZS && k <= UTF8PROC_CATEGORY_ZP))
        return SPACE;
    return OTHER;
}

static size_t contraction(const char *text, size_t bytes) {
    static const char *const endings[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    for (int i = 0; i < 7; i++) {
        size_t n = strlen(endings[i]);
        if (n <= bytes && !memcmp(text, endings[i], n))
            return n;
    }
    return 0;
}

/* White space up to the text's end, or all but the last character of it, or that one. */
static size_t space_run(const char *text, size_t bytes) {
    size_t at = 0, last = 0, length;
    category k;
    while ((k = look(text, bytes, at, &length)) == SPACE) {
        last = at;
        at += length;
    }
    return k == END || last == 0 ? at : last;
}

/* Length of the first word:
 * 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static size_t first_word(const char *text, size_t bytes) {
    size_t n = contraction(text, bytes), length;
    if (n)
        return n;
    size_t at = text[0] == ' ';
    category kind = look(text, bytes, at, &length);
    if (kind == SPACE || kind == END)
        return space_run(text, bytes);
    while (look(text, bytes, at, &length) == kind)
        at += length;
    return at;
}

static xlstm_status encode_words(const xlstm_tokenizer *t, merging *m, const char *text, size_t bytes,
                                 xl_tokens *out) {
    while (bytes) {
        size_t n = t->bpe.split ? first_word(text, bytes) : bytes;
        XL_TRY(encode_word(t, m, text, n, out));
        text += n;
        bytes -= n;
    }
    return XLSTM_OK;
}

/* A section between added tokens. */
static xlstm_status encode_section(const xlstm_tokenizer *t, merging *m, const char *text, size_t bytes,
                                   xl_tokens *out) {
    if (!bytes || !t->bpe.prefix_space || text[0] == ' ')
        return encode_words(t, m, text, bytes, out);
    char *spaced = xl_alloc(bytes + 1);
    if (!spaced)
        return xl_no_memory(bytes + 1, "a text");
    spaced[0] = ' ';
    memcpy(spaced + 1, text, bytes);
    xlstm_status status = encode_words(t, m, spaced, bytes + 1, out);
    xl_free(spaced);
    return status;
}

/* ---- added tokens ---- */

typedef xlstm_status section(const xlstm_tokenizer *t, merging *m, const char *text, size_t bytes,
                             xl_tokens *out);

/* The longest added token of this kind that the text begins with, or NULL. */
static const xl_added *added_at(const xlstm_tokenizer *t, int normalized, const char *text, size_t bytes) {
    if (!t->bpe.begins_added[(unsigned char)*text])
        return NULL;
    for (int i = 0; i < t->bpe.added_count; i++) {
        const xl_added *a = &t->bpe.added[i];
        size_t n = t->pieces.length[a->id];
        if (a->normalized == normalized && n <= bytes && !memcmp(xl_piece(&t->pieces, a->id), text, n))
            return a;
    }
    return NULL;
}

static xlstm_status cut(const xlstm_tokenizer *t, merging *m, int normalized, section *between,
                        const char *text, size_t bytes, xl_tokens *out) {
    size_t from = 0;
    for (size_t i = 0; i < bytes;) {
        const xl_added *a = added_at(t, normalized, text + i, bytes - i);
        if (!a) {
            i++;
            continue;
        }
        XL_TRY(between(t, m, text + from, i - from, out));
        xl_tokens_add(out, a->id);
        from = i += t->pieces.length[a->id];
    }
    return between(t, m, text + from, bytes - from, out);
}

static xlstm_status encode_normalized(const xlstm_tokenizer *t, merging *m, const char *text, size_t bytes,
                                      xl_tokens *out) {
    if (!bytes || !t->bpe.nfc)
        return cut(t, m, 1, encode_section, text, bytes, out);
    utf8proc_uint8_t *nfc = NULL;
    utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)bytes, &nfc,
                                      UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    if (n < 0)
        return xl_fail(XLSTM_E_ARGUMENT, "the text cannot be normalised: %s", utf8proc_errmsg(n));
    xlstm_status status = cut(t, m, 1, encode_section, (const char *)nfc, (size_t)n, out);
    free(nfc);
    return status;
}

static xlstm_status check_utf8(const char *text, size_t bytes) {
    utf8proc_int32_t c;
    for (size_t at = 0; at < bytes;) {
        utf8proc_ssize_t n =
            utf8proc_iterate((const utf8proc_uint8_t *)text + at, (utf8proc_ssize_t)(bytes - at), &c);
        if (n < 1)
            return xl_fail(XLSTM_E_ARGUMENT, "the text is not UTF-8 at byte %zu", at);
        at += (size_t)n;
    }
    return XLSTM_OK;
}

xlstm_status xl_bpe_encode(const xlstm_tokenizer *t, const char *text, size_t bytes, xl_tokens *out) {
    merging m = {0};
    if (bytes > (size_t)INT32_MAX / 2)
        return xl_fail(XLSTM_E_ARGUMENT, "a text of %zu bytes is too long for one call; cut it at line ends",
                       bytes);
    XL_TRY(check_utf8(text, bytes));
    for (int i = 0; i < t->bpe.before_count; i++)
        xl_tokens_add(out, t->bpe.before[i]);
    xlstm_status status = cut(t, &m, 0, encode_normalized, text, bytes, out);
    for (int i = 0; i < t->bpe.after_count; i++)
        xl_tokens_add(out, t->bpe.after[i]);
    xl_free(m.links);
    xl_free(m.heap);
    return status;
}
