"""Everything that waits for HTTP clients: one thread with epoll, so that nothing that waits holds a Waitress thread.

A request that has to wait (a stream, a long poll, the answer of a stop) is taken over from Waitress: the socket is
duplicated, Waitress closes its own descriptor without having written anything of ours, and the pump writes the whole
answer, with `Connection: close`. What we use of Waitress for that is in handover.py.

Why so: a thread per stream costs 119 % CPU and an API p99 of 76 ms at 1,000 watchers; this 10 % and 11.7 ms
(design.md, section 6). Sources are polled on the pump's thread, one after the other: a source must not wait for
anything. Where there is no Waitress (Flask's test client, another server) the caller's thread polls, for a bounded
time.
"""

import contextlib
import json
import logging
import math
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

from waitress.channel import HTTPChannel

from wattle.api import sse
from wattle.api.handover import Headers, head, take_over

logger = logging.getLogger(__name__)

T = TypeVar("T")
StartResponse = Callable[..., Any]

RETRY_MILLISECONDS = 5000  # told to an EventSource that found no place
_SEND_BYTES = 256 * 1024
_LINGER_SECONDS = 2.0
_HANDOVER_SECONDS = 60.0  # for earlier answers of a pipelining client to be taken
_LONG_POLL_SECONDS = 1.0  # how often a long poll looks though nobody has notified
_FALLBACK_SECONDS = 10.0
_REST = 4  # after a sweep over all sources that took t, rest 4 t: at most a fifth of a core


class Answer(NamedTuple):
    """A whole HTTP answer: status like `"200 OK"`, headers without Content-Length, body."""

    status: str
    headers: Headers
    body: bytes


class Source(Protocol):
    """What is written to one client. Only the pump's thread calls it; it must not wait, and bounds what it gives."""

    @property
    def more(self) -> bool:
        """Whether another poll would give more at once."""

    @property
    def done(self) -> bool:
        """Whether the answer is complete with what has been given."""

    def poll(self, now: float, notified: bool) -> bytes:
        """What there is to write now, maybe nothing. `now` is monotonic. `notified`: something has changed."""

    def close(self) -> None:
        """The client is gone or served. Called once."""


