/* dataclasses.asdict of the package's xLSTMLMModelConfig and xLSTMBlockStackConfig. What a stack overwrites
 * in its parts, or computes, is ignored where it stands. */
#include "io/config_json.h"
#include "model/module.h"
#include <limits.h>
#include <math.h>
#include <string.h>

static const char *const backends[] = {"vanilla", "cuda", NULL};
static const char *const functions[] = {"slstm", "lstm", NULL};
static const char *const recurrent_inits[] = {"zeros", "standard", NULL};
static const char *const ff_types[] = {"ffn_gated", NULL};
static const char *const input_shapes[] = {"BSGNH", NULL};
static const char *const model_types[] = {"xLSTMLMModel", NULL}; /* of trainers that know other models too */
static const char *const output_shapes[] = {"BNSH", NULL};

typedef struct {
    double factor;
    int up, multiple;
} rounding;

typedef struct {
    rounding width;
    int heads, conv, blocksize;
} mlstm_fields;
static const xl_field mlstm_table[] = {
    {"proj_factor", XL_F64, offsetof(mlstm_fields, width.factor), NULL},
    {"round_proj_up_dim_up", XL_BOOL, offsetof(mlstm_fields, width.up), NULL},
    {"round_proj_up_to_multiple_of", XL_INT, offsetof(mlstm_fields, width.multiple), NULL},
    {"conv1d_kernel_size", XL_INT, offsetof(mlstm_fields, conv), NULL},
    {"qkv_proj_blocksize", XL_INT, offsetof(mlstm_fields, blocksize), NULL},
    {"num_heads", XL_INT, offsetof(mlstm_fields, heads), NULL},
    /* overwritten by the stack's own, or computed */
    {"embedding_dim", XL_IGNORED, 0, NULL},
    {"bias", XL_IGNORED, 0, NULL},
    {"dropout", XL_IGNORED, 0, NULL},
    {"context_length", XL_IGNORED, 0, NULL},
    {"_proj_up_dim", XL_IGNORED, 0, NULL},
    {"_num_blocks", XL_IGNORED, 0, NULL},
    {"_block_idx", XL_IGNORED, 0, NULL},
    {"_inner_embedding_dim", XL_IGNORED, 0, NULL},
    XL_IGNORED_ANYWHERE,
};

typedef struct {
    int heads, conv, group_norm_weight, backend, function, bias_init, recurrent_init, cut, gates, unused;
    double recurrent_clip, forward_clip;
} slstm_fields;
static const xl_field slstm_table[] = {
    {"num_heads", XL_INT, offsetof(slstm_fields, heads), NULL},
    {"conv1d_kernel_size", XL_INT, offsetof(slstm_fields, conv), NULL},
    {"group_norm_weight", XL_BOOL, offsetof(slstm_fields, group_norm_weight), NULL},
    {"backend", XL_CHOICE, offsetof(slstm_fields, backend), backends},
    {"function", XL_CHOICE, offsetof(slstm_fields, function), functions},
    {"bias_init", XL_CHOICE, offsetof(slstm_fields, bias_init), xl_bias_init_names},
    {"recurrent_weight_init", XL_CHOICE, offsetof(slstm_fields, recurrent_init), recurrent_inits},
    {"gradient_recurrent_cut", XL_BOOL, offsetof(slstm_fields, cut), NULL},
    {"gradient_recurrent_clipval", XL_F64, offsetof(slstm_fields, recurrent_clip), NULL},
    {"forward_clipval", XL_F64, offsetof(slstm_fields, forward_clip), NULL},
    {"num_gates", XL_INT, offsetof(slstm_fields, gates), NULL},
    {"input_shape", XL_CHOICE, offsetof(slstm_fields, unused), input_shapes},
    {"output_shape", XL_CHOICE, offsetof(slstm_fields, unused), output_shapes},
    /* overwritten by the stack's own, or computed */
    {"hidden_size", XL_IGNORED, 0, NULL},
    {"num_states", XL_IGNORED, 0, NULL},
    {"embedding_dim", XL_IGNORED, 0, NULL},
    {"dropout", XL_IGNORED, 0, NULL},
    {"_block_idx", XL_IGNORED, 0, NULL},
    {"_num_blocks", XL_IGNORED, 0, NULL},
    /* layouts and number types inside one backend; initial_val and constants are read by neither */
    {"internal_input_shape", XL_IGNORED, 0, NULL},
    {"batch_size", XL_IGNORED, 0, NULL},
    {"constants", XL_IGNORED, 0, NULL},
    {"initial_val", XL_IGNORED, 0, NULL},
    {"dtype_b", XL_IGNORED, 0, NULL},
    {"dtype_r", XL_IGNORED, 0, NULL},
    {"dtype_w", XL_IGNORED, 0, NULL},
    {"dtype_g", XL_IGNORED, 0, NULL},
    {"dtype_s", XL_IGNORED, 0, NULL},
    {"dtype_a", XL_IGNORED, 0, NULL},
    XL_IGNORED_ANYWHERE,
};

