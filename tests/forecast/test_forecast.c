/* Whole forecasts by small networks: what comes out does not depend on what else is in the call, how its rows
 * are cut into pieces, the type of its numbers, or the number of threads; and every bad series has a sentence
 * of its own. */
#include "forecast/network.h"
#include "programs/compare.h"
#include "xlstm.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { P = 4, C = 40, F = 16, Q = 5, SERIES = 6, LONGEST = 70, ROWS = 4 };

#define FINE(call) must_be_fine((call), #call)
static void must_be_fine(xlstm_status status, const char *call) {
    if (status != XLSTM_OK)
        fail_msg("%s: %s", call, xlstm_last_error());
}

static xlstm_forecast_model *model;

static int setup(void **state) {
    (void)state;
    struct xl_forecast_config c;
    xl_forecast_config_init(&c);
    c.num_blocks = 3;
    c.embedding_dim = 32;
    c.input_ff_dim = 24;
    c.h_expand = 2;
    c.patch_size = P;
    c.context_len = C;
    c.future_len = F;
    c.use_arcsinh = c.binaryaware = c.out_norm = 1;
    c.num_quantiles = Q;
    for (int q = 0; q < Q; q++)
        c.quantiles[q] = (q + 0.5) / Q;
    for (int i = 0; i < c.num_blocks; i++)
        c.block[i] = (struct xl_forecast_block){i % 2, 2, 2};
    FINE(xl_forecast_network_create(&model, &c, 3));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    xlstm_forecast_model_free(model);
    return 0;
}

/* ---- series ---- */

/* Room for all rows of a series and of its forecast. */
typedef struct {
    double target[3 * LONGEST], past[2 * LONGEST], future[2 * (LONGEST + 3 * F)];
    double quantiles[3 * Q * 3 * F], median[3 * 3 * F];
} room;

static double number(int series, int row, int t) {
    double wave = 3 * sin((t + 7 * row) * (0.3 + 0.05 * series)) + sin(1.7 * t * t);
    return (t * 13 + row * 5 + series) % 11 == 0 ? NAN : wave + (series == 2 ? 2 * t : 5);
}

/* Of 1 to 3 targets, with and without covariates, of all lengths; the third has a trend. */
static xlstm_series make(room *r, int i, int horizon) {
    static const int length[SERIES] = {1, 33, 50, 70, 40, 17}, targets[SERIES] = {1, 1, 1, 2, 1, 3};
    static const int past[SERIES] = {0, 0, 0, 0, 2, 0}, future[SERIES] = {0, 0, 0, 0, 1, 1};
    int T = length[i], ahead = T + horizon;
    for (int v = 0; v < targets[i]; v++)
        for (int t = 0; t < T; t++)
            r->target[v * T + t] = i == 0 ? 4.5 : number(i, v, t);
    for (int v = 0; v < past[i]; v++)
        for (int t = 0; t < T; t++)
            r->past[v * T + t] = number(i, 3 + v, t);
    for (int v = 0; v < future[i]; v++)
        for (int t = 0; t < ahead; t++)
            r->future[v * ahead + t] = number(i, 5 + v, t);
    return (xlstm_series){.dtype = XLSTM_F64,
                          .length = T,
                          .targets = targets[i],
                          .past_rows = past[i],
                          .future_rows = future[i],
                          .future_length = ahead,
                          .target = r->target,
                          .past = r->past,
                          .future = r->future};
}

static xlstm_forecast_options options_of(int horizon) {
    xlstm_forecast_options o;
    xlstm_forecast_options_init(&o);
    o.horizon = horizon;
    return o;
}

/* All series in one call; `rows` of the forecaster. */
static void run_all(room *rooms, const xlstm_forecast_options *o, int rows) {
    xlstm_forecaster *f;
    xlstm_series series[SERIES];
    xlstm_forecast out[SERIES] = {0};
    for (int i = 0; i < SERIES; i++) {
        memset(&rooms[i], 0, sizeof rooms[i]);
        series[i] = make(&rooms[i], i, o->horizon);
        out[i].quantiles = rooms[i].quantiles;
        out[i].median = rooms[i].median;
    }
    FINE(xlstm_forecaster_create(&f, model, rows));
    FINE(xlstm_forecaster_run(f, o, series, SERIES, out));
    xlstm_forecaster_free(f);
    for (int i = 0; i < SERIES; i++) {
        assert_int_equal(out[i].status, XLSTM_OK);
        assert_string_equal(out[i].error, "");
    }
}

