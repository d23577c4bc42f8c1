/* The package's xLSTMLargeConfig and Hugging Face's config.json with model_type "xlstm" are one configuration
 * in two spellings: most fields are common to both. */
#include "io/config_json.h"
#include "model/module.h"
#include <limits.h>
#include <math.h>
#include <string.h>

static const char *const weight_modes[] = {"single", "fused", NULL};
static const char *const chunkwise[] = {"chunkwise--native_autograd", NULL};
static const char *const sequence[] = {"native_sequence__native", NULL};
static const char *const step[] = {"native", NULL};
static const char *const float32[] = {"float32", NULL};
static const char *const architectures[] = {"xLSTMForCausalLM", NULL};
static const char *const model_type[] = {"xlstm", NULL};
static const char *const train[] = {"train", NULL};

enum { MISSING = INT_MIN };

typedef struct {
    int dim, heads, blocks, vocab, bias, out_norm, fused, chunk, round_up;
    double norm_eps, qk, v, ffn, gate_cap, logit_cap, eps;
    int hidden, layers, tie; /* Hugging Face only */
} large_fields;

#define XL_COMMON                                                                                            \
    {"embedding_dim", XL_INT, offsetof(large_fields, dim), NULL},                                            \
        {"num_heads", XL_INT, offsetof(large_fields, heads), NULL},                                          \
        {"num_blocks", XL_INT, offsetof(large_fields, blocks), NULL},                                        \
        {"vocab_size", XL_INT, offsetof(large_fields, vocab), NULL},                                         \
        {"use_bias", XL_BOOL, offsetof(large_fields, bias), NULL},                                           \
        {"norm_eps", XL_F64, offsetof(large_fields, norm_eps), NULL},                                        \
        {"add_out_norm", XL_BOOL, offsetof(large_fields, out_norm), NULL},                                   \
        {"qk_dim_factor", XL_F64, offsetof(large_fields, qk), NULL},                                         \
        {"v_dim_factor", XL_F64, offsetof(large_fields, v), NULL},                                           \
        {"chunk_size", XL_INT, offsetof(large_fields, chunk), NULL},                                         \
        {"eps", XL_F64, offsetof(large_fields, eps), NULL},                                                  \
        {"ffn_proj_factor", XL_F64, offsetof(large_fields, ffn), NULL},                                      \
        {"ffn_round_up_to_multiple_of", XL_INT, offsetof(large_fields, round_up), NULL},                     \
        {"gate_soft_cap", XL_F64, offsetof(large_fields, gate_cap), NULL},                                   \
        {"output_logit_soft_cap", XL_F64, offsetof(large_fields, logit_cap), NULL},                          \
        {"weight_mode", XL_CHOICE, offsetof(large_fields, fused), weight_modes},                             \
        {"chunkwise_kernel", XL_CONSTANT, 0, chunkwise}, {"sequence_kernel", XL_CONSTANT, 0, sequence},      \
        {"step_kernel", XL_CONSTANT, 0, step}, {"autocast_kernel_dtype", XL_CONSTANT, 0, float32}, {         \
        "inference_state_dtype", XL_CONSTANT, 0, float32                                                     \
    }

static const xl_field large_table[] = {XL_COMMON, {"mode", XL_CONSTANT, 0, train}, XL_IGNORED_ANYWHERE};

#define XL_IGNORE(key)                                                                                       \
    { key, XL_IGNORED, 0, NULL }
