/* forecast: time series of different lengths, vectors in and vectors out.
 *
 * New here: a model over vectors (vocab_size 0), ragged rows (xlstm_batch.lengths: what stands behind a row's
 * end is never seen), weights of single outputs, an evaluation trainer, and forecasting far ahead by feeding
 * a session its own predictions. The data: two quantities that depend on each other (a pendulum with
 * friction: angle and speed), each row another one. */
#include "programs/compare.h"
#include "programs/program.h"
#include "random.h"
#include <math.h>

enum { BATCH = 32, LONGEST = 48, SHORTEST = 16, SIZE = 2, STEPS = 250, SEEN = 24 };

typedef struct {
    xlstm_real x[BATCH][LONGEST][SIZE], next[BATCH][LONGEST][SIZE], weight[BATCH][LONGEST];
    int32_t length[BATCH];
} data;

static void swing(double state[SIZE], double friction) {
    for (int i = 0; i < 5; i++) {
        state[1] -= 0.05 * (sin(state[0]) + friction * state[1]);
        state[0] += 0.05 * state[1];
    }
}

static void make(data *d, uint64_t *dice) {
    for (int b = 0; b < BATCH; b++) {
        double state[SIZE] = {2 * random_uniform(dice) - 1, 2 * random_uniform(dice) - 1},
               friction = 0.3 * random_uniform(dice);
        d->length[b] = SHORTEST + random_below(dice, LONGEST - SHORTEST + 1);
        for (int t = 0; t < LONGEST; t++) {
            int padding = t >= d->length[b];
            for (int k = 0; k < SIZE; k++)
                d->x[b][t][k] =
                    padding ? (xlstm_real)NAN : (xlstm_real)state[k]; /* it is really not looked at */
            swing(state, friction);
            for (int k = 0; k < SIZE; k++)
                d->next[b][t][k] = padding ? (xlstm_real)NAN : (xlstm_real)state[k];
            d->weight[b][t] = t >= 4; /* the first four say too little to be judged */
        }
    }
}

static xlstm_batch batch_of(const data *d) {
    return (xlstm_batch){.struct_size = sizeof(xlstm_batch),
                         .inputs = &d->x[0][0][0],
                         .outputs = &d->next[0][0][0],
                         .weights = &d->weight[0][0],
                         .lengths = d->length};
}

static void train(xlstm_module *model, uint64_t *dice) {
    xlstm_trainer_config how;
    xlstm_optimizer_config adamw;
    xlstm_trainer *trainer;
    xlstm_optimizer *optimizer;
    static data d;
    xlstm_trainer_config_init(&how);
    xlstm_optimizer_config_init(&adamw, XLSTM_ADAMW);
    how.batch = BATCH;
    how.time = LONGEST;
    check(xlstm_trainer_create(&trainer, model, &how));
    check(xlstm_optimizer_create(&optimizer, model, &adamw));
    xlstm_schedule schedule = {XLSTM_WARMUP_COSINE, 5e-3f, 0.02f, STEPS / 20, STEPS};
    for (int step = 0; step < STEPS; step++) {
        xlstm_loss loss;
        make(&d, dice);
        xlstm_batch batch = batch_of(&d);
        check(xlstm_trainer_backward(trainer, &batch, &loss));
        check(xlstm_optimizer_step(optimizer, trainer, xlstm_schedule_rate(&schedule, step), NULL));
        if ((step + 1) % (STEPS / 5) == 0)
            printf("update %3d: squared error %.6f\n", step + 1, loss.mean);
    }
    xlstm_optimizer_free(optimizer);
    xlstm_trainer_free(trainer);
}

/* The error of the next value on data that was not trained on. */
static double evaluate(xlstm_module *model, uint64_t *dice) {
    xlstm_trainer_config how;
    xlstm_trainer *trainer;
    xlstm_loss loss;
    static data d;
    xlstm_trainer_config_init(&how);
    how.batch = BATCH;
    how.time = LONGEST;
    how.gradients = 0; /* no tape, no gradients: a tenth of the memory */
    check(xlstm_trainer_create(&trainer, model, &how));
    make(&d, dice);
    xlstm_batch batch = batch_of(&d);
    check(xlstm_trainer_evaluate(trainer, &batch, &loss));
    xlstm_trainer_free(trainer);
    return loss.mean;
}

/* Shows a session SEEN values of a pendulum, then lets it go on alone. Returns the largest error of the
 * angle. */
static double go_on_alone(const xlstm_module *model) {
    double state[SIZE] = {1, 0};
    comparison angle = {0};
    xlstm_real x[SIZE];
    xlstm_session *session;
    check(xlstm_session_create(&session, model, 1, 1));
    printf("\nahead  angle  forecast\n");
    for (int t = 0; t < SEEN + 12; t++) {
        if (t < SEEN) /* else x is what it said last */
            for (int k = 0; k < SIZE; k++)
                x[k] = (xlstm_real)state[k];
        check(xlstm_session_vectors(session, x, 1, x));
        swing(state, 0.1);
        if (t >= SEEN) {
            printf("%5d %6.2f %9.2f  ", t - SEEN + 1, state[0], (double)x[0]);
            printf("%*s\n", 20 + (int)(14 * (double)x[0]), "*");
            see(&angle, (double)x[0], state[0]);
        }
    }
    xlstm_session_free(session);
    return angle.error;
}

int main(void) {
    program_begin();
    xlstm_config config;
    xlstm_module *model;
    uint64_t dice = 5;
    xlstm_config_init(&config, XLSTM_SLSTM);
    config.vocab_size = 0;
    config.input_dim = config.output_dim = SIZE;
    config.embedding_dim = 32;
    config.num_heads = 2;
    config.num_blocks = 2;
    check(xlstm_model_create(&model, &config, 1));
    train(model, &dice);
    double error = evaluate(model, &dice), alone = go_on_alone(model);
    printf("\nnew data: squared error %.6f for the next value; largest error of the angle, 12 values ahead: "
           "%.2f\n",
           error, alone);
    xlstm_module_free(model);
    return within(error, 0.01) && within(alone, 0.5) ? 0 : 1;
}
