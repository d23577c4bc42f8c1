#!/bin/sh
# test_hostile.c calls every public function; and this check would notice if it did not.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
missing() { # of the functions declared in the list
    grep -v '^typedef\|^    ' "$1" | grep -oE '\bxlstm_[a-z0-9_]+\(' | sort -u | while read -r name; do
        grep -qF "$name" "$here/test_hostile.c" || echo "$name"
    done
}
[ "$(grep -cE '^[a-z].*\bxlstm_[a-z0-9_]+\(' "$here/declarations.txt")" -gt 60 ]
left=$(missing "$here/declarations.txt")
if [ -n "$left" ]; then
    echo "tests/api/test_hostile.c has no case for:" $left >&2
    exit 1
fi
list=$(mktemp)
trap 'rm -f "$list"' EXIT
echo "xlstm_status xlstm_never_tried(int size);" | cat "$here/declarations.txt" - >"$list"
[ "$(missing "$list")" = "xlstm_never_tried(" ]
