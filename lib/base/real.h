/* real.h - the number type. The library is built twice from one source: with float, which users link,
 * and with double, in which gradients are checked to 1e-6. <tgmath.h> picks the right exp, sqrt, ... */
#ifndef XL_REAL_H
#define XL_REAL_H

#include "xlstm/common.h"
#include <stddef.h>
#include <stdint.h>
#include <tgmath.h>
#undef I /* <tgmath.h> brings <complex.h>; here I is an input or inner width */

typedef xlstm_real real;

#endif
