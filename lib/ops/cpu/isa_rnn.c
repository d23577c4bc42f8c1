/* sLSTM and LSTM: at each token one small product per head over all streams, then the gates' mathematics in
 * vectors. Heads of the sLSTM do not see each other and are tasks; an LSTM has one, whose product is then cut
 * into columns. */
#include "ops/cpu/cpu.h"
#include "ops/cpu/vec.h"

typedef struct {
    xl_view h, dh;
    float *gates, *tape, *dR, *dbias;
    const float *R, *bias;
    xl_rnn d;
    xl_seq seq;
    xl_state state;
    float *s;       /* [4, B, D]: h, c, n, m; backward: dh, dc, dn */
    float *shifted; /* [N, D] */
} run;

static int alive(const run *r, int b, int t) {
    return !r->seq.lengths || t < r->seq.lengths[b];
}

static int is_reset(const run *r, int b, int t) {
    return r->seq.resets && r->seq.resets[(size_t)b * (size_t)r->seq.T + (size_t)t];
}

/* Part k of the working state of stream b, at the first unit of a head. */
static float *part(const run *r, int k, int b, int head) {
    size_t D = (size_t)(r->d.H * r->d.dh);
    return r->s + ((size_t)k * (size_t)r->seq.B + (size_t)b) * D + (size_t)(head * r->d.dh);
}

static inline float clipped(float x, float bound) { /* NaN stays NaN */
    return x > bound ? bound : x < -bound ? -bound : x;
}

static void slstm_units(float *g, float *h, float *c, float *n, float *m, float *tape, size_t D, int dh,
                        float bound) {
    float *gi = g, *gf = g + dh, *gz = g + 2 * dh, *go = g + 3 * dh;
    for (int e = 0; e < dh; e++) {
        m[e] = n[e] == 0 ? -INFINITY : m[e];
    }
    for (int e = 0; e < dh; e++) {
        float slope = vec_sigmoid(-gf[e]);
        float logf = vec_log_sigmoid(gf[e]) + m[e], top = logf > gi[e] ? logf : gi[e];
        float i = vec_exp(gi[e] - top), f = vec_exp(logf - top), z = vec_tanh(gz[e]), o = vec_sigmoid(go[e]);
        c[e] = f * c[e] + i * z;
        n[e] = f * n[e] + i;
        m[e] = top;
        h[e] = clipped(o * c[e] / n[e], bound);
        gi[e] = i, gf[e] = f, gz[e] = z, go[e] = o;
        if (tape)
            tape[e] = slope, tape[D + (size_t)e] = c[e], tape[2 * D + (size_t)e] = n[e];
    }
}

static void lstm_units(float *g, float *h, float *c, float *tape, size_t D, int dh, float bound) {
    float *gi = g, *gf = g + dh, *gz = g + 2 * dh, *go = g + 3 * dh;
    for (int e = 0; e < dh; e++) {
        float i = vec_sigmoid(gi[e]), f = vec_sigmoid(gf[e]), z = vec_tanh(gz[e]), o = vec_sigmoid(go[e]);
        c[e] = f * c[e] + i * z;
        float th = vec_tanh(c[e]);
        h[e] = clipped(o * th, bound);
        gi[e] = i, gf[e] = f, gz[e] = z, go[e] = o;
        if (tape)
            tape[e] = 0, tape[D + (size_t)e] = c[e], tape[2 * D + (size_t)e] = th;
    }
}

static void units(const run *r, int b, int t, int head) {
    size_t D = (size_t)(r->d.H * r->d.dh), n = (size_t)b * (size_t)r->seq.T + (size_t)t, dh = (size_t)r->d.dh;
    float *g = r->gates + n * 4 * D + (size_t)head * 4 * dh, *h = r->h.p + n * r->h.ld + (size_t)head * dh;
    float *tape = r->tape ? r->tape + n * 3 * D + (size_t)head * dh : NULL, bound = xl_rnn_bound(r->d.clip);
    for (size_t slot = 0; r->bias && slot < 4; slot++)
        for (size_t e = 0; e < dh; e++)
            g[slot * dh + e] += r->bias[slot * D + (size_t)head * dh + e];
    if (r->d.lstm)
        lstm_units(g, h, part(r, 1, b, head), tape, D, r->d.dh, bound);
    else
        slstm_units(g, h, part(r, 1, b, head), part(r, 2, b, head), part(r, 3, b, head), tape, D, r->d.dh,
                    bound);
    memcpy(part(r, 0, b, head), h, dh * sizeof *h);
}

static void clear_state(const run *r, int b, int head) {
    for (int k = 0; k < (r->d.lstm ? 2 : 4); k++)
        memset(part(r, k, b, head), 0, (size_t)r->d.dh * sizeof(float));
}

