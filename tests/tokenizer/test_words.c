/* Word-level vocabularies: from a list, from a text, in files; words, line ends and back. */
#define _DEFAULT_SOURCE
#include "base/mem.h"
#include "support/tokenizers.h"
#include "xlstm.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static char dir[] = "/tmp/xlstm-words-XXXXXX", path[64];

static int setup(void **state) {
    (void)state;
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/vocab.txt", dir);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    unlink(path);
    return rmdir(dir); /* nothing else may be left in it */
}

static void put(const char *bytes, size_t size) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

static const char *const words[] = {"the", "<unk>", "cat", "<eos>", "sat", "\xc3\xa9t\xc3\xa9"};
static const char line[] = " the cat\tsat \r\n\n dog \xc3\xa9t\xc3\xa9\vthe";
static const int32_t line_tokens[] = {0, 2, 4, 3, 3, 1, 5, 0};

static xlstm_tokenizer *from_words(void) {
    xlstm_tokenizer *t;
    assert_int_equal(xlstm_tokenizer_from_words(&t, words, COUNT(words)), XLSTM_OK);
    return t;
}

static void test_encode(void **state) {
    (void)state;
    xlstm_tokenizer *t = from_words(), *small;
    int32_t tokens[8];
    size_t count;
    gives(t, line, line_tokens, COUNT(line_tokens));
    gives(t, "", NULL, 0);
    assert_int_equal(xlstm_tokenizer_encode(t, line, strlen(line), tokens, 7, &count), XLSTM_E_ARGUMENT);
    assert_int_equal(count, 8);
    assert_int_equal(xlstm_tokenizer_encode(t, "the \xff", 5, tokens, 8, &count), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_tokenizer_from_words(&small, words, 1), XLSTM_OK);
    assert_int_equal(xlstm_tokenizer_encode(small, "the\nthe\n", 8, tokens, 8, &count), XLSTM_OK);
    assert_int_equal(count, 2); /* no <eos>: line ends are white space */
    assert_int_equal(xlstm_tokenizer_encode(small, "the dog", 7, tokens, 8, &count), XLSTM_E_NOT_FOUND);
    assert_non_null(strstr(xlstm_last_error(), "dog"));
    xlstm_tokenizer_free(small);
    xlstm_tokenizer_free(t);
}

static void test_decode(void **state) {
    (void)state;
    static const char want[] = " the cat sat\n\n <unk> \xc3\xa9t\xc3\xa9 the";
    xlstm_tokenizer *t = from_words();
    char text[64];
    size_t bytes;
    assert_int_equal(
        xlstm_tokenizer_decode(t, line_tokens, COUNT(line_tokens), NULL, text, sizeof text, &bytes),
        XLSTM_OK);
    assert_int_equal(bytes, strlen(want));
    assert_memory_equal(text, want, bytes);
    gives(t, want, line_tokens, COUNT(line_tokens));
    xlstm_tokenizer_free(t);
}

static void test_from_text(void **state) {
    (void)state;
    static const char text[] = "b a\n<eos> b c <unk>\n";
    static const int32_t want[] = {2, 3, 1, 1, 2, 4, 0, 1};
    xlstm_tokenizer *t;
    char big[40000], *end = big;
    int32_t token;
    assert_int_equal(xlstm_tokenizer_from_text(&t, text, strlen(text)), XLSTM_OK);
    assert_int_equal(xlstm_tokenizer_size(t), 5);
    gives(t, text, want, COUNT(want));
    xlstm_tokenizer_free(t);
    for (int i = 0; i < 5000; i++)
        end += sprintf(end, "w%d ", i);
    assert_int_equal(xlstm_tokenizer_from_text(&t, big, (size_t)(end - big)), XLSTM_OK);
    assert_int_equal(xlstm_tokenizer_size(t), 5002);
    for (int i = 0; i < 5000; i++) {
        char word[8];
        sprintf(word, "w%d", i);
        assert_int_equal(xlstm_tokenizer_find(t, word, &token), XLSTM_OK);
        assert_int_equal(token, i + 2);
    }
    xlstm_tokenizer_free(t);
    assert_int_equal(xlstm_tokenizer_from_text(&t, "a \xff", 3), XLSTM_E_FORMAT);
    assert_null(t);
    assert_int_equal(xlstm_tokenizer_from_text(&t, NULL, 0), XLSTM_OK);
    assert_int_equal(xlstm_tokenizer_size(t), 2);
    xlstm_tokenizer_free(t);
}

