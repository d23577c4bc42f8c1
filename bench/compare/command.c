/* command.c - the command line of a comparison: options replace single sizes of a preset, and the command is
 * kept as it can be called again. */
#include "bench.h"
#include "compare.h"
#include "paths.h"
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const products_choices[] = {"real", "bf16", NULL}; /* as in xlstm_products */
static const char *const task_choices[] = {"parity", "mqar", NULL};

#define FIELD(field) OPTION_FIELD(options, field)
static const option rows[] = {
    {.help = "What is compared:"},
    {"task", 0, FIELD(task), "NAME", .choices = task_choices, .help = "parity or mqar", .programs = FOR_TASKS,
     .refusal = "is for xlstm-tasks; this program has one task"},
    {"data", 0, FIELD(data), "DIR", .help = "folder with train.txt, valid.txt, test.txt", .programs = FOR_LM,
     .refusal = "is for xlstm-lm; this task makes its own data"},
    {"preset", 'p', FIELD(preset), "NAME", .choices = preset_choices, .initial = "quick",
     .help = "smoke (seconds), quick (minutes), full (hours) or thesis"},
    {"models", 0, FIELD(models), "LIST",
     .help = "comma list of xlstm, lstm, lstm-res, transformer; xlstm@1:0 gives a mix of its own"},
    {"mix", 0, FIELD(mix), "A:B",
     .help = "mLSTM to sLSTM blocks of xlstm, such as 1:0 (default of xlstm-lm), 7:1 or 0:1 (of the others)"},
    {"seed", 0, FIELD(seed), "N", RANGE(0, INT32_MAX),
     .help = "first seed of weights, data order and dropout (default: 1)"},
    {"seeds", 0, FIELD(seeds), "N", RANGE(1, 1000),
     .help = "runs of each model, with N seeds from the first on (default: 1)"},
    {.help = "Results, and runs in pieces:"},
    {"out", 'o', FIELD(out), "DIR", .path = OPTION_FOLDER, .help = "write one JSON file per run into DIR"},
    {"resume", 0, FIELD(resume),
     .help = "skip runs whose result is in --out; go on with those that were cut short"},
    {"checkpoint", 0, FIELD(checkpoint), "DIR", .path = OPTION_FOLDER,
     .help = "keep runs that are not finished in DIR (default: with --out)"},
    {"checkpoint-every", 0, FIELD(checkpoint_every), "SECONDS", RANGE(0, 1e9), .initial = "300",
     .help = "time between checkpoints"},
    {"limit-seconds", 0, FIELD(limit_seconds), "SECONDS", RANGE(0, 1e9),
     .help = "stop then, with a checkpoint and exit code 3; --resume goes on bit for bit"},
    {"device", 0, FIELD(device), "NAME", .help = "where to compute: cpu (default), cuda, cuda:N or auto"},
    {"threads", 0, FIELD(threads), "N", RANGE(1, XLSTM_MAX_THREADS),
     .help = "threads (default: all); results do not depend on it"},
    {"save", 0, FIELD(save), "DIR", .path = OPTION_FOLDER,
     .help = "keep each trained model in DIR/MODEL, with --seed or --seeds in DIR/lm-MODEL-sSEED; "
             "xlstm-generate takes it",
     .programs = FOR_LM, .refusal = "is for xlstm-lm; there is nothing to run this task's models on"},
    {"export", 0, FIELD(export), "DIR", .path = OPTION_FOLDER,
     .help = "make no runs, only the search of their rates: write initial weights, data and order of each "
             "for bench/peers/train.py"},
    {.help = "In place of the preset's:"},
    {"width", 0, FIELD(p.width), "N", RANGE(1, 65536), .help = "embedding width"},
    {"blocks", 0, FIELD(p.blocks), "N", RANGE(1, XLSTM_MAX_BLOCKS), .help = "blocks"},
    {"heads", 0, FIELD(p.heads), "N", RANGE(1, 1024), .help = "heads"},
    {"steps", 0, FIELD(p.steps), "N", RANGE(1, 1e8), .help = "training steps"},
    {"search-steps", 0, FIELD(p.search_steps), "N", RANGE(1, 1e8),
     .help = "steps of the runs that choose a learning rate; with as many as --steps, the best one is the "
             "run of seed 1"},
    {"evaluations", 0, FIELD(p.evaluations), "N", RANGE(1, 100000), .help = "validations during training"},
    {"batch", 0, FIELD(p.batch), "N", RANGE(1, 65536), .help = "streams in a batch"},
    {"window", 0, FIELD(p.window), "N", RANGE(1, 65536), .help = "tokens of a stream in a step",
     .programs = FOR_LM, .refusal = "is for xlstm-lm; the length of this task's sequences is fixed"},
    {"no-carry", 0, FIELD(no_carry),
     .help = "every training window begins at zero, as it does in the official package", .programs = FOR_LM,
     .refusal = "is for xlstm-lm; this task's sequences begin at zero anyway"},
    {"recurrent-start", 0, FIELD(p.recurrent_start),
     .help = "the sLSTM's recurrent matrix starts uniform and not at zero, with open forget gates"},
    {"last", 0, FIELD(last),
     .help = "only the answer at a sequence's end is trained and scored, as in the thesis, not every one",
     .programs = FOR_NNS, .refusal = "is for xlstm-nns; this task's answers stand where they stand"},
    {"products", 0, FIELD(products), "TYPE", .choices = products_choices, .initial = "real",
     .help = "matrix products in training: real (float32), or bf16: operands in bfloat16, sums in float32; "
             "evaluation is always real"},
    {"lr", 0, FIELD(lr), "X", RANGE(1e-12, 10), .help = "peak learning rate of every model"},
    {"lr-grid", 0, FIELD(lr_grid), "LIST", RANGE(1e-12, 10),
     .help =
         "at most 7 rates that every model chooses from, on validation, from the middle of the list outward"},
    {"weight-decay", 0, FIELD(p.weight_decay), "X", RANGE(0, 10), .help = "AdamW's"},
    {"dropout", 0, FIELD(p.dropout), "X", RANGE(0, 0.99), .help = "dropout"},
    {"embedding-dropout", 0, FIELD(p.embedding_dropout), .help = "dropout behind the embedding too"},
    {0}};

