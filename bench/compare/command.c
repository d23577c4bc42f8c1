#include "bench.h"
#include <argp.h>
#include <math.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const preset_names[PRESETS] = {"smoke", "quick", "full", "thesis"};

enum {
    OPT_MODELS = 1000,
    OPT_MIX,
    OPT_SEED,
    OPT_SEEDS,
    OPT_THREADS,
    OPT_DATA,
    OPT_TASK,
    OPT_SAVE,
    OPT_EXPORT,
    OPT_RESUME,
    OPT_CHECKPOINT,
    OPT_CHECKPOINT_EVERY,
    OPT_LIMIT,
    OPT_WIDTH,
    OPT_BLOCKS,
    OPT_HEADS,
    OPT_STEPS,
    OPT_SEARCH_STEPS,
    OPT_EVALUATIONS,
    OPT_BATCH,
    OPT_WINDOW,
    OPT_NO_CARRY,
    OPT_RECURRENT_START,
    OPT_LAST,
    OPT_PRODUCTS,
    OPT_LR,
    OPT_GRID,
    OPT_DECAY,
    OPT_DROPOUT,
    OPT_EMBEDDING_DROPOUT
};

static const struct argp_option argp_options[] = {
    {NULL, 0, NULL, 0, "What is compared:", 1},
    {"task", OPT_TASK, "NAME", 0, "parity or mqar", 1},
    {"data", OPT_DATA, "DIR", 0, "folder with train.txt, valid.txt, test.txt", 1},
    {"preset", 'p', "NAME", 0, "smoke (seconds), quick (minutes, the default), full (hours) or thesis", 1},
    {"models", OPT_MODELS, "LIST", 0,
     "comma list of xlstm, lstm, lstm-res, transformer; xlstm@1:0 gives a mix of its own", 1},
    {"mix", OPT_MIX, "A:B", 0,
     "mLSTM to sLSTM blocks of xlstm, such as 1:0 (default of xlstm-lm), 7:1 or 0:1 (of the others)", 1},
    {"seed", OPT_SEED, "N", 0, "first seed of weights, data order and dropout (default 1)", 1},
    {"seeds", OPT_SEEDS, "N", 0, "runs of each model, with N seeds from the first on (default 1)", 1},
    {NULL, 0, NULL, 0, "Results, and runs in pieces:", 2},
    {"out", 'o', "DIR", 0, "write one JSON file per run into DIR", 2},
    {"resume", OPT_RESUME, NULL, 0,
     "skip runs whose result is in --out; go on with those that were cut short", 2},
    {"checkpoint", OPT_CHECKPOINT, "DIR", 0, "keep runs that are not finished in DIR (default: with --out)",
     2},
    {"checkpoint-every", OPT_CHECKPOINT_EVERY, "SECONDS", 0, "time between checkpoints (default 300)", 2},
    {"limit-seconds", OPT_LIMIT, "SECONDS", 0,
     "stop then, with a checkpoint and exit code 3; --resume goes on bit for bit", 2},
    {"threads", OPT_THREADS, "N", 0, "threads (default: all); results do not depend on it", 2},
    {"save", OPT_SAVE, "DIR", 0,
     "keep each trained model in DIR/MODEL, with --seed or --seeds in DIR/lm-MODEL-sSEED; xlstm-generate "
     "takes it",
     2},
    {"export", OPT_EXPORT, "DIR", 0,
     "make no runs, only the search of their rates: write initial weights, data and order of each for "
     "bench/peers/train.py",
     2},
    {NULL, 0, NULL, 0, "In place of the preset's:", 3},
    {"width", OPT_WIDTH, "N", 0, "embedding width", 3},
    {"blocks", OPT_BLOCKS, "N", 0, "blocks", 3},
    {"heads", OPT_HEADS, "N", 0, "heads", 3},
    {"steps", OPT_STEPS, "N", 0, "training steps", 3},
    {"search-steps", OPT_SEARCH_STEPS, "N", 0,
     "steps of the runs that choose a learning rate; with as many as --steps, the best one is the run of "
     "seed 1",
     3},
    {"evaluations", OPT_EVALUATIONS, "N", 0, "validations during training", 3},
    {"batch", OPT_BATCH, "N", 0, "streams in a batch", 3},
    {"window", OPT_WINDOW, "N", 0, "tokens of a stream in a step", 3},
    {"no-carry", OPT_NO_CARRY, NULL, 0,
     "every training window begins at zero, as it does in the official package", 3},
    {"recurrent-start", OPT_RECURRENT_START, NULL, 0,
     "the sLSTM's recurrent matrix starts uniform and not at zero, with open forget gates", 3},
    {"last", OPT_LAST, NULL, 0,
     "only the answer at a sequence's end is trained and scored, as in the thesis, not every one", 3},
    {"products", OPT_PRODUCTS, "TYPE", 0,
     "matrix products in training: real (float32), or bf16: operands in bfloat16, sums in float32; "
     "evaluation is always real",
     3},
    {"lr", OPT_LR, "X", 0, "peak learning rate of every model", 3},
    {"lr-grid", OPT_GRID, "LIST", 0,
     "at most 7 rates that every model chooses from, on validation, from the middle of the list outward", 3},
    {"weight-decay", OPT_DECAY, "X", 0, "AdamW's", 3},
    {"dropout", OPT_DROPOUT, "X", 0, "dropout", 3},
    {"embedding-dropout", OPT_EMBEDDING_DROPOUT, NULL, 0, "dropout behind the embedding too", 3},
    {0}};

