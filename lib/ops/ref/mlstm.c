/* mlstm.c - the mLSTM (xLSTM paper, arXiv 2405.04517, equations 19 to 27): the recurrence token by token; its
 * gradient chunk by chunk (arXiv 2503.14376), so that no state but those at the chunks' borders is kept.
 * docs/math/mlstm.md derives both. One head of one stream at a time:
 *
 *     q, k [dk], v, h [dv] of a token, i~, f~ its gates' pre-activations
 *     kap = k / sqrt(dk)
 *     log f = log sigm(f~)
 *     m = max(log f + m_old, i~)                    the stabiliser: C and n are kept times exp(-m)
 *     f' = exp(log f + m_old - m)        i' = exp(i~ - m)
 *     C = f' C_old + i' kap v'        n = f' n_old + i' kap
 *     h = C' q / (max(|n . q|, exp(-m)) + eps)
 *
 *     state of a head:  | C dk x dv | n dk | m |
 *     tape:             m, den = n . q of every token [N, H], and the states before token 0, L, 2 L, ...
 */
#include "ops/ref/helpers.h"
#include <assert.h>

/* One head of one stream, its columns only. Rows of views are tokens of the whole batch. */
typedef struct {
    xl_qkv in;
    xl_gates gates;
    xl_view h, m, den; /* m.p is NULL in inference */
    xl_view borders;   /* [ceil(T/L), state] of this head and stream */
    xl_mlstm d;
    xl_seq seq;
    int b;
    real start; /* the stabiliser before a new sequence */
} head;

typedef struct {
    real *C, *n, *m; /* [dk, dv] [dk] [1] */
} cell;

static cell cell_of(real *state, xl_mlstm d) {
    real *n = state + (ptrdiff_t)d.dk * d.dv;
    return (cell){state, n, n + d.dk};
}

static xl_qkv one_head(xl_qkv x, xl_mlstm d, int j) {
    return (xl_qkv){xl_cols(x.q, j * d.dk, d.dk), xl_cols(x.k, j * d.dk, d.dk), xl_cols(x.v, j * d.dv, d.dv)};
}

static xl_gates one_gate(xl_gates x, int j) {
    return (xl_gates){xl_cols(x.i, j, 1), xl_cols(x.f, j, 1)};
}

static head open_head(xl_view h, xl_mlstm_tape tape, xl_qkv in, xl_gates gates, xl_mlstm d, xl_seq seq,
                      xl_state state, int b, int j) {
    int chunks = (seq.T + d.L - 1) / d.L, size = (int)xl_mlstm_state(d);
    ptrdiff_t before = (ptrdiff_t)(b * d.H + j) * chunks * size;
    return (head){.in = one_head(in, d, j),
                  .gates = one_gate(gates, j),
                  .h = xl_cols(h, j * d.dv, d.dv),
                  .m = xl_cols(xl_rows(tape.m, h.rows, d.H), j, 1),
                  .den = xl_cols(xl_rows(tape.den, h.rows, d.H), j, 1),
                  .borders = xl_rows(tape.borders ? tape.borders + before : NULL, chunks, size),
                  .d = d,
                  .seq = seq,
                  .b = b,
                  .start = xl_mlstm_start(d, state)};
}

static real log_forget(const head *r, ptrdiff_t n) {
    return xl_mlstm_clamp(log_sigmoid(*xl_row(r->gates.f, n)));
}

static real input_gate(const head *r, ptrdiff_t n) {
    return xl_mlstm_clamp(*xl_row(r->gates.i, n));
}

/* ---- forward ---- */

/* Token n: moves the state on, writes h, returns the signed normaliser n . q. */
static real step(const head *r, cell s, ptrdiff_t n) {
    const real *q = xl_row(r->in.q, n), *k = xl_row(r->in.k, n), *v = xl_row(r->in.v, n);
    int dk = r->d.dk, dv = r->d.dv;
    real *h = xl_row(r->h, n), *C = s.C, scale = 1 / sqrt((real)dk), i = input_gate(r, n),
         logf = log_forget(r, n);
    real m = fmax(logf + *s.m, i), keep = exp(logf + *s.m - m), take = exp(i - m);
    *s.m = m;
    xl_ref_fill(h, dv, 0);
    for (int a = 0; a < dk; a++, C += dv) {
        real in = take * scale * k[a];
        s.n[a] = keep * s.n[a] + in;
        for (int e = 0; e < dv; e++) {
            C[e] = keep * C[e] + in * v[e];
            h[e] += q[a] * C[e];
        }
    }
    real den = dot(q, s.n, dk), bound = fmax(fabs(den), exp(-m)) + r->d.eps;
    for (int e = 0; e < dv; e++)
        h[e] /= bound;
    return den;
}

