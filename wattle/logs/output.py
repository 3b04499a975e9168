"""The two files of one attempt, read forwards together: what to say of them next.

Lines come in the order in which they were written, as far as the side index knows it (chronology.py), as everywhere
(`index.Timeline.merged`): stretch by stretch, within one by the changes from one file to the other. What has been said
of a stretch is seen by the offsets alone, so that whoever goes on from an id says what the others say.

What no entry is about yet is said at once where it is of one stream only, for then there is no order to be known. Where
it is of both, of a live attempt whose index is written, the entry is waited for: a moment, `HOLD_SECONDS` at most.
Without one stdout comes first, and both files as far as they went, so that neither starves the other.

A line whose end has not come is said as far as it goes, `partial`, when its file has been silent for SILENCE_SECONDS: a
prompt, a progress bar. Its rest is a piece of its own. At the attempt's end it is said at once.
"""

from collections.abc import Callable
from typing import NamedTuple

from wattle.logs.chronology import Chronology, Known
from wattle.logs.forward import READ_BYTES, Forward, OpenFile
from wattle.logs.index import ENDLESS, Stretch
from wattle.logs.lines import MAX_LINE_BYTES, Piece
from wattle.logs.said import Event, LogLineEvent

BATCH_BYTES = READ_BYTES
BATCH_LINES = 1000  # an empty line is one byte in the file and a hundred on the wire
STREAMS = ("stdout", "stderr")
MOST_SORTED_BYTES = 1024 * 1024  # of a stretch: beyond, its streams come one after the other
FIRST_HOLD_SECONDS = 0.001
SILENCE_SECONDS = 0.2
_CLOSE_MICROSECONDS = 1_000_000  # bounds as close as this are told as one instant
_UNKNOWN = Known((0, 0), Stretch(None, None, ENDLESS, ENDLESS))


class _Asked(NamedTuple):
    """What `Output.deliver` was called with."""

    final: bool
    now: float
    ended_at: int | None


def _watched(paths: tuple[str | None, str | None], streams: tuple[str, ...]) -> list[str | None]:
    return [path if name in streams else None for name, path in zip(STREAMS, paths, strict=True)]


