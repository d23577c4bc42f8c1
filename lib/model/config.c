/* config.c - what a configuration starts from, what it must hold to, and when two are of one model. All of it
 * comes from config.def, the recipes of the blocks, and what their layers say; no kind is named here. */
#include "base/check.h"
#include "base/structs.h"
#include "model/module.h"
#include "model/recipes.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

const char *const xl_activation_names[] = {"gelu", "relu", "relu^2", "sigmoid", "swish", "selu", NULL};
const char *const xl_bias_init_names[] = {"powerlaw_blockdependent", "small_init", "standard", "zeros", NULL};

static const xlstm_config plain = {
    .struct_size = sizeof(xlstm_config),
#define XLSTM_FIELD(type, name, initial, low, high, read_by, json) .name = initial,
#include "xlstm/config.def"
};

/* The struct ends with a field: where it ended in padding, a later field would lie there, and older programs
 * leave padding as it is. */
#define XLSTM_FIELD(type, name, initial, low, high, read_by, json)                                           \
    XL_END_OF(xlstm_config, name) == sizeof(xlstm_config) ||
_Static_assert(
#include "xlstm/config.def"
    0, "xlstm_config ends in padding; fill it up with another field");

xlstm_status xl_config_take(xlstm_config *own, const xlstm_config *given) {
    *own = plain; /* of the fields after the first layout, all kinds have the same defaults */
    return xl_struct_take(own, sizeof *own, XL_END_OF(xlstm_config, output_logit_soft_cap), given,
                          "xlstm_config");
}

