/* edge.c - where a caller's array is no tensor, a block of rows at a time is made and brought, so that the
 * outputs of a whole batch need no room of their own. Rows lie end to end on both sides: a delivery is one
 * copy. */
#include "model/edge.h"
#include "base/error.h"

static size_t bytes_of(xl_view v) {
    return (size_t)v.rows * v.cols * sizeof(real);
}

xl_view xl_edge_out(const xlstm_module *m, xl_arena *temp, real *user, int rows, int cols) {
    return m->memory->is_host ? xl_rows(user, rows, cols) : xl_arena_view(temp, rows, cols);
}

xlstm_status xl_edge_deliver(const xlstm_module *m, real *user, xl_view made) {
    return m->memory->is_host ? XLSTM_OK : m->memory->get(m->memory, user, made.p, bytes_of(made));
}

/* As many rows at a time as a device has room for. */
xlstm_status xl_edge_head(const xlstm_module *m, const xl_call *c, real *user, xl_view x, int clear_padding) {
    int V = m->out, most = m->memory->is_host ? x.rows : xl_stack_head_rows(m, x.rows);
    for (int from = 0, rows; from < x.rows; from += rows) {
        rows = x.rows - from < most ? x.rows - from : most;
        size_t mark = xl_arena_mark(c->temp);
        real *to = user ? user + (size_t)from * V : NULL;
        xl_view y = xl_edge_out(m, c->temp, to, rows, V);
        xl_stack_head_forward(m, c, y, xl_some_rows(x, from, rows));
        if (clear_padding)
            c->op->clear_padding(y, from, c->seq);
        if (user)
            XL_TRY(xl_edge_deliver(m, to, y));
        xl_arena_release(c->temp, mark);
    }
    return XLSTM_OK;
}

void xl_edge_take(const xlstm_module *m, const xl_ops *op, xl_view y, const real *user) {
    if (m->memory->is_host)
        op->copy(y, xl_const_rows(user, y.rows, y.cols));
    else
        m->memory->put(m->memory, y.p, user, bytes_of(y));
}
