/* copies.h - numbers of parameters and gradients, copied out of a module or a trainer: to be freed. */
#ifndef TEST_COPIES_H
#define TEST_COPIES_H

#include "xlstm.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

/* [count] of the parameter */
static inline xlstm_real *copy_parameter(const xlstm_module *m, int index) {
    xlstm_parameter p;
    assert_int_equal(xlstm_module_parameter(m, index, &p), XLSTM_OK);
    xlstm_real *copy = malloc(p.count * sizeof *copy);
    assert_non_null(copy);
    assert_int_equal(xlstm_module_read(m, index, copy), XLSTM_OK);
    return copy;
}

/* [xlstm_module_layout_size()], of a trainer of module m */
static inline xlstm_real *copy_gradients(const xlstm_trainer *tr, const xlstm_module *m) {
    size_t size = xlstm_module_layout_size(m);
    xlstm_real *copy = malloc(size * sizeof *copy);
    assert_non_null(copy);
    assert_int_equal(xlstm_trainer_read_gradients(tr, 0, size, copy), XLSTM_OK);
    return copy;
}

#endif
