/* The products of the ops table. A product is cut into tiles whose number depends on its shape alone; BLAS
 * itself is held at one thread, so there is never a second thread pool and no result depends on the thread
 * count. */
#include "ops/cpu/cpu.h"

enum { TILE_ROWS = 256, TILE_WIDTH = 2048, ENOUGH_TILES = 8, SMALL_TILE = 1 << 22 };
enum { TILE_COLS = 512, FEW_ROWS = 4, WORTH_A_TASK = 1 << 18 };

typedef struct {
    int tA, tB, M, N, K;
    const float *A, *B;
    size_t lda, ldb, ldc;
    float beta, *C;
    int rows, cols; /* of a tile */
    int columns;    /* tiles across */
} product;

static int tiles(int n, int size) {
    return (n + size - 1) / size;
}

static void product_tile(void *context, int index, int thread) {
    const product *p = context;
    (void)thread;
    int m = index / p->columns * p->rows, n = index % p->columns * p->cols;
    int rows = p->M - m < p->rows ? p->M - m : p->rows, cols = p->N - n < p->cols ? p->N - n : p->cols;
    const float *A = p->A + (p->tA ? (size_t)m : (size_t)m * p->lda);
    const float *B = p->B + (p->tB ? (size_t)n * p->ldb : (size_t)n);
    xl_gemm(p->tA, p->tB, rows, cols, p->K, 1, A, p->lda, B, p->ldb, p->beta, p->C + (size_t)m * p->ldc + n,
            p->ldc);
}

/* BLAS brings every tile's two sides into an order of its own first, so tiles are as large as leaves each
 * thread some; wide ones do better than high ones. */
static void multiply(product p) {
    if (p.M < 1 || p.N < 1 || p.K < 1)
        return;
    p.rows = p.M < TILE_ROWS ? p.M : TILE_ROWS;
    p.cols = p.N < TILE_WIDTH ? p.N : TILE_WIDTH;
    while (tiles(p.M, p.rows) * tiles(p.N, p.cols) < ENOUGH_TILES &&
           (double)p.rows * p.cols * p.K > 2.0 * SMALL_TILE) {
        if (p.rows > TILE_ROWS / 2 || p.cols < TILE_ROWS)
            p.rows = (p.rows + 1) / 2;
        else
            p.cols = (p.cols + 1) / 2;
    }
    p.columns = tiles(p.N, p.cols);
    xl_parallel(tiles(p.M, p.rows) * p.columns, product_tile, &p);
}

typedef struct {
    xl_view v;
    const float *b;
    float *db;
} bias;

static void bias_rows(void *context, int index, int thread) {
    const bias *a = context;
    (void)thread;
    for (int n = index * TILE_ROWS; n < a->v.rows && n < (index + 1) * TILE_ROWS; n++) {
        float *y = a->v.p + (size_t)n * a->v.ld;
        for (int o = 0; o < a->v.cols; o++)
            y[o] = a->b[o];
    }
}

static void linear(xl_view y, xl_view x, const float *W, const float *b) {
    bias fill = {y, b, NULL};
    if (y.rows <= FEW_ROWS) { /* BLAS reads the matrix at half the speed of memory */
        xl_ops_cpu()->linear_packed(y, x, xl_real_matrix(W, y.cols, x.cols), b);
        return;
    }
    if (b)
        xl_parallel(tiles(y.rows, TILE_ROWS), bias_rows, &fill);
    multiply((product){0, 1, y.rows, y.cols, x.cols, x.p, W, x.ld, (size_t)x.cols, y.ld, b ? 1.0f : 0.0f, y.p,
                       0, 0, 0});
}

static void linear_dx(xl_view dx, xl_view dy, const float *W, int add) {
    multiply((product){0, 0, dx.rows, dx.cols, dy.cols, dy.p, W, dy.ld, (size_t)dx.cols, dx.ld,
                       add ? 1.0f : 0.0f, dx.p, 0, 0, 0});
}

static void column_sums(void *context, int index, int thread) {
    const bias *a = context;
    (void)thread;
    int from = index * TILE_COLS, to = from + TILE_COLS < a->v.cols ? from + TILE_COLS : a->v.cols;
    for (int n = 0; n < a->v.rows; n++) {
        const float *dy = a->v.p + (size_t)n * a->v.ld;
        for (int o = from; o < to; o++)
            a->db[o] += dy[o];
    }
}

void xl_column_sums(float *db, xl_view dy) {
    bias sums = {dy, NULL, db};
    xl_parallel(tiles(dy.cols, TILE_COLS), column_sums, &sums);
}

static void linear_dw(float *dW, float *db, xl_view x, xl_view dy) {
    multiply(
        (product){1, 0, dy.cols, x.cols, x.rows, dy.p, x.p, dy.ld, x.ld, (size_t)x.cols, 1, dW, 0, 0, 0});
    if (db)
        xl_column_sums(db, dy);
}

static void xent_linear(float *each, xl_view dx, float *dW, xl_view x, const float *W, int classes,
                        const int32_t *targets, float scale, float *scratch) {
    xl_xent_linear_by_rows(xl_ops_cpu(), each, dx, dW, x, W, classes, targets, scale, scratch);
}

