/* Modules whose matrices are kept in a smaller type. */
#include "base/error.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "model/module.h"
#include <string.h>

typedef struct {
    xlstm_module *to;
    const xlstm_module *from;
} quantization;

static void quantize_parameter(void *context, int i, int thread) {
    const quantization *q = context;
    const xl_param *p = &q->to->params.items[i];
    const real *from = q->from->w + q->from->params.items[i].offset;
    (void)thread;
    if (!p->packed) {
        memcpy(q->to->w + p->offset, from, p->count * sizeof *from);
        return;
    }
    xl_packed *k = xl_packing_of(&q->to->packed, p);
    for (int r = 0; r < k->matrix.rows; r++)
        xl_pack_row(k, r, from + (size_t)r * (size_t)k->matrix.cols);
}

xlstm_status xlstm_module_quantize(xlstm_module **out, const xlstm_module *from, xlstm_weights weights) {
    if (!out)
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_module_quantize: out is NULL; give the address of a pointer");
    *out = NULL;
    XL_TRY(xl_module_needs_reals(from, "xlstm_module_quantize"));
    if (!from->is_model || weights < XLSTM_WEIGHTS_BF16 || weights > XLSTM_WEIGHTS_INT8)
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_module_quantize needs a whole model, and weights "
                                         "XLSTM_WEIGHTS_BF16 or XLSTM_WEIGHTS_INT8");
    xlstm_config config = from->config;
    config.weights = weights;
    XL_TRY(xl_model_declare(out, &config));
    xlstm_status status = xl_module_take_packed(*out);
    if (status != XLSTM_OK) {
        xlstm_module_free(*out);
        *out = NULL;
        return status;
    }
    quantization q = {*out, from};
    xl_threads_now();
    xl_parallel(from->params.count, quantize_parameter, &q);
    return XLSTM_OK;
}
