/* xlstm-nns: nearest-neighbour search over a sequence (xLSTM paper, appendix B). The first vector is the key;
 * each later step brings a unit vector and a value; at every step the answer is the value of the vector
 * nearest to the key so far. */
#include "bench.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LENGTH = 64, IN = 3 };

typedef struct {
    int width, blocks, heads, steps, batch, sequences, evaluations;
    float lr[4];
    double dropout;
} preset;
static const preset presets[] = {
    {64, 2, 4, 30, 16, 64, 1, {3e-3f, 3e-3f, 3e-3f, 3e-3f}, 0.0},
    {64, 2, 4, 1200, 64, 4096, 4, {4e-3f, 4e-3f, 4e-3f, 2e-3f}, 0.0},
    {128, 2, 4, 12000, 64, 8192, 20, {1e-3f, 1e-3f, 1e-3f, 1e-3f}, 0.1},
    {128, 2, 4, 4000, 64, 8192, 10, {1e-3f, 1e-3f, 1e-3f, 1e-3f}, 0.1},
};

/* Sequences laid end to end, padded to MAX_LENGTH. */
typedef struct {
    int count;
    int32_t *lengths;           /* [count] */
    xlstm_real *x, *y, *weight; /* [count, MAX_LENGTH, 3], [.., 1], [..] */
} dataset;

