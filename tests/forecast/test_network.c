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
    good(xl_forecast_network_load(&net, CASE, XLSTM_WEIGHTS_REAL, 1));
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

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_stages), cmocka_unit_test(test_savings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
