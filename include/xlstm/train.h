/** @file
 * Training: a trainer owns the tape and the gradients of one module for batches of one size. One thread at a
 * time may use it.
 */
#ifndef XLSTM_TRAIN_H
#define XLSTM_TRAIN_H

#include "xlstm/module.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What matrix products of training are computed with. On the CPU weights, activations, gradients and moments
 * are stored as xlstm_real in any case; a device may store activations in the type of the products. */
typedef enum xlstm_products {
    XLSTM_PRODUCTS_REAL, /**< xlstm_real, as everything else */
    XLSTM_PRODUCTS_BF16  /**< large products round their operands to bfloat16 and sum in float: faster where
                            the processor has AMX or AVX512-BF16, slower elsewhere; 8 bits of precision in a
                            product's operands. Kernels without them ("ref", the build with double) refuse */
} xlstm_products;

/** What a trainer makes small. */
typedef enum xlstm_loss_kind {
    XLSTM_LOSS_OF_MODEL,      /**< the first of these that fits what the model gives */
    XLSTM_LOSS_CROSS_ENTROPY, /**< logits of tokens against targets, in nats; the mean is over tokens */
    XLSTM_LOSS_SQUARED_ERROR, /**< vectors against outputs, weighted; the mean is over numbers */
    XLSTM_LOSS_KINDS          /**< how many there are */
} xlstm_loss_kind;

/** Name of a loss.
 *  @param kind any value
 *  @return "cross_entropy", "squared_error", not to be freed; NULL for XLSTM_LOSS_OF_MODEL and what is none
 */
XLSTM_API const char *xlstm_loss_name(xlstm_loss_kind kind);

/** Sizes and options of a trainer. */
typedef struct xlstm_trainer_config {
    size_t struct_size; /**< filled by xlstm_trainer_config_init() */
    int batch;          /**< B, streams */
    int time;           /**< T, longest window in tokens */
    int carry_state;    /**< 1: each batch goes on where the last one ended (truncated BPTT); 0: every batch
                           starts at zero. XLSTM_TRANSFORMER blocks carry only without gradients */
    float dropout;      /**< negative: the model's own; 0: none at all; else in place of the model's, but for
                           an ffn_dropout, which stays */
    uint64_t seed;      /**< of the dropout masks */
    int gradients;      /**< 0: only losses are computed (evaluation): no tape, no gradients */
    xlstm_products products; /**< of matrices; XLSTM_PRODUCTS_REAL by default */
    xlstm_loss_kind loss;    /**< XLSTM_LOSS_OF_MODEL by default */
    int reserved;            /**< 0 */
} xlstm_trainer_config;

/** As xlstm_trainer_config_init(), of a struct of this size: a later version of the library has more fields.
 *  @param config is overwritten
 *  @param size its size, as the caller knows it */
XLSTM_API void xlstm_trainer_config_init_sized(xlstm_trainer_config *config, size_t size);
/** Fills the defaults: 1 stream of 64 tokens, no state carried, the model's dropout, seed 1, gradients.
 *  @param config is overwritten */
static inline void xlstm_trainer_config_init(xlstm_trainer_config *config) {
    xlstm_trainer_config_init_sized(config, sizeof *config);
}

/** What one call consumes. Zero it, then set what you have. Arrays are borrowed for the call. */
typedef struct xlstm_batch {
    size_t struct_size;        /**< sizeof(xlstm_batch) */
    int time;                  /**< tokens in this call, 1 to the trainer's T; 0: T */
    const int32_t *tokens;     /**< [B, time]; token models */
    const int32_t *targets;    /**< [B, time]; negative: ignored, and what comes out there is not looked at */
    const xlstm_real *inputs;  /**< [B, time, input_dim]; vector models */
    const xlstm_real *outputs; /**< [B, time, output_dim], the values to predict; loss is the mean square over
                                  all that count */
    const int32_t *lengths; /**< [B] or NULL: tokens of each row; the rest is padding and changes nothing */
    const unsigned char *resets; /**< [B, time] or NULL: non-zero where a new sequence begins */
    const xlstm_real *weights;   /**< [B, time] or NULL: weight of each output vector's loss (vector models);
                                    finite, not negative. Where it is 0, neither the value to predict nor what
                                    comes out is looked at */
    xlstm_real *token_loss; /**< [B, time] or NULL: receives each token's loss (nats, or summed squares times
                               weight), 0 where ignored */
} xlstm_batch;

