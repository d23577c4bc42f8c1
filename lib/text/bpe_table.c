/* Two neighbours have one merge at most, and its rank is its place in the file. The hash table of all merges
 * is at most half full, so that a search ends at a free slot. */
#include "base/hash.h"
#include "base/mem.h"
#include "text/bpe_load.h"
#include <limits.h>
#include <string.h>

xl_merge *xl_bpe_find(const xl_bpe *b, int32_t left, int32_t right) {
    size_t i = (size_t)xl_hash_pair((uint32_t)left, (uint32_t)right) & b->mask;
    for (; b->merges[i].left >= 0; i = (i + 1) & b->mask)
        if (b->merges[i].left == left && b->merges[i].right == right)
            break;
    return &b->merges[i];
}

/* "left right", or ["left", "right"]. */
static int split(const json_t *merge, const char *half[2], size_t length[2]) {
    if (json_is_array(merge)) {
        for (size_t i = 0; i < 2; i++) {
            half[i] = json_string_value(json_array_get(merge, i));
            length[i] = json_string_length(json_array_get(merge, i));
        }
        return json_array_size(merge) == 2 && half[0] && half[1];
    }
    const char *text = json_string_value(merge), *space = text ? strchr(text, ' ') : NULL;
    if (!space || strchr(space + 1, ' '))
        return 0;
    half[0] = text;
    length[0] = space - text;
    half[1] = space + 1;
    length[1] = strlen(space + 1);
    return 1;
}

/* The three tokens of a merge; -1 for those that are not in the vocabulary. */
static xlstm_status look_up(xl_bpe_file *l, const char *half[2], const size_t length[2], xl_merge *to) {
    int sound[2];
    l->scratch.used = 0;
    XL_TRY(xl_bpe_add_bytes(&l->scratch, half[0], length[0], &sound[0]));
    size_t first = l->scratch.used;
    XL_TRY(xl_bpe_add_bytes(&l->scratch, half[1], length[1], &sound[1]));
    const char *bytes = l->scratch.bytes;
    if (!sound[0] || !sound[1] || !bytes)
        return XLSTM_OK;
    to->left = xl_pieces_find(l->pieces, bytes, first);
    to->right = xl_pieces_find(l->pieces, bytes + first, l->scratch.used - first);
    to->merged = xl_pieces_find(l->pieces, bytes, l->scratch.used);
    return XLSTM_OK;
}

static xlstm_status take_one(xl_bpe_file *l, size_t rank, const json_t *merge) {
    const char *half[2];
    size_t length[2];
    xl_merge found = {-1, -1, (int32_t)rank, -1};
    if (!split(merge, half, length))
        return xl_fail(XLSTM_E_FORMAT, "%s: merge %zu is not two tokens, as \"a b\" or [\"a\", \"b\"]",
                       l->where, rank);
    XL_TRY(look_up(l, half, length, &found));
    if (found.left < 0 || found.right < 0 || found.merged < 0)
        return xl_fail(
            XLSTM_E_FORMAT,
            "%s: merge %zu, of \"%.*s\" and \"%.*s\", needs these and both together in the vocabulary",
            l->where, rank, (int)(length[0] < 60 ? length[0] : 60), half[0],
            (int)(length[1] < 60 ? length[1] : 60), half[1]);
    xl_merge *slot = xl_bpe_find(l->bpe, found.left, found.right);
    if (slot->left >= 0)
        return xl_fail(XLSTM_E_FORMAT, "%s: merge %zu is there twice", l->where, rank);
    *slot = found;
    return XLSTM_OK;
}

xlstm_status xl_bpe_take_merges(xl_bpe_file *l) {
    json_t *value;
    size_t slots = 16, i, count = json_array_size(l->merges);
    if (!json_is_array(l->merges) || count > INT_MAX / 4)
        return xl_fail(XLSTM_E_FORMAT, "%s: model.merges is not a list of at most %d", l->where, INT_MAX / 4);
    while (slots < 2 * count)
        slots *= 2;
    l->bpe->merges = xl_alloc(slots * sizeof *l->bpe->merges);
    if (!l->bpe->merges)
        return xl_no_memory(slots * sizeof *l->bpe->merges, "merges");
    l->bpe->mask = slots - 1;
    for (i = 0; i < slots; i++)
        l->bpe->merges[i].left = -1;
    json_array_foreach(l->merges, i, value) XL_TRY(take_one(l, i, value));
    return XLSTM_OK;
}
