/* A tensor is known by its name and shape. The lists of other names serve both ways, so that what was loaded
 * is saved in the names and the order of numbers that it came in. */
#include "io/dialect.h"
#include "model/module.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Fused matrices: the file's component, and the module's in the order of the rows. */
static const struct {
    const char *fused, *single[XL_MAX_PARTS];
} fusions[] = {
    {"qkv_opreact", {"q", "k", "v", "ogate_preact"}},
    {"ifgate_preact", {"igate_preact", "fgate_preact"}},
    {"proj_up_gate_z", {"proj_up_gate", "proj_up"}},
};
enum { FUSIONS = sizeof fusions / sizeof *fusions };

/* Whole names and beginnings that Hugging Face or a bare block stack spell otherwise. */
static const struct {
    const char *file, *module;
} prefixes[] = {
    {"backbone.embeddings.", "embedding."},
    {"blocks.", "xlstm_block_stack.blocks."},
    {"post_blocks_norm.", "xlstm_block_stack.post_blocks_norm."},
};

/* Cells of a forecasting model, which is the family whose blocks begin with "stack.": both directions are one
 * cell, and some versions leave out the underscores. */
static const struct {
    const char *file, *module;
} cell_names[] = {
    {".rev_cell.", ".fwd_cell."},
    {".fwd_cell.recurrent_kernel", ".fwd_cell._recurrent_kernel_"},
    {".fwd_cell.bias", ".fwd_cell._bias_"},
};

/* What torch.compile, activation checkpointing and FSDP put before the names inside a module. */
static const char *const wrappers[] = {"_orig_mod.", "_checkpoint_wrapped_module.", "_fsdp_wrapped_module."};
enum { WRAPPERS = sizeof wrappers / sizeof *wrappers };

static int starts_with(const char *s, const char *prefix) {
    return !strncmp(s, prefix, strlen(prefix));
}

static int ends_with(const char *s, const char *suffix) {
    size_t n = strlen(s), k = strlen(suffix);
    return n >= k && !strcmp(s + n - k, suffix);
}

static size_t wrapper_at(const char *name) {
    for (int i = 0; i < WRAPPERS; i++)
        if (starts_with(name, wrappers[i]))
            return strlen(wrappers[i]);
    return 0;
}

/* A name that is too long is no parameter's. */
const char *xl_dialect_plain(const char *name, char room[XL_TENSOR_NAME_ROOM]) {
    size_t used = 0;
    int begins = 1;
    for (const char *at = name; *at;) {
        size_t n = begins ? wrapper_at(at) : 0;
        at += n;
        if (n)
            continue;
        if (used + 1 == XL_TENSOR_NAME_ROOM)
            return name;
        begins = *at == '.';
        room[used++] = *at++;
    }
    room[used] = 0;
    return room;
}

static int add_part(xl_binding *b, const xlstm_module *m, const char *name) {
    int i = xl_layout_find(&m->params, name);
    if (i < 0)
        return 0;
    b->index[b->parts] = i;
    xlstm_module_parameter(m, i, &b->part[b->parts++]);
    return 1;
}

/* name = head.FUSED.tail  ->  head.q.tail, head.k.tail, ... */
static int bind_fused(xl_binding *b, const xlstm_module *m, const char *name) {
    for (int f = 0; f < FUSIONS; f++) {
        char middle[40], single[256];
        snprintf(middle, sizeof middle, ".%s.", fusions[f].fused);
        const char *at = strstr(name, middle);
        if (!at)
            continue;
        for (int i = 0; i < XL_MAX_PARTS && fusions[f].single[i]; i++) {
            snprintf(single, sizeof single, "%.*s.%s.%s", (int)(at - name), name, fusions[f].single[i],
                     at + strlen(middle));
            if (!add_part(b, m, single))
                return 0;
        }
        return 1;
    }
    return 0;
}

static int has_cells(const xlstm_module *m) {
    return xl_layout_find(&m->params, "stack.0.time_mixer.norm_lstm.weight") >= 0;
}

/* name -> that of the module, in `room`, where a part is spelled otherwise. */
static const char *spell_cell(const char *name, char room[XL_TENSOR_NAME_ROOM]) {
    for (size_t i = 0; i < sizeof cell_names / sizeof *cell_names; i++) {
        const char *at = strstr(name, cell_names[i].file),
                   *rest = at ? at + strlen(cell_names[i].file) : NULL;
        if (!at || (i > 0 && *rest) || strlen(name) > XL_TENSOR_NAME_ROOM - 8)
            continue;
        char other[XL_TENSOR_NAME_ROOM];
        snprintf(other, sizeof other, "%.*s%s%s", (int)(at - name), name, cell_names[i].module, rest);
        memcpy(room, other, sizeof other);
        name = room;
    }
    return name;
}

