/* forecast_io.h - forecasting models' files: config.json and model.safetensors, as the package tirex-2 has
 * them. */
#ifndef XL_FORECAST_IO_H
#define XL_FORECAST_IO_H

#include "forecast/network.h"
#include "io/config_json.h"

/* Whether an object is such a model's configuration, by its keys. */
int xl_forecast_config_is(const json_t *object);
/* The same of a file, or the config.json of a directory; 0 where there is none. */
int xl_forecast_config_is_at(const char *path);
/* XLSTM_E_CONFIG with the key's name; `where` begins every sentence. */
xlstm_status xl_forecast_config_from_json(struct xl_forecast_config *c, json_t *object, const char *where);
/* NULL without memory. */
json_t *xl_forecast_config_to_json(const struct xl_forecast_config *c);
/* From a file, or the config.json of a directory. */
xlstm_status xl_forecast_config_load(struct xl_forecast_config *c, const char *path);

/* weights: the type of matrices in memory; smaller ones cannot be trained. */
xlstm_status xl_forecast_network_load(xl_forecast_network **out, const char *directory,
                                      xlstm_weights weights);
/* Makes the directory if it is not there. */
xlstm_status xl_forecast_network_save(const xl_forecast_network *net, const char *directory);

#endif
