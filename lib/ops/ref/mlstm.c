/* mLSTM: the recurrence token by token; its gradient chunk by chunk from the borders (formulas:
 * docs/math/mlstm.md). The normaliser is treated as one more value column: v' = [v, 1], C' = [C, n]. */
#include "base/parallel.h"
#include "ops/ref/helpers.h"

uint64_t xl_mlstm_scratch(xl_mlstm d, xl_seq s) {
    uint64_t L = (uint64_t)(d.L < s.T ? d.L : s.T), dk = (uint64_t)d.dk, dv = (uint64_t)d.dv;
    uint64_t one = 3 * L * L + 4 * L * (dk + dv + 1) + 4 * dk * (dv + 1) + 16 * L + 256;
    one = (one + 15) / 16 * 16; /* every thread's begins aligned: the CPU backend keeps doubles in it */
    return one * (uint64_t)xl_threads();
}

static real log_forget(real x) {
    return xl_mlstm_held(log_sigmoid(x));
}

static real *part(xl_view v, size_t n, int head, int width) {
    return row(v, n) + (size_t)head * (size_t)width;
}

/* One token of one head: state S = C [dk, dv], n [dk], m; writes h [dv]; returns the signed normaliser. */
static real step(real *S, real *h, const real *q, const real *k, const real *v, real i, real f, xl_mlstm d) {
    real *C = S, *n = S + (size_t)d.dk * (size_t)d.dv, *m = n + d.dk, scale = 1 / sqrt((real)d.dk);
    real logf = log_forget(f), m_new = fmax(logf + *m, i), keep = exp(logf + *m - m_new),
         take = exp(i - m_new);
    *m = m_new;
    clear(h, (size_t)d.dv);
    for (int a = 0; a < d.dk; a++) {
        real in = take * scale * k[a];
        n[a] = keep * n[a] + in;
        for (int e = 0; e < d.dv; e++) {
            real *c = &C[(size_t)a * (size_t)d.dv + (size_t)e];
            *c = keep * *c + in * v[e];
            h[e] += q[a] * *c;
        }
    }
    real den = dot(q, n, d.dk), bound = fmax(fabs(den), exp(-m_new)) + d.eps;
    for (int e = 0; e < d.dv; e++)
        h[e] /= bound;
    return den;
}

typedef struct {
    xl_view h, q, k, v, i, f;
    real *m, *den, *borders;
    xl_mlstm d;
    xl_seq seq;
    size_t state, chunks; /* numbers in one head's state; borders in a stream */
    real m0;              /* stabiliser before a new sequence */
} run;

static real input_gate(const run *r, size_t n, int head) {
    return xl_mlstm_held(*part(r->i, n, head, 1));
}

static void forward_head(const run *r, int b, int head, real *S) {
    int start = 0, end = 0, fresh = 0, dk = r->d.dk, dv = r->d.dv, H = r->d.H;
    while (xl_next_piece(r->seq, b, r->d.L, &start, &end, &fresh)) {
        if (fresh) {
            clear(S, r->state);
            S[r->state - 1] = r->m0;
        }
        if (r->borders && start % r->d.L == 0) {
            size_t at = ((size_t)(b * H + head) * r->chunks + (size_t)(start / r->d.L)) * r->state;
            for (size_t j = 0; j < r->state; j++)
                r->borders[at + j] = S[j];
        }
        for (int t = start; t < end; t++) {
            size_t n = (size_t)b * (size_t)r->seq.T + (size_t)t, at = n * (size_t)H + (size_t)head;
            real den = step(S, part(r->h, n, head, dv), part(r->q, n, head, dk), part(r->k, n, head, dk),
                            part(r->v, n, head, dv), input_gate(r, n, head), *part(r->f, n, head, 1), r->d);
            if (r->m) {
                r->m[at] = S[r->state - 1];
                r->den[at] = den;
            }
        }
    }
    for (int t = end; t < r->seq.T; t++) {
        size_t n = (size_t)b * (size_t)r->seq.T + (size_t)t, at = n * (size_t)H + (size_t)head;
        clear(part(r->h, n, head, dv), (size_t)dv);
        if (r->m)
            r->m[at] = r->den[at] = 0;
    }
}

