#include "bench.h"
#include <argp.h>
#include <math.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- options
 * --------------------------------------------------------------------------------------------------- */

static const char *const presets[] = {"smoke", "quick", "full", "thesis", NULL};

enum {
    OPT_MODELS = 1000,
    OPT_MIX,
    OPT_SEED,
    OPT_THREADS,
    OPT_DATA,
    OPT_SAVE,
    OPT_WIDTH,
    OPT_BLOCKS,
    OPT_HEADS,
    OPT_STEPS,
    OPT_BATCH,
    OPT_WINDOW,
    OPT_LR,
    OPT_DROPOUT
};

static const struct argp_option argp_options[] = {
    {"preset", 'p', "NAME", 0, "smoke (seconds), quick (minutes, the default), full (hours) or thesis", 0},
    {"models", OPT_MODELS, "LIST", 0,
     "comma list of xlstm, lstm, lstm-res, transformer; xlstm@1:0 gives a mix of its own", 0},
    {"mix", OPT_MIX, "A:B", 0, "mLSTM to sLSTM blocks of xlstm, such as 1:0, 7:1 or 0:1", 0},
    {"seed", OPT_SEED, "N", 0, "weights, data order and dropout (default 1)", 0},
    {"out", 'o', "FILE", 0, "write the results as JSON", 0},
    {"threads", OPT_THREADS, "N", 0, "threads (default: all); results do not depend on it", 0},
    {"data", OPT_DATA, "DIR", 0, "folder with train.txt, valid.txt, test.txt (xlstm-lm)", 0},
    {"save", OPT_SAVE, "DIR", 0, "keep each trained model in DIR/NAME, with its words (xlstm-lm)", 0},
    {"width", OPT_WIDTH, "N", 0, "embedding width", 0},
    {"blocks", OPT_BLOCKS, "N", 0, "blocks", 0},
    {"heads", OPT_HEADS, "N", 0, "heads", 0},
    {"steps", OPT_STEPS, "N", 0, "training steps", 0},
    {"batch", OPT_BATCH, "N", 0, "streams in a batch", 0},
    {"window", OPT_WINDOW, "N", 0, "tokens of a stream in a step (xlstm-lm)", 0},
    {"lr", OPT_LR, "X", 0, "peak learning rate of every model (default: per model)", 0},
    {"dropout", OPT_DROPOUT, "X", 0, "dropout", 0},
    {0}};

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    options *o = state->input;
    switch (key) {
    case 'p':
        o->preset = arg;
        return 0;
    case OPT_MODELS:
        o->models = arg;
        return 0;
    case OPT_MIX:
        o->mix = arg;
        return 0;
    case OPT_SEED:
        o->seed = (uint64_t)count_option("seed", arg, 0, 2147483647);
        return 0;
    case 'o':
        o->out = arg;
        return 0;
    case OPT_THREADS:
        o->threads = count_option("threads", arg, 1, XLSTM_MAX_THREADS);
        return 0;
    case OPT_DATA:
        o->data = arg;
        return 0;
    case OPT_SAVE:
        o->save = arg;
        return 0;
    case OPT_WIDTH:
        o->width = count_option("width", arg, 1, 65536);
        return 0;
    case OPT_BLOCKS:
        o->blocks = count_option("blocks", arg, 1, XLSTM_MAX_BLOCKS);
        return 0;
    case OPT_HEADS:
        o->heads = count_option("heads", arg, 1, 1024);
        return 0;
    case OPT_STEPS:
        o->steps = count_option("steps", arg, 1, 100000000);
        return 0;
    case OPT_BATCH:
        o->batch = count_option("batch", arg, 1, 65536);
        return 0;
    case OPT_WINDOW:
        o->window = count_option("window", arg, 1, 65536);
        return 0;
    case OPT_LR:
        o->lr = number_option("lr", arg, 0, 10);
        return 0;
    case OPT_DROPOUT:
        o->dropout = number_option("dropout", arg, 0, 0.99);
        return 0;
    case ARGP_KEY_ARG:
        die("\"%s\" is not an option; see --help", arg);
    }
    return ARGP_ERR_UNKNOWN;
}

int preset_index(const options *o) {
    for (int i = 0; presets[i]; i++)
        if (!strcmp(o->preset, presets[i]))
            return i;
    die("preset \"%s\" is unknown; use smoke, quick, full or thesis", o->preset);
}

void parse_options(options *o, int argc, char **argv, const program *p) {
    const struct argp argp = {argp_options, parse_option, NULL, p->doc, NULL, NULL, NULL};
    *o = (options){.preset = "quick", .models = p->default_models, .seed = 1, .lr = -1, .dropout = -1};
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, o);
    preset_index(o);
    if (o->data && !p->has_data)
        die("--data is for xlstm-lm; this task makes its own data");
    if (o->save && !p->has_data)
        die("--save is for xlstm-lm; there is nothing to run this task's models on");
    if (o->threads)
        check(xlstm_set_threads(o->threads));
    check_writable(o->out);
}

