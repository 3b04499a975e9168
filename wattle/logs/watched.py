"""One attempt's logs while they are written: how they grew, in what order, when to look again, what to drop.

Decisions as values; instants are arguments. The only files it touches are the two logs' inodes and the index.
"""

import os
from collections.abc import Sequence
from contextlib import suppress

from wattle.logs.files import LogFiles, index_file
from wattle.logs.holes import drop_head, hole_end
from wattle.logs.index import MOST_GROUPS, IndexWriter
from wattle.logs.read import open_log

FAST_BYTES = 32 * 1024  # grown within FAST_SECONDS it is fast: being watched would slow its writer
FAST_SECONDS = 0.01
SLOWEST_LOOK_SECONDS = 0.05
QUICKEST_LOOK_SECONDS = 0.002
QUIET_LOOKS = 3
KEPT_SHARE = 0.75  # of a cap, after the head was dropped
FAST_SHARE = 0.5  # the same of a log that grows fast, whose head is dropped when it holds KEPT_SHARE
RATE_DECAY = 0.8  # of the fastest growth, from one look to the next: what was fast once may be again
# An index of n entries gets the next one this long after the last: a service that prints for a year has 20 MB of it.
_GAPS = ((10_000, 0.0), (100_000, 0.1), (500_000, 1.0))
_LONGEST_GAP_SECONDS = 60.0
GATHER_SECONDS = 0.2  # entries that say no order are written together, so often


def gap_seconds(count: int) -> float:
    """How long after its last entry an index of so many gets the next one at the soonest."""
    return next((gap for most, gap in _GAPS if count < most), _LONGEST_GAP_SECONDS)


