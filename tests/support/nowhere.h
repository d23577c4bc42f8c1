/* nowhere.h - a forward and backward over the null backend with measuring arenas, which hand out addresses in
 * the first pages, which no program can touch. */
#ifndef TEST_NOWHERE_H
#define TEST_NOWHERE_H

#include "model/module.h"
#include "ops/memory.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static inline void plan_nowhere(const xlstm_module *m, int streams, int time, size_t *keep_bytes,
                                size_t *temp_bytes) {
    real *nowhere = (real *)(uintptr_t)64;
    xl_arena keep = {0}, temp = {0};
    xl_stack_tape tape;
    xl_call c = {.op = xl_plan_begin(xl_memory_host.ops(&xl_memory_host, XL_PRODUCTS_REAL)),
                 .seq = {.B = streams, .T = time},
                 .w = nowhere,
                 .dw = nowhere,
                 .state = {nowhere, nowhere, (ptrdiff_t)m->state_size},
                 .keep = &keep,
                 .temp = &temp,
                 .train = 1,
                 .dropout = (real)0.1};
    xl_input in = {(const int32_t *)(uintptr_t)64, xl_rows(nowhere, streams * time, m->in)};
    assert_int_equal(xl_stack_tape_create(&tape, m), XLSTM_OK);
    xl_stack_forward(m, &c, &tape, in);
    xl_stack_backward(m, &c, &tape, in, xl_rows(nowhere, streams * time, m->width), (xl_view){0});
    assert_int_equal(xl_plan_end("a plan"), XLSTM_OK);
    xl_stack_tape_free(&tape);
    *keep_bytes = keep.peak;
    *temp_bytes = temp.peak;
}

#endif
