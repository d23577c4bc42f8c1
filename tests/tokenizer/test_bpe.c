/* Byte-level BPE: tokens and texts as Hugging Face's package gives them (data/cases.json, made by
 * make_tokenizer.py), long words, and files that must be refused. */
#define _DEFAULT_SOURCE
#include "base/mem.h"
#include "file/utf8.h"
#include "support/tokenizers.h"
#include "text/unicode.h"
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
#define COUNT(a) (sizeof(a) / sizeof *(a))

static char path[] = "/tmp/xlstm-bpe-XXXXXX.json"; /* of changed files */

static int setup(void **state) {
    (void)state;
    int fd = mkstemps(path, 5);
    return fd < 0 || close(fd);
}

static int teardown(void **state) {
    (void)state;
    return unlink(path);
}

static json_t *read_plain(void) {
    json_t *file = json_load_file(DATA "/tokenizer.json", 0, NULL);
    assert_non_null(file);
    return file;
}

/* ---- the package's tokens ---- */

static xlstm_tokenizer *load_changed(const json_t *changes) {
    json_t *root = read_plain(), *one, *key;
    size_t i, k;
    json_array_foreach(changes, i, one) {
        json_t *keys = json_array_get(one, 0), *at = root;
        json_array_foreach(keys, k, key) if (k + 1 < json_array_size(keys)) at =
            json_object_get(at, json_string_value(key));
        key = json_array_get(keys, json_array_size(keys) - 1);
        json_object_set(at, json_string_value(key), json_array_get(one, 1));
    }
    assert_int_equal(json_dump_file(root, path, 0), 0);
    json_decref(root);
    return load(path);
}

static size_t encode(const xlstm_tokenizer *t, const json_t *text, int32_t tokens[MOST]) {
    size_t count, again;
    const char *bytes = json_string_value(text);
    size_t length = json_string_length(text);
    if (xlstm_tokenizer_encode(t, bytes, length, tokens, MOST, &count) != XLSTM_OK)
        fail_msg("%s", xlstm_last_error());
    xlstm_status none_fits = count ? XLSTM_E_ARGUMENT : XLSTM_OK;
    assert_int_equal(xlstm_tokenizer_encode(t, bytes, length, NULL, 0, &again), none_fits);
    assert_int_equal(again, count);
    return count;
}

static void check_tokens(const json_t *one, const int32_t *got, size_t count, const char *group) {
    const json_t *want = json_array_get(one, 1);
    int same = count == json_array_size(want);
    for (size_t k = 0; same && k < count; k++)
        same = got[k] == json_integer_value(json_array_get(want, k));
    if (!same)
        fail_msg("%s: \"%s\" gives other tokens", group, json_string_value(json_array_get(one, 0)));
}

/* All at once, and token by token: then only whole characters come out. */
static void check_text(const xlstm_tokenizer *t, const json_t *one, const int32_t *tokens, size_t count) {
    const json_t *want = json_array_get(one, 2);
    char all[4 * MOST], slow[4 * MOST];
    size_t bytes, used = 0, n;
    xlstm_utf8_rest rest = {0};
    assert_int_equal(xlstm_tokenizer_decode(t, tokens, count, NULL, all, sizeof all, &bytes), XLSTM_OK);
    for (size_t i = 0; i < count; i++, used += n) {
        assert_int_equal(xlstm_tokenizer_decode(t, tokens + i, 1, &rest, slow + used, sizeof slow - used, &n),
                         XLSTM_OK);
        if (json_is_string(want))
            assert_int_equal(xl_utf8_sound(slow + used, n), n);
    }
    memcpy(slow + used, rest.bytes, (size_t)rest.count);
    assert_int_equal(used + (size_t)rest.count, bytes);
    assert_memory_equal(slow, all, bytes);
    if (!json_is_string(want))
        return;
    assert_int_equal(rest.count, 0);
    size_t space = bytes == json_string_length(want) + 1; /* words: one before the first, too */
    assert_int_equal(bytes, json_string_length(want) + space);
    assert_true(!space || all[0] == ' ');
    assert_memory_equal(all + space, json_string_value(want), bytes - space);
}

