/* The file is taken for hostile: whatever is found wrong is said in one sentence, and nothing stays mapped.
 *
 * | u64: bytes of header | {"name": {"dtype", "shape", "data_offsets"}, ...} blanks | tensors end to end |
 *
 * Offsets count from the end of the header. Tensors leave no hole and share no byte. We write wide numbers
 * first, so that all are aligned; files of others may not be, so a number is read by memcpy. */
#include "base/half.h"
#include "base/mem.h"
#include "file/file.h"
#include "file/safetensors.h"
#include "file/utf8.h"
#include <stdlib.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the files are little-endian and are used as they are"
#endif

enum { HEADER_MAX = 100000000 }; /* the format's own limit */

typedef struct {
    const char *name; /* borrowed from the JSON */
    xlstm_dtype dtype;
    int ndim;
    int64_t shape[XLSTM_MAX_DIMS];
    size_t count, begin, end; /* bytes from the beginning of the data */
} entry;

struct xlstm_tensors {
    char *path;
    xl_file_map map;
    json_t *header;
    entry *entries;
    int count;
    const char *data;
    size_t data_size;
};

static const char *const dtype_names[] = {
#define XL_DTYPE_NAME(name, text, bytes) text,
    XLSTM_DTYPE_LIST(XL_DTYPE_NAME)
#undef XL_DTYPE_NAME
};
static const unsigned char dtype_sizes[] = {
#define XL_DTYPE_SIZE(name, text, bytes) bytes,
    XLSTM_DTYPE_LIST(XL_DTYPE_SIZE)
#undef XL_DTYPE_SIZE
};

const char *xlstm_dtype_name(xlstm_dtype dtype) {
    return (unsigned)dtype < XLSTM_DTYPES ? dtype_names[dtype] : NULL;
}

size_t xlstm_dtype_size(xlstm_dtype dtype) {
    return (unsigned)dtype < XLSTM_DTYPES ? dtype_sizes[dtype] : 0;
}

static xlstm_status parse_dtype(entry *e, const json_t *value, const char *path) {
    const char *text = json_string_value(value);
    for (int i = 0; text && i < XLSTM_DTYPES; i++)
        if (!strcmp(text, dtype_names[i])) {
            e->dtype = (xlstm_dtype)i;
            return XLSTM_OK;
        }
    return xl_fail(XLSTM_E_FORMAT, "%s: tensor %.200s has the unknown dtype %.40s", path, e->name,
                   text ? text : "(none)");
}

/* count = product of the sizes; false when one is negative or the bytes would not fit in memory. */
static int multiply(entry *e) {
    size_t limit = SIZE_MAX / 2 / dtype_sizes[e->dtype];
    e->count = 1;
    for (int i = 0; i < e->ndim; i++) {
        if (e->shape[i] < 0)
            return 0;
        if (e->shape[i] > 0 && e->count > limit / (uint64_t)e->shape[i])
            return 0;
        e->count *= e->shape[i];
    }
    return 1;
}

static xlstm_status parse_shape(entry *e, const json_t *value, const char *path) {
    size_t n = json_array_size(value);
    if (!json_is_array(value) || n > XLSTM_MAX_DIMS)
        return xl_fail(XLSTM_E_FORMAT, "%s: tensor %.200s has no shape, or one of more than %d sizes", path,
                       e->name, XLSTM_MAX_DIMS);
    e->ndim = (int)n;
    for (size_t i = 0; i < n; i++) {
        const json_t *size = json_array_get(value, i);
        e->shape[i] = json_is_integer(size) ? json_integer_value(size) : -1;
    }
    if (!multiply(e))
        return xl_fail(XLSTM_E_FORMAT, "%s: tensor %.200s has a negative, fractional or overflowing shape",
                       path, e->name);
    return XLSTM_OK;
}

