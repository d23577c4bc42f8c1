/* The float backend with its large matrix products in bfloat16: packing, tiles, and the plain kernel. A task
 * is a block of the result that depends on shapes only, and its sums have one order, so results do not depend
 * on the thread count. */
#include "ops/cpu/bf16.h"
#include "base/half.h"
#include <string.h>

enum { ROWS = 256, DEPTH = 256, WIDE = 128, COLS = 2048, ENOUGH_TASKS = 16, SMALLEST = BF16_DEPTH };

/* ---- plain kernel */

static void plain_multiply(int depth, const uint16_t *A, const uint16_t *B, float *C) {
    memset(C, 0, BF16_BLOCK * BF16_BLOCK * sizeof *C);
    for (int d = 0; d < depth; d++)
        for (int i = 0; i < BF16_BLOCK; i++)
            for (int k = 0; k < BF16_DEPTH; k++) {
                size_t tile = 2 * (size_t)d * BF16_TILE;
                float a = xl_from_bf16(A[tile + (size_t)(i * BF16_DEPTH + k)]);
                for (int n = 0; n < BF16_BLOCK; n++)
                    C[i * BF16_BLOCK + n] +=
                        a * xl_from_bf16(B[tile + (size_t)(n / BF16_SIDE * BF16_TILE + k / 2 * BF16_DEPTH +
                                                           n % BF16_SIDE * 2 + k % 2)]);
            }
}

/* A tile of which only `rows` and `depth` exist; the rest is zero. */
static void pack_edge(uint16_t *tile, const float *p, size_t ld, int turned, int right, int rows, int depth) {
    for (int i = 0; i < BF16_SIDE; i++)
        for (int k = 0; k < BF16_DEPTH; k++) {
            size_t at = turned ? (size_t)k * ld + (size_t)i : (size_t)i * ld + (size_t)k;
            int to = right ? k / 2 * BF16_DEPTH + i * 2 + k % 2 : i * BF16_DEPTH + k;
            tile[to] = i < rows && k < depth ? xl_to_bf16(p[at]) : 0;
        }
}

static void plain_pack(uint16_t *tile, const float *p, size_t ld, int turned, int right) {
    pack_edge(tile, p, ld, turned, right, BF16_SIDE, BF16_DEPTH);
}

const xl_bf16_kernel xl_bf16_plain = {"plain", plain_multiply, plain_pack, NULL, NULL};

/* ---- blocks */

static void pack_pair(const xl_bf16_kernel *kernel, uint16_t *to, xl_bf16_operand o, int from, int end, int k,
                      int deep) {
    for (int i = from; i < from + BF16_BLOCK; i += BF16_SIDE, to += BF16_TILE) {
        const float *p = o.turned ? o.p + (size_t)k * o.ld + i : o.p + (size_t)i * o.ld + k;
        if (i >= end)
            memset(to, 0, BF16_TILE * sizeof *to);
        else if (end - i < BF16_SIDE || deep < BF16_DEPTH)
            pack_edge(to, p, o.ld, o.turned, o.right, end - i, deep);
        else
            kernel->pack(to, p, o.ld, o.turned, o.right);
    }
}

/* The order is that of the numbers in memory: where they come from afar, one cannot wait for each line. */
void xl_bf16_pack_panels(const xl_bf16_kernel *kernel, uint16_t *to, xl_bf16_operand o, int from, int end,
                         int k, int deep) {
    int panels = xl_bf16_parts(end - from, BF16_BLOCK), tiles = xl_bf16_parts(deep, BF16_DEPTH);
    for (int i = 0; i < panels * tiles; i++) {
        int panel = o.turned ? i % panels : i / tiles, d = (o.turned ? i / panels : i % tiles) * BF16_DEPTH;
        pack_pair(kernel, to + ((size_t)panel * (size_t)tiles * BF16_DEPTH + (size_t)d) * BF16_BLOCK, o,
                  from + panel * BF16_BLOCK, end, k + d, deep - d);
    }
}

static void put(const xl_bf16_product *p, const float *tile, int m, int n, int first) {
    int rows = p->M - m < BF16_BLOCK ? p->M - m : BF16_BLOCK,
        cols = p->N - n < BF16_BLOCK ? p->N - n : BF16_BLOCK;
    for (int i = 0; i < rows; i++, tile += BF16_BLOCK) {
        float *c = p->C + (size_t)(m + i) * p->ldc + n;
        if (!first || p->add)
            for (int j = 0; j < cols; j++)
                c[j] += tile[j];
        else if (p->bias)
            for (int j = 0; j < cols; j++)
                c[j] = p->bias[n + j] + tile[j];
        else
            memcpy(c, tile, (size_t)cols * sizeof *c);
    }
}

