/* bidirectional: two cells read the same rows, one of them from the end.
 *
 * New here: ragged rows turned around row by row (so that padding stays behind), and two trainers whose
 * gradients come from one loss. The task: of every place in a row, say whether more marks stand before it or
 * behind it. From the left alone one cannot know what is still to come. */
#include "programs/program.h"
#include "random.h"
#include <math.h>

enum { BATCH = 32, TIME = 12, SHORTEST = 4, HIDDEN = 16, STEPS = 400, WAYS = 2 };

typedef struct {
    xlstm_real x[BATCH][TIME];
    int more_before[BATCH][TIME];
    int32_t length[BATCH];
} data;

typedef struct {
    xlstm_module *cell;
    xlstm_trainer *trainer;
    xlstm_optimizer *optimizer;
    xlstm_real w[HIDDEN];
    xlstm_real h[BATCH][TIME][HIDDEN], dh[BATCH][TIME][HIDDEN];
} reader;

/* What a row's place t is for a reader that comes from the end. */
static int place(const data *d, int way, int b, int t) {
    return way == 0 || t >= d->length[b] ? t : d->length[b] - 1 - t;
}

static void make_data(data *d, uint64_t *dice) {
    for (int b = 0; b < BATCH; b++) {
        int marks = 0, before = 0;
        d->length[b] = SHORTEST + random_below(dice, TIME - SHORTEST + 1);
        for (int t = 0; t < TIME; t++)
            marks += (int)(d->x[b][t] = (xlstm_real)(t < d->length[b] && random_below(dice, 3) == 0));
        for (int t = 0; t < TIME; t++) {
            int here = (int)d->x[b][t];
            d->more_before[b][t] = before > marks - before - here;
            before += here;
        }
    }
}

static void make_reader(reader *r, uint64_t seed) {
    xlstm_cell_config config;
    xlstm_trainer_config how;
    xlstm_optimizer_config adamw;
    xlstm_cell_config_init(&config, XLSTM_CELL_SLSTM);
    config.input_size = 1;
    config.hidden_size = HIDDEN;
    config.num_heads = 1;
    check(xlstm_cell_create(&r->cell, &config, seed));
    xlstm_trainer_config_init(&how);
    how.batch = BATCH;
    how.time = TIME;
    check(xlstm_trainer_create(&r->trainer, r->cell, &how));
    xlstm_optimizer_config_init(&adamw, XLSTM_ADAMW);
    check(xlstm_optimizer_create(&r->optimizer, r->cell, &adamw));
    for (int j = 0; j < HIDDEN; j++)
        r->w[j] = (xlstm_real)(0.3 * sin(j + (double)seed));
}

static void forward(reader *r, const data *d, int way) {
    xlstm_real x[BATCH][TIME];
    for (int b = 0; b < BATCH; b++)
        for (int t = 0; t < TIME; t++)
            x[b][t] = d->x[b][place(d, way, b, t)];
    xlstm_batch batch = {.struct_size = sizeof batch, .inputs = &x[0][0], .lengths = d->length};
    check(xlstm_trainer_forward(r->trainer, &batch, &r->h[0][0][0]));
}

static void backward(reader *r, const xlstm_real dw[HIDDEN], float rate) {
    check(xlstm_trainer_backward_from(r->trainer, &r->dh[0][0][0], NULL));
    check(xlstm_optimizer_step(r->optimizer, r->trainer, rate, NULL));
    for (int j = 0; j < HIDDEN; j++)
        r->w[j] -= rate * dw[j];
}

static double score_of(const reader *readers, int ways, const data *d, int b, int t) {
    double score = 0;
    for (int way = 0; way < ways; way++)
        for (int j = 0; j < HIDDEN; j++)
            score += (double)(readers[way].w[j] * readers[way].h[b][place(d, way, b, t)][j]);
    return score;
}

/* One pass over a batch with `ways` readers, one update if rate > 0. Returns the share of right answers. The
 * loss is the logistic one: its gradient is (sigmoid(score) - answer), and goes to both readers. */
static double pass(reader *readers, int ways, const data *d, float rate) {
    xlstm_real dw[WAYS][HIDDEN] = {{0}};
    int right = 0, places = 0;
    for (int way = 0; way < ways; way++) {
        forward(&readers[way], d, way);
        memset(readers[way].dh, 0, sizeof readers[way].dh);
    }
    for (int b = 0; b < BATCH; b++)
        for (int t = 0; t < d->length[b]; t++) {
            double score = score_of(readers, ways, d, b, t);
            xlstm_real g = (xlstm_real)((1 / (1 + exp(-score)) - d->more_before[b][t]) / BATCH);
            right += (score > 0) == d->more_before[b][t];
            places++;
            for (int way = 0; way < ways; way++)
                for (int j = 0, at = place(d, way, b, t); j < HIDDEN; j++) {
                    dw[way][j] += g * readers[way].h[b][at][j];
                    readers[way].dh[b][at][j] = g * readers[way].w[j];
                }
        }
    for (int way = 0; rate > 0 && way < ways; way++)
        backward(&readers[way], dw[way], rate);
    return (double)right / places;
}

static double learn(int ways) {
    enum { TESTS = 20 };
    static reader readers[WAYS];
    static data d;
    uint64_t dice = 3;
    double right = 0;
    for (int way = 0; way < ways; way++)
        make_reader(&readers[way], (uint64_t)way + 1);
    for (int step = 0; step < STEPS; step++) {
        make_data(&d, &dice);
        pass(readers, ways, &d, 2e-2f);
    }
    for (int i = 0; i < TESTS; i++) {
        make_data(&d, &dice);
        right += pass(readers, ways, &d, 0);
    }
    for (int way = 0; way < ways; way++) {
        xlstm_optimizer_free(readers[way].optimizer);
        xlstm_trainer_free(readers[way].trainer);
        xlstm_module_free(readers[way].cell);
    }
    return right / TESTS;
}

int main(void) {
    program_begin();
    double one = learn(1), both = learn(2);
    printf("right answers: reading from the left alone %.1f %%, from both ends %.1f %%\n", 100 * one,
           100 * both);
    return both > 0.95 && both > one + 0.05 ? 0 : 1;
}
