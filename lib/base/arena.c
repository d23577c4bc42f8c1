/* A run asks for the pieces that its plan asked for, in the same order, so nothing here can fail. */
#include "base/arena.h"
#include <assert.h>

enum { ALIGN = 64 };
static const size_t LIMIT =
    SIZE_MAX / 2 + 1; /* a plan stops here in place of wrapping around; no heap gives as much */

real *xl_arena_real(xl_arena *a, uint64_t count) {
    uint64_t bytes = (count * sizeof(real) + ALIGN - 1) / ALIGN * ALIGN;
    size_t at = a->used;
    a->used = bytes < LIMIT - at ? at + bytes : LIMIT;
    if (a->used > a->peak)
        a->peak = a->used;
    if (!a->base) /* measuring: any aligned address that is not NULL will do */
        return (real *)(uintptr_t)(ALIGN + at);
    assert(a->used <= a->size && "the plan was smaller than the run");
    return (real *)(a->base + at);
}

xl_view xl_arena_view(xl_arena *a, int rows, int cols) {
    return xl_rows(xl_arena_real(a, (uint64_t)rows * cols), rows, cols);
}

size_t xl_arena_mark(const xl_arena *a) {
    return a->used;
}

void xl_arena_release(xl_arena *a, size_t mark) {
    assert(mark <= a->used);
    a->used = mark;
}
