/* Training lowers the loss of every kind, with both optimizers; carried state, optimizer rules and schedules.
 */
#include "programs/compare.h"
#include "support/kinds.h"
#include "support/random.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { B = 4, T = 12, STEPS = 20 };

static void make_batch(const xlstm_module *m, xlstm_batch *b) {
    static xlstm_real x[B * T * 16], y[B * T * 16];
    static int32_t tokens[B * T], targets[B * T];
    int in = xlstm_module_input_dim(m), out = xlstm_module_output_dim(m);
    *b = (xlstm_batch){.struct_size = sizeof *b};
    if (in) {
        fill_normal(x, (size_t)(B * T * in), 1, 31);
        fill_normal(y, (size_t)(B * T * out), 0.5, 32);
        b->inputs = x;
        b->outputs = y;
    } else {
        fill_tokens(tokens, B * T, out, 33);
        fill_tokens(targets, B * T, out, 34);
        b->tokens = tokens;
        b->targets = targets;
    }
}

static void train(int kind, xlstm_optimizer_kind optimizer, float rate) {
    char name[64];
    xlstm_module *m;
    xlstm_trainer *tr;
    xlstm_optimizer *opt;
    xlstm_batch batch;
    xlstm_loss first, last;
    assert_int_equal(create_kind(&m, kind, name, 7), XLSTM_OK);
    make_batch(m, &batch);
    xlstm_trainer_config tc;
    xlstm_trainer_config_init(&tc);
    tc.batch = B;
    tc.time = T;
    xlstm_optimizer_config oc;
    xlstm_optimizer_config_init(&oc, optimizer);
    oc.weight_decay = 0;
    assert_int_equal(xlstm_trainer_create(&tr, m, &tc), XLSTM_OK);
    assert_int_equal(xlstm_optimizer_create(&opt, m, &oc), XLSTM_OK);
    xlstm_trainer_evaluate(tr, &batch, &first);
    for (int i = 0; i < STEPS; i++) {
        assert_int_equal(xlstm_trainer_backward(tr, &batch, NULL), XLSTM_OK);
        assert_int_equal(xlstm_optimizer_step(opt, tr, rate, NULL), XLSTM_OK);
    }
    xlstm_trainer_evaluate(tr, &batch, &last);
    if (!within(last.mean, 0.99 * first.mean))
        fail_msg("%s: %d steps took the loss from %g to %g", name, STEPS, first.mean, last.mean);
    xlstm_optimizer_free(opt);
    xlstm_trainer_free(tr);
    xlstm_module_free(m);
}

static void test_loss_falls(void **state) {
    (void)state;
    for (int kind = 0; kind < TEST_KINDS; kind++) {
        train(kind, XLSTM_ADAMW, 1e-2f);
        train(kind, XLSTM_SGD, 3e-1f);
    }
}

/* Two windows with carried state see what one long window sees. */
static void test_carried_state(void **state) {
    (void)state;
    xlstm_config c = small_config(XLSTM_MLSTM);
    c.block_kind[1] = XLSTM_SLSTM;
    xlstm_module *m;
    assert_int_equal(xlstm_model_create(&m, &c, 7), XLSTM_OK);
    jitter(m, 0.1, 2);
    xlstm_trainer_config tc;
    xlstm_trainer_config_init(&tc);
    tc.time = 2 * T;
    tc.carry_state = 1;
    xlstm_trainer *tr;
    assert_int_equal(xlstm_trainer_create(&tr, m, &tc), XLSTM_OK);
    int32_t tokens[2 * T + 1];
    fill_tokens(tokens, 2 * T + 1, 11, 9);
    xlstm_batch batch = {.struct_size = sizeof batch, .tokens = tokens, .targets = tokens + 1};
    xlstm_loss whole, part[2];
    assert_int_equal(xlstm_trainer_evaluate(tr, &batch, &whole), XLSTM_OK);
    xlstm_trainer_reset(tr, -1);
    batch.time = T;
    assert_int_equal(xlstm_trainer_backward(tr, &batch, &part[0]), XLSTM_OK);
    batch.tokens += T;
    batch.targets += T;
    assert_int_equal(xlstm_trainer_evaluate(tr, &batch, &part[1]), XLSTM_OK);
    assert_true(is_near(part[0].sum + part[1].sum, whole.sum, 1e-4 * whole.sum));
    xlstm_trainer_free(tr);
    xlstm_module_free(m);
}

