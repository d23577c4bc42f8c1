/* conv.c - the causal convolution in front of a cell: every channel on its own, over the last K inputs, with
 * SiLU behind it. What was before a stream's first token, or before a reset, counts as zero.
 * docs/math/blocks.md
 *
 * x, y [N, C], w [C, K], b [C]; tap K-1 is the present. For one stream and channel, at time t:
 *
 *     p_t = b + sum_k w_k x_{t-(K-1)+k}        y_t = SiLU(p_t)
 *
 * state of a stream: | x of time -(K-1), C numbers | ... | x of time -1 |, so that the present call begins at
 * 0 */
#include "ops/ref/helpers.h"

/* What one stream's taps can reach: inputs of this call (time >= 0) and, before them, those in the state. */
typedef struct {
    xl_view x, past; /* of this stream [T, C]; [K-1, C] */
    int oldest;      /* inputs before this time count as zero */
} history;

static history open_history(xl_view x, int K, xl_seq seq, xl_state state, int b) {
    const real *past = xl_state_in(state, b);
    return (history){xl_some_rows(x, b * seq.T, seq.T), xl_const_rows(past, K - 1, x.cols), past ? 1 - K : 0};
}

/* The inputs of one time, or NULL where they are zero. */
static const real *input_at(const history *h, int time) {
    if (time < h->oldest)
        return NULL;
    return time < 0 ? xl_row(h->past, h->past.rows + time) : xl_row(h->x, time);
}

/* The input that tap k of K meets at time t. */
static int tap_time(int t, int k, int K) {
    return t - (K - 1) + k;
}

/* p_t of channel c, whose taps are w[K]. */
static real preactivation(const history *h, const real *w, real bias, int K, int t, int c) {
    real p = bias;
    for (int k = 0; k < K; k++) {
        const real *in = input_at(h, tap_time(t, k, K));
        if (in)
            p += w[k] * in[c];
    }
    return p;
}

/* Rows move towards the front, so going forwards never reads what was written when past and out are one. */
static void keep_history(real *out, const history *h, int length, int K) {
    int C = h->x.cols;
    for (int r = 0; r < K - 1; r++, out += C) {
        const real *in = input_at(h, tap_time(length, r, K));
        for (int c = 0; c < C; c++)
            out[c] = in ? in[c] : 0;
    }
}

void xl_ref_conv(xl_view y, xl_view x, const real *w, const real *b, int K, xl_seq seq, xl_state state) {
    xl_view taps = xl_const_rows(w, x.cols, K);
    for (int s = 0; s < seq.B; s++) {
        history h = open_history(x, K, seq, state, s);
        int start = 0, end = 0, fresh = 0;
        while (xl_next_piece(seq, s, 0, &start, &end, &fresh)) {
            if (fresh)
                h.oldest = start;
            for (int t = start; t < end; t++)
                for (int c = 0; c < x.cols; c++)
                    xl_row(y, xl_token(seq, s, t))[c] =
                        silu(preactivation(&h, xl_row(taps, c), b[c], K, t, c));
        }
        if (state.out)
            keep_history(xl_state_out(state, s), &h, xl_length(seq, s), K);
    }
    xl_ref_clear_padding(y, 0, seq);
}

/* Backward. With dp_t = dy_t SiLU'(p_t), p_t computed again, each tap gives to its weight and to its input:
 *
 *     db += sum_t dp_t        dw_k += sum_t dp_t x_{t-(K-1)+k}        dx_{t-(K-1)+k} += sum_k dp_t w_k
 *
 * Inputs in the state get none: their gradient is dropped, as that of every state that comes in. */
static void conv_bwd_at(xl_view dx, real *dw, real dp, const history *h, const real *w, int K, int t, int c) {
    for (int k = 0; k < K; k++) {
        int time = tap_time(t, k, K);
        const real *in = input_at(h, time);
        if (!in)
            continue;
        dw[k] += dp * in[c];
        if (time >= 0)
            xl_row(dx, time)[c] += dp * w[k];
    }
}

void xl_ref_conv_bwd(xl_view dx, real *dw, real *db, xl_view dy, xl_view x, const real *w, const real *b,
                     int K, xl_seq seq, xl_state state, int add) {
    xl_view taps = xl_const_rows(w, x.cols, K), dtaps = xl_rows(dw, x.cols, K);
    if (!add)
        clear(dx);
    for (int s = 0; s < seq.B; s++) {
        history h = open_history(x, K, seq, state, s);
        xl_view dx_here = xl_some_rows(dx, s * seq.T, seq.T);
        int start = 0, end = 0, fresh = 0;
        while (xl_next_piece(seq, s, 0, &start, &end, &fresh)) {
            if (fresh)
                h.oldest = start;
            for (int t = start; t < end; t++)
                for (int c = 0; c < x.cols; c++) {
                    real p = preactivation(&h, xl_row(taps, c), b[c], K, t, c);
                    real dp = xl_row(dy, xl_token(seq, s, t))[c] * silu_slope(p);
                    db[c] += dp;
                    conv_bwd_at(dx_here, xl_row(dtaps, c), dp, &h, xl_row(taps, c), K, t, c);
                }
        }
    }
}
