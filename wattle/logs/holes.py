"""Giving back the head of a file while others write to its end: a hole takes no room, and offsets never move."""

import ctypes
import errno
import os
from functools import cache
from typing import Any

FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE = 1, 2


@cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def punch(fd: int, begin: int, end: int) -> None:
    """Make the bytes from `begin` to `end` a hole. OSError where this cannot be done (`is_impossible`) or failed."""
    mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
    if _libc().fallocate64(fd, mode, ctypes.c_int64(begin), ctypes.c_int64(end - begin)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def is_impossible(error: OSError) -> bool:
    """Whether the file system has no holes, so that trying again is in vain."""
    return error.errno in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENODEV)


def hole_end(fd: int, offset: int) -> int:
    """Where the bytes at `offset` begin to be there: `offset` itself where there is no hole."""
    try:
        return os.lseek(fd, offset, os.SEEK_DATA)
    except OSError as error:
        return os.fstat(fd).st_size if error.errno == errno.ENXIO else offset


def drop_head(path: str, begin: int, end: int) -> int:
    """Give back what stands before `end`, in whole blocks, `begin` having been given back before. Gives the new start.

    OSError as `punch`; also where `path` is no longer the file that it was.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        facts = os.fstat(fd)
        end = min(end, facts.st_size) // facts.st_blksize * facts.st_blksize
        if end <= begin:
            return begin
        punch(fd, begin, end)
        return end
    finally:
        os.close(fd)
