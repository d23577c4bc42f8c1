/* Numbers more than 2^31 places apart. Every op on views whose rows lie 8 GiB from each other gives what it
 * gives on rows side by side; matrices of more than 2^31 numbers are read at their end; plans of a billion
 * tokens are exact. Memory is only reserved: pages that nobody writes cost nothing. Skipped where addresses
 * cannot be had. */
#define _DEFAULT_SOURCE /* MAP_NORESERVE */
#include "base/mem.h"
#include "model/module.h"
#include "programs/compare.h"
#include "support/kinds.h"
#include "support/nowhere.h"
#include "support/random.h"
#include "support/rooms.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

enum { B = 2, T = 3, N = B * T, VIEWS = 24 };
static const ptrdiff_t FAR = ((ptrdiff_t)1 << 31) + 5;

/* One run of one op: the views that it was given, all filled in the same order. */
typedef struct {
    const xl_ops *op;
    int far, count;
    xl_view views[VIEWS];
    size_t bytes[VIEWS];
    real small[1 << 12];
    size_t used;
    void *owned[8]; /* scratch and packed matrices: of every table another one */
    int owned_count;
} bench;

static void *reserve(size_t bytes) {
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static xl_view view(bench *b, int cols) {
    ptrdiff_t ld = b->far ? FAR : cols;
    int i = b->count++;
    assert_true(i < VIEWS);
    b->bytes[i] = (size_t)((N - 1) * ld + cols) * sizeof(real);
    b->views[i] = (xl_view){reserve(b->bytes[i]), XL_REAL, N, cols, ld};
    assert_non_null(b->views[i].p);
    for (int n = 0; n < N; n++)
        fill_normal(xl_row(b->views[i], n), (size_t)cols, 1, (uint64_t)(i * N + n));
    return b->views[i];
}

static xl_qkv qkv(bench *b, int k_cols, int v_cols) {
    xl_view q = view(b, k_cols), k = view(b, k_cols);
    return (xl_qkv){q, k, view(b, v_cols)};
}

/* Contiguous numbers, inputs and outputs alike: compared too. */
static real *array(bench *b, size_t count) {
    real *p = b->small + b->used;
    assert_true(b->used + count <= sizeof b->small / sizeof *b->small);
    fill_normal(p, count, 1, b->used + 1);
    b->used += count;
    return p;
}

static const xl_seq seq = {.B = B, .T = T};
static const int32_t tokens[N] = {1, 0, 2, 2, 1, 0}, targets[N] = {3, -1, 0, 2, 1, 4}, lengths[B] = {2, 3};
static const real half = (real)0.5;

static void *own(bench *b, size_t bytes) {
    assert_true(b->owned_count < 8);
    void *p = malloc(bytes + 1);
    assert_non_null(p);
    return b->owned[b->owned_count++] = p;
}

static real *scratch(bench *b, uint64_t count) {
    return own(b, count * sizeof(real));
}

/* The same numbers in another type. */
static xl_matrix as(bench *b, xl_number type, const real *W, int rows, int cols) {
    xl_matrix m = {type, rows, cols, NULL, NULL};
    size_t row = xl_matrix_row_bytes(&m);
    int scales = xl_number_scales(type, cols);
    char *data = own(b, xl_matrix_bytes(&m));
    float *scale = scales ? own(b, (size_t)(rows * scales) * sizeof *scale) : NULL;
    for (int r = 0; r < rows; r++)
        xl_number_types[type].pack(data + (size_t)r * row, scales ? scale + r * scales : NULL, W + r * cols,
                                   cols);
    m.data = data;
    m.scale = scale;
    return m;
}

static void case_products(bench *b) {
    enum { I = 20, O = 12 };
    real *W = array(b, I * O), *bias = array(b, O), *dW = array(b, I * O), *db = array(b, O);
    xl_view x = view(b, I), y = view(b, O);
    b->op->linear(y, x, xl_real_matrix(W, O, I), bias);
    b->op->linear(view(b, O), x, as(b, XL_BFLOAT16, W, O, I), bias);
    b->op->linear(view(b, O), x, as(b, XL_INT8, W, O, I), NULL);
    b->op->linear(view(b, O), x, as(b, XL_INT4, W, O, I), NULL);
    b->op->heads(view(b, O), x, as(b, XL_INT8, W, O, I / 2), NULL, (xl_heads){2, I / 2, O / 2, O / 2});
    b->op->linear_dx(view(b, I), y, W, 1);
    b->op->linear_dw(dW, db, x, y);
}

static void case_heads(bench *b) {
    for (int in = 4; in <= 20; in += 16) { /* small blocks are loops, large ones products */
        xl_heads s = {2, in, in, in};
        real *W = array(b, 2 * 400), *dW = array(b, 2 * 400), *bias = array(b, 40);
        xl_view x = view(b, 2 * in), y = view(b, 2 * in);
        b->op->heads(y, x, xl_real_matrix(W, 2 * in, in), bias, s);
        b->op->heads_dx(view(b, 2 * in), y, W, s, 0);
        b->op->heads_dw(dW, bias, x, y, s);
    }
}

static void case_conv(bench *b) {
    enum { C = 9, K = 3 };
    real *w = array(b, C * K), *bias = array(b, C), *state = array(b, B * (K - 1) * C);
    xl_state s = {state, state, (K - 1) * C};
    xl_view x = view(b, C);
    b->op->conv_bwd(view(b, C), array(b, C * K), array(b, C), view(b, C), x, w, bias, K, seq, s, 1);
    b->op->conv(view(b, C), x, w, bias, K, seq, s);
}

static void case_norm(bench *b) {
    xl_norm n = {2, 0, 1, (real)1e-3};
    real *w = array(b, 10), *bias = array(b, 10);
    xl_view x = view(b, 10);
    b->op->norm(view(b, 10), x, w, bias, n);
    b->op->norm_bwd(view(b, 10), array(b, 10), array(b, 10), view(b, 10), x, w, n, 1);
}

static void case_gates(bench *b) {
    xl_view g = view(b, 7), u = view(b, 7), dy = view(b, 7), z = view(b, 7);
    real *skip = array(b, 7);
    b->op->glu(view(b, 7), g, u, XL_SILU);
    b->op->glu(view(b, 7), g, u, XL_GELU);
    b->op->glu_bwd(view(b, 7), view(b, 7), dy, g, u, XL_SILU);
    b->op->skip_gate(view(b, 7), g, u, z, skip);
    b->op->skip_gate_bwd(view(b, 7), view(b, 7), view(b, 7), array(b, 7), dy, g, u, z, skip);
    xl_view y = view(b, 7);
    b->op->softcap(y, g, 3);
    b->op->softcap_bwd(view(b, 7), dy, y, 3);
}

static void case_moves(bench *b) {
    static const uint64_t seed = 7;
    xl_view x = view(b, 6);
    b->op->add(view(b, 6), x);
    b->op->copy(view(b, 6), x);
    b->op->dropout(view(b, 6), x, (real)0.4, &seed, 11);
    b->op->clear_padding(view(b, 6), 0, (xl_seq){.B = B, .T = T, .lengths = lengths});
    b->op->embed(view(b, 6), tokens, xl_real_matrix(array(b, 18), 3, 6));
    b->op->embed_dw(array(b, 18), x, tokens);
}

static void case_loss(bench *b) {
    xl_view logits = view(b, 5);
    b->op->xent(array(b, N), view(b, 5), logits, targets, &half);
    b->op->xent_linear(array(b, N), view(b, 4), array(b, 20), view(b, 4), array(b, 20), 5, targets, &half,
                       scratch(b, b->op->xent_linear_scratch(N, 5, 4)));
    b->op->mse(array(b, N), view(b, 5), logits, view(b, 5), array(b, N), &half);
}

static void case_attention(bench *b) {
    xl_attention d = {2, 4, 3};
    xl_qkv x = qkv(b, 8, 8);
    xl_view y = view(b, 8);
    real *lse = array(b, N * 2), *s = scratch(b, b->op->attention_scratch(d, seq));
    b->op->rope(x.q, 2, 1, seq, (xl_state){0});
    b->op->attention(y, lse, x, d, seq, (xl_state){0}, s);
    b->op->attention_bwd(qkv(b, 8, 8), view(b, 8), y, lse, x, d, seq, s);
}

static void case_mlstm(bench *b) {
    xl_mlstm d = {2, 4, 3, 2, (real)1e-6, 0};
    xl_qkv x = qkv(b, 8, 6), dx = qkv(b, 8, 6);
    xl_gates gates = {view(b, 2), view(b, 2)}, dgates = {view(b, 2), view(b, 2)};
    xl_view h = view(b, 6);
    real *m = array(b, N * 2), *den = array(b, N * 2), *s = scratch(b, b->op->mlstm_scratch(d, seq));
    xl_mlstm_tape tape = {m, den, array(b, B * 2 * 2 * xl_mlstm_state(d))};
    b->op->mlstm(h, tape, x, gates, d, seq, (xl_state){0}, s);
    b->op->mlstm_bwd(dx, dgates, view(b, 6), h, tape, x, gates, d, seq, (xl_state){0}, s);
}

static void case_rnn(bench *b) {
    for (int lstm = 0; lstm < 2; lstm++) {
        xl_rnn d = {.H = 2, .dh = 3, .lstm = lstm};
        real *tape = array(b, N * 18), *R = array(b, 72), *bias = array(b, 24),
             *s = scratch(b, b->op->rnn_scratch(d, seq));
        xl_view gates = view(b, 24), h = view(b, 6), dh = view(b, 6);
        b->op->rnn(h, gates, tape, xl_real_matrix(R, 24, 3), bias, d, seq, (xl_state){0}, s);
        b->op->rnn_bwd(gates, array(b, 72), array(b, 24), dh, h, tape, R, d, seq, (xl_state){0}, s);
    }
}

typedef void one_case(bench *);
static one_case *const cases[] = {case_products, case_heads, case_conv,      case_norm,  case_gates,
                                  case_moves,    case_loss,  case_attention, case_mlstm, case_rnn};

static int close_to(real a, real b) {
    return is_near((double)a, (double)b, 1e-5 * (1 + fabs((double)b)));
}

static void compare(const bench *near, const bench *far, size_t index) {
    assert_int_equal(near->count, far->count);
    for (int i = 0; i < near->count; i++)
        for (int n = 0; n < N; n++)
            for (int c = 0; c < near->views[i].cols; c++)
                if (!close_to(xl_row(far->views[i], n)[c], xl_row(near->views[i], n)[c]))
                    fail_msg("%s, case %zu: view %d, row %d, column %d differ", near->op->name, index, i, n,
                             c);
    for (size_t j = 0; j < near->used; j++)
        if (!close_to(far->small[j], near->small[j]))
            fail_msg("%s, case %zu: number %zu differs", near->op->name, index, j);
}

static void run(bench *b, const xl_ops *op, int far, one_case *run_case) {
    memset(b, 0, sizeof *b);
    b->op = op;
    b->far = far;
    run_case(b);
}

static void release(bench *b) {
    for (int i = 0; i < b->count; i++)
        munmap(b->views[i].p, b->bytes[i]);
    for (int i = 0; i < b->owned_count; i++)
        free(b->owned[i]);
}

static void need_addresses(uint64_t bytes) {
    void *p = bytes < SIZE_MAX ? reserve((size_t)bytes) : NULL;
    if (!p)
        skip();
    munmap(p, (size_t)bytes);
}

static void test_rows_far_apart(void **state) {
    static bench near, far;
    const xl_ops *const backends[] = {&xl_ops_ref, xl_ops_best()};
    (void)state;
    take_rooms(xl_ops_best()->linear_room(), xlstm_get_threads());
    need_addresses(VIEWS * N * (uint64_t)FAR * sizeof(real));
    for (size_t o = 0; o < 2; o++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            run(&near, backends[o], 0, cases[i]);
            run(&far, backends[o], 1, cases[i]);
            compare(&near, &far, i);
            release(&near);
            release(&far);
        }
}

/* The last row of a table of 2^31 numbers and more. */
static void test_large_table(void **state) {
    enum { V = 1 << 24, D = 136 };
    uint64_t bytes = (uint64_t)V * D * sizeof(real);
    size_t last = (size_t)(V - 1) * D;
    const xl_ops *const backends[] = {&xl_ops_ref, xl_ops_best()};
    int32_t token = V - 1;
    real y[D], values[D];
    (void)state;
    need_addresses(bytes);
    real *E = reserve((size_t)bytes);
    fill_normal(values, D, 1, 3);
    memcpy(E + last, values, sizeof values);
    for (size_t o = 0; o < 2; o++) {
        backends[o]->embed(xl_rows(y, 1, D), &token, xl_real_matrix(E, V, D));
        assert_true(same_numbers(y, values, D));
        memset(E + last, 0, sizeof values);
        backends[o]->embed_dw(E, xl_rows(values, 1, D), &token);
        assert_true(same_numbers(E + last, values, D));
    }
    munmap(E, (size_t)bytes);
}

/* ---- plans ---- */

/* What is more than all addresses is refused, and not taken modulo 2^32. */
static void test_beyond_32_bits(void **state) {
    (void)state;
    if (sizeof(void *) > 4)
        skip(); /* much of it could be had */
    xlstm_recurrence *r;
    xlstm_recurrence_config c;
    static const int shapes[][4] = {{950, 1, 1 << 17, 1}, {1, 2, 1, 1 << 15}, {1 << 15, 1 << 15, 1, 4}};
    for (int kind = 0; kind < XLSTM_CELL_KINDS; kind++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            xlstm_recurrence_config_init(&c, (xlstm_cell_kind)kind);
            c.batch = shapes[i][0];
            c.time = shapes[i][1];
            c.heads = shapes[i][2];
            c.head_size = shapes[i][3];
            c.gradients = kind == XLSTM_CELL_MLSTM; /* its scratch alone is small */
            assert_int_equal(xlstm_recurrence_create(&r, &c), XLSTM_E_MEMORY);
        }
    static const int batches[][2] = {{1 << 15, 1 << 15}, {1 << 30, 1}, {1, 1 << 30}, {1 << 26, 1 << 4}};
    for (int kind = 0; kind < TEST_KINDS; kind++)
        for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
            char name[64];
            xlstm_module *m;
            xlstm_trainer *tr;
            xlstm_session *s;
            xlstm_trainer_config tc;
            assert_int_equal(create_kind(&m, kind, name, 7), XLSTM_OK);
            xlstm_trainer_config_init(&tc);
            tc.batch = batches[i][0];
            tc.time = batches[i][1];
            assert_int_equal(xlstm_trainer_create(&tr, m, &tc), XLSTM_E_MEMORY);
            assert_int_equal(xlstm_session_create(&s, m, batches[i][0], batches[i][1]), XLSTM_E_MEMORY);
            xlstm_module_free(m);
        }
}

