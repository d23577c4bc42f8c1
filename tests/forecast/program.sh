#!/bin/sh
# xlstm-forecast as a user runs it: tables in, tables, JSON and pictures out, and one sentence with exit code 2 for bad input.
# usage: program.sh PROGRAM
set -eu
program=$1
here=$(cd "$(dirname "$0")" && pwd)
model=$here/data/tirex2_small # forecasts 16 steps
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() {
    echo "FAIL: $*" >&2
    exit 1
}
refused() { # what the sentence says, then the arguments
    say=$1 code=0
    shift
    "$program" "$@" >out 2>err </dev/null || code=$?
    [ $code -eq 2 ] && [ "$(wc -l <err)" -eq 1 ] && grep -qe "$say" err || { cat err >&2; fail "exit $code, not \"$say\": $*"; }
}
is() { # what a line of out should be
    [ "$(sed -n "$1p" out)" = "$2" ] || fail "line $1 is \"$(sed -n "$1p" out)\" and not \"$2\""
}

# A table with dates, a gap, and rows at the end that carry the future.
awk 'BEGIN { print "day,sold,price"
    for (i = 0; i < 40; i++) printf("2024-%02d-%02d,%s,%d\n", i < 31 ? 1 : 2, i % 31 + 1, i == 7 || i >= 35 ? "" : 10 + i % 7, 3 + i % 2) }' >sales.csv
"$program" "$model" sales.csv -t sold -f price >out
is 1 "day,target,median,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9"
[ "$(wc -l <out)" -eq 6 ]
sed -n 2p out | grep -qE '^2024-02-05,sold(,-?[0-9.e+-]+){10}$'
sed -n 6p out | grep -q '^2024-02-09,'
"$program" "$model" sales.csv -t sold -n 8 -q 0.25,0.5 -o long.csv
"$program" "$model" - -t sold -n 8 -q 0.25,0.5 <sales.csv | cmp - long.csv
cp long.csv out
is 1 "day,target,median,0.25,0.5"
sed -n 9p out | grep -q '^2024-02-12,sold,' # behind the labels of the file
"$program" "$model" sales.csv -t sold -n 40 --roll --threads 1 | awk -F, 'NR > 1 && $3 == "nan" { bad = 1 } END { exit bad || NR != 41 }'
"$program" "$model" sales.csv -t sold --format json -n 2 >out
grep -qE '^\{"horizon":2,"levels":\[0.1,.*"forecasts":\[\{"time":\["2024-02-05","2024-02-06"\],"targets":\[\{"name":"sold","median":\[' out

# Long, with semicolons and decimal commas; what comes out is written alike. A series alone gives what it gives among others.
awk 'BEGIN { print "shop;month;sold"; for (i = 0; i < 30; i++) for (s = 0; s < 3; s++) {
    x = sprintf("%.2f", s + i % 4 / 3); sub(/[.]/, ",", x); printf "s%d;%d-%02d;%s\n", s, 2020 + int(i / 12), i % 12 + 1, x } }' >shops.csv
"$program" "$model" shops.csv --series shop -n 3 --separator ';' --decimal-comma -q 0.5 >out
is 1 "shop;month;target;median;0,5"
[ "$(wc -l <out)" -eq 10 ]
sed -n 5p out | grep -qE '^s1;2022-07;sold;-?[0-9]+(,[0-9]+)?;'
grep -e ^shop -e '^s1;' shops.csv >one.csv
"$program" "$model" one.csv --series shop -n 3 --separator ';' --decimal-comma -q 0.5 >alone
for file in out alone; do # to the first digits: rounding depends on the company
    grep -e ^shop -e '^s1;' $file | cut -c1-22 >$file.s1
done
cmp out.s1 alone.s1

# No header, and a series of the file that has no values.
printf '1,5\n2,6\n3,7\n' >bare.csv
"$program" "$model" bare.csv -t 2 -n 1 >out
is 1 "step,target,median,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9"
sed -n 2p out | grep -q '^+1,2,'
printf 'id,y\na,1\na,2\nb,\nb,\n' >some.csv
code=0
"$program" "$model" some.csv --series id -n 2 >out 2>err || code=$?
[ $code -eq 2 ] && [ "$(wc -l <out)" -eq 3 ] && grep -q 'series b: .*no values' err

# Backtests: a season is found, and the seasonal method is off by what does not repeat, as it was within the history.
awk 'BEGIN { print "y"; for (i = 0; i < 60; i++) print 10 + i % 5 + i % 2 / 100 }' >season.csv
"$program" "$model" season.csv -n 5 --backtest 4 >out
is 1 "4 forecasts of 5 steps; season 5, guessed from the autocorrelation"
grep -qE '^seasonal naive +1\.0000 +0\.000[0-9] +1\.000$' out
"$program" "$model" season.csv -n 5 --backtest 4 --season 5 >out
is 1 "4 forecasts of 5 steps; season 5"
[ "$(grep -cE '^(model|naive|drift|seasonal naive) ' out)" -eq 4 ]

# Pictures.
if command -v gnuplot >/dev/null; then
    for form in svg png html; do
        "$program" "$model" shops.csv --series shop -n 3 --separator ';' --decimal-comma --plot p.$form >/dev/null
    done
    grep -q '<svg' p.svg && grep -q 's2: sold' p.svg
    grep -q '^<!DOCTYPE html>' p.html && grep -q '</html>' p.html
    [ "$(head -c 4 p.png | tail -c 3)" = PNG ]
else
    refused "gnuplot is not here" "$model" bare.csv -n 1 --plot p.svg
fi

# What is refused.
printf 'a,b\n1,\0002\n' >zero.csv
printf 'y\n1e400\n' >huge.csv
printf 'a,b\n1,2\n3\n' >ragged.csv
printf 'a,a\n1,2\n' >twice.csv
head -c 1000000 /dev/zero | tr '\0' , >wide.csv
head -c 20000000 /dev/zero | tr '\0' 7 >line.csv
: >empty.csv
refused "zero byte" "$model" zero.csv
refused "line 2, column y: 1e400 is too large" "$model" huge.csv
refused "line 3 has 1 cells" "$model" ragged.csv
refused 'two columns are called "a"' "$model" twice.csv
refused "more than 65536 cells" "$model" wide.csv
refused "longer than" "$model" line.csv
refused "nothing in it" "$model" empty.csv
refused "cannot be read" "$model" none.csv
refused "no column \"x\"" "$model" sales.csv -t x
refused "is no number" "$model" sales.csv -t day
refused "give --separator" "$model" shops.csv -t sold
refused "cannot separate" "$model" shops.csv --decimal-comma
refused "5 rows follow the last target and the horizon is 6" "$model" sales.csv -t sold -f price -n 6
refused "set roll" "$model" sales.csv -t sold -n 17
refused "let them rise" "$model" sales.csv -t sold -q 0.5,0.1
refused "are too few" "$model" sales.csv -t sold -n 10 --backtest 4
refused "ends with .svg" "$model" sales.csv -t sold --plot p.jpg
refused "is read" "$model" sales.csv -t sold -o ./sales.csv
refused "FILE.csv is needed" "$model"
refused "none" none sales.csv
# Help fits 80 columns.
"$program" --help | awk 'length > 80 { bad = 1; print } END { exit bad }'
