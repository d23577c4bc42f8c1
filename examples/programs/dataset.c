/* dataset.c - series are found by a hash of their ids, so that a long table of many costs no more than one of
 * few. */
#include "dataset.h"
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 40, ROWS = 64 };

__attribute__((format(printf, 2, 3))) static int fail(dataset *d, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(d->why, sizeof d->why, format, args);
    va_end(args);
    return 0;
}

/* ---- columns ---- */

static int is_taken(const dataset *d, int column) {
    for (int i = 0; i < d->columns; i++)
        if (d->at[i] == column)
            return 1;
    return column == d->time || column == d->whose;
}

static int find(dataset *d, const char *name, int *column) {
    *column = csv_find(d->c, name);
    if (*column < 0)
        return fail(d, "there is no column \"%.*s\"; the first of %d is \"%.*s\"%s", SHOWN, name,
                    d->c->columns, SHOWN, d->c->name[0],
                    d->c->columns == 1 && strchr(d->c->name[0], ';') ? ": give --separator ';'" : "");
    return 1;
}

static int take(dataset *d, const option_words *names, int *count) {
    for (int i = 0; i < names->count; i++) {
        int column;
        if (!find(d, names->of[i], &column))
            return 0;
        if (is_taken(d, column))
            return fail(d,
                        "column \"%.*s\" is given twice; it is one of target, past, future, time and series",
                        SHOWN, names->of[i]);
        d->at[d->columns++] = column;
        ++*count;
    }
    return 1;
}

/* What was named stands behind the targets, so these come first, also where they are what is left. */
static int take_rest(dataset *d) {
    int named = d->columns, left = 0;
    int *moved = malloc((size_t)d->c->columns * sizeof *moved);
    if (!moved)
        return fail(d, "no memory for %d columns", d->c->columns);
    for (int i = 0; i < d->c->columns; i++)
        if (!is_taken(d, i))
            moved[left++] = i;
    if (left)
        memcpy(moved + left, d->at, (size_t)named * sizeof *moved);
    memcpy(d->at, left ? moved : d->at, (size_t)(named + left) * sizeof *moved);
    free(moved);
    d->targets = left;
    d->columns = named + left;
    return left ? 1 : fail(d, "no column is left to forecast; name one with --target");
}

/* The first column that is nothing else and no number; -1: there is none. */
static int find_time(const dataset *d) {
    double x;
    for (int i = 0; i < d->c->columns; i++)
        if (!is_taken(d, i))
            return csv_is_number(d->c->cell[i], d->c->decimal_comma, &x) ? -1 : i;
    return -1;
}

/* The record in hand is the first of data. */
static int choose(dataset *d, const dataset_columns *w) {
    d->at = calloc((size_t)d->c->columns, sizeof *d->at);
    d->name = malloc((size_t)d->c->columns * sizeof *d->name);
    if (!d->at || !d->name)
        return fail(d, "no memory for %d columns", d->c->columns);
    if ((w->series && !find(d, w->series, &d->whose)) || (w->time && !find(d, w->time, &d->time)))
        return 0;
    if (!take(d, &w->target, &d->targets) || !take(d, &w->past, &d->past) || !take(d, &w->future, &d->future))
        return 0;
    d->time = d->time < 0 ? find_time(d) : d->time;
    if (!d->targets && !take_rest(d))
        return 0;
    for (int i = 0; i < d->columns; i++)
        d->name[i] = d->c->name[d->at[i]];
    return 1;
}

/* ---- series ---- */

static uint64_t hash_of(const char *id) {
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (; *id; id++)
        h = (h ^ (unsigned char)*id) * 1099511628211u;
    return h ^ h >> 29;
}

/* Where the series of this id is, or would be, among the slots; there is always a free one. */
static int *slot_of(const dataset *d, const char *id) {
    for (uint64_t h = hash_of(id);; h++) {
        int *slot = &d->slot[h & (unsigned)(d->slots - 1)];
        if (*slot < 0 || !strcmp(d->series[*slot].id, id))
            return slot;
    }
}

