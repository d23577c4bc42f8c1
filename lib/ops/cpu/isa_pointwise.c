/* Row-wise operations: rows are cut into fixed pieces for the threads; loops over columns become vectors. */
#include "ops/cpu/cpu.h"
#include "ops/cpu/vec.h"
#include "base/rng.h"
#include <assert.h>

enum { NUMBERS = 1 << 14, SLICE = 1 << 15, WIDE = 64, MOMENTS = 1 << 11, PIECE = 1 << 16, PIECES = 64 };
enum { CONV_ROWS = 64, MAX_TAPS = 64 }; /* a configuration has no more taps */

typedef struct {
    double mean, rstd;
} moments;

typedef struct {
    xl_view v[8];
    const float *a, *b;
    float *da, *db;
    const int32_t *ids;
    float value;
    int K, add, group;
    xl_norm norm;
    xl_seq seq;
    xl_state state;
    uint64_t key;
    moments *moments; /* [rows, groups] */
} job;

static int rows_of(const job *j) {
    int rows = NUMBERS / (j->v[0].cols > 0 ? j->v[0].cols : 1);
    return rows < 1 ? 1 : rows;
}

static void by_rows(job *j, xl_task *task) {
    j->group = rows_of(j);
    xl_parallel((j->v[0].rows + j->group - 1) / j->group, task, j);
}

static float *at(xl_view v, int n) {
    return v.p + (size_t)n * v.ld;
}

#define FOR_ROWS(j, n)                                                                                       \
    for (int n = index * (j)->group; (void)thread, n < (index + 1) * (j)->group && n < (j)->v[0].rows; n++)

/* ---- norm
 * ------------------------------------------------------------------------------------------------------ */

/* Inside a norm all is double: what it divides by can be much smaller than what comes in, and then every
 * rounding before the division grows. */
static double sum_of(const float *x, int n) {
    double s = 0;
#pragma omp simd reduction(+ : s)
    for (int i = 0; i < n; i++)
        s += (double)x[i];
    return s;
}

static moments moments_of(const float *x, int n, const xl_norm *norm) {
    double mean = norm->rms ? 0 : sum_of(x, n) / n, s = 0;
#pragma omp simd reduction(+ : s)
    for (int i = 0; i < n; i++)
        s += ((double)x[i] - mean) * ((double)x[i] - mean);
    return (moments){mean, 1 / sqrt(s / n + (double)norm->eps)};
}

static void norm_rows(void *context, int index, int thread) {
    const job *j = context;
    int W = j->v[0].cols / j->norm.groups;
    double one = j->norm.plus_one ? 1 : 0;
    FOR_ROWS(j, n)
    for (int g = 0; g < j->norm.groups; g++) {
        const float *x = at(j->v[1], n) + g * W, *w = j->a ? j->a + g * W : NULL,
                    *b = j->b ? j->b + g * W : NULL;
        float *y = at(j->v[0], n) + g * W;
        moments m = moments_of(x, W, &j->norm);
#pragma omp simd
        for (int i = 0; i < W; i++)
            y[i] = (float)(((double)x[i] - m.mean) * m.rstd * (w ? (double)w[i] + one : 1) +
                           (b ? (double)b[i] : 0));
    }
}

static void norm(xl_view y, xl_view x, const float *w, const float *b, xl_norm n) {
    job j = {.v = {y, x}, .a = w, .b = b, .norm = n};
    by_rows(&j, norm_rows);
}

/* dx = rstd (d - mean(d) - xhat mean(d xhat)), d = dy w */
static void norm_dx_row(const job *j, float *dx, const float *dy, const float *x, const float *w, int W,
                        moments m) {
    double one = j->norm.plus_one ? 1 : 0, mean_d = 0, mean_dx = 0;
#pragma omp simd reduction(+ : mean_d, mean_dx)
    for (int i = 0; i < W; i++) {
        double d = (double)dy[i] * (w ? (double)w[i] + one : 1);
        mean_d += d;
        mean_dx += d * ((double)x[i] - m.mean) * m.rstd;
    }
    mean_d = j->norm.rms ? 0 : mean_d / W;
    mean_dx /= W;
#pragma omp simd
    for (int i = 0; i < W; i++) {
        double d = (double)dy[i] * (w ? (double)w[i] + one : 1), hat = ((double)x[i] - m.mean) * m.rstd;
        dx[i] = (float)(m.rstd * (d - mean_d - hat * mean_dx) + (j->add ? (double)dx[i] : 0));
    }
}

