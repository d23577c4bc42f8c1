/* attention.cu - causal softmax attention over a window, that over the streams of a group, and rotary
 * positions. A warp for each query and head
 * (in backward also for each key and head) goes over what it sees, token by token: lanes hold every 32nd
 * number of dh. No score is kept. Roofline: 4 dh FLOP for each pair over 67 TFLOP/s; five shuffles a pair
 * keep this kernel at a tenth of that. */
#include "ops/cuda/cuda.cuh"

void xl_cuda_rope(xl_view x, int H, int sign, xl_seq seq, xl_state state) {
    int dh = x.cols / H, half = dh / 2;
    xl_each(x.rows, half, [=] __device__(int n, int j) {
        int b = n / seq.T, t = n % seq.T;
        double first = state.in ? (double)*xl_state_in(state, b) : 0;
        double angle = sign * (first + t) * pow(10000.0, -2.0 * j / dh);
        float c = (float)cos(angle), s = (float)sin(angle);
        real *at = xl_row(x, n);
        if (t >= xl_length(seq, b))
            return;
        for (int h = 0; h < H; h++, at += dh) {
            float first_half = at[j], second = at[j + half];
            at[j] = first_half * c - second * s;
            at[j + half] = second * c + first_half * s;
        }
    });
    xl_cuda_clear_padding(x, 0, seq);
}

typedef struct {
    xl_attention d;
    xl_qkv in;
    xl_seq seq;
    xl_state state;
} problem;

/* One warp's query or key. */
typedef struct {
    int b, t, h, lane;
} place;

static __device__ place my_place(const problem &p) {
    int64_t n = blockIdx.x / p.d.H;
    return (place){(int)(n / p.seq.T), (int)(n % p.seq.T), (int)(blockIdx.x % p.d.H), (int)threadIdx.x};
}

static __device__ xl_ring ring_of(const problem &p, int b) {
    return p.state.in ? xl_ring_of(xl_state_in(p.state, b), p.d.window) : (xl_ring){0, 0};
}

/* The last reset of stream b after `least` and not after t, or `none`; 32 tokens at a time. */
static __device__ int last_reset(xl_seq seq, int b, int t, int least, int none, int lane) {
    for (int s = t; seq.resets && s > least && s >= 0; s -= XL_WARP) {
        unsigned found =
            __ballot_sync(~0u, s - lane >= 0 && s - lane > least && xl_is_reset(seq, b, s - lane));
        if (found)
            return s - (__ffs((int)found) - 1);
    }
    return none;
}

/* The first token that t sees. */
static __device__ int first_seen(const problem &p, int b, int t, int visible, int lane) {
    int from = t - p.d.window + 1, oldest = last_reset(p.seq, b, t, from - 1, -visible, lane);
    return from > oldest ? from : oldest;
}

/* Row of a token's keys (or values: `which` 1) of this call, or of those in the state. */
static __device__ const real *row_at(const problem &p, const xl_ring &ring, int b, int time, int which) {
    if (time >= 0)
        return xl_row(which ? p.in.v : p.in.k, xl_token(p.seq, b, time));
    ptrdiff_t row = (ptrdiff_t)((ring.count + time) % p.d.window) + (which ? p.d.window : 0);
    return xl_state_in(p.state, b) + 2 + row * p.d.H * p.d.dh;
}

static __device__ float dot(const real *a, const real *b, int n, int lane) {
    float sum = 0;
    for (int i = lane; i < n; i += XL_WARP)
        sum += a[i] * b[i];
    return xl_warp_sum(sum);
}

