/* loss.cu - losses and their gradients, a block of 256 threads for each row. Bound by memory: logits three
 * times, of which two from L2 where a row fits, over 4.3 TB/s. */
#include "ops/cuda/cuda.cuh"

enum { THREADS = 256, WARPS = THREADS / XL_WARP };

/* NaN is no largest number, but takes part in every sum. */
static __device__ float block_most(float x) {
    __shared__ float part[WARPS];
    x = xl_warp_most(x);
    __syncthreads();
    if (threadIdx.x % XL_WARP == 0)
        part[threadIdx.x / XL_WARP] = x;
    __syncthreads();
    for (int i = 0; i < WARPS; i++)
        x = fmaxf(x, part[i]);
    return x;
}

static __device__ float block_sum(float x) { /* every thread has it */
    __shared__ float part[WARPS];
    x = xl_warp_sum(x);
    __syncthreads();
    if (threadIdx.x % XL_WARP == 0)
        part[threadIdx.x / XL_WARP] = x;
    __syncthreads();
    float sum = 0;
    for (int i = 0; i < WARPS; i++)
        sum += part[i];
    return sum;
}

static __global__ void xent_kernel(real *each, xl_view dlogits, xl_view logits, const int32_t *targets,
                                   const real *scale) {
    int n = blockIdx.x, V = logits.cols, target = targets[n];
    const real *x = xl_row(logits, n);
    real *dx = dlogits.p ? xl_row(dlogits, n) : NULL;
    float loss = 0;
    if (target >= 0) {
        float top = -INFINITY, total = 0;
        for (int i = threadIdx.x; i < V; i += THREADS)
            top = fmaxf(top, x[i]);
        top = block_most(top);
        for (int i = threadIdx.x; i < V; i += THREADS)
            total += expf(x[i] - top);
        total = block_sum(total);
        loss = logf(total) - (x[target] - top);
        __syncthreads(); /* dx may be x */
        for (int i = threadIdx.x; dx && i < V; i += THREADS)
            dx[i] = *scale * (expf(x[i] - top) / total - (i == target));
    } else
        for (int i = threadIdx.x; dx && i < V; i += THREADS)
            dx[i] = 0;
    if (each && threadIdx.x == 0)
        each[n] = loss;
}

void xl_cuda_xent(real *each, xl_view dlogits, xl_view logits, const int32_t *targets, const real *scale) {
    if (logits.rows > 0)
        XL_LAUNCH(xent_kernel, logits.rows, THREADS, 0, each, dlogits, logits, targets, scale);
}

/* Rows whose logits exist at a time: 64 MiB of them, but enough to fill a card. */
static int rows_at_a_time(int rows, int classes) {
    int most = (1 << 24) / classes;
    most = most < 256 ? 256 : most;
    return rows < most ? rows : most;
}

static void some_rows(real *each, xl_view dx, real *dW, xl_view x, const real *W, int classes,
                      const int32_t *targets, const real *scale, real *scratch) {
    xl_view logits = xl_rows(scratch, x.rows, classes), none = {};
    xl_cuda_linear(logits, x, xl_real_matrix(W, classes, x.cols), NULL);
    xl_cuda_xent(each, dx.p ? logits : none, logits, targets, scale);
    if (!dx.p)
        return;
    xl_product p = {};
    p.m = classes, p.n = x.cols, p.k = x.rows, p.blocks = 1, p.add = 1;
    p.c = dW, p.c_row = x.cols;
    p.a = scratch, p.a_row = 1, p.a_k = classes;
    p.b = (const float *)x.p, p.b_col = 1, p.b_k = x.ld;
    p.counts = targets;
    xl_cuda_product(p);
    xl_cuda_linear_dx(dx, logits, W, 0);
}

static xl_view rows_from(xl_view v, int from, int count) {
    if (v.p)
        v.p = xl_row(v, from);
    v.rows = count;
    return v;
}

void xl_cuda_xent_linear(real *each, xl_view dx, real *dW, xl_view x, const real *W, int classes,
                         const int32_t *targets, const real *scale, real *scratch) {
    int most = rows_at_a_time(x.rows, classes);
    for (int n = 0; n < x.rows; n += most) {
        int rows = x.rows - n < most ? x.rows - n : most;
        some_rows(each ? each + n : NULL, rows_from(dx, n, rows), dW, rows_from(x, n, rows), W, classes,
                  targets + n, scale, scratch);
    }
}

uint64_t xl_cuda_xent_linear_scratch(int rows, int classes, int width) {
    (void)width;
    return (uint64_t)rows_at_a_time(rows, classes) * (uint64_t)classes;
}

static __global__ void mse_kernel(real *each, xl_view dy, xl_view y, xl_view target, const real *weight,
                                  const real *scale) {
    int n = blockIdx.x;
    float w = weight ? weight[n] : 1, sum = 0;
    real *d = dy.p ? xl_row(dy, n) : NULL;
    for (int c = threadIdx.x; c < y.cols; c += THREADS) {
        float error = w != 0 ? xl_row(y, n)[c] - xl_row(target, n)[c] : 0;
        sum += error * error;
        if (d)
            d[c] = w != 0 ? 2 * *scale * w * error : 0;
    }
    sum = block_sum(sum);
    if (each && threadIdx.x == 0)
        each[n] = w != 0 ? w * sum : 0;
}

void xl_cuda_mse(real *each, xl_view dy, xl_view y, xl_view target, const real *weight, const real *scale) {
    if (y.rows > 0)
        XL_LAUNCH(mse_kernel, y.rows, THREADS, 0, each, dy, y, target, weight, scale);
}

static __global__ void pinball_kernel(real *each, xl_view dy, xl_view y, xl_view target, const real *levels,
                                      const real *scale) {
    int n = blockIdx.x, P = target.cols;
    float loss = 0;
    for (int i = threadIdx.x; i < y.cols; i += THREADS) {
        float wanted = xl_row(target, n)[i % P], level = levels[i / P], slope = 0;
        if (wanted == wanted) {
            float e = wanted - xl_row(y, n)[i];
            slope = e < 0 ? level - 1 : e > 0 ? level : 0 * e; /* NaN stays NaN */
            loss += slope * e;
        }
        if (dy.p)
            xl_row(dy, n)[i] = wanted == wanted ? -*scale * slope : 0;
    }
    loss = block_sum(loss);
    if (each && threadIdx.x == 0)
        each[n] = loss;
}

void xl_cuda_pinball(real *each, xl_view dy, xl_view y, xl_view target, const real *levels, const real *scale) {
    if (y.rows > 0)
        XL_LAUNCH(pinball_kernel, y.rows, THREADS, 0, each, dy, y, target, levels, scale);
}