static void forward_head(void *context, int head, int thread) {
    const run *r = context;
    int B = r->seq.B, T = r->seq.T, dh = r->d.dh;
    size_t D = (size_t)(r->d.H * dh);
    (void)thread;
    for (int t = 0; t < T; t++) {
        for (int b = 0; b < B; b++)
            if (alive(r, b, t) && is_reset(r, b, t))
                clear_state(r, b, head);
        /* rows of padding are multiplied too; their gates are never read */
        xl_gemm(0, 1, B, 4 * dh, dh, 1, part(r, 0, 0, head), D,
                r->R + (size_t)head * 4 * (size_t)dh * (size_t)dh, (size_t)dh, 1,
                r->gates + (size_t)t * 4 * D + (size_t)(head * 4 * dh), (size_t)T * 4 * D);
        for (int b = 0; b < B; b++)
            if (alive(r, b, t))
                units(r, b, t, head);
            else
                memset(r->h.p + ((size_t)b * (size_t)T + (size_t)t) * r->h.ld + (size_t)(head * dh), 0,
                       (size_t)dh * sizeof(float));
    }
}

static void move_state(const run *r, int out) {
    size_t D = (size_t)(r->d.H * r->d.dh);
    for (int b = 0; b < r->seq.B; b++)
        for (int k = 0; k < (r->d.lstm ? 2 : 4); k++) {
            size_t at = (size_t)b * r->state.stride + (size_t)k * D;
            if (out)
                memcpy(r->state.out + at, part(r, k, b, 0), D * sizeof(float));
            else if (r->state.in)
                memcpy(part(r, k, b, 0), r->state.in + at, D * sizeof(float));
            else
                memset(part(r, k, b, 0), 0, D * sizeof(float));
        }
}

static void rnn(xl_view h, float *gates, float *tape, const float *R, const float *bias, xl_rnn d, xl_seq seq,
                xl_state state, float *scratch) {
    run r = {.h = h,
             .gates = gates,
             .tape = tape,
             .R = R,
             .bias = bias,
             .d = d,
             .seq = seq,
             .state = state,
             .s = scratch};
    move_state(&r, 0);
    xl_parallel(d.H, forward_head, &r);
    if (state.out)
        move_state(&r, 1);
}

/* ---- backward
 * -------------------------------------------------------------------------------------------------- */

/* h is the clipped one, also where the slopes of n and o contain it, as in the package. */
static void slstm_units_bwd(float *g, const float *h, const float *tape, size_t D, int dh, const float *dy,
                            const float *dhn, float *dc, float *dn, const float *c_old, const float *n_old,
                            float bound, float held) {
    float *gi = g, *gf = g + dh, *gz = g + 2 * dh, *go = g + 3 * dh;
    for (int e = 0; e < dh; e++) {
        float i = gi[e], f = gf[e], z = gz[e], o = go[e], slope = tape[e];
        float inv = 1 / tape[2 * D + (size_t)e], d = dy[e] + clipped(dhn[e], bound);
        float c0 = c_old ? c_old[e] : 0, n0 = n_old ? n_old[e] : 0, now = d * o * inv;
        float mean =
            fabsf(h[e]) < held ? tape[D + (size_t)e] * inv : h[e] / o; /* c / n, as far as h shows it */
        float dce = dc[e] + now, dne = dn[e] - now * mean;
        gi[e] = (now * (z - mean) + (dc[e] * z + dn[e])) * i; /* differences first: they can be small */
        gf[e] = (now * (c0 - mean * n0) + (dc[e] * c0 + dn[e] * n0)) * f * slope;
        gz[e] = dce * i * (1 - z * z);
        go[e] = d * h[e] * (1 - o);
        dc[e] = dce * f;
        dn[e] = dne * f;
    }
}

static void lstm_units_bwd(float *g, const float *tape, size_t D, int dh, const float *dy, const float *dhn,
                           float *dc, const float *c_old, float bound) {
    float *gi = g, *gf = g + dh, *gz = g + 2 * dh, *go = g + 3 * dh;
    for (int e = 0; e < dh; e++) {
        float i = gi[e], f = gf[e], z = gz[e], o = go[e], th = tape[2 * D + (size_t)e];
        float d = dy[e] + clipped(dhn[e], bound);
        float dce = dc[e] + d * o * (1 - th * th);
        gi[e] = dce * z * i * (1 - i);
        gf[e] = dce * (c_old ? c_old[e] : 0) * f * (1 - f);
        gz[e] = dce * i * (1 - z * z);
        go[e] = d * th * o * (1 - o);
        dc[e] = dce * f;
    }
}

