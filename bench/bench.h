/* bench.h - what both programs share: options, presets, models of equal size, training, results. */
#ifndef BENCH_H
#define BENCH_H

#include "program.h"
#include <jansson.h>

enum { MAX_MODELS = 16 };

typedef struct {
    const char *preset, *models, *mix, *out, *data, *save;
    int width, blocks, heads, steps, batch, window, threads;
    double lr, dropout;
    uint64_t seed;
} options;

/* One row of the table. */
typedef struct {
    char name[48]; /* as given: xlstm, xlstm@1:0, lstm, ... */
    xlstm_config config;
    size_t core, embedding;
    double off_target; /* core size against the first xlstm's, in per cent */
    int carries;       /* recurrent: state goes on from window to window while training */
    float lr;
} row_model;

/* Fills `rows` from the options; the first xlstm sets the size that the others are matched to. `base` has the
 * ends (vocabulary or input and output size) set. */
int make_models(const options *o, const char *models, const xlstm_config *base, row_model rows[MAX_MODELS]);

/* A training in progress, quiet unless on a terminal. */
typedef struct {
    const char *name;
    int steps;
    double started, shown, tokens, loss;
} progress;
void progress_show(progress *p, int step, double loss, double tokens);
void progress_end(progress *p);

/* A trained model's weights, kept aside. */
typedef struct {
    xlstm_real *copy;
    double best;
} checkpoint;
void checkpoint_offer(checkpoint *c, const xlstm_module *m,
                      double value); /* keeps the weights if value is lower */
void checkpoint_restore(const checkpoint *c, xlstm_module *m);
void checkpoint_free(checkpoint *c);

/* A NaN or infinity is null in JSON. */
json_t *number(double value);
json_t *describe_row(const row_model *r);
json_t *describe_run(const options *o, const char *task);
/* Opens the result file for a trial so that a bad path is found before hours of work. */
void check_writable(const char *path);
/* The folder `dir`/`name`, made if it is not there; free it. */
char *make_folder(const char *dir, const char *name);
void write_json(const char *path, json_t *root); /* written beside, then renamed; NULL path: nowhere */

/* Common options by argp; `program` describes the task. */
typedef struct {
    const char *doc, *default_models;
    int has_data;
} program;
void parse_options(options *o, int argc, char **argv, const program *p);
int preset_index(const options *o); /* 0 smoke, 1 quick, 2 full, 3 thesis */

#endif
