/* The sLSTM layer of the xLSTM paper (post up-projection): conv, block-diagonal gate inputs, cell, norm.
 * The official names are swapped: the tensor "fgate" drives the input gate and "igate" the forget gate. They
 * are kept, because checkpoints have them; the declaration order below (slots i, f, z, o) is what counts. */
#include "base/check.h"
#include "layer/layer.h"

typedef struct {
    xl_layer base;
    int K;
    xl_heads gate; /* one gate: dh x dh per head, written into its slot of [H, 4, dh] */
    xl_rnn cell;
    xl_norm norm;
    size_t conv, conv_bias, gates[4], R, bias, norm_w;
} slstm;

typedef struct {
    xl_view c;     /* [N, D] after convolution and SiLU; x if there is none */
    xl_view gates; /* [N, H*4*dh] */
    xl_view h;     /* [N, D] */
    xl_view hd;    /* [N, D] after dropout; h if there is none */
    real *tape;
} slstm_saved;

static void resolve(xlstm_config *c) {
    c->slstm_heads = xl_slstm_heads(c);
}

static xlstm_status check(const xlstm_config *c) {
    return xl_check_divides("the number of sLSTM heads", xl_slstm_heads(c), "embedding_dim",
                            c->embedding_dim);
}

static xl_init bias_init(const xlstm_config *c, int H, int D, int block) {
    double r = c->num_blocks > 1 ? (double)block / (c->num_blocks - 1) : 0;
    switch (c->slstm_bias_init) {
    case XLSTM_BIAS_POWERLAW:
        return (xl_init){XL_INIT_FORGET_POWERLAW, 0.3 + 1.3 * r, 0, H};
    case XLSTM_BIAS_SMALL:
        return (xl_init){XL_INIT_FORGET_LINSPACE, 3, 6, H};
    case XLSTM_BIAS_STANDARD:
        return xl_init_uniform(1 / sqrt(D));
    case XLSTM_BIAS_ZEROS:
        break;
    }
    return xl_init_constant(0);
}

static void declare_gates(slstm *l, xl_layout *p) {
    int H = l->cell.H, dh = l->cell.dh;
    static const char *const names[4] = {"fgate.weight", "igate.weight", "zgate.weight", "ogate.weight"};
    l->gate = (xl_heads){H, dh, dh, 4 * dh};
    for (int g = 0; g < 4; g++)
        l->gates[g] = xl_param_add(p, names[g], xl_init_small(H * dh), XL_MATRIX, XL_SHAPE3(H, dh, dh));
}

static void declare(xl_layer *layer, const xl_layer_spec *s, xl_layout *p) {
    slstm *l = (slstm *)layer;
    const xlstm_config *c = s->config;
    int D = s->in, H = xl_slstm_heads(c), dh = D / H;
    l->K = c->slstm_conv;
    l->cell = (xl_rnn){.H = H,
                       .dh = dh,
                       .lstm = c->slstm_lstm,
                       .cut = c->slstm_recurrent_cut,
                       .clip = c->slstm_forward_clip,
                       .clip_bwd = c->slstm_recurrent_clip};
    l->norm = (xl_norm){H, 0, 1, (real)1e-5}; /* of each head; its eps is no field of a configuration */
    if (l->K > 0) {
        double bound = 1 / sqrt(l->K);
        l->conv =
            xl_param_add(p, "conv1d.conv.weight", xl_init_uniform(bound), XL_DECAY, XL_SHAPE3(D, 1, l->K));
        l->conv_bias = xl_param_add(p, "conv1d.conv.bias", xl_init_uniform(bound), XL_NO_DECAY, XL_SHAPE1(D));
    }
    declare_gates(l, p);
    xl_init recurrent = c->slstm_recurrent_uniform ? xl_init_uniform(1 / sqrt(D)) : xl_init_constant(0);
    l->R = xl_param_add(p, "slstm_cell._recurrent_kernel_", recurrent, XL_PACKABLE, XL_SHAPE3(H, 4 * dh, dh));
    l->bias =
        xl_param_add(p, "slstm_cell._bias_", bias_init(c, H, D, s->block), XL_NO_DECAY, XL_SHAPE1(4 * D));
    l->norm_w = c->slstm_group_norm_weight
                    ? xl_param_add(p, "group_norm.weight", xl_init_constant(0), XL_NO_DECAY, XL_SHAPE1(D))
                    : XL_NONE;
    /* a stream: | inputs of the convolution, K-1 x D | h D | c D | n D | m D |, the LSTM without n and m */
    size_t past = l->K > 0 ? (size_t)(l->K - 1) * D : 0;
    layer->state_size = past + (l->cell.lstm ? 2u : 4u) * (size_t)D;
}

/* That of TiRex-2 (arXiv 2607.01204): no convolution, and a norm whose weight is stored as it is. */
static void declare_bare(xl_layer *layer, const xl_layer_spec *s, xl_layout *p) {
    slstm *l = (slstm *)layer;
    int D = s->in, H = s->heads, dh = D / H;
    l->cell = (xl_rnn){.H = H, .dh = dh};
    l->norm = (xl_norm){H, 0, 0, (real)1e-6};
    declare_gates(l, p);
    l->R = xl_param_add(p, "_recurrent_kernel_", xl_init_constant(0), XL_PACKABLE, XL_SHAPE3(H, 4 * dh, dh));
    l->bias = xl_param_add(p, "_bias_", bias_init(s->config, H, D, s->block), XL_NO_DECAY, XL_SHAPE1(4 * D));
    l->norm_w = xl_param_add(p, "group_norm.weight", xl_init_constant(1), XL_NO_DECAY, XL_SHAPE1(D));
    layer->state_size = 4 * (size_t)D;
}