static xlstm_status parse_offsets(entry *e, const json_t *value, size_t data_size, const char *path) {
    const json_t *from = json_array_get(value, 0), *to = json_array_get(value, 1);
    if (json_array_size(value) != 2 || !json_is_integer(from) || !json_is_integer(to))
        return xl_fail(XLSTM_E_FORMAT, "%s: tensor %.200s: data_offsets are not two integers", path, e->name);
    json_int_t begin = json_integer_value(from), end = json_integer_value(to);
    if (begin < 0 || end < begin || (uint64_t)end > data_size)
        return xl_fail(
            XLSTM_E_FORMAT,
            "%s: tensor %.200s: data_offsets %lld to %lld are not inside the %zu bytes of data (is the "
            "file truncated?)",
            path, e->name, begin, end, data_size);
    e->begin = begin;
    e->end = end;
    if (e->end - e->begin != e->count * dtype_sizes[e->dtype])
        return xl_fail(XLSTM_E_FORMAT, "%s: tensor %.200s has %zu bytes, but its shape and dtype need %zu",
                       path, e->name, e->end - e->begin, e->count * dtype_sizes[e->dtype]);
    return XLSTM_OK;
}

static xlstm_status parse_entry(entry *e, const json_t *value, size_t data_size, const char *path) {
    const char *key;
    json_t *ignored;
    if (!json_is_object(value))
        return xl_fail(XLSTM_E_FORMAT, "%s: tensor %.200s is not described by an object", path, e->name);
    json_object_foreach((json_t *)(uintptr_t)value, key, ignored) {
        if (strcmp(key, "dtype") && strcmp(key, "shape") && strcmp(key, "data_offsets"))
            return xl_fail(XLSTM_E_FORMAT, "%s: tensor %.200s has the unknown property %.60s", path, e->name,
                           key);
    }
    XL_TRY(parse_dtype(e, json_object_get(value, "dtype"), path));
    XL_TRY(parse_shape(e, json_object_get(value, "shape"), path));
    return parse_offsets(e, json_object_get(value, "data_offsets"), data_size, path);
}

/* __metadata__ holds texts only. */
static xlstm_status check_metadata(json_t *value, const char *path) {
    const char *key;
    json_t *text;
    if (!json_is_object(value))
        return xl_fail(XLSTM_E_FORMAT, "%s: __metadata__ is not an object", path);
    json_object_foreach(value, key, text) {
        if (!json_is_string(text))
            return xl_fail(XLSTM_E_FORMAT, "%s: __metadata__ entry %.100s is not a text", path, key);
    }
    return XLSTM_OK;
}