static size_t check_groups(const char *from, size_t groups) {
    json_t *file = json_load_file(from, JSON_ALLOW_NUL, NULL), *group, *one;
    size_t g, i, texts = 0;
    int32_t tokens[MOST];
    json_array_foreach(json_object_get(file, "groups"), g, group) {
        xlstm_tokenizer *t = load_changed(json_object_get(group, "changes"));
        const char *name = json_string_value(json_object_get(group, "name"));
        json_array_foreach(json_object_get(group, "cases"), i, one) {
            size_t count = encode(t, json_array_get(one, 0), tokens);
            check_tokens(one, tokens, count, name);
            check_text(t, one, tokens, count);
            texts++;
        }
        xlstm_tokenizer_free(t);
    }
    assert_int_equal(g, groups);
    json_decref(file);
    return texts;
}

static void test_golden(void **state) {
    (void)state;
    assert_true(check_groups(DATA "/cases.json", 10) > 700);
}

/* Words, holes in numbers, flags of added tokens, what a training run leaves. */
static void test_small_files(void **state) {
    (void)state;
    assert_true(check_groups(DATA "/small.json", 120) > 900);
}

/* Older files have "a b" where newer ones have ["a", "b"]. */
static void test_merges_as_texts(void **state) {
    (void)state;
    static const char text[] = "the cat sat on the mat, didn't it?";
    json_t *root = read_plain(), *model = json_object_get(root, "model"), *texts = json_array(), *pair;
    int32_t new[MOST], old[MOST];
    size_t i, new_count, old_count;
    json_array_foreach(json_object_get(model, "merges"), i, pair)
        json_array_append_new(texts, json_sprintf("%s %s", json_string_value(json_array_get(pair, 0)),
                                                  json_string_value(json_array_get(pair, 1))));
    json_object_set_new(model, "merges", texts);
    json_dump_file(root, path, 0);
    json_decref(root);
    xlstm_tokenizer *a = load(DATA), *b = load(path);
    assert_int_equal(xlstm_tokenizer_encode(a, text, strlen(text), new, MOST, &new_count), XLSTM_OK);
    assert_int_equal(xlstm_tokenizer_encode(b, text, strlen(text), old, MOST, &old_count), XLSTM_OK);
    assert_int_equal(new_count, old_count);
    assert_true(new_count < strlen(text) / 2 + 2);
    assert_memory_equal(new, old, new_count * sizeof *new);
    xlstm_tokenizer_free(a);
    xlstm_tokenizer_free(b);
}

/* ---- long words ---- */

static const char accents[] = "\xcc\x81\xcc\xa3"; /* two, in the wrong order */

/* Time in proportion to the square of such words would be hours. */
static void long_word(const xlstm_tokenizer *t, const char *unit, size_t fewest) {
    size_t n = strlen(unit), bytes = (1 << 20) / n * n, count, back;
    char *text = calloc(1, bytes), *same = malloc(bytes);
    int32_t *tokens = malloc(bytes * sizeof *tokens);
    for (size_t i = 0; i < bytes; i++)
        text[i] = unit[i % n];
    assert_int_equal(xlstm_tokenizer_encode(t, text, bytes, tokens, bytes, &count), XLSTM_OK);
    assert_true(count >= fewest && count <= bytes);
    assert_int_equal(xlstm_tokenizer_decode(t, tokens, count, NULL, same, bytes, &back), XLSTM_OK);
    assert_int_equal(back, bytes);
    if (unit[0] != accents[0]) /* those are put in order */
        assert_memory_equal(same, text, bytes);
    free(text);
    free(same);
    free(tokens);
}

static void test_long_words(void **state) {
    (void)state;
    xlstm_tokenizer *t = load(DATA);
    long_word(t, "theand", 1 << 17);
    long_word(t, "x", 1 << 19);
    long_word(t, " ", 1 << 17);
    long_word(t, "\n", 1 << 19);
    long_word(t, accents, 1 << 19);
    xlstm_tokenizer_free(t);
}

/* ---- calls ---- */

