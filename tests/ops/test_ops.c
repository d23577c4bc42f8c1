/* Every CPU op against the reference: random shapes, strided views, outputs full of dirt, ragged rows, resets
 * and state; and the same bits whatever the thread count. */
#include "base/half.h"
#include "ops/cpu/cpu.h"
#include "support/random.h"
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { CASES = 25, POOL = 1 << 21, BUFFERS = 40 };

/* One run of one op: buffers are handed out in order, so that the runs of two backends see the same inputs.
 */
typedef struct {
    const xl_ops *op;
    uint64_t seed;
    int next;
    float *out[BUFFERS];
    size_t out_count[BUFFERS];
    int outs;
    void *owned[4 * BUFFERS];
    int owned_count;
} bench;

static unsigned pick(bench *b, unsigned low, unsigned high) {
    return low + (unsigned)(xl_hash(b->seed, (uint64_t)b->next++) % (high - low + 1));
}

static float *take(bench *b, size_t count) {
    assert_true(count < POOL && b->owned_count < 4 * BUFFERS);
    float *p = malloc((count + 1) * sizeof *p);
    b->owned[b->owned_count++] = p;
    return p;
}

static float *input(bench *b, size_t count, double scale) {
    float *p = take(b, count);
    fill_normal(p, count, scale, b->seed * 31 + (uint64_t)b->next++);
    return p;
}

/* What the op writes: NaN if it must overwrite, numbers if it adds. */
static float *output(bench *b, size_t count, int adds) {
    float *p = adds ? input(b, count, 1) : take(b, count);
    for (size_t i = 0; !adds && i < count; i++)
        p[i] = NAN;
    b->out[b->outs] = p;
    b->out_count[b->outs++] = count;
    return p;
}

/* Strided views; the columns between rows are numbers that nobody may change. */
static xl_view in_view(bench *b, int rows, int cols, double scale) {
    size_t ld = (size_t)cols + pick(b, 0, 3);
    return (xl_view){input(b, (size_t)rows * ld, scale), rows, cols, ld};
}

static xl_view out_view(bench *b, int rows, int cols, int adds) {
    size_t ld = (size_t)cols + pick(b, 0, 3);
    float *p = output(b, (size_t)rows * ld, 1);
    for (int n = 0; !adds && n < rows; n++)
        for (int c = 0; c < cols; c++)
            p[(size_t)n * ld + (size_t)c] = NAN;
    return (xl_view){p, rows, cols, ld};
}

static xl_seq some_seq(bench *b, int B, int T) {
    xl_seq s = {.B = B, .T = T};
    unsigned how = pick(b, 0, 3);
    int32_t *lengths = (int32_t *)(void *)take(b, (size_t)B);
    uint8_t *resets = (uint8_t *)take(b, (size_t)(B * T));
    for (int i = 0; i < B; i++)
        lengths[i] = (int32_t)pick(b, 0, (unsigned)T);
    for (int i = 0; i < B * T; i++)
        resets[i] = pick(b, 0, 5) == 0;
    s.lengths = how & 1 ? lengths : NULL;
    s.resets = how & 2 ? resets : NULL;
    return s;
}

/* A state of a run before: all zero, positive normalisers, or none. */
static xl_state some_state(bench *b, int B, size_t size) {
    if (pick(b, 0, 2) == 0)
        return (xl_state){0};
    float *p = output(b, (size_t)B * size, 1);
    memset(p, 0, (size_t)B * size * sizeof *p);
    return (xl_state){p, p, size};
}

typedef void one_case(bench *);

static void case_linear(bench *b) {
    int N = (int)pick(b, 1, 300), I = (int)pick(b, 1, 90), O = (int)pick(b, 1, 600), add = (int)pick(b, 0, 1);
    xl_view x = in_view(b, N, I, 1), dy = in_view(b, N, O, 1);
    float *W = input(b, (size_t)(O * I), 1), *bias = input(b, (size_t)O, 1);
    b->op->linear(out_view(b, N, O, 0), x, W, add ? bias : NULL);
    b->op->linear_dx(out_view(b, N, I, add), dy, W, add);
    b->op->linear_dw(output(b, (size_t)(O * I), 1), output(b, (size_t)O, 1), x, dy);
}

