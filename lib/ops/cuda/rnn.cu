/* rnn.cu - the cells that see their own output: sLSTM and LSTM. A block for each head and four streams walks
 * through time: h in shared memory, R from L2 (a warp for each of 4 dh rows, used for four streams), two
 * barriers a token.
 *
 * Roofline: 8 dh^2 FLOP a token and head; this kernel reads R once a token, 16 dh^2 bytes at the 60 GB/s or
 * so of one multiprocessor, and 2 to 4 us of barriers and latency where R is small. The one that keeps R in
 * registers and a cluster's shared memory takes its place. */
#include "ops/cuda/cuda.cuh"

enum { I_GATE, F_GATE, Z_GATE, O_GATE, SLOTS, STREAMS = 4, THREADS = 512, WARPS = THREADS / XL_WARP };

typedef struct {
    xl_view h, gates;
    real *tape;
    xl_matrix R;
    const real *bias;
    xl_rnn d;
    xl_seq seq;
    xl_state state;
} problem;

static __device__ float clamped(float x, float bound) { /* NaN stays NaN */
    return x > bound ? bound : x < -bound ? -bound : x;
}

/* One unit: x its four pre-activations, replaced by what backward needs; s = {h, c, n, m}. */
static __device__ float slstm_unit(float x[SLOTS], float s[4]) {
    float logf_ = xl_log_sigmoid(x[F_GATE]) + s[3], slope = xl_sigmoid(-x[F_GATE]);
    float m = s[2] == 0 ? x[I_GATE] : fmaxf(x[I_GATE], logf_);
    float i = expf(x[I_GATE] - m), f = s[2] == 0 ? 0 : expf(logf_ - m), z = tanhf(x[Z_GATE]),
          o = xl_sigmoid(x[O_GATE]);
    s[1] = f * s[1] + i * z;
    s[2] = f * s[2] + i;
    s[3] = m;
    s[0] = o * s[1] / s[2];
    x[I_GATE] = i, x[F_GATE] = f, x[Z_GATE] = z, x[O_GATE] = o;
    return slope;
}

static __device__ float lstm_unit(float x[SLOTS], float s[4]) {
    float i = xl_sigmoid(x[I_GATE]), f = xl_sigmoid(x[F_GATE]), z = tanhf(x[Z_GATE]),
          o = xl_sigmoid(x[O_GATE]);
    s[1] = f * s[1] + i * z;
    s[2] = tanhf(s[1]); /* (no state of its own: what the tape has in this place) */
    s[0] = o * s[2];
    x[I_GATE] = i, x[F_GATE] = f, x[Z_GATE] = z, x[O_GATE] = o;
    return 0;
}

static __device__ int states_of(const xl_rnn &d) {
    return d.lstm ? 2 : 4;
}

/* Rows of R times h of all the block's streams: sums [STREAMS, 4 dh]. */
static __device__ void recurrent_product(const problem &p, float *sums, const float *h, int head) {
    int dh = p.d.dh, lane = threadIdx.x % XL_WARP;
    for (int r = threadIdx.x / XL_WARP; r < SLOTS * dh; r += WARPS) {
        float sum[STREAMS] = {};
        for (int c = lane; c < dh; c += XL_WARP) {
            float w = xl_number_at(p.R, (ptrdiff_t)head * SLOTS * dh + r, c);
            for (int s = 0; s < STREAMS; s++)
                sum[s] += w * h[s * dh + c];
        }
        for (int s = 0; s < STREAMS; s++) {
            float all = xl_warp_sum(sum[s]);
            if (lane == 0)
                sums[s * SLOTS * dh + r] = all;
        }
    }
}

