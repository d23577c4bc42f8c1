/** @file
 * Text to token numbers and back: word-level vocabularies, and the byte-level BPE of GPT-2, GPT-NeoX and
 * xLSTM-7B in Hugging Face's tokenizer.json.
 *
 * Tokens are those of Hugging Face's `tokenizers` for the same file, with the special tokens that the file
 * puts around a text. Unicode is that of the installed utf8proc: characters that came to Unicode after it, or
 * after the tables of `tokenizers`, may be cut or composed otherwise. Texts are those of `tokenizers` too,
 * except that special tokens stay in them, and that an added token beyond ASCII comes back as it was.
 */
#ifndef XLSTM_TOKENIZER_H
#define XLSTM_TOKENIZER_H

#include "xlstm/common.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Read-only once made: any number of threads may use one. */
typedef struct xlstm_tokenizer xlstm_tokenizer;

/** Reads a `.json` file as Hugging Face's tokenizer.json and any other as a vocabulary with one word per line
 *  (the first is token 0). Of a directory, `tokenizer.json` is read, or else `vocab.txt`.
 *  @param out receives the tokenizer: yours, NULL on failure; free it with xlstm_tokenizer_free()
 *  @param path of a file or directory
 *  @return XLSTM_OK; XLSTM_E_IO when it cannot be read; XLSTM_E_FORMAT when it is malformed (token numbers
 * must be 0 to size - 1, each once); XLSTM_E_CONFIG, with the field, for anything in a tokenizer.json that
 * would change tokens or texts and is not supported: it is never ignored; XLSTM_E_MEMORY; XLSTM_E_ARGUMENT */
XLSTM_API xlstm_status xlstm_tokenizer_load(xlstm_tokenizer **out, const char *path);
/** A word-level tokenizer; token i is words[i].
 *  @param out receives the tokenizer: yours, NULL on failure; free it with xlstm_tokenizer_free()
 *  @param words [count], UTF-8; they are copied
 *  @param count of words
 *  @return XLSTM_OK; XLSTM_E_FORMAT for a word that is empty, there twice, not UTF-8, or has white space in
 * it; XLSTM_E_MEMORY; XLSTM_E_ARGUMENT */
XLSTM_API xlstm_status xlstm_tokenizer_from_words(xlstm_tokenizer **out, const char *const *words, int count);
/** A word-level tokenizer of all words of a text: "<unk>" is 0, "<eos>" is 1, the others follow in the order
 *  in which they come first.
 *  @param out receives the tokenizer: yours, NULL on failure; free it with xlstm_tokenizer_free()
 *  @param text UTF-8 of `bytes` bytes
 *  @param bytes of the text
 *  @return XLSTM_OK, XLSTM_E_FORMAT for a text that is not UTF-8 or has a zero byte, XLSTM_E_MEMORY,
 * XLSTM_E_ARGUMENT */
XLSTM_API xlstm_status xlstm_tokenizer_from_text(xlstm_tokenizer **out, const char *text, size_t bytes);
/** Frees a tokenizer.
 *  @param tokenizer may be NULL */
XLSTM_API void xlstm_tokenizer_free(xlstm_tokenizer *tokenizer);

/** Writes a word-level vocabulary, as xlstm/io.h says under "Writing files".
 *  @param tokenizer word-level
 *  @param path of a text file, one word per line; it is replaced
 *  @return XLSTM_OK; XLSTM_E_ARGUMENT for a tokenizer of another kind; XLSTM_E_IO; XLSTM_E_MEMORY */
XLSTM_API xlstm_status xlstm_tokenizer_save(const xlstm_tokenizer *tokenizer, const char *path);

/** How many tokens there are; their numbers are 0 to this minus one. A model's vocabulary may be larger
 * (padded).
 *  @param tokenizer may be NULL
 *  @return count */
XLSTM_API int xlstm_tokenizer_size(const xlstm_tokenizer *tokenizer);

/** The token that stands for exactly this text, such as "<|endoftext|>", "<eos>".
 *  @param tokenizer any
 *  @param text UTF-8, terminated
 *  @param token receives its number; -1 if there is none
 *  @return XLSTM_OK, or XLSTM_E_NOT_FOUND when there is none */
XLSTM_API xlstm_status xlstm_tokenizer_find(const xlstm_tokenizer *tokenizer, const char *text,
                                            int32_t *token);

/** Text to tokens. Word-level: words are separated by ASCII white space and each line end is "<eos>" if the
 *  vocabulary has it; unknown words are "<unk>". Time: n log n in the longest stretch without a space, linear
 *  otherwise. Memory: about 100 bytes per byte of that stretch.
 *  @param tokenizer any
 *  @param text UTF-8 of `bytes` bytes; at most 500 million for byte-level BPE
 *  @param bytes of the text
 *  @param tokens [capacity], may be NULL if capacity is 0
 *  @param capacity room in `tokens`
 *  @param count receives how many there are, also when they did not fit
 *  @return XLSTM_OK; XLSTM_E_ARGUMENT when they do not fit (call again with room for *count) or the text is
 * not UTF-8; XLSTM_E_NOT_FOUND for an unknown word without "<unk>", or a byte that the vocabulary cannot
 * express; XLSTM_E_MEMORY */
XLSTM_API xlstm_status xlstm_tokenizer_encode(const xlstm_tokenizer *tokenizer, const char *text,
                                              size_t bytes, int32_t *tokens, size_t capacity, size_t *count);

/** The bytes that a token adds to a text; a text is all its tokens' bytes, one after the other. One token may
 * hold only a part of a character: see xlstm_tokenizer_decode(). Word-level: a space and the word; "<eos>" is
 * a line end.
 *  @param tokenizer any
 *  @param token 0 to size - 1
 *  @param text receives a pointer into the tokenizer, not terminated
 *  @param bytes receives how many there are
 *  @return XLSTM_OK, or XLSTM_E_ARGUMENT for a number out of range */
XLSTM_API xlstm_status xlstm_tokenizer_piece(const xlstm_tokenizer *tokenizer, int32_t token,
                                             const char **text, size_t *bytes);

/** A character that the tokens so far have begun but not finished. Set it to {0} before a text; after the
 * last token it holds the bytes that are left. */
typedef struct xlstm_utf8_rest {
    char bytes[4]; /**< [count] */
    int count;     /**< 0 to 3 */
} xlstm_utf8_rest;

/** Tokens to text, all at once or, with a rest, as they come: each call continues the text of the one before.
 *  @param tokenizer any
 *  @param tokens [count]
 *  @param count of tokens
 *  @param rest NULL, or where an unfinished character is kept from call to call, so that only whole ones come
 * out; bytes that cannot become a character come out as they are
 *  @param text [capacity], not terminated; capacity must do for all bytes, also those that will be kept back
 *  @param capacity room in `text`, bytes
 *  @param bytes receives how many there are; when they did not fit, the capacity that is needed
 *  @return XLSTM_OK; XLSTM_E_ARGUMENT when they do not fit, or for a number out of range (*bytes is 0):
 * nothing has changed then */
XLSTM_API xlstm_status xlstm_tokenizer_decode(const xlstm_tokenizer *tokenizer, const int32_t *tokens,
                                              size_t count, xlstm_utf8_rest *rest, char *text,
                                              size_t capacity, size_t *bytes);

#ifdef __cplusplus
}
#endif

#endif
