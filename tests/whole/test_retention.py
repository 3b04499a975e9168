"""Old runs and their logs go from a real data directory, under a real server (design: Kept)."""

import json
import os
from pathlib import Path

from tests.whole.server import Server, eventually

GREET = [{"name": "greet", "command": "echo hello"}]


def test_a_server_removes_what_is_beyond_its_limits_and_fsck_is_content(tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    server.create("often", GREET)
    server.create("seldom", GREET)
    for name in ("seldom", "often", "often", "often"):
        server.post(f"/api/workflows/{name}/start")
        assert server.ended(name) == "completed"
    server.down()
    stamp = server.data_dir / "retention"
    assert stamp.exists(), "it looked when it first started"
    os.utime(stamp, (0, 0))
    server.options = ("--keep-runs", "1", "--keep-days", "0")
    server.start()
    try:
        eventually(lambda: sorted(os.listdir(server.data_dir / "logs")) == ["1", "4"])
        assert [run["id"] for run in server.get("/api/workflows/often/runs")] == [4]
        assert server.request("GET", "/api/runs/2").status == 404
        assert server.get("/api/workers/often/greet/logs?tail=5") == [{"type": "stdout", "content": "hello"}]
        assert server.status("seldom") == "completed"
        checked = server.wattle("fsck", "--json")
        assert (checked.returncode, json.loads(checked.stdout)["runs"]) == (0, 2), checked.stdout
    finally:
        server.down()


def test_a_server_removes_logs_beyond_their_room_and_the_run_says_so(tmp_path: Path) -> None:
    server = Server(tmp_path, "--keep-logs", "1M").start()
    server.create("loud", [{"name": "shout", "command": "head -c 700000 /dev/zero"}])
    for _ in range(2):
        server.post("/api/workflows/loud/start")
        assert server.ended("loud") == "completed"
    server.down()
    os.utime(server.data_dir / "retention", (0, 0))
    server.start()
    try:
        eventually(lambda: os.listdir(server.data_dir / "logs") == ["2"])
        attempts = [server.get(f"/api/runs/{run}")["attempts"][0] for run in (1, 2)]
        assert [attempt["stdout"] for attempt in attempts] == [None, f"{server.data_dir}/logs/2/0.1.out"]
        assert server.wattle("fsck").returncode == 0
    finally:
        server.down()
