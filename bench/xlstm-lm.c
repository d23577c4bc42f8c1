/* xlstm-lm: word-level language modelling, several models of equal size on the same stream of tokens. */
#include "bench.h"
#include "corpus.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int width, blocks, heads, steps, batch, window, evaluations;
    size_t valid_tokens, test_tokens; /* at most; 0: all */
    float lr[4];                      /* xlstm, lstm, lstm-res, transformer */
    double dropout;
} preset;
static const preset presets[] = {
    {64, 2, 4, 20, 4, 16, 1, 400, 800, {3e-3f, 3e-3f, 3e-3f, 3e-3f}, 0.0},
    {128, 2, 4, 600, 20, 64, 2, 20000, 0, {4e-3f, 4e-3f, 4e-3f, 4e-3f}, 0.0},
    {256, 4, 4, 20000, 32, 96, 20, 0, 0, {2e-3f, 2e-3f, 2e-3f, 2e-3f}, 0.3},
    {512, 6, 8, 3300, 64, 96, 10, 0, 0, {1e-3f, 1e-3f, 1e-3f, 1e-3f}, 0.1},
};

enum { BUCKETS = 4 };
static const char *const bucket_names[BUCKETS] = {"rare", "medium", "frequent", "overall"};

typedef struct {
    double nats[BUCKETS], tokens[BUCKETS];
} scores;

static int bucket_of(int64_t count) {
    return count < 100 ? 0 : count < 1000 ? 1 : 2;
}

static double perplexity(const scores *s, int bucket) {
    return s->tokens[bucket] > 0 ? exp(s->nats[bucket] / s->tokens[bucket]) : NAN;
}

/* The split as `rows` neighbouring streams, each in order with its state carried; every token but the first
 * of a stream is a target once. */
static scores evaluate(xlstm_module *m, const corpus *c, const split *all, size_t limit, int rows,
                       int window) {
    size_t count = limit && limit < all->count ? limit : all->count;
    if (count < (size_t)rows * 8)
        rows = 1;
    size_t length = count / (size_t)rows;
    int T = (size_t)window < length - 1 ? window : (int)(length - 1);
    xlstm_trainer_config tc;
    xlstm_trainer *tr;
    xlstm_trainer_config_init(&tc);
    tc.batch = rows;
    tc.time = T;
    tc.carry_state = 1;
    tc.gradients = 0;
    check(xlstm_trainer_create(&tr, m, &tc));
    size_t numbers = (size_t)rows * (size_t)T;
    int32_t *tokens = need(numbers * sizeof *tokens), *targets = need(numbers * sizeof *targets);
    xlstm_real *loss = need(numbers * sizeof *loss);
    scores s = {0};
    for (size_t at = 0; at + 1 < length; at += (size_t)T) {
        int n = (int)(length - 1 - at < (size_t)T ? length - 1 - at : (size_t)T);
        for (int r = 0; r < rows; r++) {
            memcpy(tokens + r * n, all->tokens + (size_t)r * length + at, (size_t)n * sizeof *tokens);
            memcpy(targets + r * n, all->tokens + (size_t)r * length + at + 1, (size_t)n * sizeof *targets);
        }
        xlstm_batch b = {
            .struct_size = sizeof b, .time = n, .tokens = tokens, .targets = targets, .token_loss = loss};
        check(xlstm_trainer_evaluate(tr, &b, NULL));
        for (int i = 0; i < rows * n; i++) {
            int bucket = bucket_of(c->count[targets[i]]);
            s.nats[bucket] += (double)loss[i];
            s.tokens[bucket] += 1;
        }
    }
    for (int i = 0; i < 3; i++) {
        s.nats[3] += s.nats[i];
        s.tokens[3] += s.tokens[i];
    }
    free(tokens);
    free(targets);
    free(loss);
    xlstm_trainer_free(tr);
    return s;
}

/* A run of one model. */
typedef struct {
    const options *o;
    const preset *p;
    const corpus *c;
    row_model *row;
    xlstm_module *m;
    checkpoint best;
    json_t *points;
    int diverged; /* step, or -1 */
    double seconds, tokens;
    scores test;
} run;

static void validate(run *r, int step, double train_loss) {
    scores s = evaluate(r->m, r->c, &r->c->valid, r->p->valid_tokens, 16, r->p->window);
    double ppl = perplexity(&s, 3);
    checkpoint_offer(&r->best, r->m, ppl);
    json_array_append_new(r->points,
                          json_pack("{s:i,s:o,s:o,s:o}", "step", step, "train_loss", number(train_loss),
                                    "valid_perplexity", number(ppl), "seconds", number(r->seconds)));
}

static void fill_batch(const run *r, int step, int32_t *tokens, int32_t *targets) {
    size_t B = (size_t)r->p->batch, T = (size_t)r->p->window, length = r->c->train.count / B;
    size_t windows = (length - 1) / T, at = (size_t)step % windows * T;
    for (size_t b = 0; b < B; b++) {
        memcpy(tokens + b * T, r->c->train.tokens + b * length + at, T * sizeof *tokens);
        memcpy(targets + b * T, r->c->train.tokens + b * length + at + 1, T * sizeof *targets);
    }
}

