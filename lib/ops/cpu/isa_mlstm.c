/* isa_mlstm.c - mLSTM chunk by chunk: one task per (stream, head), everything inside a chunk is a product of
 * small matrices. The formulas are those of docs/math/mlstm.md, as in ops/ref/mlstm.c; h and its gradient
 * differ from the reference's by rounding only. */
#include "ops/cpu/block.h"
#include "ops/cpu/cpu.h"
#include "ops/cpu/vec.h"
#include <assert.h>

/* x is a difference of large numbers, which double keeps exact; its exponential needs no more than float. */
static inline float rounded_exp(double x) {
    return vec_exp((float)x);
}

/* One call of the op. */
typedef struct {
    xl_view h, dh;
    xl_mlstm_tape tape;
    xl_qkv in, din;
    xl_gates gates, dgates;
    xl_mlstm d;
    xl_seq seq;
    xl_state state;
    float *scratch;
    ptrdiff_t size;   /* of one head's state */
    ptrdiff_t chunks; /* borders in a stream */
} call;

/* The state of one head, or its gradient, which has no m: | C dk x dv | n dk | m | */
typedef struct {
    xl_view C;
    float *n, *m;
} head_state;

/* One chunk of one head. */
typedef struct {
    int L, dk, dv, head;
    ptrdiff_t n;    /* row of the first token */
    xl_qkv in, din; /* q, k: [L, dk]; v: [L, dv] */
    xl_view h, dh;  /* [L, dv] */
    xl_gates gates, dgates;
    xl_view m, den;       /* [L, 1], on tape */
    double *b, *bi;       /* [L] cumulative log f; i - b. Strong forgetting makes both large and only their
                             differences matter, which float would round to a share of the large number */
    double *d_den;        /* [L] gradient of den */
    float *d_m;           /* [L] gradient of the stabiliser */
    xl_view W, S, P;      /* [L, L]: weights, weighted scores; products of dh with the values */
    float *x, *y;         /* [L, max(dk, dv)] */
    head_state G, before; /* gradients of the state after the chunk and of the one before it */
    int has_G;            /* whether anything comes back from later chunks */
    float d_m_after;      /* gradient of the last token's m, from later chunks */
} chunk;

/* ---- layout ---- */

static int chunk_length(xl_mlstm d, xl_seq seq) {
    return d.L < seq.T ? d.L : seq.T;
}

/* So many floats, filled up to whole cache lines. */
static uint64_t lines(uint64_t floats) {
    return (floats + 15) / 16 * 16;
}

/* Scratch of a thread, all arrays from a cache line on; forward has a state in the place of G:
 * | G | before | b | bi | d_den L doubles | d_m L | W | S | P L x L | x | y L x max(dk, dv) | */
static uint64_t thread_scratch(xl_mlstm d, xl_seq seq) {
    uint64_t L = chunk_length(d, seq), width = d.dk > d.dv ? d.dk : d.dv;
    return 2 * lines(xl_mlstm_state(d)) + 3 * lines(2 * L) + lines(L) + 3 * lines(L * L) +
           2 * lines(L * width);
}

static uint64_t mlstm_scratch(xl_mlstm d, xl_seq seq) {
    return thread_scratch(d, seq) * xl_threads();
}

static head_state state_at(xl_mlstm d, float *p) {
    xl_view C = xl_rows(p, d.dk, d.dv);
    float *n = xl_row(C, d.dk);
    return (head_state){C, n, n + d.dk};
}

static float *scratch_of(const call *a, int thread) {
    return a->scratch + thread * thread_scratch(a->d, a->seq);
}

static void layout(const call *a, chunk *c, int thread) {
    uint64_t L = chunk_length(a->d, a->seq), square = lines(L * L);
    uint64_t wide = lines(L * (a->d.dk > a->d.dv ? a->d.dk : a->d.dv));
    float *p = scratch_of(a, thread);
    c->G = state_at(a->d, p), p += lines(a->size);
    c->before = state_at(a->d, p), p += lines(a->size);
    c->b = (void *)p, p += lines(2 * L);
    c->bi = (void *)p, p += lines(2 * L);
    c->d_den = (void *)p, p += lines(2 * L);
    c->d_m = p, p += lines(L);
    c->W.p = p, p += square;
    c->S.p = p, p += square;
    c->P.p = p, p += square;
    c->x = p, p += wide;
    c->y = p;
}

