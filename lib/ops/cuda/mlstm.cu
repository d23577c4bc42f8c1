/* mlstm.cu - the mLSTM. Forward walks token by token: a block for each stream, head and 32 columns of values
 * keeps its slice of C [dk, 32] in shared memory for all tokens, with two barriers a token; every slice
 * computes the normaliser itself. Backward goes chunk by chunk from the end, a block for each stream and
 * head, whose 256 threads share each stage's numbers.
 *
 * Roofline: 4 dk dv FLOP a token and head forward; this kernel takes 1 to 2 us a token (barriers, and dk / 8
 * steps over its slice), whatever dv is. The chunkwise one takes its place. */
#include "ops/cuda/cuda.cuh"

enum { TILE = 32, GROUPS = 8, THREADS = TILE * GROUPS };

typedef struct {
    xl_view h;
    xl_mlstm_tape tape;
    xl_qkv in;
    xl_gates gates;
    xl_mlstm d;
    xl_seq seq;
    xl_state state;
    real *scratch;
    real start; /* the stabiliser before a new sequence */
} problem;

static __device__ float log_forget(const problem &p, ptrdiff_t n, int j) {
    return xl_mlstm_clamp(xl_log_sigmoid(xl_row(p.gates.f, n)[j]));
}

static __device__ float input_gate(const problem &p, ptrdiff_t n, int j) {
    return xl_mlstm_clamp(xl_row(p.gates.i, n)[j]);
}

static __device__ ptrdiff_t size_of(const xl_mlstm &d) {
    return (ptrdiff_t)d.dk * d.dv + d.dk + 1;
}

static __device__ real *border_of(const problem &p, int b, int j, int start) {
    int chunks = (p.seq.T + p.d.L - 1) / p.d.L;
    return p.tape.borders + ((ptrdiff_t)(b * p.d.H + j) * chunks + start / p.d.L) * size_of(p.d);
}

static __device__ float
block_sum(float x, float *part) { /* [GROUPS]; every thread has it, behind a barrier of its own */
    x = xl_warp_sum(x);
    if (threadIdx.x % XL_WARP == 0)
        part[threadIdx.x / XL_WARP] = x;
    __syncthreads();
    float sum = 0;
    for (int i = 0; i < THREADS / XL_WARP; i++)
        sum += part[i];
    return sum;
}

/* ---- forward ---- */

/* A block's slice of the state: columns `first` to first + 31 of C, and all of n and m. */
typedef struct {
    float *C, *n, *q, *k, *parts, *dens; /* [dk, 32] [dk] [dk] [dk] [GROUPS, 32] [GROUPS] */
    float m;
    int first, e,
        group; /* this thread's column in the slice, and which of the rows a = group, group + 8, ... */
} slice;

static __device__ slice lay_out(const problem &p, float *shared) {
    int dk = p.d.dk;
    slice s;
    s.C = shared;
    s.n = s.C + dk * TILE;
    s.q = s.n + dk;
    s.k = s.q + dk;
    s.parts = s.k + dk;
    s.dens = s.parts + THREADS;
    s.first = blockIdx.y * TILE;
    s.e = threadIdx.x % TILE;
    s.group = threadIdx.x / TILE;
    return s;
}

static size_t shared_of(xl_mlstm d) {
    return ((size_t)d.dk * (TILE + 3) + THREADS + GROUPS) * sizeof(float);
}

static __device__ void clear_slice(const problem &p, slice *s) {
    for (int i = threadIdx.x; i < p.d.dk * TILE; i += THREADS)
        s->C[i] = 0;
    for (int a = threadIdx.x; a < p.d.dk; a += THREADS)
        s->n[a] = 0;
    s->m = p.start;
    __syncthreads();
}

