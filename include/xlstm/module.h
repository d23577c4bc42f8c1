/** @file
 * Weights: cells, blocks and models are all an xlstm_module. Read-only while sessions use it, so that many
 * threads can serve one module; only a trainer's optimizer, a load or xlstm_module_parameter() writes to it.
 */
#ifndef XLSTM_MODULE_H
#define XLSTM_MODULE_H

#include "xlstm/config.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Creators: *out is yours and NULL on failure; free it with xlstm_module_free(). Weights are initialised
 * from `seed` with the official package's distributions. */
XLSTM_API xlstm_status xlstm_model_create(xlstm_module **out, const xlstm_config *config, uint64_t seed);
/** One residual block [B,T,embedding_dim] -> the same; kind is config->block_kind[0]. */
XLSTM_API xlstm_status xlstm_block_create(xlstm_module **out, const xlstm_config *config, uint64_t seed);
/** [B,T,input_size] -> [B,T,hidden_size]. */
XLSTM_API xlstm_status xlstm_cell_create(xlstm_module **out, const xlstm_cell_config *config, uint64_t seed);
XLSTM_API void xlstm_module_free(xlstm_module *module);

/** Draws all weights anew, as creating does. The paper's family begins as the official package has it;
 * xLSTM-7B blocks as transformers has them (the package's own leave PyTorch's defaults), which sets the gates
 * of the output and of the feed-forward to zero; LSTMs as nn.LSTM, uniform within 1/sqrt(width). Transformer
 * blocks, the embedding and the head: normal, of variance 2/(5 width); what a block adds to the stream: of
 * standard deviation 2/(blocks sqrt(width)).
 *  @return XLSTM_E_ARGUMENT for a module whose matrices are kept in a smaller type */
XLSTM_API xlstm_status xlstm_module_init(xlstm_module *module, uint64_t seed);

/** A copy for inference whose matrices (projections, embedding, head; not the sLSTM's recurrent ones) are
 * kept in a smaller type. *out is yours; `module` may be freed. A session takes it as any other module, a
 * trainer only without gradients.
 *  @return XLSTM_E_ARGUMENT unless `module` has real matrices and `weights` is a smaller type */
XLSTM_API xlstm_status xlstm_module_quantize(xlstm_module **out, const xlstm_module *module,
                                             xlstm_weights weights);

/** Numbers per token that go in (0: tokens) and come out (vocab_size for a language model). */
XLSTM_API int xlstm_module_input_dim(const xlstm_module *module);
XLSTM_API int xlstm_module_output_dim(const xlstm_module *module);
/** The configuration that made it (of a cell: NULL). Borrowed. */
XLSTM_API const xlstm_config *xlstm_module_config(const xlstm_module *module);

/** One named parameter. All pointers are borrowed from the module. */
typedef struct xlstm_parameter {
    const char *name; /**< official PyTorch name */
    int ndim;         /**< 1 to 3 */
    int64_t shape[3]; /**< row-major */
    size_t count;     /**< numbers in it */
    xlstm_real *data; /**< [count]; NULL for a matrix kept in a smaller type: xlstm_module_read() copies it */
    int decay;        /**< gets weight decay */
    size_t offset;    /**< its place in gradients and moments, in numbers */
} xlstm_parameter;

XLSTM_API int xlstm_module_parameter_count(const xlstm_module *module);
/** @return XLSTM_E_ARGUMENT unless 0 <= index < count */
XLSTM_API xlstm_status xlstm_module_parameter(const xlstm_module *module, int index, xlstm_parameter *out);
/** @return XLSTM_E_NOT_FOUND when there is none of that name */
XLSTM_API xlstm_status xlstm_module_find(const xlstm_module *module, const char *name, xlstm_parameter *out);

/** Copies a parameter's numbers, whatever type it is kept in. @param out [count] */
XLSTM_API xlstm_status xlstm_module_read(const xlstm_module *module, int index, xlstm_real *out);
/** Bytes of all weights as they are kept: what one pass over the model reads (but for the embedding). */
XLSTM_API size_t xlstm_module_bytes(const xlstm_module *module);

/** Numbers in all parameters, and in those that are not embedding, input projection or head. */
XLSTM_API size_t xlstm_module_size(const xlstm_module *module);
XLSTM_API size_t xlstm_module_core_size(const xlstm_module *module);

#ifdef __cplusplus
}
#endif

#endif
