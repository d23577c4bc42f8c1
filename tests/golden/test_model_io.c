/* Models in files: what is loaded and saved is the same model, and what is wrong is named. */
#include "io/config_json.h"
#include "programs/compare.h"
#include "support/copies.h"
#include "support/folder.h"
#include "xlstm.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static void clean(void) {
    static const char *const names[] = {
        "config.json",         "model.safetensors", "weights.safetensors", "model_0.safetensors",
        "model_1.safetensors", "a.safetensors",     "b.safetensors",       "model.safetensors.index.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(in_dir(names[i]));
}

static int setup(void **state) {
    (void)state;
    snprintf(dir, sizeof dir, "test_model_io.%ld.tmp", (long)getpid());
    return mkdir(dir, 0777);
}

static int teardown(void **state) {
    (void)state;
    clean();
    return rmdir(dir);
}

static int each_setup(void **state) {
    (void)state;
    clean();
    return 0;
}

static void ok(xlstm_status status) {
    if (status)
        fail_msg("%s: %s", xlstm_status_name(status), xlstm_last_error());
}

static void refused(xlstm_status status, const char *because) {
    if (!status || !strstr(xlstm_last_error(), because))
        fail_msg("expected a refusal with \"%s\", got %d \"%s\"", because, status, xlstm_last_error());
}

