"""Deletes by force among other wishes: nothing runs of what is not there any more (F60, F61)."""

from pathlib import Path
from typing import Any

from tests.supervisor.world import World


def delete(world: World) -> Any:
    return world.begin(lambda commands, done: commands.delete_workflow("wf", True, done))


def restart(world: World) -> Any:
    definition = world.definitions.current("wf")
    return world.begin(lambda commands, done: commands.restart_workflow("wf", definition, done))


def test_a_run_that_was_begun_while_a_delete_waited_is_ended_too(tmp_path: Path) -> None:
    """F61: a restart waited for the same end and was first."""
    world = World(tmp_path, "a").play("run; start a")
    restarted, deleted = restart(world), delete(world)
    world.play("exit a -15")
    assert restarted.exception(0) is None, "it was first, and started run 2"
    assert world.queries.run(2).status == "cancelled"
    assert world.keeper.queued == {} and not world.supervisor.runs.active
    assert deleted.done() and deleted.exception(0) is None
    assert world.queries.workflow("wf") is None


def test_of_two_deletes_one_finds_nothing(tmp_path: Path) -> None:
    """F60: there is an order in which they happened."""
    world = World(tmp_path, "a").play("run; start a")
    first, second = delete(world), delete(world)
    world.play("exit a -15")
    assert first.exception(0) is None
    assert second.exception(0).code == "WORKFLOW_NOT_FOUND"
    kinds = [event.kind for event in world.queries.events(after=0, limit=100)]
    assert kinds.count("workflow.deleted") == 1
