# Look for orders of nothing. There is a `rejects` file only where there are some.
set -eu

rm -f "$WATTLE_OUTPUT_REJECTS" # of an earlier run
awk -F , '$3 < 1' "$WATTLE_INPUT_COPY" >"$WATTLE_OUTPUT_REJECTS.partial"
if [ -s "$WATTLE_OUTPUT_REJECTS.partial" ]; then
    mv "$WATTLE_OUTPUT_REJECTS.partial" "$WATTLE_OUTPUT_REJECTS"
else
    rm "$WATTLE_OUTPUT_REJECTS.partial"
fi