static void put(const char *name, const char *text) {
    FILE *f = fopen(in_dir(name), "wb");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static char *get(const char *path) {
    static char text[65536];
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    return text;
}

static void same_weights(const xlstm_module *a, const xlstm_module *b) {
    assert_int_equal(xlstm_module_parameter_count(a), xlstm_module_parameter_count(b));
    for (int i = 0; i < xlstm_module_parameter_count(a); i++) {
        xlstm_parameter p, q;
        ok(xlstm_module_parameter(a, i, &p));
        ok(xlstm_module_parameter(b, i, &q));
        assert_string_equal(p.name, q.name);
        assert_int_equal(p.count, q.count);
        xlstm_real *x = copy_parameter(a, i), *y = copy_parameter(b, i);
        assert_true(same_numbers(x, y, p.count));
        free(x);
        free(y);
    }
}

/* ---- fixtures ---- */

static const char *const fixtures[] = {"mlstm_small",     "slstm_small",  "slstm_no_conv_no_ffn",
                                       "mlstm_long",      "strong_gates", "large_fused_bias",
                                       "mixed_bias_tied", "hf_small"};
enum { FIXTURES = sizeof fixtures / sizeof *fixtures };

static xlstm_module *load_fixture(int i) {
    char path[512];
    xlstm_module *m;
    snprintf(path, sizeof path, "%s/%s", XLSTM_TEST_DATA, fixtures[i]);
    ok(xlstm_module_load(&m, path));
    return m;
}

/* load, save, load, save: the same bits, the same text, the same tensors' names. */
static void test_round_trip(void **state) {
    (void)state;
    for (int i = 0; i < FIXTURES; i++) {
        xlstm_module *a = load_fixture(i), *b, *c;
        clean();
        ok(xlstm_module_save(a, dir));
        char *first = strdup(get(in_dir("config.json")));
        ok(xlstm_module_load(&b, dir));
        same_weights(a, b);
        assert_memory_equal(xlstm_module_config(a), xlstm_module_config(b), sizeof(xlstm_config));
        ok(xlstm_module_save(b, dir));
        assert_string_equal(first, get(in_dir("config.json")));
        ok(xlstm_module_load(&c, dir));
        same_weights(a, c);
        free(first);
        xlstm_module_free(a);
        xlstm_module_free(b);
        xlstm_module_free(c);
    }
}

/* A saved file has the tensors of the file that was loaded, under the same names and shapes. */
static void test_same_tensors(void **state) {
    (void)state;
    for (int i = 0; i < FIXTURES; i++) {
        xlstm_module *m = load_fixture(i);
        int large = strstr(fixtures[i], "large") || strstr(fixtures[i], "hf");
        const char *name = large ? "model.safetensors" : "weights.safetensors";
        char path[512];
        snprintf(path, sizeof path, "%s/%s/%s", XLSTM_TEST_DATA, fixtures[i], name);
        xlstm_tensors *theirs, *ours;
        clean();
        ok(xlstm_module_save(m, dir));
        ok(xlstm_tensors_open(&theirs, path));
        ok(xlstm_tensors_open(&ours, in_dir(name)));
        assert_int_equal(xlstm_tensors_count(theirs), xlstm_tensors_count(ours));
        for (int k = 0; k < xlstm_tensors_count(theirs); k++) {
            xlstm_tensor t, o;
            ok(xlstm_tensors_get(theirs, k, &t));
            ok(xlstm_tensors_find(ours, t.name, &o));
            assert_int_equal(t.ndim, o.ndim);
            assert_memory_equal(t.shape, o.shape, sizeof t.shape);
        }
        xlstm_tensors_close(theirs);
        xlstm_tensors_close(ours);
        xlstm_module_free(m);
    }
}

/* ---- spellings ---- */

static xlstm_module *create(const xlstm_config *c) {
    xlstm_module *m;
    ok(xlstm_model_create(&m, c, 7));
    return m;
}

static xlstm_config small(xlstm_block_kind kind) {
    xlstm_config c;
    xlstm_config_init(&c, kind);
    c.vocab_size = 11;
    c.embedding_dim = 32;
    c.num_heads = 2;
    return c;
}

/* Saved in one spelling, the weights load into a model of any other. */
static void spelled(xlstm_config c, int spelling) {
    xlstm_module *plain = create(&c), *loaded, *other;
    c.file_spelling = spelling;
    xlstm_module *m = create(&c);
    clean();
    ok(xlstm_module_save(m, dir));
    ok(xlstm_module_load(&loaded, dir));
    same_weights(m, loaded);
    assert_int_equal(xlstm_module_config(loaded)->file_spelling, spelling);
    c.file_spelling = 0;
    ok(xlstm_model_create(&other, &c, 99));
    int large = c.block_kind[0] == XLSTM_MLSTM_LARGE;
    ok(xlstm_module_load_weights(other, in_dir(large ? "model.safetensors" : "weights.safetensors")));
    same_weights(plain, other);
    xlstm_module_free(plain);
    xlstm_module_free(m);
    xlstm_module_free(loaded);
    xlstm_module_free(other);
}

static void test_spellings(void **state) {
    (void)state;
    xlstm_config c = small(XLSTM_MLSTM_LARGE);
    spelled(c, XLSTM_SPELL_FUSED);
    spelled(c, XLSTM_SPELL_HF);
    spelled(c, XLSTM_SPELL_HF | XLSTM_SPELL_FUSED);
    c.bias = 1;
    spelled(c, XLSTM_SPELL_FUSED);
    c = small(XLSTM_SLSTM);
    c.slstm_recurrent_uniform = 1;
    c.slstm_bias_init = XLSTM_BIAS_STANDARD;
    spelled(c, XLSTM_SPELL_CUDA);
    c.num_heads = 4; /* then [4, H, dh] and [H, 4, dh] look the same */
    spelled(c, XLSTM_SPELL_CUDA);
}

/* Whatever the kind of block and the spelling, what was saved is the same model when it is loaded. */
static void saved_as(xlstm_config c, int spelling, int in, int out) {
    xlstm_module *m, *back;
    if (in) {
        c.vocab_size = 0;
        c.input_dim = in;
        c.output_dim = out;
    }
    c.file_spelling = spelling;
    ok(xlstm_model_create(&m, &c, 7));
    clean();
    ok(xlstm_module_save(m, dir));
    if (xlstm_module_load(&back, dir))
        fail_msg("%s, spelling %d, %d inputs: %s", xlstm_block_kind_name((xlstm_block_kind)c.block_kind[0]),
                 spelling, in, xlstm_last_error());
    same_weights(m, back);
    assert_int_equal(xlstm_module_input_dim(back), in);
    xlstm_module_free(m);
    xlstm_module_free(back);
}

static void test_every_spelling_of_every_kind(void **state) {
    (void)state;
    for (int kind = 0; kind <= XLSTM_BLOCK_KINDS; kind++)
        for (int spelling = 0; spelling < 16; spelling++) {
            xlstm_config c = small((xlstm_block_kind)(kind % XLSTM_BLOCK_KINDS));
            c.bias = kind % 2;
            c.slstm_recurrent_uniform = 1;
            if (kind == XLSTM_BLOCK_KINDS) { /* one of each, but nn.LSTM, whose names have no block */
                static const unsigned char kinds[] = {XLSTM_MLSTM, XLSTM_SLSTM, XLSTM_MLSTM_LARGE, XLSTM_LSTM,
                                                      XLSTM_TRANSFORMER};
                c.num_blocks = sizeof kinds;
                memcpy(c.block_kind, kinds, sizeof kinds);
            }
            saved_as(c, spelling, 0, 0);
            saved_as(c, spelling, 32, 32);
            saved_as(c, spelling, 3, 5);
            c.tie_weights = 1;
            saved_as(c, spelling, 0, 0);
        }
    xlstm_config c = small(XLSTM_MLSTM_LARGE);
    c.file_spelling = 16;
    assert_int_equal(xlstm_config_check(&c), XLSTM_E_CONFIG);
    assert_non_null(strstr(xlstm_last_error(), "file_spelling is 16; it must be 0 to 15"));
    c.file_spelling = -1;
    assert_int_equal(xlstm_config_check(&c), XLSTM_E_CONFIG);
}

/* The CUDA backend's layout, number by number. */
static void test_cuda_layout(void **state) {
    (void)state;
    xlstm_config c = small(XLSTM_SLSTM);
    c.slstm_recurrent_uniform = 1;
    c.slstm_bias_init = XLSTM_BIAS_STANDARD;
    c.file_spelling = XLSTM_SPELL_CUDA;
    xlstm_module *m = create(&c);
    xlstm_parameter kernel, bias;
    ok(xlstm_module_find(m, "xlstm_block_stack.blocks.0.xlstm.slstm_cell._recurrent_kernel_", &kernel));
    ok(xlstm_module_find(m, "xlstm_block_stack.blocks.0.xlstm.slstm_cell._bias_", &bias));
    xlstm_real *R = copy_parameter(m, kernel.index), *b = copy_parameter(m, bias.index);
    ok(xlstm_module_save(m, dir));
    xlstm_tensors *file;
    xlstm_tensor t;
    enum { H = 2, DH = 16 };
    static xlstm_real x[H * DH * 4 * DH];
    ok(xlstm_tensors_open(&file, in_dir("weights.safetensors")));
    ok(xlstm_tensors_find(file, kernel.name, &t));
    assert_true(t.shape[0] == H && t.shape[1] == DH && t.shape[2] == 4 * DH);
    ok(xlstm_tensor_reals(&t, x));
    for (int h = 0; h < H; h++)
        for (int i = 0; i < DH; i++)
            for (int o = 0; o < 4 * DH; o++)
                assert_true(x[(h * DH + i) * 4 * DH + o] == R[(h * 4 * DH + o) * DH + i]);
    ok(xlstm_tensors_find(file, bias.name, &t));
    ok(xlstm_tensor_reals(&t, x));
    for (int h = 0; h < H; h++)
        for (int g = 0; g < 4; g++)
            for (int j = 0; j < DH; j++)
                assert_true(x[(h * 4 + g) * DH + j] == b[(g * H + h) * DH + j]);
    free(R);
    free(b);
    xlstm_tensors_close(file);
    xlstm_module_free(m);
}

/* What the official formats cannot say goes in the library's own. */
static void test_own_dialect(void **state) {
    (void)state;
    for (int kind = 0; kind < XLSTM_BLOCK_KINDS; kind++)
        for (int vectors = 0; vectors < 2; vectors++) {
            xlstm_config c = small((xlstm_block_kind)kind);
            if (vectors) {
                c.vocab_size = 0;
                c.input_dim = 3;
                c.output_dim = 5;
            }
            c.norm_eps = 3e-5;
            c.dropout = 0.1f;
            xlstm_module *m = create(&c), *back;
            clean();
            ok(xlstm_module_save(m, dir));
            assert_non_null(strstr(get(in_dir("config.json")), "libxlstm"));
            ok(xlstm_module_load(&back, dir));
            same_weights(m, back);
            assert_int_equal(xlstm_module_config(back)->block_kind[0], kind);
            assert_true(xlstm_module_config(back)->dropout == 0.1f);
            assert_true(xlstm_module_config(back)->norm_eps == 3e-5);
            xlstm_module_free(m);
            xlstm_module_free(back);
        }
}

/* xLSTMBlockStackConfig: names without a prefix, no ends; the identity stands for them. */
static void test_block_stack(void **state) {
    (void)state;
    put("config.json", "{\"mlstm_block\":{\"mlstm\":{\"num_heads\":2}},\"num_blocks\":1,\"embedding_dim\":32,"
                       "\"context_length\":16}");
    xlstm_config c;
    ok(xlstm_config_load(dir, &c));
    assert_int_equal(c.vocab_size, 0);
    assert_int_equal(c.input_dim, 32);
    xlstm_module *m = create(&c), *back;
    static const char *const ends[] = {"input_proj.weight", "output_proj.weight"};
    for (int e = 0; e < 2; e++) {
        xlstm_parameter p;
        ok(xlstm_module_find(m, ends[e], &p));
        xlstm_real *w = copy_parameter(m, p.index);
        for (int i = 0; i < 32 * 32; i++)
            assert_true(w[i] == (i / 32 == i % 32));
        w[33] = (xlstm_real)0.5;
        ok(xlstm_module_write(m, p.index, w));
        refused(xlstm_module_save(m, dir), ends[e]);
        w[33] = 1;
        ok(xlstm_module_write(m, p.index, w));
        free(w);
    }
    ok(xlstm_module_save(m, dir));
    xlstm_tensors *file;
    xlstm_tensor t;
    ok(xlstm_tensors_open(&file, in_dir("weights.safetensors")));
    ok(xlstm_tensors_find(file, "blocks.0.xlstm.proj_up.weight", &t));
    assert_int_equal(xlstm_tensors_find(file, "input_proj.weight", &t), XLSTM_E_NOT_FOUND);
    xlstm_tensors_close(file);
    ok(xlstm_module_load(&back, dir));
    same_weights(m, back);
    xlstm_module_free(m);
    xlstm_module_free(back);
}

/* ---- shards ---- */

/* Tensors of a large model in two files, `cut` in the first. */
static int write_shards(const xlstm_module *m, const char *first, const char *second) {
    xlstm_tensors *file;
    xlstm_tensor t[64];
    ok(xlstm_module_save(m, dir));
    ok(xlstm_tensors_open(&file, in_dir("model.safetensors")));
    int n = xlstm_tensors_count(file), cut = n / 2;
    assert_true(n <= 64);
    for (int i = 0; i < n; i++)
        ok(xlstm_tensors_get(file, i, &t[i]));
    ok(xlstm_tensors_write(in_dir(first), t, cut));
    ok(xlstm_tensors_write(in_dir(second), t + cut, n - cut));
    FILE *f = fopen(in_dir("model.safetensors.index.json"), "wb");
    assert_non_null(f);
    fprintf(f, "{\"metadata\":{},\"weight_map\":{");
    for (int i = 0; i < n; i++)
        fprintf(f, "%s\"%s\":\"%s\"", i ? "," : "", t[i].name, i < cut ? first : second);
    fprintf(f, "}}");
    fclose(f);
    xlstm_tensors_close(file);
    unlink(in_dir("model.safetensors"));
    return n;
}

static void test_shards(void **state) {
    (void)state;
    xlstm_config c = small(XLSTM_MLSTM_LARGE);
    xlstm_module *m = create(&c), *back;
    write_shards(m, "a.safetensors", "b.safetensors");
    ok(xlstm_module_load(&back, dir));
    same_weights(m, back);
    xlstm_module_free(back);
    refused(xlstm_module_save(m, dir), "already holds model.safetensors.index.json");
    put("model.safetensors.index.json", "{\"weight_map\":{\"embedding.weight\":\"../a.safetensors\"}}");
    refused(xlstm_module_load(&back, dir), "no plain file name");
    put("model.safetensors.index.json", "{\"weight_map\":{\"nothing\":\"a.safetensors\"}}");
    refused(xlstm_module_load(&back, dir), "but it does not");
    put("model.safetensors.index.json", "{}");
    refused(xlstm_module_load(&back, dir), "weight_map");
    clean();
    write_shards(m, "model_0.safetensors", "model_1.safetensors");
    unlink(in_dir("model.safetensors.index.json"));
    ok(xlstm_module_load(&back, dir));
    same_weights(m, back);
    xlstm_module_free(back);
    unlink(in_dir("model_1.safetensors"));
    refused(xlstm_module_load(&back, dir), "missing");
    assert_null(back);
    xlstm_module_free(m);
}

/* ---- names of wrapped models ---- */

static char told[4][600];
static int tellings;
static void hear(void *context, xlstm_log_level level, const char *sentence) {
    (void)context;
    (void)level;
    if (strstr(sentence, "left away"))
        snprintf(told[tellings++ % 4], sizeof told[0], "%s", sentence);
}

/* A name of another: `before` before the whole, `inside` before its last two parts. */
static char *wrapped(const char *before, const char *inside, const char *name) {
    char *made = malloc(strlen(before) + strlen(inside) + strlen(name) + 1);
    const char *last = strrchr(name, '.');
    while (last && last > name && last[-1] != '.')
        last--;
    assert_non_null(made);
    size_t head = last && *inside ? (size_t)(last - name) : 0;
    sprintf(made, "%s%.*s%s%s", before, (int)head, name, inside, name + head);
    return made;
}

static int open_saved(const xlstm_module *m, xlstm_tensors **file, const char **name, xlstm_tensor t[80]) {
    clean();
    ok(xlstm_module_save(m, dir));
    *name = access(in_dir("model.safetensors"), F_OK) ? "weights.safetensors" : "model.safetensors";
    ok(xlstm_tensors_open(file, in_dir(*name)));
    int n = xlstm_tensors_count(*file);
    assert_true(n < 80);
    for (int i = 0; i < n; i++)
        ok(xlstm_tensors_get(*file, i, &t[i]));
    return n;
}

/* Files of a model in the folder, in one or two shards, under other names; `odd` keeps its own. */
static void write_wrapped(const xlstm_module *m, const char *before, const char *inside, int shards,
                          int odd) {
    xlstm_tensors *file;
    xlstm_tensor t[80];
    const char *name;
    int n = open_saved(m, &file, &name, t), cut = shards > 1 ? n / 2 : n;
    for (int i = 0; i < n; i++)
        t[i].name = i == odd ? strdup(t[i].name) : wrapped(before, inside, t[i].name);
    ok(xlstm_tensors_write(in_dir(shards > 1 ? "model_0.safetensors" : "a.safetensors"), t, cut));
    if (shards > 1)
        ok(xlstm_tensors_write(in_dir("model_1.safetensors"), t + cut, n - cut));
    xlstm_tensors_close(file);
    unlink(in_dir(name));
    if (shards == 1)
        assert_int_equal(rename(in_dir("a.safetensors"), in_dir(name)), 0);
    for (int i = 0; i < n; i++)
        free((char *)(uintptr_t)t[i].name);
}

static const struct {
    const char *before, *inside;
    int tellings; /* log sentences */
} wrappings[] = {{"", "", 0},
                 {"_orig_mod.", "", 1},
                 {"module.", "", 1},
                 {"model.", "", 1},
                 {"net.", "", 1},
                 {"module._orig_mod.", "", 2},
                 {"_orig_mod.module.", "", 2},
                 {"model.module._orig_mod.model.", "", 2},
                 {"student.0.ema_model.", "", 1},
                 {"", "_orig_mod.", 1},
                 {"model.", "_fsdp_wrapped_module._checkpoint_wrapped_module.", 2}};

static void test_wrapped_names(void **state) {
    (void)state;
    for (int i = 0; i < FIXTURES; i++)
        for (size_t k = 0; k < sizeof wrappings / sizeof *wrappings; k++)
            for (int shards = 1; shards <= 2; shards++) {
                xlstm_module *m = load_fixture(i), *back;
                write_wrapped(m, wrappings[k].before, wrappings[k].inside, shards, -1);
                tellings = 0;
                xlstm_set_log(hear, NULL);
                if (xlstm_module_load(&back, dir))
                    fail_msg("%s, \"%s\", \"%s\": %s", fixtures[i], wrappings[k].before, wrappings[k].inside,
                             xlstm_last_error());
                xlstm_set_log(NULL, NULL);
                assert_int_equal(tellings, wrappings[k].tellings);
                for (int n = 0; n < tellings; n++)
                    assert_non_null(strstr(told[n], dir));
                same_weights(m, back);
                xlstm_module_free(m);
                xlstm_module_free(back);
            }
}

/* Only what all share is taken off, and only where a model's name is left. */
static void test_names_that_stay(void **state) {
    (void)state;
    static const char theirs[] = "is not one of this model's parameters";
    xlstm_config c = small(XLSTM_MLSTM_LARGE);
    xlstm_module *m = create(&c), *back;
    write_wrapped(m, "model.", "", 1, 3);
    refused(xlstm_module_load(&back, dir), theirs);
    write_wrapped(m, "model", "", 1, -1); /* no dot */
    refused(xlstm_module_load(&back, dir), theirs);
    write_wrapped(m, "module.", "other.", 1, -1);
    refused(xlstm_module_load(&back, dir), theirs);
    char before[400] = {0};
    memset(before, 'x', sizeof before - 2);
    before[sizeof before - 2] = '.';
    write_wrapped(m, before, "", 1, -1);
    ok(xlstm_module_load(&back, dir));
    same_weights(m, back);
    ok(xlstm_module_load_weights(m, in_dir("model.safetensors")));
    same_weights(m, back);
    xlstm_module_free(m);
    xlstm_module_free(back);
}

/* Head and embedding that differ, of a file that says they are one, are two, whatever their names begin with.
 */
static void test_untied_under_a_prefix(void **state) {
    (void)state;
    static const char *const before[] = {"", "_orig_mod.", "model."};
    for (int k = 0; k < 3; k++) {
        xlstm_config c = small(XLSTM_MLSTM_LARGE);
        c.file_spelling = XLSTM_SPELL_HF;
        xlstm_module *m = create(&c), *back;
        write_wrapped(m, before[k], "", 1, -1);
        char *text = get(in_dir("config.json")), *tie = strstr(text, "\"tie_word_embeddings\": false");
        assert_non_null(tie);
        memcpy(tie, "\"tie_word_embeddings\": true ", 28);
        put("config.json", text);
        ok(xlstm_module_load(&back, dir));
        same_weights(m, back);
        xlstm_module_free(m);
        xlstm_module_free(back);
    }
}

/* An empty tensor that is no parameter is passed over; an empty parameter is not. */
static void test_empty_tensors(void **state) {
    (void)state;
    xlstm_config c = small(XLSTM_MLSTM_LARGE);
    for (int wrong = 0; wrong < 2; wrong++) {
        xlstm_module *m = create(&c), *back;
        xlstm_tensors *file;
        xlstm_tensor t[80];
        const char *name;
        int n = open_saved(m, &file, &name, t);
        t[n] = (xlstm_tensor){.name = "scaled_fp8", .dtype = XLSTM_F8_E4M3, .ndim = 1, .shape = {0}};
        if (wrong) /* as of a sharded run of which only one part was saved */
            t[n - 1] = (xlstm_tensor){.name = t[n - 1].name, .dtype = XLSTM_F32, .ndim = 1, .shape = {0}};
        ok(xlstm_tensors_write(in_dir("a.safetensors"), t, n + 1));
        xlstm_tensors_close(file);
        assert_int_equal(rename(in_dir("a.safetensors"), in_dir(name)), 0);
        if (wrong) {
            refused(xlstm_module_load(&back, dir), "has shape [0]");
        } else {
            ok(xlstm_module_load(&back, dir));
            same_weights(m, back);
            xlstm_module_free(back);
        }
        xlstm_module_free(m);
    }
}

/* ---- wrong weights ---- */

typedef void change(xlstm_tensor *t, int *count);

static void drop_last(xlstm_tensor *t, int *count) {
    (void)t;
    --*count;
}
static void rename_first(xlstm_tensor *t, int *count) {
    (void)count;
    t[0].name = "stranger";
}
static void reshape(xlstm_tensor *t, int *count) {
    for (int i = 0; i < *count; i++)
        if (!strcmp(t[i].name, "token_embedding.weight")) {
            t[i].shape[0] = 32;
            t[i].shape[1] = 11;
        }
}
static void untie(xlstm_tensor *t, int *count) {
    static xlstm_real zeros[11 * 32];
    for (int i = 0; i < *count; i++)
        if (!strcmp(t[i].name, "lm_head.weight"))
            t[i].data = zeros;
}
static void as_integers(xlstm_tensor *t, int *count) {
    (void)count;
    t[0].dtype = XLSTM_I32;
}

static void wrong(const xlstm_module *m, change *make_wrong, const char *because) {
    xlstm_tensors *file;
    xlstm_tensor t[128];
    xlstm_module *back;
    clean();
    ok(xlstm_module_save(m, dir));
    ok(xlstm_tensors_open(&file, in_dir("weights.safetensors")));
    int n = xlstm_tensors_count(file);
    for (int i = 0; i < n; i++)
        ok(xlstm_tensors_get(file, i, &t[i]));
    make_wrong(t, &n);
    ok(xlstm_tensors_write(in_dir("weights.safetensors"), t, n));
    xlstm_tensors_close(file);
    assert_int_equal(xlstm_module_load(&back, dir), XLSTM_E_FORMAT);
    assert_null(back);
    refused(xlstm_module_load(&back, dir), because);
    assert_non_null(strstr(xlstm_last_error(), dir));
    ok(xlstm_model_create(&back, xlstm_module_config(m), 1));
    assert_int_equal(xlstm_module_load_weights(back, in_dir("weights.safetensors")), XLSTM_E_FORMAT);
    assert_non_null(strstr(xlstm_last_error(), in_dir("weights.safetensors")));
    xlstm_module_free(back);
}

static void test_wrong_weights(void **state) {
    (void)state;
    xlstm_config c = small(XLSTM_MLSTM);
    c.tie_weights = 1;
    xlstm_module *m = create(&c);
    wrong(m, rename_first, "tensor stranger is not one");
    wrong(m, reshape, "tensor token_embedding.weight has shape [32, 11]; this model needs [11, 32]");
    wrong(m, untie, "lm_head.weight differs from the embedding");
    wrong(m, as_integers, "weights are floating point");
    xlstm_module_free(m);
    c.tie_weights = 0;
    m = create(&c);
    wrong(m, drop_last, "is missing from the weights");
    xlstm_module_free(m);
}

/* A pipe is refused, not waited for. */
static void test_pipe(void **state) {
    (void)state;
    xlstm_tensors *file;
    assert_int_equal(mkfifo(in_dir("a.safetensors"), 0600), 0);
    alarm(60);
    refused(xlstm_tensors_open(&file, in_dir("a.safetensors")), "is not a regular file");
    alarm(0);
}

static void test_null(void **state) {
    (void)state;
    xlstm_config c = small(XLSTM_MLSTM_LARGE);
    xlstm_module *m = create(&c), *packed;
    xlstm_parameter p;
    xlstm_tensors *file;
    xlstm_tensor t;
    static xlstm_real numbers[11 * 32];
    assert_int_equal(xlstm_module_find(NULL, "lm_head.weight", &p), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_module_find(m, NULL, &p), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_module_find(m, "no such", &p), XLSTM_E_NOT_FOUND);
    ok(xlstm_module_save(m, dir));
    ok(xlstm_tensors_open(&file, in_dir("model.safetensors")));
    assert_int_equal(xlstm_tensors_find(NULL, "lm_head.weight", &t), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_tensors_find(file, NULL, &t), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_tensors_find(file, "no such", &t), XLSTM_E_NOT_FOUND);
    ok(xlstm_tensors_find(file, "lm_head.weight", &t));
    ok(xlstm_module_quantize(&packed, m, XLSTM_WEIGHTS_BF16)); /* its matrices have no offsets */
    assert_int_equal(xlstm_module_gather(packed, &t, numbers, numbers), XLSTM_E_ARGUMENT);
    t.name = "no such";
    assert_int_equal(xlstm_module_gather(m, &t, numbers, numbers), XLSTM_E_NOT_FOUND);
    xlstm_tensors_close(file);
    xlstm_module_free(m);
    xlstm_module_free(packed);
}

/* ---- options ---- */

/* Not every format has a place for them. */
static void test_options_of_the_embedding(void **state) {
    (void)state;
    for (int kind = 0; kind < XLSTM_BLOCK_KINDS; kind++)
        for (int how = 0; how < 8; how++) {
            xlstm_config c = small((xlstm_block_kind)kind), back;
            c.decay_embedding = how % 2;
            c.embedding_dropout = how / 2 % 2;
            c.file_spelling = how / 4 ? XLSTM_SPELL_HF : XLSTM_SPELL_STACK;
            ok(xlstm_config_save(&c, dir));
            ok(xlstm_config_load(dir, &back));
            assert_int_equal(back.decay_embedding, c.decay_embedding);
            assert_int_equal(back.embedding_dropout, c.embedding_dropout);
            c.vocab_size = 0;
            c.input_dim = c.output_dim = c.embedding_dim;
            ok(xlstm_config_save(&c, dir));
            ok(xlstm_config_load(dir, &back));
            assert_int_equal(back.embedding_dropout, c.embedding_dropout);
        }
}

/* Numbers come back as they were, and are no longer than that needs. */
static void test_digits(void **state) {
    (void)state;
    static const double numbers[] = {(double)1e-5f, 1e-5, 1.0 / 3, 0.1 + 0.2, 1, 3e-5};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        for (int kind = 0; kind < XLSTM_BLOCK_KINDS; kind++) {
            xlstm_config c = small((xlstm_block_kind)kind), back;
            c.norm_eps = c.mlstm_eps = numbers[i];
            ok(xlstm_config_save(&c, dir));
            ok(xlstm_config_load(dir, &back));
            assert_true(back.norm_eps == numbers[i] && back.mlstm_eps == numbers[i]);
            if (numbers[i] == 1e-5)
                assert_non_null(strstr(get(in_dir("config.json")), "\"norm_eps\": 1e-5,"));
        }
}

/* ---- wrong configurations ---- */

#define MLSTM "\"mlstm_block\":{\"mlstm\":{\"num_heads\":4}}"
#define LARGE "\"embedding_dim\":64,\"num_heads\":2,\"num_blocks\":2,\"vocab_size\":10"
static const struct {
    const char *text, *because;
} configs[] = {
    {"{", "malformed"},
    {"[]", "not an object"},
    {"{}", "not the configuration"},
    {"{\"model_type\":\"llama\"}", "model_type is \"llama\""},
    {"{" MLSTM ",\"num_blocks\":1,\"num_blocks\":2}", "duplicate"},
    {"{" MLSTM ",\"vocab_size\":9,\"novelty\":1}", "field novelty is unknown"},
    {"{\"mlstm_block\":{\"mlstm\":{\"novelty\":1}},\"vocab_size\":9}", "field novelty is unknown"},
    {"{" MLSTM ",\"vocab_size\":9,\"num_blocks\":0}", "num_blocks is 0"},
    {"{" MLSTM ",\"vocab_size\":9,\"num_blocks\":300}", "num_blocks is 300"},
    {"{" MLSTM ",\"vocab_size\":9,\"num_blocks\":99999999999}", "num_blocks must be an integer"},
    {"{" MLSTM ",\"vocab_size\":9,\"bias\":1}", "bias must be true or false"},
    {"{" MLSTM ",\"vocab_size\":9,\"slstm_at\":[0]}", "slstm_block is null"},
    {"{" MLSTM ",\"slstm_block\":{},\"vocab_size\":9,\"slstm_at\":[1]}", "slstm_at"},
    {"{" MLSTM ",\"vocab_size\":9,\"slstm_at\":\"some\"}", "slstm_at"},
    {"{" MLSTM ",\"vocab_size\":-1}", "vocab_size"},
    {"{\"mlstm_block\":{\"mlstm\":{\"num_heads\":3}},\"vocab_size\":9}", "heads"},
    {"{\"slstm_block\":{\"slstm\":{\"function\":\"gru\"}},\"vocab_size\":9}", "field function is \"gru\""},
    {"{\"slstm_block\":{\"slstm\":{\"num_gates\":3}},\"vocab_size\":9}", "num_gates"},
    {"{\"slstm_block\":{\"slstm\":{\"backend\":\"cuda\",\"gradient_recurrent_clipval\":0}},\"vocab_size\":9}",
     "gradient_recurrent_clipval"},
    {"{\"slstm_block\":{\"feedforward\":{\"act_fn\":\"mish\"}},\"vocab_size\":9}",
     "field act_fn is \"mish\""},
    {"{\"slstm_block\":{\"feedforward\":{\"ff_type\":\"moe\"}},\"vocab_size\":9}", "field ff_type"},
    {"{\"slstm_block\":{\"feedforward\":{\"proj_factor\":-1}},\"vocab_size\":9}", "proj_factor -1"},
    {"{" LARGE ",\"novelty\":1}", "field novelty is unknown"},
    {"{" LARGE ",\"eps\":0}", "eps must be positive"},
    {"{" LARGE ",\"gate_soft_cap\":0}", "gate_soft_cap"},
    {"{" LARGE ",\"chunkwise_kernel\":\"parallel--native_siging_autograd\"}", "sigmoid input gates"},
    {"{" LARGE ",\"weight_mode\":\"split\"}", "weight_mode is \"split\""},
    {"{" LARGE ",\"qk_dim_factor\":0.001}", "qk_dim_factor"},
    {"{\"embedding_dim\":64,\"num_heads\":2,\"vocab_size\":10}", "num_blocks is missing"},
    {"{\"model_type\":\"xlstm\",\"hidden_size\":64,\"embedding_dim\":32}", "disagree"},
    {"{\"model_type\":\"xlstm\",\"quantization_config\":{\"bits\":4}}", "quantization_config"},
    {"{\"type\":\"gpt2\",\"mlstm_block\":{},\"num_blocks\":1}", "type is \"gpt2\""},
    {"{\"mlstm_block\":{\"mlstm\":{\"backend\":\"vanilla\",\"novelty\":1}}}", "novelty is unknown"},
    {"{\"mlstm_block\":{\"mlstm\":{\"step_kernel\":\"siging\"}}}", "sigmoid input gates"},
    {"{\"slstm_block\":{\"slstm\":{\"backend\":\"other\"}}}", "backend is \"other\""},
    {"{\"model_type\":\"libxlstm\"}", "blocks"},
    {"{\"model_type\":\"libxlstm\",\"blocks\":[\"gru\"]}", "entry 0 of field blocks"},
    {"{\"model_type\":\"libxlstm\",\"blocks\":[\"lstm\"],\"novelty\":1}", "novelty is unknown"},
};

static void test_wrong_configs(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        xlstm_config c;
        put("config.json", configs[i].text);
        refused(xlstm_config_load(dir, &c), configs[i].because);
        refused(xlstm_config_load(dir, &c), dir); /* the file is named too */
    }
}

