/* Which thread gets a task is OpenMP's choice, so no result may depend on it. Where the caller is in a
 * parallel region of its own, its thread does all of the work. */
#include "base/parallel.h"
#include "base/error.h"
#include "base/log.h"
#include <stdatomic.h>

#ifdef _OPENMP
#include <omp.h>
#endif

static atomic_int threads;       /* 0: not chosen yet */
static _Thread_local int in_use; /* 0: nothing was called yet */

static int wanted(void) {
    int n = atomic_load(&threads);
    if (n > 0)
        return n;
#ifdef _OPENMP
    n = omp_get_max_threads();
#else
    n = 1;
#endif
    n = n < 1 ? 1 : n > XLSTM_MAX_THREADS ? XLSTM_MAX_THREADS : n;
    int expected = 0;
    atomic_compare_exchange_strong(&threads, &expected, n);
    return atomic_load(&threads);
}

int xl_threads_now(void) {
    return in_use = wanted();
}

int xl_threads(void) {
    return in_use ? in_use : xl_threads_now();
}

xlstm_status xlstm_set_threads(int count) {
    if (count < 1 || count > XLSTM_MAX_THREADS)
        return xl_fail(XLSTM_E_ARGUMENT, "thread count %d is out of range; give 1 to %d", count,
                       XLSTM_MAX_THREADS);
    atomic_store(&threads, in_use = count); /* (this thread is in no call, or it would not be here) */
#ifdef _OPENMP
    if (count > omp_get_num_procs())
        xl_log(XLSTM_LOG_WARNING, "%d threads on %d processors will wait for each other", count,
               omp_get_num_procs());
#else
    if (count > 1)
        xl_log(XLSTM_LOG_WARNING, "this build has no OpenMP: %d threads will be one", count);
#endif
    return XLSTM_OK;
}

int xlstm_get_threads(void) {
    return wanted();
}

int xl_openmp_limit(int count) {
#ifdef _OPENMP
    int before = omp_get_max_threads();
    omp_set_num_threads(count);
    return before;
#else
    (void)count;
    return 0;
#endif
}

xlstm_status xl_threads_planned(int planned) {
    int now = xl_threads_now();
    if (now <= planned)
        return XLSTM_OK;
    return xl_fail(XLSTM_E_ARGUMENT,
                   "memory was planned for %d threads, but now there are %d; call xlstm_set_threads() before "
                   "creating sessions, trainers and recurrences",
                   planned, now);
}

void xl_parallel(int count, xl_task *task, void *context) {
#ifdef _OPENMP
    int n = xl_threads();
    if (n > 1 && count > 1 && !omp_in_parallel()) {
#pragma omp parallel for schedule(dynamic) num_threads(n)
        for (int i = 0; i < count; i++)
            task(context, i, omp_get_thread_num());
        return;
    }
#endif
    for (int i = 0; i < count; i++)
        task(context, i, 0);
}

void xl_parallel_steps(int count, int steps, xl_step *task, void *context) {
#ifdef _OPENMP
    int n = xl_threads() < count ? xl_threads() : count;
    if (n > 1 && !omp_in_parallel()) {
#pragma omp parallel num_threads(n)
        for (int s = 0; s < steps; s++)
#pragma omp for schedule(static)
            for (int i = 0; i < count; i++)
                task(context, i, s);
        return;
    }
#endif
    for (int s = 0; s < steps; s++)
        for (int i = 0; i < count; i++)
            task(context, i, s);
}
