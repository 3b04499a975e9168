"""One watcher of one worker's log: what to say next, as values.

It waits for nothing and starts nothing: somebody calls `poll` when something may have changed. It holds open
descriptors, so a log that is deleted or renamed while it is written is followed to its end.

The rules (design.md, section 6, Stream events; A20, A21):
* Lines of stdout and of stderr of a stretch come one after the other. A stretch is what stood in both files at
  one moment, so neither stream can starve the other.
* Every event's id is `<attempt uid>:<stdout offset>:<stderr offset>`, both after it. A watcher that starts from
  an id says exactly what follows: nothing twice, nothing left out.
* An attempt counts as ended only if `look` said so *before* the sizes were read: so no byte is missed.
* When a newer attempt exists, the rest of the one being read is said first, then `Attempt`, then the newer one
  from its start. Attempts that came and went between two looks are passed over.
* An id that names an attempt which is not the newest: `Attempt`, then the newest from its start.
"""

import errno
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from wattle.errors import Malformed
from wattle.logs.lines import MAX_LINE_BYTES, cut
from wattle.logs.read import open_log, tail_start

BATCH_BYTES = 128 * 1024  # read per poll; more than a line's limit, so that each read gets further
BATCH_LINES = 1000  # an empty line is one byte in the file and a hundred on the wire
LOOK_SECONDS = 1.0  # how old a look may get while nobody reports a change
NO_ATTEMPT = "-"  # stands for the uid in the id of a worker that ended without an attempt

_POSITION = re.compile(r"([A-Za-z0-9_-]{1,128}):([0-9]{1,18}):([0-9]{1,18})", re.ASCII)


