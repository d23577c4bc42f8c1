/* check.h - the checks of a caller's numbers that come again and again, each with its one sentence. */
#ifndef XL_CHECK_H
#define XL_CHECK_H

#include "base/error.h"

/* XLSTM_E_CONFIG with the option's name unless low <= value <= high, and where the float that it becomes is 0
 * and it is not. */
xlstm_status xl_check_range(const char *name, double value, double low, double high);
/* The same of a float, whose bounds are floats too: 0.99f is more than 0.99. */
xlstm_status xl_check_float_range(const char *name, float value, double low, double high);
/* XLSTM_E_CONFIG unless `part` divides `whole`, both at least 1; `of` says what the whole is. */
xlstm_status xl_check_divides(const char *name, int part, const char *of, int whole);

#endif
