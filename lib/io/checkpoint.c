/* checkpoint.c - a training run as a file of named tensors. One list says which tensors a run has and where
 * they are in memory: saving writes them from there, loading checks everything and then copies them there. */
#include "xlstm/checkpoint.h"
#include "base/mem.h"
#include "base/structs.h"
#include "base/parallel.h"
#include "file/file.h"
#include "file/safetensors.h"
#include "io/config_json.h"
#include "io/fetch.h"
#include "optim/optimizer.h"
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static const char version[] = "libxlstm 1";
static const char header_sum[] = "header.crc32"; /* the one tensor whose checksum is not in the header */
static const char bad_loss[] = "bad_loss"; /* in the header where gradients wait that no update may use */

/* ---- what a run consists of ---- */

typedef struct {
    xlstm_tensor *t;
    char (*names)[128];
    int count;
    int there; /* the first of them lie in the trainer's memory, the others on the host */
    xl_fetch fetch;
} tensor_list;

static void list_add(tensor_list *l, const char *prefix, const char *name, xlstm_tensor t) {
    snprintf(l->names[l->count], sizeof *l->names, "%s%s", prefix, name);
    t.name = l->names[l->count];
    t.count = 1;
    for (int i = 0; i < t.ndim; i++)
        t.count *= t.shape[i];
    l->t[l->count++] = t;
}

static void list_group(tensor_list *l, const char *prefix, const xl_layout *params, const real *values) {
    for (int i = 0; values && i < params->count; i++) {
        const xl_param *p = &params->items[i];
        xlstm_tensor t = {.dtype = XL_REAL_DTYPE, .ndim = p->ndim, .data = values + p->offset};
        memcpy(t.shape, p->shape, sizeof p->shape);
        list_add(l, prefix, p->name, t);
    }
}

static int carried_streams(const xlstm_trainer *tr) {
    return tr->state[0] ? tr->config.batch : 0;
}

/* With room for one more. */
static xlstm_status list_run(tensor_list *l, const xlstm_trainer *tr, const xlstm_optimizer *o,
                             int gradients) {
    const xl_layout *params = &tr->m->params;
    size_t most = 4 * (size_t)params->count + 3;
    *l = (tensor_list){.t = xl_alloc(most * sizeof *l->t), .names = xl_alloc(most * sizeof *l->names)};
    if (!l->t || !l->names)
        return xl_no_memory(most * sizeof *l->names, "a list of tensors");
    list_group(l, "weights.", params, tr->m->w);
    list_group(l, "first.", params, o ? o->first : NULL);
    list_group(l, "second.", params, o ? o->second : NULL);
    list_group(l, "gradients.", params, gradients ? tr->grad : NULL);
    if (tr->state[0])
        list_add(l, "", "state",
                 (xlstm_tensor){.dtype = XL_REAL_DTYPE,
                                .ndim = 2,
                                .shape = {tr->config.batch, (int64_t)tr->m->state_size},
                                .data = tr->state[tr->current]});
    l->there = l->count;
    return XLSTM_OK;
}

static void list_user(tensor_list *l, const void *user, size_t bytes) {
    list_add(l, "", "user",
             (xlstm_tensor){.dtype = XLSTM_U8, .ndim = 1, .shape = {(int64_t)bytes}, .data = user});
}

static void list_free(tensor_list *l) {
    xl_fetch_close(&l->fetch);
    xl_free(l->t);
    xl_free(l->names);
}

static size_t bytes_of(const xlstm_tensor *t) {
    return t->count * xlstm_dtype_size(t->dtype);
}

static xlstm_status read_listed(void *context, int i, size_t at, const void **data, size_t *bytes) {
    const tensor_list *l = context;
    *data = (const char *)l->t[i].data + at;
    *bytes = bytes_of(&l->t[i]) - at;
    return i < l->there ? xl_fetch_piece(&l->fetch, data, bytes) : XLSTM_OK;
}

/* ---- checksums ---- */

static uint32_t crc_of(const void *data, size_t bytes) {
    return bytes ? (uint32_t)crc32_z(crc32(0, NULL, 0), data, bytes) : 0;
}

static xlstm_status crc_listed(tensor_list *l, int i, uint32_t *crc) {
    const void *data;
    *crc = crc_of(NULL, 0);
    for (size_t at = 0, bytes; at < bytes_of(&l->t[i]); at += bytes) {
        XL_TRY(read_listed(l, i, at, &data, &bytes));
        *crc = (uint32_t)crc32_z(*crc, data, bytes);
    }
    return XLSTM_OK;
}