/* A matrix of any type, with numbers of about the given size. */
static xl_matrix some_matrix(bench *b, int rows, int cols, double size) {
    size_t count = (size_t)rows * (size_t)cols;
    xl_matrix W = {(xl_number)pick(b, XL_REAL, XL_INT8), rows, cols, input(b, count, size), NULL};
    float *numbers = (float *)(uintptr_t)W.data, *scale = input(b, (size_t)rows, size / 64);
    for (size_t i = 0; i < count; i++) { /* to the front of the same memory, which is read before */
        uint16_t half = xl_to_bf16(numbers[i]);
        int8_t whole = (int8_t)xl_hash(b->seed, i);
        if (W.type == XL_BFLOAT16)
            memcpy((char *)numbers + 2 * i, &half, 2);
        else if (W.type == XL_INT8)
            memcpy((char *)numbers + i, &whole, 1);
    }
    W.scale = W.type == XL_INT8 ? scale : NULL;
    return W;
}

/* Every type of matrix, few rows and many, more columns than a tile has. */
static void case_packed(bench *b) {
    int N = (int)(pick(b, 0, 4) ? pick(b, 1, 20) : pick(b, 250, 600)), I = (int)pick(b, 1, 1100);
    int O = (int)pick(b, 1, 90), V = O;
    xl_matrix W = some_matrix(b, O, I, 1);
    float *bias = input(b, (size_t)O, 1);
    b->op->linear_packed(out_view(b, N, O, 0), in_view(b, N, I, 1), W, pick(b, 0, 1) ? bias : NULL);
    int32_t *tokens = (int32_t *)(void *)take(b, (size_t)N);
    for (int n = 0; n < N; n++)
        tokens[n] = (int32_t)pick(b, 0, (unsigned)V - 1);
    b->op->embed_packed(out_view(b, N, I, 0), tokens, W);
    xl_heads s = {(int)pick(b, 1, 5), (int)pick(b, 1, 140), (int)pick(b, 1, 140), 141};
    b->op->heads_packed(out_view(b, N, s.n * s.ystep, 1), in_view(b, N, s.n * s.in, 1),
                        some_matrix(b, s.n * s.out, s.in, 1), s);
}

static void case_heads(bench *b) {
    int N = (int)pick(b, 1, 300), n = (int)pick(b, 1, 9), in = (int)pick(b, 1, 24), out = (int)pick(b, 1, 24);
    int add = (int)pick(b, 0, 1);
    if (pick(b, 0, 1)) /* the official package's */
        n = (int)pick(b, 1, 150), in = out = 4, N = pick(b, 0, 2) ? N : 1 + N % 9;
    if (b->seed % 4 == 0) /* large enough for a task each, and for more than one tile of rows */
        n = 3, in = 30 + in, out = 40, N += 256;
    xl_heads s = {n, in, out, out};
    xl_view x = in_view(b, N, n * in, 1), dy = in_view(b, N, n * out, 1);
    float *W = input(b, (size_t)(n * in * out), 1), *bias = input(b, (size_t)(n * out), 1);
    b->op->heads(out_view(b, N, n * out, 0), x, W, add ? bias : NULL, s);
    b->op->heads_dx(out_view(b, N, n * in, add), dy, W, s, add);
    b->op->heads_dw(output(b, (size_t)(n * in * out), 1), add ? output(b, (size_t)(n * out), 1) : NULL, x, dy,
                    s);
}

