/* Box and Muller's method by its cosine alone: two steps of the counter a number, and none kept for later. */
#include "base/rng.h"
#include <math.h>

double xl_rng_normal(xl_rng *r) {
    double u = 1.0 - xl_rng_uniform(r); /* never 0, so the logarithm is finite */
    double v = xl_rng_uniform(r);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}
