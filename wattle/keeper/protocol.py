"""Frames between a daemon and the keeper: four bytes of length (big-endian), then one JSON object in UTF-8.

Text travels as ASCII JSON, so names that are not UTF-8 (surrogateescape) survive. No socket here.
"""

import json

PROTOCOL = 1
# What a keeper of this protocol may be asked for beyond what its first version could: said in its `hello`, where a
# daemon looks before it asks. `signal`: {uid, signal, scope, request}, answered by `signalled` {…, pids, refused}.
# `ahead`: an order may have `after`, uids; it is begun when each of them has ended by itself with exit code 0, or
# on `release` {uids}. A `hello` forgets those that wait.
FEATURES = ("signal", "ahead")
MAX_FRAME_BYTES = 64 * 1024 * 1024

_encoder = json.JSONEncoder(separators=(",", ":")).encode


class ProtocolError(ValueError):
    """What arrived is not a frame: close the connection, nothing after it can be trusted."""


def encode_json(value: object) -> bytes:
    return _encoder(value).encode("ascii")


def frame(payload: bytes) -> bytes:
    """Put the length before an encoded object."""
    if len(payload) > MAX_FRAME_BYTES:
        raise ProtocolError(f"a frame of {len(payload)} bytes is over the limit of {MAX_FRAME_BYTES}")
    return len(payload).to_bytes(4, "big") + payload


def encode(message: dict) -> bytes:
    return frame(encode_json(message))


class FrameReader:
    """Cuts a stream of bytes into messages; raises ProtocolError on anything that is not a frame."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[dict]:
        """Take bytes as they came, return the messages that are now complete, in order."""
        buffer = self._buffer
        buffer += data
        messages = []
        start = 0
        while len(buffer) - start >= 4:
            size = int.from_bytes(buffer[start : start + 4], "big")
            if size > MAX_FRAME_BYTES:
                raise ProtocolError(f"a frame of {size} bytes is over the limit of {MAX_FRAME_BYTES}")
            end = start + 4 + size
            if len(buffer) < end:
                break
            messages.append(_decode(buffer[start + 4 : end]))
            start = end
        del buffer[:start]
        return messages


def _decode(payload: bytearray) -> dict:
    try:
        message = json.loads(payload.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a frame is not JSON: {error}") from None
    if not isinstance(message, dict):
        raise ProtocolError("a frame is not a JSON object")
    return message
