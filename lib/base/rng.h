/* rng.h - random numbers as a pure function of (key, counter), so that dropout masks can be recomputed in
 * the backward pass and no result depends on who asks first. */
#ifndef XL_RNG_H
#define XL_RNG_H

#include <stdint.h>

/* Two rounds of the splitmix64 finaliser over key and counter. */
static inline uint64_t xl_hash(uint64_t key, uint64_t counter) {
    uint64_t z = key + 0x9e3779b97f4a7c15u * (counter + 1);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    z += key;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

typedef struct {
    uint64_t key, counter;
} xl_rng;

static inline uint64_t xl_rng_next(xl_rng *r) {
    return xl_hash(r->key, r->counter++);
}

static inline double xl_rng_uniform(xl_rng *r) { /* [0, 1) */
    return (xl_rng_next(r) >> 11) * 0x1p-53;
}

double xl_rng_normal(xl_rng *r); /* mean 0, standard deviation 1 */

#endif
