/* Streams that live side by side, for every kind of module: rows of different lengths, new sequences inside a
 * row, states that travel, one stream that starts anew. Padding is full of what would be seen at once: NaN,
 * and tokens that no vocabulary has. */
#include "programs/compare.h"
#include "support/kinds.h"
#include "support/random.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { B = 4, T = 11, WIDE = 16, ROOM = B * T * WIDE };

static const double tolerance = sizeof(xlstm_real) == 8 ? 1e-11 : 5e-5;
static const int32_t lengths[B] = {T, 5, 0, 1};

/* What goes into B rows of T tokens. */
typedef struct {
    int32_t tokens[B * T], targets[B * T];
    xlstm_real inputs[ROOM], outputs[ROOM];
} rows;

static rows some_rows(const xlstm_module *m, uint64_t seed) {
    rows r;
    int vocab = xlstm_module_input_dim(m) ? 2 : xlstm_module_output_dim(m);
    fill_tokens(r.tokens, B * T, vocab, seed);
    fill_tokens(r.targets, B * T, vocab, seed + 1);
    fill_normal(r.inputs, ROOM, 1, seed + 2);
    fill_normal(r.outputs, ROOM, 1, seed + 3);
    return r;
}

static void poison(rows *r, const xlstm_module *m) {
    size_t in = (size_t)xlstm_module_input_dim(m), out = (size_t)xlstm_module_output_dim(m);
    for (size_t i = 0; i < B * T; i++) {
        if ((int)(i % T) < lengths[i / T])
            continue;
        r->tokens[i] = -7;
        r->targets[i] = 1 << 30;
        for (size_t j = 0; j < in; j++)
            r->inputs[i * in + j] = (xlstm_real)NAN;
        for (size_t j = 0; j < out; j++)
            r->outputs[i * out + j] = (xlstm_real)NAN;
    }
}

static xlstm_input input_of(const rows *r, const xlstm_module *m) {
    int in = xlstm_module_input_dim(m);
    return (xlstm_input){.struct_size = sizeof(xlstm_input),
                         .time = T,
                         .tokens = in ? NULL : r->tokens,
                         .inputs = in ? r->inputs : NULL};
}

/* Row b alone, from token `from` on. */
static xlstm_input row_of(const rows *r, const xlstm_module *m, int b, int from, int time) {
    xlstm_input one = input_of(r, m);
    size_t at = (size_t)(b * T + from);
    one.time = time;
    if (one.tokens)
        one.tokens += at;
    if (one.inputs)
        one.inputs += at * (size_t)xlstm_module_input_dim(m);
    return one;
}

static xlstm_session *open_session(const xlstm_module *m, int streams, int max) {
    xlstm_session *s;
    assert_int_equal(xlstm_session_create(&s, m, streams, max), XLSTM_OK);
    return s;
}

static void check(xlstm_status status) {
    if (status != XLSTM_OK)
        fail_msg("%s", xlstm_last_error());
}

static void same(const xlstm_real *a, const xlstm_real *b, int n, const char *name, const char *what) {
    comparison c = {0};
    for (int i = 0; i < n; i++)
        see_in(&c, (double)a[i], (double)b[i], 1 + fabs((double)b[i]));
    if (!agrees(&c, tolerance))
        fail_msg("%s: %s: " APART, name, what, APART_OF(c));
}

static void all_zero(const xlstm_real *a, size_t n, const char *name, const char *what) {
    for (size_t i = 0; i < n; i++)
        if (a[i] != 0)
            fail_msg("%s: %s: number %zu is %g, not 0", name, what, i, (double)a[i]);
}

typedef void one_kind(xlstm_module *m, const char *name);

static void every_kind(one_kind *test) {
    for (int kind = 0; kind < TEST_KINDS; kind++) {
        char name[64];
        xlstm_module *m;
        assert_int_equal(create_kind(&m, kind, name, 7), XLSTM_OK);
        jitter(m, 0.15, 3);
        test(m, name);
        xlstm_module_free(m);
    }
}

static int has_attention(const char *name) {
    return strstr(name, "transformer") != NULL;
}

/* ---- sessions ---- */

