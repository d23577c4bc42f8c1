/* A dense input projection and a recurrent cell: nn.LSTM's layer, and the bare sLSTM cell.
 * Rows of weight_ih are [H][i, f, z, o][dh]; with one head that is nn.LSTM's own order i, f, g, o. */
#include "layer/layer.h"
#include <stdio.h>

typedef struct {
    xl_layer base;
    xl_rnn cell;
    size_t W, W_bias, R, bias;
} rnn;

typedef struct {
    xl_view gates; /* [N, H*4*dh] */
    real *tape;
    xl_view h; /* the output, which the recurrence's gradient needs */
} rnn_saved;

/* nn.LSTM has two biases, of which only the sum makes a difference. Checkpoints have both, so one is the
 * product's and the other the cell's. */
static void declare_rnn(rnn *l, const xl_layer_spec *s, xl_layout *p, const char *suffix) {
    int D = s->out, H = l->cell.H;
    double bound = 1 / sqrt(D);
    xl_init bias = l->cell.lstm ? xl_init_uniform(bound) : (xl_init){XL_INIT_FORGET_LINSPACE, 3, 6, H};
    char name[64];
    l->cell.dh = D / H;
    snprintf(name, sizeof name, "weight_ih%s", suffix);
    l->W = xl_param_add(p, name, xl_init_uniform(bound), XL_MATRIX, XL_SHAPE2(4 * D, s->in));
    snprintf(name, sizeof name, "weight_hh%s", suffix);
    l->R = xl_param_add(p, name, xl_init_uniform(bound), XL_MATRIX, XL_SHAPE2(4 * D, D / H));
    snprintf(name, sizeof name, "bias_ih%s", suffix);
    l->W_bias = l->cell.lstm ? xl_param_add(p, name, bias, XL_NO_DECAY, XL_SHAPE1(4 * D)) : XL_NONE;
    snprintf(name, sizeof name, "bias_hh%s", suffix);
    l->bias = xl_param_add(p, name, bias, XL_NO_DECAY, XL_SHAPE1(4 * D));
    /* a stream: | h D | c D | n D | m D |, the LSTM without n and m */
    l->base.state_size = (l->cell.lstm ? 2u : 4u) * (size_t)D;
}

static void declare_lstm(xl_layer *layer, const xl_layer_spec *s, xl_layout *p) {
    rnn *l = (rnn *)layer;
    char suffix[16];
    snprintf(suffix, sizeof suffix, "_l%d", s->number);
    l->cell.H = l->cell.lstm = 1;
    declare_rnn(l, s, p, suffix);
}

static void declare_slstm_cell(xl_layer *layer, const xl_layer_spec *s, xl_layout *p) {
    rnn *l = (rnn *)layer;
    l->cell.H = s->config->num_heads;
    declare_rnn(l, s, p, "");
}

static void forward(const xl_layer *layer, const xl_call *c, void *saved, xl_view y, xl_view x) {
    const rnn *l = (const rnn *)layer;
    rnn_saved *s = saved;
    const real *w = c->w;
    int N = xl_tokens(c), D = layer->out;
    s->gates = xl_arena_view(c->keep, N, 4 * D);
    xl_linear(c, s->gates, x, l->W, l->W_bias);
    s->tape = c->train ? xl_arena_real(c->keep, (uint64_t)N * 3 * D) : NULL;
    s->h = xl_arena_view(c->keep, N, D);
    size_t mark = xl_arena_mark(c->temp);
    real *scratch = xl_arena_real(c->temp, c->op->rnn_scratch(l->cell, c->seq));
    c->op->rnn(s->h, s->gates, s->tape, xl_weight_matrix(c, l->R, 4 * D, l->cell.dh), w + l->bias, l->cell,
               c->seq, xl_layer_state(layer, c, 0), scratch);
    xl_arena_release(c->temp, mark);
    /* y is the stream's, and may be dropped from; the backward pass reads h again */
    c->op->copy(y, s->h);
    xl_layer_dropout(layer, c, y, 0);
}

static void backward(const xl_layer *layer, const xl_call *c, const void *saved, xl_view dx, xl_view x,
                     xl_view dy) {
    const rnn *l = (const rnn *)layer;
    const rnn_saved *s = saved;
    const real *w = c->w;
    real *dw = c->dw;
    xl_layer_dropout(layer, c, dy, 0);
    real *scratch = xl_arena_real(c->temp, c->op->rnn_scratch(l->cell, c->seq));
    c->op->rnn_bwd(s->gates, dw + l->R, dw + l->bias, dy, s->h, s->tape, w + l->R, l->cell, c->seq,
                   xl_layer_state(layer, c, 0), scratch);
    c->op->linear_dw(dw + l->W, xl_gradient(dw, l->W_bias), x, s->gates);
    c->op->linear_dx(dx, s->gates, w + l->W, 0);
}

const xl_layer_kind xl_layer_lstm = {
    .name = "lstm",
    .size = sizeof(rnn),
    .saved_size = sizeof(rnn_saved),
    .declare = declare_lstm,
    .forward = forward,
    .backward = backward,
};
const xl_layer_kind xl_layer_slstm_cell = {
    .name = "slstm_cell",
    .reads = XL_READS(num_heads),
    .size = sizeof(rnn),
    .saved_size = sizeof(rnn_saved),
    .declare = declare_slstm_cell,
    .forward = forward,
    .backward = backward,
};
