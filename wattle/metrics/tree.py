"""The process tree of one attempt: who belongs to it, what it uses, what it has used at most. One thread at a time.

Whoever was seen to belong to the tree belongs to it until it is gone, whoever its parent is by then. New members are
the children of members, and what the sampler finds among the children of those who take in orphans.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from wattle.keeper import proc
from wattle.metrics.cumulative import Cumulative
from wattle.metrics.history import Point, Series
from wattle.metrics.process import TICKS_PER_SECOND, Allowance, Process
from wattle.store.rows import AttemptRow

SHORTEST_READING_SECONDS = 0.05  # kernel ticks are 10 ms, too coarse for less
_BIRTH_SECONDS = 2.0  # a first reading within these of the start is an average since then
_TICK_US = 1_000_000 // TICKS_PER_SECOND

Children = Callable[[Process, bool], Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class TreeSample:
    """Totals of a process and all that descends from it. `cpu_percent` is of one core and may exceed 100.

    `cpu_seconds`, `read_bytes` and `written_bytes` are those of the whole attempt, members that have ended included.
    Descriptors and bytes are those of the last thorough sample.
    """

    cpu_percent: float = 0.0
    memory_bytes: int = 0
    num_processes: int = 0
    num_threads: int = 0
    cpu_seconds: float = 0.0
    num_descriptors: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    at: float = 0.0  # monotonic; 0 before the first


NOTHING = TreeSample()


class Tree:
    """`kept` is the `tree` part of the metrics stored for the attempt by an earlier daemon."""

    def __init__(self, workflow: str, attempt: AttemptRow, allowance: Allowance, kept: Mapping[str, Any]) -> None:
        self.workflow = workflow
        self.attempt = attempt
        self.members: dict[int, Process] = {}
        self.homes: set[int] = set()  # pids of those who take in its orphans
        self.last = NOTHING
        self.has_percent = False  # `last.cpu_percent` has been measured
        self.thorough_at = 0.0  # when descriptors and bytes were read last, monotonic
        self.samples = int(kept.get("samples", 0))
        self.series = Series(kept.get("series", ()))
        self.peak = {name: int(kept.get(name) or 0) for name in PEAKS}
        self._allowance = allowance
        self._leader: Process | None = None
        self._leader_us = 0
        self._is_open = False
        self._cpu: Cumulative[Process] = Cumulative(int(kept.get("others_us") or 0) // _TICK_US)
        # What the living members have passed is counted from now on, on top of what was stored.
        self._read: Cumulative[Process] = Cumulative()
        self._written: Cumulative[Process] = Cumulative()
        self._least = {name: int(kept.get(name) or 0) for name in ("cpu_us", "read_bytes", "written_bytes")}

    def sample(self, children: Children, orphans: Sequence[Process] = (), *, thorough: bool = False) -> TreeSample:
        """Read all members, find the new ones. All zeros but the totals where the tree is gone."""
        if not self._is_open:
            self._is_open = True
            self._open_leader()
        gone = [process for process in self.members.values() if not process.read()]
        for process in gone:
            del self.members[process.pid]
            process.close()
        for orphan in orphans:
            self.members.setdefault(orphan.pid, orphan)
        self._find(children, thorough)
        self._take_totals(thorough)
        for process in gone:
            if process is self._leader:
                self._leader_us = (process.own_ticks + process.child_ticks) * _TICK_US
        return self.last

    def close(self) -> None:
        for process in self.members.values():
            process.close()
        self.members = {}

    def usage(self) -> dict[str, Any]:
        """What is stored of it. `others_us` is CPU of members that nobody of the tree has reaped, its leader apart."""
        return {
            "samples": self.samples,
            "cpu_us": round(self.last.cpu_seconds * 1e6),
            "others_us": max(0, self._cpu.ended * _TICK_US - self._leader_us),
            "read_bytes": self.last.read_bytes,
            "written_bytes": self.last.written_bytes,
            **self.peak,
            "series": [list(point) for point in self.series.thinned()],
        }

    def _open_leader(self) -> None:
        """By its identity: a pid alone may be another's by now."""
        row = self.attempt
        if row.pid is None:
            return
        try:
            process = Process(row.pid, self._allowance)
        except OSError:
            return
        if row.inode is None and row.start_ticks is None:
            is_same = process.session == row.pid and proc.marker(row.pid) in (None, row.uuid)
        else:
            is_same = _is_same(row)
        if not is_same:
            process.close()
            return
        self._leader = self.members[row.pid] = process

    def _find(self, children: Children, thorough: bool) -> None:
        members = self.members
        waiting = list(members.values())
        for process in waiting:  # grows as it goes
            for child in children(process, thorough):
                pid = int(child)
                if pid in members:
                    continue
                with suppress(OSError):
                    found = Process(pid, self._allowance)
                    if found.parent_pid not in members:  # the pid was used again
                        found.close()
                        continue
                    members[pid] = found
                    waiting.append(found)

    def _take_totals(self, thorough: bool) -> None:
        times: dict[Process, tuple[int, int]] = {}
        homes: set[int] = set()
        memory_bytes = processes = threads = 0
        for process in self.members.values():
            parent = self.members.get(process.parent_pid)
            process.parent = parent
            if parent is None:
                homes.add(process.parent_pid)
            times[process] = (process.own_ticks + process.child_ticks, process.child_ticks)
            if process.is_zombie:  # its time has not moved to its parent yet
                continue
            memory_bytes += process.resident_bytes
            processes += 1
            threads += process.threads
        self.homes = homes or self.homes
        before, now = self.last, time.monotonic()
        cpu_us = max(self._cpu.update(times, _parent) * _TICK_US, self._least["cpu_us"])
        percent = self._percent(cpu_us, now)
        descriptors, read, written = before.num_descriptors, before.read_bytes, before.written_bytes
        if thorough or not before.at:
            descriptors, read, written = self._rarer()
            self.thorough_at = now
        if not processes:
            percent = 0.0
            descriptors = 0
        self.last = TreeSample(percent, memory_bytes, processes, threads, cpu_us / 1e6, descriptors, read, written, now)
        self.samples += 1
        for name, value in zip(PEAKS, (memory_bytes, processes, threads, descriptors)):
            if value > self.peak[name]:
                self.peak[name] = value
        if processes:
            at = time.time_ns() // 1000
            self.series.add(Point(at, percent, memory_bytes, processes, threads, read, written))

    def _percent(self, cpu_us: int, now: float) -> float:
        before = self.last
        if before.at:
            elapsed = now - before.at
            if elapsed < SHORTEST_READING_SECONDS:
                return before.cpu_percent
            self.has_percent = True
            # Of whole microseconds: else it may fall by a part of one, which is shown as -0.0 %.
            return round((cpu_us - round(before.cpu_seconds * 1e6)) / elapsed / 1e4, 1)
        if self._leader is None:
            return 0.0
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - self._leader.start_ticks / TICKS_PER_SECOND
        self.has_percent = SHORTEST_READING_SECONDS < age < _BIRTH_SECONDS
        return round(cpu_us / age / 1e4, 1) if self.has_percent else 0.0

    def _rarer(self) -> tuple[int, int, int]:
        """Descriptors, bytes read and bytes written."""
        descriptors = 0
        read: dict[Process, tuple[int, int]] = {}
        written: dict[Process, tuple[int, int]] = {}
        for process in self.members.values():
            if not process.is_zombie:
                descriptors += process.descriptors()
            through = process.transferred()
            if through is not None:
                read[process], written[process] = (through[0], through[0]), (through[1], through[1])
        return (
            descriptors,
            max(self._read.update(read, _parent), self._least["read_bytes"]),
            max(self._written.update(written, _parent), self._least["written_bytes"]),
        )


PEAKS = ("peak_memory_bytes", "peak_num_processes", "peak_num_threads", "peak_num_descriptors")


def _parent(process: Process) -> Process | None:
    return process.parent


def _is_same(row: AttemptRow) -> bool:
    """After its files were opened: a process that has the identity now had the pid then."""
    pidfd = proc.open_same(row.pid or 0, row.inode, row.start_ticks)
    if pidfd is None:
        return False
    os.close(pidfd)
    return True
