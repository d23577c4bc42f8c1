/* isa_bf16.c - the table with products in bfloat16: it differs from the float one in those that are large
 * enough, and in the head with its cross-entropy. There logits are only ever a few tiles of 32 x 32. A task
 * has some of the classes. First it takes their logits of all rows, and of each row the largest and the sum
 * of exponentials; from all tasks' comes each row's log-sum-exp. Then it makes its logits once more, and from
 * them their gradient, which goes into both products at once. Tasks share no sum but the gradient of x, of
 * which each has its own, so results do not depend on the thread count. */
#include "ops/cpu/bf16.h"
#include "ops/cpu/vec.h"
#include <string.h>

static const xl_ops *own, *floats_of; /* the table these kernels are in, and the one with float products */
static const xl_bf16_kernel *kernel;

/* ---- linear ---- */

static int large(int M, int N, int K) {
    return M >= BF16_DEPTH && N >= BF16_DEPTH && K >= BF16_DEPTH;
}

static void linear(xl_view y, xl_view x, xl_matrix W, const float *b) {
    if (W.type != XL_REAL || !large(y.rows, y.cols, x.cols)) {
        floats_of->linear(y, x, W, b);
        return;
    }
    xl_bf16_run(kernel, &(xl_bf16_product){.M = y.rows,
                                           .N = y.cols,
                                           .K = x.cols,
                                           .A = x.p,
                                           .lda = x.ld,
                                           .B = W.data,
                                           .ldb = x.cols,
                                           .tB = 1,
                                           .bias = b,
                                           .C = y.p,
                                           .ldc = y.ld});
}

static void linear_dx(xl_view dx, xl_view dy, const float *W, int add) {
    if (!large(dx.rows, dx.cols, dy.cols)) {
        floats_of->linear_dx(dx, dy, W, add);
        return;
    }
    xl_bf16_run(kernel, &(xl_bf16_product){.M = dx.rows,
                                           .N = dx.cols,
                                           .K = dy.cols,
                                           .A = dy.p,
                                           .lda = dy.ld,
                                           .B = W,
                                           .ldb = dx.cols,
                                           .C = dx.p,
                                           .ldc = dx.ld,
                                           .add = add});
}

static void linear_dw(float *dW, float *db, xl_view x, xl_view dy) {
    if (!large(dy.cols, x.cols, x.rows)) {
        floats_of->linear_dw(dW, db, x, dy);
        return;
    }
    xl_bf16_run(kernel, &(xl_bf16_product){.M = dy.cols,
                                           .N = x.cols,
                                           .K = x.rows,
                                           .A = dy.p,
                                           .lda = dy.ld,
                                           .tA = 1,
                                           .B = x.p,
                                           .ldb = x.ld,
                                           .C = dW,
                                           .ldc = x.cols,
                                           .add = 1});
    if (db)
        XL_ISA_NAME(xl_column_sums)(db, dy);
}

static uint64_t linear_room(void) {
    uint64_t tiles = xl_bf16_room(), floats = floats_of->linear_room();
    return tiles > floats ? tiles : floats;
}

/* ---- a head with its loss ---- */

enum { PANEL = BF16_BLOCK, TILE = PANEL * PANEL, ROWS = XL_XENT_ROWS, TASKS = XL_XENT_TASKS };
_Static_assert((int)XL_XENT_PANEL == (int)BF16_BLOCK, "classes and rows are cut into the kernels' panels");
_Static_assert((int)BF16_BLOCK == (int)BF16_DEPTH, "a panel of one operand is as deep as a tile of another");

typedef struct {
    float *each;
    xl_view dx, x;
    const float *W;
    float *dW;
    int classes;
    const int32_t *targets;
    float scale;
    xl_xent_cut cut;
    uint16_t *left,
        *right; /* x as the left operand, [rows, width], and transposed as a right one, ROWS at a time */
    float *top, *sum;    /* [TASKS, rows], of a task's logits: the largest, and of exp(logit - top) */
    float *lse, *chosen; /* [rows]: infinite where nothing counts; the target's logit */
    float *parts;        /* [TASKS, rows, width]: gradients of x */
    float *own;          /* by thread */
} job;

/* Classes that a task has packed: as right operand of logits, and transposed as that of the gradient of x. */
typedef struct {
    int from, end, panels;
    uint16_t *wide, *transposed;
    uint16_t *p,
        *p_transposed; /* gradients of logits as left operands: of PANEL rows, and of ROWS transposed */
    float *logits;     /* [panels, PANEL, PANEL], in the place of p_transposed */
} piece;

