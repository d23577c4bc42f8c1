/* The mLSTM layer of the xLSTM paper (pre up-projection): conv, block-diagonal q k v, cell, norm, skip, gate.
 */
#include "base/check.h"
#include "layer/layer.h"
#include <assert.h>

typedef struct {
    xl_layer base;
    int inner, K;
    xl_heads blocks; /* of q, k, v */
    xl_mlstm cell;
    xl_norm norm;
    size_t up, up_bias, q, k, v, qkv_bias, conv, conv_bias, gates, gates_bias, outnorm, skip, down, down_bias;
} mlstm;

typedef struct {
    xl_view up;    /* [N, 2*inner] = a, z */
    xl_view c;     /* [N, inner] after convolution and SiLU */
    xl_view qkv;   /* [N, 3*inner] */
    xl_view gates; /* [N, 2*H] = i, f */
    xl_view h;     /* [N, inner] */
    xl_view hn;    /* [N, inner] */
    xl_view y;     /* [N, inner], before the down projection */
    xl_mlstm_tape cell;
} mlstm_saved;

int xl_mlstm_inner(const xlstm_config *c) {
    return c->mlstm_inner > 0 ? c->mlstm_inner : xl_round_up(c->embedding_dim, c->mlstm_proj_factor, 64);
}

static xl_gates if_of(xl_view gates, int H) {
    return (xl_gates){xl_cols(gates, 0, H), xl_cols(gates, H, H)};
}

xl_mlstm_tape xl_mlstm_forward(const xl_call *c, xl_mlstm cell, xl_view h, xl_qkv in, xl_view gates,
                               xl_state state) {
    xl_mlstm_tape tape = {0};
    int H = cell.H;
    if (c->train) {
        uint64_t tokens = xl_tokens(c), chunks = (c->seq.T + cell.L - 1) / cell.L;
        tape.m = xl_arena_real(c->keep, tokens * H);
        tape.den = xl_arena_real(c->keep, tokens * H);
        tape.borders = xl_arena_real(c->keep, c->seq.B * H * chunks * xl_mlstm_state(cell));
    }
    size_t mark = xl_arena_mark(c->temp);
    real *scratch = xl_arena_real(c->temp, c->op->mlstm_scratch(cell, c->seq));
    c->op->mlstm(h, tape, in, if_of(gates, H), cell, c->seq, state, scratch);
    xl_arena_release(c->temp, mark);
    return tape;
}

void xl_mlstm_backward(const xl_call *c, xl_mlstm cell, xl_qkv d, xl_view dgates, xl_view dh, xl_view h,
                       xl_mlstm_tape tape, xl_qkv in, xl_view gates, xl_state state) {
    int H = cell.H;
    size_t mark = xl_arena_mark(c->temp);
    real *scratch = xl_arena_real(c->temp, c->op->mlstm_scratch(cell, c->seq));
    c->op->mlstm_bwd(d, if_of(dgates, H), dh, h, tape, in, if_of(gates, H), cell, c->seq, state, scratch);
    xl_arena_release(c->temp, mark);
}

static void resolve(xlstm_config *c) {
    c->mlstm_heads = xl_mlstm_heads(c);
    c->mlstm_inner = xl_mlstm_inner(c);
    c->mlstm_eps = xl_mlstm_eps(c);
}

static xlstm_status check(const xlstm_config *c) {
    int inner = xl_mlstm_inner(c), blocks = xl_qkv_blocks(inner, c->mlstm_qkv_blocksize);
    if (blocks < 1 || inner % blocks)
        return xl_fail(XLSTM_E_CONFIG,
                       "mlstm_qkv_blocksize is %d; it must divide the mLSTM's inner width, which is %d",
                       c->mlstm_qkv_blocksize, inner);
    return xl_check_divides("the number of mLSTM heads", xl_mlstm_heads(c), "the mLSTM's inner width", inner);
}

