/* Whatever words, texts and files hold, the work stays n log n: nobody can choose what collides in a hash
 * table, which is looked at in the tables themselves, and four times as much takes less than eleven times as
 * long (square: 16). */
#define _GNU_SOURCE
#include "base/hash.h"
#include "support/tokenizers.h"
#include "text/tokenizer.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

static char path[] = "/tmp/xlstm-effort-XXXXXX.json";

static int setup(void **state) {
    (void)state;
    int fd = mkstemps(path, 5);
    return fd < 0 || close(fd);
}

static int teardown(void **state) {
    (void)state;
    return unlink(path);
}

/* Texts that grow. */
static struct {
    char *bytes;
    size_t used, room;
} text;

static void add(const char *bytes) {
    size_t n = strlen(bytes);
    if (text.used + n + 1 > text.room) {
        text.room = 2 * (text.used + n + 1);
        text.bytes = realloc(text.bytes, text.room);
        assert_non_null(text.bytes);
    }
    memcpy(text.bytes + text.used, bytes, n + 1);
    text.used += n;
}

static void start(void) {
    text.used = 0;
}

/* ---- hash tables ---- */

/* The longest run of places that are taken, which is what a search may have to walk along. Of a half full
 * table with nothing chosen it is some dozens; where all is on one place, as much as there is in it. */
static int longest_run(const void *table, size_t size, size_t count) {
    int run = 0, longest = 0;
    for (size_t i = 0; i < count; i++) {
        int32_t first;
        memcpy(&first, (const char *)table + i * size, sizeof first); /* -1: free */
        run = first < 0 ? 0 : run + 1;
        longest = run > longest ? run : longest;
    }
    return longest;
}

/* FNV-1a without a seed, folded as is usual. */
static uint64_t known_hash(const char *bytes, size_t n) {
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)bytes[i]) * 0x100000001b3u;
    return h ^ h >> 29;
}

static void spell(char word[8], uint32_t number) {
    static const char letters[] = "abcdefghijklmnop";
    for (int i = 0; i < 7; i++, number >>= 4)
        word[i] = letters[number & 15];
    word[7] = 0;
}

static void test_chosen_words(void **state) {
    (void)state;
    enum { WORDS = 1500, SAME = 8191 };
    xlstm_tokenizer *t;
    int found = 0;
    start();
    for (uint32_t i = 0; found < WORDS; i++) {
        char word[9];
        spell(word, i);
        if (known_hash(word, 7) & SAME)
            continue;
        found++;
        add(word);
        add(" ");
    }
    assert_int_equal(xlstm_tokenizer_from_text(&t, text.bytes, text.used), XLSTM_OK);
    assert_int_equal(xlstm_tokenizer_size(t), WORDS + 2);
    int run = longest_run(t->pieces.slots, sizeof *t->pieces.slots, t->pieces.mask + 1);
    print_message("longest run: %d\n", run);
    assert_true(run < 200);
    xlstm_tokenizer_free(t);
}

/* The character of a vocabulary that stands for a byte that prints. */
static const char *shown(int byte) {
    static char c[2][3];
    static int next;
    char *to = c[next++ % 2];
    if (byte < 128)
        snprintf(to, 3, "%s%c", "", byte);
    else
        snprintf(to, 3, "%c%c", 0xc0 | byte >> 6, 0x80 | (byte & 63));
    return to;
}

static void add_quoted(const char *a, const char *b) {
    add("\"");
    add(*a == '"' || *a == '\\' ? "\\" : "");
    add(a);
    add(*b == '"' || *b == '\\' ? "\\" : "");
    add(b);
    add("\"");
}

static int prints(int byte) {
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 255 && byte != 173);
}

/* ---- files of byte-level BPE ---- */