static int by_offset(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Sorted by offset, the tensors must lie end to end from the first to the last byte. */
static xlstm_status check_cover(const xlstm_tensors *t, const char *path) {
    size_t at = 0;
    for (int i = 0; i < t->count; i++) {
        const entry *e = &t->entries[i];
        if (e->begin != at)
            return xl_fail(XLSTM_E_FORMAT, "%s: tensor %.200s begins at byte %zu of the data, %s %zu", path,
                           e->name, e->begin,
                           e->begin < at ? "inside its neighbour, which ends at" : "after a hole from", at);
        at = e->end;
    }
    if (at != t->data_size)
        return xl_fail(XLSTM_E_FORMAT, "%s: %zu bytes at the end belong to no tensor", path,
                       t->data_size - at);
    return XLSTM_OK;
}

static xlstm_status parse_entries(xlstm_tensors *t, const char *path) {
    size_t bytes = json_object_size(t->header) * sizeof(entry);
    const char *name;
    json_t *value;
    t->entries = xl_alloc(bytes);
    if (!t->entries)
        return xl_no_memory(bytes, "the list of tensors");
    json_object_foreach(t->header, name, value) {
        if (!strcmp(name, "__metadata__")) {
            XL_TRY(check_metadata(value, path));
            continue;
        }
        entry *e = &t->entries[t->count++];
        e->name = name;
        XL_TRY(parse_entry(e, value, t->data_size, path));
    }
    if (t->count)
        qsort(t->entries, t->count, sizeof *t->entries, by_offset);
    return check_cover(t, path);
}

static xlstm_status parse_file(xlstm_tensors *t, const char *path) {
    uint64_t length = 0;
    XL_TRY(xl_file_map_open(&t->map, path));
    if (t->map.size < 8)
        return xl_fail(XLSTM_E_FORMAT, "%s: has %zu bytes; a safetensors file has at least 8", path,
                       t->map.size);
    memcpy(&length, t->map.data, 8);
    if (length > t->map.size - 8 || length > HEADER_MAX)
        return xl_fail(XLSTM_E_FORMAT,
                       "%s: header of %llu bytes in a file of %zu (limit %d): not safetensors, or truncated",
                       path, (unsigned long long)length, t->map.size, HEADER_MAX);
    if (length == 0 || t->map.data[8] != '{')
        return xl_fail(XLSTM_E_FORMAT, "%s: header does not begin with {: not a safetensors file", path);
    t->data = t->map.data + 8 + length;
    t->data_size = t->map.size - 8 - length;
    XL_TRY(xl_json_parse(&t->header, t->map.data + 8, length, path));
    return parse_entries(t, path);
}

xlstm_status xlstm_tensors_open(xlstm_tensors **out, const char *path) {
    if (out)
        *out = NULL;
    if (!out || !path)
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_tensors_open needs an address for the file and a path");
    xlstm_tensors *t = xl_alloc(sizeof *t);
    if (!t)
        return xl_no_memory(sizeof *t, "a tensor file");
    t->path = xl_strdup(path);
    xlstm_status status = t->path ? parse_file(t, path) : xl_no_memory(0, "a file name");
    if (status == XLSTM_OK)
        *out = t;
    else
        xlstm_tensors_close(t);
    return status;
}

void xlstm_tensors_close(xlstm_tensors *t) {
    if (!t)
        return;
    json_decref(t->header);
    xl_free(t->path);
    xl_free(t->entries);
    xl_file_map_close(&t->map);
    xl_free(t);
}

int xlstm_tensors_count(const xlstm_tensors *t) {
    return t ? t->count : 0;
}

xlstm_status xlstm_tensors_get(const xlstm_tensors *t, int index, xlstm_tensor *out) {
    if (!t || !out || index < 0 || index >= t->count)
        return xl_fail(XLSTM_E_ARGUMENT, "tensor %d of %d: no such index", index, xlstm_tensors_count(t));
    const entry *e = &t->entries[index];
    *out = (xlstm_tensor){
        .name = e->name, .dtype = e->dtype, .ndim = e->ndim, .count = e->count, .data = t->data + e->begin};
    memcpy(out->shape, e->shape, sizeof out->shape);
    return XLSTM_OK;
}

xlstm_status xlstm_tensors_find(const xlstm_tensors *t, const char *name, xlstm_tensor *out) {
    if (!t || !name || !out)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "xlstm_tensors_find needs an open file, a name and room for a tensor");
    for (int i = 0; i < t->count; i++)
        if (!strcmp(t->entries[i].name, name))
            return xlstm_tensors_get(t, i, out);
    return xl_fail(XLSTM_E_NOT_FOUND, "the file has no tensor %.200s", name);
}

xlstm_status xl_tensors_check(const xlstm_tensors *t) {
    return xl_file_map_check(&t->map, t->path);
}

const char *xl_tensors_path(const xlstm_tensors *t) {
    return t->path;
}

const char *xl_tensors_head_of(const xlstm_tensors *t, size_t *bytes) {
    *bytes = t->map.size - t->data_size;
    return t->map.data;
}

const json_t *xl_tensors_metadata(const xlstm_tensors *t) {
    return json_object_get(t->header, "__metadata__");
}

const char *xlstm_tensors_metadata(const xlstm_tensors *t, const char *key) {
    return t && key ? json_string_value(json_object_get(xl_tensors_metadata(t), key)) : NULL;
}

/* ---- conversion ---- */

