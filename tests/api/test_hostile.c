/* Every public function with NULL, zero, negative, huge and overflowing arguments: a status and a sentence,
 * never a crash; what returns no status does no harm. test_hostile.sh holds this file against the list of
 * declarations: a new function needs a case here. */
#include "forecast/network.h"
#include "programs/compare.h"
#include "support/copies.h"
#include "support/kinds.h"
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* Without this ASAN ends the program where malloc would return NULL. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1";
}

enum { B = 2, T = 3, V = 11, WIDE = 1 << 17 };

static const int sizes[] = {0, -1, INT_MIN, INT_MAX}; /* never good where something is counted */
#define EACH(i, array) for (size_t i = 0; i < sizeof(array) / sizeof *(array); i++)

/* The sentence must be the call's own, so another one is put there before. */
static void stain(void) {
    assert_int_equal(xlstm_set_threads(-1), XLSTM_E_ARGUMENT);
}

/* A sentence of the call's own that says what is needed. */
static int is_clear(const char *said) {
    const char *null = strstr(said, "NULL argument");
    return strlen(said) >= 10 && !strstr(said, "thread count") && (!null || strchr(null, ';'));
}

static void refused(xlstm_status status, const char *call, int line) {
    const char *said = xlstm_last_error();
    if (status >= 0 || !is_clear(said))
        fail_msg("line %d: %s: status %d, \"%s\"", line, call, (int)status, said);
}

#define REFUSED(call) (stain(), refused((call), #call, __LINE__))
/* A creator, which writes to `out`: nothing but NULL is left there. */
#define NOT_MADE(out, call)                                                                                  \
    ((out) = (void *)(uintptr_t)64, REFUSED(call), assert_null(out), (void)((out) = NULL))
#define FINE(call) assert_int_equal((call), XLSTM_OK)

static char missing[] = "/nonexistent/xlstm/file.json";
static xlstm_module *model, *vectors, *cell, *small;
static xlstm_session *session;
static xlstm_trainer *trainer;
static xlstm_optimizer *optimizer;
static xlstm_real numbers[8192];
static int32_t tokens[64];
static char folder[] = "/tmp/xlstm_hostile_XXXXXX";

static xlstm_config valid(void) {
    return small_config(XLSTM_MLSTM);
}

static int setup(void **state) {
    (void)state;
    xlstm_config c = valid();
    xlstm_cell_config cc;
    xlstm_trainer_config tc;
    xlstm_optimizer_config oc;
    xlstm_cell_config_init(&cc, XLSTM_CELL_SLSTM);
    FINE(xlstm_model_create(&model, &c, 1));
    FINE(xlstm_module_quantize(&small, model, XLSTM_WEIGHTS_INT8));
    c.vocab_size = 0;
    c.input_dim = c.output_dim = 2;
    FINE(xlstm_model_create(&vectors, &c, 1));
    FINE(xlstm_cell_create(&cell, &cc, 1));
    FINE(xlstm_session_create(&session, model, B, T));
    xlstm_trainer_config_init(&tc);
    tc.batch = B;
    tc.time = T;
    FINE(xlstm_trainer_create(&trainer, model, &tc));
    xlstm_optimizer_config_init(&oc, XLSTM_ADAMW);
    FINE(xlstm_optimizer_create(&optimizer, model, &oc));
    return mkdtemp(folder) == NULL;
}

static int teardown(void **state) {
    (void)state;
    xlstm_session_free(session);
    xlstm_trainer_free(trainer);
    xlstm_optimizer_free(optimizer);
    xlstm_module_free(model);
    xlstm_module_free(vectors);
    xlstm_module_free(cell);
    xlstm_module_free(small);
    return rmdir(folder);
}

/* ---- common.h ---- */

static void test_common(void **state) {
    (void)state;
    const int statuses[] = {1, -8, INT_MIN, INT_MAX};
    EACH(i, statuses)
    assert_non_null(xlstm_status_name((xlstm_status)statuses[i]));
    assert_true(strlen(xlstm_version()) > 2);
    EACH(i, sizes)
    assert_int_equal(xlstm_set_threads(sizes[i]), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_set_threads(XLSTM_MAX_THREADS + 1), XLSTM_E_ARGUMENT);
    assert_true(strlen(xlstm_last_error()) > 10);
    assert_in_range(xlstm_get_threads(), 1, XLSTM_MAX_THREADS);
}

static void test_backends(void **state) {
    (void)state;
    const char *const names[] = {"", "avx", "AVX2", "%s%n"}, *before = xlstm_get_backend();
    const int indices[] = {-1, INT_MIN, INT_MAX};
    EACH(i, names)
    REFUSED(xlstm_set_backend(names[i]));
    EACH(i, indices)
    assert_null(xlstm_backend_name(indices[i]));
    assert_string_equal(xlstm_get_backend(), before);
}

static void test_devices(void **state) {
    (void)state;
    const char *const names[] = {
        "", "cud", "CUDA", "%s%n", "cuda:", "cuda:-1", "cuda:99999999999999999999", "cuda:1 ", "auto:0"};
    EACH(i, names)
    REFUSED(xlstm_set_device(names[i]));
    FINE(xlstm_set_device("auto"));
    FINE(xlstm_set_device("cpu"));
    FINE(xlstm_set_device(NULL));
}

static void test_profile(void **state) {
    (void)state;
    const int indices[] = {-1, INT_MIN, INT_MAX, xlstm_profile_count()};
    xlstm_profile_op op;
    xlstm_profile_stop();
    xlstm_profile_start();
    xlstm_profile_start();
    EACH(i, indices)
    REFUSED(xlstm_profile_get(indices[i], &op));
    REFUSED(xlstm_profile_get(0, NULL));
    xlstm_profile_stop();
}

static void *give(void *context, size_t bytes) {
    (void)context;
    return malloc(bytes);
}

static void take_back(void *context, void *block) {
    (void)context;
    free(block);
}

static void test_hooks(void **state) {
    (void)state;
    REFUSED(xlstm_set_allocator(give, NULL, NULL));
    REFUSED(xlstm_set_allocator(NULL, take_back, NULL));
    REFUSED(xlstm_set_allocator(give, take_back, NULL)); /* there are blocks of the one before */
    REFUSED(xlstm_set_allocator(NULL, NULL, NULL));
    xlstm_set_log(NULL, folder);
}

/* ---- config.h ---- */

static void test_config(void **state) {
    (void)state;
    const char *const ratios[] = {NULL,  "",     ":",   "1",     "1:",    ":1",
                                  "a:b", "-1:2", "0:0", "1:2:3", "1:1e9", "9999999999999999999999:1"};
    xlstm_config c;
    xlstm_config_init(NULL, XLSTM_MLSTM);
    xlstm_cell_config_init(NULL, XLSTM_CELL_LSTM);
    EACH(i, sizes) {
        if (sizes[i] != 0) { /* 0 is a kind */
            assert_null(xlstm_block_kind_name((xlstm_block_kind)sizes[i]));
            assert_null(xlstm_loss_name((xlstm_loss_kind)sizes[i]));
            xlstm_config_init(&c, (xlstm_block_kind)sizes[i]);
            REFUSED(xlstm_config_check(&c));
        }
        c = valid();
        c.num_blocks = sizes[i];
        FINE(xlstm_config_mix(&c, "7:1"));
        REFUSED(xlstm_config_check(&c));
    }
    c = valid();
    EACH(i, ratios)
    REFUSED(xlstm_config_mix(&c, ratios[i]));
    REFUSED(xlstm_config_mix(NULL, "1:1"));
    REFUSED(xlstm_config_check(NULL));
    c.struct_size = 0;
    REFUSED(xlstm_config_check(&c));
    c.struct_size = SIZE_MAX;
    REFUSED(xlstm_config_check(&c));
}

/* Every number of a configuration that is not one that a file fills, out of its range. */
static void test_config_fields(void **state) {
    (void)state;
#define AT(name) offsetof(xlstm_config, name)
    static const struct {
        xlstm_block_kind kind;
        size_t at;
    } ints[] = {{XLSTM_MLSTM, AT(vocab_size)},
                {XLSTM_MLSTM, AT(embedding_dim)},
                {XLSTM_MLSTM, AT(num_blocks)},
                {XLSTM_MLSTM, AT(num_heads)},
                {XLSTM_TRANSFORMER, AT(context_length)},
                {XLSTM_MLSTM, AT(weights)},
                {XLSTM_MLSTM, AT(chunk_size)},
                {XLSTM_MLSTM, AT(mlstm_heads)},
                {XLSTM_MLSTM, AT(mlstm_conv)},
                {XLSTM_MLSTM, AT(mlstm_qkv_blocksize)},
                {XLSTM_SLSTM, AT(slstm_heads)},
                {XLSTM_SLSTM, AT(slstm_conv)},
                {XLSTM_SLSTM, AT(slstm_bias_init)},
                {XLSTM_SLSTM, AT(ffn_round_up)},
                {XLSTM_SLSTM, AT(ffn_act)},
                {XLSTM_SLSTM, AT(ffn_inner)},
                {XLSTM_MLSTM, AT(mlstm_inner)}},
      floats[] = {{XLSTM_MLSTM, AT(dropout)},
                  {XLSTM_MLSTM, AT(mlstm_proj_factor)},
                  {XLSTM_SLSTM, AT(ffn_proj_factor)},
                  {XLSTM_MLSTM_LARGE, AT(qk_dim_factor)},
                  {XLSTM_MLSTM_LARGE, AT(v_dim_factor)},
                  {XLSTM_SLSTM, AT(slstm_forward_clip)},
                  {XLSTM_SLSTM, AT(slstm_recurrent_clip)}},
      doubles[] = {{XLSTM_MLSTM, AT(norm_eps)},
                   {XLSTM_MLSTM_LARGE, AT(gate_soft_cap)},
                   {XLSTM_MLSTM, AT(output_logit_soft_cap)},
                   {XLSTM_MLSTM, AT(mlstm_eps)}};
#undef AT
    static const int bad_ints[] = {-1, INT_MIN, INT_MAX};
    const double bad[] = {-2, NAN, INFINITY, -INFINITY, 1e30};
    xlstm_module *m;
    EACH(i, ints) EACH(k, bad_ints) {
        xlstm_config c = small_config(ints[i].kind);
        memcpy((char *)&c + ints[i].at, &bad_ints[k], sizeof(int));
        REFUSED(xlstm_config_check(&c));
        NOT_MADE(m, xlstm_model_create(&m, &c, 1));
    }
    EACH(i, floats) EACH(k, bad) {
        xlstm_config c = small_config(floats[i].kind);
        float f = (float)bad[k];
        memcpy((char *)&c + floats[i].at, &f, sizeof f);
        REFUSED(xlstm_config_check(&c));
    }
    EACH(i, doubles) EACH(k, bad) {
        xlstm_config c = small_config(doubles[i].kind);
        memcpy((char *)&c + doubles[i].at, &bad[k], sizeof bad[k]);
        REFUSED(xlstm_config_check(&c));
    }
}

