/* The recurrences on plain arrays: against the reference ops, their gradients against differences (in
 * double), cut into calls, with padding full of NaN, and what is refused. */
#include "base/parallel.h"
#include "ops/ops.h"
#include "programs/compare.h"
#include "support/random.h"
#include "xlstm/recurrence.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { B = 3, H = 2, T_MAX = 9, DK = 3, D = 5, L = 4, INPUTS = 5, ROOM = B * T_MAX * H * 4 * D };
enum { LENGTHS = 1, RESETS = 2, STATE = 4, VARIANTS = 8 };

static const double tolerance = sizeof(real) == 8 ? 1e-12 : 2e-5; /* of the largest number */

/* One call: of the mLSTM q, k, v, i, f; of the others gates and R. */
typedef struct {
    xlstm_cell_kind kind;
    int T, variant;
    int inputs;
    size_t count[INPUTS], state_size; /* numbers; of one stream */
    real in[INPUTS][ROOM], d_h[ROOM], state_in[B * H * (DK * D + DK + 1) * 2];
    int32_t lengths[B];
    unsigned char resets[B * T_MAX];
} problem;

typedef struct {
    real h[ROOM], d[INPUTS][ROOM], state[B * H * (DK * D + DK + 1) * 2];
} answer;

static xlstm_recurrence *make(xlstm_cell_kind kind, int time) {
    xlstm_recurrence_config c;
    xlstm_recurrence *r;
    xlstm_recurrence_config_init(&c, kind);
    c.batch = B, c.time = time, c.heads = H, c.head_size = D, c.key_size = DK, c.chunk_size = L;
    assert_int_equal(xlstm_recurrence_create(&r, &c), XLSTM_OK);
    return r;
}

static xlstm_span span_of(const problem *p) {
    return (xlstm_span){.struct_size = sizeof(xlstm_span),
                        .time = p->T,
                        .lengths = p->variant & LENGTHS ? p->lengths : NULL,
                        .resets = p->variant & RESETS ? p->resets : NULL,
                        .state_in = p->variant & STATE ? p->state_in : NULL};
}

static xlstm_mlstm_inputs mlstm_inputs(const problem *p) {
    return (xlstm_mlstm_inputs){p->in[0], p->in[1], p->in[2], p->in[3], p->in[4]};
}

static void forward(xlstm_recurrence *r, const problem *p, answer *a) {
    xlstm_span span = span_of(p);
    span.state_out = a->state;
    if (p->kind == XLSTM_CELL_MLSTM) {
        xlstm_mlstm_inputs in = mlstm_inputs(p);
        assert_int_equal(xlstm_mlstm_forward(r, &span, &in, a->h), XLSTM_OK);
    } else {
        assert_int_equal(xlstm_rnn_forward(r, &span, p->in[0], p->in[1], a->h), XLSTM_OK);
    }
}

static void backward(xlstm_recurrence *r, const problem *p, answer *a) {
    if (p->kind == XLSTM_CELL_MLSTM) {
        xlstm_mlstm_inputs in = mlstm_inputs(p);
        xlstm_mlstm_gradients d = {a->d[0], a->d[1], a->d[2], a->d[3], a->d[4]};
        assert_int_equal(xlstm_mlstm_backward(r, &in, a->h, p->d_h, &d), XLSTM_OK);
    } else {
        memset(a->d[1], 0, sizeof a->d[1]); /* of R: added to */
        assert_int_equal(xlstm_rnn_backward(r, p->in[1], a->h, p->d_h, a->d[0], a->d[1]), XLSTM_OK);
    }
}

static void solve(const problem *p, answer *a) {
    xlstm_recurrence *r = make(p->kind, T_MAX);
    memset(a, 0xff, sizeof *a); /* NaN: all of it must be written */
    forward(r, p, a);
    backward(r, p, a);
    xlstm_recurrence_free(r);
}

/* The incoming state is what a call before leaves. */
static void set_state(problem *p) {
    static problem before;
    static answer a;
    before = *p;
    before.variant = 0;
    for (int j = 0; j < p->inputs; j++)
        fill_normal(before.in[j], p->count[j], 1, 50 + (uint64_t)j);
    solve(&before, &a);
    memcpy(p->state_in, a.state, sizeof p->state_in);
}

