"""Services in whole turns: ready, alive, restarts, and their end (P1-P6, R1-R4, O3)."""

from pathlib import Path
from typing import Any

import pytest

from tests.supervisor.world import World
from wattle.errors import Conflict

FILE = {"ready": {"file": "up"}}


def world_of(path: Path, graph: str = "db -> app", **service: Any) -> World:
    """`db` is a service with these fields; the workers of the graph may not run in more than one process each."""
    return World(path, graph, each={"db": {"kind": "service", **service}}).play("run")


def phases(world: World) -> dict[str, str]:
    world.supervisor.commit(None)
    return {view.name: view.phase for view in world.reading.workers("wf")}


def attempt_of_db(world: World) -> int:
    world.supervisor.commit(None)
    return world.reading.worker("wf", "db").attempt


def stopped(world: World) -> list[str]:
    return [world.keeper.orders[uid]["env"]["WATTLE_WORKER"] for uid in world.keeper.stops]


def test_a_consumer_starts_when_its_service_is_ready_and_the_service_ends_after_it(tmp_path: Path) -> None:
    world = world_of(tmp_path, **FILE).play("start db; wait 0.2")
    assert phases(world) == {"db": "running", "app": "waiting"}
    assert world.reasons() == {
        "db": f"not ready yet: file {tmp_path}/work/wf/up: No such file or directory",
        "app": "waits for db (not ready)",
    }
    world.play("touch up; wait 1")
    assert phases(world) == {"db": "ready", "app": "queued"}
    world.play("start app; exit app 0")
    assert stopped(world) == ["db"]
    assert phases(world) == {"db": "stopping", "app": "ended"}
    world.play("exit db -15")
    assert world.statuses() == {"db": "completed", "app": "completed"}
    assert world.status() == "completed"


def test_without_a_probe_a_service_is_ready_once_it_runs(tmp_path: Path) -> None:
    world = world_of(tmp_path).play("start db")
    assert phases(world) == {"db": "ready", "app": "queued"}


def test_a_service_takes_no_slot(tmp_path: Path) -> None:
    world = World(tmp_path, "db -> app; other", max_parallel=1, each={"db": {"kind": "service"}}).play("run; start db")
    assert {order["env"]["WATTLE_WORKER"]: order["takes_slot"] for order in world.keeper.orders.values()} == {
        "db": False, "app": True, "other": True,
    }  # fmt: skip


@pytest.mark.parametrize("code", ["0", "7"])
def test_a_consumer_that_fails_ends_its_service_too(tmp_path: Path, code: str) -> None:
    world = world_of(tmp_path).play(f"start db; start app; exit app {code}; exit db 3")
    assert world.statuses()["db"] == "completed"
    assert world.status() == ("completed" if code == "0" else "failed")


def test_a_service_that_nobody_consumes_lives_as_long_as_there_are_tasks(tmp_path: Path) -> None:
    world = World(tmp_path, "a -> b; side", each={"side": {"kind": "service"}}).play("run; start side; start a")
    world.play("exit a 0; start b")
    assert stopped(world) == []
    world.play("exit b 0")
    assert stopped(world) == ["side"]


def test_a_crashed_service_is_restarted_within_its_budget_and_then_fails_saying_so(tmp_path: Path) -> None:
    """R1."""
    restart = {"limit": 3, "window_seconds": 60, "delay_seconds": 1, "factor": 2, "jitter": 0.2}
    world = world_of(tmp_path, restart=restart, ready={"file": "never"})
    for delay in (1, 2, 4):
        world.play("start db; exit db 1")
        assert phases(world) == {"db": "retrying", "app": "waiting"}
        world.play(f"wait {delay * 0.79}")
        assert phases(world)["db"] == "retrying"
        world.play(f"wait {delay * 0.42}")
        assert phases(world)["db"] == "queued"
    world.play("start db; exit db 1")
    assert world.statuses() == {"db": "failed", "app": "cancelled"}
    assert world.reasons()["db"] == "exit code 1; restarted 3 times within 60 s, which is its limit"


def test_a_service_that_was_well_for_long_has_its_whole_budget_again(tmp_path: Path) -> None:
    """R2."""
    world = world_of(tmp_path, restart={"limit": 1, "delay_seconds": 0.1, "healthy_seconds": 5}).play("start db")
    for _ in range(4):
        number = attempt_of_db(world)
        world.now += 6_000_000
        world.play("exit db 1; wait 0.5; start db")
        assert attempt_of_db(world) == number + 1
    world.play("exit db 1; wait 0.5")
    assert world.statuses()["db"] == "failed"


