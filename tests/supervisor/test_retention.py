"""What retention removes and what it never touches (design: Kept; I12, F29), on a real store and real files."""

import os
import sqlite3
from pathlib import Path

import pytest

from tests.supervisor.world import World
from wattle.store.removal import Outdated, Removals
from wattle.supervisor.retention import EVERY_SECONDS, ROWS_A_STEP, STAMP, Limits

DAY = 86_400_000_000
ONCE = "start fetch; exit fetch 0; start load; exit load 0"
MIB = 1 << 20


def begin(world: World, limits: Limits) -> None:
    world.supervisor.begin_retention(limits, Removals(world._writer), Outdated(world._reader))
    world.settle()


def retain(world: World, **limits: int) -> None:
    """A daemon starts now and does what there is to do."""
    world.supervisor.commit(None)
    world.kill()
    world.boot()
    (Path(world.path) / STAMP).unlink(missing_ok=True)
    begin(world, Limits(**limits))
    world.pass_time(20)


def made(tmp_path: Path, runs: int) -> World:
    """A data directory with that many completed runs, a minute apart."""
    world = World(tmp_path, "fetch -> load")
    for _ in range(runs):
        world.run()
        world.play(ONCE)
        world.now += 60_000_000
    return world


def kept(world: World) -> list[int]:
    """The runs that have a row, of whatever workflow."""
    return sorted(run for (run,) in rows(world, "SELECT id FROM run"))


def with_logs(world: World) -> list[int]:
    return sorted(int(name) for name in os.listdir(f"{world.path}/logs") if name.isdigit())


def rows(world: World, statement: str) -> list[tuple[int, ...]]:
    connection = world._reader.connection()
    assert connection is not None
    return connection.execute(statement).fetchall()


def grow(world: World, run: int, size: int) -> None:
    Path(f"{world.path}/logs/{run}/0.1.out").write_bytes(b"x" * size)


def test_a_run_goes_with_all_that_is_its_own_when_it_is_beyond_both_limits(tmp_path: Path) -> None:
    world = made(tmp_path, 5)
    retain(world, runs=2, days=90)
    assert kept(world) == [1, 2, 3, 4, 5], "none is 90 days old"
    world.now += 91 * DAY
    retain(world, runs=200, days=90)
    assert kept(world) == [1, 2, 3, 4, 5], "none is beyond 200"
    retain(world, runs=2, days=90)
    assert kept(world) == [4, 5]
    assert with_logs(world) == [4, 5]
    for table in ("run_worker", "attempt", "event"):
        found = {run for (run,) in rows(world, f"SELECT DISTINCT run_id FROM {table} WHERE run_id IS NOT NULL")}
        assert found == {4, 5}, table
    assert world.statuses() == {"fetch": "completed", "load": "completed"}
    assert world.queries.workflow("wf") is not None
    world.run()
    world.play(ONCE)
    assert kept(world) == [4, 5, 6], "a number is never given twice"


def test_age_alone_counts_where_the_number_is_1_and_the_number_alone_where_the_days_are_0(tmp_path: Path) -> None:
    world = made(tmp_path, 3)
    retain(world, runs=1, days=90)
    assert kept(world) == [1, 2, 3]
    retain(world, runs=2, days=0)
    assert kept(world) == [2, 3]


def test_the_latest_run_of_workflow_and_workers_never_goes(tmp_path: Path) -> None:
    world = made(tmp_path, 2)
    for _ in range(3):
        world.play("again load; start load; exit load 0")
        world.now += 60_000_000
    world.now += 1000 * DAY
    retain(world, runs=1, days=1, log_bytes=0)
    assert kept(world) == [2, 5], "2: of the workflow, 5: of load alone; both show what is the case now"
    assert with_logs(world) == [2, 5]
    assert world.statuses() == {"fetch": "completed", "load": "completed"}


def test_an_active_run_never_goes_however_old(tmp_path: Path) -> None:
    world = made(tmp_path, 2)
    world.run()
    world.play("start fetch")
    world.now += 1000 * DAY
    retain(world, runs=1, days=0, log_bytes=0)
    assert kept(world) == [3]
    world.play("exit fetch 0; start load; exit load 0")
    assert world.status() == "completed"


def test_runs_of_a_deleted_workflow_go_by_age_alone(tmp_path: Path) -> None:
    world = made(tmp_path, 2)
    world.create("other", "one")
    world.begin(lambda commands, done: commands.delete_workflow("wf", False, done))
    world.now += 91 * DAY
    retain(world, runs=200, days=90)
    assert kept(world) == []


