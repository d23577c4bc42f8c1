/* mLSTM chunk by chunk: one task per (stream, head), everything inside a chunk is a product of small
 * matrices. The formulas are those of the reference (ops/ref/mlstm.c); h and its gradient differ from it by
 * rounding only. */
#include "ops/cpu/cpu.h"
#include "ops/cpu/vec.h"

typedef struct {
    xl_view h, q, k, v, i, f; /* forward's tensors */
    float *m, *den, *borders;
    xl_view dq, dk, dv, di, df, dh; /* backward's */
    xl_mlstm d;
    xl_seq seq;
    xl_state state;
    float *scratch;
    size_t per_thread, size, chunks; /* scratch of one thread; one head's state; borders in a stream */
    float m0;
} run;

/* One chunk of one head: pointers at its first token. */
typedef struct {
    int L, dk, dv;
    size_t n0, gate; /* row of the first token; index of its m and den */
    float *q, *k, *v, *h;
    double *b, *bi;   /* [L] cumulative log f; i - b. Strong forgetting makes both large and only their
                         differences matter, which float would round to a share of the large number */
    double *g;        /* [L] gradient of the normaliser */
    float *of_m;      /* [L] gradient of the stabiliser */
    float *W, *S, *P; /* [L, L] */
    float *x, *y;     /* [L, max(dk, dv)] */
    float *G, *next;  /* [dk, dv + 1] gradients of the state: C first, then n */
} chunk;

static float gate_of(xl_view v, size_t n, int head) {
    return v.p[n * v.ld + (size_t)head];
}

static float dot(const float *a, const float *b, int n) {
    float s = 0;
#pragma omp simd reduction(+ : s)
    for (int i = 0; i < n; i++)
        s += a[i] * b[i];
    return s;
}

static void axpy(float *y, float a, const float *x, int n) {
    for (int i = 0; i < n; i++)
        y[i] += a * x[i];
}

static void scaled_row(float *y, float a, const float *x, int n) {
    for (int i = 0; i < n; i++)
        y[i] = a * x[i];
}

static chunk carve(const run *r, int thread) {
    size_t L = (size_t)(r->d.L < r->seq.T ? r->d.L : r->seq.T), dk = (size_t)r->d.dk, dv = (size_t)r->d.dv;
    float *p = r->scratch + (size_t)thread * r->per_thread;
    chunk c = {.dk = r->d.dk, .dv = r->d.dv};
    c.b = (double *)(void *)p, p += 2 * L;
    c.bi = c.b + L, p += 2 * L;
    c.g = c.bi + L, p += 2 * L;
    c.of_m = p, p += L;
    c.W = p, p += L * L;
    c.S = p, p += L * L;
    c.P = p, p += L * L;
    c.x = p, p += L * (dk > dv ? dk : dv);
    c.y = p, p += L * (dk > dv ? dk : dv);
    c.G = p, p += dk * (dv + 1);
    c.next = p;
    return c;
}

static void open_chunk(const run *r, chunk *c, int b, int head, int start, int end) {
    c->L = end - start;
    c->n0 = (size_t)b * (size_t)r->seq.T + (size_t)start;
    c->gate = c->n0 * (size_t)r->d.H + (size_t)head;
    c->q = r->q.p + c->n0 * r->q.ld + (size_t)(head * c->dk);
    c->k = r->k.p + c->n0 * r->k.ld + (size_t)(head * c->dk);
    c->v = r->v.p + c->n0 * r->v.ld + (size_t)(head * c->dv);
    c->h = r->h.p + c->n0 * r->h.ld + (size_t)(head * c->dv);
    double sum = 0;
    for (int t = 0; t < c->L; t++) {
        sum += (double)xl_mlstm_held(vec_log_sigmoid(gate_of(r->f, c->n0 + (size_t)t, head)));
        c->b[t] = sum;
        c->bi[t] = (double)xl_mlstm_held(gate_of(r->i, c->n0 + (size_t)t, head)) - sum;
    }
}