/* Reads number i of a tensor whose data may lie at any address. */
#define XL_AT(type, p, i)                                                                                    \
    type v;                                                                                                  \
    memcpy(&v, (const char *)(p) + (i) * sizeof v, sizeof v)

#define XL_CONVERT(type, expression)                                                                         \
    for (size_t i = 0; i < t->count; i++) {                                                                  \
        XL_AT(type, t->data, i);                                                                             \
        out[i] = expression;                                                                                 \
    }                                                                                                        \
    return XLSTM_OK

#define XL_CONVERT_ALL(to)                                                                                   \
    switch (t->dtype) {                                                                                      \
    case XLSTM_F64:                                                                                          \
        XL_CONVERT(double, (to)v);                                                                           \
    case XLSTM_F32:                                                                                          \
        XL_CONVERT(float, (to)v);                                                                            \
    case XLSTM_F16:                                                                                          \
        XL_CONVERT(uint16_t, (to)xl_from_f16(v));                                                            \
    case XLSTM_BF16:                                                                                         \
        XL_CONVERT(uint16_t, (to)xl_from_bf16(v));                                                           \
    case XLSTM_I64:                                                                                          \
        XL_CONVERT(int64_t, (to)v);                                                                          \
    case XLSTM_I32:                                                                                          \
        XL_CONVERT(int32_t, (to)v);                                                                          \
    case XLSTM_I16:                                                                                          \
        XL_CONVERT(int16_t, (to)v);                                                                          \
    case XLSTM_I8:                                                                                           \
        XL_CONVERT(int8_t, (to)v);                                                                           \
    case XLSTM_U64:                                                                                          \
        XL_CONVERT(uint64_t, (to)v);                                                                         \
    case XLSTM_U32:                                                                                          \
        XL_CONVERT(uint32_t, (to)v);                                                                         \
    case XLSTM_U16:                                                                                          \
        XL_CONVERT(uint16_t, (to)v);                                                                         \
    case XLSTM_U8:                                                                                           \
    case XLSTM_BOOL:                                                                                         \
        XL_CONVERT(uint8_t, (to)v);                                                                          \
    case XLSTM_DTYPES:                                                                                       \
        break;                                                                                               \
    }                                                                                                        \
    return xl_fail(XLSTM_E_ARGUMENT, "tensor %.200s has an unknown dtype", t->name ? t->name : "(NULL)")

static xlstm_status check_source(const xlstm_tensor *t, const void *out) {
    if (!t || !out || (t->count && !t->data))
        return xl_fail(XLSTM_E_ARGUMENT, "copying numbers needs a tensor with its data, and room for them");
    return XLSTM_OK;
}

xlstm_status xlstm_tensor_reals(const xlstm_tensor *t, xlstm_real *out) {
    XL_TRY(check_source(t, out));
    XL_CONVERT_ALL(xlstm_real);
}

xlstm_status xlstm_tensor_doubles(const xlstm_tensor *t, double *out) {
    XL_TRY(check_source(t, out));
    XL_CONVERT_ALL(double);
}

static xlstm_status convert_int64(const xlstm_tensor *t, int64_t *out) {
    XL_CONVERT_ALL(int64_t);
}

static xlstm_status check_u64(const xlstm_tensor *t) {
    for (size_t i = 0; i < t->count; i++) {
        XL_AT(uint64_t, t->data, i);
        if (v > INT64_MAX)
            return xl_fail(XLSTM_E_FORMAT, "tensor %.200s: number %zu is beyond int64", t->name, i);
    }
    return XLSTM_OK;
}

xlstm_status xlstm_tensor_int64s(const xlstm_tensor *t, int64_t *out) {
    XL_TRY(check_source(t, out));
    if (t->dtype <= XLSTM_BF16)
        return xl_fail(XLSTM_E_FORMAT, "tensor %.200s is %s; integers are needed", t->name,
                       xlstm_dtype_name(t->dtype));
    if (t->dtype == XLSTM_U64)
        XL_TRY(check_u64(t));
    return convert_int64(t, out);
}

/* ---- writing ---- */

