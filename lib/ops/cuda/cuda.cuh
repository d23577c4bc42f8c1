/* cuda.cuh - what the kernels share. Ops come in on the host's side, in the stream that this thread is in,
 * and launch; failures are kept in that stream until someone asks.
 *
 * A sum has one order, that of its length alone: threads take numbers at fixed strides and add up in a fixed
 * tree, no sum crosses blocks but by a second kernel, and there are no atomics on floats. */
#ifndef XL_CUDA_CUH
#define XL_CUDA_CUH

#include <assert.h>
#include <float.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <tgmath.h>
#define inline                                                                                               \
    inline __host__ __device__ /* rows, tokens, pieces and hashes mean here what they mean there             \
                                */
extern "C" {
#include "base/half.h"
#include "base/rng.h"
#include "ops/cuda/cuda.h"
}
#undef inline
#include <cuda_runtime.h>

extern "C" {
#define OP(name, args, ...) __attribute__((weak)) void xl_cuda_##name args;
#define SIZE(name, args, ...) __attribute__((weak)) uint64_t xl_cuda_##name args;
#include "ops/ops.def"
#undef OP
}
#undef SIZE

enum { XL_WARP = 32, XL_ROOM = 8 << 20 };

struct xl_stream {
    int device;
    cudaStream_t stream;
    double *room;     /* [XL_ROOM bytes] of the device, for the sums of pieces within an op */
    char failed[256]; /* what failed first since enter(); "" nothing */
    xl_stream *next;
};

xl_stream *xl_cuda_here(void); /* the stream of the public call that this thread is in */
void xl_cuda_check(cudaError_t error, const char *what);
void xl_cuda_wide(const void *kernel, size_t shared,
                  const char *what); /* leave to use so much shared memory */

static inline int xl_ceil(int64_t n, int by) {
    return (int)((n + by - 1) / by);
}

#define XL_LAUNCH(kernel, grid, block, shared, ...)                                                          \
    do {                                                                                                     \
        if ((shared) > 48 * 1024)                                                                            \
            xl_cuda_wide((const void *)(kernel), shared, #kernel);                                           \
        (kernel)<<<grid, block, shared, xl_cuda_here()->stream>>>(__VA_ARGS__);                              \
        xl_cuda_check(cudaGetLastError(), #kernel);                                                          \
    } while (0)

/* ---- every number by itself: f(row, column). Bound by memory ---- */

template <class F> __global__ void xl_each_kernel(F f, int64_t count, int cols) {
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count;
         i += (int64_t)gridDim.x * blockDim.x)
        f((int)(i / cols), (int)(i % cols));
}

template <class F> void xl_each(int rows, int cols, F f) {
    int64_t count = (int64_t)rows * cols;
    int blocks = (int)(count < (int64_t)256 * 8192 ? xl_ceil(count, 256) : 8192);
    if (count > 0)
        XL_LAUNCH(xl_each_kernel<F>, blocks, 256, 0, f, count, cols);
}

template <class F> __global__ void xl_each_at_kernel(F f, size_t count) {
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < count;
         i += (size_t)gridDim.x * blockDim.x)
        f(i);
}

template <class F> void xl_each_at(size_t count, F f) {
    size_t blocks = (count + 255) / 256;
    if (count > 0)
        XL_LAUNCH(xl_each_at_kernel<F>, (unsigned)(blocks < 8192 ? blocks : 8192), 256, 0, f, count);
}

/* ---- sums over rows, column by column: put(column, sum of value(row, column)). A tile of 32 columns by 16
 * rows that goes down; bound by memory where there are columns enough ---- */

enum { XL_LANES = 16 };

template <class F, class P> __global__ void xl_columns_kernel(F value, P put, int rows, int cols) {
    __shared__ float part[XL_LANES][XL_WARP];
    int c = blockIdx.x * XL_WARP + threadIdx.x;
    float sum = 0;
    if (c < cols)
        for (int n = threadIdx.y; n < rows; n += XL_LANES)
            sum += value(n, c);
    part[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y || c >= cols)
        return;
    for (int i = 1; i < XL_LANES; i++)
        sum += part[i][threadIdx.x];
    put(c, sum);
}

template <class F, class P> void xl_columns(int rows, int cols, F value, P put) {
    if (cols > 0)
        XL_LAUNCH((xl_columns_kernel<F, P>), xl_ceil(cols, XL_WARP), dim3(XL_WARP, XL_LANES), 0, value, put,
                  rows, cols);
}

/* ---- inside a kernel ---- */

static __device__ inline float xl_warp_sum(float x) { /* every lane has it */
    for (int step = XL_WARP / 2; step; step /= 2)
        x += __shfl_xor_sync(~0u, x, step);
    return x;
}

static __device__ inline double xl_warp_sum(double x) {
    for (int step = XL_WARP / 2; step; step /= 2)
        x += __shfl_xor_sync(~0u, x, step);
    return x;
}

static __device__ inline float xl_warp_most(float x) { /* of numbers that are none NaN */
    for (int step = XL_WARP / 2; step; step /= 2)
        x = fmaxf(x, __shfl_xor_sync(~0u, x, step));
    return x;
}

static __device__ inline float xl_sigmoid(float x) {
    float e = expf(-fabsf(x));
    return (x >= 0 ? 1 : e) / (1 + e);
}

static __device__ inline float xl_log_sigmoid(float x) {
    return (x < 0 ? x : 0) - log1pf(expf(-fabsf(x)));
}

static __device__ inline float xl_silu(float x) {
    return x * xl_sigmoid(x);
}

static __device__ inline float xl_silu_slope(float x) {
    float s = xl_sigmoid(x);
    return s + x * s * (1 - s);
}

/* Number `col` of row `row` of a matrix of any type. */
static __device__ inline float xl_number_at(const xl_matrix &W, ptrdiff_t row, int col) {
    ptrdiff_t at = row * W.cols + col;
    switch (W.type) {
    case XL_BFLOAT16:
        return xl_from_bf16(((const uint16_t *)W.data)[at]);
    case XL_INT8:
        return ((const int8_t *)W.data)[at] * W.scale[row];
    case XL_INT4: {
        const uint8_t *numbers = (const uint8_t *)W.data + row * ((W.cols + 1) / 2);
        int number = numbers[col / 2] >> col % 2 * 4 & 15;
        return (number < 8 ? number : number - 16) *
               W.scale[row * ((W.cols + XL_GROUP - 1) / XL_GROUP) + col / XL_GROUP];
    }
    default:
        return ((const float *)W.data)[at];
    }
}

/* ---- products, for the files that are made of them: gemm.cu ---- */

/* For block j < blocks: C_j [m, n] = or += A_j [m, k] B_j [k, n] + bias_j [n], columns of C side by side. B
 * is `b` with strides, or where that is NULL rows of W: B_j [k, n] = W[j w_rows + n][k]. */
typedef struct {
    int m, n, k, blocks, add;
    float *c;
    ptrdiff_t c_row, c_block;
    const float *a;
    ptrdiff_t a_row, a_k, a_block;
    const float *b;
    ptrdiff_t b_col, b_k, b_block;
    xl_matrix W;
    int w_rows;
    const float *bias;
    ptrdiff_t bias_block;
    const int32_t *counts; /* [k] or NULL: where negative, A's column and B's row count as zero */
} xl_product;

void xl_cuda_product(xl_product p);

#endif
