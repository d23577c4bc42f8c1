/* What every kind of model comes to, to the last bit, by the kernels and by the plain loops; what a NaN in
 * the data is called; and whether small numbers are still numbers once the library is loaded. consumers.sh
 * compares two builds by it.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <xlstm.h>

enum { B = 2, T = 40, V = 20, IN = 3 };

static int fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, xlstm_last_error());
    return 2;
}

/* Logits after three steps of training; 0 or 2. */
static int trained(const xlstm_config *config, xlstm_real *logits, double *loss) {
    xlstm_trainer_config how;
    xlstm_optimizer_config adamw;
    xlstm_module *model;
    xlstm_trainer *trainer;
    xlstm_optimizer *optimizer;
    xlstm_session *session;
    xlstm_loss now = {0};
    int32_t tokens[B * T], targets[B * T];
    for (int i = 0; i < B * T; i++) {
        tokens[i] = i * 7 % V;
        targets[i] = i * 3 % V;
    }
    xlstm_batch batch = {.struct_size = sizeof batch, .tokens = tokens, .targets = targets};
    xlstm_trainer_config_init(&how);
    xlstm_optimizer_config_init(&adamw, XLSTM_ADAMW);
    how.batch = B;
    how.time = T;
    if (xlstm_model_create(&model, config, 1) || xlstm_trainer_create(&trainer, model, &how) ||
        xlstm_optimizer_create(&optimizer, model, &adamw) || xlstm_session_create(&session, model, B, T))
        return fail("creating");
    for (int step = 0; step < 3; step++)
        if (xlstm_trainer_backward(trainer, &batch, &now) ||
            xlstm_optimizer_step(optimizer, trainer, 1e-2f, NULL))
            return fail("a step");
    if (xlstm_session_tokens(session, tokens, T, logits))
        return fail("a session");
    *loss = now.mean;
    xlstm_session_free(session);
    xlstm_optimizer_free(optimizer);
    xlstm_trainer_free(trainer);
    xlstm_module_free(model);
    return 0;
}

static int all_kinds(const char *backend) {
    if (xlstm_set_backend(backend))
        return fail(backend);
    for (int kind = 0; kind < XLSTM_BLOCK_KINDS; kind++) {
        static xlstm_real logits[B * T * V];
        double loss, weighed = 0;
        xlstm_config config;
        xlstm_config_init(&config, (xlstm_block_kind)kind);
        config.vocab_size = V;
        if (trained(&config, logits, &loss))
            return 2;
        for (int i = 0; i < B * T * V; i++)
            weighed += (double)logits[i] * (i % 101 + 1);
        if (!isfinite(loss) || !isfinite(weighed))
            return fprintf(stderr, "%s: not finite\n", xlstm_block_kind_name((xlstm_block_kind)kind)), 2;
        printf("%s, %s: loss %.17g, logits %.17g\n", backend, xlstm_block_kind_name((xlstm_block_kind)kind),
               loss, weighed);
    }
    return 0;
}

/* A NaN among the inputs of a training step. */
static int with_nan(void) {
    static xlstm_real x[T * IN], y[T * 2];
    xlstm_config config;
    xlstm_trainer_config how;
    xlstm_module *model;
    xlstm_trainer *trainer;
    xlstm_loss loss;
    xlstm_config_init(&config, XLSTM_MLSTM);
    xlstm_trainer_config_init(&how);
    config.vocab_size = 0;
    config.input_dim = IN;
    config.output_dim = 2;
    how.time = T;
    x[50] = NAN;
    if (xlstm_model_create(&model, &config, 1) || xlstm_trainer_create(&trainer, model, &how))
        return fail("creating");
    xlstm_batch batch = {.struct_size = sizeof batch, .inputs = x, .outputs = y};
    xlstm_status status = xlstm_trainer_backward(trainer, &batch, &loss);
    printf("a NaN among the inputs: %s\n", xlstm_status_name(status));
    xlstm_trainer_free(trainer);
    xlstm_module_free(model);
    return status == XLSTM_E_NUMERIC ? 0 : fail("a NaN among the inputs");
}

int main(void) {
    volatile float small = FLT_MIN;
    if (all_kinds("auto") || all_kinds("ref") || with_nan())
        return 2;
    small /= 2;
    if (!(small > 0))
        return fprintf(stderr, "the library made small numbers zero in the whole process\n"), 2;
    return 0;
}
