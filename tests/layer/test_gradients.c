/* Every gradient of every kind against central differences, in double, to 1e-6. */
#include "programs/compare.h"
#include "support/kinds.h"
#include "support/random.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { B = 2, T = 11 };
static xlstm_loss_kind wanted = XLSTM_LOSS_OF_MODEL; /* by all trainers here */

typedef struct {
    int32_t tokens[B * T], targets[B * T], lengths[B];
    unsigned char resets[B * T];
    xlstm_real inputs[B * T * 16], outputs[B * T * 16];
    xlstm_batch batch;
} data;

static void make_data(data *d, const xlstm_module *m, int variant) {
    memset(d, 0, sizeof *d);
    int in = xlstm_module_input_dim(m), out = xlstm_module_output_dim(m);
    fill_normal(d->inputs, (size_t)(B * T * (in ? in : 1)), 1, 11);
    fill_normal(d->outputs, (size_t)(B * T * (in ? out : 1)), 1, 12);
    fill_tokens(d->tokens, B * T, in ? 2 : out, 13);
    fill_tokens(d->targets, B * T, in ? 2 : out, 14);
    d->targets[3] = -1;
    d->lengths[0] = T - 4;
    d->lengths[1] = T;
    d->resets[6] = d->resets[T + 1] = d->resets[T + 7] = 1;
    d->batch = (xlstm_batch){.struct_size = sizeof d->batch,
                             .tokens = in ? NULL : d->tokens,
                             .targets = in ? NULL : d->targets,
                             .inputs = in ? d->inputs : NULL,
                             .outputs = in ? d->outputs : NULL,
                             .lengths = variant & 1 ? d->lengths : NULL,
                             .resets = variant & 2 ? d->resets : NULL};
}

static double loss_of(xlstm_module *m, const xlstm_batch *batch, float dropout) {
    xlstm_trainer_config tc;
    xlstm_trainer_config_init(&tc);
    tc.batch = B;
    tc.time = T;
    tc.dropout = dropout;
    tc.loss = wanted;
    xlstm_trainer *tr;
    assert_int_equal(xlstm_trainer_create(&tr, m, &tc), XLSTM_OK);
    xlstm_loss loss;
    assert_int_equal(xlstm_trainer_backward(tr, batch, &loss), XLSTM_OK);
    xlstm_trainer_free(tr);
    return loss.mean;
}

/* Five-point difference of the loss along a direction that touches all numbers of one parameter. */
static double difference(xlstm_module *m, const data *d, const xlstm_parameter *p, const double *u,
                         float dropout) {
    static const double at[4] = {-2, -1, 1, 2}, weight[4] = {1, -8, 8, -1};
    const double h = 2e-4;
    double sum = 0;
    xlstm_real *old = copy_parameter(m, p->index), *moved = malloc(p->count * sizeof *moved);
    for (int k = 0; k < 4; k++) {
        for (size_t j = 0; j < p->count; j++)
            moved[j] = old[j] + at[k] * h * u[j];
        assert_int_equal(xlstm_module_write(m, p->index, moved), XLSTM_OK);
        sum += weight[k] * loss_of(m, &d->batch, dropout);
    }
    assert_int_equal(xlstm_module_write(m, p->index, old), XLSTM_OK);
    free(old);
    free(moved);
    return sum / (12 * h);
}

static void check_parameter(xlstm_module *m, const data *d, const xlstm_parameter *p, const xlstm_real *g,
                            float dropout, const char *name) {
    double *u = malloc(p->count * sizeof *u), along = 0, size = 0;
    xl_rng rng = {p->offset + 5, 0};
    for (size_t j = 0; j < p->count; j++) {
        u[j] = xl_rng_normal(&rng);
        along += u[j] * g[p->offset + j];
        size += fabs(u[j] * g[p->offset + j]);
    }
    double numeric = difference(m, d, p, u, dropout);
    if (!is_near(along, numeric, 1e-6 * size + 1e-11))
        fail_msg("%s, %s: gradient along a direction is %.12g, differences give %.12g (scale %.3g)", name,
                 p->name, along, numeric, size);
    free(u);
}

