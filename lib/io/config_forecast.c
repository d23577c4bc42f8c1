/* config_forecast.c - the configuration of a forecasting model, which holds what its package's constructor is
 * given (TiRex-2, arXiv 2607.01204). What would change the numbers and is not known is refused by name. */
#include "base/mem.h"
#include "file/file.h"
#include "io/forecast_io.h"
#include <limits.h>
#include <math.h>
#include <string.h>

#define XL_IGNORE(key)                                                                                       \
    { key, XL_IGNORED, 0, NULL }
#define AT(field) offsetof(forecast_fields, field)

enum { MISSING = INT_MIN };

static const char *const acts[] = {"SiLU", "ReLU", "GELU", "Tanh", NULL};
static const char *const mixers[] = {"bi-mlstm", "bi-slstm", NULL};

typedef struct {
    json_t *stack, *tokenizer, *scaler, *out_norm, *quantiles, *act;
    int blocks, dim, in_patch, out_patch, context, future, ff, qk_norm, flip, diff;
    double expand;
} forecast_fields;

static const xl_field top_table[] = {
    {"stack_config", XL_JSON, AT(stack), NULL},
    {"num_blocks", XL_INT, AT(blocks), NULL},
    {"embedding_dim", XL_INT, AT(dim), NULL},
    {"input_patch_size", XL_INT, AT(in_patch), NULL},
    {"output_patch_size", XL_INT, AT(out_patch), NULL},
    {"quantiles", XL_JSON, AT(quantiles), NULL},
    {"tokenizer_cfg", XL_JSON, AT(tokenizer), NULL},
    {"scaler_cfg", XL_JSON, AT(scaler), NULL},
    {"h_expand", XL_F64, AT(expand), NULL},
    {"context_len", XL_INT, AT(context), NULL},
    {"future_len", XL_INT, AT(future), NULL},
    {"input_ff_dim", XL_INT, AT(ff), NULL},
    {"act_func", XL_JSON, AT(act), NULL},
    {"use_qk_norm", XL_BOOL, AT(qk_norm), NULL},
    {"stack_out_norm_config", XL_JSON, AT(out_norm), NULL},
    {"tta_sign_flip", XL_BOOL, AT(flip), NULL},
    {"tta_diff", XL_BOOL, AT(diff), NULL},
    XL_IGNORE("dropout"),
    XL_IGNORE("device"),
    XL_IGNORE("matmul_precision"),
    XL_IGNORE("postprocessor_cfg"),
};

#undef AT
#define AT(field) offsetof(mixer_fields, field)

typedef struct {
    json_t *time, *variate;
    int slstm, dim, heads, slstm_heads;
} mixer_fields;

static const xl_field template_table[] = {{"time_mixer", XL_JSON, AT(time), NULL},
                                          {"variate_mixer", XL_JSON, AT(variate), NULL},
                                          XL_IGNORE("dropout"),
                                          XL_IGNORE("eps")};
static const xl_field time_table[] = {{"model_type", XL_CHOICE, AT(slstm), mixers},
                                      {"embedding_dim", XL_INT, AT(dim), NULL},
                                      {"num_heads", XL_INT, AT(heads), NULL},
                                      {"num_slstm_heads", XL_INT, AT(slstm_heads), NULL},
                                      XL_IGNORE("device"),
                                      XL_IGNORE("rnn_backend")};
static const xl_field variate_table[] = {{"embedding_dim", XL_INT, AT(dim), NULL},
                                         {"num_heads", XL_INT, AT(heads), NULL},
                                         XL_IGNORE("use_flex_attention")};

/* ---- reading ---- */

int xl_forecast_config_is(const json_t *object) {
    return json_object_get(object, "stack_config") && json_object_get(object, "future_len");
}

static xlstm_status missing(const char *where, const char *key) {
    return xl_fail(XLSTM_E_CONFIG, "%s: field %s is missing", where, key);
}

