"""Which lines of logs are wanted, and how a server is asked for them: it searches its logs itself.

What is there is asked for in pages of what matches; only what comes in a stream is chosen here.
"""

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from wattle.cli.printing import instant_of
from wattle.client import Client, ClientError

Worker = tuple[str, str]  # (workflow, worker)
Line = dict[str, Any]

MOST_LINES = 100_000  # that a server gives as a tail
PAGE_BYTES = 4 * 1024 * 1024
BUSY_SECONDS = 30.0
TRIES = 5
STREAMS = ("stdout", "stderr")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines. `stream` None: both. Times are those that a line may have been written at."""

    stream: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    grep: "re.Pattern[str] | None" = None

    @property
    def is_part(self) -> bool:
        """Not all lines of a stream."""
        return not (self.since is None and self.until is None and self.grep is None)

    def keeps(self, line: Line, *, is_new: bool = True) -> bool:
        """Of what comes in a stream; what is no line always. `is_new`: a line without a time is written now."""
        if line["type"] not in STREAMS:
            return True
        at = instant_of(line) or (datetime.now(UTC) if is_new else None)
        if self.since is not None and (at is None or at < self.since):
            return False
        if self.until is not None and (at is None or at > self.until):
            return False
        return self.grep is None or self.grep.search(line["content"]) is not None

    @property
    def query(self) -> dict[str, Any]:
        """As a server takes it."""
        asked = {
            "stream": self.stream,
            "since": self.since and self.since.astimezone(UTC).isoformat(),
            "until": self.until and self.until.astimezone(UTC).isoformat(),
            "grep": self.grep and self.grep.pattern,
        }
        return {name: value for name, value in asked.items() if value}


class Tail(NamedTuple):
    """The last lines; not `complete` where the server gave fewer than there are of those asked for."""

    lines: list[Line]
    complete: bool


class Beginning(NamedTuple):
    """What there is of a worker's newest attempt, and the id from which a stream goes on. `is_over`: it has ended."""

    lines: list[Line]
    id: str = ""
    is_over: bool = False


def read_tail(
    client: Client, worker: Worker, most: int, wanted: Wanted, *, attempt: int | None = None, with_times: bool = False
) -> Tail:
    """The last `most` wanted lines of each stream."""
    if wanted.is_part or most > MOST_LINES:
        lines, _ = _read_all(client, worker, most, wanted, attempt)
        return Tail(lines, True)
    asked: dict[str, Any] = {"tail": most} | wanted.query
    asked |= {"attempt": attempt} if attempt is not None else {}
    answer = client.log_page(*worker, **asked | ({"times": True} if with_times else {}))
    return Tail([_plain(entry) for entry in answer["data"]], answer.get("complete", True))


def read_beginning(
    client: Client, worker: Worker, most: int | None, wanted: Wanted, number: int | None = None
) -> Beginning:
    """The wanted lines that are there, the last `most` of each stream; of attempt `number`, None: the newest. Empty
    where that was not started yet."""
    attempt = _attempt(client, worker, number)
    for _ in range(TRIES):
        if attempt is None:
            return Beginning([])
        lines, ends = _read_all(client, worker, most, wanted, attempt["number"], is_live=not attempt["completed_at"])
        before, attempt = attempt, _attempt(client, worker, number)
        if attempt is not None and attempt["uuid"] == before["uuid"]:
            place = f"{before['uuid']}:{ends['stdout']}:{ends['stderr']}"
            return Beginning(lines, place, bool(before["completed_at"]))
    return Beginning([])  # attempt follows upon attempt, and it is not known of which one the lines are


def whole_lines(lines: Iterable[Line]) -> Iterator[Line]:
    """What a stream tells of a line before its end has come, together with its rest: an expression meets it whole."""
    begun: dict[str, Line] = {}
    for line in lines:
        if line["type"] not in STREAMS:
            yield from begun.values()
            begun = {}
            yield line
            continue
        before = begun.pop(line["type"], None)
        whole = line if before is None else line | {"content": before["content"] + line["content"]}
        if whole.get("partial"):
            begun[whole["type"]] = whole
        else:
            yield whole
    yield from begun.values()


def _attempt(client: Client, worker: Worker, number: int | None) -> dict[str, Any] | None:
    state = client.why(*worker)
    if state["run_id"] is None:
        return None
    found = [one for one in client.get_run(state["run_id"])["attempts"] if one["worker"] == worker[1]]
    if number is not None:
        found = [one for one in found if one["number"] == number]
    return max(found, key=lambda one: one["number"], default=None)


def _read_all(
    client: Client, worker: Worker, most: int | None, wanted: Wanted, attempt: int | None, *, is_live: bool = False
) -> tuple[list[Line], dict[str, int]]:
    """The lines of all pages and where they end, {stream: offset}. Of a log that grows: as it was to begin with.

    `is_live`: a last line without its newline is left for later.
    """
    asked: dict[str, Any] = wanted.query | {"limit": PAGE_BYTES}
    asked |= {"attempt": attempt} if attempt is not None else {}
    kept: list[Line] = []
    ends = dict.fromkeys(STREAMS, 0)
    last: dict[str, int] | None = None
    for answer in _pages(client, worker, asked):
        entries = answer["data"]
        ends |= _ends(answer["next"], wanted.stream)
        if is_live:
            unfinished = [entry for entry in entries if entry.get("partial")]
            ends |= {entry["type"]: entry["offset"] for entry in unfinished}
            entries = [entry for entry in entries if not entry.get("partial")]
        kept = _last(kept + [_plain(entry) for entry in entries if entry["type"] in STREAMS], most)
        if not answer["complete"] and last is None:
            of_all: dict[str, Any] = {name: asked[name] for name in ("stream", "attempt") if name in asked}
            of_all |= {"tail": 1, "times": True}
            tail = client.log_page(*worker, **of_all)
            last = {entry["type"]: entry["offset"] for entry in tail["data"] if entry["type"] in STREAMS}
        if last is not None and all(ends[stream] > offset for stream, offset in last.items()):
            break
    return kept, ends


def _pages(client: Client, worker: Worker, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    place: dict[str, Any] = {}
    busy_until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            answer = client.log_page(*worker, **asked | place)
        except ClientError as error:
            if error.code != "SEARCH_BUSY" or time.monotonic() > busy_until:
                raise
            time.sleep(0.2)
            continue
        yield answer
        if answer["complete"] or {"from": answer["next"]} == place:
            return
        place = {"from": answer["next"]}
        busy_until = time.monotonic() + BUSY_SECONDS


def _ends(place: int | str, stream: str | None) -> dict[str, int]:
    """`next` of a page, by stream."""
    if stream is not None:
        return {stream: int(place)}
    return dict(zip(STREAMS, map(int, str(place).split(":")), strict=True))


def _last(lines: list[Line], most: int | None) -> list[Line]:
    if most is None:
        return lines
    left = dict.fromkeys(STREAMS, most)
    kept = []
    for line in reversed(lines):
        left[line["type"]] -= 1
        if left[line["type"]] >= 0:
            kept.append(line)
    return kept[::-1]


def _plain(entry: Line) -> Line:
    """As a stream would say it."""
    if entry["type"] not in STREAMS:
        return entry
    return {name: entry[name] for name in ("type", "content", "time", "continued") if name in entry}