static void copy_state(real *to, const real *from, int count) {
    for (int j = 0; j < count; j++)
        to[j] = from[j];
}

static void forward_head(const head *r, real *state) {
    int start = 0, end = 0, fresh = 0, size = r->borders.cols;
    cell s = cell_of(state, r->d);
    while (xl_next_piece(r->seq, r->b, r->d.L, &start, &end, &fresh)) {
        if (fresh) {
            xl_ref_fill(state, size, 0);
            *s.m = r->start;
        }
        if (r->borders.p && start % r->d.L == 0)
            copy_state(xl_row(r->borders, start / r->d.L), state, size);
        for (int t = start; t < end; t++) {
            ptrdiff_t n = xl_token(r->seq, r->b, t);
            real den = step(r, s, n);
            if (r->m.p) {
                *xl_row(r->m, n) = *s.m;
                *xl_row(r->den, n) = den;
            }
        }
    }
}

void xl_ref_mlstm(xl_view h, xl_mlstm_tape tape, xl_qkv in, xl_gates gates, xl_mlstm d, xl_seq seq,
                  xl_state state, real *scratch) {
    int size = (int)xl_mlstm_state(d);
    for (int b = 0; b < seq.B; b++)
        for (int j = 0; j < d.H; j++) {
            head r = open_head(h, tape, in, gates, d, seq, state, b, j);
            xl_ref_fill(scratch, size, 0);
            *cell_of(scratch, d).m = r.start;
            if (state.in)
                copy_state(scratch, xl_state_in(state, b) + (ptrdiff_t)j * size, size);
            forward_head(&r, scratch);
            if (state.out)
                copy_state(xl_state_out(state, b) + (ptrdiff_t)j * size, scratch, size);
        }
    xl_ref_clear_padding(h, 0, seq);
    if (tape.m) {
        xl_ref_clear_padding(xl_rows(tape.m, h.rows, d.H), 0, seq);
        xl_ref_clear_padding(xl_rows(tape.den, h.rows, d.H), 0, seq);
    }
}

/* ---- backward ----
 * Unrolled from a chunk's start, into which the state (C, m_in) comes, with b_t the sum of log f up to t:
 *
 *     w_ts = exp(b_t - b_s + i~_s - m_t), s <= t     weight of token s at token t        S_ts = w_ts q_t .
 * kap_s a_t  = exp(b_t + m_in - m_t)                   weight of what came in u_t  = a_t C' q_t + sum_s S_ts
 * v_s             h_t = u_t / N_t
 *
 * The normaliser is one more value column: v_s and u_t below are [v_s, 1] and [u_t, den_t], C is [C, n]. */

/* One chunk: arrays are of its tokens. Scratch:
 * | b: L doubles | G dk x (dv+1) | next dk x (dv+1) | g L | dm_direct L | du L x dv | dkap L x dk | */
typedef struct {
    ptrdiff_t n0; /* its first token's row */
    int L;
    cell in, out;        /* the states at its borders: in.C NULL is zero, out only if it has a gradient */
    xl_view G, next;     /* [dk, dv + 1] gradient of C that leaves, and of C that came in */
    int has_G;           /* 0: none leaves */
    real dm;             /* gradient of the stabiliser after the chunk, later before it */
    double *b;           /* cumulative log f: only differences of large numbers matter */
    real *g, *dm_direct; /* gradients of den and, through eps alone, of m */
    xl_view du, dkap;    /* [L, dv] [L, dk] gradients of u and of kap */
} chunk;

/* Through the division h = u / N, N = max(|den|, exp(-m)) + eps:
 *
 *     du = dh / N        dN = -(dh . h) / N
 *     g = dden = sign(den) dN where |den| is the larger, else 0
 *     m is in h through eps alone: dm = dN eps */
static void chunk_gradients_of_sums(const head *r, chunk *c, xl_view dh) {
    int dv = r->d.dv;
    for (int t = 0; t < c->L; t++) {
        ptrdiff_t n = c->n0 + t;
        real den = *xl_row(r->den, n), size = fabs(den), bound = exp(-*xl_row(r->m, n));
        real N = fmax(size, bound) + r->d.eps, *d = xl_row(dh, n), *du = xl_row(c->du, t);
        for (int e = 0; e < dv; e++)
            du[e] = d[e] / N;
        real dN = -dot(d, xl_row(r->h, n), dv) / N;
        c->dm_direct[t] = dN * r->d.eps;
        c->g[t] = size > bound ? (den > 0 ? dN : -dN) : 0;
        c->b[t] = (t ? c->b[t - 1] : 0) + log_forget(r, n);
    }
}

