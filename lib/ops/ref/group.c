/* group.c - attention over the streams of a group, at each token by itself: no order, no positions, nothing
 * causal. What a forecasting model's rows learn of each other (TiRex-2, arXiv 2607.01204).
 *
 * q, k, v, y [N, H dh], of member a and those members r that it sees and that have this token:
 *
 *     s_r = q_a . k_r / sqrt(dh)        p = softmax(s)        y_a = sum_r p_r v_r        lse_a = log sum_r
 * exp(s_r)
 *
 * The first open[g] members (covariates) see each other, and the others (targets) see all. */
#include "ops/ref/helpers.h"

static xl_qkv one_head(xl_qkv x, int head, int dh) {
    return (xl_qkv){xl_cols(x.q, head * dh, dh), xl_cols(x.k, head * dh, dh), xl_cols(x.v, head * dh, dh)};
}

/* Members of group g that its member number a sees, from the first one on. */
static int seen_by(xl_groups g, int group, int a) {
    return a < g.open[group] ? g.open[group] : g.first[group + 1] - g.first[group];
}

/* A member's row of token t, or -1: it has none. */
static ptrdiff_t row_of(xl_groups g, int group, int member, xl_seq seq, int t) {
    int b = g.members[g.first[group] + member];
    return t < xl_length(seq, b) ? xl_token(seq, b, t) : -1;
}

/* As in attention.c: when a larger score turns up, what was summed so far shrinks to its scale. */
static real attend(xl_view y, xl_qkv in, xl_groups g, int group, int a, xl_seq seq, int t) {
    int dh = y.cols;
    ptrdiff_t n = row_of(g, group, a, seq, t);
    real top = -INFINITY, total = 0, *ya = xl_row(y, n);
    xl_ref_fill(ya, dh, 0);
    for (int r = 0; r < seen_by(g, group, a); r++) {
        ptrdiff_t m = row_of(g, group, r, seq, t);
        if (m < 0)
            continue;
        real score = dot(xl_row(in.q, n), xl_row(in.k, m), dh) / sqrt((real)dh);
        if (score > top) {
            real shrink = exp(top - score);
            total *= shrink;
            for (int i = 0; i < dh; i++)
                ya[i] *= shrink;
            top = score;
        }
        real p = exp(score - (top > -INFINITY ? top : 0));
        total += p;
        axpy(ya, p, xl_row(in.v, m), dh);
    }
    for (int i = 0; i < dh; i++)
        ya[i] /= total;
    return top + log(total);
}

/* Every member of every group at every token that it has. */
#define EACH_MEMBER(g, seq, group, a, t)                                                                     \
    for (int group = 0; group < (g).count; group++)                                                          \
        for (int a = 0; a < (g).first[group + 1] - (g).first[group]; a++)                                    \
            for (int t = 0; t < xl_length(seq, (g).members[(g).first[group] + a]); t++)

void xl_ref_group_attention(xl_view y, real *lse, xl_qkv in, int H, xl_seq seq, xl_groups g) {
    xl_view lses = xl_rows(lse, y.rows, H);
    int dh = y.cols / H;
    for (int h = 0; h < H; h++)
        EACH_MEMBER(g, seq, group, a, t) {
            real sum = attend(xl_cols(y, h * dh, dh), one_head(in, h, dh), g, group, a, seq, t);
            if (lse)
                xl_row(lses, row_of(g, group, a, seq, t))[h] = sum;
        }
    xl_ref_clear_padding(y, 0, seq);
    if (lse)
        xl_ref_clear_padding(lses, 0, seq);
}

/* The derivative of the softmax, as in attention.c:
 *
 *     dv_r += p_r dy_a        ds_r = p_r (dy_a . v_r - dy_a . y_a)
 *     dq_a += ds_r k_r / sqrt(dh)        dk_r += ds_r q_a / sqrt(dh) */
static void attend_bwd(xl_qkv din, xl_view dy, xl_view y, real lse, xl_qkv in, xl_groups g, int group, int a,
                       xl_seq seq, int t) {
    int dh = y.cols;
    ptrdiff_t n = row_of(g, group, a, seq, t);
    real scale = 1 / sqrt((real)dh), mean = dot(xl_row(dy, n), xl_row(y, n), dh);
    for (int r = 0; r < seen_by(g, group, a); r++) {
        ptrdiff_t m = row_of(g, group, r, seq, t);
        if (m < 0)
            continue;
        real p = exp(dot(xl_row(in.q, n), xl_row(in.k, m), dh) * scale - lse);
        real ds = p * (dot(xl_row(dy, n), xl_row(in.v, m), dh) - mean) * scale;
        axpy(xl_row(din.v, m), p, xl_row(dy, n), dh);
        axpy(xl_row(din.q, n), ds, xl_row(in.k, m), dh);
        axpy(xl_row(din.k, m), ds, xl_row(in.q, n), dh);
    }
}

void xl_ref_group_attention_bwd(xl_qkv din, xl_view dy, xl_view y, const real *lse, xl_qkv in, int H,
                                xl_seq seq, xl_groups g) {
    int dh = y.cols / H;
    clear(din.q);
    clear(din.k);
    clear(din.v);
    for (int h = 0; h < H; h++)
        EACH_MEMBER(g, seq, group, a, t)
    attend_bwd(one_head(din, h, dh), xl_cols(dy, h * dh, dh), xl_cols(y, h * dh, dh),
               lse[row_of(g, group, a, seq, t) * H + h], one_head(in, h, dh), g, group, a, seq, t);
}
