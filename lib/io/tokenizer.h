/* tokenizer.h - the two kinds of tokenizer behind one handle. */
#ifndef XL_TOKENIZER_H
#define XL_TOKENIZER_H

#include "base/error.h"
#include "io/pieces.h"
#include "xlstm/tokenizer.h"

/* Two neighbours that become one token; lower ranks go first. */
typedef struct {
    int32_t left, right, rank, merged; /* left -1: a free slot */
} xl_merge;

/* A token that is looked for in the text before anything else. */
typedef struct {
    int32_t id;
    int normalized; /* looked for after normalisation */
} xl_added;

typedef struct {
    xl_merge *merges; /* hash table by (left, right); NULL: this is a word-level tokenizer */
    size_t mask;
    xl_added *added; /* longest first */
    int added_count;
    char begins_added[256]; /* some added token begins with this byte */
    int nfc, prefix_space, split, ignore_merges;
    int32_t byte[256];       /* the token of each single byte */
    int32_t *before, *after; /* tokens that the file puts around a text */
    int before_count, after_count;
} xl_bpe;

struct xlstm_tokenizer {
    xl_pieces pieces; /* text of every token, as it stands in texts */
    xl_bpe bpe;
    int32_t unknown, line_end; /* word level; -1: none */
};

/* Tokens found so far: what does not fit is counted only. */
typedef struct {
    int32_t *tokens;
    size_t capacity, count;
} xl_tokens;
static inline void xl_tokens_add(xl_tokens *t, int32_t token) {
    if (t->count < t->capacity)
        t->tokens[t->count] = token;
    t->count++;
}

xlstm_status xl_bpe_load(xlstm_tokenizer *t, const char *text, size_t bytes, const char *where);
void xl_bpe_free(xl_bpe *b);
xlstm_status xl_bpe_encode(const xlstm_tokenizer *t, const char *text, size_t bytes, xl_tokens *out);
const xl_merge *xl_bpe_find(const xl_bpe *b, int32_t left, int32_t right);

#endif
