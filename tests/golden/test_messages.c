/* What a sentence about a file says whatever the names are: the file, and what is wrong with it, to the end.
 */
#define _XOPEN_SOURCE 700 /* nftw */
#include "base/error.h"
#include "xlstm.h"
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utf8proc.h>
#include <cmocka.h>

static char top[64], deep[4096]; /* `deep` is nearly as long as a path may be */

static int setup(void **state) {
    (void)state;
    snprintf(top, sizeof top, "test_messages.%ld.tmp", (long)getpid());
    size_t used = (size_t)snprintf(deep, sizeof deep, "%s", top);
    if (mkdir(deep, 0777))
        return 1;
    while (used < 3900) {
        size_t n = 3950 - used < 200 ? 3950 - used : 200;
        deep[used++] = '/';
        memset(deep + used, 'd', n);
        deep[used += n] = 0;
        if (mkdir(deep, 0777))
            return 1;
    }
    return 0;
}

static int drop(const char *path, const struct stat *s, int kind, struct FTW *at) {
    (void)s, (void)kind, (void)at;
    return remove(path);
}

static int teardown(void **state) {
    (void)state;
    return nftw(top, drop, 32, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *name, const void *bytes, size_t size) {
    char path[8192];
    snprintf(path, sizeof path, "%s/%s", deep, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* A terminal shows it as it is. */
static void printable(const char *text) {
    const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text;
    while (*at) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate(at, -1, &c);
        assert_true(n > 0);
        assert_int_not_equal(utf8proc_category(c), UTF8PROC_CATEGORY_CC);
        at += n;
    }
}

static void says(const char *what) {
    const char *sentence = xlstm_last_error();
    printable(sentence);
    if (!strstr(sentence, what))
        fail_msg("\"%s\" is not in \"%s\"", what, sentence);
}

/* ---- long paths ---- */

typedef xlstm_status opener(const char *path);

static xlstm_status open_tensors(const char *path) {
    xlstm_tensors *t;
    return xlstm_tensors_open(&t, path);
}

static xlstm_status open_tokenizer(const char *path) {
    xlstm_tokenizer *t;
    return xlstm_tokenizer_load(&t, path);
}

static xlstm_status open_config(const char *path) {
    xlstm_config c;
    return xlstm_config_load(path, &c);
}

static xlstm_status open_model(const char *path) {
    xlstm_module *m;
    char *folder = strdup(path);
    *strrchr(folder, '/') = 0;
    xlstm_status status = xlstm_module_load(&m, folder);
    free(folder);
    return status;
}

#define WORDS                                                                                                \
    "\"pre_tokenizer\":null,\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"a\",\"vocab\":{\"a\":0}}"
#define MODEL "\"embedding_dim\":32,\"num_heads\":2,\"num_blocks\":1,\"vocab_size\":11"
static const struct {
    opener *open;
    const char *name, *text, *says;
} cases[] = {
    {open_tensors, "gone.safetensors", NULL, "/gone.safetensors: cannot open it: No such file or directory"},
    {open_tensors, "short.safetensors", "1234567",
     "/short.safetensors: has 7 bytes; a safetensors file has at least 8"},
    {open_tensors, "bad.safetensors", "\2\0\0\0\0\0\0\0[]",
     "/bad.safetensors: header does not begin with {: not a safetensors file"},
    {open_tokenizer, "tokenizer.json", "{\"novelty\":1}",
     "/tokenizer.json: the file: field novelty is unknown; it might change the mathematics, so remove it if "
     "it does not"},
    {open_tokenizer, "tokenizer.json", "{\"normalizer\":{\"type\":\"NFKC\"}," WORDS "}",
     "/tokenizer.json: normalizer: field type is \"NFKC\", which is not supported (\"NFC\" is)"},
    {open_tokenizer, "tokenizer.json", "{\"added_tokens\":[{\"content\":7}]," WORDS "}",
     "/tokenizer.json: added token 0: field content is not a text"},
    {open_tokenizer, "tokenizer.json", "{",
     "/tokenizer.json: JSON is malformed at byte 1: string or '}' expected near end of file"},
    {open_tokenizer, "vocab.txt", "a\nb\na\n", "/vocab.txt: word 2, \"a\", is there twice"},
    {open_config, "config.json", "{}",
     "/config.json: is not the configuration of an xLSTM: neither model_type, "
     "mlstm_block, slstm_block nor num_heads is there"},
    {open_config, "config.json", "{" MODEL ",\"gate_soft_cap\":-1}",
     "/config.json: field gate_soft_cap is -1; it must be positive, or null for none"},
    {open_model, "config.json", "{" MODEL "}",
     "d: holds no weights: no model.safetensors, weights.safetensors, model_0.safetensors or "
     "model.safetensors.index.json"},
    {open_model, "model.safetensors", "\2\0\0\0\0\0\0\0{}", "is missing from the weights"},
    {open_model, "model.safetensors.index.json", "{\"weight_map\":{\"x\":\"../y\"}}",
     "/model.safetensors.index.json: gives tensor x no plain file name"},
    {open_model, "model.safetensors.index.json", "{\"weight_map\":{\"x\":\"model.safetensors\"}}",
     "/model.safetensors.index.json: says that model.safetensors holds tensor x, but it does not"},
};

static size_t length_of(const char *text) {
    return memcmp(text, "\2\0\0\0\0\0\0\0", 8) ? strlen(text) : 10;
}

static void test_long_paths(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[8192];
        snprintf(path, sizeof path, "%s/%s", deep, cases[i].name);
        if (cases[i].text)
            put(cases[i].name, cases[i].text, length_of(cases[i].text));
        xlstm_status status = cases[i].open(path);
        if (status == XLSTM_OK)
            fail_msg("%s is taken", cases[i].name);
        says(cases[i].says);
        says(top); /* where to look begins it */
        assert_memory_equal(xlstm_last_error(), top, strlen(top));
        const char *end = strstr(xlstm_last_error(), cases[i].says) + strlen(cases[i].says);
        assert_string_equal(end, "");
        assert_true(strlen(xlstm_last_error()) > 200); /* as much of the path as there is room for */
    }
}

/* A path that fits is there as it is. */
static void test_short_path(void **state) {
    (void)state;
    char path[300], want[400];
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = 0;
    snprintf(want, sizeof want, "%s: cannot open it: ", path);
    open_tensors(path);
    says("File name too long");
    assert_memory_equal(xlstm_last_error(), want, strlen(want));
}

/* ---- names of things in files ---- */

static size_t put_tensor(const char *name, size_t length) {
    char *bytes = calloc(1, length + 200);
    assert_non_null(bytes);
    size_t n = (size_t)sprintf(
        bytes + 8, "{\"%.*s\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", (int)length, name);
    memcpy(bytes, &(uint64_t){n}, 8);
    put("model.safetensors", bytes, 8 + n + 4);
    free(bytes);
    return n;
}

static void test_names_of_tensors(void **state) {
    (void)state;
    static const char *const names[] = {
        "x", "\\u001b[2J\\u0007", "\\r\\nerror: none", "\xe6\xbc\xa2", "\\u0085\\u009b1m", "\\u2028"};
    char path[8192], large[10001];
    put("config.json", "{" MODEL "}", strlen("{" MODEL "}"));
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", deep);
    unlink(path);
    snprintf(path, sizeof path, "%s/model.safetensors", deep);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        put_tensor(names[i], strlen(names[i]));
        assert_int_equal(open_model(path), XLSTM_E_FORMAT);
        says("/model.safetensors: tensor ");
        says("is not one of this model's parameters");
    }
    for (size_t unit = 1; unit <= 3; unit += 2) { /* 10,000 bytes; a cut may fall inside a character */
        for (size_t k = 0; k < sizeof large - 1; k++)
            large[k] = "m\xe6\xbc\xa2"[unit == 1 ? 0 : k % 3 + 1];
        put_tensor(large, 9999);
        assert_int_equal(open_model(path), XLSTM_E_FORMAT);
        says("/model.safetensors: tensor ");
        says("is not one of this model's parameters");
    }
}

