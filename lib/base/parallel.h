/* parallel.h - the only place that starts threads. Tasks are cut by the caller into pieces whose number does
 * not depend on the thread count, so results do not either. */
#ifndef XL_PARALLEL_H
#define XL_PARALLEL_H

#include "xlstm/common.h"

typedef void xl_task(void *context, int index, int thread); /* 0 <= thread < xl_threads() */

/* Threads that a call of the library uses. Another thread may set another number at any time, so a call takes
 * it once, where it begins, by one of the first two; xl_threads() is what this thread took last. */
int xl_threads_now(void);
/* Memory was planned for so many threads; more of them would run over it. */
xlstm_status xl_threads_planned(int planned);
int xl_threads(void);
void xl_parallel(int count, xl_task *task, void *context);

/* All tasks of step 0, then all of step 1, and so on. A task stays with its thread, so what it reads again in
 * the next step is still in that core's cache. */
typedef void xl_step(void *context, int index, int step);
void xl_parallel_steps(int count, int steps, xl_step *step, void *context);

/* How many threads OpenMP may use in what this thread calls from now on, until it is set back; returns what
 * it was before, 0 in a build without OpenMP. For a library below that would start threads of its own. */
int xl_openmp_limit(int count);

#endif
