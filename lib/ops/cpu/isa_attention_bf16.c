/* isa_attention_bf16.c - attention once more, with products in bfloat16. */
#define xl_multiply xl_multiply_bf16
#define xl_install_attention xl_install_attention_bf16
#include "ops/cpu/isa_attention.c" /* NOLINT(bugprone-suspicious-include) */