/* ---- sentences ---- */

static void test_sentences(void **state) {
    (void)state;
    char to[100], name[400];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    memcpy(name, "begin", 5);
    memcpy(name + sizeof name - 4, "end", 3);
    xl_sentence(to, sizeof to, "mapped %s, %d MiB", name, 7);
    assert_memory_equal(to, "mapped beginn", 13);
    assert_string_equal(to + strlen(to) - 11, "nend, 7 MiB");
    assert_int_equal(strlen(to), sizeof to - 1);
    assert_non_null(strstr(to, "n...n"));
    xl_sentence(to, sizeof to, "%d and %s", 7, name); /* not the first */
    assert_memory_equal(to, "7 and begin", 11);
    assert_int_equal(strlen(to), sizeof to - 1);
    xl_sentence(to, sizeof to, "%s: %s", name, name); /* no room for either */
    assert_memory_equal(to, "beginn", 6);
    assert_non_null(strstr(to, "nend: begin"));
    xl_sentence(to, sizeof to, "%s", "a\tb\x7f\xff\xc3");
    assert_string_equal(to, "a?b???");
    xl_sentence(to, sizeof to, "%s", name);
    assert_int_equal(strlen(to), sizeof to - 1);
    assert_string_equal(to + strlen(to) - 4, "nend");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_long_paths),
        cmocka_unit_test(test_short_path),
        cmocka_unit_test(test_names_of_tensors),
        cmocka_unit_test(test_sentences),
    };
    return cmocka_run_group_tests_name("messages", tests, setup, teardown);
}