/* ---- right configurations ---- */

static xlstm_config config_of(const char *text) {
    xlstm_config c;
    put("config.json", text);
    ok(xlstm_config_load(dir, &c));
    return c;
}

static void test_defaults(void **state) {
    (void)state;
    xlstm_config c = config_of("{\"model_type\":\"xlstm\"}"); /* transformers' defaults: xLSTM-7B */
    assert_int_equal(c.embedding_dim, 4096);
    assert_int_equal(c.num_blocks, 32);
    assert_int_equal(c.vocab_size, 50304);
    assert_int_equal(c.ffn_inner, 10944);
    c = config_of("{\"model_type\":\"xlstm\",\"hidden_size\":64,\"embedding_dim\":null,\"num_heads\":2}");
    assert_int_equal(c.embedding_dim, 64);
    c = config_of("{\"slstm_block\":{\"slstm\":{\"num_heads\":0}},\"vocab_size\":9,\"num_blocks\":3,"
                  "\"embedding_dim\":32,\"slstm_at\":[]}"); /* no mlstm_block means all sLSTM */
    assert_int_equal(c.slstm_heads, 1);
    assert_int_equal(c.ffn, 1);
    assert_int_equal(c.ffn_inner, 64);
    assert_int_equal(c.block_kind[2], XLSTM_SLSTM);
    c = config_of("{" MLSTM ",\"slstm_block\":{\"feedforward\":null},\"vocab_size\":9,\"num_blocks\":3,"
                  "\"slstm_at\":[-1]}"); /* an index from the end, as Python has it */
    assert_int_equal(c.ffn, 0);
    assert_int_equal(c.block_kind[0], XLSTM_MLSTM);
    assert_int_equal(c.block_kind[2], XLSTM_SLSTM);
}

