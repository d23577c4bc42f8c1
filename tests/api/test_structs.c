/* Programs that were compiled against a header of another age: shorter structs, with what followed them in
 * memory full of dirt, and longer ones. */
#include "base/structs.h"
#include "forecast/network.h"
#include "xlstm.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { B = 2, T = 3, V = 11 };

/* A struct as an older or newer program has it: `size` bytes of it, then dirt. Exactly as large as it says
 * where the sanitizer looks. */
static void *aged(const void *now, size_t now_size, size_t size) {
    size_t room = size > now_size ? size : now_size;
    unsigned char *p = malloc(room);
    memset(p, 0, room);
    memcpy(p, now, now_size);
    memset(p + size, 0xa5, room - size);
    memcpy(p, &size, sizeof size);
    return p;
}

static xlstm_config model_config(void) {
    xlstm_config c;
    xlstm_config_init(&c, XLSTM_MLSTM);
    c.embedding_dim = 12, c.num_heads = 2, c.vocab_size = V;
    return c;
}

static xlstm_module *make_model(void) {
    xlstm_module *m;
    xlstm_config c = model_config();
    assert_int_equal(xlstm_model_create(&m, &c, 1), XLSTM_OK);
    return m;
}

static xlstm_status try_config(const void *p) {
    xlstm_module *m = NULL, *block = NULL;
    xlstm_status status = xlstm_config_check(p), created = xlstm_model_create(&m, p, 1),
                 block_created = xlstm_block_create(&block, p, 1);
    assert_int_equal(status, created);
    assert_int_equal(status, block_created);
    if (m) { /* what the program did not know is as if it had left it alone */
        xlstm_config plain = model_config();
        const xlstm_config *c = xlstm_module_config(m);
        assert_int_equal(c->struct_size, sizeof *c);
        assert_memory_equal(&c->mlstm_inner, &plain.mlstm_inner,
                            sizeof plain - offsetof(xlstm_config, mlstm_inner));
    }
    xlstm_module_free(m);
    xlstm_module_free(block);
    return status;
}

static xlstm_status try_cell(const void *p) {
    xlstm_module *m = NULL;
    xlstm_status status = xlstm_cell_create(&m, p, 1);
    xlstm_module_free(m);
    return status;
}

static xlstm_status try_recurrence(const void *p) {
    xlstm_recurrence *r = NULL;
    xlstm_status status = xlstm_recurrence_create(&r, p);
    xlstm_recurrence_free(r);
    return status;
}

static xlstm_status try_trainer(const void *p) {
    xlstm_module *m = make_model();
    xlstm_trainer *tr = NULL;
    xlstm_status status = xlstm_trainer_create(&tr, m, p);
    xlstm_trainer_free(tr);
    xlstm_module_free(m);
    return status;
}

static xlstm_status try_optimizer(const void *p) {
    xlstm_module *m = make_model();
    xlstm_optimizer *o = NULL;
    xlstm_status status = xlstm_optimizer_create(&o, m, p);
    xlstm_optimizer_free(o);
    xlstm_module_free(m);
    return status;
}

static xlstm_status try_sampling(const void *p) {
    xlstm_sampler *s = NULL;
    xlstm_status status = xlstm_sampler_create(&s, p, V);
    xlstm_sampler_free(s);
    return status;
}

static xlstm_status try_forecast(const void *p) {
    static const double value[] = {1, 2, 3};
    double out[9];
    struct xl_forecast_config c;
    xlstm_forecast_model *m;
    xlstm_forecaster *f;
    const xlstm_series s = {.dtype = XLSTM_F64, .length = 3, .targets = 1, .target = value};
    xlstm_forecast one = {.quantiles = out};
    xl_forecast_config_init(&c);
    c.num_blocks = 1;
    c.embedding_dim = c.input_ff_dim = 8;
    c.patch_size = c.future_len = c.context_len = 4;
    assert_int_equal(xl_forecast_network_create(&m, &c, 1), XLSTM_OK);
    assert_int_equal(xlstm_forecaster_create(&f, m, 1), XLSTM_OK);
    xlstm_status status = xlstm_forecaster_run(f, p, &s, 1, &one);
    xlstm_forecaster_free(f);
    xlstm_forecast_model_free(m);
    return status;
}

