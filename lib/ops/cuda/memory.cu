/* memory.cu - the memory of a device: its pieces, streams, copies and what failed. Each stream has one stream
 * of CUDA's that waits for no other; they are kept when they are closed, since a call that only copies opens
 * one too. */
#include "ops/cuda/cuda.cuh"
#include <mutex>
#include <new>
#include <stdio.h>

enum { DEVICES = 64 };

typedef struct {
    xl_memory memory;
    char name[24];
    int index;
    xl_stream *idle;
} device;

static device devices[DEVICES];
static std::mutex lock; /* of all devices' lists */
static const xl_cuda_host *host;
static thread_local xl_stream *current;
static thread_local int device_before;

xl_stream *xl_cuda_here(void) {
    return current;
}

/* Only the first failure is told: the others follow from it. */
void xl_cuda_check(cudaError_t error, const char *what) {
    if (error != cudaSuccess && !current->failed[0])
        snprintf(current->failed, sizeof current->failed, "%s: %s", what, cudaGetErrorString(error));
}

void xl_cuda_wide(const void *kernel, size_t shared, const char *what) {
    xl_cuda_check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared),
                  what);
}

static xlstm_status fail(const device *d, xlstm_status status, const char *what) {
    char sentence[400];
    snprintf(sentence, sizeof sentence, "device %s: %s", d->name, what);
    return host->fail(status, sentence);
}

/* What a block of this scope does is done on the device. */
struct on_device {
    int before;
    on_device(xl_memory *m) {
        cudaGetDevice(&before);
        cudaSetDevice(((device *)m)->index);
    }
    ~on_device() {
        cudaSetDevice(before);
    }
};

/* ---- pieces ---- */

static void *take(xl_memory *m, uint64_t bytes) {
    on_device here(m);
    void *p = NULL;
    size_t size = bytes ? (size_t)bytes : 1;
    if (cudaMalloc(&p, size) != cudaSuccess) {
        cudaGetLastError(); /* (which is kept otherwise, and blamed on the next kernel) */
        return NULL;
    }
    if (cudaMemset(p, 0, size) == cudaSuccess && cudaStreamSynchronize(0) == cudaSuccess)
        return p;
    cudaFree(p);
    return NULL;
}

static void give(xl_memory *m, void *p) {
    on_device here(m);
    cudaFree(p);
}

static uint64_t left(xl_memory *m) {
    on_device here(m);
    size_t some = 0, all = 0;
    cudaMemGetInfo(&some, &all);
    return some;
}

/* ---- streams ---- */

static xl_stream *idle_stream(device *d) {
    std::lock_guard<std::mutex> locked(lock);
    xl_stream *s = d->idle;
    if (s)
        d->idle = s->next;
    return s;
}

static void keep_idle(device *d, xl_stream *s) {
    std::lock_guard<std::mutex> locked(lock);
    s->next = d->idle;
    d->idle = s;
}

static xlstm_status open(xl_memory *m, xl_stream **out) {
    device *d = (device *)m;
    *out = idle_stream(d);
    if (*out)
        return XLSTM_OK;
    xl_stream *s = new (std::nothrow) xl_stream();
    if (!s)
        return fail(d, XLSTM_E_MEMORY, "no memory for a stream");
    on_device here(m);
    cudaError_t error = cudaStreamCreateWithFlags(&s->stream, cudaStreamNonBlocking);
    if (error == cudaSuccess && (error = cudaMalloc((void **)&s->room, XL_ROOM)) != cudaSuccess)
        cudaStreamDestroy(s->stream);
    if (error != cudaSuccess) {
        delete s;
        cudaGetLastError();
        return fail(d, error == cudaErrorMemoryAllocation ? XLSTM_E_MEMORY : XLSTM_E_DEVICE,
                    cudaGetErrorString(error));
    }
    s->device = d->index;
    *out = s;
    return XLSTM_OK;
}

static void close(xl_memory *m, xl_stream *s) {
    if (s)
        keep_idle((device *)m, s);
}

static void enter(xl_memory *m, xl_stream *s) {
    (void)m;
    cudaGetDevice(&device_before);
    current = s;
    s->failed[0] = 0;
    xl_cuda_check(cudaSetDevice(s->device), "choosing the device");
}

static void leave(xl_memory *m) {
    (void)m;
    cudaSetDevice(device_before);
    current = NULL;
}

/* ---- in a stream ---- */

/* Is a copy from here done only later? Pinned memory is read by the device itself. */
static int is_pinned(const void *p) {
    cudaPointerAttributes a;
    if (cudaPointerGetAttributes(&a, p) == cudaSuccess)
        return a.type != cudaMemoryTypeUnregistered;
    cudaGetLastError();
    return 0;
}

static void put(xl_memory *m, void *there, const void *here, size_t bytes) {
    (void)m;
    if (!bytes)
        return;
    xl_cuda_check(cudaMemcpyAsync(there, here, bytes, cudaMemcpyHostToDevice, current->stream),
                  "copying to the device");
    if (is_pinned(here))
        xl_cuda_check(cudaStreamSynchronize(current->stream), "copying to the device");
}

