"""Bytes to lines. PURE: no file, no clock.

A line ends at `\\n`; a `\\r` right before it is dropped, a lone `\\r` (a progress bar) is kept. A line longer
than the limit comes in pieces. No piece splits a code point or a `\\r\\n`, so that joining the contents gives
the decoded file. Invalid UTF-8 becomes U+FFFD.
"""

from codecs import utf_8_decode
from collections.abc import Iterator
from typing import NamedTuple

MAX_LINE_BYTES = 64 * 1024


class Piece(NamedTuple):
    """A line or a part of one. `length` counts the bytes it takes in the file, its newline included.

    `continued`: the same line goes on in the next piece. `partial`: its newline was not written, or not yet.
    """

    content: str
    length: int
    continued: bool = False
    partial: bool = False


def cut(data: bytes, *, final: bool, limit: int = MAX_LINE_BYTES) -> Iterator[Piece]:
    """The pieces in `data`, which starts at a line's or a piece's start.

    `final`: nothing follows, so an unfinished last line is given too; else it is left for the next call.
    More than `limit` bytes always give at least one piece. `limit` is at least 8.
    """
    start = 0
    while start < len(data):
        newline = data.find(b"\n", start, start + limit + 1)
        if newline >= 0:
            end = newline - 1 if newline > start and data[newline - 1] == 0x0D else newline
            yield Piece(data[start:end].decode("utf-8", "replace"), newline + 1 - start)
            start = newline + 1
        elif len(data) - start > limit:
            content, length = utf_8_decode(data[start : start + limit], "replace", False)  # whole code points only
            yield Piece(content, length, continued=True)
            start += length
        else:
            if final:
                yield Piece(data[start:].decode("utf-8", "replace"), len(data) - start, partial=True)
            return


def unfinished(data: bytes) -> Piece | None:
    """What can be said of a line whose end has not been written yet: whole code points, and no `\\r` that may belong to
    its end. None where there is nothing, or the line has an end."""
    if b"\n" in data:
        return None
    content, length = utf_8_decode(data.removesuffix(b"\r"), "replace", False)
    return Piece(content, length, partial=True) if length else None