int xl_dialect_is_alias(const xlstm_module *m, const char *a, const char *b) {
    char rooms[4][XL_TENSOR_NAME_ROOM];
    return has_cells(m) && strstr(b, "_cell.") &&
           !strcmp(spell_cell(xl_dialect_plain(a, rooms[0]), rooms[1]),
                   spell_cell(xl_dialect_plain(b, rooms[2]), rooms[3]));
}

static int bind_name(xl_binding *b, const xlstm_module *m, const char *name) {
    char other[256], room[XL_TENSOR_NAME_ROOM];
    name = xl_dialect_plain(name, room);
    if (add_part(b, m, name) || bind_fused(b, m, name))
        return 1;
    b->parts = 0;
    if (has_cells(m))
        return add_part(b, m, spell_cell(name, other));
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (starts_with(name, prefixes[i].file)) {
            snprintf(other, sizeof other, "%s%.200s", prefixes[i].module, name + strlen(prefixes[i].file));
            return add_part(b, m, other);
        }
    if (m->config.tie_weights && !strcmp(name, "lm_head.weight")) {
        b->tied = 1;
        return add_part(b, m, "token_embedding.weight") || add_part(b, m, "embedding.weight");
    }
    return 0;
}

int xl_dialect_has(const xlstm_module *m, const char *name) {
    xl_binding b = {0};
    return bind_name(&b, m, name);
}

int xl_dialect_is_cuda(const xlstm_tensor *t) {
    if (!ends_with(t->name, "slstm_cell._recurrent_kernel_") || t->ndim != 3)
        return -1;
    return t->shape[2] > t->shape[1];
}

static int same_shape(const xlstm_tensor *t, int ndim, const int64_t *shape) {
    return t->ndim == ndim && !memcmp(t->shape, shape, ndim * sizeof *shape);
}

/* The two sLSTM tensors: H [H, 4 dh, dh] or [H, dh, 4 dh]; [4 H dh], [4, H, dh] or [H, 4, dh]. */
static int fits_slstm(xl_binding *b, const xlstm_module *m, const xlstm_tensor *t, int cuda) {
    const xlstm_parameter *p = &b->part[0];
    int64_t H = m->config.slstm_heads ? m->config.slstm_heads : m->config.num_heads;
    if (p->ndim == 3) { /* the matrix */
        int64_t dh = p->shape[2], turned[3] = {p->shape[0], dh, 4 * dh};
        b->heads = (int)p->shape[0];
        b->dh = (int)dh;
        b->turn = same_shape(t, 3, turned) ? XL_CUDA_KERNEL : XL_AS_IS;
        return b->turn == XL_CUDA_KERNEL || same_shape(t, 3, p->shape);
    }
    int64_t dh = p->shape[0] / (4 * H), slots[3] = {4, H, dh}, heads[3] = {H, 4, dh};
    b->heads = (int)H;
    b->dh = (int)dh;
    b->turn = cuda ? XL_CUDA_BIAS : XL_AS_IS;
    return same_shape(t, 1, p->shape) || same_shape(t, 3, cuda ? heads : slots);
}

/* The same two of a forecasting model: H [H, dh, 4, dh] and [H, 4, dh], which are turned. */
static int fits_cell(xl_binding *b, const xlstm_module *m, const xlstm_tensor *t) {
    const xlstm_parameter *p = &b->part[0];
    char name[XL_TENSOR_NAME_ROOM];
    snprintf(name, sizeof name, "%.*s_recurrent_kernel_", (int)(strstr(p->name, "fwd_cell.") + 9 - p->name),
             p->name);
    xlstm_parameter R;
    if (xlstm_module_find(m, name, &R))
        return 0;
    int64_t H = R.shape[0], dh = R.shape[2], kernel[4] = {H, dh, 4, dh}, bias[3] = {H, 4, dh};
    b->heads = (int)H;
    b->dh = (int)dh;
    b->turn = p->ndim == 3 ? XL_CUDA_KERNEL : XL_CUDA_BIAS;
    return p->ndim == 3 ? same_shape(t, 4, kernel) : same_shape(t, 3, bias);
}

