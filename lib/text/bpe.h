/* bpe.h - byte-level BPE: settings and tables, and the steps from text to tokens. */
#ifndef XL_BPE_H
#define XL_BPE_H

#include "base/error.h"
#include "text/pieces.h"

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

/* Two neighbours that become one token; lower ranks go first. */
typedef struct {
    int32_t left, right, rank, merged; /* left -1: a free slot */
} xl_merge;

/* A token that is looked for in the text before anything else. */
typedef struct {
    const char *text; /* in xl_bpe.contents */
    size_t length;
    int32_t id;
    int normalized;     /* looked for after normalisation, and `text` is normalised itself */
    int lstrip, rstrip; /* takes the white space before, behind it along */
} xl_added;

typedef struct {
    xl_merge *merges; /* hash table by (left, right) */
    size_t mask;
    xl_pieces contents;
    xl_added *added;   /* [contents.count] by their first byte; of those, the longest first */
    int begins[257];   /* added[begins[b]] to added[begins[b + 1] - 1] begin with byte b */
    int32_t byte[256]; /* the token of each single byte; -1: none */
    int nfc, prefix_space, split, ignore_merges;
    int32_t *before, *after; /* tokens that the file puts around a text */
    int before_count, after_count;
} xl_bpe;

/* From a tokenizer.json. *out is NULL on failure. */
xlstm_status xl_bpe_load(xl_bpe **out, xl_pieces *pieces, const char *text, size_t bytes, const char *where);
void xl_bpe_free(xl_bpe *b);
/* The added token of exactly this text, or -1. */
int32_t xl_bpe_find_added(const xl_bpe *b, const char *text, size_t bytes);
xlstm_status xl_bpe_encode(const xl_bpe *b, const xl_pieces *pieces, const char *text, size_t bytes,
                           xl_tokens *out);

/* ---- steps of encoding ---- */

/* The merge of these neighbours, or the free slot where it would be. */
xl_merge *xl_bpe_find(const xl_bpe *b, int32_t left, int32_t right);

/* Memory for merging, from word to word. Begins as {0}. */
typedef struct {
    struct xl_link *links;
    struct xl_possible *heap;
    size_t room, count;
} xl_merging;
/* Adds the tokens of one word. Time: n log n in its bytes. */
xlstm_status xl_bpe_merge(const xl_bpe *b, xl_merging *m, const char *word, size_t bytes, xl_tokens *out);
void xl_bpe_merging_free(xl_merging *m);

#endif
