/* sLSTM and LSTM: the recurrence token by token and back-propagation through it. */
#include "ops/ref/helpers.h"

uint64_t xl_rnn_scratch(xl_rnn d, xl_seq s) {
    uint64_t D = (uint64_t)(d.H * d.dh), B = (uint64_t)s.B, N = B * (uint64_t)s.T,
             filled = 16 * (uint64_t)d.H;
    uint64_t states = 5 * B * D, products = B * (4 * D + filled), shifted = N * D;
    uint64_t panels =
        s.T > 1 ? 4 * (uint64_t)d.dh * (D + filled) : 0; /* R, packed; heads filled up by 16 units */
    return states + products + shifted + panels + 1024;
}

static real clipped(real x, real clip) { /* NaN stays NaN */
    real bound = xl_rnn_bound(clip);
    return x > bound ? bound : x < -bound ? -bound : x;
}

/* Where unit j = head*dh + e finds its four gates and their biases. */
static size_t gate_at(xl_rnn d, int j, int slot) {
    return (size_t)(j / d.dh) * 4 * (size_t)d.dh + (size_t)slot * (size_t)d.dh + (size_t)(j % d.dh);
}

static void recurrent_product(real *gates, const xl_matrix *R, const real *h, xl_rnn d) {
    for (int head = 0; head < d.H; head++)
        for (int o = 0; o < 4 * d.dh; o++) {
            int at = head * 4 * d.dh + o;
            for (int e = 0; e < d.dh; e++)
                gates[at] += xl_element(R, at, e) * h[head * d.dh + e];
        }
}

/* One unit of the sLSTM: replaces its pre-activations by i', f', tanh z, sigm o. s = {h, c, n, m}. */
static void slstm_unit(real *g[4], real s[4], real *tape, size_t D) {
    real logf = log_sigmoid(*g[1]) + s[3];
    real m = s[2] == 0 ? *g[0] : fmax(*g[0], logf); /* n == 0: nothing seen yet */
    real i = exp(*g[0] - m), f = s[2] == 0 ? 0 : exp(logf - m), z = tanh(*g[2]), o = sigmoid(*g[3]);
    real forget_slope = sigmoid(-*g[1]);
    s[1] = f * s[1] + i * z;
    s[2] = f * s[2] + i;
    s[3] = m;
    s[0] = o * s[1] / s[2];
    *g[0] = i, *g[1] = f, *g[2] = z, *g[3] = o;
    if (tape)
        tape[0] = forget_slope, tape[D] = s[1], tape[2 * D] = s[2];
}

static void lstm_unit(real *g[4], real s[2], real *tape, size_t D) {
    real i = sigmoid(*g[0]), f = sigmoid(*g[1]), z = tanh(*g[2]), o = sigmoid(*g[3]);
    s[1] = f * s[1] + i * z;
    real th = tanh(s[1]);
    s[0] = o * th;
    *g[0] = i, *g[1] = f, *g[2] = z, *g[3] = o;
    if (tape)
        tape[0] = 0, tape[D] = s[1], tape[2 * D] = th;
}

static void step(real *gates, real *state, real *h, real *tape, const xl_matrix *R, const real *bias,
                 xl_rnn d) {
    int D = d.H * d.dh;
    recurrent_product(gates, R, state, d);
    for (int j = 0; j < D; j++) {
        real *g[4], s[4] = {0};
        for (int slot = 0; slot < 4; slot++) {
            g[slot] = gates + gate_at(d, j, slot);
            *g[slot] += bias ? bias[slot * D + j] : 0;
        }
        for (int k = 0; k < (d.lstm ? 2 : 4); k++)
            s[k] = state[k * D + j];
        if (d.lstm)
            lstm_unit(g, s, tape ? tape + j : NULL, (size_t)D);
        else
            slstm_unit(g, s, tape ? tape + j : NULL, (size_t)D);
        for (int k = 1; k < (d.lstm ? 2 : 4); k++)
            state[k * D + j] = s[k];
        h[j] = clipped(s[0], d.clip);
    }
    for (int j = 0; j < D; j++) /* only now: every unit has read the old h */
        state[j] = h[j];
}

static int is_reset(xl_seq s, int b, int t) {
    return s.resets && s.resets[(size_t)b * (size_t)s.T + (size_t)t];
}

void xl_ref_rnn(xl_view h, real *gates, real *tape, xl_matrix R, const real *bias, xl_rnn d, xl_seq seq,
                xl_state state, real *scratch) {
    size_t D = (size_t)(d.H * d.dh), size = (d.lstm ? 2u : 4u) * D;
    for (int b = 0; b < seq.B; b++) {
        int length = seq.lengths ? seq.lengths[b] : seq.T;
        for (size_t j = 0; j < size; j++)
            scratch[j] = state.in ? state.in[(size_t)b * state.stride + j] : 0;
        for (int t = 0; t < seq.T; t++) {
            size_t n = (size_t)b * (size_t)seq.T + (size_t)t;
            for (size_t j = 0; t < length && is_reset(seq, b, t) && j < size; j++)
                scratch[j] = 0;
            if (t < length)
                step(gates + n * 4 * D, scratch, h.p + n * h.ld, tape ? tape + n * 3 * D : NULL, &R, bias, d);
            for (size_t j = 0; t >= length && j < D; j++)
                h.p[n * h.ld + j] = 0;
        }
        for (size_t j = 0; state.out && j < size; j++)
            state.out[(size_t)b * state.stride + j] = scratch[j];
    }
}

