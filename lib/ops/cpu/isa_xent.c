/* A head's product with the cross-entropy behind it and the gradients of both, in bfloat16: logits are only
 * ever a few tiles of 32 x 32. A task has some of the classes. First it takes their logits of all rows and
 * notes the largest and the sum of exponentials; from all tasks' notes comes each row's log-sum-exp. Then it
 * makes its logits once more, and from them their gradient, which goes into both products at once. Tasks
 * share no sum but the gradient of x, of which each has its own, so results do not depend on the thread
 * count. */
#include "ops/cpu/bf16.h"
#include "ops/cpu/vec.h"
#include <string.h>

enum { PANEL = BF16_BLOCK, TILE = PANEL * PANEL, ROWS = XL_XENT_ROWS, TASKS = XL_XENT_TASKS };
_Static_assert((int)XL_XENT_PANEL == (int)BF16_BLOCK, "classes and rows are cut into the kernels' panels");

static const xl_bf16_kernel *kernel;

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
        *right;          /* x as the left operand, [rows, width], and turned as a right one, ROWS at a time */
    float *top, *sum;    /* [TASKS, rows], of a task's logits: the largest, and of exp(logit - top) */
    float *lse, *chosen; /* [rows]: infinite where nothing counts; the target's logit */
    float *parts;        /* [TASKS, rows, width]: gradients of x */
    float *own;          /* by thread */
} job;

/* Classes that a task has packed: as right operand of logits, and turned as that of the gradient of x. */
typedef struct {
    int from, end, panels;
    uint16_t *wide, *turned;
    uint16_t *p, *p_turned; /* gradients of logits as left operands: of PANEL rows, and of ROWS rows turned */
    float *logits;          /* [panels, PANEL, PANEL], in the place of p_turned */
} piece;

static int least(int a, int b) {
    return a < b ? a : b;
}

static int panels_of(int n) {
    return xl_bf16_parts(n, PANEL);
}

/* Panels are dealt out evenly. */
static piece piece_of(const job *j, int task, int index, int thread) {
    int panels = panels_of(j->classes), count = j->cut.pieces;
    int first = (int)((int64_t)panels * task / TASKS), after = (int)((int64_t)panels * (task + 1) / TASKS);
    size_t width = (size_t)j->cut.width, most = (size_t)j->cut.piece;
    piece p = {.from = PANEL * (first + (after - first) * index / count),
               .end = PANEL * (first + (after - first) * (index + 1) / count)};
    p.end = least(p.end, j->classes);
    p.panels = panels_of(p.end - p.from);
    p.wide = (uint16_t *)(j->own + (size_t)thread * most * (width + (ROWS + PANEL) / 2));
    p.turned = p.wide + most * width;
    p.p = p.turned + most * width;
    p.p_turned = p.p + most * PANEL;
    p.logits = (float *)p.p_turned;
    return p;
}

static void pack_x(void *context, int index, int thread) {
    const job *j = context;
    int from = index * ROWS, end = least(from + ROWS, j->x.rows), D = j->x.cols;
    size_t at = (size_t)from * (size_t)j->cut.width;
    (void)thread;
    xl_bf16_pack_panels(kernel, j->left + at, (xl_bf16_operand){j->x.p, j->x.ld, 0, 0}, from, end, 0, D);
    if (j->dx.p)
        xl_bf16_pack_panels(kernel, j->right + at, (xl_bf16_operand){j->x.p, j->x.ld, 1, 1}, 0, D, from,
                            end - from);
}

static void pack_classes(const job *j, const piece *p, int turned) {
    size_t D = (size_t)j->x.cols;
    xl_bf16_pack_panels(kernel, p->wide, (xl_bf16_operand){j->W, D, 0, 1}, p->from, p->end, 0, (int)D);
    if (turned)
        xl_bf16_pack_panels(kernel, p->turned, (xl_bf16_operand){j->W, D, 1, 1}, 0, (int)D, p->from,
                            p->end - p->from);
}

