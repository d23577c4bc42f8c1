/* measures.c - Hyndman and Koehler (2006) for the MASE; Hyndman and Athanasopoulos, Forecasting: Principles
 * and Practice, 3rd edition, section 5.5 for the spread of the simple methods' errors over the horizon. */
#include "measures.h"
#include <math.h>
#include <stddef.h>

const char *const baseline_names[BASELINES] = {"naive", "drift", "seasonal naive"};

/* ---- scores ---- */

/* Mean |x_t - x_(t-lag)| where both are there, or the root of its mean square; NaN: nowhere. */
static double step_size(const double *x, int length, int lag, double shift, int squares) {
    double sum = 0;
    int count = 0;
    for (int t = lag; t < length; t++) {
        double step = x[t] - x[t - lag] - shift;
        if (isnan(step))
            continue;
        sum += squares ? step * step : fabs(step);
        count++;
    }
    return !count ? NAN : squares ? sqrt(sum / count) : sum / count;
}

void score_add(score *s, const double *history, int length, int season, const double *value, int steps,
               const double *quantiles, const double *median, measure_levels levels) {
    double error = 0, scale = step_size(history, length, season, 0, 0);
    int there = 0;
    for (int t = 0; t < steps; t++) {
        double x = value[t];
        if (isnan(x))
            continue;
        there++;
        error += fabs(x - median[t]);
        s->size += fabs(x);
        for (int q = 0; q < levels.count; q++) {
            double quantile = quantiles[(size_t)q * (size_t)steps + (size_t)t];
            s->loss[q] += (x - quantile) * (levels.level[q] - (x < quantile));
        }
        double low = quantiles[t], high = quantiles[(size_t)(levels.count - 1) * (size_t)steps + (size_t)t];
        s->inside += x >= low && x <= high;
    }
    s->values += there;
    if (there && scale > 0) {
        s->scaled += error / there / scale;
        s->windows++;
    }
}

void score_merge(score *to, const score *s, int levels) {
    to->scaled += s->scaled;
    to->windows += s->windows;
    to->size += s->size;
    to->inside += s->inside;
    to->values += s->values;
    for (int q = 0; q < levels; q++)
        to->loss[q] += s->loss[q];
}

double score_mase(const score *s) {
    return s->windows ? s->scaled / s->windows : NAN;
}

double score_wql(const score *s, int levels) {
    double sum = 0;
    for (int q = 0; q < levels; q++)
        sum += 2 * s->loss[q] / levels;
    return s->size > 0 ? sum / s->size : NAN;
}

double score_coverage(const score *s) {
    return s->values > 0 ? s->inside / s->values : NAN;
}

/* ---- baselines ---- */

double normal_quantile(double level) {
    double low = -40, high = 40;
    for (int i = 0; i < 100; i++) {
        double middle = (low + high) / 2;
        if (erfc(-middle * M_SQRT1_2) / 2 < level)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2;
}

/* Where the first or, for way -1, the last value is; -1: there is none. */
static int value_from(const double *x, int length, int way) {
    for (int i = 0; i < length; i++) {
        int t = way > 0 ? i : length - 1 - i;
        if (!isnan(x[t]))
            return t;
    }
    return -1;
}

/* The value a whole number of seasons before step t ahead, of the last season that has it. */
static double season_value(const double *x, int length, int season, int t) {
    for (int at = length - season + t % season; at >= 0; at -= season)
        if (at < length && !isnan(x[at]))
            return x[at];
    int last = value_from(x, length, -1);
    return last < 0 ? 0 : x[last];
}

/* How many standard deviations of one step an error has after `ahead` steps. */
static double spread(baseline kind, int ahead, int season, int steps_seen) {
    int seasons = (ahead - 1) / season + 1;
    if (kind == BASELINE_SEASONAL)
        return sqrt(seasons);
    double more = kind == BASELINE_DRIFT && steps_seen > 0 ? 1 + (double)ahead / steps_seen : 1;
    return sqrt(ahead * more);
}

void baseline_forecast(baseline kind, const double *history, int length, int season, int steps,
                       measure_levels levels, double *quantiles, double *median) {
    int first = value_from(history, length, 1), last = value_from(history, length, -1);
    int seen = last - first, lag = kind == BASELINE_SEASONAL ? season : 1;
    double end = last < 0 ? 0 : history[last];
    double slope = kind == BASELINE_DRIFT && seen > 0 ? (end - history[first]) / seen : 0;
    double deviation = step_size(history, length, lag, slope, 1);
    for (int t = 0; t < steps; t++) {
        int ahead = length - last + t;
        median[t] =
            kind == BASELINE_SEASONAL ? season_value(history, length, season, t) : end + slope * ahead;
        double error = isnan(deviation) ? 0 : deviation * spread(kind, t + 1, season, seen);
        for (int q = 0; q < levels.count; q++)
            quantiles[(size_t)q * (size_t)steps + (size_t)t] =
                median[t] + error * normal_quantile(levels.level[q]);
    }
}

/* ---- a season ---- */

typedef struct {
    double level, slope;
} line;

static line line_of(const double *x, int length) {
    double n = 0, t = 0, v = 0, tt = 0, tv = 0;
    for (int i = 0; i < length; i++) {
        if (isnan(x[i]))
            continue;
        n++;
        t += i;
        v += x[i];
        tt += (double)i * i;
        tv += i * x[i];
    }
    double spread_of_time = tt - t * t / (n > 0 ? n : 1);
    double slope = spread_of_time > 0 ? (tv - t * v / n) / spread_of_time : 0;
    return (line){n > 0 ? (v - slope * t) / n : 0, slope};
}

/* How like itself it is `lag` steps later: the correlation of what is there both times. */
static double likeness(const double *x, int length, int lag, line l) {
    double both = 0, before = 0, after = 0;
    for (int t = lag; t < length; t++) {
        double a = x[t - lag] - l.level - l.slope * (t - lag), b = x[t] - l.level - l.slope * t;
        if (isnan(a) || isnan(b))
            continue;
        both += a * b;
        before += a * a;
        after += b * b;
    }
    return before > 0 && after > 0 ? both / sqrt(before * after) : 0;
}

int season_guess(const double *history, int length) {
    enum { LOOKED_AT = 4096, LONGEST = 1024 };
    const double least = 0.3,
                 nearly = 0.93; /* a multiple of the season is about as alike: the first will do */
    const double *x = length > LOOKED_AT ? history + length - LOOKED_AT : history;
    int n = length > LOOKED_AT ? LOOKED_AT : length, longest = n / 3 < LONGEST ? n / 3 : LONGEST;
    double like[LONGEST + 2], best = 0;
    line l = line_of(x, n);
    for (int lag = 1; lag <= longest; lag++)
        like[lag] = likeness(x, n, lag, l);
    for (int lag = 2; lag < longest; lag++)
        if (like[lag] > like[lag - 1] && like[lag] >= like[lag + 1] && like[lag] > best)
            best = like[lag];
    for (int lag = 2; lag < longest && best >= least; lag++)
        if (like[lag] > like[lag - 1] && like[lag] >= like[lag + 1] && like[lag] >= nearly * best)
            return lag;
    return 1;
}
