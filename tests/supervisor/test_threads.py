"""What the loop does where no thread can be started (F66)."""

import threading
from pathlib import Path

from tests.supervisor.world import World
from wattle.supervisor.loop import Supervisor

TOO_MUCH = 1 << 46  # bytes of stack, which no machine has: Python says "can't start new thread"


def test_a_job_waits_until_a_thread_can_be_started(tmp_path: Path) -> None:
    """F66: and is done though no other job comes."""
    world, done = World(tmp_path, "a"), threading.Event()
    threading.stack_size(TOO_MUCH)
    try:
        Supervisor._submit(world.supervisor, done.set)
        assert not done.wait(0.05), "positive control"
        world.pass_time(1)
        assert not done.wait(0.05), "it is tried, in vain"
    finally:
        threading.stack_size(0)
    world.pass_time(1)
    assert done.wait(10)
