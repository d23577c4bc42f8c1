/* Which of the formats a file has, its fields say, not its name. A configuration is written in the official
 * format that can say all of it; where none can, in the library's own. */
#include "io/config_json.h"
#include "base/mem.h"
#include "base/structs.h"
#include "file/file.h"
#include "model/module.h"
#include "xlstm/io.h"
#include <stdlib.h>
#include <string.h>

/* ---- the library's own dialect: xlstm_config, field by field ---- */

static const char *const own_type[] = {"libxlstm", NULL};

static const xl_field own_table[] = {
    {"model_type", XL_CONSTANT, 0, own_type}, {"blocks", XL_IGNORED, 0, NULL}, /* read by read_blocks */
#define OWN(name, kind, texts) {#name, kind, offsetof(xlstm_config, name), texts},
#define OWN_INT(name) OWN(name, XL_INT, NULL)
#define OWN_BOOL(name) OWN(name, XL_BOOL, NULL)
#define OWN_F32(name) OWN(name, XL_F32, NULL)
#define OWN_F64(name) OWN(name, XL_F64, NULL)
#define OWN_ACTIVATION(name) OWN(name, XL_CHOICE, xl_activation_names)
#define OWN_BIAS_INIT(name) OWN(name, XL_CHOICE, xl_bias_init_names)
#define OWN_NONE(name)
#define XLSTM_FIELD(type, name, initial, low, high, read_by, json) OWN_##json(name)
#include "xlstm/config.def"
};
_Static_assert(sizeof(xlstm_activation) == sizeof(int) && sizeof(xlstm_bias_init) == sizeof(int),
               "the table reads enums as int");

static int kind_of(const json_t *name) {
    const char *text = json_string_value(name);
    for (int k = 0; text && k < XLSTM_BLOCK_KINDS; k++)
        if (!strcmp(text, xlstm_block_kind_name((xlstm_block_kind)k)))
            return k;
    return -1;
}

static xlstm_status read_blocks(xlstm_config *c, const json_t *names, const char *where) {
    size_t n = json_array_size(names);
    if (n < 1 || n > XLSTM_MAX_BLOCKS)
        return xl_fail(XLSTM_E_CONFIG, "%s: field blocks must list 1 to %d kinds of block", where,
                       (int)XLSTM_MAX_BLOCKS);
    c->num_blocks = (int)n;
    for (size_t i = 0; i < n; i++) {
        int kind = kind_of(json_array_get(names, i));
        if (kind < 0)
            return xl_fail(XLSTM_E_CONFIG, "%s: entry %zu of field blocks is not a kind of block", where, i);
        c->block_kind[i] = (unsigned char)kind;
    }
    return XLSTM_OK;
}

static xlstm_status own_from_json(xlstm_config *c, json_t *object, const char *where) {
    const json_t *names = json_object_get(object, "blocks");
    int kind = kind_of(json_array_get(names, 0));
    xlstm_config_init(c, kind < 0 ? XLSTM_MLSTM : (xlstm_block_kind)kind);
    XL_TRY(read_blocks(c, names, where));
    return xl_fields_read(own_table, XL_COUNT(own_table), c, object, where);
}

json_t *xl_config_to_own_json(const xlstm_config *c) {
    json_t *object = xl_fields_write(own_table, XL_COUNT(own_table), c), *names = json_array();
    for (int i = 0; i < c->num_blocks; i++)
        xl_json_append(&names, json_string(xlstm_block_kind_name((xlstm_block_kind)c->block_kind[i])));
    xl_json_put(&object, "blocks", names);
    return object;
}

/* ---- which dialect ---- */

xlstm_status xl_config_from_json(xlstm_config *c, json_t *object, const char *where) {
    const json_t *type = json_object_get(object, "model_type");
    const char *name = json_string_value(type);
    if (name && !strcmp(name, "libxlstm"))
        return own_from_json(c, object, where);
    if (type && (!name || strcmp(name, "xlstm")))
        return xl_fail(XLSTM_E_CONFIG, "%s: model_type is \"%.60s\"; \"xlstm\" and \"libxlstm\" are known",
                       where, name ? name : "not a text");
    if (type)
        return xl_large_from_json(c, object, where);
    if (json_object_get(object, "mlstm_block") || json_object_get(object, "slstm_block") ||
        json_object_get(object, "slstm_at"))
        return xl_paper_from_json(c, object, where);
    if (json_object_get(object, "num_heads") && json_object_get(object, "embedding_dim"))
        return xl_large_from_json(c, object, where);
    return xl_fail(
        XLSTM_E_CONFIG,
        "%s: is not the configuration of an xLSTM: neither model_type, mlstm_block, slstm_block nor "
        "num_heads is there",
        where);
}

static int only_kinds(const xlstm_config *c, unsigned a, unsigned b) {
    for (int i = 0; i < c->num_blocks; i++)
        if (c->block_kind[i] != a && c->block_kind[i] != b)
            return 0;
    return 1;
}

