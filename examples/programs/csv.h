/* csv.h - tables of text that nobody vouches for, record by record. Cells may be quoted, also over lines;
 * ends of lines may be of any system; empty lines are passed over. Nothing ends the program here: what is
 * wrong is a sentence. */
#ifndef CSV_H
#define CSV_H

#include <stddef.h>

enum { CSV_COLUMNS = 65536, CSV_LINE = 1 << 24, CSV_WHY = 320 };

typedef enum { CSV_HEADER_AUTO, CSV_HEADER_YES, CSV_HEADER_NO } csv_header;

typedef struct {
    char *text; /* the whole file, of which the cells are parts; it is changed */
    size_t size, at;
    char separator;
    int decimal_comma;
    int columns;
    char **cell;   /* [columns] of the record read last, trimmed */
    char **name;   /* [columns] from the header, or numbers from 1 */
    char *numbers; /* those */
    int *found;    /* [columns] in the order of their names, of columns that have one */
    int named;
    int line; /* of the record read last, from 1 */
    int next_line;
    int waits;         /* the record that csv_open() read is not yet taken */
    char why[CSV_WHY]; /* the sentence, after a failure */
} csv;

/* Reads the first record. header: whether that holds names; automatically, unless all its cells are numbers.
 * The text needs a zero byte behind its `size`, and is the caller's. 0: see `why`. */
int csv_open(csv *c, char *text, size_t size, char separator, int decimal_comma, csv_header header);
/* The next record: 1, 0 at the end, -1: see `why`. */
int csv_next(csv *c);
/* The column of this name, or -1. */
int csv_find(const csv *c, const char *name);
/* The number in a cell of the record, NaN for what stands for a missing one: 1, or 0: see `why`. */
int csv_number(csv *c, int column, double *x);
void csv_close(csv *c);

/* Whether a text is a number, or stands for a missing one. NaN for that. */
int csv_is_number(const char *cell, int decimal_comma, double *x);

#endif
