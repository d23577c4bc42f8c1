/* xlstm-generate MODEL_DIR: continues a text, token by token, in memory that does not grow with it. */
#include "bandwidth.h"
#include "options.h"
#include "program.h"

typedef struct {
    const char *model, *text, *text_file, *stop, *state, *save_state;
    option_counts tokens;
    int length, threads, stats, only_new;
    const char *device;
    xlstm_weights weights;
    xlstm_sampling sampling;
} options;

/* What a state's file says of itself. */
#define STATE "libxlstm state"

#define FIELD(field) OPTION_FIELD(options, field)
static const option rows[] = {
    {"MODEL_DIR", OPTION_ARGUMENT, FIELD(model), .help = "config.json, weights, and what its tokens are"},
    {"prompt", 'p', FIELD(text), "TEXT",
     .help = "the text to continue (needs tokenizer.json or vocab.txt beside the model)"},
    {"prompt-file", 0, FIELD(text_file), "FILE", .path = OPTION_READ,
     .help = "the text to continue, from a file"},
    {"tokens", 0, FIELD(tokens), "LIST", RANGE(0, INT32_MAX),
     .help = "the text as token numbers with commas between; numbers come out too"},
    {"length", 'n', FIELD(length), "N", RANGE(1, 1 << 30), .initial = "100", .help = "new tokens at most"},
    {"stop", 0, FIELD(stop), "TOKEN",
     .help = "end at this token, such as \"<|endoftext|>\" (default: that one, if there is one)"},
    {"only-new", 0, FIELD(only_new), .help = "do not repeat the prompt"},
    {.help = "Choosing tokens:"},
    {"temperature", 't', FIELD(sampling.temperature), "X", RANGE(0, 1e6), .initial = "1",
     .help = "0 always takes the likeliest"},
    {"top-k", 0, FIELD(sampling.top_k), "K", RANGE(0, 1 << 30), .help = "only the K likeliest"},
    {"top-p", 0, FIELD(sampling.top_p), "P", RANGE(1e-6, 1),
     .help = "only the likeliest that together reach probability P"},
    {"min-p", 0, FIELD(sampling.min_p), "P", RANGE(0, 1),
     .help = "only those at least P times as likely as the likeliest"},
    {"seed", 0, FIELD(sampling.seed), "N", RANGE(0, INT32_MAX), .initial = "1",
     .help = "another seed, another text"},
    {.help = "State of the model, to go on later:"},
    {"state", 0, FIELD(state), "FILE", .path = OPTION_READ,
     .help = "begin from this state of the same model; the prompt is the text after it"},
    {"save-state", 0, FIELD(save_state), "FILE", .path = OPTION_WRITE, .own = "\"kind\":\"" STATE "\"",
     .help = "write the state after the text"},
    {.help = "Running:"},
    {"device", 0, FIELD(device), "NAME", .help = "where to compute: cpu (default), cuda, cuda:N or auto"},
    {"weights", 0, FIELD(weights), "TYPE", .choices = weights_choices, .initial = "real",
     .help = "matrices as real, bf16 (half the memory), int8 (a quarter) or int4 (a sixth)"},
    {"threads", 0, FIELD(threads), "N", RANGE(1, XLSTM_MAX_THREADS), .help = "threads (default: all)"},
    {"stats", 0, FIELD(stats),
     .help = "times, memory read per token, and its share of what the machine can read"},
    {0}};

static const option_table table = {
    .doc = "Continues a text with a trained model.\v"
           "Examples:\n"
           "  xlstm-generate model --prompt \"Once upon a time\" --top-p 0.9\n"
           "  xlstm-generate model --prompt-file notes.txt -t 0 --save-state notes.state\n\n"
           "The state has one size, however long the text is.",
    .rows = rows};

/* ---- the prompt ---- */

typedef struct {
    int32_t *tokens;
    int count;
} prompt;

