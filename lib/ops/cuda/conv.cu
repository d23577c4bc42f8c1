/* conv.cu - the causal depthwise convolution with SiLU: a thread a number, which looks K - 1 tokens back
 * itself. Bound by memory: x and y once (taps of K inputs from L1), over 4.3 TB/s. Backward computes a
 * pre-activation K times in place of keeping it. */
#include "ops/cuda/cuda.cuh"

typedef struct {
    xl_view x;
    const real *w, *b;
    int K;
    xl_seq seq;
    xl_state state;
} conv;

/* Inputs of stream b before this time count as zero for token t. */
static __device__ int oldest_of(const conv &v, int b, int t) {
    for (int s = t; s >= 0 && s > t - (v.K - 1); s--)
        if (xl_is_reset(v.seq, b, s))
            return s;
    return v.state.in ? 1 - v.K : 0;
}

/* The input of one time, which is not before the oldest. */
static __device__ float input_at(const conv &v, int b, int time, int c) {
    return time < 0 ? xl_state_in(v.state, b)[(v.K - 1 + time) * (ptrdiff_t)v.x.cols + c]
                    : xl_row(v.x, xl_token(v.seq, b, time))[c];
}

static __device__ float preactivation(const conv &v, int b, int t, int c) {
    int first = t - (v.K - 1), oldest = oldest_of(v, b, t);
    float p = v.b[c];
    for (int k = 0; k < v.K; k++)
        if (first + k >= oldest)
            p += v.w[(ptrdiff_t)c * v.K + k] * input_at(v, b, first + k, c);
    return p;
}

static __device__ int is_padding(xl_seq seq, int n) {
    return n % seq.T >= xl_length(seq, n / seq.T);
}

void xl_cuda_conv(xl_view y, xl_view x, const real *w, const real *b, int K, xl_seq seq, xl_state state) {
    conv v = {x, w, b, K, seq, state};
    xl_each(y.rows, y.cols, [=] __device__(int n, int c) {
        xl_row(y, n)[c] = is_padding(seq, n) ? 0 : xl_silu(preactivation(v, n / seq.T, n % seq.T, c));
    });
    if (state.out && K > 1) /* going forwards never reads what was written where past and out are one */
        xl_each(seq.B, x.cols, [=] __device__(int s, int c) {
            int length = xl_length(seq, s), first = length - (K - 1);
            int oldest = length > 0 ? oldest_of(v, s, length - 1) : state.in ? 1 - K : 0;
            for (int r = 0; r < K - 1; r++)
                xl_state_out(state, s)[(ptrdiff_t)r * x.cols + c] =
                    first + r >= oldest ? input_at(v, s, first + r, c) : 0;
        });
}

static __device__ float dp_of(const conv &v, const xl_view &dy, int b, int t, int c) {
    return xl_row(dy, xl_token(v.seq, b, t))[c] * xl_silu_slope(preactivation(v, b, t, c));
}

/* What the tokens that see input t give back to it. */
static __device__ float dx_of(const conv &v, const xl_view &dy, int b, int t, int c) {
    float sum = 0;
    for (int s = t; s < t + v.K && s < xl_length(v.seq, b); s++) {
        if (s > t && xl_is_reset(v.seq, b, s))
            break;
        sum += dp_of(v, dy, b, s, c) * v.w[(ptrdiff_t)c * v.K + v.K - 1 - (s - t)];
    }
    return sum;
}

void xl_cuda_conv_bwd(xl_view dx, real *dw, real *db, xl_view dy, xl_view x, const real *w, const real *b,
                      int K, xl_seq seq, xl_state state, int add) {
    conv v = {x, w, b, K, seq, state};
    xl_columns(
        x.rows, x.cols,
        [=] __device__(int n, int c) {
            return is_padding(seq, n) ? 0 : dp_of(v, dy, n / seq.T, n % seq.T, c);
        },
        [=] __device__(int c, float sum) { db[c] += sum; });
    for (int k = 0; k < K; k++)
        xl_columns(
            x.rows, x.cols,
            [=] __device__(int n, int c) {
                int s = n / seq.T, t = n % seq.T, time = t - (K - 1) + k;
                if (is_padding(seq, n) || time < oldest_of(v, s, t))
                    return 0.0f;
                return dp_of(v, dy, s, t, c) * input_at(v, s, time, c);
            },
            [=] __device__(int c, float sum) { dw[(ptrdiff_t)c * K + k] += sum; });
    xl_each(dx.rows, dx.cols, [=] __device__(int n, int c) {
        float sum = is_padding(seq, n) ? 0 : dx_of(v, dy, n / seq.T, n % seq.T, c);
        xl_row(dx, n)[c] = add ? xl_row(dx, n)[c] + sum : sum;
    });
}