/* Two sizes that must be one. */
static xlstm_status check_same(const char *where, const char *key, int value, const char *other, int whole) {
    if (value == MISSING || value == whole)
        return XLSTM_OK;
    return xl_fail(XLSTM_E_CONFIG, "%s: field %s is %d, but %s is %d", where, key, value, other, whole);
}

static xlstm_status read_mixer(mixer_fields *m, const xl_field *table, size_t count, json_t *object,
                               const char *name, const char *where, int dim) {
    char path[160];
    xl_sentence(path, sizeof path, "%s, %.30s", where, name);
    XL_TRY(xl_fields_read(table, count, m, object, path));
    return check_same(path, "embedding_dim", m->dim, "embedding_dim of the model", dim);
}

static xlstm_status read_template(struct xl_forecast_block *b, json_t *object, int dim, const char *where) {
    mixer_fields t = {0}, time = {.slstm = MISSING, .dim = MISSING, .heads = 4, .slstm_heads = MISSING},
                 variate = {.dim = MISSING, .heads = 4};
    XL_TRY(xl_fields_read(template_table, XL_COUNT(template_table), &t, object, where));
    if (!t.time)
        return missing(where, "time_mixer");
    if (!t.variate)
        return missing(where, "variate_mixer");
    XL_TRY(read_mixer(&time, time_table, XL_COUNT(time_table), t.time, "time_mixer", where, dim));
    XL_TRY(
        read_mixer(&variate, variate_table, XL_COUNT(variate_table), t.variate, "variate_mixer", where, dim));
    if (time.slstm == MISSING)
        return missing(where, "model_type of time_mixer");
    *b = (struct xl_forecast_block){
        time.slstm, time.slstm && time.slstm_heads != MISSING ? time.slstm_heads : time.heads, variate.heads};
    return XLSTM_OK;
}

static xlstm_status read_stack(struct xl_forecast_config *c, json_t *stack, const char *where) {
    char path[200];
    json_t *recipe = json_object_get(stack, "recipe"), *templates = json_object_get(stack, "templates"),
           *name;
    static const xl_field table[] = {XL_IGNORE("recipe"), XL_IGNORE("templates")};
    size_t i;
    XL_TRY(xl_fields_read(table, XL_COUNT(table), NULL, stack, where));
    if (!json_is_array(recipe) || !json_is_object(templates))
        return missing(where, json_is_array(recipe) ? "templates of stack_config" : "recipe of stack_config");
    if (json_array_size(recipe) != (size_t)c->num_blocks)
        return xl_fail(XLSTM_E_CONFIG, "%s: field num_blocks is %d, but recipe has %zu entries", where,
                       c->num_blocks, json_array_size(recipe));
    json_array_foreach(recipe, i, name) {
        const char *text = json_string_value(name);
        json_t *object = text ? json_object_get(templates, text) : NULL;
        if (!object)
            return xl_fail(XLSTM_E_CONFIG, "%s: entry %zu of recipe, \"%.60s\", is not one of templates",
                           where, i, text ? text : "not a text");
        xl_sentence(path, sizeof path, "%s: template %.60s", where, text);
        XL_TRY(read_template(&c->block[i], object, c->embedding_dim, path));
    }
    return XLSTM_OK;
}

static xlstm_status read_tokenizer(const forecast_fields *f, const char *where) {
    struct {
        int in, out, stride;
    } t = {MISSING, MISSING, MISSING};
    const xl_field table[] = {{"input_patch_size", XL_INT, 0, NULL},
                              {"output_patch_size", XL_INT, sizeof(int), NULL},
                              {"input_patch_stride", XL_INT, 2 * sizeof(int), NULL}};
    XL_TRY(check_same(where, "output_patch_size", f->out_patch, "input_patch_size", f->in_patch));
    if (!f->tokenizer || json_is_null(f->tokenizer))
        return XLSTM_OK;
    XL_TRY(xl_fields_read(table, XL_COUNT(table), &t, f->tokenizer, where));
    XL_TRY(check_same(where, "input_patch_size of tokenizer_cfg", t.in, "input_patch_size", f->in_patch));
    XL_TRY(check_same(where, "output_patch_size of tokenizer_cfg", t.out, "input_patch_size", f->in_patch));
    return check_same(where, "input_patch_stride of tokenizer_cfg", t.stride, "input_patch_size",
                      f->in_patch);
}

