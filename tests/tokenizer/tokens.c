/* tokens TOKENIZER.json TEXT_FILE: what make_tokenizer.py --compare prints, by this library. */
#define _POSIX_C_SOURCE 200809L
#include "xlstm.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <zlib.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static char *read_file(const char *path, size_t *bytes) {
    FILE *f = fopen(path, "rb");
    long size = f && !fseek(f, 0, SEEK_END) ? ftell(f) : -1;
    char *text = size >= 0 ? malloc((size_t)size + 1) : NULL;
    if (!text || fseek(f, 0, SEEK_SET) || fread(text, 1, (size_t)size, f) != (size_t)size) {
        fprintf(stderr, "%s cannot be read\n", path);
        exit(2);
    }
    fclose(f);
    *bytes = (size_t)size;
    return text;
}

int main(int argc, char **argv) {
    xlstm_tokenizer *t;
    size_t bytes, count;
    if (argc != 3)
        return fputs("usage: tokens TOKENIZER.json TEXT_FILE\n", stderr), 2;
    char *text = read_file(argv[2], &bytes);
    int32_t *tokens = malloc((bytes + 64) * sizeof *tokens);
    if (!tokens || xlstm_tokenizer_load(&t, argv[1]) != XLSTM_OK)
        return fprintf(stderr, "%s\n", xlstm_last_error()), 2;
    double begin = now();
    if (xlstm_tokenizer_encode(t, text, bytes, tokens, bytes + 64, &count) != XLSTM_OK)
        return fprintf(stderr, "%s\n", xlstm_last_error()), 2;
    double seconds = now() - begin;
    printf("%zu tokens, crc32 %08lx, %.2f MB/s\n", count,
           crc32(0, (const unsigned char *)tokens, (unsigned)(count * sizeof *tokens)),
           (double)bytes / seconds / 1e6);
    xlstm_tokenizer_free(t);
    free(tokens);
    free(text);
    return 0;
}
