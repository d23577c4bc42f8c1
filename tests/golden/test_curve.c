/* Ten steps of AdamW from the package's weights over its tokens give its ten losses and gradient norms.
 * make_golden.py makes the curves and makes sure that decay on the wrong parameters would show; for
 * curve_dropout it gives the package's dropouts the masks that libxlstm draws. */
#include "programs/compare.h"
#include "xlstm.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* The package's own losses in float32 differ from those in double by 1e-7 to 5e-7. */
static const double tolerance = sizeof(xlstm_real) == 8 ? 1e-9 : 1e-5;

typedef struct {
    xlstm_module *m;
    xlstm_tensors *file;
    int steps, batch, time;
    int32_t *tokens, *targets; /* [steps, B, T] */
} curve;

static void ok(xlstm_status status) {
    if (status)
        fail_msg("%s", xlstm_last_error());
}

static xlstm_tensor tensor(const curve *c, const char *name) {
    xlstm_tensor t;
    ok(xlstm_tensors_find(c->file, name, &t));
    return t;
}

static double number(const curve *c, const char *name, int at) {
    double x[64];
    xlstm_tensor t = tensor(c, name);
    assert_true(t.count <= 64 && (size_t)at < t.count);
    ok(xlstm_tensor_doubles(&t, x));
    return x[at];
}

static int32_t *integers(const curve *c, const char *name) {
    xlstm_tensor t = tensor(c, name);
    int64_t *wide = malloc(t.count * sizeof *wide);
    int32_t *out = malloc(t.count * sizeof *out);
    ok(xlstm_tensor_int64s(&t, wide));
    for (size_t i = 0; i < t.count; i++)
        out[i] = (int32_t)wide[i];
    free(wide);
    return out;
}

static void open_curve(curve *c, const char *name) {
    char path[512];
    snprintf(path, sizeof path, XLSTM_TEST_DATA "/%s", name);
    ok(xlstm_module_load(&c->m, path));
    snprintf(path, sizeof path, XLSTM_TEST_DATA "/%s/curve.safetensors", name);
    ok(xlstm_tensors_open(&c->file, path));
    xlstm_tensor t = tensor(c, "tokens");
    c->steps = (int)t.shape[0];
    c->batch = (int)t.shape[1];
    c->time = (int)t.shape[2];
    c->tokens = integers(c, "tokens");
    c->targets = integers(c, "targets");
}

static void close_curve(curve *c) {
    free(c->tokens);
    free(c->targets);
    xlstm_tensors_close(c->file);
    xlstm_module_free(c->m);
}

static xlstm_optimizer *adamw(const curve *c) {
    xlstm_optimizer_config config;
    xlstm_optimizer *optimizer;
    xlstm_optimizer_config_init(&config, XLSTM_ADAMW);
    config.beta1 = (float)number(c, "beta1", 0);
    config.beta2 = (float)number(c, "beta2", 0);
    config.eps = (float)number(c, "eps", 0);
    config.weight_decay = (float)number(c, "weight_decay", 0);
    config.clip = (float)number(c, "clip", 0);
    ok(xlstm_optimizer_create(&optimizer, c->m, &config));
    return optimizer;
}

static void close_to(double mine, double reference, const char *what, int step) {
    if (!is_near(mine, reference, tolerance * fabs(reference)))
        fail_msg("%s of step %d is %.12g, the package's %.12g", what, step, mine, reference);
}

static void run(curve *c, xlstm_trainer *trainer, xlstm_optimizer *optimizer) {
    float rate = (float)number(c, "lr", 0);
    for (int step = 0; step < c->steps; step++) {
        int at = step * c->batch * c->time;
        xlstm_batch batch = {
            .struct_size = sizeof batch, .tokens = c->tokens + at, .targets = c->targets + at};
        xlstm_loss loss;
        double norm;
        ok(xlstm_trainer_backward(trainer, &batch, &loss));
        ok(xlstm_optimizer_step(optimizer, trainer, rate, &norm));
        close_to(loss.mean, number(c, "losses", step), "the loss", step);
        if (sizeof(xlstm_real) ==
            8) /* in float, Adam makes steps of gradients that are nothing but rounding */
            close_to(norm, number(c, "norms", step), "the gradient norm", step);
    }
}

static void test_curve(void **state) {
    curve c = {0};
    xlstm_trainer *trainer;
    xlstm_trainer_config config;
    open_curve(&c, *state);
    assert_int_equal(c.steps, 10);
    xlstm_trainer_config_init(&config);
    config.batch = c.batch;
    config.time = c.time;
    ok(xlstm_trainer_create(&trainer, c.m, &config));
    xlstm_optimizer *optimizer = adamw(&c);
    run(&c, trainer, optimizer);
    xlstm_optimizer_free(optimizer);
    xlstm_trainer_free(trainer);
    close_curve(&c);
}

#define CURVE(name)                                                                                          \
    { "ten steps of " name, test_curve, NULL, NULL, (void *)(uintptr_t)name }
int main(void) {
    const struct CMUnitTest tests[] = {CURVE("curve_mixed"), CURVE("curve_slstm_clip"), CURVE("curve_large"),
                                       CURVE("curve_dropout"), CURVE("curve_ffn_dropout")};
    return cmocka_run_group_tests_name("training curves", tests, NULL, NULL);
}
