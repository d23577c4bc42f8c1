/* trace.c - a backend around another: times every call and counts its work. Off, it is not there at all. */
#include "ops/trace.h"
#include "base/error.h"
#include "xlstm/profile.h"
#include <stdatomic.h>
#include <time.h>

enum {
#define OP(name, ...) AT_##name,
#include "ops/ops.def"
#undef OP
    OPS
};

static const char *const names[OPS] = {
#define OP(name, ...) #name,
#include "ops/ops.def"
#undef OP
};

/* Whole numbers, so that threads with sessions of their own can add to them. */
static struct { atomic_llong calls, nanoseconds, flops, bytes; } notes[OPS];
static atomic_int on;
static _Thread_local const xl_ops *inner; /* of the call that this thread is in */
static _Thread_local xl_memory *where;

/* What ops.def counts with. */
static double PRODUCT(double rows, double out, double in) {
    return 2 * rows * out * in;
}
static double R(size_t count) {
    return sizeof(real) * (double)count;
}
static double MATRIX(double rows, double cols) {
    return sizeof(real) * rows * cols;
}
static double V(xl_view v) {
    return v.p ? MATRIX(v.rows, v.cols) : 0;
}
static double NUMBERS(xl_matrix m) {
    return xl_matrix_bytes(&m);
}
static double STATE(xl_state s, xl_seq seq, size_t size) {
    return s.in || s.out ? seq.B * R(size) : 0;
}
/* Pairs of a token and one that it sees, if rows are whole and as the first one. */
static double SEEN(xl_attention d, xl_seq seq, xl_state s) {
    real ring[2] = {0};
    if (s.in)
        where->get(where, ring, s.in, sizeof ring);
    double cached = xl_ring_of(ring, d.window).visible, pairs = 0;
    for (int t = 0; t < seq.T; t++)
        pairs += cached + t + 1 < d.window ? cached + t + 1 : d.window;
    return seq.B * pairs;
}

static long long nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1000000000LL * t.tv_sec + t.tv_nsec;
}

static void record(int op, long long start, double flops, double bytes) {
    atomic_fetch_add_explicit(&notes[op].nanoseconds, nanoseconds() - start, memory_order_relaxed);
    atomic_fetch_add_explicit(&notes[op].calls, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&notes[op].flops, (long long)flops, memory_order_relaxed);
    atomic_fetch_add_explicit(&notes[op].bytes, (long long)bytes, memory_order_relaxed);
}

/* Counted before the call, which may move the state on. A device is waited for: the time is the work's. */
#define OP(name, args, call, flops, bytes)                                                                   \
    static void trace_##name args {                                                                          \
        double work = flops, moved = bytes;                                                                  \
        long long start = nanoseconds();                                                                     \
        inner->name call;                                                                                    \
        where->wait(where);                                                                                  \
        record(AT_##name, start, work, moved);                                                               \
    }
#define SIZE(name, args, call)                                                                               \
    static uint64_t trace_##name args {                                                                      \
        return inner->name call;                                                                             \
    }
#include "ops/ops.def"
#undef OP

static const xl_ops tracer = {
    .name = "trace",
#define OP(name, ...) .name = trace_##name,
#define SIZE(name, ...) .name = trace_##name,
#include "ops/ops.def"
#undef OP
};

const xl_ops *xl_traced(const xl_ops *op, xl_memory *memory) {
    if (!atomic_load(&on))
        return op;
    inner = op;
    where = memory;
    return &tracer;
}

void xlstm_profile_start(void) {
    for (int i = 0; i < OPS; i++) {
        atomic_store(&notes[i].calls, 0);
        atomic_store(&notes[i].nanoseconds, 0);
        atomic_store(&notes[i].flops, 0);
        atomic_store(&notes[i].bytes, 0);
    }
    atomic_store(&on, 1);
}

void xlstm_profile_stop(void) {
    atomic_store(&on, 0);
}

int xlstm_profile_count(void) {
    return OPS;
}

xlstm_status xlstm_profile_get(int index, xlstm_profile_op *out) {
    if (!out || index < 0 || index >= OPS)
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_profile_get needs room, and an index from 0 to %d; got %d",
                       OPS - 1, index);
    *out = (xlstm_profile_op){.name = names[index],
                              .calls = atomic_load(&notes[index].calls),
                              .seconds = 1e-9 * atomic_load(&notes[index].nanoseconds),
                              .flops = atomic_load(&notes[index].flops),
                              .bytes = atomic_load(&notes[index].bytes)};
    return XLSTM_OK;
}
