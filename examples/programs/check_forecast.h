/* check_forecast.h - xlstm-check's reference cases of forecasting models. */
#ifndef CHECK_FORECAST_H
#define CHECK_FORECAST_H

#include "xlstm.h"

/* Compares all that a case holds, a line per tensor. tolerance: negative, the usual one.
 * Returns 0: all pass; 1: one fails; 2: the input cannot be used. */
int check_forecast(const char *model, const char *case_file, double tolerance);

#endif
