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
/* db += the sums of dy's columns */
void xl_column_sums(float *db, xl_view dy);

#define XL_PASTE2(a, b) a##_##b
#define XL_PASTE(a, b) XL_PASTE2(a, b)
#define XL_ISA_NAME(name) XL_PASTE(name, XL_ISA)

#define XL_DECLARE_ISA(isa)                                                                                  \
    void xl_install_pointwise_##isa(xl_ops *);                                                               \
    void xl_install_mlstm_##isa(xl_ops *);                                                                   \
    void xl_install_rnn_##isa(xl_ops *);                                                                     \
    void xl_install_attention_##isa(xl_ops *);                                                               \
    void xl_install_packed_##isa(xl_ops *);
XL_DECLARE_ISA(base)
XL_DECLARE_ISA(avx2)
XL_DECLARE_ISA(avx512)

/* The instruction sets, best first; every machine has the last. xl_cpu_table() fills a table with the kernels
 * of one and returns 1, or 0 where the machine does not have it. */
enum { XL_ISAS = 3 };
extern const char *const xl_isa_names[XL_ISAS];
int xl_cpu_table(xl_ops *table, const char *isa);

/* Some rows of a view. */
static inline xl_view xl_some(xl_view v, int from, int count) {
    return (xl_view){v.p ? v.p + (size_t)from * v.ld : NULL, count, v.cols, v.ld};
}

#endif
