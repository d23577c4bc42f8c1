/* hash.c - bytes by SipHash-1-3 (Aumasson and Bernstein, 2012; one round for a word, three at the end), whose
 * key is drawn once per process. It is there before main(), so that threads need not agree who draws it. */
#ifdef __linux__
#define _DEFAULT_SOURCE /* getrandom */
#include <sys/random.h>
#endif
#include "base/hash.h"
#include "base/rng.h"
#include <string.h>
#include <time.h>

static uint64_t key[4];

void xl_hash_seed(uint64_t seed) {
    for (int i = 0; i < 4; i++)
        key[i] = xl_hash(seed, (uint64_t)i);
}

/* Where the system has no random numbers, not yet or never: time, and where it has put this library. */
__attribute__((constructor)) static void draw_key(void) {
    struct timespec now = {0};
    timespec_get(&now, TIME_UTC);
    xl_hash_seed((uint64_t)now.tv_sec * 1000000007u + (uint64_t)now.tv_nsec +
                 (uint64_t)(uintptr_t)&now * 31u + (uint64_t)(uintptr_t)key);
#ifdef __linux__
    uint64_t drawn[4];
    if (getrandom(drawn, sizeof drawn, GRND_NONBLOCK) == (ssize_t)sizeof drawn)
        memcpy(key, drawn, sizeof key);
#endif
}

static uint64_t turn(uint64_t x, int bits) {
    return x << bits | x >> (64 - bits);
}

static void mix(uint64_t v[4]) {
    v[0] += v[1];
    v[2] += v[3];
    v[1] = turn(v[1], 13) ^ v[0];
    v[3] = turn(v[3], 16) ^ v[2];
    v[0] = turn(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = turn(v[1], 17) ^ v[2];
    v[3] = turn(v[3], 21) ^ v[0];
    v[2] = turn(v[2], 32);
}

static void take(uint64_t v[4], uint64_t word) {
    v[3] ^= word;
    mix(v);
    v[0] ^= word;
}

uint64_t xl_hash_bytes(const void *bytes, size_t count) {
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du, key[0] ^ 0x6c7967656e657261u,
                     key[1] ^ 0x7465646279746573u};
    uint64_t last = (uint64_t)count << 56, word;
    const unsigned char *p = bytes;
    for (; count >= 8; count -= 8, p += 8) {
        memcpy(&word, p, 8);
        take(v, word);
    }
    for (size_t i = 0; i < count; i++)
        last |= (uint64_t)p[i] << 8 * i;
    take(v, last);
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        mix(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t xl_hash_pair(uint32_t a, uint32_t b) {
    uint64_t z = (((uint64_t)a << 32 | b) ^ key[2]) * (key[3] | 1);
    z = (z ^ z >> 32 ^ key[0]) * (key[1] | 1);
    return z ^ z >> 32;
}
