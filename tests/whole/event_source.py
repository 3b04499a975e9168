"""An EventSource as the WHATWG text has it, on a plain socket: what browsers do, with the cuts that tests want."""

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Heard:
    """One event. `name` is `message` where it has none."""

    name: str
    data: Any
    id: str


@dataclass
class EventSource:
    """Follows one path of a server, and comes back with the last id when the connection is lost.

    `events` is what was dispatched. `is_closed`: the server said that it shall not come back (204, or another answer
    that is no event stream). A cut is made after so many bytes of a body.
    """

    port: int
    path: str
    last_id: str = ""
    retry_seconds: float = 0.05
    events: list[Heard] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    is_closed: bool = False

    def connect(self, *, cut_after: int | None = None, seconds: float = 20.0) -> Iterator[Heard]:
        """One connection, to its end or to the cut: the events that were dispatched on it."""
        try:
            connection = socket.create_connection(("127.0.0.1", self.port), timeout=seconds)
        except (ConnectionRefusedError, ConnectionResetError):  # it is being killed, or is dead
            return
        with connection:
            header = f"Last-Event-ID: {self.last_id}\r\n" if self.last_id else ""
            request = f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{header}\r\n"
            try:
                connection.sendall(request.encode())
            except (BrokenPipeError, ConnectionResetError):
                return
            received = self._received(connection)
            head = b""
            while b"\r\n\r\n" not in head:
                piece = next(received, b"")
                if not piece:
                    return
                head += piece
            head, _, body = head.partition(b"\r\n\r\n")
            self.statuses.append(int(head.split()[1]))
            if self.statuses[-1] != 200 or b"text/event-stream" not in head:
                self.is_closed = True
                return
            left = cut_after
            rest = b""
            while True:
                piece, body = body if left is None else body[:left], b""
                left = None if left is None else left - len(piece)
                *blocks, rest = (rest + piece).split(b"\n\n")
                for block in blocks:
                    yield from self._dispatch(block.decode())
                if left == 0:
                    return
                body = next(received, b"")
                if not body:
                    return

    def follow(self, *, seconds: float = 30.0) -> "EventSource":
        """Until the server says that it is over."""
        until = time.monotonic() + seconds
        while not self.is_closed:
            for _ in self.connect():
                pass
            assert time.monotonic() < until, f"no end within {seconds} s: {self.events[-3:]}"
            time.sleep(self.retry_seconds)
        return self

    def _received(self, connection: socket.socket) -> Iterator[bytes]:
        while True:
            try:
                data = connection.recv(65536)
            except ConnectionError:
                return
            if not data:
                return
            yield data

    def _dispatch(self, block: str) -> Iterator[Heard]:
        name, data = "message", []
        for line in block.split("\n"):
            key, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if key == "data":
                data.append(value)
            elif key == "event":
                name = value
            elif key == "id" and "\0" not in value:
                self.last_id = value
        if data:
            heard = Heard(name, json.loads("\n".join(data)), self.last_id)
            self.events.append(heard)
            yield heard

    # What was heard

    def text(self, stream: str = "stdout", worker: str | None = None) -> str:
        """What the lines of a stream say together."""
        return "".join(
            heard.data["content"] + ("" if heard.data.get("continued") or heard.data.get("partial") else "\n")
            for heard in self.events
            if heard.name == "message" and heard.data["type"] == stream and heard.data.get("worker") == worker
        )

    def names(self) -> list[str]:
        return [heard.name for heard in self.events]