static xlstm_status read_scaler(struct xl_forecast_config *c, json_t *object, const char *where) {
    static const xl_field table[] = {
        {"use_arcsinh", XL_BOOL, offsetof(struct xl_forecast_config, use_arcsinh), NULL},
        {"binaryaware", XL_BOOL, offsetof(struct xl_forecast_config, binaryaware), NULL},
        {"eps", XL_F64, offsetof(struct xl_forecast_config, scaler_eps), NULL}};
    return object && !json_is_null(object) ? xl_fields_read(table, XL_COUNT(table), c, object, where)
                                           : XLSTM_OK;
}

static xlstm_status read_out_norm(struct xl_forecast_config *c, json_t *object, const char *where) {
    static const xl_field table[] = {{"eps", XL_F64, offsetof(struct xl_forecast_config, out_norm_eps), NULL},
                                     XL_IGNORE("use_rmsnorm")}; /* either way no mean is taken away */
    c->out_norm = object && !json_is_null(object);
    return c->out_norm ? xl_fields_read(table, XL_COUNT(table), c, object, where) : XLSTM_OK;
}

static xlstm_status read_quantiles(struct xl_forecast_config *c, const json_t *list, const char *where) {
    const json_t *level;
    size_t i, count = json_array_size(list);
    if (count < 1 || count > XL_FORECAST_MOST_QUANTILES)
        return xl_fail(XLSTM_E_CONFIG, "%s: field quantiles must list 1 to %d levels", where,
                       XL_FORECAST_MOST_QUANTILES);
    c->num_quantiles = (int)count;
    json_array_foreach(list, i, level) {
        if (!json_is_number(level))
            return xl_fail(XLSTM_E_CONFIG, "%s: entry %zu of quantiles is not a number", where, i);
        c->quantiles[i] = json_number_value(level);
    }
    return XLSTM_OK;
}

/* A name in torch.nn, with or without the path of its module. */
static xlstm_status read_act(struct xl_forecast_config *c, const json_t *value, const char *where) {
    const char *text = json_string_value(value), *dot = text ? strrchr(text, '.') : NULL;
    static const char *const paths[] = {"torch.nn.", "torch.nn.modules.activation.", "nn."};
    size_t path = dot ? (size_t)(dot + 1 - text) : 0;
    int known = path == 0;
    for (size_t i = 0; i < XL_COUNT(paths); i++)
        known |= strlen(paths[i]) == path && !strncmp(text, paths[i], path);
    for (c->act = 0; text && known && acts[c->act]; c->act++)
        if (!strcmp(text + path, acts[c->act]))
            return XLSTM_OK;
    return xl_fail(XLSTM_E_CONFIG, "%s: field act_func is \"%.60s\"; SiLU, ReLU, GELU and Tanh are supported",
                   where, text ? text : "not a text");
}

static xlstm_status check_present(const forecast_fields *f, const char *where) {
    const struct {
        const char *key;
        int there;
    } needed[] = {{"stack_config", f->stack != NULL},     {"num_blocks", f->blocks != MISSING},
                  {"embedding_dim", f->dim != MISSING},   {"input_patch_size", f->in_patch != MISSING},
                  {"context_len", f->context != MISSING}, {"future_len", f->future != MISSING},
                  {"quantiles", f->quantiles != NULL},    {"input_ff_dim", f->ff != MISSING},
                  {"h_expand", f->expand != MISSING},     {"act_func", f->act != NULL}};
    for (size_t i = 0; i < XL_COUNT(needed); i++)
        if (!needed[i].there)
            return missing(where, needed[i].key);
    if (f->blocks < 1 || f->blocks > XL_FORECAST_MOST_BLOCKS)
        return xl_fail(XLSTM_E_CONFIG, "%s: field num_blocks is %d; it must be 1 to %d", where, f->blocks,
                       XL_FORECAST_MOST_BLOCKS);
    return XLSTM_OK;
}

