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

for task in lm nns mqar; do
    $task --out "$work/out" >"$work/table"
    $task --export "$work/export" >"$work/table"
    pieces=0 code=3 limit=
    [ $task = mqar ] || limit="--limit-seconds 0" # piece by piece, a step at a time; the last one to the end
    while [ $code -eq 3 ]; do
        code=0
        [ $pieces -lt 2 ] || limit=
        "$XLSTM_PEERS" "$here/bench/peers/train.py" "$work/export/$task"-* --out "$work/out" $limit >"$work/table" || code=$?
        pieces=$((pieces + 1))
    done
    [ $code -eq 0 ]
done
# Two that make the same run take turns: the second finds it made.
rm "$work/out"/nns-official-*.json
for i in 1 2; do "$XLSTM_PEERS" "$here/bench/peers/train.py" "$work/export/nns"-* --out "$work/out" >"$work/turn.$i" 2>&1 & done
wait
[ "$(cat "$work"/turn.? | grep -c 'best validation loss')" = 1 ]
[ -z "$(find "$work/out" -name '*.lock')" ]
[ "$(ls "$work/out" | grep -c damaged)" = 0 ] # a piece whose checkpoint the next one could not read

"$XLSTM_PEERS" - "$work/out" <<'END'
import glob, json, os, sys
pairs = 0
for theirs in glob.glob(sys.argv[1] + "/*official*.json"):
    a, b = json.load(open(theirs)), json.load(open(theirs.replace("official", "xlstm")))
    worst = max(abs(x / y - 1) for x, y in zip(a["first_losses"], b["first_losses"]))
    print(f"{os.path.basename(theirs)}: first losses {a['first_losses'][0]:.4f} .. {a['first_losses'][-1]:.4f}, "
          f"at most {100 * worst:.4f} % from ours")
    assert len(a["first_losses"]) == len(b["first_losses"]) == 50 and worst < 0.01
    assert a["outcome"]["test"].keys() == b["outcome"]["test"].keys()
    assert [p["step"] for p in a["evaluations"]] == [p["step"] for p in b["evaluations"]]
    pairs += 1
assert pairs == 3
END
"$bin/xlstm-report" --out "$work/report.html" --markdown "$work/report.md" "$work/out"
grep -q "official@1:1 | 1 |" "$work/report.md"
[ "$(grep -c "Not comparable" "$work/report.md")" = 0 ] # what differs is said otherwise
! grep -q "not run" "$work/report.md" || [ "$(grep -c 'not run' "$work/report.md")" -eq 2 ] # LSTM and Transformer of the headline
