/* A table as xlstm-forecast reads it, and forecasts of all of its series by a small model: whatever is read
 * is forecast or refused with a sentence, and forecasts are finite.
 *
 * First byte: separator, decimal comma, header, and whether a column tells series apart. */
#include "dataset.h"
#include "forecast/network.h"
#include "fuzz/fuzz.h"
#include "labels.h"
#include "measures.h"
#include <math.h>

enum { H = 5, Q = 9, ROWS = 6, SERIES = 8, LONGEST = 300 };

static xlstm_forecaster *small_forecaster(void) {
    struct xl_forecast_config c;
    xlstm_forecast_model *m;
    xlstm_forecaster *f;
    xl_forecast_config_init(&c);
    c.num_blocks = 2;
    c.embedding_dim = c.input_ff_dim = 8;
    c.patch_size = c.future_len = 4;
    c.context_len = 16;
    c.use_arcsinh = c.binaryaware = 1;
    MUST(went_well(xl_forecast_network_create(&m, &c, 1)));
    MUST(went_well(xlstm_forecaster_create(&f, m, ROWS)));
    return f;
}

static void go_on(const dataset_series *s) {
    char text[LABEL_ROOM];
    if (!s->label)
        return;
    labels l = labels_of(s->label, s->rows);
    for (int ahead = 1; ahead < 1 << 20; ahead *= 3) {
        labels_next(&l, ahead, text);
        MUST(strlen(text) < LABEL_ROOM);
    }
}

static void measure(const double *history, int length, const xlstm_forecast *f) {
    static const double levels[Q] = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9};
    const measure_levels all = {levels, Q};
    double q[Q * H], m[H];
    score s = {0};
    int season = season_guess(history, length);
    MUST(season >= 1 && (season == 1 || season < length));
    for (int k = 0; k < BASELINES; k++)
        baseline_forecast((baseline)k, history, length, season, H, all, q, m);
    score_add(&s, history, length, season, m, H, f->quantiles, f->median, all);
    MUST(!(score_coverage(&s) > 1));
}

static void forecast(xlstm_forecaster *f, const dataset *d, const dataset_series *s) {
    static double rows[ROWS * (LONGEST + H)], quantiles[ROWS * Q * H], median[ROWS * H];
    xlstm_forecast_options o;
    int T = s->length ? s->length : s->rows;
    if (d->columns > ROWS || T > LONGEST)
        return;
    for (int v = 0; v < d->columns; v++)
        dataset_column(d, s, v, 0, T, rows + v * T);
    xlstm_series one = {.dtype = XLSTM_F64, .length = T, .targets = d->columns, .target = rows};
    xlstm_forecast out = {.quantiles = quantiles, .median = median};
    xlstm_forecast_options_init(&o);
    o.horizon = H;
    o.roll = 1;
    if (!went_well(xlstm_forecaster_run(f, &o, &one, 1, &out))) {
        MUST(out.status != XLSTM_OK && strlen(out.error) > 10);
        return;
    }
    for (int i = 0; i < d->columns * Q * H; i++)
        MUST(isfinite(quantiles[i]));
    measure(rows, T, &out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static xlstm_forecaster *f;
    static const char separators[] = {',', ';', '\t', 'x'};
    csv c = {0};
    dataset d = {0};
    f = f ? f : small_forecaster();
    if (!size)
        return 0;
    char *text = malloc(size);
    MUST(text);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = 0;
    const dataset_columns columns = {.series = *data & 64 ? "1" : NULL};
    int opened = csv_open(&c, text, size - 1, separators[*data & 3], *data >> 2 & 1,
                          (csv_header)((*data >> 3 & 7) % 3));
    if (opened && dataset_read(&d, &c, &columns)) {
        MUST(d.count >= 1 && d.targets >= 1 && d.columns == d.targets);
        for (int i = 0; i < d.count && i < SERIES; i++) {
            MUST(d.series[i].length <= d.series[i].rows);
            go_on(&d.series[i]);
            forecast(f, &d, &d.series[i]);
        }
    } else {
        MUST(strlen(opened ? d.why : c.why) > 10);
    }
    dataset_close(&d);
    csv_close(&c);
    free(text);
    return 0;
}
