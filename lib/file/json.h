/* json.h - JSON texts that nobody vouches for. */
#ifndef XL_JSON_H
#define XL_JSON_H

#include "base/error.h"
#include <jansson.h>

enum {
    XL_JSON_MAX_DEPTH = 32,
    XL_JSON_PER_BYTE = 64,  /* bytes of memory for a byte of text at most: short numbers in a list take 56; */
    XL_JSON_SMALL = 1 << 20 /* of which so much is always allowed */
};

/* An object, or a sentence that begins with `where`. Duplicate keys, bad UTF-8, deep nesting, and texts that
 * are hardly more than brackets and commas are refused. XLSTM_E_MEMORY where there is no memory for its
 * values, about 100 to 300 bytes each: it is asked for before the parser begins. */
xlstm_status xl_json_parse(json_t **out, const char *text, size_t length, const char *where);

/* Building: where one value cannot be made, or has no memory, nothing is left of the whole and *object is
 * NULL, which fails all that comes after too. So one look at the end is enough. */
void xl_json_put(json_t **object, const char *key, json_t *value);
void xl_json_append(json_t **array, json_t *value);
/* As text in fresh memory; NULL when there is none, and for NULL. flags: jansson's. */
char *xl_json_text(const json_t *json, size_t flags);
/* The same with as few digits as let every number be read back as it is, and at least 15. */
char *xl_json_exact(json_t *json, size_t flags);

#endif