/* The moments of some rows, and dx from them. */
static void norm_dx_rows(void *context, int index, int thread) {
    const job *j = context;
    int G = j->norm.groups, W = j->v[0].cols / G;
    FOR_ROWS(j, n)
    for (int g = 0; g < G; g++) {
        const float *x = at(j->v[2], n) + g * W;
        moments m = j->moments[n * G + g] = moments_of(x, W, &j->norm);
        norm_dx_row(j, at(j->v[0], n) + g * W, at(j->v[1], n) + g * W, x, j->a ? j->a + g * W : NULL, W, m);
    }
}

static void norm_dw_columns(void *context, int index, int thread) {
    const job *j = context;
    int from = index * WIDE, to = from + WIDE < j->v[0].cols ? from + WIDE : j->v[0].cols;
    int G = j->norm.groups, W = j->v[0].cols / G;
    (void)thread;
    for (int first = from, last; first < to; first = last) { /* columns of one group */
        int g = first / W;
        last = (g + 1) * W < to ? (g + 1) * W : to;
        for (int n = 0; n < j->v[0].rows; n++) {
            const float *dy = at(j->v[1], n), *x = at(j->v[2], n);
            moments m = j->moments[n * G + g];
#pragma omp simd
            for (int i = first; i < last; i++)
                j->da[i] += (float)((double)dy[i] * ((double)x[i] - m.mean) * m.rstd);
#pragma omp simd
            for (int i = first; i < (j->db ? last : first); i++)
                j->db[i] += dy[i];
        }
    }
}

/* Some rows at a time, so that their moments need no memory that grows: dx row by row, then dw column by
 * column. */
static void norm_bwd(xl_view dx, float *dw, float *db, xl_view dy, xl_view x, const float *w, xl_norm n,
                     int add) {
    moments known[MOMENTS];
    if (n.groups > MOMENTS) {
        xl_ref_norm_bwd(dx, dw, db, dy, x, w, n, add);
        return;
    }
    job j = {.a = w, .da = dw, .db = db, .norm = n, .add = add, .moments = known};
    int step = MOMENTS / n.groups;
    for (int from = 0; from < x.rows; from += step) {
        int rows = x.rows - from < step ? x.rows - from : step;
        j.v[0] = xl_some_rows(dx, from, rows), j.v[1] = xl_some_rows(dy, from, rows),
        j.v[2] = xl_some_rows(x, from, rows);
        by_rows(&j, norm_dx_rows);
        if (dw)
            xl_parallel((x.cols + WIDE - 1) / WIDE, norm_dw_columns, &j);
    }
}

/* ---- gates
 * ----------------------------------------------------------------------------------------------------- */

/* An activation and its slope at x. The kind is a constant where this is inlined. */
static inline __attribute__((always_inline)) float activation(float x, float *slope, xl_act act) {
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
    case XL_SELU:
        break;
    }
    *slope = scale * (x > 0 ? 1 : alpha * vec_exp(x));
    return scale * (x > 0 ? x : alpha * vec_expm1(x > 0 ? 0 : x));
}

static inline __attribute__((always_inline)) void glu_row(float *y, const float *g, const float *u, int n,
                                                          xl_act act) {
    float unused;
#pragma omp simd private(unused)
    for (int i = 0; i < n; i++)
        y[i] = activation(g[i], &unused, act) * u[i];
}

/* All reads before the first write: the gradients may lie on their inputs. */
static inline __attribute__((always_inline)) void
glu_bwd_row(float *dg, float *du, const float *dy, const float *g, const float *u, int n, xl_act act) {
#pragma omp simd
    for (int i = 0; i < n; i++) {
        float slope, value = activation(g[i], &slope, act), d = dy[i], ui = u[i];
        dg[i] = d * ui * slope;
        du[i] = d * value;
    }
}

#define GLU(name, act)                                                                                       \
    static void name##_rows(void *context, int index, int thread) {                                          \
        const job *j = context;                                                                              \
        FOR_ROWS(j, n)                                                                                       \
        glu_row(at(j->v[0], n), at(j->v[1], n), at(j->v[2], n), j->v[0].cols, act);                          \
    }                                                                                                        \
    static void name##_bwd_rows(void *context, int index, int thread) {                                      \
        const job *j = context;                                                                              \
        FOR_ROWS(j, n)                                                                                       \
        glu_bwd_row(at(j->v[0], n), at(j->v[1], n), at(j->v[2], n), at(j->v[3], n), at(j->v[4], n),          \
                    j->v[0].cols, act);                                                                      \
    }
