/* xlstm-init CONFIG.json DIR: a model directory with fresh weights, drawn as the official packages draw them.
 * A start for training, and a way to try sizes without a download. */
#include "options.h"
#include "paths.h"
#include "program.h"

typedef struct {
    const char *config, *directory;
    uint64_t seed;
    xlstm_weights weights;
} options;

#define FIELD(field) OPTION_FIELD(options, field)
static const option rows[] = {
    {"CONFIG.json", OPTION_ARGUMENT, FIELD(config),
     .help = "one of the official packages' or the library's own"},
    {"DIR", OPTION_ARGUMENT, FIELD(directory), .path = OPTION_FOLDER,
     .help = "where the model goes; one that holds none yet (CONFIG.json may lie there)"},
    {"seed", 's', FIELD(seed), "N", RANGE(0, INT32_MAX), .initial = "1", .help = "of the weights"},
    {"weights", 'w', FIELD(weights), "TYPE", .choices = weights_choices, .initial = "real",
     .help = "real, or bf16: matrices in half the space, for inference only"},
    {0}};

static const option_table table = {.doc = "Makes a model directory with fresh weights.\v"
                                          "Example:\n"
                                          "  xlstm-init config.json model && xlstm-generate model --tokens 1",
                                   .rows = rows};

/* Weights can have cost days, a configuration an afternoon. That which is given says the same afterwards. */
static void refuse_model(const options *o) {
    char name[MODEL_FILE_NAME];
    char *config = need(strlen(o->directory) + sizeof "/config.json");
    sprintf(config, "%s/config.json", o->directory);
    int theirs =
        !access(config, F_OK) && !same_file(config, o->config) && !same_file(o->directory, o->config);
    if (theirs)
        die("%s is there already; give a directory without a model", config);
    if (holds_weights(o->directory, name))
        die("%s/%s is there already; give a directory without a model", o->directory, name);
    free(config);
}

static void make_forecast_model(const options *o) {
    xlstm_forecast_model *m;
    if (o->weights != XLSTM_WEIGHTS_REAL)
        die("forecasting models are made with real weights; xlstm-forecast can hold them in smaller types");
    check(xlstm_forecast_model_create(&m, o->config, o->seed));
    check(xlstm_forecast_model_save(m, o->directory));
    printf("%s: a forecasting model\n", o->directory);
    xlstm_forecast_model_free(m);
}

int main(int argc, char **argv) {
    options o = {0};
    xlstm_config config;
    xlstm_module *m;
    read_options(&o, &table, argc, argv);
    if (o.weights == XLSTM_WEIGHTS_INT8)
        die("8-bit weights cannot be stored; use real or bf16, and xlstm-generate --weights int8");
    refuse_model(&o);
    if (xlstm_is_forecast_model(o.config)) {
        make_forecast_model(&o);
        return 0;
    }
    check(xlstm_config_load(o.config, &config));
    config.weights = o.weights;
    check(xlstm_model_create(&m, &config, o.seed));
    check(xlstm_module_save(m, o.directory));
    printf("%s: %.3f million parameters, %.1f MB\n", o.directory, (double)xlstm_module_size(m) / 1e6,
           (double)xlstm_module_bytes(m) / 1e6);
    xlstm_module_free(m);
    return 0;
}
