/* Any way of cutting time gives the same outputs and the same state, for every kind. */
#include "programs/compare.h"
#include "support/kinds.h"
#include "support/random.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { B = 2, T = 23, WIDE = 16 };

#ifdef XLSTM_DOUBLE
static const double tolerance = 1e-12;
#else
static const double tolerance = 2e-5;
#endif

typedef struct {
    xlstm_real out[B][T][WIDE];
    xlstm_real *state; /* of both streams, one after the other */
} result;

/* Feeds the sequence in pieces of the given lengths (the last repeats) through sessions of `max` tokens a
 * piece. */
static void run(const xlstm_module *m, const int *pieces, int max, result *r) {
    int in = xlstm_module_input_dim(m), out = xlstm_module_output_dim(m), piece = 0;
    xlstm_session *s;
    assert_int_equal(xlstm_session_create(&s, m, B, max), XLSTM_OK);
    xlstm_real x[B * T * WIDE], y[B * T * WIDE], part[B * T * WIDE];
    int32_t tokens[B * T], some[B * T];
    fill_normal(x, (size_t)(B * T * (in ? in : 1)), 1, 21);
    fill_tokens(tokens, B * T, in ? 2 : out, 22);
    for (int t = 0; t < T;) {
        int n = pieces[piece] < T - t ? pieces[piece] : T - t;
        for (int b = 0; b < B; b++) {
            memcpy(part + b * n * in, x + (b * T + t) * in, (size_t)(n * in) * sizeof *x);
            memcpy(some + b * n, tokens + b * T + t, (size_t)n * sizeof *some);
        }
        assert_int_equal(in ? xlstm_session_vectors(s, part, n, y) : xlstm_session_tokens(s, some, n, y),
                         XLSTM_OK);
        for (int b = 0; b < B; b++)
            for (int i = 0; i < n; i++)
                memcpy(r->out[b][t + i], y + (b * n + i) * out, (size_t)out * sizeof *y);
        t += n;
        piece += pieces[piece + 1] > 0;
    }
    size_t size = xlstm_session_state_size(s);
    r->state = malloc(B * size * sizeof *r->state);
    for (int b = 0; b < B; b++)
        assert_int_equal(xlstm_session_get_state(s, b, r->state + (size_t)b * size), XLSTM_OK);
    xlstm_session_free(s);
}

static double largest_difference(const xlstm_real *a, const xlstm_real *b, size_t n) {
    comparison c = {0};
    for (size_t i = 0; i < n; i++)
        see_in(&c, (double)a[i], (double)b[i], 1 + fabs((double)b[i]));
    return c.error;
}

/* The states' stabilisers may differ, so states are compared by what follows: the outputs of the last piece
 * are computed from them, and every split below ends with other pieces than the whole run does. */
static void compare(const result *a, const result *b, int out, const char *name, int split) {
    for (int s = 0; s < B; s++)
        for (int t = 0; t < T; t++) {
            double d = largest_difference(a->out[s][t], b->out[s][t], (size_t)out);
            if (!within(d, tolerance))
                fail_msg("%s, split %d: stream %d token %d differs by %g", name, split, s, t, d);
        }
}

static void test_every_split(void **unused) {
    (void)unused;
    static const int splits[][6] = {{T, 0}, {1, 0}, {4, 0}, {3, 1, 4, 0}, {16, 1, 0}, {5, 6, 7, 1, 0}};
    for (int kind = 0; kind < TEST_KINDS; kind++) {
        char name[64];
        xlstm_module *m;
        assert_int_equal(create_kind(&m, kind, name, 7), XLSTM_OK);
        jitter(m, 0.15, 3);
        result whole, part;
        run(m, splits[0], T, &whole);
        for (int s = 0; s < 6; s++) {
            run(m, splits[s], s == 2 ? 3 : T, &part);
            compare(&part, &whole, xlstm_module_output_dim(m), name, s);
            free(part.state);
        }
        free(whole.state);
        xlstm_module_free(m);
    }
}

/* The same split twice, with a state copied through get, set and fork in between, is bitwise the same. */
static void test_state_travels(void **unused) {
    (void)unused;
    for (int kind = TEST_BLOCKS + TEST_CELLS; kind < TEST_KINDS - 1; kind++) {
        char name[64];
        xlstm_module *m;
        assert_int_equal(create_kind(&m, kind, name, 7), XLSTM_OK);
        jitter(m, 0.15, 3);
        int V = xlstm_module_output_dim(m);
        int32_t tokens[T];
        fill_tokens(tokens, T, V, 5);
        xlstm_session *a, *b, *c;
        assert_int_equal(xlstm_session_create(&a, m, 1, 8), XLSTM_OK);
        assert_int_equal(xlstm_session_create(&b, m, 2, 8), XLSTM_OK);
        xlstm_real ya[WIDE], yc[WIDE], yb[2 * WIDE];
        assert_int_equal(xlstm_session_tokens(a, tokens, T, NULL), XLSTM_OK);
        assert_int_equal(xlstm_session_fork(&c, a), XLSTM_OK);
        xlstm_real *state = malloc(xlstm_session_state_size(a) * sizeof *state);
        xlstm_session_get_state(a, 0, state);
        xlstm_session_set_state(b, 1, state);
        int32_t next[2] = {tokens[0], tokens[0]};
        assert_int_equal(xlstm_session_prompt(a, next, 1, ya), XLSTM_OK);
        assert_int_equal(xlstm_session_tokens(c, next, 1, yc), XLSTM_OK);
        assert_int_equal(xlstm_session_tokens(b, next, 1, yb), XLSTM_OK);
        assert_true(same_numbers(ya, yc, (size_t)V));
        if (!within(largest_difference(yb + V, ya, (size_t)V), tolerance))
            fail_msg("%s: a stream that was given the state goes on differently", name);
        xlstm_session_reset(c, 0);
        assert_int_equal(xlstm_session_tokens(c, next, 1, yc), XLSTM_OK);
        if (!within(largest_difference(yc, yb, (size_t)V), tolerance))
            fail_msg("%s: a reset stream is not like a new one", name);
        free(state);
        xlstm_session_free(a);
        xlstm_session_free(b);
        xlstm_session_free(c);
        xlstm_module_free(m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_split),
                                       cmocka_unit_test(test_state_travels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
