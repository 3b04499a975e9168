"""Completion as the shells do it: each is started, given the script, and asked."""

import os
import pty
import re
import select
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
]


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
    words = line.split(" ")
    array = " ".join(f"'{word}'" for word in words)
    return asked_of(shelf, installed("bash"), f'eval "$(wattle completion bash)"; COMP_WORDS=({array}); '
                    f'COMP_CWORD={len(words) - 1}; '
                    'f=$(complete -p wattle | sed "s/.*-F //; s/ .*//"); COMPREPLY=(); $f wattle; '
                    'printf "%s\\n" "${COMPREPLY[@]}"')  # fmt: skip


@pytest.mark.parametrize("line, wanted", ASKED)
def test_bash_completes(shelf, line, wanted):
    assert sorted(in_bash(shelf, line)) == sorted(wanted)


def test_bash_quotes_names_with_blanks(shelf):
    assert in_bash(shelf, "wattle show etl")[0] == "'etl daily'"


def test_fish_completes(shelf):
    fish = installed("fish")
    for line, wanted in [*ASKED, ("wattle show etl", ["etl daily"])]:
        found = asked_of(shelf, fish, f"wattle completion fish | source; complete -C '{line}'")
        assert sorted(each.partition("\t")[0] for each in found) == sorted(wanted), line


def test_zsh_completes_at_the_tab(shelf):
    """In a terminal of its own: zsh completes nowhere else."""
    (shelf.directory / "home/.zshrc").write_text(
        "PS1='ready> '; autoload -Uz compinit && compinit -u\neval \"$(wattle completion zsh)\"\n"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(shelf.directory)
        os.execve(installed("zsh"), ["zsh", "-i"], shelf.environ | {"TERM": "xterm"})
    try:
        until(terminal, "ready> ")
        for typed, wanted in (("wattle stat", "wattle status "), ("wattle why alpha/f", "wattle why alpha/fetch"),
                              ("wattle show etl", "etl\\ daily")):  # fmt: skip
            os.write(terminal, b"\x15" + typed.encode() + b"\t")
            until(terminal, wanted)
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)


def until(terminal, text, limit_seconds=30.0):
    seen, deadline = "", time.monotonic() + limit_seconds
    while text not in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x08", "", seen):
        assert time.monotonic() < deadline, repr(seen)
        if select.select([terminal], [], [], 0.1)[0]:
            seen += os.read(terminal, 65536).decode("utf-8", "replace")


def test_completion_without_anything_to_complete_is_silent(shell):
    done = shell.run("list", _WATTLE_COMPLETE="bash_complete", COMP_WORDS="wattle show x", COMP_CWORD="2")
    assert (done.stdout.strip(), done.stderr) == ("", "")
    assert not shell.data_dir.exists()
