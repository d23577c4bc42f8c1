/* Tables that xlstm-forecast reads: cells, columns, series, and labels that go on. */
#include "csv.h"
#include "dataset.h"
#include "labels.h"
#include "programs/compare.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* ---- cells ---- */

static char *copy_of(const char *text, size_t size) {
    char *copy = malloc(size + 1);
    assert_non_null(copy);
    memcpy(copy, text, size);
    copy[size] = 0;
    return copy;
}

/* Every record as "a|b;". */
static void reads_as(const char *text, char separator, csv_header header, const char *expected) {
    csv c;
    char seen[512] = "", *copy = copy_of(text, strlen(text));
    int more = csv_open(&c, copy, strlen(text), separator, 0, header);
    for (int i = 0; more && !c.waits && i < c.columns; i++)
        strcat(strcat(seen, c.name[i]), i + 1 < c.columns ? "," : ":");
    while (more && (more = csv_next(&c)) == 1)
        for (int i = 0; i < c.columns; i++)
            strcat(strcat(seen, c.cell[i]), i + 1 < c.columns ? "|" : ";");
    if (more < 0)
        strcat(seen, "!");
    assert_string_equal(seen, expected);
    csv_close(&c);
    free(copy);
}

static void test_cells(void **state) {
    (void)state;
    reads_as("a,b\n1,2\n", ',', CSV_HEADER_AUTO, "a,b:1|2;");
    reads_as("\xef\xbb\xbf"
             "a,b\r\n 1 ,\t2\r\n\r\n3,",
             ',', CSV_HEADER_AUTO, "a,b:1|2;3|;");
    reads_as("a,b\r1,2\r", ',', CSV_HEADER_AUTO, "a,b:1|2;");
    reads_as("1,2\n3,4", ',', CSV_HEADER_AUTO, "1|2;3|4;");
    reads_as("1,2\n3,4", ',', CSV_HEADER_YES, "1,2:3|4;");
    reads_as("x,y\n3,4", ',', CSV_HEADER_NO, "x|y;3|4;");
    reads_as("a;b\n\"x;\"\"y\"\"\n\"; \"2\" \n", ';', CSV_HEADER_AUTO, "a,b:x;\"y\"\n|2;");
    reads_as("a,b\n1,2,3\n", ',', CSV_HEADER_AUTO, "a,b:!");
    reads_as("a,b\n1\n", ',', CSV_HEADER_AUTO, "a,b:!");
    reads_as("a,b\n\"1\"x,2\n", ',', CSV_HEADER_AUTO, "a,b:!");
    reads_as("a,b\n\"1,2\n", ',', CSV_HEADER_AUTO, "a,b:!");
    reads_as("", ',', CSV_HEADER_AUTO, "");
    reads_as("\n\n", ',', CSV_HEADER_AUTO, "");
}

static void is_refused(const char *text, size_t size, const char *why) {
    csv c;
    char *copy = copy_of(text, size);
    int more = csv_open(&c, copy, size, ',', 0, CSV_HEADER_AUTO);
    while (more && (more = csv_next(&c)) == 1)
        ;
    if (!strstr(c.why, why))
        fail_msg("said \"%s\" and not \"%s\"", c.why, why);
    csv_close(&c);
    free(copy);
}

static void test_hostile(void **state) {
    (void)state;
    enum { MANY = 1000000, LONG = 20000000 };
    is_refused("a,b\n1,\0002\n", 9, "zero byte");
    is_refused("a,b,a\n", 6, "two columns are called \"a\", 1 and 3");
    is_refused("a,b\n1,2\n3\n", 10, "line 3 has 1 cells");
    is_refused("", 0, "nothing in it");
    char *wide = malloc(LONG);
    assert_non_null(wide);
    memset(wide, ',', MANY);
    is_refused(wide, MANY, "more than 65536 cells");
    memset(wide, '7', LONG);
    is_refused(wide, LONG, "longer than");
    wide[0] = '"';
    is_refused(wide, LONG, "does not end");
    free(wide);
}

static void number_is(const char *cell, int decimal_comma, double expected) {
    double x;
    assert_true(csv_is_number(cell, decimal_comma, &x));
    assert_true(isnan(expected) ? isnan(x) : is_near(x, expected, 0));
}