enum { OPTIONS = sizeof argp_options / sizeof *argp_options };

/* Options that not every program takes: which member of `program` says so, and why the others do not. */
static const struct {
    int key;
    size_t taken;
    const char *why;
} refusals[] = {
    {OPT_DATA, offsetof(program, takes_data), "--data is for xlstm-lm; this task makes its own data"},
    {OPT_SAVE, offsetof(program, takes_data),
     "--save is for xlstm-lm; there is nothing to run this task's models on"},
    {OPT_TASK, offsetof(program, takes_task), "--task is for xlstm-tasks; this program has one task"},
    {OPT_WINDOW, offsetof(program, takes_window),
     "--window is for xlstm-lm; the length of this task's sequences is fixed"},
    {OPT_NO_CARRY, offsetof(program, takes_window),
     "--no-carry is for xlstm-lm; this task's sequences begin at zero anyway"},
    {OPT_LAST, offsetof(program, takes_last),
     "--last is for xlstm-nns; this task's answers stand where they stand"}};

/* Why the program refuses an option, or NULL. */
static const char *refusal(const program *p, int key) {
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        if (refusals[i].key == key && !*(const int *)((const char *)p + refusals[i].taken))
            return refusals[i].why;
    return NULL;
}

/* --help of a program has its own options; those of the others are read, too, and refused in a sentence. */
static void show_options(const program *p, struct argp_option to[OPTIONS]) {
    memcpy(to, argp_options, sizeof argp_options);
    for (int i = 0; i < OPTIONS; i++)
        if (refusal(p, to[i].key))
            to[i].flags |= OPTION_HIDDEN;
}

/* Texts of options, kept until the preset that they change is known. */
typedef struct {
    options *o;
    const char *text[OPT_EMBEDDING_DROPOUT + 1 - OPT_MODELS];
} given;

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    given *g = state->input;
    if (key >= OPT_MODELS && key <= OPT_EMBEDDING_DROPOUT) {
        g->text[key - OPT_MODELS] = arg ? arg : "";
        return 0;
    }
    switch (key) {
    case 'p':
        g->o->preset = arg;
        return 0;
    case 'o':
        g->o->out = arg;
        return 0;
    case ARGP_KEY_ARG:
        die("\"%s\" is not an option; see --help", arg);
    }
    return ARGP_ERR_UNKNOWN;
}

