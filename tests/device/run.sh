#!/bin/sh
# Everything that needs a card, on a machine that has one: ops against the reference, programs whose modules lie there, reference
# cases, training, and the card's own checks of memory. Prints a line for each and a summary, and goes on behind failures.
#
#     sh tests/device/run.sh BUILD [DEVICE] [RESULTS]     BUILD: a build folder with tests, in which libxlstm_cuda is
build=$1 device=${2:-cuda:0} results=${3:-.} root=$(cd "$(dirname "$0")/../.." && pwd)
passed=0 failed=0 failures=
export LD_LIBRARY_PATH=$build:$LD_LIBRARY_PATH

# one NAME SECONDS COMMAND...: output in RESULTS/NAME.log, and its end where it fails
one() {
    name=$1 limit=$2
    shift 2
    began=$(date +%s)
    if timeout "$limit" "$@" >"$results/$name.log" 2>&1; then
        passed=$((passed + 1))
        echo "ok    $name, $(($(date +%s) - began)) s"
    else
        code=$?
        failed=$((failed + 1)) failures="$failures $name"
        echo "FAIL  $name, exit code $code, $(($(date +%s) - began)) s"
        grep -v "^\[ *\(OK\|RUN\) *\]" "$results/$name.log" | head -c 1500 | tail -12 | sed 's/^/      /'
    fi
}

test_of() {
    find "$build/tests" -name "$1" -type f | head -1
}

for t in test_ops test_masked test_rows test_device; do
    one "$t" 240 env XLSTM_TEST_DEVICE="$device" "$(test_of $t)"
done
for t in test_ops test_masked test_rows test_device; do # code that the driver makes, as for other architectures
    one "ptx_$t" 240 env CUDA_FORCE_PTX_JIT=1 XLSTM_TEST_DEVICE="$device" "$(test_of $t)"
done
grep -h "within\|operations\|has no\|MiB are free" "$results/test_device.log"
for t in training split ragged kinds streams plan quantize fingerprint not_finite_inputs model_io_inside initial curve_inside checkpoint \
    resume_inside not_finite sharing stack sample process; do
    [ -n "$(test_of test_$t)" ] && one "on_device_$t" 120 env XLSTM_DEVICE="$device" "$(test_of test_$t)"
done
for model in "$root"/tests/golden/data/*/; do
    [ -f "$model/case.safetensors" ] &&
        one "check_$(basename "$model")" 60 "$build/examples/xlstm-check" --device "$device" "$model" "$model/case.safetensors"
done
if command -v compute-sanitizer >/dev/null; then
    for tool in ${SANITIZE-memcheck racecheck initcheck}; do
        one "$tool" 200 compute-sanitizer --tool "$tool" --error-exitcode 9 env XLSTM_DEVICE="$device" "$(test_of test_training)"
    done
fi
echo "$(date +%F): $passed passed, $failed failed:${failures:- none}; $(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -1)"
[ "$failed" = 0 ]
