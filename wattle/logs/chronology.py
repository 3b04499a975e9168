"""When and in which order the output of an attempt was written, for whoever reads on and on: index.py, piece by piece.

It keeps a small part of the index and no descriptor, so that it costs the same whatever the index has grown to. It
waits for nothing. One thread.
"""

import time
from bisect import bisect_left
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, Protocol

from wattle.logs.files import LogFiles, index_file
from wattle.logs.index import ENDLESS, LATEST, Entry, IndexReader, Stretch
from wattle.logs.watched import gap_seconds

ENTRIES_AT_ONCE = 256
HOLD_SECONDS = 0.1  # twice as long as the watch leaves between two looks at a log that grows fast
_NOTHING = Entry(0, 0, 0)


class Written(Protocol):
    """Whose output it is: `service.views.LogState` or `WrittenLog`."""

    @property
    def stdout(self) -> str | None: ...
    @property
    def stderr(self) -> str | None: ...
    @property
    def started_at(self) -> int | None: ...


class Known(NamedTuple):
    """A stretch, and the sizes of stdout and stderr with which it began."""

    begin: tuple[int, int]
    stretch: Stretch


class Chronology:
    """`path` is that of a side index, `started_at` (µs) the attempt's start. `clock` gives µs since 1970."""

    def __init__(
        self, path: str, started_at: int | None = None, *, clock: Callable[[], int] = lambda: time.time_ns() // 1000
    ) -> None:
        self._path = path
        self._started_at = started_at
        self._clock = clock
        self._entries: list[Entry] = []
        self._number = 0  # of the first of `_entries`
        self._before = _NOTHING  # the one before them
        self._count = 0  # how many there were at the last look

    @classmethod
    def of(cls, written: Written) -> "Chronology | None":
        if written.stdout is None or written.stderr is None:
            return None
        return cls(index_file(LogFiles(written.stdout, written.stderr)), written.started_at)

    def next(self, stdout: int, stderr: int) -> Known | None:
        """The stretch in which the first of two lines was finished, of which one ends at the offset `stdout` of its
        stream and the other at `stderr`; ENDLESS where there is no such line. None: no entry says so, or not yet."""
        found = self._among(stdout, stderr)
        if found is None:
            with suppress(OSError):  # no index: nobody looks, or not yet
                self._read(stdout, stderr)
                found = self._among(stdout, stderr)
        return found

    def rest(self, ended_at: int | None, *, is_watched: bool) -> Known:
        """What no entry is about; to be asked after `next`. `is_watched`: it was not there when the caller looked last.

        Its lines had been written by `ended_at` (µs), None: by now.
        """
        last = self._entries[-1] if self._entries else self._before
        by = max(self._clock() if ended_at is None else ended_at, last.at)
        stretch = Stretch(last.at or self._started_at, by, ENDLESS, ENDLESS, 1 if is_watched else 0)
        return Known((last.stdout, last.stderr), stretch)

    def forget(self) -> None:
        """A log was cut short: its index is another one."""
        self._entries, self._number, self._before = [], 0, _NOTHING

    @property
    def hold_seconds(self) -> float:
        """For how long it is worth waiting for the entry about what has just been written. 0: there will be none, or
        none so soon."""
        return HOLD_SECONDS if self._count and gap_seconds(self._count) <= HOLD_SECONDS else 0.0

    def _among(self, stdout: int, stderr: int) -> Known | None:
        def is_reached(entry: Entry) -> bool:
            return entry.stdout >= stdout or entry.stderr >= stderr

        entries = self._entries
        if not entries or not is_reached(entries[-1]) or is_reached(self._before):
            return None
        place = bisect_left(entries, True, key=is_reached)
        before = entries[place - 1] if place else self._before
        return Known((before.stdout, before.stderr), Stretch(before.at or self._started_at, *entries[place]))

    def _read(self, stdout: int, stderr: int) -> None:
        def is_reached(entry: Entry) -> bool:
            return entry.stdout >= stdout or entry.stderr >= stderr

        with IndexReader(self._path) as index:
            self._count = len(index)
            behind = self._number + len(self._entries)
            low = behind if self._entries and behind <= self._count and not is_reached(self._entries[-1]) else 0
            if low == self._count > 0:
                return
            # Where none is reached yet, the last one: what comes will be behind it.
            number = max(0, min(index.first_over(is_reached, low), self._count - 1))
            before = index.entry(number - 1) if number else _NOTHING
            self._before = before if before.at <= LATEST else _NOTHING
            self._number = number
            self._entries = index.entries(number, ENTRIES_AT_ONCE)