typedef struct {
    rounding width;
    int act, bias, type;
    double dropout;
} ffn_fields;
static const xl_field ffn_table[] = {
    {"proj_factor", XL_F64, offsetof(ffn_fields, width.factor), NULL},
    {"round_proj_up_dim_up", XL_BOOL, offsetof(ffn_fields, width.up), NULL},
    {"round_proj_up_to_multiple_of", XL_INT, offsetof(ffn_fields, width.multiple), NULL},
    {"act_fn", XL_CHOICE, offsetof(ffn_fields, act), xl_activation_names},
    {"dropout", XL_F64, offsetof(ffn_fields, dropout), NULL},
    {"bias", XL_BOOL, offsetof(ffn_fields, bias), NULL},
    {"ff_type", XL_CHOICE, offsetof(ffn_fields, type), ff_types},
    {"embedding_dim", XL_IGNORED, 0, NULL},
    {"_proj_up_dim", XL_IGNORED, 0, NULL},
    {"_num_blocks", XL_IGNORED, 0, NULL},
    XL_IGNORED_ANYWHERE,
};

/* Both block objects: what they are about, and numbers that the stack fills in. */
typedef struct {
    json_t *layer, *feedforward;
} block_fields;
static const xl_field mlstm_block_table[] = {
    {"mlstm", XL_JSON, offsetof(block_fields, layer), NULL},
    {"_num_blocks", XL_IGNORED, 0, NULL},
    {"_block_idx", XL_IGNORED, 0, NULL},
    XL_IGNORED_ANYWHERE,
};
static const xl_field slstm_block_table[] = {
    {"slstm", XL_JSON, offsetof(block_fields, layer), NULL},
    {"feedforward", XL_JSON, offsetof(block_fields, feedforward), NULL},
    {"_num_blocks", XL_IGNORED, 0, NULL},
    {"_block_idx", XL_IGNORED, 0, NULL},
    XL_IGNORED_ANYWHERE,
};

typedef struct {
    int context, blocks, dim, norm, bias, vocab, tie, decay, embedding_dropout;
    double dropout;
    json_t *mlstm, *slstm, *at;
} stack_fields;
static const xl_field stack_table[] = {
    {"context_length", XL_INT, offsetof(stack_fields, context), NULL},
    {"num_blocks", XL_INT, offsetof(stack_fields, blocks), NULL},
    {"embedding_dim", XL_INT, offsetof(stack_fields, dim), NULL},
    {"add_post_blocks_norm", XL_BOOL, offsetof(stack_fields, norm), NULL},
    {"bias", XL_BOOL, offsetof(stack_fields, bias), NULL},
    {"dropout", XL_F64, offsetof(stack_fields, dropout), NULL},
    {"mlstm_block", XL_JSON, offsetof(stack_fields, mlstm), NULL},
    {"slstm_block", XL_JSON, offsetof(stack_fields, slstm), NULL},
    {"slstm_at", XL_JSON, offsetof(stack_fields, at), NULL},
    {"_block_map", XL_IGNORED, 0, NULL}, /* computed from slstm_at */
    {"type", XL_MUST_BE, 0, model_types},
    XL_IGNORED_ANYWHERE,
    /* the language model's; a bare stack is written without them, so they come last */
    {"vocab_size", XL_INT, offsetof(stack_fields, vocab), NULL},
    {"tie_weights", XL_BOOL, offsetof(stack_fields, tie), NULL},
    {"weight_decay_on_embedding", XL_BOOL, offsetof(stack_fields, decay), NULL},
    {"add_embedding_dropout", XL_BOOL, offsetof(stack_fields, embedding_dropout), NULL},
};
enum { LM_FIELDS = 4 };

