/** @file
 * Optimizers and learning-rate schedules.
 */
#ifndef XLSTM_OPTIM_H
#define XLSTM_OPTIM_H

#include "xlstm/train.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum xlstm_optimizer_kind { XLSTM_ADAMW, XLSTM_SGD, XLSTM_OPTIMIZER_KINDS } xlstm_optimizer_kind;

typedef struct xlstm_optimizer_config {
    size_t struct_size; /**< filled by xlstm_optimizer_config_init() */
    xlstm_optimizer_kind kind;
    float beta1, beta2, eps;
    float momentum;     /**< SGD */
    float weight_decay; /**< only on parameters whose `decay` is set */
    float clip;         /**< largest global gradient norm; 0: no clipping */
} xlstm_optimizer_config;

/** AdamW: betas 0.9, 0.95, eps 1e-8, decay 0.1, clip 1. SGD: momentum 0.9, decay 0, clip 1. */
XLSTM_API void xlstm_optimizer_config_init(xlstm_optimizer_config *config, xlstm_optimizer_kind kind);
XLSTM_API xlstm_status xlstm_optimizer_create(xlstm_optimizer **out, xlstm_module *module,
                                              const xlstm_optimizer_config *config);
XLSTM_API void xlstm_optimizer_free(xlstm_optimizer *optimizer);
/** One update of the module from the trainer's gradients, which are zeroed afterwards.
 *  @param norm receives the gradient norm before clipping; may be NULL
 *  @return XLSTM_E_NUMERIC when the norm is not finite: weights and moments are untouched, gradients kept */
XLSTM_API xlstm_status xlstm_optimizer_step(xlstm_optimizer *optimizer, xlstm_trainer *trainer,
                                            float learning_rate, double *norm);
/** Updates made so far. */
XLSTM_API int64_t xlstm_optimizer_steps(const xlstm_optimizer *optimizer);

typedef enum xlstm_schedule_kind { XLSTM_CONSTANT, XLSTM_WARMUP_COSINE } xlstm_schedule_kind;

typedef struct xlstm_schedule {
    xlstm_schedule_kind kind;
    float peak;           /**< learning rate at its highest */
    float final_fraction; /**< cosine ends at peak * this */
    int64_t warmup_steps; /**< linear from peak/warmup_steps to peak */
    int64_t total_steps;
} xlstm_schedule;

/** Learning rate of step 0, 1, ... */
XLSTM_API float xlstm_schedule_rate(const xlstm_schedule *schedule, int64_t step);

#ifdef __cplusplus
}
#endif

#endif
