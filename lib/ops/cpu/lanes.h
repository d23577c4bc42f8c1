/* lanes.h - a vector of floats as wide as the instruction set has it, for kernels that count registers. */
#ifndef XL_LANES_H
#define XL_LANES_H

#if defined(__AVX512F__)
enum { WIDTH = 16 };
#elif defined(__AVX__)
enum { WIDTH = 8 };
#else
enum { WIDTH = 4 };
#endif
typedef float lanes __attribute__((vector_size(WIDTH * sizeof(float))));
typedef float lanes_anywhere __attribute__((vector_size(WIDTH * sizeof(float)), aligned(4)));
#define LANES_AT(p) (*(lanes_anywhere *)(void *)(p))
#define LANES_OF(p) (*(const lanes_anywhere *)(const void *)(p))

#endif
