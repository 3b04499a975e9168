"""One daemon's socket. Never blocks: what a daemon does not read waits here up to a bound, then it is cut off
and finds everything in the journal.
"""

import socket
from collections.abc import Callable

from wattle.keeper.poller import READ, WRITE, Poller
from wattle.keeper.protocol import FrameReader, ProtocolError, encode

BACKLOG_BYTES = 16 * 1024 * 1024
RECEIVE_BYTES = 64 * 1024  # more, and each read maps and unmaps its buffer


class Connection:
    """`receive` is called with (connection, message); it may raise LookupError, TypeError, ValueError or
    AttributeError on a message that makes no sense, which closes this connection only. `closed` is called once.
    """

    def __init__(
        self,
        peer: socket.socket,
        poller: Poller,
        receive: Callable[["Connection", dict], None],
        closed: Callable[["Connection", str], None],
    ) -> None:
        peer.setblocking(False)
        self.has_said_hello = False
        self.is_open = True
        self._peer = peer
        self._poller = poller
        self._receive = receive
        self._closed = closed
        self._reader = FrameReader()
        self._unsent = bytearray()
        poller.watch(peer.fileno(), READ, self._ready)

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    def tell(self, message: dict) -> None:
        self.send(encode(message))

    def send(self, data: bytes) -> None:
        """Send whole frames, now or when there is room."""
        if not self.is_open:
            return
        if self._unsent:
            self._unsent += data
            if len(self._unsent) > BACKLOG_BYTES:
                self.close("it does not read")
            return
        sent = self._write(data)
        if sent < len(data) and self.is_open:
            self._unsent += data[sent:]
            self._poller.change(self._peer.fileno(), READ | WRITE)

    def close(self, reason: str) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self._poller.forget(self._peer.fileno())
        self._peer.close()
        self._unsent.clear()
        self._closed(self, reason)

    def _ready(self, mask: int) -> None:
        if mask & WRITE:
            self._send_rest()
        if mask & ~WRITE and self.is_open:
            self._take_in()

    def _send_rest(self) -> None:
        del self._unsent[: self._write(self._unsent)]
        if not self._unsent and self.is_open:
            self._poller.change(self._peer.fileno(), READ)

    def _write(self, data: bytes | bytearray) -> int:
        try:
            return self._peer.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            self.close(f"sending failed: {error.strerror}")
            return 0

    def _take_in(self) -> None:
        try:
            data = self._peer.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self.close(f"receiving failed: {error.strerror}")
            return
        if not data:
            self.close("it hung up")
            return
        try:
            for message in self._reader.feed(data):
                if self.is_open:
                    self._receive(self, message)
        except ProtocolError as error:
            self.close(str(error))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            self.tell({"type": "error", "message": f"a message makes no sense: {error!r}"})
            self.close(f"a message makes no sense: {error!r}")
