/* bpe_load.h - a tokenizer.json on its way into an xl_bpe. Every step returns a sentence about the file. */
#ifndef XL_BPE_LOAD_H
#define XL_BPE_LOAD_H

#include "file/json.h"
#include "text/bpe.h"
#include "text/unicode.h"

typedef struct {
    xl_bpe *bpe;
    xl_pieces *pieces;
    const char *where;
    json_t *vocab, *added, *merges, *unknown; /* as they are in the file; NULL where missing */
    int fuse_unk;
    int32_t last; /* the highest number of a token so far */
    xl_text scratch;
} xl_bpe_file;

/* In this order. */
xlstm_status xl_bpe_check_numbers(xl_bpe_file *l);
xlstm_status xl_bpe_take_added(xl_bpe_file *l);
xlstm_status xl_bpe_take_vocabulary(xl_bpe_file *l);
xlstm_status xl_bpe_take_bytes(xl_bpe_file *l);
xlstm_status xl_bpe_take_merges(xl_bpe_file *l);

/* Whether it can be the number of a token, and the sentence if not. */
int xl_bpe_good_number(const xl_bpe_file *l, const json_t *number);
xlstm_status xl_bpe_bad_number(const xl_bpe_file *l, const char *token, const json_t *number);
/* Adds the bytes that the characters of a vocabulary stand for. *sound: every one does. */
xlstm_status xl_bpe_add_bytes(xl_text *out, const char *chars, size_t length, int *sound);

#endif
