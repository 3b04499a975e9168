"""`/api/workflows` (W-10 to W-14, C23, A28, A31)."""

import unicodedata
from typing import Any

import pytest
from api.examples import EXAMPLE_WORKFLOW, HELLO_WORLD, as_bytes, config, lasting, workflow
from api.service import Service
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from wattle.api import envelope
from wattle.api.app import create_app
from wattle.api.pump import Pump

HELLO = lasting("hello-world", "greet")
WORKFLOW_KEYS = [
    "name", "working_dir", "status", "created_at", "started_at", "completed_at", "deleted_at", "phase", "reason",
]  # fmt: skip
ENTITY_KEYS = [
    "workflow_name", "name", "command", "args", "working_dir", "env_vars", "inputs", "outputs", "status",
    "error_message", "created_at", "started_at", "completed_at", "deleted_at", "phase", "reason",
]  # fmt: skip


def create(client: FlaskClient, document: Any) -> TestResponse:
    return client.post("/api/workflows", data=as_bytes(document), content_type="application/json")


def test_create_answers_201_with_the_documented_text_and_a_location(client: FlaskClient) -> None:
    """W-05, W-12, W-50."""
    answer = create(client, HELLO_WORLD)
    assert answer.status_code == 201
    assert answer.json["data"] == "Workflow 'hello-world' created successfully"
    assert answer.headers["Location"] == "/api/workflows/hello-world"
    assert list(answer.json) == ["success", "data", "message", "timestamp"]


def test_a_second_create_of_the_name_is_409_and_changes_nothing(client: FlaskClient) -> None:
    """W-41, W-56."""
    create(client, HELLO_WORLD)
    before = client.get("/api/workflows").json["data"]
    answer = create(client, HELLO_WORLD)
    assert (answer.status_code, answer.json["error"]["code"]) == (409, "WORKFLOW_ALREADY_EXISTS")
    assert answer.json["error"]["message"] == "Workflow 'hello-world' already exists"
    assert client.get("/api/workflows").json["data"] == before


def test_create_tells_warnings_beside_the_data(client: FlaskClient) -> None:
    create(client, HELLO_WORLD)
    twin = workflow("twin", "w")
    twin["workers"][0]["outputs"] = {"x": "/tmp/hello-world/greeting.txt"}
    answer = create(client, twin)
    assert answer.status_code == 201
    told = "workflow 'hello-world' also declares /tmp/hello-world/greeting.txt as an output"
    assert answer.json["warnings"] == [told]


def test_workflow_entities_have_the_documented_keys_in_order(client: FlaskClient) -> None:
    """W-10, W-11, W-32, A33."""
    before = envelope.now()
    create(client, HELLO_WORLD)
    (listed,) = client.get("/api/workflows").json["data"]
    one = client.get("/api/workflows/hello-world").json["data"]
    assert list(listed) == list(one) == WORKFLOW_KEYS
    assert before <= one["created_at"] <= envelope.now()
    assert one["status"] == "created"
    assert one["started_at"] is one["completed_at"] is one["deleted_at"] is None


def test_a_workflow_tells_its_workers_where_asked(client: FlaskClient) -> None:
    """A28."""
    create(client, HELLO_WORLD)
    one = client.get("/api/workflows/hello-world?include=workers").json["data"]
    assert list(one) == [*WORKFLOW_KEYS, "workers"]
    assert [worker["name"] for worker in one["workers"]] == ["greet"]


def test_worker_entities_hold_json_texts(client: FlaskClient) -> None:
    """W-14, W-33, W-55."""
    create(client, EXAMPLE_WORKFLOW)
    first, second = client.get("/api/workflows/example-workflow/workers").json["data"]
    assert list(first) == ENTITY_KEYS
    assert first["args"] == '["--source", "database"]'
    assert first["env_vars"] == '{"DATABASE_URL": "sqlite:///data.db"}'
    assert first["inputs"] is None
    assert first["outputs"] == '{"raw_data": "/tmp/raw_data.json", "metadata": "/tmp/metadata.json"}'
    assert first["error_message"] is None
    assert first["deleted_at"] is None
    assert second["inputs"] == '{"input_data": "data_fetcher/raw_data", "config": "data_fetcher/metadata"}'