static void case_conv(bench *b) {
    int B = (int)pick(b, 1, 4), T = (int)pick(b, 1, 20), C = (int)pick(b, 1, 100), K = (int)pick(b, 1, 6);
    xl_seq seq = some_seq(b, B, T);
    xl_state state = some_state(b, B, (size_t)((K - 1) * C + 1)), before = {0};
    float *w = input(b, (size_t)(C * K), 1), *bias = input(b, (size_t)C, 1);
    if (state.in) { /* a state with something in it, through the op itself */
        before = state;
        b->op->conv(out_view(b, B * T, C, 0), in_view(b, B * T, C, 1), w, bias, K, (xl_seq){.B = B, .T = T},
                    before);
    }
    xl_view x = in_view(b, B * T, C, 1);
    int add = (int)pick(b, 0, 1);
    b->op->conv_bwd(out_view(b, B * T, C, add), output(b, (size_t)(C * K), 1), output(b, (size_t)C, 1),
                    in_view(b, B * T, C, 1), x, w, bias, K, seq, (xl_state){state.in, NULL, state.stride},
                    add);
    b->op->conv(out_view(b, B * T, C, 0), x, w, bias, K, seq, state);
}

static void case_norm(bench *b) {
    int N = (int)pick(b, 1, 100), G = (int)pick(b, 1, 5), W = (int)pick(b, 2, 40), add = (int)pick(b, 0, 1);
    xl_norm n = {G, (int)pick(b, 0, 1), (int)pick(b, 0, 1), 1e-3f};
    xl_view x = in_view(b, N, G * W, 1), dy = in_view(b, N, G * W, 1);
    float *w = input(b, (size_t)(G * W), 1), *bias = input(b, (size_t)(G * W), 1);
    b->op->norm(out_view(b, N, G * W, 0), x, w, add ? bias : NULL, n);
    b->op->norm_bwd(out_view(b, N, G * W, add), output(b, (size_t)(G * W), 1),
                    add ? output(b, (size_t)(G * W), 1) : NULL, dy, x, w, n, add);
}

static void case_gates(bench *b) {
    int N = (int)pick(b, 1, 200), C = (int)pick(b, 1, 200);
    xl_act act = (xl_act)pick(b, 0, XL_SELU);
    xl_view g = in_view(b, N, C, 3), u = in_view(b, N, C, 1), dy = in_view(b, N, C, 1),
            z = in_view(b, N, C, 3);
    float *skip = input(b, (size_t)C, 1);
    b->op->glu(out_view(b, N, C, 0), g, u, act);
    xl_view dg = out_view(b, N, C, 0), du = out_view(b, N, C, 0);
    b->op->glu_bwd(dg, du, dy, g, u, act);
    b->op->skip_gate(out_view(b, N, C, 0), g, u, z, skip);
    xl_view dh = out_view(b, N, C, 0), dc = out_view(b, N, C, 0), dz = out_view(b, N, C, 0);
    b->op->skip_gate_bwd(dh, dc, dz, output(b, (size_t)C, 1), dy, g, u, z, skip);
    xl_view y = out_view(b, N, C, 0), in_place = out_view(b, N, C, 1);
    b->op->softcap(y, z, 5);
    b->op->softcap_bwd(out_view(b, N, C, 0), dy, y, 5);
    b->op->softcap_bwd(in_place, in_place, y, 5);
    b->op->softcap(in_place, in_place, 0.5f);
    b->op->add(out_view(b, N, C, 1), u);
    b->op->copy(out_view(b, N, C, 0), u);
    b->op->dropout(out_view(b, N, C, 0), u, 0.3f, b->seed);
}

static void case_loss(bench *b) {
    int N = (int)pick(b, 1, 60), V = (int)pick(b, 1, 700);
    xl_view logits = in_view(b, N, V, pick(b, 0, 1) ? 3 : 60);
    int32_t *targets = (int32_t *)(void *)take(b, (size_t)N);
    for (int n = 0; n < N; n++)
        targets[n] = (int32_t)pick(b, 0, (unsigned)V) - 1;
    for (int n = 0; n < N; n++) /* nobody looks at rows that do not count */
        if (targets[n] < 0)
            logits.p[(size_t)n * logits.ld] = INFINITY;
    b->op->xent(output(b, (size_t)N, 0), out_view(b, N, V, 0), logits, targets, 0.25f);
    b->op->xent(output(b, (size_t)N, 0), (xl_view){0}, logits, targets, 0);
}

