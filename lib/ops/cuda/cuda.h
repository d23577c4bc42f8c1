/* cuda.h - the border between libxlstm and libxlstm_cuda: the one function that is looked up by name, and
 * what each side gives the other. Both are built from one tree; `version` is the first member for ever, so
 * that libraries of two releases can tell each other apart. */
#ifndef XL_CUDA_H
#define XL_CUDA_H

#include "ops/memory.h"

typedef struct {
    const char *version; /* XLSTM_VERSION_STRING */
    /* Records one sentence, and returns the status (xl_fail). */
    xlstm_status (*fail)(xlstm_status status, const char *sentence);
} xl_cuda_host;

typedef struct {
    const char *version;
    int (*devices)(void);                             /* 0: none, or no driver */
    xlstm_status (*open)(int index, xl_memory **out); /* the same one for an index, for the whole process */
    /* The host's pages p .. p + bytes may be read and written by devices where they are, for as long as the
     * program runs; for tests of single ops. */
    xlstm_status (*share)(void *p, size_t bytes);
} xl_cuda;

typedef const xl_cuda *xl_cuda_entry(const xl_cuda_host *host);
#define XL_CUDA_ENTRY "xl_cuda_enter"

/* The library, opened if it was not yet; NULL: it cannot be, and the reason is recorded. */
const xl_cuda *xl_cuda_library(void);

#endif