static void run_one(room *r, const xlstm_forecast_options *o, int i) {
    xlstm_forecaster *f;
    memset(r, 0, sizeof *r);
    xlstm_series s = make(r, i, o->horizon);
    xlstm_forecast out = {.quantiles = r->quantiles, .median = r->median};
    FINE(xlstm_forecaster_create(&f, model, ROWS));
    FINE(xlstm_forecaster_run(f, o, &s, 1, &out));
    xlstm_forecaster_free(f);
}

static void same_room(const room *is, const room *should) {
    assert_true(same_doubles(is->quantiles, should->quantiles, sizeof is->quantiles / sizeof *is->quantiles));
    assert_true(same_doubles(is->median, should->median, sizeof is->median / sizeof *is->median));
}

/* The longest row of a piece decides how the cells cut time, so that the last bits may differ. */
static void alike(const room *is, const room *should) {
    comparison c = {0};
    for (size_t i = 0; i < sizeof is->quantiles / sizeof *is->quantiles; i++)
        see(&c, is->quantiles[i], should->quantiles[i]);
    assert_true(agrees(&c, (sizeof(xlstm_real) == 8 ? 1e-12 : 2e-6) * c.size));
}

static void test_alone(void **state) {
    (void)state;
    static room all[SERIES], cut[SERIES], one;
    xlstm_forecast_options o = options_of(F - 3);
    run_all(all, &o, 32);
    run_all(cut, &o, ROWS);
    for (int i = 0; i < SERIES; i++) {
        alike(&cut[i], &all[i]);
        run_one(&one, &o, i);
        alike(&one, &all[i]);
    }
    assert_true(is_near(all[0].median[0], 4.5, 1e-6)); /* one value: it goes on */
}

static void test_threads(void **state) {
    (void)state;
    static room few[SERIES], many[SERIES];
    int before = xlstm_get_threads();
    xlstm_forecast_options o = options_of(F);
    FINE(xlstm_set_threads(1));
    run_all(few, &o, 8);
    FINE(xlstm_set_threads(4));
    run_all(many, &o, 8);
    FINE(xlstm_set_threads(before));
    for (int i = 0; i < SERIES; i++)
        same_room(&many[i], &few[i]);
}

/* What was computed before changes no bit, though states behind padding are remembered. */
static void test_again(void **state) {
    (void)state;
    static room r;
    double first[Q * F];
    xlstm_forecast_options o = options_of(F);
    xlstm_forecaster *f;
    xlstm_forecast out = {.quantiles = r.quantiles};
    FINE(xlstm_forecaster_create(&f, model, ROWS));
    for (int i = SERIES - 1; i >= -1; i--) {
        int again = i < 0 ? 5 : i;
        xlstm_series s = make(&r, again, F);
        FINE(xlstm_forecaster_run(f, &o, &s, 1, &out));
        if (i == 5)
            memcpy(first, r.quantiles, sizeof first);
    }
    assert_true(same_doubles(r.quantiles, first, Q * F));
    xlstm_forecaster_free(f);
}

static void test_floats(void **state) {
    (void)state;
    static room r, same;
    static float target[LONGEST], quantiles[Q * F], median[F];
    xlstm_forecast_options o = options_of(F);
    xlstm_forecaster *f;
    xlstm_series s = make(&r, 1, F);
    for (int t = 0; t < s.length; t++)
        r.target[t] = target[t] = (float)r.target[t];
    xlstm_forecast out = {.quantiles = r.quantiles, .median = r.median};
    FINE(xlstm_forecaster_create(&f, model, 0));
    FINE(xlstm_forecaster_run(f, &o, &s, 1, &out));
    same = r;
    s.dtype = XLSTM_F32;
    s.target = target;
    out = (xlstm_forecast){.quantiles = quantiles, .median = median};
    FINE(xlstm_forecaster_run(f, &o, &s, 1, &out));
    for (int i = 0; i < Q * F; i++)
        assert_true(quantiles[i] == (float)same.quantiles[i]);
    for (int t = 0; t < F; t++)
        assert_true(median[t] == (float)same.median[t]);
    out.quantiles = NULL; /* not wanted */
    FINE(xlstm_forecaster_run(f, &o, &s, 1, &out));
    xlstm_forecaster_free(f);
}

