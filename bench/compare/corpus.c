/* corpus.c - a corpus is three texts of words in UTF-8, and its vocabulary is what the training text has;
 * whatever else is given is refused by the name of the file. */
#include "corpus.h"
#include "bench.h"
#include <zlib.h>

static char *read_part(const char *dir, const char *name, size_t *size, unsigned long *crc) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    char *text = read_file(path, size);
    if (!text)
        die("%s cannot be read (%s); --data needs a folder with train.txt, valid.txt and test.txt", path,
            strerror(errno));
    if (!*size)
        die("%s is empty; it needs at least one line of words", path);
    if (memchr(text, 0, *size))
        die("%s holds zero bytes and is no text; give a UTF-8 text file", path);
    *crc = crc32_z(0, (const unsigned char *)text, *size);
    return text;
}

/* A last line without its end has one here. */
static xlstm_status tokenize(const xlstm_tokenizer *words, const char *text, size_t size, split *s) {
    int32_t eos;
    s->tokens = need((size + 1) * sizeof *s->tokens); /* a token has one byte at least */
    xlstm_status status = xlstm_tokenizer_encode(words, text, size, s->tokens, size, &s->count);
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
        text[i] = read_part(dir, names[i], &size[i], &c->crc[i]);
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
