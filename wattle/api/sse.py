"""Server-Sent Events: events as bytes. The format is WHATWG's; what our events are called is design.md's section 6.

Log lines have no name, so that an EventSource's `onmessage` gets them and nothing else; all other events have one.
`data:` comes first in each event: people read these streams with curl.
"""

import json
from collections.abc import Mapping
from typing import Any

from wattle.logs.follow import Attempt, End, Event, Follower, Gap, LogLineEvent, Truncated

# `charset`: without it some clients (requests) read text/* as Latin-1.
HEADERS = [
    ("Content-Type", "text/event-stream; charset=utf-8"),
    ("Cache-Control", "no-cache"),
    ("X-Accel-Buffering", "no"),
]
HEARTBEAT = b": hb\n\n"

_encode = json.JSONEncoder(ensure_ascii=False).encode


def event(data: Mapping[str, Any], *, name: str | None = None, id: str | int | None = None) -> bytes:
    """One event whose data is a JSON object on one line. `id` holds no newline and no NUL."""
    text = f"data: {_encode(data)}\n"
    if name is not None:
        text = f"event: {name}\n{text}"
    if id is not None:
        text = f"{text}id: {id}\n"
    return f"{text}\n".encode()


def error(code: str, message: str) -> bytes:
    """Something went wrong on our side; the client may come back."""
    return event({"type": "error", "code": code, "message": message}, name="error")


def retry(milliseconds: int) -> bytes:
    """How long an EventSource waits before it comes back."""
    return f"retry: {milliseconds}\n\n".encode()


def encode(said: Event) -> bytes:
    """A watcher's event. Keys that say nothing are left out: a plain line is exactly the documented W-22."""
    match said:
        case LogLineEvent():
            line: dict[str, Any] = {"type": said.type, "content": said.content}
            if said.time is not None:
                line["time"] = said.time
            if said.continued:
                line["continued"] = True
            if said.partial:
                line["partial"] = True
            return event(line, id=said.id)
        case Attempt():
            return event({"type": "attempt", "attempt": said.number, "uid": said.uid}, name="attempt", id=said.id)
        case Truncated():
            data = {"type": "truncated", "stream": said.stream, "size_bytes": said.size_bytes}
            return event(data, name="truncated", id=said.id)
        case Gap():
            data = {"type": "gap", "stream": said.stream, "reason": said.reason, "dropped_bytes": said.dropped_bytes}
            return event(data, name="gap", id=said.id)
        case End():
            data = {"type": "end", "status": said.status, "exit_code": said.exit_code}
            return event(data, name="end", id=said.id)


class LogStream:
    """A watcher as the pump's source (`pump.Source`)."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower

    @property
    def more(self) -> bool:
        return self._follower.more

    @property
    def done(self) -> bool:
        return self._follower.done

    def poll(self, now: float, notified: bool) -> bytes:
        return b"".join(map(encode, self._follower.poll(now, notified)))

    def close(self) -> None:
        self._follower.close()
