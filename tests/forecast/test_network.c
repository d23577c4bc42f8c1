/* The network of a forecasting model against the reference case, stage by stage; what saves work against
 * what does not; rows against rows alone. */
#include "io/forecast_io.h"
#include "forecast/inside.h"
#include "programs/compare.h"
#include "support/random.h"
#include "xlstm.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define CASE XLSTM_TEST_DATA "/tirex2_small"
enum { ROWS = 22, TOKENS = 20, FUTURE = 4 }; /* FUTURE: F / P */

static void good(xlstm_status status) {
    if (status != XLSTM_OK)
        fail_msg("%s", xlstm_last_error());
}

/* ---- the reference case ---- */

typedef struct {
    xlstm_tensors *file;
    int group[ROWS], padding[ROWS];
    unsigned char target[ROWS], known[ROWS];
    xlstm_real *tokens; /* [ROWS, TOKENS, entry] */
    struct xl_forecast_rows rows;
} reference;

static double *doubles(const xlstm_tensors *file, const char *name, size_t *count) {
    xlstm_tensor t;
    good(xlstm_tensors_find(file, name, &t));
    double *p = malloc(t.count * sizeof *p);
    good(xlstm_tensor_doubles(&t, p));
    *count = t.count;
    return p;
}

static void flags(const xlstm_tensors *file, const char *name, unsigned char to[ROWS], int *numbers) {
    xlstm_tensor t;
    int64_t wide[ROWS];
    good(xlstm_tensors_find(file, name, &t));
    assert_int_equal(t.count, ROWS);
    good(xlstm_tensor_int64s(&t, wide));
    for (int r = 0; r < ROWS; r++) {
        if (to)
            to[r] = (unsigned char)wide[r];
        if (numbers)
            numbers[r] = (int)wide[r];
    }
}

/* Leading tokens whose numbers are all 0. */
static int padding_of(const xlstm_real *row, int entry) {
    int t = 0;
    for (;; t++)
        for (int i = 0; i < entry; i++)
            if (t == TOKENS || row[t * entry + i] != 0)
                return t;
}

static void open_reference(reference *k) {
    size_t count;
    good(xlstm_tensors_open(&k->file, CASE "/case.safetensors"));
    flags(k->file, "a.rows.group", NULL, k->group);
    flags(k->file, "a.rows.target", k->target, NULL);
    flags(k->file, "a.rows.known", k->known, NULL);
    double *tokens = doubles(k->file, "a.stage.tokens", &count);
    int entry = (int)(count / (ROWS * TOKENS));
    k->tokens = malloc(count * sizeof *k->tokens);
    for (size_t i = 0; i < count; i++)
        k->tokens[i] = (xlstm_real)tokens[i];
    free(tokens);
    for (int r = 0; r < ROWS; r++)
        k->padding[r] = padding_of(k->tokens + r * TOKENS * entry, entry);
    k->rows = (struct xl_forecast_rows){
        ROWS, TOKENS, k->group, k->target, k->known, k->padding, TOKENS - FUTURE - 1, FUTURE - 1};
}

static void close_reference(reference *k) {
    xlstm_tensors_close(k->file);
    free(k->tokens);
}

static xl_forecast_network *load(void) {
    xl_forecast_network *net;
    good(xl_forecast_network_load(&net, CASE, XLSTM_WEIGHTS_REAL));
    return net;
}

/* What a tensor may differ by: float32 is told how much the package's own float32 does. */
static double allowed(const xlstm_tensors *file, const char *name, double largest) {
    char noise[80];
    size_t count;
    if (sizeof(xlstm_real) == 8)
        return 1e-9 * largest;
    snprintf(noise, sizeof noise, "noise.%s", name);
    double *n = doubles(file, noise, &count), most = fmax(1e-5 * largest, 4 * *n);
    free(n);
    return most;
}

typedef struct {
    const reference *k;
    int seen;
    double worst; /* error over what is allowed */
} stages;