/* The fields of the released xLSTM-7B's file, as public descriptions of it list them: also those that
 * transformers no longer reads. */
static void test_released_fields(void **state) {
    (void)state;
    xlstm_config c = config_of(
        "{\"add_embedding_dropout\":false,\"add_forward_backend_padding\":false,\"add_out_norm\":true,"
        "\"add_post_blocks_norm\":true,\"add_post_norm\":false,\"add_qk_norm\":false,"
        "\"architectures\":[\"xLSTMForCausalLM\"],\"autocast_kernel_dtype\":\"bfloat16\",\"bos_token_id\":0,"
        "\"cell_norm_eps\":1e-06,\"chunk_size\":64,\"chunkwise_kernel\":\"chunkwise--triton_xl_chunk\","
        "\"embedding_dim\":4096,\"eos_token_id\":2,\"eps\":1e-06,\"ffn_proj_factor\":2.667,"
        "\"ffn_round_up_to_multiple_of\":64,\"force_bos_token_insert\":true,\"gate_soft_cap\":15.0,"
        "\"head_dim\":512,\"igate_bias_init_range\":-10.0,\"inference_state_dtype\":\"float32\","
        "\"max_inference_chunksize\":16384,\"mlstm_round_up_to_multiple_of\":64,\"mode\":\"inference\","
        "\"model_type\":\"xlstm\",\"norm_eps\":1e-06,\"norm_reduction_force_float32\":true,"
        "\"num_blocks\":32,\"num_heads\":8,\"output_logit_soft_cap\":30.0,\"pad_token_id\":1,"
        "\"qk_dim_factor\":0.5,\"return_last_states\":true,\"sequence_kernel\":"
        "\"native_sequence__triton\",\"step_kernel\":\"triton\",\"tie_word_embeddings\":false,"
        "\"torch_dtype\":\"float32\",\"transformers_version\":\"4.47.0.dev0\",\"use_bias\":false,"
        "\"use_cache\":true,\"v_dim_factor\":1.0,\"vocab_size\":50304,\"weight_mode\":\"single\"}");
    assert_int_equal(c.embedding_dim, 4096);
    assert_int_equal(c.num_blocks, 32);
    assert_int_equal(c.ffn_inner, 10944);
    assert_int_equal(c.final_norm, 1);
    assert_true(c.gate_soft_cap == 15 && c.output_logit_soft_cap == 30);
}

