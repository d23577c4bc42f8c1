/** @file
 * What a model is: sizes, kinds of block, options. Plain structs, filled by their _init, then changed by you.
 */
#ifndef XLSTM_CONFIG_H
#define XLSTM_CONFIG_H

#include "xlstm/common.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Kinds of residual block. XLSTM_LSTM_PLAIN is a layer of a plain (not residual) stack, numerically nn.LSTM.
 *  The mathematics of each is in docs/math. */
typedef enum xlstm_block_kind {
    XLSTM_MLSTM, /**< matrix memory, pre up-projection (xLSTM paper, arXiv 2405.04517, equations 19 to 27) */
    XLSTM_SLSTM, /**< scalar memory, post up-projection with a gated feed-forward half (equations 8 to 17) */
    XLSTM_MLSTM_LARGE, /**< the mLSTM block of xLSTM-7B (arXiv 2503.13427) */
    XLSTM_LSTM,        /**< pre-norm residual LSTM */
    XLSTM_LSTM_PLAIN,  /**< layer of a plain LSTM stack */
    XLSTM_TRANSFORMER, /**< RMSNorm, rotary causal attention, SwiGLU */
    XLSTM_BLOCK_KINDS  /**< how many kinds there are */
} xlstm_block_kind;

/** Kinds of bare cell with its own input projection; see xlstm_cell_create(). */
typedef enum xlstm_cell_kind {
    XLSTM_CELL_LSTM,  /**< numerically one layer of nn.LSTM, with its names */
    XLSTM_CELL_SLSTM, /**< scalar memory, exponential gates, a recurrent matrix per head */
    XLSTM_CELL_MLSTM, /**< matrix memory, and an output gate */
    XLSTM_CELL_KINDS  /**< how many kinds there are */
} xlstm_cell_kind;

/** Activation of the gated feed-forward half of an sLSTM block. */
typedef enum xlstm_activation {
    XLSTM_GELU,    /**< x times the normal distribution function of x, by erf (not the tanh approximation) */
    XLSTM_RELU,    /**< max(x, 0) */
    XLSTM_RELU2,   /**< max(x, 0) squared */
    XLSTM_SIGMOID, /**< 1 / (1 + exp(-x)) */
    XLSTM_SWISH,   /**< x sigmoid(x), also called SiLU */
    XLSTM_SELU     /**< scaled exponential linear unit, PyTorch's constants */
} xlstm_activation;

/** Initial values of the sLSTM's biases. All but XLSTM_BIAS_STANDARD set the forget gate's and leave the
 * others 0. */
typedef enum xlstm_bias_init {
    XLSTM_BIAS_POWERLAW, /**< "powerlaw_blockdependent": 5 - 12 (j/(dh-1))^(0.3 + 1.3 r) at unit j of a head
                            of dh, with r = block / (num_blocks - 1) */
    XLSTM_BIAS_SMALL,    /**< "small_init": 3 to 6, evenly over the units of a head */
    XLSTM_BIAS_STANDARD, /**< "standard": uniform within 1/sqrt(width), all four gates */
    XLSTM_BIAS_ZEROS     /**< all 0 */
} xlstm_bias_init;

/** How the large matrices of a module are kept. The smaller types are for inference only. */
typedef enum xlstm_weights {
    XLSTM_WEIGHTS_REAL, /**< xlstm_real, as everything else */
    XLSTM_WEIGHTS_BF16, /**< bfloat16: half the memory and half the reading; 8 bits of precision */
    XLSTM_WEIGHTS_INT8, /**< 8-bit integers with one scale per row */
    XLSTM_WEIGHTS_INT4, /**< 4-bit integers with one scale for every 32 of a row, 5 bits a number in all */
    XLSTM_WEIGHTS_KINDS /**< how many there are */
} xlstm_weights;

enum {
    XLSTM_MAX_BLOCKS = 256 /**< most blocks that a model may have */
};

/** A model: embedding or input projection, blocks, norm, head. Sizes are counts of numbers. Fill it by
 * xlstm_config_init(), or by xlstm_config_load() from an official configuration; the names in files are
 * listed in docs/official.md. The fields, with defaults and ranges, are the rows of xlstm/config.def. */
