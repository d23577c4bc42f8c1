#include "base/mem.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local long fail_at;

void xl_alloc_fail_at(long n) {
    fail_at = n;
}

void *xl_alloc(size_t bytes) {
    if (fail_at > 0 && --fail_at == 0)
        return NULL;
    if (bytes > SIZE_MAX / 2)
        return NULL;
    size_t rounded = (bytes + 63) / 64 * 64;
    if (rounded == 0)
        rounded = 64;
    void *p = aligned_alloc(64, rounded);
    if (p)
        memset(p, 0, rounded);
    return p;
}

void xl_free(void *p) {
    free(p);
}

char *xl_strdup(const char *s) {
    size_t n = strlen(s) + 1;
    char *copy = xl_alloc(n);
    if (copy)
        memcpy(copy, s, n);
    return copy;
}
