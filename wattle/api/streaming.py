"""The streams there are, as sources of the pump: logs of a worker, of a run, of a workflow; the history."""

from collections.abc import Callable, Collection, Hashable, Iterable
from typing import TYPE_CHECKING

from wattle.api import entities, sse
from wattle.errors import Malformed
from wattle.logs.follow import Follower
from wattle.logs.forward import OpenFile
from wattle.logs.merge import Merged

if TYPE_CHECKING:
    from wattle.service.reading import Reading

Watcher = Follower | Merged
EVENTS_AT_ONCE = 1000


class LogStream:
    """Logs, as `open_at(position)` watches them from a position on.

    `key` is what it watches, None where nobody else can want just this. `scope` is a workflow or a worker,
    `workflow[/worker]`, as the subjects of changes name them.
    """

    def __init__(self, open_at: Callable[[str], Watcher], watcher: Watcher, key: Hashable | None, scope: str) -> None:
        self._open_at = open_at
        self._watcher = watcher
        self._scope = scope
        self.key = key

    @property
    def more(self) -> bool:
        return self._watcher.more

    @property
    def done(self) -> bool:
        return self._watcher.done

    @property
    def position(self) -> str:
        return self._watcher.position

    @property
    def waits_for_files(self) -> bool:
        return self._watcher.waits_for_files

    @property
    def waits_seconds(self) -> float | None:
        return self._watcher.waits_seconds

    def files(self) -> Iterable[OpenFile]:
        return self._watcher.files()

    def concerns(self, subjects: Collection[str]) -> bool:
        workflow, _, worker = self._scope.partition("/")
        if not worker:
            return any(subject.partition("/")[0] == workflow for subject in subjects)
        return workflow in subjects or self._scope in subjects

    def at(self, position: str) -> "LogStream":
        return LogStream(self._open_at, self._open_at(position), self.key, self._scope)

    def poll(self, now: float, notified: bool) -> bytes:
        return b"".join(map(sse.encode, self._watcher.poll(now, notified)))

    def close(self) -> None:
        self._watcher.close()


class EventStream:
    """The history after an event, of one workflow or of all; every event of it is named `change`.

    It begins with `start`, so that whoever is cut off before the first of them goes on from there.
    """

    waits_for_files = False
    waits_seconds = None

    def __init__(self, reading: "Reading", workflow: str | None, after: int, *, follow: bool = True) -> None:
        self._reading = reading
        self._workflow = workflow
        self._after = after
        self._follow = follow
        self._has_begun = False
        self.key: Hashable | None = ("events", workflow) if follow else None
        self.more = False
        self.done = False

    @property
    def position(self) -> str:
        return str(self._after)

    def files(self) -> Iterable[OpenFile]:
        return ()

    def concerns(self, subjects: Collection[str]) -> bool:
        return bool(subjects)  # of other workflows too: whoever has heard all there is stands where the others stand

    def at(self, position: str) -> "EventStream":
        return EventStream(self._reading, self._workflow, int(position))

    def poll(self, now: float, notified: bool) -> bytes:
        newest = self._reading.last_event_id()  # before the events, so that none is passed over
        self._after = min(self._after, newest) if not self._has_begun else self._after
        said = [] if self._has_begun else [sse.start(self._after)]
        self._has_begun = True
        found = []
        if newest > self._after:
            found = self._reading.events(after=self._after, limit=EVENTS_AT_ONCE, workflow=self._workflow)
        said += [sse.event(entities.event(view), name="change", id=view.id) for view in found]
        self.more = len(found) == EVENTS_AT_ONCE
        self._after = found[-1].id if self.more else max([self._after, newest, *(view.id for view in found[-1:])])
        self.done = not self._follow and not self.more
        return b"".join(said)

    def close(self) -> None:
        self.done = True


class Changes:
    """The subjects of what has been committed since it was asked last; None: too many to be worth telling apart."""

    def __init__(self, reading: "Reading") -> None:
        self._reading = reading
        self._after: int | None = None

    def __call__(self) -> Collection[str] | None:
        found = [] if self._after is None else self._reading.events(after=self._after, limit=EVENTS_AT_ONCE)
        if self._after is None or len(found) == EVENTS_AT_ONCE:
            self._after = self._reading.last_event_id()
            return None
        if found:
            self._after = found[-1].id
        return {view.subject for view in found}


def event_id(text: str) -> int:
    """Malformed (`INVALID_EVENT_ID`) for what is no event's id."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        message = f"Last-Event-ID {text[:200]!r} is not the id of an event; leave it out to hear what comes"
        raise Malformed("INVALID_EVENT_ID", message)
    return int(text)
