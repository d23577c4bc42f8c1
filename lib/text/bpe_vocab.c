/* A vocabulary writes every byte as a character that prints; added tokens stand in it as they are. Vocabulary
 * and added tokens have the numbers 0 to n - 1, each once: a hole or a second is an error. */
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

xlstm_status xl_bpe_bad_number(const xl_bpe_file *l, const char *token, const json_t *number) {
    char shown[32] = "none";
    if (json_is_integer(number))
        snprintf(shown, sizeof shown, "%" JSON_INTEGER_FORMAT, json_integer_value(number));
    return xl_fail(
        XLSTM_E_FORMAT,
        "%s: the number of token \"%.60s\" is %s; all tokens together must have 0 to %d, each once", l->where,
        token, shown, l->pieces->count - 1);
}

int xl_bpe_good_number(const xl_bpe_file *l, const json_t *number) {
    return json_is_integer(number) && json_integer_value(number) >= 0 &&
           json_integer_value(number) < l->pieces->count;
}

/* Tokens in all, and room for their texts. That there is a number for each, and each once, leaves no holes.
 */
xlstm_status xl_bpe_make_pieces(xl_bpe_file *l) {
    size_t count = json_object_size(l->vocab), bytes = 0, i;
    const char *name;
    json_t *value;
    json_object_foreach(l->vocab, name, value) bytes += strlen(name);
    json_array_foreach(l->added, i, value) {
        const char *content = json_string_value(json_object_get(value, "content"));
        count += content && !json_object_get(l->vocab, content);
        bytes += content ? strlen(content) : 0;
    }
    if (count < 1 || count > INT_MAX / 4)
        return xl_fail(XLSTM_E_FORMAT, "%s: the vocabulary has %zu tokens", l->where, count);
    return xl_pieces_create(l->pieces, (int)count, bytes) ? XLSTM_OK : xl_no_memory(bytes, "a vocabulary");
}

xlstm_status xl_bpe_take_vocabulary(xl_bpe_file *l) {
    const char *name;
    json_t *value;
    json_object_foreach(l->vocab, name, value) {
        int sound, id = (int)json_integer_value(value);
        if (!xl_bpe_good_number(l, value))
            return xl_bpe_bad_number(l, name, value);
        l->scratch.used = 0;
        XL_TRY(xl_bpe_add_bytes(&l->scratch, name, strlen(name), &sound));
        if (sound && xl_pieces_set(l->pieces, id, l->scratch.bytes, l->scratch.used))
            continue;
        if (!sound && l->pieces->length[id] && xl_pieces_put(l->pieces, id, name, strlen(name)))
            continue; /* an added token that is listed here as it stands in texts */
        return l->pieces->length[id] ? xl_bpe_bad_number(l, name, value)
                                     : xl_fail(XLSTM_E_FORMAT,
                                               "%s: token \"%.60s\" of the vocabulary is not written in the "
                                               "characters of byte-level BPE",
                                               l->where, name);
    }
    return XLSTM_OK;
}

/* After the vocabulary. Bytes without a token are the unknown one's, if there is one. */
xlstm_status xl_bpe_take_bytes(xl_bpe_file *l) {
    const json_t *unknown = json_is_null(l->unknown) ? NULL : l->unknown;
    const char *name = json_string_value(unknown);
    for (int c = 0; c < 256; c++) {
        char byte = (char)c;
        int never = c == 0xc0 || c == 0xc1 || c >= 0xf5; /* not in UTF-8, and often not in vocabularies */
        l->bpe->byte[c] = xl_pieces_find(l->pieces, &byte, 1);
        if (l->bpe->byte[c] >= 0 || never || !unknown)
            continue;
        const json_t *number = name ? json_object_get(l->vocab, name) : NULL;
        if (!number)
            return xl_fail(XLSTM_E_FORMAT, "%s: unk_token is not in the vocabulary", l->where);
        if (l->fuse_unk)
            return xl_fail(XLSTM_E_CONFIG, "%s: fuse_unk with a vocabulary that lacks bytes is not supported",
                           l->where);
        l->bpe->byte[c] = (int32_t)json_integer_value(number);
    }
    return XLSTM_OK;
}
