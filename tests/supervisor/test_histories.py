"""Histories of a run, driven through whole turns with a keeper that the test plays."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.disks import small_disk
from tests.supervisor.world import World
from wattle.supervisor import files

RETRY = {"fetch": {"retry": {"limit": 2, "delay_seconds": 10}}}


@pytest.mark.parametrize(
    ("history", "ends_as", "workers"),
    [
        ("start fetch; exit fetch 0; start load; exit load 0", "completed", "completed completed"),
        ("start fetch; exit fetch 7", "failed", "failed cancelled"),
        ("start fetch; exit fetch -9", "failed", "failed cancelled"),
        ("refuse fetch", "failed", "failed cancelled"),
        ("start fetch; stop; exit fetch -15", "cancelled", "cancelled cancelled"),
        ("start fetch; stop fetch; exit fetch 0", "cancelled", "cancelled cancelled"),
        ("stop", "cancelled", "cancelled cancelled"),
        ("start fetch; exit fetch 0; stop load", "cancelled", "completed cancelled"),
        ("start fetch; stop load; exit fetch 0", "cancelled", "completed cancelled"),
        ("start fetch; restart fetch; exit fetch -15; start fetch; exit fetch 0; start load; exit load 0",
         "completed", "completed completed"),
        ("start fetch; exit fetch 0; restart fetch; start fetch; exit fetch 0; start load; exit load 0",
         "completed", "completed completed"),
        ("start fetch; exit fetch 0; start load; restart fetch; start fetch; exit load 0; exit fetch 0",
         "completed", "completed completed"),
        ("start fetch; stop fetch; restart fetch; exit fetch -15; start fetch; exit fetch 0; start load; exit load 0",
         "completed", "completed completed"),
        ("force load; start load; start fetch; exit load 0; exit fetch 0", "completed", "completed completed"),
        # the daemon dies
        ("start fetch; kill daemon; boot; exit fetch 0; start load; exit load 0", "completed", "completed completed"),
        ("kill daemon; boot; start fetch; exit fetch 0; start load; exit load 0", "completed", "completed completed"),
        ("start fetch; kill daemon; exit fetch 0; boot; start load; exit load 0", "completed", "completed completed"),
        ("kill daemon; start fetch; exit fetch 7; boot", "failed", "failed cancelled"),
        ("start fetch; exit fetch 0; kill daemon; start load; exit load 0; boot", "completed", "completed completed"),
        ("start fetch; exit fetch 0; commit; kill daemon; boot; start load; kill daemon; exit load 3; boot",
         "failed", "completed failed"),
        ("start fetch; stop; kill daemon; boot; exit fetch -15", "cancelled", "cancelled cancelled"),
        ("start fetch; stop; kill daemon; exit fetch -15; boot", "cancelled", "cancelled cancelled"),
        ("start fetch; restart fetch; kill daemon; boot; exit fetch -15; start fetch; exit fetch 0; start load; "
         "exit load 0", "completed", "completed completed"),
    ],
)  # fmt: skip
def test_a_history_ends_as_it_should(tmp_path: Path, history: str, ends_as: str, workers: str) -> None:
    world = World(tmp_path, "fetch -> load").play("run; " + history)
    assert (world.status(), " ".join(world.statuses().values())) == (ends_as, workers)
    assert len(set(world.keeper.spawned)) == len(world.keeper.spawned), "no attempt was ever started twice"
    assert not world.supervisor.runs.active
    assert all(answer.done() for answer in world.answers if hasattr(answer, "done"))


def test_a_failure_says_why_and_whom_it_took_along(tmp_path: Path) -> None:
    world = World(tmp_path, "a -> b; b -> c; x").play("run; start a; start x; exit a 3; exit x 0")
    assert world.reasons() == {
        "a": "exit code 3",
        "b": "it needs a, which failed (exit code 3)",
        "c": "it needs a through b, which failed (exit code 3)",
        "x": None,
    }
    assert world.reading.workflow("wf").reason == "a failed: exit code 3"


def test_the_last_line_of_stderr_is_part_of_the_reason(tmp_path: Path) -> None:
    """A14."""
    world = World(tmp_path, "a").play("run; start a")
    Path(next(iter(world.keeper.live.values()))["stderr"]).write_text("first\nboom: no such file\n")
    world.play("exit a 3")
    assert world.reasons()["a"] == "exit code 3: boom: no such file"


def test_every_waiting_worker_explains_itself(tmp_path: Path) -> None:
    world = World(tmp_path, "a -> b; c", max_parallel=1).play("run; start a")
    reasons = world.reasons()
    assert reasons["b"] == "waits for a (not finished)"
    assert reasons["c"] is not None and "max_parallel" in reasons["c"]


def test_a_retry_waits_for_its_delay_and_counts_as_running(tmp_path: Path) -> None:
    world = World(tmp_path, "fetch -> load", each=RETRY).play("run; start fetch; exit fetch 1")
    view = world.reading.worker("wf", "fetch")
    world.supervisor.commit(None)
    view = world.reading.worker("wf", "fetch")
    assert (view.status, view.phase, view.attempt) == ("running", "retrying", 1)
    world.pass_time(9)
    assert not world.keeper.queued
    world.pass_time(1.1)
    world.play("start fetch; exit fetch 0; start load; exit load 0")
    assert world.status() == "completed"
    assert [attempt.number for attempt in world.reading.run("1").attempts if attempt.worker == "fetch"] == [1, 2]


def test_retries_end_with_their_limit(tmp_path: Path) -> None:
    """A29: `retry.limit` counts the retries after the first attempt."""
    world = World(tmp_path, "fetch -> load", each=RETRY)
    world.play("run; start fetch; exit fetch 1; wait 11; start fetch; exit fetch 1; wait 21; start fetch; exit fetch 1")
    assert world.status() == "failed"
    assert world.keeper.spawned == [("fetch", 1), ("fetch", 2), ("fetch", 3)]


def test_a_stop_during_the_back_off_is_final(tmp_path: Path) -> None:
    """R4."""
    world = World(tmp_path, "fetch -> load", each=RETRY).play("run; start fetch; exit fetch 1; stop fetch; wait 30")
    assert world.statuses() == {"fetch": "cancelled", "load": "cancelled"}
    assert world.keeper.spawned == [("fetch", 1)]


def test_a_retry_that_was_due_while_the_daemon_was_dead_happens_once(tmp_path: Path) -> None:
    """F09."""
    world = World(tmp_path, "fetch", each=RETRY).play("run; start fetch; exit fetch 1; commit; kill daemon")
    world.now += 60_000_000
    world.play("boot; wait 0.1; start fetch; exit fetch 0")
    assert world.status() == "completed"
    assert world.keeper.spawned == [("fetch", 1), ("fetch", 2)]


def test_a_retry_ordered_by_a_dead_daemon_is_found_in_the_keepers_queue(tmp_path: Path) -> None:
    world = World(tmp_path, "fetch", each=RETRY).play("run; start fetch; exit fetch 1; commit")
    world.now += 11_000_000
    supervisor = world.supervisor
    supervisor._decide([])
    supervisor._act()  # the order is sent, nothing is written
    assert len(world.keeper.queued) == 1
    world.play("kill daemon; boot; start fetch; exit fetch 0")
    assert world.status() == "completed"


def test_a_spawn_error_that_no_retry_mends_is_not_retried(tmp_path: Path) -> None:
    world = World(tmp_path, "fetch", each=RETRY).play("run; refuse fetch; wait 60")
    assert world.status() == "failed"
    assert world.reasons()["fetch"] == "it was not found"


def test_the_workflows_time_limit_fails_what_runs_and_cancels_the_rest(tmp_path: Path) -> None:
    world = World(tmp_path, "a -> b; c", timeout_seconds=60).play("run; start a; wait 61; exit a -15")
    assert world.statuses() == {"a": "failed", "b": "cancelled", "c": "cancelled"}
    assert world.reasons()["a"] == "workflow timed out"
    assert world.reading.workflow("wf").reason == "workflow timed out after 60 s"


def test_the_time_limit_counts_the_time_without_a_daemon(tmp_path: Path) -> None:
    world = World(tmp_path, "a", timeout_seconds=60).play("run; start a; kill daemon")
    world.now += 61_000_000
    world.play("boot; wait 0.2; exit a -15")
    assert world.statuses() == {"a": "failed"}


def test_a_missing_output_is_looked_for_again_for_a_second(tmp_path: Path) -> None:
    """A2: shared file systems are late."""
    each = {"a": {"outputs": {"x": "x.txt", "y": "y.txt"}}}
    world = World(tmp_path, "a -> b", each=each).play("run; start a; exit a 0; wait 0.5")
    assert world.statuses()["a"] == "running"
    (tmp_path / "work/wf/x.txt").write_text("x")
    (tmp_path / "work/wf/y.txt").write_text("y")
    world.play("wait 0.2; start b; exit b 0")
    assert world.status() == "completed"


def test_outputs_that_never_come_fail_the_worker_and_are_named(tmp_path: Path) -> None:
    each = {"a": {"outputs": {"x": "x.txt", "y": "y.txt"}}}
    world = World(tmp_path, "a -> b", each=each).play("run; start a; exit a 0; wait 2")
    view = world.reading.worker("wf", "a")
    assert view.reason_code == "OUTPUT_MISSING"
    assert f"{tmp_path}/work/wf/x.txt, {tmp_path}/work/wf/y.txt" in str(view.reason)
    assert world.statuses() == {"a": "failed", "b": "cancelled"}


def test_a_consumer_that_started_proves_its_producers_outputs(tmp_path: Path) -> None:
    """The daemon died between the look at the outputs and its commit, and the consumer has taken the file away."""
    each = {"a": {"outputs": {"x": "x.txt", "y": "y.txt"}}}
    world = World(tmp_path, "a -> b", each=each).play("run; start a")
    for name in ("x.txt", "y.txt"):
        (tmp_path / "work/wf" / name).write_text("x")
    supervisor = world.supervisor
    world.keeper.end("a", world.now, exit_code=0)
    frames, world.keeper.reports = world.keeper.reports, []
    supervisor._decide(frames)
    for job in supervisor.outbox.take_jobs():
        supervisor._job_done(job())
    supervisor._act()
    world.keeper.start("b", world.now)
    (tmp_path / "work/wf/x.txt").unlink()
    world.play("kill daemon; boot; wait 2; exit b 0")
    assert world.statuses() == {"a": "completed", "b": "completed"}


def test_a_restart_waits_for_the_old_process_and_spares_the_descendants(tmp_path: Path) -> None:
    world = World(tmp_path, "a -> b").play("run; start a; restart a")
    assert not world.answers[-1].done()
    assert world.statuses() == {"a": "running", "b": "created"}
    world.play("exit a -15")
    assert world.answers[-1].done()
    world.play("start a; exit a 0; start b; exit b 0")
    assert world.keeper.spawned == [("a", 1), ("a", 2), ("b", 1)]


def test_a_start_of_the_culprit_brings_its_descendants_back(tmp_path: Path) -> None:
    world = World(tmp_path, "a -> b; x").play("run; start a; start x; exit a 1")
    assert world.statuses()["b"] == "cancelled"
    world.play("again a; start a; exit a 0; start b; exit b 0; exit x 0")
    assert world.status() == "completed"


def test_an_ordered_consumer_is_recalled_when_its_producer_begins_again(tmp_path: Path) -> None:
    world = World(tmp_path, "a -> b").play("run; start a; exit a 0")
    assert len(world.keeper.queued) == 1
    world.play("restart a")
    assert [order["env"]["WATTLE_WORKER"] for order in world.keeper.queued.values()] == ["a"]
    world.play("start a; exit a 0; start b; exit b 0")
    assert world.status() == "completed"


def test_a_new_run_begins_with_nothing_of_the_old_one(tmp_path: Path) -> None:
    """A12."""
    world = World(tmp_path, "a -> b").play("run; start a; exit a 1; run")
    assert world.statuses() == {"a": "created", "b": "created"}
    assert world.reasons()["b"] == "waits for a (not finished)"
    world.play("start a; exit a 0; start b; exit b 0")
    assert world.status() == "completed"


def test_max_parallel_is_the_keepers_to_hold_and_it_is_told(tmp_path: Path) -> None:
    world = World(tmp_path, "a; b; c", max_parallel=2).play("run")
    limits = [frame for frame in world.keeper.frames if frame["type"] == "limits"]
    assert limits[-1]["groups"] == {"1": 2}
    assert len(world.keeper.queued) == 3


def test_workers_go_to_the_keeper_in_order_of_priority(tmp_path: Path) -> None:
    world = World(tmp_path, "a; b; c", each={"c": {"priority": 9}}).play("run")
    orders = list(world.keeper.orders.values())
    assert [order["env"]["WATTLE_WORKER"] for order in orders] == ["c", "a", "b"]
    assert [order["priority"] for order in orders] == [9, 0, 0]


def test_a_keeper_that_dies_has_its_workers_adopted_by_the_next(tmp_path: Path) -> None:
    world = World(tmp_path, "a; b", max_parallel=1).play("run; start a; commit; kill keeper; kill daemon; boot")
    assert [worker["uid"] for worker in world.keeper.adopted] == [
        attempt.uuid for attempt in world.reading.run("1").attempts if attempt.worker == "a"
    ]
    assert world.keeper.adopted[0]["uncertain"] is False
    assert [order["env"]["WATTLE_WORKER"] for order in world.keeper.queued.values()] == ["b"]


def test_an_attempt_that_may_have_been_started_is_not_started_again(tmp_path: Path) -> None:
    """Its log exists, its start was never journaled: the new keeper looks for it, nobody spawns it."""
    world = World(tmp_path, "a").play("run; commit")
    log = Path(next(iter(world.keeper.queued.values()))["stdout"])
    log.touch()
    world.play("kill keeper; kill daemon; boot")
    assert not world.keeper.queued
    assert [worker["uncertain"] for worker in world.keeper.adopted] == [True]


def test_an_attempt_of_which_nothing_was_written_is_not_started_again(tmp_path: Path) -> None:
    """C6: ordered ahead of the commit, spawned by a keeper that came no further; daemon and keeper died."""
    world = World(tmp_path, "a -> b").play("run; start a; commit; exit a 0")
    log = Path(next(iter(world.keeper.queued.values()))["stdout"])
    log.touch()
    world.play("kill keeper; kill daemon; boot")
    assert not world.keeper.queued
    assert [(worker["uncertain"], worker["tag"][1]) for worker in world.keeper.adopted] == [(True, 1)]


def test_the_end_of_what_an_unwritten_attempt_was_adopted_for_is_not_lost_with_the_daemon(tmp_path: Path) -> None:
    """C6: the daemon that had it adopted dies before it writes anything down; the next one finds an end in the journal
    of an attempt that it knows nothing of. Ordered again it would never be told: the keeper knows that it has ended."""
    world = World(tmp_path, "a -> b").play("run; start a; commit; exit a 0")
    order = next(iter(world.keeper.queued.values()))
    Path(order["stdout"]).touch()
    unknown = {"exit_code": None, "signal": None, "cause": None, "known": False, "duration_us": 0}
    world.play("kill keeper; kill daemon")
    world.keeper.record(order, kind="ended", at=world.now, started_at=world.now, **unknown)
    world.play("boot; wait 0.1")
    assert world.statuses() == {"a": "completed", "b": "failed"}
    assert world.reasons()["b"] == "exit status unknown" and world.status() == "failed"


def test_a_keeper_that_is_found_is_asked_too_for_what_its_predecessor_may_have_started(tmp_path: Path) -> None:
    """The daemon that started the keeper died before it had told it what to adopt."""
    world = World(tmp_path, "a").play("run; commit")
    Path(next(iter(world.keeper.queued.values()))["stdout"]).touch()
    world.play("kill keeper; kill daemon; boot")
    world.keeper.adopted.clear()
    world.play("kill daemon; boot")
    assert not world.keeper.queued
    assert [worker["uncertain"] for worker in world.keeper.adopted] == [True]


def test_after_a_reboot_what_ran_has_failed_and_the_rest_goes_on(tmp_path: Path) -> None:
    """F17, C8."""
    world = World(tmp_path, "a -> b; x", each={"x": {"retry": {"limit": 1, "delay_seconds": 0}}})
    world.play("run; start a; start x; commit; kill keeper; kill daemon")
    world.keeper.boot_id = "another boot"
    world.play("boot; wait 0.1")
    assert world.reasons()["a"] == "the machine restarted"
    assert world.statuses() == {"a": "failed", "b": "cancelled", "x": "created"}
    assert not world.keeper.adopted
    world.play("start x; exit x 0")
    assert world.status() == "failed"


def test_an_idempotency_key_names_one_run(tmp_path: Path) -> None:
    world = World(tmp_path, "a")
    first = world.run(idempotency_key="k")
    assert world.run(idempotency_key="k") == first
    assert len(world.queries.active_runs()) == 1


def test_events_tell_each_state_once_and_in_order(tmp_path: Path) -> None:
    world = World(tmp_path, "a -> b").play("run; start a; exit a 0; start b; exit b 5")
    world.supervisor.commit(None)
    events = world.reading.events(after=0)
    assert [(event.subject, event.kind) for event in events] == [
        ("wf", "workflow.created"),
        ("wf", "run.started"),
        ("wf/a", "worker.running"),
        ("wf/a", "worker.completed"),
        ("wf/b", "worker.running"),
        ("wf/b", "worker.failed"),
        ("wf", "run.failed"),
    ]
    assert [event.id for event in events] == sorted({event.id for event in events})


def test_a_keeper_that_cannot_be_replaced_at_once_is_tried_again(tmp_path: Path) -> None:
    world = World(tmp_path, "a -> b").play("run; start a; commit; kill keeper")
    keeper, connect = world.keeper, world.keeper.connect
    tries = []

    def refuse() -> None:
        tries.append(1)
        raise OSError("no more processes")

    keeper.connect = refuse  # type: ignore[assignment]
    world.supervisor.lose_keeper("it died")
    world.settle()
    world.pass_time(5)
    assert len(tries) >= 2
    assert world.supervisor.link is None
    keeper.connect = connect  # type: ignore[method-assign]
    world.pass_time(3)
    assert world.supervisor.link is not None
    assert len(keeper.adopted) == 1


def test_a_stop_in_the_same_turn_as_the_order_does_not_overtake_it(tmp_path: Path) -> None:
    """The keeper would answer that it knows no such worker, and start it afterwards."""
    world = World(tmp_path, "a")
    definition = world.definitions.current("wf")
    supervisor = world.supervisor
    supervisor.call(lambda c: c.start_workflow("wf", definition, idempotency_key=None, trigger="test"))
    supervisor._decide([])
    supervisor._answer()
    for job in supervisor.outbox.take_jobs():
        supervisor._job_done(job())  # the run is prepared: its worker is ordered
    stopped = world.begin(lambda commands, done: commands.stop_workflow("wf", done))
    types = [frame["type"] for frame in world.keeper.frames if frame["type"] in ("order", "stop")]
    assert types == ["order", "stop"]
    assert stopped.done() and not world.keeper.queued
    assert world.status() == "cancelled"


@pytest.fixture(params=["with attributes", "without attributes"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """On a file system that has extended attributes, and on one that has not (many network file systems)."""
    if request.param == "with attributes":
        (tmp_path / "work" / "disk").mkdir(parents=True)
        yield tmp_path / "work" / "disk"
        return
    with small_disk(tmp_path / "work", "ramfs") as disk:
        with pytest.raises(OSError, match="not supported"):
            os.setxattr(disk, "user.x", b"")
        yield disk


def test_standard_output_is_captured_once_while_another_output_is_late(tmp_path: Path, place: Path) -> None:
    each = {"a": {"outputs": {"x": "x.txt", "y": "y.txt"}, "stdout": "x"}}
    world = World(tmp_path, "a", each=each, working_dir=str(place)).play("run; start a")
    Path(next(iter(world.keeper.live.values()))["stdout"]).write_text("printed\n")
    world.play("exit a 0; wait 0.5")
    (place / "y.txt").write_text("late")
    world.play("wait 0.3")
    assert world.status() == "completed"
    assert world.reading.worker("wf", "a").notices == (f"its standard output was saved as {place}/x.txt",)
    assert (place / "x.txt").read_text() == "printed\n"


def printed(world: World, worker: str, text: str) -> None:
    order = world.keeper.find(worker, world.keeper.live)
    Path(order["stdout"]).write_text(text)


def test_only_what_wattle_itself_captured_is_replaced(tmp_path: Path, place: Path) -> None:
    """A1."""
    world = World(tmp_path, "a", each={"a": {"outputs": {"x": "x.txt"}}}, working_dir=str(place))
    saved = place / "x.txt"
    for text in ("first\n", "second\n"):
        world.play("run; start a")
        printed(world, "a", text)
        world.play("exit a 0")
        assert (world.status(), saved.read_text()) == ("completed", text)
    saved.write_text("mine\n")
    world.play("run; start a")
    printed(world, "a", "third\n")
    world.play("exit a 0")
    assert (world.status(), saved.read_text()) == ("completed", "mine\n")


def test_a_pipe_in_the_place_of_the_copy_holds_nobody_up(tmp_path: Path) -> None:
    """A worker knows its uid, and so the copy's name; who opens a pipe to write waits for a reader."""
    target = tmp_path / "work" / "wf" / "x.txt"
    world = World(tmp_path, "a", each={"a": {"outputs": {"x": "x.txt"}}}).play("run; start a")
    printed(world, "a", "text\n")
    (uid,) = world.keeper.live
    os.mkfifo(f"{target}.wattle-{uid[-12:]}")
    world.play("exit a 0")
    assert world.reasons()["a"] == f"standard output could not be saved as {target}: No such device or address"


