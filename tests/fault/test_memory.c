/* Every allocation, the library's and jansson's, is refused in turn, the first, the second, ..., until an
 * operation succeeds. Each time: XLSTM_E_MEMORY with a sentence, NULL where something was to be made, every
 * block given back; and what then succeeds gives the numbers of an undisturbed run. */
#include "forecast/network.h"
#include "support/kinds.h"
#include "support/random.h"
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { B = 2, T = 6 };

static struct {
    long blocks, calls, refuse; /* refuse: the call that gets NULL; 0: none */
    int building;               /* no JSON is parsed: jansson's small blocks are refused too */
    int lasting;                /* and all after it */
} heap;

static void *give(void *context, size_t bytes) {
    (void)context;
    int refused = ++heap.calls == heap.refuse || (heap.lasting && heap.refuse && heap.calls > heap.refuse);
    void *block = refused ? NULL : malloc(bytes);
    heap.blocks += block != NULL;
    return block;
}

static void take_back(void *context, void *block) {
    (void)context;
    heap.blocks -= block != NULL;
    free(block);
}

/* jansson's parser cannot bear it (see file/json.c), so while files are read its small blocks are left alone.
 */
static void *give_json(size_t bytes) {
    if (heap.building || bytes >= 65536)
        return give(NULL, bytes);
    heap.blocks++;
    return malloc(bytes);
}

static void take_back_json(void *block) {
    take_back(NULL, block);
}

static char folder[] = "/tmp/xlstm_memory_XXXXXX", run_path[64];

/* An operation frees what it made, and says in `number` what came out. */
typedef xlstm_status operation(const void *argument, double *number);

static char said[512];

static xlstm_status noted(xlstm_status status) {
    if (status != XLSTM_OK)
        snprintf(said, sizeof said, "%s", xlstm_last_error());
    return status;
}

/* What came of it: want of memory, or, where something did without, all that was wanted. */
static void judge(const char *name, xlstm_status status, double number, double expected, long lost) {
    if (status != XLSTM_OK && (status != XLSTM_E_MEMORY || !strstr(said, "memory")))
        fail_msg("%s, allocation %ld refused: status %d, \"%s\"", name, heap.refuse, status, said);
    if (status == XLSTM_OK && number != expected)
        fail_msg("%s, allocation %ld refused: %.17g, %.17g without", name, heap.refuse, number, expected);
    if (lost)
        fail_msg("%s, allocation %ld refused: %ld blocks are lost", name, heap.refuse, lost);
}

/* Refuses one allocation, or all from there on, until there are no more of them. */
static void sweep(const char *name, operation *run, const void *argument) {
    double expected = 0, number = 0;
    long before = heap.blocks, failures = 0;
    heap.refuse = 0;
    assert_int_equal(run(argument, &expected), XLSTM_OK);
    assert_int_equal(heap.blocks, before);
    for (heap.lasting = 0; heap.lasting < 2; heap.lasting++) {
        int reached = 1;
        for (heap.refuse = 1; reached; heap.refuse++) {
            heap.calls = 0;
            snprintf(said, sizeof said, "nothing");
            xlstm_status status = run(argument, &number);
            reached = heap.calls >= heap.refuse;
            judge(name, status, number, expected, heap.blocks - before);
            failures += status != XLSTM_OK;
            if (heap.lasting && reached)
                assert_int_equal(status, XLSTM_E_MEMORY);
        }
    }
    printf("%-28s %5ld allocations, %5ld failures\n", name, heap.refuse - 2, failures);
    assert_true(failures > 2);
    heap.refuse = 0;
}

/* Remembers the first failure and goes on only without one. A handle is there exactly after a success. */
#define THEN(status, call)                                                                                   \
    do {                                                                                                     \
        if ((status) == XLSTM_OK)                                                                            \
            (status) = noted(call);                                                                          \
    } while (0)
#define MADE(status, out, call)                                                                              \
    do {                                                                                                     \
        if ((status) == XLSTM_OK) {                                                                          \
            (out) = (void *)(uintptr_t)64;                                                                   \
            (status) = noted(call);                                                                          \
            assert_int_equal((status) == XLSTM_OK, (out) != NULL);                                           \
        }                                                                                                    \
    } while (0)

/* ---- modules ---- */

static xlstm_status all_numbers(const xlstm_module *m, double *sum) {
    *sum = 0;
    for (int i = 0; i < xlstm_module_parameter_count(m); i++) {
        xlstm_parameter p;
        xlstm_module_parameter(m, i, &p);
        xlstm_real *x = malloc(p.count * sizeof *x);
        xlstm_status status = xlstm_module_read(m, i, x);
        for (size_t k = 0; k < p.count; k++)
            *sum = *sum * 0.999 + (double)x[k];
        free(x);
        if (status != XLSTM_OK)
            return status;
    }
    return XLSTM_OK;
}

