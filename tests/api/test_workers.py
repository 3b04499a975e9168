"""`/api/workers` (W-15 to W-24)."""

import json
from pathlib import Path
from typing import Any

import pytest
from api.examples import EXAMPLE_WORKFLOW, HELLO_WORLD, under
from api.service import Service
from flask.testing import FlaskClient

from tests.whole.server import eventually

WORKER = "/api/workers/example-workflow/data_fetcher"
LASTS = "trap '' HUP; touch up; exec sleep 600\n"
PRINTS = "printf 'one\\nÜber, 数据\\n'; echo careful >&2\n"
WRITES = 'touch "$WATTLE_OUTPUT_RAW_DATA" "$WATTLE_OUTPUT_METADATA"\n'


@pytest.fixture(autouse=True)
def example(service: Service, tmp_path: Path) -> Path:
    """Both; gives the script that data_fetcher runs, which lasts until it is stopped."""
    document = under(tmp_path, EXAMPLE_WORKFLOW)
    document["workers"][0]["command"] = "sh fetch_data.sh"
    service.create(document)
    service.create(under(tmp_path, HELLO_WORLD))
    script = tmp_path / "example-workflow" / "fetch_data.sh"
    script.parent.mkdir()
    script.write_text(LASTS)
    return script


def start(client: FlaskClient, service: Service) -> int:
    """The id of its run, once data_fetcher does what it does."""
    run = client.post(f"{WORKER}/start").json["run_id"]
    directory = Path(service.until("running", "example-workflow", "data_fetcher").working_dir)
    eventually((directory / "up").exists)
    (directory / "up").unlink()
    return int(run)


@pytest.fixture
def logged(client: FlaskClient, service: Service, example: Path) -> Path:
    """An attempt that has ended, having printed a line to each stream."""
    example.write_text(PRINTS + WRITES)
    client.post(f"{WORKER}/start")
    service.until("completed", "example-workflow", "data_fetcher")
    return example


def test_summaries_have_the_documented_keys_in_order(client: FlaskClient) -> None:
    """W-15."""
    first = client.get("/api/workers/example-workflow").json["data"][0]
    documented = ["name", "workflow_name", "status", "command", "created_at", "started_at", "completed_at"]
    assert list(first) == [*documented, "phase", "reason"]
    assert first["command"] == "sh fetch_data.sh"


def test_the_detail_has_a_real_array_and_a_real_object(client: FlaskClient) -> None:
    """W-16."""
    one = client.get(WORKER).json["data"]
    documented = ["name", "workflow_name", "command", "args", "working_dir", "env_vars", "status"]
    assert list(one) == [*documented, "phase", "reason"]
    assert one["args"] == ["--source", "database"]
    assert one["env_vars"] == {"DATABASE_URL": "sqlite:///data.db"}
    assert client.get("/api/workers/hello-world/greet").json["data"]["args"] == []


def test_the_schema_is_the_documented_one_and_more(client: FlaskClient) -> None:
    """W-17, A27."""
    data = client.get(f"{WORKER}/schema").json["data"]
    assert list(data) == ["schema"]
    properties = data["schema"]["properties"]
    assert data["schema"]["type"] == "object"
    assert {name: properties[name] for name in list(properties)[:6]} == {
        "name": {"type": "string"},
        "workflow_name": {"type": "string"},
        "command": {"type": "string"},
        "args": {"type": "array", "items": {"type": "string"}},
        "working_dir": {"type": "string"},
        "env_vars": {"type": "object", "additionalProperties": {"type": "string"}},
    }
    assert list(properties)[6:] == ["inputs", "outputs"]
    assert data["schema"]["required"] == ["name", "command"]


@pytest.mark.parametrize(
    "method, verb, text",
    [
        ("POST", "/start", "Worker 'example-workflow/data_fetcher' started"),
        ("POST", "/stop", "Worker 'example-workflow/data_fetcher' stopped"),
        ("POST", "/restart", "Worker 'example-workflow/data_fetcher' restarted"),
        ("DELETE", "", "Worker 'example-workflow/data_fetcher' deleted successfully"),
    ],
)
def test_verbs_answer_with_the_documented_texts(client: FlaskClient, method: str, verb: str, text: str) -> None:
    """W-18, W-19, W-20, W-24."""
    answer = client.open(WORKER + verb, method=method)
    assert (answer.status_code, answer.json["data"]) == (200, text)
    assert list(answer.json)[:4] == ["success", "data", "message", "timestamp"]


