/* sequences.c - a set of sequences, the order of an epoch and every batch are functions of seed and step
 * alone, so that a run can begin again anywhere. */
#include "sequences.h"
#include <math.h>
#include <zlib.h>

/* ---- random numbers ---- */

static uint64_t random_bits(uint64_t *state) {
    return mixed((*state)++, 0, 0);
}

double uniform(uint64_t *state) {
    return (double)(random_bits(state) >> 11) * 0x1p-53;
}

int below(uint64_t *state, int limit) {
    return (int)(uniform(state) * limit);
}

void shuffle(uint64_t *state, int32_t *a, int count) {
    for (int i = count - 1; i > 0; i--) {
        int j = below(state, i + 1);
        int32_t kept = a[i];
        a[i] = a[j];
        a[j] = kept;
    }
}

/* ---- sets ---- */

void sequences_make(sequences *s, int count, int length, int in) {
    size_t n = (size_t)count * (size_t)length;
    *s = (sequences){.count = count, .length = length, .in = in};
    s->lengths = need((size_t)count * sizeof *s->lengths);
    s->tokens = in ? NULL : need(n * sizeof *s->tokens);
    s->targets = in ? NULL : need(n * sizeof *s->targets);
    s->x = in ? need(n * (size_t)in * sizeof *s->x) : NULL;
    s->y = in ? need(n * sizeof *s->y) : NULL;
    s->weight = in ? need(n * sizeof *s->weight) : NULL;
}

void sequences_free(sequences *s) {
    void *owned[] = {s->lengths, s->tokens, s->targets, s->x, s->y, s->weight};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        free(owned[i]);
    *s = (sequences){0};
}

static void copy_row(const sequences *s, size_t from, sequences *to, size_t row) {
    size_t L = (size_t)s->length, in = (size_t)s->in;
    to->lengths[row] = s->lengths[from];
    if (!in) {
        memcpy(to->tokens + row * L, s->tokens + from * L, L * sizeof *s->tokens);
        memcpy(to->targets + row * L, s->targets + from * L, L * sizeof *s->targets);
        return;
    }
    memcpy(to->x + row * L * in, s->x + from * L * in, L * in * sizeof *s->x);
    memcpy(to->y + row * L, s->y + from * L, L * sizeof *s->y);
    memcpy(to->weight + row * L, s->weight + from * L, L * sizeof *s->weight);
}

xlstm_batch sequences_gather(const sequences *s, sequences *to, const int64_t *row, int batch) {
    for (int b = 0; b < batch; b++)
        if (row[b] < 0)
            to->lengths[b] = 0;
        else
            copy_row(s, (size_t)row[b], to, (size_t)b);
    return (xlstm_batch){.struct_size = sizeof(xlstm_batch),
                         .tokens = to->tokens,
                         .targets = to->targets,
                         .inputs = to->x,
                         .outputs = to->y,
                         .weights = to->weight,
                         .lengths = to->lengths};
}

/* ---- by position ---- */

static positions positions_make(int length) {
    size_t bytes = (size_t)length * sizeof(double);
    return (positions){length, need(bytes), need(bytes), need(bytes), need(bytes)};
}

void positions_free(positions *p) {
    free(p->sum);
    free(p->count);
    free(p->last_sum);
    free(p->last_count);
}

double positions_mean(const double *sum, const double *count, int from, int to) {
    double s = 0, n = 0;
    for (int t = from; t < to; t++) {
        s += sum[t];
        n += count[t];
    }
    return n > 0 ? s / n : NAN;
}

json_t *positions_json(const positions *p) {
    json_t *list = json_array();
    for (int t = 0; t < p->length; t++)
        json_array_append_new(list, number(positions_mean(p->sum, p->count, t, t + 1)));
    return list;
}

/* Adds what the rows in hand gave: value[b, t] where weight counts. */
static void add_rows(positions *p, const sequences *hand, int batch, const xlstm_real *value) {
    for (int b = 0; b < batch; b++)
        for (int t = 0; t < hand->lengths[b]; t++) {
            size_t i = (size_t)b * (size_t)hand->length + (size_t)t;
            double weight = hand->in ? (double)hand->weight[i] : hand->targets[i] >= 0;
            if (weight == 0)
                continue;
            p->sum[t] += (double)value[i];
            p->count[t] += weight;
            if (t + 1 == hand->lengths[b]) {
                p->last_sum[t] += (double)value[i];
                p->last_count[t] += weight;
            }
        }
}

