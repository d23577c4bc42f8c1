/* A forecasting model's files: what is refused, by which name, what is the same in two spellings, and that
 * what was written is what is read. */
#include "forecast/inside.h"
#include "io/forecast_io.h"
#include "support/random.h"
#include "xlstm.h"
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define CASE XLSTM_TEST_DATA "/tirex2_small"
enum { MOST_TENSORS = 256, PATH = 300 };

static char folder[] = "/tmp/xlstm-forecast-XXXXXX";

static void good(xlstm_status status) {
    if (status != XLSTM_OK)
        fail_msg("%s", xlstm_last_error());
}

static const char *in_folder(const char *name) {
    static char paths[4][PATH];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, PATH, "%s/%s", folder, name);
    return path;
}

static int make_folder(void **state) {
    (void)state;
    return !mkdtemp(folder);
}

static int remove_folder(void **state) {
    (void)state;
    unlink(in_folder("config.json"));
    unlink(in_folder("model.safetensors"));
    unlink(in_folder("saved/config.json"));
    unlink(in_folder("saved/model.safetensors"));
    rmdir(in_folder("saved"));
    return rmdir(folder);
}

/* ---- configurations ---- */

#define MIXERS "stack_config", "templates", "mlstm_attn"

typedef struct {
    const char *path[5];
    const char *value; /* JSON; NULL: the key is taken away */
    const char *says;  /* NULL: it is a model */
} change;

static const change changes[] = {
    {{"num_blocks"}, "5", "num_blocks"},
    {{"num_blocks"}, "0", "num_blocks"},
    {{"num_blocks"}, NULL, "num_blocks"},
    {{"embedding_dim"}, "40", "embedding_dim"},
    {{"context_len"}, NULL, "context_len"},
    {{"context_len"}, "0", "context_len"},
    {{"future_len"}, "18", "future_len"},
    {{"output_patch_size"}, "8", "output_patch_size"},
    {{"tokenizer_cfg", "input_patch_stride"}, "2", "input_patch_stride"},
    {{"tokenizer_cfg", "kind"}, "1", "kind"},
    {{"input_ff_dim"}, "0", "input_ff_dim"},
    {{"h_expand"}, "0", "h_expand"},
    {{"h_expand"}, "null", "h_expand"},
    {{"quantiles"}, "[0.5, 0.1]", "quantiles"},
    {{"quantiles"}, "[]", "quantiles"},
    {{"quantiles"}, "[0.5, \"x\"]", "quantiles"},
    {{"act_func"}, "\"Mish\"", "act_func"},
    {{"act_func"}, "\"other.SiLU\"", "act_func"},
    {{"act_func"}, "1", "act_func"},
    {{"scaler_cfg", "use_log"}, "true", "use_log"},
    {{"scaler_cfg", "eps"}, "-1", "eps"},
    {{"stack_out_norm_config", "bias"}, "true", "bias"},
    {{"rotary"}, "true", "rotary"},
    {{"stack_config", "order"}, "1", "order"},
    {{"stack_config", "recipe"}, "[\"a\", \"b\", \"c\", \"d\"]", "recipe"},
    {{"stack_config", "recipe"}, "3", "recipe"},
    {{"stack_config", "templates"}, NULL, "templates"},
    {{MIXERS, "time_mixer"}, NULL, "time_mixer"},
    {{MIXERS, "variate_mixer"}, NULL, "variate_mixer"},
    {{MIXERS, "time_mixer", "model_type"}, "\"mamba\"", "model_type"},
    {{MIXERS, "time_mixer", "model_type"}, NULL, "model_type"},
    {{MIXERS, "time_mixer", "num_heads"}, "3", "num_heads"},
    {{MIXERS, "time_mixer", "conv"}, "4", "conv"},
    {{MIXERS, "variate_mixer", "num_heads"}, "5", "num_heads"},
    {{MIXERS, "variate_mixer", "embedding_dim"}, "64", "embedding_dim"},
    /* what changes nothing, and what has a default */
    {{MIXERS, "time_mixer", "device"}, "\"cuda\"", NULL},
    {{MIXERS, "time_mixer", "rnn_backend"}, "\"cuda\"", NULL},
    {{MIXERS, "time_mixer", "num_slstm_heads"}, NULL, NULL},
    {{MIXERS, "variate_mixer", "use_flex_attention"}, "true", NULL},
    {{MIXERS, "eps"}, NULL, NULL},
    {{"device"}, "\"cuda\"", NULL},
    {{"matmul_precision"}, "\"high\"", NULL},
    {{"postprocessor_cfg"}, "{\"a\": 1}", NULL},
    {{"dropout"}, NULL, NULL},
    {{"act_func"}, "\"torch.nn.Tanh\"", NULL},
    {{"tokenizer_cfg"}, NULL, NULL},
    {{"scaler_cfg"}, NULL, NULL},
    {{"stack_out_norm_config"}, NULL, NULL},
    {{"stack_out_norm_config"}, "null", NULL},
    {{"stack_out_norm_config", "use_rmsnorm"}, "false", NULL},
    {{"use_qk_norm"}, NULL, NULL},
    {{"tta_diff"}, NULL, NULL},
    {{"tta_sign_flip"}, NULL, NULL},
};

