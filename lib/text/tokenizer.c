/* The public calls, for both kinds of tokenizer. Texts are checked here: what is below relies on UTF-8. */
#include "text/tokenizer.h"
#include "base/mem.h"
#include "file/file.h"
#include "file/utf8.h"
#include <string.h>

static xlstm_status start(xlstm_tokenizer **out) {
    *out = xl_alloc(sizeof **out);
    if (!*out)
        return xl_no_memory(sizeof **out, "a tokenizer");
    (*out)->unknown = (*out)->line_end = -1;
    return XLSTM_OK;
}

/* What a creator returns: nothing is left of a tokenizer that failed. */
static xlstm_status made(xlstm_tokenizer **out, xlstm_status status) {
    if (status != XLSTM_OK) {
        xlstm_tokenizer_free(*out);
        *out = NULL;
    }
    return status;
}

void xlstm_tokenizer_free(xlstm_tokenizer *t) {
    if (!t)
        return;
    xl_pieces_free(&t->pieces);
    xl_bpe_free(t->bpe);
    xl_free(t);
}

xlstm_status xlstm_tokenizer_from_words(xlstm_tokenizer **out, const char *const *words, int count) {
    if (out)
        *out = NULL;
    if (!out || !words || count < 1)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "xlstm_tokenizer_from_words needs an address for the tokenizer and at least one word");
    XL_TRY(start(out));
    return made(out, xl_words_from_array(*out, words, count));
}

xlstm_status xlstm_tokenizer_from_text(xlstm_tokenizer **out, const char *text, size_t bytes) {
    if (out)
        *out = NULL;
    if (!out || (!text && bytes))
        return xl_fail(XLSTM_E_ARGUMENT,
                       "xlstm_tokenizer_from_text needs an address for the tokenizer and a text");
    XL_TRY(start(out));
    return made(out, xl_words_from_text(*out, text, bytes));
}

/* ---- files ---- */

static int ends_with(const char *s, const char *suffix) {
    size_t n = strlen(s), k = strlen(suffix);
    return n >= k && !strcmp(s + n - k, suffix);
}

static xlstm_status load_file(xlstm_tokenizer *t, const char *path) {
    xl_file_map map;
    XL_TRY(xl_file_map_open(&map, path));
    const char *text = map.data ? map.data : "";
    xlstm_status status = ends_with(path, ".json") ? xl_bpe_load(&t->bpe, &t->pieces, text, map.size, path)
                                                   : xl_words_load(t, text, map.size, path);
    xl_file_map_close(&map);
    return status;
}

/* What slow tokenizers of Python save. */
static int has_merges(const char *folder) {
    char *file = xl_path_join(folder, "merges.txt");
    int has = file && xl_path_exists(file);
    xl_free(file);
    return has;
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
    return xl_fail(XLSTM_E_IO, "%s: holds neither %s nor %s%s", path, names[0], names[1],
                   has_merges(path)
                       ? "; Python's AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER) "
                         "makes the first of vocab.json and merges.txt"
                       : "");
}

xlstm_status xlstm_tokenizer_load(xlstm_tokenizer **out, const char *path) {
    if (out)
        *out = NULL;
    if (!out || !path)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "xlstm_tokenizer_load needs an address for the tokenizer and a path");
    XL_TRY(start(out));
    return made(out, load_path(*out, path));
}

/* ---- tokens ---- */

int xlstm_tokenizer_size(const xlstm_tokenizer *t) {
    return t ? t->pieces.count : 0;
}

/* Added tokens go first, as they do in texts. */
xlstm_status xlstm_tokenizer_find(const xlstm_tokenizer *t, const char *text, int32_t *token) {
    if (!t || !text || !token)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "xlstm_tokenizer_find needs a tokenizer, a text and room for a token");
    size_t n = strlen(text);
    *token = t->bpe ? xl_bpe_find_added(t->bpe, text, n) : -1;
    if (*token < 0)
        *token = xl_pieces_find(&t->pieces, text, n);
    if (*token < 0)
        return xl_fail(XLSTM_E_NOT_FOUND, "no token stands for exactly \"%.100s\"", text);
    return XLSTM_OK;
}