def test_a_stop_says_that_nothing_is_left(client: FlaskClient, service: Service) -> None:
    """W-19, A16."""
    (attempt,) = client.get(f"/api/runs/{start(client, service)}").json["data"]["attempts"]
    stop = client.post(f"{WORKER}/stop").json["stop"]
    assert (stop["signalled"], stop["escalated"], stop["survivors"]) == ([attempt["uuid"]], False, 0)
    assert stop["unattributed"] == 0
    assert client.post(f"{WORKER}/stop").json["stop"]["signalled"] == []


def test_a_running_worker_refuses_a_start_and_a_delete(client: FlaskClient, service: Service) -> None:
    """A18."""
    start(client, service)
    assert client.post(f"{WORKER}/start").json["error"]["code"] == "WORKER_ALREADY_RUNNING"
    refused = client.delete(WORKER)
    assert (refused.status_code, refused.json["error"]["code"]) == (409, "WORKER_RUNNING")
    assert client.delete(f"{WORKER}?force=true").status_code == 200
    assert client.get(WORKER).status_code == 404


def test_verbs_take_no_fields(client: FlaskClient) -> None:
    for verb in ("start", "stop", "restart"):
        url = f"{WORKER}/{verb}"
        assert client.post(url, data=b'{"x": 1}', content_type="application/json").status_code == 400
        assert client.post(url, data=b"{}", content_type="application/json").status_code == 200


def test_a_signal_says_whom_it_reached(client: FlaskClient, service: Service) -> None:
    run = start(client, service)
    pid = service.reading.worker("example-workflow", "data_fetcher").pid
    answer = client.post(f"{WORKER}/signal", json={"signal": "hup", "scope": "leader"})
    assert answer.json["data"] == "Worker 'example-workflow/data_fetcher' was sent SIGHUP"
    assert answer.json["signal"] == {
        "signal": "SIGHUP", "number": 1, "scope": "leader", "run_id": run, "attempt": 1, "processes": 1,
        "pids": [pid], "refused": [],
    }  # fmt: skip
    for same in ("SIGKILL", "kill", 9, "9"):
        assert client.post(f"{WORKER}/signal", json={"signal": same}).json["signal"]["signal"] == "SIGKILL"
        service.until("failed", "example-workflow", "data_fetcher")
        start(client, service)


def test_a_signal_to_what_does_not_run_is_a_conflict(client: FlaskClient) -> None:
    answer = client.post(f"{WORKER}/signal", json={"signal": "HUP"})
    assert (answer.status_code, answer.json["error"]["code"]) == (409, "WORKER_NOT_RUNNING")


@pytest.mark.parametrize(
    ("body", "code", "pointer", "words"),
    [
        ({}, "VALIDATION_ERROR", "/signal", 'The body must name the signal: {"signal": "HUP"}'),
        ({"signal": None}, "UNKNOWN_SIGNAL", "/signal", "name or a number from 1 to 64 (it is null)"),
        ({"signal": True}, "UNKNOWN_SIGNAL", "/signal", "(it is a boolean)"),
        ({"signal": 0}, "UNKNOWN_SIGNAL", "/signal", "name or a number from 1 to 64"),
        ({"signal": 65}, "UNKNOWN_SIGNAL", "/signal", "name or a number from 1 to 64"),
        ({"signal": "99999999999999999999"}, "UNKNOWN_SIGNAL", "/signal", "is no signal"),
        ({"signal": "HUPP"}, "UNKNOWN_SIGNAL", "/signal", "'HUPP' is no signal; did you mean HUP? There are HUP, INT,"),
        ({"signal": "HUP", "scope": "group"}, "VALIDATION_ERROR", "/scope", "scope must be tree or leader"),
        ({"signal": "HUP", "pid": 1}, "VALIDATION_ERROR", "/pid", "'pid' is not a field of this call"),
    ],
)
def test_what_is_no_signal_is_400_and_names_those_that_are(
    client: FlaskClient, service: Service, body: dict, code: str, pointer: str, words: str
) -> None:
    start(client, service)
    answer = client.post(f"{WORKER}/signal", json=body)
    error = answer.json["error"]
    assert (answer.status_code, error["code"], error["details"][0]["pointer"]) == (400, code, pointer)
    assert words in error["message"]


@pytest.mark.parametrize("part", ["", "/schema", "/why", "/logs", "/logs?tail=3", "/logs/stream", "/metrics"])
def test_an_unknown_worker_or_workflow_is_404_json_everywhere(client: FlaskClient, part: str) -> None:
    for path, code in (
        (f"/api/workers/example-workflow/nobody{part}", "WORKER_NOT_FOUND"),
        (f"/api/workers/nothing/data_fetcher{part}", "WORKFLOW_NOT_FOUND"),
    ):
        answer = client.get(path)
        assert (answer.status_code, answer.content_type) == (404, "application/json")
        assert answer.json["error"]["code"] == code


