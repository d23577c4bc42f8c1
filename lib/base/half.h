/* half.h - the two 16-bit float formats, as bits. Rounding is to nearest, ties to even. */
#ifndef XL_HALF_H
#define XL_HALF_H

#include <stdint.h>
#include <string.h>

static inline float xl_float_of_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint32_t xl_bits_of_float(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* bfloat16 is the upper half of a float. */
static inline float xl_from_bf16(uint16_t h) {
    return xl_float_of_bits((uint32_t)h << 16);
}

static inline uint16_t xl_to_bf16(float f) {
    uint32_t u = xl_bits_of_float(f);
    if ((u & 0x7fffffffu) > 0x7f800000u) /* rounding could turn a NaN into infinity */
        return (uint16_t)((u >> 16) | 0x40u);
    return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

static inline float xl_from_f16(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = (h >> 10) & 31u, fraction = h & 0x3ffu;
    if (exponent == 31)
        return xl_float_of_bits(sign | 0x7f800000u | fraction << 13);
    if (exponent == 0) { /* zero and subnormals: fraction * 2^-24 */
        float f = fraction * 0x1p-24f;
        return sign ? -f : f;
    }
    return xl_float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

static inline uint16_t xl_to_f16(float f) {
    uint32_t u = xl_bits_of_float(f), sign = (u >> 16) & 0x8000u, a = u & 0x7fffffffu;
    if (a > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u);
    if (a >= 0x477ff000u) /* 65520 and beyond round to infinity */
        return (uint16_t)(sign | 0x7c00u);
    if (a < 0x38800000u) { /* below 2^-14: adding 0.5 lets the float unit round at 2^-24 */
        uint32_t rounded = xl_bits_of_float(xl_float_of_bits(a) + 0.5f);
        return (uint16_t)(sign | (rounded - 0x3f000000u));
    }
    a += 0xfffu + ((a >> 13) & 1u);
    return (uint16_t)(sign | ((a - 0x38000000u) >> 13));
}

#endif
