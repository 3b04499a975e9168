"""`wattle doctor`: what it tries works or is named with the fallback, and it leaves nothing behind."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import wattle
from tests.whole.server import WATTLE, Server, eventually

DENIED = [sys.executable, str(Path(__file__).with_name("denied.py"))]
SUBJECTS = [
    "kernel", "pidfd", "identity", "exit status", "children", "subreaper", "inotify", "open files", "processes",
    "clock", "data directory", "free space", "hole punching", "attributes", "times of files", "SQLite",
]  # fmt: skip


def doctor(data_dir: Path, *before: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit status, and the findings by subject."""
    command = [*before, *WATTLE, "--data-dir", str(data_dir), "doctor", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout, done.stderr
    shown = json.loads(done.stdout)
    assert shown["level"] in ("ok", "degraded", "broken")
    for finding in shown["findings"]:
        assert (finding["instead"] is None) is (finding["level"] == "ok"), "what is missing has a fallback"
    return done.returncode, {finding["subject"]: finding for finding in shown["findings"]}


def test_it_needs_no_data_directory_and_makes_none(tmp_path: Path) -> None:
    code, findings = doctor(tmp_path / "deep" / "data")
    assert code == 0
    assert list(findings) == [*SUBJECTS, "server", "keeper"]
    assert findings["data directory"]["found"].endswith(f"it will be made in {tmp_path}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "call, subject, level",
    [
        ("pidfd_get_info", "exit status", "degraded"),
        ("fallocate", "hole punching", "degraded"),
        ("setxattr", "attributes", "degraded"),
        ("inotify_init1", "inotify", "degraded"),
        ("prctl", "subreaper", "broken"),
    ],
)
def test_what_does_not_work_is_found_out_by_trying(tmp_path: Path, call: str, subject: str, level: str) -> None:
    """Positive control: the same machine without that system call."""
    code, findings = doctor(tmp_path, *DENIED, call)
    assert findings[subject]["level"] == level
    assert code == (5 if level == "broken" else 0)
    assert doctor(tmp_path)[1][subject] != findings[subject]


def test_a_directory_in_which_nothing_can_be_written_is_broken(tmp_path: Path) -> None:
    with limited(resource.RLIMIT_FSIZE, 0):
        code, findings = doctor(tmp_path)
    assert code == 5
    assert findings["writing"]["level"] == "broken"
    assert list(tmp_path.iterdir()) == []


def test_a_machine_with_few_open_files_is_told_what_to_raise(tmp_path: Path) -> None:
    findings = doctor(tmp_path, "sh", "-c", 'ulimit -S -n 100; exec "$@"', "sh")[1]
    assert findings["open files"]["found"].startswith("100, at most")


def test_it_shows_who_holds_the_directory_and_disturbs_nobody(server: Server) -> None:
    server.run("long", [{"name": "sleep", "command": "sleep 60"}])
    eventually(lambda: server.workers("long")["sleep"]["phase"] == "running")
    eventually((server.data_dir / "work/long/sleep/stderr.log").is_symlink)
    before = sorted(path for path in server.data_dir.rglob("*"))
    (keeper,) = server.keeper_pids()
    code, findings = doctor(server.data_dir)
    assert code == 0
    version = wattle.__version__
    assert findings["server"]["found"].startswith(f"version {version}, pid {server.pid}, ")
    assert findings["keeper"]["found"].startswith(f"version {version}, pid {keeper}, ")
    assert findings["keeper"]["found"].endswith(" 1 child")
    assert findings["socket"]["found"] == str(server.data_dir / "http.sock")
    assert findings["runs"]["found"] == "1 active run, 1 live worker"
    assert sorted(path for path in server.data_dir.rglob("*")) == before
    server.kill()
    code, findings = doctor(server.data_dir)
    assert (code, findings["server"]["found"]) == (0, "none runs")
    assert findings["runs"]["level"] == "degraded"
    assert findings["runs"]["found"] == "1 active run, 1 live worker, no server"
    assert "`wattle serve` continues" in findings["runs"]["instead"]


def test_a_database_that_cannot_be_read_is_broken(tmp_path: Path) -> None:
    (tmp_path / "wattle.db").write_bytes(b"no database at all, but long enough to be looked at" * 100)
    code, findings = doctor(tmp_path)
    assert (code, findings["runs"]["level"]) == (5, "broken")


def test_plain_text_is_a_line_for_each_and_one_for_each_fallback(tmp_path: Path) -> None:
    done = subprocess.run(
        [*DENIED, "fallocate", *WATTLE, "--data-dir", str(tmp_path), "doctor"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("degraded  hole punching"))
    assert lines[place + 1].strip() .endswith("logs go as a whole, when their run is old")
    assert len([line for line in lines if line.startswith(("ok ", "degraded ", "broken "))]) == len(SUBJECTS) + 3


def test_the_server_raises_its_limit_of_open_files_and_workers_keep_theirs(tmp_path: Path) -> None:
    """Seen in /proc, of a worker of the first keeper and of one that the daemon had to start anew."""
    with limited(resource.RLIMIT_NOFILE, 300):
        server = Server(tmp_path).start()
    try:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        assert limits_of(server.pid) == (str(min(hard, 65_536)), str(hard))
        assert limits_of(worker_of(server, "first")) == ("300", str(hard))
        (keeper,) = server.keeper_pids()
        assert limits_of(keeper) == ("300", str(hard))
        os.kill(keeper, 9)
        eventually(lambda: server.keeper_pids() not in ([], [keeper]))
        assert limits_of(worker_of(server, "second")) == ("300", str(hard))
        assert f"of {min(hard, 65_536)} open files" in doctor(server.data_dir)[1]["server"]["found"]
    finally:
        server.down()


def worker_of(server: Server, name: str) -> int:
    server.run(name, [{"name": "sleep", "command": "sleep 60"}])
    return int(eventually(lambda: server.get(f"/api/workers/{name}/sleep/why")["pid"]))


def limits_of(pid: int) -> tuple[str, str]:
    text = Path(f"/proc/{pid}/limits").read_text()
    words = next(line for line in text.splitlines() if line.startswith("Max open files")).split()
    return words[3], words[4]


@contextmanager
def limited(what: int, soft: int) -> Iterator[None]:
    """What is started inside has that soft limit."""
    before = resource.getrlimit(what)
    resource.setrlimit(what, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)