/* What a further stream costs is the same for a thousand streams and for a million. */
static void test_plans_of_a_billion_tokens(void **state) {
    enum { SOME = 1024, TWICE = 2048, MANY = 1 << 20, TIME = 1 << 10 };
    (void)state;
    if (sizeof(void *) < 8)
        skip(); /* more than all addresses */
    for (int kind = 0; kind < TEST_KINDS; kind++) {
        char name[64];
        xlstm_module *m;
        size_t keep[3], temp[3];
        assert_int_equal(create_kind(&m, kind, name, 7), XLSTM_OK);
        plan_nowhere(m, SOME, TIME, &keep[0], &temp[0]);
        plan_nowhere(m, TWICE, TIME, &keep[1], &temp[1]);
        plan_nowhere(m, MANY, TIME, &keep[2], &temp[2]);
        size_t steps = (MANY - SOME) / SOME;
        if (keep[2] != keep[0] + steps * (keep[1] - keep[0]) ||
            temp[2] != temp[0] + steps * (temp[1] - temp[0]))
            fail_msg(
                "%s: %zu and %zu bytes for a million streams do not follow from %zu and %zu for a thousand",
                name, keep[2], temp[2], keep[0], temp[0]);
        xlstm_module_free(m);
    }
}

/* A sentence about streams, not about memory that some machine may have. */
static void test_more_tasks_than_an_int_counts(void **state) {
    xlstm_config c = small_config(XLSTM_SLSTM);
    xlstm_module *m;
    xlstm_session *s;
    xlstm_trainer *tr;
    xlstm_trainer_config tc;
    (void)state;
    assert_int_equal(xlstm_model_create(&m, &c, 1), XLSTM_OK);
    assert_int_equal(xlstm_session_create(&s, m, (1 << 29) + 1, 1), XLSTM_E_MEMORY);
    assert_null(s);
    assert_non_null(strstr(xlstm_last_error(), "at most 536870912 streams"));
    xlstm_trainer_config_init(&tc);
    tc.batch = (1 << 29) + 1;
    tc.time = 1;
    assert_int_equal(xlstm_trainer_create(&tr, m, &tc), XLSTM_E_MEMORY);
    assert_null(tr);
    assert_non_null(strstr(xlstm_last_error(), "at most 536870912 streams"));
    xlstm_module_free(m);
}

/* An arena that only measures ends at a size that no heap has. */
static void test_measuring_does_not_wrap(void **state) {
    xl_arena a = {0};
    (void)state;
    for (int i = 0; i < 33; i++) {
        size_t before = a.used;
        xl_arena_real(&a, SIZE_MAX / 16 / sizeof(real));
        assert_true(a.used >= before && a.used > 0);
    }
    assert_null(xl_alloc(a.peak));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_far_apart),
        cmocka_unit_test(test_large_table),
        cmocka_unit_test(test_beyond_32_bits),
        cmocka_unit_test(test_plans_of_a_billion_tokens),
        cmocka_unit_test(test_more_tasks_than_an_int_counts),
        cmocka_unit_test(test_measuring_does_not_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
