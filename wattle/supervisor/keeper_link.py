"""The daemon's end of the socket to the keeper: frames out, frames in, never blocking the loop."""

import socket
from collections.abc import Mapping
from typing import Any

from wattle.keeper.protocol import PROTOCOL, FrameReader, ProtocolError, encode

RECEIVE_BYTES = 64 * 1024  # more, and each read maps and unmaps its buffer


class KeeperGone(Exception):
    """The connection has ended: the keeper died, or gave it to another daemon."""


class KeeperLink:
    """One connection. `hello` is what the keeper said of itself and of the workers it has."""

    def __init__(self, connection: socket.socket, pid: int) -> None:
        self._socket = connection
        self._reader = FrameReader()
        self._unsent = bytearray()
        self._early: list[dict[str, Any]] = []
        connection.settimeout(10.0)
        connection.sendall(encode({"type": "hello", "protocol": PROTOCOL, "pid": pid}))
        self.hello = self._read_hello()
        connection.setblocking(False)

    def _read_hello(self) -> Mapping[str, Any]:
        while True:
            try:
                data = self._socket.recv(1 << 16)
            except OSError as error:
                raise KeeperGone(str(error)) from error
            if not data:
                raise KeeperGone("it closed the connection")
            frames = self._feed(data)
            if frames:
                self._early = frames[1:]
                if frames[0].get("type") != "hello":
                    raise KeeperGone(str(frames[0].get("message", "it speaks another protocol")))
                return frames[0]

    def _feed(self, data: bytes) -> list[dict[str, Any]]:
        try:
            return self._reader.feed(data)
        except ProtocolError as error:
            raise KeeperGone(str(error)) from error

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def has_early(self) -> bool:
        """Frames came together with the hello: `receive` gives them, and nothing on the socket tells of them."""
        return bool(self._early)

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    def send(self, frame: Mapping[str, Any]) -> None:
        self._unsent += encode(dict(frame))
        self.flush()

    def flush(self) -> None:
        while self._unsent:
            try:
                sent = self._socket.send(self._unsent)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                raise KeeperGone(str(error)) from error
            del self._unsent[:sent]

    def receive(self) -> list[dict[str, Any]]:
        """All complete frames that are there; KeeperGone at the end of the connection."""
        frames, self._early = self._early, []
        while True:
            try:
                data = self._socket.recv(RECEIVE_BYTES)
            except (BlockingIOError, InterruptedError):
                return frames
            except OSError as error:
                raise KeeperGone(str(error)) from error
            if not data:
                if frames:
                    return frames  # the next call finds the end again
                raise KeeperGone("it closed the connection")
            frames += self._feed(data)
            if len(data) < RECEIVE_BYTES:
                return frames

    def close(self) -> None:
        self._socket.close()
