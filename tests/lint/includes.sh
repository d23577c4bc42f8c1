#!/bin/sh
# Who may include whom: base <- ops <- layer <- model <- optim <- io, and model <- infer. Also: only ops loops over
# tensors' insides through raw BLAS, only base/mem.c calls the heap, only base/parallel.c starts threads.
# With a folder as argument checks that tree (the test of this check uses it).
set -eu
root=${1:-$(dirname "$0")/../..}
cd "$root/lib"
status=0
complain() {
    echo "includes: $1" >&2
    status=1
}
allowed() {
    case $1 in
    base) echo "base" ;;
    ops) echo "base ops" ;;
    layer) echo "base ops layer" ;;
    model) echo "base ops layer model" ;;
    optim) echo "base ops layer model optim" ;;
    io) echo "base ops layer model optim io" ;;
    infer) echo "base ops layer model infer" ;;
    *) echo "" ;;
    esac
}
for folder in *; do
    [ "$folder" = cmake ] && continue # how all this is installed
    may=" $(allowed "$folder") "
    [ "$may" != "  " ] || complain "lib/$folder is not in the list of folders"
    for used in $(grep -rhoE '^ *#include "[a-z]+/' "$folder" | sed 's/.*"//; s,/,,' | sort -u); do
        [ "$used" = xlstm ] && continue
        case $may in *" $used "*) ;; *) complain "$folder includes $used: $(grep -rl "\"$used/" "$folder" | head -1)" ;; esac
    done
done
# (free: what jansson hands out in io/ was made by the C library and goes back to it)
for f in $(grep -rlE '\b(malloc|calloc|realloc|aligned_alloc)\(' . | grep -v '^./base/mem.c$') \
    $(grep -rlE '\bfree\(' . | grep -v -e '^./base/mem.c$' -e '^./io/'); do
    complain "$f calls the heap; use xl_alloc and xl_free"
done
for f in $(grep -rlE '#pragma omp parallel|omp\.h|pthread_create' . | grep -v '^./base/parallel.c$'); do
    complain "$f starts threads; use xl_parallel"
done
for f in $(grep -rl 'cblas\.h' . | grep -v '^./ops/cpu/blas.c$'); do
    complain "$f includes cblas.h; use xl_gemm"
done
for f in $(grep -rlE '\b(printf|puts|abort|exit)\(' . || true); do
    complain "$f prints or exits; the library returns a status"
done
exit $status
