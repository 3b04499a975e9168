# See that there is a C compiler which can make a program that runs here, and note which. CC names another than cc.
set -eu

cc=${CC:-cc}
command -v "${cc%% *}" >/dev/null || {
    echo "there is no C compiler: '$cc' is not on PATH; install gcc (Debian: apt-get install gcc libc6-dev) or set CC" >&2
    exit 1
}
probe=$WATTLE_OUTPUT_COMPILER.probe
printf '#include <stdio.h>\nint main(void) { return puts("it works") < 0; }\n' >"$probe.c"
# Both may hold several words.
# shellcheck disable=SC2086
if ! $cc $CFLAGS "$probe.c" -o "$probe" || ! "$probe"; then
    echo "'$cc' is there but cannot make a program, see above (on Debian libc6-dev may be missing)" >&2
    exit 1
fi
rm "$probe.c" "$probe"
{
    $cc --version 2>/dev/null | head -n 1
    echo "flags: $CFLAGS"
} >"$WATTLE_OUTPUT_COMPILER"
cat "$WATTLE_OUTPUT_COMPILER"
