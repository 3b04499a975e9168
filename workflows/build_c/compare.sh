# Let the program count the words of real text, its own sources, and compare with what POSIX's tools count.
set -eu
LC_ALL=C
export LC_ALL

cat ../../build_c/*.[ch] >"$WATTLE_OUTPUT_RESULT.text"
"$WATTLE_INPUT_PROGRAM" -n 100000 "$WATTLE_OUTPUT_RESULT.text" >"$WATTLE_OUTPUT_RESULT.found"
tr 'A-Z' 'a-z' <"$WATTLE_OUTPUT_RESULT.text" | tr -cs 'a-z' '\n' | awk 'length($0) { count[$0]++ }
    END { for (word in count) print count[word], word }' | sort -k 1,1nr -k 2,2 >"$WATTLE_OUTPUT_RESULT.expected"
if ! diff "$WATTLE_OUTPUT_RESULT.expected" "$WATTLE_OUTPUT_RESULT.found"; then
    echo "tally counts otherwise than tr, awk and sort: see the lines above" >&2
    exit 1
fi
awk '{ words += $1 } END { printf "%d words, %d different ones: the same as by tr, awk and sort\n", words, NR }' \
    "$WATTLE_OUTPUT_RESULT.found" >"$WATTLE_OUTPUT_RESULT"
rm "$WATTLE_OUTPUT_RESULT.text" "$WATTLE_OUTPUT_RESULT.expected" "$WATTLE_OUTPUT_RESULT.found"
cat "$WATTLE_OUTPUT_RESULT"
