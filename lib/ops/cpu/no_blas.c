/* no_blas.c - in place of blas.c where all products are the library's own: there is nothing to set or put
 * back. */
#include "ops/cpu/cpu.h"

void xl_blas_prepare(void) {}

const char *xl_products_name(void) {
    return "own products";
}

void xl_blas_warn(void) {}

void xl_blas_call_over(void) {}
