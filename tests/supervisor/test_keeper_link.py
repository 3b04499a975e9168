"""The daemon's end of the socket to the keeper."""

import socket
import threading
from pathlib import Path

import pytest

from tests.supervisor.world import World
from wattle.keeper.protocol import encode
from wattle.supervisor.keeper_link import KeeperGone, KeeperLink

HELLO = {"type": "hello", "keeper_id": "k", "boot_id": "b", "seq": 0, "live": [], "queued": []}


@pytest.mark.parametrize("rubbish", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x02[]", b"\x00\x00\x00\x01x"])
def test_what_is_no_frame_is_the_end_of_the_connection_and_of_nothing_else(rubbish: bytes) -> None:
    for is_greeted in (False, True):
        ours, its = socket.socketpair()
        its.sendall((encode(HELLO) if is_greeted else b"") + rubbish)
        with pytest.raises(KeeperGone, match="frame"):
            KeeperLink(ours, 1).receive()
        its.close()
        ours.close()


def test_what_comes_together_with_the_hello_is_taken_in_though_nothing_follows(tmp_path: Path) -> None:
    """Nothing is on the socket any more that would tell of it: an end that was lost here was lost for ever."""
    world = World(tmp_path, "a")
    supervisor = world.supervisor
    supervisor.link = None
    early = {"type": "withdrawn", "uids": ["u"], "request": 0}
    ours, its = socket.socketpair()
    its.sendall(encode(HELLO) + encode(early))
    link = KeeperLink(ours, 1)
    assert link.has_early
    supervisor.attach(link)
    late = threading.Timer(5.0, lambda: supervisor.post(lambda: None))
    late.start()
    try:
        while supervisor._inbox:
            supervisor._inbox.popleft()
        assert supervisor._wait() == [early]
        assert not link.has_early
        its.sendall(encode(early | {"request": 1}))
        assert supervisor._wait() == [early | {"request": 1}]
    finally:
        late.cancel()
        its.close()
