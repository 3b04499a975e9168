"""Logs of a service that is restarted again and again in one run are bounded, under a real server (I12, F01, F02)."""

import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.whole.server import Server, eventually

SIZE = 300_000
TIMES = 5
SERVICE = {
    "name": "svc",
    "kind": "service",
    "command": f"head -c {SIZE} /dev/zero | tr '\\0' x; test $WATTLE_ATTEMPT -gt {TIMES} || exit 1; sleep 600",
    "restart": {"limit": 100, "delay_seconds": 0.02, "factor": 1, "jitter": 0},
    "stop": {"grace_seconds": 1},
}
TASK = {"name": "task", "command": "sleep 600", "depends_on": ["svc"]}
LIMITS = ("--keep-logs", "700K")  # two of them


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A killed server, whose service has crashed TIMES times and lives; the next one has to look at once."""
    server = Server(tmp_path).start()
    try:
        server.run("web", [SERVICE, TASK])
        eventually(lambda: newest(server) == TIMES + 1 and server.workers("web")["task"]["status"] == "running")
        server.kill()
        os.utime(server.data_dir / "retention", (0, 0))
        server.options = LIMITS
        yield server
    finally:
        server.down()


def attempts(server: Server) -> dict[int, dict[str, Any]]:
    """Those of the service, by number."""
    return {each["number"]: each for each in server.get("/api/runs/1")["attempts"] if each["worker"] == "svc"}


def newest(server: Server) -> int:
    return max(attempts(server), default=0)


def logs(server: Server) -> list[str]:
    names = os.listdir(server.data_dir / "logs" / "1")
    return sorted(name for name in names if name.startswith("0.") and name.endswith(".out"))


def marked(server: Server) -> int:
    with sqlite3.connect(f"file:{server.data_dir}/wattle.db?mode=ro", uri=True) as connection:
        (count,) = connection.execute("SELECT count(*) FROM attempt WHERE logs_removed_at IS NOT NULL").fetchone()
    connection.close()
    return int(count)


def fsck(server: Server) -> tuple[int, list[dict[str, Any]]]:
    checked = server.wattle("fsck", "--json")
    return checked.returncode, json.loads(checked.stdout)["defects"]


def test_old_attempts_of_a_service_lose_their_logs_and_whoever_asks_is_told(server: Server) -> None:
    server.start()
    eventually(lambda: logs(server) == ["0.4.out", "0.5.out", "0.6.out"])
    path = "/api/workers/web/svc/logs"
    gone = [
        {"type": "gap", "stream": name, "reason": f"the {name} log of this attempt was removed by retention",
         "dropped_bytes": None}
        for name in ("stdout", "stderr")
    ]  # fmt: skip
    for query in ("tail=5", "from=0:0", "grep=x"):
        assert server.get(f"{path}?attempt=1&{query}") == gone, query
    for what in (f"{path}?attempt=1", f"{path}/download?attempt=1"):
        answer = server.request("GET", what)
        assert (answer.status, answer.body["error"]["code"]) == (404, "LOG_NOT_FOUND")
        assert "retention has removed it" in answer.body["error"]["message"]
    streamed = server.request("GET", "/api/workflows/web/logs/stream?follow=false").body
    assert streamed.count("was removed by retention") == 2 * 3, "once for each stream of each of them"
    said = server.wattle("logs", "web/svc", "--attempt", "1", "-f")
    assert said.returncode == 0 and "was removed by retention" in said.stdout + said.stderr
    assert [number for number, each in attempts(server).items() if each["stdout"] is None] == [1, 2, 3]
    assert len(server.get(f"{path}?attempt=4&tail=1")[0]["content"]) > 0
    assert fsck(server) == (0, [])
    assert (newest(server), server.workers("web")["task"]["status"]) == (TIMES + 1, "running"), "none was disturbed"
    server.post("/api/workers/web/svc/restart")
    eventually(lambda: newest(server) == TIMES + 2)
    assert "0.7.out" in logs(server)
    server.down()
    assert fsck(server) == (0, [])
    said = server.wattle("logs", "web/svc", "--attempt", "5", "--json")
    assert json.loads(said.stdout), "without a server, of the ended run"
    said = server.wattle("logs", "web/svc", "--attempt", "1")
    assert said.returncode == 0 and "was removed by retention" in said.stdout + said.stderr


def test_a_server_killed_between_rows_and_files_leaves_what_fsck_names_and_the_next_one_removes(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as faults:
        faults.setenv("WATTLE_FAILPOINT", "daemon.retention.committed:1:kill")
        faults.setenv("WATTLE_FAILPOINT_FIRED", str(tmp_path / "fired"))
        killed = server.wattle("serve", "--listen", "127.0.0.1:0", *LIMITS, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert (tmp_path / "fired").read_text().startswith("daemon.retention.committed:1:kill ")
    assert (marked(server), len(logs(server))) == (3, TIMES + 1), "the rows are marked, no file has gone"
    code, defects = fsck(server)
    assert code == 5 and len(defects) >= 6
    assert all("whose logs were removed" in one["what"] for one in defects), defects
    server.start()
    eventually(lambda: logs(server) == ["0.4.out", "0.5.out", "0.6.out"])
    assert marked(server) == 3
    assert fsck(server) == (0, [])
    assert newest(server) == TIMES + 1
    server.down()
    left = server.data_dir / "logs" / "1" / "0.1.out"
    left.touch(0o600)
    (server.data_dir / "logs" / "1" / "0.2.notify").touch(0o600)
    code, defects = fsck(server)
    assert code == 5
    assert [(one["where"], "whose logs were removed" in one["what"]) for one in defects] == [
        (str(left), True),
        (str(left.with_name("0.2.notify")), True),
    ], defects
