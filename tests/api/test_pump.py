"""The pump, and what it uses of Waitress (A21, A22; C3). A real Waitress, real sockets."""

import contextlib
import http.client
import json
import logging
import os
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import flask
import pytest
import waitress
from waitress import wasyncore
from waitress.channel import HTTPChannel

from wattle.api import sse
from wattle.api.pump import Pump
from wattle.api.replies import Answer
from wattle.api.sources import Source
from wattle.api.streaming import LogStream
from wattle.errors import Refused
from wattle.logs.follow import Follower
from wattle.logs.said import Attempt, End, Event, Gap, LogLineEvent, Truncated
from wattle.service.views import LogState

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
PLAIN = [("Content-Type", "text/plain")]


def until(condition: Callable[[], object], seconds: float = 10.0) -> bool:
    """Poll for an effect, with a limit."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class Feed:
    """A source whose bytes the test hands in."""

    more = False

    def __init__(self, *data: bytes, done: bool = False) -> None:
        self._data = list(data)
        self._last = done
        self.done = False
        self.polls = 0
        self.closed = 0

    def say(self, data: bytes, *, done: bool = False) -> None:
        self._data.append(data)
        self._last = done

    def poll(self, now: float, notified: bool) -> bytes:
        self.polls += 1
        self.done = self._last
        return b"".join(self._data.pop(0) for _ in range(len(self._data)))  # the test may say more meanwhile

    def close(self) -> None:
        self.closed += 1


class Server:
    """A Waitress, a pump and an application made of the two. What `/stream` and `/answer` give is the test's."""

    def __init__(self, pump: Pump, family: str, directory: Path, threads: int = 4) -> None:
        self.pump = pump
        self.sources: list[Any] = []
        self.make_source: Callable[[], Source] = Feed
        self.futures: list[Future[str]] = []
        self.ready: Callable[[], Answer | None] = lambda: None
        self.timeout_seconds = 30.0
        self.plain_calls = 0
        self._served: dict[int, Any] = {}
        options = {"threads": threads, "asyncore_use_poll": True, "connection_limit": 5000}
        if family == "unix":
            self.address: Any = str(directory / "s")
            self.waitress = waitress.create_server(self.app, map=self._served, unix_socket=self.address, **options)
        else:
            self.waitress = waitress.create_server(self.app, map=self._served, host="127.0.0.1", port=0, **options)
            self.address = ("127.0.0.1", int(self.waitress.effective_port))
        self.extra: dict[str, Application] = {}
        self._thread = threading.Thread(target=self.waitress.run)
        self._thread.start()

    def app(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path in self.extra:
            return self.extra[path](environ, start_response)
        if path == "/stream":
            source = self.make_source()
            self.sources.append(source)
            return self.pump.stream(environ, start_response, source, headers=sse.HEADERS)
        if path == "/answer":
            future: Future[str] = Future()
            self.futures.append(future)
            return self.answer(environ, start_response, future)
        if path == "/ready":
            return self.answer(environ, start_response, done("at once"))
        if path == "/poll":
            return self.pump.poll_until(
                environ,
                start_response,
                lambda: self.ready(),
                timeout_seconds=self.timeout_seconds,
                on_timeout=lambda: Answer("200 OK", PLAIN, b"nothing new"),
            )
        self.plain_calls += 1
        body = b"x" * int(environ["QUERY_STRING"] or 2)
        start_response("200 OK", [*PLAIN, ("Content-Length", str(len(body)))])
        return [body]

    def answer(
        self, environ: dict[str, Any], start_response: Callable[..., Any], future: "Future[str]"
    ) -> Iterable[bytes]:
        return self.pump.answer(
            environ,
            start_response,
            future,
            lambda f: Answer("200 OK", PLAIN, f.result().encode()),
            timeout_seconds=self.timeout_seconds,
            on_timeout=lambda: Answer("503 Service Unavailable", PLAIN, b"still going"),
        )

    def connect(self, receive_buffer_bytes: int = 0) -> socket.socket:
        client = socket.socket(socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET)
        if receive_buffer_bytes:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        client.settimeout(10)
        client.connect(self.address)
        return client

    def get(self, path: str, version: str = "1.1", more: str = "", **options: Any) -> socket.socket:
        client = self.connect(**options)
        client.sendall(f"GET {path} HTTP/{version}\r\nHost: localhost\r\n{more}\r\n".encode())
        return client

    def settle(self) -> None:
        """Waitress's thread has done what it had begun, such as closing its descriptor of a client handed over."""
        is_done = threading.Event()
        self.waitress.trigger.pull_trigger(is_done.set)
        assert is_done.wait(10)

    def close(self) -> None:
        is_pulled = threading.Event()  # what else wakes Waitress may run this before the trigger was written to

        def close_all() -> None:
            assert is_pulled.wait(10)
            wasyncore.close_all(self._served)

        self.waitress.trigger.pull_trigger(close_all)
        is_pulled.set()
        self._thread.join(10)
        assert not self._thread.is_alive()
        self.waitress.task_dispatcher.shutdown()


def done(text: str) -> "Future[str]":
    future: Future[str] = Future()
    future.set_result(text)
    return future


def read_head(client: socket.socket) -> tuple[bytes, bytes]:
    """The head, and what came of the body with it."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = client.recv(65536)
        assert more, data
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def read_all(client: socket.socket) -> bytes:
    data = b""
    while more := client.recv(65536):
        data += more
    return data


def read_exactly(client: socket.socket, size: int, data: bytes = b"") -> bytes:
    while len(data) < size:
        more = client.recv(65536)
        assert more, f"{len(data)} of {size} bytes"
        data += more
    return data


MakeServer = Callable[..., Server]


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[MakeServer]:
    before = open_descriptors()
    made: list[Server] = []

    def make(family: str = "tcp", threads: int = 4, **options: Any) -> Server:
        pump = Pump(**{"poll_seconds": 0.02, **options})
        pump.start()
        made.append(Server(pump, family, tmp_path, threads))
        return made[-1]

    yield make
    for server in made:
        server.pump.close(0.2)
        server.close()
        for source in server.sources:
            assert source.closed == 1
    assert until(lambda: open_descriptors() <= before), "descriptors leaked"


@pytest.fixture(params=["tcp", "unix"])
def server(make_server: MakeServer, request: pytest.FixtureRequest) -> Server:
    return make_server(request.param)


def test_waitress_has_what_the_pump_uses_of_it(server: Server) -> None:
    """A22. Red here: read `handover.take_over` again before `waitress` in setup.cfg is widened."""
    seen: list[HTTPChannel] = []

    def look(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        channel = environ["waitress.client_disconnected"].__self__
        assert isinstance(channel, HTTPChannel)
        assert isinstance(channel.socket, socket.socket)
        assert channel.connected and channel.total_outbufs_len == 0 and len(channel.requests) == 1
        with channel.outbuf_lock, channel.requests_lock:  # type: ignore[attr-defined]
            pass
        for name in ("handle_close", "del_channel", "write_soon"):
            assert callable(getattr(channel, name)) and name not in vars(channel)
        assert hasattr(channel, "__dict__")
        seen.append(channel)
        start_response("200 OK", [("Content-Length", "0")])
        return []

    server.extra["/look"] = look
    with server.get("/look") as client:
        assert read_head(client)[0].startswith(b"HTTP/1.1 200 OK")
    assert len(seen) == 1


def test_raw_client_gets_exactly_the_head_and_the_bytes_of_the_source(server: Server) -> None:
    """A21, A22"""
    server.make_source = lambda: Feed(b"data: one\n\n")
    with server.get("/stream") as client:
        head, rest = read_head(client)
        lines = head.decode().split("\r\n")
        assert lines[0] == "HTTP/1.1 200 OK"
        assert lines[1:4] == [
            "Content-Type: text/event-stream; charset=utf-8",
            "Cache-Control: no-cache",
            "X-Accel-Buffering: no",
        ]
        assert [line.split(":")[0] for line in lines[4:]] == ["Server", "Date", "Connection"]
        assert lines[-1] == "Connection: close"
        assert read_exactly(client, 11, rest) == b"data: one\n\n"
        server.sources[0].say(b"data: two\n\n", done=True)
        assert read_all(client) == b"data: two\n\n"


def test_http_client_reads_a_stream_to_its_end(make_server: MakeServer) -> None:
    server = make_server()
    server.make_source = lambda: Feed(b"data: x\n\n" * 100_000, done=True)
    connection = http.client.HTTPConnection(*server.address, timeout=10)
    connection.request("GET", "/stream")
    response = connection.getresponse()
    assert response.status == 200 and response.getheader("Transfer-Encoding") is None
    assert response.read() == b"data: x\n\n" * 100_000
    connection.close()


def test_client_of_http_1_0_is_served_too(server: Server) -> None:
    server.make_source = lambda: Feed(b"data: x\n\n", done=True)
    with server.get("/stream", version="1.0") as client:
        answer = read_all(client)
    assert answer.startswith(b"HTTP/1.0 200 OK\r\n") and answer.endswith(b"\r\n\r\ndata: x\n\n")


def test_head_of_a_stream_is_answered_by_waitress(server: Server) -> None:
    with server.connect() as client:
        client.sendall(b"HEAD /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"Content-Type: text/event-stream" in read_head(client)[0]
    assert server.pump.clients == 0


def test_two_hundred_open_streams_leave_four_threads_to_the_api(make_server: MakeServer) -> None:
    """A22"""
    server = make_server(threads=4)
    threads_before = set(threading.enumerate())  # those of an earlier test may be ending
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.get("/stream")) for _ in range(200)]
        for client in clients:
            read_head(client)
        assert server.pump.clients == 200 and threads_before.issuperset(threading.enumerate())
        for _ in range(20):
            with server.get("/plain") as api:
                api.settimeout(5)
                assert read_head(api)[0].startswith(b"HTTP/1.1 200 OK")
        assert server.plain_calls == 20
        for source in server.sources:
            source.say(b"data: all\n\n")
        server.pump.notify()
        assert all(read_exactly(client, 11) == b"data: all\n\n" for client in clients)
    assert until(lambda: server.pump.clients == 0)


def test_streams_that_hold_a_thread_stop_the_api(make_server: MakeServer) -> None:
    """A22: the control of the test before: the same without a pump."""
    server = make_server(threads=4)
    server.pump.close()
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(server.get("/stream"))
        assert until(lambda: len(server.sources) == 4)
        with server.get("/plain") as api:
            api.settimeout(0.3)
            with pytest.raises(TimeoutError):
                api.recv(1)
        for source in server.sources:
            source.say(b"", done=True)
    assert until(lambda: all(source.closed for source in server.sources))


def test_client_that_leaves_frees_everything_at_once(server: Server) -> None:
    before = open_descriptors()
    clients = [server.get("/stream") for _ in range(50)]
    for client in clients:
        read_head(client)
    assert server.pump.clients == 50
    for client in clients[:25]:
        client.close()
    for client in clients[25:]:  # a reset
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    assert until(lambda: server.pump.clients == 0)
    assert all(source.closed == 1 for source in server.sources)
    assert until(lambda: open_descriptors() <= before)


def test_clients_that_come_and_go_at_any_moment_leave_nothing(
    make_server: MakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    server = make_server(threads=4)
    before, chance = open_descriptors(), random.Random(1)

    def come_and_go(seed: int) -> None:
        own = random.Random(seed)
        for _ in range(60):
            client = server.get(own.choice(["/stream", "/answer", "/plain", "/poll"]))
            with contextlib.suppress(TimeoutError):
                client.settimeout(own.choice([0.0001, 0.001, 0.01]))
                client.recv(1)
            client.close()

    with caplog.at_level(logging.WARNING):
        visitors = [threading.Thread(target=come_and_go, args=(chance.random(),)) for _ in range(6)]
        for visitor in visitors:
            visitor.start()
        for visitor in visitors:
            visitor.join()
        assert until(lambda: server.pump.clients == 0 and open_descriptors() <= before)
    assert [record.getMessage() for record in caplog.records if record.name != "waitress.queue"] == []
    with server.get("/plain") as client:
        assert read_head(client)[0].startswith(b"HTTP/1.1 200 OK")


class Endless:
    """Says numbered lines for ever, 64 KiB at a time."""

    more = True
    done = False

    def __init__(self) -> None:
        self.given = 0
        self.closed = 0

    def poll(self, now: float, notified: bool) -> bytes:
        lines = b"".join(b"%015d\n" % number for number in range(self.given, self.given + 4096))
        self.given += 4096
        return lines

    def close(self) -> None:
        self.closed += 1


def test_slow_reader_holds_back_its_source_and_loses_nothing(make_server: MakeServer) -> None:
    """A22: memory for a client is bounded, and the others do not wait for it."""
    server = make_server(max_backlog_bytes=1 << 20)
    server.make_source = Endless
    with server.get("/stream", receive_buffer_bytes=4096) as client:
        assert until(lambda: server.sources)
        source = server.sources[0]
        polled = [-1]

        def stands_still() -> bool:
            polled.append(source.given)
            server.pump.notify()
            with server.get("/plain") as api:
                read_head(api)
            waiting = sum(served.backlog_bytes for served in list(server.pump._clients.values()))
            return waiting >= server.pump._high_water and len(polled) > 20 and len(set(polled[-20:])) == 1

        assert until(stands_still)
        [served] = server.pump._clients.values()
        assert 0 < served.backlog_bytes <= 1 << 20
        _, rest = read_head(client)
        wanted = (source.given + 100_000) * 16
        data = read_exactly(client, wanted, rest)[:wanted]
        assert data == b"".join(b"%015d\n" % number for number in range(wanted // 16))


def test_flood_to_one_client_does_not_starve_another(make_server: MakeServer) -> None:
    server = make_server()
    server.make_source = Endless
    with server.get("/stream") as flooded, server.get("/answer") as other:
        stop = threading.Event()

        def read() -> None:
            with contextlib.suppress(OSError):
                while not stop.is_set() and flooded.recv(1 << 20):
                    pass

        reader = threading.Thread(target=read)
        reader.start()
        assert until(lambda: server.pump.clients == 2 and server.sources[0].given > 1_000_000)
        server.futures[0].set_result("through")
        assert read_all(other).endswith(b"\r\n\r\nthrough")
        stop.set()
        reader.join()


def test_answers_before_the_stream_on_one_connection_come_first_and_whole(server: Server) -> None:
    """A pipelining client that reads late: Waitress still holds 5 MB for it when the stream is taken over."""
    server.make_source = lambda: Feed(b"data: x\n\n", done=True)
    with server.connect(receive_buffer_bytes=4096) as client:
        request = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
        client.sendall(request % b"/plain?5000000" + request % b"/plain?3" + request % b"/stream")
        assert until(lambda: server.sources)
        assert not until(lambda: server.sources[0].polls, 0.1)
        data = read_all(client)
    first, second, third = data.split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert first.endswith(b"x" * 5_000_000) and second.endswith(b"\r\n\r\nxxx")
    assert third.endswith(b"Connection: close\r\n\r\ndata: x\n\n")


def test_client_that_never_takes_the_answers_before_is_freed_when_it_leaves(server: Server) -> None:
    before = open_descriptors()
    with server.connect(receive_buffer_bytes=4096) as client:
        request = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
        client.sendall(request % b"/plain?5000000" + request % b"/stream")
        assert until(lambda: server.pump.clients == 1)
    assert until(lambda: server.pump.clients == 0 and open_descriptors() <= before)


def test_answers_before_that_were_lost_are_not_continued_with_ours(server: Server) -> None:
    """Waitress gives up a client in the middle of an earlier answer; ours would read as the rest of that."""
    server.make_source = lambda: Feed(b"data: x\n\n", done=True)
    with server.connect(receive_buffer_bytes=4096) as client:
        request = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
        client.sendall(request % b"/plain?5000000" + request % b"/stream")
        assert until(lambda: server.pump.clients == 1)
        [channel] = server.waitress.active_channels.values()
        assert until(lambda: not channel.requests)
        server.waitress.trigger.pull_trigger(lambda: channel.handle_close())
        data = read_all(client)
    assert data.startswith(b"HTTP/1.1 200 OK\r\n") and len(data) < 5_000_000
    assert b"data: x" not in data


def test_pump_that_closes_lets_waitress_not_wait_for_a_client_it_had_been_given(server: Server) -> None:
    with server.connect(receive_buffer_bytes=4096) as client:
        request = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
        client.sendall(request % b"/plain?5000000" + request % b"/stream")
        assert until(lambda: server.pump.clients == 1)
        server.pump.close(0.05)
        assert until(lambda: not server.waitress.active_channels)


def test_client_that_comes_in_the_instant_in_which_the_pump_ends_is_let_go(server: Server) -> None:
    channels: list[Any] = []
    is_held = threading.Event()

    def come(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        channels.append(environ["waitress.client_disconnected"].__self__)
        assert is_held.wait(10)
        return server.app(environ | {"PATH_INFO": "/stream"}, start_response)

    server.extra["/come"] = come
    with server.get("/come") as client:
        assert until(lambda: channels)
        with channels[0].outbuf_lock:  # has a place, and cannot be taken over yet
            is_held.set()
            assert until(lambda: server.pump.clients == 1)
            server.pump.close(0.05)
        assert until(lambda: not server.waitress.active_channels and not server.pump.clients)
        assert read_all(client) == b""


def test_what_a_middleware_makes_of_the_empty_answer_does_not_matter(server: Server) -> None:
    """With this header Waitress itself would keep the connection."""
    server.make_source = lambda: Feed(b"data: x\n\n", done=True)

    def middleware(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]]) -> Any:
            return start_response(status, [*headers, ("Content-Length", "0")])

        environ["PATH_INFO"] = "/stream"
        return server.app(environ, start)

    server.extra["/wrapped"] = middleware
    with server.get("/wrapped") as client:
        assert read_all(client).endswith(b"Connection: close\r\n\r\ndata: x\n\n")


def test_requests_behind_the_stream_are_not_answered_and_do_no_harm(server: Server) -> None:
    """Their unread bytes would turn our close into a reset that overtakes the answer."""
    server.make_source = lambda: Feed(b"data: x\n\n" * 50_000, done=True)
    for _ in range(10):
        with server.connect() as client:
            request = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
            client.sendall(request % b"/stream" + request % b"/plain")
            _, rest = read_head(client)
            client.sendall(request % b"/plain" * 100)
            assert read_exactly(client, 450_000, rest) == b"data: x\n\n" * 50_000
            assert client.recv(1) == b""
    assert server.plain_calls == 0


def test_connection_used_before_can_be_taken_over(server: Server) -> None:
    with server.connect() as client:
        for _ in range(3):
            client.sendall(b"GET /plain HTTP/1.1\r\nHost: localhost\r\n\r\n")
            _, rest = read_head(client)
            assert read_exactly(client, 2, rest) == b"xx"
        client.sendall(b"GET /answer HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert until(lambda: server.pump.clients == 1)
        server.futures[0].set_result("late")
        assert read_all(client).endswith(b"\r\n\r\nlate")


def test_body_that_waited_for_100_continue_does_not_disturb(server: Server) -> None:
    with server.connect() as client:
        client.sendall(b"POST /answer HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert read_head(client)[0] == b"HTTP/1.1 100 Continue"
        client.sendall(b"{}")
        assert until(lambda: server.pump.clients == 1)
        server.futures[0].set_result("late")
        assert read_all(client).endswith(b"\r\n\r\nlate")


def test_answer_comes_when_its_future_is_done_and_only_then(server: Server) -> None:
    with server.get("/answer") as client:
        assert until(lambda: server.pump.clients == 1)
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(10)
        server.futures[0].set_result("grün")
        head, rest = read_head(client)
        assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n")
        assert rest + read_all(client) == "grün".encode()


def test_http_client_understands_a_late_answer(make_server: MakeServer) -> None:
    server = make_server()
    connection = http.client.HTTPConnection(*server.address, timeout=10)
    connection.request("POST", "/answer", body=b"{}")
    assert until(lambda: server.pump.clients == 1)  # else Waitress itself may give the answer
    server.futures[0].set_result("late")
    response = connection.getresponse()
    assert (response.status, response.read(), response.will_close) == (200, b"late", True)
    connection.close()


def test_answer_that_is_ready_needs_no_pump_and_keeps_the_connection(server: Server) -> None:
    with server.connect() as client:
        for _ in range(2):
            client.sendall(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
            head, rest = read_head(client)
            assert b"Connection: close" not in head
            assert read_exactly(client, 7, rest) == b"at once"


def test_answer_that_takes_too_long_says_so_and_leaves_the_future_alone(server: Server) -> None:
    server.timeout_seconds = 0.05
    with server.get("/answer", more="Connection: close\r\n") as client:  # whoever sees first that time is up
        answer = read_all(client)
    assert answer.startswith(b"HTTP/1.1 503 ") and answer.endswith(b"still going")
    assert not server.futures[0].done()
    server.futures[0].set_result("nobody listens")


def test_client_that_leaves_before_the_answer_harms_nothing(server: Server) -> None:
    with server.get("/answer"):
        assert until(lambda: server.pump.clients == 1)
    assert until(lambda: server.pump.clients == 0)
    server.futures[0].set_result("nobody listens")
    with server.get("/ready") as client:
        read_head(client)


def test_answer_that_cannot_be_made_is_a_500(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with server.get("/answer") as client:
        assert until(lambda: server.pump.clients == 1)
        server.futures[0].set_exception(ZeroDivisionError("a bug"))
        head, _, body = read_all(client).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 500 ")
    document = json.loads(body)
    assert document["success"] is False and document["error"]["code"] == "INTERNAL_ERROR"
    assert "ZeroDivisionError" in caplog.text


def test_long_poll_answers_when_something_is_committed(server: Server) -> None:
    with server.get("/poll") as client:
        assert until(lambda: server.pump.clients == 1)
        server.ready = lambda: Answer("200 OK", PLAIN, b"news")
        server.pump.notify()
        assert read_all(client).endswith(b"\r\n\r\nnews")


def pump_status(server: "Server") -> str:
    thread = server.pump._thread
    assert thread is not None
    return Path(f"/proc/self/task/{thread.native_id}/status").read_text()


def wakes(server: "Server") -> int:
    """How often the pump's thread has waited so far."""
    return int(pump_status(server).partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def quiet_wakes(server: "Server") -> int:
    """The same, once it has nothing to do any more: it waits, and not for a processor."""

    def rests() -> bool:
        before = wakes(server)
        time.sleep(0.3)
        return "\nState:\tS" in pump_status(server) and wakes(server) == before

    assert until(rests)
    return wakes(server)


def test_where_nobody_is_served_a_commit_wakes_nobody_up(server: Server) -> None:
    """The control is one who waits."""
    before = quiet_wakes(server)
    for _ in range(20):
        server.pump.notify()
        time.sleep(0.002)
    assert wakes(server) == before
    with server.get("/poll") as client:
        assert until(lambda: server.pump.clients == 1)
        server.ready = lambda: Answer("200 OK", PLAIN, b"news")
        server.pump.notify()
        assert read_all(client).endswith(b"\r\n\r\nnews")
    assert until(lambda: wakes(server) > before)


def test_long_poll_sees_what_was_committed_though_nobody_notified(server: Server) -> None:
    with server.get("/poll") as client:
        assert until(lambda: server.pump.clients == 1)
        server.ready = lambda: Answer("200 OK", PLAIN, b"news")
        assert read_all(client).endswith(b"\r\n\r\nnews")


def test_long_poll_without_news_ends_in_time(server: Server) -> None:
    server.timeout_seconds = 0.05
    with server.get("/poll", more="Connection: close\r\n") as client:
        assert read_all(client).endswith(b"\r\n\r\nnothing new")


def test_answer_without_a_body_has_no_length(server: Server) -> None:
    with server.get("/poll") as client:
        assert until(lambda: server.pump.clients == 1)
        server.ready = lambda: Answer("204 No Content", [], b"")
        server.pump.notify()
        answer = read_all(client)
    assert answer.startswith(b"HTTP/1.1 204 No Content\r\n") and b"Content-Length" not in answer


def test_silent_stream_sends_comments(make_server: MakeServer) -> None:
    """A21"""
    server = make_server(heartbeat_seconds=0.05)
    with server.get("/stream") as client:
        _, rest = read_head(client)
        assert read_exactly(client, 18, rest)[:18] == b": hb\n\n" * 3  # who reads late finds more of them


def test_over_the_cap_an_event_source_is_told_to_come_back(make_server: MakeServer) -> None:
    """C3: a 503 would make it give up for ever."""
    server = make_server(max_clients=2)
    with server.get("/stream") as first, server.get("/stream") as second:
        read_head(first), read_head(second)
        with server.get("/stream") as third:
            answer = read_all(third)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n") and b"text/event-stream" in answer
        assert b"retry: 5000\n\n" in answer and b"event: error\ndata: " in answer
        with server.get("/ready") as client:
            assert read_head(client)[0].startswith(b"HTTP/1.1 200 OK")
        first.close()
        assert until(lambda: server.pump.clients == 1)
        with server.get("/stream") as fourth:
            read_head(fourth)
            assert until(lambda: server.pump.clients == 2)


class Broken:
    more = False
    done = False

    def __init__(self) -> None:
        self.closed = 0

    def poll(self, now: float, notified: bool) -> bytes:
        raise ZeroDivisionError("a bug")

    def close(self) -> None:
        self.closed += 1
        raise ZeroDivisionError("another")


def test_source_that_fails_ends_its_own_stream_only(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with server.get("/stream") as healthy:
        read_head(healthy)
        server.make_source = Broken
        with server.get("/stream") as client:
            assert b"event: error\ndata: " in read_all(client)
        server.sources[0].say(b"data: x\n\n")
        assert read_exactly(healthy, 9) == b"data: x\n\n"
    assert "ZeroDivisionError" in caplog.text
    assert until(lambda: server.sources[1].closed)


class Placed(Broken):
    """A source that others may share, and from which a client can come back."""

    key = "k"
    position = "uid:7:8"
    waits_for_files = False
    waits_seconds = None

    def files(self) -> tuple[int, ...]:
        return ()

    def concerns(self, subjects: object) -> bool:
        return True

    def at(self, position: str) -> "Placed":
        return self

    def close(self) -> None:
        self.closed += 1


def test_an_error_tells_the_id_with_which_to_come_back(make_server: MakeServer) -> None:
    """C3: by the letter of WHATWG's rules an event without an id, alone on its connection, takes the client's away."""
    server = make_server(max_clients=1)
    server.make_source = Placed
    with server.get("/stream") as client:
        failed = read_all(client)
    assert failed.endswith(b"\nid: uid:7:8\n\n") and b"INTERNAL_ERROR" in failed
    assert until(lambda: server.pump.clients == 0)
    server.make_source = Feed
    with server.get("/stream") as first:
        read_head(first)
        server.make_source = Placed
        with server.get("/stream") as second:
            refused = read_all(second)
    assert b"\nid: uid:7:8\n\n" in refused and b"TOO_MANY_STREAMS" in refused


def test_store_that_breaks_is_told_in_a_line_and_streams_go_on(
    make_server: MakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    """F25: a defect has its traceback, a broken disk is none."""
    errors: list[Exception] = [Refused("STORE_CORRUPT", "the database is damaged"), ZeroDivisionError("a bug")]

    def changes() -> None:
        raise errors[0]

    server = make_server(changes=changes)
    with server.get("/stream") as client:
        read_head(client)
        server.pump.notify()
        assert until(lambda: "the database is damaged" in caplog.text)
        assert "Traceback" not in caplog.text
        server.sources[0].say(b"data: x\n\n")
        assert read_exactly(client, 9) == b"data: x\n\n"
        errors.pop(0)
        server.pump.notify()
        assert until(lambda: "Traceback" in caplog.text), "positive control"


def test_close_delivers_answers_that_are_ready_and_ends_streams(server: Server) -> None:
    """`wattle down` answers its own caller."""
    with server.get("/answer") as client, server.get("/stream") as stream:
        read_head(stream)
        assert until(lambda: server.pump.clients == 2)
        server.futures[0].set_result("down")
        server.pump.close(10.0)  # it ends as soon as Waitress has handed over and the answer is written
        assert read_all(client).endswith(b"\r\n\r\ndown")
        assert read_all(stream) == b""


def test_header_with_a_line_break_is_refused_before_anything_is_taken_over(server: Server) -> None:
    source = Feed()
    server.extra["/evil"] = lambda environ, start_response: server.pump.stream(
        environ, start_response, source, headers=[("X-Name", "a\r\nSet-Cookie: b")]
    )
    with server.get("/evil") as client:
        assert read_head(client)[0].startswith(b"HTTP/1.1 500 ")
    assert source.closed == 1 and server.pump.clients == 0


class Handed(flask.Response):
    """How a Flask view hands over: the headers that hooks add (CORS) go out too."""

    def __init__(self, pump: Pump, source: Source) -> None:
        super().__init__(headers=sse.HEADERS)
        self._hand_over = lambda environ, start: pump.stream(environ, start, source, headers=list(self.headers))
        self.headers.pop("Content-Length", None)

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        return self._hand_over(environ, start_response)


def flask_app(pump: Pump, make_source: Callable[[], Source]) -> flask.Flask:
    app = flask.Flask("streams")
    app.add_url_rule("/logs", view_func=lambda: Handed(pump, make_source()))

    @app.after_request
    def add(response: flask.Response) -> flask.Response:
        response.headers["X-Hook"] = "ran"
        return response

    return app


def test_flask_view_hands_over_with_the_headers_that_hooks_added(server: Server) -> None:
    app = flask_app(server.pump, lambda: Feed(b"data: x\n\n", done=True))
    server.extra["/logs"] = app
    with server.get("/logs") as client:
        head, _, body = read_all(client).partition(b"\r\n\r\n")
    assert b"X-Hook: ran" in head and b"text/event-stream" in head and b"Content-Length" not in head
    assert body == b"data: x\n\n"


def test_without_waitress_a_stream_is_served_by_the_caller() -> None:
    source = Feed(b"data: x\n\n", b"data: y\n\n", done=True)
    response = flask_app(Pump(), lambda: source).test_client().get("/logs")
    assert response.status_code == 200 and response.mimetype == "text/event-stream"
    assert response.headers["X-Hook"] == "ran"
    assert response.data == b"data: x\n\ndata: y\n\n"
    response.close()
    assert source.closed == 1


def test_without_waitress_an_answer_is_waited_for() -> None:
    future: Future[str] = Future()
    started: list[Any] = []
    timer = threading.Timer(0.05, future.set_result, ["late"])
    timer.start()
    body = Pump().answer(
        {"REQUEST_METHOD": "POST"},
        lambda status, headers: started.append((status, headers)),
        future,
        lambda f: Answer("200 OK", PLAIN, f.result().encode()),
        timeout_seconds=10,
    )
    assert list(body) == [b"late"]
    assert started == [("200 OK", [*PLAIN, ("Content-Length", "4")])]
    timer.join()


def test_log_is_streamed_and_gone_on_with_after_the_last_id(server: Server, tmp_path: Path) -> None:
    """W-22, A20, A21: the documented lines, live, then `end`."""
    out, err = tmp_path / "0.1.out", tmp_path / "0.1.err"
    out.write_text("Grüße\n")
    err.write_text("oops\n")
    state = LogState("u1", 1, str(out), str(err), True, False, "running", None)
    position: str | None = None
    server.make_source = lambda: Counted(Follower(lambda _: state, position=position))
    first = b'data: {"type": "stdout", "content": "Gr\xc3\xbc\xc3\x9fe"}\nid: u1:8:0\n\n'
    with server.get("/stream") as client:
        _, rest = read_head(client)
        wanted = first + b'data: {"type": "stderr", "content": "oops"}\nid: u1:8:5\n\n'
        assert read_exactly(client, len(wanted), rest) == wanted
        with open(out, "a") as file:
            file.write("live\n")
        live = b'data: {"type": "stdout", "content": "live"}\nid: u1:13:5\n\n'
        assert read_exactly(client, len(live)) == live
    state = LogState("u1", 1, str(out), str(err), False, True, "completed", 0)
    position = "u1:8:5"
    with server.get("/stream") as client:
        end = b'event: end\ndata: {"type": "end", "status": "completed", "exit_code": 0}\nid: u1:13:5\n\n'
        assert read_all(client).partition(b"\r\n\r\n")[2] == live + end
    assert Follower(lambda _: state, position="u1:13:5").finished


class Counted(LogStream):
    """Not shared."""

    closed = 0

    def __init__(self, follower: Follower) -> None:
        super().__init__(lambda _: follower, follower, None, "w/a")

    def close(self) -> None:
        super().close()
        self.closed += 1


@pytest.mark.parametrize(
    "said, encoded",
    [
        (
            LogLineEvent("stdout", 'a "b"\r\u2028\0', "u:1:0"),
            'data: {"type": "stdout", "content": "a \\"b\\"\\r\u2028\\u0000"}',
        ),
        (
            LogLineEvent("stderr", "é", "u:1:0", 1725012896789000, 1725012890000000, continued=True, partial=True),
            'data: {"type": "stderr", "content": "é", "time": "2024-08-30T10:14:56.789Z", '
            '"after": "2024-08-30T10:14:50.000Z", "continued": true, "partial": true}',
        ),
        (Attempt(2, "u", "u:1:0"), 'event: attempt\ndata: {"type": "attempt", "attempt": 2, "uid": "u"}'),
        (
            Truncated("stdout", 7, "u:1:0"),
            'event: truncated\ndata: {"type": "truncated", "stream": "stdout", "size_bytes": 7}',
        ),
        (
            Gap("stdout", "why", None, "u:1:0"),
            'event: gap\ndata: {"type": "gap", "stream": "stdout", "reason": "why", "dropped_bytes": null}',
        ),
        (End("failed", 3, "u:1:0"), 'event: end\ndata: {"type": "end", "status": "failed", "exit_code": 3}'),
    ],
)
def test_only_log_lines_have_no_name_and_every_event_has_an_id(said: Event, encoded: str) -> None:
    """W-22, A20, A21: UTF-8 unescaped, `type` before `content`, one `data:` line."""
    assert sse.encode(said) == f"{encoded}\nid: u:1:0\n\n".encode()
