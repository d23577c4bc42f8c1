/* bandwidth.h - how fast this machine reads memory: the limit of generating one token after another. */
#ifndef BANDWIDTH_H
#define BANDWIDTH_H

/* Bytes per second that so many threads read together, the best of five passes over 1 GiB. 0: no memory. */
double read_bandwidth(int threads);

#endif