static void set_problem(problem *p, int kind, int T, int variant) {
    memset(p, 0, sizeof *p);
    p->kind = (xlstm_cell_kind)kind, p->T = T, p->variant = variant;
    size_t N = (size_t)(B * T);
    int mlstm = kind == XLSTM_CELL_MLSTM;
    size_t of_mlstm[INPUTS] = {N * H * DK, N * H * DK, N * H * D, N * H, N * H};
    size_t of_rnn[INPUTS] = {N * H * 4 * D, H * 4 * D * D};
    p->inputs = mlstm ? 5 : 2;
    memcpy(p->count, mlstm ? of_mlstm : of_rnn, sizeof p->count);
    p->state_size = mlstm ? H * (DK * D + DK + 1) : (kind == XLSTM_CELL_LSTM ? 2 : 4) * H * D;
    for (int j = 0; j < p->inputs; j++)
        fill_normal(p->in[j], p->count[j], j == 1 && !mlstm ? 0.4 : 1, 7 + (uint64_t)(j + 10 * kind));
    fill_normal(p->d_h, N * H * D, 1, 99);
    p->lengths[0] = T, p->lengths[1] = T > 2 ? T - 2 : 0, p->lengths[2] = 1;
    p->resets[0] = p->resets[T / 2] = p->resets[2 * T - 1] = 1;
    set_state(p);
}

static int is_real(const problem *p, size_t n) {
    return !(p->variant & LENGTHS) || (int)n % p->T < p->lengths[n / (size_t)p->T];
}

/* Which token number j of an array belongs to. */
static size_t token_of(const problem *p, size_t count, size_t j) {
    return j / (count / (size_t)(B * p->T));
}

static double largest(const real *a, size_t n) {
    return compare_numbers(a, a, n).size;
}

static void compare(const real *a, const real *b, size_t n, const problem *p, const char *what,
                    double allowed) {
    comparison c = compare_numbers(a, b, n);
    if (!agrees(&c, allowed))
        fail_msg("kind %d, T %d, variant %d: %s: " APART "; allowed %g", (int)p->kind, p->T, p->variant, what,
                 APART_OF(c), allowed);
}

/* Some are zero but for rounding, so all are measured by the largest of the call. */
static void compare_gradients(const answer *a, const answer *b, const problem *p, double allowed) {
    comparison all = {0};
    for (int j = 0; j < p->inputs; j++)
        for (size_t i = 0; i < p->count[j]; i++)
            see(&all, (double)b->d[j][i], (double)b->d[j][i]);
    for (int j = 0; j < p->inputs; j++)
        compare(a->d[j], b->d[j], p->count[j], p, "a gradient", allowed * all.size);
}

/* ---- the reference ops on the same arrays ---- */

static void reference_mlstm(const problem *p, answer *a, xl_seq seq, xl_state state, real *scratch) {
    xl_mlstm d = {H, DK, D, L, (real)1e-6, 0};
    real *in[INPUTS];
    xl_mlstm_tape tape = {calloc(ROOM, sizeof(real)), calloc(ROOM, sizeof(real)),
                          calloc((size_t)(B * H * T_MAX) * xl_mlstm_state(d), sizeof(real))};
    int rows = B * p->T, cols[INPUTS] = {H * DK, H * DK, H * D, H, H};
    xl_view x[INPUTS], dx[INPUTS], h = xl_rows(a->h, rows, H * D),
                                   dh = xl_rows((real *)(uintptr_t)p->d_h, rows, H * D);
    for (int j = 0; j < INPUTS; j++) {
        in[j] = (real *)(uintptr_t)p->in[j];
        x[j] = xl_rows(in[j], rows, cols[j]);
        dx[j] = xl_rows(a->d[j], rows, cols[j]);
    }
    xl_qkv qkv = {x[0], x[1], x[2]}, dqkv = {dx[0], dx[1], dx[2]};
    xl_gates gates = {x[3], x[4]}, dgates = {dx[3], dx[4]};
    xl_ops_ref.mlstm(h, tape, qkv, gates, d, seq, state, scratch);
    xl_ops_ref.mlstm_bwd(dqkv, dgates, dh, h, tape, qkv, gates, d, seq, state, scratch);
    free(tape.m), free(tape.den), free(tape.borders);
}

