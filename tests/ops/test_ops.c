/* Every op of every table against the reference: random shapes, strided views, outputs full of dirt, ragged
 * rows, resets and state, matrices of every type of number, scratch of the table's own size with a guard
 * behind it; and the same bits whatever the thread count. An op without a case fails.
 *
 *     test_ops --time [op]     the same cases timed: calls, GFLOP/s and GB/s of each op (or of one) on each
 * table */
#include "base/rng.h"
#include "ops/cpu/cpu.h"
#include "ops/trace.h"
#include "programs/compare.h"
#include "support/on_device.h"
#include "support/random.h"
#include "support/rooms.h"
#include "xlstm/profile.h"
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { CASES = 25, POOL = 1 << 21, BUFFERS = 40, GUARD = 64 };

/* One run of one op: buffers are handed out in order, so that the runs of two tables see the same inputs. */
typedef struct {
    const xl_ops *op;
    uint64_t seed;
    int next;
    float *out[BUFFERS];
    size_t out_count[BUFFERS];
    int outs;
    void *owned[4 * BUFFERS];
    int owned_count;
    float *guards[BUFFERS]; /* [GUARD] behind each scratch: no op writes there */
    int guard_count;
} bench;

static unsigned pick(bench *b, unsigned low, unsigned high) {
    return low + (unsigned)(xl_hash(b->seed, (uint64_t)b->next++) % (high - low + 1));
}

static int size(bench *b, unsigned low, unsigned high) {
    return (int)pick(b, low, high);
}

static void *owned(bench *b, size_t bytes) {
    assert_true(b->owned_count < 4 * BUFFERS);
    void *p = aligned_alloc(64, (bytes / 64 + 1) * 64);
    assert_non_null(p);
    return b->owned[b->owned_count++] = p;
}

static float *take(bench *b, size_t count) {
    assert_true(count < POOL && b->owned_count < 4 * BUFFERS);
    float *p = malloc((count + 1) * sizeof *p);
    assert_non_null(p);
    b->owned[b->owned_count++] = p;
    return p;
}

static int32_t *take_tokens(bench *b, int count, int low, int high) {
    int32_t *p = owned(b, (size_t)count * sizeof *p);
    for (int n = 0; n < count; n++)
        p[n] = low + (int32_t)pick(b, 0, (unsigned)(high - low));
    return p;
}

/* As large as the table says, full of dirt: nobody may read what he has not written. */
static float *scratch(bench *b, uint64_t count) {
    float *p = owned(b, (count + GUARD) * sizeof *p);
    for (uint64_t i = 0; i < count; i++)
        p[i] = NAN;
    for (int i = 0; i < GUARD; i++)
        p[count + (uint64_t)i] = (float)(i + 1);
    return b->guards[b->guard_count++] = p + count, p;
}

/* Normal numbers from anywhere in a long list of them: to make each anew would take most of the time. */
static float *input(bench *b, size_t count, double scale) {
    enum { NORMALS = 1000003 };
    static float normals[NORMALS];
    if (normals[0] == 0)
        fill_normal(normals, NORMALS, 1, 1);
    float *p = take(b, count);
    size_t from = xl_hash(b->seed, (uint64_t)b->next++) % NORMALS;
    for (size_t i = 0; i < count; i++)
        p[i] = (float)scale * normals[(from + i) % NORMALS];
    return p;
}

/* What the op writes: NaN if it must overwrite, numbers if it adds. */
static float *output(bench *b, size_t count, int adds) {
    float *p = adds ? input(b, count, 1) : take(b, count);
    for (size_t i = 0; !adds && i < count; i++)
        p[i] = NAN;
    assert_true(b->outs < BUFFERS);
    b->out[b->outs] = p;
    b->out_count[b->outs++] = count;
    return p;
}

/* Strided views; the columns between rows are numbers that nobody may change. */
static xl_view in_view(bench *b, int rows, int cols, double scale) {
    int ld = cols + size(b, 0, 3);
    return (xl_view){input(b, (size_t)(rows * ld), scale), XL_REAL, rows, cols, ld};
}

static xl_view out_view(bench *b, int rows, int cols, int adds) {
    int ld = cols + size(b, 0, 3);
    xl_view v = {output(b, (size_t)(rows * ld), 1), XL_REAL, rows, cols, ld};
    for (int n = 0; !adds && n < rows; n++)
        for (int c = 0; c < cols; c++)
            xl_row(v, n)[c] = NAN;
    return v;
}

static xl_view in_place(bench *b, xl_view v) {
    b->out[b->outs] = v.p;
    b->out_count[b->outs++] = (size_t)(v.rows * v.ld);
    return v;
}

/* A matrix of a type of number, with numbers of about the given size. */
static xl_matrix matrix(bench *b, xl_number type, int rows, int cols, double scale) {
    const float *numbers = input(b, (size_t)(rows * cols), scale);
    xl_matrix W = {type, rows, cols, NULL, NULL};
    size_t row = xl_matrix_row_bytes(&W);
    int scales = xl_number_scales(type, cols);
    char *data = owned(b, xl_matrix_bytes(&W));
    float *scale_of = scales ? take(b, (size_t)(rows * scales)) : NULL;
    for (int r = 0; r < rows; r++)
        xl_number_types[type].pack(data + (size_t)r * row, scales ? scale_of + r * scales : NULL,
                                   numbers + r * cols, cols);
    W.data = data;
    W.scale = scale_of;
    return W;
}

static xl_seq some_seq(bench *b, int B, int T) {
    xl_seq s = {.B = B, .T = T};
    unsigned how = pick(b, 0, 3);
    int32_t *lengths = take_tokens(b, B, 0, T);
    uint8_t *resets = owned(b, (size_t)(B * T));
    for (int i = 0; i < B * T; i++)
        resets[i] = pick(b, 0, 5) == 0;
    s.lengths = how & 1 ? lengths : NULL;
    s.resets = how & 2 ? resets : NULL;
    return s;
}

/* A state of a run before: all zero, positive normalisers, or none. */
static xl_state some_state(bench *b, int B, uint64_t count) {
    if (pick(b, 0, 2) == 0)
        return (xl_state){0};
    float *p = output(b, (size_t)B * count, 1);
    memset(p, 0, (size_t)B * count * sizeof *p);
    return (xl_state){p, p, (ptrdiff_t)count};
}

