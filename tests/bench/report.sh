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
refused "tasks is empty" reproduce --tasks ,,
refused "cannot be made" reproduce --out "$work/corpus/train.txt"
refused "has no task mqar" reproduce --preset thesis --tasks lm,mqar

# The quick door hands on what it is given, as seen from where it is called; here it installs and builds nothing.
mkdir -p "$work/door/bench" "$work/door/tests" "$work/door/path"
cp "$here/bench/run.sh" "$work/door/bench"
echo 'echo built >>built' >"$work/door/tests/deps.sh"
printf '#!/bin/sh\n' >"$work/door/path/cmake" && chmod +x "$work/door/path/cmake"
echo 'printf "%s\n" "$PWD" "$@"' >"$work/door/bench/reproduce"
door() { (cd "$work" && env -u XLSTM_DATA PATH="$work/door/path:$PATH" sh door/bench/run.sh "$@") >"$work/stdout"; }
door --help
grep -q "^usage: bench/run.sh" "$work/stdout"
[ "$(tail -n 1 "$work/stdout")" = --help ]
[ ! -e "$work/door/built" ]
door --out=somewhere --data=corpus
[ -e "$work/door/built" ]
grep -q "^corpus: corpus, as you asked" "$work/stdout"
grep -qx "$work" "$work/stdout"
[ "$(tail -n 2 "$work/stdout")" = "$(printf -- '--data\ncorpus')" ]

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
printf '#!/bin/sh\necho "$@" >>"%s"\n' "$work/asked" >"$work/peer" && chmod +x "$work/peer"
mkdir -p "$work/out/.exports-lm/lm-killed-s1" # of a script that was killed
reproduce --tasks lm --seeds 2 --peers "$work/peer" >"$work/stdout"
grep -q mine "$work/out/export/file"
rm -r "$work/out/export"
[ "$(grep -c "/train.py $work/out/.exports-lm/lm-xlstm-s1 $work/out/.exports-lm/lm-xlstm-s2 --out" "$work/asked")" = 1 ]
[ "$(grep -c train.py "$work/asked")" = 1 ] # one process for all
[ -z "$(find "$work/out" -name '.exports*')" ]
# Another one that makes the package's runs there keeps its exports, and is waited for.
mkdir "$work/out/.exports-lm" && code=0
exec 9<"$work/out" && flock 9
reproduce --tasks lm --seeds 2 --peers "$work/peer" --limit-seconds 1 9<&- >"$work/stdout" 2>"$work/err" || code=$?
exec 9<&-
[ $code -eq 3 ]
grep -q "waiting for it" "$work/err"
rmdir "$work/out/.exports-lm"
[ "$before" = "$(cat "$work/out"/*.json | cksum)" ]

# Its tables: every task, the thesis's figures, mean and spread over two seeds, the official row.
for what in "205115" "Language modelling" "Nearest-neighbour search" "Parity" "Multi-query associative recall" " ± " \
    "| official | not run |" "Targets in the buckets"; do
    grep -qF -e "$what" "$work/out/report.md"
done
for what in "seeds here" "(here a plain stack)" "Names: xlstm has" "| tokens M | tokens/s |" "| answers M | answers/s |"; do
    grep -qF -e "$what" "$work/out/report.md"
done
for what in 'name="viewport"' '@media print' 'prefers-color-scheme: dark' 'scope="col"' 'scope="row"' 'aria-label="parity"'; do
    grep -q "$what" "$work/out/report.html"
