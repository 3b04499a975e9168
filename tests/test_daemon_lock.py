"""Who holds a data directory, told to whoever wants it too (F63)."""

import fcntl
import os
import threading
from pathlib import Path

import pytest

from wattle.config import DAEMON_LOCK
from wattle.daemon import lock
from wattle.errors import Refused


def test_the_holder_is_named_though_its_predecessors_pid_is_still_there(tmp_path: Path) -> None:
    """It took the lock this instant, and writes its pid the next."""
    held = os.open(tmp_path / DAEMON_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    os.write(held, b"1\n")
    fcntl.flock(held, fcntl.LOCK_EX)
    mine = threading.Timer(0.1, lambda: os.pwrite(held, b"%d\n" % os.getpid(), 0))
    mine.start()
    try:
        with pytest.raises(Refused, match=rf"\(pid {os.getpid()}\)"):
            lock(str(tmp_path))
    finally:
        mine.join()
        os.close(held)
    os.close(lock(str(tmp_path)))
