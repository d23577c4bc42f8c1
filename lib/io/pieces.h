/* pieces.h - byte strings numbered from 0, found by their bytes. */
#ifndef XL_PIECES_H
#define XL_PIECES_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    char *bytes; /* all of them end to end */
    size_t used, room;
    size_t *at, *length; /* [count]; length 0: not given (yet) */
    int count;
    int32_t *slots; /* hash table of numbers, -1 where free */
    size_t mask;
} xl_pieces;

/* Room for `count` pieces of `bytes` bytes together. 0: no memory. */
int xl_pieces_create(xl_pieces *p, int count, size_t bytes);
void xl_pieces_free(xl_pieces *p);
/* Gives number `id` its bytes, without making them findable. 0: it has others already. */
int xl_pieces_put(xl_pieces *p, int32_t id, const char *bytes, size_t length);
/* The same, and makes them findable. 0 also if they are found as another number already. */
int xl_pieces_set(xl_pieces *p, int32_t id, const char *bytes, size_t length);
/* The number, or -1. */
int32_t xl_pieces_find(const xl_pieces *p, const char *bytes, size_t length);
static inline const char *xl_piece(const xl_pieces *p, int32_t id) {
    return p->bytes + p->at[id];
}

#endif