static void reference_rnn(const problem *p, answer *a, xl_seq seq, xl_state state, real *scratch) {
    xl_rnn d = {.H = H, .dh = D, .lstm = p->kind == XLSTM_CELL_LSTM};
    int rows = B * p->T;
    real *tape = calloc((size_t)rows * 3 * H * D, sizeof *tape);
    xl_view h = xl_rows(a->h, rows, H * D), dh = xl_rows((real *)(uintptr_t)p->d_h, rows, H * D);
    memcpy(a->d[0], p->in[0], sizeof a->d[0]);
    memset(a->d[1], 0, sizeof a->d[1]);
    xl_view gates = xl_rows(a->d[0], rows, 4 * H * D);
    xl_ops_ref.rnn(h, gates, tape, xl_real_matrix(p->in[1], 4 * H * D, D), NULL, d, seq, state, scratch);
    xl_ops_ref.rnn_bwd(gates, a->d[1], NULL, dh, h, tape, p->in[1], d, seq, state, scratch);
    free(tape);
}

static void reference(const problem *p, answer *a) {
    xlstm_span s = span_of(p);
    xl_seq seq = {B, p->T, s.lengths, s.resets};
    xl_state state = {s.state_in, a->state, (ptrdiff_t)p->state_size};
    real *scratch = calloc(1 << 20, sizeof *scratch);
    if (p->kind == XLSTM_CELL_MLSTM)
        reference_mlstm(p, a, seq, state, scratch);
    else
        reference_rnn(p, a, seq, state, scratch);
    free(scratch);
}

static const int times[] = {1, 4, T_MAX};

static void test_reference(void **unused) {
    (void)unused;
    static problem p;
    static answer a, b;
    for (int kind = 0; kind < XLSTM_CELL_KINDS; kind++)
        for (int t = 0; t < 3; t++)
            for (int variant = 0; variant < VARIANTS; variant++) {
                set_problem(&p, kind, times[t], variant);
                solve(&p, &a);
                reference(&p, &b);
                size_t n = (size_t)(B * p.T * H * D), m = B * p.state_size;
                compare(a.h, b.h, n, &p, "h", tolerance * largest(b.h, n));
                compare(a.state, b.state, m, &p, "the state", tolerance * largest(b.state, m));
                compare_gradients(&a, &b, &p, 10 * tolerance);
            }
}

#ifdef XLSTM_DOUBLE
static double loss(const problem *p, xlstm_recurrence *r) {
    static answer a;
    double sum = 0;
    forward(r, p, &a);
    for (size_t i = 0; i < (size_t)(B * p->T * H * D); i++)
        sum += is_real(p, token_of(p, (size_t)(B * p->T * H * D), i)) ? p->d_h[i] * a.h[i] : 0;
    return sum;
}

/* Five-point difference along one number. */
static double slope(problem *p, xlstm_recurrence *r, real *x) {
    static const double at[4] = {-2, -1, 1, 2}, weight[4] = {1, -8, 8, -1};
    const double step = 1e-3;
    double sum = 0, old = *x;
    for (int j = 0; j < 4; j++) {
        *x = old + at[j] * step;
        sum += weight[j] * loss(p, r);
    }
    *x = old;
    return sum / (12 * step);
}

static void test_gradients(void **unused) {
    (void)unused;
    static problem p;
    static answer a, expected;
    for (int kind = 0; kind < XLSTM_CELL_KINDS; kind++)
        for (int t = 0; t < 3; t++)
            for (int variant = 0; variant < VARIANTS; variant++) {
                set_problem(&p, kind, times[t], variant);
                solve(&p, &a);
                xlstm_recurrence *r = make(p.kind, T_MAX);
                for (int j = 0; j < p.inputs; j++)
                    for (size_t i = 0; i < p.count[j]; i++)
                        expected.d[j][i] = slope(&p, r, &p.in[j][i]);
                compare_gradients(&a, &expected, &p, 1e-7);
                xlstm_recurrence_free(r);
            }
}
#endif

