/* isa_gates.c - what one number of an output needs of the numbers in its place: activations, gates, the soft
 * cap. All reads of a place come before its first write, so gradients may lie on their inputs. */
#include "ops/cpu/cpu.h"
#include "ops/cpu/pieces.h"
#include "ops/cpu/vec.h"

#define INLINE static inline __attribute__((always_inline))

/* ---- glu ---- */

/* An activation and its slope at x. The kind is a constant where this is inlined. */
INLINE float activation(float x, float *slope, xl_act act) {
    const float scale = 1.0507009873554805f, alpha = 1.6732632423543773f; /* of selu */
    float s, density;
    switch (act) {
    case XL_GELU:
        s = vec_normal(x, &density);
        *slope = s + x * density;
        return x * s;
    case XL_RELU:
        *slope = x > 0 ? 1 : x < 0 ? 0 : x; /* NaN stays NaN, here and below */
        return x < 0 ? 0 : x;
    case XL_RELU2:
        *slope = x < 0 ? 0 : 2 * x;
        return x < 0 ? 0 : x * x;
    case XL_SIGMOID:
        s = vec_sigmoid(x);
        *slope = s * (1 - s);
        return s;
    case XL_SILU:
        s = vec_sigmoid(x);
        *slope = s + x * s * (1 - s);
        return x * s;
    case XL_TANH:
        s = vec_tanh(x);
        *slope = 1 - s * s;
        return s;
    case XL_SELU:
        break;
    }
    *slope = scale * (x > 0 ? 1 : alpha * vec_exp(x));
    return scale * (x > 0 ? x : alpha * vec_expm1(x > 0 ? 0 : x));
}

/* Calls `rows` with the kind as a constant. */
#define WITH_ACT(act, rows, ...)                                                                             \
    switch (act) {                                                                                           \
    case XL_GELU:                                                                                            \
        rows(__VA_ARGS__, XL_GELU);                                                                          \
        break;                                                                                               \
    case XL_RELU:                                                                                            \
        rows(__VA_ARGS__, XL_RELU);                                                                          \
        break;                                                                                               \
    case XL_RELU2:                                                                                           \
        rows(__VA_ARGS__, XL_RELU2);                                                                         \
        break;                                                                                               \
    case XL_SIGMOID:                                                                                         \
        rows(__VA_ARGS__, XL_SIGMOID);                                                                       \
        break;                                                                                               \
    case XL_SILU:                                                                                            \
        rows(__VA_ARGS__, XL_SILU);                                                                          \
        break;                                                                                               \
    case XL_SELU:                                                                                            \
        rows(__VA_ARGS__, XL_SELU);                                                                          \
        break;                                                                                               \
    case XL_TANH:                                                                                            \
        rows(__VA_ARGS__, XL_TANH);                                                                          \
        break;                                                                                               \
    }

typedef struct {
    xl_view y, g, u;
    xl_act act;
} glu_job;

INLINE void glu_with(const glu_job *j, ptrdiff_t from, ptrdiff_t to, xl_act act) {
    for (ptrdiff_t n = from; n < to; n++) {
        float *y = xl_row(j->y, n), unused;
        const float *g = xl_row(j->g, n), *u = xl_row(j->u, n);
#pragma omp simd private(unused)
        for (int i = 0; i < j->y.cols; i++)
            y[i] = activation(g[i], &unused, act) * u[i];
    }
}

static void glu_rows(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const glu_job *j = job;
    WITH_ACT(j->act, glu_with, j, from, to)
}

static void glu(xl_view y, xl_view g, xl_view u, xl_act act) {
    by_rows(y, glu_rows, &(glu_job){y, g, u, act});
}

typedef struct {
    xl_view dg, du, dy, g, u;
    xl_act act;
} glu_bwd_job;

INLINE void glu_bwd_with(const glu_bwd_job *j, ptrdiff_t from, ptrdiff_t to, xl_act act) {
    for (ptrdiff_t n = from; n < to; n++) {
        float *dg = xl_row(j->dg, n), *du = xl_row(j->du, n);
        const float *dy = xl_row(j->dy, n), *g = xl_row(j->g, n), *u = xl_row(j->u, n);
#pragma omp simd
        for (int i = 0; i < j->dg.cols; i++) {
            float slope, value = activation(g[i], &slope, act), d = dy[i], ui = u[i];
            dg[i] = d * ui * slope;
            du[i] = d * value;
        }
    }
}

static void glu_bwd_rows(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const glu_bwd_job *j = job;
    WITH_ACT(j->act, glu_bwd_with, j, from, to)
}

static void glu_bwd(xl_view dg, xl_view du, xl_view dy, xl_view g, xl_view u, xl_act act) {
    by_rows(dg, glu_bwd_rows, &(glu_bwd_job){dg, du, dy, g, u, act});
}

/* ---- without a gate ---- */

typedef struct {
    xl_view y, x;
    xl_act act;
} act_job;

INLINE void act_with(const act_job *j, ptrdiff_t from, ptrdiff_t to, xl_act act) {
    for (ptrdiff_t n = from; n < to; n++) {
        float *y = xl_row(j->y, n), unused;
        const float *x = xl_row(j->x, n);
#pragma omp simd private(unused)
        for (int i = 0; i < j->y.cols; i++)
            y[i] = activation(x[i], &unused, act);
    }
}

static void act_rows(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const act_job *j = job;
    WITH_ACT(j->act, act_with, j, from, to)
}

