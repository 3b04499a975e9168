"""How lines of logs look: behind which name, in which colours, with or without their time.

On a terminal colours of the worker's own pass and nothing else that steers it; in a pipe a line is as it was.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from wattle.cli.output import Screen, pad, size, width
from wattle.logs.escapes import for_screen, last_written

COLOURS = ("36", "33", "35", "32", "34", "96", "93", "95", "92", "94")
LOST = ("gap", "truncated")


def told(entry: dict[str, Any], *, colours: bool) -> str:
    """An entry of a log for a screen: a line as a terminal may see it, else what was lost."""
    if entry["type"] not in ("stdout", "stderr"):
        return f"[{_lost(entry) if entry['type'] in LOST else entry.get('message')}]"
    return for_screen(last_written(entry["content"]), colours=colours)


def _lost(entry: dict[str, Any]) -> str:
    """Of which stream, what, and how much."""
    stream = entry.get("stream") or "the log"
    if entry["type"] == "truncated":
        return f"{stream} was cut down to nothing"
    amount = f", {size(entry['dropped_bytes'])}" if entry.get("dropped_bytes") else ""
    return f"a part of {stream} is missing: {entry.get('reason') or 'it was dropped'}{amount}"


class Printer:
    """Lines of several logs, each behind its `name` where `names` holds several, or `has_prefix` says so."""

    def __init__(
        self,
        out: Screen,
        names: Sequence[str],
        *,
        as_json: bool = False,
        has_prefix: bool = False,
        with_times: bool = False,
        raw: bool = False,
    ) -> None:
        self._out, self._as_json, self._with_times, self._raw = out, as_json, with_times, raw
        self._has_prefix = has_prefix or len(names) > 1
        self._wide = max(map(width, names), default=0) if self._has_prefix else 0
        self._colours = {name: COLOURS[position % len(COLOURS)] for position, name in enumerate(names)}
        self._unfinished: tuple[str, str] | None = None  # (name, stream) of a line that goes on

    def line(self, name: str, line: dict[str, Any]) -> None:
        """What is not a line of the log (`end`, `attempt`, …) is told in JSON only, but for what was lost."""
        if line["type"] not in ("stdout", "stderr") and self._unfinished is not None:
            self._unfinished = None
            self._out.say()
        if self._as_json:
            self._out.say(json.dumps({"worker": name, **line}, ensure_ascii=not self._out.has_glyphs))
        elif line["type"] in ("stdout", "stderr"):
            self._log_line(name, line)
        elif line["type"] in (*LOST, "error"):
            self._out.say(f"{self._prefix(name)}{told(line, colours=False)}")

    def _log_line(self, name: str, line: dict[str, Any]) -> None:
        """A very long line comes in pieces, as does one that stops before its end; alone on the screen they are put
        together again, but for what a progress bar writes over."""
        key = (name, line["type"])
        goes_on = self._unfinished == key and not (self._out.is_terminal and line["content"].startswith("\r"))
        if self._unfinished is not None and not goes_on:
            self._out.say()
        is_piece = line.get("continued") or line.get("partial")
        self._unfinished = key if is_piece and not self._has_prefix else None
        mark = ("! " if line["type"] == "stderr" else "  ") if self._out.is_terminal else ""
        head = "" if goes_on else f"{self._prefix(name)}{self._time(line)}{self._out.paint(mark, '33')}"
        self._out.say(f"{head}{self._content(line['content'])}", end="" if self._unfinished else "\n")

    def _content(self, text: str) -> str:
        if self._raw or not self._out.is_terminal:
            return text
        return for_screen(last_written(text), colours=self._out.has_colour)

    def _prefix(self, name: str) -> str:
        return self._out.paint(f"{pad(name, self._wide)} | ", self._colours.get(name, "2")) if self._has_prefix else ""

    def _time(self, line: dict[str, Any]) -> str:
        """Local time with milliseconds, as long as a blank where the server does not know it."""
        if not self._with_times:
            return ""
        at = instant_of(line)
        text = "-" if at is None else at.astimezone().isoformat(" ", "milliseconds")[:23]
        return self._out.dim(f"{text:<23} ")


def instant_of(line: dict[str, Any]) -> datetime | None:
    """When a line was written; None where that is not known. Servers tell seconds since 1970 or an instant."""
    from datetime import UTC

    time = line.get("time")
    if isinstance(time, (int, float)):
        return datetime.fromtimestamp(time, UTC)
    return datetime.fromisoformat(time) if isinstance(time, str) else None