/* Calls of 4, 1 and 4 tokens that hand the state on, in place, are one of 9. */
static void test_pieces(void **unused) {
    (void)unused;
    static const int lengths[] = {4, 1, 4};
    static problem p, part;
    static answer whole, piece;
    for (int kind = 0; kind < XLSTM_CELL_KINDS; kind++) {
        set_problem(&p, kind, T_MAX, STATE);
        solve(&p, &whole);
        xlstm_recurrence *r = make(p.kind, T_MAX);
        memcpy(piece.state, p.state_in, sizeof piece.state);
        for (int c = 0, from = 0; c < 3; from += lengths[c++]) {
            part = p;
            part.T = lengths[c];
            size_t h = H * D;
            for (int j = 0; j < p.inputs && !(j == 1 && kind != XLSTM_CELL_MLSTM); j++) {
                size_t one = p.count[j] / (B * T_MAX), n = one * (size_t)part.T;
                for (size_t b = 0; b < B; b++)
                    memcpy(part.in[j] + b * n, p.in[j] + (b * T_MAX + (size_t)from) * one, n * sizeof(real));
            }
            xlstm_span span = span_of(&part);
            span.state_in = span.state_out = piece.state;
            xlstm_mlstm_inputs in = mlstm_inputs(&part);
            assert_int_equal(kind == XLSTM_CELL_MLSTM
                                 ? xlstm_mlstm_forward(r, &span, &in, piece.h)
                                 : xlstm_rnn_forward(r, &span, part.in[0], part.in[1], piece.h),
                             XLSTM_OK);
            for (size_t b = 0; b < B; b++)
                compare(piece.h + b * (size_t)part.T * h, whole.h + (b * T_MAX + (size_t)from) * h,
                        (size_t)part.T * h, &p, "a piece", tolerance * largest(whole.h, B * T_MAX * h));
        }
        compare(piece.state, whole.state, B * p.state_size, &p, "the last state",
                tolerance * largest(whole.state, B * p.state_size));
        xlstm_recurrence_free(r);
    }
}

/* NaN behind the ends of rows: the same bits before them, zeros behind. */
static void test_padding(void **unused) {
    (void)unused;
    static problem p;
    static answer clean, a;
    for (int kind = 0; kind < XLSTM_CELL_KINDS; kind++) {
        set_problem(&p, kind, T_MAX, LENGTHS | STATE);
        solve(&p, &clean);
        for (int j = 0; j < p.inputs && !(j == 1 && kind != XLSTM_CELL_MLSTM); j++)
            for (size_t i = 0; i < p.count[j]; i++)
                p.in[j][i] = is_real(&p, token_of(&p, p.count[j], i)) ? p.in[j][i] : (real)NAN;
        for (size_t i = 0, n = B * T_MAX * H * D; i < n; i++)
            p.d_h[i] = is_real(&p, token_of(&p, n, i)) ? p.d_h[i] : (real)NAN;
        solve(&p, &a);
        assert_memory_equal(&a, &clean, sizeof a); /* also what was not written */
        assert_true(same_numbers(a.h, clean.h, B * T_MAX * H * D));
        assert_true(same_numbers(a.state, clean.state, B * p.state_size));
        for (int j = 0; j < p.inputs; j++)
            assert_true(same_numbers(a.d[j], clean.d[j], p.count[j]));
        for (size_t i = 0, n = B * T_MAX * H * D; i < n; i++)
            assert_true(is_real(&p, token_of(&p, n, i)) || a.h[i] == 0);
        for (int j = 0; j < p.inputs && !(j == 1 && kind != XLSTM_CELL_MLSTM); j++)
            for (size_t i = 0; i < p.count[j]; i++)
                assert_true(is_real(&p, token_of(&p, p.count[j], i)) || a.d[j][i] == 0);
    }
}

static void test_refused_sizes(void **unused) {
    (void)unused;
    xlstm_recurrence_config good, c;
    xlstm_recurrence *r = (xlstm_recurrence *)(uintptr_t)1;
    xlstm_recurrence_config_init(&good, XLSTM_CELL_MLSTM);
    assert_int_equal(xlstm_recurrence_create(NULL, &good), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_recurrence_create(&r, NULL), XLSTM_E_ARGUMENT);
    assert_null(r);
    struct {
        size_t at;
        int value;
    } wrong[] = {{offsetof(xlstm_recurrence_config, kind), 3},
                 {offsetof(xlstm_recurrence_config, batch), 0},
                 {offsetof(xlstm_recurrence_config, time), -1},
                 {offsetof(xlstm_recurrence_config, heads), 0},
                 {offsetof(xlstm_recurrence_config, head_size), 0},
                 {offsetof(xlstm_recurrence_config, key_size), -1},
                 {offsetof(xlstm_recurrence_config, chunk_size), 0},
                 {offsetof(xlstm_recurrence_config, batch), INT32_MAX},
                 {offsetof(xlstm_recurrence_config, heads), INT32_MAX}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        c = good;
        memcpy((char *)&c + wrong[i].at, &wrong[i].value, sizeof wrong[i].value);
        assert_int_equal(xlstm_recurrence_create(&r, &c), XLSTM_E_CONFIG);
        assert_null(r);
    }
    c = good;
    c.eps = NAN;
    assert_int_equal(xlstm_recurrence_create(&r, &c), XLSTM_E_CONFIG);
    c = good;
    c.struct_size = 3;
    assert_int_equal(xlstm_recurrence_create(&r, &c), XLSTM_E_ARGUMENT);
    c = good; /* allowed each by itself, but more together than there is */
    c.batch = 1 << 10, c.time = 1 << 20, c.head_size = 1 << 20, c.chunk_size = 1;
    assert_int_equal(xlstm_recurrence_create(&r, &c), XLSTM_E_MEMORY);
    assert_int_equal(xlstm_recurrence_state_size(NULL), 0);
    xlstm_recurrence_free(NULL);
}