static void test_find(void **state) {
    (void)state;
    xlstm_tokenizer *t = load(DATA);
    int32_t token, tokens[4];
    size_t count;
    assert_int_equal(xlstm_tokenizer_size(t), 607);
    assert_int_equal(xlstm_tokenizer_find(t, "<|endoftext|>", &token), XLSTM_OK);
    assert_int_equal(token, 0);
    assert_int_equal(xlstm_tokenizer_find(t, "  ", &token), XLSTM_OK); /* of two, the one that texts give */
    assert_int_equal(xlstm_tokenizer_encode(t, "  ", 2, tokens, 4, &count), XLSTM_OK);
    assert_int_equal(count, 1);
    assert_int_equal(token, tokens[0]);
    assert_int_equal(xlstm_tokenizer_find(t, " the", &token), XLSTM_OK);
    assert_int_equal(xlstm_tokenizer_find(t, "", &token), XLSTM_E_NOT_FOUND);
    assert_int_equal(xlstm_tokenizer_find(t, "no such token", &token), XLSTM_E_NOT_FOUND);
    assert_int_equal(token, -1);
    xlstm_tokenizer_free(t);
}

static void test_arguments(void **state) {
    (void)state;
    xlstm_tokenizer *t = load(DATA "/tokenizer.json"), *none = (xlstm_tokenizer *)&path;
    int32_t tokens[8] = {1, 607, -1};
    const char *piece;
    char text[8];
    size_t n;
    assert_int_equal(xlstm_tokenizer_piece(t, 607, &piece, &n), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_tokenizer_piece(t, -1, &piece, &n), XLSTM_E_ARGUMENT);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(xlstm_tokenizer_decode(t, tokens + 1 + i, 1, NULL, text, 8, &n), XLSTM_E_ARGUMENT);
        assert_int_equal(n, 0);
    }
    assert_int_equal(xlstm_tokenizer_encode(t, "a\xff", 2, tokens, 8, &n), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_tokenizer_encode(t, "a\xed\xa0\x80", 4, tokens, 8, &n), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_tokenizer_encode(t, "a\xc3\xa9", 2, tokens, 8, &n), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_tokenizer_encode(t, NULL, 2, tokens, 8, &n), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_tokenizer_save(t, path), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_tokenizer_load(&none, "/no/such/file.json"), XLSTM_E_IO);
    assert_null(none);
    assert_int_equal(xlstm_tokenizer_load(&none, "/"), XLSTM_E_IO);
    assert_int_equal(xlstm_tokenizer_load(&none, NULL), XLSTM_E_ARGUMENT);
    xlstm_tokenizer_free(NULL);
    xlstm_tokenizer_free(t);
}

/* A text that does not fit leaves everything as it was, and says what it takes. */
static void test_rest(void **state) {
    (void)state;
    xlstm_tokenizer *t = load(DATA);
    static const char smile[] = "\xf0\x9f\x99\x82!";
    int32_t tokens[8];
    size_t count, n;
    xlstm_utf8_rest rest = {0};
    char text[8];
    assert_int_equal(xlstm_tokenizer_encode(t, smile, 5, tokens, 8, &count), XLSTM_OK);
    assert_int_equal(count, 5);
    assert_int_equal(xlstm_tokenizer_decode(t, tokens, 3, &rest, text, 8, &n), XLSTM_OK);
    assert_int_equal(n, 0);
    assert_int_equal(rest.count, 3);
    assert_int_equal(xlstm_tokenizer_decode(t, tokens + 3, 2, &rest, text, 4, &n), XLSTM_E_ARGUMENT);
    assert_int_equal(n, 5);
    assert_int_equal(rest.count, 3);
    assert_int_equal(xlstm_tokenizer_decode(t, tokens + 3, 2, &rest, text, 5, &n), XLSTM_OK);
    assert_int_equal(n, 5);
    assert_memory_equal(text, smile, 5);
    assert_int_equal(rest.count, 0);
    rest.count = 5;
    assert_int_equal(xlstm_tokenizer_decode(t, tokens, 1, &rest, text, 8, &n), XLSTM_E_ARGUMENT);
    xlstm_tokenizer_free(t);
}

/* ---- what people have in their folders ---- */

static char heard[8][400];
static int hearings;
static void hear(void *context, xlstm_log_level level, const char *sentence) {
    (void)context;
    (void)level;
    if (!strstr(sentence, "mapped"))
        snprintf(heard[hearings++ % 8], sizeof heard[0], "%s", sentence);
}