void xlstm_config_init_sized(xlstm_config *config, size_t size, xlstm_block_kind kind) {
    const xl_recipe *r = xl_recipe_of(kind);
    xlstm_config c = plain;
    memset(c.block_kind, kind, sizeof c.block_kind);
    if (r && r->defaults)
        r->defaults(&c);
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
    long here = (at + 1) * s / (m + s), before = at * s / (m + s);
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

/* ---- fields and layers ---- */

typedef struct {
    uint64_t reads, instead; /* see xl_layer_kind */
} fields;

static fields fields_of_block(const xl_recipe *r, const xlstm_config *c) {
    fields f = {0, 0};
    for (int i = 0; i < xl_recipe_sublayers(r); i++) {
        const xl_layer_kind *layer = r->sublayers[i].layer;
        f.reads |= layer->switches;
        if (!xl_sublayer_there(&r->sublayers[i], c))
            continue;
        f.reads |= layer->reads;
        f.instead |= layer->reads_instead;
    }
    if (r->family->norm_bias)
        f.reads |= XL_READS(bias);
    return f;
}

/* What the layers of a model read, whose kinds of block there are. */
static fields fields_of(const xlstm_config *c) {
    fields all = {0, 0};
    for (int i = 0; i < c->num_blocks; i++) {
        fields f = fields_of_block(xl_recipe_of(c->block_kind[i]), c);
        all.reads |= f.reads;
        all.instead |= f.instead;
    }
    return all;
}

/* ---- checks ---- */

/* Of which fields the ranges are looked at, in this order. */
typedef enum { BEFORE_LAYERS, OF_LAYERS, OF_TOKENS, OF_VECTORS } turn;
enum {
    TURN_MODEL = BEFORE_LAYERS,
    TURN_LAYERS_STRICT = BEFORE_LAYERS,
    TURN_NOBODY = BEFORE_LAYERS,
    TURN_LAYERS = OF_LAYERS,
    TURN_TOKENS = OF_TOKENS,
    TURN_VECTORS = OF_VECTORS
};

#define IN_RANGE(name, value, low, high)                                                                     \
    _Generic((value), float : xl_check_float_range, default : xl_check_range)(name, value, low, high)

static xlstm_status check_ranges(const xlstm_config *c, turn now, uint64_t which) {
#define XLSTM_FIELD(type, name, initial, low, high, read_by, json)                                           \
    if (now == (turn)TURN_##read_by && (which & XL_READS(name)))                                             \
        XL_TRY(IN_RANGE(#name, c->name, low, high));
#include "xlstm/config.def"
    return XLSTM_OK;
}

static xlstm_status check_block(const xlstm_config *c, int kind) {
    const xl_recipe *r = xl_recipe_of(kind);
    if (!r)
        return xl_fail(XLSTM_E_CONFIG, "block kind %d is unknown; use an xlstm_block_kind", kind);
    XL_TRY(xl_recipe_check(r));
    fields f = fields_of_block(r, c);
    XL_TRY(check_ranges(c, OF_LAYERS, f.reads | f.instead));
    for (int i = 0; i < xl_recipe_sublayers(r); i++)
        if (r->sublayers[i].layer->check && xl_sublayer_there(&r->sublayers[i], c))
            XL_TRY(r->sublayers[i].layer->check(c));
    return XLSTM_OK;
}

/* Everything but what goes in and out of a whole model. */
xlstm_status xl_config_check_blocks(const xlstm_config *c) {
    XL_TRY(check_ranges(c, BEFORE_LAYERS, UINT64_MAX));
    for (int i = 0; i < c->num_blocks; i++)
        XL_TRY(check_block(c, c->block_kind[i]));
    return XLSTM_OK;
}

static xlstm_status check_ends(const xlstm_config *c) {
    XL_TRY(check_ranges(c, OF_TOKENS, UINT64_MAX));
    if (c->vocab_size > 0)
        return XLSTM_OK;
    XL_TRY(check_ranges(c, OF_VECTORS, UINT64_MAX));
    if (c->tie_weights)
        return xl_fail(XLSTM_E_CONFIG, "tie_weights needs tokens; set vocab_size or leave tie_weights 0");
    return XLSTM_OK;
}

xlstm_status xlstm_config_check(const xlstm_config *config) {
    xlstm_config c;
    XL_TRY(xl_config_take(&c, config));
    XL_TRY(xl_config_check_blocks(&c));
    return check_ends(&c);
}

/* ---- one spelling of each model ---- */

/* What a 0 in norm_eps stands for, everywhere in the model; 0: not the same thing everywhere. */
static double common_eps(const xlstm_config *c) {
    double common = 0;
    for (int i = 0; i < c->num_blocks; i++) {
        const xl_recipe *r = xl_recipe_of(c->block_kind[i]);
        double around = r->norm == XL_RMSNORM ? XL_RMSNORM_EPS : XL_LAYERNORM_EPS;
        int inside = (fields_of_block(r, c).reads & XL_READS(norm_eps)) != 0; /* RMSNorm's, for any layer */
        if ((i > 0 && around != common) || (inside && around != XL_RMSNORM_EPS))
            return 0;
        common = around;
    }
    return common;
}

static void resolve(xlstm_config *c) {
    for (int i = 0; i < c->num_blocks; i++) {
        const xl_recipe *r = xl_recipe_of(c->block_kind[i]);
        for (int k = 0; k < xl_recipe_sublayers(r); k++)
            if (r->sublayers[k].layer->resolve && xl_sublayer_there(&r->sublayers[k], c))
                r->sublayers[k].layer->resolve(c);
    }
    if (c->norm_eps <= 0)
        c->norm_eps = common_eps(c);
}

void xl_config_normalise(xlstm_config *c) {
    resolve(c);
    const uint64_t reads = fields_of(c).reads;
    const int tokens = c->vocab_size != 0;
#define COUNTS_MODEL(name) 1
#define COUNTS_TOKENS(name) tokens
#define COUNTS_VECTORS(name) !tokens
#define COUNTS_LAYERS(name) (reads & XL_READS(name))
#define COUNTS_LAYERS_STRICT(name) (reads & XL_READS(name))
#define COUNTS_NOBODY(name) 0
#define XLSTM_FIELD(type, name, initial, low, high, read_by, json)                                           \
    if (!(COUNTS_##read_by(name)))                                                                           \
        c->name = plain.name;
#include "xlstm/config.def"
}

void xl_config_forget_training(xlstm_config *c) {
    c->dropout = c->ffn_dropout = 0;
    c->embedding_dropout = c->decay_embedding = 0;
    c->slstm_recurrent_cut = 0;
    c->slstm_recurrent_clip = 0;
    c->weights = XLSTM_WEIGHTS_REAL;
}

int xl_config_says_all(const xlstm_config *c, uint64_t said) {
    xlstm_config all = *c, part = *c;
#define XLSTM_FIELD(type, name, initial, low, high, read_by, json)                                           \
    if (!(said & XL_READS(name)))                                                                            \
        part.name = plain.name;
#include "xlstm/config.def"
    xl_config_normalise(&all);
    xl_config_normalise(&part);
#define XLSTM_FIELD(type, name, initial, low, high, read_by, json)                                           \
    if (all.name != part.name)                                                                               \
        return 0;
#include "xlstm/config.def"
    return 1;
}
