/* loss.c - every loss, a row of a table each: the trainer asks the row and never which loss it is. A mean is
 * taken over what counts in the whole batch, not row by row, so that a token weighs the same wherever it
 * stands. */
#include "model/loss.h"
#include "base/error.h"

/* Where losses of rows from there on go; nowhere while they are planned. */
static real *losses_at(real *each, int from) {
    return each ? each + from : NULL;
}

/* ---- cross-entropy: tokens that are not ignored ---- */

static int has_targets(const xl_given *g) {
    return g->targets != NULL;
}

static double counted_tokens(const xl_feed *f) {
    double count = 0;
    for (int i = 0; i < f->B * f->T; i++)
        count += f->here.targets[i] >= 0;
    return count;
}

static void cross_entropy(const xl_ops *op, const xl_feed *f, real *each, xl_view dy, xl_view y, int from) {
    op->xent(losses_at(each, from), dy, y, f->fed.targets + from, f->fed.scale);
}

/* ---- squared error: numbers times the weight of their vector ---- */

static int has_outputs(const xl_given *g) {
    return g->outputs != NULL;
}

/* (padding has weight 0, so it does not count) */
static double counted_numbers(const xl_feed *f) {
    double count = 0;
    for (int i = 0; i < f->B * f->T; i++)
        count += (double)f->here.weights[i] * f->m->out;
    return count;
}

static void squared_error(const xl_ops *op, const xl_feed *f, real *each, xl_view dy, xl_view y, int from) {
    xl_view all = xl_rows(f->fed.outputs, f->B * f->T, f->m->out);
    op->mse(losses_at(each, from), dy, y, xl_some_rows(all, from, y.rows),
            f->has_weights ? f->fed.weights + from : NULL, f->fed.scale);
}

static const xl_loss losses[XLSTM_LOSS_KINDS] = {
    [XLSTM_LOSS_CROSS_ENTROPY] = {"cross_entropy", 1, "targets", has_targets, counted_tokens, cross_entropy},
    [XLSTM_LOSS_SQUARED_ERROR] = {"squared_error", 0, "outputs", has_outputs, counted_numbers, squared_error},
};

const char *xlstm_loss_name(xlstm_loss_kind kind) {
    return (unsigned)kind < XLSTM_LOSS_KINDS ? losses[kind].name : NULL;
}

static int fits(const xl_loss *loss, const xlstm_module *m) {
    return loss->name && loss->of_tokens == (m->vocab > 0);
}

xlstm_status xl_loss_of(const xl_loss **out, const xlstm_module *m, xlstm_loss_kind kind) {
    if ((unsigned)kind >= XLSTM_LOSS_KINDS)
        return xl_fail(XLSTM_E_CONFIG, "loss %d is unknown; use an xlstm_loss_kind", (int)kind);
    int at = kind;
    while (kind == XLSTM_LOSS_OF_MODEL && at < XLSTM_LOSS_KINDS - 1 && !fits(&losses[at], m))
        at++;
    *out = &losses[at];
    if (!fits(*out, m))
        return xl_fail(
            XLSTM_E_CONFIG, "loss %s is of %s, but this model gives %s; leave it XLSTM_LOSS_OF_MODEL",
            losses[at].name, m->vocab ? "vectors" : "tokens", m->vocab ? "logits of tokens" : "vectors");
    return XLSTM_OK;
}

int xl_loss_takes_head(const xl_loss *loss) {
    return loss == &losses[XLSTM_LOSS_CROSS_ENTROPY];
}
