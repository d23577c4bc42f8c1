/* Zero is where all begin: a state that has seen nothing, moments before an update, gaps between parameters.
 * So every block is cleared, whoever gave it. All are counted: while there are any, who gives stays. */
#ifdef __linux__
#define _DEFAULT_SOURCE /* madvise */
#include <sys/mman.h>
#endif
#include "base/mem.h"
#include "base/error.h"
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64, HUGE_PAGE = 1 << 21 };

static struct {
    xlstm_alloc_callback *alloc; /* NULL: the C library's */
    xlstm_free_callback *free;
    void *context;
} heap;
static atomic_long in_use; /* blocks: an allocator may only be changed while there are none */

static _Thread_local long fail_at;

void xl_alloc_fail_at(long n) {
    fail_at = n;
}

xlstm_status xlstm_set_allocator(xlstm_alloc_callback *alloc, xlstm_free_callback *free, void *context) {
    if (!alloc != !free)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "an allocator needs both functions; give both, or NULL twice for the C library's");
    if (atomic_load(&in_use))
        return xl_fail(XLSTM_E_ARGUMENT,
                       "%ld blocks of the allocator before are in use; free all handles first, or set the "
                       "allocator before the first is created",
                       atomic_load(&in_use));
    heap.alloc = alloc;
    heap.free = free;
    heap.context = context;
    return XLSTM_OK;
}

/* The user's function promises no alignment: what it gave is noted in front of what is used. */
static void *aligned_by_hand(size_t bytes) {
    char *given = heap.alloc(heap.context, bytes + ALIGN + sizeof given);
    if (!given)
        return NULL;
    uintptr_t at = ((uintptr_t)given + sizeof given + ALIGN - 1) / ALIGN * ALIGN;
    char *p = given + (at - (uintptr_t)given);
    memcpy(p - sizeof given, &given, sizeof given);
    return p;
}

/* Rows of a large matrix lie pages apart: with small pages, finding them is most of what a column walk costs.
 */
static void *from_library(size_t bytes) {
    size_t align = bytes >= 2 * HUGE_PAGE ? HUGE_PAGE : ALIGN;
    size_t rounded = (bytes + align - 1) / align * align;
    void *p = aligned_alloc(align, rounded);
#ifdef MADV_HUGEPAGE
    if (p && align == HUGE_PAGE)
        madvise(p, rounded, MADV_HUGEPAGE); /* a wish: without it all works as before */
#endif
    return p;
}

void *xl_alloc(uint64_t bytes) {
    if (fail_at > 0 && --fail_at == 0)
        return NULL;
    if (bytes > SIZE_MAX / 2)
        return NULL;
    size_t rounded = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    if (rounded == 0)
        rounded = ALIGN;
    void *p = heap.alloc ? aligned_by_hand(rounded) : from_library(rounded);
    if (!p)
        return NULL;
    atomic_fetch_add(&in_use, 1);
    return memset(p, 0, rounded);
}

void xl_free(void *p) {
    if (!p)
        return;
    void *given = p;
    if (heap.free) {
        memcpy(&given, (char *)p - sizeof given, sizeof given);
        heap.free(heap.context, given);
    } else {
        free(given);
    }
    atomic_fetch_sub(&in_use, 1);
}

char *xl_strdup(const char *s) {
    size_t n = strlen(s) + 1;
    char *copy = xl_alloc(n);
    if (copy)
        memcpy(copy, s, n);
    return copy;
}