/* n and m lie in scratch, for another slice may have written those of the state already. */
static __device__ void load_slice(const problem &p, slice *s, int b, int j) {
    const real *C = xl_state_in(p.state, b) + j * size_of(p.d);
    const real *n = p.scratch + (ptrdiff_t)blockIdx.x * (p.d.dk + 1);
    for (int i = threadIdx.x; i < p.d.dk * TILE; i += THREADS)
        s->C[i] = s->first + i % TILE < p.d.dv ? C[i / TILE * (ptrdiff_t)p.d.dv + s->first + i % TILE] : 0;
    for (int a = threadIdx.x; a < p.d.dk; a += THREADS)
        s->n[a] = n[a];
    s->m = n[p.d.dk];
    __syncthreads();
}

static __device__ void store_slice(const problem &p, const slice *s, real *to) {
    __syncthreads();
    for (int i = threadIdx.x; i < p.d.dk * TILE; i += THREADS)
        if (s->first + i % TILE < p.d.dv)
            to[i / TILE * (ptrdiff_t)p.d.dv + s->first + i % TILE] = s->C[i];
    for (int a = threadIdx.x; s->first == 0 && a < p.d.dk; a += THREADS)
        to[(ptrdiff_t)p.d.dk * p.d.dv + a] = s->n[a];
    if (s->first == 0 && threadIdx.x == 0)
        to[(ptrdiff_t)p.d.dk * p.d.dv + p.d.dk] = s->m;
}

static __device__ void step(const problem &p, slice *s, ptrdiff_t n, int j) {
    int dk = p.d.dk, here = s->first + s->e < p.d.dv;
    for (int a = threadIdx.x; a < dk; a += THREADS) {
        s->q[a] = (xl_row(p.in.q, n) + j * dk)[a];
        s->k[a] = (xl_row(p.in.k, n) + j * dk)[a];
    }
    float i = input_gate(p, n, j), logf_ = log_forget(p, n, j),
          v = here ? xl_row(p.in.v, n)[j * p.d.dv + s->first + s->e] : 0;
    float m = fmaxf(logf_ + s->m, i), keep = expf(logf_ + s->m - m), take = expf(i - m) / sqrtf((float)dk),
          h = 0, den = 0;
    s->m = m;
    __syncthreads();
    for (int a = threadIdx.x; a < dk; a += THREADS) {
        s->n[a] = keep * s->n[a] + take * s->k[a];
        den += s->q[a] * s->n[a];
    }
    for (int a = s->group; a < dk; a += GROUPS) {
        float C = keep * s->C[a * TILE + s->e] + take * s->k[a] * v;
        s->C[a * TILE + s->e] = C;
        h += s->q[a] * C;
    }
    s->parts[threadIdx.x] = h;
    den = block_sum(den, s->dens); /* (with the barrier) */
    float bound = fmaxf(fabsf(den), expf(-m)) + p.d.eps;
    if (s->group == 0) {
        for (int g = 1; g < GROUPS; g++)
            h += s->parts[g * TILE + s->e];
        if (here)
            xl_row(p.h, n)[j * p.d.dv + s->first + s->e] = h / bound;
    }
    if (p.tape.m && s->first == 0 && threadIdx.x == 0) {
        p.tape.m[n * p.d.H + j] = m;
        p.tape.den[n * p.d.H + j] = den;
    }
}

static __global__ void __launch_bounds__(THREADS) mlstm_kernel(problem p) {
    extern __shared__ float shared[];
    int b = blockIdx.x / p.d.H, j = blockIdx.x % p.d.H, start = 0, end = 0, fresh = 0;
    slice s = lay_out(p, shared);
    if (p.state.in)
        load_slice(p, &s, b, j);
    else
        clear_slice(p, &s);
    while (xl_next_piece(p.seq, b, p.d.L, &start, &end, &fresh)) {
        __syncthreads();
        if (fresh)
            clear_slice(p, &s);
        if (p.tape.borders && start % p.d.L == 0)
            store_slice(p, &s, border_of(p, b, j, start));
        for (int t = start; t < end; t++)
            step(p, &s, xl_token(p.seq, b, t), j);
    }
    if (p.state.out)
        store_slice(p, &s, xl_state_out(p.state, b) + j * size_of(p.d));
}

