"""How things look in a terminal: states, instants, durations, sizes, tables; plain text where it is none.

No calls, no data directory. A state is always a word, with a glyph before it and, in a terminal, a colour.
"""

import json
import os
import shutil
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TextIO


class Look(NamedTuple):
    glyph: str
    ascii: str
    colour: str  # SGR parameters


_CALM, _BUSY, _GOOD, _BAD, _ODD = "2", "34", "32", "1;31", "33"
LOOKS = {
    "created": Look("○", ".", _CALM),
    "waiting": Look("○", ".", _CALM),
    "queued": Look("◌", ":", _CALM),
    "starting": Look("▶", ">", _BUSY),
    "running": Look("▶", ">", _BUSY),
    "ready": Look("●", ">", _BUSY),
    "stopping": Look("■", "~", _ODD),
    "retrying": Look("↻", "~", _ODD),
    "completed": Look("✓", "+", _GOOD),
    "failed": Look("✗", "x", _BAD),
    "cancelled": Look("⊘", "-", _ODD),
}
_UNKNOWN = Look("?", "?", _ODD)
NO_WORKFLOWS = "there are no workflows. `wattle init FILE` writes a definition, `wattle run FILE` stores and runs it"
_NO_WIDTH = frozenset({"Mn", "Me"})  # marks over, under and around others
LAST_COLUMNS = 20  # what the last column of a table gets in a narrow terminal
LEAST_CUT_COLUMNS = 8
LEAST_NAME_COLUMNS = 16  # of the first column, by which rows are told apart; from ROOMY_COLUMNS on
ROOMY_COLUMNS = 60


class Screen:
    """One output stream and what it can show. `colour` is "always", "never", or "auto": as stream and environment are.

    NO_COLOR (no-color.org) wins over FORCE_COLOR (force-color.org), and `colour` over both.
    """

    def __init__(self, stream: TextIO, environ: Mapping[str, str] = os.environ, colour: str = "auto") -> None:
        self.stream = stream
        self.is_terminal = _is_terminal(stream) and environ.get("TERM") != "dumb"
        self.has_colour = (self.is_terminal or bool(environ.get("FORCE_COLOR"))) and not environ.get("NO_COLOR")
        if colour != "auto":
            self.has_colour = colour == "always"
        is_utf8 = (stream.encoding or "").lower().replace("-", "") == "utf8"
        self.has_glyphs = is_utf8 and not _asks_for_ascii(environ)
        self.columns = shutil.get_terminal_size().columns if self.is_terminal else None

    def say(self, text: str = "", end: str = "\n") -> None:
        self.stream.write(text + end)
        self.stream.flush()

    def paint(self, text: str, sgr: str) -> str:
        return f"\x1b[{sgr}m{text}\x1b[0m" if self.has_colour and text else text

    def bold(self, text: str) -> str:
        return self.paint(text, "1")

    def dim(self, text: str) -> str:
        return self.paint(text, "2")

    def state(self, word: str, pad: int = 0) -> str:
        """Glyph and word, filled with blanks to `pad` columns."""
        look = LOOKS.get(word, _UNKNOWN)
        text = f"{look.glyph if self.has_glyphs else look.ascii} {word}"
        return self.paint(text, look.colour) + " " * (pad - len(text))

    def json(self, value: Any) -> None:
        """One document; text that the stream cannot encode is escaped."""
        self.say(json.dumps(value, indent=2, ensure_ascii=not self.has_glyphs))

    def jsonl(self, values: Iterable[Any]) -> None:
        """A line for each."""
        for value in values:
            self.say(json.dumps(value, ensure_ascii=not self.has_glyphs))

    def names(self, names: Iterable[str]) -> None:
        """One a line, for a script."""
        for name in names:
            self.say(plain(name))

    def table(
        self,
        headings: Sequence[str],
        rows: Iterable[Sequence[str]],
        state_column: int | None = None,
        spare: Sequence[int] = (),
    ) -> None:
        """Aligned columns; in a terminal wide ones are cut so that the last one has room, and those in `spare` are left
        out one after the other where that is not enough. Never in a pipe."""
        rows = [[_one_line(cell) for cell in row] for row in rows]
        if self.columns is not None and spare and not self._has_room(headings, rows, state_column):
            gone, *further = spare
            self.table(
                _without(headings, gone),
                [_without(row, gone) for row in rows],
                None if state_column is None else state_column - (gone < state_column),
                [column - (gone < column) for column in further],
            )
            return
        widths = [max(map(width, column)) for column in zip(headings, *rows, strict=True)]
        if state_column is not None:
            widths[state_column] = max(widths[state_column], *(width(row[state_column]) + 2 for row in rows), 0)
        if self.columns is not None:
            widths = fitted(widths, self.columns, state_column)
        self.say(self.bold(self._row(headings, widths, None)))
        for row in rows:
            self.say(self._row(row, widths, state_column))

    def _has_room(self, headings: Sequence[str], rows: Sequence[Sequence[str]], state_column: int | None) -> bool:
        """For every column, the last one cut to what is left to it."""
        assert self.columns is not None
        widths = [max(map(width, column)) for column in zip(headings, *rows, strict=True)]
        if state_column is not None:
            widths[state_column] = max(widths[state_column], *(width(row[state_column]) + 2 for row in rows), 0)
        used = sum(fitted(widths, self.columns, state_column)[:-1]) + 2 * (len(widths) - 1)
        return used + min(widths[-1], LAST_COLUMNS) <= self.columns

    def _row(self, cells: Sequence[str], widths: Sequence[int], state_column: int | None) -> str:
        parts, used = [], 0
        for position, (cell, wide) in enumerate(zip(cells, widths, strict=True)):
            is_last = position == len(cells) - 1
            if position == state_column:
                parts.append(self.state(cell, 0 if is_last else wide))
            elif is_last:
                parts.append(cell if self.columns is None else cut(cell, max(0, self.columns - used)))
            else:
                parts.append(pad(cut(cell, wide), wide))
            used += wide + 2
        return "  ".join(parts).rstrip()


