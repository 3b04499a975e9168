"""The Python client against a real HTTP server, on TCP and on Unix sockets."""

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress

import httpx
import pytest
from cli.http_server import Api, refusal, success

from wattle.client import Client, ClientError, NoServer, answers, parse_events


def open_files():
    """Where this process's descriptors lead; those that other threads close meanwhile are left out."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{number}"))
    return found


STREAM = "/api/workers/w/a/logs/stream"


def test_data_of_the_envelope_comes_back_over_tcp(serving):
    api = Api({("GET", "/api/workflows"): [{"name": "w"}]})
    with Client(serving(api)) as client:
        assert client.list_workflows() == [{"name": "w"}]


@pytest.mark.parametrize("depth", [0, 12], ids=["short path", "path of more than 107 bytes"])
def test_data_comes_back_over_a_unix_socket(serving, tmp_path, depth):
    directory = tmp_path
    for _ in range(depth):
        directory = directory / "directory-name"
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "http.sock"
    api = Api({("GET", "/healthz"): {"ok": True}})
    old = os.getcwd()
    os.chdir(directory)  # the server here, unlike ours, binds by a path that must be short
    try:
        serving(api, unix_socket="http.sock")
    finally:
        os.chdir(old)
    assert (len(os.fsencode(path)) > 107) == bool(depth)
    assert answers(str(path))
    with Client(socket_path=str(path)) as client:
        assert client.health()["data"] == {"ok": True}
        assert (str(directory) in open_files()) == bool(depth)
    assert str(directory) not in open_files()


def test_a_refusal_is_a_client_error_with_every_problem(serving):
    details = [
        {"code": "INVALID_COMMAND", "message": "a quote", "pointer": "/workers/0", "line": 3, "column": 4,
         "suggestion": "close it"},
        {"code": "VALIDATION_ERROR", "message": "only this"},
    ]  # fmt: skip
    api = Api({("POST", "/api/workflows"): refusal(422, "INVALID_COMMAND", "a quote", details)})
    with Client(serving(api)) as client, pytest.raises(ClientError) as refused:
        client.create_workflow({"name": "w"})
    assert (refused.value.code, refused.value.message, refused.value.status) == ("INVALID_COMMAND", "a quote", 422)
    first, second = refused.value.details
    assert (first.pointer, first.line, first.column, first.suggestion) == ("/workers/0", 3, 4, "close it")
    assert (second.message, second.line) == ("only this", None)


@pytest.mark.parametrize(
    "answer",
    [
        (200, "text/html", [b"<html>"]),
        (200, "application/json", [b"[1]"]),
        (500, "application/json", [b'{"oops": 1}']),
        (302, "text/plain", [b""]),
    ],
)
def test_an_answer_of_something_else_says_that_it_is_not_wattle(serving, answer):
    with Client(serving(Api({("GET", "/api/workflows"): answer}))) as client, pytest.raises(ClientError) as refused:
        client.list_workflows()
    assert refused.value.code == "NOT_WATTLE" and "/api/workflows" in refused.value.message


def test_where_nobody_listens_there_is_no_server(tmp_path):
    with Client("http://127.0.0.1:1") as client, pytest.raises(NoServer, match=r"http://127\.0\.0\.1:1"):
        client.list_workflows()
    path = str(tmp_path / "http.sock")
    assert not answers(path)
    with Client(socket_path=path) as client, pytest.raises(NoServer, match="no such file"):
        client.list_workflows()
    with pytest.raises(NoServer):
        Client(socket_path=str(tmp_path / ("x" * 100) / "http.sock"))


def test_names_are_quoted_and_texts_decoded(serving):
    api = Api(
        {
            ("GET", "/api/workers/数据 ?#%/a+b/why"): {"reason": "so"},
            ("GET", "/api/workflows/w/workers"): [
                {"name": "a", "args": '["x"]', "env_vars": None, "inputs": '{"i": "b/o"}', "outputs": "{}"}
            ],
        }
    )
    with Client(serving(api)) as client:
        assert client.why("数据 ?#%", "a+b") == {"reason": "so"}
        assert client.list_workers("w") == [
            {"name": "a", "args": ["x"], "env_vars": None, "inputs": {"i": "b/o"}, "outputs": {}}
        ]


def test_a_body_goes_out_as_json_and_no_body_without_content_type(serving):
    api = Api({("POST", "/api/workflows/w/start"): success("started", run_id=7)})
    with Client(serving(api), lang="zh") as client:
        assert client.start_workflow("w", params={"n": 1}, idempotency_key="k") == ("started", 7, False)
        assert client.start_workflow("w").run_id == 7
    first, second = api.asked
    assert (json.loads(first.body), first.headers["content-type"]) == ({"params": {"n": 1}}, "application/json")
    assert (first.headers["idempotency-key"], first.headers["accept-language"]) == ("k", "zh")
    assert (second.body, second.headers["content-type"]) == (b"", "")


def test_put_creates_what_is_not_there(serving):
    api = Api(
        {
            ("POST", "/api/workflows"): success("created", warnings=["odd"]),
            ("PUT", "/api/workflows/there"): success("updated", changed=False),
        }
    )
    with Client(serving(api)) as client:
        assert client.put_workflow("w", b'{"name": "w"}') == ("created", True, ("odd",))
        assert client.put_workflow("there", {"name": "there"}) == ("updated", False, ())
    assert [asked.method for asked in api.asked] == ["PUT", "POST", "PUT"]
    assert api.asked[1].body == b'{"name": "w"}'


def test_force_is_sent_only_where_it_is_meant(serving):
    api = Api({("DELETE", "/api/workflows/w"): "deleted", ("POST", "/api/workers/w/a/start"): success("x", run_id=1)})
    with Client(serving(api)) as client:
        client.delete_workflow("w")
        client.delete_workflow("w", force=True)
        client.start_worker("w", "a", force=True)
    assert [asked.query for asked in api.asked] == [{}, {"force": "true"}, {"force": "true"}]


def test_a_stop_may_take_longer_than_an_ordinary_answer(serving):
    given_up = threading.Event()

    def slowly(_):
        time.sleep(0.6)
        return "stopped"

    def too_slowly(_):
        given_up.wait(20)
        return {}

    url = serving(Api({("POST", "/api/workflows/w/stop"): slowly, ("GET", "/api/workflows/w"): too_slowly}))
    with Client(url, timeout_seconds=0.2) as client:
        assert client.stop_workflow("w") == ("stopped", False, {})
        with pytest.raises(NoServer, match="does not answer"):  # the control: it would have been too slow
            client.get_workflow("w")
        given_up.set()


def test_events_are_read_on_from_the_last_one(serving):
    history = [{"id": number, "kind": "x"} for number in range(1, 6)]

    def events(asked):
        after = int(asked.query["after"])
        found = [event for event in history if event["id"] > after][:2]
        return success(found, last_event_id=5)

    api = Api({("GET", "/api/events"): events})
    with Client(serving(api)) as client:
        stream = client.events(after=1, wait=0.5, workflow="w")
        assert [next(stream)["id"] for _ in range(4)] == [2, 3, 4, 5]
        assert client.last_event_id() == 5
    assert api.asked[0].query == {"after": "1", "wait": "0.5", "workflow": "w"}


# --- streams


def line(content, event_id):
    return f'data: {{"type": "stdout", "content": "{content}"}}\nid: {event_id}\n\n'.encode()


END = b'event: end\ndata: {"type": "end", "status": "completed", "exit_code": 0}\nid: u:9:0\n\n'


class Connections:
    """Answers each connection of a stream with the next of `bodies`; an exception in one cuts the connection."""

    def __init__(self, *bodies):
        self.bodies = list(bodies)
        self.positions = []

    def __call__(self, asked):
        self.positions.append(asked.headers.get("last-event-id"))
        body = self.bodies.pop(0)
        return body if isinstance(body, tuple) else (200, "text/event-stream; charset=utf-8", self._sent(body))

    def _sent(self, body):
        for part in body:
            if part is None:
                raise ConnectionAbortedError
            yield part


def test_a_stream_goes_on_where_it_was_cut(serving):
    connections = Connections(
        [b": hb\n\n", line("1", "u:1:0"), line("2", "u:2:0"), None],  # cut off
        [line("3", "u:3:0")],  # ended by the server in good order, though not by an `end`
        [END],
    )
    with Client(serving(Api({("GET", STREAM): connections}))) as client:
        lines = list(client.stream_logs("w", "a"))
    assert [said.get("content") for said in lines] == ["1", "2", "3", None]
    assert lines[-1] == {"type": "end", "status": "completed", "exit_code": 0}
    assert connections.positions == [None, "u:2:0", "u:3:0"]


def test_a_stream_with_nothing_more_ends(serving):
    connections = Connections([line("1", "u:1:0")], (204, "text/plain", []))
    with Client(serving(Api({("GET", STREAM): connections}))) as client:
        assert [said["content"] for said in client.stream_logs("w", "a")] == ["1"]


def test_a_stream_that_is_refused_raises(serving):
    with Client(serving(Api())) as client, pytest.raises(ClientError) as refused:
        list(client.stream_logs("w", "a"))
    assert refused.value.status == 404


def test_a_stream_waits_for_a_server_that_is_gone_only_so_long():
    with Client("http://127.0.0.1:1") as client, pytest.raises(NoServer):
        list(client.stream_logs("w", "a"))  # there never was one: at once

    program = (
        "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True);"
        "c, _ = s.accept(); c.recv(65536);"
        "c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Type: text/event-stream\\r\\n\\r\\n'"
        'b\'data: {"type": "stdout", "content": "1"}\\nid: u:1:0\\n\\n\')'
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        said = []
        with Client(f"http://127.0.0.1:{port}") as client, pytest.raises(NoServer):
            for event in client.stream_logs("w", "a", patience_seconds=0.3):
                said.append(event)
        assert [event["content"] for event in said] == ["1"]


def test_lines_hold_whatever_a_worker_prints(serving):
    """httpx's own reader of lines would split at U+2028, form feeds and lone carriage returns."""
    odd = "a\u2028b\x0cc\u0085d\re\u00a0数据"
    body = b"data: " + json.dumps({"type": "stdout", "content": odd}, ensure_ascii=False).encode() + b"\n\n"
    pieces = [body[position : position + 1] for position in range(len(body))]
    with Client(serving(Api({("GET", STREAM): Connections([*pieces, END])}))) as client:
        assert next(client.stream_logs("w", "a"))["content"] == odd


