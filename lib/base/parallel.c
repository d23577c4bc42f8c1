/* Which thread gets a task is OpenMP's choice, so no result may depend on it. Where the caller is in a
 * parallel region of its own, its thread does all of the work.
 *
 * OpenMP's threads belong to the thread that called for them and live as long as it does, which has three
 * sides. gcc's library ends the process where the system gives no thread, so a thread that calls asks once
 * whether they are to be had, and goes on with fewer. After fork() they are not there, and gcc's would be
 * waited for for ever: so a child computes alone. And what floating-point mode they are in is that of the
 * moment at which they began: so they take over the caller's with every team. */
#define _DEFAULT_SOURCE /* syscall() */
#include "base/parallel.h"
#include "base/error.h"
#include "base/log.h"

#ifdef _OPENMP
#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
#ifdef __SSE2__
#include <xmmintrin.h>
#elif !defined(__aarch64__)
#include <fenv.h>
#endif
#endif

static atomic_int threads;       /* 0: not chosen yet */
static _Thread_local int in_use; /* 0: nothing was called yet */
static int alone;                /* 1: a child of fork(), whose parent had teams */

static int wanted(void) {
    int n = alone ? 1 : atomic_load(&threads);
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

/* ---- a team ---- */

static _Thread_local xl_team own;     /* of the calls of this thread */
static _Thread_local xl_team *joined; /* this thread works for a call of another; NULL: it does not */
static _Thread_local int member;      /* of that team; 0 is who called */

xl_team *xl_team_here(void) {
    return joined ? joined : &own;
}

void *xl_room(void) {
    const xl_team *team = xl_team_here();
    return team->rooms + member * team->room;
}

#ifdef _OPENMP

/* ---- floating-point mode: flushing to zero, rounding, traps ---- */

#ifdef __SSE2__
typedef unsigned fp_mode;
static fp_mode mode_now(void) {
    return _mm_getcsr();
}
static void set_mode(const fp_mode *mode) {
    _mm_setcsr(*mode);
}
#elif defined(__aarch64__)
typedef uint64_t fp_mode;
static fp_mode mode_now(void) {
    fp_mode mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}
static void set_mode(const fp_mode *mode) {
    __asm__ volatile("msr fpcr, %0" ::"r"(*mode));
}
#else
typedef fenv_t fp_mode;
static fp_mode mode_now(void) {
    fp_mode mode;
    fegetenv(&mode);
    return mode;
}
static void set_mode(const fp_mode *mode) {
    fesetenv(mode);
}
#endif

/* ---- joining it ---- */

/* What the members of a team need to know of who called. */
typedef struct {
    xl_team *team;
    fp_mode mode;
} caller;

static caller who_calls(void) {
    return (caller){xl_team_here(), mode_now()};
}

/* Returns this thread's own mode, for leave(): OpenMP's threads may serve the program too. */
static fp_mode join(const caller *c) {
    fp_mode mode = mode_now();
    member = omp_get_thread_num();
    if (member > 0) { /* (0 is the caller itself) */
        joined = c->team;
        set_mode(&c->mode);
    }
    return mode;
}

static void leave(const fp_mode *mode) {
    if (member > 0)
        set_mode(mode);
    joined = NULL;
    member = 0;
}

/* ---- whether there are threads to be had ---- */

static pthread_mutex_t asking = PTHREAD_MUTEX_INITIALIZER; /* for what follows, and until a team is made */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_t tried[XLSTM_MAX_THREADS];
static long ids[XLSTM_MAX_THREADS];
static int handles_fork;
static _Thread_local int asked_for, to_have; /* the last question and its answer */

static void *stand(void *id) {
    *(long *)id = syscall(SYS_gettid);
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    return NULL;
}

/* OpenMP's threads have stacks of the size that these say, in KiB where there is no unit; without them, those
 * that threads have by default. */
static size_t openmp_stack(void) {
    static const char *const names[] = {"OMP_STACKSIZE", "GOMP_STACKSIZE", "KMP_STACKSIZE"};
    static const char units[] = "bBkKmMgGtT";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *text = getenv(names[i]);
        char *end = NULL;
        unsigned long long n = text ? strtoull(text, &end, 10) : 0;
        while (n && *end == ' ')
            end++;
        int shift = 10;
        for (int k = 0; n && *end && units[k]; k++)
            shift = units[k] == *end ? k / 2 * 10 : shift;
        if (n)
            return n > SIZE_MAX >> shift ? SIZE_MAX : (size_t)n << shift;
    }
    return 0;
}