static xlstm_status from_json(struct xl_forecast_config *c, json_t *object, const char *where) {
    forecast_fields f = {.blocks = MISSING,
                         .dim = MISSING,
                         .in_patch = MISSING,
                         .out_patch = MISSING,
                         .context = MISSING,
                         .future = MISSING,
                         .ff = MISSING,
                         .expand = MISSING,
                         .qk_norm = 1,
                         .diff = 1};
    XL_TRY(xl_fields_read(top_table, XL_COUNT(top_table), &f, object, where));
    XL_TRY(check_present(&f, where));
    *c = (struct xl_forecast_config){.num_blocks = f.blocks,
                                     .embedding_dim = f.dim,
                                     .patch_size = f.in_patch,
                                     .context_len = f.context,
                                     .future_len = f.future,
                                     .input_ff_dim = f.ff,
                                     .h_expand = f.expand,
                                     .use_qk_norm = f.qk_norm,
                                     .out_norm_eps = 1e-7,
                                     .scaler_eps = 1e-8,
                                     .tta_sign_flip = f.flip,
                                     .tta_diff = f.diff};
    XL_TRY(read_stack(c, f.stack, where));
    XL_TRY(read_tokenizer(&f, where));
    XL_TRY(read_scaler(c, f.scaler, where));
    XL_TRY(read_out_norm(c, f.out_norm, where));
    XL_TRY(read_quantiles(c, f.quantiles, where));
    return read_act(c, f.act, where);
}

xlstm_status xl_forecast_config_from_json(struct xl_forecast_config *c, json_t *object, const char *where) {
    XL_TRY(from_json(c, object, where));
    xlstm_status status = xl_forecast_config_check(c);
    return status == XLSTM_OK ? status : xl_fail_in(where, status);
}

/* What a path, or the config.json of a directory, holds. */
static xlstm_status read_object(json_t **object, const char *path) {
    xl_file_map map = {0};
    XL_TRY(xl_file_map_open(&map, path));
    xlstm_status status = xl_json_parse(object, map.data ? map.data : "", map.size, path);
    xl_file_map_close(&map);
    return status;
}

static char *file_of(const char *path) {
    return xl_path_is_dir(path) ? xl_path_join(path, "config.json") : xl_strdup(path);
}

int xl_forecast_config_is_at(const char *path) {
    char *file = file_of(path);
    json_t *object = NULL;
    int is = file && read_object(&object, file) == XLSTM_OK && xl_forecast_config_is(object);
    json_decref(object);
    xl_free(file);
    return is;
}

xlstm_status xl_forecast_config_load(struct xl_forecast_config *c, const char *path) {
    char *file = file_of(path);
    json_t *object = NULL;
    xlstm_status status = file ? read_object(&object, file) : xl_no_memory(0, "a file name");
    if (status == XLSTM_OK && !xl_forecast_config_is(object))
        status = xl_fail(XLSTM_E_CONFIG,
                         "%s: is not a forecasting model's, which has stack_config and future_len", file);
    if (status == XLSTM_OK)
        status = xl_forecast_config_from_json(c, object, file);
    json_decref(object);
    xl_free(file);
    return status;
}

/* ---- writing ---- */

static int same_block(const struct xl_forecast_block *a, const struct xl_forecast_block *b) {
    return a->slstm == b->slstm && a->heads == b->heads && a->variate_heads == b->variate_heads;
}

/* The first block like this one gives all of them the template's name. */
static void name_template(char name[40], const struct xl_forecast_config *c, int block) {
    int first = 0;
    while (!same_block(&c->block[first], &c->block[block]))
        first++;
    int plain = 1; /* none before it has the same kind */
    for (int i = 0; i < first; i++)
        plain &= c->block[i].slstm != c->block[first].slstm;
    const char *kind = c->block[first].slstm ? "slstm_attn" : "mlstm_attn";
    if (plain)
        xl_sentence(name, 40, "%s", kind);
    else
        xl_sentence(name, 40, "%s_%d", kind, first);
}