def test_start_needs_no_body_and_no_content_type(client: FlaskClient) -> None:
    """W-13, W-51."""
    create(client, HELLO)
    answer = client.post("/api/workflows/hello-world/start")
    assert answer.status_code == 200
    assert answer.json["data"] == "Workflow 'hello-world' started successfully"
    assert answer.json["run_id"] == client.get("/api/workflows/hello-world/runs").json["data"][0]["id"]
    assert client.get("/api/workflows/hello-world").json["data"]["status"] == "running"


@pytest.mark.parametrize(
    "body, status, code",
    [
        (b"{}", 200, None),
        (b'{"params": {}}', 200, None),
        (b'{"params": null}', 200, None),
        (b'{"params": {"n": 1}}', 422, "INVALID_PARAMS"),
        (b'{"params": []}', 400, "VALIDATION_ERROR"),
        (b'{"parms": {}}', 400, "VALIDATION_ERROR"),
        (b"[]", 400, "VALIDATION_ERROR"),
        (b"null", 400, "VALIDATION_ERROR"),
        (b'{"params": {}, "params": {}}', 400, "INVALID_JSON"),
        (b'{"params": NaN}', 400, "INVALID_JSON"),
        (b"{", 400, "INVALID_JSON"),
        (b"\xff", 400, "INVALID_JSON"),
        (b"[" * 100_000, 400, "INVALID_JSON"),
    ],
)
def test_a_start_takes_an_optional_strict_body(client: FlaskClient, body: bytes, status: int, code: str | None) -> None:
    create(client, HELLO)
    answer = client.post("/api/workflows/hello-world/start", data=body, content_type="application/json")
    assert answer.status_code == status
    assert answer.json.get("error", {}).get("code") == code
    assert (client.get("/api/workflows/hello-world").json["data"]["status"] == "running") is (status == 200)


def test_unknown_fields_of_a_start_are_located(client: FlaskClient) -> None:
    create(client, HELLO)
    body = b'{"a/b": 1, "x": 2}'
    answer = client.post("/api/workflows/hello-world/start", data=body, content_type="application/json")
    assert [detail["pointer"] for detail in answer.json["error"]["details"]] == ["/a~1b", "/x"]


def test_a_start_of_an_active_workflow_is_409(client: FlaskClient) -> None:
    """A11."""
    create(client, HELLO)
    client.post("/api/workflows/hello-world/start")
    answer = client.post("/api/workflows/hello-world/start")
    assert (answer.status_code, answer.json["error"]["code"]) == (409, "WORKFLOW_ALREADY_RUNNING")


def test_an_empty_workflow_does_not_start(client: FlaskClient) -> None:
    """A32."""
    assert create(client, workflow("empty")).status_code == 201
    answer = client.post("/api/workflows/empty/start")
    assert (answer.status_code, answer.json["error"]["code"]) == (422, "WORKFLOW_EMPTY")


def test_the_same_idempotency_key_answers_with_the_run_that_exists(client: FlaskClient) -> None:
    create(client, HELLO)
    first, second = (
        client.post("/api/workflows/hello-world/start", headers={"Idempotency-Key": "monday"}) for _ in range(2)
    )
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json["run_id"] == second.json["run_id"]
    assert second.json["repeated"] is True
    assert "repeated" not in first.json


@pytest.mark.parametrize("key, status", [("k" * 200, 200), ("k" * 201, 400), ("", 400), ("a b", 400), ("ü", 400)])
def test_an_idempotency_key_is_visible_ascii(client: FlaskClient, key: str, status: int) -> None:
    create(client, HELLO)
    assert client.post("/api/workflows/hello-world/start", headers={"Idempotency-Key": key}).status_code == status


@pytest.mark.parametrize(
    "method, path, text",
    [
        ("POST", "/stop", "Workflow 'hello-world' stopped"),
        ("POST", "/restart", "Workflow 'hello-world' restarted"),
        ("DELETE", "?force=true", "Workflow 'hello-world' deleted successfully"),
    ],
)
def test_the_undocumented_verbs_speak_like_the_documented_ones(
    client: FlaskClient, method: str, path: str, text: str
) -> None:
    create(client, HELLO)
    client.post("/api/workflows/hello-world/start")
    answer = client.open(f"/api/workflows/hello-world{path}", method=method)
    assert (answer.status_code, answer.json["data"]) == (200, text)