static void train(run *r) {
    const preset *p = r->p;
    xlstm_trainer_config tc;
    xlstm_optimizer_config oc;
    xlstm_trainer *tr;
    xlstm_optimizer *opt;
    xlstm_trainer_config_init(&tc);
    tc.batch = p->batch;
    tc.time = p->window;
    tc.carry_state = r->row->carries;
    tc.seed = r->o->seed;
    xlstm_optimizer_config_init(&oc, XLSTM_ADAMW);
    check(xlstm_trainer_create(&tr, r->m, &tc));
    check(xlstm_optimizer_create(&opt, r->m, &oc));
    size_t numbers = (size_t)p->batch * (size_t)p->window, length = r->c->train.count / (size_t)p->batch;
    int32_t *tokens = need(numbers * sizeof *tokens), *targets = need(numbers * sizeof *targets);
    xlstm_schedule schedule = {XLSTM_WARMUP_COSINE, r->row->lr, 0.05f, p->steps / 20 + 1, p->steps};
    progress shown = {.name = r->row->name, .steps = p->steps, .started = now()};
    int every = p->steps / p->evaluations > 0 ? p->steps / p->evaluations : 1;
    int windows = (int)((length - 1) / (size_t)p->window);
    double started = now(), paused = 0;
    for (int step = 0; step < p->steps && r->diverged < 0; step++) {
        xlstm_loss loss;
        if (step % windows == 0)
            check(xlstm_trainer_reset(tr, -1)); /* the streams begin anew */
        fill_batch(r, step, tokens, targets);
        xlstm_batch b = {.struct_size = sizeof b, .tokens = tokens, .targets = targets};
        check(xlstm_trainer_backward(tr, &b, &loss));
        if (xlstm_optimizer_step(opt, tr, xlstm_schedule_rate(&schedule, step), NULL) != XLSTM_OK)
            r->diverged = step;
        progress_show(&shown, step, loss.mean, (double)numbers);
        if ((step + 1) % every == 0 || step + 1 == p->steps) {
            double before = now();
            r->seconds = before - started - paused;
            validate(r, step + 1, shown.loss);
            paused += now() - before;
        }
        r->tokens += (double)numbers;
    }
    r->seconds = now() - started - paused;
    progress_end(&shown);
    free(tokens);
    free(targets);
    xlstm_optimizer_free(opt);
    xlstm_trainer_free(tr);
}

static json_t *scores_json(const scores *s) {
    json_t *j = json_object();
    for (int i = 0; i < BUCKETS; i++)
        json_object_set_new(
            j, bucket_names[i],
            json_pack("{s:o,s:f}", "perplexity", number(perplexity(s, i)), "tokens", s->tokens[i]));
    return j;
}

/* A directory that xlstm-generate takes. */
static void save_model(const run *r) {
    char *dir = make_folder(r->o->save, r->row->name), *words = need(strlen(dir) + 11);
    sprintf(words, "%s/vocab.txt", dir);
    check(xlstm_module_save(r->m, dir));
    check(xlstm_tokenizer_save(r->c->words, words));
    free(words);
    free(dir);
}

static json_t *run_model(run *r) {
    check(xlstm_model_create(&r->m, &r->row->config, r->o->seed));
    r->points = json_array();
    r->diverged = -1;
    train(r);
    checkpoint_restore(&r->best, r->m);
    r->test = evaluate(r->m, r->c, &r->c->test, r->p->test_tokens, 16, r->p->window);
    if (r->o->save)
        save_model(r);
    checkpoint_free(&r->best);
    xlstm_module_free(r->m);
    json_t *j = describe_row(r->row);
    json_object_set_new(j, "evaluations", r->points);
    json_object_set_new(j, "test", scores_json(&r->test));
    json_object_set_new(j, "train_tokens", number(r->tokens));
    json_object_set_new(j, "seconds", number(r->seconds));
    json_object_set_new(j, "tokens_per_second", number(r->tokens / r->seconds));
    json_object_set_new(j, "diverged", r->diverged < 0 ? json_null() : json_integer(r->diverged));
    return j;
}

static void print_row(const run *r) {
    printf("%-14s", r->row->name);
    for (int i = 0; i < BUCKETS; i++)
        printf(" %10.1f", perplexity(&r->test, i));
    printf(" %9.3f %+7.1f%% %6d %10.0f %8.1f", (double)r->row->core / 1e6, r->row->off_target,
           r->row->config.embedding_dim, r->tokens / r->seconds, r->seconds);
    puts(r->diverged < 0 ? "" : "  diverged");
    fflush(stdout);
}

static float rate_of(const options *o, const preset *p, const char *name) {
    static const char *const names[] = {"xlstm", "lstm", "lstm-res", "transformer"};
    for (int i = 1; i < 4; i++)
        if (!strcmp(name, names[i]))
            return o->lr >= 0 ? (float)o->lr : p->lr[i];
    return o->lr >= 0 ? (float)o->lr : p->lr[0];
}

