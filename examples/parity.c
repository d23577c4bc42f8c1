/* parity: state tracking. After every bit, say whether the ones so far are even or odd.
 *
 * New here: xlstm_model_create() with a mix of blocks, a trainer, an optimizer and a schedule; a session for
 * the answers. To see: the sLSTM's recurrent weights let it count modulo two, also far beyond the lengths
 * that it was trained on; the mLSTM has no such recurrence and cannot. */
#include "programs/program.h"
#include "random.h"

enum { BATCH = 64, LONGEST = 24, STEPS = 200, TEST_LENGTH = 96 };

static uint64_t bits = 1; /* state of the random bits */

/* tokens 0 and 1; the target is the parity so far */
static void make_rows(int32_t *tokens, int32_t *targets, int rows, int time) {
    for (int r = 0; r < rows; r++)
        for (int t = 0, parity = 0; t < time; t++) {
            int32_t bit = random_below(&bits, 2);
            tokens[r * time + t] = bit;
            targets[r * time + t] = parity ^= bit;
        }
}

static void train(xlstm_module *model) {
    xlstm_trainer_config how;
    xlstm_optimizer_config adamw;
    xlstm_trainer *trainer;
    xlstm_optimizer *optimizer;
    xlstm_trainer_config_init(&how);
    xlstm_optimizer_config_init(&adamw, XLSTM_ADAMW);
    how.batch = BATCH;
    how.time = LONGEST;
    adamw.weight_decay = 0.01f;
    check(xlstm_trainer_create(&trainer, model, &how));
    check(xlstm_optimizer_create(&optimizer, model, &adamw));
    xlstm_schedule schedule = {XLSTM_WARMUP_COSINE, 1e-2f, 0.02f, STEPS / 20, STEPS};
    int32_t tokens[BATCH * LONGEST], targets[BATCH * LONGEST];
    for (int step = 0; step < STEPS; step++) {
        int time = 2 + step % (LONGEST - 1); /* every length from 2 on */
        make_rows(tokens, targets, BATCH, time);
        xlstm_batch batch = {.struct_size = sizeof batch, .time = time, .tokens = tokens, .targets = targets};
        check(xlstm_trainer_backward(trainer, &batch, NULL));
        check(xlstm_optimizer_step(optimizer, trainer, xlstm_schedule_rate(&schedule, step), NULL));
    }
    xlstm_optimizer_free(optimizer);
    xlstm_trainer_free(trainer);
}

/* Share of right answers in rows of TEST_LENGTH bits, at tokens from .. to-1. */
static double accuracy(const xlstm_module *model, int from, int to) {
    int32_t tokens[BATCH * TEST_LENGTH], targets[BATCH * TEST_LENGTH];
    static xlstm_real logits[BATCH * TEST_LENGTH * 2];
    xlstm_session *session;
    int right = 0;
    make_rows(tokens, targets, BATCH, TEST_LENGTH);
    check(xlstm_session_create(&session, model, BATCH, TEST_LENGTH));
    check(xlstm_session_tokens(session, tokens, TEST_LENGTH, logits));
    for (int r = 0; r < BATCH; r++)
        for (int t = from; t < to; t++) {
            int i = r * TEST_LENGTH + t;
            right += (logits[2 * i + 1] > logits[2 * i]) == targets[i];
        }
    xlstm_session_free(session);
    return (double)right / (BATCH * (to - from));
}

int main(void) {
    program_begin();
    static const char *const mixes[] = {"0:1", "1:0"};
    int learned = 0;
    printf("%-22s %9s %14s %14s\n", "blocks", "seconds", "bits 1-24", "bits 49-96");
    for (int i = 0; i < 2; i++) {
        xlstm_config config;
        xlstm_module *model;
        xlstm_config_init(&config, XLSTM_SLSTM);
        config.vocab_size = 2;
        config.embedding_dim = 32;
        config.num_heads = 2;
        config.num_blocks = 2;
        check(xlstm_config_mix(&config, mixes[i]));
        check(xlstm_model_create(&model, &config, 1));
        double started = now();
        train(model);
        double near = accuracy(model, 0, LONGEST), far = accuracy(model, TEST_LENGTH / 2, TEST_LENGTH);
        printf("%-22s %9.1f %13.1f%% %13.1f%%\n", i ? "mLSTM only (1:0)" : "sLSTM only (0:1)",
               now() - started, 100 * near, 100 * far);
        learned |= (far > 0.99) << i;
        xlstm_module_free(model);
    }
    return learned == 1 ? 0 : 1; /* the sLSTM and it alone */
}
