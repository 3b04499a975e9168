# Copy `orders` as if over a line that breaks twice: the first two attempts leave half of it and fail.
set -eu

if [ "$WATTLE_ATTEMPT" -le 2 ]; then
    size=$(wc -c <"$WATTLE_INPUT_ORDERS")
    head -c $((size * WATTLE_ATTEMPT / 3)) "$WATTLE_INPUT_ORDERS" >"$WATTLE_OUTPUT_COPY"
    echo "the line broke after $((size * WATTLE_ATTEMPT / 3)) of $((size)) bytes" >&2
    exit 7
fi
cp "$WATTLE_INPUT_ORDERS" "$WATTLE_OUTPUT_COPY"
