/* act.c - point-wise gates: each number of y depends on the numbers in its place alone. NaN stays NaN, so
 * that the loss shows what went wrong below. docs/math/blocks.md */
#include "ops/ref/helpers.h"

static const real sqrt_half = (real)0.70710678118654752440;
static const real inv_sqrt_2pi = (real)0.39894228040143267794;
static const real selu_scale = (real)1.0507009873554804934193349852946;
static const real selu_alpha = (real)1.6732632423543772848170429916717;

/* The normal distribution; erfc keeps its digits far to the left where 1 + erf cancels. */
static real normal_cdf(real x) {
    return erfc(-x * sqrt_half) / 2;
}

/* With P the normal distribution and p its density, s = sigm(x):
 *
 *     gelu    x P(x)                            P(x) + x p(x)                     arXiv 1606.08415, exact
 *     relu    max(x, 0)                         [x > 0]
 *     relu2   max(x, 0)^2                       2 max(x, 0)                       arXiv 2109.08668
 *     sigmoid s                                 s (1 - s)
 *     silu    x s                               s + x s (1 - s)                   arXiv 1702.03118
 *     selu    S x, S A (exp(x) - 1) for x < 0   S, S A exp(x)                     arXiv 1706.02515
 *     tanh    tanh(x)                           1 - tanh(x)^2 */
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
    case XL_TANH:
        return tanh(x);
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
    case XL_TANH:
        return 1 - tanh(x) * tanh(x);
    case XL_SELU:
        break;
    }
    return selu_scale * (x > 0 ? 1 : selu_alpha * exp(x));
}

/* An activation without a gate: x, y [N, D].
 *
 *     y = act(x)        dx = dy act'(x) */
void xl_ref_act(xl_view y, xl_view x, xl_act act) {
    for (int n = 0; n < y.rows; n++)
        for (int c = 0; c < y.cols; c++)
            xl_row(y, n)[c] = value(xl_row(x, n)[c], act);
}

void xl_ref_act_bwd(xl_view dx, xl_view dy, xl_view x, xl_act act) {
    for (int n = 0; n < dx.rows; n++)
        for (int c = 0; c < dx.cols; c++)
            xl_row(dx, n)[c] = xl_row(dy, n)[c] * slope(xl_row(x, n)[c], act);
}

/* Gated linear unit (arXiv 2002.05202; with SiLU: SwiGLU): g, u, y [N, D].
 *
 *     y = act(g) u        dg = dy u act'(g)        du = dy act(g) */
void xl_ref_glu(xl_view y, xl_view g, xl_view u, xl_act act) {
    for (int n = 0; n < y.rows; n++)
        for (int c = 0; c < y.cols; c++)
            xl_row(y, n)[c] = value(xl_row(g, n)[c], act) * xl_row(u, n)[c];
}

void xl_ref_glu_bwd(xl_view dg, xl_view du, xl_view dy, xl_view g, xl_view u, xl_act act) {
    for (int n = 0; n < dy.rows; n++)
        for (int c = 0; c < dy.cols; c++) {
            /* all reads before the first write: the gradients may lie on their inputs */
            real gc = xl_row(g, n)[c], uc = xl_row(u, n)[c], d = xl_row(dy, n)[c];
            xl_row(dg, n)[c] = d * uc * slope(gc, act);
            xl_row(du, n)[c] = d * value(gc, act);
        }
}

/* The end of the paper's mLSTM layer (arXiv 2405.04517, figure 11): h, c, z, y [N, I], skip [I].
 *
 *     y = (h + skip c) SiLU(z)
 *     dh = dy SiLU(z)        dc = skip dh        dz = dy (h + skip c) SiLU'(z)        dskip += sum over n of
 * c dh */
void xl_ref_skip_gate(xl_view y, xl_view h, xl_view c, xl_view z, const real *skip) {
    for (int n = 0; n < y.rows; n++)
        for (int i = 0; i < y.cols; i++)
            xl_row(y, n)[i] = (xl_row(h, n)[i] + skip[i] * xl_row(c, n)[i]) * silu(xl_row(z, n)[i]);
}

void xl_ref_skip_gate_bwd(xl_view dh, xl_view dc, xl_view dz, real *dskip, xl_view dy, xl_view h, xl_view c,
                          xl_view z, const real *skip) {
    for (int n = 0; n < dy.rows; n++)
        for (int i = 0; i < dy.cols; i++) {
            real d = xl_row(dy, n)[i], hi = xl_row(h, n)[i], ci = xl_row(c, n)[i], zi = xl_row(z, n)[i];
            real inner = d * silu(zi);
            xl_row(dh, n)[i] = inner;
            xl_row(dc, n)[i] = inner * skip[i];
            xl_row(dz, n)[i] = d * (hi + skip[i] * ci) * silu_slope(zi);
            dskip[i] += inner * ci;
        }
}

/* Soft cap of gates and logits (xLSTM-7B, arXiv 2503.13427): x, y [N, D].
 *
 *     y = cap tanh(x / cap)        dx = dy (1 - (y / cap)^2), from the output alone */
void xl_ref_softcap(xl_view y, xl_view x, real cap) {
    for (int n = 0; n < y.rows; n++)
        for (int c = 0; c < y.cols; c++)
            xl_row(y, n)[c] = cap * tanh(xl_row(x, n)[c] / cap);
}

void xl_ref_softcap_bwd(xl_view dx, xl_view dy, xl_view y, real cap) {
    for (int n = 0; n < dx.rows; n++)
        for (int c = 0; c < dx.cols; c++) {
            real s = xl_row(y, n)[c] / cap;
            xl_row(dx, n)[c] = xl_row(dy, n)[c] * (1 - s * s);
        }
}
