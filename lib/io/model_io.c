/* Whole models: which files hold the weights, and every parameter from exactly one tensor. */
#include "base/log.h"
#include "base/mem.h"
#include "file/file.h"
#include "file/json.h"
#include "file/safetensors.h"
#include "io/config_json.h"
#include "io/dialect.h"
#include "io/fetch.h"
#include "io/model_io.h"
#include "model/module.h"
#include "model/recipes.h"
#include "xlstm/io.h"
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the open files of one model ---- */

typedef struct {
    xlstm_tensors **files;
    int count, capacity;
    size_t prefix; /* of every name, which wrappers of the model put there; taken off */
    int named;     /* that is known */
} shards;

static void close_shards(shards *s) {
    for (int i = 0; i < s->count; i++)
        xlstm_tensors_close(s->files[i]);
    xl_free(s->files);
    *s = (shards){0};
}

static xlstm_status add_shard(shards *s, const char *path) {
    if (s->count == s->capacity) {
        int capacity = s->capacity ? 2 * s->capacity : 8;
        xlstm_tensors **more = xl_alloc(capacity * sizeof *more);
        if (!more)
            return xl_no_memory(capacity * sizeof *more, "a list of files");
        if (s->count)
            memcpy(more, s->files, s->count * sizeof *more);
        xl_free(s->files);
        s->files = more;
        s->capacity = capacity;
    }
    XL_TRY(xlstm_tensors_open(&s->files[s->count], path));
    s->count++;
    return XLSTM_OK;
}

static xlstm_status add_shard_in(shards *s, const char *dir, const char *name) {
    char *path = xl_path_join(dir, name);
    if (!path)
        return xl_no_memory(0, "a file name");
    xlstm_status status = add_shard(s, path);
    xl_free(path);
    return status;
}

/* Without the heap: a file must not seem absent for want of memory. Longer paths cannot be opened either. */
static int exists_in(const char *dir, const char *name) {
    char path[4096];
    int length = snprintf(path, sizeof path, "%s/%s", dir, name);
    return length > 0 && (size_t)length < sizeof path && xl_path_exists(path);
}

/* An index may name files beside itself only. */
static int is_plain_name(const char *name) {
    return name && *name && !strchr(name, '/') && strcmp(name, ".") && strcmp(name, "..");
}

enum { MOST_BYTES = 1 << 24 }; /* of an index: a hundred thousand long names */

/* Every tensor of the index is in the file that it says; files maps names to shards already open. */
static xlstm_status open_indexed(shards *s, json_t *map, json_t *files, const char *dir, const char *path) {
    const char *name;
    json_t *value;
    json_object_foreach(map, name, value) {
        const char *file = json_string_value(value);
        xlstm_tensor t;
        if (!is_plain_name(file))
            return xl_fail(XLSTM_E_FORMAT, "%s: gives tensor %.100s no plain file name", path, name);
        json_t *known = json_object_get(files, file);
        if (!known) {
            XL_TRY(add_shard_in(s, dir, file));
            known = json_integer(s->count - 1);
            if (json_object_set_new(files, file, known))
                return xl_no_memory(0, "a list of files");
        }
        assert(s->files); /* as a file is known, there is one */
        if (xlstm_tensors_find(s->files[json_integer_value(known)], name, &t))
            return xl_fail(XLSTM_E_FORMAT, "%s: says that %.100s holds tensor %.100s, but it does not", path,
                           file, name);
    }
    return XLSTM_OK;
}

static xlstm_status parse_index(json_t **index, const xl_file_map *map, const char *path) {
    if (map->size > MOST_BYTES)
        return xl_fail(XLSTM_E_FORMAT, "%s: has %zu bytes; an index has at most %d", path, map->size,
                       MOST_BYTES);
    return xl_json_parse(index, map->data ? map->data : "", map->size, path);
}

static xlstm_status open_index(shards *s, const char *dir, const char *name) {
    char *path = xl_path_join(dir, name);
    xl_file_map map = {0};
    json_t *index = NULL, *files = json_object();
    xlstm_status status = path ? xl_file_map_open(&map, path) : xl_no_memory(0, "a file name");
    if (status == XLSTM_OK)
        status = parse_index(&index, &map, path);
    json_t *weights = json_object_get(index, "weight_map");
    if (status == XLSTM_OK && !json_is_object(weights))
        status = xl_fail(XLSTM_E_FORMAT, "%s: has no weight_map", path);
    if (status == XLSTM_OK)
        status = open_indexed(s, weights, files, dir, path);
    json_decref(files);
    json_decref(index);
    xl_file_map_close(&map);
    xl_free(path);
    return status;
}

