"""The side index of an attempt: when its two logs had which sizes, and in which order they were written to.

`times/<position>.<number>.idx` beside the logs; the daemon's `watch.py` writes it, for attempts that live longer than
0.1 s. A row of entries of 32 bytes each, sizes and instants never falling; a torn last one does not count:

    at       u64  instant, µs since 1970
    stdout   u64  bytes of stdout at that instant
    stderr   u64  bytes of stderr
    groups   u16  how often writing changed over between the files since the entry before, plus one; 0: not known
    first    u8   which of them was written to first: 0 stdout, 1 stderr
    (5 bytes of nothing)

What lies between two entries is a stretch. A byte of it was written between their instants, so every time here is a
pair of bounds that are true whoever watched; where nobody did, they are just far apart. Before the first entry lies the
start of the attempt, behind the last its end. An attempt without an index is one stretch.

How to read both logs in their order (excerpt.py; streams, which read on and on, have chronology.py):

    timeline = read_timeline(index_file(files), started_at, ended_at, stdout=offset, stderr=offset)
    for stream, line, stretch in timeline.merged(stdout_lines, stderr_lines, end_of=lambda line: line.end): ...

It reads small files, and waits for nothing. Any thread.
"""

import os
import struct
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

RECORD = struct.Struct("<QQQHB5x")
MOST_ENTRIES = 65_536  # read at once; what is behind them is one stretch
MOST_GROUPS = 65_535
ENDLESS = 2**63
LATEST = 2**53  # µs since 1970: the year 2255
REST_MICROSECONDS = 5_000_000
STDOUT, STDERR = 0, 1

Line = TypeVar("Line")


class Entry(NamedTuple):
    """One record, as above."""

    at: int
    stdout: int
    stderr: int
    groups: int = 0
    first: int = STDOUT

    def pack(self) -> bytes:
        return RECORD.pack(*self)


