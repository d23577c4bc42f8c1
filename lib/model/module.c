/* module.c - a module is declared part by part, in the order of the recipes; each layer says what parameters
 * and how much state it has, and memory is taken once, when the sum is known, and of a module that is read
 * when its files are known to hold it. Sizes stop at more than any memory in place of wrapping around, and
 * are refused there. */
#include "model/module.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/structs.h"
#include "base/parallel.h"
#include "model/recipes.h"
#include <stdio.h>
#include <string.h>

static const xl_layer_kind *const cells[XLSTM_CELL_KINDS] = {
    [XLSTM_CELL_LSTM] = &xl_layer_lstm,
    [XLSTM_CELL_SLSTM] = &xl_layer_slstm_cell,
    [XLSTM_CELL_MLSTM] = &xl_layer_mlstm_cell,
};

/* LayerNorm in the paper's family stores its weight minus one; RMSNorm may have a bias, as the first block's
 * family says for all.
 */
static void declare_norm(xlstm_module *m, xl_norm_kind kind, const char *name, int D, xl_norm *norm,
                         size_t *w, size_t *b) {
    char full[96];
    int rms = kind == XL_RMSNORM;
    double eps = m->config.norm_eps > 0 ? m->config.norm_eps : rms ? XL_RMSNORM_EPS : XL_LAYERNORM_EPS;
    *norm = (xl_norm){1, rms, !rms, (real)eps};
    snprintf(full, sizeof full, "%s.weight", name);
    *w = xl_param_add(&m->params, full, xl_init_constant(rms), XL_NO_DECAY, XL_SHAPE1(D));
    *b = XL_NONE;
    if (rms && m->config.bias && xl_recipe_of(m->config.block_kind[0])->family->norm_bias) {
        snprintf(full, sizeof full, "%s.bias", name);
        *b = xl_param_add(&m->params, full, xl_init_constant(0), XL_NO_DECAY, XL_SHAPE1(D));
    }
}

xlstm_status xl_module_add(xlstm_module *m, const xl_layer_kind *kind, xl_layer_spec spec,
                           xl_sublayer **out) {
    xl_layer *layer = xl_alloc(kind->size);
    if (!layer)
        return xl_no_memory(kind->size, "a layer");
    *out = &m->sub[m->subs];
    **out = (xl_sublayer){.layer = layer};
    layer->kind = kind;
    layer->in = spec.in;
    layer->out = spec.out;
    layer->id = (uint64_t)++m->subs;
    layer->state_at = m->state_size;
    kind->declare(layer, &spec, &m->params);
    uint64_t state =
        m->state_size + layer->state_size; /* no more than xl_module_check_streams() refuses for one */
    m->state_size = state < SIZE_MAX / 4 ? (size_t)state : SIZE_MAX / 4;
    return XLSTM_OK;
}

static xlstm_status add_part(xlstm_module *m, const xl_recipe *r, const xl_sublayer_recipe *part, int block) {
    int D = m->config.embedding_dim;
    char prefix[sizeof m->params.prefix] = "";
    if (m->is_model)
        snprintf(prefix, sizeof prefix, r->family->block, block);
    xl_norm norm = {0};
    size_t norm_w = XL_NONE, norm_b = XL_NONE;
    memcpy(m->params.prefix, prefix, sizeof prefix);
    if (r->norm != XL_NO_NORM)
        declare_norm(m, r->norm, part->norm_name, D, &norm, &norm_w, &norm_b);
    snprintf(m->params.prefix, sizeof m->params.prefix, "%.60s%s", prefix, part->layer_name);
    xl_layer_spec spec = {.config = &m->config,
                          .block = block,
                          .in = D,
                          .out = D,
                          .number = r->family->one_lstm ? block : 0,
                          .zero_gate = r->family->zero_gate};
    xl_sublayer *s = NULL;
    XL_TRY(xl_module_add(m, part->layer, spec, &s));
    s->has_norm = r->norm != XL_NO_NORM;
    s->residual = r->residual;
    s->norm = norm;
    s->norm_w = norm_w;
    s->norm_b = norm_b;
    m->params.prefix[0] = 0;
    return XLSTM_OK;
}

static xlstm_status add_block(xlstm_module *m, int block) {
    const xl_recipe *r = xl_recipe_of(m->config.block_kind[block]);
    for (int i = 0; i < xl_recipe_sublayers(r); i++)
        if (xl_sublayer_there(&r->sublayers[i], &m->config))
            XL_TRY(add_part(m, r, &r->sublayers[i], block));
    return XLSTM_OK;
}

