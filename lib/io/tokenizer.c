/* The public calls, and the word level. */
#include "io/tokenizer.h"
#include "base/mem.h"
#include "io/file.h"
#include <limits.h>
#include <string.h>

static xlstm_status start(xlstm_tokenizer **out) {
    *out = xl_alloc(sizeof **out);
    if (!*out)
        return xl_no_memory(sizeof **out, "a tokenizer");
    (*out)->unknown = (*out)->line_end = -1;
    return XLSTM_OK;
}

void xlstm_tokenizer_free(xlstm_tokenizer *t) {
    if (!t)
        return;
    xl_pieces_free(&t->pieces);
    xl_bpe_free(&t->bpe);
    xl_free(t);
}

/* ---- word level ---- */

static int is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static xlstm_status check_word(const char *word, size_t length, int at) {
    for (size_t i = 0; i < length; i++)
        if (is_space(word[i]))
            return xl_fail(XLSTM_E_FORMAT, "word %d of the vocabulary has white space in it", at);
    return length ? XLSTM_OK : xl_fail(XLSTM_E_FORMAT, "word %d of the vocabulary is empty", at);
}

static xlstm_status add_word(xlstm_tokenizer *t, int id, const char *word, size_t length) {
    XL_TRY(check_word(word, length, id));
    t->pieces.bytes[t->pieces.used++] = ' '; /* goes before it in a text: see xlstm_tokenizer_piece() */
    if (!xl_pieces_set(&t->pieces, id, word, length))
        return xl_fail(XLSTM_E_FORMAT, "word %d of the vocabulary, \"%.*s\", is there twice", id,
                       (int)(length < 60 ? length : 60), word);
    return XLSTM_OK;
}

static void find_markers(xlstm_tokenizer *t) {
    t->unknown = xl_pieces_find(&t->pieces, "<unk>", 5);
    t->line_end = xl_pieces_find(&t->pieces, "<eos>", 5);
}

static xlstm_status take_words(xlstm_tokenizer *t, const char *const *words, int count) {
    size_t bytes = 0;
    for (int i = 0; i < count; i++) {
        if (!words[i])
            return xl_fail(XLSTM_E_ARGUMENT, "word %d is NULL", i);
        bytes += strlen(words[i]);
    }
    if (!xl_pieces_create(&t->pieces, count, bytes + (size_t)count))
        return xl_no_memory(bytes, "a vocabulary");
    for (int i = 0; i < count; i++)
        XL_TRY(add_word(t, i, words[i], strlen(words[i])));
    find_markers(t);
    return XLSTM_OK;
}

xlstm_status xlstm_tokenizer_from_words(xlstm_tokenizer **out, const char *const *words, int count) {
    if (!out || !words || count < 1)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "xlstm_tokenizer_from_words needs an address for the tokenizer and at least one word");
    XL_TRY(start(out));
    xlstm_status status = take_words(*out, words, count);
    if (status != XLSTM_OK) {
        xlstm_tokenizer_free(*out);
        *out = NULL;
    }
    return status;
}

/* A word per line; the last line may lack its end. */
static xlstm_status take_lines(xlstm_tokenizer *t, const char *text, size_t bytes) {
    size_t lines = bytes && text[bytes - 1] != '\n';
    for (size_t i = 0; i < bytes; i++)
        lines += text[i] == '\n';
    if (lines < 1 || lines > INT_MAX / 2)
        return xl_fail(XLSTM_E_FORMAT, "the vocabulary has %zu lines; it needs one per word", lines);
    if (!xl_pieces_create(&t->pieces, (int)lines, bytes + lines))
        return xl_no_memory(bytes, "a vocabulary");
    for (int id = 0; id < (int)lines; id++) {
        const char *end = memchr(text, '\n', bytes);
        size_t length = end ? (size_t)(end - text) : bytes, whole = length + (end != NULL);
        size_t word = length && text[length - 1] == '\r' ? length - 1 : length;
        XL_TRY(add_word(t, id, text, word));
        text += whole;
        bytes -= whole;
    }
    find_markers(t);
    return XLSTM_OK;
}

static xlstm_status encode_words(const xlstm_tokenizer *t, const char *text, size_t bytes, xl_tokens *out) {
    for (size_t i = 0; i < bytes;) {
        if (is_space(text[i])) {
            if (text[i++] == '\n' && t->line_end >= 0)
                xl_tokens_add(out, t->line_end);
            continue;
        }
        size_t end = i;
        while (end < bytes && !is_space(text[end]))
            end++;
        int32_t id = xl_pieces_find(&t->pieces, text + i, end - i);
        if (id < 0 && t->unknown < 0)
            return xl_fail(XLSTM_E_NOT_FOUND,
                           "the word \"%.*s\" is not in the vocabulary, which has no <unk> either",
                           (int)(end - i < 60 ? end - i : 60), text + i);
        xl_tokens_add(out, id < 0 ? t->unknown : id);
        i = end;
    }
    return XLSTM_OK;
}

