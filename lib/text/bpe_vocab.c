/* The vocabulary of byte-level BPE writes every byte as a character that prints; what else it holds stands in
 * no text. Its numbers may leave holes, which are no tokens, but not so large ones that a small file takes
 * much memory; each is there once. */
#include "text/bpe_load.h"
#include <limits.h>
#include <string.h>
#include <utf8proc.h>

/* ---- characters that stand for bytes ---- */

/* The byte of a character: those that print stand for themselves, the 68 others are 256, 257, ...; -1: none.
 */
static int byte_of(utf8proc_int32_t c) {
    if ((c >= 33 && c <= 126) || (c >= 161 && c <= 172) || (c >= 174 && c <= 255))
        return c;
    utf8proc_int32_t k = c - 256;
    return k < 0 ? -1 : k < 33 ? k : k < 67 ? k - 33 + 127 : k == 67 ? 173 : -1;
}

xlstm_status xl_bpe_add_bytes(xl_text *out, const char *chars, size_t length, int *sound) {
    *sound = 1;
    for (size_t at = 0; at < length && *sound;) {
        utf8proc_int32_t c;
        at += utf8proc_iterate((const utf8proc_uint8_t *)chars + at, (utf8proc_ssize_t)(length - at), &c);
        int byte = byte_of(c);
        char as_char = (char)byte;
        if (byte < 0)
            *sound = 0;
        else
            XL_TRY(xl_text_add(out, &as_char, 1));
    }
    return XLSTM_OK;
}

/* ---- numbers ---- */

/* The first that is too high: vocabularies in use have a million. */
static json_int_t too_high(const xl_bpe_file *l) {
    json_int_t tokens = (json_int_t)json_object_size(l->vocab);
    return tokens > 1 << 18 ? 4 * tokens : 1 << 20;
}

xlstm_status xl_bpe_bad_number(const xl_bpe_file *l, const char *token, const json_t *number) {
    char shown[32] = "none";
    if (json_is_integer(number))
        snprintf(shown, sizeof shown, "%" JSON_INTEGER_FORMAT, json_integer_value(number));
    return xl_fail(XLSTM_E_FORMAT,
                   "%s: the number of token \"%.60s\" is %s; 0 to %" JSON_INTEGER_FORMAT
                   " are possible, each once",
                   l->where, token, shown, too_high(l) - 1);
}

int xl_bpe_good_number(const xl_bpe_file *l, const json_t *number) {
    return json_is_integer(number) && json_integer_value(number) >= 0 &&
           json_integer_value(number) < too_high(l);
}

xlstm_status xl_bpe_check_numbers(xl_bpe_file *l) {
    size_t count = json_object_size(l->vocab);
    const char *name;
    json_t *value;
    l->last = -1;
    if (count > INT_MAX / 16)
        return xl_fail(XLSTM_E_FORMAT, "%s: the vocabulary has %zu tokens", l->where, count);
    json_object_foreach(l->vocab, name, value) {
        if (!xl_bpe_good_number(l, value))
            return xl_bpe_bad_number(l, name, value);
        if (json_integer_value(value) > l->last)
            l->last = (int32_t)json_integer_value(value);
    }
    return XLSTM_OK;
}

/* ---- texts ---- */

static xlstm_status make_pieces(xl_bpe_file *l) {
    size_t bytes = 0;
    const char *name;
    json_t *value;
    json_object_foreach(l->vocab, name, value) bytes += strlen(name) + 1;
    if (l->last < 0)
        return xl_fail(XLSTM_E_FORMAT, "%s: has not one token with a number", l->where);
    return xl_pieces_create(l->pieces, l->last + 1, bytes) ? XLSTM_OK : xl_no_memory(bytes, "a vocabulary");
}

/* One that texts can have is shown as the bytes that it stands for, also where it was added. */
static xlstm_status take_bytes_of(xl_bpe_file *l, const char *name, int32_t id, int *fresh) {
    int sound;
    l->scratch.used = 0;
    XL_TRY(xl_bpe_add_bytes(&l->scratch, name, strlen(name), &sound));
    if (!sound) {
        *fresh = !l->pieces->length[id] && xl_pieces_put(l->pieces, id, name, strlen(name));
        return XLSTM_OK;
    }
    *fresh = xl_pieces_set(l->pieces, id, l->scratch.bytes, l->scratch.used);
    int32_t added = l->bpe->shown[id];
    if (added >= 0 && !strcmp(xl_piece(&l->bpe->contents, added), name))
        l->bpe->shown[id] = -1;
    return XLSTM_OK;
}

/* After the added tokens. */
xlstm_status xl_bpe_take_vocabulary(xl_bpe_file *l) {
    const char *name;
    json_t *value;
    XL_TRY(make_pieces(l));
    json_object_foreach(l->vocab, name, value) {
        int32_t id = (int32_t)json_integer_value(value);
        int fresh = 1;
        if (!*name)
            continue; /* stands in no text, and adds nothing to one */
        if (l->bpe->words == XL_BYTE_LEVEL)
            XL_TRY(take_bytes_of(l, name, id, &fresh));
        else
            fresh = xl_pieces_set(l->pieces, id, name, strlen(name));
        if (!fresh)
            return xl_bpe_bad_number(l, name, value);
    }
    return XLSTM_OK;
}

/* ---- what else a text may hold ---- */

static xlstm_status take_byte(xl_bpe_file *l, unsigned char c, const json_t *unknown) {
    char byte = (char)c;
    int never = c == 0xc0 || c == 0xc1 || c >= 0xf5; /* not in UTF-8, and often not in vocabularies */
    l->bpe->byte[c] = xl_pieces_find(l->pieces, &byte, 1);
    if (l->bpe->byte[c] >= 0 || never || !unknown)
        return XLSTM_OK;
    if (l->bpe->unknown < 0)
        return xl_fail(XLSTM_E_FORMAT, "%s: unk_token is not in the vocabulary", l->where);
    if (l->fuse_unk)
        return xl_fail(XLSTM_E_CONFIG, "%s: fuse_unk with a vocabulary that lacks bytes is not supported",
                       l->where);
    l->bpe->byte[c] = l->bpe->unknown;
    return XLSTM_OK;
}

/* After the vocabulary. Bytes without a token are the unknown one's, if there is one. */
xlstm_status xl_bpe_take_bytes(xl_bpe_file *l) {
    const json_t *unknown = json_is_null(l->unknown) ? NULL : l->unknown;
    const char *name = json_string_value(unknown);
    const json_t *number = name ? json_object_get(l->vocab, name) : NULL;
    l->bpe->unknown = number ? (int32_t)json_integer_value(number) : -1;
    for (int c = 0; c < 256 && l->bpe->words == XL_BYTE_LEVEL; c++)
        XL_TRY(take_byte(l, (unsigned char)c, unknown));
    return XLSTM_OK;
}
