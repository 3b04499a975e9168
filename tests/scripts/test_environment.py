"""scripts/wattle and scripts/test: how they make, keep and repair .venv, with a Python that installs nothing.

The Python on PATH is a small sh script that answers as a real one would, writes what `python -m venv` and
pip would leave, and notes each of their calls; no test here needs a network.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("sh", "cat", "cksum", "find", "grep", "mkdir", "mv", "readlink", "rm", "tail", "touch", "cp", "sleep")

# FAKE_VERSION: what it claims to be. FAKE_WITHOUT_VENV: Debian's, without python3-venv.
FAKE_PYTHON = r"""#!/bin/sh
self=$0
[ "$1" = -I ] && shift
case "$1 $2 ${3:-}" in
*version_info\[:2\]*) echo "${FAKE_VERSION:-3.11}" ;;
*"sys.version_info < "*) case "${FAKE_VERSION:-3.11}" in 3.[0-9]|3.10|2.*) exit 1 ;; esac ;;
*"import venv"*) [ -z "${FAKE_WITHOUT_VENV:-}" ] ;;
*_base_executable*) echo "$self" ;;
"-V "*) echo "Python ${FAKE_VERSION:-3.11}.0" ;;
"-m venv "*)
    echo venv >>"$FAKE_CALLS"
    mkdir -p "$3/bin"
    cp "$self" "$3/bin/python"
    echo "VIRTUAL_ENV=$3" >"$3/bin/activate"
    echo "command = python -m venv $3" >"$3/pyvenv.cfg" ;;
"-m pip check") exit 0 ;;
"-m pip install")
    echo "pip $*" >>"$FAKE_CALLS"
    if [ -n "${FAKE_OFFLINE:-}" ]; then
        echo "NewConnectionError: Temporary failure in name resolution"
        exit 1
    fi
    sleep "${FAKE_PIP_SECONDS:-0}"
    echo '#!/bin/sh
echo "wattle $$:" "$@"' >"${self%/*}/wattle"
    chmod +x "${self%/*}/wattle" ;;
"-m pytest "*) shift; echo "$@" in "$PWD" ;;
*) exec @REAL@ "$@" ;;
esac
"""


class Place:
    """A copy of the scripts with a fake Python, and what they did."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "a repository"
        self.bin = directory / "bin"
        self.calls_file = directory / "calls"
        self.bin.mkdir()
        for tool in (*TOOLS, "chmod"):
            (self.bin / tool).symlink_to(shutil.which(tool) or pytest.fail(f"this test needs {tool}"))
        shutil.copytree(ROOT / "scripts", self.root / "scripts")
        (self.root / "setup.cfg").write_text("[metadata]\nname = wattle\n")
        (self.root / "pyproject.toml").write_text("")
        self.add_python("python3")
        self.wattle = self.root / "scripts" / "wattle"

    def add_python(self, name: str) -> None:
        path = self.bin / name
        path.write_text(FAKE_PYTHON.replace("@REAL@", sys.executable))
        path.chmod(0o755)

    def start(self, *command: str | Path, **environment: str) -> subprocess.Popen:
        env = {"PATH": str(self.bin), "FAKE_CALLS": str(self.calls_file), **environment}
        return subprocess.Popen(
            [str(each) for each in command],
            env=env,
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str | Path, **environment: str) -> subprocess.CompletedProcess:
        process = self.start(*command, **environment)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    @property
    def calls(self) -> list[str]:
        """`venv` and `pip`, in the order in which they were called."""
        return [call.split()[0] for call in self.whole_calls]

    @property
    def whole_calls(self) -> list[str]:
        return self.calls_file.read_text().splitlines() if self.calls_file.exists() else []


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    limit = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < limit, f"not within 30 s: {what}"
        time.sleep(0.01)


def test_first_start_installs_says_so_and_becomes_wattle(place):
    process = place.start(place.wattle, "run", "a b")
    out, err = process.communicate(timeout=60)
    assert out == f"wattle {process.pid}: run a b\n"
    assert "first use: making" in err and "installing Wattle" in err
    assert place.calls == ["venv", "pip"]


def test_second_start_installs_nothing_and_is_quiet(place):
    place.run(place.wattle)
    second = place.run(place.wattle, "list")
    assert second.returncode == 0 and second.stdout.endswith(": list\n") and second.stderr == ""
    assert place.calls == ["venv", "pip"]