static void declare(xl_layer *layer, const xl_layer_spec *s, xl_layout *p) {
    mlstm *l = (mlstm *)layer;
    const xlstm_config *c = s->config;
    int D = s->in, I = xl_mlstm_inner(c);
    int H = xl_mlstm_heads(c), dh = I / H, bias = c->bias;
    l->inner = I;
    l->K = c->mlstm_conv;
    int blocks = xl_qkv_blocks(I, c->mlstm_qkv_blocksize);
    assert(blocks > 0 && "an unchecked configuration");
    int bs = I / blocks;
    l->blocks = (xl_heads){blocks, bs, bs, bs};
    l->cell = (xl_mlstm){H, dh, dh, c->chunk_size, (real)xl_mlstm_eps(c), 1};
    l->norm = (xl_norm){H, 0, 1, (real)1e-5}; /* of each head; its eps is no field of a configuration */
    xl_shape block = XL_SHAPE3(blocks, bs, bs);

    l->skip = xl_param_add(p, "learnable_skip", xl_init_constant(1), XL_NO_DECAY, XL_SHAPE1(I));
    l->up = xl_param_add(p, "proj_up.weight", xl_init_small(D), XL_MATRIX, XL_SHAPE2(2 * I, D));
    l->up_bias =
        bias ? xl_param_add(p, "proj_up.bias", xl_init_constant(0), XL_NO_DECAY, XL_SHAPE1(2 * I)) : XL_NONE;
    l->q = xl_param_add(p, "q_proj.weight", xl_init_small(D), XL_DECAY, block);
    l->k = xl_param_join(p, "k_proj.weight", xl_init_small(D), XL_DECAY, block);
    l->v = xl_param_join(p, "v_proj.weight", xl_init_small(D), XL_DECAY, block);
    l->qkv_bias = XL_NONE;
    if (bias) {
        l->qkv_bias = xl_param_add(p, "q_proj.bias", xl_init_constant(0), XL_NO_DECAY, XL_SHAPE1(I));
        xl_param_join(p, "k_proj.bias", xl_init_constant(0), XL_NO_DECAY, XL_SHAPE1(I));
        xl_param_join(p, "v_proj.bias", xl_init_constant(0), XL_NO_DECAY, XL_SHAPE1(I));
    }
    double bound = 1 / sqrt(l->K); /* the package leaves its convolution at PyTorch's default */
    l->conv = xl_param_add(p, "conv1d.conv.weight", xl_init_uniform(bound), XL_DECAY, XL_SHAPE3(I, 1, l->K));
    l->conv_bias = xl_param_add(p, "conv1d.conv.bias", xl_init_uniform(bound), XL_NO_DECAY, XL_SHAPE1(I));
    l->gates =
        xl_param_add(p, "mlstm_cell.igate.weight", xl_init_constant(0), XL_MATRIX, XL_SHAPE2(H, 3 * I));
    xl_param_join(p, "mlstm_cell.fgate.weight", xl_init_constant(0), XL_MATRIX, XL_SHAPE2(H, 3 * I));
    l->gates_bias = xl_param_add(p, "mlstm_cell.igate.bias", xl_init_normal(0.1), XL_NO_DECAY, XL_SHAPE1(H));
    xl_param_join(p, "mlstm_cell.fgate.bias", xl_init_linspace(3, 6), XL_NO_DECAY, XL_SHAPE1(H));
    l->outnorm = xl_param_add(p, "mlstm_cell.outnorm.weight", xl_init_constant(0), XL_NO_DECAY, XL_SHAPE1(I));
    l->down = xl_param_add(p, "proj_down.weight", xl_init_wang(D, c->num_blocks), XL_MATRIX, XL_SHAPE2(D, I));
    l->down_bias =
        bias ? xl_param_add(p, "proj_down.bias", xl_init_constant(0), XL_NO_DECAY, XL_SHAPE1(D)) : XL_NONE;
    /* a stream: | inputs of the convolution, K-1 x I | head 0: C dk x dv, n dk, m | head 1 ... | */
    layer->state_size = (uint64_t)(l->K - 1) * I + H * xl_mlstm_state(l->cell);
}

/* The part of the bias of q, k, v that belongs to one of them. */
static size_t qkv_bias_of(const mlstm *l, int which) {
    return l->qkv_bias == XL_NONE ? XL_NONE : l->qkv_bias + which * l->inner;
}

/* The blocks of one of q, k, v end to end. They are small beside the other matrices and never packed. */
static xl_matrix blocks_at(const mlstm *l, const real *W) {
    return xl_real_matrix(W, l->inner, l->blocks.in);
}

static void forward(const xl_layer *layer, const xl_call *c, void *saved, xl_view y, xl_view x) {
    const mlstm *l = (const mlstm *)layer;
    mlstm_saved *s = saved;
    const xl_ops *op = c->op;
    const real *w = c->w;
    int N = xl_tokens(c), I = l->inner, H = l->cell.H;

    s->up = xl_arena_view(c->keep, N, 2 * I);
    xl_linear(c, s->up, x, l->up, l->up_bias);
    xl_view a = xl_cols(s->up, 0, I), z = xl_cols(s->up, I, I);

    s->c = xl_arena_view(c->keep, N, I);
    op->conv(s->c, a, w + l->conv, w + l->conv_bias, l->K, c->seq, xl_layer_state(layer, c, 0));

    s->qkv = xl_arena_view(c->keep, N, 3 * I);
    xl_view q = xl_cols(s->qkv, 0, I), k = xl_cols(s->qkv, I, I), v = xl_cols(s->qkv, 2 * I, I);
    op->heads(q, s->c, blocks_at(l, w + l->q), xl_weight(w, qkv_bias_of(l, 0)), l->blocks);
    op->heads(k, s->c, blocks_at(l, w + l->k), xl_weight(w, qkv_bias_of(l, 1)), l->blocks);
    op->heads(v, a, blocks_at(l, w + l->v), xl_weight(w, qkv_bias_of(l, 2)), l->blocks);
    s->gates = xl_arena_view(c->keep, N, 2 * H);
    xl_linear(c, s->gates, s->qkv, l->gates, l->gates_bias);

    s->h = xl_arena_view(c->keep, N, I);
    s->cell = xl_mlstm_forward(c, l->cell, s->h, (xl_qkv){q, k, v}, s->gates,
                               xl_layer_state(layer, c, (size_t)(l->K - 1) * I));
    s->hn = xl_arena_view(c->keep, N, I);
    op->norm(s->hn, s->h, w + l->outnorm, NULL, l->norm);
    s->y = xl_arena_view(c->keep, N, I);
    op->skip_gate(s->y, s->hn, s->c, z, w + l->skip);
    xl_linear(c, y, s->y, l->down, l->down_bias);
    xl_layer_dropout(layer, c, y, 0);
}

