/* isa_norm.c - norms. Inside of one all is double: what it divides by can be much smaller than what comes in,
 * and then every rounding before the division grows. */
#include "ops/cpu/cpu.h"
#include "ops/cpu/pieces.h"
#include "ops/ref/ref.h"

enum { MOMENTS = 1 << 11 };

typedef struct {
    double mean, rstd;
} moments;

static double sum_of(const float *x, int n) {
    double s = 0;
#pragma omp simd reduction(+ : s)
    for (int i = 0; i < n; i++)
        s += (double)x[i];
    return s;
}

static moments moments_of(const float *x, int n, const xl_norm *norm) {
    double mean = norm->rms ? 0 : sum_of(x, n) / n, s = 0;
#pragma omp simd reduction(+ : s)
    for (int i = 0; i < n; i++)
        s += ((double)x[i] - mean) * ((double)x[i] - mean);
    return (moments){mean, 1 / sqrt(s / n + (double)norm->eps)};
}

typedef struct {
    xl_view y, x;
    const float *w, *b;
    xl_norm norm;
} norm_job;

static void norm_group(const norm_job *j, ptrdiff_t n, int first, int W) {
    const float *x = xl_row(j->x, n) + first, *w = j->w ? j->w + first : NULL,
                *b = j->b ? j->b + first : NULL;
    float *y = xl_row(j->y, n) + first;
    double one = j->norm.plus_one ? 1 : 0;
    moments m = moments_of(x, W, &j->norm);
#pragma omp simd
    for (int i = 0; i < W; i++)
        y[i] =
            (float)(((double)x[i] - m.mean) * m.rstd * (w ? (double)w[i] + one : 1) + (b ? (double)b[i] : 0));
}

static void norm_rows(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const norm_job *j = job;
    int W = j->x.cols / j->norm.groups;
    for (ptrdiff_t n = from; n < to; n++)
        for (int first = 0; first < j->x.cols; first += W)
            norm_group(j, n, first, W);
}

static void norm(xl_view y, xl_view x, const float *w, const float *b, xl_norm n) {
    by_rows(y, norm_rows, &(norm_job){y, x, w, b, n});
}

typedef struct {
    xl_view dx, dy, x;
    float *dw, *db;
    const float *w;
    xl_norm norm;
    int add;
    moments *moments; /* [rows, groups], by norm_dx_rows() for norm_dw_columns() */
} norm_bwd_job;

/* dx = rstd (d - mean(d) - xhat mean(d xhat)), d = dy w; RMSNorm has no mean(d) */
static void norm_dx_group(const norm_bwd_job *j, ptrdiff_t n, int first, int W, moments m) {
    const float *dy = xl_row(j->dy, n) + first, *x = xl_row(j->x, n) + first, *w = j->w ? j->w + first : NULL;
    float *dx = xl_row(j->dx, n) + first;
    double one = j->norm.plus_one ? 1 : 0, mean_d = 0, mean_dx = 0;
#pragma omp simd reduction(+ : mean_d, mean_dx)
    for (int i = 0; i < W; i++) {
        double d = (double)dy[i] * (w ? (double)w[i] + one : 1);
        mean_d += d;
        mean_dx += d * ((double)x[i] - m.mean) * m.rstd;
    }
    mean_d = j->norm.rms ? 0 : mean_d / W;
    mean_dx /= W;
#pragma omp simd
    for (int i = 0; i < W; i++) {
        double d = (double)dy[i] * (w ? (double)w[i] + one : 1), hat = ((double)x[i] - m.mean) * m.rstd;
        dx[i] = (float)(m.rstd * (d - mean_d - hat * mean_dx) + (j->add ? (double)dx[i] : 0));
    }
}

static void norm_dx_rows(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const norm_bwd_job *j = job;
    int G = j->norm.groups, W = j->x.cols / G;
    for (ptrdiff_t n = from; n < to; n++)
        for (int g = 0; g < G; g++) {
            moments m = j->moments[n * G + g] = moments_of(xl_row(j->x, n) + g * W, W, &j->norm);
            norm_dx_group(j, n, g * W, W, m);
        }
}

/* dw += dy xhat, db += dy, columns first .. last - 1 of group g */
static void norm_dw_group(const norm_bwd_job *j, int g, int first, int last) {
    float *dw = j->dw, *db = j->db;
    for (ptrdiff_t n = 0; n < j->x.rows; n++) {
        const float *dy = xl_row(j->dy, n), *x = xl_row(j->x, n);
        moments m = j->moments[n * j->norm.groups + g];
#pragma omp simd
        for (int i = first; i < last; i++)
            dw[i] += (float)((double)dy[i] * ((double)x[i] - m.mean) * m.rstd);
#pragma omp simd
        for (int i = first; i < (db ? last : first); i++)
            db[i] += dy[i];
    }
}

static void norm_dw_columns(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const norm_bwd_job *j = job;
    int W = j->x.cols / j->norm.groups;
    for (int first = (int)from, last; first < to; first = last) {
        int g = first / W;
        last = (g + 1) * W < to ? (g + 1) * W : (int)to;
        norm_dw_group(j, g, first, last);
    }
}

/* Some rows at a time, so that their moments need no memory that grows: dx row by row, then dw column by
 * column. */
static void norm_bwd(xl_view dx, float *dw, float *db, xl_view dy, xl_view x, const float *w, xl_norm n,
                     int add) {
    moments some[MOMENTS];
    if (n.groups > MOMENTS) {
        xl_ref_norm_bwd(dx, dw, db, dy, x, w, n, add);
        return;
    }
    int step = MOMENTS / n.groups;
    for (int from = 0; from < x.rows; from += step) {
        int rows = x.rows - from < step ? x.rows - from : step;
        norm_bwd_job j = {.dx = xl_some_rows(dx, from, rows),
                          .dy = xl_some_rows(dy, from, rows),
                          .x = xl_some_rows(x, from, rows),
                          .dw = dw,
                          .db = db,
                          .w = w,
                          .norm = n,
                          .add = add,
                          .moments = some};
        by_rows(j.dx, norm_dx_rows, &j);
        if (dw)
            by_columns(j.x, norm_dw_columns, &j);
    }
}

void XL_ISA_NAME(xl_install_norm)(xl_ops *t) {
    t->norm = norm;
    t->norm_bwd = norm_bwd;
}
