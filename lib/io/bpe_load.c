/* tokenizer.json of Hugging Face: what a byte-level BPE needs of it; anything else that would change the
 * tokens is an error. */
#include "base/mem.h"
#include "io/json.h"
#include "io/tokenizer.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { MAX_ID = 1 << 24, UNITS = 324 };

typedef struct {
    xlstm_tokenizer *t;
    json_t *root, *model;
    const char *where;
    int16_t
        byte_of[UNITS]; /* characters stand for bytes: those that print for themselves, others from 256 on */
    char *text;         /* room for one piece */
} load;

static xlstm_status unsupported(const load *l, const char *field, const char *what) {
    return xl_fail(XLSTM_E_FORMAT,
                   "%s: %s %s is not supported; byte-level BPE as GPT-2 and GPT-NeoX have it is", l->where,
                   field, what);
}

static void make_units(load *l) {
    int next = 256;
    for (int c = 0; c < UNITS; c++)
        l->byte_of[c] = -1;
    for (int b = 0; b < 256; b++) {
        int prints = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        l->byte_of[prints ? b : next++] = (int16_t)b;
    }
}

/* The bytes that the characters stand for, into l->text; 0 if one stands for none. */
static size_t to_bytes(const load *l, const char *units, size_t length) {
    size_t n = 0;
    for (size_t at = 0; at < length;) {
        utf8proc_int32_t c;
        at += (size_t)utf8proc_iterate((const utf8proc_uint8_t *)units + at, (utf8proc_ssize_t)(length - at),
                                       &c);
        if (c < 0 || c >= UNITS || l->byte_of[c] < 0)
            return 0;
        l->text[n++] = (char)l->byte_of[c];
    }
    return n;
}

static int is_set(const json_t *object, const char *field) {
    const json_t *v = json_object_get(object, field);
    return v && !json_is_null(v) && !json_is_false(v) && !(json_is_string(v) && !json_string_length(v)) &&
           !(json_is_number(v) && json_number_value(v) == 0);
}

static const char *type_of(const json_t *object) {
    const char *type = json_string_value(json_object_get(object, "type"));
    return type ? type : "";
}

/* ---- vocabulary ---- */

static xlstm_status measure(const load *l, json_t *vocab, json_t *added, int *count, size_t *bytes,
                            size_t *longest) {
    const char *name;
    json_t *value;
    size_t i;
    json_int_t top = -1;
    *bytes = 0;
    *longest = 0;
    json_object_foreach(vocab, name, value) {
        size_t n = strlen(name);
        json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
        if (id < 0 || id > MAX_ID)
            return xl_fail(XLSTM_E_FORMAT, "%s: the vocabulary gives %.60s no number from 0 to %d", l->where,
                           name, MAX_ID);
        top = id > top ? id : top;
        *bytes += n;
        *longest = n > *longest ? n : *longest;
    }
    json_array_foreach(added, i, value) {
        json_t *id = json_object_get(value, "id"), *content = json_object_get(value, "content");
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > MAX_ID ||
            !json_string_length(content))
            return xl_fail(XLSTM_E_FORMAT, "%s: added token %zu has no content or no number from 0 to %d",
                           l->where, i, MAX_ID);
        top = json_integer_value(id) > top ? json_integer_value(id) : top;
        *bytes += json_string_length(content);
    }
    *count = (int)top + 1;
    return top < 0 ? xl_fail(XLSTM_E_FORMAT, "%s: the vocabulary is empty", l->where) : XLSTM_OK;
}

