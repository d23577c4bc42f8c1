/* isa_heads.c - block-diagonal products with small blocks. Of few numbers a product would spend its time
 * on being called. Blocks of 4 x 4, which the paper's mLSTM has, are vector code: 16 columns are four blocks,
 * and tap c of each is one multiplication of its weights by the vector in which every block's number c stands
 * in all its four places. */
#include "ops/cpu/cpu.h"
#include "ops/cpu/vec.h"

enum { ROWS = 128, SLICE = 256, WIDE = 64, B = 4, GROUPS = WIDE / LANES };
enum { SMALL_BLOCK = 16, FEW_ROWS = 8 };

static const xl_ops *own; /* the table these kernels are in */

typedef struct {
    xl_view y, x; /* outputs' side and inputs' side */
    const float *W, *b;
    float *dW, *db;
    xl_heads s;
    int add, back; /* back: 1 for the gradient of x */
} blocks;

/* ---- any small block ---- */

static void any_rows(const blocks *a, int from, int end) {
    int in = a->s.in, out = a->s.out;
    for (int n = from; n < end; n++) {
        const float *x = xl_row(a->x, n), *w = a->W;
        float *y = xl_row(a->y, n);
        for (int j = 0; j < a->s.n; j++)
            for (int o = 0; o < out; o++, w += in) {
                float sum = 0;
                for (int c = 0; c < in; c++)
                    sum += w[c] * x[j * in + c];
                y[j * a->s.ystep + o] = (a->b ? a->b[j * out + o] : 0) + sum;
            }
    }
}

static void any_task(void *context, int index, int thread) {
    const blocks *a = context;
    int last = (index + 1) * ROWS < a->y.rows ? (index + 1) * ROWS : a->y.rows;
    (void)thread;
    any_rows(a, index * ROWS, last);
}

/* ---- blocks of 4 x 4 ---- */

/* Number c of each of the four blocks in x, broadcast over its block. */
#define BROADCAST(x, c)                                                                                      \
    __builtin_shufflevector(x, x, c, c, c, c, 4 + c, 4 + c, 4 + c, 4 + c, 8 + c, 8 + c, 8 + c, 8 + c,        \
                            12 + c, 12 + c, 12 + c, 12 + c)

/* 16 numbers, or the n that are left of a row and zeros. */
static inline void load(floats *v, const float *p, int n) {
    if (n >= LANES) {
        *v = FLOATS(p);
        return;
    }
    *v = (floats){0};
    memcpy(v, p, (size_t)n * sizeof *p);
}

static inline void store(float *p, const floats *v, int n) {
    if (n >= LANES)
        FLOATS_AT(p) = *v;
    else
        memcpy(p, v, (size_t)n * sizeof *p);
}

/* The four taps of every 16 columns; of the last columns those that are there:
 *
 *     | 16 columns: W(i, 0) x 16, W(i, 1) x 16, W(i, 2) x 16, W(i, 3) x 16 | the next 16 | ... |
 */
static void taps_of(float *taps, const float *W, int cols, int back) {
    for (int i = 0; i < cols; i++)
        for (int c = 0; c < B; c++)
            taps[i / LANES * B * LANES + c * LANES + i % LANES] =
                back ? W[i / B * B * B + c * B + i % B] : W[i * B + c];
}

/* Some rows of y = x W', or of dx = dy W: the same with the blocks transposed. */
static void four_rows(void *context, int index, int thread) {
    const blocks *a = context;
    float taps[SLICE * B] = {0};
    xl_view to = a->back ? a->x : a->y, from = a->back ? a->y : a->x;
    int last = (index + 1) * ROWS < to.rows ? (index + 1) * ROWS : to.rows, cols = a->s.n * B;
    (void)thread;
    for (int at = 0; at < cols; at += SLICE) {
        int width = cols - at < SLICE ? cols - at : SLICE;
        taps_of(taps, a->W + (ptrdiff_t)at * B, width, a->back);
        for (int n = index * ROWS; n < last; n++) {
            const float *x = xl_row(from, n) + at;
            float *y = xl_row(to, n) + at;
            for (int i = 0; i < width; i += LANES) {
                const float *w = taps + i * B;
                floats v, sum = {0};
                load(&v, x + i, width - i);
                if (a->add)
                    load(&sum, y + i, width - i);
                else if (a->b)
                    load(&sum, a->b + at + i, width - i);
                sum += FLOATS(w) * BROADCAST(v, 0);
                sum += FLOATS(w + LANES) * BROADCAST(v, 1);
                sum += FLOATS(w + 2 * LANES) * BROADCAST(v, 2);
                sum += FLOATS(w + 3 * LANES) * BROADCAST(v, 3);
                store(y + i, &sum, width - i);
            }
        }
    }
}

/* 16 columns of one row, or n of them, with the weights as they lie, too few rows to turn them all first:
 * these are. */
static inline void four_blocks(float *y, const float *x, const float *W, const float *b, int n) {
    floats v, w0, w1, w2, w3, sum = {0};
    load(&v, x, n);
    load(&w0, W, B * n);
    load(&w1, W + LANES, B * n > LANES ? B * n - LANES : 0);
    load(&w2, W + 2 * LANES, B * n > 2 * LANES ? B * n - 2 * LANES : 0);
    load(&w3, W + 3 * LANES, B * n > 3 * LANES ? B * n - 3 * LANES : 0);
    if (b)
        load(&sum, b, n);
    floats even_low = EVENS(w0, w1), even_high = EVENS(w2, w3); /* taps 0 and 2 */
    floats odd_low = ODDS(w0, w1), odd_high = ODDS(w2, w3);     /* taps 1 and 3 */
    sum += EVENS(even_low, even_high) * BROADCAST(v, 0);
    sum += EVENS(odd_low, odd_high) * BROADCAST(v, 1);
    sum += ODDS(even_low, even_high) * BROADCAST(v, 2);
    sum += ODDS(odd_low, odd_high) * BROADCAST(v, 3);
    store(y, &sum, n);
}

