"""What retention removes of a run that goes on: logs of attempts that ended long ago (design: Kept; I12, F29)."""

import os
from pathlib import Path

import pytest

from tests.supervisor.test_retention import DAY, MIB, begin, kept, one_turn, retain, rows, with_logs
from tests.supervisor.world import World
from wattle.diagnosis.files import check_logs
from wattle.diagnosis.scene import Scene
from wattle.store.inspection import Inspection
from wattle.store.removal import Outdated, Removals
from wattle.supervisor.attempt_logs import remove_attempts
from wattle.supervisor.retention import ROWS_A_STEP, STAMP, Limits

MINUTE = 60_000_000


def restarted(path: Path, times: int, size: int = MIB) -> World:
    """An active run in which `svc` was restarted so often, a minute apart: attempt times + 1 lives."""
    world = World(path, "svc; task").play("run; start svc; start task")
    for _ in range(times):
        again(world, size)
    return world


def again(world: World, size: int = MIB) -> None:
    number = max(attempt for worker, attempt in world.keeper.spawned if worker == "svc")
    files(world, "out", number).write_bytes(b"x" * size)
    world.now += MINUTE
    world.play("restart svc; exit svc -15; start svc; commit")


def files(world: World, suffix: str, number: int, run: int = 1) -> Path:
    return Path(f"{world.path}/logs/{run}/0.{number}.{suffix}")


def logged(world: World) -> list[int]:
    """The attempts of `svc` of which there is any file."""
    found = set()
    for directory, _, names in os.walk(f"{world.path}/logs/1"):
        found |= {int(name.split(".")[1]) for name in names if name.startswith("0.")}
        assert directory.endswith(("/1", "/times"))
    return sorted(found)


def marked(world: World) -> list[int]:
    statement = "SELECT number FROM attempt WHERE logs_removed_at IS NOT NULL AND run_id = 1 AND worker = 'svc'"
    return sorted(number for (number,) in rows(world, statement))


