/* move.cu - what moves numbers and adds them up. All bound by memory: 4 bytes in and out a number, over 4.3
 * TB/s. */
#include "ops/cuda/cuda.cuh"

void xl_cuda_add(xl_view y, xl_view x) {
    xl_each(y.rows, y.cols, [=] __device__(int n, int c) { xl_row(y, n)[c] += xl_row(x, n)[c]; });
}

void xl_cuda_copy(xl_view y, xl_view x) {
    xl_each(y.rows, y.cols, [=] __device__(int n, int c) { xl_row(y, n)[c] = xl_row(x, n)[c]; });
}

void xl_cuda_fill(real *p, size_t count, real value) {
    xl_each_at(count, [=] __device__(size_t i) { p[i] = value; });
}

void xl_cuda_clear_padding(xl_view v, int from, xl_seq seq) {
    if (seq.lengths)
        xl_each(v.rows, v.cols, [=] __device__(int n, int c) {
            if ((from + n) % seq.T >= seq.lengths[(from + n) / seq.T])
                xl_row(v, n)[c] = 0;
        });
}

void xl_cuda_dropout(xl_view y, xl_view x, real p, const uint64_t *seed, uint64_t site) {
    real scale = 1 / (1 - p);
    xl_each(y.rows, y.cols, [=] __device__(int n, int c) {
        uint64_t hash = xl_hash(xl_hash(*seed, site), (uint64_t)n * (uint64_t)y.cols + (uint64_t)c);
        int stays = (double)(hash >> 11) * 0x1p-53 >= (double)p;
        xl_row(y, n)[c] = stays ? xl_row(x, n)[c] * scale : 0;
    });
}

void xl_cuda_embed(xl_view y, const int32_t *tokens, xl_matrix E) {
    xl_each(y.rows, y.cols, [=] __device__(int n, int c) {
        if (tokens[n] >= 0)
            xl_row(y, n)[c] = xl_number_at(E, tokens[n], c);
    });
}

/* A block for each row, which goes on if its token has none before: then it adds up all rows of the token, in
 * order. Looking for them is N^2 / 2 comparisons in the cache. */
static __global__ void embed_dw_kernel(real *dE, xl_view dy, const int32_t *tokens) {
    int n = blockIdx.x, token = tokens[n], seen = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x)
        seen |= tokens[i] == token;
    if (__syncthreads_or(seen) || token < 0)
        return;
    for (int c = threadIdx.x; c < dy.cols; c += blockDim.x) {
        float sum = dE[(ptrdiff_t)token * dy.cols + c];
        for (int i = n; i < dy.rows; i++)
            if (tokens[i] == token)
                sum += xl_row(dy, i)[c];
        dE[(ptrdiff_t)token * dy.cols + c] = sum;
    }
}

void xl_cuda_embed_dw(real *dE, xl_view dy, const int32_t *tokens) {
    if (dy.rows > 0)
        XL_LAUNCH(embed_dw_kernel, dy.rows, 128, 0, dE, dy, tokens);
}

/* ---- sums over all: a block for each piece, and one thread that adds the pieces in order ---- */

enum { SUMMING = 256 };

static __device__ double block_sum(double x) { /* thread 0 has it */
    __shared__ double part[SUMMING / XL_WARP];
    x = xl_warp_sum(x);
    if (threadIdx.x % XL_WARP == 0)
        part[threadIdx.x / XL_WARP] = x;
    __syncthreads();
    for (int i = 1; threadIdx.x == 0 && i < SUMMING / XL_WARP; i++)
        x += part[i];
    return x;
}

static __global__ void pieces_kernel(double *pieces, const real *x, size_t count, int squares) {
    size_t from = (size_t)blockIdx.x * XL_SUM_PIECE,
           to = count - from < XL_SUM_PIECE ? count : from + XL_SUM_PIECE;
    double sum = 0;
    for (size_t i = from + threadIdx.x; i < to; i += SUMMING)
        sum += (double)x[i] * (squares ? (double)x[i] : 1);
    sum = block_sum(sum);
    if (threadIdx.x == 0)
        pieces[blockIdx.x] = sum;
}

static __global__ void total_kernel(double *sum, const double *pieces, int count) {
    double total = 0;
    for (int i = 0; i < count; i++)
        total += pieces[i];
    *sum = total;
}

static void sum_pieces(double *sum, const real *x, size_t count, int squares) {
    double *pieces = xl_cuda_here()->room;
    int n = (int)((count + XL_SUM_PIECE - 1) / XL_SUM_PIECE);
    if (n > 0)
        XL_LAUNCH(pieces_kernel, n, SUMMING, 0, pieces, x, count, squares);
    XL_LAUNCH(total_kernel, 1, 1, 0, sum, pieces, n);
}

void xl_cuda_sum(double *sum, const real *x, size_t count) {
    sum_pieces(sum, x, count, 0);
}

void xl_cuda_sumsq(double *sum, const real *x, size_t count) {
    sum_pieces(sum, x, count, 1);
}