typedef struct {
    tensor_list *l;
    uint32_t *crc; /* [count] */
} crc_job;

static void crc_task(void *context, int index, int thread) {
    const crc_job *job = context;
    (void)thread;
    crc_listed(job->l, index, &job->crc[index]); /* on the host: cannot fail */
}

/* *crc is new: one per tensor. Only the thread that entered a memory may fetch from it. */
static xlstm_status crc_all(uint32_t **crc, tensor_list *l) {
    *crc = xl_alloc(l->count * sizeof **crc);
    if (!*crc)
        return xl_no_memory(l->count * sizeof **crc, "checksums");
    if (!l->fetch.room) {
        xl_parallel(l->count, crc_task, &(crc_job){l, *crc});
        return XLSTM_OK;
    }
    for (int i = 0; i < l->count; i++)
        XL_TRY(crc_listed(l, i, &(*crc)[i]));
    return XLSTM_OK;
}

static void crc_key(char key[160], const char *tensor) {
    snprintf(key, 160, "crc32.%.128s", tensor);
}

/* ---- saving ---- */

static json_t *text_of(const char *format, ...) __attribute__((format(printf, 1, 2)));
static json_t *text_of(const char *format, ...) {
    char text[64];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return json_string(text);
}

static const char *kind_of(const xlstm_module *m) {
    return m->is_model ? "model" : m->is_cell ? "cell" : "block";
}

static int set_config(json_t *about, const xlstm_config *c) {
    json_t *config = xl_config_to_own_json(c);
    char *text = xl_json_text(config, JSON_COMPACT | JSON_REAL_PRECISION(17));
    int bad = json_object_set_new(about, "config", json_string(text));
    json_decref(config);
    xl_free(text);
    return bad;
}

/* A new object of texts; NULL without memory. */
static json_t *describe(const tensor_list *l, const uint32_t *crc, const xlstm_trainer *tr,
                        const xlstm_optimizer *o) {
    json_t *about = json_object();
    char key[160];
    int bad = json_object_set_new(about, "checkpoint", json_string(version)) |
              json_object_set_new(about, "module", json_string(kind_of(tr->m))) |
              set_config(about, &tr->m->config) |
              json_object_set_new(about, "kernels", json_string(tr->place.op->name)) |
              json_object_set_new(about, "optimizer", json_string(xl_optimizer_name(o))) |
              json_object_set_new(about, "steps", text_of("%" PRId64, xlstm_optimizer_steps(o))) |
              json_object_set_new(about, "calls", text_of("%" PRIu64, tr->calls)) |
              json_object_set_new(about, "seed", text_of("%" PRIu64, tr->config.seed)) |
              json_object_set_new(about, "streams", text_of("%d", carried_streams(tr)));
    if (tr->bad_loss)
        bad |= json_object_set_new(about, bad_loss, json_string("1"));
    for (int i = 0; i < l->count; i++) {
        crc_key(key, l->t[i].name);
        bad |= json_object_set_new(about, key, text_of("%08" PRIx32, crc[i]));
    }
    if (!bad)
        return about;
    json_decref(about);
    return NULL;
}

static xlstm_status write_listed(const char *path, tensor_list *l, json_t *about) {
    uint32_t crc_of_head = 0;
    char *head = NULL;
    size_t bytes = 0;
    xl_file_replace file;
    list_add(l, "", header_sum,
             (xlstm_tensor){.dtype = XLSTM_U32, .ndim = 1, .shape = {1}, .data = &crc_of_head});
    xlstm_status status = xl_tensors_head(&head, &bytes, l->t, l->count, about);
    if (status == XLSTM_OK)
        status = xl_file_replace_open(&file, path, XL_FILE_REGULAR);
    if (status == XLSTM_OK) {
        crc_of_head = crc_of(head, bytes);
        status = xl_tensors_put(&file, head, bytes, l->t, l->count, &(xl_source){read_listed, l});
        status = xl_file_replace_end(&file, status);
    }
    xl_free(head);
    return status;
}

static xlstm_status write_run(const char *path, tensor_list *l, const xlstm_trainer *tr,
                              const xlstm_optimizer *o) {
    uint32_t *crc = NULL;
    xlstm_status status = crc_all(&crc, l);
    json_t *about = status == XLSTM_OK ? describe(l, crc, tr, o) : NULL;
    xl_free(crc);
    XL_TRY(status);
    if (!about)
        return xl_no_memory(0, "a header");
    status = write_listed(path, l, about);
    json_decref(about);
    return status;
}

