/* names.c - sorted once and then found by halving: no name costs more than another, whoever chose them. */
#include "base/names.h"
#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

int xl_names_open(xl_names *n, int count) {
    *n = (xl_names){.sorted = xl_alloc((uint64_t)count * sizeof *n->sorted), .count = count};
    return n->sorted != NULL;
}

static int by_name(const void *a, const void *b) {
    const xl_name *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : (x->number > y->number) - (x->number < y->number);
}

void xl_names_sort(xl_names *n) {
    if (n->count)
        qsort(n->sorted, (size_t)n->count, sizeof *n->sorted, by_name);
}

int xl_names_find(const xl_names *n, const char *name) {
    int low = 0, high = n->count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (strcmp(n->sorted[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n->count && !strcmp(n->sorted[low].name, name) ? n->sorted[low].number : -1;
}

void xl_names_free(xl_names *n) {
    xl_free(n->sorted);
    *n = (xl_names){0};
}