static void act(xl_view y, xl_view x, xl_act act) {
    by_rows(y, act_rows, &(act_job){y, x, act});
}

typedef struct {
    xl_view dx, dy, x;
    xl_act act;
} act_bwd_job;

INLINE void act_bwd_with(const act_bwd_job *j, ptrdiff_t from, ptrdiff_t to, xl_act act) {
    for (ptrdiff_t n = from; n < to; n++) {
        float *dx = xl_row(j->dx, n);
        const float *dy = xl_row(j->dy, n), *x = xl_row(j->x, n);
#pragma omp simd
        for (int i = 0; i < j->dx.cols; i++) {
            float slope;
            activation(x[i], &slope, act);
            dx[i] = dy[i] * slope;
        }
    }
}

static void act_bwd_rows(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const act_bwd_job *j = job;
    WITH_ACT(j->act, act_bwd_with, j, from, to)
}

static void act_bwd(xl_view dx, xl_view dy, xl_view x, xl_act act) {
    by_rows(dx, act_bwd_rows, &(act_bwd_job){dx, dy, x, act});
}

/* ---- skip_gate ---- */

typedef struct {
    xl_view y, h, c, z;
    const float *skip;
} skip_gate_job;

static void skip_gate_rows(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const skip_gate_job *j = job;
    const float *skip = j->skip;
    for (ptrdiff_t n = from; n < to; n++) {
        float *y = xl_row(j->y, n);
        const float *h = xl_row(j->h, n), *c = xl_row(j->c, n), *z = xl_row(j->z, n);
        for (int i = 0; i < j->y.cols; i++)
            y[i] = (h[i] + skip[i] * c[i]) * z[i] * vec_sigmoid(z[i]);
    }
}

static void skip_gate(xl_view y, xl_view h, xl_view c, xl_view z, const float *skip) {
    by_rows(y, skip_gate_rows, &(skip_gate_job){y, h, c, z, skip});
}

typedef struct {
    xl_view dh, dc, dz;
    float *dskip;
    xl_view dy, h, c, z;
    const float *skip;
} skip_gate_bwd_job;

/* With s = sigmoid(z): dh = dy z s, dc = dh skip, dskip += dh c, dz = dy (h + skip c) (s + z s (1 - s)) */
static void skip_gate_bwd_columns(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const skip_gate_bwd_job *j = job;
    float *dskip = j->dskip;
    const float *skip = j->skip;
    for (ptrdiff_t n = 0; n < j->dh.rows; n++) {
        float *dh = xl_row(j->dh, n), *dc = xl_row(j->dc, n), *dz = xl_row(j->dz, n);
        const float *dy = xl_row(j->dy, n), *h = xl_row(j->h, n), *c = xl_row(j->c, n), *z = xl_row(j->z, n);
#pragma omp simd
        for (ptrdiff_t i = from; i < to; i++) {
            float s = vec_sigmoid(z[i]), inner = dy[i] * z[i] * s;
            dh[i] = inner;
            dc[i] = inner * skip[i];
            dskip[i] += inner * c[i];
            dz[i] = dy[i] * (h[i] + skip[i] * c[i]) * (s + z[i] * s * (1 - s));
        }
    }
}

static void skip_gate_bwd(xl_view dh, xl_view dc, xl_view dz, float *dskip, xl_view dy, xl_view h, xl_view c,
                          xl_view z, const float *skip) {
    by_columns(dh, skip_gate_bwd_columns, &(skip_gate_bwd_job){dh, dc, dz, dskip, dy, h, c, z, skip});
}

/* ---- softcap ---- */

typedef struct {
    xl_view y, x;
    float cap;
} softcap_job;

static void softcap_rows(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const softcap_job *j = job;
    float cap = j->cap;
    for (ptrdiff_t n = from; n < to; n++) {
        float *y = xl_row(j->y, n);
        const float *x = xl_row(j->x, n);
#pragma omp simd
        for (int i = 0; i < j->y.cols; i++)
            y[i] = cap * vec_tanh(x[i] / cap);
    }
}

static void softcap(xl_view y, xl_view x, float cap) {
    by_rows(y, softcap_rows, &(softcap_job){y, x, cap});
}

typedef struct {
    xl_view dx, dy, y;
    float cap;
} softcap_bwd_job;

static void softcap_bwd_rows(const void *job, ptrdiff_t from, ptrdiff_t to) {
    const softcap_bwd_job *j = job;
    float cap = j->cap;
    for (ptrdiff_t n = from; n < to; n++) {
        float *dx = xl_row(j->dx, n);
        const float *dy = xl_row(j->dy, n), *y = xl_row(j->y, n);
#pragma omp simd
        for (int i = 0; i < j->dx.cols; i++) {
            float s = y[i] / cap;
            dx[i] = dy[i] * (1 - s * s);
        }
    }
}

static void softcap_bwd(xl_view dx, xl_view dy, xl_view y, float cap) {
    by_rows(dx, softcap_bwd_rows, &(softcap_bwd_job){dx, dy, y, cap});
}

void XL_ISA_NAME(xl_install_gates)(xl_ops *t) {
    t->glu = glu;
    t->glu_bwd = glu_bwd;
    t->act = act;
    t->act_bwd = act_bwd;
    t->skip_gate = skip_gate;
    t->skip_gate_bwd = skip_gate_bwd;
    t->softcap = softcap;
    t->softcap_bwd = softcap_bwd;
}