static xlstm_status try_batch(const void *p) {
    xlstm_trainer_config c;
    xlstm_trainer_config_init(&c);
    c.batch = B, c.time = T;
    xlstm_module *m = make_model();
    xlstm_trainer *tr = NULL;
    assert_int_equal(xlstm_trainer_create(&tr, m, &c), XLSTM_OK);
    xlstm_status status = xlstm_trainer_backward(tr, p, NULL);
    assert_int_equal(xlstm_trainer_evaluate(tr, p, NULL), status);
    assert_int_equal(xlstm_trainer_forward(tr, p, NULL), status);
    xlstm_trainer_free(tr);
    xlstm_module_free(m);
    return status;
}

static xlstm_status with_session(const void *p, int generate) {
    xlstm_module *m = make_model();
    xlstm_session *s = NULL;
    xlstm_sampler *sampler = NULL;
    xlstm_sampling rule;
    xlstm_sampling_init(&rule);
    assert_int_equal(xlstm_session_create(&s, m, generate ? 1 : B, T), XLSTM_OK);
    assert_int_equal(xlstm_sampler_create(&sampler, &rule, V), XLSTM_OK);
    xlstm_status status =
        generate ? xlstm_generate(s, sampler, p, NULL) : xlstm_session_run(s, p, NULL, NULL);
    xlstm_sampler_free(sampler);
    xlstm_session_free(s);
    xlstm_module_free(m);
    return status;
}

static xlstm_status try_input(const void *p) {
    return with_session(p, 0);
}

static xlstm_status try_generation(const void *p) {
    return with_session(p, 1);
}

static xlstm_status try_span(const void *p) {
    xlstm_recurrence_config c;
    xlstm_recurrence *r;
    xlstm_real x[4 * 64] = {0};
    xlstm_recurrence_config_init(&c, XLSTM_CELL_MLSTM);
    c.time = 1;
    assert_int_equal(xlstm_recurrence_create(&r, &c), XLSTM_OK);
    xlstm_mlstm_inputs in = {x, x, x, x, x};
    xlstm_status status = xlstm_mlstm_forward(r, p, &in, x + 64);
    xlstm_recurrence_free(r);
    return status;
}

/* Every struct that may grow: how it is made, its first layout, and a call that reads it. */
typedef struct {
    const char *name;
    const void *good;
    size_t size, first;
    xlstm_status (*try)(const void *);
} growing;

static void check_ages(const growing *g) {
    for (size_t size = 0; size <= g->size + 24; size += sizeof(int)) {
        void *p = aged(g->good, g->size, size < sizeof(size_t) ? sizeof(size_t) : size);
        memcpy(p, &size, sizeof size);
        xlstm_status status = g->try(p), wanted = size < g->first ? XLSTM_E_ARGUMENT : XLSTM_OK;
        if (status != wanted)
            fail_msg("%s of %zu bytes (now %zu, first %zu): %s", g->name, size, g->size, g->first,
                     xlstm_status_name(status));
        if (size > g->size) { /* a field that nobody here knows */
            ((char *)p)[size - 1] = 1;
            assert_int_equal(g->try(p), XLSTM_E_ARGUMENT);
            assert_non_null(strstr(xlstm_last_error(), "does not know"));
        }
        free(p);
    }
    void *p = aged(g->good, g->size, g->size);
    memset(p, 0xff, sizeof(size_t)); /* never set */
    assert_int_equal(g->try(p), XLSTM_E_ARGUMENT);
    free(p);
    assert_int_equal(g->try == try_span ? XLSTM_E_ARGUMENT : g->try(NULL), XLSTM_E_ARGUMENT);
}

