/* network.h - the network of a forecasting model (TiRex-2, arXiv 2607.01204): from tokens of scaled values to
 * what its head says of the patch after each of them. What stands before and behind it (windows, scaling,
 * differences, quantiles) is not here, but the configuration is of the whole model.
 *
 * Rows are series, or parts of one: rows that belong together are a group. Targets and covariates that are
 * not known ahead are read forwards; known covariates are read backwards too, and rows of a group see each
 * other at every token, covariates only covariates. */
#ifndef XL_FORECAST_NETWORK_H
#define XL_FORECAST_NETWORK_H

#include "base/real.h"

enum { XL_FORECAST_MOST_BLOCKS = 256, XL_FORECAST_MOST_QUANTILES = 128 };

/* Of activations that have no gate, by the order of lib/ops/ops.h's xl_act. */
typedef enum {
    XL_FORECAST_SILU,
    XL_FORECAST_RELU,
    XL_FORECAST_GELU,
    XL_FORECAST_TANH,
    XL_FORECAST_ACTS
} xl_forecast_act;

/* One block: how rows are read along time, and the heads of both halves. */
struct xl_forecast_block {
    int slstm; /* 0: mLSTM */
    int heads; /* of the time mixer's cell */
    int variate_heads;
};

/* All that config.json says and that changes numbers. */
struct xl_forecast_config {
    int num_blocks, embedding_dim;
    struct xl_forecast_block block[XL_FORECAST_MOST_BLOCKS];
    int patch_size;              /* P, of input and output */
    int context_len, future_len; /* columns of a window, at most: C + F; F is a multiple of P */
    int num_quantiles;
    double quantiles[XL_FORECAST_MOST_QUANTILES]; /* increasing */
    int input_ff_dim;                             /* hidden width of the embedding */
    double h_expand;                              /* that of the head is (int)(embedding_dim * h_expand) */
    int act;                                      /* xl_forecast_act */
    int use_qk_norm;
    int out_norm; /* 0: there is none */
    double out_norm_eps;
    double scaler_eps;
    int use_arcsinh, binaryaware;
    int tta_sign_flip, tta_diff;
    int ffn_inner; /* of the time mixers' feed-forward; 0: embedding_dim * 2.6667, up to a multiple of 64. No
                      key of config.json: a file's tensors say it */
};

/* Defaults of section "Files": what an absent key means. Sizes are those of the published model. */
void xl_forecast_config_init(struct xl_forecast_config *c);
/* XLSTM_E_CONFIG, with the key's name, where sizes contradict each other or have no meaning. */
xlstm_status xl_forecast_config_check(const struct xl_forecast_config *c);

typedef struct xl_forecast_network
    xl_forecast_network;                        /* weights; shared by any number of runs and threads */
typedef struct xl_forecast_run xl_forecast_run; /* memory for calls, of one thread at a time */

/* A network with random weights, and its end. Files: io/forecast_io.h. */
xlstm_status xl_forecast_network_create(xl_forecast_network **out, const struct xl_forecast_config *c,
                                        uint64_t seed);
void xl_forecast_network_free(xl_forecast_network *net);
const struct xl_forecast_config *xl_forecast_network_config(const xl_forecast_network *net);

/* Memory for calls of at most so many rows of so many tokens (columns of a window / P). Nothing is taken
 * after this. The network has to live longer. */
xlstm_status xl_forecast_run_create(xl_forecast_run **out, xl_forecast_network *net, int rows, int tokens);
void xl_forecast_run_free(xl_forecast_run *run);

/* The rows of a call. Those of a group stand together. */
struct xl_forecast_rows {
    int rows, tokens;
    const int *group;               /* [rows], any numbers: neighbours of the same number are one group */
    const unsigned char *target;    /* [rows], 1: target, 0: covariate */
    const unsigned char *known;     /* [rows], 1: covariate with a value in the future part of the window */
    const int *padding;             /* [rows], leading tokens that hold nothing: all 2 P numbers are 0. Fewer
                                       may be said; what lies there is not read */
    int wanted_first, wanted_count; /* tokens whose head is wanted: token l says patch l + 1. Tokens of groups
                                       without a known covariate are not read after the last one */
};

/* tokens [rows, tokens, 2 P]: values, then 1 where there is one and 0 where not; head [targets, wanted_count,
 * Q P], entry q P + j: quantile q of step j of the next patch, for the target rows in their order. Both on
 * the host. */
xlstm_status xl_forecast_network_run(xl_forecast_run *run, const struct xl_forecast_rows *rows,
                                     const real *tokens, real *head);

/* Every stage on its way, for a check: "tokens", "embed", "time.0", "variate.0", ..., "norm", "head", of all
 * rows and tokens, [rows * tokens, columns]. Nothing is saved then, padding and future included; memory is
 * taken for the call. */
typedef void xl_forecast_stage(void *context, const char *name, int columns, const real *data);
xlstm_status xl_forecast_network_watch(xl_forecast_network *net, const struct xl_forecast_rows *rows,
                                       const real *tokens, xl_forecast_stage *stage, void *context);
xlstm_status xl_forecast_run_watch(const xl_forecast_run *run, const struct xl_forecast_rows *rows,
                                   const real *tokens, xl_forecast_stage *stage, void *context);

/* A stream of rows that are read forwards only, each its own group: numbers of state that one row has
 * between two calls, and where they are: state [rows, size], all 0 before the first token; NULL: none. They
 * are read before, and written after each call, of all its tokens. */
size_t xl_forecast_state_size(const xl_forecast_network *net);
void xl_forecast_run_carry(xl_forecast_run *run, real *state);

/* Training: gradients of all weights, for an optimizer. One of its own threads at a time. */
typedef struct xl_forecast_trainer xl_forecast_trainer;
xlstm_status xl_forecast_trainer_create(xl_forecast_trainer **out, xl_forecast_network *net, int rows,
                                        int tokens);
void xl_forecast_trainer_free(xl_forecast_trainer *tr);
/* Adds the gradient of the mean quantile loss (a number of the head each, before asinh is undone) over what
 * is known of target [targets, wanted_count, P], NaN where nothing is. Padding is computed here. loss: its
 * mean; counted: over so many numbers; both may be NULL. backward 0: the loss alone. */
xlstm_status xl_forecast_trainer_run(xl_forecast_trainer *tr, const struct xl_forecast_rows *rows,
                                     const real *tokens, const real *target, int backward, double *loss,
                                     double *counted);
/* What xlstm_optimizer_step() and the functions of gradients take; and the module, which the optimizer is
 * made for. */
struct xlstm_trainer *xl_forecast_trainer_base(xl_forecast_trainer *tr);
struct xlstm_module *xl_forecast_network_module(xl_forecast_network *net);

#endif
