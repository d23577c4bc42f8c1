/* isa_linear.c - products with a matrix of any type of number. With few rows of x, reading the matrix is all
 * the time there is, and each type has a product of its own; with many, a matrix of reals is taken as it is
 * and of every other type tiles that were turned into floats. */
#include "base/half.h"
#include "ops/cpu/block.h"
#include "ops/cpu/cpu.h"
#include "ops/cpu/vec.h"
#include <assert.h>
#include <string.h>

enum { AHEAD = 4096, FEW_COLS = 4096, TASK_ROWS = 64, TILE_COLS = 512, SMALL_PRODUCT = 1 << 16 };
enum { ENOUGH_TASKS = 8, PIECE_ROWS = 256, MOST_IN_WORD = 8 };

static const xl_ops *own; /* the table these kernels are in */

/* ---- the types ---- */

/* Numbers are taken from 32-bit words by shifts, 16 words at a time, word k of which holds numbers G k .. G k
 * + G - 1. So that none has to change its place, x is brought into their order first; of 64 numbers, for G =
 * 4:
 *
 *     | x0 x4 .. x60 | x1 x5 .. x61 | x2 x6 .. x62 | x3 x7 .. x63 | */
typedef int32_t ints __attribute__((vector_size(4 * LANES)));
typedef uint32_t words __attribute__((vector_size(4 * LANES)));
typedef uint32_t words_anywhere __attribute__((vector_size(4 * LANES), aligned(1)));

enum { WORD = 4 /* bytes */ };
#define WORDS(p) (*(const words_anywhere *)(const void *)(p))
#define INTS(w) __builtin_convertvector((ints)(w) >> 24, floats)

/* What 16 words of the matrix at w add to the sum; v points to G vectors of x. */
#define ADD_BF16(sum, w, v)                                                                                  \
    do {                                                                                                     \
        words both = WORDS(w);                                                                               \
        sum += (floats)(both << 16) * FLOATS(v);                                                             \
        sum += (floats)(both & 0xffff0000u) * FLOATS((v) + LANES);                                           \
    } while (0)
#define ADD_INT8(sum, w, v)                                                                                  \
    do {                                                                                                     \
        words all = WORDS(w);                                                                                \
        sum += INTS(all << 24) * FLOATS(v);                                                                  \
        sum += INTS(all << 16) * FLOATS((v) + LANES);                                                        \
        sum += INTS(all << 8) * FLOATS((v) + 2 * LANES);                                                     \
        sum += INTS(all) * FLOATS((v) + 3 * LANES);                                                          \
    } while (0)

/* Number i of a row. */
static inline float number_bf16(const void *row, int i) {
    return xl_from_bf16(((const uint16_t *)row)[i]);
}
static inline float number_int8(const void *row, int i) {
    return ((const int8_t *)row)[i];
}

/* As many numbers as fill vectors; what is left over stays as it is. */
static inline void in_order(float *to, const float *x, int n, int G) {
    int whole = n / (G * LANES) * (G * LANES);
    for (int i = 0; i < whole; i += G * LANES) {
        floats v[MOST_IN_WORD], w[MOST_IN_WORD];
        for (int k = 0; k < G; k++)
            v[k] = FLOATS(x + i + k * LANES);
        for (int round = 1; round < G; round *= 2) {
            for (int k = 0; k < G / 2; k++) {
                w[k] = EVENS(v[2 * k], v[2 * k + 1]);
                w[G / 2 + k] = ODDS(v[2 * k], v[2 * k + 1]);
            }
            memcpy(v, w, (size_t)G * sizeof *v);
        }
        for (int k = 0; k < G; k++)
            FLOATS_AT(to + i + k * LANES) = v[k];
    }
    memcpy(to + whole, x + whole, (size_t)(n - whole) * sizeof *x);
}

static inline float add_up(const floats *v) {
    float sums[LANES];
    memcpy(sums, v, sizeof sums);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            sums[i] += sums[i + half];
    return sums[0];
}

/* dots: sums[r] += row r of W times x, which is in order. One row after the other, so that memory is read as
 * it lies; four sums are under way along the row. What is AHEAD is fetched: what the processor fetches by
 * itself stops at the end of a page. widen: to[i] = number i of the row. */
