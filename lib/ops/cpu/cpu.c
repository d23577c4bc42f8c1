#include "ops/cpu/cpu.h"
#include <stdatomic.h>
#include <string.h>

const char *const xl_isa_names[XL_ISAS] = {"avx512", "avx2", "base"};

typedef struct {
    const char *name;
    void (*pointwise)(xl_ops *), (*heads)(xl_ops *), (*mlstm)(xl_ops *), (*rnn)(xl_ops *),
        (*attention)(xl_ops *), (*packed)(xl_ops *), (*xent)(xl_ops *);
} isa;

#define ISA(name)                                                                                            \
    (isa) {                                                                                                  \
        "cpu, " #name, xl_install_pointwise_##name, xl_install_heads_##name, xl_install_mlstm_##name,        \
            xl_install_rnn_##name, xl_install_attention_##name, xl_install_packed_##name,                    \
            xl_install_xent_##name                                                                           \
    }

/* The kernels of a named instruction set, if this machine has it. */
static int find_isa(isa *out, const char *name) {
    int there = !strcmp(name, "base");
    *out = ISA(base);
#ifdef XL_X86
    if (!strcmp(name, "avx512")) {
        there = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                __builtin_cpu_supports("avx512dq");
        *out = ISA(avx512);
    } else if (!strcmp(name, "avx2")) {
        there = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
        *out = ISA(avx2);
    }
#endif
    return there;
}

static void fill(xl_ops *table, isa set) {
    *table = xl_ops_ref;
    table->name = set.name;
    xl_install_gemm(table);
    set.pointwise(table);
    set.heads(table);
    set.mlstm(table);
    set.rnn(table);
    set.attention(table);
    set.packed(table);
}

/* With float products, then the same with bfloat16 ones. */
static const xl_ops *table_of(int index, int bf16) {
    static xl_ops tables[2][XL_ISAS];
    static atomic_int ready; /* 0: not begun, 1: one thread fills them, 2: done */
    int expected = 0;
    isa set;
    if (atomic_load(&ready) != 2 && atomic_compare_exchange_strong(&ready, &expected, 1)) {
        for (int i = 0; i < XL_ISAS; i++)
            if (find_isa(&set, xl_isa_names[i])) {
                fill(&tables[0][i], set);
                tables[1][i] = tables[0][i];
                xl_install_bf16(&tables[1][i]);
                set.xent(&tables[1][i]);
            }
        atomic_store(&ready, 2);
    }
    while (atomic_load(&ready) != 2) {
    }
    return tables[bf16][index].name ? &tables[bf16][index] : NULL;
}

const xl_ops *xl_cpu_isa(int index) {
    return table_of(index, 0);
}

const xl_ops *xl_cpu_bf16(const xl_ops *with_floats) {
    for (int i = 0; i < XL_ISAS; i++)
        if (table_of(i, 0) == with_floats)
            return table_of(i, 1);
    return with_floats;
}
