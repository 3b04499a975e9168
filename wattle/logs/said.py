"""What a watcher of logs is told, as values, and the ids that say where it stands. PURE."""

import re
from dataclasses import dataclass
from typing import NamedTuple

from wattle.errors import Malformed

NO_ATTEMPT = "-"  # stands for the uid in the id of a worker that ended without an attempt

_POSITION = re.compile(r"([A-Za-z0-9_-]{1,128}):([0-9]{1,18}):([0-9]{1,18})", re.ASCII)


class LogLineEvent(NamedTuple):
    """A line of `type` "stdout" or "stderr". `time` (µs since 1970): by then it had been written; None: not known.

    `after` (µs) is told where nobody watched and the two are far apart: it had not been written then.
    `continued`: the line goes on in the next event of this type. `partial`: its newline was never written.
    `worker` is None in the stream of a single worker.
    """

    type: str
    content: str
    id: str
    time: int | None = None
    after: int | None = None
    continued: bool = False
    partial: bool = False
    worker: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """What follows is the output of another attempt, from its start."""

    number: int
    uid: str
    id: str
    worker: str | None = None
    run_id: int | None = None


@dataclass(frozen=True, slots=True)
class Truncated:
    """Somebody cut `stream`'s file short: what follows of it starts at the file's start."""

    stream: str
    size_bytes: int
    id: str
    worker: str | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Something of `stream` is not there to be read. `dropped_bytes` is None where nobody knows how much."""

    stream: str
    reason: str
    dropped_bytes: int | None
    id: str
    worker: str | None = None


@dataclass(frozen=True, slots=True)
class End:
    """The worker's part in its run is over, or the run is; nothing follows."""

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
            raise not_an_id(text)
        return cls(match[1], int(match[2]), int(match[3]))

    def __str__(self) -> str:
        return f"{self.uid}:{self.stdout}:{self.stderr}"


def not_an_id(text: str) -> Malformed:
    return Malformed(
        "INVALID_EVENT_ID",
        f"Last-Event-ID {text[:200]!r} is not the id of a log event; leave it out to read from the start",
    )
