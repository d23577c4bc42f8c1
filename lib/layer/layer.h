/* layer.h - the one interface of everything between two norms: x[B,T,in] -> y[B,T,out].
 *
 * forward takes any T >= 1. Whether it trains, reads a prompt or makes one step is only a question of what it
 * is given: a tape to keep things on, a state to go on from. Layers hold no loops over data; they call ops.
 */
#ifndef XL_LAYER_H
#define XL_LAYER_H

#include "base/arena.h"
#include "layer/packing.h"
#include "ops/ops.h"
#include "xlstm/config.h"

/* The surroundings of one call, passed down unchanged but for the state's offset. */
typedef struct {
    const xl_ops *op;
    xl_seq seq;
    const real *w;            /* all weights, but */
    const xl_packing *packed; /* those that are kept in a smaller type; NULL: none is */
    real *dw;                 /* all gradients; NULL outside backward */
    xl_state state;
    xl_arena *keep, *temp; /* keep: the tape in training, temp in inference */
    int train;             /* a backward pass will follow: keep what it needs */
    real dropout;          /* 0: none */
    int dropping;          /* something drops: dropout, or a layer's own */
    const uint64_t *seed;  /* of this call's dropout masks, which are recomputed and never stored */
    /* Of a forecasting model's rows, which are streams in this order: */
    int known;               /* those that are read backwards too, */
    int grouped;             /* those and the others of groups with two rows or more */
    const int32_t *reversed; /* [known * T]: the row of a stream's mirrored token, of padding itself */
    xl_groups groups;        /* of the grouped ones */
} xl_call;

static inline int xl_tokens(const xl_call *c) {
    return c->seq.B * c->seq.T;
}

/* The matrix at an offset, of whatever type: as many of its rows as lie in one piece, which for a matrix that
 * is one parameter are all. */
xl_matrix xl_weight_matrix(const xl_call *c, size_t W, int rows, int cols);
/* The product of the forward pass; W and b are offsets, b may be XL_NONE. y = x W' + b */
void xl_linear(const xl_call *c, xl_view y, xl_view x, size_t W, size_t b);

/* What a layer is made from. It never asks which kind of block it is in. */
typedef struct {
    const xlstm_config *config;
    int block;     /* index in the stack */
    int in, out;   /* width */
    int number;    /* of an LSTM: its place among the layers of one nn.LSTM, which goes into its names */
    int zero_gate; /* of a gated feed-forward: it starts as xLSTM-7B's does, with a gate of zeros */
    /* What no field of a configuration says, of a forecasting model: */
    int inner, heads, qk_norm;
    xl_act act;
    const struct xl_layer_kind *cell; /* that is read in both directions */
} xl_layer_spec;

/* The fields of a configuration, as bits of a set. */
enum {
#define XLSTM_FIELD(type, name, initial, low, high, read_by, json) XL_FIELD_##name,
#include "xlstm/config.def"
    XL_FIELDS
};
_Static_assert(XL_FIELDS <= 64, "a set of fields is 64 bits");
#define XL_READS(name) ((uint64_t)1 << XL_FIELD_##name)

typedef struct xl_layer_kind xl_layer_kind;

typedef struct {
    const xl_layer_kind *kind;
    int in, out;
    uint64_t id;         /* tells this layer's dropout masks from the others' */
    size_t state_at;     /* where its state begins in a stream's state */
    uint64_t state_size; /* numbers; set by declare */
} xl_layer;

struct xl_layer_kind {
    const char *name;
    /* The fields (XL_READS) that two layers of this kind must have in common to compute the same, once
     * resolve() has written out what can be said in two ways; and those that only resolve() still looks at.
     */
    uint64_t reads, reads_instead;
    void (*resolve)(xlstm_config *);             /* NULL: nothing can be said in two ways */
    xlstm_status (*check)(const xlstm_config *); /* how fields must fit each other; NULL: as they like */
    int (*there)(const xlstm_config *);          /* blocks may do without it; NULL: none does */
    uint64_t switches;                           /* the fields that there() asks */
    int whole_sequence;                          /* its backward pass takes no carried state */
    size_t size,
        saved_size; /* of the struct that begins with xl_layer, and of what forward hands to backward */
    void (*declare)(xl_layer *, const xl_layer_spec *, xl_layout *);
    void (*forward)(const xl_layer *, const xl_call *, void *saved, xl_view y, xl_view x);
    /* dx is overwritten; dy may be overwritten too */
    void (*backward)(const xl_layer *, const xl_call *, const void *saved, xl_view dx, xl_view x, xl_view dy);
};

/* Of forecasting models; the others are below. */
extern const xl_layer_kind xl_layer_two_way, xl_layer_slstm_bare, xl_layer_variate, xl_layer_mlp,
    xl_layer_residual_mlp;

extern const xl_layer_kind xl_layer_mlstm, xl_layer_mlstm_large, xl_layer_mlstm_cell, xl_layer_slstm,
    xl_layer_lstm, xl_layer_slstm_cell, xl_layer_attention, xl_layer_ffn, xl_layer_swiglu;

/* The layer's own state, `skip` numbers into it. */
static inline xl_state xl_layer_state(const xl_layer *l, const xl_call *c, size_t skip) {
    xl_state s = c->state;
    size_t at = l->state_at + skip;
    return (xl_state){s.in ? s.in + at : NULL, s.out ? s.out + at : NULL, s.stride};
}

/* Dropout of a layer's output (which = 0, 1, ... where a layer has several) and the same on its gradient. */
static inline void xl_layer_dropout(const xl_layer *l, const xl_call *c, xl_view y, int which) {
    if (c->dropout > 0)
        c->op->dropout(y, y, c->dropout, c->seed, l->id * 4 + which);
}

/* The mLSTM cell's two calls, shared by both layers that have one. gates, dgates: [N, 2*H] = i, f. */
xl_mlstm_tape xl_mlstm_forward(const xl_call *c, xl_mlstm cell, xl_view h, xl_qkv in, xl_view gates,
                               xl_state state);
void xl_mlstm_backward(const xl_call *c, xl_mlstm cell, xl_qkv d, xl_view dgates, xl_view dh, xl_view h,
                       xl_mlstm_tape tape, xl_qkv in, xl_view gates, xl_state state);

/* Blocks of the q, k, v projections of the paper's mLSTM: as many of `size` as the inner width takes, which
 * then may come out larger. 0: not even one. */
static inline int xl_qkv_blocks(int inner, int size) {
    return size >= 1 && size <= inner ? inner / size : 0;
}

/* What stands for a 0 in norm_eps and mlstm_eps. */
#define XL_LAYERNORM_EPS 1e-5
#define XL_RMSNORM_EPS 1e-6
static inline double xl_mlstm_eps(const xlstm_config *c) {
    return c->mlstm_eps > 0 ? c->mlstm_eps : 1e-6;
}

/* Heads and inner widths of the paper's layers and of a feed-forward half: their own, or from what all share.
 */
static inline int xl_mlstm_heads(const xlstm_config *c) {
    return c->mlstm_heads ? c->mlstm_heads : c->num_heads;
}
static inline int xl_slstm_heads(const xlstm_config *c) {
    return c->slstm_heads ? c->slstm_heads : c->num_heads;
}
int xl_mlstm_inner(const xlstm_config *c);
int xl_ffn_inner(const xlstm_config *c);

#endif
