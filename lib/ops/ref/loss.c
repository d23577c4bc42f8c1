/* loss.c - losses and their gradients. A row's loss depends on that row alone; what is a mean over rows
 * divides through *scale, which the caller knows. docs/math/blocks.md */
#include "ops/ref/helpers.h"

static real largest(const real *x, int n) {
    real top = x[0];
    for (int i = 1; i < n; i++)
        top = x[i] > top ? x[i] : top;
    return top;
}

/* Cross-entropy of one row x [V], with p = softmax(x) and `top` the largest of x, so that exp does not
 * overflow:
 *
 *     loss = -log p_target = log(sum exp(x_i - top)) - (x_target - top)
 *     dx_i = scale (p_i - [i = target])
 *
 * dx, which may be x, is NULL where no gradient is wanted. */
static real xent_row(real *dx, const real *x, int V, int target, real scale) {
    real top = largest(x, V), total = 0;
    for (int i = 0; i < V; i++)
        total += exp(x[i] - top);
    real loss = log(total) - (x[target] - top);
    for (int i = 0; i < V && dx; i++)
        dx[i] = scale * (exp(x[i] - top) / total - (i == target));
    return loss;
}

/* logits, dlogits [N, V], targets [N], each [N]. Rows that do not count, target < 0, may hold anything, NaN
 * too. */
void xl_ref_xent(real *each, xl_view dlogits, xl_view logits, const int32_t *targets, const real *scale) {
    for (int n = 0; n < logits.rows; n++) {
        real *dx = dlogits.p ? xl_row(dlogits, n) : NULL, loss = 0;
        if (targets[n] >= 0)
            loss = xent_row(dx, xl_row(logits, n), logits.cols, targets[n], dx ? *scale : 0);
        else if (dx)
            xl_ref_fill(dx, logits.cols, 0);
        if (each)
            each[n] = loss;
    }
}

/* The head's product and its loss at once, so that logits [N, V] need not exist: x [N, D], W [V, D].
 *
 *     forward:  each = xent(x W')        backward, dlogits as above:  dx = dlogits W,  dW += dlogits' x
 *
 * Here row by row, the logits of one in scratch [V]. */
void xl_ref_xent_linear(real *each, xl_view dx, real *dW, xl_view x, const real *W, int classes,
                        const int32_t *targets, const real *scale, real *scratch) {
    xl_view logits = xl_rows(scratch, 1, classes), none = {0};
    for (int n = 0; n < x.rows; n++) {
        xl_view xn = xl_some_rows(x, n, 1);
        xl_ref_linear(logits, xn, xl_real_matrix(W, classes, x.cols), NULL);
        xl_ref_xent(each ? each + n : NULL, dx.p ? logits : none, logits, targets + n, scale);
        if (dx.p) {
            xl_ref_linear_dw(dW, NULL, xn, logits);
            xl_ref_linear_dx(xl_some_rows(dx, n, 1), logits, W, 0);
        }
    }
}

uint64_t xl_ref_xent_linear_scratch(int rows, int classes, int width) {
    (void)rows, (void)width;
    return (uint64_t)classes;
}

/* Squared error, summed over the D columns of a row: y, target [N, D], weight, each [N].
 *
 *     each_n = weight_n sum_c (y_nc - target_nc)^2        dy_nc = 2 scale weight_n (y_nc - target_nc)
 *
 * Where the weight is 0 both are 0, whatever y and target hold. */
static real mse_row(real *dy, const real *y, const real *target, int D, real w, real scale) {
    real sum = 0;
    for (int c = 0; c < D; c++) {
        real error = y[c] - target[c];
        sum += error * error;
        if (dy)
            dy[c] = 2 * scale * w * error;
    }
    return w * sum;
}

void xl_ref_mse(real *each, xl_view dy, xl_view y, xl_view target, const real *weight, const real *scale) {
    for (int n = 0; n < y.rows; n++) {
        real w = weight ? weight[n] : 1, loss = 0, *d = dy.p ? xl_row(dy, n) : NULL;
        if (w != 0)
            loss = mse_row(d, xl_row(y, n), xl_row(target, n), y.cols, w, d ? *scale : 0);
        else if (d)
            xl_ref_fill(d, y.cols, 0);
        if (each)
            each[n] = loss;
    }
}

/* Quantile loss (Koenker and Bassett 1978) of a forecast of P steps at Q levels: y [N, Q P], entry q P + j,
 * target [N, P], NaN where nothing is known, levels [Q], each [N]. With e = target_nj - y_nqj:
 *
 *     each_n = sum_jq max(a_q e, (a_q - 1) e)        dy_nqj = scale (e < 0 ? 1 - a_q : e > 0 ? -a_q : 0) */
static real pinball_step(real *dy, real e, real level, real scale) {
    real slope = e < 0 ? level - 1 : e > 0 ? level : 0 * e; /* NaN stays NaN */
    if (dy)
        *dy = -scale * slope;
    return slope * e;
}

void xl_ref_pinball(real *each, xl_view dy, xl_view y, xl_view target, const real *levels,
                    const real *scale) {
    int P = target.cols;
    for (int n = 0; n < y.rows; n++) {
        real loss = 0;
        for (int i = 0; i < y.cols; i++) {
            real wanted = xl_row(target, n)[i % P], *d = dy.p ? xl_row(dy, n) + i : NULL;
            if (wanted == wanted)
                loss += pinball_step(d, wanted - xl_row(y, n)[i], levels[i / P], d ? *scale : 0);
            else if (d)
                *d = 0;
        }
        if (each)
            each[n] = loss;
    }
}
