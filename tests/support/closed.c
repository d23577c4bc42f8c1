/* closed.c - what a device demands of the library, without one. Besides closed pages it holds to the contract
 * of ops/memory.h: ops and copies only between enter and leave, and nobody leaves without having asked. */
#ifdef __linux__
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS, MAP_NORESERVE */
#endif
#include "support/closed.h"
#include "base/error.h"
#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define REGION ((size_t)(sizeof(void *) == 8 ? 1ull << 34 : 1ull << 28))
enum { PAGE = 4096, DEVICES = 2 };

/* Blocks lie one behind the other and are not used again: an address that was given back stays closed for
 * good. */
typedef struct block {
    struct block *next;
    char *p;
    size_t bytes;
} block;

typedef struct {
    xl_memory memory;
    pthread_mutex_t lock;
    char *base;
    size_t used;
    block *blocks;
    long streams;
    int inside; /* ops and copies that are under way: while there are any, all is open */
} device;

struct xl_stream {
    device *of;
    int entered;
};

static _Thread_local xl_stream *current; /* of the public call that this thread is in */
static _Thread_local int unasked;        /* something was done there that nobody has asked about yet */
static _Thread_local int failed;         /* in this public call */
static _Thread_local long fail_at, asked, refuse_at, wanted;

static void require(int condition, const char *what) {
    if (condition)
        return;
    fprintf(stderr, "closed memory: %s\n", what);
    abort();
}

/* ---- opening and closing ---- */

static void protect(device *d, int how) {
    if (d->used)
        require(mprotect(d->base, (d->used + PAGE - 1) / PAGE * PAGE, how) == 0, "mprotect failed");
}

static void open_pages(device *d) {
    pthread_mutex_lock(&d->lock);
    if (d->inside++ == 0)
        protect(d, PROT_READ | PROT_WRITE);
    pthread_mutex_unlock(&d->lock);
}

static void close_pages(device *d) {
    pthread_mutex_lock(&d->lock);
    if (--d->inside == 0)
        protect(d, PROT_NONE);
    pthread_mutex_unlock(&d->lock);
}

static device *begin(void) {
    require(current != NULL, "an op or a copy outside a public call's enter and leave");
    unasked = 1;
    open_pages(current->of);
    return current->of;
}

/* ---- ops ---- */

static const xl_ops *inner[XL_PRODUCTS];
static xl_ops tables[XL_PRODUCTS];
static const char *lacking;

#define OP(name, args, call, ...)                                                                            \
    static void real_##name args {                                                                           \
        device *device_ = begin();                                                                           \
        inner[XL_PRODUCTS_REAL]->name call;                                                                  \
        close_pages(device_);                                                                                \
    }                                                                                                        \
    static void bf16_##name args {                                                                           \
        device *device_ = begin();                                                                           \
        inner[XL_PRODUCTS_BF16]->name call;                                                                  \
        close_pages(device_);                                                                                \
    }
#include "ops/ops.def"
#undef OP

void closed_lack(const char *op) {
    lacking = op;
    inner[XL_PRODUCTS_REAL] = inner[XL_PRODUCTS_BF16] = NULL; /* tables are filled anew */
}

/* An op that is not there has no scratch either. */
static int is_there(const char *name) {
    size_t n = lacking ? strlen(lacking) : 0;
    return !n || strncmp(name, lacking, n) || (name[n] && strcmp(name + n, "_scratch"));
}

static void fill(xl_products products, const xl_ops *of) {
    inner[products] = of;
    if (products == XL_PRODUCTS_REAL)
        tables[products] = (xl_ops){
            .name = "closed",
#define OP(name, ...) .name = is_there(#name) ? real_##name : NULL,
#define SIZE(name, ...) .name = is_there(#name) ? of->name : NULL,
#include "ops/ops.def"
#undef OP
        };
    else
        tables[products] = (xl_ops){
            .name = "closed, bf16",
#define OP(name, ...) .name = bf16_##name,
#define SIZE(name, ...) .name = of->name,
#include "ops/ops.def"
#undef OP
        };
}

/* Filled when it is first asked for, and when it is another one: threads may be computing with it. */
static const xl_ops *device_ops(xl_memory *m, xl_products products) {
    static pthread_mutex_t filling = PTHREAD_MUTEX_INITIALIZER;
    const xl_ops *of = xl_memory_host.ops(&xl_memory_host, products);
    (void)m;
    pthread_mutex_lock(&filling);
    if (of && inner[products] != of)
        fill(products, of);
    pthread_mutex_unlock(&filling);
    return of ? &tables[products] : NULL;
}

/* ---- memory ---- */

static int is_refused(void) {
    wanted++;
    return refuse_at > 0 && --refuse_at == 0;
}