static xl_qkv chunk_qkv(const chunk *c, const xl_qkv *in) {
    return (xl_qkv){xl_block(in->q, c->n, c->L, c->head * c->dk, c->dk),
                    xl_block(in->k, c->n, c->L, c->head * c->dk, c->dk),
                    xl_block(in->v, c->n, c->L, c->head * c->dv, c->dv)};
}

static xl_gates chunk_gates(const chunk *c, const xl_gates *gates) {
    return (xl_gates){xl_block(gates->i, c->n, c->L, c->head, 1), xl_block(gates->f, c->n, c->L, c->head, 1)};
}

/* All rows of what is on tape, [N, H]. */
static xl_view tape_rows(const call *a, float *p) {
    return xl_rows(p, a->h.rows, a->d.H);
}

/* The state before the chunk that begins at token `start`, a multiple of L. */
static head_state border(const call *a, int b, int head, int start) {
    ptrdiff_t chunks = (b * a->d.H + head) * a->chunks + start / a->d.L;
    return state_at(a->d, a->tape.borders + chunks * a->size);
}

/* Tokens start .. end of stream b and one head. */
static void open_chunk(const call *a, chunk *c, int b, int head, int start, int end) {
    int L = end - start;
    c->L = L, c->dk = a->d.dk, c->dv = a->d.dv, c->head = head;
    c->n = xl_token(a->seq, b, start);
    c->in = chunk_qkv(c, &a->in);
    c->gates = chunk_gates(c, &a->gates);
    c->h = xl_block(a->h, c->n, L, head * c->dv, c->dv);
    c->W = xl_rows(c->W.p, L, L);
    c->S = xl_rows(c->S.p, L, L);
    c->P = xl_rows(c->P.p, L, L);
    double sum = 0;
    for (int t = 0; t < L; t++) {
        sum += xl_mlstm_clamp(vec_log_sigmoid(*xl_row(c->gates.f, t)));
        c->b[t] = sum;
        c->bi[t] = xl_mlstm_clamp(*xl_row(c->gates.i, t)) - sum;
    }
}

static void open_chunk_bwd(const call *a, chunk *c) {
    c->din = chunk_qkv(c, &a->din);
    c->dgates = chunk_gates(c, &a->dgates);
    c->dh = xl_block(a->dh, c->n, c->L, c->head * c->dv, c->dv);
    c->m = xl_block(tape_rows(a, a->tape.m), c->n, c->L, c->head, 1);
    c->den = xl_block(tape_rows(a, a->tape.den), c->n, c->L, c->head, 1);
}

/* ---- products with a triangle ---- */

/* A square [L, L] of pairs of tokens counts where column s <= row t. Rows are taken some at a time: all of
 * their numbers above the diagonal but those in the last square are left out of the work. */
enum { STRIP = 32 };

static int strip_rows(int L, int from) {
    return L - from < STRIP ? L - from : STRIP;
}

/* C = alpha A B', where it counts, and something above that. */
static void product_to_triangle(xl_view C, xl_view A, xl_view B, float alpha) {
    for (int t = 0; t < C.rows; t += STRIP) {
        int rows = strip_rows(C.rows, t), end = t + rows;
        xl_product_right(xl_block(C, t, rows, 0, end), xl_some_rows(A, t, rows), xl_some_rows(B, 0, end),
                         alpha, 0);
    }
}

/* C = A B + beta C, A zero where it does not count. */
static void product_of_triangle(xl_view C, xl_view A, xl_view B, float beta) {
    for (int t = 0; t < C.rows; t += STRIP) {
        int rows = strip_rows(C.rows, t), end = t + rows;
        xl_product(xl_some_rows(C, t, rows), xl_block(A, t, rows, 0, end), xl_some_rows(B, 0, end), 1, beta);
    }
}

/* C = A' B, the same A. */
static void product_of_triangle_left(xl_view C, xl_view A, xl_view B) {
    for (int s = 0; s < C.rows; s += STRIP) {
        int rows = strip_rows(C.rows, s), after = C.rows - s;
        xl_product_left(xl_some_rows(C, s, rows), xl_block(A, s, after, s, rows), xl_some_rows(B, s, after),
                        1, 0);
    }
}

/* ---- both directions ---- */

static void scaled_row(float *y, float a, const float *x, int n) {
    for (int i = 0; i < n; i++)
        y[i] = a * x[i];
}

