/* isa_linear.c - products with a matrix. With few rows of x, reading the matrix is all the time there is, and
 * one of reals has a kernel of its own; with many it is taken as it is (isa_gemm.c). Those of smaller numbers
 * are in isa_packed.c. */
#include "ops/cpu/block.h"
#include "ops/cpu/cpu.h"
#include "ops/cpu/vec.h"
#include <assert.h>
#include <string.h>

enum { AHEAD = 4096, TASK_ROWS = 64, SMALL_PRODUCT = 1 << 16 };

static const xl_ops *own; /* the table these kernels are in */

static inline float add_up(const floats *v) {
    float sums[LANES];
    memcpy(sums, v, sizeof sums);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            sums[i] += sums[i + half];
    return sums[0];
}

/* sums[r] = row r of W times x. One row after the other, so that memory is read as it lies; four sums are
 * under way along the row. What is AHEAD is fetched: what the processor fetches by itself stops at the end of
 * a page. */
static void dots(float *sums, const float *w, int rows, const float *x, int n) {
    for (int r = 0; r < rows; r++, w += n) {
        floats s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
        int k = 0;
        for (; k + 4 * LANES <= n; k += 4 * LANES) {
            for (int vector = 0; vector < 4; vector++)
                __builtin_prefetch((const char *)(w + k + vector * LANES) + AHEAD);
            s0 += FLOATS(w + k) * FLOATS(x + k);
            s1 += FLOATS(w + k + LANES) * FLOATS(x + k + LANES);
            s2 += FLOATS(w + k + 2 * LANES) * FLOATS(x + k + 2 * LANES);
            s3 += FLOATS(w + k + 3 * LANES) * FLOATS(x + k + 3 * LANES);
        }
        for (; k + LANES <= n; k += LANES)
            s0 += FLOATS(w + k) * FLOATS(x + k);
        s0 = (s0 + s1) + (s2 + s3);
        sums[r] = add_up(&s0);
        for (; k < n; k++)
            sums[r] += w[k] * x[k];
    }
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

static void few_task(void *context, int index, int thread) {
    const product *p = context;
    int from = index * TASK_ROWS, rows = least(TASK_ROWS, p->W.rows - from);
    (void)thread;
    for (int n = 0; n < p->x.rows; n++) {
        float *y = xl_row(p->y, n) + from;
        dots(y, xl_matrix_row(&p->W, from), rows, xl_row(p->x, n), p->W.cols);
        for (int r = 0; r < rows && p->b; r++)
            y[r] += p->b[from + r];
    }
}

static void few(xl_view y, xl_view x, xl_matrix W, const float *b) {
    assert(x.p && y.p); /* slices of views keep a NULL */
    product p = {y, x, W, b};
    int tasks = (W.rows + TASK_ROWS - 1) / TASK_ROWS;
    if ((double)W.rows * W.cols * x.rows < SMALL_PRODUCT)
        for (int i = 0; i < tasks; i++)
            few_task(&p, i, 0);
    else
        xl_parallel(tasks, few_task, &p);
}

/* ---- the ops ---- */

static void linear(xl_view y, xl_view x, xl_matrix W, const float *b) {
    if (W.type != XL_REAL)
        XL_ISA_NAME(xl_linear_packed)(y, x, W, b);
    else if (x.rows > XL_FEW_ROWS)
        XL_ISA_NAME(xl_linear_real)(y, x, W.data, b);
    else
        few(y, x, W, b);
}

static void xent_linear(float *each, xl_view dx, float *dW, xl_view x, const float *W, int classes,
                        const int32_t *targets, const float *scale, float *scratch) {
    xl_xent_linear_by_rows(own, each, dx, dW, x, W, classes, targets, scale, scratch);
}

void XL_ISA_NAME(xl_install_linear)(xl_ops *table) {
    own = table;
    table->linear = linear;
    table->xent_linear = xent_linear;
    table->xent_linear_scratch = xl_xent_linear_by_rows_scratch;
}
