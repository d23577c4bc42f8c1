/* structs.h - public structs that begin with struct_size grow at their end, and a program that was compiled
 * against a header of another age goes on working: fields that it does not know have their defaults, and
 * fields that this library does not know must be zero. */
#ifndef XL_STRUCTS_H
#define XL_STRUCTS_H

#include "base/error.h"

/* Whether a struct that is `now` bytes here may have this size in a program of another age. */
int xl_struct_can_be(size_t size, size_t now);
/* Reads a caller's struct into *to, which is `now` bytes and holds the defaults. `oldest`: bytes of the first
 * layout. */
xlstm_status xl_struct_take(void *to, size_t now, size_t oldest, const void *from, const char *type);
/* Writes `now` bytes of defaults to a caller's struct of `size` bytes; what it has beyond them becomes zero.
 * NULL, and what can be no struct of the type, is left as it is. */
void xl_struct_init(void *to, size_t size, const void *defaults, size_t now);

#define XL_END_OF(type, field) (offsetof(type, field) + sizeof(((type *)0)->field))

/* Defines take_<type>(to, from). `first` is the last field of the first layout. A struct must not end in
 * padding: a later field would lie there, and older programs leave padding as it is. */
#define XL_GROWING(type, first, last)                                                                        \
    _Static_assert(sizeof(type) == XL_END_OF(type, last), #type " ends in padding");                         \
    static xlstm_status take_##type(type *to, const type *from) {                                            \
        return xl_struct_take(to, sizeof *to, XL_END_OF(type, first), from, #type);                          \
    }

#endif