static float key_scale(const chunk *c) {
    return 1 / sqrtf(c->dk);
}

/* What the sums of a token are divided by. */
static float normaliser(const call *a, float den, float m) {
    float bound = vec_exp(-m), size = fabsf(den);
    return (size > bound ? size : bound) + a->d.eps;
}

/* W_ts = exp(b_t - b_s + i_s - m_t) for s <= t; S = W * (q k~'), 0 above the diagonal. */
static void weights_and_scores(chunk *c, xl_view m) {
    int L = c->L;
    product_to_triangle(c->S, c->in.q, c->in.k, key_scale(c));
    for (int t = 0; t < L; t++) {
        float *W = xl_row(c->W, t), *S = xl_row(c->S, t);
        double top = c->b[t] - *xl_row(m, t);
        for (int s = 0; s <= t; s++) {
            W[s] = rounded_exp(top + c->bi[s]);
            S[s] *= W[s];
        }
        memset(S + t + 1, 0, (L - t - 1) * sizeof *S);
    }
}

/* What the state before the chunk, whose stabiliser is m_in, weighs at token t. */
static float weight_of_past(const chunk *c, int t, float m_in, float m) {
    return rounded_exp(c->b[t] + m_in - m);
}

/* Up to the first numbers that are not zero, some at a time. */
static int is_zero(const float *x, ptrdiff_t n) {
    enum { SOME = 256 };
    int other = 0;
    for (ptrdiff_t from = 0; from < n && !other; from += SOME)
#pragma omp simd reduction(| : other)
        for (ptrdiff_t i = from; i < (n - from < SOME ? n : from + SOME); i++)
            other |= x[i] != 0;
    return !other;
}

/* Whether sums of products of three of the numbers stay finite. */
static int is_ordinary(xl_view x) {
    return xl_all_below(x, 0x1p36f);
}

/* ---- forward ---- */

/* From the state before the chunk to the one after it. */
static void advance_state(chunk *c, head_state S, float m_out) {
    double last = c->b[c->L - 1] - m_out;
    float decay = rounded_exp(last + *S.m), scale = key_scale(c);
    xl_view weighted = xl_rows(c->x, c->L, c->dk); /* keys */
    for (int i = 0; i < c->dk; i++)
        S.n[i] *= decay;
    for (int s = 0; s < c->L; s++) {
        float *k = xl_row(weighted, s);
        scaled_row(k, scale * rounded_exp(last + c->bi[s]), xl_row(c->in.k, s), c->dk);
        vec_axpy(S.n, 1, k, c->dk);
    }
    xl_product_left(S.C, weighted, c->in.v, 1, decay);
    *S.m = m_out;
}

/* What the state before the chunk adds to the sums. */
static void forward_incoming(chunk *c, head_state S, const float *m, float *den) {
    xl_view weighted = xl_rows(c->y, c->L, c->dk); /* queries */
    for (int t = 0; t < c->L; t++) {
        float *q = xl_row(weighted, t);
        scaled_row(q, weight_of_past(c, t, *S.m, m[t]), xl_row(c->in.q, t), c->dk);
        den[t] += vec_dot(q, S.n, c->dk);
    }
    xl_product(c->h, weighted, S.C, 1, 1);
}

/* Of row n. */
static void keep_on_tape(const call *a, ptrdiff_t n, int head, float m, float den) {
    if (!a->tape.m)
        return;
    xl_row(tape_rows(a, a->tape.m), n)[head] = m;
    xl_row(tape_rows(a, a->tape.den), n)[head] = den;
}

/* How many tokens come before the first whose numbers are beyond what products take: what is not finite would
 * reach tokens before it there, times 0, and what is huge overflows another way than token by token. */
static int ordinary_tokens(const chunk *c) {
    xl_qkv in = c->in;
    int t = 0, nan = 0;
    for (int s = 0; s < c->L; s++)
        nan |= c->bi[s] != c->bi[s];
    if (!nan && is_ordinary(in.q) && is_ordinary(in.k) && is_ordinary(in.v))
        return c->L;
    while (t < c->L && is_ordinary(xl_some_rows(in.q, t, 1)) && is_ordinary(xl_some_rows(in.k, t, 1)) &&
           is_ordinary(xl_some_rows(in.v, t, 1)) && c->bi[t] == c->bi[t])
        t++;
    return t;
}