static void check_kind(int kind, int variant, float dropout) {
    char name[64];
    xlstm_module *m;
    data d;
    assert_int_equal(create_kind(&m, kind, name, 7), XLSTM_OK);
    jitter(m, 0.15, 3);
    make_data(&d, m, variant);
    xlstm_trainer_config tc;
    xlstm_trainer_config_init(&tc);
    tc.batch = B;
    tc.time = T;
    tc.dropout = dropout;
    tc.loss = wanted;
    xlstm_trainer *tr;
    assert_int_equal(xlstm_trainer_create(&tr, m, &tc), XLSTM_OK);
    assert_int_equal(xlstm_trainer_backward(tr, &d.batch, NULL), XLSTM_OK);
    xlstm_real *g = copy_gradients(tr, m);
    for (int i = 0; i < xlstm_module_parameter_count(m); i++) {
        xlstm_parameter p;
        xlstm_module_parameter(m, i, &p);
        check_parameter(m, &d, &p, g, dropout, name);
    }
    free(g);
    xlstm_trainer_free(tr);
    xlstm_module_free(m);
}

static void test_plain(void **state) {
    (void)state;
    for (int kind = 0; kind < TEST_KINDS; kind++)
        check_kind(kind, 0, 0);
}

static void test_ragged_and_reset(void **state) {
    (void)state;
    for (int kind = 0; kind < TEST_KINDS; kind++)
        for (int variant = 1; variant < 4; variant++)
            check_kind(kind, variant, 0);
}

static void test_dropout(void **state) {
    (void)state;
    for (int kind = 0; kind < TEST_KINDS; kind++)
        check_kind(kind, 0, 0.3f);
}

static int fits(xlstm_loss_kind loss, int kind) {
    char name[64];
    xlstm_module *m;
    xlstm_trainer *tr;
    xlstm_trainer_config tc;
    xlstm_trainer_config_init(&tc);
    tc.loss = loss;
    assert_int_equal(create_kind(&m, kind, name, 7), XLSTM_OK);
    xlstm_status status = xlstm_trainer_create(&tr, m, &tc);
    xlstm_trainer_free(tr);
    xlstm_module_free(m);
    return status == XLSTM_OK;
}

/* Every loss, of tokens or of vectors. */
static void test_losses(void **state) {
    static const int models[] = {TEST_KINDS - 2, TEST_KINDS - 1};
    (void)state;
    for (int loss = XLSTM_LOSS_OF_MODEL + 1; loss < XLSTM_LOSS_KINDS; loss++) {
        int of_vectors = fits((xlstm_loss_kind)loss, models[1]);
        assert_true(of_vectors || fits((xlstm_loss_kind)loss, models[0]));
        wanted = (xlstm_loss_kind)loss;
        check_kind(models[of_vectors], 1, 0);
        wanted = XLSTM_LOSS_OF_MODEL;
    }
}

/* backward_from with the loss's own gradient gives what the fused pass gives, and input gradients are right.
 */
static void test_own_loss(void **state) {
    (void)state;
    char name[64];
    for (int kind = 0; kind < TEST_BLOCKS + TEST_CELLS; kind++) {
        xlstm_module *m;
        data d;
        assert_int_equal(create_kind(&m, kind, name, 7), XLSTM_OK);
        jitter(m, 0.15, 3);
        make_data(&d, m, 0);
        size_t in = (size_t)xlstm_module_input_dim(m), out = (size_t)xlstm_module_output_dim(m);
        xlstm_trainer_config tc;
        xlstm_trainer_config_init(&tc);
        tc.batch = B;
        tc.time = T;
        xlstm_trainer *tr;
        assert_int_equal(xlstm_trainer_create(&tr, m, &tc), XLSTM_OK);
        static xlstm_real y[B * T * 16], dy[B * T * 16], dx[B * T * 16];
        assert_int_equal(xlstm_trainer_forward(tr, &d.batch, y), XLSTM_OK);
        for (size_t i = 0; i < B * T * out; i++)
            dy[i] = 2 * (y[i] - d.outputs[i]) / (double)(B * T * out);
        assert_int_equal(xlstm_trainer_backward_from(tr, dy, dx), XLSTM_OK);
        for (size_t i = 0; i < B * T * in; i++)
            assert_true(isfinite(dx[i]));
        for (size_t i = 0; i < B * T * in; i += 7) {
            xlstm_real old = d.inputs[i];
            d.inputs[i] = old + 1e-5;
            double up = loss_of(m, &d.batch, 0);
            d.inputs[i] = old - 1e-5;
            double down = loss_of(m, &d.batch, 0);
            d.inputs[i] = old;
            if (!is_near(dx[i], (up - down) / 2e-5, 1e-7 * (1 + fabs(dx[i]))))
                fail_msg("%s: input gradient %zu is %.12g, differences give %.12g", name, i, dx[i],
                         (up - down) / 2e-5);
        }
        xlstm_trainer_free(tr);
        xlstm_module_free(m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_plain), cmocka_unit_test(test_ragged_and_reset),
                                       cmocka_unit_test(test_dropout), cmocka_unit_test(test_losses),
                                       cmocka_unit_test(test_own_loss)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
