/* isa_packed.c - products with matrices of smaller numbers, which are turned into floats in registers: a
 * matrix is read as it lies, and no copy of it is made. Of one row of x, reading it is all the time there is;
 * of more, what was read is used for up to MOST of them at once.
 *
 * A row of the matrix is taken in blocks of BLOCK numbers, eight vectors. Lane l sums what it gets of a block
 * in order, then these sums with the groups' scales over the blocks of a piece, and the lanes of a piece are
 * added up in one order: so a row's bits are the same whatever it is computed with. */
#include "ops/cpu/cpu.h"
#include "ops/cpu/vec.h"
#include <assert.h>
#include <string.h>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

enum {
    VECTORS = 8,
    BLOCK = VECTORS * LANES,
    PIECE = 8 * BLOCK, /* numbers whose lanes are added up; of MOST rows it stays in the first cache */
    SOME_COLS = 4096   /* of x in a thread's room */
};
enum { TASK_ROWS = 64, TASK_X = 256, STREAMING = 2, AHEAD = 4096, LINE = 64, SMALL_PRODUCT = 1 << 16 };
enum { MOST_BYTES = BLOCK * 2, GROUPS = BLOCK / XL_GROUP };
#ifdef __AVX512F__
enum { MOST = 8 };
#else
enum { MOST = 4 };
#endif

/* ---- the types ---- */

typedef int32_t ints __attribute__((vector_size(4 * LANES)));
typedef uint32_t words __attribute__((vector_size(4 * LANES)));
typedef uint32_t words_anywhere __attribute__((vector_size(4 * LANES), aligned(1)));
typedef float quad __attribute__((vector_size(16)));
typedef float quad_anywhere __attribute__((vector_size(16), aligned(4)));
#define AT(type, p) (*(const type *)(const void *)(p))

/* Numbers are taken from 32-bit words, 16 words at a time, of which each holds G: vector j of a block is
 * number j % G of the words j / G. So none has to change its place, and x is brought into their order first;
 * of 64 numbers, for G = 4:
 *
 *     | x0 x4 .. x60 | x1 x5 .. x61 | x2 x6 .. x62 | x3 x7 .. x63 |
 *
 * (Compilers turn plain conversions of small numbers into code for one number at a time.) */
#define WORDS(w, j, G) AT(words_anywhere, (w) + (j) / (G)*4 * LANES)
#define TOP(w, j, G) (WORDS(w, j, G) << (32 / (G) * ((G)-1 - (j) % (G)))) /* its number the highest */
#define BF16(w, j) ((floats)((j) % 2 ? WORDS(w, j, 2) & 0xffff0000u : TOP(w, j, 2)))
#define INT8(w, j) __builtin_convertvector((ints)TOP(w, j, 4) >> 24, floats)
#ifdef __AVX512F__
static const float int4_numbers[LANES] = {0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1};
#define INT4(w, j)                                                                                           \
    ((floats)_mm512_permutexvar_ps((__m512i)(WORDS(w, j, 8) >> (4 * (j))), (__m512)FLOATS(int4_numbers)))
#else
#define INT4(w, j) __builtin_convertvector((ints)TOP(w, j, 8) >> 28, floats)
#endif

/* What a block's sums are worth. The lanes of 4-bit ones have four to a group. */
#define NO_SCALE(sum, part, scale) sum += part
#define GROUP_SCALES(sum, part, scale)                                                                       \
    do {                                                                                                     \
        floats each;                                                                                         \
        spread(&each, scale);                                                                                \
        sum += part * each;                                                                                  \
    } while (0)

static inline void spread(floats *each, const float *scale) {
#ifdef __AVX512F__
    const __m512i place = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
    *each = (floats)_mm512_permutevar_ps(_mm512_broadcast_f32x4(_mm_loadu_ps(scale)), place);
#else
    quad v = AT(quad_anywhere, scale);
    *each = __builtin_shufflevector(v, v, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
#endif
}

static inline float add_up(const floats *v) {
    const quad *q = (const void *)v;
    quad sum = (q[0] + q[2]) + (q[1] + q[3]);
    return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}

/* sums[n] += a piece of a row of the matrix times that of row n of x, ldx apart; the number of rows is a
 * constant where this is inlined. What is AHEAD is fetched: what the processor fetches by itself stops at the
 * end of a page. */
#define KERNEL(type, bits, NUMBERS, ADD, rows)                                                               \
    static void dots_##type##_##rows(float *sums, const char *w, const float *scale, const float *x,         \
                                     ptrdiff_t ldx, int blocks) {                                            \
        floats sum[rows] = {{0}};                                                                            \
        for (int k = 0; k < blocks; k++, w += BLOCK * (bits) / 8, scale += GROUPS, x += BLOCK) {             \
            floats part[rows] = {{0}};                                                                       \
            for (int line = 0; rows <= STREAMING && line < BLOCK * (bits) / 8 / LINE; line++)                \
                __builtin_prefetch(w + AHEAD + LINE * line);                                                 \
            EIGHT_VECTORS(NUMBERS, rows)                                                                     \
            for (int n = 0; n < rows; n++)                                                                   \
                ADD(sum[n], part[n], scale);                                                                 \
        }                                                                                                    \
        for (int n = 0; n < rows; n++)                                                                       \
            sums[n] += add_up(&sum[n]);                                                                      \
    }
