/* isa_loss.c - losses: a row each. */
#include "ops/cpu/cpu.h"
#include "ops/cpu/pieces.h"
#include "ops/cpu/vec.h"
#include "ops/ref/ref.h"
#include <string.h>

/* Writes exp(x - top) to e unless that is NULL; returns the sum. */
static float exp_and_sum(float *e, const float *x, float top, int n) {
    float total = 0;
    if (!e) {
#pragma omp simd reduction(+ : total)
        for (int i = 0; i < n; i++)
            total += vec_exp(x[i] - top);
        return total;
    }
#pragma omp simd reduction(+ : total)
    for (int i = 0; i < n; i++) {
        float y = vec_exp(x[i] - top);
        total += y;
        e[i] = y;
    }
    return total;
}

/* -log softmax(x)[target]; d, which may be x, gets scale (softmax - onehot) unless NULL. */
static float xent_row(float *d, const float *x, int V, int target, float scale) {
    float top = vec_largest(x, V), chosen = x[target];
    float total = exp_and_sum(d, x, top, V), share = scale / total;
    for (int i = 0; d && i < V; i++)
        d[i] *= share;
    if (d)
        d[target] -= scale;
    return logf(total) + (top - chosen);
}

typedef struct {
    float *each;
    xl_view dlogits, logits;
    const int32_t *targets;
    const float *scale;
} xent_job;

static void xent_rows(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const xent_job *j = job;
    int V = j->logits.cols, wanted = j->dlogits.p != NULL;
    float scale = wanted ? *j->scale : 0;
    for (ptrdiff_t n = from; n < to; n++) {
        float *d = wanted ? xl_row(j->dlogits, n) : NULL, loss = 0;
        if (j->targets[n] >= 0)
            loss = xent_row(d, xl_row(j->logits, n), V, j->targets[n], scale);
        else if (d)
            memset(d, 0, (size_t)V * sizeof *d);
        if (j->each)
            j->each[n] = loss;
    }
}

static void xent(float *each, xl_view dlogits, xl_view logits, const int32_t *targets, const float *scale) {
    by_rows(logits, xent_rows, &(xent_job){each, dlogits, logits, targets, scale});
}

typedef struct {
    float *each;
    xl_view dy, y, target;
    const float *weight, *scale;
} mse_job;

/* A row's sum has the reference's order, and that is what takes the time: so it has its loop too. */
static void mse_rows(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const mse_job *j = job;
    int n = (int)from, rows = (int)(to - from);
    xl_ref_mse(j->each ? j->each + n : NULL, xl_some_rows(j->dy, n, rows), xl_some_rows(j->y, n, rows),
               xl_some_rows(j->target, n, rows), j->weight ? j->weight + n : NULL, j->scale);
}

static void mse(float *each, xl_view dy, xl_view y, xl_view target, const float *weight, const float *scale) {
    by_rows(y, mse_rows, &(mse_job){each, dy, y, target, weight, scale});
}

typedef struct {
    float *each;
    xl_view dy, y, target;
    const float *levels, *scale;
} pinball_job;

/* As for mse: the order of the sum is the reference's, and so is its loop. */
static void pinball_rows(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const pinball_job *j = job;
    int n = (int)from, rows = (int)(to - from);
    xl_ref_pinball(j->each ? j->each + n : NULL, xl_some_rows(j->dy, n, rows), xl_some_rows(j->y, n, rows),
                   xl_some_rows(j->target, n, rows), j->levels, j->scale);
}

static void pinball(float *each, xl_view dy, xl_view y, xl_view target, const float *levels,
                    const float *scale) {
    by_rows(y, pinball_rows, &(pinball_job){each, dy, y, target, levels, scale});
}

void XL_ISA_NAME(xl_install_loss)(xl_ops *t) {
    t->xent = xent;
    t->mse = mse;
    t->pinball = pinball;
}
