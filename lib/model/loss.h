/* loss.h - a loss is a row: its name, what the model must give and the batch must bring, what counts, its op.
 */
#ifndef XL_LOSS_H
#define XL_LOSS_H

#include "model/feed.h"
#include "xlstm/train.h"

typedef struct {
    const char *name;
    int of_tokens;     /* 1: the model gives logits of tokens; 0: vectors */
    const char *needs; /* of a batch, in the caller's words */
    int (*has)(const xl_given *g);
    /* What the mean over the piece in hand is taken over. */
    double (*counted)(const xl_feed *f);
    /* each[n] of some rows, from row `from` of the piece on; unless dy.p is NULL their gradient, which may be
     * y. */
    void (*rows)(const xl_ops *op, const xl_feed *f, real *each, xl_view dy, xl_view y, int from);
} xl_loss;

/* The loss that is asked for, or the first that fits the module. */
xlstm_status xl_loss_of(const xl_loss **out, const xlstm_module *m, xlstm_loss_kind kind);
/* Where the head is a matrix and nothing more, the loss of tokens is one op with it. */
int xl_loss_takes_head(const xl_loss *loss);

#endif