static __global__ void attend_kernel(xl_view y, real *lse, problem p) {
    extern __shared__ float sums[]; /* [dh], each lane its own */
    place w = my_place(p);
    int dh = p.d.dh, at = w.h * dh;
    ptrdiff_t n = xl_token(p.seq, w.b, w.t);
    real *to = xl_row(y, n) + at;
    if (w.t >= xl_length(p.seq, w.b)) {
        for (int i = w.lane; i < dh; i += XL_WARP)
            to[i] = 0;
        if (lse && w.lane == 0)
            lse[n * p.d.H + w.h] = 0;
        return;
    }
    xl_ring ring = ring_of(p, w.b);
    const real *q = xl_row(p.in.q, n) + at;
    float top = -INFINITY, total = 0, scale = sqrtf((float)dh);
    for (int i = w.lane; i < dh; i += XL_WARP)
        sums[i] = 0;
    for (int r = first_seen(p, w.b, w.t, ring.visible, w.lane); r <= w.t; r++) {
        float score = dot(q, row_at(p, ring, w.b, r, 0) + at, dh, w.lane) / scale;
        float shrink = score > top ? expf(top - score) : 1;
        top = score > top ? score : top;
        float weight = expf(score - (top > -INFINITY ? top : 0)); /* of -infinity alone all weights are 0 */
        total = total * shrink + weight;
        const real *v = row_at(p, ring, w.b, r, 1) + at;
        for (int i = w.lane; i < dh; i += XL_WARP)
            sums[i] = sums[i] * shrink + weight * v[i];
    }
    for (int i = w.lane; i < dh; i += XL_WARP)
        to[i] = sums[i] / total;
    if (lse && w.lane == 0)
        lse[n * p.d.H + w.h] = top + logf(total);
}

/* Rings after this call: a row is of the last token that came to it. A thread a number. */
static void keep_rings(const problem &p) {
    int D = p.d.H * p.d.dh, window = p.d.window;
    problem q = p;
    xl_each(p.seq.B * window, D, [=] __device__(int i, int c) {
        int b = i / window, row = i % window, length = xl_length(q.seq, b);
        const real *old = xl_state_in(q.state, b);
        real *kept = xl_state_out(q.state, b) + 2;
        int64_t count = ring_of(q, b).count;
        int64_t last = count + length - 1, position = last - ((last - row) % window + window) % window;
        ptrdiff_t at = (ptrdiff_t)row * D + c, values = (ptrdiff_t)window * D;
        if (length > 0 && position >= count) {
            ptrdiff_t n = xl_token(q.seq, b, (int)(position - count));
            kept[at] = xl_row(q.in.k, n)[c];
            kept[values + at] = xl_row(q.in.v, n)[c];
        } else if (old && old + 2 != kept) {
            kept[at] = old[2 + at];
            kept[values + at] = old[2 + values + at];
        }
    });
}

/* Their two counts, when all have read the old ones. */
static __global__ void counts_kernel(problem p) {
    int b = blockIdx.x, length = xl_length(p.seq, b);
    xl_ring ring = ring_of(p, b);
    int oldest = last_reset(p.seq, b, length - 1, -1, -ring.visible, threadIdx.x), visible = length - oldest;
    real *out = xl_state_out(p.state, b);
    __syncwarp();
    if (threadIdx.x)
        return;
    out[0] = (real)(ring.count + length);
    out[1] = (real)(visible < p.d.window ? visible : p.d.window);
}

void xl_cuda_attention(xl_view y, real *lse, xl_qkv in, xl_attention d, xl_seq seq, xl_state state,
                       real *scratch) {
    problem p = {d, in, seq, state};
    (void)scratch;
    if (y.rows == 0)
        return;
    XL_LAUNCH(attend_kernel, y.rows * d.H, XL_WARP, d.dh * sizeof(float), y, lse, p);
    if (!state.out)
        return;
    keep_rings(p);
    XL_LAUNCH(counts_kernel, seq.B, XL_WARP, 0, p);
}

uint64_t xl_cuda_attention_scratch(xl_attention d, xl_seq seq) {
    (void)d, (void)seq;
    return 0;
}

/* ---- backward ---- */

typedef struct {
    xl_view dy, y;
    const real *lse;
    xl_qkv din;
} gradients;

/* p and ds of query n and key r, in every lane; both rows of one head. */
static __device__ void pair(const problem &p, const gradients &g, ptrdiff_t n, ptrdiff_t r, int h, float mean,
                            int lane, float *weight, float *ds) {
    int dh = p.d.dh, at = h * dh;
    float scale = 1 / sqrtf((float)dh);
    *weight =
        expf(dot(xl_row(p.in.q, n) + at, xl_row(p.in.k, r) + at, dh, lane) * scale - g.lse[n * p.d.H + h]);
    *ds = *weight * (dot(xl_row(g.dy, n) + at, xl_row(p.in.v, r) + at, dh, lane) - mean) * scale;
}

