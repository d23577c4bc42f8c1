/* xlstm-perplexity: how well a saved model predicts a text, with its matrices as they are or in a smaller
 * type. */
#include "program.h"
#include <argp.h>
#include <math.h>

typedef struct {
    const char *model, *text, *weights;
    int streams, window;
} options;

enum { WEIGHTS = 1000, STREAMS, WINDOW, THREADS };

static const struct argp_option argp_options[] = {
    {"weights", WEIGHTS, "LIST", 0,
     "types of the matrices, of real, bf16, int8, with commas between (default: real); "
     "all are compared with the first",
     0},
    {"streams", STREAMS, "N", 0,
     "pieces of the text that are read side by side (default 16, as xlstm-lm does)", 0},
    {"window", WINDOW, "N", 0, "tokens of a stream that are computed at once (default 64)", 0},
    {"threads", THREADS, "N", 0, "threads (default: all); results do not depend on it", 0},
    {0}};

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    options *o = state->input;
    switch (key) {
    case WEIGHTS:
        o->weights = arg;
        return 0;
    case STREAMS:
        o->streams = count_option("streams", arg, 1, 65536);
        return 0;
    case WINDOW:
        o->window = count_option("window", arg, 1, 65536);
        return 0;
    case THREADS:
        check(xlstm_set_threads(count_option("threads", arg, 1, XLSTM_MAX_THREADS)));
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 1)
            die("\"%s\" is one argument too many; see --help", arg);
        *(state->arg_num ? &o->text : &o->model) = arg;
        return 0;
    case ARGP_KEY_END:
        if (state->arg_num < 2)
            die("a model directory and a text file are needed; see --help");
        return 0;
    }
    return ARGP_ERR_UNKNOWN;
}

enum { MOST_TYPES = 16 };

/* Cuts the list; all of it is looked at before anything is loaded. @return how many types it has */
static int read_types(char *list, const char *names[MOST_TYPES]) {
    int count = 0;
    char *save = NULL;
    for (char *name = strtok_r(list, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
        if (count == MOST_TYPES)
            die("--weights names more than %d types", MOST_TYPES);
        weights_option(name);
        names[count++] = name;
    }
    if (!count)
        die("--weights is empty; use real, bf16 or int8, with commas between");
    return count;
}

static int32_t *read_tokens(const options *o, size_t *count) {
    xlstm_tokenizer *t;
    size_t bytes;
    check(xlstm_tokenizer_load(&t, o->model));
    char *text = read_file(o->text, &bytes);
    if (!text)
        die("%s cannot be read (%s)", o->text, strerror(errno));
    xlstm_tokenizer_encode(t, text, bytes, NULL, 0, count); /* how many? */
    int32_t *tokens = need(*count * sizeof *tokens);
    xlstm_status status = xlstm_tokenizer_encode(t, text, bytes, tokens, *count, count);
    if (status != XLSTM_OK)
        die("%s: %s", o->text, xlstm_last_error());
    if (*count < (size_t)o->streams * 2)
        die("%s has %zu tokens; %d streams need two each", o->text, *count, o->streams);
    free(text);
    xlstm_tokenizer_free(t);
    return tokens;
}

/* Mean cross-entropy in nats over the text as neighbouring streams, each in order with its state carried. */
static double evaluate(const options *o, xlstm_module *m, const int32_t *all, size_t count,
                       double *targets_seen) {
    size_t B = (size_t)o->streams, T = (size_t)o->window, length = count / B;
    int32_t *tokens = need(B * T * sizeof *tokens), *targets = need(B * T * sizeof *targets);
    double sum = 0, seen = 0;
    xlstm_trainer_config tc;
    xlstm_trainer *tr;
    xlstm_trainer_config_init(&tc);
    tc.batch = o->streams;
    tc.time = o->window;
    tc.carry_state = 1;
    tc.gradients = 0;
    check(xlstm_trainer_create(&tr, m, &tc));
    for (size_t at = 0, n; at + 1 < length; at += n) {
        n = length - 1 - at < T ? length - 1 - at : T;
        for (size_t b = 0; b < B; b++) {
            memcpy(tokens + b * n, all + b * length + at, n * sizeof *tokens);
            memcpy(targets + b * n, all + b * length + at + 1, n * sizeof *targets);
        }
        xlstm_batch batch = {
            .struct_size = sizeof batch, .time = (int)n, .tokens = tokens, .targets = targets};
        xlstm_loss loss;
        check(xlstm_trainer_evaluate(tr, &batch, &loss));
        sum += loss.sum;
        seen += loss.count;
    }
    xlstm_trainer_free(tr);
    free(tokens);
    free(targets);
    *targets_seen = seen;
    return sum / seen;
}

int main(int argc, char **argv) {
    static const struct argp argp = {
        argp_options,
        parse_option,
        "MODEL_DIR FILE",
        "Perplexity of a saved model on a text: exp of the mean cross-entropy per token.\v"
        "MODEL_DIR holds the model and its tokenizer.json or vocab.txt, as xlstm-lm --save writes "
        "them.\nExample:\n"
        "  xlstm-perplexity lm/xlstm wikitext-2/test.txt --weights real,bf16,int8",
        NULL,
        NULL,
        NULL};
    options o = {.weights = "real", .streams = 16, .window = 64};
    const char *names[MOST_TYPES];
    size_t count;
    double first = 0, seen;
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    char *list = strcpy(need(strlen(o.weights) + 1), o.weights);
    int types = read_types(list, names);
    int32_t *tokens = read_tokens(&o, &count);
    printf("%-8s %12s %10s %10s %9s\n", "weights", "perplexity", "change", "MB", "targets");
    for (int i = 0; i < types; i++) {
        xlstm_module *m;
        check(xlstm_module_load_as(&m, o.model, weights_option(names[i])));
        double perplexity = exp(evaluate(&o, m, tokens, count, &seen));
        first = first > 0 ? first : perplexity;
        printf("%-8s %12.3f %+9.3f%% %10.2f %9.0f\n", names[i], perplexity, 100 * (perplexity / first - 1),
               (double)xlstm_module_bytes(m) / 1e6, seen);
        fflush(stdout);
        xlstm_module_free(m);
    }
    free(list);
    free(tokens);
    return 0;
}
