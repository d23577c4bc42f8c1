/* names.h - numbers 0 to count - 1 by their names, each in log n comparisons. */
#ifndef XL_NAMES_H
#define XL_NAMES_H

typedef struct {
    const char *name; /* borrowed */
    int number;
} xl_name;

typedef struct {
    xl_name *sorted;
    int count;
} xl_names;

/* Room for `count` names, which the caller puts into sorted[0] and on, in any order; then they are sorted.
 * Begins as {0}. 0: no memory. */
int xl_names_open(xl_names *n, int count);
void xl_names_sort(xl_names *n);
/* The lowest number of this name, or -1. */
int xl_names_find(const xl_names *n, const char *name);
void xl_names_free(xl_names *n);

#endif