static int least(int a, int b) {
    return a < b ? a : b;
}

static int panels_of(int n) {
    return xl_bf16_parts(n, PANEL);
}

/* ---- its scratch ---- */

/* What one thread has, in floats; all but `logits` in bfloat16, P = most classes of a piece:
 *
 *     | wide: P x width | transposed: P x width | p: P x PANEL | p_transposed or logits: P x ROWS |
 */
static uint64_t of_a_thread(xl_xent_cut c) {
    return (uint64_t)c.piece * (uint64_t)(c.width + (ROWS + PANEL) / 2);
}

/* Panels are dealt out evenly. */
static piece piece_of(const job *j, int task, int index, int thread) {
    int panels = panels_of(j->classes), count = j->cut.pieces;
    int first = (int)((int64_t)panels * task / TASKS), after = (int)((int64_t)panels * (task + 1) / TASKS);
    ptrdiff_t most = j->cut.piece;
    piece p = {.from = PANEL * (first + (after - first) * index / count),
               .end = PANEL * (first + (after - first) * (index + 1) / count)};
    p.end = least(p.end, j->classes);
    p.panels = panels_of(p.end - p.from);
    p.wide = (uint16_t *)(j->own + (uint64_t)thread * of_a_thread(j->cut));
    p.transposed = p.wide + most * j->cut.width;
    p.p = p.transposed + most * j->cut.width;
    p.p_transposed = p.p + most * PANEL;
    p.logits = (float *)p.p_transposed;
    return p;
}

/* | left | right | parts | of every thread | top | sum | lse | chosen |, shapes as in `job` */
static uint64_t scratch_of(xl_xent_cut c) {
    uint64_t rows = (uint64_t)c.rows, width = (uint64_t)c.width;
    return (1 + TASKS) * rows * width + (uint64_t)xl_threads() * of_a_thread(c) + 2 * (TASKS + 1) * rows;
}

static void layout(job *j, float *scratch) {
    ptrdiff_t rows = j->cut.rows, x = rows * j->cut.width;
    j->left = (uint16_t *)scratch;
    j->right = j->left + x;
    j->parts = scratch + x;
    j->own = j->parts + TASKS * x;
    j->top = j->own + (uint64_t)xl_threads() * of_a_thread(j->cut);
    j->sum = j->top + TASKS * rows;
    j->lse = j->sum + TASKS * rows;
    j->chosen = j->lse + rows;
}

/* ---- its operands ---- */

static void pack_x(void *context, int index, int thread) {
    const job *j = context;
    int from = index * ROWS, end = least(from + ROWS, j->x.rows), D = j->x.cols;
    ptrdiff_t at = (ptrdiff_t)from * j->cut.width;
    xl_bf16_panels rows = {j->left + at, from, end, D}, cols = {j->right + at, 0, D, end - from};
    (void)thread;
    xl_bf16_pack_panels(kernel, rows, (xl_bf16_operand){j->x.p, j->x.ld, 0, 0}, 0);
    if (j->dx.p)
        xl_bf16_pack_panels(kernel, cols, (xl_bf16_operand){j->x.p, j->x.ld, 1, 1}, from);
}

static void pack_classes(const job *j, const piece *p, int transposed) {
    int D = j->x.cols;
    xl_bf16_panels classes = {p->wide, p->from, p->end, D}, cols = {p->transposed, 0, D, p->end - p->from};
    xl_bf16_pack_panels(kernel, classes, (xl_bf16_operand){j->W, D, 0, 1}, 0);
    if (transposed)
        xl_bf16_pack_panels(kernel, cols, (xl_bf16_operand){j->W, D, 1, 1}, p->from);
}

/* Of PANEL rows from m on and a panel of the piece; behind the last class is nothing. */
static void logits_of(const job *j, const piece *p, int m, int panel, float *tile) {
    ptrdiff_t width = j->cut.width;
    int there = p->end - p->from - panel * PANEL;
    kernel->multiply(j->cut.width / BF16_DEPTH, j->left + m * width, p->wide + panel * PANEL * width, tile);
    for (int i = 0; there < PANEL && i < PANEL; i++)
        for (int k = there; k < PANEL; k++)
            tile[i * PANEL + k] = -INFINITY;
}

/* ---- its losses ---- */

