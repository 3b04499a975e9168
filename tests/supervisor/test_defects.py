"""A defect of ours may not leave a run waiting for ever."""

from pathlib import Path

import pytest

from tests.supervisor.world import World
from wattle.supervisor import files


def crash(*_: object) -> None:
    raise RuntimeError("a defect")


def run_jobs(world: World) -> None:
    """As the pool does: a job that raises comes back as a message."""
    for _ in range(5):
        for job in world.supervisor.outbox.take_jobs():
            world.supervisor._run_job(job)
        world.settle()


def test_a_look_that_crashes_fails_the_worker_and_says_whose_fault_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = {"a": {"outputs": {"x": "x.txt"}}}
    world = World(tmp_path, "a -> b", each=each).play("run; start a")
    monkeypatch.setattr(files, "look_at_outputs", crash)
    world.keeper.end("a", world.now, exit_code=0)
    frames, world.keeper.reports = world.keeper.reports, []
    world.supervisor._decide(frames)
    run_jobs(world)
    assert world.statuses() == {"a": "failed", "b": "cancelled"}
    assert "defect of Wattle" in str(world.reasons()["a"])


def test_a_preparation_that_crashes_does_not_hold_up_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, "a")
    monkeypatch.setattr(files, "prepare", crash)
    definition = world.definitions.current("wf")
    supervisor = world.supervisor
    monkeypatch.setattr(supervisor, "_submit", supervisor._run_job)
    supervisor.call(lambda c: c.start_workflow("wf", definition, idempotency_key=None, trigger="test"))
    supervisor._decide([])
    supervisor._answer()
    world.settle()
    assert len(world.keeper.queued) == 1


@pytest.mark.parametrize("is_own", [False, True])
def test_files_made_for_a_run_that_was_not_committed_are_not_taken_for_those_of_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_own: bool
) -> None:
    """They are made while the commit is under way, and the id of a run that was given up goes to the next one."""
    world = World(tmp_path, "a")
    supervisor = world.supervisor
    monkeypatch.setattr(supervisor, "_submit", lambda job: None)  # they take long
    definition = world.definitions.current("wf")
    supervisor.call(lambda c: c.start_workflow("wf", definition, idempotency_key=None, trigger="test"))
    world.settle()
    (run,) = supervisor.runs.active.values()
    uid = run.row.uuid if is_own else "0" * 32
    supervisor.post(lambda: supervisor._job_done(files.Prepared(run.id, uid, {})))
    world.settle()
    assert len(world.keeper.queued) == (1 if is_own else 0)