static preset choose(options *o) {
    preset p = presets[preset_index(o)];
    p.width = o->width ? o->width : p.width;
    p.blocks = o->blocks ? o->blocks : p.blocks;
    p.heads = o->heads ? o->heads : p.heads;
    p.steps = o->steps ? o->steps : p.steps;
    p.batch = o->batch ? o->batch : p.batch;
    p.window = o->window ? o->window : p.window;
    p.dropout = o->dropout >= 0 ? o->dropout : p.dropout;
    if (!o->mix)
        o->mix = "1:0";
    return p;
}

static xlstm_config base_config(const preset *p, int vocabulary) {
    xlstm_config c;
    xlstm_config_init(&c, XLSTM_MLSTM);
    c.vocab_size = vocabulary;
    c.embedding_dim = p->width;
    c.num_blocks = p->blocks;
    c.num_heads = p->heads;
    c.context_length = p->window;
    c.tie_weights = 1;
    c.dropout = (float)p->dropout;
    return c;
}

static void print_head(const options *o, const preset *p, const corpus *c, const char *dir) {
    printf("corpus %s: %zu train, %zu valid, %zu test tokens, vocabulary %d, crc32 %08lx\n", dir,
           c->train.count, c->valid.count, c->test.count, c->vocabulary, c->crc[0]);
    double tokens = (double)p->steps * p->batch * p->window;
    printf(
        "preset %s: %d blocks, width %d, %d steps of %d x %d tokens (%.2f epochs), seed %llu, %d threads\n",
        o->preset, p->blocks, p->width, p->steps, p->batch, p->window, tokens / (double)c->train.count,
        (unsigned long long)o->seed, xlstm_get_threads());
    if (tokens < 4.0 * (double)c->train.count)
        printf("short training: these perplexities rank models early on; they are not what the models can "
               "reach\n");
    fflush(stdout);
    printf("\ntest perplexity by how often the target occurs in train\n%-14s %10s %10s %10s %10s %9s %8s %6s "
           "%10s %8s\n",
           "model", "rare<100", "100-999", ">=1000", "overall", "core M", "off", "width", "tokens/s",
           "seconds");
}

int main(int argc, char **argv) {
    static const program about = {
        "Trains language models of equal size on the same words and compares their test perplexity.\v"
        "Examples:\n"
        "  xlstm-lm --data wikitext-2 --preset smoke\n"
        "  xlstm-lm --data wikitext-2 --models xlstm@1:0,xlstm@0:1,lstm-res --out results.json\n\n"
        "The folder may also be named by XLSTM_DATA. Tables go to standard output, progress to a terminal "
        "only.",
        "xlstm,lstm,lstm-res,transformer", 1};
    options o;
    parse_options(&o, argc, argv, &about);
    const char *dir = o.data ? o.data : getenv("XLSTM_DATA");
    if (!dir || !*dir)
        die("no corpus; give --data DIR or set XLSTM_DATA to a folder with train.txt, valid.txt and "
            "test.txt");
    preset p = choose(&o);
    corpus c;
    corpus_load(&c, dir);
    if (c.train.count / (size_t)p.batch < (size_t)p.window + 1)
        die("%s/train.txt has %zu tokens; %d streams of windows of %d need more: lower --batch or --window",
            dir, c.train.count, p.batch, p.window);
    xlstm_config base = base_config(&p, c.vocabulary);
    row_model *rows = need(MAX_MODELS * sizeof *rows);
    int count = make_models(&o, o.models, &base, rows);
    print_head(&o, &p, &c, dir);
    json_t *root = describe_run(&o, "language modelling"), *list = json_array();
    json_object_set_new(root, "corpus",
                        json_pack("{s:s,s:I,s:I,s:I,s:i,s:I,s:I,s:I}", "path", dir, "train_tokens",
                                  (json_int_t)c.train.count, "valid_tokens", (json_int_t)c.valid.count,
                                  "test_tokens", (json_int_t)c.test.count, "vocabulary", c.vocabulary,
                                  "train_crc32", (json_int_t)c.crc[0], "valid_crc32", (json_int_t)c.crc[1],
                                  "test_crc32", (json_int_t)c.crc[2]));
    json_object_set_new(root, "training",
                        json_pack("{s:i,s:i,s:i,s:s,s:f,s:f,s:f,s:s}", "steps", p.steps, "batch", p.batch,
                                  "window", p.window, "schedule", "linear warm-up over 5 %, cosine to 5 %",
                                  "clip", 1.0, "weight_decay", 0.1, "dropout", p.dropout, "evaluation",
                                  "whole split as 16 neighbouring streams with carried state"));
    json_object_set_new(root, "models", list);
    for (int i = 0; i < count; i++) {
        rows[i].lr = rate_of(&o, &p, rows[i].name);
        run r = {.o = &o, .p = &p, .c = &c, .row = &rows[i]};
        json_array_append_new(list, run_model(&r));
        print_row(&r);
    }
    write_json(o.out, root);
    free(rows);
    corpus_free(&c);
    return 0;
}
