/* tokenizer.h - the two kinds of tokenizer behind one handle. */
#ifndef XL_TOKENIZER_H
#define XL_TOKENIZER_H

#include "text/bpe.h"
#include "text/pieces.h"
#include "xlstm/tokenizer.h"

struct xlstm_tokenizer {
    xl_pieces pieces;          /* what every token adds to a text; words without the space before them */
    xl_bpe *bpe;               /* NULL: word level */
    int32_t unknown, line_end; /* word level; -1: none */
};

xlstm_status xl_words_from_array(xlstm_tokenizer *t, const char *const *words, int count);
xlstm_status xl_words_from_text(xlstm_tokenizer *t, const char *text, size_t bytes);
/* A word per line; the last line may lack its end. */
xlstm_status xl_words_load(xlstm_tokenizer *t, const char *text, size_t bytes, const char *where);
xlstm_status xl_words_encode(const xlstm_tokenizer *t, const char *text, size_t bytes, xl_tokens *out);

#endif