static xlstm_status serve(const xlstm_module *m, double *number) {
    xlstm_session *s = NULL, *fork = NULL;
    xlstm_real x[B * T * 12] = {0}, y[B * T * 12];
    int32_t tokens[B * T] = {1, 2, 3};
    xlstm_status status = XLSTM_OK;
    MADE(status, s, xlstm_session_create(&s, m, B, 4));
    MADE(status, fork, xlstm_session_fork(&fork, s));
    THEN(status, xlstm_module_input_dim(m) ? xlstm_session_vectors(fork, x, T, y)
                                           : xlstm_session_tokens(fork, tokens, T, y));
    *number = (double)y[1];
    xlstm_session_free(s);
    xlstm_session_free(fork);
    return status;
}

static xlstm_status train(xlstm_module *m, double *number) {
    xlstm_trainer *tr = NULL;
    xlstm_optimizer *opt = NULL;
    xlstm_trainer_config tc;
    xlstm_optimizer_config oc;
    xlstm_loss loss = {0};
    xlstm_real x[B * T * 12], y[B * T * 12];
    int32_t tokens[B * T];
    xlstm_status status = XLSTM_OK;
    fill_normal(x, B * T * 12, 1, 1);
    fill_normal(y, B * T * 12, 1, 2);
    fill_tokens(tokens, B * T, 11, 3);
    const xlstm_batch b = {
        .struct_size = sizeof b, .tokens = tokens, .targets = tokens, .inputs = x, .outputs = y};
    xlstm_trainer_config_init(&tc);
    xlstm_optimizer_config_init(&oc, XLSTM_ADAMW);
    tc.batch = B;
    tc.time = T;
    MADE(status, tr, xlstm_trainer_create(&tr, m, &tc));
    MADE(status, opt, xlstm_optimizer_create(&opt, m, &oc));
    for (int i = 0; i < 2; i++) {
        THEN(status, xlstm_trainer_backward(tr, &b, &loss));
        THEN(status, xlstm_optimizer_step(opt, tr, 0.01f, NULL));
    }
    *number = loss.sum;
    xlstm_trainer_free(tr);
    xlstm_optimizer_free(opt);
    return status;
}

/* Create, serve, quantize, train. */
static xlstm_status live(const void *argument, double *number) {
    xlstm_module *m = NULL, *small = NULL;
    double served = 0, packed = 0, trained = 0;
    char name[64];
    xlstm_status status = XLSTM_OK;
    MADE(status, m, create_kind(&m, *(const int *)argument, name, 1));
    THEN(status, serve(m, &served));
    if (status == XLSTM_OK && xlstm_module_config(m) && !strncmp(name, "model", 5)) {
        MADE(status, small, xlstm_module_quantize(&small, m, XLSTM_WEIGHTS_INT8));
        THEN(status, serve(small, &packed));
    }
    THEN(status, train(m, &trained));
    *number = served + packed + trained;
    xlstm_module_free(m);
    xlstm_module_free(small);
    return status;
}

static void test_kinds(void **state) {
    (void)state;
    for (int kind = 0; kind < TEST_KINDS; kind++) {
        char name[64];
        xlstm_module *m;
        assert_int_equal(create_kind(&m, kind, name, 1), XLSTM_OK);
        xlstm_module_free(m);
        sweep(name, live, &kind);
    }
}

/* ---- files ---- */

typedef struct {
    const char *directory;
    xlstm_weights weights;
} source;

static xlstm_status load(const void *argument, double *number) {
    const source *from = argument;
    char path[256];
    xlstm_module *m = NULL;
    xlstm_status status = XLSTM_OK;
    snprintf(path, sizeof path, "%s/%s", DATA, from->directory);
    MADE(status, m, xlstm_module_load_as(&m, path, from->weights));
    THEN(status, all_numbers(m, number));
    xlstm_module_free(m);
    return status;
}

static void test_loading(void **state) {
    (void)state;
    static const source sources[] = {
        {"mixed_bias_tied", XLSTM_WEIGHTS_REAL}, {"cuda_clip", XLSTM_WEIGHTS_REAL},
        {"large_shards", XLSTM_WEIGHTS_REAL},    {"hf_fused_shards", XLSTM_WEIGHTS_REAL},
        {"hf_small", XLSTM_WEIGHTS_BF16},        {"mlstm_small", XLSTM_WEIGHTS_INT8},
    };
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
        sweep(sources[i].directory, load, &sources[i]);
}