static size_t past_inputs(const slstm *l) {
    return l->K > 0 ? (size_t)(l->K - 1) * l->base.in : 0;
}

static void forward(const xl_layer *layer, const xl_call *c, void *saved, xl_view y, xl_view x) {
    const slstm *l = (const slstm *)layer;
    slstm_saved *s = saved;
    const xl_ops *op = c->op;
    const real *w = c->w;
    int N = xl_tokens(c), D = layer->in, dh = l->cell.dh;

    s->c = x;
    if (l->K > 0) {
        s->c = xl_arena_view(c->keep, N, D);
        op->conv(s->c, x, w + l->conv, w + l->conv_bias, l->K, c->seq, xl_layer_state(layer, c, 0));
    }
    s->gates = xl_arena_view(c->keep, N, 4 * D); /* i and f read the convolution, z and o its input */
    for (int g = 0; g < 4; g++)
        op->heads(xl_cols(s->gates, g * dh, 4 * D - g * dh), g < 2 ? s->c : x,
                  xl_weight_matrix(c, l->gates[g], D, dh), NULL, l->gate);

    s->h = xl_arena_view(c->keep, N, D);
    s->tape = c->train ? xl_arena_real(c->keep, (uint64_t)N * 3 * D) : NULL;
    size_t mark = xl_arena_mark(c->temp);
    real *scratch = xl_arena_real(c->temp, c->op->rnn_scratch(l->cell, c->seq));
    op->rnn(s->h, s->gates, s->tape, xl_weight_matrix(c, l->R, 4 * D, dh), w + l->bias, l->cell, c->seq,
            xl_layer_state(layer, c, past_inputs(l)), scratch);
    xl_arena_release(c->temp, mark);

    s->hd = s->h;
    if (c->dropout > 0) { /* a copy: the gradient of the recurrence reads h as it was */
        s->hd = xl_arena_view(c->keep, N, D);
        op->copy(s->hd, s->h);
        xl_layer_dropout(layer, c, s->hd, 0);
    }
    op->norm(y, s->hd, xl_weight(w, l->norm_w), NULL, l->norm);
}

static void backward(const xl_layer *layer, const xl_call *c, const void *saved, xl_view dx, xl_view x,
                     xl_view dy) {
    const slstm *l = (const slstm *)layer;
    const slstm_saved *s = saved;
    const xl_ops *op = c->op;
    const real *w = c->w;
    real *dw = c->dw;
    int N = xl_tokens(c), D = layer->in, dh = l->cell.dh;

    xl_view d = xl_arena_view(c->temp, N, D);
    op->norm_bwd(d, xl_gradient(dw, l->norm_w), NULL, dy, s->hd, xl_weight(w, l->norm_w), l->norm, 0);
    xl_layer_dropout(layer, c, d, 0);
    real *scratch = xl_arena_real(c->temp, c->op->rnn_scratch(l->cell, c->seq));
    op->rnn_bwd(s->gates, dw + l->R, dw + l->bias, d, s->h, s->tape, w + l->R, l->cell, c->seq,
                xl_layer_state(layer, c, past_inputs(l)), scratch);

    xl_view dc = l->K > 0 ? xl_arena_view(c->temp, N, D) : dx;
    for (int g = 3; g >= 0; g--) { /* z and o write dx first, i and f add to dc, which may be dx */
        xl_view dg = xl_cols(s->gates, g * dh, 4 * D - g * dh);
        int first = g == 3 || (g == 1 && l->K > 0);
        op->heads_dw(dw + l->gates[g], NULL, g < 2 ? s->c : x, dg, l->gate);
        op->heads_dx(g < 2 ? dc : dx, dg, w + l->gates[g], l->gate, !first);
    }
    if (l->K > 0)
        op->conv_bwd(dx, dw + l->conv, dw + l->conv_bias, dc, x, w + l->conv, w + l->conv_bias, l->K, c->seq,
                     xl_layer_state(layer, c, 0), 1);
}

const xl_layer_kind xl_layer_slstm = {
    .name = "slstm",
    .reads = XL_READS(slstm_heads) | XL_READS(slstm_conv) | XL_READS(slstm_lstm) |
             XL_READS(slstm_recurrent_cut) | XL_READS(slstm_group_norm_weight) |
             XL_READS(slstm_forward_clip) | XL_READS(slstm_recurrent_clip),
    .reads_instead = XL_READS(num_heads),
    .resolve = resolve,
    .check = check,
    .size = sizeof(slstm),
    .saved_size = sizeof(slstm_saved),
    .declare = declare,
    .forward = forward,
    .backward = backward,
};
const xl_layer_kind xl_layer_slstm_bare = {
    .name = "slstm_bare",
    .size = sizeof(slstm),
    .saved_size = sizeof(slstm_saved),
    .declare = declare_bare,
    .forward = forward,
    .backward = backward,
};
