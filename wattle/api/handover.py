"""A connection taken over from Waitress in the middle of a request, and the head of the answer written on it.

All that Wattle uses of Waitress beyond WSGI is here and nowhere else; `tests/api/test_pump.py` pins it.
"""

import socket
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Any

Headers = list[tuple[str, str]]


def take_over(channel: Any, handed_over: Callable[[bool], object]) -> socket.socket | None:
    """Another descriptor of the channel's connection; None where the client has gone or descriptors have run out.

    On a Waitress task thread, in the middle of the request. From here on the channel takes no further request and
    writes nothing more than earlier answers which still wait in it; then Waitress's main thread closes it, which
    closes only *its* descriptor. At that moment `handed_over(clean)` is called, on that thread. `clean` is False
    where earlier answers could not be written, so that ours must not be either.
    """
    with channel.outbuf_lock:  # handle_close passes through this lock before it closes the socket
        if not channel.connected:
            return None
        try:
            duplicate = channel.socket.dup()
        except OSError:
            return None
        clean = channel.total_outbufs_len == 0

        def note_and_close() -> None:
            nonlocal clean
            clean = channel.total_outbufs_len == 0
            vars(channel).pop("handle_close", None)  # back to the class's
            channel.handle_close()

        def leave_and_tell(map: Any = None) -> None:
            vars(channel).pop("handle_close", None)
            vars(channel).pop("del_channel", None)
            channel.del_channel(map)
            handed_over(clean)

        channel.write_soon = _swallow
        channel.handle_close = note_and_close
        channel.del_channel = leave_and_tell
    with channel.requests_lock:
        channel.close_when_flushed = True  # whatever the task makes of our empty answer
        pipelined, channel.requests[1:] = channel.requests[1:], []
    for request in pipelined:  # never begun: their client is told by `Connection: close`
        request.close()
    return duplicate


def _swallow(data: bytes) -> int:
    """In place of a channel's `write_soon`: the task's own answer goes nowhere."""
    return len(data)


def head(environ: Mapping[str, Any], status: str, headers: Headers) -> bytes:
    """Status line and headers; the connection ends with the answer."""
    version = environ.get("SERVER_PROTOCOL", "HTTP/1.1")
    lines = [f"{version} {status}", *(f"{name}: {value}" for name, value in headers)]
    present = {name.lower() for name, _ in headers}
    if "server" not in present and environ.get("SERVER_SOFTWARE"):
        lines.append(f"Server: {environ['SERVER_SOFTWARE']}")
    if "date" not in present:
        lines.append(f"Date: {formatdate(usegmt=True)}")
    lines.append("Connection: close")
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a header holds a line break")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
