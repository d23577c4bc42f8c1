/* speed_serve.c - one measurement: made ready, warmed up, and run once for each line of the input. */
#include "bandwidth.h"
#include "speed.h"
#include <math.h>
#ifdef XLSTM_SPEED_BLAS
#include <cblas.h>
#endif

enum { SGEMM = 2048 };

typedef struct job job;
struct job {
    request r;
    double (*work)(job *); /* units of work done */
    xlstm_module *m;
    xlstm_trainer *trainer;
    xlstm_optimizer *optimizer;
    xlstm_session *session;
    int32_t *tokens, *targets;
    xlstm_real *logits;
    float *matrices;
    double planned;
};

static int model_kind(const char *name, xlstm_block_kind *kind) {
    static const struct {
        const char *name;
        xlstm_block_kind kind;
    } models[] = {{"mlstm", XLSTM_MLSTM},     {"slstm", XLSTM_SLSTM},   {"mlstm-large", XLSTM_MLSTM_LARGE},
                  {"lstm", XLSTM_LSTM_PLAIN}, {"lstm-res", XLSTM_LSTM}, {"transformer", XLSTM_TRANSFORMER}};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (!strcmp(name, models[i].name)) {
            *kind = models[i].kind;
            return 1;
        }
    return 0;
}

static double train(job *j) {
    xlstm_batch b = {.struct_size = sizeof b, .tokens = j->tokens, .targets = j->targets};
    check(xlstm_trainer_backward(j->trainer, &b, NULL));
    check(xlstm_optimizer_step(j->optimizer, j->trainer, 1e-4f, NULL));
    return (double)j->r.batch * j->r.time;
}

static double forward(job *j) {
    check(xlstm_session_reset(j->session, -1));
    check(xlstm_session_tokens(j->session, j->tokens, j->r.time, j->logits));
    return (double)j->r.batch * j->r.time;
}

static double decode(job *j) {
    check(xlstm_session_tokens(j->session, j->tokens, 1, j->logits));
    return 1;
}

static void make_trainer(job *j) {
    xlstm_trainer_config tc;
    xlstm_optimizer_config oc;
    xlstm_trainer_config_init(&tc);
    tc.batch = j->r.batch;
    tc.time = j->r.time;
    xlstm_optimizer_config_init(&oc, XLSTM_ADAMW);
    check(xlstm_trainer_create(&j->trainer, j->m, &tc));
    check(xlstm_optimizer_create(&j->optimizer, j->m, &oc));
    xlstm_trainer_memory memory = xlstm_trainer_memory_of(j->trainer);
    j->planned = (double)(memory.tape + memory.temporary + memory.gradients + memory.state);
    j->work = train;
}

static void make_session(job *j, int streams, int max_tokens) {
    check(xlstm_session_create(&j->session, j->m, streams, max_tokens));
    j->logits = need((size_t)streams * (size_t)max_tokens * (size_t)j->r.vocab * sizeof *j->logits);
}

/* Single tokens behind a prompt, so that attention has a full window to look at. */
static void make_decoder(job *j) {
    make_session(j, 1, 1);
    check(xlstm_session_prompt(j->session, j->tokens, j->r.time, NULL));
    j->work = decode;
}

xlstm_config model_config(const request *r) {
    xlstm_block_kind kind;
    xlstm_config c;
    if (!model_kind(r->model, &kind))
        die("model %s is unknown", r->model);
    xlstm_config_init(&c, kind);
    c.vocab_size = r->vocab;
    c.embedding_dim = r->width;
    c.num_blocks = r->blocks;
    c.num_heads = r->heads;
    c.context_length = r->time;
    return c;
}

static void make_model(job *j) {
    const request *r = &j->r;
    const xlstm_config c = model_config(r);
    check(xlstm_model_create(&j->m, &c, 1));
    xlstm_weights weights = (xlstm_weights)option_choice("weights", r->weights, weights_choices);
    if (weights != XLSTM_WEIGHTS_REAL) {
        xlstm_module *smaller;
        check(xlstm_module_quantize(&smaller, j->m, weights));
        xlstm_module_free(j->m);
        j->m = smaller;
    }
}

static void make_tokens(job *j) {
    size_t count = (size_t)j->r.batch * (size_t)j->r.time;
    uint64_t x = 1;
    j->tokens = need(count * sizeof *j->tokens);
    j->targets = need(count * sizeof *j->targets);
    for (size_t i = 0; i < 2 * count; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        (i < count ? j->tokens : j->targets - count)[i] = (int32_t)((x >> 33) % (uint64_t)j->r.vocab);
    }
}

/* ---- the machine ---- */

#ifdef XLSTM_SPEED_BLAS
extern void openblas_set_num_threads(int) __attribute__((weak));
extern char *openblas_get_corename(void) __attribute__((weak));

const char *blas_core(void) {
    return openblas_get_corename ? openblas_get_corename() : NULL;
}

static double sgemm(job *j) {
    const float *a = j->matrices, *b = a + SGEMM * SGEMM;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, SGEMM, SGEMM, SGEMM, 1, a, SGEMM, b, SGEMM, 0,
                j->matrices + 2 * SGEMM * SGEMM, SGEMM);
    return 2.0 * SGEMM * SGEMM * SGEMM;
}

