/* random.h - test data from a seed. */
#ifndef TEST_RANDOM_H
#define TEST_RANDOM_H

#include "base/rng.h"
#include "support/copies.h"

static inline void fill_normal(xlstm_real *p, size_t count, double scale, uint64_t seed) {
    xl_rng rng = {seed, 0};
    for (size_t i = 0; i < count; i++)
        p[i] = (xlstm_real)(scale * xl_rng_normal(&rng));
}

static inline void fill_tokens(int32_t *p, size_t count, int vocab, uint64_t seed) {
    for (size_t i = 0; i < count; i++)
        p[i] = (int32_t)(xl_hash(seed, i) % (uint64_t)vocab);
}

/* Adds noise to every weight, so that those that start at zero matter too. */
static inline void jitter(xlstm_module *m, double scale, uint64_t seed) {
    xlstm_parameter p;
    for (int i = 0; i < xlstm_module_parameter_count(m); i++) {
        xlstm_module_parameter(m, i, &p);
        xlstm_real *w = copy_parameter(m, i);
        xl_rng rng = {seed + (uint64_t)i * 977, 0};
        for (size_t j = 0; j < p.count; j++)
            w[j] += (xlstm_real)(scale * xl_rng_normal(&rng));
        assert_int_equal(xlstm_module_write(m, i, w), XLSTM_OK);
        free(w);
    }
}

#endif
