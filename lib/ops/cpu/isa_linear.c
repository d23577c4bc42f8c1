/* isa_linear.c - products with a matrix. Those of reals are in isa_rows.c, of smaller numbers in
 * isa_packed.c. */
#include "ops/cpu/block.h"
#include "ops/cpu/cpu.h"
#include <assert.h>

enum { TASK_ROWS = 64, SMALL_PRODUCT = 1 << 16 };

static const xl_ops *own; /* the table these kernels are in */

/* ---- few rows of x ---- */

typedef struct {
    xl_view y, x;
    xl_matrix W;
    const float *b;
} product;

static void few_task(void *context, int index, int thread) {
    const product *p = context;
    int from = index * TASK_ROWS, left = p->W.rows - from, rows = left < TASK_ROWS ? left : TASK_ROWS;
    (void)thread;
    XL_ISA_NAME(xl_multiply_rows)
    (xl_cols(p->y, from, rows), p->x, xl_const_rows(xl_matrix_row(&p->W, from), rows, p->W.cols),
     p->b ? p->b + from : NULL, 0);
}

/* Reading the matrix is all the time there is: it is cut for threads by its rows alone. */
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
