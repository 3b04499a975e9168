"""A signal that a user sends: who gets it, what is written down, and every way in which nobody does."""

from pathlib import Path
from typing import Any

import pytest

from tests.supervisor.world import World
from wattle.errors import WattleError
from wattle.supervisor.signals import ANSWER_SECONDS

JOB = {"a": {"retry": {"limit": 1, "delay_seconds": 1}}}
SERVICE = {"a": {"kind": "service", "restart": {"policy": "always", "delay_seconds": 1}}}


def send(world: World, number: int = 9, scope: str = "tree", worker: str = "a") -> Any:
    """Its future, or the error at once."""
    future = world.changing.signal_worker("wf", worker, number, scope, actor="ada")
    world.settle()
    return future


def error_of(future: Any) -> WattleError:
    error = future.exception(0)
    assert isinstance(error, WattleError)
    return error


def events(world: World) -> list[tuple[str, str | None, Any]]:
    found = [event for event in world.queries.events(after=0, limit=100) if ".signal" in event.kind]
    return [(event.kind, event.actor, event.payload["reason"]) for event in found]


def test_it_is_answered_with_whom_it_reached_and_is_in_the_history_before_it_is_sent(tmp_path: Path) -> None:
    world = World(tmp_path, "a").play("run; start a")
    world.keeper.reaches = ([1001, 1002], [7])
    seen: list[Any] = []
    receive = world.keeper.receive

    def looking(frame: Any) -> None:
        seen.extend(events(world) if frame["type"] == "signal" else ())
        receive(frame)

    world.keeper.receive = looking  # type: ignore[method-assign]
    view = send(world, 1).result(0)
    assert (view.worker, view.attempt, view.number, view.scope) == ("a", 1, 1, "tree")
    assert (view.pids, view.refused) == ((1001, 1002), (7,))
    assert seen == events(world) == [("worker.signalled", "ada", "SIGHUP sent by a user")]
    frame = world.keeper.frames[-1]
    assert (frame["type"], frame["signal"], frame["scope"]) == ("signal", 1, "tree")
    assert frame["uid"] == view.attempt_uid


@pytest.mark.parametrize("each", [None, JOB, SERVICE], ids=["job", "retried", "service"])
def test_whoever_is_killed_has_failed_and_its_policy_decides(tmp_path: Path, each: Any) -> None:
    world = World(tmp_path, "a", each=each).play("run; start a")
    send(world).result(0)
    world.play("exit a -9")
    if each is None:
        assert (world.statuses()["a"], world.reasons()["a"]) == ("failed", "killed by SIGKILL")
        return
    assert world.statuses()["a"] == "running"
    world.play("wait 2; start a")
    assert world.keeper.spawned == [("a", 1), ("a", 2)]


def test_whoever_lives_on_goes_on(tmp_path: Path) -> None:
    world = World(tmp_path, "a -> b").play("run; start a")
    send(world, 1, "leader").result(0)
    assert world.keeper.frames[-1]["scope"] == "leader"
    assert world.play("exit a 0; start b; exit b 0").status() == "completed"


@pytest.mark.parametrize(
    ("history", "words"),
    [
        ("", "`wattle start wf/a` starts it"),
        ("run", "it waits to be started; `wattle stop wf/a` keeps it from that"),
        ("run; start a; exit a 1", "it waits to be started; `wattle stop wf/a` keeps it from that"),
        ("run; start a; stop a; exit a -15", "`wattle start wf/a` starts it"),
    ],
)
def test_who_does_not_run_gets_none(tmp_path: Path, history: str, words: str) -> None:
    world = World(tmp_path, "a", each=JOB).play(history)
    error = error_of(send(world))
    assert (error.code, error.message.partition("; ")[2]) == ("WORKER_NOT_RUNNING", words)
    assert events(world) == [] and "signal" not in [frame["type"] for frame in world.keeper.frames]


def test_a_worker_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    world = World(tmp_path, "a")
    assert error_of(send(world, worker="b")).code == "WORKER_NOT_FOUND"


def test_one_that_ends_meanwhile_is_said_to_have(tmp_path: Path) -> None:
    world = World(tmp_path, "a").play("run; start a")
    world.keeper.reaches = ([], [])
    error = error_of(send(world))
    assert error.code == "WORKER_NOT_RUNNING"
    assert "its process has just ended; `wattle status wf/a` shows how" in error.message
    assert [kind for kind, _, _ in events(world)] == ["worker.signalled", "worker.signal_failed"]


def test_processes_of_another_user_are_refused_in_words(tmp_path: Path) -> None:
    world = World(tmp_path, "a").play("run; start a")
    world.keeper.reaches = ([], [4711])
    error = error_of(send(world))
    assert (type(error).__name__, error.code) == ("Forbidden", "SIGNAL_NOT_PERMITTED")
    assert "may not send SIGKILL to the processes of 'wf/a' (4711)" in error.message
    assert events(world)[-1] == ("worker.signal_failed", "ada", error.message)


def test_an_older_keeper_is_not_asked(tmp_path: Path) -> None:
    """It would take a frame that it does not know for nonsense and hang up."""
    world = World(tmp_path, "a").play("run; start a; kill daemon")
    world.keeper.features = ()
    world.boot()
    error = error_of(send(world))
    assert (error.code, "started by an older Wattle" in error.message) == ("KEEPER_TOO_OLD", True)
    assert events(world) == [] and "signal" not in [frame["type"] for frame in world.keeper.frames]
    world.play("stop a; exit a -15")
    assert world.answers[-1].result(0).signals[0].worker == "a", "control: what it can do it does"


def test_without_a_keeper_nothing_is_queued(tmp_path: Path) -> None:
    world = World(tmp_path, "a").play("run; start a")
    link, world.supervisor.link = world.supervisor.link, None
    error = error_of(send(world))
    assert (error.code, "nothing was sent" in error.message) == ("KEEPER_AWAY", True)
    world.supervisor.link = link
    world.settle()
    assert events(world) == [] and "signal" not in [frame["type"] for frame in world.keeper.frames]


def test_a_keeper_that_is_lost_answers_nobody_and_the_next_one_is_not_asked(tmp_path: Path) -> None:
    world = World(tmp_path, "a").play("run; start a")
    world.keeper.reaches = None
    asked = send(world)
    unsent = world.changing.signal_worker("wf", "a", 1, "tree")
    world.supervisor._decide([])  # decided, not yet sent
    assert not asked.done() and not unsent.done()
    world.supervisor.lose_keeper("it was killed")
    world.settle()
    for future in (asked, unsent):
        assert error_of(future).code == "KEEPER_AWAY"
        assert "may have been sent or not" in error_of(future).message
    assert [frame["signal"] for frame in world.keeper.frames if frame["type"] == "signal"] == [9]


def test_a_keeper_that_is_silent_keeps_nobody_waiting(tmp_path: Path) -> None:
    world = World(tmp_path, "a").play("run; start a")
    world.keeper.reaches = None
    asked = send(world)
    request = world.keeper.frames[-1]["request"]
    world.pass_time(ANSWER_SECONDS + 1)
    assert (error_of(asked).code, "within 10 s" in error_of(asked).message) == ("KEEPER_AWAY", True)
    late = {"type": "signalled", "request": request, "uid": "x", "pids": [1], "refused": []}
    world.keeper.reports.append(late)
    world.settle()
    assert world.play("exit a 0").status() == "completed"
