/* dataset.h - the series of a table: columns that are chosen by name, rows in the order of the file, of
 * several series in one file where a column says whose a row is. */
#ifndef DATASET_H
#define DATASET_H

#include "csv.h"
#include "options.h"

/* Names of columns, as the command line has them. */
typedef struct {
    option_words target, past, future;
    const char *time, *series; /* or NULL */
} dataset_columns;

typedef struct {
    const char *id; /* "" where the file is one series */
    int rows, room;
    double *values;     /* [room, columns]: targets, past and future covariates */
    const char **label; /* [room] of the time column, or NULL */
    int length;         /* T: rows up to the last one that has a target */
} dataset_series;

typedef struct {
    csv *c;                             /* whose text holds the names and labels */
    int targets, past, future, columns; /* how many, and their sum */
    int *at;                            /* [columns], where in the table */
    const char **name;                  /* [columns] */
    int time, whose;                    /* columns of labels and of series, or -1 */
    dataset_series *series;
    int count, room;
    int *slot, slots;  /* series by the hash of their ids */
    char why[CSV_WHY]; /* the sentence, after a failure */
} dataset;

/* All of an open table, which has to be kept. Without targets these are all columns that are nothing else;
 * without a time column it is the first one, if that is none of the others and its first cell is no number.
 * 0: see `why`. Close it also then. */
int dataset_read(dataset *d, csv *c, const dataset_columns *which);
void dataset_close(dataset *d);
/* Column v of a series, rows `from` and on, into [count]; NaN behind its end. */
void dataset_column(const dataset *d, const dataset_series *s, int v, int from, int count, double *to);

#endif