static void case_head(bench *b) {
    int N = (int)pick(b, 1, 60), V = (int)pick(b, 1, 700), D = (int)pick(b, 1, 90);
    xl_view x = in_view(b, N, D, 1);
    float *W = input(b, (size_t)(V * D), 0.3), *scratch = take(b, xl_xent_linear_scratch(N, V, D));
    int32_t *targets = (int32_t *)(void *)take(b, (size_t)N);
    for (int n = 0; n < N; n++)
        targets[n] = (int32_t)pick(b, 0, (unsigned)V) - 1;
    b->op->xent_linear(output(b, (size_t)N, 0), out_view(b, N, D, 0), output(b, (size_t)(V * D), 1), x, W, V,
                       targets, 0.25f, scratch);
    b->op->xent_linear(output(b, (size_t)N, 0), (xl_view){0}, NULL, x, W, V, targets, 0, scratch);
    b->op->xent_linear(NULL, out_view(b, N, D, 0), output(b, (size_t)(V * D), 1), x, W, V, targets, 0.25f,
                       scratch);
}

static void case_updates(bench *b) {
    size_t n = pick(b, 1, 100000);
    xl_update s = {.lr = 1e-2f,
                   .b1 = 0.9f,
                   .b2 = 0.95f,
                   .eps = 1e-8f,
                   .decay = 0.1f,
                   .c1 = 0.5f,
                   .c2 = 0.7f,
                   .gscale = 0.5f};
    float *g = input(b, n, 1), *w = output(b, n, 1), *m = output(b, n, 1), *v = output(b, n, 1);
    for (size_t i = 0; i < n; i++)
        v[i] = fabsf(v[i]);
    b->op->adamw(w, g, m, v, n, s);
    double sum = 1;
    b->op->sumsq(&sum, g, n);
    *output(b, 1, 0) = (float)sum;
    b->op->fill(output(b, n, 1), n - 1, 0.25f);
}

static void attention_of_size(bench *b, int B, int T, int H, int dh, int window) {
    int D = H * dh;
    xl_attention d = {H, dh, window};
    xl_seq seq = some_seq(b, B, T);
    xl_view q = in_view(b, B * T, D, 1), k = in_view(b, B * T, D, 1), v = in_view(b, B * T, D, 1);
    xl_view y = out_view(b, B * T, D, 0);
    float *scratch = take(b, xl_attention_scratch(d, seq)), *lse = output(b, (size_t)(B * T * H), 0);
    b->op->rope(out_view(b, B * T, D, 1), H, 1, seq, (xl_state){0});
    b->op->attention(y, lse, q, k, v, d, seq, (xl_state){0}, scratch);
    xl_view dq = out_view(b, B * T, D, 0), dk = out_view(b, B * T, D, 0), dv = out_view(b, B * T, D, 0);
    b->op->attention_bwd(dq, dk, dv, in_view(b, B * T, D, 1), y, lse, q, k, v, d, seq, scratch);
    xl_state state = some_state(b, B, xl_attention_state(d)), none = {0};
    if (state.in) { /* tokens before, so that rings are full or turn over; then from one state into another */
        xl_state other = {state.in, output(b, (size_t)B * xl_attention_state(d), 1), state.stride};
        b->op->attention(out_view(b, B * T, D, 0), NULL, q, v, k, d, (xl_seq){.B = B, .T = T}, state,
                         scratch);
        b->op->rope(out_view(b, B * T, D, 1), H, -1, seq, (xl_state){state.in, NULL, state.stride});
        b->op->attention(out_view(b, B * T, D, 0), NULL, q, k, v, d, seq, other, scratch);
        xl_state half = {.in = other.out, .out = other.out, .stride = state.stride};
        b->op->attention(out_view(b, B * T, D, 0), NULL, k, q, v, d, seq, half, scratch);
    }
    b->op->attention(out_view(b, B * T, D, 0), NULL, q, k, v, d, seq, state.in ? state : none, scratch);
}

static void case_attention(bench *b) {
    int B = (int)pick(b, 1, 3), T = (int)pick(b, 1, 20), H = (int)pick(b, 1, 3), dh = 2 * (int)pick(b, 1, 8);
    attention_of_size(b, B, T, H, dh, (int)pick(b, 1, 12));
}

