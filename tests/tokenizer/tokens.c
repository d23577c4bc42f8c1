/* tokens TOKENIZER.json TEXT_FILE: what make_tokenizer.py --compare prints, by this library. */
#include "program.h"
#include <zlib.h>

int main(int argc, char **argv) {
    xlstm_tokenizer *t;
    size_t bytes, count;
    if (argc != 3)
        return fputs("usage: tokens TOKENIZER.json TEXT_FILE\n", stderr), 2;
    char *text = read_file(argv[2], &bytes);
    if (!text)
        die("%s cannot be read (%s)", argv[2], strerror(errno));
    int32_t *tokens = need((bytes + 64) * sizeof *tokens);
    check(xlstm_tokenizer_load(&t, argv[1]));
    double begin = now();
    check(xlstm_tokenizer_encode(t, text, bytes, tokens, bytes + 64, &count));
    double seconds = now() - begin;
    printf("%zu tokens, crc32 %08lx, %.2f MB/s\n", count,
           crc32(0, (const unsigned char *)tokens, (unsigned)(count * sizeof *tokens)),
           (double)bytes / seconds / 1e6);
    xlstm_tokenizer_free(t);
    free(tokens);
    free(text);
    return 0;
}
