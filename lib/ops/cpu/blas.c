/* One matrix product on one thread by CBLAS. */
#include "ops/cpu/cpu.h"
#include <cblas.h>
#include <limits.h>

/* OpenBLAS only; another CBLAS does not have it and is asked to be sequential in the docs. */
extern void openblas_set_num_threads(int) __attribute__((weak));

/* BLAS counts in int. A stride can be longer: the sLSTM's gates of one token lie T*4*D numbers apart. */
static int fits(size_t ld) {
    return ld <= INT_MAX;
}

void xl_gemm(int tA, int tB, int M, int N, int K, float alpha, const float *A, size_t lda, const float *B,
             size_t ldb, float beta, float *C, size_t ldc) {
    if (fits(lda) && fits(ldb) && fits(ldc))
        cblas_sgemm(CblasRowMajor, tA ? CblasTrans : CblasNoTrans, tB ? CblasTrans : CblasNoTrans, M, N, K,
                    alpha, A, (int)lda, B, (int)ldb, beta, C, (int)ldc);
    else
        xl_plain_gemm(tA, tB, M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
}

void xl_blas_one_thread(void) {
    if (openblas_set_num_threads)
        openblas_set_num_threads(1);
}