def test_a_stop_tells_what_it_did(client: FlaskClient, service: Service) -> None:
    create(client, HELLO)
    run = client.post("/api/workflows/hello-world/start").json["run_id"]
    service.until("running", "hello-world", "greet")
    (attempt,) = client.get(f"/api/runs/{run}").json["data"]["attempts"]
    stop = client.post("/api/workflows/hello-world/stop").json["stop"]
    assert (stop["signalled"], stop["escalated"]) == ([attempt["uuid"]], False)
    assert (stop["survivors"], stop["unattributed"]) == (0, 0)
    again = client.post("/api/workflows/hello-world/stop")
    assert (again.status_code, again.json["stop"]["signalled"]) == (200, [])


def test_a_deleted_workflow_is_gone_and_a_running_one_refuses(client: FlaskClient) -> None:
    create(client, HELLO)
    client.post("/api/workflows/hello-world/start")
    refused = client.delete("/api/workflows/hello-world")
    assert (refused.status_code, refused.json["error"]["code"]) == (409, "WORKFLOW_RUNNING")
    assert client.delete("/api/workflows/hello-world?force").status_code == 200
    assert client.get("/api/workflows/hello-world").status_code == 404
    assert create(client, HELLO).status_code == 201


def test_put_stores_a_new_version_and_says_whether_it_differs(client: FlaskClient) -> None:
    create(client, HELLO_WORLD)
    changed = {**HELLO_WORLD, "description": "another"}
    url = "/api/workflows/hello-world"
    answer = client.put(url, data=as_bytes(changed), content_type="application/json")
    assert (answer.status_code, answer.json["data"]) == (200, "Workflow 'hello-world' updated successfully")
    assert answer.json["changed"] is True
    assert client.put(url, data=as_bytes(changed), content_type="application/json").json["changed"] is False
    wrong = client.put("/api/workflows/other", data=as_bytes(changed), content_type="application/json")
    assert (wrong.status_code, wrong.json["error"]["code"]) == (422, "VALIDATION_ERROR")
    absent = client.put("/api/workflows/w", data=as_bytes(workflow("w", "a")), content_type="application/json")
    assert absent.status_code == 404


def test_the_dag_tells_nodes_edges_and_levels(client: FlaskClient) -> None:
    last = {"name": "last", "command": "true", "depends_on": ["data_processor"]}
    create(client, {**EXAMPLE_WORKFLOW, "workers": [*EXAMPLE_WORKFLOW["workers"], last]})
    dag = client.get("/api/workflows/example-workflow/dag").json["data"]
    assert list(dag) == ["nodes", "edges", "levels"]
    assert [node["name"] for node in dag["nodes"]] == ["data_fetcher", "data_processor", "last"]
    assert list(dag["nodes"][0])[:4] == ["name", "status", "phase", "reason"]
    assert {
        "from": "data_fetcher",
        "to": "data_processor",
        "input": "input_data",
        "output": "raw_data",
        "path": "/tmp/raw_data.json",
    } in dag["edges"]
    assert {"from": "data_processor", "to": "last", "input": None, "output": None, "path": None} in dag["edges"]
    assert dag["levels"] == [["data_fetcher"], ["data_processor"], ["last"]]


def test_runs_are_paged_and_counted(client: FlaskClient) -> None:
    create(client, HELLO)
    started = []
    for _ in range(3):
        started.append(client.post("/api/workflows/hello-world/start").json["run_id"])
        client.post("/api/workflows/hello-world/stop")
    answer = client.get("/api/workflows/hello-world/runs?limit=2&offset=1")
    assert [run["id"] for run in answer.json["data"]] == [started[1], started[0]]
    assert answer.json["total"] == 3
    assert answer.headers["x-total-count"] == "3"


