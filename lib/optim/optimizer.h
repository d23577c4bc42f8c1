/* optimizer.h - what a checkpoint may see of an optimizer. */
#ifndef XL_OPTIMIZER_H
#define XL_OPTIMIZER_H

#include "model/trainer.h"
#include "xlstm/optim.h"

/* Neighbouring parameters with the same decay are updated in one call. */
typedef struct {
    size_t from, count;
    int decay;
} xl_range;

/* What a rule works on: the same place in the weights, their gradient and the moments. */
typedef struct {
    real *w;
    const real *g;
    real *first, *second; /* NULL: the rule has none */
    size_t count;
} xl_update_part;

struct xlstm_optimizer {
    xlstm_module *m;
    xlstm_optimizer_config config;
    const struct xl_rule *rule;
    xl_place place;
    real *first, *second; /* moments at the parameters' offsets; NULL: the rule has none */
    real *trial;          /* [3, `at_once`], for an update that is tried first */
    size_t at_once;
    double *sum; /* [1], of the gradient's squares */
    xl_now *now; /* [1], what changes from step to step */
    xl_range *ranges;
    int range_count;
    int64_t steps;
};

/* The rule's name; "none" for NULL. */
const char *xl_optimizer_name(const xlstm_optimizer *o);

#endif
