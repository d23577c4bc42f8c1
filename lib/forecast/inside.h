/* inside.h - what the files of the network share: its module, and the rows of one pass as ops are to see
 * them. */
#ifndef XL_FORECAST_INSIDE_H
#define XL_FORECAST_INSIDE_H

#include "forecast/network.h"
#include "model/module.h"

struct xl_forecast_network {
    struct xl_forecast_config config;
    xlstm_module *m;
    int last; /* sublayers from here on are needed at wanted tokens only */
};

static inline int xl_forecast_entry(const struct xl_forecast_config *c) { /* numbers of a token */
    return 2 * c->patch_size;
}
static inline int xl_forecast_exit(const struct xl_forecast_config *c) { /* of a head */
    return c->num_quantiles * c->patch_size;
}

/* A network that has its parameters, which can be found, but no memory for them yet. */
xlstm_status xl_forecast_network_declare(xl_forecast_network **out, const struct xl_forecast_config *c,
                                         xlstm_weights weights);

/* The rows of one pass, as streams: known covariates first, then what else is in a group, then lone rows.
 * Stream s has tokens from .. from + length - 1 of its row. */
typedef struct {
    int rows, tokens, wanted, heads; /* tokens: of the longest row; heads: rows whose head is wanted */
    int known, grouped, groups, largest;
    int *order, *from; /* [rows], of a stream: its row, and the token that it begins with */
    /* For ops, one block here and one in tensor memory, in the same order: */
    int32_t *here, *there;
    size_t count;
    int32_t *lengths;     /* [rows] */
    int32_t *reversed;    /* [known * tokens] */
    int32_t *first;       /* [groups + 1] */
    int32_t *open;        /* [groups] */
    int32_t *members;     /* [grouped] */
    int32_t *wanted_rows; /* [rows * wanted] of rows * tokens */
    int32_t *head_rows;   /* [heads * wanted] of rows * wanted */
} xl_forecast_batch;

/* Room for so many rows of so many tokens, all of which may be wanted. */
xlstm_status xl_forecast_batch_create(xl_forecast_batch *b, xl_memory *memory, int rows, int tokens);
void xl_forecast_batch_free(xl_forecast_batch *b, xl_memory *memory);
/* As large as they come, for a plan. */
void xl_forecast_batch_fill(xl_forecast_batch *b, int rows, int tokens, int wanted);
/* Those groups of r whose mark is set, groups in their order. all: every row is wanted at every token, and
 * nothing is saved. */
void xl_forecast_batch_take(xl_forecast_batch *b, const struct xl_forecast_rows *r,
                            const unsigned char *marks, int all);
void xl_forecast_batch_put(xl_forecast_batch *b, xl_memory *memory);

/* The streams' tokens to in [rows * tokens, entry]; zeros in the padding behind. */
void xl_forecast_put_tokens(const xl_forecast_batch *b, xl_memory *memory, real *in, int entry,
                            const struct xl_forecast_rows *r, const real *tokens);

/* Rows g .. end - 1 are a group: the end. */
int xl_forecast_group_end(const struct xl_forecast_rows *r, int g);
/* Tokens of the group that begins with row g: the first that is computed, and how many for a row. */
int xl_forecast_group_from(const struct xl_forecast_rows *r, int g);
int xl_forecast_row_length(const struct xl_forecast_rows *r, int g, int row);
int xl_forecast_group_length(const struct xl_forecast_rows *r, int g);
xlstm_status xl_forecast_rows_check(const struct xl_forecast_rows *r, int rows, int tokens);

/* A call with the batch's lists in it. */
xl_call xl_forecast_call(const xl_forecast_network *net, const xl_ops *op, const xl_forecast_batch *b);
/* tokens [rows * tokens, 2 P] -> head [heads * wanted, Q P]. */
xl_view xl_forecast_forward(const xl_forecast_network *net, const xl_call *c, xl_stack_tape *t,
                            const xl_forecast_batch *b, xl_view tokens);
/* From the gradient of the head: all gradients. dhead is overwritten. */
void xl_forecast_backward(const xl_forecast_network *net, const xl_call *c, const xl_stack_tape *t,
                          const xl_forecast_batch *b, xl_view dhead);

#endif