static json_t *integers(const int64_t *values, int count) {
    json_t *array = json_array();
    for (int i = 0; i < count; i++)
        xl_json_append(&array, json_integer(values[i]));
    return array;
}

static xlstm_status describe(json_t *header, const xlstm_tensor *t, size_t *at) {
    entry e = {.name = t->name, .dtype = t->dtype, .ndim = t->ndim};
    int good = t->name && strcmp(t->name, "__metadata__") && xlstm_dtype_size(t->dtype) && t->ndim >= 0 &&
               t->ndim <= XLSTM_MAX_DIMS;
    if (good)
        memcpy(e.shape, t->shape, sizeof e.shape);
    if (!good || !multiply(&e) || (e.count && !t->data))
        return xl_fail(XLSTM_E_ARGUMENT,
                       "tensor %.200s to be written lacks data, or its shape or dtype is bad",
                       t->name ? t->name : "(NULL)");
    if (xl_utf8_sound(t->name, strlen(t->name)) < strlen(t->name))
        return xl_fail(XLSTM_E_ARGUMENT, "the name of a tensor to be written is not UTF-8");
    if (json_object_get(header, t->name))
        return xl_fail(XLSTM_E_ARGUMENT, "two tensors to be written are called %.200s", t->name);
    size_t end = *at + e.count * xlstm_dtype_size(t->dtype);
    json_t *d = json_object();
    xl_json_put(&d, "dtype", json_string(xlstm_dtype_name(t->dtype)));
    xl_json_put(&d, "shape", integers(e.shape, e.ndim));
    xl_json_put(&d, "data_offsets", integers((int64_t[]){(int64_t)*at, (int64_t)end}, 2));
    *at = end;
    return json_object_set_new(header, t->name, d) ? xl_no_memory(0, "a header") : XLSTM_OK;
}

/* Wide numbers go first, so that every tensor is aligned to its number. Returns NULL after the last. */
static const xlstm_tensor *next_in_file(const xlstm_tensor *tensors, int count, size_t *size, int *i) {
    for (; *size; *size /= 2, *i = 0)
        while (*i < count) {
            const xlstm_tensor *t = &tensors[(*i)++];
            if (xlstm_dtype_size(t->dtype) == *size)
                return t;
        }
    return NULL;
}

static xlstm_status build_header(json_t *header, const xlstm_tensor *tensors, int count, json_t *metadata) {
    size_t at = 0, size = 8;
    int i = 0;
    for (int k = 0; k < count; k++)
        if (!xlstm_dtype_size(tensors[k].dtype))
            return xl_fail(XLSTM_E_ARGUMENT, "tensor %d to be written has an unknown dtype", k);
    if (json_object_set_new(header, "__metadata__",
                            metadata ? json_incref(metadata) : json_pack("{s:s}", "format", "pt")))
        return xl_no_memory(0, "a header");
    for (const xlstm_tensor *t; (t = next_in_file(tensors, count, &size, &i));)
        XL_TRY(describe(header, t, &at));
    return XLSTM_OK;
}

/* Length, text, and blanks up to a multiple of 8. */
static xlstm_status pack_header(char **head, size_t *bytes, const char *text) {
    size_t length = strlen(text);
    uint64_t padded = (length + 7) / 8 * 8;
    *bytes = 8 + padded;
    *head = xl_alloc(*bytes);
    if (!*head)
        return xl_no_memory(*bytes, "a header");
    memcpy(*head, &padded, 8);
    memset(*head + 8, ' ', padded);
    memcpy(*head + 8, text, length);
    return XLSTM_OK;
}

xlstm_status xl_tensors_head(char **head, size_t *bytes, const xlstm_tensor *tensors, int count,
                             json_t *metadata) {
    *head = NULL;
    json_t *header = json_object();
    xlstm_status status = build_header(header, tensors, count, metadata);
    char *text = status == XLSTM_OK ? xl_json_text(header, JSON_COMPACT) : NULL;
    json_decref(header);
    if (status == XLSTM_OK)
        status = text ? pack_header(head, bytes, text) : xl_no_memory(0, "a header");
    xl_free(text);
    return status;
}

