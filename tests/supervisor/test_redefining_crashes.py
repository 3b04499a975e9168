"""A daemon that dies at each single step of a restart with a new definition: the next one leaves one copy, of the right
version."""

from pathlib import Path

import pytest

from tests.supervisor.test_redefining import GRACE, apply, document, ordered, store, versions
from tests.supervisor.world import World

STEPS = 25


class Died(BaseException):
    """SIGKILL, in a test."""


class Mortal(World):
    """Its supervisor dies before the step whose number is `fuse`; 0: it does not."""

    fuse = 0

    def settle(self) -> None:
        supervisor = self.supervisor
        for name in ("_decide", "_flush", "_act", "_answer"):
            self._mine(supervisor, name)
        super().settle()

    def _mine(self, supervisor: object, name: str) -> None:
        done = getattr(type(supervisor), name)

        def step(*arguments: object, **options: object) -> None:
            if self.fuse:
                self.fuse -= 1
                if not self.fuse:
                    raise Died
            done(supervisor, *arguments, **options)

        setattr(supervisor, name, step)


def finish(world: Mortal, history: list[str]) -> bool:
    """Play it, dying at the fuse and going on with the next daemon. Whether it died."""
    has_died = False
    for step in history:
        try:
            if step == "apply":
                apply(world)
            else:
                world.play(step)
        except Died:
            has_died = True
            world.play("kill daemon; boot")
    return has_died


@pytest.mark.parametrize("fuse", range(1, STEPS))
@pytest.mark.parametrize(
    "before, after",
    [("run; start db; start app", ["exit db -2", "start db"]), ("run; start db; start app; exit db 1", ["start db"])],
    ids=["running", "in back-off"],
)
def test_whichever_step_a_daemon_dies_at_one_copy_of_the_right_version_is_left(
    tmp_path: Path, before: str, after: list[str], fuse: int
) -> None:
    world = Mortal(tmp_path, "")
    world.define(document(GRACE))
    world.play(f"{before}; commit")
    store(world, document({"command": "/bin/new"}))
    world.fuse = fuse
    has_died = finish(world, ["apply"])
    if versions(world) == (None, None):  # it died before the commit, and the caller had no answer
        assert has_died and world.keeper.stops == []
        finish(world, ["apply"])
    finish(world, after)
    world.fuse = 0
    world.settle()
    assert ordered(world) == [(1, ["/bin/old"]), (2, ["/bin/new"])]
    assert [spawned for spawned in world.keeper.spawned if spawned[0] == "db"] == [("db", 1), ("db", 2)]
    assert versions(world) == (2, None)
    world.play("exit app 0; exit db -15")
    assert (world.statuses(), world.status()) == ({"db": "completed", "app": "completed"}, "completed")
    assert ordered(world, "app") == [(1, ["/bin/app"])]


def test_the_steps_reach_beyond_the_end(tmp_path: Path) -> None:
    """Positive control of the test above: the whole has fewer steps than are tried."""
    world = Mortal(tmp_path, "")
    world.define(document(GRACE))
    world.play("run; start db; start app; commit")
    store(world, document({"command": "/bin/new"}))
    world.fuse = STEPS
    assert not finish(world, ["apply", "exit db -2", "start db"])
    assert 0 < world.fuse < STEPS - 10, "and it has some"