/* What only chooses kernels, number types or devices may stand in every object of every format. */
static void add_everywhere(json_t *object) {
    static const char *const texts[] = {"backend",
                                        "device",
                                        "dtype",
                                        "torch_dtype",
                                        "step_kernel",
                                        "mode",
                                        "sequence_kernel",
                                        "chunkwise_kernel",
                                        "auto_map",
                                        "_name_or_path",
                                        "architectures",
                                        "autocast_kernel_dtype",
                                        "inference_state_dtype",
                                        "transformers_version"};
    static const char *const switches[] = {"return_last_states", "use_cache", "torch_compile",
                                           "enable_automatic_mixed_precision"};
    const char *key;
    json_t *part;
    json_object_foreach(object, key, part) if (json_is_object(part)) add_everywhere(part);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!json_object_get(object, texts[i]))
            json_object_set_new(object, texts[i], json_string("triton"));
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++)
        if (!json_object_get(object, switches[i]))
            json_object_set_new(object, switches[i], json_true());
}

static const char *const plain_configs[] = {
    "{\"mlstm_block\":{\"mlstm\":{\"num_heads\":2}},\"slstm_block\":{\"slstm\":{\"num_heads\":2,\"backend\":"
    "\"vanilla\"},\"feedforward\":{\"act_fn\":\"gelu\"}},\"slstm_at\":[1],\"num_blocks\":2,\"embedding_dim\":"
    "32,"
    "\"context_length\":16,\"vocab_size\":9}",
    "{\"mlstm_block\":{\"mlstm\":{}},\"num_blocks\":1,\"embedding_dim\":32,\"context_length\":16}",
    "{\"embedding_dim\":32,\"num_heads\":2,\"num_blocks\":1,\"vocab_size\":11}",
    "{\"model_type\":\"xlstm\",\"hidden_size\":32,\"num_heads\":2,\"num_hidden_layers\":1,\"vocab_size\":11}",
    "{\"model_type\":\"libxlstm\",\"blocks\":[\"mlstm\"],\"vocab_size\":11,\"embedding_dim\":32}"};