/* What can be no struct of the type, by its size, is left as it is. */
static void test_sizes_of_structs(void **state) {
    (void)state;
    const size_t impossible[] = {0, 1, sizeof(size_t) - 1, 1 << 16, SIZE_MAX};
    union {
        xlstm_config model;
        xlstm_cell_config cell;
        xlstm_recurrence_config recurrence;
        xlstm_sampling sampling;
        xlstm_trainer_config trainer;
        xlstm_optimizer_config optimizer;
    } s, before;
    char path[64];
    snprintf(path, sizeof path, "%s/config.json", folder);
    s.model = valid();
    FINE(xlstm_config_save(&s.model, path));
    memset(&s, 0x5a, sizeof s);
    before = s;
    EACH(i, impossible) {
        xlstm_config_init_sized(&s.model, impossible[i], XLSTM_MLSTM);
        xlstm_cell_config_init_sized(&s.cell, impossible[i], XLSTM_CELL_LSTM);
        xlstm_recurrence_config_init_sized(&s.recurrence, impossible[i], XLSTM_CELL_LSTM);
        xlstm_sampling_init_sized(&s.sampling, impossible[i]);
        xlstm_trainer_config_init_sized(&s.trainer, impossible[i]);
        xlstm_optimizer_config_init_sized(&s.optimizer, impossible[i], XLSTM_ADAMW);
        REFUSED(xlstm_config_load_sized(path, &s.model, impossible[i]));
        assert_memory_equal(&s, &before, sizeof s);
    }
    FINE(xlstm_config_load_sized(path, &s.model, sizeof s.model));
    unlink(path);
}

/* ---- recurrence.h ---- */

static xlstm_recurrence *recurrence(xlstm_cell_kind kind, int gradients) {
    xlstm_recurrence_config c;
    xlstm_recurrence *r;
    xlstm_recurrence_config_init(&c, kind);
    c.batch = B;
    c.time = T;
    c.head_size = 2;
    c.gradients = gradients;
    FINE(xlstm_recurrence_create(&r, &c));
    return r;
}

static void test_recurrences(void **state) {
    (void)state;
    const double bad[] = {-1, 2, NAN, INFINITY, -INFINITY};
    xlstm_recurrence_config c, none = {0};
    xlstm_recurrence *r;
    xlstm_recurrence_config_init(NULL, XLSTM_CELL_MLSTM);
    xlstm_recurrence_free(NULL);
    assert_int_equal(xlstm_recurrence_state_size(NULL), 0);
    for (int kind = 0; kind < XLSTM_CELL_KINDS; kind++) {
        xlstm_recurrence_config_init(&c, (xlstm_cell_kind)kind);
        REFUSED(xlstm_recurrence_create(NULL, &c));
        int *const fields[] = {&c.batch, &c.time, &c.heads, &c.head_size, &c.key_size, &c.chunk_size};
        EACH(k, fields) EACH(i, sizes) {
            int before = *fields[k];
            *fields[k] = sizes[i];
            if (sizes[i] != 0 || fields[k] != &c.key_size) /* 0: head_size */
                NOT_MADE(r, xlstm_recurrence_create(&r, &c));
            *fields[k] = before;
        }
        EACH(i, bad) {
            c.eps = bad[i];
            NOT_MADE(r, xlstm_recurrence_create(&r, &c));
        }
        c.eps = 0;
        c.batch = c.time = 1 << 15; /* allowed one by one, and petabytes together */
        c.head_size = c.key_size = 1 << 20;
        NOT_MADE(r, xlstm_recurrence_create(&r, &c));
    }
    NOT_MADE(r, xlstm_recurrence_create(&r, NULL));
    NOT_MADE(r, xlstm_recurrence_create(&r, &none));
    EACH(i, sizes) {
        xlstm_recurrence_config_init(&c, (xlstm_cell_kind)(sizes[i] ? sizes[i] : XLSTM_CELL_KINDS));
        NOT_MADE(r, xlstm_recurrence_create(&r, &c));
    }
}

static void test_recurrence_calls(void **state) {
    (void)state;
    const xlstm_real *const n = numbers;
    static xlstm_real out[256];
    const xlstm_mlstm_inputs in = {n, n, n, n, n};
    const xlstm_mlstm_gradients d = {out, out, out, out, out};
    xlstm_recurrence *m = recurrence(XLSTM_CELL_MLSTM, 1), *s = recurrence(XLSTM_CELL_SLSTM, 1),
                     *bare = recurrence(XLSTM_CELL_LSTM, 0);
    REFUSED(xlstm_mlstm_forward(NULL, NULL, &in, out));
    REFUSED(xlstm_mlstm_forward(s, NULL, &in, out)); /* of another kind */
    REFUSED(xlstm_mlstm_forward(m, NULL, NULL, out));
    REFUSED(xlstm_mlstm_forward(m, NULL, &in, NULL));
    REFUSED(xlstm_rnn_forward(NULL, NULL, n, n, out));
    REFUSED(xlstm_rnn_forward(m, NULL, n, n, out));
    REFUSED(xlstm_rnn_forward(s, NULL, NULL, n, out));
    REFUSED(xlstm_rnn_forward(s, NULL, n, NULL, out));
    REFUSED(xlstm_rnn_forward(s, NULL, n, n, NULL));
    REFUSED(xlstm_mlstm_backward(m, &in, n, n, &d)); /* no forward pass waits */
    REFUSED(xlstm_rnn_backward(s, n, n, n, out, out));
    FINE(xlstm_rnn_forward(bare, NULL, n, n, out));
    REFUSED(xlstm_rnn_backward(bare, n, n, n, out, out)); /* made without gradients */
    FINE(xlstm_mlstm_forward(m, NULL, &in, out));
    FINE(xlstm_rnn_forward(s, NULL, n, n, out));
    REFUSED(xlstm_mlstm_backward(NULL, &in, n, n, &d));
    REFUSED(xlstm_mlstm_backward(s, &in, n, n, &d));
    REFUSED(xlstm_mlstm_backward(m, NULL, n, n, &d));
    REFUSED(xlstm_mlstm_backward(m, &in, NULL, n, &d));
    REFUSED(xlstm_mlstm_backward(m, &in, n, NULL, &d));
    REFUSED(xlstm_mlstm_backward(m, &in, n, n, NULL));
    for (int i = 0; i < 5; i++) {
        xlstm_mlstm_inputs less = in;
        xlstm_mlstm_gradients fewer = d;
        ((const xlstm_real **)&less)[i] = NULL;
        ((xlstm_real **)&fewer)[i] = NULL;
        REFUSED(xlstm_mlstm_forward(m, NULL, &less, out));
        REFUSED(xlstm_mlstm_backward(m, &less, n, n, &d));
        REFUSED(xlstm_mlstm_backward(m, &in, n, n, &fewer));
    }
    REFUSED(xlstm_rnn_backward(NULL, n, n, n, out, out));
    REFUSED(xlstm_rnn_backward(m, n, n, n, out, out));
    REFUSED(xlstm_rnn_backward(s, NULL, n, n, out, out));
    REFUSED(xlstm_rnn_backward(s, n, NULL, n, out, out));
    REFUSED(xlstm_rnn_backward(s, n, n, NULL, out, out));
    REFUSED(xlstm_rnn_backward(s, n, n, n, NULL, out));
    REFUSED(xlstm_rnn_backward(s, n, n, n, out, NULL));
    FINE(xlstm_mlstm_backward(m, &in, n, n, &d)); /* which all that left waiting */
    FINE(xlstm_rnn_backward(s, n, n, n, out, out));
    xlstm_recurrence_free(m);
    xlstm_recurrence_free(s);
    xlstm_recurrence_free(bare);
}

static void test_spans(void **state) {
    (void)state;
    const xlstm_real *const n = numbers;
    static xlstm_real out[256];
    const xlstm_mlstm_inputs in = {n, n, n, n, n};
    xlstm_recurrence *m = recurrence(XLSTM_CELL_MLSTM, 1), *s = recurrence(XLSTM_CELL_SLSTM, 1);
    const int bad[] = {-1, T + 1, INT_MIN, INT_MAX};
    const size_t struct_sizes[] = {0, 1, SIZE_MAX};
    int32_t lengths[B] = {T, T};
    EACH(i, bad) {
        xlstm_span span = {.struct_size = sizeof span, .time = bad[i]};
        REFUSED(xlstm_mlstm_forward(m, &span, &in, out));
        REFUSED(xlstm_rnn_forward(s, &span, n, n, out));
        span.time = 0;
        span.lengths = lengths;
        lengths[B - 1] = bad[i];
        REFUSED(xlstm_mlstm_forward(m, &span, &in, out));
        REFUSED(xlstm_rnn_forward(s, &span, n, n, out));
    }
    EACH(i, struct_sizes) {
        const xlstm_span span = {.struct_size = struct_sizes[i]};
        REFUSED(xlstm_mlstm_forward(m, &span, &in, out));
        REFUSED(xlstm_rnn_forward(s, &span, n, n, out));
    }
    xlstm_recurrence_free(m);
    xlstm_recurrence_free(s);
}

/* ---- module.h ---- */

