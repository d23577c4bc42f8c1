/* sequences.h - tasks whose data are sequences made from a seed: ragged sets in memory, a new order every
 * epoch, losses and answers by position. */
#ifndef SEQUENCES_H
#define SEQUENCES_H

#include "bench.h"

/* `count` sequences of at most `length`, each padded to it. */
typedef struct {
    int count, length;
    int in;                     /* numbers in a vector; 0: tokens */
    int32_t *lengths;           /* [count] */
    int32_t *tokens, *targets;  /* [count, length]; targets below 0 are not asked for */
    xlstm_real *x, *y, *weight; /* [count, length, in], [count, length], [count, length] */
} sequences;

void sequences_make(sequences *s, int count, int length, int in);
void sequences_free(sequences *s);
/* Rows `row[0..batch)` of a set as a batch in `to`, which has room for that many; a row below 0 is empty. */
xlstm_batch sequences_gather(const sequences *s, sequences *to, const int64_t *row, int batch);

/* Sums by position over a whole set, [length] each. */
typedef struct {
    int length;
    double *sum, *count;           /* losses, and what counted */
    double *last_sum, *last_count; /* only of each sequence's last position */
} positions;
positions positions_of_losses(xlstm_module *m, const sequences *s, int batch);
/* Right answers in place of losses: those whose token has the highest logit. Token tasks only. */
positions positions_of_answers(xlstm_module *m, const sequences *s, int batch);
void positions_free(positions *p);
/* sum / count over positions from .. to-1; NaN when nothing counted */
double positions_mean(const double *sum, const double *count, int from, int to);
json_t *positions_json(const positions *p); /* the mean at each, a list */

/* A task over such sets; `test` may have several. Open with sequence_task_open(), which sets what is common.
 */
typedef struct {
    task task;
    sequences train, valid, *test;
    int tests;
    sequences hand; /* the batch in hand */
    int32_t *order; /* of the training set in the epoch `epoch` of `seed` */
    uint64_t seed;
    int64_t epoch;
    const char *scored; /* which answers count, if not all */
} sequence_task;
void sequence_task_open(sequence_task *t, const options *o, const char *name, int tests);
/* When the sets are made. */
void sequence_task_ready(sequence_task *t);
void sequence_task_close(task *t);

/* Random numbers that a set is made from. */
double uniform(uint64_t *state);       /* [0, 1) */
int below(uint64_t *state, int limit); /* 0 .. limit-1 */
void shuffle(uint64_t *state, int32_t *a, int count);

#endif
