/* blas.c - one matrix product on one thread by CBLAS. */
#include "ops/cpu/cpu.h"
#include <cblas.h>
#include <limits.h>

/* OpenBLAS only; another CBLAS does not have them and is asked to be sequential in the docs. */
extern void openblas_set_num_threads(int) __attribute__((weak));
extern int openblas_get_parallel(void) __attribute__((weak));

/* OpenBLAS built on OpenMP has no number of its own: it takes OpenMP's at every call outside a parallel
 * region, and setting it would set OpenMP's for the whole program. So there each call is held at one thread
 * by itself. */
enum { BUILT_ON_OPENMP = 2 };
static int limit_each_call;

/* BLAS counts in int. A stride can be longer: the sLSTM's gates of one token lie T*4*D numbers apart. */
static int fits(ptrdiff_t ld) {
    return ld <= INT_MAX;
}

void xl_gemm(int tA, int tB, int M, int N, int K, float alpha, const float *A, ptrdiff_t lda, const float *B,
             ptrdiff_t ldb, float beta, float *C, ptrdiff_t ldc) {
    int own = limit_each_call ? xl_openmp_limit(1) : 0;
    if (fits(lda) && fits(ldb) && fits(ldc))
        cblas_sgemm(CblasRowMajor, tA ? CblasTrans : CblasNoTrans, tB ? CblasTrans : CblasNoTrans, M, N, K,
                    alpha, A, (int)lda, B, (int)ldb, beta, C, (int)ldc);
    else
        xl_plain_gemm(tA, tB, M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
    if (own)
        xl_openmp_limit(own);
}

void xl_blas_one_thread(void) {
    int on_openmp = openblas_get_parallel && openblas_get_parallel() == BUILT_ON_OPENMP,
        own = xl_openmp_limit(1);
    limit_each_call = on_openmp && own;
    if (openblas_set_num_threads && !limit_each_call)
        openblas_set_num_threads(1);
    if (own)
        xl_openmp_limit(own);
}
