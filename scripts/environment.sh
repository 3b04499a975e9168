# shellcheck shell=sh
# The Python environment in .venv, made on first use; sourced by scripts/wattle and scripts/test.
#
#   root=/the/repository
#   ensure_environment ''        what wattle needs
#   ensure_environment test      and what its tests need
#
# Afterwards "$root/.venv/bin" is complete. A stamp in .venv says for which setup.cfg, pyproject.toml, place
# and Python it was made; while it fits, this costs three small processes and no network. Files in .venv:
#
#   .installed .installedtest   the stamps
#   .lock                       held while somebody installs
#   .unfinished                 the environment is being made: without its stamps it is worth nothing
#   .updating                   packages are being exchanged: some may be half there
#   .log                        what venv and pip said last
# Nothing goes to standard output, which belongs to the command that follows.

: "${root:?is set by the script that sources this one}"

environment_say() {
    printf 'wattle: %s\n' "$*" >&2
}

# Whether the environment is finished, here, for this setup.cfg: $1 is the extra ('' for none).
environment_is_current() {
    [ -x "$root/.venv/bin/python" ] && [ -x "$root/.venv/bin/wattle" ] || return 1
    [ -r "$root/.venv/.installed$1" ] || return 1
    [ ! -e "$root/.venv/.unfinished" ] || return 1
    environment_key=$(environment_key_now)
    IFS= read -r environment_found <"$root/.venv/.installed$1" || return 1
    [ "$environment_found" = "$environment_key" ]
}

# One line that changes when the environment must be made again or brought up to date.
environment_key_now() {
    environment_sum=$(cat "$root/setup.cfg" "$root/pyproject.toml" | cksum) || return 1
    printf '%s %s %s\n' "$environment_sum" "$(readlink -f "$root/.venv/bin/python")" "$root"
}

ensure_environment() {
    environment_is_current "$1" && return 0
    # An exported PYTHONHOME or PIP_TARGET must not lead the installation elsewhere.
    (
        unset PYTHONHOME PYTHONPATH PIP_USER PIP_TARGET PIP_PREFIX PIP_REQUIRE_VIRTUALENV
        environment_make "$1"
    ) </dev/null 1>&2
}

# In a subshell: everything here may exit, and the lock on descriptor 9 ends with the subshell.
environment_make() {
    extra=$1
    venv=$root/.venv
    cd "$root" || exit 1
    if ! mkdir -p "$venv" 2>/dev/null || ! touch "$venv/.lock" 2>/dev/null; then
        environment_say "cannot write $venv; copy the repository to a directory of your own and start it there"
        exit 1
    fi
    python=$(environment_find_python) || exit 1

    # flock() is held by the descriptor, not by the process that asked: it stays with this shell, and
    # with a pip that outlives it.
    exec 9>>"$venv/.lock"
    environment_lock='import fcntl, sys; fcntl.flock(9, fcntl.LOCK_EX | int(sys.argv[1]))'
    if ! "$python" -I -c "$environment_lock" 4 2>/dev/null; then
        environment_say "another start is installing; waiting for it"
        "$python" -I -c "$environment_lock" 0 || exit 1
        environment_is_current "$extra" && exit 0
    fi

    if environment_is_sound; then
        environment_update
    else
        environment_build
    fi
}

