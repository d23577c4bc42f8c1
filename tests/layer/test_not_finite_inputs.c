/* A number that is not finite, or one that is huge, changes nothing before it, in no other stream, and
 * nothing after a reset, not by a bit; what it does to later outputs does not depend on how time is cut. For
 * every kind, type of weights and backend, with positions at, before and behind the edges of chunks. */
#include "support/kinds.h"
#include "support/random.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { B = 2, T = 70, L = 16, MOST = 16, BAD_ROW = 1 };

/* Blocks and cells, and models over vectors of every kind, wide enough for products of matrices. */
enum { WIDE = TEST_BLOCKS + TEST_CELLS, KINDS = WIDE + XLSTM_BLOCK_KINDS };

static const int places[] = {0, 1, L - 1, L, L + 1, 2 * L - 1, 40, 65, T - 1};
static const double numbers[] = {NAN, INFINITY, -INFINITY, 1e38, -1e38};
enum { PLACES = sizeof places / sizeof *places, NUMBERS = sizeof numbers / sizeof *numbers };

typedef xlstm_real outputs[B * T * MOST];

static xlstm_module *make(int kind, xlstm_weights weights, char name[64]) {
    xlstm_module *m, *packed;
    if (kind < WIDE) {
        assert_int_equal(create_kind(&m, kind, name, 7), XLSTM_OK);
        jitter(m, 0.15, 3);
        return m;
    }
    xlstm_config c = small_config((xlstm_block_kind)(kind - WIDE));
    snprintf(name, 64, "model %s, weights %d", xlstm_block_kind_name((xlstm_block_kind)(kind - WIDE)),
             weights);
    c.vocab_size = 0, c.input_dim = 3, c.output_dim = 2;
    c.embedding_dim = 32, c.chunk_size = L, c.context_length = 24;
    assert_int_equal(xlstm_model_create(&m, &c, 7), XLSTM_OK);
    jitter(m, 0.05, 3);
    if (weights == XLSTM_WEIGHTS_REAL)
        return m;
    assert_int_equal(xlstm_module_quantize(&packed, m, weights), XLSTM_OK);
    xlstm_module_free(m);
    return packed;
}

/* Calls of `piece` tokens each, the reset (below 0: none) before a token of both streams. */
static void run(const xlstm_module *m, const xlstm_real *x, int piece, int reset, xlstm_real *y) {
    int in = xlstm_module_input_dim(m), out = xlstm_module_output_dim(m);
    static xlstm_real some[B * T * MOST], got[B * T * MOST];
    xlstm_session *s;
    assert_int_equal(xlstm_session_create(&s, m, B, T), XLSTM_OK);
    for (int t = 0, n; t < T; t += n) {
        unsigned char resets[B * T] = {0};
        n = piece < T - t ? piece : T - t;
        for (int b = 0; b < B; b++)
            memcpy(some + b * n * in, x + (b * T + t) * in, (size_t)(n * in) * sizeof *x);
        if (reset >= t && reset < t + n)
            resets[reset - t] = resets[n + reset - t] = 1;
        xlstm_input input = {.struct_size = sizeof input, .time = n, .inputs = some, .resets = resets};
        assert_int_equal(xlstm_session_run(s, &input, got, NULL), XLSTM_OK);
        for (int b = 0; b < B; b++)
            memcpy(y + (b * T + t) * out, got + b * n * out, (size_t)(n * out) * sizeof *y);
    }
    xlstm_session_free(s);
}

/* Tokens from .. to of a stream, bit for bit. */
static void same(const xlstm_real *a, const xlstm_real *b, int out, int row, int from, int to,
                 const char *what) {
    size_t at = (size_t)(row * T + from) * (size_t)out;
    for (int i = 0; i < (to - from) * out; i++)
        if (memcmp(&a[at + (size_t)i], &b[at + (size_t)i], sizeof *a))
            fail_msg("%s: stream %d, token %d: %g is not %g", what, row, from + i / out,
                     (double)a[at + (size_t)i], (double)b[at + (size_t)i]);
}