def test_a_capture_that_was_not_written_down_before_a_crash_is_still_known(tmp_path: Path, place: Path) -> None:
    world = World(tmp_path, "a -> b", each={"a": {"outputs": {"x": "x.txt"}}}, working_dir=str(place))
    world.play("run; start a; commit")
    printed(world, "a", "whole\n")
    world.keeper.end("a", world.now, exit_code=0)
    frames, world.keeper.reports = world.keeper.reports, []
    supervisor = world.supervisor
    supervisor._decide(frames)
    for job in supervisor.outbox.take_jobs():
        job()  # the copy is made, and where that is safe renamed; nothing is committed
    world.play("kill daemon; boot; start b; exit b 0")
    assert world.status() == "completed"
    assert (place / "x.txt").read_text() == "whole\n"
    assert not [path.name for path in place.iterdir() if ".wattle-" in path.name]
    world.play("run; start a")
    printed(world, "a", "again\n")
    world.play("exit a 0; start b; exit b 0")
    assert (place / "x.txt").read_text() == "again\n"


def test_a_stop_of_a_run_tells_of_all_its_workers(tmp_path: Path) -> None:
    world = World(tmp_path, "a; b; c").play("run; start a; start b; exit b 0; stop; exit a -15")
    stop = world.answers[-1].result(0)
    assert stop.signalled == tuple(a.uuid for a in world.reading.run("1").attempts if a.worker == "a")


