/* network.c - the network is a stack of sublayers, as every model here: the embedding, four to a block, the
 * head behind the last norm. Between them rows are left out twice: before what needs wanted tokens only, and
 * before the head, which is for targets. */
#include "base/error.h"
#include "base/mem.h"
#include "forecast/inside.h"
#include <stdio.h>
#include <string.h>

/* ---- declaring ---- */

static xl_act act_of(const struct xl_forecast_config *c) {
    static const xl_act acts[XL_FORECAST_ACTS] = {XL_SILU, XL_RELU, XL_GELU, XL_TANH};
    return acts[c->act];
}

typedef struct {
    const char *norm, *layer; /* names behind the prefix; norm NULL: none */
    const xl_layer_kind *kind;
    int residual;
    xl_rows_for rows;
    double eps;
} part;

static xlstm_status add(xlstm_module *m, const char *prefix, const part *p, xl_layer_spec spec) {
    xl_layout *l = &m->params;
    char name[40];
    size_t norm = XL_NONE;
    snprintf(l->prefix, sizeof l->prefix, "%s", prefix);
    if (p->norm) {
        snprintf(name, sizeof name, "%s.weight", p->norm);
        norm = xl_param_add(l, name, xl_init_constant(1), XL_NO_DECAY, XL_SHAPE1(spec.in));
    }
    snprintf(l->prefix, sizeof l->prefix, "%s%s", prefix, p->layer);
    xl_sublayer *s = NULL;
    XL_TRY(xl_module_add(m, p->kind, spec, &s));
    s->residual = p->residual;
    s->rows = p->rows;
    s->has_norm = p->norm != NULL;
    s->norm = (xl_norm){1, 1, 0, (real)p->eps};
    s->norm_w = norm;
    s->norm_b = XL_NONE;
    l->prefix[0] = 0;
    return XLSTM_OK;
}

enum { PER_BLOCK = 4, BEHIND_TIME = 3 }; /* sublayers of a block, and those that follow its time mixer */

static xlstm_status add_block(xlstm_module *m, const struct xl_forecast_config *c, int i) {
    const struct xl_forecast_block *b = &c->block[i];
    const double eps = XL_RMSNORM_EPS;
    const part parts[PER_BLOCK] = {
        {"time_mixer.norm_lstm", "time_mixer.", &xl_layer_two_way, 1, XL_ROWS_ALL, eps},
        {"time_mixer.norm_ffn", "time_mixer.ffn.", &xl_layer_swiglu, 1, XL_ROWS_ALL, eps},
        {"variate_mixer.norm_attn", "variate_mixer.attn.", &xl_layer_variate, 1, XL_ROWS_GROUPED, eps},
        {"variate_mixer.norm_ffn", "variate_mixer.ffn.", &xl_layer_mlp, 1, XL_ROWS_GROUPED, eps}};
    xlstm_config own = m->config; /* layers read it while they are declared */
    own.num_heads = b->heads;
    xl_layer_spec spec = {.config = &own,
                          .block = i,
                          .in = c->embedding_dim,
                          .out = c->embedding_dim,
                          .inner = 4 * c->embedding_dim,
                          .heads = b->heads,
                          .qk_norm = c->use_qk_norm,
                          .act = act_of(c),
                          .cell = b->slstm ? &xl_layer_slstm_bare : &xl_layer_mlstm_large};
    char prefix[32];
    snprintf(prefix, sizeof prefix, "stack.%d.", i);
    for (int p = 0; p < PER_BLOCK; p++) {
        spec.heads = p == 2 ? b->variate_heads : b->heads;
        XL_TRY(add(m, prefix, &parts[p], spec));
    }
    return XLSTM_OK;
}

static xlstm_status add_all(xlstm_module *m, const void *context) {
    const struct xl_forecast_config *c = context;
    const part embedding = {NULL, "input_patch_embedding.", &xl_layer_residual_mlp, 0, XL_ROWS_ALL, 0},
               head = {c->out_norm ? "stack_out_norm" : NULL,
                       "output_patch_embedding.",
                       &xl_layer_residual_mlp,
                       0,
                       XL_ROWS_ALL,
                       c->out_norm_eps};
    xl_layer_spec spec = {.config = &m->config,
                          .in = xl_forecast_entry(c),
                          .out = c->embedding_dim,
                          .inner = c->input_ff_dim,
                          .act = act_of(c)};
    XL_TRY(add(m, "", &embedding, spec));
    m->params.core = 1;
    for (int i = 0; i < c->num_blocks; i++)
        XL_TRY(add_block(m, c, i));
    m->params.core = 0;
    spec.in = c->embedding_dim;
    spec.out = xl_forecast_exit(c);
    spec.inner = (int)(c->embedding_dim * c->h_expand);
    return add(m, "", &head, spec);
}

/* What the layers read that are other models' too; all of it is the same in every forecasting model. */
static xlstm_config layers_config(const struct xl_forecast_config *c, xlstm_weights weights) {
    xlstm_config own;
    xlstm_config_init(&own, XLSTM_MLSTM_LARGE);
    own.num_blocks = c->num_blocks;
    own.embedding_dim = c->embedding_dim;
    own.qk_dim_factor = 0.5f;
    own.v_dim_factor = 1;
    own.gate_soft_cap = 15;
    own.ffn_inner = c->ffn_inner ? c->ffn_inner : ((int)(c->embedding_dim * 2.6667) + 63) / 64 * 64;
    own.bias = 0;
    own.weights = weights;
    return own;
}

