# Take the log that ACCESS_LOG names, or make one, and cut it into four parts of about as many lines.
#
# Writes `part_1` ... `part_4`, `origin` (where the log comes from, and its lines) and, if it was made, `log`.
set -eu

command -v join >/dev/null || {
    echo "there is no join on PATH, which POSIX systems have: install the package coreutils" >&2
    exit 1
}

if [ -n "${ACCESS_LOG:-}" ]; then
    log=$ACCESS_LOG
    rm -f "$WATTLE_OUTPUT_LOG" # of an earlier run, which made one
    if [ ! -f "$log" ] || [ ! -r "$log" ]; then
        echo "ACCESS_LOG names $log, which is not a file that can be read (give an absolute path)" >&2
        exit 1
    fi
else
    log=$WATTLE_OUTPUT_LOG
    awk -v lines=200000 -f ../../log_analysis/generate.awk >"$log"
fi

# Control characters, tabs too, have no place in a log and would spoil tables that are separated by tabs.
tr -d '\000-\011\013-\037\177' <"$log" >"$WATTLE_OUTPUT_PART_1.all"
lines=$(awk 'END { print NR }' "$WATTLE_OUTPUT_PART_1.all")
awk -v lines="$lines" '
    BEGIN {
        per_part = int((lines + 3) / 4)
        for (n = 1; n <= 4; n++) { part[n] = ENVIRON["WATTLE_OUTPUT_PART_" n]; printf "" >part[n] }
    }
    { print >part[int((NR - 1) / per_part) + 1] }
' "$WATTLE_OUTPUT_PART_1.all"
rm "$WATTLE_OUTPUT_PART_1.all"

[ "$lines" -gt 0 ] || { echo "$log is empty" >&2; exit 1; }
printf '%s\t%s\n' "$log" "$lines" >"$WATTLE_OUTPUT_ORIGIN"
echo "$lines lines of $log"