static void test_fields_about_kernels(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof plain_configs / sizeof *plain_configs; i++) {
        xlstm_config plain = config_of(plain_configs[i]), c;
        json_t *object = json_loads(plain_configs[i], 0, NULL);
        assert_non_null(object);
        add_everywhere(object);
        char *text = json_dumps(object, 0);
        c = config_of(text);
        assert_memory_equal(&c, &plain, sizeof c);
        free(text);
        json_object_set_new(object, "chunkwise_kernel", json_string("chunkwise--triton_xl_chunk_siging"));
        text = json_dumps(object, 0);
        assert_int_equal(xlstm_config_from_json(text, &c), XLSTM_E_CONFIG);
        assert_non_null(strstr(xlstm_last_error(), "chunkwise_kernel"));
        free(text);
        json_decref(object);
    }
}

/* Python's widths, also where float would fall on the other side. */
static void test_widths(void **state) {
    (void)state;
    xlstm_config c = config_of("{\"embedding_dim\":160,\"num_heads\":2,\"num_blocks\":1,\"vocab_size\":9,"
                               "\"qk_dim_factor\":0.7,\"gate_soft_cap\":null}");
    assert_true(c.qk_dim_factor == 0.7f); /* 111.99999 of 160, and 112 is meant */
    xlstm_module *m = create(&c);
    xlstm_parameter q;
    ok(xlstm_module_find(m, "backbone.blocks.0.mlstm_layer.q.weight", &q));
    assert_int_equal(q.shape[0], 112);
    xlstm_module_free(m);
    assert_true(c.gate_soft_cap == 0);
    c = config_of("{\"embedding_dim\":144,\"num_heads\":2,\"num_blocks\":1,\"vocab_size\":9,"
                  "\"ffn_proj_factor\":2.6667}"); /* 384.0048: the package's rounding is no ceiling */
    assert_int_equal(c.ffn_inner, 384);
    c = config_of("{\"mlstm_block\":{\"mlstm\":{\"proj_factor\":1.7,\"round_proj_up_to_multiple_of\":24,"
                  "\"round_proj_up_dim_up\":false,\"num_heads\":4}},\"vocab_size\":9,\"embedding_dim\":40}");
    assert_int_equal(c.mlstm_inner, 48);
    for (int again = 0; again < 2; again++) { /* and they survive being written */
        ok(xlstm_config_save(&c, dir));
        ok(xlstm_config_load(dir, &c));
        assert_int_equal(c.mlstm_inner, 48);
    }
}

