/* A user's program, built outside the tree: learns to repeat the token before the last, then generates with a
 * session one token at a time and compares with the same tokens at once. Returns 0 if all is as it should be.
 */
#include "../../../examples/programs/compare.h"
#include <stdio.h>
#include <string.h>
#include <xlstm.h>

enum { B = 4, T = 8, V = 5 };

static int fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, xlstm_last_error());
    return 1;
}

static double train(xlstm_trainer *trainer, xlstm_optimizer *optimizer) {
    int32_t tokens[B * T], targets[B * T];
    for (int i = 0; i < B * T; i++) {
        tokens[i] = i * i / 3 % V;
        targets[i] = i % T < 2 ? -1 : tokens[i - 2];
    }
    xlstm_batch batch = {.struct_size = sizeof batch, .tokens = tokens, .targets = targets};
    xlstm_loss loss = {0};
    for (int step = 0; step < 80; step++)
        if (xlstm_trainer_backward(trainer, &batch, &loss) ||
            xlstm_optimizer_step(optimizer, trainer, 1e-2f, NULL))
            return fail("a step");
    return loss.mean;
}

/* Largest difference between one call of T tokens and T calls of one. */
static double difference(const xlstm_module *model) {
    int32_t tokens[T] = {0, 1, 2, 3, 4, 3, 2, 1};
    xlstm_real all[T * V], one[V];
    xlstm_session *session;
    comparison seen = {0};
    if (xlstm_session_create(&session, model, 1, T) || xlstm_session_tokens(session, tokens, T, all) ||
        xlstm_session_reset(session, -1))
        return fail("a session");
    for (int t = 0; t < T; t++) {
        if (xlstm_session_tokens(session, &tokens[t], 1, one))
            return fail("a token");
        for (int v = 0; v < V; v++)
            see(&seen, (double)one[v], (double)all[t * V + v]);
    }
    xlstm_session_free(session);
    return seen.error;
}

int main(void) {
    xlstm_config config;
    xlstm_trainer_config how;
    xlstm_optimizer_config adamw;
    xlstm_module *model;
    xlstm_trainer *trainer;
    xlstm_optimizer *optimizer;
    xlstm_config_init(&config, XLSTM_SLSTM);
    xlstm_trainer_config_init(&how);
    xlstm_optimizer_config_init(&adamw, XLSTM_ADAMW);
    config.vocab_size = V;
    config.embedding_dim = 32;
    how.batch = B;
    how.time = T;
    if (xlstm_set_threads(4) || xlstm_config_mix(&config, "1:1") || xlstm_model_create(&model, &config, 1) ||
        xlstm_trainer_create(&trainer, model, &how) || xlstm_optimizer_create(&optimizer, model, &adamw))
        return fail("creating");
    double loss = train(trainer, optimizer), worst = difference(model);
    xlstm_optimizer_free(optimizer);
    xlstm_trainer_free(trainer);
    xlstm_module_free(model);
    printf("libxlstm %s, headers %s: loss %.4f, difference %.1e\n", xlstm_version(), XLSTM_VERSION_STRING,
           loss, worst);
    return loss > 0 && within(loss, 0.1) && within(worst, 1e-4) &&
                   !strcmp(xlstm_version(), XLSTM_VERSION_STRING)
               ? 0
               : 1;
}
