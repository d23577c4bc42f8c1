/* quantiles: forecasts by a pretrained model of the TiRex-2 family.
 *
 * New here: xlstm/forecast.h. A model is loaded, several series of different lengths are forecast in one
 * call, one of them with a covariate that is known ahead, and one that cannot be forecast says why while the
 * others go on. The model here is one of the tests' with random weights, so its numbers mean nothing; give a
 * folder of your own. */
#include "programs/compare.h"
#include "programs/program.h"

enum { LENGTH = 60, STEPS = 8, SERIES = 3, LEVELS = 3 };

static const double levels[LEVELS] = {0.1, 0.5, 0.9};

typedef struct {
    float target[LENGTH], future[LENGTH + STEPS], quantiles[LEVELS * STEPS], median[STEPS];
} data;

/* A wave, a wave that depends on whether it is a working day, and nothing but gaps. */
static void make(data d[SERIES], xlstm_series series[SERIES]) {
    for (int i = 0; i < SERIES; i++) {
        for (int t = 0; t < LENGTH + STEPS; t++)
            d[i].future[t] = t % 7 < 5;
        for (int t = 0; t < LENGTH; t++)
            d[i].target[t] = i == 2 || t == 10 ? NAN : (float)(10 + sin(0.4 * t) + i * 3 * d[i].future[t]);
        series[i] = (xlstm_series){
            .dtype = XLSTM_F32, .length = LENGTH - 20 * i, .targets = 1, .target = d[i].target};
    }
    series[1].future_rows = 1;
    series[1].future = d[1].future;
    series[1].future_length = series[1].length + STEPS;
}

int main(int argc, char **argv) {
    program_begin();
    static data d[SERIES];
    xlstm_series series[SERIES];
    xlstm_forecast forecasts[SERIES] = {0};
    xlstm_forecast_model *model;
    xlstm_forecaster *forecaster;
    xlstm_forecast_options how;
    if (argc != 2)
        die("give the folder of a model");
    check(xlstm_forecast_model_load(&model, argv[1], XLSTM_WEIGHTS_REAL));
    check(xlstm_forecaster_create(&forecaster, model, 0));
    xlstm_forecast_options_init(&how);
    how.horizon = STEPS;
    how.quantiles = levels;
    how.quantile_count = LEVELS;
    make(d, series);
    for (int i = 0; i < SERIES; i++) {
        forecasts[i].quantiles = d[i].quantiles;
        forecasts[i].median = d[i].median;
    }
    int failed = xlstm_forecaster_run(forecaster, &how, series, SERIES, forecasts) != XLSTM_OK;
    int fine = failed && forecasts[2].status == XLSTM_E_NUMERIC;
    for (int i = 0; i < SERIES; i++) {
        if (forecasts[i].status != XLSTM_OK) {
            printf("series %d: %s\n", i, forecasts[i].error);
            continue;
        }
        printf("series %d, %d values\nstep    10 %%    50 %%    90 %%\n", i, series[i].length);
        for (int t = 0; t < STEPS; t++) {
            const float *q = d[i].quantiles + t;
            printf("%4d %7.2f %7.2f %7.2f\n", t + 1, (double)q[0], (double)q[STEPS], (double)q[2 * STEPS]);
            fine = fine && is_near((double)q[STEPS], (double)d[i].median[t], 0);
        }
    }
    xlstm_forecaster_free(forecaster);
    xlstm_forecast_model_free(model);
    return fine ? 0 : 1;
}