static void same_pattern(const xlstm_real *a, const xlstm_real *b, int out, const char *what) {
    for (int i = 0; i < B * T * out; i++)
        if (!!isfinite(a[i]) != !!isfinite(b[i]) || !!isnan(a[i]) != !!isnan(b[i]))
            fail_msg("%s: stream %d, token %d: %g in one call, %g token by token", what, i / out / T,
                     i / out % T, (double)a[i], (double)b[i]);
}

typedef struct {
    const xlstm_module *m;
    const char *name;
    xlstm_real x[B * T * MOST];
    outputs clean;
    int in, out;
} trial;

static void put(trial *k, int place, double number) {
    k->x[(BAD_ROW * T + place) * k->in] = (xlstm_real)number;
}

static void try_number(trial *k, int place, double number) {
    static outputs whole, single;
    char what[160];
    xlstm_real was = k->x[(BAD_ROW * T + place) * k->in];
    snprintf(what, sizeof what, "%s, %s, %g at %d", xlstm_get_backend() ? xlstm_get_backend() : "?", k->name,
             number, place);
    put(k, place, number);
    run(k->m, k->x, T, -1, whole);
    run(k->m, k->x, 1, -1, single);
    put(k, place, (double)was);
    same(whole, k->clean, k->out, 0, 0, T, what);
    same(whole, k->clean, k->out, BAD_ROW, 0, place, what);
    same_pattern(whole, single, k->out, what);
    if (isnan(number))
        assert_true(isnan(whole[(BAD_ROW * T + place) * k->out]));
}

static void try_reset(trial *k, int place, int reset) {
    static outputs whole, clean;
    char what[160];
    xlstm_real was = k->x[(BAD_ROW * T + place) * k->in];
    snprintf(what, sizeof what, "%s, %s, NaN at %d, reset at %d",
             xlstm_get_backend() ? xlstm_get_backend() : "?", k->name, place, reset);
    run(k->m, k->x, T, reset, clean);
    put(k, place, NAN);
    run(k->m, k->x, T, reset, whole);
    put(k, place, (double)was);
    same(whole, clean, k->out, 0, 0, T, what);
    same(whole, clean, k->out, BAD_ROW, 0, place, what);
    same(whole, clean, k->out, BAD_ROW, reset, T, what);
}

static void try_module(int kind, xlstm_weights weights) {
    static trial k;
    char name[64];
    xlstm_module *m = make(kind, weights, name);
    k.m = m, k.name = name;
    k.in = xlstm_module_input_dim(m), k.out = xlstm_module_output_dim(m);
    fill_normal(k.x, (size_t)(B * T * k.in), 1, 21);
    run(m, k.x, T, -1, k.clean);
    for (int p = 0; p < PLACES; p++)
        try_number(&k, places[p], NAN);
    for (int n = 1; n < NUMBERS; n++)
        try_number(&k, places[3 + n % 3], numbers[n]);
    for (int p = 0; p < PLACES - 1; p++)
        try_reset(&k, places[p], places[p] + 1 + p % 3);
    xlstm_module_free(m);
}

static void on_every_backend(void (*test)(void)) {
    const char *name;
#ifndef XLSTM_DOUBLE
    for (int i = 0; (name = xlstm_backend_name(i)); i++)
        if (xlstm_set_backend(name) == XLSTM_OK)
            test();
    xlstm_set_backend(NULL);
#else
    (void)name;
    test();
#endif
}

static void every_kind(void) {
    for (int kind = 0; kind < KINDS; kind++)
        for (int w = XLSTM_WEIGHTS_REAL; w < (kind < WIDE ? 1 : XLSTM_WEIGHTS_KINDS); w++)
            try_module(kind, (xlstm_weights)w);
}

static void test_sessions(void **state) {
    (void)state;
    on_every_backend(every_kind);
}

/* ---- training ---- */

