"""A part of one log, by offset: lines with their places, and what is not there to be read.

Joining the parts of a log, each begun where the one before ended, gives the log: nothing twice, nothing left out.
Offsets are bytes of the file and never move; where the head of a file was given back to bound it (caps.py) there is a
hole, which is a `Gap` here and no zeros.
"""

import os
from codecs import utf_8_decode
from dataclasses import dataclass
from typing import NamedTuple

from wattle.logs.holes import hole_end
from wattle.logs.index import ENDLESS
from wattle.logs.lines import MAX_LINE_BYTES, cut
from wattle.logs.read import absence, open_log, tail_start

NAMES = ("stdout", "stderr")
_CODE_POINT_BYTES = 4


class Line(NamedTuple):
    """A line, or a piece of one, of stream 0 (stdout) or 1 (stderr), in the bytes from `start` to `end`.

    `continued`: it goes on in the next one. `continues`: it is not a line's beginning. `partial`: its newline has not
    been written.
    """

    stream: int
    content: str
    start: int
    end: int
    continued: bool = False
    continues: bool = False
    partial: bool = False


class Gap(NamedTuple):
    """Something of a stream is not there to be read; `dropped_bytes` None: nobody knows how much."""

    stream: int
    reason: str
    dropped_bytes: int | None


class Shortened(NamedTuple):
    """The log is shorter than the offset that was asked for: somebody cut it. What follows is its start."""

    stream: int
    size_bytes: int


Missing = Gap | Shortened


@dataclass(frozen=True, slots=True)
class Part:
    """What was read of one stream: what lacks, the lines, and the offset at which to go on."""

    missing: tuple[Missing, ...]
    lines: tuple[Line, ...]
    next: int
    at_end: bool  # there was nothing behind it


def read_part(path: str, stream: int, offset: int, limit: int, *, end: int = ENDLESS) -> Part:
    """The lines from `offset` on, about `limit` bytes of them but at least one, and none from `end` on.

    A line that would not fit as a whole is left for the next part, unless it is the first one. Never raises for
    reasons of the file system: what cannot be read is a Gap.
    """
    try:
        fd = open_log(path)
    except OSError as error:
        return Part((not_there(stream, error),), (), offset, True)
    try:
        return _read(fd, stream, offset, limit, end)
    except OSError as error:
        return Part((_unreadable(stream, error),), (), offset, True)
    finally:
        os.close(fd)


def read_tail(path: str, stream: int, lines: int, max_bytes: int) -> tuple[Part, bool]:
    """The last so many lines, at most `max_bytes` of them; and whether that bound has cut some off."""
    try:
        fd = open_log(path)
    except OSError as error:
        return Part((not_there(stream, error),), (), 0, True), False
    try:
        size = os.fstat(fd).st_size
        start = tail_start(fd, size, lines, max_bytes)
        kept = hole_end(fd, start) if start < size else start
        data = os.pread(fd, size - kept, kept)
        missing = (dropped(stream, kept),) if kept > start else ()
        found = _lines(data, stream, kept, _is_start(fd, kept), final=True)
    except OSError as error:
        return Part((_unreadable(stream, error),), (), 0, True), False
    finally:
        os.close(fd)
    is_short = sum(not line.continued for line in found) < lines or bool(found and found[0].continues)
    is_cut = start > 0 and not missing and is_short
    return Part(missing, tuple(found), kept + len(data), True), is_cut


def not_there(stream: int, error: OSError) -> Gap:
    if isinstance(error, FileNotFoundError):
        return absent(stream)
    return Gap(stream, f"the {NAMES[stream]} log cannot be opened: {error.strerror}", None)


def absent(stream: int, is_removed: bool = False) -> Gap:
    return Gap(stream, absence(NAMES[stream], is_removed), None)


def _unreadable(stream: int, error: OSError) -> Gap:
    return Gap(stream, f"the {NAMES[stream]} log cannot be read: {error.strerror}", None)


def dropped(stream: int, count: int) -> Gap:
    return Gap(stream, "the head of the log was dropped to bound it", count)


def _read(fd: int, stream: int, offset: int, limit: int, end: int) -> Part:
    missing: list[Missing] = []
    size = os.fstat(fd).st_size
    if offset > size:
        missing.append(Shortened(stream, size))
        offset, end = 0, ENDLESS
    end = min(end, size)
    if offset >= end:
        return Part(tuple(missing), (), offset, offset >= size)
    kept = min(hole_end(fd, offset), size)
    if kept > offset:
        missing.append(dropped(stream, kept - offset))
        offset = kept
    if offset >= end:
        return Part(tuple(missing), (), offset, offset >= size)
    wanted = min(limit, end - offset)
    data = os.pread(fd, wanted + _CODE_POINT_BYTES, offset)
    reaches_end = len(data) <= wanted and offset + len(data) >= size or not data
    is_start = _is_start(fd, offset)
    lines = _lines(data[:wanted], stream, offset, is_start, final=reaches_end)
    if not lines and data:
        lines = [_first_piece(data, wanted, stream, offset, is_start)]
    next_offset = lines[-1].end if lines else offset
    return Part(tuple(missing), tuple(lines), next_offset, next_offset >= size or not data)


def _lines(data: bytes, stream: int, offset: int, is_start: bool, *, final: bool) -> list[Line]:
    found, continues = [], not is_start
    for piece in cut(data, final=final, limit=MAX_LINE_BYTES):
        end = offset + piece.length
        found.append(Line(stream, piece.content, offset, end, piece.continued, continues, piece.partial))
        offset, continues = end, piece.continued
    return found


def _first_piece(data: bytes, wanted: int, stream: int, offset: int, is_start: bool) -> Line:
    """Of a line that does not fit: whole code points, and no newline without the carriage return before it."""
    newline = data.find(b"\n")
    if newline >= 0:
        return _lines(data[: newline + 1], stream, offset, is_start, final=True)[0]
    for length in range(wanted, len(data) + 1):
        content, taken = utf_8_decode(data[:length], "replace", False)
        if taken:
            return Line(stream, content, offset, offset + taken, True, not is_start)
    return Line(stream, data.decode("utf-8", "replace"), offset, offset + len(data), True, not is_start)


def _is_start(fd: int, offset: int) -> bool:
    return offset == 0 or os.pread(fd, 1, offset - 1) == b"\n"
