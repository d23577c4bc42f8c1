#!/bin/sh
# Compiles every ```c block of the pages. What a block is, it says itself:
# - with a main(): a program, which is also run and has to end with 0;
# - with a file's name in a comment as its first line, such as "/* lib/layer/mine.c": that file of the library
#   (on a page with ```diff blocks, patches.sh does that instead: the file may need what they add);
# - anything else: statements, which stand in a function that has the usual handles (fragment.h).
# usage: snippets.sh LIBRARY.so PAGE.md...   (CC, CFLAGS: compiler and its flags)
set -eu
library=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cc="${CC:-cc} ${CFLAGS:-} -std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Wpedantic -Werror -I$source/include"

# One file a block, which remembers the line of its page.
awk -v work="$work" '
    FNR == 1 { inside = 0 }
    inside && /^```/ { inside = 0; close(file) }
    inside { print > file }
    /^```c$/ { inside = 1; file = sprintf("%s/%03d.c", work, ++n); print "#line " FNR + 1 " \"" FILENAME "\"" > file }
' "$@"

statements() {
    { printf '#include "%s/fragment.h"\nSTATEMENTS {\n' "$here"; cat "$1"; printf '\nreturn 0;\n}\n'; } >"$1.fragment.c"
    $cc -Wno-unused -Wno-unused-parameter -fsyntax-only "$1.fragment.c"
}
program() {
    $cc "$1" -o "$1.out" "$library" -Wl,-rpath,"$(dirname "$library")" -lm -pthread || return 1
    (cd "$work" && "$1.out" >"$1.log" 2>&1) || {
        echo "the program at $(head -1 "$1") ended with $?:" >&2
        cat "$1.log" >&2
        return 1
    }
}

status=0 count=0 programs=0
for block in "$work"/[0-9]*.c; do
    [ -e "$block" ] || break
    count=$((count + 1))
    if grep -q 'int main(' "$block"; then
        programs=$((programs + 1))
        program "$block" || status=1
    elif sed -n 2p "$block" | grep -q '^/\* lib/'; then
        page=$(sed -n '1s/^#line [0-9]* "\(.*\)"$/\1/p' "$block")
        grep -q '^```diff$' "$page" || $cc -I"$source/lib" -fno-math-errno -fsyntax-only "$block" || status=1
    else
        statements "$block" || status=1
    fi
done
echo "$count blocks on $# pages compile, $programs of them are programs and ran"
exit $status
