/* speed.h - xlstm-speed in three parts: what to measure and how to show it (xlstm-speed.c), one measurement
 * in a process of its own (speed_serve.c), and those processes (speed_child.c). A measurement is asked for by
 * one line of JSON; bench/peers/speed.py answers the same lines in Python. */
#ifndef SPEED_H
#define SPEED_H

#include "bench.h"
#include <sys/types.h>

enum { MAX_REPEATS = 1000 };

typedef struct {
    const char *model, *measure,
        *weights; /* measure: train, forward, decode, or of the machine: sgemm, read */
    int width, blocks, heads, batch, time, vocab, threads;
    double seconds;        /* a sample takes at least this long */
    json_int_t parameters; /* of the model to be compared with; 0: none */
} request;

/* Answers a request from the standard input until that ends; returns the exit code. */
int serve(void);
/* The processor that OpenBLAS, where sgemm is by it, has taken its kernels for; NULL: there is none. */
const char *blas_core(void);
/* The model that a request is about. */
xlstm_config model_config(const request *r);

/* A process that measures, and what it has said. Units are tokens; of the machine: FLOP or bytes. */
typedef struct {
    request what;
    pid_t pid;
    FILE *to, *from;
    char *failure;             /* why it could not be run; NULL: it ran */
    double parameters, flops;  /* FLOP of a unit; 0: not known */
    double bytes, planned;     /* of weights and state for a token; memory of the trainer's plan */
    double rates[MAX_REPEATS]; /* units per second; sorted when it has ended */
    int samples;
    json_t *profile; /* NULL, or a list of ops */
    double peak;     /* bytes resident at most */
} child;

/* program: NULL for this one, or an interpreter and its script. */
void child_start(child *c, const char *program, const char *script);
void child_sample(child *c);
void child_end(child *c);
double child_median(const child *c); /* units per second; NAN if it did not run */

#endif