static void test_creators(void **state) {
    (void)state;
    xlstm_config c = valid(), none = {0}, huge = valid();
    xlstm_cell_config cc, no_cell = {0};
    xlstm_module *m;
    xlstm_cell_config_init(&cc, XLSTM_CELL_MLSTM);
    huge.embedding_dim = WIDE; /* allowed one by one, and petabytes together */
    huge.num_blocks = XLSTM_MAX_BLOCKS;
    huge.vocab_size = 1 << 24;
    REFUSED(xlstm_model_create(NULL, &c, 1));
    REFUSED(xlstm_block_create(NULL, &c, 1));
    REFUSED(xlstm_cell_create(NULL, &cc, 1));
    const xlstm_config *const configs[] = {NULL, &none, &huge};
    EACH(i, configs) {
        NOT_MADE(m, xlstm_model_create(&m, configs[i], 1));
        if (i < 2)
            NOT_MADE(m, xlstm_block_create(&m, configs[i], 1));
    }
    huge.mlstm_inner = 1 << 22;
    NOT_MADE(m, xlstm_block_create(&m, &huge, 1));
    NOT_MADE(m, xlstm_cell_create(&m, NULL, 1));
    NOT_MADE(m, xlstm_cell_create(&m, &no_cell, 1));
    EACH(i, sizes) {
        int *const fields[] = {&cc.input_size, &cc.hidden_size, &cc.num_heads, &cc.chunk_size};
        EACH(k, fields) {
            int before = *fields[k];
            *fields[k] = sizes[i];
            NOT_MADE(m, xlstm_cell_create(&m, &cc, 1));
            *fields[k] = before;
        }
    }
    xlstm_cell_config_init(&cc, (xlstm_cell_kind)77);
    NOT_MADE(m, xlstm_cell_create(&m, &cc, 1));
}

static void test_module(void **state) {
    (void)state;
    xlstm_parameter p;
    xlstm_module *m;
    xlstm_module_free(NULL);
    assert_int_equal(xlstm_module_input_dim(NULL) + xlstm_module_output_dim(NULL), 0);
    assert_int_equal(xlstm_module_parameter_count(NULL), 0);
    assert_int_equal(xlstm_module_bytes(NULL) + xlstm_module_size(NULL) + xlstm_module_core_size(NULL), 0);
    assert_int_equal(xlstm_module_layout_size(NULL), 0);
    assert_null(xlstm_module_config(NULL));
    assert_null(xlstm_module_config(cell));
    uint64_t print = 1;
    REFUSED(xlstm_module_fingerprint(NULL, &print));
    REFUSED(xlstm_module_fingerprint(cell, NULL));
    REFUSED(xlstm_module_init(NULL, 1));
    REFUSED(xlstm_module_init(small, 1));
    REFUSED(xlstm_module_copy(NULL, model, NULL));
    NOT_MADE(m, xlstm_module_copy(&m, NULL, NULL));
    NOT_MADE(m, xlstm_module_copy(&m, cell, NULL));
    NOT_MADE(m, xlstm_module_copy(&m, model, "%s%n"));
    REFUSED(xlstm_module_quantize(NULL, model, XLSTM_WEIGHTS_INT8));
    NOT_MADE(m, xlstm_module_quantize(&m, NULL, XLSTM_WEIGHTS_INT8));
    NOT_MADE(m, xlstm_module_quantize(&m, cell, XLSTM_WEIGHTS_INT8));
    NOT_MADE(m, xlstm_module_quantize(&m, small, XLSTM_WEIGHTS_INT8));
    NOT_MADE(m, xlstm_module_quantize(&m, small, XLSTM_WEIGHTS_INT4));
    NOT_MADE(m, xlstm_module_quantize(&m, model, XLSTM_WEIGHTS_KINDS));
    EACH(i, sizes)
    NOT_MADE(m, xlstm_module_quantize(&m, model, (xlstm_weights)sizes[i]));
    const int indices[] = {-1, INT_MIN, INT_MAX, xlstm_module_parameter_count(model)};
    EACH(i, indices) {
        REFUSED(xlstm_module_parameter(model, indices[i], &p));
        REFUSED(xlstm_module_read(model, indices[i], numbers));
        REFUSED(xlstm_module_write(model, indices[i], numbers));
    }
    REFUSED(xlstm_module_parameter(NULL, 0, &p));
    REFUSED(xlstm_module_parameter(model, 0, NULL));
    REFUSED(xlstm_module_read(NULL, 0, numbers));
    REFUSED(xlstm_module_read(model, 0, NULL));
    REFUSED(xlstm_module_write(NULL, 0, numbers));
    REFUSED(xlstm_module_write(model, 0, NULL));
    FINE(xlstm_module_find(small, "lm_head.weight", &p));
    REFUSED(xlstm_module_write(small, p.index, numbers));
    assert_non_null(strstr(xlstm_last_error(), "\"lm_head.weight\" is kept in a smaller type"));
    REFUSED(xlstm_module_find(NULL, "x", &p));
    REFUSED(xlstm_module_find(model, NULL, &p));
    REFUSED(xlstm_module_find(model, "", &p));
    REFUSED(xlstm_module_find(model, "lm_head.weight", NULL));
}

/* ---- io.h ---- */

static void test_json(void **state) {
    (void)state;
    const char *const texts[] = {NULL,
                                 "",
                                 "{",
                                 "[]",
                                 "7",
                                 "{}",
                                 "{\"model_type\": \"libxlstm\"}",
                                 "{\"model_type\": \"libxlstm\", \"blocks\": [\"mlstm\"], \"dropout\": 7}"};
    const size_t impossible[] = {0, 1, 1 << 16, SIZE_MAX};
    xlstm_config c = valid(), back, none = {0}, wrong = valid();
    char text[4096];
    size_t bytes, again;
    wrong.num_heads = -1;
    EACH(i, texts) {
        REFUSED(xlstm_config_from_json(texts[i], &back));
        REFUSED(xlstm_config_from_json_sized(texts[i], &back, sizeof back));
    }
    assert_non_null(strstr(xlstm_last_error(), "the configuration: dropout is 7; it must be 0 to 0.99"));
    REFUSED(xlstm_config_to_json(NULL, text, sizeof text, &bytes));
    REFUSED(xlstm_config_to_json(&none, text, sizeof text, &bytes));
    REFUSED(xlstm_config_to_json(&wrong, text, sizeof text, &bytes));
    assert_int_equal(bytes, 0);
    bytes = 7;
    REFUSED(xlstm_config_to_json(&c, NULL, 1, &bytes));
    assert_int_equal(bytes, 0);
    REFUSED(xlstm_config_to_json(&c, text, sizeof text, NULL));
    REFUSED(xlstm_config_to_json(&c, NULL, 0, &bytes));
    memset(text, 0x5a, sizeof text);
    REFUSED(xlstm_config_to_json(&c, text, bytes - 1, &again));
    assert_int_equal(again, bytes);
    assert_int_equal(text[0], 0x5a);
    FINE(xlstm_config_to_json(&c, text, bytes, &again));
    assert_int_equal(strlen(text) + 1, bytes);
    assert_int_equal(text[bytes], 0x5a);
    EACH(i, impossible)
    REFUSED(xlstm_config_from_json_sized(text, &back, impossible[i]));
    REFUSED(xlstm_config_from_json(text, NULL));
    FINE(xlstm_config_from_json(text, &back));
}

static void test_files(void **state) {
    (void)state;
    xlstm_config c = valid(), none = {0};
    xlstm_module *m;
    const char *const paths[] = {NULL, "", missing, folder};
    EACH(i, paths) {
        REFUSED(xlstm_config_load(paths[i], &c));
        NOT_MADE(m, xlstm_module_load(&m, paths[i]));
        NOT_MADE(m, xlstm_module_load_as(&m, paths[i], XLSTM_WEIGHTS_BF16));
        REFUSED(xlstm_module_load_weights(model, paths[i]));
        REFUSED(xlstm_module_save_weights(model, paths[i]));
        if (paths[i] != folder) {
            REFUSED(xlstm_config_save(&c, paths[i]));
            REFUSED(xlstm_module_save(model, paths[i]));
        }
    }
    char at_its_end[64], written[64];
    snprintf(at_its_end, sizeof at_its_end, "%s/", folder);
    snprintf(written, sizeof written, "%s/written", folder);
    const char *const unwritable[] = {NULL, "", missing, folder, at_its_end, "/", "."};
    EACH(i, unwritable) {
        REFUSED(xlstm_file_write(unwritable[i], "abc", 3));
        REFUSED(xlstm_file_writable(unwritable[i]));
    }
    REFUSED(xlstm_file_write(written, NULL, 3));
    FINE(xlstm_file_writable(written));
    assert_int_equal(access(written, F_OK), -1);
    FINE(xlstm_file_write(written, NULL, 0));
    FINE(xlstm_file_write(written, "abc", 3));
    FINE(xlstm_file_writable(written));
    assert_int_equal(unlink(written), 0);
    REFUSED(xlstm_config_load(folder, NULL));
    REFUSED(xlstm_config_save(NULL, folder));
    REFUSED(xlstm_config_save(&none, folder));
    REFUSED(xlstm_module_load(NULL, folder));
    REFUSED(xlstm_module_load_as(NULL, folder, XLSTM_WEIGHTS_REAL));
    EACH(i, sizes)
    NOT_MADE(m, xlstm_module_load_as(&m, folder, (xlstm_weights)sizes[i]));
    REFUSED(xlstm_module_load_weights(NULL, folder));
    REFUSED(xlstm_module_save(NULL, folder));
    REFUSED(xlstm_module_save(cell, folder));
    REFUSED(xlstm_module_save_weights(NULL, folder));
    REFUSED(xlstm_module_save_weights(small, folder));
}

static void test_gather(void **state) {
    (void)state;
    xlstm_tensor good = {.name = "lm_head.weight",
                         .dtype = XLSTM_F32,
                         .ndim = 2,
                         .shape = {V, 12},
                         .count = V * 12},
                 t;
    REFUSED(xlstm_module_gather(NULL, &good, numbers, numbers));
    REFUSED(xlstm_module_gather(model, NULL, numbers, numbers));
    REFUSED(xlstm_module_gather(model, &good, NULL, numbers));
    REFUSED(xlstm_module_gather(model, &good, numbers, NULL));
    const int dims[] = {-1, 0, 1, 3, XLSTM_MAX_DIMS + 1, INT_MIN, INT_MAX};
    EACH(i, dims) {
        t = good;
        t.ndim = dims[i];
        REFUSED(xlstm_module_gather(model, &t, numbers, numbers));
    }
    const int64_t bad[] = {0, -1, V + 1, INT64_MIN, INT64_MAX};
    EACH(i, bad) {
        t = good;
        t.shape[0] = bad[i];
        REFUSED(xlstm_module_gather(model, &t, numbers, numbers));
    }
    const char *const names[] = {NULL, "", "lm_head", "%s%n"};
    EACH(i, names) {
        t = good;
        t.name = names[i];
        REFUSED(xlstm_module_gather(model, &t, numbers, numbers));
    }
}

