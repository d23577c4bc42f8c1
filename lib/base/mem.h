/* mem.h - the only door to the heap. Memory is aligned to 64 bytes and zeroed. */
#ifndef XL_MEM_H
#define XL_MEM_H

#include <stddef.h>

void *xl_alloc(size_t bytes); /* NULL when there is none; the caller reports it */
void xl_free(void *p);
char *xl_strdup(const char *s);

/* Tests make the n-th allocation from now fail (1 = the next one; 0 = never). */
void xl_alloc_fail_at(long n);

#endif
