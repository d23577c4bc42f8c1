/** @file
 * Weights: cells, blocks and models are all an xlstm_module. Read-only while sessions use it, so that many
 * threads can serve one module; only a trainer's optimizer, a load, xlstm_module_init() and
 * xlstm_module_write() write to it, and then no session or trainer of the module may be running.
 */
#ifndef XLSTM_MODULE_H
#define XLSTM_MODULE_H

#include "xlstm/config.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A whole model: tokens [B,T] to logits [B,T,vocab_size], or vectors [B,T,input_dim] to [B,T,output_dim].
 * Weights are drawn as xlstm_module_init() says.
 *  @param out receives the module: yours, NULL on failure; free it with xlstm_module_free()
 *  @param config is copied
 *  @param seed of the initial weights
 *  @return XLSTM_OK, XLSTM_E_CONFIG (as xlstm_config_check()), XLSTM_E_MEMORY, XLSTM_E_ARGUMENT */
XLSTM_API xlstm_status xlstm_model_create(xlstm_module **out, const xlstm_config *config, uint64_t seed);
/** One residual block, [B,T,embedding_dim] to the same; its kind is config->block_kind[0].
 *  @param out receives the module: yours, NULL on failure; free it with xlstm_module_free()
 *  @param config is copied; what it says about inputs and outputs of a model is not looked at
 *  @param seed of the initial weights
 *  @return XLSTM_OK, XLSTM_E_CONFIG (as xlstm_config_check()), XLSTM_E_MEMORY, XLSTM_E_ARGUMENT */
XLSTM_API xlstm_status xlstm_block_create(xlstm_module **out, const xlstm_config *config, uint64_t seed);
/** A recurrent layer, [B,T,input_size] to [B,T,hidden_size].
 *  @param out receives the module: yours, NULL on failure; free it with xlstm_module_free()
 *  @param config is copied
 *  @param seed of the initial weights
 *  @return XLSTM_OK, XLSTM_E_CONFIG for sizes out of range, XLSTM_E_MEMORY, XLSTM_E_ARGUMENT */
XLSTM_API xlstm_status xlstm_cell_create(xlstm_module **out, const xlstm_cell_config *config, uint64_t seed);
/** Frees a module; its sessions, trainers and optimizers must have been freed before.
 *  @param module may be NULL */
XLSTM_API void xlstm_module_free(xlstm_module *module);

/** Draws all weights anew, as creating does. The paper's family begins as the official package has it;
 * xLSTM-7B blocks as transformers has them (the package's own leave PyTorch's defaults), which sets the gates
 * of the output and of the feed-forward to zero; LSTMs as nn.LSTM, uniform within 1/sqrt(width). Transformer
 * blocks, the embedding and the head: normal, of variance 2/(5 width); what a block adds to the stream: of
 * standard deviation 2/(blocks sqrt(width)).
 *  @param module no session or trainer of it may be running
 *  @param seed the same seed gives the same weights, with any number of threads
 *  @return XLSTM_OK; XLSTM_E_ARGUMENT for a module whose matrices are kept in a smaller type; XLSTM_E_MEMORY
 */
XLSTM_API xlstm_status xlstm_module_init(xlstm_module *module, uint64_t seed);

/** A copy of a model on the same device or another one: the same configuration and numbers, bit for bit,
 * packed matrices too.
 *  @param out receives the copy: yours, NULL on failure; free it with xlstm_module_free()
 *  @param module a whole model; it is only read, and may be freed afterwards
 *  @param device a name as for xlstm_set_device(); NULL: where the module is
 *  @return XLSTM_OK, XLSTM_E_MEMORY, XLSTM_E_DEVICE, XLSTM_E_ARGUMENT for another module or an unknown name
 */
XLSTM_API xlstm_status xlstm_module_copy(xlstm_module **out, const xlstm_module *module, const char *device);

/** A copy for inference whose matrices are kept in a smaller type: projections, gates, recurrent matrices,
 * embedding and head. Real stay norms, biases, convolutions and the q, k, v of the paper's mLSTM, blocks of
 * 4 x 4 in a hundredth of its weights: a scale per row would be as large as a row of 8-bit numbers. A session
 * takes the copy as any other module, a trainer only without gradients. With XLSTM_WEIGHTS_INT8 a row that
 * holds a NaN or an infinity becomes NaN, with XLSTM_WEIGHTS_INT4 those 32 numbers of it that share its
 * scale.
 *  @param out receives the copy: yours, NULL on failure; free it with xlstm_module_free()
 *  @param module a whole model with real matrices; it may be freed afterwards
 *  @param weights XLSTM_WEIGHTS_BF16, XLSTM_WEIGHTS_INT8 or XLSTM_WEIGHTS_INT4
 *  @return XLSTM_OK, XLSTM_E_MEMORY, XLSTM_E_ARGUMENT for another module or type */
XLSTM_API xlstm_status xlstm_module_quantize(xlstm_module **out, const xlstm_module *module,
                                             xlstm_weights weights);

/** Numbers per token that go in.
 *  @param module may be NULL
 *  @return input_dim, input_size or embedding_dim; 0 for a model over tokens */
XLSTM_API int xlstm_module_input_dim(const xlstm_module *module);
/** Numbers per token that come out.
 *  @param module may be NULL
 *  @return vocab_size of a language model, else output_dim, hidden_size or embedding_dim */
