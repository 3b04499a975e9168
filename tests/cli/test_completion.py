"""Completion as the shells do it: each is started, given the script, and asked."""

import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import sys
import time

import pytest
from cli.shell import ROOT

DEFINITION = {"workers": [{"name": "fetch", "command": "true"}, {"name": "load", "command": "true"}]}
ASKED = [
    ("wattle sta", ["start", "status"]),
    ("wattle status alp", ["alpha"]),
    ("wattle status alpha", ["alpha", "alpha/fetch", "alpha/load"]),
    ("wattle why alpha/f", ["alpha/fetch"]),
    ("wattle kill -s SIGH", ["SIGHUP"]),
    ("wattle kill -s hu", ["huP"]),
    ("wattle kill alp", ["alpha"]),
    ("wattle validate --js", ["--json"]),
    ("wattle completion ", ["bash", "zsh", "fish"]),
    ("wattle import pro", ["procfile", "process-compose"]),
    ("wattle wait alp", ["alpha"]),
    ("wattle graph alp", ["alpha"]),
]
ODD = "col:on, größe"  # bash cuts words at colons, fish's lines hold commas


@pytest.fixture
def shelf(shell):
    """A shell whose PATH has a `wattle`, with two workflows stored."""
    programs = shell.directory / "bin"
    programs.mkdir()
    launcher = programs / "wattle"
    launcher.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m wattle.cli "$@"\n')
    launcher.chmod(0o755)
    shell.environ["PATH"] = f"{programs}:{shell.environ['PATH']}"
    for name in ("alpha", "etl daily"):
        shell.write("d.json", DEFINITION | {"name": name})
        assert shell.run("run", "d.json").returncode == 0
    return shell


def installed(name):
    program = shutil.which(name)
    assert program, f"{name} is not here: .ci/run installs it"
    return program


def asked_of(shelf, program, script):
    done = subprocess.run(
        [program, *(["--norc"] if "bash" in program else []), "-c", script],
        capture_output=True, text=True, env=shelf.environ, cwd=shelf.directory, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def in_bash(shelf, line):
    """By the function that bash calls, with the variables that it sets."""
    return asked_of(shelf, installed("bash"), f'eval "$(wattle completion bash)"; COMP_LINE={shlex.quote(line)}; '
                    'COMP_WORDBREAKS=\' \t\n"\'"\'"\'@><=;|&(:\'; '
                    f'COMP_POINT={len(line)}; '
                    'f=$(complete -p wattle | sed "s/.*-F //; s/ .*//"); COMPREPLY=(); $f wattle; '
                    'printf "%s\\n" "${COMPREPLY[@]}"')  # fmt: skip


@pytest.mark.parametrize("line, wanted", ASKED)
def test_bash_completes(shelf, line, wanted):
    assert sorted(in_bash(shelf, line)) == sorted(wanted)


def test_bash_quotes_names_as_they_are_typed(shelf):
    stored(shelf, ODD, "x:y")
    for line, wanted in (
        ("wattle show etl", ["etl\\ daily"]),
        ("wattle why etl\\ daily/f", ["etl\\ daily/fetch"]),
        ("wattle why 'etl daily/f", ["etl daily/fetch"]),
        ('wattle --color never why "etl da', ["etl daily"]),
        ("wattle why 'etl daily'/f", ["etl\\ daily/fetch"]),
        ("wattle why col:on,", ["on,\\ größe"]),  # only what is behind the colon is replaced
        ("wattle why 'col:on, größe/x:", ["col:on, größe/x:y"]),
    ):
        assert in_bash(shelf, line) == wanted


def test_fish_completes(shelf):
    fish = installed("fish")
    stored(shelf, ODD, "x:y")
    for line, wanted in [*ASKED, ("wattle show etl", ["etl daily"]), ("wattle why col:", [ODD])]:  # fmt: skip
        found = asked_of(shelf, fish, f"wattle completion fish | source; complete -C '{line}'")
        assert sorted(each.partition("\t")[0] for each in found) == sorted(wanted), line


@pytest.mark.parametrize("name, start", [
    ("zsh", "autoload -Uz compinit && compinit -u\neval \"$(wattle completion zsh)\"; PS1='ready> '"),
    ("bash", "eval \"$(wattle completion bash)\"; bind 'set bell-style none'; PS1='ready> '"),
])
def test_completion_at_the_tab(shelf, name, start):
    """In a terminal of its own: zsh completes nowhere else, and only there bash cuts and joins words."""
    stored(shelf, ODD, "x:y")
    (shelf.directory / f"home/.{name}rc").write_text(f"{start}\n")
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(shelf.directory)
        os.execve(installed(name), [name, "-i"], shelf.environ | {"TERM": "xterm"})
    try:
        until(terminal, "ready> ")
        for typed, wanted in (
            ("wattle stat", "wattle status "), ("wattle why alpha/f", "wattle why alpha/fetch "),
            ("wattle why etl\\ daily/f", "why etl\\ daily/fetch "),
            ("wattle why 'etl daily/f", "why 'etl daily/fetch'"),
            ("wattle why 'etl daily'/f", "etl\\ daily/fetch " if name == "bash" else "/fetch' "),
            ("wattle why col:o", "why col:on,\\ größe "),
            ("wattle why 'col:on, größe/x:", "why 'col:on, größe/x:y'"),
        ):  # fmt: skip
            os.write(terminal, b"\x15" + typed.encode() + b"\t")
            until(terminal, wanted)
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)


def stored(shelf, name, worker):
    shelf.write("odd.json", {"name": name, "workers": [{"name": worker, "command": "true"}]})
    assert shelf.run("run", "odd.json").returncode == 0


def until(terminal, text, limit_seconds=20.0):
    seen, deadline = b"", time.monotonic() + limit_seconds
    while text not in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x08", "", seen.decode("utf-8", "replace")):
        assert time.monotonic() < deadline, repr(seen)
        if select.select([terminal], [], [], 0.1)[0]:
            seen += os.read(terminal, 65536)


def test_completion_without_anything_to_complete_is_silent(shell):
    done = shell.run("list", _WATTLE_COMPLETE="bash_complete", COMP_WORDS="wattle show x")
    assert (done.stdout.strip(), done.stderr) == ("", "")
    assert not shell.data_dir.exists()
