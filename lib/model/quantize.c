/* quantize.c - the same configuration is declared again with another type of weights, and all parameters are
 * copied, row by row: the module that they come from is only read. */
#include "base/error.h"
#include "model/module.h"

xlstm_status xlstm_module_quantize(xlstm_module **out, const xlstm_module *from, xlstm_weights weights) {
    XL_TRY(xl_check_out(out, "xlstm_module_quantize"));
    *out = NULL;
    XL_TRY(xl_module_needs_reals(from, "xlstm_module_quantize"));
    if (!from->is_model || weights < XLSTM_WEIGHTS_BF16 || weights >= XLSTM_WEIGHTS_KINDS)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "xlstm_module_quantize needs a whole model, and weights of a smaller "
                       "type: XLSTM_WEIGHTS_BF16 or one of those behind it");
    xlstm_config config = from->config;
    config.weights = weights;
    XL_TRY(xl_module_declare(out, &config, from->memory));
    xlstm_status status = xl_module_take_memory(*out);
    if (status == XLSTM_OK)
        status = xl_module_copy_weights(*out, from);
    if (status != XLSTM_OK) {
        xlstm_module_free(*out);
        *out = NULL;
    }
    return status;
}
