/* vec.h - exp, sigmoid, tanh, log, the normal distribution for loops that the compiler turns into vectors.
 * Everything is static inline: a shared helper compiled for one instruction set could be picked by the linker
 * for another. */
#ifndef XL_VEC_H
#define XL_VEC_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Vectors of 16 numbers, which the compiler cuts to the size that the instruction set has. */
enum { LANES = 16 };
typedef float floats __attribute__((vector_size(4 * LANES)));
typedef float floats_anywhere __attribute__((vector_size(4 * LANES), aligned(4)));
#define FLOATS(p) (*(const floats_anywhere *)(const void *)(p))
#define FLOATS_AT(p) (*(floats_anywhere *)(void *)(p))
/* Every second number of two vectors, from the first and from the second on. */
#define EVENS(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30)
#define ODDS(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31)

static inline float vec_bits(int32_t i) {
    float f;
    memcpy(&f, &i, sizeof f);
    return f;
}

/* exp(x) = 2^n exp(r), |r| <= ln2 / 2, by a polynomial of degree 6: about 2 ulp; 0 below -87.3, inf
 * above 88.7. */
static inline float vec_exp(float x) {
    float above = x > -87.33654f ? x : -87.33654f; /* for NaN too, which has no whole number */
    float clamped = above < 88.72283f ? above : 88.72283f;
    float n = (clamped * 1.442695041f + 12582912.0f) - 12582912.0f; /* to the nearest whole number */
    float r = clamped - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    float e = p * r * r + r + 1.0f;
    int32_t k = (int32_t)n, half = k >> 1; /* in two steps, since 2^128 is no float */
    e = e * vec_bits((half + 127) << 23) * vec_bits((k - half + 127) << 23);
    e = x < -87.33654f ? 0.0f : e;
    e = x > 88.72283f ? INFINITY : e;
    return x != x ? x : e;
}

static inline float vec_sigmoid(float x) {
    return 1.0f / (1.0f + vec_exp(-x));
}

/* Near zero the quotient would cancel; there an odd polynomial. */
static inline float vec_tanh(float x) {
    float a = fabsf(x), s = x * x;
    float p = -5.70498872745e-3f;
    p = p * s + 2.06390887954e-2f;
    p = p * s - 5.37397155531e-2f;
    p = p * s + 1.33314422036e-1f;
    p = p * s - 3.33332819422e-1f;
    float near = x + x * s * p;
    float far = copysignf(1.0f - 2.0f / (vec_exp(2.0f * a) + 1.0f), x);
    return a < 0.625f ? near : far;
}

/* exp(x) - 1 for x <= 0, by tanh(x / 2), which does not cancel near zero. */
static inline float vec_expm1(float x) {
    float t = vec_tanh(0.5f * x);
    return 2.0f * t / (1.0f - t);
}

/* The normal distribution and its density exp(-x^2 / 2) / sqrt(2 pi): 5 ulp left of zero, 3 right of it. What
 * lies beyond t = |x| is exp(-t^2 / 2) times a slow function, so that nothing cancels and the digits stay
 * however far out; 2 + t times that function is a polynomial in (t - 2) / (t + 2). The exponential would make
 * the rounding of t^2 up to 87 times larger, so that is taken back. */
static inline float vec_normal(float x, float *density) {
    float t = fabsf(x) > 14.0f ? 14.0f : fabsf(x), square = t * t, high, low;
    int32_t bits;
    memcpy(&bits, &t, sizeof bits);
    high = vec_bits(bits & ~0xfff); /* its square is exact */
    low = t - high;
    float lost = (high * high - square) + 2.0f * high * low + low * low;
    float u = (t - 2.0f) / (t + 2.0f), p = 1.024324811e-04f;
    p = p * u + 6.114183925e-04f;
    p = p * u + 7.890490233e-04f;
    p = p * u - 1.828751992e-03f;
    p = p * u - 6.710133515e-03f;
    p = p * u - 4.980260273e-04f;
    p = p * u + 3.671520203e-02f;
    p = p * u + 2.879966050e-02f;
    p = p * u - 3.314043283e-01f;
    p = p * u + 6.724079847e-01f;
    float e = vec_exp(-0.5f * square);
    e -= 0.5f * e * lost;
    *density = 0.39894228f * e;
    float beyond = e * p / (t + 2.0f);
    return x < 0 ? beyond : 1.0f - beyond;
}

/* log(1 + u), 0 <= u <= 1, is 2 artanh(u / (2 + u)): a polynomial in the square, with relative accuracy also
 * near 0. */
static inline float vec_log1p(float u) {
    float s = u / (2.0f + u), w = s * s;
    float p = 1.16195254e-1f;
    p = p * w + 1.08516574e-1f;
    p = p * w + 1.42962918e-1f;
    p = p * w + 1.99998513e-1f;
    p = p * w + 3.33333343e-1f;
    return 2.0f * (s + s * w * p);
}

static inline float vec_log_sigmoid(float x) {
    return (x < 0 ? x : 0) - vec_log1p(vec_exp(-fabsf(x)));
}

static inline float vec_largest(const float *x, int n) {
    float top = x[0];
#pragma omp simd reduction(max : top)
    for (int i = 0; i < n; i++)
        top = x[i] > top ? x[i] : top;
    return top;
}

static inline float vec_dot(const float *a, const float *b, int n) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* y += a x */
static inline void vec_axpy(float *y, float a, const float *x, int n) {
    for (int i = 0; i < n; i++)
        y[i] += a * x[i];
}

#endif
