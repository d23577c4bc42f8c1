/* trainer.h - what the optimizer may see of a trainer. */
#ifndef XL_TRAINER_H
#define XL_TRAINER_H

#include "model/feed.h"
#include "model/loss.h"
#include "xlstm/train.h"

struct xlstm_trainer {
    xlstm_module *m;
    xlstm_trainer_config config;
    const xl_loss *loss;
    xl_place place;
    real dropout;
    int dropping;
    int threads;    /* that memory is planned for */
    uint64_t calls; /* training calls so far: each has its own dropout masks */
    real *grad;     /* [params.size]; NULL without gradients */
    int bad_loss; /* a loss in them was not finite, or the device failed; until they are zeroed no update may
                     use them */
    real *state[2]; /* [B, state_size]: before and after a call; NULL without carried state. Without gradients
                       one */
    int current;    /* which of them the next call starts from */
    xl_feed feed;   /* the batch in hand */
    double count;   /* of it: what the mean of the loss is over */
    double *sum;    /* [1], of losses or of the gradient's squares */
    real *each;     /* [B, T], losses */
    int has_tape;   /* a forward waits for its backward */
    xl_call call;
    xl_arena keep, temp;
    xl_stack_tape tape;
};

/* The sum of the squares of `count` numbers of the gradient, from `from` on; inside a public call. */
xlstm_status xl_trainer_sumsq(const xlstm_trainer *tr, const xl_ops *op, size_t from, size_t count,
                              double *sum);

#endif