/* W_ts = exp(b_t - b_s + i_s - m_t) for s <= t, 0 above the diagonal; S = W * (q k~'). */
static void weights_and_scores(const run *r, chunk *c, const float *m, size_t m_step) {
    int L = c->L;
    xl_gemm(0, 1, L, L, c->dk, 1 / sqrtf((float)c->dk), c->q, r->q.ld, c->k, r->k.ld, 0, c->S, (size_t)L);
    for (int t = 0; t < L; t++) {
        float *W = c->W + t * L, *S = c->S + t * L;
        double top = c->b[t] - (double)m[(size_t)t * m_step];
        for (int s = 0; s <= t; s++) {
            W[s] = vec_exp((float)(top + c->bi[s]));
            S[s] *= W[s];
        }
        for (int s = t + 1; s < L; s++)
            W[s] = S[s] = 0;
    }
}

/* The state after the chunk from the state before, S = {C, n, m}. */
static void advance_state(const run *r, chunk *c, float *S, float m_out) {
    float *n = S + (size_t)c->dk * (size_t)c->dv, *m = n + c->dk;
    double last = c->b[c->L - 1] - (double)m_out;
    float decay = vec_exp((float)(last + (double)*m)), scale = 1 / sqrtf((float)c->dk);
    for (int a = 0; a < c->dk; a++)
        n[a] *= decay;
    for (int s = 0; s < c->L; s++) {
        float *kw = c->x + s * c->dk;
        scaled_row(kw, scale * vec_exp((float)(last + c->bi[s])), c->k + (size_t)s * r->k.ld, c->dk);
        axpy(n, 1, kw, c->dk);
    }
    xl_gemm(1, 0, c->dk, c->dv, c->L, 1, c->x, (size_t)c->dk, c->v, r->v.ld, decay, S, (size_t)c->dv);
    *m = m_out;
}

/* As far as the first numbers that are not, some at a time. */
static int is_zero(const float *x, size_t n) {
    enum { SOME = 256 };
    int other = 0;
    for (size_t from = 0; from < n && !other; from += SOME)
#pragma omp simd reduction(| : other)
        for (size_t i = from; i < (n - from < SOME ? n : from + SOME); i++)
            other |= x[i] != 0;
    return !other;
}

/* What the state before the chunk adds to the sums. */
static void forward_incoming(const run *r, chunk *c, const float *S, const float *m, float *den) {
    int dk = c->dk, dv = c->dv;
    const float *n = S + (size_t)dk * (size_t)dv;
    for (int t = 0; t < c->L; t++) {
        float a = vec_exp((float)(c->b[t] + (double)n[dk] - (double)m[t]));
        scaled_row(c->y + t * dk, a, c->q + (size_t)t * r->q.ld, dk);
        den[t] += dot(c->y + (size_t)t * (size_t)dk, n, dk);
    }
    xl_gemm(0, 0, c->L, dv, dk, 1, c->y, (size_t)dk, S, (size_t)dv, 1, c->h, r->h.ld);
}

/* `go_on`: the state after the chunk will be read. */
static void forward_chunk(const run *r, chunk *c, float *S, int go_on) {
    int L = c->L, dv = c->dv;
    float *m = c->P, *den = c->P + L;        /* P is free in the forward pass */
    double largest = (double)S[r->size - 1]; /* of i_s - b_s so far, and of what came in */
    for (int t = 0; t < L; t++) {
        largest = c->bi[t] > largest ? c->bi[t] : largest;
        m[t] = (float)(c->b[t] + largest);
    }
    weights_and_scores(r, c, m, 1);
    for (int t = 0; t < L; t++) {
        den[t] = 0;
        for (int s = 0; s <= t; s++)
            den[t] += c->S[t * L + s];
    }
    xl_gemm(0, 0, L, dv, L, 1, c->S, (size_t)L, c->v, r->v.ld, 0, c->h, r->h.ld);
    if (!is_zero(S, r->size - 1)) /* most sequences begin so, many are one chunk */
        forward_incoming(r, c, S, m, den);
    for (int t = 0; t < L; t++) {
        float bound = vec_exp(-m[t]), size = fabsf(den[t]), N = (size > bound ? size : bound) + r->d.eps;
        float *h = c->h + (size_t)t * r->h.ld;
        for (int e = 0; e < dv; e++)
            h[e] /= N;
        if (r->m) {
            r->m[c->gate + (size_t)(t * r->d.H)] = m[t];
            r->den[c->gate + (size_t)(t * r->d.H)] = den[t];
        }
    }
    if (go_on)
        advance_state(r, c, S, m[L - 1]);
}

