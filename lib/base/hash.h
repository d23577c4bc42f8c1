/* hash.h - where things go in hash tables: numbers that nobody can foresee who has not this process's seed,
 * so that no file can fill one place of a table. What is found never depends on them, only where it lies. */
#ifndef XL_HASH_H
#define XL_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t xl_hash_bytes(const void *bytes, size_t count);
/* Of two numbers, which is faster. */
uint64_t xl_hash_pair(uint32_t a, uint32_t b);

/* Tests look whether anything depends on it: tables made before are useless then. */
void xl_hash_seed(uint64_t seed);

#endif
