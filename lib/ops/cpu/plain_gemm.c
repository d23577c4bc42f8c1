/* plain_gemm.c - matrix products in plain C, for builds without BLAS and for strides that are too long for
 * it. Some columns of op(B) are packed side by side, so that the inner loop runs along memory whatever is
 * transposed; a few rows of C wait in registers. Every sum runs over k in order, so it does not depend on how
 * the caller cuts M and N. */
#include "ops/cpu/cpu.h"
#include <string.h>

enum { ROWS = 2, COLS = 16, DEPTH = 256 };

/* Element (i, j) lies at p[i * down + j * along]. */
typedef struct {
    const float *p;
    ptrdiff_t down, along;
} matrix;

static matrix matrix_of(const float *p, ptrdiff_t ld, int transposed) {
    return transposed ? (matrix){p, 1, ld} : (matrix){p, ld, 1};
}

static matrix from(matrix m, int row, int col) {
    m.p += row * m.down + col * m.along;
    return m;
}

/* panel[k][n] = B(k, n), zero beyond `cols` */
static void pack(float panel[][COLS], matrix B, int depth, int cols) {
    for (int k = 0; k < depth; k++)
        for (int n = 0; n < COLS; n++)
            panel[k][n] = n < cols ? B.p[k * B.down + n * B.along] : 0;
}

/* One row of a tile. The compiler cuts it into the registers that the machine has. */
typedef float lanes __attribute__((vector_size(COLS * sizeof(float))));

/* sums[m][n] = sum over k of A(m, k) panel[k][n]; `rows` is a constant where this is inlined */
static inline void multiply_panel(float sums[][COLS], matrix A, const float panel[][COLS], int depth,
                                  int rows) {
    lanes sum[ROWS] = {{0}};
    for (int k = 0; k < depth; k++) {
        lanes b;
        memcpy(&b, panel[k], sizeof b);
        for (int m = 0; m < rows; m++)
            sum[m] += A.p[m * A.down + k * A.along] * b;
    }
    memcpy(sums, sum, (size_t)rows * sizeof *sum);
}

static void add_sums(float *C, ptrdiff_t ldc, float alpha, const float sums[][COLS], float beta, int rows,
                     int cols) {
    for (int m = 0; m < rows; m++)
        for (int n = 0; n < cols; n++) {
            float *c = &C[m * ldc + n];
            *c = (beta != 0 ? beta * *c : 0) + alpha * sums[m][n]; /* with beta 0 C may hold anything */
        }
}

/* All rows of C against one panel. */
static void panel_rows(int M, int depth, int cols, float alpha, matrix A, const float panel[][COLS],
                       float beta, float *C, ptrdiff_t ldc) {
    float sums[ROWS][COLS];
    int m = 0;
    for (; m + ROWS <= M; m += ROWS) {
        multiply_panel(sums, from(A, m, 0), panel, depth, ROWS);
        add_sums(C + m * ldc, ldc, alpha, (const float(*)[COLS])sums, beta, ROWS, cols);
    }
    for (; m < M; m++) {
        multiply_panel(sums, from(A, m, 0), panel, depth, 1);
        add_sums(C + m * ldc, ldc, alpha, (const float(*)[COLS])sums, beta, 1, cols);
    }
}

void xl_plain_gemm(int tA, int tB, int M, int N, int K, float alpha, const float *A, ptrdiff_t lda,
                   const float *B, ptrdiff_t ldb, float beta, float *C, ptrdiff_t ldc) {
    float panel[DEPTH][COLS];
    matrix a = matrix_of(A, lda, tA), b = matrix_of(B, ldb, tB);
    for (int n = 0; n < N; n += COLS)
        for (int k = 0; k < K; k += DEPTH) {
            int depth = K - k < DEPTH ? K - k : DEPTH, cols = N - n < COLS ? N - n : COLS;
            pack(panel, from(b, k, n), depth, cols);
            panel_rows(M, depth, cols, alpha, from(a, 0, k), (const float(*)[COLS])panel, k ? 1 : beta, C + n,
                       ldc);
        }
}
