/* xlstm-lm: word-level language modelling, several models of equal size on the same stream of tokens. */
#include "bench.h"
#include "corpus.h"
#include <math.h>

typedef struct {
    task task;
    corpus c;
    const options *o;
    int32_t *tokens, *targets; /* of the batch in hand, [batch, window] */
} lm_task;

/* ---- evaluation ---- */

enum { BUCKETS = 4, EVALUATION_STREAMS = 16 };
static const char *const bucket_names[BUCKETS] = {"rare", "medium", "frequent", "overall"};

typedef struct {
    double nats[BUCKETS], tokens[BUCKETS];
} scores;

static int bucket_of(int64_t count) {
    return count < 100 ? 0 : count < 1000 ? 1 : 2;
}

static double nats_per_token(const scores *s, int bucket) {
    return s->tokens[bucket] > 0 ? s->nats[bucket] / s->tokens[bucket] : NAN;
}

static void add_losses(scores *s, const corpus *c, const int32_t *targets, const xlstm_real *loss, int n) {
    for (int i = 0; i < n; i++) {
        int bucket = bucket_of(c->count[targets[i]]);
        s->nats[bucket] += (double)loss[i];
        s->tokens[bucket] += 1;
        s->nats[3] += (double)loss[i];
        s->tokens[3] += 1;
    }
}

static xlstm_trainer *evaluator(xlstm_module *m, int rows, int window) {
    xlstm_trainer_config tc;
    xlstm_trainer *tr;
    xlstm_trainer_config_init(&tc);
    tc.batch = rows;
    tc.time = window;
    tc.carry_state = 1;
    tc.gradients = 0;
    check(xlstm_trainer_create(&tr, m, &tc));
    return tr;
}

/* The split as `rows` neighbouring streams, each in order with its state carried; every token but the first
 * of a stream is a target once. */
static scores evaluate(const lm_task *t, xlstm_module *m, const split *all, size_t limit) {
    size_t count = limit && limit < all->count ? limit : all->count;
    int rows = count < (size_t)EVALUATION_STREAMS * 8 ? 1 : EVALUATION_STREAMS;
    size_t length = count / (size_t)rows, window = (size_t)t->task.time;
    int T = (int)(window < length - 1 ? window : length - 1);
    xlstm_trainer *tr = evaluator(m, rows, T);
    size_t numbers = (size_t)rows * (size_t)T;
    int32_t *tokens = need(numbers * sizeof *tokens), *targets = need(numbers * sizeof *targets);
    xlstm_real *loss = need(numbers * sizeof *loss);
    scores s = {0};
    for (size_t at = 0; at + 1 < length; at += (size_t)T) {
        int n = (int)(length - 1 - at < (size_t)T ? length - 1 - at : (size_t)T);
        for (int r = 0; r < rows; r++) {
            memcpy(tokens + (size_t)r * (size_t)n, all->tokens + (size_t)r * length + at,
                   (size_t)n * sizeof *tokens);
            memcpy(targets + (size_t)r * (size_t)n, all->tokens + (size_t)r * length + at + 1,
                   (size_t)n * sizeof *targets);
        }
        xlstm_batch b = {
            .struct_size = sizeof b, .time = n, .tokens = tokens, .targets = targets, .token_loss = loss};
        check(xlstm_trainer_evaluate(tr, &b, NULL));
        add_losses(&s, &t->c, targets, loss, rows * n);
    }
    free(tokens);
    free(targets);
    free(loss);
    xlstm_trainer_free(tr);
    return s;
}

static double validate(task *base, xlstm_module *m, size_t limit) {
    const lm_task *t = (const lm_task *)base;
    scores s = evaluate(t, m, &t->c.valid, limit);
    return nats_per_token(&s, 3);
}