/* The text of an added token is itself, also where the vocabulary lists it. */
static xlstm_status take_added(load *l, json_t *added) {
    size_t i;
    json_t *value;
    xl_bpe *b = &l->t->bpe;
    static const char *const flags[] = {"single_word", "lstrip", "rstrip"};
    if (!(b->added = xl_alloc((json_array_size(added) + 1) * sizeof *b->added)))
        return xl_no_memory(0, "added tokens");
    json_array_foreach(added, i, value) {
        const char *content = json_string_value(json_object_get(value, "content"));
        int32_t id = (int32_t)json_integer_value(json_object_get(value, "id"));
        for (int f = 0; f < 3; f++)
            if (is_set(value, flags[f]))
                return unsupported(l, flags[f], "of an added token");
        if (l->t->pieces.length[id] || !xl_pieces_put(&l->t->pieces, id, content, strlen(content)))
            return xl_fail(XLSTM_E_FORMAT, "%s: added token %.60s (%d) is there twice", l->where, content,
                           (int)id);
        b->added[b->added_count++] = (xl_added){id, is_set(value, "normalized")};
        b->begins_added[(unsigned char)content[0]] = 1;
    }
    return XLSTM_OK;
}

/* The longest first: of several that fit, the longest counts. */
static void sort_added(xlstm_tokenizer *t) {
    xl_added *a = t->bpe.added;
    for (int i = 1; i < t->bpe.added_count; i++)
        for (int k = i; k > 0 && t->pieces.length[a[k].id] > t->pieces.length[a[k - 1].id]; k--) {
            xl_added swap = a[k];
            a[k] = a[k - 1];
            a[k - 1] = swap;
        }
}

static int is_added(const xlstm_tokenizer *t, int32_t id) {
    for (int i = 0; i < t->bpe.added_count; i++)
        if (t->bpe.added[i].id == id)
            return 1;
    return 0;
}

static xlstm_status take_vocabulary(load *l, json_t *vocab) {
    const char *name;
    json_t *value;
    json_object_foreach(vocab, name, value) {
        int32_t id = (int32_t)json_integer_value(value);
        size_t n = to_bytes(l, name, strlen(name));
        if (!n && xl_pieces_put(&l->t->pieces, id, name, strlen(name)) && is_added(l->t, id))
            continue; /* an added token, listed here as it is */
        if (!n || !xl_pieces_set(&l->t->pieces, id, l->text, n))
            return xl_fail(XLSTM_E_FORMAT,
                           "%s: vocabulary entry %.60s (%d) is not byte-level text, or is there twice",
                           l->where, name, (int)id);
    }
    for (int c = 0; c < 256; c++) {
        char byte = (char)c;
        l->t->bpe.byte[c] = xl_pieces_find(&l->t->pieces, &byte, 1);
        if (l->t->bpe.byte[c] < 0)
            return xl_fail(XLSTM_E_FORMAT, "%s: the vocabulary has no token for byte %d", l->where, c);
    }
    return XLSTM_OK;
}

/* ---- merges ---- */

/* "left right", or ["left", "right"]. */
static int split_merge(const json_t *merge, const char *half[2], size_t length[2]) {
    if (json_is_array(merge) && json_array_size(merge) == 2) {
        for (size_t i = 0; i < 2; i++) {
            half[i] = json_string_value(json_array_get(merge, i));
            length[i] = json_string_length(json_array_get(merge, i));
        }
        return half[0] && half[1];
    }
    const char *text = json_string_value(merge), *space = text ? strchr(text, ' ') : NULL;
    if (!space || strchr(space + 1, ' '))
        return 0;
    half[0] = text;
    length[0] = (size_t)(space - text);
    half[1] = space + 1;
    length[1] = strlen(space + 1);
    return 1;
}

static int32_t token_of(const load *l, const char *units, size_t length) {
    size_t n = length ? to_bytes(l, units, length) : 0;
    return n ? xl_pieces_find(&l->t->pieces, l->text, n) : -1;
}

