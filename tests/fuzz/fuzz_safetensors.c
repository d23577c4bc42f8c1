/* A safetensors file: what opens must convert, survive writing, and be taken or refused by modules. */
#include "fuzz/fuzz.h"

enum { MOST = 1 << 20 };

static void convert(const xlstm_tensor *t) {
    if (t->count > MOST)
        return;
    size_t room = t->count + !t->count;
    xlstm_real *reals = malloc(room * sizeof *reals);
    double *doubles = malloc(room * sizeof *doubles);
    int64_t *integers = malloc(room * sizeof *integers);
    MUST(reals && doubles && integers);
    int read = t->dtype < XLSTM_DTYPES;
    MUST(went_well(xlstm_tensor_reals(t, reals)) == read);
    MUST(went_well(xlstm_tensor_doubles(t, doubles)) == read);
    int whole = went_well(xlstm_tensor_int64s(t, integers));
    for (size_t i = 0; i < t->count && whole; i++)
        MUST(doubles[i] == (double)integers[i]);
    free(reals);
    free(doubles);
    free(integers);
}

/* A file of the same tensors holds the same bytes. */
static void write_and_read(const xlstm_tensors *file, const xlstm_tensor *list, int count) {
    char path[FUZZ_PATH];
    xlstm_tensors *again;
    fuzz_path(path, "b.safetensors");
    MUST(went_well(xlstm_tensors_write(path, list, count)));
    MUST(went_well(xlstm_tensors_open(&again, path)));
    MUST(xlstm_tensors_count(again) == xlstm_tensors_count(file));
    for (int i = 0; i < count; i++) {
        xlstm_tensor t;
        MUST(went_well(xlstm_tensors_find(again, list[i].name, &t)));
        MUST(t.dtype == list[i].dtype && t.ndim == list[i].ndim && t.count == list[i].count);
        MUST(!memcmp(t.shape, list[i].shape, (size_t)t.ndim * sizeof *t.shape));
        MUST(!memcmp(t.data, list[i].data, t.count * xlstm_dtype_size(t.dtype)));
    }
    xlstm_tensors_close(again);
}

static void look(const xlstm_tensors *file) {
    int count = xlstm_tensors_count(file);
    xlstm_tensor *list = malloc(((size_t)count + 1) * sizeof *list);
    MUST(list);
    for (int i = 0; i < count; i++) {
        MUST(went_well(xlstm_tensors_get(file, i, &list[i])));
        convert(&list[i]);
    }
    int sized = 1;
    for (int i = 0; i < count; i++)
        sized = sized && xlstm_dtype_size(list[i].dtype);
    if (sized)
        write_and_read(file, list, count);
    free(list);
}

/* Of each family, of the sizes that the corpus has files for. */
static xlstm_module *module_of(xlstm_block_kind kind) {
    xlstm_config c;
    xlstm_module *m;
    xlstm_config_init(&c, kind);
    c.vocab_size = 3;
    c.embedding_dim = c.ffn_round_up = 4;
    c.num_blocks = kind == XLSTM_MLSTM ? 2 : 1;
    c.num_heads = c.mlstm_conv = c.slstm_conv = 2;
    c.block_kind[1] = XLSTM_SLSTM;
    c.mlstm_inner = 8;
    MUST(went_well(xlstm_model_create(&m, &c, 1)));
    return m;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static xlstm_module *modules[2];
    xlstm_tensors *file;
    char path[FUZZ_PATH];
    for (int i = 0; i < 2; i++)
        modules[i] = modules[i] ? modules[i] : module_of(i ? XLSTM_MLSTM_LARGE : XLSTM_MLSTM);
    fuzz_file(path, "a.safetensors", data, size);
    if (!went_well(xlstm_tensors_open(&file, path))) {
        MUST(!file);
        return 0;
    }
    look(file);
    xlstm_tensors_close(file);
    for (int i = 0; i < 2; i++)
        went_well(xlstm_module_load_weights(modules[i], path));
    return 0;
}
