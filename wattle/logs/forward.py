"""One of the two files of an attempt, read forwards: the next piece of it that can be said, and what is not there.

It goes as far as the file went when it was looked at. It keeps a descriptor, so that a file that is renamed or deleted
is read to its end, and no bytes from one batch to the next.
"""

import errno
import os
from collections.abc import Callable, Iterator
from itertools import count
from typing import NamedTuple

from wattle.logs.lines import Piece, cut, unfinished
from wattle.logs.read import absence, open_log, tail_start
from wattle.logs.said import Event, Gap, Truncated

READ_BYTES = 128 * 1024  # at a time; more than a line's limit, so that each read gets further
_COUNT_BYTES = 256 * 1024
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


class OpenFile(NamedTuple):
    """A descriptor and the number of its opening: one that was closed is given again."""

    fd: int
    opening: int


_openings = count()


class Forward:
    """`offset`: said up to here. `is_final`: the file will not grow beyond where it was looked at. `grown_at`: the
    look that saw it grow last. `is_removed`: retention has deleted it, or is about to."""

    def __init__(
        self,
        number: int,
        name: str,
        path: str | None,
        limit: int,
        identify: Callable[[], str],
        worker: str | None,
        *,
        is_removed: bool = False,
    ) -> None:
        self.number = number
        self.name = name
        self.offset = 0
        self.is_final = False
        self.grown_at = 0.0
        self.fd: int | None = None
        self.opened: OpenFile | None = None
        self._path = path
        self._limit = limit
        self._identify = identify
        self._worker = worker
        self._is_removed = is_removed
        self._end = 0  # where the file ended when it was looked at
        self._read_to = 0
        self._pieces: Iterator[Piece] = iter(())
        self._piece: Piece | None = None
        self._gap_said = False

    def start_at(self, offset: int) -> None:
        self.offset = self._end = offset
        self._forget()

    def start_at_tail(self, lines: int) -> None:
        facts = self._facts()
        if self.fd is not None and facts is not None:
            self.start_at(tail_start(self.fd, facts.st_size, lines))

    def look(self, events: list[Event], *, final: bool, now: float) -> None:
        """Go as far as the file goes now, at `now`. `final`: it will not grow any more."""
        was_final, self.is_final = self.is_final, final
        facts = self._facts()
        if facts is None:
            if final or self.offset:  # a live attempt that has said nothing may not have made its files yet
                self._say_gap(events, absence(self.name, self._is_removed))
            self.start_at(self.offset)
            return
        size = facts.st_size
        if size < self._end:
            self.start_at(0)
            events.append(Truncated(self.name, size, self._identify(), self._worker))
        if size != self._end:
            self.grown_at = now
        if size != self._end or final != was_final:
            self._end = size
            self._forget()  # the unfinished line is read again, with what came after it
        if facts.st_nlink == 0:
            self._say_gap(events, f"the {self.name} log was deleted; what is written to it can be read only here")

    @property
    def has_unsaid(self) -> bool:
        """Whether there are bytes that have not been said, up to where the file was looked at."""
        return self.offset < self._end

    def peek(self, events: list[Event]) -> Piece | None:
        """The next piece, None where there is none up to where the file was looked at."""
        while self._piece is None:
            if self.offset >= self._end:
                return None
            self._piece = next(self._pieces, None)
            if self._piece is None and not self._read(events):
                return None
        return self._piece

    def unfinished(self) -> Piece | None:
        """Of the line whose end has not been written, what can be said already. Only where `peek` gives nothing."""
        if self.fd is None:
            return None
        try:
            return unfinished(os.pread(self.fd, self._end - self.offset, self.offset))
        except OSError:  # the next look says so
            return None

    def step(self, piece: Piece) -> None:
        """That piece has been said."""
        self.offset += piece.length
        self._piece = None

    def let_go(self) -> None:
        """Keep no bytes that wait to be said; they are read again."""
        if self._piece is not None:
            self._forget()

    def count_lines(self, begin: int, end: int) -> int:
        """How many lines end within these bytes, the unfinished one at the file's end among them if there is one."""
        end = min(end, self._end)
        if self.fd is None or begin >= end:
            return 0
        count, place, data = 0, begin, b"\n"
        while place < end and data:
            data = os.pread(self.fd, min(_COUNT_BYTES, end - place), place)
            count += data.count(b"\n")
            place += len(data)
        is_unfinished = self.is_final and end == self._end and os.pread(self.fd, 1, end - 1) != b"\n"
        return count + is_unfinished

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)
            self.fd = self.opened = None

    def _forget(self) -> None:
        self._read_to, self._pieces, self._piece = self.offset, iter(()), None

    def _read(self, events: list[Event]) -> bool:
        """Read on. False where there is nothing more."""
        if self.fd is None or self._read_to >= self._end:
            return False
        wanted = min(self._end - self.offset, max(READ_BYTES, 2 * self._limit))
        try:
            data = os.pread(self.fd, wanted, self.offset)
        except OSError as error:
            self._say_gap(events, f"the {self.name} log cannot be read: {error.strerror}")
            self.start_at(self.offset)
            return False
        if data[:1] == b"\0" and (dropped := self._hole_bytes()):
            self.offset += dropped
            self._read_to = self.offset
            reason = "the head of the log was dropped to bound it"
            events.append(Gap(self.name, reason, dropped, self._identify(), self._worker))
            return True
        if len(data) < wanted:  # cut short under our hands: the next look says so
            self._end = self.offset + len(data)
        self._read_to = self.offset + len(data)
        self._pieces = cut(data, final=self.is_final and self._read_to >= self._end, limit=self._limit)
        return True

    def _say_gap(self, events: list[Event], reason: str) -> None:
        if not self._gap_said:
            self._gap_said = True
            events.append(Gap(self.name, reason, None, self._identify(), self._worker))

    def _facts(self) -> os.stat_result | None:
        """What the file is now, or None where it is not there or may not be read. OSError: no descriptor is left."""
        try:
            if self.fd is None:
                if self._path is None:
                    return None
                self.fd = open_log(self._path)
                self.opened = OpenFile(self.fd, next(_openings))
            return os.fstat(self.fd)
        except OSError as error:
            if error.errno in _NO_DESCRIPTORS:
                raise
            return None

    def _hole_bytes(self) -> int:
        """How many bytes from `offset` are a hole: what the size cap punched out of the file's head."""
        if self.fd is None:
            return 0
        try:
            return min(os.lseek(self.fd, self.offset, os.SEEK_DATA), self._end) - self.offset
        except OSError as error:
            return self._end - self.offset if error.errno == errno.ENXIO else 0


def size_or(path: str | None, missing: int) -> int:
    """A file's size, `missing` where there is none."""
    try:
        return missing if path is None else os.stat(path).st_size
    except OSError:
        return missing