/* More queries and keys than a block holds. */
static void case_long_attention(bench *b) {
    int T = (int)pick(b, 60, 700);
    attention_of_size(b, 1, T, (int)pick(b, 1, 2), 2 * (int)pick(b, 1, 5), (int)pick(b, 50, 900));
}

static void case_mlstm(bench *b) {
    int B = (int)pick(b, 1, 3), T = (int)pick(b, 1, 40), H = (int)pick(b, 1, 3), dk = (int)pick(b, 1, 17);
    xl_mlstm d = {H, dk, (int)pick(b, 1, 17), (int)pick(b, 1, 16), 1e-6f, (int)pick(b, 0, 1)};
    xl_seq seq = some_seq(b, B, T);
    size_t size = xl_mlstm_state(d), chunks = (size_t)((T + d.L - 1) / d.L);
    double gates = pick(b, 0, 2) ? 2 : 30; /* sometimes far out */
    xl_view q = in_view(b, B * T, H * dk, 1), k = in_view(b, B * T, H * dk, 1),
            v = in_view(b, B * T, H * d.dv, 1);
    xl_view i = in_view(b, B * T, H, gates), f = in_view(b, B * T, H, gates);
    if (b->seed % 5 == 0) /* states are zero, but not their gradients */
        memset(k.p, 0, (size_t)(B * T) * k.ld * sizeof *k.p);
    float *scratch = take(b, xl_mlstm_scratch(d, seq));
    xl_state state = some_state(b, B, (size_t)H * size);
    if (state.in)
        b->op->mlstm(out_view(b, B * T, H * d.dv, 0), NULL, NULL, NULL, q, k, v, i, f, d,
                     (xl_seq){.B = B, .T = T}, state, scratch);
    xl_view h = out_view(b, B * T, H * d.dv, 0);
    float *m = output(b, (size_t)(B * T * H), 0), *den = output(b, (size_t)(B * T * H), 0);
    float *borders = take(b, (size_t)(B * H) * chunks * size);
    xl_state in = {state.in, NULL, state.stride};
    b->op->mlstm(h, m, den, borders, q, k, v, i, f, d, seq, in, scratch);
    xl_view dq = out_view(b, B * T, H * dk, 0), dkk = out_view(b, B * T, H * dk, 0),
            dv = out_view(b, B * T, H * d.dv, 0);
    xl_view di = out_view(b, B * T, H, 0), df = out_view(b, B * T, H, 0);
    b->op->mlstm_bwd(dq, dkk, dv, di, df, in_view(b, B * T, H * d.dv, 1), h, m, den, borders, q, k, v, i, f,
                     d, seq, in, scratch);
}

static void rnn_of_size(bench *b, int B, int T, int H, int dh) {
    int D = H * dh;
    xl_rnn d = {.H = H,
                .dh = dh,
                .lstm = (int)pick(b, 0, 1),
                .cut = pick(b, 0, 3) == 0,
                .clip = pick(b, 0, 2) ? 0 : 0.3f,
                .clip_bwd = pick(b, 0, 2) ? 0 : 0.3f};
    xl_seq seq = some_seq(b, B, T);
    size_t n = (size_t)(B * T);
    double size = dh < 25 ? 0.3 : 1.5 / sqrt(dh);
    xl_matrix any = some_matrix(b, 4 * D, dh, size);
    float *R = input(b, (size_t)(4 * D * dh), size), *bias = input(b, (size_t)(4 * D), 1),
          *scratch = take(b, xl_rnn_scratch(d, seq));
    xl_state state = some_state(b, B, (size_t)(4 * D));
    if (state.in)
        b->op->rnn(out_view(b, B * T, D, 0), input(b, n * 4 * (size_t)D, 1), NULL, any, bias, d,
                   (xl_seq){.B = B, .T = T}, state, scratch);
    xl_view h = out_view(b, B * T, D, 0);
    float *gates = input(b, n * 4 * (size_t)D, pick(b, 0, 2) ? 1 : 20), *tape = take(b, n * 3 * (size_t)D);
    xl_state in = {state.in, NULL, state.stride};
    b->op->rnn(out_view(b, B * T, D, 0), input(b, n * 4 * (size_t)D, 1), NULL, any, bias, d, seq, in,
               scratch);
    b->op->rnn(h, gates, tape, xl_real_matrix(R, 4 * D, dh), bias, d, seq, in, scratch);
    b->out[b->outs] = gates; /* rnn_bwd leaves the gradient of every pre-activation here */
    b->out_count[b->outs++] = n * 4 * (size_t)D;
    b->op->rnn_bwd(gates, output(b, (size_t)(4 * D * dh), 1), output(b, (size_t)(4 * D), 1),
                   in_view(b, B * T, D, 1), h, tape, R, d, seq, in, scratch);
}

