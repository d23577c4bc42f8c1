/* gemm.c - products with matrices of reals by xl_gemm. A product is cut into tiles whose number depends on
 * its shape alone; BLAS itself is held at one thread, so there is never a second thread pool and no result
 * depends on the thread count. */
#include "ops/cpu/cpu.h"

enum { TILE_ROWS = 256, TILE_WIDTH = 2048, ENOUGH_TILES = 8, SMALL_TILE = 1 << 22 };
enum { TILE_COLS = 512, WORTH_A_TASK = 1 << 18 };

static int tiles(int n, int size) {
    return (n + size - 1) / size;
}

/* From `from` on, how many of n are in a tile of `size`. */
static int part(int n, int from, int size) {
    return n - from < size ? n - from : size;
}

/* ---- one product ---- */

/* Number (i, k) lies at p[i*ld + k], or at p[k*ld + i] if it is transposed. */
typedef struct {
    const float *p;
    ptrdiff_t ld;
    int transposed;
} operand;

static operand of_view(xl_view v) {
    return (operand){v.p, v.ld, 0};
}

static operand transposed(operand a) {
    return (operand){a.p, a.ld, !a.transposed};
}

static const float *at(const operand *a, int row, int col) {
    return a->transposed ? a->p + col * a->ld + row : a->p + row * a->ld + col;
}

/* C[M,N] = A[M,K] B[K,N], added to C where `add` */
typedef struct {
    xl_view C;
    operand A, B;
    int K, add;
    int rows, cols; /* of a tile */
    int across;     /* tiles side by side */
} product;

/* Rows m .. and columns n .. of C. */
static void multiply_part(const product *p, int m, int n, int rows, int cols) {
    xl_gemm(p->A.transposed, p->B.transposed, rows, cols, p->K, 1, at(&p->A, m, 0), p->A.ld, at(&p->B, 0, n),
            p->B.ld, p->add ? 1 : 0, xl_row(p->C, m) + n, p->C.ld);
}

static void multiply_tile(void *context, int index, int thread) {
    const product *p = context;
    int m = index / p->across * p->rows, n = index % p->across * p->cols;
    (void)thread;
    multiply_part(p, m, n, part(p->C.rows, m, p->rows), part(p->C.cols, n, p->cols));
}

/* BLAS brings every tile's two sides into an order of its own first, so tiles are as large as leaves each
 * thread some; wide ones do better than high ones. */
static void multiply(product p) {
    int M = p.C.rows, N = p.C.cols;
    if (M < 1 || N < 1 || p.K < 1)
        return;
    p.rows = part(M, 0, TILE_ROWS);
    p.cols = part(N, 0, TILE_WIDTH);
    while (tiles(M, p.rows) * tiles(N, p.cols) < ENOUGH_TILES &&
           (double)p.rows * p.cols * p.K > 2.0 * SMALL_TILE) {
        if (p.rows > TILE_ROWS / 2 || p.cols < TILE_ROWS)
            p.rows = (p.rows + 1) / 2;
        else
            p.cols = (p.cols + 1) / 2;
    }
    p.across = tiles(N, p.cols);
    xl_parallel(tiles(M, p.rows) * p.across, multiply_tile, &p);
}

/* ---- linear ---- */

typedef struct {
    xl_view y;
    const float *b;
} bias;

static void set_rows(xl_view y, const float *b) {
    for (int n = 0; n < y.rows; n++)
        for (int o = 0; o < y.cols; o++)
            xl_row(y, n)[o] = b[o];
}

static void bias_rows(void *context, int index, int thread) {
    const bias *a = context;
    int from = index * TILE_ROWS;
    (void)thread;
    set_rows(xl_some_rows(a->y, from, part(a->y.rows, from, TILE_ROWS)), a->b);
}

void xl_gemm_linear(xl_view y, xl_view x, const float *W, const float *b) {
    operand w = {W, x.cols, 0};
    if (b)
        xl_parallel(tiles(y.rows, TILE_ROWS), bias_rows, &(bias){y, b});
    multiply((product){.C = y, .A = of_view(x), .B = transposed(w), .K = x.cols, .add = b != NULL});
}

void xl_gemm_linear_dx(xl_view dx, xl_view dy, const float *W, int add) {
    operand w = {W, dx.cols, 0};
    multiply((product){.C = dx, .A = of_view(dy), .B = w, .K = dy.cols, .add = add});
}

