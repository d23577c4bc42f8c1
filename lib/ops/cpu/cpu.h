/* cpu.h - the float backend. Files named isa_*.c are compiled once per instruction set (XL_ISA), each with
 * one install function; what is compiled once is below them and knows no table. A table is whole: a kernel
 * that calls ops keeps the table it was installed in, and never asks which one is in use. */
#ifndef XL_CPU_H
#define XL_CPU_H

#include "base/parallel.h"
#include "ops/ops.h"

/* ---- instruction sets ---- */

/* The files isa_*.c whose kernels are in both tables of a set. */
#define XL_ISA_FILES(X, isa)                                                                                 \
    X(norm, isa)                                                                                             \
    X(gates, isa)                                                                                            \
    X(conv, isa)                                                                                             \
    X(loss, isa)                                                                                             \
    X(move, isa)                                                                                             \
    X(update, isa)                                                                                           \
    X(gemm, isa)                                                                                             \
    X(packed, isa)                                                                                           \
    X(linear, isa)                                                                                           \
    X(heads, isa)                                                                                            \
    X(mlstm, isa)                                                                                            \
    X(rnn, isa)                                                                                              \
    X(attention, isa)                                                                                        \
    X(group, isa)

#define XL_DECLARE_INSTALL(file, isa) void xl_install_##file##_##isa(xl_ops *table);
/* bf16: makes of a copy of `floats` the table with products in bfloat16 */
/* multiply: C = alpha op(A) op(B) + beta C on one thread; tA, tB: 1 = transposed. multiply_rows: C = start +
 * A B' on one thread, where a row's bits are its own; row n of start is at start + n*ldstart; NULL: zero. The
 * others: ops on matrices of reals by these. */
#define XL_DECLARE_ISA(isa)                                                                                  \
    XL_ISA_FILES(XL_DECLARE_INSTALL, isa)                                                                    \
    void xl_install_bf16_##isa(xl_ops *table, const xl_ops *floats);                                         \
    void xl_multiply_##isa(xl_view C, xl_view A, int tA, xl_view B, int tB, float alpha, float beta);        \
    void xl_multiply_rows_##isa(xl_view C, xl_view A, xl_view B, const float *start, ptrdiff_t ldstart);     \
    void xl_linear_real_##isa(xl_view y, xl_view x, const float *W, const float *b);                         \
    void xl_linear_packed_##isa(xl_view y, xl_view x, xl_matrix W, const float *b);                          \
    void xl_heads_real_##isa(xl_view y, xl_view x, const float *W, const float *b, xl_heads s);              \
    void xl_heads_real_dx_##isa(xl_view dx, xl_view dy, const float *W, xl_heads s, int add);                \
    void xl_heads_real_dw_##isa(float *dW, float *db, xl_view x, xl_view dy, xl_heads s);                    \
    void xl_column_sums_##isa(float *db, xl_view dy); /* db += the sums of dy's columns */
XL_DECLARE_ISA(base)
XL_DECLARE_ISA(avx2)
XL_DECLARE_ISA(avx512)

#define XL_PASTE2(a, b) a##_##b
#define XL_PASTE(a, b) XL_PASTE2(a, b)
#define XL_ISA_NAME(name) XL_PASTE(name, XL_ISA)

/* The instruction sets, best first, and the kernels of each: NULL where the machine does not have it. Every
 * machine has the last. */
enum { XL_ISAS = 3 };
extern const char *const xl_isa_names[XL_ISAS];
const xl_ops *xl_cpu_isa(int index);
/* The same set's table with products in bfloat16; NULL: with_floats is no table of this backend. */
const xl_ops *xl_cpu_bf16(const xl_ops *with_floats);

/* ---- BLAS, where the build has products by it ---- */

/* C[M,N] = alpha op(A) op(B) + beta C on one thread; tA, tB: 1 = transposed. 0: a stride is too long for it,
 * and nothing was done. */
int xl_blas_multiply(int tA, int tB, int M, int N, int K, float alpha, const float *A, ptrdiff_t lda,
                     const float *B, ptrdiff_t ldb, float beta, float *C, ptrdiff_t ldc);
void xl_blas_prepare(void);         /* before the first product */
const char *xl_products_name(void); /* whose products of floats there are, after that */
void xl_blas_warn(
    void); /* tells the log, once, where OpenBLAS has taken kernels that are old for this machine */
/* What the products of this thread's call have set for the whole program goes back. */
void xl_blas_call_over(void);

static inline int least(int a, int b) {
    return a < b ? a : b;
}
/* In how many parts of `size` n is cut; how much of n the part that begins at `from` has. */
static inline int parts(int n, int size) {
    return (n + size - 1) / size;
}
static inline int part(int n, int from, int size) {
    return least(size, n - from);
}

/* With so few rows, reading the matrix is all the time there is. */
enum { XL_FEW_ROWS = 8 };

/* The op xent_linear by other ops of a table: logits of some rows are made whole, then those of the next. */
void xl_xent_linear_by_rows(const xl_ops *op, float *each, xl_view dx, float *dW, xl_view x, const float *W,
                            int classes, const int32_t *targets, const float *scale, float *scratch);
uint64_t xl_xent_linear_by_rows_scratch(int rows, int classes, int width);

#endif