def test_the_budget_survives_the_daemon(tmp_path: Path) -> None:
    world = world_of(tmp_path, restart={"limit": 2, "delay_seconds": 0.1})
    for _ in range(2):
        world.play("start db; exit db 1; commit; kill daemon; boot; wait 1")
    world.play("start db; exit db 1")
    assert world.statuses()["db"] == "failed"


@pytest.mark.parametrize(
    ("policy", "code", "becomes"),
    [
        ("always", 0, "retrying"), ("always", 1, "retrying"), ("on_failure", 0, "completed"),
        ("on_failure", 1, "retrying"), ("never", 0, "completed"), ("never", 1, "failed"),
    ],
)  # fmt: skip
def test_the_policy_says_when_a_service_is_restarted(tmp_path: Path, policy: str, code: int, becomes: str) -> None:
    world = world_of(tmp_path, restart=policy).play(f"start db; exit db {code}")
    world.supervisor.commit(None)
    view = world.reading.worker("wf", "db")
    assert (view.phase if view.phase != "ended" else view.status) == becomes


def test_a_service_that_ends_well_before_it_was_ready_has_failed(tmp_path: Path) -> None:
    world = world_of(tmp_path, restart="never", **FILE).play("start db; exit db 0")
    assert world.statuses() == {"db": "failed", "app": "cancelled"}
    assert world.reasons()["db"] == "it ended with exit code 0 before it was ready"


def test_consumers_that_have_not_started_wait_while_their_service_restarts(tmp_path: Path) -> None:
    """P2."""
    world = world_of(tmp_path, restart={"delay_seconds": 1, "jitter": 0}, **FILE)
    world.play("start db; touch up; wait 1; remove up; exit db 1")
    assert phases(world) == {"db": "retrying", "app": "waiting"}
    world.play("wait 1.5; start db; wait 1")
    assert phases(world) == {"db": "running", "app": "waiting"}
    world.play("touch up; wait 1.5; start app; exit app 0; exit db 0")
    assert world.status() == "completed"
    assert world.keeper.spawned == [("db", 1), ("db", 2), ("app", 1)]


def test_a_service_that_is_not_alive_is_ended_and_restarted(tmp_path: Path) -> None:
    """P3: the stop path, then the restart policy."""
    alive = {"file": "pulse", "period_seconds": 1, "failure_threshold": 2}
    world = world_of(tmp_path, alive=alive, restart={"delay_seconds": 0.5, "jitter": 0})
    world.play("touch pulse; start db; start app; wait 3")
    assert stopped(world) == []
    world.play("remove pulse; wait 0.9")
    assert stopped(world) == []
    world.play("wait 1.2")
    assert stopped(world) == ["db"]
    assert phases(world)["db"] == "stopping"
    world.play("exit db -15; wait 0.1")
    assert phases(world) == {"db": "retrying", "app": "running"}
    said = world.reasons()["db"]
    assert said is not None and "its alive probe failed 2 times in a row: file " in said
    world.play("wait 1; touch pulse; start db; wait 5; exit app 0; exit db 0")
    assert world.status() == "completed"


def test_a_service_that_is_never_ready_has_failed_after_its_time(tmp_path: Path) -> None:
    world = world_of(tmp_path, restart="never", ready={"file": "up", "within_seconds": 3}).play("start db; wait 4")
    assert stopped(world) == ["db"]
    world.play("exit db -15")
    assert world.statuses() == {"db": "failed", "app": "cancelled"}
    file = f"{tmp_path}/work/wf/up"
    assert world.reasons()["db"] == f"it was not ready within 3 s: file {file}: No such file or directory"


def test_an_exec_probe_is_a_process_of_the_keepers(tmp_path: Path) -> None:
    """P1, P4: in the worker's directory, killed as a tree at its timeout, under an identity of its own."""
    world = world_of(tmp_path, ready={"exec": "check --fast", "timeout_seconds": 2})
    world.play("start db; probe db 1; wait 1")
    order = world.keeper.find("db", world.keeper.queued, probe=True)
    service = world.keeper.find("db", world.keeper.live)
    assert order["argv"] == ["check", "--fast"]
    assert (order["cwd"], order["timeout_seconds"], order["stop"]["grace_seconds"]) == (service["cwd"], 2, 0)
    assert not order["takes_slot"]
    assert order["env"]["WATTLE_ATTEMPT_UID"] == order["uid"] != service["uid"]
    assert world.reasons()["db"] == "not ready yet: exec check --fast: exit code 1"
    world.play("probe db 0")
    assert phases(world) == {"db": "ready", "app": "queued"}


