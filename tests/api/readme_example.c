#include <stdio.h>
#include <xlstm.h>

int main(void) {
    enum { B = 8, T = 16 };
    int32_t tokens[B * T], targets[B * T]; /* the task: repeat the token of three steps ago */
    for (int i = 0; i < B * T; i++) {
        tokens[i] = i * 7 / 3 % 10;
        targets[i] = i % T < 3 ? -1 : tokens[i - 3]; /* negative: ignored */
    }
    xlstm_config config;
    xlstm_trainer_config how;
    xlstm_optimizer_config adamw;
    xlstm_config_init(&config, XLSTM_MLSTM);
    xlstm_trainer_config_init(&how);
    xlstm_optimizer_config_init(&adamw, XLSTM_ADAMW);
    config.vocab_size = 10, how.batch = B, how.time = T;

    xlstm_module *model = NULL;
    xlstm_trainer *trainer = NULL;
    xlstm_optimizer *optimizer = NULL;
    if (xlstm_model_create(&model, &config, 1) || xlstm_trainer_create(&trainer, model, &how) ||
        xlstm_optimizer_create(&optimizer, model, &adamw))
        return puts(xlstm_last_error()), 1;
    xlstm_batch batch = {.struct_size = sizeof batch, .tokens = tokens, .targets = targets};
    xlstm_loss loss = {0};
    for (int step = 0; step < 60; step++) {
        xlstm_trainer_backward(trainer, &batch, &loss);
        xlstm_optimizer_step(optimizer, trainer, 3e-3f, NULL);
    }
    printf("%.4f nats per token at the end\n", loss.mean);
    xlstm_optimizer_free(optimizer);
    xlstm_trainer_free(trainer);
    xlstm_module_free(model);
    return loss.mean < 0.5 ? 0 : 1;
}
