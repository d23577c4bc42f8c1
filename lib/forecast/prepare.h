/* prepare.h - what stands before the network (TiRex-2, arXiv 2607.01204): a row of a series becomes a window
 * of values, differenced where it trends, scaled, and cut into tokens. All of it is in double; tokens are
 * rounded once. */
#ifndef XL_FORECAST_PREPARE_H
#define XL_FORECAST_PREPARE_H

#include "forecast/network.h"

/* A row as its owner has it, NaN where a value is missing; what lies behind its end is missing too. */
typedef struct {
    const void *values;
    int is_double; /* 0: floats */
    int count;
    const double *fed; /* [fed_count] or NULL: values behind them, of a forecast that goes on from itself */
    int fed_count;
    double sign; /* 1, or -1: of the negated series */
} xl_forecast_row;

double xl_forecast_value(const xl_forecast_row *row, int t);

/* Where the rows of a series stand in their windows. */
typedef struct {
    int length;  /* T, observations */
    int horizon; /* H, steps behind them of which known covariates have values */
    int tokens;  /* L, of the window: the last observation ends token L - F/P - 1 */
    int context; /* C, observations that may stand there */
    int ahead;   /* F */
    int patch;   /* P */
} xl_forecast_frame;

/* What the forecast of a row is made from again. */
typedef struct {
    double loc, scale;
    double last; /* of a differenced row: the value before its first forecast */
    int differenced, binary;
    int known;   /* there is a value among the F columns at the end */
    int padding; /* tokens at the beginning without a value */
} xl_forecast_scaling;

/* Whether a target's trend is so clear that its differences are forecast: a least-squares line through its
 * `length` values explains it. */
int xl_forecast_trends(const xl_forecast_row *row, int length);
/* window [L P], NaN where nothing is. Of a differenced row the differences, whose first is 0. */
void xl_forecast_window(double *window, const xl_forecast_row *row, const xl_forecast_frame *frame,
                        int differenced);
/* Mean and deviation over the window; 0 and 1 of a row of zeros and ones, if the model knows such. */
void xl_forecast_scale(xl_forecast_scaling *s, const double *window, const xl_forecast_frame *frame,
                       const struct xl_forecast_config *c);
/* tokens [L, 2 P]: scaled values, 0 where there is none, then 1 where there is one. */
void xl_forecast_tokens(real *tokens, const double *window, const xl_forecast_frame *frame,
                        const xl_forecast_scaling *s, const struct xl_forecast_config *c);

/* All of this. difference: whether a trend is looked for, as is in targets only. window: [L P], scratch */
void xl_forecast_prepare(xl_forecast_scaling *s, real *tokens, double *window, const xl_forecast_row *row,
                         const xl_forecast_frame *frame, int difference, const struct xl_forecast_config *c);

#endif
