#!/bin/sh
# The check of comparisons passes on this tree, and fails with each way of comparing that NaN passes planted in it, in every
# language, but not where comments and texts speak of one; and where a known one is gone.  usage: test_comparisons.sh
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sh "$here/comparisons.sh"
mkdir -p "$work/tests"
cp -r "$here/../../examples" "$here/../../bench" "$work"
for folder in "$here"/../*/; do
    cp -r "$folder" "$work/tests"
done
sh "$work/tests/lint/comparisons.sh" >"$work/out"

# finds FILE TEXT SENTENCE: with the text in the file, the check fails and says it
finds() {
    printf '%s\n' "$2" >"$work/$1"
    if sh "$work/tests/lint/comparisons.sh" >"$work/out" 2>&1; then
        echo "comparisons.sh did not see in $1: $2" >&2
        exit 1
    fi
    grep -qF "comparisons: $1:1: $3" "$work/out" || {
        cat "$work/out" >&2
        exit 1
    }
    rm "$work/$1"
}
passes() {
    printf '%s\n' "$2" >"$work/$1"
    sh "$work/tests/lint/comparisons.sh" >"$work/out" 2>&1 || {
        cat "$work/out" >&2
        exit 1
    }
    rm "$work/$1"
}

magnitude="a magnitude is compared"
maximum="a running maximum leaves NaN out"
error="an error is compared"
script="NaN passes"
finds tests/layer/planted.c 'if (error > tolerance) fail();' "$error"
finds tests/layer/planted.c 'int bad = x >= allowed;' "$error"
finds tests/ops/planted.h 'worst = fmax(worst, d);' "$maximum"
finds tests/ops/planted.c 'c.worst = fmaxf(d, c.worst);' "$maximum"
finds tests/install/planted.cpp 'worst = std::fmax(worst, d);' "$maximum"
finds examples/planted.c 'worst = d > worst ? d : worst;' "$maximum"
finds examples/planted.c 'largest = largest < d ? d : largest;' "$maximum"
finds examples/programs/planted.c 'assert_true(fabs(a - b) < 1e-5);' "$magnitude"
finds bench/compare/planted.c 'if (fabsf(
    a - b) >= 1) return;' "$magnitude"
finds bench/report/planted.c '#define FAR(a, b) (fabs((a) - (b)) > 1)' "$magnitude"
finds tests/api/planted.c 'assert_float_equal(a, b, 1e-5);' "passes NaN"
finds tests/golden/planted.py 'worst = max(abs(x - y) for x, y in zip(a, b))' "$script"
finds bench/peers/planted.py 'assert numpy.allclose(a, b, equal_nan=True)' "$script"
finds bench/peers/planted.py 'if error > 1e-3: sys.exit(1)' "$script"
finds tests/bench/planted.sh 'awk "{ if (\$2 > 2) bad = 1 } END { exit bad }"' "$script"
passes tests/layer/planted.c '/* not if (error > tolerance) */ const char *s = "worst = fmax(worst, d);"; // fabs(x) > 1'
passes tests/layer/planted.c 'double size = fabs(x); for (int i = 0; i < n; i++) top = p->worst;'
passes tests/golden/planted.py '# worst = max(abs(x))'

sed -i "s,^known=',&\ntests/gone.c: worst = fmax(worst; d)," "$work/tests/lint/comparisons.sh"
if sh "$work/tests/lint/comparisons.sh" >"$work/out" 2>&1 || ! grep -q "a known one is gone.*tests/gone.c" "$work/out"; then
    echo "comparisons.sh did not see that a known one is gone" >&2
    exit 1
fi
echo "comparisons hold"
