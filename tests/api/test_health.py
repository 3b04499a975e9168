"""Wattle itself: alive, ready, what it offers, its end."""

from api.fake_service import FakeService
from flask.testing import FlaskClient

import wattle


def test_healthz_asks_nobody(client: FlaskClient, service: FakeService) -> None:
    service.checks = {"store": False}
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json["data"]) == (200, {"status": "ok"})


def test_readyz_tells_its_checks(client: FlaskClient) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json["data"] == {"status": "ready", "checks": {"store": True, "loop": True, "keeper": True}}


def test_readyz_is_503_where_a_check_fails(client: FlaskClient, service: FakeService) -> None:
    """W-07, A34."""
    service.checks["keeper"] = False
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json["error"]["code"]) == (503, "NOT_READY")
    assert "keeper" in answer.json["error"]["message"]
    assert answer.json["checks"] == {"store": True, "loop": True, "keeper": False}
    assert "Retry-After" in answer.headers


def test_the_index_leads_everywhere(client: FlaskClient) -> None:
    """W-01."""
    data = client.get("/api").json["data"]
    assert (data["name"], data["version"], data["api_version"]) == ("wattle", wattle.__version__, "v1")
    for link in data["links"].values():
        path = link.format(workflow="x", worker="y", id=1)
        error = client.get(path).json.get("error", {})
        found = (None, "WORKFLOW_NOT_FOUND", "WORKER_NOT_FOUND", "RUN_NOT_FOUND")
        assert error.get("code") in (found if path != "/metrics" else ("NO_SERVER",))  # only a server counts


def test_down_tells_what_was_stopped(client: FlaskClient) -> None:
    answer = client.post("/api/down")
    assert answer.status_code == 200
    assert isinstance(answer.json["data"], str)
    told = {
        "attempt": "uid-1",
        "worker": "data_fetcher",
        "pid": 4711,
        "processes": 3,
        "signal": "SIGINT",
        "at": "2026-11-21T08:12:03.155Z",
        "killed_at": "2026-11-21T08:12:13.156Z",
    }
    assert answer.json["stop"] == {
        "signalled": ["uid-1"],
        "signals": [told],
        "escalated": True,
        "survivors": 0,
        "unattributed": 0,
    }