/* A row's largest logit and sum of exp(logit - top) go on through those of a piece, x[panel][..][PANEL]. */
static void softmax_row(float *top, float *sum, const float *x, int panels) {
    float lane[PANEL], now = *top, total = 0;
    for (int k = 0; k < PANEL; k++)
        lane[k] = now;
    for (const float *l = x; l < x + panels * TILE; l += TILE)
#pragma omp simd
        for (int k = 0; k < PANEL; k++)
            lane[k] = l[k] > lane[k] ? l[k] : lane[k];
    for (int k = 0; k < PANEL; k++)
        now = lane[k] > now ? lane[k] : now;
    memset(lane, 0, sizeof lane);
    for (const float *l = x; l < x + panels * TILE; l += TILE)
#pragma omp simd
        for (int k = 0; k < PANEL; k++)
            lane[k] += vec_exp(l[k] - now);
    for (int k = 0; k < PANEL; k++)
        total += lane[k];
    *sum = *sum * vec_exp(*top - now) + total;
    *top = now;
}

static void softmax_panel(const job *j, const piece *p, int task, int m) {
    ptrdiff_t first = (ptrdiff_t)task * j->cut.rows + m;
    for (int panel = 0; panel < p->panels; panel++)
        logits_of(j, p, m, panel, p->logits + panel * TILE);
    for (int i = 0; i < least(PANEL, j->x.rows - m); i++) {
        int target = j->targets[m + i], at = target - p->from;
        softmax_row(j->top + first + i, j->sum + first + i, p->logits + i * PANEL, p->panels);
        if (target >= p->from && target < p->end)
            j->chosen[m + i] = p->logits[at / PANEL * TILE + i * PANEL + at % PANEL];
    }
}

static void softmax_task(void *context, int task, int thread) {
    const job *j = context;
    for (int n = 0; n < j->x.rows; n++) {
        j->top[(ptrdiff_t)task * j->cut.rows + n] = -INFINITY;
        j->sum[(ptrdiff_t)task * j->cut.rows + n] = 0;
    }
    if (kernel->begin)
        kernel->begin();
    for (int index = 0; index < j->cut.pieces; index++) {
        piece p = piece_of(j, task, index, thread);
        pack_classes(j, &p, 0);
        for (int m = 0; m < j->x.rows; m += PANEL)
            softmax_panel(j, &p, task, m);
    }
    if (kernel->end)
        kernel->end();
}

/* Of some rows, from what all tasks found. */
static void losses(void *context, int index, int thread) {
    const job *j = context;
    ptrdiff_t rows = j->cut.rows;
    (void)thread;
    for (int n = index * PANEL; n < (index + 1) * PANEL; n++) {
        int counts = n < j->x.rows && j->targets[n] >= 0;
        float top = -INFINITY, total = 0;
        for (ptrdiff_t at = n; counts && at < TASKS * rows; at += rows)
            top = j->top[at] > top ? j->top[at] : top;
        for (ptrdiff_t at = n; counts && at < TASKS * rows; at += rows)
            total += j->sum[at] * vec_exp(j->top[at] - top);
        j->lse[n] = counts ? top + logf(total) : INFINITY;
        if (j->each && n < j->x.rows)
            j->each[n] = counts ? logf(total) + (top - j->chosen[n]) : 0;
    }
}

/* ---- its gradients ---- */

/* From logits to their gradient, in place, and that packed. */
static void gradient_of(const job *j, const piece *p, int m, int panel, float *tile, uint16_t *transposed) {
    int first = p->from + panel * PANEL;
    uint16_t *to = p->p + panel * TILE;
    for (int i = 0; i < PANEL; i++) {
        float lse = j->lse[m + i], *row = tile + i * PANEL;
        if (lse == INFINITY) { /* does not count, and its logits may be anything */
            memset(row, 0, PANEL * sizeof *row);
            continue;
        }
#pragma omp simd
        for (int k = 0; k < PANEL; k++)
            row[k] = j->scale * vec_exp(row[k] - lse);
        int target = m + i < j->x.rows ? j->targets[m + i] - first : -1;
        if (target >= 0 && target < PANEL)
            row[target] -= j->scale;
    }
    for (int half = 0; half < 2; half++) {
        kernel->pack(to + half * BF16_TILE, tile + half * BF16_SIDE * PANEL, PANEL, 0, 0);
        kernel->pack(transposed + half * BF16_TILE, tile + half * BF16_SIDE, PANEL, 1, 0);
    }
}