/* A thread that was joined counts against the system's limits until it is gone from its tables, a moment
 * later; a bound, since a program that traces this one may keep it there. */
static void wait_until_gone(long id) {
    for (int i = 0; i < 10000 && syscall(SYS_tgkill, (long)getpid(), id, 0L) == 0; i++)
        sched_yield();
}

/* How many of so many threads there are, all at once. They are the program's in no way: no signal handler of
 * its runs on them. */
static int try_threads(int count) {
    pthread_attr_t attributes;
    sigset_t all, before;
    int made = 0;
    size_t stack = openmp_stack();
    if (pthread_attr_init(&attributes))
        return 0;
    if (stack) /* (a size that cannot be is refused there too, and OpenMP takes the usual one) */
        (void)pthread_attr_setstacksize(&attributes, stack);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_mutex_lock(&gate);
    while (made < count && pthread_create(&tried[made], &attributes, stand, &ids[made]) == 0)
        made++;
    pthread_mutex_unlock(&gate);
    for (int i = 0; i < made; i++)
        pthread_join(tried[i], NULL);
    for (int i = 0; i < made; i++)
        wait_until_gone(ids[i]);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return made;
}

static void before_fork(void) {
    pthread_mutex_lock(&asking);
}

static void after_fork(void) {
    pthread_mutex_unlock(&asking);
}

static void in_child(void) {
    alone = 1;
    pthread_mutex_unlock(&asking);
}

/* The team is made as soon as it is found that it can be, before another thread is told the same. */
static int make_team(int count) {
    atomic_int there = 0; /* (an empty region could be left out) */
    int others = try_threads(count - 1);
    if (others < count - 1)
        others /= 2; /* who is at the limit leaves something to others */
    if (!handles_fork)
        handles_fork = pthread_atfork(before_fork, after_fork, in_child) == 0;
    if (!handles_fork)
        return 1;
#pragma omp parallel num_threads(others + 1)
    atomic_fetch_add(&there, 1);
    return others + 1;
}

/* Once for each thread that calls, and again where more are wanted. */
static void ask(int count) {
    if (count <= asked_for || alone || omp_in_parallel())
        return;
    asked_for = count;
    pthread_mutex_lock(&asking);
    to_have = make_team(count);
    pthread_mutex_unlock(&asking);
    if (to_have < count)
        xl_log(
            XLSTM_LOG_WARNING,
            "the system gives no %d threads; calls of this thread go on with %d (see the limits of processes "
            "and threads, and OMP_STACKSIZE)",
            count, to_have);
}

/* Threads of the next team: always the same number, since gcc's library ends those that a smaller team leaves
 * out, and makes them again for the next. */
static int team_size(void) {
    int n = xl_threads();
    if (alone || n < 2 || omp_in_parallel())
        return 1;
    ask(n);
    return n < to_have ? n : to_have;
}
#endif

/* ---- what calls use ---- */

int xl_threads_now(void) {
    in_use = wanted();
#ifdef _OPENMP
    if (in_use > 1)
        ask(in_use);
#endif
    return in_use;
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
    if (to_have < asked_for) /* there may be more by now */
        asked_for = 0;
    if (alone && count > 1)
        xl_log(XLSTM_LOG_WARNING, "a child of fork() computes on one thread: %d threads will be one", count);
    else if (count > omp_get_num_procs())
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
    int n = count > 1 ? team_size() : 1;
    if (n > 1) {
        const caller c = who_calls();
#pragma omp parallel num_threads(n)
        {
            fp_mode mode = join(&c);
#pragma omp for schedule(dynamic) nowait
            for (int i = 0; i < count; i++)
                task(context, i, member);
            leave(&mode);
        }
        return;
    }
#endif
    for (int i = 0; i < count; i++)
        task(context, i, member);
}