static void compare_stage(void *context, const char *name, int columns, const xlstm_real *data) {
    stages *s = context;
    char full[64];
    size_t count;
    comparison c = {0};
    snprintf(full, sizeof full, "a.stage.%s", name);
    double *want = doubles(s->k->file, full, &count);
    assert_int_equal(count, (size_t)(ROWS * TOKENS * columns));
    for (size_t i = 0; i < count; i++)
        see(&c, (double)data[i], want[i]);
    double most = allowed(s->k->file, full, c.size);
    if (!within(c.error, most))
        fail_msg("%s: error %g; %g is allowed, largest number %g", full, c.error, most, c.size);
    s->worst = c.error / most > s->worst ? c.error / most : s->worst;
    s->seen++;
    free(want);
}

static void test_stages(void **state) {
    reference k;
    (void)state;
    open_reference(&k);
    xl_forecast_network *net = load();
    stages c = {.k = &k};
    good(xl_forecast_network_watch(net, &k.rows, k.tokens, compare_stage, &c));
    assert_int_equal(c.seen, 4 + 2 * xl_forecast_network_config(net)->num_blocks);
    print_message("largest error of a stage: %.3g of what is allowed\n", c.worst);
    xl_forecast_network_free(net);
    close_reference(&k);
}

/* ---- what is saved ---- */

/* Heads of the case's targets against the reference. */
static void compare_heads(const reference *k, const struct xl_forecast_rows *r, int exit,
                          const xlstm_real *head) {
    size_t count;
    comparison c = {0};
    double *want = doubles(k->file, "a.stage.head", &count);
    for (int row = 0, at = 0; row < ROWS; row++)
        for (int i = 0; k->target[row] && i < r->wanted_count * exit; i++)
            see(&c, (double)head[at++], want[(row * TOKENS + r->wanted_first) * exit + i]);
    double most = allowed(k->file, "a.stage.head", c.size);
    if (!within(c.error, most))
        fail_msg("heads of %d tokens from %d: number %zu is %.12g, not %.12g", r->wanted_count,
                 r->wanted_first, c.at, c.is, c.should);
    free(want);
}

static void run_case(xl_forecast_run *run, const reference *k, int exit, int first, int count) {
    struct xl_forecast_rows r = k->rows;
    r.wanted_first = first;
    r.wanted_count = count;
    xlstm_real *head = malloc((size_t)(ROWS * count * exit) * sizeof *head);
    good(xl_forecast_network_run(run, &r, k->tokens, head));
    compare_heads(k, &r, exit, head);
    free(head);
}

/* Padding is not computed, nor the future that nobody wants; twice, since states are remembered. */
static void test_savings(void **state) {
    reference k;
    xl_forecast_run *run;
    (void)state;
    open_reference(&k);
    xl_forecast_network *net = load();
    int exit = xl_forecast_exit(xl_forecast_network_config(net));
    good(xl_forecast_run_create(&run, net, ROWS, TOKENS));
    for (int twice = 0; twice < 2; twice++) {
        run_case(run, &k, exit, TOKENS - FUTURE - 1, FUTURE);
        run_case(run, &k, exit, TOKENS - FUTURE - 1, 1);
        run_case(run, &k, exit, 3, TOKENS - 3);
        run_case(run, &k, exit, 0, TOKENS);
    }
    xl_forecast_run_free(run);
    xl_forecast_network_free(net);
    close_reference(&k);
}

/* ---- gradients ---- */

enum { G_ROWS = 6, G_TOKENS = 7, G_WANTED = 3 };

/* Two targets with a known and a past covariate, a lone row, a pair without a known one. */
typedef struct {
    struct xl_forecast_rows rows;
    xlstm_real tokens[G_ROWS * G_TOKENS * 6], target[4 * G_WANTED * 3];
} training;

static void make_training(training *t) {
    static const int group[] = {1, 1, 1, 2, 3, 3}, padding[G_ROWS] = {0};
    static const unsigned char target[] = {1, 0, 0, 1, 1, 1}, known[] = {0, 1, 0, 0, 0, 0};
    t->rows = (struct xl_forecast_rows){G_ROWS, G_TOKENS, group, target, known, padding, 2, G_WANTED};
    fill_normal(t->tokens, sizeof t->tokens / sizeof *t->tokens, 1, 5);
    fill_normal(t->target, sizeof t->target / sizeof *t->target, 1, 6);
    t->target[4] = (xlstm_real)NAN;
}

