/* mlp.c - feed-forward halves without a gate, y = out(act(in(x))): bare, and with biases and a straight way
 * beside it, which is what a forecasting model (TiRex-2, arXiv 2607.01204) has at both its ends. */
#include "layer/layer.h"
#include <stdio.h>
#include <string.h>

typedef struct {
    xl_layer base;
    int inner;
    xl_act act;
    size_t in, in_bias, out, out_bias, straight, straight_bias; /* XL_NONE: there is none */
} mlp;

typedef struct {
    xl_view h; /* [N, inner] before the activation */
    xl_view a; /* [N, inner] after it */
} mlp_saved;

static void declare(xl_layer *layer, const xl_layer_spec *s, xl_layout *p) {
    mlp *l = (mlp *)layer;
    int I = l->inner = s->inner;
    l->act = s->act;
    l->in = xl_param_add(p, "wi.weight", xl_init_small(s->in), XL_MATRIX, XL_SHAPE2(I, s->in));
    l->out =
        xl_param_add(p, "wo.weight", xl_init_wang(I, s->config->num_blocks), XL_MATRIX, XL_SHAPE2(s->out, I));
    l->in_bias = l->out_bias = l->straight = l->straight_bias = XL_NONE;
}

/* A matrix and its bias, as torch begins them. */
static size_t declare_linear(xl_layout *p, const char *name, int in, int out, size_t *bias) {
    xl_init init = xl_init_uniform(1 / sqrt(in));
    char prefix[sizeof p->prefix];
    memcpy(prefix, p->prefix, sizeof prefix);
    snprintf(p->prefix, sizeof p->prefix, "%.50s%.20s.", prefix, name);
    size_t at = xl_param_add(p, "weight", init, XL_MATRIX, XL_SHAPE2(out, in));
    *bias = xl_param_add(p, "bias", init, XL_NO_DECAY, XL_SHAPE1(out));
    memcpy(p->prefix, prefix, sizeof prefix);
    return at;
}

static void declare_residual(xl_layer *layer, const xl_layer_spec *s, xl_layout *p) {
    mlp *l = (mlp *)layer;
    l->inner = s->inner;
    l->act = s->act;
    l->in = declare_linear(p, "hidden_layer", s->in, s->inner, &l->in_bias);
    l->out = declare_linear(p, "output_layer", s->inner, s->out, &l->out_bias);
    l->straight = declare_linear(p, "residual_layer", s->in, s->out, &l->straight_bias);
}

static void forward(const xl_layer *layer, const xl_call *c, void *saved, xl_view y, xl_view x) {
    const mlp *l = (const mlp *)layer;
    mlp_saved *s = saved;
    int N = xl_tokens(c);
    s->h = xl_arena_view(c->keep, N, l->inner);
    xl_linear(c, s->h, x, l->in, l->in_bias);
    s->a = c->train ? xl_arena_view(c->keep, N, l->inner) : s->h;
    c->op->act(s->a, s->h, l->act);
    xl_linear(c, y, s->a, l->out, l->out_bias);
    if (l->straight != XL_NONE) {
        size_t mark = xl_arena_mark(c->temp);
        xl_view straight = xl_arena_view(c->temp, N, layer->out);
        xl_linear(c, straight, x, l->straight, l->straight_bias);
        c->op->add(y, straight);
        xl_arena_release(c->temp, mark);
    }
}

static void backward(const xl_layer *layer, const xl_call *c, const void *saved, xl_view dx, xl_view x,
                     xl_view dy) {
    const mlp *l = (const mlp *)layer;
    const mlp_saved *s = saved;
    xl_view d = xl_arena_view(c->temp, xl_tokens(c), l->inner);
    c->op->linear_dw(c->dw + l->out, xl_gradient(c->dw, l->out_bias), s->a, dy);
    c->op->linear_dx(d, dy, c->w + l->out, 0);
    c->op->act_bwd(d, d, s->h, l->act);
    c->op->linear_dw(c->dw + l->in, xl_gradient(c->dw, l->in_bias), x, d);
    c->op->linear_dx(dx, d, c->w + l->in, 0);
    if (l->straight != XL_NONE) {
        c->op->linear_dw(c->dw + l->straight, c->dw + l->straight_bias, x, dy);
        c->op->linear_dx(dx, dy, c->w + l->straight, 1);
    }
}

const xl_layer_kind xl_layer_mlp = {
    .name = "mlp",
    .size = sizeof(mlp),
    .saved_size = sizeof(mlp_saved),
    .declare = declare,
    .forward = forward,
    .backward = backward,
};
const xl_layer_kind xl_layer_residual_mlp = {
    .name = "residual_mlp",
    .size = sizeof(mlp),
    .saved_size = sizeof(mlp_saved),
    .declare = declare_residual,
    .forward = forward,
    .backward = backward,
};