typedef void one_case(bench *);

/* Every type of matrix; the gradients are of reals. */
static void linear_of_size(bench *b, int N, int I, int O) {
    int add = size(b, 0, 1);
    xl_view x = in_view(b, N, I, 1), dy = in_view(b, N, O, 1);
    float *W = input(b, (size_t)(O * I), 1), *bias = input(b, (size_t)O, 1);
    for (int type = 0; type < XL_NUMBERS; type++)
        b->op->linear(out_view(b, N, O, 0), x, matrix(b, (xl_number)type, O, I, 1),
                      pick(b, 0, 1) ? bias : NULL);
    b->op->linear_dx(out_view(b, N, I, add), dy, W, add);
    b->op->linear_dw(output(b, (size_t)(O * I), 1), pick(b, 0, 1) ? output(b, (size_t)O, 1) : NULL, x, dy);
}

static void case_linear(bench *b) {
    int N = size(b, 1, 300), I = size(b, 1, 90);
    linear_of_size(b, N, I, size(b, 1, 600));
}

/* Few rows and many, more columns than a tile has. */
static void case_wide_linear(bench *b) {
    int N = pick(b, 0, 4) ? size(b, 1, 20) : size(b, 250, 600), I = size(b, 1, 1100);
    linear_of_size(b, N, I, size(b, 1, 90));
}

static void case_embed(bench *b) {
    int N = size(b, 1, 300), D = size(b, 1, 600), V = size(b, 1, 90);
    int32_t *tokens = take_tokens(b, N, -1, V - 1); /* a row without a token stays as it is */
    for (int type = 0; type < XL_NUMBERS; type++)
        b->op->embed(out_view(b, N, D, 1), tokens, matrix(b, (xl_number)type, V, D, 1));
    b->op->embed_dw(output(b, (size_t)(V * D), 1), in_view(b, N, D, 1), take_tokens(b, N, 0, V - 1));
}

static void heads_of_size(bench *b, int N, xl_heads s) {
    int add = size(b, 0, 1), I = s.n * s.in, O = (s.n - 1) * s.ystep + s.out;
    xl_view x = in_view(b, N, I, 1), dy = in_view(b, N, O, 1);
    float *W = input(b, (size_t)(s.out * I), 1), *bias = input(b, (size_t)(s.n * s.out), 1);
    for (int type = 0; type < XL_NUMBERS; type++)
        b->op->heads(out_view(b, N, O, 1), x, matrix(b, (xl_number)type, s.n * s.out, s.in, 1),
                     pick(b, 0, 1) ? bias : NULL, s);
    b->op->heads_dx(out_view(b, N, I, add), dy, W, s, add);
    b->op->heads_dw(output(b, (size_t)(s.out * I), 1),
                    pick(b, 0, 1) ? output(b, (size_t)(s.n * s.out), 1) : NULL, x, dy, s);
}

static void case_heads(bench *b) {
    int N = size(b, 1, 300), n = size(b, 1, 9), in = size(b, 1, 24), out = size(b, 1, 24);
    if (pick(b, 0, 1)) /* the official package's */
        n = size(b, 1, 150), in = out = 4, N = pick(b, 0, 2) ? N : 1 + N % 9;
    if (b->seed % 4 == 0) /* large enough for a task each, and for more than one tile of rows */
        n = 3, in = 30 + in, out = 40, N += 256;
    heads_of_size(b, N, (xl_heads){n, in, out, out});
}

/* Outputs with room between them, few rows and many. */
static void case_wide_heads(bench *b) {
    int N = pick(b, 0, 4) ? size(b, 1, 20) : size(b, 250, 400), n = size(b, 1, 5), in = size(b, 1, 140);
    heads_of_size(b, N, (xl_heads){n, in, size(b, 1, 140), 141});
}

static void case_conv(bench *b) {
    int B = size(b, 1, 4), T = size(b, 1, 20), C = size(b, 1, 100), K = size(b, 1, 6);
    xl_seq seq = some_seq(b, B, T);
    xl_state state = some_state(b, B, (uint64_t)((K - 1) * C + 1));
    float *w = input(b, (size_t)(C * K), 1), *bias = input(b, (size_t)C, 1);
    if (state.in) /* a state with something in it, through the op itself */
        b->op->conv(out_view(b, B * T, C, 0), in_view(b, B * T, C, 1), w, bias, K, (xl_seq){.B = B, .T = T},
                    state);
    xl_view x = in_view(b, B * T, C, 1);
    int add = size(b, 0, 1);
    b->op->conv_bwd(out_view(b, B * T, C, add), output(b, (size_t)(C * K), 1), output(b, (size_t)C, 1),
                    in_view(b, B * T, C, 1), x, w, bias, K, seq, (xl_state){state.in, NULL, state.stride},
                    add);
    b->op->conv(out_view(b, B * T, C, 0), x, w, bias, K, seq, state);
}

static void case_norm(bench *b) {
    int N = size(b, 1, 100), G = size(b, 1, 5), D = G * size(b, 2, 40), add = size(b, 0, 1);
    xl_norm n = {G, size(b, 0, 1), size(b, 0, 1), 1e-3f};
    xl_view x = in_view(b, N, D, 1), dy = in_view(b, N, D, 1);
    float *w = input(b, (size_t)D, 1), *bias = input(b, (size_t)D, 1);
    b->op->norm(out_view(b, N, D, 0), x, w, add ? bias : NULL, n);
    b->op->norm(out_view(b, N, D, 0), x, NULL, NULL, n);
    b->op->norm_bwd(out_view(b, N, D, add), output(b, (size_t)D, 1), add ? output(b, (size_t)D, 1) : NULL, dy,
                    x, w, n, add);
    b->op->norm_bwd(out_view(b, N, D, add), NULL, NULL, dy, x, NULL, n, add);
}