GLU(gelu, XL_GELU)
GLU(relu, XL_RELU)
GLU(relu2, XL_RELU2)
GLU(sigmoid, XL_SIGMOID)
GLU(silu, XL_SILU)
GLU(selu, XL_SELU)

static void glu(xl_view y, xl_view g, xl_view u, xl_act act) {
    static xl_task *const tasks[] = {
        [XL_GELU] = gelu_rows,       [XL_RELU] = relu_rows, [XL_RELU2] = relu2_rows,
        [XL_SIGMOID] = sigmoid_rows, [XL_SILU] = silu_rows, [XL_SELU] = selu_rows};
    job j = {.v = {y, g, u}};
    by_rows(&j, tasks[act]);
}

static void glu_bwd(xl_view dg, xl_view du, xl_view dy, xl_view g, xl_view u, xl_act act) {
    static xl_task *const tasks[] = {
        [XL_GELU] = gelu_bwd_rows,       [XL_RELU] = relu_bwd_rows, [XL_RELU2] = relu2_bwd_rows,
        [XL_SIGMOID] = sigmoid_bwd_rows, [XL_SILU] = silu_bwd_rows, [XL_SELU] = selu_bwd_rows};
    job j = {.v = {dg, du, dy, g, u}};
    by_rows(&j, tasks[act]);
}

static void skip_gate_rows(void *context, int index, int thread) {
    const job *j = context;
    FOR_ROWS(j, n) {
        float *y = at(j->v[0], n);
        const float *h = at(j->v[1], n), *c = at(j->v[2], n), *z = at(j->v[3], n), *skip = j->a;
        for (int i = 0; i < j->v[0].cols; i++)
            y[i] = (h[i] + skip[i] * c[i]) * z[i] * vec_sigmoid(z[i]);
    }
}

static void skip_gate(xl_view y, xl_view h, xl_view c, xl_view z, const float *skip) {
    job j = {.v = {y, h, c, z}, .a = skip};
    by_rows(&j, skip_gate_rows);
}