static const xl_field hf_table[] = {
    XL_COMMON,
    {"model_type", XL_CONSTANT, 0, model_type},
    {"hidden_size", XL_INT, offsetof(large_fields, hidden), NULL},
    {"num_hidden_layers", XL_INT, offsetof(large_fields, layers), NULL},
    {"tie_word_embeddings", XL_BOOL, offsetof(large_fields, tie), NULL},
    /* in older files; transformers reads none of them, so they matter only where they were not off */
    {"add_qk_norm", XL_MUST_BE_OFF, 0, NULL},
    {"add_post_norm", XL_MUST_BE_OFF, 0, NULL},
    {"quantization_config", XL_MUST_BE_OFF, 0, NULL},
    {"is_encoder_decoder", XL_MUST_BE_OFF, 0, NULL},
    {"add_cross_attention", XL_MUST_BE_OFF, 0, NULL},
    {"chunk_size_feed_forward", XL_MUST_BE_OFF, 0, NULL},
    XL_IGNORE("add_embedding_dropout"),
    XL_IGNORE("add_post_blocks_norm"), /* add_out_norm is what is read */
    XL_IGNORE("pad_token_id"),
    XL_IGNORE("bos_token_id"),
    XL_IGNORE("eos_token_id"),
    XL_IGNORE("sep_token_id"),
    XL_IGNORE("force_bos_token_insert"),
    XL_IGNORE("add_forward_backend_padding"),
    XL_IGNORE("igate_bias_init_range"),
    XL_IGNORE("mlstm_round_up_to_multiple_of"),
    XL_IGNORE("cell_norm_eps"),
    XL_IGNORE("head_dim"),
    /* what transformers writes into every file */
    XL_IGNORE("_attn_implementation_autoset"),
    XL_IGNORE("torchscript"),
    XL_IGNORE("return_dict"),
    XL_IGNORE("output_hidden_states"),
    XL_IGNORE("output_attentions"),
    XL_IGNORE("id2label"),
    XL_IGNORE("label2id"),
    XL_IGNORE("problem_type"),
    XL_IGNORE("finetuning_task"),
    XL_IGNORE("task_specific_params"),
    XL_IGNORE("tokenizer_class"),
    XL_IGNORE("prefix"),
    XL_IGNORE("is_decoder"),
    XL_IGNORE("decoder_start_token_id"),
    XL_IGNORE("cross_attention_hidden_size"),
    XL_IGNORE("tie_encoder_decoder"),
    XL_IGNORE("pruned_heads"),
    XL_IGNORE("use_bfloat16"),
    XL_IGNORE("tf_legacy_loss"),
    /* generation settings of older versions */
    XL_IGNORE("max_length"),
    XL_IGNORE("min_length"),
    XL_IGNORE("do_sample"),
    XL_IGNORE("early_stopping"),
    XL_IGNORE("num_beams"),
    XL_IGNORE("num_beam_groups"),
    XL_IGNORE("diversity_penalty"),
    XL_IGNORE("temperature"),
    XL_IGNORE("top_k"),
    XL_IGNORE("top_p"),
    XL_IGNORE("typical_p"),
    XL_IGNORE("repetition_penalty"),
    XL_IGNORE("length_penalty"),
    XL_IGNORE("no_repeat_ngram_size"),
    XL_IGNORE("encoder_no_repeat_ngram_size"),
    XL_IGNORE("bad_words_ids"),
    XL_IGNORE("num_return_sequences"),
    XL_IGNORE("output_scores"),
    XL_IGNORE("return_dict_in_generate"),
    XL_IGNORE("forced_bos_token_id"),
    XL_IGNORE("forced_eos_token_id"),
    XL_IGNORE("remove_invalid_values"),
    XL_IGNORE("exponential_decay_length_penalty"),
    XL_IGNORE("suppress_tokens"),
    XL_IGNORE("begin_suppress_tokens"),
    XL_IGNORED_ANYWHERE,
};

/* ---- reading ---- */

/* Python's int(dim * factor). Stored as float, the factor may fall just below; then it takes the next float
 * up. */
static xlstm_status read_factor(float *to, double factor, int dim, const char *key, const char *where) {
    double width = floor(dim * factor);
    if (!(width >= 1 && width <= (1 << 20)))
        return xl_fail(XLSTM_E_CONFIG, "%s: field %s is %g; that leaves no width", where, key, factor);
    *to = (float)factor;
    while (xl_part(dim, *to) < width)
        *to = nextafterf(*to, INFINITY);
    while (xl_part(dim, *to) > width)
        *to = nextafterf(*to, 0);
    return XLSTM_OK;
}

static xlstm_status read_cap(double *to, double cap, const char *key, const char *where) {
    if (cap <= 0)
        return xl_fail(XLSTM_E_CONFIG, "%s: field %s is %g; it must be positive, or null for none", where,
                       key, cap);
    *to = isnan(cap) ? 0 : cap;
    return XLSTM_OK;
}

