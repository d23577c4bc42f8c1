/* Gated feed-forward: down( act(gate) * up ). Two spellings: the paper's one matrix with gate rows first, and
 * the large family's two names (SwiGLU); the numbers lie the same way. */
#include "layer/layer.h"

typedef struct {
    xl_layer base;
    int inner;
    xl_act act;
    real dropout; /* its own; 0: the call's; negative: none */
    size_t up, up_bias, down, down_bias;
} ffn;

typedef struct {
    xl_view gu; /* [N, 2*inner] */
    xl_view y;  /* [N, inner] */
} ffn_saved;

int xl_ffn_inner(const xlstm_config *c) {
    return c->ffn_inner > 0 ? c->ffn_inner
                            : xl_round_up(c->embedding_dim, c->ffn_proj_factor, c->ffn_round_up);
}

static void resolve(xlstm_config *c) {
    c->ffn_inner = xl_ffn_inner(c);
}

/* The paper's sLSTM block may go without. */
static int there(const xlstm_config *c) {
    return c->ffn;
}

static void declare_down(ffn *l, const xl_layer_spec *s, xl_layout *p, int bias, xl_init init) {
    l->down = xl_param_add(p, "proj_down.weight", init, XL_MATRIX, XL_SHAPE2(s->out, l->inner));
    l->down_bias =
        bias ? xl_param_add(p, "proj_down.bias", xl_init_constant(0), XL_NO_DECAY, XL_SHAPE1(s->out))
             : XL_NONE;
}

_Static_assert((int)XLSTM_GELU == XL_GELU && (int)XLSTM_RELU == XL_RELU && (int)XLSTM_RELU2 == XL_RELU2 &&
                   (int)XLSTM_SIGMOID == XL_SIGMOID && (int)XLSTM_SWISH == XL_SILU &&
                   (int)XLSTM_SELU == XL_SELU,
               "one order");

static void declare(xl_layer *layer, const xl_layer_spec *s, xl_layout *p) {
    ffn *l = (ffn *)layer;
    int D = s->in, I = l->inner = xl_ffn_inner(s->config), bias = s->config->ffn_bias;
    l->act = (xl_act)s->config->ffn_act;
    l->dropout = s->config->ffn_dropout;
    l->up = xl_param_add(p, "proj_up.weight", xl_init_small(D), XL_MATRIX, XL_SHAPE2(2 * I, D));
    l->up_bias =
        bias ? xl_param_add(p, "proj_up.bias", xl_init_constant(0), XL_NO_DECAY, XL_SHAPE1(2 * I)) : XL_NONE;
    declare_down(l, s, p, bias, xl_init_wang(D, s->config->num_blocks));
}

static void declare_swiglu(xl_layer *layer, const xl_layer_spec *s, xl_layout *p) {
    ffn *l = (ffn *)layer;
    int D = s->in, I = l->inner = xl_ffn_inner(s->config), bias = s->config->bias;
    xl_init gate = s->zero_gate ? xl_init_constant(0) : xl_init_small(D);
    l->act = XL_SILU;
    l->up = xl_param_add(p, "proj_up_gate.weight", gate, XL_MATRIX, XL_SHAPE2(I, D));
    xl_param_join(p, "proj_up.weight", xl_init_small(D), XL_MATRIX, XL_SHAPE2(I, D));
    l->up_bias = XL_NONE;
    if (bias) {
        l->up_bias = xl_param_add(p, "proj_up_gate.bias", xl_init_constant(0), XL_NO_DECAY, XL_SHAPE1(I));
        xl_param_join(p, "proj_up.bias", xl_init_constant(0), XL_NO_DECAY, XL_SHAPE1(I));
    }
    declare_down(l, s, p, bias, xl_init_wang(s->zero_gate ? I : D, s->config->num_blocks));
}

/* (xl_layer_dropout() drops nothing where the rate is negative) */
static void drop(const ffn *l, const xl_call *c, xl_view y) {
    xl_call own = *c;
    if (l->dropout != 0)
        own.dropout = c->dropping ? l->dropout : 0;
    xl_layer_dropout(&l->base, &own, y, 0);
}

static void forward(const xl_layer *layer, const xl_call *c, void *saved, xl_view y, xl_view x) {
    const ffn *l = (const ffn *)layer;
    ffn_saved *s = saved;
    int N = xl_tokens(c), I = l->inner;
    s->gu = xl_arena_view(c->keep, N, 2 * I);
    xl_linear(c, s->gu, x, l->up, l->up_bias);
    s->y = xl_arena_view(c->keep, N, I);
    c->op->glu(s->y, xl_cols(s->gu, 0, I), xl_cols(s->gu, I, I), l->act);
    xl_linear(c, y, s->y, l->down, l->down_bias);
    drop(l, c, y);
}

static void backward(const xl_layer *layer, const xl_call *c, const void *saved, xl_view dx, xl_view x,
                     xl_view dy) {
    const ffn *l = (const ffn *)layer;
    const ffn_saved *s = saved;
    int N = xl_tokens(c), I = l->inner;
    xl_view d = xl_arena_view(c->temp, N, I), dgu = xl_arena_view(c->temp, N, 2 * I);
    drop(l, c, dy);
    c->op->linear_dw(c->dw + l->down, xl_gradient(c->dw, l->down_bias), s->y, dy);
    c->op->linear_dx(d, dy, c->w + l->down, 0);
    c->op->glu_bwd(xl_cols(dgu, 0, I), xl_cols(dgu, I, I), d, xl_cols(s->gu, 0, I), xl_cols(s->gu, I, I),
                   l->act);
    c->op->linear_dw(c->dw + l->up, xl_gradient(c->dw, l->up_bias), x, dgu);
    c->op->linear_dx(dx, dgu, c->w + l->up, 0);
}

const xl_layer_kind xl_layer_ffn = {
    .name = "ffn",
    .reads = XL_READS(ffn_inner) | XL_READS(ffn_act) | XL_READS(ffn_bias) | XL_READS(ffn_dropout),
    .reads_instead = XL_READS(ffn_proj_factor) | XL_READS(ffn_round_up),
    .resolve = resolve,
    .there = there,
    .switches = XL_READS(ffn),
    .size = sizeof(ffn),
    .saved_size = sizeof(ffn_saved),
    .declare = declare,
    .forward = forward,
    .backward = backward,
};
const xl_layer_kind xl_layer_swiglu = {
    .name = "swiglu",
    .reads = XL_READS(ffn_inner) | XL_READS(bias),
    .reads_instead = XL_READS(ffn_proj_factor) | XL_READS(ffn_round_up),
    .resolve = resolve,
    .size = sizeof(ffn),
    .saved_size = sizeof(ffn_saved),
    .declare = declare_swiglu,
    .forward = forward,
    .backward = backward,
};