/* Two ragged calls, the second going on from the first, against each row in a session of its own. */
static void ragged(xlstm_module *m, const char *name) {
    static const int pieces[] = {1, 4, T};
    int out = xlstm_module_output_dim(m);
    for (int p = 0; p < 3; p++) {
        xlstm_session *s = open_session(m, B, pieces[p]), *one[B];
        for (int call = 0; call < 2; call++) {
            static xlstm_real y[ROOM], last[B * WIDE], alone[ROOM];
            rows r = some_rows(m, 20 + (uint64_t)call);
            poison(&r, m);
            xlstm_input in = input_of(&r, m);
            in.lengths = lengths;
            memset(y, 0xff, sizeof y);
            memset(last, 0xff, sizeof last);
            check(xlstm_session_run(s, &in, y, last));
            for (int b = 0; b < B; b++) {
                xlstm_input row = row_of(&r, m, b, 0, lengths[b]);
                const xlstm_real *mine = y + b * T * out;
                if (!call)
                    one[b] = open_session(m, 1, T);
                if (lengths[b]) {
                    check(xlstm_session_run(one[b], &row, alone, NULL));
                    same(mine, alone, lengths[b] * out, name, "a ragged row");
                    same(last + b * out, mine + (lengths[b] - 1) * out, out, name, "the last token");
                } else {
                    all_zero(last + b * out, (size_t)out, name, "the last token of no token");
                }
                all_zero(mine + lengths[b] * out, (size_t)((T - lengths[b]) * out), name, "padding");
            }
        }
        for (int b = 0; b < B; b++)
            xlstm_session_free(one[b]);
        xlstm_session_free(s);
    }
}

static void test_ragged_sessions(void **unused) {
    (void)unused;
    every_kind(ragged);
}

/* A row of no tokens keeps its state to the bit; so does a call that is refused. */
static void stays(xlstm_module *m, const char *name) {
    xlstm_session *s = open_session(m, B, 4);
    rows r = some_rows(m, 5);
    xlstm_input in = input_of(&r, m);
    size_t n = xlstm_session_state_size(s);
    xlstm_real *before = malloc(n * sizeof *before), *after = malloc(n * sizeof *after);
    check(xlstm_session_run(s, &in, NULL, NULL));
    check(xlstm_session_get_state(s, 2, before));
    in.lengths = lengths;
    check(xlstm_session_run(s, &in, NULL, NULL));
    check(xlstm_session_get_state(s, 2, after));
    if (!same_numbers(before, after, n))
        fail_msg("%s: a row of no tokens has moved", name);

    static const int32_t long_row[B] = {1, 1, T + 1, 1}, negative[B] = {1, 1, -1, 1};
    in.lengths = long_row;
    assert_int_equal(xlstm_session_run(s, &in, NULL, NULL), XLSTM_E_ARGUMENT);
    in.lengths = negative;
    assert_int_equal(xlstm_session_run(s, &in, NULL, NULL), XLSTM_E_ARGUMENT);
    in = input_of(&r, m);
    r.tokens[B * T - 1] = 1 << 20;
    in.time = 0;
    assert_int_equal(xlstm_session_run(s, &in, NULL, NULL), XLSTM_E_ARGUMENT);
    in.time = T;
    if (in.tokens)
        assert_int_equal(xlstm_session_run(s, &in, NULL, NULL), XLSTM_E_ARGUMENT);
    in.tokens = NULL, in.inputs = NULL;
    assert_int_equal(xlstm_session_run(s, &in, NULL, NULL), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_session_run(s, NULL, NULL, NULL), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_session_run(NULL, &in, NULL, NULL), XLSTM_E_ARGUMENT);
    check(xlstm_session_get_state(s, 2, after));
    assert_true(same_numbers(before, after, n));
    free(before);
    free(after);
    xlstm_session_free(s);
}

static void test_states_stay(void **unused) {
    (void)unused;
    every_kind(stays);
}

/* Sequences that begin inside a row, and one at its start, which forgets the call before; then the state that
 * is left, by what follows from it. */