/* The package's round_up_to_next_multiple_of, which is not a ceiling when dim * factor is no whole number. */
static int ffn_width(double factor, int multiple, int dim) {
    if (!(factor > 0) || multiple < 1)
        return 0;
    double n = floor((dim * factor + multiple - 1) / multiple) * multiple;
    return n < 1 || n > (1 << 22) ? 0 : (int)n;
}

static xlstm_status read_sizes(xlstm_config *c, const large_fields *l, const char *where) {
    if (l->dim < 1 || l->dim > 1 << 17 || l->heads < 1 || l->vocab < 1)
        return xl_fail(XLSTM_E_CONFIG,
                       "%s: embedding_dim, num_heads or vocab_size is missing or not positive", where);
    if (l->blocks < 1 || l->blocks > XLSTM_MAX_BLOCKS)
        return xl_fail(XLSTM_E_CONFIG, "%s: num_blocks is missing or not 1 to %d", where, XLSTM_MAX_BLOCKS);
    c->embedding_dim = l->dim;
    c->num_heads = l->heads;
    c->num_blocks = l->blocks;
    c->vocab_size = l->vocab;
    c->ffn_inner = ffn_width(l->ffn, l->round_up, l->dim);
    if (!c->ffn_inner)
        return xl_fail(XLSTM_E_CONFIG, "%s: ffn_proj_factor %g rounded to a multiple of %d gives no width",
                       where, l->ffn, l->round_up);
    c->ffn_proj_factor = (float)l->ffn;
    c->ffn_round_up = l->round_up;
    XL_TRY(read_factor(&c->qk_dim_factor, l->qk, l->dim, "qk_dim_factor", where));
    return read_factor(&c->v_dim_factor, l->v, l->dim, "v_dim_factor", where);
}

static xlstm_status read_options(xlstm_config *c, const large_fields *l, const char *where) {
    if (!(l->norm_eps > 0 && l->eps > 0))
        return xl_fail(XLSTM_E_CONFIG, "%s: norm_eps and eps must be positive", where);
    c->norm_eps = l->norm_eps;
    c->mlstm_eps = l->eps;
    c->bias = l->bias;
    c->final_norm = l->out_norm;
    c->tie_weights = l->tie;
    c->chunk_size = l->chunk >= 1 && l->chunk <= 1024 ? l->chunk : 64; /* speed only */
    c->file_spelling |= l->fused ? XLSTM_SPELL_FUSED : 0;
    XL_TRY(read_cap(&c->gate_soft_cap, l->gate_cap, "gate_soft_cap", where));
    return read_cap(&c->output_logit_soft_cap, l->logit_cap, "output_logit_soft_cap", where);
}

/* Two names for one number; null and absence mean the other one. */
static xlstm_status same(int *a, int *b, int fallback, const char *names, const char *where) {
    if (*a == MISSING && *b == MISSING)
        *a = fallback;
    if (*a == MISSING)
        *a = *b;
    if (*b != MISSING && *a != *b)
        return xl_fail(XLSTM_E_CONFIG, "%s: fields %s disagree: %d and %d", where, names, *a, *b);
    return XLSTM_OK;
}

/* Hugging Face writes null for "the other name's value". */
static void drop_nulls(json_t *object) {
    static const char *const keys[] = {"embedding_dim", "hidden_size", "num_blocks", "num_hidden_layers"};
    for (size_t i = 0; i < XL_COUNT(keys); i++)
        if (json_is_null(json_object_get(object, keys[i])))
            json_object_del(object, keys[i]);
}

static xlstm_status read_hf(large_fields *l, json_t *object, const char *where) {
    l->ffn = 2.667;
    l->vocab = 50304;
    l->heads = 8;
    drop_nulls(object);
    XL_TRY(xl_fields_read(hf_table, XL_COUNT(hf_table), l, object, where));
    l->out_norm = 1; /* transformers always has it */
    XL_TRY(same(&l->dim, &l->hidden, 4096, "embedding_dim and hidden_size", where));
    return same(&l->blocks, &l->layers, 32, "num_blocks and num_hidden_layers", where);
}