static void test_refused_calls(void **unused) {
    (void)unused;
    static problem p;
    static answer a;
    set_problem(&p, XLSTM_CELL_MLSTM, 4, 0);
    xlstm_recurrence *r = make(XLSTM_CELL_MLSTM, 4), *s = make(XLSTM_CELL_SLSTM, 4);
    xlstm_mlstm_inputs in = mlstm_inputs(&p), no_k = in;
    xlstm_mlstm_gradients d = {a.d[0], a.d[1], a.d[2], a.d[3], a.d[4]}, no_f = d;
    no_k.k = NULL, no_f.f = NULL;
    xlstm_span span = {.struct_size = sizeof span, .time = 5};
    assert_int_equal(xlstm_mlstm_forward(NULL, NULL, &in, a.h), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_mlstm_forward(s, NULL, &in, a.h), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_rnn_forward(r, NULL, a.d[0], a.d[1], a.h), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_mlstm_forward(r, NULL, &no_k, a.h), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_mlstm_forward(r, NULL, NULL, a.h), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_mlstm_forward(r, NULL, &in, NULL), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_rnn_forward(s, NULL, a.d[0], NULL, a.h), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_mlstm_forward(r, &span, &in, a.h),
                     XLSTM_E_ARGUMENT); /* longer than it was made for */
    p.lengths[1] = 5;
    span = (xlstm_span){.struct_size = sizeof span, .lengths = p.lengths};
    assert_int_equal(xlstm_mlstm_forward(r, &span, &in, a.h), XLSTM_E_ARGUMENT);
    p.lengths[1] = -1;
    assert_int_equal(xlstm_mlstm_forward(r, &span, &in, a.h), XLSTM_E_ARGUMENT);
    span = (xlstm_span){0};
    assert_int_equal(xlstm_mlstm_forward(r, &span, &in, a.h), XLSTM_E_ARGUMENT); /* no struct_size */

    assert_int_equal(xlstm_mlstm_backward(r, &in, a.h, p.d_h, &d),
                     XLSTM_E_ARGUMENT); /* nothing to go back through */
    assert_int_equal(xlstm_rnn_backward(s, a.d[0], a.h, p.d_h, a.d[1], a.d[2]), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_mlstm_forward(r, NULL, &in, a.h), XLSTM_OK);
    assert_int_equal(xlstm_mlstm_backward(r, &in, a.h, p.d_h, &no_f), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_mlstm_backward(r, &in, a.h, p.d_h, &d), XLSTM_OK);
    assert_int_equal(xlstm_mlstm_backward(r, &in, a.h, p.d_h, &d), XLSTM_E_ARGUMENT); /* used up */
    int threads = xlstm_get_threads();
    xlstm_set_threads(XLSTM_MAX_THREADS);
    assert_int_equal(xlstm_mlstm_forward(r, NULL, &in, a.h), XLSTM_E_ARGUMENT); /* no scratch for them */
    xlstm_set_threads(threads);
    xlstm_recurrence_free(r);
    xlstm_recurrence_free(s);

    xlstm_recurrence_config c;
    xlstm_recurrence_config_init(&c, XLSTM_CELL_MLSTM);
    c.batch = B, c.time = 4, c.heads = H, c.head_size = D, c.key_size = DK, c.gradients = 0;
    assert_int_equal(xlstm_recurrence_create(&r, &c), XLSTM_OK);
    assert_int_equal(xlstm_mlstm_forward(r, NULL, &in, a.h), XLSTM_OK);
    assert_int_equal(xlstm_mlstm_backward(r, &in, a.h, p.d_h, &d), XLSTM_E_ARGUMENT);
    xlstm_recurrence_free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),
#ifdef XLSTM_DOUBLE
        cmocka_unit_test(test_gradients),
#endif
        cmocka_unit_test(test_pieces),        cmocka_unit_test(test_padding),
        cmocka_unit_test(test_refused_sizes), cmocka_unit_test(test_refused_calls)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
