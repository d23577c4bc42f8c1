/* prepare.c - windows and tokens. The mean of a constant row is that constant in double, so that what the
 * network sees of it is 0 and not noise of the size of a rounding error over the same. */
#include "forecast/prepare.h"

double xl_forecast_value(const xl_forecast_row *row, int t) {
    double x = NAN;
    if (t < row->count)
        x = row->is_double ? ((const double *)row->values)[t] : (double)((const float *)row->values)[t];
    else if (t - row->count < row->fed_count)
        x = row->fed[t - row->count];
    return row->sign * x;
}

/* ---- trends ---- */

/* Values that are there, and their moments. */
typedef struct {
    int count;
    double time, value;         /* means */
    double times, values, both; /* sums of products of what is left of the means */
} moments;

static moments moments_of(const xl_forecast_row *row, int length) {
    moments m = {0};
    for (int t = 0; t < length; t++) {
        double x = xl_forecast_value(row, t);
        if (isnan(x))
            continue;
        m.count++;
        m.time += t;
        m.value += x;
    }
    m.time /= m.count;
    m.value /= m.count;
    for (int t = 0; t < length; t++) {
        double x = xl_forecast_value(row, t) - m.value, at = t - m.time;
        if (isnan(x))
            continue;
        m.times += at * at;
        m.values += x * x;
        m.both += at * x;
    }
    return m;
}

/* What a line z = a t + b leaves of the standardised values. */
static double left_by_line(const xl_forecast_row *row, int length, const moments *m, double deviation,
                           double slope) {
    double left = 0;
    for (int t = 0; t < length; t++) {
        double z = (xl_forecast_value(row, t) - m->value) / deviation - slope * (t - m->time);
        left += isnan(z) ? 0 : z * z;
    }
    return left;
}

int xl_forecast_trends(const xl_forecast_row *row, int length) {
    enum { FEWEST = 4 };
    const double tiny = 1e-12, rise = 1.5, explained = 0.87;
    moments m = moments_of(row, length);
    double deviation = m.count < FEWEST ? 0 : sqrt(m.values / (m.count - 1));
    if (deviation < tiny)
        return 0;
    double slope = m.both / deviation / m.times, all = m.values / (deviation * deviation);
    double r2 = all > tiny ? 1 - left_by_line(row, length, &m, deviation, slope) / all : 0;
    return fabs(slope) * length >= rise && r2 >= explained;
}

/* ---- windows ---- */

static double difference_at(const xl_forecast_row *row, int t) {
    return t == 0 ? 0 : xl_forecast_value(row, t) - xl_forecast_value(row, t - 1);
}

static double last_value(const xl_forecast_row *row, int length) {
    for (int t = length - 1; t >= 0; t--) {
        double x = xl_forecast_value(row, t);
        if (!isnan(x))
            return x;
    }
    return 0;
}

void xl_forecast_window(double *window, const xl_forecast_row *row, const xl_forecast_frame *f,
                        int differenced) {
    int end = f->tokens * f->patch - f->ahead, T = f->length;
    int first = T > f->context ? T - f->context : 0, behind = differenced ? T : T + f->horizon;
    for (int i = 0; i < f->tokens * f->patch; i++)
        window[i] = NAN;
    for (int t = first; t < behind; t++)
        window[end - T + t] = differenced ? difference_at(row, t) : xl_forecast_value(row, t);
}

/* ---- scaling ---- */

static int is_binary(const double *window, int columns) {
    for (int i = 0; i < columns; i++)
        if (!isnan(window[i]) && window[i] != 0 && window[i] != 1)
            return 0;
    return 1;
}

static double mean_of(const double *window, int columns, double loc, int squares) {
    double sum = 0;
    int count = 0;
    for (int i = 0; i < columns; i++) {
        double x = window[i] - loc;
        if (isnan(x))
            continue;
        sum += squares ? x * x : x;
        count++;
    }
    return count ? sum / count : squares;
}

void xl_forecast_scale(xl_forecast_scaling *s, const double *window, const xl_forecast_frame *f,
                       const struct xl_forecast_config *c) {
    int columns = f->tokens * f->patch;
    s->binary = c->binaryaware && is_binary(window, columns);
    s->loc = s->binary ? 0 : mean_of(window, columns, 0, 0);
    s->scale = s->binary ? 1 : sqrt(mean_of(window, columns, s->loc, 1));
    s->scale = s->scale > c->scaler_eps ? s->scale : c->scaler_eps;
    s->known = 0;
    for (int i = columns - f->ahead; i < columns; i++)
        s->known |= !isnan(window[i]);
    int empty = 0;
    while (empty < columns && isnan(window[empty]))
        empty++;
    s->padding = empty / f->patch;
}

void xl_forecast_tokens(real *tokens, const double *window, const xl_forecast_frame *f,
                        const xl_forecast_scaling *s, const struct xl_forecast_config *c) {
    int P = f->patch, bend = c->use_arcsinh && !s->binary;
    for (int i = 0; i < f->tokens * P; i++) {
        double x = (window[i] - s->loc) / s->scale;
        real *token = tokens + (ptrdiff_t)(i / P) * 2 * P + i % P;
        token[0] = isnan(x) ? 0 : (real)(bend ? asinh(x) : x);
        token[P] = !isnan(x);
    }
}

void xl_forecast_prepare(xl_forecast_scaling *s, real *tokens, double *window, const xl_forecast_row *row,
                         const xl_forecast_frame *f, int difference, const struct xl_forecast_config *c) {
    s->differenced = difference && xl_forecast_trends(row, f->length);
    s->last = s->differenced ? last_value(row, f->length) : 0;
    xl_forecast_window(window, row, f, s->differenced);
    xl_forecast_scale(s, window, f, c);
    xl_forecast_tokens(tokens, window, f, s, c);
}