/* Weights of a module that has others; a failure leaves those. */
static xlstm_status load_weights(const void *argument, double *number) {
    const source *from = argument;
    char path[256];
    double before, after;
    xlstm_config c;
    xlstm_module *m = NULL;
    long refuse = heap.refuse;
    heap.refuse = 0;
    snprintf(path, sizeof path, "%s/%s", DATA, from->directory);
    assert_int_equal(xlstm_config_load(path, &c), XLSTM_OK);
    c.weights = from->weights;
    assert_int_equal(xlstm_model_create(&m, &c, 1), XLSTM_OK);
    assert_int_equal(all_numbers(m, &before), XLSTM_OK);
    heap.refuse = refuse;
    heap.calls = 0;
    strcat(path, "/weights.safetensors");
    xlstm_status status = noted(xlstm_module_load_weights(m, path));
    long calls = heap.calls;
    heap.refuse = 0;
    assert_int_equal(all_numbers(m, &after), XLSTM_OK);
    assert_true(status == XLSTM_OK ? after != before : after == before);
    *number = after;
    xlstm_module_free(m);
    heap.refuse = refuse;
    heap.calls = calls;
    return status;
}

static void test_loading_weights(void **state) {
    (void)state;
    static const source sources[] = {{"cuda_clip", XLSTM_WEIGHTS_REAL},
                                     {"cuda_clip", XLSTM_WEIGHTS_BF16},
                                     {"mixed_bias_tied", XLSTM_WEIGHTS_INT8}};
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
        sweep("load_weights", load_weights, &sources[i]);
}

/* What a refused save leaves is the model that was there before. */
static xlstm_status save(const void *argument, double *number) {
    double before;
    xlstm_module *there = NULL;
    xlstm_status status = noted(xlstm_module_save(argument, folder));
    long refuse = heap.refuse, calls = heap.calls;
    heap.refuse = 0;
    assert_int_equal(xlstm_module_load(&there, folder), XLSTM_OK);
    assert_int_equal(all_numbers(there, number), XLSTM_OK);
    assert_int_equal(all_numbers(argument, &before), XLSTM_OK);
    assert_true(*number == before);
    xlstm_module_free(there);
    heap.refuse = refuse;
    heap.calls = calls;
    return status;
}

