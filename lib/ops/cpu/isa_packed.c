/* Products with few rows of x, where reading the matrix is all the time there is, for every type of matrix;
 * with many rows, tiles of the matrix are turned into floats and handed to BLAS. */
#include "base/half.h"
#include "ops/cpu/cpu.h"
#include "ops/cpu/vec.h"
#include <assert.h>
#include <string.h>

enum { AHEAD = 4096, FEW = 8, FEW_COLS = 4096, TASK_ROWS = 64, TILE_COLS = 512, SMALL_PRODUCT = 1 << 16 };
enum { ENOUGH_TASKS = 8, PIECE_ROWS = 256 };

typedef struct {
    xl_view y, x;
    xl_matrix W;
    const float *b;
} product;

/* A smaller number is taken from its 32-bit word by shifts: word k of 16 holds numbers G k .. G k + G - 1, so
 * x is brought into that order first and no number has to change its place. */
typedef int32_t ints __attribute__((vector_size(4 * LANES)));
typedef uint32_t words __attribute__((vector_size(4 * LANES)));
typedef uint32_t words_anywhere __attribute__((vector_size(4 * LANES), aligned(1)));

#define WORDS(p) (*(const words_anywhere *)(const void *)(p))
#define INTS(w) __builtin_convertvector((ints)(w) >> 24, floats)

/* What 16 words of the matrix at w add to the sum; v points to G vectors of x. */
#define ADD_F32(sum, w, v) sum += FLOATS(w) * FLOATS(v)
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

static inline float add_up(const floats *v) {
    float sums[LANES];
    memcpy(sums, v, sizeof sums);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            sums[i] += sums[i + half];
    return sums[0];
}

/* sums[r] += row r of w times x, of which the first `whole` numbers are in the order above. One row after the
 * other, so that memory is read as it lies; four sums are under way along the row. What is AHEAD is fetched:
 * what the processor fetches by itself stops at the end of a page. */
#define DOTS(type, from, G, ADD, value)                                                                      \
    static void rows_##type(float *sums, const from *w, size_t ld, int rows, const float *x, int n) {        \
        enum { STEP = G * LANES };                                                                           \
        int whole = n / STEP * STEP;                                                                         \
        for (int r = 0; r < rows; r++, w += ld) {                                                            \
            floats s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};                                                   \
            int i = 0;                                                                                       \
            for (; i + 4 * STEP <= whole; i += 4 * STEP) {                                                   \
                for (int line = 0; line < 4; line++)                                                         \
                    __builtin_prefetch((const char *)(w + i) + AHEAD + 64 * line);                           \
                ADD(s0, w + i, x + i);                                                                       \
                ADD(s1, w + i + STEP, x + i + STEP);                                                         \
                ADD(s2, w + i + 2 * STEP, x + i + 2 * STEP);                                                 \
                ADD(s3, w + i + 3 * STEP, x + i + 3 * STEP);                                                 \
            }                                                                                                \
            for (; i < whole; i += STEP)                                                                     \
                ADD(s0, w + i, x + i);                                                                       \
            s0 = (s0 + s1) + (s2 + s3);                                                                      \
            sums[r] += add_up(&s0);                                                                          \
            for (; i < n; i++)                                                                               \
                sums[r] += value(w[i]) * x[i];                                                               \
        }                                                                                                    \
    }                                                                                                        \
    static void widen_##type(float *to, const from *w, int n) {                                              \
        for (int i = 0; i < n; i++)                                                                          \
            to[i] = value(w[i]);                                                                             \
    }
DOTS(f32, float, 1, ADD_F32, (float))
DOTS(bf16, uint16_t, 2, ADD_BF16, xl_from_bf16)
DOTS(int8, int8_t, 4, ADD_INT8, (float))

/* x in the order of the matrix's words, G numbers to a word; what is left over stays as it is. */
static void reorder(float *to, const float *x, int n, int G) {
    int whole = n / (G * LANES) * (G * LANES);
    for (int i = 0; i < whole; i += G * LANES, to += G * LANES, x += G * LANES) {
        floats a = FLOATS(x), b = FLOATS(x + LANES), even = EVENS(a, b), odd = ODDS(a, b);
        if (G == 2) {
            FLOATS_AT(to) = even;
            FLOATS_AT(to + LANES) = odd;
            continue;
        }
        a = FLOATS(x + 2 * LANES), b = FLOATS(x + 3 * LANES);
        floats even2 = EVENS(a, b), odd2 = ODDS(a, b);
        FLOATS_AT(to) = EVENS(even, even2);
        FLOATS_AT(to + LANES) = EVENS(odd, odd2);
        FLOATS_AT(to + 2 * LANES) = ODDS(even, even2);
        FLOATS_AT(to + 3 * LANES) = ODDS(odd, odd2);
    }
    memcpy(to, x, (size_t)(n - whole) * sizeof *x);
}