/* With these changes, as JSON; and what is said of them in the log. */
static xlstm_tokenizer *load_told(const char *changes, int sentences) {
    json_t *parsed = json_loads(changes, 0, NULL);
    assert_non_null(parsed);
    hearings = 0;
    xlstm_set_log(hear, NULL);
    xlstm_tokenizer *t = load_changed(parsed);
    xlstm_set_log(NULL, NULL);
    json_decref(parsed);
    assert_int_equal(hearings, sentences);
    for (int i = 0; i < sentences; i++)
        assert_non_null(strstr(heard[i], path));
    return t;
}

/* Cuts and fills of batches are left to whoever encodes: "hello world" is what it was. */
static void test_left_by_training(void **state) {
    (void)state;
    static const char *const changes[] = {
        "[]",
        "[[[\"truncation\"], {\"direction\": \"Right\", \"max_length\": 2, \"strategy\": \"LongestFirst\", "
        "\"stride\": 0}]]",
        "[[[\"padding\"], {\"strategy\": \"BatchLongest\", \"direction\": \"Right\", \"pad_to_multiple_of\": "
        "8, \"pad_id\": 1}]]",
        "[[[\"padding\"], {\"strategy\": {\"Fixed\": 64}, \"direction\": \"Left\", \"pad_id\": 1}],"
        "[[\"truncation\"], {\"max_length\": 0}]]"};
    int32_t plain[64], tokens[64];
    size_t count = 0, n;
    for (size_t i = 0; i < COUNT(changes); i++) {
        xlstm_tokenizer *t = load_told(changes[i], i == 0 ? 0 : i < 3 ? 1 : 2);
        assert_int_equal(xlstm_tokenizer_encode(t, "hello world", 11, tokens, 64, &n), XLSTM_OK);
        if (i == 0)
            memcpy(plain, tokens, (count = n) * sizeof *tokens);
        assert_true(n == count && n > 2);
        assert_memory_equal(tokens, plain, n * sizeof *tokens);
        xlstm_tokenizer_free(t);
    }
}

#define WORD_LEVEL(vocab)                                                                                    \
    "[[\"decoder\"], null], [[\"normalizer\"], null], [[\"model\"], {\"type\": \"WordLevel\", "              \
    "\"unk_token\": \"[UNK]\", "                                                                             \
    "\"vocab\": {" vocab "}}]"
#define SPLIT "[[\"pre_tokenizer\"], {\"type\": \"WhitespaceSplit\"}]"

static void test_words_and_holes(void **state) {
    (void)state;
    xlstm_tokenizer *t = load_told(
        "[" WORD_LEVEL(
            "\"[UNK]\": 0, \"blue\": 3, \"green\": 4, \"white\": 9") ", " SPLIT
                                                                     ", [[\"added_tokens\"], [{\"id\": 0, "
                                                                     "\"content\": \"[UNK]\", \"special\": "
                                                                     "true}]]]",
        0);
    static const int32_t colours[] = {4, 0, 3}, with_holes[] = {4, 1, 8, 9};
    char text[64];
    const char *piece;
    size_t n;
    int32_t token, beyond = 10;
    gives(t, "green pink blue", colours, 3);
    gives(t, "\tgreen\xe3\x80\x80pink\n\nblue ", colours, 3);
    assert_int_equal(xlstm_tokenizer_size(t), 10);
    assert_int_equal(xlstm_tokenizer_decode(t, colours, 3, NULL, text, sizeof text, &n), XLSTM_OK);
    assert_int_equal(n, strlen(" green [UNK] blue"));
    assert_memory_equal(text, " green [UNK] blue", n);
    assert_int_equal(xlstm_tokenizer_decode(t, with_holes, 4, NULL, text, sizeof text, &n), XLSTM_OK);
    assert_int_equal(n, strlen(" green white")); /* no token has 1 or 8 */
    assert_memory_equal(text, " green white", n);
    assert_int_equal(xlstm_tokenizer_piece(t, 1, &piece, &n), XLSTM_OK);
    assert_int_equal(n, 0);
    assert_int_equal(xlstm_tokenizer_decode(t, &beyond, 1, NULL, text, sizeof text, &n), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_tokenizer_find(t, "white", &token), XLSTM_OK);
    assert_int_equal(token, 9);
    assert_int_equal(xlstm_tokenizer_save(t, path), XLSTM_E_ARGUMENT);
    xlstm_tokenizer_free(t);
}

