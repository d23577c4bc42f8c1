#include "layer/packing.h"
#include "base/half.h"
#include "base/mem.h"

static xl_packed entry(const xl_param *p, xl_number type) {
    int last = p->ndim - 1, cols = (int)p->shape[last];
    return (xl_packed){.offset = p->offset & ~XL_PACKED,
                       .matrix = {.type = type, .rows = (int)(p->count / (size_t)cols), .cols = cols}};
}

int xl_packing_create(xl_packing *k, const xl_layout *l, xl_number type) {
    *k = (xl_packing){.items = xl_alloc((size_t)(l->count + 1) * sizeof *k->items), .type = type};
    if (!k->items)
        return 0;
    for (int i = 0; i < l->count; i++) /* declared in order of their offsets */
        if (l->items[i].packed)
            k->items[k->count++] = entry(&l->items[i], type);
    return 1;
}

void xl_packing_free(xl_packing *k) {
    for (int i = 0; i < k->count; i++)
        xl_free(k->items[i].own);
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
    return &k->items[at_or_before(k, p->offset & ~XL_PACKED)];
}

static size_t data_bytes(const xl_matrix *m) {
    return (xl_matrix_bytes(m) + 63) / 64 * 64;
}

int xl_packed_reserve(xl_packed *p) {
    size_t scales = p->matrix.type == XL_INT8 ? (size_t)p->matrix.rows * sizeof(float) : 0;
    if (!p->own)
        p->own = xl_alloc(data_bytes(&p->matrix) + scales);
    return p->own != NULL;
}

void xl_packed_use_own(xl_packed *p) {
    xl_matrix *m = &p->matrix;
    m->data = p->own;
    m->scale = m->type == XL_INT8 ? (const float *)(void *)((char *)p->own + data_bytes(m)) : NULL;
}

/* More than 127 only where a step is so small that it is rounded itself. */
static int8_t int8_of(real steps) {
    return (int8_t)(steps > 127 ? 127 : steps < -127 ? -127 : rint(steps));
}

/* Not one number of a row is worth anything where one is not finite: all become NaN, as the row's outputs are
 * with real numbers. */
static void pack_int8(xl_packed *p, int row, const real *from) {
    int cols = p->matrix.cols;
    int8_t *to = (int8_t *)p->own + (size_t)row * (size_t)cols;
    float *scale = (float *)(uintptr_t)p->matrix.scale;
    real top = 0;
    int finite = 1;
    for (int c = 0; c < cols; c++) {
        top = fabs(from[c]) > top ? fabs(from[c]) : top;
        finite &= isfinite(from[c]) != 0;
    }
    real step = top / 127;
    scale[row] = finite ? (float)step : NAN;
    for (int c = 0; c < cols; c++)
        to[c] = (int8_t)(finite && step > 0 ? int8_of(from[c] / step) : 0);
}

void xl_pack_row(xl_packed *p, int row, const real *from) {
    if (p->matrix.type == XL_INT8) {
        pack_int8(p, row, from);
        return;
    }
    uint16_t *to = (uint16_t *)p->own + (size_t)row * (size_t)p->matrix.cols;
    for (int c = 0; c < p->matrix.cols; c++)
        to[c] = xl_to_bf16((float)from[c]);
}

xl_matrix xl_packing_find(const xl_packing *k, size_t offset, int rows, int cols) {
    offset &= ~XL_PACKED;
    const xl_packed *p = &k->items[at_or_before(k, offset)];
    int first = (int)((offset - p->offset) / (size_t)cols), left = p->matrix.rows - first;
    return xl_matrix_rows(p->matrix, first, left < rows ? left : rows);
}