static void case_gates(bench *b) {
    int N = size(b, 1, 200), C = size(b, 1, 200);
    xl_act act = (xl_act)pick(b, 0, XL_TANH);
    xl_view g = in_view(b, N, C, 3), u = in_view(b, N, C, 1), dy = in_view(b, N, C, 1),
            z = in_view(b, N, C, 3);
    float *skip = input(b, (size_t)C, 1);
    b->op->glu(out_view(b, N, C, 0), g, u, act);
    xl_view dg = out_view(b, N, C, 0), du = out_view(b, N, C, 0);
    b->op->glu_bwd(dg, du, dy, g, u, act);
    xl_view both = in_place(b, in_view(b, N, C, 3)), other = in_place(b, in_view(b, N, C, 1));
    b->op->glu_bwd(both, other, other, both, u, act); /* dg on g, du on dy */
    b->op->glu(both, both, u, act);
    b->op->act(out_view(b, N, C, 0), g, act);
    b->op->act_bwd(out_view(b, N, C, 0), dy, g, act);
    xl_view slope = in_place(b, in_view(b, N, C, 3)), step = in_place(b, in_view(b, N, C, 1));
    b->op->act_bwd(step, step, slope, act);
    b->op->act_bwd(slope, dy, slope, act);
    b->op->act(slope, slope, act);
    b->op->skip_gate(out_view(b, N, C, 0), g, u, z, skip);
    xl_view dh = out_view(b, N, C, 0), dc = out_view(b, N, C, 0), dz = out_view(b, N, C, 0);
    b->op->skip_gate_bwd(dh, dc, dz, output(b, (size_t)C, 1), dy, g, u, z, skip);
    xl_view y = out_view(b, N, C, 0), capped = in_place(b, in_view(b, N, C, 1));
    b->op->softcap(y, z, 5);
    b->op->softcap_bwd(out_view(b, N, C, 0), dy, y, 5);
    b->op->softcap_bwd(capped, capped, y, 5);
    b->op->softcap(capped, capped, 0.5f);
}

static void case_moves(bench *b) {
    int B = size(b, 1, 5), T = size(b, 1, 40), N = B * T, C = size(b, 1, 200),
        from = size(b, 0, (unsigned)N - 1);
    size_t n = pick(b, 1, 100000);
    xl_view u = in_view(b, N, C, 1), dropped = in_place(b, in_view(b, N, C, 1));
    b->op->add(out_view(b, N, C, 1), u);
    b->op->copy(out_view(b, N, C, 0), u);
    b->op->fill(output(b, n, 1), n - 1, 0.25f);
    b->op->clear_padding(out_view(b, size(b, 1, (unsigned)(N - from)), C, 1), from, some_seq(b, B, T));
    b->op->dropout(out_view(b, N, C, 0), u, 0.3f, &b->seed, 17);
    b->op->dropout(dropped, dropped, 0.6f, &b->seed, 18);
}

static void case_loss(bench *b) {
    static float scale = 0.25f; /* (which a device can read) */
    int N = size(b, 1, 60), V = size(b, 1, 700), add = size(b, 0, 1);
    xl_view logits = in_view(b, N, V, pick(b, 0, 1) ? 3 : 60), on_place = in_place(b, in_view(b, N, V, 3));
    int32_t *targets = take_tokens(b, N, -1, V - 1);
    for (int n = 0; n < N; n++) /* nobody looks at rows that do not count */
        if (targets[n] < 0)
            *xl_row(logits, n) = INFINITY;
    b->op->xent(output(b, (size_t)N, 0), out_view(b, N, V, 0), logits, targets, &scale);
    b->op->xent(output(b, (size_t)N, 0), (xl_view){0}, logits, targets, &scale);
    b->op->xent(NULL, on_place, on_place, targets, &scale);
    xl_view y = in_view(b, N, V, 1), target = in_view(b, N, V, 1), error = in_place(b, in_view(b, N, V, 1));
    if (add)
        b->op->mse(output(b, (size_t)N, 0), out_view(b, N, V, 0), y, target, NULL, &scale);
    float *weight = input(b, (size_t)N, 1);
    for (int n = pick(b, 0, 3); n < N; n += 4) { /* nor at those of weight 0 */
        weight[n] = 0;
        *xl_row(n % 3 ? y : target, n) = n % 2 ? NAN : INFINITY;
        *xl_row(error, n) = NAN;
    }
    b->op->mse(output(b, (size_t)N, 0), out_view(b, N, V, 0), y, target, weight, &scale);
    b->op->mse(output(b, (size_t)N, 0), (xl_view){0}, y, target, weight, &scale);
    b->op->mse(NULL, error, error, target, weight, &scale);
}

static void case_pinball(bench *b) {
    static float scale = 0.25f;
    int N = size(b, 1, 60), Q = size(b, 1, 11), P = size(b, 1, 40);
    float *levels = take(b, (size_t)Q);
    for (int q = 0; q < Q; q++)
        levels[q] = (float)(q + 1) / (float)(Q + 1);
    xl_view y = in_view(b, N, Q * P, 1), target = in_view(b, N, P, 1),
            error = in_place(b, in_view(b, N, Q * P, 1));
    for (int n = 0; n < N; n++) { /* what is not known is not looked at */
        int j = size(b, 0, (unsigned)P - 1);
        xl_row(target, n)[j] = NAN;
        for (int q = 0; q < Q; q++)
            xl_row(y, n)[q * P + j] = q % 2 ? NAN : INFINITY;
    }
    b->op->pinball(output(b, (size_t)N, 0), out_view(b, N, Q * P, 0), y, target, levels, &scale);
    b->op->pinball(output(b, (size_t)N, 0), (xl_view){0}, y, target, levels, &scale);
    b->op->pinball(NULL, error, error, target, levels, &scale);
}

static void head_of_size(bench *b, int N, int V, int D, double logits) {
    static float scale = 0.25f; /* (which a device can read) */
    xl_view x = in_view(b, N, D, 1);
    float *W = input(b, (size_t)(V * D), logits), *s = scratch(b, b->op->xent_linear_scratch(N, V, D));
    int32_t *targets = take_tokens(b, N, -1, V - 1);
    targets[pick(b, 0, N - 1)] = -1;
    for (int n = 0; n < N; n++) /* nobody looks at logits that do not count, and these overflow */
        for (int c = 0; c < D && targets[n] < 0; c++)
            xl_row(x, n)[c] = 3e38f;
    b->op->xent_linear(output(b, (size_t)N, 0), out_view(b, N, D, 0), output(b, (size_t)(V * D), 1), x, W, V,
                       targets, &scale, s);
    b->op->xent_linear(output(b, (size_t)N, 0), (xl_view){0}, NULL, x, W, V, targets, &scale, s);
    b->op->xent_linear(NULL, out_view(b, N, D, 0), output(b, (size_t)(V * D), 1), x, W, V, targets, &scale,
                       s);
}

