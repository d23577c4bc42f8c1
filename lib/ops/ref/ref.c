/* ref.c - the reference as a table: every op is there. */
#include "ops/ref/ref.h"

const xl_ops xl_ops_ref = {
    .name = "ref",
#define OP(name, args, ...) .name = xl_ref_##name,
#define SIZE(name, args, ...) .name = xl_ref_##name,
#include "ops/ops.def"
#undef OP
};
