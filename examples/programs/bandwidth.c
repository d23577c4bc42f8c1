/* bandwidth.c - memory is as fast as several threads can sum it: more than caches hold, several sums at once,
 * the best of some passes. And what of it one token takes. */
#include "bandwidth.h"
#include "program.h"
#include <math.h>
#include <pthread.h>

enum { PASSES = 5, MAX_READERS = 256, LANES = 16 };
static const size_t TOTAL = (size_t)1 << 30;

typedef struct {
    const uint64_t *from;
    size_t count;
    uint64_t sum;
} reader;

/* Several sums at once, so that the loop waits for memory only. */
static void *read_all(void *context) {
    reader *r = context;
    uint64_t sums[LANES] = {0};
    for (size_t i = 0; i + LANES <= r->count; i += LANES)
        for (int k = 0; k < LANES; k++)
            sums[k] += r->from[i + (size_t)k];
    for (int k = 0; k < LANES; k++)
        r->sum += sums[k];
    return NULL;
}

static double one_pass(reader *readers, int threads) {
    pthread_t ids[MAX_READERS];
    double start = now();
    for (int i = 0; i < threads; i++)
        if (pthread_create(&ids[i], NULL, read_all, &readers[i]))
            return 0;
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    return (double)TOTAL / (now() - start);
}

double read_bandwidth(int threads) {
    static volatile uint64_t used; /* or the compiler would see that nobody wants the sums */
    char *memory = malloc(TOTAL);
    reader readers[MAX_READERS] = {{0}};
    double best = 0;
    if (!memory)
        return 0;
    memset(memory, 1, TOTAL);
    threads = threads < 1 ? 1 : threads > MAX_READERS ? MAX_READERS : threads;
    for (int pass = 0; pass < PASSES; pass++) {
        for (int i = 0; i < threads; i++) {
            size_t count = TOTAL / sizeof(uint64_t) / (size_t)threads;
            readers[i] = (reader){(const uint64_t *)(void *)memory + (size_t)i * count, count, 0};
        }
        double speed = one_pass(readers, threads);
        best = speed > best ? speed : best;
        used = used + readers[0].sum;
    }
    free(memory);
    return best;
}

static double row_bytes(xlstm_weights weights, int cols) {
    static const double bytes[] = {sizeof(xlstm_real), 2, 1, 0.5};
    int scales = weights == XLSTM_WEIGHTS_INT8 ? 1 : weights == XLSTM_WEIGHTS_INT4 ? (cols + 31) / 32 : 0;
    return ceil(cols * bytes[weights]) + scales * (double)sizeof(float);
}

double weight_bytes(const xlstm_module *m) {
    const xlstm_config *c = xlstm_module_config(m);
    double unread = c->tie_weights ? 0 : c->vocab_size - 1;
    return (double)xlstm_module_bytes(m) - unread * row_bytes(c->weights, c->embedding_dim);
}