static json_t *changed(const change *c) {
    json_t *whole = json_load_file(CASE "/config.json", 0, NULL), *at = whole;
    assert_non_null(whole);
    int last = 0;
    for (; last < 4 && c->path[last + 1]; last++)
        at = json_object_get(at, c->path[last]);
    if (c->value)
        json_object_set_new(at, c->path[last], json_loads(c->value, JSON_DECODE_ANY, NULL));
    else
        json_object_del(at, c->path[last]);
    return whole;
}

static void test_configurations(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct xl_forecast_config c;
        json_t *object = changed(&changes[i]);
        xlstm_status status = xl_forecast_config_from_json(&c, object, "config.json");
        json_decref(object);
        if (!changes[i].says)
            good(status);
        else if (status != XLSTM_E_CONFIG || !strstr(xlstm_last_error(), changes[i].says))
            fail_msg("change %zu: status %d, not of %s: %s", i, (int)status, changes[i].says,
                     xlstm_last_error());
    }
}

static void test_defaults(void **state) {
    const change bare = {{"use_qk_norm"}, NULL, NULL};
    struct xl_forecast_config c;
    (void)state;
    json_t *object = changed(&bare);
    static const char *const keys[] = {"stack_out_norm_config", "tta_sign_flip", "tta_diff", "scaler_cfg"};
    for (int i = 0; i < 4; i++)
        json_object_del(object, keys[i]);
    json_t *mixers = json_object_get(json_object_get(object, "stack_config"), "templates");
    json_object_del(json_object_get(json_object_get(mixers, "slstm_attn"), "time_mixer"), "num_slstm_heads");
    json_object_del(json_object_get(json_object_get(mixers, "slstm_attn"), "variate_mixer"), "num_heads");
    good(xl_forecast_config_from_json(&c, object, "config.json"));
    json_decref(object);
    assert_true(c.use_qk_norm && !c.out_norm && !c.tta_sign_flip && c.tta_diff && !c.use_arcsinh &&
                !c.binaryaware && c.scaler_eps > 0.9e-8 && c.scaler_eps < 1.1e-8);
    assert_int_equal(c.block[1].heads, 2);
    assert_int_equal(c.block[1].variate_heads, 4);
}

/* ---- tensors ---- */

typedef struct {
    xlstm_tensors *file;
    xlstm_tensor t[MOST_TENSORS];
    char names[MOST_TENSORS][128];
    int count;
} tensors;

static void take_tensors(tensors *k) {
    k->count = 0;
    good(xlstm_tensors_open(&k->file, CASE "/model.safetensors"));
    for (; k->count < xlstm_tensors_count(k->file); k->count++)
        good(xlstm_tensors_get(k->file, k->count, &k->t[k->count]));
}

/* Part of a name becomes another one, in all tensors or, beside them, in copies. */
static void rename_part(tensors *k, const char *part, const char *other, int copies) {
    for (int i = 0, end = k->count; i < end; i++) {
        const char *at = strstr(k->t[i].name, part);
        if (!at)
            continue;
        int to = copies ? k->count++ : i;
        char name[128];
        snprintf(name, sizeof name, "%.*s%s%s", (int)(at - k->t[i].name), k->t[i].name, other,
                 at + strlen(part));
        k->t[to] = k->t[i];
        memcpy(k->names[to], name, sizeof name);
        k->t[to].name = k->names[to];
    }
}

static void copy_config(void) {
    json_t *object = json_load_file(CASE "/config.json", 0, NULL);
    assert_int_equal(json_dump_file(object, in_folder("config.json"), 0), 0);
    json_decref(object);
}

static xlstm_status load_tensors(xl_forecast_network **net, tensors *k) {
    copy_config();
    good(xlstm_tensors_write(in_folder("model.safetensors"), k->t, k->count));
    xlstm_tensors_close(k->file);
    return xl_forecast_network_load(net, folder, XLSTM_WEIGHTS_REAL);
}

