/* bandwidth.h - how fast this machine reads memory, the limit of generating one token after another, and what
 * a token reads. */
#ifndef BANDWIDTH_H
#define BANDWIDTH_H

#include "xlstm.h"

/* Bytes per second that so many threads read together, the best of five passes over 1 GiB. 0: no memory. */
double read_bandwidth(int threads);

/* Bytes of weights that one token reads: all but an embedding that is not the head too, of which it reads one
 * row. */
double weight_bytes(const xlstm_module *m);

#endif
