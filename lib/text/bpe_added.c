/* Added tokens are looked for before a text is cut into words. Their numbers are those that Hugging Face's
 * package gives them, which does not look at the file's: the vocabulary's where it lists the text, else as
 * many as the vocabulary has tokens and on from there, whatever holes it has. Files that the package wrote
 * say the same. Of two with one number or one text the last counts, of two with one normal form the first. */
#include "base/log.h"
#include "base/mem.h"
#include "file/fields.h"
#include "text/bpe_load.h"
#include <stdlib.h>
#include <string.h>

typedef struct {
    json_t *id, *content;
    int normalized, lstrip, rstrip, single_word;
} added_fields;

#define XL_ADDED(kind, name)                                                                                 \
    { #name, kind, offsetof(added_fields, name), NULL }
static const xl_field added_table[] = {
    XL_ADDED(XL_JSON, id),
    XL_ADDED(XL_JSON, content),
    XL_ADDED(XL_BOOL, lstrip),
    XL_ADDED(XL_BOOL, rstrip),
    XL_ADDED(XL_BOOL, normalized),
    XL_ADDED(XL_BOOL, single_word),
    {"special", XL_IGNORED, 0, NULL},
};

/* ---- numbers ---- */

typedef struct {
    xl_bpe_file *l;
    int32_t next; /* of one that the vocabulary does not list */
    int told;
} numbering;

static int32_t number_of(numbering *n, const char *content, const json_t *id) {
    const json_t *listed = json_object_get(n->l->vocab, content);
    int32_t number = listed ? (int32_t)json_integer_value(listed) : n->next++;
    if (json_integer_value(id) != number && !n->told++)
        xl_log(XLSTM_LOG_WARNING,
               "%s: added token \"%.60s\" is token %d, as in Hugging Face's tokenizers, not the file's "
               "%" JSON_INTEGER_FORMAT,
               n->l->where, content, number, json_integer_value(id));
    if (number > n->l->last)
        n->l->last = number;
    return number;
}

static xlstm_status take_one(numbering *n, json_t *object, size_t index) {
    xl_bpe_file *l = n->l;
    added_fields f = {0};
    char where[400];
    xl_sentence(where, sizeof where, "%s: added token %zu", l->where, index);
    XL_TRY(xl_fields_read(added_table, XL_COUNT(added_table), &f, object, where));
    const char *content = json_string_value(f.content);
    if (!content)
        return xl_fail(XLSTM_E_FORMAT, "%s: field content is not a text", where);
    if (!json_is_integer(f.id) || json_integer_value(f.id) < 0)
        return xl_bpe_bad_number(l, content, f.id);
    if (!*content)
        return XLSTM_OK; /* passed over, as in the package */
    int32_t at = xl_pieces_append(&l->bpe->contents, content, strlen(content));
    if (at == XL_PIECES_FULL)
        return xl_no_memory(0, "added tokens");
    int32_t known = at >= 0 ? at : xl_pieces_find(&l->bpe->contents, content, strlen(content));
    int32_t id = at >= 0 ? number_of(n, content, f.id) : l->bpe->added[known].id;
    l->bpe->added[known] = (xl_added){0, id, f.normalized, f.lstrip, f.rstrip, f.single_word};
    return XLSTM_OK;
}

static xlstm_status make_shown(xl_bpe_file *l) {
    size_t tokens = (size_t)l->last + 1;
    l->bpe->shown = xl_alloc((tokens + 1) * sizeof *l->bpe->shown);
    if (!l->bpe->shown)
        return xl_no_memory(tokens * sizeof *l->bpe->shown, "a vocabulary");
    for (size_t i = 0; i < tokens; i++)
        l->bpe->shown[i] = -1;
    for (int32_t i = 0; i < l->bpe->contents.count; i++)
        l->bpe->shown[l->bpe->added[i].id] = i;
    return XLSTM_OK;
}

/* ---- what is looked for ---- */

static xlstm_status add_content(xl_bpe_file *l, int32_t at) {
    const char *content = xl_piece(&l->bpe->contents, at);
    size_t bytes = l->bpe->contents.length[at], before = l->scratch.used;
    if (l->bpe->shown[l->bpe->added[at].id] != at)
        return XLSTM_OK; /* another one has its number */
    if (l->bpe->added[at].normalized)
        XL_TRY(xl_bpe_normalise(l->bpe, &l->scratch, content, bytes));
    else
        XL_TRY(xl_text_add(&l->scratch, content, bytes));
    l->bpe->added[at].length = l->scratch.used - before;
    return XLSTM_OK;
}

static xlstm_status make_finder(xl_bpe_file *l, int normalized, xl_pattern *patterns) {
    size_t count = 0, at = 0;
    for (int32_t i = 0; i < l->bpe->contents.count; at += l->bpe->added[i++].length)
        if (l->bpe->added[i].normalized == normalized && l->bpe->added[i].length)
            patterns[count++] = (xl_pattern){l->scratch.bytes + at, l->bpe->added[i].length, i};
    return xl_finder_make(&l->bpe->find[normalized], patterns, count)
               ? XLSTM_OK
               : xl_no_memory(l->scratch.used, "the texts of added tokens");
}

static xlstm_status make_finders(xl_bpe_file *l) {
    size_t bytes = ((size_t)l->bpe->contents.count + 1) * sizeof(xl_pattern);
    xl_pattern *patterns = xl_alloc(bytes);
    xlstm_status status = patterns ? XLSTM_OK : xl_no_memory(bytes, "added tokens");
    l->scratch.used = 0;
    for (int32_t i = 0; status == XLSTM_OK && i < l->bpe->contents.count; i++)
        status = add_content(l, i);
    for (int normalized = 0; status == XLSTM_OK && normalized < 2; normalized++)
        status = make_finder(l, normalized, patterns);
    xl_free(patterns);
    return status;
}

/* ---- all of them ---- */

xlstm_status xl_bpe_take_added(xl_bpe_file *l) {
    size_t i;
    json_t *value;
    numbering n = {l, (int32_t)json_object_size(l->vocab), 0};
    if (l->added && !json_is_array(l->added) && !json_is_null(l->added))
        return xl_fail(XLSTM_E_FORMAT, "%s: added_tokens is not a list", l->where);
    l->bpe->added = xl_alloc((json_array_size(l->added) + 1) * sizeof *l->bpe->added);
    if (!l->bpe->added)
        return xl_no_memory(json_array_size(l->added) * sizeof *l->bpe->added, "added tokens");
    json_array_foreach(l->added, i, value) XL_TRY(take_one(&n, value, i));
    XL_TRY(make_shown(l));
    return make_finders(l);
}