static void answers(const sequences *hand, int batch, const xlstm_real *logits, int vocabulary,
                    xlstm_real *value) {
    for (size_t i = 0; i < (size_t)batch * (size_t)hand->length; i++) {
        const xlstm_real *row = logits + i * (size_t)vocabulary;
        int best = 0;
        for (int v = 1; v < vocabulary; v++)
            best = row[v] > row[best] ? v : best;
        value[i] = best == hand->targets[i];
    }
}

static positions measure(xlstm_module *m, const sequences *s, int batch, int vocabulary) {
    xlstm_trainer_config tc;
    xlstm_trainer *tr;
    sequences hand;
    positions p = positions_make(s->length);
    size_t n = (size_t)batch * (size_t)s->length;
    int64_t *row = need((size_t)batch * sizeof *row);
    xlstm_real *value = need(n * sizeof *value), *logits = need(n * (size_t)vocabulary * sizeof *logits);
    xlstm_trainer_config_init(&tc);
    tc.batch = batch;
    tc.time = s->length;
    tc.gradients = vocabulary > 0; /* outputs come from a forward pass that keeps its tape */
    tc.dropout = 0;
    check(xlstm_trainer_create(&tr, m, &tc));
    sequences_make(&hand, batch, s->length, s->in);
    for (int first = 0; first < s->count; first += batch) {
        for (int b = 0; b < batch; b++)
            row[b] = first + b < s->count ? first + b : -1;
        xlstm_batch in_hand = sequences_gather(s, &hand, row, batch);
        in_hand.token_loss = value;
        check(vocabulary ? xlstm_trainer_forward(tr, &in_hand, logits)
                         : xlstm_trainer_evaluate(tr, &in_hand, NULL));
        if (vocabulary)
            answers(&hand, batch, logits, vocabulary, value);
        add_rows(&p, &hand, batch, value);
    }
    sequences_free(&hand);
    xlstm_trainer_free(tr);
    free(logits);
    free(value);
    free(row);
    return p;
}

positions positions_of_losses(xlstm_module *m, const sequences *s, int batch) {
    return measure(m, s, batch, 0);
}

positions positions_of_answers(xlstm_module *m, const sequences *s, int batch) {
    return measure(m, s, batch, xlstm_module_output_dim(m));
}

/* ---- the task ---- */

static int rows_of_step(task *base, uint64_t seed, int64_t step, int64_t *rows) {
    sequence_task *t = (sequence_task *)base;
    int batches = t->train.count / base->batch;
    int64_t epoch = step / batches, first = step % batches * base->batch;
    if (t->epoch != epoch || t->seed != seed) {
        uint64_t state = mixed(seed, (uint64_t)epoch, 1);
        for (int i = 0; i < t->train.count; i++)
            t->order[i] = i;
        shuffle(&state, t->order, t->train.count);
        t->epoch = epoch;
        t->seed = seed;
    }
    for (int b = 0; b < base->batch; b++)
        rows[b] = t->order[first + b];
    return 0;
}

static xlstm_batch batch_of_rows(task *base, const int64_t *rows) {
    sequence_task *t = (sequence_task *)base;
    return sequences_gather(&t->train, &t->hand, rows, base->batch);
}

static double validate(task *base, xlstm_module *m, size_t limit) {
    sequences valid = ((sequence_task *)base)->valid;
    if (limit && limit < (size_t)valid.count)
        valid.count = (int)limit;
    positions p = positions_of_losses(m, &valid, base->batch);
    double mean = positions_mean(p.sum, p.count, 0, p.length);
    positions_free(&p);
    return mean;
}

static unsigned long crc_of(const sequences *s) {
    size_t n = (size_t)s->count * (size_t)s->length;
    const void *part[] = {s->lengths, s->tokens, s->targets, s->x, s->y};
    size_t bytes[] = {(size_t)s->count * sizeof *s->lengths, n * sizeof *s->tokens, n * sizeof *s->targets,
                      n * (size_t)s->in * sizeof *s->x, n * sizeof *s->y};
    unsigned long crc = crc32(0, NULL, 0);
    for (int i = 0; i < 5; i++)
        if (part[i])
            crc = crc32_z(crc, part[i], bytes[i]);
    return crc;
}