xlstm_status xlstm_tokenizer_save(const xlstm_tokenizer *t, const char *path) {
    if (!t || !path || t->bpe.merges)
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_tokenizer_save needs a word-level tokenizer and a path");
    xl_replace file;
    XL_TRY(xl_replace_open(&file, path));
    for (int i = 0; i < t->pieces.count; i++) {
        fwrite(xl_piece(&t->pieces, i), 1, t->pieces.length[i], file.f);
        fputc('\n', file.f);
    }
    return xl_replace_commit(&file);
}

/* ---- both ---- */

static int ends_with(const char *s, const char *suffix) {
    size_t n = strlen(s), k = strlen(suffix);
    return n >= k && !strcmp(s + n - k, suffix);
}

static xlstm_status load_file(xlstm_tokenizer *t, const char *path) {
    xl_map map;
    XL_TRY(xl_map_open(&map, path));
    const char *text = map.data ? map.data : "";
    xlstm_status status =
        ends_with(path, ".json") ? xl_bpe_load(t, text, map.size, path) : take_lines(t, text, map.size);
    xl_map_close(&map);
    return status;
}

static xlstm_status load_path(xlstm_tokenizer *t, const char *path) {
    static const char *const names[] = {"tokenizer.json", "vocab.txt"};
    if (!xl_path_is_dir(path))
        return load_file(t, path);
    for (int i = 0; i < 2; i++) {
        char *file = xl_path_join(path, names[i]);
        if (!file)
            return xl_no_memory(0, "a file name");
        int there = xl_path_exists(file);
        xlstm_status status = there ? load_file(t, file) : XLSTM_OK;
        xl_free(file);
        if (there)
            return status;
    }
    return xl_fail(XLSTM_E_IO, "%s: holds neither %s nor %s", path, names[0], names[1]);
}

xlstm_status xlstm_tokenizer_load(xlstm_tokenizer **out, const char *path) {
    if (!out || !path)
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_tokenizer_load: NULL argument");
    XL_TRY(start(out));
    xlstm_status status = load_path(*out, path);
    if (status != XLSTM_OK) {
        xlstm_tokenizer_free(*out);
        *out = NULL;
    }
    return status;
}

int xlstm_tokenizer_size(const xlstm_tokenizer *t) {
    return t ? t->pieces.count : 0;
}

xlstm_status xlstm_tokenizer_find(const xlstm_tokenizer *t, const char *text, int32_t *token) {
    int32_t id = t && text ? xl_pieces_find(&t->pieces, text, strlen(text)) : -1;
    for (int i = 0; t && text && i < t->bpe.added_count; i++) { /* these go first, as they do in a text */
        int32_t added = t->bpe.added[i].id;
        size_t n = t->pieces.length[added];
        if (n == strlen(text) && !memcmp(xl_piece(&t->pieces, added), text, n))
            id = added;
    }
    if (id < 0 || !token)
        return xl_fail(XLSTM_E_NOT_FOUND, "no token stands for exactly \"%.100s\"", text ? text : "(null)");
    *token = id;
    return XLSTM_OK;
}

xlstm_status xlstm_tokenizer_encode(const xlstm_tokenizer *t, const char *text, size_t bytes, int32_t *tokens,
                                    size_t capacity, size_t *count) {
    if (!t || (!text && bytes) || (!tokens && capacity) || !count)
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_tokenizer_encode: NULL argument");
    xl_tokens out = {tokens, capacity, 0};
    *count = 0;
    XL_TRY(t->bpe.merges ? xl_bpe_encode(t, text, bytes, &out) : encode_words(t, text, bytes, &out));
    *count = out.count;
    if (out.count > capacity)
        return xl_fail(XLSTM_E_ARGUMENT, "the text has %zu tokens, but there is room for %zu", out.count,
                       capacity);
    return XLSTM_OK;
}

xlstm_status xlstm_tokenizer_piece(const xlstm_tokenizer *t, int32_t token, const char **text,
                                   size_t *bytes) {
    if (!t || !text || !bytes || token < 0 || token >= t->pieces.count)
        return xl_fail(XLSTM_E_ARGUMENT, "token %d does not exist; the tokenizer has 0 to %d", (int)token,
                       xlstm_tokenizer_size(t) - 1);
    int space = !t->bpe.merges;
    *bytes = t->pieces.length[token];
    *text = *bytes ? xl_piece(&t->pieces, token) - space : NULL;
    *bytes += *bytes ? (size_t)space : 0;
    if (token == t->line_end) {
        *text = "\n";
        *bytes = 1;
    }
    return XLSTM_OK;
}

size_t xlstm_utf8_complete(const char *text, size_t bytes) {
    for (size_t back = 1; text && back <= 3 && back <= bytes; back++) {
        unsigned char c = (unsigned char)text[bytes - back];
        if ((c & 0xc0) == 0x80)
            continue; /* inside a character: look for where it begins */
        size_t needs = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
        return needs > back ? bytes - back : bytes;
    }
    return bytes;
}
