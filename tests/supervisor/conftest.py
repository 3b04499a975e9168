"""What every test of the supervisor shares."""

from collections.abc import Iterator

import pytest

from tests.supervisor.world import World


@pytest.fixture(autouse=True)
def _no_world_outlives_its_test() -> Iterator[None]:
    """Eight descriptors each, which would be kept until Python looks for cycles."""
    yield
    for world in list(World.living):
        world.kill()
