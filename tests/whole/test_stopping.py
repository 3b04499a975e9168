"""Promise 2, nothing is left behind (T1 to T8, F33, F35, F36; T2: a child in its own session is one of the four)."""

import sys
from pathlib import Path

import pytest

from tests.whole.server import Server, command_of, eventually, marked

EVASIVE = """
import os, signal, subprocess, sys, time
mark = sys.argv[1]
nap = [sys.executable, "-c", "import signal, time, sys; time.sleep(600)", mark]
subprocess.Popen(nap)                                      # a plain child
subprocess.Popen(nap, start_new_session=True)              # in a session of its own
if os.fork() == 0:                                         # a double fork
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, nap)
    os._exit(0)
immune = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", immune, mark])     # immune to TERM
print("all up", flush=True)
time.sleep(600)
"""


@pytest.fixture
def evasive(tmp_path: Path) -> Path:
    script = tmp_path / "evasive.py"
    script.write_text(EVASIVE)
    return script


def worker(evasive: Path, mark: str, grace: float = 0.5) -> dict:
    return {"name": "evasive", "command": f"{sys.executable} {evasive} {mark}", "stop": {"grace_seconds": grace}}


@pytest.mark.parametrize("path", ["/api/workers/tree/evasive/stop", "/api/workflows/tree/stop"])
def test_a_stop_leaves_none_of_four_evasive_descendants(server: Server, evasive: Path, path: str) -> None:
    mark = f"mark-{server.port}"
    server.run("tree", [worker(evasive, mark)])
    all_are_up(server, mark)
    answer = server.request("POST", path)
    assert answer.status == 200
    assert marked(mark) == []
    assert server.ended("tree") == "cancelled"
    if "workers" in path:
        assert answer.body["data"] == "Worker 'tree/evasive' stopped"
        assert answer.body["stop"]["survivors"] == 0
        assert answer.body["stop"]["escalated"] is True


def all_are_up(server: Server, mark: str) -> None:
    """The leader, four descendants, and the immune one is immune by now."""
    eventually(lambda: len([pid for pid in marked(mark) if "600" in command_of(pid)]) == 4)
    eventually(lambda: {"type": "stdout", "content": "up"} in server.get("/api/workers/tree/evasive/logs?tail=9"))


def test_killing_the_group_alone_would_leave_some(server: Server, evasive: Path) -> None:
    """Positive control: the fixture is as evasive as it claims."""
    import os
    import signal

    mark = f"control-{server.port}"
    server.run("tree", [worker(evasive, mark)])
    all_are_up(server, mark)
    inside = {pid: os.getsid(pid) for pid in marked(mark)}
    leader = server.get("/api/runs/1")["attempts"][0]["pid"]
    os.killpg(leader, signal.SIGKILL)
    outside = [pid for pid, session in inside.items() if session != leader]
    assert len(outside) == 2
    # Wattle ends what the leader left behind by itself (T6).
    eventually(lambda: not marked(mark))
    assert server.ended("tree") == "failed"


def test_what_a_worker_leaves_behind_is_ended_with_it(server: Server) -> None:
    """T3, T6, F36: the leader's end decides, and its status counts; an event tells of a daemon that it made."""
    mark = f"left-{server.port}"
    tidy = {"name": "tidy", "command": "sleep 0.1 & wait"}
    server.run("left", [{"name": "w", "command": f"sh -c 'sleep 600; : {mark}' & echo done"}, tidy])
    assert server.ended("left") == "completed"
    assert marked(mark) == []
    run = server.get("/api/runs/1")
    assert any("left behind" in notice for notice in run["workers"][0]["notices"])
    (told,) = [event for event in server.get("/api/events?workflow=left") if event["kind"] == "worker.daemonised"]
    assert told["subject"] == "left/w" and told["payload"]["ended"] >= 1  # the inner shell, and its sleep by then
    assert (told["payload"]["attempt"], told["payload"]["left_running"]) == (1, 0)


def test_a_stopped_worker_in_sigstop_is_woken_to_end(server: Server) -> None:
    """T8."""
    server.run("frozen", [{"name": "w", "command": "trap 'exit 3' TERM; kill -STOP $$; sleep 600 & wait"}])
    pid = eventually(lambda: server.get("/api/runs/1")["attempts"])[0]["pid"]
    eventually(lambda: "T" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0])
    answer = server.request("POST", "/api/workers/frozen/w/stop")
    assert answer.status == 200 and answer.body["stop"]["escalated"] is False


def test_a_timeout_ends_the_tree_and_says_so(server: Server) -> None:
    mark = f"late-{server.port}"
    command = f"sleep 600 & : {mark}; sleep 600"
    server.run("late", [{"name": "w", "command": command, "timeout_seconds": 0.3, "stop": {"grace_seconds": 0.2}}])
    assert server.ended("late") == "failed"
    assert server.workers("late")["w"]["error_message"].startswith("timed out after 0.3 s")
    assert marked(mark) == []


def test_stopping_what_does_not_run_is_no_change(server: Server) -> None:
    """A16: idempotent."""
    server.create("idle", [{"name": "w", "command": "true"}])
    for path in ("/api/workers/idle/w/stop", "/api/workflows/idle/stop"):
        assert server.request("POST", path).status == 200
    assert server.status("idle") == "created"
    assert server.get("/api/workflows/idle/runs") == []


def test_what_waits_does_not_starve_the_api(server: Server) -> None:
    """40 stops that take five seconds each, 40 streams and 40 long polls: the API answers meanwhile."""
    import http.client
    import time

    stubborn = {"command": "trap '' TERM; while :; do sleep 60; done", "stop": {"grace_seconds": 5}}
    server.run("many", [{"name": f"w{i}", **stubborn} for i in range(40)], max_parallel=40)
    eventually(lambda: all(w["status"] == "running" for w in server.workers("many").values()))
    waiting = []
    for i in range(40):
        for method, path in (
            ("POST", f"/api/workers/many/w{i}/stop"),
            ("GET", f"/api/workers/many/w{i}/logs/stream"),
            ("GET", "/api/events?after=100000&wait=5"),
        ):
            connection = http.client.HTTPConnection("127.0.0.1", server.port)
            connection.request(method, path)
            waiting.append(connection)
    until, slowest = time.monotonic() + 3, 2.0
    while slowest >= 1.5 and time.monotonic() < until:  # again, while they wait: who else uses the machine is not meant
        slowest = 0.0
        for _ in range(20):
            began = time.monotonic()
            assert server.request("GET", "/healthz").status == 200
            slowest = max(slowest, time.monotonic() - began)
    assert slowest < 1.5, "sixteen threads held by 120 waiting calls would have held this one until they ended"
    for connection in waiting[::3]:
        assert connection.getresponse().status == 200
    for connection in waiting:
        connection.close()
