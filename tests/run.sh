#!/bin/sh
# Installs what is missing, builds, and runs all tests. With --sanitize: under ASAN and UBSAN. With --valgrind:
# a training step of every kind of module, sessions and generation under valgrind. With --clang: by clang and its
# OpenMP. With --plain: without OpenMP and without BLAS. With --threads: sessions that share a module, under TSAN.
# With --baseline: on the instructions alone that every machine of this architecture has.
# With --docs: the API reference, in which nothing may lack its documentation; it is left in build-docs/docs/html.
set -eu
cd "$(dirname "$0")/.."
preset=release
case "${1:-}" in
--sanitize) preset=dev ;;
--clang) preset=clang more="clang libomp-dev" ;;
--plain) preset=plain ;;
--threads) preset=tsan ;;
--docs) preset=docs more=doxygen ;;
--baseline) export XLSTM_BACKEND=base ;;
"" | --valgrind) ;;
*)
    echo "usage: tests/run.sh [--sanitize | --valgrind | --clang | --plain | --threads | --docs]" >&2
    exit 2
    ;;
esac
sh tests/deps.sh ${more:-}
cmake --preset "$preset" -G Ninja -DXLSTM_WERROR=ON >/dev/null
cmake --build --preset "$preset"
if [ "${1:-}" = --valgrind ]; then
    for test in layer/test_plan layer/test_training layer/test_split layer/test_quantize api/test_sample; do
        valgrind -q --error-exitcode=9 --leak-check=full --show-leak-kinds=definite,indirect \
            --errors-for-leak-kinds=definite,indirect "build/tests/$test" # OpenMP keeps its threads' memory
    done
    exit
fi
# OpenBLAS keeps its buffers until the process ends, and CMocka jumps over frees when a test fails.
ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1} LSAN_OPTIONS="suppressions=$PWD/tests/lsan.txt" ctest --preset "$preset"
