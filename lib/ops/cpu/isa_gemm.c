/* isa_gemm.c - products of matrices of reals, and the ops that are such products. A number of C is summed
 * over k in order, DEPTH at a time, whatever is computed beside it: so the same bits come for any number of
 * threads. (The products y = x W' of layers, whose rows must also not depend on each other, are in
 * isa_rows.c.)
 *
 * A tile of C, ROWS x VECTORS registers, waits in registers while k runs; every step reads one row of a panel
 * and one number of each row of A. A panel is DEPTH rows of B, as many columns as a tile has, and stays in
 * the first-level cache; it is a copy, in which k runs along memory even where B is transposed, unless B lies
 * well as it is:
 *
 *     | k 0: columns n .. n + WIDE - 1 | k 1 | ... | k DEPTH - 1 | */
#include "ops/cpu/block.h"
#include "ops/cpu/cpu.h"
#include "ops/cpu/lanes.h"
#include <assert.h>
#include <string.h>

#ifdef __AVX512F__
enum { VECTORS = 4, ROWS = 6 };
#elif defined(__AVX__)
enum { VECTORS = 2, ROWS = 6 };
#elif defined(__aarch64__)
enum { VECTORS = 4, ROWS = 6 };
#else
enum { VECTORS = 2, ROWS = 4 };
#endif
enum {
    WIDE = WIDTH * VECTORS,
    DEPTH = WIDTH == 16 ? 96 : 256,
    MOST = 2 * ROWS /* rows of a tile of few columns */
};
enum {
    TILE_ROWS = 256,
    TILE_COLS = 512,
    LEAST_ROWS = 64,
    ENOUGH_TILES = 64,
    SMALL_TILE = 1 << 20,
    SUM_COLS = 64
};
enum { WORTH_A_TASK = 1 << 18 };
enum { DOTS = WIDTH == 8 ? 3 : 4 };

/* ---- a tile ---- */

/* Some rows of C and the columns of one panel. Number (m, k) of A is at A[m*down + k*along], row k of B at
 * B + k*ldb; the sums begin with start[m*ldstart + n], or with 0 where it is NULL. */
typedef struct {
    float *C;
    const float *A, *B, *start;
    ptrdiff_t ldc, down, along, ldb, ldstart;
    int rows, deep;
    float alpha;
} strip;