static void backward(const xl_layer *layer, const xl_call *c, const void *saved, xl_view dx, xl_view x,
                     xl_view dy) {
    const mlstm *l = (const mlstm *)layer;
    const mlstm_saved *s = saved;
    const xl_ops *op = c->op;
    const real *w = c->w;
    real *dw = c->dw;
    int N = xl_tokens(c), I = l->inner, H = l->cell.H;
    xl_view a = xl_cols(s->up, 0, I), z = xl_cols(s->up, I, I);

    /* c is read by q, k and the skip, a by v and the convolution: who comes first sets the gradient, the
     * others add to it. dh is that of y until norm_bwd makes it that of h. */
    xl_layer_dropout(layer, c, dy, 0);
    xl_view dh = xl_arena_view(c->temp, N, I), dhn = xl_arena_view(c->temp, N, I),
            dc = xl_arena_view(c->temp, N, I);
    xl_view dup = xl_arena_view(c->temp, N, 2 * I), da = xl_cols(dup, 0, I), dz = xl_cols(dup, I, I);
    op->linear_dw(dw + l->down, xl_gradient(dw, l->down_bias), s->y, dy);
    op->linear_dx(dh, dy, w + l->down, 0);
    op->skip_gate_bwd(dhn, dc, dz, dw + l->skip, dh, s->hn, s->c, z, w + l->skip);
    op->norm_bwd(dh, dw + l->outnorm, NULL, dhn, s->h, w + l->outnorm, l->norm, 0);

    xl_view q = xl_cols(s->qkv, 0, I), k = xl_cols(s->qkv, I, I), v = xl_cols(s->qkv, 2 * I, I);
    xl_view dqkv = xl_arena_view(c->temp, N, 3 * I), dgates = xl_arena_view(c->temp, N, 2 * H);
    xl_view dq = xl_cols(dqkv, 0, I), dk = xl_cols(dqkv, I, I), dv = xl_cols(dqkv, 2 * I, I);
    xl_mlstm_backward(c, l->cell, (xl_qkv){dq, dk, dv}, dgates, dh, s->h, s->cell, (xl_qkv){q, k, v},
                      s->gates, xl_layer_state(layer, c, (size_t)(l->K - 1) * I));
    op->linear_dw(dw + l->gates, dw + l->gates_bias, s->qkv, dgates);
    op->linear_dx(dqkv, dgates, w + l->gates, 1);

    op->heads_dw(dw + l->q, xl_gradient(dw, qkv_bias_of(l, 0)), s->c, dq, l->blocks);
    op->heads_dw(dw + l->k, xl_gradient(dw, qkv_bias_of(l, 1)), s->c, dk, l->blocks);
    op->heads_dw(dw + l->v, xl_gradient(dw, qkv_bias_of(l, 2)), a, dv, l->blocks);
    op->heads_dx(dc, dq, w + l->q, l->blocks, 1);
    op->heads_dx(dc, dk, w + l->k, l->blocks, 1);
    op->heads_dx(da, dv, w + l->v, l->blocks, 0);
    op->conv_bwd(da, dw + l->conv, dw + l->conv_bias, dc, a, w + l->conv, w + l->conv_bias, l->K, c->seq,
                 xl_layer_state(layer, c, 0), 1);

    op->linear_dw(dw + l->up, xl_gradient(dw, l->up_bias), x, dup);
    op->linear_dx(dx, dup, w + l->up, 0);
}

const xl_layer_kind xl_layer_mlstm = {
    .name = "mlstm",
    .reads = XL_READS(mlstm_heads) | XL_READS(mlstm_inner) | XL_READS(mlstm_conv) |
             XL_READS(mlstm_qkv_blocksize) | XL_READS(mlstm_eps) | XL_READS(bias),
    .reads_instead = XL_READS(num_heads) | XL_READS(mlstm_proj_factor),
    .resolve = resolve,
    .check = check,
    .size = sizeof(mlstm),
    .saved_size = sizeof(mlstm_saved),
    .declare = declare,
    .forward = forward,
    .backward = backward,
};
