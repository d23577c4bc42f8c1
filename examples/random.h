/* random.h - random numbers for data that programs make up themselves; the same seed gives the same data
 * everywhere. */
#ifndef RANDOM_H
#define RANDOM_H

#include <stdint.h>

/* splitmix64: 64 random bits; `state` may start at any number. */
static inline uint64_t random_bits(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* In [0, 1). */
static inline double random_uniform(uint64_t *state) {
    return (double)(random_bits(state) >> 11) * 0x1p-53;
}

/* 0 to n-1. */
static inline int random_below(uint64_t *state, int n) {
    return (int)(random_uniform(state) * n);
}

#endif