static void test_every_struct(void **state) {
    (void)state;
    static const int32_t tokens[B * T] = {1, 2, 3, 4, 5, 6};
    xlstm_config model = model_config();
    xlstm_cell_config cell;
    xlstm_recurrence_config recurrence;
    xlstm_trainer_config trainer;
    xlstm_optimizer_config optimizer;
    xlstm_sampling sampling;
    xlstm_forecast_options forecast;
    xlstm_batch batch = {.struct_size = sizeof batch, .tokens = tokens, .targets = tokens};
    xlstm_input input = {.struct_size = sizeof input, .time = T, .tokens = tokens};
    xlstm_generation generation = {
        .struct_size = sizeof generation, .prompt = tokens, .prompt_tokens = T, .max_tokens = 2};
    xlstm_span span = {.struct_size = sizeof span};
    xlstm_cell_config_init(&cell, XLSTM_CELL_SLSTM);
    xlstm_recurrence_config_init(&recurrence, XLSTM_CELL_LSTM);
    xlstm_trainer_config_init(&trainer);
    xlstm_optimizer_config_init(&optimizer, XLSTM_SGD);
    xlstm_sampling_init(&sampling);
    xlstm_forecast_options_init(&forecast);
    const growing all[] = {
        {"xlstm_config", &model, sizeof model, XL_END_OF(xlstm_config, output_logit_soft_cap), try_config},
        {"xlstm_cell_config", &cell, sizeof cell, XL_END_OF(xlstm_cell_config, chunk_size), try_cell},
        {"xlstm_recurrence_config", &recurrence, sizeof recurrence,
         XL_END_OF(xlstm_recurrence_config, gradients), try_recurrence},
        {"xlstm_trainer_config", &trainer, sizeof trainer, XL_END_OF(xlstm_trainer_config, gradients),
         try_trainer},
        {"xlstm_optimizer_config", &optimizer, sizeof optimizer, XL_END_OF(xlstm_optimizer_config, clip),
         try_optimizer},
        {"xlstm_sampling", &sampling, sizeof sampling, sizeof sampling, try_sampling},
        {"xlstm_forecast_options", &forecast, sizeof forecast, sizeof forecast, try_forecast},
        {"xlstm_batch", &batch, sizeof batch, XL_END_OF(xlstm_batch, outputs), try_batch},
        {"xlstm_input", &input, sizeof input, sizeof input, try_input},
        {"xlstm_generation", &generation, sizeof generation, sizeof generation, try_generation},
        {"xlstm_span", &span, sizeof span, sizeof span, try_span}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        check_ages(&all[i]);
}

/* What the library fills in ends where the program's struct does, and is zero where the library knows
 * nothing. */
static void test_filled_in(void **state) {
    (void)state;
    const size_t step = sizeof(double);
    for (size_t size = XL_END_OF(xlstm_config, output_logit_soft_cap); size <= sizeof(xlstm_config) + step;
         size += step) {
        unsigned char *p = malloc(size + 1);
        xlstm_config now;
        xlstm_config_init(&now, XLSTM_MLSTM_LARGE);
        memset(p, 0xa5, size + 1);
        xlstm_config_init_sized((xlstm_config *)(void *)p, size, XLSTM_MLSTM_LARGE);
        size_t common = size < sizeof now ? size : sizeof now;
        assert_memory_equal(p, &size, sizeof size);
        assert_memory_equal(p + sizeof size, (char *)&now + sizeof size, common - sizeof size);
        for (size_t i = common; i < size; i++)
            assert_int_equal(p[i], 0);
        assert_int_equal(p[size], 0xa5);
        free(p);
    }
    xlstm_sampling_init_sized(NULL, sizeof(xlstm_sampling));
}

/* A file that says more than the program's struct holds is not read by halves. */
static void test_loaded(void **state) {
    (void)state;
    const size_t old = XL_END_OF(xlstm_config, slstm_recurrent_clip);
    char path[] = "structs_XXXXXX";
    unsigned char room[sizeof(xlstm_config)];
    xlstm_config c = model_config();
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(xlstm_config_save(&c, path), XLSTM_OK);
    memset(room, 0xa5, sizeof room);
    assert_int_equal(xlstm_config_load_sized(path, (xlstm_config *)(void *)room, old), XLSTM_OK);
    assert_int_equal(room[old], 0xa5);
    assert_memory_equal(room, &old, sizeof old);
    c.mlstm_eps = 1e-3;
    assert_int_equal(xlstm_config_save(&c, path), XLSTM_OK);
    assert_int_equal(xlstm_config_load_sized(path, (xlstm_config *)(void *)room, old), XLSTM_E_CONFIG);
    assert_int_equal(xlstm_config_load(path, &c), XLSTM_OK);
    assert_true(c.mlstm_eps == 1e-3);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_struct), cmocka_unit_test(test_filled_in),
                                       cmocka_unit_test(test_loaded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
