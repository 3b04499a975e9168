"""The document's own examples, pasted into a shell (W-50 to W-56, the literal walk-through)."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.whole.server import Server, eventually

CURLS = Path(__file__).parent / "curl"
TEMPORARY = ("/tmp/hello-world", "/tmp/data-pipeline", "/tmp/example-workflow")


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    """The examples write to fixed places."""
    for path in TEMPORARY:
        shutil.rmtree(path, ignore_errors=True)
    yield
    for path in TEMPORARY:
        shutil.rmtree(path, ignore_errors=True)


def curl(server: Server, block: str) -> tuple[int, dict]:
    """Run a block of the document as it stands, but for the port."""
    text = (CURLS / f"{block}.sh").read_text().replace("localhost:9240", f"localhost:{server.port}")
    script = text.rstrip().replace("curl ", "curl -sS -w '\\n%{http_code}' ", 1)
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=30, check=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


@pytest.mark.parametrize("time", [1, 2])
def test_hello_world_as_documented(server: Server, time: int) -> None:
    """W-50, W-51, W-52, W-53, W-56; twice in a row."""
    status, body = curl(server, "create-hello-world")
    assert (status, body["data"]) == (201, "Workflow 'hello-world' created successfully")
    for _ in range(2):
        status, body = curl(server, "start-hello-world")
        assert (status, body["data"]) == (200, "Workflow 'hello-world' started successfully")
        eventually(lambda: server.status("hello-world") == "completed")
        status, body = curl(server, "get-hello-world")
        entity = body["data"]
        assert (status, entity["status"], entity["working_dir"]) == (200, "completed", "/tmp/hello-world")
        assert entity["started_at"] <= entity["completed_at"]
        status, body = curl(server, "logs-greet")
        assert body["data"] == [
            "stdout: /tmp/hello-world/greet/stdout.log",
            "stderr: /tmp/hello-world/greet/stderr.log",
        ]
        assert Path("/tmp/hello-world/greet/stdout.log").read_text() == "Hello, Wattle Scheduler!\n"
        assert Path("/tmp/hello-world/greet/stderr.log").read_text() == ""
        assert Path("/tmp/hello-world/greeting.txt").read_text() == "Hello, Wattle Scheduler!\n"
    status, body = curl(server, "create-hello-world")
    assert (status, body["error"]["code"]) == (409, "WORKFLOW_ALREADY_EXISTS")


def test_the_stream_of_greet_replays_its_line_then_ends(server: Server) -> None:
    """W-22, A20, A21."""
    curl(server, "create-hello-world")
    curl(server, "start-hello-world")
    assert server.ended("hello-world") == "completed"
    answer = server.request("GET", "/api/workers/hello-world/greet/logs/stream")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [dict(re.findall(r"^(\w+): (.*)$", block, re.M)) for block in answer.body.split("\n\n") if block.strip()]
    shown = [(event.get("event"), json.loads(event["data"])) for event in events if "data" in event]
    assert shown[0][0] is None
    assert list(shown[0][1].items())[:2] == [("type", "stdout"), ("content", "Hello, Wattle Scheduler!")]
    assert shown[-1][0] == "end"
    assert (shown[-1][1]["status"], shown[-1][1]["exit_code"]) == ("completed", 0)
    assert len(shown) == 2


def test_the_metrics_of_greet_are_the_documented_strings(server: Server) -> None:
    """W-23, A23."""
    curl(server, "create-hello-world")
    curl(server, "start-hello-world")
    server.ended("hello-world")
    metrics = server.get("/api/workers/hello-world/greet/metrics")["metrics"]
    documented = {key: metrics[key] for key in ("cpu_usage", "memory_usage", "runtime", "status")}
    assert documented == {
        "cpu_usage": "0.0%",
        "memory_usage": "0MB",
        "runtime": "00:00:00",
        "status": "completed",
    }


def test_data_pipeline_as_documented(server: Server) -> None:
    """W-54, A1: printing fills the declared output, and says so."""
    status, _ = curl(server, "create-data-pipeline")
    assert status == 201
    for _ in range(2):
        server.post("/api/workflows/data-pipeline/start")
        assert server.ended("data-pipeline") == "completed"
        assert json.loads(Path("/tmp/data-pipeline/raw.json").read_text()) == {"data": [1, 2, 3, 4, 5]}
        assert Path("/tmp/data-pipeline/result.txt").read_text() == "Sum: 15\n"
        workers = server.workers("data-pipeline")
        assert workers["fetch_data"]["completed_at"] <= workers["process_data"]["started_at"]
    run = server.get(f"/api/runs/{server.get('/api/workflows/data-pipeline/runs')[0]['id']}")
    notices = {worker["name"]: worker["notices"] for worker in run["workers"]}
    assert notices["fetch_data"] == ["its standard output was saved as /tmp/data-pipeline/raw.json"]


def test_a_deleted_producer_makes_the_next_start_422(server: Server) -> None:
    """W-24, A18."""
    curl(server, "create-data-pipeline")
    answer = server.request("DELETE", "/api/workers/data-pipeline/fetch_data")
    assert (answer.status, answer.body["data"]) == (200, "Worker 'data-pipeline/fetch_data' deleted successfully")
    assert server.request("GET", "/api/workers/data-pipeline/fetch_data").status == 404
    answer = server.request("POST", "/api/workflows/data-pipeline/start")
    assert (answer.status, answer.body["error"]["code"]) == (422, "DEPENDENCY_VALIDATION_FAILED")
    assert server.status("data-pipeline") == "created"


def test_example_workflow_fails_cleanly(server: Server) -> None:
    """W-55: its script is absent."""
    body = json.loads((CURLS / "example-workflow.json").read_text())
    assert server.request("POST", "/api/workflows", body).status == 201
    server.post("/api/workflows/example-workflow/start")
    assert server.ended("example-workflow") == "failed"
    workers = server.workers("example-workflow")
    assert workers["data_fetcher"]["status"] == "failed"
    assert workers["data_fetcher"]["error_message"].startswith("exit code 2: ")
    assert "fetch_data.py" in workers["data_fetcher"]["error_message"]
    assert workers["data_processor"]["status"] == "cancelled"
    assert workers["data_processor"]["started_at"] is None
    assert "data_fetcher" in workers["data_processor"]["error_message"]
    assert workers["data_fetcher"]["args"] == '["--source", "database"]'
    assert workers["data_fetcher"]["outputs"] == (
        '{"raw_data": "/tmp/raw_data.json", "metadata": "/tmp/metadata.json"}'
    )
    assert workers["data_fetcher"]["inputs"] is None