/* Pairs of tokens s <= t inside the chunk, with dS_ts = w_ts du_t . v_s:
 *
 *     dq_t += dS_ts kap_s        dkap_s += dS_ts q_t        dv_s += S_ts du_t */
static void chunk_pairs(const head *r, chunk *c, xl_qkv din) {
    int dk = r->d.dk, dv = r->d.dv;
    real scale = 1 / sqrt((real)dk);
    for (int t = 0; t < c->L; t++)
        for (int s = 0; s <= t; s++) {
            ptrdiff_t nt = c->n0 + t, ns = c->n0 + s;
            const real *q = xl_row(r->in.q, nt), *k = xl_row(r->in.k, ns), *du = xl_row(c->du, t);
            real w = exp(c->b[t] - c->b[s] + input_gate(r, ns) - *xl_row(r->m, nt));
            real dS = w * (dot(du, xl_row(r->in.v, ns), dv) + c->g[t]);
            real S = w * scale * dot(q, k, dk);
            axpy(xl_row(din.q, nt), dS * scale, k, dk);
            axpy(xl_row(c->dkap, s), dS, q, dk);
            axpy(xl_row(din.v, ns), S, du, dv);
        }
}

/* Through the state that came in:
 *
 *     dq_t += a_t C du_t        dC_in += a_t q_t du_t' */
static void chunk_incoming(const head *r, chunk *c, xl_view dq) {
    int dk = r->d.dk, dv = r->d.dv;
    for (int t = 0; t < c->L; t++) {
        ptrdiff_t n = c->n0 + t;
        const real *q = xl_row(r->in.q, n), *du = xl_row(c->du, t), *C = c->in.C;
        real weight = exp(c->b[t] + *c->in.m - *xl_row(r->m, n));
        for (int a = 0; a < dk; a++, C += dv) {
            real *next = xl_row(c->next, a);
            xl_row(dq, n)[a] += weight * (dot(C, du, dv) + c->in.n[a] * c->g[t]);
            for (int e = 0; e < dv; e++)
                next[e] += weight * q[a] * du[e];
            next[dv] += weight * q[a] * c->g[t];
        }
    }
}

/* Through the state that leaves, C_out = a_L C_in + sum_s W_s kap_s v_s', W_s = w_Ls, whose gradient is G:
 *
 *     dkap_s += W_s G v_s        dv_s += W_s G' kap_s        dC_in += a_L G
 *
 * Returns what of it belongs to b_L, which is in the exponent of every term: sum G . C_out. */
static real chunk_outgoing(const head *r, chunk *c, xl_view dv) {
    int dk = r->d.dk, width = r->d.dv;
    assert(c->out.m); /* there is a state wherever there is its gradient */
    real scale = 1 / sqrt((real)dk), m_out = *c->out.m, m_in = c->in.C ? *c->in.m : 0, sum = 0;
    double last = c->b[c->L - 1];
    for (int s = 0; s < c->L; s++) {
        ptrdiff_t n = c->n0 + s;
        const real *k = xl_row(r->in.k, n), *v = xl_row(r->in.v, n);
        real W = exp(last - c->b[s] + input_gate(r, n) - m_out);
        for (int a = 0; a < dk; a++) {
            const real *G = xl_row(c->G, a);
            xl_row(c->dkap, s)[a] += W * (dot(G, v, width) + G[width]);
            axpy(xl_row(dv, n), W * scale * k[a], G, width);
        }
    }
    real decay = exp(last + m_in - m_out);
    const real *C = c->out.C;
    for (int a = 0; a < dk; a++, C += width) {
        const real *G = xl_row(c->G, a);
        axpy(xl_row(c->next, a), decay, G, width + 1);
        for (int e = 0; e <= width; e++)
            sum += G[e] * (e < width ? C[e] : c->out.n[a]);
    }
    return sum;
}

static real m_before(const head *r, const chunk *c, int t) {
    return t > 0 ? *xl_row(r->m, c->n0 + t - 1) : c->in.C ? *c->in.m : r->start;
}

/* Through the weights: i~_s is in the exponent of all terms that have s as a key, b_t in those that t reads,
 * and with the other sign in those where t is the key; b_t contains every log f before it. The maximum of the
 * stabiliser hands its own gradient to whichever of the two won.
 *
 *     di~_t = kap_t . dkap_t                               + dm_t if i~_t won
 *     dlog f_t = sum_{s >= t} (q_s . dq_s - kap_s . dkap_s) + `end`, what left through the end
 *     df~_t = (dlog f_t + dm_t if log f_t + m_{t-1} won) sigm(-f~_t)
 *     dk_t = dkap_t / sqrt(dk) */