static json_t *describe(const task *base) {
    const sequence_task *t = (const sequence_task *)base;
    json_int_t tests = 0, crc = 0;
    for (int i = 0; i < t->tests; i++) {
        tests += t->test[i].count;
        crc ^= (json_int_t)crc_of(&t->test[i]);
    }
    json_t *j = json_pack("{s:i, s:i, s:I, s:i, s:I, s:I, s:I}", "train_sequences", t->train.count,
                          "valid_sequences", t->valid.count, "test_sequences", tests, "longest_in_training",
                          t->train.length, "train_crc32", (json_int_t)crc_of(&t->train), "valid_crc32",
                          (json_int_t)crc_of(&t->valid), "test_crc32", crc);
    if (t->scored)
        json_object_set_new(j, "scored", json_string(t->scored));
    return j;
}

static int set_tensors(const sequences *s, const char *const names[6], xlstm_tensor *out) {
    int64_t count = s->count, length = s->length;
    out[0] =
        (xlstm_tensor){.name = names[0], .dtype = XLSTM_I32, .ndim = 1, .shape = {count}, .data = s->lengths};
    if (!s->in) {
        out[1] = (xlstm_tensor){
            .name = names[1], .dtype = XLSTM_I32, .ndim = 2, .shape = {count, length}, .data = s->tokens};
        out[2] = (xlstm_tensor){
            .name = names[2], .dtype = XLSTM_I32, .ndim = 2, .shape = {count, length}, .data = s->targets};
        return 3;
    }
    out[1] = (xlstm_tensor){
        .name = names[3], .dtype = XLSTM_F32, .ndim = 3, .shape = {count, length, s->in}, .data = s->x};
    out[2] = (xlstm_tensor){
        .name = names[4], .dtype = XLSTM_F32, .ndim = 2, .shape = {count, length}, .data = s->y};
    out[3] = (xlstm_tensor){
        .name = names[5], .dtype = XLSTM_F32, .ndim = 2, .shape = {count, length}, .data = s->weight};
    return 4;
}

#define SET_NAMES(set)                                                                                       \
    { set ".lengths", set ".tokens", set ".targets", set ".inputs", set ".outputs", set ".weights" }

static int tensors(const task *base, xlstm_tensor *out) {
    static const char *const names[][6] = {SET_NAMES("train"),  SET_NAMES("valid"),  SET_NAMES("test.0"),
                                           SET_NAMES("test.1"), SET_NAMES("test.2"), SET_NAMES("test.3")};
    const sequence_task *t = (const sequence_task *)base;
    int n = set_tensors(&t->train, names[0], out);
    n += set_tensors(&t->valid, names[1], out + n);
    for (int i = 0; i < t->tests; i++)
        n += set_tensors(&t->test[i], names[2 + i], out + n);
    return n;
}

void sequence_task_open(sequence_task *t, const options *o, const char *name, int tests) {
    *t = (sequence_task){.tests = tests, .epoch = -1};
    t->task = (task){.kind = result_kind_find(name),
                     .batch = o->p.batch,
                     .rows = rows_of_step,
                     .batch_of = batch_of_rows,
                     .validate = validate,
                     .describe = describe,
                     .tensors = tensors};
    t->test = need((size_t)tests * sizeof *t->test);
    if ((size_t)o->p.batch > o->p.train_size)
        die("--batch %d is more than the %zu sequences; give at most that", o->p.batch, o->p.train_size);
}

void sequence_task_ready(sequence_task *t) {
    t->task.time = t->train.length;
    t->order = need((size_t)t->train.count * sizeof *t->order);
    sequences_make(&t->hand, t->task.batch, t->train.length, t->train.in);
}

void sequence_task_close(task *base) {
    sequence_task *t = (sequence_task *)base;
    for (int i = 0; i < t->tests; i++)
        sequences_free(&t->test[i]);
    sequences_free(&t->train);
    sequences_free(&t->valid);
    sequences_free(&t->hand);
    free(t->test);
    free(t->order);
    free(t);
}