static void copy_norms(const problem &p) {
    problem q = p;
    xl_each(p.seq.B * p.d.H, p.d.dk + 1, [=] __device__(int i, int a) {
        q.scratch[(ptrdiff_t)i * (q.d.dk + 1) + a] =
            xl_state_in(q.state, i / q.d.H)[i % q.d.H * size_of(q.d) + (ptrdiff_t)q.d.dk * q.d.dv + a];
    });
}

void xl_cuda_mlstm(xl_view h, xl_mlstm_tape tape, xl_qkv in, xl_gates gates, xl_mlstm d, xl_seq seq,
                   xl_state state, real *scratch) {
    problem p = {h, tape, in, gates, d, seq, state, scratch, xl_mlstm_start(d, state)};
    if (seq.B == 0)
        return;
    if (state.in)
        copy_norms(p);
    XL_LAUNCH(mlstm_kernel, dim3(seq.B * d.H, xl_ceil(d.dv, TILE)), THREADS, shared_of(d), p);
    xl_cuda_clear_padding(h, 0, seq);
    if (tape.m) {
        xl_cuda_clear_padding(xl_rows(tape.m, h.rows, d.H), 0, seq);
        xl_cuda_clear_padding(xl_rows(tape.den, h.rows, d.H), 0, seq);
    }
}

/* ---- backward (the formulas are the reference's) ---- */

typedef struct {
    xl_qkv din;
    xl_gates dgates;
    xl_view dh;
} gradients;

/* One chunk: L tokens from row n0 on. in, out: the states at its borders or NULL; G, next: [dk, dv + 1] the
 * gradients of the state that leaves and of the one that came in. */
typedef struct {
    int b, j, L, has_G;
    ptrdiff_t n0;
    const real *in, *out;
    double *sums;                               /* [L] of log f */
    float *G, *next, *g, *direct, *along, *qdq; /* along, qdq [L]: kap . dkap and q . dq */
    float *du, *dkap, *S, *dS;                  /* [L, dv] [L, dk] [L, L] [L, L] */
} chunk;

static __host__ __device__ uint64_t chunk_room(xl_mlstm d, xl_seq seq) {
    uint64_t L = (uint64_t)(d.L < seq.T ? d.L : seq.T), dk = (uint64_t)d.dk, dv = (uint64_t)d.dv;
    return (2 * L + 2 * dk * (dv + 1) + L * (4 + dv + dk + 2 * L) + 15) / 16 * 16;
}

static __device__ chunk open_room(const problem &p) {
    int L = p.d.L < p.seq.T ? p.d.L : p.seq.T, dk = p.d.dk, dv = p.d.dv;
    chunk c = {};
    c.b = blockIdx.x / p.d.H;
    c.j = blockIdx.x % p.d.H;
    c.sums = (double *)(p.scratch + blockIdx.x * chunk_room(p.d, p.seq));
    c.G = (float *)(c.sums + L);
    c.next = c.G + dk * (ptrdiff_t)(dv + 1);
    c.g = c.next + dk * (ptrdiff_t)(dv + 1);
    c.direct = c.g + L;
    c.along = c.direct + L;
    c.qdq = c.along + L;
    c.du = c.qdq + L;
    c.dkap = c.du + (ptrdiff_t)L * dv;
    c.S = c.dkap + (ptrdiff_t)L * dk;
    c.dS = c.S + (ptrdiff_t)L * L;
    return c;
}

static __device__ float warp_dot(const real *a, const real *b, int n) {
    float sum = 0;
    for (int i = threadIdx.x % XL_WARP; i < n; i += XL_WARP)
        sum += a[i] * b[i];
    return xl_warp_sum(sum);
}