done
if command -v gnuplot >/dev/null; then
    [ "$(grep -c '<svg' "$work/out/report.html")" -ge 7 ]
    [ "$(grep -c '<svg' "$work/out/report.html")" = "$(grep -c '<svg role="img" aria-label="[^"]*; ' "$work/out/report.html")" ]
    [ -z "$(grep -o " id=['\"][^'\"]*" "$work/out/report.html" | sort | uniq -d)" ] # each picture has its own ids
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
refused "lm-lstm-s2.json had other data than .*; the corpus has changed .*crc32 is .* there and .* here" report
fresh
sed -i 's/"weight_decay": 0/"weight_decay": 1/' "$work/bad/lm-lstm-s2.json"
refused "lm-lstm-s2.json had other settings than .*(weight_decay is .* there and 1" report
fresh
cp "$work/bad/lm-lstm-s1.json" "$work/bad/lm-lstm-s3.json"
refused "lm-lstm-s3.json is the same run as" report
fresh
refused "is not what xlstm-speed" "$bin/xlstm-report" --speed "$work/bad/lm-lstm-s1.json" "$work/bad"
refused "it is a folder" "$bin/xlstm-report" --speed "$work" "$work/out"
head -c 900 "$work/out/lm-lstm-s1.json" >"$work/bad/nns-lstm-s1.json"
report 2>"$work/err"
grep -q "nns-lstm-s1.json is damaged" "$work/err"
[ -f "$work/bad/nns-lstm-s1.json.damaged" ]
fresh # a number that only one sentence of the page has
sed -i '/"medium": {/,/}/s/"tokens"/"token"/' "$work/bad/lm-lstm-s1.json"
report 2>"$work/err"
grep -q 'lm-lstm-s1.json is damaged ("medium.tokens" is absent' "$work/err"
fresh # only what is named like a run is set aside
echo "hello" >"$work/bad/notes.json"
echo "hello" >"$work/bad/lm-notes-s.json"
printf '{"schema": 2, "setup": [1, 2]}' >"$work/bad/x.json"
report 2>"$work/err"
grep -q 'notes.json is left out, and left alone: it is no JSON' "$work/err"
grep -q 'x.json is left out, and left alone: "command" is absent' "$work/err"
[ -z "$(find "$work/bad" -name '*.damaged*')" ]

# Nothing that is read is written over, and nothing half written stays.
mkdir "$work/folder"
refused "notes.json is no file of --out" "$bin/xlstm-report" --out "$work/bad/../bad/notes.json" "$work/bad"
refused "lm-lstm-s1.json is no file of --markdown" "$bin/xlstm-report" --markdown "$work/bad/lm-lstm-s1.json" "$work/out"  "$work/bad"
cp "$work/report.html" "$work/bad/a.json" # its own, but read as a result, the first
refused "a.json is among the files that" "$bin/xlstm-report" --out "$work/bad/../bad/a.json" "$work/bad"
rm "$work/bad/a.json"
refused "are the same file" "$bin/xlstm-report" --out "$work/new.html" --markdown "$work/./new.html" "$work/out"
refused "folder: cannot write it: it is a directory" "$bin/xlstm-report" --out "$work/folder" --markdown "$work/new.md" "$work/out"
refused "new.md: cannot write it" "$bin/xlstm-report" --out "$work/new.html" --markdown "$work/no/new.md" "$work/out"
[ -z "$(find "$work" -maxdepth 1 -name '*.tmp')" ]
fresh # what is no run stays as it is, and in peace
printf '{"name": "something else"}' >"$work/bad/package.json"
speed_file() { # the fields behind those of the machine
    printf '{"schema": 1, "task": "speed", "threads": 1, "sgemm_flops": null, "read_bytes_per_second": 1e10, "rows": [%s]}' \
        "$1" >"$work/bad/speed.json"
}
row() { # threads, batch, time, measure
    printf '{"model": "mlstm", "by": "libxlstm", "shape": "d256", "weights": "real", "threads": %s, "batch": %s, "time": %s, ' \
        "$1" "$2" "$3"
    printf '"measure": "%s", "tokens_per_second": 1000.5, "peak_bytes": 2e6}' "$4"
}
speed_file ""
"$bin/xlstm-report" --out "$work/report.html" --speed "$work/bad/speed.json" "$work/bad" 2>"$work/err"
grep -q "package.json is left out" "$work/err"
grep -q "speed.json is left out" "$work/err"
[ -f "$work/bad/package.json" ]
[ -f "$work/bad/speed.json" ]
with_speed() { "$bin/xlstm-report" --out "$work/report.html" --markdown "$work/report.md" --speed "$work/bad/speed.json" "$work/bad" 2>"$work/err"; }
speed_file "$(row 2 8 256 train), $(row 1 8 256 train), $(row 2 8 256 decode)" # one length is no curve
with_speed
grep -q "Medians on 1 thread; memory read" "$work/report.md"
grep -q "| mlstm | libxlstm | train | d256 | real | 1 | 8 | 256 | 1000 | 2 |" "$work/report.md" # %.0f of 1000.5
grep -q "| decode | d256 | real | 2 | 1 | 256 |" "$work/report.md"
[ "$(grep -c "against length" "$work/report.html")" = 0 ]
speed_file "$(row 2 8 256 train), $(row 2 4 512 train), $(row 1 4 512 train)"
with_speed
if command -v gnuplot >/dev/null; then
    grep -q "batch × length is 2048; mlstm libxlstm d256, threads 2\"" "$work/report.html"
fi
speed_file "$(row 2 8 256 forward), $(row 2 8 256 train), $(row 2 4 512 train)" # what is drawn is drawn once
with_speed
if command -v gnuplot >/dev/null; then
    grep -q "batch × length is 2048; mlstm libxlstm d256\"" "$work/report.html"
fi
sed -i 's/"schema": 1/"schema": 2/' "$work/bad/speed.json"
refused "another version of xlstm-speed" "$bin/xlstm-report" --out "$work/report.html" --speed "$work/bad/speed.json" "$work/out"
speed_file ""
sed -i 's/"read_bytes_per_second": 1e10, //' "$work/bad/speed.json"
refused 'speed.json is damaged ("read_bytes_per_second" is absent or of a wrong type' "$bin/xlstm-report" --out "$work/report.html" \
    --speed "$work/bad/speed.json" "$work/out"
fresh # a seed that diverged is counted, and what is said about the task comes from the others
sed -e 's/"diverged": null/"diverged": 3/' -e '/^  "test": {/,/^  }/c\  "test": null' "$work/out/lm-lstm-s1.json" \
    >"$work/bad/lm-lstm-s1.json"
"$bin/xlstm-report" --out "$work/report.html" --markdown "$work/report.md" "$work/bad"
grep -q '^| lstm | 1 of 2 (1 diverged) |' "$work/report.md"
grep -q '^lstm, seed 1 diverged at step 3; it has no test.$' "$work/report.md"
[ "$(grep -c nan "$work/report.md")" = 0 ]
[ "$(grep -c '| diverged' "$work/report.md")" = 0 ] # once is enough
fresh # what of the training and of the machine differs is said; figures are no longer than they need be
for seed in 1 2; do # as the peers' program writes it
    sed -e 's/"name": "lstm"/"name": "official", "differences": ["weights start as ours", "no state"]/' \
        -e 's/"products": "real"/"products": "bf16"/' -e 's/"threads": [0-9]*/"threads": 99/' \
        -e 's/"core_off_target_percent": [-0-9.e]*/"core_off_target_percent": -0.01/' \
        -e '/"outcome"/,$s/"perplexity": [0-9.e+nul]*/"perplexity": 1e256/' \
        -e 's/"learning_rate_search": \[\]/"learning_rate_search": [{"learning_rate": 1e-9}, {"learning_rate": 1e-8}]/' \
        "$work/bad/lm-lstm-s$seed.json" >"$work/bad/lm-official-s$seed.json"
done
"$bin/xlstm-report" --out "$work/report.html" --markdown "$work/report.md" "$work/bad"
for what in "^Not trained alike: unrounded products: lstm-res, lstm; products with operands in bf16: official.$" \
    "^official: weights start as ours; no state.$" "Seconds, tokens/s and memory are of different machines" "1e+256" "highest tried"; do
    grep -q -e "$what" "$work/report.md"
done
[ "$(grep -c -e "-0\.0 " "$work/report.md")" = 0 ]
fresh # a folder that is named twice is read once; what only ends of sequences were trained on says so; what another text is, too
"$bin/xlstm-nns" --preset smoke --last --models lstm --out "$work/last" >"$work/stdout"
"$bin/xlstm-report" --out "$work/report.html" --markdown "$work/report.md" "$work/bad" "$work/bad/../bad"
[ "$(grep -c "Only the last position" "$work/report.md")" = 0 ]
grep -q "It is not the thesis's, WikiText-2" "$work/report.md"
"$bin/xlstm-report" --out "$work/report.html" --markdown "$work/report.md" "$work/last"
grep -q "^Only the last position" "$work/report.md"
[ "$(grep -c "The text here" "$work/report.md")" = 0 ]
cp "$work/bad"/nns-lstm-s1.json "$work/last/nns-lstm-s2.json"
refused "had other data than .*(scored is .* there and absent here)\|had other data than .*(scored is absent there" \
    "$bin/xlstm-report" --out "$work/report.html" "$work/last"
fresh # models of other sizes, or trained otherwise, are named
sed 's/"dropout": 0.0/"dropout": 0.25/' "$work/out/lm-transformer-s1.json" >"$work/bad/lm-transformer-s1.json"
"$bin/xlstm-nns" --preset smoke --models transformer --width 128 --out "$work/bad" >"$work/stdout"
"$bin/xlstm-report" --out "$work/report.html" --markdown "$work/report.md" "$work/bad"
grep -q "^Not comparable: transformer has another core size than lstm.$" "$work/report.md"
grep -q "^Not comparable: transformer has another dropout than lstm-res.$" "$work/report.md"
[ "$(grep -c "Not comparable" "$work/report.md")" = 2 ]
grep -q "Short training, 0.* epochs" "$work/report.md"
# A figure that cannot be drawn says why.
(exec 3>&- 4>&- && ulimit -n 5 && "$bin/xlstm-report" --out "$work/report.html" "$work/bad")
grep -q "not drawn: Too many open files" "$work/report.html"
