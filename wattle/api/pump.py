"""Everything that waits for HTTP clients: one thread with epoll, so that nothing that waits holds a Waitress thread.

A request that has to wait (a stream, a long poll, the answer of a stop) is taken over from Waitress: the socket is
duplicated, Waitress closes its own descriptor without having written anything of ours, and the pump writes the whole
answer, with `Connection: close`. What we use of Waitress for that is in handover.py.

Why so: a thread per stream costs 119 % CPU and an API p99 of 76 ms at 1,000 watchers; this 10 % and 11.7 ms
(design.md, section 6). Streams that tell the same (`sources.Shared`) are read once for all their clients (feeds.py).
Sources are polled on the pump's thread, one after the other: a source must not wait for anything. Where there is no
Waitress (Flask's test client, another server) the caller's thread polls, for a bounded time.
"""

import logging
import math
import os
import resource
import select
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar, cast

from waitress.channel import HTTPChannel

from wattle.api import sse
from wattle.api.connection import HANDING, LINGERING, LOST, SERVED, Client
from wattle.api.feeds import Feed, Feeds, Pace
from wattle.api.handover import Headers, head, take_over
from wattle.api.replies import Answer, Polled, Reply, is_bodyless, place
from wattle.api.sources import Shared, Source
from wattle.errors import WattleError

logger = logging.getLogger(__name__)

T = TypeVar("T")
StartResponse = Callable[..., Any]

MAX_CLIENTS = 4096
RETRY_MILLISECONDS = 5000  # told to an EventSource that found no place
STALL_SECONDS = 60.0  # a client that takes nothing of what waits for it for so long is cut
_ROOM_FOR_ANSWERS = 1024  # a stop is answered though every place for streams is taken
_OTHER_DESCRIPTORS = 512
_DESCRIPTORS_EACH = 3  # a socket, and two logs while it catches up
_HANDOVER_SECONDS = 60.0  # for earlier answers of a pipelining client to be taken
_LONG_POLL_SECONDS = 1.0  # how often a long poll looks though nobody has notified
_REST = 2  # after a sweep that took t of the processor's time, rest 2 t: at most a third of a core