/* The second piece is the forecast of the series with the medians of the first at its end. */
static void test_roll(void **state) {
    (void)state;
    static room whole, first, second;
    enum { H = 2 * F + 5, SHOWN = 4 };
    xlstm_forecast_options o = options_of(H);
    xlstm_forecaster *f;
    FINE(xlstm_forecaster_create(&f, model, ROWS));
    xlstm_series s = make(&whole, SHOWN, H);
    xlstm_forecast out = {.quantiles = whole.quantiles, .median = whole.median};
    assert_int_equal(xlstm_forecaster_run(f, &o, &s, 1, &out), XLSTM_E_ARGUMENT);
    assert_non_null(strstr(xlstm_last_error(), "roll"));
    o.roll = 1;
    FINE(xlstm_forecaster_run(f, &o, &s, 1, &out));
    o.horizon = F;
    xlstm_series before = make(&first, SHOWN, H);
    xlstm_forecast out_first = {.quantiles = first.quantiles, .median = first.median};
    FINE(xlstm_forecaster_run(f, &o, &before, 1, &out_first));
    make(&second, SHOWN, H);
    xlstm_series after = s;
    after.length += F;
    after.past = second.past, after.future = second.future, after.target = second.target;
    for (int v = 1; v >= 0; v--) /* rows are longer now */
        for (int t = after.length - 1; t >= 0; t--)
            second.past[v * after.length + t] = t < s.length ? second.past[v * s.length + t] : NAN;
    for (int t = 0; t < F; t++)
        second.target[s.length + t] = first.median[t];
    xlstm_forecast out_second = {.quantiles = second.quantiles, .median = second.median};
    FINE(xlstm_forecaster_run(f, &o, &after, 1, &out_second));
    for (int t = 0; t < 2 * F; t++)
        assert_true(whole.median[t] == (t < F ? first.median[t] : second.median[t - F]));
    for (int q = 0; q < Q; q++)
        for (int t = 0; t < 2 * F; t++)
            assert_true(whole.quantiles[q * H + t] ==
                        (t < F ? first.quantiles[q * F + t] : second.quantiles[q * F + t - F]));
    xlstm_forecaster_free(f);
}

/* The mean of two forecasts, of the series and of the negated one. */
static void test_flip(void **state) {
    (void)state;
    static room both, plain, negated;
    xlstm_forecast_options o = options_of(F);
    o.flip = 1;
    run_one(&both, &o, 4);
    o.flip = 0;
    run_one(&plain, &o, 4);
    xlstm_forecaster *f;
    xlstm_series s = make(&negated, 4, F);
    for (int t = 0; t < LONGEST; t++)
        negated.target[t] *= -1;
    for (int t = 0; t < 2 * LONGEST; t++)
        negated.past[t] *= -1;
    for (int t = 0; t < 2 * (LONGEST + 3 * F); t++)
        negated.future[t] *= -1;
    xlstm_forecast out = {.quantiles = negated.quantiles};
    FINE(xlstm_forecaster_create(&f, model, ROWS));
    FINE(xlstm_forecaster_run(f, &o, &s, 1, &out));
    xlstm_forecaster_free(f);
    for (int q = 0; q < Q; q++)
        for (int t = 0; t < F; t++)
            assert_true(is_near(both.quantiles[q * F + t],
                                (plain.quantiles[q * F + t] - negated.quantiles[(Q - 1 - q) * F + t]) / 2,
                                1e-12));
}

static void test_options(void **state) {
    (void)state;
    static room own, asked, plain;
    static const double levels[] = {0.05, 0.3, 0.4, 0.5, 0.97};
    xlstm_forecast_options o = options_of(F);
    run_one(&own, &o, 2);
    o.quantiles = levels;
    o.quantile_count = 5;
    o.sort = 1;
    run_one(&asked, &o, 2);
    for (int t = 0; t < F; t++) {
        double x[Q];
        for (int q = 0; q < Q; q++)
            x[q] = own.quantiles[q * F + t];
        for (int q = 1; q < Q; q++)
            for (int k = q; k > 0 && x[k] < x[k - 1]; k--) {
                double moved = x[k];
                x[k] = x[k - 1];
                x[k - 1] = moved;
            }
        assert_true(asked.quantiles[t] == x[0] && asked.quantiles[4 * F + t] == x[Q - 1]);
        assert_true(
            is_near(asked.quantiles[2 * F + t], (x[1] + x[2]) / 2, 1e-9 * (1 + fabs(x[1]) + fabs(x[2]))));
        assert_true(asked.quantiles[3 * F + t] == x[2] && asked.median[t] == x[2]);
    }
    o = options_of(F);
    o.difference = 0; /* the series has a trend */
    run_one(&plain, &o, 2);
    assert_false(same_doubles(plain.median, own.median, F));
    o = options_of(F);
    o.pad_context = 0;
    run_one(&plain, &o, 5);
    run_one(&own, (o = options_of(F), &o), 5);
    assert_false(same_doubles(plain.median, own.median, F));
}