static __global__ void dq_kernel(problem p, gradients g) {
    extern __shared__ float sums[];
    place w = my_place(p);
    int dh = p.d.dh, at = w.h * dh;
    ptrdiff_t n = xl_token(p.seq, w.b, w.t);
    for (int i = w.lane; i < dh; i += XL_WARP)
        sums[i] = 0;
    if (w.t < xl_length(p.seq, w.b)) {
        float mean = dot(xl_row(g.dy, n) + at, xl_row(g.y, n) + at, dh, w.lane), weight, ds;
        for (int r = first_seen(p, w.b, w.t, 0, w.lane); r <= w.t; r++) {
            pair(p, g, n, xl_token(p.seq, w.b, r), w.h, mean, w.lane, &weight, &ds);
            const real *k = xl_row(p.in.k, xl_token(p.seq, w.b, r)) + at;
            for (int i = w.lane; i < dh; i += XL_WARP)
                sums[i] += ds * k[i];
        }
    }
    for (int i = w.lane; i < dh; i += XL_WARP)
        (xl_row(g.din.q, n) + at)[i] = sums[i];
}

/* Key t gathers from the queries that see it: up to a window later, and before the next reset. */
static __global__ void dkv_kernel(problem p, gradients g) {
    extern __shared__ float sums[]; /* dk [dh], dv [dh] */
    place w = my_place(p);
    int dh = p.d.dh, at = w.h * dh, length = xl_length(p.seq, w.b);
    ptrdiff_t r = xl_token(p.seq, w.b, w.t);
    for (int i = w.lane; i < 2 * dh; i += XL_WARP)
        sums[i] = 0;
    __syncwarp();
    for (int t = w.t; t < length && t - w.t < p.d.window; t++) {
        if (t > w.t && xl_is_reset(p.seq, w.b, t))
            break;
        ptrdiff_t n = xl_token(p.seq, w.b, t);
        const real *dy = xl_row(g.dy, n) + at, *q = xl_row(p.in.q, n) + at;
        float mean = dot(dy, xl_row(g.y, n) + at, dh, w.lane), weight, ds;
        pair(p, g, n, r, w.h, mean, w.lane, &weight, &ds);
        for (int i = w.lane; i < dh; i += XL_WARP) {
            sums[i] += ds * q[i];
            sums[dh + i] += weight * dy[i];
        }
    }
    for (int i = w.lane; i < dh; i += XL_WARP) {
        (xl_row(g.din.k, r) + at)[i] = sums[i];
        (xl_row(g.din.v, r) + at)[i] = sums[dh + i];
    }
}

void xl_cuda_attention_bwd(xl_qkv din, xl_view dy, xl_view y, const real *lse, xl_qkv in, xl_attention d,
                           xl_seq seq, real *scratch) {
    problem p = {d, in, seq, {}};
    gradients g = {dy, y, lse, din};
    (void)scratch;
    if (y.rows == 0)
        return;
    XL_LAUNCH(dq_kernel, y.rows * d.H, XL_WARP, d.dh * sizeof(float), p, g);
    XL_LAUNCH(dkv_kernel, y.rows * d.H, XL_WARP, 2 * d.dh * sizeof(float), p, g);
}

/* ---- over the streams of a group, at each token by itself ---- */

/* One warp's member: number a of its group's, from stream first on. */
typedef struct {
    place at;
    const int32_t *members;
    int a, open, count;
} member;

static __device__ member my_member(const problem &p, const xl_groups &g) {
    int64_t n = blockIdx.x / p.d.H;
    int i = (int)(n / p.seq.T), group = 0;
    while (g.first[group + 1] <= i)
        group++;
    int first = g.first[group];
    place at = {g.members[i], (int)(n % p.seq.T), (int)(blockIdx.x % p.d.H), (int)threadIdx.x};
    return (member){at, g.members + first, i - first, g.open[group], g.first[group + 1] - first};
}

/* The row of a member at this warp's token, or -1: it has none. */
static __device__ ptrdiff_t row_of(const problem &p, const member &w, int a) {
    return w.at.t < xl_length(p.seq, w.members[a]) ? xl_token(p.seq, w.members[a], w.at.t) : -1;
}

/* Members that member a sees are the first ones. */
static __device__ int seen_by(const member &w, int a) {
    return a < w.open ? w.open : w.count;
}