static int fits(xl_binding *b, const xlstm_module *m, const xlstm_tensor *t, int cuda) {
    const xlstm_parameter *p = &b->part[0];
    int64_t shape[3] = {p->shape[0], p->shape[1], p->shape[2]};
    if (strstr(p->name, "slstm_cell._"))
        return fits_slstm(b, m, t, cuda);
    if (strstr(p->name, "fwd_cell._"))
        return fits_cell(b, m, t);
    for (int i = 1; i < b->parts; i++)
        shape[0] += b->part[i].shape[0];
    return same_shape(t, p->ndim, shape);
}

static void describe(char *text, size_t size, int ndim, const int64_t *shape) {
    size_t at = snprintf(text, size, "[");
    for (int i = 0; i < ndim && at < size; i++)
        at += snprintf(text + at, size - at, "%s%lld", i ? ", " : "", (long long)shape[i]);
    if (at < size)
        snprintf(text + at, size - at, "]");
}

xlstm_status xl_dialect_bind(xl_binding *b, const xlstm_module *m, const xlstm_tensor *t, int cuda) {
    *b = (xl_binding){0};
    if (!bind_name(b, m, t->name))
        return xl_fail(XLSTM_E_NOT_FOUND, "tensor %.200s is not one of this model's parameters", t->name);
    if (fits(b, m, t, cuda))
        return XLSTM_OK;
    char has[120], needs[120];
    int64_t shape[3] = {b->part[0].shape[0], b->part[0].shape[1], b->part[0].shape[2]};
    for (int i = 1; i < b->parts; i++)
        shape[0] += b->part[i].shape[0];
    assert(b->part[0].ndim <= 3);
    describe(has, sizeof has, t->ndim, t->shape);
    describe(needs, sizeof needs, b->part[0].ndim, shape);
    return xl_fail(XLSTM_E_FORMAT, "tensor %.200s has shape %s; this model needs %s", t->name, has, needs);
}

/* Where number i of the parameter lies in the file's tensor. */
static size_t turned(const xl_binding *b, size_t i) {
    size_t dh = b->dh, H = b->heads;
    if (b->turn == XL_CUDA_KERNEL) { /* [h][row][col] -> [h][col][row] */
        size_t col = i % dh, row = i / dh % (4 * dh), h = i / dh / (4 * dh);
        return (h * dh + col) * 4 * dh + row;
    }
    if (b->turn == XL_CUDA_BIAS) { /* [slot][h][j] -> [h][slot][j] */
        size_t j = i % dh, h = i / dh % H, slot = i / dh / H;
        return (h * 4 + slot) * dh + j;
    }
    return i;
}

void xl_dialect_scatter(const xl_binding *b, size_t size, const void *file, void *own) {
    for (size_t i = 0; i < b->part[0].count; i++)
        memcpy((char *)own + i * size, (const char *)file + turned(b, i) * size, size);
}

void xl_dialect_gather(const xl_binding *b, size_t size, const void *own, size_t first, size_t count,
                       void *file) {
    for (size_t i = 0; i < count; i++)
        memcpy((char *)file + turned(b, first + i) * size, (const char *)own + i * size, size);
}

/* ---- what a file of this module holds ---- */

/* Whether the module has all parts of a fusion, one of which is `name`, with its own component at `at`. Other
 * families have matrices called q or proj_up too, that stand alone. */
static int has_parts(const xlstm_module *m, const char *name, const char *at, int fusion) {
    const char *tail = strchr(at + 1, '.');
    for (int i = 0; i < XL_MAX_PARTS && fusions[fusion].single[i]; i++) {
        char part[256];
        snprintf(part, sizeof part, "%.*s.%s%s", (int)(at - name), name, fusions[fusion].single[i], tail);
        if (xl_layout_find(&m->params, part) < 0)
            return 0;
    }
    return 1;
}

/* Which part of which fusion a parameter is: 0 = the first, which stands for all; -1: of none. */
static int fusion_of(const xlstm_module *m, const char *name, int *fusion, const char **at) {
    for (int f = 0; f < FUSIONS; f++)
        for (int i = 0; i < XL_MAX_PARTS && fusions[f].single[i]; i++) {
            char middle[40];
            snprintf(middle, sizeof middle, ".%s.", fusions[f].single[i]);
            if ((*at = strstr(name, middle)) && has_parts(m, name, *at, f)) {
                *fusion = f;
                return i;
            }
        }
    return -1;
}

