/* isa_rows.c - the product y = start + x W' of reals, in which a number's bits depend on its row of x and its
 * row of W alone: not on how many rows there are, how many threads, or how wide the vectors are.
 *
 * Along k lie both, four numbers (a quad) at a time. A vector holds the same quad of several rows of W, one
 * in each of its parts of 128 bits, and meets a quad of x that is repeated in all parts: so W is read as it
 * lies, and nothing has to be turned. A sum is four sums, of the numbers with k = 0, 1, 2, 3 modulo 4,
 *
 *     start + ((s0 + s2) + (s1 + s3)),
 *
 * which are added up after every DEPTH numbers. Four vectors of a tile are WIDTH rows of W; row 4 p + v of
 * them is in part p of vector v, since then the sums come out in order:
 *
 *     vector 0 | W0 | W4 | W8  | W12 |      each a quad
 *     vector 1 | W1 | W5 | W9  | W13 |
 *     vector 2 | W2 | W6 | W10 | W14 |
 *     vector 3 | W3 | W7 | W11 | W15 |
 *
 * With few rows of x these are loaded from W itself, with many from a panel that is a copy of them. */
#include "ops/cpu/block.h"
#include "ops/cpu/cpu.h"
#include "ops/cpu/lanes.h"
#include <assert.h>
#include <string.h>
#if defined(__AVX__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__) || defined(__aarch64__)
enum { SUMS = 24 };
#else
enum { SUMS = 12 };
#endif
enum {
    QUAD = 4,
    PARTS = WIDTH / QUAD,
    ROWS = 6,
    DEPTH = 256,
    LINE = 16
}; /* SUMS: as many as stay in registers */

/* In every part a0 b0 a1 b1, a2 b2 a3 b3; a0 a1 b0 b1, a2 a3 b2 b3. */
#if defined(__AVX512F__)
#define IN_PARTS(a, b, i, j, k, l)                                                                           \
    __builtin_shufflevector(a, b, i, j, k, l, i + 4, j + 4, k + 4, l + 4, i + 8, j + 8, k + 8, l + 8,        \
                            i + 12, j + 12, k + 12, l + 12)
#elif defined(__AVX__)
#define IN_PARTS(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l, i + 4, j + 4, k + 4, l + 4)
#else
#define IN_PARTS(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#endif
#define ZIP_LOW(a, b) IN_PARTS(a, b, 0, WIDTH, 1, WIDTH + 1)
#define ZIP_HIGH(a, b) IN_PARTS(a, b, 2, WIDTH + 2, 3, WIDTH + 3)
#define HALVES_LOW(a, b) IN_PARTS(a, b, 0, 1, WIDTH, WIDTH + 1)
#define HALVES_HIGH(a, b) IN_PARTS(a, b, 2, 3, WIDTH + 2, WIDTH + 3)

/* A quad in every part, and the quads of rows 0, 4, 8, .. of those that are ld apart. */
static inline lanes repeated(const float *quad) {
#if defined(__AVX512F__)
    return (lanes)_mm512_broadcast_f32x4(_mm_loadu_ps(quad));
#elif defined(__AVX__)
    return (lanes)_mm256_broadcast_ps((const __m128 *)quad);
#else
    return LANES_OF(quad);
#endif
}

static inline lanes quads(const float *row, ptrdiff_t ld) {
#if defined(__AVX512F__)
    __m512 v = _mm512_castps128_ps512(_mm_loadu_ps(row));
    v = _mm512_mask_broadcast_f32x4(v, 0x00f0, _mm_loadu_ps(row + 4 * ld));
    v = _mm512_mask_broadcast_f32x4(v, 0x0f00, _mm_loadu_ps(row + 8 * ld));
    return (lanes)_mm512_mask_broadcast_f32x4(v, 0xf000, _mm_loadu_ps(row + 12 * ld));
#elif defined(__AVX__)
    return (lanes)_mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(row)), _mm_loadu_ps(row + 4 * ld),
                                       1);
