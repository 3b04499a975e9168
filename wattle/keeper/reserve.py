"""Blocks for a file that is going to grow: kept beyond its end, they are nobody else's when the disk is full."""

import ctypes
import errno
import os

KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE
UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EFBIG, errno.EPERM})  # EPERM: a sandbox

_libc = ctypes.CDLL(None, use_errno=True)
_fallocate = getattr(_libc, "fallocate64", None) or getattr(_libc, "fallocate", None)
if _fallocate is not None:
    _fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def reserve(descriptor: int, offset: int, size_bytes: int) -> None:
    """Keep blocks for so many bytes from the offset; the file's size stays. OSError where there is no room, or
    one of UNSUPPORTED where the file system, or a sandbox, keeps no blocks."""
    if _fallocate is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    while _fallocate(descriptor, KEEP_SIZE, offset, size_bytes) != 0:
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))
