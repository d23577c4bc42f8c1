#!/bin/sh
# Installs what is missing, builds, and runs all tests. With --sanitize: under ASAN and UBSAN; with --clang-sanitize:
# under clang's. With --valgrind: a training step of every kind of module, sessions and generation under valgrind.
# With --clang: by clang and its OpenMP, with products by OpenBLAS. With --plain: without OpenMP. With --threads: sessions that
# share a module, first uses and trainers side by side, under TSAN.
# With --baseline: on the instructions alone that every machine of this architecture has.
# With --format: C sources must be as clang-format 14 (Debian 12's) writes them; with --tidy: library, programs and
# examples must pass the checks of .clang-tidy; nothing is built. With --fuzz TARGET [SECONDS]: one fuzz target of
# tests/fuzz, what it finds is left in build-fuzz.
# With --docs: the API reference, in which nothing may lack its documentation (left in build-docs/docs/html), and the steps
# of docs/adding.md.
set -eu
cd "$(dirname "$0")/.."
preset=release
case "${1:-}" in
--sanitize) preset=dev ;;
--clang-sanitize) preset=clang-dev more="clang libomp-dev" ;;
--clang) preset=clang more="clang libomp-dev" ;;
--plain) preset=plain ;;
--threads) preset=tsan ;;
--docs) preset=docs more=doxygen ;;
--format) preset="" more=clang-format ;;
--tidy) preset=clang more="clang clang-tidy libomp-dev" ;;
--fuzz) preset=fuzz more=clang ;;
--baseline) export XLSTM_BACKEND=base ;;
"" | --valgrind) ;;
--help)
    sed -n '2,/^set/s/^# //p' tests/run.sh
    exit
    ;;
*)
    echo "usage: tests/run.sh [--sanitize | --clang-sanitize | --valgrind | --clang | --plain | --threads | --baseline | --docs |" >&2
    echo "                     --format | --tidy | --fuzz TARGET [SECONDS]]" >&2
    exit 2
    ;;
esac
sh tests/deps.sh ${more:-}
if [ "${1:-}" = --format ]; then
    find include lib bench examples tests -name '*.[ch]' | xargs clang-format --dry-run -Werror
    exit
fi
if [ "${1:-}" = --tidy ]; then # its own folder: there every file is compiled once, and assertions say what holds
    cmake --preset "$preset" -B build-tidy -G Ninja -DCMAKE_BUILD_TYPE=Debug -DXLSTM_BUILD_TESTS=OFF \
        -DCMAKE_EXPORT_COMPILE_COMMANDS=ON >/dev/null
    find lib bench examples -name '*.c' |
        xargs -n 1 -P "$(nproc)" clang-tidy -p build-tidy --quiet 2>build-tidy/stderr # how much it left out
    exit
fi
export CMAKE_GENERATOR=Ninja # where there is no build yet
cmake --preset "$preset" -DXLSTM_BUILD_TESTS=ON -DXLSTM_WERROR=ON >/dev/null # bench/run.sh leaves them out
cmake --build --preset "$preset"
if [ "${1:-}" = --fuzz ]; then
    target=${2:?"--fuzz needs one of: safetensors config tokenizer checkpoint api result model forecast"}
    mkdir -p "build-fuzz/found/$target"
    TMPDIR=/dev/shm exec "build-fuzz/tests/fuzz/fuzz_$target" -max_total_time="${3:-600}" -rss_limit_mb=2048 -timeout=60 \
        -artifact_prefix="build-fuzz/found/$target-" "build-fuzz/found/$target" "tests/fuzz/corpus/$target"
fi
if [ "${1:-}" = --valgrind ]; then
    for test in layer/test_plan layer/test_training layer/test_split layer/test_quantize api/test_sample; do
        valgrind -q --error-exitcode=9 --leak-check=full --show-leak-kinds=definite,indirect \
            --errors-for-leak-kinds=definite,indirect "build/tests/$test" # OpenMP keeps its threads' memory
    done
    exit
fi
# OpenBLAS keeps its buffers until the process ends, and CMocka jumps over frees when a test fails.
ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1} LSAN_OPTIONS="suppressions=$PWD/tests/lsan.txt" ctest --preset "$preset"
