"""Answers that wait, through a real Waitress and the pump's thread: they hold no thread and carry all headers."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from api.examples import HELLO_WORLD, as_bytes, config
from api.fake_service import FakeService
from waitress.server import create_server

from wattle.api import guard
from wattle.api.app import create_app
from wattle.api.pump import Pump
from wattle.errors import OutOfSpace, Unavailable
from wattle.service.views import LogState

Answer = tuple[int, dict[str, str], bytes]
Call = Callable[..., Answer]


@pytest.fixture
def pump() -> Iterator[Pump]:
    pump = Pump()
    pump.start()
    yield pump
    pump.close()


@pytest.fixture
def call(service: FakeService, pump: Pump) -> Iterator[Call]:
    """Calls a server that has a single thread."""
    sockets: dict[int, Any] = {}
    app = create_app(service, service, config(), pump)
    server = create_server(app, map=sockets, listen="127.0.0.1:0", threads=1, asyncore_use_poll=True)
    thread = threading.Thread(target=server.run)
    thread.start()

    def call(method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", server.effective_port, timeout=20)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, told, answer.read()
        finally:
            connection.close()

    yield call
    server.pull_trigger()
    for each in list(sockets.values()):
        each.close()
    thread.join(10)
    server.task_dispatcher.shutdown()


def wait_for(calls: int, pump: Pump) -> None:
    """Until so many calls wait in the pump."""
    for _ in range(1000):
        if pump.clients == calls:
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"{pump.clients} calls wait, not {calls}")


def test_ten_stops_wait_on_one_thread_and_are_all_answered(service: FakeService, pump: Pump, call: Call) -> None:
    """W-19, W-08."""
    service.create_workflow(as_bytes(HELLO_WORLD))
    service.hold = True
    with ThreadPoolExecutor(10) as pool:
        stops = [
            pool.submit(call, "POST", "/api/workers/hello-world/greet/stop", Origin="http://localhost:3000")
            for _ in range(10)
        ]
        wait_for(10, pump)
        assert call("GET", "/healthz")[0] == 200
        service.release()
        for stop in stops:
            status, headers, body = stop.result()
            assert status == 200
            assert headers["content-type"] == "application/json"
            assert headers["access-control-allow-origin"] == "http://localhost:3000"
            assert int(headers["content-length"]) == len(body)
            assert json.loads(body)["data"] == "Worker 'hello-world/greet' stopped"
            assert json.loads(body)["stop"]["survivors"] == 0


@pytest.mark.parametrize(
    "error, status, code",
    [
        (Unavailable("STOP_INCOMPLETE", "these do not die: 4711"), 503, "STOP_INCOMPLETE"),
        (OutOfSpace("INSUFFICIENT_STORAGE", "the disk is full"), 507, "INSUFFICIENT_STORAGE"),
        (ZeroDivisionError("secret"), 500, "INTERNAL_ERROR"),
    ],
)
def test_an_error_that_comes_later_is_in_the_envelope_and_in_the_callers_language(
    service: FakeService, pump: Pump, call: Call, error: Exception, status: int, code: str
) -> None:
    """W-04, W-07, A34."""
    service.create_workflow(as_bytes(HELLO_WORLD))
    service.hold = True
    with ThreadPoolExecutor(1) as pool:
        stop = pool.submit(call, "POST", "/api/workflows/hello-world/stop", Accept_Language="zh")
        wait_for(1, pump)
        service.release(error)
        answered, headers, body = stop.result()
    assert (answered, json.loads(body)["error"]["code"]) == (status, code)
    assert b"secret" not in body
    assert ("retry-after" in headers) is (status in (503, 507))


def test_a_long_poll_is_answered_by_the_event_that_comes(service: FakeService, pump: Pump, call: Call) -> None:
    service.create_workflow(as_bytes(HELLO_WORLD))
    with ThreadPoolExecutor(1) as pool:
        poll = pool.submit(call, "GET", "/api/events?after=1&wait=30&workflow=hello-world")
        wait_for(1, pump)
        service.happened("another", "run.started")
        pump.notify()
        service.start_workflow("hello-world")
        pump.notify()
        status, _, body = poll.result()
    answer = json.loads(body)
    assert status == 200
    assert [event["subject"] for event in answer["data"]] == ["hello-world"]
    assert answer["last_event_id"] == 3
    assert list(answer)[:4] == ["success", "data", "message", "timestamp"]


def test_a_stream_goes_through_the_pump_with_its_headers(service: FakeService, call: Call, tmp_path: Path) -> None:
    """W-22."""
    service.create_workflow(as_bytes(HELLO_WORLD))
    (tmp_path / "out").write_bytes(b"Hello, Wattle Scheduler!\n")
    (tmp_path / "err").touch()
    paths = str(tmp_path / "out"), str(tmp_path / "err")
    service.logs["hello-world", "greet"] = LogState("uid-1", 1, *paths, False, True, "completed", 0)
    status, headers, body = call("GET", "/api/workers/hello-world/greet/logs/stream")
    assert status == 200
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache, no-store"
    assert headers["x-accel-buffering"] == "no"
    assert body.startswith(b'data: {"type": "stdout", "content": "Hello, Wattle Scheduler!", "time": "')
    assert b"event: end\n" in body


def test_a_percent_encoded_slash_is_seen_behind_the_real_server_too(service: FakeService, call: Call) -> None:
    service.create_workflow(as_bytes(HELLO_WORLD))
    assert call("DELETE", "/api/workers/hello-world%2Fgreet")[0] == 404
    assert call("GET", "/api/workers/hello-world/greet")[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost, evil.example"])
def test_a_rebound_name_is_refused_by_the_real_server(call: Call, host: str) -> None:
    assert call("GET", "/healthz", Host=host)[0] == 403


@pytest.mark.parametrize(
    "content_type, body, status",
    [
        ("application/json", as_bytes(HELLO_WORLD), 201),
        ("text/plain", as_bytes(HELLO_WORLD), 415),
        ("application/json", b" " * (guard.BODY_BYTES + 1), 413),
    ],
)
def test_a_body_in_chunks_is_judged_like_any_other(
    service: FakeService, call: Call, content_type: str, body: bytes, status: int
) -> None:
    path = "/api/workflows" if len(body) < guard.BODY_BYTES else "/api/down"
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    answered = call("POST", path, chunked, Content_Type=content_type, Transfer_Encoding="chunked")
    assert answered[0] == status
    assert bool(service.kept) is (status == 201)