static void test_numbers(void **state) {
    (void)state;
    static const char *const none[] = {"x", "1x", "0x10", "1,5", "inf", "--1", "1 2", "1e", "."};
    static const char *const missing[] = {"", "NA", "nan", "NULL", "-", "n/a"};
    double x;
    number_is("-1.5e2", 0, -150);
    number_is("1,5", 1, 1.5);
    number_is(".5", 0, 0.5);
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++)
        number_is(missing[i], 0, NAN);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_false(csv_is_number(none[i], 0, &x));
    assert_false(csv_is_number("1.5", 1, &x)); /* a thousand and a half? */
    assert_false(csv_is_number("1,500,000", 1, &x));
}

/* ---- series ---- */

typedef struct {
    csv c;
    dataset d;
    char *text;
} table;

static int read_table(table *t, const char *text, const dataset_columns *w) {
    t->text = copy_of(text, strlen(text));
    assert_true(csv_open(&t->c, t->text, strlen(text), ',', 0, CSV_HEADER_AUTO));
    return dataset_read(&t->d, &t->c, w);
}

static void close_table(table *t) {
    dataset_close(&t->d);
    csv_close(&t->c);
    free(t->text);
}

static option_words words(const char **of, int count) {
    return (option_words){count, of};
}

static void test_columns(void **state) {
    (void)state;
    const char *target[] = {"y"}, *future[] = {"p", "q"};
    table t;
    dataset_columns w = {.target = words(target, 1), .future = words(future, 2)};
    double x[5];
    assert_true(read_table(&t, "day,p,y,q\nmon,1,,4\ntue,2,7,5\nwed,3,,6\n", &w));
    assert_int_equal(t.d.columns, 3);
    assert_string_equal(t.d.name[0], "y");
    assert_string_equal(t.d.name[2], "q");
    assert_int_equal(t.d.count, 1);
    assert_int_equal(t.d.series[0].rows, 3);
    assert_int_equal(t.d.series[0].length, 2); /* the last row carries the future */
    assert_string_equal(t.d.series[0].label[2], "wed");
    dataset_column(&t.d, t.d.series, 2, 1, 5, x);
    assert_true(x[0] == 5 && x[1] == 6 && isnan(x[2]));
    close_table(&t);
    w.target.count = 0; /* what is left: no labels, as the first other column is of numbers */
    assert_true(read_table(&t, "y,p,q,z\n1,2,3,4\n", &w));
    assert_int_equal(t.d.targets, 2);
    assert_int_equal(t.d.time, -1);
    assert_string_equal(t.d.name[1], "z");
    assert_string_equal(t.d.name[2], "p");
    close_table(&t);
}

static void says(const char *text, const dataset_columns *w, const char *why) {
    table t;
    assert_false(read_table(&t, text, w));
    if (!strstr(t.d.why, why))
        fail_msg("said \"%s\" and not \"%s\"", t.d.why, why);
    close_table(&t);
}

static void test_refused(void **state) {
    (void)state;
    const char *target[] = {"y", "y"}, *other[] = {"y"};
    dataset_columns none = {.target = words(target, 0)}, y = {.target = words(target, 1)};
    dataset_columns twice = {.target = words(target, 2)},
                    both = {.target = words(target, 1), .past = words(other, 1)};
    dataset_columns timed = {.target = words(target, 1), .time = "y"};
    says("a,b\n1,2\n", &y, "there is no column \"y\"");
    says("y;b\n1;2\n", &y, "give --separator ';'");
    says("y,b\n1,2\n", &twice, "given twice");
    says("y,b\n1,2\n", &both, "given twice");
    says("y,b\n1,2\n", &timed, "given twice");
    says("y,b\n", &y, "no rows");
    says("t\nmon\n", &none, "no column is left");
    says("y,b\n1,2\nfoo,3\n", &y, "line 3, column y: \"foo\" is no number");
    says("y,b\n1e400,2\n", &y, "line 2, column y: 1e400 is too large");
    says("y,b\n\"1,5\",2\n", &y, "decimal points");
    says("y,b\n1,2\n3\n", &y, "line 3 has 1 cells");
}