def _without(cells: Sequence[str], column: int) -> list[str]:
    return [cell for at, cell in enumerate(cells) if at != column]


def fitted(widths: Sequence[int], columns: int, fixed: int | None = None) -> list[int]:
    """The widths, the widest made narrower until the last column has room; `fixed` (a state) is never cut."""
    fit = list(widths)
    room = columns - 2 * (len(fit) - 1) - min(fit[-1], LAST_COLUMNS)
    while sum(fit[:-1]) > room:
        least = [LEAST_CUT_COLUMNS if at or columns < ROOMY_COLUMNS else LEAST_NAME_COLUMNS for at in range(len(fit))]
        shrinkable = [at for at in range(len(fit) - 1) if at != fixed and fit[at] > least[at]]
        if not shrinkable:
            break
        fit[max(shrinkable, key=lambda at: fit[at])] -= 1
    return fit


def state_word(thing: Mapping[str, Any]) -> str:
    """The one word for a workflow, run or worker: how it ended, else its phase."""
    phase, status = thing.get("phase"), str(thing["status"])
    return status if status in ("completed", "failed", "cancelled") or phase in (None, "ended") else str(phase)


def reason_of(thing: Mapping[str, Any]) -> str:
    """The reason without the state's word before it, which stands beside it."""
    return (thing.get("reason") or "").removeprefix(f"{thing['status']}: ")


def parse_instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def instant(text: str | None, now: datetime | None = None) -> str:
    """Local time, the date only where it is not today's; `-` for none."""
    at = parse_instant(text)
    if at is None:
        return "-"
    local, today = at.astimezone(), (now or datetime.now(UTC)).astimezone()
    return local.strftime("%H:%M:%S" if local.date() == today.date() else "%Y-%m-%d %H:%M:%S")


def elapsed_seconds(thing: Mapping[str, Any], now: datetime | None = None) -> float | None:
    """From `started_at` to `completed_at`, or to now while it runs."""
    start, end = parse_instant(thing.get("started_at")), parse_instant(thing.get("completed_at"))
    if start is None or (end is None and thing.get("status") != "running"):
        return None
    return max(0.0, ((end or now or datetime.now(UTC)) - start).total_seconds())


def duration(seconds: float | None) -> str:
    """`0.4 s`, `12.3 s`, `2 min 05 s`, `3 h 04 min`, `2 d 03 h`; `-` for None."""
    if seconds is None:
        return "-"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, smaller, name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller:02d} {name}"
    return f"{whole} s"


def size(count: int) -> str:
    """`17 B`, `1.2 kB`, `3.4 MB`: powers of 1000."""
    amount, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if amount < 999.95 or unit == "TB":
            break
        amount /= 1000
    return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"


def count_of(number: int, noun: str) -> str:
    """`1 worker`, `2 workers`, `2 processes`."""
    plural = "es" if noun.endswith("s") else "s"
    return f"{number} {noun}{'' if number == 1 else plural}"


def counts_text(counts: Mapping[str, int]) -> str:
    """`3 completed, 1 failed`, in the order in which one asks; what has not begun waits."""
    words = {status: status for status in ("completed", "failed", "cancelled", "running")} | {"created": "waiting"}
    return ", ".join(f"{counts[status]} {word}" for status, word in words.items() if counts.get(status))


def plain(text: str) -> str:
    """Without control characters: what a worker printed must not steer the user's terminal."""
    return "".join(
        character if character >= " " and character != "\x7f" or character == "\t" else "�" for character in text
    )


def width(text: str) -> int:
    """Columns that it takes in a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.category(character) in _NO_WIDTH
        else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def pad(text: str, columns: int) -> str:
    return text + " " * (columns - width(text))


def cut(text: str, columns: int) -> str:
    if width(text) <= columns:
        return text
    if columns < 4:
        return "..."[: max(0, columns)]
    kept, used = [], 0
    for character in text:
        used += width(character)
        if used > columns - 3:
            break
        kept.append(character)
    return "".join(kept) + "..."


def _asks_for_ascii(environ: Mapping[str, str]) -> bool:
    """LC_ALL or LANG is C. Python writes UTF-8 all the same, and sets LC_CTYPE to say so (PEP 538); whoever sets them
    cannot read that. Where nothing is set it is nobody's wish."""
    spoken = environ.get("LC_ALL") or environ.get("LC_CTYPE") or ""
    if spoken in ("", "C.UTF-8", "C.utf8", "UTF-8") and not environ.get("LC_ALL"):
        spoken = environ.get("LANG") or ""
    return spoken in ("C", "POSIX")


def _one_line(text: str) -> str:
    return plain(text.replace("\n", " "))


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False
