/* plan.c - the null backend: everything runs over it once before it runs in earnest, which shows what memory
 * and which ops it needs. */
#include "base/error.h"
#include "ops/memory.h"

static _Thread_local const xl_ops *planned;
static _Thread_local const char *lacking; /* the first op that was called and the planned has not */
static _Thread_local xl_ops plan;

#pragma GCC diagnostic ignored "-Wunused-parameter"
#define OP(name, args, ...)                                                                                  \
    static void null_##name args {                                                                           \
        if (!planned->name && !lacking)                                                                      \
            lacking = #name;                                                                                 \
    }
/* of an op that is not there: it will be refused before there is scratch */
#define SIZE(name, args, ...)                                                                                \
    static uint64_t null_##name args {                                                                       \
        return 0;                                                                                            \
    }
#include "ops/ops.def"
#undef OP

const xl_ops *xl_plan_begin(const xl_ops *of) {
    planned = of;
    lacking = NULL;
    plan = (xl_ops){
        .name = "null",
#define OP(name, ...) .name = null_##name,
#define SIZE(name, ...) .name = of->name ? of->name : null_##name,
#include "ops/ops.def"
#undef OP
    };
    return &plan;
}

xlstm_status xl_plan_end(const char *what) {
    if (!lacking)
        return XLSTM_OK;
    return xl_fail(XLSTM_E_CONFIG,
                   "%s needs the operation \"%s\", which the kernels \"%s\" do not have; use others, or "
                   "another model",
                   what, lacking, planned->name);
}