static void test_word_that_is_not_known(void **state) {
    (void)state;
    xlstm_tokenizer *t = load_told("[" WORD_LEVEL("\"blue\": 3") ", " SPLIT ", [[\"added_tokens\"], []]]", 0);
    static const int32_t blue[] = {3, 3};
    int32_t tokens[8];
    size_t n;
    gives(t, "blue blue", blue, 2);
    assert_int_equal(xlstm_tokenizer_encode(t, "blue pink", 9, tokens, 8, &n), XLSTM_E_NOT_FOUND);
    assert_non_null(strstr(xlstm_last_error(), "\"pink\""));
    xlstm_tokenizer_free(t);
}

/* Numbers as Hugging Face's package gives them, whatever the file says; that is told once. */
static void test_numbers_of_added_tokens(void **state) {
    (void)state;
    xlstm_tokenizer *t = load_told(
        "[" WORD_LEVEL(
            "\"[UNK]\": 7, \"a\": 0, \"b\": 5") ", " SPLIT ", [[\"added_tokens\"], ["
                                                "{\"id\": 90, \"content\": \"<x>\"}, {\"id\": 91, "
                                                "\"content\": \"b\"}, {\"id\": 92, \"content\": \"<y>\"}]]]",
        1);
    static const int32_t want[] = {0, 3, 5, 4, 7};
    gives(t, "a<x>b<y> c", want, 5);
    assert_int_equal(xlstm_tokenizer_size(t), 8);
    assert_non_null(strstr(heard[0], "\"<x>\" is token 3"));
    xlstm_tokenizer_free(t);
}

/* A token that strips finds its white space also where other tokens lie in it; those are found all the same.
 */
static void test_stripping(void **state) {
    (void)state;
    xlstm_tokenizer *t = load_told(
        "[" WORD_LEVEL(
            "\"[UNK]\": 0, \"a\": 1, \"b\": 2") ", " SPLIT
                                                ", [[\"added_tokens\"], [{\"id\": 3, \"content\": \"<r>\", "
                                                "\"rstrip\": true}, {\"id\": 4, \"content\": \"\\n\"},"
                                                "{\"id\": 5, \"content\": \"cat\", \"single_word\": true}]]]",
        0);
    static const int32_t spaces[] = {1, 3, 4, 4, 2}, cats[] = {5, 0, 5, 0, 0, 5};
    gives(t, "a<r> \n \nb", spaces, 5);
    gives(t, "cat cats cat, concat cat", cats, 6);
    xlstm_tokenizer_free(t);
}

/* However many added tokens there are, and however long: each byte of a text is looked at a few times. One
 * that is nearly found at every place would otherwise be compared everywhere, and white space measured anew
 * at each token in it. */
static void test_many_added_tokens(void **state) {
    (void)state;
    enum { LONG = 1 << 17, BYTES = 1 << 20, MANY = 2000 };
    json_t *root = read_plain(), *list = json_array();
    char *name = malloc(LONG + 8), *text = malloc(BYTES);
    int32_t *tokens = malloc(2 * BYTES * sizeof *tokens);
    memset(name, 'x', LONG);
    strcpy(name + LONG, "end");
    json_array_append_new(list, json_pack("{s:i,s:s}", "id", 600, "content", name));
    for (int i = 0; i < MANY; i++) {
        sprintf(name, "xx%dy", i);
        json_array_append_new(list, json_pack("{s:i,s:s}", "id", 601 + i, "content", name));
    }
    json_array_append_new(list, json_pack("{s:i,s:s,s:b}", "id", 601 + MANY, "content", "\n", "rstrip", 1));
    json_object_set_new(root, "added_tokens", list);
    assert_int_equal(json_dump_file(root, path, 0), 0);
    json_decref(root);
    xlstm_tokenizer *t = load(path);
    size_t count, other;
    memset(text, 'x', BYTES);
    assert_int_equal(xlstm_tokenizer_encode(t, text, BYTES, tokens, 2 * BYTES, &count), XLSTM_OK);
    memcpy(text + BYTES - 3, "end", 3);
    assert_int_equal(xlstm_tokenizer_encode(t, text, BYTES, tokens, 2 * BYTES, &other), XLSTM_OK);
    assert_true(other < count);
    memset(text, '\n', BYTES);
    assert_int_equal(xlstm_tokenizer_encode(t, text, BYTES, tokens, 2 * BYTES, &count), XLSTM_OK);
    assert_int_equal(count, BYTES);
    xlstm_tokenizer_free(t);
    free(name);
    free(text);
    free(tokens);
}

