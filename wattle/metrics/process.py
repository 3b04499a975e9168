"""One process as /proc shows it, read through descriptors that stay open.

An open `/proc/<pid>/stat` belongs to one process for ever: once that is reaped it cannot be read, whoever gets the pid
next. So what is cached needs no check. Descriptors are limited; a process beyond the limit is known by its start ticks
and opened at each reading.
"""

import os
import resource
from contextlib import suppress

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
HAS_CHILDREN_FILE = os.path.exists(f"/proc/self/task/{os.getpid()}/children")
THREADS_LOOKED_AT = 64  # in a usual sample; in a thorough one all are
_STAT_BYTES = 1024
_CHILDREN_BYTES = 4096
_FLAGS = os.O_RDONLY | os.O_CLOEXEC


class Allowance:
    """How many descriptors may stay open: a third of what this process may have."""

    def __init__(self, limit: int | None = None) -> None:
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.left = min(8192, soft if soft > 0 else 8192) // 3 if limit is None else limit


class Process:
    """A member of a tree, and its last reading: times in ticks, of children only those it has reaped."""

    __slots__ = (
        "_allowance", "_children", "_stat", "child_ticks", "is_zombie", "own_ticks", "parent", "parent_pid", "pid",
        "resident_bytes", "session", "start_ticks", "threads",
    )  # fmt: skip

    def __init__(self, pid: int, allowance: Allowance) -> None:
        """ProcessLookupError or FileNotFoundError: there is none."""
        self.pid = pid
        self.parent: Process | None = None  # where it is of the same tree
        self.start_ticks = -1
        self._allowance = allowance
        self._stat = self._children = -1
        if allowance.left >= 2:
            self._stat = os.open(f"/proc/{pid}/stat", _FLAGS)
            allowance.left -= 1
            with suppress(OSError):
                self._children = os.open(f"/proc/{pid}/task/{pid}/children", _FLAGS)
                allowance.left -= 1
        if not self.read():
            self.close()
            raise ProcessLookupError(pid)

    def read(self) -> bool:
        """Read it again; False where it is gone."""
        try:
            text = os.pread(self._stat, _STAT_BYTES, 0) if self._stat >= 0 else _read(f"/proc/{self.pid}/stat")
            fields = text[text.rindex(b")") + 2 :].split(None, 22)
        except (OSError, ValueError):
            return False
        start_ticks = int(fields[19])
        if start_ticks != self.start_ticks:
            if self.start_ticks >= 0:
                return False
            self.start_ticks = start_ticks
        self.parent_pid = int(fields[1])
        self.session = int(fields[3])
        self.own_ticks = int(fields[11]) + int(fields[12])
        self.child_ticks = int(fields[13]) + int(fields[14])
        self.threads = int(fields[17])
        self.resident_bytes = int(fields[21]) * PAGE_BYTES
        # A process whose first thread has ended while others run is shown as a zombie and is none.
        self.is_zombie = fields[0] in (b"Z", b"X", b"x") and self.threads <= 1
        return True

    def children(self, thorough: bool = False) -> list[bytes]:
        """The pids of its children, those of its threads included. Some may be missing while they come and go."""
        try:
            found = _whole(self._children) if self._children >= 0 else _children_of(self.pid, self.pid)
        except OSError:
            found = []
        if self.threads > 1 and (thorough or self.threads <= THREADS_LOOKED_AT):
            with suppress(OSError):
                for thread in os.listdir(f"/proc/{self.pid}/task"):
                    if int(thread) != self.pid:
                        with suppress(OSError):
                            found += _children_of(self.pid, int(thread))
        return found

    def descriptors(self) -> int:
        """How many it has open; 0 where that may not be seen."""
        path = f"/proc/{self.pid}/fd"
        with suppress(OSError):
            return os.stat(path).st_size or len(os.listdir(path))  # the size is the number since Linux 6.2
        return 0

    def transferred(self) -> tuple[int, int] | None:
        """Bytes that went through its read and write calls, reaped children included; None where not to be seen."""
        try:
            lines = _read(f"/proc/{self.pid}/io").split()
            return int(lines[1]), int(lines[3])
        except (OSError, IndexError, ValueError):
            return None

    def close(self) -> None:
        for descriptor in (self._stat, self._children):
            if descriptor >= 0:
                os.close(descriptor)
                self._allowance.left += 1
        self._stat = self._children = -1


def children_of(pid: int) -> list[bytes]:
    """The children of a process of one thread that is no member of a tree."""
    try:
        return _children_of(pid, pid)
    except OSError:
        return []


def all_parents() -> dict[int, list[bytes]]:
    """{pid: its children} for kernels without CONFIG_PROC_CHILDREN: a look at every process of the machine."""
    found: dict[int, list[bytes]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError, ValueError):
                text = _read(f"/proc/{name}/stat")
                parent = int(text[text.rindex(b")") + 2 :].split(None, 2)[1])
                found.setdefault(parent, []).append(name.encode())
    return found


def _children_of(pid: int, thread: int) -> list[bytes]:
    descriptor = os.open(f"/proc/{pid}/task/{thread}/children", _FLAGS)
    try:
        return _whole(descriptor)
    finally:
        os.close(descriptor)


def _whole(descriptor: int) -> list[bytes]:
    piece = os.pread(descriptor, _CHILDREN_BYTES, 0)
    if len(piece) < _CHILDREN_BYTES // 2:
        return piece.split()
    pieces, offset = [piece], len(piece)
    while piece := os.pread(descriptor, _CHILDREN_BYTES, offset):
        pieces.append(piece)
        offset += len(piece)
    return b"".join(pieces).split()


def _read(path: str) -> bytes:
    descriptor = os.open(path, _FLAGS)
    try:
        return os.read(descriptor, _STAT_BYTES)
    finally:
        os.close(descriptor)
