"""Answers that wait, through a real Waitress and the pump's thread: they hold no thread and carry all headers."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from api.examples import HELLO_WORLD, as_bytes, config, under, workflow
from api.service import Service
from flask import Flask
from waitress.server import create_server

from tests.whole.server import eventually
from wattle.api import guard
from wattle.api.app import create_app
from wattle.api.later import when_done
from wattle.api.pump import Pump
from wattle.errors import OutOfSpace, Unavailable

Answer = tuple[int, dict[str, str], bytes]
Call = Callable[..., Answer]


@pytest.fixture
def pump(service: Service) -> Pump:
    return service.pump


@pytest.fixture
def app(service: Service, pump: Pump) -> Flask:
    return create_app(service.reading, service.changing, config(), pump)


@pytest.fixture
def call(app: Flask) -> Iterator[Call]:
    """Calls a server that has a single thread."""
    sockets: dict[int, Any] = {}
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


def test_ten_stops_wait_on_one_thread_and_are_all_answered(service: Service, pump: Pump, call: Call) -> None:
    """W-19, W-08."""
    place = service.data_dir / "work" / "hello-world"
    deaf = "trap '' TERM; touch up; until [ -e released ]; do sleep 0.02; done"
    service.create({"name": "hello-world", "workers": [{"name": "greet", "command": deaf}]})
    service.changing.start_workflow("hello-world")
    eventually((place / "up").exists)
    with ThreadPoolExecutor(10) as pool:
        stops = [
            pool.submit(call, "POST", "/api/workers/hello-world/greet/stop", Origin="http://localhost:3000")
            for _ in range(10)
        ]
        wait_for(10, pump)
        assert call("GET", "/healthz")[0] == 200
        (place / "released").touch()
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
    app: Flask, pump: Pump, call: Call, error: Exception, status: int, code: str
) -> None:
    """W-04, W-07, A34."""
    held: Future[None] = Future()
    app.add_url_rule("/api/held", view_func=lambda: when_done(held, lambda _: ("", {})), methods=["POST"])
    with ThreadPoolExecutor(1) as pool:
        stop = pool.submit(call, "POST", "/api/held", Accept_Language="zh")
        wait_for(1, pump)
        held.set_exception(error)
        answered, headers, body = stop.result()
    assert (answered, json.loads(body)["error"]["code"]) == (status, code)
    assert b"secret" not in body
    assert ("retry-after" in headers) is (status in (503, 507))


def test_a_long_poll_is_answered_by_the_event_that_comes(service: Service, pump: Pump, call: Call) -> None:
    service.create(workflow("hello-world", "greet"))
    before = service.reading.last_event_id()
    with ThreadPoolExecutor(1) as pool:
        poll = pool.submit(call, "GET", f"/api/events?after={before}&wait=30&workflow=hello-world")
        wait_for(1, pump)
        service.create(workflow("another", "w"))
        service.changing.replace_workflow("hello-world", as_bytes(HELLO_WORLD))
        status, _, body = poll.result()
    answer = json.loads(body)
    assert status == 200
    assert [event["subject"] for event in answer["data"]] == ["hello-world"]
    assert answer["last_event_id"] == before + 2
    assert list(answer)[:4] == ["success", "data", "message", "timestamp"]


def test_a_stream_goes_through_the_pump_with_its_headers(service: Service, call: Call, tmp_path: Path) -> None:
    """W-22."""
    service.create(under(tmp_path, HELLO_WORLD))
    service.changing.start_workflow("hello-world")
    status, headers, body = call("GET", "/api/workers/hello-world/greet/logs/stream")
    assert status == 200
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache, no-store"
    assert headers["x-accel-buffering"] == "no"
    assert body.startswith(b'data: {"type": "stdout", "content": "Hello, Wattle Scheduler!", "time": "')
    assert b"event: end\n" in body


def test_a_percent_encoded_slash_is_seen_behind_the_real_server_too(service: Service, call: Call) -> None:
    service.create(HELLO_WORLD)
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
    service: Service, call: Call, content_type: str, body: bytes, status: int
) -> None:
    path = "/api/workflows" if len(body) < guard.BODY_BYTES else "/api/down"
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    answered = call("POST", path, chunked, Content_Type=content_type, Transfer_Encoding="chunked")
    assert answered[0] == status
    assert bool(service.names()) is (status == 201)