static xlstm_status take_merge(load *l, size_t rank, const json_t *merge, size_t longest) {
    const char *half[2];
    size_t length[2];
    char *both = l->text + longest + 1;
    int32_t left = -1, right = -1, merged = -1;
    if (split_merge(merge, half, length) && length[0] <= longest && length[1] <= longest &&
        (left = token_of(l, half[0], length[0])) >= 0 && (right = token_of(l, half[1], length[1])) >= 0) {
        size_t n = l->t->pieces.length[left], k = l->t->pieces.length[right];
        memcpy(both, xl_piece(&l->t->pieces, left), n);
        memcpy(both + n, xl_piece(&l->t->pieces, right), k);
        merged = xl_pieces_find(&l->t->pieces, both, n + k);
    }
    if (merged < 0)
        return xl_fail(XLSTM_E_FORMAT, "%s: merge %zu is not two tokens of the vocabulary that make a third",
                       l->where, rank);
    xl_merge *slot = (xl_merge *)(uintptr_t)xl_bpe_find(&l->t->bpe, left, right);
    if (slot->left >= 0)
        return xl_fail(XLSTM_E_FORMAT, "%s: merge %zu is there twice", l->where, rank);
    *slot = (xl_merge){left, right, (int32_t)rank, merged};
    return XLSTM_OK;
}

static xlstm_status take_merges(load *l, size_t longest) {
    json_t *merges = json_object_get(l->model, "merges"), *value;
    size_t slots = 16, i;
    if (!json_is_array(merges) || json_array_size(merges) > MAX_ID)
        return xl_fail(XLSTM_E_FORMAT, "%s: model.merges is not a list", l->where);
    while (slots < 2 * json_array_size(merges))
        slots *= 2;
    xl_bpe *b = &l->t->bpe;
    if (!(b->merges = xl_alloc(slots * sizeof *b->merges)))
        return xl_no_memory(slots * sizeof *b->merges, "merges");
    b->mask = slots - 1;
    for (i = 0; i < slots; i++)
        b->merges[i].left = -1;
    json_array_foreach(merges, i, value) XL_TRY(take_merge(l, i, value, longest));
    return XLSTM_OK;
}

/* ---- the rest of the file ---- */

static xlstm_status take_model(load *l) {
    static const char *const never[] = {"dropout", "continuing_subword_prefix", "end_of_word_suffix",
                                        "byte_fallback"};
    json_t *vocab = json_object_get(l->model, "vocab"), *added = json_object_get(l->root, "added_tokens");
    int count = 0;
    size_t bytes = 0, longest = 0;
    if (strcmp(type_of(l->model), "BPE"))
        return unsupported(l, "model.type", type_of(l->model));
    for (int i = 0; i < 4; i++)
        if (is_set(l->model, never[i]))
            return unsupported(l, "model", never[i]);
    if (!json_is_object(vocab))
        return xl_fail(XLSTM_E_FORMAT, "%s: model.vocab is not an object", l->where);
    XL_TRY(measure(l, vocab, added, &count, &bytes, &longest));
    l->t->bpe.ignore_merges = is_set(l->model, "ignore_merges");
    l->text = xl_alloc(3 * longest + 3);
    if (!l->text || !xl_pieces_create(&l->t->pieces, count, bytes))
        return xl_no_memory(bytes, "a vocabulary");
    XL_TRY(take_added(l, added));
    sort_added(l->t);
    XL_TRY(take_vocabulary(l, vocab));
    return take_merges(l, longest);
}

/* Calls `take` on the object itself, or on each of a Sequence. */
typedef xlstm_status taker(load *l, const json_t *part);
static xlstm_status each_part(load *l, const char *field, const char *list, taker *take) {
    const json_t *part = json_object_get(l->root, field), *value;
    size_t i;
    if (!part || json_is_null(part))
        return XLSTM_OK;
    if (strcmp(type_of(part), "Sequence"))
        return take(l, part);
    json_array_foreach(json_object_get(part, list), i, value) XL_TRY(take(l, value));
    return XLSTM_OK;
}

static xlstm_status take_normalizer(load *l, const json_t *part) {
    if (strcmp(type_of(part), "NFC"))
        return unsupported(l, "normalizer", type_of(part));
    l->t->bpe.nfc = 1;
    return XLSTM_OK;
}