/* ---- the reference case ---- */

static xlstm_tensors *file;

/* Numbers of a tensor of the case, to be freed; NULL where there is none. */
static double *numbers(const char *format, char call, int series, const char *part, xlstm_tensor *t) {
    char name[64];
    snprintf(name, sizeof name, format, call, series, part);
    if (xlstm_tensors_find(file, name, t))
        return NULL;
    double *x = malloc(t->count * sizeof *x);
    assert_non_null(x);
    FINE(xlstm_tensor_doubles(t, x));
    return x;
}

static void read_options(xlstm_forecast_options *o, const xlstm_forecast_model *m, char call) {
    xlstm_tensor t;
    double *x = numbers("%c.%.0d%s", call, 0, "options", &t);
    assert_non_null(x);
    *o = options_of((int)x[0]);
    o->allow_empty = 1;
    o->horizon = o->horizon < xlstm_forecast_model_horizon(m) ? o->horizon : xlstm_forecast_model_horizon(m);
    o->pad_context = x[1] < 0 ? 1 : (int)x[1];
    o->flip = (int)x[2];
    o->difference = (int)x[3];
    free(x);
}

/* float: 1e-5 of the largest number, or four times the package's own error in float. */
static void check_forecast(char call, int series, const double *is) {
    xlstm_tensor t;
    double *should = numbers("%c.forecast.%d%s", call, series, "", &t), allowed = 1e-9;
    double *noise = NULL;
    comparison c = compare_doubles(is, should, t.count);
    allowed *= c.size;
    if (sizeof(xlstm_real) == 4) {
        noise = numbers("noise.%c.forecast.%d%s", call, series, "", &t);
        assert_non_null(noise);
        allowed = 4 * *noise > 1e-5 * c.size ? 4 * *noise : 1e-5 * c.size;
    }
    if (!agrees(&c, allowed))
        fail_msg("call %c, series %d: " APART, call, series, APART_OF(c));
    free(noise);
    free(should);
}

static xlstm_series read_series(char call, int i, double *held[3]) {
    xlstm_tensor target = {0}, past = {0}, future = {0};
    held[0] = numbers("%c.%d.%s", call, i, "target", &target);
    held[1] = numbers("%c.%d.%s", call, i, "past", &past);
    held[2] = numbers("%c.%d.%s", call, i, "future", &future);
    return (xlstm_series){.dtype = XLSTM_F64,
                          .length = (int)target.shape[1],
                          .targets = (int)target.shape[0],
                          .past_rows = held[1] ? (int)past.shape[0] : 0,
                          .future_rows = held[2] ? (int)future.shape[0] : 0,
                          .future_length = held[2] ? (int)future.shape[1] : 0,
                          .target = held[0],
                          .past = held[1],
                          .future = held[2]};
}

/* All series of a call of the case at once. */
static void check_call(xlstm_forecast_model *m, char call) {
    enum { MOST = 16 };
    xlstm_forecaster *f;
    xlstm_forecast_options o;
    xlstm_series series[MOST];
    xlstm_forecast out[MOST] = {0};
    double *held[MOST][3];
    int count = 0;
    for (; (series[count] = read_series(call, count, held[count])).target; count++)
        out[count].quantiles = malloc((size_t)series[count].targets * 9 * 64 * sizeof(double));
    read_options(&o, m, call);
    FINE(xlstm_forecaster_create(&f, m, 0));
    FINE(xlstm_forecaster_run(f, &o, series, count, out));
    assert_in_range(count, 2, MOST - 1);
    for (int i = 0; i < count; i++) {
        check_forecast(call, i, out[i].quantiles);
        free(out[i].quantiles);
        for (int k = 0; k < 3; k++)
            free(held[i][k]);
    }
    xlstm_forecaster_free(f);
}

static void test_reference(void **state) {
    (void)state;
    xlstm_forecast_model *m;
    FINE(xlstm_tensors_open(&file, XLSTM_TEST_DATA "/tirex2_small/case.safetensors"));
    FINE(xlstm_forecast_model_load(&m, XLSTM_TEST_DATA "/tirex2_small", XLSTM_WEIGHTS_REAL));
    for (char call = 'a'; call <= 'd'; call++)
        check_call(m, call);
    xlstm_forecast_model_free(m);
    xlstm_tensors_close(file);
}