xlstm_status xl_large_from_json(xlstm_config *c, json_t *object, const char *where) {
    large_fields l = {.dim = MISSING,
                      .heads = MISSING,
                      .blocks = MISSING,
                      .vocab = MISSING,
                      .out_norm = 1,
                      .chunk = 64,
                      .round_up = 64,
                      .norm_eps = 1e-6,
                      .qk = 0.5,
                      .v = 1,
                      .ffn = 2.6667,
                      .gate_cap = 15,
                      .logit_cap = 30,
                      .eps = 1e-6,
                      .hidden = MISSING,
                      .layers = MISSING};
    xlstm_config_init(c, XLSTM_MLSTM_LARGE);
    if (json_object_get(object, "model_type")) {
        XL_TRY(read_hf(&l, object, where));
        c->file_spelling |= XLSTM_SPELL_HF;
    } else {
        XL_TRY(xl_fields_read(large_table, XL_COUNT(large_table), &l, object, where));
    }
    XL_TRY(read_sizes(c, &l, where));
    return read_options(c, &l, where);
}

/* ---- writing ---- */

/* What the format has; a field that is new in the library is not in it. */
#define SAYS(name) XL_READS(name)
static const uint64_t said = SAYS(vocab_size) | SAYS(embedding_dim) | SAYS(num_blocks) | SAYS(num_heads) |
                             SAYS(tie_weights) | SAYS(final_norm) | SAYS(bias) | SAYS(weights) |
                             SAYS(norm_eps) | SAYS(mlstm_eps) | SAYS(ffn_proj_factor) | SAYS(ffn_round_up) |
                             SAYS(ffn_inner) | SAYS(qk_dim_factor) | SAYS(v_dim_factor) |
                             SAYS(gate_soft_cap) | SAYS(output_logit_soft_cap);

int xl_large_fits(const xlstm_config *c) {
    int hf = c->file_spelling & XLSTM_SPELL_HF;
    for (int i = 0; i < c->num_blocks; i++)
        if (c->block_kind[i] != XLSTM_MLSTM_LARGE)
            return 0;
    return c->vocab_size > 0 && (hf ? c->final_norm : !c->tie_weights) && xl_config_says_all(c, said);
}

static double write_factor(float factor, int dim) {
    double s = xl_fields_short(factor);
    int width = xl_part(dim, factor);
    return floor(dim * s) == width ? s : (width + 0.5) / dim;
}

static void write_ffn(large_fields *l, const xlstm_config *c) {
    int inner = xl_ffn_inner(c);
    l->ffn = xl_fields_short(c->ffn_proj_factor);
    l->round_up = c->ffn_round_up;
    if (ffn_width(l->ffn, l->round_up, c->embedding_dim) == inner)
        return;
    l->ffn = (inner + 0.5) / c->embedding_dim;
    l->round_up = 1;
}

json_t *xl_large_to_json(const xlstm_config *c) {
    large_fields l = {.dim = c->embedding_dim,
                      .heads = c->num_heads,
                      .blocks = c->num_blocks,
                      .vocab = c->vocab_size,
                      .bias = c->bias,
                      .out_norm = c->final_norm,
                      .fused = (c->file_spelling & XLSTM_SPELL_FUSED) != 0,
                      .chunk = c->chunk_size,
                      .norm_eps = c->norm_eps > 0 ? c->norm_eps : XL_RMSNORM_EPS,
                      .qk = write_factor(c->qk_dim_factor, c->embedding_dim),
                      .v = write_factor(c->v_dim_factor, c->embedding_dim),
                      .gate_cap = c->gate_soft_cap > 0 ? c->gate_soft_cap : NAN,
                      .logit_cap = c->output_logit_soft_cap > 0 ? c->output_logit_soft_cap : NAN,
                      .eps = xl_mlstm_eps(c),
                      .hidden = c->embedding_dim,
                      .layers = c->num_blocks,
                      .tie = c->tie_weights};
    write_ffn(&l, c);
    if (!(c->file_spelling & XLSTM_SPELL_HF))
        return xl_fields_write(large_table, XL_COUNT(large_table), &l);
    json_t *object = xl_fields_write(hf_table, XL_COUNT(hf_table), &l), *names = json_array();
    xl_json_append(&names, json_string(architectures[0]));
    xl_json_put(&object, "architectures", names);
    return object;
}
