/* What an op masks it does not read: a number at token t that is not finite, or huge, in any one of its
 * inputs, changes no bit before t, nothing behind a reset, and is of no account in the padding; and what it
 * does later is the same however time is cut. On every table, for the ops with time in them, and row by row
 * for products. */
#include "base/rng.h"
#include "ops/cpu/cpu.h"
#include "ops/ref/ref.h"
#include "support/on_device.h"
#include "support/random.h"
#include "support/rooms.h"
#include "xlstm.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { T = 150, H = 2, DH = 20, L = 16, WIDEST = 4 * H * DH, MOST_INPUTS = 5, STATE = 1 << 16, D = H * DH };

typedef struct {
    float in[MOST_INPUTS][T * WIDEST]; /* [T, width], side by side */
    float out[T * WIDEST], state[STATE];
} work;

typedef struct {
    const xl_ops *op;
    xl_seq seq;
    xl_state state;
    work *w;
} call;

static float *scratch_of(uint64_t count) {
    float *p = aligned_alloc(64, (count / 16 + 1) * 64);
    for (uint64_t i = 0; i < count; i++)
        p[i] = NAN;
    return p;
}

static xl_view rows_of(const call *c, int input, int width) {
    return xl_rows(c->w->in[input], c->seq.T, width);
}

static xl_qkv qkv_of(const call *c) {
    return (xl_qkv){rows_of(c, 0, D), rows_of(c, 1, D), rows_of(c, 2, D)};
}

static void run_mlstm(const call *c) {
    xl_mlstm d = {H, DH, DH, L, 1e-6f, 0};
    float *s = scratch_of(c->op->mlstm_scratch(d, c->seq));
    c->op->mlstm(xl_rows(c->w->out, c->seq.T, D), (xl_mlstm_tape){0}, qkv_of(c),
                 (xl_gates){rows_of(c, 3, H), rows_of(c, 4, H)}, d, c->seq, c->state, s);
    free(s);
}

static void run_attention(const call *c) {
    xl_attention d = {H, DH, 70};
    float *s = scratch_of(c->op->attention_scratch(d, c->seq));
    c->op->attention(xl_rows(c->w->out, c->seq.T, D), NULL, qkv_of(c), d, c->seq, c->state, s);
    free(s);
}

static void run_conv(const call *c) {
    static float w[D * 4], bias[D];
    fill_normal(w, D * 4, 1, 5);
    c->op->conv(xl_rows(c->w->out, c->seq.T, D), rows_of(c, 0, D), w, bias, 4, c->seq, c->state);
}

static void run_rnn(const call *c, int lstm) {
    static float R[4 * D * DH], gates[T * 4 * D];
    xl_rnn d = {.H = H, .dh = DH, .lstm = lstm};
    float *s = scratch_of(c->op->rnn_scratch(d, c->seq));
    fill_normal(R, 4 * D * DH, 0.2, 5);
    memcpy(gates, c->w->in[0], sizeof gates); /* they are overwritten */
    c->op->rnn(xl_rows(c->w->out, c->seq.T, D), xl_rows(gates, c->seq.T, 4 * D), NULL,
               xl_real_matrix(R, 4 * D, DH), NULL, d, c->seq, c->state, s);
    free(s);
}

static void run_lstm(const call *c) {
    run_rnn(c, 1);
}

static void run_slstm(const call *c) {
    run_rnn(c, 0);
}

static const struct {
    const char *name;
    void (*run)(const call *);
    int inputs, widths[MOST_INPUTS];
} ops[] = {
    {"mlstm", run_mlstm, 5, {D, D, D, H, H}},
    {"attention", run_attention, 3, {D, D, D}},
    {"conv", run_conv, 1, {D}},
    {"lstm", run_lstm, 1, {4 * D}},
    {"slstm", run_slstm, 1, {4 * D}},
};
enum { OPS = sizeof ops / sizeof *ops };

/* All tokens in calls of `piece`, from a state of zero. */
static void run(const xl_ops *op, int o, const work *from, int piece, int length, const uint8_t *resets,
                float *out) {
    static work w;
    memset(w.state, 0, sizeof w.state);
    for (int t = 0, n; t < T; t += n) {
        int32_t left = length > t ? length - t : 0;
        n = piece < T - t ? piece : T - t;
        left = left < n ? left : n;
        for (int k = 0; k < ops[o].inputs; k++)
            memcpy(w.in[k], from->in[k] + t * ops[o].widths[k],
                   (size_t)(n * ops[o].widths[k]) * sizeof(float));
        ops[o].run(&(call){op,
                           {.B = 1, .T = n, .lengths = &left, .resets = resets ? resets + t : NULL},
                           {w.state, w.state, STATE},
                           &w});
        memcpy(out + t * D, w.out, (size_t)(n * D) * sizeof(float));
    }
}