/* A bare stack of blocks, which has no ends of its own to describe. */
static int is_stack(const xlstm_config *c) {
    return (c->file_spelling & XLSTM_SPELL_STACK) && c->input_dim == c->embedding_dim &&
           c->output_dim == c->embedding_dim && !c->embedding_dropout;
}

/* Can the official formats say all of it? */
static int fits_paper(const xlstm_config *c) {
    if (!only_kinds(c, XLSTM_MLSTM, XLSTM_SLSTM) || c->norm_eps > 0 || c->output_logit_soft_cap > 0 ||
        c->mlstm_eps > 0)
        return 0;
    int cut = c->slstm_recurrent_cut || c->slstm_recurrent_clip > 0;
    if (cut && !(c->file_spelling & XLSTM_SPELL_CUDA))
        return 0;
    if (c->slstm_forward_clip != c->slstm_recurrent_clip)
        return 0; /* the package has one value for both */
    return c->vocab_size > 0 || is_stack(c);
}

static int fits_large(const xlstm_config *c) {
    int hf = c->file_spelling & XLSTM_SPELL_HF;
    return only_kinds(c, XLSTM_MLSTM_LARGE, XLSTM_MLSTM_LARGE) && c->vocab_size > 0 && c->dropout <= 0 &&
           !c->decay_embedding && !c->embedding_dropout && (hf ? c->final_norm : !c->tie_weights);
}

xlstm_status xl_config_to_json(const xlstm_config *c, json_t **out) {
    XL_TRY(xlstm_config_check(c));
    *out = fits_paper(c)   ? xl_paper_to_json(c)
           : fits_large(c) ? xl_large_to_json(c)
                           : xl_config_to_own_json(c);
    return *out ? XLSTM_OK : xl_no_memory(0, "a configuration");
}

/* ---- files ---- */

static char *config_path(const char *path) {
    return xl_path_is_dir(path) ? xl_path_join(path, "config.json") : xl_strdup(path);
}

/* The check knows fields, not files. */
static xlstm_status check_in(const xlstm_config *c, const char *path) {
    xlstm_status status = xlstm_config_check(c);
    return status == XLSTM_OK ? status : xl_fail_in(path, status);
}

static xlstm_status load(const char *path, xlstm_config *c) {
    xl_map map;
    json_t *object = NULL;
    XL_TRY(xl_map_open(&map, path));
    xlstm_status status = xl_json_parse(&object, map.data ? map.data : "", map.size, path);
    if (status == XLSTM_OK)
        status = xl_config_from_json(c, object, path);
    if (status == XLSTM_OK)
        status = check_in(c, path);
    json_decref(object);
    xl_map_close(&map);
    return status;
}

/* What a program that knows only `size` bytes of a configuration would lose would be another model. */
static xlstm_status check_fits(const xlstm_config *c, size_t size) {
    xlstm_config plain;
    xlstm_config_init(&plain, (xlstm_block_kind)c->block_kind[0]);
    if (size < sizeof *c && memcmp((const char *)c + size, (const char *)&plain + size, sizeof *c - size))
        return xl_fail(XLSTM_E_CONFIG,
                       "the configuration sets a field that this program's headers, older than "
                       "libxlstm " XLSTM_VERSION_STRING ", do not know; compile it anew");
    return XLSTM_OK;
}

xlstm_status xlstm_config_load_sized(const char *path, xlstm_config *config, size_t size) {
    if (!path || !config)
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_config_load: NULL argument");
    if (!xl_struct_can_be(size, sizeof *config))
        return xl_fail(XLSTM_E_ARGUMENT,
                       "xlstm_config_load: %zu bytes are no xlstm_config; give its size, here %zu", size,
                       sizeof *config);
    char *file = config_path(path);
    xlstm_config c;
    if (!file)
        return xl_no_memory(0, "a file name");
    xlstm_status status = load(file, &c);
    if (status == XLSTM_OK)
        status = check_fits(&c, size);
    if (status == XLSTM_OK)
        xl_struct_init(config, size, &c, sizeof c);
    xl_free(file);
    return status;
}

static xlstm_status save(const xlstm_config *c, const char *path) {
    json_t *object = NULL;
    xl_replace file;
    XL_TRY(xl_config_to_json(c, &object));
    char *text = xl_json_exact(object, JSON_INDENT(1));
    json_decref(object);
    xlstm_status status = text ? xl_replace_open(&file, path) : xl_no_memory(0, "a configuration");
    if (status == XLSTM_OK) {
        xl_replace_put(&file, text, strlen(text));
        xl_replace_put(&file, "\n", 1);
        status = xl_replace_commit(&file);
    }
    xl_free(text);
    return status;
}

xlstm_status xlstm_config_save(const xlstm_config *config, const char *path) {
    xlstm_config c;
    if (!path)
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_config_save: path is NULL; give a file or a directory");
    XL_TRY(xl_config_take(&c, config));
    char *file = config_path(path);
    if (!file)
        return xl_no_memory(0, "a file name");
    xlstm_status status = save(&c, file);
    xl_free(file);
    return status;
}