/* ---- reading ---- */

/* The package's rounding, in its own order of operations. 0: not a width. */
static int rounded(rounding r, int dim) {
    if (!(r.factor > 0) || r.multiple < 1)
        return 0;
    double n = r.factor * dim / r.multiple;
    n = (r.up ? ceil(n) : floor(n)) * r.multiple;
    return n < 1 || n > (1 << 22) ? 0 : (int)n;
}

static xlstm_status width_of(int *inner, rounding r, int dim, const char *what, const char *where) {
    *inner = rounded(r, dim);
    if (*inner)
        return XLSTM_OK;
    return xl_fail(XLSTM_E_CONFIG, "%s: proj_factor %g of %s, rounded to a multiple of %d, gives no width",
                   where, r.factor, what, r.multiple);
}

static xlstm_status read_mlstm(xlstm_config *c, json_t *object, const char *where) {
    block_fields b = {0};
    mlstm_fields m = {{2, 1, 64}, 4, 4, 4};
    XL_TRY(xl_fields_read(mlstm_block_table, XL_COUNT(mlstm_block_table), &b, object, where));
    if (b.layer)
        XL_TRY(xl_fields_read(mlstm_table, XL_COUNT(mlstm_table), &m, b.layer, where));
    if (m.heads < 1)
        return xl_fail(XLSTM_E_CONFIG, "%s: num_heads of mlstm_block is %d", where, m.heads);
    c->mlstm_heads = c->num_heads = m.heads;
    c->mlstm_conv = m.conv;
    c->mlstm_qkv_blocksize = m.blocksize;
    c->mlstm_proj_factor = (float)m.width.factor;
    return width_of(&c->mlstm_inner, m.width, c->embedding_dim, "mlstm_block", where);
}

/* The feed-forward has a dropout of its own, which is off by default even where the model's is on. */
static xlstm_status read_ffn_dropout(xlstm_config *c, double p, const char *where) {
    if (!(p >= 0 && p < 1))
        return xl_fail(XLSTM_E_CONFIG, "%s: dropout of feedforward is %g; it must be from 0 to below 1",
                       where, p);
    c->ffn_dropout = (float)p == c->dropout ? 0 : p > 0 ? (float)p : -1;
    return XLSTM_OK;
}

static xlstm_status read_ffn(xlstm_config *c, json_t *object, const char *where) {
    ffn_fields f = {.width = {1.3, 1, 64}};
    c->ffn = !json_is_null(object); /* absent: the dataclass's default, which is there */
    if (!c->ffn)
        return XLSTM_OK;
    if (object)
        XL_TRY(xl_fields_read(ffn_table, XL_COUNT(ffn_table), &f, object, where));
    c->ffn_act = (xlstm_activation)f.act;
    c->ffn_bias = f.bias;
    c->ffn_proj_factor = (float)f.width.factor;
    c->ffn_round_up = f.width.multiple;
    XL_TRY(read_ffn_dropout(c, f.dropout, where));
    return width_of(&c->ffn_inner, f.width, c->embedding_dim, "feedforward", where);
}

/* The vanilla backend disregards the cut and the clip values; its numbers are the reference. The CUDA kernels
 * are compiled with gradient_recurrent_clipval for both clips; forward_clipval does not reach them. */
