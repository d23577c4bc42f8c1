/* csv.c - one pass over the text; what a cell is, is written over it. */
#include "csv.h"
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SHOWN = 40 }; /* bytes of a cell in a sentence */

__attribute__((format(printf, 2, 3))) static int fail(csv *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(c->why, sizeof c->why, format, args);
    va_end(args);
    return 0;
}

/* ---- records ---- */

static int is_end_of_line(char at) {
    return at == '\n' || at == '\r';
}

/* Passes over one end of a line, of one byte or two. */
static void end_line(csv *c) {
    if (c->at >= c->size)
        return;
    c->at += c->text[c->at] == '\r' && c->text[c->at + 1] == '\n' ? 2 : 1;
    c->next_line++;
}

static char *trim(char *from, char *end) {
    while (from < end && (*from == ' ' || *from == '\t'))
        from++;
    while (end > from && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *end = 0;
    return from;
}

/* "..." with "" for a quote; c->at is behind the first quote, and then behind the last. */
static char *quoted(csv *c) {
    char *from = c->text + c->at, *to = from;
    for (; c->at < c->size; c->at++) {
        if (c->text[c->at] == '"' && c->text[++c->at] != '"') {
            *to = 0;
            return from;
        }
        c->next_line += c->text[c->at] == '\n';
        *to++ = c->text[c->at];
    }
    fail(c, "line %d: a quoted cell does not end", c->line);
    return NULL;
}

/* The next cell; c->at is then at what ended it, which is still in the text: the caller overwrites it. */
static char *plain(csv *c, char **end) {
    char *from = c->text + c->at;
    while (c->at < c->size && c->text[c->at] != c->separator && !is_end_of_line(c->text[c->at]))
        c->at++;
    *end = c->text + c->at;
    return from;
}

static int more_room(csv *c, int columns) {
    if (columns & (columns - 1))
        return 1; /* room doubles */
    char **cell = realloc(c->cell, (size_t)(columns ? 2 * columns : 1) * sizeof *cell);
    if (!cell)
        return fail(c, "no memory for %d cells", columns);
    c->cell = cell;
    return 1;
}

/* What ended the cell: the separator (1), or the line or the text (0); anything else is a failure (-1). */
static int after_cell(csv *c, char ended) {
    if (c->at >= c->size || is_end_of_line(ended)) {
        end_line(c);
        return 0;
    }
    if (ended != c->separator) {
        fail(c, "line %d: something follows a quoted cell", c->line);
        return -1;
    }
    c->at++;
    return 1;
}

/* One cell into its place. As after_cell(). */
static int read_cell(csv *c, int column) {
    char *end, ended;
    while (c->text[c->at] == ' ')
        c->at++;
    if (c->text[c->at] != '"') {
        char *from = plain(c, &end);
        ended = *end;
        int more = after_cell(c, ended);
        c->cell[column] = trim(from, end);
        return more;
    }
    c->at++;
    if (!(c->cell[column] = quoted(c)))
        return -1;
    while (c->text[c->at] == ' ')
        c->at++;
    return after_cell(c, c->text[c->at]);
}

/* How many cells the record has; 0: the text is at its end; -1: see `why`. */
static int read_record(csv *c) {
    while (c->at < c->size && is_end_of_line(c->text[c->at]))
        end_line(c);
    if (c->at >= c->size)
        return 0;
    size_t begin = c->at;
    int columns = 0, more = 1;
    c->line = c->next_line;
    while (more == 1) {
        if (columns == CSV_COLUMNS)
            return fail(c, "line %d has more than %d cells; choose the columns that are needed first",
                        c->line, CSV_COLUMNS) -
                   1;
        if (!more_room(c, columns) || (more = read_cell(c, columns++)) < 0)
            return -1;
        if (c->at - begin > CSV_LINE)
            return fail(c, "line %d is longer than %d bytes; is the file a table?", c->line, CSV_LINE) - 1;
    }
    return columns;
}

int csv_next(csv *c) {
    if (c->waits) {
        c->waits = 0;
        return 1;
    }
    int columns = read_record(c);
    if (columns > 0 && columns != c->columns)
        return fail(c, "line %d has %d cells and the first line has %d; all need as many%s", c->line, columns,
                    c->columns, c->columns == 1 && strchr(c->name[0], ';') ? ": give --separator ';'" : "") -
               1;
    return columns > 0 ? 1 : columns;
}

/* ---- numbers ---- */

static int is_missing(const char *cell) {
    static const char *const words[] = {"", "NA", "N/A", "NaN", "null", "None", "-", "?"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcasecmp(cell, words[i]))
            return 1;
    return 0;
}

int csv_is_number(const char *cell, int decimal_comma, double *x) {
    char copy[64], *end;
    size_t length = strlen(cell);
    *x = NAN;
    if (is_missing(cell))
        return 1;
    if (length >= sizeof copy || strspn(cell, decimal_comma ? "+-0123456789,eE" : "+-0123456789.eE") < length)
        return 0;
    memcpy(copy, cell, length + 1);
    char *comma = decimal_comma ? strchr(copy, ',') : NULL;
    if (comma)
        *comma = '.';
    *x = strtod(copy, &end);
    return !*end && end > copy;
}

int csv_number(csv *c, int column, double *x) {
    const char *cell = c->cell[column], *name = c->name[column];
    if (!csv_is_number(cell, c->decimal_comma, x))
        return fail(c, "line %d, column %.*s: \"%.*s\" is no number%s", c->line, SHOWN, name, SHOWN, cell,
                    strchr(cell, ',') && !c->decimal_comma ? "; are commas meant as decimal points?" : "");
    if (*x > (double)FLT_MAX || *x < -(double)FLT_MAX)
        return fail(c, "line %d, column %.*s: %.*s is too large; numbers go to 3.4e38", c->line, SHOWN, name,
                    SHOWN, cell);
    return 1;
}

/* ---- names ---- */

static int compare_names(const void *a, const void *b, void *context) {
    const csv *c = context;
    int i = *(const int *)a, k = *(const int *)b, order = strcmp(c->name[i], c->name[k]);
    return order ? order : i - k;
}

static int sort_names(csv *c) {
    c->found = malloc((size_t)c->columns * sizeof *c->found);
    if (!c->found)
        return fail(c, "no memory for %d columns", c->columns);
    for (int i = 0; i < c->columns; i++)
        if (*c->name[i])
            c->found[c->named++] = i;
    qsort_r(c->found, (size_t)c->named, sizeof *c->found, compare_names, c);
    for (int i = 1; i < c->named; i++)
        if (!strcmp(c->name[c->found[i - 1]], c->name[c->found[i]]))
            return fail(c, "two columns are called \"%.*s\", %d and %d; give them two names", SHOWN,
                        c->name[c->found[i]], c->found[i - 1] + 1, c->found[i] + 1);
    return 1;
}

int csv_find(const csv *c, const char *name) {
    int low = 0, high = c->named;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (strcmp(c->name[c->found[middle]], name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < c->named && !strcmp(c->name[c->found[low]], name) ? c->found[low] : -1;
}

static int is_data(const csv *c) {
    double x;
    for (int i = 0; i < c->columns; i++)
        if (!csv_is_number(c->cell[i], c->decimal_comma, &x))
            return 0;
    return 1;
}

static int take_names(csv *c) {
    enum { DIGITS = 12 };
    c->name = malloc((size_t)c->columns * sizeof *c->name);
    c->numbers = malloc((size_t)c->columns * DIGITS);
    if (!c->name || !c->numbers)
        return fail(c, "no memory for %d columns", c->columns);
    for (int i = 0; i < c->columns; i++) {
        c->name[i] = c->waits ? c->numbers + (size_t)i * DIGITS : c->cell[i];
        if (c->waits)
            snprintf(c->name[i], DIGITS, "%d", i + 1);
    }
    return sort_names(c);
}

int csv_open(csv *c, char *text, size_t size, char separator, int decimal_comma, csv_header header) {
    *c = (csv){
        .text = text, .size = size, .separator = separator, .decimal_comma = decimal_comma, .next_line = 1};
    const char *zero = memchr(text, 0, size);
    if (zero)
        return fail(c, "there is a zero byte at %zu; is the file a text?", (size_t)(zero - text));
    if (separator == '.' || separator == '"' || separator == '\n' || separator == '\r' || separator == ' ' ||
        (separator == ',' && decimal_comma))
        return fail(c, "'%c' cannot separate cells%s", separator,
                    decimal_comma ? "; give --separator ';'" : "");
    c->at = size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0; /* a mark of UTF-8 */
    c->columns = read_record(c);
    if (c->columns < 1) {
        int empty = c->columns == 0;
        c->columns = 0;
        return empty ? fail(c, "there is nothing in it") : 0;
    }
    c->waits = header == CSV_HEADER_NO || (header == CSV_HEADER_AUTO && is_data(c));
    return take_names(c);
}

void csv_close(csv *c) {
    free(c->cell);
    free(c->name);
    free(c->numbers);
    free(c->found);
    *c = (csv){0};
}
