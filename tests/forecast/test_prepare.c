/* What stands before and behind the network, against every stage of the reference case; then what that case
 * does not notice (docs/forecasting.md has the rules). */
#include "forecast/finish.h"
#include "programs/compare.h"
#include "xlstm/tensors.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SERIES = 11, ROWS = 22, P = 4, C = 64, F = 16, H = 11, Q = 9, L = (C + F) / P };

static const double exactly = sizeof(real) == 8 ? 1e-9 : 1e-5; /* of the largest number */

/* That of data/tirex2_small. */
static struct xl_forecast_config small_config(void) {
    struct xl_forecast_config c = {.patch_size = P,
                                   .context_len = C,
                                   .future_len = F,
                                   .num_quantiles = Q,
                                   .scaler_eps = 1e-8,
                                   .use_arcsinh = 1,
                                   .binaryaware = 1};
    for (int q = 0; q < Q; q++)
        c.quantiles[q] = (q + 1) / 10.0;
    return c;
}

static xl_forecast_frame frame_of(int length, int horizon) {
    return (xl_forecast_frame){length, horizon, L, C, F, P};
}

static xl_forecast_row row_of(const double *values, int count) {
    return (xl_forecast_row){.values = values, .is_double = 1, .count = count, .sign = 1};
}

/* ---- the reference case ---- */

static xlstm_tensors *file;

static double *numbers(const char *name, xlstm_tensor *t) {
    assert_int_equal(xlstm_tensors_find(file, name, t), XLSTM_OK);
    double *x = malloc(t->count * sizeof *x);
    assert_non_null(x);
    assert_int_equal(xlstm_tensor_doubles(t, x), XLSTM_OK);
    return x;
}

typedef struct {
    xl_forecast_row row[ROWS];
    int target[ROWS], length[ROWS], count;
    double *held[3 * SERIES];
    int holds;
} packed;

static void pack(packed *p, int series, const char *part) {
    char name[32];
    xlstm_tensor t;
    snprintf(name, sizeof name, "a.%d.%s", series, part);
    if (xlstm_tensors_find(file, name, &t))
        return;
    double *x = p->held[p->holds++] = numbers(name, &t);
    int target = !strcmp(part, "target"), columns = (int)t.shape[1];
    int length = target ? columns : p->length[p->count - 1];
    for (int v = 0; v < (int)t.shape[0]; v++) {
        assert_in_range(p->count, 0, ROWS - 1);
        p->target[p->count] = target;
        p->length[p->count] = length;
        p->row[p->count++] = row_of(x + v * columns, columns);
    }
}

/* Rows as the package packs them: series by series, of each targets, past and future covariates. */
static void open_case(packed *p) {
    assert_int_equal(xlstm_tensors_open(&file, XLSTM_TEST_DATA "/tirex2_small/case.safetensors"), XLSTM_OK);
    *p = (packed){.count = 0};
    for (int i = 0; i < SERIES; i++) {
        pack(p, i, "target");
        pack(p, i, "past");
        pack(p, i, "future");
    }
    assert_int_equal(p->count, ROWS);
}

static void close_case(packed *p) {
    for (int i = 0; i < p->holds; i++)
        free(p->held[i]);
    xlstm_tensors_close(file);
}

static void must_agree(const char *what, int row, const comparison *c, double allowed) {
    if (!agrees(c, allowed))
        fail_msg("%s, row %d: " APART, what, row, APART_OF(*c));
}

/* NaN in the same places, and the rest alike. */
static void same_window(int row, const double *is, const double *should) {
    comparison c = {0};
    for (int i = 0; i < L * P; i++) {
        assert_int_equal(isnan(is[i]), isnan(should[i]));
        see(&c, isnan(is[i]) ? 0 : is[i], isnan(should[i]) ? 0 : should[i]);
    }
    must_agree("window", row, &c, 1e-9 * (c.size > 1 ? c.size : 1));
}

static void same_tokens(int row, const real *is, const double *should) {
    comparison c = {0};
    for (int i = 0; i < L * 2 * P; i++)
        see(&c, (double)is[i], should[i]);
    must_agree("tokens", row, &c, exactly * 8);
}

static void test_before_the_network(void **state) {
    (void)state;
    const struct xl_forecast_config c = small_config();
    static packed p;
    xlstm_tensor t;
    open_case(&p);
    double *x = numbers("a.rows.x", &t), *loc = numbers("a.rows.loc", &t),
           *scale = numbers("a.rows.scale", &t);
    double *binary = numbers("a.rows.binary", &t), *known = numbers("a.rows.known", &t);
    double *target = numbers("a.rows.target", &t), *tokens = numbers("a.stage.tokens", &t);
    for (int r = 0; r < ROWS; r++) {
        const xl_forecast_frame f = frame_of(p.length[r], H);
        xl_forecast_scaling s;
        real token[L * 2 * P];
        double window[L * P];
        xl_forecast_prepare(&s, token, window, &p.row[r], &f, p.target[r], &c);
        same_window(r, window, x + r * L * P);
        assert_int_equal(p.target[r], (int)target[r]);
        assert_int_equal(s.binary, (int)binary[r]);
        assert_int_equal(!p.target[r] && s.known, (int)known[r]);
        assert_true(is_near(s.loc, loc[r], 1e-9 * (1 + fabs(loc[r]))));
        assert_true(is_near(s.scale, scale[r], 1e-9 * (1 + scale[r])));
        same_tokens(r, token, tokens + (ptrdiff_t)r * L * 2 * P);
    }
    free(x), free(loc), free(scale), free(binary), free(known), free(target), free(tokens);
    close_case(&p);
}

