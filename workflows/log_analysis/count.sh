# Count one part of the log and sort each table, so that `sort -m` can merge those of all parts.
set -eu

for table in "$WATTLE_OUTPUT_PAGES" "$WATTLE_OUTPUT_HOSTS" "$WATTLE_OUTPUT_STATUSES" "$WATTLE_OUTPUT_HOURS" \
    "$WATTLE_OUTPUT_VISITS"; do
    : >"$table" # a part without a single good line has tables too
done
awk -f ../../log_analysis/count.awk "$WATTLE_INPUT_PART"
for table in "$WATTLE_OUTPUT_PAGES" "$WATTLE_OUTPUT_HOSTS" "$WATTLE_OUTPUT_STATUSES" "$WATTLE_OUTPUT_HOURS"; do
    sort -t "$(printf '\t')" -k 1,1 -o "$table" "$table"
done
sort -o "$WATTLE_OUTPUT_VISITS" "$WATTLE_OUTPUT_VISITS"

awk 'END { printf "%d lines, ", NR }' "$WATTLE_INPUT_PART"
awk 'END { printf "%d rejected\n", NR }' "$WATTLE_OUTPUT_REJECTED"
