/* Tokenizers: numbers as Hugging Face's package gives them (data/cases.json, made by make_tokenizer.py),
 * texts back from numbers, word-level vocabularies, and files that must be refused. */
#define _DEFAULT_SOURCE
#include "xlstm.h"
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { MOST = 4096 };

static xlstm_tokenizer *load(const char *path) {
    xlstm_tokenizer *t;
    if (xlstm_tokenizer_load(&t, path) != XLSTM_OK)
        fail_msg("%s", xlstm_last_error());
    return t;
}

static json_t *read_cases(void) {
    json_t *file = json_load_file(DATA "/cases.json", JSON_ALLOW_NUL, NULL);
    assert_non_null(file);
    return file;
}

static void test_numbers(void **state) {
    (void)state;
    xlstm_tokenizer *t = load(DATA);
    json_t *file = read_cases(), *one;
    size_t i, failed = 0;
    assert_true(json_array_size(json_object_get(file, "cases")) > 30);
    json_array_foreach(json_object_get(file, "cases"), i, one) {
        json_t *text = json_array_get(one, 0), *want = json_array_get(one, 1);
        int32_t got[MOST];
        size_t count;
        assert_int_equal(
            xlstm_tokenizer_encode(t, json_string_value(text), json_string_length(text), got, MOST, &count),
            XLSTM_OK);
        int same = count == json_array_size(want);
        for (size_t k = 0; same && k < count; k++)
            same = got[k] == json_integer_value(json_array_get(want, k));
        if (!same)
            print_error("case %zu, \"%s\": other numbers\n", i, json_string_value(text));
        failed += !same;
    }
    assert_int_equal(failed, 0);
    json_decref(file);
    xlstm_tokenizer_free(t);
}

static size_t text_of(const xlstm_tokenizer *t, const int32_t *tokens, size_t count, char *text) {
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        const char *piece;
        size_t bytes;
        assert_int_equal(xlstm_tokenizer_piece(t, tokens[i], &piece, &bytes), XLSTM_OK);
        if (bytes)
            memcpy(text + at, piece, bytes);
        at += bytes;
    }
    return at;
}

/* Texts that are normalised already come back byte for byte. */
static void test_texts_back(void **state) {
    (void)state;
    static const char *const texts[] = {"it's  here\n\n  now ", "日本語 🙂🇩🇪",
                                        "a<|endoftext|>b<mask>", "\t\x01\x7f 12 x²"};
    xlstm_tokenizer *t = load(DATA "/tokenizer.json");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int32_t tokens[MOST];
        char back[MOST];
        size_t count;
        assert_int_equal(xlstm_tokenizer_encode(t, texts[i], strlen(texts[i]), tokens, MOST, &count),
                         XLSTM_OK);
        assert_int_equal(text_of(t, tokens, count, back), strlen(texts[i]));
        assert_memory_equal(back, texts[i], strlen(texts[i]));
    }
    xlstm_tokenizer_free(t);
}

/* A long stretch without a space must not take time in proportion to its square. */
static void test_long_word(void **state) {
    (void)state;
    enum { N = 1 << 20 };
    xlstm_tokenizer *t = load(DATA);
    char *text = malloc(N), *back = malloc(N + 16);
    int32_t *tokens = malloc(N * sizeof *tokens);
    size_t count, short_count;
    for (int i = 0; i < N; i++)
        text[i] = "theand"[i % 6];
    assert_int_equal(xlstm_tokenizer_encode(t, text, N, tokens, N, &count), XLSTM_OK);
    assert_true(count < N);
    assert_int_equal(text_of(t, tokens, count, back), N);
    assert_memory_equal(back, text, N);
    assert_int_equal(xlstm_tokenizer_encode(t, text, N, tokens, 10, &short_count), XLSTM_E_ARGUMENT);
    assert_int_equal(short_count, count);
    free(text);
    free(back);
    free(tokens);
    xlstm_tokenizer_free(t);
}

static void test_calls(void **state) {
    (void)state;
    xlstm_tokenizer *t = load(DATA), *none;
    int32_t token, tokens[8];
    const char *piece;
    size_t bytes;
    assert_int_equal(xlstm_tokenizer_find(t, "<|endoftext|>", &token), XLSTM_OK);
    assert_int_equal(token, 0);
    assert_int_equal(xlstm_tokenizer_find(t, "no such token", &token), XLSTM_E_NOT_FOUND);
    assert_int_equal(xlstm_tokenizer_piece(t, xlstm_tokenizer_size(t), &piece, &bytes), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_tokenizer_piece(t, -1, &piece, &bytes), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_tokenizer_encode(t, "a\xff", 2, tokens, 8, &bytes), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_tokenizer_encode(t, NULL, 2, tokens, 8, &bytes), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_tokenizer_load(&none, "/no/such/file.json"), XLSTM_E_IO);
    assert_null(none);
    assert_int_equal(xlstm_tokenizer_load(&none, "/"), XLSTM_E_IO);
    assert_int_equal(xlstm_utf8_complete("ab", 2), 2);
    assert_int_equal(xlstm_utf8_complete("a\xc3", 2), 1);
    assert_int_equal(xlstm_utf8_complete("a\xc3\xa9", 3), 3);
    assert_int_equal(xlstm_utf8_complete("\xf0\x9f\x99", 3), 0);
    assert_int_equal(xlstm_utf8_complete("\xf0\x9f\x99\x82", 4), 4);
    xlstm_tokenizer_free(t);
}