/* Bytes that the vocabulary cannot express are an error, not left out. */
static void test_missing_byte(void **state) {
    (void)state;
    json_t *changes =
        json_loads("[[[\"model\", \"vocab\"], {\"a\": 0, \"b\": 1}], [[\"model\", \"merges\"], []],"
                   "[[\"added_tokens\"], []]]",
                   0, NULL);
    xlstm_tokenizer *t = load_changed(changes);
    int32_t tokens[8];
    size_t count;
    assert_int_equal(xlstm_tokenizer_encode(t, "abba", 4, tokens, 8, &count), XLSTM_OK);
    assert_int_equal(xlstm_tokenizer_encode(t, "abc", 3, tokens, 8, &count), XLSTM_E_NOT_FOUND);
    assert_non_null(strstr(xlstm_last_error(), "0x63"));
    json_decref(changes);
    xlstm_tokenizer_free(t);
}

/* ---- refusals ---- */

/* One change to the good file, and a word that the refusal must have. */
static const struct {
    const char *keys[3], *value;
    xlstm_status status;
    const char *says;
} refusals[] = {
    {{"novelty"}, "1", XLSTM_E_CONFIG, "novelty"},
    {{"model"}, "7", XLSTM_E_CONFIG, "model"},
    {{"model", "type"}, "\"Unigram\"", XLSTM_E_CONFIG, "Unigram"},
    {{"model", "novelty"}, "1", XLSTM_E_CONFIG, "novelty"},
    {{"model", "dropout"}, "0.1", XLSTM_E_CONFIG, "dropout"},
    {{"model", "byte_fallback"}, "true", XLSTM_E_CONFIG, "byte_fallback"},
    {{"model", "end_of_word_suffix"}, "\"</w>\"", XLSTM_E_CONFIG, "end_of_word_suffix"},
    {{"model", "continuing_subword_prefix"}, "\"##\"", XLSTM_E_CONFIG, "continuing_subword_prefix"},
    {{"model", "ignore_merges"}, "1", XLSTM_E_CONFIG, "ignore_merges"},
    {{"model", "vocab"}, "[]", XLSTM_E_FORMAT, "vocab"},
    {{"model", "vocab"}, "{}", XLSTM_E_FORMAT, "merge 0"}, /* the added tokens are left */
    {{"model", "vocab", "Ġ"}, "-1", XLSTM_E_FORMAT, "number"},
    {{"model", "vocab", "Ġ"}, "99999999999", XLSTM_E_FORMAT, "number"},
    {{"model", "vocab", "Ġ"}, "5", XLSTM_E_FORMAT, "each once"},
    {{"model", "vocab", "Ġ"}, "1048576", XLSTM_E_FORMAT, "0 to 1048575"},
    {{"model", "vocab", "Ġ"}, "5.5", XLSTM_E_FORMAT, "number"},
    {{"model", "vocab", "Ġ"}, "\"5\"", XLSTM_E_FORMAT, "number"},
    {{"model", "merges"}, "{}", XLSTM_E_FORMAT, "merges"},
    {{"model", "merges"}, "[\"Ġ zzz\"]", XLSTM_E_FORMAT, "merge 0"},
    {{"model", "merges"}, "[\"a b c\"]", XLSTM_E_FORMAT, "merge 0"},
    {{"model", "merges"}, "[\" \"]", XLSTM_E_FORMAT, "merge 0"},
    {{"model", "merges"}, "[\"q q\"]", XLSTM_E_FORMAT, "merge 0"}, /* qq is no token */
    {{"model", "merges"}, "[7]", XLSTM_E_FORMAT, "merge 0"},
    {{"model", "merges"}, "[[\"Ġ\", 3]]", XLSTM_E_FORMAT, "merge 0"},
    {{"model", "merges"}, "[[\"Ġ\", \"t\", \"h\"]]", XLSTM_E_FORMAT, "merge 0"},
    {{"model", "merges"}, "[\"Ġ t\", [\"Ġ\", \"t\"]]", XLSTM_E_FORMAT, "merge 1"},
    {{"normalizer"},
     "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFKC\"}]}",
     XLSTM_E_CONFIG,
     "NFKC"},
    {{"normalizer"}, "{\"type\": \"StripAccents\"}", XLSTM_E_CONFIG, "StripAccents"},
    {{"normalizer"},
     "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFC\"}, {\"type\": \"NFC\"}, {\"type\": "
     "\"NFC\"}, {\"type\": \"NFC\"},"
     "{\"type\": \"NFC\"}, {\"type\": \"NFC\"}, {\"type\": \"NFC\"}, {\"type\": \"NFC\"}, {\"type\": "
     "\"NFC\"}]}",
     XLSTM_E_CONFIG,
     "more than 8"},
    {{"normalizer"}, "{\"type\": \"Sequence\"}", XLSTM_E_FORMAT, "normalizers"},
    {{"normalizer"}, "\"NFC\"", XLSTM_E_CONFIG, "normalizer"},
    {{"pre_tokenizer"}, "null", XLSTM_E_CONFIG, "pre_tokenizer"},
    {{"pre_tokenizer"}, "{\"type\": \"Metaspace\"}", XLSTM_E_CONFIG, "Metaspace"},
    {{"pre_tokenizer"},
     "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"ByteLevel\"}, {\"type\": \"ByteLevel\"}]}",
     XLSTM_E_CONFIG,
     "2 parts"},
    {{"pre_tokenizer", "use_regex"}, "null", XLSTM_E_CONFIG, "use_regex"},
    {{"decoder"}, "null", XLSTM_E_CONFIG, "decoder"},
    {{"decoder"}, "{\"type\": \"WordPiece\"}", XLSTM_E_CONFIG, "WordPiece"},
    {{"post_processor"}, "{\"type\": \"BertProcessing\"}", XLSTM_E_CONFIG, "BertProcessing"},
    {{"post_processor"}, "{\"type\": \"TemplateProcessing\"}", XLSTM_E_FORMAT, "single"},
    {{"post_processor"}, "{\"type\": \"TemplateProcessing\", \"single\": []}", XLSTM_E_CONFIG, "single"},
    {{"post_processor"},
     "{\"type\": \"TemplateProcessing\", \"single\": [{\"Sequence\": {\"id\": \"A\"}}, {\"Sequence\": "
     "{\"id\": "
     "\"A\"}}]}",
     XLSTM_E_CONFIG,
     "once"},
    {{"post_processor"},
     "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"x\"}}]}",
     XLSTM_E_FORMAT,
     "x has no ids"},
    {{"post_processor"},
     "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"x\"}}], "
     "\"special_tokens\": {\"x\": {\"ids\": [607]}}}",
     XLSTM_E_FORMAT,
     "607"},
    {{"added_tokens"}, "7", XLSTM_E_FORMAT, "added_tokens"},
    {{"added_tokens"}, "[7]", XLSTM_E_CONFIG, "added token 0"},
    {{"added_tokens"}, "[{\"id\": 600}]", XLSTM_E_FORMAT, "content"},
    {{"added_tokens"}, "[{\"content\": \"x y\"}]", XLSTM_E_FORMAT, "number"},
    {{"added_tokens"}, "[{\"id\": -3, \"content\": \"x y\"}]", XLSTM_E_FORMAT, "-3"},
    {{"added_tokens"}, "[{\"id\": 600, \"content\": \"x y\", \"lstrip\": 1}]", XLSTM_E_CONFIG, "lstrip"},
    {{"model", "type"},
     "\"WordLevel\"",
     XLSTM_E_CONFIG,
     "ByteLevel"}, /* how it cuts, and its decoder, are another's */
};