static void same_weights(xl_forecast_network *a, xl_forecast_network *b) {
    xlstm_module *m = xl_forecast_network_module(a), *n = xl_forecast_network_module(b);
    assert_int_equal(xlstm_module_parameter_count(m), xlstm_module_parameter_count(n));
    for (int i = 0; i < xlstm_module_parameter_count(m); i++) {
        xlstm_parameter p;
        good(xlstm_module_parameter(m, i, &p));
        xlstm_real *x = copy_parameter(m, i), *y = copy_parameter(n, i);
        assert_memory_equal(x, y, p.count * sizeof *x);
        free(x);
        free(y);
    }
}

static void test_names(void **state) {
    static tensors k;
    xl_forecast_network *plain, *net;
    (void)state;
    good(xl_forecast_network_load(&plain, CASE, XLSTM_WEIGHTS_REAL));
    for (int copies = 0; copies < 2; copies++) {
        take_tensors(&k);
        rename_part(&k, "._recurrent_kernel_", ".recurrent_kernel", copies);
        rename_part(&k, "._bias_", ".bias", copies);
        rename_part(&k, ".fwd_cell.", ".rev_cell.", copies);
        good(load_tensors(&net, &k));
        same_weights(plain, net);
        xl_forecast_network_free(net);
    }
    xl_forecast_network_free(plain);
}

static void refuse_tensors(tensors *k, const char *says) {
    xl_forecast_network *net;
    xlstm_status status = load_tensors(&net, k);
    if (status != XLSTM_E_FORMAT || net || !strstr(xlstm_last_error(), says))
        fail_msg("status %d, not of %s: %s", (int)status, says, xlstm_last_error());
}

static int find(const tensors *k, const char *name) {
    int i = 0;
    while (strcmp(k->t[i].name, name))
        i++;
    return i;
}

static void test_refusals(void **state) {
    static tensors k;
    static float other[4096];
    (void)state;
    take_tensors(&k); /* two names, not the same numbers */
    rename_part(&k, "stack.1.time_mixer.fwd_cell._bias_", "stack.1.time_mixer.fwd_cell.bias", 1);
    k.t[k.count - 1].data = other;
    refuse_tensors(&k, "stack.1.time_mixer.fwd_cell");
    take_tensors(&k);
    k.t[find(&k, "stack_out_norm.weight")] = k.t[--k.count];
    refuse_tensors(&k, "missing");
    take_tensors(&k);
    rename_part(&k, "stack_out_norm", "stack_in_norm", 1);
    refuse_tensors(&k, "stack_in_norm.weight");
    take_tensors(&k);
    xlstm_tensor *kernel = &k.t[find(&k, "stack.1.time_mixer.fwd_cell._recurrent_kernel_")];
    kernel->ndim = 3, kernel->shape[2] *= kernel->shape[3]; /* (no release wrote it flat) */
    refuse_tensors(&k, "_recurrent_kernel_");
}

static void test_saving(void **state) {
    xl_forecast_network *net, *again;
    (void)state;
    good(xl_forecast_network_load(&net, CASE, XLSTM_WEIGHTS_REAL));
    good(xl_forecast_network_save(net, in_folder("saved")));
    good(xl_forecast_network_load(&again, in_folder("saved"), XLSTM_WEIGHTS_REAL));
    same_weights(net, again);
    json_t *x = xl_forecast_config_to_json(&net->config), *y = xl_forecast_config_to_json(&again->config);
    assert_true(x && json_equal(x, y));
    json_decref(x);
    json_decref(y);
    xlstm_tensors *a, *b;
    xlstm_tensor t, u;
    good(xlstm_tensors_open(&a, CASE "/model.safetensors"));
    good(xlstm_tensors_open(&b, in_folder("saved/model.safetensors")));
    assert_int_equal(xlstm_tensors_count(a), xlstm_tensors_count(b));
    for (int i = 0; i < xlstm_tensors_count(a); i++) { /* as the package writes them */
        good(xlstm_tensors_get(a, i, &t));
        good(xlstm_tensors_find(b, t.name, &u));
        assert_int_equal(t.ndim, u.ndim);
        assert_memory_equal(t.shape, u.shape, (size_t)t.ndim * sizeof *t.shape);
        assert_true(t.dtype != u.dtype || !memcmp(t.data, u.data, t.count * sizeof(float)));
    }
    xlstm_tensors_close(a);
    xlstm_tensors_close(b);
    xl_forecast_network_free(net);
    xl_forecast_network_free(again);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_configurations), cmocka_unit_test(test_defaults),
                                       cmocka_unit_test(test_names), cmocka_unit_test(test_refusals),
                                       cmocka_unit_test(test_saving)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