/* ---- reading ---- */

typedef struct {
    const char *path;
    xlstm_tensors *file;
    const json_t *about;
} opened;

static xlstm_status damaged(const char *path, const char *what) {
    return xl_fail(XLSTM_E_FORMAT, "%s: %.200s is damaged (its checksum differs); nothing was loaded", path,
                   what);
}

static const char *entry(const opened *f, const char *key) {
    return json_string_value(json_object_get(f->about, key));
}

static xlstm_status check_header(const opened *f) {
    xlstm_tensor t;
    uint32_t crc;
    size_t bytes;
    if (!entry(f, "checkpoint") || xlstm_tensors_find(f->file, header_sum, &t) || bytes_of(&t) != sizeof crc)
        return xl_fail(XLSTM_E_FORMAT, "%s: is not a checkpoint of a training run", f->path);
    const char *head = xl_tensors_head_of(f->file, &bytes);
    memcpy(&crc, t.data, sizeof crc);
    if (crc != crc_of(head, bytes))
        return damaged(f->path, "the header");
    if (strcmp(entry(f, "checkpoint"), version))
        return xl_fail(XLSTM_E_FORMAT, "%s: is a checkpoint of kind \"%.40s\"; this library reads \"%s\"",
                       f->path, entry(f, "checkpoint"), version);
    return XLSTM_OK;
}

/* With a sound header. Close it also on failure. */
static xlstm_status open_file(opened *f, const char *path) {
    *f = (opened){.path = path};
    if (xl_path_is_free(path))
        return xl_fail(XLSTM_E_NOT_FOUND, "%s: there is no such checkpoint", path);
    XL_TRY(xlstm_tensors_open(&f->file, path));
    f->about = xl_tensors_metadata(f->file);
    return check_header(f);
}

static xlstm_status read_number(const opened *f, const char *key, uint64_t most, uint64_t *to) {
    const char *text = entry(f, key);
    char *end = NULL;
    errno = 0;
    *to = text && *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : 0;
    if (!end || *end || errno || *to > most)
        return xl_fail(XLSTM_E_FORMAT, "%s: entry %s of the header is not a number", f->path, key);
    return XLSTM_OK;
}

static xlstm_status check_crc(const opened *f, const xlstm_tensor *t, uint32_t crc) {
    char key[160];
    crc_key(key, t->name);
    const char *text = entry(f, key);
    char found[16];
    snprintf(found, sizeof found, "%08" PRIx32, crc);
    return text && !strcmp(text, found) ? XLSTM_OK : damaged(f->path, t->name);
}

static xlstm_status check_user(const opened *f, xlstm_tensor *t, size_t bytes) {
    if (xlstm_tensors_find(f->file, "user", t))
        return xl_fail(XLSTM_E_FORMAT, "%s: lacks the tensor user", f->path);
    if (bytes_of(t) != bytes)
        return xl_fail(XLSTM_E_CONFIG,
                       "%s: has %zu bytes of the user's own, and %zu are asked for; nothing was loaded",
                       f->path, bytes_of(t), bytes);
    return check_crc(f, t, crc_of(t->data, bytes));
}

/* Of all that has the run's own sizes; once each tensor is known to belong to it, so that a file cannot ask
 * for more reading than its run has numbers. The user's bytes are check_user()'s. */
static xlstm_status check_all_crcs(const opened *f) {
    int count = xlstm_tensors_count(f->file);
    tensor_list l = {.t = xl_alloc(count * sizeof *l.t)};
    uint32_t *crc = NULL;
    if (!l.t)
        return xl_no_memory(count * sizeof *l.t, "a list of tensors");
    for (int i = 0; i < count; i++) {
        xlstm_tensors_get(f->file, i, &l.t[l.count]);
        l.count += strcmp(l.t[l.count].name, header_sum) && strcmp(l.t[l.count].name, "user");
    }
    xlstm_status status = crc_all(&crc, &l);
    for (int i = 0; status == XLSTM_OK && i < l.count; i++)
        status = check_crc(f, &l.t[i], crc[i]);
    xl_free(crc);
    list_free(&l);
    return status;
}

/* ---- does it belong to this run ---- */

