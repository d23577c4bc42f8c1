/* bench.h - what the programs that compare models share: options, presets, models of equal size, and the
 * engine that trains them. A program is a task, with its sizes in presets.c; bench_main() does the rest. */
#ifndef BENCH_H
#define BENCH_H

#include "options.h"
#include "program.h"
#include "result.h"

enum { MAX_MODELS = 16, MAX_GRID = 8, MODEL_KINDS = 4, FIRST_LOSSES = 50 };

/* Learning rates to choose from, for xlstm, lstm, lstm-res, transformer; each list rises and ends with 0. */
typedef float rate_grids[MODEL_KINDS][MAX_GRID];

/* Sizes of a comparison; options replace single ones. */
typedef struct {
    const char *task, *name;
    int width, blocks, heads;
    int64_t steps, search_steps; /* of a run; of one that chooses the learning rate, at most `steps` */
    int batch, window;           /* window: longest row */
    int evaluations;
    size_t train_size, valid_size, test_size; /* at most, sequences or tokens; 0: all there are */
    size_t search_valid_size;                 /* in runs that only choose the learning rate; 0: as others */
    float weight_decay, dropout;
    int embedding_dropout;
    int recurrent_start; /* sLSTM: recurrent matrix uniform at first, not zero, and forget gates open */
    rate_grids grids;
} preset;

typedef struct {
    const char *preset, *models, *mix, *out, *data, *save, *checkpoint, *export, *task;
    char *command; /* as it was called */
    preset p;      /* as chosen */
    int threads, seeds, resume, no_carry, last;
    const char *device;
    int seeds_given; /* --seed or --seeds is */
    xlstm_products products;
    uint64_t seed;
    double limit_seconds, checkpoint_every; /* negative: none */
    option_numbers lr, lr_grid;             /* as given; p.grids has what is meant */
} options;

/* One row of the table. */
typedef struct {
    char name[48]; /* as given: xlstm, xlstm@1:0, lstm, ... */
    int kind;      /* of rate_grids */
    xlstm_config config;
    size_t core, embedding;
    double off_target; /* core size against that of --mix, in per cent */
    int carries;       /* recurrent: its state may go on from batch to batch */
} row_model;

/* Refuses names, mixes and sizes that make no model, before there are data. */
void check_models(const options *o, const xlstm_config *base);
/* Fills `rows` from the options; all are matched to the core size of an xlstm of --mix. `base` has the ends
 * (vocabulary or input and output size) set. */
int make_models(const options *o, const xlstm_config *base, row_model rows[MAX_MODELS]);

/* A task has its data and says which of it each step and each test uses. Everything is a function of the seed
 * and the step, so that a run can go on anywhere. */
typedef struct task task;
struct task {
    const result_kind *kind;
    int batch, time; /* streams and longest window of a training step */
    int carry;       /* windows of a stream follow each other: recurrent models carry their state */
    /* Where each of the batch's rows begins in the training data. @return whether all rows begin anew */
    int (*rows)(task *t, uint64_t seed, int64_t step, int64_t *rows);
    /* The batch of these rows; its arrays are the task's and last until the next call. */
    xlstm_batch (*batch_of)(task *t, const int64_t *rows);
    /* Mean loss over the validation set, or what of it stands before the limit; 0: all. */
    double (*validate)(task *t, xlstm_module *m, size_t limit);
    json_t *(*test)(task *t, xlstm_module *m); /* the columns of `kind`, and lists of numbers for plots */
    json_t *(*describe)(const task *t);        /* sizes and checksums of the data */
    /* The data as tensors for programs in other languages. @return how many */
    int (*tensors)(const task *t, xlstm_tensor *out);
    void (*keep_words)(const task *t,
                       const char *dir); /* puts beside a saved model what its tokens are, or NULL */
};

/* Programs by bits, as a table of options names them. */
enum { FOR_LM = 1, FOR_NNS = 2, FOR_TASKS = 4 };

typedef struct {
    const char *doc, *task, *default_models, *default_mix; /* task: NULL: --task names it */
    int program;
    task *(*open)(const options *o); /* prints what it is about, too */
    /* t: NULL before the data are read; sizes that they decide are then any. */
    void (*config)(const options *o, const task *t, xlstm_config *base);
    void (*close)(task *t);
} program;

extern const char *const preset_choices[];
/* Ends the program where the preset has no such task. */
const preset *preset_find(const char *task, const char *name);

/* The command line over the preset that it names; free o->command. */
void parse_options(options *o, int argc, char **argv, const program *p);
int bench_main(int argc, char **argv, const program *p);

/* A pure function of its three numbers; what orders and offsets are drawn from. */
static inline uint64_t mixed(uint64_t a, uint64_t b, uint64_t c) { /* splitmix64's finaliser over each */
    uint64_t in[3] = {a, b, c}, z = 0;
    for (int i = 0; i < 3; i++) {
        z += in[i] + 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        z ^= z >> 31;
    }
    return z;
}

/* The folder `dir`/`name`, made if it is not there; free it. */
char *make_folder(const char *dir, const char *name);

/* ---- the engine (run.c) ---- */

/* One run to be made. */
typedef struct {
    const options *o;
    task *t;
    const row_model *row;
    uint64_t seed;
    float lr;
    int64_t steps;
    const char *folder; /* of its result; NULL: it is kept nowhere */
    char name[128];     /* of its files */
    int trial;          /* chooses the learning rate: shared, in a folder of its own, without its weights */
    json_t *searched;   /* what led to `lr`; borrowed */
    double deadline;    /* by now(); stop there */
} run_plan;

/* Refuses what would be written over (with --resume: what is of another run) before anything is trained. */
void run_check(const run_plan *plan);
/* The result, to be released with json_decref(); NULL when the deadline or a signal came first.
 * @param made the result, where the run was made elsewhere: it is written if there is none yet; or NULL */
json_t *run_execute(const run_plan *plan, json_t *made);
/* Writes what a program in another language needs to make the same run: weights, data, order, setup. */
void run_export(const run_plan *plan);

#endif