static void test_files(void **state) {
    (void)state;
    xlstm_tokenizer *t = from_words(), *again;
    static const int32_t tokens[] = {0, 1};
    assert_int_equal(xlstm_tokenizer_save(t, path), XLSTM_OK);
    xlstm_tokenizer_free(t);
    assert_int_equal(xlstm_tokenizer_load(&again, dir), XLSTM_OK);
    assert_int_equal(xlstm_tokenizer_size(again), (int)COUNT(words));
    gives(again, line, line_tokens, COUNT(line_tokens));
    assert_int_equal(xlstm_tokenizer_save(again, dir), XLSTM_E_IO);
    assert_int_equal(xlstm_tokenizer_save(again, "/no/such/place/vocab.txt"), XLSTM_E_IO);
    xlstm_tokenizer_free(again);
    put("a\r\nb", 4); /* lines of another system; a last one without its end */
    assert_int_equal(xlstm_tokenizer_load(&t, path), XLSTM_OK);
    assert_int_equal(xlstm_tokenizer_size(t), 2);
    gives(t, "a b", tokens, 2);
    xlstm_tokenizer_free(t);
}

/* The files that Python's slow tokenizers write are not read; the sentence says how to get one that is. */
static void test_folder_of_a_slow_tokenizer(void **state) {
    (void)state;
    xlstm_tokenizer *t;
    char merges[64];
    unlink(path);
    assert_int_equal(xlstm_tokenizer_load(&t, dir), XLSTM_E_IO);
    assert_null(strstr(xlstm_last_error(), "merges.txt"));
    snprintf(merges, sizeof merges, "%s/merges.txt", dir);
    FILE *f = fopen(merges, "w");
    assert_non_null(f);
    fclose(f);
    assert_int_equal(xlstm_tokenizer_load(&t, dir), XLSTM_E_IO);
    assert_non_null(strstr(xlstm_last_error(), "save_pretrained"));
    assert_non_null(strstr(xlstm_last_error(), "holds neither tokenizer.json nor vocab.txt"));
    unlink(merges);
}

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t size;
        const char *says;
    } bad[] = {
        {"", 0, "no words"},          {"a\nb\na\n", 6, "\"a\", is there twice"},
        {"a\n\nb\n", 5, "is empty"},  {"a b\n", 4, "white space"},
        {"\xff\xfe", 2, "not UTF-8"}, {"a\0b\n", 4, "zero byte"},
        {"a\rb\n", 4, "white space"},
    };
    xlstm_tokenizer *t = (xlstm_tokenizer *)&dir;
    for (size_t i = 0; i < COUNT(bad); i++) {
        put(bad[i].text, bad[i].size);
        xlstm_status status = xlstm_tokenizer_load(&t, path);
        if (status != XLSTM_E_FORMAT || t || !strstr(xlstm_last_error(), bad[i].says) ||
            !strstr(xlstm_last_error(), path))
            fail_msg("expected \"%s\", got %d \"%s\"", bad[i].says, (int)status, xlstm_last_error());
    }
    static const char *const twice[] = {"a", "a"}, *const spaced[] = {"a b"}, *const null[] = {NULL};
    assert_int_equal(xlstm_tokenizer_from_words(&t, twice, 2), XLSTM_E_FORMAT);
    assert_int_equal(xlstm_tokenizer_from_words(&t, spaced, 1), XLSTM_E_FORMAT);
    assert_int_equal(xlstm_tokenizer_from_words(&t, null, 1), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_tokenizer_from_words(&t, twice, 0), XLSTM_E_ARGUMENT);
    assert_null(t);
}

static void test_no_memory(void **state) {
    (void)state;
    static const char text[] = "a b c d e f g h i j k l m n o p q r s t u v w x y z";
    xlstm_tokenizer *t = NULL;
    xlstm_status status = XLSTM_E_MEMORY;
    long n;
    for (n = 1; status != XLSTM_OK; n++) {
        xl_alloc_fail_at(n);
        status = xlstm_tokenizer_from_text(&t, text, strlen(text));
        assert_true(status == XLSTM_OK ? t != NULL : status == XLSTM_E_MEMORY && !t);
    }
    assert_true(n > 8); /* the tables grew more than once */
    xl_alloc_fail_at(0);
    xlstm_tokenizer_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encode),    cmocka_unit_test(test_decode),
        cmocka_unit_test(test_from_text), cmocka_unit_test(test_files),
        cmocka_unit_test(test_refusals),  cmocka_unit_test(test_folder_of_a_slow_tokenizer),
        cmocka_unit_test(test_no_memory)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
