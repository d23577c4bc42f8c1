/* fields.h - one table says how an object is read and how it is written, so that the two do not differ. */
#ifndef XL_FIELDS_H
#define XL_FIELDS_H

#include "file/json.h"
#include <stddef.h>

typedef enum {
    XL_INT,        /* int */
    XL_BOOL,       /* int, true or false */
    XL_F32,        /* float; of a null: 0 */
    XL_F64,        /* double; NaN is null */
    XL_CHOICE,     /* int: index in `texts` */
    XL_JSON,       /* json_t *, borrowed; not written */
    XL_CONSTANT,   /* ignored; written as the first of `texts` */
    XL_MUST_BE,    /* one of `texts`; not kept, not written */
    XL_IGNORED,    /* means nothing to the mathematics */
    XL_MUST_BE_OFF /* would matter, is not supported: only false, null, 0 or "" may stand here */
} xl_field_kind;

typedef struct {
    const char *key;
    xl_field_kind kind;
    size_t at;                /* in the struct */
    const char *const *texts; /* ends with NULL */
} xl_field;

#define XL_COUNT(table) (sizeof(table) / sizeof *(table))

/* Reads every key of `object` by the table. One that the table lacks is an error. `where`: file and object.
 */
xlstm_status xl_fields_read(const xl_field *fields, size_t count, void *to, json_t *object,
                            const char *where);
/* A new object; NULL without memory. */
json_t *xl_fields_write(const xl_field *fields, size_t count, const void *from);

/* The shortest decimal that is this float; 2.667, not 2.6670000553131104. */
double xl_fields_short(float value);

#endif
