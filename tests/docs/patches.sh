#!/bin/sh
# Does what a page tells people to do: applies its ```diff blocks to a copy of the source, writes its new files (```c blocks with a
# file's name in a comment as their first line), builds that and runs the tests that such additions must pass.
# usage: patches.sh PAGE.md
set -eu
page=$(realpath "$1")
source=$(cd "$(dirname "$0")/../.." && pwd)
sh "$source/tests/deps.sh" patch
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tree" "$work/blocks"
cp -r "$source/CMakeLists.txt" "$source/include" "$source/lib" "$source/examples" "$source/bench" "$source/tests" "$work/tree"
awk -v work="$work/blocks" '
    inside && /^```/ { inside = 0; close(file) }
    inside { print > file }
    /^```(c|diff)$/ { inside = 1; file = sprintf("%s/%03d.%s", work, ++n, substr($0, 4)); printf "" > file }
' "$page"
cd "$work/tree"
count=0
for block in "$work"/blocks/*; do
    case $block in
    *.diff) patch -p1 -s --no-backup-if-mismatch <"$block" || { cat "$block" >&2; exit 1; } ;;
    *.c)
        file=$(sed -n '1s,^/\* \(lib/.*\) \*/$,\1,p' "$block")
        [ -n "$file" ] || continue
        if [ -e "$file" ]; then
            echo "patches.sh: $file is not new" >&2
            exit 1
        fi
        sed 1d "$block" >"$file"
        ;;
    esac
    count=$((count + 1))
done
[ $count -ge 16 ]
tests="test_kinds test_structs test_ops test_gradients test_split test_split_double test_plan test_training test_ragged_double test_quantize
    closed_contract closed_training"
quietly() {
    "$@" >"$work/log" 2>&1 || {
        tail -40 "$work/log" >&2
        exit 1
    }
}
quietly cmake -S . -B build -DCMAKE_BUILD_TYPE=Release -DXLSTM_WERROR=ON -DXLSTM_BUILD_BENCH=OFF
quietly cmake --build build --parallel "$(nproc)" --target $tests xlstm-generate
quietly ctest --test-dir build -R "^($(echo $tests | tr ' ' '|'))\$"
echo "$count steps of $(basename "$page") applied, built and tested"
