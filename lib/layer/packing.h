/* packing.h - matrices of an inference module in a smaller type. Their offsets lie behind those of all other
 * parameters and are looked up here; everything else stays in the one buffer of real numbers.
 *
 * A matrix that is not borrowed from a file lies in the module's memory as numbers and then their scales,
 * both aligned to 64 bytes, rows (base/number.h) without gaps:
 *
 *     | row 0 | row 1 | ... | to a multiple of 64 bytes | scales of row 0 | of row 1 | ... | */
#ifndef XL_PACKING_H
#define XL_PACKING_H

#include "layer/params.h"
#include "ops/memory.h"

typedef struct {
    size_t offset;    /* of its first number */
    xl_matrix matrix; /* [rows, cols]; a block-diagonal one with its blocks end to end */
    void *own;        /* NULL: `data` is borrowed from a file that stays open */
} xl_packed;

typedef struct {
    size_t first;     /* offsets from here on are packed */
    xl_packed *items; /* in order of offset */
    int count;
    xl_number type;
} xl_packing;

/* One entry per packed parameter of the layout, without data. 0: no memory. */
int xl_packing_create(xl_packing *k, const xl_layout *l, xl_number type);
void xl_packing_free(xl_packing *k, xl_memory *memory);
xl_packed *xl_packing_of(const xl_packing *k, const xl_param *p);

/* Room of its own for one matrix, 0: no memory; and from here on that is where its numbers are. */
int xl_packed_reserve(xl_packed *p, xl_memory *memory);
void xl_packed_use_own(xl_packed *p);
/* Bytes on the host that packing or reading a row needs. */
size_t xl_packed_room(const xl_packed *p);
/* Row `row` from real numbers, and back. */
void xl_packed_write_row(const xl_packed *p, xl_memory *memory, int row, const real *from, void *room);
xlstm_status xl_packed_read_row(const xl_packed *p, xl_memory *memory, int row, real *to, void *room);

/* Whether the parameter at an offset is packed; k may be NULL. */
static inline int xl_packing_has(const xl_packing *k, size_t offset) {
    return k && k->count && offset >= k->first && offset != XL_NONE;
}
/* The longest run of rows of `cols` numbers that starts at the offset and lies in one piece, at most `rows`.
 */
xl_matrix xl_packing_find(const xl_packing *k, size_t offset, int rows, int cols);

#endif