/* A chunk of one token, as in generation: the state is read and written once. */
static void forward_token(const run *r, chunk *c, float *S) {
    int dk = c->dk, dv = c->dv;
    float *n = S + (size_t)dk * (size_t)dv, *h = c->h, den = 0;
    double m_in = (double)n[dk], largest = m_in > c->bi[0] ? m_in : c->bi[0];
    float m = (float)(c->b[0] + largest), decay = vec_exp((float)(c->b[0] + m_in - (double)m));
    float in = vec_exp((float)(c->b[0] + c->bi[0] - (double)m)) / sqrtf((float)dk);
    memset(h, 0, (size_t)dv * sizeof *h);
    for (int a = 0; a < dk; a++) {
        float *C = S + (size_t)a * (size_t)dv, k = in * c->k[a], q = c->q[a];
        const float *v = c->v;
        n[a] = decay * n[a] + k;
        den += q * n[a];
#pragma omp simd
        for (int e = 0; e < dv; e++) {
            C[e] = decay * C[e] + k * v[e];
            h[e] += q * C[e];
        }
    }
    float bound = vec_exp(-m), size = fabsf(den), N = (size > bound ? size : bound) + r->d.eps;
    scaled_row(h, 1 / N, h, dv);
    n[dk] = m;
    if (r->m) {
        r->m[c->gate] = m;
        r->den[c->gate] = den;
    }
}

static void clear_padding(xl_view v, const run *r, int b, int head, int width) {
    for (int t = r->seq.lengths ? r->seq.lengths[b] : r->seq.T; t < r->seq.T; t++) {
        float *p = v.p + ((size_t)b * (size_t)r->seq.T + (size_t)t) * v.ld + (size_t)(head * width);
        for (int e = 0; e < width; e++)
            p[e] = 0;
    }
}

static float *border(const run *r, int b, int head, int start) {
    return r->borders + ((size_t)(b * r->d.H + head) * r->chunks + (size_t)(start / r->d.L)) * r->size;
}

static void forward_head(void *context, int index, int thread) {
    const run *r = context;
    int b = index / r->d.H, head = index % r->d.H, start = 0, end = 0, fresh = 0;
    int length = r->seq.lengths ? r->seq.lengths[b] : r->seq.T;
    chunk c = carve(r, thread);
    size_t at = (size_t)b * r->state.stride + (size_t)head * r->size;
    float *S = c.G;   /* as large as C and n; m follows */
    if (r->state.out) /* long states are worked on where they lie */
        S = r->state.out + at;
    if (r->state.in && r->state.in != r->state.out)
        memcpy(S, r->state.in + at, r->size * sizeof *S);
    if (!r->state.in) {
        memset(S, 0, r->size * sizeof *S);
        S[r->size - 1] = r->m0;
    }
    while (xl_next_piece(r->seq, b, r->d.L, &start, &end, &fresh)) {
        if (fresh) {
            memset(S, 0, r->size * sizeof *S);
            S[r->size - 1] = r->m0;
        }
        if (r->borders && start % r->d.L == 0)
            memcpy(border(r, b, head, start), S, r->size * sizeof *S);
        open_chunk(r, &c, b, head, start, end);
        if (c.L == 1)
            forward_token(r, &c, S);
        else
            forward_chunk(r, &c, S, r->state.out || end < length);
    }
    clear_padding(r->h, r, b, head, r->d.dv);
    for (int t = end; t < r->seq.T && r->m; t++) {
        size_t gate = ((size_t)b * (size_t)r->seq.T + (size_t)t) * (size_t)r->d.H + (size_t)head;
        r->m[gate] = r->den[gate] = 0;
    }
}

static run make_run(xl_mlstm d, xl_seq seq, xl_state state, float *scratch) {
    return (run){.d = d,
                 .seq = seq,
                 .state = state,
                 .scratch = scratch,
                 .per_thread = xl_mlstm_scratch(d, seq) / (size_t)xl_threads(),
                 .size = xl_mlstm_state(d),
                 .chunks = (size_t)((seq.T + d.L - 1) / d.L),
                 .m0 = xl_mlstm_start(d, state)};
}