/* The values, zeros from token `end` on: as they are multiplied by 0 there. In x. */
static xl_view values_up_to(const chunk *c, int end) {
    if (end == c->L)
        return c->in.v;
    xl_view v = xl_rows(c->x, c->L, c->dv);
    for (int t = 0; t < c->L; t++)
        if (t < end)
            memcpy(xl_row(v, t), xl_row(c->in.v, t), c->dv * sizeof(float));
        else
            memset(xl_row(v, t), 0, c->dv * sizeof(float));
    return v;
}

/* h of all tokens as products, of the values before token `end` alone; m: [L], the stabilisers. Returns 0
 * where the state is not finite, or huge: then so is what the first token has from it. */
static int forward_products(const call *a, chunk *c, head_state S, int end, float *m) {
    int L = c->L;
    float *den = m + L;
    double largest = *S.m; /* of i_s - b_s so far, and of what came in */
    for (int t = 0; t < L; t++) {
        largest = c->bi[t] > largest ? c->bi[t] : largest;
        m[t] = (float)(c->b[t] + largest);
    }
    weights_and_scores(c, xl_rows(m, L, 1));
    for (int t = 0; t < L; t++) {
        den[t] = 0;
        for (int s = 0; s <= t; s++)
            den[t] += xl_row(c->S, t)[s];
    }
    product_of_triangle(c->h, c->S, values_up_to(c, end), 0);
    if (!is_zero(S.C.p, a->size - 1)) /* most sequences begin so, many are one chunk */
        forward_incoming(c, S, m, den);
    for (int t = 0; t < L; t++) {
        float N = normaliser(a, den[t], m[t]), *h = xl_row(c->h, t);
        for (int e = 0; e < c->dv; e++)
            h[e] /= N;
        keep_on_tape(a, c->n + t, c->head, m[t], den[t]);
    }
    return is_ordinary(xl_some_rows(c->h, 0, 1)) && is_ordinary(xl_rows(den, 1, 1));
}

/* A chunk of one token, row n, as in generation: the state is read and written once, and nothing else is. */
static void forward_token(const call *a, head_state S, int head, ptrdiff_t n) {
    int dk = a->d.dk, dv = a->d.dv;
    const float *q = xl_row(a->in.q, n) + head * dk, *k = xl_row(a->in.k, n) + head * dk;
    const float *v = xl_row(a->in.v, n) + head * dv;
    double b = xl_mlstm_clamp(vec_log_sigmoid(xl_row(a->gates.f, n)[head]));
    double bi = xl_mlstm_clamp(xl_row(a->gates.i, n)[head]) - b, m_in = *S.m;
    float m = (float)(b + (m_in > bi ? m_in : bi)), decay = rounded_exp(b + m_in - m);
    float in = rounded_exp(b + bi - m) / sqrtf(dk), den = 0, *h = xl_row(a->h, n) + head * dv;
    memset(h, 0, dv * sizeof *h);
    float *C = S.C.p, *sums = S.n;
    for (int i = 0; i < dk; i++, C += dv) {
        float key = in * k[i], query = q[i];
        sums[i] = decay * sums[i] + key;
        den += query * sums[i];
#pragma omp simd
        for (int e = 0; e < dv; e++) {
            C[e] = decay * C[e] + key * v[e];
            h[e] += query * C[e];
        }
    }
    scaled_row(h, 1 / normaliser(a, den, m), h, dv);
    *S.m = m;
    keep_on_tape(a, n, head, m, den);
}

/* `go_on`: the state after the chunk will be read. Tokens from the first on that products do not take go one
 * by one; those before it have the same products as without it, so that not a bit of theirs depends on it. */
static void forward_chunk(const call *a, chunk *c, head_state S, int go_on) {
    int L = c->L, ordinary = ordinary_tokens(c);
    float *m = c->P.p; /* P is free in the forward pass */
    if (ordinary > 0 && !forward_products(a, c, S, ordinary, m))
        ordinary = 0;
    c->L = ordinary;
    if (ordinary > 0 && (go_on || ordinary < L))
        advance_state(c, S, m[ordinary - 1]);
    for (int t = ordinary; t < L; t++)
        forward_token(a, S, c->head, c->n + t);
}

static void start_sequence(const call *a, head_state S) {
    memset(S.C.p, 0, a->size * sizeof(float));
    *S.m = xl_mlstm_start(a->d, a->state);
}

