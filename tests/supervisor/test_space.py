"""A store that cannot be written, at the loop: nothing is forgotten, nobody waits without an answer."""

import logging
from pathlib import Path

import pytest

from tests.supervisor.world import World
from wattle.errors import OutOfSpace


def fill(world: World) -> None:
    """No page more for the database: SQLite's own SQLITE_FULL."""
    connection = world._writer.connection()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    assert free == 0
    connection.execute(f"PRAGMA max_page_count = {pages}")


def free(world: World) -> None:
    world._writer.connection().execute("PRAGMA max_page_count = 1000000")


def use_up(world: World, reason: str = "x" * 2_000) -> None:
    """Events until the pages that are there are full too."""
    for _ in range(50):
        world.supervisor.ledger.event(world.now, "wf", "note", None, {"reason": reason})


def test_a_wish_that_cannot_be_written_is_answered_and_done_later(tmp_path: Path) -> None:
    """F22: the stop is taken in, then the disk turns out to be full: 507 says so, and it is carried out afterwards."""
    world = World(tmp_path, "a").play("run; start a")
    fill(world)
    use_up(world)
    future = world.begin(lambda commands, done: commands.stop_worker("wf", "a", True, done))
    with pytest.raises(OutOfSpace, match="kept in memory and done as soon as") as refused:
        future.result(0)
    assert refused.value.code == "INSUFFICIENT_STORAGE"
    assert not world.keeper.stops, "not acted on before it is written"
    later = world.begin(lambda commands, done: commands.stop_worker("wf", "a", True, done))
    with pytest.raises(OutOfSpace):
        later.result(0)
    free(world)
    world.pass_time(1)
    assert len(world.keeper.stops) == 1
    world.play("exit a -15")
    assert world.statuses() == {"a": "cancelled"}


def test_who_waits_for_an_end_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    world = World(tmp_path, "a").play("run; start a")
    future = world.begin(lambda commands, done: commands.stop_worker("wf", "a", True, done))
    assert not future.done()
    fill(world)
    use_up(world)
    world.play("exit a -15")
    with pytest.raises(OutOfSpace):
        future.result(0)
    free(world)
    world.pass_time(1)
    assert world.statuses() == {"a": "cancelled"}


def test_a_start_that_was_committed_is_no_failure_because_of_what_follows(tmp_path: Path) -> None:
    world = World(tmp_path, "a")
    definition = world.definitions.current("wf")
    future = world.supervisor.call(
        lambda c: c.start_workflow("wf", definition, idempotency_key=None, trigger="test")
    )
    world.supervisor._decide([])
    fill(world)
    use_up(world)
    world.supervisor.ledger.urgent = True
    world.supervisor._flush()
    world.supervisor._answer()
    assert not future.done(), "positive control: the commit failed"
    free(world)
    world.pass_time(1)
    assert future.result(0).run_id == 1


def test_a_store_that_stays_broken_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    world = World(tmp_path, "a").play("run; start a")
    fill(world)
    use_up(world)
    with caplog.at_level(logging.WARNING):
        world.pass_time(5)
        assert caplog.text.count("the database cannot be written") == 1
        free(world)
        world.pass_time(1)
        world.pass_time(1)
    assert caplog.text.count("the database can be written again") == 1
