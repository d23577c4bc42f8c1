#include "ops/ref/helpers.h"

/* What one stream's taps can reach: inputs of this call (time >= 0) and, before them, the K-1 in the state.
 */
typedef struct {
    xl_view x;
    size_t first; /* row of time 0 */
    const real *past;
    int K;
    int oldest; /* inputs before this time count as zero */
} history;

static history open_history(xl_view x, int K, xl_seq seq, xl_state state, int b) {
    const real *past = state.in ? state.in + (size_t)b * state.stride : NULL;
    return (history){x, (size_t)b * (size_t)seq.T, past, K, past ? 1 - K : 0};
}

/* The inputs of one time, or NULL where they are zero. */
static const real *input_at(const history *h, int time) {
    if (time < h->oldest)
        return NULL;
    return time < 0 ? h->past + (size_t)(h->K - 1 + time) * h->x.cols : row(h->x, h->first + time);
}

static real preactivation(const history *h, const real *w, const real *b, int t, int c) {
    real a = b[c];
    for (int k = 0; k < h->K; k++) {
        const real *in = input_at(h, t - (h->K - 1) + k);
        if (in)
            a += w[(size_t)c * h->K + k] * in[c];
    }
    return a;
}

/* Rows move towards the front, so going forwards never reads what was written when past == out. */
static void keep_history(real *out, const history *h, int length) {
    int C = h->x.cols;
    for (int r = 0; r < h->K - 1; r++) {
        const real *in = input_at(h, length - (h->K - 1) + r);
        for (int c = 0; c < C; c++)
            out[(size_t)r * C + c] = in ? in[c] : 0;
    }
}

void xl_ref_conv(xl_view y, xl_view x, const real *w, const real *b, int K, xl_seq seq, xl_state state) {
    for (int s = 0; s < seq.B; s++) {
        history h = open_history(x, K, seq, state, s);
        int start = 0, end = 0, fresh = 0;
        while (xl_next_piece(seq, s, 0, &start, &end, &fresh)) {
            if (fresh)
                h.oldest = start;
            for (int t = start; t < end; t++)
                for (int c = 0; c < x.cols; c++)
                    row(y, h.first + t)[c] = silu(preactivation(&h, w, b, t, c));
        }
        clear_from(y, seq, s, length_of(seq, s));
        if (state.out)
            keep_history(state.out + (size_t)s * state.stride, &h, length_of(seq, s));
    }
}

static void conv_bwd_at(xl_view dx, real *dw, real da, const history *h, const real *w, int t, int c) {
    for (int k = 0; k < h->K; k++) {
        int time = t - (h->K - 1) + k;
        const real *in = input_at(h, time);
        if (!in)
            continue;
        dw[(size_t)c * h->K + k] += da * in[c];
        if (time >= 0)
            row(dx, h->first + time)[c] += da * w[(size_t)c * h->K + k];
    }
}

void xl_ref_conv_bwd(xl_view dx, real *dw, real *db, xl_view dy, xl_view x, const real *w, const real *b,
                     int K, xl_seq seq, xl_state state, int add) {
    for (int s = 0; s < seq.B; s++) {
        history h = open_history(x, K, seq, state, s);
        if (!add)
            clear_from(dx, seq, s, 0);
        int start = 0, end = 0, fresh = 0;
        while (xl_next_piece(seq, s, 0, &start, &end, &fresh)) {
            if (fresh)
                h.oldest = start;
            for (int t = start; t < end; t++)
                for (int c = 0; c < x.cols; c++) {
                    real da = row(dy, h.first + t)[c] * silu_slope(preactivation(&h, w, b, t, c));
                    db[c] += da;
                    conv_bwd_at(dx, dw, da, &h, w, t, c);
                }
        }
    }
}
