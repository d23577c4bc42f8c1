/* Added tokens are looked for before a text is cut into words, and of two that begin at one place the longer
 * is meant. So they are sorted by first byte, and the longest first. */
#include "base/mem.h"
#include "file/fields.h"
#include "text/bpe_load.h"
#include <stdlib.h>
#include <string.h>

typedef struct {
    json_t *id, *content;
    int normalized, lstrip, rstrip;
} added_fields;

#define XL_ADDED(kind, name)                                                                                 \
    { #name, kind, offsetof(added_fields, name), NULL }
static const xl_field added_table[] = {
    XL_ADDED(XL_JSON, id),
    XL_ADDED(XL_JSON, content),
    XL_ADDED(XL_BOOL, lstrip),
    XL_ADDED(XL_BOOL, rstrip),
    XL_ADDED(XL_BOOL, normalized),
    {"single_word", XL_MUST_BE_OFF, 0, NULL},
    {"special", XL_IGNORED, 0, NULL},
};

/* What is looked for in texts. */
static xlstm_status add_content(xl_bpe_file *l, const char *content, int normalized) {
    xl_text nfc = {0};
    xlstm_status status = XLSTM_OK;
    int32_t at = XL_PIECES_FULL;
    if (normalized && l->bpe->nfc)
        status = xl_unicode_compose(&nfc, content, strlen(content));
    else
        status = xl_text_add(&nfc, content, strlen(content));
    if (status == XLSTM_OK)
        at = xl_pieces_append(&l->bpe->contents, nfc.bytes, nfc.used);
    xl_free(nfc.bytes);
    XL_TRY(status);
    if (at == XL_PIECES_TWICE)
        return xl_fail(XLSTM_E_FORMAT, "%s: added token \"%.60s\" is there twice", l->where, content);
    return at < 0 ? xl_no_memory(0, "added tokens") : XLSTM_OK;
}

/* In texts a token stands for what the vocabulary says, and for itself if that does not list it. */
static xlstm_status take_one(xl_bpe_file *l, json_t *object, size_t index) {
    added_fields f = {0};
    char where[400];
    int sound;
    snprintf(where, sizeof where, "%.300s: added token %zu", l->where, index);
    XL_TRY(xl_fields_read(added_table, XL_COUNT(added_table), &f, object, where));
    const char *content = json_string_value(f.content);
    if (!content || !*content)
        return xl_fail(XLSTM_E_FORMAT, "%s: field content is not a text", where);
    const json_t *listed = json_object_get(l->vocab, content);
    if (!xl_bpe_good_number(l, f.id) || (listed && !json_equal(listed, f.id)))
        return xl_bpe_bad_number(l, content, f.id);
    int id = (int)json_integer_value(f.id);
    l->scratch.used = 0;
    XL_TRY(xl_bpe_add_bytes(&l->scratch, content, strlen(content), &sound));
    if (!(listed && sound) &&
        (l->pieces->length[id] || !xl_pieces_put(l->pieces, id, content, strlen(content))))
        return xl_bpe_bad_number(l, content, f.id);
    XL_TRY(add_content(l, content, f.normalized));
    l->bpe->added[index] = (xl_added){NULL, 0, id, f.normalized, f.lstrip, f.rstrip};
    return XLSTM_OK;
}

static int by_first_then_longest(const void *a, const void *b) {
    const xl_added *x = a, *y = b;
    int first = (unsigned char)*x->text - (unsigned char)*y->text;
    return first ? first : (x->length < y->length) - (x->length > y->length);
}

static void sort(xl_bpe *b) {
    int count = b->contents.count, at = 0;
    for (int i = 0; i < count; i++) {
        b->added[i].text = xl_piece(&b->contents, i);
        b->added[i].length = b->contents.length[i];
    }
    if (count)
        qsort(b->added, count, sizeof *b->added, by_first_then_longest);
    for (int first = 0; first <= 256; first++) {
        while (at < count && (unsigned char)*b->added[at].text < first)
            at++;
        b->begins[first] = at;
    }
}

xlstm_status xl_bpe_take_added(xl_bpe_file *l) {
    size_t i;
    json_t *value;
    if (l->added && !json_is_array(l->added) && !json_is_null(l->added))
        return xl_fail(XLSTM_E_FORMAT, "%s: added_tokens is not a list", l->where);
    l->bpe->added = xl_alloc((json_array_size(l->added) + 1) * sizeof *l->bpe->added);
    if (!l->bpe->added)
        return xl_no_memory(json_array_size(l->added) * sizeof *l->bpe->added, "added tokens");
    json_array_foreach(l->added, i, value) XL_TRY(take_one(l, value, i));
    sort(l->bpe);
    return XLSTM_OK;
}
