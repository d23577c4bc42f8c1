/* module.h - a stack: what comes in (tokens or vectors), sublayers, norm, what goes out. A cell and a block
 * are stacks with the outer parts left away. */
#ifndef XL_MODULE_H
#define XL_MODULE_H

#include "base/check.h"
#include "layer/layer.h"
#include "model/recipes.h"
#include "xlstm/module.h"

/* y = layer(norm(x)), or x + that. */
typedef struct {
    int has_norm, residual;
    xl_rows_for rows; /* XL_ROWS_GROUPED: the first ones of a call, the others stay as they are; with norm and
                         residual only */
    xl_norm norm;
    size_t norm_w, norm_b;
    xl_layer *layer;
} xl_sublayer;

struct xlstm_module {
    xlstm_config config;
    int is_model; /* has ends */
    int is_cell;
    int in, out;      /* numbers per token in and out of the module; in = 0: tokens */
    int first, width; /* width of the stream before and after the sublayers */
    int vocab;
    xl_layout params;
    xl_memory *memory;           /* where all tensors of the module, its sessions and trainers lie */
    real *w;                     /* all that is not packed */
    xl_packing packed;           /* matrices of an inference module in a smaller type */
    void *lent;                  /* what owns the numbers that packed matrices borrow, */
    void (*release)(void *lent); /* and what ends it; NULL: they borrow none */
    xlstm_status (*check)(const void *lent); /* and whether they are still what was loaded */
    xl_sublayer *sub;
    int subs;
    size_t state_size; /* one stream */
    size_t embed, in_w, in_b, head_w, head_b;
    int has_norm;
    xl_norm norm;
    size_t norm_w, norm_b;
};

/* Per sublayer: its input, the norm of it, and what the layer keeps. One tape per session or trainer. */
typedef struct {
    xl_view *x, *xn;
    void **saved;
    xl_view top, out; /* stream after the last sublayer; after the final norm */
} xl_stack_tape;

xlstm_status xl_stack_tape_create(xl_stack_tape *t, const xlstm_module *m);
void xl_stack_tape_free(xl_stack_tape *t);

/* Input of one call: one of the two. */
typedef struct {
    const int32_t *tokens; /* [N] */
    xl_view vectors;       /* [N, in] */
} xl_input;

/* Sublayers from .. to - 1, and the gradient of what they were given from that of what they gave; only
 * between them may the number of rows change. */
xl_view xl_stack_run(const xlstm_module *m, const xl_call *c, xl_stack_tape *t, int from, int to, xl_view x);
xl_view xl_stack_run_back(const xlstm_module *m, const xl_call *c, const xl_stack_tape *t, int from, int to,
                          xl_view d);
/* Runs everything up to the head; t->out [N, width] is the result. */
void xl_stack_forward(const xlstm_module *m, const xl_call *c, xl_stack_tape *t, xl_input in);
/* From the gradient of t->out; d_in (p may be NULL) receives the gradient of the input vectors. dout is
 * overwritten. */
void xl_stack_backward(const xlstm_module *m, const xl_call *c, const xl_stack_tape *t, xl_input in,
                       xl_view dout, xl_view d_in);

/* Rows whose outputs are made at a time, so that those of a whole batch never exist. */
int xl_stack_head_rows(const xlstm_module *m, int rows);
/* 1: tokens' logits are x W', of real numbers, and nothing more. */
int xl_stack_head_is_matrix(const xlstm_module *m);
/* 1: a soft cap, whose backward needs the outputs. */
int xl_stack_head_is_capped(const xlstm_module *m);
/* The head on some rows: y [rows, out] from x [rows, width]. dx is overwritten; dy is the gradient of y, and
 * y the output, which only a capped head reads. */
void xl_stack_head_forward(const xlstm_module *m, const xl_call *c, xl_view y, xl_view x);
void xl_stack_head_backward(const xlstm_module *m, const xl_call *c, xl_view dx, xl_view x, xl_view y,
                            xl_view dy);

/* A module of sublayers that are added one by one, for what is no xlstm_config. `parts` adds them and
 * declares what lies between; it may be called twice. On failure nothing is left of the module, which *out
 * then is not. */
xlstm_status xl_module_start(xlstm_module **out, const xlstm_config *c, int subs, xl_memory *memory);
typedef xlstm_status xl_module_parts(xlstm_module *m, const void *context);
xlstm_status xl_module_declare_parts(xlstm_module **out, xlstm_module *m, xl_module_parts *parts,
                                     const void *context);
xlstm_status xl_module_add(xlstm_module *m, const xl_layer_kind *kind, xl_layer_spec spec, xl_sublayer **out);

/* A model that has its parameters, which can be found, but no memory for them yet: small, whatever the sizes.
 */
xlstm_status xl_module_declare(xlstm_module **out, const xlstm_config *config, xl_memory *memory);
/* Memory of all that is not packed, zeroed, and the list of what is; room for that, unless it is borrowed
 * from files; the end of all. */
xlstm_status xl_module_take_memory(xlstm_module *m);
xlstm_status xl_module_take_packed(xlstm_module *m);
void xl_module_give_memory(xlstm_module *m);
/* All weights from a module of the same parameters, whose matrices are reals. */
xlstm_status xl_module_copy_weights(xlstm_module *m, const xlstm_module *from);
/* First values for all parameters. */
xlstm_status xl_module_draw(xlstm_module *m, uint64_t seed);
xlstm_status xl_module_check_index(const xlstm_module *m, int index, const void *p, const char *function);
/* Are the numbers that the module borrows still those that were loaded? Cheap: before anything uses them. */
xlstm_status xl_module_check_lent(const xlstm_module *m);
/* For what only works on real numbers: training, above all. */
xlstm_status xl_module_needs_reals(const xlstm_module *m, const char *what);

void xl_session_shape(const xlstm_session *s, int *streams, int *outputs);
/* Streams times heads, the tasks of a cell, fit an int. So do rows and columns; their products are size_t. */
xlstm_status xl_module_check_streams(const xlstm_module *m, int streams);
/* 1: some layer's backward pass takes no carried state (xl_layer_kind.whole_sequence). */
int xl_module_has_attention(const xlstm_module *m);
/* A caller's configuration, of whatever age, as this library's. */
xlstm_status xl_config_take(xlstm_config *own, const xlstm_config *given);
xlstm_status xl_config_check_blocks(const xlstm_config *c);
/* Makes checked configurations equal whose models compute the same: what can be said in two ways is said in
 * full, what no block of the model has, and what changes speed, files or first values only, is as by default.
 */
void xl_config_normalise(xlstm_config *c);
/* What only training looks at, and the type of the matrices, are as by default. */
void xl_config_forget_training(xlstm_config *c);
/* Whether a model is still the same when all fields but these (XL_READS) are as by default. */
int xl_config_says_all(const xlstm_config *c, uint64_t said);
/* Names of the values of xlstm_activation and xlstm_bias_init in order, NULL after the last: all formats have
 * the same.
 */
extern const char *const xl_activation_names[], *const xl_bias_init_names[];

#endif