static __device__ float dot(const real *a, const real *b, int n) {
    float sum = 0;
    for (int i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static __device__ const real *q_of(const problem &p, const chunk &c, int t) {
    return xl_row(p.in.q, c.n0 + t) + c.j * p.d.dk;
}
static __device__ const real *k_of(const problem &p, const chunk &c, int t) {
    return xl_row(p.in.k, c.n0 + t) + c.j * p.d.dk;
}
static __device__ const real *v_of(const problem &p, const chunk &c, int t) {
    return xl_row(p.in.v, c.n0 + t) + c.j * p.d.dv;
}
static __device__ float m_of(const problem &p, const chunk &c, int t) {
    return p.tape.m[(c.n0 + t) * p.d.H + c.j];
}

/* Through the division, a warp for each token. */
static __device__ void gradients_of_sums(const problem &p, const gradients &d, const chunk &c) {
    int dv = p.d.dv, lane = threadIdx.x % XL_WARP;
    for (int t = threadIdx.x / XL_WARP; t < c.L; t += THREADS / XL_WARP) {
        ptrdiff_t n = c.n0 + t;
        const real *dh = xl_row(d.dh, n) + c.j * dv;
        float den = p.tape.den[n * p.d.H + c.j], size = fabsf(den), bound = expf(-m_of(p, c, t));
        float N = fmaxf(size, bound) + p.d.eps;
        for (int e = lane; e < dv; e += XL_WARP)
            c.du[(ptrdiff_t)t * dv + e] = dh[e] / N;
        float dN = -warp_dot(dh, xl_row(p.h, n) + c.j * dv, dv) / N;
        if (lane)
            continue;
        c.direct[t] = dN * p.d.eps;
        c.g[t] = size > bound ? (den > 0 ? dN : -dN) : 0;
    }
    for (int t = 0; threadIdx.x == 0 && t < c.L; t++)
        c.sums[t] = (t ? c.sums[t - 1] : 0) + log_forget(p, c.n0 + t, c.j);
}

/* S and dS of all pairs s <= t, a thread for each. */
static __device__ void pairs(const problem &p, const chunk &c) {
    float scale = 1 / sqrtf((float)p.d.dk);
    for (int i = threadIdx.x; i < c.L * c.L; i += THREADS) {
        int t = i / c.L, s = i % c.L;
        if (s > t)
            continue;
        float w = expf((float)(c.sums[t] - c.sums[s] + input_gate(p, c.n0 + s, c.j) - m_of(p, c, t)));
        c.dS[i] = w * (dot(c.du + (ptrdiff_t)t * p.d.dv, v_of(p, c, s), p.d.dv) + c.g[t]);
        c.S[i] = w * scale * dot(q_of(p, c, t), k_of(p, c, s), p.d.dk);
    }
}

/* Weight of the state that came in at token t, and of token s in the state that leaves. */
static __device__ float weight_in(const problem &p, const chunk &c, int t) {
    return expf((float)(c.sums[t] + c.in[size_of(p.d) - 1] - m_of(p, c, t)));
}
static __device__ float weight_out(const problem &p, const chunk &c, int s) {
    return expf(
        (float)(c.sums[c.L - 1] - c.sums[s] + input_gate(p, c.n0 + s, c.j) - c.out[size_of(p.d) - 1]));
}

static __device__ void dq_numbers(const problem &p, const gradients &d, const chunk &c) {
    int dk = p.d.dk, dv = p.d.dv;
    float scale = 1 / sqrtf((float)dk);
    for (int i = threadIdx.x; i < c.L * dk; i += THREADS) {
        int t = i / dk, a = i % dk;
        float sum = 0;
        for (int s = 0; s <= t; s++)
            sum += c.dS[t * c.L + s] * scale * k_of(p, c, s)[a];
        if (c.in)
            sum += weight_in(p, c, t) * (dot(c.in + (ptrdiff_t)a * dv, c.du + (ptrdiff_t)t * dv, dv) +
                                         c.in[(ptrdiff_t)dk * dv + a] * c.g[t]);
        (xl_row(d.din.q, c.n0 + t) + c.j * dk)[a] = sum;
    }
}

static __device__ void dkap_numbers(const problem &p, const chunk &c) {
    int dk = p.d.dk, dv = p.d.dv;
    for (int i = threadIdx.x; i < c.L * dk; i += THREADS) {
        int s = i / dk, a = i % dk;
        const float *G = c.G + (ptrdiff_t)a * (dv + 1);
        float sum = 0;
        for (int t = s; t < c.L; t++)
            sum += c.dS[t * c.L + s] * q_of(p, c, t)[a];
        if (c.has_G)
            sum += weight_out(p, c, s) * (dot(G, v_of(p, c, s), dv) + G[dv]);
        c.dkap[i] = sum;
    }
}

static __device__ void dv_numbers(const problem &p, const gradients &d, const chunk &c) {
    int dk = p.d.dk, dv = p.d.dv;
    float scale = 1 / sqrtf((float)dk);
    for (int i = threadIdx.x; i < c.L * dv; i += THREADS) {
        int s = i / dv, e = i % dv;
        float sum = 0, out = 0;
        for (int t = s; t < c.L; t++)
            sum += c.S[t * c.L + s] * c.du[(ptrdiff_t)t * dv + e];
        for (int a = 0; c.has_G && a < dk; a++)
            out += k_of(p, c, s)[a] * c.G[(ptrdiff_t)a * (dv + 1) + e];
        if (c.has_G)
            sum += weight_out(p, c, s) * scale * out;
        (xl_row(d.din.v, c.n0 + s) + c.j * dv)[e] = sum;
    }
}

/* The gradient of the state that came in; nobody asks where none did. */
static __device__ void next_numbers(const problem &p, const chunk &c) {
    int dk = p.d.dk, dv = p.d.dv;
    float decay =
        c.has_G ? expf((float)(c.sums[c.L - 1] + c.in[size_of(p.d) - 1] - c.out[size_of(p.d) - 1])) : 0;
    for (ptrdiff_t i = threadIdx.x; i < dk * (ptrdiff_t)(dv + 1); i += THREADS) {
        int a = (int)(i / (dv + 1)), e = (int)(i % (dv + 1));
        float sum = 0;
        for (int t = 0; t < c.L; t++)
            sum += weight_in(p, c, t) * q_of(p, c, t)[a] * (e < dv ? c.du[(ptrdiff_t)t * dv + e] : c.g[t]);
        c.next[i] = c.has_G ? sum + decay * c.G[i] : sum;
    }
}

/* sum G . C_out: what belongs to the sum of all log f, which is in the exponent of every term that leaves. */
static __device__ float gradient_at_end(const problem &p, const chunk &c, float *part) {
    int dk = p.d.dk, dv = p.d.dv;
    float sum = 0;
    for (ptrdiff_t i = threadIdx.x; c.has_G && i < dk * (ptrdiff_t)(dv + 1); i += THREADS) {
        ptrdiff_t a = i / (dv + 1), e = i % (dv + 1);
        sum += c.G[i] * (e < dv ? c.out[a * dv + e] : c.out[(ptrdiff_t)dk * dv + a]);
    }
    return block_sum(sum, part);
}

static __device__ void dk_numbers(const problem &p, const gradients &d, const chunk &c) {
    int dk = p.d.dk;
    float scale = 1 / sqrtf((float)dk);
    for (int t = threadIdx.x / XL_WARP; t < c.L; t += THREADS / XL_WARP) {
        const float *dkap = c.dkap + (ptrdiff_t)t * dk;
        float along = scale * warp_dot(k_of(p, c, t), dkap, dk);
        float qdq = warp_dot(q_of(p, c, t), xl_row(d.din.q, c.n0 + t) + c.j * dk, dk);
        for (int a = threadIdx.x % XL_WARP; a < dk; a += XL_WARP)
            (xl_row(d.din.k, c.n0 + t) + c.j * dk)[a] = scale * dkap[a];
        if (threadIdx.x % XL_WARP == 0)
            c.along[t] = along, c.qdq[t] = qdq;
    }
}

/* Back through the weights, token by token: one thread. Returns dm before the chunk. */
static __device__ float gates(const problem &p, const gradients &d, const chunk &c, float end, float dm) {
    float dlogf = end;
    for (int t = c.L - 1; t >= 0; t--) {
        ptrdiff_t n = c.n0 + t;
        float from_m = 0, m_before = t > 0 ? m_of(p, c, t - 1) : c.in ? c.in[size_of(p.d) - 1] : p.start;
        dlogf += c.qdq[t] - c.along[t];
        dm += c.direct[t];
        if (log_forget(p, n, c.j) + m_before >= input_gate(p, n, c.j)) { /* m came from the token before */
            from_m = dm;
            xl_row(d.dgates.i, n)[c.j] = c.along[t];
        } else {
            xl_row(d.dgates.i, n)[c.j] = c.along[t] + dm;
            dm = 0;
        }
        xl_row(d.dgates.f, n)[c.j] = (dlogf + from_m) * xl_sigmoid(-xl_row(p.gates.f, n)[c.j]);
    }
    return dm;
}

static __global__ void __launch_bounds__(THREADS) mlstm_bwd_kernel(problem p, gradients d) {
    __shared__ float part[THREADS / XL_WARP];
    chunk c = open_room(p);
    int start, fresh;
    float dm = 0;
    for (int end = xl_length(p.seq, c.b); end > 0; end = start) {
        start = xl_piece_start(p.seq, c.b, p.d.L, end, &fresh);
        c.n0 = xl_token(p.seq, c.b, start);
        c.L = end - start;
        c.in = fresh || start % p.d.L ? NULL : border_of(p, c.b, c.j, start);
        c.out = c.has_G ? border_of(p, c.b, c.j, end) : NULL;
        gradients_of_sums(p, d, c);
        __syncthreads();
        pairs(p, c);
        __syncthreads();
        dq_numbers(p, d, c);
        dkap_numbers(p, c);
        dv_numbers(p, d, c);
        if (c.in)
            next_numbers(p, c);
        float at_end = gradient_at_end(p, c, part);
        __syncthreads();
        dk_numbers(p, d, c);
        __syncthreads();
        if (threadIdx.x == 0)
            dm = gates(p, d, c, at_end, dm);
        float *G = c.G; /* what came into this chunk left the one before */
        c.G = c.next;
        c.next = G;
        c.has_G = !fresh;
        dm = fresh ? 0 : dm;
        __syncthreads();
    }
}

void xl_cuda_mlstm_bwd(xl_qkv din, xl_gates dgates, xl_view dh, xl_view h, xl_mlstm_tape tape, xl_qkv in,
                       xl_gates gates, xl_mlstm d, xl_seq seq, xl_state state, real *scratch) {
    problem p = {h, tape, in, gates, d, seq, state, scratch, xl_mlstm_start(d, state)};
    gradients g = {din, dgates, dh};
    const xl_view out[] = {din.q, din.k, din.v, dgates.i, dgates.f};
    for (int i = 0; i < 5; i++)
        xl_cuda_clear_padding(out[i], 0, seq);
    if (seq.B > 0)
        XL_LAUNCH(mlstm_bwd_kernel, seq.B * d.H, THREADS, 0, p, g);
}

/* n and m of all states forward, the arrays of a chunk for every block backward. */
uint64_t xl_cuda_mlstm_scratch(xl_mlstm d, xl_seq seq) {
    uint64_t norms = (uint64_t)d.dk + 1, room = chunk_room(d, seq);
    return (uint64_t)seq.B * (uint64_t)d.H * (norms > room ? norms : room);
}