#else
    (void)ld;
    return LANES_OF(row);
#endif
}

/* ---- a tile ---- */

/* Rows of x and WIDTH rows of W, these as they lie, ldw apart, or in a panel. What is left over of k is in
 * `rest`: W's numbers, and zeros, as a panel has them. What is next of W starts at `next`. */
typedef struct {
    const float *x, *W, *next;
    ptrdiff_t ldx, ldw;
    int deep, left;
    lanes rest[QUAD];
} strip;

/* What is next of W is asked for along its rows, a line of the cache for every quad of a part: what the
 * processor fetches by itself stops at the end of a page, and does not foresee the next rows. */
typedef struct {
    const float *row;
    int col;
} ahead;

static inline void fetch(ahead *a, const strip *s) {
#pragma GCC unroll 4
    for (int line = 0; line < PARTS; line++)
        __builtin_prefetch(a->row + a->col + line * LINE);
    a->col += PARTS * LINE;
    if (a->col >= s->deep)
        *a = (ahead){a->row + s->ldw, 0};
}

/* pairs[i]: of row m + i with vectors v and v + 1, for those v that are counted from `from` on, every
 * sum in two halves. The counts are constants where this is inlined. */
static inline __attribute__((always_inline)) void half_tile(lanes (*pairs)[2], const strip *s, int m,
                                                            int rows, int direct, int from, int vectors) {
    lanes sum[ROWS][QUAD] = {{{0}}}, w[QUAD];
    const float *x = s->x + m * s->ldx, *W = s->W + from * (direct ? s->ldw : WIDTH);
    ptrdiff_t ldx = s->ldx, ldw = s->ldw;
    ahead next = {s->next, 0};
    for (int k = s->deep; k >= QUAD; k -= QUAD, x += QUAD, W += direct ? QUAD : QUAD * WIDTH) {
        if (direct && from == 0)
            fetch(&next, s);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            w[v] = direct ? quads(W + v * ldw, ldw) : LANES_OF(W + v * WIDTH);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            lanes quad = repeated(x + i * ldx);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                sum[i][v] += quad * w[v];
        }
    }
    if (s->left)
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            float last[QUAD] = {0};
            memcpy(last, x + i * ldx, (size_t)s->left * sizeof *last);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                sum[i][v] += repeated(last) * s->rest[from + v];
        }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v += 2)
            pairs[i][(from + v) / 2] = ZIP_LOW(sum[i][v], sum[i][v + 1]) + ZIP_HIGH(sum[i][v], sum[i][v + 1]);
}

