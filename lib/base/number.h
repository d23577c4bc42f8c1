/* number.h - the types that numbers are kept in. A type is a row of the table: what is here and one kernel
 * for products (ops/cpu) are all that a smaller type of weights needs.
 *
 * There is one layout, for memory, files and every backend: a row's numbers lie in their order, scales in an
 * array of their own (layer/packing.h). Of 4-bit numbers, -8 to 7, the first of two is the lower half of
 * their byte; an odd row ends with half a byte of 0:
 *
 *     int8 | n0 | n1 | n2 | ...            | s of row 0 | s of row 1 | ...
 *     int4 | n1 n0 | n3 n2 | n5 n4 | ...   | s of n0 .. n31 | s of n32 .. n63 | ... | s of row 1, n0 .. n31 |
 * ...
 *
 * and number i of a row is n_i s. */
#ifndef XL_NUMBER_H
#define XL_NUMBER_H

#include "base/real.h"

typedef enum { XL_REAL, XL_BFLOAT16, XL_INT8, XL_INT4, XL_NUMBERS } xl_number;

enum { XL_NO_SCALE = 0, XL_GROUP = 32, XL_ROW = INT32_MAX }; /* of `group` */

typedef struct {
    const char *name;
    int bits;  /* of one number; a row of a matrix begins at a byte */
    int group; /* numbers of a row that share a scale: XL_NO_SCALE, XL_GROUP, or XL_ROW for all of them */
    /* A whole row of a matrix, from numbers and back; from number `first` on. scales: the row's own. */
    void (*pack)(void *row, float *scales, const real *from, int count);
    void (*unpack)(real *to, const void *row, const float *scales, int first, int count);
} xl_number_type;

extern const xl_number_type xl_number_types[XL_NUMBERS];

/* Bytes of so many numbers side by side. */
static inline size_t xl_number_bytes(xl_number type, size_t count) {
    return (count * xl_number_types[type].bits + 7) / 8;
}

/* Scales of a row of so many numbers. */
static inline int xl_number_scales(xl_number type, int count) {
    int group = xl_number_types[type].group;
    return group == XL_NO_SCALE ? 0 : group == XL_ROW ? 1 : (count + group - 1) / group;
}

#endif
