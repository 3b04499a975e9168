"""Stop and restart of a worker that is queued or waits: effective at once, never a second copy (P6)."""

from pathlib import Path

import pytest

from tests.supervisor.world import World
from wattle.errors import Conflict


def test_a_restart_of_a_queued_worker_takes_its_order_back_and_gives_it_again(tmp_path: Path) -> None:
    """P6: and that it had been ordered before costs no attempt, so no retry either."""
    world = World(tmp_path, "a -> b", each={"a": {"retry": {"limit": 1, "delay_seconds": 0}}})
    world.play("run; restart a; restart a")
    assert [answer.result(0).run_id for answer in world.answers] == [1, 1]
    assert len(world.keeper.queued) == 1
    world.play("start a; exit a 1; wait 1; start a; exit a 0; start b; exit b 0")
    assert world.keeper.spawned == [("a", 1), ("a", 2), ("b", 1)]
    assert world.status() == "completed"


def test_a_restart_ends_what_was_spawned_before_it_was_asked_for(tmp_path: Path) -> None:
    """P6: the keeper was faster; the daemon has not heard of it yet."""
    world = World(tmp_path, "a").play("run")
    unheard = world.keeper.start
    unheard("a", world.now)  # the report waits
    reports, world.keeper.reports = world.keeper.reports, []
    world.play("restart a")
    assert not world.answers[-1].done()
    assert len(world.keeper.stops) == 1
    world.keeper.reports = reports
    world.settle()
    world.play("exit a -15; start a; exit a 0")
    assert world.answers[-1].done()
    assert world.keeper.spawned == [("a", 1), ("a", 2)]
    assert world.status() == "completed"


@pytest.mark.parametrize("crash", ["kill daemon; boot", "kill keeper; kill daemon; boot"])
def test_a_restart_of_a_queued_worker_outlives_the_daemon(tmp_path: Path, crash: str) -> None:
    """P6."""
    world = World(tmp_path, "a").play(f"run; restart a; {crash}; start a; exit a 0")
    assert world.keeper.spawned == [("a", 1)]
    assert world.status() == "completed"


def test_what_waits_for_another_is_not_restarted_and_can_be_stopped(tmp_path: Path) -> None:
    """P6: it will start by itself, once."""
    world = World(tmp_path, "a -> b").play("run; restart b")
    with pytest.raises(Conflict, match="will start by itself") as refused:
        world.answers[-1].result(0)
    assert refused.value.code == "WORKER_QUEUED"
    world.play("stop b; start a; exit a 0")
    assert world.statuses() == {"a": "completed", "b": "cancelled"}
    assert world.keeper.spawned == [("a", 1)]


def test_a_stop_of_a_queued_worker_is_answered_at_once_and_it_never_starts(tmp_path: Path) -> None:
    """P6."""
    world = World(tmp_path, "a -> b").play("run; stop a")
    assert world.answers[-1].done()
    assert world.keeper.queued == {}
    assert world.statuses() == {"a": "cancelled", "b": "cancelled"}


@pytest.mark.parametrize("history", ["run; start a; stop; restart a", "run; start a; stop; restart b"])
def test_nothing_is_restarted_in_a_run_that_is_being_stopped(tmp_path: Path, history: str) -> None:
    """Else the stop would be answered when somebody stops the next attempt, if ever."""
    world = World(tmp_path, "a -> b").play(history)
    with pytest.raises(Conflict, match="is being stopped") as refused:
        world.answers[-1].result(0)
    assert refused.value.code == "WORKFLOW_STOPPING"
    world.play("exit a -15")
    assert world.answers[0].done()
    assert world.status() == "cancelled"
    assert world.keeper.spawned == [("a", 1)]


def test_a_restart_of_what_waits_for_room_only_is_its_start(tmp_path: Path) -> None:
    """P6: nothing of it can be older than the wish."""
    world = World(tmp_path, "; ".join(f"w{i}" for i in range(80)), max_parallel=1).play("run; restart w79")
    assert world.answers[-1].exception(0) is None
    for i in range(80):
        world.play(f"start w{i}; exit w{i} 0")
    assert world.status() == "completed"
    assert world.keeper.spawned.count(("w79", 1)) == 1 and len(world.keeper.spawned) == 80
