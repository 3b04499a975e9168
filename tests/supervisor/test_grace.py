"""How long a worker that is being stopped still has, once another keeper has taken it over (F06)."""

from pathlib import Path
from typing import Any

import pytest

from tests.supervisor.world import World


@pytest.mark.parametrize("down_seconds, left", [(0, 10.0), (4, 6.0), (9.5, 1.0), (3600, 1.0), (-3600, 10.0)])
def test_a_new_keeper_gets_what_is_left_of_the_grace(tmp_path: Path, down_seconds: float, left: float) -> None:
    """A second at least, for the dead keeper may not have come to the signal; never more than the whole."""
    world = World(tmp_path, "a", each={"a": {"stop": {"grace_seconds": 10}}}).play("run; start a; stop")
    world.play("kill keeper; kill daemon")
    world.now += round(down_seconds * 1e6)
    world.keeper.frames.clear()
    world.boot()
    assert [frame["grace_seconds"] for frame in stops(world)] == [left]
    assert [entry["uid"] for entry in world.keeper.adopted] == [stops(world)[0]["uid"]]


def test_a_keeper_that_lives_counts_the_grace_itself(tmp_path: Path) -> None:
    world = World(tmp_path, "a").play("run; start a; stop; kill daemon")
    world.now += 5_000_000
    world.keeper.frames.clear()
    world.boot()
    assert ["grace_seconds" in frame for frame in stops(world)] == [False]


def stops(world: World) -> list[dict[str, Any]]:
    return [frame for frame in world.keeper.frames if frame["type"] == "stop"]
