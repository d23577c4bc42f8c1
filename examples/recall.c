/* recall: associative memory. Pairs of a key and its value, then keys again: what belonged to them?
 *
 * New here: ignored targets (negative), so that only the questions count; xlstm_session_prompt() for the last
 * token's logits; xlstm_session_fork() to ask one memory several questions, none of which it remembers. To
 * see: the mLSTM's matrix memory stores the pairs in a few hundred updates. */
#include "programs/program.h"
#include "random.h"

enum {
    KEYS = 16,
    VALUES = 16,
    VOCABULARY = KEYS + VALUES,
    PAIRS = 6,
    TIME = 4 * PAIRS,
    BATCH = 64,
    STEPS = 400
};

static uint64_t dice = 7; /* state of the random numbers */

/* A row: key value key value ... for PAIRS different keys, then the keys in another order, each followed by
 * its value. Only the places where a value is to be said after a repeated key have a target. */
static void make_row(int32_t *tokens, int32_t *targets) {
    int keys[KEYS], values[KEYS], order[PAIRS];
    for (int i = 0; i < KEYS; i++)
        keys[i] = i;
    for (int i = 0; i < PAIRS; i++) {
        int other = i + random_below(&dice, KEYS - i), key = keys[other];
        keys[other] = keys[i];
        keys[i] = key;
        values[i] = KEYS + random_below(&dice, VALUES);
        int place = random_below(&dice, i + 1);
        order[i] = i;
        order[i] = order[place];
        order[place] = i;
    }
    for (int i = 0; i < PAIRS; i++) {
        int again = 2 * (PAIRS + i);
        tokens[2 * i] = keys[i];
        tokens[2 * i + 1] = values[i];
        tokens[again] = keys[order[i]];
        tokens[again + 1] = values[order[i]];
        targets[2 * i] = targets[2 * i + 1] = targets[again + 1] = -1;
        targets[again] = values[order[i]];
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
    how.time = TIME;
    check(xlstm_trainer_create(&trainer, model, &how));
    check(xlstm_optimizer_create(&optimizer, model, &adamw));
    xlstm_schedule schedule = {XLSTM_WARMUP_COSINE, 5e-3f, 0.02f, STEPS / 20, STEPS};
    int32_t tokens[BATCH * TIME], targets[BATCH * TIME];
    for (int step = 0; step < STEPS; step++) {
        xlstm_loss loss;
        for (int r = 0; r < BATCH; r++)
            make_row(tokens + r * TIME, targets + r * TIME);
        xlstm_batch batch = {.struct_size = sizeof batch, .tokens = tokens, .targets = targets};
        check(xlstm_trainer_backward(trainer, &batch, &loss));
        check(xlstm_optimizer_step(optimizer, trainer, xlstm_schedule_rate(&schedule, step), NULL));
        if ((step + 1) % (STEPS / 4) == 0)
            printf("update %4d: %.4f nats per answer\n", step + 1, loss.mean);
    }
    xlstm_optimizer_free(optimizer);
    xlstm_trainer_free(trainer);
}

static int likeliest(const xlstm_real *logits) {
    int best = 0;
    for (int i = 1; i < VOCABULARY; i++)
        best = logits[i] > logits[best] ? i : best;
    return best;
}

/* Tells a session the pairs of one row, then asks a copy of it for each. Returns how many answers are right.
 */
static int quiz(const xlstm_module *model, int show) {
    int32_t tokens[TIME], targets[TIME];
    xlstm_session *memory, *copy;
    int right = 0;
    make_row(tokens, targets);
    check(xlstm_session_create(&memory, model, 1, 0));
    check(xlstm_session_tokens(memory, tokens, 2 * PAIRS, NULL)); /* only the state moves */
    for (int i = 0; i < PAIRS; i++) {
        xlstm_real logits[VOCABULARY];
        int question = 2 * (PAIRS + i);
        check(xlstm_session_fork(&copy, memory));
        check(xlstm_session_prompt(copy, tokens + question, 1, logits));
        xlstm_session_free(copy);
        int answer = likeliest(logits);
        right += answer == targets[question];
        if (show)
            printf("  %c -> %2d%s", 'A' + tokens[question], answer - KEYS,
                   answer == targets[question] ? "" : " (wrong)");
    }
    if (show)
        printf("\n");
    xlstm_session_free(memory);
    return right;
}

int main(void) {
    program_begin();
    enum { QUIZZES = 200 };
    xlstm_config config;
    xlstm_module *model;
    int right = 0;
    xlstm_config_init(&config, XLSTM_MLSTM);
    config.vocab_size = VOCABULARY;
    config.embedding_dim = 32;
    config.num_heads = 2;
    config.num_blocks = 2;
    check(xlstm_model_create(&model, &config, 1));
    train(model);
    for (int i = 0; i < QUIZZES; i++)
        right += quiz(model, i < 3);
    printf("%.1f %% of the answers are right (guessing: %.1f %%)\n", 100.0 * right / (QUIZZES * PAIRS),
           100.0 / VALUES);
    xlstm_module_free(model);
    return right > 0.9 * QUIZZES * PAIRS ? 0 : 1;
}
