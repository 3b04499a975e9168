"""What a daemon itself knows of an end: by identity, never by a pid alone (C4, C7)."""

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.whole.server import eventually
from wattle.daemon import reap_inherited
from wattle.keeper import proc
from wattle.store.rows import AttemptRow
from wattle.supervisor.witnesses import Witnesses, identity_of

HAS_EXIT_INFO = tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 15)
PARENT = """
import os, sys
child = os.posix_spawn("/bin/sh", ["sh", "-c", "read line; " + sys.argv[1]], {})
print(child, flush=True)
os.waitpid(child, 0)
"""


class Stranger:
    """A process that is somebody else's child: it ends when told to, and is reaped by its own parent."""

    def __init__(self, how: str) -> None:
        command = [sys.executable, "-I", "-S", "-c", PARENT, how]
        self.parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.parent.stdout is not None
        self.pid = int(self.parent.stdout.readline())
        self.identity = identity_of(self.pid)

    def end(self) -> None:
        self.parent.communicate("\n")
        eventually(lambda: proc.read_stat(self.pid) is None)

    def attempt(self, inode_added: int = 0) -> AttemptRow:
        pid, inode, ticks = self.identity
        wrong = None if inode is None else inode + inode_added
        return AttemptRow("uid", 1, 0, "w", 1, "running", pid=pid, inode=wrong, start_ticks=ticks)


@pytest.fixture
def witnesses() -> Iterator[Witnesses]:
    found = Witnesses()
    yield found
    found.close()


@pytest.mark.parametrize(
    ("how", "exit_code", "number"), [("exit 42", 42, None), ("exit 0", 0, None), ("kill -9 $$", None, signal.SIGKILL)]
)
def test_an_end_that_another_reaped_is_known_where_the_kernel_tells(
    witnesses: Witnesses, how: str, exit_code: int | None, number: int | None
) -> None:
    stranger = Stranger(how)
    attempt = stranger.attempt()
    witnesses.hold(attempt)
    assert witnesses.testimony(attempt) == {}, "it lives"
    stranger.end()
    known = {"known": True, "exit_code": exit_code, "signal": number}
    assert witnesses.testimony(attempt) == (known if HAS_EXIT_INFO else {})
    witnesses.release("uid")
    assert witnesses.testimony(attempt) == {}


def test_a_process_that_has_the_pid_of_another_is_not_taken_for_it(witnesses: Witnesses) -> None:
    """C7: the pid is used again; the inode or the start tells."""
    stranger = Stranger("exit 42")
    attempt = stranger.attempt(1)
    if attempt.inode is None:
        attempt = AttemptRow("uid", 1, 0, "w", 1, "running", pid=stranger.pid, start_ticks=12345)
    witnesses.hold(attempt)
    stranger.end()
    assert witnesses.testimony(attempt) == {}


def test_what_was_inherited_counts_for_that_very_process_only(witnesses: Witnesses) -> None:
    """C7: a daemon that lives for months reaps a pid that a worker has much later."""
    list(reap_inherited())  # what earlier tests left
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 7"], {})
    inode = identity_of(pid)[1]
    ticks = proc.start_ticks(pid)
    reaped = eventually(lambda: list(reap_inherited()))
    assert [(identity[0], status) for identity, status in reaped] == [(pid, 7 << 8)]
    for identity, status in reaped:
        witnesses.inherited(identity, status)
    attempt = AttemptRow("uid", 1, 0, "w", 1, "running", pid=pid, inode=inode, start_ticks=ticks)
    assert witnesses.testimony(attempt)["exit_code"] == 7
    another = AttemptRow("new", 2, 0, "w", 1, "running", pid=pid, inode=(inode or 0) + 1, start_ticks=(ticks or 0) + 1)
    assert witnesses.testimony(another) == {}


def test_it_takes_no_more_than_its_share_of_descriptors(witnesses: Witnesses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witnesses, "_most", 1)
    strangers = [Stranger("exit 1"), Stranger("exit 2")]
    gc.collect()  # what earlier tests left open is not to be closed meanwhile
    before = len(os.listdir("/proc/self/fd"))
    for number, stranger in enumerate(strangers):
        pid, inode, ticks = stranger.identity
        row = AttemptRow(f"uid{number}", 1, 0, "w", 1, "running", pid=pid, inode=inode, start_ticks=ticks)
        witnesses.hold(row)
        witnesses.hold(row)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    for stranger in strangers:
        stranger.end()
