/* weights.c - the numbers of a module's parameters: their memory, their first values, copies in and out. They
 * lie in the module's memory, which only ops and the memory's own functions touch. */
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "model/module.h"

/* ---- memory ---- */

/* The types of weights are the first types of numbers. */
static xl_number number_of(xlstm_weights weights) {
    _Static_assert((int)XLSTM_WEIGHTS_BF16 == XL_BFLOAT16 && (int)XLSTM_WEIGHTS_INT8 == XL_INT8 &&
                       (int)XLSTM_WEIGHTS_INT4 == XL_INT4 && (int)XLSTM_WEIGHTS_KINDS <= XL_NUMBERS,
                   "one order");
    return (xl_number)weights;
}

xlstm_status xl_module_take_memory(xlstm_module *m) {
    uint64_t bytes = ((uint64_t)m->params.size + 16) * sizeof(real);
    if (!(m->w = m->memory->take(m->memory, bytes)))
        return xl_memory_short(m->memory, bytes, "the weights");
    if (m->params.pack && !xl_packing_create(&m->packed, &m->params, number_of(m->config.weights)))
        return xl_no_memory(0, "the list of matrices");
    xl_log(XLSTM_LOG_INFO, "module: %zu parameters, %.1f MiB", xlstm_module_size(m),
           xl_mib(xlstm_module_bytes(m)));
    return XLSTM_OK;
}

xlstm_status xl_module_take_packed(xlstm_module *m) {
    for (int i = 0; i < m->packed.count; i++) {
        xl_packed *p = &m->packed.items[i];
        if (!xl_packed_reserve(p, m->memory))
            return xl_memory_short(m->memory, xl_matrix_bytes(&p->matrix), "a matrix");
        xl_packed_use_own(p);
    }
    return XLSTM_OK;
}

void xl_module_give_memory(xlstm_module *m) {
    xl_packing_free(&m->packed, m->memory);
    m->memory->give(m->memory, m->w);
}

static size_t size_of(const xlstm_module *m, int only_core) {
    size_t n = 0;
    for (int i = 0; m && i < m->params.count; i++)
        if (!only_core || m->params.items[i].core)
            n += m->params.items[i].count;
    return n;
}

size_t xlstm_module_size(const xlstm_module *m) {
    return size_of(m, 0);
}

size_t xlstm_module_layout_size(const xlstm_module *m) {
    return m ? m->params.size : 0;
}

size_t xlstm_module_core_size(const xlstm_module *m) {
    return size_of(m, 1);
}

size_t xlstm_module_bytes(const xlstm_module *m) {
    size_t bytes = 0;
    for (int i = 0; m && i < m->params.count; i++)
        if (!m->params.items[i].packed)
            bytes += m->params.items[i].count * sizeof(real);
    for (int i = 0; m && i < m->packed.count; i++) {
        const xl_matrix *k = &m->packed.items[i].matrix;
        bytes += xl_matrix_bytes(k);
        bytes += (size_t)k->rows * xl_number_scales(k->type, k->cols) * sizeof(float);
    }
    return bytes;
}

/* ---- writing them row by row, or piece by piece ---- */

enum { PIECE = 1 << 16 }; /* numbers */

/* Numbers `first` and on of a parameter, in order. */
typedef struct source source;
struct source {
    xlstm_status (*next)(source *s, const xl_param *p, size_t first, size_t count, real *to);
    xl_rng rng;               /* of a draw */
    const xlstm_module *from; /* of a copy: whose real numbers */
    const real *w;
};

static size_t piece_of(const xlstm_module *m, const xl_param *p) {
    if (p->packed)
        return xl_packing_of(&m->packed, p)->matrix.cols;
    return p->count < PIECE ? p->count : PIECE;
}

/* A packed matrix goes row by row, everything else piece by piece; room: for a piece, and packed behind it.
 */
static xlstm_status write_parameter(xlstm_module *m, const xl_param *p, source s, real *room) {
    size_t piece = piece_of(m, p), count;
    for (size_t first = 0; first < p->count; first += count) {
        count = p->count - first < piece ? p->count - first : piece;
        XL_TRY(s.next(&s, p, first, count, room));
        if (p->packed)
            xl_packed_write_row(xl_packing_of(&m->packed, p), m->memory, (int)(first / piece), room,
                                room + piece);
        else
            m->memory->put(m->memory, m->w + p->offset + first, room, count * sizeof *room);
    }
    return XLSTM_OK;
}

/* Reals of room for one parameter on its way: the piece, the packed row, its scales. */
static size_t room_of(const xlstm_module *m) {
    size_t most = PIECE;
    for (int i = 0; i < m->packed.count; i++) {
        const xl_packed *p = &m->packed.items[i];
        size_t room = p->matrix.cols + xl_packed_room(p) / sizeof(real) + 1;
        most = room > most ? room : most;
    }
    return (most + 15) / 16 * 16;
}

typedef struct {
    xlstm_module *m;
    source (*source_of)(const void *context, int parameter);
    const void *context;
    real *rooms; /* one per thread */
    size_t room;
    xlstm_status *status; /* of each parameter */
} writing;

static void write_task(void *context, int i, int thread) {
    const writing *w = context;
    w->status[i] = write_parameter(w->m, &w->m->params.items[i], w->source_of(w->context, i),
                                   w->rooms + thread * w->room);
}

