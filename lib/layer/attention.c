/* Causal multi-head attention with rotary positions; its state is the cache of keys and values. */
#include "base/check.h"
#include "layer/layer.h"

typedef struct {
    xl_layer base;
    xl_attention dims;
    size_t qkv, out;
} attention;

typedef struct {
    xl_view qkv; /* [N, 3*D], q and k rotated */
    xl_view y;   /* [N, D] */
    real *lse;   /* [N, H] */
} attention_saved;

static xlstm_status check(const xlstm_config *c) {
    XL_TRY(xl_check_divides("num_heads", c->num_heads, "embedding_dim", c->embedding_dim));
    if (c->embedding_dim / c->num_heads % 2)
        return xl_fail(XLSTM_E_CONFIG,
                       "attention heads have %d numbers; rotary positions need an even head size",
                       c->embedding_dim / c->num_heads);
    return XLSTM_OK;
}

static void declare(xl_layer *layer, const xl_layer_spec *s, xl_layout *p) {
    attention *l = (attention *)layer;
    int D = s->in, H = s->config->num_heads;
    l->dims = (xl_attention){H, D / H, s->config->context_length};
    l->qkv = xl_param_add(p, "q.weight", xl_init_small(D), XL_MATRIX, XL_SHAPE2(D, D));
    xl_param_join(p, "k.weight", xl_init_small(D), XL_MATRIX, XL_SHAPE2(D, D));
    xl_param_join(p, "v.weight", xl_init_small(D), XL_MATRIX, XL_SHAPE2(D, D));
    l->out =
        xl_param_add(p, "out.weight", xl_init_wang(D, s->config->num_blocks), XL_MATRIX, XL_SHAPE2(D, D));
    layer->state_size = xl_attention_state(l->dims);
}

static xl_qkv thirds(xl_view qkv, int D) {
    return (xl_qkv){xl_cols(qkv, 0, D), xl_cols(qkv, D, D), xl_cols(qkv, 2 * D, D)};
}

static void forward(const xl_layer *layer, const xl_call *c, void *saved, xl_view y, xl_view x) {
    const attention *l = (const attention *)layer;
    attention_saved *s = saved;
    int N = xl_tokens(c), D = layer->in, H = l->dims.H;
    xl_state state = xl_layer_state(layer, c, 0);
    s->qkv = xl_arena_view(c->keep, N, 3 * D);
    xl_linear(c, s->qkv, x, l->qkv, XL_NONE);
    xl_qkv in = thirds(s->qkv, D);
    c->op->rope(in.q, H, 1, c->seq, state);
    c->op->rope(in.k, H, 1, c->seq, state);
    s->y = xl_arena_view(c->keep, N, D);
    s->lse = c->train ? xl_arena_real(c->keep, (uint64_t)N * H) : NULL;
    size_t mark = xl_arena_mark(c->temp);
    real *scratch = xl_arena_real(c->temp, c->op->attention_scratch(l->dims, c->seq));
    c->op->attention(s->y, s->lse, in, l->dims, c->seq, state, scratch);
    xl_arena_release(c->temp, mark);
    xl_linear(c, y, s->y, l->out, XL_NONE);
    xl_layer_dropout(layer, c, y, 0);
}

static void backward(const xl_layer *layer, const xl_call *c, const void *saved, xl_view dx, xl_view x,
                     xl_view dy) {
    const attention *l = (const attention *)layer;
    const attention_saved *s = saved;
    int N = xl_tokens(c), D = layer->in, H = l->dims.H;
    xl_view d = xl_arena_view(c->temp, N, D), dqkv = xl_arena_view(c->temp, N, 3 * D);
    xl_qkv din = thirds(dqkv, D);
    xl_layer_dropout(layer, c, dy, 0);
    c->op->linear_dw(c->dw + l->out, NULL, s->y, dy);
    c->op->linear_dx(d, dy, c->w + l->out, 0);
    real *scratch = xl_arena_real(c->temp, c->op->attention_scratch(l->dims, c->seq));
    c->op->attention_bwd(din, d, s->y, s->lse, thirds(s->qkv, D), l->dims, c->seq, scratch);
    c->op->rope(din.q, H, -1, c->seq, xl_layer_state(layer, c, 0));
    c->op->rope(din.k, H, -1, c->seq, xl_layer_state(layer, c, 0));
    c->op->linear_dw(c->dw + l->qkv, NULL, x, dqkv);
    c->op->linear_dx(dx, dqkv, c->w + l->qkv, 0);
}

const xl_layer_kind xl_layer_attention = {
    .name = "attention",
    .reads = XL_READS(num_heads) | XL_READS(context_length),
    .check = check,
    .whole_sequence = 1,
    .size = sizeof(attention),
    .saved_size = sizeof(attention_saved),
    .declare = declare,
    .forward = forward,
    .backward = backward,
};
