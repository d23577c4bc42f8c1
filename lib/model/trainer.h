/* trainer.h - what the optimizer may see of a trainer. */
#ifndef XL_TRAINER_H
#define XL_TRAINER_H

#include "model/module.h"
#include "xlstm/train.h"

struct xlstm_trainer {
    xlstm_module *m;
    xlstm_trainer_config config;
    real dropout;
    int dropping;
    int threads;    /* that memory is planned for */
    uint64_t calls; /* training calls so far: each has its own dropout masks */
    real *grad;     /* [params.size]; NULL without gradients */
    int bad_loss;   /* a loss in them was not finite; until they are zeroed no update may use them */
    real *state[2]; /* [B, state_size]: before and after a call; NULL without carried state. Without gradients
                       one */
    int current;    /* which of them the next call starts from */
    int32_t *tokens, *targets, *lengths; /* copies of the batch, with padding made harmless */
    unsigned char *resets;
    real *vectors, *outputs, *weights, *each;
    int has_lengths, has_resets, has_weights, T; /* of the batch in hand */
    int has_tape;                                /* a forward waits for its backward */
    xl_call call;
    xl_arena keep, temp;
    xl_trace trace;
};

#endif
