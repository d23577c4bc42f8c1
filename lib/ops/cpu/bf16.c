/* bf16.c - products in bfloat16: packing, blocks and the plain kernel. A task is a block of the result that
 * depends on shapes only, and its sums have one order, so results do not depend on the thread count. */
#include "ops/cpu/bf16.h"
#include "base/half.h"
#include <string.h>

enum { ROWS = 256, DEPTH = 256, WIDE = 128, COLS = 2048, ENOUGH_TASKS = 16 };

/* ---- plain kernel ---- */

/* Where number k of column n is, in right tiles side by side. */
static int in_right_tiles(int n, int k) {
    return n / BF16_SIDE * BF16_TILE + k / 2 * BF16_DEPTH + n % BF16_SIDE * 2 + k % 2;
}

static void plain_multiply(int depth, const uint16_t *A, const uint16_t *B, float *C) {
    memset(C, 0, BF16_BLOCK * BF16_BLOCK * sizeof *C);
    for (int d = 0; d < depth; d++, A += 2 * BF16_TILE, B += 2 * BF16_TILE)
        for (int i = 0; i < BF16_BLOCK; i++)
            for (int k = 0; k < BF16_DEPTH; k++) {
                float a = xl_from_bf16(A[i * BF16_DEPTH + k]);
                for (int n = 0; n < BF16_BLOCK; n++)
                    C[i * BF16_BLOCK + n] += a * xl_from_bf16(B[in_right_tiles(n, k)]);
            }
}

/* A tile of which only `rows` and `depth` exist; the rest is zero. */
static void pack_edge(uint16_t *tile, xl_bf16_operand o, int rows, int depth) {
    ptrdiff_t down = o.transposed ? 1 : o.ld, along = o.transposed ? o.ld : 1;
    memset(tile, 0, BF16_TILE * sizeof *tile);
    for (int i = 0; i < rows && i < BF16_SIDE; i++)
        for (int k = 0; k < depth && k < BF16_DEPTH; k++)
            tile[o.right ? in_right_tiles(i, k) : i * BF16_DEPTH + k] = xl_to_bf16(o.p[i * down + k * along]);
}

static void plain_pack(uint16_t *tile, const float *p, ptrdiff_t ld, int transposed, int right) {
    pack_edge(tile, (xl_bf16_operand){p, ld, transposed, right}, BF16_SIDE, BF16_DEPTH);
}

const xl_bf16_kernel xl_bf16_plain = {"plain", plain_multiply, plain_pack, NULL, NULL};

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

/* ---- panels ---- */

static int least(int a, int b) {
    return a < b ? a : b;
}

/* The tiles of a panel that begins at row or column `from`, at one k. */
static void pack_pair(const xl_bf16_kernel *kernel, uint16_t *to, xl_bf16_operand o, int from, int end, int k,
                      int deep) {
    const float *p = o.p;
    for (int i = from; i < from + BF16_BLOCK; i += BF16_SIDE, to += BF16_TILE) {
        o.p = o.transposed ? p + k * o.ld + i : p + i * o.ld + k;
        if (i >= end)
            memset(to, 0, BF16_TILE * sizeof *to);
        else if (end - i < BF16_SIDE || deep < BF16_DEPTH)
            pack_edge(to, o, end - i, deep);
        else
            kernel->pack(to, o.p, o.ld, o.transposed, o.right);
    }
}

/* The order is that of the numbers in memory: where they come from afar, one cannot wait for each line. */
void xl_bf16_pack_panels(const xl_bf16_kernel *kernel, xl_bf16_panels to, xl_bf16_operand o, int k) {
    int panels = xl_bf16_parts(to.end - to.from, BF16_BLOCK), tiles = xl_bf16_parts(to.deep, BF16_DEPTH);
    for (int i = 0; i < panels * tiles; i++) {
        int panel = o.transposed ? i % panels : i / tiles, d = o.transposed ? i / panels : i % tiles;
        pack_pair(kernel, to.p + ((ptrdiff_t)panel * tiles + d) * 2 * BF16_TILE, o,
                  to.from + panel * BF16_BLOCK, to.end, k + d * BF16_DEPTH, to.deep - d * BF16_DEPTH);
    }
}