/* ---- session.h ---- */

static void test_sessions(void **state) {
    (void)state;
    xlstm_session *s;
    xlstm_session_free(NULL);
    assert_int_equal(xlstm_session_state_size(NULL), 0);
    REFUSED(xlstm_session_create(NULL, model, 1, 1));
    NOT_MADE(s, xlstm_session_create(&s, NULL, 1, 1));
    EACH(i, sizes) {
        NOT_MADE(s, xlstm_session_create(&s, model, sizes[i], 1));
        if (sizes[i] != 0) /* 0: the usual number of tokens */
            NOT_MADE(s, xlstm_session_create(&s, model, 1, sizes[i]));
    }
    REFUSED(xlstm_session_fork(NULL, session));
    NOT_MADE(s, xlstm_session_fork(&s, NULL));
    const int streams[] = {-1, B, INT_MIN, INT_MAX};
    EACH(i, streams) {
        REFUSED(xlstm_session_get_state(session, streams[i], numbers));
        REFUSED(xlstm_session_set_state(session, streams[i], numbers));
        if (streams[i] != -1) /* all */
            REFUSED(xlstm_session_reset(session, streams[i]));
    }
    REFUSED(xlstm_session_reset(NULL, 0));
    REFUSED(xlstm_session_reset(NULL, -1));
    REFUSED(xlstm_session_get_state(NULL, 0, numbers));
    REFUSED(xlstm_session_get_state(session, 0, NULL));
    REFUSED(xlstm_session_set_state(NULL, 0, numbers));
    REFUSED(xlstm_session_set_state(session, 0, NULL));
}

static void test_session_calls(void **state) {
    (void)state;
    REFUSED(xlstm_session_tokens(NULL, tokens, T, numbers));
    REFUSED(xlstm_session_prompt(NULL, tokens, T, numbers));
    REFUSED(xlstm_session_vectors(NULL, numbers, T, numbers));
    REFUSED(xlstm_session_tokens(session, NULL, T, numbers));
    REFUSED(xlstm_session_prompt(session, NULL, T, numbers));
    REFUSED(xlstm_session_vectors(session, NULL, T, numbers));
    REFUSED(xlstm_session_vectors(session, numbers, T, numbers)); /* its model takes tokens */
    EACH(i, sizes) {
        int time = sizes[i] == INT_MAX ? -T : sizes[i]; /* that many tokens cannot be known to be missing */
        REFUSED(xlstm_session_tokens(session, tokens, time, numbers));
        REFUSED(xlstm_session_prompt(session, tokens, time, numbers));
        REFUSED(xlstm_session_vectors(session, numbers, time, numbers));
    }
    const int32_t bad[] = {-1, V, INT32_MIN, INT32_MAX};
    EACH(i, bad) {
        tokens[B * T - 1] = bad[i];
        REFUSED(xlstm_session_tokens(session, tokens, T, numbers));
        REFUSED(xlstm_session_prompt(session, tokens, T, numbers));
    }
    memset(tokens, 0, sizeof tokens);
    xlstm_session *s;
    FINE(xlstm_session_create(&s, vectors, B, T));
    REFUSED(xlstm_session_tokens(s, tokens, T, numbers)); /* its model takes vectors */
    REFUSED(xlstm_session_prompt(s, tokens, T, numbers));
    xlstm_session_free(s);
}

static void test_inputs(void **state) {
    (void)state;
    const xlstm_input good = {.struct_size = sizeof good, .time = T, .tokens = tokens};
    const size_t struct_sizes[] = {0, 1, SIZE_MAX};
    int32_t lengths[B] = {T, T};
    xlstm_input in = good;
    REFUSED(xlstm_session_run(NULL, &in, numbers, NULL));
    REFUSED(xlstm_session_run(session, NULL, numbers, NULL));
    EACH(i, struct_sizes) {
        in.struct_size = struct_sizes[i];
        REFUSED(xlstm_session_run(session, &in, numbers, numbers));
    }
    in = good;
    in.tokens = NULL;
    REFUSED(xlstm_session_run(session, &in, numbers, numbers));
    in.inputs = numbers; /* its model takes tokens */
    REFUSED(xlstm_session_run(session, &in, numbers, numbers));
    const int bad[] = {-1, T + 1, INT_MIN, INT_MAX};
    EACH(i, bad) {
        in = good;
        in.lengths = lengths;
        lengths[B - 1] = bad[i];
        REFUSED(xlstm_session_run(session, &in, numbers, numbers));
        in = good;
        in.time = bad[i] > 0 ? 0 : bad[i];
        REFUSED(xlstm_session_run(session, &in, numbers, numbers));
    }
    FINE(xlstm_session_run(session, &good, NULL, NULL));
}

/* A call that is refused takes nothing from the forward that waits for its backward. */
static void test_waiting_backward(void **state) {
    (void)state;
    const xlstm_batch good = {.struct_size = sizeof good, .tokens = tokens, .targets = tokens};
    static const int32_t others[B * T] = {5, 6, 7, 8, 9, V}, negative[B * T] = {-3};
    xlstm_batch bad = {.struct_size = sizeof bad, .tokens = others, .targets = tokens};
    xlstm_real d[B * T * V], *gradients[2];
    for (int i = 0; i < B * T * V; i++)
        d[i] = (xlstm_real)(i % 7);
    for (int refuse = 0; refuse < 2; refuse++) {
        xlstm_trainer_zero_gradients(trainer);
        FINE(xlstm_trainer_forward(trainer, &good, NULL));
        if (refuse) {
            REFUSED(xlstm_trainer_evaluate(trainer, &bad, NULL));
            assert_non_null(strstr(xlstm_last_error(), "row 1, position 2: token 11 is not in 0 to 10"));
            REFUSED(xlstm_trainer_forward(trainer, &bad, NULL));
            bad = (xlstm_batch){.struct_size = sizeof bad, .tokens = tokens, .targets = others};
            REFUSED(xlstm_trainer_backward(trainer, &bad, NULL));
            assert_non_null(strstr(xlstm_last_error(), "row 1, position 2: target 11 is not in 0 to 10"));
            bad.tokens = negative;
            REFUSED(xlstm_trainer_evaluate(trainer, &bad, NULL));
            assert_non_null(strstr(xlstm_last_error(), "row 0, position 0: token -3 is not"));
        }
        FINE(xlstm_trainer_backward_from(trainer, d, NULL));
        gradients[refuse] = copy_gradients(trainer, model);
    }
    assert_true(same_numbers(gradients[0], gradients[1], xlstm_module_layout_size(model)));
    xlstm_trainer_zero_gradients(trainer);
    free(gradients[0]);
    free(gradients[1]);
}

static void test_weights_of_a_batch(void **state) {
    (void)state;
    const double odd[] = {-1, -1e-30, NAN, INFINITY, -INFINITY};
    xlstm_real weights[B * T] = {0};
    xlstm_batch b = {.struct_size = sizeof b, .inputs = numbers, .outputs = numbers, .weights = weights};
    xlstm_trainer_config c;
    xlstm_trainer *tr;
    xlstm_trainer_config_init(&c);
    c.batch = B;
    c.time = T;
    FINE(xlstm_trainer_create(&tr, vectors, &c));
    FINE(xlstm_trainer_backward(tr, &b, NULL));
    EACH(i, odd) {
        weights[B * T - 1] = (xlstm_real)odd[i];
        REFUSED(xlstm_trainer_backward(tr, &b, NULL));
        REFUSED(xlstm_trainer_evaluate(tr, &b, NULL));
        assert_non_null(strstr(xlstm_last_error(), "row 1, position 2: weight "));
        FINE(xlstm_trainer_forward(tr, &b, NULL)); /* it is of the loss */
    }
    const int32_t lengths[B] = {T, T - 1}; /* then it is one of the padding */
    b.lengths = lengths;
    FINE(xlstm_trainer_backward(tr, &b, NULL));
    xlstm_trainer_free(tr);
}

/* Sentences give the range that really holds. */
static void test_ranges_in_sentences(void **state) {
    (void)state;
    xlstm_recurrence_config rc;
    xlstm_recurrence *r;
    xlstm_cell_config cc;
    xlstm_module *m;
    xlstm_session *s;
    xlstm_recurrence_config_init(&rc, XLSTM_CELL_MLSTM);
    rc.heads = 1 << 21;
    NOT_MADE(r, xlstm_recurrence_create(&r, &rc));
    assert_non_null(strstr(xlstm_last_error(), "heads is 2097152; it must be 1 to 1048576"));
    xlstm_cell_config_init(&cc, XLSTM_CELL_LSTM);
    cc.hidden_size = (1 << 17) + 1;
    NOT_MADE(m, xlstm_cell_create(&m, &cc, 1));
    assert_non_null(
        strstr(xlstm_last_error(), "input_size must be 1 to 1048576 and hidden_size 1 to 131072"));
    NOT_MADE(s, xlstm_session_create(&s, model, 1 << 20, 1 << 20));
    assert_non_null(strstr(xlstm_last_error(), "whose product is 2^30 at most"));
    xlstm_config c;
    xlstm_config_init(&c, XLSTM_TRANSFORMER);
    c.vocab_size = V;
    c.embedding_dim = 2;
    c.num_heads = 1;
    c.num_blocks = 256;
    c.context_length = (1 << 24) - 1;
    FINE(xlstm_model_create(&m, &c, 1));
    NOT_MADE(s, xlstm_session_create(&s, m, 268501000, 1)); /* their states are 2^64 + 32 KiB */
    assert_non_null(strstr(xlstm_last_error(), "more than any memory"));
    xlstm_module_free(m);
    xlstm_config_init(&c, XLSTM_MLSTM);
    c.vocab_size = V;
    c.slstm_heads = 2000000000; /* no block has them, but tasks are counted by them */
    NOT_MADE(m, xlstm_model_create(&m, &c, 1));
    assert_non_null(strstr(xlstm_last_error(), "slstm_heads is 2e+09; it must be 0 to 131072"));
}

