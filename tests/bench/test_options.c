/* Every kind of field is filled from its row, by its default and by what is given; what a program refuses is
 * in programs.sh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "options.h"

typedef enum { RED, GREEN } colour;

typedef struct {
    int flag, count, untouched;
    colour kind;
    int64_t wide;
    uint64_t seed;
    float rate;
    double exact;
    const char *text, *choice, *first, *second;
    option_words words;
    option_counts counts;
    option_numbers numbers;
} settings;

static const char *const colours[] = {"red", "green", NULL};

#define FIELD(field) OPTION_FIELD(settings, field)
static const option rows[] = {
    {"FIRST", OPTION_ARGUMENT, FIELD(first), .help = "an argument"},
    {"SECOND", OPTION_ARGUMENT, FIELD(second), .help = "another one"},
    {"flag", 'f', FIELD(flag), .help = "a flag"},
    {"count", 'c', FIELD(count), "N", RANGE(-5, 5), .initial = "3", .help = "a whole number"},
    {"untouched", 0, FIELD(untouched), "N", RANGE(0, 9), .help = "has no default"},
    {.help = "A heading:"},
    {"kind", 0, FIELD(kind), "NAME", .choices = colours, .initial = "red", .help = "an index of a choice"},
    {"wide", 0, FIELD(wide), "N", RANGE(0, 1e12), .help = "more than an int holds"},
    {"seed", 0, FIELD(seed), "N", RANGE(0, 1e12), .help = "without a sign"},
    {"rate", 0, FIELD(rate), "X", RANGE(0, 1), .initial = "0.5", .help = "a float"},
    {"exact", 0, FIELD(exact), "X", RANGE(0, 1), .help = "a double"},
    {"text", 0, FIELD(text), "TEXT", .help = "a text"},
    {"choice", 0, FIELD(choice), "NAME", .choices = colours, .help = "the choice itself"},
    {"words", 0, FIELD(words), "LIST", .choices = colours, .initial = "green,red", .help = "choices"},
    {"counts", 0, FIELD(counts), "LIST", RANGE(0, 99), .help = "whole numbers"},
    {"numbers", 0, FIELD(numbers), "LIST", RANGE(0, 1), .help = "numbers"},
    {0}};
static const option_table table = {.doc = "A program.", .rows = rows};

static void read_words(settings *s, int argc, ...) {
    char *argv[24] = {"program"};
    va_list args;
    va_start(args, argc);
    for (int i = 1; i <= argc; i++)
        argv[i] = va_arg(args, char *);
    va_end(args);
    read_options(s, &table, argc + 1, argv);
}

static void test_defaults(void **state) {
    (void)state;
    settings s = {.untouched = 7, .kind = GREEN};
    read_words(&s, 2, "one", "two");
    assert_string_equal(s.first, "one");
    assert_string_equal(s.second, "two");
    assert_int_equal(s.flag, 0);
    assert_int_equal(s.count, 3);
    assert_int_equal(s.untouched, 7);
    assert_int_equal(s.kind, RED);
    assert_true(s.rate == 0.5f);
    assert_null(s.text);
    assert_int_equal(s.words.count, 2);
    assert_string_equal(s.words.of[0], "green");
    assert_string_equal(s.words.of[1], "red");
    assert_int_equal(s.counts.count, 0);
}

static void test_given(void **state) {
    (void)state;
    settings s = {0};
    read_words(&s, 16, "-f", "one", "-c", "-5", "--kind", "green", "--wide=1000000000000",
               "--seed=999999999999", "--rate", "0.25", "--exact=0.1", "--text", "a, b", "--choice=green",
               "two", "--untouched=9");
    assert_string_equal(s.first, "one");
    assert_string_equal(s.second, "two");
    assert_int_equal(s.flag, 1);
    assert_int_equal(s.count, -5);
    assert_int_equal(s.untouched, 9);
    assert_int_equal(s.kind, GREEN);
    assert_true(s.wide == 1000000000000);
    assert_true(s.seed == 999999999999u);
    assert_true(s.rate == 0.25f && s.exact == 0.1);
    assert_string_equal(s.text, "a, b");
    assert_string_equal(s.choice, "green");
}

static void test_lists(void **state) {
    (void)state;
    settings s = {0};
    read_words(&s, 5, "one", "two", "--words=red", "--counts=5,0,99", "--numbers=0.5, 1,");
    assert_int_equal(s.words.count, 1);
    assert_string_equal(s.words.of[0], "red");
    assert_int_equal(s.counts.count, 3);
    assert_int_equal(s.counts.of[0] + s.counts.of[2], 104);
    assert_int_equal(s.numbers.count, 2);
    assert_true(s.numbers.of[0] == 0.5 && s.numbers.of[1] == 1);
}

/* As the comparisons do: what is not given the second time keeps what was put between. */
static void test_twice(void **state) {
    (void)state;
    settings s = {0};
    read_words(&s, 3, "one", "two", "--wide=5");
    s.wide = 1;
    s.untouched = 8;
    read_words(&s, 3, "one", "two", "--wide=5");
    assert_true(s.wide == 5);
    assert_int_equal(s.untouched, 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_defaults), cmocka_unit_test(test_given),
                                       cmocka_unit_test(test_lists), cmocka_unit_test(test_twice)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