typedef struct {
    const xl_ops *op;
    int o, input, place;
    float number;
} trial;

static void say(const trial *k, const char *what, int i, float got, float want) {
    fail_msg("%s, %s: %g at token %d of input %d: token %d %s: %g, not %g", k->op->name, ops[k->o].name,
             (double)k->number, k->place, k->input, i / D, what, (double)got, (double)want);
}

/* Numbers of tokens from .. to, bit for bit. */
static void same(const trial *k, const char *what, const float *got, const float *want, int from, int to) {
    for (int i = from * D; i < to * D; i++)
        if (memcmp(&got[i], &want[i], sizeof *got))
            say(k, what, i, got[i], want[i]);
}

static void try_number(const trial *k, work *w, const float *clean) {
    static float whole[T * D], other[T * D], again[T * D];
    static uint8_t resets[T];
    int width = ops[k->o].widths[k->input], reset = k->place + 2;
    float *number = &w->in[k->input][k->place * width + k->place % width], was = *number;
    memset(resets, 0, sizeof resets);
    if (reset < T)
        resets[reset] = 1;
    run(k->op, k->o, w, T, T, resets, again);
    run(k->op, k->o, w, T, k->place, NULL, other);
    *number = k->number;
    run(k->op, k->o, w, T, k->place, NULL, whole);
    same(k, "beside padding", whole, other, 0, T);
    run(k->op, k->o, w, T, T, resets, whole);
    same(k, "before a reset", whole, again, 0, k->place);
    if (reset < T)
        same(k, "behind a reset", whole, again, reset, T);
    run(k->op, k->o, w, T, T, NULL, whole);
    same(k, "before", whole, clean, 0, k->place);
    for (int piece = 1; piece <= 23; piece += 22) {
        run(k->op, k->o, w, piece, T, NULL, other);
        for (int i = 0; i < T * D; i++)
            if (!!isnan(whole[i]) != !!isnan(other[i]) || !!isinf(whole[i]) != !!isinf(other[i]))
                say(k, piece == 1 ? "against token by token" : "against calls of 23", i, whole[i], other[i]);
    }
    *number = was;
}

static void try_op(const xl_ops *op, int o) {
    static const int places[] = {0, 1, L - 1, L, 70, 149};
    static const float numbers[] = {NAN, INFINITY, -INFINITY, 1e38f};
    static work w;
    static float clean[T * D];
    for (int k = 0; k < MOST_INPUTS; k++)
        fill_normal(w.in[k], T * WIDEST, 1, 3 + (uint64_t)k);
    run(op, o, &w, T, T, NULL, clean);
    for (int input = 0; input < ops[o].inputs; input++)
        for (int n = 0; n < 4; n++)
            for (int p = 0; p < 6; p++)
                try_number(&(trial){op, o, input, places[p], numbers[n]}, &w, clean);
}

/* A state that is not finite goes into later calls the same way, and a reset is the end of it. */
static void try_state(const xl_ops *op, int o) {
    static work w;
    static float whole[T * D], single[T * D], clean[T * D];
    uint8_t resets[T] = {[L + 3] = 1};
    for (int k = 0; k < MOST_INPUTS; k++)
        fill_normal(w.in[k], T * WIDEST, 1, 3 + (uint64_t)k);
    run(op, o, &w, 2 * L, T, resets, clean);
    w.in[0][0] = w.in[ops[o].inputs > 2 ? 2 : 0][0] = NAN;
    run(op, o, &w, 2, T, resets, single);
    run(op, o, &w, 2 * L, T, resets, whole);
    trial k = {op, o, 0, 0, NAN};
    same(&k, "behind a reset", whole, clean, L + 3, T);
    for (int i = 0; i < T * D; i++)
        if (!!isnan(whole[i]) != !!isnan(single[i]))
            say(&k, "against calls of 2", i, whole[i], single[i]);
}

static void on_every_table(void (*test)(const xl_ops *), int bf16) {
    xlstm_set_threads(1);
    if (device_table()) {
        test(device_table());
        return;
    }
    for (int i = 0; i < XL_ISAS; i++) {
        if (xl_cpu_isa(i))
            test(xl_cpu_isa(i));
        if (xl_cpu_isa(i) && bf16)
            test(xl_cpu_bf16(xl_cpu_isa(i)));
    }
    test(&xl_ops_ref);
}

