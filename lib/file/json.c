/* Texts come from anybody, and jansson neither bounds its recursion as we want it nor bears a want of memory.
 * So depth, values and memory are looked at before it reads, and lengths after it writes. */
#include "file/json.h"
#include "base/mem.h"
#include <stdio.h>
#include <stdlib.h>

/* What jansson 2.14 takes with 64-bit addresses, heap blocks rounded up: an object with its first table, and
 * its first value; an array likewise; what a comma brings, a value (a string without its bytes is the
 * largest) and its place in an array that doubles; what a colon brings, a pair and its place in a table that
 * doubles; and a byte of text, in a string, or once more in the buffer where the longest is read. */
enum { OF_OBJECT = 304, OF_ARRAY = 232, OF_COMMA = 104, OF_COLON = 128, OF_BYTE = 4, OF_PARSER = 65536 };

typedef struct {
    int depth;
    uint64_t memory; /* that its values may take */
} cost;

/* What parsing will cost, looked at before the parser begins. What stands in strings does not count. */
static cost cost_of(const char *text, size_t length) {
    cost c = {0, OF_PARSER + (uint64_t)OF_BYTE * length};
    int depth = 0, in_string = 0;
    for (size_t i = 0; i < length; i++) {
        char at = text[i];
        if (in_string && at == '\\')
            i++;
        else if (at == '"')
            in_string = !in_string;
        if (in_string)
            continue;
        if (at == '{' || at == '[') {
            c.depth = ++depth > c.depth ? depth : c.depth;
            c.memory += at == '{' ? OF_OBJECT : OF_ARRAY;
        } else if (at == '}' || at == ']') {
            depth--;
        } else if (at == ',' || at == ':') {
            c.memory += at == ',' ? OF_COMMA : OF_COLON;
        }
    }
    return c;
}

/* Where jansson 2.14 gets no memory while it parses, it loses bytes of strings, or stops at an assertion. So
 * before it begins there has to be as much as it can need. */
static int has_memory(uint64_t bytes) {
    if (bytes > SIZE_MAX / 2)
        return 0;
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
    cost c = cost_of(text, length);
    if (c.depth > XL_JSON_MAX_DEPTH)
        return xl_fail(XLSTM_E_FORMAT, "%s: JSON is nested deeper than %d levels", where, XL_JSON_MAX_DEPTH);
    if (c.memory > (uint64_t)XL_JSON_PER_BYTE * length + XL_JSON_SMALL)
        return xl_fail(
            XLSTM_E_FORMAT,
            "%s: JSON of %zu bytes whose values would take %.0f MiB: it is hardly more than brackets", where,
            length, c.memory / 1048576.0);
    if (!has_memory(c.memory))
        return xl_no_memory(c.memory, "the JSON of a file");
    json_error_t error;
    json_t *json = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    if (!json && (json_error_code(&error) == json_error_out_of_memory || !*error.text))
        return xl_no_memory(c.memory, "the JSON of a file"); /* another thread took it */
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