static void few_rows(const blocks *a) {
    int cols = a->s.n * B, whole = cols / LANES * LANES;
    for (int n = 0; n < a->y.rows; n++) {
        const float *x = xl_row(a->x, n), *b = a->b;
        float *y = xl_row(a->y, n);
        for (int i = 0; i < whole; i += LANES)
            four_blocks(y + i, x + i, a->W + (ptrdiff_t)i * B, b ? b + i : NULL, LANES);
        if (whole < cols)
            four_blocks(y + whole, x + whole, a->W + (ptrdiff_t)whole * B, b ? b + whole : NULL,
                        cols - whole);
    }
}

/* The gradient of `width` columns' blocks, at most WIDE: dW[o][c] = sum dy_o x_c with c along the lanes. */
static inline void four_dw(const blocks *a, int at, int width) {
    floats sums[GROUPS][B] = {{{0}}}, bias[GROUPS] = {{0}};
    for (int n = 0; n < a->y.rows; n++) {
        const float *x = xl_row(a->x, n) + at, *dy = xl_row(a->y, n) + at;
        for (int g = 0; g < GROUPS && g * LANES < width; g++) {
            floats d, v;
            load(&d, dy + g * LANES, width - g * LANES);
            load(&v, x + g * LANES, width - g * LANES);
            sums[g][0] += BROADCAST(d, 0) * v;
            sums[g][1] += BROADCAST(d, 1) * v;
            sums[g][2] += BROADCAST(d, 2) * v;
            sums[g][3] += BROADCAST(d, 3) * v;
            bias[g] += d;
        }
    }
    for (int i = 0; i < width; i++) {
        float *dW = a->dW + (ptrdiff_t)((at + i) / B) * B * B;
        for (int o = 0; o < B; o++)
            dW[o * B + i % B] += sums[i / LANES][o][i % LANES];
        if (a->db)
            a->db[at + i] += bias[i / LANES][i % LANES];
    }
}

static void four_dw_columns(void *context, int index, int thread) {
    const blocks *a = context;
    int at = index * WIDE, width = a->s.n * B - at;
    (void)thread;
    if (width >= WIDE) /* its sums stay in registers */
        four_dw(a, at, WIDE);
    else
        four_dw(a, at, width);
}

/* ---- any matrix ---- */

typedef struct {
    xl_view y, x;
    xl_matrix W;
    const float *b;
    xl_heads s;
} products;

static void one_product(void *context, int j, int thread) {
    const products *p = context;
    xl_heads s = p->s;
    (void)thread;
    own->linear(xl_cols(p->y, j * s.ystep, s.out), xl_cols(p->x, j * s.in, s.in),
                xl_matrix_rows(p->W, j * s.out, s.out), p->b ? p->b + j * s.out : NULL);
}

/* ---- the ops ---- */

static int four(xl_heads s) {
    return s.in == B && s.out == B && s.ystep == B;
}

static int small(xl_heads s) {
    return s.in < SMALL_BLOCK && s.out < SMALL_BLOCK;
}

static void heads_real(xl_view y, xl_view x, xl_matrix W, const float *b, xl_heads s) {
    blocks a = {.y = y, .x = x, .W = W.data, .b = b, .s = s};
    if (four(s) && y.rows < FEW_ROWS)
        few_rows(&a);
    else if (four(s))
        xl_parallel(parts(y.rows, ROWS), four_rows, &a);
    else if (small(s))
        xl_parallel(parts(y.rows, ROWS), any_task, &a);
    else if (y.rows <= XL_FEW_ROWS)
        xl_parallel(s.n, one_product, &(products){y, x, W, b, s});
    else
        XL_ISA_NAME(xl_heads_real)(y, x, W.data, b, s);
}

static void heads(xl_view y, xl_view x, xl_matrix W, const float *b, xl_heads s) {
    if (W.type == XL_REAL)
        heads_real(y, x, W, b, s);
    else
        xl_parallel(s.n, one_product, &(products){y, x, W, b, s});
}

static void heads_dx(xl_view dx, xl_view dy, const float *W, xl_heads s, int add) {
    blocks a = {.y = dy, .x = dx, .W = W, .s = s, .add = add, .back = 1};
    if (four(s))
        xl_parallel(parts(dy.rows, ROWS), four_rows, &a);
    else
        XL_ISA_NAME(xl_heads_real_dx)(dx, dy, W, s, add);
}

static void heads_dw(float *dW, float *db, xl_view x, xl_view dy, xl_heads s) {
    blocks a = {.y = dy, .x = x, .dW = dW, .db = db, .s = s};
    if (four(s))
        xl_parallel(parts(s.n * B, WIDE), four_dw_columns, &a);
    else
        XL_ISA_NAME(xl_heads_real_dw)(dW, db, x, dy, s);
}

void XL_ISA_NAME(xl_install_heads)(xl_ops *table) {
    own = table;
    table->heads = heads;
    table->heads_dx = heads_dx;
    table->heads_dw = heads_dw;
}
