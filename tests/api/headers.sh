#!/bin/sh
# Every public header compiles alone, as C11 and as C++17. usage: headers.sh   (CC, CXX: compilers)
set -eu
include=$(cd "$(dirname "$0")/../../include" && pwd)
export CC="${CC:-cc}"
case $CC in *clang*) CXX="${CXX:-clang++}" ;; *) CXX="${CXX:-c++}" ;; esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
warnings="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror"
count=0
for header in $(cd "$include" && find . -name '*.h' | sed 's,^\./,,'); do
    # twice: the guard works; a declaration of our own: a header must not end in the middle of one
    printf '#include <%s>\n#include <%s>\nextern int xlstm_after;\n' "$header" "$header" >"$work/alone.c"
    cp "$work/alone.c" "$work/alone.cpp"
    $CC -std=c11 $warnings -Wstrict-prototypes -I"$include" -fsyntax-only "$work/alone.c"
    $CXX -std=c++17 $warnings -Wold-style-cast -I"$include" -fsyntax-only "$work/alone.cpp"
    count=$((count + 1))
done
[ $count -gt 5 ]
echo "$count headers compile alone, as C11 and as C++17"