void xl_ref_mlstm(xl_view h, real *m, real *den, real *borders, xl_view q, xl_view k, xl_view v, xl_view i,
                  xl_view f, xl_mlstm d, xl_seq seq, xl_state state, real *scratch) {
    run r = {h,
             q,
             k,
             v,
             i,
             f,
             m,
             den,
             borders,
             d,
             seq,
             xl_mlstm_state(d),
             (size_t)((seq.T + d.L - 1) / d.L),
             xl_mlstm_start(d, state)};
    for (int b = 0; b < seq.B; b++)
        for (int head = 0; head < d.H; head++) {
            size_t at = (size_t)b * state.stride + (size_t)head * r.state;
            for (size_t j = 0; j < r.state; j++)
                scratch[j] = state.in ? state.in[at + j] : 0;
            if (!state.in)
                scratch[r.state - 1] = r.m0;
            forward_head(&r, b, head, scratch);
            for (size_t j = 0; state.out && j < r.state; j++)
                state.out[at + j] = scratch[j];
        }
}

/* ---- backward
 * ------------------------------------------------------------------------------------------------ */

/* One chunk of one head. All arrays are of the chunk: [L] tokens. */
typedef struct {
    int L, dk, dv;
    const real *S;     /* incoming state; NULL: zero */
    const real *S_out; /* outgoing state, if it has a gradient */
    real *G;           /* gradient of C' [dk, dv + 1]: of the outgoing state in, of the incoming out */
    int has_G;
    real dm;                          /* gradient of the stabiliser after the chunk, later before it */
    double *b;                        /* [L] cumulative log f: only differences of large numbers matter */
    real *du, *g, *of_m, *dk_, *next; /* [L, dv] [L] [L] gradients of sums; [L, dk]; [dk, dv + 1] */
} chunk;

static void chunk_gradients_of_sums(const run *r, chunk *c, size_t n0, int head, xl_view dh) {
    for (int t = 0; t < c->L; t++) {
        size_t n = n0 + (size_t)t, at = n * (size_t)r->d.H + (size_t)head;
        real bound = exp(-r->m[at]), size = fabs(r->den[at]);
        real N = fmax(size, bound) + r->d.eps, *d = part(dh, n, head, c->dv);
        for (int e = 0; e < c->dv; e++)
            c->du[(size_t)t * (size_t)c->dv + e] = d[e] / N;
        real along = -dot(d, part(r->h, n, head, c->dv), c->dv) / N;
        c->of_m[t] = along * r->d.eps;
        c->g[t] = size > bound ? (r->den[at] > 0 ? along : -along) : 0;
        real logf = log_forget(*part(r->f, n, head, 1));
        c->b[t] = (t ? c->b[t - 1] : 0) + logf;
    }
}

/* Pairs of tokens s <= t inside the chunk. */
static void chunk_pairs(const run *r, chunk *c, size_t n0, int head, xl_view dq, xl_view dv) {
    real scale = 1 / sqrt((real)c->dk);
    for (int t = 0; t < c->L; t++)
        for (int s = 0; s <= t; s++) {
            size_t nt = n0 + (size_t)t, ns = n0 + (size_t)s;
            real *q = part(r->q, nt, head, c->dk), *k = part(r->k, ns, head, c->dk),
                 *du = c->du + (size_t)t * (size_t)c->dv;
            real m = r->m[nt * (size_t)r->d.H + (size_t)head];
            real w = exp(c->b[t] - c->b[s] + input_gate(r, ns, head) - m);
            real dS = w * (dot(du, part(r->v, ns, head, c->dv), c->dv) + c->g[t]);
            real S = w * scale * dot(q, k, c->dk);
            for (int a = 0; a < c->dk; a++) {
                part(dq, nt, head, c->dk)[a] += dS * scale * k[a];
                c->dk_[(size_t)s * (size_t)c->dk + a] += dS * q[a];
            }
            for (int e = 0; e < c->dv; e++)
                part(dv, ns, head, c->dv)[e] += S * du[e];
        }
}

