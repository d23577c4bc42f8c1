/* xlstm-generate MODEL_DIR: continues a text, token by token, in memory that does not grow with it. */
#include "bandwidth.h"
#include "program.h"
#include <argp.h>

typedef struct {
    const char *model, *text, *text_file, *tokens, *stop, *state, *save_state;
    int length, stats, only_new;
    xlstm_weights weights;
    xlstm_sampling sampling;
} options;

enum {
    TEXT_FILE = 1000,
    TOKENS,
    STOP,
    ONLY_NEW,
    TOP_K,
    TOP_P,
    MIN_P,
    SEED,
    THREADS,
    WEIGHTS,
    STATS,
    STATE,
    SAVE_STATE
};
static const struct argp_option argp_options[] = {
    {"prompt", 'p', "TEXT", 0, "the text to continue (needs tokenizer.json or vocab.txt beside the model)",
     0},
    {"prompt-file", TEXT_FILE, "FILE", 0, "the text to continue, from a file", 0},
    {"tokens", TOKENS, "LIST", 0, "the text as token numbers with commas between; numbers come out too", 0},
    {"length", 'n', "N", 0, "new tokens at most (default 100)", 0},
    {"stop", STOP, "TOKEN", 0,
     "end at this token, such as \"<|endoftext|>\" (default: that one, if there is one)", 0},
    {"only-new", ONLY_NEW, 0, 0, "do not repeat the prompt", 0},
    {0, 0, 0, 0, "Choosing tokens:", 1},
    {"temperature", 't', "X", 0, "0 always takes the likeliest (default 1)", 1},
    {"top-k", TOP_K, "K", 0, "only the K likeliest", 1},
    {"top-p", TOP_P, "P", 0, "only the likeliest that together reach probability P", 1},
    {"min-p", MIN_P, "P", 0, "only those at least P times as likely as the likeliest", 1},
    {"seed", SEED, "N", 0, "another seed, another text (default 1)", 1},
    {0, 0, 0, 0, "State of the model, to go on later:", 2},
    {"state", STATE, "FILE", 0, "begin from this state; the prompt is the text after it", 2},
    {"save-state", SAVE_STATE, "FILE", 0, "write the state after the text", 2},
    {0, 0, 0, 0, "Running:", 3},
    {"weights", WEIGHTS, "TYPE", 0, "matrices as real (default), bf16 (half the memory) or int8 (a quarter)",
     3},
    {"threads", THREADS, "N", 0, "threads (default: all)", 3},
    {"stats", STATS, 0, 0, "times, memory read per token, and its share of what the machine can read", 3},
    {0}};

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    options *o = state->input;
    switch (key) {
    case 'p':
        o->text = arg;
        return 0;
    case TEXT_FILE:
        o->text_file = arg;
        return 0;
    case STOP:
        o->stop = arg;
        return 0;
    case ONLY_NEW:
        o->only_new = 1;
        return 0;
    case TOKENS:
        o->tokens = arg;
        return 0;
    case 'n':
        o->length = count_option("length", arg, 1, 1 << 30);
        return 0;
    case 't':
        o->sampling.temperature = (float)number_option("temperature", arg, 0, 1e6);
        return 0;
    case TOP_K:
        o->sampling.top_k = count_option("top-k", arg, 0, 1 << 30);
        return 0;
    case TOP_P:
        o->sampling.top_p = (float)number_option("top-p", arg, 1e-6, 1);
        return 0;
    case MIN_P:
        o->sampling.min_p = (float)number_option("min-p", arg, 0, 1);
        return 0;
    case SEED:
        o->sampling.seed = (uint64_t)count_option("seed", arg, 0, 2147483647);
        return 0;
    case WEIGHTS:
        o->weights = weights_option(arg);
        return 0;
    case THREADS:
        check(xlstm_set_threads(count_option("threads", arg, 1, XLSTM_MAX_THREADS)));
        return 0;
    case STATS:
        o->stats = 1;
        return 0;
    case STATE:
        o->state = arg;
        return 0;
    case SAVE_STATE:
        o->save_state = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            die("\"%s\" is one argument too many; see --help", arg);
        o->model = arg;
        return 0;
    case ARGP_KEY_END:
        if (!o->model)
            die("a model directory is needed; see --help");
        if ((o->text != NULL) + (o->text_file != NULL) + (o->tokens != NULL) != 1)
            die("give one of --prompt, --prompt-file and --tokens");
        return 0;
    }
    return ARGP_ERR_UNKNOWN;
}