static int more_slots(dataset *d) {
    int *grown = malloc((size_t)d->slots * 2 * sizeof *grown);
    if (!grown)
        return fail(d, "no memory for %d series", d->count);
    free(d->slot);
    d->slot = grown;
    d->slots *= 2;
    for (int i = 0; i < d->slots; i++)
        d->slot[i] = -1;
    for (int i = 0; i < d->count; i++)
        *slot_of(d, d->series[i].id) = i;
    return 1;
}

static dataset_series *series_of(dataset *d, const char *id) {
    if (2 * d->count >= d->slots && !more_slots(d))
        return NULL;
    int *slot = slot_of(d, id);
    if (*slot < 0 && d->count == d->room) {
        int room = d->room ? 2 * d->room : 1;
        dataset_series *grown = realloc(d->series, (size_t)room * sizeof *grown);
        if (!grown) {
            fail(d, "no memory for %d series", room);
            return NULL;
        }
        d->series = grown;
        d->room = room;
    }
    if (*slot < 0) {
        *slot = d->count++;
        d->series[*slot] = (dataset_series){.id = id};
    }
    return &d->series[*slot];
}

static int more_rows(dataset *d, dataset_series *s) {
    if (s->rows < s->room)
        return 1;
    if (s->room > 1 << 28)
        return fail(d, "there are more than %d rows", s->room);
    int room = s->room ? 2 * s->room : ROWS;
    double *values = realloc(s->values, (size_t)room * (size_t)d->columns * sizeof *values);
    if (values)
        s->values = values;
    const char **label = d->time < 0 ? NULL : realloc(s->label, (size_t)room * sizeof *label);
    if (label)
        s->label = label;
    if (!values || (d->time >= 0 && !label))
        return fail(d, "no memory for %d rows of %d columns", room, d->columns);
    s->room = room;
    return 1;
}

static int take_row(dataset *d) {
    dataset_series *s = series_of(d, d->whose < 0 ? "" : d->c->cell[d->whose]);
    if (!s || !more_rows(d, s) || !s->values)
        return 0;
    double *to = s->values + (size_t)s->rows * (size_t)d->columns;
    for (int i = 0; i < d->columns; i++) {
        if (!csv_number(d->c, d->at[i], &to[i]))
            return fail(d, "%.*s", CSV_WHY - 1, d->c->why);
        if (i < d->targets && !isnan(to[i]))
            s->length = s->rows + 1;
    }
    if (s->label)
        s->label[s->rows] = d->c->cell[d->time];
    s->rows++;
    return 1;
}

int dataset_read(dataset *d, csv *c, const dataset_columns *which) {
    *d = (dataset){.c = c, .time = -1, .whose = -1, .slots = 8};
    int more = csv_next(c);
    if (more == 0)
        return fail(d, "there are no rows in it");
    if (more < 0)
        return fail(d, "%.*s", CSV_WHY - 1, c->why);
    if (!choose(d, which) || !more_slots(d))
        return 0;
    while (more > 0) {
        if (!take_row(d))
            return 0;
        more = csv_next(c);
    }
    return more < 0 ? fail(d, "%.*s", CSV_WHY - 1, c->why) : 1;
}

void dataset_close(dataset *d) {
    for (int i = 0; i < d->count; i++) {
        free(d->series[i].values);
        free(d->series[i].label);
    }
    free(d->series);
    free(d->slot);
    free(d->at);
    free(d->name);
    *d = (dataset){0};
}

void dataset_column(const dataset *d, const dataset_series *s, int v, int from, int count, double *to) {
    for (int t = 0; t < count; t++)
        to[t] = from + t < s->rows ? s->values[(size_t)(from + t) * (size_t)d->columns + v] : NAN;
}
