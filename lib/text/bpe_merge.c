/* Merging the bytes of one word, lowest rank first; of equal ranks the leftmost. */
#include "base/mem.h"
#include "text/bpe.h"

/* The word's tokens as a list linked by position, and the merges that are possible now as a heap. An entry of
 * the heap may be out of date; then its tokens are no longer those at its place. */
typedef struct xl_link {
    int32_t id, before, after; /* positions; -1: none */
} link;
typedef struct xl_possible {
    int32_t rank, at, left, right;
} possible;

static int sooner(possible a, possible b) {
    return a.rank < b.rank || (a.rank == b.rank && a.at < b.at);
}

static void push(xl_merging *m, possible p) {
    size_t i = m->count++;
    for (; i > 0 && sooner(p, m->heap[(i - 1) / 2]); i = (i - 1) / 2)
        m->heap[i] = m->heap[(i - 1) / 2];
    m->heap[i] = p;
}

static possible pop(xl_merging *m) {
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

void xl_bpe_merging_free(xl_merging *m) {
    xl_free(m->links);
    xl_free(m->heap);
    *m = (xl_merging){0};
}

/* Room for a word of n bytes. Each merge takes one token away and makes two neighbours possible at most, in
 * place of itself: never more than 2 n entries in the heap. */
static xlstm_status reserve(xl_merging *m, size_t n) {
    if (n <= m->room)
        return XLSTM_OK;
    xl_bpe_merging_free(m);
    m->links = xl_alloc(2 * n * sizeof *m->links);
    m->heap = xl_alloc(4 * n * sizeof *m->heap);
    if (!m->links || !m->heap)
        return xl_no_memory(4 * n * sizeof *m->heap, "a word");
    m->room = 2 * n;
    return XLSTM_OK;
}

static void consider(const xl_bpe *b, xl_merging *m, int32_t at) {
    if (at < 0 || m->links[at].after < 0)
        return;
    int32_t left = m->links[at].id, right = m->links[m->links[at].after].id;
    const xl_merge *found = xl_bpe_find(b, left, right);
    if (found->left >= 0)
        push(m, (possible){found->rank, at, left, right});
}

static void merge_all(const xl_bpe *b, xl_merging *m) {
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

xlstm_status xl_bpe_merge(const xl_bpe *b, xl_merging *m, const char *word, size_t n, xl_tokens *out) {
    XL_TRY(reserve(m, n));
    m->count = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t id = b->byte[(unsigned char)word[i]];
        if (id < 0)
            return xl_fail(XLSTM_E_NOT_FOUND,
                           "the text has byte 0x%02x, for which the vocabulary has no token",
                           (unsigned)(unsigned char)word[i]);
        m->links[i] = (link){id, (int32_t)i - 1, i + 1 < n ? (int32_t)i + 1 : -1};
    }
    for (size_t i = 0; i + 1 < n; i++)
        consider(b, m, (int32_t)i);
    merge_all(b, m);
    for (int32_t i = n ? 0 : -1; i >= 0; i = m->links[i].after)
        xl_tokens_add(out, m->links[i].id);
    return XLSTM_OK;
}