static json_t *test(task *base, xlstm_module *m) {
    const lm_task *t = (const lm_task *)base;
    scores s = evaluate(t, m, &t->c.test, t->o->p.test_size);
    json_t *j = json_object();
    for (int i = 0; i < BUCKETS; i++)
        json_object_set_new(
            j, bucket_names[i],
            json_pack("{s:o, s:f}", "perplexity", number(exp(nats_per_token(&s, i))), "tokens", s.tokens[i]));
    return j;
}

/* ---- training data ---- */

/* An epoch is the corpus from a place of its own on, as a ring, cut into the batch's streams; step by step a
 * window of each. Its last tokens that fill no window are left out, other ones in every epoch. */
static int rows_of_step(task *base, uint64_t seed, int64_t step, int64_t *rows) {
    const lm_task *t = (const lm_task *)base;
    int64_t count = (int64_t)t->c.train.count, length = count / base->batch;
    int64_t windows = (length - 1) / base->time, epoch = step / windows, window = step % windows;
    int64_t offset = (int64_t)(mixed(seed, (uint64_t)epoch, 1) % (uint64_t)count);
    for (int b = 0; b < base->batch; b++)
        rows[b] = (offset + b * length + window * base->time) % count;
    return window == 0;
}

static xlstm_batch batch_of_rows(task *base, const int64_t *rows) {
    lm_task *t = (lm_task *)base;
    const split *train = &t->c.train;
    for (int b = 0; b < base->batch; b++)
        for (int i = 0; i < base->time; i++) {
            size_t at = ((size_t)rows[b] + (size_t)i) % train->count;
            t->tokens[b * base->time + i] = train->tokens[at];
            t->targets[b * base->time + i] = train->tokens[(at + 1) % train->count];
        }
    return (xlstm_batch){.struct_size = sizeof(xlstm_batch), .tokens = t->tokens, .targets = t->targets};
}

/* ---- describing ---- */

static size_t part_of(size_t limit, const split *s) {
    return limit && limit < s->count ? limit : s->count;
}

static json_t *describe(const task *base) {
    const lm_task *t = (const lm_task *)base;
    const corpus *c = &t->c;
    return json_pack("{s:I, s:I, s:I, s:i, s:I, s:I, s:I, s:s, s:I, s:I}", "train_tokens",
                     (json_int_t)c->train.count, "valid_tokens", (json_int_t)c->valid.count, "test_tokens",
                     (json_int_t)c->test.count, "vocabulary", c->vocabulary, "train_crc32",
                     (json_int_t)c->crc[0], "valid_crc32", (json_int_t)c->crc[1], "test_crc32",
                     (json_int_t)c->crc[2], "evaluation",
                     "16 neighbouring streams in order, state carried, each window's tokens targets once",
                     "validated_on", (json_int_t)part_of(t->o->p.valid_size, &c->valid), "tested_on",
                     (json_int_t)part_of(t->o->p.test_size, &c->test));
}

static xlstm_tensor numbers(const char *name, xlstm_dtype type, size_t count, const void *data) {
    return (xlstm_tensor){.name = name, .dtype = type, .ndim = 1, .shape = {(int64_t)count}, .data = data};
}

static int tensors(const task *base, xlstm_tensor *out) {
    const lm_task *t = (const lm_task *)base;
    const corpus *c = &t->c;
    out[0] = numbers("train.tokens", XLSTM_I32, c->train.count, c->train.tokens);
    out[1] = numbers("valid.tokens", XLSTM_I32, part_of(t->o->p.valid_size, &c->valid), c->valid.tokens);
    out[2] = numbers("test.tokens", XLSTM_I32, part_of(t->o->p.test_size, &c->test), c->test.tokens);
    out[3] = numbers("train.counts", XLSTM_I64, (size_t)c->vocabulary, c->count);
    return 4;
}

/* The tokenizer, so that xlstm-generate can go on from words. */
static void keep_words(const task *base, const char *dir) {
    const lm_task *t = (const lm_task *)base;
    char *path = join(dir, "vocab", ".txt");
    check(xlstm_tokenizer_save(t->c.words, path));
    free(path);
}