static xlstm_status differs(const opened *f, const char *what, const char *there, const char *here) {
    return xl_fail(XLSTM_E_CONFIG,
                   "%s: belongs to another run: %.120s is %.80s there and %.80s here; nothing was loaded",
                   f->path, what, there ? there : "missing", here);
}

static xlstm_status check_entry(const opened *f, const char *key, const char *what, const char *here) {
    const char *there = entry(f, key);
    return there && !strcmp(there, here) ? XLSTM_OK : differs(f, what, there, here);
}

static xlstm_status check_field(const opened *f, const char *key, json_t *there, json_t *here) {
    if (json_equal(there, here))
        return XLSTM_OK;
    char *a = xl_json_exact(there, JSON_ENCODE_ANY | JSON_COMPACT);
    char *b = xl_json_exact(here, JSON_ENCODE_ANY | JSON_COMPACT);
    xlstm_status status = differs(f, key, a, b ? b : "other");
    xl_free(a);
    xl_free(b);
    return status;
}

static xlstm_status compare_configs(const opened *f, json_t *there, json_t *here) {
    const char *key;
    json_t *value;
    json_object_foreach(here, key, value) XL_TRY(check_field(f, key, json_object_get(there, key), value));
    return XLSTM_OK;
}

/* Fields that the file's version of the library did not have yet are at their defaults. */
static xlstm_status saved_config(const opened *f, xlstm_config *c) {
    const char *text = entry(f, "config");
    json_t *json = NULL;
    XL_TRY(xl_json_parse(&json, text ? text : "", text ? strlen(text) : 0, f->path));
    xlstm_status status = xl_config_from_json(c, json, f->path);
    json_decref(json);
    return status;
}

static int same_fields(const xlstm_config *a, const xlstm_config *b) {
    json_t *one = xl_config_to_own_json(a), *other = xl_config_to_own_json(b);
    int same = json_equal(one, other);
    json_decref(one);
    json_decref(other);
    return same;
}

/* Dropout may change between two parts of a run. */
static json_t *comparable(xlstm_config c) {
    c.dropout = c.ffn_dropout = 0;
    xl_config_normalise(&c);
    return xl_config_to_own_json(&c);
}

static xlstm_status check_config(const opened *f, const xlstm_config *c) {
    xlstm_config saved;
    XL_TRY(saved_config(f, &saved));
    if (same_fields(&saved, c)) /* as a rule; what cells have need not be in a model's ranges */
        return XLSTM_OK;
    xlstm_status status = xl_config_check_blocks(&saved);
    if (status != XLSTM_OK)
        return xl_fail_in(f->path, status);
    json_t *there = comparable(saved), *here = comparable(*c);
    status = compare_configs(f, there, here);
    json_decref(there);
    json_decref(here);
    return status;
}

static void shape_text(char text[200], const xlstm_tensor *t) {
    int n = snprintf(text, 200, "%s [", xlstm_dtype_name(t->dtype));
    for (int i = 0; i < t->ndim; i++)
        n += snprintf(text + n, 200 - (size_t)n, "%s%" PRId64, i ? ", " : "", t->shape[i]);
    snprintf(text + n, 200 - (size_t)n, "]");
}

static xlstm_status check_tensor(const opened *f, const xlstm_tensor *here) {
    xlstm_tensor there;
    char a[200], b[200];
    shape_text(b, here);
    if (xlstm_tensors_find(f->file, here->name, &there))
        return differs(f, here->name, NULL, b);
    shape_text(a, &there);
    return strcmp(a, b) ? differs(f, here->name, a, b) : XLSTM_OK;
}

static int count_weights(const opened *f) {
    int count = 0;
    xlstm_tensor t;
    for (int i = 0; i < xlstm_tensors_count(f->file); i++)
        count += !xlstm_tensors_get(f->file, i, &t) && !strncmp(t.name, "weights.", 8);
    return count;
}

static xlstm_status check_belongs(const opened *f, const tensor_list *l, const xlstm_trainer *tr,
                                  const xlstm_optimizer *o) {
    char streams[16], weights[16], there[16];
    snprintf(streams, sizeof streams, "%d", carried_streams(tr));
    snprintf(weights, sizeof weights, "%d", tr->m->params.count);
    snprintf(there, sizeof there, "%d", count_weights(f));
    XL_TRY(check_entry(f, "module", "the kind of module", kind_of(tr->m)));
    XL_TRY(check_config(f, &tr->m->config));
    XL_TRY(check_entry(f, "streams", "the number of streams (batch) with carried state", streams));
    if (o)
        XL_TRY(check_entry(f, "optimizer", "the optimizer", xl_optimizer_name(o)));
    for (int i = 0; i < l->count; i++)
        XL_TRY(check_tensor(f, &l->t[i]));
    return strcmp(there, weights) ? differs(f, "the number of parameters", there, weights) : XLSTM_OK;
}