def test_a_link_from_elsewhere_finds_the_repository(place, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(place.wattle)
    assert place.run(link).returncode == 0
    assert (place.root / ".venv" / "bin" / "wattle").exists()


@pytest.mark.parametrize("name", ["setup.cfg", "pyproject.toml"])
def test_changed_metadata_is_installed_into_the_same_environment(place, name):
    place.run(place.wattle)
    (place.root / name).write_text("changed")
    assert "up to date" in place.run(place.wattle).stderr
    assert place.calls == ["venv", "pip", "pip"]
    assert place.run(place.wattle).stderr == ""


def test_without_network_a_changed_repository_goes_on_with_what_it_has(place):
    place.run(place.wattle)
    (place.root / "setup.cfg").write_text("changed")
    offline = place.run(place.wattle, "list", FAKE_OFFLINE="yes")
    assert offline.returncode == 0 and offline.stdout.endswith(": list\n")
    assert "going on with what was installed before" in offline.stderr
    assert "up to date" in place.run(place.wattle).stderr  # tried again


def test_without_network_a_first_start_says_what_is_missing(place):
    first = place.run(place.wattle, FAKE_OFFLINE="yes")
    assert first.returncode == 1 and first.stdout == ""
    assert "is there a network?" in first.stderr
    assert place.run(place.wattle).returncode == 0  # and is repaired by the next


def test_an_interrupted_first_install_is_made_again(place):
    process = place.start(place.wattle, FAKE_PIP_SECONDS="600")
    wait_until(lambda: "pip" in place.calls, "pip was called")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    again = place.run(place.wattle)
    assert again.returncode == 0 and "incomplete" in again.stderr
    assert place.calls == ["venv", "pip"] * 2


def test_an_interrupted_update_reinstalls_everything(place):
    place.run(place.wattle)
    (place.root / "setup.cfg").write_text("changed")
    process = place.start(place.wattle, FAKE_PIP_SECONDS="600")
    wait_until(lambda: len(place.calls) == 3, "pip was called")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert place.run(place.wattle).returncode == 0
    assert "--force-reinstall" in place.whole_calls[-1]


def test_two_first_starts_at_once_install_once(place):
    first = place.start(place.wattle, FAKE_PIP_SECONDS="1")
    wait_until(lambda: "pip" in place.calls, "pip was called")
    second = place.run(place.wattle, "list")
    assert "waiting for it" in second.stderr and second.returncode == 0
    first.communicate(timeout=60)
    assert first.returncode == 0
    assert place.calls == ["venv", "pip"]


def test_a_moved_repository_makes_its_environment_again(place, tmp_path):
    place.run(place.wattle)
    place.root.rename(tmp_path / "elsewhere")
    moved = place.run(tmp_path / "elsewhere" / "scripts" / "wattle")
    assert moved.returncode == 0 and "another place" in moved.stderr


def test_an_older_python_is_passed_over_for_a_newer_one(place):
    place.add_python("python3.11")
    (place.bin / "python3").write_text("#!/bin/sh\ncase $3 in *'<'*) exit 1 ;; *) echo 3.9 ;; esac\n")
    process = place.run(place.wattle)
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize(
    "environment, message",
    [
        ({"FAKE_VERSION": "3.9"}, "needs Python 3.11 or newer, and PATH has none. Too old: python3 is 3.9."),
        ({"FAKE_WITHOUT_VENV": "yes"}, "apt install python3-venv (or python3.11-venv)"),
    ],
)
def test_an_unsuitable_python_is_explained(place, environment, message):
    process = place.run(place.wattle, **environment)
    assert process.returncode == 1 and process.stdout == ""
    assert message in process.stderr


def test_a_repository_that_cannot_be_written_is_explained(place):
    (place.root / ".venv").write_text("in the way, for root too")
    process = place.run(place.wattle)
    assert process.returncode == 1 and process.stdout == ""
    assert "cannot write" in process.stderr


def test_the_test_script_adds_what_tests_need_and_runs_them_all_in_the_repository(place):
    place.run(place.wattle)
    process = place.run(place.root / "scripts" / "test", "-k", "name")
    assert process.returncode == 0
    assert process.stdout == f"pytest -k name in {place.root}\n"
    assert place.whole_calls[-1].endswith(".[test]")
    assert place.run(place.root / "scripts" / "test").stderr == ""
    assert place.run(place.wattle).stderr == ""


def test_after_the_tests_wattle_needs_no_further_install(place):
    place.run(place.root / "scripts" / "test")
    assert place.run(place.wattle, FAKE_OFFLINE="yes").stderr == ""
