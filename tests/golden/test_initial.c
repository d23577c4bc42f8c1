/* Fresh modules draw from the distributions that initial/NAME/initial.json names, which official_init.py
 * holds to the packages: values that are fixed one by one, the others by moments over many seeds. */
#include "programs/compare.h"
#include "support/copies.h"
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SEEDS = 60 };
static const char *where; /* parameter of which model; for messages */

#define CHECK(condition, ...)                                                                                \
    do                                                                                                       \
        if (!(condition)) {                                                                                  \
            print_error("%s: ", where);                                                                      \
            fail_msg(__VA_ARGS__);                                                                           \
        }                                                                                                    \
    while (0)

typedef struct {
    double n, sum, squares, largest, inside; /* inside: numbers within half of the scale */
    int finite;
} moments;

static moments moments_of(xlstm_module *const *m, int index, double scale) {
    moments s = {.finite = 1};
    comparison sizes = {0};
    for (int seed = 0; seed < SEEDS; seed++) {
        xlstm_parameter p;
        xlstm_module_parameter(m[seed], index, &p);
        xlstm_real *w = copy_parameter(m[seed], index);
        for (size_t i = 0; i < p.count; i++) {
            double x = (double)w[i];
            s.n++;
            s.sum += x;
            s.squares += x * x;
            s.inside += is_near(x, 0, scale / 2);
            s.finite &= isfinite(x);
            see(&sizes, x, x);
        }
        free(w);
    }
    s.largest = sizes.size;
    return s;
}

/* Five standard errors each, over seeds that never change. */
static void check_moments(moments s, double sd, double share_inside) {
    double mean = s.sum / s.n, rms = sqrt(s.squares / s.n), share = s.inside / s.n;
    CHECK(s.finite, "a number that is not finite");
    CHECK(is_near(mean, 0, 5 * sd / sqrt(s.n)), "mean %g of %g numbers, standard deviation %g", mean, s.n,
          sd);
    CHECK(is_near(rms / sd, 1, 5 / sqrt(2 * s.n)), "standard deviation %g, not %g", rms, sd);
    CHECK(is_near(share, share_inside, 5 * sqrt(share_inside * (1 - share_inside) / s.n)),
          "share %g within half of the scale, not %g: another distribution", share, share_inside);
}

static void check_normal(moments s, double sd) {
    check_moments(s, sd, erf(0.5 / sqrt(2)));
    CHECK(within(s.largest, 7 * sd), "%g is no normal number of standard deviation %g", s.largest, sd);
}

static void check_uniform(moments s, double bound) {
    check_moments(s, bound / sqrt(3), 0.5);
    CHECK(within(s.largest, bound * (1 + 1e-6)) && s.largest > bound * (1 - 50 / s.n),
          "largest %g, but the bound is %g", s.largest, bound);
}

static void check_values(const xlstm_module *m, const xlstm_parameter *p, const json_t *values) {
    CHECK(json_array_size(values) == p->count, "%zu numbers, not %zu", p->count, json_array_size(values));
    xlstm_real *w = copy_parameter(m, p->index);
    for (size_t i = 0; i < p->count; i++) {
        double x = (double)w[i], right = json_number_value(json_array_get(values, i));
        CHECK(is_near(x, right, 1e-6 * (1 + fabs(right))), "number %zu is %g, not %g", i, x, right);
    }
    free(w);
}

static double first_number(const xlstm_module *m, int index) {
    xlstm_real *w = copy_parameter(m, index);
    double first = (double)w[0];
    free(w);
    return first;
}

static void check_shape(const xlstm_parameter *p, const json_t *shape) {
    CHECK((size_t)p->ndim == json_array_size(shape), "%d dimensions", p->ndim);
    for (int i = 0; i < p->ndim; i++)
        CHECK(p->shape[i] == json_integer_value(json_array_get(shape, (size_t)i)), "size %d is %lld", i,
              (long long)p->shape[i]);
}

static void check_parameter(xlstm_module *const *m, int index, const json_t *entry) {
    xlstm_parameter p, neighbour;
    const json_t *values = json_object_get(entry, "values"), *normal = json_object_get(entry, "normal");
    xlstm_module_parameter(m[0], index, &p);
    CHECK(entry != NULL, "the packages have no such parameter");
    check_shape(&p, json_object_get(entry, "shape"));
    CHECK(p.decay == json_is_true(json_object_get(entry, "decay")), "weight decay is %d", p.decay);
    if (values) {
        check_values(m[0], &p, values);
        return;
    }
    double scale = json_number_value(normal ? normal : json_object_get(entry, "uniform"));
    moments s = moments_of(m, index, scale);
    (normal ? check_normal : check_uniform)(s, scale);
    double first = first_number(m[0], index);
    CHECK(first != first_number(m[1], index), "two seeds give the same number");
    xlstm_module_parameter(m[0], index ? index - 1 : index + 1, &neighbour);
    CHECK(first != first_number(m[0], neighbour.index), "begins as its neighbour %s", neighbour.name);
}

static json_t *load(const char *name) {
    char path[512];
    json_error_t error;
    snprintf(path, sizeof path, XLSTM_INITIAL "/%s/initial.json", name);
    json_t *object = json_load_file(path, 0, &error);
    if (!object)
        fail_msg("%s: %s", path, error.text);
    return object;
}

static void test_model(void **state) {
    const char *name = *state;
    char path[512], text[256];
    xlstm_config c;
    xlstm_module *m[SEEDS];
    json_t *entries = load(name);
    snprintf(path, sizeof path, XLSTM_INITIAL "/%s", name);
    if (xlstm_config_load(path, &c))
        fail_msg("%s", xlstm_last_error());
    for (int seed = 0; seed < SEEDS; seed++)
        assert_int_equal(xlstm_model_create(&m[seed], &c, (uint64_t)seed), XLSTM_OK);
    int count = xlstm_module_parameter_count(m[0]);
    assert_int_equal(count, json_object_size(entries));
    for (int i = 0; i < count; i++) {
        xlstm_parameter p;
        xlstm_module_parameter(m[0], i, &p);
        snprintf(text, sizeof text, "%s, %s", name, p.name);
        where = text;
        check_parameter(m, i, json_object_get(entries, p.name));
    }
    for (int seed = 0; seed < SEEDS; seed++)
        xlstm_module_free(m[seed]);
    json_decref(entries);
}

#define MODEL(name)                                                                                          \
    { name, test_model, NULL, NULL, (void *)(uintptr_t)name }
int main(void) {
    const struct CMUnitTest tests[] = {MODEL("mixed_powerlaw"), MODEL("one_powerlaw"), MODEL("small_init"),
                                       MODEL("standard"),       MODEL("zeros"),        MODEL("large"),
                                       MODEL("lstm_plain"),     MODEL("lstm"),         MODEL("transformer")};
    return cmocka_run_group_tests_name("initial values", tests, NULL, NULL);
}
