/* blas.c - one matrix product on one thread by CBLAS. How many threads OpenBLAS has is the program's own and
 * holds for all of it: what is set here for a call is put back when that is over. And fork() copies its locks
 * as they are, so none is taken while a product is under way. */
#include "base/log.h"
#include "ops/cpu/cpu.h"
#include <cblas.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <strings.h>

/* OpenBLAS only; another CBLAS does not have them and is asked to be sequential in the docs. */
extern void openblas_set_num_threads(int) __attribute__((weak));
extern int openblas_get_num_threads(void) __attribute__((weak));
extern int openblas_get_parallel(void) __attribute__((weak));
extern char *openblas_get_corename(void) __attribute__((weak));
/* The number itself. Where fork() has ended OpenBLAS' threads, its function would start them all again to set
 * it, and interrupt the process where there are none to be had. */
extern int blas_cpu_number __attribute__((weak));

/* OpenBLAS built on OpenMP has no number of its own: it takes OpenMP's at every call outside a parallel
 * region, and setting it would set OpenMP's for the whole program. So there each product is held at one
 * thread by itself. */
enum { BUILT_ON_OPENMP = 2 };
static int limit_each, hold_each_call, handles_fork;

/* ---- the number of OpenBLAS' threads ---- */

static pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER; /* for the next two, and what calls hold */
static int holders;                                          /* calls that need it to be 1 */
static int before;                                           /* what it was; 1: nothing is to be put back */

static void set_count(int count) {
    if (&blas_cpu_number)
        blas_cpu_number = count;
    else
        openblas_set_num_threads(count);
}

static void hold(void) {
    int now = openblas_get_num_threads();
    if (holders++ == 0)
        before = 1;
    if (now != 1) { /* also where the program has set it meanwhile */
        before = now;
        set_count(1);
    }
}

static void give_back(void) {
    if (holders == 0 && before > 1) {
        if (openblas_get_num_threads() == 1)
            set_count(before);
        before = 1;
    }
}

/* The first product of a call holds, on whichever of its threads that is. */
static void hold_for_call(xl_team *team) {
    pthread_mutex_lock(&counting);
    if (!atomic_load(&team->blas))
        hold();
    atomic_store(&team->blas, 1);
    pthread_mutex_unlock(&counting);
}

void xl_blas_call_over(void) {
    xl_team *team = xl_team_here();
    if (!atomic_load(&team->blas))
        return;
    pthread_mutex_lock(&counting);
    atomic_store(&team->blas, 0);
    holders--;
    give_back();
    pthread_mutex_unlock(&counting);
}

/* ---- fork() ---- */

/* Threads count themselves in and out, each on a line of its own; who forks waits until all are out. */
enum { SEATS = 64 };
static struct { _Alignas(64) atomic_int inside; } seats[SEATS];
static atomic_int forking, seats_taken;
static pthread_mutex_t fork_under_way = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local int seat, inside; /* seat: from 1 on */

static void go_in(void) {
    if (!seat)
        seat = 1 + atomic_fetch_add(&seats_taken, 1) % SEATS;
    inside = 1;
    atomic_fetch_add(&seats[seat - 1].inside, 1);
    while (atomic_load(&forking)) {
        atomic_fetch_sub(&seats[seat - 1].inside, 1);
        pthread_mutex_lock(&fork_under_way);
        pthread_mutex_unlock(&fork_under_way);
        atomic_fetch_add(&seats[seat - 1].inside, 1);
    }
}

static void go_out(void) {
    atomic_fetch_sub(&seats[seat - 1].inside, 1);
    inside = 0;
}

/* (A handler of a signal may fork in the middle of this thread's own product: that is not waited for.) */
static void before_fork(void) {
    pthread_mutex_lock(&fork_under_way);
    atomic_store(&forking, 1);
    for (int i = 0; i < SEATS; i++)
        while (atomic_load(&seats[i].inside) > (inside && i == seat - 1))
            sched_yield();
    pthread_mutex_lock(&counting);
}

static void open_again(void) {
    pthread_mutex_unlock(&counting);
    atomic_store(&forking, 0);
    pthread_mutex_unlock(&fork_under_way);
}

/* Of all calls that were under way, only one of this thread goes on. */
static void in_child(void) {
    holders = atomic_load(&xl_team_here()->blas);
    if (hold_each_call)
        give_back();
    for (int i = 0; i < SEATS; i++)
        atomic_store(&seats[i].inside, inside && i == seat - 1);
    open_again();
}

/* ---- which kernels it has taken ---- */

static const char *core(void) {
    return openblas_get_corename ? openblas_get_corename() : "";
}

const char *xl_products_name(void) {
    static char name[64];
    snprintf(name, sizeof name, *core() ? "products by OpenBLAS for %.32s" : "products by CBLAS", core());
    return name;
}

/* OpenBLAS takes such a one, without a word, for a processor that is newer than itself: a fifth of the speed
 * or less. Those of later processors are no slower than what AVX2 has. */
static int is_old(const char *name) {
    static const char *const of_sse[] = {"Prescott",   "Generic",      "Core2",     "Penryn",
                                         "Dunnington", "Atom",         "Nano",      "Nehalem",
                                         "Opteron",    "Opteron_SSE3", "Barcelona", "Bobcat"};
    int old = 0;
    for (size_t i = 0; i < sizeof of_sse / sizeof *of_sse; i++)
        old |= !strcasecmp(name, of_sse[i]);
    return old;
}

void xl_blas_warn(void) {
    static atomic_flag told = ATOMIC_FLAG_INIT;
#ifdef XL_X86
    if (__builtin_cpu_supports("avx2") && is_old(core()) && !atomic_flag_test_and_set(&told))
        xl_log(XLSTM_LOG_WARNING,
               "OpenBLAS does not know this processor and has taken its old kernels for %s: products are "
               "slow. Set "
               "OPENBLAS_CORETYPE=Haswell in the environment, or build the library with XLSTM_BLAS=OFF",
               core());
#else
    (void)told, (void)is_old;
#endif
}

/* ---- products ---- */

/* BLAS counts in int. A stride can be longer: the sLSTM's gates of one token lie T*4*D numbers apart. */
static int fits(ptrdiff_t ld) {
    return ld <= INT_MAX;
}

int xl_blas_multiply(int tA, int tB, int M, int N, int K, float alpha, const float *A, ptrdiff_t lda,
                     const float *B, ptrdiff_t ldb, float beta, float *C, ptrdiff_t ldc) {
    if (!fits(lda) || !fits(ldb) || !fits(ldc))
        return 0;
    xl_team *team = xl_team_here();
    if (hold_each_call && !atomic_load(&team->blas))
        hold_for_call(team);
    int own = limit_each ? xl_openmp_limit(1) : 0;
    go_in();
    cblas_sgemm(CblasRowMajor, tA ? CblasTrans : CblasNoTrans, tB ? CblasTrans : CblasNoTrans, M, N, K, alpha,
                A, (int)lda, B, (int)ldb, beta, C, (int)ldc);
    go_out();
    if (own)
        xl_openmp_limit(own);
    return 1;
}

void xl_blas_prepare(void) {
    int on_openmp = openblas_get_parallel && openblas_get_parallel() == BUILT_ON_OPENMP,
        own = xl_openmp_limit(1);
    limit_each = on_openmp && own;
    hold_each_call = openblas_set_num_threads && openblas_get_num_threads && !limit_each;
    if (own)
        xl_openmp_limit(own);
    if (!handles_fork) /* (in a child that was forked in the middle of this, it is done again) */
        handles_fork = pthread_atfork(before_fork, open_again, in_child) == 0;
}
