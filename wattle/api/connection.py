"""One client of the pump: its socket, what waits to be written to it, and where that comes from."""

import contextlib
import math
import select
import socket
import time
from collections import deque
from typing import TYPE_CHECKING

from wattle.api.replies import closed, polled
from wattle.api.sources import Shared, Source

if TYPE_CHECKING:
    from wattle.api.feeds import Feed

HANDING, SERVED, LINGERING, LOST = "handing over", "served", "lingering", "lost"
_LINGER_SECONDS = 2.0
_SEND_BYTES = 256 * 1024
_TCP_USER_TIMEOUT_MILLISECONDS = 60_000


class Client:
    """`next_at`: when it wants a turn though nothing has happened to it.

    It is given something by its own `source`, or by the `feed` that it is a member of. What a feed gives is one object
    for all its members, so that what waits for many costs memory once.
    """

    def __init__(self, source: Source | None, *, streams: bool = False, interval_seconds: float = math.inf) -> None:
        self.source = source
        self.feed: Feed | None = None
        self.shares = isinstance(source, Shared) and source.key is not None
        self.streams = streams
        self.interval_seconds = interval_seconds
        self.address = ""
        self.sock: socket.socket | None = None
        self.backlog: deque[bytes] = deque()
        self.backlog_bytes = 0
        self.phase = HANDING
        self.notified = True  # what was said between its first look and its coming here was said to nobody
        self.source_done = False
        self.more = False
        self.next_at = math.inf
        self.written_at = time.monotonic()  # or when it last took something, or had nothing to take
        self.registered_mask = select.EPOLLRDHUP
        self._sent = 0  # of the first piece of the backlog

    @property
    def fd(self) -> int:
        return self.sock.fileno() if self.sock is not None else -1

    @property
    def mask(self) -> int:
        if self.phase == LINGERING:
            return select.EPOLLRDHUP | select.EPOLLIN
        return select.EPOLLRDHUP | (select.EPOLLOUT if self.backlog and self.phase == SERVED else 0)

    @property
    def is_under_way(self) -> bool:
        """Whether an answer of it exists, or may exist, that has not been written."""
        return self.phase == HANDING or (self.phase == SERVED and self.source_done)

    def adopt(self, sock: socket.socket, address: str) -> None:
        """Its connection. One that has gone without a word is given up in a minute, whatever the kernel's default."""
        self.sock, self.address = sock, address
        if sock.family != socket.AF_UNIX:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _TCP_USER_TIMEOUT_MILLISECONDS)

    def put(self, data: bytes) -> None:
        if not data:
            return
        if not self.backlog:
            self.written_at = time.monotonic()
        self.backlog.append(data)
        self.backlog_bytes += len(data)

    def offer(self, data: bytes, now: float) -> bool:
        """Write it at once if nothing waits before it; whether something waits now that did not before. OSError: the
        client has gone. A line that a thousand watch goes this way a thousand times.
        """
        if self.backlog or self.sock is None:
            self.put(data)
            return False
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        if sent == len(data):
            self.written_at = now
            return False
        self.put(data)
        self._sent = sent
        self.backlog_bytes -= sent
        return True

    def poll(self, now: float) -> None:
        """Ask its own source; one that is a member of a feed has none."""
        if self.source is None:
            return
        notified, self.notified = self.notified, False
        said, self.more, self.source_done = polled(self.source, now, notified)
        self.put(said)

    def flush(self, now: float) -> None:
        """Write what the socket takes. OSError: the client has gone."""
        while self.backlog and self.sock is not None:
            first = self.backlog[0]
            piece = first if self._sent == 0 and len(first) <= _SEND_BYTES else self._rest(first)
            try:
                sent = self.sock.send(piece)
            except BlockingIOError:
                break
            self.written_at = now
            self._sent += sent
            self.backlog_bytes -= sent
            if self._sent == len(first):
                self.backlog.popleft()
                self._sent = 0

    def _rest(self, first: bytes) -> memoryview:
        return memoryview(first)[self._sent : self._sent + _SEND_BYTES]

    def linger(self, now: float) -> None:
        """Say that this was all, and let the client close first.

        A close with unread bytes (a pipelined request) would be a reset, which can overtake the answer.
        """
        if self.sock is not None:
            self.sock.shutdown(socket.SHUT_WR)
        self.phase = LINGERING
        self.next_at = now + _LINGER_SECONDS

    def discard(self) -> None:
        if self.sock is not None and not self.sock.recv(64 * 1024):
            raise ConnectionResetError

    def let_go_of_source(self) -> None:
        source, self.source = self.source, None
        if source is not None:
            closed(source)

    def close(self) -> None:
        if self.sock is not None:
            if self.phase == HANDING:  # Waitress holds it too, and shall not go on waiting for this client
                with contextlib.suppress(OSError):
                    self.sock.shutdown(socket.SHUT_RDWR)
            self.sock.close()
        self.let_go_of_source()
