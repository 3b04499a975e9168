"""The replay's command, done by sh as Wattle has it done."""

import os
import shutil
import subprocess

import pytest

from wattle.definition import plan_command
from wattle.importers.replay import (
    LARGE_WRITE_BYTES,
    MOST_ARGUMENT_BYTES,
    SMALL_READ_BYTES,
    File,
    output_argument_bytes,
    replay,
)

SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]
AWKWARD = "d/a b'c\"d$(touch x)`touch y`;*?\\n &|<>#"


def done_by(shell, doing, directory, **more):
    argv = plan_command(doing.command, doing.args).argv
    if argv[0] == "/bin/sh":
        argv = (shell, *(["sh"] if shell == "busybox" else []), *argv[1:])
    (directory / "d").mkdir(exist_ok=True)
    return subprocess.run(argv, cwd=directory, capture_output=True, text=True, timeout=60, **more)


def sizes(directory):
    return {path.name: path.stat().st_size for path in sorted((directory / "d").iterdir())}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("large", [False, True])
def test_outputs_have_their_sizes(shell, large, tmp_path):
    outputs = [File("d/none", 0), File("d/one", 1), File("d/usual", 65536)]
    outputs += [File("d/large", LARGE_WRITE_BYTES + 1)] if large else []
    done = done_by(shell, replay([], outputs, 0), tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sizes(tmp_path) == {file.path[2:]: file.size for file in outputs}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("size", [10, SMALL_READ_BYTES + 1])
def test_names_are_never_taken_for_shell_text(shell, size, tmp_path):
    made = done_by(shell, replay([], [File(AWKWARD, size), File("d/-", size)], 0), tmp_path)
    assert (made.returncode, made.stderr) == (0, "")
    inputs = [File(AWKWARD, size), File("d/-", size)]
    read = done_by(shell, replay(inputs, [File("d/~", 1)], 0), tmp_path)
    assert (read.returncode, read.stdout, read.stderr) == (0, "", "")
    assert sizes(tmp_path) == {AWKWARD[2:]: size, "-": size, "~": 1}
    assert sorted(os.listdir(tmp_path)) == ["d"]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("size", [10, SMALL_READ_BYTES + 1])
@pytest.mark.parametrize("missing", [0, 1])
def test_a_missing_input_fails_it_before_anything_is_written(shell, size, missing, tmp_path):
    inputs = [File("d/first", size), File("d/second", size)]
    done_by(shell, replay([], [inputs[1 - missing]], 0), tmp_path)
    done = done_by(shell, replay(inputs, [File("d/out", 1)], 0), tmp_path)
    assert done.returncode != 0 and inputs[missing].path in done.stderr
    assert not (tmp_path / "d/out").exists()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("size", [10, LARGE_WRITE_BYTES + 1])
def test_an_output_that_cannot_be_written_fails_it(shell, size, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d/full").symlink_to("/dev/full")
    assert done_by(shell, replay([], [File("d/full", size), File("d/next", 1)], 0), tmp_path).returncode != 0
    assert done_by(shell, replay([], [File("d/no/directory", size)], 0), tmp_path).returncode != 0
    assert sorted(os.listdir(tmp_path / "d")) == ["full"]


NO_PROGRAMS = {"PATH": "/nonexistent"}


def test_small_files_and_no_runtime_cost_one_process(tmp_path):
    """Where sh finds no program at all it does everything itself; the command has no subshell."""
    small = [File("d/one", 1000), File("d/two", 1000)]
    for doing in (replay([], [*small, File("d/usual", 65536)], 0), replay(small, [File("d/out", 65536)], 0.0004)):
        assert done_by("/bin/sh", doing, tmp_path, env=NO_PROGRAMS).returncode == 0
        assert not {"$(", "`", "|"} & {*doing.command.replace("||", "").split()} and " & " not in doing.command


def test_large_files_and_a_runtime_need_programs(tmp_path):
    """Positive control."""
    small, large = File("d/one", 10), File("d/large", SMALL_READ_BYTES + 1)
    done_by("/bin/sh", replay([], [small, large], 0), tmp_path, env=NO_PROGRAMS)
    assert "cat" in done_by("/bin/sh", replay([large], [small], 0), tmp_path, env=NO_PROGRAMS).stderr
    assert "sleep" in done_by("/bin/sh", replay([], [small], 0.001), tmp_path, env=NO_PROGRAMS).stderr


def test_the_wait_comes_between_reading_and_writing():
    doing = replay([File("d/in", 1)], [File("d/out", 1)], 1.25)
    assert (
        0 < doing.command.index('read_inputs "$@"') < doing.command.index("sleep 1.25") < doing.command.index("printf")
    )


@pytest.mark.parametrize(
    "seconds, command",
    [(0, "true"), (0.0004, "true"), (0.001, "sleep 0.001"), (2.0, "sleep 2"), (1e8, "sleep 100000000")],
)
def test_a_task_without_files_only_waits(seconds, command):
    assert replay([], [], seconds) == (command, [], 0)


@pytest.mark.parametrize("size", [0, 100])
def test_thousands_of_files_fit(size, tmp_path):
    outputs = [File(f"d/{'long' * 10}.{n}", size) for n in range(3000)]
    assert done_by("sh", replay([], outputs, 0), tmp_path).returncode == 0
    done = done_by("sh", replay(outputs, [File("d/out", 1)], 0), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(sizes(tmp_path)) == 3001


def test_inputs_that_no_command_line_has_room_for_are_not_read(tmp_path):
    inputs = [File(f"d/{'x' * 200}{n}", 1) for n in range(10_000)]
    doing = replay(inputs, [File("d/out", 1)], 0)
    assert 0 < doing.unread < 10_000
    assert output_argument_bytes([File(word, 1) for word in doing.args]) < 2 * MOST_ARGUMENT_BYTES
    assert "Argument list too long" not in done_by("sh", doing, tmp_path).stderr
