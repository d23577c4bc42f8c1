/* config.c - what a forecasting model's configuration must hold to, each sentence with the key's name. */
#include "base/check.h"
#include "base/error.h"
#include "forecast/network.h"

enum { MOST = 1 << 20 }; /* of a width */

void xl_forecast_config_init(struct xl_forecast_config *c) {
    *c = (struct xl_forecast_config){.num_blocks = 12,
                                     .embedding_dim = 512,
                                     .patch_size = 32,
                                     .context_len = 2048,
                                     .future_len = 320,
                                     .num_quantiles = 9,
                                     .input_ff_dim = 2048,
                                     .h_expand = 4,
                                     .use_qk_norm = 1,
                                     .out_norm_eps = 1e-7,
                                     .scaler_eps = 1e-8,
                                     .tta_diff = 1};
    for (int q = 0; q < c->num_quantiles; q++)
        c->quantiles[q] = (q + 1) / 10.0;
    for (int i = 0; i < c->num_blocks; i++)
        c->block[i] = (struct xl_forecast_block){i % 2, 4, 4};
}

static xlstm_status check_windows(const struct xl_forecast_config *c) {
    XL_TRY(xl_check_range("input_patch_size", c->patch_size, 1, MOST));
    XL_TRY(xl_check_range("context_len", c->context_len, 1, 1 << 28));
    XL_TRY(xl_check_range("future_len", c->future_len, 1, 1 << 28));
    return xl_check_divides("input_patch_size", c->patch_size, "future_len", c->future_len);
}

static xlstm_status check_block(const struct xl_forecast_config *c, int i) {
    const struct xl_forecast_block *b = &c->block[i];
    const char *name = b->slstm ? "num_slstm_heads" : "num_heads of a time_mixer";
    XL_TRY(xl_check_divides(name, b->heads, "embedding_dim", c->embedding_dim));
    if (!b->slstm) /* queries and keys have half the width */
        XL_TRY(xl_check_divides(name, b->heads, "half of embedding_dim", c->embedding_dim / 2));
    return xl_check_divides("num_heads of a variate_mixer", b->variate_heads, "embedding_dim",
                            c->embedding_dim);
}

static xlstm_status check_quantiles(const struct xl_forecast_config *c) {
    XL_TRY(xl_check_range("the number of quantiles", c->num_quantiles, 1, XL_FORECAST_MOST_QUANTILES));
    for (int q = 0; q < c->num_quantiles; q++) {
        double before = q ? c->quantiles[q - 1] : 0;
        if (!(c->quantiles[q] > before && c->quantiles[q] < 1))
            return xl_fail(XLSTM_E_CONFIG,
                           "quantiles: number %d is %g behind %g; levels must rise, between 0 and 1", q + 1,
                           c->quantiles[q], before);
    }
    return XLSTM_OK;
}

xlstm_status xl_forecast_config_check(const struct xl_forecast_config *c) {
    XL_TRY(xl_check_range("num_blocks", c->num_blocks, 1, XL_FORECAST_MOST_BLOCKS));
    XL_TRY(xl_check_range("embedding_dim", c->embedding_dim, 2, 1 << 17));
    for (int i = 0; i < c->num_blocks; i++)
        XL_TRY(check_block(c, i));
    XL_TRY(check_windows(c));
    XL_TRY(check_quantiles(c));
    XL_TRY(xl_check_range("quantiles times input_patch_size", (double)c->num_quantiles * c->patch_size, 1,
                          MOST));
    XL_TRY(xl_check_range("input_ff_dim", c->input_ff_dim, 1, MOST));
    XL_TRY(xl_check_range("embedding_dim * h_expand", c->embedding_dim * c->h_expand, 1, MOST));
    XL_TRY(xl_check_range("act_func", c->act, 0, XL_FORECAST_ACTS - 1));
    XL_TRY(xl_check_range("the inner width of ffn", c->ffn_inner, 0, MOST));
    if (c->out_norm)
        XL_TRY(xl_check_range("eps of stack_out_norm_config", c->out_norm_eps, 0, 1));
    return xl_check_range("eps of scaler_cfg", c->scaler_eps, 0, HUGE_VAL);
}
