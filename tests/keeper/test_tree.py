"""Whose an orphan is, where two workers might both claim it."""

import os
import signal
from collections.abc import Iterator

import pytest
from keeper.client import until

from wattle.keeper import proc
from wattle.keeper.tree import Family
from wattle.keeper.worker import Stop, Worker


def _worker(uid: str, pid: int, *, leader_alive: bool) -> Worker:
    worker = Worker(uid, b"", "run", True, Stop(None))
    worker.pid, worker.leader_alive, worker.adopted = pid, leader_alive, True
    return worker


@pytest.fixture
def marked() -> Iterator[int]:
    """A process of ours in a session of its own that carries the marker of worker `mine`."""
    pid = os.posix_spawn("/bin/sleep", ["sleep", "60"], {"WATTLE_ATTEMPT_UID": "mine"}, setsid=True)
    until(lambda: proc.marker(pid) == "mine", "its exec")
    yield pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


@pytest.mark.parametrize("leader_alive", [False, True])
def test_the_number_of_a_session_that_is_over_gives_no_claim_against_a_marker(marked: int, leader_alive: bool) -> None:
    """C7: the pid of a leader that is gone is used again, and becomes the number of another worker's session. While
    the leader is there it cannot be: then the session is proof enough."""
    family = Family()
    others, mine = _worker("others", marked, leader_alive=leader_alive), _worker("mine", 1, leader_alive=True)
    family.add(others)
    family.add(mine)
    family.refresh()
    owner = others if leader_alive else mine
    assert owner.orphans == {marked: proc.start_ticks(marked)}
    assert (mine if leader_alive else others).orphans == {}


def test_control_what_nobody_claims_against_it_the_session_decides(marked: int) -> None:
    strangers = Family().refresh()  # it, and whatever else descends from these tests
    family = Family()
    others = _worker("others", marked, leader_alive=False)
    family.add(others)
    assert family.refresh() == strangers - 1
    assert marked in others.orphans