class Pump:
    """The thread and its clients. `stream`, `answer` and `poll_until` are WSGI applications but for their arguments.

    `max_backlog_bytes` bounds what waits in memory for one client that reads slowly: its source is not polled
    while a quarter of it waits, and gives well below the rest at once.
    """

    def __init__(
        self,
        *,
        max_clients: int = 4096,
        heartbeat_seconds: float = 15.0,
        poll_seconds: float = 0.1,
        max_backlog_bytes: int = 1 << 20,
    ) -> None:
        self._max_clients = max_clients
        self._heartbeat_seconds = heartbeat_seconds
        self._poll_seconds = poll_seconds
        self._high_water = max_backlog_bytes // 4
        self._lock = threading.Lock()  # of `_admitted` and of the descriptor behind `_wake`
        self._admitted = 0
        self._inbox: deque[Callable[[], None]] = deque()
        self._notified = False
        self._thread: threading.Thread | None = None
        self._closing = False
        self._grace_seconds = 0.0
        self._wake_fd = -1
        self._epoll: select.epoll
        self._clients: dict[int, _Client] = {}
        self._busy: set[_Client] = set()
        self._next_at = math.inf
        self._rest_until = 0.0

    # Any thread.

    @property
    def clients(self) -> int:
        """How many clients the pump serves now."""
        return self._admitted

    def start(self) -> None:
        self._epoll = select.epoll()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake_fd, select.EPOLLIN)
        self._thread = threading.Thread(target=self._run, name="pump", daemon=True)
        self._thread.start()

    def close(self, grace_seconds: float = 1.0) -> None:
        """End all streams, deliver the answers that are ready within the grace, stop the thread."""
        if self._thread is None:
            return
        self._grace_seconds = grace_seconds
        self._closing = True
        self._wake()
        self._thread.join(grace_seconds + 5.0)
        self._thread = None

    def notify(self) -> None:
        """Something was committed, or a log may have grown: all sources are polled, soon rather than at the next tick.

        Costs a flag and, at most once a sweep, a system call.
        """
        if not self._notified:
            self._notified = True
            self._wake()

    def stream(
        self, environ: dict[str, Any], start_response: StartResponse, source: Source, *, headers: Headers
    ) -> Iterable[bytes]:
        """An event stream: 200 with `headers`, then what `source` gives, until it is done or the client has gone."""
        status = "200 OK"
        try:
            start_response(status, headers)  # refuses headers that must not go out
        except BaseException:
            source.close()
            raise
        if environ.get("REQUEST_METHOD") == "HEAD":
            source.close()
            return ()
        if self._thread is not None and self._admitted >= self._max_clients:
            source.close()
            # never 503: an EventSource would give up for ever (C3)
            busy = sse.error("TOO_MANY_STREAMS", f"{self._max_clients} clients are connected; trying again soon")
            return iter([sse.retry(RETRY_MILLISECONDS) + busy])  # an iterator has no length: Waitress closes after it
        client = _Client(source, streams=True, interval_seconds=self._poll_seconds)
        client.backlog += head(environ, status, headers)
        if self._admit(environ, client):
            return ()
        return _Polled(source, self._poll_seconds, self._heartbeat_seconds)

    def answer(
        self,
        environ: dict[str, Any],
        start_response: StartResponse,
        future: "Future[T]",
        render: Callable[["Future[T]"], Answer],
        *,
        timeout_seconds: float | None = None,
        on_timeout: Callable[[], Answer] | None = None,
    ) -> Iterable[bytes]:
        """One answer, when `future` is done: `render(future)`. Or `on_timeout()`, if time is up before.

        Both are called on the pump's thread. The future itself is left alone, whether the client stays or goes.
        """
        reply = _Reply(environ, lambda: render(future) if future.done() else None, timeout_seconds, on_timeout)
        client = _Client(reply, interval_seconds=math.inf)
        result = self._reply(environ, start_response, reply, client)
        if client.sock is not None:
            future.add_done_callback(lambda _: self._post(partial(self._turn, client)))
        return result

    def poll_until(
        self,
        environ: dict[str, Any],
        start_response: StartResponse,
        ready: Callable[[], Answer | None],
        *,
        timeout_seconds: float,
        on_timeout: Callable[[], Answer],
    ) -> Iterable[bytes]:
        """One answer, as soon as `ready()` gives one; asked at each `notify`. Else `on_timeout()`."""
        reply = _Reply(environ, ready, timeout_seconds, on_timeout)
        return self._reply(environ, start_response, reply, _Client(reply, interval_seconds=_LONG_POLL_SECONDS))

    def _reply(
        self, environ: dict[str, Any], start_response: StartResponse, reply: "_Reply", client: "_Client"
    ) -> Iterable[bytes]:
        """At once if it is ready, else through the pump, else by waiting here."""
        head_only = environ.get("REQUEST_METHOD") == "HEAD"
        answer = reply.look(math.inf if head_only else time.monotonic())
        if answer is None and self._admitted < self._max_clients and self._admit(environ, client):
            start_response("200 OK", [])  # goes nowhere, but WSGI asks for it
            return ()
        while answer is None:
            time.sleep(min(self._poll_seconds, 0.02))
            answer = reply.look(time.monotonic())
        length = [("Content-Length", str(len(answer.body)))] if not _is_bodyless(answer.status) else []
        start_response(answer.status, [*answer.headers, *length])
        return [] if head_only else [answer.body]

    def _admit(self, environ: Mapping[str, Any], client: "_Client") -> bool:
        """Take the request over from Waitress. False: it is to be served here."""
        if self._thread is None or self._closing:
            return False
        channel = getattr(environ.get("waitress.client_disconnected"), "__self__", None)
        if not isinstance(channel, HTTPChannel):
            return False
        taken = take_over(channel, lambda clean: self._post(partial(self._handed_over, client, clean)))
        if taken is None:
            return False
        client.sock = taken
        with self._lock:
            self._admitted += 1
        self._post(partial(self._enter, client))
        return True

    def _post(self, action: Callable[[], None]) -> None:
        self._inbox.append(action)
        self._wake()

    def _wake(self) -> None:
        with self._lock:
            if self._wake_fd >= 0:
                os.eventfd_write(self._wake_fd, 1)

    # The pump's thread.

    def _run(self) -> None:
        while not self._closing:
            try:
                self._round()
            except Exception:
                logger.exception("the pump stumbled and goes on")
        try:
            self._deliver_ready_answers(time.monotonic() + self._grace_seconds)
        except Exception:
            logger.exception("the pump stumbled at its end")
        for client in list(self._clients.values()):
            self._drop(client)
        with self._lock:
            os.close(self._wake_fd)
            self._wake_fd = -1
        self._epoll.close()

    def _round(self) -> None:
        for fd, flags in self._epoll.poll(self._timeout()):
            if fd == self._wake_fd:
                os.eventfd_read(fd)
            elif client := self._clients.get(fd):
                self._guarded(client, partial(self._ready, client, flags))
        for _ in range(len(self._inbox)):
            self._inbox.popleft()()
        busy, self._busy = self._busy, set()
        for client in busy:
            self._turn(client)
        now = time.monotonic()
        if now >= self._rest_until and (self._notified or now >= self._next_at):
            self._sweep(now)

    def _timeout(self) -> float | None:
        if self._busy or self._inbox:
            return 0.0
        at = self._rest_until if self._notified else max(self._next_at, self._rest_until)
        return None if at == math.inf else max(0.0, at - time.monotonic())

    def _sweep(self, now: float) -> None:
        """Give every client its turn that is due: all of them after a `notify`."""
        notified, self._notified = self._notified, False  # before the polls: what comes meanwhile needs another sweep
        clients = list(self._clients.values())
        for client in clients:
            client.notified |= notified
            if client.notified or client.next_at <= now:
                self._turn(client)
        self._next_at = min((client.next_at for client in self._clients.values()), default=math.inf)
        after = time.monotonic()
        self._rest_until = after + max(0.005, _REST * (after - now))

    def _enter(self, client: "_Client") -> None:
        client.next_at = time.monotonic() + _HANDOVER_SECONDS
        self._epoll.register(client.fd, client.mask)
        self._clients[client.fd] = client
        self._turn(client)

    def _handed_over(self, client: "_Client", clean: bool) -> None:
        """Waitress has let go of the socket. Not clean: it lost something that was to go before our answer."""
        client.phase = _SERVED if clean else _LOST
        self._turn(client)

    def _turn(self, client: "_Client") -> None:
        self._guarded(client, partial(self._proceed, client))

    def _guarded(self, client: "_Client", action: Callable[[], None]) -> None:
        """One client's trouble is not the others'."""
        if self._clients.get(client.fd) is not client:
            return  # it has gone, or has not come yet
        try:
            action()
        except OSError:
            self._drop(client)
        except Exception:
            logger.exception("a client of the pump is dropped")
            self._drop(client)

    def _ready(self, client: "_Client", flags: int) -> None:
        if client.phase == _LINGERING and flags & select.EPOLLIN:
            client.discard()
        if flags & (select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR):
            self._drop(client)
        elif flags & select.EPOLLOUT:
            self._proceed(client)

    def _proceed(self, client: "_Client") -> None:
        """Poll the source, write what fits, and note what to wait for."""
        now = time.monotonic()
        if client.phase in (_HANDING, _LINGERING):
            if now >= client.next_at:
                self._drop(client)
            return
        if client.phase == _LOST:
            self._drop(client)
            return
        if not client.source_done and len(client.backlog) < self._high_water:
            client.poll(now)
        if client.streams and not client.backlog and now - client.written_at >= self._heartbeat_seconds:
            client.backlog += sse.HEARTBEAT
        client.flush(now)
        if client.source_done and not client.backlog:
            client.linger(now)
        elif client.more and len(client.backlog) < self._high_water:
            self._busy.add(client)
        client.schedule(now, self._heartbeat_seconds)
        self._next_at = min(self._next_at, client.next_at)
        if client.mask != client.registered_mask:
            client.registered_mask = client.mask
            self._epoll.modify(client.fd, client.mask)

    def _drop(self, client: "_Client") -> None:
        del self._clients[client.fd]
        self._busy.discard(client)
        with self._lock:
            self._admitted -= 1
        self._epoll.unregister(client.fd)
        client.close()

    def _deliver_ready_answers(self, until: float) -> None:
        for client in list(self._clients.values()):
            if client.streams and not client.source_done:
                self._drop(client)
        while True:
            for _ in range(len(self._inbox)):
                self._inbox.popleft()()
            for client in list(self._clients.values()):
                self._turn(client)
            if time.monotonic() >= until or not any(client.is_under_way for client in self._clients.values()):
                return
            time.sleep(0.01)