@pytest.mark.parametrize("verb", ["start", "stop", "restart"])
def test_verbs_on_an_unknown_worker_are_404(client: FlaskClient, verb: str) -> None:
    answer = client.post(f"/api/workers/example-workflow/nobody/{verb}")
    assert (answer.status_code, answer.json["error"]["code"]) == (404, "WORKER_NOT_FOUND")


def test_why_is_a_sentence_with_its_machine_form(client: FlaskClient, service: Service, example: Path) -> None:
    example.write_text("exit 7")
    client.post(f"{WORKER}/start")
    service.until("failed", "example-workflow", "data_fetcher")
    why = client.get(f"{WORKER}/why").json["data"]
    assert list(why)[:4] == ["status", "phase", "reason", "reason_code"]
    assert (why["reason"], why["reason_code"], why["exit_code"]) == ("exit code 7", "exit_code", 7)
    entity = client.get("/api/workflows/example-workflow/workers").json["data"][0]
    assert entity["error_message"] == "exit code 7"


def test_logs_are_two_paths(client: FlaskClient, tmp_path: Path) -> None:
    """W-21, W-53."""
    assert client.get("/api/workers/hello-world/greet/logs").json["data"] == [
        f"stdout: {tmp_path}/hello-world/greet/stdout.log",
        f"stderr: {tmp_path}/hello-world/greet/stderr.log",
    ]


def test_the_tail_of_logs_is_lines(client: FlaskClient, logged: Path) -> None:
    """A19."""
    assert client.get(f"{WORKER}/logs?tail=1").json["data"] == [
        {"type": "stdout", "content": "Über, 数据"},
        {"type": "stderr", "content": "careful"},
    ]
    assert client.get(f"{WORKER}/logs?tail=5&attempt=2").json["error"]["code"] == "ATTEMPT_NOT_FOUND"
    assert client.get("/api/workers/hello-world/greet/logs?tail=5").json["data"] == []


def events_of(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: ")]


def ids_of(body: bytes) -> list[str]:
    return [line[4:] for line in body.decode().splitlines() if line.startswith("id: ")]


def test_the_stream_replays_lines_and_ends(client: FlaskClient, logged: Path) -> None:
    """W-22, A20, A21."""
    answer = client.get(f"{WORKER}/logs/stream")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-cache, no-store"
    assert answer.headers["X-Accel-Buffering"] == "no"
    *lines, end = events_of(answer.data)
    assert [list(line.items())[:2] for line in lines] == [
        [("type", "stdout"), ("content", "one")],
        [("type", "stdout"), ("content", "Über, 数据")],
        [("type", "stderr"), ("content", "careful")],
    ]
    assert all(list(line)[2:] in (["time"], ["time", "after"]) for line in lines)  # it was looked at, soon or late
    assert end == {"type": "end", "status": "completed", "exit_code": 0}


@pytest.mark.parametrize("how", ["header", "parameter"])
def test_a_stream_goes_on_after_an_id_and_at_its_end_is_204(client: FlaskClient, logged: Path, how: str) -> None:
    """W-05, W-22."""

    def resume(id: str) -> Any:
        url = f"{WORKER}/logs/stream"
        if how == "header":
            return client.get(url, headers={"Last-Event-ID": id})
        return client.get(f"{url}?last_event_id={id}")

    ids = ids_of(client.get(f"{WORKER}/logs/stream").data)
    assert [event.get("content") for event in events_of(resume(ids[0]).data)] == ["Über, 数据", "careful", None]
    ended = resume(ids[-1])
    assert (ended.status_code, ended.data) == (204, b"")


def test_a_stream_can_be_asked_for_what_is_there_only(client: FlaskClient, service: Service, example: Path) -> None:
    example.write_text(PRINTS + LASTS)
    start(client, service)
    answer = client.get(f"{WORKER}/logs/stream?follow=false&tail=1")
    assert [event["content"] for event in events_of(answer.data)] == ["Über, 数据", "careful"]


def test_a_head_of_a_stream_has_its_headers_and_ends(client: FlaskClient, logged: Path) -> None:
    answer = client.head(f"{WORKER}/logs/stream")
    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.headers["Content-Type"].startswith("text/event-stream")


def test_pages_from_loopback_can_read_a_stream(client: FlaskClient, logged: Path) -> None:
    answer = client.get(f"{WORKER}/logs/stream", headers={"Origin": "http://localhost:3000"})
    assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