static void mlstm(xl_view h, float *m, float *den, float *borders, xl_view q, xl_view k, xl_view v, xl_view i,
                  xl_view f, xl_mlstm d, xl_seq seq, xl_state state, float *scratch) {
    run r = make_run(d, seq, state, scratch);
    r.h = h, r.q = q, r.k = k, r.v = v, r.i = i, r.f = f;
    r.m = m, r.den = den, r.borders = borders;
    xl_parallel(seq.B * d.H, forward_head, &r);
}

/* ---- backward
 * -------------------------------------------------------------------------------------------------- */

/* What the state before the chunk weighs at token t. */
static float weight_of_past(const run *r, const chunk *c, int t, float m_in) {
    return vec_exp((float)(c->b[t] + (double)m_in - (double)r->m[c->gate + (size_t)(t * r->d.H)]));
}

/* The gradient of the sums u, du = dh / N, into y; its products with the values into P, with C into dq. */
static void gradients_of_sums(const run *r, chunk *c, int head, const float *S, float *dq) {
    int L = c->L, K = c->dk, V = c->dv;
    for (int t = 0; t < L; t++) {
        size_t gate = c->gate + (size_t)(t * r->d.H);
        float bound = vec_exp(-r->m[gate]), size = fabsf(r->den[gate]);
        float N = (size > bound ? size : bound) + r->d.eps;
        scaled_row(c->y + t * V, 1 / N, r->dh.p + (c->n0 + (size_t)t) * r->dh.ld + (size_t)(head * V), V);
    }
    xl_gemm(0, 1, L, L, V, 1, c->y, (size_t)V, c->v, r->v.ld, 0, c->P, (size_t)L);
    if (!S)
        return;
    xl_gemm(0, 1, L, K, V, 1, c->y, (size_t)V, S, (size_t)V, 0, dq, r->dq.ld);
    for (int t = 0; t < L; t++)
        scaled_row(dq + (size_t)t * r->dq.ld, weight_of_past(r, c, t, S[r->size - 1]),
                   dq + (size_t)t * r->dq.ld, K);
}

/* sums[0] += a . n, sums[1] += a . d */
static void two_dots(double sums[2], const float *a, const float *n, const float *d, int count) {
    double x = 0, y = 0;
#pragma omp simd reduction(+ : x, y)
    for (int i = 0; i < count; i++) {
        x += (double)a[i] * (double)n[i];
        y += (double)a[i] * (double)d[i];
    }
    sums[0] += x;
    sums[1] += y;
}

/* g [L], the gradient of den, and of_m [L], of the stabiliser through eps. g is minus what u's gradient along
 * u itself is, so the two cancel: where a token sees hardly more than itself, all but some eps. Therefore g
 * is summed from the very numbers that it will meet, in double, and not taken from h. */
static void gradients_of_normalisers(const run *r, chunk *c, const float *S, const float *dq) {
    for (int t = 0; t < c->L; t++) {
        size_t gate = c->gate + (size_t)(t * r->d.H);
        const float *P = c->P + t * c->L, *scores = c->S + t * c->L, *q = c->q + (size_t)t * r->q.ld;
        double den = 0, along = 0, past[2] = {0, 0}, bound = (double)vec_exp(-r->m[gate]);
#pragma omp simd reduction(+ : den, along)
        for (int s = 0; s <= t; s++) {
            den += (double)scores[s];
            along += (double)scores[s] * (double)P[s];
        }
        if (S) {
            two_dots(past, q, S + (size_t)c->dk * (size_t)c->dv, dq + (size_t)t * r->dq.ld, c->dk);
            den += (double)weight_of_past(r, c, t, S[r->size - 1]) * past[0];
            along += past[1];
        }
        double size = fabs(den), N = (size > bound ? size : bound) + (double)r->d.eps;
        c->of_m[t] = (float)(-along / N * (double)r->d.eps);
        c->g[t] = fabsf(r->den[gate]) > (float)bound ? (den > 0 ? -along / N : along / N) : 0;
    }
}

/* Pairs inside the chunk: dk, dv are written; to dq, where `add`, what came through the state is there
 * already. */
