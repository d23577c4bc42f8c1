/* test_rows.c - a row's bits do not depend on how many rows are computed with it, on every table of kernels.
 */
#include "ops/cpu/cpu.h"
#include "support/random.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { LEAST_ROWS = 1, MOST_ROWS = 64, CASES = 120 };

/* Of a random width, in some cases a round one. */
static int some(uint64_t seed, int most) {
    int n = 1 + (int)(xl_hash(seed, 1) % (uint64_t)most);
    return xl_hash(seed, 2) % 3 ? n : (n + 15) / 16 * 16;
}

static float *numbers(size_t count, uint64_t seed) {
    float *p = malloc((count + 1) * sizeof *p);
    fill_normal(p, count, 1, seed);
    return p;
}

typedef struct {
    xl_heads s; /* one of them is the op linear */
    float *x, *W, *b;
} inputs;

static void run(const xl_ops *op, const inputs *in, float *y, int from, int rows) {
    xl_heads s = in->s;
    xl_matrix W = {.data = in->W, .type = XL_REAL, .rows = s.n * s.out, .cols = s.in};
    xl_view X = xl_rows(in->x + (ptrdiff_t)from * s.n * s.in, rows, s.n * s.in);
    xl_view Y = xl_rows(y + (ptrdiff_t)from * s.n * s.ystep, rows, s.n * s.ystep);
    if (s.n == 1)
        op->linear(Y, X, W, in->b);
    else
        op->heads(Y, X, W, in->b, s);
}

static void rows_among_some(const xl_ops *op, uint64_t seed) {
    int heads = seed % 2 ? 1 : 2 + (int)(xl_hash(seed, 3) % 5), most = heads > 1 ? 70 : 400;
    int I = some(seed + 1, most), O = some(seed + 2, most);
    if (heads > 1 && seed % 8 == 0) /* the paper's blocks */
        heads = some(seed + 3, 60), I = O = 4;
    inputs in = {.s = {heads, I, O, O}};
    int rows = LEAST_ROWS + (int)(xl_hash(seed, 4) % (MOST_ROWS - LEAST_ROWS + 1));
    size_t outputs = (size_t)rows * (size_t)(heads * O);
    in.x = numbers((size_t)rows * (size_t)(heads * I), seed);
    in.W = numbers((size_t)(heads * O) * (size_t)I, seed + 1);
    float *b = numbers((size_t)(heads * O), seed + 2), *together = numbers(outputs, seed),
          *alone = numbers(outputs, seed + 1);
    in.b = xl_hash(seed, 5) % 2 ? b : NULL;
    run(op, &in, together, 0, rows);
    for (int n = 0; n < rows;) { /* in a smaller company; the last ones with some of those before */
        int few = LEAST_ROWS + (int)(xl_hash(seed, 6 + (uint64_t)n) % 9),
            from = n < rows - few ? n : rows - few;
        few = few < rows ? few : rows;
        from = from > 0 ? from : 0;
        run(op, &in, alone, from, few);
        n = from + few;
    }
    for (size_t i = 0; i < outputs; i++)
        if (memcmp(together + i, alone + i, sizeof *alone))
            fail_msg("%s: %d rows of %d blocks, %d to %d: row %zu, column %zu is %.9g among others, %.9g "
                     "among some",
                     op->name, rows, heads, I, O, i / (size_t)(heads * O), i % (size_t)(heads * O),
                     (double)together[i], (double)alone[i]);
    free(in.x), free(in.W), free(b), free(together), free(alone);
}

static void test_rows_among_some(void **state) {
    (void)state;
#ifdef XL_PRODUCTS_BY_BLAS
    skip(); /* BLAS promises nothing of the kind */
#endif
    for (uint64_t seed = 0; seed < CASES; seed++) {
        rows_among_some(&xl_ops_ref, seed);
        for (int i = 0; i < XL_ISAS; i++)
            if (xl_cpu_isa(i))
                rows_among_some(xl_cpu_isa(i), seed);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows_among_some)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
