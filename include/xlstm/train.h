/** @file
 * Training: a trainer owns the tape and the gradients of one module for batches of one size.
 */
#ifndef XLSTM_TRAIN_H
#define XLSTM_TRAIN_H

#include "xlstm/module.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct xlstm_trainer_config {
    size_t struct_size; /**< filled by xlstm_trainer_config_init() */
    int batch;          /**< B, streams */
    int time;           /**< T, longest window in tokens */
    int carry_state; /**< each batch goes on where the last one ended (truncated BPTT); 0: every batch starts
                        at zero */
    float dropout;   /**< negative: the model's own */
    uint64_t seed;   /**< of the dropout masks */
    int gradients;   /**< 0: only losses are computed (evaluation): no tape, no gradients */
} xlstm_trainer_config;

XLSTM_API void xlstm_trainer_config_init(xlstm_trainer_config *config);

/** What one call consumes. Zero it, then set what you have. Arrays are borrowed for the call. */
typedef struct xlstm_batch {
    size_t struct_size;        /**< sizeof(xlstm_batch) */
    int time;                  /**< tokens in this call, 1 to the trainer's T; 0: T */
    const int32_t *tokens;     /**< [B, time]; token models */
    const int32_t *targets;    /**< [B, time]; negative: ignored */
    const xlstm_real *inputs;  /**< [B, time, input_dim]; vector models */
    const xlstm_real *outputs; /**< [B, time, output_dim], the values to predict; loss is the mean square over
                                  all that count */
    const int32_t *lengths; /**< [B] or NULL: tokens of each row; the rest is padding and changes nothing */
    const unsigned char *resets; /**< [B, time] or NULL: non-zero where a new sequence begins */
    const xlstm_real *weights; /**< [B, time] or NULL: weight of each output vector's loss (vector models) */
    xlstm_real *token_loss; /**< [B, time] or NULL: receives each token's loss (nats, or summed squares times
                               weight), 0 where ignored */
} xlstm_batch;

/** What one call found out. */
typedef struct xlstm_loss {
    double mean;  /**< over what counted: nats per token, or squared error per number; 0 if nothing counted */
    double sum;   /**< before division */
    double count; /**< tokens, or weighted numbers, that counted */
} xlstm_loss;

/** All memory is taken here; `module` is borrowed and must outlive the trainer. */
XLSTM_API xlstm_status xlstm_trainer_create(xlstm_trainer **out, xlstm_module *module,
                                            const xlstm_trainer_config *config);
XLSTM_API void xlstm_trainer_free(xlstm_trainer *trainer);

/** Loss only: no dropout, no gradient. Carried state moves on. */
XLSTM_API xlstm_status xlstm_trainer_evaluate(xlstm_trainer *trainer, const xlstm_batch *batch,
                                              xlstm_loss *loss);
/** Forward, loss and backward: ADDS the gradients of the mean loss to the gradient buffer. */
XLSTM_API xlstm_status xlstm_trainer_backward(xlstm_trainer *trainer, const xlstm_batch *batch,
                                              xlstm_loss *loss);
/** Forward over `inputs`, with the tape kept: `outputs` [B, time, output_dim] receives a copy. For losses of
 * your own. */
XLSTM_API xlstm_status xlstm_trainer_forward(xlstm_trainer *trainer, const xlstm_batch *batch,
                                             xlstm_real *outputs);
/** Backward from the gradient of those outputs. @param d_inputs [B, time, input_dim] or NULL (vector models
 * only) */
XLSTM_API xlstm_status xlstm_trainer_backward_from(xlstm_trainer *trainer, const xlstm_real *d_outputs,
                                                   xlstm_real *d_inputs);

XLSTM_API void xlstm_trainer_zero_gradients(xlstm_trainer *trainer);
/** Gradients of all parameters, at the offsets of xlstm_parameter. Borrowed; NULL if made without gradients.
 */
XLSTM_API xlstm_real *xlstm_trainer_gradients(xlstm_trainer *trainer);
/** Euclidean norm of all gradients. */
XLSTM_API double xlstm_trainer_gradient_norm(xlstm_trainer *trainer);
/** Carried state back to zero for one stream, or all (stream = -1). */
XLSTM_API xlstm_status xlstm_trainer_reset(xlstm_trainer *trainer, int stream);
/** Memory in bytes: the tape (grows with B*T), temporary memory, gradients, carried state. */
typedef struct xlstm_trainer_memory {
    size_t tape, temporary, gradients, state;
    size_t tape_used, temporary_used; /**< what the calls so far really used, at most */
} xlstm_trainer_memory;
XLSTM_API xlstm_trainer_memory xlstm_trainer_memory_of(const xlstm_trainer *trainer);

#ifdef __cplusplus
}
#endif

#endif