static xlstm_status read_backend(xlstm_config *c, const slstm_fields *s, const char *where) {
    if (s->backend == 0)
        return XLSTM_OK;
    c->file_spelling |= XLSTM_SPELL_CUDA;
    c->slstm_recurrent_cut = s->cut;
    if (s->recurrent_clip <= 0)
        return xl_fail(XLSTM_E_CONFIG, "%s: gradient_recurrent_clipval is %g; it must be positive, or null",
                       where, s->recurrent_clip);
    if (!isnan(s->recurrent_clip))
        c->slstm_recurrent_clip = c->slstm_forward_clip = (float)s->recurrent_clip;
    return XLSTM_OK;
}

static xlstm_status read_slstm(xlstm_config *c, json_t *object, const char *where) {
    block_fields b = {0};
    slstm_fields s = {.heads = 4,
                      .conv = 4,
                      .group_norm_weight = 1,
                      .backend = 1,
                      .gates = 4,
                      .recurrent_clip = NAN,
                      .forward_clip = NAN};
    XL_TRY(xl_fields_read(slstm_block_table, XL_COUNT(slstm_block_table), &b, object, where));
    if (b.layer)
        XL_TRY(xl_fields_read(slstm_table, XL_COUNT(slstm_table), &s, b.layer, where));
    if (s.gates != 4)
        return xl_fail(XLSTM_E_CONFIG, "%s: num_gates is %d; only 4 is supported", where, s.gates);
    c->slstm_heads = s.heads < 1 ? 1 : s.heads; /* as the package does */
    if (!c->mlstm_heads)
        c->num_heads = c->slstm_heads;
    c->slstm_conv = s.conv < 0 ? 0 : s.conv;
    c->slstm_group_norm_weight = s.group_norm_weight;
    c->slstm_lstm = s.function;
    c->slstm_bias_init = (xlstm_bias_init)s.bias_init;
    c->slstm_recurrent_uniform = s.recurrent_init;
    XL_TRY(read_backend(c, &s, where));
    return read_ffn(c, b.feedforward, where);
}

static xlstm_status put_slstm(xlstm_config *c, const json_t *at, const char *where) {
    json_int_t i = json_integer_value(at);
    if (!json_is_integer(at) || i < -c->num_blocks || i >= c->num_blocks)
        return xl_fail(XLSTM_E_CONFIG, "%s: slstm_at holds something that is no index of the %d blocks",
                       where, c->num_blocks);
    c->block_kind[i < 0 ? i + c->num_blocks : i] = XLSTM_SLSTM;
    return XLSTM_OK;
}

static xlstm_status read_places(xlstm_config *c, const stack_fields *s, int has_mlstm, const char *where) {
    const char *text = json_string_value(s->at);
    memset(c->block_kind, XLSTM_MLSTM, sizeof c->block_kind);
    if (!has_mlstm || (text && !strcmp(text, "all"))) {
        memset(c->block_kind, XLSTM_SLSTM, sizeof c->block_kind);
        return XLSTM_OK;
    }
    if (s->at && !json_is_array(s->at))
        return xl_fail(XLSTM_E_CONFIG, "%s: slstm_at must be a list of indices or \"all\"", where);
    for (size_t i = 0; i < json_array_size(s->at); i++)
        XL_TRY(put_slstm(c, json_array_get(s->at, i), where));
    return XLSTM_OK;
}

static int any_slstm(const xlstm_config *c) {
    return memchr(c->block_kind, XLSTM_SLSTM, c->num_blocks) != NULL;
}

static void read_ends(xlstm_config *c, const stack_fields *s) {
    c->vocab_size = s->vocab;
    c->tie_weights = s->tie;
    c->decay_embedding = s->decay;
    c->embedding_dropout = s->embedding_dropout;
}

