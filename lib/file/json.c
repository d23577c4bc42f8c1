/* Texts come from anybody, and jansson neither bounds its recursion as we want it nor bears a want of memory.
 * So depth and memory are looked at before it reads, and lengths after it writes. */
#include "file/json.h"
#include "base/mem.h"
#include <stdio.h>
#include <stdlib.h>

/* Depth of nesting, looked at before the parser recurses. Brackets inside strings do not count. */
static int depth_of(const char *text, size_t length) {
    int depth = 0, deepest = 0, in_string = 0;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '{' || c == '['))
            deepest = ++depth > deepest ? depth : deepest;
        else if (!in_string && (c == '}' || c == ']'))
            depth--;
    }
    return deepest;
}

/* Where jansson 2.14 gets no memory while it parses, it loses bytes of strings, or stops at an assertion. So
 * before it begins there has to be plenty. */
static int has_memory(size_t bytes) {
    json_malloc_t give;
    json_free_t take_back;
    json_get_alloc_funcs(&give, &take_back);
    void *block = give(bytes);
    if (block)
        take_back(block);
    return block != NULL;
}

xlstm_status xl_json_parse(json_t **out, const char *text, size_t length, const char *where) {
    *out = NULL;
    if (depth_of(text, length) > XL_JSON_MAX_DEPTH)
        return xl_fail(XLSTM_E_FORMAT, "%s: JSON is nested deeper than %d levels", where, XL_JSON_MAX_DEPTH);
    if (!has_memory(16 * length + 65536))
        return xl_no_memory(16 * length + 65536, "the JSON of a file");
    json_error_t error;
    json_t *json = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    if (!json)
        return xl_fail(XLSTM_E_FORMAT, "%s: JSON is malformed at byte %d: %.200s", where, error.position,
                       error.text);
    if (!json_is_object(json)) {
        json_decref(json);
        return xl_fail(XLSTM_E_FORMAT, "%s: JSON is not an object {...}", where);
    }
    *out = json;
    return XLSTM_OK;
}

void xl_json_put(json_t **object, const char *key, json_t *value) {
    if (json_object_set_new(*object, key, value)) {
        json_decref(*object);
        *object = NULL;
    }
}

void xl_json_append(json_t **array, json_t *value) {
    if (json_array_append_new(*array, value)) {
        json_decref(*array);
        *array = NULL;
    }
}

/* Not by json_dumps(), which leaves out a key for which its buffer could not grow, and calls that success. */
char *xl_json_text(const json_t *json, size_t flags) {
    size_t bytes = json ? json_dumpb(json, NULL, 0, flags) : 0;
    char *text = bytes ? xl_alloc(bytes + 1) : NULL;
    if (text && json_dumpb(json, text, bytes, flags) != bytes) {
        xl_free(text);
        return NULL;
    }
    return text;
}

/* Looked at number by number: a parser would want memory, and can do without it badly. */
static int reads_back(json_t *json, int digits) {
    const char *key;
    char text[40];
    json_t *part;
    size_t i;
    int good = 1;
    if (json_is_real(json)) {
        snprintf(text, sizeof text, "%.*g", digits, json_real_value(json));
        return strtod(text, NULL) == json_real_value(json);
    }
    json_object_foreach(json, key, part) good = good && reads_back(part, digits);
    json_array_foreach(json, i, part) good = good && reads_back(part, digits);
    return good;
}

char *xl_json_exact(json_t *json, size_t flags) {
    int digits = 15;
    while (digits < 17 && !reads_back(json, digits))
        digits++;
    return xl_json_text(json, flags | JSON_REAL_PRECISION((size_t)digits));
}