static void add_rows(float *sums, const xl_matrix *W, int from, int rows, int col, const float *x, int n) {
    const void *w = xl_matrix_at(W, from, col);
    size_t ld = (size_t)W->cols;
    if (W->type == XL_REAL)
        rows_f32(sums, w, ld, rows, x, n);
    else if (W->type == XL_BFLOAT16)
        rows_bf16(sums, w, ld, rows, x, n);
    else
        rows_int8(sums, w, ld, rows, x, n);
}

static void few_task(void *context, int index, int thread) {
    static const int numbers_in_word[] = {[XL_REAL] = 1, [XL_BFLOAT16] = 2, [XL_INT8] = 4};
    const product *p = context;
    int from = index * TASK_ROWS, rows = p->W.rows - from < TASK_ROWS ? p->W.rows - from : TASK_ROWS;
    float x[FEW_COLS];
    (void)thread;
    for (int n = 0; n < p->x.rows; n++) {
        float sums[TASK_ROWS] = {0}, *y = p->y.p + (size_t)n * p->y.ld + from;
        for (int c = 0; c < p->W.cols; c += FEW_COLS) {
            int cols = p->W.cols - c < FEW_COLS ? p->W.cols - c : FEW_COLS;
            const float *given = p->x.p + (size_t)n * p->x.ld + c;
            if (numbers_in_word[p->W.type] > 1)
                reorder(x, given, cols, numbers_in_word[p->W.type]);
            add_rows(sums, &p->W, from, rows, c, numbers_in_word[p->W.type] > 1 ? x : given, cols);
        }
        for (int r = 0; r < rows; r++)
            y[r] = sums[r] * (p->W.scale ? p->W.scale[from + r] : 1) + (p->b ? p->b[from + r] : 0);
    }
}

static void widen_row(float *to, const xl_matrix *W, int r, int c, int n) {
    const void *w = xl_matrix_at(W, r, c);
    if (W->type == XL_REAL)
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

static int row_tasks(const xl_matrix *W) {
    return (W->rows + TASK_ROWS - 1) / TASK_ROWS;
}

/* The same where the matrix has few rows, as one of gates: x is cut too. */
static void piece_task(void *context, int index, int thread) {
    product p = *(const product *)context;
    int tasks = row_tasks(&p.W), from = index / tasks * PIECE_ROWS;
    int rows = p.x.rows - from < PIECE_ROWS ? p.x.rows - from : PIECE_ROWS;
    p.x = xl_some_rows(p.x, from, rows);
    p.y = xl_some_rows(p.y, from, rows);
    assert(p.x.p && p.y.p);
    many_task(&p, index % tasks, thread);
}

static void linear_packed(xl_view y, xl_view x, xl_matrix W, const float *b) {
    assert(x.p && y.p); /* slices of views keep a NULL */
    product p = {y, x, W, b};
    int tasks = row_tasks(&W), cut = x.rows > FEW && tasks < ENOUGH_TASKS;
    xl_task *task = x.rows <= FEW ? few_task : cut ? piece_task : many_task;
    if (cut)
        tasks *= (x.rows + PIECE_ROWS - 1) / PIECE_ROWS;
    if ((double)W.rows * W.cols * x.rows < SMALL_PRODUCT)
        for (int i = 0; i < tasks; i++)
            task(&p, i, 0);
    else
        xl_parallel(tasks, task, &p);
}

typedef struct {
    xl_view y, x;
    xl_matrix W;
    xl_heads s;
} blocks;

static void block_task(void *context, int j, int thread) {
    const blocks *a = context;
    (void)thread;
    linear_packed(xl_cols(a->y, j * a->s.ystep, a->s.out), xl_cols(a->x, j * a->s.in, a->s.in),
                  xl_matrix_rows(a->W, j * a->s.out, a->s.out), NULL);
}

static void heads_packed(xl_view y, xl_view x, xl_matrix W, xl_heads s) {
    blocks a = {y, x, W, s};
    xl_parallel(s.n, block_task, &a);
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
    t->heads_packed = heads_packed;
    t->embed_packed = embed_packed;
}
