/* isa_update.c - sums over all parameters, and their update: a pass over long arrays. */
#include "ops/cpu/cpu.h"
#include "ops/cpu/pieces.h"
#include "ops/ref/ref.h"

/* ---- sums ---- */

enum { SUMS = 64 }; /* pieces at a time */

typedef struct {
    const float *x;
    double *sums; /* of pieces of XL_SUM_PIECE numbers */
} sum_job;

static void sum_piece(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const sum_job *j = job;
    xl_ref_sum(&j->sums[from / XL_SUM_PIECE], j->x + from, (size_t)(to - from));
}

static void sumsq_piece(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const sum_job *j = job;
    const float *x = j->x + from;
    int n = (int)(to - from);
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    j->sums[from / XL_SUM_PIECE] = sum;
}

static double sum_of(const float *x, size_t count, piece_work *piece) {
    double sums[SUMS], sum = 0;
    for (size_t from = 0; from < count; from += SUMS * XL_SUM_PIECE) {
        size_t n = count - from < SUMS * XL_SUM_PIECE ? count - from : SUMS * XL_SUM_PIECE;
        by_steps((ptrdiff_t)n, XL_SUM_PIECE, piece, &(sum_job){x + from, sums});
        for (size_t i = 0; i * XL_SUM_PIECE < n; i++)
            sum += sums[i];
    }
    return sum;
}

static void sum(double *sum, const float *x, size_t count) {
    *sum = sum_of(x, count, sum_piece);
}

static void sumsq(double *sum, const float *x, size_t count) {
    *sum = sum_of(x, count, sumsq_piece);
}

/* ---- updates ---- */

typedef struct {
    float *w;
    const float *g;
    float *m, *v; /* v: of AdamW */
    xl_update s;
    const xl_now *now;
} update_job;

static void adamw_numbers(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const update_job *j = job;
    xl_update s = j->s;
    xl_now now = *j->now;
    float *w = j->w, *m = j->m, *v = j->v;
    if (!now.go)
        return;
    for (ptrdiff_t i = from; i < to; i++) {
        float g = j->g[i] * now.scale;
        m[i] = s.b1 * m[i] + (1 - s.b1) * g;
        v[i] = s.b2 * v[i] + (1 - s.b2) * g * g;
        w[i] = w[i] * (1 - now.rate * s.decay) - now.rate * (m[i] / now.c1) / (sqrtf(v[i] / now.c2) + s.eps);
    }
}

static void adamw(float *w, const float *g, float *m, float *v, size_t count, xl_update s,
                  const xl_now *now) {
    by_numbers(count, adamw_numbers, &(update_job){w, g, m, v, s, now});
}

/* Memory is what this waits for: the reference's loop is as fast as any. */
static void sgd_numbers(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const update_job *j = job;
    xl_ref_sgd(j->w + from, j->g + from, j->m + from, (size_t)(to - from), j->s, j->now);
}

static void sgd(float *w, const float *g, float *m, size_t count, xl_update s, const xl_now *now) {
    by_numbers(count, sgd_numbers, &(update_job){w, g, m, NULL, s, now});
}

void XL_ISA_NAME(xl_install_update)(xl_ops *t) {
    t->sum = sum;
    t->sumsq = sumsq;
    t->adamw = adamw;
    t->sgd = sgd;
}
