#include "base/parallel.h"
#include "ops/ref/helpers.h"

static real largest(const real *x, int n) {
    real top = x[0];
    for (int i = 1; i < n; i++)
        top = x[i] > top ? x[i] : top;
    return top;
}

/* -log softmax(x)[target]; dx, which may be x, gets scale * (softmax - onehot) unless NULL. */
static real xent_row(real *dx, const real *x, int V, int target, real scale) {
    real top = largest(x, V), total = 0;
    for (int i = 0; i < V; i++)
        total += exp(x[i] - top);
    real loss = log(total) - (x[target] - top);
    for (int i = 0; i < V && dx; i++)
        dx[i] = scale * (exp(x[i] - top) / total - (i == target));
    return loss;
}

void xl_ref_xent(real *each, xl_view dlogits, xl_view logits, const int32_t *targets, real scale) {
    for (int n = 0; n < logits.rows; n++) {
        real *dx = dlogits.p ? row(dlogits, n) : NULL;
        real loss = 0;
        if (targets[n] >= 0)
            loss = xent_row(dx, row(logits, n), logits.cols, targets[n], scale);
        else if (dx)
            clear(dx, logits.cols);
        if (each)
            each[n] = loss;
    }
}

int xl_logit_rows(int rows, int classes) {
    enum { NUMBERS = 1 << 24, LEAST = 32 };
    int some = NUMBERS / classes < LEAST ? LEAST : NUMBERS / classes;
    return some < rows ? some : rows;
}

void xl_xent_linear_by_rows(const xl_ops *op, real *each, xl_view dx, real *dW, xl_view x, const real *W,
                            int classes, const int32_t *targets, real scale, real *scratch) {
    int block = xl_logit_rows(x.rows, classes);
    for (int from = 0; from < x.rows; from += block) {
        int rows = x.rows - from < block ? x.rows - from : block;
        xl_view some = xl_some_rows(x, from, rows), logits = xl_rows(scratch, rows, classes);
        op->linear(logits, some, W, NULL);
        op->xent(each ? each + from : NULL, dx.p ? logits : (xl_view){0}, logits, targets + from, scale);
        if (dx.p) {
            op->linear_dw(dW, NULL, some, logits);
            op->linear_dx(xl_some_rows(dx, from, rows), logits, W, 0);
        }
    }
}

void xl_ref_xent_linear(real *each, xl_view dx, real *dW, xl_view x, const real *W, int classes,
                        const int32_t *targets, real scale, real *scratch) {
    xl_xent_linear_by_rows(&xl_ops_ref, each, dx, dW, x, W, classes, targets, scale, scratch);
}

/* Every task leaves a gradient of x of its own, so they are few, and classes must be many against x's columns
 * for that to be less than the logits. */
xl_xent_cut xl_xent_cut_of(int rows, int classes, int width) {
    enum { PANEL = XL_XENT_PANEL, ROWS = XL_XENT_ROWS, TASKS = XL_XENT_TASKS, MOST = 2048, PIECE = 1 << 17 };
    xl_xent_cut c = {.width = (width + PANEL - 1) / PANEL * PANEL};
    if (rows < PANEL || width < PANEL || classes / TASKS < c.width)
        return c;
    int sums = (1 << 24) / (TASKS * c.width); /* rows of all these gradients together */
    int most = sums < ROWS ? ROWS : sums < MOST ? sums / ROWS * ROWS : MOST;
    int fewest = classes / (PANEL * TASKS), panels = fewest + 1; /* of a task, at least and at most */
    c.pieces = (int)(((double)panels * PANEL * c.width + 0.5 * PIECE) / PIECE);
    c.pieces = c.pieces < 1 ? 1 : c.pieces < fewest ? c.pieces : fewest; /* none may be empty */
    c.piece = (panels + c.pieces - 1) / c.pieces * PANEL;
    c.rows = rows < most ? (rows + PANEL - 1) / PANEL * PANEL : most;
    return c;
}

uint64_t xl_xent_linear_scratch(int rows, int classes, int width) {
    xl_xent_cut c = xl_xent_cut_of(rows, classes, width);
    uint64_t R = (uint64_t)c.rows, D = (uint64_t)c.width, piece = (uint64_t)c.piece;
    uint64_t whole = (uint64_t)xl_logit_rows(rows, classes) * (uint64_t)classes;
    uint64_t packed = piece * (D + (XL_XENT_ROWS + XL_XENT_PANEL) / 2); /* by one thread */
    uint64_t cut = R * D + XL_XENT_TASKS * R * (D + 2) + 2 * R + (uint64_t)xl_threads() * packed;
    return c.rows && cut > whole ? cut : whole;
}

void xl_ref_mse(real *each, xl_view dy, xl_view y, xl_view target, const real *weight, real scale) {
    for (int n = 0; n < y.rows; n++) {
        real w = weight ? weight[n] : 1, sum = 0;
        for (int c = 0; c < y.cols; c++) {
            real error = row(y, n)[c] - row(target, n)[c];
            sum += error * error;
            if (dy.p)
                row(dy, n)[c] = 2 * scale * w * error;
        }
        if (each)
            each[n] = w * sum;
    }
}
