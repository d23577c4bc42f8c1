/* tokenizer.json of Hugging Face, part by part. What would change tokens or texts is honoured or is an error.
 */
#include "text/bpe_load.h"
#include "base/log.h"
#include "base/mem.h"
#include "file/fields.h"
#include <string.h>

enum { MOST_BYTES = 1 << 28 }; /* the largest in use have some ten million */

#define XL_AT(type, kind, name)                                                                              \
    { #name, kind, offsetof(type, name), NULL }

/* Reads an object's fields; errors name the part. */
static xlstm_status read_part(const xl_bpe_file *l, const char *part, const xl_field *table, size_t count,
                              void *to, json_t *object) {
    char where[400];
    xl_sentence(where, sizeof where, "%s: %s", l->where, part);
    return xl_fields_read(table, count, to, object, where);
}

typedef xlstm_status taker(xl_bpe_file *l, const char *part, json_t *object);

/* Takes the object itself, or each in the list of a Sequence. *count: how many those are. */
static xlstm_status each(xl_bpe_file *l, const char *part, const char *list, json_t *object, taker *take,
                         size_t *count) {
    const char *type = json_string_value(json_object_get(object, "type"));
    *count = object && !json_is_null(object);
    if (!*count || !type || strcmp(type, "Sequence"))
        return *count ? take(l, part, object) : XLSTM_OK;
    json_t *items = NULL, *item;
    const xl_field table[] = {{"type", XL_IGNORED, 0, NULL}, {list, XL_JSON, 0, NULL}};
    size_t i;
    XL_TRY(read_part(l, part, table, XL_COUNT(table), &items, object));
    if (!json_is_array(items))
        return xl_fail(XLSTM_E_FORMAT, "%s: %s has no list %s", l->where, part, list);
    *count = json_array_size(items);
    json_array_foreach(items, i, item) XL_TRY(take(l, part, item));
    return XLSTM_OK;
}

/* ---- normalizer, pre_tokenizer, decoder ---- */

static xlstm_status take_normalizer(xl_bpe_file *l, const char *part, json_t *object) {
    static const char *const types[] = {"NFC", "Lowercase", NULL}; /* as xl_normal */
    static const xl_field table[] = {{"type", XL_CHOICE, 0, types}};
    int type = 0;
    XL_TRY(read_part(l, part, table, XL_COUNT(table), &type, object));
    if (l->bpe->normals == XL_NORMALS_MAX)
        return xl_fail(XLSTM_E_CONFIG, "%s: normalizer has more than %d parts", l->where, XL_NORMALS_MAX);
    l->bpe->normal[l->bpe->normals++] = (unsigned char)type;
    return XLSTM_OK;
}

typedef struct {
    int type, add_prefix_space, use_regex;
} byte_level;

/* Offsets are not kept, so trim_offsets is nothing. */
static xlstm_status read_byte_level(const xl_bpe_file *l, const char *part, byte_level *to, json_t *object) {
    static const char *const types[] = {"ByteLevel", NULL};
    static const xl_field table[] = {
        {"type", XL_CHOICE, offsetof(byte_level, type), types},
        XL_AT(byte_level, XL_BOOL, add_prefix_space),
        XL_AT(byte_level, XL_BOOL, use_regex),
        {"trim_offsets", XL_IGNORED, 0, NULL},
    };
    *to = (byte_level){0, 1, 1};
    return read_part(l, part, table, XL_COUNT(table), to, object);
}

static xlstm_status take_pre_tokenizer(xl_bpe_file *l, const char *part, json_t *object) {
    byte_level b;
    XL_TRY(read_byte_level(l, part, &b, object));
    l->bpe->prefix_space = b.add_prefix_space;
    l->bpe->split = b.use_regex;
    return XLSTM_OK;
}

/* The word level's: several cut as the one that cuts more. */
static xlstm_status take_word_cutter(xl_bpe_file *l, const char *part, json_t *object) {
    static const char *const types[] = {"WhitespaceSplit", "Whitespace", NULL};
    static const xl_field table[] = {{"type", XL_CHOICE, 0, types}};
    int type = 0;
    XL_TRY(read_part(l, part, table, XL_COUNT(table), &type, object));
    xl_words words = type ? XL_AT_KINDS : XL_AT_SPACES;
    if (words > l->bpe->words)
        l->bpe->words = words;
    return XLSTM_OK;
}

static xlstm_status take_decoder(xl_bpe_file *l, const char *part, json_t *object) {
    byte_level b; /* its settings do nothing in a decoder */
    return read_byte_level(l, part, &b, object);
}

/* ---- post_processor ---- */

typedef struct {
    int type;
    json_t *single, *special_tokens;
} template;

static xlstm_status add_special(xl_bpe_file *l, const template *t, const json_t *entry, int behind) {
    const char *name = json_string_value(json_object_get(json_object_get(entry, "SpecialToken"), "id"));
    const json_t *token = name ? json_object_get(t->special_tokens, name) : NULL, *id;
    const json_t *ids = json_object_get(token, "ids");
    xl_bpe *b = l->bpe;
    size_t i;
    if (json_array_size(ids) < 1 || json_array_size(ids) > 8)
        return xl_fail(XLSTM_E_FORMAT,
                       "%s: post_processor has a template whose special token %.60s has no ids", l->where,
                       name ? name : "(no name)");
    json_array_foreach(ids, i, id) {
        if (!xl_bpe_good_number(l, id) || json_integer_value(id) > l->last)
            return xl_bpe_bad_number(l, name, id);
        if (behind)
            b->after[b->after_count++] = (int32_t)json_integer_value(id);
        else
            b->before[b->before_count++] = (int32_t)json_integer_value(id);
    }
    return XLSTM_OK;
}

/* Special tokens, the text itself, special tokens. */
static xlstm_status take_single(xl_bpe_file *l, const template *t) {
    const json_t *entry;
    size_t i, room = 8 * json_array_size(t->single) + 1;
    int texts = 0;
    if (!json_is_array(t->single))
        return xl_fail(XLSTM_E_FORMAT, "%s: post_processor has no list single", l->where);
    l->bpe->before = xl_alloc(room * sizeof *l->bpe->before);
    l->bpe->after = xl_alloc(room * sizeof *l->bpe->after);
    if (!l->bpe->before || !l->bpe->after)
        return xl_no_memory(room, "special tokens");
    json_array_foreach(t->single, i, entry) {
        const char *text = json_string_value(json_object_get(json_object_get(entry, "Sequence"), "id"));
        if (text)
            texts += strcmp(text, "A") ? 2 : 1;
        else
            XL_TRY(add_special(l, t, entry, texts));
    }
    if (texts == 1)
        return XLSTM_OK;
    return xl_fail(
        XLSTM_E_CONFIG,
        "%s: post_processor has a template for single texts in which the text is not there just once; "
        "that is not supported",
        l->where);
}

static xlstm_status take_post_processor(xl_bpe_file *l, const char *part, json_t *object) {
    static const char *const types[] = {"TemplateProcessing", NULL};
    static const xl_field table[] = {
        {"type", XL_CHOICE, offsetof(template, type), types},
        XL_AT(template, XL_JSON, single),
        XL_AT(template, XL_JSON, special_tokens),
        {"pair", XL_IGNORED, 0, NULL}, /* two texts are never encoded as one */
    };
    const char *type = json_string_value(json_object_get(object, "type"));
    template t = {0};
    if (type && !strcmp(type, "ByteLevel"))
        return take_decoder(l, part, object); /* here too it would only change offsets */
    XL_TRY(read_part(l, part, table, XL_COUNT(table), &t, object));
    if (l->bpe->before)
        return xl_fail(XLSTM_E_CONFIG, "%s: two templates in post_processor are not supported", l->where);
    return take_single(l, &t);
}

/* ---- the file ---- */

typedef struct {
    int type, fuse_unk, ignore_merges;
    json_t *vocab, *merges, *unk_token;
} model_fields;

static xlstm_status read_model(xl_bpe_file *l, json_t *object) {
    static const char *const types[] = {"BPE", "WordLevel", NULL};
    static const xl_field table[] = {
        {"type", XL_CHOICE, offsetof(model_fields, type), types},
        XL_AT(model_fields, XL_BOOL, fuse_unk),
        XL_AT(model_fields, XL_BOOL, ignore_merges),
        XL_AT(model_fields, XL_JSON, vocab),
        XL_AT(model_fields, XL_JSON, merges),
        XL_AT(model_fields, XL_JSON, unk_token),
        {"dropout", XL_MUST_BE_OFF, 0, NULL},
        {"continuing_subword_prefix", XL_MUST_BE_OFF, 0, NULL},
        {"end_of_word_suffix", XL_MUST_BE_OFF, 0, NULL},
        {"byte_fallback", XL_MUST_BE_OFF, 0, NULL},
    };
    model_fields m = {0};
    XL_TRY(read_part(l, "model", table, XL_COUNT(table), &m, object));
    if (!json_is_object(m.vocab))
        return xl_fail(XLSTM_E_FORMAT, "%s: model.vocab is not an object", l->where);
    l->vocab = m.vocab;
    l->merges = m.merges;
    l->unknown = m.unk_token;
    l->fuse_unk = m.fuse_unk;
    l->bpe->ignore_merges = m.ignore_merges;
    int untyped = !json_object_get(object, "type") && !m.merges; /* as files of old say it */
    l->bpe->words = m.type || untyped ? XL_WHOLE : XL_BYTE_LEVEL;
    return XLSTM_OK;
}

static xlstm_status take_tables(xl_bpe_file *l) {
    XL_TRY(xl_bpe_check_numbers(l));
    XL_TRY(xl_bpe_take_added(l));
    XL_TRY(xl_bpe_take_vocabulary(l));
    XL_TRY(xl_bpe_take_bytes(l));
    return l->bpe->words == XL_BYTE_LEVEL ? xl_bpe_take_merges(l) : XLSTM_OK;
}

static xlstm_status need_one(const xl_bpe_file *l, const char *part, size_t count) {
    if (count == 1)
        return XLSTM_OK;
    return xl_fail(XLSTM_E_CONFIG, "%s: %s has %zu parts; one ByteLevel is supported", l->where, part, count);
}

typedef struct {
    json_t *added_tokens, *normalizer, *pre_tokenizer, *post_processor, *decoder, *model, *truncation,
        *padding;
} file_fields;

/* How a text becomes words, and tokens a text. */
static xlstm_status take_words(xl_bpe_file *l, const file_fields *f) {
    int words = l->bpe->words != XL_BYTE_LEVEL;
    size_t count;
    XL_TRY(each(l, "normalizer", "normalizers", f->normalizer, take_normalizer, &count));
    XL_TRY(each(l, "pre_tokenizer", "pretokenizers", f->pre_tokenizer,
                words ? take_word_cutter : take_pre_tokenizer, &count));
    if (!words)
        XL_TRY(need_one(l, "pre_tokenizer", count));
    if (words && f->decoder && !json_is_null(f->decoder))
        return xl_fail(XLSTM_E_CONFIG, "%s: a decoder for a model of words is not supported", l->where);
    XL_TRY(each(l, "decoder", "decoders", f->decoder, take_decoder, &count));
    return words ? XLSTM_OK : need_one(l, "decoder", count);
}

/* What a training run left in its file, about batches. A text here is a whole one, and alone. */
static void tell_of_batches(const xl_bpe_file *l, const file_fields *f) {
    const json_t *set[] = {f->truncation, f->padding};
    static const char *const names[] = {"truncation", "padding"};
    for (int i = 0; i < 2; i++)
        if (set[i] && !json_is_null(set[i]))
            xl_log(XLSTM_LOG_INFO, "%s: %s is set; it is left to whoever encodes", l->where, names[i]);
}

static xlstm_status take_file(xl_bpe_file *l, json_t *root) {
    static const xl_field table[] = {
        XL_AT(file_fields, XL_JSON, added_tokens),  XL_AT(file_fields, XL_JSON, normalizer),
        XL_AT(file_fields, XL_JSON, pre_tokenizer), XL_AT(file_fields, XL_JSON, post_processor),
        XL_AT(file_fields, XL_JSON, decoder),       XL_AT(file_fields, XL_JSON, model),
        XL_AT(file_fields, XL_JSON, truncation),    XL_AT(file_fields, XL_JSON, padding),
        {"version", XL_IGNORED, 0, NULL},
    };
    file_fields f = {0};
    size_t count;
    XL_TRY(read_part(l, "the file", table, XL_COUNT(table), &f, root));
    XL_TRY(read_model(l, f.model));
    XL_TRY(take_words(l, &f));
    l->added = f.added_tokens;
    XL_TRY(take_tables(l));
    tell_of_batches(l, &f);
    return each(l, "post_processor", "processors", f.post_processor, take_post_processor, &count);
}

xlstm_status xl_bpe_load(xl_bpe **out, xl_pieces *pieces, const char *text, size_t bytes, const char *where) {
    json_t *root;
    *out = NULL;
    if (bytes > MOST_BYTES)
        return xl_fail(XLSTM_E_FORMAT, "%s: has %zu bytes; a tokenizer.json has at most %d", where, bytes,
                       MOST_BYTES);
    XL_TRY(xl_json_parse(&root, text, bytes, where));
    xl_bpe_file l = {.bpe = xl_alloc(sizeof *l.bpe), .pieces = pieces, .where = where};
    xlstm_status status = l.bpe ? take_file(&l, root) : xl_no_memory(sizeof *l.bpe, "a tokenizer");
    json_decref(root);
    xl_free(l.scratch.bytes);
    if (status == XLSTM_OK)
        *out = l.bpe;
    else
        xl_bpe_free(l.bpe);
    return status;
}