/** What one call found out. */
typedef struct xlstm_loss {
    double mean;  /**< over what counted: nats per token, or squared error per number; 0 if nothing counted */
    double sum;   /**< before division */
    double count; /**< tokens, or weighted numbers, that counted */
} xlstm_loss;

/** A trainer with gradients and carried state of zero. All memory is taken here; training takes none.
 *  @param out receives the trainer: yours, NULL on failure; free it with xlstm_trainer_free()
 *  @param module borrowed: it must outlive the trainer
 *  @param config is copied
 *  @return XLSTM_OK, XLSTM_E_CONFIG for sizes and options, XLSTM_E_ARGUMENT (also for gradients of matrices
 * in a smaller type), XLSTM_E_MEMORY */
XLSTM_API xlstm_status xlstm_trainer_create(xlstm_trainer **out, xlstm_module *module,
                                            const xlstm_trainer_config *config);
/** Frees a trainer, not its module.
 *  @param trainer may be NULL */
XLSTM_API void xlstm_trainer_free(xlstm_trainer *trainer);

/** Loss only: no dropout, no gradient. Carried state moves on. A loss that is not finite is a result like any
 * other.
 *  @param trainer any
 *  @param batch with targets, or outputs
 *  @param loss receives what was found; may be NULL
 *  @return XLSTM_OK; XLSTM_E_ARGUMENT for what a batch lacks, or a token, target, length or weight out of
 * range: nothing has moved then, and a forward goes on waiting for its backward */
XLSTM_API xlstm_status xlstm_trainer_evaluate(xlstm_trainer *trainer, const xlstm_batch *batch,
                                              xlstm_loss *loss);
/** Forward, loss and backward: ADDS the gradients of the mean loss to the gradient buffer, so that several
 * batches can make one update. xlstm_optimizer_step() zeroes them.
 *  @param trainer made with gradients
 *  @param batch with targets, or outputs
 *  @param loss receives what was found; may be NULL
 *  @return XLSTM_OK; XLSTM_E_ARGUMENT as xlstm_trainer_evaluate(); XLSTM_E_NUMERIC when the loss is not
 * finite. Then `loss` and token_loss are filled in all the same, xlstm_last_error() names the training call
 * and the first row and position, and carried state and dropout are where they were before the call. The
 * gradients are not to be used: xlstm_optimizer_step() refuses them until they are zeroed */
XLSTM_API xlstm_status xlstm_trainer_backward(xlstm_trainer *trainer, const xlstm_batch *batch,
                                              xlstm_loss *loss);
/** Forward with the tape kept, for losses of your own: xlstm_trainer_backward_from() goes back from their
 * gradient. Dropout is on, and carried state moves on.
 *  @param trainer made with gradients
 *  @param batch its targets, outputs and weights are not looked at
 *  @param outputs [B, time, output_dim] receives what comes out, zeros in the padding; may be NULL
 *  @return XLSTM_OK; XLSTM_E_ARGUMENT as xlstm_trainer_evaluate() */
XLSTM_API xlstm_status xlstm_trainer_forward(xlstm_trainer *trainer, const xlstm_batch *batch,
                                             xlstm_real *outputs);
/** Backward from the gradient of what xlstm_trainer_forward() put out; once per forward. ADDS to the gradient
 * buffer.
 *  @param trainer whose last call was xlstm_trainer_forward()
 *  @param d_outputs [B, time, output_dim]; not read in the padding
 *  @param d_inputs [B, time, input_dim] receives the gradient of the inputs, zeros in the padding; or NULL
 * (vector models only)
 *  @return XLSTM_OK, or XLSTM_E_ARGUMENT, also when no forward waits for its backward */
XLSTM_API xlstm_status xlstm_trainer_backward_from(xlstm_trainer *trainer, const xlstm_real *d_outputs,
                                                   xlstm_real *d_inputs);

/** Sets all gradients to zero.
 *  @param trainer may be NULL
 *  @return XLSTM_OK, or XLSTM_E_DEVICE: of a trainer on the host it need not be looked at */