#define KERNELS(type, G, ADD)                                                                                \
    static void dots_##type(float *sums, const void *W, size_t row_bytes, int rows, const float *x, int n) { \
        int whole = n / (G * LANES) * LANES; /* words */                                                     \
        const char *w = W;                                                                                   \
        for (int r = 0; r < rows; r++, w += row_bytes) {                                                     \
            floats s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};                                                   \
            int k = 0;                                                                                       \
            for (; k + 4 * LANES <= whole; k += 4 * LANES) {                                                 \
                for (int line = 0; line < 4; line++)                                                         \
                    __builtin_prefetch(w + WORD * k + AHEAD + 64 * line);                                    \
                ADD(s0, w + WORD * k, x + G * k);                                                            \
                ADD(s1, w + WORD * (k + LANES), x + G * (k + LANES));                                        \
                ADD(s2, w + WORD * (k + 2 * LANES), x + G * (k + 2 * LANES));                                \
                ADD(s3, w + WORD * (k + 3 * LANES), x + G * (k + 3 * LANES));                                \
            }                                                                                                \
            for (; k < whole; k += LANES)                                                                    \
                ADD(s0, w + WORD * k, x + G * k);                                                            \
            s0 = (s0 + s1) + (s2 + s3);                                                                      \
            float sum = sums[r] + add_up(&s0);                                                               \
            for (int i = G * k; i < n; i++)                                                                  \
                sum += number_##type(w, i) * x[i];                                                           \
            sums[r] = sum;                                                                                   \
        }                                                                                                    \
    }                                                                                                        \
    static void widen_##type(float *to, const void *row, int n) {                                            \
        for (int i = 0; i < n; i++)                                                                          \
            to[i] = number_##type(row, i);                                                                   \
    }
KERNELS(bf16, 2, ADD_BF16)
KERNELS(int8, 4, ADD_INT8)

static void order_2(float *to, const float *x, int n) {
    in_order(to, x, n, 2);
}
static void order_4(float *to, const float *x, int n) {
    in_order(to, x, n, 4);
}

/* A type of number is a row. Where rows of it have a scale, that is not in what the kernels give. */
static const struct {
    void (*order)(float *to, const float *x, int n); /* by the numbers in a word */
    void (*dots)(float *sums, const void *W, size_t row_bytes, int rows, const float *x, int n);
    void (*widen)(float *to, const void *row, int n);
} types[XL_NUMBERS] = {
    [XL_BFLOAT16] = {order_2, dots_bf16, widen_bf16},
    [XL_INT8] = {order_4, dots_int8, widen_int8},
};

static const void *numbers_at(const xl_matrix *W, int row, int col) {
    return (const char *)xl_matrix_row(W, row) + xl_number_bytes(W->type, (size_t)col);
}

/* Of so many rows; 1 where they have none. */
static void scales_of(float *scales, const xl_matrix *W, int from, int rows) {
    for (int r = 0; r < rows; r++)
        scales[r] = W->scale ? *xl_matrix_scale(W, from + r) : 1;
}

/* ---- few rows ---- */

typedef struct {
    xl_view y, x;
    xl_matrix W;
    const float *b;
} product;

static int least(int a, int b) {
    return a < b ? a : b;
}

/* From sums of products to y, in place. */
static void finish(float *y, const float *scales, const float *b, int rows) {
    for (int r = 0; r < rows; r++)
        y[r] = y[r] * scales[r] + (b ? b[r] : 0);
}

static void few_task(void *context, int index, int thread) {
    const product *p = context;
    xl_number type = p->W.type;
    int from = index * TASK_ROWS, rows = least(TASK_ROWS, p->W.rows - from);
    float ordered[FEW_COLS], scales[TASK_ROWS];
    (void)thread;
    scales_of(scales, &p->W, from, rows);
    for (int n = 0; n < p->x.rows; n++) {
        float sums[TASK_ROWS] = {0};
        for (int c = 0; c < p->W.cols; c += FEW_COLS) {
            int cols = least(FEW_COLS, p->W.cols - c);
            types[type].order(ordered, xl_row(p->x, n) + c, cols);
            types[type].dots(sums, numbers_at(&p->W, from, c), xl_matrix_row_bytes(&p->W), rows, ordered,
                             cols);
        }
        finish(sums, scales, p->b ? p->b + from : NULL, rows);
        memcpy(xl_row(p->y, n) + from, sums, (size_t)rows * sizeof *sums);
    }
}