static size_t tensor_bytes(const xlstm_tensor *t) {
    size_t bytes = xlstm_dtype_size(t->dtype);
    for (int i = 0; i < t->ndim; i++)
        bytes *= t->shape[i];
    return bytes;
}

static xlstm_status put_tensor(xl_file_replace *file, const xlstm_tensor *t, int i, const xl_source *source) {
    size_t size = tensor_bytes(t), bytes = size;
    for (size_t at = 0; at < size; at += bytes) {
        const void *data = t->data;
        if (source)
            XL_TRY(source->read(source->context, i, at, &data, &bytes));
        xl_file_replace_put(file, data, bytes);
    }
    return XLSTM_OK;
}

static xlstm_status put_tensors(xl_file_replace *file, const xlstm_tensor *tensors, int count,
                                const xl_source *source) {
    size_t size = 8;
    int i = 0;
    for (const xlstm_tensor *t; (t = next_in_file(tensors, count, &size, &i));)
        XL_TRY(put_tensor(file, t, (int)(t - tensors), source));
    return XLSTM_OK;
}

xlstm_status xl_tensors_put(xl_file_replace *file, const char *head, size_t bytes,
                            const xlstm_tensor *tensors, int count, const xl_source *source) {
    xl_file_replace_put(file, head, bytes);
    return put_tensors(file, tensors, count, source);
}

static xlstm_status write_with(const char *path, const xlstm_tensor *tensors, int count, json_t *metadata) {
    char *head = NULL;
    size_t bytes = 0;
    xl_file_replace file;
    xlstm_status status = xl_tensors_head(&head, &bytes, tensors, count, metadata);
    if (status == XLSTM_OK)
        status = xl_file_replace_open(&file, path, XL_FILE_ANY);
    if (status == XLSTM_OK)
        status = xl_file_replace_end(&file, xl_tensors_put(&file, head, bytes, tensors, count, NULL));
    xl_free(head);
    return status;
}

xlstm_status xlstm_tensors_write(const char *path, const xlstm_tensor *tensors, int count) {
    if (!path || count < 0 || (count && !tensors))
        return xl_fail(XLSTM_E_ARGUMENT,
                       "xlstm_tensors_write needs a path and an array of count tensors; count is %d", count);
    return write_with(path, tensors, count, NULL);
}

static xlstm_status take_text(json_t *texts, const xlstm_metadata *m) {
    const char *key = m->key, *text = m->text;
    if (!key || !text || xl_utf8_sound(key, strlen(key)) < strlen(key) ||
        xl_utf8_sound(text, strlen(text)) < strlen(text))
        return xl_fail(XLSTM_E_ARGUMENT,
                       "metadata to be written has a key or a text that is NULL or not UTF-8");
    if (json_object_get(texts, key))
        return xl_fail(XLSTM_E_ARGUMENT, "metadata to be written has the key %.200s twice", key);
    return json_object_set_new(texts, key, json_string(text)) ? xl_no_memory(0, "a header") : XLSTM_OK;
}

xlstm_status xlstm_tensors_write_with(const char *path, const xlstm_tensor *tensors, int count,
                                      const xlstm_metadata *metadata, int texts) {
    if (!path || count < 0 || (count && !tensors) || texts < 0 || (texts && !metadata))
        return xl_fail(XLSTM_E_ARGUMENT,
                       "xlstm_tensors_write_with needs a path and arrays of %d tensors and %d texts", count,
                       texts);
    json_t *object = texts ? json_object() : NULL;
    xlstm_status status = texts && !object ? xl_no_memory(0, "a header") : XLSTM_OK;
    for (int i = 0; i < texts && status == XLSTM_OK; i++)
        status = take_text(object, &metadata[i]);
    if (status == XLSTM_OK)
        status = write_with(path, tensors, count, object);
    json_decref(object);
    return status;
}
