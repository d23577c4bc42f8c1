/* recipes.h - a block kind is a recipe: x += layer(norm(x)), once per sublayer. All that is known of a kind
 * is its recipe, and all that is known of a layer is its xl_layer_kind. */
#ifndef XL_RECIPES_H
#define XL_RECIPES_H

#include "layer/layer.h"

/* How a family names what is around its blocks, and how its layers begin. */
typedef struct {
    const char *block, *embedding, *norm; /* `block` takes the block's number */
    int norm_bias;                        /* RMS norms have a bias where config.bias is set */
    int zero_gate;                        /* see xl_layer_spec */
    int one_lstm;                         /* the blocks' LSTMs are the layers of one nn.LSTM */
} xl_family;
extern const xl_family xl_family_paper, xl_family_large;

typedef enum { XL_LAYERNORM1P, XL_RMSNORM, XL_NO_NORM } xl_norm_kind;

/* Which rows of a batch a sublayer is for. A forecasting model has targets and covariates, in groups. */
typedef enum {
    XL_ROWS_ALL,
    XL_ROWS_KNOWN,  /* covariates that are known ahead */
    XL_ROWS_GROUPED /* those of groups with two rows or more */
} xl_rows_for;

enum { XL_MAX_SUBLAYERS = 4 };

typedef struct {
    const char *norm_name;
    const xl_layer_kind *layer; /* NULL: there are no more */
    const char *layer_name;
    xl_rows_for rows;
} xl_sublayer_recipe;

typedef struct {
    const char *name;
    const xl_family *family;
    xl_norm_kind norm;
    int residual;
    xl_sublayer_recipe sublayers[XL_MAX_SUBLAYERS];
    void (*defaults)(xlstm_config *); /* what this kind's are besides those of config.def; NULL: nothing */
} xl_recipe;

/* NULL for a kind that there is not. */
const xl_recipe *xl_recipe_of(int kind);
int xl_recipe_sublayers(const xl_recipe *r);
/* Whether a block of this configuration has the sublayer's layer. */
int xl_sublayer_there(const xl_sublayer_recipe *s, const xlstm_config *c);
/* XLSTM_E_CONFIG for a recipe that the stack cannot run. */
xlstm_status xl_recipe_check(const xl_recipe *r);

#endif