static xl_forecast_network *small_network(int act, int slstm_first) {
    struct xl_forecast_config c;
    xl_forecast_network *net;
    xl_forecast_config_init(&c);
    c.num_blocks = 2;
    c.embedding_dim = 16;
    c.patch_size = 3;
    c.context_len = 15;
    c.future_len = 6;
    c.num_quantiles = 2;
    c.quantiles[0] = 0.3;
    c.quantiles[1] = 0.8;
    c.input_ff_dim = 10;
    c.h_expand = 1.5;
    c.act = act;
    c.out_norm = act != XL_FORECAST_RELU;
    c.use_qk_norm = act != XL_FORECAST_GELU;
    for (int i = 0; i < 2; i++)
        c.block[i] = (struct xl_forecast_block){(i + slstm_first) % 2, 2, 4};
    good(xl_forecast_network_create(&net, &c, 3));
    jitter(xl_forecast_network_module(net), 0.15, 3);
    return net;
}

static double loss_at(xl_forecast_trainer *tr, const training *t) {
    double loss;
    good(xl_forecast_trainer_run(tr, &t->rows, t->tokens, t->target, 0, &loss, NULL));
    return loss;
}

/* Five-point difference of the loss along a direction that touches all numbers of one parameter. */
static void check_gradient(xl_forecast_trainer *tr, const training *t, xlstm_module *m, int index,
                           const xlstm_real *g) {
    static const double at[4] = {-2, -1, 1, 2}, weight[4] = {1, -8, 8, -1};
    const double h = 2e-5;
    xlstm_parameter p;
    good(xlstm_module_parameter(m, index, &p));
    xlstm_real *old = copy_parameter(m, index), *moved = malloc(p.count * sizeof *moved);
    double *u = malloc(p.count * sizeof *u), along = 0, size = 0, numeric = 0;
    xl_rng rng = {p.offset + 5, 0};
    for (size_t j = 0; j < p.count; j++) {
        u[j] = xl_rng_normal(&rng);
        along += u[j] * (double)g[p.offset + j];
        size += fabs(u[j] * (double)g[p.offset + j]);
    }
    for (int k = 0; k < 4; k++) {
        for (size_t j = 0; j < p.count; j++)
            moved[j] = (xlstm_real)((double)old[j] + at[k] * h * u[j]);
        good(xlstm_module_write(m, index, moved));
        numeric += weight[k] * loss_at(tr, t) / (12 * h);
    }
    good(xlstm_module_write(m, index, old));
    if (!is_near(along, numeric, 1e-6 * size + 1e-10))
        fail_msg("%s: gradient along a direction is %.12g, differences give %.12g (scale %.3g)", p.name,
                 along, numeric, size);
    free(old);
    free(moved);
    free(u);
}

static void test_gradients(void **state) {
    training t;
    (void)state;
    make_training(&t);
    if (sizeof(xlstm_real) != 8)
        skip();
    for (int act = 0; act < XL_FORECAST_ACTS; act++) {
        xl_forecast_network *net = small_network(act, act % 2);
        xlstm_module *m = xl_forecast_network_module(net);
        xl_forecast_trainer *tr;
        double loss;
        good(xl_forecast_trainer_create(&tr, net, G_ROWS, G_TOKENS));
        good(xl_forecast_trainer_run(tr, &t.rows, t.tokens, t.target, 1, &loss, NULL));
        assert_true(is_near(loss, loss_at(tr, &t), 1e-12));
        xlstm_real *g = copy_gradients(xl_forecast_trainer_base(tr), m);
        for (int i = 0; i < xlstm_module_parameter_count(m); i++)
            check_gradient(tr, &t, m, i, g);
        free(g);
        xl_forecast_trainer_free(tr);
        xl_forecast_network_free(net);
    }
}

/* The loss goes down under an ordinary optimizer. */
static void test_training(void **state) {
    training t;
    (void)state;
    make_training(&t);
    xl_forecast_network *net = small_network(XL_FORECAST_SILU, 0);
    xl_forecast_trainer *tr;
    xlstm_optimizer *o;
    xlstm_optimizer_config oc;
    xlstm_optimizer_config_init(&oc, XLSTM_ADAMW);
    good(xl_forecast_trainer_create(&tr, net, G_ROWS, G_TOKENS));
    good(xlstm_optimizer_create(&o, xl_forecast_network_module(net), &oc));
    double first = loss_at(tr, &t);
    for (int i = 0; i < 60; i++) {
        good(xl_forecast_trainer_run(tr, &t.rows, t.tokens, t.target, 1, NULL, NULL));
        good(xlstm_optimizer_step(o, xl_forecast_trainer_base(tr), 1e-2f, NULL));
    }
    assert_true(within(loss_at(tr, &t), 0.3 * first));
    xlstm_optimizer_free(o);
    xl_forecast_trainer_free(tr);
    xl_forecast_network_free(net);
}

