"""Keeps process trees within their `memory_max_bytes`: looks at those that have one, every half second.

Two looks in a row must agree: a child between vfork and exec counts what its parent holds once more. A look
adds what each process holds, which is cheap and too much where processes share pages; only where that is
over the limit are fair shares asked for, which is exact and dear. A look that took long is followed by a
longer pause, so that it costs a twentieth of the time at most.
"""

import time

from wattle.keeper import proc
from wattle.keeper.ending import Ending
from wattle.keeper.stop import State
from wattle.keeper.timers import Timers
from wattle.keeper.tree import Family, descend
from wattle.keeper.worker import Worker

LOOK_SECONDS = 0.5
CONFIRM_SECONDS = 0.1
SHARE_OF_TIME = 20


class MemoryWatch:
    """`watch` once per worker; it ends by itself when the worker does."""

    def __init__(self, family: Family, timers: Timers, ending: Ending) -> None:
        self._family = family
        self._timers = timers
        self._ending = ending

    def watch(self, worker: Worker, max_bytes: int) -> None:
        self._arm(worker, max_bytes, LOOK_SECONDS, False)

    def _arm(self, worker: Worker, max_bytes: int, seconds: float, was_over: bool) -> None:
        self._timers.arm(time.monotonic() + seconds, lambda: self._look(worker, max_bytes, was_over))

    def _look(self, worker: Worker, max_bytes: int, was_over: bool) -> None:
        if worker.state is not State.RUNNING:
            return
        begun = time.monotonic()
        held = held_bytes(self._pids(worker), max_bytes)
        if held > max_bytes and was_over:
            self._ending.exceed_memory(worker, held)
            return
        pause = CONFIRM_SECONDS if held > max_bytes else LOOK_SECONDS
        self._arm(worker, max_bytes, max(pause, (time.monotonic() - begun) * SHARE_OF_TIME), held > max_bytes)

    def _pids(self, worker: Worker) -> list[int]:
        """For an adopted worker without a look at every process of the machine: from those noted before."""
        if not worker.adopted:
            return list(self._family.members(worker))
        worker.noted = descend(worker.noted)
        return list(worker.noted)


def held_bytes(pids: list[int], max_bytes: int) -> int:
    """What the processes hold together; more than `max_bytes` only if their fair shares are."""
    held = sum(map(proc.resident_bytes, pids))
    if held <= max_bytes:
        return held
    total = 0
    for pid in pids:
        share = proc.share_bytes(pid)
        total += proc.resident_bytes(pid) if share is None else share
    return total
