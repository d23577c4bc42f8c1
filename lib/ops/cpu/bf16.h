/* bf16.h - products of float matrices whose numbers are rounded to bfloat16 first and summed in float.
 *
 * Both operands are packed into tiles of 16 x 32 numbers (1 KiB), which is what AMX multiplies at once. A
 * tile of the left operand holds 16 of its rows, row by row; one of the right operand holds 16 of its
 * columns, and the pair k, k+1 of all of them lies together: each is the other, transposed as 16 x 16 pairs.
 */
#ifndef XL_BF16_H
#define XL_BF16_H

#include "ops/cpu/cpu.h"

enum { BF16_SIDE = 16, BF16_DEPTH = 32, BF16_TILE = BF16_SIDE * BF16_DEPTH, BF16_BLOCK = 2 * BF16_SIDE };

/* C[32][32] = A B over `depth` tiles; A and B: two tiles side by side for each of them. */
typedef void xl_bf16_multiply(int depth, const uint16_t *A, const uint16_t *B, float *C);
/* One whole tile: number (i, k) of the operand is at p[i*ld + k], or at p[k*ld + i] if `turned`. */
typedef void xl_bf16_pack(uint16_t *tile, const float *p, size_t ld, int turned, int right);

typedef struct {
    const char *name;
    xl_bf16_multiply *multiply;
    xl_bf16_pack *pack;
    void (*begin)(void), (*end)(void); /* around the products of one task on its thread; may be NULL */
} xl_bf16_kernel;

extern const xl_bf16_kernel xl_bf16_plain;
#ifdef XL_X86
extern const xl_bf16_kernel xl_bf16_avx512, xl_bf16_amx;
int xl_bf16_avx512_there(void);
int xl_bf16_amx_there(void);
#endif
/* The kernels that this machine has, best first; NULL after the last. */
const xl_bf16_kernel *xl_bf16_kernel_at(int index);

static inline int xl_bf16_parts(int n, int size) {
    return (n + size - 1) / size;
}

/* Number (i, k) of an operand, i a row of the left one or a column of the right one, is at p[i*ld + k], or at
 * p[k*ld + i] if turned. */
typedef struct {
    const float *p;
    size_t ld;
    int turned, right;
} xl_bf16_operand;
/* i from .. end, k .. k + deep, as panels of 32 one behind the other, filled up with zeros. */
void xl_bf16_pack_panels(const xl_bf16_kernel *kernel, uint16_t *to, xl_bf16_operand o, int from, int end,
                         int k, int deep);

/* C[M,N] = op(A) op(B) + (add ? C : bias), bias NULL: zero. tA, tB: 1 = transposed, as in BLAS. */
typedef struct {
    int tA, tB, M, N, K, add;
    const float *A, *B, *bias;
    float *C;
    size_t lda, ldb, ldc;
} xl_bf16_product;
void xl_bf16_run(const xl_bf16_kernel *kernel, const xl_bf16_product *p);
/* Rows m0 .. m1 and columns n0 .. n1 of C from packed panels, which begin there and are so many tiles deep.
 * Not the first part of a sum: it is added. */
void xl_bf16_multiply_panels(const xl_bf16_kernel *kernel, const xl_bf16_product *p, const uint16_t *left,
                             int m0, int m1, const uint16_t *right, int n0, int n1, int tiles, int first);

#endif
