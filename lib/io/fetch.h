/* fetch.h - bytes of a memory on their way into a file: a piece at a time through one buffer, or, in the
 * host's memory, from where they lie. */
#ifndef XL_FETCH_H
#define XL_FETCH_H

#include "ops/memory.h"

typedef struct {
    xl_memory *memory;
    void *room; /* of a piece; NULL in the host's memory */
} xl_fetch;

/* Close it also on failure. */
xlstm_status xl_fetch_open(xl_fetch *f, xl_memory *memory);
void xl_fetch_close(xl_fetch *f);
/* *data: from a place in the memory to one on the host, which holds until the next piece. *bytes: from how
 * many are wanted to how many there are, a multiple of 8 unless all. The memory is entered. */
xlstm_status xl_fetch_piece(const xl_fetch *f, const void **data, size_t *bytes);

#endif