_HANDING, _SERVED, _LINGERING, _LOST = "handing over", "served", "lingering", "lost"


class _Client:
    """One connection. `next_at`: when it wants a turn though nothing has happened to it."""

    def __init__(self, source: Source, *, streams: bool = False, interval_seconds: float) -> None:
        self.source = source
        self.streams = streams
        self.interval_seconds = interval_seconds
        self.sock: socket.socket | None = None
        self.backlog = bytearray()
        self.phase = _HANDING
        self.notified = True  # what was said between its first look and its coming here was said to nobody
        self.source_done = False
        self.more = False
        self.next_at = math.inf
        self.written_at = time.monotonic()
        self.mask = self.registered_mask = select.EPOLLRDHUP

    @property
    def fd(self) -> int:
        return self.sock.fileno() if self.sock is not None else -1

    @property
    def is_under_way(self) -> bool:
        """Whether an answer of it exists, or may exist, that has not been written."""
        return self.phase == _HANDING or (self.phase == _SERVED and self.source_done)

    def poll(self, now: float) -> None:
        notified, self.notified = self.notified, False
        try:
            self.backlog += self.source.poll(now, notified)
            self.more, self.source_done = self.source.more, self.source.done
        except Exception:
            logger.exception("a stream ends: its source failed")
            self.backlog += sse.error("INTERNAL_ERROR", "the stream failed; the log of the server says why")
            self.more, self.source_done = False, True

    def flush(self, now: float) -> None:
        while self.backlog and self.sock is not None:
            try:
                sent = self.sock.send(self.backlog[:_SEND_BYTES])
            except BlockingIOError:
                break
            del self.backlog[:sent]
            self.written_at = now
        self.mask = select.EPOLLRDHUP | (select.EPOLLOUT if self.backlog else 0)

    def linger(self, now: float) -> None:
        """Say that this was all, and let the client close first.

        A close with unread bytes (a pipelined request) would be a reset, which can overtake the answer.
        """
        if self.sock is not None:
            self.sock.shutdown(socket.SHUT_WR)
        self.phase = _LINGERING
        self.mask = select.EPOLLRDHUP | select.EPOLLIN
        self.next_at = now + _LINGER_SECONDS

    def discard(self) -> None:
        if self.sock is not None and not self.sock.recv(64 * 1024):
            raise ConnectionResetError

    def schedule(self, now: float, heartbeat_seconds: float) -> None:
        if self.phase != _SERVED:
            return
        if len(self.backlog) or self.source_done:  # EPOLLOUT comes first
            self.next_at = math.inf
            return
        self.next_at = math.inf
        if self.interval_seconds != math.inf:  # on a common grid, so that all are polled in one sweep
            self.next_at = (now // self.interval_seconds + 1) * self.interval_seconds
        if self.streams:
            self.next_at = min(self.next_at, self.written_at + heartbeat_seconds)
        if isinstance(self.source, _Reply):
            self.next_at = min(self.next_at, self.source.due_at)

    def close(self) -> None:
        if self.sock is not None:
            if self.phase == _HANDING:  # Waitress holds it too, and shall not go on waiting for this client
                with contextlib.suppress(OSError):
                    self.sock.shutdown(socket.SHUT_RDWR)
            self.sock.close()
        try:
            self.source.close()
        except Exception:
            logger.exception("closing a source failed")


class _Reply:
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
        if _is_bodyless(answer.status):
            return head(self._environ, answer.status, answer.headers)
        headers = [*answer.headers, ("Content-Length", str(len(answer.body)))]
        return head(self._environ, answer.status, headers) + answer.body

    def close(self) -> None:
        pass


class _Polled:
    """A stream served on the caller's own thread, for a bounded time: the client can come back for the rest."""

    def __init__(self, source: Source, poll_seconds: float, heartbeat_seconds: float) -> None:
        self._client = _Client(source, streams=True, interval_seconds=poll_seconds)
        self._poll_seconds = poll_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._until = time.monotonic() + _FALLBACK_SECONDS

    def __iter__(self) -> "_Polled":
        return self

    def __next__(self) -> bytes:
        client = self._client
        while not client.source_done and (now := time.monotonic()) < self._until:
            client.notified = True
            client.poll(now)
            if client.backlog:
                given = bytes(client.backlog)
                client.backlog.clear()
                client.written_at = now
                return given
            if now - client.written_at >= self._heartbeat_seconds:
                client.written_at = now
                return sse.HEARTBEAT
            if not client.source_done:
                time.sleep(self._poll_seconds)
        raise StopIteration

    def close(self) -> None:
        self._client.close()


def _is_bodyless(status: str) -> bool:
    return status[:3] in ("204", "304")


def _failure(status: str, code: str, message: str) -> Answer:
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    document = {"success": False, "error": {"code": code, "message": message}, "timestamp": at}
    return Answer(status, [("Content-Type", "application/json")], json.dumps(document).encode())