/* A sentence is about what was wrong. */
static void test_causes_in_sentences(void **state) {
    (void)state;
    xlstm_generation g = {.struct_size = sizeof g, .prompt = tokens, .prompt_tokens = 1, .max_tokens = 5};
    xlstm_sampling rule;
    xlstm_sampler *sampler;
    xlstm_sampling_init(&rule);
    FINE(xlstm_sampler_create(&sampler, &rule, V));
    g.stop_count = 2;
    REFUSED(xlstm_generate(session, sampler, &g, NULL));
    xlstm_sampler_free(sampler);
    assert_non_null(strstr(xlstm_last_error(), "stop_count is 2 and stops is NULL"));
    REFUSED(xlstm_module_parameter(model, 0, NULL));
    assert_non_null(strstr(xlstm_last_error(), "a pointer that is not NULL"));
    xlstm_parameter found;
    REFUSED(xlstm_module_parameter(model, -1, &found));
    assert_non_null(strstr(xlstm_last_error(), "there is no parameter -1; the module has 0 to "));
    REFUSED(xlstm_session_reset(NULL, 0));
    assert_non_null(strstr(xlstm_last_error(), "the session is NULL"));
    REFUSED(xlstm_trainer_reset(NULL, 0));
    assert_non_null(strstr(xlstm_last_error(), "the trainer is NULL"));
}

/* A factor is a float; what it makes is what its decimal makes. */
static void test_widths_of_factors(void **state) {
    (void)state;
    static const struct {
        const char *parameter;
        xlstm_block_kind kind;
        int width, rows;
        float factor;
    } cases[] = {
        {"xlstm_block_stack.blocks.0.xlstm.proj_down.weight", XLSTM_MLSTM, 640, 1024, 1.6f},
        {"backbone.blocks.0.ffn.proj_down.weight", XLSTM_MLSTM_LARGE, 768, 1024, 4.0f / 3},
        {"backbone.blocks.0.mlstm_layer.q.weight", XLSTM_MLSTM_LARGE, 640, 448, 0.7f},
    };
    EACH(i, cases) {
        xlstm_config c;
        xlstm_module *m;
        xlstm_parameter p;
        xlstm_config_init(&c, cases[i].kind);
        c.vocab_size = V;
        c.num_blocks = 1;
        c.embedding_dim = cases[i].width;
        c.mlstm_proj_factor = c.ffn_proj_factor = cases[i].factor;
        c.qk_dim_factor = cases[i].factor < 1 ? cases[i].factor : 0.5f;
        FINE(xlstm_model_create(&m, &c, 1));
        FINE(xlstm_module_find(m, cases[i].parameter, &p));
        assert_int_equal(p.shape[i < 2], cases[i].rows);
        xlstm_module_free(m);
    }
}

/* What a struct keeps for later must be zero now. */
static void test_reserved(void **state) {
    (void)state;
    xlstm_cell_config cc;
    xlstm_optimizer_config oc;
    xlstm_module *m;
    xlstm_optimizer *o;
    xlstm_cell_config_init(&cc, XLSTM_CELL_LSTM);
    xlstm_optimizer_config_init(&oc, XLSTM_SGD);
    cc.reserved = oc.reserved = 1;
    NOT_MADE(m, xlstm_cell_create(&m, &cc, 1));
    NOT_MADE(o, xlstm_optimizer_create(&o, model, &oc));
    assert_non_null(strstr(xlstm_last_error(), "reserved is 1"));
}

/* More threads than memory was planned for. */
static void test_more_threads(void **state) {
    (void)state;
    const xlstm_batch b = {.struct_size = sizeof b, .tokens = tokens, .targets = tokens};
    const xlstm_input in = {.struct_size = sizeof in, .time = T, .tokens = tokens};
    const xlstm_mlstm_inputs arrays = {numbers, numbers, numbers, numbers, numbers};
    xlstm_recurrence *m = recurrence(XLSTM_CELL_MLSTM, 1), *s = recurrence(XLSTM_CELL_SLSTM, 1);
    static xlstm_real out[256];
    int before = xlstm_get_threads();
    FINE(xlstm_trainer_forward(trainer, &b, NULL));
    FINE(xlstm_set_threads(before + 1));
    REFUSED(xlstm_session_tokens(session, tokens, T, numbers));
    REFUSED(xlstm_session_prompt(session, tokens, T, numbers));
    REFUSED(xlstm_session_run(session, &in, NULL, NULL));
    REFUSED(xlstm_trainer_evaluate(trainer, &b, NULL));
    REFUSED(xlstm_trainer_backward(trainer, &b, NULL));
    REFUSED(xlstm_trainer_forward(trainer, &b, NULL));
    REFUSED(xlstm_trainer_backward_from(trainer, numbers, NULL));
    REFUSED(xlstm_mlstm_forward(m, NULL, &arrays, out));
    REFUSED(xlstm_rnn_forward(s, NULL, numbers, numbers, out));
    FINE(xlstm_set_threads(before));
    FINE(xlstm_mlstm_forward(m, NULL, &arrays, out));
    FINE(xlstm_rnn_forward(s, NULL, numbers, numbers, out));
    FINE(xlstm_trainer_backward_from(trainer, numbers, NULL));
    FINE(xlstm_session_tokens(session, tokens, T, numbers));
    xlstm_trainer_zero_gradients(trainer);
    xlstm_recurrence_free(m);
    xlstm_recurrence_free(s);
}

static void train_from(xlstm_module *m, const xlstm_real *state) {
    const xlstm_batch b = {
        .struct_size = sizeof b, .tokens = tokens, .targets = tokens, .inputs = numbers, .outputs = numbers};
    xlstm_trainer_config c;
    xlstm_trainer *tr;
    xlstm_real out[9 * 12] = {0};
    xlstm_trainer_config_init(&c);
    c.time = 9;
    c.carry_state = 1;
    for (c.gradients = 0; c.gradients < 2; c.gradients++) {
        if (xlstm_trainer_create(&tr, m, &c) != XLSTM_OK) {
            assert_int_equal(c.gradients, 1); /* attention is not trained with carried state */
            continue;
        }
        FINE(xlstm_trainer_set_state(tr, 0, state));
        FINE(c.gradients ? xlstm_trainer_forward(tr, &b, NULL) : xlstm_trainer_evaluate(tr, &b, NULL));
        FINE(c.gradients ? xlstm_trainer_backward_from(tr, out, NULL) : XLSTM_OK);
        xlstm_trainer_free(tr);
    }
}

/* Any numbers may be a state: what comes out is worth nothing, but nothing outside of the state is touched.
 */
static void test_hostile_state(void **state) {
    (void)state;
    const float odd[] = {NAN, INFINITY, -INFINITY, -1, 1e30f, -1e30f, 1e9f, 0.5f};
    for (int kind = 0; kind < TEST_KINDS; kind++) {
        char name[64];
        xlstm_module *m;
        xlstm_session *s;
        FINE(create_kind(&m, kind, name, 1));
        FINE(xlstm_session_create(&s, m, 1, 4));
        size_t n = xlstm_session_state_size(s);
        xlstm_real *in = calloc(n, sizeof *in), out[9 * 12];
        EACH(i, odd) {
            for (size_t k = 0; k < n; k++)
                in[k] = (xlstm_real)odd[i];
            FINE(xlstm_session_set_state(s, 0, in));
            FINE(xlstm_module_input_dim(m) ? xlstm_session_vectors(s, numbers, 9, out)
                                           : xlstm_session_tokens(s, tokens, 9, out));
            train_from(m, in);
        }
        free(in);
        xlstm_session_free(s);
        xlstm_module_free(m);
    }
}

/* ---- forecast.h ---- */

static xlstm_forecast_model *forecast_model(void) {
    xlstm_forecast_model *m;
    struct xl_forecast_config c;
    xl_forecast_config_init(&c);
    c.num_blocks = 1;
    c.embedding_dim = c.input_ff_dim = 8;
    c.patch_size = c.future_len = c.context_len = 4;
    FINE(xl_forecast_network_create(&m, &c, 1));
    return m;
}

static void test_forecast_models(void **state) {
    (void)state;
    const double *levels = NULL;
    xlstm_forecast_model *m;
    xlstm_forecast_model_free(NULL);
    NOT_MADE(m, xlstm_forecast_model_load(&m, NULL, XLSTM_WEIGHTS_REAL));
    NOT_MADE(m, xlstm_forecast_model_load(&m, missing, XLSTM_WEIGHTS_REAL));
    NOT_MADE(m, xlstm_forecast_model_load(&m, folder, XLSTM_WEIGHTS_KINDS));
    NOT_MADE(m, xlstm_forecast_model_load(&m, folder, (xlstm_weights)-1));
    NOT_MADE(m, xlstm_forecast_model_load(&m, folder, XLSTM_WEIGHTS_REAL)); /* empty */
    REFUSED(xlstm_forecast_model_load(NULL, folder, XLSTM_WEIGHTS_REAL));
    assert_int_equal(xlstm_is_forecast_model(NULL) + xlstm_is_forecast_model(missing) +
                         xlstm_is_forecast_model(folder),
                     0);
    NOT_MADE(m, xlstm_forecast_model_create(&m, NULL, 1));
    NOT_MADE(m, xlstm_forecast_model_create(&m, missing, 1));
    NOT_MADE(m, xlstm_forecast_model_create(&m, folder, 1));
    REFUSED(xlstm_forecast_model_create(NULL, folder, 1));
    REFUSED(xlstm_forecast_model_save(NULL, folder));
    m = forecast_model();
    REFUSED(xlstm_forecast_model_save(m, NULL));
    REFUSED(xlstm_forecast_model_save(m, missing));
    assert_int_equal(xlstm_forecast_model_context(NULL) + xlstm_forecast_model_horizon(NULL), 0);
    assert_int_equal(xlstm_forecast_model_quantiles(NULL, &levels), 0);
    assert_int_equal(xlstm_forecast_model_quantiles(m, NULL), 9);
    xlstm_forecast_model_free(m);
}

