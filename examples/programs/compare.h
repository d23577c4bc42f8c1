/* compare.h - whether numbers are the ones that they should be. Tests, lessons and programs compare numbers
 * that are not whole by this alone (tests/lint/comparisons.sh), since it is easily written so that it cannot
 * fail: `error > tolerance` is false for NaN, fmax() leaves NaN out, and one infinite number makes a measure
 * that allows everything. Here what is not finite is infinitely far from all but the same infinity, and is
 * never an error, a measure or an allowance that passes. C and C++; needs <math.h> alone. */
#ifndef COMPARE_H
#define COMPARE_H

#include <math.h>
#include <stddef.h>
#include <string.h>

/* |is - should|; 0 for the same infinity twice, INFINITY where else one of them is infinite or NaN. */
static inline double apart(double is, double should) {
    double error = fabs(is - should);
    return is == should ? 0 : isfinite(error) ? error : INFINITY;
}

/* Whether an error is allowed. An allowance that is not finite allows nothing. */
static inline int within(double error, double allowed) {
    return isfinite(error) && isfinite(allowed) && error <= allowed;
}

static inline int is_near(double is, double should, double allowed) {
    return within(apart(is, should), allowed);
}

/* What was seen of pairs of numbers. Begins as zeros. */
typedef struct {
    size_t count; /* how many pairs */
    double error; /* the largest that apart() said, in the unit of its pair */
    double size;  /* the largest finite |should| */
    size_t at;    /* where `error` is: the pair's number, and the two */
    double is, should;
} comparison;

/* Adds a pair whose error is measured in `unit`; one that is not finite and positive makes it infinite. */
static inline void see_in(comparison *c, double is, double should, double unit) {
    double off = apart(is, should), size = fabs(should);
    double error = off == 0 ? 0 : isfinite(off) && isfinite(unit) && unit > 0 ? off / unit : INFINITY;
    if (!c->count || error > c->error) {
        c->error = error;
        c->at = c->count;
        c->is = is;
        c->should = should;
    }
    if (isfinite(size) && size > c->size)
        c->size = size;
    c->count++;
}

static inline void see(comparison *c, double is, double should) {
    see_in(c, is, should, 1);
}

/* Whether all that was seen is within `allowed`. Nothing seen agrees with nothing. */
static inline int agrees(const comparison *c, double allowed) {
    return c->count > 0 && within(c->error, allowed);
}

/* For messages: printf("%s: " APART, name, APART_OF(c)) */
#define APART "number %zu is %.9g and should be %.9g, off by %g where the largest is %g"
#define APART_OF(c) (c).at, (c).is, (c).should, (c).error, (c).size

static inline comparison compare_floats(const float *is, const float *should, size_t count) {
    comparison c = {0, 0, 0, 0, 0, 0};
    for (size_t i = 0; i < count; i++)
        see(&c, (double)is[i], (double)should[i]);
    return c;
}

static inline comparison compare_doubles(const double *is, const double *should, size_t count) {
    comparison c = {0, 0, 0, 0, 0, 0};
    for (size_t i = 0; i < count; i++)
        see(&c, is[i], should[i]);
    return c;
}

/* Whether the bits are the same and none is NaN: where NaN may be equal to NaN, a test says memcmp(). */
static inline int same_floats(const float *is, const float *should, size_t count) {
    comparison c = compare_floats(is, should, count);
    return agrees(&c, 0) && !memcmp(is, should, count * sizeof *is);
}

static inline int same_doubles(const double *is, const double *should, size_t count) {
    comparison c = compare_doubles(is, should, count);
    return agrees(&c, 0) && !memcmp(is, should, count * sizeof *is);
}

/* The same of arrays of either type. */
#define compare_numbers(is, should, count)                                                                   \
    _Generic(*(is), float : compare_floats, double : compare_doubles)(is, should, count)
#define same_numbers(is, should, count)                                                                      \
    _Generic(*(is), float : same_floats, double : same_doubles)(is, should, count)

#endif