static json_t *template_of(const struct xl_forecast_block *b, int dim) {
    json_t *time = json_object(), *variate = json_object(), *object = json_object();
    xl_json_put(&time, "model_type", json_string(mixers[b->slstm]));
    xl_json_put(&time, "embedding_dim", json_integer(dim));
    xl_json_put(&time, "num_heads", json_integer(b->heads));
    xl_json_put(&time, "num_slstm_heads", json_integer(b->heads));
    xl_json_put(&variate, "embedding_dim", json_integer(dim));
    xl_json_put(&variate, "num_heads", json_integer(b->variate_heads));
    xl_json_put(&object, "time_mixer", time);
    xl_json_put(&object, "variate_mixer", variate);
    return object;
}

static json_t *stack_to_json(const struct xl_forecast_config *c) {
    json_t *templates = json_object(), *recipe = json_array(), *stack = json_object();
    for (int i = 0; i < c->num_blocks; i++) {
        char name[40];
        name_template(name, c, i);
        if (!json_object_get(templates, name))
            xl_json_put(&templates, name, template_of(&c->block[i], c->embedding_dim));
        xl_json_append(&recipe, json_string(name));
    }
    xl_json_put(&stack, "templates", templates);
    xl_json_put(&stack, "recipe", recipe);
    return stack;
}

static json_t *tokenizer_to_json(int patch) {
    json_t *object = json_object();
    xl_json_put(&object, "output_patch_size", json_integer(patch));
    xl_json_put(&object, "input_patch_size", json_integer(patch));
    xl_json_put(&object, "input_patch_stride", json_integer(patch));
    return object;
}

static json_t *scaler_to_json(const struct xl_forecast_config *c) {
    json_t *object = json_object();
    xl_json_put(&object, "use_arcsinh", json_boolean(c->use_arcsinh));
    xl_json_put(&object, "binaryaware", json_boolean(c->binaryaware));
    if (c->scaler_eps != 1e-8)
        xl_json_put(&object, "eps", json_real(c->scaler_eps));
    return object;
}

static json_t *out_norm_to_json(const struct xl_forecast_config *c) {
    json_t *object = c->out_norm ? json_object() : json_null();
    if (c->out_norm)
        xl_json_put(&object, "eps", json_real(c->out_norm_eps));
    return object;
}

json_t *xl_forecast_config_to_json(const struct xl_forecast_config *c) {
    json_t *object = json_object(), *quantiles = json_array();
    for (int q = 0; q < c->num_quantiles; q++)
        xl_json_append(&quantiles, json_real(c->quantiles[q]));
    xl_json_put(&object, "stack_config", stack_to_json(c));
    xl_json_put(&object, "num_blocks", json_integer(c->num_blocks));
    xl_json_put(&object, "embedding_dim", json_integer(c->embedding_dim));
    xl_json_put(&object, "input_patch_size", json_integer(c->patch_size));
    xl_json_put(&object, "output_patch_size", json_integer(c->patch_size));
    xl_json_put(&object, "quantiles", quantiles);
    xl_json_put(&object, "tokenizer_cfg", tokenizer_to_json(c->patch_size));
    xl_json_put(&object, "scaler_cfg", scaler_to_json(c));
    if (c->h_expand == (int)c->h_expand)
        xl_json_put(&object, "h_expand", json_integer((int)c->h_expand));
    else
        xl_json_put(&object, "h_expand", json_real(c->h_expand));
    xl_json_put(&object, "context_len", json_integer(c->context_len));
    xl_json_put(&object, "future_len", json_integer(c->future_len));
    xl_json_put(&object, "input_ff_dim", json_integer(c->input_ff_dim));
    xl_json_put(&object, "act_func", json_string(acts[c->act]));
    xl_json_put(&object, "use_qk_norm", json_boolean(c->use_qk_norm));
    xl_json_put(&object, "stack_out_norm_config", out_norm_to_json(c));
    xl_json_put(&object, "tta_sign_flip", json_boolean(c->tta_sign_flip));
    xl_json_put(&object, "tta_diff", json_boolean(c->tta_diff));
    return object;
}
