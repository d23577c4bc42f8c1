/* What no table lists might change the mathematics, so it is an error; so is a value of another type than the
 * table's. A table is read from beginning to end for each key: tables are short. */
#include "file/fields.h"
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static xlstm_status wrong(const char *where, const char *key, const char *expected) {
    return xl_fail(XLSTM_E_CONFIG, "%s: field %.80s must be %s", where, key, expected);
}

static xlstm_status read_int(int *to, const json_t *value, const char *key, const char *where) {
    json_int_t n = json_integer_value(value);
    if (!json_is_integer(value) || n < INT_MIN || n > INT_MAX)
        return wrong(where, key, "an integer of 32 bits");
    *to = (int)n;
    return XLSTM_OK;
}

static xlstm_status read_choice(int *to, const xl_field *f, const json_t *value, const char *where) {
    const char *text = json_string_value(value);
    for (int i = 0; text && f->texts[i]; i++)
        if (!strcmp(text, f->texts[i])) {
            *to = i;
            return XLSTM_OK;
        }
    return xl_fail(XLSTM_E_CONFIG, "%s: field %.80s is \"%.80s\", which is not supported (\"%s\" is)", where,
                   f->key, text ? text : "not a text", f->texts[0]);
}

static xlstm_status read_must_be_off(const json_t *value, const char *key, const char *where) {
    if (json_is_false(value) || json_is_null(value) ||
        (json_is_number(value) && json_number_value(value) == 0) ||
        (json_is_string(value) && json_string_length(value) == 0))
        return XLSTM_OK;
    return xl_fail(XLSTM_E_CONFIG, "%s: field %.80s is set; that is not supported", where, key);
}

/* Floats in the end, all of them: what becomes 0 or infinite there would mean something else. NULL: `none`.
 */
static xlstm_status read_real(double *to, const xl_field *f, const json_t *value, double none,
                              const char *where) {
    const double d = json_number_value(value);
    if (!json_is_number(value) && !json_is_null(value))
        return wrong(where, f->key, f->kind == XL_F64 ? "a number or null" : "a number");
    if (fabs(d) > (double)FLT_MAX || (d != 0 && (float)d == 0))
        return xl_fail(
            XLSTM_E_CONFIG,
            "%s: field %.80s is %g, which as a float is %s; give a number from 1e-45 to 3e38, or 0", where,
            f->key, d, d != 0 && (float)d == 0 ? "0" : "infinite");
    *to = json_is_null(value) ? none : d;
    return XLSTM_OK;
}

static xlstm_status read_float(float *to, const xl_field *f, const json_t *value, const char *where) {
    double d = 0;
    XL_TRY(read_real(&d, f, value, 0, where));
    *to = (float)d;
    return XLSTM_OK;
}

static xlstm_status read_field(const xl_field *f, void *to, json_t *value, const char *where) {
    char *p = (char *)to + f->at;
    switch (f->kind) {
    case XL_INT:
        return read_int((int *)(void *)p, value, f->key, where);
    case XL_BOOL:
        if (!json_is_boolean(value))
            return wrong(where, f->key, "true or false");
        *(int *)(void *)p = json_is_true(value);
        return XLSTM_OK;
    case XL_F32:
        return read_float((float *)(void *)p, f, value, where);
    case XL_F64:
        return read_real((double *)(void *)p, f, value, NAN, where);
    case XL_CHOICE:
        return read_choice((int *)(void *)p, f, value, where);
    case XL_MUST_BE: {
        int index;
        return read_choice(&index, f, value, where);
    }
    case XL_JSON:
        *(json_t **)(void *)p = value;
        return XLSTM_OK;
    case XL_MUST_BE_OFF:
        return read_must_be_off(value, f->key, where);
    case XL_CONSTANT:
    case XL_IGNORED:
        break;
    }
    return XLSTM_OK;
}

static const xl_field *find(const xl_field *fields, size_t count, const char *key) {
    for (size_t i = 0; i < count; i++)
        if (!strcmp(fields[i].key, key))
            return &fields[i];
    return NULL;
}

xlstm_status xl_fields_read(const xl_field *fields, size_t count, void *to, json_t *object,
                            const char *where) {
    const char *key;
    json_t *value;
    if (!json_is_object(object))
        return xl_fail(XLSTM_E_CONFIG, "%s: is not an object", where);
    json_object_foreach(object, key, value) {
        const xl_field *f = find(fields, count, key);
        if (!f)
            return xl_fail(
                XLSTM_E_CONFIG,
                "%s: field %.80s is unknown; it might change the mathematics, so remove it if it does "
                "not",
                where, key);
        XL_TRY(read_field(f, to, value, where));
    }
    return XLSTM_OK;
}

double xl_fields_short(float value) {
    char text[32];
    for (int digits = 1; digits < 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        double d = strtod(text, NULL);
        if ((float)d == value)
            return d;
    }
    return value;
}

static json_t *write_field(const xl_field *f, const void *from) {
    const char *p = (const char *)from + f->at;
    switch (f->kind) {
    case XL_INT:
        return json_integer(*(const int *)(const void *)p);
    case XL_BOOL:
        return json_boolean(*(const int *)(const void *)p);
    case XL_F32:
        return json_real(xl_fields_short(*(const float *)(const void *)p));
    case XL_F64: {
        double d = *(const double *)(const void *)p;
        return isnan(d) ? json_null() : json_real(d);
    }
    case XL_CHOICE:
        return json_string(f->texts[*(const int *)(const void *)p]);
    case XL_CONSTANT:
        return json_string(f->texts[0]);
    case XL_JSON:
    case XL_MUST_BE:
    case XL_IGNORED:
    case XL_MUST_BE_OFF:
        break;
    }
    return NULL;
}

static int is_written(const xl_field *f) {
    return f->kind != XL_JSON && f->kind != XL_MUST_BE && f->kind != XL_IGNORED && f->kind != XL_MUST_BE_OFF;
}

json_t *xl_fields_write(const xl_field *fields, size_t count, const void *from) {
    json_t *object = json_object();
    for (size_t i = 0; i < count; i++)
        if (is_written(&fields[i]))
            xl_json_put(&object, fields[i].key, write_field(&fields[i], from));
    return object;
}
