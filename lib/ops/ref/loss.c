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
