/* The vector functions against libm in double: error in units of the last place of the float result. */
#include "ops/cpu/vec.h"
#include "programs/compare.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

typedef double exact(double);
typedef float fast(float);

/* In units of the last place. */
static void see_ulps(comparison *c, float got, double want) {
    float nearest = (float)want, unit = nextafterf(fabsf(nearest), INFINITY) - fabsf(nearest);
    see_in(c, (double)got, want, (double)unit);
}

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

static double log_sigmoid(double x) {
    return (x < 0 ? x : 0) - log1p(exp(-fabs(x)));
}

static double normal(double x) {
    return erfc(-x * sqrt(0.5)) / 2;
}

static double normal_density(double x) {
    return exp(-x * x / 2) / sqrt(2 * acos(-1));
}

static float vec_normal_at(float x) {
    float density;
    return vec_normal(x, &density);
}

static float vec_density_at(float x) {
    float density;
    vec_normal(x, &density);
    return density;
}

/* The worst over a grid that is dense around zero too. */
static double worst_of(fast *f, exact *g, double low, double high) {
    comparison c = {0};
    for (int i = 0; i <= 400000; i++) {
        float x = (float)(low + (high - low) * i / 400000), small = x * 1e-3f;
        see_ulps(&c, f(x), g((double)x));
        see_ulps(&c, f(small), g((double)small));
    }
    return c.error;
}

static void test_accuracy(void **state) {
    (void)state;
    assert_true(within(worst_of(vec_exp, exp, -87, 88.7), 1.5));
    assert_true(within(worst_of(vec_sigmoid, sigmoid, -80, 80), 3));
    assert_true(within(worst_of(vec_tanh, tanh, -12, 12), 3));
    assert_true(within(worst_of(vec_log1p, log1p, 0, 1), 2));
    assert_true(within(worst_of(vec_log_sigmoid, log_sigmoid, -87, 87), 3));
    assert_true(within(worst_of(vec_expm1, expm1, -87, 0), 4));
    assert_true(within(worst_of(vec_normal_at, normal, -12.9, 0), 5)); /* further out floats lose digits */
    assert_true(within(worst_of(vec_normal_at, normal, 0, 14), 3));
    assert_true(within(worst_of(vec_density_at, normal_density, -13, 13), 3));
}

static void test_ends(void **state) {
    (void)state;
    assert_true(vec_exp(0) == 1 && vec_sigmoid(0) == 0.5f && vec_tanh(0) == 0);
    assert_true(vec_exp(-INFINITY) == 0 && vec_exp(-200) == 0);
    assert_true(isinf(vec_exp(INFINITY)) && isinf(vec_exp(89)));
    assert_true(vec_sigmoid(INFINITY) == 1 && vec_sigmoid(-INFINITY) == 0);
    assert_true(vec_tanh(INFINITY) == 1 && vec_tanh(-INFINITY) == -1);
    assert_true(vec_log_sigmoid(INFINITY) == 0 && vec_log_sigmoid(-INFINITY) == -INFINITY);
    assert_true(vec_normal_at(INFINITY) == 1 && vec_normal_at(-INFINITY) == 0 && vec_normal_at(0) == 0.5f);
    assert_true(vec_normal_at(-20) == 0 && vec_density_at(INFINITY) == 0 && vec_expm1(0) == 0 &&
                vec_expm1(-INFINITY) == -1);
    assert_true(isnan(vec_normal_at(NAN)) && isnan(vec_density_at(NAN)) && isnan(vec_expm1(NAN)));
    assert_true(isnan(vec_exp(NAN)) && isnan(vec_sigmoid(NAN)) && isnan(vec_tanh(NAN)) &&
                isnan(vec_log_sigmoid(NAN)));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_accuracy), cmocka_unit_test(test_ends)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
