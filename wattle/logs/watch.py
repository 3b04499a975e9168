"""Watches the logs of live attempts: writes their side index (index.py), and keeps them within their caps.

One thread, asleep while nothing is written. inotify tells it which file was written to; it looks at once for a burst of
50, then once in 10 ms. A log that grows fast is not watched any more but looked at, 20 to 500 times a second, until it
is quiet: its writer must not pay for being watched. Where there is no inotify, or no watch left, logs are looked at.

What is over `log.max_bytes` loses its head (holes.py), and so does the largest log where those of all running workers
together are over `live_bytes`. Nothing is dropped between an attempt's end and its run's: its output may be copied.

What the loop calls (`started`, `ended`, `run_ended`) waits for nothing and touches no file.
"""

import logging
import math
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from wattle.errors import WattleError
from wattle.logs.files import attempt_files
from wattle.logs.holes import is_impossible
from wattle.logs.inotify import IN_IGNORED, IN_Q_OVERFLOW, Inotify
from wattle.logs.watched import GATHER_SECONDS, Watched, largest

logger = logging.getLogger(__name__)

YOUNG_SECONDS = 0.1  # attempts that end before have no index
BURST = 50
BURST_PER_SECOND = 20
STEP_SECONDS = 0.01
POLL_SECONDS = 0.1  # between looks at logs that cannot be watched
LIVE_SHARE = 0.9  # of `live_bytes`, after something was dropped
MOST_VERSIONS = 10_000
MOST_BETWEEN_SECONDS = 0.001  # a size and its instant

Key = tuple[int, int, int]  # run id, position, number of the attempt
Caps = Callable[[int], Mapping[int, int]]  # version id -> {position: log.max_bytes}


class _Young(NamedTuple):
    since: float
    version_id: int
    position: int  # in that version