/* ---- the prompt ---- */

typedef struct {
    int32_t *tokens;
    int count;
} prompt;

static prompt parse_tokens(const char *list) {
    prompt p = {need((strlen(list) + 1) * sizeof *p.tokens), 0};
    for (const char *at = list; *at;) {
        char *end;
        long token = strtol(at, &end, 10);
        if (end == at || token < 0 || token > INT32_MAX || (*end && *end != ','))
            die("--tokens is \"%s\"; give whole numbers with commas between, such as 5,17,2", list);
        p.tokens[p.count++] = (int32_t)token;
        at = *end ? end + 1 : end;
    }
    if (!p.count)
        die("--tokens is empty; give at least one");
    return p;
}

static char *read_text(const char *path) {
    size_t size;
    char *text = read_file(path, &size);
    if (!text)
        die("%s cannot be read (%s)", path, strerror(errno));
    if (strlen(text) != size)
        die("%s cannot be read as a text", path);
    return text;
}

static prompt encode(const xlstm_tokenizer *t, const char *text, int vocabulary) {
    size_t count, bytes = strlen(text);
    xlstm_tokenizer_encode(t, text, bytes, NULL, 0, &count); /* how many? */
    prompt p = {need((count + 1) * sizeof *p.tokens), 0};
    check(xlstm_tokenizer_encode(t, text, bytes, p.tokens, count, &count));
    if (!count || count > 1 << 30)
        die("the prompt has %zu tokens; give some text to continue", count);
    for (size_t i = 0; i < count; i++)
        if (p.tokens[i] >= vocabulary)
            die("the tokenizer knows token %d, but the model has %d only; do they belong together?",
                (int)p.tokens[i], vocabulary);
    p.count = (int)count;
    return p;
}

/* ---- state in files ---- */

static void load_state(xlstm_session *s, const char *path) {
    xlstm_tensors *file;
    xlstm_tensor t;
    size_t size = xlstm_session_state_size(s);
    xlstm_real *state = need(size * sizeof *state);
    check(xlstm_tensors_open(&file, path));
    check(xlstm_tensors_find(file, "state", &t));
    if (t.count != size)
        die("%s holds a state of %zu numbers; this model's has %zu", path, t.count, size);
    check(xlstm_tensor_reals(&t, state));
    check(xlstm_session_set_state(s, 0, state));
    xlstm_tensors_close(file);
    free(state);
}

static void save_state(const xlstm_session *s, const char *path) {
    size_t size = xlstm_session_state_size(s);
    xlstm_real *state = need(size * sizeof *state);
    check(xlstm_session_get_state(s, 0, state));
    xlstm_tensor t = {
        .name = "state", .dtype = XLSTM_F32, .ndim = 1, .shape = {(int64_t)size}, .data = state};
    check(xlstm_tensors_write(path, &t, 1));
    free(state);
}

/* ---- the text ---- */

typedef struct {
    const xlstm_tokenizer *tokenizer; /* NULL: numbers are shown */
    double first, last;
    int count;
    xlstm_utf8_rest rest;
    char *text; /* [room] of one token */
    size_t room;
} listener;

/* Whole characters only; what is left waits for the next token. */
static void show_piece(listener *l, int32_t token) {
    size_t bytes;
    if (token >= xlstm_tokenizer_size(l->tokenizer))
        return; /* a number that the model has and the tokenizer does not use */
    while (xlstm_tokenizer_decode(l->tokenizer, &token, 1, &l->rest, l->text, l->room, &bytes) != XLSTM_OK) {
        free(l->text);
        l->text = need(l->room = bytes);
    }
    fwrite(l->text, 1, bytes, stdout);
}

static int show(void *user, int32_t token) {
    listener *l = user;
    l->last = now();
    if (!l->count++)
        l->first = l->last;
    if (l->tokenizer)
        show_piece(l, token);
    else
        printf("%s%d", l->count > 1 ? "," : "", (int)token);
    fflush(stdout);
    return 0;
}