static __device__ void unit(const problem &p, float *state, const float *sums, int b, int t, int head,
                            int e) {
    int dh = p.d.dh, D = p.d.H * dh, j = head * dh + e;
    ptrdiff_t n = xl_token(p.seq, b, t);
    real *g = xl_row(p.gates, n) + (ptrdiff_t)head * SLOTS * dh + e;
    float x[SLOTS], s[4] = {};
    for (int slot = 0; slot < SLOTS; slot++)
        x[slot] = g[slot * dh] + sums[slot * dh + e] + (p.bias ? p.bias[slot * D + j] : 0);
    for (int k = 0; k < states_of(p.d); k++)
        s[k] = state[k * dh];
    float first = p.d.lstm ? lstm_unit(x, s) : slstm_unit(x, s);
    s[0] = clamped(s[0], xl_rnn_bound(p.d.clip));
    for (int k = 0; k < states_of(p.d); k++)
        state[k * dh] = s[k];
    for (int slot = 0; slot < SLOTS; slot++)
        g[slot * dh] = x[slot];
    xl_row(p.h, n)[j] = s[0];
    if (p.tape) {
        real *tape = p.tape + n * 3 * D + j;
        tape[0] = first, tape[D] = s[1], tape[2 * D] = s[2];
    }
}

/* Shared: h [STREAMS, dh] for products, sums [STREAMS, 4 dh], states [STREAMS, 4, dh]. */
static __global__ void __launch_bounds__(THREADS) rnn_kernel(problem p) {
    extern __shared__ float shared[];
    int dh = p.d.dh, D = p.d.H * dh, head = blockIdx.x, first = blockIdx.y * STREAMS, last = 0;
    float *h = shared, *sums = h + STREAMS * dh, *states = sums + STREAMS * SLOTS * dh;
    for (int i = threadIdx.x; i < STREAMS * 4 * dh; i += THREADS) {
        int b = first + i / (4 * dh), k = i / dh % 4;
        const real *in = b < p.seq.B ? xl_state_in(p.state, b) : NULL;
        states[i] = in && k < states_of(p.d) ? in[k * D + head * dh + i % dh] : 0;
    }
    for (int b = first; b < first + STREAMS && b < p.seq.B; b++)
        last = xl_length(p.seq, b) > last ? xl_length(p.seq, b) : last;
    __syncthreads();
    for (int t = 0; t < last; t++) {
        for (int i = threadIdx.x; i < STREAMS * dh; i += THREADS) {
            int b = first + i / dh;
            float *state = states + i / dh * 4 * dh + i % dh;
            if (b < p.seq.B && t < xl_length(p.seq, b) && xl_is_reset(p.seq, b, t))
                for (int k = 0; k < 4; k++)
                    state[k * dh] = 0;
            h[i] = *state;
        }
        __syncthreads();
        recurrent_product(p, sums, h, head);
        __syncthreads();
        for (int i = threadIdx.x; i < STREAMS * dh; i += THREADS) {
            int s = i / dh, b = first + s;
            if (b < p.seq.B && t < xl_length(p.seq, b))
                unit(p, states + s * 4 * dh + i % dh, sums + s * SLOTS * dh, b, t, head, i % dh);
        }
        /* a thread looks after the same units in all loops over them: no third barrier */
    }
    __syncthreads();
    for (int i = threadIdx.x; p.state.out && i < STREAMS * 4 * dh; i += THREADS) {
        int b = first + i / (4 * dh), k = i / dh % 4;
        if (b < p.seq.B && k < states_of(p.d))
            xl_state_out(p.state, b)[k * D + head * dh + i % dh] = states[i];
    }
}

void xl_cuda_rnn(xl_view h, xl_view gates, real *tape, xl_matrix R, const real *bias, xl_rnn d, xl_seq seq,
                 xl_state state, real *scratch) {
    problem p = {h, gates, tape, R, bias, d, seq, state};
    (void)scratch;
    if (seq.B > 0)
        XL_LAUNCH(rnn_kernel, dim3(d.H, xl_ceil(seq.B, STREAMS)), THREADS, STREAMS * 9 * d.dh * sizeof(float),
                  p);
    xl_cuda_clear_padding(h, 0, seq);
}

/* ---- backward ---- */

typedef struct {
    xl_view dgates, dh, h;
    const real *tape, *R;
    xl_rnn d;
    xl_seq seq;
    xl_state state;
} backward;

