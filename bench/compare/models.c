/* models.c - models whose core is of equal size. */
#include "bench.h"

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
    int m, s;
    *c = *base;
    check(xlstm_config_mix(c, mix));
    if (sscanf(mix, "%d:%d", &m, &s) == 2 && m && s &&
        !(has_kind(c, XLSTM_MLSTM) && has_kind(c, XLSTM_SLSTM)))
        die("mix \"%s\" of %d blocks has no %s block; use %d:1, or more blocks", mix, c->num_blocks,
            has_kind(c, XLSTM_MLSTM) ? "sLSTM" : "mLSTM", c->num_blocks - 1);
}

static void other_row(xlstm_block_kind kind, const xlstm_config *base, xlstm_config *c) {
    xlstm_config own;
    xlstm_config_init(&own, kind);
    *c = *base;
    memcpy(c->block_kind, own.block_kind, sizeof c->block_kind);
    c->final_norm = own.final_norm;
    c->ffn_proj_factor = own.ffn_proj_factor;
}

/* The places of rate_grids; xlstm@mix is xlstm. */
static int kind_of(const char *name) {
    static const char *const names[MODEL_KINDS] = {"xlstm", "lstm", "lstm-res", "transformer"};
    if (!strncmp(name, "xlstm@", 6))
        return 0;
    for (int i = 0; i < MODEL_KINDS; i++)
        if (!strcmp(name, names[i]))
            return i;
    die("model \"%s\" is unknown; use xlstm, lstm, lstm-res or transformer, with commas between", name);
}

static void row_config(const options *o, const char *name, const xlstm_config *base, xlstm_config *c) {
    static const xlstm_block_kind kinds[MODEL_KINDS] = {XLSTM_MLSTM, XLSTM_LSTM_PLAIN, XLSTM_LSTM,
                                                        XLSTM_TRANSFORMER};
    int kind = kind_of(name);
    if (kind == 0)
        xlstm_row(name[5] ? name + 6 : o->mix, base, c);
    else
        other_row(kinds[kind], base, c);
}

static void make_row(const options *o, const char *name, const xlstm_config *base, size_t target,
                     row_model *r) {
    size_t all;
    r->kind = kind_of(name);
    strcpy(r->name, name);
    row_config(o, name, base, &r->config);
    match(&r->config, target);
    r->carries = r->config.block_kind[0] != XLSTM_TRANSFORMER;
    r->core = core_of(&r->config, &all);
    r->embedding = all - r->core;
    r->off_target = 100 * ((double)r->core / (double)target - 1);
}

/* The names of --models, each once, in a list to be freed; *count: how many. */
static char *names_of(const options *o, const char *names[MAX_MODELS], int *count) {
    char *list = strcpy(need(strlen(o->models) + 1), o->models), *save = NULL;
    *count = 0;
    for (char *name = strtok_r(list, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
        if (*count == MAX_MODELS)
            die("--models names more than %d models", MAX_MODELS);
        for (int i = 0; i < *count; i++)
            if (!strcmp(names[i], name))
                die("--models names %s twice", name);
        names[(*count)++] = name;
    }
    if (!*count)
        die("--models is empty; give a comma list such as xlstm,lstm");
    return list;
}

void check_models(const options *o, const xlstm_config *base) {
    const char *names[MAX_MODELS];
    xlstm_config c;
    int count;
    char *list = names_of(o, names, &count);
    xlstm_row(o->mix, base, &c);
    for (int i = 0; i < count; i++) {
        if (strlen(names[i]) >= sizeof((row_model *)0)->name)
            die("model \"%s\" is unknown; its name is too long", names[i]);
        row_config(o, names[i], base, &c);
        check(xlstm_config_check(&c));
    }
    free(list);
}

int make_models(const options *o, const xlstm_config *base, row_model rows[MAX_MODELS]) {
    const char *names[MAX_MODELS];
    xlstm_config first;
    size_t all;
    int count;
    char *list = names_of(o, names, &count);
    xlstm_row(o->mix, base, &first);
    size_t target = core_of(&first, &all);
    for (int i = 0; i < count; i++)
        make_row(o, names[i], base, target, &rows[i]);
    free(list);
    return count;
}
