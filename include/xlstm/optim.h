/** @file
 * Optimizers and learning-rate schedules.
 */
#ifndef XLSTM_OPTIM_H
#define XLSTM_OPTIM_H

#include "xlstm/train.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Update rules; g is the gradient after clipping, t the number of the update from 1. */
typedef enum xlstm_optimizer_kind {
    XLSTM_ADAMW, /**< m = b1 m + (1-b1) g, v = b2 v + (1-b2) g^2, w -= lr (decay w + (m / (1 - b1^t)) /
                      (sqrt(v / (1 - b2^t)) + eps)) (arXiv 1711.05101; torch.optim.AdamW) */
    XLSTM_SGD,   /**< m = momentum m + (g + decay w), w -= lr m (torch.optim.SGD) */
    XLSTM_OPTIMIZER_KINDS /**< how many kinds there are */
} xlstm_optimizer_kind;

/** Rule and constants of an optimizer. */
typedef struct xlstm_optimizer_config {
    size_t struct_size;        /**< filled by xlstm_optimizer_config_init() */
    xlstm_optimizer_kind kind; /**< which rule */
    float beta1;               /**< AdamW: of the first moment, [0, 1) */
    float beta2;               /**< AdamW: of the second moment, [0, 1) */
    float eps;                 /**< AdamW: added to the root of the second moment, above 0 */
    float momentum;            /**< SGD, [0, 1) */
    float weight_decay;        /**< only on parameters whose `decay` is set */
    float clip;                /**< largest global gradient norm; 0: no clipping */
    int reserved;              /**< 0 */
} xlstm_optimizer_config;

/** As xlstm_optimizer_config_init(), of a struct of this size: a later version of the library has more
 * fields.
 *  @param config is overwritten
 *  @param size its size, as the caller knows it
 *  @param kind which */
XLSTM_API void xlstm_optimizer_config_init_sized(xlstm_optimizer_config *config, size_t size,
                                                 xlstm_optimizer_kind kind);
/** Fills the defaults. AdamW: betas 0.9, 0.95, eps 1e-8, decay 0.1, clip 1. SGD: momentum 0.9, decay 0,
 * clip 1.
 *  @param config is overwritten
 *  @param kind of rule */
static inline void xlstm_optimizer_config_init(xlstm_optimizer_config *config, xlstm_optimizer_kind kind) {
    xlstm_optimizer_config_init_sized(config, sizeof *config, kind);
}
/** An optimizer with moments of zero. All memory is taken here.
 *  @param out receives the optimizer: yours, NULL on failure; free it with xlstm_optimizer_free()
 *  @param module borrowed: what is updated; it must outlive the optimizer
 *  @param config is copied
 *  @return XLSTM_OK, XLSTM_E_CONFIG for a constant out of range, XLSTM_E_ARGUMENT, XLSTM_E_MEMORY */
XLSTM_API xlstm_status xlstm_optimizer_create(xlstm_optimizer **out, xlstm_module *module,
                                              const xlstm_optimizer_config *config);
/** Frees an optimizer, not its module.
 *  @param optimizer may be NULL */
XLSTM_API void xlstm_optimizer_free(xlstm_optimizer *optimizer);
/** One update of the module from the trainer's gradients, which are zeroed afterwards. Gradients whose global
 * norm exceeds `clip` are first scaled by clip / (norm + 1e-6), as PyTorch's clip_grad_norm_ does.
 *  @param optimizer of the module
 *  @param trainer of the same module, made with gradients
 *  @param learning_rate of this update; see xlstm_schedule_rate()
 *  @param norm receives the gradient norm before clipping; may be NULL
 *  @return XLSTM_OK; XLSTM_E_NUMERIC when a gradient, its square, or a loss that went into them, is not
 * finite, or when weights or moments would not be after the update: weights, moments and count are untouched,
 * gradients kept. xlstm_last_error() says which of these, at which update and in which parameter. Either stop
 * ("diverged at update n"), or leave the batch out: xlstm_trainer_zero_gradients(), and on with the next one.
 * XLSTM_E_ARGUMENT, also for a learning rate that is negative or not finite */
XLSTM_API xlstm_status xlstm_optimizer_step(xlstm_optimizer *optimizer, xlstm_trainer *trainer,
                                            float learning_rate, double *norm);
/** Updates made so far.
 *  @param optimizer may be NULL
 *  @return count */
XLSTM_API int64_t xlstm_optimizer_steps(const xlstm_optimizer *optimizer);

/** Courses of the learning rate. */
typedef enum xlstm_schedule_kind {
    XLSTM_CONSTANT,     /**< always `peak` */
    XLSTM_WARMUP_COSINE /**< up in a line, down in half a cosine */
} xlstm_schedule_kind;

/** A learning-rate schedule. A plain struct: set what its kind uses. */
typedef struct xlstm_schedule {
    xlstm_schedule_kind kind; /**< which course */
    float peak;               /**< learning rate at its highest */
    float final_fraction;     /**< cosine ends at peak * this */
    int64_t warmup_steps;     /**< linear from peak/warmup_steps to peak */
    int64_t total_steps;      /**< where the cosine ends; it stays there afterwards */
} xlstm_schedule;

/** Learning rate of a step.
 *  @param schedule what was set
 *  @param step 0, 1, ...
 *  @return rate for xlstm_optimizer_step() */
XLSTM_API float xlstm_schedule_rate(const xlstm_schedule *schedule, int64_t step);

#ifdef __cplusplus
}
#endif

#endif
