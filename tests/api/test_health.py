"""Wattle itself: alive, ready, what it offers, its end."""

import os
import re
import signal

from api.service import Service
from flask.testing import FlaskClient

import wattle
from tests.whole.server import eventually

LOOKING = {"store": True, "disk": True, "loop": False, "keeper": False}  # for ten seconds at a time
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
STOP = {"signal": "INT", "grace_seconds": 0.1}


def test_healthz_asks_nobody(own: Service) -> None:
    (own.data_dir / "wattle.db").unlink()
    client = own.app.test_client()
    assert client.get("/readyz").json["checks"]["store"] is False
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json["data"]) == (200, {"status": "ok"})


def test_readyz_tells_its_checks(client: FlaskClient) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    checks = {"store": True, "disk": True, "loop": True, "keeper": True}
    assert answer.json["data"] == {"status": "ready", "checks": checks}


def test_readyz_is_503_where_a_check_fails(own: Service) -> None:
    """W-07, A34: the keeper was killed, and no other can be started."""
    client, journal = own.app.test_client(), own.data_dir / "journal"
    journal.rename(own.data_dir / "kept")
    journal.touch()
    for keeper in own.keepers():
        os.kill(keeper, signal.SIGKILL)
    answer = eventually(lambda: (told := client.get("/readyz")).json.get("checks") == LOOKING and told)
    journal.unlink()
    (own.data_dir / "kept").rename(journal)
    eventually(lambda: client.get("/readyz").status_code == 200)
    assert (answer.status_code, answer.json["error"]["code"]) == (503, "NOT_READY")
    assert "keeper" in answer.json["error"]["message"]
    assert "Retry-After" in answer.headers


def test_the_index_leads_everywhere(client: FlaskClient) -> None:
    """W-01."""
    data = client.get("/api").json["data"]
    assert (data["name"], data["version"], data["api_version"]) == ("wattle", wattle.__version__, "v1")
    for link in data["links"].values():
        path = link.format(workflow="x", worker="y", id=1)
        answer = client.get(path)
        code = answer.json["error"]["code"] if answer.status_code != 200 else None
        assert code in (None, "WORKFLOW_NOT_FOUND", "WORKER_NOT_FOUND", "RUN_NOT_FOUND")


def test_down_tells_what_was_stopped(own: Service) -> None:
    client = own.app.test_client()
    deaf = "trap '' INT; touch up; while :; do sleep 0.02; done"
    own.create({"name": "wf", "workers": [{"name": "deaf", "command": deaf, "stop": STOP}]})
    run = client.post("/api/workflows/wf/start").json["run_id"]
    eventually((own.data_dir / "work" / "wf" / "up").exists)
    own.until("running", "wf", "deaf")
    (attempt,) = client.get(f"/api/runs/{run}").json["data"]["attempts"]
    answer = client.post("/api/down")
    own.join()
    assert answer.status_code == 200
    assert isinstance(answer.json["data"], str)
    (told,) = answer.json["stop"]["signals"]
    assert INSTANT.fullmatch(told["at"]) and INSTANT.fullmatch(told["killed_at"]) and told["at"] < told["killed_at"]
    assert told["processes"] >= 1
    expected = {"attempt": attempt["uuid"], "worker": "deaf", "pid": attempt["pid"], "signal": "SIGINT"}
    assert told == told | expected and len(told) == 7
    assert answer.json["stop"] == {
        "signalled": [attempt["uuid"]],
        "signals": [told],
        "escalated": True,
        "survivors": 0,
        "unattributed": 0,
    }
