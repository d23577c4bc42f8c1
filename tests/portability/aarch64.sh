#!/bin/sh
# Compiles library, programs and tests for 64-bit ARM and runs the tests in qemu. On Debian, with root for apt; not in CI.
# usage: aarch64.sh [FOLDER]   (keeps sysroot and build there; default: a temporary folder)
# Left out are tests that start programs or compile any, since qemu runs one program and not what that starts and this
# machine's compiler is not that one's; the test of far addresses, since qemu keeps a record of every page that is only
# reserved; and the examples that train for seconds, which are minutes there.
set -eu
source=$(cd "$(dirname "$0")/../.." && pwd)
if [ $# -gt 0 ]; then
    mkdir -p "$1"
    work=$(cd "$1" && pwd)
else
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
fi
sh "$source/tests/deps.sh" gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user mmdebstrap
if [ ! -d "$work/sysroot/usr" ]; then
    mmdebstrap --quiet --variant=extract --architectures=arm64 \
        --include=libc6-dev,libgcc-s1,libgomp1,libjansson-dev,libutf8proc-dev,libcmocka-dev,libopenblas-dev,zlib1g-dev \
        bookworm "$work/sysroot"
fi
# -O2, since gcc 12's -O3 for this machine stops with an internal error in one of the tests.
cmake -S "$source" -B "$work/build" -G Ninja --toolchain "$source/tests/portability/aarch64.cmake" \
    -DXLSTM_SYSROOT="$work/sysroot" -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS_RELEASE="-O2 -DNDEBUG" \
    -DXLSTM_WERROR=ON >/dev/null
cmake --build "$work/build"
ctest --test-dir "$work/build" --output-on-failure -j "$(nproc)" \
    -E 'test_altered|test_kill|test_huge|bench_|declarations|pages|example_(parity|recall|characters|forecast)'
