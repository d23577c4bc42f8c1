/* variate.c - attention of a forecasting model's rows to the other rows of their group, at each token by
 * itself (TiRex-2, arXiv 2607.01204). No positions: the order of rows does not matter. */
#include "layer/layer.h"

typedef struct {
    xl_layer base;
    int H, qk_norm;
    xl_norm norm;
    size_t qkv, out;
} variate;

typedef struct {
    xl_view qkv; /* [N, 3*D] as projected */
    xl_view qk;  /* [N, 2*D] after their norm; those of qkv if there is none */
    xl_view y;   /* [N, D] */
    real *lse;   /* [N, H] */
} variate_saved;

static void declare(xl_layer *layer, const xl_layer_spec *s, xl_layout *p) {
    variate *l = (variate *)layer;
    int D = s->in;
    xl_init small = xl_init_small(D);
    l->H = s->heads;
    l->qk_norm = s->qk_norm;
    /* of each head of queries and keys; the eps is a float's machine epsilon, in double too */
    l->norm = (xl_norm){2 * l->H, 1, 0, (real)1.1920929e-07};
    l->qkv = xl_param_add(p, "WQ.weight", small, XL_MATRIX, XL_SHAPE2(D, D));
    xl_param_join(p, "WK.weight", small, XL_MATRIX, XL_SHAPE2(D, D));
    xl_param_join(p, "WV.weight", small, XL_MATRIX, XL_SHAPE2(D, D));
    l->out = xl_param_add(p, "WO.weight", xl_init_wang(D, s->config->num_blocks), XL_MATRIX, XL_SHAPE2(D, D));
}

static xl_qkv slice(xl_view qk, xl_view v, int D) {
    return (xl_qkv){xl_cols(qk, 0, D), xl_cols(qk, D, D), v};
}

static void forward(const xl_layer *layer, const xl_call *c, void *saved, xl_view y, xl_view x) {
    const variate *l = (const variate *)layer;
    variate_saved *s = saved;
    int N = xl_tokens(c), D = layer->in;
    s->qkv = xl_arena_view(c->keep, N, 3 * D);
    xl_linear(c, s->qkv, x, l->qkv, XL_NONE);
    s->qk = xl_cols(s->qkv, 0, 2 * D);
    if (l->qk_norm) {
        s->qk = xl_arena_view(c->keep, N, 2 * D);
        c->op->norm(s->qk, xl_cols(s->qkv, 0, 2 * D), NULL, NULL, l->norm);
    }
    s->y = xl_arena_view(c->keep, N, D);
    s->lse = c->train ? xl_arena_real(c->keep, (uint64_t)N * l->H) : NULL;
    c->op->group_attention(s->y, s->lse, slice(s->qk, xl_cols(s->qkv, 2 * D, D), D), l->H, c->seq, c->groups);
    xl_linear(c, y, s->y, l->out, XL_NONE);
}

static void backward(const xl_layer *layer, const xl_call *c, const void *saved, xl_view dx, xl_view x,
                     xl_view dy) {
    const variate *l = (const variate *)layer;
    const variate_saved *s = saved;
    int N = xl_tokens(c), D = layer->in;
    xl_view d = xl_arena_view(c->temp, N, D), dqkv = xl_arena_view(c->temp, N, 3 * D);
    xl_view dqk = xl_cols(dqkv, 0, 2 * D);
    c->op->linear_dw(c->dw + l->out, NULL, s->y, dy);
    c->op->linear_dx(d, dy, c->w + l->out, 0);
    xl_view dnormed = l->qk_norm ? xl_arena_view(c->temp, N, 2 * D) : dqk;
    c->op->group_attention_bwd(slice(dnormed, xl_cols(dqkv, 2 * D, D), D), d, s->y, s->lse,
                               slice(s->qk, xl_cols(s->qkv, 2 * D, D), D), l->H, c->seq, c->groups);
    if (l->qk_norm)
        c->op->norm_bwd(dqk, NULL, NULL, dnormed, xl_cols(s->qkv, 0, 2 * D), NULL, l->norm, 0);
    c->op->linear_dw(c->dw + l->qkv, NULL, x, dqkv);
    c->op->linear_dx(dx, dqkv, c->w + l->qkv, 0);
}

const xl_layer_kind xl_layer_variate = {
    .name = "variate",
    .size = sizeof(variate),
    .saved_size = sizeof(variate_saved),
    .declare = declare,
    .forward = forward,
    .backward = backward,
};