class State(Protocol):
    """What a watcher must know of its worker: `service.views.LogState`."""

    @property
    def attempt_uid(self) -> str | None: ...
    @property
    def attempt(self) -> int: ...
    @property
    def stdout(self) -> str | None: ...
    @property
    def stderr(self) -> str | None: ...
    @property
    def live(self) -> bool: ...
    @property
    def over(self) -> bool: ...
    @property
    def status(self) -> str: ...
    @property
    def exit_code(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class LogLineEvent:
    """A line of `type` "stdout" or "stderr". `time`: when it was written, unix seconds, None: not known.

    `continued`: the line goes on in the next event of this type. `partial`: its newline was never written.
    """

    type: str
    content: str
    id: str
    time: float | None = None
    continued: bool = False
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """What follows is the output of another attempt, from its start."""

    number: int
    uid: str
    id: str


@dataclass(frozen=True, slots=True)
class Truncated:
    """Somebody cut `stream`'s file short: what follows of it starts at the file's start."""

    stream: str
    size_bytes: int
    id: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Something of `stream` is not there to be read. `dropped_bytes` is None where nobody knows how much."""

    stream: str
    reason: str
    dropped_bytes: int | None
    id: str


@dataclass(frozen=True, slots=True)
class End:
    """The worker's part in its run is over; nothing follows."""

    status: str
    exit_code: int | None
    id: str


Event = LogLineEvent | Attempt | Truncated | Gap | End


class Position(NamedTuple):
    """A place in a worker's log: what an event's id says."""

    uid: str
    stdout: int = 0
    stderr: int = 0

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Raises errors.Malformed (`INVALID_EVENT_ID`) for what no event of ours ever had as its id."""
        match = _POSITION.fullmatch(text)
        if match is None:
            raise Malformed(
                "INVALID_EVENT_ID",
                f"Last-Event-ID {text[:200]!r} is not the id of a log event; leave it out to read from the start",
            )
        return cls(match[1], int(match[2]), int(match[3]))

    def __str__(self) -> str:
        return f"{self.uid}:{self.stdout}:{self.stderr}"


class Follower:
    """The state of one watcher. Use it from one thread at a time; `close` it.

    `look` tells the worker's newest attempt; it is called at most once a poll. `position` is an event's id to go
    on from (None or empty: from the start). `follow=False`: what is there now, then nothing more. `tail`: begin
    with the last so many lines of each stream (only without a position).

    After a poll, `more` says that there is more to say at once, `done` that nothing will ever follow.
    """

    def __init__(
        self,
        look: Callable[[], State],
        *,
        position: str | None = None,
        follow: bool = True,
        tail: int | None = None,
        max_line_bytes: int = MAX_LINE_BYTES,
    ) -> None:
        self._look = look
        self._position = Position.parse(position) if position else None
        self._follow = follow
        self._tail = tail
        self._limit = max_line_bytes
        self._state: State | None = None
        self._looked_at = 0.0
        self._uid: str | None = None
        self._streams: tuple[_Stream, ...] = ()
        self.more = False
        self.done = False

    @property
    def finished(self) -> bool:
        """Whether the position given is the end of a worker that has ended, so that there is nothing to say (204).

        A log that is no longer there is at its end too: a client which reconnects by itself must come to rest.
        """
        position, state = self._position, self._look()
        if position is None or state.live or not state.over:
            return False
        if position.uid != (state.attempt_uid or NO_ATTEMPT):
            return False
        ends = (_size(state.stdout, position.stdout), _size(state.stderr, position.stderr))
        return ends == (position.stdout, position.stderr)

    def poll(self, now: float, changed: bool = True) -> list[Event]:
        """What there is to say, a bounded batch. `now` is monotonic seconds.

        `changed=False`: nobody has reported a change since the last poll, so a look up to a second old will do.
        """
        self.more = False
        if self.done:
            return []
        state = self._look_again(now, changed)
        events: list[Event] = []
        if self._uid is None and not self._begin(state, events):
            return events
        ended = not (state.live and state.attempt_uid == self._uid)
        if self._deliver(events, final=ended or not self._follow):
            self._turn_the_page(state, ended, events)
        else:
            self.more = any(not stream.is_through for stream in self._streams) or ended or not self._follow
        return events

    def close(self) -> None:
        """Nothing more will be asked: gives back the descriptors."""
        self.done = True
        for stream in self._streams:
            stream.close()

    def _look_again(self, now: float, changed: bool) -> State:
        if self._state is None or changed or now - self._looked_at >= LOOK_SECONDS:
            self._state, self._looked_at = self._look(), now
        return self._state

    def _begin(self, state: State, events: list[Event]) -> bool:
        """Open the newest attempt, if there is one. A worker that has not been started yet is waited for."""
        if state.attempt_uid is None:
            if state.over:
                self._finish(state, events)
            elif not self._follow:
                self.close()
            return False
        known, self._position = self._position, None
        self._open(state)
        if known is not None and known.uid == state.attempt_uid:
            for stream, offset in zip(self._streams, (known.stdout, known.stderr), strict=True):
                stream.start_at(offset)
        elif known is not None:
            events.append(Attempt(state.attempt, state.attempt_uid, self._id()))
        elif self._tail is not None:
            for stream in self._streams:
                stream.start_at_tail(self._tail)
        return True

    def _open(self, state: State) -> None:
        for stream in self._streams:
            stream.close()
        self._uid = state.attempt_uid
        self._streams = (
            _Stream("stdout", state.stdout, self._limit, self._id),
            _Stream("stderr", state.stderr, self._limit, self._id),
        )

    def _deliver(self, events: list[Event], *, final: bool) -> bool:
        """Say what the files hold, as far as the batch goes. Whether everything there will be has been said."""
        if all(stream.is_through for stream in self._streams):
            for stream in self._streams:
                stream.look(events, final=final)
        for stream in self._streams:
            stream.take(events)
            if not stream.is_through:
                return False
        return final and all(stream.is_final for stream in self._streams)

    def _turn_the_page(self, state: State, ended: bool, events: list[Event]) -> None:
        if not self._follow:
            if ended and state.over and state.attempt_uid == self._uid:
                self._finish(state, events)
            else:
                self.close()
        elif state.attempt_uid not in (None, self._uid):
            self._open(state)
            events.append(Attempt(state.attempt, str(self._uid), self._id()))
            self.more = True
        elif state.over:
            self._finish(state, events)

    def _finish(self, state: State, events: list[Event]) -> None:
        events.append(End(state.status, state.exit_code, self._id()))
        self.close()

    def _id(self) -> str:
        return str(Position(self._uid or NO_ATTEMPT, *(stream.offset for stream in self._streams)))


class _Stream:
    """One of the two files of an attempt.

    `offset`: said up to here. `_scanned`: looked at up to here; the bytes between are the start of an unfinished
    line. `_end`: the end of the present stretch.
    """

    def __init__(self, name: str, path: str | None, limit: int, identify: Callable[[], str]) -> None:
        self.name = name
        self.offset = 0
        self.is_final = False
        self._path = path
        self._limit = limit
        self._identify = identify
        self._fd: int | None = None
        self._scanned = 0
        self._end = 0
        self._gap_said = False

    @property
    def is_through(self) -> bool:
        """Whether the present stretch has been said, but for an unfinished line."""
        return self._scanned >= self._end

    def start_at(self, offset: int) -> None:
        self.offset = self._scanned = self._end = offset

    def start_at_tail(self, lines: int) -> None:
        size = self._size()
        if self._fd is not None and size:
            self.start_at(tail_start(self._fd, size, lines))

    def look(self, events: list[Event], *, final: bool) -> None:
        """Begin a stretch that ends where the file ends now. `final`: the file will not grow any more."""
        self.is_final = final
        size = self._size()
        if size is None:
            if final or self.offset:  # a live attempt that has said nothing may not have made its files yet
                self._say_gap(events, f"the {self.name} log of this attempt is not there")
            self.start_at(self.offset)
            return
        if size < self._scanned:
            self.start_at(0)
            events.append(Truncated(self.name, size, self._identify()))
        if final or size > self._scanned:
            self._scanned = self.offset  # the unfinished line is read again, with what came after it
        self._end = size
        if self._fd is not None and os.fstat(self._fd).st_nlink == 0:
            self._say_gap(events, f"the {self.name} log was deleted; what is written to it can be read only here")

    def take(self, events: list[Event]) -> None:
        """Say the next batch of this stretch."""
        if self.is_through or self._fd is None:
            return
        wanted = min(self._end - self.offset, max(BATCH_BYTES, 2 * self._limit))
        try:
            data = os.pread(self._fd, wanted, self.offset)
        except OSError as error:
            self._say_gap(events, f"the {self.name} log cannot be read: {error.strerror}")
            self.start_at(self.offset)
            return
        if data[:1] == b"\0" and (dropped := self._hole_bytes()):
            self.offset += dropped
            self._scanned = self.offset
            events.append(Gap(self.name, "the head of the log was dropped to bound it", dropped, self._identify()))
            return
        if len(data) < wanted:  # cut short under our hands: the next look says so
            self._end = self.offset + len(data)
        at_end = self.offset + len(data) >= self._end
        cut_all = self._say_lines(data, events, final=at_end and self.is_final)
        self._scanned = self._end if at_end and cut_all else self.offset

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _say_lines(self, data: bytes, events: list[Event], *, final: bool) -> bool:
        """Whether all of `data` was cut; False where the batch was full before."""
        for count, piece in enumerate(cut(data, final=final, limit=self._limit)):
            if count == BATCH_LINES:
                return False
            self.offset += piece.length
            line = LogLineEvent(self.name, piece.content, self._identify(), None, piece.continued, piece.partial)
            events.append(line)
        return True

    def _say_gap(self, events: list[Event], reason: str) -> None:
        if not self._gap_said:
            self._gap_said = True
            events.append(Gap(self.name, reason, None, self._identify()))

    def _size(self) -> int | None:
        """The file's size, or None where it is not there or may not be read."""
        try:
            if self._fd is None:
                if self._path is None:
                    return None
                self._fd = open_log(self._path)
            return os.fstat(self._fd).st_size
        except OSError:
            return None

    def _hole_bytes(self) -> int:
        """How many bytes from `offset` are a hole: what the size cap punched out of the file's head."""
        if self._fd is None:
            return 0
        try:
            return min(os.lseek(self._fd, self.offset, os.SEEK_DATA), self._end) - self.offset
        except OSError as error:
            return self._end - self.offset if error.errno == errno.ENXIO else 0


def _size(path: str | None, missing: int) -> int:
    try:
        return missing if path is None else os.stat(path).st_size
    except OSError:
        return missing
