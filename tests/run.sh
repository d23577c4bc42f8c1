#!/bin/sh
# Installs what is missing, builds, and runs all tests. With --sanitize: under ASAN and UBSAN, warnings as errors.
set -eu
cd "$(dirname "$0")/.."
preset=release
case "${1:-}" in
--sanitize) preset=dev ;;
"") ;;
*)
    echo "usage: tests/run.sh [--sanitize]" >&2
    exit 2
    ;;
esac
sh tests/deps.sh
cmake --preset "$preset" -G Ninja -DXLSTM_WERROR=ON >/dev/null
cmake --build --preset "$preset"
# OpenBLAS keeps its buffers until the process ends, and CMocka jumps over frees when a test fails.
ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1} LSAN_OPTIONS="suppressions=$PWD/tests/lsan.txt" ctest --preset "$preset"
