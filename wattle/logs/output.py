"""The two files of one attempt, read forwards: what to say of them next.

A stretch is what stood in both files at one moment; lines of stdout and of stderr of a stretch come one after the
other, so neither stream can starve the other. Where a chronology knows more moments, stretches are as short as it says,
and their lines have its times.
"""

import errno
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from wattle.logs.lines import MAX_LINE_BYTES, cut
from wattle.logs.read import open_log, tail_start
from wattle.logs.said import Event, Gap, LogLineEvent, Truncated

BATCH_BYTES = 128 * 1024  # read per batch; more than a line's limit, so that each read gets further
BATCH_LINES = 1000  # an empty line is one byte in the file and a hundred on the wire
STREAMS = ("stdout", "stderr")
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


class Moment(NamedTuple):
    """At `time` (unix seconds) the two files had these sizes, and what is before them had been written."""

    time: float | None
    stdout: int
    stderr: int


class Chronology(Protocol):
    """What is known of when an attempt's output was written, and so of the order of its two streams."""

    def next(self, stdout: int, stderr: int) -> Moment | None:
        """The first moment at which one of the files was longer than this; None: no more is known."""


class Output:
    """What is left to be said of one attempt. `identify` gives the id of an event, from both offsets after it.

    `streams`: which of the two are watched; the offset of the other stays 0.
    """

    def __init__(
        self,
        paths: tuple[str | None, str | None],
        identify: Callable[[int, int], str],
        *,
        streams: tuple[str, ...] = STREAMS,
        max_line_bytes: int = MAX_LINE_BYTES,
        worker: str | None = None,
        chronology: Chronology | None = None,
    ) -> None:
        self._identify = identify
        self._chronology = chronology
        self._streams = tuple(
            _Stream(name, path, max_line_bytes, lambda: self.id, worker)
            for name, path in zip(STREAMS, paths, strict=True)
            if name in streams
        )

    @property
    def offsets(self) -> tuple[int, int]:
        """What has been said, of stdout and of stderr."""
        found = {stream.name: stream.offset for stream in self._streams}
        return found.get("stdout", 0), found.get("stderr", 0)

    @property
    def id(self) -> str:
        return self._identify(*self.offsets)

    @property
    def is_through(self) -> bool:
        """Whether the present stretch has been said, but for an unfinished line."""
        return all(stream.is_through for stream in self._streams)

    @property
    def has_more(self) -> bool:
        """Whether something is known to be there that has not been said."""
        return any(not stream.is_through or stream.is_cut_short for stream in self._streams)

    def start_at(self, stdout: int, stderr: int) -> None:
        for stream in self._streams:
            stream.start_at(stdout if stream.name == "stdout" else stderr)

    def start_at_tail(self, lines: int) -> None:
        for stream in self._streams:
            stream.start_at_tail(lines)

    def deliver(self, events: list[Event], *, final: bool) -> bool:
        """Say the next batch. Whether everything there will be has been said. `final`: the files grow no more."""
        if self.is_through:
            scanned = {stream.name: stream.scanned for stream in self._streams}
            for stream in self._streams:
                stream.look(events, final=final)
            self._shorten(scanned.get("stdout", 0), scanned.get("stderr", 0))
        for stream in self._streams:
            stream.take(events)
            if not stream.is_through:
                return False
        return final and all(stream.is_final for stream in self._streams)

    def files(self) -> Iterator[int]:
        """The descriptors of the files that are open."""
        return (stream.fd for stream in self._streams if stream.fd is not None)

    @property
    def waits_for_files(self) -> bool:
        """Whether one of the files has not been there yet."""
        return any(stream.fd is None for stream in self._streams)

    def close(self) -> None:
        for stream in self._streams:
            stream.close()

    def _shorten(self, stdout: int, stderr: int) -> None:
        """End the stretch where the chronology has its next moment after these places."""
        if self._chronology is None:
            return
        moment = self._chronology.next(stdout, stderr)
        for stream in self._streams:
            stream.time = None if moment is None else moment.time
            if moment is not None:
                stream.end_at(moment.stdout if stream.name == "stdout" else moment.stderr)


