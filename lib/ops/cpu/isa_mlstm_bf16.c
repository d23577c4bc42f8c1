/* isa_mlstm_bf16.c - the mLSTM once more, with products in bfloat16. */
#define xl_multiply xl_multiply_bf16
#define xl_install_mlstm xl_install_mlstm_bf16
#include "ops/cpu/isa_mlstm.c" /* NOLINT(bugprone-suspicious-include) */
