#!/bin/sh
# The public declarations are those of declarations.txt, and the shared library exports exactly the functions among them.
# A change there is a change for every user: after a wanted one (most of all an addition) write the list anew with
#     sh tests/api/declarations.sh --update
# usage: declarations.sh LIBRARY.so | --update   (CC, NM: compiler and nm)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
include=$here/../../include
list=${XLSTM_DECLARATIONS:-$here/declarations.txt}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LC_ALL=C

# What the preprocessor leaves of our own headers, one declaration a line with single blanks, sorted.
declarations() {
    printf '#include "xlstm.h"\n' | ${CC:-cc} -std=c11 -E -I"$include" - |
        awk '/^# [0-9]+ "/ { ours = $0 ~ /include\/xlstm/; next }
             ours { text = text " " $0 }
             END {
                 gsub(/__attribute__\(\(visibility\("default"\)\)\)/, "", text)
                 gsub(/[ \t]+/, " ", text)
                 n = length(text)
                 for (i = 1; i <= n; i++) {
                     c = substr(text, i, 1)
                     depth += (c == "{") - (c == "}")
                     line = line c
                     if (depth == 0 && (c == ";" || (c == "}" && line ~ /^ ?static inline/))) { sub(/^ /, "", line); print line; line = "" }
                 }
             }' | sort
}

# Members on lines of their own, for people and for diff.
readable() {
    sed -e 's/{ /{\n    /' -e '/^typedef enum\|^enum/s/, /,\n    /g' |
        awk '/{$/ { inside = 1; print; next }
             inside && /}/ { gsub(/; /, ";\n    "); sub(/ *}/, "\n}"); inside = 0 }
             { print }' | sed '/^ *$/d'
}

if [ "${1:-}" = --update ]; then
    declarations | readable >"$list.tmp"
    mv "$list.tmp" "$list"
    exit 0
fi

declarations | readable >"$work/now"
status=0
if ! diff -u "$list" "$work/now" >"$work/diff"; then
    echo "public declarations differ from tests/api/declarations.txt (- is gone or was changed, + is new):" >&2
    sed 1,2d "$work/diff" >&2
    echo "if that is wanted: sh tests/api/declarations.sh --update" >&2
    status=1
fi
declarations | awk '!/^(typedef|enum|struct|static)/ && match($0, /xlstm_[a-z0-9_]+\(/) { print substr($0, RSTART, RLENGTH - 1) }' |
    sort -u >"$work/declared"
${NM:-nm} -D --defined-only "$1" | awk '{ print $3 }' | sed 's/@.*//' | sort -u >"$work/exported"
[ "$(wc -l <"$work/declared")" -gt 40 ]
if ! diff "$work/declared" "$work/exported" >"$work/diff"; then
    echo "declared functions (<) and exported symbols (>) differ:" >&2
    cat "$work/diff" >&2
    status=1
fi
[ $status -ne 0 ] || echo "$(wc -l <"$work/exported") symbols are exported, as declared"
exit $status