class LogWatch:
    """`caps` is asked on its thread. `live_bytes`: for the logs of all running workers together; None for no bound."""

    def __init__(self, data_dir: str, caps: Caps, live_bytes: int | None = None) -> None:
        self._data_dir = data_dir
        self._ask_caps = caps
        self._live_bytes = live_bytes
        self._caps: dict[int, Mapping[int, int]] = {}
        self._young: dict[Key, _Young] = {}
        self._logs: dict[Key, Watched] = {}
        self._by_watch: dict[int, tuple[Watched, int]] = {}
        self._dirty: set[Watched] = set()  # written to, and not looked at yet
        self._timed: set[Watched] = set()  # those with a `look_at`
        self._unwritten: set[Watched] = set()  # those with entries that wait until `_write_at`
        self._write_at = math.inf
        self._capped_runs: set[int] = set()
        self._told: deque[Callable[[], None]] = deque()  # by the loop
        self._settling: dict[int, list[Watched]] = {}  # of runs that go on: ended, over their caps
        self._tokens, self._filled_at = float(BURST), 0.0
        self._next_at = math.inf
        self._stirred_at = -math.inf  # when a start last woke the thread
        self._has_holes = True
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._wake_fd, select.POLLIN)
        self._inotify: Inotify | None = None
        self._closing = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        try:
            self._inotify = Inotify()
        except OSError as error:
            logger.warning("logs are looked at every %g s: no inotify (%s)", POLL_SECONDS, error.strerror)
        self._thread = threading.Thread(target=self._run, name="logs", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing = True
        self._wake()
        if self._thread is not None:
            self._thread.join(5.0)
            self._thread = None
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None
        if self._wake_fd >= 0:
            os.close(self._wake_fd)
            self._wake_fd = -1

    # The loop's thread.

    def started(self, key: Key, version_id: int, position: int | None = None) -> None:
        """An attempt has started, or lives since before this daemon. `position`: in that version, None: the key's."""
        now = time.monotonic()
        position = key[1] if position is None else position
        self._young[key] = _Young(now, version_id, position)
        caps = self._caps.get(version_id)
        if caps is None or position in caps or self._next_at > now + YOUNG_SECONDS + STEP_SECONDS:
            self._stirred_at = now
            self._wake()

    def ended(self, key: Key, ended_at: int | None) -> None:
        """Its whole process tree is gone (µs)."""
        if (self._young.pop(key, None)) is None and (log := self._logs.get(key)) is not None:
            log.is_over = True
            self._told.append(lambda: self._finish(key, ended_at))
            self._wake()

    def run_ended(self, run_id: int) -> None:
        """No output will be copied from its logs any more."""
        if run_id in self._capped_runs:
            self._told.append(lambda: self._settle(run_id))
            self._wake()

    def _wake(self) -> None:
        if self._wake_fd >= 0:
            with suppress(OSError):
                os.eventfd_write(self._wake_fd, 1)

    # Its own thread.

    def _run(self) -> None:
        while not self._closing:
            try:
                self._wait()
                self._turn()
            except OSError as error:  # a disk that is full or broken is no defect
                logger.warning("logs are not watched for a moment: %s", error.strerror)
                time.sleep(POLL_SECONDS)
            except Exception:  # what is looked at are files that others may do anything with
                logger.exception("the watch of logs goes on after a defect")
                time.sleep(POLL_SECONDS)
        self._write(time.monotonic())

    def _wait(self) -> None:
        """Until something is told, a log is due, or a watched one was written to; bursts are cut into steps."""
        now = time.monotonic()
        self._tokens = min(float(BURST), self._tokens + (now - self._filled_at) * BURST_PER_SECOND)
        self._filled_at = now
        inotify = self._inotify
        if inotify is not None and self._tokens < 1 and self._by_watch:
            wait = min(STEP_SECONDS, max(0.0, self._next_at - now))
            ready = self._poll.poll(wait * 1000)
        else:
            if inotify is not None:
                self._poll.register(inotify.fd, select.POLLIN)
            timeout = None if self._next_at == math.inf else math.ceil(max(0.0, self._next_at - now) * 1000)
            ready = self._poll.poll(timeout)
            if inotify is not None:
                self._poll.unregister(inotify.fd)
                if any(fd == inotify.fd for fd, _ in ready):
                    self._tokens -= 1
        if any(fd == self._wake_fd for fd, _ in ready):
            with suppress(BlockingIOError):
                os.eventfd_read(self._wake_fd)

    def _turn(self) -> None:
        while self._told:
            self._told.popleft()()
        self._adopt(time.monotonic())
        self._read_events()
        now = time.monotonic()
        due = {log for log in self._timed if log.look_at is not None and log.look_at <= now}
        pending = self._dirty | due
        self._dirty = set()
        for log in pending:
            self._look(log)
        if self._live_bytes is not None and pending:
            self._bound_all(self._live_bytes)
        if now >= self._write_at:
            self._write(now)
        self._next_at = self._when()

    def _when(self) -> float:
        if self._dirty:
            return time.monotonic() + STEP_SECONDS
        next_at = min((log.look_at for log in self._timed if log.look_at is not None), default=math.inf)
        # Those that are over within a moment wake it ten times a second, not once each.
        rested_at = self._stirred_at + YOUNG_SECONDS
        stirred = rested_at if rested_at > time.monotonic() else math.inf
        since = min((young.since for young in list(self._young.values())), default=math.inf)
        return min(next_at, self._write_at, since + YOUNG_SECONDS, stirred)

    def _write(self, now: float) -> None:
        """The entries that were gathered."""
        logs, self._unwritten, self._write_at = self._unwritten, set(), math.inf
        for log in logs:
            log.write(now)

    def _adopt(self, now: float) -> None:
        for key, young in list(self._young.items()):
            if young.version_id not in self._caps:
                self._caps[young.version_id] = self._caps_of(young.version_id)
            cap = self._caps[young.version_id].get(young.position)
            if cap is None and now - young.since < YOUNG_SECONDS:
                continue
            if cap is not None:
                self._capped_runs.add(key[0])
            log = Watched(attempt_files(self._data_dir, *key), cap, now)
            self._logs[key] = log
            if self._young.pop(key, None) is None:  # it has ended meanwhile
                del self._logs[key]
                continue
            self._watch(log)
            self._look(log)

    def _caps_of(self, version_id: int) -> Mapping[int, int]:
        if len(self._caps) > MOST_VERSIONS:
            self._caps.clear()
        try:
            return self._ask_caps(version_id)
        except WattleError as error:
            logger.warning("what version %d says of logs cannot be read: %s", version_id, error)
            return {}

    def _watch(self, log: Watched) -> None:
        if self._inotify is None:
            return
        watches = []
        try:
            for stream, path in enumerate(log.files):
                watches.append(number := self._inotify.watch(path))
                self._by_watch[number] = (log, stream)
        except OSError:  # no watch left, or somebody deleted the file
            for number in watches:
                self._unwatch(number)
            return
        log.watches = tuple(watches)

    def _unwatch(self, number: int) -> None:
        if self._by_watch.pop(number, None) is not None and self._inotify is not None:
            self._inotify.unwatch(number)

    def _leave(self, log: Watched) -> None:
        for number in log.watches:
            self._unwatch(number)
        log.watches = ()

    def _read_events(self) -> None:
        if self._inotify is None:
            return
        for number, mask in self._inotify.read():
            if mask & IN_Q_OVERFLOW:
                for each in self._logs.values():
                    each.missed()
                self._dirty.update(self._logs.values())
            log, stream = self._by_watch.get(number, (None, 0))
            if log is None:
                continue
            if mask & IN_IGNORED:  # the file is gone
                self._by_watch.pop(number, None)
                log.lost(stream)
            else:
                log.wrote(stream)
                self._dirty.add(log)

    def _look(self, log: Watched) -> None:
        """Sizes together with the events that made them: where both streams were written to, what is written in between
        is looked at once more."""
        sizes, at = _measured(log)
        for _ in range(3 if log.wrote_both else 0):
            self._read_events()
            before, (sizes, at) = sizes, _measured(log)
            if sizes == before:
                self._dirty.discard(log)
                break
        now = time.monotonic()
        was_watched = bool(log.watches)
        log.look(sizes, now, at)
        if was_watched and log.is_fast:
            self._leave(log)
        elif not was_watched and not log.is_fast:
            self._watch(log)
            log.look_at = None if log.watches else now + POLL_SECONDS
        if log.look_at is None:
            self._timed.discard(log)
        else:
            self._timed.add(log)
        if log.has_waiting:
            self._unwritten.add(log)
            self._write_at = min(self._write_at, now + GATHER_SECONDS)
        for stream, end in log.due_drops():
            self._drop(log, stream, end)

    def _drop(self, log: Watched, stream: int, end: int) -> None:
        if log.is_over or not self._has_holes:
            return
        try:
            log.drop(stream, end)
        except OSError as error:
            if is_impossible(error):
                self._has_holes = False
                logger.warning("no log is bounded: the file system cannot give back the start of a file")
            else:
                logger.warning("%s is over its bound and cannot be shortened: %s", log.files[stream], error)
                log.cap = None

    def _bound_all(self, live_bytes: int) -> None:
        logs = list(self._logs.values())
        excess = sum(log.held for log in logs) - live_bytes
        if excess <= 0:
            return
        excess += int(live_bytes * (1 - LIVE_SHARE))
        for _ in range(2 * len(logs)):
            found = largest(logs)
            if found is None or excess <= 0 or not self._has_holes:
                return
            log, stream = found
            before = log.held
            begin = log.dropped[stream]
            self._drop(log, stream, min(begin + excess, log.sizes[stream]))
            excess -= before - log.held
            if log.held == before:
                return

    def _finish(self, key: Key, ended_at: int | None) -> None:
        log = self._logs.pop(key, None)
        if log is None:
            return
        self._read_events()
        self._dirty.discard(log)
        self._timed.discard(log)
        self._unwritten.discard(log)
        self._leave(log)
        log.end(ended_at or time.time_ns() // 1000)
        if log.cap is not None:
            self._settling.setdefault(key[0], []).append(log)

    def _settle(self, run_id: int) -> None:
        self._capped_runs.discard(run_id)
        for log in self._settling.pop(run_id, ()):
            log.is_over = False
            log.sizes = log.measured()
            for stream, end in log.due_drops():
                self._drop(log, stream, end)


def _measured(log: Watched) -> tuple[tuple[int, int], int]:
    """Its sizes, and the instant (µs) at which it had them: anew where something else had the processor between."""
    for _ in range(3):
        began = time.monotonic()
        sizes = log.measured()
        at = time.time_ns() // 1000
        if time.monotonic() - began < MOST_BETWEEN_SECONDS:
            break
    return sizes, at