/* A parameter's own numbers, moments or gradients, which may be there and not be wanted. */
static int is_of_parameter(const xl_layout *params, const xlstm_tensor *t) {
    static const char *const groups[] = {"weights.", "first.", "second.", "gradients."};
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
        size_t length = strlen(groups[g]);
        int i = strncmp(t->name, groups[g], length) ? -1 : xl_layout_find(params, t->name + length);
        if (i >= 0)
            return t->dtype == XL_REAL_DTYPE && t->ndim == params->items[i].ndim &&
                   !memcmp(t->shape, params->items[i].shape, (size_t)t->ndim * sizeof *t->shape);
    }
    return 0;
}

/* After check_belongs(): what the run has is there, and its state has the run's shape. */
static xlstm_status check_nothing_else(const opened *f, const xlstm_trainer *tr) {
    for (int i = 0; i < xlstm_tensors_count(f->file); i++) {
        xlstm_tensor t;
        char shape[200];
        xlstm_tensors_get(f->file, i, &t);
        if (!strcmp(t.name, header_sum) || !strcmp(t.name, "user") ||
            (tr->state[0] && !strcmp(t.name, "state")) || is_of_parameter(&tr->m->params, &t))
            continue;
        shape_text(shape, &t);
        return differs(f, t.name, shape, "missing");
    }
    return XLSTM_OK;
}

/* ---- loading ---- */

static int has_gradients(const opened *f, const xl_layout *params) {
    char name[128];
    xlstm_tensor t;
    snprintf(name, sizeof name, "gradients.%s", params->count ? params->items[0].name : "");
    return xlstm_tensors_find(f->file, name, &t) == XLSTM_OK;
}

static xlstm_status put_tensors(const opened *f, const tensor_list *l, const xlstm_trainer *tr) {
    xl_memory *memory = tr->m->memory;
    xl_place_enter(&tr->place);
    for (int i = 0; i < l->count; i++) {
        xlstm_tensor t;
        if (xlstm_tensors_find(f->file, l->t[i].name, &t) == XLSTM_OK)
            memory->put(memory, (void *)(uintptr_t)l->t[i].data, t.data, bytes_of(&t));
    }
    return xl_place_leave(&tr->place, XLSTM_OK);
}

/* Everything that can fail comes before the first number that changes, but for a device. */
static xlstm_status restore(const opened *f, const tensor_list *l, xlstm_trainer *tr, xlstm_optimizer *o,
                            void *user, size_t user_bytes) {
    uint64_t steps, calls, seed, bad = 0;
    xlstm_tensor own;
    XL_TRY(check_belongs(f, l, tr, o));
    XL_TRY(read_number(f, "steps", INT64_MAX, &steps));
    XL_TRY(read_number(f, "calls", INT64_MAX, &calls));
    XL_TRY(read_number(f, "seed", UINT64_MAX, &seed));
    if (entry(f, bad_loss))
        XL_TRY(read_number(f, bad_loss, 1, &bad));
    if (user)
        XL_TRY(check_user(f, &own, user_bytes));
    XL_TRY(check_nothing_else(f, tr));
    XL_TRY(check_all_crcs(f));
    tr->has_tape = 0; /* of weights that go now */
    XL_TRY(xlstm_trainer_zero_gradients(tr));
    XL_TRY(put_tensors(f, l, tr));
    tr->calls = calls;
    tr->config.seed = seed;
    tr->bad_loss = (int)bad;
    if (o)
        o->steps = (int64_t)steps;
    if (user)
        memcpy(user, own.data, user_bytes);
    return XLSTM_OK;
}

static xlstm_status check_arguments(const char *path, const xlstm_trainer *tr, const xlstm_optimizer *o) {
    if (!path || !tr)
        return xl_fail(XLSTM_E_ARGUMENT, "a checkpoint needs a path and a trainer; one of them is NULL");
    if (o && o->m != tr->m)
        return xl_fail(XLSTM_E_ARGUMENT, "the checkpoint's trainer and optimizer must be of the same module");
    xl_threads_now();
    return xl_module_needs_reals(tr->m, "a checkpoint");
}

