"""Server-Sent Events: events as bytes. The format is WHATWG's; what our events are called is design.md's section 6.

Log lines have no name, so that an EventSource's `onmessage` gets them and nothing else; all other events have one.
`data:` comes first in each event: people read these streams with curl.
"""

import json
import logging
from collections.abc import Mapping
from functools import lru_cache
from json.encoder import encode_basestring as _quoted
from typing import Any

from wattle.api.envelope import instant
from wattle.errors import WattleError
from wattle.logs.said import Attempt, End, Event, Gap, LogLineEvent, Truncated

logger = logging.getLogger(__name__)

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


def error(code: str, message: str, id: str = "") -> bytes:
    """Something went wrong on our side; the client may come back, with `id`.

    Where it has heard something before, that is told again: by the letter of WHATWG's rules an event without an id, the
    first of its connection, takes away the one that the client had.
    """
    return event({"type": "error", "code": code, "message": message}, name="error", id=id or None)


def retry(milliseconds: int) -> bytes:
    """How long an EventSource waits before it comes back."""
    return f"retry: {milliseconds}\n\n".encode()


def encode(said: Event) -> bytes:
    """A watcher's event. Keys that say nothing are left out: a plain line is exactly the documented W-22."""
    match said:
        case LogLineEvent():
            return _line(said)
        case Attempt():
            data = {"type": "attempt", "attempt": said.number, "uid": said.uid, **_of(said)}
            if said.run_id is not None:
                data["run_id"] = said.run_id
            return event(data, name="attempt", id=said.id)
        case Truncated():
            data = {"type": "truncated", "stream": said.stream, "size_bytes": said.size_bytes, **_of(said)}
            return event(data, name="truncated", id=said.id)
        case Gap():
            data = {"type": "gap", "stream": said.stream, "reason": said.reason, "dropped_bytes": said.dropped_bytes}
            return event(data | _of(said), name="gap", id=said.id)
        case End():
            data = {"type": "end", "status": said.status, "exit_code": said.exit_code}
            return event(data, name="end", id=said.id)


def _line(said: LogLineEvent) -> bytes:
    """As `event` would make it of a dict, at a quarter of the cost: of these there are as many as lines are printed."""
    text = f'data: {{"type": "{said.type}", "content": {_quoted(said.content)}'
    if said.worker is not None:
        text += f', "worker": {_quoted(said.worker)}'
    if said.time is not None:
        text += f', "time": "{_instant(said.time // 1000)}"'
    if said.after is not None:
        text += f', "after": "{_instant(said.after // 1000)}"'
    if said.continued:
        text += ', "continued": true'
    if said.partial:
        text += ', "partial": true'
    return f"{text}}}\nid: {said.id}\n\n".encode()


@lru_cache(maxsize=256)  # lines of one stretch have one, and those of many logs are heard of together
def _instant(milliseconds: int) -> str | None:
    return instant(milliseconds * 1000)


def _of(said: Attempt | Truncated | Gap) -> dict[str, Any]:
    return {} if said.worker is None else {"worker": said.worker}


def failed(failure: Exception, id: str = "") -> bytes:
    """Why a stream ends before its end."""
    if isinstance(failure, WattleError):
        return error(failure.code, failure.message, id)
    logger.error("a stream ends: its source failed", exc_info=failure)
    return error("INTERNAL_ERROR", "the stream failed; the log of the server says why", id)


def start(id: str | int) -> bytes:
    """Where an EventSource comes back to, should it hear nothing before.

    It has data, for libraries pass over events without, and over their ids (sseclient-py, npm's eventsource).
    """
    return event({"type": "start"}, name="start", id=id)
