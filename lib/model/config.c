#include "base/error.h"
#include "base/structs.h"
#include "model/module.h"
#include "xlstm/config.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[XLSTM_BLOCK_KINDS] = {"mlstm", "slstm",      "mlstm_large",
                                                          "lstm",  "lstm_plain", "transformer"};

const char *xlstm_block_kind_name(xlstm_block_kind kind) {
    return (unsigned)kind < XLSTM_BLOCK_KINDS ? kind_names[kind] : NULL;
}

XL_GROWING(xlstm_config, output_logit_soft_cap, mlstm_eps)

xlstm_status xl_config_take(xlstm_config *own, const xlstm_config *given) {
    xlstm_config_init(own, XLSTM_MLSTM); /* of the later fields, all kinds have the same defaults */
    return take_xlstm_config(own, given);
}

void xlstm_config_init_sized(xlstm_config *config, size_t size, xlstm_block_kind kind) {
    int wide = kind == XLSTM_MLSTM_LARGE || kind == XLSTM_TRANSFORMER; /* Llama-style families */
    xlstm_config c = {
        .embedding_dim = 128,
        .num_blocks = 2,
        .num_heads = 4,
        .context_length = 256,
        .final_norm = kind != XLSTM_LSTM_PLAIN,
        .chunk_size = 64,
        .mlstm_proj_factor = 2,
        .mlstm_conv = 4,
        .mlstm_qkv_blocksize = 4,
        .slstm_conv = 4,
        .slstm_group_norm_weight = 1,
        .slstm_bias_init = XLSTM_BIAS_POWERLAW,
        .ffn = 1,
        .ffn_proj_factor = wide ? 2.667f : 1.3f,
        .ffn_round_up = 64,
        .ffn_act = XLSTM_GELU,
        .qk_dim_factor = 0.5f,
        .v_dim_factor = 1,
        .gate_soft_cap = kind == XLSTM_MLSTM_LARGE ? 15 : 0,
        .output_logit_soft_cap = kind == XLSTM_MLSTM_LARGE ? 30 : 0,
    };
    memset(c.block_kind, kind, sizeof c.block_kind);
    xl_struct_init(config, size, &c, sizeof c);
}

void xlstm_cell_config_init_sized(xlstm_cell_config *config, size_t size, xlstm_cell_kind kind) {
    xlstm_cell_config c = {.kind = kind,
                           .input_size = 1,
                           .hidden_size = 64,
                           .num_heads = kind == XLSTM_CELL_LSTM ? 1 : 4,
                           .chunk_size = 64};
    xl_struct_init(config, size, &c, sizeof c);
}

/* The block at `at` of a stack whose parts m:s repeat; a part longer than the stack is spread in proportion.
 */
static int is_slstm(long m, long s, int blocks, int at) {
    if (m + s <= blocks)
        return at % (m + s) >= m;
    long here = (long)(at + 1) * s / (m + s), before = (long)at * s / (m + s);
    return here > before;
}

xlstm_status xlstm_config_mix(xlstm_config *c, const char *ratio) {
    if (!c || !ratio)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "xlstm_config_mix: NULL argument; give a configuration and text like \"7:1\"");
    char *end = NULL;
    long m = strtol(ratio, &end, 10), s = -1;
    if (end != ratio && *end == ':') {
        const char *second = end + 1;
        s = strtol(second, &end, 10);
        if (end == second || *end)
            s = -1;
    }
    if (m < 0 || s < 0 || m > XLSTM_MAX_BLOCKS || s > XLSTM_MAX_BLOCKS || m + s == 0)
        return xl_fail(XLSTM_E_CONFIG,
                       "mix \"%s\" is not mLSTM:sLSTM; write two counts such as 7:1, 1:0 or 0:1", ratio);
    for (int i = 0; i < XLSTM_MAX_BLOCKS; i++)
        c->block_kind[i] = is_slstm(m, s, c->num_blocks, i) ? XLSTM_SLSTM : XLSTM_MLSTM;
    return XLSTM_OK;
}

