/* pieces.h - how rows, columns and long arrays are cut for threads: by their shape alone, so that results do
 * not depend on how many threads there are. Everything is static inline, as in vec.h. */
#ifndef XL_PIECES_H
#define XL_PIECES_H

#include "base/parallel.h"
#include "ops/ops.h"

enum { PIECE = 1 << 14, WIDE = 64 }; /* numbers that are worth a thread; columns, where it has all rows */

/* Does from .. to - 1 of what is cut; job: the op's arguments, in a struct of its own. */
typedef void piece_work(const void *job, ptrdiff_t from, ptrdiff_t to);

typedef struct {
    piece_work *work;
    const void *job;
    ptrdiff_t count, step;
} piece_cut;

static inline void piece_task(void *context, int index, int thread) {
    const piece_cut *c = context;
    ptrdiff_t from = index * c->step, to = from + c->step;
    (void)thread;
    c->work(c->job, from, to < c->count ? to : c->count);
}

static inline void by_steps(ptrdiff_t count, ptrdiff_t step, piece_work *work, const void *job) {
    piece_cut c = {work, job, count, step};
    xl_parallel((int)((count + step - 1) / step), piece_task, &c);
}

static inline void by_rows(xl_view v, piece_work *work, const void *job) {
    int rows = PIECE / (v.cols > 0 ? v.cols : 1);
    by_steps(v.rows, rows < 1 ? 1 : rows, work, job);
}

/* For sums over rows: no sum is shared by threads. */
static inline void by_columns(xl_view v, piece_work *work, const void *job) {
    by_steps(v.cols, WIDE, work, job);
}

static inline void by_numbers(size_t count, piece_work *work, const void *job) {
    by_steps((ptrdiff_t)count, PIECE, work, job);
}

static inline int is_small(xl_view v) { /* not worth a second thread */
    return (ptrdiff_t)v.rows * v.cols < PIECE;
}

#endif