/* ---- block-diagonal
 * ------------------------------------------------------------------------------------------- */

typedef struct {
    xl_view y, x; /* outputs' side and inputs' side */
    const float *W, *b;
    float *dW, *db;
    xl_heads s;
    int add;
    xl_task *task; /* of one block and some rows */
} blocks;

/* One block over some rows. */
static void heads_tile(void *context, int index, int thread) {
    const blocks *a = context;
    int j = index % a->s.n, from = index / a->s.n * TILE_ROWS;
    int rows = a->y.rows - from < TILE_ROWS ? a->y.rows - from : TILE_ROWS;
    float *y = a->y.p + (size_t)from * a->y.ld + (size_t)(j * a->s.ystep);
    (void)thread;
    for (int n = 0; a->b && n < rows; n++)
        for (int o = 0; o < a->s.out; o++)
            y[(size_t)n * a->y.ld + (size_t)o] = a->b[j * a->s.out + o];
    xl_gemm(0, 1, rows, a->s.out, a->s.in, 1, a->x.p + (size_t)from * a->x.ld + (size_t)(j * a->s.in),
            a->x.ld, a->W + (size_t)j * (size_t)a->s.out * (size_t)a->s.in, (size_t)a->s.in, a->b ? 1 : 0, y,
            a->y.ld);
}

/* One block: with few rows reading it is all the time there is. */
static void heads_few(void *context, int j, int thread) {
    const blocks *a = context;
    (void)thread;
    linear(xl_cols(a->y, j * a->s.ystep, a->s.out), xl_cols(a->x, j * a->s.in, a->s.in),
           a->W + (size_t)j * (size_t)a->s.out * (size_t)a->s.in, a->b ? a->b + j * a->s.out : NULL);
}

static void heads_dx_tile(void *context, int index, int thread) {
    const blocks *a = context;
    int j = index % a->s.n, from = index / a->s.n * TILE_ROWS;
    int rows = a->y.rows - from < TILE_ROWS ? a->y.rows - from : TILE_ROWS;
    (void)thread;
    xl_gemm(0, 0, rows, a->s.in, a->s.out, 1, a->y.p + (size_t)from * a->y.ld + (size_t)(j * a->s.ystep),
            a->y.ld, a->W + (size_t)j * (size_t)a->s.out * (size_t)a->s.in, (size_t)a->s.in, a->add ? 1 : 0,
            a->x.p + (size_t)from * a->x.ld + (size_t)(j * a->s.in), a->x.ld);
}

static void heads_dw_block(void *context, int j, int thread) {
    const blocks *a = context;
    size_t size = (size_t)a->s.out * (size_t)a->s.in;
    (void)thread;
    xl_gemm(1, 0, a->s.out, a->s.in, a->y.rows, 1, a->y.p + (size_t)(j * a->s.ystep), a->y.ld,
            a->x.p + (size_t)(j * a->s.in), a->x.ld, 1, a->dW + (size_t)j * size, (size_t)a->s.in);
    for (int n = 0; a->db && n < a->y.rows; n++)
        for (int o = 0; o < a->s.out; o++)
            a->db[j * a->s.out + o] += a->y.p[(size_t)n * a->y.ld + (size_t)(j * a->s.ystep + o)];
}

static void every_block(void *context, int tile, int thread) {
    const blocks *a = context;
    for (int j = 0; j < a->s.n; j++)
        a->task(context, tile * a->s.n + j, thread);
}

/* A task for every block of every tile of so many rows, unless these are too small to be worth it. */
static void by_tiles(blocks a, int rows, int count) {
    if ((double)rows * a.s.in * a.s.out < WORTH_A_TASK)
        xl_parallel(count, every_block, &a);
    else
        xl_parallel(count * a.s.n, a.task, &a);
}

static int tile_rows(int rows) {
    return rows < TILE_ROWS ? rows : TILE_ROWS;
}

void xl_gemm_heads(xl_view y, xl_view x, const float *W, const float *b, xl_heads s) {
    blocks a = {.y = y, .x = x, .W = W, .b = b, .s = s, .task = heads_tile};
    if (y.rows <= FEW_ROWS)
        xl_parallel(s.n, heads_few, &a);
    else
        by_tiles(a, tile_rows(y.rows), tiles(y.rows, TILE_ROWS));
}

void xl_gemm_heads_dx(xl_view dx, xl_view dy, const float *W, xl_heads s, int add) {
    blocks a = {.y = dy, .x = dx, .W = W, .s = s, .add = add, .task = heads_dx_tile};
    by_tiles(a, tile_rows(dy.rows), tiles(dy.rows, TILE_ROWS));
}

void xl_gemm_heads_dw(float *dW, float *db, xl_view x, xl_view dy, xl_heads s) {
    blocks a = {.y = dy, .x = x, .dW = dW, .db = db, .s = s, .task = heads_dw_block};
    by_tiles(a, x.rows, 1); /* sums are over all rows */
}

void xl_install_gemm(xl_ops *t) {
    xl_blas_one_thread();
    t->linear = linear;
    t->linear_dx = linear_dx;
    t->linear_dw = linear_dw;
    t->xent_linear = xent_linear;
}
