/* act.cu - point-wise gates, a thread a number. Bound by memory: all arrays once, over 4.3 TB/s. */
#include "ops/cuda/cuda.cuh"

static const float sqrt_half = 0.70710678118654752440f, inv_sqrt_2pi = 0.39894228040143267794f,
                   selu_scale = 1.0507009873554804934193349852946f,
                   selu_alpha = 1.6732632423543772848170429916717f;

static __device__ float normal_cdf(float x) {
    return erfcf(-x * sqrt_half) / 2;
}

static __device__ float value(float x, xl_act act) { /* NaN stays NaN, here and below */
    switch (act) {
    case XL_GELU:
        return x * normal_cdf(x);
    case XL_RELU:
        return x < 0 ? 0 : x;
    case XL_RELU2:
        return x < 0 ? 0 : x * x;
    case XL_SIGMOID:
        return xl_sigmoid(x);
    case XL_SILU:
        return xl_silu(x);
    case XL_TANH:
        return tanhf(x);
    default:
        return selu_scale * (x > 0 ? x : selu_alpha * expm1f(x));
    }
}

static __device__ float slope(float x, xl_act act) {
    switch (act) {
    case XL_GELU:
        return normal_cdf(x) + x * inv_sqrt_2pi * expf(-x * x / 2);
    case XL_RELU:
        return x > 0 ? 1 : x < 0 ? 0 : x;
    case XL_RELU2:
        return x < 0 ? 0 : 2 * x;
    case XL_SIGMOID:
        return xl_sigmoid(x) * (1 - xl_sigmoid(x));
    case XL_SILU:
        return xl_silu_slope(x);
    case XL_TANH:
        return 1 - tanhf(x) * tanhf(x);
    default:
        return selu_scale * (x > 0 ? 1 : selu_alpha * expf(x));
    }
}

void xl_cuda_act(xl_view y, xl_view x, xl_act act) {
    xl_each(y.rows, y.cols, [=] __device__(int n, int c) { xl_row(y, n)[c] = value(xl_row(x, n)[c], act); });
}

void xl_cuda_act_bwd(xl_view dx, xl_view dy, xl_view x, xl_act act) {
    xl_each(dx.rows, dx.cols, [=] __device__(int n, int c) {
        xl_row(dx, n)[c] = xl_row(dy, n)[c] * slope(xl_row(x, n)[c], act);
    });
}

void xl_cuda_glu(xl_view y, xl_view g, xl_view u, xl_act act) {
    xl_each(y.rows, y.cols, [=] __device__(int n, int c) {
        xl_row(y, n)[c] = value(xl_row(g, n)[c], act) * xl_row(u, n)[c];
    });
}

void xl_cuda_glu_bwd(xl_view dg, xl_view du, xl_view dy, xl_view g, xl_view u, xl_act act) {
    xl_each(dy.rows, dy.cols, [=] __device__(int n, int c) { /* gradients may lie on their inputs */
                                                             float gc = xl_row(g, n)[c], uc = xl_row(u, n)[c],
                                                                   d = xl_row(dy, n)[c];
                                                             xl_row(dg, n)[c] = d * uc * slope(gc, act);
                                                             xl_row(du, n)[c] = d * value(gc, act);
    });
}

void xl_cuda_skip_gate(xl_view y, xl_view h, xl_view c, xl_view z, const real *skip) {
    xl_each(y.rows, y.cols, [=] __device__(int n, int i) {
        xl_row(y, n)[i] = (xl_row(h, n)[i] + skip[i] * xl_row(c, n)[i]) * xl_silu(xl_row(z, n)[i]);
    });
}

void xl_cuda_skip_gate_bwd(xl_view dh, xl_view dc, xl_view dz, real *dskip, xl_view dy, xl_view h, xl_view c,
                           xl_view z, const real *skip) {
    xl_columns(
        dy.rows, dy.cols,
        [=] __device__(int n, int i) {
            return xl_row(dy, n)[i] * xl_silu(xl_row(z, n)[i]) * xl_row(c, n)[i];
        },
        [=] __device__(int i, float sum) { dskip[i] += sum; });
    xl_each(dy.rows, dy.cols, [=] __device__(int n, int i) {
        float d = xl_row(dy, n)[i], hi = xl_row(h, n)[i], ci = xl_row(c, n)[i], zi = xl_row(z, n)[i];
        float inner = d * xl_silu(zi);
        xl_row(dh, n)[i] = inner;
        xl_row(dc, n)[i] = inner * skip[i];
        xl_row(dz, n)[i] = d * (hi + skip[i] * ci) * xl_silu_slope(zi);
    });
}

void xl_cuda_softcap(xl_view y, xl_view x, real cap) {
    xl_each(y.rows, y.cols,
            [=] __device__(int n, int c) { xl_row(y, n)[c] = cap * tanhf(xl_row(x, n)[c] / cap); });
}

void xl_cuda_softcap_bwd(xl_view dx, xl_view dy, xl_view y, real cap) {
    xl_each(dx.rows, dx.cols, [=] __device__(int n, int c) {
        float s = xl_row(y, n)[c] / cap;
        xl_row(dx, n)[c] = xl_row(dy, n)[c] * (1 - s * s);
    });
}
