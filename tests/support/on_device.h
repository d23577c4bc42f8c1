/* on_device.h - a device's table for tests of single ops, which have their buffers in ordinary memory: with
 * XLSTM_TEST_DEVICE=cuda:0 the device is told to read and write this program's heap, data and stack where
 * they are, and each op is done when it returns, as on the host. Copies into the device's own memory and out
 * of it are for the tests of sessions and trainers, with XLSTM_DEVICE. */
#ifndef TEST_ON_DEVICE_H
#define TEST_ON_DEVICE_H

#include "ops/cuda/cuda.h"
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static xl_memory *tested_device;
static xl_stream *tested_stream;
static const xl_ops *tested_ops;

static inline void on_device_require(int condition, const char *what) {
    if (condition)
        return;
    fprintf(stderr, "on_device.h: %s: %s\n", what, xlstm_last_error());
    abort();
}

#define OP(name, args, call, ...)                                                                            \
    static void on_device_##name args {                                                                      \
        tested_device->enter(tested_device, tested_stream);                                                  \
        tested_ops->name call;                                                                               \
        on_device_require(tested_device->wait(tested_device) == XLSTM_OK, #name);                            \
        tested_device->leave(tested_device);                                                                 \
    }
#include "ops/ops.def"
#undef OP

/* The pages of from .. to. */
static inline void on_device_share(const xl_cuda *cuda, char *from, char *to) {
    enum { PAGE = 4096 };
    from -= (uintptr_t)from % PAGE;
    to += (PAGE - (uintptr_t)to % PAGE) % PAGE;
    on_device_require(cuda->share(from, (size_t)(to - from)) == XLSTM_OK, "memory is not shared");
}

static inline void on_device_share_mapping(const xl_cuda *cuda, const char *name) {
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    void *from, *to;
    while (maps && fgets(line, sizeof line, maps))
        if (strstr(line, name) && sscanf(line, "%p-%p", &from, &to) == 2)
            on_device_share(cuda, from, to);
    if (maps)
        fclose(maps);
}

/* All that malloc() gives from here on lies in one piece, which is there already. */
static inline void on_device_grow(void) {
    volatile char stack[1 << 20];
    stack[0] = 0;
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TRIM_THRESHOLD, 0x7fffffff);
    void *volatile heap = malloc((size_t)1 << 30);
    on_device_require(heap != NULL && !stack[0], "no memory");
    free(heap);
}

/* NULL: no device is tested. Ops that the device's table lacks are NULL here, too. */
static inline const xl_ops *device_table(void) {
    extern char __data_start[], _end[];
    static xl_ops table;
    const char *name = getenv("XLSTM_TEST_DEVICE");
    if (!name || table.name)
        return name ? &table : NULL;
    on_device_grow();
    on_device_require(xl_device_memory(name, &tested_device) == XLSTM_OK, "the device cannot be used");
    on_device_require(tested_device->open(tested_device, &tested_stream) == XLSTM_OK, "no stream");
    tested_ops = tested_device->ops(tested_device, XL_PRODUCTS_REAL);
    const xl_cuda *cuda = xl_cuda_library();
    on_device_share(cuda, __data_start, _end);
    on_device_share_mapping(cuda, "[heap]");
    on_device_share_mapping(cuda, "[stack]");
    table = (xl_ops){
        .name = tested_ops->name,
#define OP(name, ...) .name = tested_ops->name ? on_device_##name : NULL,
#define SIZE(name, ...) .name = tested_ops->name,
#include "ops/ops.def"
#undef OP
    };
    return &table;
}

#endif
