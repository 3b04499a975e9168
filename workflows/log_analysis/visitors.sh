# Count the hosts that visited each page, from the sorted pairs of page and host in `part_1` ... `part_4`.
set -eu

sort -m -u -o "$WATTLE_OUTPUT_TABLE.pairs" \
    "$WATTLE_INPUT_PART_1" "$WATTLE_INPUT_PART_2" "$WATTLE_INPUT_PART_3" "$WATTLE_INPUT_PART_4"
cut -f 1 "$WATTLE_OUTPUT_TABLE.pairs" | uniq -c |
    awk '{ count = $1; sub(/^ *[0-9]+ /, ""); print $0 "\t" count }' >"$WATTLE_OUTPUT_TABLE"
rm "$WATTLE_OUTPUT_TABLE.pairs"
awk 'END { print NR " pages" }' "$WATTLE_OUTPUT_TABLE"