typedef struct xlstm_config {
    size_t struct_size; /**< filled by xlstm_config_init() */

/** @cond */
#define XLSTM_FIELD(type, name, initial, low, high, read_by, json) type name;
#define XLSTM_FLAG(name, initial, read_by) int name;
#define XLSTM_BLOCKS(type, name, count) type name[count];
/** @endcond */
#include "xlstm/config.def"
} xlstm_config;

/** Spellings of one and the same mathematics in files; see docs/official.md. */
enum {
    XLSTM_SPELL_HF = 1,    /**< large: config and embedding's name as Hugging Face transformers has them */
    XLSTM_SPELL_FUSED = 2, /**< large: q, k, v, o (i, f; gate, up) as one matrix */
    XLSTM_SPELL_CUDA =
        4, /**< paper sLSTM: recurrent matrix and bias as the package's CUDA backend has them */
    XLSTM_SPELL_STACK = 8 /**< paper: blocks only (xLSTMBlockStack): vectors of embedding_dim in and out */
};

/** As xlstm_config_init(), of a struct of this size: a later version of the library has more fields.
 *  @param config is overwritten
 *  @param size its size, as the caller knows it
 *  @param kind of block */
XLSTM_API void xlstm_config_init_sized(xlstm_config *config, size_t size, xlstm_block_kind kind);
/** Fills defaults for a model of `kind` blocks: width 128, 2 blocks, 4 heads, 4 taps, no dropout, chunks of
 * 64; the rest as the official package has it for that kind. What goes in and out is left for you:
 * vocab_size, or input_dim and output_dim.
 *  @param config is overwritten
 *  @param kind of every block */
static inline void xlstm_config_init(xlstm_config *config, xlstm_block_kind kind) {
    xlstm_config_init_sized(config, sizeof *config, kind);
}

/** Sets the kind of every block from a ratio mLSTM:sLSTM, which repeats; in each repeat the sLSTM blocks come
 * last. A ratio with more parts than the model has blocks is spread in proportion. Set num_blocks first.
 *  @param config its block_kind is overwritten
 *  @param ratio text such as "7:1", "1:0", "0:1"
 *  @return XLSTM_OK; XLSTM_E_CONFIG for text that is not two counts with a colon, or 0:0; XLSTM_E_ARGUMENT
 * for NULL */
XLSTM_API xlstm_status xlstm_config_mix(xlstm_config *config, const char *ratio);

/** Checks sizes and options. Creators call it themselves.
 *  @param config is only read
 *  @return XLSTM_OK; XLSTM_E_CONFIG with the first field that is wrong; XLSTM_E_ARGUMENT for NULL */
XLSTM_API xlstm_status xlstm_config_check(const xlstm_config *config);

/** Name of a kind.
 *  @param kind any value
 *  @return "mlstm", "slstm", ..., not to be freed; NULL for an unknown kind */
XLSTM_API const char *xlstm_block_kind_name(xlstm_block_kind kind);

/** A bare recurrent layer with its own input projection, the drop-in for nn.LSTM; see xlstm_cell_create(). */
typedef struct xlstm_cell_config {
    size_t struct_size;   /**< filled by xlstm_cell_config_init() */
    xlstm_cell_kind kind; /**< which cell */
    int input_size;       /**< numbers per token that go in */
    int hidden_size;      /**< numbers per token that come out; need not be input_size */
    int num_heads;        /**< divides hidden_size; LSTM: 1 */
    int chunk_size;       /**< mLSTM: tokens per chunk, 1 to 1024 */
    int reserved;         /**< 0 */
} xlstm_cell_config;

/** As xlstm_cell_config_init(), of a struct of this size: a later version of the library has more fields.
 *  @param config is overwritten
 *  @param size its size, as the caller knows it
 *  @param kind which */
XLSTM_API void xlstm_cell_config_init_sized(xlstm_cell_config *config, size_t size, xlstm_cell_kind kind);
/** Fills the defaults: 1 in, 64 out, 4 heads (LSTM: 1), chunks of 64.
 *  @param config is overwritten
 *  @param kind of cell */
static inline void xlstm_cell_config_init(xlstm_cell_config *config, xlstm_cell_kind kind) {
    xlstm_cell_config_init_sized(config, sizeof *config, kind);
}

#ifdef __cplusplus
}
#endif

#endif