static prompt of_numbers(const option_counts *numbers) {
    prompt p = {need((size_t)numbers->count * sizeof *p.tokens), numbers->count};
    for (int i = 0; i < p.count; i++)
        p.tokens[i] = numbers->of[i];
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

enum { PRINT = 17 };

static void fingerprint(const xlstm_module *m, char text[PRINT]) {
    uint64_t print;
    check(xlstm_module_fingerprint(m, &print));
    snprintf(text, PRINT, "%016llx", (unsigned long long)print);
}

/* The state of another model makes a text of nonsense, and nothing else would tell. */
static void check_owner(const xlstm_tensors *file, const char *path, const xlstm_module *m) {
    const char *owner = xlstm_tensors_metadata(file, "module");
    const char *theirs = xlstm_tensors_metadata(file, "weights");
    const char *ours = weights_choices[xlstm_module_config(m)->weights];
    char print[PRINT];
    fingerprint(m, print);
    if (!owner)
        fprintf(stderr, "xlstm-generate: %s does not say of which model it is\n", path);
    else if (strcmp(owner, print) && theirs && strcmp(theirs, ours))
        die("%s was made with --weights %s; give that, or another state", path, theirs);
    else if (strcmp(owner, print))
        die("%s is a state of another model; give that one's", path);
}

static void load_state(xlstm_session *s, const xlstm_module *m, const char *path) {
    xlstm_tensors *file;
    xlstm_tensor t;
    size_t size = xlstm_session_state_size(s);
    xlstm_real *state = need(size * sizeof *state);
    check(xlstm_tensors_open(&file, path));
    check_owner(file, path, m);
    check(xlstm_tensors_find(file, "state", &t));
    if (t.count != size)
        die("%s holds a state of %zu numbers; this model's has %zu", path, t.count, size);
    check(xlstm_tensor_reals(&t, state));
    check(xlstm_session_set_state(s, 0, state));
    xlstm_tensors_close(file);
    free(state);
}

static void save_state(const xlstm_session *s, const xlstm_module *m, const char *path) {
    size_t size = xlstm_session_state_size(s);
    xlstm_real *state = need(size * sizeof *state);
    char print[PRINT];
    fingerprint(m, print);
    check(xlstm_session_get_state(s, 0, state));
    xlstm_dtype type = sizeof *state == 8 ? XLSTM_F64 : XLSTM_F32;
    xlstm_tensor t = {.name = "state", .dtype = type, .ndim = 1, .shape = {(int64_t)size}, .data = state};
    const xlstm_metadata about[] = {
        {"kind", STATE}, {"module", print}, {"weights", weights_choices[xlstm_module_config(m)->weights]}};
    check(xlstm_tensors_write_with(path, &t, 1, about, 3));
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
    flush_output();
    return 0;
}

static void print_stats(const xlstm_module *m, const prompt *p, const listener *l, double loaded,
                        double started) {
    double bytes = weight_bytes(m), per_token = (l->last - l->first) / (l->count - 1);
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
    if (!o->tokens.count || o->stop)
        check(xlstm_tokenizer_load(&tokenizer, o->model));
    char *text = o->text_file ? read_text(o->text_file) : NULL;
    prompt p = o->tokens.count ? of_numbers(&o->tokens)
                               : encode(tokenizer, text ? text : o->text, xlstm_module_output_dim(m));
    int32_t stop;
    int stops =
        tokenizer && xlstm_tokenizer_find(tokenizer, o->stop ? o->stop : "<|endoftext|>", &stop) == XLSTM_OK;
    if (o->stop && !stops)
        die("--stop: %s", xlstm_last_error());
    listener l = {.tokenizer = o->tokens.count ? NULL : tokenizer};
    check(xlstm_session_create(&s, m, 1, 0));
    check(xlstm_sampler_create(&sampler, &o->sampling, xlstm_module_output_dim(m)));
    if (o->state)
        load_state(s, m, o->state);
    xlstm_generation g = {.struct_size = sizeof g,
                          .prompt = p.tokens,
                          .prompt_tokens = p.count,
                          .max_tokens = o->length,
                          .stops = &stop,
                          .stop_count = stops,
                          .callback = show,
                          .user = &l};
    if (!o->tokens.count && !o->only_new)
        fputs(text ? text : o->text, stdout);
    double started = now();
    check(xlstm_generate(s, sampler, &g, NULL));
    fwrite(l.rest.bytes, 1, (size_t)l.rest.count, stdout);
    putchar('\n');
    if (o->save_state)
        save_state(s, m, o->save_state);
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
    options o = {0};
    xlstm_module *m;
    xlstm_sampling_init(&o.sampling);
    read_options(&o, &table, argc, argv);
    if ((o.text != NULL) + (o.text_file != NULL) + (o.tokens.count > 0) != 1)
        die("give one of --prompt, --prompt-file and --tokens");
    if (o.device)
        check(xlstm_set_device(o.device));
    if (o.threads)
        check(xlstm_set_threads(o.threads));
    double started = now();
    check(xlstm_module_load_as(&m, o.model, o.weights));
    if (!xlstm_module_config(m)->vocab_size)
        die("%s takes vectors, not tokens; there is no text to continue", o.model);
    generate(&o, m, now() - started);
    xlstm_module_free(m);
    return 0;
}
