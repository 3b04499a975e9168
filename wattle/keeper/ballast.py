"""A file that is there to be given up: on a full disk its room lets ends and stops be written down for a while.

`<data dir>/ballast`. The daemon makes it; whoever meets the full disk first deletes it, and that may be the
keeper, which outlives daemons.
"""

import errno
import os
from contextlib import suppress

from wattle.keeper.reserve import UNSUPPORTED

NAME = "ballast"
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
UNWRITABLE = NO_ROOM | {errno.EIO, errno.EROFS}  # the disk's fault, whatever is written: it may pass


def exists(data_dir: str) -> bool:
    return os.path.lexists(os.path.join(data_dir, NAME))


def make(data_dir: str, size_bytes: int) -> bool:
    """Make it where it is not, with all its blocks; False where that cannot be done."""
    path = os.path.join(data_dir, NAME)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return True
    except OSError:
        return False
    try:
        _fill(descriptor, size_bytes)
    except OSError:
        with suppress(OSError):
            os.unlink(path)
        return False
    finally:
        os.close(descriptor)
    return True


def _fill(descriptor: int, size_bytes: int) -> None:
    try:
        os.posix_fallocate(descriptor, 0, size_bytes)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        left = size_bytes
        while left:
            left -= os.write(descriptor, bytes(min(left, 1 << 16)))


def give_up(data_dir: str) -> bool:
    """Delete it; True if that freed anything."""
    try:
        os.unlink(os.path.join(data_dir, NAME))
    except OSError:
        return False
    return True