/* A projection of vectors; a file of a bare stack has none, so that it begins as the identity. */
static size_t declare_projection(xlstm_module *m, const char *name, xl_init init, xl_shape shape) {
    int bare = m->config.file_spelling & XLSTM_SPELL_STACK;
    return xl_param_add(&m->params, name, bare ? xl_init_identity() : init, bare ? XL_DECAY : XL_MATRIX,
                        shape);
}

static void declare_input(xlstm_module *m, const xl_family *f) {
    const xlstm_config *c = &m->config;
    int D = c->embedding_dim;
    if (c->vocab_size) {
        m->embed = xl_param_add(&m->params, f->embedding, xl_init_small(D),
                                c->decay_embedding ? XL_MATRIX : XL_PACKABLE, XL_SHAPE2(c->vocab_size, D));
        return;
    }
    xl_init init = xl_init_uniform(1 / sqrt(c->input_dim));
    m->in_w = declare_projection(m, "input_proj.weight", init, XL_SHAPE2(D, c->input_dim));
    m->in_b = xl_param_add(&m->params, "input_proj.bias", xl_init_constant(0), XL_NO_DECAY, XL_SHAPE1(D));
}

static void declare_output(xlstm_module *m) {
    const xlstm_config *c = &m->config;
    int D = c->embedding_dim;
    m->head_b = XL_NONE;
    if (c->vocab_size && c->tie_weights) {
        m->head_w = m->embed;
    } else if (c->vocab_size) {
        m->head_w = xl_param_add(&m->params, "lm_head.weight", xl_init_small(D), XL_MATRIX,
                                 XL_SHAPE2(c->vocab_size, D));
    } else {
        m->head_w =
            declare_projection(m, "output_proj.weight", xl_init_small(D), XL_SHAPE2(c->output_dim, D));
        m->head_b = xl_param_add(&m->params, "output_proj.bias", xl_init_constant(0), XL_NO_DECAY,
                                 XL_SHAPE1(c->output_dim));
    }
}

static xlstm_status declare_model(xlstm_module *m, const void *context) {
    (void)context;
    const xlstm_config *c = &m->config;
    const xl_recipe *first = xl_recipe_of(c->block_kind[0]);
    m->first = m->width = c->embedding_dim;
    m->vocab = c->vocab_size;
    m->in = c->vocab_size ? 0 : c->input_dim;
    m->out = c->vocab_size ? c->vocab_size : c->output_dim;
    declare_input(m, first->family);
    m->params.core = 1;
    for (int i = 0; i < c->num_blocks; i++)
        XL_TRY(add_block(m, i));
    m->has_norm = c->final_norm;
    if (m->has_norm)
        declare_norm(m, first->norm == XL_RMSNORM ? XL_RMSNORM : XL_LAYERNORM1P, first->family->norm,
                     m->width, &m->norm, &m->norm_w, &m->norm_b);
    m->params.core = 0;
    declare_output(m);
    return XLSTM_OK;
}

static xlstm_status declare_block(xlstm_module *m, const void *context) {
    (void)context;
    m->in = m->out = m->first = m->width = m->config.embedding_dim;
    m->params.core = 1;
    return add_block(m, 0);
}

static xlstm_status declare_cell(xlstm_module *m, const void *context) {
    const xlstm_cell_config *c = context;
    m->is_cell = 1;
    m->in = m->first = c->input_size;
    m->out = m->width = c->hidden_size;
    m->params.core = 1;
    xl_sublayer *s = NULL;
    xl_layer_spec spec = {.config = &m->config, .in = c->input_size, .out = c->hidden_size};
    return xl_module_add(m, cells[c->kind], spec, &s);
}

static int count_sublayers(const xlstm_config *c) {
    int n = 0;
    for (int i = 0; i < c->num_blocks; i++)
        n += xl_recipe_sublayers(xl_recipe_of(c->block_kind[i]));
    return n;
}

xlstm_status xl_module_start(xlstm_module **out, const xlstm_config *c, int subs, xl_memory *memory) {
    xlstm_module *m = xl_alloc(sizeof *m);
    xl_sublayer *sub = xl_alloc(subs * sizeof *sub);
    if (!m || !sub) {
        xl_free(m);
        xl_free(sub);
        return xl_no_memory(sizeof *m, "a module");
    }
    m->config = *c;
    m->memory = memory;
    m->params.pack = c->weights != XLSTM_WEIGHTS_REAL;
    m->sub = sub;
    *out = m;
    return XLSTM_OK;
}

