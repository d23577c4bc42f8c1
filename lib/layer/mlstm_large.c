/* The mLSTM layer of xLSTM-7B, and, without its norm and output projection, the bare mLSTM cell with its own
 * input projection. */
#include "base/check.h"
#include "layer/layer.h"

typedef struct {
    xl_layer base;
    int Dv, proj; /* width of v and o; width of q, k, v, o together */
    int bare;
    real cap;
    xl_mlstm cell;
    xl_norm norm;
    size_t qkvo, qkvo_bias, gates, gates_bias, norm_w, norm_b, out, out_bias;
} large;

typedef struct {
    xl_view qkvo;  /* [N, 2*H*dk + 2*Dv] */
    xl_view gates; /* [N, 2*H] = i, f, after the soft cap */
    xl_view h;     /* [N, Dv] */
    xl_view hn;    /* [N, Dv] after the norm; h if there is none */
    xl_view y;     /* [N, Dv] after the output gate */
    xl_mlstm_tape cell;
} large_saved;

static size_t biases(xl_layout *p, const large *l, int qk) {
    size_t at = xl_param_add(p, "q.bias", xl_init_constant(0), XL_NO_DECAY, XL_SHAPE1(qk));
    xl_param_join(p, "k.bias", xl_init_constant(0), XL_NO_DECAY, XL_SHAPE1(qk));
    xl_param_join(p, "v.bias", xl_init_constant(0), XL_NO_DECAY, XL_SHAPE1(l->Dv));
    xl_param_join(p, "ogate_preact.bias", xl_init_constant(0), XL_NO_DECAY, XL_SHAPE1(l->Dv));
    return at;
}

static void declare_projections(large *l, xl_layout *p, int in, int bias) {
    int H = l->cell.H, qk = H * l->cell.dk;
    l->proj = 2 * qk + 2 * l->Dv;
    l->qkvo = xl_param_add(p, "q.weight", xl_init_small(in), XL_MATRIX, XL_SHAPE2(qk, in));
    xl_param_join(p, "k.weight", xl_init_small(in), XL_MATRIX, XL_SHAPE2(qk, in));
    xl_param_join(p, "v.weight", xl_init_small(in), XL_MATRIX, XL_SHAPE2(l->Dv, in));
    xl_init ogate = l->bare ? xl_init_small(in) : xl_init_constant(0);
    xl_param_join(p, "ogate_preact.weight", ogate, XL_MATRIX, XL_SHAPE2(l->Dv, in));
    l->qkvo_bias = bias ? biases(p, l, qk) : XL_NONE;
    l->gates = xl_param_add(p, "igate_preact.weight", xl_init_constant(0), XL_MATRIX, XL_SHAPE2(H, in));
    xl_param_join(p, "fgate_preact.weight", xl_init_constant(0), XL_MATRIX, XL_SHAPE2(H, in));
    double igate = l->bare ? 0 : -10; /* the value released models started from */
    l->gates_bias = xl_param_add(p, "igate_preact.bias", xl_init_constant(igate), XL_NO_DECAY, XL_SHAPE1(H));
    xl_param_join(p, "fgate_preact.bias", xl_init_linspace(3, 6), XL_NO_DECAY, XL_SHAPE1(H));
    l->base.state_size = H * xl_mlstm_state(l->cell);
}

static void declare_cell(xl_layer *layer, const xl_layer_spec *s, xl_layout *p) {
    large *l = (large *)layer;
    int H = s->config->num_heads;
    l->bare = 1;
    l->Dv = s->out;
    l->cell = (xl_mlstm){H, s->out / H, s->out / H, s->config->chunk_size, (real)xl_mlstm_eps(s->config), 0};
    declare_projections(l, p, s->in, 1);
}

static void resolve(xlstm_config *c) {
    c->mlstm_eps = xl_mlstm_eps(c);
}

static xlstm_status check(const xlstm_config *c) {
    XL_TRY(xl_check_divides("num_heads", c->num_heads, "qk_dim_factor * embedding_dim",
                            xl_part(c->embedding_dim, c->qk_dim_factor)));
    return xl_check_divides("num_heads", c->num_heads, "v_dim_factor * embedding_dim",
                            xl_part(c->embedding_dim, c->v_dim_factor));
}

static void declare(xl_layer *layer, const xl_layer_spec *s, xl_layout *p) {
    large *l = (large *)layer;
    const xlstm_config *c = s->config;
    int D = s->in, H = c->num_heads, bias = c->bias;
    int qk = xl_part(D, c->qk_dim_factor);
    l->Dv = xl_part(D, c->v_dim_factor);
    l->cap = (real)c->gate_soft_cap;
    l->cell = (xl_mlstm){H, qk / H, l->Dv / H, c->chunk_size, (real)xl_mlstm_eps(c), 0};
    /* of each head, and a mean is taken away although the norms around it are RMS norms */
    l->norm = (xl_norm){H, 0, 0, (real)(c->norm_eps > 0 ? c->norm_eps : XL_RMSNORM_EPS)};
    declare_projections(l, p, D, bias);
    l->norm_w = xl_param_add(p, "multihead_norm.weight", xl_init_constant(1), XL_NO_DECAY, XL_SHAPE1(l->Dv));
    l->norm_b =
        bias ? xl_param_add(p, "multihead_norm.bias", xl_init_constant(0), XL_NO_DECAY, XL_SHAPE1(l->Dv))
             : XL_NONE;
    l->out =
        xl_param_add(p, "out_proj.weight", xl_init_wang(D, c->num_blocks), XL_MATRIX, XL_SHAPE2(D, l->Dv));
    l->out_bias =
        bias ? xl_param_add(p, "out_proj.bias", xl_init_constant(0), XL_NO_DECAY, XL_SHAPE1(D)) : XL_NONE;
}