xlstm_status xl_in_range(const char *name, double value, double low, double high) {
    if (!(value >= low && value <= high)) /* catches NaN too */
        return xl_fail(XLSTM_E_CONFIG, "%s is %.8g; it must be %.8g to %.8g", name, value, low, high);
    return XLSTM_OK;
}

static xlstm_status divides(const char *name, int part, const char *of, int whole) {
    if (part < 1 || whole < 1 || whole % part)
        return xl_fail(XLSTM_E_CONFIG, "%s is %d; it must divide %s, which is %d", name, part, of, whole);
    return XLSTM_OK;
}

/* An inner width, or else the factor that it comes from. Where both are there, only files have the factor. */
static xlstm_status check_inner(const char *factor_name, float factor, const char *name, int inner) {
    XL_TRY(xl_in_range(name, inner, 0, 1 << 22));
    return xl_in_range(factor_name, factor, inner ? 1e-6 : 1e-3, inner ? 1 << 22 : 64);
}

static xlstm_status check_mlstm(const xlstm_config *c) {
    XL_TRY(check_inner("mlstm_proj_factor", c->mlstm_proj_factor, "mlstm_inner", c->mlstm_inner));
    XL_TRY(xl_in_range("mlstm_conv", c->mlstm_conv, 1, 64));
    XL_TRY(xl_in_range("mlstm_qkv_blocksize", c->mlstm_qkv_blocksize, 1, 1 << 23));
    int inner = xl_mlstm_inner(c), heads = c->mlstm_heads ? c->mlstm_heads : c->num_heads;
    int blocks = xl_qkv_blocks(inner, c->mlstm_qkv_blocksize);
    if (blocks < 1 || inner % blocks)
        return xl_fail(XLSTM_E_CONFIG,
                       "mlstm_qkv_blocksize is %d; it must divide the mLSTM's inner width, which is %d",
                       c->mlstm_qkv_blocksize, inner);
    return divides("the number of mLSTM heads", heads, "the mLSTM's inner width", inner);
}

static xlstm_status check_slstm(const xlstm_config *c) {
    int heads = c->slstm_heads ? c->slstm_heads : c->num_heads;
    XL_TRY(xl_in_range("slstm_conv", c->slstm_conv, 0, 64));
    XL_TRY(xl_in_range("slstm_bias_init", c->slstm_bias_init, 0, XLSTM_BIAS_ZEROS));
    XL_TRY(xl_in_range("slstm_forward_clip", c->slstm_forward_clip, 0, 1e6));
    XL_TRY(xl_in_range("slstm_recurrent_clip", c->slstm_recurrent_clip, 0, 1e6));
    return divides("the number of sLSTM heads", heads, "embedding_dim", c->embedding_dim);
}

static xlstm_status check_large(const xlstm_config *c) {
    XL_TRY(xl_in_range("qk_dim_factor", c->qk_dim_factor, 1e-3, 16));
    XL_TRY(xl_in_range("v_dim_factor", c->v_dim_factor, 1e-3, 16));
    XL_TRY(divides("num_heads", c->num_heads, "qk_dim_factor * embedding_dim",
                   xl_part(c->embedding_dim, c->qk_dim_factor)));
    return divides("num_heads", c->num_heads, "v_dim_factor * embedding_dim",
                   xl_part(c->embedding_dim, c->v_dim_factor));
}

static xlstm_status check_attention(const xlstm_config *c) {
    XL_TRY(divides("num_heads", c->num_heads, "embedding_dim", c->embedding_dim));
    if (c->embedding_dim / c->num_heads % 2)
        return xl_fail(XLSTM_E_CONFIG,
                       "attention heads have %d numbers; rotary positions need an even head size",
                       c->embedding_dim / c->num_heads);
    return xl_in_range("context_length", c->context_length, 1, 1 << 24);
}

