/* pieces.h - byte strings numbered from 0, found by their bytes. */
#ifndef XL_PIECES_H
#define XL_PIECES_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    char *bytes; /* all of them, one after the other, a space before each */
    size_t used, room;
    size_t *at, *length; /* [most]; length 0: not given (yet) */
    int count, most;
    int32_t *slots; /* hash table of numbers, -1 where free */
    size_t mask;
} xl_pieces;

/* Numbers 0 to count - 1, to be given by put and set, with room for `bytes` bytes together, the spaces
 * too. 0: no memory. */
int xl_pieces_create(xl_pieces *p, int count, size_t bytes);
void xl_pieces_free(xl_pieces *p);
/* Gives number `id` its bytes, without making them findable. 0: it has others already. */
int xl_pieces_put(xl_pieces *p, int32_t id, const char *bytes, size_t length);
/* The same, and makes them findable. 0 also if they are found as another number already. */
int xl_pieces_set(xl_pieces *p, int32_t id, const char *bytes, size_t length);

enum { XL_PIECES_TWICE = -1, XL_PIECES_FULL = -2 };
/* Gives the next number, to anything but nothing, and makes it findable; begins with {0} and grows. Returns
 * the number, or one of the above: there already, no memory. */
int32_t xl_pieces_append(xl_pieces *p, const char *bytes, size_t length);

/* The number, or -1. */
int32_t xl_pieces_find(const xl_pieces *p, const char *bytes, size_t length);
static inline const char *xl_piece(const xl_pieces *p, int32_t id) {
    return p->bytes + p->at[id];
}

#endif
