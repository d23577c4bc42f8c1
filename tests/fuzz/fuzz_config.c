/* A configuration in JSON: what loads passes the check, is saved and loads as the same again, and makes a
 * model if it is a small one. */
#include "fuzz/fuzz.h"

static int is_small(const xlstm_config *c) {
    const int sizes[] = {c->vocab_size,   c->input_dim, c->output_dim,  c->embedding_dim,
                         c->mlstm_inner,  c->ffn_inner, c->mlstm_conv,  c->slstm_conv,
                         c->ffn_round_up, c->num_heads, c->mlstm_heads, c->slstm_heads};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i] > 64)
            return 0;
    return c->num_blocks <= 4 && c->mlstm_proj_factor <= 4 && c->ffn_proj_factor <= 4 &&
           c->qk_dim_factor <= 2 && c->v_dim_factor <= 2;
}

static void make(const xlstm_config *c) {
    xlstm_module *m;
    if (went_well(xlstm_model_create(&m, c, 1)))
        MUST(xlstm_module_size(m) > 0);
    else
        MUST(!m);
    xlstm_module_free(m);
}

/* One inner width may be written as several factors. */
static void save(xlstm_config c, const char *path) {
    c.mlstm_proj_factor = c.mlstm_inner ? 1 : c.mlstm_proj_factor;
    c.ffn_proj_factor = c.ffn_inner ? 1 : c.ffn_proj_factor;
    MUST(went_well(xlstm_config_save(&c, path)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[FUZZ_PATH], other[FUZZ_PATH];
    size_t sizes[2];
    xlstm_config c, again;
    fuzz_file(path, "a.json", data, size);
    if (!went_well(xlstm_config_load(path, &c)))
        return 0;
    MUST(went_well(xlstm_config_check(&c)));
    fuzz_path(other, "b.json");
    MUST(went_well(xlstm_config_save(&c, other)));
    MUST(went_well(xlstm_config_load(other, &again)));
    save(c, other);
    save(again, path);
    char *first = fuzz_read(other, &sizes[0]), *second = fuzz_read(path, &sizes[1]);
    MUST(sizes[0] == sizes[1] && !memcmp(first, second, sizes[0]));
    free(first);
    free(second);
    if (is_small(&c))
        make(&c);
    return 0;
}
