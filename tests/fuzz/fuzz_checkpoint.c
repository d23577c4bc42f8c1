/* A training checkpoint. First byte even: the rest is the file. Odd: the rest are edits (place, value) of a
 * good file, none of which may pass. Whatever is refused leaves the run as it was. */
#include "fuzz/fuzz.h"

enum { USER = 8 };

typedef struct {
    xlstm_module *m;
    xlstm_trainer *tr;
    xlstm_optimizer *opt;
    char *good; /* its checkpoint */
    size_t size;
} run;

static void train(run *r) {
    const int32_t tokens[] = {0, 1, 2, 0};
    const xlstm_batch b = {.struct_size = sizeof b, .tokens = tokens, .targets = tokens};
    MUST(went_well(xlstm_trainer_backward(r->tr, &b, NULL)));
    MUST(went_well(xlstm_optimizer_step(r->opt, r->tr, 0.1f, NULL)));
}

static void start(run *r) {
    char path[FUZZ_PATH];
    xlstm_config c;
    xlstm_trainer_config tc;
    xlstm_optimizer_config oc;
    xlstm_config_init(&c, XLSTM_LSTM_PLAIN);
    xlstm_trainer_config_init(&tc);
    xlstm_optimizer_config_init(&oc, XLSTM_ADAMW);
    c.vocab_size = 3;
    c.embedding_dim = c.num_heads = c.num_blocks = tc.batch = tc.carry_state = 1;
    tc.time = 4;
    MUST(went_well(xlstm_model_create(&r->m, &c, 1)) && went_well(xlstm_trainer_create(&r->tr, r->m, &tc)) &&
         went_well(xlstm_optimizer_create(&r->opt, r->m, &oc)));
    train(r);
    fuzz_file(path, "a.ckpt", "", 0);
    unlink(path);
    MUST(went_well(xlstm_checkpoint_save(path, r->tr, r->opt, "12345678", USER)));
    r->good = fuzz_read(path, &r->size);
    train(r); /* so that a load has something to change */
}

/* All numbers of the module, and the count of updates. */
static uint64_t fingerprint(const run *r) {
    uint64_t sum = (uint64_t)xlstm_optimizer_steps(r->opt);
    for (int i = 0; i < xlstm_module_parameter_count(r->m); i++) {
        xlstm_parameter p;
        xlstm_module_parameter(r->m, i, &p);
        xlstm_real *w = malloc(p.count * sizeof *w);
        MUST(w && went_well(xlstm_module_read(r->m, i, w)));
        for (size_t k = 0; k < p.count; k++) {
            uint32_t bits;
            memcpy(&bits, &w[k], sizeof bits);
            sum = sum * 31 + bits;
        }
        free(w);
    }
    return sum;
}

static void load(run *r, const char *bytes, size_t size) {
    char path[FUZZ_PATH], user[USER] = "";
    xlstm_checkpoint_info info = {.struct_size = sizeof info};
    uint64_t before = fingerprint(r);
    int same = size == r->size && !memcmp(bytes, r->good, size);
    fuzz_file(path, "a.ckpt", bytes, size);
    went_well(xlstm_checkpoint_peek(path, &info, user, sizeof user));
    memset(user, 0, sizeof user);
    if (went_well(xlstm_checkpoint_load(path, r->tr, r->opt, user, sizeof user))) {
        MUST(same && !memcmp(user, "12345678", USER));
        train(r);
    } else {
        MUST(!same && !*user && fingerprint(r) == before);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static run r;
    if (!r.m)
        start(&r);
    if (!size)
        return 0;
    if (*data % 2 == 0) {
        load(&r, (const char *)data + 1, size - 1);
        return 0;
    }
    char *bytes = malloc(r.size);
    size_t length = r.size;
    MUST(bytes);
    memcpy(bytes, r.good, r.size);
    for (size_t i = 1; i + 2 < size; i += 3) {
        size_t at = (size_t)data[i] << 8 | data[i + 1];
        if (at < r.size)
            bytes[at] = (char)data[i + 2];
        else
            length = at % (r.size + 1);
    }
    load(&r, bytes, length);
    free(bytes);
    return 0;
}