/* ---- models
 * ---------------------------------------------------------------------------------------------------- */

static size_t core_of(const xlstm_config *c, size_t *all) {
    xlstm_module *m;
    check(xlstm_model_create(&m, c, 1));
    size_t core = xlstm_module_core_size(m);
    *all = xlstm_module_size(m);
    xlstm_module_free(m);
    return core;
}

/* A size of a configuration that the core grows with, in steps that keep the configuration valid. */
typedef struct {
    int *value, step;
} knob;

/* Sets the knob to where the core is closest to the target and returns the gap. */
static size_t match_by(xlstm_config *c, knob k, size_t target) {
    size_t all, best_gap = (size_t)-1;
    int low = 1, high = 8 * c->embedding_dim / k.step, best = 1;
    while (low <= high) {
        int middle = (low + high) / 2;
        *k.value = middle * k.step;
        size_t core = core_of(c, &all), gap = core > target ? core - target : target - core;
        if (gap < best_gap) {
            best_gap = gap;
            best = middle;
        }
        if (core < target)
            low = middle + 1;
        else
            high = middle - 1;
    }
    *k.value = best * k.step;
    return best_gap;
}

static int has_kind(const xlstm_config *c, xlstm_block_kind kind) {
    return memchr(c->block_kind, kind, (size_t)c->num_blocks) != NULL;
}

/* Any multiple of 4 and of the heads is a valid inner width of the mLSTM. */
static int inner_step(const xlstm_config *c) {
    int step = c->mlstm_qkv_blocksize;
    while (step % c->num_heads)
        step += c->mlstm_qkv_blocksize;
    return step;
}

/* Changes what the kind leaves free: inner widths, and for an LSTM, that has none, the width. */
static void match(xlstm_config *c, size_t target) {
    size_t all;
    if (core_of(c, &all) == target)
        return;
    int mlstm = has_kind(c, XLSTM_MLSTM), ffn = has_kind(c, XLSTM_SLSTM) || has_kind(c, XLSTM_TRANSFORMER);
    if (!mlstm && !ffn)
        match_by(c, (knob){&c->embedding_dim, 1}, target);
    if (mlstm && match_by(c, (knob){&c->mlstm_inner, inner_step(c)}, target) == 0)
        return;
    if (ffn)
        match_by(c, (knob){&c->ffn_inner, 1}, target);
}

static void xlstm_row(const char *mix, const xlstm_config *base, xlstm_config *c) {
    *c = *base;
    check(xlstm_config_mix(c, mix));
}

static void other_row(xlstm_block_kind kind, const xlstm_config *base, xlstm_config *c) {
    xlstm_config own;
    xlstm_config_init(&own, kind);
    *c = *base;
    memcpy(c->block_kind, own.block_kind, sizeof c->block_kind);
    c->final_norm = own.final_norm;
    c->ffn_proj_factor = own.ffn_proj_factor;
}

static xlstm_block_kind kind_of(const char *name) {
    if (!strcmp(name, "lstm"))
        return XLSTM_LSTM_PLAIN;
    if (!strcmp(name, "lstm-res"))
        return XLSTM_LSTM;
    if (!strcmp(name, "transformer"))
        return XLSTM_TRANSFORMER;
    die("model \"%s\" is unknown; use xlstm, lstm, lstm-res or transformer, with commas between", name);
}

static void make_row(const options *o, const char *name, const xlstm_config *base, size_t target,
                     row_model *r) {
    size_t all;
    snprintf(r->name, sizeof r->name, "%s", name);
    if (!strncmp(name, "xlstm", 5) && (!name[5] || name[5] == '@')) {
        xlstm_row(name[5] ? name + 6 : o->mix, base, &r->config);
    } else {
        other_row(kind_of(name), base, &r->config);
    }
    match(&r->config, target);
    r->carries = r->config.block_kind[0] != XLSTM_TRANSFORMER;
    r->core = core_of(&r->config, &all);
    r->embedding = all - r->core;
    r->off_target = 100 * ((double)r->core / (double)target - 1);
}