/* ROWS rows from `from` on, past a piece: their part of its classes' gradient, its part of theirs. */
static void gradients_of_rows(const job *j, const piece *p, int task, int from, int first) {
    _Alignas(64) float tile[TILE];
    ptrdiff_t width = j->cut.width;
    int D = j->x.cols, end = least(from + ROWS, j->x.rows), deep = panels_of(end - from);
    const xl_bf16_product of_x = {
        .M = j->x.rows, .N = D, .C = j->parts + task * j->cut.rows * width, .ldc = width};
    const xl_bf16_product of_W = {.M = j->classes, .N = D, .C = j->dW, .ldc = D};
    const xl_bf16_panels classes = {p->transposed, 0, D, p->end - p->from};
    for (int m = from; m < end; m += PANEL) {
        for (int panel = 0; panel < p->panels; panel++) {
            logits_of(j, p, m, panel, tile);
            gradient_of(j, p, m, panel, tile, p->p_transposed + (panel * deep + (m - from) / PANEL) * TILE);
        }
        xl_bf16_panels rows = {p->p, m, m + PANEL, p->end - p->from};
        xl_bf16_multiply_panels(kernel, &of_x, rows, classes, first);
    }
    xl_bf16_panels rows = {p->p_transposed, p->from, p->end, end - from};
    xl_bf16_panels x = {j->right + from * width, 0, D, end - from};
    xl_bf16_multiply_panels(kernel, &of_W, rows, x, 0);
}

static void gradients_task(void *context, int task, int thread) {
    const job *j = context;
    if (kernel->begin)
        kernel->begin();
    for (int index = 0; index < j->cut.pieces; index++) {
        piece p = piece_of(j, task, index, thread);
        pack_classes(j, &p, 1);
        for (int from = 0; from < j->x.rows; from += ROWS)
            gradients_of_rows(j, &p, task, from, index == 0);
    }
    if (kernel->end)
        kernel->end();
}

static void sum_parts(void *context, int index, int thread) {
    const job *j = context;
    ptrdiff_t width = j->cut.width, part = j->cut.rows * width;
    (void)thread;
    for (int n = index * PANEL; n < least((index + 1) * PANEL, j->x.rows); n++) {
        float *dx = xl_row(j->dx, n);
        const float *from = j->parts + n * width;
        memcpy(dx, from, (size_t)j->x.cols * sizeof *dx);
        for (int task = 1; task < TASKS; task++) {
            from += part;
#pragma omp simd
            for (int c = 0; c < j->x.cols; c++)
                dx[c] += from[c];
        }
    }
}

/* ---- the op ---- */

static void some_rows(const job *all, int from) {
    job j = *all;
    int rows = least(all->cut.rows, all->x.rows - from);
    j.x = xl_some_rows(all->x, from, rows);
    j.dx = xl_some_rows(all->dx, from, rows);
    j.targets += from;
    j.each = all->each ? all->each + from : NULL;
    xl_parallel(xl_bf16_parts(rows, ROWS), pack_x, &j);
    xl_parallel(TASKS, softmax_task, &j);
    xl_parallel(panels_of(rows), losses, &j);
    if (!j.dx.p)
        return;
    xl_parallel(TASKS, gradients_task, &j);
    xl_parallel(panels_of(rows), sum_parts, &j);
}

static void xent_linear(float *each, xl_view dx, float *dW, xl_view x, const float *W, int classes,
                        const int32_t *targets, const float *scale, float *scratch) {
    xl_xent_cut cut = xl_xent_cut_of(x.rows, classes, x.cols);
    if (!cut.rows) {
        xl_xent_linear_by_rows(own, each, dx, dW, x, W, classes, targets, scale, scratch);
        return;
    }
    job j = {.each = each,
             .dx = dx,
             .x = x,
             .W = W,
             .dW = dW,
             .classes = classes,
             .targets = targets,
             .scale = dx.p ? *scale : 0,
             .cut = cut};
    layout(&j, scratch);
    for (int from = 0; from < x.rows; from += cut.rows)
        some_rows(&j, from);
}

/* Enough for fewer rows too. */
static uint64_t xent_linear_scratch(int rows, int classes, int width) {
    xl_xent_cut cut = xl_xent_cut_of(rows, classes, width);
    uint64_t whole = xl_xent_linear_by_rows_scratch(rows, classes, width);
    return cut.rows && scratch_of(cut) > whole ? scratch_of(cut) : whole;
}

void XL_ISA_NAME(xl_install_bf16)(xl_ops *table, const xl_ops *floats) {
    own = table;
    floats_of = floats;
    kernel = xl_bf16_kernel_at(0);
    table->linear = linear;
    table->linear_room = linear_room;
    table->linear_dx = linear_dx;
    table->linear_dw = linear_dw;
    table->xent_linear = xent_linear;
    table->xent_linear_scratch = xent_linear_scratch;
}
