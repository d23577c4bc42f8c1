#!/bin/sh
# Who may include whom (folders.txt; links.sh looks at calls). Also what only the text shows: only ops/cpu/blas.c knows
# BLAS, only base/mem.c calls the heap, only base/parallel.c starts threads, and nothing prints or exits.
# With a folder as argument checks that tree (the test of this check uses it).
set -eu
lint=$(cd "$(dirname "$0")" && pwd)
cd "${1:-$lint/../..}/lib"
status=0
complain() {
    echo "includes: $1" >&2
    status=1
}
allowed() {
    awk -v folder="$1" '$1 == folder' "$lint/folders.txt"
}
for folder in *; do
    [ "$folder" = cmake ] && continue # how all this is installed
    may=" $(allowed "$folder" | tr -s ' ') "
    [ "$may" != "  " ] || complain "lib/$folder is not in the list of folders"
    for used in $(grep -rhoE '^ *#include "[a-z]+/' "$folder" | sed 's/.*"//; s,/,,' | sort -u); do
        [ "$used" = xlstm ] && continue
        case $may in *" $used "*) ;; *) complain "$folder includes $used: $(grep -rl "\"$used/" "$folder" | head -1)" ;; esac
    done
done
for f in $(grep -rlE '\b(malloc|calloc|realloc|aligned_alloc|free)\(' . | grep -v '^./base/mem.c$'); do
    complain "$f calls the heap; use xl_alloc and xl_free"
done
for f in $(grep -rlE '#pragma omp parallel|omp\.h|pthread_create' . | grep -v '^./base/parallel.c$'); do
    complain "$f starts threads; use xl_parallel"
done
for f in $(grep -rl 'cblas\.h' . | grep -v '^./ops/cpu/blas.c$'); do
    complain "$f includes cblas.h; use xl_product of ops/cpu/block.h"
done
for f in $(grep -rlE '\b(printf|puts|abort|exit)\(' . || true); do
    complain "$f prints or exits; the library returns a status"
done
exit $status
