/* A tokenizer.json (or, where the first byte is no brace, a vocabulary of words) up to the first zero byte,
 * and a text after it: what loads encodes and decodes, in any pieces, within the room it is given. */
#include "fuzz/fuzz.h"

enum { LONGEST = 4096 };

/* All at once, and token by token with a rest, give the same text. */
static void decode(const xlstm_tokenizer *t, const int32_t *tokens, size_t count) {
    size_t bytes, used = 0, n;
    xlstm_utf8_rest rest = {0};
    int too_small = xlstm_tokenizer_decode(t, tokens, count, NULL, NULL, 0, &bytes);
    MUST(!too_small == !bytes);
    char *text = malloc(bytes + !bytes), *again = malloc(bytes + 4);
    MUST(text && again);
    MUST(went_well(xlstm_tokenizer_decode(t, tokens, count, NULL, text, bytes, &n)) && n == bytes);
    for (size_t i = 0; i < count; i++, used += n)
        MUST(went_well(xlstm_tokenizer_decode(t, tokens + i, 1, &rest, again + used, bytes + 4 - used, &n)));
    memcpy(again + used, rest.bytes, (size_t)rest.count);
    MUST(used + (size_t)rest.count == bytes && !memcmp(text, again, bytes));
    free(text);
    free(again);
}

static void use(const xlstm_tokenizer *t, const char *text, size_t bytes) {
    size_t count, same;
    int32_t *tokens = malloc((4 * LONGEST + 64) * sizeof *tokens);
    MUST(tokens);
    if (went_well(xlstm_tokenizer_encode(t, text, bytes, tokens, 4 * LONGEST + 64, &count))) {
        int32_t *exact = malloc((count + !count) * sizeof *exact);
        MUST(exact && went_well(xlstm_tokenizer_encode(t, text, bytes, exact, count, &same)));
        MUST(same == count && !memcmp(tokens, exact, count * sizeof *exact));
        for (size_t i = 0; i < count; i++)
            MUST(exact[i] >= 0 && exact[i] < xlstm_tokenizer_size(t));
        decode(t, exact, count);
        free(exact);
    }
    free(tokens);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    size_t json = end ? (size_t)(end - data) : size, rest = end ? size - json - 1 : 0;
    xlstm_tokenizer *t;
    char path[FUZZ_PATH];
    fuzz_file(path, json && *data == '{' ? "a.json" : "a.txt", data, json);
    if (!went_well(xlstm_tokenizer_load(&t, path))) {
        MUST(!t);
        return 0;
    }
    char *text = malloc(rest + !rest);
    if (rest)
        memcpy(text, end + 1, rest);
    use(t, text, rest < LONGEST ? rest : LONGEST);
    use(t, "don't \xc3\xa9  1a<|endoftext|>\n", 25);
    free(text);
    xlstm_tokenizer_free(t);
    return 0;
}
