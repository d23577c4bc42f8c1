/* bf16_avx512.c - products in bfloat16 by AVX512-BF16; its packing serves AMX too. */
#include "ops/cpu/bf16.h"
#include <immintrin.h>

typedef __m512i rows16[BF16_SIDE];

/* 16 x 16 pairs: pairs of neighbours change places at distance 1, 2, 4 and 8. */
static inline void transpose(rows16 r) {
    rows16 s;
    for (int i = 0; i < 16; i += 2) {
        s[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        s[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; j++) {
            r[i + 2 * j] = _mm512_unpacklo_epi64(s[i + j], s[i + 2 + j]);
            r[i + 2 * j + 1] = _mm512_unpackhi_epi64(s[i + j], s[i + 2 + j]);
        }
    for (int i = 0; i < 4; i++) /* 128-bit lanes of rows i, i+4, i+8, i+12 */
        for (int half = 0; half < 2; half++) {
            s[i + 8 * half] = _mm512_shuffle_i32x4(r[i + 8 * half], r[i + 4 + 8 * half], 0x88);
            s[i + 4 + 8 * half] = _mm512_shuffle_i32x4(r[i + 8 * half], r[i + 4 + 8 * half], 0xdd);
        }
    for (int i = 0; i < 4; i++) {
        r[i] = _mm512_shuffle_i32x4(s[i], s[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_i32x4(s[i], s[i + 8], 0xdd);
        r[i + 4] = _mm512_shuffle_i32x4(s[i + 4], s[i + 12], 0x88);
        r[i + 12] = _mm512_shuffle_i32x4(s[i + 4], s[i + 12], 0xdd);
    }
}

/* Sixteen pairs from two runs of sixteen floats: both halves of one run, or two runs interleaved. */
static inline __m512i of_run(const float *p) {
    return (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(p + 16), _mm512_loadu_ps(p));
}

static inline __m512i of_two(const float *p, const float *q, __m512i order) {
    return _mm512_permutexvar_epi16(order,
                                    (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(q), _mm512_loadu_ps(p)));
}

/* The order that interleaves two runs. */
static const _Alignas(64) uint16_t zip[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                              8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};

static void pack(uint16_t *tile, const float *p, ptrdiff_t ld, int transposed, int right) {
    rows16 r;
    __m512i order = _mm512_load_si512(zip);
    for (int i = 0; i < BF16_SIDE; i++)
        r[i] = transposed ? of_two(p + 2 * i * ld, p + (2 * i + 1) * ld, order) : of_run(p + i * ld);
    if (transposed != right)
        transpose(r);
    for (int i = 0; i < BF16_SIDE; i++)
        _mm512_store_si512(tile + i * BF16_DEPTH, r[i]);
}

/* Eight rows at a time: sixteen sums stay in registers. */
static void multiply(int depth, const uint16_t *A, const uint16_t *B, float *C) {
    enum { ROWS = 8 };
    for (int i = 0; i < BF16_BLOCK; i += ROWS, C += ROWS * BF16_BLOCK) {
        const uint16_t *a = A + i / BF16_SIDE * BF16_TILE + i % BF16_SIDE * BF16_DEPTH, *b = B;
        __m512 sum[ROWS][2];
        for (int r = 0; r < ROWS; r++)
            sum[r][0] = sum[r][1] = _mm512_setzero_ps();
        for (int d = 0; d < depth; d++, a += 2 * BF16_TILE, b += 2 * BF16_TILE)
            for (int k = 0; k < BF16_DEPTH; k += 2) {
                __m512bh b0 = (__m512bh)_mm512_load_si512(b + k * BF16_SIDE),
                         b1 = (__m512bh)_mm512_load_si512(b + BF16_TILE + k * BF16_SIDE);
#pragma GCC unroll 8
                for (int r = 0; r < ROWS; r++) {
                    int pair;
                    __builtin_memcpy(&pair, a + r * BF16_DEPTH + k, sizeof pair);
                    __m512bh row = (__m512bh)_mm512_set1_epi32(pair);
                    sum[r][0] = _mm512_dpbf16_ps(sum[r][0], row, b0);
                    sum[r][1] = _mm512_dpbf16_ps(sum[r][1], row, b1);
                }
            }
        for (int r = 0; r < ROWS; r++) {
            _mm512_store_ps(C + r * BF16_BLOCK, sum[r][0]);
            _mm512_store_ps(C + r * BF16_BLOCK + BF16_SIDE, sum[r][1]);
        }
    }
}

int xl_bf16_avx512_there(void) {
    return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl");
}

const xl_bf16_kernel xl_bf16_avx512 = {"avx512-bf16", multiply, pack, NULL, NULL};
