"""Real process trees to measure. Each program prints `ready` when it has its shape."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeVar

import pytest

from wattle.keeper import proc
from wattle.keeper.tree import find_marked
from wattle.store.rows import AttemptRow

T = TypeVar("T")

SLEEP = "print('ready', flush=True); import time; time.sleep(600)"
BURN = "print('ready', flush=True)\nwhile True: pass"
# Two children, one of them of another thread than the first.
TREE = f"""
import subprocess, sys, threading
def child(): subprocess.Popen([sys.executable, '-c', {SLEEP!r}], stdout=subprocess.PIPE).stdout.readline()
thread = threading.Thread(target=lambda: (child(), is_there.set(), stop.wait()))
is_there, stop = threading.Event(), threading.Event()
thread.daemon = True
thread.start()
child()
is_there.wait()
{SLEEP}
"""


class Trees:
    """Starts programs as the keeper does, and ends all that descends from them."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen[str]] = []
        self.uids: set[str] = set()

    def __call__(self, program: str, position: int = 0) -> AttemptRow:
        """Its attempt, once it is ready."""
        uid = str(uuid.uuid4())
        self.uids.add(uid)
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=os.environ | {"WATTLE_ATTEMPT_UID": uid},
        )
        self.started.append(process)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        ticks = proc.start_ticks(process.pid)
        return AttemptRow(uid, 1, position, f"w{position}", 1, "running", pid=process.pid, start_ticks=ticks)

    def tell(self, place: int = 0) -> None:
        """Let the program go on that waits for a line."""
        pipe = self.started[place].stdin
        assert pipe is not None
        pipe.write("go\n")
        pipe.flush()

    def end(self, place: int = 0) -> None:
        process = self.started[place]
        process.kill()
        process.wait()


@pytest.fixture
def trees() -> Iterator[Trees]:
    trees = Trees()
    yield trees
    for process in trees.started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
    for found in find_marked(trees.uids).values():
        for pid in found:
            os.kill(pid, 9)


def eventually(look: Callable[[], T], within_seconds: float = 60.0) -> T:
    until = time.monotonic() + within_seconds
    while not (value := look()):
        assert time.monotonic() < until, f"not within {within_seconds} s: {value!r}"
        time.sleep(0.01)
    return value