static void forget_layers(xlstm_module *m) {
    for (int i = 0; i < m->subs; i++)
        xl_free(m->sub[i].layer);
    m->subs = 0;
    m->state_size = 0;
}

/* The offsets of packed matrices begin behind all others, which the first of two rounds counts. */
static xlstm_status declare(xlstm_module *m, xl_module_parts *parts, const void *context) {
    XL_TRY(parts(m, context));
    if (!m->params.pack)
        return XLSTM_OK;
    m->params.first_packed = m->params.size;
    forget_layers(m);
    m->params.count = 0;
    m->params.size = m->params.packed_size = 0;
    return parts(m, context);
}

static xlstm_status end_layout(xl_layout *l) {
    if (l->out_of_memory)
        return xl_no_memory(0, "the list of parameters");
    if (l->size >= XL_TOO_MANY || l->packed_size >= XL_TOO_MANY)
        return xl_no_memory(XL_TOO_MANY, "the weights");
    return xl_layout_end(l) ? XLSTM_OK : xl_no_memory(0, "the list of parameters");
}

/* What follows the declarations; nothing is left of the module if `status` is already bad. */
static xlstm_status finish(xlstm_module **out, xlstm_module *m, xlstm_status status) {
    if (status == XLSTM_OK)
        status = end_layout(&m->params);
    if (status == XLSTM_OK)
        *out = m;
    else
        xlstm_module_free(m);
    return status;
}

xlstm_status xl_module_declare_parts(xlstm_module **out, xlstm_module *m, xl_module_parts *parts,
                                     const void *context) {
    return finish(out, m, declare(m, parts, context));
}

static xlstm_status finish_drawn(xlstm_module **out, xlstm_module *m, xlstm_status status, uint64_t seed) {
    XL_TRY(finish(out, m, status));
    status = xl_module_take_memory(m);
    if (status == XLSTM_OK)
        status = xl_module_take_packed(m);
    if (status == XLSTM_OK)
        status = xl_module_draw(m, seed);
    if (status != XLSTM_OK) {
        xlstm_module_free(m);
        *out = NULL;
    }
    return status;
}

static xlstm_status start_model(xlstm_module **m, const xlstm_config *config, xl_memory *memory) {
    xlstm_config own;
    XL_TRY(xl_config_take(&own, config));
    XL_TRY(xlstm_config_check(&own));
    XL_TRY(xl_module_start(m, &own, count_sublayers(&own), memory));
    (*m)->is_model = 1;
    return XLSTM_OK;
}

xlstm_status xl_module_declare(xlstm_module **out, const xlstm_config *config, xl_memory *memory) {
    xlstm_module *m = NULL;
    XL_TRY(start_model(&m, config, memory));
    return finish(out, m, declare(m, declare_model, NULL));
}

xlstm_status xlstm_model_create(xlstm_module **out, const xlstm_config *config, uint64_t seed) {
    XL_TRY(xl_check_out(out, "xlstm_model_create"));
    *out = NULL;
    xlstm_module *m = NULL;
    xl_memory *memory;
    XL_TRY(xl_memory_chosen(&memory));
    XL_TRY(start_model(&m, config, memory));
    return finish_drawn(out, m, declare(m, declare_model, NULL), seed);
}

xlstm_status xlstm_block_create(xlstm_module **out, const xlstm_config *config, uint64_t seed) {
    XL_TRY(xl_check_out(out, "xlstm_block_create"));
    *out = NULL;
    xlstm_config own;
    XL_TRY(xl_config_take(&own, config));
    XL_TRY(xl_config_check_blocks(&own));
    xlstm_module *m = NULL;
    xl_memory *memory;
    XL_TRY(xl_memory_chosen(&memory));
    XL_TRY(xl_module_start(&m, &own, count_sublayers(&own), memory));
    return finish_drawn(out, m, declare(m, declare_block, NULL), seed);
}

XL_GROWING(xlstm_cell_config, chunk_size, reserved)