static uint64_t random_bits(uint64_t *state) { /* splitmix64 */
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double uniform(uint64_t *state) {
    return (double)(random_bits(state) >> 11) * 0x1p-53;
}

static void make_sequence(dataset *d, int i, uint64_t *state) {
    size_t at = (size_t)i * MAX_LENGTH;
    int length = d->lengths[i] = 2 + (int)(uniform(state) * (MAX_LENGTH - 1));
    double key[2] = {0}, nearest = -2, answer = 0;
    for (int t = 0; t < length; t++) {
        double angle = 6.283185307179586 * uniform(state), value = uniform(state);
        double v[2] = {cos(angle), sin(angle)}, close = v[0] * key[0] + v[1] * key[1];
        if (t == 0) {
            memcpy(key, v, sizeof key);
        } else if (close > nearest) {
            nearest = close;
            answer = value;
        }
        xlstm_real *x = d->x + (at + (size_t)t) * IN;
        x[0] = (xlstm_real)v[0];
        x[1] = (xlstm_real)v[1];
        x[2] = t ? (xlstm_real)value : 0; /* the key's value means nothing */
        d->y[at + (size_t)t] = (xlstm_real)answer;
        d->weight[at + (size_t)t] = t > 0;
    }
}

static dataset make_dataset(int count, uint64_t seed) {
    size_t n = (size_t)count * MAX_LENGTH;
    dataset d = {count, need((size_t)count * sizeof(int32_t)), need(n * IN * sizeof(xlstm_real)),
                 need(n * sizeof(xlstm_real)), need(n * sizeof(xlstm_real))};
    for (int i = 0; i < count; i++)
        make_sequence(&d, i, &seed);
    return d;
}

static void free_dataset(dataset *d) {
    free(d->lengths);
    free(d->x);
    free(d->y);
    free(d->weight);
}

static xlstm_batch batch_at(const dataset *d, int first) {
    size_t at = (size_t)first * MAX_LENGTH;
    return (xlstm_batch){.struct_size = sizeof(xlstm_batch),
                         .inputs = d->x + at * IN,
                         .outputs = d->y + at,
                         .weights = d->weight + at,
                         .lengths = d->lengths + first};
}

enum { BUCKETS = 4 };
typedef struct {
    double all, last,
        bucket[BUCKETS]; /* mean squared errors: every position, last position, last by length */
} scores;

static scores evaluate(xlstm_trainer *tr, const dataset *d, int batch) {
    double sum = 0, count = 0, last = 0, bucket[BUCKETS] = {0}, members[BUCKETS] = {0};
    xlstm_real *loss = need((size_t)batch * MAX_LENGTH * sizeof *loss);
    int first = 0;
    for (; first + batch <= d->count; first += batch) {
        xlstm_batch b = batch_at(d, first);
        xlstm_loss l;
        b.token_loss = loss;
        check(xlstm_trainer_evaluate(tr, &b, &l));
        sum += l.sum;
        count += l.count;
        for (int i = 0; i < batch; i++) {
            int length = d->lengths[first + i], k = (length - 1) * BUCKETS / MAX_LENGTH;
            double e = (double)loss[i * MAX_LENGTH + length - 1];
            last += e;
            bucket[k] += e;
            members[k] += 1;
        }
    }
    free(loss);
    scores s = {sum / count, last / first, {0}};
    for (int k = 0; k < BUCKETS; k++)
        s.bucket[k] = bucket[k] / members[k];
    return s;
}

typedef struct {
    const options *o;
    const preset *p;
    row_model *row;
    xlstm_module *m;
    const dataset *train, *valid, *test;
    checkpoint best;
    json_t *points;
    int diverged;
    double seconds, tokens;
    scores score;
} run;

static void validate(run *r, xlstm_trainer *eval, int step, double loss) {
    scores s = evaluate(eval, r->valid, r->p->batch);
    checkpoint_offer(&r->best, r->m, s.all);
    json_array_append_new(r->points, json_pack("{s:i,s:o,s:o,s:o}", "step", step, "train_loss", number(loss),
                                               "valid_mse", number(s.all), "seconds", number(r->seconds)));
}

static void train(run *r, xlstm_trainer *tr, xlstm_trainer *eval) {
    const preset *p = r->p;
    xlstm_optimizer_config oc;
    xlstm_optimizer *opt;
    xlstm_optimizer_config_init(&oc, XLSTM_ADAMW);
    oc.weight_decay = 0.01f;
    check(xlstm_optimizer_create(&opt, r->m, &oc));
    xlstm_schedule schedule = {XLSTM_WARMUP_COSINE, r->row->lr, 0.05f, p->steps / 20 + 1, p->steps};
    progress shown = {.name = r->row->name, .steps = p->steps, .started = now()};
    int every = p->steps / p->evaluations > 0 ? p->steps / p->evaluations : 1,
        batches = p->sequences / p->batch;
    double started = now(), paused = 0;
    for (int step = 0; step < p->steps && r->diverged < 0; step++) {
        xlstm_loss loss;
        xlstm_batch b = batch_at(r->train, step % batches * p->batch);
        check(xlstm_trainer_backward(tr, &b, &loss));
        if (xlstm_optimizer_step(opt, tr, xlstm_schedule_rate(&schedule, step), NULL) != XLSTM_OK)
            r->diverged = step;
        r->tokens += loss.count;
        progress_show(&shown, step, loss.mean, loss.count);
        if ((step + 1) % every == 0 || step + 1 == p->steps) {
            double before = now();
            r->seconds = before - started - paused;
            validate(r, eval, step + 1, shown.loss);
            paused += now() - before;
        }
    }
    r->seconds = now() - started - paused;
    progress_end(&shown);
    xlstm_optimizer_free(opt);
}

static xlstm_trainer *make_trainer(const run *r, int gradients) {
    xlstm_trainer_config tc;
    xlstm_trainer *tr;
    xlstm_trainer_config_init(&tc);
    tc.batch = r->p->batch;
    tc.time = MAX_LENGTH;
    tc.seed = r->o->seed;
    tc.gradients = gradients;
    check(xlstm_trainer_create(&tr, r->m, &tc));
    return tr;
}

static json_t *run_model(run *r) {
    check(xlstm_model_create(&r->m, &r->row->config, r->o->seed));
    r->points = json_array();
    r->diverged = -1;
    xlstm_trainer *tr = make_trainer(r, 1), *eval = make_trainer(r, 0);
    train(r, tr, eval);
    checkpoint_restore(&r->best, r->m);
    r->score = evaluate(eval, r->test, r->p->batch);
    checkpoint_free(&r->best);
    xlstm_trainer_free(tr);
    xlstm_trainer_free(eval);
    xlstm_module_free(r->m);
    json_t *j = describe_row(r->row), *buckets = json_array();
    for (int k = 0; k < BUCKETS; k++)
        json_array_append_new(buckets, number(r->score.bucket[k]));
    json_object_set_new(j, "evaluations", r->points);
    json_object_set_new(j, "test_mse", number(r->score.all));
    json_object_set_new(j, "test_mse_last", number(r->score.last));
    json_object_set_new(j, "test_mse_last_by_length", buckets);
    json_object_set_new(j, "seconds", number(r->seconds));
    json_object_set_new(j, "tokens_per_second", number(r->tokens / r->seconds));
    json_object_set_new(j, "diverged", r->diverged < 0 ? json_null() : json_integer(r->diverged));
    return j;
}

static void print_row(const run *r) {
    printf("%-14s %8.5f %8.5f", r->row->name, r->score.all, r->score.last);
    for (int k = 0; k < BUCKETS; k++)
        printf(" %8.5f", r->score.bucket[k]);
    printf(" %9.4f %+7.1f%% %6d %10.0f %8.1f%s\n", (double)r->row->core / 1e6, r->row->off_target,
           r->row->config.embedding_dim, r->tokens / r->seconds, r->seconds,
           r->diverged < 0 ? "" : "  diverged");
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
    if (o->window)
        die("--window is for xlstm-lm; sequences here are up to %d long", MAX_LENGTH);
    p.width = o->width ? o->width : p.width;
    p.blocks = o->blocks ? o->blocks : p.blocks;
    p.heads = o->heads ? o->heads : p.heads;
    p.steps = o->steps ? o->steps : p.steps;
    p.batch = o->batch ? o->batch : p.batch;
    p.dropout = o->dropout >= 0 ? o->dropout : p.dropout;
    if (p.batch > p.sequences)
        die("--batch %d is more than the %d sequences; give at most that", p.batch, p.sequences);
    if (!o->mix)
        o->mix = "0:1";
    return p;
}

static xlstm_config base_config(const preset *p) {
    xlstm_config c;
    xlstm_config_init(&c, XLSTM_SLSTM);
    c.input_dim = IN;
    c.output_dim = 1;
    c.embedding_dim = p->width;
    c.num_blocks = p->blocks;
    c.num_heads = p->heads;
    c.context_length = MAX_LENGTH;
    c.dropout = (float)p->dropout;
    return c;
}

int main(int argc, char **argv) {
    static const program about = {
        "Trains models of equal size to remember the value of the vector nearest to a key.\v"
        "Examples:\n"
        "  xlstm-nns --preset smoke\n"
        "  xlstm-nns --models xlstm@0:1,lstm --out results.json\n\n"
        "Errors are mean squared; always answering 1/2 scores 1/12 = 0.0833, a perfect search 0.",
        "xlstm@0:1,xlstm@1:0,lstm,lstm-res,transformer", 0};
    options o;
    parse_options(&o, argc, argv, &about);
    preset p = choose(&o);
    xlstm_config base = base_config(&p);
    row_model *rows = need(MAX_MODELS * sizeof *rows);
    int count = make_models(&o, o.models, &base, rows);
    dataset train_set = make_dataset(p.sequences, o.seed * 3 + 1),
            valid_set = make_dataset(p.sequences, o.seed * 3 + 2),
            test_set = make_dataset(p.sequences, o.seed * 3 + 3);
    printf("nearest-neighbour search: %d sequences of 2 to %d vectors for each of train, valid, test\n",
           p.sequences, MAX_LENGTH);
    printf("preset %s: %d blocks, width %d, %d steps of %d sequences, seed %llu, %d threads\n\n", o.preset,
           p.blocks, p.width, p.steps, p.batch, (unsigned long long)o.seed, xlstm_get_threads());
    printf("test mean squared error; constant predictor 0.08333, oracle 0; last position also by length\n"
           "%-14s %8s %8s %8s %8s %8s %8s %9s %8s %6s %10s %8s\n",
           "model", "all", "last", "2-16", "17-32", "33-48", "49-64", "core M", "off", "width", "tokens/s",
           "seconds");
    json_t *root = describe_run(&o, "nearest-neighbour search"), *list = json_array();
    json_object_set_new(root, "training",
                        json_pack("{s:i,s:i,s:i,s:s,s:f,s:f,s:f}", "steps", p.steps, "batch", p.batch,
                                  "sequences", p.sequences, "schedule",
                                  "linear warm-up over 5 %, cosine to 5 %", "clip", 1.0, "weight_decay", 0.01,
                                  "dropout", p.dropout));
    json_object_set_new(root, "constant_predictor_mse", json_real(1.0 / 12));
    json_object_set_new(root, "models", list);
    for (int i = 0; i < count; i++) {
        rows[i].lr = rate_of(&o, &p, rows[i].name);
        run r = {
            .o = &o, .p = &p, .row = &rows[i], .train = &train_set, .valid = &valid_set, .test = &test_set};
        json_array_append_new(list, run_model(&r));
        print_row(&r);
    }
    write_json(o.out, root);
    free(rows);
    free_dataset(&train_set);
    free_dataset(&valid_set);
    free_dataset(&test_set);
    return 0;
}
