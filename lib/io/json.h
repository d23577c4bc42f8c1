/* json.h - JSON texts that nobody vouches for. */
#ifndef XL_JSON_H
#define XL_JSON_H

#include "base/error.h"
#include <jansson.h>

enum { XL_JSON_MAX_DEPTH = 32 };

/* An object, or a sentence that begins with `where`. Duplicate keys, bad UTF-8 and deep nesting are refused.
 */
xlstm_status xl_json_parse(json_t **out, const char *text, size_t length, const char *where);

#endif
