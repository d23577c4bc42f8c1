/* A hash table that is at most half full, so that a search ends at a free slot. Nothing is ever taken out. */
#include "text/pieces.h"
#include "base/hash.h"
#include "base/mem.h"
#include <limits.h>
#include <string.h>

static int make_room(xl_pieces *p, int most, size_t bytes) {
    size_t n = most, slots = 16;
    while (slots < 2 * n)
        slots *= 2;
    *p = (xl_pieces){.bytes = xl_alloc(bytes),
                     .room = bytes,
                     .at = xl_alloc(n * sizeof *p->at),
                     .length = xl_alloc(n * sizeof *p->length),
                     .most = most,
                     .slots = xl_alloc(slots * sizeof *p->slots),
                     .mask = slots - 1};
    if (!p->bytes || !p->at || !p->length || !p->slots) {
        xl_pieces_free(p);
        return 0;
    }
    memset(p->slots, -1, slots * sizeof *p->slots);
    return 1;
}

int xl_pieces_create(xl_pieces *p, int count, size_t bytes) {
    int made = make_room(p, count, bytes);
    p->count = made ? count : 0;
    return made;
}

void xl_pieces_free(xl_pieces *p) {
    xl_free(p->bytes);
    xl_free(p->at);
    xl_free(p->length);
    xl_free(p->slots);
    *p = (xl_pieces){0};
}

/* Where these bytes are, or where they would go. */
static size_t slot_of(const xl_pieces *p, const char *bytes, size_t length) {
    size_t i = (size_t)xl_hash_bytes(bytes, length) & p->mask;
    for (; p->slots[i] >= 0; i = (i + 1) & p->mask) {
        int32_t id = p->slots[i];
        if (p->length[id] == length && !memcmp(xl_piece(p, id), bytes, length))
            break;
    }
    return i;
}

int xl_pieces_put(xl_pieces *p, int32_t id, const char *bytes, size_t length) {
    if (p->length[id])
        return p->length[id] == length && !memcmp(xl_piece(p, id), bytes, length);
    if (length == 0 || length >= p->room - p->used)
        return 0;
    p->bytes[p->used++] = ' ';
    p->at[id] = p->used;
    p->length[id] = length;
    memcpy(p->bytes + p->used, bytes, length);
    p->used += length;
    return 1;
}

int xl_pieces_set(xl_pieces *p, int32_t id, const char *bytes, size_t length) {
    size_t i = slot_of(p, bytes, length);
    if (p->slots[i] >= 0 || !xl_pieces_put(p, id, bytes, length))
        return 0;
    p->slots[i] = id;
    return 1;
}

/* Everything into at least twice the room. */
static int grow(xl_pieces *p, size_t bytes) {
    xl_pieces more;
    if (p->most > INT_MAX / 4 || !make_room(&more, 2 * p->most + 8, 2 * p->room + bytes))
        return 0;
    if (p->count) {
        memcpy(more.bytes, p->bytes, p->used);
        memcpy(more.at, p->at, p->count * sizeof *p->at);
        memcpy(more.length, p->length, p->count * sizeof *p->length);
    }
    more.used = p->used;
    more.count = p->count;
    for (int32_t id = 0; id < more.count; id++)
        more.slots[slot_of(&more, xl_piece(&more, id), more.length[id])] = id;
    xl_pieces_free(p);
    *p = more;
    return 1;
}

int32_t xl_pieces_append(xl_pieces *p, const char *bytes, size_t length) {
    if (xl_pieces_find(p, bytes, length) >= 0)
        return XL_PIECES_TWICE;
    if ((p->count == p->most || length >= p->room - p->used) && !grow(p, length + 1))
        return XL_PIECES_FULL;
    xl_pieces_set(p, p->count, bytes, length);
    return p->count++;
}

int32_t xl_pieces_find(const xl_pieces *p, const char *bytes, size_t length) {
    return length && p->count ? p->slots[slot_of(p, bytes, length)] : -1;
}
