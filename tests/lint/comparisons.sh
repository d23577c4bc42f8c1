#!/bin/sh
# Numbers that are not whole are compared by examples/programs/compare.h alone: fails on other ways in tests, lessons and
# programs, which NaN or an infinity passes. Says file, line and statement. usage: comparisons.sh [TREE]
set -eu
lint=$(cd "$(dirname "$0")" && pwd)
cd "${1:-$lint/../..}"

# ---- known ones, which write numbers or are themselves the formula, FILE: STATEMENT; one that is gone has to go
known='
bench/compare/bench.c: else if (fabs(x) < 1e7) printf( "" , digits, x)
bench/report/report_speed.c: most = fmax(most, step)
bench/report/report_speed.c: most = fmax(most, time)
bench/report/report_write.c: digits = fabs(scale) >= 1000 ? 0 : digits
bench/report/report_write.c: else snprintf(text, CELL / 2 - 2, "" , digits, fabs(x) < 0.5 * pow(10, -digits) ? 0 : x)
bench/report/report_write.c: if (fabs(x) >= 1e7) snprintf(text, CELL / 2 - 2, "" , x)
tests/ops/test_bf16.c: top = fmax(top, logits[v])
tests/ops/test_ops.c: h++) if (fabsf(tape.den[n * d.H + h]) < 0.03f && expf(-tape.m[n * d.H + h]) < 0.03f) memset(xl_row(dh, n) + h * d.dv, 0, (size_t)d.dv * sizeof(float))
tests/ops/test_vec.c: return (x < 0 ? x : 0) - log1p(exp(-fabs(x)))
'
# ---- end of known ones

find tests examples bench -type f \( -name '*.[ch]' -o -name '*.cpp' -o -name '*.py' -o -name '*.sh' \) ! -path examples/programs/compare.h \
    ! -path 'tests/lint/*' | LC_ALL=C sort | KNOWN=$known LC_ALL=C xargs awk '
function complain(sentence,    said) {
    said = FILENAME ": " text
    if (said in listed) {
        seen[said] = 1
        return
    }
    print "comparisons: " FILENAME ":" begun ": " sentence ": " text > "/dev/stderr"
    bad = 1
}
# Whether the statement sets a name to the larger of itself and something else.
function is_running_maximum(    name, rest) {
    if (!match(text, /[A-Za-z_][A-Za-z_0-9.]* = /))
        return 0
    name = substr(text, RSTART, RLENGTH - 3)
    rest = substr(text, RSTART + RLENGTH)
    if (rest ~ /^(std::)?fmaxf?\(/)
        return index(rest, "(" name ", ") || index(rest, ", " name ")")
    return name ~ JUDGES && rest ~ /\?/ && (index(rest, "> " name " ") || index(" " rest, " " name " <"))
}
function judge_c() {
    if (text ~ /(^|[^a-z_])(std::)?fabs[fl]?\(/ && text ~ / [<>]=? /)
        complain("a magnitude is compared; say is_near() or agrees()")
    else if (is_running_maximum())
        complain("a running maximum leaves NaN out; say see() or compare_numbers()")
    else if (text ~ JUDGED || text ~ / [<>]=? (tolerance|allowed|allowance)($|[^a-z_])/)
        complain("an error is compared; say within() or agrees()")
    else if (text ~ /assert_(float|double)_(not_)?equal\(/)
        complain("passes NaN; say is_near()")
}
function judge_script() {
    if (text ~ /equal_nan *= *True/ || text ~ /(^|[^.a-z_])max\((abs|math\.fabs)\(/ ||
        text ~ /if (not )?(error|worst|difference|deviation) >/ || text ~ /if \([^)]* [<>]=? [^)]*\) bad/)
        complain("NaN passes; ask for what is right: all(error < tolerance), !(x <= y)")
}
function end_statement() {
    gsub(/[ \t]+/, " ", text)
    sub(/^ /, "", text)
    sub(/ $/, "", text)
    if (text != "") {
        if (FILENAME ~ /\.(c|h|cpp)$/)
            judge_c()
        else
            judge_script()
    }
    text = ""
}
# Code without comments, with empty strings, is cut into statements.
function take_c(line,    at, token) {
    while (line != "") {
        if (inside) {
            at = index(line, "*/")
            inside = !at
            line = at ? substr(line, at + 2) : ""
        } else if (match(line, /\/\*|\/\/|"([^"\\]|\\.)*"|[;{}]/)) {
            token = substr(line, RSTART, RLENGTH)
            add(substr(line, 1, RSTART - 1))
            line = substr(line, RSTART + RLENGTH)
            if (token == "//")
                line = ""
            else if (token == "/*")
                inside = 1
            else if (token ~ /^"/)
                add("\"\"")
            else
                end_statement()
        } else {
            add(line)
            line = ""
        }
    }
}
function add(code) {
    if (text == "")
        begun = FNR
    text = text " " code
}
BEGIN {
    JUDGES = "^(error|worst|largest|top|difference|deviation|off)$"
    JUDGED = "(^|[^a-z_])(error|worst|difference|deviation|off) [<>]=? "
    for (i = split(ENVIRON["KNOWN"], lines, "\n"); i > 0; i--)
        if (lines[i] != "")
            listed[lines[i]] = 1
}
FNR == 1 {
    text = ""
    inside = 0
    files++
}
FILENAME !~ /\.(c|h|cpp)$/ {
    begun = FNR
    text = $0
    sub(/(^|[ \t])#.*/, "", text)
    end_statement()
    next
}
/^[ \t]*#/ { # of the preprocessor; a macro of one line is looked at
    if (!inside) {
        end_statement()
        if ($0 !~ /^[ \t]*#[ \t]*include/) {
            take_c($0)
            if ($0 !~ /\\$/)
                end_statement()
        }
        next
    }
}
{ take_c($0) }
END {
    for (said in listed)
        if (!(said in seen)) {
            print "comparisons: a known one is gone, so its line in comparisons.sh has to go: " said > "/dev/stderr"
            bad = 1
        }
    if (files < 20) {
        print "comparisons: only " files + 0 " files: this is no tree of the library" > "/dev/stderr"
        bad = 1
    }
    print files " files, no other comparison than those of compare.h" (bad ? ", but for these" : "")
    exit bad
}'
