#include "ops/ref/helpers.h"

static const real sqrt_half = (real)0.70710678118654752440;
static const real inv_sqrt_2pi = (real)0.39894228040143267794;
static const real selu_scale = (real)1.0507009873554804934193349852946;
static const real selu_alpha = (real)1.6732632423543772848170429916717;

/* The normal distribution; erfc keeps its digits far to the left where 1 + erf cancels. */
static real normal_cdf(real x) {
    return erfc(-x * sqrt_half) / 2;
}

static real value(real x, xl_act act) {
    switch (act) {
    case XL_GELU:
        return x * normal_cdf(x);
    case XL_RELU:
        return x < 0 ? 0 : x; /* NaN stays NaN, here and below */
    case XL_RELU2:
        return x < 0 ? 0 : x * x;
    case XL_SIGMOID:
        return sigmoid(x);
    case XL_SILU:
        return silu(x);
    case XL_SELU:
        break;
    }
    return selu_scale * (x > 0 ? x : selu_alpha * expm1(x));
}

static real slope(real x, xl_act act) {
    switch (act) {
    case XL_GELU:
        return normal_cdf(x) + x * inv_sqrt_2pi * exp(-x * x / 2);
    case XL_RELU:
        return x > 0 ? 1 : x < 0 ? 0 : x;
    case XL_RELU2:
        return x < 0 ? 0 : 2 * x;
    case XL_SIGMOID:
        return sigmoid(x) * (1 - sigmoid(x));
    case XL_SILU:
        return silu_slope(x);
    case XL_SELU:
        break;
    }
    return selu_scale * (x > 0 ? 1 : selu_alpha * exp(x));
}

void xl_ref_glu(xl_view y, xl_view g, xl_view u, xl_act act) {
    for (int n = 0; n < y.rows; n++)
        for (int c = 0; c < y.cols; c++)
            row(y, n)[c] = value(row(g, n)[c], act) * row(u, n)[c];
}

void xl_ref_glu_bwd(xl_view dg, xl_view du, xl_view dy, xl_view g, xl_view u, xl_act act) {
    for (int n = 0; n < dy.rows; n++)
        for (int c = 0; c < dy.cols; c++) {
            /* all reads before the first write: the gradients may lie on their inputs */
            real gc = row(g, n)[c], uc = row(u, n)[c], d = row(dy, n)[c];
            row(dg, n)[c] = d * uc * slope(gc, act);
            row(du, n)[c] = d * value(gc, act);
        }
}

void xl_ref_skip_gate(xl_view y, xl_view h, xl_view c, xl_view z, const real *skip) {
    for (int n = 0; n < y.rows; n++)
        for (int i = 0; i < y.cols; i++)
            row(y, n)[i] = (row(h, n)[i] + skip[i] * row(c, n)[i]) * silu(row(z, n)[i]);
}

void xl_ref_skip_gate_bwd(xl_view dh, xl_view dc, xl_view dz, real *dskip, xl_view dy, xl_view h, xl_view c,
                          xl_view z, const real *skip) {
    for (int n = 0; n < dy.rows; n++)
        for (int i = 0; i < dy.cols; i++) {
            real d = row(dy, n)[i], hi = row(h, n)[i], ci = row(c, n)[i], zi = row(z, n)[i];
            real inner = d * silu(zi);
            row(dh, n)[i] = inner;
            row(dc, n)[i] = inner * skip[i];
            row(dz, n)[i] = d * (hi + skip[i] * ci) * silu_slope(zi);
            dskip[i] += inner * ci;
        }
}

void xl_ref_softcap(xl_view y, xl_view x, real cap) {
    for (int n = 0; n < y.rows; n++)
        for (int c = 0; c < y.cols; c++)
            row(y, n)[c] = cap * tanh(row(x, n)[c] / cap);
}

void xl_ref_softcap_bwd(xl_view dx, xl_view dy, xl_view y, real cap) {
    for (int n = 0; n < dx.rows; n++)
        for (int c = 0; c < dx.cols; c++) {
            real s = row(y, n)[c] / cap;
            row(dx, n)[c] = row(dy, n)[c] * (1 - s * s);
        }
}