/* ---- learning rates ---- */

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Every model chooses from the list. */
static void set_grids(const option_numbers *rates, preset *p) {
    if (rates->count >= MAX_GRID)
        die("--lr-grid has %d rates; give %d at most", rates->count, MAX_GRID - 1);
    memset(p->grids, 0, sizeof p->grids);
    for (int n = 0; n < rates->count; n++) {
        float x = (float)rates->of[n];
        for (int i = 0; i < n; i++)
            if (is_near((double)p->grids[0][i], (double)x,
                        1e-5 * (double)x)) /* files are named by six digits */
                die("--lr-grid has %g twice", rates->of[n]);
        p->grids[0][n] = x;
    }
    qsort(p->grids[0], (size_t)rates->count, sizeof **p->grids, by_size);
    for (int kind = 1; kind < MODEL_KINDS; kind++)
        memcpy(p->grids[kind], p->grids[0], sizeof *p->grids);
}

static void change_rates(const options *o, preset *p) {
    if (o->lr.count && o->lr_grid.count)
        die("--lr and --lr-grid are both given; give one");
    if (o->lr.count > 1)
        die("--lr has %d rates; it is one rate, and --lr-grid has several to choose from", o->lr.count);
    if (o->lr.count)
        set_grids(&o->lr, p);
    if (o->lr_grid.count)
        set_grids(&o->lr_grid, p);
}

/* ---- the command, as it can be called again ---- */

/* In quotes where a shell needs them. @return where the text ends */
static char *append_argument(char *to, const char *arg) {
    int plain = *arg && strspn(arg, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                    "@%+=:,./_-") == strlen(arg);
    if (plain)
        return stpcpy(to, arg);
    *to++ = '\'';
    for (; *arg; arg++) {
        if (*arg == '\'')
            to = stpcpy(to, "'\\'");
        *to++ = *arg;
    }
    return stpcpy(to, "'");
}

/* JSON is UTF-8: where a path is not, its other bytes are lost. */
static char *command_of(int argc, char **argv) {
    size_t size = strlen(program_invocation_short_name) + 1;
    for (int i = 1; i < argc; i++)
        size += 4 * strlen(argv[i]) + 4;
    char *text = need(size), *end = stpcpy(text, program_invocation_short_name);
    for (int i = 1; i < argc; i++) {
        *end++ = ' ';
        end = append_argument(end, argv[i]);
    }
    json_t *valid = json_string(text);
    for (char *c = text; !valid && *c; c++)
        if (*c & 0x80)
            *c = '?';
    json_decref(valid);
    return text;
}

/* ---- reading ---- */

static void check_combinations(const options *o) {
    if (o->save && o->export)
        die("--save and --export are both given; what is exported is not trained");
    if ((o->resume || o->limit_seconds >= 0 || o->checkpoint) && !o->out)
        die("--resume, --limit-seconds and --checkpoint need --out DIR, where results are kept");
    if (!o->task)
        die("no task; give --task parity or --task mqar");
}

/* Options are read twice: for the preset, and over it. */
void parse_options(options *o, int argc, char **argv, const program *about) {
    const option_table table = {.doc = about->doc, .rows = rows, .program = about->program};
    const uint64_t not_given = UINT64_MAX;
    *o = (options){.task = about->task,
                   .models = about->default_models,
                   .mix = about->default_mix,
                   .seed = not_given,
                   .limit_seconds = -1};
    read_options(o, &table, argc, argv);
    check_combinations(o);
    int searches = o->p.search_steps > 0;
    o->p = *preset_find(o->task, o->preset);
    read_options(o, &table, argc, argv);
    change_rates(o, &o->p);
    if (searches && o->p.grids[0][1] == 0)
        die("--search-steps is given, but there is one rate and nothing to search; give --lr-grid, too");
    o->command = command_of(argc, argv);
    o->checkpoint = o->checkpoint ? o->checkpoint : o->out;
    o->seeds_given = o->seeds || o->seed != not_given;
    o->seeds = o->seeds ? o->seeds : 1;
    o->seed = o->seed != not_given ? o->seed : 1;
    if (o->threads)
        check(xlstm_set_threads(o->threads));
    if (o->device)
        check(xlstm_set_device(o->device));
}

/* ---- folders ---- */

char *make_folder(const char *dir, const char *name) {
    char *path = join(dir, name, "");
    path[strlen(dir)] = 0;
    for (int deep = 0; deep < 2; deep++) {
        check_folder(path);
        if (mkdir(path, 0777) && errno != EEXIST)
            die("the folder %s cannot be made (%s)", path, strerror(errno));
        path[strlen(dir)] = '/';
    }
    return path;
}
