/** @file
 * Text to token numbers and back: word-level vocabularies, and the byte-level BPE of GPT-2, GPT-NeoX and
 * xLSTM-7B in Hugging Face's tokenizer.json.
 */
#ifndef XLSTM_TOKENIZER_H
#define XLSTM_TOKENIZER_H

#include "xlstm/common.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Read-only once made: any number of threads may use one. */
typedef struct xlstm_tokenizer xlstm_tokenizer;

/** Reads `tokenizer.json` or `vocab.txt` (a word per line; the first line is token 0), or the one of them
 * that a directory holds. *out is yours and NULL on failure; free it with xlstm_tokenizer_free().
 *  @return XLSTM_E_FORMAT, with the field, for anything in a tokenizer.json that would change the tokens and
 * is not supported: it is never ignored */
XLSTM_API xlstm_status xlstm_tokenizer_load(xlstm_tokenizer **out, const char *path);
/** A word-level tokenizer; token i is words[i]. The words are copied. */
XLSTM_API xlstm_status xlstm_tokenizer_from_words(xlstm_tokenizer **out, const char *const *words, int count);
XLSTM_API void xlstm_tokenizer_free(xlstm_tokenizer *tokenizer);

/** Writes a word-level vocabulary, beside `path` first and then renamed.
 *  @return XLSTM_E_ARGUMENT for a tokenizer of another kind */
XLSTM_API xlstm_status xlstm_tokenizer_save(const xlstm_tokenizer *tokenizer, const char *path);

/** Token numbers are 0 to this minus one. A model's vocabulary may be larger (padded). */
XLSTM_API int xlstm_tokenizer_size(const xlstm_tokenizer *tokenizer);

/** The token that stands for exactly this text, such as "<|endoftext|>", "<eos>".
 *  @return XLSTM_E_NOT_FOUND when there is none */
XLSTM_API xlstm_status xlstm_tokenizer_find(const xlstm_tokenizer *tokenizer, const char *text,
                                            int32_t *token);

/** Text to tokens. Word-level: words are separated by ASCII white space and each line end is "<eos>" if the
 *  vocabulary has it; unknown words are "<unk>". Time: n log n in the longest stretch without a space.
 *  @param text UTF-8 of `bytes` bytes
 *  @param tokens [capacity], may be NULL if capacity is 0
 *  @param count receives how many there are, also when they did not fit
 *  @return XLSTM_E_ARGUMENT when they do not fit (call again with room for *count) or the text is not UTF-8,
 *  XLSTM_E_NOT_FOUND for an unknown word without "<unk>" */
XLSTM_API xlstm_status xlstm_tokenizer_encode(const xlstm_tokenizer *tokenizer, const char *text,
                                              size_t bytes, int32_t *tokens, size_t capacity, size_t *count);

/** The bytes that a token adds to a text; a text is all its tokens' bytes end to end. One token may hold only
 * a part of a character: see xlstm_utf8_complete(). Word-level: a space and the word; "<eos>" is a line end.
 *  @param text receives a pointer into the tokenizer, not terminated; NULL and 0 bytes for an unused number
 *  @return XLSTM_E_ARGUMENT for a number out of range */
XLSTM_API xlstm_status xlstm_tokenizer_piece(const xlstm_tokenizer *tokenizer, int32_t token,
                                             const char **text, size_t *bytes);

/** How many of the bytes can be shown now: all but an unfinished character at the end (at most 3 bytes). */
XLSTM_API size_t xlstm_utf8_complete(const char *text, size_t bytes);

#ifdef __cplusplus
}
#endif

#endif
