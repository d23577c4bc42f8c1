/* packing.c - where the packed matrices lie, and their rows on the way in and out. They are declared in order
 * of their offsets, so one is found by halving. */
#include "layer/packing.h"
#include "base/error.h"
#include "base/mem.h"
#include <string.h>

static xl_packed entry(const xl_param *p, xl_number type) {
    int last = p->ndim - 1, cols = (int)p->shape[last];
    return (xl_packed){.offset = p->offset,
                       .matrix = {.type = type, .rows = (int)(p->count / cols), .cols = cols}};
}

int xl_packing_create(xl_packing *k, const xl_layout *l, xl_number type) {
    *k = (xl_packing){
        .first = l->first_packed, .items = xl_alloc((l->count + 1) * sizeof *k->items), .type = type};
    if (!k->items)
        return 0;
    for (int i = 0; i < l->count; i++) /* declared in order of their offsets */
        if (l->items[i].packed)
            k->items[k->count++] = entry(&l->items[i], type);
    return 1;
}

void xl_packing_free(xl_packing *k, xl_memory *memory) {
    for (int i = 0; i < k->count; i++)
        memory->give(memory, k->items[i].own);
    xl_free(k->items);
    *k = (xl_packing){0};
}

/* The last entry that does not begin after the offset. */
static int at_or_before(const xl_packing *k, size_t offset) {
    int low = 0, high = k->count - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (k->items[middle].offset <= offset)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

xl_packed *xl_packing_of(const xl_packing *k, const xl_param *p) {
    return &k->items[at_or_before(k, p->offset)];
}

static size_t data_bytes(const xl_matrix *m) {
    return (xl_matrix_bytes(m) + 63) / 64 * 64;
}

static size_t scale_bytes(const xl_matrix *m) { /* of one row */
    return xl_number_scales(m->type, m->cols) * sizeof(float);
}

int xl_packed_reserve(xl_packed *p, xl_memory *memory) {
    const xl_matrix *m = &p->matrix;
    if (!p->own)
        p->own = memory->take(memory, data_bytes(m) + (uint64_t)m->rows * scale_bytes(m));
    return p->own != NULL;
}

void xl_packed_use_own(xl_packed *p) {
    xl_matrix *m = &p->matrix;
    m->data = p->own;
    m->scale = scale_bytes(m) ? (const float *)(void *)((char *)p->own + data_bytes(m)) : NULL;
}

/* A row, and behind it its scales. */
static size_t row_room(const xl_matrix *m) {
    return (xl_matrix_row_bytes(m) + 63) / 64 * 64;
}

size_t xl_packed_room(const xl_packed *p) {
    return row_room(&p->matrix) + scale_bytes(&p->matrix);
}

void xl_packed_write_row(const xl_packed *p, xl_memory *memory, int row, const real *from, void *room) {
    const xl_matrix *m = &p->matrix;
    float *scales = (float *)(void *)((char *)room + row_room(m));
    xl_number_types[m->type].pack(room, scales, from, m->cols);
    memory->put(memory, (void *)(uintptr_t)xl_matrix_row(m, row), room, xl_matrix_row_bytes(m));
    if (m->scale)
        memory->put(memory, (void *)(uintptr_t)xl_matrix_scale(m, row), scales, scale_bytes(m));
}

xlstm_status xl_packed_read_row(const xl_packed *p, xl_memory *memory, int row, real *to, void *room) {
    const xl_matrix *m = &p->matrix;
    float *scales = (float *)(void *)((char *)room + row_room(m));
    XL_TRY(memory->get(memory, room, xl_matrix_row(m, row), xl_matrix_row_bytes(m)));
    if (m->scale)
        XL_TRY(memory->get(memory, scales, xl_matrix_scale(m, row), scale_bytes(m)));
    xl_number_types[m->type].unpack(to, room, scales, 0, m->cols);
    return XLSTM_OK;
}

xl_matrix xl_packing_find(const xl_packing *k, size_t offset, int rows, int cols) {
    const xl_packed *p = &k->items[at_or_before(k, offset)];
    int first = (int)((offset - p->offset) / cols), left = p->matrix.rows - first;
    return xl_matrix_rows(p->matrix, first, left < rows ? left : rows);
}
