/* arena.h - a stack of planned memory. With base == NULL it only measures: it hands out addresses that
 * nobody may touch and remembers the peak, which is how a plan learns its sizes. */
#ifndef XL_ARENA_H
#define XL_ARENA_H

#include "base/view.h"

typedef struct {
    char *base;
    size_t used, peak, size; /* bytes; size is meaningless while measuring */
} xl_arena;

real *xl_arena_real(xl_arena *a, uint64_t count); /* aligned to 64 bytes, contents undefined */
xl_view xl_arena_view(xl_arena *a, int rows, int cols);

/* Everything taken since mark() is given back by release(). */
size_t xl_arena_mark(const xl_arena *a);
void xl_arena_release(xl_arena *a, size_t mark);

#endif
