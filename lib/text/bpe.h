/* bpe.h - what a tokenizer.json says, byte-level BPE or words: settings and tables, and the steps from text
 * to tokens. */
#ifndef XL_BPE_H
#define XL_BPE_H

#include "base/error.h"
#include "text/finder.h"
#include "text/pieces.h"
#include "text/unicode.h"

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
    size_t length; /* of what is looked for */
    int32_t id;
    int normalized;     /* looked for after normalisation, in its own normal form */
    int lstrip, rstrip; /* takes the white space before, behind it along */
    int single_word;    /* counts only where no word goes on before or behind it */
} xl_added;

/* What text is cut into, and what becomes of the pieces. */
typedef enum {
    XL_BYTE_LEVEL, /* words of GPT-2's pattern; their bytes are merged */
    /* the word level: each is a token as it is, or the unknown one */
    XL_WHOLE,     /* all that lies between added tokens */
    XL_AT_SPACES, /* what stands between white space */
    XL_AT_KINDS   /* that, cut further where letters, digits and _ end or begin */
} xl_words;

typedef enum { XL_NFC, XL_LOWERCASE } xl_normal;
enum { XL_NORMALS_MAX = 8 };

typedef struct {
    xl_words words;
    xl_merge *merges; /* hash table by (left, right) */
    size_t mask;
    xl_pieces contents; /* of added tokens, as the file writes them */
    xl_added *added;    /* [contents.count] */
    xl_finder find[2];  /* which of `added` the text has: as it came, and in normal form */
    int32_t *shown;     /* [tokens]: which of `contents` shows the token; -1: it is the vocabulary's */
    int32_t byte[256];  /* the token of each single byte; -1: none */
    int32_t unknown;    /* of words; -1: none */
    unsigned char normal[XL_NORMALS_MAX]; /* xl_normal, one after the other */
    int normals;
    int prefix_space, split, ignore_merges;
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

/* What the token adds to a text; nothing where no token has the number. */
void xl_bpe_piece(const xl_bpe *b, const xl_pieces *pieces, int32_t token, const char **text, size_t *bytes);

/* ---- steps of encoding ---- */

/* Adds the text in the file's normal form. */
xlstm_status xl_bpe_normalise(const xl_bpe *b, xl_text *out, const char *text, size_t bytes);

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