static void packed(xlstm_module *m, const char *name) {
    static const int pieces[] = {1, 4, T}, begins[] = {0, 5, 6, T};
    int out = xlstm_module_output_dim(m);
    rows r = some_rows(m, 30), next = some_rows(m, 31);
    unsigned char resets[B * T] = {0};
    for (int b = 0; b < B - 1; b++) /* the last row has none */
        resets[b * T] = resets[b * T + 5] = resets[b * T + 6] = 1;
    for (int p = 0; p < 3; p++) {
        static xlstm_real y[ROOM], after[ROOM], alone[ROOM];
        xlstm_session *s = open_session(m, B, pieces[p]), *one = open_session(m, 1, T);
        xlstm_input in = input_of(&r, m), in_next = input_of(&next, m);
        check(xlstm_session_run(s, &in_next, NULL, NULL));
        in.resets = resets;
        check(xlstm_session_run(s, &in, y, NULL));
        check(xlstm_session_run(s, &in_next, after, NULL));
        for (int b = 0; b < B; b++) {
            xlstm_input then = row_of(&next, m, b, 0, T);
            xlstm_session_reset(one, 0);
            if (b == B - 1)
                check(xlstm_session_run(one, &then, NULL, NULL));
            for (int part = 0; part < 3; part++) {
                int from = begins[part], time = begins[part + 1] - from;
                xlstm_input row = row_of(&r, m, b, from, time);
                if (b < B - 1)
                    xlstm_session_reset(one, 0);
                check(xlstm_session_run(one, &row, alone, NULL));
                same(y + (b * T + from) * out, alone, time * out, name, "a sequence in a packed row");
            }
            check(xlstm_session_run(one, &then, alone, NULL));
            same(after + b * T * out, alone, T * out, name, "what follows a packed row");
        }
        xlstm_session_free(s);
        xlstm_session_free(one);
    }
}

static void test_packed_sessions(void **unused) {
    (void)unused;
    every_kind(packed);
}

/* One stream of a running batch is put back: it is as new, and the others do not notice, both to the bit. */
static void reset_one(xlstm_module *m, const char *name) {
    static xlstm_real y[ROOM], usual[ROOM], new[ROOM];
    int out = xlstm_module_output_dim(m), row = T * out;
    rows r = some_rows(m, 40), next = some_rows(m, 41);
    xlstm_input in = input_of(&r, m), in_next = input_of(&next, m);
    xlstm_session *s = open_session(m, B, 4), *t = open_session(m, B, 4), *fresh = open_session(m, B, 4);
    check(xlstm_session_run(s, &in, NULL, NULL));
    check(xlstm_session_run(t, &in, NULL, NULL));
    check(xlstm_session_reset(s, 1));
    check(xlstm_session_run(s, &in_next, y, NULL));
    check(xlstm_session_run(t, &in_next, usual, NULL));
    check(xlstm_session_run(fresh, &in_next, new, NULL));
    for (int b = 0; b < B; b++)
        if (!same_numbers(y + b * row, (b == 1 ? new : usual) + b * row, (size_t)row))
            fail_msg("%s: stream %d after stream 1 was reset", name, b);
    xlstm_session_free(s);
    xlstm_session_free(t);
    xlstm_session_free(fresh);
}

static void test_reset_one(void **unused) {
    (void)unused;
    every_kind(reset_one);
}

/* ---- trainers ---- */

static xlstm_trainer *open_trainer(xlstm_module *m, int streams, int time, int carry, int gradients) {
    xlstm_trainer_config c;
    xlstm_trainer *tr;
    xlstm_trainer_config_init(&c);
    c.batch = streams, c.time = time, c.carry_state = carry, c.gradients = gradients;
    check(xlstm_trainer_create(&tr, m, &c));
    return tr;
}

static xlstm_batch batch_of(const rows *r, const xlstm_module *m) {
    int in = xlstm_module_input_dim(m);
    return (xlstm_batch){.struct_size = sizeof(xlstm_batch),
                         .tokens = in ? NULL : r->tokens,
                         .targets = in ? NULL : r->targets,
                         .inputs = in ? r->inputs : NULL,
                         .outputs = in ? r->outputs : NULL};
}

/* Windows of 4, 4 and 3 tokens with carried state give the losses of one window of 11. (Without, the mLSTM
 * starts from another stabiliser, which its epsilon shows.) */
