/* params.c - the list of parameters as it is declared, and the values that they begin with. Declaring never
 * fails: want of memory and sizes beyond all bounds are noted, and refused once the list is complete. */
#include "layer/params.h"
#include "base/mem.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

xl_init xl_init_constant(double value) {
    return (xl_init){XL_INIT_CONSTANT, value, 0, 0};
}
xl_init xl_init_normal(double std) {
    return (xl_init){XL_INIT_NORMAL, std, 0, 0};
}
xl_init xl_init_small(int dim) {
    return xl_init_normal(sqrt(2.0 / (5.0 * dim)));
}
xl_init xl_init_wang(int dim, int num_blocks) {
    return xl_init_normal(2.0 / num_blocks / sqrt(dim));
}
xl_init xl_init_uniform(double bound) {
    return (xl_init){XL_INIT_UNIFORM, bound, 0, 0};
}
xl_init xl_init_linspace(double from, double to) {
    return (xl_init){XL_INIT_LINSPACE, from, to, 0};
}

xl_init xl_init_identity(void) {
    return (xl_init){XL_INIT_IDENTITY, 0, 0, 0};
}

static int grow(xl_layout *l) {
    int capacity = l->capacity ? 2 * l->capacity : 64;
    xl_param *items = xl_alloc(capacity * sizeof *items);
    if (!items) {
        l->out_of_memory = 1;
        return 0;
    }
    if (l->count)
        memcpy(items, l->items, l->count * sizeof *items);
    xl_free(l->items);
    l->items = items;
    l->capacity = capacity;
    return 1;
}

size_t xl_param_join(xl_layout *l, const char *name, xl_init init, xl_role role, xl_shape shape) {
    int packed = (role & XL_PACKABLE) && l->pack, ndim = 0;
    size_t *size = packed ? &l->packed_size : &l->size, offset = packed ? l->first_packed + *size : *size;
    size_t count = 1;
    for (; ndim < 3 && shape.n[ndim] > 0; ndim++) /* stops at more than any memory */
        count = (uint64_t)shape.n[ndim] < XL_TOO_MANY / count ? count * shape.n[ndim] : XL_TOO_MANY;
    *size = *size < XL_TOO_MANY && count < XL_TOO_MANY - *size ? *size + count : XL_TOO_MANY;
    if (l->count == l->capacity && !grow(l))
        return offset;
    xl_param *p = &l->items[l->count++];
    *p = (xl_param){.ndim = ndim,
                    .offset = offset,
                    .count = count,
                    .init = init,
                    .decay = (role & XL_DECAY) != 0,
                    .packed = packed,
                    .core = l->core};
    memcpy(p->shape, shape.n, sizeof p->shape);
    snprintf(p->name, sizeof p->name, "%s%s", l->prefix, name);
    return offset;
}

size_t xl_param_add(xl_layout *l, const char *name, xl_init init, xl_role role, xl_shape shape) {
    const size_t line = 64 / sizeof(real);
    l->size = (l->size + line - 1) / line * line;
    return xl_param_join(l, name, init, role, shape);
}

/* Slot f of an sLSTM bias [4, H, dh] as a function of the position in the head; the other slots are 0. */
static double forget_bias(const xl_init *init, size_t j, size_t dh) {
    double at = dh > 1 ? (double)j / (dh - 1) : 0;
    if (init->kind == XL_INIT_FORGET_LINSPACE)
        return init->a + (init->b - init->a) * at;
    return -(-5.0 + 12.0 * pow(at, init->a));
}

static double initial_value(const xl_param *p, size_t i, xl_rng *rng) {
    const xl_init *init = &p->init;
    size_t slot = p->count / 4, dh = init->heads ? slot / init->heads : 1;
    switch (init->kind) {
    case XL_INIT_CONSTANT:
        return init->a;
    case XL_INIT_NORMAL:
        return init->a * xl_rng_normal(rng);
    case XL_INIT_UNIFORM:
        return init->a * (2 * xl_rng_uniform(rng) - 1);
    case XL_INIT_LINSPACE:
        return p->count > 1 ? init->a + (init->b - init->a) * i / (p->count - 1) : init->a;
    case XL_INIT_IDENTITY:
        return i / (size_t)p->shape[1] == i % (size_t)p->shape[1];
    case XL_INIT_FORGET_LINSPACE:
    case XL_INIT_FORGET_POWERLAW:
        return i / slot == 1 ? forget_bias(init, (i - slot) % dh, dh) : 0;
    }
    return 0;
}

void xl_param_draw(const xl_param *p, size_t first, size_t count, real *to, xl_rng *rng) {
    for (size_t i = 0; i < count; i++)
        to[i] = (real)initial_value(p, first + i, rng);
}

/* Relative to a width: what lies within it of a whole number is that number, as a factor is a float. */
static const double slack = 1e-7;

int xl_part(int width, float factor) {
    return (int)(width * (double)factor * (1 + slack));
}

int xl_round_up(int width, float factor, int multiple) {
    return (int)ceil(width * (double)factor / multiple * (1 - slack)) * multiple;
}

int xl_layout_end(xl_layout *l) {
    if (!xl_names_open(&l->names, l->count))
        return 0;
    for (int i = 0; i < l->count; i++)
        l->names.sorted[i] = (xl_name){l->items[i].name, i};
    xl_names_sort(&l->names);
    return 1;
}

int xl_layout_find(const xl_layout *l, const char *name) {
    return xl_names_find(&l->names, name);
}

void xl_layout_free(xl_layout *l) {
    xl_names_free(&l->names);
    xl_free(l->items);
    *l = (xl_layout){0};
}
