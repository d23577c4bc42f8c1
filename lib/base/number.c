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

/* The nearest level of 4 bits; the large number leaves no room behind the point. */
static float level_of(float steps) {
    float level = (steps + 12582912.0f) - 12582912.0f;
    return level > 7 ? 7 : level < -8 ? -8 : level;
}

/* The squared error of a group, whose largest number is 1 or -1, in `steps` steps from 0 to 1. */
static float error_of(const float *w, int count, float steps) {
    float sum = 0;
    for (int c = 0; c < count; c++) {
        float off = level_of(w[c] * steps) - w[c] * steps;
        sum += off * off;
    }
    return sum / (steps * steps);
}

/* The largest number of a group is -8 steps, or fewer, so that the others are nearer to theirs: by the
 * smallest squared error of some. */
static float best_step(const float *from, int count) {
    enum { TRIED = 16 };
    float w[XL_GROUP], top = 0, best = 0, least = INFINITY;
    for (int c = 0; c < count; c++)
        top = fabsf(from[c]) > fabsf(top) ? from[c] : top;
    for (int c = 0; c < count; c++)
        w[c] = from[c] / top;
    for (int k = 0; k < TRIED; k++) {
        float steps = -8.5f + 0.25f * (float)k, error = error_of(w, count, steps);
        if (error < least)
            least = error, best = top / steps;
    }
    return best;
}

/* As number i of a row of zeros. */
static void put_int4(void *row, int i, float level) {
    uint8_t *byte = (uint8_t *)row + i / 2;
    *byte = (uint8_t)(*byte | ((int)level & 15) << i % 2 * 4);
}

/* Two numbers in a byte, the first in its lower half. A group with a number that is not finite is NaN as a
 * whole, as a row of 8-bit ones is. */
static void pack_int4(void *row, float *scales, const real *from, int count) {
    memset(row, 0, (size_t)(count + 1) / 2);
    for (int first = 0; first < count; first += XL_GROUP) {
        float w[XL_GROUP];
        int some = count - first < XL_GROUP ? count - first : XL_GROUP, finite = 1;
        for (int c = 0; c < some; c++) {
            w[c] = (float)from[first + c];
            finite &= isfinite(w[c]) != 0;
        }
        float step = finite ? best_step(w, some) : NAN;
        scales[first / XL_GROUP] = step;
        for (int c = 0; c < some && fabsf(step) > 0; c++)
            put_int4(row, first + c, level_of(w[c] / step));
    }
}

static int int4_of(const void *row, int i) {
    int number = ((const uint8_t *)row)[i / 2] >> i % 2 * 4 & 15;
    return number < 8 ? number : number - 16;
}

static void unpack_int4(real *to, const void *row, const float *scales, int first, int count) {
    for (int c = 0; c < count; c++)
        to[c] = (real)int4_of(row, first + c) * scales[(first + c) / XL_GROUP];
}

const xl_number_type xl_number_types[XL_NUMBERS] = {
    [XL_REAL] = {"real", 8 * sizeof(real), XL_NO_SCALE, pack_real, unpack_real},
    [XL_BFLOAT16] = {"bf16", 16, XL_NO_SCALE, pack_bf16, unpack_bf16},
    [XL_INT8] = {"int8", 8, XL_ROW, pack_int8, unpack_int8},
    [XL_INT4] = {"int4", 4, XL_GROUP, pack_int4, unpack_int4},
};
