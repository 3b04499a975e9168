# Merge the sorted tables `part_1` ... `part_4` into `table`: rows of the same key become one, their numbers added up.
set -eu

tab=$(printf '\t')
sort -m -t "$tab" -k 1,1 -o "$WATTLE_OUTPUT_TABLE.merged" \
    "$WATTLE_INPUT_PART_1" "$WATTLE_INPUT_PART_2" "$WATTLE_INPUT_PART_3" "$WATTLE_INPUT_PART_4"
awk -F "$tab" '
    function show() { if (rows++) printf "%s\t%.0f\t%.0f\t%.0f\t%.0f\n", key, sum[2], sum[3], sum[4], sum[5] }
    NR == 1 || $1 "" != key { show(); key = $1 ""; sum[2] = sum[3] = sum[4] = sum[5] = 0 }
    { for (n = 2; n <= 5; n++) sum[n] += $n }
    END { show() }
' "$WATTLE_OUTPUT_TABLE.merged" >"$WATTLE_OUTPUT_TABLE"
rm "$WATTLE_OUTPUT_TABLE.merged"
awk 'END { print NR " rows" }' "$WATTLE_OUTPUT_TABLE"
