/* bf16_amx.c - products in bfloat16 by AMX: four tiles of sums, two of each operand, all eight that there
 * are. */
#define _DEFAULT_SOURCE /* syscall() */
#include "ops/cpu/bf16.h"
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

static void multiply(int depth, const uint16_t *A, const uint16_t *B, float *C) {
    enum { ROW = BF16_DEPTH * sizeof *A, SUMS = BF16_BLOCK * sizeof *C };
    __asm__ volatile(
        "" ::
            : "memory"); /* what was packed is in memory: gcc's tile loads do not say that they read it */
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int d = 0; d < depth; d++, A += 2 * BF16_TILE, B += 2 * BF16_TILE) {
        _tile_loadd(4, A, ROW);
        _tile_loadd(6, B, ROW);
        _tile_loadd(7, B + BF16_TILE, ROW);
        _tile_loadd(5, A + BF16_TILE, ROW);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, C, SUMS);
    _tile_stored(1, C + BF16_SIDE, SUMS);
    _tile_stored(2, C + BF16_SIDE * BF16_BLOCK, SUMS);
    _tile_stored(3, C + BF16_SIDE * BF16_BLOCK + BF16_SIDE, SUMS);
}

/* Every tile: 16 rows of 64 bytes. A constant, because gcc's _tile_loadconfig() tells the compiler of its
 * first bytes only: stores to the others would be dropped as never read. */
static void begin(void) {
    static const struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } shape = {
        .palette = 1, .bytes = {64, 64, 64, 64, 64, 64, 64, 64}, .rows = {16, 16, 16, 16, 16, 16, 16, 16}};
    _tile_loadconfig(&shape);
}

static void end(void) {
    _tile_release();
}

/* The processor must have it, and the system must let this process use it, for which it has to be asked. */
int xl_bf16_amx_there(void) {
    enum { AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24, ASK_FOR_STATE = 0x1023, TILE_DATA = 18 };
    unsigned a, b, c, d;
    if (!xl_bf16_avx512_there() || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & AMX_BF16) == 0 ||
        (d & AMX_TILE) == 0)
        return 0;
    return syscall(SYS_arch_prctl, ASK_FOR_STATE, TILE_DATA) == 0;
}

static void pack(uint16_t *tile, const float *p, ptrdiff_t ld, int transposed, int right) {
    xl_bf16_avx512.pack(tile, p, ld, transposed, right);
}

const xl_bf16_kernel xl_bf16_amx = {"amx", multiply, pack, begin, end};
