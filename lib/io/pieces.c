#include "io/pieces.h"
#include "base/mem.h"
#include <string.h>

int xl_pieces_create(xl_pieces *p, int count, size_t bytes) {
    size_t n = (size_t)count, slots = 16;
    while (slots < 2 * n)
        slots *= 2;
    *p = (xl_pieces){.bytes = xl_alloc(bytes + 1),
                     .room = bytes,
                     .at = xl_alloc(n * sizeof *p->at),
                     .length = xl_alloc(n * sizeof *p->length),
                     .count = count,
                     .slots = xl_alloc(slots * sizeof *p->slots),
                     .mask = slots - 1};
    if (!p->bytes || !p->at || !p->length || !p->slots) {
        xl_pieces_free(p);
        return 0;
    }
    memset(p->slots, -1, slots * sizeof *p->slots);
    return 1;
}

void xl_pieces_free(xl_pieces *p) {
    xl_free(p->bytes);
    xl_free(p->at);
    xl_free(p->length);
    xl_free(p->slots);
    *p = (xl_pieces){0};
}

static size_t hash(const char *bytes, size_t length) { /* FNV-1a */
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < length; i++)
        h = (h ^ (unsigned char)bytes[i]) * 0x100000001b3u;
    return (size_t)(h ^ (h >> 29));
}

/* Where these bytes are, or where they would go. */
static size_t slot_of(const xl_pieces *p, const char *bytes, size_t length) {
    size_t i = hash(bytes, length) & p->mask;
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
    if (length == 0 || p->used + length > p->room)
        return 0;
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

int32_t xl_pieces_find(const xl_pieces *p, const char *bytes, size_t length) {
    return length && p->count ? p->slots[slot_of(p, bytes, length)] : -1;
}
