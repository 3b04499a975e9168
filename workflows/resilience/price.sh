# Ask for the rate of exchange. The first attempt gets no answer and would wait for a minute; it is given two seconds.
set -eu

if [ "$WATTLE_ATTEMPT" -eq 1 ]; then
    sleep 60
fi
echo 1.25 >"$WATTLE_OUTPUT_RATE"