static xlstm_status declare(xl_forecast_network *net, xlstm_weights weights) {
    const struct xl_forecast_config *c = &net->config;
    xlstm_config own = layers_config(c, weights);
    xlstm_module *m = NULL;
    xl_memory *memory;
    XL_TRY(xl_memory_chosen(&memory));
    XL_TRY(xl_module_start(&m, &own, 2 + PER_BLOCK * c->num_blocks, memory));
    m->first = m->in = xl_forecast_entry(c);
    m->width = m->out = xl_forecast_exit(c);
    net->last = 1 + PER_BLOCK * c->num_blocks - BEHIND_TIME;
    return xl_module_declare_parts(&net->m, m, add_all, c);
}

xlstm_status xl_forecast_network_declare(xl_forecast_network **out, const struct xl_forecast_config *c,
                                         xlstm_weights weights) {
    *out = NULL;
    XL_TRY(xl_forecast_config_check(c));
    xl_forecast_network *net = xl_alloc(sizeof *net);
    if (!net)
        return xl_no_memory(sizeof *net, "a network");
    net->config = *c;
    xlstm_status status = declare(net, weights);
    if (status == XLSTM_OK)
        *out = net;
    else
        xl_free(net);
    return status;
}

xlstm_status xl_forecast_network_create(xl_forecast_network **out, const struct xl_forecast_config *c,
                                        uint64_t seed) {
    XL_TRY(xl_forecast_network_declare(out, c, XLSTM_WEIGHTS_REAL));
    xlstm_status status = xl_module_take_memory((*out)->m);
    if (status == XLSTM_OK)
        status = xl_module_draw((*out)->m, seed);
    if (status != XLSTM_OK) {
        xl_forecast_network_free(*out);
        *out = NULL;
    }
    return status;
}

void xl_forecast_network_free(xl_forecast_network *net) {
    if (!net)
        return;
    xlstm_module_free(net->m);
    xl_free(net);
}

const struct xl_forecast_config *xl_forecast_network_config(const xl_forecast_network *net) {
    return &net->config;
}

xlstm_module *xl_forecast_network_module(xl_forecast_network *net) {
    return net->m;
}

size_t xl_forecast_state_size(const xl_forecast_network *net) {
    return net->m->state_size;
}

/* ---- running ---- */

static const int32_t *there(const xl_forecast_batch *b, const int32_t *list) {
    return b->there + (list - b->here);
}

xl_call xl_forecast_call(const xl_forecast_network *net, const xl_ops *op, const xl_forecast_batch *b) {
    return (xl_call){
        .op = op,
        .seq = {.B = b->rows, .T = b->tokens, .lengths = there(b, b->lengths)},
        .w = net->m->w,
        .packed = &net->m->packed,
        .known = b->known,
        .grouped = b->grouped,
        .reversed = there(b, b->reversed),
        .groups = {b->groups, b->largest, there(b, b->first), there(b, b->open), there(b, b->members)}};
}

/* Without padding, and from here on without state. */
static xl_call shorter(const xl_call *c, int rows, int tokens) {
    xl_call own = *c;
    own.seq = (xl_seq){.B = rows, .T = tokens};
    own.state = (xl_state){0};
    return own;
}

static xl_view gather(const xl_call *c, const int32_t *rows, int count, xl_view x) {
    xl_view y = xl_arena_view(c->keep, count, x.cols);
    assert(x.ld == x.cols);
    c->op->embed(y, rows, (xl_matrix){.type = x.type, .rows = x.rows, .cols = x.cols, .data = x.p});
    return y;
}

/* The gradient of what was gathered, to its places among `count` rows. */
static xl_view scatter(const xl_call *c, const int32_t *rows, int count, xl_view dy) {
    xl_view dx = xl_arena_view(c->temp, count, dy.cols);
    c->op->fill(dx.p, (size_t)count * dy.cols, 0);
    c->op->embed_dw(dx.p, dy, rows);
    return dx;
}

xl_view xl_forecast_forward(const xl_forecast_network *net, const xl_call *c, xl_stack_tape *t,
                            const xl_forecast_batch *b, xl_view tokens) {
    const xlstm_module *m = net->m;
    xl_call some = shorter(c, b->rows, b->wanted), heads = shorter(c, b->heads, b->wanted);
    xl_view x = xl_stack_run(m, c, t, 0, net->last, tokens);
    x = gather(c, there(b, b->wanted_rows), b->rows * b->wanted, x);
    x = xl_stack_run(m, &some, t, net->last, m->subs - 1, x);
    x = gather(c, there(b, b->head_rows), b->heads * b->wanted, x);
    return xl_stack_run(m, &heads, t, m->subs - 1, m->subs, x);
}

void xl_forecast_backward(const xl_forecast_network *net, const xl_call *c, const xl_stack_tape *t,
                          const xl_forecast_batch *b, xl_view dhead) {
    const xlstm_module *m = net->m;
    xl_call some = shorter(c, b->rows, b->wanted), heads = shorter(c, b->heads, b->wanted);
    size_t start = xl_arena_mark(c->temp);
    xl_view d = xl_stack_run_back(m, &heads, t, m->subs - 1, m->subs, dhead);
    d = scatter(c, there(b, b->head_rows), b->rows * b->wanted, d);
    d = xl_stack_run_back(m, &some, t, net->last, m->subs - 1, d);
    d = scatter(c, there(b, b->wanted_rows), b->rows * b->tokens, d);
    xl_stack_run_back(m, c, t, 0, net->last, d);
    xl_arena_release(c->temp, start);
}
