/* fetch.c - a file is written from the host; tensors may lie elsewhere, and are never there as a whole twice.
 */
#include "io/fetch.h"
#include "base/error.h"
#include "base/mem.h"

enum { PIECE = 1 << 18 }; /* bytes: what a level of cache holds, and many times what asking for it costs */

xlstm_status xl_fetch_open(xl_fetch *f, xl_memory *memory) {
    *f = (xl_fetch){.memory = memory, .room = memory->is_host ? NULL : xl_alloc(PIECE)};
    return memory->is_host || f->room ? XLSTM_OK : xl_no_memory(PIECE, "tensors on their way into a file");
}

void xl_fetch_close(xl_fetch *f) {
    xl_free(f->room);
    *f = (xl_fetch){0};
}

xlstm_status xl_fetch_piece(const xl_fetch *f, const void **data, size_t *bytes) {
    if (f->memory->is_host)
        return XLSTM_OK;
    const void *there = *data;
    *data = f->room;
    *bytes = *bytes < PIECE ? *bytes : PIECE;
    return f->memory->get(f->memory, f->room, there, *bytes);
}
