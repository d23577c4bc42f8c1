/* packing.h - matrices of an inference module in a smaller type. Their offsets have XL_PACKED set and are
 * looked up here; everything else stays in the one buffer of real numbers. */
#ifndef XL_PACKING_H
#define XL_PACKING_H

#include "layer/params.h"
#include "ops/ops.h"

typedef struct {
    size_t offset;    /* of its first number, without XL_PACKED */
    xl_matrix matrix; /* [rows, cols]; a block-diagonal one with its blocks end to end */
    void *own;        /* NULL: `data` is borrowed from a file that stays open */
} xl_packed;

typedef struct {
    xl_packed *items; /* in order of offset */
    int count;
    xl_number type;
} xl_packing;

/* One entry per packed parameter of the layout, without data. 0: no memory. */
int xl_packing_create(xl_packing *k, const xl_layout *l, xl_number type);
void xl_packing_free(xl_packing *k);
xl_packed *xl_packing_of(const xl_packing *k, const xl_param *p);

/* Room of its own for one matrix, 0: no memory; and from here on that is where its numbers are. */
int xl_packed_reserve(xl_packed *p);
void xl_packed_use_own(xl_packed *p);
/* Row `row` from real numbers. */
void xl_pack_row(xl_packed *p, int row, const real *from);

/* The longest run of rows of `cols` numbers that starts at the offset and lies in one piece, at most `rows`.
 */
xl_matrix xl_packing_find(const xl_packing *k, size_t offset, int rows, int cols);

#endif