static xlstm_status read_stack(xlstm_config *c, const stack_fields *s, const char *where) {
    int has_mlstm = s->mlstm && !json_is_null(s->mlstm), has_slstm = s->slstm && !json_is_null(s->slstm);
    if (s->blocks < 1 || s->blocks > XLSTM_MAX_BLOCKS)
        return xl_fail(XLSTM_E_CONFIG, "%s: num_blocks is %d; it must be 1 to %d", where, s->blocks,
                       XLSTM_MAX_BLOCKS);
    c->num_blocks = s->blocks;
    c->embedding_dim = s->dim;
    c->context_length = s->context < 1 ? c->context_length : s->context;
    c->final_norm = s->norm;
    c->bias = s->bias;
    c->dropout = (float)s->dropout;
    XL_TRY(read_places(c, s, has_mlstm, where));
    if (any_slstm(c) && !has_slstm)
        return xl_fail(XLSTM_E_CONFIG, "%s: there are sLSTM blocks, but slstm_block is null", where);
    if (has_mlstm)
        XL_TRY(read_mlstm(c, s->mlstm, where));
    return has_slstm ? read_slstm(c, s->slstm, where) : XLSTM_OK;
}

xlstm_status xl_paper_from_json(xlstm_config *c, json_t *object, const char *where) {
    stack_fields s = {.context = -1, .blocks = 1, .dim = 128, .norm = 1, .vocab = -1};
    xlstm_config_init(c, XLSTM_MLSTM);
    c->slstm_heads = c->mlstm_heads = 0;
    XL_TRY(xl_fields_read(stack_table, XL_COUNT(stack_table), &s, object, where));
    XL_TRY(read_stack(c, &s, where));
    if (json_object_get(object, "vocab_size")) {
        read_ends(c, &s);
        return XLSTM_OK;
    }
    c->file_spelling |= XLSTM_SPELL_STACK;
    c->input_dim = c->output_dim = c->embedding_dim;
    return XLSTM_OK;
}

/* ---- writing ---- */

/* A bare stack of blocks, which has no ends of its own to describe. */
static int is_stack(const xlstm_config *c) {
    return (c->file_spelling & XLSTM_SPELL_STACK) && c->input_dim == c->embedding_dim &&
           c->output_dim == c->embedding_dim && !c->embedding_dropout;
}

/* What the format has; a field that is new in the library is not in it. */
#define SAYS(name) XL_READS(name)
static const uint64_t said =
    SAYS(vocab_size) | SAYS(input_dim) | SAYS(output_dim) | SAYS(embedding_dim) | SAYS(num_blocks) |
    SAYS(num_heads) | SAYS(context_length) | SAYS(tie_weights) | SAYS(final_norm) | SAYS(bias) |
    SAYS(decay_embedding) | SAYS(dropout) | SAYS(embedding_dropout) | SAYS(weights) | SAYS(mlstm_heads) |
    SAYS(mlstm_proj_factor) | SAYS(mlstm_inner) | SAYS(mlstm_conv) | SAYS(mlstm_qkv_blocksize) |
    SAYS(slstm_heads) | SAYS(slstm_conv) | SAYS(slstm_lstm) | SAYS(slstm_recurrent_cut) |
    SAYS(slstm_group_norm_weight) | SAYS(slstm_forward_clip) | SAYS(slstm_recurrent_clip) | SAYS(ffn) |
    SAYS(ffn_proj_factor) | SAYS(ffn_round_up) | SAYS(ffn_inner) | SAYS(ffn_act) | SAYS(ffn_bias) |
    SAYS(ffn_dropout);

int xl_paper_fits(const xlstm_config *c) {
    for (int i = 0; i < c->num_blocks; i++)
        if (c->block_kind[i] != XLSTM_MLSTM && c->block_kind[i] != XLSTM_SLSTM)
            return 0;
    if (c->norm_eps > 0 || c->output_logit_soft_cap > 0 || c->mlstm_eps > 0 || !xl_config_says_all(c, said))
        return 0;
    int cut = c->slstm_recurrent_cut || c->slstm_recurrent_clip > 0;
    if (cut && !(c->file_spelling & XLSTM_SPELL_CUDA))
        return 0;
    if (c->slstm_forward_clip != c->slstm_recurrent_clip)
        return 0; /* the package has one value for both */
    return c->vocab_size > 0 || is_stack(c);
}

