/* measures.h - how good forecasts are: MASE, mean weighted quantile loss and coverage; the forecasts that
 * cost nothing, beside which they are to be seen; and a guess at a season. History and values may have gaps
 * (NaN). */
#ifndef MEASURES_H
#define MEASURES_H

enum { MEASURES_QUANTILES = 128 };

/* What was seen of windows of `steps` values. Begins as zeros. */
typedef struct {
    double scaled; /* sum over windows of mean |error| / mean |x_t - x_(t-season)| of the history */
    int windows;   /* that have such a scale */
    double
        loss[MEASURES_QUANTILES]; /* of each level: sum of (level - [value < quantile]) (value - quantile) */
    double size;                  /* sum of |value| */
    double inside, values;        /* between the outermost quantiles; all that are there */
} score;

typedef struct {
    const double *level; /* [count], increasing */
    int count;
} measure_levels;

/* quantiles [levels, steps], median [steps]. season: of the MASE, at least 1 */
void score_add(score *s, const double *history, int length, int season, const double *value, int steps,
               const double *quantiles, const double *median, measure_levels levels);
void score_merge(score *to, const score *s, int levels);
double score_mase(const score *s);            /* NaN where no window had a scale */
double score_wql(const score *s, int levels); /* mean over levels of 2 loss / size */
double score_coverage(const score *s);        /* 0 to 1 */

typedef enum { BASELINE_NAIVE, BASELINE_DRIFT, BASELINE_SEASONAL, BASELINES } baseline;
extern const char *const baseline_names[BASELINES];
/* Quantiles [levels, steps] and median [steps]: the last value, the line through the first and the last one,
 * or the last season again, and normal errors of the size that they had within the history. */
void baseline_forecast(baseline kind, const double *history, int length, int season, int steps,
                       measure_levels levels, double *quantiles, double *median);

/* The lag from 2 to a third of the length at which the series, without its line, is most like itself; 1: at
 * none. */
int season_guess(const double *history, int length);

/* The standard normal's. */
double normal_quantile(double level);

#endif
