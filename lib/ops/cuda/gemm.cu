/* gemm.cu - products with matrices of weights, in float32 (no TF32): linear, linear_dx, linear_dw, heads and
 * theirs.
 *
 * One kernel, of any strides: C [m, n] in tiles of 64 x 64, k in steps of 16 through shared memory, 256
 * threads with 4 x 4 sums each in registers. A number of C is summed over k in its order, in one chain: so
 * its bits depend on no other row or column. Roofline: 2 m n k over 67 TFLOP/s; a step loads 2 x 64 x 16
 * numbers for 64 x 64 x 16 products, 8 FLOP a byte of L2. */
#include "ops/cuda/cuda.cuh"

enum { TILE = 64, STEP = 16, SIDE = 16, EACH = TILE / SIDE, PAD = 4 };

static __device__ int counts(const xl_product &p, int k) {
    return k < p.k && !(p.counts && p.counts[k] < 0);
}

/* Neighbours in memory are loaded by neighbours in the warp, whichever way they lie. */
static __device__ void place_of(int i, int k_is_near, int *k, int *other) {
    *k = k_is_near ? i % STEP : i / TILE;
    *other = k_is_near ? i / STEP : i % TILE;
}

static __device__ void load(const xl_product &p, float (*A)[TILE + PAD], float (*B)[TILE + PAD], int j,
                            int row, int col, int k0) {
    for (int i = threadIdx.x; i < TILE * STEP; i += SIDE * SIDE) {
        int k, r, c;
        place_of(i, p.a_k == 1, &k, &r);
        A[k][r] = row + r < p.m && counts(p, k0 + k)
                      ? p.a[j * p.a_block + (row + r) * p.a_row + (k0 + k) * p.a_k]
                      : 0;
        place_of(i, !p.b || p.b_k == 1, &k, &c);
        if (col + c >= p.n || !counts(p, k0 + k))
            B[k][c] = 0;
        else if (p.b)
            B[k][c] = p.b[j * p.b_block + (col + c) * p.b_col + (k0 + k) * p.b_k];
        else
            B[k][c] = xl_number_at(p.W, (ptrdiff_t)j * p.w_rows + col + c, k0 + k);
    }
}

static __device__ void add_products(float (*sum)[EACH], float4 a, float4 b) {
    const float as[EACH] = {a.x, a.y, a.z, a.w}, bs[EACH] = {b.x, b.y, b.z, b.w};
#pragma unroll
    for (int r = 0; r < EACH; r++)
#pragma unroll
        for (int c = 0; c < EACH; c++)
            sum[r][c] = fmaf(as[r], bs[c], sum[r][c]);
}

static __global__ void __launch_bounds__(SIDE *SIDE) product_kernel(xl_product p) {
    __shared__ __align__(16) float A[STEP][TILE + PAD], B[STEP][TILE + PAD];
    int row = blockIdx.x * TILE, col = blockIdx.y * TILE, j = blockIdx.z;
    int r0 = threadIdx.x / SIDE * EACH, c0 = threadIdx.x % SIDE * EACH;
    float sum[EACH][EACH] = {};
    for (int k0 = 0; k0 < p.k; k0 += STEP) {
        load(p, A, B, j, row, col, k0);
        __syncthreads();
#pragma unroll
        for (int k = 0; k < STEP; k++)
            add_products(sum, *(const float4 *)&A[k][r0], *(const float4 *)&B[k][c0]);
        __syncthreads();
    }
    for (int r = 0; r < EACH; r++)
        for (int c = 0; c < EACH; c++)
            if (row + r0 + r < p.m && col + c0 + c < p.n) {
                float *at = p.c + j * p.c_block + (row + r0 + r) * p.c_row + col + c0 + c;
                float x = sum[r][c] + (p.bias ? p.bias[j * p.bias_block + col + c0 + c] : 0);
                *at = p.add ? *at + x : x;
            }
}

void xl_cuda_product(xl_product p) {
    if (p.m > 0 && p.n > 0 && p.blocks > 0)
        XL_LAUNCH(product_kernel, dim3(xl_ceil(p.m, TILE), xl_ceil(p.n, TILE), p.blocks), SIDE * SIDE, 0, p);
}

/* A linear layer is a block-diagonal one of one block. */
static xl_heads whole(int in, int out) {
    return (xl_heads){1, in, out, out};
}

void xl_cuda_heads(xl_view y, xl_view x, xl_matrix W, const real *b, xl_heads s) {
    xl_product p = {};
    p.m = x.rows, p.n = s.out, p.k = s.in, p.blocks = s.n;
    p.c = (float *)y.p, p.c_row = y.ld, p.c_block = s.ystep;
    p.a = (const float *)x.p, p.a_row = x.ld, p.a_k = 1, p.a_block = s.in;
    p.W = W, p.w_rows = s.out;
    p.bias = b, p.bias_block = s.out;
    xl_cuda_product(p);
}

void xl_cuda_heads_dx(xl_view dx, xl_view dy, const real *W, xl_heads s, int add) {
    xl_product p = {};
    p.m = dx.rows, p.n = s.in, p.k = s.out, p.blocks = s.n, p.add = add;
    p.c = (float *)dx.p, p.c_row = dx.ld, p.c_block = s.in;
    p.a = (const float *)dy.p, p.a_row = dy.ld, p.a_k = 1, p.a_block = s.ystep;
    p.b = W, p.b_col = 1, p.b_k = s.in, p.b_block = (ptrdiff_t)s.in * s.out;
    xl_cuda_product(p);
}

void xl_cuda_heads_dw(real *dW, real *db, xl_view x, xl_view dy, xl_heads s) {
    xl_product p = {};
    p.m = s.out, p.n = s.in, p.k = x.rows, p.blocks = s.n, p.add = 1;
    p.c = dW, p.c_row = s.in, p.c_block = (ptrdiff_t)s.in * s.out;
    p.a = (const float *)dy.p, p.a_row = 1, p.a_k = dy.ld, p.a_block = s.ystep;
    p.b = (const float *)x.p, p.b_col = 1, p.b_k = x.ld, p.b_block = s.in;
    xl_cuda_product(p);
    if (db)
        xl_columns(
            dy.rows, s.n * s.out,
            [=] __device__(int n, int c) { return xl_row(dy, n)[c / s.out * s.ystep + c % s.out]; },
            [=] __device__(int c, float sum) { db[c] += sum; });
}

void xl_cuda_linear(xl_view y, xl_view x, xl_matrix W, const real *b) {
    xl_cuda_heads(y, x, W, b, whole(x.cols, y.cols));
}

void xl_cuda_linear_dx(xl_view dx, xl_view dy, const real *W, int add) {
    xl_cuda_heads_dx(dx, dy, W, whole(dx.cols, dy.cols), add);
}

void xl_cuda_linear_dw(real *dW, real *db, xl_view x, xl_view dy) {
    xl_cuda_heads_dw(dW, db, x, dy, whole(x.cols, dy.cols));
}

uint64_t xl_cuda_linear_room(void) {
    return 0; /* rooms are of the host's threads */
}
