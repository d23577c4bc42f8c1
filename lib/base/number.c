/* number.c - rows of a matrix in each type, from reals and back. What unpack gives is what a matrix means: a
 * kernel that unpacks numbers on their way computes with the same ones. */
#include "base/number.h"
#include "base/half.h"
#include <string.h>

static void pack_real(void *row, float *scales, const real *from, int count) {
    (void)scales;
    memcpy(row, from, count * sizeof *from);
}

static void unpack_real(real *to, const void *row, const float *scales, int first, int count) {
    (void)scales;
    memcpy(to, (const real *)row + first, count * sizeof *to);
}

static void pack_bf16(void *row, float *scales, const real *from, int count) {
    uint16_t *to = row;
    (void)scales;
    for (int c = 0; c < count; c++)
        to[c] = xl_to_bf16((float)from[c]);
}

static void unpack_bf16(real *to, const void *row, const float *scales, int first, int count) {
    const uint16_t *from = (const uint16_t *)row + first;
    (void)scales;
    for (int c = 0; c < count; c++)
        to[c] = xl_from_bf16(from[c]);
}

/* More than 127 only where a step is so small that it is rounded itself. */
static int8_t int8_of(real steps) {
    return (int8_t)(steps > 127 ? 127 : steps < -127 ? -127 : rint(steps));
}

/* The largest number of a row is 127 steps. Not one number of a row is worth anything where one is not
 * finite: all become NaN, as the row's outputs are with real numbers. */
static void pack_int8(void *row, float *scales, const real *from, int count) {
    int8_t *to = row;
    real top = 0;
    int finite = 1;
    for (int c = 0; c < count; c++) {
        top = fabs(from[c]) > top ? fabs(from[c]) : top;
        finite &= isfinite(from[c]) != 0;
    }
    real step = top / 127;
    *scales = finite ? (float)step : NAN;
    for (int c = 0; c < count; c++)
        to[c] = (int8_t)(finite && step > 0 ? int8_of(from[c] / step) : 0);
}

static void unpack_int8(real *to, const void *row, const float *scales, int first, int count) {
    const int8_t *from = (const int8_t *)row + first;
    for (int c = 0; c < count; c++)
        to[c] = (real)from[c] * *scales;
}

const xl_number_type xl_number_types[XL_NUMBERS] = {
    [XL_REAL] = {"real", 8 * sizeof(real), XL_NO_SCALE, pack_real, unpack_real},
    [XL_BFLOAT16] = {"bf16", 16, XL_NO_SCALE, pack_bf16, unpack_bf16},
    [XL_INT8] = {"int8", 8, XL_ROW, pack_int8, unpack_int8},
};