def fitting(max_clients: int) -> int:
    """So many clients, or as many as this process may have descriptors for."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return max_clients
    return min(max_clients, max(16, (soft - _OTHER_DESCRIPTORS) // _DESCRIPTORS_EACH))


class Pump:
    """The thread and its clients. `stream`, `answer` and `poll_until` are WSGI applications but for their arguments.

    `max_backlog_bytes` bounds what waits in memory for one client that reads slowly: its source is not polled
    while a quarter of it waits, and gives well below the rest at once. `max_clients_per_address` None: as in all.
    `changes` tells, on the pump's thread, the subjects of what has been committed since it was asked last (None: of
    anything).
    """

    def __init__(
        self,
        *,
        max_clients: int = MAX_CLIENTS,
        max_clients_per_address: int | None = None,
        heartbeat_seconds: float = 15.0,
        poll_seconds: float = 0.1,
        max_backlog_bytes: int = 1 << 20,
        stall_seconds: float = STALL_SECONDS,
        use_inotify: bool = True,
        changes: Callable[[], Collection[str] | None] = lambda: None,
    ) -> None:
        self._max_clients = max_clients
        self._max_clients_per_address = max_clients_per_address or max_clients
        self._heartbeat_seconds = heartbeat_seconds
        self._poll_seconds = poll_seconds
        self._max_backlog_bytes = max_backlog_bytes
        self._high_water = max_backlog_bytes // 4
        self._stall_seconds = stall_seconds
        self._use_inotify = use_inotify
        self._changes = changes
        self._lock = threading.Lock()  # of the counts and of the descriptor behind `_wake`
        self._admitted = 0
        self._streams_by_address: Counter[str] = Counter()
        self._inbox: deque[Callable[[], None]] = deque()
        self._notified = False
        self._thread: threading.Thread | None = None
        self._closing = False
        self._grace_seconds = 0.0
        self._wake_fd = -1
        self._epoll: select.epoll
        self._feeds: Feeds
        self._clients: dict[int, Client] = {}
        self._alone: dict[Client, None] = {}  # those that are polled at every notify: they share nothing
        self._busy: set[Client] = set()
        self._beats: defaultdict[int, list[Client]] = defaultdict(list)
        self._next_at = math.inf
        self._pace = Pace()
        self._rest_until = 0.0
        self._hears = True  # of logs that grow: not in a rest, or each line would wake it up

    # Any thread.

    @property
    def clients(self) -> int:
        """How many clients the pump serves now."""
        return self._admitted

    def start(self) -> None:
        self._epoll = select.epoll()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake_fd, select.EPOLLIN)
        self._feeds = Feeds(self._poll_seconds, use_inotify=self._use_inotify)
        if self._feeds.inotify is not None:
            self._epoll.register(self._feeds.inotify.fd, select.EPOLLIN)
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
        """Something was committed: whom it concerns is polled, soon.

        Costs a flag and, at most once a sweep, a system call; nothing where nobody is served: whoever comes looks once
        when it has come.
        """
        if not self._notified and self._admitted:
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
        client = Client(source, streams=True, interval_seconds=self._poll_seconds)
        client.put(head(environ, status, headers))
        admitted = self._admit(environ, client)
        if admitted is None:
            message = "all places for streams are taken; trying again soon"
            busy = sse.error("TOO_MANY_STREAMS", message, place(source))
            source.close()
            # never 503: an EventSource would give up for ever (C3)
            return iter([sse.retry(RETRY_MILLISECONDS) + busy])  # an iterator has no length: Waitress closes after it
        return () if admitted else Polled(source, self._poll_seconds, self._heartbeat_seconds)

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
        reply = Reply(environ, lambda: render(future) if future.done() else None, timeout_seconds, on_timeout)
        client = Client(reply)
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
        reply = Reply(environ, ready, timeout_seconds, on_timeout)
        return self._reply(environ, start_response, reply, Client(reply, interval_seconds=_LONG_POLL_SECONDS))

    def _reply(
        self, environ: dict[str, Any], start_response: StartResponse, reply: Reply, client: Client
    ) -> Iterable[bytes]:
        """At once if it is ready, else through the pump, else by waiting here."""
        head_only = environ.get("REQUEST_METHOD") == "HEAD"
        answer = reply.look(math.inf if head_only else time.monotonic())
        if answer is None and self._admit(environ, client):
            start_response("200 OK", [])  # goes nowhere, but WSGI asks for it
            return ()
        while answer is None:
            time.sleep(min(self._poll_seconds, 0.02))
            answer = reply.look(time.monotonic())
        length = [("Content-Length", str(len(answer.body)))] if not is_bodyless(answer.status) else []
        start_response(answer.status, [*answer.headers, *length])
        return [] if head_only else [answer.body]

    def _admit(self, environ: Mapping[str, Any], client: Client) -> bool | None:
        """Take the request over from Waitress. False: it is to be served here. None: all places are taken."""
        if self._thread is None or self._closing:
            return False
        channel = getattr(environ.get("waitress.client_disconnected"), "__self__", None)
        if not isinstance(channel, HTTPChannel):
            return False
        address = str(environ.get("REMOTE_ADDR") or "")
        if not self._take_place(address, client.streams):
            return None
        taken = take_over(channel, lambda clean: self._post(partial(self._handed_over, client, clean)))
        if taken is None:
            self._give_place_back(address, client.streams)
            return False
        client.adopt(taken, address)
        if not self._post(partial(self._enter, client)):  # the pump has ended in this instant
            client.close()
            self._give_place_back(address, client.streams)
        return True

    def _take_place(self, address: str, streams: bool) -> bool:
        with self._lock:
            if streams:
                mine = self._streams_by_address[address]
                if self._admitted >= self._max_clients or mine >= self._max_clients_per_address:
                    return False
                self._streams_by_address[address] += 1
            elif self._admitted >= self._max_clients + _ROOM_FOR_ANSWERS:
                return False
            self._admitted += 1
            return True

    def _give_place_back(self, address: str, streams: bool) -> None:
        with self._lock:
            self._admitted -= 1
            if streams:
                self._streams_by_address[address] -= 1
                if not self._streams_by_address[address]:
                    del self._streams_by_address[address]

    def _post(self, action: Callable[[], None]) -> bool:
        """Have the pump's thread do it. False: it has ended, and nobody will."""
        with self._lock:
            if self._wake_fd < 0:
                return False
            self._inbox.append(action)
            os.eventfd_write(self._wake_fd, 1)
            return True

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
        with self._lock:
            os.close(self._wake_fd)
            self._wake_fd = -1
        try:
            self._take_in()  # who came before that is dropped with the others
        except Exception:
            logger.exception("the pump stumbled at its end")
        for client in list(self._clients.values()):
            self._drop(client)
        self._feeds.close()
        self._epoll.close()

    def _round(self) -> None:
        if not self._hears and time.monotonic() >= self._rest_until:
            self._hear(True)
        for fd, flags in self._epoll.poll(self._timeout()):
            if client := self._clients.get(fd):
                self._guarded(client, partial(self._ready, client, flags))
            elif fd == self._wake_fd:
                os.eventfd_read(fd)
            elif time.monotonic() >= self._rest_until:
                self._feeds.grown(time.monotonic())
            else:
                self._hear(False)
        self._take_in()
        busy, self._busy = self._busy, set()
        for client in busy:
            self._turn(client)
        now = time.monotonic()
        if now >= self._rest_until and (self._notified or now >= self._earliest()):
            self._sweep(now)

    def _hear(self, hears: bool) -> None:
        if self._feeds.inotify is not None:
            self._hears = hears
            self._epoll.modify(self._feeds.inotify.fd, select.EPOLLIN if hears else 0)

    def _take_in(self) -> None:
        for _ in range(len(self._inbox)):
            self._inbox.popleft()()

    def _timeout(self) -> float | None:
        if self._busy or self._inbox:
            return 0.0
        at = self._rest_until if self._notified or not self._hears else max(self._earliest(), self._rest_until)
        return None if at == math.inf else max(0.0, at - time.monotonic())

    def _earliest(self) -> float:
        feeds_at = self._feeds.next_at
        beat_at = min(self._beats) * self._beat_seconds if self._beats else math.inf
        return min(self._next_at, beat_at, math.inf if feeds_at is None else feeds_at)

    def _sweep(self, now: float) -> None:
        """Give every feed and every client its turn that is due."""
        began = time.thread_time()
        if self._notified:
            self._notified = False  # before anybody looks: what comes meanwhile needs another sweep
            self._feeds.changed(self._subjects(), now)
            for client in self._alone:
                client.notified = True
        for feed in self._feeds.due(now):
            self._advance(feed, now)
        for client in list(self._alone):
            if client.notified or client.next_at <= now:
                self._turn(client)
        self._next_at = min((client.next_at for client in self._alone), default=math.inf)
        self._beat(now)
        self._rest_until = max(self._pace.take(now), time.monotonic() + _REST * (time.thread_time() - began))

    def _subjects(self) -> Collection[str] | None:
        try:
            return self._changes()
        except WattleError as error:  # the store is broken or taken away, and says so elsewhere too
            logger.warning("what has changed cannot be read, so all streams look: %s", error.message)
            return None
        except Exception:
            logger.exception("what has changed cannot be read")
            return None

    def _enter(self, client: Client) -> None:
        client.next_at = time.monotonic() + _HANDOVER_SECONDS
        self._epoll.register(client.fd, client.mask)
        self._clients[client.fd] = client
        self._alone[client] = None
        self._next_at = min(self._next_at, client.next_at)
        self._beat_at(client, client.written_at + self._heartbeat_seconds)
        self._turn(client)

    def _handed_over(self, client: Client, clean: bool) -> None:
        """Waitress has let go of the socket. Not clean: it lost something that was to go before our answer."""
        client.phase = SERVED if clean else LOST
        if clean and client.shares:
            self._alone.pop(client, None)
        self._turn(client)

    def _turn(self, client: Client) -> None:
        self._guarded(client, partial(self._proceed, client))

    def _guarded(self, client: Client, action: Callable[[], None]) -> None:
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

    def _ready(self, client: Client, flags: int) -> None:
        if client.phase == LINGERING and flags & select.EPOLLIN:
            client.discard()
        if flags & (select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR):
            self._drop(client)
        elif flags & select.EPOLLOUT:
            self._proceed(client)

    def _proceed(self, client: Client) -> None:
        """Poll the source, write what fits, and note what to wait for."""
        now = time.monotonic()
        if client.phase in (HANDING, LINGERING):
            if now >= client.next_at:
                self._drop(client)
            return
        if client.phase == LOST:
            self._drop(client)
            return
        has_room = client.backlog_bytes < self._high_water
        if client.source is not None and not client.source_done and has_room:
            client.poll(now)
            if client.shares and not client.more and not client.source_done:
                self._settle(client, cast(Shared, client.source), now)
        self._write(client, now)
        wants_more = client.more or (client.source is not None and client.shares and not has_room)
        if wants_more and client.phase == SERVED and client.backlog_bytes < self._high_water:
            self._busy.add(client)

    def _write(self, client: Client, now: float) -> None:
        client.flush(now)
        if client.source_done and not client.backlog and client.phase == SERVED:
            client.linger(now)
            self._alone[client] = None
        elif client.phase == SERVED:
            client.next_at = math.inf
            if client in self._alone and not client.backlog:  # else EPOLLOUT comes first
                client.next_at = self._next_turn(client, now)
        self._next_at = min(self._next_at, client.next_at)
        if client.mask != client.registered_mask:
            client.registered_mask = client.mask
            self._epoll.modify(client.fd, client.mask)

    @staticmethod
    def _next_turn(client: Client, now: float) -> float:
        if isinstance(client.source, Reply) and client.interval_seconds == math.inf:
            return client.source.due_at
        at = (now // client.interval_seconds + 1) * client.interval_seconds  # on a common grid: one sweep for all
        return min(at, client.source.due_at) if isinstance(client.source, Reply) else at

    # Feeds

    def _settle(self, client: Client, source: Shared, now: float) -> None:
        """It has been told all there is: let it join the others that want the same."""
        feed = self._feeds.get(source.key)
        if feed is None:
            client.source, client.feed = None, self._feeds.open(source, now)
            client.feed.members[client] = None
            return
        if feed.source.position != source.position:
            self._advance(feed, now)
        if feed.done or not self._feeds.is_current(feed):
            self._busy.add(client)
        elif feed.source.position == source.position:
            feed.trailing.discard(client)
            feed.members[client] = None
            client.feed = feed
            client.let_go_of_source()
        else:  # one of the two has just heard more than the other
            feed.trailing.add(client)
            client.feed = feed

    def _advance(self, feed: Feed, now: float) -> None:
        self._feeds.advance(feed, now, partial(self._give, now))
        for client in feed.trailing:
            client.notified = True
        self._busy |= feed.trailing
        if feed.done:
            for client in list(feed.members):
                client.feed, client.source_done = None, True
                self._guarded(client, partial(self._write, client, now))
            for client in feed.trailing:
                client.feed = None

    def _give(self, now: float, feed: Feed, said: bytes, before: str) -> None:
        """To all members. One for which too much waits already gets a source of its own, for later."""
        for client in list(feed.members):
            if client.backlog and client.backlog_bytes + len(said) > self._max_backlog_bytes:
                client.feed, client.source, client.notified = None, feed.source.at(before), True
                feed.members.pop(client, None)
                continue
            try:
                is_first = client.offer(said, now)
            except OSError:
                self._drop(client)
                continue
            if is_first:
                self._guarded(client, partial(self._write, client, now))

    # Silence

    @property
    def _beat_seconds(self) -> float:
        return self._heartbeat_seconds / 15

    def _beat_at(self, client: Client, at: float) -> None:
        self._beats[math.ceil(at / self._beat_seconds)].append(client)

    def _beat(self, now: float) -> None:
        """A comment to those that have heard nothing for long; who takes nothing for much longer is cut."""
        for slot in sorted(slot for slot in self._beats if slot * self._beat_seconds <= now):
            for client in self._beats.pop(slot):
                if self._clients.get(client.fd) is client:
                    self._guarded(client, partial(self._beat_of, client, now))

    def _beat_of(self, client: Client, now: float) -> None:
        silent = now - client.written_at
        if client.backlog and silent >= self._stall_seconds:
            self._drop(client)
            return
        if client.feed is not None:
            self._feeds.look_again(client.feed, now)
        if client.phase == SERVED and not client.source_done and silent >= self._heartbeat_seconds * 0.99:
            if client.streams and not client.backlog:
                client.put(sse.HEARTBEAT)
                self._write(client, now)
            silent = 0.0
        self._beat_at(client, now + max(self._beat_seconds, self._heartbeat_seconds - silent))

    def _drop(self, client: Client) -> None:
        del self._clients[client.fd]
        self._alone.pop(client, None)
        self._busy.discard(client)
        if client.feed is not None:
            self._busy |= self._feeds.leave(client.feed, client)
        self._epoll.unregister(client.fd)
        client.close()
        self._give_place_back(client.address, client.streams)

    def _deliver_ready_answers(self, until: float) -> None:
        for client in list(self._clients.values()):
            if client.streams and not client.source_done:
                self._drop(client)
        while True:
            self._take_in()
            for client in list(self._clients.values()):
                self._turn(client)
            if time.monotonic() >= until or not any(client.is_under_way for client in self._clients.values()):
                return
            time.sleep(0.01)