static void same_numbers_in(const char *what, int row, const double *is, const double *should, int count) {
    comparison c = compare_doubles(is, should, (size_t)count);
    must_agree(what, row, &c, exactly * (c.size > 1 ? c.size : 1));
}

/* Forecasts stand series by series, rows of targets alone. */
static void same_forecast(const packed *p, int r, const double *is) {
    char name[32];
    xlstm_tensor t;
    int first = 0, series = 0;
    for (int i = 1; i <= r; i++)
        if (p->target[i] && p->row[i].values != (const double *)p->row[i - 1].values + p->row[i - 1].count) {
            first = i;
            series++;
        }
    snprintf(name, sizeof name, "a.forecast.%d", series);
    double *should = numbers(name, &t);
    assert_in_range(r - first, 0, (int)t.shape[0] - 1);
    same_numbers_in("forecast", r, is, should + (ptrdiff_t)(r - first) * Q * H, Q * H);
    free(should);
}

static void test_behind_the_network(void **state) {
    (void)state;
    const struct xl_forecast_config c = small_config();
    static packed p;
    xlstm_tensor t;
    open_case(&p);
    double *head = numbers("a.stage.head", &t), *levels = numbers("a.stage.level", &t);
    double *windows = numbers("a.stage.window", &t);
    for (int r = 0; r < ROWS; r++) {
        const xl_forecast_frame f = frame_of(p.length[r], H);
        xl_forecast_scaling s;
        real token[L * 2 * P], said[L * Q * P];
        double window[L * P], level[Q * L * P];
        xl_forecast_prepare(&s, token, window, &p.row[r], &f, p.target[r], &c);
        for (int i = 0; i < L * Q * P; i++)
            said[i] = (real)head[(ptrdiff_t)r * L * Q * P + i];
        xl_forecast_levels(level, said, L * P, &s, &c);
        same_numbers_in("level", r, level, levels + (ptrdiff_t)r * Q * L * P, Q * L * P);
        xl_forecast_levels(level, said + (ptrdiff_t)(L - F / P - 1) * Q * P, H, &s, &c);
        same_numbers_in("stage.window", r, level, windows + (ptrdiff_t)r * Q * H, Q * H);
        xl_forecast_calibrate(level, H, &s, Q);
        if (p.target[r])
            same_forecast(&p, r, level);
    }
    free(head), free(levels), free(windows);
    close_case(&p);
}

/* ---- what the case does not notice ---- */

static int trends(const double *x, int count) {
    xl_forecast_row row = row_of(x, count);
    return xl_forecast_trends(&row, count);
}

static void test_trend(void **state) {
    (void)state;
    const double four[] = {1, NAN, 2, 3, NAN, 4}, flat[] = {5, 5, 5, 5, 5};
    assert_true(trends(four, 6));
    assert_false(trends(four, 5)); /* three values */
    assert_false(trends(flat, 5));
    /* a line with steps of +-h beside it: r2 = 1 - SS_res / SS_tot goes through 0.87 between these */
    double x[64];
    for (int k = 0; k < 2; k++) {
        for (int t = 0; t < 64; t++)
            x[t] = 0.1 * t + (t % 4 == 1 || t % 4 == 2 ? -1 : 1) * (k ? 0.73 : 0.70);
        assert_int_equal(trends(x, 64), !k);
    }
}

static void test_differences(void **state) {
    (void)state;
    const double x[] = {NAN, 3, 5, NAN, 10, 12};
    xl_forecast_row row = row_of(x, 6);
    xl_forecast_frame f = frame_of(6, 2);
    double w[L * P];
    const double *history = w + C - 6;
    xl_forecast_window(w, &row, &f, 1);
    assert_true(isnan(history[-1]) && history[0] == 0 && isnan(history[1]) && history[2] == 2);
    assert_true(isnan(history[3]) && isnan(history[4]) && history[5] == 2 && isnan(history[6]));
    /* a window that is too short for the row begins with a true difference */
    f.context = 2;
    xl_forecast_window(w, &row, &f, 1);
    assert_true(isnan(history[3]) && isnan(history[4]) && history[5] == 2);
}

