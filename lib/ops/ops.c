#include "ops/ops.h"

/* The null backend: one empty function per op, generated from the list. */
#pragma GCC diagnostic ignored "-Wunused-parameter"
#define OP(name, args, ...)                                                                                       \
    static void null_##name args {}
#include "ops/ops.def"
#undef OP

const xl_ops xl_ops_null = {
    .name = "null",
#define OP(name, args, ...) .name = null_##name,
#include "ops/ops.def"
#undef OP
};

const xl_ops *xl_ops_best(void) {
#ifdef XLSTM_DOUBLE
    return xl_ops_traced(&xl_ops_ref);
#else
    return xl_ops_traced(xl_ops_cpu());
#endif
}