static void try_ops(const xl_ops *op) {
    for (int o = 0; o < OPS; o++) {
        try_op(op, o);
        try_state(op, o);
    }
}

static void test_time(void **state) {
    (void)state;
    on_every_table(try_ops, 0); /* products in bfloat16 change none of these ops */
}

/* Rows of a product do not see each other, whatever the type of the matrix and the number of rows. */
static void try_rows(const xl_ops *op) {
    enum { I = 70, O = 90, N = 70, MOST_SCALES = 3 };
    static float x[N * I], W[O * I], scales[O * MOST_SCALES], clean[N * O], got[N * O];
    static _Alignas(64) char packed[O * I * sizeof(float)];
    static const int counts[] = {2, 8, 9, 33, N};
    take_rooms(op->linear_room(), 1);
    fill_normal(x, N * I, 1, 3), fill_normal(W, O * I, 1, 4);
    for (int type = 0; type < XL_NUMBERS; type++)
        for (int c = 0; c < 5; c++) {
            int rows = counts[c];
            int of_row = xl_number_scales((xl_number)type, I);
            assert_in_range(of_row, 0, MOST_SCALES);
            xl_matrix m = {(xl_number)type, O, I, packed, of_row ? scales : NULL};
            for (int r = 0; r < O; r++)
                xl_number_types[type].pack(packed + (size_t)r * xl_matrix_row_bytes(&m), &scales[r * of_row],
                                           W + r * I, I);
            op->linear(xl_rows(clean, rows, O), xl_rows(x, rows, I), m, NULL);
            for (int n = 0; n < rows; n++) {
                float was = x[n * I + n % I];
                x[n * I + n % I] = n % 2 ? NAN : INFINITY;
                op->linear(xl_rows(got, rows, O), xl_rows(x, rows, I), m, NULL);
                x[n * I + n % I] = was;
                for (int i = 0; i < rows * O; i++)
                    if (i / O == n ? !!isfinite(got[i]) : !!memcmp(&got[i], &clean[i], sizeof *got))
                        fail_msg("%s, type %d, %d rows: row %d is bad, row %d has %g", op->name, type, rows,
                                 n, i / O, (double)got[i]);
            }
        }
}

static void test_rows(void **state) {
    (void)state;
    on_every_table(try_rows, 1);
}

/* Streams of a group see those that they may see, at the same token; covariates no target. */
static void try_groups(const xl_ops *op) {
    enum { B = 5, STEPS = 3, N = B * STEPS };
    static float in[3][N * D], clean[N * D], got[N * D];
    static int32_t first[] = {0, 4, 5}, open[] = {2, 1}, members[] = {3, 1, 0, 4, 2},
                   lengths[] = {3, 3, 3, 2, 3};
    xl_groups g = {2, 4, first, open, members};
    xl_seq seq = {.B = B, .T = STEPS, .lengths = lengths};
    for (int k = 0; k < 3; k++)
        fill_normal(in[k], N * D, 1, 3 + (uint64_t)k);
    xl_qkv x = {xl_rows(in[0], N, D), xl_rows(in[1], N, D), xl_rows(in[2], N, D)};
    op->group_attention(xl_rows(clean, N, D), NULL, x, H, seq, g);
    for (int k = 0; k < 3; k++)
        for (int bad = 0; bad < N; bad++) {
            float *number = &in[k][bad * D + bad % D], was = *number;
            int from = bad / STEPS, t = bad % STEPS, padding = from == 3 && t == 2;
            *number = NAN;
            op->group_attention(xl_rows(got, N, D), NULL, x, H, seq, g);
            *number = was;
            for (int n = 0; n < N; n++) {
                int to = n / STEPS, covariate = to == 3 || to == 1, alone = to == 2;
                int seen = n == bad || (k > 0 && n % STEPS == t && !alone && from != 2 &&
                                        (!covariate || from == 3 || from == 1));
                if ((!seen || padding) && memcmp(got + n * D, clean + n * D, D * sizeof *got))
                    fail_msg("%s, input %d: stream %d sees stream %d at token %d", op->name, k, to, from, t);
                int lost = 0;
                for (int i = 0; i < D; i++)
                    lost += isnan(got[n * D + i]) != 0;
                if (seen && !padding && !lost && !(n % STEPS == 2 && to == 3))
                    fail_msg("%s, input %d: stream %d does not see stream %d", op->name, k, to, from);
            }
        }
}

static void test_groups(void **state) {
    (void)state;
    on_every_table(try_groups, 0);
}

int main(void) {
    device_table(); /* before there is memory that it would not know */
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_time), cmocka_unit_test(test_rows),
                                       cmocka_unit_test(test_groups)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