static xlstm_trainer *trainer_of(xlstm_module *m, xlstm_products products) {
    xlstm_trainer_config how;
    xlstm_trainer *tr = NULL;
    xlstm_trainer_config_init(&how);
    how.batch = B, how.time = T, how.products = products;
    if (xlstm_trainer_create(&tr, m, &how))
        return NULL; /* the reference has no products in bfloat16 */
    return tr;
}

/* Outputs as without it before it, in the other row, and whatever the padding holds; the sentence names it.
 */
static void train(int kind, xlstm_products products, int place) {
    static xlstm_real x[B * T * MOST], zeros[B * T * MOST];
    static outputs clean, shorter, got;
    char name[64], what[128], sentence[64];
    xlstm_module *m = make(kind, XLSTM_WEIGHTS_REAL, name);
    xlstm_trainer *tr = trainer_of(m, products);
    int in = xlstm_module_input_dim(m), out = xlstm_module_output_dim(m);
    int32_t lengths[B] = {T, T};
    xlstm_batch b = {.struct_size = sizeof b, .inputs = x, .outputs = zeros, .lengths = lengths};
    snprintf(what, sizeof what, "training, %s, products %d, place %d", name, products, place);
    fill_normal(x, (size_t)(B * T * in), 1, 21);
    if (!tr) {
        xlstm_module_free(m);
        return;
    }
    lengths[BAD_ROW] = place;
    assert_int_equal(xlstm_trainer_forward(tr, &b, shorter), XLSTM_OK);
    lengths[BAD_ROW] = T;
    assert_int_equal(xlstm_trainer_forward(tr, &b, clean), XLSTM_OK);
    x[(BAD_ROW * T + place) * in] = (xlstm_real)NAN;
    assert_int_equal(xlstm_trainer_forward(tr, &b, got), XLSTM_OK);
    same(got, clean, out, 0, 0, T, what);
    same(got, clean, out, BAD_ROW, 0, place, what);
    assert_int_equal(xlstm_trainer_backward(tr, &b, NULL), XLSTM_E_NUMERIC);
    snprintf(sentence, sizeof sentence, "first at row %d, position %d;", BAD_ROW, place);
    if (!strstr(xlstm_last_error(), sentence))
        fail_msg("%s: \"%s\" does not say \"%s\"", what, xlstm_last_error(), sentence);
    xlstm_trainer_zero_gradients(tr);
    lengths[BAD_ROW] = place;
    assert_int_equal(xlstm_trainer_forward(tr, &b, got), XLSTM_OK);
    same(got, shorter, out, BAD_ROW, 0, T, what);
    assert_int_equal(xlstm_trainer_backward(tr, &b, NULL), XLSTM_OK);
    assert_true(isfinite(xlstm_trainer_gradient_norm(tr)));
    xlstm_trainer_free(tr);
    xlstm_module_free(m);
}

static void train_every_kind(void) {
    for (int kind = 0; kind < KINDS; kind++)
        for (int products = XLSTM_PRODUCTS_REAL; products <= XLSTM_PRODUCTS_BF16; products++)
            for (int p = 0; p < PLACES; p++)
                train(kind, (xlstm_products)products, places[p]);
}

static void test_training(void **state) {
    (void)state;
    on_every_backend(train_every_kind);
}

/* ---- what does not count ---- */

typedef struct {
    xlstm_loss loss;
    xlstm_real *gradients;
} result;

static result train_on(xlstm_module *m, const xlstm_batch *b, size_t size) {
    xlstm_trainer *tr = trainer_of(m, XLSTM_PRODUCTS_REAL);
    result r = {.gradients = malloc(size * sizeof(xlstm_real))};
    assert_non_null(tr);
    assert_int_equal(xlstm_trainer_backward(tr, b, &r.loss), XLSTM_OK);
    assert_int_equal(xlstm_trainer_read_gradients(tr, 0, size, r.gradients), XLSTM_OK);
    xlstm_trainer_free(tr);
    return r;
}