void xl_bf16_multiply_panels(const xl_bf16_kernel *kernel, const xl_bf16_product *p, const uint16_t *left,
                             int m0, int m1, const uint16_t *right, int n0, int n1, int tiles, int first) {
    _Alignas(64) float tile[BF16_BLOCK * BF16_BLOCK];
    size_t panel = (size_t)tiles * BF16_DEPTH * BF16_BLOCK;
    for (int n = n0; n < n1; n += BF16_BLOCK, right += panel) {
        const uint16_t *A = left;
        for (int m = m0; m < m1; m += BF16_BLOCK, A += panel) {
            kernel->multiply(tiles, A, right, tile);
            put(p, tile, m, n, first);
        }
    }
}

typedef struct {
    const xl_bf16_kernel *kernel;
    const xl_bf16_product *p;
    int rows, cols, across; /* of a task's block; blocks side by side */
} job;

/* One block of C: the left operand's part of it is packed whole, the right one's WIDE columns at a time. */
static void block(void *context, int index, int thread) {
    const job *j = context;
    const xl_bf16_product *p = j->p;
    _Alignas(64) uint16_t left[ROWS * DEPTH], right[WIDE * DEPTH];
    xl_bf16_operand A = {p->A, p->lda, p->tA, 0}, B = {p->B, p->ldb, !p->tB, 1};
    int m0 = index / j->across * j->rows, n0 = index % j->across * j->cols;
    int m1 = m0 + j->rows < p->M ? m0 + j->rows : p->M, n1 = n0 + j->cols < p->N ? n0 + j->cols : p->N;
    (void)thread;
    if (j->kernel->begin)
        j->kernel->begin();
    for (int k = 0; k < p->K; k += DEPTH) {
        int deep = p->K - k < DEPTH ? p->K - k : DEPTH;
        xl_bf16_pack_panels(j->kernel, left, A, m0, m1, k, deep);
        for (int n = n0; n < n1; n += WIDE) {
            int end = n + WIDE < n1 ? n + WIDE : n1;
            xl_bf16_pack_panels(j->kernel, right, B, n, end, k, deep);
            xl_bf16_multiply_panels(j->kernel, p, left, m0, m1, right, n, end,
                                    xl_bf16_parts(deep, BF16_DEPTH), k == 0);
        }
    }
    if (j->kernel->end)
        j->kernel->end();
}

void xl_bf16_run(const xl_bf16_kernel *kernel, const xl_bf16_product *p) {
    job j = {kernel, p, ROWS, COLS, 1};
    while (xl_bf16_parts(p->M, j.rows) * xl_bf16_parts(p->N, j.cols) < ENOUGH_TASKS &&
           (j.cols > 256 || j.rows > 64)) {
        if (j.cols > 256)
            j.cols /= 2;
        else
            j.rows /= 2;
    }
    j.across = xl_bf16_parts(p->N, j.cols);
    xl_parallel(xl_bf16_parts(p->M, j.rows) * j.across, block, &j);
}

/* ---- the table */

const xl_bf16_kernel *xl_bf16_kernel_at(int index) {
    const xl_bf16_kernel *there[4] = {NULL};
    int count = 0;
#ifdef XL_X86
    if (xl_bf16_amx_there())
        there[count++] = &xl_bf16_amx;
    if (xl_bf16_avx512_there())
        there[count++] = &xl_bf16_avx512;
#endif
    there[count] = &xl_bf16_plain;
    return index <= count ? there[index] : NULL;
}

static const xl_bf16_kernel *chosen;

static int large(int M, int N, int K) {
    return M >= SMALLEST && N >= SMALLEST && K >= SMALLEST;
}

static void linear(xl_view y, xl_view x, const float *W, const float *b) {
    if (!large(y.rows, y.cols, x.cols)) {
        xl_ops_cpu()->linear(y, x, W, b);
        return;
    }
    xl_bf16_run(chosen, &(xl_bf16_product){0, 1, y.rows, y.cols, x.cols, 0, x.p, W, b, y.p, x.ld,
                                           (size_t)x.cols, y.ld});
}

static void linear_dx(xl_view dx, xl_view dy, const float *W, int add) {
    if (!large(dx.rows, dx.cols, dy.cols)) {
        xl_ops_cpu()->linear_dx(dx, dy, W, add);
        return;
    }
    xl_bf16_run(chosen, &(xl_bf16_product){0, 0, dx.rows, dx.cols, dy.cols, add, dy.p, W, NULL, dx.p, dy.ld,
                                           (size_t)dx.cols, dx.ld});
}

static void linear_dw(float *dW, float *db, xl_view x, xl_view dy) {
    if (!large(dy.cols, x.cols, x.rows)) {
        xl_ops_cpu()->linear_dw(dW, db, x, dy);
        return;
    }
    xl_bf16_run(chosen, &(xl_bf16_product){1, 0, dy.cols, x.cols, x.rows, 1, dy.p, x.p, NULL, dW, dy.ld, x.ld,
                                           (size_t)x.cols});
    if (db)
        xl_column_sums(db, dy);
}

void xl_install_bf16(xl_ops *table) {
    chosen = xl_bf16_kernel_at(0);
    table->linear = linear;
    table->linear_dx = linear_dx;
    table->linear_dw = linear_dw;
}
