/* params.h - parameters are declared once, on one line each: official name, initial values, weight decay,
 * shape. They lie in one buffer; gradients and moments use the same offsets. */
#ifndef XL_PARAMS_H
#define XL_PARAMS_H

#include "base/names.h"
#include "base/real.h"
#include "base/rng.h"

typedef enum {
    XL_INIT_CONSTANT,        /* a */
    XL_INIT_NORMAL,          /* mean 0, standard deviation a */
    XL_INIT_UNIFORM,         /* -a .. a */
    XL_INIT_LINSPACE,        /* a .. b */
    XL_INIT_IDENTITY,        /* of a matrix: 1 on the diagonal */
    XL_INIT_FORGET_LINSPACE, /* sLSTM bias [4, H, dh]: linspace(a, b) over dh in slot f, else 0 */
    XL_INIT_FORGET_POWERLAW  /* sLSTM bias: -(-5 + 12 (j/(dh-1))^a) in slot f, else 0 */
} xl_init_kind;

typedef struct {
    xl_init_kind kind;
    double a, b;
    int heads; /* of the sLSTM biases */
} xl_init;

xl_init xl_init_constant(double value);
xl_init xl_init_normal(double std);
xl_init xl_init_small(int dim);                /* sqrt(2 / (5 dim)) */
xl_init xl_init_wang(int dim, int num_blocks); /* 2 / (num_blocks sqrt(dim)) */
xl_init xl_init_uniform(double bound);
xl_init xl_init_linspace(double from, double to);
xl_init xl_init_identity(void);

/* How a parameter is treated: the optimizer lets it decay; an inference module may keep it in a smaller type.
 */
typedef enum { XL_NO_DECAY = 0, XL_DECAY = 1, XL_PACKABLE = 2, XL_MATRIX = XL_DECAY | XL_PACKABLE } xl_role;

typedef struct {
    char name[112];
    int ndim;
    int64_t shape[3];
    size_t offset, count; /* numbers */
    xl_init init;
    int decay;
    int packed; /* kept in the module's smaller type: its offset is one of xl_packing's */
    int core;   /* not embedding, input projection or head */
} xl_param;

typedef struct {
    xl_param *items;
    int count, capacity;
    size_t size;         /* numbers in the whole buffer */
    int pack;            /* matrices are declared as packed */
    size_t first_packed; /* where their offsets begin: behind all that is not packed, which a first round of
                            declarations counts */
    size_t packed_size;  /* numbers in those */
    char prefix[80];     /* goes before every declared name */
    int core;            /* given to what is declared from here on */
    int out_of_memory;
    xl_names names; /* of a complete list */
} xl_layout;

typedef struct {
    int64_t n[3];
} xl_shape;
#define XL_SHAPE1(a) ((xl_shape){{(a), 0, 0}})
#define XL_SHAPE2(a, b) ((xl_shape){{(a), (b), 0}})
#define XL_SHAPE3(a, b, c) ((xl_shape){{(a), (b), (c)}})

/* What a factor makes of a width: width * factor, down to a whole number or up to a multiple of one. */
int xl_part(int width, float factor);
int xl_round_up(int width, float factor, int multiple);

/* Both return the offset. xl_param_add starts on an aligned place; xl_param_join lies end to end with the one
 * declared before it, so that several names can be one matrix in one product. */
size_t xl_param_add(xl_layout *l, const char *name, xl_init init, xl_role role, xl_shape shape);
size_t xl_param_join(xl_layout *l, const char *name, xl_init init, xl_role role, xl_shape shape);

/* The next `count` initial values, from number `first` on. */
void xl_param_draw(const xl_param *p, size_t first, size_t count, real *to, xl_rng *rng);
/* Ends the declarations: from here on parameters are found by name. 0: no memory. */
int xl_layout_end(xl_layout *l);
/* The parameter of this name, or -1. */
int xl_layout_find(const xl_layout *l, const char *name);
void xl_layout_free(xl_layout *l);

/* Offsets of parameters that an option leaves out. */
#define XL_NONE ((size_t)-1)
/* No layout has as many numbers: its sizes stop there in place of wrapping around. */
#define XL_TOO_MANY ((size_t)1 << (sizeof(size_t) * 8 - 2))
static inline const real *xl_weight(const real *w, size_t offset) {
    return offset == XL_NONE ? NULL : w + offset;
}
static inline real *xl_gradient(real *dw, size_t offset) {
    return offset == XL_NONE ? NULL : dw + offset;
}

#endif
