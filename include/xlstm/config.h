/** @file
 * What a model is: sizes, kinds of block, options. Plain structs, filled by their _init, then changed by you.
 */
#ifndef XLSTM_CONFIG_H
#define XLSTM_CONFIG_H

#include "xlstm/common.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Kinds of residual block. LSTM_PLAIN is a layer of a plain (not residual) stack, numerically nn.LSTM. */
typedef enum xlstm_block_kind {
    XLSTM_MLSTM,       /**< xLSTM paper, pre up-projection (arXiv 2405.04517) */
    XLSTM_SLSTM,       /**< xLSTM paper, post up-projection with a gated feed-forward half */
    XLSTM_MLSTM_LARGE, /**< xLSTM-7B (arXiv 2503.13427) */
    XLSTM_LSTM,        /**< pre-norm residual LSTM */
    XLSTM_LSTM_PLAIN,  /**< layer of a plain LSTM stack */
    XLSTM_TRANSFORMER, /**< RMSNorm, rotary causal attention, SwiGLU */
    XLSTM_BLOCK_KINDS
} xlstm_block_kind;

/** Kinds of bare cell with its own input projection. */
typedef enum xlstm_cell_kind {
    XLSTM_CELL_LSTM,
    XLSTM_CELL_SLSTM,
    XLSTM_CELL_MLSTM,
    XLSTM_CELL_KINDS
} xlstm_cell_kind;

typedef enum xlstm_activation {
    XLSTM_GELU, /**< with erf */
    XLSTM_RELU,
    XLSTM_RELU2, /**< relu squared */
    XLSTM_SIGMOID,
    XLSTM_SWISH,
    XLSTM_SELU
} xlstm_activation;

/** Initial values of the sLSTM's biases. */
typedef enum xlstm_bias_init {
    XLSTM_BIAS_POWERLAW, /**< "powerlaw_blockdependent" */
    XLSTM_BIAS_SMALL,    /**< "small_init": forget gate linspace(3, 6) */
    XLSTM_BIAS_STANDARD, /**< uniform +-1/sqrt(width) */
    XLSTM_BIAS_ZEROS
} xlstm_bias_init;

/** How the large matrices of a module are kept. The smaller types are for inference only. */
typedef enum xlstm_weights {
    XLSTM_WEIGHTS_REAL, /**< xlstm_real, as everything else */
    XLSTM_WEIGHTS_BF16, /**< bfloat16: half the memory and half the reading; 8 bits of precision */
    XLSTM_WEIGHTS_INT8  /**< 8-bit integers with one scale per row */
} xlstm_weights;

enum { XLSTM_MAX_BLOCKS = 256 };