def held_syncs(world: World, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The paths of each sync asked for from now on; none is done."""
    asked: list[list[str]] = []
    supervisor, submit = world.supervisor, world.supervisor._submit

    def hold(job: partial[object]) -> None:
        if job.func is files.sync:
            asked.append(list(job.args[0]))
        else:
            submit(job)

    monkeypatch.setattr(supervisor, "_submit", hold)
    return asked


def test_a_completion_is_committed_after_its_captured_file_is_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The consumer need not wait for that, and what is gathered meanwhile does not put it off."""
    world = World(tmp_path, "a -> b", each={name: {"outputs": {"x": f"{name}.txt"}} for name in "ab"})
    world.play("run; start a; wait 0.1")
    asked = held_syncs(world, monkeypatch)
    printed(world, "a", "whole\n")
    world.play("exit a 0; start b; wait 0.1")
    assert asked == [[f"{tmp_path}/work/wf/a.txt"]]
    assert {view.name: view.status for view in world.reading.workers("wf")} == {"a": "running", "b": "created"}
    printed(world, "b", "whole\n")
    world.play("exit b 0")
    world.supervisor._job_done(files.Synced())
    world.settle()
    assert {view.name: view.status for view in world.reading.workers("wf")} == {"a": "completed", "b": "running"}
    assert asked[1:] == [[f"{tmp_path}/work/wf/b.txt"]]
    assert world.reading.workflow("wf").status == "running"
    world.supervisor._job_done(files.Synced())
    world.settle()
    assert world.reading.workflow("wf").status == "completed"


def test_a_file_system_that_does_not_sync_keeps_nobody_waiting_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, "a", each={"a": {"outputs": {"x": "a.txt"}}}).play("run; start a; wait 0.1")
    asked = held_syncs(world, monkeypatch)
    printed(world, "a", "whole\n")
    world.play("exit a 0; wait 0.5")
    assert (len(asked), world.reading.workflow("wf").status) == (1, "running")
    world.play("wait 0.7")
    assert world.reading.workflow("wf").status == "completed"


@pytest.mark.parametrize("code, status", [(0, "completed"), (3, "completed"), (1, "failed")])
def test_who_needs_a_worker_starts_after_each_of_its_good_exit_codes(tmp_path: Path, code: int, status: str) -> None:
    """R5."""
    world = World(tmp_path, "a -> b", each={"a": {"success_exit_codes": [0, 3]}}).play(f"run; start a; exit a {code}")
    if status == "completed":
        world.play("start b; exit b 0")
    assert world.statuses() == {"a": status, "b": "completed" if status == "completed" else "cancelled"}