XLSTM_API xlstm_status xlstm_trainer_zero_gradients(xlstm_trainer *trainer);
/** Copies gradients out. Those of one parameter are `count` numbers from its offset (xlstm_parameter); all
 * gradients are xlstm_module_layout_size() numbers from 0, zeros in the gaps between parameters.
 *  @param trainer made with gradients
 *  @param from first number, in the layout of the parameters
 *  @param count numbers; from + count is at most xlstm_module_layout_size()
 *  @param out [count]
 *  @return XLSTM_OK, or XLSTM_E_ARGUMENT for numbers that are not in the layout, NULL, or a trainer without
 * gradients */
XLSTM_API xlstm_status xlstm_trainer_read_gradients(const xlstm_trainer *trainer, size_t from, size_t count,
                                                    xlstm_real *out);
/** Puts other numbers in the place of gradients, such as their mean over several trainers (all-reduce).
 *  @param trainer made with gradients. After a loss that is not finite, writing does not make its gradients
 * good for an update; xlstm_trainer_zero_gradients() does
 *  @param from first number, in the layout of the parameters
 *  @param count numbers; from + count is at most xlstm_module_layout_size()
 *  @param values [count]: any numbers, but zeros in the gaps between parameters, as they were read
 *  @return XLSTM_OK, or XLSTM_E_ARGUMENT as xlstm_trainer_read_gradients(), and for a gap that is not zero:
 * nothing is written then */
XLSTM_API xlstm_status xlstm_trainer_write_gradients(xlstm_trainer *trainer, size_t from, size_t count,
                                                     const xlstm_real *values);
/** Euclidean norm of all gradients together, summed in double.
 *  @param trainer may be NULL
 *  @return norm; NaN or infinite when a gradient is */
XLSTM_API double xlstm_trainer_gradient_norm(const xlstm_trainer *trainer);
/** Puts carried state back to zero. Does nothing for a trainer that carries none.
 *  @param trainer whose
 *  @param stream 0 to B - 1, or -1: all
 *  @return XLSTM_OK, or XLSTM_E_ARGUMENT for a stream that does not exist */
XLSTM_API xlstm_status xlstm_trainer_reset(xlstm_trainer *trainer, int stream);
/** Numbers in the carried state of one stream, laid out as in a session over the same module: a state may go
 * from one to the other, either way.
 *  @param trainer may be NULL
 *  @return count of numbers; 0 for a trainer made with carry_state 0 */
XLSTM_API size_t xlstm_trainer_state_size(const xlstm_trainer *trainer);
/** Copies the carried state of a stream out: the one after the last call, from which the next goes on.
 *  @param trainer made with carry_state 1
 *  @param stream 0 to batch - 1
 *  @param state [xlstm_trainer_state_size()] receives it
 *  @return XLSTM_OK, XLSTM_E_ARGUMENT */
XLSTM_API xlstm_status xlstm_trainer_get_state(const xlstm_trainer *trainer, int stream, xlstm_real *state);
/** Copies a carried state in: the next call goes on from it. Gradients do not flow into it.
 *  @param trainer made with carry_state 1
 *  @param stream 0 to batch - 1
 *  @param state [xlstm_trainer_state_size()], from xlstm_trainer_get_state() or xlstm_session_get_state()
 *  @return XLSTM_OK, XLSTM_E_ARGUMENT */
XLSTM_API xlstm_status xlstm_trainer_set_state(xlstm_trainer *trainer, int stream, const xlstm_real *state);

/** Memory of a trainer, in bytes. */
typedef struct xlstm_trainer_memory {
    size_t tape;           /**< what forward keeps for backward; grows with B*T */
    size_t temporary;      /**< what lives within a call */
    size_t gradients;      /**< one number per parameter */
    size_t state;          /**< carried state */
    size_t tape_used;      /**< most of the tape that calls so far really used */
    size_t temporary_used; /**< most of the temporary memory that calls so far really used */
} xlstm_trainer_memory;
/** What a trainer has taken, all at creation.
 *  @param trainer may be NULL: all 0
 *  @return sizes in bytes */
XLSTM_API xlstm_trainer_memory xlstm_trainer_memory_of(const xlstm_trainer *trainer);

#ifdef __cplusplus
}
#endif

#endif
