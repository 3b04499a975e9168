"""Nobody is signalled for what is written of them: pid reuse, reboot, journals that are torn, corrupt or gone."""

import os
import re
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.whole.server import Server, eventually

WITNESS = 'echo "$WATTLE_ATTEMPT_UID" >> {0}/witness; while [ ! -e {0}/go ]; do sleep 0.02; done; exit 7'
YEAR = 365 * 86_400_000_000  # µs


class Stranger:
    """A process that is none of Wattle's, in a session of its own; it writes down every signal that it can."""

    def __init__(self, directory: Path) -> None:
        self._said = directory / "stranger"
        traps = "; ".join(
            f"trap 'echo {name} >> {self._said}' {name}" for name in ("TERM", "INT", "HUP", "CONT", "USR1")
        )
        script = f"{traps}; echo ready >> {self._said}; while :; do sleep 0.05; done"
        self._process = subprocess.Popen(["sh", "-c", script], start_new_session=True)
        eventually(self._said.exists)
        self.pid = self._process.pid

    def is_unharmed(self) -> bool:
        return self._process.poll() is None and self._said.read_text() == "ready\n"

    def end(self) -> None:
        os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Stranger]:
    stranger = Stranger(tmp_path)
    yield stranger
    stranger.end()


def both_killed(directory: Path) -> Server:
    """A worker runs; daemon and keeper are dead."""
    server = Server(directory).start()
    server.run("one", [{"name": "w", "command": WITNESS.format(directory)}])
    eventually(lambda: (directory / "witness").exists() and server.get("/api/runs/1")["attempts"])
    eventually(lambda: server.workers("one")["w"]["status"] == "running")
    (keeper,) = server.keeper_pids()
    server.kill()
    os.kill(keeper, signal.SIGKILL)
    return server


def change(server: Server, statement: str, *values: object) -> None:
    connection = sqlite3.connect(server.data_dir / "wattle.db")
    with connection:
        assert connection.execute(statement, values).rowcount == 1
    connection.close()


def worker_pid(server: Server) -> int:
    connection = sqlite3.connect(server.data_dir / "wattle.db")
    (pid,) = connection.execute("SELECT pid FROM attempt").fetchone()
    connection.close()
    return int(pid)


def starts(directory: Path) -> int:
    return len((directory / "witness").read_text().splitlines())


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_process_that_has_the_pid_of_a_worker_gets_no_signal(tmp_path: Path, stranger: Stranger) -> None:
    """C7, F18: the record names a foreign process; stopping and going down leave it alone."""
    server = both_killed(tmp_path)
    change(server, "UPDATE attempt SET pid = ?", stranger.pid)
    server.start()
    server.post("/api/workers/one/w/stop")
    assert server.ended("one") in ("failed", "cancelled")
    server.down()
    assert stranger.is_unharmed()
    assert starts(tmp_path) == 1


def test_the_control_a_process_that_is_the_worker_is_stopped(tmp_path: Path, stranger: Stranger) -> None:
    """The same with the record as it was: here the signal is sent."""
    server = both_killed(tmp_path)
    pid = worker_pid(server)
    server.start()
    server.post("/api/workers/one/w/stop")
    assert server.ended("one") == "cancelled" and not lives(pid)
    server.down()
    assert stranger.is_unharmed()


def test_after_a_reboot_nobody_is_signalled(tmp_path: Path, stranger: Stranger) -> None:
    """C8, F17: another boot id; the pid is a stranger's now, and not even what carries the marker is touched."""
    server = both_killed(tmp_path)
    pid = worker_pid(server)
    change(server, "UPDATE attempt SET pid = ?, boot_id = 'another'", stranger.pid)
    server.start()
    assert server.ended("one") == "failed"
    assert server.workers("one")["w"]["error_message"] == "the machine restarted"
    assert lives(pid) and stranger.is_unharmed() and starts(tmp_path) == 1
    server.down()
    assert lives(pid) and stranger.is_unharmed()
    (tmp_path / "go").touch()
    eventually(lambda: not lives(pid))


