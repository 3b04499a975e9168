"""Services with real processes and sockets (P1, P3, P4, P5, O3)."""

import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.whole.server import Server, eventually, marked

FAST = {"period_seconds": 0.2}
QUICK = {"delay_seconds": 0.1, "jitter": 0}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def web(port: int) -> str:
    return f"{sys.executable} -m http.server {port} --bind 127.0.0.1"


def service(name: str, command: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "kind": "service", "command": command, "stop": {"grace_seconds": 1}, **fields}


def attempts(server: Server, workflow: str) -> int:
    """How often its service was started."""
    events = server.get(f"/api/events?workflow={workflow}&limit=200")
    return [(event["subject"], event["kind"]) for event in events].count((f"{workflow}/svc", "worker.running"))


@pytest.mark.parametrize("kind", ["exec", "http", "tcp", "file", "log", "notify"])
def test_each_probe_holds_the_consumer_back_until_the_service_is_up(server: Server, kind: str) -> None:
    """P1: the worker writes `up` the moment before it may be found up; the consumer fails without it."""
    port = free_port()
    wait = "while [ ! -e go ]; do sleep 0.02; done"
    commands = {
        "exec": f"{wait}; touch up; sleep 600",
        "http": f"{wait}; touch up; exec {web(port)}",
        "tcp": f"{wait}; touch up; exec {web(port)}",
        "file": f"{wait}; touch up; sleep 600",
        "log": f"echo listening; {wait}; touch up; echo listening on 5; sleep 600",
        "notify": f"{wait}; touch up; echo >&$WATTLE_NOTIFY_FD; sleep 600",
    }
    targets: dict[str, Any] = {
        "exec": "test -e up", "http": f"http://127.0.0.1:{port}/", "tcp": port, "file": "up",
        "log": "^listening on [0-9]+$", "notify": 5,
    }  # fmt: skip
    name = f"probe-{kind}"
    consumer = {"name": "app", "command": "cat up", "depends_on": ["svc"]}
    server.run(name, [service("svc", commands[kind], ready={kind: targets[kind], **FAST}), consumer])
    eventually(lambda: server.workers(name)["svc"]["status"] == "running")
    assert server.workers(name)["app"]["status"] == "created"
    Path(server.get(f"/api/workflows/{name}")["working_dir"], "go").touch()
    assert server.ended(name) == "completed"
    assert {worker["status"] for worker in server.workers(name).values()} == {"completed"}
    kinds = [event["kind"] for event in server.get(f"/api/events?workflow={name}&limit=100")]
    assert kinds.index("worker.ready") < kinds.index("worker.completed")


def test_a_service_is_asked_though_it_has_the_last_process_that_the_machine_may_have(tmp_path: Path) -> None:
    """P1 with --max-processes 1: it becomes ready, and stays alive while others wait for its place."""
    server = Server(tmp_path, "--max-processes", "1").start()
    alive = {"exec": "echo >> asked", "timeout_seconds": 15, "failure_threshold": 1, "period_seconds": 0.1}
    svc = service("svc", "touch up; sleep 600", ready={"exec": "test -e up", **FAST}, alive=alive)
    server.run("full", [svc, {"name": "other", "command": "true"}])
    directory = Path(server.get("/api/workflows/full")["working_dir"])
    asked = directory / "asked"
    eventually(lambda: server.workers("full")["svc"]["phase"] == "ready")
    eventually(lambda: asked.exists() and len(asked.read_text().splitlines()) >= 3)
    found = server.workers("full")
    assert found["svc"]["phase"] == "ready" and attempts(server, "full") == 1
    assert found["other"]["status"] == "created", "control: there is no room for a worker"
    server.down()


def test_a_probe_that_hangs_and_forks_is_killed_as_a_tree(server: Server) -> None:
    """P4."""
    mark = f"hung-{server.port}"
    probe = f"sh -c 'sleep 600; : {mark}' & sh -c 'sleep 600; : {mark}'"
    ready = {"exec": probe, "timeout_seconds": 0.5, **FAST}
    server.run("hung", [service("svc", "sleep 600", ready=ready)])
    eventually(lambda: marked(mark))
    eventually(lambda: "timed out after 0.5 s" in str(server.workers("hung")["svc"]["reason"]))
    first = eventually(lambda: marked(mark))
    eventually(lambda: not set(first) & set(marked(mark)))
    server.post("/api/workflows/hung/stop")
    eventually(lambda: marked(mark) == [])