static __global__ void group_kernel(xl_view y, real *lse, problem p, xl_groups g) {
    extern __shared__ float sums[]; /* [dh], each lane its own */
    member w = my_member(p, g);
    int dh = p.d.dh, at = w.at.h * dh, lane = w.at.lane, here = w.at.t < xl_length(p.seq, w.at.b);
    ptrdiff_t n = xl_token(p.seq, w.at.b, w.at.t);
    float top = -INFINITY, total = here ? 0 : 1, scale = sqrtf((float)dh);
    for (int i = lane; i < dh; i += XL_WARP)
        sums[i] = 0;
    for (int r = 0; here && r < seen_by(w, w.a); r++) {
        ptrdiff_t m = row_of(p, w, r);
        if (m < 0)
            continue;
        float score = dot(xl_row(p.in.q, n) + at, xl_row(p.in.k, m) + at, dh, lane) / scale;
        float shrink = score > top ? expf(top - score) : 1;
        top = score > top ? score : top;
        float weight = expf(score - (top > -INFINITY ? top : 0));
        total = total * shrink + weight;
        const real *v = xl_row(p.in.v, m) + at;
        for (int i = lane; i < dh; i += XL_WARP)
            sums[i] = sums[i] * shrink + weight * v[i];
    }
    for (int i = lane; i < dh; i += XL_WARP)
        (xl_row(y, n) + at)[i] = sums[i] / total;
    if (lse && lane == 0)
        lse[n * p.d.H + w.at.h] = here ? top + logf(total) : 0;
}

/* What a member is in the sums of others: as one who looks, and as one who is seen. */
static __global__ void group_bwd_kernel(problem p, gradients g, xl_groups groups) {
    extern __shared__ float sums[]; /* dq, dk, dv [dh] each */
    member w = my_member(p, groups);
    int dh = p.d.dh, h = w.at.h, at = h * dh, lane = w.at.lane, here = w.at.t < xl_length(p.seq, w.at.b);
    ptrdiff_t n = xl_token(p.seq, w.at.b, w.at.t);
    float weight, ds;
    for (int i = lane; i < 3 * dh; i += XL_WARP)
        sums[i] = 0;
    __syncwarp();
    for (int a = 0; here && a < w.count; a++) {
        ptrdiff_t m = row_of(p, w, a);
        if (m < 0)
            continue;
        if (a < seen_by(w, w.a)) {
            float mean = dot(xl_row(g.dy, n) + at, xl_row(g.y, n) + at, dh, lane);
            pair(p, g, n, m, h, mean, lane, &weight, &ds);
            for (int i = lane; i < dh; i += XL_WARP)
                sums[i] += ds * (xl_row(p.in.k, m) + at)[i];
        }
        if (w.a < seen_by(w, a)) {
            float mean = dot(xl_row(g.dy, m) + at, xl_row(g.y, m) + at, dh, lane);
            pair(p, g, m, n, h, mean, lane, &weight, &ds);
            for (int i = lane; i < dh; i += XL_WARP) {
                sums[dh + i] += ds * (xl_row(p.in.q, m) + at)[i];
                sums[2 * dh + i] += weight * (xl_row(g.dy, m) + at)[i];
            }
        }
    }
    for (int i = lane; i < dh; i += XL_WARP) {
        (xl_row(g.din.q, n) + at)[i] = sums[i];
        (xl_row(g.din.k, n) + at)[i] = sums[dh + i];
        (xl_row(g.din.v, n) + at)[i] = sums[2 * dh + i];
    }
}

void xl_cuda_group_attention(xl_view y, real *lse, xl_qkv in, int H, xl_seq seq, xl_groups g) {
    problem p = {{}, in, seq, {}};
    p.d.H = H, p.d.dh = y.cols / H;
    if (y.rows > 0)
        XL_LAUNCH(group_kernel, y.rows * H, XL_WARP, p.d.dh * sizeof(float), y, lse, p, g);
}

void xl_cuda_group_attention_bwd(xl_qkv din, xl_view dy, xl_view y, const real *lse, xl_qkv in, int H, xl_seq seq,
                                 xl_groups g) {
    problem p = {{}, in, seq, {}};
    gradients all = {dy, y, lse, din};
    p.d.H = H, p.d.dh = y.cols / H;
    if (y.rows > 0)
        XL_LAUNCH(group_bwd_kernel, y.rows * H, XL_WARP, 3 * p.d.dh * sizeof(float), p, all, g);
}