/* Some columns of all rows, so that dskip = sum over rows of dh c needs no sum across threads. */
static void skip_gate_bwd_columns(void *context, int index, int thread) {
    const job *j = context;
    int from = index * WIDE, to = from + WIDE < j->v[0].cols ? from + WIDE : j->v[0].cols;
    (void)thread;
    for (int n = 0; n < j->v[0].rows; n++) {
        float *dh = at(j->v[0], n), *dc = at(j->v[1], n), *dz = at(j->v[2], n), *dskip = j->da;
        const float *dy = at(j->v[3], n), *h = at(j->v[4], n), *c = at(j->v[5], n), *z = at(j->v[6], n),
                    *skip = j->a;
#pragma omp simd
        for (int i = from; i < to; i++) {
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
    job j = {.v = {dh, dc, dz, dy, h, c, z}, .a = skip, .da = dskip};
    xl_parallel((dh.cols + WIDE - 1) / WIDE, skip_gate_bwd_columns, &j);
}

static void softcap_rows(void *context, int index, int thread) {
    const job *j = context;
    float cap = j->value;
    FOR_ROWS(j, n) {
        float *y = at(j->v[0], n);
        const float *x = at(j->v[1], n);
#pragma omp simd
        for (int i = 0; i < j->v[0].cols; i++)
            y[i] = cap * vec_tanh(x[i] / cap);
    }
}

static void softcap(xl_view y, xl_view x, float cap) {
    job j = {.v = {y, x}, .value = cap};
    by_rows(&j, softcap_rows);
}

static void softcap_bwd_rows(void *context, int index, int thread) {
    const job *j = context;
    float cap = j->value;
    FOR_ROWS(j, n) {
        float *dx = at(j->v[0], n);
        const float *dy = at(j->v[1], n), *y = at(j->v[2], n);
#pragma omp simd
        for (int i = 0; i < j->v[0].cols; i++) {
            float s = y[i] / cap;
            dx[i] = dy[i] * (1 - s * s);
        }
    }
}

static void softcap_bwd(xl_view dx, xl_view dy, xl_view y, float cap) {
    job j = {.v = {dx, dy, y}, .value = cap};
    by_rows(&j, softcap_bwd_rows);
}

/* ---- convolution
 * ----------------------------------------------------------------------------------------------- */

/* The input `back` tokens before token t of stream b, or NULL where there is none. */
static const float *past(const job *j, int b, int t, int back) {
    int T = j->seq.T, C = j->v[1].cols;
    for (int s = t; j->seq.resets && s > t - back && s >= 0; s--)
        if (j->seq.resets[(size_t)b * (size_t)T + (size_t)s])
            return NULL;
    if (t - back >= 0)
        return at(j->v[1], b * T + t - back);
    if (!j->state.in)
        return NULL;
    return j->state.in + (size_t)b * j->state.stride + (size_t)(j->K - 1 + t - back) * (size_t)C;
}

/* The taps of channels from .. from + n, each tap side by side. */
static void taps_of(float taps[MAX_TAPS][WIDE], const job *j, int from, int n) {
    for (int i = 0; i < n; i++)
        for (int k = 0; k < j->K; k++)
            taps[k][i] = j->a[(size_t)(from + i) * (size_t)j->K + (size_t)k];
}

/* Pre-activations of token t for channels from .. from + n */
static void conv_token(const job *j, float *y, float taps[MAX_TAPS][WIDE], int b, int t, int from, int n) {
    for (int i = 0; i < n; i++)
        y[i] = j->b ? j->b[from + i] : 0;
    for (int k = 0; k < j->K; k++) {
        const float *x = past(j, b, t, j->K - 1 - k), *w = taps[k];
#pragma omp simd
        for (int i = 0; i < (x ? n : 0); i++)
            y[i] += w[i] * x[from + i];
    }
}

/* A tile of CONV_ROWS tokens and WIDE channels. */
static void conv_tile(void *context, int index, int thread) {
    const job *j = context;
    int T = j->seq.T, C = j->v[0].cols, slices = (C + WIDE - 1) / WIDE;
    assert(slices > 0);
    int from = index % slices * WIDE, n = C - from < WIDE ? C - from : WIDE;
    int first = index / slices * CONV_ROWS, rows = j->v[0].rows;
    float taps[MAX_TAPS][WIDE], a[WIDE];
    (void)thread;
    taps_of(taps, j, from, n);
    for (int row = first; row < rows && row < first + CONV_ROWS; row++) {
        float *y = at(j->v[0], row) + from;
        int b = row / T, t = row % T, padding = j->seq.lengths && t >= j->seq.lengths[b];
        if (padding) {
            memset(y, 0, (size_t)n * sizeof *y);
            continue;
        }
        conv_token(j, a, taps, b, t, from, n);
#pragma omp simd
        for (int i = 0; i < n; i++)
            y[i] = a[i] * vec_sigmoid(a[i]);
    }
}

/* The last K-1 inputs of each stream; slot s is overwritten only after what it is needed for has moved. */
static void conv_keep(void *context, int b, int thread) {
    const job *j = context;
    size_t C = (size_t)j->v[1].cols, slots = (size_t)(j->K - 1);
    int length = j->seq.lengths ? j->seq.lengths[b] : j->seq.T;
    float *out = j->state.out + (size_t)b * j->state.stride;
    (void)thread;
    for (size_t s = 0; s < slots; s++) {
        const float *x = length > 0    ? past(j, b, length - 1, (int)(slots - 1 - s))
                         : j->state.in ? j->state.in + (size_t)b * j->state.stride + s * C
                                       : NULL;
        for (size_t i = 0; i < C; i++)
            out[s * C + i] = x ? x[i] : 0;
    }
}

static void conv(xl_view y, xl_view x, const float *w, const float *b, int K, xl_seq seq, xl_state state) {
    job j = {.v = {y, x}, .a = w, .b = b, .K = K, .seq = seq, .state = state};
    int tiles = (y.rows + CONV_ROWS - 1) / CONV_ROWS * ((y.cols + WIDE - 1) / WIDE);
    if ((double)y.rows * y.cols < NUMBERS) /* one token is not worth a second thread */
        for (int i = 0; i < tiles; i++)
            conv_tile(&j, i, 0);
    else
        xl_parallel(tiles, conv_tile, &j);
    if (state.out)
        xl_parallel(seq.B, conv_keep, &j);
}

/* The gradient d of token t's pre-activations goes to its inputs and to the taps. */
static void conv_token_bwd(const job *j, const float *d, float taps[MAX_TAPS][WIDE],
                           float sums[MAX_TAPS][WIDE], int b, int t, int from, int n) {
    for (int k = 0; k < j->K; k++) {
        int back = j->K - 1 - k;
        const float *x = past(j, b, t, back), *w = taps[k];
        float *dw = sums[k];
        if (!x)
            continue;
#pragma omp simd
        for (int i = 0; i < n; i++)
            dw[i] += d[i] * x[from + i];
        float *dx = t - back >= 0 ? at(j->v[0], b * j->seq.T + t - back) + from : NULL;
#pragma omp simd
        for (int i = 0; i < (dx ? n : 0); i++)
            dx[i] += d[i] * w[i];
    }
}

/* Some channels of the whole batch, in order of tokens: dx, dw and db need no sums across threads. */
static void conv_bwd_channels(void *context, int index, int thread) {
    const job *j = context; /* v: dx, x, dy */
    int from = index * WIDE, n = j->v[1].cols - from < WIDE ? j->v[1].cols - from : WIDE, T = j->seq.T;
    float taps[MAX_TAPS][WIDE], sums[MAX_TAPS][WIDE] = {{0}}, bias[WIDE] = {0}, d[WIDE];
    (void)thread;
    taps_of(taps, j, from, n);
    for (int row = 0; !j->add && row < j->v[0].rows; row++)
        memset(at(j->v[0], row) + from, 0, (size_t)n * sizeof(float));
    for (int b = 0; b < j->seq.B; b++)
        for (int t = 0; t < (j->seq.lengths ? j->seq.lengths[b] : T); t++) {
            conv_token(j, d, taps, b, t, from, n);
            const float *dy = at(j->v[2], b * T + t) + from;
#pragma omp simd
            for (int i = 0; i < n; i++) {
                float s = vec_sigmoid(d[i]);
                d[i] = dy[i] * (s + d[i] * s * (1 - s));
                bias[i] += d[i];
            }
            conv_token_bwd(j, d, taps, sums, b, t, from, n);
        }
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < j->K; k++)
            j->da[(size_t)(from + i) * (size_t)j->K + (size_t)k] += sums[k][i];
        if (j->db)
            j->db[from + i] += bias[i];
    }
}

