# See that nothing was lost or counted twice: each table has as many hits as the log has good lines.
set -eu

lines=$(cut -f 2 "$WATTLE_INPUT_ORIGIN")
cat "$WATTLE_INPUT_REJECTED_1" "$WATTLE_INPUT_REJECTED_2" "$WATTLE_INPUT_REJECTED_3" "$WATTLE_INPUT_REJECTED_4" \
    >"$WATTLE_OUTPUT_REJECTED"
rejected=$(awk 'END { print NR }' "$WATTLE_OUTPUT_REJECTED")
good=$((lines - rejected))

{
    for table in "$WATTLE_INPUT_PAGES" "$WATTLE_INPUT_HOSTS" "$WATTLE_INPUT_STATUSES" "$WATTLE_INPUT_HOURS"; do
        hits=$(awk -F '\t' 'NR > 1 { hits += $2 } END { printf "%.0f", hits }' "$table")
        if [ "$hits" != "$good" ]; then
            echo "${table##*/} has $hits hits, but the log has $good good lines ($lines, $rejected rejected)" >&2
            exit 1
        fi
        echo "${table##*/}: $hits hits"
    done
    echo "$lines lines, $rejected rejected"
} >"$WATTLE_OUTPUT_CHECKS.partial"
mv "$WATTLE_OUTPUT_CHECKS.partial" "$WATTLE_OUTPUT_CHECKS"
cat "$WATTLE_OUTPUT_CHECKS"
