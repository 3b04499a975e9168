"""The keeper's journal: every start and end, one JSON line each, on disk before anyone is told.

Segments `journal/<keeper id>.<n>.jsonl`; `seq` grows by one per keeper over all its segments. A keeper id
begins with its time of birth, so sorting by name is sorting by time. `write(2)` is enough against the death
of the process; after a power failure no worker lives, so nothing is synced.
"""

import errno
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from wattle.keeper.ballast import NO_ROOM
from wattle.keeper.failpoints import reach
from wattle.keeper.protocol import encode_json

SEGMENT_BYTES = 16 * 1024 * 1024
RESERVE_BYTES = 256 * 1024  # the ends of some 500 workers


class JournalWriter:
    """Numbers records and appends them; on a full disk it keeps them and writes them later.

    `seq` is the last one on disk, `blocked` says why the newest ones are not (None: all are). A line is
    never torn in the middle of the file: a short write is cut back, or closed with a newline.

    With `reserve_bytes` so many are kept for it ahead of its end, so that what others write cannot take the
    room of the records to come; `short` says why they could not be. `give_way` is asked to make room on a
    full disk, and says whether it did.
    """

    def __init__(
        self,
        directory: str,
        keeper_id: str,
        segment_bytes: int = SEGMENT_BYTES,
        *,
        reserve_bytes: int = 0,
        give_way: Callable[[], bool] = lambda: False,
    ) -> None:
        self.seq = 0
        self.blocked: OSError | None = None
        self.short: OSError | None = None
        self._reserve_bytes = reserve_bytes
        self._reserved: float = 0
        self._give_way = give_way
        self._prefix = os.path.join(directory, keeper_id)
        self._segment_bytes = segment_bytes
        self._waiting: list[bytes] = []
        self._descriptor = -1
        self._segment = 0
        self._size = 0
        self._torn = False
        self._closed: list[tuple[int, int]] = []

    @property
    def unwritten(self) -> int:
        return len(self._waiting)

    def append(self, record: dict) -> int:
        """Give the record its number and return it; it is on disk after the next successful `flush`."""
        return self.append_line(encode_json(record)[1:])

    def append_line(self, rest: bytes) -> int:
        """The same for a record that is JSON already; `rest` is all of it after the opening brace."""
        seq = self.seq + len(self._waiting) + 1
        self._waiting.append(b'{"seq":%d,%b\n' % (seq, rest))
        return seq

    @property
    def problem(self) -> OSError | None:
        """Why no further record may come now: those that wait, or the room for the next, are not on disk."""
        return self.blocked or self.short

    def is_open(self) -> bool:
        """Can records come; makes the first segment. Nothing may be started while it says no."""
        if self._descriptor < 0 and self.blocked is None:
            try:
                self._open_segment()
            except OSError as error:
                self.blocked = error
            else:
                self._keep_reserve()
        return self.blocked is None and self.short is None

    def flush(self) -> list[bytes]:
        """Write what waits and return the lines now on disk (without their newline); sets `blocked`."""
        lines = self._try_to_write()
        if self._lacks_room() and self._give_way():
            lines += self._try_to_write()
        if self._size + self._reserve_bytes > self._reserved and self._descriptor >= 0:
            self._keep_reserve()
        return lines

    def _lacks_room(self) -> bool:
        return self.blocked is not None and self.blocked.errno in NO_ROOM

    def _try_to_write(self) -> list[bytes]:
        self.blocked = None
        try:
            return self._write() if self._waiting else []
        except OSError as error:
            self.blocked = error
            return []

    def _keep_reserve(self) -> None:
        """Have at least `reserve_bytes` ahead; twice as many at a time."""
        if not self._reserve_bytes:
            return
        from wattle.keeper.reserve import UNSUPPORTED, reserve  # late: a reader of journals does not need it

        try:
            reserve(self._descriptor, self._size, 2 * self._reserve_bytes)
        except OSError as error:
            if error.errno in UNSUPPORTED:
                self._reserved = float("inf")
            elif error.errno in NO_ROOM and self._give_way():
                self._keep_reserve()
            else:
                self.short = error
            return
        self._reserved = self._size + 2 * self._reserve_bytes
        self.short = None

    def discard(self, seq: int) -> None:
        """Delete the segments, but the current one, that hold nothing after `seq`."""
        keep = []
        for segment, last_seq in self._closed:
            if last_seq > seq:
                keep.append((segment, last_seq))
                continue
            try:
                reach("keeper.segment.discarded")
                os.unlink(self._path(segment))
            except FileNotFoundError:
                pass
            except OSError:
                keep.append((segment, last_seq))
        self._closed = keep

    def _path(self, segment: int) -> str:
        return f"{self._prefix}.{segment:04d}.jsonl"

    def _write(self) -> list[bytes]:
        if self._descriptor < 0 or self._size >= self._segment_bytes:
            self._open_segment()
        mend = b"\n" if self._torn else b""
        reach("keeper.journal.before")
        written = os.write(self._descriptor, mend + b"".join(self._waiting))
        reach("keeper.journal.after")
        if written == 0:
            raise OSError(errno.ENOSPC, "nothing could be written")
        whole, length = 0, len(mend)
        for line in self._waiting:
            if length + len(line) > written:
                break
            length += len(line)
            whole += 1
        self._size += length
        self._torn = False
        if whole < len(self._waiting):
            self.blocked = OSError(errno.ENOSPC, "a short write")
            self._cut_back(written - length)
        done, self._waiting = self._waiting[:whole], self._waiting[whole:]
        self.seq += whole
        return [line[:-1] for line in done]

    def _cut_back(self, excess: int) -> None:
        if excess <= 0:
            return
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            self._torn = True
            self._size += excess

    def _open_segment(self) -> None:
        segment = self._segment + 1
        reach("keeper.segment.before")
        descriptor = os.open(self._path(segment), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.fchmod(descriptor, 0o600)
        reach("keeper.segment.after")
        if self._descriptor >= 0:
            if self._reserve_bytes:
                with suppress(OSError):  # what was kept ahead of its end is free again
                    os.ftruncate(self._descriptor, self._size)
            os.close(self._descriptor)
            self._closed.append((self._segment, self.seq))
        self._descriptor, self._segment, self._size, self._torn = descriptor, segment, 0, False
        self._reserved = 0


def read_records(directory: str, after: Mapping[str, int]) -> Iterator[tuple[str, dict]]:
    """Yield (keeper id, record) of every keeper, oldest keeper first, each in order of `seq`.

    `after` is {keeper id: last seq already known}. Torn last lines, corrupt lines and files that vanish are
    passed over (a warning is logged); what a living keeper writes meanwhile may or may not be seen.
    """
    for keeper_id, segments in sorted(_segments(directory).items()):
        known = after.get(keeper_id, 0)
        for record in _in_order(_unknown(sorted(segments), known), known):
            yield keeper_id, record


def _unknown(segments: list[tuple[int, str]], known: int) -> Iterator[tuple[str, dict]]:
    """The records of one keeper as they stand in its segments, but of those segments whose every record is known."""
    paths = [path for _, path in segments]
    for path, following in zip(paths, [*paths[1:], None], strict=True):
        if following is None or not _starts_at_most(following, known + 1):
            yield from ((path, record) for record in _records(path))


def _in_order(records: Iterator[tuple[str, dict]], known: int) -> Iterator[dict]:
    """What comes after `known`, each number once. A number that is higher than the next one is no number that was
    written: taken for one, it would hide all that follow."""
    held: tuple[str, dict] | None = None
    for path, record in records:
        if record["seq"] <= known:
            continue
        if held is not None and held[1]["seq"] < record["seq"]:
            known = held[1]["seq"]
            yield held[1]
        elif held is not None and held[1]["seq"] > record["seq"]:
            _warn("%s has a record with the wrong number %d, which was passed over", held[0], held[1]["seq"])
        held = path, record
    if held is not None:
        yield held[1]


def discard_keeper(directory: str, keeper_id: str) -> None:
    """Delete every segment of a keeper that is gone and whose records are all known."""
    for _, path in _segments(directory).get(keeper_id, []):
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass


def _segments(directory: str) -> dict[str, list[tuple[int, str]]]:
    found: dict[str, list[tuple[int, str]]] = {}
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return found
    for name in names:
        keeper_id, _, rest = name.partition(".")
        number, _, suffix = rest.partition(".")
        if suffix == "jsonl" and number.isdecimal():
            found.setdefault(keeper_id, []).append((int(number), os.path.join(directory, name)))
    return found


def _starts_at_most(path: str, seq: int) -> bool:
    first = next(_records(path), None)
    return first is not None and first["seq"] <= seq


def _records(path: str) -> Iterator[dict]:
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    _warn("%s ends in a torn line, which was passed over", path)
                    return
                try:
                    record = json.loads(line)
                    if type(record["seq"]) is not int or not 0 < record["seq"] < 1 << 63:
                        raise TypeError("seq is no number of a record")
                except (ValueError, TypeError, KeyError, RecursionError) as error:
                    _warn("%s line %d is corrupt and was passed over: %r", path, number, error)
                    continue
                yield record
    except FileNotFoundError:
        return
    except IsADirectoryError:
        _warn("%s is a directory, which was passed over", path)


def _warn(message: str, *values: object) -> None:
    import logging  # late: the keeper itself writes journals and must stay small

    logging.getLogger(__name__).warning(message, *values)
