/* xlstm-perplexity: how well a saved model predicts a text, with its matrices as they are or in a smaller
 * type. */
#include "options.h"
#include "program.h"
#include <math.h>

typedef struct {
    const char *model, *text;
    option_words weights;
    int streams, window, threads;
    const char *device;
} options;

#define FIELD(field) OPTION_FIELD(options, field)
static const option rows[] = {
    {"MODEL_DIR", OPTION_ARGUMENT, FIELD(model),
     .help = "the model and its tokenizer.json or vocab.txt, as xlstm-lm --save writes them"},
    {"FILE", OPTION_ARGUMENT, FIELD(text), .path = OPTION_READ, .help = "the text"},
    {"weights", 0, FIELD(weights), "LIST", .choices = weights_choices, .initial = "real",
     .help = "types of the matrices, of real, bf16, int8, int4, with commas between; all are compared with "
             "the first"},
    {"streams", 0, FIELD(streams), "N", RANGE(1, 65536), .initial = "16",
     .help = "pieces of the text that are read side by side, as in xlstm-lm"},
    {"window", 0, FIELD(window), "N", RANGE(1, 65536), .initial = "64",
     .help = "tokens of a stream that are computed at once"},
    {"device", 0, FIELD(device), "NAME", .help = "where to compute: cpu (default), cuda, cuda:N or auto"},
    {"threads", 0, FIELD(threads), "N", RANGE(1, XLSTM_MAX_THREADS),
     .help = "threads (default: all); results do not depend on it"},
    {0}};

static const option_table table = {
    .doc = "Perplexity of a saved model on a text: exp of the mean cross-entropy per token.\v"
           "Example:\n"
           "  xlstm-perplexity lm/xlstm wikitext-2/test.txt --weights real,bf16,int8,int4",
    .rows = rows};

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
    options o = {0};
    size_t count;
    double first = 0, seen;
    read_options(&o, &table, argc, argv);
    if (o.threads)
        check(xlstm_set_threads(o.threads));
    if (o.device)
        check(xlstm_set_device(o.device));
    int32_t *tokens = read_tokens(&o, &count);
    printf("%-8s %12s %10s %10s %9s\n", "weights", "perplexity", "change", "MB", "targets");
    flush_output();
    for (int i = 0; i < o.weights.count; i++) {
        xlstm_module *m;
        const char *type = o.weights.of[i];
        check(xlstm_module_load_as(&m, o.model,
                                   (xlstm_weights)option_choice("weights", type, weights_choices)));
        double perplexity = exp(evaluate(&o, m, tokens, count, &seen));
        first = first > 0 ? first : perplexity;
        printf("%-8s %12.3f %+9.3f%% %10.2f %9.0f\n", type, perplexity, 100 * (perplexity / first - 1),
               (double)xlstm_module_bytes(m) / 1e6, seen);
        flush_output();
        xlstm_module_free(m);
    }
    free(tokens);
    return 0;
}
