/* What is not finite passes no comparison: NaN and infinity in every place of either array, in the unit, the
 * measure and the allowance, with both number types. */
#include "programs/compare.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { N = 5 };
static const double bad[] = {NAN, -NAN, INFINITY, -INFINITY}, good[N] = {0, -1.5, 3, 1e-30, 3};

static void finite_numbers(void **state) {
    (void)state;
    assert_true(apart(1, 3) == 2 && apart(-0.0, 0) == 0 && apart(1e308, -1e308) == INFINITY);
    assert_true(within(0, 0) && within(2, 2) && !within(2.1, 2) && !within(0, -1));
    assert_true(is_near(1, 1.25, 0.25) && !is_near(1, 1.25, 0.2));
    double other[N];
    memcpy(other, good, sizeof good);
    other[2] = 1;
    comparison c = compare_numbers(other, good, N);
    assert_true(c.count == N && c.error == 2 && c.size == 3 && c.at == 2 && c.is == 1 && c.should == 3);
    assert_true(agrees(&c, 2) && !agrees(&c, 1.9) && !same_numbers(other, good, N) &&
                same_numbers(good, good, N));
    c = (comparison){0};
    see_in(&c, 10, 11, 0.5);
    see_in(&c, 10, 11, 2);
    assert_true(c.error == 2 && c.at == 0);
    float zero[] = {0.0f}, below[] = {-0.0f};
    c = compare_numbers(zero, below, 1);
    assert_true(agrees(&c, 0) && !same_numbers(zero, below, 1) && same_numbers(zero, zero, 1));
}

static void not_finite_never_passes(void **state) {
    (void)state;
    for (size_t b = 0; b < sizeof bad / sizeof *bad; b++) {
        for (size_t i = 0; i < N; i++) {
            double d[N];
            float f[N], g[N];
            memcpy(d, good, sizeof d);
            d[i] = bad[b];
            for (size_t k = 0; k < N; k++) {
                g[k] = (float)good[k];
                f[k] = (float)d[k];
            }
            comparison all[] = {compare_numbers(d, good, N), compare_numbers(good, d, N),
                                compare_numbers(f, g, N), compare_numbers(g, f, N)};
            for (size_t k = 0; k < 4; k++) {
                assert_false(agrees(&all[k], 1e300) || agrees(&all[k], INFINITY) || agrees(&all[k], NAN));
                assert_true(all[k].at == i && all[k].size <= 3);
            }
            assert_false(same_numbers(d, good, N) || same_numbers(f, g, N) || same_numbers(g, f, N));
            assert_int_equal(same_numbers(d, d, N), !!isinf(bad[b]));
            assert_int_equal(same_numbers(f, f, N), !!isinf(bad[b]));
        }
        assert_false(within(bad[b], INFINITY) || within(bad[b], 1) || within(0, bad[b]) ||
                     is_near(1, 1, bad[b]));
        assert_int_equal(is_near(bad[b], bad[b], 0), !!isinf(bad[b]));
        assert_false(is_near(bad[b], -bad[b], 1e300));
        comparison c = {0};
        see_in(&c, 1, 2, bad[b]);
        assert_false(agrees(&c, 1e300));
    }
}

static void no_unit_and_nothing_seen(void **state) {
    (void)state;
    comparison c = {0};
    assert_false(agrees(&c, 1));
    see_in(&c, 1, 2, 0);
    assert_false(agrees(&c, 1e300));
    c = (comparison){0};
    see_in(&c, 1, 2, -1);
    assert_false(agrees(&c, 1e300));
    assert_false(same_numbers(good, good, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finite_numbers),
        cmocka_unit_test(not_finite_never_passes),
        cmocka_unit_test(no_unit_and_nothing_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
