#!/bin/sh
# The check of the declarations passes on this tree, and fails on lists with a function or field more, less or changed.
# usage: test_declarations.sh LIBRARY.so
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sh "$here/declarations.sh" "$1"
seen=0
while IFS= read -r edit; do
    sed "$edit" "$here/declarations.txt" >"$work/list"
    if cmp -s "$work/list" "$here/declarations.txt" ||
        XLSTM_DECLARATIONS=$work/list sh "$here/declarations.sh" "$1" >/dev/null 2>&1; then
        echo "not noticed, or nothing to change: $edit" >&2
        exit 1
    fi
    seen=$((seen + 1))
done <<'END'
s/^int xlstm_get_threads(void);$/long xlstm_get_threads(void);/
/^const char \*xlstm_version(void);$/d
$a void xlstm_gone(void);
s/^    int num_heads;$/    long num_heads;/
s/XLSTM_E_CONFIG = -2,/XLSTM_E_CONFIG = -3,/
END
[ $seen -eq 5 ]