class Output:
    """What is left to be said of one attempt. `identify` gives the id of an event, from both offsets after it.

    `streams`: which of the two are watched; the offset of the other stays 0. `chronology` None: nothing is known.
    `is_removed`: retention has deleted its files.

    After `deliver`, `has_more` says that there is more to say at once, `waits_seconds` how soon to try again though
    nobody tells of a change (None: there is no need).
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
        is_removed: bool = False,
    ) -> None:
        self._identify = identify
        self._chronology = chronology
        self._worker = worker
        self._both = tuple(
            Forward(number, name, path, max_line_bytes, lambda: self.id, worker, is_removed=is_removed)
            for number, (name, path) in enumerate(zip(STREAMS, _watched(paths, streams), strict=True))
        )
        self._streams = tuple(stream for stream in self._both if stream.name in streams)
        self._known: Known | None = None  # the stretch that is being said
        self._counts: tuple[int, int] | None = None  # of its lines, and which of them come next
        self._numbers = [0, 0]
        self._asked = _Asked(False, 0.0, None)
        self._was_live = False  # it was looked at while it lived; `_is_watched`: before the last look, too
        self._is_watched = False
        self._held_since: float | None = None
        self._time = 0
        self.has_more = False
        self.waits_seconds: float | None = None

    @property
    def offsets(self) -> tuple[int, int]:
        """What has been said, of stdout and of stderr."""
        stdout, stderr = self._both
        return stdout.offset, stderr.offset

    @property
    def id(self) -> str:
        stdout, stderr = self._both
        return self._identify(stdout.offset, stderr.offset)

    def start_at(self, stdout: int, stderr: int) -> None:
        for stream in self._streams:
            stream.start_at((stdout, stderr)[stream.number])

    def start_at_tail(self, lines: int) -> None:
        for stream in self._streams:
            stream.start_at_tail(lines)

    def deliver(self, events: list[Event], *, final: bool, now: float = 0.0, ended_at: int | None = None) -> bool:
        """Say the next batch. Whether everything there will be has been said.

        `final`: the files grow no more, since `ended_at` (µs; None: not known). `now` is monotonic seconds.
        """
        self._asked = _Asked(final, now, ended_at)
        is_looked_at = not self.has_more
        if is_looked_at:
            self._look(events)
        elif self._known is not None and self._known.stretch.stdout == ENDLESS:
            self._known = None  # there may be an entry by now
        self.has_more, self.waits_seconds = False, None
        most, left = len(events) + BATCH_LINES, BATCH_BYTES
        turn = self._lone() or self._next(events)
        while turn is not None:
            stream, until = turn
            while (piece := stream.peek(events)) is not None and stream.offset + piece.length <= until:
                if len(events) >= most or left < min(piece.length, BATCH_BYTES):
                    self.has_more = True
                    break
                left -= piece.length
                self._say(stream, piece, events)
            turn = None if self.has_more else self._next(events)
        for stream in self._streams:
            stream.let_go()
        if not self.has_more and self.waits_seconds is None:
            self._held_since = None
            if not final:
                self._say_unfinished(events, is_looked_at)
        is_all = not self.has_more and self.waits_seconds is None
        return final and is_all and all(stream.is_final for stream in self._streams)

    def files(self) -> list[OpenFile]:
        """The files that are open."""
        return [stream.opened for stream in self._streams if stream.opened is not None]

    @property
    def waits_for_files(self) -> bool:
        """Whether one of the files has not been there yet."""
        return None in [stream.fd for stream in self._streams]

    def close(self) -> None:
        for stream in self._streams:
            stream.close()

    def _look(self, events: list[Event]) -> None:
        """Both files, the first one again where the second has something to say: of what is then in one only, nothing
        in the other is older. Else stderr could have a line that follows one of stdout, written between the two looks.
        """
        before = self.offsets
        for stream in self._streams:
            stream.look(events, final=self._asked.final, now=self._asked.now)
        if self._streams[-1].has_unsaid:
            for stream in self._streams[:-1]:
                stream.look(events, final=self._asked.final, now=self._asked.now)
        after = self.offsets
        if self._chronology is not None and (after[0] < before[0] or after[1] < before[1]):
            self._chronology.forget()
        self._known = None
        self._is_watched = self._was_live
        self._was_live = self._was_live or not self._asked.final

    def _say(self, stream: Forward, piece: Piece, events: list[Event]) -> None:
        assert self._known is not None
        stretch = self._known.stretch
        stream.step(piece)
        if not piece.continued and (stream.is_final or not piece.partial):
            self._numbers[stream.number] += 1
        by, after = stretch.by, None
        if by is not None:
            by = self._time = max(by, self._time)
            if not stretch.groups and stretch.after is not None and by - stretch.after > _CLOSE_MICROSECONDS:
                after = stretch.after
        events.append(
            LogLineEvent(stream.name, piece.content, self.id, by, after, piece.continued, piece.partial, self._worker)
        )

    def _say_unfinished(self, events: list[Event], is_looked_at: bool) -> None:
        """Lines that have stood there for a while without an end, or when to try again: soon where the files were
        looked at only before a batch that is said now, for who reads slowly may have taken its time."""
        for stream in self._streams:
            if not stream.has_unsaid:
                continue
            left = stream.grown_at + SILENCE_SECONDS - self._asked.now if is_looked_at else FIRST_HOLD_SECONDS
            if left > 0:
                self.waits_seconds = min(left, SILENCE_SECONDS if self.waits_seconds is None else self.waits_seconds)
            elif (piece := stream.unfinished()) is not None:
                ends = [ENDLESS, ENDLESS]
                ends[stream.number] = stream.offset + piece.length
                self._known = _UNKNOWN
                if self._chronology is not None:
                    self._known = self._chronology.next(*ends) or self._chronology.rest(None, is_watched=True)
                self._say(stream, piece, events)

    def _lone(self) -> tuple[Forward, int] | None:
        """The stream that alone has been written to just now, as nearly always: what `_next` would find."""
        if self._known is not None or self._asked.final or not self._is_watched or self._chronology is None:
            return None
        unsaid = [stream for stream in self._streams if stream.has_unsaid]
        if len(unsaid) != 1:
            return None
        self._known = self._chronology.rest(None, is_watched=True)
        return unsaid[0], ENDLESS

    def _next(self, events: list[Event]) -> tuple[Forward, int] | None:
        """The stream whose turn it is, and up to which offset it is. None: there is nothing that can be said now."""
        pending = [stream for stream in self._streams if stream.peek(events) is not None]
        if not pending:
            return None
        due = self._due(pending, events)
        if not due:
            if not self._enter(pending, events):
                return None
            due = self._due(pending, events)
        assert self._known is not None
        begin, stretch = self._known
        ends = stretch.stdout, stretch.stderr
        if len(due) == 1:
            return due[0], ends[due[0].number]
        if stretch.groups < 2 or any(end - start > MOST_SORTED_BYTES for start, end in zip(begin, ends, strict=True)):
            return due[stretch.leader], ends[stretch.leader]
        stream = self._first_of(due)
        return stream, self._end_of(stream, events)

    def _due(self, pending: list[Forward], events: list[Event]) -> list[Forward]:
        """Those whose next piece was finished in the stretch that is being said."""
        if self._known is None:
            return []
        if self._known.stretch.stdout == ENDLESS:
            return pending
        ends = self._known.stretch.stdout, self._known.stretch.stderr
        return [stream for stream in pending if self._end_of(stream, events) <= ends[stream.number]]

    def _end_of(self, stream: Forward, events: list[Event]) -> int:
        piece = stream.peek(events)
        return ENDLESS if piece is None else stream.offset + piece.length

    def _enter(self, pending: list[Forward], events: list[Event]) -> bool:
        """Go to the stretch in which the next piece was finished. False: wait for the entry that says which it is."""
        self._counts = None
        if self._chronology is None:
            self._known = _UNKNOWN
            return True
        if len(pending) == 1 and self._is_watched and not self._asked.final:
            self._known = self._chronology.rest(None, is_watched=True)  # just written, and no order to be known
            return True
        ends = [ENDLESS, ENDLESS]
        for stream in pending:
            ends[stream.number] = self._end_of(stream, events)
        self._known = self._chronology.next(*ends)
        if self._known is not None:
            self._held_since = None
        elif len(pending) > 1 and self._was_live and self._is_held(self._chronology):
            return False
        else:
            ended_at = self._asked.ended_at if self._asked.final else None
            self._known = self._chronology.rest(ended_at, is_watched=self._is_watched)
        return True

    def _is_held(self, chronology: Chronology) -> bool:
        """Whether to wait for an entry: ever longer from one try to the next, and not for ever."""
        if self._held_since is None:
            self._held_since = self._asked.now
        waited, most = self._asked.now - self._held_since, chronology.hold_seconds
        if waited >= most:
            return False
        self.waits_seconds = min(max(waited, FIRST_HOLD_SECONDS), most - waited)
        return True

    def _first_of(self, due: list[Forward]) -> Forward:
        """Of both streams the one whose next line is older, within a stretch."""
        assert self._known is not None
        begin, stretch = self._known
        ends = stretch.stdout, stretch.stderr
        if self._counts is None:
            stdout, stderr = (
                stream.count_lines(start, end) for stream, start, end in zip(due, begin, ends, strict=True)
            )
            self._counts = max(stdout, 1), max(stderr, 1)
            self._numbers = [stream.count_lines(start, stream.offset) for stream, start in zip(due, begin, strict=True)]
        return min(due, key=self._place)

    def _place(self, stream: Forward) -> tuple[int, int]:
        assert self._known is not None and self._counts is not None
        number, count = self._numbers[stream.number], self._counts[stream.number]
        return self._known.stretch.place(stream.number, number, count), stream.number
