#include <stdio.h>
#include <xlstm.h>

int main(void) {
    enum { B = 8, T = 16 };
    int32_t tokens[B * T], targets[B * T]; /* task: repeat the token of three steps ago */
    for (int i = 0; i < B * T; i++) {
        tokens[i] = i * 7 / 3 % 10;
        targets[i] = i % T < 3 ? -1 : tokens[i - 3]; /* negative: ignored */
    }
    xlstm_config config;
    xlstm_config_init(&config, XLSTM_MLSTM);
    config.vocab_size = 10;
    xlstm_module *model;
    if (xlstm_model_create(&model, &config, 1) != XLSTM_OK)
        return puts(xlstm_last_error()), 1;

    xlstm_trainer_config how;
    xlstm_optimizer_config adamw;
    xlstm_trainer_config_init(&how);
    xlstm_optimizer_config_init(&adamw, XLSTM_ADAMW);
    how.batch = B;
    how.time = T;
    xlstm_trainer *trainer;
    xlstm_optimizer *optimizer;
    if (xlstm_trainer_create(&trainer, model, &how) != XLSTM_OK ||
        xlstm_optimizer_create(&optimizer, model, &adamw) != XLSTM_OK)
        return puts(xlstm_last_error()), 1;
    xlstm_batch batch = {.struct_size = sizeof batch, .tokens = tokens, .targets = targets};
    xlstm_loss loss = {0};
    for (int step = 0; step < 60; step++) {
        xlstm_trainer_backward(trainer, &batch, &loss);
        xlstm_optimizer_step(optimizer, trainer, 3e-3f, NULL);
        if (step % 20 == 0)
            printf("step %d: %.3f nats per token\n", step, loss.mean);
    }
    printf("at the end: %.4f\n", loss.mean);
    xlstm_optimizer_free(optimizer);
    xlstm_trainer_free(trainer);
    xlstm_module_free(model);
    return loss.mean < 0.5 ? 0 : 1;
}