static const char *text_of(const given *g, int key, const char *otherwise) {
    const char *text = g->text[key - OPT_MODELS];
    return text ? text : otherwise;
}

static int count_of(const given *g, int key, const char *name, int low, int high, int otherwise) {
    const char *text = g->text[key - OPT_MODELS];
    return text ? count_option(name, text, low, high) : otherwise;
}

static double number_of(const given *g, int key, const char *name, double low, double high,
                        double otherwise) {
    const char *text = g->text[key - OPT_MODELS];
    return text ? number_option(name, text, low, high) : otherwise;
}

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void read_grid(const char *name, const char *text, preset *p) {
    char *list = strcpy(need(strlen(text) + 1), text), *save = NULL;
    int n = 0;
    memset(p->grids, 0, sizeof p->grids);
    for (char *rate = strtok_r(list, ",", &save); rate; rate = strtok_r(NULL, ",", &save)) {
        if (n + 1 == MAX_GRID)
            die("--%s has more than %d rates", name, MAX_GRID - 1);
        float x = (float)number_option(name, rate, 1e-12, 10);
        for (int i = 0; i < n; i++)
            if (fabsf(p->grids[0][i] - x) <= 1e-5f * x) /* files are named by six digits */
                die("--%s has %s twice", name, rate);
        p->grids[0][n++] = x;
    }
    if (!n)
        die("--%s is empty; give rates such as 1e-3,3e-3", name);
    qsort(p->grids[0], (size_t)n, sizeof **p->grids, by_size);
    for (int kind = 1; kind < MODEL_KINDS; kind++)
        memcpy(p->grids[kind], p->grids[0], sizeof *p->grids);
    free(list);
}

static void change_rates(const char *one, const char *grid, preset *p) {
    if (one && grid)
        die("--lr and --lr-grid are both given; give one");
    if (one && strchr(one, ','))
        die("--lr is \"%s\"; it is one rate, and --lr-grid has several to choose from", one);
    if (one)
        read_grid("lr", one, p);
    if (grid)
        read_grid("lr-grid", grid, p);
}

static int preset_index(const char *name) {
    for (int i = 0; i < PRESETS; i++)
        if (!strcmp(name, preset_names[i]))
            return i;
    die("preset \"%s\" is unknown; use smoke, quick, full or thesis", name);
}

static void change_preset(const given *g, preset *p) {
    p->width = count_of(g, OPT_WIDTH, "width", 1, 65536, p->width);
    p->blocks = count_of(g, OPT_BLOCKS, "blocks", 1, XLSTM_MAX_BLOCKS, p->blocks);
    p->heads = count_of(g, OPT_HEADS, "heads", 1, 1024, p->heads);
    p->steps = count_of(g, OPT_STEPS, "steps", 1, 100000000, (int)p->steps);
    p->search_steps = count_of(g, OPT_SEARCH_STEPS, "search-steps", 1, 100000000, (int)p->search_steps);
    p->evaluations = count_of(g, OPT_EVALUATIONS, "evaluations", 1, 100000, p->evaluations);
    p->batch = count_of(g, OPT_BATCH, "batch", 1, 65536, p->batch);
    p->window = count_of(g, OPT_WINDOW, "window", 1, 65536, p->window);
    p->weight_decay = (float)number_of(g, OPT_DECAY, "weight-decay", 0, 10, (double)p->weight_decay);
    p->dropout = (float)number_of(g, OPT_DROPOUT, "dropout", 0, 0.99, (double)p->dropout);
    p->recurrent_start |= text_of(g, OPT_RECURRENT_START, NULL) != NULL;
    p->embedding_dropout |= text_of(g, OPT_EMBEDDING_DROPOUT, NULL) != NULL;
    change_rates(text_of(g, OPT_LR, NULL), text_of(g, OPT_GRID, NULL), p);
    if (text_of(g, OPT_SEARCH_STEPS, NULL) && p->grids[0][1] == 0)
        die("--search-steps is given, but there is one rate and nothing to search; give --lr-grid, too");
}