void xl_gemm_linear_dw(float *dW, float *db, xl_view x, xl_view dy) {
    xl_view C = xl_rows(dW, dy.cols, x.cols);
    multiply((product){.C = C, .A = transposed(of_view(dy)), .B = of_view(x), .K = x.rows, .add = 1});
    if (db)
        xl_column_sums(db, dy);
}

typedef struct {
    float *db;
    xl_view dy;
} sums;

static void add_rows(float *db, xl_view dy) {
    for (int n = 0; n < dy.rows; n++)
        for (int o = 0; o < dy.cols; o++)
            db[o] += xl_row(dy, n)[o];
}

static void sum_columns(void *context, int index, int thread) {
    const sums *a = context;
    int from = index * TILE_COLS;
    (void)thread;
    add_rows(a->db + from, xl_cols(a->dy, from, part(a->dy.cols, from, TILE_COLS)));
}

void xl_column_sums(float *db, xl_view dy) {
    xl_parallel(tiles(dy.cols, TILE_COLS), sum_columns, &(sums){db, dy});
}

/* ---- block-diagonal ---- */

typedef struct {
    xl_view y, x; /* outputs' side and inputs' side */
    const float *W, *b;
    float *dW, *db;
    xl_heads s;
    int add;
    xl_task *task; /* of one block and some rows */
} blocks;

/* One block's share of a tile of rows, and where its matrix and its biases begin. */
typedef struct {
    xl_view y, x;
    ptrdiff_t matrix;
    int bias;
} block;

static block block_of(const blocks *a, int index, int tile_rows) {
    xl_heads s = a->s;
    int j = index % s.n, from = index / s.n * tile_rows, rows = part(a->y.rows, from, tile_rows);
    return (block){xl_cols(xl_some_rows(a->y, from, rows), j * s.ystep, s.out),
                   xl_cols(xl_some_rows(a->x, from, rows), j * s.in, s.in), (ptrdiff_t)j * s.out * s.in,
                   j * s.out};
}

static void heads_tile(void *context, int index, int thread) {
    const blocks *a = context;
    block k = block_of(a, index, TILE_ROWS);
    (void)thread;
    if (a->b)
        set_rows(k.y, a->b + k.bias);
    product p = {
        .C = k.y, .A = of_view(k.x), .B = {a->W + k.matrix, a->s.in, 1}, .K = a->s.in, .add = a->b != NULL};
    multiply_part(&p, 0, 0, p.C.rows, p.C.cols);
}

static void heads_dx_tile(void *context, int index, int thread) {
    const blocks *a = context;
    block k = block_of(a, index, TILE_ROWS);
    product p = {
        .C = k.x, .A = of_view(k.y), .B = {a->W + k.matrix, a->s.in, 0}, .K = a->s.out, .add = a->add};
    (void)thread;
    multiply_part(&p, 0, 0, p.C.rows, p.C.cols);
}

static void heads_dw_block(void *context, int j, int thread) {
    const blocks *a = context;
    block k = block_of(a, j, a->y.rows);
    xl_view C = xl_rows(a->dW + k.matrix, a->s.out, a->s.in);
    product p = {.C = C, .A = transposed(of_view(k.y)), .B = of_view(k.x), .K = a->y.rows, .add = 1};
    (void)thread;
    multiply_part(&p, 0, 0, p.C.rows, p.C.cols);
    if (a->db)
        add_rows(a->db + k.bias, k.y);
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

void xl_gemm_heads(xl_view y, xl_view x, const float *W, const float *b, xl_heads s) {
    blocks a = {.y = y, .x = x, .W = W, .b = b, .s = s, .task = heads_tile};
    by_tiles(a, part(y.rows, 0, TILE_ROWS), tiles(y.rows, TILE_ROWS));
}

void xl_gemm_heads_dx(xl_view dx, xl_view dy, const float *W, xl_heads s, int add) {
    blocks a = {.y = dy, .x = dx, .W = W, .s = s, .add = add, .task = heads_dx_tile};
    by_tiles(a, part(dy.rows, 0, TILE_ROWS), tiles(dy.rows, TILE_ROWS));
}

void xl_gemm_heads_dw(float *dW, float *db, xl_view x, xl_view dy, xl_heads s) {
    blocks a = {.y = dy, .x = x, .dW = dW, .db = db, .s = s, .task = heads_dw_block};
    by_tiles(a, x.rows, 1); /* sums are over all rows */
}