static void print_head(const lm_task *t, const char *dir) {
    const preset *p = &t->o->p;
    const corpus *c = &t->c;
    double tokens = (double)p->steps * p->batch * p->window;
    printf(
        "corpus %s: %zu train, %zu valid, %zu test tokens, vocabulary %d, crc32 %08lx\n"
        "preset %s: %d blocks, width %d, %lld steps of %d x %d tokens (%.2f epochs), seed %llu, threads %d\n",
        dir, c->train.count, c->valid.count, c->test.count, c->vocabulary, c->crc[0], t->o->preset, p->blocks,
        p->width, (long long)p->steps, p->batch, p->window, tokens / (double)c->train.count,
        (unsigned long long)t->o->seed, xlstm_get_threads());
    if (tokens < 4.0 * (double)c->train.count)
        printf("short training: these perplexities rank models early on; they are not what the models can "
               "reach\n");
    puts("");
}

/* ---- the program ---- */

static task *open_task(const options *o) {
    const char *dir = o->data ? o->data : getenv("XLSTM_DATA");
    if (!dir || !*dir)
        die("no corpus; give --data DIR or set XLSTM_DATA to a folder with train.txt, valid.txt and "
            "test.txt");
    lm_task *t = need(sizeof *t);
    t->task = (task){.kind = result_kind_find("lm"),
                     .batch = o->p.batch,
                     .time = o->p.window,
                     .carry = !o->no_carry,
                     .rows = rows_of_step,
                     .batch_of = batch_of_rows,
                     .validate = validate,
                     .test = test,
                     .describe = describe,
                     .tensors = tensors,
                     .keep_words = keep_words};
    t->o = o;
    corpus_load(&t->c, dir);
    if (t->c.train.count / (size_t)o->p.batch < (size_t)o->p.window + 1)
        die("%s/train.txt has %zu tokens; %d streams of windows of %d need more: lower --batch or --window",
            dir, t->c.train.count, o->p.batch, o->p.window);
    size_t n = (size_t)o->p.batch * (size_t)o->p.window;
    t->tokens = need(n * sizeof *t->tokens);
    t->targets = need(n * sizeof *t->targets);
    print_head(t, dir);
    return &t->task;
}

static void close_task(task *base) {
    lm_task *t = (lm_task *)base;
    corpus_free(&t->c);
    free(t->tokens);
    free(t->targets);
    free(t);
}

static void configure(const options *o, const task *t, xlstm_config *c) {
    xlstm_config_init(c, XLSTM_MLSTM);
    c->vocab_size = t ? ((const lm_task *)t)->c.vocabulary : 3;
    c->embedding_dim = o->p.width;
    c->num_blocks = o->p.blocks;
    c->num_heads = o->p.heads;
    c->context_length = o->p.window;
    c->tie_weights = 1;
    c->decay_embedding = 1; /* most of the weights, and what learns the text by heart */
    c->dropout = o->p.dropout;
    c->embedding_dropout = o->p.embedding_dropout;
}

int main(int argc, char **argv) {
    static const program about = {
        .doc = "Trains language models of equal size on the same words and compares their test perplexity.\v"
               "Examples:\n"
               "  xlstm-lm --data wikitext-2 --preset smoke\n"
               "  xlstm-lm --data wikitext-2 --models xlstm@1:0,xlstm@0:1,lstm --out results\n"
               "  xlstm-lm --data wikitext-2 --out results --limit-seconds 3600 --resume\n\n"
               "The folder may also be named by XLSTM_DATA. Tables go to standard output, progress to a "
               "terminal only. Exit code 2: something given is wrong; 3: stopped before the end.",
        .program = FOR_LM,
        .task = "lm",
        .default_models = "xlstm,lstm,lstm-res,transformer",
        .default_mix = "1:0",
        .open = open_task,
        .config = configure,
        .close = close_task};
    return bench_main(argc, argv, &about);
}
