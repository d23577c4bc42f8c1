/* A model's folder as a whole: configuration, index, shards. What loads is saved and loads again as the same,
 * what does not leaves nothing behind, and neither takes more memory than the files' size explains.
 *
 * First byte: the type of the matrices. Then files, one after the other: which one, length in two bytes,
 * bytes; the last has what is there. One of tensors that begins with { is a header up to the line's end,
 * before which its length is put here: so a header can be edited without being counted anew. */
#include "fuzz/fuzz.h"
#include <dirent.h>
#include <jansson.h>
#include <sys/stat.h>

static const char *const names[] = {"config.json",
                                    "model.safetensors.index.json",
                                    "model.safetensors",
                                    "weights.safetensors",
                                    "model_0.safetensors",
                                    "model_1.safetensors",
                                    "model-00001-of-00002.safetensors",
                                    "model-00002-of-00002.safetensors"};
enum { NAMES = sizeof names / sizeof *names };

/* ---- memory ---- */

static struct { size_t now, most; } heap;

static void *give(void *context, size_t bytes) {
    size_t *block = malloc(bytes + 16);
    (void)context;
    MUST(block);
    *block = bytes;
    heap.now += bytes;
    heap.most = heap.now > heap.most ? heap.now : heap.most;
    return (char *)block + 16;
}

static void take_back(void *context, void *given) {
    (void)context;
    if (!given)
        return;
    size_t *block = (size_t *)(void *)((char *)given - 16);
    heap.now -= *block;
    free(block);
}

static void *give_json(size_t bytes) {
    return give(NULL, bytes);
}

static void take_back_json(void *given) {
    take_back(NULL, given);
}

static void count_memory(void) {
    static int counted;
    if (counted++)
        return;
    json_set_alloc_funcs(give_json, take_back_json);
    MUST(went_well(xlstm_set_allocator(give, take_back, NULL)));
}

/* Numbers of 2 bytes may become 4, or 8 with a scale; JSON may take 64 bytes for each; and as many blocks and
 * parameters as a model may have, and a row on its way, take some millions whatever the files say. */
static void bound(size_t size) {
    MUST(heap.most <= 80 * size + (8u << 20));
}

/* ---- folders ---- */

static void empty_folder(const char *folder) {
    char file[2 * FUZZ_PATH];
    DIR *dir = opendir(folder);
    MUST(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.') {
            snprintf(file, sizeof file, "%s/%s", folder, entry->d_name);
            MUST(!unlink(file));
        }
    closedir(dir);
    MUST(!rmdir(folder));
}

static void put_file(const char *folder, const char *name, const char *bytes, size_t size) {
    char where[64];
    const char *end =
        strstr(name, ".safetensors") && size && *bytes == '{' ? memchr(bytes, '\n', size) : NULL;
    uint64_t length = end ? (uint64_t)(end - bytes) : 0;
    char *whole = malloc(size + 8);
    size_t at = 0;
    MUST(whole);
    snprintf(where, sizeof where, "%s/%s", folder, name);
    if (end) {
        memcpy(whole, &length, 8);
        memcpy(whole + 8, bytes, length);
        at = 8 + length;
        bytes = end + 1;
        size -= length + 1;
    }
    if (size)
        memcpy(whole + at, bytes, size);
    char path[FUZZ_PATH];
    fuzz_file(path, where, whole, at + size);
    free(whole);
}

static void put_files(const char *folder, const uint8_t *data, size_t size) {
    while (size > 3) {
        size_t length = (size_t)data[1] << 8 | data[2];
        length = length < size - 3 ? length : size - 3;
        put_file(folder, names[data[0] % NAMES], (const char *)data + 3, length);
        data += 3 + length;
        size -= 3 + length;
    }
}

/* ---- models ---- */

static void same_text(const xlstm_module *a, const xlstm_module *b) {
    char one[8192], other[8192];
    size_t bytes, same;
    MUST(went_well(xlstm_config_to_json(xlstm_module_config(a), one, sizeof one, &bytes)));
    MUST(went_well(xlstm_config_to_json(xlstm_module_config(b), other, sizeof other, &same)));
    MUST(bytes == same && !memcmp(one, other, bytes));
}

static void same(const xlstm_module *a, const xlstm_module *b) {
    same_text(a, b);
    MUST(xlstm_module_parameter_count(a) == xlstm_module_parameter_count(b));
    for (int i = 0; i < xlstm_module_parameter_count(a); i++) {
        xlstm_parameter p, q;
        MUST(went_well(xlstm_module_parameter(a, i, &p)) && went_well(xlstm_module_parameter(b, i, &q)));
        MUST(!strcmp(p.name, q.name) && p.count == q.count);
        xlstm_real *x = malloc(p.count * sizeof *x), *y = malloc(p.count * sizeof *y);
        MUST(x && y && went_well(xlstm_module_read(a, i, x)) && went_well(xlstm_module_read(b, i, y)));
        MUST(!memcmp(x, y, p.count * sizeof *x));
        free(x);
        free(y);
    }
}

static void save_and_load(const xlstm_module *m, const char *folder, xlstm_weights weights) {
    xlstm_module *again;
    MUST(went_well(xlstm_module_save(m, folder)));
    MUST(went_well(xlstm_module_load_as(&again, folder, weights)));
    same(m, again);
    xlstm_module_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    xlstm_module *m;
    char from[FUZZ_PATH], to[FUZZ_PATH];
    if (!size)
        return 0;
    xlstm_weights weights = (xlstm_weights)(*data % XLSTM_WEIGHTS_KINDS);
    count_memory();
    if (!*fuzz_folder)
        fuzz_make_folder();
    fuzz_path(from, "from");
    fuzz_path(to, "to");
    MUST(!mkdir(from, 0777) && !mkdir(to, 0777));
    put_files("from", data + 1, size - 1);
    heap.most = heap.now = 0;
    if (went_well(xlstm_module_load_as(&m, from, weights))) {
        bound(size);
        if (weights <= XLSTM_WEIGHTS_BF16)
            save_and_load(m, to, weights);
    } else {
        bound(size);
        MUST(!m);
    }
    xlstm_module_free(m);
    MUST(!heap.now);
    empty_folder(from);
    empty_folder(to);
    return 0;
}