static void case_head(bench *b) {
    int N = size(b, 1, 60), V = size(b, 1, 700);
    head_of_size(b, N, V, size(b, 1, 90), 0.3);
}

/* Many classes against few columns, which a table may cut up among threads. */
static void case_wide_head(bench *b) {
    int N = size(b, 32, 80), D = size(b, 32, 40);
    head_of_size(b, N, 32 * D + size(b, 1, 900), D, 0.3);
}

static void case_updates(bench *b) {
    size_t n = pick(b, 1, 200000); /* up to some pieces of a sum */
    xl_update s = {.b1 = 0.9f, .b2 = 0.95f, .eps = 1e-8f, .decay = 0.1f, .momentum = 0.8f};
    xl_now now = {.rate = 1e-2f, .c1 = 0.5f, .c2 = 0.7f, .scale = NAN};
    float *g = input(b, n, 1), *w = output(b, n, 1), *m = output(b, n, 1), *v = output(b, n, 1);
    double sum = NAN, squares = NAN;
    for (size_t i = 0; i < n; i++)
        v[i] = fabsf(v[i]);
    if (b->seed % 4 == 0)
        g[n / 2] = NAN; /* nothing may change */
    b->op->sum(&sum, w, n);
    b->op->sumsq(&squares, g, n);
    b->op->clip(&now, &squares, pick(b, 0, 3) ? 1.5f : 0);
    b->op->adamw(w, g, m, v, n, s, &now);
    b->op->sgd(output(b, n, 1), g, output(b, n, 1), n, s, &now);
    assert_int_equal(now.go, b->seed % 4 != 0);
    float *few = output(b, 3, 0);
    few[0] = (float)sum, few[1] = now.go ? (float)squares : 0, few[2] = now.go ? now.scale : 0;
}

static xl_qkv in_qkv(bench *b, int N, int H, int dk, int dv) {
    xl_view q = in_view(b, N, H * dk, 1), k = in_view(b, N, H * dk, 1);
    return (xl_qkv){q, k, in_view(b, N, H * dv, 1)};
}

static xl_qkv out_qkv(bench *b, int N, int H, int dk, int dv) {
    xl_view q = out_view(b, N, H * dk, 0), k = out_view(b, N, H * dk, 0);
    return (xl_qkv){q, k, out_view(b, N, H * dv, 0)};
}

static xl_gates out_gates(bench *b, int N, int H) {
    xl_view i = out_view(b, N, H, 0);
    return (xl_gates){i, out_view(b, N, H, 0)};
}

/* Tokens before, so that rings are full or turn over; then from one state into another. */
static void attend_from(bench *b, xl_state state, xl_qkv x, xl_attention d, xl_seq seq, float *s) {
    int N = x.q.rows, D = d.H * d.dh;
    xl_qkv turned = {x.q, x.v, x.k};
    xl_state other = {state.in, output(b, (size_t)seq.B * xl_attention_state(d), 1), state.stride};
    b->op->attention(out_view(b, N, D, 0), NULL, turned, d, (xl_seq){.B = seq.B, .T = seq.T}, state, s);
    b->op->rope(out_view(b, N, D, 1), d.H, -1, seq, (xl_state){state.in, NULL, state.stride});
    b->op->attention(out_view(b, N, D, 0), NULL, x, d, seq, other, s);
    xl_state again = {other.out, other.out, state.stride};
    b->op->attention(out_view(b, N, D, 0), NULL, (xl_qkv){x.k, x.q, x.v}, d, seq, again, s);
    b->op->attention(out_view(b, N, D, 0), NULL, x, d, seq, state, s);
}

static void attention_of_size(bench *b, int B, int T, int H, int dh, int window) {
    int N = B * T, D = H * dh;
    xl_attention d = {H, dh, window};
    xl_seq seq = some_seq(b, B, T);
    xl_qkv x = in_qkv(b, N, H, dh, dh);
    xl_view y = out_view(b, N, D, 0);
    float *s = scratch(b, b->op->attention_scratch(d, seq)), *lse = output(b, (size_t)(N * H), 0);
    b->op->rope(out_view(b, N, D, 1), H, 1, seq, (xl_state){0});
    b->op->attention(y, lse, x, d, seq, (xl_state){0}, s);
    b->op->attention_bwd(out_qkv(b, N, H, dh, dh), in_view(b, N, D, 1), y, lse, x, d, seq, s);
    xl_state state = some_state(b, B, xl_attention_state(d));
    if (state.in)
        attend_from(b, state, x, d, seq, s);
}

static void case_attention(bench *b) {
    int B = size(b, 1, 3), T = size(b, 1, 20), H = size(b, 1, 3), dh = 2 * size(b, 1, 8);
    attention_of_size(b, B, T, H, dh, size(b, 1, 12));
}

/* More queries and keys than a block holds. */
static void case_long_attention(bench *b) {
    int T = size(b, 60, 700), H = size(b, 1, 2), dh = 2 * size(b, 1, 5);
    attention_of_size(b, 1, T, H, dh, size(b, 50, 900));
}

/* Streams dealt to groups in any order; some groups have no covariates, and some nothing else. */
static xl_groups some_groups(bench *b, int B) {
    int count = size(b, 1, (unsigned)B), most = 0;
    int32_t *members = owned(b, (size_t)B * sizeof *members),
            *first = owned(b, (size_t)(count + 1) * sizeof *first),
            *open = owned(b, (size_t)count * sizeof *open);
    for (int i = 0, turn = size(b, 0, (unsigned)B - 1); i < B; i++)
        members[i] = (int32_t)((i + turn) % B);
    first[0] = 0;
    for (int g = 0; g < count; g++) {
        first[g + 1] = g + 1 < count ? first[g] + size(b, 1, (unsigned)(B - first[g] - (count - g - 1))) : B;
        open[g] = size(b, 0, (unsigned)(first[g + 1] - first[g]));
        most = first[g + 1] - first[g] > most ? first[g + 1] - first[g] : most;
    }
    return (xl_groups){count, most, first, open, members};
}

