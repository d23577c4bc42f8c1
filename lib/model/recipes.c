/* recipes.c - every block kind, one line each, and the families that they are from. */
#include "model/recipes.h"
#include "base/error.h"

const xl_family xl_family_paper = {
    .block = "xlstm_block_stack.blocks.%d.",
    .embedding = "token_embedding.weight",
    .norm = "xlstm_block_stack.post_blocks_norm",
};
const xl_family xl_family_large = {
    .block = "backbone.blocks.%d.",
    .embedding = "embedding.weight",
    .norm = "backbone.out_norm",
    .norm_bias = 1,
    .zero_gate = 1,
};
static const xl_family own = {.block = "blocks.%d.", .embedding = "embedding.weight", .norm = "norm"};
static const xl_family lstm = {.block = "", .embedding = "embedding.weight", .norm = "norm", .one_lstm = 1};

static void large_defaults(xlstm_config *c) {
    c->ffn_proj_factor = 2.667f;
    c->gate_soft_cap = 15;
    c->output_logit_soft_cap = 30;
}

static void transformer_defaults(xlstm_config *c) {
    c->ffn_proj_factor = 2.667f;
}

static void plain_defaults(xlstm_config *c) {
    c->final_norm = 0;
}

/* name, family, norm, residual; per sublayer the norm's name, the layer and its name; defaults of its own */
/* clang-format off */
#define ALL(norm, layer, name) {norm, &xl_layer_##layer, name, XL_ROWS_ALL}
static const xl_recipe recipes[XLSTM_BLOCK_KINDS] = {
    [XLSTM_MLSTM] = {"mlstm", &xl_family_paper, XL_LAYERNORM1P, 1, {ALL("xlstm_norm", mlstm, "xlstm.")}, NULL},
    [XLSTM_SLSTM] = {"slstm", &xl_family_paper, XL_LAYERNORM1P, 1,
                     {ALL("xlstm_norm", slstm, "xlstm."), ALL("ffn_norm", ffn, "ffn.")}, NULL},
    [XLSTM_MLSTM_LARGE] = {"mlstm_large", &xl_family_large, XL_RMSNORM, 1,
                           {ALL("norm_mlstm", mlstm_large, "mlstm_layer."), ALL("norm_ffn", swiglu, "ffn.")}, large_defaults},
    [XLSTM_LSTM] = {"lstm", &own, XL_LAYERNORM1P, 1, {ALL("norm", lstm, "lstm.")}, NULL},
    [XLSTM_LSTM_PLAIN] = {"lstm_plain", &lstm, XL_NO_NORM, 0, {ALL(NULL, lstm, "lstm.")}, plain_defaults},
    [XLSTM_TRANSFORMER] = {"transformer", &own, XL_RMSNORM, 1,
                           {ALL("norm_att", attention, "attention."), ALL("norm_ffn", swiglu, "ffn.")}, transformer_defaults},
};
/* clang-format on */

const xl_recipe *xl_recipe_of(int kind) {
    return kind >= 0 && kind < XLSTM_BLOCK_KINDS && recipes[kind].name ? &recipes[kind] : NULL;
}

const char *xlstm_block_kind_name(xlstm_block_kind kind) {
    const xl_recipe *r = xl_recipe_of(kind);
    return r ? r->name : NULL;
}

int xl_recipe_sublayers(const xl_recipe *r) {
    int n = 0;
    while (n < XL_MAX_SUBLAYERS && r->sublayers[n].layer)
        n++;
    return n;
}

int xl_sublayer_there(const xl_sublayer_recipe *s, const xlstm_config *c) {
    return !s->layer->there || s->layer->there(c);
}

xlstm_status xl_recipe_check(const xl_recipe *r) {
    for (int i = 0; i < xl_recipe_sublayers(r); i++)
        if (r->sublayers[i].rows != XL_ROWS_ALL)
            return xl_fail(XLSTM_E_CONFIG,
                           "sublayer %s of block kind %s is for some rows of a batch only, and a stack runs "
                           "all; give it XL_ROWS_ALL, or teach lib/model/stack.c",
                           r->sublayers[i].layer_name, r->name);
    return XLSTM_OK;
}
