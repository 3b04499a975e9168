"""Services of an active run that take a newer definition, in whole turns and over crashes (redefining.py)."""

from pathlib import Path
from typing import Any

import pytest

from tests.supervisor.world import World
from wattle.definition.canonical import canonical_json
from wattle.definition.paths import Context
from wattle.definition.validate import read_workflow
from wattle.errors import Conflict
from wattle.supervisor.commands import Alone, NewVersion

GRACE = {"stop": {"signal": "INT", "grace_seconds": 3}}
LATE = {"ready": {"file": "up", "within_seconds": 600}}


def document(db: dict[str, Any], *others: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A service `db` of which `app` has need, and others before it."""
    service = {"name": "db", "kind": "service", "command": "/bin/old", **db}
    app = {"name": "app", "command": "/bin/app", "depends_on": ["db"]}
    return {"name": "wf", "workers": [*others, service, app], **fields}


def world_of(path: Path, db: dict[str, Any], *others: dict[str, Any], **fields: Any) -> World:
    world = World(path, "")
    world.define(document(db, *others, **fields))
    return world


def store(world: World, new: dict[str, Any]) -> None:
    context = Context(world.path, world.path, f"{world.path}/work", world.path)
    workflow = read_workflow(new, context)
    version = NewVersion(canonical_json(workflow.document).decode(), workflow.digest, workflow.working_dir, None)
    assert world.ask(lambda commands: commands.replace_workflow("wf", version))


def apply(world: World, worker: str = "db") -> Any:
    now = world.definitions.current("wf")
    return world.begin(lambda commands, done: commands.redefine_worker("wf", worker, now, None, done))


def effect(future: Any) -> str:
    return str(future.result(0).effect)


def ordered(world: World, worker: str = "db") -> list[tuple[int, list[str]]]:
    """(attempt, argv) of what the keeper has of the worker, in the order in which it came."""
    orders = [order for order in world.keeper.orders.values() if order["env"]["WATTLE_WORKER"] == worker]
    return [(order["tag"][2], order["argv"]) for order in orders if order["tag"][2] > 0]


def versions(world: World) -> tuple[int | None, int | None]:
    world.supervisor.commit(None)
    (row,) = [row for row in world.queries.run_workers(1) if row.name == "db"]
    return row.version_id, row.next_version_id


def test_a_running_service_is_restarted_with_its_new_definition_and_nobody_else_is(tmp_path: Path) -> None:
    world = world_of(tmp_path, GRACE).play("run; start db; start app")
    store(world, document({"command": "/bin/new", "stop": {"signal": "HUP"}}))
    future = apply(world)
    assert not future.done()
    assert world.keeper.find("db", world.keeper.live)["stop"]["grace_seconds"] == 3
    assert versions(world) == (None, 2)
    world.play("exit db -2; start db")
    assert effect(future) == "restarted"
    assert ordered(world) == [(1, ["/bin/old"]), (2, ["/bin/new"])]
    assert world.keeper.find("db", world.keeper.live)["stop"]["grace_seconds"] == 10
    assert (versions(world), ordered(world, "app")) == ((2, None), [(1, ["/bin/app"])])
    run = world.reading.run("1")
    assert {worker.name: worker.version for worker in run.workers} == {"db": 2, "app": 1}
    assert run.workers[0].document["command"] == "/bin/new"
    assert "worker.redefined" in [event.kind for event in world.reading.events(after=0)]
    assert effect(apply(world)) == "unchanged"
    world.play("exit app 0; exit db -1")
    assert world.statuses() == {"db": "completed", "app": "completed"}


@pytest.mark.parametrize(
    "history, fields, said, now, rest",
    [
        ("run", {}, "restarted", [(1, ["/bin/new"])], ""),  # queued: the order is taken back
        ("run; start db", LATE, "restarted", [(1, ["/bin/old"]), (2, ["/bin/new"])], "exit db -15"),
        ("run; start db; exit db 1", {}, "restarted", [(1, ["/bin/old"]), (2, ["/bin/new"])], ""),  # in back-off
        ("run; start db; restart db", {}, "restarted", [(1, ["/bin/old"]), (2, ["/bin/new"])], "exit db -15"),
        ("run; start db; stop db", {}, "ended", [(1, ["/bin/old"])], "exit db -15"),
        ("run; start db; start app; stop db; exit db -15", {}, "ended", [(1, ["/bin/old"])], ""),
    ],
)  # fmt: skip
def test_what_happens_is_a_matter_of_the_state(
    tmp_path: Path, history: str, fields: Any, said: str, now: Any, rest: str
) -> None:
    world = world_of(tmp_path, fields).play(history)
    store(world, document({"command": "/bin/new", **fields}))
    future = apply(world)
    world.play(rest)
    assert effect(future) == said
    assert ordered(world) == now


def test_a_service_that_waits_begins_with_its_new_definition(tmp_path: Path) -> None:
    first = {"name": "first", "command": "/bin/first"}
    world = world_of(tmp_path, {"depends_on": ["first"]}, first).play("run; start first")
    store(world, document({"command": "/bin/new", "depends_on": ["first"]}, first))
    assert effect(apply(world)) == "to_come"
    world.play("kill daemon; boot; exit first 0; start db; start app; exit app 0; exit db -15")
    assert ordered(world) == [(1, ["/bin/new"])]
    assert world.status() == "completed"


def test_one_that_was_stopped_and_is_started_again_by_a_user_has_the_new_one(tmp_path: Path) -> None:
    side = {"name": "side", "command": "/bin/side"}
    world = world_of(tmp_path, {}, side).play("run; start side; start db; start app; stop db; exit db -15")
    store(world, document({"command": "/bin/new"}, side))
    assert effect(apply(world)) == "ended"
    world.play("kill daemon; boot; force db")
    assert ordered(world)[-1] == (2, ["/bin/new"])


def test_a_recalled_order_that_was_started_all_the_same_is_restarted(tmp_path: Path) -> None:
    """Its producer is a service that is being restarted."""
    world = World(tmp_path, "")
    services = [
        {"name": "base", "kind": "service", "command": "/bin/base"},
        {"name": "db", "kind": "service", "command": "/bin/old", "depends_on": ["base"]},
    ]
    world.define({"name": "wf", "workers": services})
    world.play("run; start base")
    keeper = world.keeper
    keeper.start("db", world.now)
    unsaid, keeper.reports = keeper.reports, []  # it has spawned it, and not said so yet
    world.play("restart base")
    assert world.supervisor.runs.active[1].workers["db"].state == "recalled"
    store(world, {"name": "wf", "workers": [services[0], services[1] | {"command": "/bin/new"}]})
    assert effect(apply(world)) == "to_come"
    keeper.reports += unsaid
    world.settle()
    world.play("exit db -15")
    assert ordered(world)[-1] == (2, ["/bin/new"])


@pytest.mark.parametrize(
    "crash",
    [
        "kill daemon; boot; exit db -15; start db",  # the stop was sent, perhaps not: it is sent again
        "kill daemon; exit db -15; boot; start db",  # its end is in the journal
        "exit db -15; kill daemon; boot; start db",  # the next attempt was ordered, which nobody wrote down
        "exit db -15; start db; kill daemon; boot",  # it was started
        "exit db -15; commit; kill daemon; boot; start db; commit; kill daemon; boot",
        "exit db -15; start db; commit; kill daemon; boot; kill daemon; boot",
    ],
)
def test_a_daemon_that_comes_after_a_crash_finishes_it(tmp_path: Path, crash: str) -> None:
    world = world_of(tmp_path, GRACE).play("run; start db; start app; commit")
    store(world, document({"command": "/bin/new", **LATE}))
    apply(world)
    world.play(crash)
    assert ordered(world) == [(1, ["/bin/old"]), (2, ["/bin/new"])]
    assert [spawned for spawned in world.keeper.spawned if spawned[0] == "db"] == [("db", 1), ("db", 2)]
    assert versions(world) == (2, None)
    assert world.reading.worker("wf", "db").phase == "running"  # its new probe has not passed
    world.play("touch up; wait 2")
    world.supervisor.commit(None)
    assert world.reading.worker("wf", "db").phase == "ready"
    world.play("exit app 0; exit db -15")
    assert (world.statuses(), world.status()) == ({"db": "completed", "app": "completed"}, "completed")


def test_before_its_commit_nothing_has_happened(tmp_path: Path) -> None:
    world = world_of(tmp_path, {}).play("run; start db; start app; commit")
    store(world, document({"command": "/bin/new"}))
    now = world.definitions.current("wf")
    world.supervisor.call_until_done(lambda commands, done: commands.redefine_worker("wf", "db", now, None, done))
    world.play("kill daemon; boot")
    assert (world.keeper.stops, versions(world)) == ([], (None, None))


def test_two_in_a_row_end_in_the_last_one(tmp_path: Path) -> None:
    world = world_of(tmp_path, {}).play("run; start db; start app")
    store(world, document({"command": "/bin/new"}))
    first = apply(world)
    store(world, document({"command": "/bin/newer"}))
    second = apply(world)
    world.play("kill daemon; boot; exit db -15; start db")
    assert not first.done() and not second.done()  # who waited went with the daemon
    assert ordered(world) == [(1, ["/bin/old"]), (2, ["/bin/newer"])]
    store(world, document({"command": "/bin/old"}))
    future = apply(world)
    world.play("exit db -15")
    assert (effect(future), ordered(world)[2:], versions(world)) == ("restarted", [(3, ["/bin/old"])], (4, None))


def test_it_has_the_variables_of_its_version_the_params_of_its_run_and_its_place_in_the_run(tmp_path: Path) -> None:
    params = {"n": {"type": "integer", "default": 1}}
    made = {"name": "made", "command": "/bin/made", "outputs": {"rows": "rows-${{ params.n }}"}}
    reads = {"inputs": {"r": "made/rows"}}
    world = world_of(tmp_path, reads, made, params=params, env_vars={"A": "old"})
    world.run(values={"n": 7})
    world.play("start made; touch rows-7; exit made 0; start db; start app")
    more = {"name": "more", "command": "/bin/more"}
    new = document(
        {"command": "/bin/new ${{ params.n }} ${{ params.m }} ${{ inputs.r }}", **reads},
        more, made | {"outputs": {"rows": "others-${{ params.n }}"}},
        params=params | {"m": {"default": "x"}}, env_vars={"A": "new"},
    )  # fmt: skip
    store(world, new)
    future = apply(world)
    world.play("exit db -15; start db")
    assert effect(future) == "restarted"
    order = world.keeper.find("db", world.keeper.live)
    rows = f"{tmp_path}/work/wf/rows-7"
    assert order["argv"] == ["/bin/new", "7", "x", rows]
    env = order["env"]
    assert (env["A"], env["WATTLE_PARAM_M"], env["WATTLE_INPUT_R"]) == ("new", "x", rows)
    assert (order["tag"], order["stdout"]) == ([1, 1, 2], f"{tmp_path}/logs/1/1.2.out")
    live = world.supervisor.runs.active[1].workers["db"]
    assert live.defined_in(world.supervisor.runs.active[1]) == (2, 2)


def test_the_variables_of_the_workflow_are_a_part_of_a_definition_and_its_place_is_none(tmp_path: Path) -> None:
    world = world_of(tmp_path, {}).play("run; start db; start app")
    store(world, document({}, {"name": "more", "command": "/bin/more"}))
    assert effect(apply(world)) == "unchanged"
    store(world, document({}, env_vars={"A": "1"}))
    future = apply(world)
    world.play("exit db -15")
    assert effect(future) == "restarted"


@pytest.mark.parametrize(
    "new, why",
    [
        ({"depends_on": ["first"], "outputs": {"port": "port"}}, "its inputs or depends_on are others"),
        ({"kind": "task", "outputs": {"port": "port"}}, "it is no service any more"),
        ({"outputs": {"port": "other"}}, "its output 'port', which 'uses' uses, is another"),
        ({"outputs": {"port": "port", "more": "old-log"}}, "its output 'more' is where 'first' of the run writes"),
        ({"command": "/bin/new ${{ params.must }}", "outputs": {"port": "port"}}, "param 'must' is missing"),
    ],
)  # fmt: skip
def test_what_would_change_the_run_is_refused_with_the_reason(tmp_path: Path, new: Any, why: str) -> None:
    first = {"name": "first", "command": "/bin/first", "outputs": {"log": "old-log"}}
    uses = {"name": "uses", "command": "/bin/uses", "inputs": {"p": "db/port"}}
    world = world_of(tmp_path, {"outputs": {"port": "port"}}, first, uses).play("run; start db")
    is_told = {"params": {"must": {"type": "string"}}} if "must" in why else {}
    store(world, document(new, first | {"outputs": {"log": "new-log"}}, uses, **is_told))
    with pytest.raises(Conflict, match=why) as refused:
        apply(world).result(0)
    assert refused.value.code == "NEEDS_NEW_RUN"
    assert (world.keeper.stops, versions(world)) == ([], (None, None))


def test_a_task_and_a_worker_that_is_gone_are_refused_and_a_run_that_is_being_stopped_too(tmp_path: Path) -> None:
    world = world_of(tmp_path, {}).play("run; start db; start app")
    changed = document({"command": "/bin/new"})
    changed["workers"][-1]["command"] = "/bin/other"
    store(world, changed)
    with pytest.raises(Conflict, match="it is no service"):
        apply(world, "app").result(0)
    store(world, {"name": "wf", "workers": changed["workers"][:1]})
    with pytest.raises(Conflict, match="it is no service"):
        apply(world, "app").result(0)
    world.play("stop")
    with pytest.raises(Conflict, match="is being stopped"):
        apply(world).result(0)


def test_a_service_that_runs_alone_keeps_its_params_and_may_change_its_inputs(tmp_path: Path) -> None:
    params = {"n": {"type": "integer", "default": 1}}
    world = world_of(tmp_path, {"command": "/bin/old ${{ params.n }}"}, params=params)
    now, alone = world.definitions.current("wf"), Alone({"n": 7}, {"n": 7})
    world.ask(lambda commands: commands.start_worker("wf", "db", now, True, alone))
    world.play("start db")
    made = {"name": "made", "command": "/bin/made", "outputs": {"rows": "rows"}}
    new = {"command": "/bin/new ${{ params.n }} ${{ inputs.r }}", "inputs": {"r": "made/rows"}}
    store(world, document(new, made, params=params))
    applied = apply(world)
    world.play("exit db -15")
    assert effect(applied) == "restarted"
    assert ordered(world)[-1] == (2, ["/bin/new", "7", f"{tmp_path}/work/wf/rows"])


def test_a_directory_that_cannot_be_made_fails_the_attempt_and_says_so(tmp_path: Path) -> None:
    world = world_of(tmp_path, {}).play("run; start db; start app")
    (tmp_path / "file").touch()
    store(world, document({"working_dir": f"{tmp_path}/file/below"}))
    apply(world)
    world.play("exit db -15")
    assert world.statuses()["db"] == "failed"
    assert "could not be made" in str(world.reasons()["db"])


def test_restarts_of_the_old_definition_do_not_count_for_the_new_one(tmp_path: Path) -> None:
    restart = {"restart": {"limit": 1, "delay_seconds": 0.1}}
    world = world_of(tmp_path, restart).play("run; start db; start app; exit db 1; wait 1; start db")
    store(world, document({"command": "/bin/new", **restart}))
    apply(world)
    world.play("exit db -15; start db; exit db 1; wait 1; start db")
    assert [number for number, _ in ordered(world)] == [1, 2, 3, 4]
    world.play("exit db 1")
    assert world.statuses()["db"] == "failed"


def test_without_an_active_run_there_is_nothing_to_do(tmp_path: Path) -> None:
    world = world_of(tmp_path, {})
    assert effect(apply(world)) == "none"