static void begin_vocabulary(int *tokens) {
    start();
    add("{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false},"
        "\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":{");
    *tokens = 0;
}

static void add_token(int *tokens, const char *a, const char *b) {
    char number[16];
    snprintf(number, sizeof number, ":%d", *tokens);
    add(*tokens ? "," : "");
    add_quoted(a, b);
    add(number);
    ++*tokens;
}

static void put_file(const char *rest) {
    add(rest);
    FILE *f = fopen(path, "wb");
    assert_true(f && fwrite(text.bytes, 1, text.used, f) == text.used && !fclose(f));
}

/* Merges of two bytes that lie side by side in a table whose places are products with a known number. */
static void test_chosen_merges(void **state) {
    (void)state;
    enum { MOST = 700 };
    int tokens, bytes[256], singles = 0, merges = 0;
    int pairs[MOST][2];
    begin_vocabulary(&tokens);
    for (int c = 0; c < 256; c++)
        if (prints(c)) {
            add_token(&tokens, shown(c), "");
            bytes[singles++] = c;
        }
    for (int a = 0; a < singles; a++)
        for (int b = 0; b < singles && merges < MOST; b++) {
            uint64_t key = (uint64_t)a << 32 | (uint64_t)b;
            if ((key * 0x9e3779b97f4a7c15u >> 20 & 2047) < 40) {
                pairs[merges][0] = bytes[a];
                pairs[merges++][1] = bytes[b];
                add_token(&tokens, shown(bytes[a]), shown(bytes[b]));
            }
        }
    assert_true(merges > 500);
    add("},\"merges\":[");
    for (int i = 0; i < merges; i++) {
        add(i ? ",[" : "[");
        add_quoted(shown(pairs[i][0]), "");
        add(",");
        add_quoted(shown(pairs[i][1]), "");
        add("]");
    }
    put_file("]}}");
    xlstm_tokenizer *t = load(path);
    int run = longest_run(t->bpe->merges, sizeof *t->bpe->merges, t->bpe->mask + 1);
    print_message("%d merges, longest run: %d\n", merges, run);
    assert_true(run < 200);
    xlstm_tokenizer_free(t);
}

/* Where things lie depends on the seed, and nothing else does. */
static void test_seed(void **state) {
    (void)state;
    static const char words[] = "one two three two <unk> five\n";
    int32_t tokens[2][2][64];
    size_t count[2][2];
    xlstm_tokenizer *t[2][2];
    for (int s = 0; s < 2; s++) {
        xl_hash_seed((uint64_t)s + 1);
        assert_int_equal(xlstm_tokenizer_from_text(&t[s][0], words, sizeof words - 1), XLSTM_OK);
        t[s][1] = load(DATA);
        for (int k = 0; k < 2; k++)
            assert_int_equal(
                xlstm_tokenizer_encode(t[s][k], words, sizeof words - 1, tokens[s][k], 64, &count[s][k]),
                XLSTM_OK);
    }
    for (int k = 0; k < 2; k++) {
        const xl_pieces *a = &t[0][k]->pieces, *b = &t[1][k]->pieces;
        assert_true(count[0][k] > 5 && count[0][k] == count[1][k]);
        assert_memory_equal(tokens[0][k], tokens[1][k], count[0][k] * sizeof(int32_t));
        assert_true(a->count == b->count && a->used == b->used && a->mask == b->mask);
        assert_memory_equal(a->bytes, b->bytes, a->used);
        assert_memory_not_equal(a->slots, b->slots, (a->mask + 1) * sizeof *a->slots);
        xlstm_tokenizer_free(t[0][k]);
        xlstm_tokenizer_free(t[1][k]);
    }
}

/* ---- time ---- */

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef void work(const xlstm_tokenizer *t);

static double least(work *what, const xlstm_tokenizer *t) {
    double best = 1e9;
    for (int i = 0; i < 3; i++) {
        double before = seconds();
        what(t);
        double took = seconds() - before;
        best = took < best ? took : best;
    }
    return best;
}

static void in_proportion(const char *name, double once, double four_times) {
    print_message("%s: %g s, %g s\n", name, once, four_times);
    if (four_times > 11 * once)
        fail_msg("%s: %g s, four times as much %g s", name, once, four_times);
}

static void encode(const xlstm_tokenizer *t) {
    int32_t *tokens = malloc((text.used + 8) * sizeof *tokens);
    size_t count;
    assert_non_null(tokens);
    if (xlstm_tokenizer_encode(t, text.bytes, text.used, tokens, text.used + 8, &count))
        fail_msg("%s", xlstm_last_error());
    assert_true(count > 0);
    free(tokens);
}

static double encode_many(const xlstm_tokenizer *t, const char *unit, size_t bytes) {
    start();
    while (text.used < bytes)
        add(unit);
    return least(encode, t);
}

static void texts_of(const char *name, const xlstm_tokenizer *t, const char *const *units, int count,
                     size_t bytes) {
    for (int i = 0; i < count; i++) {
        char what[128];
        snprintf(what, sizeof what, "%s, \"%.40s\"...", name, units[i]);
        in_proportion(what, encode_many(t, units[i], bytes), encode_many(t, units[i], 4 * bytes));
    }
}

static void test_texts(void **state) {
    (void)state;
    static const char *const units[] = {"x",   "theand",           " ",         "\n",
                                        "\n ", "\xcc\x81\xcc\xa3", "e\xcc\x81", "'s",
                                        "'r",  "<|endoftext|",     "a \t\n",    "\xe3\x80\x80"};
    xlstm_tokenizer *t = load(DATA), *words;
    texts_of("tokenizer.json", t, units, sizeof units / sizeof *units, 1 << 17);
    xlstm_tokenizer_free(t);
    assert_int_equal(xlstm_tokenizer_from_text(&words, "a", 1), XLSTM_OK);
    texts_of("words", words, units, 2, 1 << 20);
    xlstm_tokenizer_free(words);
}

/* a, aa, aaaa, ...: each merge makes the next ones possible, along the whole word. */
static void test_many_merges(void **state) {
    (void)state;
    enum { LEVELS = 12 };
    static char many[LEVELS][(1 << (LEVELS - 1)) + 1];
    static const char *const units[] = {"a"};
    int tokens;
    begin_vocabulary(&tokens);
    for (int k = 0; k < LEVELS; k++) {
        memset(many[k], 'a', (size_t)1 << k);
        add_token(&tokens, many[k], "");
    }
    add("},\"merges\":[");
    for (int k = LEVELS - 2; k >= 0; k--) {
        add("[");
        add_quoted(many[k], "");
        add(",");
        add_quoted(many[k], "");
        add(k ? "]," : "]");
    }
    put_file("]}}");
    xlstm_tokenizer *t = load(path);
    texts_of("merges of merges", t, units, 1, 1 << 17);
    xlstm_tokenizer_free(t);
}

static void load_again(const xlstm_tokenizer *t) {
    (void)t;
    xlstm_tokenizer_free(load(path));
}

/* A file of n tokens, each but the first letters merged from two. */
static double load_vocabulary(int n) {
    int tokens;
    begin_vocabulary(&tokens);
    for (int c = 0; c < 16; c++)
        add_token(&tokens, shown('a' + c), "");
    for (uint32_t i = 0; tokens < n;
         i++) { /* of the length of its number, so that its beginning is there too */
        char word[8];
        int length = i < 256 ? 2 : i < 256 + 4096 ? 3 : 4;
        spell(word, length == 2 ? i : length == 3 ? i - 256 : i - 256 - 4096);
        word[length] = 0;
        add_token(&tokens, word, "");
    }
    add("},\"merges\":[");
    for (int i = 16; i < n; i++) {
        char word[8], half[8];
        uint32_t k = (uint32_t)i - 16;
        int length = k < 256 ? 2 : k < 256 + 4096 ? 3 : 4;
        spell(word, length == 2 ? k : length == 3 ? k - 256 : k - 256 - 4096);
        memcpy(half, word, 8);
        half[length - 1] = 0;
        word[length] = 0;
        add(i > 16 ? ",[" : "[");
        add_quoted(half, "");
        add(",");
        add_quoted(word + length - 1, "");
        add("]");
    }
    put_file("]}}");
    return least(load_again, NULL);
}

static void test_loading(void **state) {
    (void)state;
    double once = load_vocabulary(5000);
    in_proportion("loading tokens and merges", once, load_vocabulary(20000));
}

/* A text of one letter, and added tokens that all begin as it goes on, of a kilobyte and less: where they end
 * nobody knows before. Four times as many, and as long, may cost what their nodes cost in the caches. */
static double load_added(int n, int normalized) {
    char token[4096];
    int tokens;
    begin_vocabulary(&tokens);
    add_token(&tokens, "a", "");
    add("},\"merges\":[]},\"added_tokens\":[");
    for (int i = 0; i < n; i++) {
        int used = snprintf(token, sizeof token, "%s{\"id\":%d,\"normalized\":%s,\"content\":\"",
                            i ? "," : "", i + 1, normalized ? "true" : "false");
        memset(token + used, 'a', (size_t)i + 1);
        snprintf(token + used + i + 1, sizeof token - (size_t)used - (size_t)i - 1, "b\"}");
        add(token);
    }
    put_file("]}");
    return least(load_again, NULL);
}

static void test_added_tokens(void **state) {
    (void)state;
    for (int normalized = 0; normalized < 2; normalized++) {
        double loading[2], encoding[2];
        for (int k = 0; k < 2; k++) {
            loading[k] = load_added(k ? 1200 : 300, normalized);
            xlstm_tokenizer *t = load(path);
            encoding[k] = encode_many(t, "a", 1 << 19);
            if (!k)
                in_proportion("text before added tokens", encode_many(t, "a", 1 << 17), encoding[k]);
            xlstm_tokenizer_free(t);
        }
        print_message("added tokens: loaded in %g s, %g s; text in %g s, %g s\n", loading[0], loading[1],
                      encoding[0], encoding[1]);
        assert_true(encoding[1] < 4 * encoding[0]);
        assert_true(loading[1] < 40 * loading[0]); /* 16 times the bytes */
    }
}

static int end(void **state) {
    free(text.bytes);
    return teardown(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chosen_words), cmocka_unit_test(test_chosen_merges),
        cmocka_unit_test(test_seed),         cmocka_unit_test(test_texts),
        cmocka_unit_test(test_many_merges),  cmocka_unit_test(test_loading),
        cmocka_unit_test(test_added_tokens),
    };
    return cmocka_run_group_tests(tests, setup, end);
}