static void test_long(void **state) {
    (void)state;
    const char *target[] = {"y"};
    enum { SERIES = 100, ROWS = 150 };
    char *text = malloc(SERIES * ROWS * 16 + 16), *at = text;
    dataset_columns w = {.target = words(target, 1), .series = "id"};
    table t;
    at += sprintf(at, "id,y\n");
    for (int r = 0; r < ROWS; r++)
        for (int s = 0; s < SERIES; s++)
            at += sprintf(at, "s%d,%d\n", s, 1000 * s + r);
    assert_true(read_table(&t, text, &w));
    assert_int_equal(t.d.count, SERIES);
    for (int s = 0; s < SERIES; s++) {
        double x[ROWS];
        assert_int_equal(t.d.series[s].rows, ROWS);
        dataset_column(&t.d, &t.d.series[s], 0, 0, ROWS, x);
        for (int r = 0; r < ROWS; r++)
            assert_true(x[r] == 1000 * s + r);
    }
    close_table(&t);
    free(text);
}

/* ---- labels ---- */

static void goes_on(const char *a, const char *b, const char *c, int ahead, const char *expected) {
    const char *list[] = {a, b, c};
    char text[LABEL_ROOM];
    labels l = labels_of(list, 3);
    labels_next(&l, ahead, text);
    assert_string_equal(text, expected);
}

static void test_labels(void **state) {
    (void)state;
    goes_on("1", "2", "3", 2, "5");
    goes_on("0.5", "1", "1.5", 1, "2.0");
    goes_on("1990", "1991", "1992", 8, "2000");
    goes_on("2024-02-27", "2024-02-28", "2024-02-29", 1, "2024-03-01");
    goes_on("2023-12-17", "2023-12-24", "2023-12-31", 1, "2024-01-07");
    goes_on("2024-01", "2024-02", "2024-03", 10, "2025-01");
    goes_on("2023-06", "2023-09", "2023-12", 1, "2024-03");
    goes_on("2024-01-15", "2024-02-15", "2024-03-15", 1, "2024-04-15");
    goes_on("2023-11-30", "2023-12-31", "2024-01-31", 1, "2024-02-29"); /* ends of months */
    goes_on("2024-01-30", "2024-02-29", "2024-03-30", 1, "2024-04-30");
    goes_on("2020-02-29", "2021-02-28", "2022-02-28", 2, "2024-02-29");
    goes_on("2024-03-01 22:00", "2024-03-01 23:00", "2024-03-02 00:00", 1, "2024-03-02 01:00");
    goes_on("2024-03-01T22:15:30Z", "2024-03-01T22:30:30Z", "2024-03-01T22:45:30Z", 5,
            "2024-03-02T00:00:30Z");
    goes_on("2024-12-31T00:00:00+01:00", "2025-01-01T00:00:00+01:00", "2025-01-02T00:00:00+01:00", 1,
            "2025-01-03T00:00:00+01:00");
    goes_on("1969-12-30", "1969-12-31", "1970-01-01", 1, "1970-01-02");
    /* what is not regular, or no time at all */
    goes_on("2024-01-05", "2024-01-08", "2024-01-09", 3, "+3");
    goes_on("mon", "tue", "wed", 1, "+1");
    goes_on("1", "2", "x", 1, "+1");
    goes_on("1", "2024-01-01", "2024-02-01", 1, "+1");
    goes_on("x", "2024-01-01", "2024-02-01", 1, "+1");
    goes_on("1", "1", "1", 1, "+1");
    goes_on("2024-13-01", "2024-13-02", "2024-13-03", 1, "+1");
    goes_on("2024-02-30", "2024-02-31", "2024-02-32", 1, "+1");
    goes_on("2024-01-01T00:00", "2024-01-02", "2024-01-03", 1, "+1");
    goes_on("9999-12-29", "9999-12-30", "9999-12-31", 1, "+1");
    goes_on("", "", "", 1, "+1");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cells),   cmocka_unit_test(test_hostile),
                                       cmocka_unit_test(test_numbers), cmocka_unit_test(test_columns),
                                       cmocka_unit_test(test_refused), cmocka_unit_test(test_long),
                                       cmocka_unit_test(test_labels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
