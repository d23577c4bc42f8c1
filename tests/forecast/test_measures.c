/* What xlstm-forecast --backtest prints, against numbers by hand. */
#include "measures.h"
#include "programs/compare.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const double three[] = {0.1, 0.5, 0.9};
static const measure_levels levels = {three, 3};

static void near(double is, double should) {
    assert_true(is_near(is, should, 1e-9));
}

static void test_scores(void **state) {
    (void)state;
    const double history[] = {1, 2, NAN, 4, 6}, value[] = {10, NAN, 4}, median[] = {8, 8, 8};
    const double quantiles[] = {6, 6, 6, 8, 8, 8, 9, 9, 9};
    score s = {0}, sum = {0};
    score_add(&s, history, 5, 1, value, 3, quantiles, median, levels);
    near(score_mase(&s), ((2 + 4) / 2.0) / ((1 + 2) / 2.0));
    /* 0.1: 0.1 * 4 + 0.9 * 2; 0.5: 0.5 * 2 + 0.5 * 4; 0.9: 0.9 * 1 + 0.1 * 5 */
    near(score_wql(&s, 3), 2 * (2.2 + 3 + 1.4) / 3 / 14);
    near(score_coverage(&s), 0);
    score_add(&s, history, 5, 2, value, 3, quantiles, median, levels); /* x_t - x_(t-2): 4 - 2 */
    near(score_mase(&s), (2 + 3 / 2.0) / 2);
    score_merge(&sum, &s, 3);
    score_merge(&sum, &s, 3);
    near(score_wql(&sum, 3), score_wql(&s, 3));
    near(score_mase(&sum), score_mase(&s));
    const double flat[] = {3, 3, 3}, inside[] = {6, 9, 7};
    score f = {0};
    score_add(&f, flat, 3, 1, inside, 3, quantiles, median, levels); /* no scale */
    assert_true(isnan(score_mase(&f)));
    near(score_coverage(&f), 1);
}

static void test_normal(void **state) {
    (void)state;
    near(normal_quantile(0.5), 0);
    assert_true(is_near(normal_quantile(0.975), 1.959963984540054, 1e-12));
    assert_true(is_near(normal_quantile(0.001), -3.090232306167813, 1e-11));
}

static void test_baselines(void **state) {
    (void)state;
    const double x[] = {1, 5, 2, 6, 4, 9, NAN};
    double q[3 * 4], m[4];
    baseline_forecast(BASELINE_NAIVE, x, 7, 2, 4, levels, q, m);
    near(m[0], 9);
    near(m[3], 9);
    near(q[4 + 2], 9); /* the median among the quantiles */
    assert_true(q[0] < 9 && q[8] > 9);
    near((q[8 + 3] - 9) / (q[8] - 9), 2); /* root of 4 steps */
    baseline_forecast(BASELINE_DRIFT, x, 7, 2, 4, levels, q, m);
    near(m[0], 9 + 2 * 8 / 5.0); /* two steps behind the last value */
    near(m[1] - m[0], 8 / 5.0);
    baseline_forecast(BASELINE_SEASONAL, x, 7, 2, 4, levels, q, m);
    near(m[0], 9); /* of seasons of 2 */
    near(m[1], 4); /* where the last one has a gap, that before it */
    near(m[2], 9);
    near(q[8 + 1] - m[1], q[8] - m[0]);
    near((q[8 + 2] - m[2]) / (q[8] - m[0]), sqrt(2));
    const double none[] = {NAN, NAN};
    baseline_forecast(BASELINE_SEASONAL, none, 2, 5, 4, levels, q, m);
    near(m[3] + q[11], 0);
}

static void test_season(void **state) {
    (void)state;
    double x[200];
    for (int t = 0; t < 200; t++)
        x[t] = t % 37 == 5 ? NAN : 0.1 * t + (t % 12 < 3) + 0.3 * sin(2.7 * t * t);
    assert_int_equal(season_guess(x, 200), 12);
    assert_int_equal(season_guess(x, 20), 1); /* not seen twice */
    for (int t = 0; t < 200; t++)
        x[t] = 2.5 * t;
    assert_int_equal(season_guess(x, 200), 1);
    for (int t = 0; t < 200; t++)
        x[t] = sin(2.7 * t * t);
    assert_int_equal(season_guess(x, 200), 1);
    assert_int_equal(season_guess(x, 0), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scores), cmocka_unit_test(test_normal),
                                       cmocka_unit_test(test_baselines), cmocka_unit_test(test_season)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