/* Through the incoming state: adds to dq and to its gradient `next`. */
static void chunk_incoming(const run *r, chunk *c, size_t n0, int head, xl_view dq) {
    const real *C = c->S, *n = C + (size_t)c->dk * (size_t)c->dv, m_in = n[c->dk];
    for (int t = 0; t < c->L; t++) {
        size_t nt = n0 + (size_t)t;
        real *q = part(r->q, nt, head, c->dk), *du = c->du + (size_t)t * (size_t)c->dv;
        real a_t = exp(c->b[t] + m_in - r->m[nt * (size_t)r->d.H + (size_t)head]);
        for (int a = 0; a < c->dk; a++) {
            real *next = c->next + (size_t)a * (size_t)(c->dv + 1);
            part(dq, nt, head, c->dk)[a] +=
                a_t * (dot(C + (size_t)a * (size_t)c->dv, du, c->dv) + n[a] * c->g[t]);
            for (int e = 0; e < c->dv; e++)
                next[e] += a_t * q[a] * du[e];
            next[c->dv] += a_t * q[a] * c->g[t];
        }
    }
}

/* Through the outgoing state, whose gradient is G: adds to dk~, dv, `next`; returns what belongs to the last
 * b. */
static real chunk_outgoing(const run *r, chunk *c, size_t n0, int head, xl_view dv) {
    real scale = 1 / sqrt((real)c->dk);
    double last = c->b[c->L - 1];
    real m_out = c->S_out[(size_t)c->dk * (size_t)c->dv + (size_t)c->dk], sum = 0;
    for (int s = 0; s < c->L; s++) {
        size_t ns = n0 + (size_t)s;
        real *k = part(r->k, ns, head, c->dk), *v = part(r->v, ns, head, c->dv),
             *dvs = part(dv, ns, head, c->dv);
        real w = exp(last - c->b[s] + input_gate(r, ns, head) - m_out);
        for (int a = 0; a < c->dk; a++) {
            const real *G = c->G + (size_t)a * (size_t)(c->dv + 1);
            c->dk_[(size_t)s * (size_t)c->dk + a] += w * (dot(G, v, c->dv) + G[c->dv]);
            for (int e = 0; e < c->dv; e++)
                dvs[e] += w * scale * k[a] * G[e];
        }
    }
    real m_in = c->S ? c->S[(size_t)c->dk * (size_t)c->dv + (size_t)c->dk] : 0,
         decay = exp(last + m_in - m_out);
    for (int a = 0; a < c->dk; a++)
        for (int e = 0; e <= c->dv; e++) {
            real G = c->G[(size_t)a * (size_t)(c->dv + 1) + e];
            c->next[(size_t)a * (size_t)(c->dv + 1) + e] += decay * G;
            sum += G * (e < c->dv ? c->S_out[(size_t)a * (size_t)c->dv + e]
                                  : c->S_out[(size_t)c->dk * (size_t)c->dv + a]);
        }
    return sum;
}

/* di, df, dk from dk~, dq and what flowed through the end of the chunk. */
static real m_before(const run *r, const chunk *c, size_t n0, int head, int t) {
    if (t > 0)
        return r->m[(n0 + (size_t)t - 1) * (size_t)r->d.H + (size_t)head];
    return c->S ? c->S[r->state - 1] : r->m0;
}

