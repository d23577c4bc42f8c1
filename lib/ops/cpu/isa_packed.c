/* Products with few rows of x, where reading the matrix is all the time there is, for every type of matrix;
 * with many rows, tiles of the matrix are turned into floats and handed to BLAS. */
#include "ops/cpu/cpu.h"

enum { FEW = 8, TASK_ROWS = 32, TILE_COLS = 512, SMALL_PRODUCT = 1 << 16 };

typedef struct {
    xl_view y, x;
    xl_matrix W;
    const float *b;
} product;

/* Four rows of the matrix at once, so that four sums are under way. */
#define DOTS(type, from, value)                                                                              \
    static void dot4_##type(float *sums, const from *w, size_t ld, const float *x, int n) {                  \
        float s0 = 0, s1 = 0, s2 = 0, s3 = 0;                                                                \
        const from *w1 = w + ld, *w2 = w1 + ld, *w3 = w2 + ld;                                               \
        _Pragma("omp simd reduction(+ : s0, s1, s2, s3)") for (int i = 0; i < n; i++) {                      \
            s0 += value(w[i]) * x[i];                                                                        \
            s1 += value(w1[i]) * x[i];                                                                       \
            s2 += value(w2[i]) * x[i];                                                                       \
            s3 += value(w3[i]) * x[i];                                                                       \
        }                                                                                                    \
        sums[0] = s0;                                                                                        \
        sums[1] = s1;                                                                                        \
        sums[2] = s2;                                                                                        \
        sums[3] = s3;                                                                                        \
    }                                                                                                        \
    static void dot1_##type(float *sums, const from *w, const float *x, int n) {                             \
        float s = 0;                                                                                         \
        _Pragma("omp simd reduction(+ : s)") for (int i = 0; i < n; i++) s += value(w[i]) * x[i];            \
        *sums = s;                                                                                           \
    }                                                                                                        \
    static void rows_##type(float *sums, const from *w, size_t ld, int rows, const float *x, int n) {        \
        int r = 0;                                                                                           \
        for (; r + 4 <= rows; r += 4)                                                                        \
            dot4_##type(sums + r, w + (size_t)r * ld, ld, x, n);                                             \
        for (; r < rows; r++)                                                                                \
            dot1_##type(sums + r, w + (size_t)r * ld, x, n);                                                 \
    }                                                                                                        \
    static void widen_##type(float *to, const from *w, int n) {                                              \
        for (int i = 0; i < n; i++)                                                                          \
            to[i] = value(w[i]);                                                                             \
    }

static inline float widen(uint16_t h) { /* bfloat16, in a form that becomes vectors */
    union {
        uint32_t bits;
        float value;
    } u = {(uint32_t)h << 16};
    return u.value;
}
DOTS(f32, float, (float))
DOTS(bf16, uint16_t, widen)
DOTS(int8, int8_t, (float))

static const void *row_of(const xl_matrix *W, int r, int c) {
    static const size_t size[] = {[XL_FLOAT] = 4, [XL_BFLOAT16] = 2, [XL_INT8] = 1};
    return (const char *)W->data + ((size_t)r * (size_t)W->cols + (size_t)c) * size[W->type];
}

static void dot_rows(float *sums, const xl_matrix *W, int from, int rows, const float *x) {
    const void *w = row_of(W, from, 0);
    size_t ld = (size_t)W->cols;
    if (W->type == XL_FLOAT)
        rows_f32(sums, w, ld, rows, x, W->cols);
    else if (W->type == XL_BFLOAT16)
        rows_bf16(sums, w, ld, rows, x, W->cols);
    else
        rows_int8(sums, w, ld, rows, x, W->cols);
}

static void few_task(void *context, int index, int thread) {
    const product *p = context;
    int from = index * TASK_ROWS, rows = p->W.rows - from < TASK_ROWS ? p->W.rows - from : TASK_ROWS;
    float sums[TASK_ROWS];
    (void)thread;
    for (int n = 0; n < p->x.rows; n++) {
        float *y = p->y.p + (size_t)n * p->y.ld + from;
        dot_rows(sums, &p->W, from, rows, p->x.p + (size_t)n * p->x.ld);
        for (int r = 0; r < rows; r++)
            y[r] = sums[r] * (p->W.scale ? p->W.scale[from + r] : 1) + (p->b ? p->b[from + r] : 0);
    }
}

static void widen_row(float *to, const xl_matrix *W, int r, int c, int n) {
    const void *w = row_of(W, r, c);
    if (W->type == XL_FLOAT)
        widen_f32(to, w, n);
    else if (W->type == XL_BFLOAT16)
        widen_bf16(to, w, n);
    else
        widen_int8(to, w, n);
}

/* All rows of x with some rows of the matrix, in pieces of its columns that fit a stack. */
static void many_task(void *context, int index, int thread) {
    const product *p = context;
    int from = index * TASK_ROWS, rows = p->W.rows - from < TASK_ROWS ? p->W.rows - from : TASK_ROWS;
    float tile[TASK_ROWS * TILE_COLS];
    (void)thread;
    for (int c = 0; c < p->W.cols; c += TILE_COLS) {
        int cols = p->W.cols - c < TILE_COLS ? p->W.cols - c : TILE_COLS;
        for (int r = 0; r < rows; r++)
            widen_row(tile + r * TILE_COLS, &p->W, from + r, c, cols);
        xl_gemm(0, 1, p->x.rows, rows, cols, 1, p->x.p + c, p->x.ld, tile, TILE_COLS, c > 0, p->y.p + from,
                p->y.ld);
    }
    for (int n = 0; n < p->y.rows; n++)
        for (int r = 0; r < rows; r++) {
            float *y = p->y.p + (size_t)n * p->y.ld + from + r;
            *y = *y * (p->W.scale ? p->W.scale[from + r] : 1) + (p->b ? p->b[from + r] : 0);
        }
}

static void linear_packed(xl_view y, xl_view x, xl_matrix W, const float *b) {
    product p = {y, x, W, b};
    int tasks = (W.rows + TASK_ROWS - 1) / TASK_ROWS;
    xl_task *task = x.rows <= FEW ? few_task : many_task;
    if ((double)W.rows * W.cols * x.rows < SMALL_PRODUCT)
        for (int i = 0; i < tasks; i++)
            task(&p, i, 0);
    else
        xl_parallel(tasks, task, &p);
}

static void embed_packed(xl_view y, const int32_t *tokens, xl_matrix W) {
    for (int n = 0; n < y.rows; n++) {
        float *to = y.p + (size_t)n * y.ld, scale = W.scale ? W.scale[tokens[n]] : 1;
        widen_row(to, &W, tokens[n], 0, y.cols);
        for (int c = 0; c < y.cols; c++)
            to[c] *= scale;
    }
}

void XL_ISA_NAME(xl_install_packed)(xl_ops *t) {
    t->linear_packed = linear_packed;
    t->embed_packed = embed_packed;
}