static xlstm_status open_numbered(shards *s, const char *dir) {
    char name[40];
    for (int i = 0;; i++) {
        snprintf(name, sizeof name, "model_%d.safetensors", i);
        if (!exists_in(dir, name))
            return XLSTM_OK;
        XL_TRY(add_shard_in(s, dir, name));
    }
}

/* In this order; the first that is there is the model. */
enum { SOURCES = 4 };
static const char *const sources[SOURCES] = {"model.safetensors.index.json", "model.safetensors",
                                             "weights.safetensors", "model_0.safetensors"};

static int source_in(const char *dir) {
    for (int i = 0; i < SOURCES; i++)
        if (exists_in(dir, sources[i]))
            return i;
    return -1;
}

static xlstm_status open_directory(shards *s, const char *dir) {
    int source = source_in(dir);
    if (source < 0)
        return xl_fail(XLSTM_E_IO, "%s: holds no weights: no %s, %s, %s or %s", dir, sources[1], sources[2],
                       sources[3], sources[0]);
    if (source == 0)
        return open_index(s, dir, sources[0]);
    return source == 3 ? open_numbered(s, dir) : add_shard_in(s, dir, sources[source]);
}

/* ---- their tensors ---- */

/* Calls a function for every tensor of all files, and passes on what is not XLSTM_OK. */
#define EACH_TENSOR(s, f, i, t)                                                                              \
    for (int f = 0; f < (s)->count; f++)                                                                     \
        for (int i = 0; tensor_of(s, f, i, t); i++)

/* Tensor i of a file under its plain name; 0 after the last. */
static int tensor_of(const shards *s, int f, int i, xlstm_tensor *t) {
    if (i >= xlstm_tensors_count(s->files[f]))
        return 0;
    xlstm_tensors_get(s->files[f], i, t);
    t->name += s->prefix;
    return 1;
}

/* One without numbers that is no parameter is a mark that some tool left. */
static int is_mark(const xlstm_module *m, const xlstm_tensor *t) {
    return t->count == 0 && !xl_dialect_has(m, t->name);
}

/* How much of the first names' beginning all share. */
static size_t shared_beginning(const xlstm_module *m, const shards *s, const char **first) {
    size_t shared = 0;
    xlstm_tensor t;
    *first = NULL;
    EACH_TENSOR(s, f, i, &t) {
        size_t n = 0;
        if (is_mark(m, &t))
            continue;
        if (!*first)
            shared = strlen(*first = t.name);
        while (n < shared && t.name[n] == (*first)[n])
            n++;
        shared = n;
    }
    return shared;
}

static void tell_of_wrappers(const shards *s, const char *where) {
    char room[XL_TENSOR_NAME_ROOM];
    xlstm_tensor t;
    EACH_TENSOR(s, f, i, &t)
    if (strlen(xl_dialect_plain(t.name, room)) < strlen(t.name)) {
        xl_log(XLSTM_LOG_INFO, "%s: what wrappers put into names, as in %.150s, is left away", where, t.name);
        return;
    }
}

/* DistributedDataParallel, Lightning and the like save a model as a part of something else: "module." or
 * "net." stands before every name. What all share up to a dot is taken off if a parameter is left. */
static void find_prefix(const xlstm_module *m, shards *s, const char *where) {
    const char *first;
    size_t shared = shared_beginning(m, s, &first);
    tell_of_wrappers(s, where);
    if (!first || xl_dialect_has(m, first))
        return;
    size_t length = strlen(first); /* which may be millions: what is left has to be a name */
    for (size_t n = length > XL_TENSOR_NAME_ROOM ? length - XL_NAME_ROOM : 1; n <= shared; n++)
        if (first[n - 1] == '.' && xl_dialect_has(m, first + n)) {
            s->prefix = n;
            xl_log(XLSTM_LOG_INFO, "%s: \"%.*s\" before the name of every tensor is left away", where,
                   (int)(n < 100 ? n : 100), first);
            return;
        }
}

/* ---- loading ---- */

enum { PIECE = 1 << 16 }; /* numbers: what a level of cache holds */

typedef struct {
    xlstm_module *m;
    const char *where; /* the file or the directory of the files */
    const shards *files;
    unsigned char *seen; /* per parameter */
    int borrow;          /* the files stay open: packed matrices may point into them */
    int borrowed;
    int cuda, tied_twice;
    size_t widest, room, longest; /* a packed matrix' row; bytes of it on its way; of a tensor to be turned */
    void *packing;                /* [room] */
    real *numbers;                /* [widest], and outside the host's memory [PIECE] */
    char *turned;                 /* [longest] */
} load;
typedef xlstm_status visit(load *l, const xlstm_tensor *t);

static size_t bytes_of(const xlstm_tensor *t) {
    return t->count * xlstm_dtype_size(t->dtype);
}

/* The sentence gets the file's name. A tensor that the module does not know is what is wrong with the file.
 */
