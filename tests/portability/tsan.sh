#!/bin/sh
# sh tests/portability/tsan.sh [TEST...]: the tests in which threads meet, built by clang with OpenMP, under
# ThreadSanitizer. It sees through OpenMP's own barriers only by what LLVM's OpenMP tells a tool of it, Archer, which
# Debian has in libomp-dev: without it every team would be a race. BLAS is left out, since what is not built with the
# sanitizer hides its locks from it. (tests/run.sh --threads is the same without OpenMP, by gcc.)
set -eu
cd "$(dirname "$0")/../.."
case "${1:-}" in
-*) sed -n '2,/^set/s/^# //p' "$0"; exit ;;
esac
[ $# -gt 0 ] || set -- test_sharing closed_sharing test_process test_training test_split test_parallel
sh tests/deps.sh clang libomp-dev
archer=$(clang -print-file-name=libarcher.so)
[ -f "$archer" ] || archer=$(find /usr/lib/llvm-*/lib -name libarcher.so | sort | tail -n 1)
[ -f "$archer" ] || { echo "tsan.sh: no libarcher.so; it comes with LLVM's OpenMP (libomp-dev)" >&2; exit 2; }
export CMAKE_GENERATOR=Ninja
cmake -S . -B build-archer -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_C_COMPILER=clang -DCMAKE_C_FLAGS=-fsanitize=thread \
    -DXLSTM_BLAS=OFF -DXLSTM_WERROR=ON -DXLSTM_BUILD_BENCH=OFF -DXLSTM_BUILD_EXAMPLES=OFF >/dev/null
cmake --build build-archer --target "$@"
pattern=$(echo "$@" | tr ' ' '|')
OMP_TOOL_LIBRARIES=$archer OMP_NUM_THREADS=4 TSAN_OPTIONS="halt_on_error=1 ignore_noninstrumented_modules=1" \
    ctest --test-dir build-archer --output-on-failure --no-tests=error -R "^($pattern)\$"