/* Looked at in the window: what was cropped away does not count, and a trend is looked for in all. */
static void test_cropped(void **state) {
    (void)state;
    const struct xl_forecast_config c = small_config();
    double x[200];
    for (int t = 0; t < 200; t++)
        x[t] = t < 200 - C ? 7 : t % 2;
    xl_forecast_row row = row_of(x, 200);
    xl_forecast_frame f = frame_of(200, 1);
    xl_forecast_scaling s;
    double w[L * P];
    real token[L * 2 * P];
    xl_forecast_prepare(&s, token, w, &row, &f, 1, &c);
    assert_true(s.binary && s.loc == 0 && s.scale == 1 && s.padding == 0);
    for (int t = 0; t < 200; t++)
        x[t] = t < 200 - C ? t : 200 - C; /* flat in the window */
    xl_forecast_prepare(&s, token, w, &row, &f, 1, &c);
    assert_true(s.differenced && s.last == 200 - C && s.binary);
}

static void test_constant(void **state) {
    (void)state;
    const struct xl_forecast_config c = small_config();
    float x[30];
    for (int t = 0; t < 30; t++)
        x[t] = 0.1f;
    xl_forecast_row row = {.values = x, .count = 30, .sign = -1};
    xl_forecast_frame f = frame_of(30, 1);
    xl_forecast_scaling s;
    double w[L * P];
    real token[L * 2 * P];
    xl_forecast_prepare(&s, token, w, &row, &f, 1, &c);
    assert_true(s.scale == c.scaler_eps && is_near(s.loc, -0.1, 1e-8) && s.padding == (C - 30) / P);
    for (int i = 0; i < L * 2 * P; i++)
        assert_true(is_near(
            (double)token[i],
            i % (2 * P) >= P && i / (2 * P) * P + i % P >= C - 30 && i / (2 * P) * P + i % P < C, 1e-7));
}

/* Nearly constant: what is left is not blown up. */
static void test_small_scale(void **state) {
    (void)state;
    struct xl_forecast_config c = small_config();
    double x[20];
    for (int t = 0; t < 20; t++)
        x[t] = t % 2 * 1e-6;
    xl_forecast_row row = row_of(x, 20);
    xl_forecast_frame f = frame_of(20, 1);
    xl_forecast_scaling s;
    double w[L * P];
    xl_forecast_window(w, &row, &f, 0);
    xl_forecast_scale(&s, w, &f, &c);
    assert_true(is_near(s.scale, 5e-7, 1e-12) && is_near(s.loc, 5e-7, 1e-12) && !s.binary);
    c.scaler_eps = 1e-3;
    xl_forecast_scale(&s, w, &f, &c);
    assert_true(s.scale == 1e-3);
}

static void test_clamp(void **state) {
    (void)state;
    const struct xl_forecast_config c = small_config();
    xl_forecast_scaling s = {.scale = 2, .loc = 1};
    real head[Q * P] = {25, -25, 20, 0.5};
    double level[Q];
    xl_forecast_levels(level, head, 1, &s, &c);
    assert_true(is_near(level[0], 2 * 242582597.70489514 + 1, 1e-6));
    real down[Q * P] = {-25};
    xl_forecast_levels(level, down, 1, &s, &c);
    assert_true(is_near(level[0], -2 * 242582597.70489514 + 1, 1e-6));
    s.binary = 1; /* neither sinh nor clamp */
    xl_forecast_levels(level, head, 1, &s, &c);
    assert_true(level[0] == 51);
}

static void test_quantiles(void **state) {
    (void)state;
    const struct xl_forecast_config c = small_config();
    const double level[Q] = {1, 2, 4, 8, 16, 32, 64, 128, 256};
    assert_true(xl_forecast_quantile(level, 1, 0, 0.01, &c) == 1);
    assert_true(xl_forecast_quantile(level, 1, 0, 0.1, &c) == 1);
    assert_true(is_near(xl_forecast_quantile(level, 1, 0, 0.25, &c), 3, 1e-12));
    assert_true(xl_forecast_quantile(level, 1, 0, 0.5, &c) == 16);
    assert_true(is_near(xl_forecast_quantile(level, 1, 0, 0.89, &c), 243.2, 1e-10));
    assert_true(xl_forecast_quantile(level, 1, 0, 0.9, &c) == 256);
    assert_true(xl_forecast_quantile(level, 1, 0, 0.99, &c) == 256);
}

static void test_flip(void **state) {
    (void)state;
    struct xl_forecast_config c = small_config();
    double level[Q] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, negated[Q] = {-11, -10, -9, -8, -7, -6, -5, -4, -3};
    assert_true(xl_forecast_is_symmetric(&c));
    xl_forecast_unflip(level, negated, 1, Q);
    for (int q = 0; q < Q; q++)
        assert_true(is_near(level[q], q + 2, 1e-12));
    c.quantiles[0] = 0.101;
    assert_false(xl_forecast_is_symmetric(&c));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_before_the_network),
                                       cmocka_unit_test(test_behind_the_network),
                                       cmocka_unit_test(test_trend),
                                       cmocka_unit_test(test_differences),
                                       cmocka_unit_test(test_cropped),
                                       cmocka_unit_test(test_constant),
                                       cmocka_unit_test(test_clamp),
                                       cmocka_unit_test(test_small_scale),
                                       cmocka_unit_test(test_quantiles),
                                       cmocka_unit_test(test_flip)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