# The first Python on PATH that is new enough and can make environments.
environment_find_python() {
    too_old='' without_venv=''
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
        command -v "$candidate" >/dev/null 2>&1 || continue
        # A shim without a version behind it fails here, and is passed over.
        version=$("$candidate" -I -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
        if ! "$candidate" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            too_old="$too_old $candidate is $version;"
        elif ! "$candidate" -I -c 'import venv, ensurepip' 2>/dev/null; then
            without_venv=${without_venv:-$version}
        else
            # The Python itself, not an environment's link to it: that environment may be .venv.
            "$candidate" -I -c 'import sys; print(getattr(sys, "_base_executable", "") or sys.executable)'
            return 0
        fi
    done
    if [ -n "$without_venv" ]; then
        environment_say "Python $without_venv is here, but not its module venv, which makes environments."
        environment_say "On Debian and Ubuntu: apt install python3-venv (or python$without_venv-venv); then start again."
    else
        environment_say "Wattle needs Python 3.11 or newer, and PATH has none.${too_old:+ Too old:${too_old%;}.}"
        environment_say "Install one (Debian, Ubuntu: apt install python3 python3-venv), then start again."
    fi
    return 1
}

# Whether .venv can be kept: whole, made at this place, and its Python still there and new enough.
environment_is_sound() {
    [ ! -e "$venv/.unfinished" ] &&
        [ -r "$venv/pyvenv.cfg" ] &&
        grep -qF -e "VIRTUAL_ENV=$venv" -e "VIRTUAL_ENV=\"$venv" -e "VIRTUAL_ENV='$venv" \
            "$venv/bin/activate" 2>/dev/null &&
        "$venv/bin/python" -I -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# Make .venv from nothing. While .unfinished is there nobody takes it for an environment.
environment_build() {
    if [ -e "$venv/pyvenv.cfg" ]; then
        environment_say "making $venv again: it is incomplete, or was made at another place or for another Python"
    else
        environment_say "first use: making $venv with $("$python" -I -V)"
    fi
    touch "$venv/.unfinished" || exit 1
    find "$venv" -mindepth 1 -maxdepth 1 ! -name .lock ! -name .unfinished -exec rm -rf {} + || exit 1
    if ! "$python" -I -m venv "$venv" >"$venv/.log" 2>&1; then
        environment_show_log
        environment_say "$python could not make an environment (on Debian and Ubuntu: apt install python3-venv)"
        exit 1
    fi
    environment_install || environment_give_up
    environment_done
}

# Bring a working .venv up to date. Where that fails and it still works, as when offline, it goes on serving.
environment_update() {
    environment_say "bringing $venv up to date"
    repair=
    [ ! -e "$venv/.updating" ] || repair=--force-reinstall
    touch "$venv/.updating" || exit 1
    if environment_install $repair; then
        environment_done
    elif [ -r "$venv/.installed$extra" ] && "$venv/bin/python" -I -m pip check >/dev/null 2>&1; then
        environment_show_log
        environment_say "that failed; going on with what was installed before, and trying again at the next start"
        [ -n "$repair" ] || rm -f "$venv/.updating"
    else
        environment_give_up
    fi
}

# $1, if given, is one more option for pip.
environment_install() {
    environment_say "installing ${extra:+what the tests need with }Wattle (once; some 20 seconds, more on a slow network)"
    # editable_mode=compat: a path in a .pth file; setuptools' import hook would cost every start of Python 10 ms.
    "$venv/bin/python" -I -m pip install --no-input --disable-pip-version-check --progress-bar off --retries 2 \
        "$@" --config-settings editable_mode=compat --editable ".${extra:+[$extra]}" >"$venv/.log" 2>&1
}

environment_done() {
    for stamp in "$venv/.installed$extra" "$venv/.installed"; do # with the tests' needs go wattle's
        environment_key_now >"$venv/.stamp" && mv "$venv/.stamp" "$stamp" || exit 1
    done
    rm -f "$venv/.unfinished" "$venv/.updating" || exit 1
    environment_say "installed"
}

environment_give_up() {
    environment_show_log
    if grep -qE 'NewConnectionError|ConnectTimeout|NameResolution|name resolution|Network is unreachable|ProxyError' \
        "$venv/.log"; then
        environment_say "the packages could not be fetched: is there a network? A proxy or a mirror is named to pip by"
        environment_say "HTTPS_PROXY or PIP_INDEX_URL. Once installed, Wattle needs no network."
    else
        environment_say "pip could not install Wattle; all it said is in $venv/.log"
    fi
    exit 1
}

environment_show_log() {
    grep -vE '^(WARNING: (Location|Retrying)|Processing|Collecting|INFO)' "$venv/.log" | tail -n 12 >&2
}
