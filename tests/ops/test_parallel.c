/* Steps of tasks in groups: none begins before all of its group have done the step before, whatever the
 * number of threads, and also where one of them is late, so that others sleep. */
#define _DEFAULT_SOURCE /* usleep() */
#include "base/parallel.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

enum { MOST = 40 };

/* Each task reads what its group wrote one step before, from the one of two rows that nobody writes now.
 * These are plain numbers, so that a race is one for ThreadSanitizer too. */
typedef struct {
    int count, group, late; /* late: 1: one task sleeps at times */
    int rows[2][MOST];
} walk;

static void add_up(void *context, int index, int step) {
    walk *w = context;
    int first = index - index % w->group, sum = step == 0 ? index : 0;
    for (int i = first; step > 0 && i < first + w->group; i++)
        sum += w->rows[step % 2][i] % 1009;
    w->rows[(step + 1) % 2][index] = sum + 1;
    if (w->late && index == w->count - 1 && step % 64 == 0)
        usleep(3000);
}

static walk walk_of(int count, int group, int steps, int threads, int late) {
    walk w = {.count = count, .group = group, .late = late};
    assert_int_equal(xlstm_set_threads(threads), XLSTM_OK);
    xl_parallel_steps(count, group, steps, add_up, &w);
    return w;
}

static void test_groups_keep_step(void **state) {
    static const int shapes[][2] = {{1, 1}, {2, 2}, {4, 2}, {6, 3}, {16, 4}, {12, 12}, {40, 8}, {9, 1}};
    static const int threads[] = {2, 3, 4, 7, 16};
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t k = 0; k < sizeof threads / sizeof *threads; k++)
            for (int steps = 0; steps < 200; steps = 2 * steps + 1) {
                int count = shapes[i][0], group = shapes[i][1];
                walk want = walk_of(count, group, steps, 1, 0);
                walk got = walk_of(count, group, steps, threads[k], 0);
                assert_memory_equal(want.rows, got.rows, sizeof want.rows);
            }
}

static void test_who_is_late_is_waited_for(void **state) {
    (void)state;
    for (int threads = 2; threads <= 4; threads++) {
        walk want = walk_of(4, 4, 200, 1, 0), got = walk_of(4, 4, 200, threads, 1);
        assert_memory_equal(want.rows, got.rows, sizeof want.rows);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups_keep_step),
        cmocka_unit_test(test_who_is_late_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
