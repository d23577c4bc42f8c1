/* cpu.c - the float tables: two for each instruction set that the machine has, filled when the first is asked
 * for. Each begins as the reference, so an op without a kernel is still there. */
#include "ops/cpu/bf16.h"
#include "ops/cpu/cpu.h"
#include <pthread.h>
#include <stdio.h>

const char *const xl_isa_names[XL_ISAS] = {"avx512", "avx2", "base"};

typedef struct {
    xl_ops floats, bf16;
    char names[2][96];
} tables;

/* What the log and checkpoints say of them. */
static void name(tables *t, const char *isa) {
    snprintf(t->names[0], sizeof t->names[0], "cpu, %s, %s", isa, xl_products_name());
    snprintf(t->names[1], sizeof t->names[1], "cpu, %s, %s, in bfloat16 by %s", isa, xl_products_name(),
             xl_bf16_kernel_at(0)->name);
    t->floats.name = t->names[0];
    t->bf16.name = t->names[1];
}

#define INSTALL(file, isa) xl_install_##file##_##isa(&t->floats);
#define FILL(isa)                                                                                            \
    static void fill_##isa(tables *t) {                                                                      \
        t->floats = xl_ops_ref;                                                                              \
        XL_ISA_FILES(INSTALL, isa)                                                                           \
        t->bf16 = t->floats;                                                                                 \
        xl_install_bf16_##isa(&t->bf16, &t->floats);                                                         \
        name(t, #isa);                                                                                       \
    }

FILL(base)
#ifdef XL_X86
FILL(avx2)
FILL(avx512)
#endif

static tables sets[XL_ISAS]; /* as xl_isa_names; a name of NULL: this machine does not have it */

static void fill_all(void) {
    xl_blas_prepare();
#ifdef XL_X86
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        fill_avx512(&sets[0]);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        fill_avx2(&sets[1]);
#endif
    fill_base(&sets[XL_ISAS - 1]);
}

const xl_ops *xl_cpu_isa(int index) {
    static pthread_once_t filled = PTHREAD_ONCE_INIT;
    pthread_once(&filled, fill_all);
    return sets[index].floats.name ? &sets[index].floats : NULL;
}

const xl_ops *xl_cpu_bf16(const xl_ops *with_floats) {
    for (int i = 0; i < XL_ISAS; i++)
        if (with_floats == &sets[i].floats)
            return &sets[i].bf16;
    return NULL;
}
