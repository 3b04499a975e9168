"""Whole answers as sources of the pump, and what stands in for the pump where there is no Waitress."""

import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from wattle.api import sse
from wattle.api.handover import Headers, head
from wattle.api.sources import Shared, Source

logger = logging.getLogger(__name__)

_FALLBACK_SECONDS = 10.0


class Answer(NamedTuple):
    """A whole HTTP answer: status like `"200 OK"`, headers without Content-Length, body."""

    status: str
    headers: Headers
    body: bytes


class Reply:
    """The source of one whole HTTP answer, which is known when `ready` gives it or time is up."""

    more = False

    def __init__(
        self,
        environ: Mapping[str, Any],
        ready: Callable[[], Answer | None],
        timeout_seconds: float | None,
        on_timeout: Callable[[], Answer] | None,
    ) -> None:
        self.done = False
        self.due_at = math.inf if timeout_seconds is None else time.monotonic() + timeout_seconds
        self._environ = environ
        self._ready = ready
        self._on_timeout = on_timeout or partial(_failure, "503 Service Unavailable", "TIMEOUT", "it takes too long")

    def look(self, now: float) -> Answer | None:
        try:
            return self._ready() or (self._on_timeout() if now >= self.due_at else None)
        except Exception:
            logger.exception("an answer could not be made")
            return _failure("500 Internal Server Error", "INTERNAL_ERROR", "the answer could not be made")

    def poll(self, now: float, notified: bool) -> bytes:
        answer = self.look(now)
        if answer is None:
            return b""
        self.done = True
        if is_bodyless(answer.status):
            return head(self._environ, answer.status, answer.headers)
        headers = [*answer.headers, ("Content-Length", str(len(answer.body)))]
        return head(self._environ, answer.status, headers) + answer.body

    def close(self) -> None:
        pass


class Polled:
    """A stream served on the caller's own thread, for a bounded time: the client can come back for the rest."""

    def __init__(self, source: Source, poll_seconds: float, heartbeat_seconds: float) -> None:
        self._source = source
        self._poll_seconds = poll_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._until = time.monotonic() + _FALLBACK_SECONDS
        self._written_at = time.monotonic()
        self._is_done = False

    def __iter__(self) -> "Polled":
        return self

    def __next__(self) -> bytes:
        while not self._is_done and (now := time.monotonic()) < self._until:
            said, more, self._is_done = polled(self._source, now, True)
            if said or now - self._written_at >= self._heartbeat_seconds:
                self._written_at = now
                return said or sse.HEARTBEAT
            if not more and not self._is_done:
                time.sleep(self._poll_seconds)
        raise StopIteration

    def close(self) -> None:
        closed(self._source)


def polled(source: Source, now: float, notified: bool) -> tuple[bytes, bool, bool]:
    """What a source gives, whether there is more at once, whether it is done; an error ends it and is told."""
    try:
        return source.poll(now, notified), source.more, source.done
    except Exception as error:
        return sse.failed(error, place(source)), False, True


def place(source: Source) -> str:
    """The id with which a client of it comes back, empty where it has none."""
    return source.position if isinstance(source, Shared) else ""


def closed(source: Source) -> None:
    try:
        source.close()
    except Exception:
        logger.exception("closing a source failed")


def is_bodyless(status: str) -> bool:
    return status[:3] in ("204", "304")


def _failure(status: str, code: str, message: str) -> Answer:
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    document = {"success": False, "error": {"code": code, "message": message}, "timestamp": at}
    return Answer(status, [("Content-Type", "application/json")], json.dumps(document).encode())