def test_a_start_journaled_by_a_clock_that_was_behind_is_of_this_boot_all_the_same(tmp_path: Path) -> None:
    """C8, F17: nobody had imported it when both were killed; then the wall clock was set right."""
    server = Server(tmp_path, before=("env", "WATTLE_FAILPOINT=daemon.report.received:1:kill")).start()
    server.create("one", [{"name": "w", "command": WITNESS.format(tmp_path)}])
    with suppress(OSError):  # the answer may not have been sent
        server.post("/api/workflows/one/start")
    daemon = server.process
    eventually((tmp_path / "witness").exists)
    assert daemon is not None and daemon.wait(20) == -signal.SIGKILL
    server.before = ()
    (keeper,) = server.keeper_pids()
    os.kill(keeper, signal.SIGKILL)
    (segment,) = (server.data_dir / "journal").iterdir()
    text, changes = re.subn(r'"at":(\d{16})', lambda found: f'"at":{int(found[1]) - YEAR}', segment.read_text())
    assert changes == 1
    segment.write_text(text)
    server.start()
    eventually(lambda: server.workers("one")["w"]["phase"] == "running")
    (tmp_path / "go").touch()
    assert server.ended("one") == "failed" and starts(tmp_path) == 1
    assert "the machine restarted" not in server.workers("one")["w"]["error_message"]
    server.down()


def torn(journal: Path) -> None:
    (segment,) = journal.iterdir()
    with open(segment, "ab") as file:
        file.write(b'{"seq":2,"kind":"ended","uid":"')


def cut_short(journal: Path) -> None:
    (segment,) = journal.iterdir()
    segment.write_bytes(segment.read_bytes()[:-20])


def corrupt(journal: Path) -> None:
    (segment,) = journal.iterdir()
    segment.write_bytes(b"\xff\x00 not a journal\n[]\n{}\n" + segment.read_bytes())


def missing(journal: Path) -> None:
    (segment,) = journal.iterdir()
    segment.unlink()


def without_its_directory(journal: Path) -> None:
    missing(journal)
    journal.rmdir()


def half_records(journal: Path) -> None:
    """Numbered like records, and none: what they lack or hold would end whoever believed them."""
    (segment,) = journal.iterdir()
    with open(segment, "ab") as file:
        file.write(b'{"seq":2}\n{"seq":3,"kind":"ended","at":"now"}\n{"seq":4,"kind":["ended"],"uid":{},"tag":7}\n')
        file.write(b'{"seq":5,"kind":"ended","uid":"u","tag":["a","b","c"],"at":1}\n{"seq":' + b"9" * 30 + b"}\n")


def a_directory(journal: Path) -> None:
    (segment,) = journal.iterdir()
    segment.unlink()
    segment.mkdir()


DAMAGES = [torn, cut_short, corrupt, half_records, missing, without_its_directory, a_directory]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_journal_is_survived(damage: object, tmp_path: Path) -> None:
    """C12: what is damaged is passed over with a warning, the worker is adopted, its status is what the kernel says."""
    server = both_killed(tmp_path)
    change(server, "UPDATE keeper SET imported = 0")  # nothing was imported yet: the journal is all there is
    damage(server.data_dir / "journal")  # type: ignore[operator]
    server.start()
    eventually(lambda: server.request("GET", "/readyz").status == 200)
    assert server.workers("one")["w"]["status"] == "running"
    (tmp_path / "go").touch()
    assert server.ended("one") == "failed"
    exact = tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 15)
    assert server.workers("one")["w"]["error_message"] == ("exit code 7" if exact else "exit status unknown")
    assert starts(tmp_path) == 1
    if damage in (torn, cut_short, corrupt, half_records, a_directory):
        assert "was passed over" in (tmp_path / "serve.log").read_text()
    assert "Traceback" not in (tmp_path / "serve.log").read_text()
    server.down()