class _Stream:
    """One of the two files of an attempt.

    `offset`: said up to here. `scanned`: looked at up to here; the bytes between are the start of an unfinished
    line. `_end`: the end of the present stretch. `time`: when the stretch had been written.
    """

    def __init__(
        self, name: str, path: str | None, limit: int, identify: Callable[[], str], worker: str | None
    ) -> None:
        self.name = name
        self.offset = 0
        self.is_final = False
        self.is_cut_short = False
        self.time: float | None = None
        self.fd: int | None = None
        self.scanned = 0
        self._path = path
        self._limit = limit
        self._identify = identify
        self._worker = worker
        self._end = 0
        self._gap_said = False

    @property
    def is_through(self) -> bool:
        """Whether the present stretch has been said, but for an unfinished line."""
        return self.scanned >= self._end

    def start_at(self, offset: int) -> None:
        self.offset = self.scanned = self._end = offset

    def start_at_tail(self, lines: int) -> None:
        size = self._size()
        if self.fd is not None and size:
            self.start_at(tail_start(self.fd, size, lines))

    def end_at(self, offset: int) -> None:
        """End the present stretch there, if it goes further: the rest is another stretch."""
        if self.scanned < self._end and offset < self._end:
            self._end, self.is_final, self.is_cut_short = max(offset, self.offset), False, True
            self.scanned = min(self.scanned, self._end)

    def look(self, events: list[Event], *, final: bool) -> None:
        """Begin a stretch that ends where the file ends now. `final`: the file will not grow any more."""
        self.is_final, self.is_cut_short = final, False
        size = self._size()
        if size is None:
            if final or self.offset:  # a live attempt that has said nothing may not have made its files yet
                self._say_gap(events, f"the {self.name} log of this attempt is not there")
            self.start_at(self.offset)
            return
        if size < self.scanned:
            self.start_at(0)
            events.append(Truncated(self.name, size, self._identify(), self._worker))
        if final or size > self.scanned:
            self.scanned = self.offset  # the unfinished line is read again, with what came after it
        self._end = size
        if self.fd is not None and os.fstat(self.fd).st_nlink == 0:
            self._say_gap(events, f"the {self.name} log was deleted; what is written to it can be read only here")

    def take(self, events: list[Event]) -> None:
        """Say the next batch of this stretch."""
        if self.is_through or self.fd is None:
            return
        wanted = min(self._end - self.offset, max(BATCH_BYTES, 2 * self._limit))
        try:
            data = os.pread(self.fd, wanted, self.offset)
        except OSError as error:
            self._say_gap(events, f"the {self.name} log cannot be read: {error.strerror}")
            self.start_at(self.offset)
            return
        if data[:1] == b"\0" and (dropped := self._hole_bytes()):
            self.offset += dropped
            self.scanned = self.offset
            reason = "the head of the log was dropped to bound it"
            events.append(Gap(self.name, reason, dropped, self._identify(), self._worker))
            return
        if len(data) < wanted:  # cut short under our hands: the next look says so
            self._end = self.offset + len(data)
        at_end = self.offset + len(data) >= self._end
        cut_all = self._say_lines(data, events, final=at_end and self.is_final)
        self.scanned = self._end if at_end and cut_all else self.offset

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None

    def _say_lines(self, data: bytes, events: list[Event], *, final: bool) -> bool:
        """Whether all of `data` was cut; False where the batch was full before."""
        for count, piece in enumerate(cut(data, final=final, limit=self._limit)):
            if count == BATCH_LINES:
                return False
            self.offset += piece.length
            events.append(
                LogLineEvent(
                    self.name, piece.content, self._identify(), self.time, piece.continued, piece.partial, self._worker
                )
            )
        return True

    def _say_gap(self, events: list[Event], reason: str) -> None:
        if not self._gap_said:
            self._gap_said = True
            events.append(Gap(self.name, reason, None, self._identify(), self._worker))

    def _size(self) -> int | None:
        """The file's size, or None where it is not there or may not be read. OSError: no descriptor is left."""
        try:
            if self.fd is None:
                if self._path is None:
                    return None
                self.fd = open_log(self._path)
            return os.fstat(self.fd).st_size
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