static void test_forecasters(void **state) {
    (void)state;
    static const double levels[] = {0, 1, -1, NAN, INFINITY}, value[] = {1, 2, 3};
    double out[9 * 64];
    xlstm_forecast_model *m = forecast_model();
    xlstm_forecaster *f;
    xlstm_forecast_options o, good;
    xlstm_series s = {.dtype = XLSTM_F64, .length = 3, .targets = 1, .target = value};
    xlstm_forecast one = {.quantiles = out};
    xlstm_forecaster_free(NULL);
    xlstm_forecaster_watch(NULL, NULL, NULL);
    xlstm_forecast_options_init_sized(NULL, sizeof o);
    xlstm_forecast_options_init_sized(&good, sizeof good);
    xlstm_forecast_options_init(&good);
    REFUSED(xlstm_forecaster_create(NULL, m, 1));
    NOT_MADE(f, xlstm_forecaster_create(&f, NULL, 1));
    for (size_t i = 1; i < sizeof sizes / sizeof *sizes; i++) /* 0: as many as usual */
        NOT_MADE(f, xlstm_forecaster_create(&f, m, sizes[i]));
    FINE(xlstm_forecaster_create(&f, m, 2));
    REFUSED(xlstm_forecaster_run(NULL, &good, &s, 1, &one));
    REFUSED(xlstm_forecaster_run(f, NULL, &s, 1, &one));
    REFUSED(xlstm_forecaster_run(f, &good, NULL, 1, &one));
    REFUSED(xlstm_forecaster_run(f, &good, &s, 1, NULL));
    for (size_t i = 0; i + 1 < sizeof sizes / sizeof *sizes; i++)
        REFUSED(xlstm_forecaster_run(f, &good, &s, sizes[i], &one));
    EACH(i, sizes) {
        o = good;
        o.horizon = sizes[i];
        o.roll = 1;
        REFUSED(xlstm_forecaster_run(f, &o, &s, 1, &one));
        xlstm_series bad[] = {s, s, s, s};
        bad[0].length = bad[1].targets = sizes[i];
        bad[2].past_rows = bad[3].future_rows = sizes[i] ? sizes[i] : 1; /* and no array */
        EACH(k, bad)
        REFUSED(xlstm_forecaster_run(f, &good, &bad[k], 1, &one));
    }
    EACH(i, levels) {
        o = good;
        o.quantiles = &levels[i];
        o.quantile_count = 1;
        REFUSED(xlstm_forecaster_run(f, &o, &s, 1, &one));
    }
    o.quantile_count = 0;
    REFUSED(xlstm_forecaster_run(f, &o, &s, 1, &one));
    s.future_rows = 1;
    s.future = value;
    s.future_length = INT_MIN;
    REFUSED(xlstm_forecaster_run(f, &good, &s, 1, &one));
    s.future_rows = 0;
    FINE(xlstm_forecaster_run(f, &good, &s, 1, &one));
    xlstm_forecaster_free(f);
    xlstm_forecast_model_free(m);
}

/* ---- sample.h ---- */

static void test_sampling(void **state) {
    (void)state;
    const float bad[] = {-1, NAN, INFINITY, -INFINITY, 2e6f};
    xlstm_sampling rule, none = {0};
    xlstm_sampler *s;
    int32_t token;
    xlstm_sampling_init(NULL);
    xlstm_sampler_free(NULL);
    xlstm_sampling_init(&rule);
    REFUSED(xlstm_sampler_create(NULL, &rule, V));
    NOT_MADE(s, xlstm_sampler_create(&s, NULL, V));
    NOT_MADE(s, xlstm_sampler_create(&s, &none, V));
    EACH(i, sizes)
    NOT_MADE(s, xlstm_sampler_create(&s, &rule, sizes[i]));
    float *const fields[] = {&rule.temperature, &rule.top_p, &rule.min_p};
    EACH(k, fields) EACH(i, bad) {
        float before = *fields[k];
        *fields[k] = bad[i];
        NOT_MADE(s, xlstm_sampler_create(&s, &rule, V));
        *fields[k] = before;
    }
    rule.top_k = INT_MIN;
    NOT_MADE(s, xlstm_sampler_create(&s, &rule, V));
    rule.top_k = INT_MAX; /* more than there are: all */
    FINE(xlstm_sampler_create(&s, &rule, V));
    REFUSED(xlstm_sampler_pick(NULL, numbers, &token));
    REFUSED(xlstm_sampler_pick(s, NULL, &token));
    REFUSED(xlstm_sampler_pick(s, numbers, NULL));
    const float logits[] = {NAN, INFINITY};
    EACH(i, logits) {
        numbers[V - 1] = (xlstm_real)logits[i];
        REFUSED(xlstm_sampler_pick(s, numbers, &token));
    }
    numbers[V - 1] = 0;
    xlstm_sampler_free(s);
}

static void test_generation(void **state) {
    (void)state;
    xlstm_sampling rule;
    xlstm_sampler *s, *other;
    xlstm_session *one;
    int made;
    xlstm_sampling_init(&rule);
    FINE(xlstm_sampler_create(&s, &rule, V));
    FINE(xlstm_sampler_create(&other, &rule, V + 1));
    FINE(xlstm_session_create(&one, model, 1, T));
    const xlstm_generation good = {
        .struct_size = sizeof good, .prompt = tokens, .prompt_tokens = 1, .max_tokens = 1};
    xlstm_generation g = good;
    REFUSED(xlstm_generate(NULL, s, &g, &made));
    REFUSED(xlstm_generate(one, NULL, &g, &made));
    REFUSED(xlstm_generate(one, s, NULL, &made));
    REFUSED(xlstm_generate(session, s, &g, &made)); /* two streams */
    REFUSED(xlstm_generate(one, other, &g, &made));
    EACH(i, sizes) {
        g = good;
        g.prompt_tokens = sizes[i] == INT_MAX ? -7 : sizes[i];
        REFUSED(xlstm_generate(one, s, &g, &made));
        g = good;
        g.max_tokens = sizes[i] == INT_MAX ? -7 : sizes[i];
        REFUSED(xlstm_generate(one, s, &g, NULL));
        g = good;
        g.stop_count = sizes[i] ? sizes[i] : 1; /* without stops */
        REFUSED(xlstm_generate(one, s, &g, &made));
    }
    g = good;
    g.struct_size = 0;
    REFUSED(xlstm_generate(one, s, &g, &made));
    g = good;
    g.prompt = NULL;
    REFUSED(xlstm_generate(one, s, &g, &made));
    assert_int_equal(made, 0);
    xlstm_session_free(one);
    xlstm_sampler_free(s);
    xlstm_sampler_free(other);
}

/* ---- tensors.h ---- */

static void test_tensors(void **state) {
    (void)state;
    xlstm_tensors *file;
    xlstm_tensor t;
    EACH(i, sizes) {
        xlstm_dtype dtype = (xlstm_dtype)(sizes[i] ? sizes[i] : XLSTM_DTYPES);
        assert_null(xlstm_dtype_name(dtype));
        assert_int_equal(xlstm_dtype_size(dtype), 0);
    }
    xlstm_tensors_close(NULL);
    assert_int_equal(xlstm_tensors_count(NULL), 0);
    const char *const paths[] = {NULL, "", missing, folder};
    EACH(i, paths)
    NOT_MADE(file, xlstm_tensors_open(&file, paths[i]));
    REFUSED(xlstm_tensors_open(NULL, missing));
    REFUSED(xlstm_tensors_get(NULL, 0, &t));
    REFUSED(xlstm_tensors_find(NULL, "x", &t));
    REFUSED(xlstm_tensors_find(NULL, NULL, NULL));
}

static void test_conversion(void **state) {
    (void)state;
    double doubles[4];
    int64_t integers[4];
    xlstm_tensor t = {.name = "x", .dtype = XLSTM_F32, .ndim = 1, .shape = {2}, .count = 2, .data = numbers};
    REFUSED(xlstm_tensor_reals(NULL, numbers));
    REFUSED(xlstm_tensor_doubles(NULL, doubles));
    REFUSED(xlstm_tensor_int64s(NULL, integers));
    REFUSED(xlstm_tensor_reals(&t, NULL));
    REFUSED(xlstm_tensor_doubles(&t, NULL));
    REFUSED(xlstm_tensor_int64s(&t, integers)); /* not whole numbers */
    t.dtype = XLSTM_I32;
    REFUSED(xlstm_tensor_int64s(&t, NULL));
    t.data = NULL;
    REFUSED(xlstm_tensor_reals(&t, numbers));
    REFUSED(xlstm_tensor_doubles(&t, doubles));
    REFUSED(xlstm_tensor_int64s(&t, integers));
    t.data = numbers;
    t.name = NULL;
    const int kinds[] = {XLSTM_DTYPES, -1, INT_MIN, INT_MAX};
    EACH(i, kinds) {
        t.dtype = (xlstm_dtype)kinds[i];
        REFUSED(xlstm_tensor_reals(&t, numbers));
        REFUSED(xlstm_tensor_doubles(&t, doubles));
        REFUSED(xlstm_tensor_int64s(&t, integers));
    }
}