static xlstm_status fail_in(const char *path, xlstm_status status) {
    return status == XLSTM_E_MEMORY ? status
                                    : xl_fail_in(path, status == XLSTM_E_NOT_FOUND ? XLSTM_E_FORMAT : status);
}

/* Calls one function per tensor of all files. */
static xlstm_status each(load *l, const shards *s, visit *what) {
    xlstm_tensor t;
    EACH_TENSOR(s, f, i, &t) {
        xlstm_status status = is_mark(l->m, &t) ? XLSTM_OK : what(l, &t);
        if (status != XLSTM_OK)
            return fail_in(xl_tensors_path(s->files[f]), status);
    }
    return XLSTM_OK;
}

static xlstm_status see_layout(load *l, const xlstm_tensor *t) {
    int cuda = xl_dialect_is_cuda(t);
    if (cuda >= 0 && l->cuda >= 0 && cuda != l->cuda)
        return xl_fail(XLSTM_E_FORMAT, "tensor %.200s has another layout than those before it", t->name);
    l->cuda = cuda >= 0 ? cuda : l->cuda;
    return XLSTM_OK;
}

/* A forecasting model's cells have several names: is what came before under another one the same? */
static int is_copy(const load *l, const xlstm_tensor *t) {
    xlstm_tensor other;
    EACH_TENSOR(l->files, f, i, &other) {
        if (xl_dialect_is_alias(l->m, other.name, t->name) && strcmp(other.name, t->name) &&
            (other.dtype != t->dtype || other.count != t->count || memcmp(other.data, t->data, bytes_of(t))))
            return 0;
    }
    return xl_dialect_is_alias(l->m, t->name, t->name);
}

static xlstm_status see_tensor(load *l, const xlstm_tensor *t) {
    xl_binding b;
    XL_TRY(xl_dialect_bind(&b, l->m, t, l->cuda > 0));
    if (t->dtype > XLSTM_BF16)
        return xl_fail(XLSTM_E_FORMAT, "tensor %.200s is %s; weights are floating point", t->name,
                       xlstm_dtype_name(t->dtype));
    if (b.tied && l->tied_twice++)
        return xl_fail(XLSTM_E_FORMAT, "tensor %.200s is in two files", t->name);
    for (int p = 0; p < b.parts && !b.tied; p++)
        if (l->seen[b.index[p]]++ && !is_copy(l, t))
            return xl_fail(XLSTM_E_FORMAT, "tensor %.200s gives parameter %.100s a second time", t->name,
                           b.part[p].name);
    return XLSTM_OK;
}

static xlstm_status check_complete(const load *l) {
    for (int i = 0; i < l->m->params.count; i++) {
        const char *name = l->m->params.items[i].name;
        if (!l->seen[i] && !xl_dialect_may_lack(l->m, name))
            return xl_fail(XLSTM_E_FORMAT, "%s: tensor %.150s is missing from the weights", l->where, name);
    }
    return XLSTM_OK;
}

/* Whatever stands before it. */
static int is_called(const xlstm_tensor *t, const char *name) {
    char room[XL_TENSOR_NAME_ROOM];
    const char *plain = xl_dialect_plain(t->name, room);
    size_t n = strlen(plain), k = strlen(name);
    return n >= k && !strcmp(plain + n - k, name) && (n == k || plain[n - k - 1] == '.');
}

/* Do the files hold both the head and the embedding, and as different numbers? */
static int ends_differ(const shards *s) {
    xlstm_tensor t, head = {0}, embedding = {0};
    EACH_TENSOR(s, f, i, &t) {
        if (is_called(&t, "lm_head.weight"))
            head = t;
        if (is_called(&t, "token_embedding.weight") || is_called(&t, "embedding.weight") ||
            is_called(&t, "backbone.embeddings.weight"))
            embedding = t;
    }
    return head.name && embedding.name &&
           (head.dtype != embedding.dtype || head.count != embedding.count ||
            memcmp(head.data, embedding.data, head.count * xlstm_dtype_size(head.dtype)));
}