/* Values to predict that have no weight may be anything; where none has one, nothing is to be learnt. */
static void zero_weights(void) {
    static xlstm_real x[B * T * MOST], y[B * T * MOST], weights[B * T];
    char name[64];
    xlstm_module *m = make(WIDE + XLSTM_LSTM, XLSTM_WEIGHTS_REAL, name);
    size_t size = xlstm_module_layout_size(m);
    int out = xlstm_module_output_dim(m);
    xlstm_batch b = {.struct_size = sizeof b, .inputs = x, .outputs = y, .weights = weights};
    fill_normal(x, (size_t)(B * T * xlstm_module_input_dim(m)), 1, 21);
    fill_normal(y, (size_t)(B * T * out), 1, 22);
    for (int i = 0; i < B * T; i++)
        weights[i] = (xlstm_real)(i % 3 ? 0.5 : 0);
    result want = train_on(m, &b, size);
    for (int i = 0; i < B * T; i++)
        if (i % 3 == 0)
            y[i * out] = (xlstm_real)(i % 2 ? NAN : INFINITY), y[i * out + 1] = (xlstm_real)-1e30;
    result got = train_on(m, &b, size);
    assert_true(got.loss.sum == want.loss.sum && got.loss.count == want.loss.count);
    assert_memory_equal(got.gradients, want.gradients, size * sizeof(xlstm_real));
    memset(weights, 0, sizeof weights);
    result none = train_on(m, &b, size);
    assert_true(none.loss.sum == 0 && none.loss.mean == 0 && none.loss.count == 0);
    for (size_t i = 0; i < size; i++)
        assert_true(none.gradients[i] == 0);
    free(want.gradients), free(got.gradients), free(none.gradients);
    xlstm_module_free(m);
}

/* The head's logits of all ignored positions overflow; only the loss of others is learnt from. */
static void ignored_targets(void) {
    static int32_t tokens[B * T], targets[B * T];
    xlstm_config c = small_config(XLSTM_LSTM_PLAIN);
    xlstm_module *m;
    c.vocab_size = 40, c.final_norm = 0;
    assert_int_equal(xlstm_model_create(&m, &c, 7), XLSTM_OK);
    size_t size = xlstm_module_layout_size(m);
    xlstm_batch b = {.struct_size = sizeof b, .tokens = tokens, .targets = targets};
    fill_tokens(tokens, B * T, 40, 5);
    for (int i = 0; i < B * T; i++)
        targets[i] = i % 4 ? (i * 7) % 40 : -1;
    result some = train_on(m, &b, size);
    assert_true(some.loss.count == 105 && isfinite(some.loss.sum));
    for (int i = 0; i < B * T; i++)
        targets[i] = -1 - i;
    for (int i = 0; i < xlstm_module_parameter_count(m); i++) {
        xlstm_parameter p;
        xlstm_module_parameter(m, i, &p);
        xlstm_real *w = copy_parameter(m, i);
        for (size_t k = 0; k < p.count; k++)
            w[k] *= strstr(p.name, "head") || strstr(p.name, "embedding") ? (xlstm_real)1e30 : 1;
        assert_int_equal(xlstm_module_write(m, i, w), XLSTM_OK);
        free(w);
    }
    result none = train_on(m, &b, size);
    assert_true(none.loss.sum == 0 && none.loss.mean == 0 && none.loss.count == 0);
    for (size_t i = 0; i < size; i++)
        if (none.gradients[i] != 0)
            fail_msg("gradient %zu is %g", i, (double)none.gradients[i]);
    free(some.gradients), free(none.gradients);
    xlstm_module_free(m);
}

static void test_what_does_not_count(void **state) {
    (void)state;
    on_every_backend(zero_weights);
    on_every_backend(ignored_targets);
}

int main(void) {
    xlstm_set_threads(1); /* they change nothing, and single tokens are not worth a second one */
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sessions), cmocka_unit_test(test_training),
                                       cmocka_unit_test(test_what_does_not_count)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
