"""What a server does that has no file descriptor left for a connection: it says so, and neither spins nor waits.

Waitress logs a failed `accept` and tries again at once, for the connection is still there: a processor busy, and a log
that grows by megabytes a second. Here a spare descriptor is kept. It is given up for a moment, in which the
connection is taken, told 503 and closed.
"""

import errno
import logging
import os
import socket
import time
from collections.abc import Mapping
from typing import Any

from wattle.api import envelope
from wattle.errors import Unavailable

logger = logging.getLogger(__name__)

LACKS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
PAUSE_SECONDS = 0.05  # where not even the spare helps
SAID_AGAIN_SECONDS = 60.0


def refuse_without_descriptors(channels: Mapping[int, Any]) -> None:
    """Changes the listening ones among Waitress's channels; before its thread runs."""
    for channel in channels.values():
        if getattr(channel, "accepting", False):
            channel.accept = _Accepting(channel.socket, channel.accept)


class _Accepting:
    """A listening channel's `accept`. Waitress's thread only."""

    def __init__(self, listening: socket.socket, accept: Any) -> None:
        self._listening = listening
        self._accept = accept
        self._spare = _open_spare()
        self._said_at = float("-inf")

    def __call__(self) -> Any:
        try:
            return self._accept()
        except OSError as error:
            if error.errno not in LACKS:
                raise
            self._say(error)
            self._refuse()
            return None

    def _refuse(self) -> None:
        if self._spare is None:
            time.sleep(PAUSE_SECONDS)
        else:
            os.close(self._spare)
            try:
                with self._listening.accept()[0] as refused:
                    refused.setblocking(False)
                    refused.send(_answer())
            except OSError:
                time.sleep(PAUSE_SECONDS)
        self._spare = _open_spare()

    def _say(self, error: OSError) -> None:
        now = time.monotonic()
        if now - self._said_at > SAID_AGAIN_SECONDS:
            self._said_at = now
            logger.error("connections are refused: %s; raise the limit of open files", error.strerror)


def _open_spare() -> int | None:
    try:
        return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _answer() -> bytes:
    error = Unavailable("TOO_MANY_CONNECTIONS", "The server has no file descriptor left for this connection")
    body = envelope.error_body(error, "en")
    head = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 2\r\n"
    return f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
