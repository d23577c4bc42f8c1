/* corpus.h - a folder of train.txt, valid.txt, test.txt as words; <eos> ends every line. */
#ifndef CORPUS_H
#define CORPUS_H

#include "xlstm.h"

typedef struct {
    int32_t *tokens;
    size_t count;
} split;

typedef struct {
    split train, valid, test;
    int32_t vocabulary;
    int64_t *count;       /* [vocabulary] occurrences in train */
    unsigned long crc[3]; /* of the three files */
    xlstm_tokenizer *words;
} corpus;

void corpus_load(corpus *c, const char *dir);
void corpus_free(corpus *c);

#endif
