/* The file of a checkpoint: every damaged bit is found, what belongs to another run is refused with what
 * differs, a full disk costs nothing but the new one, and nothing that was refused has changed anything. */
#include "base/mem.h"
#include "file/file.h"
#include "file/safetensors.h"
#include "ops/memory.h"
#include "support/training_run.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <zlib.h>

static char folder[64], path[96], temporary[96], other[96], before[96], after[96];
static const char mine[] = "bytes of my own";

static void save_to(const training_run *r, const char *where) {
    if (xlstm_checkpoint_save(where, r->tr, r->opt, mine, sizeof mine))
        fail_msg("%s", xlstm_last_error());
}

static void expect(xlstm_status status, xlstm_status wanted, const char *because) {
    if (status != wanted || !strstr(xlstm_last_error(), because))
        fail_msg("expected %d with \"%s\", got %d \"%s\"", wanted, because, status, xlstm_last_error());
}

/* Loading fails so, and has changed nothing. */
static void refused(training_run *r, xlstm_status wanted, const char *because) {
    char own[sizeof mine] = "";
    save_to(r, before);
    expect(xlstm_checkpoint_load(path, r->tr, r->opt, own, sizeof own), wanted, because);
    assert_non_null(strstr(xlstm_last_error(), path));
    save_to(r, after);
    assert_true(same_files(before, after) && !own[0]);
}