static void groups_of_size(bench *b, int B, int T, int H, int dh) {
    int N = B * T;
    xl_seq seq = some_seq(b, B, T);
    xl_groups g = some_groups(b, B);
    xl_qkv x = in_qkv(b, N, H, dh, dh);
    xl_view y = out_view(b, N, H * dh, 0);
    float *lse = output(b, (size_t)(N * H), 0);
    b->op->group_attention(y, lse, x, H, seq, g);
    b->op->group_attention(out_view(b, N, H * dh, 0), NULL, x, H, seq, g);
    b->op->group_attention_bwd(out_qkv(b, N, H, dh, dh), in_view(b, N, H * dh, 1), y, lse, x, H, seq, g);
}

static void case_groups(bench *b) {
    int B = size(b, 1, 12), T = size(b, 1, 9), H = size(b, 1, 4);
    groups_of_size(b, B, T, H, size(b, 1, 40));
}

/* More members than scores are made for at a time. */
static void case_large_groups(bench *b) {
    int B = size(b, 200, 600), H = size(b, 1, 2);
    groups_of_size(b, B, size(b, 1, 2), H, size(b, 1, 9));
}

/* Wider heads. */
static void case_wide_attention(bench *b) {
    int T = size(b, 30, 90);
    attention_of_size(b, 1, T, 1, 2 * size(b, 14, 35), size(b, 20, 100));
}

/* Room for what forward leaves; borders that no chunk has are not written. */
static xl_mlstm_tape mlstm_tape(bench *b, xl_mlstm d, int B, int T) {
    size_t count = (size_t)(B * T * d.H), borders = (size_t)(B * d.H * ((T + d.L - 1) / d.L));
    float *m = output(b, count, 0), *den = output(b, count, 0);
    return (xl_mlstm_tape){m, den, take(b, borders * xl_mlstm_state(d))};
}

/* Where the normaliser N nearly cancels, gradients are differences of numbers that grow as 1 / N, of which
 * the reference in float keeps few digits (kernels sum them in double): no gradient comes from such tokens.
 */
static void spare_small_normalisers(xl_view dh, xl_mlstm_tape tape, xl_mlstm d) {
    for (int n = 0; n < dh.rows; n++)
        for (int h = 0; h < d.H; h++)
            if (fabsf(tape.den[n * d.H + h]) < 0.03f && expf(-tape.m[n * d.H + h]) < 0.03f)
                memset(xl_row(dh, n) + h * d.dv, 0, (size_t)d.dv * sizeof(float));
}

static void make_positive(xl_view v) {
    for (int n = 0; n < v.rows; n++)
        for (int c = 0; c < v.cols; c++)
            xl_row(v, n)[c] = fabsf(xl_row(v, n)[c]);
}

/* positive: queries and keys, so that no normaliser cancels. */
static void mlstm_of_size(bench *b, int B, int T, int H, int dk, int dv, int L, int positive) {
    int N = B * T;
    xl_mlstm d = {H, dk, dv, L, 1e-6f, size(b, 0, 1)};
    xl_seq seq = some_seq(b, B, T);
    double far = pick(b, 0, 2) ? 2 : 30; /* sometimes far out */
    xl_qkv x = in_qkv(b, N, H, dk, dv);
    if (positive)
        make_positive(x.q), make_positive(x.k);
    xl_view i = in_view(b, N, H, far), h = out_view(b, N, H * dv, 0);
    xl_gates gates = {i, in_view(b, N, H, far)};
    if (b->seed % 5 == 0) /* states are zero, but not their gradients */
        memset(x.k.p, 0, (size_t)(N * x.k.ld) * sizeof(float));
    float *s = scratch(b, b->op->mlstm_scratch(d, seq));
    xl_state state = some_state(b, B, (uint64_t)H * xl_mlstm_state(d));
    if (state.in)
        b->op->mlstm(out_view(b, N, H * dv, 0), (xl_mlstm_tape){0}, x, gates, d, (xl_seq){.B = B, .T = T},
                     state, s);
    xl_mlstm_tape tape = mlstm_tape(b, d, B, T);
    xl_state in = {state.in, NULL, state.stride};
    b->op->mlstm(h, tape, x, gates, d, seq, in, s);
    xl_qkv dx = out_qkv(b, N, H, dk, dv);
    xl_gates dgates = out_gates(b, N, H);
    xl_view dh = in_view(b, N, H * dv, 1);
    spare_small_normalisers(dh, tape, d);
    b->op->mlstm_bwd(dx, dgates, dh, h, tape, x, gates, d, seq, in, s);
}

static void case_mlstm(bench *b) {
    int B = size(b, 1, 3), T = size(b, 1, 40), H = size(b, 1, 3), dk = size(b, 1, 17), dv = size(b, 1, 17);
    mlstm_of_size(b, B, T, H, dk, dv, size(b, 1, 16), 0);
}

/* Chunks of more tokens than are multiplied at once. */
static void case_long_mlstm(bench *b) {
    int T = size(b, 20, 120), H = size(b, 1, 2), dk = size(b, 16, 70), dv = size(b, 16, 70);
    mlstm_of_size(b, 1, T, H, dk, dv, size(b, 17, 100), 1);
}

