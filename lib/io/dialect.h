/* dialect.h - which parameters a tensor of a file stands for, and in which order its numbers lie.
 *
 * The module's own names are the official single-weight vanilla ones. Other names and layouts are bound to
 * them. */
#ifndef XL_DIALECT_H
#define XL_DIALECT_H

#include "base/error.h"
#include "xlstm/module.h"
#include "xlstm/tensors.h"

enum { XL_MAX_PARTS = 4 };

typedef enum { XL_AS_IS, XL_CUDA_KERNEL, XL_CUDA_BIAS } xl_turn;

typedef struct {
    xlstm_parameter part[XL_MAX_PARTS]; /* end to end along the first size */
    int index[XL_MAX_PARTS];            /* of the parameters in the module */
    int parts;
    xl_turn turn;
    int heads, dh; /* of an sLSTM tensor to be turned */
    int tied;      /* a second copy of the embedding */
} xl_binding;

/* Binds a tensor by name and shape. cuda: how a flat sLSTM bias, which looks the same in both layouts, lies.
 */
xlstm_status xl_dialect_bind(xl_binding *b, const xlstm_module *m, const xlstm_tensor *t, int cuda);

/* Whether a tensor of this name stands for parameters of the module. */
int xl_dialect_has(const xlstm_module *m, const char *name);

/* Whether two names are a forecasting model's for one of its cells' parameters, which have several. */
int xl_dialect_is_alias(const xlstm_module *m, const char *a, const char *b);

/* The name without the parts that wrappers of modules put into it; in `room`, or as it is. */
enum { XL_TENSOR_NAME_ROOM = 256 };
const char *xl_dialect_plain(const char *name, char room[XL_TENSOR_NAME_ROOM]);

/* The shape says it of a recurrent matrix: 1 CUDA, 0 vanilla, -1 not such a tensor. */
int xl_dialect_is_cuda(const xlstm_tensor *t);

/* Numbers of `size` bytes each: all of the file's in the order of the one parameter; and of a parameter, from
 * number `first` on, to their places among all of the file's. */
void xl_dialect_scatter(const xl_binding *b, size_t size, const void *file, void *own);
void xl_dialect_gather(const xl_binding *b, size_t size, const void *own, size_t first, size_t count,
                       void *file);

/* The tensors that a file of this module has, in the module's spelling: name i and shape; 0 after the last.
 * `name` has room for 128 characters. */
int xl_dialect_tensor(const xlstm_module *m, int *next, char name[128], xlstm_tensor *t);

/* May a file of this module lack the parameter? Then it has its initial values. */
int xl_dialect_may_lack(const xlstm_module *m, const char *name);

#endif