static void units_bwd(const run *r, int b, int t, int head) {
    size_t D = (size_t)(r->d.H * r->d.dh), n = (size_t)b * (size_t)r->seq.T + (size_t)t,
           at = (size_t)(head * r->d.dh);
    float *g = r->gates + n * 4 * D + 4 * at;
    const float *tape = r->tape + n * 3 * D + at, *dy = r->dh.p + n * r->dh.ld + at, *c_old = NULL,
                *n_old = NULL;
    const float bound = xl_rnn_bound(r->d.clip_bwd);
    if (!is_reset(r, b, t) && t > 0) {
        c_old = tape - 3 * D + D;
        n_old = tape - 3 * D + 2 * D;
    } else if (!is_reset(r, b, t) && r->state.in) {
        c_old = r->state.in + (size_t)b * r->state.stride + D + at;
        n_old = r->d.lstm ? NULL : c_old + D;
    }
    if (r->d.lstm)
        lstm_units_bwd(g, tape, D, r->d.dh, dy, part(r, 0, b, head), part(r, 1, b, head), c_old, bound);
    else
        slstm_units_bwd(g, r->h.p + n * r->h.ld + at, tape, D, r->d.dh, dy, part(r, 0, b, head),
                        part(r, 1, b, head), part(r, 2, b, head), c_old, n_old, bound,
                        xl_rnn_bound(r->d.clip));
}

/* h of the token before, which the recurrent product saw: one matrix, so that dR is one product. */
static void shift(const run *r, int b, int head) {
    size_t D = (size_t)(r->d.H * r->d.dh), T = (size_t)r->seq.T, at = (size_t)(head * r->d.dh);
    for (size_t t = 0; t < T; t++) {
        float *to = r->shifted + ((size_t)b * T + t) * D + at;
        const float *from = t > 0         ? r->h.p + ((size_t)b * T + t - 1) * r->h.ld + at
                            : r->state.in ? r->state.in + (size_t)b * r->state.stride + at
                                          : NULL;
        if (from && alive(r, b, (int)t) && !is_reset(r, b, (int)t))
            memcpy(to, from, (size_t)r->d.dh * sizeof *to);
        else
            memset(to, 0, (size_t)r->d.dh * sizeof *to);
    }
}

static void gates_bwd(const run *r, int b, int t, int head) {
    size_t D = (size_t)(r->d.H * r->d.dh), n = (size_t)b * (size_t)r->seq.T + (size_t)t, dh = (size_t)r->d.dh;
    float *g = r->gates + n * 4 * D + (size_t)head * 4 * dh;
    if (!alive(r, b, t)) {
        memset(g, 0, 4 * dh * sizeof *g);
        return;
    }
    units_bwd(r, b, t, head);
    for (size_t slot = 0; r->dbias && slot < 4; slot++)
        for (size_t e = 0; e < dh; e++)
            r->dbias[slot * D + (size_t)head * dh + e] += g[slot * dh + e];
}

static void backward_head(void *context, int head, int thread) {
    const run *r = context;
    int B = r->seq.B, T = r->seq.T, dh = r->d.dh;
    size_t D = (size_t)(r->d.H * dh);
    const float *R = r->R + (size_t)head * 4 * (size_t)dh * (size_t)dh;
    (void)thread;
    for (int b = 0; b < B; b++) {
        for (int k = 0; k < 3; k++)
            memset(part(r, k, b, head), 0, (size_t)dh * sizeof(float));
        shift(r, b, head);
    }
    for (int t = T - 1; t >= 0; t--) {
        for (int b = 0; b < B; b++)
            gates_bwd(r, b, t, head);
        if (!r->d.cut)
            xl_gemm(0, 0, B, dh, 4 * dh, 1, r->gates + (size_t)t * 4 * D + (size_t)(head * 4 * dh),
                    (size_t)T * 4 * D, R, (size_t)dh, 0, part(r, 0, 0, head), D);
        for (int b = 0; b < B; b++)
            for (int k = 0; is_reset(r, b, t) && k < 3; k++)
                memset(part(r, k, b, head), 0, (size_t)dh * sizeof(float));
    }
    xl_gemm(1, 0, 4 * dh, dh, B * T, 1, r->gates + (size_t)(head * 4 * dh), 4 * D,
            r->shifted + (size_t)(head * dh), D, 1, r->dR + (size_t)head * 4 * (size_t)dh * (size_t)dh,
            (size_t)dh);
}

static void rnn_bwd(float *gates, float *dR, float *dbias, xl_view dh, xl_view h, const float *tape,
                    const float *R, xl_rnn d, xl_seq seq, xl_state state, float *scratch) {
    size_t D = (size_t)(d.H * d.dh);
    run r = {.h = h,
             .dh = dh,
             .gates = gates,
             .tape = (float *)(uintptr_t)tape,
             .dR = dR,
             .dbias = dbias,
             .R = R,
             .d = d,
             .seq = seq,
             .state = state,
             .s = scratch,
             .shifted = scratch + 4 * (size_t)seq.B * D};
    xl_parallel(d.H, backward_head, &r);
}

void XL_ISA_NAME(xl_install_rnn)(xl_ops *t) {
    t->rnn = rnn;
    t->rnn_bwd = rnn_bwd;
}