static void case_rnn(bench *b) {
    int B = (int)pick(b, 1, 4), T = (int)pick(b, 1, 20), H = (int)pick(b, 1, 3);
    rnn_of_size(b, B, T, H, (int)pick(b, 1, 24));
}

/* Wide enough for a head to be cut up among threads, and more streams than a tile has rows. */
static void case_wide_rnn(bench *b) {
    int B = (int)pick(b, 3, 14), T = (int)pick(b, 1, 8), H = (int)pick(b, 1, 2);
    rnn_of_size(b, B, T, H, (int)pick(b, 90, 150));
}

static const struct {
    const char *name;
    one_case *run;
    double tolerance; /* of the largest number of an output */
} cases[] = {{"linear", case_linear, 1e-5},
             {"packed", case_packed, 1e-5},
             {"heads", case_heads, 1e-5},
             {"conv", case_conv, 1e-5},
             {"norm", case_norm, 2e-5},
             {"gates", case_gates, 1e-5},
             {"loss", case_loss, 1e-5},
             {"head", case_head, 1e-5},
             {"updates", case_updates, 1e-6},
             {"attention", case_attention, 1e-5},
             {"long attention", case_long_attention, 1e-5},
             {"mlstm", case_mlstm, 2e-4},
             {"rnn", case_rnn, 1e-4},
             {"wide rnn", case_wide_rnn, 1e-4}};
enum { CASE_KINDS = sizeof cases / sizeof *cases };

static void finish(bench *b) {
    for (int i = 0; i < b->owned_count; i++)
        free(b->owned[i]);
}

static void compare(const bench *a, const bench *b, const char *name, double tolerance) {
    assert_int_equal(a->outs, b->outs);
    for (int o = 0; o < a->outs; o++) {
        double top = 1e-6, worst = 0;
        for (size_t i = 0; i < b->out_count[o]; i++)
            top = fmax(top, fabs((double)b->out[o][i]));
        for (size_t i = 0; i < a->out_count[o]; i++) {
            double d = fabs((double)a->out[o][i] - (double)b->out[o][i]);
            worst = d > worst || d != d ? d : worst;
        }
        if (!(worst <= tolerance * top))
            fail_msg("%s, seed %llu, output %d: differs by %g of %g", name, (unsigned long long)a->seed, o,
                     worst, top);
    }
}

static void run_all(const xl_ops *first, int first_threads, const xl_ops *second, int second_threads,
                    int exact) {
    for (int c = 0; c < CASE_KINDS; c++)
        for (uint64_t seed = 1; seed <= CASES; seed++) {
            bench a = {.op = first, .seed = seed}, b = {.op = second, .seed = seed};
            xlstm_set_threads(first_threads);
            cases[c].run(&a);
            xlstm_set_threads(second_threads);
            cases[c].run(&b);
            compare(&a, &b, cases[c].name, exact ? 0 : cases[c].tolerance);
            finish(&a);
            finish(&b);
        }
}

/* Runs it with every instruction set that this machine has. */
static void on_every_isa(void (*run)(const xl_ops *)) {
    for (int i = 0; i < XL_ISAS; i++)
        if (xl_cpu_isa(i)) {
            assert_int_equal(xlstm_set_backend(xl_isa_names[i]),
                             XLSTM_OK); /* ops that call others find its */
            run(xl_cpu_isa(i));
        } else {
            print_message("this machine has no %s\n", xl_isa_names[i]);
        }
    xlstm_set_backend("auto");
}

