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
                       XLSTM_MAX_BLOCKS);
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

xlstm_status xl_config_to_json(const xlstm_config *c, json_t **out) {
    XL_TRY(xlstm_config_check(c));
    *out = xl_paper_fits(c)   ? xl_paper_to_json(c)
           : xl_large_fits(c) ? xl_large_to_json(c)
                              : xl_config_to_own_json(c);
    return *out ? XLSTM_OK : xl_no_memory(0, "a configuration");
}

/* ---- texts and files ---- */

/* `where` is a file, or what the text is; the check knows fields, and no files. */
static xlstm_status parse(xlstm_config *c, const char *text, size_t length, const char *where) {
    json_t *object = NULL;
    XL_TRY(xl_json_parse(&object, text, length, where));
    xlstm_status status = xl_config_from_json(c, object, where);
    json_decref(object);
    XL_TRY(status);
    status = xlstm_config_check(c);
    return status == XLSTM_OK ? status : xl_fail_in(where, status);
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

static xlstm_status hand_out(const xlstm_config *c, xlstm_config *config, size_t size) {
    XL_TRY(check_fits(c, size));
    xl_struct_init(config, size, c, sizeof *c);
    return XLSTM_OK;
}

static xlstm_status check_target(const void *from, const char *what, const xlstm_config *config, size_t size,
                                 const char *function) {
    if (!from || !config)
        return xl_fail(XLSTM_E_ARGUMENT, "%s needs a %s, and room for a configuration", function, what);
    if (!xl_struct_can_be(size, sizeof *config))
        return xl_fail(XLSTM_E_ARGUMENT, "%s: %zu bytes are no xlstm_config; give its size, here %zu",
                       function, size, sizeof *config);
    return XLSTM_OK;
}

xlstm_status xlstm_config_from_json_sized(const char *text, xlstm_config *config, size_t size) {
    xlstm_config c;
    XL_TRY(check_target(text, "text", config, size, "xlstm_config_from_json"));
    XL_TRY(parse(&c, text, strlen(text), "the configuration"));
    return hand_out(&c, config, size);
}

/* NULL without memory. */
static char *own_text(const xlstm_config *c) {
    json_t *object = xl_config_to_own_json(c);
    char *text = xl_json_exact(object, 0);
    json_decref(object);
    return text;
}

xlstm_status xlstm_config_to_json(const xlstm_config *config, char *text, size_t capacity, size_t *bytes) {
    xlstm_config c;
    if (bytes)
        *bytes = 0;
    if (!bytes || (!text && capacity))
        return xl_fail(
            XLSTM_E_ARGUMENT,
            "xlstm_config_to_json needs an address for the count, and room for text unless capacity is 0");
    XL_TRY(xl_config_take(&c, config));
    XL_TRY(xlstm_config_check(&c));
    char *own = own_text(&c);
    if (!own)
        return xl_no_memory(0, "a configuration");
    *bytes = strlen(own) + 1;
    int fits = *bytes <= capacity;
    if (fits)
        memcpy(text, own, *bytes);
    xl_free(own);
    return fits ? XLSTM_OK
                : xl_fail(XLSTM_E_ARGUMENT,
                          "xlstm_config_to_json: the text takes %zu bytes, and there is room for %zu", *bytes,
                          capacity);
}

static char *config_path(const char *path) {
    return xl_path_is_dir(path) ? xl_path_join(path, "config.json") : xl_strdup(path);
}

static xlstm_status load(const char *path, xlstm_config *c) {
    xl_file_map map;
    XL_TRY(xl_file_map_open(&map, path));
    xlstm_status status = parse(c, map.data ? map.data : "", map.size, path);
    xl_file_map_close(&map);
    return status;
}

xlstm_status xlstm_config_load_sized(const char *path, xlstm_config *config, size_t size) {
    XL_TRY(check_target(path, "path", config, size, "xlstm_config_load"));
    char *file = config_path(path);
    xlstm_config c;
    if (!file)
        return xl_no_memory(0, "a file name");
    xlstm_status status = load(file, &c);
    if (status == XLSTM_OK)
        status = hand_out(&c, config, size);
    xl_free(file);
    return status;
}

xlstm_status xl_config_text(const xlstm_config *c, char **text) {
    json_t *object = NULL;
    XL_TRY(xl_config_to_json(c, &object));
    *text = xl_json_exact(object, JSON_INDENT(1));
    json_decref(object);
    return *text ? XLSTM_OK : xl_no_memory(0, "a configuration");
}

static xlstm_status save(const xlstm_config *c, const char *path) {
    char *text = NULL;
    xl_file_replace file;
    XL_TRY(xl_config_text(c, &text));
    xlstm_status status = xl_file_replace_open(&file, path, XL_FILE_ANY);
    if (status == XLSTM_OK) {
        xl_file_replace_put(&file, text, strlen(text));
        xl_file_replace_put(&file, "\n", 1);
        status = xl_file_replace_commit(&file);
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

/* ---- the mark in weights ---- */

char *xl_config_mark(const xlstm_config *c) {
    xlstm_config plain;
    xlstm_config_init(&plain, (xlstm_block_kind)c->block_kind[0]);
    json_t *object = xl_config_to_own_json(c), *defaults = xl_config_to_own_json(&plain), *value;
    json_object_del(defaults, "model_type"); /* these two say what the others are about */
    json_object_del(defaults, "blocks");
    const char *key;
    json_object_foreach(defaults, key, value) {
        if (json_equal(value, json_object_get(object, key)))
            json_object_del(object, key);
    }
    char *text = object && defaults ? xl_json_exact(object, JSON_COMPACT) : NULL;
    json_decref(object);
    json_decref(defaults);
    return text;
}

/* What is computed with given weights. */
static json_t *computed(xlstm_config c) {
    xl_config_normalise(&c);
    xl_config_forget_training(&c);
    return xl_config_to_own_json(&c);
}

static xlstm_status check_same(const char *key, json_t *here, json_t *there, const char *where) {
    if (json_equal(here, there))
        return XLSTM_OK;
    char *a = xl_json_exact(here, JSON_ENCODE_ANY | JSON_COMPACT);
    char *b = xl_json_exact(there, JSON_ENCODE_ANY | JSON_COMPACT);
    xlstm_status status = xl_fail(
        XLSTM_E_CONFIG,
        "%s: was saved with another configuration than the config.json beside it: %.60s was %.60s and "
        "is %.60s; was a save cut short? If the change is meant, save the model anew, made from the "
        "configuration and xlstm_module_load_weights()",
        where, key, b ? b : "other", a ? a : "other");
    xl_free(a);
    xl_free(b);
    return status;
}

enum { LONGEST_MARK = 1 << 20 };

static xlstm_status read_mark(xlstm_config *c, const char *mark, const char *where) {
    json_t *object = NULL;
    if (strlen(mark) > LONGEST_MARK)
        return xl_fail(XLSTM_E_FORMAT, "%s: " XL_CONFIG_MARK " in its header is longer than %d bytes", where,
                       LONGEST_MARK);
    XL_TRY(xl_json_parse(&object, mark, strlen(mark), where));
    xlstm_status status = xl_config_from_json(c, object, where);
    json_decref(object);
    XL_TRY(status);
    status = xlstm_config_check(c);
    return status == XLSTM_OK ? status : xl_fail_in(where, status);
}

xlstm_status xl_config_check_mark(const xlstm_config *c, const char *mark, const char *where) {
    xlstm_config saved;
    XL_TRY(read_mark(&saved, mark, where));
    json_t *here = computed(*c), *there = computed(saved), *value;
    const char *key;
    xlstm_status status = here && there ? XLSTM_OK : xl_no_memory(0, "a configuration");
    json_object_foreach(here, key, value) {
        if (status == XLSTM_OK)
            status = check_same(key, value, json_object_get(there, key), where);
    }
    json_decref(here);
    json_decref(there);
    return status;
}