/* The factor as it is if the package gets the same width from it, else one that gives exactly this width. */
static rounding rounding_for(float factor, int multiple, int inner, int dim) {
    rounding r = {xl_fields_short(factor), 1, multiple};
    if (rounded(r, dim) == inner)
        return r;
    return (rounding){(inner - 0.5) / dim, 1, 1};
}

static json_t *write_mlstm(const xlstm_config *c) {
    mlstm_fields m = {.width = rounding_for(c->mlstm_proj_factor, 64, xl_mlstm_inner(c), c->embedding_dim),
                      .heads = xl_mlstm_heads(c),
                      .conv = c->mlstm_conv,
                      .blocksize = c->mlstm_qkv_blocksize};
    json_t *block = json_object();
    xl_json_put(&block, "mlstm", xl_fields_write(mlstm_table, XL_COUNT(mlstm_table), &m));
    return block;
}

static json_t *write_ffn(const xlstm_config *c) {
    ffn_fields f = {.width =
                        rounding_for(c->ffn_proj_factor, c->ffn_round_up, xl_ffn_inner(c), c->embedding_dim),
                    .act = c->ffn_act,
                    .bias = c->ffn_bias,
                    .dropout = xl_fields_short(c->ffn_dropout > 0   ? c->ffn_dropout
                                               : c->ffn_dropout < 0 ? 0
                                                                    : c->dropout)};
    return c->ffn ? xl_fields_write(ffn_table, XL_COUNT(ffn_table), &f) : json_null();
}

static json_t *write_slstm(const xlstm_config *c) {
    double clip = c->slstm_recurrent_clip > 0 ? xl_fields_short(c->slstm_recurrent_clip) : NAN;
    slstm_fields s = {.heads = xl_slstm_heads(c),
                      .conv = c->slstm_conv,
                      .group_norm_weight = c->slstm_group_norm_weight,
                      .backend = (c->file_spelling & XLSTM_SPELL_CUDA) != 0,
                      .function = c->slstm_lstm != 0,
                      .bias_init = c->slstm_bias_init,
                      .recurrent_init = c->slstm_recurrent_uniform != 0,
                      .cut = c->slstm_recurrent_cut,
                      .gates = 4,
                      .recurrent_clip = clip,
                      .forward_clip = clip};
    json_t *block = json_object();
    xl_json_put(&block, "slstm", xl_fields_write(slstm_table, XL_COUNT(slstm_table), &s));
    xl_json_put(&block, "feedforward", write_ffn(c));
    return block;
}

json_t *xl_paper_to_json(const xlstm_config *c) {
    stack_fields s = {.context = c->context_length,
                      .blocks = c->num_blocks,
                      .dim = c->embedding_dim,
                      .norm = c->final_norm,
                      .bias = c->bias,
                      .vocab = c->vocab_size,
                      .tie = c->tie_weights,
                      .decay = c->decay_embedding,
                      .embedding_dropout = c->embedding_dropout,
                      .dropout = xl_fields_short(c->dropout)};
    int has_mlstm = memchr(c->block_kind, XLSTM_MLSTM, c->num_blocks) != NULL;
    size_t count = XL_COUNT(stack_table) - (c->vocab_size ? 0 : LM_FIELDS);
    json_t *places = json_array(), *object = json_object();
    for (int i = 0; i < c->num_blocks; i++)
        if (c->block_kind[i] == XLSTM_SLSTM)
            xl_json_append(&places, json_integer(i));
    xl_json_put(&object, "mlstm_block", has_mlstm ? write_mlstm(c) : json_null());
    xl_json_put(&object, "slstm_block", any_slstm(c) ? write_slstm(c) : json_null());
    json_t *rest = xl_fields_write(stack_table, count, &s);
    if (json_object_update(object, rest)) {
        json_decref(object);
        object = NULL;
    }
    json_decref(rest);
    xl_json_put(&object, "slstm_at", places);
    return object;
}
