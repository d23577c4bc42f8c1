/* lstm_loop: a cell in a loop of your own, as one uses nn.LSTM: input size and hidden size differ, state goes
 * in and out, the loss is yours.
 *
 * New here: xlstm_cell_create() (LSTM, sLSTM or mLSTM), xlstm_trainer_forward() and
 * xlstm_trainer_backward_from() for a loss of your own, a second module (the read-out) trained together with
 * the first, and the state of a session taken out and put back. The task: the input is a noisy wave; predict
 * its next value. */
#include "programs/program.h"
#include "random.h"
#include <math.h>

enum { BATCH = 16, TIME = 32, IN = 1, HIDDEN = 24, ROWS = BATCH * TIME, STEPS = 200 };

/* A cell and a linear read-out, y = w h + b, by hand: its gradient is two lines. */
typedef struct {
    xlstm_module *cell;
    xlstm_trainer *trainer;
    xlstm_optimizer *optimizer;
    xlstm_real w[HIDDEN], b;
} net;

static void make(net *n, xlstm_cell_kind kind) {
    xlstm_cell_config config;
    xlstm_trainer_config how;
    xlstm_optimizer_config adamw;
    xlstm_cell_config_init(&config, kind);
    config.input_size = IN;
    config.hidden_size = HIDDEN;
    config.num_heads = kind == XLSTM_CELL_LSTM ? 1 : 2;
    check(xlstm_cell_create(&n->cell, &config, 1));
    xlstm_trainer_config_init(&how);
    how.batch = BATCH;
    how.time = TIME;
    check(xlstm_trainer_create(&n->trainer, n->cell, &how));
    xlstm_optimizer_config_init(&adamw, XLSTM_ADAMW);
    adamw.weight_decay = 0;
    check(xlstm_optimizer_create(&n->optimizer, n->cell, &adamw));
    for (int j = 0; j < HIDDEN; j++)
        n->w[j] = (xlstm_real)(0.2 * sin(j + 1.0));
    n->b = 0;
}

static void drop(net *n) {
    xlstm_optimizer_free(n->optimizer);
    xlstm_trainer_free(n->trainer);
    xlstm_module_free(n->cell);
}

static void make_waves(xlstm_real *x, xlstm_real *next, uint64_t *dice) {
    for (int b = 0; b < BATCH; b++) {
        double speed = 0.2 + 0.4 * random_uniform(dice), phase = 6.28 * random_uniform(dice);
        for (int t = 0; t < TIME; t++) {
            x[b * TIME + t] = (xlstm_real)(sin(speed * t + phase) + 0.1 * (random_uniform(dice) - 0.5));
            next[b * TIME + t] = (xlstm_real)sin(speed * (t + 1) + phase);
        }
    }
}

static xlstm_real read_out(const net *n, const xlstm_real *h) {
    xlstm_real y = n->b;
    for (int j = 0; j < HIDDEN; j++)
        y += n->w[j] * h[j];
    return y;
}

/* One update; returns the mean squared error before it. */
static double update(net *n, const xlstm_real *x, const xlstm_real *next, xlstm_real rate) {
    static xlstm_real h[ROWS * HIDDEN], dh[ROWS * HIDDEN];
    xlstm_real dw[HIDDEN] = {0}, db = 0;
    double sum = 0;
    xlstm_batch batch = {.struct_size = sizeof batch, .inputs = x};
    check(xlstm_trainer_forward(n->trainer, &batch, h));
    for (int i = 0; i < ROWS; i++) { /* the loss and its gradient */
        xlstm_real error = read_out(n, h + i * HIDDEN) - next[i], d = 2 * error / ROWS;
        sum += (double)(error * error);
        db += d;
        for (int j = 0; j < HIDDEN; j++) {
            dw[j] += d * h[i * HIDDEN + j];
            dh[i * HIDDEN + j] = d * n->w[j];
        }
    }
    check(xlstm_trainer_backward_from(n->trainer, dh, NULL));
    check(xlstm_optimizer_step(n->optimizer, n->trainer, (float)rate, NULL));
    for (int j = 0; j < HIDDEN; j++)
        n->w[j] -= 10 * rate * dw[j];
    n->b -= 10 * rate * db;
    return sum / ROWS;
}

/* The state is plain numbers: what a session knows after ten values goes into another session, and both say
 * the same. */
static int state_travels(const net *n) {
    xlstm_session *first, *second;
    xlstm_real h1[HIDDEN], h2[HIDDEN];
    check(xlstm_session_create(&first, n->cell, 1, 1));
    check(xlstm_session_create(&second, n->cell, 1, 1));
    for (int t = 0; t < 10; t++) {
        xlstm_real x = (xlstm_real)sin(0.4 * t);
        check(xlstm_session_vectors(first, &x, 1, NULL));
    }
    size_t size = xlstm_session_state_size(first);
    xlstm_real *state = need(size * sizeof *state), x = (xlstm_real)sin(4.0);
    check(xlstm_session_get_state(first, 0, state));
    check(xlstm_session_set_state(second, 0, state));
    check(xlstm_session_vectors(first, &x, 1, h1));
    check(xlstm_session_vectors(second, &x, 1, h2));
    printf("  a state is %zu numbers; after it was moved, sin(4.4) = %.3f is predicted as %.3f\n", size,
           sin(4.4), (double)read_out(n, h2));
    free(state);
    xlstm_session_free(first);
    xlstm_session_free(second);
    for (int j = 0; j < HIDDEN; j++)
        if (h1[j] != h2[j])
            return 0;
    return 1;
}

int main(void) {
    program_begin();
    static const char *const names[] = {"LSTM", "sLSTM", "mLSTM"};
    int good = 1;
    for (int kind = 0; kind < XLSTM_CELL_KINDS; kind++) {
        net n;
        xlstm_real x[ROWS], next[ROWS];
        uint64_t dice = 1;
        double first = 0, last = 0;
        make(&n, (xlstm_cell_kind)kind);
        for (int step = 0; step < STEPS; step++) {
            make_waves(x, next, &dice);
            last = update(&n, x, next, 1e-2f);
            first = step ? first : last;
        }
        printf("%-6s %d in, %d hidden: squared error %.4f at first, %.4f after %d updates\n", names[kind], IN,
               HIDDEN, first, last, STEPS);
        good &= last < 0.1 * first && state_travels(&n);
        drop(&n);
    }
    return good ? 0 : 1;
}