/* ---- what is refused ---- */

typedef void spoil(xlstm_series *s, room *r);

static void no_targets(xlstm_series *s, room *r) {
    (void)r;
    s->targets = 0;
}
static void no_length(xlstm_series *s, room *r) {
    (void)r;
    s->length = 0;
}
static void no_values(xlstm_series *s, room *r) {
    for (int t = 0; t < s->length; t++)
        r->target[t] = NAN;
}
static void infinite(xlstm_series *s, room *r) {
    (void)s;
    r->target[3] = -INFINITY;
}
static void too_large(xlstm_series *s, room *r) {
    (void)s;
    r->future[3] = 1e39;
}
static void no_future(xlstm_series *s, room *r) {
    (void)r;
    s->future_length = s->length + F - 1;
}
static void no_array(xlstm_series *s, room *r) {
    (void)r;
    s->past = NULL;
}
static void many_rows(xlstm_series *s, room *r) {
    (void)r;
    s->past_rows = 1000;
}
static void no_type(xlstm_series *s, room *r) {
    (void)r;
    s->dtype = XLSTM_I32;
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        spoil *spoil;
        xlstm_status status;
        const char *says;
    } bad[] = {{no_targets, XLSTM_E_ARGUMENT, "0 targets"},
               {no_length, XLSTM_E_ARGUMENT, "length is 0"},
               {no_values, XLSTM_E_NUMERIC, "no values"},
               {infinite, XLSTM_E_NUMERIC, "value 3 of target 0 is -inf"},
               {too_large, XLSTM_E_NUMERIC, "value 3 of future covariate 0 is 1e+39"},
               {no_future, XLSTM_E_ARGUMENT, "future_length is 55"},
               {no_array, XLSTM_E_ARGUMENT, "NULL"},
               {many_rows, XLSTM_E_ARGUMENT, "no more than 8 rows"},
               {no_type, XLSTM_E_ARGUMENT, "dtype"}};
    static room rooms[2], good;
    xlstm_forecast_options o = options_of(F);
    run_one(&good, &o, 1);
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        xlstm_forecaster *f;
        xlstm_series series[2] = {make(&rooms[0], 4, F), make(&rooms[1], 1, F)};
        memset(rooms[1].median, 0, sizeof good.median);
        bad[k].spoil(&series[0], &rooms[0]);
        xlstm_forecast out[2] = {{.median = rooms[0].median}, {.median = rooms[1].median}};
        FINE(xlstm_forecaster_create(&f, model, 8));
        assert_int_equal(xlstm_forecaster_run(f, &o, series, 2, out), bad[k].status);
        assert_non_null(strstr(xlstm_last_error(), "series 0: "));
        assert_int_equal(out[0].status, bad[k].status);
        if (!strstr(out[0].error, bad[k].says))
            fail_msg("said \"%s\" and not \"%s\"", out[0].error, bad[k].says);
        assert_int_equal(out[1].status, XLSTM_OK); /* the other one is forecast */
        assert_true(same_doubles(rooms[1].median, good.median, F));
        xlstm_forecaster_free(f);
    }
}

static void test_empty(void **state) {
    (void)state;
    static room r;
    xlstm_forecaster *f;
    xlstm_forecast_options o = options_of(F);
    xlstm_series s = make(&r, 1, F);
    xlstm_forecast out = {.median = r.median};
    o.allow_empty = 1;
    no_values(&s, &r);
    FINE(xlstm_forecaster_create(&f, model, 1));
    FINE(xlstm_forecaster_run(f, &o, &s, 1, &out));
    for (int t = 0; t < F; t++)
        assert_true(isfinite(r.median[t]));
    xlstm_forecaster_free(f);
}

static void test_model(void **state) {
    (void)state;
    const double *levels;
    assert_int_equal(xlstm_forecast_model_context(model), C);
    assert_int_equal(xlstm_forecast_model_horizon(model), F);
    assert_int_equal(xlstm_forecast_model_quantiles(model, &levels), Q);
    assert_true(levels[2] == 0.5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),   cmocka_unit_test(test_reference), cmocka_unit_test(test_alone),
        cmocka_unit_test(test_threads), cmocka_unit_test(test_again),     cmocka_unit_test(test_floats),
        cmocka_unit_test(test_roll),    cmocka_unit_test(test_flip),      cmocka_unit_test(test_options),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_empty)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
