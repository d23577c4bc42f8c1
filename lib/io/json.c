#include "io/json.h"

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

xlstm_status xl_json_parse(json_t **out, const char *text, size_t length, const char *where) {
    *out = NULL;
    if (depth_of(text, length) > XL_JSON_MAX_DEPTH)
        return xl_fail(XLSTM_E_FORMAT, "%s: JSON is nested deeper than %d levels", where, XL_JSON_MAX_DEPTH);
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