static void backward_pairs(const run *r, chunk *c, float *dq, float *dk, float *dv, int add) {
    int L = c->L;
    float scale = 1 / sqrtf((float)c->dk);
    for (int t = 0; t < L; t++)
        for (int s = 0; s < L; s++)
            c->P[t * L + s] = c->W[t * L + s] * (float)((double)c->P[t * L + s] + c->g[t]) * scale;
    xl_gemm(0, 0, L, c->dk, L, 1, c->P, (size_t)L, c->k, r->k.ld, add ? 1 : 0, dq, r->dq.ld);
    xl_gemm(1, 0, L, c->dk, L, 1, c->P, (size_t)L, c->q, r->q.ld, 0, dk, r->dk.ld);
    xl_gemm(1, 0, L, c->dv, L, 1, c->S, (size_t)L, c->y, (size_t)c->dv, 0, dv, r->dv.ld);
}

/* Through the normaliser of the state before the chunk: adds to dq. */
static void backward_past_normaliser(const run *r, const chunk *c, const float *S, float *dq) {
    const float *n = S + (size_t)c->dk * (size_t)c->dv;
    for (int t = 0; t < c->L; t++)
        axpy(dq + (size_t)t * r->dq.ld, weight_of_past(r, c, t, n[c->dk]) * (float)c->g[t], n, c->dk);
}

/* Adds to the gradient of the state before the chunk. */
static void backward_incoming(const run *r, chunk *c, float m_in) {
    int L = c->L, dk = c->dk, dv = c->dv;
    float *next_n = c->next + (size_t)dk * (size_t)dv;
    for (int t = 0; t < L; t++) {
        float a = weight_of_past(r, c, t, m_in);
        scaled_row(c->y + t * dv, a, c->y + t * dv, dv);
        axpy(next_n, a * (float)c->g[t], c->q + (size_t)t * r->q.ld, dk);
    }
    xl_gemm(1, 0, dk, dv, L, 1, c->q, r->q.ld, c->y, (size_t)dv, 1, c->next, (size_t)dv);
}

/* next = decay G; returns G . S, both [n]. */
static float decayed(float *next, float decay, const float *G, const float *S, int n) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < n; i++) {
        next[i] = decay * G[i];
        sum += G[i] * S[i];
    }
    return sum;
}

/* Through the state after the chunk, whose gradient is G: adds to dk, dv; begins the gradient of the state
 * before. Returns what belongs to the last cumulative log f. */
static float backward_outgoing(const run *r, chunk *c, float m_in, const float *S_out, float *dk, float *dv) {
    int L = c->L, K = c->dk, V = c->dv;
    const float *G_n = c->G + (size_t)K * (size_t)V;
    double last = c->b[L - 1] - (double)S_out[r->size - 1];
    float scale = 1 / sqrtf((float)K);
    for (int s = 0; s < L; s++) {
        float w = scale * vec_exp((float)(last + c->bi[s]));
        scaled_row(c->x + s * V, w, c->v + (size_t)s * r->v.ld, V);
        axpy(dk + (size_t)s * r->dk.ld, w, G_n, K);
    }
    xl_gemm(0, 1, L, K, V, 1, c->x, (size_t)V, c->G, (size_t)V, 1, dk, r->dk.ld);
    for (int s = 0; s < L; s++)
        scaled_row(c->x + s * K, scale * vec_exp((float)(last + c->bi[s])), c->k + (size_t)s * r->k.ld, K);
    xl_gemm(0, 0, L, V, K, 1, c->x, (size_t)K, c->G, (size_t)V, 1, dv, r->dv.ld);
    float decay = vec_exp((float)(last + (double)m_in)), sum = 0;
    for (int a = 0; a < K; a++) {
        size_t at = (size_t)a * (size_t)V;
        sum += decayed(c->next + at, decay, c->G + at, S_out + at, V);
    }
    size_t n = (size_t)K * (size_t)V;
    return sum + decayed(c->next + n, decay, G_n, S_out + n, K);
}