static void put(const char *where, const void *bytes, size_t size) {
    FILE *f = fopen(where, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

static int exists(const char *name) {
    struct stat st;
    return !stat(name, &st);
}

/* As small as a run can be. */
static void tiny_open(training_run *r, int input_size, int batch, int carry, xlstm_optimizer_kind optimizer) {
    xlstm_cell_config c;
    xlstm_trainer_config tc;
    xlstm_optimizer_config oc;
    xlstm_cell_config_init(&c, XLSTM_CELL_LSTM);
    c.input_size = input_size;
    c.hidden_size = 1;
    assert_int_equal(xlstm_cell_create(&r->m, &c, 7), XLSTM_OK);
    xlstm_trainer_config_init(&tc);
    tc.time = 1;
    tc.batch = batch;
    tc.carry_state = carry;
    assert_int_equal(xlstm_trainer_create(&r->tr, r->m, &tc), XLSTM_OK);
    xlstm_optimizer_config_init(&oc, optimizer);
    assert_int_equal(xlstm_optimizer_create(&r->opt, r->m, &oc), XLSTM_OK);
}

static void tiny_step(training_run *r, xlstm_real x) {
    xlstm_batch b = {.struct_size = sizeof b, .inputs = &x, .outputs = &x};
    assert_int_equal(xlstm_trainer_backward(r->tr, &b, NULL), XLSTM_OK);
    run_update(r);
}

/* ---- damage ---- */

static void test_every_bit(void **state) {
    (void)state;
    training_run r;
    size_t size;
    char own[sizeof mine] = "";
    tiny_open(&r, 1, 1, 1, XLSTM_ADAMW);
    tiny_step(&r, 1);
    save_to(&r, path);
    tiny_step(&r, 2);
    save_to(&r, before);
    char *bytes = read_file(path, &size);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    for (size_t bit = 0; bit < size * 8; bit++) {
        char bad = (char)(bytes[bit / 8] ^ 1 << bit % 8);
        assert_int_equal(pwrite(fd, &bad, 1, (off_t)(bit / 8)), 1);
        xlstm_status status = xlstm_checkpoint_load(path, r.tr, r.opt, own, sizeof own);
        if (status != XLSTM_E_FORMAT || !strstr(xlstm_last_error(), path))
            fail_msg("bit %zu of %zu: %d \"%s\"", bit, size * 8, status, xlstm_last_error());
        assert_int_equal(pwrite(fd, &bytes[bit / 8], 1, (off_t)(bit / 8)), 1);
    }
    close(fd);
    for (size_t length = 0; length < size; length++) {
        put(path, bytes, length);
        xlstm_status status = xlstm_checkpoint_load(path, r.tr, r.opt, own, sizeof own);
        if (status != XLSTM_E_FORMAT || !strstr(xlstm_last_error(), path))
            fail_msg("%zu of %zu bytes: %d \"%s\"", length, size, status, xlstm_last_error());
    }
    save_to(&r, after);
    assert_true(same_files(before, after) && !own[0]);
    put(path, bytes, size);
    assert_int_equal(xlstm_checkpoint_load(path, r.tr, r.opt, own, sizeof own), XLSTM_OK);
    assert_string_equal(own, mine);
    free(bytes);
    run_close(&r);
    unlink(path);
}

/* Flips a bit of the last byte of a tensor. */
static void damage(const char *name) {
    xlstm_tensors *file;
    xlstm_tensor t;
    size_t size, head, at;
    assert_int_equal(xlstm_tensors_open(&file, path), XLSTM_OK);
    assert_int_equal(xlstm_tensors_find(file, name, &t), XLSTM_OK);
    at = (size_t)((const char *)t.data - xl_tensors_head_of(file, &head)) +
         t.count * xlstm_dtype_size(t.dtype) - 1;
    xlstm_tensors_close(file);
    char *bytes = read_file(path, &size);
    bytes[at] ^= 4;
    put(path, bytes, size);
    free(bytes);
}

static void test_damage_is_named(void **state) {
    (void)state;
    training_run r;
    run_open(&r, TEST_KINDS - 2, XLSTM_ADAMW, 7);
    run_backward(&r, 0);
    const char *const parts[] = {"weights.xlstm_block_stack.blocks.1.xlstm.slstm_cell._bias_",
                                 "second.token_embedding.weight", "gradients.token_embedding.weight", "state",
                                 "user"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        save_to(&r, path);
        damage(parts[i]);
        refused(&r, XLSTM_E_FORMAT, parts[i]);
        unlink(path);
    }
    save_to(&r, path);
    damage("header.crc32");
    refused(&r, XLSTM_E_FORMAT, "the header is damaged");
    unlink(path);
    run_close(&r);
}

/* A file whose checksums are right and whose header says something else; value NULL: says nothing. A tensor
 * called `key` gets another name. */
static void forge(const char *key, const char *value) {
    xlstm_tensors *file;
    xlstm_tensor t[200];
    uint32_t crc = 0;
    char *head;
    size_t bytes;
    int count;
    assert_int_equal(xlstm_tensors_open(&file, path), XLSTM_OK);
    json_t *about = json_deep_copy(xl_tensors_metadata(file));
    count = xlstm_tensors_count(file);
    assert_true(count <= 200);
    for (int i = 0; i < count; i++) {
        char was[160], is[160];
        assert_int_equal(xlstm_tensors_get(file, i, &t[i]), XLSTM_OK);
        if (!strcmp(t[i].name, "header.crc32"))
            t[i].data = &crc;
        if (strcmp(t[i].name, key))
            continue;
        t[i].name = value;
        snprintf(was, sizeof was, "crc32.%s", key);
        snprintf(is, sizeof is, "crc32.%s", value);
        json_object_set(about, is, json_object_get(about, was));
    }
    if (value)
        json_object_set_new(about, key, json_string(value));
    else
        json_object_del(about, key);
    assert_int_equal(xl_tensors_head(&head, &bytes, t, count, about), XLSTM_OK);
    crc = (uint32_t)crc32_z(0, (const unsigned char *)head, bytes);
    xl_file_replace to;
    assert_int_equal(xl_file_replace_open(&to, path, XL_FILE_REGULAR), XLSTM_OK);
    xl_tensors_put(&to, head, bytes, t, count, NULL);
    assert_int_equal(xl_file_replace_commit(&to), XLSTM_OK);
    json_decref(about);
    xl_free(head);
    xlstm_tensors_close(file);
}

static void test_forged(void **state) {
    (void)state;
    const struct {
        const char *key, *value, *because;
        xlstm_status status;
    } cases[] = {
        {"checkpoint", "libxlstm 2", "this library reads", XLSTM_E_FORMAT},
        {"checkpoint", NULL, "not a checkpoint", XLSTM_E_FORMAT},
        {"steps", "-1", "entry steps", XLSTM_E_FORMAT},
        {"steps", "9223372036854775808", "entry steps", XLSTM_E_FORMAT},
        {"calls", "", "entry calls", XLSTM_E_FORMAT},
        {"calls", "1x", "entry calls", XLSTM_E_FORMAT},
        {"seed", NULL, "entry seed", XLSTM_E_FORMAT},
        {"seed", "18446744073709551616", "entry seed", XLSTM_E_FORMAT},
        {"bad_loss", "2", "entry bad_loss", XLSTM_E_FORMAT},
        {"config",
         "{\"model_type\": \"libxlstm\", \"blocks\": [\"slstm\"], \"ffn_round_up\": 0, \"num_heads\": 0}",
         "num_heads is 0", XLSTM_E_CONFIG},
        {"config", "{", "malformed", XLSTM_E_FORMAT},
        {"config", NULL, "malformed", XLSTM_E_FORMAT},
        {"config", "{}", "is not the configuration", XLSTM_E_CONFIG},
        {"module", NULL, "the kind of module is missing", XLSTM_E_CONFIG},
        {"streams", NULL, "with carried state is missing", XLSTM_E_CONFIG},
        {"optimizer", "lion", "the optimizer is lion there and adamw here", XLSTM_E_CONFIG},
        {"crc32.state", NULL, "state is damaged", XLSTM_E_FORMAT},
        {"crc32.user", "00000000", "user is damaged", XLSTM_E_FORMAT},
        {"user", "other", "lacks the tensor user", XLSTM_E_FORMAT},
        {"state", "other", "state is missing there", XLSTM_E_CONFIG},
    };
    training_run r;
    run_open(&r, TEST_KINDS - 1, XLSTM_ADAMW, 7);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        save_to(&r, path);
        run_backward(&r, 1);
        run_update(&r);
        forge(cases[i].key, cases[i].value);
        refused(&r, cases[i].status, cases[i].because);
        unlink(path);
    }
    run_close(&r);
}

/* Which kernels computed is told, and asked of nobody. */
static void test_kernels(void **state) {
    static const char *const others[] = {"a backend of another age", NULL};
    (void)state;
    training_run r;
    xlstm_tensors *file;
    xl_memory *memory;
    assert_int_equal(xl_memory_chosen(&memory), XLSTM_OK);
    run_open(&r, 0, XLSTM_ADAMW, 7);
    save_to(&r, path);
    assert_int_equal(xlstm_tensors_open(&file, path), XLSTM_OK);
    assert_string_equal(json_string_value(json_object_get(xl_tensors_metadata(file), "kernels")),
                        memory->ops(memory, XL_PRODUCTS_REAL)->name);
    xlstm_tensors_close(file);
    for (int i = 0; i < 2; i++) {
        forge("kernels", others[i]);
        char own[sizeof mine] = "";
        assert_int_equal(xlstm_checkpoint_load(path, r.tr, r.opt, own, sizeof own), XLSTM_OK);
    }
    unlink(path);
    run_close(&r);
}

/* ---- other runs ---- */

/* All that this module has is there, and more. */
static void test_more_parameters(void **state) {
    (void)state;
    training_run r;
    tiny_open(&r, 1, 1, 1, XLSTM_ADAMW);
    save_to(&r, path);
    forge("first.weight_ih_l0", "weights.more");
    training_run no_optimizer = r;
    no_optimizer.opt = NULL;
    refused(&no_optimizer, XLSTM_E_CONFIG, "the number of parameters is 5 there and 4 here");
    run_close(&r);
    unlink(path);
}

static void test_other_models(void **state) {
    (void)state;
    training_run r[TEST_KINDS];
    char files[TEST_KINDS][128];
    for (int a = 0; a < TEST_KINDS; a++) {
        run_open(&r[a], a, XLSTM_ADAMW, 7);
        snprintf(files[a], sizeof files[a], "%s.%d", path, a);
        save_to(&r[a], files[a]);
    }
    for (int b = 0; b < TEST_KINDS; b++) {
        for (int a = 0; a < TEST_KINDS; a++)
            if (a != b)
                expect(xlstm_checkpoint_load(files[a], r[b].tr, r[b].opt, NULL, 0), XLSTM_E_CONFIG,
                       "belongs to another run");
        save_to(&r[b], after);
        assert_true(same_files(files[b], after));
    }
    for (int a = 0; a < TEST_KINDS; a++) {
        run_close(&r[a]);
        unlink(files[a]);
    }
}

/* The same shapes, another function. */
static void test_other_settings(void **state) {
    (void)state;
    training_run r, one;
    xlstm_config c = small_config(XLSTM_SLSTM);
    xlstm_trainer_config tc;
    run_open(&r, TEST_BLOCKS + TEST_CELLS + XLSTM_SLSTM, XLSTM_ADAMW, 7);
    save_to(&r, path);
    one = r;
    xlstm_trainer_config_init(&tc);
    tc.batch = RUN_B;
    tc.time = RUN_T;
    tc.carry_state = 1;
    c.ffn_act = XLSTM_RELU;
    assert_int_equal(xlstm_model_create(&one.m, &c, 7), XLSTM_OK);
    assert_int_equal(xlstm_trainer_create(&one.tr, one.m, &tc), XLSTM_OK);
    one.opt = NULL;
    refused(&one, XLSTM_E_CONFIG, "ffn_act is \"gelu\" there and \"relu\" here");
    xlstm_trainer_free(one.tr);
    xlstm_module_free(one.m);
    run_close(&r);
    unlink(path);
}

static xlstm_module *reloaded(const xlstm_module *m) {
    static const char *const names[] = {"config.json", "model.safetensors", "weights.safetensors"};
    xlstm_module *back;
    if (xlstm_module_save(m, folder) || xlstm_module_load(&back, folder))
        fail_msg("%s", xlstm_last_error());
    for (int i = 0; i < 3; i++) {
        char file[96];
        snprintf(file, sizeof file, "%s/%s", folder, names[i]);
        unlink(file);
    }
    return back;
}

/* Whether the checkpoint loads into a module; its sentence if not. */
static const char *loads_into(xlstm_module *m) {
    xlstm_trainer_config tc;
    xlstm_trainer *tr;
    xlstm_trainer_config_init(&tc);
    assert_int_equal(xlstm_trainer_create(&tr, m, &tc), XLSTM_OK);
    xlstm_status status = xlstm_checkpoint_load(path, tr, NULL, NULL, 0);
    xlstm_trainer_free(tr);
    return status ? xlstm_last_error() : NULL;
}

/* A checkpoint without carried state. */
static void save_of(const xlstm_config *c) {
    xlstm_trainer_config tc;
    xlstm_trainer *tr;
    xlstm_module *m;
    assert_int_equal(xlstm_model_create(&m, c, 7), XLSTM_OK);
    xlstm_trainer_config_init(&tc);
    assert_int_equal(xlstm_trainer_create(&tr, m, &tc), XLSTM_OK);
    assert_int_equal(xlstm_checkpoint_save(path, tr, NULL, NULL, 0), XLSTM_OK);
    xlstm_trainer_free(tr);
    xlstm_module_free(m);
}

/* Loading it into a model of another configuration: NULL, or why not. */
static const char *loads_as(const xlstm_config *c) {
    xlstm_module *m;
    assert_int_equal(xlstm_model_create(&m, c, 8), XLSTM_OK);
    const char *why = loads_into(m);
    xlstm_module_free(m);
    return why;
}

/* A model that went through files is still the run's, though they say some of it in another way. */
static void test_module_from_files(void **state) {
    (void)state;
    for (int kind = 0; kind <= XLSTM_BLOCK_KINDS; kind++)
        for (int how = 0; how < 6; how++) {
            xlstm_config c = small_config((xlstm_block_kind)(kind % XLSTM_BLOCK_KINDS));
            if (kind == XLSTM_BLOCK_KINDS)
                c.block_kind[1] = XLSTM_SLSTM;
            c.slstm_heads = how == 1 ? 3 : 0;
            c.file_spelling = how == 2 ? XLSTM_SPELL_HF : how == 3 ? XLSTM_SPELL_CUDA : 0;
            c.norm_eps = how == 4 ? (double)1e-5f : 0;
            c.ffn = how != 5;
            save_of(&c);
            xlstm_module *m, *back;
            assert_int_equal(xlstm_model_create(&m, &c, 9), XLSTM_OK);
            back = reloaded(m);
            const char *why = loads_into(back);
            if (why)
                fail_msg("kind %d, how %d: %s", kind, how, why);
            xlstm_module_free(back);
            xlstm_module_free(m);
            unlink(path);
        }
}

/* What may change between two parts of a run, and what would be another model. */
static void test_settings_that_may_change(void **state) {
    (void)state;
    for (int kind = 0; kind < XLSTM_BLOCK_KINDS; kind++) {
        xlstm_config c = small_config((xlstm_block_kind)kind), other_one = c;
        save_of(&c);
        other_one.chunk_size = 16;
        other_one.dropout = 0.2f;
        other_one.ffn_dropout = 0.1f;
        if (kind == XLSTM_LSTM || kind == XLSTM_LSTM_PLAIN) { /* which read none of these */
            other_one.num_heads = 1;
            other_one.bias = !c.bias;
            other_one.mlstm_eps = 1e-3;
        }
        assert_null(loads_as(&other_one));
        other_one.context_length = 17;
        const char *why = loads_as(&other_one);
        assert_true(!why == (kind != XLSTM_TRANSFORMER));
        assert_true(!why || strstr(why, "context_length is 16 there and 17 here"));
        other_one = c;
        other_one.output_logit_soft_cap = 7;
        why = loads_as(&other_one);
        assert_true(why && strstr(why, "output_logit_soft_cap is "));
        unlink(path);
        c.norm_eps = 1e-5;
        other_one = c;
        other_one.norm_eps = (double)1e-5f;
        save_of(&c);
        why = loads_as(&other_one);
        assert_true(why && strstr(why, "norm_eps is 1e-5 there and 9.999999747378752e-6 here"));
        unlink(path);
    }
}

static void test_other_sizes(void **state) {
    (void)state;
    training_run r, one;
    tiny_open(&r, 1, 1, 1, XLSTM_ADAMW);
    save_to(&r, path);
    tiny_open(&one, 2, 1, 1, XLSTM_ADAMW);
    refused(&one, XLSTM_E_CONFIG, "F32 [4, 1] there and F32 [4, 2] here");
    run_close(&one);
    tiny_open(&one, 1, 2, 1, XLSTM_ADAMW);
    refused(&one, XLSTM_E_CONFIG, "carried state is 1 there and 2 here");
    run_close(&one);
    tiny_open(&one, 1, 1, 0, XLSTM_ADAMW);
    refused(&one, XLSTM_E_CONFIG, "carried state is 1 there and 0 here");
    run_close(&one);
    tiny_open(&one, 1, 1, 1, XLSTM_SGD);
    refused(&one, XLSTM_E_CONFIG, "optimizer is adamw there and sgd here");
    run_close(&one);
    unlink(path);
    tiny_open(&one, 1, 3, 0, XLSTM_ADAMW); /* batches without carried state may change */
    save_to(&one, path);
    run_close(&one);
    tiny_open(&one, 1, 5, 0, XLSTM_ADAMW);
    assert_int_equal(xlstm_checkpoint_load(path, one.tr, one.opt, NULL, 0), XLSTM_OK);
    run_close(&one);
    unlink(path);
    assert_int_equal(xlstm_checkpoint_save(path, r.tr, NULL, NULL, 0), XLSTM_OK);
    expect(xlstm_checkpoint_load(path, r.tr, r.opt, NULL, 0), XLSTM_E_CONFIG, "optimizer is none there");
    assert_int_equal(xlstm_checkpoint_load(path, r.tr, NULL, NULL, 0), XLSTM_OK);
    run_close(&r);
    unlink(path);
}

/* ---- your own bytes, and looking inside ---- */

static void test_peek(void **state) {
    (void)state;
    training_run r;
    xlstm_checkpoint_info info = {.struct_size = sizeof info};
    char own[sizeof mine] = "";
    run_open(&r, 0, XLSTM_SGD, 7);
    for (int at = 0; at < 3; at++) {
        run_backward(&r, 2 * at);
        run_backward(&r, 2 * at + 1);
        run_update(&r);
    }
    save_to(&r, path);
    assert_int_equal(xlstm_checkpoint_peek(path, &info, NULL, 0), XLSTM_OK);
    assert_true(info.steps == 3 && info.calls == 6 && info.user_bytes == sizeof mine);
    assert_int_equal(xlstm_checkpoint_peek(path, NULL, own, sizeof own), XLSTM_OK);
    assert_string_equal(own, mine);
    own[0] = 0;
    expect(xlstm_checkpoint_peek(path, &info, own, 3), XLSTM_E_CONFIG, "16 bytes of the user's own, and 3");
    expect(xlstm_checkpoint_load(path, r.tr, r.opt, own, 3), XLSTM_E_CONFIG,
           "16 bytes of the user's own, and 3");
    damage("user");
    expect(xlstm_checkpoint_peek(path, &info, own, sizeof own), XLSTM_E_FORMAT, "user is damaged");
    assert_true(!own[0]);
    const size_t impossible[] = {0, offsetof(xlstm_checkpoint_info, user_bytes) + sizeof info.user_bytes - 1,
                                 1 << 16, SIZE_MAX};
    for (int i = 0; i < 4; i++) {
        info.struct_size = impossible[i];
        expect(xlstm_checkpoint_peek(path, &info, NULL, 0), XLSTM_E_ARGUMENT, "struct_size");
    }
    unlink(path);
    expect(xlstm_checkpoint_peek(path, NULL, NULL, 0), XLSTM_E_NOT_FOUND, path);
    assert_int_equal(xlstm_checkpoint_save(path, r.tr, r.opt, NULL, 0), XLSTM_OK);
    info.struct_size = sizeof info;
    assert_int_equal(xlstm_checkpoint_peek(path, &info, own, 0), XLSTM_OK);
    assert_true(info.user_bytes == 0 && xlstm_checkpoint_load(path, r.tr, r.opt, own, 0) == XLSTM_OK);
    run_close(&r);
    unlink(path);
}

/* A forward from before the load has no backward after it. */
static void test_no_tape_stays(void **state) {
    (void)state;
    training_run r;
    static xlstm_real x[RUN_B * RUN_T * 16];
    xlstm_batch b = {.struct_size = sizeof b, .inputs = x, .outputs = x};
    run_open(&r, 0, XLSTM_ADAMW, 7);
    save_to(&r, path);
    assert_int_equal(xlstm_trainer_forward(r.tr, &b, NULL), XLSTM_OK);
    assert_int_equal(xlstm_checkpoint_load(path, r.tr, r.opt, NULL, 0), XLSTM_OK);
    expect(xlstm_trainer_backward_from(r.tr, x, NULL), XLSTM_E_ARGUMENT, "no forward");
    run_close(&r);
    unlink(path);
}

/* Any reader of safetensors finds the weights by their official names. */
static void test_readable(void **state) {
    (void)state;
    training_run r;
    xlstm_tensors *file;
    xlstm_tensor t;
    xlstm_parameter p;
    run_open(&r, TEST_KINDS - 2, XLSTM_ADAMW, 7);
    save_to(&r, path);
    assert_int_equal(xlstm_tensors_open(&file, path), XLSTM_OK);
    for (int i = 0; i < xlstm_module_parameter_count(r.m); i++) {
        char name[160];
        assert_int_equal(xlstm_module_parameter(r.m, i, &p), XLSTM_OK);
        snprintf(name, sizeof name, "weights.%s", p.name);
        assert_int_equal(xlstm_tensors_find(file, name, &t), XLSTM_OK);
        assert_true(t.ndim == p.ndim && t.shape[0] == p.shape[0] && t.count == p.count);
        xlstm_real *w = copy_parameter(r.m, i);
        assert_memory_equal(t.data, w, p.count * sizeof *w);
        free(w);
    }
    xlstm_tensors_close(file);
    run_close(&r);
    unlink(path);
}

/* ---- writing ---- */

static void test_arguments(void **state) {
    (void)state;
    training_run r, s;
    run_open(&r, 0, XLSTM_ADAMW, 7);
    run_open(&s, 0, XLSTM_ADAMW, 7);
    expect(xlstm_checkpoint_save(NULL, r.tr, r.opt, NULL, 0), XLSTM_E_ARGUMENT, "NULL");
    expect(xlstm_checkpoint_save(path, NULL, r.opt, NULL, 0), XLSTM_E_ARGUMENT, "NULL");
    expect(xlstm_checkpoint_save(path, r.tr, s.opt, NULL, 0), XLSTM_E_ARGUMENT, "same module");
    expect(xlstm_checkpoint_save(path, r.tr, r.opt, NULL, 1), XLSTM_E_ARGUMENT, "user is NULL");
    expect(xlstm_checkpoint_load(NULL, r.tr, r.opt, NULL, 0), XLSTM_E_ARGUMENT, "NULL");
    expect(xlstm_checkpoint_load(path, NULL, r.opt, NULL, 0), XLSTM_E_ARGUMENT, "NULL");
    expect(xlstm_checkpoint_load(path, r.tr, s.opt, NULL, 0), XLSTM_E_ARGUMENT, "same module");
    expect(xlstm_checkpoint_load(path, r.tr, r.opt, NULL, 0), XLSTM_E_NOT_FOUND, path);
    expect(xlstm_checkpoint_peek(NULL, NULL, NULL, 0), XLSTM_E_ARGUMENT, "path");
    expect(xlstm_checkpoint_save("no/such/folder/file", r.tr, r.opt, NULL, 0), XLSTM_E_IO, "No such file");
    expect(xlstm_checkpoint_save(folder, r.tr, r.opt, NULL, 0), XLSTM_E_IO, folder);
    expect(xlstm_checkpoint_load(folder, r.tr, r.opt, NULL, 0), XLSTM_E_IO, folder);
    assert_false(exists(path));
    run_close(&r);
    run_close(&s);
}

static void test_packed(void **state) {
    (void)state;
    training_run r;
    xlstm_module *small;
    xlstm_trainer *tr;
    xlstm_trainer_config tc;
    run_open(&r, TEST_KINDS - 2, XLSTM_ADAMW, 7);
    assert_int_equal(xlstm_module_quantize(&small, r.m, XLSTM_WEIGHTS_BF16), XLSTM_OK);
    xlstm_trainer_config_init(&tc);
    tc.gradients = 0;
    assert_int_equal(xlstm_trainer_create(&tr, small, &tc), XLSTM_OK);
    expect(xlstm_checkpoint_save(path, tr, NULL, NULL, 0), XLSTM_E_ARGUMENT, "smaller type");
    xlstm_trainer_free(tr);
    xlstm_module_free(small);
    run_close(&r);
}

/* Something that is no checkpoint is not written over. */
static void test_other_files_stay(void **state) {
    (void)state;
    training_run r;
    size_t size;
    run_open(&r, TEST_KINDS - 2, XLSTM_ADAMW, 7);
    assert_int_equal(xlstm_module_save_weights(r.m, path), XLSTM_OK);
    assert_int_equal(xlstm_module_save_weights(r.m, other), XLSTM_OK);
    expect(xlstm_checkpoint_save(path, r.tr, r.opt, NULL, 0), XLSTM_E_FORMAT, "move it away");
    assert_true(same_files(path, other) && !exists(temporary));
    unlink(path);
    save_to(&r, path);
    char *bytes = read_file(path, &size);
    put(path, bytes, size - 1);
    put(other, bytes, size - 1);
    expect(xlstm_checkpoint_save(path, r.tr, r.opt, NULL, 0), XLSTM_E_FORMAT, "move it away");
    assert_true(same_files(path, other) && !exists(temporary));
    free(bytes);
    run_close(&r);
    unlink(path);
    unlink(other);
}

static void limit_files(rlim_t bytes) {
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A file system that takes no more: the system says so in the same calls as when the disk is full. */
static void test_full_disk(void **state) {
    (void)state;
    training_run r;
    size_t size;
    run_open(&r, TEST_KINDS - 2, XLSTM_ADAMW, 7);
    save_to(&r, path);
    save_to(&r, other);
    free(read_file(path, &size));
    run_backward(&r, 0);
    run_update(&r);
    for (size_t room = 0; room < size; room += room < 5000 ? 499 : size / 20) {
        limit_files(room);
        xlstm_status status = xlstm_checkpoint_save(path, r.tr, r.opt, mine, sizeof mine);
        limit_files(RLIM_INFINITY);
        expect(status, XLSTM_E_IO, strerror(EFBIG));
        assert_true(same_files(path, other) && !exists(temporary));
    }
    save_to(&r, path);
    assert_false(same_files(path, other));
    run_close(&r);
    unlink(path);
    unlink(other);
}

/* A write that failed is not forgotten when later ones succeed. */
static void test_full_for_a_while(void **state) {
    (void)state;
    static const char much[100000];
    xl_file_replace file;
    put(path, "what was there", 14);
    put(other, "what was there", 14);
    assert_int_equal(xl_file_replace_open(&file, path, XL_FILE_REGULAR), XLSTM_OK);
    limit_files(5000);
    xl_file_replace_put(&file, much, sizeof much);
    limit_files(RLIM_INFINITY);
    xl_file_replace_put(&file, much, sizeof much);
    expect(xl_file_replace_commit(&file), XLSTM_E_IO, strerror(EFBIG));
    assert_true(same_files(path, other) && !exists(temporary));
    unlink(path);
    unlink(other);
}

/* The library's other writers go the same way. */
static void test_full_disk_for_all(void **state) {
    (void)state;
    training_run r;
    xlstm_tokenizer *t;
    const char *const words[] = {"<unk>", "one", "two"};
    run_open(&r, TEST_KINDS - 2, XLSTM_ADAMW, 7);
    assert_int_equal(xlstm_tokenizer_from_words(&t, words, 3), XLSTM_OK);
    for (int writer = 0; writer < 3; writer++) {
        put(path, "what was there", 14);
        put(other, "what was there", 14);
        limit_files(5);
        xlstm_status status = writer == 0   ? xlstm_module_save_weights(r.m, path)
                              : writer == 1 ? xlstm_config_save(xlstm_module_config(r.m), path)
                                            : xlstm_tokenizer_save(t, path);
        limit_files(RLIM_INFINITY);
        expect(status, XLSTM_E_IO, strerror(EFBIG));
        assert_true(same_files(path, other) && !exists(temporary));
    }
    xlstm_tokenizer_free(t);
    run_close(&r);
    unlink(path);
    unlink(other);
}

/* What a killed writer left is removed, whatever its length; what is no file stays, and is not followed. */
static void test_leftovers(void **state) {
    (void)state;
    training_run r;
    static const char junk[200000];
    run_open(&r, 0, XLSTM_ADAMW, 7);
    for (size_t length = 0; length < sizeof junk; length += 66666) {
        put(temporary, junk, length);
        save_to(&r, path);
        assert_int_equal(xlstm_checkpoint_load(path, r.tr, r.opt, NULL, 0), XLSTM_OK);
        assert_false(exists(temporary));
    }
    put(other, "untouched", 9);
    assert_int_equal(symlink("other", temporary), 0);
    save_to(&r, path);
    struct stat st;
    assert_true(!stat(other, &st) && st.st_size == 9);
    assert_int_equal(unlink(temporary), 0);
    assert_int_equal(mkdir(temporary, 0777), 0);
    save_to(&r, path);
    assert_int_equal(rmdir(temporary), 0);
    run_close(&r);
    unlink(path);
    unlink(other);
}

/* ---- several at once ---- */

enum { WRITERS = 3, SAVES = 40 };

static void *write_often(void *failed) {
    static const char much[300000]; /* so that they get in each other's way */
    training_run r;
    tiny_open(&r, 1, 1, 1, XLSTM_ADAMW);
    for (int i = 0; i < SAVES; i++)
        if (xlstm_checkpoint_save(path, r.tr, r.opt, much, sizeof much))
            *(int *)failed = 1;
    run_close(&r);
    return NULL;
}

static void test_writers_at_once(void **state) {
    (void)state;
    training_run r;
    pthread_t thread[WRITERS];
    int failed[WRITERS] = {0};
    tiny_open(&r, 1, 1, 1, XLSTM_ADAMW);
    save_to(&r, path);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, write_often, &failed[i]), 0);
    for (int i = 0; i < SAVES; i++)
        if (xlstm_checkpoint_load(path, r.tr, r.opt, NULL, 0))
            fail_msg("while others write: %s", xlstm_last_error());
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(failed[i], 0);
    }
    assert_false(exists(temporary));
    run_close(&r);
    unlink(path);
}

