/* xlstm-tasks: two tasks that tell the memories apart.
 *
 * parity: after each bit, is the number of ones so far odd? Whoever follows it must change a state with every
 * one, for as long as the sequence goes on, and longer than it ever did in training.
 *
 * mqar (multi-query associative recall): pairs of key and value, then the keys again in another order; after
 * each the answer is its value. Whoever answers must keep many pairs apart at once. */
#include "sequences.h"

enum { TRAINED_LENGTH = 40, LONGEST = 256, BITS = 2 };          /* parity */
enum { MAX_PAIRS = 32, KEYS = 64, VALUES = 64, PAIR_SETS = 4 }; /* mqar */

static int is_parity(const options *o) {
    return !strcmp(o->task, "parity");
}

/* ---- parity ---- */

static void make_parity(sequences *s, size_t count, int shortest, int length, uint64_t which) {
    uint64_t state = mixed(which, 0, 4);
    sequences_make(s, (int)count, length, 0);
    for (int i = 0; i < s->count; i++) {
        int odd = 0;
        s->lengths[i] = shortest + below(&state, length - shortest + 1);
        for (int t = 0; t < s->lengths[i]; t++) {
            int bit = below(&state, BITS);
            odd ^= bit;
            s->tokens[i * length + t] = bit;
            s->targets[i * length + t] = odd;
        }
    }
}

static double per_cent(const positions *p, int from, int to) {
    return 100 * positions_mean(p->sum, p->count, from, to);
}

/* The answer behind token t is the parity of a sequence of t + 1 bits. */
static json_t *test_parity(task *base, xlstm_module *m) {
    sequence_task *t = (sequence_task *)base;
    positions p = positions_of_answers(m, t->test, base->batch);
    json_t *j = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "length_1_40", number(per_cent(&p, 0, 40)),
                          "length_41_80", number(per_cent(&p, 40, 80)), "length_81_160",
                          number(per_cent(&p, 80, 160)), "length_161_256", number(per_cent(&p, 160, 256)),
                          "longer", number(per_cent(&p, 40, 256)), "by_position", positions_json(&p));
    positions_free(&p);
    return j;
}

static void open_parity(sequence_task *t, const options *o) {
    sequence_task_open(t, o, "parity", 1);
    t->task.test = test_parity;
    make_parity(&t->train, o->p.train_size, 1, TRAINED_LENGTH, 1);
    make_parity(&t->valid, o->p.valid_size, 1, TRAINED_LENGTH, 2);
    make_parity(t->test, o->p.test_size, LONGEST, LONGEST, 3);
    printf("parity: %d sequences of 1 to %d bits for training, %d for validation, %d of %d for the test\n",
           t->train.count, TRAINED_LENGTH, t->valid.count, t->test->count, LONGEST);
}

/* ---- associative recall ---- */

static void make_recall(sequences *s, int i, int pairs, uint64_t *state) {
    int32_t keys[KEYS], value_of[KEYS], order[MAX_PAIRS];
    size_t at = (size_t)i * (size_t)s->length;
    int32_t *tokens = s->tokens + at, *targets = s->targets + at;
    for (int k = 0; k < KEYS; k++)
        keys[k] = k;
    shuffle(state, keys, KEYS); /* the first `pairs` are this sequence's */
    for (int p = 0; p < pairs; p++) {
        order[p] = keys[p];
        value_of[keys[p]] = KEYS + below(state, VALUES);
        tokens[2 * p] = keys[p];
        tokens[2 * p + 1] = value_of[keys[p]];
    }
    shuffle(state, order, pairs);
    for (int t = 0; t < s->length; t++)
        targets[t] = -1;
    for (int p = 0; p < pairs; p++) {
        tokens[2 * pairs + p] = order[p];
        targets[2 * pairs + p] = value_of[order[p]];
    }
    s->lengths[i] = 3 * pairs;
}

/* `pairs` in each sequence; 0: 4, 8, 16 or 32. */
static void make_recalls(sequences *s, size_t count, int pairs, uint64_t which) {
    uint64_t state = mixed(which, 0, 5);
    sequences_make(s, (int)count, 3 * MAX_PAIRS, 0);
    for (int i = 0; i < s->count; i++)
        make_recall(s, i, pairs ? pairs : 4 << below(&state, PAIR_SETS), &state);
}

static json_t *test_recall(task *base, xlstm_module *m) {
    sequence_task *t = (sequence_task *)base;
    json_t *j = json_object();
    double right = 0, asked = 0;
    for (int i = 0; i < PAIR_SETS; i++) {
        positions p = positions_of_answers(m, &t->test[i], base->batch);
        char name[32];
        snprintf(name, sizeof name, "pairs_%d", 4 << i);
        json_object_set_new(j, name, number(per_cent(&p, 0, p.length)));
        for (int at = 0; at < p.length; at++) {
            right += p.sum[at];
            asked += p.count[at];
        }
        positions_free(&p);
    }
    json_object_set_new(j, "all", number(100 * right / asked));
    return j;
}

static void open_recall(sequence_task *t, const options *o) {
    sequence_task_open(t, o, "mqar", PAIR_SETS);
    t->task.test = test_recall;
    make_recalls(&t->train, o->p.train_size, 0, 1);
    make_recalls(&t->valid, o->p.valid_size, 0, 2);
    for (int i = 0; i < PAIR_SETS; i++)
        make_recalls(&t->test[i], o->p.test_size, 4 << i, 3 + (uint64_t)i);
    printf("associative recall: %d sequences of 4 to %d pairs of %d keys and %d values for training, %d for "
           "validation, %d of each size for the test\n",
           t->train.count, MAX_PAIRS, KEYS, VALUES, t->valid.count, t->test->count);
}

/* ---- the program ---- */

static task *open_task(const options *o) {
    sequence_task *t = need(sizeof *t);
    if (is_parity(o))
        open_parity(t, o);
    else
        open_recall(t, o);
    sequence_task_ready(t);
    printf("preset %s: %d blocks, width %d, %lld steps of %d sequences, seed %llu, threads %d\n\n", o->preset,
           o->p.blocks, o->p.width, (long long)o->p.steps, o->p.batch, (unsigned long long)o->seed,
           xlstm_get_threads());
    return &t->task;
}

static void configure(const options *o, const task *t, xlstm_config *c) {
    (void)t;
    xlstm_config_init(c, XLSTM_SLSTM);
    c->vocab_size = is_parity(o) ? BITS : KEYS + VALUES;
    c->embedding_dim = o->p.width;
    c->num_blocks = o->p.blocks;
    c->num_heads = o->p.heads;
    c->context_length = LONGEST;
    c->dropout = o->p.dropout;
    c->embedding_dropout = o->p.embedding_dropout;
}

int main(int argc, char **argv) {
    static const program about = {
        .doc = "Trains models of equal size to follow a state (parity) or to recall pairs (mqar).\v"
               "Examples:\n"
               "  xlstm-tasks --task parity\n"
               "  xlstm-tasks --task mqar --models xlstm@1:0,lstm --out results\n\n"
               "Parity is trained on up to 40 bits and tested on up to 256. Exit code 2: something given is "
               "wrong; 3: stopped before the end.",
        .program = FOR_TASKS,
        .default_models = "xlstm@0:1,xlstm@1:0,lstm,lstm-res,transformer",
        .default_mix = "0:1",
        .open = open_task,
        .config = configure,
        .close = sequence_task_close};
    return bench_main(argc, argv, &about);
}
