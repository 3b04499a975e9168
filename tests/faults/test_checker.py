"""The judge is judged: each rule is broken by hand in a scene that is in order, and the checker must say so."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import checker
from tests.faults.scene import Scene, Unfinished


@pytest.fixture(scope="module")
def in_order() -> Iterator[Path]:
    """One scene without a fault, played for real."""
    directory = Path(tempfile.mkdtemp(prefix="wattle-faults-"))
    played = Scene(directory / "scene").play()
    assert played.violations == [] and played.faults == 0 and played.attempts > 15
    yield played.directory
    shutil.rmtree(directory)


def sql(scene: Path, statement: str) -> None:
    connection = sqlite3.connect(scene / "data" / "wattle.db")
    with connection:
        assert connection.execute(statement).rowcount > 0
    connection.close()


def rewrite(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))


def expect(scene: Path, **changes: object) -> None:
    path = scene / "expect.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def line_of(lines: list[str], kind: str, worker: str) -> str:
    return next(line for line in lines if line.startswith(f"{kind} scene {worker} "))


def uid_of(scene: Path, worker: str) -> str:
    return line_of((scene / "witness" / "lines").read_text().splitlines(), "end", worker).split()[4]


def start_twice(scene: Path) -> None:
    rewrite(scene / "witness" / "lines", lambda lines: [*lines, line_of(lines, "start", "segv")])


def start_an_unknown_attempt(scene: Path) -> None:
    sql(scene, "DELETE FROM attempt WHERE worker = 'fail'")


def record_an_attempt_that_never_ran(scene: Path) -> None:
    rewrite(scene / "witness" / "lines", lambda lines: [line for line in lines if " fail " not in line])


def change_an_exit_code(scene: Path) -> None:
    sql(scene, "UPDATE attempt SET exit_code = 8 WHERE worker = 'fail'")


def invent_an_exit_code(scene: Path) -> None:
    sql(scene, "UPDATE attempt SET exit_code = 0, signal = NULL WHERE worker = 'segv'")


def forget_an_exit_code(scene: Path) -> None:
    sql(scene, "UPDATE attempt SET exit_code = NULL, reason_code = 'lost' WHERE worker = 'fail'")


def forget_an_end(scene: Path) -> None:
    sql(scene, "UPDATE attempt SET ended_at = NULL WHERE worker = 'fail'")


def end_before_the_start(scene: Path) -> None:
    sql(scene, "UPDATE attempt SET ended_at = started_at - 1 WHERE worker = 'fail'")


def start_a_consumer_early(scene: Path) -> None:
    def first(lines: list[str]) -> list[str]:
        early = line_of(lines, "start", "copied")
        return [early, *(line for line in lines if line != early)]

    rewrite(scene / "witness" / "lines", first)


def start_a_consumer_of_a_failure(scene: Path) -> None:
    sql(scene, "UPDATE run_worker SET status = 'completed' WHERE name = 'after-fail'")


def flip_a_byte_of_a_captured_output(scene: Path) -> None:
    path = scene / "work" / "bytes.bin"
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])


def lose_an_output(scene: Path) -> None:
    (scene / "work" / "copied.bin").unlink()


def let_a_consumer_read_half(scene: Path) -> None:
    (scene / "witness" / f"{uid_of(scene, 'copied')}.input").write_bytes(b"first line\n")


def cut_a_log(scene: Path) -> None:
    log = next(path for path in (scene / "data" / "logs" / "1").glob("*.out") if path.read_bytes() == b"as always\n")
    log.write_bytes(b"as alway")


def write_a_log_twice(scene: Path) -> None:
    log = next(path for path in (scene / "data" / "logs" / "1").glob("*.out") if path.read_bytes() == b"holding\n")
    log.write_bytes(b"holding\nholding\n")


def leave_a_temporary_file(scene: Path) -> None:
    (scene / "work" / "bytes.bin.wattle-0123456789ab").touch()


def cancel_for_no_reason(scene: Path) -> None:
    sql(scene, "UPDATE run_worker SET status = 'cancelled' WHERE name = 'bytes'")


def leave_a_worker_running(scene: Path) -> None:
    sql(scene, "UPDATE run_worker SET status = 'running' WHERE name = 'bytes'")


def complete_a_failed_run(scene: Path) -> None:
    sql(scene, "UPDATE run SET status = 'completed'")


def lose_a_run(scene: Path) -> None:
    expect(scene, acknowledged=[1, 2])


def tell_an_end_twice(scene: Path) -> None:
    sql(
        scene,
        "INSERT INTO event (at, run_id, subject, kind, payload) "
        "SELECT at, run_id, subject, kind, payload FROM event WHERE kind = 'run.failed'",
    )


def tell_a_workers_end_twice(scene: Path) -> None:
    sql(
        scene,
        "INSERT INTO event (at, run_id, subject, kind, payload) "
        "SELECT at, run_id, subject, kind, payload FROM event WHERE subject = 'scene/bytes' AND kind LIKE '%completed'",
    )


def tell_no_end(scene: Path) -> None:
    sql(scene, "DELETE FROM event WHERE subject = 'scene/bytes'")


def journal(scene: Path) -> Path:
    return next(iter((scene / "data" / "journal").iterdir()))


def lose_a_journal_line(scene: Path) -> None:
    rewrite(journal(scene), lambda lines: lines[:3] + lines[4:])


def corrupt_a_journal_line(scene: Path) -> None:
    rewrite(journal(scene), lambda lines: [*lines[:3], "{" + lines[3], *lines[4:]])


def contradict_the_journal(scene: Path) -> None:
    rewrite(journal(scene), lambda lines: [line.replace('"exit_code":7', '"exit_code":6') for line in lines])


def corrupt_the_database(scene: Path) -> None:
    path = scene / "data" / "wattle.db"
    path.with_name("wattle.db-wal").unlink(missing_ok=True)
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * (path.stat().st_size - 4096))


DAMAGES = [
    (start_twice, "was started 2 times"),
    (start_an_unknown_attempt, "ran and is not in the database"),
    (record_an_attempt_that_never_ran, "recorded as started and never ran"),
    (change_an_exit_code, "ended with 7 and is recorded with 8"),
    (invent_an_exit_code, "has exit code 0 and never came to its end"),
    (forget_an_exit_code, "its exit status is unknown"),
    (forget_an_end, "has no end"),
    (end_before_the_start, "ended before it started"),
    (start_a_consumer_early, "copied started before bytes had completed"),
    (start_a_consumer_of_a_failure, "after-fail is completed"),
    (flip_a_byte_of_a_captured_output, "bytes.bin holds"),
    (lose_an_output, "copied.bin holds None"),
    (let_a_consumer_read_half, "copied read"),
    (cut_a_log, "the log of fail"),
    (write_a_log_twice, r"holds b'holding\nholding\n'"),
    (leave_a_temporary_file, "a temporary file is left"),
    (cancel_for_no_reason, "nobody stopped it"),
    (leave_a_worker_running, "bytes is running and the scene is over"),
    (complete_a_failed_run, "its workers say failed"),
    (lose_a_run, "run 2 was acknowledged"),
    (tell_an_end_twice, "its events say ['run.failed', 'run.failed']"),
    (tell_a_workers_end_twice, "had 1 attempts and 2 ends"),
    (tell_no_end, "its events say []"),
    (lose_a_journal_line, "goes from 3 to 5"),
    (corrupt_a_journal_line, "has a corrupt line"),
    (contradict_the_journal, "the journal says 6, the database 7"),
    (corrupt_the_database, "database"),
]


@pytest.mark.parametrize("damage, says", DAMAGES, ids=lambda value: getattr(value, "__name__", ""))
def test_a_damaged_scene_is_found_out(
    damage: Callable[[Path], None], says: str, in_order: Path, tmp_path: Path
) -> None:
    scene = tmp_path / "scene"
    shutil.copytree(in_order, scene, ignore=lambda _, names: [n for n in names if n == "never" or n.endswith(".sock")])
    assert checker.check(scene).violations == []
    damage(scene)
    found = checker.check(scene).violations
    assert any(says in violation for violation in found), found


def test_a_process_that_is_left_is_found_out(in_order: Path) -> None:
    marker = json.loads((in_order / "expect.json").read_text())["marker"]
    process = subprocess.Popen(["sleep", "60"], env={**os.environ, "FAULT_SCENE": marker})
    try:
        until = time.monotonic() + 10
        while not checker.processes_of(marker):
            assert time.monotonic() < until
        assert any(f"process {process.pid} is left" in violation for violation in checker.check(in_order).violations)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert checker.check(in_order).violations == []


class Forgetful(Scene):
    """Between the deaths of keeper and daemon and the next daemon, all traces of starts are deleted: the defence is
    off that reads them."""

    def start(self) -> None:
        if self.played.killed:
            shutil.rmtree(self.data_dir / "journal")
            shutil.rmtree(self.data_dir / "logs")
            connection = sqlite3.connect(self.data_dir / "wattle.db")
            with connection:
                connection.execute("DELETE FROM attempt")
                connection.execute("UPDATE run_worker SET phase = 'waiting', attempt = 0, status = 'created'")
            connection.close()
            self.played.killed.clear()
        super().start()


def test_a_server_that_forgets_what_it_started_is_found_out(tmp_path: Path) -> None:
    """The control of the whole suite: the same scene, the same faults, without what makes the product right."""
    directory = Path(tempfile.mkdtemp(prefix="wattle-faults-"))
    try:
        played = Forgetful(directory / "scene", plan="keeper daemon").play()
    except Unfinished as error:
        raise AssertionError("the scene is to be judged, however it went") from error
    finally:
        shutil.rmtree(directory)
    assert any("was started 2 times" in violation for violation in played.violations), played.violations