#define ONE_VECTOR(NUMBERS, rows, j)                                                                         \
    {                                                                                                        \
        const floats v = NUMBERS(w, j);                                                                      \
        for (int n = 0; n < rows; n++)                                                                       \
            part[n] += v * FLOATS(x + n * ldx + LANES * (j));                                                \
    }
#define EIGHT_VECTORS(NUMBERS, rows)                                                                         \
    ONE_VECTOR(NUMBERS, rows, 0)                                                                             \
    ONE_VECTOR(NUMBERS, rows, 1)                                                                             \
    ONE_VECTOR(NUMBERS, rows, 2)                                                                             \
    ONE_VECTOR(NUMBERS, rows, 3)                                                                             \
    ONE_VECTOR(NUMBERS, rows, 4)                                                                             \
    ONE_VECTOR(NUMBERS, rows, 5)                                                                             \
    ONE_VECTOR(NUMBERS, rows, 6)                                                                             \
    ONE_VECTOR(NUMBERS, rows, 7)
#define KERNELS(type, bits, NUMBERS, ADD)                                                                    \
    KERNEL(type, bits, NUMBERS, ADD, 1)                                                                      \
    KERNEL(type, bits, NUMBERS, ADD, 2)                                                                      \
    KERNEL(type, bits, NUMBERS, ADD, 4)                                                                      \
    KERNEL(type, bits, NUMBERS, ADD, 8)
KERNELS(bf16, 16, BF16, NO_SCALE)
KERNELS(int8, 8, INT8, NO_SCALE)
KERNELS(int4, 4, INT4, GROUP_SCALES)