static void rnn_of_size(bench *b, int B, int T, int H, int dh) {
    int D = H * dh, N = B * T;
    xl_rnn d = {.H = H,
                .dh = dh,
                .lstm = size(b, 0, 1),
                .cut = pick(b, 0, 3) == 0,
                .clip = pick(b, 0, 2) ? 0 : 0.3f,
                .clip_bwd = pick(b, 0, 2) ? 0 : 0.3f};
    xl_seq seq = some_seq(b, B, T);
    double scale = dh < 25 ? 0.3 : 1.5 / sqrt(dh);
    float *R = input(b, (size_t)(4 * D * dh), scale), *bias = input(b, (size_t)(4 * D), 1),
          *s = scratch(b, b->op->rnn_scratch(d, seq)), *tape = take(b, (size_t)(N * 3 * D));
    xl_state state = some_state(b, B, (uint64_t)(4 * D)), in = {state.in, NULL, state.stride};
    if (state.in)
        b->op->rnn(out_view(b, N, D, 0), in_view(b, N, 4 * D, 1), NULL, xl_real_matrix(R, 4 * D, dh), bias, d,
                   (xl_seq){.B = B, .T = T}, state, s);
    for (int type = 0; type < XL_NUMBERS; type++)
        b->op->rnn(out_view(b, N, D, 0), in_view(b, N, 4 * D, 1), NULL,
                   matrix(b, (xl_number)type, 4 * D, dh, scale), bias, d, seq, in, s);
    /* rnn_bwd leaves the gradient of every pre-activation in gates */
    xl_view h = out_view(b, N, D, 0), gates = in_place(b, in_view(b, N, 4 * D, pick(b, 0, 2) ? 1 : 20));
    int biased = size(b, 0, 2);
    b->op->rnn(h, gates, tape, xl_real_matrix(R, 4 * D, dh), biased ? bias : NULL, d, seq, in, s);
    b->op->rnn_bwd(gates, output(b, (size_t)(4 * D * dh), 1), biased ? output(b, (size_t)(4 * D), 1) : NULL,
                   in_view(b, N, D, 1), h, tape, R, d, seq, in, s);
}

static void case_rnn(bench *b) {
    int B = size(b, 1, 4), T = size(b, 1, 20), H = size(b, 1, 3);
    rnn_of_size(b, B, T, H, size(b, 1, 24));
}

/* Wide enough for a head to be cut up among threads, and more streams than a tile has rows. */
static void case_wide_rnn(bench *b) {
    int B = size(b, 3, 14), T = size(b, 1, 8), H = size(b, 1, 2);
    rnn_of_size(b, B, T, H, size(b, 90, 150));
}

/* Tolerances are of the largest number of an output: with float products, and with those in bfloat16, whose
 * factors are rounded to 8 bits. */
static const struct {
    const char *name;
    one_case *run;
    double tolerance, bf16;
} cases[] = {{"linear", case_linear, 1e-5, 1e-2},
             {"wide linear", case_wide_linear, 1e-5, 1e-2},
             {"embed", case_embed, 1e-6, 1e-6},
             {"heads", case_heads, 1e-5, 1e-2},
             {"wide heads", case_wide_heads, 1e-5, 1e-2},
             {"conv", case_conv, 1e-5, 1e-5},
             {"norm", case_norm, 2e-5, 2e-5},
             {"gates", case_gates, 1e-5, 1e-5},
             {"moves", case_moves, 1e-6, 1e-6},
             {"loss", case_loss, 1e-5, 1e-5},
             {"pinball", case_pinball, 1e-5, 1e-5},
             {"head", case_head, 1e-5, 1e-2},
             {"wide head", case_wide_head, 1e-5, 1e-2},
             {"updates", case_updates, 1e-6, 1e-6},
             {"attention", case_attention, 1e-5, 1e-5},
             {"long attention", case_long_attention, 1e-5, 1e-5},
             {"groups", case_groups, 1e-5, 1e-5},
             {"large groups", case_large_groups, 1e-5, 1e-5},
             {"wide attention", case_wide_attention, 1e-5, 1e-5},
             {"mlstm", case_mlstm, 2e-4, 2e-4},
             {"long mlstm", case_long_mlstm, 2e-4, 2e-4},
             {"rnn", case_rnn, 1e-4, 1e-4},
             {"wide rnn", case_wide_rnn, 1e-4, 1e-4}};
enum { CASE_KINDS = sizeof cases / sizeof *cases };

/* Each table that this machine has, or that of the device that is tested. The reference is one of them: what
 * it writes must not come from dirt. */
typedef struct {
    const xl_ops *op;
    int bf16; /* 1: products in bfloat16 */
} table;

static int find_tables(table *out) {
    int count = 0;
    if (device_table()) { /* alone: the others have been tested where there is none */
        *out = (table){device_table(), 0};
        return 1;
    }
    for (int i = 0; i < XL_ISAS; i++)
        for (int bf16 = 0; bf16 < 2; bf16++) {
            const xl_ops *op = xl_cpu_isa(i);
            op = op && bf16 ? xl_cpu_bf16(op) : op;
            if (op)
                out[count++] = (table){op, bf16};
            else
                print_message("this machine has no %s%s\n", xl_isa_names[i], bf16 ? ", bf16" : "");
        }
    out[count++] = (table){&xl_ops_ref, 0};
    return count;
}

enum { TABLES = 2 * XL_ISAS + 1 };

static void on_every_table(void (*run)(table)) {
    table all[TABLES];
    int count = find_tables(all);
    for (int i = 0; i < count; i++)
        run(all[i]);
}

static void finish(bench *b) {
    for (int g = 0; g < b->guard_count; g++)
        for (int i = 0; i < GUARD; i++)
            if (b->guards[g][i] != (float)(i + 1))
                fail_msg("%s, seed %llu: number %d behind the end of scratch %d was written", b->op->name,
                         (unsigned long long)b->seed, i, g);
    for (int i = 0; i < b->owned_count; i++)
        free(b->owned[i]);
}

static int all_finite(const float *p, size_t count) {
    int bad = 0;
    for (size_t i = 0; i < count; i++)
        bad |= !isfinite(p[i]);
    return !bad;
}

/* The first output that is another one, with how it differs; -1: none. No case here has an output that is
 * infinite. */
static int differing(const bench *a, const bench *b, double tolerance, comparison *c) {
    assert_int_equal(a->outs, b->outs);
    for (int o = 0; o < a->outs; o++) {
        assert_int_equal(a->out_count[o], b->out_count[o]);
        *c = compare_numbers(a->out[o], b->out[o], b->out_count[o]);
        if (!agrees(c, tolerance * fmax(c->size, 1e-6)) || !all_finite(a->out[o], a->out_count[o]))
            return o;
    }
    return -1;
}

static void compare(const bench *a, const bench *b, const char *name, double tolerance) {
    comparison c;
    int o = differing(a, b, tolerance, &c);
    if (o >= 0)
        fail_msg("%s, %s, seed %llu, output %d: " APART, a->op->name, name, (unsigned long long)a->seed, o,
                 APART_OF(c));
}