static void test_writing(void **state) {
    (void)state;
    const xlstm_tensor good = {.name = "x", .dtype = XLSTM_F32, .ndim = 1, .shape = {2}, .data = numbers};
    char path[64];
    snprintf(path, sizeof path, "%s/x.safetensors", folder);
    REFUSED(xlstm_tensors_write(NULL, &good, 1));
    REFUSED(xlstm_tensors_write(missing, &good, 1));
    REFUSED(xlstm_tensors_write(folder, &good, 1));
    REFUSED(xlstm_tensors_write(path, NULL, 1));
    REFUSED(xlstm_tensors_write(path, &good, -1));
    REFUSED(xlstm_tensors_write(path, &good, INT_MIN));
    const xlstm_tensor twice[] = {good, good};
    REFUSED(xlstm_tensors_write(path, twice, 2));
    const int dims[] = {-1, XLSTM_MAX_DIMS + 1, INT_MIN, INT_MAX};
    EACH(i, dims) {
        xlstm_tensor t = good;
        t.ndim = dims[i];
        REFUSED(xlstm_tensors_write(path, &t, 1));
        t = good;
        t.dtype = (xlstm_dtype)(dims[i] == XLSTM_MAX_DIMS + 1 ? XLSTM_DTYPES : dims[i]);
        REFUSED(xlstm_tensors_write(path, &t, 1));
    }
    const int64_t shapes[] = {-1, INT64_MIN, INT64_MAX, INT64_MAX / 2};
    EACH(i, shapes) {
        xlstm_tensor t = good;
        t.shape[0] = shapes[i];
        REFUSED(xlstm_tensors_write(path, &t, 1));
        t.ndim = 2; /* together they wrap around */
        t.shape[1] = 4;
        REFUSED(xlstm_tensors_write(path, &t, 1));
    }
    const char *const names[] = {NULL, "__metadata__", "\xff\xfe"};
    EACH(i, names) {
        xlstm_tensor t = good;
        t.name = names[i];
        REFUSED(xlstm_tensors_write(path, &t, 1));
    }
    xlstm_tensor t = good;
    t.data = NULL;
    REFUSED(xlstm_tensors_write(path, &t, 1));
    const xlstm_metadata text = {"a", "b"}, none = {NULL, NULL};
    assert_null(xlstm_tensors_metadata(NULL, "a"));
    REFUSED(xlstm_tensors_write_with(NULL, &good, 1, &text, 1));
    REFUSED(xlstm_tensors_write_with(folder, &good, 1, &text, 1));
    REFUSED(xlstm_tensors_write_with(path, NULL, 1, &text, 1));
    REFUSED(xlstm_tensors_write_with(path, &good, INT_MIN, &text, 1));
    REFUSED(xlstm_tensors_write_with(path, &good, 1, NULL, 1));
    REFUSED(xlstm_tensors_write_with(path, &good, 1, &text, INT_MIN));
    REFUSED(xlstm_tensors_write_with(path, &good, 1, &none, 1));
    assert_int_not_equal(access(path, F_OK), 0); /* nothing was written */
}

/* ---- tokenizer.h ---- */

static void test_tokenizers(void **state) {
    (void)state;
    static const char *const words[] = {"<unk>", "a", "b"}, *const holes[] = {"a", NULL};
    const char *const paths[] = {NULL, "", missing, folder};
    xlstm_tokenizer *t;
    xlstm_tokenizer_free(NULL);
    assert_int_equal(xlstm_tokenizer_size(NULL), 0);
    EACH(i, paths)
    NOT_MADE(t, xlstm_tokenizer_load(&t, paths[i]));
    REFUSED(xlstm_tokenizer_load(NULL, missing));
    REFUSED(xlstm_tokenizer_from_words(NULL, words, 3));
    NOT_MADE(t, xlstm_tokenizer_from_words(&t, NULL, 3));
    NOT_MADE(t, xlstm_tokenizer_from_words(&t, holes, 2));
    NOT_MADE(t, xlstm_tokenizer_from_words(&t, words, 0));
    NOT_MADE(t, xlstm_tokenizer_from_words(&t, words, INT_MIN));
    REFUSED(xlstm_tokenizer_from_text(NULL, "a", 1));
    NOT_MADE(t, xlstm_tokenizer_from_text(&t, NULL, 1));
    NOT_MADE(t, xlstm_tokenizer_from_text(&t, NULL, SIZE_MAX));
    NOT_MADE(t, xlstm_tokenizer_from_text(&t, "\xff", 1));
}

static void test_tokenizer_calls(void **state) {
    (void)state;
    static const char *const words[] = {"<unk>", "a", "b"};
    xlstm_tokenizer *t;
    xlstm_utf8_rest rest = {"", -1};
    const char *text;
    char bytes[16];
    size_t n;
    FINE(xlstm_tokenizer_from_words(&t, words, 3));
    REFUSED(xlstm_tokenizer_save(NULL, missing));
    REFUSED(xlstm_tokenizer_save(t, NULL));
    REFUSED(xlstm_tokenizer_save(t, missing));
    REFUSED(xlstm_tokenizer_find(NULL, "a", tokens));
    REFUSED(xlstm_tokenizer_find(t, NULL, tokens));
    REFUSED(xlstm_tokenizer_find(t, "a", NULL));
    REFUSED(xlstm_tokenizer_find(t, "", tokens));
    REFUSED(xlstm_tokenizer_encode(NULL, "a", 1, tokens, 9, &n));
    REFUSED(xlstm_tokenizer_encode(t, NULL, 1, tokens, 9, &n));
    REFUSED(xlstm_tokenizer_encode(t, "a", 1, NULL, 9, &n));
    REFUSED(xlstm_tokenizer_encode(t, "a", 1, tokens, 9, NULL));
    REFUSED(xlstm_tokenizer_encode(t, "a", 1, NULL, 0, &n));
    REFUSED(xlstm_tokenizer_encode(t, "\xff", 1, tokens, 9, &n));
    const int32_t bad[] = {-1, 3, INT32_MIN, INT32_MAX};
    EACH(i, bad) {
        REFUSED(xlstm_tokenizer_piece(t, bad[i], &text, &n));
        REFUSED(xlstm_tokenizer_decode(t, &bad[i], 1, NULL, bytes, sizeof bytes, &n));
        rest.count = bad[i] == 3 ? 5 : bad[i];
        REFUSED(xlstm_tokenizer_decode(t, tokens, 1, &rest, bytes, sizeof bytes, &n));
    }
    REFUSED(xlstm_tokenizer_piece(NULL, 0, &text, &n));
    REFUSED(xlstm_tokenizer_piece(t, 0, NULL, &n));
    REFUSED(xlstm_tokenizer_piece(t, 0, &text, NULL));
    REFUSED(xlstm_tokenizer_decode(NULL, tokens, 1, NULL, bytes, sizeof bytes, &n));
    REFUSED(xlstm_tokenizer_decode(t, NULL, 1, NULL, bytes, sizeof bytes, &n));
    REFUSED(xlstm_tokenizer_decode(t, tokens, 1, NULL, NULL, 1, &n));
    REFUSED(xlstm_tokenizer_decode(t, tokens, 1, NULL, NULL, 0, &n));
    REFUSED(xlstm_tokenizer_decode(t, tokens, 1, NULL, bytes, sizeof bytes, NULL));
    xlstm_tokenizer_free(t);
}

/* ---- train.h ---- */

static void test_trainers(void **state) {
    (void)state;
    xlstm_trainer_config c, none = {0};
    xlstm_trainer *tr;
    xlstm_trainer_config_init(NULL);
    xlstm_trainer_free(NULL);
    xlstm_trainer_zero_gradients(NULL);
    assert_true(xlstm_trainer_gradient_norm(NULL) == 0);
    assert_int_equal(xlstm_trainer_memory_of(NULL).tape, 0);
    xlstm_trainer_config_init(&c);
    REFUSED(xlstm_trainer_create(NULL, model, &c));
    NOT_MADE(tr, xlstm_trainer_create(&tr, NULL, &c));
    NOT_MADE(tr, xlstm_trainer_create(&tr, model, NULL));
    NOT_MADE(tr, xlstm_trainer_create(&tr, model, &none));
    NOT_MADE(tr, xlstm_trainer_create(&tr, small, &c));
    EACH(i, sizes) {
        xlstm_trainer_config_init(&c);
        c.batch = sizes[i];
        NOT_MADE(tr, xlstm_trainer_create(&tr, model, &c));
        xlstm_trainer_config_init(&c);
        c.time = sizes[i];
        NOT_MADE(tr, xlstm_trainer_create(&tr, model, &c));
    }
    const float bad[] = {1, 2, NAN, INFINITY};
    EACH(i, bad) {
        xlstm_trainer_config_init(&c);
        c.dropout = bad[i];
        NOT_MADE(tr, xlstm_trainer_create(&tr, model, &c));
    }
    EACH(i, sizes) {
        xlstm_trainer_config_init(&c);
        c.products = (xlstm_products)(sizes[i] ? sizes[i] : XLSTM_PRODUCTS_BF16 + 1);
        NOT_MADE(tr, xlstm_trainer_create(&tr, model, &c));
    }
}

static void test_gradients(void **state) {
    (void)state;
    const size_t size = xlstm_module_layout_size(model);
    const struct {
        size_t from, count;
    } outside[] = {{0, size + 1},    {size, 1},     {1, size},     {size + 1, 0},
                   {SIZE_MAX, 1},    {1, SIZE_MAX}, {0, SIZE_MAX}, {SIZE_MAX, SIZE_MAX},
                   {2, SIZE_MAX - 1}};
    EACH(i, outside) {
        REFUSED(xlstm_trainer_read_gradients(trainer, outside[i].from, outside[i].count, numbers));
        assert_non_null(strstr(xlstm_last_error(), "do not lie in the layout"));
        REFUSED(xlstm_trainer_write_gradients(trainer, outside[i].from, outside[i].count, numbers));
        assert_non_null(strstr(xlstm_last_error(), "do not lie in the layout"));
    }
    REFUSED(xlstm_trainer_read_gradients(NULL, 0, 1, numbers));
    REFUSED(xlstm_trainer_read_gradients(trainer, 0, 1, NULL));
    REFUSED(xlstm_trainer_write_gradients(NULL, 0, 1, numbers));
    REFUSED(xlstm_trainer_write_gradients(trainer, 0, 1, NULL));
    FINE(xlstm_trainer_read_gradients(trainer, size, 0, numbers)); /* none are asked for */
    FINE(xlstm_trainer_write_gradients(trainer, size, 0, numbers));
    xlstm_trainer_config c;
    xlstm_trainer *without;
    xlstm_trainer_config_init(&c);
    c.gradients = 0;
    FINE(xlstm_trainer_create(&without, model, &c));
    REFUSED(xlstm_trainer_read_gradients(without, 0, 1, numbers));
    assert_non_null(strstr(xlstm_last_error(), "gradients = 0"));
    REFUSED(xlstm_trainer_write_gradients(without, 0, 1, numbers));
    xlstm_trainer_free(without);
}