static void forward_head(void *context, int index, int thread) {
    const call *a = context;
    int b = index / a->d.H, head = index % a->d.H, start = 0, end = 0, fresh = 0;
    chunk c;
    const float *in = xl_state_in(a->state, b);
    float *out = xl_state_out(a->state, b); /* long states are worked on where they lie */
    head_state S = state_at(a->d, out ? out + head * a->size : scratch_of(a, thread));
    if (!in)
        start_sequence(a, S);
    else if (in != out)
        memcpy(S.C.p, in + head * a->size, a->size * sizeof(float));
    while (xl_next_piece(a->seq, b, a->d.L, &start, &end, &fresh)) {
        if (fresh)
            start_sequence(a, S);
        if (a->tape.borders && start % a->d.L == 0)
            memcpy(border(a, b, head, start).C.p, S.C.p, a->size * sizeof(float));
        if (end - start == 1) {
            forward_token(a, S, head, xl_token(a->seq, b, start));
            continue;
        }
        layout(a, &c, thread);
        open_chunk(a, &c, b, head, start, end);
        forward_chunk(a, &c, S, out || end < xl_length(a->seq, b));
    }
    xl_clear_columns(a->h, a->seq, b, end, head * a->d.dv, a->d.dv);
    if (a->tape.m) {
        xl_clear_columns(tape_rows(a, a->tape.m), a->seq, b, end, head, 1);
        xl_clear_columns(tape_rows(a, a->tape.den), a->seq, b, end, head, 1);
    }
}

static void each_head(call *a, xl_task *task) {
    a->size = (ptrdiff_t)xl_mlstm_state(a->d);
    a->chunks = (a->seq.T + a->d.L - 1) / a->d.L;
    xl_parallel(a->seq.B * a->d.H, task, a);
}

static void mlstm(xl_view h, xl_mlstm_tape tape, xl_qkv in, xl_gates gates, xl_mlstm d, xl_seq seq,
                  xl_state state, float *scratch) {
    call a = {.h = h,
              .tape = tape,
              .in = in,
              .gates = gates,
              .d = d,
              .seq = seq,
              .state = state,
              .scratch = scratch};
    each_head(&a, forward_head);
}

/* ---- backward ---- */

static float past_at(const chunk *c, int t, float m_in) {
    return weight_of_past(c, t, m_in, *xl_row(c->m, t));
}

/* The gradient of the sums u, du = dh / N. */
static xl_view gradients_of_sums(const call *a, chunk *c) {
    xl_view du = xl_rows(c->y, c->L, c->dv);
    for (int t = 0; t < c->L; t++) {
        float N = normaliser(a, *xl_row(c->den, t), *xl_row(c->m, t));
        scaled_row(xl_row(du, t), 1 / N, xl_row(c->dh, t), c->dv);
    }
    return du;
}

/* Through the memory before the chunk: dq is written. */
static void backward_past_memory(chunk *c, head_state S, xl_view du) {
    xl_product_right(c->din.q, du, S.C, 1, 0);
    for (int t = 0; t < c->L; t++) {
        float *dq = xl_row(c->din.q, t);
        scaled_row(dq, past_at(c, t, *S.m), dq, c->dk);
    }
}

/* sums[0] += a . n, sums[1] += a . d */
static void two_dots(double sums[2], const float *a, const float *n, const float *d, int count) {
    double x = 0, y = 0;
#pragma omp simd reduction(+ : x, y)
    for (int i = 0; i < count; i++) {
        x += (double)a[i] * n[i];
        y += (double)a[i] * d[i];
    }
    sums[0] += x;
    sums[1] += y;
}

/* d_den, and d_m, which is there through eps. d_den is minus what u's gradient along u itself is, so the two
 * cancel: where a token sees hardly more than itself, all but some eps. Therefore it is summed from the very
 * numbers that it will meet, in double, and not taken from h. S.m NULL: nothing came in. */