static void test_words(void **state) {
    (void)state;
    static const char *const words[] = {"the", "<unk>", "cat", "<eos>", "sat"};
    static const char text[] = " the cat\tsat \n\n dog the";
    static const int32_t want[] = {0, 2, 4, 3, 3, 1, 0};
    static const char back[] = " the cat sat\n\n <unk> the";
    char path[] = "/tmp/xlstm-vocab-XXXXXX", shown[100];
    int32_t tokens[16];
    size_t count;
    xlstm_tokenizer *t, *again;
    assert_int_equal(xlstm_tokenizer_from_words(&t, words, 5), XLSTM_OK);
    assert_int_equal(xlstm_tokenizer_encode(t, text, strlen(text), tokens, 16, &count), XLSTM_OK);
    assert_int_equal(count, 7);
    assert_memory_equal(tokens, want, sizeof want);
    assert_int_equal(text_of(t, tokens, count, shown), strlen(back));
    assert_memory_equal(shown, back, strlen(back));
    close(mkstemp(path));
    assert_int_equal(xlstm_tokenizer_save(t, path), XLSTM_OK);
    again = load(path);
    assert_int_equal(xlstm_tokenizer_size(again), 5);
    assert_int_equal(xlstm_tokenizer_encode(again, text, strlen(text), tokens, 16, &count), XLSTM_OK);
    assert_memory_equal(tokens, want, sizeof want);
    xlstm_tokenizer_free(again);
    xlstm_tokenizer_free(t);
    assert_int_equal(xlstm_tokenizer_from_words(&t, words, 1), XLSTM_OK);
    assert_int_equal(xlstm_tokenizer_encode(t, "dog", 3, tokens, 16, &count), XLSTM_E_NOT_FOUND);
    xlstm_tokenizer_free(t);
    static const char *const twice[] = {"a", "a"}, *const spaced[] = {"a b"};
    assert_int_equal(xlstm_tokenizer_from_words(&t, twice, 2), XLSTM_E_FORMAT);
    assert_int_equal(xlstm_tokenizer_from_words(&t, spaced, 1), XLSTM_E_FORMAT);
    assert_null(t);
    unlink(path);
}

/* One change to the good file, and a word that the refusal must have. */
static void test_refusals(void **state) {
    (void)state;
    static const struct {
        const char *path[3], *value, *says;
    } cases[] = {
        {{"model", "type"}, "\"Unigram\"", "Unigram"},
        {{"model", "dropout"}, "0.1", "dropout"},
        {{"model", "byte_fallback"}, "true", "byte_fallback"},
        {{"model", "vocab"}, "[]", "vocab"},
        {{"model", "vocab"}, "{}", "byte"},
        {{"model", "vocab", "Ġ"}, "-1", "number"},
        {{"model", "vocab", "Ġ"}, "99999999999", "number"},
        {{"model", "vocab", "漢"}, "5", "byte-level"},
        {{"model", "vocab", "new"}, "5", "twice"},
        {{"model", "merges"}, "{}", "merges"},
        {{"model", "merges"}, "[\"Ġ zzz\"]", "merge 0"},
        {{"model", "merges"}, "[7]", "merge 0"},
        {{"model", "merges"}, "[[\"Ġ\", 3]]", "merge 0"},
        {{"normalizer"}, "{\"type\": \"Lowercase\"}", "Lowercase"},
        {{"pre_tokenizer"}, "null", "pre_tokenizer"},
        {{"pre_tokenizer"}, "{\"type\": \"Metaspace\"}", "Metaspace"},
        {{"decoder"}, "{\"type\": \"WordPiece\"}", "WordPiece"},
        {{"post_processor"}, "{\"type\": \"BertProcessing\"}", "BertProcessing"},
        {{"added_tokens"}, "[{\"id\": 3, \"content\": \"x\", \"lstrip\": true}]", "lstrip"},
        {{"added_tokens"}, "[{\"id\": -3, \"content\": \"x\"}]", "added token 0"},
        {{"added_tokens"}, "[{\"id\": 700, \"content\": \"x\"}, {\"id\": 700, \"content\": \"y\"}]", "twice"},
    };
    char path[] = "/tmp/xlstm-tokenizer-XXXXXX.json";
    close(mkstemps(path, 5));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *root = json_load_file(DATA "/tokenizer.json", 0, NULL), *at = root;
        int last = cases[i].path[2] ? 2 : cases[i].path[1] ? 1 : 0;
        for (int k = 0; k < last; k++)
            at = json_object_get(at, cases[i].path[k]);
        json_object_set_new(at, cases[i].path[last], json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
        json_dump_file(root, path, 0);
        json_decref(root);
        xlstm_tokenizer *t;
        xlstm_status status = xlstm_tokenizer_load(&t, path);
        if (status != XLSTM_E_FORMAT || t || !strstr(xlstm_last_error(), cases[i].says))
            fail_msg("case %zu: status %d, \"%s\" lacks \"%s\"", i, (int)status, xlstm_last_error(),
                     cases[i].says);
    }
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_numbers),   cmocka_unit_test(test_texts_back),
                                       cmocka_unit_test(test_long_word), cmocka_unit_test(test_calls),
                                       cmocka_unit_test(test_words),     cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