static void comes_back(const xlstm_config *c) {
    xlstm_module *m = create(c), *again;
    clean();
    ok(xlstm_module_save(m, dir));
    ok(xlstm_module_load(&again, dir));
    same_weights(m, again);
    xlstm_module_free(again);
    xlstm_module_free(m);
}

/* Factors that miss a width by rounding, and widths whose factors are far from 1. */
static void test_widths_come_back(void **state) {
    (void)state;
    static const float factors[] = {0.35f, 0.45f, 0.7f, 0.9f};
    for (int i = 0; i < 4; i++) {
        xlstm_config c = small(XLSTM_MLSTM_LARGE);
        c.embedding_dim = 640;
        c.num_heads = 4;
        c.qk_dim_factor = c.v_dim_factor = factors[i];
        comes_back(&c);
    }
    static const xlstm_block_kind kinds[] = {XLSTM_MLSTM, XLSTM_SLSTM, XLSTM_MLSTM_LARGE};
    for (int i = 0; i < 3; i++) {
        xlstm_config c = small(kinds[i]);
        c.embedding_dim = 8;
        c.mlstm_inner = c.ffn_inner = 1024;
        comes_back(&c);
        c.embedding_dim = 2048;
        c.num_blocks = 1;
        c.ffn_inner = 1;
        comes_back(&c);
    }
}