static void conv_bwd(xl_view dx, float *dw, float *db, xl_view dy, xl_view x, const float *w, const float *b,
                     int K, xl_seq seq, xl_state state, int add) {
    job j = {
        .v = {dx, x, dy}, .a = w, .b = b, .da = dw, .db = db, .K = K, .seq = seq, .state = state, .add = add};
    xl_parallel((x.cols + WIDE - 1) / WIDE, conv_bwd_channels, &j);
}

/* ---- loss
 * ------------------------------------------------------------------------------------------------------ */

/* Writes exp(x - top) to e where e is not NULL; returns the sum. */
static float exp_and_sum(float *e, const float *x, float top, int n) {
    float total = 0;
    if (!e) {
#pragma omp simd reduction(+ : total)
        for (int i = 0; i < n; i++)
            total += vec_exp(x[i] - top);
        return total;
    }
#pragma omp simd reduction(+ : total)
    for (int i = 0; i < n; i++) {
        float y = vec_exp(x[i] - top);
        total += y;
        e[i] = y;
    }
    return total;
}

static float xent_row(float *d, const float *x, int V, int target, float scale) {
    float top = vec_largest(x, V), chosen = x[target]; /* d may be x */
    float total = exp_and_sum(d, x, top, V), share = scale / total;
    for (int i = 0; d && i < V; i++)
        d[i] *= share;
    if (d)
        d[target] -= scale;
    return logf(total) + (top - chosen);
}

static void xent_rows(void *context, int index, int thread) {
    const job *j = context; /* v: logits, dlogits */
    FOR_ROWS(j, n) {
        const float *x = at(j->v[0], n);
        int V = j->v[0].cols, target = j->ids[n];
        float *d = j->v[1].p ? at(j->v[1], n) : NULL, loss = 0;
        if (target >= 0)
            loss = xent_row(d, x, V, target, j->value);
        else if (d)
            memset(d, 0, (size_t)V * sizeof *d);
        if (j->da)
            j->da[n] = loss;
    }
}

static void xent(float *each, xl_view dlogits, xl_view logits, const int32_t *targets, float scale) {
    job j = {.v = {logits, dlogits}, .da = each, .ids = targets, .value = scale};
    by_rows(&j, xent_rows);
}

/* ---- moves and updates
 * ----------------------------------------------------------------------------------------- */

static void add_rows(void *context, int index, int thread) {
    const job *j = context;
    FOR_ROWS(j, n) {
        float *y = at(j->v[0], n);
        const float *x = at(j->v[1], n);
        for (int i = 0; i < j->v[0].cols; i++)
            y[i] += x[i];
    }
}

static void add(xl_view y, xl_view x) {
    job j = {.v = {y, x}};
    by_rows(&j, add_rows);
}

