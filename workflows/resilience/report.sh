# Say what came out, and what the failed attempts left: Wattle keeps it beside the output, renamed.
set -eu

{
    awk -F , -v "rate=$(cat "$WATTLE_INPUT_RATE")" '{ total += $3 * $4 } END { printf "%d orders, %.2f in all\n", NR, total * rate }' \
        "$WATTLE_INPUT_COPY"
    echo "$(cat "$WATTLE_INPUT_CANCELLED") of them are cancelled"
    if [ -f "$WATTLE_INPUT_REJECTS" ]; then echo "some are rejected"; else echo "none is rejected"; fi
    for left in "$WATTLE_INPUT_COPY".failed-*; do
        echo "a failed attempt left ${left##*/}: $(($(wc -c <"$left"))) bytes"
    done
} >"$WATTLE_OUTPUT_REPORT"
cat "$WATTLE_OUTPUT_REPORT"
