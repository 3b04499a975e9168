"""`wattle fsck` on data directories of real runs: nothing to say of a sound one, and each damage is named (A2, I1,
I2, I5, I12, I13). The damages are the positive controls of the checks."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.whole.server import WATTLE, Server, eventually

WORKERS = [
    {"name": "fetch", "command": "seq 3", "outputs": {"rows": "rows.txt"}},
    {"name": "flaky", "command": "echo once >&2; exit 3", "retry": {"limit": 1, "delay_seconds": 0.01}},
    {"name": "total", "command": "wc -l < rows.txt", "inputs": {"rows": "fetch/rows"}},
    {"name": "never", "command": "true", "depends_on": ["flaky"]},
]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with a completed, a failed and a stopped run, whose daemon and keeper have ended."""
    server = Server(tmp_path_factory.mktemp("sound")).start()
    server.run("mixed", WORKERS)
    assert server.ended("mixed") == "failed"
    server.run("good", WORKERS[:1])
    assert server.ended("good") == "completed"
    server.run("long", [{"name": "sleep", "command": "sleep 60"}])
    eventually(lambda: server.workers("long")["sleep"]["phase"] == "running")
    server.post("/api/workflows/long/stop")
    server.down()
    yield server.data_dir


@pytest.fixture
def damaged(sound: Path, tmp_path: Path) -> Path:
    """A copy to damage; paths and inodes of captured files are those of the original."""
    subprocess.run(["cp", "-a", str(sound), str(tmp_path / "data")], check=True)
    return tmp_path / "data"


def fsck(data_dir: Path) -> tuple[int, dict[str, Any]]:
    command = [*WATTLE, "--data-dir", str(data_dir), "fsck", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def alter(data_dir: Path, statement: str) -> None:
    with sqlite3.connect(data_dir / "wattle.db") as connection:
        assert connection.execute(statement).rowcount > 0, statement
    connection.close()


def names(data_dir: Path, check: str, *words: str, key: str = "defects") -> None:
    """fsck finds just this: a defect of that check that says these words (or a note, and is content)."""
    code, report = fsck(data_dir)
    told = [f"{one['where']}: {one['what']}" for one in report[key] if one["check"] == check]
    assert any(all(word in line for word in words) for line in told), report
    assert code == (5 if key == "defects" else 0), report
    assert all(one["remedy"] for one in report["defects"] + report["notes"])


def test_a_sound_directory_has_nothing_wrong_and_fsck_changes_nothing(sound: Path) -> None:
    before = snapshot(sound)
    code, report = fsck(sound)
    assert (code, report["ok"], report["defects"], report["notes"]) == (0, True, [], [])
    assert report["runs"] == 3
    assert snapshot(sound) == before


def snapshot(data_dir: Path) -> dict[str, tuple[int, int, int]]:
    """What is there, but for SQLite's shared memory, which even reading makes."""
    found = {}
    for path in data_dir.rglob("*"):
        if not path.name.endswith(("-shm", "-wal")):
            facts = path.lstat()
            found[str(path)] = (facts.st_mode, facts.st_size, facts.st_mtime_ns if path.is_file() else 0)
    return found


ROWS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "a live worker in an ended run": (
        "UPDATE run_worker SET phase = 'running', status = 'running' WHERE name = 'sleep'",
        "status",
        ("its run has ended, but it is 'running'",),
    ),
    "a phase without its status": (
        "UPDATE run_worker SET status = 'created' WHERE name = 'total'",
        "status",
        ("phase 'ended' and status 'created'",),
    ),
    "a run status that does not follow": (
        "UPDATE run SET status = 'completed' WHERE workflow_name = 'mixed'",
        "status",
        ("'completed', but its workers make it 'failed'",),
    ),
    "an ended run that says it runs": (
        "UPDATE run SET status = 'running' WHERE workflow_name = 'good'",
        "status",
        ("it has ended, but its status is 'running'",),
    ),
    "a worker whose state is gone": (
        "DELETE FROM run_worker WHERE name = 'never'",
        "status",
        ("3 of its 4 workers",),
    ),
    "an attempt beyond the newest": (
        "UPDATE run_worker SET attempt = 1 WHERE name = 'flaky'",
        "attempts",
        ("flaky", "its newest attempt is 1, but there are rows of 1, 2"),
    ),
    "an attempt that has not ended": (
        "UPDATE attempt SET ended_at = NULL, status = 'running' WHERE worker = 'total'",
        "attempts",
        ("total: it has ended, but its attempt 1 has not",),
    ),
    "an earlier attempt that has not ended": (
        "UPDATE attempt SET ended_at = NULL, status = 'running' WHERE worker = 'flaky' AND number = 1",
        "attempts",
        ("attempt 1 has not ended, but attempt 2 exists",),
    ),
    "two outcomes": (
        "UPDATE attempt SET signal = 9 WHERE worker = 'total'",
        "outcome",
        ("both an exit code and a signal",),
    ),
    "no outcome": (
        "UPDATE attempt SET exit_code = NULL WHERE worker = 'total'",
        "outcome",
        ("neither exit code, signal nor reason",),
    ),
    "two ends of a run": (
        "INSERT INTO event (at, run_id, subject, kind, payload) SELECT at, run_id, subject, kind, payload "
        "FROM event WHERE kind = 'run.completed'",
        "outcome",
        ("there are: completed, completed",),
    ),
    "no end of a run": (
        "DELETE FROM event WHERE kind = 'run.failed'",
        "outcome",
        ("there are: none",),
    ),
    "an end before its start": (
        "UPDATE attempt SET ended_at = started_at - 1500000 WHERE worker = 'total'",
        "times",
        ("it ended 1.5 s before it started",),
    ),
    "a run that ended before it started": (
        "UPDATE run SET ended_at = started_at - 1 WHERE workflow_name = 'good'",
        "times",
        ("before it started",),
    ),
    "a uid of somebody else": (
        "UPDATE attempt SET uuid = '019c0000-0000-7000-8000-000000000000' WHERE worker = 'total'",
        "identity",
        ("does not follow from the run's key",),
    ),
    "a reference that leads nowhere": (
        "UPDATE attempt SET run_id = 99 WHERE worker = 'sleep'",
        "references",
        ("attempt", "-> run"),
    ),
}


