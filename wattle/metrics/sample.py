"""What a process tree uses now. Sampled when somebody asks; it keeps one CPU reading per attempt.

Descendants are found through `/proc/<pid>/task/*/children`, so the cost is that of the tree and not of the
machine (supervision.md, 3.10). CPU is the difference of two sums of own time and time of reaped children: a child
that ends between them has moved its time to its parent, so the sum does not fall.
"""

import os
import threading
import time
from dataclasses import dataclass

import psutil

FIRST_READING_SECONDS = 0.1
_STALE_SECONDS = 30.0  # an average over more than this is not what it uses "now"
_KEPT_READINGS = 4096


@dataclass(frozen=True, slots=True)
class TreeSample:
    """Totals of a process and all that descends from it. `cpu_percent` is of one core and may exceed 100."""

    cpu_percent: float = 0.0
    memory_bytes: int = 0
    num_processes: int = 0
    num_threads: int = 0
    cpu_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Reading:
    at: float
    born_at: float  # of the leader: tells it from another process that got its pid
    cpu_seconds: float
    cpu_percent: float


@dataclass(frozen=True, slots=True)
class _Totals:
    cpu_seconds: float
    memory_bytes: int
    num_processes: int
    num_threads: int


class TreeSampler:
    """Samples trees; any thread. Processes that vanish meanwhile count nothing and are never an error."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readings: dict[str, _Reading] = {}

    def sample(self, pid: int, uid: str) -> TreeSample:
        """What the tree of `pid` uses; all zeros where it is gone. `uid` is the attempt's.

        CPU is measured since the last call for this uid. Where that is none, or long ago, this call takes 0.1 s.
        """
        try:
            leader = psutil.Process(pid)
            born_at = leader.create_time()
        except (psutil.Error, OSError, ValueError):
            return self._gone(uid)
        before = self._last(uid, born_at)
        if before is None:
            before = _Reading(time.monotonic(), born_at, _totals(leader).cpu_seconds, 0.0)
            time.sleep(FIRST_READING_SECONDS)
        totals, now = _totals(leader), time.monotonic()
        if totals.num_processes == 0:
            return self._gone(uid)
        elapsed = now - before.at
        if elapsed < FIRST_READING_SECONDS / 2:  # two callers at once: kernel ticks are 10 ms, too coarse for this
            percent = before.cpu_percent
        else:
            percent = round(max(0.0, totals.cpu_seconds - before.cpu_seconds) / elapsed * 100, 1)
            self._keep(uid, _Reading(now, born_at, totals.cpu_seconds, percent))
        return TreeSample(
            percent, totals.memory_bytes, totals.num_processes, totals.num_threads, round(totals.cpu_seconds, 2)
        )

    def forget(self, uid: str) -> None:
        """The attempt has ended."""
        with self._lock:
            self._readings.pop(uid, None)

    def _gone(self, uid: str) -> TreeSample:
        self.forget(uid)
        return TreeSample()

    def _last(self, uid: str, born_at: float) -> _Reading | None:
        with self._lock:
            reading = self._readings.get(uid)
        if reading is None or reading.born_at != born_at or time.monotonic() - reading.at > _STALE_SECONDS:
            return None
        return reading

    def _keep(self, uid: str, reading: _Reading) -> None:
        with self._lock:
            self._readings.pop(uid, None)
            self._readings[uid] = reading
            while len(self._readings) > _KEPT_READINGS:
                del self._readings[next(iter(self._readings))]


def descendants(pid: int) -> list[int]:
    """The pids of all processes that descend from `pid` now, parents before children."""
    found: list[int] = []
    seen = {pid}
    waiting = [pid]
    while waiting:
        for child in _children(waiting.pop()):
            if child not in seen:
                seen.add(child)
                found.append(child)
                waiting.append(child)
    return found


def _children(pid: int) -> list[int]:
    children: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return children
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                children.extend(map(int, file.read().split()))
        except FileNotFoundError:
            if not _kernel_lists_children():
                return _children_by_scan(pid)
        except OSError:
            continue
    return children


def _kernel_lists_children() -> bool:
    return os.path.exists(f"/proc/self/task/{threading.get_native_id()}/children")


def _children_by_scan(pid: int) -> list[int]:
    """For kernels without CONFIG_PROC_CHILDREN: looks at every process of the machine."""
    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except (psutil.Error, OSError):
        return []


def _totals(leader: psutil.Process) -> _Totals:
    cpu_seconds, memory_bytes, processes, threads = 0.0, 0, 0, 0
    for pid in [leader.pid, *descendants(leader.pid)]:
        try:
            process = leader if pid == leader.pid else psutil.Process(pid)
            with process.oneshot():
                status, times = process.status(), process.cpu_times()
                memory, count = process.memory_info(), process.num_threads()
        except (psutil.Error, OSError):
            continue
        cpu_seconds += times.user + times.system + times.children_user + times.children_system
        if status == psutil.STATUS_ZOMBIE:  # its time has not moved to its parent yet
            continue
        memory_bytes += memory.rss
        processes += 1
        threads += count
    return _Totals(cpu_seconds, memory_bytes, processes, threads)
