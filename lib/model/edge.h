/* edge.h - where a caller's arrays meet tensors. In the host's memory they are tensors themselves, and
 * nothing is copied; elsewhere what is for the caller is made in planned memory and then brought. */
#ifndef XL_EDGE_H
#define XL_EDGE_H

#include "model/module.h"

/* Where an op is to write rows for the caller; user: his array, NULL while memory is planned. */
xl_view xl_edge_out(const xlstm_module *m, xl_arena *temp, real *user, int rows, int cols);
xlstm_status xl_edge_deliver(const xlstm_module *m, real *user, xl_view made);
/* The head over the rows of x, to the caller's array. clear_padding: x is the whole batch of the call, and
 * what is padding there becomes zero. user as above. */
xlstm_status xl_edge_head(const xlstm_module *m, const xl_call *c, real *user, xl_view x, int clear_padding);
/* y = the caller's rows. */
void xl_edge_take(const xlstm_module *m, const xl_ops *op, xl_view y, const real *user);

#endif
