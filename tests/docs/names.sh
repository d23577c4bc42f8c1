#!/bin/sh
# Names in the text of the pages exist: files, and xlstm_..., xl_..., XLSTM_..., and whatever is written as name(). Blocks of code
# are compiled instead (snippets.sh); what they define is known here too. usage: names.sh PAGE.md...
set -eu
source=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LC_ALL=C
# text: what is not in a block; blocks: the rest
awk -v work="$work" 'FNR == 1 { inside = 0 }
    /^```/ { inside = !inside; next }
    { print FILENAME ":" FNR ": " $0 > (work "/" (inside ? "blocks" : "text")) }' "$@"
touch "$work/blocks"
cd "$source"
words='[A-Za-z_][A-Za-z0-9_]*'
cat $(find include lib tests bench examples -path tests/docs -prune -o -type f \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' -o -name '*.def' -o -name '*.cmake' -o -name '*.sh' -o -name '*.py' \) -print) \
    CMakeLists.txt "$work/blocks" | grep -oE "$words" | sort -u >"$work/known"
status=0
grep -oE '\b(xlstm|xl|XLSTM|XL)_[A-Za-z0-9_]+|\b[a-z_][A-Za-z0-9_]*\(\)' "$work/text" | sed 's/()$//' | grep -v '_$' | sort -u >"$work/used"
for name in $(comm -23 "$work/used" "$work/known"); do
    echo "no such name: $(grep -F "$name" "$work/text" | head -1)" >&2
    status=1
done
for path in $(grep -oE '(^|[^A-Za-z0-9_./-])(lib|tests|include|bench|examples|docs)/[A-Za-z0-9_./*-]*[A-Za-z0-9_*/]' "$work/text" | sed 's/^[^a-z]//' | sort -u); do
    grep -qF "$path" "$work/blocks" && continue
    ls -d $path >/dev/null 2>&1 && continue
    echo "no such file: $(grep -F "$path" "$work/text" | head -1)" >&2
    status=1
done
[ $status -ne 0 ] || echo "$(wc -l <"$work/used") names on $# pages exist"
exit $status
