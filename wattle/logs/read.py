"""Reading the end of a log: bounded by what is asked for, never by the size of the file.

Files are read backwards from their end, so a log of any size costs the same.
"""

import os

from wattle.logs.escapes import for_screen, last_written

MAX_TAIL_BYTES = 1024 * 1024
_BLOCK_BYTES = 64 * 1024
_LAST_LINE_CHARACTERS = 300


def open_log(path: str) -> int:
    """A descriptor to read `path` with. O_NONBLOCK: should a FIFO stand there, nothing hangs."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)


def absence(name: str, is_removed: bool) -> str:
    """Why there is no log of that name. `is_removed`: by retention."""
    what = "was removed by retention" if is_removed else "is not there"
    return f"the {name} log of this attempt {what}"


def last_line(path: str, max_bytes: int = 4096) -> str | None:
    """The last line that is not blank, at most 300 characters of it, or None where there is none.

    For a sentence that says why a worker failed, so it is what a terminal would show of the line: no escape sequences,
    of what carriage returns overwrite the last. Looks no further back than `max_bytes`.
    """
    try:
        fd = open_log(path)
    except OSError:
        return None
    try:
        size = os.fstat(fd).st_size
        start = tail_start(fd, size, max_bytes, max_bytes)
        data = os.pread(fd, size - start, start)
    except OSError:
        return None
    finally:
        os.close(fd)
    for line in reversed(data.split(b"\n")):
        content = for_screen(last_written(line.decode("utf-8", "replace")), colours=False).strip()
        if content:
            return content if len(content) <= _LAST_LINE_CHARACTERS else content[: _LAST_LINE_CHARACTERS - 1] + "…"
    return None


def tail_start(fd: int, size: int, lines: int, max_bytes: int = MAX_TAIL_BYTES) -> int:
    """The offset at which the last `lines` lines begin, at most `max_bytes` before `size`.

    A last line without its newline counts as a line. Where the limit cuts a line, the start is that of the
    first whole line behind the limit or, if there is none, of a code point.
    """
    floor = max(0, size - max_bytes)
    if lines <= 0:
        return size
    wanted, end, at_end = lines, size, True
    while end > floor:
        begin = max(floor, end - _BLOCK_BYTES)
        block = os.pread(fd, end - begin, begin)
        place = len(block)
        if at_end and block.endswith(b"\n"):  # the last line's own newline starts no line
            place -= 1
        at_end = False
        while (place := block.rfind(b"\n", 0, place)) >= 0:
            wanted -= 1
            if wanted == 0:
                return begin + place + 1
        end = begin
    return floor if floor == 0 else _whole_start(fd, floor, size)


def _whole_start(fd: int, floor: int, size: int) -> int:
    data = os.pread(fd, size - floor + 1, floor - 1)  # from one byte before, which may end a line
    newline = data.find(b"\n", 0, len(data) - 1)
    if newline >= 0:
        return floor + newline
    skip = 0
    while skip < 3 and skip + 1 < len(data) and data[skip + 1] & 0xC0 == 0x80:
        skip += 1
    return floor + skip