static bench run_case(int c, uint64_t seed, const xl_ops *op, int threads) {
    bench b = {.op = op, .seed = seed};
    xlstm_set_threads(threads);
    take_rooms(op->linear_room(), threads);
    cases[c].run(&b);
    return b;
}

static void test_every_table_is_the_reference(void **state) {
    table all[TABLES];
    int count = find_tables(all);
    (void)state;
    for (int c = 0; c < CASE_KINDS; c++)
        for (uint64_t seed = 1; seed <= CASES; seed++) {
            bench want = run_case(c, seed, &xl_ops_ref, 1);
            for (int i = 0; i < count; i++) {
                bench got = run_case(c, seed, all[i].op, 2);
                compare(&got, &want, cases[c].name, all[i].bf16 ? cases[c].bf16 : cases[c].tolerance);
                finish(&got);
            }
            finish(&want);
        }
}

/* One number of any output of any case that is not finite is seen, in a kernel's output, in the reference's
 * and in both. */
static void test_not_finite_is_seen(void **state) {
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    (void)state;
    for (int c = 0; c < CASE_KINDS; c++) {
        bench got = run_case(c, 1, &xl_ops_ref, 1), want = run_case(c, 1, &xl_ops_ref, 1);
        comparison seen;
        assert_int_equal(differing(&got, &want, 0, &seen), -1);
        for (int o = 0; o < got.outs; o++)
            for (int i = 0; i < 9; i++) {
                size_t at = (size_t)i * 7919 % got.out_count[o];
                float *mine = &got.out[o][at], *other = &want.out[o][at], right = *mine;
                *(i % 3 == 1 ? other : mine) = bad[i / 3];
                if (i % 3 == 2)
                    *other = bad[i / 3];
                if (differing(&got, &want, 1, &seen) != o)
                    fail_msg("%s, output %d: %g in place of %g was not seen", cases[c].name, o,
                             (double)bad[i / 3], (double)right);
                *mine = *other = right;
            }
        finish(&got), finish(&want);
    }
}

static void same_bits(table t) {
    for (int c = 0; c < CASE_KINDS; c++)
        for (uint64_t seed = 1; seed <= CASES; seed++) {
            bench one = run_case(c, seed, t.op, 1), three = run_case(c, seed, t.op, 3);
            compare(&three, &one, cases[c].name, 0);
            finish(&one);
            finish(&three);
        }
}

/* The recurrence is cut in several ways, which depend on the number of threads. */
static void same_bits_of_rnn(table t) {
    enum { SOME = 6 };
    static const int threads[] = {2, 5, 16};
    for (int c = 0; c < CASE_KINDS && !t.bf16; c++)
        for (uint64_t seed = 1; seed <= SOME && strstr(cases[c].name, "rnn"); seed++) {
            bench one = run_case(c, seed, t.op, 1);
            for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
                bench more = run_case(c, seed, t.op, threads[i]);
                compare(&more, &one, cases[c].name, 0);
                finish(&more);
            }
            finish(&one);
        }
}

static void test_threads_do_not_matter(void **state) {
    (void)state;
    on_every_table(same_bits);
    on_every_table(same_bits_of_rnn);
}

/* All cases on one table, under the tracer. */
static void trace_all(const xl_ops *op) {
    for (int c = 0; c < CASE_KINDS; c++)
        for (uint64_t seed = 1; seed <= CASES; seed++) {
            bench b = {.op = xl_traced(op, &xl_memory_host), .seed = seed};
            cases[c].run(&b);
            finish(&b);
        }
}

static void test_every_op_has_a_case(void **state) {
    xlstm_profile_op op;
    (void)state;
    xlstm_profile_start();
    trace_all(&xl_ops_ref);
    xlstm_profile_stop();
    for (int i = 0; i < xlstm_profile_count(); i++) {
        assert_int_equal(xlstm_profile_get(i, &op), XLSTM_OK);
        if (!op.calls)
            fail_msg("no case calls the op %s", op.name);
    }
}

/* A NaN must reach the loss, where it is seen. */
static void keeps_nan(table t) {
    enum { C = 37 };
    for (xl_act act = XL_GELU; act <= XL_TANH; act++) {
        bench b = {.op = t.op, .seed = 7};
        xl_view g = in_view(&b, 1, C, 1), u = in_view(&b, 1, C, 1), dy = in_view(&b, 1, C, 1);
        xl_view y = out_view(&b, 1, C, 0), dg = out_view(&b, 1, C, 0), du = out_view(&b, 1, C, 0);
        xl_row(g, 0)[3] = xl_row(g, 0)[C - 1] = NAN;
        t.op->glu(y, g, u, act);
        t.op->glu_bwd(dg, du, dy, g, u, act);
        for (int c = 0; c < C; c++) {
            double value = (double)xl_row(y, 0)[c], to_g = (double)xl_row(dg, 0)[c],
                   to_u = (double)xl_row(du, 0)[c];
            int lost = c == 3 || c == C - 1, seen = !!isnan(value) + !!isnan(to_g) + !!isnan(to_u);
            if (seen != (lost ? 3 : 0))
                fail_msg("%s, activation %d, number %d: %g, gradients %g and %g", t.op->name, (int)act, c,
                         value, to_g, to_u);
        }
        finish(&b);
    }
}

static void test_nan_stays(void **state) {
    (void)state;
    on_every_table(keeps_nan);
}

