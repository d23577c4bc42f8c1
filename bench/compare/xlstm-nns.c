/* xlstm-nns: nearest-neighbour search over a sequence (xLSTM paper, appendix B). The first vector is the key;
 * each later step brings a unit vector and a value; at every step the answer is the value of the vector
 * nearest to the key so far. */
#include "sequences.h"
#include <math.h>

enum { MAX_LENGTH = 64, IN = 3 };

/* @param last whether only the answer at its end counts */
static void make_sequence(sequences *s, int i, int last, uint64_t *state) {
    size_t at = (size_t)i * MAX_LENGTH;
    int length = s->lengths[i] = 2 + below(state, MAX_LENGTH - 1);
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
        xlstm_real *x = s->x + (at + (size_t)t) * IN;
        x[0] = (xlstm_real)v[0];
        x[1] = (xlstm_real)v[1];
        x[2] = t ? (xlstm_real)value : 0; /* the key's value means nothing */
        s->y[at + (size_t)t] = (xlstm_real)answer;
        s->weight[at + (size_t)t] = last ? t == length - 1 : t > 0;
    }
}

/* The data are the same for all runs: a run's seed changes their order only. */
static void make_set(sequences *s, size_t count, int last, uint64_t which) {
    uint64_t state = mixed(which, 0, 2);
    sequences_make(s, (int)count, MAX_LENGTH, IN);
    for (int i = 0; i < s->count; i++)
        make_sequence(s, i, last, &state);
}

static json_t *test(task *base, xlstm_module *m) {
    sequence_task *t = (sequence_task *)base;
    positions p = positions_of_losses(m, t->test, base->batch);
    json_t *j = json_pack("{s:o, s:o, s:o}", "all", number(positions_mean(p.sum, p.count, 0, p.length)),
                          "last", number(positions_mean(p.last_sum, p.last_count, 0, p.length)),
                          "by_position", positions_json(&p));
    for (int from = 0; from < MAX_LENGTH; from += 16) { /* position t is the last one of length t + 1 */
        char name[32];
        snprintf(name, sizeof name, "length_%d_%d", from ? from + 1 : 2, from + 16);
        json_object_set_new(j, name, number(positions_mean(p.last_sum, p.last_count, from, from + 16)));
    }
    positions_free(&p);
    return j;
}

static task *open_task(const options *o) {
    sequence_task *t = need(sizeof *t);
    sequence_task_open(t, o, "nns", 1);
    t->task.test = test;
    t->scored = o->last ? "last position" : NULL;
    make_set(&t->train, o->p.train_size, o->last, 1);
    make_set(&t->valid, o->p.valid_size, o->last, 2);
    make_set(t->test, o->p.test_size, o->last, 3);
    sequence_task_ready(t);
    printf("nearest-neighbour search: %d, %d, %d sequences of 2 to %d vectors for train, valid, test\n"
           "preset %s: %d blocks, width %d, %lld steps of %d sequences, seed %llu, threads %d\n\n",
           t->train.count, t->valid.count, t->test->count, MAX_LENGTH, o->preset, o->p.blocks, o->p.width,
           (long long)o->p.steps, o->p.batch, (unsigned long long)o->seed, xlstm_get_threads());
    return &t->task;
}

static void configure(const options *o, const task *t, xlstm_config *c) {
    (void)t;
    xlstm_config_init(c, XLSTM_SLSTM);
    c->input_dim = IN;
    c->output_dim = 1;
    c->embedding_dim = o->p.width;
    c->num_blocks = o->p.blocks;
    c->num_heads = o->p.heads;
    c->context_length = MAX_LENGTH;
    c->dropout = o->p.dropout;
    c->embedding_dropout = o->p.embedding_dropout;
}

int main(int argc, char **argv) {
    static const program about = {
        .doc = "Trains models of equal size to remember the value of the vector nearest to a key.\v"
               "Examples:\n"
               "  xlstm-nns --preset smoke\n"
               "  xlstm-nns --models xlstm@0:1,lstm --out results\n\n"
               "Errors are mean squared; always answering 1/2 scores 1/12 = 0.0833, a perfect search 0. Exit "
               "code 2: something given is wrong; 3: stopped before the end.",
        .program = FOR_NNS,
        .task = "nns",
        .default_models = "xlstm@0:1,xlstm@1:0,lstm,lstm-res,transformer",
        .default_mix = "0:1",
        .open = open_task,
        .config = configure,
        .close = sequence_task_close};
    return bench_main(argc, argv, &about);
}
