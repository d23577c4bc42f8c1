/* norm.c - LayerNorm (arXiv 1607.06450), RMSNorm (1910.07467) and, over several slices of the columns,
 * GroupNorm (1803.08494). docs/math/blocks.md derives the gradient. */
#include "ops/ref/helpers.h"

/* x, y [N, D]; w, b [D]. With n = D / groups and x_c any number of a slice:
 *
 *     mean = sum x_c / n (RMSNorm: 0)        rstd = 1 / sqrt(sum (x_c - mean)^2 / n + eps)
 *     x^_c = (x_c - mean) rstd               y_c = w_c x^_c + b_c */
typedef struct {
    real mean, rstd;
} moments;

/* Two passes: the one-pass formula E[x^2] - E[x]^2 cancels when the mean is large. */
static moments measure(const real *x, int n, xl_norm norm) {
    real mean = 0, square = 0;
    for (int i = 0; i < n && !norm.rms; i++)
        mean += x[i];
    mean /= n;
    for (int i = 0; i < n; i++)
        square += (x[i] - mean) * (x[i] - mean);
    return (moments){mean, 1 / sqrt(square / n + norm.eps)};
}

/* The paper's family stores w - 1. */
static real weight(const real *w, int c, xl_norm norm) {
    return w ? w[c] + (norm.plus_one ? 1 : 0) : 1;
}

void xl_ref_norm(xl_view y, xl_view x, const real *w, const real *b, xl_norm norm) {
    int size = x.cols / norm.groups;
    for (int n = 0; n < x.rows; n++)
        for (int first = 0; first < x.cols; first += size) {
            moments s = measure(xl_row(x, n) + first, size, norm);
            for (int c = first; c < first + size; c++)
                xl_row(y, n)[c] = (xl_row(x, n)[c] - s.mean) * s.rstd * weight(w, c, norm) + (b ? b[c] : 0);
        }
}

/* Backward. dw_c += dy_c x^_c and db_c += dy_c, summed over rows. */
static void norm_dw(real *dw, real *db, const real *dy, const real *x, moments s, int first, int size) {
    for (int c = first; c < first + size; c++) {
        if (dw)
            dw[c] += dy[c] * (x[c] - s.mean) * s.rstd;
        if (db)
            db[c] += dy[c];
    }
}

/* x^ depends on x directly, through the mean and through rstd. With g = w dy, over a slice:
 *
 *     dx = rstd (g - mean(g) - x^ mean(g x^))        RMSNorm: without mean(g) */
static void norm_dx(real *dx, const real *dy, const real *x, const real *w, moments s, xl_norm norm,
                    int first, int size, int add) {
    real g_mean = 0, gx_mean = 0;
    for (int c = first; c < first + size; c++) {
        real g = dy[c] * weight(w, c, norm);
        g_mean += norm.rms ? 0 : g / size;
        gx_mean += g * (x[c] - s.mean) * s.rstd / size;
    }
    for (int c = first; c < first + size; c++) {
        real g = dy[c] * weight(w, c, norm);
        real d = s.rstd * (g - g_mean - (x[c] - s.mean) * s.rstd * gx_mean);
        dx[c] = add ? dx[c] + d : d;
    }
}

void xl_ref_norm_bwd(xl_view dx, real *dw, real *db, xl_view dy, xl_view x, const real *w, xl_norm norm,
                     int add) {
    int size = x.cols / norm.groups;
    for (int n = 0; n < x.rows; n++)
        for (int first = 0; first < x.cols; first += size) {
            moments s = measure(xl_row(x, n) + first, size, norm);
            norm_dw(dw, db, xl_row(dy, n), xl_row(x, n), s, first, size);
            norm_dx(xl_row(dx, n), xl_row(dy, n), xl_row(x, n), w, s, norm, first, size, add);
        }
}
