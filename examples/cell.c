/* cell: the two recurrences by hand, on plain arrays, as one uses them in a net of one's own.
 *
 * New here: xlstm_recurrence (room for one layer), xlstm_span (how far a call goes, state in and out), the
 * forward and backward functions of the mLSTM and the sLSTM. To see: what an mLSTM with wide open gates
 * remembers; that calls of one token give what one call of many does; and an sLSTM that learns to blink, its
 * recurrent matrix trained by nothing but the gradient that comes back. */
#include "programs/compare.h"
#include "programs/program.h"
#include <math.h>

/* Keys are unit vectors, values are numbers; the input gate is open, the forget gate keeps everything. Then C
 * is a table from keys to values, and a query reads it. */
static int mlstm_remembers(void) {
    enum { T = 4, SIZE = 4 };
    xlstm_real q[T * SIZE] = {0}, k[T * SIZE] = {0}, v[T * SIZE] = {0}, i[T], f[T], h[T * SIZE];
    xlstm_recurrence_config c;
    xlstm_recurrence *cell;
    xlstm_recurrence_config_init(&c, XLSTM_CELL_MLSTM);
    c.time = T;
    c.head_size = SIZE;
    check(xlstm_recurrence_create(&cell, &c));
    for (int t = 0; t < T; t++) {
        k[t * SIZE + t] = 2; /* scaled by 1/sqrt(4) inside */
        v[t * SIZE] = (xlstm_real)(10 * (t + 1));
        q[t * SIZE + (t > 0 ? t - 1 : 0)] = 1; /* what came with the key before */
        i[t] = 0;
        f[t] = 20;
    }
    xlstm_mlstm_inputs inputs = {q, k, v, i, f};
    check(xlstm_mlstm_forward(cell, NULL, &inputs, h));
    printf("mLSTM: values 10 20 30 40; each token asks for the one before:");
    for (int t = 0; t < T; t++)
        printf(" %.1f", (double)h[t * SIZE]);
    printf("\n");

    /* the same, token by token: only the state goes from call to call */
    size_t size = xlstm_recurrence_state_size(cell);
    xlstm_real *state = need(size * sizeof *state), one[SIZE];
    comparison steps = {0};
    for (int t = 0; t < T; t++) {
        xlstm_mlstm_inputs token = {q + t * SIZE, k + t * SIZE, v + t * SIZE, i + t, f + t};
        xlstm_span span = {.struct_size = sizeof span, .time = 1, .state_in = state, .state_out = state};
        check(xlstm_mlstm_forward(cell, &span, &token, one));
        for (int e = 0; e < SIZE; e++)
            see(&steps, (double)one[e], (double)h[t * SIZE + e]);
    }
    printf("       token by token, with a state of %zu numbers: at most %.1e apart\n", size, steps.error);
    free(state);
    xlstm_recurrence_free(cell);
    return is_near((double)h[SIZE], 10, 0.1) && is_near((double)h[3 * SIZE], 30, 0.1) && agrees(&steps, 1e-4);
}

/* Nothing comes in; the output shall be 1, 0, 1, 0, ... Only R and a bias of the gates can bring that about.
 */
static int slstm_blinks(void) {
    enum { T = 24, D = 4, GATES = 4 * D, STEPS = 800 };
    xlstm_real gates[T * GATES], d_gates[T * GATES], h[T * D], d_h[T * D], R[GATES * D], d_R[GATES * D],
        bias[GATES];
    xlstm_recurrence_config c;
    xlstm_recurrence *cell;
    double loss = 0;
    xlstm_recurrence_config_init(&c, XLSTM_CELL_SLSTM);
    c.time = T;
    c.head_size = D;
    check(xlstm_recurrence_create(&cell, &c));
    for (int j = 0; j < GATES * D; j++)
        R[j] = (xlstm_real)(0.7 * sin(5.0 * j + 1));
    for (int j = 0; j < GATES; j++)
        bias[j] =
            j / D == 1 ? -2 : (xlstm_real)(0.3 * sin(3.0 * j)); /* gates i, f, z, o: what was shall fade */
    for (int step = 0; step < STEPS; step++) {
        for (int n = 0; n < T * GATES; n++)
            gates[n] = bias[n % GATES];
        check(xlstm_rnn_forward(cell, NULL, gates, R, h));
        memset(d_h, 0, sizeof d_h);
        memset(d_R, 0, sizeof d_R);
        loss = 0;
        for (int t = 0; t < T; t++) { /* the first number of h is the lamp */
            xlstm_real error = h[t * D] - (xlstm_real)(t % 2 == 0 ? 0.8 : 0.0);
            d_h[t * D] = 2 * error / T;
            loss += (double)(error * error) / T;
        }
        check(xlstm_rnn_backward(cell, R, h, d_h, d_gates, d_R));
        for (int j = 0; j < GATES * D; j++)
            R[j] -= (xlstm_real)0.5 * d_R[j];
        for (int n = 0; n < T * GATES; n++)
            bias[n % GATES] -= (xlstm_real)0.5 * d_gates[n];
    }
    printf("sLSTM: squared error %.4f after %d updates: ", loss, STEPS);
    for (int t = 0; t < T; t++)
        putchar(h[t * D] > 0.4f ? '#' : '.');
    printf("\n");
    xlstm_recurrence_free(cell);
    return loss < 0.02;
}

int main(void) {
    program_begin();
    int remembers = mlstm_remembers(), blinks = slstm_blinks();
    return remembers && blinks ? 0 : 1;
}