def test_a_run_is_found_by_number_and_uuid_with_workers_and_attempts(client: FlaskClient, service: Service) -> None:
    create(client, HELLO)
    run = client.post("/api/workflows/hello-world/start").json["run_id"]
    service.until("running", "hello-world", "greet")
    by_number = client.get(f"/api/runs/{run}").json["data"]
    assert client.get(f"/api/runs/{by_number['uuid']}").json["data"] == by_number
    assert by_number["workflow_name"] == "hello-world"
    assert [worker["name"] for worker in by_number["workers"]] == ["greet"]
    assert by_number["attempts"][0]["number"] == 1
    assert by_number["attempts"][0]["stdout"] == f"{service.data_dir}/logs/{run}/0.1.out"


@pytest.mark.parametrize("run", ["2000000", "abc", "9" * 18, "9" * 19, "9" * 199, "-1", "0", "1.0", "%00", "²"])
def test_an_unknown_run_is_404(client: FlaskClient, run: str) -> None:
    assert client.get(f"/api/runs/{run}").status_code == 404


def test_api_v1_workflows_is_the_same(client: FlaskClient) -> None:
    """C23."""
    body = as_bytes(HELLO)
    assert client.post("/api/v1/workflows", data=body, content_type="application/json").status_code == 201
    for path in ("", "/hello-world", "/hello-world/workers", "/hello-world/dag"):
        assert client.get(f"/api/v1/workflows{path}").json["data"] == client.get(f"/api/workflows{path}").json["data"]
    assert client.post("/api/v1/workflows/hello-world/start").status_code == 200
    assert client.get("/api/v1/workers/hello-world").status_code == 404


def test_slashes_at_the_end_are_tolerated(client: FlaskClient) -> None:
    create(client, HELLO_WORLD)
    assert client.get("/api/workflows/").status_code == 200
    assert client.get("/api/workflows/hello-world/").status_code == 200


def test_names_in_the_path_are_normalised(client: FlaskClient) -> None:
    decomposed = unicodedata.normalize("NFD", "größe")
    assert create(client, workflow(decomposed, "réel")).status_code == 201
    answer = client.get(f"/api/workflows/{decomposed}")
    assert answer.json["data"]["name"] == unicodedata.normalize("NFC", decomposed)
    assert client.get("/api/workers/größe/" + unicodedata.normalize("NFD", "réel")).status_code == 200
    assert client.get("/api/workflows/gr%C3%B6%C3%9Fe").status_code == 200


def test_the_longest_name_is_found_in_its_decomposed_form_too(client: FlaskClient) -> None:
    name = "ế" * 66
    assert create(client, workflow(name, "w")).status_code == 201
    decomposed = unicodedata.normalize("NFD", name)
    assert len(decomposed) == 198
    assert client.get(f"/api/workflows/{decomposed}").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/api/workflows/a%2Fstart",
        "/api/workflows/a%2fworkers",
        "/api/workers/hello-world%2Fgreet",
        "/api/workers/hello-world%2F..%2Fx/y",
        "/api/workflows/%00",
        "/api/workflows/a%00b",
        "/api/workflows/%ff%fe",
        "/api/workflows/..",
        "/api/workflows/%2e%2e",
        "/api/workflows/%25",
        "/api/workflows/" + "n" * 5000,
        "/api/workflows/%E2%80%AE",
    ],
)
def test_what_no_name_can_be_is_404(client: FlaskClient, path: str) -> None:
    create(client, HELLO_WORLD)
    for method in ("GET", "DELETE"):
        answer = client.open(path, method=method)
        assert answer.status_code == 404
        assert len(answer.data) < 2000


def test_a_percent_encoded_slash_reaches_no_verb(client: FlaskClient, service: Service) -> None:
    create(client, HELLO_WORLD)
    assert client.delete("/api/workers/hello-world%2Fgreet").status_code == 404
    assert client.post("/api/workflows/hello-world%2Fstart").status_code == 404
    assert service.reading.worker("hello-world", "greet").status == "created"


@pytest.fixture
def five(client: FlaskClient, service: Service) -> FlaskClient:
    for name in ("c", "a", "e", "b", "d"):
        create(client, lasting(name, "w"))
    for name in ("a", "b"):
        client.post(f"/api/workflows/{name}/start")
    return client


