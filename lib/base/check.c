/* check.c - a NaN is in no range. */
#include "base/check.h"

static xlstm_status refuse(const char *name, double value, double low, double high) {
    return xl_fail(XLSTM_E_CONFIG, "%s is %.8g; it must be %.8g to %.8g", name, value, low, high);
}

xlstm_status xl_check_range(const char *name, double value, double low, double high) {
    if (!(value >= low && value <= high))
        return refuse(name, value, low, high);
    if (value != 0 && (float)value == 0)
        return xl_fail(XLSTM_E_CONFIG, "%s is %.8g, which is 0 as a float; give 0 itself, or 1e-45 and more",
                       name, value);
    return XLSTM_OK;
}

xlstm_status xl_check_float_range(const char *name, float value, double low, double high) {
    return value >= (float)low && value <= (float)high ? XLSTM_OK : refuse(name, value, low, high);
}

xlstm_status xl_check_divides(const char *name, int part, const char *of, int whole) {
    if (part < 1 || whole < 1 || whole % part)
        return xl_fail(XLSTM_E_CONFIG, "%s is %d; it must divide %s, which is %d", name, part, of, whole);
    return XLSTM_OK;
}