static void remove_model(void) {
    static const char *const names[] = {"config.json", "weights.safetensors", "model.safetensors"};
    for (int i = 0; i < 3; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
}

static void test_saving(void **state) {
    (void)state;
    heap.building = 1;
    static const char *const models[] = {"cuda_clip", "hf_fused_shards"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char path[256];
        xlstm_module *m;
        snprintf(path, sizeof path, "%s/%s", DATA, models[i]);
        assert_int_equal(xlstm_module_load(&m, path), XLSTM_OK);
        sweep(models[i], save, m);
        xlstm_module_free(m);
        remove_model();
    }
    xlstm_config c = small_config(XLSTM_TRANSFORMER); /* the library's own format */
    xlstm_module *m;
    assert_int_equal(xlstm_model_create(&m, &c, 1), XLSTM_OK);
    sweep("own format", save, m);
    heap.building = 0;
    xlstm_module_free(m);
    remove_model();
}

/* ---- text ---- */

static xlstm_status tokenize(const void *argument, double *number) {
    static const char text[] = "a<|padding|>b e\xcc\x81\xcc\xa3 don't  \n";
    xlstm_tokenizer *t = NULL;
    int32_t tokens[64];
    char back[256];
    size_t count = 0, bytes = 0;
    xlstm_status status = XLSTM_OK;
    if (argument)
        MADE(status, t, xlstm_tokenizer_load(&t, argument));
    else
        MADE(status, t, xlstm_tokenizer_from_text(&t, text, sizeof text - 1));
    THEN(status, xlstm_tokenizer_encode(t, text, sizeof text - 1, tokens, 64, &count));
    THEN(status, xlstm_tokenizer_decode(t, tokens, count, NULL, back, sizeof back, &bytes));
    *number = (double)(count * 1000 + bytes);
    xlstm_tokenizer_free(t);
    return status;
}

static void test_tokenizers(void **state) {
    (void)state;
    sweep("tokenizer.json", tokenize, TOKENIZER);
    sweep("words", tokenize, NULL);
}

static xlstm_status generate(const void *argument, double *number) {
    xlstm_session *s = NULL;
    xlstm_sampler *sampler = NULL;
    xlstm_sampling rule;
    int32_t tokens[8] = {0};
    xlstm_status status = XLSTM_OK;
    const xlstm_generation g = {
        .struct_size = sizeof g, .prompt = tokens, .prompt_tokens = 3, .max_tokens = 5, .tokens = tokens + 3};
    xlstm_sampling_init(&rule);
    MADE(status, s, xlstm_session_create(&s, argument, 1, 4));
    MADE(status, sampler, xlstm_sampler_create(&sampler, &rule, 11));
    THEN(status, xlstm_generate(s, sampler, &g, NULL));
    *number = 0;
    for (int i = 0; i < 8; i++)
        *number = *number * 11 + tokens[i];
    xlstm_session_free(s);
    xlstm_sampler_free(sampler);
    return status;
}

static void test_generation(void **state) {
    (void)state;
    xlstm_config c = small_config(XLSTM_MLSTM);
    xlstm_module *m;
    assert_int_equal(xlstm_model_create(&m, &c, 1), XLSTM_OK);
    sweep("generation", generate, m);
    xlstm_module_free(m);
}

/* ---- recurrences on plain arrays ---- */

static xlstm_status run_recurrence(const void *argument, double *number) {
    xlstm_real in[B * T * 4] = {1, 2, -1}, R[4] = {1}, h[B * T] = {0};
    xlstm_recurrence_config c;
    xlstm_recurrence *r;
    xlstm_recurrence_config_init(&c, *(const xlstm_cell_kind *)argument);
    c.batch = B;
    c.time = T;
    c.head_size = 1;
    xlstm_status status = noted(xlstm_recurrence_create(&r, &c));
    if (status != XLSTM_OK)
        assert_null(r);
    THEN(status, c.kind == XLSTM_CELL_MLSTM
                     ? xlstm_mlstm_forward(r, NULL, &(xlstm_mlstm_inputs){in, in, in, in, in}, h)
                     : xlstm_rnn_forward(r, NULL, in, R, h));
    *number = h[0] + 2 * (double)h[B * T - 1];
    xlstm_recurrence_free(r);
    return status;
}

static void test_recurrences(void **state) {
    (void)state;
    for (xlstm_cell_kind kind = 0; kind < XLSTM_CELL_KINDS; kind++)
        sweep("recurrence", run_recurrence, &kind);
}

/* ---- networks of forecasts ---- */

enum {
    SERIES = 3,
    TOKENS = 5,
    WANTED = 2,
    ENTRY = 4
}; /* two in a group, and one whose first token is padding */

static struct xl_forecast_config forecast_config(void) {
    struct xl_forecast_config c;
    xl_forecast_config_init(&c);
    c.num_blocks = 2;
    c.embedding_dim = 8;
    c.patch_size = ENTRY / 2;
    c.context_len = 6;
    c.future_len = 4;
    c.num_quantiles = 1;
    c.input_ff_dim = c.h_expand = 1;
    for (int i = 0; i < 2; i++)
        c.block[i] = (struct xl_forecast_block){i, 2, 2};
    return c;
}

static xlstm_status forecast_and_train(xl_forecast_network *net, double *number) {
    static const int group[SERIES] = {0, 0, 1}, padding[SERIES] = {0, 0, 1};
    static const unsigned char target[SERIES] = {1, 0, 1}, known[SERIES] = {0, 1, 0};
    const struct xl_forecast_rows rows = {SERIES, TOKENS, group, target, known, padding, 2, WANTED};
    static xlstm_real tokens[SERIES * TOKENS * ENTRY], head[2 * WANTED * ENTRY];
    xl_forecast_run *run = NULL;
    xl_forecast_trainer *tr = NULL;
    fill_normal(tokens, SERIES * TOKENS * ENTRY, 1, 3);
    xlstm_status status = noted(xl_forecast_run_create(&run, net, SERIES, TOKENS));
    THEN(status, xl_forecast_network_run(run, &rows, tokens, head));
    THEN(status, xl_forecast_trainer_create(&tr, net, SERIES, TOKENS));
    THEN(status, xl_forecast_trainer_run(tr, &rows, tokens, tokens, 1, number, NULL));
    for (int i = 0; status == XLSTM_OK && i < 2 * WANTED * ENTRY / 2; i++)
        *number += (double)head[i];
    xl_forecast_trainer_free(tr);
    xl_forecast_run_free(run);
    return status;
}

static xlstm_status run_forecast(const void *argument, double *number) {
    xl_forecast_network *net = NULL;
    xlstm_status status = noted(xl_forecast_network_create(&net, argument, 1));
    if (status == XLSTM_OK)
        status = forecast_and_train(net, number);
    else
        assert_null(net);
    xl_forecast_network_free(net);
    return status;
}

static void test_forecast_networks(void **state) {
    (void)state;
    struct xl_forecast_config c = forecast_config();
    heap.building = 1;
    sweep("forecast, network", run_forecast, &c);
    heap.building = 0;
}

/* ---- training checkpoints ---- */

typedef struct {
    xlstm_module *m;
    xlstm_trainer *tr;
    xlstm_optimizer *opt;
} training;

static xlstm_status save_run(const void *argument, double *number) {
    const training *r = argument;
    *number = (double)xlstm_optimizer_steps(r->opt);
    unlink(run_path);
    return noted(xlstm_checkpoint_save(run_path, r->tr, r->opt, "abc", 4));
}

/* A refused load has changed nothing. */
static xlstm_status load_run(const void *argument, double *number) {
    const training *r = argument;
    char user[4];
    double before, after;
    xlstm_checkpoint_info info = {.struct_size = sizeof info};
    assert_int_equal(all_numbers(r->m, &before), XLSTM_OK);
    xlstm_status status = noted(xlstm_checkpoint_peek(run_path, &info, NULL, 0));
    THEN(status, xlstm_checkpoint_load(run_path, r->tr, r->opt, user, sizeof user));
    assert_int_equal(all_numbers(r->m, &after), XLSTM_OK);
    assert_true(after == before);
    *number = after;
    return status;
}

/* ---- forecasts ---- */

static xlstm_status forecast(const void *argument, double *number) {
    static const double value[] = {1, 2, 1, 3, 1, 2};
    double out[9 * 12];
    const xlstm_series s = {.dtype = XLSTM_F64, .length = 6, .targets = 1, .target = value};
    xlstm_forecast one = {.quantiles = out};
    xlstm_forecast_options o;
    xlstm_forecaster *f = NULL;
    xlstm_forecast_options_init(&o);
    o.horizon = 12; /* beyond the model's 4 */
    o.roll = 1;
    xlstm_status status = noted(xlstm_forecaster_create(&f, (void *)(uintptr_t)argument, 2));
    if (status == XLSTM_OK)
        status = noted(xlstm_forecaster_run(f, &o, &s, 1, &one));
    *number = status == XLSTM_OK ? out[9 * 12 - 1] : 0;
    xlstm_forecaster_free(f);
    return status;
}

static void test_forecasts(void **state) {
    (void)state;
    struct xl_forecast_config c;
    xlstm_forecast_model *m;
    xl_forecast_config_init(&c);
    c.num_blocks = 2;
    c.embedding_dim = c.input_ff_dim = 8;
    c.patch_size = c.future_len = 4;
    c.context_len = 16;
    assert_int_equal(xl_forecast_network_create(&m, &c, 1), XLSTM_OK);
    sweep("forecast", forecast, m);
    xlstm_forecast_model_free(m);
}

static void test_checkpoints(void **state) {
    (void)state;
    training r;
    xlstm_config c = small_config(XLSTM_SLSTM);
    xlstm_trainer_config tc;
    xlstm_optimizer_config oc;
    xlstm_trainer_config_init(&tc);
    xlstm_optimizer_config_init(&oc, XLSTM_ADAMW);
    tc.batch = B;
    tc.time = T;
    tc.carry_state = 1;
    assert_int_equal(xlstm_model_create(&r.m, &c, 1), XLSTM_OK);
    assert_int_equal(xlstm_trainer_create(&r.tr, r.m, &tc), XLSTM_OK);
    assert_int_equal(xlstm_optimizer_create(&r.opt, r.m, &oc), XLSTM_OK);
    heap.building = 1;
    sweep("checkpoint, saving", save_run, &r);
    heap.building = 0;
    sweep("checkpoint, loading", load_run, &r);
    xlstm_trainer_free(r.tr);
    xlstm_optimizer_free(r.opt);
    xlstm_module_free(r.m);
    unlink(run_path);
}

static int setup(void **state) {
    (void)state;
    json_set_alloc_funcs(give_json, take_back_json);
    snprintf(run_path, sizeof run_path, "%s/run", mkdtemp(folder));
    return xlstm_set_allocator(give, take_back, NULL);
}

static int teardown(void **state) {
    (void)state;
    return rmdir(folder) || heap.blocks; /* nothing is left beside the files either */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),           cmocka_unit_test(test_loading),
        cmocka_unit_test(test_loading_weights), cmocka_unit_test(test_saving),
        cmocka_unit_test(test_tokenizers),      cmocka_unit_test(test_generation),
        cmocka_unit_test(test_checkpoints),     cmocka_unit_test(test_recurrences),
        cmocka_unit_test(test_forecasts),       cmocka_unit_test(test_forecast_networks),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
