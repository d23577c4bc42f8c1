/* finish.c - the model's own quantiles may cross, and are left so. */
#include "forecast/finish.h"

void xl_forecast_levels(double *level, const real *head, int H, const xl_forecast_scaling *s,
                        const struct xl_forecast_config *c) {
    const double most = 20; /* its sinh is 2.4e8 deviations */
    int P = c->patch_size, Q = c->num_quantiles, bent = c->use_arcsinh && !s->binary;
    for (int q = 0; q < Q; q++)
        for (int t = 0; t < H; t++) {
            double y = (double)head[((ptrdiff_t)(t / P) * Q + q) * P + t % P];
            if (bent)
                y = sinh(y > most ? most : y < -most ? -most : y);
            level[q * H + t] = y * s->scale + s->loc;
        }
}

/* out = mid + sqrt(0.90) t^0.02 (level - mid) */
static void widen(double *level, const double *mid, int H) {
    for (int t = 0; t < H; t++)
        level[t] = mid[t] + sqrt(0.90) * pow(t + 1, 0.02) * (level[t] - mid[t]);
}

/* Steps of random size add up as their squares do: out = sum of mid + sqrt(1.68) s w t^0.01 + last, with w
 * the root of the sum of squared (level - mid) so far, and s the sign of their sum over all steps. */
static void add_up(double *level, const double *mid, int H, double last) {
    double sum = 0, squares = 0, middle = 0;
    for (int t = 0; t < H; t++)
        sum += level[t] - mid[t];
    double sign = (sum > 0) - (sum < 0);
    for (int t = 0; t < H; t++) {
        double off = level[t] - mid[t];
        squares += off * off;
        middle += mid[t];
        level[t] = middle + sqrt(1.68) * sign * sqrt(squares) * pow(t + 1, 0.01) + last;
    }
}

void xl_forecast_calibrate(double *level, int H, const xl_forecast_scaling *s, int quantiles) {
    double *mid = level + (ptrdiff_t)(quantiles / 2) * H;
    for (int q = 0; q <= quantiles; q++) { /* the middle one last: the others need it as it was */
        double *row = q < quantiles ? level + (ptrdiff_t)q * H : mid;
        if (q == quantiles / 2)
            continue;
        if (s->differenced)
            add_up(row, mid, H, s->last);
        else
            widen(row, mid, H);
    }
}

void xl_forecast_unflip(double *level, const double *negated, int H, int quantiles) {
    for (int q = 0; q < quantiles; q++)
        for (int t = 0; t < H; t++)
            level[q * H + t] = (level[q * H + t] - negated[(quantiles - 1 - q) * H + t]) / 2;
}

int xl_forecast_is_symmetric(const struct xl_forecast_config *c) {
    for (int q = 0; q < c->num_quantiles; q++)
        if (!(fabs(c->quantiles[q] + c->quantiles[c->num_quantiles - 1 - q] - 1) <= 1e-6))
            return 0;
    return 1;
}

/* By insertion: they hardly ever cross. */
void xl_forecast_sort(double *level, int H, int quantiles) {
    for (int t = 0; t < H; t++)
        for (int q = 1; q < quantiles; q++)
            for (int k = q; k > 0 && level[k * H + t] < level[(k - 1) * H + t]; k--) {
                double moved = level[k * H + t];
                level[k * H + t] = level[(k - 1) * H + t];
                level[(k - 1) * H + t] = moved;
            }
}

double xl_forecast_quantile(const double *level, int H, int t, double u, const struct xl_forecast_config *c) {
    const double *at = c->quantiles;
    int q = 0;
    while (q < c->num_quantiles - 1 && at[q + 1] <= u)
        q++;
    double low = level[q * H + t];
    if (q == c->num_quantiles - 1 || u <= at[q])
        return low;
    return low + (u - at[q]) / (at[q + 1] - at[q]) * (level[(q + 1) * H + t] - low);
}
