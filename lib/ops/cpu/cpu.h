/* cpu.h - the float backend. Files named isa_*.c are compiled once per instruction set (XL_ISA), each leaving
 * one install function; cpu.c starts from the reference table and overwrites it with the best the machine
 * has. */
#ifndef XL_CPU_H
#define XL_CPU_H

#include "base/parallel.h"
#include "ops/ref/ref.h"

/* C[M,N] = alpha op(A) op(B) + beta C on one thread; tA, tB: 1 = transposed. xl_gemm is BLAS where the build
 * has it. */
void xl_gemm(int tA, int tB, int M, int N, int K, float alpha, const float *A, size_t lda, const float *B,
             size_t ldb, float beta, float *C, size_t ldc);
void xl_plain_gemm(int tA, int tB, int M, int N, int K, float alpha, const float *A, size_t lda,
                   const float *B, size_t ldb, float beta, float *C, size_t ldc);
void xl_blas_one_thread(void);
void xl_install_gemm(xl_ops *table);
/* The block-diagonal ops for blocks that are large enough for BLAS. */
void xl_gemm_heads(xl_view y, xl_view x, const float *W, const float *b, xl_heads s);
void xl_gemm_heads_dx(xl_view dx, xl_view dy, const float *W, xl_heads s, int add);
void xl_gemm_heads_dw(float *dW, float *db, xl_view x, xl_view dy, xl_heads s);
void xl_install_bf16(
    xl_ops *table); /* products by the best kernels for bfloat16, whatever the instruction set */
/* The same instruction set's table with bfloat16 products; the reference has none and is what comes back for
 * it. */
const xl_ops *xl_cpu_bf16(const xl_ops *with_floats);
/* db += the sums of dy's columns */
void xl_column_sums(float *db, xl_view dy);

#define XL_PASTE2(a, b) a##_##b
#define XL_PASTE(a, b) XL_PASTE2(a, b)
#define XL_ISA_NAME(name) XL_PASTE(name, XL_ISA)

#define XL_DECLARE_ISA(isa)                                                                                  \
    void xl_install_pointwise_##isa(xl_ops *);                                                               \
    void xl_install_heads_##isa(xl_ops *);                                                                   \
    void xl_install_mlstm_##isa(xl_ops *);                                                                   \
    void xl_install_rnn_##isa(xl_ops *);                                                                     \
    void xl_install_attention_##isa(xl_ops *);                                                               \
    void xl_install_packed_##isa(xl_ops *);                                                                  \
    void xl_install_xent_##isa(xl_ops *); /* of a table with products in bfloat16 */
XL_DECLARE_ISA(base)
XL_DECLARE_ISA(avx2)
XL_DECLARE_ISA(avx512)

/* The instruction sets, best first, and the kernels of each: NULL where the machine does not have it. Every
 * machine has the last. */
enum { XL_ISAS = 3 };
extern const char *const xl_isa_names[XL_ISAS];
const xl_ops *xl_cpu_isa(int index);

#endif