/* ---- steps ---- */

#ifdef _OPENMP

/* Members of a team go on as soon as those that they wait for have come as far. Each writes a line of its own
 * that the others read, so that none is fought for. Who waits looks for some microseconds, which is far more
 * than the wait is while all threads run, and then sleeps: whom it waits for may need its processor. */
enum { LINE = 64, LOOKS = 1000 };
typedef struct {
    struct {
        _Alignas(LINE) atomic_int steps; /* that this member has done */
    } done[XLSTM_MAX_THREADS];
    _Alignas(LINE) atomic_int asleep; /* members */
    int looks;
    pthread_mutex_t lock;
    pthread_cond_t came; /* somebody did, while one slept */
} meeting;

typedef struct {
    int count, group, steps;
    xl_step *task;
    void *context;
} stepping;

static void look_again(void) { /* in a moment */
#ifdef __SSE2__
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

static int came(const meeting *m, int who, int steps) {
    return atomic_load(&m->done[who].steps) >= steps;
}

static void sleep_until(meeting *m, int who, int steps) {
    pthread_mutex_lock(&m->lock);
    atomic_fetch_add(&m->asleep, 1); /* before looking once more: who comes later sees it */
    while (!came(m, who, steps))
        pthread_cond_wait(&m->came, &m->lock);
    atomic_fetch_sub(&m->asleep, 1);
    pthread_mutex_unlock(&m->lock);
}

static void wait_for(meeting *m, int who, int steps) {
    for (int i = 0; i < m->looks; i++) {
        if (came(m, who, steps))
            return;
        look_again();
    }
    sleep_until(m, who, steps);
}

static void come(meeting *m, int who, int steps) {
    atomic_store(&m->done[who].steps, steps);
    if (atomic_load(&m->asleep) == 0)
        return;
    pthread_mutex_lock(&m->lock);
    pthread_cond_broadcast(&m->came);
    pthread_mutex_unlock(&m->lock);
}

/* The first task of each of n members; the next one's is where a member's tasks end. */
static int first_task(const stepping *s, int who, int n) {
    return (int)((int64_t)who * s->count / n);
}

static int whose(const stepping *s, int task, int n) {
    return (int)((((int64_t)task + 1) * n - 1) / s->count);
}

static void wait_for_group(meeting *m, const stepping *s, int task, int step, int n) {
    int first = task - task % s->group, last = first + s->group - 1;
    for (int who = whose(s, first, n); who <= whose(s, last, n); who++)
        wait_for(m, who, step);
}

static void all_steps(meeting *m, const stepping *s, int who, int n) {
    int from = first_task(s, who, n), end = first_task(s, who + 1, n);
    for (int step = 0; step < s->steps; step++) {
        for (int i = from; i < end; i++) {
            if (step > 0 && (i == from || i % s->group == 0))
                wait_for_group(m, s, i, step, n);
            s->task(s->context, i, step);
        }
        come(m, who, step + 1);
    }
}

static void steps_by_team(const stepping *s, int n) {
    const caller c = who_calls();
    meeting m = {.lock = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER};
    m.looks = n > omp_get_num_procs() ? 0 : LOOKS;
#pragma omp parallel num_threads(n)
    {
        fp_mode mode = join(&c);
        all_steps(&m, s, member, omp_get_num_threads());
        leave(&mode);
    }
    pthread_cond_destroy(&m.came);
    pthread_mutex_destroy(&m.lock);
}
#endif

void xl_parallel_steps(int count, int group, int steps, xl_step *task, void *context) {
#ifdef _OPENMP
    int n = count > 1 ? team_size() : 1;
    if (n > 1) {
        steps_by_team(&(stepping){count, group, steps, task, context}, n);
        return;
    }
#endif
    (void)group; /* one thread waits for nobody */
    for (int s = 0; s < steps; s++)
        for (int i = 0; i < count; i++)
            task(context, i, s);
}
