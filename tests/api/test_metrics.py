"""What workers use (W-23), its history, and `/metrics`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api.examples import client_of
from api.service import Service
from flask.testing import FlaskClient

from tests.supervisor.world import World
from tests.whole.server import eventually

DAY = 1_725_012_000_000_000  # 2024-08-30T10:00:00.000Z
SECOND = 1_000_000
WORKER = "/api/workers/example-workflow/data_fetcher"
SERIES = [[DAY + number * SECOND, 1.5 * number, 1000 * number, 1, 2, 30, 40] for number in (1, 2, 3)]
METRICS = (
    '{"user_us":2000000,"system_us":0,"max_rss_bytes":5,"tree":{"cpu_us":2500000,"others_us":0,"read_bytes":30,'
    '"written_bytes":40,"peak_memory_bytes":3000,"peak_num_processes":4,"peak_num_threads":8,'
    f'"peak_num_descriptors":12,"series":{SERIES}}}}}'
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """The store of a supervisor whose clock is set."""
    world = World(tmp_path, "")
    world.now = DAY
    world.create("example-workflow", "data_fetcher", each={"data_fetcher": {"retry": {"limit": 1, "delay_seconds": 1}}})
    yield world
    world.kill()


@pytest.fixture
def client(world: World) -> FlaskClient:
    return client_of(world)


@pytest.fixture
def ended(world: World) -> None:
    """An attempt that failed after a second, and one of 323 seconds of which METRICS were kept."""
    world.run("example-workflow")
    world.play("start data_fetcher; wait 1; exit data_fetcher 1; wait 2; start data_fetcher; wait 323")
    world.play("exit data_fetcher 0; commit")
    with world._writer.connection() as connection:
        connection.execute("UPDATE attempt SET metrics = ? WHERE number = 2", [METRICS])


def test_a_worker_that_has_ended_uses_nothing_and_keeps_its_last_runtime(client: FlaskClient, ended: None) -> None:
    """W-23, A23."""
    data = client.get(f"{WORKER}/metrics").json["data"]
    assert list(data) == ["metrics"]
    metrics = data["metrics"]
    assert list(metrics)[:4] == ["cpu_usage", "memory_usage", "runtime", "status"]
    assert metrics["cpu_usage"] == "0.0%"
    assert metrics["memory_usage"] == "0MB"
    assert metrics["runtime"] == "00:05:23"
    assert metrics["status"] == "completed"
    assert metrics["runtime_seconds"] == 323.0
    assert (metrics["pid"], metrics["num_processes"]) == (None, 0)


def test_peaks_and_totals_are_shown_afterwards(client: FlaskClient, ended: None) -> None:
    metrics = client.get(f"{WORKER}/metrics").json["data"]["metrics"]
    told = {
        "attempt": 2, "cpu_seconds": 2.5, "read_bytes": 30, "written_bytes": 40, "peak_memory_bytes": 3000,
        "peak_num_processes": 4, "peak_num_threads": 8, "peak_num_descriptors": 12,
    }  # fmt: skip
    assert {key: metrics[key] for key in told} == told


def test_an_earlier_attempt_can_be_asked_for(client: FlaskClient, ended: None) -> None:
    metrics = client.get(f"{WORKER}/metrics?attempt=1").json["data"]["metrics"]
    assert (metrics["attempt"], metrics["status"], metrics["runtime"]) == (1, "failed", "00:00:01")
    assert metrics["cpu_seconds"] is metrics["peak_memory_bytes"] is None
    for path in ("metrics", "metrics/history"):
        answer = client.get(f"{WORKER}/{path}?attempt=9")
        assert (answer.status_code, answer.json["error"]["code"]) == (404, "ATTEMPT_NOT_FOUND")


def test_metrics_of_a_worker_that_never_started(client: FlaskClient) -> None:
    """W-23."""
    metrics = client.get(f"{WORKER}/metrics").json["data"]["metrics"]
    assert (metrics["runtime"], metrics["status"], metrics["pid"]) == ("00:00:00", "created", None)
    assert metrics["attempt"] is metrics["cpu_seconds"] is None
    history = client.get(f"{WORKER}/metrics/history").json["data"]["history"]
    assert history == {"attempt": None, "run_id": None, "live": False, "points": []}


def test_metrics_of_a_running_worker_are_measured(service: Service) -> None:
    """W-23."""
    code = "import time; opened = open('/dev/null'); sum(range(3_000_000)); time.sleep(600)"
    worker = {"name": "data_fetcher", "command": "python", "args": ["-c", code]}
    service.create({"name": "example-workflow", "workers": [worker]})
    service.changing.start_workflow("example-workflow")
    pid = service.until("running", "example-workflow", "data_fetcher").pid
    client = service.app.test_client()

    def measured() -> Any:
        metrics = client.get(f"{WORKER}/metrics?pss=true").json["data"]["metrics"]
        return metrics if metrics["cpu_seconds"] and metrics["num_descriptors"] > 3 else None

    metrics = eventually(measured)
    assert metrics["memory_bytes"] > 0
    assert int(metrics["memory_usage"].removesuffix("MB")) > 0
    assert metrics["num_processes"] >= 1
    assert metrics["pid"] == pid
    assert metrics["status"] == "running"
    assert metrics["cpu_seconds"] > 0 and metrics["num_descriptors"] > 3
    assert 0 < metrics["pss_bytes"] < 2 * metrics["memory_bytes"]


@pytest.mark.parametrize(
    "since, left",
    [
        ("", 3),
        ("?since=2024-08-30T10:00:01.000Z", 2),
        ("?since=2024-08-30T12:00:01%2B02:00", 2),
        ("?since=1725012002", 1),
        ("?since=1725012002.5", 1),
        ("?since=2024-08-30T10:00:03", 0),
        ("?since=2030-01-01", 0),
    ],
)
def test_the_history_is_told_since_an_instant(client: FlaskClient, ended: None, since: str, left: int) -> None:
    history = client.get(f"{WORKER}/metrics/history{since}").json["data"]["history"]
    assert (history["attempt"], history["run_id"], history["live"]) == (2, 1, False)
    assert len(history["points"]) == left
    if left == 3:
        assert history["points"][0] == {
            "at": "2024-08-30T10:00:01.000Z", "cpu_percent": 1.5, "memory_bytes": 1000, "num_processes": 1,
            "num_threads": 2, "read_bytes": 30, "written_bytes": 40,
        }  # fmt: skip


@pytest.mark.parametrize(
    "query", ["since=yesterday", "since=-1", "since=", "since=1e9", "since=99999-01-01", "attempt=0", "attempt=x"]
)
def test_what_is_no_instant_and_no_number_is_refused(client: FlaskClient, ended: None, query: str) -> None:
    answer = client.get(f"{WORKER}/metrics/history?{query}")
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "INVALID_PARAMETER")


def test_without_a_server_nothing_is_counted(client: FlaskClient) -> None:
    answer = client.get("/metrics")
    assert (answer.status_code, answer.json["error"]["code"]) == (503, "NO_SERVER")


def test_a_rebound_host_gets_no_metrics(client: FlaskClient) -> None:
    answer = client.get("/metrics", headers={"Host": "evil.example"})
    assert (answer.status_code, answer.json["error"]["code"]) == (403, "HOST_NOT_ALLOWED")
