/* The plan: what was measured over the null backend is what a run uses, and planning touches no data. */
#include "model/module.h"
#include "support/kinds.h"
#include "support/nowhere.h"
#include "support/random.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { B = 3, T = 9 };

static xlstm_trainer *make_trainer(xlstm_module *m, int time, int chunks_of) {
    xlstm_trainer_config tc;
    xlstm_trainer_config_init(&tc);
    tc.batch = chunks_of;
    tc.time = time;
    tc.dropout = 0.2f;
    xlstm_trainer *tr;
    assert_int_equal(xlstm_trainer_create(&tr, m, &tc), XLSTM_OK);
    return tr;
}

static void step(xlstm_module *m, xlstm_trainer *tr) {
    static xlstm_real x[B * T * 16], y[B * T * 16], out[B * T * 16];
    static int32_t tokens[B * T], targets[B * T];
    xlstm_batch batch = {.struct_size = sizeof batch};
    if (xlstm_module_input_dim(m)) {
        batch.inputs = x;
        batch.outputs = y;
    } else {
        batch.tokens = tokens;
        batch.targets = targets;
    }
    assert_int_equal(xlstm_trainer_evaluate(tr, &batch, NULL), XLSTM_OK);
    assert_int_equal(xlstm_trainer_backward(tr, &batch, NULL), XLSTM_OK);
    assert_int_equal(xlstm_trainer_forward(tr, &batch, out), XLSTM_OK);
    assert_int_equal(xlstm_trainer_backward_from(tr, out, xlstm_module_input_dim(m) ? x : NULL), XLSTM_OK);
}

static void test_planned_is_used(void **state) {
    (void)state;
    for (int kind = 0; kind < TEST_KINDS; kind++) {
        char name[64];
        xlstm_module *m;
        assert_int_equal(create_kind(&m, kind, name, 7), XLSTM_OK);
        xlstm_trainer *tr = make_trainer(m, T, B);
        assert_int_equal(xlstm_trainer_memory_of(tr).tape_used, 0);
        step(m, tr);
        xlstm_trainer_memory mem = xlstm_trainer_memory_of(tr);
        if (mem.tape != mem.tape_used || mem.temporary != mem.temporary_used)
            fail_msg("%s: planned %zu + %zu bytes, used %zu + %zu", name, mem.tape, mem.temporary,
                     mem.tape_used, mem.temporary_used);
        xlstm_trainer_free(tr);
        xlstm_module_free(m);
    }
}

/* Measuring arenas hand out addresses in the first pages, which no program can touch: a forward and backward
 * over the null backend that read or wrote any of them, or a weight behind a bad pointer, would crash here.
 */
static void test_planning_touches_nothing(void **state) {
    (void)state;
    for (int kind = 0; kind < TEST_KINDS; kind++) {
        char name[64];
        xlstm_module *m;
        size_t keep, temp;
        assert_int_equal(create_kind(&m, kind, name, 7), XLSTM_OK);
        plan_nowhere(m, B, T, &keep, &temp);
        assert_true(keep > 0 && temp > 0);
        xlstm_module_free(m);
    }
}

/* The mLSTM's tape grows by the same bytes for every further token. */
static void test_tape_is_linear(void **state) {
    (void)state;
    xlstm_config c = small_config(XLSTM_MLSTM);
    c.chunk_size = 64;
    xlstm_module *m;
    assert_int_equal(xlstm_model_create(&m, &c, 1), XLSTM_OK);
    double per_token[3];
    for (int i = 0; i < 3; i++) {
        int time = 512 << (2 * i);
        xlstm_trainer *tr = make_trainer(m, time, 8192 / time);
        per_token[i] = (double)xlstm_trainer_memory_of(tr).tape / 8192;
        xlstm_trainer_free(tr);
    }
    assert_true(per_token[1] <= 1.001 * per_token[0] && per_token[2] <= 1.001 * per_token[0]);
    xlstm_module_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_planned_is_used),
                                       cmocka_unit_test(test_planning_touches_nothing),
                                       cmocka_unit_test(test_tape_is_linear)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
