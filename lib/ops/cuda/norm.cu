/* norm.cu - LayerNorm, RMSNorm, GroupNorm: a warp for each slice of a row, whose lanes take every 32nd
 * number. Bound by memory: x and y once (three passes over a slice, the later ones in L1), over 4.3 TB/s. */
#include "ops/cuda/cuda.cuh"

enum { WARPS = 8, THREADS = WARPS * 32 };

typedef struct {
    float mean, rstd;
} moments;

static __device__ float weight(const real *w, int c, const xl_norm &norm) {
    return w ? w[c] + (norm.plus_one ? 1 : 0) : 1;
}

static __device__ moments measure(const real *x, int n, const xl_norm &norm, int lane) {
    float mean = 0, square = 0;
    for (int i = lane; i < n && !norm.rms; i += XL_WARP)
        mean += x[i];
    mean = xl_warp_sum(mean) / n;
    for (int i = lane; i < n; i += XL_WARP)
        square += (x[i] - mean) * (x[i] - mean);
    return (moments){mean, 1 / sqrtf(xl_warp_sum(square) / n + norm.eps)};
}

/* The slice of this warp: slice g of row n. 0: there is none. */
static __device__ int slice_of(int rows, int groups, int *n, int *g) {
    int64_t at = (int64_t)blockIdx.x * WARPS + threadIdx.x / XL_WARP;
    *n = (int)(at / groups);
    *g = (int)(at % groups);
    return at < (int64_t)rows * groups;
}

static __global__ void norm_kernel(xl_view y, xl_view x, const real *w, const real *b, xl_norm norm) {
    int n, g, lane = threadIdx.x % XL_WARP, size = x.cols / norm.groups;
    if (!slice_of(x.rows, norm.groups, &n, &g))
        return;
    const real *from = xl_row(x, n) + g * size;
    moments s = measure(from, size, norm, lane);
    for (int i = lane; i < size; i += XL_WARP) {
        int c = g * size + i;
        xl_row(y, n)[c] = (from[i] - s.mean) * s.rstd * weight(w, c, norm) + (b ? b[c] : 0);
    }
}

static int blocks_of(int rows, int groups) {
    return xl_ceil((int64_t)rows * groups, WARPS);
}

void xl_cuda_norm(xl_view y, xl_view x, const real *w, const real *b, xl_norm norm) {
    if (x.rows > 0)
        XL_LAUNCH(norm_kernel, blocks_of(x.rows, norm.groups), THREADS, 0, y, x, w, b, norm);
}

static __global__ void moments_kernel(moments *out, xl_view x, xl_norm norm) {
    int n, g, size = x.cols / norm.groups;
    if (!slice_of(x.rows, norm.groups, &n, &g))
        return;
    out[(ptrdiff_t)n * norm.groups + g] = measure(xl_row(x, n) + g * size, size, norm, threadIdx.x % XL_WARP);
}

static __global__ void norm_dx_kernel(xl_view dx, xl_view dy, xl_view x, const real *w, xl_norm norm,
                                      int add) {
    int n, g, lane = threadIdx.x % XL_WARP, size = x.cols / norm.groups;
    if (!slice_of(x.rows, norm.groups, &n, &g))
        return;
    int first = g * size;
    const real *xs = xl_row(x, n) + first, *dys = xl_row(dy, n) + first;
    real *dxs = xl_row(dx, n) + first;
    moments s = measure(xs, size, norm, lane);
    float g_mean = 0, gx_mean = 0;
    for (int i = lane; i < size; i += XL_WARP) {
        float gi = dys[i] * weight(w, first + i, norm);
        g_mean += norm.rms ? 0 : gi;
        gx_mean += gi * (xs[i] - s.mean) * s.rstd;
    }
    g_mean = xl_warp_sum(g_mean) / size;
    gx_mean = xl_warp_sum(gx_mean) / size;
    for (int i = lane; i < size; i += XL_WARP) {
        float gi = dys[i] * weight(w, first + i, norm);
        float d = s.rstd * (gi - g_mean - (xs[i] - s.mean) * s.rstd * gx_mean);
        dxs[i] = add ? dxs[i] + d : d;
    }
}

/* Moments of as many rows as the stream has room for, and what they give to dw and db. */
static void norm_dw(real *dw, real *db, xl_view dy, xl_view x, xl_norm norm) {
    moments *s = (moments *)xl_cuda_here()->room;
    int size = x.cols / norm.groups, groups = norm.groups;
    if (dw) {
        XL_LAUNCH(moments_kernel, blocks_of(x.rows, groups), THREADS, 0, s, x, norm);
        xl_columns(
            x.rows, x.cols,
            [=] __device__(int n, int c) {
                moments m = s[(ptrdiff_t)n * groups + c / size];
                return xl_row(dy, n)[c] * (xl_row(x, n)[c] - m.mean) * m.rstd;
            },
            [=] __device__(int c, float sum) { dw[c] += sum; });
    }
    if (db)
        xl_columns(
            x.rows, x.cols, [=] __device__(int n, int c) { return xl_row(dy, n)[c]; },
            [=] __device__(int c, float sum) { db[c] += sum; });
}

void xl_cuda_norm_bwd(xl_view dx, real *dw, real *db, xl_view dy, xl_view x, const real *w, xl_norm norm,
                      int add) {
    int most = XL_ROOM / (int)sizeof(moments) / norm.groups;
    for (int n = 0; n < x.rows; n += most) {
        int rows = x.rows - n < most ? x.rows - n : most;
        xl_view here = x, dhere = dy;
        here.p = xl_row(x, n), dhere.p = xl_row(dy, n);
        here.rows = dhere.rows = rows;
        norm_dw(dw, db, dhere, here, norm);
    }
    if (x.rows > 0)
        XL_LAUNCH(norm_dx_kernel, blocks_of(x.rows, norm.groups), THREADS, 0, dx, dy, x, w, norm, add);
}