static void copy_rows(void *context, int index, int thread) {
    const job *j = context;
    FOR_ROWS(j, n)
    memcpy(at(j->v[0], n), at(j->v[1], n), (size_t)j->v[0].cols * sizeof(float));
}

static void copy(xl_view y, xl_view x) {
    job j = {.v = {y, x}};
    by_rows(&j, copy_rows);
}

typedef struct {
    float *p, value;
    size_t count;
} filling;

static void fill_slice(void *context, int index, int thread) {
    const filling *f = context;
    size_t from = (size_t)index * SLICE, to = from + SLICE < f->count ? from + SLICE : f->count;
    (void)thread;
    for (size_t i = from; i < to; i++)
        f->p[i] = f->value;
}

static void fill(float *p, size_t count, float value) {
    filling f = {p, value, count};
    xl_parallel((int)((count + SLICE - 1) / SLICE), fill_slice, &f);
}

static void dropout_rows(void *context, int index, int thread) {
    const job *j = context;
    float scale = 1 / (1 - j->value);
    double p = (double)j->value;
    FOR_ROWS(j, n) {
        float *y = at(j->v[0], n);
        const float *x = at(j->v[1], n);
        uint64_t first = (uint64_t)n * (uint64_t)j->v[0].cols;
        for (int i = 0; i < j->v[0].cols; i++) {
            uint64_t hash = xl_hash(j->key, first + (uint64_t)i);
            y[i] = (double)(hash >> 11) * 0x1p-53 >= p ? x[i] * scale : 0;
        }
    }
}

static void dropout(xl_view y, xl_view x, float p, uint64_t key) {
    job j = {.v = {y, x}, .value = p, .key = key};
    by_rows(&j, dropout_rows);
}

typedef struct {
    float *w, *m, *v;
    const float *g;
    size_t count;
    xl_update s;
} updating;

static void adamw_slice(void *context, int index, int thread) {
    const updating *u = context;
    xl_update s = u->s;
    size_t from = (size_t)index * SLICE, to = from + SLICE < u->count ? from + SLICE : u->count;
    (void)thread;
    for (size_t i = from; i < to; i++) {
        float g = u->g[i] * s.gscale;
        u->m[i] = s.b1 * u->m[i] + (1 - s.b1) * g;
        u->v[i] = s.b2 * u->v[i] + (1 - s.b2) * g * g;
        u->w[i] = u->w[i] * (1 - s.lr * s.decay) - s.lr * (u->m[i] / s.c1) / (sqrtf(u->v[i] / s.c2) + s.eps);
    }
}

static void adamw(float *w, const float *g, float *m, float *v, size_t count, xl_update s) {
    updating u = {w, m, v, g, count, s};
    xl_parallel((int)((count + SLICE - 1) / SLICE), adamw_slice, &u);
}

typedef struct {
    const float *g;
    size_t count;
    double sums[PIECES];
} squares;

static void sumsq_piece(void *context, int index, int thread) {
    squares *s = context;
    size_t from = (size_t)index * PIECE;
    int n = s->count - from < PIECE ? (int)(s->count - from) : PIECE;
    const float *g = s->g + from; /* read inside the loop it would keep that from being vectors */
    double sum = 0;
    (void)thread;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < n; i++)
        sum += (double)g[i] * (double)g[i];
    s->sums[index] = sum;
}

static void sumsq(double *sum, const float *g, size_t count) {
    enum { BATCH = PIECE * PIECES };
    for (size_t from = 0; from < count; from += BATCH) {
        squares s = {.g = g + from, .count = count - from < BATCH ? count - from : BATCH};
        int pieces = (int)((s.count + PIECE - 1) / PIECE);
        xl_parallel(pieces, sumsq_piece, &s);
        for (int i = 0; i < pieces; i++)
            *sum += s.sums[i];
    }
}

void XL_ISA_NAME(xl_install_pointwise)(xl_ops *t) {
    t->norm = norm;
    t->norm_bwd = norm_bwd;
    t->glu = glu;
    t->glu_bwd = glu_bwd;
    t->skip_gate = skip_gate;
    t->skip_gate_bwd = skip_gate_bwd;
    t->softcap = softcap;
    t->softcap_bwd = softcap_bwd;
    t->conv = conv;
    t->conv_bwd = conv_bwd;
    t->xent = xent;
    t->add = add;
    t->copy = copy;
    t->fill = fill;
    t->sumsq = sumsq;
    t->dropout = dropout;
    t->adamw = adamw;
}
