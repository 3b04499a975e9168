"""Lines that match a regular expression, found by a process of its own: `python -m wattle.logs.search`.

Python's `re` can take for ever on one line, and holds up every other thread meanwhile. So each search is a child that
ends itself: after SOFT_SECONDS it says how far it has come, after HARD_SECONDS the kernel's timer ends it, in the
middle of a match if need be. Its memory is bounded too. A line longer than 64 KiB is matched in pieces.
"""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from wattle.errors import Malformed, Unavailable
from wattle.logs.holes import hole_end
from wattle.logs.lines import MAX_LINE_BYTES, cut
from wattle.logs.pages import Line, Missing, Shortened, dropped, not_there
from wattle.logs.read import open_log

SOFT_SECONDS = 2.0
HARD_SECONDS = 4.0
MEMORY_BYTES = 512 * 1024 * 1024
LONGEST_PATTERN = 1000
MOST_CONTEXT = 100
MOST_AT_ONCE = 2
_BLOCK_BYTES = 1024 * 1024

_slots = threading.BoundedSemaphore(MOST_AT_ONCE)


@dataclass(frozen=True, slots=True)
class Scope:
    """Where to look: one log, from an offset to another."""

    path: str
    stream: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Found:
    """`lines` are (line, does it match itself) in order; `next` where to go on; `at_end`: all was looked at."""

    missing: tuple[Missing, ...]
    lines: tuple[tuple[Line, bool], ...]
    next: int
    at_end: bool


def search(scopes: Sequence[Scope], pattern: str, context: int, max_bytes: int) -> list[Found]:
    """What matches in each scope, with `context` lines before and after; about `max_bytes` of lines in all.

    Blocks for HARD_SECONDS at most. Raises Malformed `INVALID_PARAMETER` for what is no regular expression,
    `GREP_TOO_SLOW` for one that does not come to an end; Unavailable `SEARCH_BUSY` while others search.
    """
    if not _slots.acquire(timeout=SOFT_SECONDS):
        raise Unavailable("SEARCH_BUSY", f"{MOST_AT_ONCE} searches in logs are under way; try again")
    try:
        with ExitStack() as opened:
            return _search(scopes, pattern, context, max_bytes, opened)
    finally:
        _slots.release()


def _search(scopes: Sequence[Scope], pattern: str, context: int, max_bytes: int, opened: ExitStack) -> list[Found]:
    places: list[dict[str, int] | Found] = []
    for scope in scopes:
        try:
            fd = open_log(scope.path)
        except OSError as error:
            places.append(Found((not_there(scope.stream, error),), (), scope.begin, True))
            continue
        opened.callback(os.close, fd)
        places.append({"fd": fd, "begin": scope.begin, "end": scope.end})
    asked = [place for place in places if isinstance(place, dict)]
    task = {"pattern": pattern, "context": context, "max_bytes": max_bytes, "places": asked}
    told = iter(_ask_child(task, [place["fd"] for place in asked]) if asked else [])
    return [
        place if isinstance(place, Found) else _found(scope.stream, next(told), place["fd"])
        for scope, place in zip(scopes, places, strict=True)
    ]


def _ask_child(task: dict[str, Any], descriptors: Sequence[int]) -> list[dict[str, Any]]:
    command = [sys.executable, "-P", "-m", "wattle.logs.search"]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, pass_fds=descriptors
    )
    # Whether it has ended is seen by its output: others of this process may reap its status.
    answer, _ = child.communicate(json.dumps(task).encode())
    try:
        told = json.loads(answer)
    except ValueError:
        raise Malformed(
            "GREP_TOO_SLOW",
            f"The expression {task['pattern'][:100]!r} needs more than {HARD_SECONDS:g} s or too much memory on these "
            "lines; make it simpler (nested repetitions take exponential time), or search less with from, since, until",
        ) from None
    if "error" in told:
        raise Malformed("INVALID_PARAMETER", f"The parameter 'grep' is no regular expression: {told['error']}")
    found: list[dict[str, Any]] = told["found"]
    return found


