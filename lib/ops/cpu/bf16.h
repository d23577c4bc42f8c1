/* bf16.h - products of float matrices whose numbers are rounded to bfloat16 first and summed in float.
 *
 * Both operands are packed into tiles of 16 x 32 numbers (1 KiB), which is what AMX multiplies at once; of a
 * left operand 16 rows, of a right one 16 columns, whose numbers k and k+1 lie together: each is the other,
 * transposed as 16 x 16 pairs. A panel is 32 rows or columns, all of their k; panels lie one behind the
 * other.
 *
 *     left tile:  | row 0: k 0 .. 31 | row 1 | ... | row 15 |
 *     right tile: | k 0, 1 of column 0, of column 1, ... of column 15 | k 2, 3 | ... | k 30, 31 |
 *     panel:      | k 0 .. 31: tile of 0 .. 15, tile of 16 .. 31 | k 32 .. 63: tile, tile | ... |
 */
#ifndef XL_BF16_H
#define XL_BF16_H

#include "ops/cpu/cpu.h"

enum { BF16_SIDE = 16, BF16_DEPTH = 32, BF16_TILE = BF16_SIDE * BF16_DEPTH, BF16_BLOCK = 2 * BF16_SIDE };

/* C[32][32] = A B over `depth` tiles; A and B: two tiles side by side for each of them. */
typedef void xl_bf16_multiply(int depth, const uint16_t *A, const uint16_t *B, float *C);
/* One whole tile: number (i, k) of the operand is at p[i*ld + k], or at p[k*ld + i] if `transposed`. */
typedef void xl_bf16_pack(uint16_t *tile, const float *p, ptrdiff_t ld, int transposed, int right);

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
 * p[k*ld + i] if transposed. */
typedef struct {
    const float *p;
    ptrdiff_t ld;
    int transposed, right;
} xl_bf16_operand;
/* Rows of a left operand, or columns of a right one, as panels: all of their `deep` numbers. */
typedef struct {
    uint16_t *p;
    int from, end, deep;
} xl_bf16_panels;
/* From the operand's number k on; filled up with zeros. */
void xl_bf16_pack_panels(const xl_bf16_kernel *kernel, xl_bf16_panels to, xl_bf16_operand o, int k);

/* C[M,N] = op(A) op(B) + (add ? C : bias), bias NULL: zero. tA, tB: 1 = transposed, as in BLAS. */
typedef struct {
    int tA, tB, M, N, K, add;
    const float *A, *B, *bias;
    float *C;
    ptrdiff_t lda, ldb, ldc;
} xl_bf16_product;
uint64_t xl_bf16_room(void); /* floats of each thread's room that it uses */
void xl_bf16_run(const xl_bf16_kernel *kernel, const xl_bf16_product *p);
/* Those rows and columns of C. Not the first part of a sum: it is added. */
void xl_bf16_multiply_panels(const xl_bf16_kernel *kernel, const xl_bf16_product *p, xl_bf16_panels left,
                             xl_bf16_panels right, int first);

/* ---- a head with its loss ---- */

/* xent_linear where there are many classes: each of XL_XENT_TASKS tasks has some of them and takes these in
 * so many pieces, of which what belongs to one stays in the cache. `rows` rows go through all of that before
 * the next; 0: there are few classes, and logits of some rows are made whole. */
enum { XL_XENT_TASKS = 32, XL_XENT_PANEL = 32, XL_XENT_ROWS = 256 /* of a sum of products */ };
typedef struct {
    int rows, width, pieces;
    int piece; /* classes of one, at most; as rows and width, a multiple of XL_XENT_PANEL */
} xl_xent_cut;
xl_xent_cut xl_xent_cut_of(int rows, int classes, int width);

#endif