static xlstm_status check_block(const xlstm_config *c, int kind) {
    switch (kind) {
    case XLSTM_MLSTM:
        return check_mlstm(c);
    case XLSTM_SLSTM:
        return check_slstm(c);
    case XLSTM_MLSTM_LARGE:
        return check_large(c);
    case XLSTM_TRANSFORMER:
        return check_attention(c);
    case XLSTM_LSTM:
    case XLSTM_LSTM_PLAIN:
        return XLSTM_OK;
    }
    return xl_fail(XLSTM_E_CONFIG, "block kind %d is unknown; use an xlstm_block_kind", kind);
}

static xlstm_status check_numbers(const xlstm_config *c) {
    XL_TRY(xl_in_range("embedding_dim", c->embedding_dim, 1, 1 << 17));
    XL_TRY(xl_in_range("num_blocks", c->num_blocks, 1, XLSTM_MAX_BLOCKS));
    XL_TRY(xl_in_range("num_heads", c->num_heads, 1, 1 << 16));
    XL_TRY(xl_in_range("mlstm_heads", c->mlstm_heads, 0, 1 << 23)); /* of an inner width */
    XL_TRY(xl_in_range("slstm_heads", c->slstm_heads, 0, 1 << 17));
    XL_TRY(xl_in_range("dropout", c->dropout, 0, 0.99));
    XL_TRY(xl_in_range("ffn_dropout", c->ffn_dropout, -1, 0.99));
    XL_TRY(xl_in_range("weights", c->weights, 0, XLSTM_WEIGHTS_INT8));
    XL_TRY(xl_in_range("chunk_size", c->chunk_size, 1, 1024));
    XL_TRY(xl_in_range("norm_eps", c->norm_eps, 0, 1));
    XL_TRY(check_inner("ffn_proj_factor", c->ffn_proj_factor, "ffn_inner", c->ffn_inner));
    XL_TRY(xl_in_range("ffn_round_up", c->ffn_round_up, 1, 1 << 16));
    XL_TRY(xl_in_range("ffn_act", c->ffn_act, 0, XLSTM_SELU));
    XL_TRY(xl_in_range("mlstm_eps", c->mlstm_eps, 0, 1));
    XL_TRY(xl_in_range("file_spelling", c->file_spelling, 0,
                       XLSTM_SPELL_HF + XLSTM_SPELL_FUSED + XLSTM_SPELL_CUDA + XLSTM_SPELL_STACK));
    XL_TRY(xl_in_range("gate_soft_cap", c->gate_soft_cap, 0, 1e6));
    return xl_in_range("output_logit_soft_cap", c->output_logit_soft_cap, 0, 1e6);
}

static xlstm_status check_ends(const xlstm_config *c) {
    XL_TRY(xl_in_range("vocab_size", c->vocab_size, 0, 1 << 24));
    if (c->vocab_size > 0)
        return XLSTM_OK;
    XL_TRY(xl_in_range("input_dim", c->input_dim, 1, 1 << 20));
    XL_TRY(xl_in_range("output_dim", c->output_dim, 1, 1 << 20));
    if (c->tie_weights)
        return xl_fail(XLSTM_E_CONFIG, "tie_weights needs tokens; set vocab_size or leave tie_weights 0");
    return XLSTM_OK;
}

/* Everything but what goes in and out of a whole model. */
xlstm_status xl_config_check_blocks(const xlstm_config *c) {
    XL_TRY(check_numbers(c));
    for (int i = 0; i < c->num_blocks; i++)
        XL_TRY(check_block(c, c->block_kind[i]));
    return XLSTM_OK;
}

xlstm_status xlstm_config_check(const xlstm_config *config) {
    xlstm_config c;
    XL_TRY(xl_config_take(&c, config));
    XL_TRY(xl_config_check_blocks(&c));
    return check_ends(&c);
}

/* ---- one spelling of each model ---- */

static int has_kind(const xlstm_config *c, xlstm_block_kind kind) {
    return memchr(c->block_kind, kind, (size_t)c->num_blocks) != NULL;
}