static void gradients_of_normalisers(const call *a, chunk *c, head_state S) {
    for (int t = 0; t < c->L; t++) {
        const float *P = xl_row(c->P, t), *scores = xl_row(c->S, t);
        double den = 0, along = 0, past[2] = {0, 0}, bound = vec_exp(-*xl_row(c->m, t));
#pragma omp simd reduction(+ : den, along)
        for (int s = 0; s <= t; s++) {
            den += scores[s];
            along += (double)scores[s] * P[s];
        }
        if (S.m) {
            two_dots(past, xl_row(c->in.q, t), S.n, xl_row(c->din.q, t), c->dk);
            den += past_at(c, t, *S.m) * past[0];
            along += past[1];
        }
        double size = fabs(den), N = (size > bound ? size : bound) + a->d.eps;
        c->d_m[t] = (float)(-along / N * a->d.eps);
        c->d_den[t] = fabsf(*xl_row(c->den, t)) > bound ? (den > 0 ? -along / N : along / N) : 0;
    }
}

/* Pairs inside the chunk: dk, dv are written; to dq, where `add`, what came through the state is there
 * already. */
static void backward_pairs(chunk *c, xl_view du, int add) {
    float scale = key_scale(c);
    for (int t = 0; t < c->L; t++) {
        float *P = xl_row(c->P, t), *W = xl_row(c->W, t);
        for (int s = 0; s <= t; s++)
            P[s] = W[s] * (float)(P[s] + c->d_den[t]) * scale;
        memset(P + t + 1, 0, (c->L - t - 1) * sizeof *P);
    }
    product_of_triangle(c->din.q, c->P, c->in.k, add ? 1 : 0);
    product_of_triangle_left(c->din.k, c->P, c->in.q);
    product_of_triangle_left(c->din.v, c->S, du);
}

/* Through the normaliser of the state before the chunk: adds to dq. */
static void backward_past_normaliser(chunk *c, head_state S) {
    for (int t = 0; t < c->L; t++)
        vec_axpy(xl_row(c->din.q, t), past_at(c, t, *S.m) * (float)c->d_den[t], S.n, c->dk);
}

/* Adds to the gradient of the state before the chunk. */
static void backward_incoming(chunk *c, float m_in, xl_view du) {
    for (int t = 0; t < c->L; t++) {
        float past = past_at(c, t, m_in), *d = xl_row(du, t);
        scaled_row(d, past, d, c->dv);
        vec_axpy(c->before.n, past * (float)c->d_den[t], xl_row(c->in.q, t), c->dk);
    }
    xl_product_left(c->before.C, c->in.q, du, 1, 1);
}

/* next = decay G; returns G . S, all [n]. */
static float decayed(float *next, float decay, const float *G, const float *S, int n) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < n; i++) {
        next[i] = decay * G[i];
        sum += G[i] * S[i];
    }
    return sum;
}

/* Through the state S after the chunk, whose gradient is G: adds to dk, dv; begins the gradient of the state
 * before. Returns what belongs to the last cumulative log f. */
static float backward_outgoing(chunk *c, head_state S, float m_in) {
    int L = c->L, dk = c->dk, dv = c->dv;
    xl_view values = xl_rows(c->x, L, dv), keys = xl_rows(c->x, L, dk); /* weighted, one after the other */
    assert(S.m); /* there is a state wherever there is its gradient */
    double last = c->b[L - 1] - *S.m;
    float scale = key_scale(c);
    for (int s = 0; s < L; s++) {
        float w = scale * rounded_exp(last + c->bi[s]);
        scaled_row(xl_row(values, s), w, xl_row(c->in.v, s), dv);
        vec_axpy(xl_row(c->din.k, s), w, c->G.n, dk);
    }
    xl_product_right(c->din.k, values, c->G.C, 1, 1);
    for (int s = 0; s < L; s++)
        scaled_row(xl_row(keys, s), scale * rounded_exp(last + c->bi[s]), xl_row(c->in.k, s), dk);
    xl_product(c->din.v, keys, c->G.C, 1, 1);
    float decay = rounded_exp(last + m_in), sum = 0;
    for (int i = 0; i < dk; i++)
        sum += decayed(xl_row(c->before.C, i), decay, xl_row(c->G.C, i), xl_row(S.C, i), dv);
    return sum + decayed(c->before.n, decay, c->G.n, S.n, dk);
}

/* di and df; dlogf is what came to the last cumulative log f from later chunks. m is the larger of two
 * numbers, and its gradient goes to that one: on to the token before, or to i, where it ends. */
