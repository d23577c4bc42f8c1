/* mem.h - the only door to the heap. Memory is aligned to 64 bytes and zeroed. */
#ifndef XL_MEM_H
#define XL_MEM_H

#include <stdint.h>

/* NULL when there is none; the caller reports it. Sizes that grow with a caller's numbers are computed in 64
 * bits, as those of arenas: where addresses have 32 they would wrap around. */
void *xl_alloc(uint64_t bytes);
void xl_free(void *p);
char *xl_strdup(const char *s);

/* Tests make the n-th allocation from now fail (1 = the next one; 0 = never). */
void xl_alloc_fail_at(long n);

#endif
