# A worker that writes down itself what it did: worker.sh WITNESS KIND.
#
# WITNESS/lines gets `start|end WORKFLOW WORKER ATTEMPT UID PID-or-CODE`, one append each, so their order is the
# order of the deeds. WITNESS/UID.out is what it printed, .end is made just before its end, .output what it means its output to be, .input what it
# found in its input. What it is about to do is written first: a killed worker did no more than it wrote.
# shellcheck shell=sh
witness=$1 kind=$2
uid=$WATTLE_ATTEMPT_UID

tell() {
    printf '%s %s %s %s %s %s\n' "$1" "$WATTLE_WORKFLOW" "$WATTLE_WORKER" "$WATTLE_ATTEMPT" "$uid" "$2" >>"$witness/lines"
}
say() {
    # shellcheck disable=SC2059
    printf "$1" >>"$witness/$uid.out"
    # shellcheck disable=SC2059
    printf "$1"
}
finish() {
    : >"$witness/$uid.end"
    tell end "$1"
    exit "$1"
}

tell start $$
case $kind in
bytes) # captured: its standard output is its output
    say 'first line\n\000\001\377\303\r\n'
    say 'and no newline at the end'
    ;;
copy)
    cat "$WATTLE_INPUT_IN" >"$witness/$uid.input"
    cp "$witness/$uid.input" "$witness/$uid.output"
    cat "$witness/$uid.input" >"$WATTLE_OUTPUT_OUT"
    ;;
flaky) # fails once, with its output half written
    if [ "$WATTLE_ATTEMPT" = 1 ]; then
        printf half >"$WATTLE_OUTPUT_OUT"
        say 'not yet\n'
        finish 7
    fi
    printf whole >"$witness/$uid.output"
    printf whole >"$WATTLE_OUTPUT_OUT"
    ;;
fail)
    say 'as always\n'
    finish 7
    ;;
left) # ends and leaves a process behind that left its session
    (setsid sleep 600 >/dev/null 2>&1 &)
    sleep 0.05
    say 'gone\n'
    ;;
again) # holds until it is restarted
    say 'here\n'
    # shellcheck disable=SC2034
    [ "$WATTLE_ATTEMPT" != 1 ] || read -r never <"$witness/never"
    ;;
hold)
    say 'holding\n'
    # shellcheck disable=SC2034
    read -r never <"$witness/never"
    ;;
stubborn)
    trap '' TERM
    sleep 600 &
    say 'never\n'
    # shellcheck disable=SC2034
    read -r never <"$witness/never"
    ;;
pause)
    say 'one\n'
    sleep 0.12
    say 'two\n'
    ;;
segv)
    say 'falling\n'
    kill -SEGV $$
    ;;
esac
finish 0