static int setup(void **state) {
    (void)state;
    make_folder(folder, "checkpoint");
    snprintf(path, sizeof path, "%s/run", folder);
    snprintf(temporary, sizeof temporary, "%s/run.xlstm-0.tmp", folder);
    snprintf(other, sizeof other, "%s/other", folder);
    snprintf(before, sizeof before, "%s/before", folder);
    snprintf(after, sizeof after, "%s/after", folder);
    return 0;
}

/* Nothing is left. */
static int teardown(void **state) {
    (void)state;
    unlink(before);
    unlink(after);
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_damage_is_named),
        cmocka_unit_test(test_forged),
        cmocka_unit_test(test_kernels),
        cmocka_unit_test(test_more_parameters),
        cmocka_unit_test(test_no_tape_stays),
        cmocka_unit_test(test_other_models),
        cmocka_unit_test(test_other_settings),
        cmocka_unit_test(test_module_from_files),
        cmocka_unit_test(test_settings_that_may_change),
        cmocka_unit_test(test_other_sizes),
        cmocka_unit_test(test_peek),
        cmocka_unit_test(test_readable),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_packed),
        cmocka_unit_test(test_other_files_stay),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_full_for_a_while),
        cmocka_unit_test(test_full_disk_for_all),
        cmocka_unit_test(test_leftovers),
        cmocka_unit_test(test_writers_at_once),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