/* di and df; returns the gradient of the stabiliser before the chunk. */
static float backward_gates(const run *r, chunk *c, int head, float at_end, float dm, float m_in,
                            const float *dq, const float *dk) {
    float dlogf = at_end;
    for (int t = c->L - 1; t >= 0; t--) {
        size_t n = c->n0 + (size_t)t;
        float i = xl_mlstm_held(gate_of(r->i, n, head)), f = gate_of(r->f, n, head), extra = 0;
        float before = t > 0 ? r->m[c->gate + (size_t)((t - 1) * r->d.H)] : m_in;
        float along = dot(c->k + (size_t)t * r->k.ld, dk + (size_t)t * r->dk.ld, c->dk);
        dlogf += dot(c->q + (size_t)t * r->q.ld, dq + (size_t)t * r->dq.ld, c->dk) - along;
        dm += c->of_m[t];
        int from_before = c->b[t] - (t ? c->b[t - 1] : 0) + (double)before >= (double)i;
        if (from_before)
            extra = dm;
        r->di.p[n * r->di.ld + (size_t)head] = along + (from_before ? 0 : dm);
        r->df.p[n * r->df.ld + (size_t)head] = (dlogf + extra) * vec_sigmoid(-f);
        dm = from_before ? dm : 0;
    }
    return dm;
}

static void backward_head(void *context, int index, int thread) {
    const run *r = context;
    int b = index / r->d.H, head = index % r->d.H, fresh, start, has_G = 0;
    chunk c = carve(r, thread);
    size_t wide = (size_t)c.dk * (size_t)(c.dv + 1);
    float dm = 0;
    for (int end = r->seq.lengths ? r->seq.lengths[b] : r->seq.T; end > 0; end = start) {
        start = xl_piece_start(r->seq, b, r->d.L, end, &fresh);
        open_chunk(r, &c, b, head, start, end);
        float *dq = r->dq.p + c.n0 * r->dq.ld + (size_t)(head * c.dk),
              *dk = r->dk.p + c.n0 * r->dk.ld + (size_t)(head * c.dk);
        float *dv = r->dv.p + c.n0 * r->dv.ld + (size_t)(head * c.dv);
        const float *S = fresh || start % r->d.L ? NULL : border(r, b, head, start);
        float m_in = S ? S[r->size - 1] : r->m0, at_end = 0;
        if (start == 0 && S && is_zero(S, r->size - 1)) /* later ones need a gradient even so */
            S = NULL;
        weights_and_scores(r, &c, r->m + c.gate, (size_t)r->d.H);
        gradients_of_sums(r, &c, head, S, dq);
        gradients_of_normalisers(r, &c, S, dq);
        backward_pairs(r, &c, dq, dk, dv, S != NULL);
        if (has_G)
            at_end = backward_outgoing(r, &c, m_in, border(r, b, head, end), dk, dv);
        else
            memset(c.next, 0, wide * sizeof *c.next);
        if (S)
            backward_past_normaliser(r, &c, S, dq);
        if (S && start > 0)
            backward_incoming(r, &c, m_in);
        dm = backward_gates(r, &c, head, at_end, dm, m_in, dq, dk);
        float *done = c.G;
        c.G = c.next;
        c.next = done;
        has_G = !fresh;
        dm = fresh ? 0 : dm;
    }
    clear_padding(r->dq, r, b, head, c.dk);
    clear_padding(r->dk, r, b, head, c.dk);
    clear_padding(r->dv, r, b, head, c.dv);
    clear_padding(r->di, r, b, head, 1);
    clear_padding(r->df, r, b, head, 1);
}

static void mlstm_bwd(xl_view dq, xl_view dk, xl_view dv, xl_view di, xl_view df, xl_view dh, xl_view h,
                      const float *m, const float *den, const float *borders, xl_view q, xl_view k, xl_view v,
                      xl_view i, xl_view f, xl_mlstm d, xl_seq seq, xl_state state, float *scratch) {
    run r = make_run(d, seq, state, scratch);
    r.h = h, r.q = q, r.k = k, r.v = v, r.i = i, r.f = f;
    r.m = (float *)(uintptr_t)m, r.den = (float *)(uintptr_t)den, r.borders = (float *)(uintptr_t)borders;
    r.dq = dq, r.dk = dk, r.dv = dv, r.di = di, r.df = df, r.dh = dh;
    xl_parallel(seq.B * d.H, backward_head, &r);
}

void XL_ISA_NAME(xl_install_mlstm)(xl_ops *t) {
    t->mlstm = mlstm;
    t->mlstm_bwd = mlstm_bwd;
}
