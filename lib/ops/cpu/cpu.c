#include "ops/cpu/cpu.h"
#include <stdatomic.h>

typedef struct {
    const char *name;
    void (*pointwise)(xl_ops *), (*mlstm)(xl_ops *), (*rnn)(xl_ops *), (*attention)(xl_ops *),
        (*packed)(xl_ops *);
} isa;

#define ISA(name)                                                                                            \
    (isa) {                                                                                                  \
        "cpu, " #name, xl_install_pointwise_##name, xl_install_mlstm_##name, xl_install_rnn_##name,          \
            xl_install_attention_##name, xl_install_packed_##name                                            \
    }

static isa best_isa(void) {
#ifdef XL_X86
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        return ISA(avx512);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return ISA(avx2);
#endif
    return ISA(base);
}

const xl_ops *xl_ops_cpu(void) {
    static xl_ops table;
    static atomic_int ready; /* 0: not begun, 1: one thread fills it, 2: done */
    int expected = 0;
    if (atomic_load(&ready) == 2)
        return &table;
    if (atomic_compare_exchange_strong(&ready, &expected, 1)) {
        isa best = best_isa();
        table = xl_ops_ref;
        table.name = best.name;
        xl_install_gemm(&table);
        best.pointwise(&table);
        best.mlstm(&table);
        best.rnn(&table);
        best.attention(&table);
        best.packed(&table);
        atomic_store(&ready, 2);
    }
    while (atomic_load(&ready) != 2) {
    }
    return &table;
}