/* Two spellings of one matrix must agree in the file's own numbers. */
static xlstm_status check_tied(load *l, const shards *s) {
    if (!l->tied_twice || !ends_differ(s))
        return XLSTM_OK;
    return xl_fail(XLSTM_E_FORMAT,
                   "%s: tensor lm_head.weight differs from the embedding, but the configuration ties them",
                   l->where);
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

static int has_type_of(const xlstm_tensor *t, const xl_packed *k) {
    return t->dtype == XLSTM_BF16 && k->matrix.type == XL_BFLOAT16;
}

/* Where the file has the type that the module keeps the matrix in, the file's own bytes will do. */
static int can_borrow(const load *l, const xl_packed *k, const xlstm_tensor *t, const xl_binding *b) {
    return l->borrow && b->turn == XL_AS_IS && has_type_of(t, k) && (uintptr_t)t->data % 2 == 0;
}

/* All memory that taking it will need: that cannot fail then, when others have been changed. */
static xlstm_status reserve(load *l, const xlstm_tensor *t) {
    xl_binding b;
    XL_TRY(xl_dialect_bind(&b, l->m, t, l->cuda > 0));
    if (b.turn != XL_AS_IS)
        l->longest = larger(l->longest, bytes_of(t));
    for (int p = 0; p < b.parts && !b.tied; p++) {
        const xl_param *param = &l->m->params.items[b.index[p]];
        xl_packed *k = param->packed ? xl_packing_of(&l->m->packed, param) : NULL;
        if (!k || can_borrow(l, k, t, &b))
            continue;
        l->widest = larger(l->widest, k->matrix.cols);
        l->room = larger(l->room, xl_packed_room(k));
        if (!xl_packed_reserve(k, l->m->memory))
            return xl_no_memory(xl_matrix_bytes(&k->matrix), "a matrix");
    }
    return XLSTM_OK;
}

static xlstm_status reserve_all(load *l, const shards *s) {
    XL_TRY(each(l, s, reserve));
    size_t count = l->m->memory->is_host ? l->widest : larger(l->widest, PIECE);
    uint64_t room = ((uint64_t)l->room + 63) / 64 * 64, numbers = (uint64_t)count * sizeof *l->numbers;
    l->packing = xl_alloc(room + numbers + l->longest);
    if (!l->packing)
        return xl_no_memory(room + numbers + l->longest, "weights on their way");
    l->numbers = (real *)(void *)((char *)l->packing + room);
    l->turned = (char *)(l->numbers + count);
    return XLSTM_OK;
}

/* A matrix that the module keeps in a smaller type: as it is, or row by row. */
static void take_packed(const load *l, xl_packed *k, const xlstm_tensor *t) {
    xl_memory *memory = l->m->memory;
    xlstm_tensor row = *t;
    xl_packed_use_own(k);
    if (has_type_of(t, k)) {
        memory->put(memory, k->own, t->data, xl_matrix_bytes(&k->matrix));
        return;
    }
    row.count = k->matrix.cols;
    for (int r = 0; r < k->matrix.rows; r++) {
        xlstm_tensor_reals(&row, l->numbers);
        xl_packed_write_row(k, memory, r, l->numbers, l->packing);
        row.data = (const char *)row.data + bytes_of(&row);
    }
}

/* Where `count` numbers for a place in the module's memory are made: in the host's memory there, and all at
 * once, so that putting them there has nothing to do. */
static real *make_at(const load *l, real *place, size_t *count) {
    if (l->m->memory->is_host)
        return place;
    *count = *count < PIECE ? *count : PIECE;
    return l->numbers;
}

static void take_reals(const load *l, const xl_param *p, const xlstm_tensor *t) {
    xl_memory *memory = l->m->memory;
    xlstm_tensor piece = *t;
    for (size_t at = 0; at < t->count; at += piece.count) {
        real *place = l->m->w + p->offset + at;
        piece.count = t->count - at;
        real *made = make_at(l, place, &piece.count);
        xlstm_tensor_reals(&piece, made);
        memory->put(memory, place, made, piece.count * sizeof *made);
        piece.data = (const char *)piece.data + bytes_of(&piece);
    }
}

/* The parts of a fused tensor lie end to end; one that is turned is a part in the parameter's order then. */
static xlstm_status take_tensor(load *l, const xlstm_tensor *t) {
    xl_binding b;
    XL_TRY(xl_dialect_bind(&b, l->m, t, l->cuda > 0));
    if (b.tied)
        return XLSTM_OK;
    xlstm_tensor part = *t;
    int lent = 0;
    if (b.turn != XL_AS_IS) {
        xl_dialect_scatter(&b, xlstm_dtype_size(t->dtype), t->data, l->turned);
        part.data = l->turned;
    }
    for (int p = 0; p < b.parts; p++) {
        part.count = b.part[p].count;
        const xl_param *param = &l->m->params.items[b.index[p]];
        xl_packed *k = param->packed ? xl_packing_of(&l->m->packed, param) : NULL;
        if (!k)
            take_reals(l, param, &part);
        else if (can_borrow(l, k, &part, &b))
            k->matrix.data = part.data, lent = 1;
        else
            take_packed(l, k, &part);
        part.data = (const char *)part.data + bytes_of(&part);
    }
    l->borrowed |= lent;
    if (!lent) /* else the file and its copy would both count at the end */
        xl_file_forget(t->data, bytes_of(t));
    return XLSTM_OK;
}

static void draw_absent(const load *l, const xl_param *p) {
    xl_memory *memory = l->m->memory;
    xl_rng none = {0, 0}; /* such values are not drawn */
    for (size_t at = 0, count; at < p->count; at += count) {
        real *place = l->m->w + p->offset + at;
        count = p->count - at;
        real *made = make_at(l, place, &count);
        xl_param_draw(p, at, count, made, &none);
        memory->put(memory, place, made, count * sizeof *made);
    }
}

static void fill_absent(const load *l) {
    for (int i = 0; i < l->m->params.count; i++)
        if (!l->seen[i] && xl_dialect_may_lack(l->m, l->m->params.items[i].name))
            draw_absent(l, &l->m->params.items[i]);
}

/* By names and shapes, of which headers tell: no number is read. */
static xlstm_status check_belongs(load *l, const shards *s) {
    XL_TRY(each(l, s, see_layout));
    XL_TRY(each(l, s, see_tensor));
    return check_complete(l);
}

/* Everything is checked before the first number is changed, and what a configuration says takes no memory
 * before the files are known to hold it. */
static xlstm_status take_all(load *l, const shards *s) {
    XL_TRY(check_belongs(l, s));
    XL_TRY(check_tied(l, s));
    if (!l->m->w)
        XL_TRY(xl_module_take_memory(l->m));
    XL_TRY(reserve_all(l, s));
    XL_TRY(each(l, s, take_tensor));
    fill_absent(l);
    if (l->cuda >= 0)
        l->m->config.file_spelling =
            (l->m->config.file_spelling & ~XLSTM_SPELL_CUDA) | (l->cuda ? XLSTM_SPELL_CUDA : 0);
    return XLSTM_OK;
}

static xlstm_status take_there(load *l, const shards *s) {
    xl_place place;
    XL_TRY(xl_place_visit(&place, l->m->memory));
    return xl_place_end(&place, take_all(l, s));
}

static void release(void *lent) {
    close_shards(lent);
    xl_free(lent);
}

static xlstm_status check_unchanged(const void *lent) {
    const shards *s = lent;
    for (int f = 0; f < s->count; f++)
        XL_TRY(xl_tensors_check(s->files[f]));
    return XLSTM_OK;
}

/* From here on the open files are the module's. */
static xlstm_status lend(xlstm_module *m, shards *s) {
    shards *lent = xl_alloc(sizeof *lent);
    if (!lent)
        return xl_no_memory(sizeof *lent, "a list of files");
    *lent = *s;
    *s = (shards){0};
    m->lent = lent;
    m->release = release;
    m->check = check_unchanged;
    return XLSTM_OK;
}

static xlstm_status begin(load *l, xlstm_module *m, const char *where, shards *s) {
    *l = (load){.m = m, .where = where, .files = s, .cuda = -1, .seen = xl_alloc((size_t)m->params.count)};
    if (!s->named++)
        find_prefix(m, s, where);
    return l->seen ? XLSTM_OK : xl_no_memory((size_t)m->params.count, "a list of parameters");
}

/* With `borrow`, the module takes over the open files if it points into them, which only the host can. */
static xlstm_status load_shards(xlstm_module *m, const char *where, shards *s, int borrow) {
    load l;
    XL_TRY(begin(&l, m, where, s));
    l.borrow = borrow && m->memory->is_host;
    xlstm_status status = take_there(&l, s);
    xl_free(l.seen);
    xl_free(l.packing);
    return status == XLSTM_OK && l.borrowed ? lend(m, s) : status;
}

xlstm_status xlstm_module_load_weights(xlstm_module *m, const char *path) {
    if (!m || !path)
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_module_load_weights needs a module and a path");
    shards s = {0};
    xlstm_status status = add_shard(&s, path);
    if (status == XLSTM_OK)
        status = load_shards(m, path, &s, 0);
    close_shards(&s);
    return status;
}

/* Weights that xlstm_module_save() wrote say which configuration belongs to them; those of others do not. */
static xlstm_status check_saved_together(const shards *s, const xlstm_config *c) {
    for (int f = 0; f < s->count; f++) {
        const json_t *mark = json_object_get(xl_tensors_metadata(s->files[f]), XL_CONFIG_MARK);
        if (mark)
            XL_TRY(xl_config_check_mark(c, json_string_value(mark), xl_tensors_path(s->files[f])));
    }
    return XLSTM_OK;
}

/* Recent versions of transformers read tie_word_embeddings and yet train, and save, two matrices. They are
 * compared once all tensors are known to be those of the tied model. */
static xlstm_status untie(xlstm_config *c, shards *s, const char *directory) {
    xlstm_module *m = NULL;
    load l;
    if (!(c->file_spelling & XLSTM_SPELL_HF) || !c->tie_weights)
        return XLSTM_OK;
    XL_TRY(xl_module_declare(&m, c, &xl_memory_host)); /* (which takes none) */
    xlstm_status status = begin(&l, m, directory, s);
    if (status == XLSTM_OK)
        status = check_belongs(&l, s);
    if (status == XLSTM_OK && l.tied_twice && ends_differ(s))
        c->tie_weights = 0;
    xl_free(l.seen);
    xlstm_module_free(m);
    return status;
}

xlstm_status xl_module_load_files(xlstm_module *m, const char *directory) {
    shards s = {0};
    xlstm_status status = open_directory(&s, directory);
    if (status == XLSTM_OK)
        status = load_shards(m, directory, &s, 1);
    if (status == XLSTM_OK)
        status = check_unchanged(m->lent ? m->lent : &s); /* somebody may have written while we read */
    close_shards(&s);
    return status;
}

xlstm_status xl_module_peek(const char *directory, const char *name, int *ndim, int64_t shape[8]) {
    shards s = {0};
    xlstm_tensor t;
    xlstm_status status = open_directory(&s, directory);
    *ndim = 0;
    if (status == XLSTM_OK)
        EACH_TENSOR(&s, f, i, &t) {
            if (is_called(&t, name)) {
                *ndim = t.ndim;
                memcpy(shape, t.shape, sizeof t.shape);
            }
        }
    close_shards(&s);
    return status;
}

xlstm_status xlstm_module_load(xlstm_module **out, const char *directory) {
    return xlstm_module_load_as(out, directory, XLSTM_WEIGHTS_REAL);
}

xlstm_status xlstm_module_load_as(xlstm_module **out, const char *directory, xlstm_weights weights) {
    if (out)
        *out = NULL;
    if (!out || !directory)
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_module_load needs an address for the module and a directory");
    if (!xl_path_is_dir(directory))
        return xl_fail(XLSTM_E_IO, "%s: is not a directory with config.json and weights", directory);
    xlstm_config config;
    xlstm_module *m = NULL;
    shards s = {0};
    xl_memory *memory;
    XL_TRY(xl_memory_chosen(&memory));
    XL_TRY(xlstm_config_load(directory, &config));
    config.weights = weights;
    xlstm_status status = open_directory(&s, directory);
    if (status == XLSTM_OK)
        status = check_saved_together(&s, &config);
    if (status == XLSTM_OK)
        status = untie(&config, &s, directory);
    if (status == XLSTM_OK)
        status = xl_module_declare(&m, &config, memory);
    if (status == XLSTM_OK)
        status = load_shards(m, directory, &s, 1);
    if (status == XLSTM_OK)
        status = check_unchanged(m->lent ? m->lent : &s); /* somebody may have written while we read */
    close_shards(&s);
    if (status == XLSTM_OK)
        *out = m;
    else
        xlstm_module_free(m);
    return status;
}

/* ---- saving ---- */

typedef struct {
    char name[128];
    xl_binding b;
} saved;

typedef struct {
    const xlstm_module *m;
    xlstm_tensor *t;
    saved *s; /* as many */
    int count;
    xl_fetch fetch;
    char *head; /* of the file */
    size_t head_bytes;
    char *turned; /* a tensor whose numbers lie in another order in the file */
} saving;

static xlstm_status check_initial(const xl_param *p, size_t first, size_t count, const real *values) {
    xl_rng none = {0, 0};
    for (size_t k = 0; k < count; k++) {
        real initial;
        xl_param_draw(p, first + k, 1, &initial, &none);
        if (values[k] != initial)
            return xl_fail(XLSTM_E_ARGUMENT,
                           "parameter %.100s was trained, but the format it came from has no place for it; "
                           "set file_spelling to 0 in a configuration of your own",
                           p->name);
    }
    return XLSTM_OK;
}

/* What a spelling leaves out must be what a load would put there. */
static xlstm_status check_absent(const saving *w) {
    for (int i = 0; i < w->m->params.count; i++) {
        const xl_param *p = &w->m->params.items[i];
        size_t count = xl_dialect_may_lack(w->m, p->name) ? p->count : 0;
        for (size_t at = 0, bytes; at < count; at += bytes / sizeof(real)) {
            const void *values = w->m->w + p->offset + at;
            bytes = (count - at) * sizeof(real);
            XL_TRY(xl_fetch_piece(&w->fetch, &values, &bytes));
            XL_TRY(check_initial(p, at, bytes / sizeof(real), values));
        }
    }
    return XLSTM_OK;
}

static const xl_matrix *packed_part(const xlstm_module *m, const xl_binding *b, int part) {
    const xl_param *p = &m->params.items[b->index[part]];
    return p->packed ? &xl_packing_of(&m->packed, p)->matrix : NULL;
}

static const void *place_of(const xlstm_module *m, const xl_binding *b, int part) {
    const xl_matrix *packed = packed_part(m, b, part);
    return packed ? packed->data : m->w + b->part[part].offset;
}

/* `data` is where the first part lies; read_tensor() knows the others, and the order. */
static xlstm_status list_tensors(saving *w) {
    int next = 0, cuda = (w->m->config.file_spelling & XLSTM_SPELL_CUDA) != 0;
    size_t longest = 0;
    for (; xl_dialect_tensor(w->m, &next, w->s[w->count].name, &w->t[w->count]); w->count++) {
        xlstm_tensor *t = &w->t[w->count];
        xl_binding *b = &w->s[w->count].b;
        XL_TRY(xl_dialect_bind(b, w->m, t, cuda));
        t->dtype = packed_part(w->m, b, 0) ? XLSTM_BF16 : XL_REAL_DTYPE;
        t->data = place_of(w->m, b, 0);
        if (b->turn != XL_AS_IS)
            longest = larger(longest, bytes_of(t));
    }
    w->turned = xl_alloc(longest);
    return w->turned ? XLSTM_OK : xl_no_memory(longest, "turning weights");
}

/* At most to the end of the part in which byte `at` lies. */
static xlstm_status read_part(const saving *w, int i, size_t at, const void **data, size_t *bytes) {
    const xl_binding *b = &w->s[i].b;
    size_t size = xlstm_dtype_size(w->t[i].dtype);
    int p = 0;
    for (; at >= b->part[p].count * size; p++)
        at -= b->part[p].count * size;
    *data = (const char *)place_of(w->m, b, p) + at;
    *bytes = b->part[p].count * size - at;
    return xl_fetch_piece(&w->fetch, data, bytes);
}

static xlstm_status turn(const saving *w, int i) {
    size_t size = xlstm_dtype_size(w->t[i].dtype);
    for (size_t at = 0, bytes; at < bytes_of(&w->t[i]); at += bytes) {
        const void *own;
        XL_TRY(read_part(w, i, at, &own, &bytes));
        xl_dialect_gather(&w->s[i].b, size, own, at / size, bytes / size, w->turned);
    }
    return XLSTM_OK;
}

/* One that is turned is given as a whole, so `at` is 0. */
static xlstm_status read_tensor(void *context, int i, size_t at, const void **data, size_t *bytes) {
    const saving *w = context;
    if (w->s[i].b.turn == XL_AS_IS)
        return read_part(w, i, at, data, bytes);
    *data = w->turned;
    *bytes = bytes_of(&w->t[i]);
    return turn(w, i);
}

/* Other tools expect a format in the header. The mark is for xlstm_module_load(). NULL without memory. */
static json_t *describe(const xlstm_module *m) {
    json_t *texts = json_pack("{s:s}", "format", "pt");
    if (m->is_model) {
        char *mark = xl_config_mark(&m->config);
        xl_json_put(&texts, XL_CONFIG_MARK, json_string(mark));
        xl_free(mark);
    }
    return texts;
}

static xlstm_status begin_saving(saving *w) {
    size_t most = (size_t)w->m->params.count + 2; /* a second embedding; the last call finds the end */
    w->t = xl_alloc(most * sizeof *w->t);
    w->s = xl_alloc(most * sizeof *w->s);
    if (!w->t || !w->s)
        return xl_no_memory(most * sizeof *w->s, "a list of tensors");
    XL_TRY(xl_module_check_lent(w->m));
    XL_TRY(xl_fetch_open(&w->fetch, w->m->memory));
    XL_TRY(check_absent(w));
    XL_TRY(list_tensors(w));
    json_t *texts = describe(w->m);
    xlstm_status status = texts ? xl_tensors_head(&w->head, &w->head_bytes, w->t, w->count, texts)
                                : xl_no_memory(0, "a header");
    json_decref(texts);
    return status;
}

static void end_saving(saving *w) {
    xl_fetch_close(&w->fetch);
    xl_free(w->head);
    xl_free(w->turned);
    xl_free(w->t);
    xl_free(w->s);
}

static xlstm_status put_weights(saving *w, xl_file_replace *file) {
    return xl_tensors_put(file, w->head, w->head_bytes, w->t, w->count, &(xl_source){read_tensor, w});
}

static xlstm_status save_weights(const xlstm_module *m, const char *path) {
    saving w = {.m = m};
    xl_file_replace file;
    xlstm_status status = begin_saving(&w);
    if (status == XLSTM_OK)
        status = xl_file_replace_open(&file, path, XL_FILE_ANY);
    if (status == XLSTM_OK)
        status = xl_file_replace_end(&file, put_weights(&w, &file));
    end_saving(&w);
    return status;
}

static xlstm_status check_savable(const xlstm_module *m) {
    if (xl_number_types[m->packed.type].group == XL_NO_SCALE)
        return XLSTM_OK;
    return xl_fail(
        XLSTM_E_ARGUMENT,
        "no file format here has this module's 8-bit matrices; save the module that it was made from");
}

xlstm_status xlstm_module_save_weights(const xlstm_module *m, const char *path) {
    if (!m || !path)
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_module_save_weights needs a module and a path");
    XL_TRY(check_savable(m));
    xl_place place;
    XL_TRY(xl_place_visit(&place, m->memory));
    return xl_place_end(&place, save_weights(m, path));
}

static xlstm_status make_directory(const char *directory, int *made) {
    *made = 0;
    if (xl_path_is_dir(directory))
        return XLSTM_OK;
    if (mkdir(directory, 0777))
        return xl_fail(XLSTM_E_IO, "%s: cannot make this directory: %s", directory, strerror(errno));
    *made = 1;
    return XLSTM_OK;
}

/* Weights of another name would be found before ours, or by others. */
static xlstm_status check_free(const char *directory, int ours) {
    for (int i = 0; i < SOURCES; i++)
        if (i != ours && exists_in(directory, sources[i]))
            return xl_fail(XLSTM_E_IO,
                           "%s: already holds %s, which would be taken for this model; use another "
                           "directory",
                           directory, sources[i]);
    return XLSTM_OK;
}

static int is_paper(const xlstm_config *c) {
    return xl_recipe_of(c->block_kind[0])->family == &xl_family_paper;
}

/* What cannot be written is found before the work. */
static xlstm_status write_both(saving *w, const char *weights, const char *config, const char *text) {
    xl_file_replace first, second;
    XL_TRY(xl_file_replace_open(&first, weights, XL_FILE_REGULAR));
    xlstm_status status = xl_file_replace_open(&second, config, XL_FILE_REGULAR);
    if (status == XLSTM_OK)
        status = put_weights(w, &first);
    if (status == XLSTM_OK) {
        xl_file_replace_put(&second, text, strlen(text));
        xl_file_replace_put(&second, "\n", 1);
    }
    return xl_file_replace_end_both(&first, &second, status);
}

static xlstm_status save_both(const xlstm_module *m, const char *directory, int ours, const char *text) {
    saving w = {.m = m};
    char *weights = xl_path_join(directory, sources[ours]);
    char *config = xl_path_join(directory, "config.json");
    xlstm_status status = weights && config ? begin_saving(&w) : xl_no_memory(0, "a file name");
    if (status == XLSTM_OK)
        status = write_both(&w, weights, config, text);
    end_saving(&w);
    xl_free(config);
    xl_free(weights);
    return status;
}

static xlstm_status save_there(const xlstm_module *m, const char *directory, int ours, const char *text) {
    xl_place place;
    XL_TRY(check_free(directory, ours));
    XL_TRY(xl_place_visit(&place, m->memory));
    return xl_place_end(&place, save_both(m, directory, ours, text));
}

static xlstm_status save_as(const xlstm_module *m, const char *directory, int ours, const char *text) {
    int made;
    XL_TRY(check_savable(m));
    XL_TRY(make_directory(directory, &made));
    xlstm_status status = save_there(m, directory, ours, text);
    if (status != XLSTM_OK && made)
        rmdir(directory);
    return status;
}

xlstm_status xl_module_save_files(const xlstm_module *m, const char *directory, const char *config) {
    return save_as(m, directory, 1, config);
}

xlstm_status xlstm_module_save(const xlstm_module *m, const char *directory) {
    if (!m || !directory || !m->is_model)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "xlstm_module_save needs a whole model and a directory; of a cell or block "
                       "save the weights");
    char *text = NULL;
    XL_TRY(xl_config_text(&m->config, &text));
    xlstm_status status = save_as(m, directory, is_paper(&m->config) ? 2 : 1, text);
    xl_free(text);
    return status;
}

xlstm_status xlstm_module_gather(const xlstm_module *m, const xlstm_tensor *like, const xlstm_real *values,
                                 xlstm_real *out) {
    if (!m || !like || !like->name || !values || !out)
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_module_gather needs a module, a tensor with a name, the "
                                         "values of all parameters, and room for the tensor's");
    if (like->ndim < 0 || like->ndim > XLSTM_MAX_DIMS)
        return xl_fail(XLSTM_E_FORMAT, "tensor %.200s has %d sizes; 0 to %d are possible", like->name,
                       like->ndim, XLSTM_MAX_DIMS);
    XL_TRY(xl_module_needs_reals(m, "xlstm_module_gather"));
    xl_binding b;
    XL_TRY(xl_dialect_bind(&b, m, like, (m->config.file_spelling & XLSTM_SPELL_CUDA) != 0));
    for (int p = 0; p < b.parts; out += b.part[p++].count)
        xl_dialect_gather(&b, sizeof *out, values + b.part[p].offset, 0, b.part[p].count, out);
    return XLSTM_OK;
}
