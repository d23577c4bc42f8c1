#include "corpus.h"
#include "bench.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static char *read_file(const char *dir, const char *name, size_t *size, unsigned long *crc) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "rb");
    if (!f)
        die("%s cannot be read (%s); --data needs a folder with train.txt, valid.txt and test.txt", path,
            strerror(errno));
    size_t room = 1 << 16, n;
    char *text = need(room);
    *size = 0;
    while ((n = fread(text + *size, 1, room - *size - 1, f)) > 0) {
        *size += n;
        if (*size + 1 >= room && !(text = realloc(text, room *= 2)))
            die("no memory for %s", path);
    }
    if (ferror(f))
        die("%s cannot be read (%s); --data needs a folder with three text files", path, strerror(errno));
    fclose(f);
    text[*size] = 0;
    if (!*size)
        die("%s is empty; it needs at least one line of words", path);
    if (memchr(text, 0, *size))
        die("%s holds zero bytes and is no text; give a UTF-8 text file", path);
    *crc = crc32(0, (const unsigned char *)text, (unsigned)*size);
    return text;
}

/* A last line without its end has one here. */
static xlstm_status tokenize(const xlstm_tokenizer *words, const char *text, size_t size, split *s) {
    size_t count;
    int32_t eos;
    xlstm_tokenizer_encode(words, text, size, NULL, 0, &count); /* how many? */
    s->tokens = need((count + 1) * sizeof *s->tokens);
    xlstm_status status = xlstm_tokenizer_encode(words, text, size, s->tokens, count, &s->count);
    if (status == XLSTM_OK && text[size - 1] != '\n') {
        check(xlstm_tokenizer_find(words, "<eos>", &eos));
        s->tokens[s->count++] = eos;
    }
    return status;
}

void corpus_load(corpus *c, const char *dir) {
    static const char *const names[] = {"train.txt", "valid.txt", "test.txt"};
    split *splits[] = {&c->train, &c->valid, &c->test};
    char *text[3];
    size_t size[3];
    *c = (corpus){0};
    for (int i = 0; i < 3; i++)
        text[i] = read_file(dir, names[i], &size[i], &c->crc[i]);
    xlstm_status status = xlstm_tokenizer_from_text(&c->words, text[0], size[0]);
    for (int i = 0; i < 3; i++)
        if (status != XLSTM_OK || (status = tokenize(c->words, text[i], size[i], splits[i])) != XLSTM_OK)
            die("%s/%s: %s", dir, names[i], xlstm_last_error());
    c->vocabulary = xlstm_tokenizer_size(c->words);
    c->count = need((size_t)c->vocabulary * sizeof *c->count);
    int different = 0;
    for (size_t i = 0; i < c->train.count; i++)
        different += !c->count[c->train.tokens[i]]++;
    if (different < 3) /* <eos> and one word */
        die("%s/train.txt has a vocabulary of %d word(s); a language model needs at least two", dir,
            different - 1);
    for (int i = 0; i < 3; i++)
        if (splits[i]->count < 16)
            die("%s/%s has only %zu tokens; give at least 16", dir, names[i], splits[i]->count);
    for (int i = 0; i < 3; i++)
        free(text[i]);
}

void corpus_free(corpus *c) {
    free(c->train.tokens);
    free(c->valid.tokens);
    free(c->test.tokens);
    free(c->count);
    xlstm_tokenizer_free(c->words);
}
