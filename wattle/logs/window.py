"""A part of a file as a file of its own, for whoever sends it: it does not grow when the file does."""

import io
import os


class Window(io.RawIOBase):
    """The bytes from `begin` to `end` of `fd`, which it owns. OSError where the file has become shorter meanwhile.

    Who sends a length and finds nothing to send would try for ever: it must be told.
    """

    def __init__(self, fd: int, begin: int, end: int) -> None:
        self._fd, self._begin, self._end = fd, begin, end
        self._place = begin

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place - self._begin

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: self._begin, os.SEEK_CUR: self._place, os.SEEK_END: self._end}[whence]
        self._place = max(self._begin, base + offset)
        return self.tell()

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self._end - self._place)
        wanted = left if size is None or size < 0 else min(size, left)
        data = os.pread(self._fd, wanted, self._place)
        if wanted and not data:
            raise OSError("the log was cut short while it was sent")
        self._place += len(data)
        return data

    def close(self) -> None:
        if not self.closed:
            os.close(self._fd)
        super().close()
