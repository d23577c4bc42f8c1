/* real.h - the number type. The library is built twice from one source: with float, which users link,
 * and with double, in which gradients are checked to 1e-6. <tgmath.h> picks the right exp, sqrt, ... */
#ifndef XL_REAL_H
#define XL_REAL_H

#include "xlstm/common.h"
#include <float.h>
#include <stddef.h>
#include <stdint.h>
#include <tgmath.h>
#undef I /* <tgmath.h> brings <complex.h>; here I is an input or inner width */

/* lib/cmake/inherited.cmake takes such flags back; here it shows where another build system has them, or an
 * option that comes behind ours. */
#if defined(__FAST_MATH__) || __FINITE_MATH_ONLY__ > 0 || defined(__ASSOCIATIVE_MATH__) ||                   \
    defined(__RECIPROCAL_MATH__) || defined(__NO_SIGNED_ZEROS__)
#error                                                                                                       \
    "libxlstm needs IEEE numbers: leave out -ffast-math, -Ofast, -funsafe-math-optimizations and their parts"
#endif

typedef xlstm_real real;

#ifdef XLSTM_DOUBLE
#define XL_REAL_MAX DBL_MAX
#define XL_REAL_EPSILON DBL_EPSILON
#else
#define XL_REAL_MAX FLT_MAX
#define XL_REAL_EPSILON FLT_EPSILON
#endif

#endif
