/* device.c - where modules are made, by name: the host, or a device whose library is opened when one is asked
 * for the first time. libxlstm itself links nothing of CUDA's. */
#ifdef __linux__
#define _GNU_SOURCE /* dladdr */
#endif
#include "base/error.h"
#include "ops/cuda/cuda.h"
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static xlstm_status fail(xlstm_status status, const char *sentence) {
    return xl_fail(status, "%s", sentence);
}

static const xl_cuda_host host = {.version = XLSTM_VERSION_STRING, .fail = fail};

/* ---- the library ---- */

/* The same folder as the library or program that this is in, if the file is there. */
static int is_beside(char *path, size_t size) {
    Dl_info here;
    const char *end = dladdr(&host, &here) && here.dli_fname ? strrchr(here.dli_fname, '/') : NULL;
    if (!end)
        return 0;
    snprintf(path, size, "%.*s" XL_CUDA_LIBRARY, (int)(end + 1 - here.dli_fname), here.dli_fname);
    return access(path, R_OK) == 0;
}

static xlstm_status open_library(const char *device, void **library) {
    char path[4096];
    *library = dlopen(is_beside(path, sizeof path) ? path : XL_CUDA_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (*library)
        return XLSTM_OK;
    return xl_fail(XLSTM_E_DEVICE,
                   "device %s needs the library " XL_CUDA_LIBRARY
                   " beside libxlstm, which cannot be opened (%s); "
                   "install it, build with XLSTM_CUDA=ON, or use the device \"cpu\"",
                   device, dlerror());
}

/* Two threads that come first both find the same library. */
static xlstm_status find_cuda(const char *device, const xl_cuda **out) {
    static const xl_cuda *_Atomic found;
    if ((*out = atomic_load(&found)))
        return XLSTM_OK;
    void *library;
    xl_cuda_entry *entry;
    XL_TRY(open_library(device, &library));
    *(void **)&entry = dlsym(library, XL_CUDA_ENTRY);
    *out = entry ? entry(&host) : NULL;
    if (!*out || strcmp((*out)->version, host.version)) {
        xl_fail(XLSTM_E_DEVICE,
                "device %s: " XL_CUDA_LIBRARY
                " is of version %s, and libxlstm of version %s; install both from "
                "one release",
                device, *out ? (*out)->version : "unknown", host.version);
        dlclose(library);
        return XLSTM_E_DEVICE;
    }
    atomic_store(&found, *out);
    return XLSTM_OK;
}

const xl_cuda *xl_cuda_library(void) {
    const xl_cuda *cuda;
    return find_cuda("cuda", &cuda) == XLSTM_OK ? cuda : NULL;
}

/* ---- names ---- */

/* 1: "cuda" or "cuda:N". */
static int is_cuda(const char *name, int *index) {
    char *end;
    *index = 0;
    if (strncmp(name, "cuda", 4))
        return 0;
    if (!name[4])
        return 1;
    if (name[4] != ':' || name[5] < '0' || name[5] > '9' || strlen(name + 5) > 4)
        return 0;
    *index = (int)strtol(name + 5, &end, 10);
    return !*end;
}

static xlstm_status open_cuda(const char *name, int index, xl_memory **out) {
    const xl_cuda *cuda;
    if (sizeof(real) != sizeof(float))
        return xl_fail(XLSTM_E_DEVICE, "device %s: kernels there are of float, and this library is of double",
                       name);
    XL_TRY(find_cuda(name, &cuda));
    return cuda->open(index, out);
}

xlstm_status xl_device_memory(const char *name, xl_memory **out) {
    int index, is_auto = !strcmp(name, "auto");
    *out = &xl_memory_host;
    if (!strcmp(name, "cpu") || (is_auto && open_cuda("cuda", 0, out) != XLSTM_OK)) {
        *out = &xl_memory_host;
        return XLSTM_OK;
    }
    if (is_auto)
        return XLSTM_OK;
    if (!is_cuda(name, &index))
        return xl_fail(XLSTM_E_ARGUMENT, "device \"%s\" is unknown; use cpu, cuda, cuda:N (from 0) or auto",
                       name);
    return open_cuda(name, index, out);
}

/* ---- where modules are made ---- */

xlstm_status xlstm_set_device(const char *name) {
    xl_memory *memory = NULL;
    if (name)
        XL_TRY(xl_device_memory(name, &memory));
    xl_memory_set_default(memory);
    return XLSTM_OK;
}

xlstm_status xl_memory_chosen(xl_memory **out) {
    const char *wanted = getenv("XLSTM_DEVICE");
    *out = xl_memory_default();
    if (*out)
        return XLSTM_OK;
    return xl_device_memory(wanted && *wanted && sizeof(real) == sizeof(float) ? wanted : "cpu", out);
}
