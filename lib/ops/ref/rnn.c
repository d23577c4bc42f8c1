/* rnn.c - the cells that see their own output: sLSTM and LSTM, token by token, and back-propagation through
 * time. docs/math/slstm.md, docs/math/lstm.md
 *
 * h [N, D], D = H dh. A head sees its own dh numbers of h only: R [H, 4 dh, dh] is block-diagonal.
 *
 *     gates, row of a token: | head 0: i dh, f dh, z dh, o dh | head 1 | ... |
 *     bias:                  | i D | f D | z D | o D |
 *     tape, of a token:      sLSTM | sigm(-f~) D | c D | n D |        LSTM | unused D | c D | tanh(c) D |
 *     state, of a stream:    sLSTM | h D | c D | n D | m D |          LSTM | h D | c D | */
#include "ops/ref/helpers.h"

enum { I_GATE, F_GATE, Z_GATE, O_GATE, SLOTS };

static real clipped(real x, real clip) { /* NaN stays NaN */
    real bound = xl_rnn_bound(clip);
    return x > bound ? bound : x < -bound ? -bound : x;
}

static int states(xl_rnn d) {
    return d.lstm ? 2 : 4;
}

/* Where unit j = head dh + e finds its four gates in a token's row. */
static void gates_of(real *g[SLOTS], real *gates, xl_rnn d, int j) {
    for (int slot = 0; slot < SLOTS; slot++)
        g[slot] = gates + (j / d.dh * SLOTS + slot) * d.dh + j % d.dh;
}

/* A token's place on the tape, from which unit j has its three numbers at j, D + j and 2 D + j. */
static ptrdiff_t tape_at(xl_rnn d, ptrdiff_t n) {
    return n * 3 * d.H * d.dh;
}

/* ---- forward ---- */

/* The sLSTM (xLSTM paper, arXiv 2405.04517, equations 8 to 17; the recurrent part of equations 11 to 14 is
 * the caller's). x~ are pre-activations, f is the sigmoid's:
 *
 *     m = max(i~, log sigm(f~) + m_old)        the stabiliser: c and n are kept times exp(-m)
 *     i' = exp(i~ - m)        f' = exp(log sigm(f~) + m_old - m)        z = tanh(z~)        o = sigm(o~)
 *     c = f' c_old + i' z        n = f' n_old + i'        h = o c / n
 *
 * n == 0 says that nothing was seen yet: then m is i~ and f' is 0, so that a state of zeros needs no
 * infinity. Replaces the pre-activations by i', f', z, o. s = {h, c, n, m}. */
static void slstm_unit(real *g[SLOTS], real s[4], real *tape, int D) {
    real logf = log_sigmoid(*g[F_GATE]) + s[3];
    real m = s[2] == 0 ? *g[I_GATE] : fmax(*g[I_GATE], logf);
    real i = exp(*g[I_GATE] - m), f = s[2] == 0 ? 0 : exp(logf - m), z = tanh(*g[Z_GATE]),
         o = sigmoid(*g[O_GATE]);
    real forget_slope = sigmoid(-*g[F_GATE]);
    s[1] = f * s[1] + i * z;
    s[2] = f * s[2] + i;
    s[3] = m;
    s[0] = o * s[1] / s[2];
    *g[I_GATE] = i, *g[F_GATE] = f, *g[Z_GATE] = z, *g[O_GATE] = o;
    if (tape)
        tape[0] = forget_slope, tape[D] = s[1], tape[2 * D] = s[2];
}

/* The LSTM (the same paper's equations 2 to 7; PyTorch's nn.LSTM):
 *
 *     i, f, o = sigm(i~, f~, o~)        z = tanh(z~)        c = f c_old + i z        h = o tanh(c) */
static void lstm_unit(real *g[SLOTS], real s[2], real *tape, int D) {
    real i = sigmoid(*g[I_GATE]), f = sigmoid(*g[F_GATE]), z = tanh(*g[Z_GATE]), o = sigmoid(*g[O_GATE]);
    s[1] = f * s[1] + i * z;
    real th = tanh(s[1]);
    s[0] = o * th;
    *g[I_GATE] = i, *g[F_GATE] = f, *g[Z_GATE] = z, *g[O_GATE] = o;
    if (tape)
        tape[0] = 0, tape[D] = s[1], tape[2 * D] = th;
}