static xlstm_status take_pre_tokenizer(load *l, const json_t *part) {
    const json_t *regex = json_object_get(part, "use_regex");
    if (strcmp(type_of(part), "ByteLevel"))
        return unsupported(l, "pre_tokenizer", type_of(part));
    l->t->bpe.prefix_space = is_set(part, "add_prefix_space");
    l->t->bpe.split = !regex || json_is_true(regex);
    return XLSTM_OK;
}

static xlstm_status take_decoder(load *l, const json_t *part) {
    return strcmp(type_of(part), "ByteLevel") ? unsupported(l, "decoder", type_of(part)) : XLSTM_OK;
}

/* One entry of a template: the text itself, or a special token's numbers before or after it. */
static xlstm_status take_template(load *l, const json_t *part, const json_t *entry, int *seen, size_t room) {
    const json_t *special = json_object_get(entry, "SpecialToken"), *id;
    const char *name = json_string_value(json_object_get(special, "id"));
    xl_bpe *b = &l->t->bpe;
    size_t i;
    if (json_object_get(entry, "Sequence")) {
        *seen = 1;
        return XLSTM_OK;
    }
    const json_t *ids =
        json_object_get(json_object_get(json_object_get(part, "special_tokens"), name ? name : ""), "ids");
    json_array_foreach(ids, i, id) {
        int *count = *seen ? &b->after_count : &b->before_count;
        if (!json_is_integer(id) || json_integer_value(id) < 0 ||
            json_integer_value(id) >= l->t->pieces.count || (size_t)*count >= room)
            return unsupported(l, "post_processor", "with these numbers of special tokens");
        (*seen ? b->after : b->before)[(*count)++] = (int32_t)json_integer_value(id);
    }
    return ids ? XLSTM_OK : unsupported(l, "post_processor", "with a special token that it does not define");
}

static xlstm_status take_post_processor(load *l, const json_t *part) {
    const json_t *single = json_object_get(part, "single"), *entry;
    size_t i, room = json_array_size(single) + 4;
    int seen = 0;
    if (!strcmp(type_of(part), "ByteLevel"))
        return XLSTM_OK; /* only offsets */
    if (strcmp(type_of(part), "TemplateProcessing") || l->t->bpe.before)
        return unsupported(l, "post_processor", type_of(part));
    l->t->bpe.before = xl_alloc(room * sizeof *l->t->bpe.before);
    l->t->bpe.after = xl_alloc(room * sizeof *l->t->bpe.after);
    if (!l->t->bpe.before || !l->t->bpe.after)
        return xl_no_memory(room, "special tokens");
    json_array_foreach(single, i, entry) XL_TRY(take_template(l, part, entry, &seen, room));
    return XLSTM_OK;
}

static xlstm_status take_all(load *l) {
    l->model = json_object_get(l->root, "model");
    XL_TRY(take_model(l));
    XL_TRY(each_part(l, "normalizer", "normalizers", take_normalizer));
    XL_TRY(each_part(l, "pre_tokenizer", "pretokenizers", take_pre_tokenizer));
    XL_TRY(each_part(l, "decoder", "decoders", take_decoder));
    XL_TRY(each_part(l, "post_processor", "processors", take_post_processor));
    const json_t *cutter = json_object_get(l->root, "pre_tokenizer");
    return cutter && !json_is_null(cutter) ? XLSTM_OK : unsupported(l, "pre_tokenizer", "null");
}

xlstm_status xl_bpe_load(xlstm_tokenizer *t, const char *text, size_t bytes, const char *where) {
    load l = {.t = t, .where = where};
    make_units(&l);
    XL_TRY(xl_json_parse(&l.root, text, bytes, where));
    xlstm_status status = take_all(&l);
    json_decref(l.root);
    xl_free(l.text);
    return status;
}