XLSTM_API int xlstm_module_output_dim(const xlstm_module *module);
/** The configuration that made a module.
 *  @param module may be NULL
 *  @return borrowed from the module; NULL for a cell */
XLSTM_API const xlstm_config *xlstm_module_config(const xlstm_module *module);

/** One named parameter. Its numbers are copied out by xlstm_module_read() and in by xlstm_module_write(). */
typedef struct xlstm_parameter {
    const char *name; /**< official PyTorch name, such as "xlstm_block_stack.blocks.0.xlstm.proj_up.weight";
                         borrowed from the module */
    int index;        /**< its place in the list of parameters, by which it is read and written */
    int ndim;         /**< 1 to 3 */
    int64_t shape[3]; /**< row-major; matrices are [out, in], as PyTorch's */
    size_t count;     /**< numbers in it */
    int decay;        /**< 1: gets weight decay */
    size_t offset;    /**< its place in the layout, in numbers: in gradients and moments; 0 for a matrix kept
                         in a smaller type, which has neither */
} xlstm_parameter;

/** How many parameters there are.
 *  @param module may be NULL
 *  @return count, for indices 0 to count - 1 */
XLSTM_API int xlstm_module_parameter_count(const xlstm_module *module);
/** A parameter by its index. Those of one block are neighbours.
 *  @param module whose
 *  @param index 0 to count - 1
 *  @param out is filled
 *  @return XLSTM_OK, or XLSTM_E_ARGUMENT unless 0 <= index < count */
XLSTM_API xlstm_status xlstm_module_parameter(const xlstm_module *module, int index, xlstm_parameter *out);
/** A parameter by its name. Time: log n in the number of parameters.
 *  @param module whose
 *  @param name exactly as xlstm_parameter has it
 *  @param out is filled
 *  @return XLSTM_OK; XLSTM_E_NOT_FOUND when there is none of that name; XLSTM_E_ARGUMENT for NULL */
XLSTM_API xlstm_status xlstm_module_find(const xlstm_module *module, const char *name, xlstm_parameter *out);

/** Copies a parameter's numbers, whatever type it is kept in.
 *  @param module whose
 *  @param index 0 to count - 1
 *  @param out [parameter's count]
 *  @return XLSTM_OK, or XLSTM_E_ARGUMENT unless 0 <= index < count */
XLSTM_API xlstm_status xlstm_module_read(const xlstm_module *module, int index, xlstm_real *out);
/** Gives a parameter other numbers.
 *  @param module whose; no session or trainer of it may be running
 *  @param index 0 to count - 1
 *  @param values [parameter's count], any numbers
 *  @return XLSTM_OK, or XLSTM_E_ARGUMENT unless 0 <= index < count, and for a matrix kept in a smaller type
 */
XLSTM_API xlstm_status xlstm_module_write(xlstm_module *module, int index, const xlstm_real *values);
/** Memory of all weights as they are kept: what one pass over the model reads (but for the embedding).
 *  @param module may be NULL
 *  @return bytes */
XLSTM_API size_t xlstm_module_bytes(const xlstm_module *module);

/** Numbers in all parameters.
 *  @param module may be NULL
 *  @return count */
XLSTM_API size_t xlstm_module_size(const xlstm_module *module);
/** Numbers in the layout of the parameters, which gradients and moments have: every xlstm_parameter at its
 * offset, with gaps between some of them. Nothing is kept in the gaps: there gradients are zero.
 *  @param module may be NULL
 *  @return count: the end of the last parameter, of those in real numbers */
XLSTM_API size_t xlstm_module_layout_size(const xlstm_module *module);
/** Whose is this state? One number for what a module computes: the same for two modules that make the same of
 * every state, and another one (but for one chance in 2^64) for modules that differ in what is looked at.
 * Keep it beside xlstm_session_get_state(), and compare it before xlstm_session_set_state().
 *
 * It is FNV-1a of 64 bits over bytes that are the same on every machine, and in the double build: integers of
 * 64 bits, little-endian; texts with their zero byte; real numbers of the configuration as IEEE doubles,
 * weights as IEEE floats, both little-endian, every NaN of the weights as 0x7fc00000.
 * - "model", "block" or "cell";
 * - but for a cell the configuration: each field that is not as xlstm/config.def has it by default, name and
 *   value, in the order of that file, then the names of the blocks' kinds. Fields that say the same in two
 * ways are brought to one; what only training, speed or files look at is left out;
 * - each parameter, in order: name, ndim, shape, and of its numbers 4 KiB: all where there are at most 1024,
 *   else 16 runs of 64, run i from number (count - 64) i / 15 on.
 *
 * So it reads a few pages of each tensor, and a large model costs no more than a small one with as many. A
 * change in other numbers alone is not seen. Matrices count as the numbers that they are kept as: those of a
 * file in bfloat16 give the same as real and as bf16, an 8-bit copy gives another.
 *  @param module any, wherever its weights lie; no trainer of it may be running
 *  @param out receives it; 0 on failure
 *  @return XLSTM_OK; XLSTM_E_ARGUMENT for NULL; XLSTM_E_MEMORY; XLSTM_E_DEVICE */
XLSTM_API xlstm_status xlstm_module_fingerprint(const xlstm_module *module, uint64_t *out);

/** Numbers in the parameters that are not embedding, input projection or head: what models are compared by.
 *  @param module may be NULL
 *  @return count */
XLSTM_API size_t xlstm_module_core_size(const xlstm_module *module);

#ifdef __cplusplus
}
#endif

#endif