/* The recurrent part of all pre-activations: gates += R h. */
static void recurrent_product(real *gates, const xl_matrix *R, const real *h, xl_rnn d) {
    for (int r = 0; r < R->rows; r++)
        gates[r] = dot_row(gates[r], h + r / (SLOTS * d.dh) * d.dh, R, r);
}

/* One token of one stream: gates [H, 4, dh], h [D], state and tape as above. */
static void step(real *gates, real *state, real *h, real *tape, const xl_matrix *R, const real *bias,
                 xl_rnn d) {
    int D = d.H * d.dh;
    recurrent_product(gates, R, state, d);
    for (int j = 0; j < D; j++) {
        real *g[SLOTS], s[4] = {0};
        gates_of(g, gates, d, j);
        for (int slot = 0; slot < SLOTS; slot++)
            *g[slot] += bias ? bias[slot * D + j] : 0;
        for (int k = 0; k < states(d); k++)
            s[k] = state[k * D + j];
        if (d.lstm)
            lstm_unit(g, s, tape ? tape + j : NULL, D);
        else
            slstm_unit(g, s, tape ? tape + j : NULL, D);
        for (int k = 1; k < states(d); k++)
            state[k * D + j] = s[k];
        h[j] = clipped(s[0], d.clip);
    }
    for (int j = 0; j < D; j++) /* only now: every unit has read the old h */
        state[j] = h[j];
}

/* The state of one stream works in scratch, whether it comes from and goes anywhere or not. */
void xl_ref_rnn(xl_view h, xl_view gates, real *tape, xl_matrix R, const real *bias, xl_rnn d, xl_seq seq,
                xl_state state, real *scratch) {
    int size = states(d) * d.H * d.dh;
    for (int b = 0; b < seq.B; b++) {
        const real *in = xl_state_in(state, b);
        real *out = xl_state_out(state, b);
        for (int j = 0; j < size; j++)
            scratch[j] = in ? in[j] : 0;
        for (int t = 0; t < xl_length(seq, b); t++) {
            ptrdiff_t n = xl_token(seq, b, t);
            if (xl_is_reset(seq, b, t))
                xl_ref_fill(scratch, size, 0);
            step(xl_row(gates, n), scratch, xl_row(h, n), tape ? tape + tape_at(d, n) : NULL, &R, bias, d);
        }
        for (int j = 0; out && j < size; j++)
            out[j] = scratch[j];
    }
    xl_ref_clear_padding(h, 0, seq);
}

/* ---- backward ---- */

/* One unit of the sLSTM. In: the gates that forward left, dh as everything that read h has it, dc and dn as
 * the token after has them. m cancels in c / n and has no gradient; dc and dn carry the factor exp(m):
 *
 *     dc += dh o / n        dn -= dh h / n                      since d(o c / n)/dn = -o c / n^2 = -h / n
 *     di~ = (dc z + dn) i'                                      exp is its own derivative
 *     df~ = (dc c_old + dn n_old) f' sigm(-f~)                  that of log sigm(f~) is sigm(-f~)
 *     dz~ = dc i' (1 - z^2)        do~ = dh h (1 - o)           since h = sigm(o~) c / n
 *     dc <- f' dc        dn <- f' dn                            for the token before
 *
 * The gradients of the pre-activations replace the gates. The slopes of n and o contain h, and the package
 * takes the clipped one. */
static void slstm_unit_bwd(real *g[SLOTS], const real *tape, int D, real dh, real h, real c_old, real n_old,
                           real *dc, real *dn) {
    real i = *g[I_GATE], f = *g[F_GATE], z = *g[Z_GATE], o = *g[O_GATE], slope = tape[0], n = tape[2 * D];
    *dc += dh * o / n;
    *dn -= dh * h / n;
    *g[I_GATE] = (*dc * z + *dn) * i;
    *g[F_GATE] = (*dc * c_old + *dn * n_old) * f * slope;
    *g[Z_GATE] = *dc * i * (1 - z * z);
    *g[O_GATE] = dh * h * (1 - o);
    *dc *= f;
    *dn *= f;
}

/* One unit of the LSTM, with th = tanh(c):
 *
 *     dc += dh o (1 - th^2)
 *     di~ = dc z i (1 - i)        df~ = dc c_old f (1 - f)        dz~ = dc i (1 - z^2)        do~ = dh th o
 * (1 - o) dc <- f dc */