def test_the_logs_of_the_attempts_that_ended_first_go_until_the_rest_fits(tmp_path: Path) -> None:
    world = restarted(tmp_path, 5)
    for suffix in ("notify", "probe.out", "probe.err"):
        files(world, suffix, 1).touch()
    Path(f"{world.path}/logs/1/times").mkdir()
    Path(f"{world.path}/logs/1/times/0.1.idx").touch()
    retain(world, log_bytes=2 * MIB + MIB // 2)
    assert logged(world) == [4, 5, 6], "the live one counts among live logs, not here"
    assert marked(world) == [1, 2, 3]
    shown = [attempt.stdout is None for attempt in world.reading.run("1").attempts if attempt.worker == "svc"]
    assert shown == [True, True, True, False, False, False]
    assert world.reading.log_state("wf", "svc", attempt=3).logs_removed
    assert not world.reading.log_state("wf", "svc", attempt=4).logs_removed
    again(world)
    assert world.reading.worker("wf", "svc").attempt == 7, "the run goes on"
    assert marked(world) == [1, 2, 3]


def test_a_newest_attempt_keeps_its_logs_and_nothing_is_started_twice(tmp_path: Path) -> None:
    """C1: what may have been spawned is told by a log that is there."""
    world = restarted(tmp_path, 2).play("exit svc 0; commit")
    files(world, "out", 3).write_bytes(b"x" * MIB)
    world.keeper.queued.clear()
    files(world, "out", 4).touch()
    retain(world, log_bytes=0, runs=1, days=0)
    assert logged(world) == [3, 4]
    assert marked(world) == [1, 2]
    assert [attempt for worker, attempt in world.keeper.spawned if worker == "svc"] == [1, 2, 3]
    assert world.status() == "running"


def test_attempts_of_active_runs_and_ended_runs_go_in_one_order(tmp_path: Path) -> None:
    world = restarted(tmp_path, 2)
    world.create("other", "one")
    for run in (2, 3):
        world.run("other")
        world.play("start one; exit one 0; commit")
        files(world, "out", 1, run).write_bytes(b"x" * MIB)
    for _ in range(2):
        again(world)
    assert world.reading.run("2").completed_at is not None
    retain(world, log_bytes=5 * MIB)
    assert (logged(world), with_logs(world)) == ([2, 3, 4, 5], [1, 2, 3])
    retain(world, log_bytes=3 * MIB)
    assert (logged(world), with_logs(world)) == ([3, 4, 5], [1, 3]), "run 2 ended before attempt 3"
    retain(world, log_bytes=0)
    assert (logged(world), with_logs(world)) == ([5], [1, 3]), "run 3 is the latest of its workflow"


@pytest.mark.parametrize("runs, days, left", [(2, 90, [1, 2, 3, 4, 5]), (200, 1, [1, 2, 3, 4, 5]), (2, 1, [4, 5])])
def test_they_go_beyond_the_number_kept_and_the_days_kept_whichever_is_more(
    tmp_path: Path, runs: int, days: int, left: list[int]
) -> None:
    world = restarted(tmp_path, 4, size=10)
    world.now += 10 * DAY
    retain(world, runs=runs, days=days)
    assert logged(world) == left


def test_only_a_bounded_number_goes_in_one_step(tmp_path: Path) -> None:
    world = restarted(tmp_path, 1)
    connection = world._writer.connection()
    many = ROWS_A_STEP * 2 + 20
    with connection:
        connection.execute("UPDATE attempt SET number = number + ? WHERE worker = 'svc'", (many,))
        connection.executemany(
            "INSERT INTO attempt (uuid, run_id, position, worker, number, status, agent, started_at, ended_at) "
            "VALUES (?, 1, 0, 'svc', ?, 'failed', 'local', 1, 2)",
            ((f"u{number}", number) for number in range(1, many + 1)),
        )
    begin(world, Limits(runs=2, days=0))
    most = 0
    while len(marked(world)) < many:
        before = connection.total_changes
        world.now += 50_000
        world.settle()
        most = max(most, connection.total_changes - before)
    assert most == ROWS_A_STEP


def test_what_is_written_of_an_attempt_later_leaves_the_mark(tmp_path: Path) -> None:
    world = restarted(tmp_path, 2)
    retain(world, log_bytes=0)
    row = world.queries.attempts(1, 0)[0]
    records = world.supervisor.ledger._records
    with records.transaction():
        records.put_attempts([row._replace(logs_removed_at=None, metrics="{}")])
    assert world.queries.attempts(1, 0)[0] == row._replace(metrics="{}")
    assert row.logs_removed_at is not None


def test_a_crash_at_any_point_leaves_no_unmarked_attempt_without_logs_and_no_logs_for_ever(tmp_path: Path) -> None:
    """F01 and F02: killed after each turn; what was marked and not deleted is deleted at the next start."""
    crashes = between = 0
    for turns in range(40):
        (tmp_path / str(turns)).mkdir()
        world = restarted(tmp_path / str(turns), 4)
        limits, writer, reader = Limits(log_bytes=MIB), world._writer, world._reader
        world.supervisor.begin_retention(limits, Removals(writer), Outdated(reader))
        for _ in range(turns):
            world.now += 25_000
            one_turn(world)
        reader_marked, there = marked(world), logged(world)
        unfinished = there != [4, 5]
        crashes += unfinished
        between += bool({*reader_marked} & {*there})
        assert {1, 2, 3, 4, 5} - {*there} <= {*reader_marked}, "rows first"
        world.kill()
        world.boot()
        os.utime(_stamped(world), (world.now / 1e6,) * 2)
        begin(world, Limits(log_bytes=MIB))
        assert not {*reader_marked} & {*logged(world)}, "the start alone, with no look, has swept them"
        retain(world, log_bytes=MIB)
        assert (logged(world), marked(world), kept(world)) == ([4, 5], [1, 2, 3], [1])
        world.kill()
        if not unfinished:
            break
    assert crashes >= 3 and between, "the crashes must hit the work, and once between rows and files"
    assert not unfinished


def _stamped(world: World) -> Path:
    stamp = Path(world.path) / STAMP
    stamp.touch()
    return stamp


def test_the_look_reads_the_attempts_of_active_runs_alone(tmp_path: Path) -> None:
    """However many attempts of ended runs there are."""
    world = restarted(tmp_path, 1)
    connection = world._reader.connection()
    assert connection is not None
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    found = Outdated(world._reader).logged_attempts()
    connection.set_trace_callback(None)
    assert [(each.run_id, each.position, each.number, each.newer) for each in found] == [(1, 0, 1, 1)]
    plan = " ".join(str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {statements[-1]}"))
    assert "SCAN a" not in plan and "SCAN attempt" not in plan, plan


def test_fsck_blames_nobody_for_logs_that_are_removed_while_it_looks(tmp_path: Path) -> None:
    """Its rows are of one moment, the files of a later one. Positive control: a log that nobody marked."""
    world = restarted(tmp_path, 3)
    Path(f"{world.path}/logs/1/9.9.out").touch()
    inspection = Inspection(f"{world.path}/wattle.db")
    looks = check_logs(Scene(world.path, inspection, True, None, None))
    assert "not recorded" in next(looks).what, "the rows are read, and it goes on from here"
    (first,) = [attempt for attempt in Outdated(world._reader).logged_attempts() if attempt.number == 1]
    remove_attempts(world.path, [first])
    with world._writer.connection():
        Removals(world._writer).attempt_logs_removed([first.id], world.now)
    files(world, "err", 2).unlink()
    assert [defect.what for defect in looks] == []
    looks = check_logs(Scene(world.path, inspection, True, None, None))
    assert [each.what for each in looks if "missing" in each.what] == ["the log of svc attempt 2 of run 1 is missing"]
    inspection.close()