/* Where unit j finds number k of the state before a token (h: 0, c, n), or NULL: it is zero. */
static __device__ const real *before(const backward &p, int b, int t, int k, int j) {
    int D = p.d.H * p.d.dh;
    if (xl_is_reset(p.seq, b, t))
        return NULL;
    if (t == 0)
        return p.state.in && k < states_of(p.d) ? xl_state_in(p.state, b) + k * D + j : NULL;
    ptrdiff_t n = xl_token(p.seq, b, t) - 1;
    return k ? p.tape + n * 3 * D + k * D + j : xl_row(p.h, n) + j;
}

static __device__ float old(const backward &p, int b, int t, int k, int j) {
    const real *at = before(p, b, t, k, j);
    return at ? *at : 0;
}

/* One unit's gradients of its pre-activations, to dg [4, dh] and in place of the gates. carried: {dh, dc,
 * dn}. */
static __device__ void unit_bwd(const backward &p, float *dg, float *carried, int b, int t, int head, int e) {
    int dh = p.d.dh, D = p.d.H * dh, j = head * dh + e;
    ptrdiff_t n = xl_token(p.seq, b, t);
    real *g = xl_row(p.dgates, n) + (ptrdiff_t)head * SLOTS * dh + e;
    const real *tape = p.tape + n * 3 * D + j;
    float i = g[0], f = g[F_GATE * dh], z = g[Z_GATE * dh], o = g[O_GATE * dh], di, df, dz, d_o;
    float d = xl_row(p.dh, n)[j] + clamped(carried[0], xl_rnn_bound(p.d.clip_bwd)), dc = carried[dh],
          dn = carried[2 * dh];
    float c_old = old(p, b, t, 1, j);
    if (p.d.lstm) {
        float th = tape[2 * D];
        dc += d * o * (1 - th * th);
        di = dc * z * i * (1 - i);
        df = dc * c_old * f * (1 - f);
        dz = dc * i * (1 - z * z);
        d_o = d * th * o * (1 - o);
    } else {
        float h = xl_row(p.h, n)[j], slope = tape[0], norm = tape[2 * D], n_old = old(p, b, t, 2, j);
        dc += d * o / norm;
        dn -= d * h / norm;
        di = (dc * z + dn) * i;
        df = (dc * c_old + dn * n_old) * f * slope;
        dz = dc * i * (1 - z * z);
        d_o = d * h * (1 - o);
    }
    int ends = xl_is_reset(p.seq, b, t); /* the state before had no part in this one */
    carried[dh] = ends ? 0 : dc * f;
    carried[2 * dh] = ends ? 0 : dn * f;
    dg[0] = g[0] = di;
    dg[F_GATE * dh] = g[F_GATE * dh] = df;
    dg[Z_GATE * dh] = g[Z_GATE * dh] = dz;
    dg[O_GATE * dh] = g[O_GATE * dh] = d_o;
}

/* Column e of R, a fourth of its rows: of all streams. */
static __device__ void dh_part(const backward &p, float *part, const float *dg, int head, int slot, int e) {
    int dh = p.d.dh;
    const real *R = p.R + ((ptrdiff_t)head * SLOTS + slot) * dh * dh + e;
    float sum[STREAMS] = {};
    for (int r = 0; r < dh; r++) {
        float w = R[(ptrdiff_t)r * dh];
        for (int s = 0; s < STREAMS; s++)
            sum[s] += w * dg[(s * SLOTS + slot) * dh + r];
    }
    for (int s = 0; s < STREAMS; s++)
        part[(s * SLOTS + slot) * dh + e] = sum[s];
}

