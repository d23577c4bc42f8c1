/* edge.c - where a caller's array is no tensor, a block of rows at a time is made and brought, so that the
 * outputs of a whole batch need no room of their own. Rows lie end to end on both sides: a delivery is one
 * copy. */
#include "model/edge.h"

static size_t bytes_of(xl_view v) {
    return (size_t)v.rows * v.cols * sizeof(real);
}

int xl_edge_rows(const xlstm_module *m, int rows) {
    return m->memory->is_host ? rows : xl_stack_head_rows(m, rows);
}

xl_view xl_edge_out(const xlstm_module *m, xl_arena *temp, real *user, int rows, int cols) {
    return m->memory->is_host ? xl_rows(user, rows, cols) : xl_arena_view(temp, rows, cols);
}

xlstm_status xl_edge_deliver(const xlstm_module *m, real *user, xl_view made) {
    return m->memory->is_host ? XLSTM_OK : m->memory->get(m->memory, user, made.p, bytes_of(made));
}

void xl_edge_take(const xlstm_module *m, const xl_ops *op, xl_view y, const real *user) {
    if (m->memory->is_host)
        op->copy(y, xl_const_rows(user, y.rows, y.cols));
    else
        m->memory->put(m->memory, y.p, user, bytes_of(y));
}