/* All parameters: by all threads on the host; a device's streams belong to the thread that entered them. */
static xlstm_status write_all(xlstm_module *m, source (*source_of)(const void *, int), const void *context) {
    int threads = xl_threads_now(), count = m->params.count;
    writing w = {.m = m, .source_of = source_of, .context = context, .room = room_of(m)};
    w.rooms = xl_alloc((uint64_t)threads * w.room * sizeof(real));
    w.status = xl_alloc(count * sizeof *w.status);
    xlstm_status status = w.rooms && w.status ? XLSTM_OK : xl_no_memory(0, "writing weights");
    if (status == XLSTM_OK && m->memory->is_host)
        xl_parallel(count, write_task, &w);
    for (int i = 0; status == XLSTM_OK && i < count; i++) {
        if (!m->memory->is_host)
            write_task(&w, i, 0);
        status = w.status[i];
    }
    xl_free(w.rooms);
    xl_free(w.status);
    return status;
}

xlstm_status xl_module_needs_reals(const xlstm_module *m, const char *what) {
    if (m && !m->params.pack)
        return XLSTM_OK;
    return xl_fail(XLSTM_E_ARGUMENT,
                   m ? "%s: this module keeps its matrices in a smaller type, for inference only"
                     : "%s: the module is NULL; create or load one",
                   what);
}

/* ---- first values ---- */

static xlstm_status next_drawn(source *s, const xl_param *p, size_t first, size_t count, real *to) {
    xl_param_draw(p, first, count, to, &s->rng);
    return XLSTM_OK;
}

/* A parameter's values do not depend on the others, so threads draw them in any order. */
static source drawn(const void *seed, int parameter) {
    return (source){.next = next_drawn, .rng = {xl_hash(*(const uint64_t *)seed, parameter), 0}};
}

xlstm_status xl_module_draw(xlstm_module *m, uint64_t seed) {
    xl_place place;
    XL_TRY(xl_place_visit(&place, m->memory));
    return xl_place_end(&place, write_all(m, drawn, &seed));
}

xlstm_status xlstm_module_init(xlstm_module *m, uint64_t seed) {
    XL_TRY(xl_module_needs_reals(m, "xlstm_module_init"));
    return xl_module_draw(m, seed);
}

/* ---- copies ---- */

static xlstm_status next_copied(source *s, const xl_param *p, size_t first, size_t count, real *to) {
    (void)p;
    return s->from->memory->get(s->from->memory, to, s->w + first, count * sizeof *to);
}

static source copied(const void *from, int parameter) {
    const xlstm_module *m = from;
    return (source){.next = next_copied, .from = m, .w = m->w + m->params.items[parameter].offset};
}

xlstm_status xl_module_copy_weights(xlstm_module *m, const xlstm_module *from) {
    xl_place place;
    XL_TRY(xl_module_take_packed(m));
    XL_TRY(xl_place_visit(&place, m->memory));
    return xl_place_end(&place, write_all(m, copied, from));
}

/* ---- one parameter, out and in ---- */

xlstm_status xl_module_check_index(const xlstm_module *m, int index, const void *out, const char *function) {
    if (!m || !out)
        return xl_fail(XLSTM_E_ARGUMENT, "%s needs a module and a pointer that is not NULL", function);
    if (index < 0 || index >= m->params.count)
        return xl_fail(XLSTM_E_ARGUMENT, "%s: there is no parameter %d; the module has 0 to %d", function,
                       index, m->params.count - 1);
    return XLSTM_OK;
}

static xlstm_status read_packed(const xl_packed *k, xl_memory *memory, real *out) {
    void *room = xl_alloc(xl_packed_room(k));
    xlstm_status status = room ? XLSTM_OK : xl_no_memory(xl_packed_room(k), "a row");
    for (int r = 0; r < k->matrix.rows && status == XLSTM_OK; r++)
        status = xl_packed_read_row(k, memory, r, out + (size_t)r * k->matrix.cols, room);
    xl_free(room);
    return status;
}

xlstm_status xlstm_module_read(const xlstm_module *m, int index, xlstm_real *out) {
    XL_TRY(xl_module_check_index(m, index, out, "xlstm_module_read"));
    const xl_param *p = &m->params.items[index];
    xl_place place;
    XL_TRY(xl_place_visit(&place, m->memory));
    xlstm_status status = p->packed
                              ? read_packed(xl_packing_of(&m->packed, p), m->memory, out)
                              : m->memory->get(m->memory, out, m->w + p->offset, p->count * sizeof *out);
    return xl_place_end(&place, status);
}

xlstm_status xlstm_module_write(xlstm_module *m, int index, const xlstm_real *values) {
    XL_TRY(xl_module_check_index(m, index, values, "xlstm_module_write"));
    const xl_param *p = &m->params.items[index];
    if (p->packed)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "xlstm_module_write: \"%s\" is kept in a smaller type, for inference only; write to a "
                       "real module and quantize that",
                       p->name);
    xl_place place;
    XL_TRY(xl_place_visit(&place, m->memory));
    m->memory->put(m->memory, m->w + p->offset, values, p->count * sizeof *values);
    return xl_place_end(&place, XLSTM_OK);
}