@pytest.mark.parametrize(
    "query, names, total",
    [
        ("", "caebd", 5),
        ("?page=1&page_size=2", "ca", 5),
        ("?page=3&page_size=2", "d", 5),
        ("?page=9&page_size=2", "", 5),
        ("?sort_by=name", "abcde", 5),
        ("?sort_by=name&order=DESC", "edcba", 5),
        ("?sort_by=started_at&order=desc", "baced", 5),
        ("?order=desc", "dbeac", 5),
        ("?status=running", "ab", 2),
        ("?status=created,running&sort_by=name&page_size=4", "abcd", 5),
        ("?status=failed&status=created", "ced", 3),
        ("?status=", "caebd", 5),
        ("?unknown=1&", "caebd", 5),
    ],
)
def test_lists_are_paged_sorted_and_filtered_and_stay_arrays(
    five: FlaskClient, query: str, names: str, total: int
) -> None:
    """A31."""
    answer = five.get(f"/api/workflows{query}")
    assert [entity["name"] for entity in answer.json["data"]] == list(names)
    assert answer.headers["x-total-count"] == str(total)
    if query.startswith(("?page", "?s", "?o")):
        assert answer.json["total"] == total
    else:
        assert "total" not in answer.json


@pytest.mark.parametrize(
    "path",
    [
        "/api/workflows?page=0",
        "/api/workflows?page=-1",
        "/api/workflows?page=1.5",
        "/api/workflows?page=",
        "/api/workflows?page=%D9%A1",
        "/api/workflows?page=1&page=2",
        "/api/workflows?page=1234567890123456789",
        "/api/workflows?page_size=0",
        "/api/workflows?page_size=10001",
        "/api/workflows?order=up",
        "/api/workflows?sort_by=secret",
        "/api/workflows?sort_by=name&sort_by=status",
        "/api/workflows?status=done",
        "/api/workflows/c/workers?status=done",
        "/api/workers/c?order=up",
        "/api/workflows/c/runs?limit=0",
        "/api/workflows/c/runs?limit=many",
        "/api/workflows/c/runs?offset=-1",
        "/api/workers/c/w/logs?tail=-1",
        "/api/workers/c/w/logs?tail=all",
        "/api/workers/c/w/logs?tail=1_0",
        "/api/workers/c/w/logs/stream?follow=perhaps",
        "/api/workers/c/w/logs/stream?tail=x",
        "/api/workers/c/w/logs/stream?last_event_id=7",
        "/api/events?after=-1",
        "/api/events?after=x",
        "/api/events?wait=61",
        "/api/events?wait=-1",
        "/api/events?wait=nan",
        "/api/events?wait=1e1",
        "/api/events?limit=0",
    ],
)
def test_malformed_queries_are_400(five: FlaskClient, path: str) -> None:
    answer = five.get(path)
    assert answer.status_code == 400
    assert answer.json["error"]["code"] in ("INVALID_PARAMETER", "INVALID_EVENT_ID")


def test_a_malformed_force_is_400_and_deletes_nothing(five: FlaskClient) -> None:
    assert five.delete("/api/workflows/c?force=maybe").status_code == 400
    assert five.get("/api/workflows/c").status_code == 200


@pytest.mark.parametrize(
    "method, path",
    [
        ("POST", "/api/workflows"),
        ("PUT", "/api/workflows/c"),
        ("DELETE", "/api/workflows/c"),
        ("POST", "/api/workflows/c/start"),
        ("POST", "/api/workflows/c/stop"),
        ("POST", "/api/workflows/c/restart"),
        ("POST", "/api/workers/c/w/start"),
        ("POST", "/api/workers/c/w/stop"),
        ("POST", "/api/workers/c/w/restart"),
        ("DELETE", "/api/workers/c/w"),
        ("POST", "/api/down"),
    ],
)
def test_without_a_server_reading_works_and_changing_is_503(service: Service, method: str, path: str) -> None:
    """A34."""
    service.create(workflow("c", "w"))
    client = create_app(service.reading, None, config(), Pump()).test_client()
    body = as_bytes(workflow("c", "w")) if path in ("/api/workflows", "/api/workflows/c") else b""
    answer = client.open(path, method=method, data=body, content_type="application/json")
    assert (answer.status_code, answer.json["error"]["code"]) == (503, "NO_SERVER")
    assert int(answer.headers["Retry-After"]) > 0
    assert client.get("/api/workflows/c").status_code == 200