static xlstm_products products_of(const char *text) {
    if (strcmp(text, "real") && strcmp(text, "bf16"))
        die("--products is \"%s\"; use real or bf16", text);
    return strcmp(text, "bf16") ? XLSTM_PRODUCTS_REAL : XLSTM_PRODUCTS_BF16;
}

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

/* As it can be called again. JSON is UTF-8: where a path is not, its other bytes are lost. */
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

static void check_task_options(const given *g, const program *p) {
    const options *o = g->o;
    for (int key = OPT_MODELS; key <= OPT_EMBEDDING_DROPOUT; key++)
        if (text_of(g, key, NULL) && refusal(p, key))
            die("%s", refusal(p, key));
    if (o->save && o->export)
        die("--save and --export are both given; what is exported is not trained");
    if ((o->resume || o->limit_seconds >= 0 || o->checkpoint) && !o->out)
        die("--resume, --limit-seconds and --checkpoint need --out DIR, where results are kept");
}

void parse_options(options *o, int argc, char **argv, const program *p) {
    struct argp_option shown[OPTIONS];
    show_options(p, shown);
    const struct argp argp = {shown, parse_option, NULL, p->doc, NULL, NULL, NULL};
    given g = {.o = o};
    *o = (options){.preset = "quick"};
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, &g);
    o->command = command_of(argc, argv);
    o->models = text_of(&g, OPT_MODELS, p->default_models);
    o->mix = text_of(&g, OPT_MIX, p->default_mix);
    o->data = text_of(&g, OPT_DATA, NULL);
    o->task = text_of(&g, OPT_TASK, NULL);
    o->save = text_of(&g, OPT_SAVE, NULL);
    o->export = text_of(&g, OPT_EXPORT, NULL);
    o->no_carry = text_of(&g, OPT_NO_CARRY, NULL) != NULL;
    o->last = text_of(&g, OPT_LAST, NULL) != NULL;
    o->products = products_of(text_of(&g, OPT_PRODUCTS, "real"));
    o->resume = text_of(&g, OPT_RESUME, NULL) != NULL;
    o->checkpoint = text_of(&g, OPT_CHECKPOINT, o->out);
    o->checkpoint_every = number_of(&g, OPT_CHECKPOINT_EVERY, "checkpoint-every", 0, 1e9, 300);
    o->limit_seconds = number_of(&g, OPT_LIMIT, "limit-seconds", 0, 1e9, -1);
    o->seed = (uint64_t)count_of(&g, OPT_SEED, "seed", 0, 2147483647, 1);
    o->seeds = count_of(&g, OPT_SEEDS, "seeds", 1, 1000, 1);
    o->seeds_given = text_of(&g, OPT_SEED, NULL) || text_of(&g, OPT_SEEDS, NULL);
    o->threads = count_of(&g, OPT_THREADS, "threads", 1, XLSTM_MAX_THREADS, 0);
    int index = preset_index(o->preset);
    check_task_options(&g, p);
    o->p = p->presets(o)[index];
    change_preset(&g, &o->p);
    if (o->threads)
        check(xlstm_set_threads(o->threads));
}

char *join(const char *dir, const char *name, const char *ending) {
    char *path = need(strlen(dir) + strlen(name) + strlen(ending) + 2);
    sprintf(path, "%s/%s%s", dir, name, ending);
    return path;
}

char *make_folder(const char *dir, const char *name) {
    char *path = join(dir, name, "");
    path[strlen(dir)] = 0;
    for (int deep = 0; deep < 2; deep++) {
        if (mkdir(path, 0777) && errno != EEXIST)
            die("the folder %s cannot be made (%s)", path, strerror(errno));
        if (access(path, W_OK | X_OK))
            die("the folder %s cannot be written to (%s)", path, strerror(errno));
        path[strlen(dir)] = '/';
    }
    return path;
}
