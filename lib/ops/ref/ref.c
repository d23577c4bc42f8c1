#include "ops/ref/ref.h"

const xl_ops xl_ops_ref = {
    .name = "ref",
#define OP(name, args, ...) .name = xl_ref_##name,
#include "ops/ops.def"
#undef OP
};