static void normalise_mlstm(xlstm_config *c, const xlstm_config *plain) {
    int there = has_kind(c, XLSTM_MLSTM);
    c->mlstm_heads = !there ? 0 : c->mlstm_heads ? c->mlstm_heads : c->num_heads;
    c->mlstm_inner = there ? xl_mlstm_inner(c) : 0;
    c->mlstm_proj_factor = plain->mlstm_proj_factor;
    if (there)
        return;
    c->mlstm_conv = plain->mlstm_conv;
    c->mlstm_qkv_blocksize = plain->mlstm_qkv_blocksize;
}

static void normalise_slstm(xlstm_config *c, const xlstm_config *plain) {
    int there = has_kind(c, XLSTM_SLSTM);
    c->slstm_heads = !there ? 0 : c->slstm_heads ? c->slstm_heads : c->num_heads;
    c->slstm_recurrent_uniform = plain->slstm_recurrent_uniform;
    c->slstm_bias_init = plain->slstm_bias_init;
    if (there)
        return;
    c->slstm_conv = plain->slstm_conv;
    c->slstm_lstm = plain->slstm_lstm;
    c->slstm_recurrent_cut = plain->slstm_recurrent_cut;
    c->slstm_group_norm_weight = plain->slstm_group_norm_weight;
    c->slstm_forward_clip = plain->slstm_forward_clip;
    c->slstm_recurrent_clip = plain->slstm_recurrent_clip;
    c->ffn = plain->ffn;
}

static void normalise_ffn(xlstm_config *c, const xlstm_config *plain) {
    int gated = has_kind(c, XLSTM_SLSTM) && c->ffn;
    int there = gated || has_kind(c, XLSTM_MLSTM_LARGE) || has_kind(c, XLSTM_TRANSFORMER);
    c->ffn_inner = there ? xl_ffn_inner(c) : 0;
    c->ffn_proj_factor = plain->ffn_proj_factor;
    c->ffn_round_up = plain->ffn_round_up;
    if (gated)
        return;
    c->ffn_act = plain->ffn_act;
    c->ffn_bias = plain->ffn_bias;
}

/* Of mixed families each has its own epsilon, unless one is given for all. */
static void normalise_eps(xlstm_config *c) {
    int rms = 0;
    for (int i = 0; i < c->num_blocks; i++)
        rms += c->block_kind[i] == XLSTM_MLSTM_LARGE || c->block_kind[i] == XLSTM_TRANSFORMER;
    if (c->norm_eps <= 0 && (rms == 0 || rms == c->num_blocks))
        c->norm_eps = rms ? 1e-6 : 1e-5;
}

static void normalise_large(xlstm_config *c, const xlstm_config *plain) {
    if (has_kind(c, XLSTM_MLSTM_LARGE))
        return;
    c->qk_dim_factor = plain->qk_dim_factor;
    c->v_dim_factor = plain->v_dim_factor;
    c->gate_soft_cap = plain->gate_soft_cap;
}

/* What several kinds read: the paper's have heads of their own, and sLSTM and LSTM their biases in any case.
 */
static void normalise_shared(xlstm_config *c, const xlstm_config *plain) {
    int large = has_kind(c, XLSTM_MLSTM_LARGE), mlstm = has_kind(c, XLSTM_MLSTM);
    int wide = large || has_kind(c, XLSTM_TRANSFORMER);
    if (!wide)
        c->num_heads = plain->num_heads;
    if (!wide && !mlstm)
        c->bias = plain->bias;
    if ((!large && !mlstm) || c->mlstm_eps <= 0)
        c->mlstm_eps = 1e-6;
}

void xl_config_normalise(xlstm_config *c) {
    xlstm_config plain;
    xlstm_config_init(&plain, XLSTM_MLSTM);
    normalise_mlstm(c, &plain);
    normalise_slstm(c, &plain);
    normalise_ffn(c, &plain);
    normalise_large(c, &plain);
    normalise_eps(c);
    normalise_shared(c, &plain);
    if (!has_kind(c, XLSTM_TRANSFORMER))
        c->context_length = plain.context_length;
    if (c->vocab_size)
        c->input_dim = c->output_dim = 0;
    else
        c->decay_embedding = 0;
    c->chunk_size = plain.chunk_size;
    c->file_spelling = 0;
}