static void few_reals(void *context, int index, int thread) {
    const product *p = context;
    int from = index * TASK_ROWS, rows = least(TASK_ROWS, p->W.rows - from);
    (void)thread;
    XL_ISA_NAME(xl_multiply_rows)
    (xl_cols(p->y, from, rows), p->x, xl_const_rows(xl_matrix_row(&p->W, from), rows, p->W.cols),
     p->b ? p->b + from : NULL, 0);
}

/* ---- many rows ---- */

/* All rows of x with some rows of the matrix, in pieces of its columns that fit a thread's room. */
static void many_task(void *context, int index, int thread) {
    const product *p = context;
    int from = index * TASK_ROWS, rows = least(TASK_ROWS, p->W.rows - from);
    float *tile = xl_room(), scales[TASK_ROWS]; /* [TASK_ROWS, TILE_COLS] */
    (void)thread;
    scales_of(scales, &p->W, from, rows);
    for (int c = 0; c < p->W.cols; c += TILE_COLS) {
        int cols = least(TILE_COLS, p->W.cols - c);
        for (int r = 0; r < rows; r++)
            types[p->W.type].widen(tile + r * TILE_COLS, numbers_at(&p->W, from + r, c), cols);
        xl_view weights = {tile, XL_REAL, rows, cols, TILE_COLS};
        xl_product_right(xl_cols(p->y, from, rows), xl_cols(p->x, c, cols), weights, 1, c > 0);
    }
    for (int n = 0; n < p->y.rows; n++)
        finish(xl_row(p->y, n) + from, scales, p->b ? p->b + from : NULL, rows);
}

static int row_tasks(const xl_matrix *W) {
    return (W->rows + TASK_ROWS - 1) / TASK_ROWS;
}

/* The same where the matrix has few rows, as one of gates: x is cut too. */
static void piece_task(void *context, int index, int thread) {
    product p = *(const product *)context;
    int tasks = row_tasks(&p.W), from = index / tasks * PIECE_ROWS, rows = least(PIECE_ROWS, p.x.rows - from);
    p.x = xl_some_rows(p.x, from, rows);
    p.y = xl_some_rows(p.y, from, rows);
    assert(p.x.p && p.y.p);
    many_task(&p, index % tasks, thread);
}

/* ---- the ops ---- */

static void linear(xl_view y, xl_view x, xl_matrix W, const float *b) {
    if (W.type == XL_REAL && x.rows > XL_FEW_ROWS) {
        XL_ISA_NAME(xl_linear_real)(y, x, W.data, b);
        return;
    }
    assert(x.p && y.p); /* slices of views keep a NULL */
    product p = {y, x, W, b};
    int tasks = row_tasks(&W), cut = x.rows > XL_FEW_ROWS && tasks < ENOUGH_TASKS;
    xl_task *task = W.type == XL_REAL       ? few_reals
                    : x.rows <= XL_FEW_ROWS ? few_task
                    : cut                   ? piece_task
                                            : many_task;
    if (cut)
        tasks *= (x.rows + PIECE_ROWS - 1) / PIECE_ROWS;
    if ((double)W.rows * W.cols * x.rows < SMALL_PRODUCT)
        for (int i = 0; i < tasks; i++)
            task(&p, i, 0);
    else
        xl_parallel(tasks, task, &p);
}

static uint64_t linear_room(void) {
    return TASK_ROWS * TILE_COLS;
}

static void xent_linear(float *each, xl_view dx, float *dW, xl_view x, const float *W, int classes,
                        const int32_t *targets, const float *scale, float *scratch) {
    xl_xent_linear_by_rows(own, each, dx, dW, x, W, classes, targets, scale, scratch);
}

void XL_ISA_NAME(xl_install_linear)(xl_ops *table) {
    own = table;
    table->linear = linear;
    table->linear_room = linear_room;
    table->xent_linear = xent_linear;
    table->xent_linear_scratch = xl_xent_linear_by_rows_scratch;
}
