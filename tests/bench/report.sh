#!/bin/sh
# The one command at smoke size, twice; then the report over its results, and over what must not be merged.
# usage: report.sh FOLDER_OF_BENCH
set -eu
bin=$1
here=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. "$(dirname "$0")/support.sh"
small_corpus "$work/corpus" 200 99

reproduce() { sh "$here/bench/reproduce" --preset smoke --bin "$bin" --data "$work/corpus" --out "$work/out" "$@"; }
refused 'preset "huge" is unknown' reproduce --preset huge
refused 'task "chess" is unknown' reproduce --tasks chess
refused "is not an option" reproduce --nonsense
refused "no torch and xlstm" reproduce --peers "$work/none"
refused "no whole number" reproduce --seeds 0
refused "has no xlstm-lm" reproduce --bin "$work"
refused "no/train.txt cannot be read" reproduce --data "$work/no"
refused "no.json cannot be read" reproduce --speed "$work/no.json"
refused "tasks is empty" reproduce --tasks ,
refused "cannot be made" reproduce --out "$work/corpus/train.txt"
refused "has no task mqar" reproduce --preset thesis --tasks lm,mqar

# All tasks, and one of them over two seeds; a limit of time stops it between steps, and the same command goes on.
code=0
reproduce --tasks parity,nns,mqar --limit-seconds 1 >"$work/stdout" 2>"$work/err" || code=$?
[ $code -eq 0 ] || [ $code -eq 3 ]
reproduce >"$work/stdout"
reproduce --tasks lm --seeds 2 >"$work/stdout"
[ "$(ls "$work/out"/*.json | wc -l)" -eq 23 ]
before=$(cat "$work/out"/*.json | cksum)
reproduce --tasks lm --seeds 2 >"$work/stdout" # finished runs are not touched
refused "is not what xlstm-speed" reproduce --tasks=lm --seeds=2 --speed "$work/corpus/train.txt"
mkdir "$work/out/export" && echo mine >"$work/out/export/file" # what is not its own stays
printf '#!/bin/sh\n' >"$work/peer" && chmod +x "$work/peer"
reproduce --tasks lm --seeds 2 --peers "$work/peer" >"$work/stdout"
grep -q mine "$work/out/export/file"
rm -r "$work/out/export"
[ -z "$(find "$work/out" -name 'exports.*')" ]
[ "$before" = "$(cat "$work/out"/*.json | cksum)" ]

# Its tables: every task, the thesis's figures, mean and spread over two seeds, the official row.
for what in "205115" "Language modelling" "Nearest-neighbour search" "Parity" "Multi-query associative recall" " ± " \
    "| official | not run |" "Targets in the buckets"; do
    grep -qF -e "$what" "$work/out/report.md"
done
grep -q 'name="viewport"' "$work/out/report.html"
if command -v gnuplot >/dev/null; then
    [ "$(grep -c '<svg' "$work/out/report.html")" -ge 7 ]
else
    echo "gnuplot is not here: the report has no plots"
    grep -q "gnuplot is not here" "$work/out/report.html"
fi
[ "$(grep -cE '[^:](src|href)=' "$work/out/report.html")" = 0 ] # it needs no other file (what SVG refers to inside itself is xlink:href)

# What cannot be merged is refused by the name of the file.
report() { "$bin/xlstm-report" --out "$work/report.html" "$work/bad"; }
fresh() {
    rm -rf "$work/bad"
    mkdir "$work/bad"
    cp "$work/out"/lm-lstm*.json "$work/out/nns-lstm-s1.json" "$work/bad"
}
refused "no results" "$bin/xlstm-report"
refused "cannot be read" "$bin/xlstm-report" "$work/nowhere"
fresh
sed -i 's/"schema": 2/"schema": 3/' "$work/bad/lm-lstm-s1.json"
refused "lm-lstm-s1.json: it has schema version 3" report
fresh
sed -i 's/"train_crc32": /"train_crc32": 1/' "$work/bad/lm-lstm-s2.json"
refused "lm-lstm-s2.json had other data than .*; the corpus has changed" report
fresh
sed -i 's/"weight_decay": 0/"weight_decay": 1/' "$work/bad/lm-lstm-s2.json"
refused "lm-lstm-s2.json had other settings" report
fresh
cp "$work/bad/lm-lstm-s1.json" "$work/bad/lm-lstm-s3.json"
refused "lm-lstm-s3.json is the same run as" report
fresh
refused "is not what xlstm-speed" "$bin/xlstm-report" --speed "$work/bad/lm-lstm-s1.json" "$work/bad"
head -c 900 "$work/out/lm-lstm-s1.json" >"$work/bad/nns-lstm-s1.json"
report 2>"$work/err"
grep -q "nns-lstm-s1.json is damaged" "$work/err"
[ -f "$work/bad/nns-lstm-s1.json.damaged" ]
fresh # what is no run stays as it is, and in peace
printf '{"name": "something else"}' >"$work/bad/package.json"
printf '{"schema": 1, "task": "speed", "rows": []}' >"$work/bad/speed.json"
"$bin/xlstm-report" --out "$work/report.html" --speed "$work/bad/speed.json" "$work/bad" 2>"$work/err"
grep -q "package.json is left out" "$work/err"
grep -q "speed.json is left out" "$work/err"
[ -f "$work/bad/package.json" ]
[ -f "$work/bad/speed.json" ]
fresh # a seed that diverged is counted, and what is said about the task comes from the others
sed -e 's/"diverged": null/"diverged": 3/' -e '/^  "test": {/,/^  }/c\  "test": null' "$work/out/lm-lstm-s1.json" \
    >"$work/bad/lm-lstm-s1.json"
"$bin/xlstm-report" --out "$work/report.html" --markdown "$work/report.md" "$work/bad"
grep -q '^| lstm | 1 of 2 ' "$work/report.md"
[ "$(grep -c nan "$work/report.md")" = 0 ]
fresh # models of other sizes are named
"$bin/xlstm-nns" --preset smoke --models transformer --width 128 --out "$work/bad" >"$work/stdout"
"$bin/xlstm-report" --out "$work/report.html" --markdown "$work/report.md" "$work/bad"
grep -q "Not comparable: transformer" "$work/report.md"
grep -q "Short training, 0.* epochs" "$work/report.md"
printf '{"schema": 2, "setup": [1, 2]}' >"$work/bad/x.json"
report 2>"$work/err"
grep -q 'x.json is damaged ("command" is absent' "$work/err"