int make_models(const options *o, const char *models, const xlstm_config *base, row_model rows[MAX_MODELS]) {
    xlstm_config first;
    size_t all;
    int count = 0;
    char *list = strcpy(need(strlen(models) + 1), models), *save = NULL;
    xlstm_row(o->mix, base, &first);
    size_t target = core_of(&first, &all);
    for (char *name = strtok_r(list, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
        if (count == MAX_MODELS)
            die("--models names more than %d models", MAX_MODELS);
        make_row(o, name, base, target, &rows[count++]);
    }
    free(list);
    if (!count)
        die("--models is empty; give a comma list such as xlstm,lstm");
    return count;
}

/* ---- progress
 * -------------------------------------------------------------------------------------------------- */

void progress_show(progress *p, int step, double loss, double tokens) {
    double t = now();
    p->tokens += tokens;
    p->loss = p->loss > 0 ? 0.95 * p->loss + 0.05 * loss : loss;
    if (!isatty(STDERR_FILENO) || (t - p->shown < 0.5 && step + 1 < p->steps))
        return;
    double used = t - p->started, left = used / (step + 1) * (p->steps - step - 1);
    fprintf(stderr, "\r%-14s step %6d/%d  loss %8.4f  %8.0f tokens/s  %d:%02d left ", p->name, step + 1,
            p->steps, p->loss, p->tokens / used, (int)left / 60, (int)left % 60);
    p->shown = t;
}

void progress_end(progress *p) {
    (void)p;
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%79s\r", "");
}

/* ---- best weights
 * ---------------------------------------------------------------------------------------------- */

static void copy_weights(xlstm_module *m, xlstm_real *copy, int back) {
    xlstm_parameter p;
    for (int i = 0; i < xlstm_module_parameter_count(m); i++) {
        check(xlstm_module_parameter(m, i, &p));
        memcpy(back ? p.data : copy, back ? copy : p.data, p.count * sizeof *copy);
        copy += p.count;
    }
}

void checkpoint_offer(checkpoint *c, const xlstm_module *m, double value) {
    if (c->copy && !(value < c->best))
        return;
    if (!c->copy)
        c->copy = need(xlstm_module_size(m) * sizeof *c->copy);
    c->best = value;
    copy_weights((xlstm_module *)(uintptr_t)m, c->copy, 0);
}

void checkpoint_restore(const checkpoint *c, xlstm_module *m) {
    if (c->copy)
        copy_weights(m, c->copy, 1);
}

void checkpoint_free(checkpoint *c) {
    free(c->copy);
    *c = (checkpoint){0};
}

/* ---- results
 * --------------------------------------------------------------------------------------------------- */

json_t *number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *describe_row(const row_model *r) {
    const xlstm_config *c = &r->config;
    json_t *kinds = json_array();
    for (int i = 0; i < c->num_blocks; i++)
        json_array_append_new(kinds, json_string(xlstm_block_kind_name((xlstm_block_kind)c->block_kind[i])));
    return json_pack("{s:s,s:o,s:i,s:i,s:i,s:i,s:f,s:b,s:I,s:I,s:f,s:b,s:f}", "model", r->name, "blocks",
                     kinds, "width", c->embedding_dim, "heads", c->num_heads, "ffn_inner", c->ffn_inner,
                     "context_length", c->context_length, "dropout", (double)c->dropout, "tied",
                     c->tie_weights, "core_parameters", (json_int_t)r->core, "embedding_parameters",
                     (json_int_t)r->embedding, "core_off_target_percent", r->off_target, "carries_state",
                     r->carries, "learning_rate", (double)r->lr);
}

static json_t *cpu_name(void) {
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "model name", 10) && strchr(line, ':')) {
            fclose(f);
            line[strcspn(line, "\n")] = 0;
            return json_string(strchr(line, ':') + 2);
        }
    if (f)
        fclose(f);
    return json_string("unknown");
}

json_t *describe_run(const options *o, const char *task) {
    return json_pack("{s:i,s:s,s:s,s:I,s:s,s:i,s:o,s:s}", "schema", 1, "task", task, "preset", o->preset,
                     "seed", (json_int_t)o->seed, "library", xlstm_version(), "threads", xlstm_get_threads(),
                     "cpu", cpu_name(), "mix", o->mix);
}

void check_writable(const char *path) {
    if (!path)
        return;
    char *beside = need(strlen(path) + 5);
    sprintf(beside, "%s.tmp", path);
    FILE *f = fopen(beside, "w");
    int reason = errno;
    if (f) {
        fclose(f);
        remove(beside);
    }
    free(beside);
    if (!f)
        die("--out %s cannot be written (%s); give a path in a folder that exists", path, strerror(reason));
}

char *make_folder(const char *dir, const char *name) {
    char *path = need(strlen(dir) + strlen(name) + 2);
    strcpy(path, dir);
    for (int deep = 0; deep < 2; deep++) {
        if (mkdir(path, 0777) && errno != EEXIST)
            die("--save: the folder %s cannot be made (%s)", path, strerror(errno));
        if (!deep)
            sprintf(path, "%s/%s", dir, name);
    }
    return path;
}

void write_json(const char *path, json_t *root) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    json_object_set_new(root, "peak_memory_kib", json_integer(usage.ru_maxrss));
    if (path) {
        char *beside = need(strlen(path) + 5);
        sprintf(beside, "%s.tmp", path);
        if (json_dump_file(root, beside, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) || rename(beside, path))
            die("%s cannot be written (%s)", path, strerror(errno));
        free(beside);
    }
    json_decref(root);
}