static void windows(xlstm_module *m, const char *name) {
    static const int times[] = {4, 4, 3};
    int gradients = !has_attention(name), in = xlstm_module_input_dim(m), out = xlstm_module_output_dim(m);
    xlstm_real whole[B * T], part[B * T];
    rows r = some_rows(m, 50);
    xlstm_trainer *one = open_trainer(m, B, T, 1, gradients), *tr = open_trainer(m, B, 4, 1, gradients);
    xlstm_batch batch = batch_of(&r, m);
    batch.token_loss = whole;
    check(gradients ? xlstm_trainer_backward(one, &batch, NULL) : xlstm_trainer_evaluate(one, &batch, NULL));
    for (int w = 0, from = 0; w < 3; from += times[w++]) {
        rows cut = r;
        int time = times[w];
        for (int i = 0; i < B * time; i++) {
            int at = i / time * T + from + i % time;
            cut.tokens[i] = r.tokens[at], cut.targets[i] = r.targets[at];
            memcpy(cut.inputs + i * in, r.inputs + at * in, (size_t)in * sizeof *r.inputs);
            memcpy(cut.outputs + i * out, r.outputs + at * out, (size_t)out * sizeof *r.outputs);
        }
        batch = batch_of(&cut, m);
        batch.time = time;
        batch.token_loss = part;
        check(gradients ? xlstm_trainer_backward(tr, &batch, NULL)
                        : xlstm_trainer_evaluate(tr, &batch, NULL));
        for (int b = 0; b < B; b++)
            same(part + b * time, whole + b * T + from, time, name, "the losses of a window");
    }
    xlstm_trainer_free(one);
    xlstm_trainer_free(tr);
}

static void test_windows(void **unused) {
    (void)unused;
    every_kind(windows);
}

/* Attention has no gradient through its cache: a trainer says so. */
static void test_attention_is_refused(void **unused) {
    (void)unused;
    char name[64];
    xlstm_module *m;
    xlstm_trainer *tr;
    xlstm_trainer_config c;
    assert_int_equal(create_kind(&m, XLSTM_TRANSFORMER, name, 7), XLSTM_OK);
    xlstm_trainer_config_init(&c);
    c.carry_state = 1;
    assert_int_equal(xlstm_trainer_create(&tr, m, &c), XLSTM_E_CONFIG);
    assert_null(tr);
    xlstm_module_free(m);
}

/* A state goes from a trainer into a session and into another stream of another trainer; what follows is the
 * same. */
static void travels(xlstm_module *m, const char *name) {
    static xlstm_real expected[ROOM], got[ROOM], loss[B * T], loss_moved[B * T];
    int gradients = !has_attention(name), out = xlstm_module_output_dim(m);
    rows r = some_rows(m, 60), next = some_rows(m, 61);
    xlstm_trainer *tr = open_trainer(m, B, T, 1, gradients), *to = open_trainer(m, B, T, 1, gradients);
    xlstm_session *s = open_session(m, B, T), *moved = open_session(m, 1, T);
    xlstm_input in = input_of(&r, m), in_next = input_of(&next, m), row = row_of(&next, m, 1, 0, T);
    size_t n = xlstm_session_state_size(s);
    assert_int_equal(xlstm_trainer_state_size(tr), n);
    xlstm_real *state = malloc(n * sizeof *state);

    check(xlstm_session_run(s, &in, NULL, NULL));
    xlstm_batch batch = batch_of(&r, m);
    check(gradients ? xlstm_trainer_backward(tr, &batch, NULL) : xlstm_trainer_evaluate(tr, &batch, NULL));
    check(xlstm_trainer_get_state(tr, 1, state));
    check(xlstm_session_set_state(moved, 0, state));
    check(xlstm_trainer_set_state(to, 1, state));

    check(xlstm_session_run(s, &in_next, expected, NULL));
    check(xlstm_session_run(moved, &row, got, NULL));
    same(got, expected + T * out, T * out, name, "a session with a trainer's state");
    batch = batch_of(&next, m);
    batch.token_loss = loss;
    check(xlstm_trainer_evaluate(tr, &batch, NULL));
    batch.token_loss = loss_moved;
    check(xlstm_trainer_evaluate(to, &batch, NULL));
    assert_true(same_numbers(loss + T, loss_moved + T, T));
    assert_memory_not_equal(loss, loss_moved, T * sizeof *loss);

    assert_int_equal(xlstm_trainer_get_state(tr, B, state), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_trainer_set_state(tr, -1, state), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_trainer_get_state(tr, 0, NULL), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_trainer_set_state(NULL, 0, state), XLSTM_E_ARGUMENT);
    xlstm_trainer *none = open_trainer(m, B, T, 0, 1);
    assert_int_equal(xlstm_trainer_state_size(none), 0);
    assert_int_equal(xlstm_trainer_get_state(none, 0, state), XLSTM_E_ARGUMENT);
    xlstm_trainer_free(none);
    free(state);
    xlstm_trainer_free(tr);
    xlstm_trainer_free(to);
    xlstm_session_free(s);
    xlstm_session_free(moved);
}

