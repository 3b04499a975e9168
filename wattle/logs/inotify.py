"""inotify(7) by ctypes: one descriptor that tells which of many files were written to. It never waits."""

import ctypes
import os
import struct
from collections.abc import Iterator
from functools import cache
from typing import Any

IN_MODIFY = 0x2
IN_ONESHOT = 0x80000000
IN_Q_OVERFLOW = 0x4000
IN_IGNORED = 0x8000
_HEAD = struct.Struct("iIII")
_READ_BYTES = 256 * 1024


@cache
def libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


class Inotify:
    """OSError where there is none to be had. `fd` is readable when a watched file was written to. One thread."""

    def __init__(self) -> None:
        self.fd: int = libc().inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise _error()

    def watch(self, path: str, mask: int = IN_MODIFY) -> int:
        """The number by which `read` tells of the file. OSError: it is not there, or there are too many watches."""
        number: int = libc().inotify_add_watch(self.fd, os.fsencode(path), ctypes.c_uint32(mask))
        if number < 0:
            raise _error()
        return number

    def unwatch(self, number: int) -> None:
        """A file that is gone has lost its watch already."""
        libc().inotify_rm_watch(self.fd, number)

    def read(self) -> Iterator[tuple[int, int]]:
        """(watch, mask) of what happened, in order; equal ones that follow each other are one. Empty: nothing."""
        try:
            data = os.read(self.fd, _READ_BYTES)
        except BlockingIOError:
            return
        place = 0
        while place < len(data):
            number, mask, _, length = _HEAD.unpack_from(data, place)
            place += _HEAD.size + length
            yield number, mask

    def close(self) -> None:
        os.close(self.fd)


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