@pytest.mark.parametrize(
    "text, wanted",
    [
        (b'data: {"a": 1}\n\n', [({"a": 1}, None, None)]),
        (b'data:{"a":\r\ndata: 1}\r\n\r\n', [({"a": 1}, None, None)]),
        (b'event: gap\ndata: {"n": 1}\nid: 3\n\n', [({"type": "gap", "n": 1}, "3", None)]),
        (b"retry: 5000\n\n", [(None, None, 5.0)]),
        (b"id: 4\n\n", [(None, "4", None)]),
        (b"id: a\0b\ndata: {}\n\n", [({}, None, None)]),
        (b": hb\n\n\n\n", []),
        (b'data: {"a": 1}\n', []),  # no blank line after it
        (b"data: not json\n\n", [({"content": "not json"}, None, None)]),
        (b"data: [1]\n\n", [({"content": [1]}, None, None)]),
        (b'data: {"type": "stdout"}\nevent: attempt\n\n', [({"type": "stdout"}, None, None)]),
    ],
)
def test_events_are_read_as_the_standard_says(text, wanted):
    assert [tuple(event) for event in parse_events([text])] == wanted
    assert [tuple(event) for event in parse_events(bytes([byte]) for byte in text)] == wanted


def test_an_error_event_says_how_long_to_stay_away(serving):
    busy = b'event: error\ndata: {"code": "TOO_MANY_CLIENTS", "message": "full"}\nretry: 300\n\n'
    connections = Connections([busy], [END])
    with Client(serving(Api({("GET", STREAM): connections}))) as client:
        began = time.monotonic()
        said = list(client.stream_logs("w", "a"))
    assert [event["type"] for event in said] == ["error", "end"]
    assert time.monotonic() - began >= 0.3


def test_any_transport_will_do():
    transport = httpx.WSGITransport(app=Api({("GET", "/api/workflows"): []}))
    with Client(transport=transport) as client:
        assert client.list_workflows() == []
