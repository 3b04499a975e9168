"""The wall clock is set back by an hour: no back-off, time limit or budget is wrong for it (C13)."""

from pathlib import Path

import pytest

from tests.supervisor.world import World
from wattle.definition.model import Restart
from wattle.engine.restart import restart_at

HOUR = 3_600_000_000


class SetBack(World):
    """A world whose wall clock can be set; its monotonic clock goes on."""

    def set_back(self) -> None:
        clock = self.supervisor.clock
        object.__setattr__(clock, "now", lambda: self.now - HOUR)


def test_a_retry_is_due_when_it_was_to_be(tmp_path: Path) -> None:
    """C13: set back while the attempt runs, whose end is its start and what it lasted."""
    retry = {"limit": 1, "delay_seconds": 4, "jitter": 0}
    world = SetBack(tmp_path, "a", each={"a": {"retry": retry}}).play("run; start a")
    world.set_back()
    world.play("wait 1; exit a 1; wait 3")
    assert world.keeper.queued == {}
    world.play("wait 2; start a; exit a 0")
    assert world.status() == "completed"


def test_a_retry_that_a_former_daemon_planned_is_not_an_hour_late(tmp_path: Path) -> None:
    """C13: set back while no daemon lives."""
    retry = {"limit": 1, "delay_seconds": 4, "jitter": 0}
    world = SetBack(tmp_path, "a", each={"a": {"retry": retry}}).play("run; start a; exit a 1; kill daemon")
    world.now -= HOUR
    world.play("boot; wait 5; start a; exit a 0")
    assert world.status() == "completed"


def test_a_workflows_time_limit_is_not_an_hour_longer(tmp_path: Path) -> None:
    """C13: set back while no daemon lives; the next one cannot know how long that was, and allows the whole again."""
    world = World(tmp_path, "a", timeout_seconds=10).play("run; start a; kill daemon")
    world.now -= HOUR
    world.play("boot; wait 9")
    assert world.status() == "running"
    world.play("wait 2; exit a -15")
    assert world.status() == "failed"


def test_restarts_that_seem_to_come_use_up_no_budget() -> None:
    """C13."""
    restart = Restart(limit=3, window_seconds=60, delay_seconds=1, jitter=0)
    now = 1_700_000_000_000_000
    recent = [now - 3_000_000, now - 2_000_000, now - 1_000_000]
    assert restart_at(restart, recent, now, "uid") is None, "positive control"
    assert restart_at(restart, [instant + HOUR for instant in recent], now, "uid") is not None


@pytest.mark.parametrize("set_back", [False, True])
def test_the_links_of_a_worker_are_made_soon_after_its_start(tmp_path: Path, set_back: bool) -> None:
    """C13: and nothing wakes up again and again for an hour."""
    world = SetBack(tmp_path, "a").play("run; start a")
    if set_back:
        world.set_back()
    world.play("wait 1")
    assert Path(world.path, "work/wf/a/stdout.log").is_symlink()
    world.play("exit a 0")
