"""One watcher of one worker's log: what to say next, as values.

It waits for nothing and starts nothing: somebody calls `poll` when something may have changed. It holds open
descriptors, so a log that is deleted or renamed while it is written is followed to its end.

The rules (design.md, section 6, Stream events; A20, A21):
* Every event's id is `<attempt uid>:<stdout offset>:<stderr offset>`, both after it. A watcher that starts from
  an id says exactly what follows: nothing twice, nothing left out.
* An attempt counts as ended only if `look` said so *before* the sizes were read: so no byte is missed.
* When a later attempt exists, the rest of the one being read is said first, then `Attempt`, then the next one from
  its start. None is passed over within a run.
* A watcher without an id begins with the newest attempt, and so does one with an id of which nothing is known.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from wattle.logs.chronology import Chronology
from wattle.logs.forward import OpenFile, size_or
from wattle.logs.lines import MAX_LINE_BYTES
from wattle.logs.output import STREAMS, Output
from wattle.logs.said import NO_ATTEMPT, Attempt, End, Event, Position

LOOK_SECONDS = 60.0  # how old a look may get while nobody reports a change


class State(Protocol):
    """What a watcher must know of an attempt and its worker: `service.views.LogState`."""

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
    @property
    def started_at(self) -> int | None: ...
    @property
    def ended_at(self) -> int | None: ...
    @property
    def next_uid(self) -> str | None: ...
    @property
    def logs_removed(self) -> bool: ...


Look = Callable[[str | None], State]


class Follower:
    """The state of one watcher. Use it from one thread at a time; `close` it.

    `look(uid)` tells of that attempt, or of the newest where `uid` is None or unknown; it is called once a poll,
    and once more where an attempt follows. `position` is an event's id to go on from (None or empty: from the start).
    `follow=False`: what is there now, then nothing more. `tail`: begin with the last so many lines of each stream
    (only without a position). `chronology` gives what is known of an attempt's times.

    After a poll, `more` says that there is more to say at once, `done` that nothing will ever follow, `waits_seconds`
    how soon to poll again though nobody reports a change.
    """

    def __init__(
        self,
        look: Look,
        *,
        position: str | None = None,
        follow: bool = True,
        tail: int | None = None,
        streams: tuple[str, ...] = STREAMS,
        max_line_bytes: int = MAX_LINE_BYTES,
        chronology: Callable[[State], Chronology | None] | None = None,
    ) -> None:
        self._look = look
        self._position = Position.parse(position) if position else None
        self._follow = follow
        self._tail = tail
        self._streams = streams
        self._limit = max_line_bytes
        self._chronology = chronology
        self._state: State | None = None
        self._looked_at = 0.0
        self._uid: str | None = None
        self._output: Output | None = None
        self.more = False
        self.done = False

    @property
    def finished(self) -> bool:
        """Whether the position given is the end of a worker that has ended, so that there is nothing to say (204).

        A log that is no longer there is at its end too: a client which reconnects by itself must come to rest.
        """
        position = self._position
        if position is None:
            return False
        state = self._look(None if position.uid == NO_ATTEMPT else position.uid)
        if state.live or not state.over or state.next_uid or position.uid != (state.attempt_uid or NO_ATTEMPT):
            return False
        ends = zip(STREAMS, (state.stdout, state.stderr), position[1:], strict=True)
        return all(size_or(path, said) == said for name, path, said in ends if name in self._streams)

    @property
    def position(self) -> str:
        """The id of what has been said last, empty where nothing can be said yet."""
        if self._output is not None or self.done:
            return self._id()
        return str(self._position or "")

    def poll(self, now: float, changed: bool = True) -> list[Event]:
        """What there is to say, a bounded batch. `now` is monotonic seconds.

        `changed=False`: nobody has reported a change since the last poll, so a look that is not older than
        LOOK_SECONDS will do.
        """
        self.more = False
        if self.done:
            return []
        state = self._look_again(now, changed)
        events: list[Event] = []
        output = self._output or self._begin(state, events)
        if output is None:
            return events
        ended = not state.live or state.next_uid is not None or state.attempt_uid != self._uid
        ended_at = state.ended_at if state.attempt_uid == self._uid else None
        if output.deliver(events, final=ended or not self._follow, now=now, ended_at=ended_at):
            self._turn_the_page(state, ended, events)
        elif output.waits_seconds is None:
            self.more = output.has_more or ended or not self._follow
        return events

    def files(self) -> Sequence[OpenFile]:
        """The files that may grow."""
        return self._output.files() if self._output is not None else ()

    @property
    def waits_for_files(self) -> bool:
        """Whether a live attempt has no file yet, of which nobody will tell that it was made."""
        return self._output is not None and self._output.waits_for_files

    @property
    def waits_seconds(self) -> float | None:
        return self._output.waits_seconds if self._output is not None else None

    def close(self) -> None:
        """Nothing more will be asked: gives back the descriptors."""
        self.done = True
        if self._output is not None:
            self._output.close()

    def _look_again(self, now: float, changed: bool) -> State:
        if self._state is None or changed or now - self._looked_at >= LOOK_SECONDS:
            uid = self._uid or (self._position.uid if self._position else None)
            self._state, self._looked_at = self._look(None if uid == NO_ATTEMPT else uid), now
        return self._state

    def _begin(self, state: State, events: list[Event]) -> Output | None:
        """Open an attempt, if there is one. A worker that has not been started yet is waited for."""
        if state.attempt_uid is None:
            if state.over:
                self._finish(state, events)
            elif not self._follow:
                self.close()
            return None
        known, self._position = self._position, None
        output = self._open(state)
        if known is not None and known.uid == state.attempt_uid:
            output.start_at(known.stdout, known.stderr)
        elif known is not None:
            events.append(Attempt(state.attempt, state.attempt_uid, self._id()))
        elif self._tail is not None:
            output.start_at_tail(self._tail)
        return output

    def _open(self, state: State) -> Output:
        if self._output is not None:
            self._output.close()
        self._state, self._uid = state, state.attempt_uid
        self._output = Output(
            (state.stdout, state.stderr),
            lambda stdout, stderr: f"{state.attempt_uid}:{stdout}:{stderr}",
            streams=self._streams,
            max_line_bytes=self._limit,
            chronology=self._chronology(state) if self._chronology is not None else None,
            is_removed=state.logs_removed,
        )
        return self._output

    def _turn_the_page(self, state: State, ended: bool, events: list[Event]) -> None:
        """The attempt being read has been said to its end."""
        if state.attempt_uid == self._uid and state.next_uid is not None:
            state = self._look(state.next_uid)
        if state.attempt_uid not in (None, self._uid):
            self._open(state)
            events.append(Attempt(state.attempt, str(self._uid), self._id()))
            self.more = True
        elif ended and state.over:
            self._finish(state, events)
        elif not self._follow:
            self.close()

    def _finish(self, state: State, events: list[Event]) -> None:
        events.append(End(state.status, state.exit_code, self._id()))
        self.close()

    def _id(self) -> str:
        return self._output.id if self._output is not None else f"{NO_ATTEMPT}:0:0"