/* Nothing but checkpoints is written over. */
static xlstm_status check_replaceable(const char *path) {
    opened f;
    char said[512];
    xlstm_status status = open_file(&f, path);
    xlstm_tensors_close(f.file);
    if (status != XLSTM_E_FORMAT)
        return status == XLSTM_E_NOT_FOUND ? XLSTM_OK : status;
    snprintf(said, sizeof said, "%s", xlstm_last_error());
    return xl_fail(status, "%.400s; it is not written over: move it away first", said);
}

static xlstm_status save_run(const char *path, const xlstm_trainer *tr, const xlstm_optimizer *o,
                             const xl_ops *op, const void *user, size_t user_bytes) {
    tensor_list l;
    double sum = 0;
    if (tr->grad)
        XL_TRY(xl_trainer_sumsq(tr, op, 0, tr->m->params.size, &sum));
    xlstm_status status = list_run(&l, tr, o, sum != 0);
    if (status == XLSTM_OK)
        status = xl_fetch_open(&l.fetch, tr->m->memory);
    if (status == XLSTM_OK) {
        list_user(&l, user, user_bytes);
        status = write_run(path, &l, tr, o);
    }
    list_free(&l);
    return status;
}

xlstm_status xlstm_checkpoint_save(const char *path, const xlstm_trainer *tr, const xlstm_optimizer *o,
                                   const void *user, size_t user_bytes) {
    XL_TRY(check_arguments(path, tr, o));
    if (user_bytes && !user)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "xlstm_checkpoint_save: user is NULL, but %zu bytes of it are to be saved",
                       user_bytes);
    XL_TRY(check_replaceable(path));
    const xl_ops *op = xl_place_enter(&tr->place);
    return xl_place_leave(&tr->place, save_run(path, tr, o, op, user, user_bytes));
}

xlstm_status xlstm_checkpoint_load(const char *path, xlstm_trainer *tr, xlstm_optimizer *o, void *user,
                                   size_t user_bytes) {
    XL_TRY(check_arguments(path, tr, o));
    opened f;
    tensor_list l = {0};
    xlstm_status status = open_file(&f, path);
    if (status == XLSTM_OK)
        status = list_run(&l, tr, o, has_gradients(&f, &tr->m->params));
    if (status == XLSTM_OK)
        status = restore(&f, &l, tr, o, user, user_bytes);
    list_free(&l);
    xlstm_tensors_close(f.file);
    return status;
}

static int can_be_info(size_t size) {
    return size >= XL_END_OF(xlstm_checkpoint_info, user_bytes) &&
           xl_struct_can_be(size, sizeof(xlstm_checkpoint_info));
}

/* As much of it as the caller knows. */
static void write_info(xlstm_checkpoint_info *to, xlstm_checkpoint_info info) {
    xl_struct_init(to, to->struct_size, &info, sizeof info);
}

static xlstm_status peek(const opened *f, xlstm_checkpoint_info *info, void *user, size_t user_bytes) {
    uint64_t steps, calls;
    xlstm_tensor own;
    XL_TRY(read_number(f, "steps", INT64_MAX, &steps));
    XL_TRY(read_number(f, "calls", INT64_MAX, &calls));
    if (xlstm_tensors_find(f->file, "user", &own))
        return xl_fail(XLSTM_E_FORMAT, "%s: lacks the tensor user", f->path);
    if (user)
        XL_TRY(check_user(f, &own, user_bytes));
    if (info)
        write_info(info, (xlstm_checkpoint_info){0, (int64_t)steps, (int64_t)calls, bytes_of(&own)});
    if (user)
        memcpy(user, own.data, user_bytes);
    return XLSTM_OK;
}

xlstm_status xlstm_checkpoint_peek(const char *path, xlstm_checkpoint_info *info, void *user,
                                   size_t user_bytes) {
    if (!path || (info && !can_be_info(info->struct_size)))
        return xl_fail(XLSTM_E_ARGUMENT,
                       "xlstm_checkpoint_peek needs a path, and in info the struct_size "
                       "sizeof(xlstm_checkpoint_info), here %zu",
                       sizeof *info);
    opened f;
    xlstm_status status = open_file(&f, path);
    if (status == XLSTM_OK)
        status = peek(&f, info, user, user_bytes);
    xlstm_tensors_close(f.file);
    return status;
}