static void *device_take(xl_memory *m, uint64_t bytes) {
    device *d = (device *)m;
    if (is_refused())
        return NULL;
    size_t rounded = bytes < REGION ? ((size_t)bytes / PAGE + 2) * PAGE : REGION;
    pthread_mutex_lock(&d->lock);
    void *p = NULL;
    if (!d->base) {
        d->base = mmap(NULL, REGION, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        require(d->base != MAP_FAILED, "no address space");
    }
    if (rounded < REGION - d->used) {
        block *b = malloc(sizeof *b);
        require(b != NULL, "no memory");
        *b = (block){d->blocks, d->base + d->used, rounded};
        d->blocks = b;
        p = b->p;
        d->used += rounded; /* (with a page behind each block that stays zero) */
        if (d->inside)
            protect(d, PROT_READ | PROT_WRITE);
    }
    pthread_mutex_unlock(&d->lock);
    return p;
}

static void device_give(xl_memory *m, void *p) {
    device *d = (device *)m;
    pthread_mutex_lock(&d->lock);
    block **at = &d->blocks;
    while (p && *at && (*at)->p != p)
        at = &(*at)->next;
    require(!p || *at, "what comes back was not taken here");
    if (p) {
        block *gone = *at;
        *at = gone->next;
        madvise(gone->p, gone->bytes, MADV_DONTNEED);
        free(gone);
        if (!d->blocks)
            d->used = 0; /* what is opened and closed stays small */
    }
    pthread_mutex_unlock(&d->lock);
}

static xlstm_status device_open(xl_memory *m, xl_stream **out) {
    device *d = (device *)m;
    *out = NULL;
    if (is_refused())
        return xl_fail(XLSTM_E_DEVICE, "the closed memory was told to refuse a stream");
    *out = malloc(sizeof **out);
    require(*out != NULL, "no memory");
    **out = (xl_stream){.of = d};
    pthread_mutex_lock(&d->lock);
    d->streams++;
    pthread_mutex_unlock(&d->lock);
    return XLSTM_OK;
}

static void device_close(xl_memory *m, xl_stream *s) {
    require(s && s->of == (device *)m && !s->entered,
            "a stream is closed that is in use, or of another device");
    pthread_mutex_lock(&s->of->lock);
    s->of->streams--;
    pthread_mutex_unlock(&s->of->lock);
    free(s);
}

static void device_enter(xl_memory *m, xl_stream *s) {
    require(!current, "a public call inside another one");
    require(s && s->of == (device *)m && !s->entered, "a stream is entered twice, or of another device");
    s->entered = 1;
    current = s;
    unasked = failed = 0;
}

static void device_leave(xl_memory *m) {
    require(current && current->of == (device *)m, "a public call leaves what it has not entered");
    require(!unasked, "a public call leaves without having asked what failed");
    current->entered = 0;
    current = NULL;
}

static void device_copy(xl_memory *m, void *to, const void *from, size_t bytes) {
    device *d = begin();
    require((device *)m == d, "a copy in another device than the call's");
    memmove(to, from, bytes);
    close_pages(d);
}

static void device_clear(xl_memory *m, void *p, size_t bytes) {
    device *d = begin();
    require((device *)m == d, "a clear in another device than the call's");
    memset(p, 0, bytes);
    close_pages(d);
}

static xlstm_status ask(void) {
    asked++;
    unasked = 0;
    if (fail_at > 0 && --fail_at == 0)
        failed = 1;
    return failed ? xl_fail(XLSTM_E_DEVICE, "the closed memory was told to fail") : XLSTM_OK;
}

static xlstm_status device_get(xl_memory *m, void *here, const void *there, size_t bytes) {
    device_copy(m, here, there, bytes);
    return ask();
}

static xlstm_status device_wait(xl_memory *m) {
    require(current && current->of == (device *)m, "a wait outside a public call");
    return ask();
}

#define DEVICE(text)                                                                                         \
    {                                                                                                        \
        .memory = {.name = text,                                                                             \
                   .ops = device_ops,                                                                        \
                   .take = device_take,                                                                      \
                   .give = device_give,                                                                      \
                   .open = device_open,                                                                      \
                   .close = device_close,                                                                    \
                   .enter = device_enter,                                                                    \
                   .leave = device_leave,                                                                    \
                   .put = device_copy,                                                                       \
                   .get = device_get,                                                                        \
                   .copy = device_copy,                                                                      \
                   .clear = device_clear,                                                                    \
                   .wait = device_wait},                                                                     \
        .lock = PTHREAD_MUTEX_INITIALIZER                                                                    \
    }
static device devices[DEVICES] = {DEVICE("closed:0"), DEVICE("closed:1")};

xl_memory *closed_memory(int index) {
    return &devices[index].memory;
}

void closed_fail_at(long n) {
    fail_at = n;
    asked = 0;
}

long closed_asked(void) {
    return asked;
}

void closed_refuse_at(long n) {
    refuse_at = n;
    wanted = 0;
}

long closed_wanted(void) {
    return wanted;
}

long closed_lent(void) {
    long lent = 0;
    for (int i = 0; i < DEVICES; i++) {
        pthread_mutex_lock(&devices[i].lock);
        lent += devices[i].streams;
        for (const block *b = devices[i].blocks; b; b = b->next)
            lent++;
        pthread_mutex_unlock(&devices[i].lock);
    }
    return lent;
}

/* ---- whole programs ---- */

static void touched(int signal_number, siginfo_t *info, void *context) {
    static const char text[] = "closed memory: the host touched a tensor outside the ops\n";
    char *p = info->si_addr;
    (void)context;
    for (int i = 0; i < DEVICES; i++)
        if (devices[i].base && p >= devices[i].base && p < devices[i].base + REGION)
            (void)!write(2, text, sizeof text - 1);
    signal(signal_number, SIG_DFL); /* and once more, as it would have been */
}

__attribute__((constructor)) static void use_closed_memory(void) {
    const char *wanted = getenv("XLSTM_TEST_MEMORY");
    struct sigaction action = {.sa_sigaction = touched, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    if (wanted && !strcmp(wanted, "closed"))
        xl_memory_set_default_of_all(closed_memory(0));
}