xlstm_status xlstm_tokenizer_encode(const xlstm_tokenizer *t, const char *text, size_t bytes, int32_t *tokens,
                                    size_t capacity, size_t *count) {
    if (!t || (!text && bytes) || (!tokens && capacity) || !count)
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_tokenizer_encode needs a tokenizer, a text, an address for "
                                         "the count, and room for tokens unless capacity is 0");
    xl_tokens out = {tokens, capacity, 0};
    *count = 0;
    size_t sound = xl_utf8_sound(text, bytes);
    if (sound < bytes)
        return xl_fail(XLSTM_E_ARGUMENT, "the text is not UTF-8 at byte %zu", sound);
    XL_TRY(t->bpe ? xl_bpe_encode(t->bpe, &t->pieces, text, bytes, &out)
                  : xl_words_encode(t, text, bytes, &out));
    *count = out.count;
    if (out.count > capacity)
        return xl_fail(XLSTM_E_ARGUMENT, "the text has %zu tokens, but there is room for %zu", out.count,
                       capacity);
    return XLSTM_OK;
}

/* ---- texts ---- */

xlstm_status xlstm_tokenizer_piece(const xlstm_tokenizer *t, int32_t token, const char **text,
                                   size_t *bytes) {
    if (!t || !text || !bytes || token < 0 || token >= t->pieces.count)
        return xl_fail(XLSTM_E_ARGUMENT, "token %d does not exist; the tokenizer has 0 to %d", token,
                       xlstm_tokenizer_size(t) - 1);
    if (t->bpe) {
        xl_bpe_piece(t->bpe, &t->pieces, token, text, bytes);
        return XLSTM_OK;
    }
    size_t space = 1; /* stands before the word in memory */
    *text = token == t->line_end ? "\n" : xl_piece(&t->pieces, token) - space;
    *bytes = token == t->line_end ? 1 : t->pieces.length[token] + space;
    return XLSTM_OK;
}

static xlstm_status measure(const xlstm_tokenizer *t, const int32_t *tokens, size_t count, size_t *bytes) {
    const char *piece;
    size_t n;
    for (size_t i = 0; i < count; i++) {
        XL_TRY(xlstm_tokenizer_piece(t, tokens[i], &piece, &n));
        *bytes += n;
    }
    return XLSTM_OK;
}

/* Leaves an unfinished character at the text's end to the next call. */
static size_t hold_back(xlstm_utf8_rest *rest, const char *text, size_t bytes) {
    size_t whole = xl_utf8_whole(text, bytes);
    rest->count = (int)(bytes - whole);
    memcpy(rest->bytes, text + whole, bytes - whole);
    return whole;
}

xlstm_status xlstm_tokenizer_decode(const xlstm_tokenizer *t, const int32_t *tokens, size_t count,
                                    xlstm_utf8_rest *rest, char *text, size_t capacity, size_t *bytes) {
    if (!t || (!tokens && count) || (!text && capacity) || !bytes)
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_tokenizer_decode needs a tokenizer, tokens, an address for "
                                         "the count, and room for bytes unless capacity is 0");
    size_t all = rest ? rest->count : 0, used = all, n;
    const char *piece;
    *bytes = 0;
    if (all > sizeof rest->bytes)
        return xl_fail(XLSTM_E_ARGUMENT, "the rest of a text is to begin as {0}");
    XL_TRY(measure(t, tokens, count, &all));
    *bytes = all;
    if (all > capacity)
        return xl_fail(XLSTM_E_ARGUMENT, "the tokens have %zu bytes, but there is room for %zu", all,
                       capacity);
    if (!text) /* all that fits is nothing, and memcpy wants a place even for that */
        return XLSTM_OK;
    if (used)
        memcpy(text, rest->bytes, used);
    for (size_t i = 0; i < count; i++, used += n) {
        xlstm_tokenizer_piece(t, tokens[i], &piece, &n);
        memcpy(text + used, piece, n);
    }
    *bytes = rest && all ? hold_back(rest, text, all) : all;
    return XLSTM_OK;
}
