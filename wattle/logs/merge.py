"""One watcher of many workers' logs at once: those of a run, or of all runs of a workflow from one on.

Like `follow.py`, but for its ids. An id says which attempts have been said to their end: all up to a number but those
that are listed with their offsets, `<first run>.<attempt>[,<attempt>:<stdout>:<stderr>]…`, numbers of the database.
So it is as long as workers run at one time, whatever their run's size, and needs nobody's memory.

Attempts that have ended are said one by one, in the order in which they came; those that run, each as it grows.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from wattle.logs.chronology import Chronology
from wattle.logs.follow import LOOK_SECONDS
from wattle.logs.forward import OpenFile, size_or
from wattle.logs.lines import MAX_LINE_BYTES
from wattle.logs.output import BATCH_BYTES, BATCH_LINES, STREAMS, Output
from wattle.logs.said import Attempt, End, Event, not_an_id

_MOST_OPEN = 10_000
_POSITION = re.compile(r"([0-9]{1,18})\.([0-9]{1,18})((?:,[0-9]{1,18}:[0-9]{1,18}:[0-9]{1,18})*)", re.ASCII)


class Written(Protocol):
    """One attempt and where it writes: `service.views.WrittenLog`."""

    @property
    def id(self) -> int: ...
    @property
    def uid(self) -> str: ...
    @property
    def worker(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def run_id(self) -> int: ...
    @property
    def stdout(self) -> str: ...
    @property
    def stderr(self) -> str: ...
    @property
    def live(self) -> bool: ...
    @property
    def started_at(self) -> int | None: ...
    @property
    def ended_at(self) -> int | None: ...
    @property
    def logs_removed(self) -> bool: ...


class State(Protocol):
    """`service.views.LogsState`: the attempts asked for and those that came later, by id. `first_run` 0: no run."""

    @property
    def first_run(self) -> int: ...
    @property
    def attempts(self) -> Sequence[Written]: ...
    @property
    def over(self) -> bool: ...
    @property
    def status(self) -> str: ...


class Place(NamedTuple):
    """What an id says: `open` are the attempts up to `high` that have not been said to their end, {id: offsets}."""

    first_run: int
    high: int
    open: Mapping[int, tuple[int, int]]

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Raises errors.Malformed (`INVALID_EVENT_ID`)."""
        match = _POSITION.fullmatch(text)
        if match is None or match[3].count(",") > _MOST_OPEN:
            raise not_an_id(text)
        listed = [tuple(map(int, part.split(":"))) for part in match[3].split(",")[1:]]
        return cls(int(match[1]), int(match[2]), {number: (out, err) for number, out, err in listed})


# (an id's first run and high, None: from the latest run's start; the attempts of which news are wanted)
Look = Callable[[tuple[int, int] | None, Sequence[int]], State]


@dataclass(slots=True)
class _Open:
    attempt: Written
    output: Output
    is_live: bool
    is_parked: bool = False  # all that was there has been said, and nobody waits for more
    before: str = field(default="")
    after: str = field(default="")

    def __str__(self) -> str:
        stdout, stderr = self.output.offsets
        return f",{self.attempt.id}:{stdout}:{stderr}"