/* A tile of C, from row m and column n on, as far as it is in C. */
static void put(const xl_bf16_product *p, const float *tile, int m, int n, int first) {
    int rows = least(BF16_BLOCK, p->M - m), cols = least(BF16_BLOCK, p->N - n);
    for (int i = 0; i < rows; i++, tile += BF16_BLOCK) {
        float *c = p->C + (m + i) * p->ldc + n;
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

void xl_bf16_multiply_panels(const xl_bf16_kernel *kernel, const xl_bf16_product *p, xl_bf16_panels left,
                             xl_bf16_panels right, int first) {
    _Alignas(64) float tile[BF16_BLOCK * BF16_BLOCK];
    int tiles = xl_bf16_parts(left.deep, BF16_DEPTH);
    ptrdiff_t panel = (ptrdiff_t)tiles * 2 * BF16_TILE;
    for (int n = right.from; n < right.end; n += BF16_BLOCK, right.p += panel) {
        const uint16_t *A = left.p;
        for (int m = left.from; m < left.end; m += BF16_BLOCK, A += panel) {
            kernel->multiply(tiles, A, right.p, tile);
            put(p, tile, m, n, first);
        }
    }
}

/* ---- a product ---- */

typedef struct {
    const xl_bf16_kernel *kernel;
    const xl_bf16_product *p;
    int rows, cols, across; /* of a task's block; blocks side by side */
} job;

/* One block of C: the left operand's part of it is packed whole, the right one's WIDE columns at a time. */
static void block(void *context, int index, int thread) {
    const job *j = context;
    const xl_bf16_product *p = j->p;
    uint16_t *left = xl_room(), *right = left + ROWS * DEPTH; /* [ROWS, DEPTH], [WIDE, DEPTH] */
    xl_bf16_operand A = {p->A, p->lda, p->tA, 0}, B = {p->B, p->ldb, !p->tB, 1};
    int m0 = index / j->across * j->rows, n0 = index % j->across * j->cols;
    int m1 = least(m0 + j->rows, p->M), n1 = least(n0 + j->cols, p->N);
    (void)thread;
    if (j->kernel->begin)
        j->kernel->begin();
    for (int k = 0; k < p->K; k += DEPTH) {
        int deep = least(DEPTH, p->K - k);
        xl_bf16_panels rows = {left, m0, m1, deep};
        xl_bf16_pack_panels(j->kernel, rows, A, k);
        for (int n = n0; n < n1; n += WIDE) {
            xl_bf16_panels cols = {right, n, least(n + WIDE, n1), deep};
            xl_bf16_pack_panels(j->kernel, cols, B, k);
            xl_bf16_multiply_panels(j->kernel, p, rows, cols, k == 0);
        }
    }
    if (j->kernel->end)
        j->kernel->end();
}

uint64_t xl_bf16_room(void) {
    return (ROWS + WIDE) * DEPTH * sizeof(uint16_t) / sizeof(float);
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

/* ---- a head with its loss ---- */

/* Every task leaves a gradient of x of its own, so they are few, and classes must be many against x's columns
 * for that to be less than the logits. */
xl_xent_cut xl_xent_cut_of(int rows, int classes, int width) {
    enum { PANEL = XL_XENT_PANEL, TASKS = XL_XENT_TASKS, MOST = 2048, PIECE = 1 << 17 };
    xl_xent_cut c = {.width = xl_bf16_parts(width, PANEL) * PANEL};
    if (rows < PANEL || width < PANEL || classes / TASKS < c.width)
        return c;
    int sums = (1 << 24) / (TASKS * c.width); /* rows of all these gradients together */
    int most = sums < XL_XENT_ROWS ? XL_XENT_ROWS : least(sums / XL_XENT_ROWS * XL_XENT_ROWS, MOST);
    int fewest = classes / (PANEL * TASKS), panels = fewest + 1; /* of a task, at least and at most */
    c.pieces = (int)(((double)panels * PANEL * c.width + 0.5 * PIECE) / PIECE);
    c.pieces = c.pieces < 1 ? 1 : least(c.pieces, fewest); /* none may be empty */
    c.piece = xl_bf16_parts(panels, c.pieces) * PANEL;
    c.rows = least(xl_bf16_parts(rows, PANEL) * PANEL, most);
    return c;
}