static void test_states_travel(void **unused) {
    (void)unused;
    every_kind(travels);
}

/* One stream of a trainer is put back between windows. */
static void reset_in_training(xlstm_module *m, const char *name) {
    if (has_attention(name))
        return; /* trains without state */
    xlstm_real y[B * T], usual[B * T], new[B * T], *losses[] = {y, usual, new};
    rows r = some_rows(m, 70), next = some_rows(m, 71);
    for (int i = 0; i < 3; i++) {
        xlstm_trainer *tr = open_trainer(m, B, T, 1, 1);
        xlstm_batch batch = batch_of(&r, m), then = batch_of(&next, m);
        if (i < 2)
            check(xlstm_trainer_backward(tr, &batch, NULL));
        if (i == 0)
            check(xlstm_trainer_reset(tr, 1));
        then.token_loss = losses[i];
        check(xlstm_trainer_backward(tr, &then, NULL));
        xlstm_trainer_free(tr);
    }
    for (int b = 0; b < B; b++)
        if (!same_numbers(y + b * T, (b == 1 ? new : usual) + b * T, T))
            fail_msg("%s: stream %d of a trainer after stream 1 was reset", name, b);
}

static void test_reset_in_training(void **unused) {
    (void)unused;
    every_kind(reset_in_training);
}

/* ---- gradients of one's own loss, for modules over vectors ---- */

typedef struct {
    xlstm_real y[ROOM], d_in[ROOM], *gradients;
} passes;

static void pass(xlstm_module *m, int streams, const xlstm_batch *batch, const xlstm_real *d_y, passes *p) {
    xlstm_trainer *tr = open_trainer(m, streams, T, 0, 1);
    check(xlstm_trainer_forward(tr, batch, p->y));
    check(xlstm_trainer_backward_from(tr, d_y, p->d_in));
    p->gradients = copy_gradients(tr, m);
    xlstm_trainer_free(tr);
}

/* Inputs and gradients that are NaN in the padding: outputs, gradients of the inputs and of the parameters
 * are those of the rows alone, and padding has zeros. This is all that reading rows backwards takes too. */
static void own_loss(xlstm_module *m, const char *name) {
    static passes whole, alone;
    int in = xlstm_module_input_dim(m), out = xlstm_module_output_dim(m);
    if (!in)
        return;
    rows r = some_rows(m, 80);
    poison(&r, m); /* r.outputs serve as the gradients of the outputs */
    xlstm_batch batch = batch_of(&r, m);
    batch.lengths = lengths;
    size_t n = xlstm_module_layout_size(m);
    xlstm_real *sum = calloc(n, sizeof *sum);
    pass(m, B, &batch, r.outputs, &whole);
    for (int b = 0; b < B; b++) {
        int at = b * T, length = lengths[b];
        if (length) {
            xlstm_batch one = {.struct_size = sizeof one, .time = length, .inputs = r.inputs + at * in};
            pass(m, 1, &one, r.outputs + at * out, &alone);
            same(whole.y + at * out, alone.y, length * out, name, "a ragged row's outputs");
            same(whole.d_in + at * in, alone.d_in, length * in, name, "a ragged row's gradients");
            for (size_t i = 0; i < n; i++)
                sum[i] += alone.gradients[i];
            free(alone.gradients);
        }
        all_zero(whole.y + (at + length) * out, (size_t)((T - length) * out), name, "padded outputs");
        all_zero(whole.d_in + (at + length) * in, (size_t)((T - length) * in), name, "padded gradients");
    }
    same(whole.gradients, sum, (int)n, name, "the parameters' gradients");
    free(whole.gradients);
    free(sum);
}

static void test_own_loss(void **unused) {
    (void)unused;
    every_kind(own_loss);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ragged_sessions), cmocka_unit_test(test_states_stay),
        cmocka_unit_test(test_packed_sessions), cmocka_unit_test(test_reset_one),
        cmocka_unit_test(test_windows),         cmocka_unit_test(test_attention_is_refused),
        cmocka_unit_test(test_states_travel),   cmocka_unit_test(test_reset_in_training),
        cmocka_unit_test(test_own_loss)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