class Stretch(NamedTuple):
    """What was written between two looks: up to these sizes, not before `after` and not later than `by` (µs).

    `after` None: nobody knows since when; `by` None: until now.
    """

    after: int | None
    by: int | None
    stdout: int
    stderr: int
    groups: int = 0
    first: int = STDOUT

    def order(self, stdout: int, stderr: int) -> Iterator[int]:
        """0 and 1 for so many lines of stdout and stderr, in the order in which they were written.

        Exact where each change from one file to the other was seen and wrote as many lines as the others did; where
        nothing is known all of stdout comes first.
        """
        if self.groups < 2 or not stdout or not stderr:
            for stream in (self.leader, 1 - self.leader):
                yield from [stream] * (stdout, stderr)[stream]
            return
        places = [
            (self.place(stream, number, count), stream)
            for stream, count in ((STDOUT, stdout), (STDERR, stderr))
            for number in range(count)
        ]
        yield from (stream for _, stream in sorted(places))

    @property
    def leader(self) -> int:
        """The stream of which the first line is, where there are lines of both."""
        return self.first if self.groups else STDOUT

    def place(self, stream: int, number: int, count: int) -> int:
        """Where the line `number` (from 0) of `count` of that stream stands: of two lines the smaller is earlier."""
        turn = 0 if stream == self.leader else 1
        if self.groups < 2:
            return turn
        return 2 * (number * ((self.groups + 1 - turn) // 2) // count) + turn


@dataclass(frozen=True, slots=True)
class Timeline:
    """The stretches of an attempt, or of a part of it, in order. The last one has no end in bytes."""

    stretches: Sequence[Stretch]

    def at(self, stream: int, offset: int) -> Stretch:
        """The stretch in which the byte before `offset` of that stream was written."""
        return self.stretches[self.number(stream, offset)]

    def number(self, stream: int, offset: int) -> int:
        """The place among `stretches` of the one in which the byte before `offset` was written."""
        if stream == STDOUT:
            return bisect_left(self.stretches, offset, key=lambda stretch: stretch.stdout)
        return bisect_left(self.stretches, offset, key=lambda stretch: stretch.stderr)

    def merged(
        self, stdout: Sequence[Line], stderr: Sequence[Line], end_of: Callable[[Line], int]
    ) -> Iterator[tuple[int, Line, Stretch]]:
        """(stream, line, when) of both streams' lines in the order in which they were written.

        `end_of` gives the offset behind a line: a line belongs to the stretch in which it was finished.
        """
        begin = [0, 0]
        lines = (stdout, stderr)
        numbers = [[self.number(stream, end_of(line)) for line in lines[stream]] for stream in (STDOUT, STDERR)]
        while begin[STDOUT] < len(stdout) or begin[STDERR] < len(stderr):
            number = min(numbers[stream][begin[stream]] for stream in (0, 1) if begin[stream] < len(lines[stream]))
            stretch = self.stretches[number]
            ends = [bisect_left(numbers[stream], number + 1, begin[stream]) for stream in (STDOUT, STDERR)]
            for stream in stretch.order(ends[STDOUT] - begin[STDOUT], ends[STDERR] - begin[STDERR]):
                yield stream, lines[stream][begin[stream]], stretch
                begin[stream] += 1


def read_timeline(
    path: str,
    started_at: int | None,
    ended_at: int | None,
    *,
    stdout: int = 0,
    stderr: int = 0,
    until: tuple[int, int] = (ENDLESS, ENDLESS),
) -> Timeline:
    """The stretches from those offsets on. `started_at` and `ended_at` (µs) are the attempt's, None: not known, lives.

    Nothing is asked about what stands behind `until` (of stdout, of stderr): a page of a log that has been written for
    months is read with the few entries about it. A file that is not there, or is not ours to read, is an attempt that
    nobody looked at.
    """
    entries: list[Entry] = []
    before = Entry(0, 0, 0)
    with suppress(OSError), IndexReader(path) as index:
        number = index.first_over(lambda entry: entry.stdout > stdout or entry.stderr > stderr)
        if number:
            before = index.entry(number - 1)
            before = before if before.at <= LATEST else Entry(0, 0, 0)
        last = index.first_over(lambda entry: entry.stdout >= until[0] and entry.stderr >= until[1], number)
        entries = index.entries(number, min(MOST_ENTRIES, last - number + 1))
    after = before.at or started_at
    stretches = []
    for entry in entries:
        stretches.append(Stretch(after, entry.at, entry.stdout, entry.stderr, entry.groups, entry.first))
        after = entry.at
    stretches.append(Stretch(after, ended_at, ENDLESS, ENDLESS))
    return Timeline(stretches)


class Span(NamedTuple):
    """From where to where the two logs hold what was written in a time: (stdout, stderr) each."""

    begin: tuple[int, int]
    end: tuple[int, int]


def span(path: str, since: int | None, until: int | None) -> Span:
    """The bytes outside were surely written before `since` or after `until` (µs; None: no bound)."""
    begin, end = (0, 0), (ENDLESS, ENDLESS)
    with suppress(OSError), IndexReader(path) as index:
        if since is not None and (number := index.first_over(lambda entry: entry.at >= since)):
            begin = index.entry(number - 1)[1:3]
        if until is not None and (number := index.first_over(lambda entry: entry.at > until)) < len(index):
            end = index.entry(number)[1:3]
    return Span(begin, end)


class IndexReader:
    """An index file, read by entry: what is asked for costs the same however long the attempt lives."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> "IndexReader":
        self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def __len__(self) -> int:
        return os.fstat(self._fd).st_size // RECORD.size

    def entry(self, number: int) -> Entry:
        """OSError where it was cut away meanwhile."""
        data = os.pread(self._fd, RECORD.size, number * RECORD.size)
        if len(data) < RECORD.size:
            raise OSError("the index was cut short")
        return Entry(*RECORD.unpack(data))

    def entries(self, number: int, most: int = MOST_ENTRIES) -> list[Entry]:
        """From that number on, up to the first that is none."""
        data = os.pread(self._fd, most * RECORD.size, number * RECORD.size)
        whole = len(data) - len(data) % RECORD.size
        found: list[Entry] = []
        before = (0, 0, 0)
        for values in RECORD.iter_unpack(data[:whole]):
            if values[0] > LATEST or values[0] < before[0] or values[1] < before[1] or values[2] < before[2]:
                break  # none of ours: what is behind it is one stretch
            before = values[:3]
            found.append(Entry(*values))
        return found

    def first_over(self, is_over: Callable[[Entry], bool], low: int = 0) -> int:
        """The number of the first entry from `low` on that is over, which all behind it are too; their count where none
        is."""
        high = len(self)
        while low < high:
            middle = (low + high) // 2
            if is_over(self.entry(middle)):
                high = middle
            else:
                low = middle + 1
        return low


class IndexWriter:
    """Appends entries to one index. One thread. A disk that takes none loses times, and nothing else."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.last: Entry | None = None
        self.count = 0
        self._waiting: list[Entry] = []  # of `count`, these are not on disk
        self._rests_until = 0
        with suppress(OSError), IndexReader(path) as index:  # of a daemon before this one
            self.count = len(index)
            self.last = index.entry(self.count - 1) if self.count else None
        self._written = self.last

    @property
    def has_waiting(self) -> bool:
        return bool(self._waiting)

    def add(
        self, at: int, stdout: int, stderr: int, groups: int = 0, first: int = STDOUT, *, may_wait: bool = False
    ) -> None:
        """Where a log has become shorter, somebody cut it: what is known of the bytes before is about no bytes now.

        `may_wait`: until `write`, for as long as all that waits is about one and the same stream: it puts nothing in
        order, so nobody waits for it.
        """
        last = self.last
        if last is not None and (stdout < last.stdout or stderr < last.stderr):
            last, self.count, groups = None, 0, 0
            self._waiting, self._written = [], None
            with suppress(OSError):
                os.truncate(self._path, 0)
        if at < self._rests_until:
            return
        entry = Entry(max(at, last.at if last is not None else 0), stdout, stderr, min(groups, MOST_GROUPS), first)
        self._waiting.append(entry)
        self.last = entry
        self.count += 1
        if not (may_wait and self._is_of_one_stream(entry)):
            self.write()

    def write(self) -> None:
        """Write what waits."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        written, data = 0, b"".join([entry.pack() for entry in waiting])
        try:
            fd = self._open()
            try:
                written = os.pwrite(fd, data, (self.count - len(waiting)) * RECORD.size) // RECORD.size
            finally:
                os.close(fd)
        except OSError:  # to look for room on a full disk is slow, for everybody
            self._rests_until = waiting[-1].at + REST_MICROSECONDS
        if written < len(waiting):
            self.count -= len(waiting) - written
            self.last = waiting[written - 1] if written else self._written
        self._written = self.last

    def _is_of_one_stream(self, entry: Entry) -> bool:
        begin = self._written
        return begin is not None and (entry.stdout == begin.stdout or entry.stderr == begin.stderr)

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            return os.open(self._path, flags, 0o600)
        except FileNotFoundError:
            os.mkdir(os.path.dirname(self._path), 0o700)
            return os.open(self._path, flags, 0o600)