static void backward_gates(chunk *c, float dlogf, float m_in) {
    float dm = c->d_m_after;
    for (int t = c->L - 1; t >= 0; t--) {
        float i = xl_mlstm_clamp(*xl_row(c->gates.i, t)), f = *xl_row(c->gates.f, t);
        float m_before = t > 0 ? *xl_row(c->m, t - 1) : m_in;
        float along = vec_dot(xl_row(c->in.k, t), xl_row(c->din.k, t), c->dk);
        dlogf += vec_dot(xl_row(c->in.q, t), xl_row(c->din.q, t), c->dk) - along;
        dm += c->d_m[t];
        int from_before = c->b[t] - (t ? c->b[t - 1] : 0) + m_before >= i;
        *xl_row(c->dgates.i, t) = along + (from_before ? 0 : dm);
        *xl_row(c->dgates.f, t) = (dlogf + (from_before ? dm : 0)) * vec_sigmoid(-f);
        dm = from_before ? dm : 0;
    }
    c->d_m_after = dm;
}

/* S: the state before the chunk, m_in its stabiliser; S.m NULL: zero. S_after: only read where has_G. */
static void backward_chunk(const call *a, chunk *c, head_state S, float m_in, head_state S_after, int first) {
    float dlogf = 0;
    xl_view du = gradients_of_sums(a, c);
    weights_and_scores(c, c->m);
    product_to_triangle(c->P, du, c->in.v, 1);
    if (S.m)
        backward_past_memory(c, S, du);
    gradients_of_normalisers(a, c, S);
    backward_pairs(c, du, S.m != NULL);
    if (c->has_G)
        dlogf = backward_outgoing(c, S_after, m_in);
    else
        memset(c->before.C.p, 0, (a->size - 1) * sizeof(float));
    if (S.m)
        backward_past_normaliser(c, S);
    if (S.m && !first)
        backward_incoming(c, m_in, du);
    backward_gates(c, dlogf, m_in);
}

/* The next chunk is the one before; across the beginning of a sequence nothing goes back. */
static void step_back(chunk *c, int fresh) {
    head_state done = c->G;
    c->G = c->before;
    c->before = done;
    c->has_G = !fresh;
    c->d_m_after = fresh ? 0 : c->d_m_after;
}

static void clear_padding_bwd(const call *a, int b, int head) {
    int end = xl_length(a->seq, b), dk = a->d.dk, dv = a->d.dv;
    xl_clear_columns(a->din.q, a->seq, b, end, head * dk, dk);
    xl_clear_columns(a->din.k, a->seq, b, end, head * dk, dk);
    xl_clear_columns(a->din.v, a->seq, b, end, head * dv, dv);
    xl_clear_columns(a->dgates.i, a->seq, b, end, head, 1);
    xl_clear_columns(a->dgates.f, a->seq, b, end, head, 1);
}

static void backward_head(void *context, int index, int thread) {
    const call *a = context;
    int b = index / a->d.H, head = index % a->d.H, fresh, start;
    chunk c = {.has_G = 0};
    layout(a, &c, thread);
    for (int end = xl_length(a->seq, b); end > 0; end = start) {
        start = xl_piece_start(a->seq, b, a->d.L, end, &fresh);
        open_chunk(a, &c, b, head, start, end);
        open_chunk_bwd(a, &c);
        head_state S = {0}, S_after = c.has_G ? border(a, b, head, end) : S;
        if (!fresh && start % a->d.L == 0)
            S = border(a, b, head, start);
        float m_in = S.m ? *S.m : xl_mlstm_start(a->d, a->state);
        if (start == 0 && S.m && is_zero(S.C.p, a->size - 1)) /* later ones need a gradient even so */
            S = (head_state){0};
        backward_chunk(a, &c, S, m_in, S_after, start == 0);
        step_back(&c, fresh);
    }
    clear_padding_bwd(a, b, head);
}

static void mlstm_bwd(xl_qkv din, xl_gates dgates, xl_view dh, xl_view h, xl_mlstm_tape tape, xl_qkv in,
                      xl_gates gates, xl_mlstm d, xl_seq seq, xl_state state, float *scratch) {
    call a = {.h = h,
              .dh = dh,
              .tape = tape,
              .in = in,
              .din = din,
              .gates = gates,
              .dgates = dgates,
              .d = d,
              .seq = seq,
              .state = state,
              .scratch = scratch};
    each_head(&a, backward_head);
}

void XL_ISA_NAME(xl_install_mlstm)(xl_ops *t) {
    t->mlstm = mlstm;
    t->mlstm_bwd = mlstm_bwd;
    t->mlstm_scratch = mlstm_scratch;
}