def test_logs_go_oldest_first_until_the_rest_fits_and_the_run_says_so(tmp_path: Path) -> None:
    world = made(tmp_path, 4)
    for run in (1, 2, 3, 4):
        grow(world, run, MIB)
    retain(world, log_bytes=2 * MIB + MIB // 2)
    assert kept(world) == [1, 2, 3, 4]
    assert with_logs(world) == [3, 4]
    assert [attempt.stdout for attempt in world.reading.run("1").attempts] == [None, None]
    assert world.reading.run("3").attempts[0].stdout == f"{world.path}/logs/3/0.1.out"
    retain(world, log_bytes=0)
    assert with_logs(world) == [3, 4][1:], "a latest run keeps its logs"


def test_a_run_that_ended_since_counts_at_the_next_look(tmp_path: Path) -> None:
    """Sizes are remembered between looks; what is new is measured."""
    world = made(tmp_path, 2)
    retain(world, log_bytes=2 * MIB)
    for run in (3, 4, 5):
        world.run()
        world.play(ONCE)
        grow(world, run, MIB)
    world.pass_time(EVERY_SECONDS + 10)
    assert with_logs(world) == [1, 2, 4, 5], "1 and 2 are empty: nothing would be gained"


def test_a_large_run_goes_in_small_steps(tmp_path: Path) -> None:
    world = World(tmp_path, "; ".join(f"w{n}" for n in range(500)))
    world.play("run; stop; run; stop")
    assert len(rows(world, "SELECT run_id FROM run_worker")) == 1000
    world.now += 91 * DAY
    begin(world, Limits(runs=1, days=90))
    connection, most = world._writer.connection(), 0
    while kept(world) != [2]:
        before = connection.total_changes
        world.now += 50_000
        world.settle()
        most = max(most, connection.total_changes - before)
    assert 0 < most <= ROWS_A_STEP + 1
    assert len(rows(world, "SELECT run_id FROM run_worker")) == 500


def test_a_crash_at_any_point_leaves_no_row_without_files_and_no_files_for_ever(tmp_path: Path) -> None:
    """F01 and F02 of retention: killed after each turn in which something was done."""
    crashes = 0
    for turns in range(40):
        (tmp_path / str(turns)).mkdir()
        world = made(tmp_path / str(turns), 5)
        for run in kept(world):
            grow(world, run, MIB)
        world.now += 91 * DAY
        (Path(world.path) / STAMP).unlink(missing_ok=True)
        begin(world, Limits(runs=3, days=90, log_bytes=2 * MIB))
        for _ in range(turns):
            world.now += 25_000
            one_turn(world)
        unfinished = kept(world) != [3, 4, 5] or with_logs(world) != [4, 5]
        crashes += unfinished
        world.kill()
        assert_every_row_has_its_files(world)
        world.boot()
        retain(world, runs=3, days=90, log_bytes=2 * MIB)
        assert kept(world) == [3, 4, 5]
        assert with_logs(world) == [4, 5]
        assert rows(world, "SELECT id FROM event WHERE run_id IN (1, 2)") == []
        world.kill()
        if not unfinished:
            break
    assert crashes >= 5, "the crashes must hit the work"
    assert not unfinished


def one_turn(world: World) -> None:
    """Jobs are begun at one turn and done at the next, as with a pool: a crash may come in between."""
    supervisor = world.supervisor
    waiting = getattr(world, "waiting", [])
    for job in waiting[:1]:
        supervisor._job_done(job())
    supervisor._decide([])
    if supervisor._flush_is_due():
        supervisor._flush()
    world.waiting = [*waiting[1:], *supervisor.outbox.take_jobs()]  # type: ignore[attr-defined]
    supervisor._answer()


def assert_every_row_has_its_files(world: World) -> None:
    with sqlite3.connect(f"{world.path}/wattle.db") as connection:
        runs = [run for (run,) in connection.execute("SELECT id FROM run WHERE logs_removed_at IS NULL")]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
    for run in runs:
        assert os.path.exists(f"{world.path}/logs/{run}/0.1.out"), run


def test_log_directories_that_no_run_claims_are_swept_at_the_start(tmp_path: Path) -> None:
    world = made(tmp_path, 2)
    os.rename(f"{world.path}/logs/1", f"{world.path}/logs/7")
    Path(f"{world.path}/logs/0").mkdir()
    Path(f"{world.path}/logs/unstarted").mkdir(exist_ok=True)
    retain(world)
    assert with_logs(world) == [2], "0 was given never, 1 is gone"
    (lost,) = [name for name in os.listdir(f"{world.path}/logs") if name.startswith("lost-7-")]
    assert os.path.exists(f"{world.path}/logs/{lost}/0.1.out"), "a backup was put back: nothing of it is deleted"
    assert os.path.isdir(f"{world.path}/logs/unstarted")


def test_a_store_that_cannot_be_written_loses_nothing_and_is_tried_again(tmp_path: Path) -> None:
    """F22, F26."""
    world = made(tmp_path, 3)
    world.now += 91 * DAY
    world._writer.connection().execute("PRAGMA query_only = ON")
    begin(world, Limits(runs=1, days=90))
    world.pass_time(20)
    assert kept(world) == with_logs(world) == [1, 2, 3]
    world._writer.connection().execute("PRAGMA query_only = OFF")
    world.pass_time(EVERY_SECONDS + 10)
    world.pass_time(20)
    assert kept(world) == with_logs(world) == [3]


@pytest.mark.parametrize("age_seconds, looks", [(10, False), (EVERY_SECONDS + 1, True), (-3 * 86_400, True)])
def test_a_start_looks_only_when_the_last_look_is_an_hour_old(tmp_path: Path, age_seconds: float, looks: bool) -> None:
    """F29: a stamp from the future does not keep it from looking."""
    world = made(tmp_path, 3)
    world.now += 91 * DAY
    stamp = Path(world.path) / STAMP
    stamp.touch()
    os.utime(stamp, (world.now / 1e6 - age_seconds,) * 2)
    begin(world, Limits(runs=1, days=90))
    world.pass_time(20)
    assert (kept(world) == [3]) is looks
