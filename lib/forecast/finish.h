/* finish.h - what stands behind the network: quantiles of the forecast from what its head said. In double. */
#ifndef XL_FORECAST_FINISH_H
#define XL_FORECAST_FINISH_H

#include "forecast/prepare.h"

/* level [Q, H] from head [ceil(H / P), Q P] of one row: out of the scale that the network sees. */
void xl_forecast_levels(double *level, const real *head, int horizon, const xl_forecast_scaling *s,
                        const struct xl_forecast_config *c);
/* level [Q, H], in place: what the steps of a differenced row add up to, and how much wider quantiles are
 * apart than the network has them. */
void xl_forecast_calibrate(double *level, int horizon, const xl_forecast_scaling *s, int quantiles);
/* level [Q, H], in place: the mean with the forecast `negated` [Q, H] of the negated series. */
void xl_forecast_unflip(double *level, const double *negated, int horizon, int quantiles);
/* Whether that has a meaning: q and 1 - q are both there, to 1e-6. */
int xl_forecast_is_symmetric(const struct xl_forecast_config *c);
/* level [Q, H], in place: the quantiles of each step in order. */
void xl_forecast_sort(double *level, int horizon, int quantiles);
/* Quantile u, of the model or between two of it, at step t of level [Q, H]. Outside of the model's it is the
 * outermost. */
double xl_forecast_quantile(const double *level, int horizon, int t, double u,
                            const struct xl_forecast_config *c);

#endif
