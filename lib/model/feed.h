/* feed.h - what goes into a session or a trainer: a caller's ragged rows, checked once, then laid end to end
 * with padding made harmless, in one block that goes to the module's memory in one piece:
 *
 *     | seed | scale | lengths B | last B | tokens B x T | targets B x T | weights B x T
 *     | vectors B x T x in | outputs B x T x out | resets B x T |
 *
 * each part at a multiple of 64 bytes; of tokens and vectors there is what the module takes, and targets,
 * weights and outputs are for losses only. In the host's memory the block is itself the tensors. */
#ifndef XL_FEED_H
#define XL_FEED_H

#include "model/module.h"

/* A caller's arrays, rows of `time` tokens. */
typedef struct {
    int time;
    const int32_t *tokens, *lengths;
    const uint8_t *resets;
    const real *vectors;
    /* of losses: */
    const int32_t *targets;
    const real *outputs, *weights;
} xl_given;

typedef struct {
    uint64_t *seed; /* of dropout */
    real *scale;    /* of the loss' gradient */
    int32_t *lengths;
    int32_t *last; /* rows b*T + t in which stream b's last token stands; -1: it is in another piece */
    int32_t *tokens, *targets;
    real *weights, *vectors, *outputs;
    uint8_t *resets;
} xl_fed;

typedef struct {
    const xlstm_module *m;
    int B, max;      /* streams, tokens of a piece */
    int with_losses; /* there is room for what they need */
    char *host, *there;
    uint64_t room;
    xl_fed here, fed; /* the parts of the piece in hand, on the host and in the module's memory */
    int T, has_lengths, has_resets, has_weights;
} xl_feed;

xlstm_status xl_feed_create(xl_feed *f, const xlstm_module *m, int B, int max, int with_losses);
void xl_feed_free(xl_feed *f);

/* Lengths, tokens, targets and weights are in their ranges; `most`: tokens that a row may have. */
xlstm_status xl_feed_check(const xl_feed *f, const xl_given *g, int most);
/* Tokens of row b. */
int xl_feed_length(const xl_given *g, int b);
/* Tokens from .. from + T of every row become the piece in hand, on the host; xl_feed_put() brings it to the
 * module's memory, when what is to be written into `here` is. */
void xl_feed_take(xl_feed *f, const xl_given *g, int from, int T);
void xl_feed_put(xl_feed *f);
xl_seq xl_feed_seq(const xl_feed *f);
xl_input xl_feed_input(const xl_feed *f);

#endif
