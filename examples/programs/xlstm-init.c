/* xlstm-init CONFIG.json DIR: a model directory with fresh weights, drawn as the official packages draw them.
 * A start for training, and a way to try sizes without a download. */
#include "program.h"
#include <argp.h>
#include <unistd.h>

typedef struct {
    const char *config, *directory;
    uint64_t seed;
    xlstm_weights weights;
} options;

static const struct argp_option argp_options[] = {
    {"seed", 's', "N", 0, "of the weights (default 1)", 0},
    {"weights", 'w', "TYPE", 0, "real (default) or bf16: matrices in half the space, for inference only", 0},
    {0}};

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    options *o = state->input;
    switch (key) {
    case 's':
        o->seed = (uint64_t)count_option("seed", arg, 0, 2147483647);
        return 0;
    case 'w':
        o->weights = weights_option(arg);
        if (o->weights == XLSTM_WEIGHTS_INT8)
            die("8-bit weights cannot be stored; use real or bf16, and xlstm-generate --weights int8");
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 1)
            die("\"%s\" is one argument too many; see --help", arg);
        *(state->arg_num ? &o->directory : &o->config) = arg;
        return 0;
    case ARGP_KEY_END:
        if (state->arg_num < 2)
            die("a configuration and a directory are needed; see --help");
        return 0;
    }
    return ARGP_ERR_UNKNOWN;
}

/* Weights can have cost days. */
static void refuse_weights(const char *directory) {
    static const char *const names[] = {"model.safetensors", "weights.safetensors"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = need(strlen(directory) + strlen(names[i]) + 2);
        sprintf(path, "%s/%s", directory, names[i]);
        if (access(path, F_OK) == 0)
            die("%s is there already; give a directory without weights", path);
        free(path);
    }
}

int main(int argc, char **argv) {
    static const struct argp argp = {
        argp_options,
        parse_option,
        "CONFIG.json DIR",
        "Makes a model directory with fresh weights.\vCONFIG.json is one of the official packages' or the "
        "library's own.\nExample:\n  xlstm-init config.json model && xlstm-generate model --tokens 1",
        NULL,
        NULL,
        NULL};
    options o = {.seed = 1};
    xlstm_config config;
    xlstm_module *m;
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    refuse_weights(o.directory);
    check(xlstm_config_load(o.config, &config));
    config.weights = o.weights;
    check(xlstm_model_create(&m, &config, o.seed));
    check(xlstm_module_save(m, o.directory));
    printf("%s: %.3f million parameters, %.1f MB\n", o.directory, (double)xlstm_module_size(m) / 1e6,
           (double)xlstm_module_bytes(m) / 1e6);
    xlstm_module_free(m);
    return 0;
}