/* Shared: dg [STREAMS, 4, dh], part [STREAMS, 4, dh], carried [STREAMS, 3, dh]. */
static __global__ void __launch_bounds__(THREADS) rnn_bwd_kernel(backward p) {
    extern __shared__ float shared[];
    int dh = p.d.dh, head = blockIdx.x, first = blockIdx.y * STREAMS, last = 0;
    float *dg = shared, *part = dg + STREAMS * SLOTS * dh, *carried = part + STREAMS * SLOTS * dh;
    for (int i = threadIdx.x; i < STREAMS * (2 * SLOTS + 3) * dh; i += THREADS)
        shared[i] = 0;
    for (int b = first; b < first + STREAMS && b < p.seq.B; b++)
        last = xl_length(p.seq, b) > last ? xl_length(p.seq, b) : last;
    __syncthreads();
    for (int t = last - 1; t >= 0; t--) {
        for (int i = threadIdx.x; i < STREAMS * dh; i += THREADS) {
            int s = i / dh, b = first + s;
            if (b < p.seq.B && t < xl_length(p.seq, b))
                unit_bwd(p, dg + s * SLOTS * dh + i % dh, carried + s * 3 * dh + i % dh, b, t, head, i % dh);
        }
        __syncthreads();
        for (int i = threadIdx.x; !p.d.cut && i < SLOTS * dh; i += THREADS)
            dh_part(p, part, dg, head, i / dh, i % dh);
        __syncthreads();
        for (int i = threadIdx.x; !p.d.cut && i < STREAMS * dh; i += THREADS) {
            int s = i / dh, b = first + s;
            const float *x = part + s * SLOTS * dh + i % dh;
            int goes_on = b < p.seq.B && t < xl_length(p.seq, b) && !xl_is_reset(p.seq, b, t);
            carried[s * 3 * dh + i % dh] = goes_on ? x[0] + x[dh] + x[2 * dh] + x[3 * dh] : 0;
        }
    }
}

/* Scratch: h before each token, zero where there is none [N, D]; whether there is one [N]. */
static void gather_before(const backward &p, real *h_old, int32_t *counts) {
    backward q = p;
    xl_each(p.h.rows, p.d.H * p.d.dh, [=] __device__(int n, int j) {
        int b = n / q.seq.T, t = n % q.seq.T, D = q.d.H * q.d.dh;
        const real *at = t < xl_length(q.seq, b) ? before(q, b, t, 0, j) : NULL;
        h_old[(ptrdiff_t)n * D + j] = at ? *at : 0;
        if (j == 0)
            counts[n] = at ? 0 : -1;
    });
}

void xl_cuda_rnn_bwd(xl_view gates, real *dR, real *dbias, xl_view dh, xl_view h, const real *tape,
                     const real *R, xl_rnn d, xl_seq seq, xl_state state, real *scratch) {
    backward p = {gates, dh, h, tape, R, d, seq, state};
    int width = d.dh, D = d.H * width, B = seq.B;
    if (B == 0)
        return;
    XL_LAUNCH(rnn_bwd_kernel, dim3(d.H, xl_ceil(B, STREAMS)), THREADS, STREAMS * 11 * width * sizeof(float),
              p);
    xl_cuda_clear_padding(gates, 0, seq);
    int32_t *counts = (int32_t *)(scratch + (ptrdiff_t)h.rows * D);
    gather_before(p, scratch, counts);
    xl_product w = {};
    w.m = SLOTS * width, w.n = width, w.k = h.rows, w.blocks = d.H, w.add = 1;
    w.c = dR, w.c_row = width, w.c_block = (ptrdiff_t)SLOTS * width * width;
    w.a = (const float *)gates.p, w.a_row = 1, w.a_k = gates.ld, w.a_block = SLOTS * width;
    w.b = scratch, w.b_col = 1, w.b_k = D, w.b_block = width;
    w.counts = counts;
    xl_cuda_product(w);
    if (dbias)
        xl_columns(
            gates.rows, SLOTS * D, [=] __device__(int n, int c) { return xl_row(gates, n)[c]; },
            [=] __device__(int c, float sum) {
                int head = c / (SLOTS * width), slot = c / width % SLOTS;
                dbias[slot * D + head * width + c % width] += sum;
            });
}

uint64_t xl_cuda_rnn_scratch(xl_rnn d, xl_seq seq) {
    return (uint64_t)seq.B * (uint64_t)seq.T * ((uint64_t)d.H * (uint64_t)d.dh + 1);
}
