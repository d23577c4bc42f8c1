/* parallel.h - the only place that starts threads. Tasks are cut by the caller into pieces whose number does
 * not depend on the thread count, so results do not either. */
#ifndef XL_PARALLEL_H
#define XL_PARALLEL_H

typedef void xl_task(void *context, int index, int thread); /* 0 <= thread < xl_threads() */

int xl_threads(void);
void xl_parallel(int count, xl_task *task, void *context);

#endif