/* The four slices of one [N, proj] buffer. */
typedef struct {
    xl_qkv in;
    xl_view o;
} slices;

static slices slice(const large *l, xl_view all) {
    int qk = l->cell.H * l->cell.dk;
    return (slices){{xl_cols(all, 0, qk), xl_cols(all, qk, qk), xl_cols(all, 2 * qk, l->Dv)},
                    xl_cols(all, 2 * qk + l->Dv, l->Dv)};
}

static void forward(const xl_layer *layer, const xl_call *c, void *saved, xl_view y, xl_view x) {
    const large *l = (const large *)layer;
    large_saved *s = saved;
    const xl_ops *op = c->op;
    const real *w = c->w;
    int N = xl_tokens(c), H = l->cell.H;

    s->qkvo = xl_arena_view(c->keep, N, l->proj);
    xl_linear(c, s->qkvo, x, l->qkvo, l->qkvo_bias);
    slices p = slice(l, s->qkvo);
    s->gates = xl_arena_view(c->keep, N, 2 * H);
    xl_linear(c, s->gates, x, l->gates, l->gates_bias);
    if (l->cap > 0)
        op->softcap(s->gates, s->gates, l->cap);

    s->h = xl_arena_view(c->keep, N, l->Dv);
    s->cell = xl_mlstm_forward(c, l->cell, s->h, p.in, s->gates, xl_layer_state(layer, c, 0));

    if (l->bare) {
        op->glu(y, p.o, s->h, XL_SIGMOID);
        return;
    }
    s->hn = xl_arena_view(c->keep, N, l->Dv);
    op->norm(s->hn, s->h, w + l->norm_w, xl_weight(w, l->norm_b), l->norm);
    s->y = xl_arena_view(c->keep, N, l->Dv);
    op->glu(s->y, p.o, s->hn, XL_SIGMOID);
    xl_linear(c, y, s->y, l->out, l->out_bias);
    xl_layer_dropout(layer, c, y, 0);
}

static void backward(const xl_layer *layer, const xl_call *c, const void *saved, xl_view dx, xl_view x,
                     xl_view dy) {
    const large *l = (const large *)layer;
    const large_saved *s = saved;
    const xl_ops *op = c->op;
    const real *w = c->w;
    real *dw = c->dw;
    int N = xl_tokens(c), H = l->cell.H;
    slices p = slice(l, s->qkvo);

    xl_view dqkvo = xl_arena_view(c->temp, N, l->proj), dgates = xl_arena_view(c->temp, N, 2 * H);
    slices d = slice(l, dqkvo);
    xl_view dh = xl_arena_view(c->temp, N, l->Dv);
    if (l->bare) {
        op->glu_bwd(d.o, dh, dy, p.o, s->h, XL_SIGMOID);
    } else {
        xl_view dhn = xl_arena_view(c->temp, N, l->Dv);
        xl_layer_dropout(layer, c, dy, 0);
        op->linear_dw(dw + l->out, xl_gradient(dw, l->out_bias), s->y, dy);
        op->linear_dx(dh, dy, w + l->out, 0);
        op->glu_bwd(d.o, dhn, dh, p.o, s->hn, XL_SIGMOID);
        op->norm_bwd(dh, dw + l->norm_w, xl_gradient(dw, l->norm_b), dhn, s->h, w + l->norm_w, l->norm, 0);
    }
    xl_mlstm_backward(c, l->cell, d.in, dgates, dh, s->h, s->cell, p.in, s->gates,
                      xl_layer_state(layer, c, 0));
    if (l->cap > 0) /* tanh's derivative is a function of its value, which is what was kept */
        op->softcap_bwd(dgates, dgates, s->gates, l->cap);
    op->linear_dw(dw + l->gates, dw + l->gates_bias, x, dgates);
    op->linear_dw(dw + l->qkvo, xl_gradient(dw, l->qkvo_bias), x, dqkvo);
    op->linear_dx(dx, dqkvo, w + l->qkvo, 0);
    op->linear_dx(dx, dgates, w + l->gates, 1);
}

const xl_layer_kind xl_layer_mlstm_large = {
    .name = "mlstm_large",
    .reads = XL_READS(num_heads) | XL_READS(qk_dim_factor) | XL_READS(v_dim_factor) |
             XL_READS(gate_soft_cap) | XL_READS(mlstm_eps) | XL_READS(norm_eps) | XL_READS(bias),
    .resolve = resolve,
    .check = check,
    .size = sizeof(large),
    .saved_size = sizeof(large_saved),
    .declare = declare,
    .forward = forward,
    .backward = backward,
};
const xl_layer_kind xl_layer_mlstm_cell = {
    .name = "mlstm_cell",
    .reads = XL_READS(num_heads) | XL_READS(mlstm_eps),
    .resolve = resolve,
    .size = sizeof(large),
    .saved_size = sizeof(large_saved),
    .declare = declare_cell,
    .forward = forward,
    .backward = backward,
};