static void is_reference(const xl_ops *op) {
    run_all(op, 2, &xl_ops_ref, 2, 0);
}

static void test_cpu_is_reference(void **state) {
    (void)state;
    on_every_isa(is_reference);
}

static void same_bits(const xl_ops *op) {
    run_all(op, 1, op, 3, 1);
}

static void test_threads_do_not_matter(void **state) {
    (void)state;
    on_every_isa(same_bits);
}

/* A NaN must reach the loss, where it is seen. */
static void keeps_nan(const xl_ops *op) {
    enum { C = 37 };
    for (xl_act act = XL_GELU; act <= XL_SELU; act++) {
        bench b = {.op = op, .seed = 7};
        xl_view g = in_view(&b, 1, C, 1), u = in_view(&b, 1, C, 1), dy = in_view(&b, 1, C, 1);
        xl_view y = out_view(&b, 1, C, 0), dg = out_view(&b, 1, C, 0), du = out_view(&b, 1, C, 0);
        g.p[3] = g.p[C - 1] = NAN;
        op->glu(y, g, u, act);
        op->glu_bwd(dg, du, dy, g, u, act);
        for (int c = 0; c < C; c++) {
            int lost = c == 3 || c == C - 1, seen = !!isnan(y.p[c]) + !!isnan(dg.p[c]) + !!isnan(du.p[c]);
            if (seen != (lost ? 3 : 0))
                fail_msg("activation %d, number %d: %g, gradients %g and %g", (int)act, c, (double)y.p[c],
                         (double)dg.p[c], (double)du.p[c]);
        }
        finish(&b);
    }
}

static void test_nan_stays(void **state) {
    (void)state;
    keeps_nan(&xl_ops_ref);
    on_every_isa(keeps_nan);
}

/* 16,384 tokens against the recurrence in double. */
static void does_not_drift(const xl_ops *op) {
    enum { T = 16384, K = 8 };
    bench b = {.op = op, .seed = 5};
    xl_mlstm d = {1, K, K, 64, 1e-6f, 0};
    xl_seq seq = {.B = 1, .T = T};
    xl_view q = in_view(&b, T, K, 1), k = in_view(&b, T, K, 1), v = in_view(&b, T, K, 1),
            i = in_view(&b, T, 1, 1);
    xl_view f = in_view(&b, T, 1, 1), h = out_view(&b, T, K, 0);
    for (int t = 0; t < T; t++)
        f.p[(size_t)t * f.ld] += 5; /* long memory */
    b.op->mlstm(h, NULL, NULL, NULL, q, k, v, i, f, d, seq, (xl_state){0},
                take(&b, xl_mlstm_scratch(d, seq)));
    double C[K][K] = {{0}}, n[K] = {0}, m = 0, worst = 0, top = 0;
    for (size_t t = 0; t < T; t++) {
        double fi = (double)f.p[t * f.ld], ii = (double)i.p[t * i.ld], logf = -log1p(exp(-fi)), u[K] = {0},
               den = 0;
        double next = fmax(logf + m, ii), keep = exp(logf + m - next), in = exp(ii - next);
        for (int a = 0; a < K; a++) {
            double ka = (double)k.p[t * k.ld + (size_t)a] / sqrt(K), qa = (double)q.p[t * q.ld + (size_t)a];
            n[a] = keep * n[a] + in * ka;
            den += qa * n[a];
            for (int e = 0; e < K; e++) {
                C[a][e] = keep * C[a][e] + in * ka * (double)v.p[t * v.ld + (size_t)e];
                u[e] += qa * C[a][e];
            }
        }
        m = next;
        for (int e = 0; e < K; e++) {
            double want = u[e] / (fmax(fabs(den), exp(-m)) + 1e-6);
            worst = fmax(worst, fabs(want - (double)h.p[t * h.ld + (size_t)e]));
            top = fmax(top, fabs(want));
        }
    }
    if (!(worst <= 1e-4 * top))
        fail_msg("after 16,384 tokens h is off by %g of %g", worst, top);
    finish(&b);
}