static void set_gradient(xlstm_trainer *tr, size_t at, double value) {
    xlstm_real g = (xlstm_real)value;
    assert_int_equal(xlstm_trainer_write_gradients(tr, at, 1, &g), XLSTM_OK);
}

/* The first two numbers of a parameter. */
static void first_two(const xlstm_module *m, const xlstm_parameter *p, double w[2]) {
    xlstm_real *all = copy_parameter(m, p->index);
    w[0] = (double)all[0];
    w[1] = (double)all[1];
    free(all);
}

/* One AdamW step by hand: decay only where it belongs, clipping by the global norm. */
static void test_adamw_rule(void **state) {
    (void)state;
    xlstm_config c = small_config(XLSTM_MLSTM);
    xlstm_module *m;
    assert_int_equal(xlstm_model_create(&m, &c, 7), XLSTM_OK);
    xlstm_trainer_config tc;
    xlstm_trainer_config_init(&tc);
    tc.time = T;
    xlstm_trainer *tr;
    xlstm_optimizer *opt;
    xlstm_optimizer_config oc;
    xlstm_optimizer_config_init(&oc, XLSTM_ADAMW);
    oc.clip = 0.5f;
    assert_int_equal(xlstm_trainer_create(&tr, m, &tc), XLSTM_OK);
    assert_int_equal(xlstm_optimizer_create(&opt, m, &oc), XLSTM_OK);
    xlstm_parameter decayed, not ;
    assert_int_equal(xlstm_module_find(m, "xlstm_block_stack.blocks.0.xlstm.proj_up.weight", &decayed),
                     XLSTM_OK);
    assert_int_equal(xlstm_module_find(m, "token_embedding.weight", &not ), XLSTM_OK);
    assert_true(decayed.decay && !not .decay);
    set_gradient(tr, decayed.offset, 3);
    set_gradient(tr, not .offset, -4);
    double norm, lr = 0.1, w[2], u[2], now[2]; /* w: with decay, u: without */
    first_two(m, &decayed, w);
    first_two(m, &not, u);
    assert_int_equal(xlstm_optimizer_step(opt, tr, (float)lr, &norm), XLSTM_OK);
    assert_true(is_near(norm, 5, 1e-6));
    first_two(m, &not, now);
    assert_true(is_near(now[0], u[0] + lr, 1e-5));
    first_two(m, &decayed, now);
    assert_true(is_near(now[0], w[0] * (1 - lr * 0.1) - lr, 1e-5));
    assert_true(is_near(now[1], w[1] * (1 - lr * 0.1), 1e-6));
    assert_true(xlstm_trainer_gradient_norm(tr) == 0);
    set_gradient(tr, 0, NAN);
    assert_int_equal(xlstm_optimizer_step(opt, tr, (float)lr, &norm), XLSTM_E_NUMERIC);
    first_two(m, &decayed, w);
    assert_true(now[0] == w[0] && xlstm_optimizer_steps(opt) == 1);
    xlstm_optimizer_free(opt);
    xlstm_trainer_free(tr);
    xlstm_module_free(m);
}

static void test_schedule(void **state) {
    (void)state;
    xlstm_schedule s = {XLSTM_WARMUP_COSINE, 1, 0.1f, 10, 110};
    static const struct {
        int step;
        double rate;
    } at[] = {{0, 0.1}, {9, 1}, {60, 0.55}, {110, 0.1}, {500, 0.1}};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++)
        assert_true(is_near((double)xlstm_schedule_rate(&s, at[i].step), at[i].rate, 1e-6));
    s.kind = XLSTM_CONSTANT;
    assert_true(xlstm_schedule_rate(&s, 3) == 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_loss_falls),
                                       cmocka_unit_test(test_carried_state),
                                       cmocka_unit_test(test_adamw_rule), cmocka_unit_test(test_schedule)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