/** A model: embedding or input projection, blocks, norm, head. Sizes are counts of numbers. */
typedef struct xlstm_config {
    size_t struct_size; /**< filled by xlstm_config_init() */

    int vocab_size;    /**< tokens in and logits out; 0: vectors in and out */
    int input_dim;     /**< vectors: size of one input (vocab_size == 0) */
    int output_dim;    /**< vectors: size of one output (vocab_size == 0) */
    int embedding_dim; /**< width of the residual stream */
    int num_blocks;
    unsigned char block_kind[XLSTM_MAX_BLOCKS]; /**< an xlstm_block_kind per block */
    int num_heads;
    int context_length;  /**< attention window, tokens; recurrent blocks have none */
    int tie_weights;     /**< the head uses the embedding's matrix */
    int final_norm;      /**< a norm after the last block */
    int bias;            /**< biases in projections (paper family: mLSTM only; large family: all) */
    int decay_embedding; /**< weight decay on the embedding too */
    float dropout;
    int embedding_dropout; /**< dropout on the embedding's output as well */
    double norm_eps;       /**< 0: the family's own (1e-5; RMSNorm 1e-6) */

    xlstm_weights weights; /**< type of the matrices; other parameters are always xlstm_real */

    int chunk_size; /**< mLSTM: tokens per chunk; changes speed and memory, not the mathematics */

    int mlstm_heads;         /**< paper mLSTM: heads; 0: num_heads */
    float mlstm_proj_factor; /**< paper mLSTM: inner width over outer, rounded up to a multiple of 64 */
    int mlstm_conv;          /**< taps of the causal convolution */
    int mlstm_qkv_blocksize; /**< size of the blocks of the q, k, v projections; inner width / this, rounded
                                down, must divide the inner width and is how many there are */

    int slstm_heads;                 /**< 0: num_heads */
    int slstm_conv;                  /**< taps; 0: no convolution */
    int slstm_lstm;                  /**< gate function "lstm" in place of "slstm" */
    int slstm_recurrent_cut;         /**< no gradient through the recurrent product */
    int slstm_group_norm_weight;     /**< the norm after the cell has a weight */
    int slstm_recurrent_uniform;     /**< recurrent matrix starts uniform +-1/sqrt(width); 0: zeros */
    xlstm_bias_init slstm_bias_init; /**< initial biases */

    int ffn;                  /**< sLSTM block has its feed-forward half */
    float ffn_proj_factor;    /**< paper: 1.3; large and Transformer: 2.667 */
    int ffn_round_up;         /**< inner width is rounded up to a multiple of this */
    xlstm_activation ffn_act; /**< of the paper's gated feed-forward */
    int ffn_bias;             /**< paper family only */
    int ffn_inner;            /**< inner width; 0: from ffn_proj_factor */

    float qk_dim_factor; /**< large: q, k width over embedding_dim */
    float v_dim_factor;
    double gate_soft_cap;         /**< 0: none */
    double output_logit_soft_cap; /**< 0: none */

    /* Filled from files of the official packages; 0 by default. */
    int mlstm_inner;   /**< paper mLSTM: inner width; 0: from mlstm_proj_factor */
    int file_spelling; /**< how xlstm_module_save() spells the model: sum of XLSTM_SPELL_... */
    float ffn_dropout; /**< paper sLSTM: of the feed-forward; 0: as dropout; negative: none */

    float slstm_forward_clip; /**< the cell's output is held in +-this; 0: it is not. Backward takes the clip
                                 for the identity, as the package's CUDA kernels do */
    float slstm_recurrent_clip; /**< each number of the gradient that comes back through the recurrent product
                                   is held in +-this; 0: it is not */
    double mlstm_eps;           /**< added to the mLSTM's denominator; 0: 1e-6 */
} xlstm_config;

/** Spellings of one and the same mathematics in files. */
enum {
    XLSTM_SPELL_HF = 1,    /**< large: config and embedding's name as Hugging Face transformers has them */
    XLSTM_SPELL_FUSED = 2, /**< large: q, k, v, o (i, f; gate, up) as one matrix */
    XLSTM_SPELL_CUDA =
        4, /**< paper sLSTM: recurrent matrix and bias as the package's CUDA backend has them */
    XLSTM_SPELL_STACK = 8 /**< paper: blocks only (xLSTMBlockStack): vectors of embedding_dim in and out */
};

/** Fills the defaults of the official package for a model of `kind` blocks: heads 4, conv 4, qkv block 4, ...
 */
XLSTM_API void xlstm_config_init(xlstm_config *config, xlstm_block_kind kind);

/** Sets kind of every block from a ratio mLSTM:sLSTM such as "7:1", "1:0", "0:1" (repeats; the sLSTM blocks
 * come after the mLSTM blocks of each repeat, except that a:b with more parts than blocks is spread
 * proportionally).
 *  @return XLSTM_E_CONFIG for text that is not two numbers with a colon, or 0:0 */
XLSTM_API xlstm_status xlstm_config_mix(xlstm_config *config, const char *ratio);

/** Checks sizes and options and names the first that is wrong. Creators call it themselves. */
XLSTM_API xlstm_status xlstm_config_check(const xlstm_config *config);

/** Name of a kind: "mlstm", "slstm", ...; NULL for an unknown one. */
XLSTM_API const char *xlstm_block_kind_name(xlstm_block_kind kind);

/** A bare recurrent layer with its own input projection, the drop-in for nn.LSTM. */
typedef struct xlstm_cell_config {
    size_t struct_size; /**< filled by xlstm_cell_config_init() */
    xlstm_cell_kind kind;
    int input_size;
    int hidden_size;
    int num_heads; /**< LSTM: 1 */
    int chunk_size;
} xlstm_cell_config;

XLSTM_API void xlstm_cell_config_init(xlstm_cell_config *config, xlstm_cell_kind kind);

#ifdef __cplusplus
}
#endif

#endif
