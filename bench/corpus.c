#include "corpus.h"
#include "bench.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* Open hashing from word to id; words point into the text of train.txt. */
typedef struct {
    const char **word;
    int32_t *id, *length;
    size_t size;
    int32_t count;
} vocabulary;

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

static uint64_t hash_of(const char *word, int32_t length) {
    uint64_t h = 1469598103934665603u;
    for (int32_t i = 0; i < length; i++)
        h = (h ^ (unsigned char)word[i]) * 1099511628211u;
    return h ^ (h >> 29);
}

/* The word's id; -1 if it is new and `add` is 0. */
static int32_t look_up(vocabulary *v, const char *word, int32_t length, int add) {
    size_t at = hash_of(word, length) & (v->size - 1);
    for (; v->word[at]; at = (at + 1) & (v->size - 1))
        if (v->length[at] == length && !memcmp(v->word[at], word, (size_t)length))
            return v->id[at];
    if (!add)
        return -1;
    if ((size_t)v->count * 2 > v->size)
        die("train.txt has more than %d different words; use a smaller corpus", v->count);
    v->word[at] = word;
    v->length[at] = length;
    return v->id[at] = v->count++;
}

static void tokenize(vocabulary *v, const char *text, size_t size, int add, split *s) {
    size_t room = size / 2 + 2;
    int32_t unknown = look_up(v, "<unk>", 5, 1), eos = look_up(v, "<eos>", 5, 1);
    s->tokens = need((room + 1) * sizeof *s->tokens);
    for (const char *p = text, *end = text + size; p < end;) {
        size_t blank = strspn(p, " \t\r");
        p += blank;
        if (*p == '\n' || p >= end) {
            s->tokens[s->count++] = eos;
            p++;
        } else {
            int32_t length = (int32_t)strcspn(p, " \t\r\n"), id = look_up(v, p, length, add);
            s->tokens[s->count++] = id < 0 ? unknown : id;
            p += length;
            if (p >= end)
                s->tokens[s->count++] = eos;
        }
        if (s->count + 2 > room && !(s->tokens = realloc(s->tokens, (room *= 2) * sizeof *s->tokens)))
            die("no memory for the tokens");
    }
}

static xlstm_tokenizer *make_tokenizer(const vocabulary *v) {
    char **words = need((size_t)v->count * sizeof *words);
    xlstm_tokenizer *t;
    for (size_t at = 0; at < v->size; at++)
        if (v->word[at]) {
            size_t n = (size_t)v->length[at];
            words[v->id[at]] = memcpy(need(n + 1), v->word[at], n);
        }
    check(xlstm_tokenizer_from_words(&t, (const char *const *)words, v->count));
    for (int32_t i = 0; i < v->count; i++)
        free(words[i]);
    free(words);
    return t;
}

void corpus_load(corpus *c, const char *dir) {
    static const char *const names[] = {"train.txt", "valid.txt", "test.txt"};
    split *splits[] = {&c->train, &c->valid, &c->test};
    vocabulary v = {.size = 1 << 22};
    char *text[3];
    size_t size[3];
    *c = (corpus){0};
    v.word = need(v.size * sizeof *v.word);
    v.id = need(v.size * sizeof *v.id);
    v.length = need(v.size * sizeof *v.length);
    for (int i = 0; i < 3; i++)
        text[i] = read_file(dir, names[i], &size[i], &c->crc[i]);
    for (int i = 0; i < 3; i++)
        tokenize(&v, text[i], size[i], i == 0, splits[i]);
    c->vocabulary = v.count;
    c->count = need((size_t)v.count * sizeof *c->count);
    int different = 0;
    for (size_t i = 0; i < c->train.count; i++)
        different += !c->count[c->train.tokens[i]]++;
    if (different < 3) /* <eos> and one word */
        die("%s/train.txt has a vocabulary of %d word(s); a language model needs at least two", dir,
            different - 1);
    for (int i = 0; i < 3; i++)
        if (splits[i]->count < 16)
            die("%s/%s has only %zu tokens; give at least 16", dir, names[i], splits[i]->count);
    c->words = make_tokenizer(&v);
    for (int i = 0; i < 3; i++)
        free(text[i]);
    free(v.word);
    free(v.id);
    free(v.length);
}

void corpus_free(corpus *c) {
    free(c->train.tokens);
    free(c->valid.tokens);
    free(c->test.tokens);
    free(c->count);
    xlstm_tokenizer_free(c->words);
}
