/* parallel.h - the only place that starts threads. Tasks are cut by the caller into pieces whose number does
 * not depend on the thread count, so results do not either. */
#ifndef XL_PARALLEL_H
#define XL_PARALLEL_H

#include "xlstm/common.h"
#include <stdatomic.h>

typedef void xl_task(void *context, int index, int thread); /* 0 <= thread < xl_threads() */

/* Threads that a call of the library uses. Another thread may set another number at any time, so a call takes
 * it once, where it begins, by one of the first two; xl_threads() is what this thread took last. Memory is
 * planned for so many; a team has fewer where the system gave no more (see parallel.c), and one in a child of
 * fork(). */
int xl_threads_now(void);
/* Memory was planned for so many threads; more of them would run over it. */
xlstm_status xl_threads_planned(int planned);
int xl_threads(void);
void xl_parallel(int count, xl_task *task, void *context);

/* Tasks in groups of so many neighbours: all of a group take step 0 before one of them takes step 1, and so
 * on; groups do not meet. A task stays with its thread, so what it reads again in the next step is still in
 * that core's cache. */
typedef void xl_step(void *context, int index, int step);
void xl_parallel_steps(int count, int group, int steps, xl_step *step, void *context);

/* What the threads of a team have of the call that they work for. It belongs to the thread that called. */
typedef struct {
    char *rooms; /* [threads, room bytes]: what kernels would else have on the stack; see xl_place_enter() */
    size_t room; /* 0: this call has none */
    atomic_int blas; /* 1: OpenBLAS is held at one thread until the call is over; see ops/cpu/blas.c */
} xl_team;
xl_team *xl_team_here(void);
/* This thread's own part of the rooms, also in tasks of tasks. */
void *xl_room(void);

/* How many threads OpenMP may use in what this thread calls from now on, until it is set back; returns what
 * it was before, 0 in a build without OpenMP. For a library below that would start threads of its own. */
int xl_openmp_limit(int count);

#endif
