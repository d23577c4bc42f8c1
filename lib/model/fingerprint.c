/* fingerprint.c - whose state is this? A number that differs wherever two modules would make something else
 * of one state, and that costs the same few pages of each tensor whatever the model's size. It is made of
 * bytes whose order and meaning no machine decides, as module.h says them: states travel. */
#include "base/error.h"
#include "base/mem.h"
#include "model/module.h"
#include "ops/memory.h"
#include <string.h>

enum { RUNS = 16, RUN = 64 }; /* of a tensor's numbers: 4 KiB, as floats */

/* ---- FNV-1a, 64 bits ---- */

static void add_byte(uint64_t *hash, unsigned char byte) {
    *hash = (*hash ^ byte) * 0x100000001b3u;
}

/* The zero ends it: "ab", "c" and "a", "bc" are not the same. */
static void add_text(uint64_t *hash, const char *text) {
    do
        add_byte(hash, (unsigned char)*text);
    while (*text++);
}

static void add_bits(uint64_t *hash, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++)
        add_byte(hash, (unsigned char)(value >> 8 * i));
}

static void add_integer(uint64_t *hash, int64_t value) {
    add_bits(hash, (uint64_t)value, 8);
}

static void add_real(uint64_t *hash, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    add_bits(hash, bits, sizeof bits);
}

/* What type a number is kept in does not matter, only what it is. A NaN has many bit patterns. */
static void add_weight(uint64_t *hash, real value) {
    float number = (float)value;
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    add_bits(hash, number == number ? bits : 0x7fc00000u, sizeof bits);
}

/* ---- the configuration ---- */

/* A block has no ends, and is one of its kind. */
static void forget_ends(xlstm_config *c) {
    c->num_blocks = 1;
    c->vocab_size = 0;
    c->input_dim = c->output_dim = c->embedding_dim;
    c->tie_weights = c->final_norm = 0;
    c->output_logit_soft_cap = 0;
}

#define ADD(value) _Generic((value), float : add_real, double : add_real, default : add_integer)

/* Fields that are as by default are left out, so that a field of a later version changes nothing for the
 * models of today. */
static void add_config(uint64_t *hash, const xlstm_module *m) {
    xlstm_config c = m->config;
    if (!m->is_model)
        forget_ends(&c);
    xl_config_normalise(&c);
    xl_config_forget_training(&c);
#define XLSTM_FIELD(type, name, initial, low, high, read_by, json)                                           \
    if (c.name != (type)(initial)) {                                                                         \
        add_text(hash, #name);                                                                               \
        ADD(c.name)(hash, c.name);                                                                           \
    }
#include "xlstm/config.def"
    for (int i = 0; i < c.num_blocks; i++)
        add_text(hash, xlstm_block_kind_name((xlstm_block_kind)c.block_kind[i]));
}

/* ---- the weights ---- */

/* Numbers `first` and on of a packed matrix lie in one row or several. room: a row's numbers, and what
 * reading it needs behind them. */
static xlstm_status read_packed(const xlstm_module *m, const xl_packed *k, size_t first, int count, real *to,
                                real *room) {
    size_t cols = (size_t)k->matrix.cols;
    for (int done = 0, n; done < count; done += n) {
        size_t at = first + (size_t)done, column = at % cols;
        XL_TRY(xl_packed_read_row(k, m->memory, (int)(at / cols), room, room + cols));
        n = cols - column < (size_t)(count - done) ? (int)(cols - column) : count - done;
        memcpy(to + done, room + column, (size_t)n * sizeof *to);
    }
    return XLSTM_OK;
}

static xlstm_status read_run(const xlstm_module *m, const xl_param *p, size_t first, int count, real *to,
                             real *room) {
    if (p->packed)
        return read_packed(m, xl_packing_of(&m->packed, p), first, count, to, room);
    return m->memory->get(m->memory, to, m->w + p->offset + first, (size_t)count * sizeof *to);
}

/* The whole tensor where it is small; else runs from its first number to its last, equally far apart: weights
 * that were trained further differ anywhere, a vocabulary that has grown at its end. */
static xlstm_status add_numbers(uint64_t *hash, const xlstm_module *m, const xl_param *p, real *room) {
    real numbers[RUN];
    int whole = p->count <= (size_t)RUNS * RUN;
    size_t last = whole ? 0 : p->count - RUN;
    for (int i = 0; i < RUNS; i++) {
        size_t first = whole ? (size_t)i * RUN : last * (size_t)i / (RUNS - 1);
        if (first >= p->count)
            break;
        int count = p->count - first < RUN ? (int)(p->count - first) : RUN;
        XL_TRY(read_run(m, p, first, count, numbers, room));
        for (int k = 0; k < count; k++)
            add_weight(hash, numbers[k]);
    }
    return XLSTM_OK;
}

static xlstm_status add_parameter(uint64_t *hash, const xlstm_module *m, const xl_param *p, real *room) {
    add_text(hash, p->name);
    add_integer(hash, p->ndim);
    for (int i = 0; i < p->ndim; i++)
        add_integer(hash, p->shape[i]);
    return add_numbers(hash, m, p, room);
}

/* Reals that read_packed() needs, for the widest matrix. */
static size_t room_of(const xlstm_module *m) {
    size_t most = 1;
    for (int i = 0; i < m->packed.count; i++) {
        const xl_packed *k = &m->packed.items[i];
        size_t room = (size_t)k->matrix.cols + xl_packed_room(k) / sizeof(real) + 1;
        most = room > most ? room : most;
    }
    return most;
}

static xlstm_status add_weights(uint64_t *hash, const xlstm_module *m) {
    size_t bytes = room_of(m) * sizeof(real);
    real *room = xl_alloc(bytes);
    xlstm_status status = room ? XLSTM_OK : xl_no_memory(bytes, "a row");
    for (int i = 0; i < m->params.count && status == XLSTM_OK; i++)
        status = add_parameter(hash, m, &m->params.items[i], room);
    xl_free(room);
    return status;
}

xlstm_status xlstm_module_fingerprint(const xlstm_module *m, uint64_t *out) {
    if (!m || !out)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "xlstm_module_fingerprint needs a module and a pointer that is not NULL");
    uint64_t hash = 0xcbf29ce484222325u;
    *out = 0;
    add_text(&hash, m->is_model ? "model" : m->is_cell ? "cell" : "block");
    if (!m->is_cell)
        add_config(&hash, m);
    xl_place place;
    XL_TRY(xl_place_visit(&place, m->memory));
    XL_TRY(xl_place_end(&place, add_weights(&hash, m)));
    *out = hash;
    return XLSTM_OK;
}
