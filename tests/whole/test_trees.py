"""What a stop proves over HTTP, what may stay, and what does not die (T6, T9)."""

import datetime
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.keeper.test_trees import TRACED, TRACER
from tests.whole.server import Reply, Server, eventually, marked


def instant(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def test_a_stop_proves_itself(server: Server) -> None:
    """Who was told, when, by which signal, when SIGKILL was needed, and that nobody is left."""
    mark = f"proof-{server.port}"
    stubborn = f"trap '' TERM; sleep 600 & echo up; : {mark}; while :; do sleep 0.1; done"
    workers = [
        {"name": "gentle", "command": f"sleep 600; : {mark}", "stop": {"signal": "INT"}},
        {"name": "stubborn", "command": stubborn, "stop": {"grace_seconds": 0.3}},
    ]
    server.run("proof", workers)
    eventually(lambda: {"type": "stdout", "content": "up"} in server.get("/api/workers/proof/stubborn/logs?tail=9"))
    attempts = {a["worker"]: a for a in server.get("/api/runs/1")["attempts"]}
    before = datetime.datetime.now(datetime.UTC)
    answer = server.request("POST", "/api/workflows/proof/stop")
    assert answer.body["data"] == "Workflow 'proof' stopped"
    stop = answer.body["stop"]
    assert marked(mark) == []
    assert (stop["survivors"], stop["unattributed"], stop["escalated"]) == (0, 0, True)
    assert sorted(stop["signalled"]) == sorted(a["uuid"] for a in attempts.values())
    told = {each["worker"]: each for each in stop["signals"]}
    assert {name: (each["attempt"], each["pid"]) for name, each in told.items()} == {
        name: (attempt["uuid"], attempt["pid"]) for name, attempt in attempts.items()
    }
    assert (told["gentle"]["signal"], told["gentle"]["killed_at"]) == ("SIGINT", None)
    assert told["stubborn"]["signal"] == "SIGTERM" and told["stubborn"]["processes"] >= 2
    for each in told.values():
        assert before - datetime.timedelta(seconds=0.01) <= instant(each["at"]) <= datetime.datetime.now(datetime.UTC)
    lasted = instant(told["stubborn"]["killed_at"]) - instant(told["stubborn"]["at"])
    assert datetime.timedelta(seconds=0.25) <= lasted < datetime.timedelta(seconds=5)


def test_a_stop_of_what_does_not_run_told_nobody(server: Server) -> None:
    server.create("idle", [{"name": "w", "command": "true"}])
    nothing = {"signalled": [], "signals": [], "escalated": False, "survivors": 0, "unattributed": 0}
    for path in ("/api/workers/idle/w/stop", "/api/workflows/idle/stop"):
        assert server.request("POST", path).body["stop"] == nothing


def test_what_allow_detached_leaves_running_is_told_and_outlives_stop_and_down(server: Server) -> None:
    """T6: both ways. What a worker leaves behind by leave is nobody's to stop any more."""
    mark = f"stays-{server.port}"
    nap = f"{sys.executable} -I -S -c 'import time; time.sleep(300)' {mark}"
    command = f"setsid {nap} & {nap} & sleep 0.1; echo done"
    server.run("stays", [{"name": "w", "command": command, "allow_detached": True}])
    try:
        assert server.ended("stays") == "completed"
        (worker,) = server.get("/api/runs/1")["workers"]
        assert worker["notices"] == ["2 processes were left running (allow_detached)"]
        stayed = marked(mark)
        assert len(stayed) == 2
        assert server.request("POST", "/api/workers/stays/w/stop").body["stop"]["signalled"] == []
        server.run("ends", [{"name": "w", "command": command.replace(mark, f"ends-{mark}")}])
        assert server.ended("ends") == "completed"
        assert marked(f"ends-{mark}") == []
        server.down()
        assert marked(mark) == stayed
    finally:
        for pid in marked(mark):
            os.kill(pid, signal.SIGKILL)


def test_what_cannot_be_killed_is_named_and_blocks_nothing_else(server: Server, tmp_path: Path) -> None:
    """T9, F34: a process that its tracer keeps, dead, stands in for an uninterruptible sleep."""
    script = tmp_path / "traced.py"
    script.write_text(TRACED)
    command = f"{sys.executable} -I -S {script}"
    server.run("stuck", [{"name": "w", "command": command, "stop": {"grace_seconds": 0}}])
    eventually(lambda: {"type": "stdout", "content": "up"} in server.get("/api/workers/stuck/w/logs?tail=9"))
    pid = server.get("/api/runs/1")["attempts"][0]["pid"]
    tracer = subprocess.Popen([sys.executable, "-I", "-S", "-c", TRACER, str(pid)], stdout=subprocess.PIPE, text=True)
    try:
        assert tracer.stdout is not None and tracer.stdout.readline() == "traced\n"
        answers: list[Reply] = []
        paths = ("/api/workers/stuck/w/stop", "/api/workflows/stuck/stop", "/api/workflows/stuck/restart")
        ask = lambda path: answers.append(server.request("POST", path))  # noqa: E731
        stopping = [threading.Thread(target=ask, args=[path]) for path in paths]
        for thread in stopping:
            thread.start()
        slowest = 0.0
        while any(thread.is_alive() for thread in stopping):
            began = time.monotonic()
            assert server.request("GET", "/healthz").status == 200
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.05)
        assert [(answer.status, answer.body["error"]["code"]) for answer in answers] == [(503, "STOP_INCOMPLETE")] * 3
        assert all(str(pid) in answer.body["error"]["message"] for answer in answers)
        assert slowest < 1.0, "nobody else waits for it"
        shown = server.get("/api/workers/stuck/w")
        assert (shown["phase"], shown["status"]) == ("stopping", "running")
        assert shown["reason"].endswith(f"but its processes {pid} do not die")
        server.run("other", [{"name": "w", "command": "true"}])
        assert server.ended("other") == "completed"
    finally:
        tracer.kill()
        tracer.communicate()
    assert eventually(lambda: server.get("/api/runs/1")["status"] != "running")
    assert server.get("/api/runs/1")["workers"][0]["reason"] in ("stopped by a user", "restarted by a user")