static void spell_fused(char name[128], xlstm_tensor *t, const xlstm_module *m, const char *own, int fusion,
                        const char *at) {
    const char *tail = strchr(at + 1, '.');
    snprintf(name, 128, "%.*s.%s%s", (int)(at - own), own, fusions[fusion].fused, tail);
    xl_binding b = {0};
    bind_fused(&b, m, name);
    for (int i = 1; i < b.parts; i++)
        t->shape[0] += b.part[i].shape[0];
}

static void spell_prefix(char name[128], const char *own, int spelling) {
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if ((spelling & (i == 0 ? XLSTM_SPELL_HF : XLSTM_SPELL_STACK)) &&
            starts_with(own, prefixes[i].module)) {
            snprintf(name, 128, "%s%s", prefixes[i].file, own + strlen(prefixes[i].module));
            return;
        }
}

/* After the parameters: the packages' state_dicts name the embedding of a tied model a second time. */
static int tied_copy(const xlstm_module *m, int *next, char name[128], xlstm_tensor *t) {
    xlstm_parameter p;
    const char *embedding =
        m->config.file_spelling & XLSTM_SPELL_HF ? "embedding.weight" : "token_embedding.weight";
    if (*next != m->params.count || !m->config.tie_weights || xlstm_module_find(m, embedding, &p))
        return 0;
    ++*next;
    snprintf(name, 128, "lm_head.weight");
    *t = (xlstm_tensor){.name = name, .ndim = 2, .shape = {p.shape[0], p.shape[1]}, .count = p.count};
    return 1;
}

static void set_shape(xlstm_tensor *t, int ndim, int64_t a, int64_t b, int64_t c, int64_t d) {
    const int64_t shape[4] = {a, b, c, d};
    t->ndim = ndim;
    memcpy(t->shape, shape, sizeof shape);
}

static void spell_cell_shape(const xlstm_module *m, const xlstm_parameter *p, xlstm_tensor *t) {
    xl_binding b = {.parts = 1};
    b.part[0] = *p;
    if (!strstr(p->name, "fwd_cell._"))
        return;
    fits_cell(&b, m, t); /* for the sizes */
    if (p->ndim == 3)
        set_shape(t, 4, b.heads, b.dh, 4, b.dh);
    else
        set_shape(t, 3, b.heads, 4, b.dh, 0);
}

static void spell(const xlstm_module *m, const xlstm_parameter *p, char name[128], xlstm_tensor *t) {
    int spelling = m->config.file_spelling, fusion;
    const char *at;
    *t = (xlstm_tensor){.name = name, .ndim = p->ndim, .shape = {p->shape[0], p->shape[1], p->shape[2]}};
    snprintf(name, 128, "%s", p->name);
    if ((spelling & XLSTM_SPELL_FUSED) && fusion_of(m, p->name, &fusion, &at) == 0)
        spell_fused(name, t, m, p->name, fusion, at);
    spell_prefix(name, p->name, spelling);
    if ((spelling & XLSTM_SPELL_CUDA) && ends_with(name, "_recurrent_kernel_")) {
        t->shape[1] = p->shape[2];
        t->shape[2] = p->shape[1];
    }
    spell_cell_shape(m, p, t);
    t->count = 1;
    for (int i = 0; i < t->ndim; i++)
        t->count *= t->shape[i];
}

int xl_dialect_tensor(const xlstm_module *m, int *next, char name[128], xlstm_tensor *t) {
    for (; *next < m->params.count; ++*next) {
        xlstm_parameter p;
        int fusion;
        const char *at;
        xlstm_module_parameter(m, *next, &p);
        if (xl_dialect_may_lack(m, p.name))
            continue;
        if ((m->config.file_spelling & XLSTM_SPELL_FUSED) && fusion_of(m, p.name, &fusion, &at) > 0)
            continue;
        spell(m, &p, name, t);
        ++*next;
        return 1;
    }
    return tied_copy(m, next, name, t);
}

int xl_dialect_may_lack(const xlstm_module *m, const char *name) {
    static const char *const ends[] = {"input_proj.weight", "input_proj.bias", "output_proj.weight",
                                       "output_proj.bias"};
    int spelling = m->config.file_spelling;
    if ((spelling & XLSTM_SPELL_HF) && !strcmp(name, "backbone.out_norm.bias"))
        return 1; /* transformers gives its last norm no bias, whatever use_bias says */
    for (size_t i = 0; (spelling & XLSTM_SPELL_STACK) && i < sizeof ends / sizeof *ends; i++)
        if (!strcmp(name, ends[i]))
            return 1;
    return 0;
}
