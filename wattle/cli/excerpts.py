"""The line of a file that a problem is about, with carets under the place; pure text, for terminals and pipes.

Columns of a file count characters; columns of a screen do not: a tab takes up to four, wide characters two,
combining ones none. Of a line that is too long for the screen the part around the place is shown.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from wattle.cli.output import plain, width

DEFAULT_COLUMNS = 120  # where the screen does not say
LEAST_COLUMNS = 30
MOST_CARETS = 40
_TAB_COLUMNS = 4
_CUT = "..."
# A quoted text, a plain word, or one character of punctuation.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|\'(?:[^\']|\'\')*\'?|[^\s,:{}\[\]"\']+|.')
_WORD_BEHIND = re.compile(r"(?:[^\s,:{}\[\]]|:(?=\S))+")


class Excerpt(NamedTuple):
    """`shown` of the line, and `carets` to stand below it."""

    number: int
    shown: str
    carets: str

    def lines(self) -> list[str]:
        gutter = f"{self.number:>5} | "
        return [f"{gutter}{self.shown}".rstrip(), f"{'':>5} | {self.carets}"]


def excerpt(lines: Sequence[str], line: int, column: int, columns: int | None = None) -> Excerpt | None:
    """Of the file's `lines` the one at `line`, marked at `column` (both from 1); None where there is no such line.

    A column beyond the end marks the end.
    """
    if not 1 <= line <= len(lines):
        return None
    text = lines[line - 1]
    start = min(column - 1, len(text))
    room = max((columns or DEFAULT_COLUMNS) - len(" 1234 | ") - 1, LEAST_COLUMNS)
    cells = [_cell(character) for character in text[: start + room + MOST_CARETS]]
    marked = sum(width(cell) for cell in cells[start : start + _token_length(text, start)])
    before, after = cells[:start], cells[start:]
    if _columns(before) + _columns(after) > room:
        before = _last(before, max(room // 3, room - _columns(after) - len(_CUT)))
    shown = "".join(before)
    rest = _first(after, room - width(shown))
    carets = min(max(marked, 1), MOST_CARETS, max(width(rest.removesuffix(_CUT)), 1))
    return Excerpt(line, shown + rest, " " * width(shown) + "^" * carets)


def _token_length(text: str, start: int) -> int:
    """Characters of what begins at `start`."""
    match = _TOKEN.match(text, start)
    if match is None:
        return 1
    word = _WORD_BEHIND.match(text, start)
    return len(word[0]) if word and match[0][0] not in "\"'" else len(match[0])


def _cell(character: str) -> str:
    return " " * _TAB_COLUMNS if character == "\t" else plain(character)


def _columns(cells: Sequence[str]) -> int:
    return sum(map(width, cells))


def _last(cells: Sequence[str], room: int) -> list[str]:
    """As many of the last cells as fit, behind `...` where some do not."""
    if _columns(cells) <= room:
        return list(cells)
    kept: list[str] = []
    used = len(_CUT)
    for cell in reversed(cells):
        used += width(cell)
        if used > room:
            break
        kept.append(cell)
    return [_CUT, *reversed(kept)]


def _first(cells: Sequence[str], room: int) -> str:
    """As many of the first cells as fit, before `...` where some do not."""
    if _columns(cells) <= room:
        return "".join(cells)
    kept, used = [], len(_CUT)
    for cell in cells:
        used += width(cell)
        if used > room:
            break
        kept.append(cell)
    return "".join(kept) + _CUT