/* ---- rows and threads ---- */

/* A row's numbers do not depend on the rows beside it (up to the rounding of products of few rows), nor on
 * threads, bit for bit. */
static void test_rows_alone(void **state) {
    enum { L = 9, W = 2, LONE = 5 };
    xlstm_real tokens[LONE * L * 6], together[LONE * W * 6], again[LONE * W * 6];
    const int group[LONE] = {0, 1, 2, 3, 4}, padding[LONE] = {0, 3, 3, 2, 6};
    const unsigned char target[LONE] = {1, 1, 1, 1, 1}, known[LONE] = {0};
    struct xl_forecast_rows r = {LONE, L, group, target, known, padding, 6, W};
    (void)state;
    xl_forecast_network *net = small_network(XL_FORECAST_SILU, 0);
    xl_forecast_run *run;
    fill_normal(tokens, LONE * L * 6, 1, 5);
    for (int threads = 1; threads < 4; threads++) {
        xlstm_set_threads(threads);
        good(xl_forecast_run_create(&run, net, LONE, L));
        good(xl_forecast_network_run(run, &r, tokens, threads == 1 ? together : again));
        assert_true(threads == 1 || !memcmp(together, again, sizeof again));
        struct xl_forecast_rows one = r;
        one.rows = 1;
        for (int row = 0; row < LONE; row++) {
            one.padding = padding + row;
            good(xl_forecast_network_run(run, &one, tokens + row * L * 6, again));
            comparison c = {0};
            for (int i = 0; i < W * 6; i++)
                see(&c, (double)again[i], (double)together[row * W * 6 + i]);
            assert_true(agrees(&c, sizeof(xlstm_real) == 8 ? 1e-12 : 1e-5));
        }
        xl_forecast_run_free(run);
    }
    xl_forecast_network_free(net);
}

/* A stream in pieces says what it says as a whole. */
static void test_streams(void **state) {
    enum { L = 8, PIECE = 2 };
    xlstm_real tokens[2 * L * 6], whole[2 * L * 6], part[2 * PIECE * 6], piece[2 * PIECE * 6];
    const int group[] = {0, 1}, padding[] = {0, 0};
    const unsigned char target[] = {1, 1}, known[] = {0, 0};
    struct xl_forecast_rows r = {2, L, group, target, known, padding, 0, L};
    (void)state;
    xl_forecast_network *net = small_network(XL_FORECAST_SILU, 1);
    xl_forecast_run *run;
    xlstm_real *carried = calloc(2 * xl_forecast_state_size(net), sizeof *carried);
    fill_normal(tokens, 2 * L * 6, 1, 5);
    good(xl_forecast_run_create(&run, net, 2, L));
    good(xl_forecast_network_run(run, &r, tokens, whole));
    xl_forecast_run_carry(run, carried);
    r.tokens = r.wanted_count = PIECE;
    for (int t = 0; t < L; t += PIECE) {
        comparison c = {0};
        for (int row = 0; row < 2; row++)
            memcpy(part + row * PIECE * 6, tokens + (row * L + t) * 6, PIECE * 6 * sizeof *part);
        good(xl_forecast_network_run(run, &r, part, piece));
        for (int i = 0; i < 2 * PIECE * 6; i++)
            see(&c, (double)piece[i], (double)whole[(i / (PIECE * 6) * L + t) * 6 + i % (PIECE * 6)]);
        assert_true(agrees(&c, sizeof(xlstm_real) == 8 ? 1e-12 : 1e-5));
    }
    free(carried);
    xl_forecast_run_free(run);
    xl_forecast_network_free(net);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_stages),     cmocka_unit_test(test_savings),
                                       cmocka_unit_test(test_gradients),  cmocka_unit_test(test_training),
                                       cmocka_unit_test(test_rows_alone), cmocka_unit_test(test_streams)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