static void test_trainer_states(void **state) {
    (void)state;
    xlstm_trainer_config c;
    xlstm_trainer *carrying;
    xlstm_trainer_config_init(&c);
    c.batch = B;
    c.carry_state = 1;
    FINE(xlstm_trainer_create(&carrying, model, &c));
    assert_int_equal(xlstm_trainer_state_size(NULL), 0);
    assert_int_equal(xlstm_trainer_state_size(trainer), 0);
    assert_in_range(xlstm_trainer_state_size(carrying), 1, sizeof numbers / sizeof *numbers);
    const int streams[] = {-2, B, INT_MIN, INT_MAX};
    EACH(i, streams) {
        REFUSED(xlstm_trainer_reset(carrying, streams[i]));
        REFUSED(xlstm_trainer_get_state(carrying, streams[i], numbers));
        REFUSED(xlstm_trainer_set_state(carrying, streams[i], numbers));
    }
    REFUSED(xlstm_trainer_reset(NULL, 0));
    REFUSED(xlstm_trainer_get_state(NULL, 0, numbers));
    REFUSED(xlstm_trainer_set_state(NULL, 0, numbers));
    REFUSED(xlstm_trainer_get_state(carrying, 0, NULL));
    REFUSED(xlstm_trainer_set_state(carrying, 0, NULL));
    REFUSED(xlstm_trainer_get_state(trainer, 0, numbers)); /* it carries none */
    REFUSED(xlstm_trainer_set_state(trainer, 0, numbers));
    xlstm_trainer_free(carrying);
}

static void no_batch(const xlstm_batch *b) {
    xlstm_loss loss;
    REFUSED(xlstm_trainer_evaluate(trainer, b, &loss));
    REFUSED(xlstm_trainer_backward(trainer, b, &loss));
    REFUSED(xlstm_trainer_forward(trainer, b, numbers));
}

static void test_batches(void **state) {
    (void)state;
    const xlstm_batch good = {.struct_size = sizeof good, .tokens = tokens, .targets = tokens};
    int32_t lengths[B] = {T, T};
    xlstm_batch b;
    no_batch(NULL);
    REFUSED(xlstm_trainer_evaluate(NULL, &good, NULL));
    REFUSED(xlstm_trainer_backward(NULL, &good, NULL));
    REFUSED(xlstm_trainer_forward(NULL, &good, NULL));
    b = good;
    b.struct_size = 0;
    no_batch(&b);
    const int times[] = {-1, T + 1, INT_MIN, INT_MAX};
    EACH(i, times) {
        b = good;
        b.time = times[i];
        no_batch(&b);
        b = good;
        b.lengths = lengths;
        lengths[B - 1] = times[i];
        no_batch(&b);
    }
    b = good;
    b.tokens = NULL;
    no_batch(&b);
    b = good;
    b.targets = NULL;
    REFUSED(xlstm_trainer_backward(trainer, &b, NULL));
    assert_non_null(strstr(xlstm_last_error(), "lacks targets"));
    const int32_t beyond[B * T] = {V, INT32_MAX};
    b.targets = beyond;
    REFUSED(xlstm_trainer_backward(trainer, &b, NULL));
    const int32_t bad[] = {-1, V, INT32_MIN, INT32_MAX};
    EACH(i, bad) {
        b = good;
        tokens[B * T - 1] = bad[i];
        no_batch(&b);
    }
    memset(tokens, 0, sizeof tokens);
    REFUSED(xlstm_trainer_backward_from(NULL, numbers, NULL));
    REFUSED(xlstm_trainer_backward_from(trainer, NULL, NULL));
    REFUSED(xlstm_trainer_backward_from(trainer, numbers, NULL)); /* no forward waits */
    b = good;
    b.targets = beyond; /* a loss of the caller's own may mean something by it */
    FINE(xlstm_trainer_forward(trainer, &b, NULL));
    REFUSED(xlstm_trainer_backward_from(trainer, numbers, numbers)); /* tokens have no gradient */
}

/* ---- optim.h ---- */

static void test_optimizers(void **state) {
    (void)state;
    const float bad[] = {-1, NAN, INFINITY, -INFINITY};
    xlstm_optimizer_config c, none = {0};
    xlstm_optimizer *o, *other;
    xlstm_optimizer_config_init(NULL, XLSTM_ADAMW);
    xlstm_optimizer_free(NULL);
    assert_int_equal(xlstm_optimizer_steps(NULL), 0);
    xlstm_optimizer_config_init(&c, XLSTM_ADAMW);
    REFUSED(xlstm_optimizer_create(NULL, model, &c));
    NOT_MADE(o, xlstm_optimizer_create(&o, NULL, &c));
    NOT_MADE(o, xlstm_optimizer_create(&o, model, NULL));
    NOT_MADE(o, xlstm_optimizer_create(&o, model, &none));
    NOT_MADE(o, xlstm_optimizer_create(&o, small, &c));
    float *const fields[] = {&c.beta1, &c.beta2, &c.eps, &c.momentum, &c.weight_decay, &c.clip};
    EACH(k, fields) EACH(i, bad) {
        float before = *fields[k];
        *fields[k] = bad[i];
        if (fields[k] != &c.clip || bad[i] != INFINITY) /* that one is as good as none */
            NOT_MADE(o, xlstm_optimizer_create(&o, model, &c));
        *fields[k] = before;
    }
    EACH(i, sizes) {
        c.kind = (xlstm_optimizer_kind)(sizes[i] ? sizes[i] : XLSTM_OPTIMIZER_KINDS);
        NOT_MADE(o, xlstm_optimizer_create(&o, model, &c));
    }
    xlstm_optimizer_config_init(&c, XLSTM_SGD);
    FINE(xlstm_optimizer_create(&other, vectors, &c));
    REFUSED(xlstm_optimizer_step(other, trainer, 0.1f, NULL));
    REFUSED(xlstm_optimizer_step(NULL, trainer, 0.1f, NULL));
    REFUSED(xlstm_optimizer_step(optimizer, NULL, 0.1f, NULL));
    EACH(i, bad)
    REFUSED(xlstm_optimizer_step(optimizer, trainer, bad[i], NULL));
    assert_int_equal(xlstm_optimizer_steps(optimizer), 0);
    xlstm_optimizer_free(other);
}

static void test_schedules(void **state) {
    (void)state;
    const int64_t steps[] = {0, 1, -1, INT64_MIN, INT64_MAX};
    assert_true(xlstm_schedule_rate(NULL, 1) == 0);
    for (int kind = -1; kind < 4; kind++)
        EACH(i, steps) EACH(j, steps) EACH(k, steps) {
            xlstm_schedule s = {(xlstm_schedule_kind)kind, 1, 0.1f, steps[i], steps[j]};
            assert_true(isfinite(xlstm_schedule_rate(&s, steps[k])));
        }
}

/* ---- checkpoint.h ---- */

static void test_checkpoints(void **state) {
    (void)state;
    const char *const paths[] = {NULL, "", missing, folder};
    xlstm_checkpoint_info info = {.struct_size = sizeof info}, none = {0};
    xlstm_optimizer_config c;
    xlstm_optimizer *other;
    char good[64], bytes[4] = "abc";
    snprintf(good, sizeof good, "%s/run", folder);
    EACH(i, paths) {
        REFUSED(xlstm_checkpoint_save(paths[i], trainer, optimizer, NULL, 0));
        REFUSED(xlstm_checkpoint_load(paths[i], trainer, optimizer, NULL, 0));
        REFUSED(xlstm_checkpoint_peek(paths[i], &info, NULL, 0));
    }
    xlstm_optimizer_config_init(&c, XLSTM_SGD);
    FINE(xlstm_optimizer_create(&other, vectors, &c));
    REFUSED(xlstm_checkpoint_save(good, NULL, optimizer, NULL, 0));
    REFUSED(xlstm_checkpoint_save(good, trainer, other, NULL, 0));
    REFUSED(xlstm_checkpoint_save(good, trainer, optimizer, NULL, 4));
    REFUSED(xlstm_checkpoint_save(good, trainer, optimizer, NULL, SIZE_MAX));
    assert_int_not_equal(access(good, F_OK), 0);
    FINE(xlstm_checkpoint_save(good, trainer, optimizer, bytes, sizeof bytes));
    REFUSED(xlstm_checkpoint_load(good, NULL, optimizer, NULL, 0));
    REFUSED(xlstm_checkpoint_load(good, trainer, other, NULL, 0));
    const size_t rooms[] = {0, 3, 5, SIZE_MAX};
    EACH(i, rooms) {
        REFUSED(xlstm_checkpoint_load(good, trainer, optimizer, bytes, rooms[i]));
        REFUSED(xlstm_checkpoint_peek(good, &info, bytes, rooms[i]));
    }
    REFUSED(xlstm_checkpoint_peek(good, &none, NULL, 0));
    FINE(xlstm_checkpoint_peek(good, NULL, NULL, 0));
    FINE(xlstm_checkpoint_load(good, trainer, optimizer, NULL, 0));
    xlstm_optimizer_free(other);
    unlink(good);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hooks),
        cmocka_unit_test(test_backends),
        cmocka_unit_test(test_devices),
        cmocka_unit_test(test_profile),
        cmocka_unit_test(test_waiting_backward),
        cmocka_unit_test(test_weights_of_a_batch),
        cmocka_unit_test(test_ranges_in_sentences),
        cmocka_unit_test(test_causes_in_sentences),
        cmocka_unit_test(test_widths_of_factors),
        cmocka_unit_test(test_reserved),
        cmocka_unit_test(test_more_threads),
        cmocka_unit_test(test_checkpoints),
        cmocka_unit_test(test_common),
        cmocka_unit_test(test_config),
        cmocka_unit_test(test_config_fields),
        cmocka_unit_test(test_creators),
        cmocka_unit_test(test_module),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_gather),
        cmocka_unit_test(test_sessions),
        cmocka_unit_test(test_session_calls),
        cmocka_unit_test(test_sizes_of_structs),
        cmocka_unit_test(test_recurrences),
        cmocka_unit_test(test_recurrence_calls),
        cmocka_unit_test(test_spans),
        cmocka_unit_test(test_inputs),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_trainer_states),
        cmocka_unit_test(test_hostile_state),
        cmocka_unit_test(test_forecast_models),
        cmocka_unit_test(test_forecasters),
        cmocka_unit_test(test_sampling),
        cmocka_unit_test(test_generation),
        cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_conversion),
        cmocka_unit_test(test_writing),
        cmocka_unit_test(test_tokenizers),
        cmocka_unit_test(test_tokenizer_calls),
        cmocka_unit_test(test_trainers),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_optimizers),
        cmocka_unit_test(test_schedules),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
