"""A signal to a running worker, by HTTP and by `wattle kill`, on a real server with real processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema

import wattle
from tests.whole.server import Reply, Server, eventually
from wattle.cli.answers import schema_of
from wattle.client import Client

# A leader with a child of its group and one in a session of its own; each says so when it hears a HUP.
RELOADS = """
import os, signal, time
signal.signal(signal.SIGHUP, lambda *_: os.write(1, b"reloaded\\n"))
if os.fork() == 0:
    if os.fork() == 0:
        os.setsid()
os.write(1, b"up\\n")
while True:
    time.sleep(60)
"""


def reloads(directory: Path) -> str:
    (directory / "reloads.py").write_text(RELOADS)
    return f"exec {sys.executable} -I -S {directory}/reloads.py"


def printed(server: Server, target: str, line: str) -> int:
    return len([each for each in server.get(f"/api/workers/{target}/logs?tail=1000") if each["content"] == line])


def attempts(server: Server, run: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.get(f"/api/runs/{run}")["attempts"]
    return found


def living(server: Server, pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_a_service_reloads_on_hup_and_a_kill_is_restarted_by_its_policy(server: Server, tmp_path: Path) -> None:
    service = {
        "name": "web", "kind": "service", "command": reloads(tmp_path),
        "restart": {"policy": "always", "delay_seconds": 0.01},
    }  # fmt: skip
    server.create("app", [service, {"name": "job", "command": reloads(tmp_path), "depends_on": ["web"]}])
    server.post("/api/workflows/app/start")
    eventually(lambda: printed(server, "app/web", "up") == 3 and printed(server, "app/job", "up") == 3)

    with Client(f"http://127.0.0.1:{server.port}") as client:
        told = client.signal_worker("app", "web", "HUP")
    assert (told.text, told.refused) == ("Worker 'app/web' was sent SIGHUP", ())
    assert told.pids[0] == attempts(server, 1)[0]["pid"] and len(living(server, list(told.pids))) == 3
    eventually(lambda: printed(server, "app/web", "reloaded") == 3)
    assert printed(server, "app/job", "reloaded") == 0, "nobody else heard it"

    killed = server.wattle("kill", "app/web")
    assert killed.stdout == "Worker 'app/web' was sent SIGKILL (3 processes)\n"
    eventually(lambda: len([each for each in attempts(server, 1) if each["worker"] == "web"]) == 2)
    assert eventually(lambda: printed(server, "app/web", "up") == 3 and not living(server, list(told.pids)))
    first = attempts(server, 1)[0]
    assert (first["worker"], first["status"], first["reason"]) == ("web", "failed", "killed by SIGKILL")
    assert server.workers("app")["job"]["status"] == "running"

    assert server.wattle("kill", "-s", "hup", "--leader", "app/job").stdout.endswith("SIGHUP (1 process)\n")
    eventually(lambda: printed(server, "app/job", "reloaded") == 1)
    said = [
        (event["subject"], event["payload"]["signal"], event["payload"]["scope"], event["actor"])
        for event in server.get("/api/events?after=0")
        if event["kind"] == "worker.signalled"
    ]
    assert said == [
        ("app/web", "SIGHUP", "tree", "api"),
        ("app/web", "SIGKILL", "tree", "api"),
        ("app/job", "SIGHUP", "leader", "api"),
    ]
    assert "SIGHUP sent by a user" in server.wattle("events", "app").stdout


def test_a_killed_job_has_failed_and_what_needs_it_is_cancelled(server: Server) -> None:
    mail = {"name": "mail", "command": "true", "depends_on": ["load"]}
    server.run("etl", [{"name": "load", "command": "sleep 600"}, mail])
    eventually(lambda: server.workers("etl")["load"]["status"] == "running")
    told = server.wattle("kill", "etl", "--json")
    (value,) = json.loads(told.stdout)
    jsonschema.Draft202012Validator(schema_of("kill")).validate([value])
    assert (value["worker"], value["signal"], value["processes"]) == ("etl/load", "SIGKILL", 1)
    assert server.ended("etl") == "failed"
    workers = server.workers("etl")
    assert (workers["load"]["status"], workers["load"]["error_message"]) == ("failed", "killed by SIGKILL")
    assert workers["mail"]["status"] == "cancelled"

    for target in ("etl", "etl/*"):
        none = server.wattle("kill", target)
        assert (none.returncode, none.stdout) == (5, "")
        assert f"of '{target}' nothing is running" in none.stderr
    ended = server.request("POST", "/api/workers/etl/load/signal", {"signal": "HUP"})
    assert (ended.status, ended.body["error"]["code"]) == (409, "WORKER_NOT_RUNNING")
    assert "`wattle start etl/load` starts it" in ended.body["error"]["message"]


def test_patterns_mean_those_that_run_and_one_that_refuses_keeps_no_other_from_it(server: Server) -> None:
    server.create("a", [{"name": name, "command": "sleep 600"} for name in ("one", "two")])
    server.create("b", [{"name": "one", "command": "true"}])
    server.post("/api/workflows/a/start")
    server.post("/api/workflows/b/start")
    server.ended("b")
    eventually(lambda: all(worker["status"] == "running" for worker in server.workers("a").values()))
    done = server.wattle("kill", "-s", "TERM", "b/one", "*/one", "a/two", "a/nobody")
    assert done.stdout.splitlines() == [
        "Worker 'a/one' was sent SIGTERM (1 process)", "Worker 'a/two' was sent SIGTERM (1 process)",
    ]  # fmt: skip
    assert done.returncode == 5
    assert "'b/one' is not running" in done.stderr and "'a/nobody' does not exist" in done.stderr
    assert server.ended("a") == "failed"
    odd = server.wattle("kill", "-s", "HUPP", "a/one")
    assert odd.returncode == 2 and "did you mean HUP? There are HUP, INT" in odd.stderr


def test_after_a_restart_of_the_server_and_of_the_keeper_it_still_arrives(server: Server, tmp_path: Path) -> None:
    """The keeper that adopted a worker signals it; nobody is told who is not of its tree."""
    server.create("app", [{"name": "web", "command": reloads(tmp_path)}])
    server.post("/api/workflows/app/start")
    eventually(lambda: printed(server, "app/web", "up") == 3)
    server.kill()
    server.start()
    assert len(server.post("/api/workers/app/web/signal", {"signal": "HUP"})) > 0
    eventually(lambda: printed(server, "app/web", "reloaded") == 3)
    (keeper,) = server.keeper_pids()
    os.kill(keeper, signal.SIGKILL)

    def send() -> Reply | None:
        reply = server.request("POST", "/api/workers/app/web/signal", {"signal": "HUP"})
        if reply.status == 200:
            return reply
        assert (reply.status, reply.body["error"]["code"]) == (503, "KEEPER_AWAY"), reply.body
        return None

    assert eventually(send).body["signal"]["processes"] == 3
    eventually(lambda: printed(server, "app/web", "reloaded") == 6)


def test_an_older_keeper_is_spoken_of_and_not_asked(tmp_path: Path) -> None:
    """One from before there were signals, and orders ahead: the same code without the frames and the words for them."""
    older = tmp_path / "older"
    shutil.copytree(Path(wattle.__file__).parent, older / "wattle", ignore=shutil.ignore_patterns("__pycache__"))
    for name, new, old in (
        ("protocol", 'FEATURES = ("signal", "ahead")', "FEATURES = ()"),
        ("keeper", '            "signal": self._signal,\n', ""),
        ("keeper", '            "release": self._release,\n', ""),
        ("keeper", "            if order.after:\n", "            if False:\n"),
    ):
        path = older / f"wattle/keeper/{name}.py"
        text = path.read_text()
        assert new in text
        path.write_text(text.replace(new, old))
    server = Server(tmp_path)
    server.data_dir.mkdir(mode=0o700)
    start = "import sys; from wattle.keeper.launch import start_keeper; start_keeper(sys.argv[1], 60.0)"
    subprocess.run([sys.executable, "-c", start, str(server.data_dir)], cwd=older, check=True)
    log = server.data_dir / "keeper.log"
    eventually(lambda: log.exists() and "serves" in log.read_text())  # before that the server would start one too
    keepers = server.keeper_pids()
    try:
        server.start()
        server.run("app", [{"name": "web", "command": "sleep 600"}])
        eventually(lambda: server.workers("app")["web"]["status"] == "running")
        done = server.wattle("kill", "app/web")
        assert (done.returncode, done.stdout) == (5, "")
        assert "started by an older Wattle and can send no signals" in done.stderr
        assert server.workers("app")["web"]["status"] == "running"
        chain = [{"name": "a", "command": "sleep 0.3"}, {"name": "b", "command": "/bin/true", "depends_on": ["a"]}]
        server.run("chain", chain)
        assert server.wattle("wait", "chain").returncode == 0
        ended, began = (server.workers("chain")[name] for name in ("a", "b"))
        assert ended["completed_at"] <= began["started_at"]
        assert server.keeper_pids() == keepers, "it was not sent what it would hang up on"
        assert server.post("/api/workflows/app/stop") == "Workflow 'app' stopped"
    finally:
        server.down()
