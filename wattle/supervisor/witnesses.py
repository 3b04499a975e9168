"""How a worker ended that no keeper has seen end: what the daemon itself learned. Reads pidfds, signals nobody.

Two sources. A daemon that started its keeper inherits the workers when that is killed, and reaps them. One that found
its keeper is no parent of theirs: it holds a pidfd on each, which tells the status once anybody has reaped the process
(Linux 6.15). Either way an end is known by the process' identity, never by its pid alone.

A pidfd is opened at the look that comes within 0.1 s of a worker's start, so most short workers cost nothing, and for
all others at the instant the keeper is found dead: what is younger and ends before that instant stays unknown.
"""

import os
import resource
import sys

from wattle.keeper import proc
from wattle.store.rows import AttemptRow

INHERITED_REMEMBERED = 10_000
SHARE_OF_DESCRIPTORS = 4  # at most a quarter of what the daemon may open
Identity = tuple[int, int | None, int | None]  # pid, inode of its pidfd, start ticks where there is no inode


class Witnesses:
    """The loop's thread only."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}  # {attempt uid: pidfd}
        self._inherited: dict[Identity, int] = {}  # {identity: raw wait status}
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = sys.maxsize if limit == resource.RLIM_INFINITY else limit // SHARE_OF_DESCRIPTORS

    def hold(self, attempt: AttemptRow | None) -> None:
        """Keep a pidfd on the process of a running attempt, if it is still there; harmless to repeat."""
        if attempt is None or attempt.pid is None or attempt.ended_at is not None or attempt.uuid in self._held:
            return
        if len(self._held) < self._most:
            pidfd = proc.open_same(attempt.pid, attempt.inode, attempt.start_ticks)
            if pidfd is not None:
                self._held[attempt.uuid] = pidfd

    def release(self, uid: str) -> None:
        """The attempt's end is written down."""
        pidfd = self._held.pop(uid, None)
        if pidfd is not None:
            os.close(pidfd)

    def inherited(self, identity: Identity, status: int) -> None:
        """Take in the raw wait status of a process that this daemon inherited and reaped."""
        if len(self._inherited) >= INHERITED_REMEMBERED:
            self._inherited.clear()
        self._inherited[identity] = status

    def status(self, attempt: AttemptRow) -> int | None:
        """The raw wait status of an attempt's process; None where it lives or nobody can tell."""
        identity = (attempt.pid or 0, attempt.inode, None if attempt.inode is not None else attempt.start_ticks)
        status = self._inherited.get(identity)
        if status is None and (pidfd := self._held.get(attempt.uuid)) is not None:
            status = proc.exit_status(pidfd)
        return status

    def testimony(self, attempt: AttemptRow) -> dict[str, int | bool | None]:
        """What the keeper's record of an unknown end lacks; nothing where nobody can tell."""
        status = self.status(attempt)
        if status is None:
            return {}
        code = os.waitstatus_to_exitcode(status)
        return {"known": True, "exit_code": code if code >= 0 else None, "signal": -code if code < 0 else None}

    def close(self) -> None:
        for uid in list(self._held):
            self.release(uid)


def identity_of(pid: int) -> Identity:
    """Of a child of ours that has not been reaped."""
    if proc.HAS_PIDFS:
        pidfd = os.pidfd_open(pid)
        try:
            return pid, os.fstat(pidfd).st_ino, None
        finally:
            os.close(pidfd)
    return pid, None, proc.start_ticks(pid)
