/* forecast_io.c - a forecasting model's folder. Its tensors are a module's, so that the loader of all models
 * reads and writes them. */
#include "io/forecast_io.h"
#include "base/mem.h"
#include "file/file.h"
#include "forecast/inside.h"
#include "io/model_io.h"
#include <string.h>

/* The inner width is embedding_dim * 2.6667, up to a multiple of 64; whether what lies behind the point
 * counts is no key's business, and no two files are known to differ: the tensor says it. */
static xlstm_status find_inner(struct xl_forecast_config *c, const char *directory) {
    int ndim;
    int64_t shape[8];
    XL_TRY(xl_module_peek(directory, "stack.0.time_mixer.ffn.proj_up_gate.weight", &ndim, shape));
    int up = ((int)ceil(c->embedding_dim * 2.6667) + 63) / 64 * 64;
    if (ndim == 2 && shape[0] == up)
        c->ffn_inner = up;
    return XLSTM_OK;
}

xlstm_status xl_forecast_network_load(xl_forecast_network **out, const char *directory,
                                      xlstm_weights weights) {
    struct xl_forecast_config c;
    *out = NULL;
    if (!xl_path_is_dir(directory))
        return xl_fail(XLSTM_E_IO, "%s: is not a directory with config.json and weights", directory);
    XL_TRY(xl_forecast_config_load(&c, directory));
    XL_TRY(find_inner(&c, directory));
    XL_TRY(xl_forecast_network_declare(out, &c, weights));
    xlstm_status status = xl_module_load_files((*out)->m, directory);
    if (status != XLSTM_OK) {
        xl_forecast_network_free(*out);
        *out = NULL;
    }
    return status;
}

xlstm_status xl_forecast_network_save(const xl_forecast_network *net, const char *directory) {
    json_t *object = xl_forecast_config_to_json(&net->config);
    char *text = xl_json_exact(object, JSON_INDENT(1));
    json_decref(object);
    if (!text)
        return xl_no_memory(0, "a configuration");
    xlstm_status status = xl_module_save_files(net->m, directory, text);
    xl_free(text);
    return status;
}