class Watched:
    """`cap` is `log.max_bytes`, of each stream; None for none. One thread, but for `is_over`."""

    def __init__(self, files: LogFiles, cap: int | None, now: float) -> None:
        self.files = files
        self.cap = cap
        self.is_over = False  # it has ended: its logs may be being copied, so nothing of them is dropped
        self.watches: tuple[int, ...] = ()
        self.is_fast = False
        self.look_at: float | None = None  # when to look, whether anything is told or not
        self.dropped = [_dropped(path) if cap is not None else 0 for path in files]
        self.sizes = (0, 0)
        self._index = IndexWriter(index_file(files))
        self._indexed_at = self._written_at = 0.0
        self._looked_at = now
        self._interval = FAST_SECONDS
        self._rate = 0.0  # bytes a second
        self._quiet = QUIET_LOOKS
        self._groups, self._first, self._last = 0, 0, -1
        self._told: set[int] = set()  # streams of which inotify told since the last look
        self._untold: set[int] = set()  # those of which it never will

    def wrote(self, stream: int) -> None:
        """inotify says that this stream was written to."""
        self._told.add(stream)
        if stream != self._last:
            if not self._groups:
                self._first = stream
            self._groups = min(self._groups + 1, MOST_GROUPS)
            self._last = stream

    def missed(self) -> None:
        """inotify has told too little: either may have been written to."""
        self._told.update((0, 1))

    def lost(self, stream: int) -> None:
        """inotify tells nothing more of this stream: its file is gone."""
        self._untold.add(stream)

    @property
    def wrote_both(self) -> bool:
        """Whether both streams were written to since the last entry, as far as inotify told."""
        return self._groups > 1

    def measured(self) -> tuple[int, int]:
        """The sizes now; of a file that is gone, and where inotify told only of the other one, what it was."""
        found = list(self.sizes)
        for stream in self._told | self._untold if self._told and self.watches else (0, 1):
            with suppress(OSError):
                found[stream] = os.stat(self.files[stream]).st_size
        return found[0], found[1]

    @property
    def held(self) -> int:
        """Bytes on disk, of both."""
        return sum(self.sizes) - sum(self.dropped)

    def look(self, sizes: tuple[int, int], now: float, at: int) -> None:
        """The logs have these sizes at `now` (monotonic) and `at` (µs): index it, and decide when to look again."""
        grown = sum(sizes) - sum(self.sizes)
        elapsed = max(now - self._looked_at, 1e-6)
        self.dropped = [0 if new < old else gone for new, old, gone in zip(sizes, self.sizes, self.dropped)]
        is_fast = grown > FAST_BYTES * max(1.0, elapsed / FAST_SECONDS)
        self.sizes, self._looked_at = sizes, now
        self._told.clear()
        self._note(sizes, now, at)
        self._plan(is_fast, grown / elapsed, now)

    def end(self, at: int) -> None:
        """What was written last was written by `at`."""
        self._told.clear()
        sizes = self.measured()
        if (last := self._index.last) is None or sizes != (last.stdout, last.stderr):
            self._index.add(at, *sizes, self._groups, self._first)
        self._index.write()

    @property
    def has_waiting(self) -> bool:
        """Whether `write` is to be called, in GATHER_SECONDS at the latest."""
        return self._index.has_waiting

    def write(self, now: float) -> None:
        self._written_at = now
        self._index.write()

    def due_drops(self) -> list[tuple[int, int]]:
        """(stream, new start) of each stream that is over its cap."""
        if self.cap is None:
            return []
        most, kept = (KEPT_SHARE, FAST_SHARE) if self.is_fast else (1.0, KEPT_SHARE)
        over = [stream for stream in (0, 1) if self.sizes[stream] - self.dropped[stream] > self.cap * most]
        return [(stream, self.sizes[stream] - int(self.cap * kept)) for stream in over]

    def drop(self, stream: int, end: int) -> None:
        """Give back what stands before `end`. OSError as holes.punch."""
        self.dropped[stream] = drop_head(self.files[stream], self.dropped[stream], end)

    def _note(self, sizes: tuple[int, int], now: float, at: int) -> None:
        last = self._index.last
        if last is not None and sizes == (last.stdout, last.stderr):
            self._groups, self._last = 0, -1  # of bytes that were seen by the look before
            return
        gap = gap_seconds(self._index.count)
        if now - self._indexed_at < gap:
            self.look_at = self._indexed_at + gap
            return
        # Without a watch nobody knows the order.
        groups, may_wait = self._groups if self.watches else 0, now - self._written_at < GATHER_SECONDS
        self._index.add(at, *sizes, groups, self._first, may_wait=may_wait)
        if not self._index.has_waiting:
            self._written_at = now
        self._indexed_at = now
        self._groups, self._last = 0, -1

    def _plan(self, is_fast: bool, rate: float, now: float) -> None:
        """`is_fast` stays until three looks in a row saw little."""
        if is_fast:
            self._quiet = 0
            self._interval = min(self._interval * 2, SLOWEST_LOOK_SECONDS) if not self.watches else FAST_SECONDS
        else:
            self._quiet += 1
        self.is_fast = self._quiet < QUIET_LOOKS
        if self.watches and not self.is_fast:
            if self.look_at is not None and self.look_at <= now:
                self.look_at = None
            return
        interval = self._interval
        self._rate = max(rate, self._rate * RATE_DECAY)
        if self.cap is not None and self._rate > 0:
            interval = min(interval, max(QUICKEST_LOOK_SECONDS, (KEPT_SHARE - FAST_SHARE) * self.cap / self._rate))
        self.look_at = now + interval


def _dropped(path: str) -> int:
    """What a daemon before this one gave back."""
    try:
        fd = open_log(path)
    except OSError:
        return 0
    try:
        facts = os.fstat(fd)
        return hole_end(fd, 0) if facts.st_blocks * 512 < facts.st_size else 0
    except OSError:
        return 0
    finally:
        os.close(fd)


def largest(logs: Sequence[Watched]) -> tuple[Watched, int] | None:
    """The stream that holds most, of logs that have not ended; None where there is none."""
    held = [
        (log.sizes[stream] - log.dropped[stream], place, stream)
        for place, log in enumerate(logs)
        if not log.is_over
        for stream in (0, 1)
    ]
    if not held:
        return None
    _, place, stream = max(held)
    return logs[place], stream