/* Both counts are constants where this is inlined. */
static inline __attribute__((always_inline)) void tile(const strip *s, int m, int rows, int vectors) {
    lanes sum[MOST][VECTORS] = {{{0}}};
    const float *a = s->A + m * s->down, *b = s->B;
    ptrdiff_t down = s->down, along = s->along, ldb = s->ldb;
    for (int k = s->deep; k > 0; k--, a += along, b += ldb) {
        lanes p[VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            p[v] = LANES_OF(b + v * WIDTH);
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                sum[i][v] += a[i * down] * p[v];
    }
    float *c = s->C + m * s->ldc;
    const float *start = s->start ? s->start + m * s->ldstart : NULL;
    if (s->alpha != 1)
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                sum[i][v] *= s->alpha;
    if (start)
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                sum[i][v] += LANES_OF(start + i * s->ldstart + v * WIDTH);
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            LANES_AT(c + i * s->ldc + v * WIDTH) = sum[i][v];
}

static inline __attribute__((always_inline)) void tiles_of(const strip *s, int vectors) {
    int m = 0;
    if (2 * vectors <= VECTORS) /* sums wait for each other unless there are many */
        for (; m + MOST <= s->rows; m += MOST)
            tile(s, m, MOST, vectors);
    for (; m + ROWS <= s->rows; m += ROWS)
        tile(s, m, ROWS, vectors);
    if (s->rows - m >= 4) {
        tile(s, m, 4, vectors);
        m += 4;
    }
    if (s->rows - m >= 2) {
        tile(s, m, 2, vectors);
        m += 2;
    }
    if (s->rows - m)
        tile(s, m, 1, vectors);
}

/* So many vectors of columns. */
static void whole_columns(const strip *s, int vectors) {
    switch (vectors) {
    case 1:
        tiles_of(s, 1);
        break;
    case 2:
        tiles_of(s, 2);
        break;
#if defined(__AVX512F__) || defined(__aarch64__)
    case 3:
        tiles_of(s, 3);
        break;
    default:
        tiles_of(s, 4);
#endif
    }
}

/* Fewer columns than fill vectors; the panel is filled up. C is worked on in a copy of some rows. */
static void some_columns(const strip *s, int cols) {
    float copy[ROWS][WIDE] = {{0}};
    for (int m = 0; m < s->rows; m += ROWS) {
        strip some = *s;
        some.rows = part(s->rows, m, ROWS);
        some.A += m * s->down;
        some.C = copy[0], some.ldc = WIDE;
        for (int i = 0; i < some.rows && s->start; i++)
            memcpy(copy[i], s->start + (m + i) * s->ldstart, (size_t)cols * sizeof(float));
        if (s->start)
            some.start = copy[0], some.ldstart = WIDE;
        whole_columns(&some, parts(cols, WIDTH));
        for (int i = 0; i < some.rows; i++)
            memcpy(s->C + (m + i) * s->ldc, copy[i], (size_t)cols * sizeof(float));
    }
}

/* ---- panels ---- */

/* Lanes of two vectors one after the other: a0 b0 a1 b1 ..., of their first and of their second halves. */
#if defined(__AVX512F__)
#define ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define ZIP_HIGH(a, b)                                                                                       \
    __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif defined(__AVX__)
#define ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#else
#define ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#endif

/* A square of WIDTH x WIDTH numbers, its rows ld apart, as its columns: every round brings row i and the one
 * half the square below it together. */
static inline void load_columns(lanes *column, const float *p, ptrdiff_t ld) {
    lanes other[WIDTH];
#pragma GCC unroll 16
    for (int i = 0; i < WIDTH; i++)
        column[i] = LANES_OF(p + i * ld);
#pragma GCC unroll 4
    for (int round = 1; round < WIDTH; round *= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < WIDTH / 2; i++) {
            other[2 * i] = ZIP_LOW(column[i], column[i + WIDTH / 2]);
            other[2 * i + 1] = ZIP_HIGH(column[i], column[i + WIDTH / 2]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < WIDTH; i++)
            column[i] = other[i];
    }
}

/* Number (row, col) is at p[row*ld + col], or at p[col*ld + row] if `transposed`. */
typedef struct {
    const float *p;
    ptrdiff_t ld;
    int transposed;
} operand;

static const float *at(const operand *o, int row, int col) {
    return o->transposed ? o->p + col * o->ld + row : o->p + row * o->ld + col;
}

/* Columns that fill vectors, or rows of B where it is transposed. */
static void pack_whole(float *panel, const operand *B, int deep) {
    int k = 0;
    if (!B->transposed) {
        for (; k < deep; k++)
            LANES_AT(panel + k * WIDE) = LANES_OF(B->p + k * B->ld);
        return;
    }
    for (; k + WIDTH <= deep; k += WIDTH) {
        lanes column[WIDTH];
        load_columns(column, B->p + k, B->ld);
#pragma GCC unroll 16
        for (int i = 0; i < WIDTH; i++)
            LANES_AT(panel + (k + i) * WIDE) = column[i];
    }
    for (; k < deep; k++)
        for (int i = 0; i < WIDTH; i++)
            panel[k * WIDE + i] = B->p[i * B->ld + k];
}

/* Fewer of them; zeros beyond. */
static void pack_edge(float *panel, const operand *B, int deep, int cols) {
    ptrdiff_t down = B->transposed ? 1 : B->ld, along = B->transposed ? B->ld : 1;
    for (int k = 0; k < deep; k++)
        for (int n = 0; n < WIDTH; n++)
            panel[k * WIDE + n] = n < cols ? B->p[k * down + n * along] : 0;
}

static void pack(float *panel, operand B, int deep, int cols) {
    for (; cols > 0; cols -= WIDTH, panel += WIDTH, B.p += B.transposed ? WIDTH * B.ld : WIDTH)
        if (cols >= WIDTH)
            pack_whole(panel, &B, deep);
        else
            pack_edge(panel, &B, deep, cols);
}

/* ---- narrow results ---- */

static inline float add_up(lanes v) {
    float sums[WIDTH];
    memcpy(sums, &v, sizeof sums);
    for (int half = WIDTH / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            sums[i] += sums[i + half];
    return sums[0];
}

/* Rows of A times rows of the transposed B, both along k, their lanes added up in the end. Counts as in tile.
 */
static inline __attribute__((always_inline)) void dots(float *C, ptrdiff_t ldc, const float *A, ptrdiff_t lda,
                                                       const float *B, ptrdiff_t ldb, int K, float alpha,
                                                       const float *start, ptrdiff_t ldstart, int rows,
                                                       int cols) {
    lanes sum[DOTS][DOTS] = {{{0}}};
    int k = 0;
    for (; k + WIDTH <= K; k += WIDTH) {
        lanes b[DOTS];
#pragma GCC unroll 4
        for (int n = 0; n < cols; n++)
            b[n] = LANES_OF(B + n * ldb + k);
#pragma GCC unroll 4
        for (int m = 0; m < rows; m++) {
            lanes a = LANES_OF(A + m * lda + k);
#pragma GCC unroll 4
            for (int n = 0; n < cols; n++)
                sum[m][n] += a * b[n];
        }
    }
#pragma GCC unroll 4
    for (int m = 0; m < rows; m++)
#pragma GCC unroll 4
        for (int n = 0; n < cols; n++) {
            float total = add_up(sum[m][n]);
            for (int i = k; i < K; i++)
                total += A[m * lda + i] * B[n * ldb + i];
            C[m * ldc + n] = (start ? start[m * ldstart + n] : 0) + alpha * total;
        }
}

/* ---- a product on one thread ---- */

/* C = start + alpha A B; start NULL: zero */
typedef struct {
    xl_view C;
    operand A, B;
    int K, by_rows; /* by_rows: of isa_rows.c; there A is not transposed, B is, and alpha is 1 */
    float alpha;
    const float *start;
    ptrdiff_t ldstart;
} product;

/* Columns that are too few for a vector, where both operands lie along k. */
static void narrow_part(const product *p, int m, int n, int rows, int cols) {
    for (int i = m; i < m + rows; i += DOTS)
        for (int j = n; j < n + cols; j += DOTS) {
            const float *start = p->start ? p->start + i * p->ldstart + j : NULL;
            const float *a = p->A.p + i * p->A.ld, *b = p->B.p + j * p->B.ld;
            float *c = xl_row(p->C, i) + j;
            int r = part(m + rows, i, DOTS), w = part(n + cols, j, DOTS);
            if (r == DOTS && w == DOTS) {
                dots(c, p->C.ld, a, p->A.ld, b, p->B.ld, p->K, p->alpha, start, p->ldstart, DOTS, DOTS);
                continue;
            }
            for (int y = 0; y < r; y++)
                for (int x = 0; x < w; x++)
                    dots(c + y * p->C.ld + x, 0, a + y * p->A.ld, 0, b + x * p->B.ld, 0, p->K, p->alpha,
                         start ? start + y * p->ldstart + x : NULL, 0, 1, 1);
        }
}

/* Whether B can be read as it lies: not worth a copy, and few pages. */
static int lies_well(const product *p, int rows) {
    return !p->B.transposed && (rows <= 2 * ROWS || p->B.ld <= 4 * WIDE);
}

#ifdef XL_PRODUCTS_BY_BLAS
static int by_blas(const product *p, int m, int n, int rows, int cols) {
    xl_view C = xl_block(p->C, m, rows, n, cols);
    for (int i = 0; i < rows && p->start && p->start != p->C.p; i++)
        memcpy(xl_row(C, i), p->start + (m + i) * p->ldstart + n, (size_t)cols * sizeof(float));
    return xl_blas_multiply(p->A.transposed, p->B.transposed, rows, cols, p->K, p->alpha, at(&p->A, m, 0),
                            p->A.ld, at(&p->B, 0, n), p->B.ld, p->start ? 1 : 0, C.p, C.ld);
}
#else
static int by_blas(const product *p, int m, int n, int rows, int cols) {
    (void)p, (void)m, (void)n, (void)rows, (void)cols;
    return 0;
}
#endif

/* Some rows of what lies along k. */
static xl_view rows_of(operand a, int from, int rows, int K) {
    xl_view v = xl_const_rows(a.p + from * a.ld, rows, K);
    v.ld = a.ld;
    return v;
}

/* By panels. Not a part of its caller, whose other ways should not stand on a panel: stacks may be small. */
static __attribute__((noinline)) void multiply_panels(const product *p, int m, int n, int rows, int cols) {
    _Alignas(64) float panel[DEPTH * WIDE];
    ptrdiff_t down = p->A.transposed ? 1 : p->A.ld, along = p->A.transposed ? p->A.ld : 1;
    int narrow = p->B.transposed && !p->A.transposed ? cols % WIDTH : 0;
    if (narrow)
        narrow_part(p, m, n + cols - narrow, rows, narrow);
    for (int end = n + cols - narrow; n < end; n += WIDE) {
        int some = part(end, n, WIDE), direct = some % WIDTH == 0 && lies_well(p, rows);
        strip s = {.C = xl_row(p->C, m) + n,
                   .ldc = p->C.ld,
                   .down = down,
                   .along = along,
                   .rows = rows,
                   .alpha = p->alpha};
        s.start = p->start ? p->start + m * p->ldstart + n : NULL;
        s.ldstart = p->ldstart;
        for (int k = 0; k < p->K; k += DEPTH) {
            operand B = p->B;
            B.p = at(&p->B, k, n);
            s.deep = part(p->K, k, DEPTH);
            s.A = at(&p->A, m, k);
            s.B = direct ? B.p : panel;
            s.ldb = direct ? B.ld : WIDE;
            if (!direct)
                pack(panel, B, s.deep, some);
            if (some % WIDTH)
                some_columns(&s, some);
            else
                whole_columns(&s, some / WIDTH);
            s.start = s.C, s.ldstart = s.ldc;
        }
    }
}

/* Rows m .. and columns n .. of C. */
static void multiply_part(const product *p, int m, int n, int rows, int cols) {
    assert(p->A.p && p->B.p && p->C.p); /* slices of views keep a NULL */
    const float *start = p->start ? p->start + m * p->ldstart + n : NULL;
    if (by_blas(p, m, n, rows, cols))
        return;
    if (!p->by_rows) {
        multiply_panels(p, m, n, rows, cols);
        return;
    }
    XL_ISA_NAME(xl_multiply_rows)
    (xl_block(p->C, m, rows, n, cols), rows_of(p->A, m, rows, p->K), rows_of(p->B, n, cols, p->K), start,
     p->ldstart);
}

/* All of it. */
static void multiply_here(const product *p) {
    for (int m = 0; m < p->C.rows; m += TILE_ROWS)
        multiply_part(p, m, 0, part(p->C.rows, m, TILE_ROWS), p->C.cols);
}

static operand of_view(xl_view v) {
    return (operand){v.p, v.ld, 0};
}

static operand transposed(operand a) {
    return (operand){a.p, a.ld, !a.transposed};
}

void XL_ISA_NAME(xl_multiply)(xl_view C, xl_view A, int tA, xl_view B, int tB, float alpha, float beta) {
    product p = {.C = C, .A = {A.p, A.ld, tA}, .B = {B.p, B.ld, tB}, .K = tA ? A.rows : A.cols};
    p.alpha = alpha;
    if (beta != 0)
        p.start = C.p, p.ldstart = C.ld;
    for (int m = 0; m < C.rows && beta != 0 && beta != 1; m++)
        for (int n = 0; n < C.cols; n++)
            xl_row(C, m)[n] *= beta;
    multiply_here(&p);
}

/* ---- many rows, by tiles for threads ---- */

typedef struct {
    product p;
    int rows, cols, across; /* of a tile; tiles side by side */
} tiling;

static void multiply_tile(void *context, int index, int thread) {
    const tiling *t = context;
    int m = index / t->across * t->rows, n = index % t->across * t->cols;
    (void)thread;
    multiply_part(&t->p, m, n, part(t->p.C.rows, m, t->rows), part(t->p.C.cols, n, t->cols));
}

/* Tiles become smaller until there are enough for many threads, or they are hardly worth one. High ones copy
 * B less often. */
static void multiply(product p) {
    int M = p.C.rows, N = p.C.cols;
    if (M < 1 || N < 1 || p.K < 1)
        return;
    tiling t = {p, least(M, TILE_ROWS), least(N, TILE_COLS), 1};
    while (parts(M, t.rows) * parts(N, t.cols) < ENOUGH_TILES &&
           (double)t.rows * t.cols * p.K > 2.0 * SMALL_TILE) {
        if (t.cols > WIDE && (t.cols > t.rows || t.rows <= LEAST_ROWS))
            t.cols = parts(t.cols / 2, WIDE) * WIDE;
        else if (t.rows > LEAST_ROWS)
            t.rows = parts(t.rows / 2, ROWS) * ROWS;
        else
            break;
    }
    t.across = parts(N, t.cols);
    xl_parallel(parts(M, t.rows) * t.across, multiply_tile, &t);
}

static void linear_dx(xl_view dx, xl_view dy, const float *W, int add) {
    product p = {.C = dx, .A = of_view(dy), .B = {W, dx.cols, 0}, .K = dy.cols, .alpha = 1};
    if (add)
        p.start = dx.p, p.ldstart = dx.ld;
    multiply(p);
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
    int from = index * SUM_COLS;
    (void)thread;
    add_rows(a->db + from, xl_cols(a->dy, from, part(a->dy.cols, from, SUM_COLS)));
}

void XL_ISA_NAME(xl_column_sums)(float *db, xl_view dy) {
    xl_parallel(parts(dy.cols, SUM_COLS), sum_columns, &(sums){db, dy});
}

static void linear_dw(float *dW, float *db, xl_view x, xl_view dy) {
    product p = {
        .C = xl_rows(dW, dy.cols, x.cols), .A = transposed(of_view(dy)), .B = of_view(x), .K = x.rows};
    p.alpha = 1, p.start = dW, p.ldstart = x.cols;
    multiply(p);
    if (db)
        XL_ISA_NAME(xl_column_sums)(db, dy);
}

/* y = start + x W' */
static product linear_product(xl_view y, xl_view x, const float *W, const float *b) {
    product p = {.C = y, .A = of_view(x), .B = {W, x.cols, 1}, .K = x.cols, .alpha = 1, .start = b};
    p.by_rows = 1;
    return p;
}

void XL_ISA_NAME(xl_linear_real)(xl_view y, xl_view x, const float *W, const float *b) {
    multiply(linear_product(y, x, W, b));
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
    product p = linear_product(k.y, k.x, a->W + k.matrix, a->b ? a->b + k.bias : NULL);
    (void)thread;
    multiply_here(&p);
}

static void heads_dx_tile(void *context, int index, int thread) {
    const blocks *a = context;
    block k = block_of(a, index, TILE_ROWS);
    product p = {.C = k.x, .A = of_view(k.y), .B = {a->W + k.matrix, a->s.in, 0}, .K = a->s.out, .alpha = 1};
    (void)thread;
    if (a->add)
        p.start = k.x.p, p.ldstart = k.x.ld;
    multiply_here(&p);
}

static void heads_dw_block(void *context, int j, int thread) {
    const blocks *a = context;
    block k = block_of(a, j, a->y.rows);
    float *dW = a->dW + k.matrix;
    product p = {.C = xl_rows(dW, a->s.out, a->s.in), .A = transposed(of_view(k.y)), .B = of_view(k.x)};
    p.K = a->y.rows, p.alpha = 1, p.start = dW, p.ldstart = a->s.in;
    (void)thread;
    multiply_here(&p);
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

void XL_ISA_NAME(xl_heads_real)(xl_view y, xl_view x, const float *W, const float *b, xl_heads s) {
    blocks a = {.y = y, .x = x, .W = W, .b = b, .s = s, .task = heads_tile};
    by_tiles(a, part(y.rows, 0, TILE_ROWS), parts(y.rows, TILE_ROWS));
}

void XL_ISA_NAME(xl_heads_real_dx)(xl_view dx, xl_view dy, const float *W, xl_heads s, int add) {
    blocks a = {.y = dy, .x = dx, .W = W, .s = s, .add = add, .task = heads_dx_tile};
    by_tiles(a, part(dy.rows, 0, TILE_ROWS), parts(dy.rows, TILE_ROWS));
}

void XL_ISA_NAME(xl_heads_real_dw)(float *dW, float *db, xl_view x, xl_view dy, xl_heads s) {
    blocks a = {.y = dy, .x = x, .dW = dW, .db = db, .s = s, .task = heads_dw_block};
    by_tiles(a, x.rows, 1); /* sums are over all rows */
}

void XL_ISA_NAME(xl_install_gemm)(xl_ops *table) {
    table->linear_dx = linear_dx;
    table->linear_dw = linear_dw;
}
