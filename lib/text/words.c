/* The word level: what stands between white space is a word, and <unk> if the vocabulary lacks it; a line end
 * is <eos>. White space is ASCII's, so no character is ever cut. */
#include "file/file.h"
#include "file/utf8.h"
#include "text/tokenizer.h"
#include <string.h>

static int is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Length of the word that the text begins with. */
static size_t word_length(const char *text, size_t bytes) {
    size_t n = 0;
    while (n < bytes && !is_space(text[n]))
        n++;
    return n;
}

/* Appends a word; `where` begins the sentence. */
static xlstm_status add_word(xlstm_tokenizer *t, const char *word, size_t length, const char *where) {
    int at = t->pieces.count, shown = (int)(length < 60 ? length : 60);
    const char *fault = length == 0                            ? "is empty"
                        : xl_utf8_sound(word, length) < length ? "is not UTF-8"
                        : word_length(word, length) < length   ? "has white space in it"
                        : memchr(word, 0, length)              ? "has a zero byte in it"
                                                               : NULL;
    if (fault)
        return xl_fail(XLSTM_E_FORMAT, "%s: word %d %s", where, at, fault);
    int32_t id = xl_pieces_append(&t->pieces, word, length);
    if (id == XL_PIECES_TWICE)
        return xl_fail(XLSTM_E_FORMAT, "%s: word %d, \"%.*s\", is there twice", where, at, shown, word);
    return id < 0 ? xl_no_memory(t->pieces.used, "a vocabulary") : XLSTM_OK;
}

static xlstm_status finish(xlstm_tokenizer *t, const char *where) {
    t->unknown = xl_pieces_find(&t->pieces, "<unk>", 5);
    t->line_end = xl_pieces_find(&t->pieces, "<eos>", 5);
    return t->pieces.count ? XLSTM_OK : xl_fail(XLSTM_E_FORMAT, "%s: holds no words", where);
}

xlstm_status xl_words_from_array(xlstm_tokenizer *t, const char *const *words, int count) {
    for (int i = 0; i < count; i++) {
        if (!words[i])
            return xl_fail(XLSTM_E_ARGUMENT, "word %d is NULL", i);
        XL_TRY(add_word(t, words[i], strlen(words[i]), "the list of words"));
    }
    return finish(t, "the list of words");
}

xlstm_status xl_words_load(xlstm_tokenizer *t, const char *text, size_t bytes, const char *where) {
    while (bytes) {
        const char *end = memchr(text, '\n', bytes);
        size_t length = end ? (size_t)(end - text) : bytes, line = length + (end != NULL);
        size_t word = length && text[length - 1] == '\r' ? length - 1 : length;
        XL_TRY(add_word(t, text, word, where));
        text += line;
        bytes -= line;
    }
    return finish(t, where);
}

xlstm_status xl_words_from_text(xlstm_tokenizer *t, const char *text, size_t bytes) {
    static const char where[] = "the text";
    XL_TRY(add_word(t, "<unk>", 5, where));
    XL_TRY(add_word(t, "<eos>", 5, where));
    for (size_t i = 0; i < bytes;) {
        size_t n = word_length(text + i, bytes - i);
        if (n && xl_pieces_find(&t->pieces, text + i, n) < 0)
            XL_TRY(add_word(t, text + i, n, where));
        i += n ? n : 1;
    }
    return finish(t, where);
}

xlstm_status xl_words_encode(const xlstm_tokenizer *t, const char *text, size_t bytes, xl_tokens *out) {
    for (size_t i = 0; i < bytes;) {
        size_t n = word_length(text + i, bytes - i);
        if (n == 0) {
            if (text[i++] == '\n' && t->line_end >= 0)
                xl_tokens_add(out, t->line_end);
            continue;
        }
        int32_t id = xl_pieces_find(&t->pieces, text + i, n);
        if (id < 0 && t->unknown < 0)
            return xl_fail(XLSTM_E_NOT_FOUND,
                           "the word \"%.*s\" is not in the vocabulary, which has no <unk> either",
                           (int)(n < 60 ? n : 60), text + i);
        xl_tokens_add(out, id < 0 ? t->unknown : id);
        i += n;
    }
    return XLSTM_OK;
}

xlstm_status xlstm_tokenizer_save(const xlstm_tokenizer *t, const char *path) {
    if (!t || !path || t->bpe)
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_tokenizer_save needs a word-level tokenizer and a path");
    xl_file_replace file;
    XL_TRY(xl_file_replace_open(&file, path, XL_FILE_ANY));
    for (int i = 0; i < t->pieces.count; i++) {
        xl_file_replace_put(&file, xl_piece(&t->pieces, i), t->pieces.length[i]);
        xl_file_replace_put(&file, "\n", 1);
    }
    return xl_file_replace_commit(&file);
}