/* 16,384 tokens against the recurrence in double. */
static void does_not_drift(table op) {
    enum { T = 16384, K = 8 };
    bench b = {.op = op.op, .seed = 5};
    xl_mlstm d = {1, K, K, 64, 1e-6f, 0};
    xl_seq seq = {.B = 1, .T = T};
    xl_qkv x = in_qkv(&b, T, 1, K, K);
    xl_view i = in_view(&b, T, 1, 1), f = in_view(&b, T, 1, 1), h = out_view(&b, T, K, 0);
    for (int t = 0; t < T; t++)
        *xl_row(f, t) += 5; /* long memory */
    b.op->mlstm(h, (xl_mlstm_tape){0}, x, (xl_gates){i, f}, d, seq, (xl_state){0},
                scratch(&b, b.op->mlstm_scratch(d, seq)));
    double C[K][K] = {{0}}, n[K] = {0}, m = 0;
    comparison c = {0};
    for (int t = 0; t < T; t++) {
        const float *q = xl_row(x.q, t), *k = xl_row(x.k, t), *v = xl_row(x.v, t), *got = xl_row(h, t);
        double ii = (double)*xl_row(i, t), logf = -log1p(exp(-(double)*xl_row(f, t))), u[K] = {0}, den = 0;
        double next = fmax(logf + m, ii), keep = exp(logf + m - next), in = exp(ii - next);
        for (int a = 0; a < K; a++) {
            double ka = (double)k[a] / sqrt(K);
            n[a] = keep * n[a] + in * ka;
            den += (double)q[a] * n[a];
            for (int e = 0; e < K; e++) {
                C[a][e] = keep * C[a][e] + in * ka * (double)v[e];
                u[e] += (double)q[a] * C[a][e];
            }
        }
        m = next;
        for (int e = 0; e < K; e++) {
            double want = u[e] / (fmax(fabs(den), exp(-m)) + 1e-6);
            see(&c, (double)got[e], want);
        }
    }
    if (!agrees(&c, 1e-4 * c.size))
        fail_msg("%s: after 16,384 tokens: " APART, op.op->name, APART_OF(c));
    finish(&b);
}

static void test_mlstm_does_not_drift(void **state) {
    (void)state;
    on_every_table(does_not_drift);
}

/* Token 0's input gate is i, token 3's forget gate f; with resets, a new sequence begins there, which comes
 * to the same when f is shut. */
static void mlstm_with(bench *b, float i0, float f3, int L, int cut) {
    enum { T = 8, K = 4 };
    uint8_t resets[T] = {0};
    xl_mlstm d = {1, K, K, L, 1e-6f, 0};
    xl_seq seq = {.B = 1, .T = T, .resets = cut ? resets : NULL};
    xl_qkv x = in_qkv(b, T, 1, K, K);
    xl_view i = in_view(b, T, 1, 1), f = in_view(b, T, 1, 1), h = out_view(b, T, K, 0);
    xl_gates gates = {i, f};
    resets[3] = 1;
    *xl_row(f, 3) = f3;
    *xl_row(i, 0) = i0;
    float *s = scratch(b, b->op->mlstm_scratch(d, seq)), *m = take(b, T), *den = take(b, T);
    xl_mlstm_tape tape = {m, den, take(b, T * xl_mlstm_state(d))};
    b->op->mlstm(h, tape, x, gates, d, seq, (xl_state){0}, s);
    xl_qkv dx = out_qkv(b, T, 1, K, K);
    xl_gates dgates = out_gates(b, T, 1);
    b->op->mlstm_bwd(dx, dgates, in_view(b, T, K, 1), h, tape, x, gates, d, seq, (xl_state){0}, s);
}

static void forgets_all(table t) {
    static const float gates[] = {-1e4f, -1e7f, -1e12f, -1e20f, -FLT_MAX, -INFINITY};
    for (size_t g = 0; g < sizeof gates / sizeof *gates; g++)
        for (int L = 1; L <= 8; L++) {
            bench a = {.op = t.op, .seed = 3}, b = {.op = &xl_ops_ref, .seed = 3};
            mlstm_with(&a, 0.5f, gates[g], L, 0);
            mlstm_with(&b, 0.5f, gates[g], L, 1);
            compare(&a, &b, "a forget gate that is shut", 1e-5);
            finish(&a), finish(&b);
        }
}

static void test_mlstm_forgets_all(void **state) {
    (void)state;
    on_every_table(forgets_all);
}

/* Beside a huge input gate no other counts, however huge it is, and whatever one forget gate is. The
 * stabiliser is a float without digits behind the point there, so of gradients only that they are finite is
 * asked. */
static void remembers_one(table t) {
    static const float inputs[] = {1e7f, 1e8f, 1e12f, FLT_MAX, INFINITY}, forgets[] = {3, -30};
    for (size_t g = 0; g < sizeof inputs / sizeof *inputs; g++)
        for (int L = 1; L <= 8; L++)
            for (int f = 0; f < 2; f++) {
                bench a = {.op = t.op, .seed = 3}, b = {.op = &xl_ops_ref, .seed = 3};
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
    on_every_table(remembers_one);
}

/* ---- test_ops --time ---- */

static void print_times(table t, const char *only) {
    xlstm_profile_op op;
    printf("%s%s\n", t.op->name, t.bf16 ? ", bf16" : "");
    printf("    %-16s %8s %12s %10s %8s\n", "op", "calls", "us per call", "GFLOP/s", "GB/s");
    for (int i = 0; i < xlstm_profile_count(); i++)
        if (xlstm_profile_get(i, &op) == XLSTM_OK && op.calls && (!only || !strcmp(op.name, only)))
            printf("    %-16s %8lld %12.2f %10.2f %8.2f\n", op.name, (long long)op.calls,
                   1e6 * op.seconds / (double)op.calls, 1e-9 * op.flops / op.seconds,
                   1e-9 * op.bytes / op.seconds);
}

static int time_all(const char *only) {
    table all[TABLES];
    int count = find_tables(all);
    for (int i = 0; i < count; i++) {
        trace_all(all[i].op); /* untimed: threads start, BLAS makes room */
        xlstm_profile_start();
        trace_all(all[i].op);
        xlstm_profile_stop();
        print_times(all[i], only);
    }
    return 0;
}

int main(int argc, char **argv) {
    device_table(); /* before there is memory that it would not know */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_table_is_the_reference),
        cmocka_unit_test(test_threads_do_not_matter),
        cmocka_unit_test(test_every_op_has_a_case),
        cmocka_unit_test(test_nan_stays),
        cmocka_unit_test(test_not_finite_is_seen),
        cmocka_unit_test(test_mlstm_does_not_drift),
        cmocka_unit_test(test_mlstm_forgets_all),
        cmocka_unit_test(test_mlstm_remembers_one),
    };
    if (argc > 1 && !strcmp(argv[1], "--time"))
        return time_all(argc > 2 ? argv[2] : NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