def test_a_probe_under_way_is_ended_with_its_service(tmp_path: Path) -> None:
    world = world_of(tmp_path, ready={"exec": "check"}).play("start db; exit db 1")
    assert [order for order in world.keeper.queued.values() if order["tag"][2] < 0] == []


def test_so_many_passes_in_a_row_make_it_ready(tmp_path: Path) -> None:
    world = world_of(tmp_path, ready={"exec": "check", "success_threshold": 2}).play("start db; probe db 0; wait 1")
    world.play("probe db 1; wait 2; probe db 0; wait 1")
    assert phases(world)["db"] == "running"
    world.play("probe db 0")
    assert phases(world)["db"] == "ready"


def test_services_alone_run_until_they_are_stopped_in_reverse_order(tmp_path: Path) -> None:
    """P5."""
    each = {name: {"kind": "service"} for name in ("db", "api", "page")}
    world = World(tmp_path, "db -> api; api -> page", each=each).play("run; start db; start api; start page; wait 100")
    assert world.status() == "running"
    world.play("stop")
    assert stopped(world) == ["page"]
    world.play("exit page -15")
    assert stopped(world) == ["page", "api"]
    world.play("exit api -15; exit db -15")
    assert stopped(world) == ["page", "api", "db"]
    assert set(world.statuses().values()) == {"cancelled"}
    assert world.answers[-1].done()


def test_a_stop_during_the_pause_before_a_restart_is_final(tmp_path: Path) -> None:
    """R4."""
    world = world_of(tmp_path, restart={"delay_seconds": 5}).play("start db; exit db 1; stop db; wait 20")
    assert world.statuses() == {"db": "cancelled", "app": "cancelled"}
    assert world.keeper.spawned == [("db", 1)]


def test_a_service_stopped_by_a_user_stays_stopped_over_a_restart_of_the_daemon(tmp_path: Path) -> None:
    """O3."""
    each = {"db": {"kind": "service", "restart": "always"}, "web": {"kind": "service"}}
    world = World(tmp_path, "db; web", each=each)
    world.play("run; start db; start web; stop db; exit db -15; kill daemon; boot; wait 100")
    assert world.statuses() == {"db": "cancelled", "web": "running"}
    assert world.keeper.spawned == [("db", 1), ("web", 1)]


@pytest.mark.parametrize(
    "history",
    [
        "start db; kill daemon; boot; touch up; wait 1; start app; exit app 0; exit db 0",
        "start db; touch up; wait 1; kill daemon; boot; start app; exit app 0; exit db 0",
        "start db; touch up; wait 1; commit; kill daemon; boot; start app; exit app 0; exit db 0",
        "start db; touch up; wait 1; start app; kill daemon; exit app 0; boot; exit db 0",
        "start db; touch up; wait 1; start app; exit app 0; kill daemon; boot; exit db 0",
        "start db; touch up; wait 1; start app; exit app 0; commit; kill daemon; exit db 0; boot",
        "start db; touch up; wait 1; start app; kill daemon; exit db 1; boot; wait 2; start db; exit app 0; exit db 0",
        "start db; touch up; wait 1; start app; exit db 1; commit; kill daemon; boot; wait 2; start db; exit app 0;"
        "exit db 0",
    ],
)
def test_a_daemon_that_dies_changes_nothing(tmp_path: Path, history: str) -> None:
    world = world_of(tmp_path, restart={"delay_seconds": 1, "jitter": 0}, **FILE).play(history)
    assert world.statuses() == {"db": "completed", "app": "completed"}
    assert len(world.keeper.spawned) == len(set(world.keeper.spawned))


def test_an_ailing_service_is_still_ailing_after_a_restart_of_the_daemon(tmp_path: Path) -> None:
    world = world_of(tmp_path, restart="never", ready={"file": "up", "within_seconds": 1})
    world.play("start db; wait 2; commit; kill daemon; boot; exit db 0")
    assert world.statuses()["db"] == "failed"
    said = world.reasons()["db"]
    assert said is not None and said.startswith("it was not ready within 1 s: ")


def test_a_consumer_cannot_begin_again_once_its_service_has_ended(tmp_path: Path) -> None:
    world = World(tmp_path, "db -> app; long", each={"db": {"kind": "service"}})
    world.play("run; start db; start app; start long; exit app 7; exit db 0")
    with pytest.raises(Conflict, match="service 'db' has ended; start that"):
        world.play("again app")
    world.play("again db; start db; again app; start app; exit app 0; exit db 0; exit long 0")
    assert world.status() == "completed"