/* One unit backwards: from dh and the gradients of c and n to those of the pre-activations (in place of the
 * gates). The slopes of n and o contain h, and the package takes the clipped one. */
static void slstm_unit_bwd(real *g[4], const real *tape, size_t D, real dh, real h, real c_old, real n_old,
                           real *dc, real *dn) {
    real i = *g[0], f = *g[1], z = *g[2], o = *g[3], slope = tape[0], n = tape[2 * D];
    *dc += dh * o / n;
    *dn -= dh * h / n;
    *g[0] = (*dc * z + *dn) * i;
    *g[1] = (*dc * c_old + *dn * n_old) * f * slope;
    *g[2] = *dc * i * (1 - z * z);
    *g[3] = dh * h * (1 - o);
    *dc *= f;
    *dn *= f;
}

static void lstm_unit_bwd(real *g[4], const real *tape, size_t D, real dh, real c_old, real *dc) {
    real i = *g[0], f = *g[1], z = *g[2], o = *g[3], th = tape[2 * D];
    *dc += dh * o * (1 - th * th);
    *g[0] = *dc * z * i * (1 - i);
    *g[1] = *dc * c_old * f * (1 - f);
    *g[2] = *dc * i * (1 - z * z);
    *g[3] = dh * th * o * (1 - o);
    *dc *= f;
}

typedef struct {
    const real *h, *c, *n; /* before the token; NULL: zero */
} before;

static before state_before(xl_view h, const real *tape, xl_rnn d, xl_seq seq, xl_state state, int b, int t) {
    size_t D = (size_t)(d.H * d.dh), n = (size_t)b * (size_t)seq.T + (size_t)t;
    if (is_reset(seq, b, t))
        return (before){0};
    if (t > 0)
        return (before){h.p + (n - 1) * h.ld, tape + (n - 1) * 3 * D + D, tape + (n - 1) * 3 * D + 2 * D};
    if (!state.in)
        return (before){0};
    const real *s = state.in + (size_t)b * state.stride;
    return (before){s, s + D, d.lstm ? NULL : s + 2 * D};
}

/* dR += d(pre-activations) h_old', dh_old = R' d(pre-activations). */
static void recurrent_bwd(const real *dg, real *dR, real *dh_old, const real *R, const real *h_old,
                          xl_rnn d) {
    for (int j = 0; j < d.H * d.dh; j++)
        dh_old[j] = 0;
    for (int head = 0; head < d.H; head++)
        for (int o = 0; o < 4 * d.dh; o++) {
            size_t at = (size_t)(head * 4 * d.dh + o);
            for (int e = 0; e < d.dh; e++) {
                if (h_old)
                    dR[at * (size_t)d.dh + (size_t)e] += dg[at] * h_old[head * d.dh + e];
                if (!d.cut)
                    dh_old[head * d.dh + e] += dg[at] * R[at * (size_t)d.dh + (size_t)e];
            }
        }
}

static void step_bwd(real *gates, real *dbias, const real *dh, real *carried, const real *h, const real *tape,
                     before old, xl_rnn d) {
    int D = d.H * d.dh;
    real *dh_next = carried, *dc = carried + D, *dn = carried + 2 * D;
    for (int j = 0; j < D; j++) {
        real *g[4], dhj = dh[j] + clipped(dh_next[j], d.clip_bwd), c_old = old.c ? old.c[j] : 0,
                    n_old = old.n ? old.n[j] : 0;
        for (int slot = 0; slot < 4; slot++)
            g[slot] = gates + gate_at(d, j, slot);
        if (d.lstm)
            lstm_unit_bwd(g, tape + j, (size_t)D, dhj, c_old, &dc[j]);
        else
            slstm_unit_bwd(g, tape + j, (size_t)D, dhj, h[j], c_old, n_old, &dc[j], &dn[j]);
        for (int slot = 0; dbias && slot < 4; slot++)
            dbias[slot * D + j] += *g[slot];
    }
}

void xl_ref_rnn_bwd(real *gates, real *dR, real *dbias, xl_view dh, xl_view h, const real *tape,
                    const real *R, xl_rnn d, xl_seq seq, xl_state state, real *scratch) {
    size_t D = (size_t)(d.H * d.dh);
    for (int b = 0; b < seq.B; b++) {
        int length = seq.lengths ? seq.lengths[b] : seq.T;
        for (size_t j = 0; j < 3 * D; j++)
            scratch[j] = 0;
        for (int t = seq.T - 1; t >= 0; t--) {
            size_t n = (size_t)b * (size_t)seq.T + (size_t)t;
            for (size_t j = 0; t >= length && j < 4 * D; j++)
                gates[n * 4 * D + j] = 0;
            if (t >= length)
                continue;
            before old = state_before(h, tape, d, seq, state, b, t);
            step_bwd(gates + n * 4 * D, dbias, dh.p + n * dh.ld, scratch, h.p + n * h.ld, tape + n * 3 * D,
                     old, d);
            recurrent_bwd(gates + n * 4 * D, dR, scratch, R, old.h, d);
            for (size_t j = 0; is_reset(seq, b, t) && j < 3 * D; j++)
                scratch[j] = 0;
        }
    }
}
