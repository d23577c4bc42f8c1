#!/bin/sh
# Compiles library, programs and tests for another machine and runs the tests, those for ARM in qemu. On Debian, with root for
# apt; not in CI.
# usage: cross.sh arm64|armhf|i386 [FOLDER]   (keeps sysroot and build there; default: a temporary folder)
# Left out are tests that start programs or compile any, since qemu runs one program and not what that starts and this
# machine's compiler is not that one's; the examples that train for seconds, which are minutes there; for arm64 the test of
# far addresses, since qemu keeps a record of every page that is only reserved; and for armhf those that list folders, which
# qemu on a 64-bit machine shows empty.
set -eu
source=$(cd "$(dirname "$0")/../.." && pwd)
arch=${1:-}
case $arch in
arm64) triplet=aarch64-linux-gnu more='|test_huge' ;;
armhf) triplet=arm-linux-gnueabihf more='|corpus_' ;;
i386) triplet=i686-linux-gnu ;;
*)
    echo "usage: cross.sh arm64|armhf|i386 [FOLDER]" >&2
    exit 2
    ;;
esac
if [ $# -gt 1 ]; then
    mkdir -p "$2/$arch"
    work=$(cd "$2/$arch" && pwd)
else
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
fi
sh "$source/tests/deps.sh" "gcc-$triplet" "libc6-dev-$arch-cross" qemu-user mmdebstrap
if [ ! -d "$work/sysroot/usr" ]; then
    mirror=$(sh "$source/tests/mirror.sh")
    mmdebstrap --quiet --variant=extract --architectures="$arch" \
        --include=libc6-dev,libgcc-s1,libgomp1,libjansson-dev,libutf8proc-dev,libcmocka-dev,libopenblas-dev,zlib1g-dev \
        bookworm "$work/sysroot" "$mirror"
fi
# -O2, since gcc 12's -O3 for arm64 stops with an internal error in one of the tests.
cmake -S "$source" -B "$work/build" -G Ninja --toolchain "$source/tests/portability/cross.cmake" -DXLSTM_TRIPLET=$triplet \
    -DXLSTM_SYSROOT="$work/sysroot" -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS_RELEASE="-O2 -DNDEBUG" \
    -DXLSTM_WERROR=ON >/dev/null
cmake --build "$work/build"
ctest --test-dir "$work/build" --output-on-failure -j "$(nproc)" \
    -E "test_altered|test_kill|bench_|declarations|pages|example_(parity|recall|characters|forecast)${more:-}"