/* What one token reads: all but an embedding that is not the head too, of which it reads one row. */
static double bytes_read(const xlstm_module *m) {
    static const double bytes_of[] = {sizeof(xlstm_real), 2, 1};
    const xlstm_config *c = xlstm_module_config(m);
    double embedding = c->tie_weights ? 0 : (double)c->vocab_size * c->embedding_dim * bytes_of[c->weights];
    return (double)xlstm_module_bytes(m) - embedding;
}

static void print_stats(const xlstm_module *m, const prompt *p, const listener *l, double loaded,
                        double started) {
    double bytes = bytes_read(m), per_token = (l->last - l->first) / (l->count - 1);
    double limit = read_bandwidth(xlstm_get_threads());
    fprintf(stderr, "model      %.3f million parameters, %.1f MB of weights, ready in %.2f s\n",
            (double)xlstm_module_size(m) / 1e6, (double)xlstm_module_bytes(m) / 1e6, loaded);
    fprintf(stderr, "prompt     %d tokens in %.3f s\n", p->count, l->first - started);
    if (l->count < 2)
        return;
    fprintf(stderr, "generating %d tokens, %.3f ms a token, %.2f tokens/s, %d threads\n", l->count,
            1e3 * per_token, 1 / per_token, xlstm_get_threads());
    fprintf(stderr, "reading    %.2f GB/s of weights; the machine reads %.2f GB/s: %.0f %%\n",
            bytes / per_token / 1e9, limit / 1e9, 100 * bytes / per_token / limit);
}

static void generate(const options *o, xlstm_module *m, double loaded) {
    xlstm_session *s;
    xlstm_sampler *sampler;
    xlstm_tokenizer *tokenizer = NULL;
    if (!o->tokens || o->stop)
        check(xlstm_tokenizer_load(&tokenizer, o->model));
    char *text = o->text_file ? read_text(o->text_file) : NULL;
    prompt p = o->tokens ? parse_tokens(o->tokens)
                         : encode(tokenizer, text ? text : o->text, xlstm_module_output_dim(m));
    int32_t stop;
    int stops =
        tokenizer && xlstm_tokenizer_find(tokenizer, o->stop ? o->stop : "<|endoftext|>", &stop) == XLSTM_OK;
    if (o->stop && !stops)
        die("--stop: %s", xlstm_last_error());
    listener l = {.tokenizer = o->tokens ? NULL : tokenizer};
    check(xlstm_session_create(&s, m, 1, 0));
    check(xlstm_sampler_create(&sampler, &o->sampling, xlstm_module_output_dim(m)));
    if (o->state)
        load_state(s, o->state);
    xlstm_generation g = {.struct_size = sizeof g,
                          .prompt = p.tokens,
                          .prompt_tokens = p.count,
                          .max_tokens = o->length,
                          .stops = &stop,
                          .stop_count = stops,
                          .callback = show,
                          .user = &l};
    if (!o->tokens && !o->only_new)
        fputs(text ? text : o->text, stdout);
    double started = now();
    check(xlstm_generate(s, sampler, &g, NULL));
    fwrite(l.rest.bytes, 1, (size_t)l.rest.count, stdout);
    putchar('\n');
    if (o->save_state)
        save_state(s, o->save_state);
    if (o->stats)
        print_stats(m, &p, &l, loaded, started);
    xlstm_sampler_free(sampler);
    xlstm_session_free(s);
    xlstm_tokenizer_free(tokenizer);
    free(l.text);
    free(text);
    free(p.tokens);
}

int main(int argc, char **argv) {
    static const struct argp argp = {
        argp_options,
        parse_option,
        "MODEL_DIR",
        "Continues a text with a trained model.\v"
        "Examples:\n"
        "  xlstm-generate model --prompt \"Once upon a time\" --top-p 0.9\n"
        "  xlstm-generate model --prompt-file notes.txt -t 0 --save-state notes.state\n\n"
        "The state has one size, however long the text is.",
        NULL,
        NULL,
        NULL};
    options o = {.length = 100};
    xlstm_module *m;
    xlstm_sampling_init(&o.sampling);
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    double started = now();
    check(xlstm_module_load_as(&m, o.model, o.weights));
    if (!xlstm_module_config(m)->vocab_size)
        die("%s takes vectors, not tokens; there is no text to continue", o.model);
    generate(&o, m, now() - started);
    xlstm_module_free(m);
    return 0;
}