static void refused(xlstm_status status, const char *says, const char *what) {
    xlstm_tokenizer *t = (xlstm_tokenizer *)&path;
    xlstm_status got = xlstm_tokenizer_load(&t, path);
    if (got != status || t || !strstr(xlstm_last_error(), says) || !strstr(xlstm_last_error(), path))
        fail_msg("%s: status %d, \"%s\" lacks the path or \"%s\"", what, (int)got, xlstm_last_error(), says);
}

static void test_refusals(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(refusals); i++) {
        json_t *root = read_plain(), *at = root,
               *value = json_loads(refusals[i].value, JSON_DECODE_ANY, NULL);
        int last = refusals[i].keys[2] ? 2 : refusals[i].keys[1] ? 1 : 0;
        assert_non_null(value);
        for (int k = 0; k < last; k++)
            at = json_object_get(at, refusals[i].keys[k]);
        json_object_set_new(at, refusals[i].keys[last], value);
        json_dump_file(root, path, 0);
        json_decref(root);
        refused(refusals[i].status, refusals[i].says, refusals[i].value);
    }
}

static void put(const char *bytes, size_t size) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* Files that are no JSON, or too much of it. */
static void test_bad_files(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",       "{",        "[]",           "{\"model\": \"\xff\"}", "{\"a\": 1, \"a\": 1}",
        "{\"a\"", "\xef\xbb", "{\"a\": 1} x", "{\"a\": \"\\ud800\"}",  "{\"a\": 1e999}"};
    static char deep[1 << 16];
    for (size_t i = 0; i < COUNT(texts); i++) {
        put(texts[i], strlen(texts[i]));
        refused(XLSTM_E_FORMAT, "JSON", texts[i]);
    }
    put("{\"a\":\0 0}", 9);
    refused(XLSTM_E_FORMAT, "JSON", "zero byte");
    memset(deep, '[', sizeof deep);
    put(deep, sizeof deep);
    refused(XLSTM_E_FORMAT, "deeper", "deep");
    assert_int_equal(truncate(path, (1 << 28) + 1), 0);
    refused(XLSTM_E_FORMAT, "bytes", "huge");
    put("{}", 2);
    refused(XLSTM_E_CONFIG, "model", "empty object");
}

/* Bytes of the file changed at random: it is refused with a sentence, or read as something that works. */
static void test_mutations(void **state) {
    (void)state;
    static char good[1 << 16], bad[1 << 16];
    FILE *f = fopen(DATA "/tokenizer.json", "rb");
    assert_non_null(f);
    size_t size = fread(good, 1, sizeof good, f), count;
    assert_true(size > 1000 && size < sizeof good);
    fclose(f);
    uint32_t random = 1;
    int loaded = 0, rejected = 0;
    for (int i = 0; i < 1500; i++) {
        memcpy(bad, good, size);
        for (int k = 0; k <= i % 3; k++) {
            random = random * 1664525u + 1013904223u;
            bad[(random >> 8) % size] = "\"{}[],:0159a \\\xc4\xff"[(random >> 24) % 16];
        }
        put(bad, size);
        xlstm_tokenizer *t;
        int32_t tokens[MOST];
        if (xlstm_tokenizer_load(&t, path) != XLSTM_OK) {
            assert_null(t);
            assert_true(strlen(xlstm_last_error()) > 10);
            rejected++;
            continue;
        }
        xlstm_tokenizer_encode(t, good, 1000, tokens, MOST, &count);
        xlstm_tokenizer_free(t);
        loaded++;
    }
    assert_true(loaded > 20 && rejected > 200);
}

/* Every allocation may fail. */
static void test_no_memory(void **state) {
    (void)state;
    static const char text[] = "a<mask>b e\xcc\x81\xcc\xa3 don't  <r>";
    xlstm_tokenizer *t = NULL;
    int32_t tokens[64];
    size_t count;
    xlstm_status status = XLSTM_E_MEMORY;
    long n;
    for (n = 1; status != XLSTM_OK; n++) {
        xl_alloc_fail_at(n);
        status = xlstm_tokenizer_load(&t, DATA);
        assert_true(status == XLSTM_OK ? t != NULL : status == XLSTM_E_MEMORY && !t);
    }
    assert_true(n > 10);
    status = XLSTM_E_MEMORY;
    for (n = 1; status != XLSTM_OK; n++) {
        xl_alloc_fail_at(n);
        status = xlstm_tokenizer_encode(t, text, strlen(text), tokens, 64, &count);
        assert_true(status == XLSTM_OK || status == XLSTM_E_MEMORY);
    }
    assert_true(n > 4);
    xl_alloc_fail_at(0);
    xlstm_tokenizer_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_small_files),
        cmocka_unit_test(test_left_by_training),
        cmocka_unit_test(test_words_and_holes),
        cmocka_unit_test(test_word_that_is_not_known),
        cmocka_unit_test(test_numbers_of_added_tokens),
        cmocka_unit_test(test_stripping),
        cmocka_unit_test(test_many_added_tokens),
        cmocka_unit_test(test_merges_as_texts),
        cmocka_unit_test(test_long_words),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_rest),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_missing_byte),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_mutations),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