/* A block of x in the order of words with G numbers. */
static inline __attribute__((always_inline)) void order_block(float *to, const float *x, int G) {
    for (int i = 0; i < BLOCK; i += G * LANES) {
        floats v[VECTORS], w[VECTORS];
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
}
static void order_2(float *to, const float *x) {
    order_block(to, x, 2);
}
static void order_4(float *to, const float *x) {
    order_block(to, x, 4);
}
static void order_8(float *to, const float *x) {
    order_block(to, x, 8);
}

typedef void dots(float *sums, const char *w, const float *scale, const float *x, ptrdiff_t ldx, int blocks);

/* A type of number is a row; dots: of 1, 2, 4, 8 rows. A scale of whole rows is not in what they give. */
static const struct {
    void (*order)(float *to, const float *x); /* of a block */
    dots *dots[4];
} types[XL_NUMBERS] = {
    [XL_BFLOAT16] = {order_2, {dots_bf16_1, dots_bf16_2, dots_bf16_4, dots_bf16_8}},
    [XL_INT8] = {order_4, {dots_int8_1, dots_int8_2, dots_int8_4, dots_int8_8}},
    [XL_INT4] = {order_8, {dots_int4_1, dots_int4_2, dots_int4_4, dots_int4_8}},
};

/* ---- rows of the matrix with rows of x ---- */

typedef struct {
    xl_view y, x;
    xl_matrix W;
    const float *b;
} product;

/* Rows of x that are computed at once, and their number as a power of two. */
typedef struct {
    const product *p;
    int n, rows, power;
    float *ordered; /* [rows, SOME_COLS]: their columns `col` and on, blocks filled up with zeros */
    int col, cols;
} batch;

static void order(const batch *b) {
    for (int n = 0; n < b->rows; n++) {
        const float *x = xl_row(b->p->x, b->n + n) + b->col;
        float *to = b->ordered + n * SOME_COLS;
        int k = 0;
        for (; k + BLOCK <= b->cols; k += BLOCK)
            types[b->p->W.type].order(to + k, x + k);
        if (k < b->cols) {
            float last[BLOCK] = {0};
            memcpy(last, x + k, (size_t)(b->cols - k) * sizeof *x);
            types[b->p->W.type].order(to + k, last);
        }
    }
}

/* Numbers from column `from` of what is ordered on, of a row of the matrix; the last block in a copy of its
 * own that is filled up. */
static void add_piece(float *sums, const batch *b, int row, int from) {
    const xl_matrix *W = &b->p->W;
    xl_number type = W->type;
    int scales = xl_number_scales(type, b->col + from) * (xl_number_types[type].group != XL_ROW),
        cols = least(PIECE, b->cols - from), whole = cols / BLOCK, rest = cols % BLOCK;
    const char *w = (const char *)xl_matrix_row(W, row) + xl_number_bytes(type, (size_t)(b->col + from));
    const float *scale = W->scale ? xl_matrix_scale(W, row) + scales : NULL, *x = b->ordered + from;
    types[type].dots[b->power](sums, w, scale, x, SOME_COLS, whole);
    if (rest) {
        char last[MOST_BYTES] = {0};
        float last_scales[GROUPS] = {0};
        memcpy(last, w + xl_number_bytes(type, (size_t)(whole * BLOCK)), xl_number_bytes(type, (size_t)rest));
        if (scale && xl_number_types[type].group != XL_ROW)
            memcpy(last_scales, scale + whole * GROUPS, (size_t)parts(rest, XL_GROUP) * sizeof(float));
        types[type].dots[b->power](sums, last, last_scales, x + whole * BLOCK, SOME_COLS, 1);
    }
}

/* One row of the matrix after the other, so that memory is read as it lies, or all their pieces that meet one
 * piece of x. The order of the sums is the same. */
static void add_rows(float *sums, const batch *b, int from, int rows) {
    if (b->rows <= STREAMING)
        for (int r = 0; r < rows; r++)
            for (int k = 0; k < b->cols; k += PIECE)
                add_piece(sums + r * MOST, b, from + r, k);
    else
        for (int k = 0; k < b->cols; k += PIECE)
            for (int r = 0; r < rows; r++)
                add_piece(sums + r * MOST, b, from + r, k);
}

static void finish(const float *sums, const batch *b, int from, int rows) {
    const xl_matrix *W = &b->p->W;
    const float *bias = b->p->b;
    int scaled = xl_number_types[W->type].group == XL_ROW;
    for (int n = 0; n < b->rows; n++)
        for (int r = from; r < from + rows; r++)
            xl_row(b->p->y, b->n + n)[r] =
                sums[(r - from) * MOST + n] * (scaled ? *xl_matrix_scale(W, r) : 1) + (bias ? bias[r] : 0);
}

static void multiply_batch(batch *b, int from, int rows) {
    float sums[TASK_ROWS * MOST] = {0};
    for (b->col = 0; b->col < b->p->W.cols; b->col += SOME_COLS) {
        b->cols = least(SOME_COLS, b->p->W.cols - b->col);
        order(b);
        add_rows(sums, b, from, rows);
    }
    finish(sums, b, from, rows);
}

static int row_tasks(const product *p) {
    return parts(p->W.rows, TASK_ROWS);
}

static void task(void *context, int index, int thread) {
    const product *p = context;
    int from = index % row_tasks(p) * TASK_ROWS, rows = least(TASK_ROWS, p->W.rows - from);
    int n = index / row_tasks(p) * TASK_X, end = least(n + TASK_X, p->x.rows);
    (void)thread;
    for (batch b = {.p = p, .n = n, .ordered = xl_room()}; b.n < end; b.n += b.rows) {
        for (b.power = 0, b.rows = 1; 2 * b.rows <= MOST && 2 * b.rows <= end - b.n; b.rows *= 2)
            b.power++;
        multiply_batch(&b, from, rows);
    }
}

/* ---- the op ---- */

void XL_ISA_NAME(xl_linear_packed)(xl_view y, xl_view x, xl_matrix W, const float *b) {
    product p = {y, x, W, b};
    int tasks = row_tasks(&p) * parts(x.rows, TASK_X);
    assert(x.p && y.p); /* slices of views keep a NULL */
    if ((double)W.rows * W.cols * x.rows < SMALL_PRODUCT)
        for (int i = 0; i < tasks; i++)
            task(&p, i, 0);
    else
        xl_parallel(tasks, task, &p);
}

static uint64_t linear_room(void) {
    return MOST * SOME_COLS;
}

void XL_ISA_NAME(xl_install_packed)(xl_ops *table) {
    table->linear_room = linear_room;
}