def _found(stream: int, told: dict[str, Any], fd: int) -> Found:
    missing: list[Missing] = []
    if told["shortened"]:
        missing.append(Shortened(stream, os.fstat(fd).st_size))
    if told["dropped"]:
        missing.append(dropped(stream, told["dropped"]))
    lines = tuple((Line(stream, *values), is_match) for *values, is_match in told["lines"])
    return Found(tuple(missing), lines, told["next"], told["at_end"])


# --- the child


class _Budget:
    def __init__(self, max_bytes: int) -> None:
        self.bytes = max_bytes  # left; the context of the last match may take as much again
        self._least = -max(max_bytes, MAX_LINE_BYTES)
        self._until = time.monotonic() + SOFT_SECONDS

    @property
    def is_late(self) -> bool:
        return time.monotonic() >= self._until

    def allows(self, *, is_match: bool, is_context: bool) -> bool:
        """Whether one more line may be given, or looked at."""
        return self.bytes > 0 or (is_context and not is_match and self.bytes > self._least)


def main() -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, HARD_SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    task = json.load(sys.stdin)
    try:
        pattern = re.compile(task["pattern"])
    except (re.error, OverflowError, RecursionError) as error:
        json.dump({"error": str(error)}, sys.stdout)
        return
    budget = _Budget(task["max_bytes"])
    json.dump({"found": [_look(place, pattern, task["context"], budget) for place in task["places"]]}, sys.stdout)


def _look(place: dict[str, int], pattern: re.Pattern[str], context: int, budget: _Budget) -> dict[str, Any]:
    fd, begin = place["fd"], place["begin"]
    size = os.fstat(fd).st_size
    is_short = begin > size
    begin = 0 if is_short else begin
    end = size if is_short else min(size, place["end"])
    kept = min(hole_end(fd, begin), end) if begin < end else begin
    lines, reached = _matches(fd, kept, end, pattern, context, budget)
    return {
        "lines": lines,
        "next": reached,
        "at_end": reached >= end,
        "dropped": kept - begin,
        "shortened": is_short,
    }


def _matches(
    fd: int, begin: int, end: int, pattern: re.Pattern[str], context: int, budget: _Budget
) -> tuple[list[list[Any]], int]:
    """Lines as lists of a Line's fields but the stream, and whether it matches; and how far it came.

    Who goes on from there gets the context that one search of all would give, as far as time allows.
    """
    found: list[list[Any]] = []
    before: deque[list[Any]] = deque(maxlen=context)
    after = 0
    reached = begin
    for number, line in enumerate(_lines(fd, begin, end)):
        if not number % 64 and budget.is_late:
            if before and before[0][1] > begin:
                reached = before[0][1]  # they may belong to a match that comes
            break
        is_match = pattern.search(line[0]) is not None
        if not budget.allows(is_match=is_match, is_context=after > 0):
            break
        if is_match:
            for shown in before:
                found.append([*shown, False])
                budget.bytes -= shown[2] - shown[1]
            before.clear()
            after = context
            found.append([*line, True])
            budget.bytes -= line[2] - line[1]
        elif after:
            after -= 1
            found.append([*line, False])
            budget.bytes -= line[2] - line[1]
        else:
            before.append(line)
        reached = line[2]
    else:
        reached = end
    return found, reached


def _lines(fd: int, begin: int, end: int) -> Iterator[list[Any]]:
    offset = begin
    continues = begin > 0 and os.pread(fd, 1, begin - 1) != b"\n"
    while offset < end:
        data = os.pread(fd, min(_BLOCK_BYTES, end - offset), offset)
        final = offset + len(data) >= end
        for piece in cut(data, final=final, limit=MAX_LINE_BYTES):
            yield [piece.content, offset, offset + piece.length, piece.continued, continues, piece.partial]
            offset, continues = offset + piece.length, piece.continued
        if final or not data:
            return


if __name__ == "__main__":
    main()