static void chunk_gates(const head *r, chunk *c, real end, xl_qkv din, xl_gates dgates) {
    int dk = r->d.dk;
    real scale = 1 / sqrt((real)dk), dlogf = end;
    for (int t = c->L - 1; t >= 0; t--) {
        ptrdiff_t n = c->n0 + t;
        const real *dkap = xl_row(c->dkap, t);
        real along = scale * dot(xl_row(r->in.k, n), dkap, dk), from_m = 0;
        dlogf += dot(xl_row(r->in.q, n), xl_row(din.q, n), dk) - along;
        c->dm += c->dm_direct[t];
        if (log_forget(r, n) + m_before(r, c, t) >= input_gate(r, n)) { /* m came from the token before */
            from_m = c->dm;
            *xl_row(dgates.i, n) = along;
        } else {
            *xl_row(dgates.i, n) = along + c->dm;
            c->dm = 0;
        }
        *xl_row(dgates.f, n) = (dlogf + from_m) * sigmoid(-*xl_row(r->gates.f, n));
        for (int a = 0; a < dk; a++)
            xl_row(din.k, n)[a] = scale * dkap[a];
    }
}

static chunk lay_out(xl_mlstm d, int L, real *scratch) {
    chunk c = {.b = (double *)(void *)scratch};
    real *p = (real *)(c.b + L);
    c.G = xl_rows(p, d.dk, d.dv + 1);
    c.next = xl_rows(xl_row(c.G, d.dk), d.dk, d.dv + 1);
    c.g = xl_row(c.next, d.dk);
    c.dm_direct = c.g + L;
    c.du = xl_rows(c.dm_direct + L, L, d.dv);
    c.dkap = xl_rows(xl_row(c.du, L), L, d.dk);
    return c;
}

static int chunk_length(xl_mlstm d, xl_seq seq) {
    return d.L < seq.T ? d.L : seq.T;
}

/* The chunk `start` to `end`: a state came in unless a sequence begins there, and was kept at multiples of L.
 */
static void open_chunk(const head *r, chunk *c, int start, int end, int fresh) {
    int L = r->d.L;
    c->n0 = xl_token(r->seq, r->b, start);
    c->L = end - start;
    c->in = fresh || start % L ? (cell){0} : cell_of(xl_row(r->borders, start / L), r->d);
    c->out = c->has_G ? cell_of(xl_row(r->borders, end / L), r->d) : (cell){0};
    clear(c->next);
    clear(c->dkap);
}

static void backward_head(const head *r, xl_view dh, xl_qkv din, xl_gates dgates, real *scratch) {
    chunk c = lay_out(r->d, chunk_length(r->d, r->seq), scratch);
    int fresh, start;
    for (int end = xl_length(r->seq, r->b); end > 0; end = start) {
        start = xl_piece_start(r->seq, r->b, r->d.L, end, &fresh);
        open_chunk(r, &c, start, end, fresh);
        chunk_gradients_of_sums(r, &c, dh);
        chunk_pairs(r, &c, din);
        if (c.in.C)
            chunk_incoming(r, &c, din.q);
        real at_end = c.has_G ? chunk_outgoing(r, &c, din.v) : 0;
        chunk_gates(r, &c, at_end, din, dgates);
        xl_view G = c.G; /* what came into this chunk left the one before */
        c.G = c.next;
        c.next = G;
        c.has_G = !fresh;
        c.dm = fresh ? 0 : c.dm;
    }
}

void xl_ref_mlstm_bwd(xl_qkv din, xl_gates dgates, xl_view dh, xl_view h, xl_mlstm_tape tape, xl_qkv in,
                      xl_gates gates, xl_mlstm d, xl_seq seq, xl_state state, real *scratch) {
    const xl_view out[] = {din.q, din.k, din.v, dgates.i, dgates.f};
    for (int j = 0; j < 5; j++)
        clear(out[j]);
    for (int b = 0; b < seq.B; b++)
        for (int j = 0; j < d.H; j++) {
            head r = open_head(h, tape, in, gates, d, seq, state, b, j);
            backward_head(&r, xl_cols(dh, j * d.dv, d.dv), one_head(din, d, j), one_gate(dgates, j), scratch);
        }
}

/* The state of one head, or the arrays of one chunk. */
uint64_t xl_ref_mlstm_scratch(xl_mlstm d, xl_seq seq) {
    uint64_t L = (uint64_t)chunk_length(d, seq), dk = (uint64_t)d.dk, dv = (uint64_t)d.dv;
    return L * (sizeof(double) / sizeof(real)) + 2 * dk * (dv + 1) + L * (2 + dv + dk);
}
