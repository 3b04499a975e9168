"""What a stop says of itself, and what becomes of those that do not die or may stay (T6, T9)."""

from pathlib import Path

import pytest

from tests.supervisor.world import World
from wattle.definition.paths import Context
from wattle.service.changing import Changing


def test_a_stop_of_a_run_says_how_each_was_told(tmp_path: Path) -> None:
    world = World(tmp_path, "a; b; c").play("run; start a; start b; exit b 0; stop; exit a -15")
    stop = world.answers[-1].result(0)
    assert [(told.worker, told.attempt) for told in stop.signals] == [("a", stop.signalled[0])]
    assert (stop.signals[0].signal, stop.signals[0].processes) == (15, 1)


@pytest.mark.parametrize("wish", ["stop", "stop a"])
def test_whoever_waits_for_what_does_not_die_is_told_and_the_stop_goes_on(tmp_path: Path, wish: str) -> None:
    """T9: a process is named; others are not held up; the end shows the reason of the stop."""
    world = World(tmp_path, "a; b", max_parallel=2).play(f"run; start a; start b; {wish}")
    stuck = {"type": "stuck", "uid": world.keeper.find("a", world.keeper.live)["uid"], "pids": [7, 8]}
    world.keeper.reports.append(stuck)
    world.settle()
    error = world.answers[0].exception(0)
    assert (error.code, str(error)) == (
        "STOP_INCOMPLETE",
        "Worker 'a' is being stopped, but these do not die: 7, 8",
    )
    assert world.reasons()["a"] == "stopped by a user, but its processes 7, 8 do not die"
    world.play(f"kill daemon; boot; exit b 0; {wish}")
    assert not world.answers[-1].done(), "a second caller waits as well"
    world.keeper.reports.append(stuck)
    world.settle()
    assert world.answers[-1].exception(0).code == "STOP_INCOMPLETE"
    world.play("exit a -9")
    assert world.statuses()["a"] == "cancelled"
    assert world.reasons()["a"] == "stopped by a user"
    kinds = [event.kind for event in world.queries.events(after=0, limit=100)]
    assert kinds.count("worker.stuck") == 1, "the second daemon knows that it was said"


def test_a_restart_of_what_does_not_die_is_not_said_to_be_done(tmp_path: Path) -> None:
    """T9: the next attempt comes when it has died."""
    world = World(tmp_path, "a").play("run; start a; restart a")
    uid = world.keeper.find("a", world.keeper.live)["uid"]
    world.keeper.reports.append({"type": "stuck", "uid": uid, "pids": [7]})
    world.settle()
    assert world.answers[0].exception(0).code == "STOP_INCOMPLETE"
    world.play("exit a -9; start a")
    assert world.keeper.spawned == [("a", 1), ("a", 2)]


def test_what_was_let_go_is_counted_in_a_notice(tmp_path: Path) -> None:
    """T6: allow_detached."""
    world = World(tmp_path, "a", each={"a": {"allow_detached": True}}).play("run; start a")
    (order,) = world.keeper.live.values()
    assert order["stop"] == {"signal": 15, "grace_seconds": 10.0, "scope": "group", "allow_detached": True}
    world.keeper.end("a", world.now, exit_code=0, detached=2)
    world.settle()
    (worker,) = world.reading.run("1").workers
    assert worker.notices == ("2 processes were left running (allow_detached)",)


def test_down_answers_when_something_does_not_die_and_ends_once_it_has(tmp_path: Path) -> None:
    """T9: whoever asked is told; nothing new starts; the end is not given up."""
    world, ends = World(tmp_path, "a"), []
    context = Context(str(tmp_path), str(tmp_path), str(tmp_path / "work"), str(tmp_path))
    changing = Changing(
        world.supervisor, world.queries, world.definitions, context, on_down=lambda: ends.append(True)
    )
    world.play("run; start a")
    future = changing.down()
    world.settle()
    uid = world.keeper.find("a", world.keeper.live)["uid"]
    world.keeper.reports.append({"type": "stuck", "uid": uid, "pids": [7]})
    world.settle()
    assert future.exception(0).code == "STOP_INCOMPLETE" and not ends
    world.play("exit a -9")
    assert ends == [True]
    assert world.reasons()["a"] == "stopped by wattle down"