static void lstm_unit_bwd(real *g[SLOTS], const real *tape, int D, real dh, real c_old, real *dc) {
    real i = *g[I_GATE], f = *g[F_GATE], z = *g[Z_GATE], o = *g[O_GATE], th = tape[2 * D];
    *dc += dh * o * (1 - th * th);
    *g[I_GATE] = *dc * z * i * (1 - i);
    *g[F_GATE] = *dc * c_old * f * (1 - f);
    *g[Z_GATE] = *dc * i * (1 - z * z);
    *g[O_GATE] = dh * th * o * (1 - o);
    *dc *= f;
}

typedef struct {
    const real *h, *c, *n; /* [D] before the token; NULL: zero */
} before;

static before state_before(xl_view h, const real *tape, xl_rnn d, xl_seq seq, xl_state state, int b, int t) {
    int D = d.H * d.dh;
    const real *in = xl_state_in(state, b);
    if (xl_is_reset(seq, b, t) || (t == 0 && !in))
        return (before){0};
    if (t == 0)
        return (before){in, in + D, d.lstm ? NULL : in + 2 * D};
    ptrdiff_t n = xl_token(seq, b, t) - 1;
    const real *old = tape + tape_at(d, n);
    return (before){xl_row(h, n), old + D, old + 2 * D};
}

/* Through the recurrent product, one token's d~ [4 dh] of each head:
 *
 *     dR += d~ h_old'        dh_old = R' d~, or 0 where the recurrence is cut */
static void recurrent_bwd(const real *dgates, real *dR, real *dh_old, const real *R, const real *h_old,
                          xl_rnn d) {
    int rows = SLOTS * d.H * d.dh;
    xl_view r = xl_const_rows(R, rows, d.dh), dr = xl_rows(dR, rows, d.dh);
    xl_ref_fill(dh_old, d.H * d.dh, 0);
    for (int o = 0; o < rows; o++) {
        int head = o / (SLOTS * d.dh);
        if (h_old)
            axpy(xl_row(dr, o), dgates[o], h_old + head * d.dh, d.dh);
        if (!d.cut)
            axpy(dh_old + head * d.dh, dgates[o], xl_row(r, o), d.dh);
    }
}

/* carried: | dh from the token after, through R, D | dc D | dn D | */
static void step_bwd(real *gates, real *dbias, const real *dh, real *carried, const real *h, const real *tape,
                     before old, xl_rnn d) {
    int D = d.H * d.dh;
    real *dh_next = carried, *dc = carried + D, *dn = carried + 2 * D;
    for (int j = 0; j < D; j++) {
        real *g[SLOTS], dhj = dh[j] + clipped(dh_next[j], d.clip_bwd), c_old = old.c ? old.c[j] : 0,
                        n_old = old.n ? old.n[j] : 0;
        gates_of(g, gates, d, j);
        if (d.lstm)
            lstm_unit_bwd(g, tape + j, D, dhj, c_old, &dc[j]);
        else
            slstm_unit_bwd(g, tape + j, D, dhj, h[j], c_old, n_old, &dc[j], &dn[j]);
        for (int slot = 0; dbias && slot < SLOTS; slot++)
            dbias[slot * D + j] += *g[slot];
    }
}

/* From the last token to the first. A reset stops what is carried: the state before it had no part in it. */
void xl_ref_rnn_bwd(xl_view gates, real *dR, real *dbias, xl_view dh, xl_view h, const real *tape,
                    const real *R, xl_rnn d, xl_seq seq, xl_state state, real *scratch) {
    int size = 3 * d.H * d.dh;
    for (int b = 0; b < seq.B; b++) {
        xl_ref_fill(scratch, size, 0);
        for (int t = xl_length(seq, b) - 1; t >= 0; t--) {
            ptrdiff_t n = xl_token(seq, b, t);
            before old = state_before(h, tape, d, seq, state, b, t);
            step_bwd(xl_row(gates, n), dbias, xl_row(dh, n), scratch, xl_row(h, n), tape + tape_at(d, n), old,
                     d);
            recurrent_bwd(xl_row(gates, n), dR, scratch, R, old.h, d);
            if (xl_is_reset(seq, b, t))
                xl_ref_fill(scratch, size, 0);
        }
    }
    xl_ref_clear_padding(gates, 0, seq);
}

/* The state of one stream, or what backward carries. */
uint64_t xl_ref_rnn_scratch(xl_rnn d, xl_seq seq) {
    (void)seq;
    return 4 * (uint64_t)(d.H * d.dh);
}