static void chunk_gates(const run *r, chunk *c, size_t n0, int head, real end, xl_view dq, xl_view dk,
                        xl_view di, xl_view df) {
    real scale = 1 / sqrt((real)c->dk), dlogf = end;
    for (int t = c->L - 1; t >= 0; t--) {
        size_t n = n0 + (size_t)t;
        real along = scale * dot(part(r->k, n, head, c->dk), c->dk_ + (size_t)t * (size_t)c->dk, c->dk);
        dlogf += dot(part(r->q, n, head, c->dk), part(dq, n, head, c->dk), c->dk) - along;
        real i = input_gate(r, n, head), f = *part(r->f, n, head, 1), from_m = 0;
        c->dm += c->of_m[t];
        if (log_forget(f) + m_before(r, c, n0, head, t) >=
            i) { /* the stabiliser came from the token before */
            from_m = c->dm;
            *part(di, n, head, 1) = along;
        } else {
            *part(di, n, head, 1) = along + c->dm;
            c->dm = 0;
        }
        *part(df, n, head, 1) = (dlogf + from_m) * sigmoid(-f);
        for (int a = 0; a < c->dk; a++)
            part(dk, n, head, c->dk)[a] = scale * c->dk_[(size_t)t * (size_t)c->dk + a];
    }
}

static void swap(real **a, real **b) {
    real *t = *a;
    *a = *b;
    *b = t;
}

static void backward_head(const run *r, int b, int head, xl_view dh, xl_view dq, xl_view dk, xl_view dv,
                          xl_view di, xl_view df, real *scratch) {
    size_t L = (size_t)(r->d.L < r->seq.T ? r->d.L : r->seq.T),
           wide = (size_t)r->d.dk * (size_t)(r->d.dv + 1);
    chunk c = {.dk = r->d.dk, .dv = r->d.dv, .b = (double *)(void *)scratch};
    c.G = (real *)(c.b + L);
    c.next = c.G + wide;
    c.g = c.next + wide;
    c.of_m = c.g + L;
    c.du = c.of_m + L;
    c.dk_ = c.du + L * (size_t)c.dv;
    const real *borders = r->borders + (size_t)(b * r->d.H + head) * r->chunks * r->state;
    int end = r->seq.lengths ? r->seq.lengths[b] : r->seq.T, fresh, start;
    for (; end > 0; end = start) {
        start = xl_piece_start(r->seq, b, r->d.L, end, &fresh);
        size_t n0 = (size_t)b * (size_t)r->seq.T + (size_t)start;
        c.L = end - start;
        c.S = fresh || start % r->d.L ? NULL : borders + (size_t)(start / r->d.L) * r->state;
        c.S_out = c.has_G ? borders + (size_t)(end / r->d.L) * r->state : NULL;
        clear(c.next, wide);
        clear(c.dk_, L * (size_t)c.dk);
        chunk_gradients_of_sums(r, &c, n0, head, dh);
        chunk_pairs(r, &c, n0, head, dq, dv);
        if (c.S)
            chunk_incoming(r, &c, n0, head, dq);
        real at_end = c.has_G ? chunk_outgoing(r, &c, n0, head, dv) : 0;
        chunk_gates(r, &c, n0, head, at_end, dq, dk, di, df);
        swap(&c.G, &c.next);
        c.has_G = !fresh;
        c.dm = fresh ? 0 : c.dm;
    }
}

static void zero_view(xl_view v) {
    for (int n = 0; n < v.rows; n++)
        clear(row(v, (size_t)n), (size_t)v.cols);
}

void xl_ref_mlstm_bwd(xl_view dq, xl_view dk, xl_view dv, xl_view di, xl_view df, xl_view dh, xl_view h,
                      const real *m, const real *den, const real *borders, xl_view q, xl_view k, xl_view v,
                      xl_view i, xl_view f, xl_mlstm d, xl_seq seq, xl_state state, real *scratch) {
    run r = {h,
             q,
             k,
             v,
             i,
             f,
             (real *)(uintptr_t)m,
             (real *)(uintptr_t)den,
             (real *)(uintptr_t)borders,
             d,
             seq,
             xl_mlstm_state(d),
             (size_t)((seq.T + d.L - 1) / d.L),
             xl_mlstm_start(d, state)};
    const xl_view out[] = {dq, dk, dv, di, df};
    for (int j = 0; j < 5; j++)
        zero_view(out[j]);
    for (int b = 0; b < seq.B; b++)
        for (int head = 0; head < d.H; head++)
            backward_head(&r, b, head, dh, dq, dk, dv, di, df, scratch);
}