def test_a_service_that_stops_answering_is_restarted(server: Server, tmp_path: Path) -> None:
    """P3: it lives, but does not answer."""
    port = free_port()
    script = tmp_path / "deaf.py"
    script.write_text(
        "import http.server, os, signal, sys\n"
        "first = not os.path.exists('seen')\n"
        "open('seen', 'a').close()\n"
        f"server = http.server.HTTPServer(('127.0.0.1', {port}), http.server.SimpleHTTPRequestHandler)\n"
        "for _ in range(3 if first else 1000000):\n"
        "    server.handle_request()\n"
        "server.server_close()\n"
        "signal.pause()\n"
    )
    alive = {"tcp": port, "period_seconds": 0.1, "failure_threshold": 2}
    fields = {"ready": {"tcp": port, **FAST}, "alive": alive, "restart": QUICK}
    server.run("deaf", [service("svc", f"{sys.executable} {script}", **fields)])
    eventually(lambda: server.workers("deaf")["svc"]["phase"] == "ready")
    eventually(lambda: attempts(server, "deaf") == 2)
    eventually(lambda: server.workers("deaf")["svc"]["phase"] == "ready")
    server.post("/api/workflows/deaf/stop")
    assert server.ended("deaf") == "cancelled"


def test_a_service_that_crashes_at_once_fails_with_its_last_words(server: Server) -> None:
    """R1."""
    restart = {"limit": 3, "window_seconds": 60, "delay_seconds": 0.05, "factor": 2, "jitter": 0.2}
    svc = service("svc", "echo port is taken >&2; exit 1", restart=restart, ready={"tcp": 9})
    server.run("crash", [svc, {"name": "app", "command": "true", "depends_on": ["svc"]}])
    assert server.ended("crash") == "failed"
    reason = server.workers("crash")["svc"]["reason"]
    assert reason == "exit code 1: port is taken; restarted 3 times within 60 s, which is its limit"
    assert attempts(server, "crash") == 4


def test_services_and_their_readiness_outlive_the_daemon(server: Server) -> None:
    """C1 for services, O3: killed while one is ready and one is not yet; a stopped one stays stopped."""
    workers = [
        service("first", "echo $$ >> first.pids; sleep 600"),
        service("second", "echo $$ >> second.pids; sleep 600", ready={"file": "go", **FAST}, depends_on=["first"]),
        service("idle", "sleep 600", restart="always"),
        {"name": "app", "command": "cat go", "depends_on": ["second"]},
    ]
    server.run("outlive", workers)
    eventually(lambda: server.workers("outlive")["second"]["phase"] == "running")
    server.post("/api/workers/outlive/idle/stop")
    directory = Path(server.get("/api/workflows/outlive")["working_dir"])
    files = [directory / f"{name}.pids" for name in ("first", "second")]  # written when their shells come to run
    pids = [eventually(lambda file=file: file.exists() and file.read_text()) for file in files]
    server.kill()
    (directory / "go").write_text("now\n")
    server.start()
    assert server.ended("outlive") == "cancelled"
    states = {name: worker["status"] for name, worker in server.workers("outlive").items()}
    assert states == {"first": "completed", "second": "completed", "app": "completed", "idle": "cancelled"}
    assert [file.read_text() for file in files] == pids


def test_a_service_killed_while_no_daemon_lives_is_restarted_by_the_next(server: Server) -> None:
    server.run("gap", [service("svc", "echo $$ > pid; sleep 600", restart=QUICK)])
    eventually(lambda: server.workers("gap")["svc"]["phase"] == "ready")
    directory = Path(server.get("/api/workflows/gap")["working_dir"])
    pid = int(eventually(lambda: (directory / "pid").exists() and (directory / "pid").read_text()))
    server.kill()
    os.kill(pid, signal.SIGKILL)
    server.start()
    eventually(lambda: attempts(server, "gap") == 2)
    eventually(lambda: server.workers("gap")["svc"]["phase"] == "ready")
    events = server.get("/api/events?workflow=gap&limit=100")
    assert [e["payload"]["reason"] for e in events if e["kind"] == "worker.retrying"] == ["killed by SIGKILL"]


def test_services_stop_in_reverse_order(server: Server) -> None:
    """P5: each says when it is told to end; the next is told after it has ended."""
    say = "trap 'sleep 0.2; echo {} >> ended; exit 0' TERM; echo >&3; while :; do sleep 0.05; done"
    chain = [("db", []), ("api", ["db"]), ("page", ["api"])]
    workers = [service(name, say.format(name), ready={"notify": 3}, depends_on=needs) for name, needs in chain]
    server.run("order", workers)
    eventually(lambda: all(worker["phase"] == "ready" for worker in server.workers("order").values()))
    server.post("/api/workflows/order/stop")
    directory = Path(server.get("/api/workflows/order")["working_dir"])
    assert (directory / "ended").read_text().split() == ["page", "api", "db"]
    assert server.status("order") == "cancelled"