@pytest.mark.parametrize("damage", ROWS)
def test_rows_that_do_not_agree_are_named(damaged: Path, damage: str) -> None:
    statement, check, words = ROWS[damage]
    alter(damaged, statement)
    names(damaged, check, *words)


def test_a_clock_that_was_set_back_is_noted_and_not_held_against_the_rows(damaged: Path) -> None:
    """I13: wall times are labels."""
    alter(damaged, "UPDATE attempt SET started_at = started_at - 9000000, ended_at = ended_at - 9000000 "
                   "WHERE worker = 'flaky' AND number = 2")  # fmt: skip
    names(damaged, "times", "attempt 2 started before attempt 1 had ended", key="notes")


def test_damaged_pages_are_named_and_the_rest_is_not_judged_by_them(damaged: Path) -> None:
    """F20."""
    alter(damaged, "UPDATE run SET priority = 1")  # its close moves everything from the WAL into the file
    with open(damaged / "wattle.db", "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        for page in range(2, size // 4096):
            file.seek(page * 4096 + 8)
            file.write(b"\xff" * 64)
    code, report = fsck(damaged)
    assert code == 5
    assert {one["check"] for one in report["defects"]} == {"database"}
    (damaged / "wattle.db").write_bytes(b"no database at all, but long enough to be looked at" * 100)
    names(damaged, "database", "no database")


def test_a_schema_that_this_wattle_does_not_know_is_named(damaged: Path) -> None:
    """F71."""
    alter(damaged, "INSERT INTO schema_version VALUES (9999, 'from the future')")
    names(damaged, "database", "newer Wattle")


FILES: dict[str, tuple[Callable[[Path], object], str, str, tuple[str, ...]]] = {
    "a log that is missing": (
        lambda d: (d / "logs/1/0.1.out").unlink(), "defects", "logs", ("fetch attempt 1 of run 1 is missing",)
    ),
    "a log without an attempt": (
        lambda d: (d / "logs/1/0.9.out").touch(0o600), "defects", "logs", ("0.9.out", "no attempt of run 1"),
    ),
    "logs of a run that was removed": (
        lambda d: (d / "logs/0").mkdir(0o700), "defects", "logs", ("logs/0", "was removed"),
    ),
    "logs of a run that nobody knows": (
        lambda d: (d / "logs/77").mkdir(0o700), "defects", "logs", ("logs/77", "does not know"),
    ),
    "logs that were set aside": (
        lambda d: (d / "logs/lost-77-1").mkdir(0o700), "notes", "logs", ("lost-77-1",),
    ),
    "a torn last line": (
        lambda d: append(d, b'{"seq":4,"kind":"sta'), "notes", "journal", ("torn",)
    ),
    "a line that is no record": (
        lambda d: append(d, b"\x00\x00\x00\n"), "notes", "journal", ("no record",)
    ),
    "a record that is missing": (
        lambda d: append(d, b'{"seq":1000}\n'), "defects", "journal", ("has to come next, here is 1000",)
    ),
    "a journal that somebody else put there": (
        lambda d: (d / "journal/notes.txt").touch(0o600), "notes", "journal", ("notes.txt", "no journal"),
    ),
    "a directory that others may enter": (
        lambda d: d.chmod(0o755), "defects", "modes", ("others have rights", "0755")
    ),
    "a log that others may read": (
        lambda d: (d / "logs/1/0.1.out").chmod(0o644), "defects", "modes", ("0.1.out", "0644")
    ),
    "a database that others may read": (
        lambda d: (d / "wattle.db").chmod(0o640), "defects", "modes", ("wattle.db", "0640")
    ),
}  # fmt: skip


def append(data_dir: Path, content: bytes) -> None:
    (journal,) = (data_dir / "journal").iterdir()
    with open(journal, "ab") as file:
        file.write(content)


@pytest.mark.parametrize("damage", FILES)
def test_files_that_do_not_agree_are_named(damaged: Path, damage: str) -> None:
    harm, key, check, words = FILES[damage]
    harm(damaged)
    names(damaged, check, *words, key=key)


def test_what_users_keep_in_work_is_theirs(damaged: Path) -> None:
    (damaged / "work/good/rows.txt").chmod(0o666)
    assert fsck(damaged)[0] == 0


def test_a_captured_output_that_is_not_as_wattle_wrote_it_is_noted(damaged: Path, sound: Path) -> None:
    rows = sound / "work/good/rows.txt"
    facts = rows.stat()
    capture = (
        "INSERT OR REPLACE INTO capture (path, attempt_uuid, temporary_path, size, mtime_ns, inode, state) SELECT "
        f"'{rows}', uuid, '{rows}.wattle-x', {{}}, {facts.st_mtime_ns}, {facts.st_ino}, '{{}}' "
        "FROM attempt WHERE worker = 'fetch' AND run_id = 2"
    )
    alter(damaged, capture.format(facts.st_size, "placed"))
    code, report = fsck(damaged)
    assert (code, [one for one in report["notes"] if str(rows) in one["where"]]) == (0, [])
    alter(damaged, capture.format(facts.st_size + 1, "placed"))
    names(damaged, "captures", str(rows), "was changed since", key="notes")
    alter(damaged, capture.format(facts.st_size, "copied"))
    assert fsck(damaged)[0] == 0, "the copy is not there: it was moved"
    Path(f"{rows}.wattle-x").touch()
    try:
        names(damaged, "captures", "waits to be moved")
    finally:
        Path(f"{rows}.wattle-x").unlink()


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [*WATTLE, "--data-dir", str(tmp_path / "none"), "fsck"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (5, "")
    assert "There is no data directory" in done.stderr


# --- processes


def test_workers_that_live_without_a_daemon_are_in_order(server: Server) -> None:
    server.run("long", [{"name": "sleep", "command": "sleep 60"}])
    eventually(lambda: server.workers("long")["sleep"]["phase"] == "running")
    code, report = fsck(server.data_dir)
    assert (code, report["daemon"]) == (0, server.pid)
    assert [one["check"] for one in report["notes"]] == ["scope"]
    eventually(lambda: live_rows(server.data_dir))
    server.kill()
    code, report = fsck(server.data_dir)
    assert (code, report["daemon"], report["keeper"]) == (0, None, server.keeper_pids()[0]), report


def live_rows(data_dir: Path) -> list[tuple[int, str]]:
    with sqlite3.connect(data_dir / "wattle.db") as connection:
        found = connection.execute("SELECT pid, uuid FROM attempt WHERE ended_at IS NULL").fetchall()
    connection.close()
    return found


def test_a_row_that_is_marked_live_and_is_not_is_named(server: Server) -> None:
    """I5. Daemon and keeper are killed, then the worker: nobody is left to tell of its end."""
    server.run("long", [{"name": "sleep", "command": "sleep 60"}])
    ((worker, _),) = eventually(lambda: live_rows(server.data_dir))
    (keeper,) = server.keeper_pids()
    server.kill()
    os.kill(keeper, signal.SIGKILL)
    eventually(lambda: not server.keeper_pids())
    code, report = fsck(server.data_dir)
    assert code == 0, report
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: not os.path.exists(f"/proc/{worker}") or b" Z " in Path(f"/proc/{worker}/stat").read_bytes())
    names(server.data_dir, "processes", "marked as running", f"pid {worker}")
    server.start()
    assert server.ended("long") == "failed"
    server.down()
    assert fsck(server.data_dir)[0] == 0


def test_a_process_that_outlived_its_attempt_is_named(sound: Path, damaged: Path) -> None:
    """I5: by the marker in its environment."""
    with sqlite3.connect(damaged / "wattle.db") as connection:
        ((uid, run_id),) = connection.execute("SELECT uuid, run_id FROM attempt WHERE worker = 'sleep'").fetchall()
    connection.close()
    with stray(WATTLE_ATTEMPT_UID=uid, WATTLE_RUN_ID=str(run_id), WATTLE_ATTEMPT="1") as pid:
        names(damaged, "processes", f"pid {pid}", "outlived run 3, sleep attempt 1")
        alter(damaged, "DELETE FROM attempt WHERE worker = 'sleep'")
        names(damaged, "processes", f"pid {pid}", "no attempt is recorded for it")
    with stray(WATTLE_ATTEMPT_UID="019c0000-0000-7000-8000-000000000000", WATTLE_RUN_ID="1", WATTLE_ATTEMPT="1") as pid:
        _, report = fsck(damaged)
        assert not any(one["check"] == "processes" for one in report["defects"]), "it is another directory's"
    with open(damaged / "logs/1/0.1.out", "ab") as log, stray(log, WATTLE_ATTEMPT_UID="unknown") as pid:
        names(damaged, "processes", f"pid {pid}", "no attempt is recorded for it")


class stray:
    """A process with a worker's marker that no Wattle started."""

    def __init__(self, stdout: Any = None, **variables: str) -> None:
        command = [sys.executable, "-c", "import time; time.sleep(60)"]
        self._process = subprocess.Popen(command, stdout=stdout, env=variables)

    def __enter__(self) -> int:
        eventually(lambda: b"time.sleep" in Path(f"/proc/{self._process.pid}/cmdline").read_bytes())
        return self._process.pid

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def test_a_busy_daemon_is_not_blamed_for_what_it_is_about(server: Server) -> None:
    """Short workers start and end all the time while it is looked at."""
    server.create("busy", [{"name": f"w{n}", "command": "true"} for n in range(200)])
    until = time.monotonic() + 5
    looked = 0
    while time.monotonic() < until:
        if server.status("busy") != "running":
            server.post("/api/workflows/busy/start")
        code, report = fsck(server.data_dir)
        assert code == 0, report
        looked += 1
    assert looked > 1