/* Of PANEL rows from m on and a panel of the piece; behind the last class is nothing. */
static void logits_of(const job *j, const piece *p, int m, int panel, float *tile) {
    size_t width = (size_t)j->cut.width;
    int there = p->end - p->from - panel * PANEL;
    kernel->multiply((int)width / BF16_DEPTH, j->left + (size_t)m * width,
                     p->wide + (size_t)panel * PANEL * width, tile);
    for (int i = 0; there < PANEL && i < PANEL; i++)
        for (int k = there; k < PANEL; k++)
            tile[i * PANEL + k] = -INFINITY;
}

/* A row's largest logit and sum of exp(logit - top) go on through those of a piece, x[panel][..][PANEL]. */
static void note_row(float *top, float *sum, const float *x, int panels) {
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

static void note_panel(const job *j, const piece *p, int task, int m) {
    for (int panel = 0; panel < p->panels; panel++)
        logits_of(j, p, m, panel, p->logits + panel * TILE);
    for (int i = 0; i < least(PANEL, j->x.rows - m); i++) {
        int n = m + i, at = j->targets[n] - p->from;
        size_t noted = (size_t)task * (size_t)j->cut.rows + (size_t)n;
        note_row(j->top + noted, j->sum + noted, p->logits + i * PANEL, p->panels);
        if (j->targets[n] >= p->from && j->targets[n] < p->end)
            j->chosen[n] = p->logits[at / PANEL * TILE + i * PANEL + at % PANEL];
    }
}

static void note(void *context, int task, int thread) {
    const job *j = context;
    for (int n = 0; n < j->x.rows; n++) {
        j->top[(size_t)task * (size_t)j->cut.rows + (size_t)n] = -INFINITY;
        j->sum[(size_t)task * (size_t)j->cut.rows + (size_t)n] = 0;
    }
    if (kernel->begin)
        kernel->begin();
    for (int index = 0; index < j->cut.pieces; index++) {
        piece p = piece_of(j, task, index, thread);
        pack_classes(j, &p, 0);
        for (int m = 0; m < j->x.rows; m += PANEL)
            note_panel(j, &p, task, m);
    }
    if (kernel->end)
        kernel->end();
}

/* The losses of some rows from all notes. */
static void losses(void *context, int index, int thread) {
    const job *j = context;
    size_t rows = (size_t)j->cut.rows;
    (void)thread;
    for (int n = index * PANEL; n < (index + 1) * PANEL; n++) {
        int counts = n < j->x.rows && j->targets[n] >= 0;
        float top = -INFINITY, total = 0;
        for (size_t at = (size_t)n; counts && at < TASKS * rows; at += rows)
            top = j->top[at] > top ? j->top[at] : top;
        for (size_t at = (size_t)n; counts && at < TASKS * rows; at += rows)
            total += j->sum[at] * vec_exp(j->top[at] - top);
        j->lse[n] = counts ? top + logf(total) : INFINITY;
        if (j->each && n < j->x.rows)
            j->each[n] = counts ? logf(total) + (top - j->chosen[n]) : 0;
    }
}

/* From logits to their gradient, in place, and that packed. */
static void gradient_of(const job *j, const piece *p, int m, int panel, float *tile, uint16_t *turned) {
    int first = p->from + panel * PANEL;
    uint16_t *to = p->p + panel * TILE;
    for (int i = 0; i < PANEL; i++) {
        float lse = j->lse[m + i], *row = tile + i * PANEL;
#pragma omp simd
        for (int k = 0; k < PANEL; k++)
            row[k] = j->scale * vec_exp(row[k] - lse);
        int target = m + i < j->x.rows ? j->targets[m + i] - first : -1;
        if (target >= 0 && target < PANEL)
            row[target] -= j->scale;
    }
    for (int half = 0; half < 2; half++) {
        kernel->pack(to + half * BF16_TILE, tile + half * BF16_SIDE * PANEL, PANEL, 0, 0);
        kernel->pack(turned + half * BF16_TILE, tile + half * BF16_SIDE, PANEL, 1, 0);
    }
}

/* ROWS rows from `from` on, past a piece: their part of its classes' gradient, its part of theirs. */
static void gradients_of_rows(const job *j, const piece *p, int task, int from, int first) {
    _Alignas(64) float tile[TILE];
    size_t width = (size_t)j->cut.width, D = (size_t)j->x.cols;
    int end = least(from + ROWS, j->x.rows), deep = panels_of(end - from);
    float *part = j->parts + (size_t)task * (size_t)j->cut.rows * width;
    const xl_bf16_product of_x = {.M = j->x.rows, .N = (int)D, .C = part, .ldc = width};
    const xl_bf16_product of_W = {.M = j->classes, .N = (int)D, .C = j->dW, .ldc = D};
    for (int m = from; m < end; m += PANEL) {
        for (int panel = 0; panel < p->panels; panel++) {
            logits_of(j, p, m, panel, tile);
            gradient_of(j, p, m, panel, tile, p->p_turned + (panel * deep + (m - from) / PANEL) * TILE);
        }
        xl_bf16_multiply_panels(kernel, &of_x, p->p, m, m + PANEL, p->turned, 0, (int)D, p->panels, first);
    }
    xl_bf16_multiply_panels(kernel, &of_W, p->p_turned, p->from, p->end, j->right + (size_t)from * width, 0,
                            (int)D, deep, 0);
}

static void gradients(void *context, int task, int thread) {
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
    size_t width = (size_t)j->cut.width, part = (size_t)j->cut.rows * width;
    (void)thread;
    for (int n = index * PANEL; n < least((index + 1) * PANEL, j->x.rows); n++) {
        float *dx = j->dx.p + (size_t)n * j->dx.ld;
        const float *from = j->parts + (size_t)n * width;
        memcpy(dx, from, (size_t)j->x.cols * sizeof *dx);
        for (int task = 1; task < TASKS; task++) {
            from += part;
#pragma omp simd
            for (int c = 0; c < j->x.cols; c++)
                dx[c] += from[c];
        }
    }
}

static void divide(job *j, float *scratch) {
    size_t rows = (size_t)j->cut.rows, x = rows * (size_t)j->cut.width;
    j->left = (uint16_t *)scratch;
    j->right = j->left + x;
    j->parts = scratch + x;
    j->own = j->parts + TASKS * x;
    j->top =
        j->own + (size_t)xl_threads() * (size_t)j->cut.piece * (size_t)(j->cut.width + (ROWS + PANEL) / 2);
    j->sum = j->top + TASKS * rows;
    j->lse = j->sum + TASKS * rows;
    j->chosen = j->lse + rows;
}

static void some_rows(const job *all, int from) {
    job j = *all;
    int rows = least(all->cut.rows, all->x.rows - from);
    j.x = xl_some_rows(all->x, from, rows);
    j.dx = xl_some_rows(all->dx, from, rows);
    j.targets += from;
    j.each = all->each ? all->each + from : NULL;
    xl_parallel(xl_bf16_parts(rows, ROWS), pack_x, &j);
    xl_parallel(TASKS, note, &j);
    xl_parallel(panels_of(rows), losses, &j);
    if (!j.dx.p)
        return;
    xl_parallel(TASKS, gradients, &j);
    xl_parallel(panels_of(rows), sum_parts, &j);
}

static void xent_linear(float *each, xl_view dx, float *dW, xl_view x, const float *W, int classes,
                        const int32_t *targets, float scale, float *scratch) {
    job j = {.each = each,
             .dx = dx,
             .x = x,
             .W = W,
             .dW = dW,
             .classes = classes,
             .targets = targets,
             .scale = scale,
             .cut = xl_xent_cut_of(x.rows, classes, x.cols)};
    if (!j.cut.rows) {
        xl_xent_linear_by_rows(xl_cpu_bf16(xl_ops_cpu()), each, dx, dW, x, W, classes, targets, scale,
                               scratch);
        return;
    }
    divide(&j, scratch);
    for (int from = 0; from < x.rows; from += j.cut.rows)
        some_rows(&j, from);
}

void XL_ISA_NAME(xl_install_xent)(xl_ops *t) {
    kernel = xl_bf16_kernel_at(0);
    t->xent_linear = xent_linear;
}