static xlstm_status wait(xl_memory *m) {
    xl_cuda_check(cudaStreamSynchronize(current->stream), "waiting for the device");
    return current->failed[0] ? fail((device *)m, XLSTM_E_DEVICE, current->failed) : XLSTM_OK;
}

static xlstm_status get(xl_memory *m, void *here, const void *there, size_t bytes) {
    if (bytes)
        xl_cuda_check(cudaMemcpyAsync(here, there, bytes, cudaMemcpyDeviceToHost, current->stream),
                      "copying from the device");
    return wait(m);
}

static void copy(xl_memory *m, void *to, const void *from, size_t bytes) {
    (void)m;
    if (bytes)
        xl_cuda_check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, current->stream), "copying");
}

static void clear(xl_memory *m, void *p, size_t bytes) {
    (void)m;
    if (bytes)
        xl_cuda_check(cudaMemsetAsync(p, 0, bytes, current->stream), "clearing");
}

/* ---- kernels: what a file of this folder defines is there ---- */

static const xl_ops *ops(xl_memory *m, xl_products products) {
    static const xl_ops table = {
        .name = "cuda",
#define OP(name, args, ...) .name = xl_cuda_##name,
#define SIZE(name, args, ...) .name = xl_cuda_##name,
#include "ops/ops.def"
#undef OP
#undef SIZE
    };
    (void)m;
    return products == XL_PRODUCTS_REAL ? &table : NULL;
}

/* ---- opening a device ---- */

static int count_of(void) {
    int count = 0;
    if (cudaGetDeviceCount(&count) == cudaSuccess)
        return count;
    cudaGetLastError();
    return 0;
}

static __global__ void nothing_kernel(void) {}

/* What keeps the device from being used, or NULL. */
static const char *unusable(int index, char *room, size_t size) {
    int count = 0;
    cudaFuncAttributes attributes;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaErrorInsufficientDriver)
        return "there is no NVIDIA driver, or it is older than CUDA " XL_CUDA_RELEASE
               " needs; install or update it, or use the device \"cpu\"";
    if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0))
        return "this machine has no NVIDIA device; use the device \"cpu\"";
    if (error == cudaSuccess && index >= count) {
        snprintf(room, size, "there is no such device; this machine has %d, cuda:0 to cuda:%d", count,
                 count - 1);
        return room;
    }
    if (error == cudaSuccess)
        error = cudaSetDevice(index);
    if (error == cudaSuccess)
        error = cudaFuncGetAttributes(&attributes, nothing_kernel);
    if (error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction ||
        error == cudaErrorUnsupportedPtxVersion)
        return "libxlstm_cuda was built without kernels for this device's architecture; it needs compute "
               "capability 8.0 or later, and a driver "
               "of CUDA " XL_CUDA_RELEASE;
    return error == cudaSuccess ? NULL : cudaGetErrorString(error);
}

static void set_up(device *d, int index) {
    snprintf(d->name, sizeof d->name, "cuda:%d", index);
    d->index = index;
    d->memory.ops = ops;
    d->memory.take = take;
    d->memory.give = give;
    d->memory.left = left;
    d->memory.open = open;
    d->memory.close = close;
    d->memory.enter = enter;
    d->memory.leave = leave;
    d->memory.put = put;
    d->memory.get = get;
    d->memory.copy = copy;
    d->memory.clear = clear;
    d->memory.wait = wait;
}

static xlstm_status open_device(int index, xl_memory **out) {
    char room[160];
    std::lock_guard<std::mutex> locked(lock);
    int at = index < DEVICES ? index : 0, before = 0;
    device *d = &devices[at];
    *out = &d->memory;
    if (index < DEVICES && d->memory.name)
        return XLSTM_OK;
    cudaGetDevice(&before);
    const char *why =
        index < DEVICES ? unusable(index, room, sizeof room) : "devices are numbered from 0 to 63";
    cudaSetDevice(before);
    cudaGetLastError();
    if (why) {
        device none = {};
        snprintf(none.name, sizeof none.name, "cuda:%d", index);
        return fail(&none, XLSTM_E_DEVICE, why);
    }
    set_up(d, index);
    d->memory.name = d->name;
    return XLSTM_OK;
}

static xlstm_status share(void *p, size_t bytes) {
    cudaError_t error = cudaHostRegister(p, bytes, cudaHostRegisterPortable | cudaHostRegisterMapped);
    return error == cudaSuccess ? XLSTM_OK : host->fail(XLSTM_E_DEVICE, cudaGetErrorString(error));
}

extern "C" __attribute__((visibility("default"))) const xl_cuda *xl_cuda_enter(const xl_cuda_host *from) {
    static const xl_cuda border = {XLSTM_VERSION_STRING, count_of, open_device, share};
    if (strcmp(from->version, XLSTM_VERSION_STRING) == 0)
        host = from;
    return &border;
}