static void test_mlstm_does_not_drift(void **state) {
    (void)state;
    on_every_isa(does_not_drift);
}

/* Token 0's input gate is i, token 3's forget gate f; with resets, a new sequence begins there, which comes
 * to the same when f is shut. */
static void mlstm_with(bench *b, float i0, float f3, int L, int cut) {
    enum { T = 8, K = 4 };
    uint8_t resets[T] = {0};
    xl_mlstm d = {1, K, K, L, 1e-6f, 0};
    xl_seq seq = {.B = 1, .T = T, .resets = cut ? resets : NULL};
    xl_view q = in_view(b, T, K, 1), k = in_view(b, T, K, 1), v = in_view(b, T, K, 1);
    xl_view i = in_view(b, T, 1, 1), f = in_view(b, T, 1, 1), h = out_view(b, T, K, 0);
    resets[3] = 1;
    f.p[3 * f.ld] = f3;
    i.p[0] = i0;
    float *scratch = take(b, xl_mlstm_scratch(d, seq)), *m = take(b, T), *den = take(b, T);
    float *borders = take(b, T * xl_mlstm_state(d));
    b->op->mlstm(h, m, den, borders, q, k, v, i, f, d, seq, (xl_state){0}, scratch);
    xl_view dq = out_view(b, T, K, 0), dk = out_view(b, T, K, 0), dv = out_view(b, T, K, 0);
    xl_view di = out_view(b, T, 1, 0), df = out_view(b, T, 1, 0);
    b->op->mlstm_bwd(dq, dk, dv, di, df, in_view(b, T, K, 1), h, m, den, borders, q, k, v, i, f, d, seq,
                     (xl_state){0}, scratch);
}

static void forgets_all(const xl_ops *op) {
    static const float gates[] = {-1e4f, -1e7f, -1e12f, -1e20f, -FLT_MAX, -INFINITY};
    for (size_t g = 0; g < sizeof gates / sizeof *gates; g++)
        for (int L = 1; L <= 8; L++) {
            bench a = {.op = op, .seed = 3}, b = {.op = &xl_ops_ref, .seed = 3};
            mlstm_with(&a, 0.5f, gates[g], L, 0);
            mlstm_with(&b, 0.5f, gates[g], L, 1);
            compare(&a, &b, "a forget gate that is shut", 1e-5);
            finish(&a), finish(&b);
        }
}

/* Beside a huge input gate no other counts, however huge it is, and whatever one forget gate is. The
 * stabiliser is a float without digits behind the point there, so of gradients only that they are finite is
 * asked. */
static void remembers_one(const xl_ops *op) {
    static const float inputs[] = {1e7f, 1e8f, 1e12f, FLT_MAX, INFINITY}, forgets[] = {3, -30};
    for (size_t g = 0; g < sizeof inputs / sizeof *inputs; g++)
        for (int L = 1; L <= 8; L++)
            for (int f = 0; f < 2; f++) {
                bench a = {.op = op, .seed = 3}, b = {.op = &xl_ops_ref, .seed = 3};
                mlstm_with(&a, inputs[g], forgets[f], L, 0);
                mlstm_with(&b, 63, forgets[f], L, 0);
                for (int o = 1; o < a.outs; o++)
                    for (size_t k = 0; k < a.out_count[o]; k++)
                        assert_true(isfinite(a.out[o][k]));
                a.outs = b.outs = 1; /* h */
                compare(&a, &b, "a huge input gate", 1e-4);
                finish(&a), finish(&b);
            }
}

static void test_mlstm_remembers_one(void **state) {
    (void)state;
    remembers_one(&xl_ops_ref);
    on_every_isa(remembers_one);
}

static void test_mlstm_forgets_all(void **state) {
    (void)state;
    forgets_all(&xl_ops_ref);
    on_every_isa(forgets_all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cpu_is_reference),  cmocka_unit_test(test_threads_do_not_matter),
        cmocka_unit_test(test_nan_stays),         cmocka_unit_test(test_mlstm_does_not_drift),
        cmocka_unit_test(test_mlstm_forgets_all), cmocka_unit_test(test_mlstm_remembers_one)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
