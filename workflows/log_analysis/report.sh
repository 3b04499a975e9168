# Write the report: what an administrator wants to see first, as text.
set -eu

show() { awk -F '\t' -v "what=$1" -f ../../log_analysis/report.awk "$2"; }

rows() { tail -n +2 "$1"; }

first() { # COUNT: the first lines, reading on to the end so that nothing upstream meets a closed pipe
    awk -v "count=$1" 'NR <= count'
}

by() { sort -t "$(printf '\t')" -k "$1,$1nr" -k 1,1; }

{
    log=$(cut -f 1 "$WATTLE_INPUT_ORIGIN")
    echo "${log##*/}"
    show totals "$WATTLE_INPUT_HOURS"
    awk 'END { printf "%d pages, ", NR - 1 }' "$WATTLE_INPUT_PAGES"
    awk 'END { printf "%d hosts, ", NR - 1 }' "$WATTLE_INPUT_HOSTS"
    awk 'END { printf "%d lines that are no requests\n", NR }' "$WATTLE_INPUT_REJECTED"
    printf '\nThe 15 most visited pages\n\n'
    rows "$WATTLE_INPUT_PAGES" | first 15 | show pages -
    printf '\nThe 10 busiest hosts\n\n'
    rows "$WATTLE_INPUT_HOSTS" | first 10 | show hosts -
    printf '\nAnswers\n\n'
    rows "$WATTLE_INPUT_STATUSES" | show statuses -
    printf '\nHits by hour of the day\n\n'
    show day "$WATTLE_INPUT_HOURS"
    printf '\nThe 5 hours with most errors of the server\n\n'
    rows "$WATTLE_INPUT_HOURS" | by 5 | first 5 | show hours -
    printf '\nThe 5 hosts with most errors of their own (4xx)\n\n'
    rows "$WATTLE_INPUT_HOSTS" | by 4 | first 5 | show hosts -
    printf '\nThe 5 pages that fail most often (5xx)\n\n'
    rows "$WATTLE_INPUT_PAGES" | by 5 | first 5 | show pages -
} >"$WATTLE_OUTPUT_REPORT.partial"
mv "$WATTLE_OUTPUT_REPORT.partial" "$WATTLE_OUTPUT_REPORT"
cat "$WATTLE_OUTPUT_REPORT"