class Merged:
    """The state of one watcher. Use it from one thread at a time; `close` it. The arguments are `follow.Follower`'s."""

    def __init__(
        self,
        look: Look,
        *,
        position: str | None = None,
        follow: bool = True,
        tail: int | None = None,
        streams: tuple[str, ...] = STREAMS,
        max_line_bytes: int = MAX_LINE_BYTES,
        chronology: Callable[[Written], Chronology | None] | None = None,
    ) -> None:
        self._look = look
        self._place = Place.parse(position) if position else None
        self._given = position or ""
        self._follow = follow
        self._tail = tail
        self._streams = streams
        self._limit = max_line_bytes
        self._chronology = chronology
        self._state: State | None = None
        self._looked_at = 0.0
        self._first_run = self._place.first_run if self._place else 0
        self._high = self._place.high if self._place else 0
        self._has_begun = False
        self._open: dict[int, _Open] = {}
        self._to_come: list[Written] = []
        self.more = False
        self.done = False

    @property
    def finished(self) -> bool:
        """Whether the position given is the end of what has ended, so that there is nothing to say (204)."""
        place = self._place
        if place is None:
            return False
        state = self._look((place.first_run, place.high), list(place.open))
        if not state.over:
            return False
        for attempt in state.attempts:
            if attempt.live or attempt.id not in place.open:
                return False
            ends = zip(STREAMS, (attempt.stdout, attempt.stderr), place.open[attempt.id], strict=True)
            if any(size_or(path, said) != said for name, path, said in ends if name in self._streams):
                return False
        return True

    @property
    def position(self) -> str:
        """The id of what has been said last, empty where nothing can be said yet."""
        return self._id() if self._has_begun else self._given

    def poll(self, now: float, changed: bool = True) -> list[Event]:
        """What there is to say, a bounded batch; as `Follower.poll`."""
        self.more = False
        events: list[Event] = []
        if self.done:
            return events
        state = self._look_again(now, changed)
        if state.first_run == 0:
            if not self._follow:
                self.close()
            return events
        self._begin_next(events)
        self._deliver(events, now)
        if self._to_come:
            self.more = True
        elif not self.more and all(each.is_parked for each in self._open.values()):
            self._perhaps_finish(state, events)
        return events

    def files(self) -> Iterator[OpenFile]:
        """The files that may grow."""
        for each in self._open.values():
            if not each.is_parked:
                yield from each.output.files()

    @property
    def waits_for_files(self) -> bool:
        return any(each.output.waits_for_files for each in self._open.values() if not each.is_parked)

    @property
    def waits_seconds(self) -> float | None:
        waits = (each.output.waits_seconds for each in self._open.values())
        return min((seconds for seconds in waits if seconds is not None), default=None)

    def close(self) -> None:
        self.done = True
        for each in self._open.values():
            each.output.close()

    def _look_again(self, now: float, changed: bool) -> State:
        state = self._state
        if state is not None and not changed and now - self._looked_at < LOOK_SECONDS:
            return state
        known = (self._first_run, self._high) if self._first_run else None
        listed = list(self._open) if self._has_begun or self._place is None else list(self._place.open)
        self._state = state = self._look(known, listed)
        self._looked_at = now
        found = {attempt.id: attempt for attempt in state.attempts}
        for number, each in self._open.items():  # one that is gone has ended
            each.attempt = found.get(number, each.attempt)
            each.is_live = number in found and found[number].live
        if not self._has_begun and state.first_run:
            self._resume(state, found)
        self._to_come = [attempt for attempt in state.attempts if attempt.id > self._high]
        if self._has_begun and not self._to_come:
            self._tail = None  # what comes now is new
        return state

    def _resume(self, state: State, found: Mapping[int, Written]) -> None:
        self._has_begun = True
        self._first_run = state.first_run
        for number, offsets in sorted(self._place.open.items()) if self._place else ():
            if number in found:
                self._begin(found[number]).output.start_at(*offsets)

    def _begin_next(self, events: list[Event]) -> None:
        """Open what has come: everything that runs, and of what has ended one at a time."""
        while self._to_come and all(each.is_live or each.is_parked for each in self._open.values()):
            attempt = self._to_come.pop(0)
            self._high = attempt.id
            opened = self._begin(attempt)
            if self._tail is not None and self._place is None:
                opened.output.start_at_tail(self._tail)
            what = (attempt.number, attempt.uid, self._id(), attempt.worker, attempt.run_id)
            events.append(Attempt(*what))
            if not self._to_come:
                self._state, self.more = None, True  # there may be more than a look tells at once
            if len(events) >= BATCH_LINES:
                return

    def _begin(self, attempt: Written) -> _Open:
        number = attempt.id
        output = Output(
            (attempt.stdout, attempt.stderr),
            lambda stdout, stderr: f"{opened.before},{number}:{stdout}:{stderr}{opened.after}",
            streams=self._streams,
            max_line_bytes=self._limit,
            worker=attempt.worker,
            chronology=self._chronology(attempt) if self._chronology is not None else None,
            is_removed=attempt.logs_removed,
        )
        opened = self._open[number] = _Open(attempt, output, attempt.live)
        return opened

    def _deliver(self, events: list[Event], now: float) -> None:
        """What each open attempt has to say, in turn; who has been served comes last the next time."""
        said = 0
        for number in list(self._open):
            if len(events) >= BATCH_LINES or said >= BATCH_BYTES:
                self.more = True
                return
            each = self._open[number]
            if each.is_parked:
                continue
            each.before, each.after = self._around(number)
            said -= sum(each.output.offsets)
            final = not each.is_live or not self._follow
            is_through = each.output.deliver(events, final=final, now=now, ended_at=each.attempt.ended_at)
            said += sum(each.output.offsets)
            if is_through and not each.is_live:
                each.output.close()
                del self._open[number]
            elif is_through:
                each.is_parked = True
            elif each.output.waits_seconds is None:
                if each.output.has_more or not each.is_live or not self._follow:
                    self.more = True
                if each.output.has_more:
                    self._open[number] = self._open.pop(number)

    def _perhaps_finish(self, state: State, events: list[Event]) -> None:
        if state.over and not self._open:
            events.append(End(state.status, None, self._id()))
            self.close()
        elif not self._follow:
            self.close()

    def _around(self, number: int) -> tuple[str, str]:
        """The parts of an id before and after an attempt's own: the others are listed by number."""
        listed = [(other, str(each)) for other, each in sorted(self._open.items()) if other != number]
        before = "".join(text for other, text in listed if other < number)
        return f"{self._first_run}.{self._high}{before}", "".join(text for other, text in listed if other > number)

    def _id(self) -> str:
        return "".join(self._around(-1))