static xlstm_status check_cell(const xlstm_cell_config *c) {
    if ((unsigned)c->kind >= XLSTM_CELL_KINDS)
        return xl_fail(XLSTM_E_CONFIG, "cell kind %d is unknown; use an xlstm_cell_kind", c->kind);
    if (c->input_size < 1 || c->hidden_size < 1 || c->input_size > 1 << 20 || c->hidden_size > 1 << 17)
        return xl_fail(XLSTM_E_CONFIG,
                       "cell sizes are %d -> %d; input_size must be 1 to %d and hidden_size 1 to %d",
                       c->input_size, c->hidden_size, 1 << 20, 1 << 17);
    if (c->num_heads < 1 || c->hidden_size % c->num_heads ||
        (c->kind == XLSTM_CELL_LSTM && c->num_heads != 1))
        return xl_fail(XLSTM_E_CONFIG,
                       "num_heads is %d; it must divide hidden_size %d, and be 1 for the LSTM", c->num_heads,
                       c->hidden_size);
    if (c->chunk_size < 1 || c->chunk_size > 1024)
        return xl_fail(XLSTM_E_CONFIG, "chunk_size is %d; it must be 1 to 1024", c->chunk_size);
    if (c->reserved)
        return xl_fail(XLSTM_E_ARGUMENT, "reserved is %d; this library knows no use of it: leave it 0",
                       c->reserved);
    return XLSTM_OK;
}

xlstm_status xlstm_cell_create(xlstm_module **out, const xlstm_cell_config *config, uint64_t seed) {
    XL_TRY(xl_check_out(out, "xlstm_cell_create"));
    *out = NULL;
    xlstm_cell_config own = {0};
    XL_TRY(take_xlstm_cell_config(&own, config));
    XL_TRY(check_cell(config = &own));
    xlstm_config c;
    xlstm_config_init(&c, XLSTM_LSTM);
    c.num_blocks = 1;
    c.num_heads = config->num_heads;
    c.chunk_size = config->chunk_size;
    xlstm_module *m = NULL;
    xl_memory *memory;
    XL_TRY(xl_memory_chosen(&memory));
    XL_TRY(xl_module_start(&m, &c, count_sublayers(&c), memory));
    return finish_drawn(out, m, declare_cell(m, config), seed);
}

xlstm_status xl_module_check_lent(const xlstm_module *m) {
    return m->check ? m->check(m->lent) : XLSTM_OK;
}

void xlstm_module_free(xlstm_module *m) {
    if (!m)
        return;
    forget_layers(m);
    xl_free(m->sub);
    xl_layout_free(&m->params);
    xl_module_give_memory(m);
    if (m->release)
        m->release(m->lent);
    xl_free(m);
}

int xlstm_module_input_dim(const xlstm_module *m) {
    return m ? m->in : 0;
}

int xlstm_module_output_dim(const xlstm_module *m) {
    return m ? m->out : 0;
}

const xlstm_config *xlstm_module_config(const xlstm_module *m) {
    return m && !m->is_cell ? &m->config : NULL;
}

int xlstm_module_parameter_count(const xlstm_module *m) {
    return m ? m->params.count : 0;
}

xlstm_status xlstm_module_parameter(const xlstm_module *m, int index, xlstm_parameter *out) {
    XL_TRY(xl_module_check_index(m, index, out, "xlstm_module_parameter"));
    const xl_param *p = &m->params.items[index];
    *out = (xlstm_parameter){.name = p->name,
                             .index = index,
                             .ndim = p->ndim,
                             .shape = {p->shape[0], p->shape[1], p->shape[2]},
                             .count = p->count,
                             .decay = p->decay,
                             .offset = p->packed ? 0 : p->offset};
    return XLSTM_OK;
}

xlstm_status xlstm_module_find(const xlstm_module *m, const char *name, xlstm_parameter *out) {
    if (!m || !name || !out)
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_module_find needs a module, a name and room for a parameter");
    int index = xl_layout_find(&m->params, name);
    if (index >= 0)
        return xlstm_module_parameter(m, index, out);
    return xl_fail(XLSTM_E_NOT_FOUND, "no parameter \"%s\"; list them with xlstm_module_parameter()", name);
}

int xl_module_has_attention(const xlstm_module *m) {
    for (int i = 0; i < m->subs; i++)
        if (m->sub[i].layer->kind->whole_sequence)
            return 1;
    return 0;
}

xlstm_status xl_module_check_streams(const xlstm_module *m, int streams) {
    const xlstm_config *c = &m->config;
    int heads = c->num_heads > c->mlstm_heads ? c->num_heads : c->mlstm_heads;
    heads = c->slstm_heads > heads ? c->slstm_heads : heads;
    if (streams > (1 << 30) / heads)
        return xl_fail(XLSTM_E_MEMORY, "%d streams of %d heads are too many tasks; give at most %d streams",
                       streams, heads, (1 << 30) / heads);
    if (m->state_size > SIZE_MAX / 4 / sizeof(real) / streams)
        return xl_fail(XLSTM_E_MEMORY,
                       "%d streams, each with a state of %zu numbers, are more than any memory", streams,
                       m->state_size);
    return XLSTM_OK;
}
