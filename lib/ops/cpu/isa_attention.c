/* Attention: streams are tasks. What has time in it but no product is the reference's code on one stream. */
#include "ops/cpu/cpu.h"

typedef struct {
    xl_view y, q, k, v, dy, dq, dk, dv;
    float *lse;
    xl_attention d;
    xl_seq seq;
    xl_state state;
    int H, sign;
} job;

static xl_view stream(xl_view v, xl_seq s, int b) {
    return xl_some(v, b * s.T, s.T);
}

static xl_seq one(xl_seq s, int b) {
    return (xl_seq){1, s.T, s.lengths ? s.lengths + b : NULL,
                    s.resets ? s.resets + (size_t)b * (size_t)s.T : NULL};
}

static xl_state state_of(xl_state s, int b) {
    size_t at = (size_t)b * s.stride;
    return (xl_state){s.in ? s.in + at : NULL, s.out ? s.out + at : NULL, s.stride};
}

static void rope_stream(void *context, int b, int thread) {
    const job *j = context;
    (void)thread;
    xl_ref_rope(stream(j->q, j->seq, b), j->H, j->sign, one(j->seq, b), state_of(j->state, b));
}

static void rope(xl_view x, int H, int sign, xl_seq seq, xl_state state) {
    job j = {.q = x, .H = H, .sign = sign, .seq = seq, .state = state};
    xl_parallel(seq.B, rope_stream, &j);
}

static void attend_stream(void *context, int b, int thread) {
    const job *j = context;
    size_t first = (size_t)b * (size_t)j->seq.T * (size_t)j->d.H;
    (void)thread;
    xl_ref_attention(stream(j->y, j->seq, b), j->lse ? j->lse + first : NULL, stream(j->q, j->seq, b),
                     stream(j->k, j->seq, b), stream(j->v, j->seq, b), j->d, one(j->seq, b),
                     state_of(j->state, b), NULL);
}

static void attention(xl_view y, float *lse, xl_view q, xl_view k, xl_view v, xl_attention d, xl_seq seq,
                      xl_state state, float *scratch) {
    job j = {.y = y, .lse = lse, .q = q, .k = k, .v = v, .d = d, .seq = seq, .state = state};
    (void)scratch;
    xl_parallel(seq.B, attend_stream, &j);
}

static void attend_stream_bwd(void *context, int b, int thread) {
    const job *j = context;
    xl_seq s = j->seq;
    (void)thread;
    xl_ref_attention_bwd(stream(j->dq, s, b), stream(j->dk, s, b), stream(j->dv, s, b), stream(j->dy, s, b),
                         stream(j->y, s, b), j->lse + (size_t)b * (size_t)s.T * (size_t)j->d.H,
                         stream(j->q, s, b), stream(j->k, s, b), stream(j->v, s, b), j->d, one(s, b), NULL);
}

static void attention_bwd(xl_view dq, xl_view dk, xl_view dv, xl_view dy, xl_view y, const float *lse,
                          xl_view q, xl_view k, xl_view v, xl_attention d, xl_seq seq, float *scratch) {
    job j = {.y = y,
             .lse = (float *)(uintptr_t)lse,
             .q = q,
             .k = k,
             .v = v,
             .dy = dy,
             .dq = dq,
             .dk = dk,
             .dv = dv,
             .d = d,
             .seq = seq};
    (void)scratch;
    xl_parallel(seq.B, attend_stream_bwd, &j);
}

void XL_ISA_NAME(xl_install_attention)(xl_ops *t) {
    t->rope = rope;
    t->attention = attention;
    t->attention_bwd = attention_bwd;
}
