#!/bin/sh
# The official package's model and ours, from the same weights over the same batches: their first 50 training losses
# agree within 1 %; runs of the package go on where they were, and their results merge with ours.
# usage: XLSTM_PEERS=PYTHON official.sh FOLDER_OF_BENCH
set -eu
bin=$1
here=$(cd "$(dirname "$0")/../.." && pwd)
if [ -z "${XLSTM_PEERS:-}" ] || ! "$XLSTM_PEERS" -c 'import torch, xlstm, safetensors' 2>/dev/null; then
    echo "skipped: XLSTM_PEERS names no Python that has the official package (bench/peers/setup.sh makes one)"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. "$(dirname "$0")/support.sh"
small_corpus "$work/corpus" 300 200

lm() { "$bin/xlstm-lm" --data "$work/corpus" --preset smoke --models xlstm@1:1 --steps 60 --no-carry "$@"; }
nns() { "$bin/xlstm-nns" --preset smoke --models xlstm@1:1 --steps 50 --evaluations 50 "$@"; }
mqar() { "$bin/xlstm-tasks" --task mqar --preset smoke --models xlstm@1:0 --steps 50 "$@"; }
peer() { "$XLSTM_PEERS" "$here/bench/peers/train.py" --threads 1 "$@"; }
exports="$work/the exports"

for task in lm nns mqar; do
    $task --out "$work/out" >"$work/table"
    $task --export "$exports" >"$work/table"
    pieces=0 code=3 limit=
    [ $task = mqar ] || limit="--limit-seconds 0" # piece by piece, a step at a time; the last one to the end
    while [ $code -eq 3 ]; do
        code=0
        [ $pieces -lt 2 ] || limit=
        peer "$exports/$task"-* --out "$work/out" $limit >"$work/table" || code=$?
        pieces=$((pieces + 1))
        [ ! -f "$work/out/lm-official-1-1-s1.checkpoint" ] || cp "$work/out/lm-official-1-1-s1.checkpoint" "$work/kept"
    done
    [ $code -eq 0 ]
done
[ "$(ls "$work/out" | grep -c damaged)" = 0 ] # a piece whose checkpoint the next one could not read
# Two that make the same run take turns: the second finds it made.
result=$work/out/mqar-official-1-0-s1.json pids=
rm "$result"
for i in 1 2; do
    peer "$exports/mqar"-* --out "$work/out" >"$work/turn.$i" 2>&1 &
    pids="$pids $!"
done
for pid in $pids; do wait $pid; done
[ "$(cat "$work"/turn.? | grep -c 'best validation loss')" = 1 ]
[ "$(cat "$work"/turn.? | grep -c 'is finished')" = 1 ]
[ -z "$(find "$work/out" -name '*.lock')" ]

# A checkpoint that was left beside a finished result goes.
cp "$work/kept" "$work/out/lm-official-1-1-s1.checkpoint"
peer "$exports/lm"-* --out "$work/out" >"$work/table"
[ ! -e "$work/out/lm-official-1-1-s1.checkpoint" ]
# What is finished needs no PyTorch; its result names the search that its export has now, and nothing else of it changes.
mkdir "$work/without" && echo 'raise SystemExit("torch is imported")' >"$work/without/torch.py"
cp "$result" "$work/before"
sed -i 's/"task": "mqar"/"learning_rate_search": [{"learning_rate": 0.003}], &/' "$exports/mqar"-*/setup.json
(export PYTHONPATH="$work/without" && peer "$exports"/* --out "$work/out") >"$work/table"
[ "$(grep -c 'is finished' "$work/table")" = 3 ]
"$XLSTM_PEERS" - "$work/before" "$result" <<'END'
import json, sys
before, after = (json.load(open(path)) for path in sys.argv[1:])
assert before.pop("learning_rate_search") == [] and after.pop("learning_rate_search") == [{"learning_rate": 0.003}]
assert before == after
END
# An export that is not whole, and other bad input, is one sentence.
cp -r "$exports/mqar"-* "$work/broken"
head -c 1000 "$exports/mqar"-*/data.safetensors >"$work/broken/data.safetensors"
refused "broken is no whole export" peer "$work/broken" --out "$work/other"
sed -i 's/"steps": 50,/"steps": 51,/' "$work/broken/setup.json"
refused "(training.steps is 50 there and 51 here)" peer "$work/broken" --out "$work/out"
echo '{' >"$work/broken/setup.json"
refused "broken/setup.json is no setup of an export" peer "$work/broken" --out "$work/other"
refused "cannot be made" peer "$exports/mqar"-* --out "$result/folder"
# Its command makes it again, from the export on.
command=$("$XLSTM_PEERS" -c 'import json, sys; print(json.load(open(sys.argv[1]))["command"])' "$result")
rm -r "$result" "$exports/mqar"-*
(cd "$here" && PATH="$(dirname "$XLSTM_PEERS"):$bin:$PATH" && eval "$command") >"$work/table"
[ -s "$result" ]

"$XLSTM_PEERS" - "$work/out" <<'END'
import glob, json, os, sys
pairs = 0
for theirs in glob.glob(sys.argv[1] + "/*official*.json"):
    a, b = json.load(open(theirs)), json.load(open(theirs.replace("official", "xlstm")))
    apart = [abs(x / y - 1) for x, y in zip(a["first_losses"], b["first_losses"])]
    print(f"{os.path.basename(theirs)}: first losses {a['first_losses'][0]:.4f} .. {a['first_losses'][-1]:.4f}, "
          f"at most {100 * max(apart):.4f} % from ours")
    assert len(a["first_losses"]) == len(b["first_losses"]) == 50 and all(x < 0.01 for x in apart)
    assert a["outcome"]["test"].keys() == b["outcome"]["test"].keys()
    assert [p["step"] for p in a["evaluations"]] == [p["step"] for p in b["evaluations"]]
    pairs += 1
assert pairs == 3
END
"$bin/xlstm-report" --out "$work/report.html" --markdown "$work/report.md" "$work/out"
grep -q "official@1:1 | 1 |" "$work/report.md"
[ "$(grep -c "Not comparable" "$work/report.md")" = 0 ] # what differs is said otherwise
! grep -q "not run" "$work/report.md" || [ "$(grep -c 'not run' "$work/report.md")" -eq 2 ] # LSTM and Transformer of the headline