static void make_sgemm(job *j) {
    size_t count = 3 * (size_t)SGEMM * SGEMM;
    j->matrices = need(count * sizeof *j->matrices);
    for (size_t i = 0; i < count; i++)
        j->matrices[i] = (float)(i % 7) - 3;
    if (openblas_set_num_threads)
        openblas_set_num_threads(j->r.threads);
    j->work = sgemm;
}
#else
const char *blas_core(void) {
    return NULL;
}

static void make_sgemm(job *j) {
    (void)j;
    die("this build has no BLAS to measure");
}
#endif

/* ---- the conversation ---- */

static void sample(job *j, int times, double *seconds, double *units) {
    if (!j->work) { /* it times itself, since it also makes its memory ready */
        *seconds = 1;
        *units = read_bandwidth(j->r.threads);
        return;
    }
    double start = now();
    *units = 0;
    for (int i = 0; i < times; i++)
        *units += j->work(j);
    *seconds = now() - start;
}

/* Returns how many make a sample. */
static int warm_up(job *j) {
    double seconds, units;
    int times = 1;
    if (!j->work)
        return 1;
    sample(j, 1, &seconds, &units);
    for (int round = 0; round < 3 && seconds < j->r.seconds; round++) {
        sample(j, times, &seconds, &units);
        if (seconds < j->r.seconds)
            times = (int)ceil(j->r.seconds * times / seconds);
    }
    return times;
}

/* One sample under the profile: FLOP of a unit of work, and time and work of every op. */
static json_t *profile(job *j, int times, double *flops) {
    double seconds, units;
    json_t *ops = json_array();
    xlstm_profile_op op;
    *flops = 0;
    if (!j->m)
        return ops;
    xlstm_profile_start();
    sample(j, times, &seconds, &units);
    xlstm_profile_stop();
    for (int i = 0; i < xlstm_profile_count(); i++) {
        check(xlstm_profile_get(i, &op));
        *flops += op.flops / units;
        if (op.calls)
            json_array_append_new(ops, json_pack("{s:s,s:f,s:f,s:f,s:f}", "op", op.name, "calls",
                                                 (double)op.calls / times, "share", op.seconds / seconds,
                                                 "flops", op.flops / op.seconds, "bytes_per_second",
                                                 op.bytes / op.seconds));
    }
    return ops;
}

static void prepare(job *j) {
    check(xlstm_set_threads(j->r.threads));
    if (!strcmp(j->r.measure, "sgemm")) {
        make_sgemm(j);
    } else if (strcmp(j->r.measure, "read") != 0) {
        make_model(j);
        make_tokens(j);
        if (!strcmp(j->r.measure, "train")) {
            make_trainer(j);
        } else if (!strcmp(j->r.measure, "forward")) {
            make_session(j, j->r.batch, j->r.time);
            j->work = forward;
        } else {
            make_decoder(j);
        }
    }
}

/* What decoding a token reads and writes: weights, and all of the state, of which attention only writes a
 * row. */
static double decoded_bytes(const job *j) {
    double state = (double)xlstm_session_state_size(j->session) * sizeof(xlstm_real);
    return weight_bytes(j->m) + (strcmp(j->r.model, "transformer") ? 2 : 1) * state;
}

static json_t *read_line(void) {
    char *line = NULL;
    size_t room = 0;
    json_t *j = getline(&line, &room, stdin) > 0 ? json_loads(line, 0, NULL) : NULL;
    free(line);
    return j;
}

static void say(json_t *j) {
    json_dumpf(j, stdout, 0);
    putchar('\n');
    fflush(stdout);
    json_decref(j);
}

int serve(void) {
    job j = {0};
    double flops;
    request *r = &j.r;
    json_t *asked = read_line();
    if (json_unpack(asked, "{s:s,s:s,s:s,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:F}", "model", &r->model, "measure",
                    &r->measure, "weights", &r->weights, "width", &r->width, "blocks", &r->blocks, "heads",
                    &r->heads, "batch", &r->batch, "time", &r->time, "vocab", &r->vocab, "threads",
                    &r->threads, "seconds", &r->seconds))
        die("--serve is for the program itself: it reads requests as bench/speed.h has them");
    prepare(&j);
    int times = warm_up(&j);
    json_t *ops = profile(&j, times, &flops);
    say(json_pack("{s:b,s:o,s:f,s:f,s:f,s:f}", "ready", 1, "profile", ops, "flops", flops, "parameters",
                  j.m ? (double)xlstm_module_size(j.m) : 0.0, "bytes",
                  !strcmp(r->measure, "decode") ? decoded_bytes(&j) : 0.0, "planned", j.planned));
    for (int c = getchar(); c != EOF; c = getchar()) {
        double seconds, units;
        if (c != '\n')
            continue;
        sample(&j, times, &seconds, &units);
        say(json_pack("{s:f,s:f}", "seconds", seconds, "units", units));
    }
    xlstm_session_free(j.session);
    xlstm_optimizer_free(j.optimizer);
    xlstm_trainer_free(j.trainer);
    xlstm_module_free(j.m);
    free(j.tokens);
    free(j.targets);
    free(j.logits);
    free(j.matrices);
    json_decref(asked);
    return 0;
}
