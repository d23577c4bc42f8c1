/* forecast_model.c - the public calls for forecasting models' files. */
#include "base/error.h"
#include "io/forecast_io.h"
#include "xlstm/forecast.h"

xlstm_status xlstm_forecast_model_load(xlstm_forecast_model **out, const char *directory,
                                       xlstm_weights weights) {
    XL_TRY(xl_check_out(out, "xlstm_forecast_model_load"));
    *out = NULL;
    if (!directory || weights < 0 || weights >= XLSTM_WEIGHTS_KINDS)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "xlstm_forecast_model_load needs a directory and one of xlstm_weights; got %d",
                       (int)weights);
    return xl_forecast_network_load(out, directory, weights);
}

xlstm_status xlstm_forecast_model_save(const xlstm_forecast_model *model, const char *directory) {
    if (!model || !directory)
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_forecast_model_save needs a model and a directory");
    return xl_forecast_network_save(model, directory);
}

int xlstm_is_forecast_model(const char *path) {
    return path && xl_forecast_config_is_at(path);
}

xlstm_status xlstm_forecast_model_create(xlstm_forecast_model **out, const char *config, uint64_t seed) {
    struct xl_forecast_config c;
    XL_TRY(xl_check_out(out, "xlstm_forecast_model_create"));
    *out = NULL;
    if (!config)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "xlstm_forecast_model_create: config is NULL; give a config.json or its directory");
    XL_TRY(xl_forecast_config_load(&c, config));
    return xl_forecast_network_create(out, &c, seed);
}