static void test_cut(void **state) {
    (void)state;
    xlstm_config c = config_of("{\"slstm_block\":{\"slstm\":{\"backend\":\"vanilla\","
                               "\"gradient_recurrent_cut\":true,\"forward_clipval\":1.0}},\"vocab_size\":9}");
    assert_int_equal(c.slstm_recurrent_cut, 0); /* the vanilla backend disregards it */
    c = config_of("{\"slstm_block\":{\"slstm\":{\"backend\":\"cuda\",\"gradient_recurrent_cut\":true}},"
                  "\"vocab_size\":9}");
    assert_int_equal(c.slstm_recurrent_cut, 1);
    ok(xlstm_config_save(&c, dir));
    assert_non_null(strstr(get(in_dir("config.json")), "\"cuda\""));
    ok(xlstm_config_load(dir, &c));
    assert_int_equal(c.slstm_recurrent_cut, 1);
}

/* The CUDA backend takes gradient_recurrent_clipval for both clips; the vanilla one takes none. */
static void test_clip(void **state) {
    (void)state;
    xlstm_config c = config_of("{\"slstm_block\":{\"slstm\":{\"backend\":\"vanilla\","
                               "\"gradient_recurrent_clipval\":0.5}},\"vocab_size\":9}");
    assert_true(c.slstm_recurrent_clip == 0 && c.slstm_forward_clip == 0);
    c = config_of("{\"slstm_block\":{\"slstm\":{\"backend\":\"cuda\",\"forward_clipval\":0.5}},"
                  "\"vocab_size\":9}");
    assert_true(c.slstm_recurrent_clip == 0 && c.slstm_forward_clip == 0);
    c = config_of("{\"slstm_block\":{\"slstm\":{\"backend\":\"cuda\",\"forward_clipval\":2,"
                  "\"gradient_recurrent_clipval\":0.3}},\"vocab_size\":9}");
    for (int again = 0; again < 2; again++) {
        assert_true(c.slstm_recurrent_clip == 0.3f && c.slstm_forward_clip == 0.3f);
        ok(xlstm_config_save(&c, dir));
        assert_non_null(strstr(get(in_dir("config.json")), "slstm_block"));
        ok(xlstm_config_load(dir, &c));
    }
    c.slstm_forward_clip = 2; /* what the package cannot say goes in the own format */
    ok(xlstm_config_save(&c, dir));
    assert_non_null(strstr(get(in_dir("config.json")), "libxlstm"));
    ok(xlstm_config_load(dir, &c));
    assert_true(c.slstm_recurrent_clip == 0.3f && c.slstm_forward_clip == 2);
}

static void test_ffn_dropout(void **state) {
    (void)state;
    xlstm_config c = config_of("{\"slstm_block\":{},\"vocab_size\":9,\"dropout\":0.1}");
    assert_true(c.dropout == 0.1f && c.ffn_dropout < 0); /* the dataclass's default is none */
    c = config_of("{\"slstm_block\":{\"feedforward\":{\"dropout\":0.2}},\"vocab_size\":9,\"dropout\":0.1}");
    assert_true(c.ffn_dropout == 0.2f);
    for (int again = 0; again < 2; again++) {
        ok(xlstm_config_save(&c, dir));
        ok(xlstm_config_load(dir, &c));
        assert_true(c.dropout == 0.1f && c.ffn_dropout == 0.2f);
    }
    c = config_of("{\"slstm_block\":{\"feedforward\":{\"dropout\":0.1}},\"vocab_size\":9,\"dropout\":0.1}");
    assert_true(c.ffn_dropout == 0);
}

#define TEST(name) cmocka_unit_test_setup(name, each_setup)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_every_spelling_of_every_kind),
        TEST(test_options_of_the_embedding),
        TEST(test_digits),
        TEST(test_pipe),
        TEST(test_null),
        TEST(test_round_trip),
        TEST(test_same_tensors),
        TEST(test_spellings),
        TEST(test_cuda_layout),
        TEST(test_own_dialect),
        TEST(test_block_stack),
        TEST(test_shards),
        TEST(test_wrapped_names),
        TEST(test_names_that_stay),
        TEST(test_untied_under_a_prefix),
        TEST(test_empty_tensors),
        TEST(test_wrong_weights),
        TEST(test_wrong_configs),
        TEST(test_defaults),
        TEST(test_released_fields),
        TEST(test_fields_about_kernels),
        TEST(test_widths),
        TEST(test_widths_come_back),
        TEST(test_cut),
        TEST(test_clip),
        TEST(test_ffn_dropout),
    };
    return cmocka_run_group_tests_name("model files", tests, setup, teardown);
}