/* sums[i]: of row m + i with each row of W. */
static inline __attribute__((always_inline)) void tile(lanes *sums, const strip *s, int m, int rows,
                                                       int direct) {
    lanes pairs[ROWS][2];
    if (rows * QUAD <= SUMS)
        half_tile(pairs, s, m, rows, direct, 0, QUAD);
    else {
        half_tile(pairs, s, m, rows, direct, 0, QUAD / 2);
        half_tile(pairs, s, m, rows, direct, QUAD / 2, QUAD / 2);
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
        sums[i] = HALVES_LOW(pairs[i][0], pairs[i][1]) + HALVES_HIGH(pairs[i][0], pairs[i][1]);
}

static inline __attribute__((always_inline)) void some_rows(lanes *sums, const strip *s, int m, int rows,
                                                            int direct) {
    switch (rows) {
    case 1:
        tile(sums, s, m, 1, direct);
        break;
    case 2:
        tile(sums, s, m, 2, direct);
        break;
    case 3:
        tile(sums, s, m, 3, direct);
        break;
    case 4:
        tile(sums, s, m, 4, direct);
        break;
    case 5:
        tile(sums, s, m, 5, direct);
        break;
    default:
        tile(sums, s, m, 6, direct);
    }
}

/* ---- a product on one thread ---- */

/* The quads from k on of WIDTH rows, or of fewer and zeros. */
static void gather(lanes *w, xl_view W, int k, int deep) {
    if (deep >= QUAD && W.rows == WIDTH) {
        for (int v = 0; v < QUAD; v++)
            w[v] = quads(xl_row(W, v) + k, W.ld);
        return;
    }
    float numbers[QUAD][WIDTH] = {{0}};
    for (int r = 0; r < W.rows; r++)
        memcpy(&numbers[r % QUAD][r / QUAD * QUAD], xl_row(W, r) + k,
               (size_t)part(deep, 0, QUAD) * sizeof(float));
    memcpy(w, numbers, sizeof numbers);
}

/* Where the sums go: of row i of x and row j of W to C[i*down + j*along], on top of what is in start. */
typedef struct {
    float *C;
    const float *start;
    ptrdiff_t down, along, start_down, start_along;
} place;

static void add_to(const place *p, int m, const lanes *sums, int rows, int cols) {
    for (int i = 0; i < rows; i++) {
        float *c = p->C + (m + i) * p->down;
        const float *start = p->start ? p->start + (m + i) * p->start_down : NULL;
        if (cols == WIDTH && p->along == 1)
            LANES_AT(c) = start ? LANES_OF(start) + sums[i] : sums[i];
        else
            for (int j = 0; j < cols; j++)
                c[j * p->along] = (start ? start[j * p->start_along] : 0) + sums[i][j];
    }
}

/* All rows of x with at most WIDTH of W. */
static void columns(place p, xl_view x, xl_view W) {
    _Alignas(64) float panel[DEPTH * WIDTH];
    int direct = x.rows <= ROWS && W.rows == WIDTH;
    for (int k = 0; k < x.cols; k += DEPTH) {
        int deep = part(x.cols, k, DEPTH), whole = deep / QUAD * QUAD;
        strip s = {.x = xl_row(x, 0) + k, .ldx = x.ld, .ldw = W.ld, .deep = whole, .left = deep - whole};
        s.W = direct ? xl_row(W, 0) + k : panel;
        s.next = xl_row(W, 0) + (k + DEPTH < x.cols ? k + DEPTH : WIDTH * W.ld);
        if (s.left)
            gather(s.rest, W, k + whole, s.left);
        ahead next = {s.next, 0};
        for (int i = 0; i < whole && !direct; i += QUAD) {
            lanes w[QUAD];
            fetch(&next, &s);
            gather(w, W, k + i, QUAD);
            memcpy(panel + i * WIDTH, w, sizeof w);
        }
        for (int m = 0; m < x.rows; m += ROWS) {
            lanes sums[ROWS];
            int rows = part(x.rows, m, ROWS);
            if (direct)
                some_rows(sums, &s, m, rows, 1);
            else
                some_rows(sums, &s, m, rows, 0);
            add_to(&p, m, sums, rows, W.rows);
        }
        p.start = p.C, p.start_down = p.down, p.start_along = p.along;
    }
}

void XL_ISA_NAME(xl_multiply_rows)(xl_view y, xl_view x, xl_view W, const float *start, ptrdiff_t ldstart) {
    int whole = W.rows / WIDTH * WIDTH, rest = W.rows - whole;
#ifdef __AVX512F__ /* one row waits for memory, which gives 8 rows of W faster than 16; the bits are the     \
                      same */
    if (x.rows == 1) {
        xl_multiply_rows_avx2(y, x, W, start, ldstart);
        return;
    }
#endif
    for (int n = 0; n < whole; n += WIDTH) {
        place p = {xl_row(y, 0) + n, start ? start + n : NULL, y.ld, 1, ldstart, 1};
        columns(p, x, xl_some_rows(W, n, WIDTH));
    }
    /* Of few rows of W it is those of x that fill vectors. */
    for (int m = 0; m < x.rows && rest; m += WIDTH) {
        place p = {xl_row(y, m) + whole, start ? start + m * ldstart + whole : NULL, 1, y.ld, 1, ldstart};
        columns(p, xl_some_rows(W, whole, rest), xl_some_rows(x, m, part(x.rows, m, WIDTH)));
    }
}
