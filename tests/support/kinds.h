/* kinds.h - every module that tests loop over: all block kinds, all cells, and whole models. A new block kind
 * is in the loop by its place in the enum. */
#ifndef TEST_KINDS_H
#define TEST_KINDS_H

#include "xlstm.h"
#include <stdio.h>

enum { TEST_BLOCKS = XLSTM_BLOCK_KINDS, TEST_CELLS = XLSTM_CELL_KINDS };
enum {
    TEST_MODELS = XLSTM_BLOCK_KINDS + 2
}; /* one of each kind over tokens, a mixed one, one over vectors */
enum { TEST_KINDS = TEST_BLOCKS + TEST_CELLS + TEST_MODELS };

static inline xlstm_config small_config(xlstm_block_kind kind) {
    xlstm_config c;
    xlstm_config_init(&c, kind);
    c.embedding_dim = 12;
    c.num_heads = 2;
    c.num_blocks = 2;
    c.chunk_size = 4;
    c.context_length = 16;
    c.ffn_round_up = 8;
    c.qk_dim_factor = 0.5f;
    c.slstm_recurrent_uniform = 1;
    c.vocab_size = 11;
    return c;
}

/* Creates the index-th kind, 0 <= index < TEST_KINDS, and writes what it is into `name`. */
static inline xlstm_status create_kind(xlstm_module **out, int index, char name[64], uint64_t seed) {
    if (index < TEST_BLOCKS) {
        xlstm_config c = small_config((xlstm_block_kind)index);
        snprintf(name, 64, "block %s", xlstm_block_kind_name((xlstm_block_kind)index));
        return xlstm_block_create(out, &c, seed);
    }
    index -= TEST_BLOCKS;
    if (index < TEST_CELLS) {
        xlstm_cell_config c;
        xlstm_cell_config_init(&c, (xlstm_cell_kind)index);
        c.input_size = 5;
        c.hidden_size = 8;
        c.num_heads = index == XLSTM_CELL_LSTM ? 1 : 2;
        c.chunk_size = 4;
        snprintf(name, 64, "cell %d", index);
        return xlstm_cell_create(out, &c, seed);
    }
    index -= TEST_CELLS;
    xlstm_config c = small_config(index < XLSTM_BLOCK_KINDS ? (xlstm_block_kind)index : XLSTM_MLSTM);
    snprintf(name, 64, "model %s",
             index < XLSTM_BLOCK_KINDS ? xlstm_block_kind_name((xlstm_block_kind)index) : "mixed");
    if (index >= XLSTM_BLOCK_KINDS) {
        c.block_kind[1] = XLSTM_SLSTM;
        c.bias = 1;
        c.tie_weights = index == XLSTM_BLOCK_KINDS;
    }
    if (index == XLSTM_BLOCK_KINDS + 1) {
        snprintf(name, 64, "model over vectors");
        c.vocab_size = 0;
        c.input_dim = 3;
        c.output_dim = 2;
    }
    return xlstm_model_create(out, &c, seed);
}

#endif
