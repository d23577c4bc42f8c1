/* ops.c - which kernels the host computes with: by name, by the environment, or the best that there are. */
#include "ops/ops.h"
#include "base/error.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#ifndef XLSTM_DOUBLE
#include "ops/cpu/cpu.h"
#endif

static const xl_ops *_Atomic chosen; /* NULL: nobody chose yet */

const char *xlstm_backend_name(int index) {
#ifndef XLSTM_DOUBLE
    if (index >= 0 && index < XL_ISAS)
        return xl_isa_names[index];
    return index == XL_ISAS ? "ref" : NULL;
#else
    return index == 0 ? "ref" : NULL;
#endif
}

static const xl_ops *backend(int index) {
#ifndef XLSTM_DOUBLE
    if (index < XL_ISAS)
        return xl_cpu_isa(index);
#endif
    (void)index;
    return &xl_ops_ref;
}

static const xl_ops *best(void) {
    const xl_ops *op = NULL;
    for (int i = 0; !op; i++)
        op = backend(i);
    return op;
}

static const xl_ops *in_use(void) {
    const xl_ops *op = atomic_load(&chosen);
    return op ? op : best();
}

xlstm_status xlstm_set_backend(const char *name) {
    const xl_ops *op = !name || !strcmp(name, "auto") ? best() : NULL;
    const char *one;
    char there[64] = "auto";
    for (int i = 0; !op && (one = xlstm_backend_name(i)); i++) {
        const xl_ops *this = backend(i);
        if (this)
            strcat(strcat(there, ", "), one);
        op = this && !strcmp(name, one) ? this : NULL;
    }
    if (!op)
        return xl_fail(XLSTM_E_ARGUMENT, "backend \"%s\" is unknown or not for this machine; it has %s", name,
                       there);
    atomic_store(&chosen, op);
    return XLSTM_OK;
}

const char *xlstm_get_backend(void) {
    const char *name = NULL;
    for (int i = 0; !name; i++)
        name = backend(i) == in_use() ? xlstm_backend_name(i) : NULL;
    return name;
}

xlstm_status xl_ops_ready(void) {
#ifdef XLSTM_DOUBLE
    return XLSTM_OK; /* the environment names float kernels; here is the reference alone */
#else
    const char *wanted = atomic_load(&chosen) ? NULL : getenv("XLSTM_BACKEND");
    xl_blas_warn();
    return wanted && *wanted ? xlstm_set_backend(wanted) : XLSTM_OK;
#endif
}

const xl_ops *xl_ops_best(void) {
    return in_use();
}

const xl_ops *xl_ops_best_bf16(void) {
#ifdef XLSTM_DOUBLE
    return NULL;
#else
    return xl_cpu_bf16(in_use());
#endif
}

void xl_ops_call_over(void) {
#ifndef XLSTM_DOUBLE
    xl_blas_call_over();
#endif
}
