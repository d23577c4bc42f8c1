#!/bin/sh
# Doxygen takes this tree without a complaint, and complains about a copy in which something lacks its documentation.
# usage: reference.sh DOXYFILE
set -eu
doxyfile=$1
source=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The configured Doxyfile over other headers, into other pages.
check() {
    sed -e "s,$source/include,$work/include,g" -e "s,^OUTPUT_DIRECTORY.*,OUTPUT_DIRECTORY = $work/out," "$doxyfile" >"$work/Doxyfile"
    rm -rf "$work/out"
    { doxygen "$work/Doxyfile" && sh "$source/tests/docs/values.sh" "$work/out/xml"; } >"$work/log" 2>&1
}
cp -r "$source/include" "$work/include"
check || {
    cat "$work/log" >&2
    exit 1
}
seen=0
while IFS='|' read -r header edit; do
    cp "$source/include/xlstm/$header" "$work/include/xlstm/$header"
    sed -i "$edit" "$work/include/xlstm/$header"
    if cmp -s "$source/include/xlstm/$header" "$work/include/xlstm/$header" || check; then
        printf 'not noticed, or nothing to change: %s %s\n' "$header" "$edit" >&2
        exit 1
    fi
    cp "$source/include/xlstm/$header" "$work/include/xlstm/$header"
    seen=$((seen + 1))
done <<'END'
common.h|s/^XLSTM_API int xlstm_get_threads(void);/&\nXLSTM_API int xlstm_undocumented(void);/
session.h|s/^ \*  @param streams B >= 1$/ */
common.h|s,^ \*  @return 1 to XLSTM_MAX_THREADS.* \*/,*/,
config.def|s#^\(XLSTM_FIELD(int, num_blocks.*)\) .*#\1#
config.def|/^XLSTM_FIELD(int, num_heads/{n;d}
config.def|s#^\(XLSTM_FLAG(bias.*)\) .*#\1#
config.h|s/^\( *XLSTM_RELU2,\) .*/\1/
common.h|s/X(E_NUMERIC,/X(E_NEW, -8, "new") \\\n&/
tensors.h|s/^#define XLSTM_TENSORS_H/&\n#define XLSTM_NEW 1/
module.h|s/^ \*  @param seed of the initial weights/ *  @param sead of the initial weights/
END
[ $seen -eq 10 ]
echo "documented to the last name"
